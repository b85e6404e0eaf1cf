"""Worlds for rollouts: specs, what hosts come to, a driver that plays them until the end, and random ones."""

import itertools
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from remedy.limits import WaveShare
from remedy.model import Outcome
from remedy.rollout import (
    Begin,
    Effect,
    Event,
    ExecutionEnded,
    Finished,
    Halted,
    HostEnded,
    HostsRead,
    ReadAgain,
    Rollout,
    Soak,
    SoakEnded,
    StartHost,
    StopAsked,
)
from remedy.waves import RolloutSpec

NONE: frozenset[str] = frozenset()
HEALED: tuple[Outcome, ...] = ()
FIXED = (Outcome.FIXED,)
BAD = (Outcome.FAILED,)
GONE = (Outcome.UNREACHABLE,)
SKIPPED = (Outcome.SKIPPED,)

Fates = Mapping[str, tuple[Outcome, ...]]
"""The outcomes of each host's executions, in order; none: it was healed by itself."""


def spec_of(
    hosts: Iterable[str],
    *shares: int | str,
    platforms: Mapping[str, str] | None = None,
    concurrency: int = 20,
    max_bad: int = 0,
    max_unreachable: int = 100,
) -> RolloutSpec:
    """Return a spec with waves written as in YAML; every host is on Linux unless platforms says otherwise."""
    order = tuple(hosts)
    kinds = platforms or {}
    return RolloutSpec(
        rule="low-disk",
        order=order,
        platforms={host: kinds.get(host, "linux") for host in order},
        shares=tuple(
            WaveShare(count=share) if isinstance(share, int) else WaveShare(percent=float(share.rstrip("%")))
            for share in shares
        ),
        soak_s=300,
        concurrency=concurrency,
        max_bad=max_bad,
        max_unreachable=max_unreachable,
    )


@dataclass(frozen=True, slots=True)
class Told:
    """One event with the effects it had."""

    event: Event
    effects: tuple[Effect, ...]


def drive(
    spec: RolloutSpec,
    fates: Fates,
    *,
    turns: Sequence[int] = (0,),
    relapsed: frozenset[str] = NONE,
    unread: frozenset[str] = NONE,
    stop_at: int | None = None,
) -> list[Told]:
    """
    Play the world to a rollout until it says `Finished`; return what was told.

    `turns` choose which running host does its next thing; `stop_at` asks to stop
    before the step of that number.
    """
    rollout = Rollout(spec)
    told: list[Told] = []
    running: dict[str, deque[Event]] = {}
    waiting: list[Event] = []

    def tell(event: Event) -> None:
        effects = rollout.on(event)
        told.append(Told(event, effects))
        for effect in effects:
            match effect:
                case StartHost(host=host):
                    assert host not in running
                    running[host] = deque(_life(host, fates[host]))
                case Soak():
                    waiting.append(SoakEnded())
                case ReadAgain(hosts=hosts):
                    waiting.append(HostsRead(relapsed & set(hosts), (unread - relapsed) & set(hosts)))
                case _:
                    pass

    tell(Begin())
    turn = itertools.cycle(turns)
    for step in itertools.count():
        if told[-1].effects and told[-1].effects[-1] == Finished():
            return told
        if step == stop_at:
            tell(StopAsked("stop file"))
        elif running:
            host = list(running)[next(turn) % len(running)]
            event = running[host].popleft()
            if not running[host]:
                del running[host]
            tell(event)
        else:
            tell(waiting.pop())
    raise AssertionError("the loop above ends by returning")


def _life(host: str, outcomes: tuple[Outcome, ...]) -> Iterable[Event]:
    yield from (ExecutionEnded(host, outcome) for outcome in outcomes or SKIPPED)
    yield HostEnded(host, healed=not outcomes)


def effects_of(told: Iterable[Told]) -> list[Effect]:
    """Return all effects in order."""
    return [effect for each in told for effect in each.effects]


def started(told: Iterable[Told]) -> list[str]:
    """Return the hosts that were started, in order."""
    return [effect.host for effect in effects_of(told) if isinstance(effect, StartHost)]


def halted(told: Iterable[Told]) -> list[Halted]:
    """Return the halts: one or none."""
    return [effect for effect in effects_of(told) if isinstance(effect, Halted)]


# Random rollouts

SHARES = st.one_of(
    st.integers(1, 12).map(lambda count: WaveShare(count=count)),
    st.sampled_from((0.5, 5.0, 10.0, 25.0, 50.0, 100.0)).map(lambda percent: WaveShare(percent=percent)),
)
CALM = st.sampled_from([FIXED] * 6 + [(Outcome.DONE,), HEALED, (Outcome.FIXED, Outcome.FIXED), (Outcome.NEEDS_REBOOT,)])
ROUGH = st.lists(st.sampled_from(Outcome), max_size=3).map(tuple)


@st.composite
def specs(draw: st.DrawFn) -> RolloutSpec:
    """Draw a spec of up to 24 hosts on up to three platforms."""
    hosts = [f"h{number:02}" for number in range(draw(st.integers(0, 24)))]
    kinds = draw(st.sampled_from((("linux",), ("linux", "windows"), ("linux", "linux", "linux", "windows", "bsd"))))
    return RolloutSpec(
        rule="low-disk",
        order=tuple(hosts),
        platforms={host: draw(st.sampled_from(kinds)) for host in hosts},
        shares=tuple(draw(st.lists(SHARES, max_size=4))),
        soak_s=draw(st.sampled_from((0, 300))),
        concurrency=draw(st.integers(1, 6)),
        max_bad=draw(st.sampled_from((0, 0, 1, 3, 30))),
        max_unreachable=draw(st.sampled_from((0, 1, 30))),
    )


@st.composite
def worlds(draw: st.DrawFn, *, relapses: bool = True) -> tuple[RolloutSpec, Fates, dict[str, object]]:
    """Draw a spec, the fate of each host, and how the world behaves."""
    spec = draw(specs())
    fate = draw(st.sampled_from((CALM, CALM, CALM | ROUGH, ROUGH)))
    fates = {host: draw(fate) for host in spec.order}
    some = st.lists(st.sampled_from(spec.order), max_size=3).map(frozenset) if spec.order else st.just(NONE)
    behaviour: dict[str, object] = {"turns": draw(st.lists(st.integers(0, 5), min_size=1, max_size=8))}
    if relapses:
        behaviour |= {"relapsed": draw(st.just(NONE) | some), "unread": draw(st.just(NONE) | some)}
    return spec, fates, behaviour
