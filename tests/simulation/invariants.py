"""
What must be true of every history, decided from the fleet's ground truth.

Each function is one invariant and yields what violates it; docs/safety.md lists them
by name. What a run believes is used only to know what it was allowed to do (its
plan, its permits, what it recorded when); whether that was right is decided by what
hosts started, when, and what became of it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise

from remedy.limits import WaveShare
from remedy.reconciling import Reconciled, Reconciliation
from tests.simulation.controller import Permitted, Run
from tests.simulation.fleet import Sent, Start
from tests.simulation.history import History
from tests.simulation.recorded import recorded_violations
from tests.simulation.rules import ZONE_S, make_rule
from tests.simulation.scenario import Fault

__all__ = ["INVARIANTS", "violations"]

_AT_THE_LATEST_S = 25.0
"""A payload may be 20 s on its way; what outlives its deadline's TERM is killed 5 s later."""
_DAY_S = 86_400.0


def started_at_most_once(history: History) -> Iterator[str]:
    """No host starts the script of an execution id a second time."""
    seen: dict[str, Start] = {}
    for start in history.world.starts:
        if start.execution_id in seen:
            yield f"{start.host} started {start.execution_id} at {seen[start.execution_id].at:.1f}s and {start.at:.1f}s"
        seen[start.execution_id] = start


def sent_at_most_once(history: History) -> Iterator[str]:
    """No execution id is handed to a runner twice by controllers with one store, whatever the host's marker does."""
    for execution_id, sent in history.sent_by_id.items():
        by_store: dict[int, int] = defaultdict(int)
        for each in sent:
            by_store[each.run.machine.number] += 1
        for number in by_store.values():
            if number > 1:
                yield f"{execution_id} was sent {number} times from one store"


def cooldown_is_kept(history: History) -> Iterator[str]:
    """
    No permit for an incident within the cooldown of its last started attempt, of the same store.

    Both times are those of the machine's wall clock; a release between the two, or
    an override of the cooldown, lifts it.
    """
    last: dict[tuple[int, object], tuple[Run, Permitted]] = {}
    for run, permit in history.permits:
        rule, host, _ = history.incident_of(permit.execution_id)
        key = (run.machine.number, history.incident_of(permit.execution_id))
        before = last.get(key)
        if before is not None and run.order.override != "cooling_down":
            apart = permit.wall - before[1].wall
            cooldown_s = history.world.options[rule].cooldown_s
            if apart < cooldown_s and not history.is_released(
                run.machine, rule, host, since=before[1].at, until=permit.at
            ):
                yield f"{rule} on {host} permitted {apart:.1f}s after an attempt, cooldown {cooldown_s}s"
        if any(each.start is not None and each.run is run for each in history.sent_by_id[permit.execution_id]):
            last[key] = (run, permit)


def attempts_are_limited(history: History) -> Iterator[str]:
    """
    No permit for an incident whose attempts with this script were used up within the time, until it is released.

    Counted are attempts that a host really started, of the same store, since the last release.
    """
    made: dict[tuple[int, object], list[tuple[Permitted, str]]] = defaultdict(list)
    for run, permit in history.permits:
        incident = history.incident_of(permit.execution_id)
        rule, host, _ = incident
        options = history.world.options[rule]
        digest = history.world.planned[permit.execution_id].script_sha256
        key = (run.machine.number, incident)
        walls = [
            earlier.wall
            for earlier, script in made[key]
            if script == digest and not history.is_released(run.machine, rule, host, since=earlier.at, until=permit.at)
        ]
        count = options.attempts
        if any(
            last - first <= options.attempts_within_s for first, last in zip(walls, walls[count - 1 :], strict=False)
        ):
            yield f"{rule} on {host} permitted after {len(walls)} attempts, and {count} are allowed"
        if any(each.start is not None and each.run is run for each in history.sent_by_id[permit.execution_id]):
            made[key].append((permit, digest))


