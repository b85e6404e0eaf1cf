"""Rollouts: whatever the hosts do, no limit is passed, no host is forgotten, no wave starts too early."""

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from remedy.canonical import digest_fields
from remedy.limits import WaveShare, parse_share
from remedy.model import Outcome, OutcomeClass, Skip
from remedy.rollout import (
    Begin,
    Effect,
    Event,
    ExecutionEnded,
    Finished,
    Halted,
    HaltedBy,
    HostEnded,
    HostsRead,
    ReadAgain,
    Rollout,
    SkipHost,
    Soak,
    SoakEnded,
    StartHost,
    StopAsked,
    WaveEnded,
    WaveStarted,
)
from remedy.waves import RolloutSpec, planned_waves, rollout_order

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


def _is_bad(outcomes: Iterable[Outcome]) -> bool:
    return any(outcome.outcome_class is OutcomeClass.BAD for outcome in outcomes)


def _is_good(outcomes: Iterable[Outcome]) -> bool:
    return any(outcome.outcome_class is OutcomeClass.GOOD for outcome in outcomes) and not _is_bad(outcomes)


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


@given(worlds(), st.none() | st.integers(0, 40))
def test_every_host_is_started_or_skipped_exactly_once(
    world: tuple[RolloutSpec, Fates, dict[str, object]], stop_at: int | None
) -> None:
    """Each planned host gets one StartHost or one SkipHost, never both, and then the rollout is finished."""
    spec, fates, behaviour = world

    effects = effects_of(drive(spec, fates, stop_at=stop_at, **behaviour))  # type: ignore[arg-type]

    named = Counter(effect.host for effect in effects if isinstance(effect, StartHost | SkipHost))
    assert named == Counter(spec.order)
    assert [effect for effect in effects if isinstance(effect, Finished)] == [effects[-1]]


@given(worlds(), st.none() | st.integers(0, 40))
def test_no_more_hosts_run_at_once_than_concurrency(
    world: tuple[RolloutSpec, Fates, dict[str, object]], stop_at: int | None
) -> None:
    """Never more than `concurrency` hosts are between their start and their end."""
    spec, fates, behaviour = world
    running = 0

    for each in drive(spec, fates, stop_at=stop_at, **behaviour):  # type: ignore[arg-type]
        running -= isinstance(each.event, HostEnded)
        running += sum(isinstance(effect, StartHost) for effect in each.effects)

        assert 0 <= running <= spec.concurrency


@given(worlds(), st.none() | st.integers(0, 40))
def test_nothing_starts_after_a_halt(world: tuple[RolloutSpec, Fates, dict[str, object]], stop_at: int | None) -> None:
    """After Halted, which comes at most once, no host and no wave starts, and every host left is skipped as halted."""
    spec, fates, behaviour = world

    effects = effects_of(drive(spec, fates, stop_at=stop_at, **behaviour))  # type: ignore[arg-type]

    halts = [number for number, effect in enumerate(effects) if isinstance(effect, Halted)]
    skips = [number for number, effect in enumerate(effects) if isinstance(effect, SkipHost)]
    assert len(halts) <= 1
    assert not skips or halts
    for number in skips:
        assert number > halts[0]
        assert effects[number].skip is Skip.HALTED  # type: ignore[union-attr]
    for effect in effects[halts[0] :] if halts else ():
        assert not isinstance(effect, StartHost | WaveStarted | Soak | ReadAgain)


@given(worlds(relapses=False))
def test_bad_hosts_never_exceed_max_bad_plus_concurrency(
    world: tuple[RolloutSpec, Fates, dict[str, object]],
) -> None:
    """However bad the fleet is, at most max_bad + concurrency hosts of it were touched and went bad."""
    spec, fates, behaviour = world

    told = drive(spec, fates, **behaviour)  # type: ignore[arg-type]

    assert sum(_is_bad(fates[host]) for host in started(told)) <= spec.max_bad + spec.concurrency


