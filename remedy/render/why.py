"""Why a rule matches a host or does not: its conjuncts with what each of them read, and what is in a fix's way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from remedy.canonical import plain
from remedy.errors import Place
from remedy.gate import Obstacle
from remedy.holds import Held
from remedy.model import (
    Clause,
    Host,
    Key,
    ParamValue,
    Platform,
    Reading,
    ReadingStatus,
    Row,
    Rule,
    Signal,
    Verdict,
    key_text,
    value_text,
)
from remedy.next_run import NextRun
from remedy.plan import RulePlan
from remedy.readings import row_key, time_text
from remedy.render.moments import ago_text, seconds_text
from remedy.render.tables import line, styled
from remedy.render.why_next import next_run_json, next_run_text, obstacle_json, obstacle_text
from remedy.render.words import row_json
from remedy.verdicts import Judgement, other_rows

__all__ = ["ExplainedRule", "ParamOrigin", "RowsWay", "why_json", "why_text"]

_WORDS: Mapping[bool | None, str] = {True: "true", False: "false", None: "unknown"}
_VERDICTS: Mapping[bool | None, Verdict] = {True: Verdict.MATCH, False: Verdict.HEALTHY, None: Verdict.UNKNOWN}
_HOLD_FILES: Mapping[Platform, str] = {
    Platform.LINUX: "/etc/remedy/hold",
    Platform.WINDOWS: "%ProgramData%\\remedy\\hold",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamOrigin:
    """Who says a parameter's value: the `rule` as its default, or a `group` or `host` of the inventory; and where."""

    of: str
    name: str
    place: Place

    def __str__(self) -> str:
        who = "rule default" if self.of == "rule" else f"{self.of} {self.name}".strip()
        at = f"{self.place.file}:{self.place.line}" if self.place.line else self.place.file
        return f"{who}, {at}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsWay:
    """What is in the way of one matching row, the plan's hold for it (None: none), and when it could next run."""

    held: Held | None
    in_the_way: tuple[Obstacle, ...]
    next_run: NextRun


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedRule:
    """
    One rule on one host: what it says and by which readings, where its parameters are from, and what is in the way.

    `ways` are by the key of the matching rows. `fleet` is what a plan over all hosts of the
    rule would count by the readings that are fresh, None when nothing matches or the rule only observes.
    """

    rule: Rule
    signal: Signal
    judgement: Judgement
    origins: Mapping[str, ParamOrigin] = field(default_factory=dict)
    ways: Mapping[Key, RowsWay] = field(default_factory=dict)
    fleet: RulePlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _DecidedRow:
    """A row with its verdict and the conjuncts behind it."""

    key: Key
    row: Row
    verdict: Verdict
    clauses: tuple[Clause, ...]


def _decided(each: ExplainedRule, host: Host, readings: Mapping[str, Reading]) -> Iterator[_DecidedRow]:
    """Yield each row of the rule's signal, as the evaluator decides it."""
    rule, signal = each.rule, each.signal
    reading = readings.get(signal.name)
    if reading is None or reading.status is not ReadingStatus.OK:
        return
    params = rule.params_for(host)
    others = other_rows(rule.when.other_signals, readings)
    predicate = rule.when.bind(params)
    for row in reading.rows:
        verdict = _VERDICTS[predicate(row, others)]
        yield _DecidedRow(
            key=row_key(signal, row), row=row, verdict=verdict, clauses=rule.when.explain(params, row, others)
        )


def _unit(name: str, each: ExplainedRule, signals: Mapping[str, Signal]) -> str:
    """Return the unit of a value by its name in the condition; '' when it has none."""
    signal_name, dot, column = name.rpartition(".")
    if signal_name == "params":
        return ""
    signal = signals.get(signal_name) if dot else each.signal
    known = signal.columns.get(column) if signal is not None else None
    return known.unit if known is not None else ""


def _origin(name: str, each: ExplainedRule) -> ParamOrigin | None:
    return each.origins.get(name.removeprefix("params.")) if name.startswith("params.") else None


# As text


def why_text(
    host: Host,
    explained: Sequence[ExplainedRule],
    readings: Mapping[str, Reading],
    *,
    signals: Mapping[str, Signal],
    now: datetime,
) -> list[RenderableType]:
    """Return, rule by rule and row by row, what was read, what it means, and what is in the way of a fix."""
    shown: list[RenderableType] = []
    for each in explained:
        judgement = each.judgement
        shown.append(line(styled(each.rule.name, "title"), f" {each.rule.title}:", styled(judgement.verdict.value)))
        if judgement.reason:
            shown.append(line(f"  {judgement.reason}"))
        reading = readings.get(each.signal.name)
        if reading is not None:
            when = f"{seconds_text(reading.observed_at)}, {ago_text(reading.observed_at, now=now)}"
            shown.append(line(f"  signal {each.signal.name}, read at {when}"))
        for decided in _decided(each, host, readings):
            shown.append(line("  ", styled(decided.verdict.value), key_text(decided.key)))
            shown += _clause_lines(decided.clauses, each, signals, indent=6)
            way = each.ways.get(decided.key)
            if way is not None:
                shown += _way_lines(way, host, now=now)
        if each.fleet is not None:
            shown.append(line(f"  {_fleet_text(each.fleet)}"))
    return shown


