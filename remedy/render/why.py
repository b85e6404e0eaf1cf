"""Why a rule matches a host or does not: its conjuncts with what each of them read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from remedy.canonical import plain
from remedy.model import Clause, Finding, Host, Reading, ReadingStatus, Row, Rule, Signal, Verdict, key_text, value_text
from remedy.plan import HeldFinding
from remedy.readings import row_key, time_text
from remedy.render.tables import line, styled
from remedy.render.words import held_text, row_json
from remedy.verdicts import Judgement, other_rows

__all__ = ["why_json", "why_text"]

_WORDS: Mapping[bool | None, str] = {True: "true", False: "false", None: "unknown"}
_VERDICTS: Mapping[bool | None, Verdict] = {True: Verdict.MATCH, False: Verdict.HEALTHY, None: Verdict.UNKNOWN}


def _decided(
    rule: Rule, host: Host, readings: Mapping[str, Reading], signal: Signal
) -> list[tuple[Row, bool | None, tuple[Clause, ...]]]:
    """Return each row of the rule's signal with its verdict and the conjuncts behind it."""
    reading = readings.get(signal.name)
    if reading is None or reading.status is not ReadingStatus.OK:
        return []
    params = rule.params_for(host)
    others = other_rows(rule.when.other_signals, readings)
    predicate = rule.when.bind(params)
    return [(row, predicate(row, others), rule.when.explain(params, row, others)) for row in reading.rows]


def _held_of(held: Iterable[HeldFinding], rule: Rule, host: Host, signal: Signal, row: Row) -> HeldFinding | None:
    key = row_key(signal, row)
    for item in held:
        found: Finding = item.finding
        if (found.rule, found.host, found.key) == (rule.name, host.name, key):
            return item
    return None


def _clause_text(clause: Clause) -> str:
    values = ", ".join(f"{name}={'?' if value is None else value_text(value)}" for name, value in clause.values)
    return f"{_WORDS[clause.verdict]:8}{clause.text}    [{values}]"


def why_text(
    host: Host,
    rules: Sequence[Rule],
    judgements: Iterable[Judgement],
    readings: Mapping[str, Reading],
    *,
    signals: Mapping[str, Signal],
    held: Sequence[HeldFinding],
) -> list[RenderableType]:
    """Return, rule by rule and row by row, what was read and what it means."""
    by_rule = {judgement.rule: judgement for judgement in judgements if judgement.host == host.name}
    shown: list[RenderableType] = []
    for rule in rules:
        judgement = by_rule[rule.name]
        shown.append(line(styled(rule.name, "title"), f" {rule.title}:", styled(judgement.verdict.value)))
        if judgement.reason:
            shown.append(line(f"  {judgement.reason}"))
        signal = signals[rule.signal]
        reading = readings.get(signal.name)
        if reading is not None:
            shown.append(line(f"  signal {signal.name}, read at {time_text(reading.observed_at)}"))
        decided = _decided(rule, host, readings, signal)
        for row, verdict, clauses in decided:
            shown.append(line("  ", styled(_VERDICTS[verdict].value), key_text(row_key(signal, row))))
            shown.extend(Text(f"      {line(_clause_text(clause)).plain}") for clause in clauses)
            item = _held_of(held, rule, host, signal, row)
            if item is not None:
                shown.append(line(f"      held: {item.held.hold.value}: {held_text(item.held)}"))
    return shown


def why_json(
    host: Host,
    rules: Sequence[Rule],
    judgements: Iterable[Judgement],
    readings: Mapping[str, Reading],
    *,
    signals: Mapping[str, Signal],
    held: Sequence[HeldFinding],
) -> dict[str, Any]:
    """Return the same as JSON values."""
    by_rule = {judgement.rule: judgement for judgement in judgements if judgement.host == host.name}
    return {
        "why": 1,
        "host": host.name,
        "rules": [
            {
                "rule": rule.name,
                "verdict": by_rule[rule.name].verdict.value,
                "reason": by_rule[rule.name].reason,
                "rows": [
                    _row_json(rule, host, signals[rule.signal], held, decided)
                    for decided in _decided(rule, host, readings, signals[rule.signal])
                ],
            }
            for rule in rules
        ],
    }


def _row_json(
    rule: Rule,
    host: Host,
    signal: Signal,
    held: Sequence[HeldFinding],
    decided: tuple[Row, bool | None, tuple[Clause, ...]],
) -> dict[str, Any]:
    row, verdict, clauses = decided
    item = _held_of(held, rule, host, signal, row)
    return {
        "row": row_json(row),
        "verdict": _VERDICTS[verdict].value,
        "clauses": [
            {
                "text": clause.text,
                "verdict": clause.verdict,
                "values": {name: plain(value) for name, value in clause.values},
            }
            for clause in clauses
        ],
        "held": None
        if item is None
        else {
            "hold": item.held.hold.value,
            "reason": item.held.reason,
            "until": time_text(item.held.until) if item.held.until else None,
            "lifted_by": item.held.lifted_by,
        },
    }
