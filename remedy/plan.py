"""
The plan: what will run where, in which wave, and what is held back and why.

Pure: the same rules, readings, history and time give the same bytes, whatever
the order of input, the locale, the time zone or the hash seed. Its digest names
it; every execution's id comes from that digest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from remedy.canonical import canonical_json, digest_fields, digest_text, plain
from remedy.gate import Attempt, Held, fuse_blown, incident_hold
from remedy.model import (
    KEY_ROWS_MAX,
    Execution,
    Finding,
    Hold,
    Host,
    Key,
    Mode,
    Row,
    Rule,
    Scope,
    Script,
    Verdict,
    VerifyLater,
    VerifyUntil,
    key_text,
)
from remedy.readings import time_text
from remedy.verdicts import Judgement, ReadingsByHost, other_rows
from remedy.waves import RolloutSpec, planned_waves, rollout_order

__all__ = [
    "NO_HISTORY",
    "PLAN_EXPIRES_S",
    "HeldFinding",
    "History",
    "Incident",
    "Plan",
    "RulePlan",
    "build_plan",
    "exemption_of",
    "incident_text",
    "plan_document",
]

PLAN_EXPIRES_S = 4 * 3_600

Incident = tuple[str, str, Key]
"""What stays the same between runs: rule, host name, key values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """
    What the ledger knows, as the plan needs it.

    `attempts` by incident, oldest first, since the last release; `last_bad` has,
    by rule, the hosts whose last attempt was bad; `breakers` the reason by rule;
    `busy` the reason by host of an execution that may still be running there.
    """

    attempts: Mapping[Incident, tuple[Attempt, ...]]
    last_bad: Mapping[str, frozenset[str]]
    breakers: Mapping[str, str]
    busy: Mapping[str, str]


