"""
A host that says what it was told to say: an `Exchange` that replays chunks, waits, ends and lost links.

It interprets nothing. What it replays is what a real PowerShell was recorded to
say; the nonce is taken from the payload, where the real one has it from.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from remedy.port import _SEAL, CollectJob, FixJob, Permit
from remedy_runners.powershell.session import PowerShellSession
from remedy_runners.session import Exchange, LinkLost

NONCE = b"@NONCE@"
"""Stands in scripted chunks for the nonce of the payload."""

HOST = "web-1"
FIX = "20261122T100000Z-0001-low-disk-web-1"


def line(words: str) -> bytes:
    """Return a mark or trailer as the host writes it."""
    return b"\n" + NONCE + b" " + words.encode("utf-8") + b"\n"


@dataclass
class Clock:
    """A clock that goes on only when somebody waits."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, kw_only=True)
class Say:
    """The next bytes of both streams, after a while of silence."""

    stdout: bytes = b""
    stderr: bytes = b""
    after_s: float = 0.0


@dataclass(kw_only=True)
class Scripted:
    """
    One process: what it says, then the end of its streams, or silence for ever.

    `status` is what the host reports at the end, None for a link that is gone.
    `endless` goes on saying the last chunk. A send that fails has reached nobody.
    """

    steps: Sequence[Say] = ()
    status: int | None = 0
    is_silent: bool = False
    is_endless: bool = False
    fails: str = ""
    clock: Clock = field(default_factory=Clock)
    sent: bytes = b""
    closed: int = 0
    is_finished: bool = False
    received: int = 0

    def send(self, data: bytes, *, timeout_s: float) -> None:
        if self.fails == "send":
            raise LinkLost("the link was lost as it was sent")
        self.sent += data

    def finish_input(self, *, timeout_s: float) -> None:
        if self.fails == "finish_input":
            raise LinkLost("the link was lost as it was sent")
        self.is_finished = True

    def receive(self, *, timeout_s: float) -> tuple[bytes, bytes] | None:
        assert timeout_s > 0
        assert not self.closed
        steps = list(self.steps)
        if self.is_endless and self.received >= len(steps):
            step = steps[-1]
        elif self.received < len(steps):
            step = steps[self.received]
        elif self.is_silent:
            self.clock.now += timeout_s
            return b"", b""
        else:
            return None
        if step.after_s > timeout_s:
            self.clock.now += timeout_s
            self.steps = [
                *steps[: self.received],
                Say(stdout=step.stdout, stderr=step.stderr, after_s=step.after_s - timeout_s),
                *steps[self.received + 1 :],
            ]
            return b"", b""
        self.clock.now += step.after_s
        self.received += 1
        nonce = self.sent.split(b" ", 1)[0]
        return step.stdout.replace(NONCE, nonce), step.stderr

    def exit_status(self) -> int | None:
        return self.status

    def close(self) -> None:
        self.closed += 1


class ScriptedSession(PowerShellSession):
    """A session whose processes are scripted, in their order; an exception among them is what starting one meets."""

    def __init__(self, *processes: Scripted | Exception) -> None:
        self.clock = Clock()
        super().__init__(HOST, root="/scripted", monotonic=self.clock)
        self.processes = processes
        self.commands: list[str] = []
        self.within_s: list[int] = []
        self.abandoned = 0

    def _start(self, command: str, *, within_s: int) -> Exchange:
        started = [each for each in self.processes[: len(self.commands)] if isinstance(each, Scripted)]
        assert all(each.closed for each in started), "the process before was not closed"
        process = self.processes[len(self.commands)]
        self.commands.append(command)
        self.within_s.append(within_s)
        if isinstance(process, Exception):
            raise process
        process.clock = self.clock
        return process

    def _abandon(self) -> None:
        self.abandoned += 1

    def close(self) -> None:
        """Nothing is kept open."""


def says(stdout: bytes, *, stderr: bytes = b"", status: int | None = 0) -> Scripted:
    """Return a process that says something in one piece, and ends."""
    return Scripted(steps=[Say(stdout=stdout, stderr=stderr)], status=status)


def a_fix(script: bytes = b"exit 0", *, timeout_s: int = 60) -> tuple[Permit, FixJob]:
    """Return a fix with the permit for it."""
    digest = hashlib.sha256(script).hexdigest()
    permit = Permit(execution_id=FIX, host=HOST, script_sha256=digest, seal=_SEAL)
    return permit, FixJob(execution_id=FIX, script=script, script_sha256=digest, environment={}, timeout_s=timeout_s)


def a_collector(signal: str = "disk", *, timeout_s: int = 30) -> CollectJob:
    """Return a collector."""
    return CollectJob(
        signal=signal, script=b"emit free 1", environment={}, columns={"free": "number"}, timeout_s=timeout_s
    )
