"""
The statements of the ledger on a connection, in whoever's transaction; rows become values here.

Nothing here commits or takes a lock: that is ledger.py's.
"""

import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from remedy.errors import StateError
from remedy.gate import NOT_USED, LedgerFacts, Request, Usage
from remedy.holds import Attempt, Pause, PauseOf
from remedy.limits import Budget
from remedy.model import Execution, Outcome
from remedy.state.ledger_rows import (
    Intent,
    OutcomeRow,
    ResultRow,
    RunRow,
    attempt_of_row,
    known_outcome,
    pause_of_row,
)
from remedy.state.values import key_json, utc_text

__all__ = [
    "ATTEMPTS_OF",
    "BREAKERS",
    "EXECUTIONS",
    "LAST_OUTCOMES",
    "OPEN_INTENTS",
    "RUNS",
    "UNBRAKED",
    "FactsRead",
    "breaker_text",
    "end_pause",
    "end_run",
    "hosts_started_query",
    "insert_breaker",
    "insert_intent",
    "insert_pause",
    "insert_reconciliation",
    "insert_release",
    "insert_run",
    "read_attempts",
    "read_pauses",
    "set_outcome",
    "set_outcomes",
    "set_results",
]

_NOTHING_STARTED = frozenset({Outcome.SKIPPED, Outcome.UNREACHABLE, Outcome.REFUSED})

# CROSS JOIN keeps SQLite to the order that is written: the few rows first, the long history by its index.
_ATTEMPTS = """
    SELECT i.execution_id, i.run_id, i.at, i.script_sha256, e.outcome, EXISTS (
        SELECT 1 FROM reconciliations AS r WHERE r.execution_id = i.execution_id AND r.proves_end = 1
    )
    FROM intents AS i JOIN executions AS e USING (run_id, execution_id)
    WHERE i.rule = ? AND i.host = ? AND i.key = ? AND i.released_by IS NULL
    ORDER BY i.seq
"""
ATTEMPTS_OF = """
    WITH wanted (number, rule, host, key) AS (VALUES {})
    SELECT w.number, i.execution_id, i.run_id, i.at, i.script_sha256, e.outcome, EXISTS (
        SELECT 1 FROM reconciliations AS r WHERE r.execution_id = i.execution_id AND r.proves_end = 1
    )
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
# What was tried and touched nothing (a hold file, a host that was gone) leaves what was known before. A host
# that refused before there was an intent was bad nevertheless. The order is that of runs, never of clocks.
LAST_OUTCOMES = """
    WITH tried AS (
        SELECT i.host, i.ending, e.outcome, r.seq AS run, i.seq AS intent
        FROM intents AS i JOIN executions AS e USING (run_id, execution_id) JOIN runs AS r ON r.id = i.run_id
        WHERE i.rule = ?1 AND (e.outcome IS NULL OR e.outcome NOT IN ('skipped', 'unreachable'))
        UNION ALL
        SELECT e.host, NULL, e.outcome, r.seq, 0
        FROM executions AS e JOIN runs AS r ON r.id = e.run_id
        WHERE e.rule = ?1 AND e.outcome = 'refused'
    ), counted AS (
        SELECT *, row_number() OVER (PARTITION BY host ORDER BY run DESC, intent DESC) AS place FROM tried
    )
    SELECT host, ending, outcome FROM counted WHERE place = 1
"""
# Of a run without an end, living or dead: bad outcomes that no breaker of that run and no release answered.
UNBRAKED = """
    SELECT DISTINCT e.run_id, e.rule
    FROM runs AS r JOIN executions AS e ON e.run_id = r.id
    WHERE r.ended_at IS NULL AND e.outcome IN ({})
        AND NOT EXISTS (SELECT 1 FROM breakers AS b WHERE b.run_id = e.run_id AND b.rule = e.rule)
        AND NOT EXISTS (
            SELECT 1 FROM releases AS x WHERE x.rule = e.rule AND x.host IS NULL AND x.at >= e.outcome_at
        )
    ORDER BY r.seq, e.rule
"""
_RELEASE_INTENTS = """
    UPDATE intents SET released_by = ?
    WHERE rule = ? AND host = ? AND released_by IS NULL AND EXISTS (
        SELECT 1 FROM executions AS e
        WHERE e.run_id = intents.run_id AND e.execution_id = intents.execution_id AND e.outcome IS NOT NULL
    )
    RETURNING key
