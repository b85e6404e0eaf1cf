"""A whole plan: rules in order, brakes, stops at every point, and one end for each execution."""

import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.errors import LockHeld, Refused, StateError, Unreachable
from remedy.limits import Limit
from remedy.model import Risk, VerifyLater
from remedy.outcomes import Ended
from remedy.plan import PLAN_EXPIRES_S
from remedy.port import CollectorEnding, FixEnding
from remedy.rollout import Halted, Soak, WaveStarted
from remedy.run.apply import ExecutionStarted, RuleStarted
from remedy.run.evidence import Evidence
from remedy.run.so_far import RunSoFar
from remedy.state.audit import AuditLog, AuditType
from remedy.summary import ExecutionEnd
from tests.run.fleet import GONE, Bench, FakeHost, execution_named, outcomes, rule, script, trouble, verify_until

EXPIRES = PLAN_EXPIRES_S


def names(number):
    """Return names of that many hosts."""
    return [f"web-{each}" for each in range(1, number + 1)]


def by_rule(applied):
    """Return how the executions of each rule ended."""
    found = {}
    for end in applied.ends:
        skip = end.ended.skip
        found.setdefault(end.execution.rule, []).append(skip.value if skip else end.ended.outcome.value)
    return found


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


def test_stop_before_the_start_contacts_nobody(make_bench):
    """With a STOP file nothing is contacted, every execution ends as stopped, with the file's reason."""
    bench = make_bench(trouble(*names(3)))
    bench.state.stop.write_text("the network is on fire\n")

    applied = bench.apply(bench.scope(rule()))

    assert set(outcomes(applied).values()) == {"stopped"}
    assert applied.stopped == "the network is on fire"
    assert bench.fleet.contacted == []


def test_interrupt_before_the_start_is_called_interrupted(make_bench):
    """Ctrl-C before the first rollout ends every execution as interrupted."""
    bench = make_bench(trouble(*names(3)))
    bench.asked.set()

    applied = bench.apply(bench.scope(rule()), bench.scope(rule("second")))

    assert {each for ends in by_rule(applied).values() for each in ends} == {"interrupted"}
    assert applied.interrupted


@pytest.mark.parametrize("kind", ["stop", "interrupt"])
@pytest.mark.parametrize("call", ["connect", "collect", "fix"])
def test_stop_while_a_host_is_worked_on_lets_a_sent_fix_end_and_starts_no_other(make_bench, kind, call):
    """A stop between two steps of the first host: what was sent is proved, nothing else is sent, all have an end."""
    bench = make_bench(trouble(*names(5)))

    def stop():
        if kind == "stop":
            bench.state.stop.write_text("enough\n")
        else:
            bench.asked.set()

    for host in bench.fleet.hosts.values():
        host.plan = {(call, 1): stop}
    applied = bench.apply(bench.scope(rule(waves=(1,), concurrency=1)), bench.scope(rule("second")))

    found = by_rule(applied)
    assert sorted(set(found["flag-high"])) == (["fixed", "halted"] if call == "fix" else ["halted", "stopped"])
    assert set(found["second"]) == {"stopped" if kind == "stop" else "interrupted"}
    assert len(bench.fleet.sent) == (1 if call == "fix" else 0)
    assert [halt.by for halt in applied.halts] == ["stop"]
    assert applied.interrupted is (kind == "interrupt")


def test_stop_between_two_rows_of_a_host_skips_the_second(make_bench):
    """The gate looks at the stop file at each sending, also within one host."""
    bench = make_bench(trouble("web-1", flags=("a", "b")))
    bench.fleet.hosts["web-1"].plan = {("collect", 2): lambda: bench.state.stop.write_text("enough\n")}

    applied = bench.apply(bench.scope(rule()))

    assert outcomes(applied) == {"web-1": "fixed", "web-1/b": "stopped"}


