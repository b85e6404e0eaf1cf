"""What the marks of a payload mean: the answers of collectors and of a fix, as they come in."""

from dataclasses import dataclass, field

from remedy.port import Captured, CollectorEnding, CollectorOutput, FixEnding, FixResult
from remedy_runners.capture import (
    COLLECTOR_STDERR_MAX,
    COLLECTOR_STDOUT_MAX,
    FIX_KEPT_MAX,
    FIX_OUTPUT_MAX,
    Capture,
)
from remedy_runners.frames import Frames, Mark
from remedy_runners.masking import Mask

__all__ = ["Answer", "CollectAnswer", "FixAnswer", "MarkersAnswer", "lost_output", "printed_secret", "refused_output"]


@dataclass(kw_only=True)
class _Stream:
    """One stream of a payload: its frames, and what lies outside of them."""

    frames: Frames
    capture: Capture
    marks: list[Mark] = field(default_factory=list)


def _nothing_captured() -> Captured:
    return Capture(head_max=0, tail_max=0).captured()


def lost_output(reason: str) -> CollectorOutput:
    """Return the output of a collector that was not heard."""
    return _without_output(CollectorEnding.LOST, reason)


def refused_output(reason: str) -> CollectorOutput:
    """Return the output of a collector that was not started."""
    return _without_output(CollectorEnding.REFUSED, reason)


def _without_output(ending: CollectorEnding, reason: str) -> CollectorOutput:
    nothing = _nothing_captured()
    return CollectorOutput(ending=ending, exit_code=None, stdout=nothing, stderr=nothing, reason=reason)


def printed_secret(stdout: Captured) -> str:
    """Return why there are no rows when a collector printed a secret among them; '' when it did not."""
    return f"it printed the {' and the '.join(stdout.masked)}; its rows are not kept" if stdout.masked else ""


class Answer:
    """Reads the two streams of one payload; what `mask` hides is kept nowhere."""

    def __init__(self, nonce: str, *, kept_max: int, mask: Mask | None = None) -> None:
        self._mask = mask
        self._streams = tuple(
            _Stream(frames=Frames(nonce), capture=Capture(head_max=kept_max, tail_max=kept_max, mask=mask))
            for _ in range(2)
        )
        self._noise = Capture(head_max=4_096, tail_max=4_096, mask=mask)
        self.boot_id: str | None = None
        self.started = False
        self.all_ended = False

    def hear(self, chunks: tuple[bytes, bytes]) -> None:
        """Take the next bytes of standard output and standard error."""
        for number, chunk in enumerate(chunks):
            if chunk:
                for piece in self._streams[number].frames.feed(chunk):
                    self._take(number, piece)

    def end(self) -> None:
        """Note that both streams have ended."""
        self.all_ended = True
        for number, stream in enumerate(self._streams):
            rest = stream.frames.rest()
            if rest:
                self._take(number, rest)

    def _take(self, number: int, piece: bytes | Mark) -> None:
        if isinstance(piece, bytes):
            self._data(number, piece)
            return
        self._streams[number].marks.append(piece)
        if piece[0] == "started" and number == 0:
            self.started = True
            self.boot_id = piece[1] if piece[1:] and piece[1] != "-" else None
        self._mark(number, piece)

    def _data(self, number: int, data: bytes) -> None:
        raise NotImplementedError

    def _mark(self, number: int, mark: Mark) -> None:
        """Take one mark; the base keeps them all."""

    @property
    def finished(self) -> bool:
        """Whether the payload said on both streams that it is through."""
        return all(stream.marks and stream.marks[-1][0] in self._last_words for stream in self._streams)

    @property
    def heard(self) -> bool:
        """Whether the payload said anything, on either stream."""
        return any(stream.marks for stream in self._streams)

    @property
    def too_much(self) -> bool:
        """Whether the script should be ended for what it prints."""
        return False

    _last_words: tuple[str, ...] = ()

    @property
    def noise(self) -> bytes:
        """What came outside of every frame: a login shell's or sudo's words."""
        return self._noise.captured().kept


