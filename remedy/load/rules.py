"""Rules, from their folders to typed values with checked conditions."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from remedy.canonical import canonical_json, digest_text
from remedy.conditions import compile_condition, named_signals, parse_problems
from remedy.errors import FilesError, UsageError
from remedy.limits import Limit, WaveShare
from remedy.load.document import Document, Route
from remedy.load.inventory.patterns import check_pattern
from remedy.load.schema import Shape, check_parts
from remedy.load.scripts import load_scripts, script_digests
from remedy.load.signals import check_name, has_one_row, load_params
from remedy.load.windows import check_sound_windows, load_windows, warn_of_short_windows
from remedy.model import (
    Condition,
    Exemption,
    Mode,
    Params,
    Platform,
    Risk,
    Rule,
    RuleLimits,
    RuleRollout,
    Script,
    Signal,
    VerifyLater,
    VerifyUntil,
)
from remedy.schedule import ChangeWindow
from remedy.text import nearest

__all__ = ["load_rule", "signals_of"]

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_COOLDOWN_S = 6 * _HOUR_S
_ATTEMPTS = 3
_ATTEMPTS_WITHIN_S = 7 * _DAY_S
_MATCHED = Limit(count=5, percent=20.0)
_WAVES = (WaveShare(count=1), WaveShare(percent=10.0), WaveShare(percent=100.0))
_SOAK_S = 5 * _MINUTE_S
_CONCURRENCY_SAFE = 20
_MAX_BAD = Limit(count=0)
_MAX_UNREACHABLE = Limit(count=1, percent=10.0)
_SETTLE_S = 10
_WITHIN_S = 2 * _MINUTE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """What the conditions of one rule may name."""

    columns: Mapping[str, Any]
    params: Params
    signals: Mapping[str, Any]
    multi_row_signals: Collection[str]
    broken: Collection[str]


def load_rule(
    document: Document, *, name: str, root: Path, signals: Mapping[str, Signal], broken_signals: Collection[str] = ()
) -> Rule | None:
    """
    Return the rule in root/NAME, or None when its problems are in the document.

    A rule whose signal is among `broken_signals` is not checked against it: the
    signal's own problems are enough. Every mistake is looked for: neither a wrong
    form nor a wrong signal hides what can be judged without it.
    """
    shape = check_parts(document, "rule")
    if not shape.whole:
        _check_sound_parts(document, shape, name=name, root=root, signals=signals, broken=broken_signals)
        return None
    raw: dict[str, Any] = document.raw
    check_name(document, "rule", name)
    windows = load_windows(document)
    _check_hosts(document, ["hosts"])
    params = load_params(document, raw.get("params", {}))
    fix = load_scripts(document, "fix", root=root, folder=(name,))
    warn_of_short_windows(document, windows, fix)
    risk = Risk(raw.get("risk", Risk.SAFE.value))
    limits = _load_limits(document)
    rollout = _load_rollout(document, risk)
    scope = _scope(document, raw["signal"], params=params, signals=signals, broken=broken_signals)
    when = _condition(document, ["when"], scope)
    exempt = tuple(_load_exemption(document, index, scope) for index in range(len(raw.get("exempt", []))))
    verify = _load_verify(document, raw.get("verify", "later"), scope)
    if document.problems or when is None or verify is None:
        return None
    return _built(document, raw, params=params, when=when, exempt=exempt, verify=verify, fix=fix,
                  risk=risk, limits=limits, rollout=rollout, windows=windows, signals=signals)  # fmt: skip


def signals_of(document: Document) -> frozenset[str]:
    """Return the signals that a rule's file names, in its `signal` and its conditions, as far as they can be read."""
    exempt = document.value(["exempt"], [])
    routes: list[Route] = [
        ["exempt", index, "where"] for index in range(len(exempt) if isinstance(exempt, list) else 0)
    ]
    texts = [document.value(route) for route in (["when"], ["verify", "until"], *routes)]
    named = [named_signals(text) for text in texts if isinstance(text, str)]
    own = document.value(["signal"])
    return frozenset({own} if isinstance(own, str) else ()).union(*named)


def _check_sound_parts(
    document: Document,
    shape: Shape,
    *,
    name: str,
    root: Path,
    signals: Mapping[str, Signal],
    broken: Collection[str],
) -> None:
    """Look for the mistakes in the sound parts of a rule whose form is wrong somewhere else."""
    if shape.is_sound("rule"):
        check_name(document, "rule", name)
    check_sound_windows(document, shape)
    if shape.is_sound("hosts"):
        _check_hosts(document, ["hosts"])
    load_scripts(document, "fix", root=root, folder=(name,), shape=shape)
    if shape.is_sound("limits"):
        _load_limits(document)
    if shape.is_sound("rollout"):
        _load_rollout(document, Risk.SAFE)
    scope = None
    has_params = shape.is_sound("params")
    params = load_params(document, document.value(["params"], {})) if has_params else {}
    signal = document.value(["signal"])
    if shape.is_sound("signal") and signal is not None:
        scope = _scope(document, signal, params=params, signals=signals, broken=broken)
    _check_conditions(document, shape, scope if has_params else None)


