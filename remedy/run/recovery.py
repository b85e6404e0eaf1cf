"""
Recovery: what dead runs left open.

A host with an open intent of a dead run is busy until the script's deadline and
a grace are over; then any run closes it: as its run's audit file says it ended, or
else as lost. Too many bad hosts of a dead run open the rule's breaker, as they would
have in a living one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from remedy.errors import StateError
from remedy.holds import Attempt
from remedy.limits import Budget
from remedy.model import Finding, Outcome, OutcomeClass
from remedy.plan import GRACE_S, History, Incident
from remedy.port import FixEnding
from remedy.readings import time_text
from remedy.run.evidence import Evidence
from remedy.run.recorded_ends import doubt_of_log
from remedy.state.audit import AuditLog
from remedy.state.audit_format import AuditType, Lines, parse_object
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import OpenIntent, OutcomeRow
from remedy.state.values import utc_time
from remedy.text import counted, untrusted

__all__ = [
    "UNSEEN_ENDINGS",
    "LeftOpen",
    "brake_dead_run",
    "budgets_used",
    "busy_hosts",
    "close_over",
    "closed_text",
    "history_of",
    "left_open",
    "over_at",
    "over_for_certain",
    "recorded_outcome",
]

UNSEEN_ENDINGS = frozenset({FixEnding.LOST, FixEnding.ALREADY_STARTED})
"""Results that do not say how a fix ended: without an outcome it is `lost` all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOpen:
    """Intents without an outcome: those that can be closed now, and those that may still be running."""

    over: tuple[OpenIntent, ...]
    running: tuple[OpenIntent, ...]


def over_at(opened: OpenIntent) -> datetime:
    """Return when an execution of a dead run does not run any more for certain: deadline and grace are over."""
    return opened.intent.at + timedelta(seconds=opened.intent.deadline_s + GRACE_S)


def left_open(opened: Iterable[OpenIntent], *, is_alive: Callable[[str], bool], now: datetime) -> LeftOpen:
    """
    Sort open intents: those of dead runs whose deadline and grace are over, and all others.

    An intent dated after now is taken as made now: its host stays busy.
    """
    over: list[OpenIntent] = []
    running: list[OpenIntent] = []
    for each in opened:
        finished = not is_alive(each.intent.run_id) and now >= over_at(each)
        (over if finished else running).append(each)
    return LeftOpen(over=tuple(over), running=tuple(running))


def over_for_certain(ledger: Ledger, *, is_alive: Callable[[str], bool], now: datetime) -> tuple[OpenIntent, ...]:
    """
    Return the intents of dead runs that are over by now and can be closed.

    The ledger is read again after their runs were found dead: one that ended
    properly in between has recorded its outcomes, and must not be called lost.
    """
    over = {each.intent.execution_id for each in left_open(ledger.open_intents(), is_alive=is_alive, now=now).over}
    return tuple(each for each in ledger.open_intents() if each.intent.execution_id in over) if over else ()


