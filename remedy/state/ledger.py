"""
The ledger: what happened, for decisions. SQLite, many processes, short transactions.

A live run begins with its plan's executions, admits them (the intent is durable
before anything is sent), records results and outcomes, and ends. The order of
attempts is the order in which they were admitted, whatever the clocks said.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from remedy.errors import StateError
from remedy.gate import LedgerFacts, Refusal, Request
from remedy.holds import Pause, PauseOf
from remedy.model import Execution, Outcome
from remedy.port import FixEnding, Permit
from remedy.state.ledger_reading import LedgerReading
from remedy.state.ledger_rows import (
    Intent,
    OutcomeRow,
    ResultRow,
    RunRow,
    outcome_when_dead,
)
from remedy.state.ledger_schema import lacks_room, sqlite_errors, transaction
from remedy.state.ledger_sql import (
    FactsRead,
    end_pause,
    end_run,
    insert_breaker,
    insert_intent,
    insert_pause,
    insert_reconciliation,
    insert_release,
    insert_run,
    set_outcome,
    set_outcomes,
    set_results,
)
from remedy.state.values import key_json, utc_text

__all__ = ["Ledger", "raise_first"]

_T = TypeVar("_T")


class Ledger(LedgerReading):
    """
    One connection to the ledger, for all threads of a process; other processes have theirs.

    Every method raises StateError when the ledger cannot be read or written. When
    there is no room on the disk, what records or holds back is tried once more after
    `free_reserve` gave up the room that was set aside; nothing is admitted from then on.
    """

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sqlite_errors(self._path), transaction(self._connection):
            yield self._connection

    def _recording(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do a work in a transaction; for want of room once more, when the reserve was given up."""
        try:
            with self._writing() as connection:
                return work(connection)
        except StateError as exc:
            if not lacks_room(exc):
                raise
            self._full = True
            try:
                self._free_reserve()
            except OSError as error:
                raise StateError(f"{exc}; and the reserve cannot be freed: {error.strerror}") from exc
        with self._writing() as connection:
            return work(connection)

    # Runs

    def begin_run(self, run: RunRow, planned: Sequence[Execution] = ()) -> None:
        """
        Record a run and every execution of its plan, in the plan's order.

        Only what is recorded here can be admitted or have an outcome in this run.

        Raises:
            StateError: the run, or an execution of it, is there already.
        """
        with self._writing() as connection:
            insert_run(connection, run, planned)

    def end_run(self, run_id: str, ended_at: datetime, exit_code: int) -> None:
        """
        Record how a run ended.

        Raises:
            StateError: there is no such run, or it has ended already.
        """
        if not self.close_run(run_id, ended_at, exit_code):
            raise StateError(f"run {run_id} has ended already")

    def close_run(self, run_id: str, at: datetime, exit_code: int) -> bool:
        """
        Record the end of a dead run in its stead; False when it has ended by now.

        Raises:
            StateError: there is no such run.
        """
        return self._recording(lambda connection: end_run(connection, run_id, (utc_text(at), exit_code)))

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
            StateError: the ledger cannot be written, there was no room on the disk once
                (what room was set aside is for what is in flight), or an execution was
                not in the run's plan.
            ValueError: an intent is not that of its request.
        """
        answers: list[Permit | Refusal] = []
        granted: list[Intent] = []
        try:
            with self._writing() as connection:
                if self._full:
                    raise StateError(f"ledger {self._path}: the disk was full; nothing new is started; make room there")
                facts = FactsRead(connection)
                for request, intent in requests:
                    _check_pair(request, intent)
                    key = key_json(intent.key)
                    answer = decide(request, facts.of(request, intent.run_id, key))
                    if isinstance(answer, Permit):
                        insert_intent(connection, intent, key)
                        granted.append(intent)
                    answers.append(answer)
                if granted:
                    sync_intents(tuple(granted))
        except StateError as exc:
            self._full = self._full or lacks_room(exc)
            raise
        return tuple(answers)

    def record_result(self, execution_id: str, at: datetime, ending: FixEnding, exit_code: int | None) -> None:
        """
        Record how the run of an admitted fix ended; the same again changes nothing.

        Raises:
            StateError: it was never admitted, or has another result.
        """
        row = ResultRow(execution_id=execution_id, at=at, ending=ending, exit_code=exit_code)
        raise_first(self.record_results([row]))

    def record_results(self, batch: Sequence[ResultRow]) -> tuple[StateError | None, ...]:
        """
        Record results in one transaction; say of each, in the order of the batch, what contradicts it, if anything.

        What is contradicted (as in record_result) is not recorded; all others are.

        Raises:
            StateError: the ledger cannot be written; nothing is recorded.
        """
        return self._recording(lambda connection: set_results(connection, batch))

    def record_outcome(
        self, execution_id: str, at: datetime, outcome: Outcome, reason: str = "", *, run_id: str
    ) -> None:
        """
        Record how an execution of a run ended, once; the same outcome again changes nothing.

        Raises:
            StateError: it is not in the run's plan, has another outcome, or the
                outcome says that it was started and it has no intent in this run.
        """
        row = OutcomeRow(run_id=run_id, execution_id=execution_id, at=at, outcome=outcome, reason=reason)
        raise_first(self.record_outcomes([row]))

    def record_outcomes(self, batch: Sequence[OutcomeRow]) -> tuple[StateError | None, ...]:
        """
        Record outcomes in one transaction; say of each, in the order of the batch, what contradicts it, if anything.

        What is contradicted (as in record_outcome) is not recorded; all others are.

        Raises:
            StateError: the ledger cannot be written; nothing is recorded.
        """
        return self._recording(lambda connection: set_outcomes(connection, batch))

    def close_open(self, execution_id: str, outcome: Outcome, at: datetime, reason: str) -> bool:
        """
        Give an intent of a dead run its outcome; False when it has one by now.

        Raises:
            StateError: there is no such intent, or the outcome is not the one that
                OpenIntent.closes_as gives.
        """

        def close(connection: sqlite3.Connection) -> bool:
            row = connection.execute(
                "SELECT run_id, ending FROM intents WHERE execution_id = ?", (execution_id,)
            ).fetchone()
            if row is None:
                raise StateError(f"execution {execution_id} has no intent")
            run_id, ending = row
            if outcome is not outcome_when_dead(None if ending is None else FixEnding(ending)):
                raise StateError(f"execution {execution_id} cannot be closed as {outcome.value}")
            ended = OutcomeRow(run_id=run_id, execution_id=execution_id, at=at, outcome=outcome, reason=reason)
            return set_outcome(connection, ended) is None

        return self._recording(close)

    def reconcile(
        self,
        execution_id: str,
        *,
        run_id: str,
        at: datetime,
        found: str,
        exit_code: int | None,
        proves_end: bool,
        reason: str,
        actor: str,
    ) -> None:
        """
        Record what a host's marker said of an execution whose end was not seen; its outcome stays.

        `run_id` is the run that asked the host. Once one of them proves the end, the
        attempt counts as reconciled, whatever is found later.

        Raises:
            StateError: there is no such intent, or `found` is ''.
        """
        said = (utc_text(at), found, exit_code, proves_end, reason, actor)
        self._recording(lambda connection: insert_reconciliation(connection, execution_id, run_id, said))

    # Brakes

    def release(self, rule: str, host: str | None, at: datetime, reason: str, actor: str) -> int:
        """
        End the quarantine of a rule's incidents on a host, or (host None) close the rule's breaker.

        Returns how many incidents had attempts to forget, or whether a breaker was
        open. An attempt without an outcome is not forgotten: its end may yet be `lost`.
        No budget gets anything back.
        """
        said = (utc_text(at), reason, actor)
        return self._recording(lambda connection: insert_release(connection, rule, host, said))

    def open_breaker(self, rule: str, run_id: str, at: datetime, reason: str) -> bool:
        """Open the breaker of a rule; False, and nothing changed, when it is open already."""
        return self._recording(lambda connection: insert_breaker(connection, rule, run_id, (utc_text(at), reason)))

    def pause(self, pause: Pause) -> bool:
        """
        Record a person's pause; False when the same thing is paused already, which is then replaced.

        The one it replaces is ended by its actor, so that its reason stays known;
        also one whose time had run out, for nobody ended it.
        """

        def replace(connection: sqlite3.Connection) -> bool:
            said = (utc_text(pause.at), pause.actor, "replaced")
            replaced = end_pause(connection, pause.of, pause.name, said)
            insert_pause(connection, pause)
            return not replaced

        return self._recording(replace)

    def unpause(self, of: PauseOf, name: str, *, at: datetime, actor: str, reason: str) -> bool:
        """End a person's pause; False when there is none."""
        return self._recording(lambda connection: end_pause(connection, of, name, (utc_text(at), actor, reason)))


def _check_pair(request: Request, intent: Intent) -> None:
    asked = (request.execution_id, request.rule, request.host, request.key, request.script_sha256)
    if asked != (intent.execution_id, intent.rule, intent.host, intent.key, intent.script_sha256):
        raise ValueError(f"the intent of {intent.execution_id} is not that of the request {request.execution_id}")


def raise_first(contradictions: Iterable[StateError | None]) -> None:
    """
    Raise the first of what contradicts a batch, if anything does.

    Raises:
        StateError: that one.
    """
    for contradiction in contradictions:
        if contradiction is not None:
            raise contradiction
