"""
One session with a host, whatever carries it: sends payloads, reads what comes back.

An exchange is one run of a remote command; SSH and the local runner bring their
own. What a payload's marks mean is decided here and nowhere else.
"""

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from remedy.errors import Refused, RemedyError, Unreachable
from remedy.port import (
    Captured,
    Collected,
    CollectJob,
    CollectorEnding,
    CollectorOutput,
    FixEnding,
    FixJob,
    FixResult,
    Permit,
)
from remedy.text import one_line, untrusted
from remedy_runners.capture import (
    COLLECTOR_STDERR_MAX,
    COLLECTOR_STDOUT_MAX,
    FIX_KEPT_MAX,
    FIX_OUTPUT_MAX,
    Capture,
)
from remedy_runners.frames import Frames, Mark
from remedy_runners.payload import NOTHING_RAN, PAYLOAD_WAIT_S, collect_payload, fix_payload, remote_command

__all__ = ["GRACE_S", "START_GRACE_S", "Exchange", "FramedSession", "LinkLost"]

GRACE_S = 8
"""The controller waits so long beyond each deadline that the host itself keeps."""

START_GRACE_S = PAYLOAD_WAIT_S + 5
"""The controller waits so long for a payload's first line."""

_CHUNK_S = 1.0
_PAYLOAD_REFUSALS = {
    "hold": "/etc/remedy cannot be looked into, so nobody knows whether the host is held; chmod 755 /etc/remedy there",
    "flock": "it has no flock command; install util-linux",
    "interpreter": "it has no {}; install it, or write the script for sh",
    "marker": "{} cannot be written; free or repair its file system, so that a second start can be seen",
}


class LinkLost(Exception):
    """The link to the host is gone; never leaves the runners."""


class Exchange(Protocol):
    """One remote command under way."""

    def send(self, data: bytes, *, timeout_s: float) -> None:
        """
        Write to its standard input.

        Raises:
            LinkLost: not all of it could be written in time.
        """

    def receive(self, *, timeout_s: float) -> tuple[bytes, bytes] | None:
        """
        Return the next bytes of stdout and stderr, both empty after timeout_s; None when both have ended.

        A link that is gone ends both.
        """

    def exit_status(self) -> int | None:
        """Return the status the host reported, None when there is none."""

    def close(self) -> None:
        """Stop listening; what runs goes on. Never raises."""


@dataclass(kw_only=True)
class _Stream:
    """One stream of a payload: its frames, and what lies outside of them."""

    frames: Frames
    capture: Capture
    marks: list[Mark] = field(default_factory=list)
    ended: bool = False


def _nonce() -> str:
    return secrets.token_hex(16)


def _empty() -> Captured:
    return Capture(head_max=0, tail_max=0).captured()


