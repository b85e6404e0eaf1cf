"""`remedy runs`: what past runs did, and what is paused, from the ledger."""

from collections.abc import Iterable
from platform import node

from rich.console import RenderableType

from remedy.cli.caller import caller_now, utc_now
from remedy.cli.commands.pausing import pause_line
from remedy.cli.composition import Options, state_of
from remedy.cli.console import Talk
from remedy.cli.ledgers import copied_ledger, found_run, refuse_no_ledger
from remedy.errors import NothingNamed
from remedy.model import Outcome, key_text
from remedy.plan_document import pause_document
from remedy.readings import time_text
from remedy.render.tables import line, styled, table
from remedy.render.words import row_json
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import ExecutionRow, RunRecord, RunSummary
from remedy.state.locks import Locks

__all__ = ["execution_json", "execution_table", "run_runs"]

_ASK_THE_HOST = (Outcome.LOST, Outcome.UNVERIFIED)


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
            refuse_no_ledger(state)
        talk.result_json({"runs": [], "pauses": [], "breakers": []}) if talk.as_json else talk.result(["no runs yet"])
        return 0
    locks = Locks(state.locks, run_id="", what="", pid=0, controller=node(), clock=utc_now)
    with copied_ledger(state) as ledger:
        if run_id is None:
            _list(talk, ledger, locks, most=most)
        else:
            _refuse_without_plan(state, ledger, run_id)
            _show(talk, found_run(ledger, run_id), locks)
    return 0


def _refuse_without_plan(state: StateDirectory, ledger: Ledger, run_id: str) -> None:
    """
    Refuse a run that ended before a plan was agreed to: of it there is only the audit file.

    Raises:
        NothingNamed: it is one; with the command that shows it.
    """
    has_file = run_id in {path.stem for path in state.audit.glob("*.jsonl")}
    if has_file and ledger.run(run_id) is None:
        raise NothingNamed(f"run {run_id} started nothing on any host; remedy audit show --run {run_id}")


def _ended(summary: RunSummary, locks: Locks) -> str:
    if summary.exit_code is not None:
        return f"exit {summary.exit_code}"
    return "running" if locks.run_is_held(summary.run.id) else "died"


def _is_dead(summary: RunSummary, locks: Locks) -> bool:
    return summary.exit_code is None and not locks.run_is_held(summary.run.id)


def _summary_json(summary: RunSummary, locks: Locks) -> dict[str, object]:
    return {
        "run": summary.run.id,
        "died": _is_dead(summary, locks),
        "started_at": time_text(summary.run.started_at),
        "ended_at": time_text(summary.ended_at) if summary.ended_at else None,
        "exit_code": summary.exit_code,
        "actor": summary.run.actor,
        "command": summary.run.command,
        "plan_digest": summary.run.plan_digest,
    }


def _list(talk: Talk, ledger: Ledger, locks: Locks, *, most: int) -> None:
    summaries, now = ledger.runs(most), utc_now()
    pauses = tuple(pause for pause in ledger.pauses() if not pause.is_over(now))
    breakers = ledger.breakers()
    if talk.as_json:
        talk.result_json(
            {
                "runs": [_summary_json(summary, locks) for summary in summaries],
                "pauses": [pause_document(pause) for pause in pauses],
                "breakers": [{"rule": rule, "reason": reason} for rule, reason in breakers.items()],
            }
        )
        return
    rows = [(each.run.id, _ended(each, locks), each.run.actor, each.run.command) for each in summaries]
    talk.result([table(("run", "ended", "actor", "command"), rows)] if rows else ["no runs yet"])
    for each in summaries:
        if _is_dead(each, locks):
            talk.say(f"{each.run.id} died: remedy resume {each.run.id}")
    for rule, reason in breakers.items():
        talk.say(f"{rule} is paused: {reason}")
    for pause in pauses:
        talk.say(f"paused: {pause_line(pause, now)}; {pause.cure}")


def _show(talk: Talk, record: RunRecord, locks: Locks) -> None:
    if talk.as_json:
        executions = [execution_json(execution) for execution in record.executions]
        talk.result_json({**_summary_json(record.summary, locks), "executions": executions})
        return
    run = record.summary.run
    talk.result([line(styled(run.id, "title"), _ended(record.summary, locks), f"by {run.actor}: {run.command}")])
    talk.result(execution_table(record.executions))
    if _is_dead(record.summary, locks):
        talk.say(f"it died, and is not closed: remedy resume {run.id}")
    elif any(execution.outcome in _ASK_THE_HOST and not execution.reconciled for execution in record.executions):
        talk.say(f"what became of the unseen ends: remedy reconcile {run.id}")


def execution_table(executions: Iterable[ExecutionRow]) -> list[RenderableType]:
    """Return the executions of a run as people read them; nothing for none."""
    rows = [
        (
            styled(execution.outcome.value if execution.outcome else "open"),
            execution.rule,
            execution.host,
            key_text(execution.key),
            execution.execution_id,
            _why(execution),
        )
        for execution in executions
    ]
    return [table(("outcome", "rule", "host", "row", "execution", "why"), rows)] if rows else []


def _why(execution: ExecutionRow) -> str:
    if execution.outcome is None:
        return "it has no outcome yet" if execution.started_at is not None else "it was not started yet"
    found = f"; reconciled: {execution.reconciled}" if execution.reconciled else ""
    return f"{execution.reason}{found}"


def execution_json(execution: ExecutionRow) -> dict[str, object]:
    """Return an execution of a run as JSON values."""
    return {
        "execution": execution.execution_id,
        "rule": execution.rule,
        "host": execution.host,
        "key": row_json(dict(execution.key)),
        "started_at": time_text(execution.started_at) if execution.started_at else None,
        "exit_code": execution.exit_code,
        "outcome": execution.outcome.value if execution.outcome else None,
        "reason": execution.reason,
        "reconciled": execution.reconciled or None,
    }