"""
EXECUTIONS = """
    SELECT e.execution_id, e.rule, e.host, e.key, i.at, i.ending, i.exit_code, e.outcome_at, e.outcome, e.reason, (
        SELECT r.found FROM reconciliations AS r WHERE r.execution_id = i.execution_id ORDER BY r.seq DESC LIMIT 1
    )
    FROM executions AS e LEFT JOIN intents AS i USING (run_id, execution_id)
    WHERE e.run_id = ?
    ORDER BY e.position
"""
RUNS = "SELECT id, started_at, actor, command, plan_digest, ended_at, exit_code FROM runs"
_PAUSES = "SELECT kind, name, reason, actor, at, until FROM pauses WHERE ended_at IS NULL ORDER BY seq"
BREAKERS = "SELECT rule, run_id, opened_at, reason FROM breakers WHERE closed_by IS NULL"
_SET_OUTCOME = """
    UPDATE executions SET outcome_at = ?, outcome = ?, reason = ?
    WHERE run_id = ? AND execution_id = ? AND outcome IS NULL AND (? OR EXISTS (
        SELECT 1 FROM intents AS i WHERE i.run_id = executions.run_id AND i.execution_id = executions.execution_id
    ))
"""
_INSERT_INTENT = """
    INSERT INTO intents (script_sha256, at, deadline_s, boot_id, run_id, execution_id, rule, host, key)
    SELECT ?, ?, ?, ?, run_id, execution_id, rule, host, key FROM executions
    WHERE run_id = ? AND execution_id = ? AND rule = ? AND host = ? AND key = ? AND outcome IS NULL
"""


# Intents dated after now count too: a clock that went back must refill nothing.
# The plus keeps SQLite from the index by incidents, which would read a rule's whole history.
_USED = "SELECT count(DISTINCT host), coalesce(max(host = ?), 0) FROM intents WHERE at > ?"
_USED_BY_RULE = f"{_USED} AND +rule = ?"


def hosts_started_query(since: str, rule: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the statement, and its values, that count the hosts of the intents after a time (of a rule)."""
    counted = "SELECT count(DISTINCT host) FROM intents WHERE at > ?"
    return (counted, (since,)) if rule is None else (f"{counted} AND +rule = ?", (since, rule))


def _usage(connection: sqlite3.Connection, request: Request, budget: Budget | None, *, of_rule: bool) -> Usage:
    """Return how much of a budget is used; of no budget nothing is asked."""
    if budget is None:
        return NOT_USED
    since = utc_text(request.now - timedelta(seconds=budget.window_s))
    asked = (_USED_BY_RULE, (request.host, since, request.rule)) if of_rule else (_USED, (request.host, since))
    hosts, has_host = connection.execute(*asked).fetchone()
    return Usage(hosts=hosts, has_host=bool(has_host))


class FactsRead:
    """
    What the gate must know, read inside one transaction that may write.

    Pauses and breakers are read once: nobody else can change them meanwhile, and
    no grant does.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._pauses = read_pauses(connection)
        self._breakers = {row[0]: breaker_text(row) for row in connection.execute(BREAKERS)}

    def of(self, request: Request, run_id: str, key: str) -> LedgerFacts:
        """Return the facts of a request of this run; `key` is its key as the ledger has it."""
        connection = self._connection
        known = connection.execute("SELECT 1 FROM intents WHERE execution_id = ?", (request.execution_id,)).fetchone()
        busy = connection.execute(_HOST_BUSY, (request.host, run_id)).fetchone()
        return LedgerFacts(
            attempts=read_attempts(connection, request.rule, request.host, key),
            known_id=known is not None,
            open_breaker=self._breakers.get(request.rule, ""),
            host_busy=_busy_text(busy) if busy else "",
            pauses=self._pauses,
            rule_usage=_usage(connection, request, request.per_rule, of_rule=True),
            all_usage=_usage(connection, request, request.all_rules, of_rule=False),
        )


def read_pauses(connection: sqlite3.Connection) -> tuple[Pause, ...]:
    """Return people's pauses that were not ended, oldest first; one whose time has run out is among them."""
    return tuple(pause_of_row(row) for row in connection.execute(_PAUSES))


def _busy_text(row: Sequence[Any]) -> str:
    execution_id, run_id, at, deadline_s = row
    return f"run {run_id} started {execution_id} there at {at} (deadline {deadline_s}s), and its end is not known"


