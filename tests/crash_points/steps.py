"""
The steps of a run, made visible from outside: production methods wrapped before `main` is called.

Production code knows nothing of this. What is wrapped must exist: a method that was
renamed ends the process with an AttributeError. Between two neighbouring points of a
thread something always happens outside the process: what lies between a commit and the
return of the method that asked for it is no point of its own.
"""

import functools
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import remedy.state.audit as audit
import remedy.state.ledger as ledger
import remedy.state.ledger_schema as ledger_schema
from remedy.rollout import Effect, Finished, Halted, ReadAgain, SkipHost, Soak, StartHost, WaveEnded, WaveStarted
from remedy.run.rule_run import RuleRun
from remedy.state.audit import AuditLog
from remedy.state.disk import Disk
from remedy.state.ledger import Ledger
from remedy.state.locks import HeldLock, Locks
from remedy_runners.connection import SSHExchange
from remedy_runners.session import FramedSession
from remedy_runners.ssh import SSHRunner, _SSHSession
from tests.crash_points.points import Points, die

__all__ = ["HostFiles", "watch_steps"]

_POLL_S = 0.002
_JOURNAL_RECORDS = slice(8, 12)
"""Where a rollback journal counts its pages; not 0 only between its sync and the end of the commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFiles:
    """Where a host's markers and its /run are, seen from this machine."""

    markers: Path
    run: Path


class _Now(threading.local):
    """What the steps of this thread are about at this moment."""

    def __init__(self) -> None:
        self.records: tuple[str, ...] = ()
        self.is_synced = False
        self.transaction: tuple[str, tuple[str, ...]] = ("open", ("-",))
        self.fixing = ""


