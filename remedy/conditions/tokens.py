"""
Condition text as tokens; what SQL writers are used to and we refuse is named with its cure.

Where the meaning of a refused sign is plain (`==`, `&&`), it is reported and
read as what was meant, so that the rest of the condition is checked as well.
"""

import math
import re
import unicodedata
from dataclasses import dataclass
from enum import Enum, auto

from remedy.conditions.tree import Mistake, Span
from remedy.text import number_text, untrusted

__all__ = ["SHOWN_CHARACTERS_MAX", "Kind", "Scanned", "Token", "scan"]

SHOWN_CHARACTERS_MAX = 40
"""How much of a condition a message quotes."""


class Kind(Enum):
    """What a token is."""

    NUMBER = auto()
    TEXT = auto()
    WORD = auto()
    SIGN = auto()
    END = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """
    A token: words as written, signs as they should be written.

    `value` is that of a number or text; None is one that could not be read and
    has been reported.
    """

    kind: Kind
    text: str
    span: Span
    value: str | float | None = None

    def is_sign(self, *signs: str) -> bool:
        """Say whether this is one of these signs."""
        return self.kind is Kind.SIGN and self.text in signs

    def is_word(self, *words: str) -> bool:
        """Say whether this is one of these words, in any case."""
        return self.kind is Kind.WORD and self.text.lower() in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """The tokens, the mistakes, and whether the tokens are good enough to be parsed."""

    tokens: tuple[Token, ...]
    mistakes: tuple[Mistake, ...]
    parsable: bool


