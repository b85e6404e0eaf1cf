"""
The one text form of values in ledger and audit log: canonical JSON, UTC times, keys.

Canonical JSON here is RFC 8785 on the values that are stored: objects with keys
sorted by code point, lists, text, booleans, null, whole numbers below 2**53, and
other finite numbers from 0.0001 up, where Python and RFC 8785 write the same
shortest text. A number outside that range is written as text, so that no reader
rounds it.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from remedy.canonical import canonical_json, row_value
from remedy.model import Key
from remedy.text import number_text

__all__ = ["json_key", "key_json", "utc_text", "utc_time", "value_json"]

_EXACT_MAX = 2**53
_SHORT_MIN = 0.0001
_UNTOUCHED_CHARACTERS_MAX = 65_536
_AS_THEY_ARE = frozenset({str, bool, type(None)})


def utc_text(at: datetime) -> str:
    """
    Return a time as ISO 8601 text in UTC with microseconds, such as 2026-11-22T08:45:00.000000Z.

    Raises:
        ValueError: the time has no zone; a local time would be stored as another instant.
    """
    if at.tzinfo is UTC:
        return at.isoformat(timespec="microseconds")[:-6] + "Z"  # Without its +00:00: several times a record.
    if at.tzinfo is None:
        raise ValueError(f"the time {at.isoformat()} has no zone")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def utc_time(text: str) -> datetime:
    """Return the time of a text written by utc_text."""
    return datetime.fromisoformat(text)


def _whole(value: int) -> int | str:
    return value if abs(value) < _EXACT_MAX else str(value)


def _number(value: float) -> int | float | str:
    if not math.isfinite(value):
        raise ValueError("a number must be finite")
    if value == int(value):
        return _whole(int(value))
    return value if abs(value) >= _SHORT_MIN else number_text(value)


def _plain(value: Any, text: Callable[[str], str] | None) -> Any:
    """Return a value as JSON has it (text None: as it is); the types that records are made of come first, for speed."""
    kind = type(value)
    if kind is str:
        return text(value) if text else value
    if kind is dict and text is None:
        return {str(name): part if type(part) in _AS_THEY_ARE else _plain(part, None) for name, part in value.items()}
    if kind is int:
        return _whole(value)
    if kind is float:
        return _number(value)
    match value:
        case None | bool():
            return value
        case str():
            return text(str(value)) if text else str(value)
        case int():
            return _whole(value)
        case float():
            return _number(value)
        case datetime():
            return utc_text(value)
        case Mapping():
            names = map(str, value) if text is None else map(text, map(str, value))
            return {name: _plain(part, text) for name, part in zip(names, value.values(), strict=True)}
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [_plain(part, text) for part in value]
        case _:
            raise TypeError(f"a {kind.__name__} cannot be recorded")


def value_json(value: Any, *, text: Callable[[str], str] = str) -> str:
    """
    Return the canonical JSON of a value; every text in it passes through `text` first.

    `text` must leave printable ASCII of up to 65,536 characters as it is: when that
    is all there is, it is not asked.

    Raises:
        TypeError: a value of another kind, such as bytes.
        ValueError: a number that is not finite, or a time without a zone.
    """
    found = canonical_json(_plain(value, None))
    # Without a backslash nothing was escaped: what is printable here is so in every text within.
    if text is str or (
        len(found) <= _UNTOUCHED_CHARACTERS_MAX and found.isascii() and found.isprintable() and "\\" not in found
    ):
        return found
    return canonical_json(_plain(value, text))


def key_json(key: Key) -> str:
    """Return the key of an incident as canonical JSON; the order of its columns does not matter."""
    return value_json(dict(key))


def json_key(text: str) -> Key:
    """
    Return the key of a text written by key_json, its columns sorted by name.

    Raises:
        ValueError, AttributeError: no key was written so.
    """
    return tuple((name, row_value(value)) for name, value in json.loads(text).items())
