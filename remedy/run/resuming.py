"""
Resuming: closing a run that died, so that every execution of its plan has exactly one outcome.

The dead run's own audit file is asked first, for the audit log is written before
the ledger: what it says of an outcome, a result or an exit code is taken over.
What is then open is waited out, and closed as `lost` or `unverified`; what was
never started is `skipped: interrupted`. A rule with too many bad hosts in it is
paused. Every step may be cut off and done again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from remedy.limits import Limit
from remedy.model import Execution, Outcome, Skip
from remedy.outcomes import Ended
from remedy.run.evidence import Evidence
from remedy.run.recorded_ends import RecordedEnds, ends_of_dead_run
from remedy.run.records import incident_facts
from remedy.run.recovery import (
    LeftOpen,
    brake_dead_run,
    left_open,
    open_rows,
    over_at,
    record_unless_named,
    take_over_result,
)
from remedy.state.audit import AuditLog
from remedy.state.audit_format import AuditType
from remedy.state.disk import Disk
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import ExecutionRow, OpenIntent, OutcomeRow, RunRecord
from remedy.summary import Coverage, ExecutionEnd, ExitCode, Summary, exit_code
from remedy.text import untrusted

__all__ = [
    "ResumeWatcher",
    "Resumed",
    "Resuming",
    "code_of_dead_run",
    "row_facts",
]

_LOOK_AGAIN_S = 1.0
_ROWS_AT_ONCE = 500
_COMMAND_CHARACTERS_MAX = 1_000
_NEVER_STARTED = "the run died before it was started"

_MOST_URGENT = (
    ExitCode.INTERRUPTED,
    ExitCode.COULD_NOT_RUN,
    ExitCode.NOTHING_NAMED,
    ExitCode.HALTED,
    ExitCode.BAD,
    ExitCode.INCOMPLETE,
    ExitCode.PENDING,
    ExitCode.DONE,
)
"""Of several exit codes the first of these is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """
    What resuming came to: how many outcomes each step recorded, and what is still open.

    `exit_code` is that of the closed run; INTERRUPTED while something of it is open.
    `paused` says of each rule whose breaker was opened here why, and what closes it.
    """

    recorded: RecordedEnds
    taken_over: int
    skipped: int
    closed: tuple[OpenIntent, ...]
    still_open: tuple[OpenIntent, ...]
    exit_code: ExitCode
    paused: tuple[str, ...] = ()


class ResumeWatcher(Protocol):
    """Who watches, and lets time pass."""

    def read(self, recorded: RecordedEnds) -> None:
        """Hear what the dead run's audit file says, once it is closed."""

    def opened(self, opened: OpenIntent) -> None:
        """Hear of an execution that may have been under way when the run died."""

    def closed(self, closed: OpenIntent) -> None:
        """Hear of one of them when its outcome is recorded."""

    def wait(self, running: Sequence[OpenIntent], seconds: float) -> None:
        """Let so many seconds pass, for these may still be running."""

    def asked(self) -> bool:
        """Say whether somebody does not want to wait any longer."""