def _check_conditions(document: Document, shape: Shape, scope: _Scope | None) -> None:
    if shape.is_sound("when") and document.value(["when"]) is not None:
        _condition(document, ["when"], scope)
    exempt = document.value(["exempt"], [])
    for index in range(len(exempt) if isinstance(exempt, list) else 0):
        where: Route = ["exempt", index, "where"]
        if shape.is_sound("exempt", index):
            _load_exemption(document, index, scope)
        elif shape.is_sound(*where) and document.value(where) is not None:
            _condition(document, where, scope)
    if shape.is_sound("verify"):
        _load_verify(document, document.value(["verify"]), scope)
    elif shape.is_sound("verify", "until") and document.value(["verify", "until"]) is not None:
        _condition(document, ["verify", "until"], scope)


def _signal_digests(name: str, conditions: Iterable[Condition | None], signals: Mapping[str, Signal]) -> dict[str, str]:
    """Return the digests of all signals a rule reads: who changes a collector changes what the rule means."""
    names = {name, *(other for condition in conditions if condition is not None for other in condition.other_signals)}
    return {each: signals[each].digest for each in names}


def _built(
    document: Document,
    raw: Mapping[str, Any],
    *,
    params: Params,
    when: Condition,
    exempt: tuple[Exemption, ...],
    verify: VerifyLater | VerifyUntil,
    fix: dict[Platform, Script],
    risk: Risk,
    limits: RuleLimits,
    rollout: RuleRollout,
    windows: tuple[ChangeWindow, ...],
    signals: Mapping[str, Signal],
) -> Rule:
    conditions = [when, *(exemption.where for exemption in exempt)]
    if isinstance(verify, VerifyUntil):
        conditions.append(verify.until)
    tags = tuple(sorted(raw.get("tags", [])))
    resolved = {
        **{key: raw[key] for key in ("rule", "title", "why", "owner", "mode", "hosts", "signal")},
        "tags": tags,
        "params": params,
        "when": when.text,
        "exempt": [_exemption_values(exemption) for exemption in exempt],
        "fix": script_digests(fix),
        "risk": risk.value,
        "verify": _verify_values(verify),
        "limits": _limits_values(limits),
        "rollout": _rollout_values(rollout),
        "signals": _signal_digests(raw["signal"], conditions, signals),
    }
    if windows:  # Added only then: rules without windows keep the digest, and so the attempts, that they had.
        resolved["change_windows"] = sorted(str(window) for window in windows)
    text = canonical_json(resolved)
    return Rule(
        name=raw["rule"],
        title=raw["title"],
        why=raw["why"],
        owner=raw["owner"],
        tags=tags,
        mode=Mode(raw["mode"]),
        hosts=raw["hosts"],
        hosts_place=document.place(["hosts"]),
        signal=raw["signal"],
        params=params,
        when=when,
        exempt=exempt,
        fix=fix,
        risk=risk,
        verify=verify,
        limits=limits,
        rollout=rollout,
        change_windows=windows,
        digest=digest_text(text),
        resolved=text,
        place=document.place(),
    )


def _check_hosts(document: Document, route: Route) -> None:
    pattern = document.value(route)
    if pattern is None:
        return
    try:
        check_pattern(pattern, files=False)
    except UsageError as exc:
        document.add(route, str(exc))


def _scope(
    document: Document, signal: str, *, params: Params, signals: Mapping[str, Signal], broken: Collection[str]
) -> _Scope | None:
    if signal in broken:
        return None
    if signal not in signals:
        near = nearest(signal, signals, most=1)
        known = f"signals are {', '.join(sorted(signals))}" if signals else "there are no signals"
        document.add(["signal"], f"there is no signal `{signal}`", f"did you mean `{near[0]}`?" if near else known)
        return None
    others = {name: other for name, other in signals.items() if name != signal}
    return _Scope(
        columns=signals[signal].columns,
        params=params,
        signals={name: other.columns for name, other in others.items() if has_one_row(other)},
        multi_row_signals=frozenset(name for name, other in others.items() if not has_one_row(other)),
        broken=broken,
    )