@given(worlds())
def test_a_limit_that_is_passed_halts_at_once(world: tuple[RolloutSpec, Fates, dict[str, object]]) -> None:
    """It is halted once more hosts than a limit are bad or gone, and else only for want of a good outcome."""
    spec, fates, behaviour = world
    rollout = Rollout(spec)
    bad: set[str] = set()
    gone: set[str] = set()

    for each in drive(spec, fates, **behaviour):  # type: ignore[arg-type]
        rollout.on(each.event)
        match each.event:
            case ExecutionEnded(host=host, outcome=outcome):
                bad |= {host} if outcome.outcome_class is OutcomeClass.BAD else set()
                gone |= {host} if outcome is Outcome.UNREACHABLE else set()
            case HostsRead(relapsed=relapsed):
                bad |= relapsed
            case _:
                pass
        exceeded = len(bad) > spec.max_bad or len(gone) > spec.max_unreachable

        assert rollout.bad_hosts == bad
        assert rollout.halted is not None or not exceeded
        if rollout.halted is not None and not exceeded:
            assert rollout.halted.by is HaltedBy.NO_GOOD_OUTCOME


@given(worlds(), st.none() | st.integers(0, 40))
def test_a_wave_starts_only_after_a_good_and_soaked_one(
    world: tuple[RolloutSpec, Fates, dict[str, object]], stop_at: int | None
) -> None:
    """
    Wave k+1 starts after all hosts of wave k ended, it soaked, and a good outcome was confirmed in it.

    For the first wave one of each platform that still has hosts; a host that
    relapsed or could not be read again confirms nothing.
    """
    spec, fates, behaviour = world
    left = dict.fromkeys(spec.order)
    wave: list[str] = []
    ended: set[str] = set()
    reread: HostsRead | None = None
    bad: set[str] = set()
    soaked = True

    for each in drive(spec, fates, stop_at=stop_at, **behaviour):  # type: ignore[arg-type]
        match each.event:
            case HostEnded(host=host):
                ended.add(host)
            case SoakEnded():
                soaked = True
            case HostsRead():
                reread = each.event
                bad |= reread.relapsed
            case _:
                pass
        for effect in each.effects:
            match effect:
                case ReadAgain(hosts=hosts):
                    assert set(hosts) == {host for host in wave if Outcome.FIXED in fates[host]}
                case WaveStarted(wave=number):
                    assert soaked
                    assert ended >= set(wave)
                    assert reread is not None or not any(Outcome.FIXED in fates[host] for host in wave)
                    doubted = (reread.unread if reread else NONE) | bad
                    good = {host for host in wave if _is_good(fates[host]) and host not in doubted}
                    if number > 2:
                        assert good
                    if number == 2:
                        platforms = {spec.platforms[host] for host in left}
                        assert platforms <= {spec.platforms[host] for host in good}
                    wave, soaked, reread = [], False, None
                case StartHost(host=host):
                    wave.append(host)
                    del left[host]
                case _:
                    pass


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


