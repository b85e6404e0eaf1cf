"""Whatever the hosts do, and whatever breaks in a run itself, it ends, and each execution has its one end."""

import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.errors import Refused, StateError, Unreachable
from remedy.model import Risk
from remedy.port import CollectorEnding, FixEnding
from remedy.run.apply import ExecutionStarted, RuleStarted
from remedy.run.so_far import RunSoFar
from tests.run.bench import Bench, Reacting, names
from tests.run.fleet import FakeHost, trouble
from tests.run.rules import rule


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
