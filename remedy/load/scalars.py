"""Plain scalars of YAML by version 1.2, what two readers take for different things, and forbidden characters."""

import re
from collections.abc import Iterator, Mapping

from remedy.load.nodes import ScalarValue

__all__ = ["TOO_LARGE", "character_code", "control_doubt", "control_offsets", "doubt_cure", "resolved_scalar"]

TOO_LARGE = "is too large a number"

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_UNDERSCORE = re.compile(r"[-+]?(?=[0-9_.]*_)[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?")
_OTHER_BASE = re.compile(r"[-+]?0(?:[xX][0-9a-fA-F_]+|[oO][0-7_]+|[bB][01_]+)")
_WORDS: Mapping[str, ScalarValue] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_OLD_TRUE = frozenset({"yes", "Yes", "YES", "on", "On", "ON"})
_OLD_FALSE = frozenset({"no", "No", "NO", "off", "Off", "OFF"})
_INTEGER_DIGITS_MAX = 18
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def character_code(character: str) -> str:
    """Return a character as people look it up, such as U+202E."""
    return f"U+{ord(character):04X}"


def control_doubt(text: str) -> str:
    """Return why a text must not be used: it holds a control, bidi or similar character; '' if it may."""
    found = _CONTROL.search(text)
    return f"holds the character {character_code(found[0])}, which is not allowed" if found else ""


def control_offsets(text: str) -> Iterator[int]:
    """Yield where in a text control, bidi and similar characters are."""
    for found in _CONTROL.finditer(text):
        yield found.start()


def resolved_scalar(text: str) -> tuple[ScalarValue, str, str]:
    """Return the YAML 1.2 value of a plain scalar, why it is doubtful, and the cure."""
    if text in _WORDS:
        return _WORDS[text], "", ""
    if not text or text[0] not in "+-.0123456789nyofNYOF":
        return text, "", ""
    if text in _OLD_TRUE or text in _OLD_FALSE:
        meant = "true" if text in _OLD_TRUE else "false"
        return text, "is a boolean to some readers of YAML and text to others", _quote(text, f", or {meant}")
    if _INTEGER.fullmatch(text):
        if len(text) > _INTEGER_DIGITS_MAX:
            return text, TOO_LARGE, f"write a number of at most {_INTEGER_DIGITS_MAX} digits"
        return int(text), "", ""
    if _LEADING_ZERO.fullmatch(text) or _OTHER_BASE.fullmatch(text):
        return text, "is a number in another base to some readers of YAML", _quote(text, ", or the number in decimal")
    if _SEXAGESIMAL.fullmatch(text):
        return text, "is a number to some readers of YAML (in base 60) and text to others", _quote(text, "")
    if _UNDERSCORE.fullmatch(text):
        return text, "is a number to some readers of YAML and text to others", _quote(text, ", or no underscores")
    if _NOT_FINITE.fullmatch(text):
        return text, "is no finite number", _quote(text, " for text, or a number")
    if _FLOAT.fullmatch(text):
        number = float(text) if len(text) <= 64 else float("inf")
        if number in {float("inf"), float("-inf")}:
            return text, TOO_LARGE, "write a number of at most 1e300"
        return number, "", ""
    return text, "", ""


def doubt_cure(doubt: str) -> str:
    """Return the cure of a doubtful value in a place that takes text or a number."""
    return "write a smaller one" if doubt == TOO_LARGE else "put it in quotes"


def _quote(text: str, otherwise: str) -> str:
    if len(text) > 60:
        return "put it in quotes"
    return f'write "{text}" with quotes{otherwise}'
