"""The change windows of a rule, from its file to typed values."""

from collections.abc import Mapping, Sequence

from remedy.load.document import Document, Route
from remedy.load.schema import Shape
from remedy.load.zones import load_zone
from remedy.model import Platform, Script
from remedy.plan import GRACE_S
from remedy.schedule import DAYS, ChangeWindow, longest_s
from remedy.text import duration_text

__all__ = ["check_sound_windows", "load_windows", "warn_of_short_windows"]


def load_windows(document: Document) -> tuple[ChangeWindow, ...]:
    """Return the rule's change windows, in the order of the file; none when it has none: always open."""
    return tuple(_window(document, index) for index in range(len(document.value(["change_windows"], []))))


def check_sound_windows(document: Document, shape: Shape) -> None:
    """Look for the mistakes in the sound parts of windows, of which others have a wrong form."""
    windows = document.value(["change_windows"], [])
    for index, raw in enumerate(windows if isinstance(windows, list) else ()):
        route: Route = ["change_windows", index]
        sound = {key for key in (raw if isinstance(raw, dict) else ()) if shape.is_sound(*route, key)}
        if {"from", "to"} <= sound:
            _refuse_no_time(document, route)
        if "zone" in sound:
            load_zone(document, [*route, "zone"])


def warn_of_short_windows(document: Document, windows: Sequence[ChangeWindow], fix: Mapping[Platform, Script]) -> None:
    """Warn of each fix whose deadline fits into no window: it would never start, and nobody would see why."""
    open_s = longest_s(windows)
    for platform, script in fix.items():
        needed_s = script.timeout_s + GRACE_S
        if windows and needed_s > open_s:
            document.warn(
                ["change_windows"],
                f"the longest is {duration_text(open_s)}, and the fix for {platform.value} may take"
                f" {duration_text(needed_s)} with its grace: it never starts",
                "make the window longer or its `timeout` shorter",
            )


def _window(document: Document, index: int) -> ChangeWindow:
    route: Route = ["change_windows", index]
    raw = document.value(route)
    _refuse_no_time(document, route)
    return ChangeWindow(
        days=tuple(sorted(DAYS.index(day) for day in raw["days"])),
        start_minute=_minutes(raw["from"]),
        end_minute=_minutes(raw["to"]),
        zone=load_zone(document, [*route, "zone"]),
        zone_name=raw["zone"],
    )


def _refuse_no_time(document: Document, route: Route) -> None:
    raw = document.value(route)
    if raw["from"] == raw["to"]:
        document.add(
            route,
            f"the window ends when it starts, at {raw['from']}",
            'write from "00:00" to "24:00" for a whole day',
        )


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)