class FramedSession:
    """The part of `remedy.port.Session` that is the same over every transport."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _start(self, command: str) -> Exchange:
        """
        Start a remote command.

        Raises:
            Unreachable: it was surely not started.
            Refused: the host would not have it.
            LinkLost: it may have been started.
        """
        raise NotImplementedError

    def _abandon(self) -> None:
        """Drop what was sent and not answered, so that it starts nothing once nobody expects it any more."""

    def collect(self, jobs: Sequence[CollectJob]) -> Collected:
        """See `remedy.port.Session`."""
        outputs: dict[str, CollectorOutput] = {}
        boot_id: str | None = None
        failure: RemedyError | None = None
        heard = False
        for become_root in (False, True):
            group = [job for job in jobs if job.become_root is become_root]
            if not group:
                continue
            try:
                if isinstance(failure, Unreachable):
                    raise failure
                listener = self._collect_group(group, become_root=become_root)
            except (Refused, Unreachable) as exc:
                failure = failure or exc
                outputs |= {job.signal: _lost(str(exc)) for job in group}
                continue
            heard = True
            boot_id = boot_id or listener.boot_id
            outputs |= {job.signal: listener.output(index) for index, job in enumerate(group)}
        if failure is not None and not heard:
            raise failure
        return Collected(boot_id=boot_id, outputs=outputs)

    def _collect_group(self, jobs: Sequence[CollectJob], *, become_root: bool) -> "_CollectListener":
        nonce = _nonce()
        payload = collect_payload(jobs, nonce=nonce)
        listener = _CollectListener(nonce)
        try:
            exchange = self._start(remote_command(payload, become_root=become_root))
        except LinkLost as exc:
            raise Unreachable(f"{self._name}: the link was lost; no collector was heard") from exc
        try:
            _converse(exchange, payload, listener, within_s=sum(job.timeout_s + GRACE_S for job in jobs))
            if not listener.started:
                raise self._nothing_heard(exchange, listener, become_root=become_root)
        finally:
            exchange.close()
            if not listener.heard and not listener.all_ended:
                self._abandon()
        return listener

    def _nothing_heard(self, exchange: Exchange, listener: "_Listener", *, become_root: bool) -> RemedyError:
        status = exchange.exit_status() if listener.all_ended and not listener.heard else None
        if status is None:
            return Unreachable(f"{self._name}: the link was lost; no collector was heard")
        return Refused(f"{self._name}: {_why_nothing_ran(status, listener, become_root=become_root)}")

    def fix(self, permit: Permit, job: FixJob) -> FixResult:
        """See `remedy.port.Session`."""
        _check_permit(permit, job, self._name)
        nonce = _nonce()
        payload = fix_payload(job, nonce=nonce)
        listener = _FixListener(nonce)
        try:
            exchange = self._start(remote_command(payload, become_root=job.become_root))
        except LinkLost:
            return listener.result(FixEnding.LOST, "the link was lost as it was sent")
        except Refused as exc:
            return listener.result(FixEnding.REFUSED, str(exc))
        try:
            _converse(exchange, payload, listener, within_s=job.timeout_s + GRACE_S)
            return _fix_result(exchange, listener, job)
        finally:
            exchange.close()
            if not listener.heard and not listener.all_ended:
                self._abandon()

    def close(self) -> None:
        """See `remedy.port.Session`."""
        raise NotImplementedError


def _check_permit(permit: Permit, job: FixJob, host: str) -> None:
    digest = hashlib.sha256(job.script).hexdigest()
    permitted = (permit.execution_id, permit.script_sha256, permit.host)
    if permitted != (job.execution_id, digest, host) or job.script_sha256 != digest:
        raise ValueError(f"{job.execution_id} on {host}: the job is not the one that was permitted")


def _lost(reason: str) -> CollectorOutput:
    return CollectorOutput(ending=CollectorEnding.LOST, exit_code=None, stdout=_empty(), stderr=_empty(), reason=reason)


class _Listener:
    """Reads the two streams of one payload."""

    def __init__(self, nonce: str, *, kept_max: int) -> None:
        self._streams = tuple(
            _Stream(frames=Frames(nonce), capture=Capture(head_max=kept_max, tail_max=kept_max)) for _ in range(2)
        )
        self._noise = Capture(head_max=4_096, tail_max=4_096)
        self.boot_id: str | None = None
        self.started = False
        self.all_ended = False

    def hear(self, chunks: tuple[bytes, bytes]) -> None:
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


class _CollectListener(_Listener):
    """Reads the answer of several collectors."""

    _last_words = ("done",)

    def __init__(self, nonce: str) -> None:
        super().__init__(nonce, kept_max=0)
        self._current: list[int | None] = [None, None]
        self._captures: dict[tuple[int, int], Capture] = {}
        self._ends: dict[int, Mark] = {}
        self._overs: dict[int, Mark] = {}

    def _mark(self, number: int, mark: Mark) -> None:
        match mark:
            case ("begin", index) if index.isdecimal():
                self._current[number] = int(index)
                head_max = COLLECTOR_STDERR_MAX if number else COLLECTOR_STDOUT_MAX + 1
                self._captures[int(index), number] = Capture(head_max=head_max, tail_max=0)
            case ("end", index, _, _) if index.isdecimal() and number == 0:
                self._ends[int(index)] = mark
                self._current[number] = None
            case ("over", index, _) if index.isdecimal():
                self._current[number] = None
                if number == 0:
                    self._overs[int(index)] = mark

    def _data(self, number: int, data: bytes) -> None:
        current = self._current[number]
        (self._noise if current is None else self._captures[current, number]).feed(data)

    def output(self, index: int) -> CollectorOutput:
        """Return what one collector came to."""
        stdout, stderr = (
            self._captures[index, number].captured() if (index, number) in self._captures else _empty()
            for number in range(2)
        )
        ending, code, reason = self._ending(index, stdout)
        return CollectorOutput(ending=ending, exit_code=code, stdout=stdout, stderr=stderr, reason=reason)

    def _ending(self, index: int, stdout: Captured) -> tuple[CollectorEnding, int | None, str]:
        if stdout.size > COLLECTOR_STDOUT_MAX:
            return CollectorEnding.TOO_MUCH_OUTPUT, None, f"more than {COLLECTOR_STDOUT_MAX} bytes of output"
        match self._ends.get(index), self._overs.get(index):
            case (_, _, code, "0"), _ if code.isdecimal():
                return CollectorEnding.EXITED, int(code), ""
            case (_, _, _, _), _:
                return CollectorEnding.TIMED_OUT, None, "it did not end within its timeout"
            case None, (_, _, "124" | "137"):
                reason = "it, or what it left behind, held its output open beyond its timeout"
                return CollectorEnding.TIMED_OUT, None, reason
        return CollectorEnding.LOST, None, "its end was not seen"


class _FixListener(_Listener):
    """Reads the answer of one fix."""

    _last_words = ("end", "held", "refused", "busy", "already")

    def __init__(self, nonce: str) -> None:
        super().__init__(nonce, kept_max=FIX_KEPT_MAX)

    def _data(self, number: int, data: bytes) -> None:
        words = [mark[0] for mark in self._streams[number].marks]
        if not words:
            self._noise.feed(data)
        elif "end" not in words:
            self._streams[number].capture.feed(data)

    @property
    def too_much(self) -> bool:
        return any(stream.capture.size > FIX_OUTPUT_MAX for stream in self._streams)

    @property
    def said(self) -> Mark | None:
        """The payload's last word, or None: it was not heard, or the streams disagree."""
        words = {stream.marks[-1] for stream in self._streams if stream.marks}
        last = {mark for mark in words if mark[0] in self._last_words}
        return last.pop() if len(last) == 1 else None

    def result(self, ending: FixEnding, reason: str, *, exit_code: int | None = None) -> FixResult:
        stdout, stderr = (stream.capture.captured() for stream in self._streams)
        return FixResult(ending=ending, exit_code=exit_code, stdout=stdout, stderr=stderr, reason=reason)