def breaker_text(row: Sequence[Any]) -> str:
    """Return why a breaker is open, and the command that closes it; a row of BREAKERS."""
    rule, run_id, opened_at, reason = row
    return f"paused by its breaker since {opened_at} (run {run_id}): {reason}; `remedy release {rule} --reason TEXT`"


def insert_run(connection: sqlite3.Connection, run: RunRow, planned: Sequence[Execution]) -> None:
    """
    Record a run and the executions of its plan, in the plan's order.

    Raises:
        StateError: the run is there already.
    """
    if connection.execute("SELECT 1 FROM runs WHERE id = ?", (run.id,)).fetchone():
        raise StateError(f"run {run.id} is in the ledger already")
    connection.execute(
        "INSERT INTO runs (id, started_at, actor, command, plan_digest) VALUES (?, ?, ?, ?, ?)",
        (run.id, utc_text(run.started_at), run.actor, run.command, run.plan_digest),
    )
    connection.executemany(
        "INSERT INTO executions (run_id, execution_id, position, rule, host, key) VALUES (?, ?, ?, ?, ?, ?)",
        ((run.id, e.id, number, e.rule, e.host, key_json(e.key)) for number, e in enumerate(planned)),
    )


def end_run(connection: sqlite3.Connection, run_id: str, ended: tuple[str, int]) -> bool:
    """
    Record time and exit code of a run's end; False when it has ended already.

    Raises:
        StateError: there is no such run.
    """
    query = "UPDATE runs SET ended_at = ?, exit_code = ? WHERE id = ? AND ended_at IS NULL"
    if connection.execute(query, (*ended, run_id)).rowcount:
        return True
    if connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone() is None:
        raise StateError(f"run {run_id} never began")
    return False


def insert_intent(connection: sqlite3.Connection, intent: Intent, key: str) -> None:
    """
    Record an intent; `key` is its key as the ledger has it.

    Raises:
        StateError: the execution has one already, or is not in the run's plan as
            the intent says, or has ended there.
    """
    how = (intent.script_sha256, utc_text(intent.at), intent.deadline_s, intent.boot_id)
    which = (intent.run_id, intent.execution_id, intent.rule, intent.host, key)
    try:
        inserted = connection.execute(_INSERT_INTENT, (*how, *which)).rowcount
    except sqlite3.IntegrityError as exc:
        raise StateError(f"execution {intent.execution_id} was started before; it is not started again") from exc
    if not inserted:
        raise StateError(f"execution {intent.execution_id} is not pending in run {intent.run_id}; it is not started")


def set_results(connection: sqlite3.Connection, rows: Sequence[ResultRow]) -> tuple[StateError | None, ...]:
    """Record results; return what contradicts each, if anything: that one is not recorded. The same again is none."""
    changed = connection.executemany(
        "UPDATE intents SET result_at = ?, ending = ?, exit_code = ? WHERE execution_id = ? AND ending IS NULL",
        [(utc_text(row.at), row.ending.value, row.exit_code, row.execution_id) for row in rows],
    ).rowcount
    if changed == len(rows):
        return (None,) * len(rows)
    return tuple(_other_result(connection, row) for row in rows)


def _other_result(connection: sqlite3.Connection, row: ResultRow) -> StateError | None:
    """Return what contradicts a result, if the intent has not got it."""
    known = connection.execute(
        "SELECT ending, exit_code FROM intents WHERE execution_id = ?", (row.execution_id,)
    ).fetchone()
    if known is None:
        return StateError(f"execution {row.execution_id} has a result and no intent")
    if known != (row.ending.value, row.exit_code):
        said = f"has the result {known[0]} already, and now {row.ending.value}"
        return StateError(f"execution {row.execution_id} {said}")
    return None


def set_outcomes(connection: sqlite3.Connection, rows: Sequence[OutcomeRow]) -> tuple[StateError | None, ...]:
    """Record outcomes; return what contradicts each, if anything: that one is not recorded. The same again is none."""
    if _set_outcomes(connection, rows) == len(rows):
        return (None,) * len(rows)
    return tuple(_other_outcome(connection, row) for row in rows)


def _set_outcomes(connection: sqlite3.Connection, rows: Sequence[OutcomeRow]) -> int:
    """Record the outcomes of those that may have one and have none; return how many that were."""
    return connection.executemany(
        _SET_OUTCOME,
        [
            (
                utc_text(row.at),
                row.outcome.value,
                row.reason,
                row.run_id,
                row.execution_id,
                row.outcome in _NOTHING_STARTED,
            )
            for row in rows
        ],
    ).rowcount


