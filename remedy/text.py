"""Text for people: what comes from hosts made harmless, names, numbers, spans of time."""

import difflib
import math
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

__all__ = ["counted", "duration_text", "nearest", "number_text", "one_line", "untrusted"]

_SHOWN_CHARACTERS_MAX = 65_536
_VISIBLE = {"\t": "\\t", "\r": "\\r"}
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _visible(character: str) -> str:
    if character in _VISIBLE:
        return _VISIBLE[character]
    if unicodedata.category(character) not in _HIDDEN_CATEGORIES:
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def untrusted(raw: bytes | str, *, keep_newlines: bool = False, characters_max: int = _SHOWN_CHARACTERS_MAX) -> str:
    r"""
    Return text from a host with every control, format and bidi character made visible.

    The one way from a host's bytes to a person's eyes. Bytes are read as UTF-8;
    what is none is shown as \xNN. Newlines are kept only when asked for; what
    exceeds characters_max is cut and the cut is said.
    """
    text = raw.decode("utf-8", errors="backslashreplace") if isinstance(raw, bytes) else raw
    cut = len(text) - characters_max
    if cut > 0:
        text = text[:characters_max]
    if text.isascii() and text.isprintable():
        shown = text
    else:
        shown = "".join(
            "\n" if character == "\n" and keep_newlines else ("\\n" if character == "\n" else _visible(character))
            for character in text
        )
    return f"{shown}… ({cut} characters more)" if cut > 0 else shown


def one_line(raw: bytes | str, *, characters_max: int = 200) -> str:
    """Return the last non-empty line of a host's text, made harmless; empty text gives ''."""
    text = raw.decode("utf-8", errors="backslashreplace") if isinstance(raw, bytes) else raw
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return untrusted(lines[-1], characters_max=characters_max) if lines else ""


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> tuple[str, ...]:
    """Return up to `most` of the known names that resemble name, the nearest first."""
    by_folded = {candidate.casefold(): candidate for candidate in sorted(known)}
    asked = name.casefold()
    near = [key for key in by_folded if _may_be_meant(asked, key)]
    found = difflib.get_close_matches(asked, near, n=most, cutoff=0.6)
    return tuple(by_folded[key] for key in found)


def _may_be_meant(asked: str, known: str) -> bool:
    """Say whether two names are alike in length, or one begins or ends the other: `nope` is no `ungrouped`."""
    shorter, longer = sorted((asked, known), key=len)
    return 2 * len(shorter) > len(longer) or longer.startswith(shorter) or longer.endswith(shorter)


def number_text(number: float) -> str:
    """
    Return the shortest decimal text of a finite number, whole ones without a point, no exponent.

    Raises:
        ValueError: the number is NaN or infinite.
    """
    if not math.isfinite(number):
        raise ValueError("a number must be finite")
    if number == int(number):
        return str(int(number))
    return f"{Decimal(repr(float(number))):f}"  # Formatting the float itself rounds powers of two to a neighbour.


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as '1 host' or '3 hosts'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration_text(seconds: float) -> str:
    """Return a span of time as people write it: 90 -> '1m30s', 0.25 -> '0.25s', 7200 -> '2h'."""
    seconds = round(seconds, 2)
    if seconds < 0:
        return "-" + duration_text(-seconds)
    if seconds < 60:
        return f"{number_text(seconds)}s"
    left = round(seconds)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])