def _condition(document: Document, route: Route, scope: _Scope | None) -> Condition | None:
    """Return the condition at route; without a scope, or if it reads a broken signal, it is only parsed, and None."""
    place = document.place(route)
    if scope is None or (scope.broken and named_signals(document.value(route)) & set(scope.broken)):
        document.problems.extend(parse_problems(document.value(route), place=place))
        return None
    try:
        condition = compile_condition(
            document.value(route),
            columns=scope.columns,
            params=scope.params,
            signals=scope.signals,
            multi_row_signals=scope.multi_row_signals,
            place=place,
        )
    except FilesError as exc:
        document.problems.extend(exc.problems)
        return None
    if not condition.columns_read and not condition.other_signals:
        document.add(
            route, "the condition reads no column: it says the same of every host", "name a column of the signal"
        )
    return condition


def _load_exemption(document: Document, index: int, scope: _Scope | None) -> Exemption:
    route: Route = ["exempt", index]
    raw = document.value(route)
    _check_hosts(document, [*route, "hosts"])
    until = None
    if "until" in raw:
        try:
            until = date.fromisoformat(raw["until"])
        except ValueError:
            document.add([*route, "until"], f"there is no day {raw['until']}", "write YYYY-MM-DD")
    where = _condition(document, [*route, "where"], scope) if "where" in raw else None
    return Exemption(
        hosts=raw["hosts"],
        where=where,
        reason=raw["reason"],
        until=until,
        hosts_place=document.place([*route, "hosts"]),
    )


def _load_verify(document: Document, raw: object, scope: _Scope | None) -> VerifyLater | VerifyUntil | None:
    if not isinstance(raw, dict):
        return VerifyLater()
    settle_s = document.duration_s(["verify", "settle"], default_s=_SETTLE_S, most_s=10 * _MINUTE_S)
    within_s = document.duration_s(["verify", "within"], default_s=_WITHIN_S, most_s=_HOUR_S, least_s=1)
    if settle_s > within_s:
        document.add(["verify"], "`settle` is longer than `within`", "make `within` the longer one")
    until = _condition(document, ["verify", "until"], scope)
    return None if until is None else VerifyUntil(until=until, settle_s=settle_s, within_s=within_s)


def _load_limits(document: Document) -> RuleLimits:
    year_s = 366 * _DAY_S
    attempts = ["limits", "attempts"]
    return RuleLimits(
        cooldown_s=document.duration_s(["limits", "cooldown"], default_s=_COOLDOWN_S, most_s=year_s),
        attempts=int(document.value([*attempts, "count"], _ATTEMPTS)),
        attempts_within_s=document.duration_s(
            [*attempts, "within"], default_s=_ATTEMPTS_WITHIN_S, most_s=year_s, least_s=1
        ),
        matched=document.limit(["limits", "matched"], _MATCHED),
    )


def _load_rollout(document: Document, risk: Risk) -> RuleRollout:
    concurrency = _CONCURRENCY_SAFE if risk is Risk.SAFE else 1
    return RuleRollout(
        waves=document.shares(["rollout", "waves"], _WAVES),
        soak_s=document.duration_s(["rollout", "soak"], default_s=_SOAK_S, most_s=_DAY_S),
        concurrency=int(document.value(["rollout", "concurrency"], concurrency)),
        max_bad=document.limit(["rollout", "max_bad"], _MAX_BAD),
        max_unreachable=document.limit(["rollout", "max_unreachable"], _MAX_UNREACHABLE),
        seed=document.value(["rollout", "seed"], ""),
    )


def _exemption_values(exemption: Exemption) -> dict[str, object]:
    return {
        "hosts": exemption.hosts,
        "where": exemption.where.text if exemption.where is not None else None,
        "reason": exemption.reason,
        "until": exemption.until.isoformat() if exemption.until is not None else None,
    }


def _verify_values(verify: VerifyLater | VerifyUntil) -> object:
    match verify:
        case VerifyLater():
            return "later"
        case VerifyUntil():
            return {"until": verify.until.text, "settle_s": verify.settle_s, "within_s": verify.within_s}


def _limits_values(limits: RuleLimits) -> dict[str, object]:
    return {
        "cooldown_s": limits.cooldown_s,
        "attempts": limits.attempts,
        "attempts_within_s": limits.attempts_within_s,
        "matched": str(limits.matched),
    }


def _rollout_values(rollout: RuleRollout) -> dict[str, object]:
    return {
        "waves": [str(share) for share in rollout.waves],
        "soak_s": rollout.soak_s,
        "concurrency": rollout.concurrency,
        "max_bad": str(rollout.max_bad),
        "max_unreachable": str(rollout.max_unreachable),
        "seed": rollout.seed,
    }
