"""What one PowerShell process says on standard output: marks, what the script prints, and the trailer that ends it."""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

from remedy.port import Captured
from remedy_runners.capture import (
    COLLECTOR_STDERR_MAX,
    COLLECTOR_STDOUT_MAX,
    FIX_KEPT_MAX,
    FIX_OUTPUT_MAX,
    Capture,
)
from remedy_runners.frames import Mark
from remedy_runners.masking import Mask
from remedy_runners.powershell.clixml import CLIXML_SIZE_MAX, read_stderr

__all__ = ["PowerShellAnswer", "PowerShellLines", "Trailer", "TrailerKind", "boot_id_of"]

_LINE_SIZE_MAX = 1_024
_NONCE = re.compile(r"[0-9A-Za-z]{6,64}")
_MARKS = {
    "started",
    "held",
    "busy",
    "already",
    "refused",
    "machine",
    "name",
    "version",
    "reader",
    "marker",
    "done",
}
_NOTHING_RUNS = {"held", "busy", "already", "refused"}
_TRAILER = re.compile(r"([a-z]+) (-?[0-9]{1,10}) (-?[0-9]{1,10}|)")
_INT32 = range(-(2**31), 2**31)
_CLIXML = b"#< CLIXML"
_BETWEEN_LINES = re.compile(rb"(?:_x000[DA]_|\s*</?[A-Za-z][^<>]*>\s*)+")
"""What stands between the lines of CLIXML, and where a long line was cut in two."""


class TrailerKind(StrEnum):
    """
    How a script's run ended, as the bootstrap saw it.

    exit   the script said `exit`; the code is its
    end    it ran to its last statement
    throw  an error ended it
    parse  it is no PowerShell; nothing of it ran
    stop   its pipeline was stopped
    load   the payload was damaged, or its literal part ended it; nothing of the script ran
    time   its deadline ended it
    """

    EXIT = "exit"
    END = "end"
    THROW = "throw"
    PARSE = "parse"
    STOP = "stop"
    LOAD = "load"
    TIME = "time"