def _wrapped(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Replace owner.name by one that calls `around` with the original and its arguments."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs)

    setattr(owner, name, replacement)


def watch_steps(points: Points, hosts: Mapping[str, HostFiles]) -> None:
    """Wrap every step of a run in this process; there is no way back."""
    now = _Now()
    _watch_effects(points)
    _watch_locks(points)
    _watch_hosts(points, hosts, now)
    _watch_audit(points, now)
    _watch_disk(points, now)
    _watch_ledger(points, now)


def _around(
    points: Points, owner: Any, name: str, kind: str, subject: Callable[..., str], *, is_before: bool = True
) -> None:
    """Make a call's end a point, and its beginning, unless something else has just been one."""

    def around(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        about = subject(*args)
        if is_before:
            points.reach(f"{kind}.before", about)
        answer = original(*args, **kwargs)
        points.reach(f"{kind}.after", about)
        return answer

    _wrapped(owner, name, around)


# The main thread


def _effect_text(effect: Effect) -> str:
    match effect:
        case StartHost(host=host) | SkipHost(host=host):
            return f"{type(effect).__name__}:{host}"
        case WaveStarted(wave=wave) | WaveEnded(wave=wave):
            return f"{type(effect).__name__}:{wave}"
        case Soak() | ReadAgain() | Halted() | Finished():
            return type(effect).__name__


def _watch_effects(points: Points) -> None:
    def around(original: Callable[..., None], self: RuleRun, effects: Iterable[Effect]) -> None:
        def each() -> Iterator[Effect]:
            for effect in effects:
                points.reach("effect.before", _effect_text(effect))
                # The loop that interprets them comes back for the next one when this one is carried out.
                yield effect
                points.reach("effect.after", _effect_text(effect))

        original(self, each())

    _wrapped(RuleRun, "_carry_on", around)


def _watch_locks(points: Points) -> None:
    def subject(_self: Locks, kind: str, name: str) -> str:
        return kind if kind == "run" else f"{kind}:{name}"

    def released(original: Callable[..., None], self: HeldLock) -> None:
        if self._descriptor is None:
            original(self)
            return
        kind, _, name = self.path.name.removesuffix(".lock").partition(".")
        about = kind if kind == "run" else f"{kind}:{name}"
        points.reach("lock.release.before", about)
        original(self)
        points.reach("lock.release.after", about)

    _around(points, Locks, "_take", "lock.take", subject)
    _wrapped(HeldLock, "release", released)


# Hosts


def _watch_hosts(points: Points, hosts: Mapping[str, HostFiles], now: _Now) -> None:
    def opened(original: Callable[..., Any], self: _SSHSession, command: str) -> Any:
        exchange = original(self, command)
        if now.fixing:
            points.reach("fix.opened", now.fixing)
        return exchange

    def sent(original: Callable[..., None], self: SSHExchange, data: bytes, *, timeout_s: float) -> None:
        if not now.fixing:
            original(self, data, timeout_s=timeout_s)
            return
        if points.claim("fix.half_sent", now.fixing):
            original(self, data[: len(data) // 2], timeout_s=timeout_s)
            die()
        original(self, data, timeout_s=timeout_s)
        points.reach("fix.sent", now.fixing)

    def fixed(original: Callable[..., Any], self: FramedSession, permit: Any, job: Any) -> Any:
        host, files = self._name, hosts[self._name]
        points.reach("fix.before", host)
        ends = [
            _die_when(functools.partial(_is_marked, files, job.execution_id), points.claim("fix.marked", host)),
            _die_when(functools.partial(_is_running, files, job.execution_id), points.claim("fix.running", host)),
        ]
        now.fixing = host
        try:
            result = original(self, permit, job)
        finally:
            now.fixing = ""
        if any(ends):
            die()
        points.reach("fix.after", host)
        return result

    _around(points, SSHRunner, "connect", "connect", lambda _self, target: str(target.name), is_before=False)
    _around(points, FramedSession, "collect", "collect", lambda self, _jobs: str(self._name), is_before=False)
    _wrapped(_SSHSession, "_start", opened)
    _wrapped(SSHExchange, "send", sent)
    _wrapped(FramedSession, "fix", fixed)


def _is_marked(files: HostFiles, execution_id: str) -> bool:
    return (files.markers / execution_id).exists()


def _is_running(files: HostFiles, execution_id: str) -> bool:
    try:
        return execution_id in (files.run / "ran").read_text()
    except FileNotFoundError:
        return False


def _die_when(question: Callable[[], bool], is_wanted: bool, *, poll_s: float = _POLL_S) -> bool:
    """Have a thread of its own look at the question until the answer is yes, and die then; says whether it does."""
    if is_wanted:

        def look() -> None:
            waiting = threading.Event()
            while not question():
                waiting.wait(poll_s)
            die()

        threading.Thread(target=look, daemon=True).start()
    return is_wanted


# Evidence


def _watch_audit(points: Points, now: _Now) -> None:
    def appended(original: Callable[..., None], self: AuditLog, records: Iterable[Any], *, sync: bool = False) -> None:
        wanted = list(records)
        now.records = tuple(f"{kind}:{data['host']}" if "host" in data else f"{kind}" for kind, data in wanted)
        now.is_synced = sync
        try:
            original(self, wanted, sync=sync)
        finally:
            now.records = ()

    _wrapped(AuditLog, "append_all", appended)
    _around(points, AuditLog, "close", "audit.close", lambda *_: "-", is_before=False)
    # Its callers know it by the name that their own module imported.
    _around(points, audit, "append_head", "head", lambda *_: "-", is_before=False)


def _watch_disk(points: Points, now: _Now) -> None:
    """Wrap the system calls by which evidence reaches the disk: the defaults of every Disk."""

    def subjects(descriptor: int) -> tuple[str, ...]:
        return now.records or (_file_text(descriptor),)

    def write(descriptor: int, data: bytes) -> int:
        about = subjects(descriptor)
        for each, cut in zip(about, _cuts(data, len(about)), strict=True):
            if points.claim("write.torn", each):
                os.write(descriptor, data[:cut])
                die()
        written = os.write(descriptor, data)
        if now.records and not now.is_synced:
            # All others are followed by a sync.
            for each in about:
                points.reach("write.after", each)
        return written

    def synced(original: Callable[[int], None], descriptor: int) -> None:
        about = subjects(descriptor)
        for each in about:
            points.reach("sync.before", each)
        original(descriptor)
        for each in about:
            points.reach("sync.after", each)

    defaults = Disk.__init__.__kwdefaults__
    if defaults is None or defaults.keys() != {"write", "fdatasync", "fsync", "ftruncate"}:
        raise AttributeError(f"Disk has other calls now: {defaults}")
    defaults["write"] = write
    for name in ("fdatasync", "fsync"):
        defaults[name] = functools.partial(synced, defaults[name])


def _cuts(data: bytes, records: int) -> tuple[int, ...]:
    """Return a place in the middle of each record's line; of bytes that are no records, their middle."""
    if records == 1:
        return (len(data) // 2,)
    lines = data.splitlines(keepends=True)
    ends = [sum(map(len, lines[: number + 1])) for number in range(len(lines))]
    return tuple(end - len(line) // 2 for end, line in zip(ends, lines, strict=True))


def _file_text(descriptor: int) -> str:
    """Return what a file is, without what is different in every run."""
    path = Path(f"/proc/self/fd/{descriptor}").readlink()
    if path.is_dir():
        return f"directory:{path.name}"
    return path.parent.name if path.suffix in (".jsonl", ".part") or len(path.name) == 64 else path.name


# The ledger


def _watch_ledger(points: Points, now: _Now) -> None:
    host_of: dict[str, str] = {}

    def about(what: str, subjects: Callable[..., Iterable[str]]) -> None:
        def around(original: Callable[..., Any], self: Ledger, *args: Any, **kwargs: Any) -> Any:
            before, now.transaction = now.transaction, (what, tuple(subjects(*args)))
            try:
                return original(self, *args, **kwargs)
            finally:
                now.transaction = before

        _wrapped(Ledger, what, around)

    def planned(_run: Any, executions: Sequence[Any] = ()) -> tuple[str, ...]:
        host_of.update({execution.id: execution.host for execution in executions})
        return ("-",)

    def rows(batch: Sequence[Any]) -> tuple[str, ...]:
        return tuple(host_of[row.execution_id] for row in batch)

    about("begin_run", planned)
    about("admit", lambda pairs: [request.host for request, _intent in pairs])
    about("record_results", rows)
    about("record_outcomes", rows)
    about("close_run", lambda *_: "-")
    about("open_breaker", lambda *_: "-")
    original = ledger_schema.transaction

    @contextmanager
    def transaction(connection: sqlite3.Connection) -> Iterator[None]:
        what, subjects = now.transaction
        names = [f"{what}:{subject}" for subject in subjects]
        for name in names:
            points.reach("ledger.begin", name)
        with original(connection):
            yield
            for name in names:
                points.reach("ledger.commit.before", name)
            wanted = [name for name in names if points.claim("ledger.commit.middle", name)]
            if wanted:
                # Milliseconds at most: no pause between two looks.
                _die_when(functools.partial(_is_committing, _journal_of(connection)), is_wanted=True, poll_s=0)
        if wanted:
            die()
        for name in names:
            points.reach("ledger.commit.after", name)

    ledger_schema.transaction = transaction
    # Its own module's name for it.
    vars(ledger)["transaction"] = transaction


def _journal_of(connection: sqlite3.Connection) -> Path:
    (_number, _name, path) = connection.execute("PRAGMA database_list").fetchone()
    return Path(f"{path}-journal")


def _is_committing(journal: Path) -> bool:
    """Say whether a commit is past the sync of its journal, and before its end."""
    try:
        with journal.open("rb") as file:
            return any(file.read(_JOURNAL_RECORDS.stop)[_JOURNAL_RECORDS])
    except FileNotFoundError:
        return False