@pytest.mark.parametrize("when", ["wave", "soak"])
def test_stop_between_waves_and_during_the_soak_starts_no_further_wave(make_bench, when):
    """A stop when a wave ends, or while it soaks, ends the rollout at once; the rest is halted."""
    bench = make_bench(trouble(*names(4)))
    bench.progress = Reacting(
        bench, Soak if when == "soak" else ExecutionEnd, lambda: bench.state.stop.write_text("enough\n")
    )

    applied = bench.apply(bench.scope(rule(waves=(1,), soak_s=10**9)))

    assert sorted(outcomes(applied).values()) == ["fixed", "halted", "halted", "halted"]
    assert len([each for each in bench.progress if isinstance(each, WaveStarted)]) == 1
    assert bench.recorded("rollout.halted")[0]["by"] == "stop"
    assert bench.ledger.breakers() == {}


class Reacting(list):
    """A watcher that does something when it first hears of one kind of progress."""

    def __init__(self, bench, kind, act):
        super().__init__()
        self.kind, self.act, self.bench = kind, act, bench

    def append(self, progress):
        """Hear of progress."""
        super().append(progress)
        if isinstance(progress, self.kind) and len([each for each in self if isinstance(each, self.kind)]) == 1:
            self.act()


def test_stop_while_hosts_are_read_again_is_called_a_stop(make_bench):
    """What was not read after the soak because of a stop is no lack of good outcomes; no further wave starts."""
    bench = make_bench(trouble(*names(4)))
    for host in bench.fleet.hosts.values():

        def stop_and_go():
            bench.state.stop.write_text("enough\n")
            raise Unreachable("no route")

        host.plan = {("collect", 3): stop_and_go}
    applied = bench.apply(bench.scope(rule(waves=(1,))))

    assert [halt.by for halt in applied.halts] == ["stop"]
    assert len(bench.fleet.sent) == 1


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


def test_too_many_bad_hosts_open_the_breaker_and_halt(make_bench):
    """One bad host too many halts the rollout, and the rule is paused durably, in ledger and audit log."""
    bench = make_bench(trouble(*names(5), plan={("fix", 1): 1}))

    applied = bench.apply(bench.scope(rule(concurrency=1, max_bad=1)))

    assert sorted(outcomes(applied).values()) == ["failed", "failed", "halted", "halted", "halted"]
    assert [halt.by for halt in applied.halts] == ["max_bad"]
    assert "flag-high" in bench.ledger.breakers()
    assert "2 bad" in bench.recorded("breaker.opened", durable_only=True)[0]["reason"]
    assert len(bench.fleet.sent) == 2


def test_breaker_is_durable_in_the_audit_log_before_the_ledger_has_it(make_bench, monkeypatch):
    """What the ledger knows of a breaker the audit log can prove, also when the power goes now."""
    bench = make_bench(trouble("web-1", plan={("fix", 1): 1}))
    durable = []
    real = bench.ledger.open_breaker

    def look(*facts):
        durable.append(len(bench.recorded("breaker.opened", durable_only=True)))
        return real(*facts)

    monkeypatch.setattr(bench.ledger, "open_breaker", look)
    bench.apply(bench.scope(rule()))

    assert durable == [1]


def test_hosts_that_go_bad_after_a_stop_open_the_breaker_all_the_same(make_bench):
    """What ran when a stop came may exceed max_bad: the rule is paused for the next run, and the run says so."""
    bench = make_bench(trouble(*names(3)))
    halted = threading.Event()
    bench.progress = Reacting(bench, Halted, halted.set)

    def stop():
        bench.state.stop.write_text("enough\n")
        assert halted.wait(20)

    for host in bench.fleet.hosts.values():
        host.plan = {("fix", 1): 1, ("collect", 2): stop}
    applied = bench.apply(bench.scope(rule(concurrency=1, max_bad=0)))

    assert sorted(outcomes(applied).values()) == ["failed", "halted", "halted"]
    assert [halt.by for halt in applied.halts] == ["stop", "max_bad"]
    assert "1 bad" in bench.ledger.breakers()["flag-high"]
    assert bench.recorded("breaker.opened", durable_only=True)


