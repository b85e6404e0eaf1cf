"""Values for the tests of the pure core: signals, rules, hosts, outputs, fleets; and their plans."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

from remedy.conditions import compile_condition
from remedy.errors import Place
from remedy.limits import Limit, WaveShare
from remedy.model import (
    Column,
    ColumnType,
    Condition,
    Exemption,
    Host,
    Mode,
    Params,
    Platform,
    Reading,
    ReadingStatus,
    Risk,
    Rule,
    RuleLimits,
    RuleRollout,
    Scope,
    Script,
    Signal,
    VerifyUntil,
)
from remedy.model import RowPromise as Promise
from remedy.plan import NO_HISTORY, History, Plan, Unseen
from remedy.planning import build_plan
from remedy.port import Captured, CollectorEnding, CollectorOutput
from remedy.precautions import NO_PRECAUTIONS, Precautions
from remedy.readings import reading_of_output
from remedy.verdicts import Judgement, by_host, judge, only_fresh

NOW = datetime(2026, 11, 22, 8, 45, tzinfo=UTC)
PLACE = Place(file="rules/low-disk/rule.yaml", line=1, column=1)
TEXT = Column(type=ColumnType.TEXT)
NUMBER = Column(type=ColumnType.NUMBER, unit="percent")
BOOLEAN = Column(type=ColumnType.BOOLEAN)
MANY = Limit(count=1_000_000)


def script(body: bytes = b"#!/bin/sh\ntrue\n", *, path: str = "clean.sh") -> Script:
    """Return a script with its true digest."""
    return Script(path=path, body=body, sha256=sha256(body).hexdigest(), timeout_s=60, become_root=True)


def signal(
    name: str,
    columns: Mapping[str, Column],
    *,
    key: tuple[str, ...] = (),
    rows: Promise = Promise.SOME,
    platforms: Iterable[Platform] = tuple(Platform),
) -> Signal:
    """Return a signal with a collector for each of the platforms; a reading is stale after 15 minutes."""
    return Signal(
        name=name,
        title=name,
        key=key,
        rows=rows,
        columns=columns,
        params={},
        collect={platform: script(path="collect.sh") for platform in platforms},
        max_age_s=900,
        digest=f"digest of {name}",
        place=PLACE,
    )


DISK = signal("disk", {"mount": TEXT, "free_percent": NUMBER, "read_only": BOOLEAN}, key=("mount",))
BOOT = signal("boot", {"days": NUMBER, "pending": BOOLEAN}, rows=Promise.ONE)
CERTIFICATE = signal("certificate", {"port": NUMBER, "days_left": NUMBER}, key=("port",), rows=Promise.ANY)
NOTE = signal("note", {"text": TEXT}, rows=Promise.ANY)
SIGNALS = {each.name: each for each in (DISK, BOOT, CERTIFICATE, NOTE)}


def condition(text: str, of: Signal, *, params: Params | None = None) -> Condition:
    """Return a compiled condition on a signal; it may read every other signal that has one row."""
    single = {each.name: each.columns for each in SIGNALS.values() if not each.key and each.name != of.name}
    return compile_condition(text, columns=of.columns, params=params or {}, signals=single, place=PLACE)


def exemption(
    hosts: str, where: str | None = None, *, of: Signal = DISK, until: date | None = None, params: Params | None = None
) -> Exemption:
    """Return an exemption; which names `hosts` covers is said by the scope."""
    compiled = condition(where, of, params=params) if where is not None else None
    return Exemption(hosts=hosts, where=compiled, reason="full by design", until=until)


def rule(
    name: str = "low-disk",
    when: str | Condition = "free_percent < params.below",
    *,
    of: Signal = DISK,
    params: Params | None = None,
    mode: Mode = Mode.FIX,
    risk: Risk = Risk.SAFE,
    exempt: tuple[Exemption, ...] = (),
    fix: Mapping[Platform, Script] | None = None,
    matched: Limit = MANY,
    rollout: RuleRollout | None = None,
) -> Rule:
    """Return a rule that fixes; its fuse is out of the way unless `matched` is given."""
    own = {"below": 10.0} if params is None else params
    compiled = condition(when, of, params=own) if isinstance(when, str) else when
    return Rule(
        name=name,
        title=name,
        why="it annoys people",
        owner="platform@example.org",
        tags=(),
        mode=mode,
        hosts="all",
        hosts_place=PLACE,
        signal=of.name,
        params=own,
        when=compiled,
        exempt=exempt,
        fix={platform: script() for platform in Platform} if fix is None else fix,
        risk=risk,
        verify=VerifyUntil(until=compiled, settle_s=0, within_s=60),
        limits=limits(matched=matched),
        rollout=rollout or policy(),
        digest=f"digest of {name}",
        place=PLACE,
    )


def limits(*, cooldown_s: int = 3_600, attempts: int = 3, within_s: int = 86_400, matched: Limit = MANY) -> RuleLimits:
    """Return limits of a rule."""
    return RuleLimits(cooldown_s=cooldown_s, attempts=attempts, attempts_within_s=within_s, matched=matched)


def policy(*, concurrency: int = 20, max_bad: int = 0) -> RuleRollout:
    """Return a rollout of one canary, a tenth, all."""
    return RuleRollout(
        waves=(WaveShare(count=1), WaveShare(percent=10.0), WaveShare(percent=100.0)),
        soak_s=300,
        concurrency=concurrency,
        max_bad=Limit(count=max_bad),
        max_unreachable=Limit(count=1, percent=10.0),
    )


def hosts(*names: str, platform: Platform = Platform.LINUX) -> tuple[Host, ...]:
    """Return hosts of one platform."""
    return tuple(Host(name=name, platform=platform) for name in names)


def scope(of: Rule, members: Sequence[Host], *exempt: Iterable[str]) -> Scope:
    """Return a scope; `exempt` says for each exemption which names it covers (all of them when left out)."""
    names = [frozenset(each) for each in exempt] or [frozenset(host.name for host in members) for _ in of.exempt]
    return Scope(rule=of, hosts=tuple(members), exempt_names=tuple(names))


def captured(raw: bytes) -> Captured:
    """Return a stream of which everything was kept."""
    return Captured(head=raw, tail=b"", size=len(raw), sha256=sha256(raw).hexdigest())


def output(
    stdout: str | bytes,
    *,
    exit_code: int | None = 0,
    ending: CollectorEnding = CollectorEnding.EXITED,
    stderr: bytes = b"",
) -> CollectorOutput:
    """Return what came back of a collector."""
    raw = stdout.encode() if isinstance(stdout, str) else stdout
    return CollectorOutput(ending=ending, exit_code=exit_code, stdout=captured(raw), stderr=captured(stderr))


def printed(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as a collector prints them."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def reading(of: Signal, host: str, *rows: Mapping[str, Any], at: datetime = NOW) -> Reading:
    """Return the reading of a collector that printed these rows; it went through the reader."""
    return reading_of_output(of, host, output(printed(rows)), observed_at=at)


def unseen(of: Signal, host: str, status: ReadingStatus, *, at: datetime = NOW, reason: str = "because") -> Reading:
    """Return a reading without rows."""
    return Reading(host=host, signal=of.name, observed_at=at, status=status, reason=reason)


def judged(
    scopes: Iterable[Scope],
    readings: Iterable[Reading],
    *,
    now: datetime = NOW,
    signals: Mapping[str, Signal] = SIGNALS,
) -> tuple[Judgement, ...]:
    """Return the judgements of readings at a time."""
    return tuple(judge(scopes, by_host(only_fresh(readings, signals, now=now)), signals))


def planned(
    scopes: Sequence[Scope],
    readings: Iterable[Reading],
    *,
    history: History = NO_HISTORY,
    accept_matched: int | None = None,
    now: datetime = NOW,
    signals: Mapping[str, Signal] = SIGNALS,
    precautions: Precautions = NO_PRECAUTIONS,
    unseen: Unseen | None = None,
) -> Plan:
    """Return the plan that readings lead to, as a run makes it."""
    fresh = by_host(only_fresh(readings, signals, now=now))
    return build_plan(
        scopes,
        judge(scopes, fresh, signals),
        fresh,
        history=history,
        endpoints={},
        accept_matched=accept_matched,
        created_at=now,
        precautions=precautions,
        unseen=unseen,
    )


def full(*names: str, mounts: Sequence[str] = ("/",)) -> list[Reading]:
    """Return a reading of each host on which every one of these volumes is nearly full."""
    return [reading(DISK, name, *({"mount": mount, "free_percent": 3} for mount in mounts)) for name in names]
