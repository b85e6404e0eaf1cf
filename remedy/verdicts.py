"""
Verdicts: rules × readings → what each rule says of each host, with the rows that prove it.

Unknown never becomes a match: no reading, a stale one, a failed one, a null.
One evaluator serves validate, test, why, scan, plan and apply.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from remedy.model import (
    KEY_ROWS_MAX,
    Finding,
    Host,
    Key,
    Platform,
    Reading,
    ReadingStatus,
    Row,
    RowPromise,
    Rule,
    Scope,
    Signal,
    Verdict,
    VerifyUntil,
)
from remedy.readings import is_stale, row_key
from remedy.text import duration_text

__all__ = [
    "Judgement",
    "KeyVerdict",
    "ReadingsByHost",
    "UnknownRow",
    "by_host",
    "changed_signals",
    "judge",
    "needed_signals",
    "only_fresh",
    "other_rows",
    "verdict_of_key",
]

ReadingsByHost = Mapping[str, Mapping[str, Reading]]
"""The readings of each host by the name of the signal."""

_NO_ROWS: Mapping[str, Row | None] = {}


@dataclass(frozen=True, slots=True)
class UnknownRow:
    """A row of which a rule cannot tell whether it matches."""

    rule: str
    host: str
    row: Row


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    The verdict of one rule on one host.

    `match` when at least one row matches; else `unknown` when at least one row is
    unknown or there is no reading (then `reason` says why); else `healthy`.
    """

    rule: str
    host: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    unknown_rows: tuple[UnknownRow, ...] = ()
    reason: str = ""


def by_host(readings: Iterable[Reading]) -> dict[str, dict[str, Reading]]:
    """Return readings by host and signal; of several for the same the newest wins."""
    found: dict[str, dict[str, Reading]] = {}
    for reading in readings:
        of_host = found.setdefault(reading.host, {})
        known = of_host.get(reading.signal)
        if known is None or known.observed_at <= reading.observed_at:
            of_host[reading.signal] = reading
    return found


def needed_signals(rules: Iterable[Rule]) -> tuple[str, ...]:
    """Return the names of all signals that these rules read, sorted."""
    names: set[str] = set()
    for rule in rules:
        names.add(rule.signal)
        names.update(rule.when.other_signals)
        if isinstance(rule.verify, VerifyUntil):
            names.update(rule.verify.until.other_signals)
        for exemption in rule.exempt:
            names.update(exemption.where.other_signals if exemption.where is not None else ())
    return tuple(sorted(names))


def only_fresh(readings: Iterable[Reading], signals: Mapping[str, Signal], *, now: datetime) -> Iterator[Reading]:
    """
    Yield readings, those that are too old (or dated after now) as `failed` with the reason.

    A `not_applicable` grows old like rows do; what was never read keeps its own reason.
    """
    for reading in readings:
        signal = signals.get(reading.signal)
        if signal is None:
            continue
        said = reading.status in (ReadingStatus.OK, ReadingStatus.NOT_APPLICABLE)
        if said and is_stale(reading, max_age_s=signal.max_age_s, now=now):
            yield _failed(reading, _age_text((now - reading.observed_at).total_seconds(), signal))
        else:
            yield reading


def _age_text(age_s: float, signal: Signal) -> str:
    if age_s < 0:
        return f"dated {duration_text(-age_s)} after now"
    return f"stale: {duration_text(age_s)} old, at most {duration_text(signal.max_age_s)}"


def changed_signals(
    readings: Iterable[Reading], digests: Mapping[str, str], signals: Mapping[str, Signal]
) -> Iterator[Reading]:
    """Yield readings, those made by another version of their signal as `failed` with the reason."""
    for reading in readings:
        signal = signals.get(reading.signal)
        if signal is not None and digests.get(reading.signal) == signal.digest:
            yield reading
        else:
            yield _failed(reading, "the signal has changed since these readings were taken")


def _failed(reading: Reading, reason: str) -> Reading:
    return Reading(
        host=reading.host,
        signal=reading.signal,
        observed_at=reading.observed_at,
        status=ReadingStatus.FAILED,
        reason=reason,
    )


def other_rows(names: tuple[str, ...], readings: Mapping[str, Reading]) -> Mapping[str, Row | None]:
    """Return the one row of each other signal of a host, None where there is no certain one."""
    if not names:
        return _NO_ROWS
    rows: dict[str, Row | None] = {}
    for name in names:
        reading = readings.get(name)
        certain = reading is not None and reading.status is ReadingStatus.OK and len(reading.rows) == 1
        rows[name] = reading.rows[0] if certain and reading is not None else None
    return rows


@dataclass(frozen=True, slots=True)
class KeyVerdict:
    """What a fresh reading says of one row: its verdict, the row if there is one, and why."""

    verdict: Verdict
    row: Row | None
    reason: str = ""
    gone: bool = False