def fail_together(bench, break_evidence, *, hosts=()):
    """Let the fixes of hosts fail, and evidence when all of them are read again, before any outcome is recorded."""
    hosts = hosts or list(bench.fleet.hosts.values())
    together = threading.Barrier(len(hosts), action=break_evidence, timeout=20)
    for host in hosts:
        host.plan = {("fix", 1): 1, ("collect", 2): together.wait}


def test_hosts_that_are_bad_when_the_audit_log_fails_open_the_breaker(make_bench):
    """A full disk hides no bad host: what the ledger alone could record still pauses the rule for the next run."""
    bench = make_bench(trouble(*names(4)))

    def break_disk():
        bench.disk.fail_at = bench.disk.calls + 1

    fail_together(bench, break_disk)
    with pytest.raises(StateError, match="No space left on device") as caught:
        bench.apply(bench.scope(rule(concurrency=4, max_bad=0)))

    record = bench.ledger.run(bench.run_id)
    assert {each.outcome.value for each in record.executions} == {"failed"}
    assert "4 bad, more than max_bad 0" in bench.ledger.breakers()["flag-high"]
    assert "remedy release flag-high --reason TEXT" in str(caught.value)


def test_hosts_that_are_bad_when_the_ledger_fails_open_the_breaker(make_bench):
    """A host whose outcome the ledger did not take counts as bad, for so it will be closed."""
    bench = make_bench(trouble(*names(2)))

    def break_ledger():
        bench.ledger.fail_at = bench.ledger.transactions + 1

    fail_together(bench, break_ledger)
    with pytest.raises(StateError, match="the ledger said no"):
        bench.apply(bench.scope(rule(concurrency=2, max_bad=0)))

    assert "flag-high" in bench.ledger.breakers()
    assert bench.recorded("breaker.opened", durable_only=True)


def test_failed_run_with_no_more_bad_hosts_than_it_may_have_opens_no_breaker(make_bench):
    """Exactly max_bad are not too many, also when evidence fails."""
    bench = make_bench(trouble(*names(4)))
    two, others = list(bench.fleet.hosts.values())[:2], list(bench.fleet.hosts.values())[2:]
    for host in others:
        host.plan = {("collect", 1): [{"name": "a", "level": 0}]}

    def break_disk():
        bench.disk.fail_at = bench.disk.calls + 1

    fail_together(bench, break_disk, hosts=two)
    with pytest.raises(StateError, match="No space left on device"):
        bench.apply(bench.scope(rule(concurrency=4, max_bad=2)))

    assert bench.ledger.breakers() == {}


def test_breaker_opens_also_when_the_halt_cannot_be_recorded(make_bench, monkeypatch):
    """When the record of the halt is what fails, the breaker is opened all the same."""
    bench = make_bench(trouble("web-1", plan={("fix", 1): 1}))
    real = Evidence.note

    def note(self, event, data):
        if event is AuditType.ROLLOUT_HALTED:
            raise StateError("no room")
        real(self, event, data)

    monkeypatch.setattr(Evidence, "note", note)
    with pytest.raises(StateError, match="no room"):
        bench.apply(bench.scope(rule(concurrency=1)))

    assert "flag-high" in bench.ledger.breakers()


@pytest.mark.parametrize("bug", [StateError("the disk is full"), KeyError("a bug")])
def test_breaker_opens_also_when_the_main_thread_fails(make_bench, monkeypatch, bug):
    """What went bad while the main thread could not hear of it any more counts as well."""
    bench = make_bench(trouble(*names(2), plan={("fix", 1): 1}))

    def broken(_self, _end):
        raise bug

    monkeypatch.setattr(RunSoFar, "note_end", broken)
    with pytest.raises(type(bug)):
        bench.apply(bench.scope(rule(concurrency=1)))

    assert "flag-high" in bench.ledger.breakers()


