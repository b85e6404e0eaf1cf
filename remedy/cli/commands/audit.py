"""`remedy audit verify`: is the evidence whole?"""

import tempfile
from dataclasses import replace
from pathlib import Path

from remedy.cli.caller import caller_now
from remedy.cli.composition import Options, state_of
from remedy.cli.console import Talk
from remedy.errors import StateError
from remedy.state.audit_verify import AuditFinding, verify
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.summary import ExitCode
from remedy.text import counted

__all__ = ["run_audit_verify"]


def run_audit_verify(options: Options) -> int:
    """Check all files; return 0 when they are whole, 3 when something is wrong."""
    caller = caller_now()
    state, named_by = state_of(options, caller)
    talk = Talk(as_json=options.output == "json")
    talk.say(f"state {state.path} ({named_by})")
    if not state.audit.is_dir() and not state.has_ledger():
        raise StateError(f"there is no audit log in {state.path}; name the state directory with --state DIR")
    try:
        # Asked first: what the ledger knows by now has its audit file by now.
        report = verify(state.audit, _known_runs(state))
    except StateError as exc:
        report = verify(state.audit)
        message = f"{exc}; whether a run's audit file is missing could not be asked"
        odd_ledger = AuditFinding(file=state.ledger.name, line=0, message=message)
        report = replace(report, findings=(*report.findings, odd_ledger))
    if talk.as_json:
        talk.result_json(
            {
                "audit": 1,
                "intact": report.intact,
                "findings": [str(finding) for finding in report.findings],
                "files": [
                    {"run": file.run_id, "records": file.records, "status": file.status.value, "head": file.head}
                    for file in report.files
                ],
            }
        )
    else:
        talk.result([str(finding) for finding in report.findings])
        odd = [f"{file.run_id}: {file.status.value}" for file in report.files if file.status.value != "ended"]
        talk.result(odd)
        if not report.files and report.intact:
            talk.result(["there is no evidence here yet"])
            return int(ExitCode.DONE)
        records = sum(file.records for file in report.files)
        word = "whole" if report.intact else "NOT whole"
        talk.result([f"audit log {word}: {counted(len(report.files), 'file')}, {counted(records, 'record')}"])
    return int(ExitCode.DONE if report.intact else ExitCode.BAD)


def _known_runs(state: StateDirectory) -> frozenset[str]:
    """Return the runs that the ledger knows, from a copy; none when there is no ledger."""
    if not state.has_ledger():
        return frozenset()
    with tempfile.TemporaryDirectory(prefix="remedy-") as aside:
        ledger = Ledger.open_copy(state.ledger, Path(aside))
        try:
            return ledger.run_ids()
        finally:
            ledger.close()
