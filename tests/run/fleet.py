"""
A fleet in memory behind the port, with a clock and a disk of its own.

Every host has flags with a level; a level above 5 is trouble, and the fix sets it
to 0. What goes wrong is scripted: the N-th connect, collect or fix of a host (or of
the fleet) raises, answers something else, or does something first.
"""

import errno
import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from remedy.errors import Refused, Unreachable
from remedy.port import (
    Captured,
    Collected,
    CollectJob,
    CollectorEnding,
    CollectorOutput,
    Endpoint,
    FixEnding,
    FixJob,
    FixResult,
    MarkersRead,
    Permit,
    Target,
)
from remedy.state.disk import Disk
from tests.run.rules import FLAG

NOW = datetime(2026, 11, 22, 8, 45, tzinfo=UTC)

Rows = Sequence[Mapping[str, Any]]
Action = BaseException | FixEnding | FixResult | CollectorEnding | Rows | Callable[[], object] | int
"""What a call does instead: raise, end so, print these rows, exit with this code; a callable comes before."""


@dataclass
class FakeClock:
    """A clock that moves when somebody sleeps, and a little at each look."""

    elapsed_s: float = 0.0
    slept: list[float] = field(default_factory=list)
    step_s: float = 0.001
    guard: threading.Lock = field(default_factory=threading.Lock)

    def monotonic(self) -> float:
        """Return seconds."""
        with self.guard:
            self.elapsed_s += self.step_s
            return self.elapsed_s

    def now(self) -> datetime:
        """Return the time."""
        return NOW + timedelta(seconds=self.monotonic())

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        with self.guard:
            self.slept.append(seconds)
            self.elapsed_s += seconds


@dataclass
class FakeDisk:
    """A disk whose N-th call fails (0: none), and that knows what would survive a power cut."""

    fail_at: int = 0
    calls: int = 0
    durable: dict[int, int] = field(default_factory=dict)

    @property
    def disk(self) -> Disk:
        """The disk as the code takes it."""
        return Disk(write=self._write, fdatasync=self._sync, fsync=self._sync)

    def _write(self, descriptor: int, data: bytes) -> int:
        self.calls += 1
        if self.calls == self.fail_at:
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(descriptor, data)

    def _sync(self, descriptor: int) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError(errno.EIO, "Input/output error")
        found = os.fstat(descriptor)
        self.durable[found.st_ino] = found.st_size


def captured(text: str) -> Captured:
    """Return a stream of which everything was kept."""
    raw = text.encode()
    return Captured(head=raw, tail=b"", size=len(raw), sha256=sha256(raw).hexdigest())


def fix_result(ending: FixEnding, exit_code: int | None = None, *, stdout: str = "", stderr: str = "") -> FixResult:
    """Return what a fix came to."""
    return FixResult(ending=ending, exit_code=exit_code, stdout=captured(stdout), stderr=captured(stderr))


@dataclass
class FakeHost:
    """
    One machine: the levels of its flags, and what goes wrong there.

    `plan` has what happens instead at the N-th 'connect', 'collect' or 'fix' (from
    1; N = 0: always, where no other is given).
    """

    name: str
    levels: dict[str, float | None] = field(default_factory=lambda: {"a": 0.0})
    plan: dict[tuple[str, int], Action] = field(default_factory=dict)
    address: str = ""
    port: int = 22
    heals_to: float | None = 0.0
    notes: dict[str, str] = field(default_factory=dict)
    others: dict[str, Rows] = field(default_factory=dict)
    boot_id: str | None = "boot-1"
    counts: dict[str, int] = field(default_factory=dict)
    jobs: list[FixJob] = field(default_factory=list)

    def rows(self) -> Rows:
        """Return the flags as the collector prints them."""
        return [
            {"name": name, "level": level, **({"note": self.notes[name]} if name in self.notes else {})}
            for name, level in self.levels.items()
        ]