def test_breaker_that_cannot_be_opened_hides_no_failure(make_bench, monkeypatch):
    """The first failure is raised, and says what came of the breaker, too."""
    bench = make_bench(trouble(*names(2), plan={("fix", 1): 1}))

    def refuse_outcomes(*_facts):
        raise StateError("no outcome")

    def refuse_breaker(*_facts):
        raise StateError("no breaker either")

    monkeypatch.setattr(bench.ledger, "record_outcomes", refuse_outcomes)
    monkeypatch.setattr(bench.ledger, "open_breaker", refuse_breaker)
    with pytest.raises(StateError, match=r"^no outcome.*no breaker either"):
        bench.apply(bench.scope(rule(concurrency=2, max_bad=0)))

    assert bench.ledger.breakers() == {}


def under_way(bench, first):
    """Let the first host of the order do `first` when all others are read; these wait until the rollout is halted."""
    hosts = [bench.fleet.hosts[name] for name in bench.plan(bench.scope(rule())).rules[0].spec.order]
    halted, together = threading.Event(), threading.Barrier(len(hosts), timeout=20)
    bench.progress = Reacting(bench, Halted, halted.set)

    def wait():
        together.wait()
        assert halted.wait(20)

    def meet():
        together.wait()
        first()

    hosts[0].plan = {("collect", 1): meet}
    return hosts, wait


def test_hosts_that_go_bad_after_another_halt_open_the_breaker_all_the_same(make_bench):
    """A host gone unreachable halts the rollout; two that run by then end badly, and that opens the breaker."""
    bench = make_bench(trouble(*names(3)))

    def vanish():
        raise GONE

    hosts, wait = under_way(bench, vanish)
    for host in hosts[1:]:
        host.plan = {("fix", 1): 1, ("collect", 2): wait}
    applied = bench.apply(bench.scope(rule(concurrency=3, max_bad=1, max_unreachable=0)))

    assert sorted(outcomes(applied).values()) == ["failed", "failed", "unreachable"]
    assert [halt.by for halt in applied.halts] == ["max_unreachable", "max_bad"]


def test_host_under_way_when_the_rollout_halts_is_refused_at_the_gate(make_bench):
    """Hosts that are being read when another one goes bad get no permit any more."""
    bench = make_bench(trouble(*names(3)))

    def refuse():
        raise Refused("the host key is another")

    hosts, wait = under_way(bench, refuse)
    for host in hosts[1:]:
        host.plan = {("collect", 1): wait}
    applied = bench.apply(bench.scope(rule(concurrency=3)))

    assert sorted(outcomes(applied).values()) == ["halted", "halted", "refused"]
    assert bench.fleet.sent == []


def test_open_breaker_refuses_what_was_planned_before(make_bench):
    """A breaker that another run opens after the plan was made refuses everything at the gate."""
    bench = make_bench(trouble(*names(2)))
    plan = bench.plan(bench.scope(rule()))
    bench.open()
    bench.evidence.begin(bench.plan(), actor="alice", command="other")
    bench.evidence.open_breaker("flag-high", "because")
    bench.close()
    bench.run_id = "20261122T090000Z-2b3c"

    applied = bench.apply(bench.scope(rule()), plan=plan)

    assert set(outcomes(applied).values()) == {"breaker"}
    assert bench.fleet.sent == []


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


def test_host_that_matches_again_after_the_soak_is_relapsed(make_bench):
    """A canary that matches again after the soak counts as bad: the rollout halts and its breaker opens."""
    bench = make_bench(trouble(*names(4)))
    for host in bench.fleet.hosts.values():
        host.plan = {("collect", 3): [{"name": "a", "level": 9}]}

    applied = bench.apply(bench.scope(rule(waves=(1,))))

    assert sorted(outcomes(applied).values()) == ["fixed", "halted", "halted", "halted"]
    assert len(applied.relapsed) == 1
    assert applied.relapsed[0].endswith("(flag-high)")
    assert [halt.by for halt in applied.halts] == ["max_bad"]
    assert "flag-high" in bench.ledger.breakers()


