"""Runs that died at one point or another, and how another process resumes them."""

import os
from collections.abc import Sequence

import pytest

from remedy.errors import StateError
from remedy.gate import Permit
from remedy.model import Outcome, Skip
from remedy.outcomes import Ended
from remedy.planning import gate_request
from remedy.port import FixEnding
from remedy.precautions import NO_PRECAUTIONS
from remedy.run.evidence import Evidence
from remedy.run.recorded_ends import RecordedEnds
from remedy.run.resuming import Resumed, Resuming
from remedy.state.audit import AuditLog, AuditType
from remedy.state.audit_verify import verify
from remedy.state.ledger_rows import OpenIntent
from remedy.summary import ExecutionEnd
from tests.run.bench import Bench, SlowedLedger
from tests.run.fleet import FakeDisk, fix_result
from tests.run.rules import rule
from tests.state.builders import by_gate

OWN = "20261122T100000Z-5a5a"
AGAIN = "20261122T100000Z-6b6b"
NAMES = ("web-1", "web-2", "web-3")


class Watcher:
    """Hears everything; waiting lets the clock of the bench go on, until `patience` waits are over."""

    def __init__(self, bench: Bench, *, patience: int = 1_000_000) -> None:
        self._bench = bench
        self._patience = patience
        self.waits = 0
        self.heard: list[str] = []

    def read(self, recorded: RecordedEnds) -> None:
        """See ResumeWatcher."""
        self.heard.append("odd" if recorded.odd else "read")

    def opened(self, opened: OpenIntent) -> None:
        """See ResumeWatcher."""
        self.heard.append(f"open {opened.intent.host}")

    def closed(self, closed: OpenIntent) -> None:
        """See ResumeWatcher."""
        self.heard.append(f"closed {closed.intent.host}")

    def wait(self, running: Sequence[OpenIntent], seconds: float) -> None:
        """See ResumeWatcher."""
        assert running
        self.waits += 1
        self._bench.clock.sleep(seconds)

    def asked(self) -> bool:
        """See ResumeWatcher."""
        return self.waits >= self._patience


def die(bench):
    """End the run's process: its audit file is let go, without a head."""
    audit = bench.audit
    if audit is not None and audit._descriptor is not None:
        os.close(audit._descriptor)
        audit._descriptor = None
    bench.ledger.close()


def half_done(bench):
    """
    Leave a run that died with every kind of thing open; return its plan.

    web-1 is fixed; web-2 was refused by the host's hold file; web-3 is fixed in the
    audit file only; web-4 has its result, web-5 has it in the audit file only; web-6
    was sent; web-7 and web-8 were not. The last record is cut.
    """
    scope = bench.scope(rule(concurrency=1))
    plan = bench.plan(scope)
    bench.open()
    bench.evidence.begin(plan, actor="alice", command="remedy apply")
    by_host = {each.host: each for each in plan.executions}
    for host in ("web-1", "web-2", "web-3", "web-4", "web-5", "web-6"):
        start(bench, scope, by_host[host])
    done = fix_result(FixEnding.FINISHED, 0, stdout="lowered\n")
    bench.evidence.result(by_host["web-1"], done)
    ended(bench, by_host["web-1"], Ended(outcome=Outcome.FIXED, reason="level 9 -> 0"))
    bench.evidence.result(by_host["web-2"], fix_result(FixEnding.HOST_HOLD))
    ended(bench, by_host["web-2"], Ended(outcome=Outcome.SKIPPED, skip=Skip.HOST_HOLD, reason="a hold file"))
    bench.evidence.result(by_host["web-3"], done)
    bench.evidence.result(by_host["web-4"], done)
    refuse_next(bench)
    with pytest.raises(StateError):
        ended(bench, by_host["web-3"], Ended(outcome=Outcome.FIXED, reason="level 9 -> 0"))
    refuse_next(bench)
    with pytest.raises(StateError):
        bench.evidence.result(by_host["web-5"], done)
    bench.ledger.fail_at = 0
    die(bench)
    with (bench.state.audit / f"{bench.run_id}.jsonl").open("ab") as file:
        file.write(b'{"data":{"execution":"torn')
    return plan


