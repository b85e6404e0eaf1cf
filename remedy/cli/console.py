"""The console: results on stdout, everything else on stderr; colours and progress only on a terminal."""

import json
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.text import Text

from remedy.cli.unwritten import note_unwritten
from remedy.render.tables import folded

__all__ = ["Talk"]

_PLAIN_WIDTH = 10_000


class _Stream:
    """
    A stream whose reader may go away at any time (`| head`, a closed terminal), or whose device may be full.

    What is said then is lost; what is being done is not: nothing here raises for
    the reader's sake.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_over = False
        self.is_terminal = stream.isatty()
        self.console = (
            Console(file=stream, highlight=False, markup=False, emoji=False)
            if self.is_terminal
            else Console(
                file=stream,
                highlight=False,
                markup=False,
                emoji=False,
                width=_PLAIN_WIDTH,
                color_system=None,
                no_color=True,
            )
        )

    def show(self, shown: RenderableType) -> None:
        """Render and write; once it could not be written, nothing happens any more."""
        if self._is_over:
            return
        try:
            with self.console.capture() as capture:
                for part in self._parts(shown):
                    self.console.print(part, crop=False)
        except OSError as exc:
            # The capture ends with a write of nothing, which an unbuffered stream hands to a device that is full.
            self._give_up(exc)
            return
        text = capture.get()
        if not self.is_terminal:
            text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        self.write(text)

    def _parts(self, shown: RenderableType) -> Iterable[RenderableType]:
        """Return what is shown, a line of text folded so that no word of it is broken."""
        if not self.is_terminal or not isinstance(shown, (str, Text)):
            return (shown,)
        return folded(Text(shown) if isinstance(shown, str) else shown, self.console.width)

    def write(self, text: str) -> None:
        """Write and flush; once it could not be written, nothing happens any more."""
        if self._is_over:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as exc:
            self._give_up(exc)

    def _give_up(self, exc: OSError) -> None:
        self._is_over = True
        if self._stream is sys.stdout:
            note_unwritten(exc)


class Talk:
    """
    How a command talks: `result` and `result_json` on stdout, `say` on stderr.

    `progress` replaces one line on a terminal and says nothing elsewhere.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = _Stream(sys.stdout)
        self._err = _Stream(sys.stderr)
        self._progress = False

    def result(self, lines: Iterable[RenderableType]) -> None:
        """Print a result."""
        self._clear()
        for shown in lines:
            self._out.show(shown)

    def result_json(self, document: Any) -> None:
        """Print a result as one JSON document."""
        self._clear()
        self._out.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")

    def result_line(self, document: Any) -> None:
        """Print one JSON value of many, on a line of its own."""
        self._clear()
        self._out.write(json.dumps(document, ensure_ascii=False) + "\n")

    def result_text(self, text: str) -> None:
        """Print a result that is text as it stands, such as Markdown."""
        self._clear()
        self._out.write(text)

    def say(self, *lines: RenderableType) -> None:
        """Say something that is not the result."""
        self._clear()
        for shown in lines:
            self._err.show(Text(shown) if isinstance(shown, str) else shown)

    def progress(self, text: str) -> None:
        """Show how far it is, on a terminal only."""
        if self._err.is_terminal:
            width = max(10, self._err.console.width - 1)
            self._err.write("\r\x1b[2K" + text[:width])
            self._progress = True

    def _clear(self) -> None:
        if self._progress:
            self._err.write("\r\x1b[2K")
            self._progress = False

    def ask(self, question: str) -> bool:
        """Ask a yes/no question on the terminal; anything but y or yes is no."""
        self._clear()
        self._err.write(f"{question} [y/N] ")
        return sys.stdin.readline().strip().casefold() in ("y", "yes")
