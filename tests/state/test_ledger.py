"""The ledger: runs, what becomes of their executions, and that a file on disk takes it all."""

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from remedy.errors import StateError
from remedy.model import Outcome
from remedy.port import FixEnding, Permit
from remedy.state import ledger_schema
from remedy.state.ledger_rows import ExecutionRow, RunRow
from tests.state.builders import LATER, NOW, ROOT, admit, asked, execution, run_row, start


def test_ledger_file_is_private_and_durable(ledger, tmp_path):
    """The file is 0600, of remedy's application id, STRICT, with a rollback journal synced to the directory."""
    connection = ledger._connection

    def pragma(name):
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    path = tmp_path / "ledger.sqlite3"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    settings = [pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys", "user_version")]
    assert settings == ["delete", 3, 1, len(ledger_schema.MIGRATIONS)]
    assert pragma("application_id") == int.from_bytes(b"remy", "big")
    strict = connection.execute(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'"
    )
    tables = ("runs", "executions", "releases", "intents", "breakers", "pauses", "reconciliations")
    assert dict(strict.fetchall()) == dict.fromkeys(tables, 1)


def test_run_shows_every_execution_with_its_one_end(ledger):
    """A run shows its plan's executions in order: started and ended, skipped, and without an end yet."""
    fixed, skipped, pending = execution("a"), execution("b", host="web-2"), execution("c", host="web-0")
    ledger.begin_run(run_row(), [fixed, skipped, pending])
    admit(ledger, fixed)
    ledger.record_result("a", LATER, FixEnding.FINISHED, 0)
    ledger.record_outcome("a", LATER, Outcome.FIXED, "free 20%", run_id="run-1")
    ledger.record_outcome("b", LATER, Outcome.SKIPPED, "halted", run_id="run-1")
    ledger.end_run("run-1", LATER, 5)

    record = ledger.run("run-1")
    assert record.summary.run == run_row()
    assert (record.summary.ended_at, record.summary.exit_code) == (LATER, 5)
    assert record.executions[0] == ExecutionRow(
        execution_id="a",
        rule="low-disk",
        host="web-1",
        key=ROOT,
        started_at=NOW,
        ending=FixEnding.FINISHED,
        exit_code=0,
        outcome_at=LATER,
        outcome=Outcome.FIXED,
        reason="free 20%",
    )
    ends = [(each.execution_id, each.started_at, each.outcome) for each in record.executions[1:]]
    assert ends == [("b", None, Outcome.SKIPPED), ("c", None, None)]
    assert ledger.run("run-2") is None


def test_runs_are_the_newest_first_whatever_their_clocks(ledger):
    """Runs are listed in the order in which they began, also when the clock went back."""
    for number in range(4):
        ledger.begin_run(run_row(f"run-{number}", at=NOW - timedelta(hours=number)))

    assert [each.run.id for each in ledger.runs(3)] == ["run-3", "run-2", "run-1"]
    assert ledger.runs(3)[0].ended_at is None


def test_run_begins_and_ends_once(ledger):
    """A second begin or end of a run, and the end of one that never began, are errors."""
    ledger.begin_run(run_row())
    ledger.end_run("run-1", LATER, 0)

    with pytest.raises(StateError, match="in the ledger already"):
        ledger.begin_run(run_row())
    with pytest.raises(StateError, match="has ended already"):
        ledger.end_run("run-1", LATER, 1)
    with pytest.raises(StateError, match="never began"):
        ledger.end_run("run-2", LATER, 1)


def test_begin_run_with_one_execution_twice_records_nothing(ledger):
    """A plan that names one execution twice is refused as a whole."""
    with pytest.raises(StateError, match="contradicts"):
        ledger.begin_run(run_row(), [execution("a"), execution("a", host="web-2")])

    assert ledger.runs(9) == ()


def test_record_outcome_takes_one_outcome(ledger):
    """The same outcome again changes nothing; another one is an error and changes nothing either."""
    start(ledger, execution("a"))
    ledger.record_outcome("a", NOW, Outcome.FAILED, "exit 1", run_id="run-1")
    ledger.record_outcome("a", LATER, Outcome.FAILED, "again", run_id="run-1")

    with pytest.raises(StateError, match="ended as failed already, and now as fixed"):
        ledger.record_outcome("a", LATER, Outcome.FIXED, run_id="run-1")
    (shown,) = ledger.run("run-1").executions
    assert (shown.outcome, shown.outcome_at, shown.reason) == (Outcome.FAILED, NOW, "exit 1")


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.SKIPPED, Outcome.UNREACHABLE, Outcome.REFUSED}))
def test_record_outcome_of_a_start_needs_an_intent(ledger, outcome):
    """Nothing ends as if it had been started when this run has no intent of it."""
    planned = execution("a")
    start(ledger, planned)
    ledger.begin_run(run_row("run-2"), [planned])

    with pytest.raises(StateError, match="has no intent in run run-2"):
        ledger.record_outcome("a", NOW, outcome, run_id="run-2")
    assert ledger.run("run-2").executions[0].outcome is None


