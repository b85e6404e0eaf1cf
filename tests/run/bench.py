"""One run over a fleet in memory, and everything real around it: ledger, audit log, locks, stop file."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from remedy.errors import StateError
from remedy.model import Execution, Host, Rule, Scope, Signal, Transport
from remedy.plan import NO_HISTORY, History, Plan
from remedy.planning import build_plan
from remedy.precautions import NO_PRECAUTIONS, Precautions
from remedy.run.apply import Applied, Applying, Progress
from remedy.run.collect import collect
from remedy.run.evidence import Evidence
from remedy.run.host_work import Surroundings
from remedy.schedule import Freeze
from remedy.state.audit import AuditLog
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.state.locks import Locks
from remedy.verdicts import by_host, judge
from tests.run.fleet import NOW, FakeClock, FakeDisk, FakeHost, FakeRunner, Fleet
from tests.run.rules import FLAG, POWER, ROOT

RUN = "20261122T084500Z-1a2b"


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


def execution_named(plan: Plan, host: str, flag: str = "a") -> Execution:
    """Return the execution of a host's flag."""
    return next(each for each in plan.executions if each.host == host and dict(each.key)["name"] == flag)


def names(number: int) -> list[str]:
    """Return names of that many hosts."""
    return [f"web-{each}" for each in range(1, number + 1)]


def by_rule(applied: Applied) -> dict[str, list[str]]:
    """Return how the executions of each rule ended."""
    found: dict[str, list[str]] = {}
    for end in applied.ends:
        skip = end.ended.skip
        found.setdefault(end.execution.rule, []).append(skip.value if skip else end.ended.outcome.value)
    return found


class Reacting(list[Progress]):
    """A watcher that does something when it first hears of one kind of progress."""

    def __init__(self, bench: Bench, kind: type[Progress], act: Callable[[], object]) -> None:
        super().__init__()
        self.kind, self.act, self.bench = kind, act, bench

    def append(self, progress: Progress) -> None:
        """Hear of progress."""
        super().append(progress)
        if isinstance(progress, self.kind) and len([each for each in self if isinstance(each, self.kind)]) == 1:
            self.act()
