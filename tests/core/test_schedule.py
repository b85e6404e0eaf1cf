"""Change windows and freezes: ordinary days, nights of daylight saving, and an oracle that walks minute by minute."""

import dataclasses
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.schedule import (
    DAYS,
    HORIZON_DAYS,
    ChangeWindow,
    Freeze,
    freeze_between,
    freeze_over,
    longest_s,
    open_until,
    opens_at,
)

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/Havana",
    "Africa/Casablanca",
    "America/St_Johns",
    "Antarctica/Troll",
)


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def _window(text: str) -> ChangeWindow:
    """Return the window of its own text, such as 'sat,sun 22:00-04:00 Europe/Berlin'."""
    days, clocks, zone = text.split()
    start, _, end = clocks.partition("-")
    return ChangeWindow(
        days=tuple(DAYS.index(day) for day in days.split(",")),
        start_minute=_minutes(start),
        end_minute=_minutes(end),
        zone=ZoneInfo(zone),
        zone_name=zone,
    )


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _next_stretch(text: str, since: str) -> tuple[datetime | None, datetime | None]:
    """Return when a window opens next, and until when it is open then."""
    windows = (_window(text),)
    opens = opens_at(windows, _utc(since))
    return opens, None if opens is None else open_until(windows, opens)


@pytest.mark.parametrize(
    ("text", "since", "opens", "closes"),
    [
        ("sat 22:00-04:00 Europe/Berlin", "2026-11-20T00:00", "2026-11-21T21:00", "2026-11-22T03:00"),
        ("sat 22:00-04:00 America/New_York", "2026-07-17T00:00", "2026-07-19T02:00", "2026-07-19T08:00"),
        ("sat 22:00-04:00 Asia/Kathmandu", "2026-07-17T00:00", "2026-07-18T16:15", "2026-07-18T22:15"),
        ("sat 22:00-04:00 Pacific/Apia", "2026-07-17T00:00", "2026-07-18T09:00", "2026-07-18T15:00"),
        ("sat 22:00-04:00 UTC", "2026-07-17T00:00", "2026-07-18T22:00", "2026-07-19T04:00"),
        ("mon 09:30-17:00 Australia/Lord_Howe", "2026-07-17T00:00", "2026-07-19T23:00", "2026-07-20T06:30"),
        ("wed 00:00-24:00 UTC", "2026-07-17T00:00", "2026-07-22T00:00", "2026-07-23T00:00"),
        ("wed 10:00-10:00 UTC", "2026-07-17T00:00", "2026-07-22T10:00", "2026-07-23T10:00"),
        ("sun 23:00-00:30 UTC", "2026-07-17T00:00", "2026-07-19T23:00", "2026-07-20T00:30"),
        ("sat,sun 00:00-24:00 UTC", "2026-07-17T00:00", "2026-07-18T00:00", "2026-07-20T00:00"),
        ("mon,tue,wed,thu,fri 22:00-24:00 UTC", "2026-07-17T23:00", "2026-07-20T22:00", "2026-07-21T00:00"),
    ],
)
def test_window_opens_and_closes_by_its_wall_clock(text: str, since: str, opens: str, closes: str) -> None:
    """On ordinary days a window is what its zone's clock says, over midnight, for several days, for a whole one."""
    windows = (_window(text),)

    assert _next_stretch(text, since) == (_utc(opens), _utc(closes))
    assert open_until(windows, _utc(opens) - _MINUTE) is None
    assert open_until(windows, _utc(closes) - timedelta(microseconds=1)) == _utc(closes)
    assert open_until(windows, _utc(closes)) is None


_BERLIN, _YORK, _HOWE, _HAVANA = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana"


