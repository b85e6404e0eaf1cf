"""Tables and lines as rich renderables; every text in them is plain text, never markup."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from remedy.text import untrusted

__all__ = ["STYLES", "FittedTable", "folded", "line", "styled", "table"]

_GAP = 2
_LAST_COLUMN_MIN = 24
"""Narrower prose is no column any more."""
_FOLDED_IN_BY = 4
_ENDLESS = 1_000
"""Nobody's terminal is that wide: this is a pipe, where each row stays one line."""
_WORD = re.compile(r"\S+")

STYLES = {
    "match": "yellow",
    "healthy": "green",
    "unknown": "magenta",
    "not_applicable": "dim",
    "fixed": "green",
    "done": "green",
    "needs_reboot": "yellow",
    "not_fixed": "red",
    "unverified": "red",
    "failed": "red",
    "lost": "bold red",
    "refused": "red",
    "unreachable": "magenta",
    "skipped": "dim",
    "title": "bold",
    "halted": "bold red",
}
"""Colour repeats what a word says already; it never says anything alone."""


def styled(text: str, word: str | None = None) -> Text:
    """Return text in the style of a word (by default itself), or plain when there is none."""
    return Text(untrusted(text), style=STYLES.get(word or text, ""))


def line(*parts: str | Text) -> Text:
    """Return one line of parts with a blank between them."""
    return Text(" ").join(part if isinstance(part, Text) else Text(untrusted(part)) for part in parts)


def folded(text: Text, width: int) -> Iterator[Text]:
    """
    Yield a line as lines that fit, broken between words; what begins with blanks goes on below, further in.

    A word that is longer than a line (an id, a path) is never broken: it overflows.
    """
    for whole in text.split("\n", allow_blank=True):
        yield from (_unbroken(part) for part in _folded_line(whole, width))


def _folded_line(whole: Text, width: int) -> Iterator[Text]:
    plain = whole.plain
    if cell_len(plain) <= width:
        yield whole
        return
    margin = len(plain) - len(plain.lstrip(" "))
    inner = min(margin + _FOLDED_IN_BY, width // 2) if margin else 0
    starts, end, room = [0], 0, width
    for word in _WORD.finditer(plain):
        if end and cell_len(plain[starts[-1] : word.end()]) > room:
            starts.append(word.start())
            room = width - inner
        end = word.end()
    for begin, behind in pairwise([*starts, len(plain)]):
        part = whole[begin:behind]
        part.rstrip()
        yield Text(" " * inner) + part if begin else part


def _unbroken(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ignore"
    return text


class FittedTable:
    """
    A table without a frame; where it does not fit, a block of `HEAD: value` lines for each row.

    It fits when every cell stands on one line, but for the last column, whose words
    may fold. Nothing that somebody would copy is ever broken.
    """

    def __init__(self, heads: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
        self._margin = " " * (len(heads[0]) - len(heads[0].lstrip(" ")))
        self._heads = [head.upper() for head in heads]
        self._rows = [[cell if isinstance(cell, Text) else Text(untrusted(cell)) for cell in row] for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render as a table, or as blocks."""
        if options.max_width >= _ENDLESS or self._least() <= options.max_width:
            yield self._table()
            return
        for row in self._rows:
            for block_line in self._block(row):
                yield from folded(block_line, options.max_width)

    def _least(self) -> int:
        """Return the least width that it has as a table."""
        columns = list(zip(self._heads, *([cell.plain for cell in row] for row in self._rows), strict=True))
        *firsts, last = columns
        widths = [max(map(cell_len, column)) + _GAP for column in firsts]
        words = max((cell_len(word) for cell in last[1:] for word in cell.split()), default=0)
        wanted = max(words, _LAST_COLUMN_MIN, cell_len(last[0]))
        return sum(widths) + min(wanted, max(map(cell_len, last)))

    def _table(self) -> Table:
        made = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_edge=False, header_style="bold")
        for number, head in enumerate(self._heads):
            made.add_column(head, overflow="fold", no_wrap=number < len(self._heads) - 1)
        for row in self._rows:
            made.add_row(*row)
        return made

    def _block(self, row: Sequence[Text]) -> Iterator[Text]:
        """Yield a line for each cell that has something, all but the first further in."""
        margin = self._margin
        for head, cell in zip(self._heads, row, strict=True):
            value = cell[len(cell.plain) - len(cell.plain.lstrip(" ")) :] if cell.plain.strip() else None
            if value is not None:
                yield Text.assemble(margin, (f"{head.strip()}:", "bold"), " ", value)
                margin = f"{self._margin}  "


def table(heads: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> FittedTable:
    """Return a table, its head in capitals, that is shown as blocks of lines where it does not fit."""
    return FittedTable(heads, rows)