NO_HISTORY = History(attempts={}, last_bad={}, breakers={}, busy={})


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFinding:
    """A finding that is not executed, with what holds it."""

    finding: Finding
    held: Held


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan:
    """
    One rule in the plan: what it saw, what it will run, and its resolved limits.

    `fuse` is the reason when too many hosts match; then nothing of it is sent.
    The counts are distinct hosts.
    """

    rule: Rule
    selected: int
    judged: int
    matched: int
    matched_max: int
    fuse: str
    spec: RolloutSpec
    waves: tuple[tuple[str, ...], ...]
    executions: tuple[Execution, ...]

    @property
    def worst_case(self) -> int:
        """How many hosts can go bad before the rollout stops: max_bad + concurrency, at most all."""
        return min(self.spec.max_bad + self.spec.concurrency, len(self.spec.order))

    def wave_numbers(self) -> dict[str, int]:
        """Return the number of each planned host's wave, from 1."""
        return {host: number for number, wave in enumerate(self.waves, start=1) for host in wave}

    def by_host(self) -> dict[str, tuple[Execution, ...]]:
        """Return the executions of each planned host, in key order."""
        found: dict[str, list[Execution]] = {}
        for execution in self.executions:
            found.setdefault(execution.host, []).append(execution)
        return {host: tuple(executions) for host, executions in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The reviewed, hashed, ordered list of what will run where, and of every hold."""

    created_at: datetime
    digest: str
    rules: tuple[RulePlan, ...]
    held: tuple[HeldFinding, ...]
    hosts: Mapping[str, Host]
    endpoints: Mapping[str, str]
    busy: Mapping[str, str]

    @property
    def expires_at(self) -> datetime:
        """The time after which no run may start from it."""
        return self.created_at + timedelta(seconds=PLAN_EXPIRES_S)

    @property
    def executions(self) -> tuple[Execution, ...]:
        """All executions, in the order in which rules and hosts come."""
        return tuple(execution for rule_plan in self.rules for execution in rule_plan.executions)


def build_plan(
    scopes: Iterable[Scope],
    judgements: Iterable[Judgement],
    readings: ReadingsByHost,
    *,
    history: History,
    endpoints: Mapping[str, str],
    accept_matched: int | None,
    created_at: datetime,
) -> Plan:
    """
    Return the plan for these judgements.

    `endpoints` says where each collected host's connection led (nothing under
    `--readings`); `accept_matched` lets the fuse through up to that many hosts.
    """
    by_rule: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        by_rule.setdefault(judgement.rule, []).append(judgement)
    held: list[HeldFinding] = []
    rule_plans: list[RulePlan] = []
    hosts: dict[str, Host] = {}
    for scope in sorted(scopes, key=lambda scope: (scope.rule.risk.rank, scope.rule.name)):
        judged = sorted(by_rule.get(scope.rule.name, []), key=lambda judgement: judgement.host)
        rule_held, free = _sort_findings(scope, judged, readings, history=history, now=created_at)
        held.extend(rule_held)
        rule_plans.append(_rule_plan(scope, judged, rule_held, free, history=history, accepted=accept_matched))
        planned = {finding.host for finding in free}
        hosts.update({host.name: host for host in scope.hosts if host.name in planned})
    plan = Plan(
        created_at=created_at,
        digest="",
        rules=tuple(rule_plans),
        held=tuple(held),
        hosts=dict(sorted(hosts.items())),
        endpoints={name: endpoints[name] for name in sorted(hosts) if name in endpoints},
        busy={name: history.busy[name] for name in sorted(hosts) if name in history.busy},
    )
    return _with_ids(plan, digest_text(canonical_json(_digested(plan))))


def _with_ids(plan: Plan, digest: str) -> Plan:
    return replace(
        plan,
        digest=digest,
        rules=tuple(
            replace(
                rule_plan,
                executions=tuple(
                    replace(execution, id=_execution_id(digest, execution)) for execution in rule_plan.executions
                ),
            )
            for rule_plan in plan.rules
        ),
    )


def _execution_id(plan_digest: str, execution: Execution) -> str:
    key = canonical_json({name: plain(value) for name, value in execution.key})
    return digest_fields((plan_digest, execution.rule, execution.host, key))[:16]


def exemption_of(scope: Scope, host: Host, row: Row, others: Mapping[str, Row | None], *, now: datetime) -> Held | None:
    """Return the exemption that covers this row of this host now; an unknown `where` exempts."""
    params = scope.rule.params_for(host)
    now = now.astimezone(UTC)
    for exemption, names in zip(scope.rule.exempt, scope.exempt_names, strict=True):
        if host.name not in names or exemption.expired(now):
            continue
        if exemption.where is not None and exemption.where.bind(params)(row, others) is False:
            continue
        lifted_by = "editing the rule's `exempt`"
        return Held(hold=Hold.EXEMPT, reason=exemption.reason, until=_end_of_day(exemption.until), lifted_by=lifted_by)
    return None


def _end_of_day(last: date | None) -> datetime | None:
    """Return when a last day is over (UTC); the calendar's last day has no end that could be written."""
    if last is None or last == date.max:
        return None
    return datetime.combine(last + timedelta(days=1), time.min, UTC)


def _sort_findings(
    scope: Scope, judged: Iterable[Judgement], readings: ReadingsByHost, *, history: History, now: datetime
) -> tuple[list[HeldFinding], list[Finding]]:
    """Return the findings that are held, and those that are free to run."""
    hosts = {host.name: host for host in scope.hosts}
    held: list[HeldFinding] = []
    free: list[Finding] = []
    for judgement in judged:
        host = hosts[judgement.host]
        rows = len(judgement.findings)
        for finding in sorted(judgement.findings, key=lambda finding: _key_order(finding.key)):
            hold = _exempt(scope, host, finding, readings, now=now) or _hold(
                scope.rule, host, finding, rows=rows, history=history, now=now
            )
            if hold is None:
                free.append(finding)
            else:
                held.append(HeldFinding(finding=finding, held=hold))
    return held, free


def _exempt(scope: Scope, host: Host, finding: Finding, readings: ReadingsByHost, *, now: datetime) -> Held | None:
    if not scope.rule.exempt:
        return None
    names = {name for exemption in scope.rule.exempt if exemption.where for name in exemption.where.other_signals}
    others = other_rows(tuple(sorted(names)), readings.get(host.name, {}))
    return exemption_of(scope, host, finding.row, others, now=now)


def _key_order(key: Key) -> tuple[tuple[bool, float, str], ...]:
    """Return what sorts keys: numbers by size, texts by code point, whatever their types."""
    return tuple(
        (isinstance(value, str), 0.0 if value is None or isinstance(value, str) else float(value), str(value))
        for _, value in key
    )