class Resuming:
    """
    Closes one dead run, whose lock the caller holds, with an audit file of its own.

    `audit` is that file, `evidence` is over it, and `disk` is for the dead run's file.
    """

    def __init__(
        self,
        run_id: str,
        *,
        ledger: Ledger,
        audit: AuditLog,
        evidence: Evidence,
        clock: Callable[[], datetime],
        watcher: ResumeWatcher,
        disk: Disk | None = None,
    ) -> None:
        self._run_id = run_id
        self._ledger = ledger
        self._audit = audit
        self._evidence = evidence
        self._clock = clock
        self._watcher = watcher
        self._disk = disk
        self._named_by = audit.path.stem
        self._recorded = RecordedEnds()

    def carry_out(self) -> Resumed:
        """
        Give every execution of the run its one outcome, and the run its end; wait for what may still be running.

        Raises:
            LockHeld: a living process writes the dead run's audit file; nothing was closed.
            StateError: something could not be recorded; resume again.
        """
        self._say_resumed()
        self._recorded = self._recover()
        self._watcher.read(self._recorded)
        taken_over = self._take_over()
        skipped = self._skip_unstarted()
        closed, running = self._close_open()
        rules = self._ledger.unbraked().get(self._run_id, frozenset())
        paused = brake_dead_run(self._run_id, self._ledger, self._evidence, self._recorded, rules=rules)
        code = ExitCode.INTERRUPTED if running else self._code()
        self._evidence.end(int(code), counts=_counts(skipped, closed))
        if not running and self._ledger.run(self._run_id) is not None:
            self._ledger.close_run(self._run_id, self._clock(), int(code))
        return Resumed(
            recorded=self._recorded,
            taken_over=taken_over,
            skipped=skipped,
            closed=closed,
            still_open=running,
            exit_code=code,
            paused=paused,
        )

    def _say_resumed(self) -> None:
        """Name the dead run, before anything of it is touched: how long its file was then, what was open."""
        path = self._audit.path.parent / f"{self._run_id}.jsonl"
        facts: dict[str, Any] = {
            "of_run": self._run_id,
            "file_bytes": path.stat().st_size if path.exists() else None,
        }
        record = self._ledger.run(self._run_id)
        if record is not None:
            rows = [each for each in record.executions if each.outcome is None]
            facts |= {
                "of_actor": record.summary.run.actor,
                "of_command": untrusted(record.summary.run.command, characters_max=_COMMAND_CHARACTERS_MAX),
                "open": sum(row.started_at is not None for row in rows),
                "unstarted": sum(row.started_at is None for row in rows),
            }
        self._audit.append(AuditType.RUN_RESUMED, facts, sync=True)

    def _recover(self) -> RecordedEnds:
        recorded = ends_of_dead_run(self._audit.path.parent, self._run_id, disk=self._disk)
        if recorded.recovered is not None:
            self._audit.append(AuditType.LOG_RECOVERED, recorded.recovered.facts(), sync=True)
        return recorded

    def _close_open(self) -> tuple[tuple[OpenIntent, ...], tuple[OpenIntent, ...]]:
        """Close each open intent when it is over for certain; return those, and the ones that were left open."""
        opened = self._left_open()
        for each in (*opened.over, *opened.running):
            self._watcher.opened(each)
        closed: list[OpenIntent] = []
        while True:
            for each in opened.over:
                self._evidence.close_dead(each)
                closed.append(each)
                self._watcher.closed(each)
            if not opened.running or self._watcher.asked():
                return tuple(closed), opened.running
            now = self._clock()
            left_s = min((over_at(each) - now).total_seconds() for each in opened.running)
            self._watcher.wait(opened.running, max(0.0, min(left_s, _LOOK_AGAIN_S)))
            opened = self._left_open()

    def _code(self) -> ExitCode:
        record = self._ledger.run(self._run_id)
        if record is None:
            return ExitCode.INCOMPLETE
        if record.summary.exit_code is not None:
            # It had ended; only its audit file was not closed.
            return ExitCode(record.summary.exit_code)
        return code_of_dead_run(record, self._recorded)

    def _open_rows(self) -> tuple[ExecutionRow, ...]:
        return open_rows(self._ledger, self._run_id)

    def _left_open(self) -> LeftOpen:
        """Return the open intents of this run; that its lock is held is our doing."""
        mine = [each for each in self._ledger.open_intents() if each.intent.run_id == self._run_id]
        return left_open(mine, is_alive=lambda _run: False, now=self._clock())

    def _take_over(self) -> int:
        """Record what the audit file knows and the ledger does not: the run died between the two."""
        rows = self._open_rows()
        for row in rows:
            take_over_result(self._ledger, self._recorded, row.execution_id, known=row.ending)
        outcomes = self._recorded.outcomes
        return self._record([outcomes[row.execution_id] for row in rows if row.execution_id in outcomes])

    def _skip_unstarted(self) -> int:
        """Record that what has no intent was never started; nothing of it was sent."""
        unstarted = [row for row in self._open_rows() if row.started_at is None]
        reason = f"{_NEVER_STARTED}; named by run {self._named_by}"
        said = f"{Skip.INTERRUPTED.value}: {reason}"
        for row in unstarted:
            facts = {
                **row_facts(row),
                "of_run": self._run_id,
                "outcome": Outcome.SKIPPED.value,
                "skip": Skip.INTERRUPTED.value,
                "reason": reason,
                "output_sha256": None,
            }
            self._evidence.note(AuditType.EXECUTION_OUTCOME, facts)
        now = self._clock()
        return self._record(
            [
                OutcomeRow(
                    run_id=self._run_id, execution_id=row.execution_id, at=now, outcome=Outcome.SKIPPED, reason=said
                )
                for row in unstarted
            ]
        )

    def _record(self, rows: Sequence[OutcomeRow]) -> int:
        """Record outcomes, a part in each transaction; return how many."""
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            record_unless_named(self._ledger, self._run_id, rows[start : start + _ROWS_AT_ONCE])
        return len(rows)