class CollectAnswer(Answer):
    """Reads the answer of several collectors."""

    _last_words = ("done",)

    def __init__(self, nonce: str, *, mask: Mask | None = None) -> None:
        super().__init__(nonce, kept_max=0, mask=mask)
        # Which collector prints on each stream now: from `started` on, until its `over`.
        self._current: list[int | None] = [None, None]
        self._captures: dict[tuple[int, int], Capture] = {}
        self._ends: dict[int, Mark] = {}
        self._overs: dict[int, Mark] = {}

    def _mark(self, number: int, mark: Mark) -> None:
        match mark:
            case ("started", *_):
                self._current[number] = 0
            case ("end", index, _, _) if index == str(self._current[number]):
                self._ends[int(index)] = mark
            case ("over", index, _) if index == str(self._current[number]):
                self._current[number] = int(index) + 1
                if number == 0:
                    self._overs[int(index)] = mark

    def _data(self, number: int, data: bytes) -> None:
        current = self._current[number]
        if current is None:
            self._noise.feed(data)
        elif number or current not in self._ends:
            head_max = COLLECTOR_STDERR_MAX if number else COLLECTOR_STDOUT_MAX + 1
            if (current, number) not in self._captures:
                self._captures[current, number] = Capture(head_max=head_max, tail_max=0, mask=self._mask)
            self._captures[current, number].feed(data)

    def output(self, index: int) -> CollectorOutput:
        """Return what one collector came to."""
        stdout, stderr = (
            self._captures[index, number].captured() if (index, number) in self._captures else _nothing_captured()
            for number in range(2)
        )
        ending, code, reason = self._ending(index, stdout)
        return CollectorOutput(ending=ending, exit_code=code, stdout=stdout, stderr=stderr, reason=reason)

    def _ending(self, index: int, stdout: Captured) -> tuple[CollectorEnding, int | None, str]:
        if printed := printed_secret(stdout):
            return CollectorEnding.PRINTED_SECRET, None, printed
        if stdout.size > COLLECTOR_STDOUT_MAX:
            return CollectorEnding.TOO_MUCH_OUTPUT, None, f"more than {COLLECTOR_STDOUT_MAX} bytes of output"
        match self._ends.get(index), self._overs.get(index):
            case (_, _, code, "0"), _ if code.isdecimal():
                return CollectorEnding.EXITED, int(code), ""
            case (_, _, _, _), _:
                return CollectorEnding.TIMED_OUT, None, "it did not end within its timeout"
            case None, (_, _, "124" | "137" | "143"):
                reason = "it, or what it left behind, held its output open beyond its timeout"
                return CollectorEnding.TIMED_OUT, None, reason
        return CollectorEnding.LOST, None, "its end was not seen"


class FixAnswer(Answer):
    """Reads the answer of one fix."""

    _last_words = ("end", "held", "refused", "busy", "already")

    def __init__(self, nonce: str, *, mask: Mask | None = None) -> None:
        super().__init__(nonce, kept_max=FIX_KEPT_MAX, mask=mask)

    def _data(self, number: int, data: bytes) -> None:
        words = [mark[0] for mark in self._streams[number].marks]
        if not words:
            self._noise.feed(data)
        elif "end" not in words:
            self._streams[number].capture.feed(data)

    @property
    def too_much(self) -> bool:
        """Whether one of its streams is longer than a fix may make it."""
        return any(stream.capture.size > FIX_OUTPUT_MAX for stream in self._streams)

    @property
    def said(self) -> Mark | None:
        """The payload's last word, or None: it was not heard, or the streams disagree."""
        words = {stream.marks[-1] for stream in self._streams if stream.marks}
        last = {mark for mark in words if mark[0] in self._last_words}
        return last.pop() if len(last) == 1 else None

    def result(self, ending: FixEnding, reason: str, *, exit_code: int | None = None) -> FixResult:
        """Return the result with what was printed so far."""
        stdout, stderr = (stream.capture.captured() for stream in self._streams)
        return FixResult(ending=ending, exit_code=exit_code, stdout=stdout, stderr=stderr, reason=reason)


class MarkersAnswer(Answer):
    """Reads the answer of a look at markers; all of it is marks."""

    _last_words = ("done",)

    def __init__(self, nonce: str, *, mask: Mask | None = None) -> None:
        super().__init__(nonce, kept_max=0, mask=mask)

    def _data(self, number: int, data: bytes) -> None:
        self._noise.feed(data)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What was said on standard output."""
        return tuple(self._streams[0].marks)