def _hold(rule: Rule, host: Host, finding: Finding, *, rows: int, history: History, now: datetime) -> Held | None:
    if rows > KEY_ROWS_MAX:
        reason = f"{rows} rows match, more than {KEY_ROWS_MAX}: rather a broken sensor"
        return Held(hold=Hold.TOO_MANY_ROWS, reason=reason, lifted_by="mending the collector or the rule")
    if rule.mode is Mode.OBSERVE:
        cure = f"`mode: fix` in {rule.place.file}"
        return Held(hold=Hold.OBSERVE_ONLY, reason="the rule only observes", lifted_by=cure)
    script = rule.fix.get(host.platform)
    if script is None:
        reason = f"the rule has no fix for {host.platform.value}"
        return Held(hold=Hold.NO_FIX_FOR_PLATFORM, reason=reason, lifted_by=f"a fix in {rule.place.file}")
    if rule.name in history.breakers:
        cure = f"remedy release {rule.name} --reason TEXT"
        return Held(hold=Hold.PAUSED, reason=history.breakers[rule.name], lifted_by=cure, after_bad=True)
    if host.name in history.busy:
        return None
    attempts = history.attempts.get((rule.name, host.name, finding.key), ())
    return incident_hold(rule.limits, attempts, rule=rule.name, host=host.name, script_sha256=script.sha256, now=now)


def _rule_plan(
    scope: Scope,
    judged: list[Judgement],
    held: Iterable[HeldFinding],
    free: list[Finding],
    *,
    history: History,
    accepted: int | None,
) -> RulePlan:
    rule = scope.rule
    known = [judgement for judgement in judged if judgement.verdict in (Verdict.MATCH, Verdict.HEALTHY)]
    exempt = {(item.finding.host, item.finding.key) for item in held if item.held.hold is Hold.EXEMPT}
    matched = {
        finding.host
        for judgement in judged
        for finding in judgement.findings
        if (finding.host, finding.key) not in exempt
    }
    spec = _spec(scope, {finding.host for finding in free}, last_bad=history.last_bad.get(rule.name, frozenset()))
    waves = planned_waves(spec)
    position = {host: number for number, host in enumerate(host for wave in waves for host in wave)}
    ordered = sorted(free, key=lambda finding: (position[finding.host], _key_order(finding.key)))
    hosts = {host.name: host for host in scope.hosts}
    return RulePlan(
        rule=rule,
        selected=len(scope.hosts),
        judged=len(known),
        matched=len(matched),
        matched_max=rule.limits.matched.resolve(len(known)),
        fuse=_fuse(rule, matched=len(matched), judged=len(known), accepted=accepted),
        spec=spec,
        waves=waves,
        executions=tuple(_execution(rule, hosts[finding.host], finding) for finding in ordered),
    )


def _fuse(rule: Rule, *, matched: int, judged: int, accepted: int | None) -> str:
    if rule.mode is not Mode.FIX:
        return ""
    limit = rule.limits.matched
    if not fuse_blown(matched=matched, judged=judged, limit=limit, accepted=accepted):
        return ""
    return (
        f"{matched} of {judged} judged hosts match, more than matched {limit} = {limit.resolve(judged)}; "
        f"look at the signal first, then: -r {rule.name} --accept-matched {matched}"
    )


def _spec(scope: Scope, planned: set[str], *, last_bad: frozenset[str]) -> RolloutSpec:
    rollout = scope.rule.rollout
    order = rollout_order(scope.rule.name, planned, rollout.seed)
    order = (*(host for host in order if host not in last_bad), *(host for host in order if host in last_bad))
    return RolloutSpec(
        rule=scope.rule.name,
        order=order,
        platforms={host.name: host.platform.value for host in scope.hosts if host.name in planned},
        shares=rollout.waves,
        soak_s=rollout.soak_s,
        concurrency=rollout.concurrency,
        max_bad=rollout.max_bad.resolve(len(order)),
        max_unreachable=rollout.max_unreachable.resolve(len(order)),
    )


