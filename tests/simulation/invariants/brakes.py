"""What stops or slows a run that goes wrong: bad and unreachable hosts, breaker, budgets, fuse."""

from collections.abc import Iterator, Mapping

from tests.simulation.fleet import REBOOT_CODE, TROUBLE_ABOVE, Sent
from tests.simulation.history import BAD, History
from tests.simulation.machine import Machine
from tests.simulation.runs import Permitted, Run

__all__ = [
    "bad_hosts_stop_a_rollout",
    "bad_runs_open_the_breaker",
    "breaker_stays_open",
    "budgets_hold",
    "half_a_fleet_starts_nothing",
    "unreachable_hosts_stop_a_rollout",
]


def bad_hosts_stop_a_rollout(history: History) -> Iterator[str]:
    """
    After more than max_bad hosts of a rollout were recorded as bad it gets no permit any more.

    And by the truth of the hosts no more than max_bad + concurrency went bad.
    """
    for rollout in history.rollouts:
        run, rule, spec = rollout.run, rollout.rule, rollout.spec
        moments = sorted(history.recorded_as(BAD, run, rule).values())
        if len(moments) > spec.max_bad:
            end = moments[spec.max_bad]
            late = [each for each in run.permits if each.at > end and history.rule_of(each.execution_id) == rule]
            if late:
                yield f"{run.id} permitted {len(late)} executions of {rule} after {len(moments)} hosts were bad"
        fixed = {execution_id for _, execution_id, outcome in run.recorded if outcome == "fixed"}
        truly = {
            each.host
            for each in rollout.sent
            # Somebody else may have mended what a script left as it was; `fixed` is checked by an invariant of its own.
            if each.start is not None
            and each.execution_id not in fixed
            and _is_truly_bad(each, later=rollout.options.later)
        }
        if len(truly) > spec.max_bad + spec.concurrency:
            yield f"{run.id}: {len(truly)} hosts went bad with {rule}, max_bad {spec.max_bad}"


def _is_truly_bad(sent: Sent, *, later: bool) -> bool:
    start = sent.start
    if start is None:
        return False
    return start.exit_code not in (0, REBOOT_CODE) or (not later and start.behaviour == "does nothing")


def unreachable_hosts_stop_a_rollout(history: History) -> Iterator[str]:
    """
    After more than max_unreachable hosts of a rollout were recorded as unreachable it gets no permit any more.

    Nor does the run, after more than one and 10 % of all planned hosts were.
    """
    for run in history.runs:
        if run.plan is None:
            continue
        planned = len(run.plan.hosts)
        limits = [("", max(1, planned * 10 // 100))]
        limits += [(rule_plan.rule.name, rule_plan.spec.max_unreachable) for rule_plan in run.plan.rules]
        for rule, limit in limits:
            moments = sorted(history.recorded_as({"unreachable"}, run, rule).values())
            if len(moments) <= limit:
                continue
            for permit in run.permits:
                if permit.at > moments[limit] and rule in ("", history.rule_of(permit.execution_id)):
                    yield f"{run.id} permitted {permit.execution_id} after {len(moments)} hosts were unreachable"
                    break


def breaker_stays_open(history: History) -> Iterator[str]:
    """
    After a rollout halted because of bad hosts its rule gets no permit of this store until a person releases it.

    Whatever crashed after the halt was recorded, and whoever runs next.
    """
    for run in history.runs:
        for rule, (at, by) in run.halted.items():
            if by != "max_bad":
                continue
            permitted = _permitted_unreleased(history, run.machine, rule, since=at, after=at)
            if permitted is not None:
                other, permit = permitted
                yield f"{other.id} permitted {rule} at {permit.at:.1f}s; its breaker opened at {at:.1f}s"


def bad_runs_open_the_breaker(history: History) -> Iterator[str]:
    """
    After a run ended in which more than max_bad hosts of a rule were bad, the rule is paused until released.

    After one died, for every run that begins then.
    """
    for run in history.runs:
        over_at = run.ended_at if run.crashed_at is None else run.crashed_at
        if run.plan is None or over_at is None or run.error:
            continue
        for rule_plan in run.plan.rules:
            rule = rule_plan.rule.name
            bad = history.recorded_as(BAD, run, rule)
            if len(bad) <= rule_plan.spec.max_bad:
                continue
            permitted = _permitted_unreleased(
                history,
                run.machine,
                rule,
                since=run.began_at,
                after=over_at,
                begun=0.0 if run.crashed_at is None else over_at,
            )
            if permitted is not None:
                yield f"{permitted[0].id} permitted {rule}; {len(bad)} hosts were bad in {run.id} before"


def _permitted_unreleased(
    history: History, machine: Machine, rule: str, *, since: float, after: float, begun: float = 0.0
) -> tuple[Run, Permitted] | None:
    """
    Return the first permit of a rule after a moment that no person allowed, by a release or an override.

    Only of runs that began at `begun` or later.
    """
    for run, permit in history.permits_of(machine.number):
        if run.began_at < begun:
            continue
        if permit.at <= after or history.rule_of(permit.execution_id) != rule or run.order.override == "paused":
            continue
        if not history.is_released(machine, rule, None, since=since, until=permit.at):
            return run, permit
    return None


def budgets_hold(history: History) -> Iterator[str]:
    """
    In the window before any permit, by the machine's clock, no more distinct hosts were started than a budget has.

    Over all runs of a store, crashes included, never refunded.
    """
    scenario = history.world.scenario
    for machine in history.world.machines:
        permits = [(permit.wall, permit.execution_id) for _, permit in history.permits_of(machine.number)]
        if scenario.all_rules is not None:
            yield from _over_budget(history, permits, scenario.all_rules, of="all rules")
        if scenario.per_rule is not None:
            for rule in history.world.options:
                of_rule = [each for each in permits if history.rule_of(each[1]) == rule]
                yield from _over_budget(history, of_rule, scenario.per_rule, of=rule)


def _over_budget(
    history: History, permits: list[tuple[float, str]], budget: tuple[int, int], *, of: str
) -> Iterator[str]:
    hosts_max, window_s = budget
    for number, (wall, _) in enumerate(permits):
        hosts = {history.world.planned[each].host for at, each in permits[: number + 1] if at > wall - window_s}
        if len(hosts) > hosts_max:
            yield f"{len(hosts)} hosts for {of} within {window_s}s, and the budget is {hosts_max}"
            return


def half_a_fleet_starts_nothing(history: History) -> Iterator[str]:
    """When more hosts matched at collection than the fuse allows nothing of the rule is sent, and exit is not 0."""
    for run in history.runs:
        if run.plan is None or run.order.plan_of is not None:
            continue
        for rule_plan in run.plan.rules:
            options = history.world.options[rule_plan.rule.name]
            matched = sum(_is_matched(printed, options.row) for printed in run.printed.values())
            if matched <= max(1, len(run.printed) * options.matched_percent // 100):
                continue
            if any(history.rule_of(permit.execution_id) == options.name for permit in run.permits):
                yield f"{run.id} permitted {options.name}, and {matched} of {len(run.printed)} hosts matched"
            if run.exit_code == 0:
                yield f"{run.id} ended with 0, and {matched} of {len(run.printed)} hosts matched {options.name}"


def _is_matched(printed: Mapping[str, float | None], row: str) -> bool:
    return any(level is not None and level > TROUBLE_ABOVE and row in ("*", name) for name, level in printed.items())