@pytest.mark.parametrize(
    ("text", "since", "opens", "closes"),
    [
        # Berlin, 29 March 2026: 02:00 becomes 03:00 at 01:00Z.
        (f"sat 22:00-04:00 {_BERLIN}", "2026-03-28T12:00", "2026-03-28T21:00", "2026-03-29T02:00"),
        (f"sat 22:00-02:30 {_BERLIN}", "2026-03-28T12:00", "2026-03-28T21:00", "2026-03-29T00:30"),
        (f"sun 02:30-05:00 {_BERLIN}", "2026-03-28T12:00", "2026-03-29T01:30", "2026-03-29T03:00"),
        (f"sun 02:00-03:00 {_BERLIN}", "2026-03-28T12:00", "2026-04-05T00:00", "2026-04-05T01:00"),
        (f"sun 03:00-05:00 {_BERLIN}", "2026-03-28T12:00", "2026-03-29T01:00", "2026-03-29T03:00"),
        # Berlin, 25 October 2026: 03:00 becomes 02:00 at 01:00Z.
        (f"sat 22:00-04:00 {_BERLIN}", "2026-10-24T12:00", "2026-10-24T20:00", "2026-10-25T03:00"),
        (f"sat 22:00-02:30 {_BERLIN}", "2026-10-24T12:00", "2026-10-24T20:00", "2026-10-25T00:30"),
        (f"sun 02:30-05:00 {_BERLIN}", "2026-10-24T12:00", "2026-10-25T01:30", "2026-10-25T04:00"),
        (f"sun 02:00-03:00 {_BERLIN}", "2026-10-24T12:00", "2026-10-25T01:00", "2026-10-25T02:00"),
        (f"sun 02:15-02:45 {_BERLIN}", "2026-10-24T12:00", "2026-11-01T01:15", "2026-11-01T01:45"),
        # New York, 8 March 2026: 02:00 becomes 03:00 at 07:00Z.
        (f"sat 20:00-02:01 {_YORK}", "2026-03-07T12:00", "2026-03-08T01:00", "2026-03-08T06:01"),
        (f"sun 02:59-04:00 {_YORK}", "2026-03-07T12:00", "2026-03-08T07:59", "2026-03-08T08:00"),
        (f"sun 01:00-04:00 {_YORK}", "2026-03-07T12:00", "2026-03-08T06:00", "2026-03-08T08:00"),
        # New York, 1 November 2026: 02:00 becomes 01:00 at 06:00Z.
        (f"sat 20:00-01:30 {_YORK}", "2026-10-31T12:00", "2026-11-01T00:00", "2026-11-01T05:30"),
        (f"sun 01:30-04:00 {_YORK}", "2026-10-31T12:00", "2026-11-01T06:30", "2026-11-01T09:00"),
        (f"sun 00:30-02:00 {_YORK}", "2026-10-31T12:00", "2026-11-01T04:30", "2026-11-01T07:00"),
        # Lord Howe, 5 April 2026: 02:00 becomes 01:30 at 15:00Z of the 4th.
        (f"sat 22:00-01:45 {_HOWE}", "2026-04-04T06:00", "2026-04-04T11:00", "2026-04-04T14:45"),
        (f"sun 01:45-03:00 {_HOWE}", "2026-04-04T06:00", "2026-04-04T15:15", "2026-04-04T16:30"),
        (f"sat 22:00-03:00 {_HOWE}", "2026-04-04T06:00", "2026-04-04T11:00", "2026-04-04T16:30"),
        # Lord Howe, 4 October 2026: 02:00 becomes 02:30 at 15:30Z of the 3rd.
        (f"sat 22:00-02:15 {_HOWE}", "2026-10-03T06:00", "2026-10-03T11:30", "2026-10-03T15:15"),
        (f"sun 02:15-03:00 {_HOWE}", "2026-10-03T06:00", "2026-10-03T15:45", "2026-10-03T16:00"),
        (f"sun 02:00-02:30 {_HOWE}", "2026-10-03T06:00", "2026-10-10T15:00", "2026-10-10T15:30"),
        # Havana shifts at midnight: 8 March 2026 (05:00Z) forward, 1 November 2026 (05:00Z) back.
        (f"sat 22:00-24:00 {_HAVANA}", "2026-03-07T12:00", "2026-03-08T03:00", "2026-03-08T04:00"),
        (f"sat,sun 00:00-24:00 {_HAVANA}", "2026-03-06T12:00", "2026-03-07T05:00", "2026-03-09T04:00"),
        (f"sun 00:00-04:00 {_HAVANA}", "2026-10-31T12:00", "2026-11-01T05:00", "2026-11-01T09:00"),
        # Apia had no 30 December 2011, a Friday.
        ("fri 10:00-12:00 Pacific/Apia", "2011-12-28T00:00", "2012-01-05T20:00", "2012-01-05T22:00"),
        ("thu,fri,sat 00:00-24:00 Pacific/Apia", "2011-12-28T00:00", "2011-12-29T10:00", "2011-12-31T10:00"),
    ],
)
def test_window_shrinks_where_the_clock_is_ambiguous(text: str, since: str, opens: str, closes: str) -> None:
    """A boundary that the clock shows twice or never counts as the inner one; a swallowed window is the next week's."""
    assert _next_stretch(text, since) == (_utc(opens), _utc(closes))


