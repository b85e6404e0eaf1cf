"""Fault injection by loop: whatever fails, and whenever, nothing is sent without a durable intent, nor twice."""

import threading

import pytest

from remedy.errors import Refused, StateError, Unreachable
from remedy.model import Outcome
from remedy.port import FixEnding
from remedy.run.recovery import left_open
from remedy.state import locks
from remedy.state.audit_verify import verify
from tests.run.bench import Bench, outcomes
from tests.run.fleet import trouble
from tests.run.rules import rule

WAVES = {"waves": (1,), "max_bad": 100, "concurrency": 2}
NAMES = ("web-1", "web-2", "web-3")


def fleet():
    """Return three hosts, one of them with two rows."""
    hosts = trouble(*NAMES)
    hosts[0].levels = {"a": 9.0, "b": 9.0}
    return hosts


def run(bench):
    """Apply; return the error that surfaced, and the plan. A run that hangs fails the test instead of stopping it."""
    found = []
    scope = bench.scope(rule(**WAVES))
    plan = bench.plan(scope)

    def carry_out():
        try:
            bench.apply(scope, plan=plan)
        except StateError as exc:
            found.append(exc)
        except BaseException as exc:
            found.append(exc)
            raise

    thread = threading.Thread(target=carry_out, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "the run hangs"
    return (found[0] if found else None), plan


def check_what_is_left(bench, plan, failed):
    """Check what a run that failed leaves: sends have durable intents, and no execution has two outcomes."""
    bench.check_nothing_left()
    audited = [each["execution"] for each in bench.recorded("execution.outcome")]
    record = bench.ledger.run(bench.run_id)
    rows = record.executions if record else ()
    started = {each.execution_id for each in rows if each.started_at}
    intents = [each["execution"] for each in bench.recorded("execution.intent")]
    by_id = {each["execution"]: each["outcome"] for each in bench.recorded("execution.outcome")}

    assert isinstance(failed, StateError)
    assert set(bench.fleet.sent) <= started
    assert started <= set(intents)
    assert len(intents) == len(set(intents))
    assert len(audited) == len(set(audited))
    assert set(audited) <= {each.id for each in plan.executions}
    # What the audit log could not take any more is in the ledger, and the witness was told.
    told = "\n".join(bench.said)
    for each in rows:
        if each.outcome and each.execution_id not in by_id:
            assert f"{each.execution_id} " in told
            assert each.outcome.value in told
        elif each.outcome:
            assert by_id[each.execution_id] == each.outcome.value
    # What is open now is named by the next run, as lost or unverified; never as good.
    over = left_open(bench.ledger.open_intents(), is_alive=lambda _run: False, now=bench.clock.now()).running
    assert {each.closes_as for each in over} <= {Outcome.LOST, Outcome.UNVERIFIED}


def test_every_failing_write_and_sync_of_the_audit_log(tmp_path):
    """The N-th write or sync of the audit log fails, N = 1, 2, …: StateError surfaces, and nothing is undue."""
    number, calls = 0, 0
    while calls >= number:
        number += 1
        bench = Bench(tmp_path / f"{number}", fleet(), disk_fails_at=number)
        failed, plan = run(bench)
        calls = bench.disk.calls
        if calls >= number:
            check_what_is_left(bench, plan, failed)
            if bench.recorded("run.started"):
                assert verify(bench.state.audit).findings == ()
        bench.ledger.close()

    assert failed is None
    assert number > 30


@pytest.mark.parametrize("when", ["begin", "commit", "after"])
def test_every_failing_transaction_of_the_ledger(tmp_path, when):
    """The N-th transaction fails at its begin, at its commit or just after it: StateError, and nothing is undue."""
    number, transactions = 0, 0
    while transactions >= number:
        number += 1
        bench = Bench(tmp_path / f"{number}", fleet())
        bench.ledger.fail_at, bench.ledger.fail_when = number, when
        failed, plan = run(bench)
        transactions = bench.ledger.transactions
        if transactions >= number:
            check_what_is_left(bench, plan, failed)
        bench.ledger.close()

    assert failed is None
    assert number > 12


def test_after_a_failed_transaction_no_further_host_is_contacted(tmp_path):
    """When recording the first outcome fails, hosts that were not begun are not contacted any more."""
    bench = Bench(tmp_path / "state", trouble(*(f"web-{number}" for number in range(9))))
    scope = bench.scope(rule(concurrency=1))
    bench.ledger.fail_at = 4  # begin, admit, result, outcome.

    with pytest.raises(StateError):
        bench.apply(scope)
    bench.ledger.close()

    assert len(bench.fleet.contacted) == 1
    assert len(bench.fleet.sent) == 1


FAULTS = [
    ("connect", Unreachable("no route")),
    ("connect", Refused("the host key is another", identity=True)),
    ("connect", RuntimeError("a bug")),
    ("collect", Unreachable("no route")),
    ("collect", Refused("sudo says no")),
    ("collect", KeyError("a bug")),
    ("fix", Unreachable("no route")),
    ("fix", FixEnding.LOST),
    ("fix", FixEnding.REFUSED),
    ("fix", FixEnding.TIMED_OUT),
    ("fix", OSError("a bug")),
    ("close", RuntimeError("a bug")),
]


@pytest.mark.parametrize(("what", "fault"), FAULTS, ids=lambda value: value if isinstance(value, str) else repr(value))
def test_every_failing_call_to_a_host(tmp_path, what, fault):
    """The N-th connect, collect, fix or close of a run fails: the run ends, and every execution has its one outcome."""
    number, calls = 0, 0
    while calls >= number:
        number += 1
        bench = Bench(tmp_path / f"{number}", fleet())
        bench.fleet.fault_at = (what, number, fault)
        failed, _ = run(bench)
        calls = bench.fleet.counts.get(what, 0)
        bench.ledger.close()

        assert failed is None
    assert number > 3


def test_every_failing_lock(tmp_path, monkeypatch):
    """The N-th lock cannot be used: StateError, nothing is sent after it, and no other lock is left."""
    number, taken = 0, [0]
    real = locks._open_locked
    while taken[0] >= number:
        number += 1
        taken = [0]

        def open_or_fail(path, taken=taken, number=number):
            taken[0] += 1
            if taken[0] == number:
                raise OSError(28, "No space left on device")
            return real(path)

        monkeypatch.setattr(locks, "_open_locked", open_or_fail)
        bench = Bench(tmp_path / f"{number}", fleet())
        failed, plan = run(bench)
        if taken[0] >= number:
            check_what_is_left(bench, plan, failed)
        bench.ledger.close()

    assert failed is None
    assert number == 5  # The rule's and three hosts' locks, then none.


def test_next_run_after_a_crash_keeps_away_from_what_may_be_running(tmp_path):
    """A run whose result could not be recorded leaves its host busy for the next run, which sends nothing there."""
    bench = Bench(tmp_path / "state", trouble("web-1", heals_to=9.0))
    scope = bench.scope(rule(cooldown_s=0))
    bench.ledger.fail_at = 3  # begin, admit, result.
    with pytest.raises(StateError):
        bench.apply(scope)
    sent = len(bench.fleet.sent)
    bench.fleet.sent.clear()
    bench.run_id = "20261122T090000Z-2b3c"

    applied = bench.apply(bench.scope(rule("other-rule", cooldown_s=0)))
    bench.ledger.close()

    assert sent == 1
    assert outcomes(applied) == {"web-1": "host_busy"}
    assert bench.fleet.sent == []