def test_only_what_was_fixed_can_relapse(make_bench):
    """A row that still waits for its reboot, beside one that is fixed, is no relapse after the soak."""
    hosts = trouble(*names(3), flags=("a", "b"))
    for host in hosts:
        host.plan = {("fix", 2): 30}
    bench = make_bench(hosts)

    applied = bench.apply(bench.scope(rule(waves=(1,), fix=script(reboot_codes=(30,)))))

    assert set(outcomes(applied).values()) == {"fixed", "needs_reboot"}
    assert applied.relapsed == ()
    assert applied.halts == ()


def test_canary_that_cannot_be_read_again_stops_the_promotion(make_bench):
    """A wave whose proof cannot be repeated after the soak has no good outcome: no further wave, no breaker."""
    bench = make_bench(trouble(*names(4)))
    for host in bench.fleet.hosts.values():
        host.plan = {("collect", 3): CollectorEnding.LOST}

    applied = bench.apply(bench.scope(rule(waves=(1,))))

    assert [halt.by for halt in applied.halts] == ["no_good_outcome"]
    assert bench.ledger.breakers() == {}
    assert len(bench.fleet.sent) == 1


@pytest.mark.parametrize("level", [0.0, 9.0])
def test_host_that_leads_elsewhere_after_the_soak_counts_as_unread(make_bench, level):
    """What another machine says, good or bad, is neither the proof of a fix nor a relapse: no further wave."""
    bench = make_bench(trouble(*names(4)))
    for host in bench.fleet.hosts.values():

        def move(host=host):
            host.address, host.levels["a"] = "203.0.113.9", level

        host.plan = {("close", 1): move}
    scope = bench.scope(rule(waves=(1,)))
    plan = replace(bench.plan(scope), endpoints={name: f"u@{name}:22" for name in bench.fleet.hosts})

    applied = bench.apply(scope, plan=plan)

    read = [host for each in bench.recorded("wave.read") for host in each.get("unread", ())]
    assert [halt.by for halt in applied.halts] == ["no_good_outcome"]
    assert len(read) == 1
    assert applied.relapsed == ()
    assert bench.ledger.breakers() == {}


def test_bug_while_hosts_are_read_again_stops_the_promotion(make_bench):
    """A bug in reading a wave again proves nothing: the rollout halts, and every execution has its end."""
    bench = make_bench(trouble(*names(4)))
    for host in bench.fleet.hosts.values():
        host.plan = {("collect", 3): RuntimeError("a bug")}

    applied = bench.apply(bench.scope(rule(waves=(1,))))

    assert [halt.by for halt in applied.halts] == ["no_good_outcome"]
    assert len(bench.bugs) == 1


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


def test_rollout_of_thousands_of_hosts_can_be_recorded(make_bench):
    """A rule that is planned for more hosts than one audit record holds is recorded whole, and carried out."""
    bench = make_bench(trouble(*(f"{'x' * 60}-{number}.example.org" for number in range(1_200))))
    bench.state.stop.unlink(missing_ok=True)
    bench.progress = Reacting(bench, RuleStarted, lambda: bench.state.stop.write_text("enough\n"))

    bench.apply(bench.scope(rule(concurrency=1)))

    recorded = [host for each in bench.recorded("rollout.started") for host in each["hosts"]]
    assert sorted(recorded) == sorted(bench.fleet.hosts)


def test_bug_in_the_work_itself_ends_the_run_and_hangs_nothing(make_bench, monkeypatch):
    """A bug outside of every guard is a StateError of the run: nothing more is granted, no thread or lock is left."""
    bench = make_bench(trouble(*names(4)))

    def broken(*_args, **_more):
        raise TypeError("a bug")

    monkeypatch.setattr("remedy.run.rule_run.HostWork", broken)
    with pytest.raises(StateError, match="internal error"):
        bench.apply(bench.scope(rule(concurrency=2)))

    assert bench.fleet.sent == []


