"""
A fleet in memory behind the port, and everything real around it: ledger, audit log, locks, stop file.

Every host has flags with a level; a level above 5 is trouble, and the fix sets it
to 0. What goes wrong is scripted: the N-th connect, collect or fix of a host (or of
the fleet) raises, answers something else, or does something first.
"""

import errno
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from remedy.conditions import compile_condition
from remedy.errors import Place, Refused, Unreachable
from remedy.limits import Limit, WaveShare
from remedy.model import (
    Column,
    ColumnType,
    Execution,
    Exemption,
    Host,
    Key,
    Mode,
    Platform,
    Risk,
    RowPromise,
    Rule,
    RuleLimits,
    RuleRollout,
    Scope,
    Script,
    Signal,
    Transport,
    VerifyLater,
    VerifyUntil,
)
from remedy.plan import NO_HISTORY, History, Plan
from remedy.planning import build_plan
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
from remedy.precautions import NO_PRECAUTIONS, Precautions
from remedy.run.apply import Applied, Applying, Progress
from remedy.run.collect import collect
from remedy.run.evidence import Evidence
from remedy.run.host_work import Surroundings
from remedy.schedule import Freeze
from remedy.state.audit import AuditLog
from remedy.state.directory import StateDirectory
from remedy.state.disk import Disk
from remedy.state.ledger import Ledger
from remedy.state.locks import Locks
from remedy.verdicts import by_host, judge

NOW = datetime(2026, 11, 22, 8, 45, tzinfo=UTC)
RUN = "20261122T084500Z-1a2b"
PLACE = Place(file="rules/flag-high/rule.yaml", line=1, column=1)
ROOT: Key = (("name", "a"),)

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
        return Endpoint(address=host.address or host.name, port=22, user="u")

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


def script(body: bytes = b"#!/bin/sh\ntrue\n", *, reboot_codes: tuple[int, ...] = ()) -> Script:
    """Return a script with its true digest."""
    digest = sha256(body).hexdigest()
    return Script(path="fix.sh", body=body, sha256=digest, timeout_s=60, needs_reboot_codes=reboot_codes)


def _signal(name: str, columns: Mapping[str, Column], *, key: tuple[str, ...], rows: RowPromise) -> Signal:
    return Signal(
        name=name,
        title=name,
        key=key,
        rows=rows,
        columns=columns,
        params={},
        collect={Platform.LINUX: script(b"#!/bin/sh\necho\n")},
        max_age_s=900,
        digest=f"digest of {name}",
        place=PLACE,
    )


TEXT, NUMBER = Column(type=ColumnType.TEXT), Column(type=ColumnType.NUMBER)
_COLUMNS = {"name": TEXT, "level": NUMBER, "note": TEXT}
FLAG = _signal("flag", _COLUMNS, key=("name",), rows=RowPromise.SOME)
FLAG_ANY = _signal("flag", _COLUMNS, key=("name",), rows=RowPromise.ANY)
POWER = _signal("power", {"watts": NUMBER}, key=(), rows=RowPromise.ONE)


def condition(text: str) -> Any:
    """Return a compiled condition on a flag; `power` may be read too."""
    return compile_condition(
        text, columns=FLAG.columns, params={"above": 5.0}, signals={"power": POWER.columns}, place=PLACE
    )


def verify_until(text: str = "level < 3", *, settle_s: int = 0, within_s: int = 20) -> VerifyUntil:
    """Return how a fix is proved."""
    return VerifyUntil(until=condition(text), settle_s=settle_s, within_s=within_s)


def rule(
    name: str = "flag-high",
    *,
    when: str = "level > params.above",
    risk: Risk = Risk.SAFE,
    fix: Script | None = None,
    verify: VerifyUntil | VerifyLater | None = None,
    exempt: tuple[Exemption, ...] = (),
    matched: Limit | None = None,
    waves: Sequence[int] = (),
    soak_s: int = 0,
    concurrency: int = 4,
    max_bad: int = 0,
    max_unreachable: int = 100,
    cooldown_s: int = 3_600,
    mode: Mode = Mode.FIX,
) -> Rule:
    """Return a rule that lowers flags; one wave unless `waves` says more."""
    return Rule(
        name=name,
        title=name,
        why="it annoys people",
        owner="platform@example.org",
        tags=(),
        mode=mode,
        hosts="all",
        hosts_place=PLACE,
        signal="flag",
        params={"above": 5.0},
        when=condition(when),
        exempt=exempt,
        fix={Platform.LINUX: fix or script()},
        risk=risk,
        verify=verify or verify_until(),
        limits=RuleLimits(
            cooldown_s=cooldown_s, attempts=3, attempts_within_s=86_400, matched=matched or Limit(count=10_000)
        ),
        rollout=RuleRollout(
            waves=(*(WaveShare(count=count) for count in waves), WaveShare(percent=100.0)),
            soak_s=soak_s,
            concurrency=concurrency,
            max_bad=Limit(count=max_bad),
            max_unreachable=Limit(count=max_unreachable),
        ),
        digest=f"digest of {name}",
        place=PLACE,
    )


