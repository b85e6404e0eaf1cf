"""A whole plan: rules in order of risk, fuses, locks, waves, and one end for each execution."""

import pytest

from remedy.errors import LockHeld
from remedy.limits import Limit
from remedy.model import Risk, VerifyLater
from remedy.outcomes import Ended
from remedy.plan import PLAN_EXPIRES_S
from remedy.port import FixEnding
from remedy.rollout import Halted, Soak
from remedy.run.apply import ExecutionStarted, RuleStarted
from remedy.run.evidence import Evidence
from remedy.state.audit import AuditLog
from remedy.summary import ExecutionEnd
from tests.run.bench import Reacting, by_rule, execution_named, names, outcomes
from tests.run.fleet import GONE, trouble
from tests.run.rules import rule, verify_until

EXPIRES = PLAN_EXPIRES_S


def test_rules_go_in_order_of_risk(make_bench):
    """Safe rules are carried out before disruptive ones, these before destructive ones, whatever their names."""
    bench = make_bench(trouble("web-1"))
    scopes = [
        bench.scope(rule("a-rule", risk=Risk.DESTRUCTIVE)),
        bench.scope(rule("b-rule", risk=Risk.DISRUPTIVE)),
        bench.scope(rule("z-rule", risk=Risk.SAFE)),
    ]

    applied = bench.apply(*scopes)

    started = [each.rule_plan.rule.name for each in bench.progress if isinstance(each, RuleStarted)]
    assert started == ["z-rule", "b-rule", "a-rule"]
    assert by_rule(applied) == {"z-rule": ["fixed"], "b-rule": ["healed"], "a-rule": ["healed"]}
    assert len(bench.fleet.sent) == 1


def test_blown_fuse_sends_nothing_of_its_rule_while_others_go_on(make_bench):
    """A rule whose fuse is blown ends as fuse and sends nothing; the other rule is carried out."""
    bench = make_bench(trouble("web-1", "web-2", heals_to=7.0))
    blown = bench.scope(rule("blown", matched=Limit(count=1)))
    other = bench.scope(rule("other", when="level > 8", verify=verify_until("level < 8")))

    applied = bench.apply(blown, other)

    assert by_rule(applied) == {"blown": ["fuse", "fuse"], "other": ["fixed", "fixed"]}
    assert {job.environment["REMEDY_RULE"] for host in bench.fleet.hosts.values() for job in host.jobs} == {"other"}


def test_blown_fuse_contacts_nobody(make_bench):
    """Hosts of a rule whose fuse is blown are not even read again."""
    bench = make_bench(trouble("web-1", "web-2"))

    assert set(outcomes(bench.apply(bench.scope(rule(matched=Limit(count=1))))).values()) == {"fuse"}
    assert bench.fleet.contacted == []


def test_rule_whose_lock_is_held_is_busy(make_bench):
    """While another run rolls the same rule out nothing of it is sent, and the reason names that run."""
    bench = make_bench(trouble("web-1", "web-2"))
    plan, scope = bench.plan(bench.scope(rule())), bench.scope(rule())
    bench.check_nothing_left = lambda: None

    with bench.locks("another-run").rule("flag-high"):
        applied = bench.apply(scope, plan=plan)

    assert set(outcomes(applied).values()) == {"rule_busy"}
    assert "another-run" in applied.ends[0].ended.reason
    assert bench.fleet.contacted == []


def test_plan_of_one_host_needs_no_rule_lock(make_bench):
    """A soaking rollout of the same rule does not block the person who mends one host."""
    bench = make_bench(trouble("web-1"))
    bench.check_nothing_left = lambda: None

    with bench.locks("another-run").rule("flag-high"):
        applied = bench.apply(bench.scope(rule()))

    assert outcomes(applied) == {"web-1": "fixed"}


def test_rule_lock_is_held_while_it_rolls_out_and_free_afterwards(make_bench):
    """From the first host to the last no other run can roll the rule out."""
    bench = make_bench(trouble("web-1", "web-2"))
    held = []

    def look():
        try:
            bench.locks("another-run").rule("flag-high").release()
            held.append(False)
        except LockHeld:
            held.append(True)

    for host in bench.fleet.hosts.values():
        host.plan = {("fix", 1): look}
    bench.apply(bench.scope(rule()))
    look()

    assert held == [True, True, False]


