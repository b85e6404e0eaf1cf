"""Closing a dead run: whatever it died of, and wherever closing it is cut off, each execution ends with one outcome."""

import os
from collections.abc import Sequence
from datetime import timedelta

import pytest

from remedy.errors import StateError
from remedy.gate import Permit
from remedy.model import Outcome, Skip
from remedy.outcomes import Ended
from remedy.planning import gate_request
from remedy.port import FixEnding
from remedy.precautions import NO_PRECAUTIONS
from remedy.run.evidence import Evidence
from remedy.run.recorded_ends import RecordedEnds, ends_of_dead_run
from remedy.run.recovery import close_over, over_for_certain
from remedy.run.resuming import Resumed, Resuming, code_of_dead_run
from remedy.state.audit import AuditLog, AuditType
from remedy.state.audit_verify import verify
from remedy.state.ledger_rows import ExecutionRow, OpenIntent, RunRecord, RunSummary
from remedy.summary import ExecutionEnd, ExitCode
from tests.run.fleet import NOW, ROOT, Bench, FakeDisk, SlowedLedger, fix_result, rule, trouble
from tests.state.builders import asked, by_gate, execution, run_row, unsynced

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


@pytest.fixture
def dead(tmp_path):
    """Give the run that died half done."""
    bench = Bench(tmp_path / "state", trouble(*EXPECTED))
    half_done(bench)
    return bench


def test_dead_run_is_closed_with_what_is_known_of_each_execution(dead):
    """Audit before ledger, then lost, unverified, or never started; the run ends with the worst of them."""
    resumed, _, _, watcher = resume(dead)

    assert outcomes_by_host(dead) == EXPECTED
    assert resumed.exit_code is ExitCode.BAD
    assert rows_of(dead).summary.exit_code == 3
    assert (resumed.taken_over, resumed.skipped, len(resumed.closed)) == (1, 2, 3)
    assert [each for each in watcher.heard if each.startswith("closed")] == [
        "closed web-4",
        "closed web-5",
        "closed web-6",
    ]
    assert verify(dead.state.audit, [dead.run_id]).findings == ()


def test_survivors_are_waited_out_before_they_are_named(dead):
    """Nothing that was sent is named before its deadline and the grace are over, counted from its intent."""
    begun = max(row.started_at for row in rows_of(dead).executions if row.started_at)

    resume(dead)

    over = begun + timedelta(seconds=60 + 15)
    named = {row.host: row.outcome_at for row in rows_of(dead).executions}
    assert named["web-6"] >= over
    assert named["web-8"] < over


def test_own_audit_file_names_the_dead_run_and_what_was_cut(dead):
    """The audit file of the resume says what it closes, the recovered tail, each lost one, and how it ended."""
    resume(dead)

    dead.run_id = OWN
    kinds = [each["type"] for each in dead.records()]
    (named,) = dead.recorded("run.resumed")
    (recovered,) = dead.recorded("log.recovered")
    assert kinds[:3] == ["run.started", "run.resumed", "log.recovered"]
    assert kinds.count("execution.lost") == 3
    assert kinds.count("execution.outcome") == 2
    assert kinds[-1] == "run.ended"
    assert named["of_run"] == "20261122T084500Z-1a2b"
    # web-3 is open too, as far as the ledger knows.
    assert (named["open"], named["unstarted"]) == (4, 2)
    assert recovered["bytes"] == len('{"data":{"execution":"torn')
    assert dead.recorded("run.ended")[0]["exit_code"] == 3


def test_interrupted_resume_leaves_open_what_may_be_running(dead):
    """Whoever does not want to wait leaves the survivors open, the rest closed, the run not ended; later it ends."""
    resumed, _, _, _ = resume(dead, patience=2)
    after = outcomes_by_host(dead)
    again, _, _, _ = resume(dead, own=AGAIN)

    assert resumed.exit_code is ExitCode.INTERRUPTED
    assert [each.intent.host for each in resumed.still_open] == ["web-4", "web-5", "web-6"]
    assert after == {**EXPECTED, "web-4": None, "web-5": None, "web-6": None}
    assert again.exit_code is ExitCode.BAD
    assert outcomes_by_host(dead) == EXPECTED
    assert verify(dead.state.audit, [dead.run_id]).findings == ()


