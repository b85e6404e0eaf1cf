"""
The statements of the ledger on a connection, in whoever's transaction; rows become values here.

Nothing here commits or takes a lock: that is ledger.py's.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from remedy.errors import StateError
from remedy.gate import Attempt, LedgerFacts, Request
from remedy.model import Key, Outcome
from remedy.port import FixEnding
from remedy.state.ledger_rows import ExecutionRow, Intent, OpenIntent, RunRow, RunSummary
from remedy.state.ledger_schema import OddRow
from remedy.state.values import json_key, key_json, utc_text, utc_time

__all__ = [
    "ATTEMPTS_OF",
    "BREAKERS",
    "EXECUTIONS",
    "LAST_OUTCOMES",
    "OPEN_INTENTS",
    "RELEASE_INTENTS",
    "RUNS",
    "attempt_of_row",
    "breaker_text",
    "execution_of_row",
    "has_intent",
    "insert_intent",
    "last_outcome_of_row",
    "open_intent_of_row",
    "read_attempts",
    "read_facts",
    "set_outcome",
    "summary_of_row",
]

# CROSS JOIN keeps SQLite to the order that is written: the few rows first, the long history by its index.
_ATTEMPTS = """
    SELECT i.execution_id, i.run_id, i.at, i.script_sha256, e.outcome
    FROM intents AS i JOIN executions AS e USING (run_id, execution_id)
    WHERE i.rule = ? AND i.host = ? AND i.key = ? AND i.released_by IS NULL
    ORDER BY i.seq
"""
ATTEMPTS_OF = """
    WITH wanted (number, rule, host, key) AS (VALUES {})
    SELECT w.number, i.execution_id, i.run_id, i.at, i.script_sha256, e.outcome
    FROM wanted AS w CROSS JOIN intents AS i USING (rule, host, key) JOIN executions AS e USING (run_id, execution_id)
    WHERE i.released_by IS NULL
    ORDER BY i.seq
"""
_HOST_BUSY = """
    SELECT i.execution_id, i.run_id, i.at, i.deadline_s
    FROM executions AS e CROSS JOIN intents AS i USING (run_id, execution_id)
    WHERE e.host = ? AND e.outcome IS NULL AND e.run_id <> ?
    ORDER BY i.seq LIMIT 1
"""
OPEN_INTENTS = """
    SELECT i.execution_id, i.run_id, i.rule, i.host, i.key, i.script_sha256, i.at, i.deadline_s, i.boot_id, i.ending
    FROM executions AS e CROSS JOIN intents AS i USING (run_id, execution_id)
    WHERE e.outcome IS NULL
    ORDER BY i.seq
"""
LAST_OUTCOMES = """
    SELECT i.host, i.ending, e.outcome, max(i.seq)
    FROM intents AS i JOIN executions AS e USING (run_id, execution_id)
    WHERE i.rule = ?
    GROUP BY i.host
"""
RELEASE_INTENTS = """
    UPDATE intents SET released_by = ?
    WHERE rule = ? AND host = ? AND released_by IS NULL AND EXISTS (
        SELECT 1 FROM executions AS e
        WHERE e.run_id = intents.run_id AND e.execution_id = intents.execution_id AND e.outcome IS NOT NULL
    )
    RETURNING key
"""
EXECUTIONS = """
    SELECT e.execution_id, e.rule, e.host, e.key, i.at, i.ending, i.exit_code, e.outcome_at, e.outcome, e.reason
    FROM executions AS e LEFT JOIN intents AS i USING (run_id, execution_id)
    WHERE e.run_id = ?
    ORDER BY e.position
"""
RUNS = "SELECT id, started_at, actor, command, plan_digest, ended_at, exit_code FROM runs"
BREAKERS = "SELECT rule, run_id, opened_at, reason FROM breakers WHERE closed_by IS NULL"
_INSERT_INTENT = """
    INSERT INTO intents (script_sha256, at, deadline_s, boot_id, run_id, execution_id, rule, host, key)
    SELECT ?, ?, ?, ?, run_id, execution_id, rule, host, key FROM executions
    WHERE run_id = ? AND execution_id = ? AND rule = ? AND host = ? AND key = ? AND outcome IS NULL
