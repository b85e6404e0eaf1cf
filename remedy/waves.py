"""
Waves: the order of a rollout's hosts, and which of them each wave takes.

Pure and deterministic: a reviewer can recompute both from the plan.
"""

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from remedy.canonical import digest_fields
from remedy.limits import WaveShare

__all__ = ["Places", "RolloutSpec", "planned_waves", "rollout_order"]


def rollout_order(rule: str, hosts: Iterable[str], seed: str = "") -> tuple[str, ...]:
    """
    Return hosts in the order of SHA-256 over the length-prefixed (seed,) rule and host name.

    A reviewer can recompute it; nobody can choose it by naming order.
    """
    prefix = (seed, rule) if seed else (rule,)
    return tuple(sorted(hosts, key=lambda host: (digest_fields((*prefix, host)), host)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    """
    What a rollout needs to know: hosts in order, their platforms, resolved limits.

    max_bad and max_unreachable are counts of distinct hosts; strictly more halts.
    `alone` are hosts, last in order, that each have a wave of their own after all
    others; the shares are of the others.
    """

    rule: str
    order: tuple[str, ...]
    platforms: Mapping[str, str]
    shares: tuple[WaveShare, ...]
    soak_s: int
    concurrency: int
    max_bad: int
    max_unreachable: int
    alone: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what could never go on, or hosts to be worked on alone that do not come last."""
        if set(self.order[len(self.order) - len(self.alone) :]) != self.alone:
            raise ValueError("hosts to be worked on alone come last")
        if self.concurrency < 1:
            raise ValueError("a rollout works on at least one host at once")


def planned_waves(spec: RolloutSpec) -> tuple[tuple[str, ...], ...]:
    """
    Return the waves as they will be if no host is healed by itself meanwhile.

    The first wave takes its share of each platform; the others fill up to their
    cumulative share of all hosts, in order; those to be worked on alone follow one
    by one. Together they hold each host once.
    """
    waves: list[tuple[str, ...]] = []
    places = Places(spec)
    share = 0
    while places.left:
        share += 1
        taken = places.take(share, room=len(places.left))
        if taken:
            waves.append(tuple(taken))
    return tuple(waves)


class Places:
    """Which hosts are left, and how many places of the shares are filled already."""

    __slots__ = ("_alone_filled", "_filled", "_left_of", "_open", "_position", "_quota", "_spec", "left")

    def __init__(self, spec: RolloutSpec) -> None:
        self._spec = spec
        self._quota = _canary_quota(spec)
        self._filled = dict.fromkeys(self._quota, 0)
        self._alone_filled = 0
        self._position = {host: number for number, host in enumerate(spec.order)}
        # A plain dict whose first keys were deleted is scanned from its start each time: quadratic.
        self.left: OrderedDict[str, None] = OrderedDict.fromkeys(spec.order)
        self._left_of: dict[str, OrderedDict[str, None]] = {platform: OrderedDict() for platform in self._quota}
        self._open = 0
        for host in spec.order:
            if host not in spec.alone:
                self._left_of[spec.platforms[host]][host] = None
                self._open += 1

    @property
    def platforms_left(self) -> frozenset[str]:
        """The platforms of the hosts that are left, but for those to be worked on alone."""
        return frozenset(platform for platform, hosts in self._left_of.items() if hosts)

    def target(self, share: int) -> int:
        """Return how many places are filled when the wave of this share (from 1) is full."""
        spec = self._spec
        together = len(spec.order) - len(spec.alone)
        if share == 1:
            return sum(self._quota.values())
        if share <= len(spec.shares):
            return spec.shares[share - 1].resolve(together)
        return min(len(spec.order), together + self._alone_target(share))

    def _alone_target(self, share: int) -> int:
        """Return how many of the hosts to be worked on alone have had their wave after this share."""
        return max(0, share - max(1, len(self._spec.shares)))

    def take(self, share: int, *, room: int) -> list[str]:
        """Take the hosts that the wave of this share has a place for now, at most `room`."""
        taken = self._canaries(room) if share == 1 else self._next(share, room)
        for host in taken:
            del self.left[host]
            if host in self._spec.alone:
                self._alone_filled += 1
                continue
            platform = self._spec.platforms[host]
            del self._left_of[platform][host]
            self._filled[platform] += 1
            self._open -= 1
        return taken

    def clear(self) -> tuple[str, ...]:
        """Take all hosts that are left, for good."""
        left = tuple(self.left)
        for hosts in (self.left, *self._left_of.values()):
            hosts.clear()
        self._open = 0
        return left

    def give_back(self, host: str) -> None:
        """Open the place of a host that was healed by itself."""
        if host in self._spec.alone:
            self._alone_filled -= 1
        else:
            self._filled[self._spec.platforms[host]] -= 1

    def _next(self, share: int, room: int) -> list[str]:
        if self._open:
            free = min(room, self.target(share) - sum(self._filled.values()), self._open)
        else:
            free = min(room, self._alone_target(share) - self._alone_filled)
        return list(itertools.islice(self.left, max(0, free)))

    def _canaries(self, room: int) -> list[str]:
        free = {platform: quota - self._filled[platform] for platform, quota in self._quota.items()}
        first = (itertools.islice(self._left_of[platform], min(room, places)) for platform, places in free.items())
        return sorted(itertools.chain.from_iterable(first), key=self._position.__getitem__)[:room]


def _canary_quota(spec: RolloutSpec) -> dict[str, int]:
    """Return how many hosts of each platform the first wave takes."""
    sizes: dict[str, int] = {}
    for host in spec.order:
        if host in spec.alone:
            continue
        platform = spec.platforms[host]
        sizes[platform] = sizes.get(platform, 0) + 1
    if not spec.shares:
        return sizes
    return {platform: spec.shares[0].resolve(size) for platform, size in sizes.items()}
