"""Evidence for many threads: those that ask at once share a transaction and a sync, and each hears of its faults."""

import threading
import time
from dataclasses import replace

import pytest

from remedy.errors import StateError
from remedy.gate import Refusal
from remedy.model import Outcome, Skip
from remedy.port import FixEnding, Permit
from remedy.run.evidence import Wish
from remedy.state.audit_verify import verify
from tests.run.bench import RUN
from tests.run.evidence_bench import THREADS, admit, begun, end_of, in_threads, request_of
from tests.run.fleet import NOW, fix_result
from tests.state.builders import by_gate


class HeldSync:
    """A sync that is held up until let go, the first time; it counts."""

    def __init__(self, real):
        self.real = real
        self.count = 0
        self.go_on = threading.Event()

    def __call__(self, descriptor):
        self.count += 1
        if self.count == 1:
            assert self.go_on.wait(20)
        self.real(descriptor)


def held_group(bench, group, work, items):
    """Do a work on all items in threads: one at first, the others together as soon as it is let go."""
    held = HeldSync(bench.audit._disk.fdatasync)
    bench.audit._disk = replace(bench.audit._disk, fdatasync=held)
    before = bench.ledger.transactions

    def let_go():
        deadline = time.monotonic() + 20
        while len(group._waiting) < len(items) - 1:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        held.go_on.set()

    opener = threading.Thread(target=let_go, daemon=True)
    opener.start()
    found = in_threads(work, items)
    opener.join()
    return found, held.count, bench.ledger.transactions - before


def test_threads_that_ask_at_once_share_transaction_and_sync(begin):
    """Of 64 threads the first is alone; the other 63 share one transaction and one sync; so do results and outcomes."""
    bench, plan = begin(THREADS)
    evidence, executions = bench.evidence, plan.executions
    result = fix_result(FixEnding.FINISHED, 0)

    admitted = held_group(bench, evidence._wishes, lambda each: admit(bench, each), executions)
    seen = held_group(bench, evidence._results, lambda each: evidence.result(each, result), executions)
    ended = held_group(bench, evidence._outcomes, lambda each: evidence.outcome(end_of(each), started=True), executions)

    assert all(isinstance(answer, Permit) for answer in admitted[0])
    assert seen[0] == ended[0] == [None] * THREADS
    assert [counts[1:] for counts in (admitted, seen, ended)] == [(2, 2)] * 3
    assert [answer.execution_id for answer in admitted[0]] == [each.id for each in executions]
    kinds = [each["type"] for each in bench.records()]
    assert kinds == ["run.started", "plan.recorded"] + [
        f"execution.{word}" for word in ("intent", "result", "outcome") for _ in executions
    ]
    assert len({each["execution"] for each in bench.recorded("execution.intent")}) == THREADS


def test_group_is_decided_one_after_the_other_on_what_was_granted_before(begin):
    """Of two wishes for one incident in one group, the second is refused; only the first has an intent."""
    bench, plan = begin(2)
    first, other = plan.executions
    wishes = [
        Wish(execution=each, request=request_of(each), boot_id=None, wave=1, decide=by_gate)
        for each in (first, first, other)
    ]

    answers = bench.evidence.admit_all(wishes)

    assert [type(answer) for answer in answers] == [Permit, Refusal, Permit]
    assert answers[1].skip is Skip.ALREADY_STARTED
    assert [each["execution"] for each in bench.recorded("execution.intent")] == [first.id, other.id]


def test_single_thread_has_a_sync_of_its_own_for_each(begin):
    """One thread that asks three times gets three transactions and three syncs, and waits for nobody."""
    bench, plan = begin(3)
    syncs = bench.disk.calls

    for each in plan.executions:
        admit(bench, each)

    # A write and a sync each.
    assert bench.disk.calls - syncs == 6


@pytest.mark.parametrize("what", ["disk", "begin", "commit", "after"])
def test_every_fault_of_a_group_is_heard_by_all_of_it(tmp_path, what):
    """
    The N-th write or sync of the audit log, or transaction of the ledger, fails while 12 threads ask for a permit.

    Each thread gets a permit whose intent is durable in both, or an error; what follows a failure of the log fails.
    """
    number, seen = 0, 1
    while seen >= number:
        number += 1
        bench, plan = begun(tmp_path / f"{number}", 12)
        calls = bench.disk.calls
        if what == "disk":
            bench.disk.fail_at = calls + number
        else:
            bench.ledger.fail_at, bench.ledger.fail_when = bench.ledger.transactions + number, what
        before = bench.ledger.transactions
        answers = in_threads(lambda each, bench=bench: admit(bench, each), plan.executions)
        seen = bench.disk.calls - calls if what == "disk" else bench.ledger.transactions - before
        bench.disk.fail_at = 0
        bench.close()
        granted = {answer.execution_id for answer in answers if isinstance(answer, Permit)}
        durable = {each["execution"] for each in bench.recorded("execution.intent", durable_only=True)}
        in_ledger = {each.intent.execution_id for each in bench.ledger.open_intents()}
        bench.ledger.close()

        assert {type(answer) for answer in answers} <= {Permit, StateError}
        assert granted <= durable
        assert granted <= in_ledger
        assert in_ledger <= durable
        assert (len(granted) == 12) is (seen < number)
        assert verify(bench.state.audit).findings == ()
    assert number > 2


@pytest.mark.parametrize("started", [True, False])
def test_many_ends_at_once_are_one_transaction(begin, started):
    """Ends of executions in one call are one transaction, with a sync only if something was started."""
    bench, plan = begin(5)
    if started:
        for each in plan.executions:
            admit(bench, each)
    calls, transactions = bench.disk.calls, bench.ledger.transactions
    outcome = Outcome.FIXED if started else Outcome.UNREACHABLE

    bench.evidence.outcomes((end_of(each, outcome) for each in plan.executions), started=started)

    assert bench.ledger.transactions - transactions == 1
    assert bench.disk.calls - calls == (2 if started else 1)
    assert {each.outcome for each in bench.ledger.run(RUN).executions} == {outcome}


def test_contradiction_is_heard_by_the_one_it_is_about(begin):
    """An execution that others named lost meanwhile cannot be called fixed; those recorded with it are."""
    bench, plan = begin(4)
    for each in plan.executions:
        admit(bench, each)
    bench.ledger.close_open(plan.executions[1].id, Outcome.LOST, NOW, "its run seemed dead")

    found, _syncs, _transactions = held_group(
        bench,
        bench.evidence._outcomes,
        lambda each: bench.evidence.outcome(end_of(each), started=True),
        plan.executions,
    )

    assert [type(each) for each in found] == [type(None), StateError, type(None), type(None)]
    assert "ended as lost already" in str(found[1])