def lost_is_never_repeated(history: History) -> Iterator[str]:
    """
    After an execution was recorded as lost its incident gets no permit of this store.

    Until a person releases it, or `reconcile` proved the end of that execution.
    """
    proved: dict[tuple[int, object], float] = {}
    for event in history.events("reconciled"):
        execution_id, found = event.details
        if isinstance(found, Reconciliation) and found.proves_end:
            proved.setdefault((event.machine, execution_id), event.at)
    lost: dict[tuple[int, object], list[tuple[float, float]]] = defaultdict(list)
    for (machine, execution_id), (at, outcome, _) in history.outcome_of.items():
        if outcome == "lost":
            until = proved.get((machine, execution_id), float("inf"))
            lost[machine, history.incident_of(execution_id)].append((at, until))
    for run, permit in history.permits:
        incident = history.incident_of(permit.execution_id)
        for at, until in lost.get((run.machine.number, incident), ()):
            if at < permit.at <= until and not history.is_released(
                run.machine, incident[0], incident[1], since=at, until=permit.at
            ):
                yield f"{incident[0]} on {incident[1]} permitted at {permit.at:.1f}s, lost at {at:.1f}s"


def only_what_was_reviewed(history: History) -> Iterator[str]:
    """What is sent is in the run's reviewed plan: execution, host and where it leads, row, the script's bytes."""
    for sent in history.world.sent:
        planned = history.world.planned.get(sent.execution_id)
        plan = sent.run.plan
        if planned is None or plan is None or sent.execution_id not in sent.run.planned_ids:
            yield f"{sent.execution_id} on {sent.host} is not in the plan of run {sent.run.id}"
            continue
        if (planned.host, planned.script_sha256, dict(planned.key)["name"]) != (sent.host, sent.sha256, sent.row):
            yield f"{sent.execution_id} is planned for {planned.host}, and was sent to {sent.host} otherwise"
        if plan.endpoints.get(sent.host, sent.address) != sent.address:
            yield f"{sent.execution_id} is planned for {plan.endpoints[sent.host]}, and was sent to {sent.address}"


def intent_is_durable_first(history: History) -> Iterator[str]:
    """When a fix is handed to a runner its intent would survive a power cut, in the audit log and in the ledger."""
    for sent in history.world.sent:
        if not sent.in_audit:
            yield f"{sent.execution_id} was sent before its intent was durable in the audit log"
        if not sent.in_ledger:
            yield f"{sent.execution_id} was sent before its intent was durable in the ledger"


def one_fix_at_a_time_on_a_host(history: History) -> Iterator[str]:
    """No host works on two fixes at once; and from one store none is sent to a host that works for another run."""
    for host, starts in history.starts_by_host.items():
        for first, second in pairwise(starts):
            if first.ended_at is None or second.at < first.ended_at:
                yield f"{host} started {second.execution_id} while {first.execution_id} was running"
    for sent in history.world.sent:
        if sent.arrived != "host_busy":
            continue
        for start in history.starts_by_host[sent.host]:
            was_running = start.at <= sent.at and (start.ended_at is None or sent.at < start.ended_at)
            if not was_running or start.run.machine is not sent.run.machine:
                continue
            known = history.outcome_of.get((sent.run.machine.number, start.execution_id))
            # Of one that was recorded as lost or so, nobody knows that it is still running.
            if known is None or known[0] >= sent.at:
                yield f"{sent.execution_id} was sent to {sent.host} while {start.execution_id} was running there"


def concurrency_is_kept(history: History) -> Iterator[str]:
    """
    No rollout works on more hosts at any instant than its concurrency, what is left of crashed runs counted.

    A host whose end was recorded unseen (`lost`, and so bad) has given its place up.
    """
    for (run_id, rule), sent in history.sent_of.items():
        options = history.world.options.get(rule)
        if options is None:
            continue
        changes: list[tuple[float, int]] = []
        for each in sent:
            start = each.start
            if start is None:
                continue
            end = start.ended_at if start.ended_at is not None else float("inf")
            known = history.outcome_of.get((each.run.machine.number, each.execution_id))
            if known is not None and known[2] is each.run:
                end = min(end, known[0])
            changes += [(start.at, 1), (max(end, start.at), -1)]
        working = 0
        for at, change in sorted(changes):
            working += change
            if working > options.concurrency:
                yield f"{run_id} worked on {working} hosts for {rule} at {at:.1f}s, concurrency {options.concurrency}"
                break


