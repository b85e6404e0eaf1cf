"""The JSON of records, written fast: the very text that a slow and plain walk over the value gives."""

import json
import math
from collections import UserDict
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

from hypothesis import example, given
from hypothesis import strategies as st

from remedy.state.values import utc_text, value_json
from remedy.text import number_text, untrusted


class Word(StrEnum):
    """A word as records have them."""

    FIXED = "fixed"


def reference(value, text):
    """Return a value as JSON has it, every text passed through `text`, asking every value for what it is."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(str(value))
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        assert math.isfinite(value)
        if value == int(value):
            return reference(int(value), text)
        return value if abs(value) >= 0.0001 else number_text(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if isinstance(value, dict | UserDict):
        return {text(str(name)): reference(part, text) for name, part in value.items()}
    return [reference(part, text) for part in value]


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
TEXTS = PLAIN | st.text(max_size=10) | st.sampled_from(["\\", '"', "\x7f", "\x1b[31m", "a\nb", "\u202e", "é", "\ud800"])
TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)).map(  # noqa: DTZ001 - its zone comes next.
    lambda at: at.replace(tzinfo=UTC)
)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS | TIMES | st.just(Word.FIXED)
VALUES = st.recursive(
    LEAVES,
    lambda parts: (
        st.lists(parts, max_size=4)
        | st.lists(parts, max_size=4).map(tuple)
        | st.dictionaries(TEXTS | st.just(Word.FIXED), parts, max_size=4)
        | st.dictionaries(PLAIN, parts, max_size=4).map(UserDict)
    ),
    max_leaves=14,
)


@given(VALUES)
@example({"a": "x" * 70_000})
@example({"a": "\\x1b"})
@example({"\x1b": "\x7f"})
@example({"a": "\x7f"})
@example({"a": '"quoted"', "b": "tab\there"})
def test_value_json_equals_the_reference(value):
    """With and without making texts visible, for every value, the text is the reference's."""
    assert value_json(value) == canonical(reference(value, str))
    assert value_json(value, text=untrusted) == canonical(reference(value, untrusted))


@given(TIMES, st.integers(-14 * 60, 14 * 60))
def test_utc_text_is_the_same_in_every_zone(at, minutes):
    """An instant has one text, whatever zone it was given in."""
    assert utc_text(at.astimezone(timezone(timedelta(minutes=minutes)))) == utc_text(at)
