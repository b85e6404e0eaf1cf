"""Hosts read again after the soak: what relapsed is bad, and what cannot be read promotes nothing."""

from dataclasses import replace

import pytest

from remedy.port import CollectorEnding
from tests.run.bench import names, outcomes
from tests.run.fleet import trouble
from tests.run.rules import rule, script


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
