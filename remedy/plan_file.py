"""
The plan as a file: what a reviewer agreed to, carried out only if it still stands.

Pure. What a plan decided (when, on which rows, in which order, what was held) is
taken from the file; what it stands on (rules, scripts, limits, how hosts are
reached, safeguards) is taken from today. If the two together do not make the very
same document again, something has changed since the review, and it is named.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from remedy.canonical import canonical_json, digest_text, row_value
from remedy.errors import UsageError
from remedy.holds import Held, Override, Pause, PauseOf
from remedy.model import Execution, Finding, Hold, Host, Key, Row, Rule, Signal
from remedy.plan import HeldFinding, Plan, RulePlan, Unseen
from remedy.plan_document import digested, plan_document
from remedy.planning import execution_ids, execution_of, resolved_spec
from remedy.precautions import Precautions
from remedy.readings import parse_time, time_text
from remedy.waves import planned_waves

__all__ = ["CHANGES_SHOWN_MAX", "PLAN_BYTES_MAX", "Standing", "plan_file_text", "plan_of_file"]

PLAN_BYTES_MAX = 512 * 1_048_576
"""A plan of 100,000 executions has about 100 MB."""

CHANGES_SHOWN_MAX = 20
_DERIVED = ("digest", "expires_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    What a plan stands on, as it is today.

    `looks_at` has the names of the hosts that each rule looks at. `precautions` has
    no override and names nobody: the plan does.
    """

    rules: Mapping[str, Rule]
    looks_at: Mapping[str, frozenset[str]]
    signals: Mapping[str, Signal]
    hosts: Mapping[str, Host]
    precautions: Precautions


