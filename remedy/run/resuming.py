"""
Resuming: closing a run that died, so that every execution of its plan has exactly one outcome.

The dead run's own audit file is asked first, for the audit log is written before
the ledger: what it says of an outcome, a result or an exit code is taken over.
What is then open is waited out, and closed as `lost` or `unverified`; what was
never started is `skipped: interrupted`. Every step may be cut off and done again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from remedy.errors import StateError
from remedy.limits import Limit
from remedy.model import Execution, Key, Outcome, Skip
from remedy.outcomes import Ended
from remedy.port import FixEnding
from remedy.run.evidence import Evidence, execution_facts
from remedy.run.recovery import LeftOpen, left_open, over_at
from remedy.state.audit_format import AuditType, Lines, parse_object
from remedy.state.audit_recover import Recovered, recover
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import ExecutionRow, OpenIntent, OutcomeRow, RunRecord
from remedy.state.values import utc_time
from remedy.summary import Coverage, ExecutionEnd, ExitCode, Summary, exit_code
from remedy.text import untrusted

__all__ = ["RecordedEnds", "Resumed", "Resuming", "code_of_dead_run", "ends_of_dead_run"]

_LOOK_AGAIN_S = 1.0
_ROWS_AT_ONCE = 500
_NEVER_STARTED = "the run died before it was started"
_UNSEEN_ENDINGS = frozenset({FixEnding.LOST, FixEnding.ALREADY_STARTED})
"""Results that do not say how a fix ended: without an outcome it is `lost` all the same."""

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


def ends_of_dead_run(directory: Path, run_id: str) -> RecordedEnds:
    """
    Close the audit file of a dead run (its torn tail, its head), and return what it says.

    A file that is missing, or was changed, is not trusted in anything.

    Raises:
        LockHeld: a living process writes it; nothing was touched.
    """
    outcomes: dict[str, tuple[datetime, Mapping[str, Any]]] = {}
    results: dict[str, tuple[datetime, Mapping[str, Any]]] = {}
    code: int | None = None
    try:
        # Checks the chain; only then its records are believed.
        recovered = recover(directory, run_id)
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
    except StateError as exc:
        return RecordedEnds(odd=untrusted(str(exc)))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        return RecordedEnds(odd=untrusted(f"the audit file of {run_id} cannot be understood: {exc}"))
    return RecordedEnds(outcomes=outcomes, results=results, exit_code=code, recovered=recovered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """
    What resuming came to: how many outcomes each step recorded, and what is still open.

    `exit_code` is that of the closed run; None while something of it is open.
    """

    taken_over: int
    skipped: int
    closed: tuple[OpenIntent, ...]
    still_open: tuple[OpenIntent, ...]
    exit_code: ExitCode | None


class Resuming:
    """
    Closes one dead run, whose lock the caller holds.

    `tell` hears of each execution as it is closed, and `wait` of those that may still
    run, with how long to wait before it is asked again; `asked` says that somebody
    does not want to wait any longer.
    """

    def __init__(
        self,
        run_id: str,
        recorded: RecordedEnds,
        *,
        ledger: Ledger,
        evidence: Evidence,
        named_by: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._run_id = run_id
        self._recorded = recorded
        self._ledger = ledger
        self._evidence = evidence
        self._named_by = named_by
        self._clock = clock

    def carry_out(
        self,
        *,
        tell: Callable[[OpenIntent], None],
        wait: Callable[[Sequence[OpenIntent], float], None],
        asked: Callable[[], bool],
    ) -> Resumed:
        """
        Give every execution of the run its one outcome, waiting for those that may still be running.

        The run itself is not ended here: `end` does that, when nothing is open.

        Raises:
            StateError: something could not be recorded; resume again.
        """
        taken_over = self._take_over()
        skipped = self._skip_unstarted()
        closed: list[OpenIntent] = []
        while True:
            opened = self._left_open()
            for each in opened.over:
                self._evidence.close_dead(each)
                closed.append(each)
                tell(each)
            if not opened.running or asked():
                break
            now = self._clock()
            left_s = min((over_at(each) - now).total_seconds() for each in opened.running)
            wait(opened.running, max(0.0, min(left_s, _LOOK_AGAIN_S)))
        record = self._ledger.run(self._run_id)
        code = code_of_dead_run(record, self._recorded) if record is not None and not opened.running else None
        return Resumed(
            taken_over=taken_over, skipped=skipped, closed=tuple(closed), still_open=opened.running, exit_code=code
        )

    def end(self, code: ExitCode) -> None:
        """
        Record how the run ended, if the ledger does not know it yet.

        Raises:
            StateError: it could not be recorded; resume again.
        """
        if self._ledger.run(self._run_id) is not None:
            self._ledger.close_run(self._run_id, self._clock(), int(code))

    def _open_rows(self) -> list[ExecutionRow]:
        record = self._ledger.run(self._run_id)
        return [each for each in record.executions if each.outcome is None] if record is not None else []

    def _left_open(self) -> LeftOpen:
        """Return the open intents of this run; that its lock is held is our doing."""
        mine = [each for each in self._ledger.open_intents() if each.intent.run_id == self._run_id]
        return left_open(mine, is_alive=lambda _run: False, now=self._clock())

    def _take_over(self) -> int:
        """Record what the audit file knows and the ledger does not: the run died between the two."""
        rows = self._open_rows()
        for row in rows:
            result = self._recorded.results.get(row.execution_id)
            if result is not None and row.ending is None and result[1]["ending"] not in _UNSEEN_ENDINGS:
                at, data = result
                self._ledger.record_result(row.execution_id, at, data["ending"], data["exit_code"])
        return self._record([taken for row in rows if (taken := self._recorded_outcome(row)) is not None])

    def _recorded_outcome(self, row: ExecutionRow) -> OutcomeRow | None:
        recorded = self._recorded.outcomes.get(row.execution_id)
        if recorded is None:
            return None
        at, data = recorded
        reason = f"{data['skip']}: {data['reason']}" if data["skip"] else data["reason"]
        return OutcomeRow(
            run_id=self._run_id, execution_id=row.execution_id, at=at, outcome=data["outcome"], reason=reason
        )

    def _skip_unstarted(self) -> int:
        """Record that what has no intent was never started; nothing of it was sent."""
        unstarted = [row for row in self._open_rows() if row.started_at is None]
        reason = f"{_NEVER_STARTED}; named by run {self._named_by}"
        said = f"{Skip.INTERRUPTED.value}: {reason}"
        for row in unstarted:
            facts = {
                **execution_facts(_execution(row)),
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
        """
        Record outcomes, many in one transaction; return how many.

        Raises:
            StateError: one contradicts the ledger, and not because another run has
                named it by now.
        """
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            contradictions = self._ledger.record_outcomes(part)
            still_open = {row.execution_id for row in self._open_rows()} if any(contradictions) else set()
            for row, contradiction in zip(part, contradictions, strict=True):
                if contradiction is not None and row.execution_id in still_open:
                    raise contradiction
        return len(rows)


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


def _execution(row: ExecutionRow) -> Execution:
    """Return an execution as far as the ledger knows it."""
    key: Key = row.key
    return Execution(
        id=row.execution_id,
        rule=row.rule,
        host=row.host,
        key=key,
        row=dict(key),
        params={},
        script="",
        script_sha256="",
        timeout_s=0,
        become_root=False,
    )