_CODES = {
    TrailerKind.END: 0,
    TrailerKind.THROW: 1,
    TrailerKind.PARSE: 1,
    TrailerKind.STOP: 1,
    TrailerKind.LOAD: 1,
    TrailerKind.TIME: 124,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailer:
    """
    The last line of the bootstrap: kind, exact code, and $LASTEXITCODE; `last` is None when no native command ran.

    Code and `last` are 32 bit and may be negative; the process's own exit code may
    be cut to 8 bit and is not asked.
    """

    kind: TrailerKind
    code: int
    last: int | None


def _trailer_of(line: str) -> Trailer | None:
    match = _TRAILER.fullmatch(line)
    if match is None or match[1] not in set(TrailerKind):
        return None
    kind, code = TrailerKind(match[1]), int(match[2])
    last = int(match[3]) if match[3] else None
    if code not in _INT32 or _CODES.get(kind, code) != code or (last is not None and last not in _INT32):
        return None
    return Trailer(kind=kind, code=code, last=last)


class PowerShellLines:
    r"""
    Splits standard output into bytes of the script, marks, and the trailer.

    A mark is a line `\n<nonce> <words>\n`, the trailer a line `\n<nonce> KIND CODE
    LAST\n` with exactly one blank before each of the three; both newlines belong
    to the line. Where the host writes `\r\n` for both, so does each `\r`. Anything
    else, with the nonce or without, is the script's and comes back byte for byte.
    After the trailer nothing is the script's, and nothing is given back.
    """

    def __init__(self, nonce: str) -> None:
        if _NONCE.fullmatch(nonce) is None:
            raise ValueError("a nonce is 6 to 64 letters and digits")
        self._prefix = b"\n" + nonce.encode("ascii") + b" "
        self._held = b""
        self._is_over = False

    def feed(self, data: bytes) -> list[bytes | Mark | Trailer]:
        """Return what the next bytes complete, in order; the start of a possible line is held back."""
        pieces: list[bytes | Mark | Trailer] = []
        if self._is_over:
            return pieces
        held, given, seek = self._held + data, 0, 0
        while (found := held.find(self._prefix, seek)) >= 0:
            begin, end = found + len(self._prefix), held.find(b"\n", found + 1)
            if end < 0 and len(held) - found <= _LINE_SIZE_MAX:
                break
            line = held[begin:end] if 0 <= end - begin <= _LINE_SIZE_MAX else b""
            said = self._said(line.removesuffix(b"\r"))
            if said is None:
                # Its end may be the newline that a true line begins with.
                seek = found + 1
                continue
            start = found - 1 if line.endswith(b"\r") and held[given:found].endswith(b"\r") else found
            if start > given:
                pieces.append(held[given:start])
            pieces.append(said)
            if isinstance(said, Trailer):
                self._held, self._is_over = b"", True
                return pieces
            given = seek = end + 1
        sure = len(held) - self._partial(held, given) if found < 0 else found
        if found >= 0 and held[given:found].endswith(b"\r"):
            sure -= 1
        if sure > given:
            pieces.append(held[given:sure])
        self._held = held[max(sure, given) :]
        return pieces

    def rest(self) -> bytes:
        """Return what was held back; for when the stream has ended."""
        rest, self._held = self._held, b""
        return rest

    @staticmethod
    def _said(line: bytes) -> Mark | Trailer | None:
        text = line.decode("utf-8", errors="backslashreplace")
        words = tuple(text.split(" "))
        return words if words[0] in _MARKS else _trailer_of(text)

    def _partial(self, held: bytes, given: int) -> int:
        """Return how many bytes at the end of held may be the start of a line."""
        tail = held[max(given, len(held) - len(self._prefix)) :]
        for size in range(len(tail), 0, -1):
            end = tail[-size:]
            if self._prefix.startswith(end) or (b"\r" + self._prefix).startswith(end):
                return size
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """What is kept of a stream's head and tail, and the size that is too much."""

    head_max: int
    tail_max: int
    size_max: int


_FIX = _Limits(head_max=FIX_KEPT_MAX, tail_max=FIX_KEPT_MAX, size_max=FIX_OUTPUT_MAX)
_ROWS = _Limits(head_max=COLLECTOR_STDOUT_MAX + 1, tail_max=0, size_max=COLLECTOR_STDOUT_MAX)
_COLLECTOR_STDERR = _Limits(head_max=COLLECTOR_STDERR_MAX, tail_max=0, size_max=FIX_OUTPUT_MAX)


@dataclass(kw_only=True)
class _Stream:
    """One stream as it comes in; CLIXML can be decoded only while all of it is there."""

    limits: _Limits
    mask: Mask | None
    capture: Capture = field(init=False)
    whole: bytearray = field(default_factory=bytearray)
    has_clixml: bool = False
    _last: bytes = b""

    def __post_init__(self) -> None:
        self.capture = self.new_capture()

    def new_capture(self) -> Capture:
        return Capture(head_max=self.limits.head_max, tail_max=self.limits.tail_max, mask=self.mask)

    def feed(self, data: bytes) -> None:
        self.capture.feed(data)
        self.whole += data[: CLIXML_SIZE_MAX + 1 - len(self.whole)]
        seen = self._last + data
        self.has_clixml = self.has_clixml or _CLIXML in seen
        self._last = seen[1 - len(_CLIXML) :]

    def masked(self, text: bytes) -> Captured:
        """
        Return another text as it would have been kept, had it come in.

        Where CLIXML that nobody could decode is left in it, only its lines are, so
        that a value is found that was cut in two between them.
        """
        if _CLIXML not in text or self.mask is None or not self.mask.hides:
            return self._captured(text)
        stream = self.mask.stream()
        # A value as it is may hold what looks like XML.
        text = stream.feed(text) + stream.rest()
        captured = self._captured(_BETWEEN_LINES.sub(b"\n", text))
        return replace(captured, masked=tuple(sorted({*captured.masked, *stream.found})))

    def withheld(self) -> Captured:
        """Return what stands in the place of CLIXML that is too long to be decoded, and may hold half a value."""
        captured = self.capture.captured()
        said = self._captured(
            f"not kept: {captured.size} bytes of CLIXML, SHA-256 {captured.sha256}, are more than "
            f"{CLIXML_SIZE_MAX} and may hold a secret\n".encode("ascii")
        )
        return replace(said, masked=captured.masked)

    def _captured(self, text: bytes) -> Captured:
        capture = self.new_capture()
        capture.feed(text)
        return capture.captured()

    @property
    def is_too_long(self) -> bool:
        """Whether it is too long to be decoded, and has CLIXML in which a secret may be cut in two."""
        return len(self.whole) > CLIXML_SIZE_MAX and self.has_clixml and self.mask is not None and self.mask.hides

    @property
    def is_too_much(self) -> bool:
        return self.capture.size > self.limits.size_max


class PowerShellAnswer:
    """
    Hears both streams of one PowerShell process that runs one script.

    Use `of_fix`, or `of_collector`, whose limits also do for payloads of our own.
    """

    def __init__(self, nonce: str, *, stdout: _Limits, stderr: _Limits, mask: Mask | None) -> None:
        self._lines = PowerShellLines(nonce)
        self._stdout = _Stream(limits=stdout, mask=mask)
        self._stderr = _Stream(limits=stderr, mask=mask)
        self._noise = Capture(head_max=4_096, tail_max=4_096, mask=mask)
        self._marks: list[Mark] = []
        self.boot_id: str | None = None
        self.started = False
        self.trailer: Trailer | None = None
        self.nothing_ran: Mark | None = None
        self.all_ended = False

    @classmethod
    def of_fix(cls, nonce: str, *, mask: Mask | None = None) -> "PowerShellAnswer":
        """Return one that keeps what a fix may print."""
        return cls(nonce, stdout=_FIX, stderr=_FIX, mask=mask)

    @classmethod
    def of_collector(cls, nonce: str, *, mask: Mask | None = None) -> "PowerShellAnswer":
        """Return one that keeps the rows of a collector, all of them or one byte too many."""
        return cls(nonce, stdout=_ROWS, stderr=_COLLECTOR_STDERR, mask=mask)

    def hear(self, chunks: tuple[bytes, bytes]) -> None:
        """Take the next bytes of standard output and standard error."""
        stdout, stderr = chunks
        for piece in self._lines.feed(stdout):
            self._take(piece)
        if stderr:
            self._stderr.feed(stderr)

    def end(self) -> None:
        """Note that both streams have ended."""
        self.all_ended = True
        if rest := self._lines.rest():
            self._take(rest)

    def _take(self, piece: bytes | Mark | Trailer) -> None:
        match piece:
            case bytes():
                if self.started:
                    self._stdout.feed(piece)
                else:
                    self._noise.feed(piece)
            case Trailer():
                self.trailer = piece
            case ("started", *words):
                if not self.started:
                    self.started, self.boot_id = True, boot_id_of(" ".join(words))
            case _:
                self._marks.append(piece)
                if piece[0] in _NOTHING_RUNS and not self.started and self.nothing_ran is None:
                    self.nothing_ran = piece

    @property
    def finished(self) -> bool:
        """Whether nothing more of the script can come on standard output."""
        return self.trailer is not None or self.nothing_ran is not None

    @property
    def heard(self) -> bool:
        """Whether the payload, or the bootstrap, said anything."""
        return self.started or self.finished or bool(self._marks)

    @property
    def too_much(self) -> bool:
        """Whether one of the streams is longer than it may be."""
        return self._stdout.is_too_much or self._stderr.is_too_much

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What was said besides `started` and the trailer, in order."""
        return tuple(self._marks)

    @property
    def noise(self) -> bytes:
        """What came on standard output before the payload said `started`; no script printed it."""
        return self._noise.captured().kept

    def stdout(self) -> Captured:
        """Return what the script printed."""
        return self._stdout.capture.captured()

    def stderr(self) -> Captured:
        """
        Return standard error as text; size and digest are of the decoded text where CLIXML was decoded.

        While there is a secret to mask, CLIXML that cannot be decoded is kept without
        its marks, and not at all where it is too long.
        """
        if self._stderr.is_too_long:
            return self._stderr.withheld()
        # What is longer than can be decoded is one byte too long here too.
        decoded = read_stderr(bytes(self._stderr.whole))
        if decoded.is_decoded:
            return self._stderr.masked(decoded.text.encode("utf-8", errors="backslashreplace"))
        if len(self._stderr.whole) <= CLIXML_SIZE_MAX and self._stderr.has_clixml:
            return self._stderr.masked(bytes(self._stderr.whole))
        return self._stderr.capture.captured()


_BOOT_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.:-]{0,63}")


def boot_id_of(text: str | None) -> str | None:
    """Return a boot id as a payload writes it; None for anything else, `-` too."""
    return text if text is not None and _BOOT_ID.fullmatch(text) else None