def closed_text(opened: OpenIntent) -> str:
    """Return what people are told of an execution of a dead run that was closed."""
    intent = opened.intent
    return (
        f"{opened.closes_as.value}: {intent.rule} on {intent.host}, started by run {intent.run_id}, "
        f"which died; its end was not seen"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """
    What a dead run's audit file says: of outcomes and results by execution, and of max_bad by rule.

    `odd` is why it is not believed ('' when it is); then it says nothing.
    """

    outcomes: Mapping[str, tuple[datetime, Mapping[str, Any]]] = field(default_factory=dict)
    results: Mapping[str, tuple[datetime, Mapping[str, Any]]] = field(default_factory=dict)
    max_bad: Mapping[str, int] = field(default_factory=dict)
    odd: str = ""


def close_over(
    ledger: Ledger,
    audit: AuditLog,
    evidence: Evidence,
    over: Iterable[OpenIntent],
    *,
    clock: Callable[[], datetime],
) -> tuple[str, ...]:
    """
    Close executions of dead runs that are over, as `over_for_certain` gives them; return what to say.

    `audit` is the caller's own file, `evidence` is over it. What the dead run's file
    beside it says of an outcome or a result counts, for that is written before the
    ledger; nothing is changed in it. All others are lost, or unverified. Then the
    breakers of their rules are opened where too many hosts were bad.

    Raises:
        StateError: something could not be recorded.
    """
    by_run: dict[str, list[OpenIntent]] = {}
    for each in over:
        by_run.setdefault(each.intent.run_id, []).append(each)
    said: list[str] = []
    for run_id, intents in by_run.items():
        recorded = _said_by(audit.path.parent, run_id)
        if recorded.odd:
            said.append(f"WARNING: nothing is taken from the audit file of run {run_id}: {recorded.odd}")
        said += [_close(each, ledger, evidence, recorded) for each in intents]
        rules = frozenset(each.intent.rule for each in intents)
        said += _brake(run_id, ledger, audit, recorded, clock=clock, rules=rules)
    return tuple(said)


def _close(opened: OpenIntent, ledger: Ledger, evidence: Evidence, recorded: _Said) -> str:
    """Close one execution of a dead run, and return what to say of it."""
    intent = opened.intent
    outcome = recorded.outcomes.get(intent.execution_id)
    if outcome is not None:
        row = recorded_outcome(intent.run_id, intent.execution_id, *outcome)
        (contradiction,) = ledger.record_outcomes([row])
        if contradiction is not None and _is_open(ledger, intent.execution_id):
            raise contradiction
        return (
            f"{row.outcome.value}: {intent.rule} on {intent.host}, started by run {intent.run_id}, "
            f"which died; its audit file has that end"
        )
    result = recorded.results.get(intent.execution_id)
    if opened.ending is None and result is not None and result[1]["ending"] not in UNSEEN_ENDINGS:
        at, data = result
        ledger.record_result(intent.execution_id, at, data["ending"], data["exit_code"])
        opened = replace(opened, ending=data["ending"])
    evidence.close_dead(opened)
    return closed_text(opened)


def _is_open(ledger: Ledger, execution_id: str) -> bool:
    return any(each.intent.execution_id == execution_id for each in ledger.open_intents())


def recorded_outcome(run_id: str, execution_id: str, at: datetime, data: Mapping[str, Any]) -> OutcomeRow:
    """Return the ledger's row of an outcome, by the data of its audit record."""
    reason = f"{data['skip']}: {data['reason']}" if data["skip"] else data["reason"]
    return OutcomeRow(run_id=run_id, execution_id=execution_id, at=at, outcome=data["outcome"], reason=reason)


def brake_dead_run(run_id: str, ledger: Ledger, audit: AuditLog, *, clock: Callable[[], datetime]) -> tuple[str, ...]:
    """
    Open the breaker of each rule that has more bad hosts in a dead run than its max_bad; return what to say.

    Hosts are counted by the outcomes in the ledger. A rule whose max_bad the run's
    audit file does not say, or cannot be believed in, may have none. Breakers that
    are open already are left alone. `audit` is the caller's own file.

    Raises:
        StateError: something could not be read or recorded.
    """
    return _brake(run_id, ledger, audit, _said_by(audit.path.parent, run_id), clock=clock, rules=None)


def _brake(
    run_id: str,
    ledger: Ledger,
    audit: AuditLog,
    recorded: _Said,
    *,
    clock: Callable[[], datetime],
    rules: frozenset[str] | None,
) -> tuple[str, ...]:
    """Do that for these rules, or for all (None)."""
    record = ledger.run(run_id)
    bad: dict[str, set[str]] = {}
    for row in record.executions if record is not None else ():
        is_bad = row.outcome is not None and row.outcome.outcome_class is OutcomeClass.BAD
        if is_bad and (rules is None or row.rule in rules):
            bad.setdefault(row.rule, set()).add(row.host)
    breakers = ledger.breakers()
    said: list[str] = []
    for rule, hosts in sorted(bad.items()):
        max_bad = recorded.max_bad.get(rule)
        if rule in breakers or len(hosts) <= (max_bad or 0):
            continue
        known = "max_bad 0, for its own is not known" if max_bad is None else f"max_bad {max_bad}"
        reason = f"{counted(len(hosts), 'bad host')} in run {run_id}, which died, more than {known}"
        audit.append(AuditType.BREAKER_OPENED, {"rule": rule, "reason": reason, "of_run": run_id}, sync=True)
        # It is the dead run's, which the ledger knows; of the caller's own run it may know nothing.
        ledger.open_breaker(rule, run_id, clock(), reason)
        said.append(f"{rule} is paused until: remedy release {rule} --reason TEXT  ({reason})")
    return tuple(said)


def _said_by(directory: Path, run_id: str) -> _Said:
    """Read the audit file of a dead run, whose end may be cut; one with a broken chain says nothing."""
    outcomes: dict[str, tuple[datetime, Mapping[str, Any]]] = {}
    results: dict[str, tuple[datetime, Mapping[str, Any]]] = {}
    max_bad: dict[str, int] = {}
    try:
        odd = doubt_of_log(directory, run_id)
        if odd:
            return _Said(odd=untrusted(odd))
        for record in _records(directory / f"{run_id}.jsonl"):
            at, data = utc_time(record["ts"]), record["data"]
            match record["type"]:
                case AuditType.EXECUTION_OUTCOME:
                    outcomes[str(data["execution"])] = at, {**data, "outcome": Outcome(data["outcome"])}
                case AuditType.EXECUTION_RESULT:
                    results[str(data["execution"])] = at, {**data, "ending": FixEnding(data["ending"])}
                case AuditType.ROLLOUT_STARTED:
                    max_bad[str(data["rule"])] = _count(data["max_bad"])
    except (StateError, OSError, ValueError, KeyError, TypeError) as exc:
        return _Said(odd=untrusted(f"it cannot be read as remedy writes it: {exc}"))
    return _Said(outcomes=outcomes, results=results, max_bad=max_bad)


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open("rb") as file:
        for line in Lines(file):
            yield parse_object(line)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no count")
    return value


def busy_hosts(running: Iterable[OpenIntent]) -> Mapping[str, str]:
    """Return why each host is busy: the execution that may be running there the longest, and until when."""
    return {
        each.intent.host: (
            f"execution {each.intent.execution_id} of run {each.intent.run_id} may still be running there, "
            f"until {time_text(over_at(each).replace(microsecond=0))} at the latest"
        )
        for each in sorted(running, key=over_at)
    }


def history_of(
    ledger: Ledger,
    findings: Iterable[Finding],
    *,
    rules: Iterable[str],
    busy: Mapping[str, str],
    over: Iterable[OpenIntent] = (),
    used: Mapping[str, int] | None = None,
) -> History:
    """
    Return what the ledger knows of these findings and rules, for the plan.

    `over` are intents of dead runs that nobody has closed yet; they count as an
    apply would close them.
    """
    incidents: list[Incident] = [(finding.rule, finding.host, finding.key) for finding in findings]
    closing = {each.intent.execution_id: each.closes_as for each in over}
    attempts: Mapping[Incident, tuple[Attempt, ...]] = {
        incident: tuple(
            replace(attempt, outcome=closing.get(attempt.execution_id)) if attempt.outcome is None else attempt
            for attempt in made
        )
        for incident, made in ledger.attempts_of(incidents).items()
    }
    last_bad = {rule: _bad_hosts(ledger.last_outcomes(rule)) for rule in rules}
    return History(
        attempts=attempts,
        last_bad=last_bad,
        breakers=ledger.breakers(),
        busy=busy,
        pauses=ledger.pauses(),
        used=used or {},
    )


def budgets_used(
    ledger: Ledger, *, rules: Iterable[str], per_rule: Budget | None, all_rules: Budget | None, now: datetime
) -> Mapping[str, int]:
    """Return by rule, and under '' for all of them, how many hosts the budgets count now; nothing without a budget."""
    used: dict[str, int] = {}
    if per_rule is not None:
        since = now - timedelta(seconds=per_rule.window_s)
        used.update({rule: ledger.hosts_started(since, rule) for rule in rules})
    if all_rules is not None:
        used[""] = ledger.hosts_started(now - timedelta(seconds=all_rules.window_s))
    return used


def _bad_hosts(outcomes: Mapping[str, Outcome]) -> frozenset[str]:
    return frozenset(host for host, outcome in outcomes.items() if outcome.outcome_class is OutcomeClass.BAD)
