"""
Values as PowerShell literals, which is how they travel in a payload.

JSON is not used: `ConvertFrom-Json` makes dates of texts that look like one, and
changes large numbers. In a text between single quotes nothing has a meaning but
the quotes, and PowerShell takes five characters for one.
"""

import math
from collections.abc import Mapping, Sequence

__all__ = ["QUOTES", "Literal", "literal"]

QUOTES = "'\u2018\u2019\u201a\u201b"
"""What PowerShell takes for a single quote; each of them is doubled inside a text."""

Literal = None | bool | int | float | str | Mapping[str, "Literal"] | Sequence["Literal"]
"""What has a literal; a mapping becomes a [pscustomobject], anything else that has elements an array."""

_DOUBLED = str.maketrans({quote: quote * 2 for quote in QUOTES})
_INTEGER_MAX = 2**63 - 1


def literal(value: Literal) -> str:
    """
    Return the PowerShell expression whose value is `value`.

    An array stays one, however few elements it has: a single one stands behind
    the comma that makes an array of it.

    Raises:
        ValueError: a number that is not finite or beyond 64 bits, half a surrogate
            pair, keys that differ by case alone.
        TypeError: it is none of what has a literal.
    """
    match value:
        case None:
            return "$null"
        case bool():
            return "$true" if value else "$false"
        case int():
            if abs(value) > _INTEGER_MAX:
                raise ValueError(f"{value} does not fit into 64 bits")
            return str(value)
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{value} is no number that can travel")
            return repr(value)
        case str():
            return _text(value)
        case Mapping():
            return _object(value)
        case Sequence() if not isinstance(value, bytes | bytearray):
            return _array(value)
    raise TypeError(f"{type(value).__name__} has no PowerShell literal")


def _text(value: str) -> str:
    value.encode("utf-8")
    return f"'{value.translate(_DOUBLED)}'"


def _object(value: Mapping[str, Literal]) -> str:
    if len({key.lower() for key in value}) != len(value):
        raise ValueError(f"keys that differ by case alone: {', '.join(sorted(value))}")
    return "[pscustomobject]@{" + ";".join(f"{_text(key)}={literal(each)}" for key, each in value.items()) + "}"


def _array(value: Sequence[Literal]) -> str:
    elements = [_element(each) for each in value]
    return "@(" + (f",{elements[0]}" if len(elements) == 1 else ",".join(elements)) + ")"


def _element(value: Literal) -> str:
    """Return a literal that stays whole beside a comma, which binds more strongly than a sign does."""
    text = literal(value)
    return f"({text})" if text.startswith(("-", "[")) else text