@pytest.mark.parametrize(("age_s", "expected"), [(EXPIRES, "fixed"), (EXPIRES + 1, "plan_expired")])
def test_plan_older_than_four_hours_starts_nothing(make_bench, age_s, expected):
    """Up to its last moment a plan may start; strictly after it nobody is contacted."""
    bench = make_bench(trouble("web-1"))
    bench.clock.step_s = 0.0
    plan = bench.plan(bench.scope(rule()))
    bench.clock.elapsed_s = age_s

    def look_alive():
        bench.clock.step_s = 0.001

    bench.fleet.hosts["web-1"].plan = {("connect", 1): look_alive}
    applied = bench.apply(bench.scope(rule()), plan=plan)

    assert outcomes(applied) == {"web-1": expected}
    assert bench.fleet.contacted == ([] if expected == "plan_expired" else ["web-1"])


def test_plan_that_grows_old_while_it_is_carried_out_goes_on(make_bench):
    """The plan's age counts when the run starts; after a long first rollout the re-check is the freshness."""
    bench = make_bench(trouble("web-1", "web-2", heals_to=7.0))
    first = bench.scope(rule("a-rule", when="level > 8", verify=verify_until("level < 8", settle_s=EXPIRES + 60)))
    second = bench.scope(rule("b-rule", verify=VerifyLater()))

    applied = bench.apply(first, second)

    assert by_rule(applied) == {"a-rule": ["fixed", "fixed"], "b-rule": ["done", "done"]}


@pytest.mark.parametrize(("level_of_b", "canaries"), [(0, 3), (9, 1)])
def test_only_a_host_with_nothing_left_to_mend_fills_no_wave(make_bench, level_of_b, canaries):
    """A host that is healed whole gives its place to the next; one with a row that was mended keeps it."""
    hosts = trouble(*names(3), flags=("a", "b"))
    for host in hosts:

        def heal(host=host):
            host.levels = {"a": 0.0, "b": level_of_b}

        host.plan = {("connect", 1): heal}
    bench = make_bench(hosts)

    applied = bench.apply(bench.scope(rule(waves=(1,))))

    assert len({end.execution.host for end in applied.ends if end.wave == 1}) == canaries
    assert applied.halts == ()


def test_wave_waits_for_its_soak(make_bench):
    """The second wave starts only when the clock says that the soak is over."""
    bench = make_bench(trouble(*names(3)))
    bench.clock.step_s = 10.0
    times = []
    bench.progress = Reacting(bench, Soak, lambda: times.append(bench.clock.elapsed_s))
    for host in bench.fleet.hosts.values():
        host.plan = {("connect", 1): lambda: times.append(bench.clock.elapsed_s)}

    applied = bench.apply(bench.scope(rule(waves=(1,), soak_s=300, verify=verify_until(within_s=1000))))

    assert set(outcomes(applied).values()) == {"fixed"}
    assert times[2] - times[1] >= 300


def test_worst_case_is_max_bad_and_concurrency(make_bench):
    """However many hosts fail, no more than max_bad + concurrency are sent a fix."""
    bench = make_bench(trouble(*names(12), plan={("fix", 1): 1}))

    bench.apply(bench.scope(rule(concurrency=3, max_bad=2)))

    assert 3 <= len(bench.fleet.sent) <= 5


def test_too_many_unreachable_hosts_halt_their_rule_only(make_bench):
    """More than max_unreachable halts the rule, opens no breaker, and the next rule goes on."""
    bench = make_bench([*trouble(*names(3), plan={("connect", 1): GONE}), *trouble(*(f"ok-{n}" for n in range(40)))])
    first = bench.scope(rule("a-rule", concurrency=1, max_unreachable=0), "web-1", "web-2", "web-3")
    second = bench.scope(rule("b-rule"))

    applied = bench.apply(first, second)

    assert sorted(by_rule(applied)["a-rule"]) == ["halted", "halted", "unreachable"]
    assert [(halt.rule, halt.by) for halt in applied.halts] == [("a-rule", "max_unreachable")]
    assert by_rule(applied)["b-rule"].count("fixed") >= 40
    assert bench.ledger.breakers() == {}


def test_run_with_a_tenth_of_its_hosts_unreachable_ends(make_bench):
    """More than [1, 10%] of all planned hosts unreachable ends the run, over all its rules."""
    bench = make_bench([*trouble(*names(6), plan={("connect", 0): GONE}), *trouble("ok-1", "ok-2")])
    first = bench.scope(rule("a-rule", concurrency=1), *names(6))

    applied = bench.apply(first, bench.scope(rule("b-rule"), "ok-1", "ok-2"))

    assert sorted(by_rule(applied)["a-rule"]) == ["halted"] * 4 + ["unreachable"] * 2
    assert by_rule(applied)["b-rule"] == ["stopped", "stopped"]
    assert applied.stopped == "2 of 8 planned hosts are unreachable, more than [1, 10%]"
    assert bench.fleet.sent == []