def _converse(exchange: Exchange, payload: bytes, listener: _Listener, *, within_s: float) -> None:
    """Send the payload and listen until it is through, its streams end, or the time is over."""
    deadline = time.monotonic() + START_GRACE_S
    try:
        exchange.send(payload, timeout_s=START_GRACE_S)
    except LinkLost:
        # The host may have said why before it stopped reading.
        deadline = time.monotonic() + _CHUNK_S
    extended = killed = False
    while not listener.finished:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return
        chunks = exchange.receive(timeout_s=min(left_s, _CHUNK_S))
        if chunks is None:
            listener.end()
            return
        listener.hear(chunks)
        if listener.started and not extended:
            extended, deadline = True, time.monotonic() + within_s
        if listener.too_much and not killed:
            killed, deadline = True, time.monotonic() + GRACE_S
            _ask_to_kill(exchange)


def _ask_to_kill(exchange: Exchange) -> None:
    try:
        exchange.send(b"kill\n", timeout_s=_CHUNK_S)
    except LinkLost:
        return


def _fix_result(exchange: Exchange, listener: _FixListener, job: FixJob) -> FixResult:
    much = f"ended for printing more than {FIX_OUTPUT_MAX} bytes" if listener.too_much else ""
    if listener.said and not listener.finished:
        much = much or "the end of one of its output streams was not seen"
    match listener.said:
        case ("end", _, "1"):
            return listener.result(FixEnding.TIMED_OUT, much or f"it did not end within {job.timeout_s} s")
        case ("end", code, _) if code.isdecimal():
            return listener.result(FixEnding.FINISHED, much, exit_code=int(code))
        case ("held", *words):
            reason = untrusted(" ".join(words), characters_max=200)
            return listener.result(FixEnding.HOST_HOLD, reason or "/etc/remedy/hold exists on the host")
        case ("busy", *_):
            return listener.result(FixEnding.HOST_BUSY, "another fix is at work on the host")
        case ("already", *_):
            return listener.result(FixEnding.ALREADY_STARTED, "this execution was started on the host before")
        case ("refused", code, *words) if code in _PAYLOAD_REFUSALS:
            what = untrusted(" ".join(words)) or "interpreter of this script"
            return listener.result(FixEnding.REFUSED, "the host: " + _PAYLOAD_REFUSALS[code].format(what))
    status = exchange.exit_status() if listener.all_ended and not listener.heard else None
    if status is not None:
        why = _why_nothing_ran(status, listener, become_root=job.become_root)
        return listener.result(FixEnding.REFUSED, why)
    return listener.result(FixEnding.LOST, much or "its end was not seen")


def _why_nothing_ran(status: int, listener: _Listener, *, become_root: bool) -> str:
    if status in NOTHING_RAN:
        return f"nothing ran on the host: {NOTHING_RAN[status]}"
    said = one_line(listener.noise)
    if become_root and "sudo" in said:
        return (
            f"nothing ran on the host: {said}; let this login run `sudo -n -- sh` without a password, or log in as root"
        )
    return f"nothing ran on the host: its login shell ended with {status}" + (f": {said}" if said else "")
