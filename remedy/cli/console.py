"""The console: results on stdout, everything else on stderr; colours and progress only on a terminal."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

__all__ = ["Talk"]

_PLAIN_WIDTH = 10_000


def _console(stream: Any) -> Console:
    if stream.isatty():
        return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=False)
    return Console(
        file=stream, highlight=False, markup=False, emoji=False, width=_PLAIN_WIDTH, color_system=None, no_color=True
    )


class Talk:
    """
    How a command talks: `result` and `result_json` on stdout, `say` on stderr.

    `progress` replaces one line on a terminal and says nothing elsewhere.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = _console(sys.stdout)
        self._err = _console(sys.stderr)
        self._progress = False

    def result(self, lines: Iterable[RenderableType]) -> None:
        """Print a result."""
        self._clear()
        for shown in lines:
            self._print(self._out, shown)

    def result_json(self, document: Any) -> None:
        """Print a result as one JSON document."""
        self._clear()
        json.dump(document, sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")

    def say(self, *lines: RenderableType) -> None:
        """Say something that is not the result."""
        self._clear()
        for shown in lines:
            self._print(self._err, Text(shown) if isinstance(shown, str) else shown)

    def progress(self, text: str) -> None:
        """Show how far it is, on a terminal only."""
        if self._err.is_terminal:
            width = max(10, self._err.width - 1)
            self._err.file.write("\r\x1b[2K" + text[:width])
            self._err.file.flush()
            self._progress = True

    def _clear(self) -> None:
        if self._progress:
            self._err.file.write("\r\x1b[2K")
            self._progress = False

    @staticmethod
    def _print(console: Console, shown: RenderableType) -> None:
        with console.capture() as capture:
            console.print(shown)
        text = capture.get()
        if not console.is_terminal:
            text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        console.file.write(text)

    def ask(self, question: str) -> bool:
        """Ask a yes/no question on the terminal; anything but y or yes is no."""
        self._clear()
        self._err.file.write(f"{question} [y/N] ")
        self._err.file.flush()
        answer = sys.stdin.readline()
        return answer.strip().casefold() in ("y", "yes")
