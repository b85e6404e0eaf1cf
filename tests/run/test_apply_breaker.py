"""The breaker: too many bad hosts pause their rule, whatever else goes wrong by then."""

import threading

import pytest

from remedy.errors import Refused, StateError
from remedy.rollout import Halted
from remedy.run.evidence import Evidence
from remedy.run.so_far import RunSoFar
from remedy.state.audit import AuditType
from tests.run.bench import Reacting, names, outcomes
from tests.run.fleet import GONE, trouble
from tests.run.rules import rule


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