def test_record_outcome_of_an_unplanned_execution_is_refused(ledger):
    """An outcome of what is in no plan is an error."""
    ledger.begin_run(run_row(), [])

    with pytest.raises(StateError, match="not in the plan of run run-1"):
        ledger.record_outcome("a", NOW, Outcome.SKIPPED, run_id="run-1")


def test_record_result_is_taken_once(ledger):
    """A result stands; the same again is no error, another one is, and one without an intent is."""
    start(ledger, execution("a"))
    ledger.record_result("a", NOW, FixEnding.FINISHED, 1)
    ledger.record_result("a", LATER, FixEnding.FINISHED, 1)

    with pytest.raises(StateError, match="has the result finished already, and now lost"):
        ledger.record_result("a", LATER, FixEnding.LOST, None)
    with pytest.raises(StateError, match="no intent"):
        ledger.record_result("b", LATER, FixEnding.FINISHED, 0)
    assert ledger.run("run-1").executions[0].exit_code == 1


def test_open_intents_are_closed_as_lost_or_unverified(ledger):
    """An intent without a result closes as lost, one with a result as unverified, and once."""
    start(ledger, execution("a"), execution("b", host="web-2"))
    ledger.record_result("b", NOW, FixEnding.FINISHED, 0)
    opened = {each.intent.execution_id: each for each in ledger.open_intents()}
    assert (opened["a"].ending, opened["b"].ending) == (None, FixEnding.FINISHED)
    assert opened["a"].intent == asked(execution("a"))[1]

    with pytest.raises(StateError, match="cannot be closed as unverified"):
        ledger.close_open("a", Outcome.UNVERIFIED, LATER, "dead")
    with pytest.raises(StateError, match="cannot be closed as lost"):
        ledger.close_open("b", Outcome.LOST, LATER, "dead")
    closed = [ledger.close_open(each, opened[each].closes_as, LATER, "its run died") for each in "aba"]

    assert closed == [True, True, False]
    assert ledger.open_intents() == ()
    assert [each.outcome for each in ledger.run("run-1").executions] == [Outcome.LOST, Outcome.UNVERIFIED]


def test_close_open_leaves_an_outcome_that_came_first(ledger):
    """When the run that seemed dead recorded its end in between, that end stands."""
    start(ledger, execution("a"))
    ledger.record_outcome("a", NOW, Outcome.FIXED, run_id="run-1")

    assert not ledger.close_open("a", Outcome.LOST, LATER, "dead")
    assert ledger.run("run-1").executions[0].outcome is Outcome.FIXED
    with pytest.raises(StateError, match="has no intent"):
        ledger.close_open("b", Outcome.LOST, LATER, "dead")


def test_late_outcome_of_an_execution_closed_as_lost_is_an_error(ledger):
    """A run that comes back after others named its execution lost cannot call it fixed."""
    start(ledger, execution("a"))
    ledger.close_open("a", Outcome.LOST, LATER, "dead")

    with pytest.raises(StateError, match="ended as lost already"):
        ledger.record_outcome("a", LATER, Outcome.FIXED, run_id="run-1")


def test_ledger_serves_many_threads(ledger):
    """Threads that share a ledger get one grant per attempt that is allowed, and no error."""
    planned = [execution(f"x{number}") for number in range(16)]
    ledger.begin_run(run_row(), planned)

    with ThreadPoolExecutor(max_workers=16) as threads:
        answers = list(threads.map(lambda each: admit(ledger, each)[0], planned))

    assert sum(isinstance(answer, Permit) for answer in answers) == 3


def test_times_without_a_zone_are_refused(ledger):
    """A local time would be stored as another instant: it is an error."""
    with pytest.raises(ValueError, match="no zone"):
        ledger.begin_run(RunRow(id="r", started_at=NOW.replace(tzinfo=None), actor="a", command="c"))
