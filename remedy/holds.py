"""
Holds: what keeps a finding from being executed, until when, and what lifts it.

Pure. The plan shows them and the gate enforces them: both ask the same functions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import assert_never

from remedy.model import Hold, Key, Outcome, OutcomeClass, RuleLimits
from remedy.schedule import ChangeWindow, longest_s, open_until, opens_at

__all__ = [
    "LIFTED_BY_OVERRIDE",
    "Attempt",
    "Held",
    "Incident",
    "Override",
    "Pause",
    "PauseOf",
    "breaker_hold",
    "incident_hold",
    "pause_hold",
    "pause_holds",
    "protected_hold",
    "window_hold",
]

# A plan asks for every finding with one time; working out a fortnight of windows takes a third of a millisecond.
_open_until = lru_cache(maxsize=256)(open_until)
_opens_at = lru_cache(maxsize=256)(opens_at)
_longest_s = lru_cache(maxsize=256)(longest_s)

Incident = tuple[str, str, Key]
"""What stays the same between runs: rule, host name, key values."""

LIFTED_BY_OVERRIDE = frozenset({Hold.COOLING_DOWN, Hold.OUTSIDE_WINDOW, Hold.OBSERVE_ONLY, Hold.PAUSED})
"""The holds that --override lifts, for one rule and one host named literally; it lifts nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    A durable intent of the past: when (UTC), with which script, and how it ended (None: not yet).

    `is_reconciled` is true when the host's marker has proved the end of one that was lost.
    """

    execution_id: str
    run_id: str
    at: datetime
    script_sha256: str
    outcome: Outcome | None
    is_reconciled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A hold with what it is about, until when (None: until a person acts), and what lifts it."""

    hold: Hold
    reason: str
    until: datetime | None = None
    lifted_by: str = ""
    after_bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A person's decision to lift one kind of hold for one rule on one host, and why."""

    hold: Hold
    rule: str
    host: str
    reason: str


class PauseOf(StrEnum):
    """What a person paused."""

    ALL = "all"
    RULE = "rule"
    GROUP = "group"
    HOST = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A person's pause of a rule, a group, a host or everything; `until` None is until `unpause`."""

    of: PauseOf
    name: str
    reason: str
    actor: str
    at: datetime
    until: datetime | None

    def is_over(self, now: datetime) -> bool:
        """Say whether its time has run out: from `until` on."""
        return self.until is not None and now >= self.until

    def covers(self, *, rule: str, host: str, groups: Sequence[str]) -> bool:
        """Say whether it is about this rule on this host."""
        match self.of:
            case PauseOf.ALL:
                return True
            case PauseOf.RULE:
                return self.name == rule
            case PauseOf.GROUP:
                return self.name in groups
            case PauseOf.HOST:
                return self.name == host
            case _:
                assert_never(self.of)

    def __str__(self) -> str:
        """Return what is paused, such as 'rule low-disk' or 'everything'."""
        return "everything" if self.of is PauseOf.ALL else f"{self.of.value} {self.name}"

    @property
    def cure(self) -> str:
        """The command that ends it."""
        return f"remedy unpause --{self.of.value}" + (f" {self.name}" if self.name else "")


def breaker_hold(rule: str, reason: str) -> Held | None:
    """Return what a rule's open breaker holds back; '' is a closed one."""
    if not reason:
        return None
    return Held(hold=Hold.PAUSED, reason=reason, lifted_by=f"remedy release {rule} --reason TEXT", after_bad=True)


def pause_hold(pauses: Iterable[Pause], *, rule: str, host: str, groups: Sequence[str], now: datetime) -> Held | None:
    """Return what people's pauses hold back: of several the one that lasts longest."""
    return next(iter(pause_holds(pauses, rule=rule, host=host, groups=groups, now=now)), None)


def pause_holds(
    pauses: Iterable[Pause], *, rule: str, host: str, groups: Sequence[str], now: datetime
) -> tuple[Held, ...]:
    """Return what each of people's pauses holds back, the one that lasts longest first."""
    covering = [
        pause for pause in pauses if not pause.is_over(now) and pause.covers(rule=rule, host=host, groups=groups)
    ]
    covering.sort(key=lambda pause: (pause.until is None, pause.until or pause.at), reverse=True)
    return tuple(
        Held(
            hold=Hold.PAUSED,
            reason=f"{pause} is paused by {pause.actor}: {pause.reason}",
            until=pause.until,
            lifted_by=pause.cure,
        )
        for pause in covering
    )


def protected_hold(*, host: str, is_protected: bool, is_named: bool) -> Held | None:
    """Return what holds a protected host back that was not named one by one."""
    if not is_protected or is_named:
        return None
    reason = "a protected host is touched only when it is named"
    return Held(hold=Hold.PROTECTED, reason=reason, lifted_by=f"naming it: -l {host}")


def window_hold(windows: Sequence[ChangeWindow], *, now: datetime, needed_s: int) -> Held | None:
    """
    Return what a rule's change windows hold back; no windows hold nothing back.

    The fix must fit: now and needed_s (its deadline and what it takes to be sure
    of its end) must not reach beyond the window's end.
    """
    if not windows:
        return None
    end = _open_until(tuple(windows), now)
    if end is not None and now + timedelta(seconds=needed_s) <= end:
        return None
    said = ", ".join(str(window) for window in windows)
    reason = (
        f"outside {said}"
        if end is None
        else f"{said} ends in less than the {needed_s}s that the deadline and its grace need"
    )
    return Held(
        hold=Hold.OUTSIDE_WINDOW,
        reason=reason,
        until=_opens_at(tuple(windows), now),
        lifted_by="time, or --override outside_window",
    )


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

    `quarantined` when the last attempt is lost (and not reconciled since), or when
    the attempts with this script were ever used up inside one window since the
    last release (so time alone ends no quarantine); else `cooling_down` for
    limits.cooldown_s from the last attempt. An attempt dated after now counts as
    made now; one that was skipped by the host itself (its hold file, its lock)
    started nothing and does not count.
    """
    made = [attempt for attempt in attempts if attempt.outcome is not Outcome.SKIPPED]
    if not made:
        return None
    last = made[-1]
    release = f"remedy release {rule} -l {host} --reason TEXT"
    if last.outcome is Outcome.LOST and not last.is_reconciled:
        reason = f"the last attempt ({last.execution_id}) was lost"
        lifted_by = f"remedy reconcile {last.run_id}, or {release}"
        return Held(hold=Hold.QUARANTINED, reason=reason, lifted_by=lifted_by, after_bad=True)
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
