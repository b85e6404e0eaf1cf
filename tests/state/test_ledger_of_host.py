"""What the ledger says of one host, for `why`: everything that was planned for it, and what budgets count."""

from datetime import timedelta

import pytest

from remedy.errors import StateError
from remedy.limits import Budget
from remedy.model import Outcome
from remedy.next_run import usage_at
from remedy.port import FixEnding
from remedy.state.ledger import Ledger
from tests.state.builders import LATER, NOW, always, asked, execution, run_row, unsynced

DAY = timedelta(days=1)


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger.open(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


def started(ledger, *planned, run_id="run-1", at=NOW):
    """Begin a run of these and start all of them."""
    ledger.begin_run(run_row(run_id, at=at), planned)
    ledger.admit([asked(each, run_id=run_id, at=at) for each in planned], decide=always, sync_intents=unsynced)


def test_host_has_everything_that_was_planned_for_it(ledger):
    """Oldest run first: what was never started, what is open, what ended, with the end of the run that planned it."""
    one, two, other = execution("x1"), execution("x2", rule="reboot", key=()), execution("x3", host="web-2")
    started(ledger, one, two, other)
    ledger.record_result("x1", LATER, FixEnding.FINISHED, 0)
    ledger.record_outcome("x1", LATER, Outcome.FIXED, "free again", run_id="run-1")
    ledger.begin_run(run_row("run-2", at=NOW + DAY), [execution("x4")])
    ledger.record_outcome("x4", NOW + DAY, Outcome.UNREACHABLE, "no answer", run_id="run-2")

    first, second, third = ledger.past_executions("web-1")

    assert (first.execution_id, first.outcome, first.reason) == ("x1", Outcome.FIXED, "free again")
    assert (first.planned_at, first.started_at, first.outcome_at) == (NOW, NOW, LATER)
    assert (first.ending, first.exit_code, first.deadline_s) == (FixEnding.FINISHED, 0, 300)
    assert (second.execution_id, second.outcome, second.is_open, second.key) == ("x2", None, True, ())
    assert (third.started_at, third.outcome, third.planned_at) == (None, Outcome.UNREACHABLE, NOW + DAY)
    assert ledger.past_executions("web-9") == ()
    assert ledger.host_names() == {"web-1", "web-2"}


def test_release_and_reconciliation_stand_with_the_execution(ledger):
    """When a person released its incident, and what the host's marker said last, whether or not it proves the end."""
    started(ledger, execution("x1"))
    ledger.record_outcome("x1", LATER, Outcome.LOST, "link lost", run_id="run-1")
    said = {"run_id": "r", "exit_code": None, "reason": "marker", "actor": "alice"}
    ledger.reconcile("x1", at=LATER, found="unknown", proves_end=False, **said)
    (unproved,) = ledger.past_executions("web-1")
    ledger.reconcile("x1", at=LATER, found="ended", proves_end=True, **said)
    ledger.release("low-disk", "web-1", LATER, "looked", "alice")
    (proved,) = ledger.past_executions("web-1")

    assert (unproved.reconciled, unproved.end_proved, unproved.released_at) == ("unknown", False, None)
    assert (proved.reconciled, proved.end_proved, proved.released_at) == ("ended", True, LATER)


def test_last_starts_are_what_budgets_count(ledger):
    """By host the newest start after a time, of a rule or of all; they count as the ledger itself counts."""
    started(ledger, execution("x1"), execution("x2", host="web-2"))
    started(ledger, execution("x3", rule="reboot", host="web-3"), run_id="run-2", at=NOW + DAY)
    budget = Budget(hosts=1, window_s=3_600)
    since = NOW - timedelta(hours=1)

    assert ledger.last_starts(since) == {"web-1": NOW, "web-2": NOW, "web-3": NOW + DAY}
    assert ledger.last_starts(since, "low-disk") == {"web-1": NOW, "web-2": NOW}
    assert ledger.last_starts(NOW) == {"web-3": NOW + DAY}
    for at in (NOW, NOW + timedelta(minutes=59), NOW + timedelta(hours=1), NOW + DAY):
        cut = at - timedelta(seconds=budget.window_s)
        usage = usage_at(budget, ledger.last_starts(since), host="web-9", now=at)
        assert usage.hosts == ledger.hosts_started(cut)


def test_value_that_remedy_does_not_write_is_damage(ledger, tmp_path):
    """An outcome that somebody edited in is an error with the ledger's name, not a guess."""
    started(ledger, execution("x1"))
    ledger._connection.execute("PRAGMA ignore_check_constraints = ON")
    ledger._connection.execute("UPDATE executions SET outcome = 'mended', outcome_at = 'x', reason = ''")

    with pytest.raises(StateError, match="x1 has a value that remedy does not write"):
        ledger.past_executions("web-1")
