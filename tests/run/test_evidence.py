"""Evidence: audit log and ledger written together, by many threads, on disks that fail."""

import errno
import json
import os
import threading
import time
from contextlib import closing
from dataclasses import replace
from hashlib import sha256

import pytest

from remedy.errors import StateError
from remedy.gate import LiveFacts, Refusal, decide
from remedy.model import Outcome, Skip
from remedy.outcomes import Ended
from remedy.plan_document import plan_document
from remedy.port import FixEnding, Permit
from remedy.run.evidence import Evidence, Wish
from remedy.state.audit import AuditLog
from remedy.state.audit_verify import verify
from remedy.state.disk import Disk
from remedy.state.kept import Kept
from remedy.state.ledger import Ledger
from remedy.state.reserve import Reserve
from remedy.summary import ExecutionEnd
from tests.run.fleet import NOW, RUN, Bench, FakeDisk, fix_result, rule, script, trouble

LIVE = LiveFacts(stopped="", frozen="", freezes=(), expired="", halted="", fuse="", disruptive_on_host=False)
THREADS = 64


class SmallDisk:
    """A disk with room for so many bytes; the reserve's room is more when it is freed."""

    def __init__(self, room):
        self.room = room
        self.was_full = False

    @property
    def disk(self):
        return Disk(write=self._write, ftruncate=self._ftruncate, fdatasync=lambda _fd: None, fsync=lambda _fd: None)

    def _write(self, descriptor, data):
        part = data[: max(0, self.room)]
        if part:
            os.write(descriptor, part)
            self.room -= len(part)
            return len(part)
        self.was_full = True
        raise OSError(errno.ENOSPC, "No space left on device")

    def _ftruncate(self, descriptor, size):
        self.room += os.fstat(descriptor).st_size - size
        os.ftruncate(descriptor, size)


class SmallReserve(Reserve):
    """A reserve on such a disk."""

    SIZE = 60_000

    def free(self):
        freed = super().free()
        self.small.room += self.SIZE if freed else 0
        return freed


class EvidenceBench(Bench):
    """A run whose evidence has a witness, places for bytes and, if asked for, a small disk with a reserve."""

    def __init__(self, *arguments, room=None, outputs=True, **more):
        super().__init__(*arguments, **more)
        self.witnessed = []
        self.small = None if room is None else SmallDisk(room)
        self.keeps_outputs = outputs

    def open(self):
        disk, reserve = self.disk.disk, None
        if self.small is not None:
            disk = self.small.disk
            reserve = SmallReserve.create(self.directory / "reserve", SmallReserve.SIZE)
            reserve.small = self.small
        self.audit = AuditLog.create(self.state.audit, self.run_id, self.clock.now, disk=disk, reserve=reserve)
        self.evidence = Evidence(
            self.ledger,
            self.audit,
            run_id=self.run_id,
            clock=self.clock.now,
            outputs=Kept(self.directory / "outputs") if self.keeps_outputs else None,
            sources=Kept(self.directory / "sources"),
            witness=self.witnessed.append,
        )
        self.evidence.open(actor="alice", command="remedy apply", facts={})


def begun(directory, hosts, **more):
    """Return a run over so many hosts that has begun, and its plan."""
    bench = EvidenceBench(directory, trouble(*(f"web-{number:02}" for number in range(hosts))), **more)
    plan = bench.plan(bench.scope(rule(max_bad=100)))
    bench.open()
    bench.evidence.begin(plan, actor="alice", command="remedy apply")
    return bench, plan


@pytest.fixture
def begin(tmp_path):
    """Give a way to begin a run."""
    benches = []

    def make(hosts, **more):
        bench, plan = begun(tmp_path / f"state-{len(benches)}", hosts, **more)
        benches.append(bench)
        return bench, plan

    yield make
    for bench in benches:
        bench.close()
        bench.ledger.close()


def request_of(execution):
    from tests.state.builders import asked

    return asked(execution)[0]


