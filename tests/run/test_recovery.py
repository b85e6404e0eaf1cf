"""What dead runs left open: when it is over, which hosts are busy meanwhile, what history the plan gets."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from remedy.gate import Permit
from remedy.model import Finding, Outcome
from remedy.port import FixEnding
from remedy.run.recovery import GRACE_S, busy_hosts, history_of, left_open, over_for_certain
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import Intent, OpenIntent
from tests.state.builders import NOW, ROOT, SHA, asked, by_gate, execution, run_row, unsynced

DEADLINE_S = 300
OVER = timedelta(seconds=DEADLINE_S + GRACE_S)


def opened(execution_id="x1", *, run_id="run-1", host="web-1", at=NOW, deadline_s=DEADLINE_S, ending=None):
    """Return an intent without an outcome."""
    intent = Intent(
        execution_id=execution_id,
        run_id=run_id,
        rule="low-disk",
        host=host,
        key=ROOT,
        script_sha256=SHA,
        at=at,
        deadline_s=deadline_s,
    )
    return OpenIntent(intent=intent, ending=ending)


@pytest.fixture
def ledger(tmp_path) -> Iterator[Ledger]:
    """Give an empty ledger."""
    made = Ledger.open(tmp_path / "ledger.sqlite3")
    yield made
    made.close()


def begin(ledger, *planned, run_id="run-1"):
    """Begin a run and admit its executions."""
    ledger.begin_run(run_row(run_id), planned)
    answers = ledger.admit([asked(each, run_id=run_id) for each in planned], decide=by_gate, sync_intents=unsynced)
    assert all(isinstance(answer, Permit) for answer in answers)


@pytest.mark.parametrize(
    ("after", "over"),
    [
        (OVER, True),
        (OVER - timedelta(microseconds=1), False),
        (OVER + timedelta(microseconds=1), True),
        (timedelta(0), False),
        (timedelta(days=365), True),
    ],
)
def test_dead_runs_intent_is_over_exactly_at_deadline_and_grace(after, over):
    """Up to the last moment before deadline and grace are over it may still be running; from then on it is over."""
    intent = opened()

    found = left_open([intent], is_alive=lambda _run: False, now=NOW + after)

    assert found.over == ((intent,) if over else ())
    assert found.running == (() if over else (intent,))


def test_living_runs_intent_is_never_over():
    """As long as its run lives nobody else names its executions, however old they are."""
    intent = opened()

    found = left_open([intent], is_alive=lambda run: run == "run-1", now=NOW + timedelta(days=365))

    assert found.over == ()
    assert found.running == (intent,)


def test_intent_dated_after_now_keeps_its_host_busy():
    """After the clock was set back an intent of the future is not over: its host stays busy."""
    intent = opened(at=NOW + timedelta(days=3))

    found = left_open([intent], is_alive=lambda _run: False, now=NOW + OVER)

    assert found.running == (intent,)


def test_each_run_and_deadline_is_looked_at_by_itself():
    """Of several open intents those of dead runs whose own deadlines are over can be closed, in their order."""
    intents = [
        opened("x1", run_id="dead"),
        opened("x2", run_id="alive"),
        opened("x3", run_id="dead", deadline_s=3_600),
        opened("x4", run_id="dead", deadline_s=1),
    ]

    found = left_open(intents, is_alive=lambda run: run == "alive", now=NOW + OVER)

    assert [each.intent.execution_id for each in found.over] == ["x1", "x4"]
    assert [each.intent.execution_id for each in found.running] == ["x2", "x3"]


def test_busy_hosts_say_which_execution_and_until_when():
    """The reason names execution, run, and the time (deadline and grace) at which the host is free at the latest."""
    reasons = busy_hosts([opened()])

    assert reasons == {
        "web-1": "execution x1 of run run-1 may still be running there, until 2026-11-22T08:50:45Z at the latest"
    }


def test_host_with_two_open_intents_is_busy_until_the_later():
    """Of two that may still be running on a host the one that may run longer is named, whatever their order."""
    later = opened("later", deadline_s=3_600)

    for intents in ([opened(), later], [later, opened()]):
        assert "execution later" in busy_hosts(intents)["web-1"]


def test_run_that_ends_while_it_is_looked_at_is_not_called_lost(ledger):
    """A run that records its outcome and ends between the two looks has nothing left to name."""
    begin(ledger, execution("x1"), execution("x2", host="web-2"))

    def is_alive(_run_id):
        ledger.record_result("x1", NOW, FixEnding.FINISHED, 0)
        ledger.record_outcome("x1", NOW, Outcome.FIXED, run_id="run-1")
        return False

    found = over_for_certain(ledger, is_alive=is_alive, now=NOW + OVER)

    assert [each.intent.execution_id for each in found] == ["x2"]


def test_result_recorded_while_it_is_looked_at_counts(ledger):
    """What is closed is what the ledger says after its run was found dead: with a result it is unverified."""
    begin(ledger, execution("x1"))

    def is_alive(_run_id):
        ledger.record_result("x1", NOW, FixEnding.FINISHED, 0)
        return False

    (found,) = over_for_certain(ledger, is_alive=is_alive, now=NOW + OVER)

    assert found.closes_as is Outcome.UNVERIFIED


def test_nothing_open_is_nothing_over(ledger):
    """An empty ledger leaves nothing to close."""
    assert over_for_certain(ledger, is_alive=lambda _run: False, now=NOW) == ()


def test_history_has_attempts_of_the_findings_and_bad_hosts_of_the_rules(ledger):
    """Attempts are those of the found incidents; last_bad has, by rule, the hosts whose last attempt was bad."""
    begin(ledger, execution("x1"), execution("x2", host="web-2"), execution("x3", host="web-3"))
    ledger.record_outcome("x1", NOW, Outcome.FIXED, run_id="run-1")
    ledger.record_outcome("x2", NOW, Outcome.FAILED, run_id="run-1")
    ledger.open_breaker("low-disk", "run-1", NOW, "2 bad")
    findings = [Finding(rule="low-disk", host=host, key=ROOT, row={"mount": "/"}) for host in ("web-1", "web-9")]

    history = history_of(ledger, findings, rules=["low-disk", "other"], busy={"web-3": "may be running"})

    assert set(history.attempts) == {("low-disk", "web-1", ROOT)}
    assert [each.outcome for each in history.attempts["low-disk", "web-1", ROOT]] == [Outcome.FIXED]
    # web-3 has no outcome yet: taken for lost, which is bad.
    assert history.last_bad == {"low-disk": frozenset({"web-2", "web-3"}), "other": frozenset()}
    assert list(history.breakers) == ["low-disk"]
    assert history.busy == {"web-3": "may be running"}