def _is_good(sent: Sent, *, later: bool, at: float, history: History) -> bool:
    """Say whether a fix did what it should, by its host's truth at a moment."""
    start = sent.start
    if start is None or start.ended_at is None or start.ended_at > at or start.exit_code is None:
        return False
    if later:
        return start.exit_code in (0, 100)
    if start.exit_code == 100:
        return True
    host = history.world.hosts[sent.host]
    # It was well at some moment between its end and now; a relapse is another invariant.
    return start.exit_code == 0 and any(
        not host.was_sick(sent.row, time)
        for time in (start.ended_at, at, *(time for time, _ in host.changes[sent.row] if start.ended_at <= time <= at))
    )


def waves_wait_their_turn(history: History) -> Iterator[str]:
    """
    No host of a wave is permitted before the waves before it ended, the soak passed, and the last had a good outcome.

    In the first wave each platform that is still to come needs a good outcome, by the
    truth of its hosts; nor do hosts that were begun ever exceed the shares of the waves.
    """
    for (run_id, rule), sent in history.sent_of.items():
        options = history.world.options.get(rule)
        run = sent[0].run
        if options is None or run.plan is None:
            continue
        wave_of = {permit.execution_id: permit.wave for permit in run.permits}
        by_wave: dict[int, list[Sent]] = defaultdict(list)
        for each in sent:
            by_wave[wave_of.get(each.execution_id, 0)].append(each)
        yield from _too_many_in_waves(history, run, rule, by_wave)
        for number in sorted(by_wave):
            if number < 2:
                continue
            ids = {each.execution_id for each in by_wave[number]}
            first = min(permit.at for permit in run.permits if permit.wave == number and permit.execution_id in ids)
            before = [each for wave, part in by_wave.items() if wave < number for each in part]
            last = by_wave.get(number - 1, [])
            yield from _not_over(history, run, before, first=first, soak_s=options.soak_s)
            good = [each for each in last if _is_good(each, later=options.later, at=first, history=history)]
            if not good:
                yield f"{run_id} went on to wave {number} of {rule} without a good outcome in wave {number - 1}"
            if number == 2:
                platforms = {history.world.hosts[each.host].platform for each in good}
                late = {history.world.hosts[each.host].platform for each in sent if each not in last}
                if late - platforms:
                    yield f"{run_id} went on to wave 2 of {rule} without a good outcome on {sorted(late - platforms)}"


def _too_many_in_waves(history: History, run: Run, rule: str, by_wave: dict[int, list[Sent]]) -> Iterator[str]:
    assert run.plan is not None
    spec = next(each.spec for each in run.plan.rules if each.rule.name == rule)
    options = make_rule(history.world.options[rule])
    hosts: set[str] = set()
    sizes: dict[str, int] = defaultdict(int)
    for host in spec.order:
        sizes[spec.platforms[host]] += 1
    targets = _targets(options.rollout.waves, len(spec.order), sizes)
    for number in sorted(by_wave):
        hosts |= {each.host for each in by_wave[number]}
        allowed = targets[min(number, len(targets)) - 1]
        if len(hosts) > allowed:
            yield f"{run.id} had begun {len(hosts)} hosts of {rule} by wave {number}, and {allowed} are its share"


def _targets(shares: tuple[WaveShare, ...], total: int, sizes: dict[str, int]) -> list[int]:
    """Return how many hosts may have been begun by each wave; entries that add no host are left out."""
    wanted = [sum(shares[0].resolve(size) for size in sizes.values()), *(share.resolve(total) for share in shares[1:])]
    return [target for number, target in enumerate(wanted) if target > max(wanted[:number], default=0)]


def _not_over(history: History, run: Run, before: list[Sent], *, first: float, soak_s: int) -> Iterator[str]:
    for each in before:
        known = history.outcome_of.get((run.machine.number, each.execution_id))
        if known is None or known[0] > first - soak_s:
            yield (
                f"{run.id} permitted a host of the next wave at {first:.1f}s, and {each.host} "
                f"had not ended {soak_s}s before"
            )