def admit(bench, execution):
    return bench.evidence.admit(execution, request_of(execution), boot_id="boot-1", wave=1, decide=by_gate)


def by_gate(request, facts):
    return decide(request, facts, LIVE)


def end_of(execution, outcome=Outcome.FIXED, *, output="", reason="all is well"):
    return ExecutionEnd(execution=execution, ended=Ended(outcome=outcome, reason=reason), wave=1, output=output)


def in_threads(work, items):
    """Do a work on each item in a thread of its own; return by place what it returned or raised."""
    found = [None] * len(items)

    def carry_out(number):
        try:
            found[number] = work(items[number])
        except BaseException as exc:  # noqa: BLE001 - what is raised is what is looked at.
            found[number] = exc

    threads = [threading.Thread(target=carry_out, args=(number,), daemon=True) for number in range(len(items))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "somebody waits for ever"
    return found


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


# A disk that fails


def run(bench, **more):
    """Apply; return the error that surfaced, if any."""
    scope = bench.scope(rule(max_bad=100, concurrency=3, waves=(1,), **more))
    try:
        bench.apply(scope)
    except StateError as exc:
        return exc
    return None


def outcomes_in_log(bench):
    return {each["execution"]: each["outcome"] for each in bench.recorded("execution.outcome")}


def test_failing_log_has_ledger_and_witness(tmp_path):
    """
    The N-th write or sync of the audit log fails, N = 1, 2, …, while fixes run in threads.

    The run ends with an error. What the ledger knows of results and outcomes is in the log, or the witness heard it;
    of what was sent, what neither ledger nor log has an end of is an open intent: lost or unverified for the next run.
    """
    number, calls, witnessed = 0, 0, 0
    while calls >= number:
        number += 1
        bench = EvidenceBench(tmp_path / f"{number}", trouble("web-1", "web-2", "web-3"), disk_fails_at=number)
        failed = run(bench)
        calls = bench.disk.calls
        record = bench.ledger.run(bench.run_id)
        rows = record.executions if record else ()
        opened = {each.intent.execution_id for each in bench.ledger.open_intents()}
        bench.ledger.close()
        results = {each["execution"] for each in bench.recorded("execution.result", durable_only=True)}
        outcomes = {each["execution"] for each in bench.recorded("execution.outcome", durable_only=True)}

        assert (failed is None) is (calls < number)
        for row in rows:
            heard = [said for said in bench.witnessed if row.execution_id in said]
            if row.ending and row.execution_id not in results:
                assert [each for each in heard if row.ending.value in each]
            if row.outcome and row.outcome is not Outcome.SKIPPED and row.execution_id not in outcomes:
                assert [each for each in heard if row.outcome.value in each]
            assert row.outcome or row.execution_id in opened or not row.started_at
        assert set(bench.fleet.sent) <= {row.execution_id for row in rows if row.started_at}
        witnessed += len(bench.witnessed)
    assert number > 20
    assert witnessed > 10


def test_failing_log_and_ledger_still_have_a_witness(begin):
    """When neither takes an outcome, the witness hears so, and the error names both."""
    bench, plan = begin(1)
    (execution,) = plan.executions
    admit(bench, execution)
    bench.disk.fail_at = bench.disk.calls + 1
    bench.ledger.fail_at = bench.ledger.transactions + 1

    with pytest.raises(StateError, match=r"No space left.*; and the ledger said no"):
        bench.evidence.outcome(end_of(execution), started=True)

    (heard,) = bench.witnessed
    said = f"execution {execution.id} (flag-high on web-00): fixed: all is well"
    assert heard == f"the audit log may not have {said}; nor has the ledger"


def test_failing_log_has_no_witness_of_what_never_started(begin):
    """Of a skipped execution there is nothing to witness, and the ledger does not get what the log has not."""
    bench, plan = begin(1)
    transactions = bench.ledger.transactions
    bench.disk.fail_at = bench.disk.calls + 1

    with pytest.raises(StateError):
        bench.evidence.outcome(end_of(plan.executions[0], Outcome.UNREACHABLE), started=False)

    assert bench.witnessed == []
    assert bench.ledger.transactions == transactions
    assert bench.ledger.run(RUN).executions[0].outcome is None


def test_breaker_opens_though_the_log_fails(begin):
    """A brake is on also when its record cannot be written; the error is told."""
    bench, _plan = begin(1)
    bench.disk.fail_at = bench.disk.calls + 1

    with pytest.raises(StateError):
        bench.evidence.open_breaker("flag-high", "2 bad")

    assert list(bench.ledger.breakers()) == ["flag-high"]


def test_full_disk_stops_the_run_and_records_what_is_in_flight(tmp_path):
    """
    The disk is full after so many bytes, in small steps: nothing is sent without an intent in the log.

    Every execution that was sent has its result and its one outcome in log and ledger, and the log verifies.
    """
    stopped, finished_full = 0, 0
    for room in range(900, 14_000, 487):
        bench = EvidenceBench(tmp_path / f"{room}", trouble("web-1", "web-2", "web-3", "web-4"), room=room)
        bench.fleet.before_fix = lambda _execution: None
        failed = run(bench)
        record = bench.ledger.run(bench.run_id)
        rows = {each.execution_id: each for each in record.executions} if record else {}
        bench.ledger.close()
        in_log = outcomes_in_log(bench)
        intents = {each["execution"] for each in bench.recorded("execution.intent")}

        for execution in bench.fleet.sent:
            assert execution in intents
            assert rows[execution].ending is FixEnding.FINISHED
            assert rows[execution].outcome is Outcome.FIXED
            assert in_log[execution] == "fixed"
        assert (failed is None) or bench.small.was_full
        if bench.recorded("log.full"):
            stopped += failed is not None
            finished_full += failed is None
        if bench.records():
            assert verify(bench.state.audit).findings == ()
    assert stopped > 5
    assert finished_full > 2


# Bytes apart


def test_output_is_kept_apart_and_only_named_in_the_log(begin):
    """The record has the digest of what a fix printed, the folder has its bytes."""
    bench, plan = begin(2)
    printed, silent = plan.executions
    bench.evidence.outcomes([end_of(printed, Outcome.UNREACHABLE, output="gelöscht: 12\n")], started=False)
    bench.evidence.outcomes([end_of(silent, Outcome.UNREACHABLE)], started=False)

    first, second = bench.recorded("execution.outcome")
    assert first["output_sha256"] == sha256("gelöscht: 12\n".encode()).hexdigest()
    assert Kept(bench.directory / "outputs").read(first["output_sha256"]).decode() == "gelöscht: 12\n"
    assert second["output_sha256"] is None
    assert "output_not_kept" not in first | second
    assert "gelöscht" not in json.dumps(bench.records(), ensure_ascii=False)


@pytest.mark.parametrize("trouble_with", ["folder", "nowhere", "full"])
def test_output_that_cannot_be_kept_costs_no_outcome(begin, trouble_with):
    """The outcome is recorded all the same, and the record says why its output is not there."""
    bench, plan = begin(1, outputs=trouble_with != "nowhere")
    match trouble_with:
        case "folder":
            (bench.directory / "outputs").write_bytes(b"a file is in its place")
        case "full":
            bench.audit._full = True
    bench.evidence.outcomes([end_of(plan.executions[0], Outcome.UNREACHABLE, output="12\n")], started=False)

    (record,) = bench.recorded("execution.outcome")
    said = {"folder": "cannot be written", "nowhere": "no place for outputs", "full": "the disk is full"}
    assert record["output_sha256"] is None
    assert said[trouble_with] in record["output_not_kept"]
    assert bench.ledger.run(RUN).executions[0].outcome is Outcome.UNREACHABLE
    # What room a full disk has left was set aside for outcomes.
    assert not (bench.directory / "outputs").is_dir()


def test_plan_and_scripts_are_kept_by_digest(begin):
    """The plan's record names the plan document and every script that would run; their bytes are kept."""
    bench, plan = begin(2)

    (record,) = bench.recorded("plan.recorded")
    kept = Kept(bench.directory / "sources")
    assert json.loads(kept.read(record["plan_sha256"])) == json.loads(json.dumps(plan_document(plan)))
    assert record["scripts"] == [plan.executions[0].script_sha256]
    assert record["scripts_left_out"] == 0
    assert kept.read(record["scripts"][0]) == script().body


def test_plan_that_cannot_be_kept_is_not_begun(tmp_path):
    """Without a place for its bytes no plan is begun: neither log nor ledger has it, and nothing can be admitted."""
    bench = EvidenceBench(tmp_path / "state", trouble("web-1"))
    plan = bench.plan(bench.scope(rule()))
    bench.open()
    (bench.directory / "sources").write_bytes(b"a file is in its place")

    with pytest.raises(StateError, match="cannot be written"):
        bench.evidence.begin(plan, actor="alice", command="remedy apply")
    with pytest.raises(StateError, match="not pending"):
        admit(bench, plan.executions[0])
    bench.close()
    assert bench.recorded("plan.recorded") == []
    assert bench.ledger.run(RUN) is None
    bench.ledger.close()


def test_actor_is_recorded_as_an_object(tmp_path):
    """Who it was is recorded in parts, what is only claimed apart from what the system says."""
    actor = {"user": "alice", "uid": 1000, "loginuid": 1000, "claims": {"SUDO_USER": "bob"}}
    disk = FakeDisk()
    bench = Bench(tmp_path / "state", trouble("web-1"))
    with AuditLog.create(bench.state.audit, RUN, bench.clock.now, disk=disk.disk) as audit:
        evidence = Evidence(bench.ledger, audit, run_id=RUN, clock=bench.clock.now)
        evidence.open(actor=actor, command="remedy apply", facts={})
        head = evidence.head
    bench.ledger.close()

    assert bench.recorded("run.started")[0]["actor"] == actor
    assert head == audit.head


def test_long_row_is_cut_and_a_short_one_is_whole(begin):
    """Values are recorded as they are while all together are short; a host's long ones are cut, never refused."""
    bench, plan = begin(2)
    short, long = plan.executions
    row = {"name": "a", "level": 9.0, "note": "x" * 2_000, "seen": True, "gone": None}
    admit(bench, replace(short, row=row))
    admit(bench, replace(long, row={**row, "note": "\x1b" * 100_000}, params={"paths": ("y" * 50_000,) * 3}))

    of_short, of_long = bench.recorded("execution.intent")
    assert of_short["row"] == {"name": "a", "level": 9, "note": "x" * 2_000, "seen": True, "gone": None}
    assert "characters more)" in of_long["row"]["note"]
    assert all("characters more)" in path for path in of_long["params"]["paths"])
    assert len(json.dumps(of_long)) < 40_000


def test_ledger_alone_can_be_opened_beside(tmp_path):
    """Whoever reads while a group is being committed sees all of it or nothing."""
    bench, plan = begun(tmp_path / "state", 8)
    seen = set()
    stop = threading.Event()

    def look():
        with closing(Ledger.open(bench.state.ledger)) as other:
            while not stop.is_set():
                seen.add(len(other.open_intents()))

    reader = threading.Thread(target=look, daemon=True)
    reader.start()
    wishes = [
        Wish(execution=each, request=request_of(each), boot_id=None, wave=1, decide=by_gate) for each in plan.executions
    ]
    bench.evidence.admit_all(wishes)
    deadline = time.monotonic() + 10
    while 8 not in seen and time.monotonic() < deadline:
        time.sleep(0.001)
    stop.set()
    reader.join()
    bench.close()
    bench.ledger.close()

    assert seen <= {0, 8}
    assert 8 in seen
