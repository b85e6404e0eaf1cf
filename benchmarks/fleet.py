"""The fleet of the benchmark: hosts, signals, typed rows and rules, the same ones for the same seed."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks.bare import BARE, BareRule
from remedy.conditions import compile_condition
from remedy.errors import Place
from remedy.limits import Limit, WaveShare
from remedy.model import (
    Column,
    ColumnType,
    Host,
    Mode,
    Params,
    Platform,
    Reading,
    ReadingStatus,
    Risk,
    Row,
    RowPromise,
    Rule,
    RuleLimits,
    RuleRollout,
    Scope,
    Script,
    Signal,
    Value,
    VerifyLater,
)
from remedy.verdicts import ReadingsByHost

__all__ = ["Fleet", "make_fleet"]

_NULL_SHARE = 0.2
_MATCH_SHARE = 0.1
_PLACE = Place(file="benchmarks/fleet.py", line=1, column=1)
_OBSERVED_AT = datetime(2026, 11, 22, 3, tzinfo=UTC)
_STATES = ("running", "failed", "stopped", "starting")

_BOTH = _MATCH_SHARE / (1 - _NULL_SHARE) ** 2
"""The share of rows that a rule of two columns must match when none is null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All that judging takes, and the same for the bare functions."""

    scopes: tuple[Scope, ...]
    signals: Mapping[str, Signal]
    readings: ReadingsByHost
    bare_rules: tuple[BareRule, ...]

    def bare_rows(self) -> dict[str, list[tuple[str, Row]]]:
        """Return by signal the hosts' names with their rows, the same objects as in the readings."""
        return {
            name: [(host, of_host[name].rows[0]) for host, of_host in self.readings.items()] for name in self.signals
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """A kind of rule: what it reads, its condition, and parameters by the share of its first half."""

    name: str
    signal: str
    when: str
    params: Callable[[float], Params]


_NUMBER, _TEXT, _BOOLEAN = Column(type=ColumnType.NUMBER), Column(type=ColumnType.TEXT), Column(type=ColumnType.BOOLEAN)
_SIGNALS: Mapping[str, tuple[tuple[str, ...], Mapping[str, Column]]] = {
    "disk": (("mount",), {"mount": _TEXT, "size_gib": _NUMBER, "free_gib": _NUMBER, "free_percent": _NUMBER}),
    "memory": ((), {"used_percent": _NUMBER, "swap_percent": _NUMBER, "pressure": _NUMBER}),
    "service": (("name",), {"name": _TEXT, "state": _TEXT, "restarts": _NUMBER}),
    "account": (("user",), {"user": _TEXT, "days_left": _NUMBER, "locked": _BOOLEAN}),
}

# Numbers lie evenly between 0 and 100, so a share is a threshold. Column against column holds in half of the
# rows, a state in a quarter, locked in half; with three columns nulls take more, hence the one factor more.
_SHAPES = (
    _Shape(
        name="nearly-full",
        signal="disk",
        when="free_percent < params.below_percent and free_gib < params.below_gib",
        params=lambda share: {"below_percent": 100 * share, "below_gib": 100 * _BOTH / share},
    ),
    _Shape(
        name="short-of-memory",
        signal="memory",
        when="used_percent > params.above_used and swap_percent > params.above_swap",
        params=lambda share: {"above_used": 100 - 100 * share, "above_swap": 100 - 100 * _BOTH / share},
    ),
    _Shape(
        name="failed-often",
        signal="service",
        when="state = 'failed' and restarts >= params.from_restarts",
        params=lambda share: {"from_restarts": 100 - 100 * _BOTH / 0.25 * (share + 0.6)},
    ),
    _Shape(
        name="expires-soon",
        signal="account",
        when="days_left < params.below_days and locked = false",
        params=lambda share: {"below_days": 100 * _BOTH / 0.5 * (share + 0.6)},
    ),
    _Shape(
        name="full-and-large",
        signal="disk",
        when="free_percent <= 40 and size_gib >= params.from_gib",
        params=lambda share: {"from_gib": 100 - 100 * _BOTH / 0.4 * (share + 0.6)},
    ),
    _Shape(
        name="under-pressure",
        signal="memory",
        when="used_percent > swap_percent and pressure >= params.from_pressure",
        params=lambda share: {"from_pressure": 100 - 100 * _BOTH / 0.5 / (1 - _NULL_SHARE) * (share + 0.6)},
    ),
    _Shape(
        name="not-running",
        signal="service",
        when="state <> 'running' and restarts < params.below_restarts",
        params=lambda share: {"below_restarts": 100 * _BOTH / 0.75 * (share + 0.6)},
    ),
    _Shape(
        name="expires-between",
        signal="account",
        when="days_left >= params.from_days and days_left < params.below_days",
        params=lambda share: {"from_days": 100 * share, "below_days": 100 * share + 100 * _BOTH * (1 - _NULL_SHARE)},
    ),
)


def make_fleet(hosts: int, *, rules: int, seed: int) -> Fleet:
    """
    Return a fleet of that many hosts, each with one row of each of four signals, and that many rules.

    A fifth of the values is null (key columns aside); each rule matches about a tenth of the rows.
    """
    chance = random.Random(seed)
    all_hosts = tuple(Host(name=f"host-{number:05}") for number in range(hosts))
    readings = {host.name: {signal: _reading(host.name, signal, chance) for signal in _SIGNALS} for host in all_hosts}
    scopes, bare_rules = [], []
    for number in range(rules):
        shape = _SHAPES[number % len(_SHAPES)]
        rule = _rule(f"{shape.name}-{number:02}", shape, shape.params(chance.uniform(0.3, 0.5)))
        scopes.append(Scope(rule=rule, hosts=all_hosts, exempt_names=()))
        bare_rules.append((rule.name, rule.signal, BARE[shape.name](rule.params)))
    return Fleet(
        scopes=tuple(scopes),
        signals={name: _signal(name) for name in _SIGNALS},
        readings=readings,
        bare_rules=tuple(bare_rules),
    )


def _reading(host: str, signal: str, chance: random.Random) -> Reading:
    key, columns = _SIGNALS[signal]
    row = {name: _KEY_VALUES[name] if name in key else _value(name, columns[name], chance) for name in columns}
    return Reading(host=host, signal=signal, observed_at=_OBSERVED_AT, status=ReadingStatus.OK, rows=(row,))


_KEY_VALUES = {"mount": "/", "name": "app.service", "user": "deploy"}


def _value(name: str, column: Column, chance: random.Random) -> Value:
    if chance.random() < _NULL_SHARE:
        return None
    if name == "state":
        return chance.choice(_STATES)
    return chance.random() < 0.5 if column.type is ColumnType.BOOLEAN else chance.uniform(0, 100)


def _signal(name: str) -> Signal:
    key, columns = _SIGNALS[name]
    script = Script(path=f"{name}.sh", body=b"", sha256="", timeout_s=20)
    return Signal(
        name=name,
        title=name,
        key=key,
        rows=RowPromise.SOME if key else RowPromise.ONE,
        columns=columns,
        params={},
        collect={Platform.LINUX: script},
        max_age_s=900,
        digest="",
        place=_PLACE,
    )


def _rule(name: str, shape: _Shape, params: Params) -> Rule:
    columns = _SIGNALS[shape.signal][1]
    return Rule(
        name=name,
        title=name,
        why="A rule of the benchmark.",
        owner="platform@example.org",
        tags=(),
        mode=Mode.OBSERVE,
        hosts="all",
        hosts_place=_PLACE,
        signal=shape.signal,
        params=params,
        when=compile_condition(shape.when, columns=columns, params=params, signals={}, place=_PLACE),
        exempt=(),
        fix={},
        risk=Risk.SAFE,
        verify=VerifyLater(),
        limits=RuleLimits(cooldown_s=21_600, attempts=3, attempts_within_s=604_800, matched=Limit(count=5)),
        rollout=RuleRollout(
            waves=(WaveShare(percent=100),),
            soak_s=300,
            concurrency=20,
            max_bad=Limit(count=0),
            max_unreachable=Limit(count=1),
        ),
        digest="",
        place=_PLACE,
    )
