"""Dead runs that the next apply closes, as their audit files say."""

import pytest

from remedy.errors import StateError
from remedy.model import Outcome
from remedy.run.evidence import Evidence
from remedy.run.recovery import brake_dead_runs, close_over, over_for_certain
from remedy.state.audit import AuditLog
from tests.run.bench import Bench, SlowedLedger
from tests.run.dead_runs import (
    AGAIN,
    EXPECTED,
    NAMES,
    OWN,
    breakers_of,
    outcomes_by_host,
    resume,
    rows_of,
    with_two_lost,
)
from tests.run.fleet import NOW, FakeDisk, trouble

THIRD = "20261122T100000Z-7c7c"


def close_as_an_apply(bench, *, own=OWN, disk=None, is_alive=False):
    """Close what is over of the bench's run as the next apply does; return what it says, by host where one is named."""
    bench.clock.sleep(3_600)
    ledger = SlowedLedger.open(bench.state.ledger)
    try:
        with AuditLog.create(bench.state.audit, own, bench.clock.now, disk=disk) as audit:
            evidence = Evidence(ledger, audit, run_id=own, clock=bench.clock.now)
            evidence.open(actor="bob", command="remedy apply", facts={})
            over = over_for_certain(ledger, is_alive=lambda _run: is_alive, now=bench.clock.now())
            closed = close_over(ledger, audit, evidence, over)
            return closed + brake_dead_runs(ledger, audit, evidence, is_alive=lambda _run: is_alive)
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


def test_apply_cut_off_at_any_write_never_leaves_a_closed_run_without_its_breaker(tmp_path):
    """Wherever an apply fails while it closes a dead run, once the run's bad hosts are closed its rule is paused."""
    fail_at = 0
    while True:
        fail_at += 1
        bench = Bench(tmp_path / f"state-{fail_at}", trouble(*NAMES))
        with_two_lost(bench, max_bad=1)
        disk = FakeDisk(fail_at=fail_at)
        try:
            close_as_an_apply(bench, disk=disk.disk)
        except StateError:
            close_as_an_apply(bench, own=AGAIN)
        else:
            break

        assert "2 bad hosts" in breakers_of(bench)["flag-high"], fail_at

    assert fail_at > 4


def died_before_its_breaker(bench, *, max_bad):
    """Leave a run that recorded two bad outcomes and died before it did anything about them."""
    with_two_lost(bench, max_bad=max_bad)
    ledger = SlowedLedger.open(bench.state.ledger)
    for each in ledger.open_intents():
        ledger.record_outcome(each.intent.execution_id, NOW, Outcome.FAILED, run_id=bench.run_id, reason="exit code 1")
    ledger.close()


@pytest.mark.parametrize(("max_bad", "is_paused"), [(0, True), (1, True), (2, False), (None, True)])
def test_apply_opens_the_breaker_that_a_dead_run_should_have_opened(tmp_path, max_bad, is_paused):
    """A run may die between its last bad outcome and its breaker, and leave nothing open: the next apply brakes."""
    bench = Bench(tmp_path / "state", trouble(*NAMES))
    died_before_its_breaker(bench, max_bad=max_bad)

    said = close_as_an_apply(bench)

    assert ("flag-high" in breakers_of(bench)) is is_paused
    assert any("remedy release flag-high --reason TEXT" in each for each in said) is is_paused


def test_dead_run_is_braked_once(tmp_path):
    """Who releases the rule has seen what that run did: the next apply, or a resume, does not pause it again."""
    bench = Bench(tmp_path / "state", trouble(*NAMES))
    died_before_its_breaker(bench, max_bad=0)
    close_as_an_apply(bench)
    ledger = SlowedLedger.open(bench.state.ledger)
    ledger.release("flag-high", None, bench.clock.now(), "the script is mended", "alice")
    ledger.close()

    said = close_as_an_apply(bench, own=AGAIN)
    resumed = resume(bench, own=THIRD)[0]

    assert (said, resumed.paused, breakers_of(bench)) == ((), (), {})


def test_living_run_is_not_braked_by_another(tmp_path):
    """What a living run does about its bad hosts is its own."""
    bench = Bench(tmp_path / "state", trouble(*NAMES))
    died_before_its_breaker(bench, max_bad=0)

    said = close_as_an_apply(bench, is_alive=True)

    assert (said, breakers_of(bench)) == ((), {})


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