class Fleet:
    """All machines; knows which sessions are open and what was sent."""

    def __init__(self, hosts: Iterable[FakeHost]) -> None:
        self.hosts = {host.name: host for host in hosts}
        self.sent: list[str] = []
        self.open_sessions: set[int] = set()
        self.guard = threading.Lock()
        self.calls = 0
        self.fault_at: tuple[str, int, Action] | None = None
        self.counts: dict[str, int] = {}
        self.contacted: list[str] = []
        self.before_fix: Callable[[str], None] = lambda _execution_id: None

    def action(self, host: FakeHost, what: str) -> Action | None:
        """Count a call and return what happens instead, if anything."""
        with self.guard:
            host.counts[what] = host.counts.get(what, 0) + 1
            self.counts[what] = self.counts.get(what, 0) + 1
            action = host.plan.get((what, host.counts[what]), host.plan.get((what, 0)))
            if self.fault_at is not None and self.fault_at[:2] == (what, self.counts[what]):
                action = self.fault_at[2]
        if isinstance(action, BaseException):
            raise action
        if callable(action):
            action()
            return None
        return action


class FakeRunner:
    """A runner over the fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    @property
    def warnings(self) -> tuple[str, ...]:
        """See the port."""
        return ()

    def endpoint(self, target: Target) -> Endpoint:
        """See the port."""
        host = self._fleet.hosts[target.name]
        self._fleet.action(host, "endpoint")
        return Endpoint(address=host.address or host.name, port=host.port, user="u")

    def connect(self, target: Target) -> "FakeSession":
        """See the port."""
        host = self._fleet.hosts[target.name]
        self._fleet.contacted.append(target.name)
        self._fleet.action(host, "connect")
        return FakeSession(self._fleet, host)


class FakeSession:
    """A connection to one machine."""

    def __init__(self, fleet: Fleet, host: FakeHost) -> None:
        self._fleet = fleet
        self._host = host
        with fleet.guard:
            fleet.open_sessions.add(id(self))
            # Kept, so that no other session gets the same id.
            self._thread = threading.get_ident()

    def collect(self, jobs: Sequence[CollectJob]) -> Collected:
        """See the port."""
        self._usable()
        action = self._fleet.action(self._host, "collect")
        outputs = {}
        for job in jobs:
            rows = self._host.rows() if job.signal == FLAG.name else self._host.others.get(job.signal, [])
            ending, code = CollectorEnding.EXITED, 0
            match action:
                case CollectorEnding():
                    ending, code = action, None
                case int():
                    code = action
                case list() if job.signal == FLAG.name:
                    rows = action
            outputs[job.signal] = CollectorOutput(
                ending=ending,
                exit_code=code,
                stdout=captured("".join(json.dumps(row) + "\n" for row in rows)),
                stderr=captured(""),
            )
        return Collected(boot_id=self._host.boot_id, outputs=outputs)

    def fix(self, permit: Permit, job: FixJob) -> FixResult:
        """See the port; refuses what was not permitted, as a runner does."""
        self._usable()
        permitted = (permit.execution_id, permit.script_sha256, permit.host)
        assert permitted == (job.execution_id, sha256(job.script).hexdigest(), self._host.name)
        self._fleet.before_fix(job.execution_id)
        action = self._fleet.action(self._host, "fix")
        with self._fleet.guard:
            self._fleet.sent.append(job.execution_id)
            self._host.jobs.append(job)
        match action:
            case FixResult():
                return action
            case FixEnding():
                return fix_result(action)
            case int():
                return fix_result(FixEnding.FINISHED, action, stderr="no such file\n")
        name = job.environment.get("REMEDY_ROW_NAME", "a")
        self._host.levels[name] = self._host.heals_to
        return fix_result(FixEnding.FINISHED, 0, stdout="lowered\n")

    def read_markers(self, execution_ids: Sequence[str], *, become_root: bool) -> MarkersRead:
        """See the port; these machines keep no markers that could be read."""
        raise Refused(f"{self._host.name} keeps no markers")

    def _usable(self) -> None:
        assert id(self) in self._fleet.open_sessions, "a closed session was used"
        assert self._thread == threading.get_ident(), "a session was used by two threads"

    def close(self) -> None:
        """See the port."""
        with self._fleet.guard:
            self._fleet.open_sessions.discard(id(self))
        self._fleet.action(self._host, "close")


def trouble(*names: str, flags: Sequence[str] = ("a",), **more: Any) -> list[FakeHost]:
    """Return hosts on which these flags are high."""
    return [FakeHost(name=name, levels=dict.fromkeys(flags, 9.0), **more) for name in names]


GONE = Unreachable("no route")
