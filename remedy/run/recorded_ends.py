"""What the audit file of a dead run says of how its executions and the run ended, and whether it can be believed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from remedy.errors import StateError
from remedy.model import Outcome
from remedy.port import FixEnding
from remedy.state.audit_format import HEADS_NAME, AuditType, parse_heads, records_of
from remedy.state.audit_recover import Recovered, recover
from remedy.state.audit_verify import check_log
from remedy.state.disk import Disk
from remedy.state.ledger_rows import OutcomeRow, ResultRow
from remedy.state.values import utc_time
from remedy.summary import ExitCode
from remedy.text import untrusted

__all__ = ["RecordedEnds", "doubt_of_log", "ends_of_dead_run", "read_ends"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEnds:
    """
    What a dead run's audit file says of how its executions, and the run, ended.

    `outcomes` and `results` are by execution, as the ledger's rows of them; `max_bad`
    is by rule, a count of hosts. `exit_code` is None when it does not say that the
    run ended. `recovered` is what was done to close the file. `odd` is why it cannot
    be trusted, and nothing was taken from it ('' when it can).
    """

    outcomes: Mapping[str, OutcomeRow] = field(default_factory=dict)
    results: Mapping[str, ResultRow] = field(default_factory=dict)
    max_bad: Mapping[str, int] = field(default_factory=dict)
    exit_code: int | None = None
    recovered: Recovered | None = None
    odd: str = ""


def doubt_of_log(directory: Path, run_id: str) -> str:
    """
    Return why the audit file of a run cannot be believed, '' when it is there and its chain is whole.

    Raises:
        StateError: that cannot be found out.
    """
    path = directory / f"{run_id}.jsonl"
    try:
        heads, _bad, _tail = parse_heads((directory / HEADS_NAME).read_bytes())
        own = [head for _number, head in heads if head.run == run_id]
        with path.open("rb") as file:
            findings = check_log(run_id, file, own=own, running=False).findings
    except FileNotFoundError as exc:
        return f"{exc.filename} is missing; restore it from a backup"
    except OSError as exc:
        raise StateError(f"audit log {path} cannot be read: {exc.strerror}") from exc
    return str(findings[0]) if findings else ""


def ends_of_dead_run(directory: Path, run_id: str, *, disk: Disk | None = None) -> RecordedEnds:
    """
    Close the audit file of a dead run (its torn tail, its head), and return what it says.

    A file that is missing, or was changed, is not believed in anything, and left as it is.

    Raises:
        LockHeld: a living process writes it; nothing was touched.
        StateError: it cannot be read, or closed; nothing follows from that.
    """
    odd = doubt_of_log(directory, run_id)
    if odd:
        return RecordedEnds(odd=untrusted(odd))
    recovered = recover(directory, run_id, disk=disk)
    return replace(_read(directory, run_id), recovered=recovered)


def read_ends(directory: Path, run_id: str) -> RecordedEnds:
    """Return what the audit file of a dead run says, changing nothing; one that cannot be read is odd, too."""
    try:
        odd = doubt_of_log(directory, run_id)
        return RecordedEnds(odd=untrusted(odd)) if odd else _read(directory, run_id)
    except StateError as exc:
        return RecordedEnds(odd=untrusted(str(exc)))


def _read(directory: Path, run_id: str) -> RecordedEnds:
    """
    Return what a file with a whole chain, whose end may be cut, says.

    Raises:
        StateError: it cannot be read.
    """
    outcomes: dict[str, OutcomeRow] = {}
    results: dict[str, ResultRow] = {}
    max_bad: dict[str, int] = {}
    code: int | None = None
    path = directory / f"{run_id}.jsonl"
    try:
        with path.open("rb") as file:
            for record in records_of(file):
                at, data = utc_time(record["ts"]), record["data"]
                match record["type"]:
                    case AuditType.EXECUTION_OUTCOME:
                        outcomes[str(data["execution"])] = _outcome(run_id, at, data)
                    case AuditType.EXECUTION_RESULT:
                        results[str(data["execution"])] = _result(at, data)
                    case AuditType.ROLLOUT_STARTED:
                        max_bad[str(data["rule"])] = _whole(data["max_bad"])
                    case AuditType.RUN_ENDED:
                        code = int(ExitCode(_whole(data["exit_code"])))
    except OSError as exc:
        raise StateError(f"audit log {path} cannot be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        return RecordedEnds(odd=untrusted(f"a record of {run_id} is not as remedy writes it: {exc}"))
    return RecordedEnds(outcomes=outcomes, results=results, max_bad=max_bad, exit_code=code)


def _outcome(run_id: str, at: datetime, data: Mapping[str, Any]) -> OutcomeRow:
    reason = f"{data['skip']}: {data['reason']}" if data["skip"] else str(data["reason"])
    execution_id = str(data["execution"])
    return OutcomeRow(run_id=run_id, execution_id=execution_id, at=at, outcome=Outcome(data["outcome"]), reason=reason)


def _result(at: datetime, data: Mapping[str, Any]) -> ResultRow:
    code = data["exit_code"]
    return ResultRow(
        execution_id=str(data["execution"]),
        at=at,
        ending=FixEnding(data["ending"]),
        exit_code=None if code is None else _whole(code),
    )


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value
