"""The one text form of values: canonical JSON, keys, times."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.state.audit_format import parse_object
from remedy.state.values import json_key, key_json, utc_text, utc_time, value_json

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(TEXTS, parts, max_size=4),
    max_leaves=12,
)
KEYS = st.dictionaries(TEXTS, TEXTS | st.booleans() | st.integers(-(2**52), 2**52).map(float), max_size=3)


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_value_json_is_canonical_for_every_reader(value):
    """What is written reads back to the same bytes, and no number in it needs more than a double can hold."""
    text = value_json(value)

    parsed = parse_object(text.encode())
    assert value_json(parsed) == text
    numbers = []
    json.loads(text, parse_int=numbers.append, parse_float=numbers.append)
    assert all("e" not in number.lower() for number in numbers)
    assert all(abs(int(number)) < 2**53 for number in numbers if "." not in number)


@given(NUMBERS)
def test_value_json_keeps_the_number(number):
    """A number reads back as the same double, as a number or as its decimal text."""
    back = json.loads(value_json(number))

    assert float(back) == float(number) if isinstance(number, float) or abs(number) < 2**53 else int(back) == number


@pytest.mark.parametrize("bad", [math.nan, math.inf, b"x", {1, 2}, object(), {"deep": [b"x"]}])
def test_value_json_refuses_what_it_cannot_write(bad):
    """NaN, infinity, bytes, sets and strangers are errors, never a guess."""
    with pytest.raises((TypeError, ValueError)):
        value_json(bad)


@given(KEYS)
def test_key_json_reads_back_in_any_order(key):
    """A key reads back with its values, and the order of its columns does not change its text."""
    pairs = tuple(key.items())

    text = key_json(pairs)
    assert key_json(tuple(reversed(pairs))) == text
    assert dict(json_key(text)) == key
    assert [type(value) for _name, value in json_key(text)] == [type(key[name]) for name, _value in json_key(text)]


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=11))])


@given(st.integers(0, 9_000 * 365 * 86_400 * 10**6), ZONES)
def test_utc_text_reads_back_and_sorts(microseconds, zone):
    """A time reads back as the same instant, is 27 characters long, and texts sort as times do."""
    at = (datetime(2, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).astimezone(zone)

    text = utc_text(at)

    assert utc_time(text) == at
    assert len(text) == 27
    assert text.endswith("Z")
    assert utc_text(at + timedelta(microseconds=1)) > text
