"""A rule with every default filled in, and where each of its values came from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from remedy.canonical import plain
from remedy.errors import FilesError, Place, Problem
from remedy.limits import Limit, WaveShare
from remedy.load.beneath import read_file
from remedy.load.document import Document, Route
from remedy.load.yaml_events import RULES_LIMITS, read_yaml
from remedy.model import Exemption, Rule, Script, VerifyLater, VerifyUntil
from remedy.origins import DEFAULT, Origin, OriginKind, Setting
from remedy.schedule import DAYS, ChangeWindow

__all__ = ["resolved_settings"]

_DAY_S = 86_400
_UNITS_S = (("d", _DAY_S), ("h", 3_600), ("m", 60), ("s", 1))


def resolved_settings(rule: Rule) -> tuple[Setting, ...]:
    """
    Return the values of a rule under the keys of rule.yaml, in the order of the page on rules.

    A value of None is one that the file leaves out and that no file could say:
    the account a script runs as, a rule without a fix. Its file is read again for
    the places.

    Raises:
        FilesError: the file is gone, or no longer what was loaded.
    """
    file = rule.place.file
    try:
        raw = read_file(Path(file), bytes_max=RULES_LIMITS.bytes_max)
    except (FileNotFoundError, ValueError) as exc:
        message = "there is no such file" if isinstance(exc, FileNotFoundError) else str(exc)
        raise FilesError([Problem(place=Place(file=file), message=message)]) from exc
    document = Document(file=file, node=read_yaml(raw, file=file))
    return tuple(
        Setting(key=_key_text(route), value=value, origin=_origin(document, route)) for route, value in _values(rule)
    )


def _origin(document: Document, route: Route) -> Origin:
    if document.value(route) is None:
        return DEFAULT
    return Origin(kind=OriginKind.FILE, place=document.key_place(route))


def _key_text(route: Route) -> str:
    text = ""
    for step in route:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def _values(rule: Rule) -> Iterator[tuple[Route, Any]]:
    yield ["rule"], rule.name
    yield ["title"], rule.title
    yield ["why"], rule.why
    yield ["owner"], rule.owner
    yield ["tags"], list(rule.tags)
    yield ["mode"], rule.mode.value
    yield ["hosts"], rule.hosts
    yield ["signal"], rule.signal
    if not rule.params:
        yield ["params"], {}
    for name, value in rule.params.items():
        yield ["params", name], plain(value)
    yield ["when"], rule.when.text
    yield from _each("exempt", [_exemption(each) for each in rule.exempt])
    if not rule.fix:
        yield ["fix"], None
    for platform, script in rule.fix.items():
        for key, value in _script(script, rule.name).items():
            yield ["fix", platform.value, key], value
    yield ["risk"], rule.risk.value
    yield from _verify(rule.verify)
    yield ["limits", "cooldown"], _duration(rule.limits.cooldown_s)
    yield ["limits", "attempts", "count"], rule.limits.attempts
    yield ["limits", "attempts", "within"], _duration(rule.limits.attempts_within_s)
    yield ["limits", "matched"], _limit(rule.limits.matched)
    yield ["rollout", "waves"], [_share(each) for each in rule.rollout.waves]
    yield ["rollout", "soak"], _duration(rule.rollout.soak_s)
    yield ["rollout", "concurrency"], rule.rollout.concurrency
    yield ["rollout", "max_bad"], _limit(rule.rollout.max_bad)
    yield ["rollout", "max_unreachable"], _limit(rule.rollout.max_unreachable)
    yield ["rollout", "seed"], rule.rollout.seed
    yield from _each("change_windows", [_window(each) for each in rule.change_windows])


def _each(key: str, values: list[dict[str, Any]]) -> Iterator[tuple[Route, Any]]:
    if not values:
        yield [key], []
    for index, value in enumerate(values):
        yield [key, index], value


def _exemption(exemption: Exemption) -> dict[str, Any]:
    given = {
        "hosts": exemption.hosts,
        "where": exemption.where.text if exemption.where is not None else None,
        "reason": exemption.reason,
        "until": exemption.until.isoformat() if exemption.until is not None else None,
    }
    return {key: value for key, value in given.items() if value is not None}


def _script(script: Script, rule: str) -> dict[str, Any]:
    return {
        "script": script.path.removeprefix(f"{rule}/"),
        "become": "root" if script.become_root else None,
        "timeout": _duration(script.timeout_s),
        "needs_reboot_codes": list(script.needs_reboot_codes),
    }


def _verify(verify: VerifyLater | VerifyUntil) -> Iterator[tuple[Route, Any]]:
    match verify:
        case VerifyLater():
            yield ["verify"], "later"
        case VerifyUntil():
            yield ["verify", "until"], verify.until.text
            yield ["verify", "settle"], _duration(verify.settle_s)
            yield ["verify", "within"], _duration(verify.within_s)


def _window(window: ChangeWindow) -> dict[str, Any]:
    return {
        "days": [DAYS[day] for day in window.days],
        "from": _clock(window.start_minute),
        "to": _clock(window.end_minute),
        "zone": window.zone_name,
    }


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _duration(seconds: int) -> str:
    """Return seconds in the largest unit that divides them; one day is 24h, as people write it."""
    if not seconds or seconds == _DAY_S:
        return "24h" if seconds else "0s"
    unit, size = next((unit, size) for unit, size in _UNITS_S if not seconds % size)
    return f"{seconds // size}{unit}"


def _limit(limit: Limit) -> object:
    if limit.percent is None:
        return limit.count
    share = f"{limit.percent:g}%"
    return share if limit.count is None else [limit.count, share]


def _share(share: WaveShare) -> object:
    return share.count if share.count is not None else str(share)
