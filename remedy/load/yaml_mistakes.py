"""What PyYAML cannot read, said as a person would: where to look, what is wrong there, and the cure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from remedy.errors import Place, Problem
from remedy.text import untrusted

__all__ = ["foreign_problem"]

_QUOTE = "put the text in quotes"


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a parser stopped: line and column from 0, and the lines of the file."""

    line: int
    column: int
    lines: list[str]

    @property
    def text(self) -> str:
        """The line."""
        return self.lines[self.line] if self.line < len(self.lines) else ""

    @property
    def before(self) -> str:
        """What stands on the line before it."""
        return self.text[: self.column]

    @property
    def shown(self) -> str:
        """The character there."""
        return untrusted(self.text[self.column : self.column + 1])


_Said = tuple[_Spot, str, str]
_Saying = Callable[[_Spot, _Spot], _Said]


def foreign_problem(exc: Exception, text: str, *, file: str) -> Problem | None:
    """
    Return the problem for an exception that PyYAML let through; None when it is none of a file's.

    Nothing of the file is quoted but a single character: it may hold a password.
    """
    import yaml

    if isinstance(exc, yaml.MarkedYAMLError):
        return _marked(exc, text, file)
    if isinstance(exc, yaml.YAMLError):
        message = "is not YAML: it holds a character that YAML does not allow"
        return Problem(place=Place(file=file), message=message, cure="remove it")
    if isinstance(exc, (ValueError, OverflowError, RecursionError, MemoryError)):
        return Problem(place=Place(file=file), message="is not YAML that can be read")
    return None


def _marked(exc: Any, text: str, file: str) -> Problem:
    mark = exc.problem_mark or exc.context_mark
    if mark is None:
        return Problem(place=Place(file=file), message=f"is not YAML: {untrusted(exc.problem or '')}")
    lines = text.split("\n")
    spot = _Spot(mark.line, mark.column, lines)
    begun = _Spot(exc.context_mark.line, exc.context_mark.column, lines) if exc.context_mark else spot
    at, message, cure = _said(exc.problem or "", exc.context or "", spot, begun)
    place = Place(file=file, line=at.line + 1, column=at.column + 1)
    return Problem(place=place, message=f"is not YAML: {message}", cure=cure)


def _said(problem: str, context: str, spot: _Spot, begun: _Spot) -> _Said:
    if (tab := _tab(spot)) is not None:
        return tab, "a tab", "use spaces"
    for start, saying in _SAYINGS.items():
        if problem.startswith(start):
            return saying(spot, begun)
    return spot, untrusted(" ".join(part for part in (context, problem) if part)), ""


def _tab(spot: _Spot) -> _Spot | None:
    """Return the place of a tab in the white space that the line starts with, or at the place itself."""
    indent = spot.text[: len(spot.text) - len(spot.text.lstrip(" \t"))]
    column = indent.find("\t") if "\t" in indent else spot.column
    return _Spot(spot.line, column, spot.lines) if spot.text[column : column + 1] == "\t" else None


def _colon(spot: _Spot, _begun: _Spot) -> _Said:
    if ": " in spot.before:
        return spot, "a second ':' with a blank behind it on one line", _QUOTE
    indent = len(spot.text) - len(spot.text.lstrip(" "))
    start = _Spot(spot.line, indent, spot.lines)
    return start, "a key cannot stand here", "line it up with the keys above, and see that each has ': ' behind it"


def _no_colon(_spot: _Spot, begun: _Spot) -> _Said:
    return begun, "this line has no ':' behind its key", "write KEY: VALUE"


def _start(spot: _Spot, _begun: _Spot) -> _Said:
    return spot, f"a text cannot start with {spot.shown}", "put it in quotes"


def _sigil(_spot: _Spot, begun: _Spot) -> _Said:
    return _start(begun, begun)


def _misfit(spot: _Spot, _begun: _Spot) -> _Said:
    if spot.before.strip(" -"):
        message = "the value ends before this, and nothing may follow it"
        return spot, message, "put the whole text in quotes; inside of '' a ' is written twice"
    return spot, "this line does not fit the lines before it", "line it up with the key or the '-' that it belongs to"


def _flow(spot: _Spot, begun: _Spot) -> _Said:
    opened = begun.shown
    closed = {"[": "]", "{": "}"}.get(opened, "")
    if spot.line != begun.line:
        return begun, f"this {opened} is not closed", f"close it with {closed}, or put the text in quotes"
    message = f"a , or {closed} is missing here, for the {opened} at column {begun.column + 1}"
    return spot, message, "add it, or put texts with : , or brackets in them in quotes"


def _unclosed(_spot: _Spot, begun: _Spot) -> _Said:
    return begun, "this quotation is not closed", "close it"


def _escape(spot: _Spot, _begun: _Spot) -> _Said:
    escape = untrusted(
        spot.text[spot.column - 1 : spot.column + 1] if spot.shown != "\\" else spot.text[spot.column :][:2]
    )
    return spot, f"in double quotes {escape} is no character", "put the text in single quotes, or write \\\\"


def _dash(spot: _Spot, _begun: _Spot) -> _Said:
    return spot, "a list starts on a line of its own", "move the - to the next line, or put the text in quotes"


_SAYINGS: Mapping[str, _Saying] = {
    "mapping values are not allowed": _colon,
    "could not find expected ':'": _no_colon,
    "found character that cannot start any token": _start,
    "did not find expected node content": _start,
    "did not find expected key": _misfit,
    "did not find expected '-' indicator": _misfit,
    "did not find expected ','": _flow,
    "did not find expected alphabetic": _sigil,
    "found unexpected end of stream": _unclosed,
    "found unknown escape character": _escape,
    "block sequence entries are not allowed": _dash,
}
"""By how libyaml begins what it says; of another reader of YAML, or of anything else, its own words are shown."""
