"""Collecting: every host ends exactly once, nobody is contacted twice, and two names are not one machine."""

import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.errors import Refused, Unreachable
from remedy.model import Connection, Host, Platform, ReadingStatus, Scope, Transport
from remedy.port import CollectorEnding
from remedy.run.collect import collect, collect_jobs, signals_by_host, target_of
from remedy.summary import HostEnding
from tests.run.fleet import GONE, NOW, FakeHost, FakeRunner, Fleet
from tests.run.rules import FLAG, POWER, rule

SIGNALS = {"flag": FLAG, "power": POWER}


def gather(fleet, *scopes, runners=None, stop=lambda: False, ends=None):
    """Collect from a fleet."""
    heard = ends if ends is not None else []
    return collect(
        scopes or (scope_of(fleet),),
        SIGNALS,
        {Transport.SSH: FakeRunner(fleet)} if runners is None else runners,
        clock=lambda: NOW,
        on_end=heard.append,
        asked_to_stop=stop,
    )


def scope_of(fleet, of=None, *names):
    """Return the scope of a rule over hosts of the fleet."""
    hosts = tuple(Host(name=name) for name in (names or fleet.hosts))
    return Scope(rule=of or rule(), hosts=hosts, exempt_names=())


def endings(collection):
    """Return how each host ended."""
    return {end.host: end.ending.value for end in collection.host_ends}


def test_collected_host_has_a_reading_of_each_signal_and_its_endpoint():
    """A host is contacted once for all that its rules read; its end says where the connection led."""
    fleet = Fleet([FakeHost(name="web-1", levels={"a": 9.0}, others={"power": [{"watts": 3}]})])
    power = rule("power-high", when="power.watts > 5")

    found = gather(fleet, scope_of(fleet), scope_of(fleet, power))

    assert [(each.signal, each.rows) for each in sorted(found.readings, key=lambda each: each.signal)] == [
        ("flag", ({"name": "a", "level": 9.0},)),
        ("power", ({"watts": 3.0},)),
    ]
    assert found.host_ends[0].endpoint == "u@web-1:22"
    assert fleet.contacted == ["web-1"]
    assert fleet.open_sessions == set()


@pytest.mark.parametrize(
    ("fault", "ending", "status", "identity"),
    [
        (Unreachable("no\x1b route"), HostEnding.UNREACHABLE, ReadingStatus.UNREACHABLE, False),
        (Refused("another key", identity=True), HostEnding.REFUSED, ReadingStatus.REFUSED, True),
        (Refused("no sudo"), HostEnding.REFUSED, ReadingStatus.REFUSED, False),
    ],
)
@pytest.mark.parametrize("where", ["endpoint", "connect", "collect"])
def test_host_that_fails_has_a_reading_with_the_reason_for_each_signal(where, fault, ending, status, identity):
    """Wherever a host fails, it ends so, and each signal it needs has a reading that says why; the others go on."""
    fleet = Fleet([FakeHost(name="web-1", plan={(where, 1): fault}), FakeHost(name="web-2")])

    found = gather(fleet)

    end = next(each for each in found.host_ends if each.host == "web-1")
    (reading,) = [each for each in found.readings if each.host == "web-1"]
    assert (end.ending, end.identity) == (ending, identity)
    assert (reading.status, reading.rows) == (status, ())
    assert reading.reason == end.reason
    assert "\x1b" not in reading.reason
    assert endings(found)["web-2"] == "collected"
    assert fleet.open_sessions == set()


def test_collector_that_fails_spoils_only_its_signal():
    """A host whose collector timed out is collected; its reading is failed, with the reason."""
    fleet = Fleet([FakeHost(name="web-1", plan={("collect", 1): CollectorEnding.TIMED_OUT})])

    found = gather(fleet)

    assert endings(found) == {"web-1": "collected"}
    assert [each.status for each in found.readings] == [ReadingStatus.FAILED]


def test_two_names_of_one_endpoint_are_both_refused_before_contact():
    """Names that lead to one address and port are refused, each with all the names; the others go on."""
    fleet = Fleet(
        [
            FakeHost(name="web-1", address="10.0.0.1"),
            FakeHost(name="www", address="10.0.0.1"),
            FakeHost(name="web-2", address="10.0.0.2"),
        ]
    )

    found = gather(fleet)

    assert endings(found) == {"web-1": "refused", "www": "refused", "web-2": "collected"}
    assert {end.reason for end in found.host_ends if end.reason} == {
        "web-1, www all lead to 10.0.0.1:22; keep one name for each machine"
    }
    assert fleet.contacted == ["web-2"]


def test_http_and_https_of_one_winrm_service_are_one_machine():
    """Two names whose ports are 5985 and 5986 of one address are refused, as two names with one port are."""
    fleet = Fleet(
        [FakeHost(name="a", address="10.0.0.1", port=5985), FakeHost(name="b", address="10.0.0.1", port=5986)]
    )

    found = gather(fleet)

    assert endings(found) == {"a": "refused", "b": "refused"}
    assert fleet.contacted == []


def test_host_without_a_runner_for_its_transport_is_refused():
    """A transport that this version does not speak refuses the host and ends no other."""
    fleet = Fleet([FakeHost(name="web-1"), FakeHost(name="win-1")])
    scope = Scope(
        rule=rule(), hosts=(Host(name="web-1"), Host(name="win-1", transport=Transport.WINRM)), exempt_names=()
    )

    found = gather(fleet, scope)

    assert endings(found) == {"web-1": "collected", "win-1": "refused"}
    assert "winrm" in next(end.reason for end in found.host_ends if end.host == "win-1")


