"""The ledger's memory of attempts: what is counted, what was bad last time, what a breaker and a release change."""

from datetime import timedelta

import pytest

from remedy.gate import Refusal
from remedy.model import Outcome, Skip
from remedy.port import FixEnding, Permit
from tests.state.builders import LATER, NOW, ROOT, admit, execution, run_row, start


def test_release_forgets_the_attempts_of_a_host(ledger):
    """Release counts the incidents with attempts (not the attempts), and only of that rule and host."""
    other_row = (("mount", "/srv"),)
    planned = [
        execution("a"),
        execution("b"),
        execution("c", key=other_row),
        execution("d", host="web-2"),
        execution("e", rule="low-inodes"),
    ]
    start(ledger, *planned)
    for each in planned:
        ledger.record_outcome(each.id, NOW, Outcome.FAILED, run_id="run-1")

    assert ledger.release("low-disk", "web-1", LATER, "disk was swapped", "alice") == 2
    assert ledger.release("low-disk", "web-1", LATER, "again", "alice") == 0
    left = ledger.attempts_of([(each.rule, each.host, each.key) for each in planned])
    assert sorted(attempt.execution_id for attempts in left.values() for attempt in attempts) == ["d", "e"]


def test_release_keeps_an_attempt_whose_end_is_not_known(ledger):
    """An attempt that may yet be lost cannot be released: when it is, the incident is quarantined."""
    start(ledger, execution("a"))

    released = ledger.release("low-disk", "web-1", LATER, "impatient", "alice")
    ledger.close_open("a", Outcome.LOST, LATER, "dead")

    assert released == 0
    assert [each.outcome for each in ledger.attempts("low-disk", "web-1", ROOT)] == [Outcome.LOST]


def test_attempts_keep_their_order_when_the_clock_goes_back(ledger):
    """Attempts come in the order of admission, and a release forgets those before it, whatever their times say."""
    for number, hours in enumerate((0, -5, -9)):
        start(ledger, execution(f"x{number}"), run_id=f"run-{number}", at=NOW + timedelta(hours=hours))
        ledger.record_outcome(f"x{number}", NOW, Outcome.FAILED, run_id=f"run-{number}")
    order = [each.execution_id for each in ledger.attempts("low-disk", "web-1", ROOT)]
    ledger.release("low-disk", "web-1", NOW - timedelta(days=9), "ok", "alice")

    assert order == ["x0", "x1", "x2"]
    assert ledger.attempts("low-disk", "web-1", ROOT) == ()


def test_attempts_of_thousands_of_incidents_are_those_of_each(ledger):
    """The bulk answer equals the single ones over more incidents than one query takes, and skips those without any."""
    planned = [execution(f"x{number}", host=f"web-{number}") for number in range(2_300)]
    start(ledger, *planned)
    incidents = [(each.rule, each.host, each.key) for each in planned] + [("low-disk", "other", ROOT)]
    statements = []
    ledger._connection.set_trace_callback(statements.append)

    found = ledger.attempts_of(incidents)

    ledger._connection.set_trace_callback(None)
    assert len(statements) == 3
    assert len(found) == 2_300
    assert all(found[each] == ledger.attempts(*each) for each in incidents[:2_300:331])


def test_attempts_of_a_key_do_not_depend_on_number_types_or_column_order(ledger):
    """One incident is one incident: 1 is 1.0, and the order in which a signal declares its key does not matter."""
    start(ledger, execution("a", key=(("port", 8080.0), ("name", "x"), ("on", True))))

    assert ledger.attempts("low-disk", "web-1", (("on", True), ("name", "x"), ("port", 8080)))
    assert not ledger.attempts("low-disk", "web-1", (("on", True), ("name", "x"), ("port", "8080")))
    assert not ledger.attempts("low-disk", "web-1", (("on", 1.0), ("name", "x"), ("port", 8080)))


