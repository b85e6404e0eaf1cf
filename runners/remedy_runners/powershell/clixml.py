"""
Standard error of PowerShell as a person should read it: CLIXML decoded, progress dropped.

PowerShell writes its streams as XML behind a line `#< CLIXML` when it was
started in certain ways (`-EncodedCommand`) or from afar; what native programs
print stands before, between and behind such blocks as it is. The text may hold
control characters: `remedy.text.untrusted` makes it harmless.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

__all__ = ["CLIXML_SIZE_MAX", "Stderr", "read_stderr"]

CLIXML_SIZE_MAX = 1_048_576
"""More standard error than this is not searched for CLIXML; it stays as it is."""

_DEPTH_MAX = 100
_MARKER = "#< CLIXML"
_OPEN = re.compile(r"\s*<Objs(?=[\s/>])[^>]*>")
_CLOSE = "</Objs>"
_ESCAPE = re.compile(r"(?:_x[0-9A-Fa-f]{4}_)+")
_LABELS: Mapping[str, str] = {"error": "", "warning": "WARNING: ", "verbose": "VERBOSE: ", "debug": "DEBUG: "}
"""The streams that are text for a person, with what PowerShell puts before each; information is on standard output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stderr:
    """
    Standard error as text.

    `is_decoded` says that it held CLIXML that was decoded; `has_errors` that
    PowerShell itself wrote errors into it, which says nothing about the exit code.
    """

    text: str
    is_decoded: bool
    has_errors: bool


class _Damaged(Exception):
    """A block that is no CLIXML; never leaves this module."""


@dataclass(kw_only=True)
class _Block:
    """One `<Objs>` as it is parsed: what its streams say, in their order."""

    texts: list[str] = field(default_factory=list)
    has_errors: bool = False
    _path: list[str] = field(default_factory=list)
    _stream: str = ""
    _pieces: list[str] = field(default_factory=list)
    _reading: tuple[int, str] = (2, "S")

    def parse(self, source: str) -> None:
        parser = expat.ParserCreate(encoding="utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._finish
        parser.CharacterDataHandler = self._hear
        parser.StartDoctypeDeclHandler = self._refuse
        try:
            parser.Parse(source.encode("utf-8", errors="backslashreplace"), True)
        except expat.ExpatError as exc:
            raise _Damaged from exc

    @staticmethod
    def _refuse(*_: object) -> None:
        raise _Damaged

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        if len(self._path) > _DEPTH_MAX:
            raise _Damaged
        if len(self._path) == 2:
            self._stream, self._pieces = attributes.get("S", "").lower(), []
            # A record is an object: the text of its <ToString> is what a person would see.
            self._reading = (2, "S") if name == "S" else (3, "ToString")
            if self._stream == "error":
                self.has_errors = True

    def _hear(self, text: str) -> None:
        if self._path and (len(self._path), self._path[-1]) == self._reading:
            self._pieces.append(text)

    def _finish(self, _: str) -> None:
        if len(self._path) == 2 and self._stream in _LABELS:
            label, text = _LABELS[self._stream], _unescaped("".join(self._pieces))
            # Errors as text come with the ends of their lines, also in parts of lines; all else comes without.
            has_its_end = text.endswith("\n") or (not label and self._reading == (2, "S"))
            self.texts.append(label + text + ("" if has_its_end else "\n"))
        self._path.pop()


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_characters, text).replace("\r\n", "\n")


def _characters(match: re.Match[str]) -> str:
    # Two halves of a surrogate pair are one character; a half alone is none.
    units = [int(match[0][at + 2 : at + 6], 16) for at in range(0, len(match[0]), 7)]
    raw = b"".join(unit.to_bytes(2, "little") for unit in units)
    return raw.decode("utf-16-le", errors="replace")


def read_stderr(raw: bytes) -> Stderr:
    r"""
    Return standard error as text; a block that cannot be read stays as it came.

    Bytes that are no UTF-8 become `\xNN`. Time and memory are linear in the size,
    and nothing is decoded beyond CLIXML_SIZE_MAX bytes; no entity is expanded, and
    a block with a document type is damaged.
    """
    text = raw.decode("utf-8", errors="backslashreplace")
    if len(raw) > CLIXML_SIZE_MAX or _MARKER not in text:
        return Stderr(text=text, is_decoded=False, has_errors=False)
    before, *parts = text.split(_MARKER)
    pieces = [before]
    is_decoded = has_errors = False
    # The marker never stands inside a block: there its < would be written as an entity.
    for part in parts:
        try:
            blocks, behind = _blocks_of(part)
        except _Damaged:
            pieces += (_MARKER, part)
            continue
        is_decoded = True
        has_errors = has_errors or any(block.has_errors for block in blocks)
        pieces += (said for block in blocks for said in block.texts)
        pieces.append(behind)
    return Stderr(text="".join(pieces), is_decoded=is_decoded, has_errors=has_errors)


def _blocks_of(part: str) -> tuple[list[_Block], str]:
    """Return the blocks that follow a marker, none when it stands alone, and the text behind them."""
    blocks: list[_Block] = []
    at = 0
    while opening := _OPEN.match(part, at):
        end = opening.end()
        if not opening[0].endswith("/>"):
            closing = part.find(_CLOSE, end)
            if closing < 0:
                raise _Damaged
            end = closing + len(_CLOSE)
        block = _Block()
        block.parse(part[at:end].lstrip())
        blocks.append(block)
        at = end
    behind = part[at:]
    if not blocks and behind.strip():
        raise _Damaged
    return blocks, behind if behind.strip() else ""