def test_altered_audit_file_is_not_believed(dead):
    """When the chain of the dead run's file is broken nothing is taken from it: what it calls fixed is lost here."""
    path = dead.state.audit / f"{dead.run_id}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"web-1"', b'"web-9"', 1))

    resumed, _, _, watcher = resume(dead)

    assert watcher.heard[0] == "odd"
    assert "one of the two was changed" in resumed.recorded.odd
    assert outcomes_by_host(dead) == {**EXPECTED, "web-3": "unverified", "web-5": "lost"}
    assert resumed.exit_code is ExitCode.BAD


def test_missing_audit_file_is_not_taken_for_an_empty_one(dead):
    """Without its audit file the run is closed by the ledger alone, and the check of the log still misses the file."""
    (dead.state.audit / f"{dead.run_id}.jsonl").unlink()

    resumed, _, _, _ = resume(dead)

    assert "is missing" in resumed.recorded.odd
    assert outcomes_by_host(dead) == {**EXPECTED, "web-3": "unverified", "web-5": "lost"}
    assert verify(dead.state.audit, [dead.run_id]).findings != ()


def test_open_executions_of_other_runs_are_left_alone(dead):
    """What another run left open, or is at work on, is not this resume's business."""
    ledger = SlowedLedger.open(dead.state.ledger)
    ledger.begin_run(run_row("run-2"), [execution("other", host="web-20")])
    ledger.admit([asked(execution("other", host="web-20"), run_id="run-2")], decide=by_gate, sync_intents=unsynced)
    ledger.close()

    resumed, _, _, watcher = resume(dead)

    assert resumed.exit_code is ExitCode.BAD
    assert [row.outcome for row in rows_of(dead, "run-2").executions] == [None]
    assert "open web-20" not in watcher.heard


def test_execution_that_another_run_names_meanwhile_keeps_that_outcome(dead, monkeypatch):
    """When an apply closes one while resume is about to take its outcome over, the first outcome stays; no error."""
    real = SlowedLedger.record_outcomes

    def record_late(ledger, batch):
        (open_one,) = [each for each in ledger.open_intents() if each.intent.host == "web-3"] or [None]
        if open_one is not None:
            ledger.close_open(open_one.intent.execution_id, open_one.closes_as, NOW, "named by an apply")
        return real(ledger, batch)

    monkeypatch.setattr(SlowedLedger, "record_outcomes", record_late)
    resumed, _, _, _ = resume(dead)

    assert resumed.exit_code is ExitCode.BAD
    assert outcomes_by_host(dead) == {**EXPECTED, "web-3": "unverified"}


@pytest.mark.parametrize("ending", [FixEnding.LOST, FixEnding.ALREADY_STARTED])
def test_result_that_saw_no_end_is_lost(tmp_path, ending):
    """A result in the audit file that says "its end was not seen" does not make the execution merely unverified."""
    bench = Bench(tmp_path / "state", trouble("web-1"))
    scope = bench.scope(rule())
    plan = bench.plan(scope)
    bench.open()
    bench.evidence.begin(plan, actor="alice", command="remedy apply")
    start(bench, scope, plan.executions[0])
    refuse_next(bench)
    with pytest.raises(StateError):
        bench.evidence.result(plan.executions[0], fix_result(ending))
    die(bench)

    resume(bench)

    assert outcomes_by_host(bench) == {"web-1": "lost"}


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


@pytest.mark.parametrize(
    ("max_bad", "said"), [(0, "max_bad 0"), (1, "max_bad 1"), (2, ""), (3, ""), (None, "its own is not known")]
)
def test_too_many_bad_hosts_of_a_dead_run_open_the_breaker(tmp_path, max_bad, said):
    """More bad hosts than the run's max_bad pause the rule, audited, with what ends it; not known, it is 0."""
    bench = Bench(tmp_path / "state", trouble(*NAMES))
    with_two_lost(bench, max_bad=max_bad)

    resumed, _, _, _ = resume(bench)
    bench.run_id = OWN
    recorded = bench.recorded("breaker.opened")

    if not said:
        assert (resumed.paused, breakers_of(bench), recorded) == ((), {}, [])
        return
    assert "2 bad hosts" in breakers_of(bench)["flag-high"]
    assert said in recorded[0]["reason"]
    assert "remedy release flag-high --reason TEXT" in resumed.paused[0]
    assert said in resumed.paused[0]


