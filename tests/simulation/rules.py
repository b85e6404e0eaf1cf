"""The rules that simulated controllers apply: one signal, and rules over it made from options."""

from collections.abc import Mapping
from datetime import timedelta, timezone
from functools import cache
from hashlib import sha256

from remedy.conditions import compile_condition
from remedy.errors import Place
from remedy.limits import Limit, WaveShare, parse_share
from remedy.model import (
    Column,
    ColumnType,
    Condition,
    Host,
    Mode,
    Platform,
    Risk,
    RowPromise,
    Rule,
    RuleLimits,
    RuleRollout,
    Scope,
    Script,
    Signal,
    Transport,
    VerifyLater,
    VerifyUntil,
)
from remedy.schedule import ChangeWindow
from tests.simulation.fleet import REBOOT_CODE, SimHost
from tests.simulation.scenario import RuleOptions

__all__ = ["FLAG", "SIGNALS", "ZONE_S", "inventory_host", "make_host", "make_rule", "make_scope"]

ZONE_S = 3_600
"""The wall clock of change windows is so far ahead of UTC."""

_PLACE = Place(file="rules/flag/rule.yaml", line=1, column=1)
_COLUMNS = {"name": Column(type=ColumnType.TEXT), "level": Column(type=ColumnType.NUMBER)}
_PLATFORMS = (Platform.LINUX, Platform.WINDOWS)


def _script(body: str, *, timeout_s: int, reboot: bool = False) -> Script:
    raw = body.encode()
    codes = (REBOOT_CODE,) if reboot else ()
    return Script(
        path="fix.sh", body=raw, sha256=sha256(raw).hexdigest(), timeout_s=timeout_s, needs_reboot_codes=codes
    )


FLAG = Signal(
    name="flag",
    title="flag",
    key=("name",),
    rows=RowPromise.SOME,
    columns=_COLUMNS,
    params={},
    collect={platform: _script("#!/bin/sh\nemit\n", timeout_s=20) for platform in _PLATFORMS},
    max_age_s=900,
    digest="digest of flag",
    place=_PLACE,
)
SIGNALS: Mapping[str, Signal] = {FLAG.name: FLAG}


@cache
def _condition(text: str) -> Condition:
    return compile_condition(text, columns=_COLUMNS, params={}, signals={}, place=_PLACE)


@cache
def make_rule(options: RuleOptions) -> Rule:
    """Return the rule of these options."""
    of_row = "" if options.row == "*" else f" and name = '{options.row}'"
    until = VerifyUntil(until=_condition("level < 3"), settle_s=options.settle_s, within_s=options.within_s)
    body = f"#!/bin/sh\n# {options.name} {{}} version {options.version}\n"
    return Rule(
        name=options.name,
        title=options.name,
        why="it annoys people",
        owner="platform@example.org",
        tags=(),
        mode=Mode.FIX,
        hosts="all",
        hosts_place=_PLACE,
        signal=FLAG.name,
        params={},
        when=_condition(f"level > 5{of_row}"),
        exempt=(),
        fix={
            platform: _script(body.format(platform.value), timeout_s=options.timeout_s, reboot=True)
            for platform in _PLATFORMS
        },
        risk=Risk(options.risk),
        verify=VerifyLater() if options.later else until,
        limits=RuleLimits(
            cooldown_s=options.cooldown_s,
            attempts=options.attempts,
            attempts_within_s=options.attempts_within_s,
            matched=Limit(count=1, percent=float(options.matched_percent)),
        ),
        rollout=RuleRollout(
            waves=_shares(options.waves),
            soak_s=options.soak_s,
            concurrency=options.concurrency,
            max_bad=Limit(count=options.max_bad),
            max_unreachable=Limit(count=options.max_unreachable),
        ),
        digest=f"digest of {options}",
        place=_PLACE,
        change_windows=() if options.window is None else (_window(*options.window),),
    )


def _window(start_minute: int, end_minute: int) -> ChangeWindow:
    zone = timezone(timedelta(seconds=ZONE_S))
    days = (0, 1, 2, 3, 4, 5, 6)
    return ChangeWindow(days=days, start_minute=start_minute, end_minute=end_minute, zone=zone, zone_name="UTC+1")


def _shares(waves: tuple[str, ...]) -> tuple[WaveShare, ...]:
    return tuple(parse_share(int(each) if each.isdigit() else each) for each in waves)


def make_host(name: str, platform: str, rack: int) -> Host:
    """Return a host as the inventory has it."""
    kind = Platform(platform)
    return Host(
        name=name,
        platform=kind,
        transport=Transport.SSH if kind is Platform.LINUX else Transport.WINRM,
        groups=(f"rack-{rack}",),
    )


def inventory_host(host: SimHost) -> Host:
    """Return a simulated host as the inventory has it."""
    return make_host(host.name, host.platform, host.rack)


def make_scope(rule: Rule, hosts: tuple[Host, ...]) -> Scope:
    """Return a rule with the hosts it looks at."""
    return Scope(rule=rule, hosts=hosts, exempt_names=())