def _clause_lines(
    clauses: Sequence[Clause], each: ExplainedRule, signals: Mapping[str, Signal], *, indent: int
) -> Iterator[Text]:
    """Yield a line for each part that is decided by itself, those it is made of below it."""
    for clause in clauses:
        margin = " " * indent
        if not clause.parts:
            values = "; ".join(_value_text(name, value, each, signals) for name, value in clause.values)
            yield Text(f"{margin}{line(f'{_WORDS[clause.verdict]:8}{clause.text}    [{values}]').plain}")
            continue
        joined = "not:" if clause.word == "not" else f"{'any' if clause.word == 'or' else 'all'} of:"
        yield Text(f"{margin}{line(f'{_WORDS[clause.verdict]:8}{joined}').plain}")
        yield from _clause_lines(clause.parts, each, signals, indent=indent + 2)


def _value_text(name: str, value: ParamValue | None, each: ExplainedRule, signals: Mapping[str, Signal]) -> str:
    if value is None:
        return f"{name} = ? (not known)"
    unit = _unit(name, each, signals)
    origin = _origin(name, each)
    said = f"{name} = {value_text(value)}" + (f" {unit}" if unit else "")
    return f"{said} ({origin})" if origin is not None else said


def _way_lines(way: RowsWay, host: Host, *, now: datetime) -> Iterator[Text]:
    for obstacle in way.in_the_way:
        yield Text(f"      {line(f'in the way  {obstacle_text(obstacle)}').plain}")
    file = _HOLD_FILES[host.platform]
    yield Text(f"      {line(f'not known   host_hold: whether {file} is there shows when a fix is sent').plain}")
    yield Text(f"      {line(f'next run    {next_run_text(way.next_run, now=now)}').plain}")


def _fleet_text(fleet: RulePlan) -> str:
    """Return how the limits over all hosts of a rule stand, by the readings that are fresh."""
    hosts = f"{fleet.matched} of {fleet.judged} judged hosts match, of {fleet.selected} that the rule looks at"
    fuse = f"the fuse blows at more than {fleet.matched_max}"
    left = "" if fleet.budget_left is None else f"; budget left: {fleet.budget_left}"
    return f"limits: {hosts}, by readings that are fresh; {fuse}{left}"


# As JSON


def why_json(
    host: Host,
    explained: Sequence[ExplainedRule],
    readings: Mapping[str, Reading],
    *,
    signals: Mapping[str, Signal],
    now: datetime,
) -> dict[str, Any]:
    """Return the same as JSON values."""
    return {
        "why": 1,
        "host": host.name,
        "stored": False,
        "now": time_text(now),
        "rules": [
            {
                "rule": each.rule.name,
                "title": each.rule.title,
                "verdict": each.judgement.verdict.value,
                "reason": each.judgement.reason,
                "read_at": _read_at(readings.get(each.signal.name)),
                "rows": [_row_json(each, decided, signals) for decided in _decided(each, host, readings)],
                "limits": _fleet_json(each.fleet) if each.fleet is not None else None,
            }
            for each in explained
        ],
    }


def _read_at(reading: Reading | None) -> str | None:
    return time_text(reading.observed_at) if reading is not None else None


def _row_json(each: ExplainedRule, decided: _DecidedRow, signals: Mapping[str, Signal]) -> dict[str, Any]:
    way = each.ways.get(decided.key)
    held = way.held if way is not None else None
    return {
        "row": row_json(decided.row),
        "verdict": decided.verdict.value,
        "clauses": [_clause_json(clause, each, signals) for clause in decided.clauses],
        "held": None
        if held is None
        else {
            "hold": held.hold.value,
            "reason": held.reason,
            "until": time_text(held.until) if held.until else None,
            "lifted_by": held.lifted_by,
        },
        "in_the_way": [obstacle_json(obstacle) for obstacle in way.in_the_way] if way is not None else [],
        "next_run": next_run_json(way.next_run) if way is not None else None,
    }


def _clause_json(clause: Clause, each: ExplainedRule, signals: Mapping[str, Signal]) -> dict[str, Any]:
    return {
        "text": clause.text,
        "verdict": clause.verdict,
        "values": {name: plain(value) for name, value in clause.values},
        "read": [_value_json(name, value, each, signals) for name, value in clause.values],
        "word": clause.word or None,
        "parts": [_clause_json(part, each, signals) for part in clause.parts],
    }


def _value_json(
    name: str, value: ParamValue | None, each: ExplainedRule, signals: Mapping[str, Signal]
) -> dict[str, Any]:
    origin = _origin(name, each)
    return {
        "name": name,
        "value": plain(value),
        "unit": _unit(name, each, signals) or None,
        "origin": None
        if origin is None
        else {"of": origin.of, "name": origin.name, "file": origin.place.file, "line": origin.place.line},
    }


def _fleet_json(fleet: RulePlan) -> dict[str, Any]:
    return {
        "hosts": fleet.selected,
        "judged": fleet.judged,
        "matched": fleet.matched,
        "matched_max": fleet.matched_max,
        "fuse": fleet.fuse,
        "budget_left": fleet.budget_left,
    }
