"""Admission to the ledger: one start for each planned execution, decided on what was granted before, or nothing."""

import sqlite3

import pytest

from remedy.errors import StateError
from remedy.gate import Refusal
from remedy.model import Outcome, Skip
from remedy.port import FixEnding, Permit
from tests.state.builders import NOW, ROOT, admit, always, asked, by_gate, execution, limits, run_row, start, unsynced


def test_admit_gives_permits_and_attempts(ledger):
    """A grant is an attempt at once, with its run, time and script, and no outcome yet."""
    (answer,) = start(ledger, execution("a"))

    (attempt,) = ledger.attempts("low-disk", "web-1", ROOT)
    assert isinstance(answer, Permit)
    assert (attempt.execution_id, attempt.run_id, attempt.at, attempt.outcome) == ("a", "run-1", NOW, None)


def test_admit_reads_facts_that_include_the_grants_before(ledger):
    """Two requests of one incident in one batch: the second sees the first's attempt."""
    first, second = execution("a"), execution("b")
    ledger.begin_run(run_row(), [first, second])
    pairs = [asked(each, rule_limits=limits(attempts=1)) for each in (first, second)]

    answers = ledger.admit(pairs, decide=by_gate, sync_intents=unsynced)

    assert isinstance(answers[0], Permit)
    assert answers[1] == Refusal(skip=Skip.QUARANTINED, reason="1 attempts with this script; 1 are allowed")


def test_admit_syncs_the_granted_intents_before_it_commits(ledger, tmp_path):
    """sync_intents gets exactly the granted intents, in order, at a time when another reader sees none of them."""
    planned = [execution("a"), execution("b"), execution("c", host="web-2")]
    ledger.begin_run(run_row(), planned)
    seen = []

    def sync(granted):
        with sqlite3.connect(tmp_path / "ledger.sqlite3") as other:
            seen.append(
                ([intent.execution_id for intent in granted], other.execute("SELECT 1 FROM intents").fetchall())
            )
        other.close()

    pairs = [asked(each, rule_limits=limits(attempts=1)) for each in planned]
    ledger.admit(pairs, decide=by_gate, sync_intents=sync)

    assert seen == [(["a", "c"], [])]
    assert len(ledger.open_intents()) == 2


def test_admit_without_grants_syncs_nothing(ledger):
    """A batch of refusals asks nothing of the audit log."""
    start(ledger, execution("a"))

    def sync(_granted):
        raise AssertionError("nothing was granted")

    (answer,) = admit(ledger, execution("a"), sync_intents=sync)
    assert answer == Refusal(skip=Skip.ALREADY_STARTED, reason="this execution has been started before")


@pytest.mark.parametrize("error", [StateError("disk"), OSError("disk"), KeyboardInterrupt()])
def test_admit_grants_nothing_when_the_sync_fails(ledger, error):
    """When the audit log does not take the intents, whatever the reason, the ledger has none, and goes on working."""
    planned = execution("a")
    ledger.begin_run(run_row(), [planned])

    def sync(_granted):
        raise error

    with pytest.raises(type(error)):
        admit(ledger, planned, sync_intents=sync)
    assert ledger.open_intents() == ()
    assert isinstance(admit(ledger, planned)[0], Permit)


def test_admit_grants_nothing_when_deciding_fails(ledger):
    """An error while the second request is decided takes back the first grant."""
    planned = [execution("a"), execution("b", host="web-2")]
    ledger.begin_run(run_row(), planned)

    def decide(request, facts):
        if request.execution_id == "b":
            raise RuntimeError("ours")
        return by_gate(request, facts)

    with pytest.raises(RuntimeError):
        admit(ledger, *planned, decide=decide)
    assert ledger.open_intents() == ()


def test_admit_refuses_a_second_start_whoever_decides(ledger):
    """One execution id has one intent for ever: even a decision that ignores the facts cannot start it again."""
    planned = execution("a")
    start(ledger, planned)
    ledger.begin_run(run_row("run-2"), [planned])

    with pytest.raises(StateError, match="started before; it is not started again"):
        admit(ledger, planned, run_id="run-2", decide=always)


@pytest.mark.parametrize("changed", [{"host": "web-2"}, {"rule": "other"}, {"key": (("mount", "/srv"),)}])
def test_admit_refuses_what_is_not_in_the_plan(ledger, changed):
    """An execution that the run's plan does not have, or has for another host, rule or row, is not started."""
    ledger.begin_run(run_row(), [execution("a")])

    with pytest.raises(StateError, match="not pending in run run-1"):
        admit(ledger, execution("a", **changed), decide=always)
    with pytest.raises(StateError, match="not pending in run run-1"):
        admit(ledger, execution("b"), decide=always)
    assert ledger.open_intents() == ()


def test_admit_refuses_an_execution_that_ended_without_a_start(ledger):
    """What this run already counted as skipped is not started after all."""
    planned = execution("a")
    ledger.begin_run(run_row(), [planned])
    ledger.record_outcome("a", NOW, Outcome.SKIPPED, "halted", run_id="run-1")

    with pytest.raises(StateError, match="not pending"):
        admit(ledger, planned, decide=always)


def test_admit_refuses_an_intent_of_another_request(ledger):
    """An intent that differs from its request is an error of ours, and nothing is granted."""
    planned, other = execution("a"), execution("b", host="web-2")
    ledger.begin_run(run_row(), [planned, other])

    with pytest.raises(ValueError, match="not that of the request a"):
        ledger.admit([(asked(planned)[0], asked(other)[1])], decide=by_gate, sync_intents=unsynced)
    assert ledger.open_intents() == ()


def test_admit_finds_a_host_busy_with_an_open_intent_of_another_run(ledger):
    """An intent without an outcome holds its host for every rule of every other run, and says which it is."""
    first, second = execution("a"), execution("b", rule="low-inodes")
    start(ledger, first)
    ledger.begin_run(run_row("run-2"), [second])
    before = admit(ledger, second, run_id="run-2")
    ledger.record_result("a", NOW, FixEnding.FINISHED, 0)
    with_result = admit(ledger, second, run_id="run-2")
    ledger.record_outcome("a", NOW, Outcome.FIXED, run_id="run-1")
    after = admit(ledger, second, run_id="run-2")

    reason = "run run-1 started a there at 2026-11-22T08:45:00.000000Z (deadline 300s), and its end is not known"
    assert before == with_result == (Refusal(skip=Skip.HOST_BUSY, reason=reason),)
    assert isinstance(after[0], Permit)


def test_admit_of_the_same_run_is_not_busy_with_itself(ledger):
    """A run that carries out several executions on a host is not held up by its own."""
    answers = start(ledger, execution("a"), execution("b", key=(("mount", "/srv"),)))

    assert all(isinstance(answer, Permit) for answer in answers)


def test_same_plan_twice_starts_nothing_twice_and_both_runs_show_it(ledger):
    """The second run of one plan has its own outcome of each execution, and the first keeps its own."""
    planned = execution("a")
    start(ledger, planned)
    ledger.record_outcome("a", NOW, Outcome.FIXED, run_id="run-1")
    (answer,) = start(ledger, planned, run_id="run-2")
    ledger.record_outcome("a", NOW, Outcome.SKIPPED, "started before", run_id="run-2")

    assert isinstance(answer, Refusal)
    shown = [ledger.run(run_id).executions[0] for run_id in ("run-1", "run-2")]
    assert [(each.outcome, each.started_at) for each in shown] == [(Outcome.FIXED, NOW), (Outcome.SKIPPED, None)]
    assert [each.outcome for each in ledger.attempts("low-disk", "web-1", ROOT)] == [Outcome.FIXED]
