"""
What is remembered of one host without asking it: its stored readings, judged, and what was tried on it.

Pure. `fixed` is the only word that says a fix helped, for it was proved by reading the
row again; what nobody saw the end of stays unknown, and a reading says how it was then.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from remedy.model import Host, Key, Outcome, OutcomeClass, Reading, ReadingStatus, Row, Rule, Scope, Signal, Verdict
from remedy.plan import GRACE_S
from remedy.port import FixEnding
from remedy.readings import is_stale
from remedy.verdicts import Judgement, by_host, changed_signals, judge, needed_signals, only_fresh, verdict_of_key

__all__ = [
    "IncidentStanding",
    "PastExecution",
    "Remembered",
    "RememberedIncident",
    "RuleThen",
    "has_said",
    "remember",
    "rules_then",
    "standing_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastExecution:
    """
    An execution of a past run's plan on one host.

    A match was seen at `planned_at`. `started_at` is None when nothing was started,
    `ending` when no result was seen, `outcome` when it has none (yet). `released_at` is
    when a person released its incident afterwards; `reconciled` is what the host's
    marker said later, '' when nobody asked, and `end_proved` whether that proves its end.
    """

    rule: str
    host: str
    key: Key
    run_id: str
    execution_id: str
    planned_at: datetime
    started_at: datetime | None
    deadline_s: int
    ending: FixEnding | None
    exit_code: int | None
    outcome_at: datetime | None
    outcome: Outcome | None
    reason: str
    released_at: datetime | None = None
    reconciled: str = ""
    end_proved: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it was started and has no outcome."""
        return self.started_at is not None and self.outcome is None

    @property
    def over_at(self) -> datetime | None:
        """When it does not run any more for certain; None when it was never started."""
        return None if self.started_at is None else self.started_at + timedelta(seconds=self.deadline_s + GRACE_S)