def test_host_of_a_platform_without_collector_is_collected_without_readings():
    """A signal that has no collector for a platform is no failure of the host."""
    fleet = Fleet([FakeHost(name="win-1")])
    scope = Scope(rule=rule(), hosts=(Host(name="win-1", platform=Platform.WINDOWS),), exempt_names=())

    found = gather(fleet, scope)

    assert endings(found) == {"win-1": "collected"}
    assert found.readings == ()


def test_interrupted_collection_contacts_nobody_new_and_ends_every_host(monkeypatch):
    """After a stop the hosts that were not begun end as refused, each once; those under way end as they do."""
    monkeypatch.setattr("remedy.run.collect.CONNECTIONS_MAX", 2)
    asked = threading.Event()
    fleet = Fleet(FakeHost(name=f"web-{number}", plan={("collect", 1): asked.set}) for number in range(30))
    ends = []

    found = gather(fleet, stop=asked.is_set, ends=ends)

    assert found.interrupted
    assert sorted(end.host for end in ends) == sorted(fleet.hosts)
    assert [end.host for end in found.host_ends] == sorted(fleet.hosts)
    collected = {host for host, ending in endings(found).items() if ending == "collected"}
    assert collected == set(fleet.contacted)
    assert len(collected) < 30
    assert {end.reason for end in found.host_ends if end.host not in collected} == {
        "interrupted before it was contacted"
    }
    assert fleet.open_sessions == set()


def test_bug_in_a_runner_surfaces_and_contacts_nobody_else(monkeypatch):
    """A bug ends the collection with itself; hosts that wait are not contacted, and no thread or session is left."""
    monkeypatch.setattr("remedy.run.collect.CONNECTIONS_MAX", 1)
    fleet = Fleet(FakeHost(name=f"web-{number}") for number in range(200))
    release = threading.Event()
    fleet.hosts["web-0"].plan = {("collect", 1): RuntimeError("a bug")}
    fleet.hosts["web-1"].plan = {("connect", 1): lambda: release.wait(1)}

    with pytest.raises(RuntimeError, match="a bug"):
        gather(fleet)

    assert len(fleet.contacted) < 200
    assert fleet.open_sessions == set()
    assert [each.name for each in threading.enumerate() if "ThreadPool" in each.name] == []


def test_no_hosts_are_collected_as_nothing():
    """No scopes give no ends and no readings."""
    found = collect([], SIGNALS, {}, clock=lambda: NOW, on_end=lambda _end: None, asked_to_stop=lambda: False)

    assert (found.host_ends, found.readings, found.collected_at) == ((), (), NOW)


def test_jobs_carry_parameters_with_the_hosts_overrides():
    """A collector reads the signal's parameters as the host overrides them, its own name, and nothing of rules."""
    signal = replace(FLAG, params={"paths": ("/a", "/b"), "deep": False})
    host = Host(name="web-1", params={"flag": {"deep": True}, "flag-high": {"above": 1.0}})

    (job,) = collect_jobs(host, ["flag"], {"flag": signal})

    assert dict(job.environment) == {
        "REMEDY_HOST": "web-1",
        "REMEDY_PARAM_PATHS": "/a\n/b",
        "REMEDY_PARAM_DEEP": "true",
    }
    assert dict(job.columns) == {"name": "text", "level": "number", "note": "text"}


def test_each_host_needs_only_the_signals_of_its_rules():
    """A signal is read on those hosts whose rules read it, in `when` or beside it, and on no other."""
    fleet = Fleet([FakeHost(name="web-1"), FakeHost(name="web-2")])
    power = rule("power-high", when="power.watts > 5")

    needed = signals_by_host([scope_of(fleet), scope_of(fleet, power, "web-2")])

    assert needed == {"web-1": ("flag",), "web-2": ("flag", "power")}


def test_target_carries_the_inventorys_connection_whole():
    """Every setting of the inventory's connection reaches the runner under its own name."""
    connection = Connection(
        address="10.0.0.1",
        port=2222,
        user="ops",
        identity_file="/k",
        password="env:P",
        known_hosts="/kh",
        barred="because",
    )

    target = target_of(Host(name="web-1", connection=connection))

    names = ("address", "port", "user", "identity_file", "password", "known_hosts", "barred")
    assert target.name == "web-1"
    assert all(getattr(target, name) == getattr(connection, name) for name in names)


WAYS = st.sampled_from([None, GONE, Refused("no"), CollectorEnding.LOST, 3, []])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WAYS, WAYS, WAYS, st.sampled_from(["", "10.0.0.1", "10.0.0.2"])), max_size=8))
def test_every_host_ends_exactly_once(ways):
    """Whatever happens to hosts, each ends once, is heard of once, and has a reading of each signal it needs."""
    fleet = Fleet(
        FakeHost(
            name=f"web-{number}",
            address=address,
            plan={
                (what, 1): way
                for what, way in zip(("endpoint", "connect", "collect"), each, strict=True)
                if way is not None and (what == "collect" or isinstance(way, BaseException))
            },
        )
        for number, (*each, address) in enumerate(ways)
    )
    ends = []

    found = gather(fleet, scope_of(fleet), ends=ends) if fleet.hosts else None

    if found is not None:
        assert sorted(end.host for end in ends) == sorted(fleet.hosts)
        assert [end.host for end in found.host_ends] == sorted(fleet.hosts)
        assert sorted((each.host, each.signal) for each in found.readings) == sorted((h, "flag") for h in fleet.hosts)
        assert len(fleet.contacted) == len(set(fleet.contacted))
    assert fleet.open_sessions == set()
