"""Waves: they partition the hosts, by cumulative shares rounded up, in an order that can be recomputed."""

import itertools
from collections import Counter

import pytest
from hypothesis import assume, given

from remedy.canonical import digest_fields
from remedy.limits import parse_share
from remedy.waves import RolloutSpec, planned_waves, rollout_order
from tests.core.rollouts import spec_of, specs


def _targets(spec: RolloutSpec) -> list[int]:
    """Return the cumulative sizes of the waves by the words of the design."""
    of_platform = Counter(spec.platforms.values())
    if not spec.shares:
        return [len(spec.order)] if spec.order else []
    canaries = sum(spec.shares[0].resolve(count) for count in of_platform.values())
    shares = [canaries, *(share.resolve(len(spec.order)) for share in spec.shares[1:]), len(spec.order)]
    return sorted(set(itertools.accumulate(shares, max)) - {0})


@given(specs())
def test_planned_waves_partition_the_hosts(spec: RolloutSpec) -> None:
    """Together the planned waves hold each host once, in order within a wave, up to the cumulative shares."""
    waves = planned_waves(spec)

    assert sorted(itertools.chain.from_iterable(waves)) == sorted(spec.order)
    assert all(list(wave) == sorted(wave, key=spec.order.index) for wave in waves)
    assert list(itertools.accumulate(len(wave) for wave in waves)) == _targets(spec)


@given(specs())
def test_first_wave_has_its_share_of_each_platform(spec: RolloutSpec) -> None:
    """The first planned wave takes, of each platform, the first hosts in order up to the share of that platform."""
    assume(spec.order and spec.shares)

    first = planned_waves(spec)[0]

    for platform, count in Counter(spec.platforms.values()).items():
        of_platform = [host for host in spec.order if spec.platforms[host] == platform]
        assert [host for host in first if host in of_platform] == of_platform[: spec.shares[0].resolve(count)]


SIZES = [
    ((1, "10%", "100%"), 30, [1, 2, 27]),
    ((1, "10%", "100%"), 10, [1, 9]),
    ((1, "10%", "100%"), 11, [1, 1, 9]),
    ((1, "10%", "100%"), 1, [1]),
    ((1, 4, "100%"), 6, [1, 3, 2]),
    ((5,), 3, [3]),
    ((), 3, [3]),
    (("50%", "10%"), 4, [2, 2]),
    (("33.4%",), 3, [2, 1]),
]


@pytest.mark.parametrize(("shares", "hosts", "sizes"), SIZES)
def test_waves_are_cumulative_shares_rounded_up(shares: tuple[int | str, ...], hosts: int, sizes: list[int]) -> None:
    """Shares are cumulative and rounded up, entries that add no host vanish, and the last wave takes all."""
    spec = spec_of([f"h{number:02}" for number in range(hosts)], *shares)

    assert [len(wave) for wave in planned_waves(spec)] == sizes


def test_order_is_recomputed_from_rule_host_and_seed() -> None:
    """The order is that of SHA-256 over length-prefixed rule and host name, the seed before them when there is one."""
    hosts = [f"web-{number}" for number in range(20)]

    assert list(rollout_order("low-disk", hosts)) == sorted(hosts, key=lambda host: digest_fields(("low-disk", host)))
    assert list(rollout_order("low-disk", hosts, "s")) == sorted(
        hosts, key=lambda host: digest_fields(("s", "low-disk", host))
    )
    assert rollout_order("low-disk", reversed(hosts)) == rollout_order("low-disk", hosts)
    assert rollout_order("low-disk", hosts, "s") != rollout_order("low-disk", hosts)


@pytest.mark.parametrize(
    ("shares", "hosts", "targets"),
    [
        ([1, "10%", "100%"], 200, (1, 20, 200)),
        ([1, "10%", "100%"], 5, (1, 5)),
        ([1, "10%", "100%"], 11, (1, 2, 11)),
        ([1, "10%", "100%"], 1, (1,)),
        ([1, "10%", "100%"], 0, ()),
        ([1, 4, "100%"], 6, (1, 4, 6)),
        ([1, 4], 6, (1, 4, 6)),
        ([4, 1], 6, (4, 6)),
        ([50, "100%"], 6, (6,)),
        ([], 6, (6,)),
    ],
)
def test_planned_waves_reach_their_cumulative_shares(
    shares: list[int | str], hosts: int, targets: tuple[int, ...]
) -> None:
    """Entries are cumulative, rounded up; those that add no host vanish; the last is all hosts."""
    names = tuple(f"h{number:03}" for number in range(hosts))
    spec = RolloutSpec(
        rule="r",
        order=names,
        platforms=dict.fromkeys(names, "linux"),
        shares=tuple(parse_share(raw) for raw in shares),
        soak_s=0,
        concurrency=1,
        max_bad=0,
        max_unreachable=0,
    )

    assert tuple(itertools.accumulate(len(wave) for wave in planned_waves(spec))) == targets