def plan_file_text(plan: Plan) -> str:
    """Return a plan as the text of its file: its document, indented, keys sorted."""
    return json.dumps(plan_document(plan), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def plan_of_file(text: str, standing: Standing, *, file: str) -> Plan:
    """
    Return the plan of a file, if it is whole and nothing it stands on has changed.

    Its age is not looked at: that is done when a run starts.

    Raises:
        UsageError: it is no plan file, was edited, or does not stand any more; every
            change is named, up to CHANGES_SHOWN_MAX of them.
    """
    recorded = _document(text, file=file)
    digest = recorded.pop("digest")
    expires_at = recorded.pop("expires_at")
    ids = [execution.pop("id") for rule in recorded["rules"] for execution in rule["executions"]]
    if digest_text(canonical_json(recorded)) != digest:
        raise UsageError(f"{file} was edited: its content is not that of its digest; make a new plan with --plan-out")
    try:
        missing = _missing(recorded, standing) or _unfit(recorded, standing)
        if missing:
            raise _no_longer(file, missing)
        plan = _plan(recorded, standing)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise _no_plan(file) from exc
    changes = list(_changes(recorded, digested(plan), ""))
    if changes:
        raise _no_longer(file, changes)
    plan = execution_ids(plan, digest)
    if [execution.id for execution in plan.executions] != ids or time_text(plan.expires_at) != expires_at:
        raise UsageError(f"{file} was edited: the ids of its executions, or its end, are not those of its digest")
    return plan


def _no_plan(file: str) -> UsageError:
    return UsageError(f"{file} is no plan file of this version; make one with `remedy apply --dry-run --plan-out FILE`")


def _no_longer(file: str, changes: Sequence[str]) -> UsageError:
    shown = [f"  {change}" for change in changes[:CHANGES_SHOWN_MAX]]
    more = len(changes) - CHANGES_SHOWN_MAX
    shown += [f"  and {more} more"] if more > 0 else []
    cure = "nothing was started; make a new plan and have it reviewed"
    return UsageError(
        "\n".join([f"{file} does not stand any more: since the review these have changed:", *shown, cure])
    )


def _document(text: str, *, file: str) -> dict[str, Any]:
    """Return the file's object, in which no name stands twice."""
    try:
        document = json.loads(text, object_pairs_hook=_no_doubles, parse_constant=_no_constant)
        if not isinstance(document, dict) or document["plan"] != 1 or not all(name in document for name in _DERIVED):
            raise _no_plan(file)
        for rule in document["rules"]:
            for execution in rule["executions"]:
                _ = (rule["rule"], execution["id"], execution["host"])
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise _no_plan(file) from exc
    return document


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _missing(recorded: Mapping[str, Any], standing: Standing) -> list[str]:
    """Return the rules and hosts of a plan that are gone, and the hosts that a rule does not look at any more."""
    names = {rule["rule"] for rule in recorded["rules"]} | {item["rule"] for item in recorded["held"]}
    hosts = set(recorded["hosts"]) | {host for rule in recorded["rules"] for host in rule["order"]}
    return [
        *(f"rule {name} is gone" for name in sorted(names - set(standing.rules))),
        *(f"host {name} is gone from the inventory" for name in sorted(hosts - set(standing.hosts))),
        *(
            f"rule {rule['rule']} does not look at {host} any more"
            for rule in recorded["rules"]
            for host in rule["order"]
            if host not in standing.looks_at.get(rule["rule"], ())
        ),
    ]


def _unfit(recorded: Mapping[str, Any], standing: Standing) -> list[str]:
    """Return the executions that the rules and signals of today have no place for."""
    found: dict[str, None] = {}
    for described in recorded["rules"]:
        rule = standing.rules[described["rule"]]
        key = standing.signals[rule.signal].key
        for execution in described["executions"]:
            platform = standing.hosts[execution["host"]].platform
            if platform not in rule.fix:
                found[f"rule {rule.name} has no fix for {platform.value} any more"] = None
            if set(execution["key"]) != set(key):
                found[f"rule {rule.name}: the rows of signal {rule.signal} have another key now"] = None
    return list(found)


def _plan(recorded: Mapping[str, Any], standing: Standing) -> Plan:
    override = recorded["precautions"]["override"]
    protected = frozenset(recorded["precautions"]["protected"])
    precautions = Precautions(
        # Of hosts that the plan did not look at nobody knows here: they are no change.
        protected=standing.precautions.protected & (protected | frozenset(recorded["hosts"])),
        named=frozenset(recorded["precautions"]["named"]),
        per_rule=standing.precautions.per_rule,
        all_rules=standing.precautions.all_rules,
        freezes=standing.precautions.freezes,
        override=Override(**{**override, "hold": Hold(override["hold"])}) if override else None,
    )
    return Plan(
        created_at=parse_time(recorded["created_at"]),
        digest="",
        rules=tuple(_rule_plan(rule, standing, protected) for rule in recorded["rules"]),
        held=tuple(_held(item, standing) for item in recorded["held"]),
        hosts={name: standing.hosts[name] for name in recorded["hosts"]},
        endpoints={name: host["endpoint"] for name, host in recorded["hosts"].items() if host["endpoint"]},
        busy=dict(recorded["busy"]),
        precautions=precautions,
        pauses=tuple(_pause(pause) for pause in recorded["pauses"]),
        unseen=Unseen(**{name: tuple(hosts) for name, hosts in recorded["unseen"].items()}),
    )


def _rule_plan(recorded: Mapping[str, Any], standing: Standing, protected: frozenset[str]) -> RulePlan:
    rule = standing.rules[recorded["rule"]]
    order = tuple(recorded["order"])
    platforms = {name: standing.hosts[name].platform for name in order}
    spec = resolved_spec(rule, order, platforms, alone=protected)
    return RulePlan(
        rule=rule,
        selected=recorded["selected"],
        judged=recorded["judged"],
        matched=recorded["matched"],
        matched_max=rule.limits.matched.resolve(recorded["judged"]),
        fuse=recorded["fuse"],
        spec=spec,
        waves=planned_waves(spec),
        executions=tuple(_execution(rule, each, standing) for each in recorded["executions"]),
        budget_left=recorded["budget_left"],
    )


def _execution(rule: Rule, recorded: Mapping[str, Any], standing: Standing) -> Execution:
    host = standing.hosts[recorded["host"]]
    return execution_of(rule, host, _finding(rule, recorded, standing))


def _finding(rule: Rule, recorded: Mapping[str, Any], standing: Standing) -> Finding:
    key = _key(recorded["key"], standing.signals[rule.signal])
    return Finding(rule=rule.name, host=recorded["host"], key=key, row=_row(recorded["row"]))


def _held(recorded: Mapping[str, Any], standing: Standing) -> HeldFinding:
    rule = standing.rules[recorded["rule"]]
    return HeldFinding(
        finding=_finding(rule, recorded, standing),
        held=Held(
            hold=Hold(recorded["hold"]),
            reason=recorded["reason"],
            until=_time(recorded["until"]),
            lifted_by=recorded["lifted_by"],
            after_bad=recorded["after_bad"],
        ),
    )


def _pause(recorded: Mapping[str, Any]) -> Pause:
    return Pause(
        of=PauseOf(recorded["of"]),
        name=recorded["name"],
        reason=recorded["reason"],
        actor=recorded["actor"],
        at=parse_time(recorded["at"]),
        until=_time(recorded["until"]),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)


def _key(recorded: Mapping[str, Any], signal: Signal) -> Key:
    """Return a key with its columns in the signal's order; none may be missing or too many."""
    if set(recorded) != set(signal.key):
        raise ValueError(f"{sorted(recorded)} is no key of signal {signal.name}")
    return tuple((name, row_value(recorded[name])) for name in signal.key)


def _row(recorded: Mapping[str, Any]) -> Row:
    return {name: row_value(value) for name, value in recorded.items()}


def _changes(recorded: Any, now: Any, where: str) -> Iterator[str]:
    """Yield what differs between two documents, by its place."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        for name in sorted({*recorded, *now}):
            yield from _changes(recorded.get(name), now.get(name), f"{where}.{name}" if where else str(name))
    elif isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        for index, (one, other) in enumerate(zip(recorded, now, strict=True)):
            yield from _changes(one, other, f"{where}[{_called(one, index)}]")
    elif recorded != now or type(recorded) is not type(now):
        yield f"{where}: {_shown(recorded)} in the plan, {_shown(now)} now"


def _called(item: Any, index: int) -> str:
    """Return what an item of a list is called: a rule's or host's name, else its number."""
    if isinstance(item, dict):
        return str(item.get("host") or item.get("rule") or index)
    return str(index)


def _shown(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