def test_windows_that_touch_or_overlap_are_one_stretch() -> None:
    """Saturday until midnight and Sunday from midnight are one stretch, in one zone or in two, in any order."""
    berlin = (_window("sun 00:00-04:00 Europe/Berlin"), _window("sat 22:00-24:00 Europe/Berlin"))
    mixed = (_window("sat 22:00-24:00 Europe/Berlin"), _window("sat 23:00-02:00 UTC"))
    apart = (_window("sat 22:00-23:59 Europe/Berlin"), _window("sun 00:00-04:00 Europe/Berlin"))
    now = _utc("2026-11-21T21:30")

    assert open_until(berlin, now) == _utc("2026-11-22T03:00")
    assert open_until(mixed, now) == _utc("2026-11-22T02:00")
    assert open_until(apart, now) == _utc("2026-11-21T22:59")
    assert opens_at(apart, now) == _utc("2026-11-21T23:00")


def test_boundary_inside_a_longer_stretch_is_none() -> None:
    """Two windows that touch inside an ambiguous hour are open through it: the clock is inside in both readings."""
    windows = (_window("sat 22:00-02:30 Europe/Berlin"), _window("sun 02:30-05:00 Europe/Berlin"))

    assert open_until(windows, _utc("2026-10-24T21:00")) == _utc("2026-10-25T04:00")
    assert open_until(windows, _utc("2026-03-28T21:00")) == _utc("2026-03-29T03:00")


@pytest.mark.parametrize("zone", _ZONES)
def test_windows_of_all_days_never_close(zone: str) -> None:
    """Whole days, seven a week, are open through every shift; the end said is that of the horizon."""
    windows = (_window(f"{','.join(DAYS)} 00:00-24:00 {zone}"),)
    nows = [_utc("2026-01-01T00:17") + hours * timedelta(hours=7) for hours in range(1_250)]

    assert {open_until(windows, now) == now + timedelta(days=HORIZON_DAYS) for now in nows} == {True}
    assert opens_at(windows, nows[0]) is None


def test_start_is_strictly_after_now() -> None:
    """At the very start of a stretch the next one is meant: who is inside does not wait for what has begun."""
    windows = (_window("sat 22:00-04:00 UTC"),)

    assert opens_at(windows, _utc("2026-07-18T22:00")) == _utc("2026-07-25T22:00")
    assert opens_at(windows, _utc("2026-07-18T21:59:59")) == _utc("2026-07-18T22:00")


def test_window_that_never_opens_is_said_so() -> None:
    """A window without days, or one that two weeks swallow, opens at no time that is known."""
    never = dataclasses.replace(_window("sat 22:00-04:00 UTC"), days=())

    assert opens_at((never,), _utc("2026-07-18T22:00")) is None
    assert open_until((never,), _utc("2026-07-18T22:00")) is None


def test_time_without_zone_is_refused() -> None:
    """A time that does not say in which zone it is means nothing, and is an error of the caller."""
    now = datetime.fromisoformat("2026-07-18T22:00")
    windows = (_window("sat 22:00-04:00 UTC"),)

    with pytest.raises(ValueError, match="without a zone"):
        open_until(windows, now)
    with pytest.raises(ValueError, match="without a zone"):
        opens_at(windows, now)
    with pytest.raises(ValueError, match="without a zone"):
        freeze_over((), now, needed_s=0)


def test_no_windows_is_no_question_for_a_schedule() -> None:
    """No windows means always open, and not never: who asks for their end is told."""
    with pytest.raises(ValueError, match="always open"):
        open_until((), _utc("2026-07-18T22:00"))
    with pytest.raises(ValueError, match="always open"):
        opens_at((), _utc("2026-07-18T22:00"))


def test_time_of_another_zone_is_the_same_instant() -> None:
    """It does not matter in which zone now is given; answers are in UTC."""
    windows = (_window("sat 22:00-04:00 Europe/Berlin"),)
    now = datetime(2026, 11, 22, 6, 30, tzinfo=ZoneInfo("Asia/Kathmandu"))

    answer = open_until(windows, now)

    assert answer == _utc("2026-11-22T03:00")
    assert answer.tzinfo is UTC


@pytest.mark.parametrize(
    ("texts", "hours"),
    [
        (("sat 22:00-04:00 Europe/Berlin",), 6),
        (("sat 22:00-04:00 Europe/Berlin", "sun 02:00-03:00 UTC"), 7),
        (("mon 09:00-17:00 UTC", "tue 09:00-18:00 UTC"), 9),
        (("mon,tue 00:00-24:00 UTC",), 48),
    ],
)
def test_longest_stretch_is_that_of_an_ordinary_week(texts: tuple[str, ...], hours: int) -> None:
    """The longest stretch of an ordinary week, touching windows as one."""
    assert longest_s(tuple(_window(text) for text in texts)) == hours * 3_600