@given(specs(), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_all_good_starts_exactly_the_planned_waves(spec: RolloutSpec, turns: list[int]) -> None:
    """When every host is fixed, each wave starts the planned hosts, in order, and nothing halts."""
    told = drive(spec, dict.fromkeys(spec.order, FIXED), turns=turns)

    waves: dict[int, list[str]] = {}
    for effect in effects_of(told):
        if isinstance(effect, StartHost):
            waves.setdefault(effect.wave, []).append(effect.host)
    assert tuple(tuple(hosts) for hosts in waves.values()) == planned_waves(spec)
    assert list(waves) == list(range(1, len(waves) + 1))
    assert not halted(told)
    assert [effect.good for effect in effects_of(told) if isinstance(effect, WaveEnded)] == [
        len(wave) for wave in waves.values()
    ]


@given(worlds())
def test_healed_hosts_are_replaced_and_fill_no_wave(world: tuple[RolloutSpec, Fates, dict[str, object]]) -> None:
    """
    Healed hosts fill no place of a wave: the others never pass its share, nor fall short of it while hosts are left.

    In the first wave that holds for each platform.
    """
    spec, fates, behaviour = world
    filled: Counter[str] = Counter()
    left: Counter[str] = Counter(spec.platforms.values())
    quota = {p: spec.shares[0].resolve(count) if spec.shares else count for p, count in left.items()}
    number = target = 0

    for each in drive(spec, fates, **behaviour):  # type: ignore[arg-type]
        match each.event:
            case HostEnded(host=host, healed=True):
                filled[spec.platforms[host]] -= 1
            case _:
                pass
        for effect in each.effects:
            match effect:
                case WaveStarted():
                    number, target = effect.wave, effect.target
                case StartHost(host=host):
                    filled[spec.platforms[host]] += 1
                    left[spec.platforms[host]] -= 1
                case Soak() if number == 1:
                    assert all(filled[p] == quota[p] or not left[p] for p in quota)
                case Soak():
                    assert filled.total() == target
                case _:
                    pass

        assert filled.total() <= target
        assert number != 1 or all(filled[platform] <= quota[platform] for platform in quota)


@given(specs(), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_all_healed_finishes_without_a_halt(spec: RolloutSpec, turns: list[int]) -> None:
    """When nothing is left to mend anywhere, every host was looked at and the rollout ends without a halt or a soak."""
    told = drive(spec, dict.fromkeys(spec.order, HEALED), turns=turns)

    assert sorted(started(told)) == sorted(spec.order)
    assert not [effect for effect in effects_of(told) if isinstance(effect, Halted | Soak)]


@given(worlds(), st.data())
def test_one_more_bad_host_never_starts_more(
    world: tuple[RolloutSpec, Fates, dict[str, object]], data: st.DataObject
) -> None:
    """Turning the last execution of one host, not healed before, to bad starts no host that was not started before."""
    spec, fates, behaviour = world
    candidates = [host for host in spec.order if fates[host] and Outcome.UNREACHABLE not in fates[host]]
    assume(candidates)
    turned = data.draw(st.sampled_from(candidates))
    worse = {**fates, turned: (*fates[turned][:-1], Outcome.FAILED)}

    before = started(drive(spec, fates, **behaviour))  # type: ignore[arg-type]
    after = started(drive(spec, worse, **behaviour))  # type: ignore[arg-type]

    assert after == before[: len(after)]


@given(worlds(), st.integers(0, 40))
def test_stop_finishes_once_running_hosts_have_ended(
    world: tuple[RolloutSpec, Fates, dict[str, object]], stop_at: int
) -> None:
    """After StopAsked nothing starts; the rollout finishes with the end of the last host that ran, or at once."""
    spec, fates, behaviour = world

    told = drive(spec, fates, stop_at=stop_at, **behaviour)  # type: ignore[arg-type]

    asked = [number for number, each in enumerate(told) if isinstance(each.event, StopAsked)]
    if asked:
        after = told[asked[0] :]
        assert not started(after)
        assert all(isinstance(each.event, StopAsked | ExecutionEnded | HostEnded) for each in after)
        assert isinstance(after[-1].event, StopAsked | HostEnded)


def test_stop_before_the_beginning_skips_every_host() -> None:
    """A stop that comes before Begin starts nothing, then or later."""
    rollout = Rollout(spec_of("ab"))

    effects = rollout.on(StopAsked("stop file"))

    assert effects == (
        Halted(HaltedBy.STOP, "stop file"),
        SkipHost("a", Skip.HALTED, "stop: stop file"),
        SkipHost("b", Skip.HALTED, "stop: stop file"),
        Finished(),
    )
    assert rollout.on(Begin()) == ()


def test_stop_without_a_reason_halts_with_one() -> None:
    """The gate refuses by the reason of a halt, so a halt always has one."""
    rollout = Rollout(spec_of("ab", concurrency=1))
    rollout.on(Begin())

    rollout.on(StopAsked(""))

    assert rollout.halted == Halted(HaltedBy.STOP, "stop")


@given(worlds(), st.none() | st.integers(0, 40))
def test_same_events_replayed_give_the_same_effects(
    world: tuple[RolloutSpec, Fates, dict[str, object]], stop_at: int | None
) -> None:
    """A run is replayed from its events alone."""
    spec, fates, behaviour = world
    told = drive(spec, fates, stop_at=stop_at, **behaviour)  # type: ignore[arg-type]

    again = Rollout(spec)

    assert [again.on(each.event) for each in told] == [each.effects for each in told]


@given(worlds(), st.none() | st.integers(0, 40))
def test_an_event_told_twice_changes_nothing(
    world: tuple[RolloutSpec, Fates, dict[str, object]], stop_at: int | None
) -> None:
    """Every event told a second time has no effect, then or later: no wave starts for it, none is skipped."""
    spec, fates, behaviour = world
    told = drive(spec, fates, stop_at=stop_at, **behaviour)  # type: ignore[arg-type]
    twice = Rollout(spec)

    for each in told:
        assert twice.on(each.event) == each.effects
        assert twice.on(each.event) == ()


OUT_OF_TURN = [SoakEnded(), HostsRead(NONE, NONE), HostEnded("h", healed=True), HostEnded("c", healed=False)]


@pytest.mark.parametrize("event", OUT_OF_TURN, ids=lambda event: type(event).__name__)
def test_an_event_out_of_turn_starts_nothing(event: Event) -> None:
    """While the canary runs, the end of a soak or reading, or of a host that does not run, has no effect."""
    rollout = Rollout(spec_of("abc", 1, 2))
    assert rollout.on(event) == ()
    rollout.on(Begin())

    assert rollout.on(event) == ()


# Told stories


def _told(spec: RolloutSpec, fates: Fates, **behaviour: frozenset[str]) -> list[Effect]:
    return effects_of(drive(spec, fates, **behaviour))  # type: ignore[arg-type]


def test_rollout_of_three_waves_reads_soaks_and_goes_on() -> None:
    """One canary, half, all: each wave ends, soaks, is read again; none of that after the last."""
    effects = _told(spec_of("abcd", 1, "50%"), {"a": FIXED, "b": (Outcome.DONE,), "c": FIXED, "d": FIXED})

    assert effects == [
        WaveStarted(1, 1),
        StartHost("a", 1),
        WaveEnded(1, good=1, bad=0, unreachable=0),
        Soak(300),
        ReadAgain(("a",)),
        WaveStarted(2, 2),
        StartHost("b", 2),
        WaveEnded(2, good=1, bad=0, unreachable=0),
        Soak(300),
        WaveStarted(3, 4),
        StartHost("c", 3),
        StartHost("d", 3),
        WaveEnded(3, good=2, bad=0, unreachable=0),
        Finished(),
    ]


def test_max_bad_itself_goes_on_and_one_more_halts() -> None:
    """With max_bad 1, one bad host goes on; the second halts and names both."""
    spec = spec_of("abcde", 1, max_bad=1, concurrency=1)
    one = drive(spec, {"a": FIXED, "b": BAD, "c": FIXED, "d": FIXED, "e": FIXED})
    two = drive(spec, {"a": FIXED, "b": BAD, "c": FIXED, "d": BAD, "e": FIXED})

    assert (started(one), halted(one)) == (list("abcde"), [])
    assert started(two) == list("abcd")
    assert halted(two) == [Halted(HaltedBy.MAX_BAD, "2 bad (b, d), more than max_bad 1")]


def test_max_unreachable_itself_goes_on_and_one_more_halts() -> None:
    """With max_unreachable 1, one host that is gone goes on; the second halts."""
    spec = spec_of("abcde", 1, max_unreachable=1, concurrency=1)
    one = drive(spec, {"a": FIXED, "b": GONE, "c": FIXED, "d": FIXED, "e": FIXED})
    two = drive(spec, {"a": FIXED, "b": GONE, "c": GONE, "d": FIXED, "e": FIXED})

    assert halted(one) == []
    assert started(two) == list("abc")
    assert halted(two) == [Halted(HaltedBy.MAX_UNREACHABLE, "2 unreachable, more than max_unreachable 1")]


def test_two_bad_executions_of_a_host_are_one_bad_host() -> None:
    """Limits count distinct hosts: one host with two bad executions stays within max_bad 1."""
    told = drive(spec_of("abc", 1, max_bad=1), {"a": FIXED, "b": (Outcome.FAILED, Outcome.NOT_FIXED), "c": FIXED})

    assert halted(told) == []


@pytest.mark.parametrize("fate", [GONE, SKIPPED, (Outcome.SKIPPED, Outcome.UNREACHABLE)])
def test_canary_without_a_good_outcome_promotes_nothing(fate: tuple[Outcome, ...]) -> None:
    """A canary that was unreachable or skipped halts the rollout while hosts remain."""
    told = drive(spec_of("abc", 1), {"a": fate, "b": FIXED, "c": FIXED})

    assert started(told) == ["a"]
    assert halted(told) == [Halted(HaltedBy.NO_GOOD_OUTCOME, "wave 1 has no good outcome on linux")]


def test_later_wave_without_a_good_outcome_halts() -> None:
    """A second wave that is all skipped halts the third."""
    told = drive(spec_of("abcd", 1, 2), {"a": FIXED, "b": SKIPPED, "c": FIXED, "d": FIXED})

    assert started(told) == ["a", "b"]
    assert halted(told) == [Halted(HaltedBy.NO_GOOD_OUTCOME, "wave 2 has no good outcome on any platform")]


def test_last_wave_without_a_good_outcome_halts_nothing() -> None:
    """Where no host remains there is nothing to halt."""
    told = drive(spec_of("ab", 1), {"a": FIXED, "b": GONE})

    assert halted(told) == []


WINDOWS = {"w": "windows", "x": "windows"}


def test_good_linux_canary_promotes_no_windows_host() -> None:
    """Each platform has a canary of its own, and a bad one halts although the other was good."""
    spec = spec_of(["a", "b", "w", "x"], 1, platforms=WINDOWS, max_bad=5)
    told = drive(spec, {"a": FIXED, "b": FIXED, "w": BAD, "x": FIXED})

    assert started(told) == ["a", "w"]
    assert halted(told) == [Halted(HaltedBy.NO_GOOD_OUTCOME, "wave 1 has no good outcome on windows")]


def test_platform_without_hosts_left_needs_no_good_canary() -> None:
    """The only Windows host being skipped does not hold up Linux: nothing of that platform is to come."""
    told = drive(spec_of(["a", "b", "w"], 1, platforms=WINDOWS), {"a": FIXED, "b": FIXED, "w": SKIPPED})

    assert (started(told), halted(told)) == (["a", "w", "b"], [])


def test_healed_canary_is_replaced_by_the_next_of_its_platform() -> None:
    """The place of a healed Windows canary goes to the next Windows host, though Linux hosts come before it."""
    spec = spec_of(["a", "w", "b", "x"], 1, platforms=WINDOWS)
    told = drive(spec, {"a": FIXED, "w": HEALED, "b": FIXED, "x": FIXED}, turns=[1, 1, 0])

    waves = {effect.host: effect.wave for effect in effects_of(told) if isinstance(effect, StartHost)}
    assert waves == {"a": 1, "w": 1, "x": 1, "b": 2}


def test_relapsed_host_counts_as_bad() -> None:
    """A host that matches again after the soak halts a rollout with max_bad 0."""
    told = drive(spec_of("abc", 1), dict.fromkeys("abc", FIXED), relapsed=frozenset("a"))

    assert started(told) == ["a"]
    assert halted(told) == [Halted(HaltedBy.MAX_BAD, "1 bad (a), more than max_bad 0")]


def test_relapsed_host_is_no_good_outcome() -> None:
    """Within max_bad, a wave whose only good host relapsed promotes nothing."""
    told = drive(spec_of("abc", 1, max_bad=5), dict.fromkeys("abc", FIXED), relapsed=frozenset("a"))

    assert halted(told) == [Halted(HaltedBy.NO_GOOD_OUTCOME, "wave 1 has no good outcome on linux")]


def test_host_that_cannot_be_read_again_is_no_good_outcome() -> None:
    """Unknown after the soak is not success: a wave of which nobody could be read again promotes nothing."""
    told = drive(spec_of("abc", 1, max_bad=5), dict.fromkeys("abc", FIXED), unread=frozenset("a"))

    assert started(told) == ["a"]
    assert halted(told) == [Halted(HaltedBy.NO_GOOD_OUTCOME, "wave 1 has no good outcome on linux")]


@pytest.mark.parametrize("fate", [(Outcome.FIXED, Outcome.NEEDS_REBOOT), (Outcome.NEEDS_REBOOT, Outcome.FIXED)])
def test_host_with_a_fixed_row_is_read_again_whatever_came_after(fate: tuple[Outcome, ...]) -> None:
    """One fixed execution is enough to have the host read again, in whatever order its executions ended."""
    effects = _told(spec_of("ab", 1), {"a": fate, "b": FIXED})

    assert ReadAgain(("a",)) in effects


def test_halt_names_a_few_hosts_and_counts_the_rest() -> None:
    """A thousand relapsed hosts make one short reason, not a thousand names on each skipped host."""
    hosts = [f"h{number:04}" for number in range(2_000)]
    told = drive(spec_of(hosts, 1_000), dict.fromkeys(hosts, FIXED), relapsed=frozenset(hosts))

    (halt,) = halted(told)
    assert halt.reason.startswith("1000 bad (h0000, h0001, ")
    assert halt.reason.endswith("h0009 and 990 more), more than max_bad 0")
    assert max(len(effect.reason) for effect in effects_of(told) if isinstance(effect, SkipHost)) < 200


def test_rollout_without_hosts_is_finished_at_once() -> None:
    """Nothing planned is nothing done: no wave, no soak."""
    assert Rollout(spec_of("")).on(Begin()) == (Finished(),)
    assert planned_waves(spec_of("")) == ()


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


def test_every_event_and_effect_is_driven_here() -> None:
    """The random rollouts above meet every kind of event and effect, so that none is untested."""
    spec = spec_of("abcdef", 1, 3, concurrency=2)
    fine = drive(spec, dict.fromkeys("abcdef", FIXED), stop_at=9)
    events = {type(each.event) for each in fine}
    effects = {type(effect) for effect in effects_of(fine)}

    assert events == set(get_args(Event))
    assert effects == set(get_args(Effect))


@pytest.mark.slow
@pytest.mark.parametrize("bad_last", [False, True])
def test_hundred_thousand_hosts_take_linear_time(bad_last: bool) -> None:
    """100,000 hosts, all good, with a rare platform at the end of the order, are rolled out host by host."""
    hosts = [f"h{number:06}" for number in range(100_000)]
    kinds = dict.fromkeys(hosts[-500:], "windows") if bad_last else {}
    spec = spec_of(hosts, "50%" if bad_last else 1, "60%", platforms=kinds)

    told = drive(spec, dict.fromkeys(hosts, FIXED))

    assert len(started(told)) == len(hosts)
    assert not halted(told)


def test_spec_is_what_the_rollout_was_made_from() -> None:
    """The spec can be read back, for whoever shows it."""
    spec = replace(spec_of("ab"), soak_s=7)

    assert Rollout(spec).spec is spec


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
