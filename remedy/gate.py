"""
The gate: the one place that says whether a fix may start, and makes the permit.

Pure: what is true of the world comes in as facts, read inside one transaction
of the ledger. Unknown facts never grant. Every limit is one named check in one
of three tables: those of the run as a whole, those that hold a finding back
(which the plan asks as well, so that what it shows is what the gate does), and
those of the moment of sending.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from remedy.holds import (
    LIFTED_BY_OVERRIDE,
    Attempt,
    Held,
    Pause,
    breaker_hold,
    incident_hold,
    pause_hold,
    pause_holds,
    protected_hold,
    window_hold,
)
from remedy.limits import Budget, Limit
from remedy.model import Hold, Key, Risk, RuleLimits, Skip, Verdict
from remedy.port import _SEAL, Permit
from remedy.readings import time_text
from remedy.schedule import ChangeWindow, Freeze, freeze_over
from remedy.text import counted, duration_text

__all__ = [
    "CHECKS",
    "NOT_USED",
    "LedgerFacts",
    "LiveFacts",
    "Obstacle",
    "Refusal",
    "Request",
    "Usage",
    "blocked",
    "decide",
    "freeze_text",
    "fuse_blown",
    "held",
    "obstacles",
    "run_obstacles",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    A wish to start one execution, with the verdict of its re-check made in the same session.

    `needed_s` is how long its end may take: the deadline and a grace. `override`
    is the hold that a person lifted for this rule on this host. The budgets are
    those of remedy.yaml (None: none).
    """

    execution_id: str
    rule: str
    host: str
    groups: tuple[str, ...]
    key: Key
    script_sha256: str
    risk: Risk
    limits: RuleLimits
    windows: tuple[ChangeWindow, ...]
    needed_s: int
    is_protected: bool
    is_named: bool
    override: Hold | None
    per_rule: Budget | None
    all_rules: Budget | None
    recheck: Verdict
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """
    How many distinct hosts have a start inside a budget's window, and whether this host is one of them.

    `frees_at` is when a used-up budget has room again if nothing else starts; None when nobody asked.
    """

    hosts: int
    has_host: bool
    frees_at: datetime | None = None