def bad_hosts_stop_a_rollout(history: History) -> Iterator[str]:
    """
    After more than max_bad hosts of a rollout were recorded as bad it gets no permit any more.

    And by the truth of the hosts no more than max_bad + concurrency went bad.
    """
    for (run_id, rule), sent in history.sent_of.items():
        options = history.world.options.get(rule)
        run = sent[0].run
        if options is None or run.plan is None:
            continue
        spec = next(each.spec for each in run.plan.rules if each.rule.name == rule)
        bad: dict[str, float] = {}
        for at, execution_id, outcome in run.recorded:
            if history.rule_of(execution_id) == rule and outcome in _BAD:
                bad.setdefault(history.world.planned[execution_id].host, at)
        moments = sorted(bad.values())
        if len(moments) > spec.max_bad:
            end = moments[spec.max_bad]
            late = [each for each in run.permits if each.at > end and history.rule_of(each.execution_id) == rule]
            if late:
                yield f"{run_id} permitted {len(late)} executions of {rule} after {len(moments)} hosts were bad"
        fixed = {execution_id for _, execution_id, outcome in run.recorded if outcome == "fixed"}
        truly = {
            each.host
            for each in sent
            # Somebody else may have mended what a script left as it was; `fixed` is checked by an invariant of its own.
            if each.start is not None and each.execution_id not in fixed and _is_truly_bad(each, later=options.later)
        }
        if len(truly) > spec.max_bad + spec.concurrency:
            yield f"{run_id}: {len(truly)} hosts went bad with {rule}, max_bad {spec.max_bad}"


_BAD = frozenset({"not_fixed", "unverified", "failed", "lost", "refused"})


def _is_truly_bad(sent: Sent, *, later: bool) -> bool:
    start = sent.start
    if start is None:
        return False
    return start.exit_code not in (0, 100) or (not later and start.behaviour == "does nothing")


