"""
The ledger: what happened, for decisions. SQLite, many processes, short transactions.

A live run begins with its plan's executions, admits them (the intent is durable
before anything is sent), records results and outcomes, and ends. The order of
attempts is the order in which they were admitted, whatever the clocks said.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self

from remedy.errors import StateError
from remedy.gate import Attempt, LedgerFacts, Refusal, Request
from remedy.model import Execution, Key, Outcome
from remedy.port import FixEnding, Permit
from remedy.state.ledger_rows import Incident, Intent, OpenIntent, RunRecord, RunRow, RunSummary
from remedy.state.ledger_schema import copy_ledger, open_ledger, sqlite_errors, transaction
from remedy.state.ledger_sql import (
    ATTEMPTS_OF,
    BREAKERS,
    EXECUTIONS,
    LAST_OUTCOMES,
    OPEN_INTENTS,
    RELEASE_INTENTS,
    RUNS,
    attempt_of_row,
    breaker_text,
    execution_of_row,
    has_intent,
    insert_intent,
    last_outcome_of_row,
    open_intent_of_row,
    read_attempts,
    read_facts,
    set_outcome,
    summary_of_row,
)
from remedy.state.values import key_json, utc_text

__all__ = ["Ledger"]

_INCIDENTS_PER_QUERY = 1_000
_NOTHING_STARTED = frozenset({Outcome.SKIPPED, Outcome.UNREACHABLE, Outcome.REFUSED})


class Ledger:
    """
    One connection to the ledger, for all threads of a process; other processes have theirs.

    Every method raises StateError when the ledger cannot be read or written.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        # Re-entrant: what admit calls inside its transaction may read.
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """
        Open the ledger, creating or migrating it.

        Raises:
            StateError: it cannot be used, is damaged, or is no ledger; never taken for an empty one.
        """
        return cls(open_ledger(path), path)

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

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sqlite_errors(self._path), transaction(self._connection):
            yield self._connection

    # Runs

    def begin_run(self, run: RunRow, planned: Sequence[Execution] = ()) -> None:
        """
        Record a run and every execution of its plan, in the plan's order.

        Only what is recorded here can be admitted or have an outcome in this run.

        Raises:
            StateError: the run, or an execution of it, is there already.
        """
        with self._writing() as connection:
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

    def end_run(self, run_id: str, ended_at: datetime, exit_code: int) -> None:
        """
        Record how a run ended.

        Raises:
            StateError: there is no such run, or it has ended already.
        """
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE runs SET ended_at = ?, exit_code = ? WHERE id = ? AND ended_at IS NULL",
                (utc_text(ended_at), exit_code, run_id),
            ).rowcount
            if not changed:
                raise StateError(f"run {run_id} has ended already, or never began")

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
            return read_attempts(connection, rule, host, key)

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

        One that has no outcome yet counts as `lost`, or as `unverified` when its
        result is known.
        """
        with self._reading() as connection:
            rows = connection.execute(LAST_OUTCOMES, (rule,)).fetchall()
            return dict(last_outcome_of_row(row) for row in rows)

    # Admission

    def admit(
        self,
        requests: Sequence[tuple[Request, Intent]],
        *,
        decide: Callable[[Request, LedgerFacts], Permit | Refusal],
        sync_intents: Callable[[Sequence[Intent]], None],
    ) -> tuple[Permit | Refusal, ...]:
        """
        Decide a batch of requests in one immediate transaction; the answers are in its order.

        Each request is decided on facts that include the grants before it. Then
        `sync_intents` makes the granted intents durable in the audit log, and only
        then the ledger commits. When anything raises, nothing is granted: no byte
        may be sent, though the audit log may have the intents (which is harmless).

        Raises:
            StateError: the ledger cannot be written, or an execution was not in the run's plan.
            ValueError: an intent is not that of its request.
        """
        answers: list[Permit | Refusal] = []
        granted: list[Intent] = []
        with self._writing() as connection:
            for request, intent in requests:
                _check_pair(request, intent)
                answer = decide(request, read_facts(connection, request, intent.run_id))
                if isinstance(answer, Permit):
                    insert_intent(connection, intent)
                    granted.append(intent)
                answers.append(answer)
            if granted:
                sync_intents(tuple(granted))
        return tuple(answers)

    def record_result(self, execution_id: str, at: datetime, ending: FixEnding, exit_code: int | None) -> None:
        """
        Record how the run of an admitted fix ended; the same again changes nothing.

        Raises:
            StateError: it was never admitted, or has another result.
        """
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE intents SET result_at = ?, ending = ?, exit_code = ? WHERE execution_id = ? AND ending IS NULL",
                (utc_text(at), ending.value, exit_code, execution_id),
            ).rowcount
            if changed:
                return
            row = connection.execute(
                "SELECT ending, exit_code FROM intents WHERE execution_id = ?", (execution_id,)
            ).fetchone()
            if row is None:
                raise StateError(f"execution {execution_id} has a result and no intent")
            if row != (ending.value, exit_code):
                raise StateError(f"execution {execution_id} has the result {row[0]} already, and now {ending.value}")

    def record_outcome(
        self, execution_id: str, at: datetime, outcome: Outcome, reason: str = "", *, run_id: str
    ) -> None:
        """
        Record how an execution of a run ended, once; the same outcome again changes nothing.

        Raises:
            StateError: it is not in the run's plan, has another outcome, or the
                outcome says that it was started and it has no intent in this run.
        """
        with self._writing() as connection:
            if outcome not in _NOTHING_STARTED and not has_intent(connection, run_id, execution_id):
                raise StateError(f"execution {execution_id} ended as {outcome.value} and has no intent in run {run_id}")
            known = set_outcome(connection, run_id, execution_id, (utc_text(at), outcome.value, reason))
            if known is not None and known != outcome.value:
                raise StateError(f"execution {execution_id} ended as {known} already, and now as {outcome.value}")

    def open_intents(self) -> tuple[OpenIntent, ...]:
        """Return the intents without an outcome, of living and of dead runs, oldest first."""
        with self._reading() as connection:
            rows = connection.execute(OPEN_INTENTS).fetchall()
            return tuple(open_intent_of_row(row) for row in rows)

    def close_open(self, execution_id: str, outcome: Outcome, at: datetime, reason: str) -> bool:
        """
        Give an intent of a dead run its outcome; False when it has one by now.

        Raises:
            StateError: there is no such intent, or the outcome is not the one that
                OpenIntent.closes_as gives.
        """
        with self._writing() as connection:
            row = connection.execute(
                "SELECT run_id, ending FROM intents WHERE execution_id = ?", (execution_id,)
            ).fetchone()
            if row is None:
                raise StateError(f"execution {execution_id} has no intent")
            run_id, ending = row
            if outcome is not (Outcome.LOST if ending is None else Outcome.UNVERIFIED):
                raise StateError(f"execution {execution_id} cannot be closed as {outcome.value}")
            return set_outcome(connection, run_id, execution_id, (utc_text(at), outcome.value, reason)) is None

    # Brakes

    def release(self, rule: str, host: str | None, at: datetime, reason: str, actor: str) -> int:
        """
        End the quarantine of a rule's incidents on a host, or (host None) close the rule's breaker.

        Returns how many incidents had attempts to forget, or whether a breaker was
        open. An attempt without an outcome is not forgotten: its end may yet be `lost`.
        """
        with self._writing() as connection:
            release_seq = connection.execute(
                "INSERT INTO releases (rule, host, at, reason, actor) VALUES (?, ?, ?, ?, ?)",
                (rule, host, utc_text(at), reason, actor),
            ).lastrowid
            if host is None:
                return connection.execute(
                    "UPDATE breakers SET closed_by = ? WHERE rule = ? AND closed_by IS NULL", (release_seq, rule)
                ).rowcount
            return len(set(connection.execute(RELEASE_INTENTS, (release_seq, rule, host)).fetchall()))

    def open_breaker(self, rule: str, run_id: str, at: datetime, reason: str) -> bool:
        """Open the breaker of a rule; False, and nothing changed, when it is open already."""
        with self._writing() as connection:
            return bool(
                connection.execute(
                    "INSERT INTO breakers (rule, run_id, opened_at, reason) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (rule, run_id, utc_text(at), reason),
                ).rowcount
            )

    def breakers(self) -> Mapping[str, str]:
        """Return the open breakers: by rule, why it is open and what closes it."""
        with self._reading() as connection:
            rows = connection.execute(f"{BREAKERS} ORDER BY rule").fetchall()
        return {row[0]: breaker_text(row) for row in rows}


def _check_pair(request: Request, intent: Intent) -> None:
    asked = (request.execution_id, request.rule, request.host, request.key, request.script_sha256)
    if asked != (intent.execution_id, intent.rule, intent.host, intent.key, intent.script_sha256):
        raise ValueError(f"the intent of {intent.execution_id} is not that of the request {request.execution_id}")