"""


def read_facts(connection: sqlite3.Connection, request: Request, run_id: str) -> LedgerFacts:
    """Return what the gate must know of a request of this run."""
    known = connection.execute("SELECT 1 FROM intents WHERE execution_id = ?", (request.execution_id,)).fetchone()
    breaker = connection.execute(f"{BREAKERS} AND rule = ?", (request.rule,)).fetchone()
    busy = connection.execute(_HOST_BUSY, (request.host, run_id)).fetchone()
    return LedgerFacts(
        attempts=read_attempts(connection, request.rule, request.host, request.key),
        known_id=known is not None,
        open_breaker=breaker_text(breaker) if breaker else "",
        host_busy=_busy_text(busy) if busy else "",
    )


def _busy_text(row: Sequence[Any]) -> str:
    execution_id, run_id, at, deadline_s = row
    return f"run {run_id} started {execution_id} there at {at} (deadline {deadline_s}s), and its end is not known"


def breaker_text(row: Sequence[Any]) -> str:
    """Return why a breaker is open, and the command that closes it; a row of BREAKERS."""
    rule, run_id, opened_at, reason = row
    return f"paused by its breaker since {opened_at} (run {run_id}): {reason}; `remedy release {rule} --reason TEXT`"


def insert_intent(connection: sqlite3.Connection, intent: Intent) -> None:
    """
    Record an intent.

    Raises:
        StateError: the execution has one already, or is not in the run's plan as
            the intent says, or has ended there.
    """
    how = (intent.script_sha256, utc_text(intent.at), intent.deadline_s, intent.boot_id)
    which = (intent.run_id, intent.execution_id, intent.rule, intent.host, key_json(intent.key))
    try:
        inserted = connection.execute(_INSERT_INTENT, (*how, *which)).rowcount
    except sqlite3.IntegrityError as exc:
        raise StateError(f"execution {intent.execution_id} was started before; it is not started again") from exc
    if not inserted:
        raise StateError(f"execution {intent.execution_id} is not pending in run {intent.run_id}; it is not started")


def has_intent(connection: sqlite3.Connection, run_id: str, execution_id: str) -> bool:
    """Say whether an execution was admitted in this run."""
    found = connection.execute(
        "SELECT 1 FROM intents WHERE execution_id = ? AND run_id = ?", (execution_id, run_id)
    ).fetchone()
    return found is not None


def set_outcome(
    connection: sqlite3.Connection, run_id: str, execution_id: str, ended: tuple[str, str, str]
) -> str | None:
    """Record time, outcome and reason; return the outcome that was there already (nothing is changed then)."""
    changed = connection.execute(
        "UPDATE executions SET outcome_at = ?, outcome = ?, reason = ?"
        " WHERE run_id = ? AND execution_id = ? AND outcome IS NULL",
        (*ended, run_id, execution_id),
    ).rowcount
    if changed:
        return None
    row = connection.execute(
        "SELECT outcome FROM executions WHERE run_id = ? AND execution_id = ?", (run_id, execution_id)
    ).fetchone()
    if row is None:
        raise StateError(f"execution {execution_id} is not in the plan of run {run_id}")
    return str(row[0])


def read_attempts(connection: sqlite3.Connection, rule: str, host: str, key: Key) -> tuple[Attempt, ...]:
    """Return the attempts of an incident since its last release, in the order of admission."""
    return tuple(attempt_of_row(row) for row in connection.execute(_ATTEMPTS, (rule, host, key_json(key))))


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


def attempt_of_row(row: Sequence[Any]) -> Attempt:
    """
    Return an attempt; a row of ATTEMPTS_OF without its number.

    Raises:
        OddRow: a value in it is none that remedy writes; and so in all that follow.
    """
    execution_id, run_id, at, script_sha256, outcome = row
    with _row_of(f"execution {execution_id}"):
        return Attempt(
            execution_id=execution_id,
            run_id=run_id,
            at=_time(at),
            script_sha256=script_sha256,
            outcome=_outcome(outcome),
        )


def last_outcome_of_row(row: Sequence[Any]) -> tuple[str, Outcome]:
    """Return a host and how its last attempt ended; a row of LAST_OUTCOMES."""
    host, ending, outcome, _seq = row
    with _row_of(f"the last attempt on {host}"):
        without = Outcome.LOST if _ending(ending) is None else Outcome.UNVERIFIED
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
    execution_id, rule, host, key, at, ending, exit_code, outcome_at, outcome, reason = row
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
        )