def test_window_text_is_what_was_written() -> None:
    """A window prints its days, clock times and zone; midnight at its end is 24:00."""
    texts = ["sat 22:00-04:00 Europe/Berlin", "mon,sun 00:00-24:00 UTC"]

    assert [str(_window(text)) for text in texts] == texts


def _inside(window: ChangeWindow, wall: datetime) -> bool:
    """Say whether a clock that shows `wall` is inside of a window, as a person would say it."""
    minute = wall.hour * 60 + wall.minute
    today, yesterday = wall.weekday(), (wall.weekday() - 1) % 7
    if window.end_minute > window.start_minute:
        return today in window.days and window.start_minute <= minute < window.end_minute
    return (today in window.days and minute >= window.start_minute) or (
        yesterday in window.days and minute < window.end_minute
    )


def _shows_inside(windows: tuple[ChangeWindow, ...], now: datetime) -> bool:
    return any(_inside(window, now.astimezone(window.zone)) for window in windows)


def _is_quiet(windows: tuple[ChangeWindow, ...], now: datetime) -> bool:
    """Say whether no clock shifts in the days around now."""
    days = [now + hours * timedelta(hours=6) for hours in range(-12, 13)]
    return all(len({day.astimezone(window.zone).utcoffset() for day in days}) == 1 for window in windows)


def _shift_of(zone: tzinfo, since: datetime) -> datetime:
    """Return the instant within 400 days of the zone's first shift, to the minute; `since` if there is none."""
    low = since
    for _ in range(400):
        if low.astimezone(zone).utcoffset() != (low + _DAY).astimezone(zone).utcoffset():
            offset = low.astimezone(zone).utcoffset()
            return next(
                at
                for at in (low + minutes * _MINUTE for minutes in range(1_441))
                if at.astimezone(zone).utcoffset() != offset
            )
        low += _DAY
    return since


_SHIFTS = {
    zone: tuple(_shift_of(ZoneInfo(zone), _utc(since)) for since in ("2026-01-01", "2026-07-01")) for zone in _ZONES
}

_WINDOWS = st.lists(
    st.builds(
        ChangeWindow,
        days=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
        start_minute=st.integers(0, 1_439) | st.integers(0, 47).map(lambda half: half * 30),
        end_minute=st.integers(1, 1_440) | st.integers(1, 48).map(lambda half: half * 30),
        zone_name=st.sampled_from(_ZONES),
        zone=st.none(),
    ).map(lambda window: dataclasses.replace(window, zone=ZoneInfo(window.zone_name))),
    min_size=1,
    max_size=3,
).map(tuple)
_NOWS = st.integers(0, 2 * 366 * 1_440).map(lambda minutes: _utc("2025-01-01") + minutes * _MINUTE)
_NEAR_SHIFTS = st.builds(
    lambda shift, minutes: shift + minutes * _MINUTE,
    st.sampled_from(sorted({shift for shifts in _SHIFTS.values() for shift in shifts})),
    st.integers(-2 * 1_440, 2 * 1_440) | st.integers(-120, 120),
)


@settings(max_examples=400, deadline=None)
@given(windows=_WINDOWS, now=_NOWS | _NEAR_SHIFTS)
def test_what_is_open_is_inside_by_the_clock(windows: tuple[ChangeWindow, ...], now: datetime) -> None:
    """A fix may start only when some zone's clock shows a time inside, and always then but for nights of a shift."""
    closes = open_until(windows, now)

    if closes is not None:
        assert closes > now
        assert _shows_inside(windows, now)
    elif _is_quiet(windows, now):
        assert not _shows_inside(windows, now)


@settings(max_examples=60, deadline=None)
@given(windows=_WINDOWS, now=_NOWS | _NEAR_SHIFTS)
def test_every_minute_of_a_stretch_is_inside_by_the_clock(windows: tuple[ChangeWindow, ...], now: datetime) -> None:
    """From now to the end that is said, each single minute is inside by some zone's clock; the end itself is not."""
    closes = open_until(windows, now)
    if closes is None:
        closes = now
    horizon = now + timedelta(days=HORIZON_DAYS)
    minutes = int((closes - now) / _MINUTE)

    assert all(_shows_inside(windows, now + minute * _MINUTE) for minute in range(minutes))
    if _is_quiet(windows, closes) and closes != horizon:
        assert not _shows_inside(windows, closes)


