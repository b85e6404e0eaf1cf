"""What is asked of the ledger; what writes to it is in ledger.py."""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from remedy.holds import Attempt, Incident, Pause
from remedy.model import Key, Outcome, OutcomeClass
from remedy.port import FixEnding
from remedy.remembered import PastExecution
from remedy.state.ledger_rows import (
    OpenIntent,
    RunRecord,
    RunSummary,
    attempt_of_row,
    execution_of_row,
    last_outcome_of_row,
    open_intent_of_row,
    summary_of_row,
)
from remedy.state.ledger_schema import OddRow, copy_ledger, open_ledger, sqlite_errors
from remedy.state.ledger_sql import (
    ATTEMPTS_OF,
    BREAKERS,
    EXECUTIONS,
    LAST_OUTCOMES,
    OPEN_INTENTS,
    RUNS,
    UNBRAKED,
    breaker_text,
    hosts_started_query,
    read_attempts,
    read_pauses,
)
from remedy.state.values import json_key, key_json, utc_text, utc_time

__all__ = ["LedgerReading"]

_INCIDENTS_PER_QUERY = 1_000
_PAST_EXECUTIONS = """
    SELECT e.rule, e.host, e.key, e.run_id, e.execution_id, r.started_at, i.at, i.deadline_s, i.ending, i.exit_code,
        e.outcome_at, e.outcome, e.reason, x.at,
        (SELECT c.found FROM reconciliations AS c WHERE c.execution_id = i.execution_id ORDER BY c.seq DESC LIMIT 1),
        EXISTS (SELECT 1 FROM reconciliations AS c WHERE c.execution_id = i.execution_id AND c.proves_end = 1)
    FROM executions AS e JOIN runs AS r ON r.id = e.run_id
        LEFT JOIN intents AS i USING (run_id, execution_id) LEFT JOIN releases AS x ON x.seq = i.released_by
    WHERE e.host = ?
    ORDER BY r.seq, e.position
"""
# As budgets count: intents dated after now as well. The plus keeps SQLite from the index by incidents.
_LAST_STARTS = "SELECT host, max(at) FROM intents WHERE at > ?{} GROUP BY host"


def _no_reserve() -> bool:
    return False


