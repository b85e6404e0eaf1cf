"""Audit logs to be spoiled, and what is found in them."""

import io

from remedy.state.audit import AuditLog, AuditType
from remedy.state.audit_format import parse_heads
from remedy.state.audit_verify import check_log
from tests.state.builders import ticking

KINDS = (AuditType.EXECUTION_INTENT, AuditType.EXECUTION_RESULT, AuditType.EXECUTION_OUTCOME)


def write_log(directory, run_id="run-1", *, records=6):
    """Write the log of a run that ended."""
    log = AuditLog.create(directory, run_id, ticking())
    log.append(AuditType.RUN_STARTED, {"actor": "alice"})
    for number in range(records - 2):
        log.append(KINDS[number % 3], {"execution": f"{number:x}", "host": "web-ü"})
    log.append(AuditType.RUN_ENDED, {"exit_code": 0})
    log.close()
    return log


def heads_of(directory):
    """Return the recorded heads of a log, in order."""
    placed, _bad, _torn = parse_heads((directory / "heads").read_bytes())
    return [head for _number, head in placed]


def found_in(raw, heads):
    """Return the lines that a check of these bytes complains about, and see that it names the right file."""
    findings = check_log("run-1", io.BytesIO(raw), own=heads, running=False).findings
    assert {finding.file for finding in findings} <= {"run-1.jsonl"}
    return [finding.line for finding in findings]
