"""The gate and what was tried before: cooldown, attempts in a window, quarantine, and what lifts them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.gate import decide
from remedy.holds import Attempt
from remedy.model import Hold, Outcome, OutcomeClass, RuleLimits
from remedy.port import Permit
from tests.core.builders import NOW
from tests.core.gate_facts import (
    ATTEMPTS,
    HOUR,
    LEDGER,
    LIMITS,
    LIVE,
    REPAIRED,
    REQUEST,
    SATURDAY_NIGHT,
    attempt,
    hold_of,
    pause,
)

# Overrides


@pytest.mark.parametrize("override", [None, *Hold])
def test_override_lifts_its_own_hold_and_nothing_else(override: Hold | None) -> None:
    """Each hold is lifted by its own override if that may be lifted at all, and by no other."""
    cases = {
        Hold.PAUSED: (REQUEST, replace(LEDGER, open_breaker="2 bad", pauses=(pause(),))),
        Hold.PROTECTED: (replace(REQUEST, is_protected=True), LEDGER),
        Hold.OUTSIDE_WINDOW: (replace(REQUEST, windows=(SATURDAY_NIGHT,)), LEDGER),
        Hold.COOLING_DOWN: (REQUEST, replace(LEDGER, attempts=(attempt(HOUR / 2),))),
        Hold.QUARANTINED: (REQUEST, replace(LEDGER, attempts=(attempt(HOUR, Outcome.LOST),))),
    }

    lifted = {
        hold
        for hold, (request, ledger) in cases.items()
        if isinstance(decide(replace(request, override=override), ledger, LIVE), Permit)
    }

    assert lifted == ({override} & {Hold.PAUSED, Hold.OUTSIDE_WINDOW, Hold.COOLING_DOWN})


def test_reconciled_loss_is_no_quarantine_but_cools_down() -> None:
    """Once the host's marker proved its end, a lost attempt counts as an attempt and no longer quarantines."""
    lost = attempt(HOUR / 2, Outcome.LOST)

    found = hold_of(replace(lost, is_reconciled=True))

    assert found is not None
    assert (found.hold, found.after_bad) == (Hold.COOLING_DOWN, True)


# Cooldown


@pytest.mark.parametrize(
    ("ago", "is_held"),
    [
        (timedelta(0), True),
        (HOUR - timedelta(microseconds=1), True),
        (HOUR, False),
        (2 * HOUR, False),
    ],
)
def test_cooldown_ends_exactly_after_its_time(ago: timedelta, is_held: bool) -> None:
    """Up to the last microsecond an incident cools down; at the end itself it may be tried again."""
    found = hold_of(attempt(ago))
    release = "remedy release low-disk -l web-1 --reason TEXT"

    assert (found is not None) is is_held
    if found is not None:
        assert (found.hold, found.until, found.lifted_by) == (Hold.COOLING_DOWN, NOW - ago + HOUR, release)


@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_cooldown_counts_from_any_attempt_that_started_something(outcome: Outcome | None) -> None:
    """Every ending but `skipped` cools down (`lost` quarantines); all but good ones are held after something bad."""
    found = hold_of(attempt(HOUR / 2, outcome))

    if outcome is Outcome.SKIPPED:
        assert found is None
    else:
        assert found is not None
        assert found.hold is (Hold.QUARANTINED if outcome is Outcome.LOST else Hold.COOLING_DOWN)
        assert found.after_bad is (outcome is None or outcome.outcome_class is not OutcomeClass.GOOD)


def test_cooldown_counts_from_the_last_attempt() -> None:
    """An older attempt that is over its cooldown does not free a newer one that is not."""
    found = hold_of(attempt(9 * HOUR), attempt(HOUR / 2))

    assert found is not None
    assert found.until == NOW + HOUR / 2


def test_cooldown_counts_across_scripts() -> None:
    """A repaired script cools down after the attempt of the old one."""
    found = hold_of(attempt(HOUR / 2, Outcome.FAILED), sha=REPAIRED)

    assert found is not None
    assert found.hold is Hold.COOLING_DOWN


def test_attempt_dated_after_now_counts_as_made_now() -> None:
    """When the clock was stepped back, a cooldown lasts its time from now at the most, and still holds."""
    found = hold_of(attempt(-48 * HOUR))

    assert found is not None
    assert (found.hold, found.until) == (Hold.COOLING_DOWN, NOW + HOUR)


# Attempts and quarantine


