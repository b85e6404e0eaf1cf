"""`remedy runs`: what past runs did, from the ledger."""

import tempfile
from pathlib import Path
from platform import node

from remedy.cli.caller import caller_now, utc_now
from remedy.cli.composition import Options, state_of
from remedy.cli.console import Talk
from remedy.errors import NothingNamed, StateError
from remedy.model import key_text
from remedy.readings import time_text
from remedy.render.tables import line, styled, table
from remedy.render.words import row_json
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import ExecutionRow, RunRecord, RunSummary
from remedy.state.locks import Locks
from remedy.text import nearest

__all__ = ["run_runs"]

_SEARCHED_MAX = 1_000


def run_runs(options: Options, run_id: str | None, *, most: int) -> int:
    """List runs, or show one; reads a copy of the ledger, so that it disturbs nobody."""
    caller = caller_now()
    state, named_by = state_of(options, caller)
    talk = Talk(as_json=options.output == "json")
    talk.say(f"state {state.path} ({named_by})")
    stopped = state.stop_reason()
    if stopped:
        talk.say(f"STOPPED: {stopped}  (remedy start lifts it)")
    if not state.has_ledger():
        if not state.exists() or run_id is not None:
            raise StateError(f"there is no ledger in {state.path}; name the state directory with --state DIR")
        talk.result_json({"runs": []}) if talk.as_json else talk.result(["no runs yet"])
        return 0
    locks = Locks(state.locks, run_id="", what="", pid=0, controller=node(), clock=utc_now)
    with tempfile.TemporaryDirectory(prefix="remedy-") as aside:
        ledger = Ledger.open_copy(state.ledger, Path(aside))
        try:
            if run_id is None:
                _list(talk, ledger.runs(most), locks)
                for rule, reason in ledger.breakers().items():
                    talk.say(f"{rule} is paused: {reason}")
            else:
                _show(talk, _found(ledger, run_id), locks)
        finally:
            ledger.close()
    return 0


def _found(ledger: Ledger, run_id: str) -> RunRecord:
    record = ledger.run(run_id)
    if record is None:
        near = nearest(run_id, (summary.run.id for summary in ledger.runs(_SEARCHED_MAX)))
        raise NothingNamed(f"there is no run {run_id}{f'; {near[0]}?' if near else ''}")
    return record


def _ended(summary: RunSummary, locks: Locks) -> str:
    if summary.exit_code is not None:
        return f"exit {summary.exit_code}"
    return "running" if locks.run_is_held(summary.run.id) else "died"


def _summary_json(summary: RunSummary) -> dict[str, object]:
    return {
        "run": summary.run.id,
        "started_at": time_text(summary.run.started_at),
        "ended_at": time_text(summary.ended_at) if summary.ended_at else None,
        "exit_code": summary.exit_code,
        "actor": summary.run.actor,
        "command": summary.run.command,
        "plan_digest": summary.run.plan_digest,
    }


def _list(talk: Talk, summaries: tuple[RunSummary, ...], locks: Locks) -> None:
    if talk.as_json:
        talk.result_json({"runs": [_summary_json(summary) for summary in summaries]})
        return
    rows = [(each.run.id, _ended(each, locks), each.run.actor, each.run.command) for each in summaries]
    talk.result([table(("run", "ended", "actor", "command"), rows)] if rows else ["no runs yet"])


def _show(talk: Talk, record: RunRecord, locks: Locks) -> None:
    if talk.as_json:
        executions = [_execution_json(execution) for execution in record.executions]
        talk.result_json({**_summary_json(record.summary), "executions": executions})
        return
    run = record.summary.run
    talk.result([line(styled(run.id, "title"), _ended(record.summary, locks), f"by {run.actor}: {run.command}")])
    rows = [
        (
            styled(execution.outcome.value if execution.outcome else "open"),
            execution.rule,
            execution.host,
            key_text(execution.key),
            execution.execution_id,
            execution.reason if execution.outcome else "its end was not seen; the next apply names it once it is over",
        )
        for execution in record.executions
    ]
    if rows:
        talk.result([table(("outcome", "rule", "host", "row", "execution", "why"), rows)])


def _execution_json(execution: ExecutionRow) -> dict[str, object]:
    return {
        "execution": execution.execution_id,
        "rule": execution.rule,
        "host": execution.host,
        "key": row_json(dict(execution.key)),
        "started_at": time_text(execution.started_at) if execution.started_at else None,
        "exit_code": execution.exit_code,
        "outcome": execution.outcome.value if execution.outcome else None,
        "reason": execution.reason,
    }