NOT_USED = Usage(hosts=0, has_host=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """
    What the ledger says inside the transaction that will record the intent.

    `attempts` are those of the incident since its last release, oldest first.
    `known_id` is true when the execution id already has an intent. `open_breaker`
    and `host_busy` name the reason, or are empty. `pauses` are people's, not ended.
    `busy_until` is when a busy host is free at the latest; None when nobody asked.
    """

    attempts: tuple[Attempt, ...]
    known_id: bool
    open_breaker: str
    host_busy: str
    pauses: tuple[Pause, ...] = ()
    rule_usage: Usage = NOT_USED
    all_usage: Usage = NOT_USED
    busy_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFacts:
    """
    What is true of the run at this moment; each text is a reason, empty when there is none.

    `frozen` is why freezes cannot be known, which counts as frozen; `freezes` are
    those that are known. `expired` says that the plan was too old when the run began.
    """

    stopped: str
    frozen: str
    freezes: tuple[Freeze, ...]
    expired: str
    halted: str
    fuse: str
    disruptive_on_host: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The gate's no: why the execution is skipped; until when (None: until somebody acts), and what ends it."""

    skip: Skip
    reason: str
    until: datetime | None = field(default=None, compare=False)
    lifted_by: str = field(default="", compare=False)


Obstacle = Refusal | Held
"""What is in an execution's way; both kinds have `reason`, `until` and `lifted_by`."""


def fuse_blown(*, matched: int, judged: int, limit: Limit, accepted: int | None) -> bool:
    """
    Say whether so many matched hosts are rather a broken sensor than sick machines.

    True when matched is strictly more than the limit over judged hosts, unless a
    person accepted at least that many.
    """
    if accepted is not None and matched <= accepted:
        return False
    return limit.exceeded(matched, hosts=judged)


def freeze_text(freeze: Freeze) -> str:
    """Return a freeze as a reason."""
    return f"frozen from {time_text(freeze.start)} until {time_text(freeze.end)}: {freeze.reason}"


# Of the run as a whole: nothing of a rule may start.

_RunCheck = Callable[[LiveFacts, datetime, int], Refusal | None]


def _stopped(live: LiveFacts, _now: datetime, _needed_s: int) -> Refusal | None:
    return Refusal(skip=Skip.STOPPED, reason=live.stopped, lifted_by="remedy start") if live.stopped else None


def _frozen(live: LiveFacts, now: datetime, needed_s: int) -> Refusal | None:
    if live.frozen:
        return Refusal(skip=Skip.FROZEN, reason=live.frozen, lifted_by="mending remedy.yaml")
    freeze = freeze_over(live.freezes, now, needed_s=needed_s)
    if freeze is None:
        return None
    return Refusal(skip=Skip.FROZEN, reason=freeze_text(freeze), until=freeze.end, lifted_by="time")


def _expired(live: LiveFacts, _now: datetime, _needed_s: int) -> Refusal | None:
    return Refusal(skip=Skip.PLAN_EXPIRED, reason=live.expired, lifted_by="a new plan") if live.expired else None


def _halted(live: LiveFacts, _now: datetime, _needed_s: int) -> Refusal | None:
    return Refusal(skip=Skip.HALTED, reason=live.halted) if live.halted else None


def _fuse(live: LiveFacts, _now: datetime, _needed_s: int) -> Refusal | None:
    if not live.fuse:
        return None
    cure = "mending the sensor or the limit, or --accept-matched N"
    return Refusal(skip=Skip.FUSE, reason=live.fuse, lifted_by=cure)


_RUN_CHECKS: dict[str, _RunCheck] = {
    "stopped": _stopped,
    "frozen": _frozen,
    "expired": _expired,
    "halted": _halted,
    "fuse": _fuse,
}


def blocked(live: LiveFacts, *, now: datetime, needed_s: int) -> Refusal | None:
    """
    Return why nothing of a rule may start now, or None.

    `needed_s` is how long what would start may take; 0 asks only about this moment.
    """
    return next(iter(run_obstacles(live, now=now, needed_s=needed_s)), None)


def run_obstacles(live: LiveFacts, *, now: datetime, needed_s: int) -> tuple[Refusal, ...]:
    """Return every reason why nothing of a rule may start now, in the order in which they are asked."""
    return tuple(no for check in _RUN_CHECKS.values() if (no := check(live, now, needed_s)) is not None)


# Of a finding, by what is known of it: the plan shows these as holds.

_HoldCheck = Callable[[Request, LedgerFacts], Held | None]


def _breaker(request: Request, ledger: LedgerFacts) -> Held | None:
    return breaker_hold(request.rule, ledger.open_breaker)


def _paused(request: Request, ledger: LedgerFacts) -> Held | None:
    return pause_hold(ledger.pauses, rule=request.rule, host=request.host, groups=request.groups, now=request.now)


def _protected(request: Request, _ledger: LedgerFacts) -> Held | None:
    return protected_hold(host=request.host, is_protected=request.is_protected, is_named=request.is_named)


def _incident(request: Request, ledger: LedgerFacts) -> Held | None:
    return incident_hold(
        request.limits,
        ledger.attempts,
        rule=request.rule,
        host=request.host,
        script_sha256=request.script_sha256,
        now=request.now,
    )


def _window(request: Request, _ledger: LedgerFacts) -> Held | None:
    return window_hold(request.windows, now=request.now, needed_s=request.needed_s)


_HOLD_CHECKS: dict[str, _HoldCheck] = {
    "breaker": _breaker,
    "paused": _paused,
    "protected": _protected,
    "incident": _incident,
    "window": _window,
}


def held(request: Request, ledger: LedgerFacts) -> Held | None:
    """Return what holds a finding back, as the plan shows it and the gate refuses it, or None."""
    for check in _HOLD_CHECKS.values():
        found = check(request, ledger)
        if found is not None and not _is_lifted(found, request.override):
            return found
    return None


def _all_held(request: Request, ledger: LedgerFacts) -> tuple[Held, ...]:
    """Return everything that holds a finding back, in the order in which `held` asks; each pause by itself."""
    found: list[Held] = []
    for check in _HOLD_CHECKS.values():
        if check is _paused:
            found += pause_holds(
                ledger.pauses, rule=request.rule, host=request.host, groups=request.groups, now=request.now
            )
        elif (one := check(request, ledger)) is not None:
            found.append(one)
    return tuple(each for each in found if not _is_lifted(each, request.override))


def _is_lifted(found: Held, override: Hold | None) -> bool:
    return found.hold is override and override in LIFTED_BY_OVERRIDE


# Of the moment of sending.

_Check = Callable[[Request, LedgerFacts, LiveFacts], Refusal | None]


def _recheck(request: Request, _ledger: LedgerFacts, _live: LiveFacts) -> Refusal | None:
    if request.recheck is Verdict.HEALTHY:
        return Refusal(skip=Skip.HEALED, reason="the re-check found nothing to mend")
    if request.recheck is not Verdict.MATCH:
        return Refusal(skip=Skip.NOT_SEEN, reason=f"the re-check says {request.recheck.value}")
    return None


def _known_id(_request: Request, ledger: LedgerFacts, _live: LiveFacts) -> Refusal | None:
    if not ledger.known_id:
        return None
    return Refusal(skip=Skip.ALREADY_STARTED, reason="this execution has been started before")


def _host_busy(_request: Request, ledger: LedgerFacts, _live: LiveFacts) -> Refusal | None:
    if not ledger.host_busy:
        return None
    return Refusal(skip=Skip.HOST_BUSY, reason=ledger.host_busy, until=ledger.busy_until, lifted_by="its end")


def _one_disruptive(request: Request, _ledger: LedgerFacts, live: LiveFacts) -> Refusal | None:
    if request.risk is Risk.SAFE or not live.disruptive_on_host:
        return None
    return Refusal(
        skip=Skip.ONE_DISRUPTIVE, reason="one disruptive execution per host and run", lifted_by="the next run"
    )


def _budget_per_rule(request: Request, ledger: LedgerFacts, _live: LiveFacts) -> Refusal | None:
    return _over_budget(request.per_rule, ledger.rule_usage, of=f"rule {request.rule}")


def _budget_all(request: Request, ledger: LedgerFacts, _live: LiveFacts) -> Refusal | None:
    return _over_budget(request.all_rules, ledger.all_usage, of="all rules")


def _over_budget(budget: Budget | None, usage: Usage, *, of: str) -> Refusal | None:
    """Refuse when this host would be one more than the budget has; a host that is counted already costs nothing."""
    if budget is None or usage.has_host or usage.hosts < budget.hosts:
        return None
    used = f"{counted(usage.hosts, 'host')} in the last {duration_text(budget.window_s)}"
    reason = f"the budget of {of}, {budget}, is used up: {used}"
    return Refusal(skip=Skip.BUDGET, reason=reason, until=usage.frees_at, lifted_by="time, or a larger budget")


_SENDING_CHECKS: dict[str, _Check] = {
    "recheck": _recheck,
    "known_id": _known_id,
    "host_busy": _host_busy,
    "one_disruptive": _one_disruptive,
    "budget_per_rule": _budget_per_rule,
    "budget_all": _budget_all,
}

CHECKS: tuple[str, ...] = (*_RUN_CHECKS, *_SENDING_CHECKS, *_HOLD_CHECKS)
"""The names of all checks, in the order in which they are asked."""

_SKIP_OF_HOLD = {
    Hold.COOLING_DOWN: Skip.COOLING_DOWN,
    Hold.QUARANTINED: Skip.QUARANTINED,
    Hold.PAUSED: Skip.PAUSED,
    Hold.PROTECTED: Skip.PROTECTED,
    Hold.OUTSIDE_WINDOW: Skip.OUTSIDE_WINDOW,
}


def decide(request: Request, ledger: LedgerFacts, live: LiveFacts) -> Permit | Refusal:
    """
    Grant a permit, or say why not.

    The order is that of urgency: a stop comes first. Nothing is granted unless
    the re-check of this very row says `match`.
    """
    no = blocked(live, now=request.now, needed_s=request.needed_s)
    if no is not None:
        return no
    for check in _SENDING_CHECKS.values():
        no = check(request, ledger, live)
        if no is not None:
            return no
    found = held(request, ledger)
    if found is not None:
        # A breaker is no person's decision: the plan's hold has one word for both, and says which it is.
        is_breaker = found.hold is Hold.PAUSED and found.after_bad
        return Refusal(skip=Skip.BREAKER if is_breaker else _SKIP_OF_HOLD[found.hold], reason=found.reason)
    return Permit(execution_id=request.execution_id, host=request.host, script_sha256=request.script_sha256, seal=_SEAL)


def obstacles(request: Request, ledger: LedgerFacts, live: LiveFacts) -> tuple[Obstacle, ...]:
    """
    Return everything that is in an execution's way, in the order in which `decide` asks.

    It is empty exactly when `decide` grants, and its first is what `decide` refuses for.
    """
    sending = (check(request, ledger, live) for check in _SENDING_CHECKS.values())
    return (
        *run_obstacles(live, now=request.now, needed_s=request.needed_s),
        *(no for no in sending if no is not None),
        *_all_held(request, ledger),
    )
