"""`remedy resume`: close a run that died, so that nothing of it is open any more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import RenderableType

from remedy.cli.caller import utc_now
from remedy.cli.commands.runs import execution_json, execution_table
from remedy.cli.composition import Options
from remedy.cli.console import Talk
from remedy.cli.own_run import OwnRun, own_run
from remedy.cli.stopping import Stopping, stopping
from remedy.errors import NothingNamed, UsageError
from remedy.model import Outcome
from remedy.readings import time_text
from remedy.run.recorded_ends import RecordedEnds
from remedy.run.recovery import closed_text, over_at
from remedy.run.resuming import Resumed, Resuming
from remedy.state.audit_format import HEADS_NAME, parse_heads
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import ExecutionRow, OpenIntent, RunRecord
from remedy.summary import ExitCode
from remedy.text import counted, nearest, untrusted

__all__ = ["run_resume"]

_SEARCHED_MAX = 1_000
_STOPPING = "stopping: what may still be running is left open (again: end at once); resume again to close it"
_ENDED = "ended at once; resume again to close the run"
_GOES_ON = (Outcome.SKIPPED, Outcome.UNREACHABLE, Outcome.FAILED)
_ASK_THE_HOST = (Outcome.LOST, Outcome.UNVERIFIED)


def run_resume(options: Options, run_id: str) -> int:
    """
    Close a dead run and return its exit code; 130 when somebody did not want to wait for what may still run.

    Raises:
        NothingNamed: there is no such run.
        UsageError: it has ended; nothing was done.
        LockHeld: it is alive, or another `resume` is at it.
        StateError: something could not be recorded; resume again.
    """
    with own_run(options) as own:
        resumed = _closed(run_id, own)
        talk = own.talk
        talk.say(*resumed.paused)
        record = own.ledger.run(run_id)
        if talk.as_json:
            executions = record.executions if record is not None else ()
            talk.result_json(_resumed_json(run_id, own.id, resumed, executions))
        else:
            talk.result(_resumed_text(run_id, resumed, record))
        # A breaker that opens is a halt, whatever the run itself is closed with.
        return int(ExitCode.HALTED if resumed.paused else resumed.exit_code)


def _closed(run_id: str, own: OwnRun) -> Resumed:
    """Close a run under its lock, as far as it can be."""
    state, ledger = own.state, own.ledger
    _refuse_ended(run_id, _known(run_id, ledger, state), state)
    with own.locks.run(run_id), stopping(_STOPPING, ended=_ENDED) as stop:
        # Asked again: it may have ended, or been closed, before its lock was ours.
        _refuse_ended(run_id, _known(run_id, ledger, state), state)
        with own.recorded() as (audit, evidence):
            resuming = Resuming(
                run_id,
                ledger=ledger,
                audit=audit,
                evidence=evidence,
                clock=utc_now,
                watcher=_Watching(talk=own.talk, stop=stop, audit_directory=state.audit),
            )
            return resuming.carry_out()


def _known(run_id: str, ledger: Ledger, state: StateDirectory) -> RunRecord | None:
    """Return what the ledger knows of a run; None for one that died before it had a plan."""
    record = ledger.run(run_id)
    if record is None:
        files = {path.stem for path in state.audit.glob("*.jsonl")}
        if run_id not in files:
            near = nearest(run_id, files | {each.run.id for each in ledger.runs(_SEARCHED_MAX)})
            raise NothingNamed(f"there is no run {untrusted(run_id)}{f'; {near[0]}?' if near else ''}")
    return record


def _refuse_ended(run_id: str, record: RunRecord | None, state: StateDirectory) -> None:
    """Refuse a run of which nothing is open: its outcomes, its end, its audit file."""
    if not _is_closed(state, run_id):
        return
    if record is None:
        raise UsageError(f"run {run_id} has ended, and had no plan; nothing was done")
    ended_at, code = record.summary.ended_at, record.summary.exit_code
    if ended_at is None or any(each.outcome is None for each in record.executions):
        return
    at = time_text(ended_at.replace(microsecond=0))
    raise UsageError(f"run {run_id} ended at {at} with exit code {code}; nothing was done; remedy runs {run_id}")


def _is_closed(state: StateDirectory, run_id: str) -> bool:
    """Say whether a run's audit file has its head recorded, or is gone: then nobody can close it."""
    if not (state.audit / f"{run_id}.jsonl").exists():
        return True
    try:
        heads, _bad, _tail = parse_heads((state.audit / HEADS_NAME).read_bytes())
    except OSError:
        return False  # What is wrong there is said when the file is to be closed.
    return any(head.run == run_id for _number, head in heads)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watching:
    """Says what happens, and waits until somebody asks to stop."""

    talk: Talk
    stop: Stopping
    audit_directory: Path

    def read(self, recorded: RecordedEnds) -> None:
        """Say what is odd about the dead run's audit file."""
        if recorded.odd:
            self.talk.say(f"WARNING: nothing is taken from its audit file: {recorded.odd}")
        if recorded.recovered is not None and recorded.recovered.torn_file:
            cut = counted(recorded.recovered.torn_bytes, "byte")
            where = self.audit_directory / recorded.recovered.torn_file
            self.talk.say(f"the crash cut the last record of its audit file; its {cut} are in {where}")

    def opened(self, opened: OpenIntent) -> None:
        """Say what may have been under way."""
        intent = opened.intent
        seen = "its result is known, its outcome is not" if opened.ending else "its end was not seen"
        self.talk.say(
            f"open: {intent.rule} on {untrusted(intent.host)} ({intent.execution_id}): {seen}; "
            f"it cannot run beyond {_until(opened)}"
        )

    def closed(self, closed: OpenIntent) -> None:
        """Say how it counts."""
        self.talk.say(closed_text(closed))

    def wait(self, running: Sequence[OpenIntent], seconds: float) -> None:
        """Wait a little for what may still be running."""
        left_s = max(0, round(max((over_at(each) - utc_now()).total_seconds() for each in running)))
        self.talk.progress(
            f"waiting for {counted(len(running), 'execution')} that may still be running, {left_s}s at the most; "
            "Ctrl-C leaves them open"
        )
        self.stop.wait(seconds)

    def asked(self) -> bool:
        """Say whether somebody pressed Ctrl-C."""
        return self.stop.asked()


