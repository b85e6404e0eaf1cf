"""
Planning: judgements and history become the plan.

Pure: the same rules, readings, history and time give the same bytes, whatever
the order of input, the locale, the time zone or the hash seed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from remedy.canonical import canonical_json, digest_fields, digest_text, plain
from remedy.gate import LedgerFacts, Request, fuse_blown, held
from remedy.holds import Held
from remedy.model import (
    KEY_ROWS_MAX,
    Execution,
    Finding,
    Hold,
    Host,
    Key,
    Mode,
    Platform,
    Row,
    Rule,
    Scope,
    Script,
    Verdict,
)
from remedy.plan import GRACE_S, HeldFinding, History, Plan, RulePlan, Unseen
from remedy.plan_document import digested
from remedy.precautions import NO_PRECAUTIONS, Precautions
from remedy.verdicts import Judgement, ReadingsByHost, other_rows
from remedy.waves import RolloutSpec, planned_waves, rollout_order

__all__ = [
    "build_plan",
    "execution_ids",
    "execution_of",
    "exemption_of",
    "exemptions_of",
    "gate_request",
    "resolved_spec",
    "standing_holds",
]


def build_plan(
    scopes: Iterable[Scope],
    judgements: Iterable[Judgement],
    readings: ReadingsByHost,
    *,
    history: History,
    endpoints: Mapping[str, str],
    accept_matched: int | None,
    created_at: datetime,
    precautions: Precautions = NO_PRECAUTIONS,
    unseen: Unseen | None = None,
) -> Plan:
    """
    Return the plan for these judgements.

    `endpoints` says where each collected host's connection led (nothing under
    `--readings`); `accept_matched` lets the fuse through up to that many hosts.
    """
    by_rule: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        by_rule.setdefault(judgement.rule, []).append(judgement)
    all_held: list[HeldFinding] = []
    rule_plans: list[RulePlan] = []
    hosts: dict[str, Host] = {}
    for scope in sorted(scopes, key=lambda scope: (scope.rule.risk.rank, scope.rule.name)):
        judged = sorted(by_rule.get(scope.rule.name, []), key=lambda judgement: judgement.host)
        around = _Around(history=history, precautions=precautions, now=created_at)
        rule_held, free = _sort_findings(scope, judged, readings, around)
        all_held.extend(rule_held)
        rule_plans.append(_rule_plan(scope, judged, rule_held, free, around=around, accepted=accept_matched))
        planned = {finding.host for finding in free}
        hosts.update({host.name: host for host in scope.hosts if host.name in planned})
    plan = Plan(
        created_at=created_at,
        digest="",
        rules=tuple(rule_plans),
        held=tuple(all_held),
        hosts=dict(sorted(hosts.items())),
        endpoints={name: endpoints[name] for name in sorted(hosts) if name in endpoints},
        busy={name: history.busy[name] for name in sorted(hosts) if name in history.busy},
        precautions=precautions,
        pauses=tuple(pause for pause in history.pauses if not pause.is_over(created_at)),
        unseen=unseen or Unseen(),
    )
    return execution_ids(plan, digest_text(canonical_json(digested(plan))))


def execution_ids(plan: Plan, digest: str) -> Plan:
    """Return the plan with its digest, and with the ids of its executions, which come from the digest."""
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
    return next(exemptions_of(scope, host, row, others, now=now), None)


def exemptions_of(
    scope: Scope, host: Host, row: Row, others: Mapping[str, Row | None], *, now: datetime
) -> Iterator[Held]:
    """Yield every exemption that covers this row of this host now, in the order they are written."""
    params = scope.rule.params_for(host)
    now = now.astimezone(UTC)
    for exemption, names in zip(scope.rule.exempt, scope.exempt_names, strict=True):
        if host.name not in names or exemption.expired(now):
            continue
        if exemption.where is not None and exemption.where.bind(params)(row, others) is False:
            continue
        lifted_by = "editing the rule's `exempt`"
        yield Held(hold=Hold.EXEMPT, reason=exemption.reason, until=_end_of_day(exemption.until), lifted_by=lifted_by)


def _end_of_day(last: date | None) -> datetime | None:
    """Return when a last day is over (UTC); the calendar's last day has no end that could be written."""
    if last is None or last == date.max:
        return None
    return datetime.combine(last + timedelta(days=1), time.min, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What is known besides rules and readings when a plan is made."""

    history: History
    precautions: Precautions
    now: datetime


def gate_request(
    rule: Rule,
    host: Host,
    key: Key,
    *,
    script: Script,
    precautions: Precautions,
    now: datetime,
    execution_id: str = "",
    recheck: Verdict = Verdict.MATCH,
) -> Request:
    """Return what the gate is asked about a row of a host: by the plan, and again at the moment of sending."""
    return Request(
        execution_id=execution_id,
        rule=rule.name,
        host=host.name,
        groups=host.groups,
        key=key,
        script_sha256=script.sha256,
        risk=rule.risk,
        limits=rule.limits,
        windows=rule.change_windows,
        needed_s=script.timeout_s + GRACE_S,
        is_protected=host.name in precautions.protected,
        is_named=host.name in precautions.named,
        override=precautions.override_for(rule.name, host.name),
        per_rule=precautions.per_rule,
        all_rules=precautions.all_rules,
        recheck=recheck,
        now=now,
    )


def _sort_findings(
    scope: Scope, judged: Iterable[Judgement], readings: ReadingsByHost, around: _Around
) -> tuple[list[HeldFinding], list[Finding]]:
    """Return the findings that are held, and those that are free to run."""
    hosts = {host.name: host for host in scope.hosts}
    kept: list[HeldFinding] = []
    free: list[Finding] = []
    for judgement in judged:
        host = hosts[judgement.host]
        rows = len(judgement.findings)
        for finding in sorted(judgement.findings, key=lambda finding: _key_order(finding.key)):
            hold = _exempt(scope, host, finding, readings, now=around.now) or _hold(
                scope.rule, host, finding, rows=rows, around=around
            )
            if hold is None:
                free.append(finding)
            else:
                kept.append(HeldFinding(finding=finding, held=hold))
    return kept, free


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


def standing_holds(rule: Rule, host: Host, *, rows: int, precautions: Precautions) -> Iterator[Held]:
    """Yield what holds so many matching rows of a rule on a host back whatever the time and the history."""
    if rows > KEY_ROWS_MAX:
        reason = f"{rows} rows match, more than {KEY_ROWS_MAX}: rather a broken sensor"
        yield Held(hold=Hold.TOO_MANY_ROWS, reason=reason, lifted_by="mending the collector or the rule")
    if rule.mode is Mode.OBSERVE and precautions.override_for(rule.name, host.name) is not Hold.OBSERVE_ONLY:
        cure = f"`mode: fix` in {rule.place.file}"
        yield Held(hold=Hold.OBSERVE_ONLY, reason="the rule only observes", lifted_by=cure)
    if rule.fix.get(host.platform) is None:
        reason = f"the rule has no fix for {host.platform.value}"
        yield Held(hold=Hold.NO_FIX_FOR_PLATFORM, reason=reason, lifted_by=f"a fix in {rule.place.file}")


def _hold(rule: Rule, host: Host, finding: Finding, *, rows: int, around: _Around) -> Held | None:
    precautions = around.precautions
    standing = next(standing_holds(rule, host, rows=rows, precautions=precautions), None)
    if standing is not None:
        return standing
    script = rule.fix[host.platform]  # Without one there is a standing hold.
    request = gate_request(rule, host, finding.key, script=script, precautions=precautions, now=around.now)
    return held(request, _known(request, around.history))


def _known(request: Request, history: History) -> LedgerFacts:
    """Return what the gate is told when the plan asks; of a busy host, whose attempt has no end yet, no attempts."""
    is_busy = request.host in history.busy
    return LedgerFacts(
        attempts=() if is_busy else history.attempts.get((request.rule, request.host, request.key), ()),
        known_id=False,
        open_breaker=history.breakers.get(request.rule, ""),
        host_busy="",
        pauses=history.pauses,
    )


def _rule_plan(
    scope: Scope,
    judged: list[Judgement],
    kept: Iterable[HeldFinding],
    free: list[Finding],
    *,
    around: _Around,
    accepted: int | None,
) -> RulePlan:
    rule = scope.rule
    known = [judgement for judgement in judged if judgement.verdict in (Verdict.MATCH, Verdict.HEALTHY)]
    exempt = {(item.finding.host, item.finding.key) for item in kept if item.held.hold is Hold.EXEMPT}
    matched = {
        finding.host
        for judgement in judged
        for finding in judgement.findings
        if (finding.host, finding.key) not in exempt
    }
    last_bad = around.history.last_bad.get(rule.name, frozenset())
    protected = around.precautions.protected
    spec = _spec(scope, {finding.host for finding in free}, last_bad=last_bad, protected=protected)
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
        executions=tuple(execution_of(rule, hosts[finding.host], finding) for finding in ordered),
        budget_left=_budget_left(rule, around),
    )


def _budget_left(rule: Rule, around: _Around) -> int | None:
    """Return how many more hosts the tighter of the budgets has room for; None when there is no budget."""
    precautions, used = around.precautions, around.history.used
    budgets = ((precautions.per_rule, rule.name), (precautions.all_rules, ""))
    left = [max(0, budget.hosts - used.get(whose, 0)) for budget, whose in budgets if budget is not None]
    return min(left, default=None)


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


def _spec(scope: Scope, planned: set[str], *, last_bad: frozenset[str], protected: frozenset[str]) -> RolloutSpec:
    order = rollout_order(scope.rule.name, planned, scope.rule.rollout.seed)
    # Sorting keeps the order of equals: first the others, then those that were bad last time, protected ones last.
    order = tuple(sorted(order, key=lambda host: (host in protected, host in last_bad)))
    platforms = {host.name: host.platform for host in scope.hosts if host.name in planned}
    return resolved_spec(scope.rule, order, platforms, alone=protected)


def resolved_spec(
    rule: Rule, order: tuple[str, ...], platforms: Mapping[str, Platform], *, alone: frozenset[str]
) -> RolloutSpec:
    """
    Return a rule's rollout over these hosts, its percentages resolved to counts of them.

    Those of `alone` that are among them stand last, and each has a wave of its own.
    """
    rollout = rule.rollout
    return RolloutSpec(
        rule=rule.name,
        order=order,
        platforms={name: platform.value for name, platform in platforms.items()},
        shares=rollout.waves,
        soak_s=rollout.soak_s,
        concurrency=rollout.concurrency,
        max_bad=rollout.max_bad.resolve(len(order)),
        max_unreachable=rollout.max_unreachable.resolve(len(order)),
        alone=alone & frozenset(order),
    )


def execution_of(rule: Rule, host: Host, finding: Finding) -> Execution:
    """Return what a rule runs for a finding on its host; the id is '' until the plan has its digest."""
    script = rule.fix[host.platform]
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
