"""Moments and ages as they are said on the phone."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from remedy.render.moments import ago_text, clock_text, moment_text

NOW = datetime(2026, 11, 22, 8, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (datetime(2026, 11, 22, 0, 0, tzinfo=UTC), "today 00:00 UTC"),
        (datetime(2026, 11, 21, 23, 59, tzinfo=UTC), "Saturday 23:59 UTC"),
        (datetime(2026, 11, 16, 3, 10, tzinfo=UTC), "Monday 03:10 UTC"),
        (datetime(2026, 11, 15, 3, 10, tzinfo=UTC), "2026-11-15 03:10 UTC"),
        (datetime(2026, 11, 23, 3, 10, tzinfo=UTC), "2026-11-23 03:10 UTC"),
        (datetime(2026, 11, 22, 1, 0, tzinfo=timezone(timedelta(hours=2))), "Saturday 23:00 UTC"),
    ],
)
def test_moment_is_said_so_that_it_means_one_day(at: datetime, said: str) -> None:
    """Today, a weekday that is less than a week back, or a date: never a weekday that could be two."""
    assert moment_text(at, now=NOW) == said


def test_clock_stands_alone_only_on_the_day_that_was_said() -> None:
    """Behind a moment only the clock is said, unless the day is another one."""
    found = datetime(2026, 11, 21, 23, 58, tzinfo=UTC)

    assert clock_text(found + timedelta(minutes=1), after=found, now=NOW) == "23:59"
    assert clock_text(found + timedelta(minutes=2), after=found, now=NOW) == "today 00:00 UTC"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "dated after now"),
        (0, "less than a minute ago"),
        (59, "less than a minute ago"),
        (60, "1 minute ago"),
        (20 * 60, "20 minutes ago"),
        (7_199, "119 minutes ago"),
        (7_200, "2 hours ago"),
        (48 * 3_600 - 1, "47 hours ago"),
        (48 * 3_600, "2 days ago"),
    ],
)
def test_age_is_one_number_and_never_more_than_it_is(seconds: int, said: str) -> None:
    """An age has one unit and is rounded down."""
    assert ago_text(NOW - timedelta(seconds=seconds), now=NOW) == said
