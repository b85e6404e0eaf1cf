"""What is true around a rule on one host, for `why`: history, starts, brakes and fuse, from the state directory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from platform import node

from remedy.cli.caller import utc_now
from remedy.errors import RemedyError, StateError
from remedy.limits import Budget
from remedy.model import Finding, Reading, Scope, Signal
from remedy.next_run import Starts, Surroundings
from remedy.plan import NO_HISTORY, History, RulePlan
from remedy.planning import build_plan
from remedy.precautions import Precautions
from remedy.run.recovery import busy_hosts, history_of, left_open, over_at
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import OpenIntent
from remedy.state.locks import Locks
from remedy.verdicts import by_host, judge, only_fresh, other_rows

__all__ = ["Brakes", "brakes_now", "frozen_now", "rule_plan_of", "surroundings_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Brakes:
    """
    What the state directory knows of one host, and of everything that holds it back.

    `has_ledger` is false when there is none: nothing was ever started from it.
    """

    history: History
    busy_until: datetime | None
    starts: Mapping[str, Starts]
    stopped: str
    frozen: str
    has_ledger: bool


def brakes_now(
    state: StateDirectory,
    ledger: Ledger | None,
    findings: Iterable[Finding],
    *,
    host: str,
    rules: Sequence[str],
    precautions: Precautions,
    frozen: str,
    now: datetime,
) -> Brakes:
    """
    Return what holds findings of a host back, as an apply would find it.

    A run of which it cannot be found out whether it is alive (its lock may not be
    read) counts as alive: what it started may be running.
    """
    stopped = state.stop_reason()
    if ledger is None:
        return Brakes(history=NO_HISTORY, busy_until=None, starts={}, stopped=stopped, frozen=frozen, has_ledger=False)
    opened = left_open(ledger.open_intents(), is_alive=_is_alive(state), now=now)
    mine = [each for each in opened.running if each.intent.host == host]
    history = history_of(ledger, findings, rules=rules, busy=busy_hosts(mine), over=opened.over)
    return Brakes(
        history=history,
        busy_until=_free_at(mine, now=now),
        starts=_starts(ledger, rules, precautions, now=now),
        stopped=stopped,
        frozen=frozen,
        has_ledger=True,
    )


def _free_at(running: Sequence[OpenIntent], *, now: datetime) -> datetime | None:
    """Return when nothing runs there any more for certain; None when that was to be so by now, and its run is alive."""
    ends = [over_at(each) for each in running]
    return max(ends) if ends and min(ends) > now else None


def _is_alive(state: StateDirectory) -> Callable[[str], bool]:
    locks = Locks(state.locks, run_id="", what="", pid=0, controller=node(), clock=utc_now)

    def is_alive(run_id: str) -> bool:
        try:
            return locks.run_is_held(run_id)
        except StateError:
            return True

    return is_alive


def _starts(ledger: Ledger, rules: Iterable[str], precautions: Precautions, *, now: datetime) -> Mapping[str, Starts]:
    def since(budget: Budget) -> datetime:
        return now - timedelta(seconds=budget.window_s)

    of_all = {} if precautions.all_rules is None else ledger.last_starts(since(precautions.all_rules))
    return {
        rule: Starts(
            of_rule={} if precautions.per_rule is None else ledger.last_starts(since(precautions.per_rule), rule),
            of_all=of_all,
        )
        for rule in rules
    }


def surroundings_of(
    scope: Scope,
    finding: Finding,
    *,
    brakes: Brakes,
    precautions: Precautions,
    rows: int,
    readings: Mapping[str, Reading],
    fuse: str = "",
    has_row: bool = True,
) -> Surroundings:
    """Return what is around a finding; `readings` are those of its host, for exemptions."""
    names = {name for each in scope.rule.exempt if each.where for name in each.where.other_signals}
    starts = brakes.starts.get(finding.rule)
    around = Surroundings(
        history=brakes.history,
        # A host that is named to be explained is not named to be touched.
        precautions=replace(precautions, named=frozenset()),
        rows=rows,
        others=other_rows(tuple(sorted(names)), readings),
        stopped=brakes.stopped,
        frozen=brakes.frozen,
        fuse=fuse,
        busy_until=brakes.busy_until,
        has_row=has_row,
    )
    return around if starts is None else replace(around, starts=starts)


def rule_plan_of(
    scope: Scope,
    readings: Iterable[Reading],
    *,
    signals: Mapping[str, Signal],
    brakes: Brakes,
    precautions: Precautions,
    now: datetime,
) -> RulePlan:
    """
    Return what a plan of a rule over all its hosts would say by these readings.

    For its counts, its fuse and its budget: what it would run is decided by a run.
    """
    fresh = by_host(only_fresh(readings, signals, now=now))
    starts = brakes.starts.get(scope.rule.name)
    used = {} if starts is None else _used(starts, scope.rule.name, precautions, now=now)
    plan = build_plan(
        [scope],
        judge([scope], fresh, signals),
        fresh,
        history=replace(NO_HISTORY, used=used),
        endpoints={},
        accept_matched=None,
        created_at=now,
        precautions=precautions,
    )
    return plan.rules[0]


def _used(starts: Starts, rule: str, precautions: Precautions, *, now: datetime) -> Mapping[str, int]:
    def count(budget: Budget | None, last: Mapping[str, datetime]) -> int:
        return 0 if budget is None else sum(at > now - timedelta(seconds=budget.window_s) for at in last.values())

    return {rule: count(precautions.per_rule, starts.of_rule), "": count(precautions.all_rules, starts.of_all)}


def frozen_now(freezes: Callable[[], object]) -> str:
    """Return why the freezes cannot be known, which counts as frozen; '' when they can."""
    try:
        freezes()
    except RemedyError as exc:
        return str(exc)
    return ""
