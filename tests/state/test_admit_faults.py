"""No grant without a durable intent: the N-th write or sync fails, for every N."""

import json

import pytest

from remedy.errors import StateError
from remedy.model import Outcome
from remedy.port import FixEnding, Permit
from remedy.state.audit import AuditLog, AuditType
from remedy.state.audit_verify import verify
from remedy.state.ledger import Ledger
from tests.state.builders import NOW, FailingDisk, asked, by_gate, execution, run_row, ticking

BATCHES = 3
PER_BATCH = 4


def durable_intents(directory, failing):
    """Return the executions whose intent is in the synced part of the audit log."""
    path = directory / "audit" / "run-1.jsonl"
    if not path.exists():
        return set()
    raw = path.read_bytes()[: failing.durable_size(path.stat().st_ino)]
    records = [json.loads(line) for line in raw.split(b"\n")[:-1]]
    return {each["data"]["execution"] for each in records if each["type"] == AuditType.EXECUTION_INTENT}


def one_run(directory, failing, granted):
    """Carry out a run's evidence: three batches of intents, a result and an outcome after each; then the end."""
    planned = [execution(f"x{number}", host=f"web-{number}") for number in range(BATCHES * PER_BATCH)]
    ledger = Ledger.open(directory / "ledger.sqlite3")
    audit = None
    try:
        audit = AuditLog.create(directory / "audit", "run-1", ticking(), disk=failing.disk)
        audit.append(AuditType.RUN_STARTED, {}, sync=True)
        ledger.begin_run(run_row(), planned)

        def sync(intents):
            audit.append_all(
                [(AuditType.EXECUTION_INTENT, {"execution": each.execution_id}) for each in intents], sync=True
            )

        for start in range(0, len(planned), PER_BATCH):
            pairs = [asked(each) for each in planned[start : start + PER_BATCH]]
            answers = ledger.admit(pairs, decide=by_gate, sync_intents=sync)
            now_granted = [each.execution_id for each in answers if isinstance(each, Permit)]
            granted += now_granted
            assert set(granted) <= durable_intents(directory, failing)
            audit.append(AuditType.EXECUTION_RESULT, {"execution": now_granted[0]}, sync=True)
            ledger.record_result(now_granted[0], NOW, FixEnding.FINISHED, 0)
            audit.append(AuditType.EXECUTION_OUTCOME, {"execution": now_granted[0]}, sync=True)
            ledger.record_outcome(now_granted[0], NOW, Outcome.FIXED, run_id="run-1")
        audit.append(AuditType.RUN_ENDED, {}, sync=True)
        ledger.end_run("run-1", NOW, 0)
    finally:
        if audit is not None:
            audit.close()
        ledger.close()


def test_every_failing_write_and_sync_grants_nothing_that_is_not_durable(tmp_path_factory):
    """
    Fail the N-th write or sync of the audit log, N = 1, 2, …: each time what was granted is durable in the log.

    The ledger has every grant and no intent that the log lacks, the run ends with an error, and the log verifies.
    """
    failing, number = FailingDisk(), 0
    while failing.calls >= number:
        number += 1
        directory = tmp_path_factory.mktemp("state")
        (directory / "audit").mkdir()
        failing, granted = FailingDisk(fail_at=number), []
        failed = False
        try:
            one_run(directory, failing, granted)
        except StateError:
            failed = True
        ledger = Ledger.open(directory / "ledger.sqlite3")
        record = ledger.run("run-1")
        ledger.close()
        started = {each.execution_id for each in record.executions if each.started_at} if record else set()

        assert failed is (failing.calls >= number)
        assert started == set(granted)
        assert started <= durable_intents(directory, failing)
        assert verify(directory / "audit").findings == ()
    assert number > 20
    assert len(granted) == BATCHES * PER_BATCH


def test_batch_after_a_failure_of_the_audit_log_is_never_granted(tmp_path):
    """Once the audit log has failed no later batch of the run is granted either."""
    (tmp_path / "audit").mkdir()
    failing = FailingDisk()
    audit = AuditLog.create(tmp_path / "audit", "run-1", ticking(), disk=failing.disk)
    audit.append(AuditType.RUN_STARTED, {}, sync=True)
    ledger = Ledger.open(tmp_path / "ledger.sqlite3")
    planned = [execution(f"x{number}", host=f"web-{number}") for number in range(3)]
    ledger.begin_run(run_row(), planned)
    failing.fail_at = failing.calls + 1

    for each in planned:
        with pytest.raises(StateError):
            ledger.admit(
                [asked(each)],
                decide=by_gate,
                sync_intents=lambda _granted: audit.append(AuditType.EXECUTION_INTENT, {}, sync=True),
            )
    assert ledger.open_intents() == ()
    ledger.close()
    audit.close()
