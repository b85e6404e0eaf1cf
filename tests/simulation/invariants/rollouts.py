"""How rollouts go on: concurrency, waves and their soak, relapses, canaries, healed hosts."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from remedy.limits import WaveShare
from tests.simulation.faults import Fault
from tests.simulation.fleet import Sent
from tests.simulation.history import BAD, History, RolloutSeen
from tests.simulation.rules import make_rule
from tests.simulation.runs import Run

__all__ = [
    "canaries_were_not_bad_last_time",
    "concurrency_is_kept",
    "healed_hosts_fill_no_wave",
    "relapses_count_as_bad",
    "waves_wait_their_turn",
]


def concurrency_is_kept(history: History) -> Iterator[str]:
    """
    No rollout works on more hosts at any instant than its concurrency, what is left of crashed runs counted.

    A host whose end was recorded unseen (`lost`, and so bad) has given its place up.
    """
    for rollout in history.rollouts:
        run, rule, concurrency = rollout.run, rollout.rule, rollout.options.concurrency
        changes: list[tuple[float, int]] = []
        for each in rollout.sent:
            start = each.start
            if start is None:
                continue
            ended = start.ended_at if start.ended_at is not None else float("inf")
            end = history.end_of(each)
            if end is not None and end.by is each.run:
                ended = min(ended, end.at)
            changes += [(start.at, 1), (max(ended, start.at), -1)]
        working = 0
        for at, change in sorted(changes):
            working += change
            if working > concurrency:
                yield f"{run.id} worked on {working} hosts for {rule} at {at:.1f}s, concurrency {concurrency}"
                break


def waves_wait_their_turn(history: History) -> Iterator[str]:
    """
    No host of a wave is permitted before the waves before it ended, the soak passed, and the last had a good outcome.

    In the first wave each platform that is still to come needs a good outcome, by the
    truth of its hosts; nor do hosts that were begun ever exceed the shares of the waves.
    """
    for rollout in history.rollouts:
        wave_of = {permit.execution_id: permit.wave for permit in rollout.run.permits}
        by_wave: dict[int, list[Sent]] = defaultdict(list)
        for each in rollout.sent:
            by_wave[wave_of.get(each.execution_id, 0)].append(each)
        yield from _too_many_in_waves(history, rollout, by_wave)
        for number in sorted(by_wave):
            if number >= 2:
                yield from _too_early(history, rollout, by_wave, number=number)


def _too_many_in_waves(history: History, rollout: RolloutSeen, by_wave: Mapping[int, list[Sent]]) -> Iterator[str]:
    spec = rollout.spec
    sizes = Counter(spec.platforms[host] for host in spec.order)
    targets = _targets(make_rule(rollout.options).rollout.waves, len(spec.order), sizes)
    hosts: set[str] = set()
    for number in sorted(by_wave):
        hosts |= {each.host for each in by_wave[number]}
        allowed = targets[min(number, len(targets)) - 1]
        if len(hosts) > allowed:
            yield (
                f"{rollout.run.id} had begun {len(hosts)} hosts of {rollout.rule} by wave {number}, "
                f"and {allowed} are its share"
            )


def _targets(shares: tuple[WaveShare, ...], total: int, sizes: Mapping[str, int]) -> list[int]:
    """Return how many hosts may have been begun by each wave; entries that add no host are left out."""
    wanted = [sum(shares[0].resolve(size) for size in sizes.values()), *(share.resolve(total) for share in shares[1:])]
    return [target for number, target in enumerate(wanted) if target > max(wanted[:number], default=0)]


def _too_early(
    history: History, rollout: RolloutSeen, by_wave: Mapping[int, list[Sent]], *, number: int
) -> Iterator[str]:
    """Yield what the waves before one still lacked when its first host was permitted."""
    run, rule, options = rollout.run, rollout.rule, rollout.options
    ids = {each.execution_id for each in by_wave[number]}
    first = min(permit.at for permit in run.permits if permit.wave == number and permit.execution_id in ids)
    before = [each for wave, part in by_wave.items() if wave < number for each in part]
    last = by_wave.get(number - 1, [])
    for each in before:
        end = history.end_of(each)
        if end is None or end.at > first - options.soak_s:
            yield (
                f"{run.id} permitted a host of the next wave at {first:.1f}s, and {each.host} "
                f"had not ended {options.soak_s}s before"
            )
    good = [each for each in last if history.ended_well(each, later=options.later, at=first)]
    if not good:
        yield f"{run.id} went on to wave {number} of {rule} without a good outcome in wave {number - 1}"
    if number == 2:
        platforms = {history.world.hosts[each.host].platform for each in good}
        late = {history.world.hosts[each.host].platform for each in rollout.sent if each not in last}
        if late - platforms:
            yield f"{run.id} went on to wave 2 of {rule} without a good outcome on {sorted(late - platforms)}"


def relapses_count_as_bad(history: History) -> Iterator[str]:
    """
    No wave follows when more than max_bad hosts were recorded as bad or had relapsed when the soak was over.

    A host has relapsed when its fix was recorded as `fixed`, its row is in trouble
    again from before the end of the soak on, and it could be reached and read all the while.
    """
    if _NOISE & history.world.scenario.on:
        return
    for rollout in history.rollouts:
        if not rollout.options.later:
            waves = {
                permit.wave for permit in rollout.run.permits if history.rule_of(permit.execution_id) == rollout.rule
            }
            for number in waves:
                yield from _relapsed_before(history, rollout, number)


_NOISE = frozenset(
    {
        *(Fault.UNREACHABLE, Fault.REFUSED, Fault.KEY_CHANGED, Fault.COLLECTOR_FAILS, Fault.COLLECTOR_HANGS),
        *(Fault.SENSOR_NULL, Fault.SENSOR_ROW_GONE, Fault.SENSOR_MANY_ROWS, Fault.ENDPOINT_MOVED),
        *(Fault.RACK_OUTAGE, Fault.CLOCK_STEP, Fault.SCRIPT_REBOOTS, Fault.HEALS_ITSELF),
    }
)
"""With one of these a relapse may go unseen, or be none."""


def _relapsed_before(history: History, rollout: RolloutSeen, number: int) -> Iterator[str]:
    """Yield the hosts that kept a wave from coming, and did not."""
    run, rule = rollout.run, rollout.rule
    permit_of = {permit.execution_id: permit for permit in run.permits}
    firsts = [permit_of[each.execution_id].at for each in rollout.sent if permit_of[each.execution_id].wave == number]
    ended = [
        (end, each)
        for each in rollout.sent
        if permit_of[each.execution_id].wave == number - 1 and (end := history.end_of(each)) is not None
    ]
    if not firsts or not ended:
        return
    first = min(firsts)
    soaked = max(end.at for end, _ in ended) + rollout.options.soak_s
    sick = {
        each.host
        for end, each in ended
        if end.outcome == "fixed" and _is_sick_throughout(history, each, soaked - 1.0, first)
    }
    bad = {host for host, at in history.recorded_as(BAD, run, rule).items() if at < first}
    if len(sick | bad) > rollout.spec.max_bad and sick:
        yield f"{run.id} went on to wave {number} of {rule}, and {sorted(sick)} had relapsed"


def _is_sick_throughout(history: History, sent: Sent, since: float, until: float) -> bool:
    host = history.world.hosts[sent.host]
    changes = [time for time, _ in host.changes[sent.row] if since <= time <= until]
    return all(host.was_sick(sent.row, time) for time in (since, until, *changes))


def canaries_were_not_bad_last_time(history: History) -> Iterator[str]:
    """No host whose last attempt of the rule was bad is in the first wave while another one comes later."""
    for run in history.runs:
        if run.plan is None or run.order.careless or run.order.plan_of is not None:
            continue
        last = _last_outcomes(history, run)
        for rule_plan in run.plan.rules:
            name, platforms = rule_plan.rule.name, rule_plan.spec.platforms
            if len(rule_plan.waves) < 2:
                continue
            bad = {host for (rule, host), (_, outcome) in last.items() if rule == name and outcome in BAD}
            for host in set(rule_plan.waves[0]) & bad - history.protected:
                better = [
                    each
                    for wave in rule_plan.waves[1:]
                    for each in wave
                    if each not in bad | history.protected and platforms[each] == platforms[host]
                ]
                if better:
                    yield f"{run.id} has {host} as a canary of {name}, bad last time, before {better[0]}"


def _last_outcomes(history: History, run: Run) -> dict[tuple[str, str], tuple[float, str]]:
    """Return when and how the last attempt of each rule on each host had ended when a run was planned."""
    last: dict[tuple[str, str], tuple[float, str]] = {}
    for other in history.runs:
        if other.machine is not run.machine:
            continue
        for at, execution_id, outcome in (*other.recorded, *other.closed, *other.taken_over):
            if outcome in ("skipped", "unreachable") or at >= run.planned_at:
                continue
            rule, host, _ = history.incident_of(execution_id)
            if last.get((rule, host), (-1.0, ""))[0] <= at:
                last[rule, host] = (at, outcome)
    return last


def healed_hosts_fill_no_wave(history: History) -> Iterator[str]:
    """A rollout does not halt for want of a good outcome when all that its hosts came to was `healed`."""
    for run in history.runs:
        if run.applied is None:
            continue
        for halt in run.applied.halts:
            if halt.by != "no_good_outcome":
                continue
            skips = [
                end.ended.skip.value if end.ended.skip is not None else end.ended.outcome.value
                for end in run.applied.ends
                if end.execution.rule == halt.rule
            ]
            if set(skips) == {"healed", "halted"}:
                yield f"{run.id} halted {halt.rule} though {skips.count('healed')} hosts were only healed"