class LedgerReading:
    """One connection to the ledger, and what it knows; every method raises StateError when it cannot be read."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, *, free_reserve: Callable[[], bool] = _no_reserve
    ) -> None:
        self._connection = connection
        self._path = path
        self._free_reserve = free_reserve
        self._full = False
        # Re-entrant: what admit calls inside its transaction may read.
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path, *, free_reserve: Callable[[], bool] = _no_reserve) -> Self:
        """
        Open the ledger, creating or migrating it.

        `free_reserve` says whether there was a reserve to give up; it may raise OSError.

        Raises:
            StateError: it cannot be used, is damaged, or is no ledger; never taken for an empty one.
        """
        return cls(open_ledger(path), path, free_reserve=free_reserve)

    @classmethod
    def open_copy(cls, path: Path, directory: Path) -> Self:
        """
        Open a copy of the ledger that is made in `directory`; for dry runs, which write nothing.

        The caller removes the directory after `close`.

        Raises:
            StateError: there is no ledger, or it cannot be read, or is damaged; the
                message names the ledger, not the copy.
        """
        return cls(open_ledger(copy_ledger(path, directory), named=path), path)

    def close(self) -> None:
        """End the connection; may be called twice."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sqlite_errors(self._path):
            yield self._connection

    # Runs

    def runs(self, limit: int) -> tuple[RunSummary, ...]:
        """Return the newest runs, the newest first."""
        with self._reading() as connection:
            rows = connection.execute(f"{RUNS} ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()
            return tuple(summary_of_row(row) for row in rows)

    def run_ids(self) -> frozenset[str]:
        """Return the ids of all runs, however old; each has an audit file, with a record in it."""
        with self._reading() as connection:
            return frozenset(str(row[0]) for row in connection.execute("SELECT id FROM runs"))

    def run(self, run_id: str) -> RunRecord | None:
        """Return a run with every execution of its plan; None when there is no such run."""
        with self._reading() as connection:
            row = connection.execute(f"{RUNS} WHERE id = ?", (run_id,)).fetchone()
            executions = connection.execute(EXECUTIONS, (run_id,)).fetchall()
            if row is None:
                return None
            found = tuple(execution_of_row(each) for each in executions)
            return RunRecord(summary=summary_of_row(row), executions=found)

    # Attempts

    def attempts(self, rule: str, host: str, key: Key) -> tuple[Attempt, ...]:
        """Return the attempts of an incident since its last release, oldest first."""
        with self._reading() as connection:
            return read_attempts(connection, rule, host, key_json(key))

    def attempts_of(self, incidents: Iterable[Incident]) -> Mapping[Incident, tuple[Attempt, ...]]:
        """Return the attempts of many incidents, as `attempts` does; those without any are left out."""
        wanted = list(dict.fromkeys(incidents))
        found: dict[Incident, list[Attempt]] = {}
        with self._reading() as connection:
            for start in range(0, len(wanted), _INCIDENTS_PER_QUERY):
                part = wanted[start : start + _INCIDENTS_PER_QUERY]
                query = ATTEMPTS_OF.format(", ".join(["(?, ?, ?, ?)"] * len(part)))
                values = [
                    value
                    for number, (rule, host, key) in enumerate(part)
                    for value in (number, rule, host, key_json(key))
                ]
                for number, *row in connection.execute(query, values):
                    found.setdefault(part[number], []).append(attempt_of_row(row))
        return {incident: tuple(attempts) for incident, attempts in found.items()}

    def last_outcomes(self, rule: str) -> Mapping[str, Outcome]:
        """
        Return how the last attempt of a rule on each host ended, for the choice of canaries.

        A host that refused before anything was sent counts too; one that was
        skipped or could not be reached is no attempt. One that has no outcome
        yet counts as `lost`, or as `unverified` when its result is known.
        """
        with self._reading() as connection:
            rows = connection.execute(LAST_OUTCOMES, (rule,)).fetchall()
            return dict(last_outcome_of_row(row) for row in rows)

    def host_names(self) -> frozenset[str]:
        """Return the names of all hosts that a run ever planned something for."""
        with self._reading() as connection:
            return frozenset(str(row[0]) for row in connection.execute("SELECT DISTINCT host FROM executions"))

    def past_executions(self, host: str) -> tuple[PastExecution, ...]:
        """Return everything that runs ever planned for a host, the oldest run first, each in its plan's order."""
        with self._reading() as connection:
            return tuple(_past_of_row(row) for row in connection.execute(_PAST_EXECUTIONS, (host,)))

    def last_starts(self, since: datetime, rule: str | None = None) -> Mapping[str, datetime]:
        """Return when something (of a rule) was last started on each host, after a time; what budgets count."""
        query = _LAST_STARTS.format("" if rule is None else " AND +rule = ?")
        values = (utc_text(since),) if rule is None else (utc_text(since), rule)
        with self._reading() as connection:
            return {str(host): utc_time(at) for host, at in connection.execute(query, values)}

    def open_intents(self) -> tuple[OpenIntent, ...]:
        """Return the intents without an outcome, of living and of dead runs, oldest first."""
        with self._reading() as connection:
            rows = connection.execute(OPEN_INTENTS).fetchall()
            return tuple(open_intent_of_row(row) for row in rows)

    # Brakes

    def pauses(self) -> tuple[Pause, ...]:
        """Return people's pauses that were not ended, oldest first; `Pause.is_over` says whose time has run out."""
        with self._reading() as connection:
            return read_pauses(connection)

    def hosts_started(self, since: datetime, rule: str | None = None) -> int:
        """Return on how many distinct hosts something (of a rule) was started after a time; what a budget counts."""
        with self._reading() as connection:
            query, values = hosts_started_query(utc_text(since), rule)
            (hosts,) = connection.execute(query, values).fetchone()
            return int(hosts)

    def unbraked(self) -> Mapping[str, frozenset[str]]:
        """
        Return by run, the oldest first, the rules with bad outcomes in it that nothing has answered yet.

        Only runs without an end, living or dead. What answers is a breaker that was
        opened for that run, closed by now or not, or a release of the rule since.
        """
        bad = [each.value for each in Outcome if each.outcome_class is OutcomeClass.BAD]
        found: dict[str, set[str]] = {}
        with self._reading() as connection:
            for run_id, rule in connection.execute(UNBRAKED.format(", ".join("?" * len(bad))), bad):
                found.setdefault(str(run_id), set()).add(str(rule))
        return {run_id: frozenset(rules) for run_id, rules in found.items()}

    def breakers(self) -> Mapping[str, str]:
        """Return the open breakers: by rule, why it is open and what closes it."""
        with self._reading() as connection:
            rows = connection.execute(f"{BREAKERS} ORDER BY rule").fetchall()
        return {row[0]: breaker_text(row) for row in rows}


def _past_of_row(row: Sequence[Any]) -> PastExecution:
    """
    Return a past execution; a row of _PAST_EXECUTIONS.

    Raises:
        OddRow: it says what remedy does not write.
    """
    rule, host, key, run_id, execution_id, planned_at, at, deadline_s, ending, exit_code, *rest = row
    outcome_at, outcome, reason, released_at, found, is_proved = rest
    try:
        return PastExecution(
            rule=rule,
            host=host,
            key=json_key(key),
            run_id=run_id,
            execution_id=execution_id,
            planned_at=utc_time(planned_at),
            started_at=None if at is None else utc_time(at),
            deadline_s=deadline_s or 0,
            ending=None if ending is None else FixEnding(ending),
            exit_code=exit_code,
            outcome_at=None if outcome_at is None else utc_time(outcome_at),
            outcome=None if outcome is None else Outcome(outcome),
            reason=reason or "",
            released_at=None if released_at is None else utc_time(released_at),
            reconciled=found or "",
            end_proved=bool(is_proved),
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as exc:
        raise OddRow(f"execution {execution_id} has a value that remedy does not write: {exc}") from exc