class SlowedLedger(Ledger):
    """
    A ledger whose N-th transaction fails (0: none), at its begin, before or after its commit.

    (And one that leaves the syncing to others: these tests are about order.)
    """

    fail_at: int = 0
    fail_when: str = "begin"
    transactions: int = 0

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        from remedy.errors import StateError

        with self._lock:
            self.transactions += 1
            mine = self.transactions == self.fail_at
            if mine and self.fail_when == "begin":
                raise StateError("the ledger said no")
            with super()._writing() as connection:
                yield connection
                if mine and self.fail_when == "commit":
                    raise StateError("the ledger could not commit")
            if mine and self.fail_when == "after":
                raise StateError("the ledger did not say whether it committed")


class Bench:
    """One run over a fleet: its state directory, its evidence, and how it is started."""

    def __init__(
        self, directory: Path, hosts: Iterable[FakeHost], *, run_id: str = RUN, disk_fails_at: int = 0
    ) -> None:
        self.directory = directory
        self.run_id = run_id
        self.state = StateDirectory(directory)
        self.state.prepare()
        self.fleet = Fleet(hosts)
        self.clock = FakeClock()
        self.disk = FakeDisk(fail_at=disk_fails_at)
        self.bugs: list[tuple[str, BaseException]] = []
        self.progress: list[Progress] = []
        self.signals: dict[str, Signal] = {"flag": FLAG, "power": POWER}
        self.asked = threading.Event()
        self.freezes: tuple[Freeze, ...] = ()
        self.ledger = SlowedLedger.open(self.state.ledger)
        self.ledger._connection.execute("PRAGMA synchronous = OFF")
        self.audit: AuditLog | None = None
        self.evidence: Evidence
        self.fleet.before_fix = self._check_durable
        self.not_durable: list[str] = []
        self.said: list[str] = []

    # What the run is made of.

    def open(self) -> None:
        """Open the audit log and write its first record."""
        self.audit = AuditLog.create(self.state.audit, self.run_id, self.clock.now, disk=self.disk.disk)
        self.evidence = Evidence(
            self.ledger, self.audit, run_id=self.run_id, clock=self.clock.now, witness=self.said.append
        )
        self.evidence.open(actor="alice", command="remedy apply", facts={})

    def close(self) -> None:
        """End the run's evidence."""
        if self.audit is not None:
            self.audit.close()

    def locks(self, run_id: str | None = None) -> Locks:
        """Return the locks of this run, or of another one."""
        return Locks(
            self.state.locks, run_id=run_id or self.run_id, what="test", pid=1, controller="here", clock=self.clock.now
        )

    def surroundings(self) -> Surroundings:
        """Return everything outside."""
        return Surroundings(
            runners={Transport.SSH: FakeRunner(self.fleet)},
            signals=self.signals,
            evidence=self.evidence,
            locks=self.locks(),
            clock=self.clock.now,
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
            stop_reason=self.state.stop_reason,
            on_bug=lambda where, exc: self.bugs.append((where, exc)),
            freezes=lambda: self.freezes,
        )

    def scope(self, of: Rule, *names: str, exempt_names: Sequence[Iterable[str]] = ()) -> Scope:
        """Return the scope of a rule: these hosts, or all."""
        hosts = tuple(Host(name=name) for name in (names or self.fleet.hosts))
        covered = [frozenset(each) for each in exempt_names] or [frozenset(self.fleet.hosts) for _ in of.exempt]
        return Scope(rule=of, hosts=hosts, exempt_names=tuple(covered))

    def plan(self, *scopes: Scope, history: History = NO_HISTORY, precautions: Precautions = NO_PRECAUTIONS) -> Plan:
        """Return the plan that the fleet leads to as it is; no call is counted for it."""
        quiet = Fleet(
            FakeHost(name=host.name, levels=dict(host.levels), notes=dict(host.notes), others=host.others)
            for host in self.fleet.hosts.values()
        )
        collection = collect(
            scopes,
            self.signals,
            {Transport.SSH: FakeRunner(quiet)},
            clock=lambda: NOW,
            on_end=lambda _end: None,
            asked_to_stop=lambda: False,
        )
        found = by_host(collection.readings)
        return build_plan(
            scopes,
            judge(scopes, found, self.signals),
            found,
            history=history,
            endpoints={},
            accept_matched=None,
            created_at=NOW,
            precautions=precautions,
        )

    def apply(self, *scopes: Scope, plan: Plan | None = None) -> Applied:
        """Carry a plan out, as a run does it."""
        plan = plan or self.plan(*scopes)
        self.open()
        try:
            self.evidence.begin(plan, actor="alice", command="remedy apply")
            applying = Applying(
                plan, scopes, self.surroundings(), on_progress=self.progress.append, interrupted=self.asked.is_set
            )
            applied = applying.carry_out()
            self.evidence.end(0, counts={})
        finally:
            self.close()
            self.check_nothing_left()
        self.check_ends(plan, applied)
        return applied

    # What must be true afterwards.

    def records(self, *, durable_only: bool = False) -> list[dict[str, Any]]:
        """Return the records of the run's audit file, or only those that survive a power cut for certain."""
        path = self.state.audit / f"{self.run_id}.jsonl"
        if not path.exists():
            return []
        raw = path.read_bytes()
        if durable_only:
            raw = raw[: self.disk.durable.get(path.stat().st_ino, 0)]
        return [json.loads(line) for line in raw.split(b"\n")[:-1]]

    def recorded(self, kind: str, *, durable_only: bool = False) -> list[dict[str, Any]]:
        """Return the data of the records of one type."""
        return [each["data"] for each in self.records(durable_only=durable_only) if each["type"] == kind]

    def _check_durable(self, execution_id: str) -> None:
        intents = {each["execution"] for each in self.recorded("execution.intent", durable_only=True)}
        if execution_id not in intents:
            self.not_durable.append(execution_id)

    def check_nothing_left(self) -> None:
        """No thread, session or lock is left; nothing was sent twice, or without a durable intent."""
        assert self.fleet.open_sessions == set()
        assert [each.name for each in threading.enumerate() if "ThreadPool" in each.name] == []
        assert sorted(self.state.locks.iterdir()) == []
        assert self.not_durable == []
        assert len(self.fleet.sent) == len(set(self.fleet.sent))

    def check_ends(self, plan: Plan, applied: Applied) -> None:
        """Every execution of the plan has exactly one end, and the same one in result, ledger and audit log."""
        expected = {execution.id for execution in plan.executions}
        ends = {end.execution.id: end.ended.outcome.value for end in applied.ends}
        record = self.ledger.run(self.run_id)
        audited = [(each["execution"], each["outcome"]) for each in self.recorded("execution.outcome")]

        assert len(applied.ends) == len(expected)
        assert set(ends) == expected
        assert record is not None
        assert {each.execution_id: each.outcome.value if each.outcome else None for each in record.executions} == ends
        assert sorted(audited) == sorted(ends.items())
        assert {each.execution_id for each in record.executions if each.started_at} >= set(self.fleet.sent)


def outcomes(applied: Applied) -> dict[str, str]:
    """Return by host (and key, after the first) how its executions ended; a skip says by what."""
    found: dict[str, str] = {}
    for end in applied.ends:
        name = (
            end.execution.host
            if end.execution.key == ROOT
            else f"{end.execution.host}/{dict(end.execution.key)['name']}"
        )
        found[name] = end.ended.skip.value if end.ended.skip else end.ended.outcome.value
    return found


def trouble(*names: str, flags: Sequence[str] = ("a",), **more: Any) -> list[FakeHost]:
    """Return hosts on which these flags are high."""
    return [FakeHost(name=name, levels=dict.fromkeys(flags, 9.0), **more) for name in names]


GONE = Unreachable("no route")


def execution_named(plan: Plan, host: str, flag: str = "a") -> Execution:
    """Return the execution of a host's flag."""
    return next(each for each in plan.executions if each.host == host and dict(each.key)["name"] == flag)
