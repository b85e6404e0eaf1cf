"""Rules about the flags of the fleet in memory: their signals, conditions, scripts and proofs."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from remedy.conditions import compile_condition
from remedy.errors import Place
from remedy.limits import Limit, WaveShare
from remedy.model import (
    Column,
    ColumnType,
    Exemption,
    Key,
    Mode,
    Platform,
    Risk,
    RowPromise,
    Rule,
    RuleLimits,
    RuleRollout,
    Script,
    Signal,
    VerifyLater,
    VerifyUntil,
)

PLACE = Place(file="rules/flag-high/rule.yaml", line=1, column=1)
ROOT: Key = (("name", "a"),)


def script(body: bytes = b"#!/bin/sh\ntrue\n", *, reboot_codes: tuple[int, ...] = ()) -> Script:
    """Return a script with its true digest."""
    digest = sha256(body).hexdigest()
    return Script(path="fix.sh", body=body, sha256=digest, timeout_s=60, needs_reboot_codes=reboot_codes)


def _signal(name: str, columns: Mapping[str, Column], *, key: tuple[str, ...], rows: RowPromise) -> Signal:
    return Signal(
        name=name,
        title=name,
        key=key,
        rows=rows,
        columns=columns,
        params={},
        collect={Platform.LINUX: script(b"#!/bin/sh\necho\n")},
        max_age_s=900,
        digest=f"digest of {name}",
        place=PLACE,
    )


TEXT, NUMBER = Column(type=ColumnType.TEXT), Column(type=ColumnType.NUMBER)
_COLUMNS = {"name": TEXT, "level": NUMBER, "note": TEXT}
FLAG = _signal("flag", _COLUMNS, key=("name",), rows=RowPromise.SOME)
FLAG_ANY = _signal("flag", _COLUMNS, key=("name",), rows=RowPromise.ANY)
POWER = _signal("power", {"watts": NUMBER}, key=(), rows=RowPromise.ONE)


def condition(text: str) -> Any:
    """Return a compiled condition on a flag; `power` may be read too."""
    return compile_condition(
        text, columns=FLAG.columns, params={"above": 5.0}, signals={"power": POWER.columns}, place=PLACE
    )


def verify_until(text: str = "level < 3", *, settle_s: int = 0, within_s: int = 20) -> VerifyUntil:
    """Return how a fix is proved."""
    return VerifyUntil(until=condition(text), settle_s=settle_s, within_s=within_s)


def rule(
    name: str = "flag-high",
    *,
    when: str = "level > params.above",
    risk: Risk = Risk.SAFE,
    fix: Script | None = None,
    verify: VerifyUntil | VerifyLater | None = None,
    exempt: tuple[Exemption, ...] = (),
    matched: Limit | None = None,
    waves: Sequence[int] = (),
    soak_s: int = 0,
    concurrency: int = 4,
    max_bad: int = 0,
    max_unreachable: int = 100,
    cooldown_s: int = 3_600,
    mode: Mode = Mode.FIX,
) -> Rule:
    """Return a rule that lowers flags; one wave unless `waves` says more."""
    return Rule(
        name=name,
        title=name,
        why="it annoys people",
        owner="platform@example.org",
        tags=(),
        mode=mode,
        hosts="all",
        hosts_place=PLACE,
        signal="flag",
        params={"above": 5.0},
        when=condition(when),
        exempt=exempt,
        fix={Platform.LINUX: fix or script()},
        risk=risk,
        verify=verify or verify_until(),
        limits=RuleLimits(
            cooldown_s=cooldown_s, attempts=3, attempts_within_s=86_400, matched=matched or Limit(count=10_000)
        ),
        rollout=RuleRollout(
            waves=(*(WaveShare(count=count) for count in waves), WaveShare(percent=100.0)),
            soak_s=soak_s,
            concurrency=concurrency,
            max_bad=Limit(count=max_bad),
            max_unreachable=Limit(count=max_unreachable),
        ),
        digest=f"digest of {name}",
        place=PLACE,
    )
