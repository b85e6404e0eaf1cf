"""Hosts to be worked on alone: after all others, one by one, each a wave of its own, whatever the others do."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.model import Outcome
from remedy.rollout import Halted, HaltedBy, HostEnded, SkipHost, StartHost, WaveStarted
from remedy.waves import RolloutSpec, planned_waves
from tests.core.rollouts import BAD, FIXED, HEALED, Told, drive, spec_of

WEB = tuple(f"web-{number}" for number in range(20))


def with_alone(
    *alone: str, hosts: Iterable[str] = WEB, windows: Iterable[str] = (), concurrency: int = 20
) -> RolloutSpec:
    """Return a spec of a canary, a tenth, all; and these hosts alone at its end."""
    platforms = dict.fromkeys(windows, "windows")
    spec = spec_of((*hosts, *alone), 1, "10%", "100%", platforms=platforms, concurrency=concurrency)
    return replace(spec, alone=frozenset(alone))


def waves_of(told: list[Told]) -> list[list[str]]:
    """Return the hosts that each wave started."""
    waves: list[list[str]] = []
    for effect in (effect for each in told for effect in each.effects):
        match effect:
            case WaveStarted():
                waves.append([])
            case StartHost(host=host):
                waves[-1].append(host)
    return waves


def test_only_windows_host_is_no_canary_when_it_is_to_be_alone() -> None:
    """A protected domain controller has a wave of its own at the end, though no other host is a Windows one."""
    spec = with_alone("dc-1", "dc-2", windows=("dc-1", "dc-2"))

    told = drive(spec, dict.fromkeys(spec.order, FIXED))

    assert [len(wave) for wave in planned_waves(spec)] == [1, 1, 18, 1, 1]
    assert waves_of(told)[-2:] == [["dc-1"], ["dc-2"]]
    assert waves_of(told)[0] == ["web-0"]


def test_alone_hosts_only_are_each_others_canaries() -> None:
    """With nothing else planned the first of them is the canary; when it goes bad the second never starts."""
    spec = with_alone("dc-1", "dc-2", hosts=())

    bad = drive(spec, {"dc-1": BAD, "dc-2": FIXED})
    good = drive(spec, {"dc-1": FIXED, "dc-2": FIXED})

    assert waves_of(bad) == [["dc-1"]]
    assert waves_of(good) == [["dc-1"], ["dc-2"]]


def test_alone_host_follows_others_that_all_healed() -> None:
    """When every other host was healed by itself the rollout goes on; with one unverified it halts before them."""
    spec = replace(with_alone("dc-1", hosts=WEB[:3]), max_bad=5)
    healed = drive(spec, {**dict.fromkeys(WEB[:3], HEALED), "dc-1": FIXED})
    unproved = drive(spec, {**dict.fromkeys(WEB[:3], (Outcome.UNVERIFIED,)), "dc-1": FIXED})

    assert waves_of(healed)[-1] == ["dc-1"]
    assert "dc-1" not in [host for wave in waves_of(unproved) for host in wave]
    assert any(
        isinstance(effect, Halted) and effect.by is HaltedBy.NO_GOOD_OUTCOME for t in unproved for effect in t.effects
    )


FATES = st.sampled_from([FIXED, FIXED, FIXED, HEALED, BAD, (Outcome.UNREACHABLE,), (Outcome.SKIPPED,)])


@given(st.integers(0, 12), st.integers(1, 4), st.integers(1, 5), st.data())
def test_alone_hosts_run_alone_and_last_whatever_happens(
    together: int, alone: int, concurrency: int, data: st.DataObject
) -> None:
    """Nobody runs beside a host that is to be alone, nobody but its like comes after it, and nobody is forgotten."""
    names = tuple(f"dc-{number}" for number in range(alone))
    spec = with_alone(*names, hosts=WEB[:together], concurrency=concurrency)
    spec = replace(spec, max_bad=data.draw(st.integers(0, 20)))
    fates = {host: data.draw(FATES) for host in spec.order}

    told = drive(spec, fates, turns=data.draw(st.lists(st.integers(0, 30), min_size=1)))

    running: set[str] = set()
    seen: list[str] = []
    skipped: list[str] = []
    for each in told:
        if isinstance(each.event, HostEnded):
            running.discard(each.event.host)
        for effect in each.effects:
            match effect:
                case StartHost(host=host):
                    assert not (running and (host in names or running & set(names)))
                    running.add(host)
                    seen.append(host)
                case SkipHost(host=host):
                    skipped.append(host)
                case _:
                    pass
    assert sorted([*seen, *skipped]) == sorted(spec.order)
    first_alone = next((index for index, host in enumerate(seen) if host in names), len(seen))
    assert set(seen[first_alone:]) <= set(names)
    assert sorted(host for wave in planned_waves(spec) for host in wave) == sorted(spec.order)


def test_alone_hosts_must_be_the_last() -> None:
    """A spec whose alone hosts do not stand last in its order is a mistake of ours."""
    with pytest.raises(ValueError, match="alone"):
        replace(spec_of(("dc-1", "web-1"), "100%"), alone=frozenset({"dc-1"}))