def test_max_bad_of_an_altered_file_is_not_believed(tmp_path):
    """When its chain is broken a dead run's file says no max_bad, and any bad host opens the breaker."""
    bench = Bench(tmp_path / "state", trouble(*NAMES))
    with_two_lost(bench, max_bad=7)
    path = bench.state.audit / f"{bench.run_id}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"max_bad":7', b'"max_bad":9', 1))

    resumed, _, _, _ = resume(bench)

    assert "its own is not known" in resumed.paused[0]
    assert "flag-high" in breakers_of(bench)


def test_breaker_that_is_open_already_is_left_as_it_is(tmp_path):
    """Nothing is recorded of a rule that is paused by its breaker already."""
    bench = Bench(tmp_path / "state", trouble(*NAMES))
    with_two_lost(bench, max_bad=0)
    ledger = SlowedLedger.open(bench.state.ledger)
    ledger.open_breaker("flag-high", bench.run_id, NOW, "an earlier reason")
    ledger.close()

    resumed, _, _, _ = resume(bench)

    assert resumed.paused == ()
    assert "an earlier reason" in breakers_of(bench)["flag-high"]


def said_before(bench):
    """Return what the dead run's audit file, or (when that one failed) its ledger, says of outcomes."""
    record = rows_of(bench)
    rows = record.executions if record is not None else ()
    in_ledger = {row.execution_id: row.outcome.value for row in rows if row.outcome is not None}
    return {**in_ledger, **{each["execution"]: each["outcome"] for each in bench.recorded("execution.outcome")}}


def _resume_until_it_ends(tmp_path, **fault):
    """Resume a half done run with a fault, then once more without; return whether the fault was met."""
    bench = Bench(tmp_path, trouble(*EXPECTED))
    half_done(bench)
    said = said_before(bench)
    first, disk, ledger, _ = resume(bench, **fault)
    if first is None:
        second, _, _, _ = resume(bench, own=AGAIN)
        assert second is not None
        assert second.exit_code is ExitCode.BAD
    check_closed(bench, said)
    assert outcomes_by_host(bench) == EXPECTED
    return first is None, disk.calls, ledger.transactions


@pytest.mark.parametrize("when", ["begin", "commit", "after"])
def test_resume_is_cut_off_at_every_transaction_and_done_again(tmp_path, when):
    """The N-th ledger transaction of a resume fails, N = 1, 2, …: a second resume ends well, with the same outcomes."""
    number, transactions = 0, 0
    while transactions >= number:
        number += 1
        failed, _, transactions = _resume_until_it_ends(tmp_path / f"{number}", ledger_fails_at=number, when=when)
        assert failed or transactions < number

    assert number > 6


def test_resume_is_cut_off_at_every_write_and_done_again(tmp_path):
    """The N-th write or sync of an audit file fails, N = 1, 2, …: a second resume ends well, with the same outcomes."""
    number, calls = 0, 0
    while calls >= number:
        number += 1
        _, calls, _ = _resume_until_it_ends(tmp_path / f"{number}", disk_fails_at=number)

    assert number > 15


def broken_run(bench):
    """Apply a rule in two waves; whatever fails, the process is gone afterwards. Return whether something failed."""
    scope = bench.scope(rule(waves=(1,), max_bad=100, concurrency=1))
    bench.close = lambda: None
    try:
        bench.apply(scope)
    except StateError:
        return True
    finally:
        die(bench)
    return False


def check_resumed(bench):
    """Resume a run that died, if it had begun, and check it."""
    sent = list(bench.fleet.sent)
    said = said_before(bench)
    resumed, _, _, _ = resume(bench)
    assert resumed is not None
    assert bench.fleet.sent == sent
    if rows_of(bench) is None:
        assert sent == []
        assert resumed.exit_code is ExitCode.INCOMPLETE
        return
    check_closed(bench, said)
    started = {row.execution_id for row in rows_of(bench).executions if row.started_at}
    assert set(sent) <= started


