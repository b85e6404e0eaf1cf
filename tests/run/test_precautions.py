"""Precautions at the moment of sending, over a real ledger: freezes, budgets, pauses, windows, and what ends a run."""

from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from remedy.errors import UsageError
from remedy.holds import Override, Pause, PauseOf
from remedy.limits import Budget
from remedy.model import Hold, Mode
from remedy.precautions import NO_PRECAUTIONS
from remedy.schedule import ChangeWindow, Freeze
from tests.run.bench import RUN, Bench, outcomes
from tests.run.fleet import NOW, trouble
from tests.run.rules import rule

DAY_S = 86_400
NEXT_RUN = "20261122T090000Z-2b3c"


@pytest.fixture
def make_bench(tmp_path):
    """Return what makes benches; each has a state directory of its own."""
    made = []

    def make(hosts, **more):
        bench = Bench(tmp_path / f"state-{len(made)}", hosts, **more)
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.ledger.close()


def names(count):
    """Return so many host names."""
    return [f"web-{number}" for number in range(count)]


def planned(bench, scope, **precautions):
    """Return the plan with these precautions."""
    return bench.plan(scope, precautions=replace(NO_PRECAUTIONS, **precautions))


@pytest.mark.parametrize("whose", ["per_rule", "all_rules"])
def test_budget_holds_over_runs_and_is_never_refunded(make_bench, whose):
    """Of a budget of 3 hosts a first run uses 2, one of which fails; the second run starts on one more and no other."""
    bench = make_bench(trouble(*names(6)))
    bench.fleet.hosts["web-0"].plan[("fix", 1)] = 1
    budget = {whose: Budget(hosts=3, window_s=DAY_S)}
    first = bench.scope(rule(max_bad=9, concurrency=1), "web-0", "web-1")
    rest = bench.scope(rule(max_bad=9, concurrency=1), *names(6)[2:])

    bench.apply(first, plan=planned(bench, first, **budget))
    sent = bench.fleet.sent.copy()
    bench.fleet.sent.clear()
    bench.run_id = NEXT_RUN
    second = bench.apply(rest, plan=planned(bench, rest, **budget))

    assert (len(sent), len(bench.fleet.sent)) == (2, 1)
    assert sorted(outcomes(second).values()) == ["budget", "budget", "budget", "fixed"]


def test_budget_counts_a_host_once(make_bench):
    """Three rows of one host are one host of the budget."""
    bench = make_bench(trouble("web-0", flags=("a", "b", "c")))
    scope = bench.scope(rule())

    applied = bench.apply(scope, plan=planned(bench, scope, per_rule=Budget(hosts=1, window_s=DAY_S)))

    assert set(outcomes(applied).values()) == {"fixed"}
    assert len(bench.fleet.sent) == 3


def test_freeze_that_begins_in_the_middle_ends_the_run(make_bench):
    """A freeze that appears while a wave runs: what runs is finished, nothing new starts, and it says why."""
    hosts = trouble(*names(4))
    bench = make_bench(hosts)
    freeze = Freeze(start=NOW - timedelta(hours=1), end=NOW + timedelta(hours=9), reason="incident 4711")

    def freeze_now():
        bench.freezes = (freeze,)

    for host in hosts:
        host.plan[("fix", 1)] = freeze_now
    scope = bench.scope(rule(waves=(1,), concurrency=1))

    applied = bench.apply(scope)

    assert len(bench.fleet.sent) == 1
    assert sorted(outcomes(applied).values()) == ["fixed", "halted", "halted", "halted"]
    assert "incident 4711" in applied.stopped


def test_freeze_that_begins_before_the_deadline_lets_nothing_start(make_bench):
    """A fix of 60 s does not start 104 s before a freeze; one whose deadline and grace are over by then does."""
    for seconds, expected in ((104, "frozen"), (200, "fixed")):
        bench = make_bench(trouble("web-0"))
        bench.freezes = (
            Freeze(start=NOW + timedelta(seconds=seconds), end=NOW + timedelta(days=9), reason="year end"),
        )

        applied = bench.apply(bench.scope(rule()))

        assert outcomes(applied) == {"web-0": expected}
        assert len(bench.fleet.sent) == (expected == "fixed")


