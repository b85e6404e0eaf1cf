"""
Change windows and freezes: when a fix may start, in the wall clocks of named zones.

A boundary that the wall clock shows twice or never, in a night when daylight
saving begins or ends, has two readings. A window takes the inner ones and a
freeze the outer ones: a window can only shrink, and a freeze can only grow.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

__all__ = [
    "DAYS",
    "HORIZON_DAYS",
    "ChangeWindow",
    "Freeze",
    "freeze_between",
    "freeze_over",
    "longest_s",
    "open_until",
    "opens_at",
]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HORIZON_DAYS = 15
"""How far ahead is looked: a weekly window that one week's daylight saving swallows is found in the next."""

_BACK_DAYS = 3
"""A window is at most a day long and ends on the next day; zones that moved over the date line skip one more."""

_DAY_MINUTES = 1_440
_ORDINARY = datetime(2026, 6, 15, tzinfo=UTC)
"""A day with two weeks after it in which hardly a clock on earth shifts."""

_Stretch = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeWindow:
    """
    A weekly time in which a rule's fixes may start and must end, in the wall clock of a zone.

    `days` are those on which it starts, Monday = 0, sorted. `start_minute` is of
    that day, 0 to 1439; `end_minute` is 1 to 1440, and on the next day when it is
    not after start_minute. The start is inclusive, the end exclusive.
    """

    days: tuple[int, ...]
    start_minute: int
    end_minute: int
    zone: tzinfo
    zone_name: str

    def __str__(self) -> str:
        days = ",".join(DAYS[day] for day in self.days)
        return f"{days} {_clock(self.start_minute)}-{_clock(self.end_minute)} {self.zone_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A time in which no fix of any rule may start or run: from start (UTC) to before end (UTC), and why."""

    start: datetime
    end: datetime
    reason: str


def open_until(windows: Sequence[ChangeWindow], now: datetime) -> datetime | None:
    """
    Return when the stretch of windows that holds now ends (UTC); None when now is outside of all.

    Windows that touch or overlap are one stretch. One that goes on for longer
    than HORIZON_DAYS is said to end there. A fix may start at now when now and
    the time it needs is at most what is returned.

    Raises:
        ValueError: there are no windows (always open, but that is the caller's to say), or now is without a zone.
    """
    at = _checked(windows, now)
    return next((end for start, end in _stretches(windows, at) if start <= at < end), None)


def opens_at(windows: Sequence[ChangeWindow], now: datetime) -> datetime | None:
    """
    Return when the next stretch of windows begins (UTC), strictly after now.

    None when none begins within HORIZON_DAYS; so it is, too, when a stretch that
    holds now goes on for so long.

    Raises:
        ValueError: there are no windows, or now is without a zone.
    """
    at = _checked(windows, now)
    last = at + timedelta(days=HORIZON_DAYS)
    return next((start for start, _ in _stretches(windows, at) if at < start <= last), None)


def longest_s(windows: Sequence[ChangeWindow]) -> int:
    """Return the length of the longest stretch of windows in ordinary weeks; 0 when they never open."""
    lengths = (end - start for start, end in _stretches(windows, _ORDINARY))
    return int(max(lengths, default=timedelta()).total_seconds())


def freeze_over(freezes: Iterable[Freeze], now: datetime, *, needed_s: float) -> Freeze | None:
    """
    Return the freeze that covers now, or that begins before now and needed_s; None when there is none.

    Of several that cover now it is the one that ends last; of several to come, the one that begins first.

    Raises:
        ValueError: now is without a zone.
    """
    at = _aware(now)
    until = at + timedelta(seconds=needed_s)
    ahead = [freeze for freeze in freezes if freeze.end > at and (freeze.start <= at or freeze.start < until)]
    covering = [freeze for freeze in ahead if freeze.start <= at]
    if covering:
        return max(covering, key=lambda freeze: freeze.end)
    return min(ahead, key=lambda freeze: freeze.start, default=None)


def freeze_between(start: datetime, end: datetime, *, zone: tzinfo, reason: str) -> Freeze:
    """
    Return the freeze between two wall-clock times (without a zone) of a zone.

    A time that the clock shows twice or never counts as the outer one.

    Raises:
        ValueError: the end is not after the start, or a time has a zone already.
    """
    if start.tzinfo is not None or end.tzinfo is not None:
        raise ValueError("the times of a freeze are wall-clock times, without a zone")
    if end <= start:
        raise ValueError("the end of a freeze must be after its start")
    return Freeze(start=min(_readings(start, zone)), end=max(_readings(end, zone)), reason=reason)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _aware(now: datetime) -> datetime:
    if now.tzinfo is None:
        raise ValueError("a time without a zone means nothing here; give it one, such as UTC")
    return now.astimezone(UTC)


def _checked(windows: Sequence[ChangeWindow], now: datetime) -> datetime:
    if not windows:
        raise ValueError("there are no windows: a rule without windows is always open")
    return _aware(now)


def _readings(wall: datetime, zone: tzinfo) -> _Stretch:
    """Return the two instants (UTC) that a wall-clock time may mean; they are equal on all but a few days."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def _stretches(windows: Sequence[ChangeWindow], at: datetime) -> list[_Stretch]:
    """
    Return what is open from before `at` until at least HORIZON_DAYS later (UTC), in order, touching ones joined.

    Windows of one zone are joined on the wall clock first, so that a boundary
    inside a longer stretch is none, whatever daylight saving does to it.
    """
    found: list[_Stretch] = []
    for zone in dict.fromkeys(window.zone for window in windows):
        walls = (wall for window in windows if window.zone == zone for wall in _walls(window, at))
        for start, end in _joined(walls):
            inner = max(_readings(start, zone)), min(_readings(end, zone))
            if inner[0] < inner[1]:
                found.append(inner)
    horizon = at + timedelta(days=HORIZON_DAYS)
    return _joined((start, min(end, horizon)) for start, end in found if start <= horizon)


def _walls(window: ChangeWindow, at: datetime) -> Iterator[_Stretch]:
    """Yield the window's times on the wall clock of its zone, for each of its days around `at`."""
    today = at.astimezone(window.zone).date()
    crosses = window.end_minute <= window.start_minute
    for ahead in range(-_BACK_DAYS, HORIZON_DAYS + 2):
        day = today + timedelta(days=ahead)
        if day.weekday() in window.days:
            end = window.end_minute + (_DAY_MINUTES if crosses else 0)
            yield _wall(day, window.start_minute), _wall(day, end)


def _wall(day: date, minute: int) -> datetime:
    return datetime.combine(day, time()) + timedelta(minutes=minute)


def _joined(stretches: Iterable[_Stretch]) -> list[_Stretch]:
    """Return the stretches in order, those that touch or overlap as one."""
    joined: list[_Stretch] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined
