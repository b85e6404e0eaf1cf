"""Time zones by their full IANA names."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from remedy.load.document import Document, Route
from remedy.text import nearest, untrusted

__all__ = ["load_zone"]

_CURE = "write a full name such as Europe/Berlin, or UTC"
# The same data under other names: with leap seconds, without them, and whatever the machine is set to.
_NOT_OF_IANA = ("right/", "posix/")


def load_zone(document: Document, route: Route) -> tzinfo:
    """Return the zone that the text at route names; UTC, with a problem at its place, when there is none."""
    name = document.value(route)
    if name == "UTC":
        return UTC
    zone = _zone(name)
    if zone is None:
        document.add(route, *_why_not(name))
        return UTC
    return zone


def _zone(name: str) -> tzinfo | None:
    if "/" not in name or name.startswith(_NOT_OF_IANA):
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # Unknown; no relative path; a folder, or a file that cannot be read.
        return None


def _why_not(name: str) -> tuple[str, str]:
    """Return message and cure for a name that is no zone here."""
    known = {zone for zone in available_timezones() if _zone(zone) is not None}
    shown = untrusted(name, characters_max=60)
    if not known:
        return (
            f"this machine has no data on time zones, and '{shown}' cannot be looked up",
            "install tzdata (the system's package, or `pip install tzdata`)",
        )
    cities = sorted(zone for zone in known if zone.rpartition("/")[2].casefold() == name.casefold())
    near = tuple(cities[:3]) or nearest(name, {*known, "UTC"})
    cure = f"did you mean {' or '.join(near)}?" if near else _CURE
    return f"there is no time zone with the full name '{shown}'", cure
