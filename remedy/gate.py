"""
The gate: the one place that says whether a fix may start, and makes the permit.

Pure: what is true of the world comes in as facts, read inside one transaction
of the ledger. Unknown facts never grant. The plan asks the same functions
(`incident_hold`, `fuse_blown`), so that what it shows is what the gate does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from remedy.limits import Limit
from remedy.model import Hold, Key, Outcome, OutcomeClass, Risk, RuleLimits, Skip, Verdict
from remedy.port import _SEAL, Permit

__all__ = [
    "Attempt",
    "Held",
    "LedgerFacts",
    "LiveFacts",
    "Refusal",
    "Request",
    "decide",
    "fuse_blown",
    "incident_hold",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A durable intent of the past: when (UTC), with which script, and how it ended (None: not yet)."""

    execution_id: str
    run_id: str
    at: datetime
    script_sha256: str
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A hold with what it is about, until when (None: until a person acts), and what lifts it."""

    hold: Hold
    reason: str
    until: datetime | None = None
    lifted_by: str = ""
    after_bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A wish to start one execution, with the verdict of its re-check made in the same session."""

    execution_id: str
    rule: str
    host: str
    key: Key
    script_sha256: str
    risk: Risk
    limits: RuleLimits
    recheck: Verdict
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """
    What the ledger says inside the transaction that will record the intent.

    `attempts` are those of the incident since its last release, oldest first.
    `known_id` is true when the execution id already has an intent. `open_breaker`
    and `host_busy` name the reason, or are empty.
    """

    attempts: tuple[Attempt, ...]
    known_id: bool
    open_breaker: str
    host_busy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFacts:
    """What is true of the run at this moment; each text is a reason, empty when there is none."""

    stopped: str
    halted: str
    fuse: str
    disruptive_on_host: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The gate's no: why the execution is skipped."""

    skip: Skip
    reason: str


def fuse_blown(*, matched: int, judged: int, limit: Limit, accepted: int | None) -> bool:
    """
    Say whether so many matched hosts are rather a broken sensor than sick machines.

    True when matched is strictly more than the limit over judged hosts, unless a
    person accepted at least that many.
    """
    if accepted is not None and matched <= accepted:
        return False
    return limit.exceeded(matched, hosts=judged)


def incident_hold(
    limits: RuleLimits,
    attempts: Iterable[Attempt],
    *,
    rule: str,
    host: str,
    script_sha256: str,
    now: datetime,
) -> Held | None:
    """
    Return what the history of an incident holds back, or None.

    `quarantined` when the last attempt is lost, or when the attempts with this
    script were ever used up inside one window since the last release (so time
    alone ends no quarantine); else `cooling_down` for limits.cooldown_s from the
    last attempt. An attempt dated after now counts as made now; one that was
    skipped by the host itself (its hold file, its lock) started nothing and does
    not count.
    """
    made = [attempt for attempt in attempts if attempt.outcome is not Outcome.SKIPPED]
    if not made:
        return None
    last = made[-1]
    release = f"remedy release {rule} -l {host} --reason TEXT"
    if last.outcome is Outcome.LOST:
        reason = f"the last attempt ({last.execution_id}) was lost"
        return Held(hold=Hold.QUARANTINED, reason=reason, lifted_by=release, after_bad=True)
    same = [attempt.at for attempt in made if attempt.script_sha256 == script_sha256]
    if _used_up(same, count=limits.attempts, within=timedelta(seconds=limits.attempts_within_s)):
        reason = f"{len(same)} attempts with this script; {limits.attempts} are allowed"
        return Held(hold=Hold.QUARANTINED, reason=reason, lifted_by=release, after_bad=True)
    until = min(last.at, now) + timedelta(seconds=limits.cooldown_s)
    if now < until:
        after_bad = last.outcome is None or last.outcome.outcome_class is not OutcomeClass.GOOD
        outcome = last.outcome.value if last.outcome is not None else "not known yet"
        return Held(
            hold=Hold.COOLING_DOWN,
            reason=f"the last attempt ended as {outcome}",
            until=until,
            lifted_by=release,
            after_bad=after_bad,
        )
    return None


def _used_up(times: Sequence[datetime], *, count: int, within: timedelta) -> bool:
    return any(last - first <= within for first, last in zip(times, times[count - 1 :], strict=False))


_SKIP_OF_HOLD = {Hold.COOLING_DOWN: Skip.COOLING_DOWN, Hold.QUARANTINED: Skip.QUARANTINED}


def decide(request: Request, ledger: LedgerFacts, live: LiveFacts) -> Permit | Refusal:
    """
    Grant a permit, or say why not.

    The order is that of urgency: a stop comes first. Nothing is granted unless
    the re-check of this very row says `match`.
    """
    if live.stopped:
        return Refusal(skip=Skip.STOPPED, reason=live.stopped)
    if live.halted:
        return Refusal(skip=Skip.HALTED, reason=live.halted)
    if live.fuse:
        return Refusal(skip=Skip.FUSE, reason=live.fuse)
    if request.recheck is Verdict.HEALTHY:
        return Refusal(skip=Skip.HEALED, reason="the re-check found nothing to mend")
    if request.recheck is not Verdict.MATCH:
        return Refusal(skip=Skip.NOT_SEEN, reason=f"the re-check says {request.recheck.value}")
    if ledger.known_id:
        return Refusal(skip=Skip.HOST_BUSY, reason="this execution has been started before")
    if ledger.open_breaker:
        return Refusal(skip=Skip.PAUSED, reason=ledger.open_breaker)
    if ledger.host_busy:
        return Refusal(skip=Skip.HOST_BUSY, reason=ledger.host_busy)
    if request.risk is not Risk.SAFE and live.disruptive_on_host:
        return Refusal(skip=Skip.ONE_DISRUPTIVE, reason="one disruptive execution per host and run")
    held = incident_hold(
        request.limits,
        ledger.attempts,
        rule=request.rule,
        host=request.host,
        script_sha256=request.script_sha256,
        now=request.now,
    )
    if held is not None:
        return Refusal(skip=_SKIP_OF_HOLD[held.hold], reason=held.reason)
    return Permit(execution_id=request.execution_id, host=request.host, script_sha256=request.script_sha256, seal=_SEAL)