def test_failure_of_the_main_thread_grants_its_workers_nothing_more(make_bench, monkeypatch):
    """When the main thread fails while hosts are being worked on, these send nothing after that moment."""
    bench = make_bench(trouble(*names(2)))
    failed = threading.Event()
    reached = threading.Barrier(2, timeout=20)

    def first_then_wait():
        reached.wait()
        failed.wait(2)

    plan = bench.plan(bench.scope(rule()))
    order = plan.rules[0].spec.order
    bench.fleet.hosts[order[0]].plan = {("collect", 1): [{"name": "a", "level": 0}], ("close", 1): reached.wait}
    bench.fleet.hosts[order[1]].plan = {("connect", 1): first_then_wait}

    def fail_then_say(self, failure, real=RunSoFar.fail):
        real(self, failure)
        failed.set()

    def broken(_self, _end):
        raise StateError("the disk is full")

    monkeypatch.setattr(RunSoFar, "fail", fail_then_say)
    monkeypatch.setattr(RunSoFar, "note_end", broken)
    with pytest.raises(StateError, match="the disk is full"):
        bench.apply(bench.scope(rule(concurrency=2)), plan=plan)

    assert bench.fleet.sent == []


FAULTS = st.sampled_from(
    [
        Unreachable("no route"),
        Refused("the host key is another"),
        RuntimeError("a bug"),
        FixEnding.LOST,
        FixEnding.TIMED_OUT,
        FixEnding.REFUSED,
        FixEnding.HOST_BUSY,
        FixEnding.HOST_HOLD,
        FixEnding.ALREADY_STARTED,
        CollectorEnding.TIMED_OUT,
        CollectorEnding.LOST,
        [{"name": "a", "level": 0}],
        [{"name": "a", "level": None}],
        [{"name": "a", "level": 9}],
        [],
        1,
        0,
    ]
)
HOSTS = st.lists(
    st.tuples(
        st.lists(st.sampled_from([0.0, 4.0, 9.0]), min_size=1, max_size=3),
        st.dictionaries(
            st.tuples(st.sampled_from(["connect", "collect", "fix"]), st.integers(1, 4)), FAULTS, max_size=3
        ),
        st.sampled_from([0.0, 4.0, 9.0]),
    ),
    min_size=1,
    max_size=6,
)
POLICIES = st.fixed_dictionaries(
    {
        "waves": st.sampled_from([(), (1,), (1, 3)]),
        "concurrency": st.integers(1, 4),
        "max_bad": st.integers(0, 3),
        "max_unreachable": st.integers(0, 3),
        "risk": st.sampled_from(Risk),
    }
)


@settings(max_examples=120, deadline=None)
@given(
    HOSTS,
    st.lists(POLICIES, min_size=1, max_size=2),
    st.sampled_from([None, *((c, n) for c in ("collect", "fix") for n in (1, 2, 4))]),
)
def test_every_execution_has_exactly_one_end_whatever_happens(hosts, policies, stop_at):
    """Random fleets, faults, policies and stops: one end for each execution, the same in result, ledger and audit."""
    fleet = [
        FakeHost(name=f"web-{number}", levels=dict(zip("abc", levels, strict=False)), plan=dict(plan), heals_to=heals)
        for number, (levels, plan, heals) in enumerate(hosts)
    ]
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory) / "state", fleet)
        try:
            if stop_at is not None:
                bench.fleet.fault_at = (*stop_at, lambda: bench.state.stop.write_text("enough\n"))
            scopes = [bench.scope(rule(f"rule-{number}", **policy)) for number, policy in enumerate(policies)]
            plan = bench.plan(*scopes)
            bench.apply(*scopes, plan=plan)
            started = [each.execution for each in bench.progress if isinstance(each, ExecutionStarted)]
            risky = {each.rule.name for each in plan.rules if each.rule.risk is not Risk.SAFE}
            disruptive = [each.host for each in started if each.rule in risky]
        finally:
            bench.ledger.close()

    assert len(disruptive) == len(set(disruptive))
    assert set(bench.fleet.sent) <= {each.id for each in started}


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
