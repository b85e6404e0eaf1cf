"""Rollouts told one by one: what promotes a wave, what halts it, and what a halt says."""

import pytest

from remedy.model import Outcome
from remedy.rollout import (
    Begin,
    Effect,
    Finished,
    Halted,
    HaltedBy,
    ReadAgain,
    Rollout,
    SkipHost,
    Soak,
    StartHost,
    WaveEnded,
    WaveStarted,
)
from remedy.waves import RolloutSpec, planned_waves
from tests.core.rollouts import BAD, FIXED, GONE, HEALED, SKIPPED, Fates, drive, effects_of, halted, spec_of, started


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