@settings(max_examples=60, deadline=None)
@given(windows=_WINDOWS, now=_NOWS | _NEAR_SHIFTS)
def test_nothing_opens_before_it_is_said(windows: tuple[ChangeWindow, ...], now: datetime) -> None:
    """A closed schedule stays closed until the minute that is said, and is open in that minute."""
    opens = opens_at(windows, now)
    assert opens is not None or open_until(windows, now) is not None
    if opens is None or open_until(windows, now) is not None:
        return
    ahead = int((opens - now) / _MINUTE)

    assert open_until(windows, opens) is not None
    assert all(open_until(windows, now + minute * _MINUTE) is None for minute in range(0, ahead, max(1, ahead // 40)))
    assert open_until(windows, opens - _MINUTE) is None


def _freeze(start: str, end: str, reason: str = "x") -> Freeze:
    return Freeze(start=_utc(start), end=_utc(end), reason=reason)


_YEAR_END = _freeze("2026-12-23T00:00", "2027-01-02T06:00", "year end")


@pytest.mark.parametrize(
    ("now", "needed_s", "frozen"),
    [
        ("2026-12-22T23:59:59", 0, False),
        ("2026-12-22T23:50:00", 600, False),
        ("2026-12-22T23:50:00", 601, True),
        ("2026-12-23T00:00:00", 0, True),
        ("2026-12-28T12:00:00", 0, True),
        ("2027-01-02T05:59:59", 0, True),
        ("2027-01-02T06:00:00", 600, False),
    ],
)
def test_freeze_stops_what_would_run_in_it(now: str, needed_s: int, frozen: bool) -> None:
    """A freeze holds from its start to before its end, and before that for whatever would not be over in time."""
    assert freeze_over((_YEAR_END,), _utc(now), needed_s=needed_s) == (_YEAR_END if frozen else None)


def test_freeze_that_is_named_is_the_one_to_wait_for() -> None:
    """Of several freezes that cover now the last to end is named; of several to come the first to begin."""
    short, long = _freeze("2026-12-24T00:00", "2026-12-25T00:00"), _freeze("2026-12-23T00:00", "2027-01-02T06:00")
    later = _freeze("2027-01-02T05:00", "2027-02-01T00:00")

    assert freeze_over((short, long, later), _utc("2026-12-24T12:00"), needed_s=0) == long
    assert freeze_over((later, short, long), _utc("2026-12-22T23:00"), needed_s=400 * 86_400) == long
    assert freeze_over((), _utc("2026-12-22T23:00"), needed_s=3_600) is None


@pytest.mark.parametrize(
    ("zone", "start", "end", "frozen_from", "frozen_to"),
    [
        ("Europe/Berlin", "2026-12-23T00:00", "2027-01-02T06:00", "2026-12-22T23:00", "2027-01-02T05:00"),
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T02:45", "2026-10-25T00:30", "2026-10-25T01:45"),
        ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T02:45", "2026-03-29T00:30", "2026-03-29T01:45"),
        ("America/New_York", "2026-11-01T01:00", "2026-11-01T01:30", "2026-11-01T05:00", "2026-11-01T06:30"),
        ("Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-05T01:50", "2026-04-04T14:45", "2026-04-04T15:20"),
        ("Asia/Kathmandu", "2026-04-05T00:00", "2026-04-05T00:00:01", "2026-04-04T18:15", "2026-04-04T18:15:01"),
    ],
)
def test_freeze_grows_where_the_clock_is_ambiguous(
    zone: str, start: str, end: str, frozen_from: str, frozen_to: str
) -> None:
    """A boundary of a freeze that the clock shows twice or never counts as the outer one."""
    freeze = freeze_between(datetime.fromisoformat(start), datetime.fromisoformat(end), zone=ZoneInfo(zone), reason="x")

    assert (freeze.start, freeze.end) == (_utc(frozen_from), _utc(frozen_to))


def test_freeze_of_no_time_is_refused() -> None:
    """A freeze whose end is not after its start, or whose times are of a zone already, is an error."""
    start = datetime.fromisoformat("2026-12-23")

    with pytest.raises(ValueError, match="after its start"):
        freeze_between(start, start, zone=UTC, reason="x")
    with pytest.raises(ValueError, match="without a zone"):
        freeze_between(start.replace(tzinfo=UTC), start + _DAY, zone=UTC, reason="x")
