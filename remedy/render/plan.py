"""The plan as people review it: what will run where, how far it may go, and what is held and why."""

from collections.abc import Sequence

from rich.console import RenderableType

from remedy.holds import Pause
from remedy.model import Execution, VerifyLater, VerifyUntil, key_text
from remedy.plan import HeldFinding, Plan, RulePlan
from remedy.readings import time_text
from remedy.render.tables import line, styled, table
from remedy.render.words import held_text, merged, names_text, params_text, row_text
from remedy.text import counted, duration_text

__all__ = ["held_lines", "pause_text", "plan_text"]

_DIGEST_SHOWN = 12


def plan_text(plan: Plan, *, named: Sequence[str]) -> list[RenderableType]:
    """
    Return the plan for review; holds that people decided are folded to a line unless the host was named.

    Every execution is listed.
    """
    shown: list[RenderableType] = []
    for rule_plan in plan.rules:
        if rule_plan.executions or rule_plan.fuse:
            shown.extend(_rule_lines(rule_plan))
    shown.extend(held_lines(plan.held, named=named))
    shown.extend(line(styled("paused", "halted"), pause_text(pause)) for pause in plan.pauses)
    shown.extend(_precaution_lines(plan))
    shown.extend(line(styled(host, "title"), f"is busy: {reason}") for host, reason in plan.busy.items())
    hosts = len(plan.hosts)
    count = len(plan.executions)
    until = time_text(plan.expires_at.replace(microsecond=0))
    shown.append(
        line(
            f"plan {plan.digest[:_DIGEST_SHOWN]}: {counted(count, 'execution')} on {counted(hosts, 'host')}; "
            f"expires {until}"
        )
    )
    return shown


def pause_text(pause: Pause) -> str:
    """Return a person's pause with its end and what ends it."""
    until = f"until {time_text(pause.until)}" if pause.until else "until somebody ends it"
    return f"{pause}: {pause.reason} (by {pause.actor} since {time_text(pause.at)}, {until}; {pause.cure})"


def _precaution_lines(plan: Plan) -> list[RenderableType]:
    """Return what the safeguards and a person's override mean for this plan; nothing when they mean nothing."""
    precautions, override = plan.precautions, plan.precautions.override
    shown: list[RenderableType] = []
    if override is not None:
        said = f"{override.hold.value} of {override.rule} on {override.host}: {override.reason}"
        shown.append(line(styled("override", "halted"), said))
    if plan.executions and (precautions.per_rule or precautions.all_rules):
        budgets = (("each rule", precautions.per_rule), ("all rules", precautions.all_rules))
        said = ", ".join(f"{whose} {budget}" for whose, budget in budgets if budget is not None)
        shown.append(line(f"budgets, in hosts over all runs: {said}"))
    return shown


def _rule_lines(rule_plan: RulePlan) -> list[RenderableType]:
    rule = rule_plan.rule
    lines: list[RenderableType] = [line(styled(rule.name, "title"), f" {rule.title}  (risk {rule.risk.value})")]
    if rule_plan.fuse:
        lines.append(line(styled("  blocked by the fuse:", "halted"), rule_plan.fuse))
    lines.append(line(f"  {_limits_text(rule_plan)}"))
    left = rule_plan.budget_left
    if left is not None and left < len(rule_plan.spec.order):
        hosts = counted(len(rule_plan.spec.order), "host")
        lines.append(line(styled("  budget:", "halted"), f"room for {counted(left, 'more host')}, of {hosts} planned"))
    if rule.change_windows:
        lines.append(line(f"  only within {', '.join(str(window) for window in rule.change_windows)}"))
    waves = rule_plan.wave_numbers()
    scripts = [_script_text(execution) for execution in rule_plan.executions]
    if len(set(scripts)) == 1:
        lines.append(line(f"  {scripts[0]}"))
        rows = [(*_execution_row(each, waves[each.host]),) for each in rule_plan.executions]
        lines.append(table(("  wave", "host", "row"), rows))
    elif scripts:
        marks = {script: f"[{number}]" for number, script in enumerate(dict.fromkeys(scripts), start=1)}
        lines.extend(line(f"  {mark} {script}") for script, mark in marks.items())
        rows = []
        for each, script in zip(rule_plan.executions, scripts, strict=True):
            wave, host, row = _execution_row(each, waves[each.host])
            rows.append((wave, host, marks[script], row))
        lines.append(table(("  wave", "host", "script", "row"), rows))
    lines.append(line(f"  {_verify_text(rule.verify)}"))
    return lines


def _script_text(execution: Execution) -> str:
    root = " as root" if execution.become_root else ""
    limit = duration_text(execution.timeout_s)
    script = f"script {execution.script}@{execution.script_sha256[:_DIGEST_SHOWN]}{root}, at most {limit}"
    return f"{script}; params {params_text(execution.params)}" if execution.params else script


def _execution_row(execution: Execution, wave: int) -> tuple[str, ...]:
    rows = f"{key_text(execution.key)}  {row_text(execution.row, without=execution.key)}".strip()
    return (f"  {wave}", execution.host, rows)


def _limits_text(rule_plan: RulePlan) -> str:
    spec = rule_plan.spec
    parts = [
        f"matched {rule_plan.matched} of {rule_plan.judged} judged (fuse above {rule_plan.matched_max})",
        f"waves {'+'.join(str(len(wave)) for wave in rule_plan.waves)}" if rule_plan.waves else "no waves",
        f"soak {duration_text(spec.soak_s)}",
        f"{spec.concurrency} at once",
        f"halts at more than {spec.max_bad} bad or {spec.max_unreachable} unreachable",
        f"worst case {counted(rule_plan.worst_case, 'bad host')}",
    ]
    return "; ".join(parts)


def _verify_text(verify: VerifyLater | VerifyUntil) -> str:
    if isinstance(verify, VerifyLater):
        return "verified later: the next scan decides"
    return (
        f"verified by reading again after {duration_text(verify.settle_s)}, "
        f"until {verify.until.text}, within {duration_text(verify.within_s)}"
    )


def held_lines(held: Sequence[HeldFinding], *, named: Sequence[str]) -> list[RenderableType]:
    """
    Return every hold with what it holds, and below why, until when, and what lifts it; equal ones merged over hosts.

    What may be long stands last in a line or has a line of its own: a pipe gets no blanks to fill a column.
    """
    if not held:
        return []
    texts: list[tuple[str, str]] = []
    for item in held:
        key = key_text(item.finding.key)
        row = row_text(item.finding.row, without=item.finding.key) if item.finding.host in named else ""
        where = f"{item.finding.rule}{f' {key}' if key else ''}{f'  {row}' if row else ''}"
        texts.append((item.finding.host, f"{where}\0{item.held.hold.value}\0{held_text(item.held)}"))
    rows, marks = [], dict[str, str]()
    for text, hosts in merged(texts):
        where, hold, why = text.split("\0")
        rows.append((f"  {hold}", marks.setdefault(why, f"[{len(marks) + 1}]"), where, names_text(hosts)))
    return [
        line(styled("held back", "title")),
        table(("  hold", "why", "rule and row", "host"), rows),
        *(line(f"  {mark} {why}") for why, mark in marks.items()),
    ]