@pytest.mark.parametrize("when", ["begin", "commit", "after"])
def test_run_that_died_at_any_transaction_is_closed(tmp_path, when):
    """A run dies at its N-th ledger transaction, N = 1, 2, …: resume gives every execution its one outcome."""
    number, failed = 0, True
    while failed:
        number += 1
        bench = Bench(tmp_path / f"{number}", trouble(*NAMES))
        bench.ledger.fail_at, bench.ledger.fail_when = number, when
        failed = broken_run(bench)
        if failed:
            check_resumed(bench)

    assert number > 10


def test_run_that_died_at_any_write_of_its_audit_file_is_closed(tmp_path):
    """A run dies at its N-th write or sync of the audit file: resume gives every execution its one outcome."""
    number, failed = 0, True
    while failed:
        number += 1
        bench = Bench(tmp_path / f"{number}", trouble(*NAMES), disk_fails_at=number)
        failed = broken_run(bench)
        if failed and bench.records():
            check_resumed(bench)

    assert number > 20


def test_run_that_died_after_its_last_record_ends_as_it_said(tmp_path):
    """When the audit file says how the run ended and the ledger does not, that is its exit code."""
    bench = Bench(tmp_path / "state", trouble(*NAMES))
    scope = bench.scope(rule(concurrency=1))
    bench.open()
    bench.evidence.begin(bench.plan(scope), actor="alice", command="remedy apply")
    for each in bench.plan(scope).executions:
        start(bench, scope, each)
        bench.evidence.result(each, fix_result(FixEnding.FINISHED, 0))
        ended(bench, each, Ended(outcome=Outcome.FIXED))
    refuse_next(bench)
    with pytest.raises(StateError):
        bench.evidence.end(0, counts={})
    die(bench)

    resumed, _, _, _ = resume(bench)

    assert resumed.exit_code is ExitCode.DONE
    assert rows_of(bench).summary.exit_code == 0


def _record(*rows):
    return RunRecord(summary=RunSummary(run=run_row(), ended_at=None, exit_code=None), executions=rows)


def _row(outcome, reason="", *, number=1):
    return ExecutionRow(
        execution_id=f"x{number}",
        rule="low-disk",
        host=f"web-{number}",
        key=ROOT,
        started_at=NOW,
        ending=None,
        exit_code=None,
        outcome_at=NOW,
        outcome=outcome,
        reason=reason,
    )


@pytest.mark.parametrize(
    ("rows", "recorded", "code"),
    [
        ([], RecordedEnds(), ExitCode.INCOMPLETE),
        ([_row(Outcome.FIXED)], RecordedEnds(), ExitCode.INCOMPLETE),
        ([_row(Outcome.FIXED)], RecordedEnds(exit_code=0), ExitCode.DONE),
        ([_row(Outcome.FIXED)], RecordedEnds(odd="cut"), ExitCode.BAD),
        ([_row(Outcome.LOST)], RecordedEnds(exit_code=0), ExitCode.BAD),
        ([_row(Outcome.LOST), _row(Outcome.SKIPPED, "halted: 1 bad", number=2)], RecordedEnds(), ExitCode.HALTED),
        ([_row(Outcome.SKIPPED, "interrupted: the run died")], RecordedEnds(), ExitCode.INCOMPLETE),
        (
            [_row(Outcome.SKIPPED, "interrupted: interrupted")],
            RecordedEnds(outcomes={"x1": (NOW, {"outcome": Outcome.SKIPPED})}),
            ExitCode.INTERRUPTED,
        ),
        ([_row(Outcome.SKIPPED, "a word that is none")], RecordedEnds(), ExitCode.HALTED),
        ([_row(Outcome.UNREACHABLE)], RecordedEnds(), ExitCode.INCOMPLETE),
    ],
)
def test_exit_code_of_a_dead_run_is_never_better_than_incomplete(rows, recorded, code):
    """It is the worst of its outcomes and of "incomplete", unless its audit file has the code it meant to end with."""
    assert code_of_dead_run(_record(*rows), recorded) is code


def test_ends_of_dead_run_are_read_only_from_a_whole_chain(dead):
    """Outcomes, results and times are those of the records; a second reading says the same and recovers nothing."""
    first = ends_of_dead_run(dead.state.audit, dead.run_id)
    second = ends_of_dead_run(dead.state.audit, dead.run_id)

    assert [data["outcome"] for _at, data in first.outcomes.values()] == [
        Outcome.FIXED,
        Outcome.SKIPPED,
        Outcome.FIXED,
    ]
    assert len(first.results) == 5
    assert first.recovered is not None
    assert second.recovered is None
    assert (second.outcomes, second.results) == (first.outcomes, first.results)


