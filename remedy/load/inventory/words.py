"""A host line of an INI inventory, split into words as a POSIX shell's quoting says, each with its columns."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Word", "split_words"]

_BLANKS = " \t\r\n"
_QUOTES = "'\""
_PLAIN = re.compile(r"[^ \t\r\n]+")
_SPECIAL = re.compile(r"[#'\"\\]")
_SPECIAL_OR_BLANK = re.compile(r"[#'\"\\ \t\r\n]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """
    A word without its quotes; `columns` say for each of its characters, and for its end, where it stands.

    `lost` is the column of the first backslash that is gone and was before nothing that needs one.
    """

    text: str
    columns: Sequence[int]
    lost: int | None = None


def split_words(line: str, *, column: int = 1) -> tuple[Word, ...]:
    """
    Return the words of a line; its first character stands at `column`.

    Quotes and backslashes mean what they mean to Python's `shlex.split` with
    comments, which Ansible uses: a `#` begins a comment in the middle of a word, too.

    Raises:
        ValueError: a quotation is not closed, or the line ends in a backslash.
    """
    if _SPECIAL.search(line) is None:
        return tuple(
            Word(text=found[0], columns=range(found.start() + column, found.end() + column + 1))
            for found in _PLAIN.finditer(line)
        )
    return tuple(_Splitter(line, column).words())


class _Splitter:
    def __init__(self, line: str, column: int) -> None:
        self._line = line
        self._column = column
        self._at = 0
        self._characters: list[str] = []
        self._columns: list[int] = []
        self._lost: int | None = None
        self._is_word = False

    def words(self) -> list[Word]:
        found: list[Word] = []
        while self._at < len(self._line):
            character = self._line[self._at]
            if character in _BLANKS or character == "#":
                self._end(found)
                if character == "#":
                    # What shlex calls a line ends there, and ours have no newline.
                    return found
                self._at += 1
            elif character in _QUOTES:
                self._quoted(character)
            elif character == "\\":
                self._take_escaped()
            else:
                self._take()
        self._end(found)
        return found

    def _end(self, found: list[Word]) -> None:
        if self._is_word:
            columns = (*self._columns, self._at + self._column)
            found.append(Word(text="".join(self._characters), columns=columns, lost=self._lost))
        self._characters, self._columns, self._is_word, self._lost = [], [], False, None

    def _take(self) -> None:
        self._characters.append(self._line[self._at])
        self._columns.append(self._at + self._column)
        self._is_word = True
        self._at += 1

    def _take_escaped(self) -> None:
        self._at += 1
        if self._at == len(self._line):
            raise ValueError("ends in a backslash")
        if self._lost is None and not _SPECIAL_OR_BLANK.match(self._line[self._at]):
            self._lost = self._at - 1 + self._column
        self._take()

    def _quoted(self, quote: str) -> None:
        self._is_word = True
        self._at += 1
        while self._at < len(self._line):
            character = self._line[self._at]
            if character == quote:
                self._at += 1
                return
            following = self._line[self._at + 1 : self._at + 2]
            if quote == '"' and character == "\\" and following in {'"', "\\"}:
                self._at += 1
            elif quote == '"' and character == "\\" and not following:
                raise ValueError("ends in a backslash")
            self._take()
        raise ValueError("has a quotation that is not closed")
