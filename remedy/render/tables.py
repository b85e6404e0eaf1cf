"""Tables and lines as rich renderables; every text in them is plain text, never markup."""

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from remedy.text import untrusted

__all__ = ["STYLES", "line", "styled", "table"]

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


def table(heads: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Return a table without a frame, its head in capitals; long cells fold at the edge of the terminal."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
    for number, head in enumerate(heads):
        made.add_column(head.upper(), overflow="fold", no_wrap=number == 0)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(untrusted(cell)) for cell in row))
    return made
