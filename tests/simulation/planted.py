"""
Planted bugs: small patches of production code, each of which the suite must catch.

Tests of the tests: a simulator that catches none of these proves nothing. Removing
a check of the gate is a planted bug too.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import remedy.gate
import remedy.holds
import remedy.outcomes
import remedy.planning
import remedy.rollout
import remedy.run.evidence
import remedy.run.host_work
import remedy.run.recovery
import remedy.run.so_far
import remedy.state.ledger
from remedy.gate import CHECKS, NOT_USED, LedgerFacts, Refusal, Request, Usage
from remedy.model import Outcome, OutcomeClass, Skip, Verdict
from remedy.outcomes import Ended
from remedy.rollout import Rollout
from remedy.run.collect import target_of
from remedy.run.evidence import Evidence
from remedy.run.so_far import RunSoFar
from remedy.state.audit import AuditLog
from remedy.state.audit_format import AuditType
from remedy.state.ledger import Ledger
from remedy.state.ledger_sql import FactsRead
from remedy.state.values import utc_text
from remedy.waves import Places

__all__ = ["PLANTED", "planted", "without_check"]

_Patch = tuple[object, str, object]

_append_all = AuditLog.append_all
_admit = Ledger.admit
_count = Rollout._count
_facts_of = FactsRead.of
_incident_hold = remedy.holds.incident_hold
_resolved_spec = remedy.planning.resolved_spec
_outcome_of_verification = remedy.outcomes.outcome_of_verification
_history_of = remedy.run.recovery.history_of
_stop_reason = RunSoFar.stop_reason
_record_outcomes = Evidence._record_outcomes
_target = Places.target


def _forget_dead(self: Any, opened: Any) -> None:
    """Close what a dead run left open as if it had never been started."""
    with self._ledger._writing() as connection:
        connection.execute("DELETE FROM intents WHERE execution_id = ?", (opened.intent.execution_id,))
        connection.execute(
            "UPDATE executions SET outcome = 'skipped', outcome_at = ?, reason = '' WHERE execution_id = ?",
            (utc_text(self._clock()), opened.intent.execution_id),
        )


def _unsynced(self: Any, records: Any, *, sync: bool = False) -> None:
    kept = list(records)
    _append_all(self, kept, sync=sync and all(kind is not AuditType.EXECUTION_INTENT for kind, _ in kept))


def _commit_first(self: Any, requests: Any, *, decide: Any, sync_intents: Any) -> Any:
    granted: list[Any] = []
    answers = _admit(self, requests, decide=decide, sync_intents=granted.extend)
    if granted:
        sync_intents(granted)
    return answers


def _no_soak(*arguments: Any, **more: Any) -> Any:
    return replace(_resolved_spec(*arguments, **more), soak_s=0)


def _any_platform(self: Any, confirmed: set[str]) -> tuple[str, ...]:
    return () if confirmed else ("any platform",)


def _facts(change: Callable[[sqlite3.Connection, Request, str, LedgerFacts], LedgerFacts]) -> Sequence[_Patch]:
    def of(self: Any, request: Request, run_id: str, key: str) -> LedgerFacts:
        return change(self._connection, request, run_id, _facts_of(self, request, run_id, key))

    return [(FactsRead, "of", of)]


def _used(connection: sqlite3.Connection, request: Request, where: str, values: Sequence[object]) -> Usage:
    hosts, has_host = connection.execute(
        "SELECT count(DISTINCT host), coalesce(max(host = ?), 0) FROM intents"
        f" JOIN executions USING (run_id, execution_id, rule, host) WHERE {where}",
        (request.host, *values),
    ).fetchone()
    return Usage(hosts=hosts, has_host=bool(has_host))


def _usage_of_run(connection: sqlite3.Connection, request: Request, run_id: str, facts: LedgerFacts) -> LedgerFacts:
    used = _used(connection, request, "run_id = ?", (run_id,))
    return replace(facts, rule_usage=used, all_usage=used)


def _usage_of_good(connection: sqlite3.Connection, request: Request, run_id: str, facts: LedgerFacts) -> LedgerFacts:
    good = _used(connection, request, "outcome IN ('fixed', 'done', 'needs_reboot')", ())
    return replace(
        facts,
        rule_usage=good if facts.rule_usage is not NOT_USED else NOT_USED,
        all_usage=good if facts.all_usage is not NOT_USED else NOT_USED,
    )


def _usage_of_executions(
    connection: sqlite3.Connection, request: Request, run_id: str, facts: LedgerFacts
) -> LedgerFacts:
    return replace(facts, rule_usage=replace(facts.rule_usage, has_host=True))


def _breaker_of_run(connection: sqlite3.Connection, request: Request, run_id: str, facts: LedgerFacts) -> LedgerFacts:
    return facts if run_id in facts.open_breaker else replace(facts, open_breaker="")


def _no_breakers(*arguments: Any, **more: Any) -> Any:
    return replace(_history_of(*arguments, **more), breakers={})


def _only_after(keep: Callable[[Any], bool]) -> Callable[..., Any]:
    def incident_hold(limits: Any, attempts: Any, **more: Any) -> Any:
        return _incident_hold(limits, [attempt for attempt in attempts if keep(attempt)], **more)

    return incident_hold


def _is_good_or_unknown(attempt: Any) -> bool:
    return attempt.outcome is None or attempt.outcome.outcome_class is OutcomeClass.GOOD


def _only_healthy_refused(request: Request, _ledger: Any, _live: Any) -> Refusal | None:
    if request.recheck is Verdict.HEALTHY:
        return Refusal(skip=Skip.HEALED, reason="healed")
    return None


def _stop_at_start(self: Any) -> str:
    if not hasattr(type(self), "_first"):
        type(self)._first = {}
    return str(type(self)._first.setdefault(id(self), _stop_reason(self)))


def _unseen_is_fixed(last: Any, *, rows: Any) -> Ended:
    return Ended(outcome=Outcome.FIXED) if last.present is None else _outcome_of_verification(last, rows=rows)


def _one_more_bad(self: Any) -> Any:
    if len(self._bad) > self._spec.max_bad + 1:
        return self._halt(remedy.rollout.HaltedBy.MAX_BAD, f"{len(self._bad)} bad")
    return ()


def _lost_is_not_bad(self: Any, host: str, outcome: Outcome) -> None:
    if outcome is not Outcome.LOST:
        _count(self, host, outcome)


def _relapses_forgotten(self: Any, _relapsed: Any, unread: Any) -> Any:
    without = self._platforms_without_good(self._confirmed(unread))
    if without:
        return (*self._halt_without_good(without), *self._finish_if_idle())
    return self._next_wave()


def _all_at_once(self: Any, share: int) -> int:
    return _target(self, share) if share == 1 else len(self._spec.order)


def _last_bad_forgotten(*arguments: Any, **more: Any) -> Any:
    return replace(_history_of(*arguments, **more), last_bad={})


def _twice_as_many(*arguments: Any, **more: Any) -> Any:
    spec = _resolved_spec(*arguments, **more)
    return replace(spec, concurrency=spec.concurrency * 2 + 1)


def _no_outcome_of_refused(self: Any, group: Any) -> Any:
    kept = [told for told in group if told.said != Outcome.REFUSED.value]
    if kept:
        _record_outcomes(self, kept)
    return [None] * len(group)


def _sync_errors_ignored(self: Any, records: Any, *, sync: bool = False) -> None:
    try:
        _append_all(self, records, sync=sync)
    except Exception:  # noqa: BLE001 - this is the bug.
        self._broken = ""


def _everybody_is_dead(opened: Any, *, is_alive: Any, now: Any) -> Any:
    return _left_open(opened, is_alive=lambda _run_id: False, now=now)


_left_open = remedy.run.recovery.left_open


PLANTED: Mapping[str, Sequence[_Patch]] = {
    "open intents of dead runs are forgotten": [(Evidence, "close_dead", _forget_dead)],
    "sent before the intent is synced": [(AuditLog, "append_all", _unsynced)],
    "ledger committed before the audit log is synced": [(Ledger, "admit", _commit_first)],
    "dead runs are not braked": [(remedy.run.recovery, "brake_dead_run", lambda *_, **_options: ())],
    "zombies are not waited for": [(remedy.run.recovery, "over_at", lambda opened: opened.intent.at)],
    "living runs are taken for dead": [(remedy.run.recovery, "left_open", _everybody_is_dead)],
    "no soak": [(remedy.planning, "resolved_spec", _no_soak)],
    "promoted without a good outcome": [(Rollout, "_platforms_without_good", lambda _self, _confirmed: ())],
    "canaries are blind to platforms": [(Rollout, "_platforms_without_good", _any_platform)],
    "relapses are forgotten": [(Rollout, "_read_again", _relapses_forgotten)],
    "max_bad lets one more through": [(Rollout, "_brake", _one_more_bad)],
    "lost does not count as bad": [(Rollout, "_count", _lost_is_not_bad)],
    "the second wave takes all": [(Places, "target", _all_at_once)],
    "concurrency is doubled": [(remedy.planning, "resolved_spec", _twice_as_many)],
    "healed hosts fill a wave": [(Places, "give_back", lambda _self, _host: None)],
    "hosts that were bad are canaries": [(remedy.run.recovery, "history_of", _last_bad_forgotten)],
    "budgets begin anew with each run": _facts(_usage_of_run),
    "budgets are refunded on failure": _facts(_usage_of_good),
    "the rule's budget counts no host": _facts(_usage_of_executions),
    "breakers are closed by a new run": [
        *_facts(_breaker_of_run),
        (remedy.run.recovery, "history_of", _no_breakers),
    ],
    "the breaker is not recorded": [(Evidence, "open_breaker", lambda _self, _rule, _reason, **_more: None)],
    "lost is retried": [(remedy.gate, "incident_hold", _only_after(lambda each: each.outcome is not Outcome.LOST))],
    "cooldown counts good attempts only": [(remedy.gate, "incident_hold", _only_after(_is_good_or_unknown))],
    "an unknown re-check acts": [(remedy.gate._SENDING_CHECKS, "recheck", _only_healthy_refused)],
    "the stop file is read once": [(RunSoFar, "stop_reason", _stop_at_start)],
    "unverified is called fixed": [(remedy.run.host_work, "outcome_of_verification", _unseen_is_fixed)],
    "the gate trusts the plan's holds": [(remedy.gate, "held", lambda _request, _ledger: None)],
    "a refused execution has no outcome": [(Evidence, "_record_outcomes", _no_outcome_of_refused)],
    "failed syncs are ignored": [(AuditLog, "append_all", _sync_errors_ignored)],
    "the fuse is never blown": [(remedy.planning, "fuse_blown", lambda **_facts: False)],
    "endpoints are not compared": [
        (
            remedy.run.host_work.HostWork,
            "_connect",
            lambda self: self._around.runners[self._task.host.transport].connect(target_of(self._task.host)),
        )
    ],
}
"""By what they do: what is patched where."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Have a bug inside the block."""
    with _all(PLANTED[name]):
        yield


@contextmanager
def without_check(name: str) -> Iterator[None]:
    """Have a check of the gate that never refuses inside the block."""
    tables = (remedy.gate._RUN_CHECKS, remedy.gate._SENDING_CHECKS, remedy.gate._HOLD_CHECKS)
    (table,) = (table for table in tables if name in table)
    assert name in CHECKS
    with patch.dict(table, {name: lambda *_arguments: None}):
        yield


@contextmanager
def _all(patches: Sequence[_Patch]) -> Iterator[None]:
    if not patches:
        yield
        return
    target, name, new = patches[0]
    changed = patch.dict(target, {name: new}) if isinstance(target, dict) else patch.object(target, name, new)
    with changed, _all(patches[1:]):
        yield
