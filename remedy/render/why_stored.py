"""What is remembered of a host: the plain line, and the facts behind it, as text and JSON."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import RenderableType

from remedy.model import Reading, Verdict, key_text
from remedy.readings import time_text
from remedy.remembered import IncidentStanding, PastExecution, RememberedIncident, RuleThen
from remedy.render.moments import ago_text, seconds_text
from remedy.render.tables import line, styled, table
from remedy.render.why_line import ComesNext, StoredAnswer, first_line, outcome_text, sentence
from remedy.render.why_next import next_run_json, next_run_text, obstacle_json, obstacle_text
from remedy.render.words import names_text, row_json, row_text
from remedy.text import duration_text

__all__ = ["stored_json", "stored_text"]

_EXECUTIONS_SHOWN_MAX = 10


def stored_text(answer: StoredAnswer, *, preface: Sequence[str] = ()) -> list[RenderableType]:
    """Return the plain line, then what stands behind it; `preface` comes before all else."""
    remembered, now = answer.remembered, answer.now
    shown: list[RenderableType] = [line(each) for each in preface]
    shown.append(line(styled(first_line(answer), "title")))
    if answer.asked != remembered.host:
        shown.append(line(f"asked for as {answer.asked}"))
    if remembered.last_read is not None:
        shown.append(line(f"last read {seconds_text(remembered.last_read)}, {ago_text(remembered.last_read, now=now)}"))
    shown += [line(each) for each in _tried_texts(remembered.tried, now=now)]
    shown += [line(each) for each in answer.brakes]
    for incident in remembered.incidents:
        shown += _incident_text(answer, incident)
    shown += _others_text(answer)
    if not answer.is_judged:
        shown += [line(each) for each in _reading_texts(remembered.readings, now=now)]
    if not answer.has_ledger:
        shown.append(line("ledger: none; nothing was ever started from this state directory"))
    shown += [line(each) for each in answer.notes]
    return shown


def _tried_texts(tried: Iterable[Reading], *, now: datetime) -> list[str]:
    """Return what was tried to be read since, and came to nothing; equal reasons once."""
    found: dict[tuple[str, str], list[Reading]] = {}
    for reading in tried:
        found.setdefault((reading.status.value, reading.reason), []).append(reading)
    texts = []
    for (status, reason), readings in found.items():
        newest = max(each.observed_at for each in readings)
        names = names_text(sorted(each.signal for each in readings))
        texts.append(f"{status} {ago_text(newest, now=now)}: {reason or 'no reason is known'} ({names})")
    return texts


def _incident_text(answer: StoredAnswer, incident: RememberedIncident) -> Iterator[RenderableType]:
    title = answer.titles.get(incident.rule, "")
    yield line(styled(incident.rule, "title"), f"{title} {key_text(incident.key)}".strip())
    yield line(f"  stands as  {incident.standing.value.replace('_', ' ')}")
    if incident.read_at is not None and incident.verdict is not None:
        yield line(f"  read       {_reading_of_incident(answer, incident)}")
    if incident.first_seen is not None:
        yield line(f"  first seen {seconds_text(incident.first_seen)}, by the oldest plan that has it")
    elif answer.has_ledger:
        yield line("  first seen not known: it stands in no plan")
    if incident.executions:
        yield table(("  started", "outcome", "ended", "run", "what that means"), _execution_rows(incident.executions))
    if len(incident.executions) > _EXECUTIONS_SHOWN_MAX:
        yield line(f"  and {len(incident.executions) - _EXECUTIONS_SHOWN_MAX} before that")
    comes = answer.comes_next.get((incident.rule, incident.key))
    if comes is not None:
        yield from (line(f"  in the way {obstacle_text(each)}") for each in comes.in_the_way)
    yield line(f"  next       {_next_text(answer, incident, comes)}")


def _reading_of_incident(answer: StoredAnswer, incident: RememberedIncident) -> str:
    read_at = incident.read_at or answer.now
    verdict = incident.verdict.value if incident.verdict is not None else Verdict.UNKNOWN.value
    when = f"{seconds_text(read_at)}, {ago_text(read_at, now=answer.now)}"
    what = row_text(incident.row, without=incident.key) if incident.row is not None else incident.reason
    last = incident.last
    ended_at = None if last is None else last.outcome_at or last.started_at
    before = "before the fix: " if ended_at is not None and read_at <= ended_at else ""
    if not incident.is_old:
        return f"{before}{verdict} at {when}: {what}"
    limit = answer.max_ages_s.get(incident.rule)
    counts = f": one counts for {duration_text(limit)}" if limit is not None else ""
    return f"{before}was {verdict} at {when} (old{counts}): {what}"


def _execution_rows(executions: Sequence[PastExecution]) -> list[tuple[Any, ...]]:
    return [
        (
            f"  {seconds_text(each.started_at) if each.started_at else '-'}",
            styled(each.outcome.value if each.outcome else "open"),
            seconds_text(each.outcome_at) if each.outcome_at else "-",
            each.run_id,
            outcome_text(each) + ("; released since" if each.released_at else ""),
        )
        for each in executions[-_EXECUTIONS_SHOWN_MAX:]
    ]


def _next_text(answer: StoredAnswer, incident: RememberedIncident, comes: ComesNext | None) -> str:
    """Return what comes next; never a promise that a run is coming."""
    last = incident.last
    match incident.standing:
        case IncidentStanding.MENDED | IncidentStanding.WELL_AGAIN:
            return "nothing; each scan looks again"
        case IncidentStanding.AWAITS_SCAN:
            return "the next scan decides whether it helped"
        case IncidentStanding.UNDER_WAY:
            return "its end decides"
        case _:
            pass
    if comes is not None:
        return next_run_text(comes.next_run, now=answer.now)
    if incident.standing is IncidentStanding.END_NOT_KNOWN and last is not None:
        release = f"remedy release {incident.rule} -l {last.host} --reason TEXT"
        return f"quarantined, needs a person: remedy reconcile {last.run_id}, or {release}"
    if not answer.is_judged:
        return "the rules decide that, and they are not at hand"
    return "the next scan decides" if incident.rule in answer.titles else "there is no such rule any more"


def _others_text(answer: StoredAnswer) -> Iterator[RenderableType]:
    """Yield the rules that are not told by an incident, by their verdict; why one could not be judged is said."""
    told = {incident.rule for incident in answer.remembered.incidents}
    by_verdict: dict[Verdict, list[RuleThen]] = {}
    for each in answer.remembered.rules:
        if each.rule.name not in told or each.judgement.verdict is Verdict.UNKNOWN:
            by_verdict.setdefault(each.judgement.verdict, []).append(each)
    for verdict in (Verdict.UNKNOWN, Verdict.HEALTHY, Verdict.NOT_APPLICABLE):
        rules = by_verdict.get(verdict, [])
        if verdict is Verdict.UNKNOWN:
            for each in rules:
                yield line(styled(verdict.value), f"{each.rule.name}: {_unknown_reason(each)}")
        elif rules:
            was = "was " if verdict is Verdict.HEALTHY and any(each.is_old for each in rules) else ""
            yield line(f"{was}{verdict.value}:", names_text([each.rule.name for each in rules]))


def _unknown_reason(then: RuleThen) -> str:
    if then.judgement.reason:
        return then.judgement.reason
    return "; ".join(row_text(each.row) for each in then.judgement.unknown_rows)


def _reading_texts(readings: Iterable[Reading], *, now: datetime) -> Iterator[str]:
    for reading in sorted(readings, key=lambda reading: reading.signal):
        yield f"{reading.signal}, read {seconds_text(reading.observed_at)}, {ago_text(reading.observed_at, now=now)}"
        if reading.reason:
            yield f"  {reading.status.value}: {reading.reason}"
        yield from (f"  {row_text(row)}" for row in reading.rows[:_EXECUTIONS_SHOWN_MAX])
        if len(reading.rows) > _EXECUTIONS_SHOWN_MAX:
            yield f"  and {len(reading.rows) - _EXECUTIONS_SHOWN_MAX} rows more"


# JSON


def stored_json(answer: StoredAnswer) -> dict[str, Any]:
    """Return the same as JSON values, with all facts."""
    remembered = answer.remembered
    return {
        "why": 1,
        "host": remembered.host,
        "asked": answer.asked,
        "stored": True,
        "now": time_text(answer.now),
        "summary": first_line(answer),
        "known": not remembered.is_empty,
        "judged": answer.is_judged,
        "ledger": answer.has_ledger,
        "last_read": time_text(remembered.last_read) if remembered.last_read else None,
        "brakes": list(answer.brakes),
        "notes": list(answer.notes),
        "incidents": [_incident_json(answer, incident) for incident in remembered.incidents],
        "rules": [_rule_json(each, answer.now) for each in remembered.rules],
        "readings": [_reading_json(each, answer.now) for each in remembered.readings],
        "tried": [_reading_json(each, answer.now) for each in remembered.tried],
    }


def _incident_json(answer: StoredAnswer, incident: RememberedIncident) -> dict[str, Any]:
    comes = answer.comes_next.get((incident.rule, incident.key))
    return {
        "rule": incident.rule,
        "title": answer.titles.get(incident.rule),
        "key": row_json(dict(incident.key)),
        "standing": incident.standing.value,
        "summary": sentence(answer, incident),
        "verdict": incident.verdict.value if incident.verdict else None,
        "reason": incident.reason,
        "row": row_json(incident.row) if incident.row is not None else None,
        "read_at": time_text(incident.read_at) if incident.read_at else None,
        "old": incident.is_old,
        "first_seen": time_text(incident.first_seen) if incident.first_seen else None,
        "executions": [_execution_json(each) for each in incident.executions],
        "in_the_way": [obstacle_json(each) for each in comes.in_the_way] if comes else None,
        "next_run": next_run_json(comes.next_run) if comes else None,
        "next": _next_text(answer, incident, comes),
    }


def _execution_json(execution: PastExecution) -> dict[str, Any]:
    return {
        "run": execution.run_id,
        "execution": execution.execution_id,
        "planned_at": time_text(execution.planned_at),
        "started_at": time_text(execution.started_at) if execution.started_at else None,
        "ended_at": time_text(execution.outcome_at) if execution.outcome_at else None,
        "outcome": execution.outcome.value if execution.outcome else None,
        "reason": execution.reason,
        "exit_code": execution.exit_code,
        "released_at": time_text(execution.released_at) if execution.released_at else None,
        "reconciled": execution.reconciled or None,
        "meaning": outcome_text(execution),
    }


def _rule_json(then: RuleThen, now: datetime) -> dict[str, Any]:
    return {
        "rule": then.rule.name,
        "verdict": then.judgement.verdict.value,
        "reason": then.judgement.reason,
        "read_at": time_text(then.read_at) if then.read_at else None,
        "age_s": int((now - then.read_at).total_seconds()) if then.read_at else None,
        "old": then.is_old,
    }


def _reading_json(reading: Reading, now: datetime) -> dict[str, Any]:
    return {
        "signal": reading.signal,
        "observed_at": time_text(reading.observed_at),
        "age_s": int((now - reading.observed_at).total_seconds()),
        "status": reading.status.value,
        "reason": reading.reason,
        "rows": [row_json(row) for row in reading.rows],
    }
