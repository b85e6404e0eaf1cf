"""What goes into the ledger and comes out of it, as values; and how its rows are read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from remedy.holds import Attempt, Pause, PauseOf
from remedy.model import Key, Outcome
from remedy.port import FixEnding
from remedy.state.ledger_schema import OddRow
from remedy.state.values import json_key, utc_time

__all__ = [
    "UNSEEN_ENDINGS",
    "ExecutionRow",
    "Intent",
    "OpenIntent",
    "OutcomeRow",
    "ResultRow",
    "RunRecord",
    "RunRow",
    "RunSummary",
    "attempt_of_row",
    "execution_of_row",
    "known_outcome",
    "last_outcome_of_row",
    "open_intent_of_row",
    "outcome_when_dead",
    "pause_of_row",
    "summary_of_row",
]

UNSEEN_ENDINGS = frozenset({FixEnding.LOST, FixEnding.ALREADY_STARTED})
"""Results that do not say how a fix ended: without an outcome it is `lost` all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run as it begins; `plan_digest` is '' for a run without a plan."""

    id: str
    started_at: datetime
    actor: str
    command: str
    plan_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run, and how it ended (None: it is under way, or it died)."""

    run: RunRow
    ended_at: datetime | None
    exit_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The decision to start one execution; durable before the first byte is sent, and an attempt from then on."""

    execution_id: str
    run_id: str
    rule: str
    host: str
    key: Key
    script_sha256: str
    at: datetime
    deadline_s: int
    boot_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """How the run of an admitted fix ended, as its runner saw it."""

    execution_id: str
    at: datetime
    ending: FixEnding
    exit_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRow:
    """How an execution of a run ended."""

    run_id: str
    execution_id: str
    at: datetime
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIntent:
    """An intent without an outcome; `ending` is that of its result, None when no result was seen."""

    intent: Intent
    ending: FixEnding | None

    @property
    def closes_as(self) -> Outcome:
        """What it is when its run is dead."""
        return outcome_when_dead(self.ending)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRow:
    """
    One execution of a run's plan: when it was started, how its fix ended, how it ended.

    `started_at` is None when it was never admitted, `ending` when no result was
    seen, `outcome` when it has not ended (or its run died). `reconciled` is what the
    host's marker was found to say the last time it was asked, '' when it never was.
    """

    execution_id: str
    rule: str
    host: str
    key: Key
    started_at: datetime | None
    ending: FixEnding | None
    exit_code: int | None
    outcome_at: datetime | None
    outcome: Outcome | None
    reason: str
    reconciled: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run with every execution of its plan, in the plan's order."""

    summary: RunSummary
    executions: tuple[ExecutionRow, ...]


# Every value of a row is read strictly: '' is an odd word, not an absent one.


@contextmanager
def _row_of(what: str) -> Iterator[None]:
    """
    Translate what a value of a row raises that remedy did not write.

    Raises:
        OddRow: it names the row and what is odd.
    """
    try:
        yield
    except (ValueError, TypeError, AttributeError, RecursionError) as exc:
        raise OddRow(f"{what} has a value that remedy does not write: {exc}") from exc


def _time(text: str) -> datetime:
    at = utc_time(text)
    if at.tzinfo is None:
        raise ValueError(f"the time {text} has no zone")
    return at


def _outcome(word: str | None) -> Outcome | None:
    return None if word is None else Outcome(word)


def _ending(word: str | None) -> FixEnding | None:
    return None if word is None else FixEnding(word)


def outcome_when_dead(ending: FixEnding | None) -> Outcome:
    """
    Return what an execution of a dead run is, by the ending of its result (None: there is no result).

    `lost` when its end was not seen, also where the result itself says so; else it
    ended somehow and nobody read the host afterwards: `unverified`.
    """
    return Outcome.LOST if ending is None or ending in UNSEEN_ENDINGS else Outcome.UNVERIFIED


def known_outcome(execution_id: str, word: str) -> Outcome:
    """
    Return the outcome that a row of `executions` has.

    Raises:
        OddRow: it is none that remedy writes; and so in all that follow.
    """
    with _row_of(f"execution {execution_id}"):
        return Outcome(word)


def attempt_of_row(row: Sequence[Any]) -> Attempt:
    """Return an attempt; a row of ATTEMPTS_OF without its number."""
    execution_id, run_id, at, script_sha256, outcome, is_reconciled = row
    with _row_of(f"execution {execution_id}"):
        return Attempt(
            execution_id=execution_id,
            run_id=run_id,
            at=_time(at),
            script_sha256=script_sha256,
            outcome=_outcome(outcome),
            is_reconciled=bool(is_reconciled),
        )


def pause_of_row(row: Sequence[Any]) -> Pause:
    """Return a pause; a row of PAUSES."""
    kind, name, reason, actor, at, until = row
    with _row_of(f"the pause of {kind} {name}"):
        return Pause(
            of=PauseOf(kind),
            name=name,
            reason=reason,
            actor=actor,
            at=_time(at),
            until=None if until is None else _time(until),
        )


def last_outcome_of_row(row: Sequence[Any]) -> tuple[str, Outcome]:
    """Return a host and how its last attempt ended; a row of LAST_OUTCOMES."""
    host, ending, outcome = row
    with _row_of(f"the last attempt on {host}"):
        without = outcome_when_dead(_ending(ending))
        return str(host), _outcome(outcome) or without


def open_intent_of_row(row: Sequence[Any]) -> OpenIntent:
    """Return an open intent; a row of OPEN_INTENTS."""
    execution_id, run_id, rule, host, key, script_sha256, at, deadline_s, boot_id, ending = row
    with _row_of(f"execution {execution_id}"):
        intent = Intent(
            execution_id=execution_id,
            run_id=run_id,
            rule=rule,
            host=host,
            key=json_key(key),
            script_sha256=script_sha256,
            at=_time(at),
            deadline_s=deadline_s,
            boot_id=boot_id,
        )
        return OpenIntent(intent=intent, ending=_ending(ending))


def summary_of_row(row: Sequence[Any]) -> RunSummary:
    """Return a run; a row of RUNS."""
    run_id, started_at, actor, command, plan_digest, ended_at, exit_code = row
    with _row_of(f"run {run_id}"):
        run = RunRow(id=run_id, started_at=_time(started_at), actor=actor, command=command, plan_digest=plan_digest)
        return RunSummary(run=run, ended_at=None if ended_at is None else _time(ended_at), exit_code=exit_code)


def execution_of_row(row: Sequence[Any]) -> ExecutionRow:
    """Return an execution of a run; a row of EXECUTIONS."""
    execution_id, rule, host, key, at, ending, exit_code, outcome_at, outcome, reason, found = row
    with _row_of(f"execution {execution_id}"):
        return ExecutionRow(
            execution_id=execution_id,
            rule=rule,
            host=host,
            key=json_key(key),
            started_at=None if at is None else _time(at),
            ending=_ending(ending),
            exit_code=exit_code,
            outcome_at=None if outcome_at is None else _time(outcome_at),
            outcome=_outcome(outcome),
            reason=reason or "",
            reconciled=found or "",
        )
