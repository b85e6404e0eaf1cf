"""Planted bugs: what a run or a resume might do wrong, so that it can be seen that the trials notice."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from remedy.errors import StateError
from remedy.gate import Refusal, Request
from remedy.port import Permit
from remedy.run.evidence import Evidence
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import Intent, OpenIntent
from remedy.state.values import utc_text

__all__ = ["PLANTED", "RESUME_FORGETS", "plant"]


class _TakenBack(StateError):
    """Ends a transaction whose answers are used all the same."""


def _intent_after_the_fix(*, audit_in_time: bool) -> None:
    """Grant permits in a transaction that is taken back, and make it up for with the results."""
    admit, record_results = Ledger.admit, Ledger.record_results
    owed: list[Callable[[], object]] = []

    def admit_and_take_back(
        self: Ledger,
        requests: Sequence[tuple[Request, Intent]],
        *,
        decide: Callable[..., Permit | Refusal],
        sync_intents: Callable[[Sequence[Intent]], None],
    ) -> tuple[Permit | Refusal, ...]:
        answers: list[Permit | Refusal] = []

        def decide_and_keep(*asked: Any) -> Permit | Refusal:
            answers.append(decide(*asked))
            return answers[-1]

        def take_back(intents: Sequence[Intent]) -> None:
            if audit_in_time:
                sync_intents(intents)
            raise _TakenBack("planted")

        try:
            admit(self, requests, decide=decide_and_keep, sync_intents=take_back)
        except _TakenBack:
            given = iter(answers)
            late = (lambda _intents: None) if audit_in_time else sync_intents
            owed.append(partial(admit, self, requests, decide=lambda *_: next(given), sync_intents=late))
        return tuple(answers)

    def record_what_is_owed(self: Ledger, batch: Any) -> Any:
        while owed:
            owed.pop()()
        return record_results(self, batch)

    Ledger.admit = admit_and_take_back  # type: ignore[method-assign]
    Ledger.record_results = record_what_is_owed  # type: ignore[method-assign]


def _resume_forgets() -> None:
    """Have resume take what a dead run left open for what was never started."""

    def forget(self: Evidence, opened: OpenIntent) -> None:
        execution_id = opened.intent.execution_id
        with self._ledger._writing() as connection:
            connection.execute("DELETE FROM intents WHERE execution_id = ?", (execution_id,))
            connection.execute(
                "UPDATE executions SET outcome = 'skipped', outcome_at = ?, reason = '' WHERE execution_id = ?",
                (utc_text(self._clock()), execution_id),
            )

    Evidence.close_dead = forget  # type: ignore[method-assign]


RESUME_FORGETS = "resume-forgets"

PLANTED: Mapping[str, Callable[[], None]] = {
    "intent-after-the-fix": partial(_intent_after_the_fix, audit_in_time=False),
    "intent-in-the-audit-log-only": partial(_intent_after_the_fix, audit_in_time=True),
    RESUME_FORGETS: _resume_forgets,
}
"""By name; `resume-forgets` goes into the process that resumes, all others into the one that is killed."""


def plant(name: str) -> None:
    """Plant a bug in this process, none for ''; there is no way back."""
    if name:
        PLANTED[name]()
