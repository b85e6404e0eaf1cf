"""What the audit file of a dead run says of how its executions and the run ended, and whether it can be believed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from remedy.errors import StateError
from remedy.model import Outcome
from remedy.port import FixEnding
from remedy.state.audit_format import HEADS_NAME, AuditType, Lines, parse_heads, parse_object
from remedy.state.audit_recover import Recovered, recover
from remedy.state.audit_verify import check_log
from remedy.state.disk import Disk
from remedy.state.values import utc_time
from remedy.text import untrusted

__all__ = ["RecordedEnds", "doubt_of_log", "ends_of_dead_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEnds:
    """
    What a dead run's audit file says of how its executions, and the run, ended.

    `outcomes` and `results` are the data of its records with their times, by
    execution. `exit_code` is None when it does not say that the run ended. `odd` is
    why the file cannot be trusted, and nothing was taken from it.
    """

    outcomes: Mapping[str, tuple[datetime, Mapping[str, Any]]] = field(default_factory=dict)
    results: Mapping[str, tuple[datetime, Mapping[str, Any]]] = field(default_factory=dict)
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
            findings = check_log(run_id, file, own=own, running=not own).findings
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
    outcomes: dict[str, tuple[datetime, Mapping[str, Any]]] = {}
    results: dict[str, tuple[datetime, Mapping[str, Any]]] = {}
    code: int | None = None
    try:
        with (directory / f"{run_id}.jsonl").open("rb") as file:
            for line in Lines(file):
                record = parse_object(line)
                at, data = utc_time(record["ts"]), record["data"]
                match record["type"]:
                    case AuditType.EXECUTION_OUTCOME:
                        outcomes[str(data["execution"])] = at, {**data, "outcome": Outcome(data["outcome"])}
                    case AuditType.EXECUTION_RESULT:
                        results[str(data["execution"])] = at, {**data, "ending": FixEnding(data["ending"])}
                    case AuditType.RUN_ENDED:
                        code = int(data["exit_code"])
    except OSError as exc:
        raise StateError(f"audit log of {run_id} cannot be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        return RecordedEnds(odd=untrusted(f"a record of {run_id} is not as remedy writes it: {exc}"))
    return RecordedEnds(outcomes=outcomes, results=results, exit_code=code, recovered=recovered)