def test_attempts_that_are_used_up_quarantine() -> None:
    """Two of three attempts leave a third; three are quarantined, until a release, not until a time."""
    two = [attempt(30 * HOUR, Outcome.FAILED), attempt(20 * HOUR, Outcome.FIXED)]

    found = hold_of(*two, attempt(10 * HOUR, Outcome.FIXED))

    assert hold_of(*two) is None
    assert found is not None
    assert (found.hold, found.until, found.after_bad) == (Hold.QUARANTINED, None, True)
    assert found.lifted_by == "remedy release low-disk -l web-1 --reason TEXT"


@pytest.mark.parametrize(
    ("window", "is_held"),
    [(timedelta(days=1), True), (timedelta(days=1, microseconds=1), False)],
)
def test_attempts_count_inside_one_window(window: timedelta, is_held: bool) -> None:
    """Three attempts spread over exactly the window use it up; a microsecond more and they do not."""
    first = attempt(2 * HOUR + window)
    middle = attempt(2 * HOUR + window / 2)

    assert (hold_of(first, middle, attempt(2 * HOUR)) is not None) is is_held


@given(ATTEMPTS, LIMITS, st.integers(0, 10_000).map(lambda hours: hours * HOUR))
def test_time_alone_never_ends_a_quarantine(attempts: tuple[Attempt, ...], of: RuleLimits, later: timedelta) -> None:
    """What is quarantined now is quarantined at every later time, and what is not is at most cooling down."""
    now = hold_of(*attempts, of=of)
    then = hold_of(*attempts, of=of, now=NOW + later)

    assert (now is not None and now.hold is Hold.QUARANTINED) == (then is not None and then.hold is Hold.QUARANTINED)


@given(ATTEMPTS, LIMITS)
def test_cooldown_is_over_at_the_time_it_names(attempts: tuple[Attempt, ...], of: RuleLimits) -> None:
    """At `until` a cooldown whose attempts are in the past is over, and just before it is not."""
    past = tuple(each for each in attempts if each.at <= NOW)
    found = hold_of(*past, of=of)

    if found is not None and found.until is not None:
        assert hold_of(*past, of=of, now=found.until) is None
        assert hold_of(*past, of=of, now=found.until - timedelta(microseconds=1)) is not None


@given(ATTEMPTS, st.data())
def test_attempts_that_started_nothing_do_not_count(attempts: tuple[Attempt, ...], data: st.DataObject) -> None:
    """An attempt that the host itself turned away changes nothing, wherever it stands."""
    place = data.draw(st.integers(0, len(attempts)))
    turned_away = attempt(data.draw(st.integers(-3, 60)) * HOUR, Outcome.SKIPPED)

    assert hold_of(*attempts[:place], turned_away, *attempts[place:]) == hold_of(*attempts)


@given(ATTEMPTS, LIMITS, st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.SKIPPED]))
def test_one_more_attempt_never_frees_an_incident(
    attempts: tuple[Attempt, ...], of: RuleLimits, outcome: Outcome
) -> None:
    """An attempt made just now leaves the incident held, and used-up attempts used up."""
    now = tuple(replace(each, outcome=Outcome.FAILED) if each.outcome is Outcome.LOST else each for each in attempts)
    before = hold_of(*now, of=of)
    after = hold_of(*now, attempt(timedelta(0), outcome), of=of)

    assert after is not None or not of.cooldown_s
    if before is not None and before.hold is Hold.QUARANTINED:
        assert after is not None
        assert after.hold is Hold.QUARANTINED


def test_repaired_script_may_try_again() -> None:
    """Attempts count per script: another digest has all of its own."""
    used_up = [attempt(hours * HOUR, Outcome.FAILED) for hours in (4, 3, 2)]

    assert hold_of(*used_up) is not None
    assert hold_of(*used_up, sha=REPAIRED) is None


def test_lost_last_attempt_quarantines_every_script() -> None:
    """What was lost may still run or have done anything: no script may follow, however long ago it was."""
    found = hold_of(attempt(9_000 * HOUR, Outcome.LOST), sha=REPAIRED)

    assert found is not None
    assert (found.hold, found.until, found.after_bad) == (Hold.QUARANTINED, None, True)


def test_lost_attempt_before_a_known_one_does_not_quarantine() -> None:
    """Only the last attempt's end must be known."""
    assert hold_of(attempt(9 * HOUR, Outcome.LOST), attempt(8 * HOUR, Outcome.FIXED)) is None
