"""
What is in a finding's way, all of it, and when it could next run.

Pure: it asks the plan's holds and the gate's checks again, at this moment and at
moments to come, and has no opinion of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remedy.gate import NOT_USED, LedgerFacts, LiveFacts, Obstacle, Refusal, Usage, obstacles, run_obstacles
from remedy.limits import Budget
from remedy.model import Finding, Host, Row, Scope, Skip
from remedy.plan import History
from remedy.planning import exemptions_of, gate_request, standing_holds
from remedy.precautions import Precautions

__all__ = [
    "NO_STARTS",
    "NextRun",
    "Starts",
    "Surroundings",
    "in_the_way",
    "next_run",
    "obstacle_word",
    "usage_at",
    "way_ahead",
]

_STEPS_MAX = 1_000
"""How many ends are looked at, one after the other; a window that is always too short ends nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """When something was last started on each host, as the budgets count it: of the rule, and of all rules."""

    of_rule: Mapping[str, datetime]
    of_all: Mapping[str, datetime]


NO_STARTS = Starts(of_rule={}, of_all={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """
    What is true around the findings of one rule on one host.

    `stopped`, `frozen` and `fuse` are reasons, empty when there is none. `rows` are how
    many rows match, `others` the rows of the other signals that exemptions read.
    `busy_until` is when the host is free at the latest, when the history says that it is busy.
    Without its row (`has_row` false) nobody can tell whether an exemption covers a finding.
    """

    history: History
    precautions: Precautions
    rows: int
    others: Mapping[str, Row | None] = field(default_factory=dict)
    starts: Starts = NO_STARTS
    stopped: str = ""
    frozen: str = ""
    fuse: str = ""
    busy_until: datetime | None = None
    has_row: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRun:
    """
    When nothing is in the way any more.

    `needs` are what somebody must do first, in order, empty when time alone ends all
    that is in the way. `at` is the first moment at which nothing else is: now when that
    is so already, None when no such moment was found. `provided` is on what that stands.
    """

    at: datetime | None
    needs: tuple[str, ...] = ()
    provided: tuple[str, ...] = ()


def obstacle_word(obstacle: Obstacle) -> str:
    """Return the one word of a hold or a skip, as YAML and JSON have it."""
    return obstacle.skip.value if isinstance(obstacle, Refusal) else obstacle.hold.value


def usage_at(budget: Budget | None, starts: Mapping[str, datetime], *, host: str, now: datetime) -> Usage:
    """Return how much of a budget is used at a time, and when there is room again if nothing else starts."""
    if budget is None:
        return NOT_USED
    window = timedelta(seconds=budget.window_s)
    inside = {name: at for name, at in starts.items() if at > now - window}
    over = len(inside) - budget.hosts
    frees_at = sorted(inside.values())[over] + window if over >= 0 else None
    return Usage(hosts=len(inside), has_host=host in inside, frees_at=frees_at)


def in_the_way(
    scope: Scope, host: Host, finding: Finding, *, around: Surroundings, now: datetime
) -> tuple[Obstacle, ...]:
    """
    Return everything that would keep a finding from being mended at a time; nothing when the gate would grant.

    What only the moment of sending shows is not in it: a hold file on the host, and what a re-check finds.
    """
    rule = scope.rule
    standing = (
        *(exemptions_of(scope, host, finding.row, around.others, now=now) if around.has_row else ()),
        *standing_holds(rule, host, rows=around.rows, precautions=around.precautions),
    )
    live = LiveFacts(
        stopped=around.stopped,
        frozen=around.frozen,
        freezes=around.precautions.freezes,
        expired="",
        halted="",
        fuse=around.fuse,
        disruptive_on_host=False,
    )
    script = rule.fix.get(host.platform)
    if script is None:
        return (*run_obstacles(live, now=now, needed_s=0), *standing)
    request = gate_request(rule, host, finding.key, script=script, precautions=around.precautions, now=now)
    history = around.history
    is_busy = host.name in history.busy and (around.busy_until is None or now < around.busy_until)
    starts = around.starts
    ledger = LedgerFacts(
        attempts=history.attempts.get((rule.name, host.name, finding.key), ()),
        known_id=False,
        open_breaker=history.breakers.get(rule.name, ""),
        host_busy=history.busy[host.name] if is_busy else "",
        pauses=history.pauses,
        rule_usage=usage_at(request.per_rule, starts.of_rule, host=host.name, now=now),
        all_usage=usage_at(request.all_rules, starts.of_all, host=host.name, now=now),
        busy_until=around.busy_until,
    )
    return (*standing, *obstacles(request, ledger, live))


def way_ahead(
    scope: Scope, host: Host, finding: Finding, *, around: Surroundings, now: datetime
) -> tuple[tuple[Obstacle, ...], NextRun]:
    """Return everything that is in a finding's way now, and when it could next run."""

    def ask(at: datetime) -> tuple[Obstacle, ...]:
        return in_the_way(scope, host, finding, around=around, now=at)

    return ask(now), next_run(ask, now=now)


def next_run(ask: Callable[[datetime], Sequence[Obstacle]], *, now: datetime) -> NextRun:
    """
    Return the first moment from now on at which nothing is in the way, and what somebody must do before.

    `ask` says what is in the way at a moment. Each obstacle with an end holds all the
    time until then, so the latest of these ends is the next moment worth asking about.
    """
    at = now
    needs: dict[str, None] = {}
    provided: dict[str, None] = {}
    for _ in range(_STEPS_MAX):
        ends: list[datetime] = []
        for each in ask(at):
            if each.until is not None and each.until > at:
                ends.append(each.until)
                if isinstance(each, Refusal) and each.skip is Skip.HOST_BUSY:
                    provided["what may be running on the host ends well"] = None
            else:
                needs[each.lifted_by or each.reason] = None
        if not ends:
            return NextRun(at=at, needs=tuple(needs), provided=tuple(provided))
        at = max(ends)
    last = "; ".join(f"{obstacle_word(each)}: {each.reason}" for each in ask(at))
    return NextRun(at=None, needs=(*needs, f"no time was found at which this ends: {last}"), provided=tuple(provided))