def _other_outcome(connection: sqlite3.Connection, row: OutcomeRow) -> StateError | None:
    """Return what contradicts an outcome, if the execution has not got it."""
    try:
        known = _known_outcome(connection, row)
    except StateError as exc:
        return exc
    if known is row.outcome:
        return None
    said = f"ended as {known.value} already, and now as {row.outcome.value}"
    return StateError(f"execution {row.execution_id} {said}")


def set_outcome(connection: sqlite3.Connection, row: OutcomeRow) -> Outcome | None:
    """
    Record an outcome, once. Return the outcome that was there already.

    Raises:
        StateError: the execution is not in the run's plan, or the outcome says that
            it was started and it has no intent in this run; nothing is changed.
    """
    return None if _set_outcomes(connection, [row]) else _known_outcome(connection, row)


def _known_outcome(connection: sqlite3.Connection, row: OutcomeRow) -> Outcome:
    """
    Return the outcome that an execution has already.

    Raises:
        StateError: it has none, and may not have this one.
    """
    known = connection.execute(
        "SELECT outcome FROM executions WHERE run_id = ? AND execution_id = ?", (row.run_id, row.execution_id)
    ).fetchone()
    if known is None:
        raise StateError(f"execution {row.execution_id} is not in the plan of run {row.run_id}")
    if known[0] is None:
        said = f"ended as {row.outcome.value} and has no intent in run {row.run_id}"
        raise StateError(f"execution {row.execution_id} {said}")
    return known_outcome(row.execution_id, known[0])


def read_attempts(connection: sqlite3.Connection, rule: str, host: str, key: str) -> tuple[Attempt, ...]:
    """Return the attempts of an incident since its last release, in the order of admission."""
    return tuple(attempt_of_row(row) for row in connection.execute(_ATTEMPTS, (rule, host, key)))


def insert_reconciliation(
    connection: sqlite3.Connection, execution_id: str, run_id: str, said: tuple[str, str, int | None, bool, str, str]
) -> None:
    """
    Record what was found (time, what, exit code, whether it proves the end, reason, actor).

    Raises:
        StateError: there is no such intent.
    """
    if connection.execute("SELECT 1 FROM intents WHERE execution_id = ?", (execution_id,)).fetchone() is None:
        raise StateError(f"execution {execution_id} has no intent; there is nothing to reconcile")
    connection.execute(
        "INSERT INTO reconciliations (execution_id, run_id, at, found, exit_code, proves_end, reason, actor)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (execution_id, run_id, *said),
    )


def insert_release(connection: sqlite3.Connection, rule: str, host: str | None, said: tuple[str, str, str]) -> int:
    """Record a release (time, reason, actor); return how many incidents, or breakers (host None), it released."""
    at, reason, actor = said
    release_seq = connection.execute(
        "INSERT INTO releases (rule, host, at, reason, actor) VALUES (?, ?, ?, ?, ?)", (rule, host, at, reason, actor)
    ).lastrowid
    if host is None:
        query = "UPDATE breakers SET closed_by = ? WHERE rule = ? AND closed_by IS NULL"
        return connection.execute(query, (release_seq, rule)).rowcount
    return len(set(connection.execute(_RELEASE_INTENTS, (release_seq, rule, host)).fetchall()))


def insert_breaker(connection: sqlite3.Connection, rule: str, run_id: str, said: tuple[str, str]) -> bool:
    """Record an open breaker (time, reason); False when it is open already."""
    query = "INSERT INTO breakers (rule, run_id, opened_at, reason) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
    return bool(connection.execute(query, (rule, run_id, *said)).rowcount)


def insert_pause(connection: sqlite3.Connection, pause: Pause) -> None:
    """Record a pause; the same thing must not be paused already."""
    until = None if pause.until is None else utc_text(pause.until)
    connection.execute(
        "INSERT INTO pauses (kind, name, at, until, reason, actor) VALUES (?, ?, ?, ?, ?, ?)",
        (pause.of.value, pause.name, utc_text(pause.at), until, pause.reason, pause.actor),
    )


def end_pause(connection: sqlite3.Connection, of: PauseOf, name: str, said: tuple[str, str, str]) -> bool:
    """Record the end of a pause (time, actor, reason); False when there is none."""
    ended = connection.execute(
        "UPDATE pauses SET ended_at = ?, ended_by = ?, end_reason = ? WHERE kind = ? AND name = ? AND ended_at IS NULL",
        (*said, of.value, name),
    )
    return bool(ended.rowcount)