def test_last_outcomes_are_those_of_the_last_attempt_of_each_host(ledger):
    """For canaries: the last attempt counts, released or not, and one without an end counts as lost or unverified."""
    planned = [execution(f"{host}-{turn}", host=host) for turn in (1, 2) for host in ("a", "b", "c", "d")]
    start(ledger, *planned)
    for each in planned:
        if each.id not in {"c-2", "d-2"}:
            good = each.id in {"a-2", "b-1", "c-1", "d-1"}
            ledger.record_outcome(each.id, NOW, Outcome.FIXED if good else Outcome.FAILED, run_id="run-1")
    ledger.record_result("d-2", NOW, FixEnding.FINISHED, 0)
    ledger.release("low-disk", "b", LATER, "ok", "alice")

    assert ledger.last_outcomes("low-disk") == {
        "a": Outcome.FIXED,
        "b": Outcome.FAILED,
        "c": Outcome.LOST,
        "d": Outcome.UNVERIFIED,
    }
    assert ledger.last_outcomes("other") == {}


def test_host_that_refused_before_anything_was_sent_was_bad_last_time(ledger):
    """For canaries: a refusal without an intent counts, until something is tried there in a later run."""
    first, second = execution("a-1", host="a"), execution("b-1", host="b")
    ledger.begin_run(run_row("run-1"), [first, second])
    for each in (first, second):
        ledger.record_outcome(each.id, NOW, Outcome.REFUSED, run_id="run-1", reason="its key has changed")
    later = execution("b-2", host="b")
    start(ledger, later, run_id="run-2")
    ledger.record_outcome("b-2", NOW, Outcome.FIXED, run_id="run-2")

    assert ledger.last_outcomes("low-disk") == {"a": Outcome.REFUSED, "b": Outcome.FIXED}


@pytest.mark.parametrize("touched_nothing", [Outcome.SKIPPED, Outcome.UNREACHABLE])
def test_what_touched_nothing_leaves_a_host_as_bad_as_it_was(ledger, touched_nothing):
    """For canaries: a hold file on the host, or a host that was gone, does not make a bad host a good one."""
    start(ledger, execution("a-1", host="a"))
    ledger.record_outcome("a-1", NOW, Outcome.FAILED, run_id="run-1")
    start(ledger, execution("a-2", host="a"), run_id="run-2")
    ledger.record_outcome("a-2", LATER, touched_nothing, run_id="run-2")

    assert ledger.last_outcomes("low-disk") == {"a": Outcome.FAILED}


def test_breaker_pauses_its_rule_until_it_is_released(ledger):
    """An open breaker refuses with its reason and the command that closes it; other rules go on; it opens once."""
    planned, other = execution("a"), execution("b", rule="low-inodes", host="web-2")
    ledger.begin_run(run_row(), [planned, other])
    opened = [ledger.open_breaker("low-disk", "run-1", NOW, reason) for reason in ("2 bad hosts", "3 bad hosts")]
    refused, granted = admit(ledger, planned, other)
    said = ledger.breakers()
    wrong = ledger.release("low-inodes", None, LATER, "ok", "alice")
    closed = [ledger.release("low-disk", None, LATER, "ok", "alice") for _ in range(2)]

    assert opened == [True, False]
    text = (
        "paused by its breaker since 2026-11-22T08:45:00.000000Z (run run-1): 2 bad hosts; "
        "`remedy release low-disk --reason TEXT`"
    )
    assert refused == Refusal(skip=Skip.BREAKER, reason=text)
    assert isinstance(granted, Permit)
    assert said == {"low-disk": text}
    assert (wrong, closed, ledger.breakers()) == (0, [1, 0], {})
    assert isinstance(admit(ledger, planned)[0], Permit)
    assert ledger.open_breaker("low-disk", "run-1", NOW, "again")


def test_release_of_a_breaker_ends_no_quarantine(ledger):
    """Closing a rule's breaker leaves the attempts of its hosts, and releasing a host leaves the breaker."""
    start(ledger, execution("a"))
    ledger.record_outcome("a", NOW, Outcome.FAILED, run_id="run-1")
    ledger.open_breaker("low-disk", "run-1", NOW, "bad")

    ledger.release("low-disk", None, LATER, "ok", "alice")
    left = ledger.attempts("low-disk", "web-1", ROOT)
    ledger.open_breaker("low-disk", "run-1", NOW, "bad")
    ledger.release("low-disk", "web-1", LATER, "ok", "alice")

    assert len(left) == 1
    assert list(ledger.breakers()) == ["low-disk"]
