"""Closing a dead run: whatever it died of, and wherever closing it is cut off, each execution ends with one outcome."""

from datetime import timedelta

import pytest

from remedy.errors import StateError
from remedy.model import Outcome
from remedy.outcomes import Ended
from remedy.port import FixEnding
from remedy.run.recorded_ends import RecordedEnds, ends_of_dead_run, read_ends
from remedy.run.resuming import code_of_dead_run
from remedy.state.audit import AuditType
from remedy.state.audit_verify import verify
from remedy.state.ledger_rows import ExecutionRow, OutcomeRow, RunRecord, RunSummary
from remedy.summary import ExitCode
from tests.run.bench import Bench, SlowedLedger
from tests.run.dead_runs import (
    AGAIN,
    EXPECTED,
    NAMES,
    OWN,
    die,
    ended,
    outcomes_by_host,
    refuse_next,
    resume,
    rows_of,
    start,
)
from tests.run.fleet import NOW, fix_result, trouble
from tests.run.rules import ROOT, rule
from tests.state.builders import asked, by_gate, execution, run_row, unsynced


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
            RecordedEnds(outcomes={"x1": OutcomeRow(run_id="r", execution_id="x1", at=NOW, outcome=Outcome.SKIPPED)}),
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

    assert [row.outcome for row in first.outcomes.values()] == [
        Outcome.FIXED,
        Outcome.SKIPPED,
        Outcome.FIXED,
    ]
    assert len(first.results) == 5
    assert first.recovered is not None
    assert second.recovered is None
    assert (second.outcomes, second.results) == (first.outcomes, first.results)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (AuditType.RUN_ENDED, {"exit_code": 77, "outcomes": {}}),
        (AuditType.RUN_ENDED, {"exit_code": True, "outcomes": {}}),
        (AuditType.ROLLOUT_STARTED, {"rule": "flag-high", "max_bad": "1"}),
        (AuditType.EXECUTION_OUTCOME, {"execution": "x1", "outcome": "mended", "skip": None, "reason": ""}),
        (AuditType.EXECUTION_OUTCOME, {"execution": "x1", "outcome": "fixed"}),
        (AuditType.EXECUTION_RESULT, {"execution": "x1", "ending": "finished", "exit_code": "0"}),
    ],
)
def test_record_that_remedy_does_not_write_makes_the_file_odd(tmp_path, kind, data):
    """A value that no run writes is believed no more than a broken chain; its torn tail is said all the same."""
    bench = Bench(tmp_path / "state", trouble(*NAMES))
    bench.open()
    bench.evidence.note(kind, data)
    die(bench)
    with (bench.state.audit / f"{bench.run_id}.jsonl").open("ab") as file:
        file.write(b"torn")

    unchanged = read_ends(bench.state.audit, bench.run_id)
    closed = ends_of_dead_run(bench.state.audit, bench.run_id)

    assert unchanged.odd == closed.odd
    assert closed.odd.startswith(f"a record of {bench.run_id} is not as remedy writes it: ")
    assert (closed.outcomes, closed.results, closed.max_bad, closed.exit_code) == ({}, {}, {}, None)
    assert unchanged.recovered is None
    assert closed.recovered is not None
    assert closed.recovered.torn_bytes == 4
