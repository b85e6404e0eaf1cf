"""Evidence: audit log and ledger written together, by many threads, on disks that fail."""

import json
import threading
import time
from contextlib import closing
from dataclasses import replace
from hashlib import sha256

import pytest

from remedy.errors import StateError
from remedy.model import Outcome
from remedy.plan_document import plan_document
from remedy.port import FixEnding
from remedy.run.evidence import Evidence, Wish
from remedy.state.audit import AuditLog
from remedy.state.audit_verify import verify
from remedy.state.kept import Kept
from remedy.state.ledger import Ledger
from tests.run.bench import RUN, Bench
from tests.run.evidence_bench import EvidenceBench, admit, begun, end_of, request_of
from tests.run.fleet import FakeDisk, trouble
from tests.run.rules import rule, script
from tests.state.builders import by_gate

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
