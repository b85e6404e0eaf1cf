"""Moments and ages as people say them on the phone."""

from datetime import UTC, datetime, timedelta

from remedy.readings import time_text
from remedy.text import counted

__all__ = ["ago_text", "clock_text", "moment_text", "seconds_text"]

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_NAMED_DAYS = 6
"""So many days back a weekday names one day only."""


def moment_text(at: datetime, *, now: datetime) -> str:
    """Return a moment as `today 03:10 UTC`, `Saturday 03:10 UTC`, or `2026-11-03 03:10 UTC`."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    if at.date() == now.date():
        return f"today {at:%H:%M} UTC"
    if timedelta() <= now.date() - at.date() <= timedelta(days=_NAMED_DAYS):
        return f"{at:%A} {at:%H:%M} UTC"
    return f"{at:%Y-%m-%d} {at:%H:%M} UTC"


def clock_text(at: datetime, *, after: datetime, now: datetime) -> str:
    """Return a moment behind another one that was said: of the same day only its clock, such as `03:12`."""
    if at.astimezone(UTC).date() == after.astimezone(UTC).date():
        return f"{at.astimezone(UTC):%H:%M}"
    return moment_text(at, now=now)


def ago_text(at: datetime, *, now: datetime) -> str:
    """Return how long ago something was, in one unit, rounded down."""
    seconds = (now - at).total_seconds()
    if seconds < 0:
        return "dated after now"
    if seconds < _MINUTE_S:
        return "less than a minute ago"
    if seconds < 2 * _HOUR_S:
        return f"{counted(int(seconds // _MINUTE_S), 'minute')} ago"
    if seconds < 2 * _DAY_S:
        return f"{counted(int(seconds // _HOUR_S), 'hour')} ago"
    return f"{counted(int(seconds // _DAY_S), 'day')} ago"


def seconds_text(at: datetime) -> str:
    """Return a time as remedy writes it, to the second."""
    return time_text(at.replace(microsecond=0))