def verdict_of_key(judgement: Judgement, reading: Reading | None, signal: Signal, key: Key) -> KeyVerdict:
    """
    Return what a judgement, made of this reading, says of the row with this key.

    A row that is gone is healthy where rows may come and go (`rows: any`), else
    unknown. More matching rows than KEY_ROWS_MAX are a broken sensor: unknown.
    """
    if len(judgement.findings) > KEY_ROWS_MAX:
        return KeyVerdict(Verdict.UNKNOWN, None, f"{len(judgement.findings)} rows match: rather a broken sensor")
    for finding in judgement.findings:
        if finding.key == key:
            return KeyVerdict(Verdict.MATCH, finding.row)
    for unknown in judgement.unknown_rows:
        if row_key(signal, unknown.row) == key:
            return KeyVerdict(Verdict.UNKNOWN, unknown.row, "the row leaves the condition unknown")
    if judgement.verdict is Verdict.NOT_APPLICABLE or reading is None or reading.status is not ReadingStatus.OK:
        return KeyVerdict(Verdict.UNKNOWN, None, judgement.reason or "no reading")
    row = next((row for row in reading.rows if row_key(signal, row) == key), None)
    if row is not None:
        return KeyVerdict(Verdict.HEALTHY, row)
    verdict = Verdict.HEALTHY if signal.rows is RowPromise.ANY else Verdict.UNKNOWN
    return KeyVerdict(verdict, None, "the row is gone", gone=True)


def judge(scopes: Iterable[Scope], readings: ReadingsByHost, signals: Mapping[str, Signal]) -> Iterator[Judgement]:
    """
    Yield the judgement of every rule on every host of its scope, in that order.

    The readings must have gone through `only_fresh`; this function knows no clock.
    """
    for scope in scopes:
        rule = scope.rule
        judge_one = _judge_rule(rule, signals[rule.signal])
        for host in scope.hosts:
            yield judge_one(host, readings.get(host.name, {}))


def _judge_rule(rule: Rule, signal: Signal) -> Callable[[Host, Mapping[str, Reading]], Judgement]:
    default = rule.when.bind(rule.params)
    others_read = rule.when.other_signals
    name = rule.name

    def judge_one(host: Host, readings: Mapping[str, Reading]) -> Judgement:
        reading = readings.get(signal.name)
        if reading is None or reading.status is not ReadingStatus.OK:
            return _without_rows(name, host, signal, reading)
        predicate = default if name not in host.params else rule.when.bind(rule.params_for(host))
        others = other_rows(others_read, readings) if others_read else _NO_ROWS
        rows = reading.rows
        if len(rows) == 1:
            row = rows[0]
            verdict = predicate(row, others)
            if verdict is False:
                return Judgement(name, host.name, Verdict.HEALTHY)
            if verdict is None:
                return Judgement(name, host.name, Verdict.UNKNOWN, (), (UnknownRow(name, host.name, row),))
            return Judgement(name, host.name, Verdict.MATCH, (_finding(name, host.name, signal, row),))
        return _of_rows(name, host.name, signal, [(row, predicate(row, others)) for row in rows])

    return judge_one


def _finding(rule: str, host: str, signal: Signal, row: Row) -> Finding:
    return Finding(rule=rule, host=host, key=row_key(signal, row), row=row)


def _of_rows(rule: str, host: str, signal: Signal, decided: list[tuple[Row, bool | None]]) -> Judgement:
    findings = tuple(_finding(rule, host, signal, row) for row, verdict in decided if verdict is True)
    unknown = tuple(UnknownRow(rule, host, row) for row, verdict in decided if verdict is None)
    if findings:
        return Judgement(rule, host, Verdict.MATCH, findings, unknown)
    if unknown:
        return Judgement(rule, host, Verdict.UNKNOWN, (), unknown)
    return Judgement(rule, host, Verdict.HEALTHY)


def _without_rows(rule: str, host: Host, signal: Signal, reading: Reading | None) -> Judgement:
    if host.platform not in signal.collect:
        reason = f"signal {signal.name} has no collector for {Platform(host.platform).value}"
        return Judgement(rule, host.name, Verdict.NOT_APPLICABLE, reason=reason)
    if reading is None:
        return Judgement(rule, host.name, Verdict.UNKNOWN, reason="no reading")
    if reading.status is ReadingStatus.NOT_APPLICABLE:
        return Judgement(rule, host.name, Verdict.NOT_APPLICABLE, reason=reading.reason)
    said = f": {reading.reason}" if reading.reason else ""
    return Judgement(rule, host.name, Verdict.UNKNOWN, reason=f"{reading.status.value}{said}")
