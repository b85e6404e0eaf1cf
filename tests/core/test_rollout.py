"""Rollouts: whatever the hosts do, no limit is passed, no host is forgotten, no wave starts too early."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

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
from remedy.waves import RolloutSpec, planned_waves
from tests.core.rollouts import FIXED, HEALED, NONE, Fates, drive, effects_of, halted, spec_of, specs, started, worlds


def _is_bad(outcomes: Iterable[Outcome]) -> bool:
    return any(outcome.outcome_class is OutcomeClass.BAD for outcome in outcomes)


def _is_good(outcomes: Iterable[Outcome]) -> bool:
    return any(outcome.outcome_class is OutcomeClass.GOOD for outcome in outcomes) and not _is_bad(outcomes)


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
