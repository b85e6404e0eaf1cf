"""
Recovery: what dead runs left open.

A host with an open intent of a dead run is busy until the script's deadline and
a grace are over; then any run names it and records it as lost.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from remedy.holds import Attempt
from remedy.limits import Budget
from remedy.model import Finding, Outcome, OutcomeClass
from remedy.plan import GRACE_S, History, Incident
from remedy.readings import time_text
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import OpenIntent

__all__ = [
    "LeftOpen",
    "budgets_used",
    "busy_hosts",
    "closed_text",
    "history_of",
    "left_open",
    "over_at",
    "over_for_certain",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOpen:
    """Intents without an outcome: those that can be closed now, and those that may still be running."""

    over: tuple[OpenIntent, ...]
    running: tuple[OpenIntent, ...]


def over_at(opened: OpenIntent) -> datetime:
    """Return when an execution of a dead run does not run any more for certain: deadline and grace are over."""
    return opened.intent.at + timedelta(seconds=opened.intent.deadline_s + GRACE_S)


def left_open(opened: Iterable[OpenIntent], *, is_alive: Callable[[str], bool], now: datetime) -> LeftOpen:
    """
    Sort open intents: those of dead runs whose deadline and grace are over, and all others.

    An intent dated after now is taken as made now: its host stays busy.
    """
    over: list[OpenIntent] = []
    running: list[OpenIntent] = []
    for each in opened:
        finished = not is_alive(each.intent.run_id) and now >= over_at(each)
        (over if finished else running).append(each)
    return LeftOpen(over=tuple(over), running=tuple(running))


def over_for_certain(ledger: Ledger, *, is_alive: Callable[[str], bool], now: datetime) -> tuple[OpenIntent, ...]:
    """
    Return the intents of dead runs that are over by now and can be closed.

    The ledger is read again after their runs were found dead: one that ended
    properly in between has recorded its outcomes, and must not be called lost.
    """
    over = {each.intent.execution_id for each in left_open(ledger.open_intents(), is_alive=is_alive, now=now).over}
    return tuple(each for each in ledger.open_intents() if each.intent.execution_id in over) if over else ()


def closed_text(opened: OpenIntent) -> str:
    """Return what people are told of an execution of a dead run that was closed."""
    intent = opened.intent
    return (
        f"{opened.closes_as.value}: {intent.rule} on {intent.host}, started by run {intent.run_id}, "
        f"which died; its end was not seen"
    )


def busy_hosts(running: Iterable[OpenIntent]) -> Mapping[str, str]:
    """Return why each host is busy: the execution that may be running there the longest, and until when."""
    return {
        each.intent.host: (
            f"execution {each.intent.execution_id} of run {each.intent.run_id} may still be running there, "
            f"until {time_text(over_at(each).replace(microsecond=0))} at the latest"
        )
        for each in sorted(running, key=over_at)
    }


def history_of(
    ledger: Ledger,
    findings: Iterable[Finding],
    *,
    rules: Iterable[str],
    busy: Mapping[str, str],
    over: Iterable[OpenIntent] = (),
    used: Mapping[str, int] | None = None,
) -> History:
    """
    Return what the ledger knows of these findings and rules, for the plan.

    `over` are intents of dead runs that nobody has closed yet; they count as an
    apply would close them.
    """
    incidents: list[Incident] = [(finding.rule, finding.host, finding.key) for finding in findings]
    closing = {each.intent.execution_id: each.closes_as for each in over}
    attempts: Mapping[Incident, tuple[Attempt, ...]] = {
        incident: tuple(
            replace(attempt, outcome=closing.get(attempt.execution_id)) if attempt.outcome is None else attempt
            for attempt in made
        )
        for incident, made in ledger.attempts_of(incidents).items()
    }
    last_bad = {rule: _bad_hosts(ledger.last_outcomes(rule)) for rule in rules}
    return History(
        attempts=attempts,
        last_bad=last_bad,
        breakers=ledger.breakers(),
        busy=busy,
        pauses=ledger.pauses(),
        used=used or {},
    )


def budgets_used(
    ledger: Ledger, *, rules: Iterable[str], per_rule: Budget | None, all_rules: Budget | None, now: datetime
) -> Mapping[str, int]:
    """Return by rule, and under '' for all of them, how many hosts the budgets count now; nothing without a budget."""
    used: dict[str, int] = {}
    if per_rule is not None:
        since = now - timedelta(seconds=per_rule.window_s)
        used.update({rule: ledger.hosts_started(since, rule) for rule in rules})
    if all_rules is not None:
        used[""] = ledger.hosts_started(now - timedelta(seconds=all_rules.window_s))
    return used


def _bad_hosts(outcomes: Mapping[str, Outcome]) -> frozenset[str]:
    return frozenset(host for host, outcome in outcomes.items() if outcome.outcome_class is OutcomeClass.BAD)