_LEXEMES = re.compile(
    r"""
      (?P<space>[ \t\r\n]+)
    | (?P<number>\.?[0-9](?:[eE][+-]?[0-9]|[0-9A-Za-z_.])*)
    | (?P<word>[^\W\d]\w*)
    | (?P<text>'(?:[^']|'')*+')
    | (?P<quoted>"[^"]*"|`[^`]*`|[‘’][^‘’]*[‘’]|[“”][^“”]*[“”])
    | (?P<template>\{\{.*?\}\}|\$\{.*?\})
    | (?P<comment>--[^\n]*|/\*(?s:.*?)(?:\*/|\Z))
    | (?P<end>;)
    | (?P<foreign>===|==|!=|<=>|=<|=>|&&|\|\||!|≤|≥|≠)
    | (?P<sign><=|>=|<>|[=<>+\-*/(),.])
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_MEANT = {
    "===": "=",
    "==": "=",
    "<=>": "=",
    "!=": "<>",
    "≠": "<>",
    "=<": "<=",
    "≤": "<=",
    "=>": ">=",
    "≥": ">=",
    "&&": "and",
    "||": "or",
    "!": "not",
}

_CURES = {
    "'": "close the text with '; a ' inside a text is written ''",
    '"': "write a text in single quotes and close it: 'text'",
    "%": "leave it out; a percentage is a plain number, such as 10",
    ":": "leave types out; every value has the type of its column",
    "$": "write params.NAME for a parameter",
    "@": "write params.NAME for a parameter",
    "?": "write params.NAME for a parameter",
    "~": "write like, with % for any text and _ for one character",
    "&": "write and",
    "|": "write or",
    "[": "write lists as ('a', 'b')",
    "]": "write lists as ('a', 'b')",
}


def scan(text: str) -> Scanned:
    """Return the tokens of a condition with an END token last, and what is wrong with its signs."""
    tokens: list[Token] = []
    mistakes: list[Mistake] = []
    parsable = True
    for found in _LEXEMES.finditer(text):
        span = Span(start=found.start(), end=found.end())
        match found.lastgroup:
            case "space":
                continue
            case "comment":
                mistakes.append(_comment(span))
                continue
            case "end":
                mistakes.append(_semicolon(text, span))
                break
            case "other":
                mistakes.append(_unexpected(found[0], span))
                parsable = False
                if found[0] in "'\"`":  # The text is not closed; what follows is neither inside nor outside.
                    break
                continue
            case "word" if not found[0].isascii():
                mistakes.append(_no_name(found[0], span))
                parsable = False
                continue
        token, mistake = _token(found.lastgroup or "", found[0], span)
        tokens.append(token)
        if mistake is not None:
            mistakes.append(mistake)
    tokens.append(Token(kind=Kind.END, text="", span=Span(start=len(text.rstrip()), end=len(text))))
    return Scanned(tokens=tuple(tokens), mistakes=tuple(mistakes), parsable=parsable)


def _token(group: str, lexeme: str, span: Span) -> tuple[Token, Mistake | None]:
    match group:
        case "number":
            value, mistake = _number(lexeme, span)
            return Token(kind=Kind.NUMBER, text=lexeme, span=span, value=value), mistake
        case "text":
            content = lexeme[1:-1].replace("''", "'")
            return Token(kind=Kind.TEXT, text=lexeme, span=span, value=content), _control(content, span)
        case "template":
            return Token(kind=Kind.TEXT, text=lexeme, span=span), _template(span)
        case "quoted":
            return Token(kind=Kind.TEXT, text=lexeme, span=span), _quoted(lexeme, span)
        case "foreign":
            meant = _MEANT[lexeme]
            kind = Kind.WORD if meant.isalpha() else Kind.SIGN
            mistake = Mistake(offset=span.start, message=f"there is no operator {lexeme}", cure=f"write {meant}")
            return Token(kind=kind, text=meant, span=span), mistake
        case "word":
            return Token(kind=Kind.WORD, text=lexeme, span=span), None
        case _:
            return Token(kind=Kind.SIGN, text=lexeme, span=span), None


def _number(lexeme: str, span: Span) -> tuple[float | None, Mistake | None]:
    if _NUMBER.fullmatch(lexeme):
        value = float(lexeme)
        if math.isfinite(value):
            return value, None
        return None, Mistake(offset=span.start, message="the number is too large", cure="write one below 1.8 * 10^308")
    shown = untrusted(lexeme, characters_max=SHOWN_CHARACTERS_MAX)
    cure = "write digits, with a point and more digits if needed, such as 10 or 0.5; no unit, no exponent"
    bare = lexeme.replace("_", "") if lexeme[-1:].isdigit() else ""
    try:
        meant = number_text(float(bare))
    except ValueError:  # No number in Python's eyes either, or an infinite one: no better cure is known.
        meant = ""
    if 0 < len(meant) <= SHOWN_CHARACTERS_MAX:
        cure = f"write {meant}"
    return None, Mistake(offset=span.start, message=f"{shown} is not written as a number", cure=cure)


def _control(content: str, span: Span) -> Mistake | None:
    if not any(unicodedata.category(character) == "Cc" for character in content):
        return None
    return Mistake(
        offset=span.start,
        message="the text contains a control character or a line break",
        cure="leave it out; no column's text contains any",
    )


def _quoted(lexeme: str, span: Span) -> Mistake:
    content = lexeme[1:-1]
    shown = untrusted(content, characters_max=SHOWN_CHARACTERS_MAX)
    single = shown.replace("'", "''")
    cure = f"write '{single}' for a text"
    if _NAME.fullmatch(content):
        cure += f", {shown} for a column"
    quotes = {'"': "double quotes", "`": "backquotes"}.get(lexeme[0], "typographic quotes")
    return Mistake(offset=span.start, message=f"there are no {quotes} in a condition", cure=cure)


def _template(span: Span) -> Mistake:
    return Mistake(
        offset=span.start,
        message="nothing is templated into a condition",
        cure="write params.name for a parameter",
    )


def _comment(span: Span) -> Mistake:
    return Mistake(
        offset=span.start,
        message="there are no comments in a condition",
        cure="leave it out, and comment in the YAML with #; subtract a negative number as a - (-b)",
    )


def _semicolon(text: str, span: Span) -> Mistake:
    rest = text[span.end :].strip(" \t\r\n;")
    return Mistake(
        offset=span.start,
        message="there is no ; in a condition, which is one expression",
        cure="leave it out, and what follows it" if rest else "leave it out",
    )


def _no_name(word: str, span: Span) -> Mistake:
    shown = untrusted(word, characters_max=SHOWN_CHARACTERS_MAX)
    cure = f"a name has the letters a to z, digits and _; a text is written '{shown}'"
    return Mistake(offset=span.start, message=f"{shown} is no name", cure=cure)


def _unexpected(character: str, span: Span) -> Mistake:
    if character in ("'", '"', "`"):
        return Mistake(offset=span.start, message=f"the text after {character} is not closed", cure=_CURES["'"])
    name = unicodedata.name(character, "")
    shown = character if character.isascii() and character.isprintable() else f"U+{ord(character):04X} {name}".strip()
    cure = "write a plain space" if character.isspace() else "leave it out"
    return Mistake(offset=span.start, message=f"unexpected character {shown}", cure=_CURES.get(character, cure))
