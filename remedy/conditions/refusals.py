"""What SQL has and a condition has not: the mistake at a token that the grammar cannot take, with its cure."""

from collections.abc import Mapping

from remedy.conditions.tokens import SHOWN_CHARACTERS_MAX, Kind, Token
from remedy.conditions.tree import Mistake
from remedy.text import untrusted

__all__ = ["GRAMMAR_WORDS", "NO_NULL", "REFUSED_WORDS", "no_literal", "surprise"]

GRAMMAR_WORDS = frozenset({"and", "or", "not", "between", "in", "like", "true", "false"})
"""Words of the grammar, in any case."""

REFUSED_WORDS = frozenset({"is", "null", "case", "select"})
"""Words of SQL that are refused wherever they stand, in any case."""

NO_NULL = "what could not be read makes the condition unknown by itself, and unknown never acts; leave it out"
_LIKE = "write like, with % for any text and _ for one character"
_WORD_CURES: Mapping[str, str] = {
    "is": "compare with =; what could not be read needs no test, since it makes the condition unknown",
    "null": NO_NULL,
    "select": "read a column of another signal as signal.column",
    "case": "write it with and, or and not",
    "ilike": "write lower(column) like 'text'",
    "escape": "leave it out; every % and _ of a pattern stands for other characters",
    "similar": _LIKE,
    "glob": _LIKE,
    "regexp": _LIKE,
    "rlike": _LIKE,
    "xor": "write <> between two booleans",
}


def surprise(token: Token, *, value_wanted: bool) -> Mistake:
    """Return the mistake at a token that cannot stand where a value, or else an operator or the end, is wanted."""
    shown = untrusted(token.text, characters_max=SHOWN_CHARACTERS_MAX)
    word = token.text.lower() if token.kind is Kind.WORD else ""
    if word == "select":
        message, cure = "there are no sub-queries in a condition", _WORD_CURES[word]
    elif word in REFUSED_WORDS or (word in _WORD_CURES and not value_wanted):
        message, cure = f"there is no {word.upper()} in a condition", _WORD_CURES[word]
    elif value_wanted:
        message, cure = _no_value(token, shown)
    elif token.is_sign(")"):
        message, cure = "this ) closes no (", "leave it out"
    elif token.is_sign(","):
        message, cure = "this , stands in no list", "write and, or, or leave it out"
    else:
        message, cure = f"{shown} follows without an operator", "write and, or, or a comparison before it"
    return Mistake(offset=token.span.start, message=message, cure=cure)


def _no_value(token: Token, shown: str) -> tuple[str, str]:
    if token.kind is Kind.END:
        return "the condition ends where a value is missing", "complete it"
    if token.is_sign("+"):
        return "a + needs a number before it", "leave it out"
    if token.is_word("not"):
        return "not is no value to compare", "put it and what it negates into parentheses"
    return f"a value is missing before {shown}", "write a value there"


def no_literal(token: Token, *, dotted: bool) -> Mistake:
    """Return the mistake at a name in a list of literals."""
    shown = untrusted(token.text, characters_max=SHOWN_CHARACTERS_MAX)
    cure = "compare with = and join by or" if dotted else f"write '{shown}' for a text"
    return Mistake(
        offset=token.span.start, message=f"{shown} is no literal; a list after in has only literals", cure=cure
    )
