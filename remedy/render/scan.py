"""What a scan found, as text and as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from remedy.model import Reading, ReadingStatus, Rule, Signal, Verdict, key_text
from remedy.readings import row_key, time_text
from remedy.render.tables import line, styled, table
from remedy.render.words import merged, names_text, row_json, row_text
from remedy.summary import Coverage, HostEnd, HostEnding
from remedy.verdicts import Judgement, ReadingsByHost

__all__ = [
    "coverage_json",
    "coverage_text",
    "judgement_json",
    "scan_json",
    "scan_text",
    "unknown_text",
    "unseen_text",
    "verdict_rows",
]


def verdict_rows(
    rule: Rule, judgements: Iterable[Judgement], readings: ReadingsByHost, *, named: Sequence[str], signal: Signal
) -> list[tuple[Text, str, str]]:
    """
    Return (verdict, host, row or reason) lines of one rule: matches, unknowns, and all rows of named hosts.

    Equal reasons are merged over hosts.
    """
    rows: list[tuple[Text, str, str]] = []
    reasons: list[tuple[str, str]] = []
    for judgement in judgements:
        for finding in judgement.findings:
            what = f"{key_text(finding.key)}  {row_text(finding.row, without=finding.key)}".strip()
            rows.append((styled("match"), judgement.host, what))
        rows.extend((styled("unknown"), judgement.host, row_text(unknown.row)) for unknown in judgement.unknown_rows)
        if judgement.reason and judgement.verdict is Verdict.UNKNOWN and _was_read(judgement, rule, readings):
            reasons.append((judgement.host, judgement.reason))
        if judgement.host in named:
            rows.extend(_calm_rows(rule, judgement, readings, signal))
    for reason, hosts in merged(reasons):
        rows.append((styled("unknown"), names_text(hosts), reason))
    return rows


def _was_read(judgement: Judgement, rule: Rule, readings: ReadingsByHost) -> bool:
    """Say whether the host was collected from; why it was not stands below, once for all rules."""
    reading = readings.get(judgement.host, {}).get(rule.signal)
    return reading is None or reading.status not in (ReadingStatus.UNREACHABLE, ReadingStatus.REFUSED)


def _calm_rows(
    rule: Rule, judgement: Judgement, readings: ReadingsByHost, signal: Signal
) -> list[tuple[Text, str, str]]:
    """Return the healthy rows of a named host, or why the rule does not apply to it."""
    if judgement.verdict is Verdict.NOT_APPLICABLE:
        return [(styled("not_applicable"), judgement.host, judgement.reason)]
    reading = readings.get(judgement.host, {}).get(rule.signal)
    if reading is None or reading.status is not ReadingStatus.OK:
        return []
    noted = [finding.row for finding in judgement.findings] + [unknown.row for unknown in judgement.unknown_rows]
    calm = [row for row in reading.rows if not any(row is other for other in noted)]
    if not calm and not noted:
        return [(styled("healthy"), judgement.host, "no rows")]
    found: list[tuple[Text, str, str]] = []
    for row in calm:
        key = row_key(signal, row)
        found.append((styled("healthy"), judgement.host, f"{key_text(key)}  {row_text(row, without=key)}".strip()))
    return found


def scan_text(
    rules: Iterable[Rule],
    judgements: Iterable[Judgement],
    readings: ReadingsByHost,
    *,
    signals: Mapping[str, Signal],
    named: Sequence[str],
    matches: bool = True,
) -> list[RenderableType]:
    """
    Return the findings of a scan, rule by rule; a rule with nothing to tell has one line.

    Without `matches` (a plan follows, which has them) only the other rows are shown.
    """
    by_rule: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        by_rule.setdefault(judgement.rule, []).append(judgement)
    shown: list[RenderableType] = []
    for rule in rules:
        mine = by_rule.get(rule.name, [])
        rows = verdict_rows(rule, mine, readings, named=named, signal=signals[rule.signal])
        rows = [row for row in rows if matches or row[0].plain != Verdict.MATCH.value]
        if not rows and not matches:
            continue
        counts = {verdict: sum(judgement.verdict is verdict for judgement in mine) for verdict in Verdict}
        said = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count) or "no hosts"
        shown.append(line(styled(rule.name, "title"), f" {rule.title}  ({said})"))
        if rows:
            shown.append(table(("  verdict", "host", "row"), [(Text("  ") + row[0], row[1], row[2]) for row in rows]))
    return shown


def unknown_text(
    judgements: Iterable[Judgement], host_ends: Iterable[HostEnd], *, named: Sequence[str] = ()
) -> list[RenderableType]:
    """Return which rules could not judge which collected hosts, and why; equal reasons merged over hosts."""
    collected = {end.host for end in host_ends if end.ending is HostEnding.COLLECTED} - set(named)
    pairs: list[tuple[str, str]] = []
    for judgement in judgements:
        if judgement.host not in collected:
            continue
        if judgement.verdict is Verdict.UNKNOWN and judgement.reason:
            pairs.append((judgement.host, f"{judgement.rule}\0{judgement.reason}"))
        pairs.extend((judgement.host, f"{judgement.rule}\0{row_text(each.row)}") for each in judgement.unknown_rows)
    rows = []
    for text, hosts in merged(pairs):
        rule, why = text.split("\0")
        rows.append((styled("unknown"), names_text(hosts), rule, why))
    return [table(("verdict", "host", "rule", "why"), rows)] if rows else []


def coverage_text(coverage: Coverage, host_ends: Iterable[HostEnd]) -> list[RenderableType]:
    """Return how much was seen, and why the rest was not."""
    return [*unseen_text(host_ends), line(coverage.sentence())]


def unseen_text(host_ends: Iterable[HostEnd]) -> list[RenderableType]:
    """Return which hosts were not reached or refused, and why; equal reasons merged over hosts."""
    ends = tuple(host_ends)
    shown: list[RenderableType] = []
    for ending in (HostEnding.UNREACHABLE, HostEnding.REFUSED):
        pairs = [(end.host, end.reason) for end in ends if end.ending is ending]
        for reason, hosts in merged(pairs):
            shown.append(line(styled(ending.value), f"{names_text(hosts)}: {reason}"))
    return shown


def coverage_json(coverage: Coverage, host_ends: Iterable[HostEnd]) -> dict[str, Any]:
    """Return how much was seen as JSON values."""
    return {
        "selected": len(coverage.selected),
        "judged": len(coverage.judged),
        "unknown": list(coverage.unknown),
        "unreachable": list(coverage.unreachable),
        "refused": list(coverage.refused),
        "hosts": [
            {"host": end.host, "ending": end.ending.value, "reason": end.reason, "endpoint": end.endpoint}
            for end in host_ends
        ],
    }


def judgement_json(judgement: Judgement) -> dict[str, Any]:
    """Return one judgement as JSON values."""
    return {
        "rule": judgement.rule,
        "host": judgement.host,
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        "match": [{"key": row_json(dict(finding.key)), "row": row_json(finding.row)} for finding in judgement.findings],
        "unknown": [row_json(unknown.row) for unknown in judgement.unknown_rows],
    }


def scan_json(
    judgements: Iterable[Judgement],
    coverage: Coverage,
    host_ends: Iterable[HostEnd],
    *,
    collected_at: datetime,
    readings: Iterable[Reading] = (),
) -> dict[str, Any]:
    """Return a scan as JSON values."""
    return {
        "scan": 1,
        "collected_at": time_text(collected_at),
        "coverage": coverage_json(coverage, host_ends),
        "judgements": [judgement_json(judgement) for judgement in judgements],
        "failed": [
            {"host": reading.host, "signal": reading.signal, "reason": reading.reason}
            for reading in readings
            if reading.status is ReadingStatus.FAILED
        ],
    }
