"""What applying a plan came to, and its progress, as text and as JSON."""

from collections import Counter
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from remedy.canonical import plain
from remedy.model import OutcomeClass, key_text
from remedy.plan import Plan, incident_text
from remedy.plan_document import plan_document
from remedy.render.scan import coverage_json
from remedy.render.tables import line, styled, table
from remedy.render.words import merged, names_text
from remedy.summary import ExecutionEnd, Summary, outcome_counts, worst_outcome

__all__ = ["apply_json", "end_line", "end_lines", "summary_text"]

_OUTPUT_LINES_SHOWN = 6


def end_line(end: ExecutionEnd) -> Text:
    """Return one execution's end in a line."""
    ended = end.ended
    word = f"{ended.outcome.value}: {ended.skip.value}" if ended.skip else ended.outcome.value
    reason = f"({ended.reason})" if ended.reason else ""
    return line(styled(word, ended.outcome.value), f"{end.execution.rule} on {incident_text(end.execution)}", reason)


def end_lines(end: ExecutionEnd) -> list[RenderableType]:
    """Return one execution's end, indented, with the last lines of what its script said."""
    kept = [text for text in end.output.split("\n") if text.strip()][-_OUTPUT_LINES_SHOWN:]
    said = (Text(f"      {text}", style="dim") for text in kept)
    return [Text("    ").append_text(end_line(end)), *said]


def summary_text(summary: Summary) -> list[RenderableType]:
    """Return what changed, what did not and why, and how much was seen."""
    shown: list[RenderableType] = []
    rows = []
    texts = [(end.execution.host, _end_key(end)) for end in summary.ends]
    for text, hosts in merged(texts):
        outcome, rule, reason = text.split("\0")
        rows.append((styled(outcome, outcome.partition(":")[0]), rule, names_text(hosts), reason))
    if rows:
        shown.append(table(("outcome", "rule", "hosts", "why"), rows))
    shown.extend(line(styled("halted", "halted"), f"{halt.rule}: {halt.by}: {halt.reason}") for halt in summary.halts)
    shown.extend(line(styled("blocked", "halted"), fuse) for fuse in summary.fuses)
    shown.extend(line(styled("relapsed", "failed"), name) for name in summary.relapsed)
    if summary.stopped:
        shown.append(line(styled("stopped", "halted"), summary.stopped))
    counts = outcome_counts(summary.ends)
    said = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items()) or _nothing_text(summary)
    shown.append(line(f"{said}; {summary.coverage.sentence()}"))
    return shown


def _nothing_text(summary: Summary) -> str:
    """Return why nothing ended: there was nothing, or all of it is held back."""
    if not summary.held:
        return "nothing to do"
    holds = Counter(item.held.hold.value for item in summary.held)
    said = ", ".join(f"{count} {hold}" for hold, count in sorted(holds.items()))
    return f"nothing was started; held back: {said}"


def _end_key(end: ExecutionEnd) -> str:
    ended = end.ended
    word = f"{ended.outcome.value}: {ended.skip.value}" if ended.skip else ended.outcome.value
    key = key_text(end.execution.key)
    reason = ended.reason
    if ended.outcome.outcome_class is OutcomeClass.GOOD and key:
        reason = f"{key}  {reason}".strip()
    return f"{word}\0{end.execution.rule}\0{reason}"


def apply_json(plan: Plan, summary: Summary, *, run_id: str, exit_code: int, dry_run: bool) -> dict[str, Any]:
    """Return a dry run or an apply as JSON values; the outcomes are in the order in which they ended."""
    return {
        "apply": 1,
        "run": run_id,
        "dry_run": dry_run,
        "exit_code": exit_code,
        "plan": plan_document(plan),
        "coverage": coverage_json(summary.coverage, summary.host_ends),
        "outcomes": [_end_json(end) for end in summary.ends],
        "worst": worst_outcome(end.ended.outcome for end in summary.ends),
        "counts": {outcome.value: count for outcome, count in outcome_counts(summary.ends).items()},
        "halts": [{"rule": halt.rule, "by": halt.by, "reason": halt.reason} for halt in summary.halts],
        "fuses": list(summary.fuses),
        "relapsed": list(summary.relapsed),
        "stopped": summary.stopped,
    }


def _end_json(end: ExecutionEnd) -> dict[str, Any]:
    return {
        "execution": end.execution.id,
        "rule": end.execution.rule,
        "host": end.execution.host,
        "key": {name: plain(value) for name, value in end.execution.key},
        "wave": end.wave,
        "outcome": end.ended.outcome.value,
        "skip": end.ended.skip.value if end.ended.skip else None,
        "reason": end.ended.reason,
        "output": end.output,
    }