def _execution(rule: Rule, host: Host, finding: Finding) -> Execution:
    script: Script = rule.fix[host.platform]
    return Execution(
        id="",
        rule=rule.name,
        host=host.name,
        key=finding.key,
        row=finding.row,
        params=rule.params_for(host),
        script=script.path,
        script_sha256=script.sha256,
        timeout_s=script.timeout_s,
        become_root=script.become_root,
    )


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON values; `digest` and the ids of executions are derived from the rest."""
    document = _digested(plan)
    document["digest"] = plan.digest
    document["expires_at"] = time_text(plan.expires_at)
    for rule_plan, described in zip(plan.rules, document["rules"], strict=True):
        for execution, item in zip(rule_plan.executions, described["executions"], strict=True):
            item["id"] = execution.id
    return document


def _digested(plan: Plan) -> dict[str, Any]:
    return {
        "plan": 1,
        "created_at": time_text(plan.created_at),
        "rules": [_describe_rule(rule_plan) for rule_plan in plan.rules],
        "held": [_describe_held(item) for item in plan.held],
        "hosts": {name: _describe_host(host, plan.endpoints.get(name, "")) for name, host in plan.hosts.items()},
        "busy": dict(plan.busy),
    }


def _describe_host(host: Host, endpoint: str) -> dict[str, Any]:
    connection = host.connection
    return {
        "platform": host.platform.value,
        "transport": host.transport.value,
        "endpoint": endpoint,
        "address": connection.address,
        "port": connection.port,
        "user": connection.user,
        "identity_file": connection.identity_file,
        "password": connection.password,
        "known_hosts": connection.known_hosts,
    }


def _describe_row(row: Row) -> dict[str, Any]:
    return {name: plain(value) for name, value in sorted(row.items())}


def _describe_rule(rule_plan: RulePlan) -> dict[str, Any]:
    spec = rule_plan.spec
    waves = rule_plan.wave_numbers()
    return {
        "rule": rule_plan.rule.name,
        "digest": rule_plan.rule.digest,
        "mode": rule_plan.rule.mode.value,
        "risk": rule_plan.rule.risk.value,
        "selected": rule_plan.selected,
        "judged": rule_plan.judged,
        "matched": rule_plan.matched,
        "fuse": rule_plan.fuse,
        "limits": {
            "matched": rule_plan.matched_max,
            "max_bad": spec.max_bad,
            "max_unreachable": spec.max_unreachable,
            "concurrency": spec.concurrency,
            "soak_s": spec.soak_s,
            "worst_case": rule_plan.worst_case,
            "cooldown_s": rule_plan.rule.limits.cooldown_s,
            "attempts": rule_plan.rule.limits.attempts,
            "attempts_within_s": rule_plan.rule.limits.attempts_within_s,
        },
        "verify": _describe_verify(rule_plan.rule.verify),
        "waves": [list(wave) for wave in rule_plan.waves],
        "executions": [
            {
                "host": execution.host,
                "key": {name: plain(value) for name, value in execution.key},
                "row": _describe_row(execution.row),
                "params": {name: plain(value) for name, value in sorted(execution.params.items())},
                "script": execution.script,
                "script_sha256": execution.script_sha256,
                "timeout_s": execution.timeout_s,
                "become": "root" if execution.become_root else None,
                "wave": waves[execution.host],
            }
            for execution in rule_plan.executions
        ],
    }


def _describe_verify(verify: VerifyLater | VerifyUntil) -> dict[str, Any] | str:
    if isinstance(verify, VerifyLater):
        return "later"
    return {"until": verify.until.text, "settle_s": verify.settle_s, "within_s": verify.within_s}


def _describe_held(item: HeldFinding) -> dict[str, Any]:
    held = item.held
    return {
        "rule": item.finding.rule,
        "host": item.finding.host,
        "key": {name: plain(value) for name, value in item.finding.key},
        "row": _describe_row(item.finding.row),
        "hold": held.hold.value,
        "reason": held.reason,
        "until": time_text(held.until) if held.until else None,
        "lifted_by": held.lifted_by,
    }


def incident_text(finding: Finding | Execution) -> str:
    """Return an incident as people read it: host, and the key where there is one."""
    key = key_text(finding.key)
    return f"{finding.host} {key}" if key else finding.host
