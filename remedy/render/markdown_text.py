"""Text from hosts and files inside Markdown: shown as it is, and never more than text."""

import re

from remedy.text import untrusted

__all__ = ["MARKER", "code", "prose"]

MARKER = "<!-- remedy: dry run -->"
"""The first line of each comment, by which the next run finds it; nobody sees it."""

_SHOWN_MAX = 300
_WORD = re.compile(r"[(]?(?:[A-Za-z]{1,20}|[0-9]{1,6})(?:-[A-Za-z]{1,20}|'[a-z]{1,2})?[)]?[,;:.%]?")
_COMMIT = re.compile(r"[a-f0-9]{7,}", re.IGNORECASE)
_ALTERED = {"`": "\\x60", "|": "\\x7c"}


def code(text: str, *, characters_max: int = _SHOWN_MAX) -> str:
    r"""
    Return text as a code span, in which nothing has a meaning.

    No host text can end the span, or the cell of a table that it stands in: a
    backtick is shown as \x60, a pipe as \x7c, and what cannot be seen as
    `untrusted` shows it. Mentions, links, emoji and commands are not looked for in
    code. Empty text is `''`.
    """
    shown = untrusted(text, characters_max=characters_max)
    shown = "".join(_ALTERED.get(character, character) for character in shown).strip()
    return f"`{shown or repr('')}`"


def prose(text: str, *, characters_max: int = _SHOWN_MAX) -> str:
    """
    Return a sentence with its plain words as they are and everything else as code.

    Plain are words of letters, and short numbers, with the punctuation of sentences;
    a name, a path, a time or whatever else might mean something becomes code. Backticks
    around words are left out, for they would be code within code.
    """
    shown: list[str] = []
    odd: list[str] = []
    for word in untrusted(text, characters_max=characters_max).split():
        word = word.strip("`")
        if not word:
            continue
        if _WORD.fullmatch(word) and not _COMMIT.fullmatch(word.strip("(),;:.%")):
            shown.extend(_span(odd))
            odd = []
            shown.append(word)
        else:
            odd.append(word)
    return " ".join([*shown, *_span(odd)]) or code("")


def _span(words: list[str]) -> list[str]:
    return [code(" ".join(words), characters_max=10 * _SHOWN_MAX)] if words else []