class IncidentStanding(StrEnum):
    """How an incident stands, by what is remembered; the first that holds counts."""

    UNDER_WAY = "under_way"
    END_NOT_KNOWN = "end_not_known"
    CAME_BACK = "came_back"
    STILL_THERE = "still_there"
    EFFECT_NOT_KNOWN = "effect_not_known"
    NOT_JUDGED = "not_judged"
    AWAITS_SCAN = "awaits_scan"
    WELL_AGAIN = "well_again"
    MENDED = "mended"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleThen:
    """
    What a rule of today says of a host by its stored readings.

    `read_at` is when the rule's own signal was read; `is_old` is true when a reading
    that it needs is older by now than its signal lets a reading count.
    """

    rule: Rule
    judgement: Judgement
    reading: Reading | None
    is_old: bool

    @property
    def read_at(self) -> datetime | None:
        """When the reading was made that it is judged by; None when there is none."""
        return self.reading.observed_at if self.reading is not None and has_said(self.reading) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberedIncident:
    """
    An incident: what the stored reading says of its row, and what was tried, oldest first.

    `verdict` is None when the rule is not at hand; `first_seen` is the oldest plan that
    has it, as far back as the ledger goes, None when it was never planned.
    """

    rule: str
    key: Key
    standing: IncidentStanding
    verdict: Verdict | None
    reason: str
    row: Row | None
    read_at: datetime | None
    is_old: bool
    first_seen: datetime | None
    executions: tuple[PastExecution, ...]

    @property
    def attempts(self) -> tuple[PastExecution, ...]:
        """What was started; a start that the host itself refused to make is none."""
        return tuple(each for each in self.executions if _is_attempt(each))

    @property
    def last(self) -> PastExecution | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """
    All that is remembered of one host, the incidents that matter most first.

    `tried` are the newest readings that said nothing (it was not reached, or a collector
    failed), each newer than what `readings` has of its signal.
    """

    host: str
    incidents: tuple[RememberedIncident, ...]
    rules: tuple[RuleThen, ...]
    readings: tuple[Reading, ...]
    tried: tuple[Reading, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known at all; that it could not be read is nothing."""
        return not (self.readings or self.incidents)

    @property
    def last_read(self) -> datetime | None:
        """When the host last said something."""
        return max((each.observed_at for each in self.readings), default=None)


def has_said(reading: Reading) -> bool:
    """Say whether a reading is what a host said, not that nothing could be had from it."""
    return reading.status in (ReadingStatus.OK, ReadingStatus.NOT_APPLICABLE)


def _is_attempt(execution: PastExecution) -> bool:
    return execution.started_at is not None and execution.outcome is not Outcome.SKIPPED


def rules_then(
    scopes: Iterable[Scope],
    host: Host,
    readings: Iterable[Reading],
    *,
    signals: Mapping[str, Signal],
    digests: Mapping[str, str],
    now: datetime,
) -> tuple[RuleThen, ...]:
    """
    Return what each rule says of a host by these readings, which are the newest that said something.

    A rule is judged as of the newest reading that it needs: what was too old beside
    that one counts as unknown, as it would have then.
    """
    current = by_host(changed_signals(readings, digests, signals)).get(host.name, {})
    found: list[RuleThen] = []
    for scope in scopes:
        mine = next((each for each in scope.hosts if each.name == host.name), None)
        if mine is None:
            continue
        needed = [current[name] for name in needed_signals([scope.rule]) if name in current]
        as_of = max((each.observed_at for each in needed), default=now)
        fresh = by_host(only_fresh(needed, signals, now=as_of))
        one = Scope(rule=scope.rule, hosts=(mine,), exempt_names=scope.exempt_names)
        (judgement,) = judge([one], fresh, signals)
        is_old = any(is_stale(each, max_age_s=signals[each.signal].max_age_s, now=now) for each in needed)
        reading = fresh.get(host.name, {}).get(scope.rule.signal)
        found.append(RuleThen(rule=scope.rule, judgement=judgement, reading=reading, is_old=is_old))
    return tuple(found)


def remember(
    host: str,
    rules: Sequence[RuleThen],
    executions: Iterable[PastExecution],
    *,
    signals: Mapping[str, Signal],
    readings: Iterable[Reading],
    tried: Iterable[Reading],
    now: datetime,
) -> Remembered:
    """
    Return what is remembered of a host: one incident for each matching row and for each row that was ever planned.

    `executions` are in the order in which they were planned.
    """
    of_incident: dict[tuple[str, Key], list[PastExecution]] = {}
    by_rule = {each.rule.name: each for each in rules}
    for each in rules:
        for finding in each.judgement.findings:
            of_incident.setdefault((finding.rule, finding.key), [])
    for execution in executions:
        then = by_rule.get(execution.rule)
        key = execution.key if then is None else _declared(execution.key, signals[then.rule.signal])
        of_incident.setdefault((execution.rule, key), []).append(execution)
    kept = tuple(readings)
    last_read = max((each.observed_at for each in kept), default=None)
    incidents = [
        _incident(rule, key, made, by_rule.get(rule), signals, last_read=last_read, now=now)
        for (rule, key), made in of_incident.items()
    ]
    order = list(IncidentStanding)
    incidents.sort(key=lambda each: (order.index(each.standing), _age_order(each, now), each.rule, str(each.key)))
    return Remembered(host=host, incidents=tuple(incidents), rules=tuple(rules), readings=kept, tried=tuple(tried))


def _declared(key: Key, signal: Signal) -> Key:
    """Return a key of the ledger, which sorts its columns, in the order in which the signal declares them."""
    values = dict(key)
    return tuple((name, values[name]) for name in signal.key) if set(values) == set(signal.key) else key


def _age_order(incident: RememberedIncident, now: datetime) -> float:
    """Return what sorts incidents of one standing: those of which something was seen last come first."""
    seen = [incident.read_at or now, *(each.outcome_at or each.planned_at for each in incident.executions[-1:])]
    return -max(seen).timestamp()


def _incident(
    rule: str,
    key: Key,
    executions: Sequence[PastExecution],
    then: RuleThen | None,
    signals: Mapping[str, Signal],
    *,
    last_read: datetime | None,
    now: datetime,
) -> RememberedIncident:
    verdict: Verdict | None = None
    reason, row, read_at, is_old = "", None, None, False
    if then is not None:
        said = verdict_of_key(then.judgement, then.reading, signals[then.rule.signal], key)
        verdict, reason, row = said.verdict, said.reason, said.row
        read_at, is_old = then.read_at, then.is_old
    attempts = [each for each in executions if _is_attempt(each)]
    return RememberedIncident(
        rule=rule,
        key=key,
        standing=standing_of(
            attempts[-1] if attempts else None,
            verdict,
            # Which signal the rule looks at is not known then: any reading since may have shown its row again.
            read_at=last_read if verdict is None else read_at,
            now=now,
        ),
        verdict=verdict,
        reason=reason,
        row=row,
        read_at=read_at,
        is_old=is_old,
        first_seen=min((each.planned_at for each in executions), default=None),
        executions=tuple(executions),
    )


def standing_of(
    last: PastExecution | None, verdict: Verdict | None, *, read_at: datetime | None, now: datetime
) -> IncidentStanding:
    """
    Return how an incident stands, by its last attempt and by what was read of its row, and when.

    What was read before the attempt ended says nothing of its effect. A reading that
    is well after an attempt that proved nothing is `well_again`, never `mended`; and
    one after a fix that worked, of which nobody knows what it says, leaves that open.
    """
    ended_at = None if last is None else last.outcome_at or last.started_at
    is_newer = read_at is not None and (ended_at is None or read_at > ended_at)
    if last is not None and last.is_open and not (last.over_at is not None and now >= last.over_at):
        return IncidentStanding.UNDER_WAY
    if last is not None and last.released_at is None and _end_is_not_known(last):
        # Whatever was read since: nobody knows what it did besides.
        return IncidentStanding.END_NOT_KNOWN
    if is_newer and verdict is Verdict.MATCH:
        mended = last is not None and last.outcome is Outcome.FIXED
        return IncidentStanding.CAME_BACK if mended else IncidentStanding.STILL_THERE
    if is_newer and verdict is Verdict.HEALTHY:
        mended = last is not None and last.outcome is Outcome.FIXED
        return IncidentStanding.MENDED if mended else IncidentStanding.WELL_AGAIN
    if is_newer and verdict in (None, Verdict.UNKNOWN) and last is not None and last.outcome is Outcome.FIXED:
        return IncidentStanding.NOT_JUDGED
    return IncidentStanding.NOT_JUDGED if last is None else _by_outcome(last)


def _end_is_not_known(last: PastExecution) -> bool:
    return last.is_open or (last.outcome is Outcome.LOST and not last.end_proved)


def _by_outcome(last: PastExecution) -> IncidentStanding:
    """Return how an incident stands of which nothing was read since its last attempt."""
    if last.outcome is Outcome.FIXED:
        return IncidentStanding.MENDED
    # A fix that failed was read once more, and may have mended it all the same; its reason says so.
    if last.outcome in (Outcome.UNVERIFIED, Outcome.LOST, Outcome.FAILED) or last.outcome is None:
        return IncidentStanding.EFFECT_NOT_KNOWN
    match last.outcome.outcome_class:
        case OutcomeClass.GOOD:
            return IncidentStanding.AWAITS_SCAN
        case OutcomeClass.BAD:
            return IncidentStanding.STILL_THERE
        case OutcomeClass.UNREACHABLE | OutcomeClass.SKIPPED:
            return IncidentStanding.NOT_JUDGED
        case _ as never:
            assert_never(never)