def test_what_the_first_rule_healed_is_skipped_for_the_second(make_bench):
    """Two rules want the same host: the second finds at its re-check that nothing is left to mend."""
    bench = make_bench(trouble(*names(3)))

    applied = bench.apply(bench.scope(rule("a-rule")), bench.scope(rule("b-rule")))

    assert by_rule(applied) == {"a-rule": ["fixed"] * 3, "b-rule": ["healed"] * 3}
    assert applied.halts == ()


def test_host_gets_at_most_one_disruptive_execution_in_a_run(make_bench):
    """After a disruptive fix the host's other rows, and other disruptive rules, wait for another run."""
    bench = make_bench(trouble(*names(2), flags=("a", "b"), heals_to=7.0))
    first = rule("a-rule", risk=Risk.DISRUPTIVE, when="level > 8", verify=verify_until("level < 8"))
    second = rule("b-rule", risk=Risk.DESTRUCTIVE, verify=VerifyLater())

    applied = bench.apply(bench.scope(first), bench.scope(second))

    assert sorted(by_rule(applied)["a-rule"]) == ["fixed", "fixed", "one_disruptive", "one_disruptive"]
    assert set(by_rule(applied)["b-rule"]) == {"one_disruptive"}
    assert len(bench.fleet.sent) == 2


def test_safe_fixes_do_not_count_as_disruptive(make_bench):
    """A safe fix on the same host leaves the one disruptive execution free."""
    bench = make_bench(trouble("web-1", heals_to=7.0))
    safe = rule("a-rule", when="level > 8", verify=verify_until("level < 8"))

    applied = bench.apply(bench.scope(safe), bench.scope(rule("b-rule", risk=Risk.DISRUPTIVE, verify=VerifyLater())))

    assert by_rule(applied) == {"a-rule": ["fixed"], "b-rule": ["done"]}


def test_watcher_that_fails_ends_nothing(make_bench):
    """A bug in showing the progress is kept for the log; what is being done goes on to its end."""
    bench = make_bench(trouble(*names(3)))

    def fail():
        raise RuntimeError("a bug in the view")

    bench.progress = Reacting(bench, (ExecutionStarted, ExecutionEnd, Halted), fail)

    assert set(outcomes(bench.apply(bench.scope(rule()))).values()) == {"fixed"}
    assert bench.bugs


def test_same_plan_applied_twice_starts_nothing_twice(make_bench):
    """An execution that was started is never started again by its id, whatever cooldown says."""
    hosts = trouble("web-1", plan={("fix", 1): FixEnding.TIMED_OUT})
    bench = make_bench(hosts)
    scope = bench.scope(rule(cooldown_s=0))
    plan = bench.plan(scope)
    bench.apply(scope, plan=plan)
    bench.run_id = "20261122T090000Z-2b3c"
    sent = bench.fleet.sent.copy()
    bench.fleet.sent.clear()

    again = bench.apply(scope, plan=plan)

    assert len(sent) == 1
    assert bench.fleet.sent == []
    assert outcomes(again) == {"web-1": "already_started"}
    assert "has been started before" in again.ends[0].ended.reason


def test_ends_of_a_host_name_their_wave(make_bench):
    """Each end says in which wave its host was, also when it was never started."""
    bench = make_bench(trouble(*names(3), plan={("fix", 1): 1}))
    plan = bench.plan(bench.scope(rule(waves=(1,))))

    applied = bench.apply(bench.scope(rule(waves=(1,))), plan=plan)

    waves = plan.rules[0].wave_numbers()
    assert {end.execution.host: end.wave for end in applied.ends} == waves
    assert execution_named(plan, "web-1").id in {end.execution.id for end in applied.ends}
    assert all(isinstance(end.ended, Ended) for end in applied.ends)


def test_run_with_a_very_long_command_is_opened(make_bench):
    """A command line that names more hosts than a record holds is recorded cut; the run is not refused for it."""
    bench = make_bench(trouble("web-1"))
    bench.audit = AuditLog.create(bench.state.audit, bench.run_id, bench.clock.now)

    evidence = Evidence(bench.ledger, bench.audit, run_id=bench.run_id, clock=bench.clock.now)
    evidence.open(actor="alice", command="remedy apply -l " + "web-1," * 20_000, facts={})
    bench.close()

    assert bench.recorded("run.started")[0]["command"].startswith("remedy apply -l web-1,web-1")