def start(bench, scope, planned):
    """Make the intent of an execution durable."""
    (host,) = (each for each in scope.hosts if each.name == planned.host)
    (script,) = scope.rule.fix.values()
    request = gate_request(
        scope.rule,
        host,
        planned.key,
        script=script,
        precautions=NO_PRECAUTIONS,
        now=bench.clock.now(),
        execution_id=planned.id,
    )
    assert isinstance(bench.evidence.admit(planned, request, boot_id="boot-1", wave=1, decide=by_gate), Permit)


def ended(bench, planned, how):
    """Record an outcome of something that was started."""
    bench.evidence.outcome(ExecutionEnd(execution=planned, ended=how, wave=1), started=True)


def refuse_next(bench):
    """Have the ledger refuse its next transaction."""
    bench.ledger.fail_at, bench.ledger.fail_when = bench.ledger.transactions + 1, "begin"


def resume(bench, *, own=OWN, disk_fails_at=0, ledger_fails_at=0, when="begin", patience=1_000_000):
    """Resume the bench's run as another process would; return what it came to, and the disk and ledger it used."""
    disk = FakeDisk(fail_at=disk_fails_at)
    ledger = SlowedLedger.open(bench.state.ledger)
    ledger._connection.execute("PRAGMA synchronous = OFF")
    ledger.fail_at, ledger.fail_when = ledger_fails_at, when
    watcher = Watcher(bench, patience=patience)
    resumed: Resumed | None = None
    try:
        audit = AuditLog.create(bench.state.audit, own, bench.clock.now, disk=disk.disk)
        try:
            evidence = Evidence(ledger, audit, run_id=own, clock=bench.clock.now)
            evidence.open(actor="bob", command="remedy resume", facts={})
            resumed = Resuming(
                bench.run_id,
                ledger=ledger,
                audit=audit,
                evidence=evidence,
                clock=bench.clock.now,
                watcher=watcher,
                disk=disk.disk,
            ).carry_out()
        finally:
            if resumed is not None:
                audit.close()
            elif audit._descriptor is not None:
                os.close(audit._descriptor)
    except StateError:
        resumed = None
    finally:
        ledger.close()
    return resumed, disk, ledger, watcher


def rows_of(bench, run_id=None):
    """Return the run and its executions as the ledger has them now."""
    ledger = SlowedLedger.open(bench.state.ledger)
    try:
        return ledger.run(run_id or bench.run_id)
    finally:
        ledger.close()


def outcomes_by_host(bench):
    """Return the outcome of each host's execution."""
    return {row.host: row.outcome.value if row.outcome else None for row in rows_of(bench).executions}


def check_closed(bench, said):
    """Check a closed run: one outcome each, that of its audit file where it has one, and evidence that is whole."""
    record = rows_of(bench)
    assert record.summary.exit_code is not None
    assert all(row.outcome is not None for row in record.executions)
    assert len(record.executions) == len({row.execution_id for row in record.executions})
    for row in record.executions:
        if row.execution_id in said:
            assert row.outcome.value == said[row.execution_id]
        else:
            never = row.outcome is Outcome.SKIPPED and row.reason.startswith("interrupted: ")
            assert never is (row.started_at is None)
            assert never or row.outcome is (Outcome.LOST if row.ending is None else Outcome.UNVERIFIED)
    if any(row.outcome is Outcome.LOST for row in record.executions):
        assert record.summary.exit_code in (3, 5)
    assert verify(bench.state.audit, [bench.run_id]).findings == ()


EXPECTED = {
    "web-1": "fixed",
    "web-2": "skipped",
    "web-3": "fixed",
    "web-4": "unverified",
    "web-5": "unverified",
    "web-6": "lost",
    "web-7": "skipped",
    "web-8": "skipped",
}


def rollout(bench, max_bad):
    """Put the start of the rule's rollout into the audit file of a bench's run."""
    bench.evidence.note(AuditType.ROLLOUT_STARTED, {"rule": "flag-high", "hosts": [], "max_bad": max_bad})


def with_two_lost(bench, *, max_bad):
    """Leave a run that died in two fixes of three; max_bad None: its audit file does not say it."""
    scope = bench.scope(rule())
    plan = bench.plan(scope)
    bench.open()
    bench.evidence.begin(plan, actor="alice", command="remedy apply")
    if max_bad is not None:
        rollout(bench, max_bad)
    for planned in plan.executions[:2]:
        start(bench, scope, planned)
    die(bench)


def breakers_of(bench):
    """Return the open breakers."""
    ledger = SlowedLedger.open(bench.state.ledger)
    try:
        return ledger.breakers()
    finally:
        ledger.close()