def unreachable_hosts_stop_a_rollout(history: History) -> Iterator[str]:
    """
    After more than max_unreachable hosts of a rollout were recorded as unreachable it gets no permit any more.

    Nor does the run, after more than one and 10 % of all planned hosts were.
    """
    for run in history.runs:
        if run.plan is None:
            continue
        gone = [
            (at, history.world.planned[execution_id])
            for at, execution_id, outcome in run.recorded
            if outcome == "unreachable"
        ]
        planned = len(run.plan.hosts)
        limits = [("", max(1, planned * 10 // 100))]
        limits += [(rule_plan.rule.name, rule_plan.spec.max_unreachable) for rule_plan in run.plan.rules]
        for rule, limit in limits:
            hosts: dict[str, float] = {}
            for at, execution in gone:
                if rule in ("", execution.rule):
                    hosts.setdefault(execution.host, at)
            moments = sorted(hosts.values())
            if len(moments) <= limit:
                continue
            for permit in run.permits:
                if permit.at > moments[limit] and rule in ("", history.rule_of(permit.execution_id)):
                    yield f"{run.id} permitted {permit.execution_id} after {len(moments)} hosts were unreachable"
                    break


def canaries_were_not_bad_last_time(history: History) -> Iterator[str]:
    """No host whose last attempt of the rule was bad is in the first wave while another one comes later."""
    for run in history.runs:
        if run.plan is None or run.order.careless or run.order.plan_of is not None:
            continue
        planned_at = run.planned_at
        last: dict[tuple[str, str], tuple[float, str]] = {}
        for other in history.runs:
            if other.machine is not run.machine:
                continue
            for at, execution_id, outcome in (*other.recorded, *other.closed, *other.taken_over):
                if outcome in ("skipped", "unreachable") or at >= planned_at:
                    continue
                rule, host, _ = history.incident_of(execution_id)
                if last.get((rule, host), (-1.0, ""))[0] <= at:
                    last[rule, host] = (at, outcome)
        for rule_plan in run.plan.rules:
            name, platforms = rule_plan.rule.name, rule_plan.spec.platforms
            if len(rule_plan.waves) < 2:
                continue
            bad = {host for (rule, host), (_, outcome) in last.items() if rule == name and outcome in _BAD}
            protected = {list(history.world.hosts)[number] for number in history.world.scenario.protected}
            for host in set(rule_plan.waves[0]) & bad - protected:
                better = [
                    each
                    for wave in rule_plan.waves[1:]
                    for each in wave
                    if each not in bad | protected and platforms[each] == platforms[host]
                ]
                if better:
                    yield f"{run.id} has {host} as a canary of {name}, bad last time, before {better[0]}"


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


def relapses_count_as_bad(history: History) -> Iterator[str]:
    """
    No wave follows when more than max_bad hosts were recorded as bad or had relapsed when the soak was over.

    A host has relapsed when its fix was recorded as `fixed`, its row is in trouble
    again from before the end of the soak on, and it could be reached and read all the while.
    """
    noisy = {Fault.UNREACHABLE, Fault.REFUSED, Fault.KEY_CHANGED, Fault.COLLECTOR_FAILS, Fault.COLLECTOR_HANGS}
    noisy |= {Fault.SENSOR_NULL, Fault.SENSOR_ROW_GONE, Fault.SENSOR_MANY_ROWS, Fault.ENDPOINT_MOVED}
    noisy |= {Fault.RACK_OUTAGE, Fault.CLOCK_STEP, Fault.SCRIPT_REBOOTS, Fault.HEALS_ITSELF}
    if noisy & history.world.scenario.on:
        return
    for (run_id, rule), sent in history.sent_of.items():
        options = history.world.options.get(rule)
        run = sent[0].run
        if options is None or run.plan is None or options.later:
            continue
        spec = next(each.spec for each in run.plan.rules if each.rule.name == rule)
        wave_of = {permit.execution_id: permit for permit in run.permits}
        for number in {permit.wave for permit in run.permits if history.rule_of(permit.execution_id) == rule}:
            firsts = [wave_of[each.execution_id].at for each in sent if wave_of[each.execution_id].wave == number]
            ended = [
                (history.outcome_of[run.machine.number, each.execution_id], each)
                for each in sent
                if wave_of[each.execution_id].wave == number - 1
                and (run.machine.number, each.execution_id) in history.outcome_of
            ]
            if not firsts or not ended:
                continue
            soaked = max(known[0] for known, _ in ended) + options.soak_s
            sick = {
                each.host
                for known, each in ended
                if known[1] == "fixed" and _is_sick_throughout(history, each, soaked - 1.0, min(firsts))
            }
            bad = {
                history.world.planned[execution_id].host
                for at, execution_id, outcome in run.recorded
                if outcome in _BAD and at < min(firsts) and history.rule_of(execution_id) == rule
            }
            if len(sick | bad) > spec.max_bad and sick:
                yield f"{run_id} went on to wave {number} of {rule}, and {sorted(sick)} had relapsed"


def _is_sick_throughout(history: History, sent: Sent, since: float, until: float) -> bool:
    host = history.world.hosts[sent.host]
    changes = [time for time, _ in host.changes[sent.row] if since <= time <= until]
    return all(host.was_sick(sent.row, time) for time in (since, until, *changes))


def breaker_stays_open(history: History) -> Iterator[str]:
    """
    After a rollout halted because of bad hosts its rule gets no permit of this store until a person releases it.

    Whatever crashed after the halt was recorded, and whoever runs next.
    """
    for run in history.runs:
        for rule, (at, by) in run.halted.items():
            if by != "max_bad":
                continue
            for other, permit in history.permits:
                if other.machine is not run.machine or permit.at <= at or history.rule_of(permit.execution_id) != rule:
                    continue
                if other.order.override == "paused":
                    continue
                if not history.is_released(run.machine, rule, None, since=at, until=permit.at):
                    yield f"{other.id} permitted {rule} at {permit.at:.1f}s; its breaker opened at {at:.1f}s"
                    break


def bad_runs_open_the_breaker(history: History) -> Iterator[str]:
    """After a run ended in which more than max_bad hosts of a rule were bad, the rule is paused until released."""
    for run in history.runs:
        if run.plan is None or run.ended_at is None or run.error:
            continue
        for rule_plan in run.plan.rules:
            rule = rule_plan.rule.name
            bad = {
                history.world.planned[execution_id].host
                for _, execution_id, outcome in run.recorded
                if outcome in _BAD and history.rule_of(execution_id) == rule
            }
            if len(bad) <= rule_plan.spec.max_bad:
                continue
            for other, permit in history.permits:
                if other.machine is not run.machine or permit.at <= run.ended_at:
                    continue
                if history.rule_of(permit.execution_id) != rule or other.order.override == "paused":
                    continue
                if not history.is_released(run.machine, rule, None, since=run.began_at, until=permit.at):
                    yield f"{other.id} permitted {rule}; {len(bad)} hosts were bad in {run.id} before"
                    break


def nothing_starts_after_a_stop(history: History) -> Iterator[str]:
    """While STOP stands in a state directory no run that uses it gets a permit; nor does an interrupted run."""
    for machine in history.world.machines:
        spans: list[tuple[float, float]] = []
        for event in history.world.events:
            if event.machine != machine.number:
                continue
            if event.what == "stop":
                spans.append((event.at, float("inf")))
            elif event.what == "start" and spans:
                spans = [(begin, min(end, event.at)) for begin, end in spans]
        for run, permit in history.permits:
            if run.machine is machine and any(begin < permit.at < end for begin, end in spans):
                yield f"{run.id} permitted {permit.execution_id} at {permit.at:.1f}s, while STOP stood"
    for run, permit in history.permits:
        if run.interrupted_at is not None and permit.at > run.interrupted_at:
            yield f"{run.id} permitted {permit.execution_id} after it was interrupted"


def nothing_starts_in_a_freeze(history: History) -> Iterator[str]:
    """No permit within a freeze, nor one whose deadline reaches into it; unreadable freezes freeze."""
    for event in history.events("freeze"):
        machine = history.world.machines[event.machine]
        start, end = event.details
        assert isinstance(start, float)
        assert isinstance(end, float)
        for run, permit in history.permits:
            if run.machine is not machine or permit.at < event.at:
                continue
            needed = history.options_of(permit.execution_id).timeout_s + _AT_THE_LATEST_S
            if start < permit.wall + needed and permit.wall < end:
                yield f"{run.id} permitted {permit.execution_id} in a freeze, or up to {needed:.0f}s before it"
    for event in history.events("freezes_unreadable"):
        seconds = event.details[0]
        assert isinstance(seconds, float)
        for run, permit in history.permits:
            if run.machine.number == event.machine and event.at < permit.at < event.at + seconds:
                yield f"{run.id} permitted {permit.execution_id} while freezes could not be read"


def nothing_starts_outside_its_window(history: History) -> Iterator[str]:
    """No permit outside the rule's change window, nor one whose deadline crosses the window's end."""
    for run, permit in history.permits:
        options = history.options_of(permit.execution_id)
        if options.window is None or run.order.override == "outside_window":
            continue
        begin, end = (60.0 * minute for minute in options.window)
        of_day = (permit.wall + ZONE_S) % _DAY_S
        if not begin <= of_day <= end - options.timeout_s - _AT_THE_LATEST_S:
            yield f"{run.id} permitted {permit.execution_id} at {of_day:.0f}s, window {begin:.0f} to {end:.0f}"


def nothing_starts_while_paused(history: History) -> Iterator[str]:
    """What a person paused (rule, group, host, everything) gets no permit until the pause is over."""
    for event in history.events("pause"):
        kind, name, until = event.details
        ends = [
            each.at
            for each in history.world.events
            if each.what in ("pause", "unpause") and each.details[:2] == (kind, name) and each.at > event.at
        ]
        for run, permit in history.permits:
            if run.machine.number != event.machine or not event.at < permit.at < min(ends, default=float("inf")):
                continue
            if run.order.override == "paused" or (isinstance(until, float) and permit.wall >= until):
                continue
            planned = history.world.planned[permit.execution_id]
            rack = f"rack-{history.world.hosts[planned.host].rack}"
            if name == {"all": "", "rule": planned.rule, "group": rack, "host": planned.host}[str(kind)]:
                yield f"{run.id} permitted {permit.execution_id}, and {kind} {name} is paused"


def budgets_hold(history: History) -> Iterator[str]:
    """
    In the window before any permit, by the machine's clock, no more distinct hosts were started than a budget has.

    Over all runs of a store, crashes included, never refunded.
    """
    scenario = history.world.scenario
    for machine in history.world.machines:
        permits = [(permit.wall, permit.execution_id) for run, permit in history.permits if run.machine is machine]
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


def sent_only_on_a_fresh_match(history: History) -> Iterator[str]:
    """What is sent mends a row that the same session has just read, and the collector printed it as in trouble."""
    for sent in history.world.sent:
        if not sent.read_match:
            yield f"{sent.execution_id} was sent to {sent.host}, and its re-check printed no trouble"
        if not 0 <= sent.read_age_s <= 900:
            yield f"{sent.execution_id} was sent to {sent.host} {sent.read_age_s:.0f}s after its re-check"


def protected_hosts_are_left_alone(history: History) -> Iterator[str]:
    """A protected host gets a permit only when it was named, and after all others of its rollout had theirs."""
    names = list(history.world.hosts)
    protected = {names[number] for number in history.world.scenario.protected}
    for run, permit in history.permits:
        planned = history.world.planned[permit.execution_id]
        if planned.host in protected and planned.host not in {names[number] for number in run.order.hosts}:
            yield f"{run.id} permitted {permit.execution_id} on {planned.host}, which is protected and was not named"


def one_disruptive_fix_per_host_and_run(history: History) -> Iterator[str]:
    """A run sends at most one disruptive fix to a host."""
    sent: dict[tuple[str, str], int] = defaultdict(int)
    for each in history.world.sent:
        if history.rule_of(each.execution_id) and history.options_of(each.execution_id).risk != "safe":
            sent[each.run.id, each.host] += 1
    for (run_id, host), number in sent.items():
        if number > 1:
            yield f"{run_id} sent {number} disruptive fixes to {host}"


def expired_plans_start_nothing(history: History) -> Iterator[str]:
    """A run that began to apply a plan more than four hours old, by its machine's clock, gets no permit."""
    for run in history.runs:
        if run.plan is not None and run.applied_wall is not None and run.permits:
            age = run.applied_wall - run.plan.created_at.timestamp()
            if age > 4 * 3_600:
                yield f"{run.id} began {age:.0f}s after its plan was made, and got {len(run.permits)} permits"


def half_a_fleet_starts_nothing(history: History) -> Iterator[str]:
    """When more hosts matched at collection than the fuse allows nothing of the rule is sent, and exit is not 0."""
    for run in history.runs:
        if run.plan is None or run.order.plan_of is not None:
            continue
        for rule_plan in run.plan.rules:
            options = history.world.options[rule_plan.rule.name]
            matched = sum(
                1
                for printed in run.printed.values()
                if any(
                    level is not None and level > 5 and options.row in ("*", name) for name, level in printed.items()
                )
            )
            if matched <= max(1, len(run.printed) * options.matched_percent // 100):
                continue
            if any(history.rule_of(permit.execution_id) == options.name for permit in run.permits):
                yield f"{run.id} permitted {options.name}, and {matched} of {len(run.printed)} hosts matched"
            if run.exit_code == 0:
                yield f"{run.id} ended with 0, and {matched} of {len(run.printed)} hosts matched {options.name}"


def zombies_are_waited_out(history: History) -> Iterator[str]:
    """No run closes an execution of a dead run while the host may still be working on it."""
    for run in history.runs:
        for at, execution_id, _ in run.closed:
            for sent in history.sent_by_id.get(execution_id, ()):
                start = sent.start
                if start is not None and start.at <= at and (start.ended_at is None or start.ended_at > at):
                    yield f"{run.id} closed {execution_id} at {at:.1f}s, and {start.host} was still working on it"


def reconciliations_are_true(history: History) -> Iterator[str]:
    """
    What `reconcile` proved is so on the host: nothing of it runs, nor starts later, and it ended as was said.

    (A host that was restored from an older image is not simulated.)
    """
    for event in history.events("reconciled"):
        execution_id, found = event.details
        assert isinstance(found, Reconciliation)
        if not found.proves_end:
            continue
        for sent in history.sent_by_id[str(execution_id)]:
            start = sent.start
            if start is None or sent.run.machine.number != event.machine:
                continue
            if start.at > event.at or start.ended_at is None or start.ended_at > event.at:
                yield f"{execution_id} is {found.found} at {event.at:.1f}s, and was not over on {start.host}"
            if found.found is Reconciled.NEVER_STARTED:
                yield f"{execution_id} is never_started, and {start.host} started it at {start.at:.1f}s"
            if found.found is Reconciled.FINISHED and found.exit_code != start.exit_code:
                yield f"{execution_id} finished with {found.exit_code}, and on {start.host} with {start.exit_code}"


def good_outcomes_are_true(history: History) -> Iterator[str]:
    """
    What is recorded as fixed was well at some moment after its fix; done and needs_reboot ended so on the host.

    (A sensor that lies in a host's favour is not simulated.)
    """
    for run in history.runs:
        for at, execution_id, outcome in run.recorded:
            if outcome not in ("fixed", "done", "needs_reboot"):
                continue
            sent = [each for each in history.sent_by_id.get(execution_id, ()) if each.run is run]
            start = sent[-1].start if sent else None
            if start is None or start.ended_at is None or start.ended_at > at:
                yield f"{execution_id} is {outcome}, and its host has not ended it"
                continue
            expected = {"fixed": 0, "done": 0, "needs_reboot": 100}[outcome]
            if start.exit_code != expected:
                yield f"{execution_id} is {outcome}, and ended with {start.exit_code} on {start.host}"
            if outcome == "fixed" and not _is_good(sent[-1], later=False, at=at, history=history):
                yield f"{execution_id} is fixed, and {start.host} was never well after it"


def success_is_never_claimed_for_unknown(history: History) -> Iterator[str]:
    """A run that ends with 0 left no fix that it sent without a good end, by the truth of its host."""
    for run in history.runs:
        if run.exit_code != 0:
            continue
        for sent in history.world.sent:
            if sent.run is not run or sent.arrived == "host_hold":
                continue
            later = history.options_of(sent.execution_id).later
            ended = run.ended_at if run.ended_at is not None else float("inf")
            if not _is_good(sent, later=later, at=ended, history=history):
                yield f"{run.id} ended with 0, and {sent.execution_id} on {sent.host} did not end well"


def every_run_ends(history: History) -> Iterator[str]:
    """With the faults over, every run ends, in bounded simulated time; nothing waits for ever."""
    if history.stuck:
        yield history.stuck
    for run in history.runs:
        if run.ended_at is None and run.crashed_at is None:
            yield f"run {run.id} neither ended nor crashed"


def no_internal_error(history: History) -> Iterator[str]:
    """No bug of ours shows, and a run says StateError only when disk or store failed."""
    for run in history.runs:
        for bug in run.bugs:
            yield f"run {run.id}: {bug}"
        if run.error and not run.injected:
            yield f"run {run.id} ended with {run.error!r}, and neither disk nor store had failed"


def evidence_agrees(history: History) -> Iterator[str]:
    """
    After recovery ledger and audit log agree, the log verifies, and every execution has exactly one outcome.

    Read from the files and the database as they survived.
    """
    yield from recorded_violations(history)


Invariant = Callable[[History], Iterator[str]]
INVARIANTS: tuple[Invariant, ...] = (
    every_run_ends,
    no_internal_error,
    started_at_most_once,
    sent_at_most_once,
    cooldown_is_kept,
    attempts_are_limited,
    lost_is_never_repeated,
    only_what_was_reviewed,
    intent_is_durable_first,
    one_fix_at_a_time_on_a_host,
    concurrency_is_kept,
    waves_wait_their_turn,
    relapses_count_as_bad,
    bad_hosts_stop_a_rollout,
    unreachable_hosts_stop_a_rollout,
    canaries_were_not_bad_last_time,
    healed_hosts_fill_no_wave,
    breaker_stays_open,
    bad_runs_open_the_breaker,
    nothing_starts_after_a_stop,
    nothing_starts_in_a_freeze,
    nothing_starts_outside_its_window,
    nothing_starts_while_paused,
    budgets_hold,
    sent_only_on_a_fresh_match,
    protected_hosts_are_left_alone,
    one_disruptive_fix_per_host_and_run,
    expired_plans_start_nothing,
    half_a_fleet_starts_nothing,
    zombies_are_waited_out,
    reconciliations_are_true,
    good_outcomes_are_true,
    success_is_never_claimed_for_unknown,
    evidence_agrees,
)


def violations(history: History) -> Iterator[str]:
    """Yield what is violated, each with the invariant's name."""
    for invariant in INVARIANTS:
        for message in invariant(history):
            yield f"{invariant.__name__}: {message}"