def _until(opened: OpenIntent) -> str:
    return time_text(over_at(opened).replace(microsecond=0))


def _resumed_json(run_id: str, own_id: str, resumed: Resumed, executions: Sequence[ExecutionRow]) -> dict[str, object]:
    recovered = resumed.recorded.recovered
    return {
        "resume": 1,
        "run": run_id,
        "resumed_by": own_id,
        "exit_code": int(resumed.exit_code),
        "is_closed": not resumed.still_open,
        "taken_over": resumed.taken_over,
        "never_started": resumed.skipped,
        "closed": [each.intent.execution_id for each in resumed.closed],
        "still_open": [
            {"execution": each.intent.execution_id, "host": each.intent.host, "until": _until(each)}
            for each in resumed.still_open
        ],
        "torn_file": recovered.torn_file if recovered is not None else "",
        "audit_file_odd": resumed.recorded.odd,
        "paused": list(resumed.paused),
        "executions": [execution_json(each) for each in executions],
    }


def _resumed_text(run_id: str, resumed: Resumed, record: RunRecord | None) -> Iterator[RenderableType]:
    executions = record.executions if record is not None else ()
    yield from execution_table(executions)
    if record is None:
        yield f"{run_id} died before its plan was recorded: nothing was started"
    if resumed.taken_over:
        yield f"{counted(resumed.taken_over, 'outcome')} stood in its audit file only, and counts as it stands there"
    if resumed.still_open:
        last = max(resumed.still_open, key=over_at)
        count = counted(len(resumed.still_open), "execution")
        yield f"still open: {count} that may be running until {_until(last)} at the latest"
        yield f"next: remedy resume {run_id}"
        return
    yield f"closed: {run_id}, exit code {int(resumed.exit_code)}"
    yield from _next(run_id, {each.outcome for each in executions})


def _next(run_id: str, outcomes: set[Outcome | None]) -> Iterator[str]:
    """Yield the commands that lead on from a closed run."""
    if outcomes & set(_ASK_THE_HOST):
        yield f"next: remedy reconcile {run_id}  (asks the hosts what became of what was not seen to end)"
    left = [outcome.value for outcome in _GOES_ON if outcome in outcomes]
    if left:
        yield f"next: remedy apply --from-run {run_id} --outcome {','.join(left)}  (goes on, with a new plan)"