def close_as_an_apply(bench):
    """Close what is over of the bench's run as the next apply does; return what it says, by host where one is named."""
    bench.clock.sleep(3_600)
    ledger = SlowedLedger.open(bench.state.ledger)
    try:
        with AuditLog.create(bench.state.audit, OWN, bench.clock.now) as audit:
            evidence = Evidence(ledger, audit, run_id=OWN, clock=bench.clock.now)
            evidence.open(actor="bob", command="remedy apply", facts={})
            over = over_for_certain(ledger, is_alive=lambda _run: False, now=bench.clock.now())
            return close_over(ledger, audit, evidence, over, clock=bench.clock.now)
    finally:
        ledger.close()


UNSTARTED = {"web-7": None, "web-8": None}


def test_apply_closes_a_dead_run_as_its_audit_file_says(dead):
    """Killed between the record of an outcome and the ledger's commit, an execution is `fixed`, as its file says."""
    path = dead.state.audit / f"{dead.run_id}.jsonl"
    before = path.read_bytes()

    said = close_as_an_apply(dead)

    assert outcomes_by_host(dead) == {**EXPECTED, **UNSTARTED}
    assert path.read_bytes() == before
    (fixed,) = [each for each in said if "web-3" in each]
    assert fixed.startswith("fixed: flag-high on web-3, started by run")
    (row,) = [each for each in rows_of(dead).executions if each.host == "web-3"]
    assert row.reason == "level 9 -> 0"
    dead.run_id = OWN
    assert {each["host"]: each["outcome"] for each in dead.recorded("execution.lost")} == {
        "web-4": "unverified",
        "web-5": "unverified",
        "web-6": "lost",
    }


def test_apply_does_not_believe_an_altered_audit_file(dead):
    """What a file with a broken chain calls fixed is unverified for the next apply, too, with a warning."""
    path = dead.state.audit / f"{dead.run_id}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"web-1"', b'"web-9"', 1))

    said = close_as_an_apply(dead)

    assert outcomes_by_host(dead) == {**EXPECTED, **UNSTARTED, "web-3": "unverified", "web-5": "lost"}
    assert said[0].startswith(f"WARNING: nothing is taken from the audit file of run {dead.run_id}")


def test_apply_opens_the_breaker_of_what_it_closes(tmp_path):
    """More lost hosts in a dead run than its max_bad pause the rule before the next apply makes its plan."""
    bench = Bench(tmp_path / "state", trouble(*NAMES))
    with_two_lost(bench, max_bad=1)

    said = close_as_an_apply(bench)
    again = resume(bench, own=AGAIN)[0]
    bench.run_id = OWN

    assert "remedy release flag-high --reason TEXT" in said[-1]
    assert "2 bad hosts" in breakers_of(bench)["flag-high"]
    assert bench.recorded("breaker.opened")[0]["of_run"] != OWN
    assert again.paused == ()


def test_apply_leaves_an_outcome_that_another_run_named_meanwhile(dead, monkeypatch):
    """When a resume closes one while the apply is about to, the first outcome stays; no error."""
    real = SlowedLedger.record_outcomes

    def record_late(ledger, batch):
        for each in ledger.open_intents():
            if each.intent.execution_id == batch[0].execution_id:
                ledger.close_open(each.intent.execution_id, each.closes_as, NOW, "named by a resume")
        return real(ledger, batch)

    monkeypatch.setattr(SlowedLedger, "record_outcomes", record_late)
    close_as_an_apply(dead)

    assert outcomes_by_host(dead) == {**EXPECTED, **UNSTARTED, "web-3": "unverified"}


def test_outcome_that_the_ledger_does_not_take_stops_the_apply(dead, monkeypatch):
    """What is still open after its recorded outcome was contradicted is an error, and is never passed over."""

    def contradict(_ledger, batch):
        return tuple(StateError("it is not in the plan") for _ in batch)

    monkeypatch.setattr(SlowedLedger, "record_outcomes", contradict)

    with pytest.raises(StateError, match="it is not in the plan"):
        close_as_an_apply(dead)