def test_freezes_that_cannot_be_read_are_a_freeze(make_bench):
    """When the file of the freezes is gone, nothing starts and nobody is contacted."""
    bench = make_bench(trouble("web-0"))

    def gone():
        raise UsageError("remedy.yaml is gone")

    surroundings = bench.surroundings
    bench.surroundings = lambda: replace(surroundings(), freezes=gone)

    applied = bench.apply(bench.scope(rule()))

    assert outcomes(applied) == {"web-0": "stopped"}
    assert "remedy.yaml is gone" in applied.stopped
    assert bench.fleet.contacted == []


def test_window_that_closes_before_the_deadline_lets_nothing_start(make_bench):
    """At 08:45 a fix of 60 s does not start in a window until 08:46, though the plan was made inside it."""
    window = ChangeWindow(days=(6,), start_minute=8 * 60, end_minute=8 * 60 + 47, zone=UTC, zone_name="UTC")
    bench = make_bench(trouble("web-0"))
    scope = bench.scope(replace(rule(), change_windows=(window,)))
    plan = bench.plan(scope)
    bench.clock.elapsed_s = 60

    applied = bench.apply(scope, plan=plan)

    assert len(plan.executions) == 1
    assert outcomes(applied) == {"web-0": "outside_window"}
    assert bench.fleet.sent == []


def test_pause_in_the_middle_is_seen_by_the_next_fix(make_bench):
    """A pause that a person sets while a wave runs holds from the next host on."""
    hosts = trouble(*names(3))
    bench = make_bench(hosts)

    def pause():
        bench.ledger.pause(
            Pause(of=PauseOf.RULE, name="flag-high", reason="look first", actor="bob", at=NOW, until=None)
        )

    for host in hosts:
        host.plan[("fix", 1)] = pause
    scope = bench.scope(rule(concurrency=1))

    applied = bench.apply(scope)

    assert len(bench.fleet.sent) == 1
    assert sorted(outcomes(applied).values()) == ["fixed", "paused", "paused"]


def test_protected_host_is_refused_by_the_gate_too(make_bench):
    """A plan that holds a protected host nobody named is not carried out there."""
    bench = make_bench(trouble("web-0"))
    scope = bench.scope(rule())
    plan = bench.plan(scope)
    plan = replace(plan, precautions=replace(NO_PRECAUTIONS, protected=frozenset({"web-0"})))

    applied = bench.apply(scope, plan=plan)

    assert outcomes(applied) == {"web-0": "protected"}
    assert bench.fleet.sent == []


def test_override_lets_an_observing_rule_fix_one_host(make_bench):
    """With `observe_only` lifted for one host, the rule's fix runs there; without, nothing is planned."""
    bench = make_bench(trouble("web-0"))
    scope = bench.scope(rule(mode=Mode.OBSERVE))
    override = Override(hold=Hold.OBSERVE_ONLY, rule="flag-high", host="web-0", reason="asked by the owner")

    assert bench.plan(scope).executions == ()
    applied = bench.apply(scope, plan=planned(bench, scope, override=override))

    assert outcomes(applied) == {"web-0": "fixed"}


def test_plan_that_expired_or_is_to_come_starts_nothing(make_bench):
    """A plan older than 4 h, or one made more than 5 minutes from now, is not begun, and nobody is contacted."""
    for seconds in (4 * 3_600 + 1, -301):
        bench = make_bench(trouble("web-0"))
        scope = bench.scope(rule())
        plan = bench.plan(scope)
        bench.clock.elapsed_s = seconds

        applied = bench.apply(scope, plan=plan)

        assert outcomes(applied) == {"web-0": "plan_expired"}
        assert bench.fleet.contacted == []
        assert bench.run_id == RUN
