"""The plan as JSON values: what its digest is taken over, what reviewers and programs read."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from remedy.canonical import plain
from remedy.holds import Pause
from remedy.model import (
    Host,
    Row,
    VerifyLater,
    VerifyUntil,
)
from remedy.plan import HeldFinding, Plan, RulePlan
from remedy.port import Shell
from remedy.precautions import Precautions
from remedy.readings import time_text
from remedy.verdicts import needed_signals

__all__ = ["digested", "pause_document", "plan_document"]


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON values; `digest` and the ids of executions are derived from the rest."""
    document = digested(plan)
    document["digest"] = plan.digest
    document["expires_at"] = time_text(plan.expires_at)
    for rule_plan, described in zip(plan.rules, document["rules"], strict=True):
        for execution, item in zip(rule_plan.executions, described["executions"], strict=True):
            item["id"] = execution.id
    return document


def digested(plan: Plan) -> dict[str, Any]:
    """Return what the plan's digest is taken over: all but the digest and what is derived from it."""
    signals = needed_signals(rule_plan.rule for rule_plan in plan.rules)
    return {
        "plan": 1,
        "created_at": time_text(plan.created_at),
        "rules": [_describe_rule(rule_plan) for rule_plan in plan.rules],
        "held": [_describe_held(item) for item in plan.held],
        "hosts": {
            name: _describe_host(host, plan.endpoints.get(name, ""), signals=signals)
            for name, host in plan.hosts.items()
        },
        "busy": dict(plan.busy),
        "precautions": _describe_precautions(plan.precautions),
        "pauses": [pause_document(pause) for pause in plan.pauses],
        "unseen": {
            "unknown": list(plan.unseen.unknown),
            "unreachable": list(plan.unseen.unreachable),
            "refused": list(plan.unseen.refused),
        },
    }


def _describe_precautions(precautions: Precautions) -> dict[str, Any]:
    override = precautions.override
    return {
        "protected": sorted(precautions.protected),
        "named": sorted(precautions.named),
        "budgets": {
            "per_rule": str(precautions.per_rule) if precautions.per_rule else None,
            "all": str(precautions.all_rules) if precautions.all_rules else None,
        },
        "freezes": [
            {"from": time_text(freeze.start), "to": time_text(freeze.end), "reason": freeze.reason}
            for freeze in precautions.freezes
        ],
        "override": {
            "hold": override.hold.value,
            "rule": override.rule,
            "host": override.host,
            "reason": override.reason,
        }
        if override
        else None,
    }


def pause_document(pause: Pause) -> dict[str, Any]:
    """Return a pause as JSON values; the digests of plans are taken over them."""
    return {
        "of": pause.of.value,
        "name": pause.name,
        "reason": pause.reason,
        "actor": pause.actor,
        "at": time_text(pause.at),
        "until": time_text(pause.until) if pause.until else None,
    }


def _describe_host(host: Host, endpoint: str, *, signals: Iterable[str]) -> dict[str, Any]:
    connection = host.connection
    described: dict[str, Any] = {
        "platform": host.platform.value,
        "transport": host.transport.value,
        "endpoint": endpoint,
        "address": connection.address,
        "port": connection.port,
        "user": connection.user,
        "identity_file": connection.identity_file,
        "password": connection.password,
        "known_hosts": connection.known_hosts,
        # What its collectors look at: the rule's digest has only the signals' defaults.
        "signal_params": {
            name: {param: plain(value) for param, value in sorted(host.params[name].items())}
            for name in signals
            if name in host.params
        },
    }
    # Left out where they say nothing, so that plans of other hosts keep the digest that they always had.
    if connection.shell is not Shell.SH:
        described["shell"] = connection.shell.value
    if connection.winrm is not None:
        described["winrm"] = {**asdict(connection.winrm), "auth": connection.winrm.auth.value}
    return described


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
        "budget_left": rule_plan.budget_left,
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
        "change_windows": [str(window) for window in rule_plan.rule.change_windows],
        "order": list(spec.order),
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
        "after_bad": held.after_bad,
    }
