"""Stops and interrupts: at every point of a run they let a sent fix end and start no other."""

import pytest

from remedy.errors import Unreachable
from remedy.rollout import Soak, WaveStarted
from remedy.summary import ExecutionEnd
from tests.run.bench import Reacting, by_rule, names, outcomes
from tests.run.fleet import trouble
from tests.run.rules import rule


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
