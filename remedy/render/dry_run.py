"""What a dry run came to: the plan, what was not judged and why, and of when; as JSON and as JSON Lines."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from remedy.model import Verdict
from remedy.plan import Plan
from remedy.plan_document import plan_document
from remedy.readings import time_text
from remedy.render.apply import apply_json
from remedy.render.scan import coverage_json
from remedy.render.words import merged, row_text
from remedy.summary import HostEnd, HostEnding, Summary
from remedy.verdicts import Judgement

__all__ = ["DryRun", "NotJudged", "dry_run_json", "dry_run_lines", "host_line", "run_line"]

OUTPUT_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NotJudged:
    """Hosts of which nobody can say whether a rule matches ('' is every rule), and why."""

    rule: str
    reason: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """
    A dry run as a whole.

    `as_of` is the time of the readings file, None when hosts were read just now.
    `since` says which rules were judged ('' for all), `removed` names rules that
    are no more. `frozen` is what would stop every start, '' for nothing.
    """

    plan: Plan
    summary: Summary
    exit_code: int
    judgements: tuple[Judgement, ...] = ()
    as_of: datetime | None = None
    since: str = ""
    removed: tuple[str, ...] = ()
    no_ledger: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_nothing(self) -> bool:
        """Say whether there is nothing to tell: all was judged, and no rule matches or was removed."""
        plan = self.plan
        told = plan.executions or plan.held or self.summary.fuses or self.removed or self.summary.interrupted
        return not told and not self.not_judged

    @property
    def not_judged(self) -> tuple[NotJudged, ...]:
        """What was not judged; rules on hosts that were read first, then hosts that were not."""
        ends = self.summary.host_ends
        collected = {end.host for end in ends if end.ending is HostEnding.COLLECTED}
        pairs: list[tuple[str, str]] = []
        for judgement in self.judgements:
            if judgement.host not in collected:
                continue
            if judgement.verdict is Verdict.UNKNOWN and judgement.reason:
                pairs.append((judgement.host, f"{judgement.rule}\0{judgement.reason}"))
            rows = (row_text(each.row) for each in judgement.unknown_rows)
            pairs.extend((judgement.host, f"{judgement.rule}\0not all could be read: {row}") for row in rows)
        pairs.extend(
            (end.host, f"\0{end.ending.value}{f': {end.reason}' if end.reason else ''}")
            for end in ends
            if end.ending is not HostEnding.COLLECTED
        )
        found = []
        for text, hosts in merged(pairs):
            rule, _, reason = text.partition("\0")
            found.append(NotJudged(rule=rule, reason=reason, hosts=tuple(dict.fromkeys(hosts))))
        return tuple(found)


def dry_run_json(dry: DryRun) -> dict[str, Any]:
    """Return a dry run as one JSON document."""
    document = apply_json(dry.plan, dry.summary, run_id="", exit_code=dry.exit_code, dry_run=True)
    return {**document, **_said(dry), "not_judged": [_not_judged_json(each) for each in dry.not_judged]}


def _said(dry: DryRun) -> dict[str, Any]:
    return {
        "as_of": time_text(dry.as_of) if dry.as_of is not None else None,
        "since": dry.since,
        "removed": list(dry.removed),
        "ledger": not dry.no_ledger,
    }


def _not_judged_json(each: NotJudged) -> dict[str, Any]:
    return {"rule": each.rule or None, "reason": each.reason, "hosts": list(each.hosts)}


def run_line(facts: Mapping[str, str], *, at: datetime) -> dict[str, Any]:
    """Return the first line of a dry run as JSON Lines: the version of the form, and what is looked at."""
    return {"kind": "run", "apply": OUTPUT_FORMAT, "dry_run": True, "started_at": time_text(at), **facts}


def host_line(end: HostEnd) -> dict[str, Any]:
    """Return how a host ended at collection, as a line."""
    return {
        "kind": "host",
        "host": end.host,
        "ending": end.ending.value,
        "reason": end.reason,
        "endpoint": end.endpoint,
    }


def dry_run_lines(dry: DryRun) -> Iterator[dict[str, Any]]:
    """
    Yield the lines after the hosts: rules, executions, holds, what was not judged, and the summary.

    Their values are those of the JSON document.
    """
    document = plan_document(dry.plan)
    for rule in document["rules"]:
        executions = rule.pop("executions")
        yield {"kind": "rule", **rule}
        yield from ({"kind": "execution", "rule": rule["rule"], **each} for each in executions)
    yield from ({"kind": "held", **each} for each in document["held"])
    yield from ({"kind": "not_judged", **_not_judged_json(each)} for each in dry.not_judged)
    coverage = coverage_json(dry.summary.coverage, ())
    del coverage["hosts"]
    yield {
        "kind": "summary",
        "exit_code": dry.exit_code,
        "pending": dry.summary.pending,
        "coverage": coverage,
        "fuses": list(dry.summary.fuses),
        "stopped": dry.summary.stopped,
        "interrupted": dry.summary.interrupted,
        "plan": document["digest"],
        "expires_at": document["expires_at"],
        **_said(dry),
    }