def _counts(skipped: int, closed: Sequence[OpenIntent]) -> dict[Outcome, int]:
    """Return how many outcomes of each kind were given here."""
    counts = {Outcome.SKIPPED: skipped} if skipped else {}
    for each in closed:
        counts[each.closes_as] = counts.get(each.closes_as, 0) + 1
    return counts


def code_of_dead_run(record: RunRecord, recorded: RecordedEnds) -> ExitCode:
    """
    Return what a dead run's outcomes amount to, which is at the least incomplete.

    What it saw, held back and would have read again after the soak went with it,
    unless its audit file has the exit code that it was about to end with. An
    execution that only its death kept from starting is not one that somebody
    interrupted.
    """
    ends = tuple(end for row in record.executions if (end := _end_of(row, recorded)) is not None)
    nobody = Coverage(selected=(), judged=(), unknown=(), unreachable=(), refused=())
    summary = Summary(coverage=nobody, host_ends=(), ends=ends)
    said = ExitCode.INCOMPLETE if recorded.exit_code is None else ExitCode(recorded.exit_code)
    found = {exit_code(summary, max_unseen=Limit(count=0), detailed=False), said}
    if recorded.odd:
        found.add(ExitCode.BAD)
    return next(code for code in _MOST_URGENT if code in found)


def _end_of(row: ExecutionRow, recorded: RecordedEnds) -> ExecutionEnd | None:
    """Return how an execution ended; None for one that was only never started, or that has not ended."""
    if row.outcome is None:
        return None
    skip = _skip_of(row) if row.outcome is Outcome.SKIPPED else None
    if skip is Skip.INTERRUPTED and row.execution_id not in recorded.outcomes:
        return None
    return ExecutionEnd(
        execution=_execution(row), ended=Ended(outcome=row.outcome, reason=row.reason, skip=skip), wave=0
    )


def _skip_of(row: ExecutionRow) -> Skip:
    """Return what skipped an execution; its reason in the ledger begins with it."""
    word = row.reason.partition(":")[0]
    # A word that is none is not taken for a harmless one.
    return Skip(word) if word in set(Skip) else Skip.HALTED


def row_facts(row: ExecutionRow) -> dict[str, Any]:
    """Return what every audit record about an execution says of it, by its row in the ledger."""
    return incident_facts(row.execution_id, row.rule, row.host, key=row.key)


def _execution(row: ExecutionRow) -> Execution:
    """Return an execution as far as the ledger knows it."""
    return Execution(
        id=row.execution_id,
        rule=row.rule,
        host=row.host,
        key=row.key,
        row=dict(row.key),
        params={},
        script="",
        script_sha256="",
        timeout_s=0,
        become_root=False,
    )
