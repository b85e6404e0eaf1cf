"""
Recovery: what dead runs left open.

A host with an open intent of a dead run is busy until the script's deadline and
a grace are over; then any run closes it: as its run's audit file says it ended, or
else as lost. Too many bad hosts of a dead run open the rule's breaker, as they would
have in a living one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from remedy.holds import Attempt, Incident
from remedy.limits import Budget
from remedy.model import Finding, Outcome, OutcomeClass
from remedy.plan import GRACE_S, History
from remedy.port import FixEnding
from remedy.readings import time_text
from remedy.run.evidence import Evidence
from remedy.run.recorded_ends import RecordedEnds, read_ends
from remedy.state.audit import AuditLog
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import UNSEEN_ENDINGS, ExecutionRow, OpenIntent, OutcomeRow
from remedy.text import counted

__all__ = [
    "LeftOpen",
    "brake_dead_run",
    "brake_dead_runs",
    "budgets_used",
    "busy_hosts",
    "close_over",
    "closed_text",
    "history_of",
    "left_open",
    "open_rows",
    "over_at",
    "over_for_certain",
    "record_unless_named",
    "take_over_result",
]


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


def close_over(
    ledger: Ledger,
    audit: AuditLog,
    evidence: Evidence,
    over: Iterable[OpenIntent],
) -> tuple[str, ...]:
    """
    Close executions of dead runs that are over, as `over_for_certain` gives them; return what to say.

    `audit` is the caller's own file, `evidence` is over it. What the dead run's file
    beside it says of an outcome or a result counts, for that is written before the
    ledger; nothing is changed in it. All others are lost, or unverified. Before
    that, the breakers of their rules are opened where too many hosts were bad.

    Raises:
        StateError: something could not be recorded.
    """
    by_run: dict[str, list[OpenIntent]] = {}
    for each in over:
        by_run.setdefault(each.intent.run_id, []).append(each)
    said: list[str] = []
    for run_id, intents in by_run.items():
        recorded = read_ends(audit.path.parent, run_id)
        if recorded.odd:
            said.append(f"WARNING: nothing is taken from the audit file of run {run_id}: {recorded.odd}")
        # First the brake: when this is cut off, what is closed by then is not looked at again.
        rules = {each.intent.rule for each in intents}
        paused = brake_dead_run(run_id, ledger, evidence, recorded, rules=rules, closing=intents)
        said += [_close(each, ledger, evidence, recorded) for each in intents]
        said += paused
    return tuple(said)


def _close(opened: OpenIntent, ledger: Ledger, evidence: Evidence, recorded: RecordedEnds) -> str:
    """Close one execution of a dead run, and return what to say of it."""
    intent = opened.intent
    outcome = recorded.outcomes.get(intent.execution_id)
    if outcome is not None:
        record_unless_named(ledger, intent.run_id, [outcome])
        return (
            f"{outcome.outcome.value}: {intent.rule} on {intent.host}, started by run {intent.run_id}, "
            f"which died; its audit file has that end"
        )
    ending = take_over_result(ledger, recorded, intent.execution_id, known=opened.ending)
    opened = replace(opened, ending=ending)
    evidence.close_dead(opened)
    return closed_text(opened)


def open_rows(ledger: Ledger, run_id: str) -> tuple[ExecutionRow, ...]:
    """Return the executions of a run's plan that have no outcome; none when there is no such run."""
    record = ledger.run(run_id)
    return tuple(each for each in record.executions if each.outcome is None) if record is not None else ()


def record_unless_named(ledger: Ledger, run_id: str, rows: Sequence[OutcomeRow]) -> None:
    """
    Record outcomes of a dead run's executions, in one transaction; one that another run has named by now keeps that.

    Raises:
        StateError: one contradicts the ledger, and has no outcome there.
    """
    contradictions = ledger.record_outcomes(rows)
    if not any(contradictions):
        return
    still_open = {each.execution_id for each in open_rows(ledger, run_id)}
    for row, contradiction in zip(rows, contradictions, strict=True):
        if contradiction is not None and row.execution_id in still_open:
            raise contradiction


def take_over_result(
    ledger: Ledger, recorded: RecordedEnds, execution_id: str, *, known: FixEnding | None
) -> FixEnding | None:
    """
    Record the result that a dead run's audit file has and the ledger has not; return the ending that it has then.

    `known` is the ledger's (None: it has none). A result that saw no end is left out.

    Raises:
        StateError: it could not be recorded.
    """
    result = recorded.results.get(execution_id)
    if known is not None or result is None or result.ending in UNSEEN_ENDINGS:
        return known
    ledger.record_result(execution_id, result.at, result.ending, result.exit_code)
    return result.ending


def brake_dead_run(
    run_id: str,
    ledger: Ledger,
    evidence: Evidence,
    recorded: RecordedEnds,
    *,
    rules: Iterable[str],
    closing: Sequence[OpenIntent] = (),
) -> tuple[str, ...]:
    """
    Open the breaker of each of these rules that has more bad hosts in a dead run than its max_bad; return what to say.

    Hosts are counted by the outcomes in the ledger, and by those that `closing` is
    about to get. A rule whose max_bad the run's audit file does not say, or cannot be
    believed in, may have none. Breakers that are open already are left alone.

    Raises:
        StateError: something could not be read or recorded.
    """
    record = ledger.run(run_id)
    bad: dict[str, set[str]] = {rule: set() for rule in rules}
    for each in closing:
        if _ends_bad(each, recorded):
            bad[each.intent.rule].add(each.intent.host)
    for row in record.executions if record is not None else ():
        is_bad = row.outcome is not None and row.outcome.outcome_class is OutcomeClass.BAD
        if is_bad and row.rule in bad:
            bad[row.rule].add(row.host)
    breakers = ledger.breakers()
    said: list[str] = []
    for rule, hosts in sorted(bad.items()):
        max_bad = recorded.max_bad.get(rule)
        if rule in breakers or len(hosts) <= (max_bad or 0):
            continue
        known = "max_bad 0, for its own is not known" if max_bad is None else f"max_bad {max_bad}"
        reason = f"{counted(len(hosts), 'bad host')} in run {run_id}, which died, more than {known}"
        evidence.open_breaker(rule, reason, of_run=run_id)
        said.append(f"{rule} is paused until: remedy release {rule} --reason TEXT  ({reason})")
    return tuple(said)


def brake_dead_runs(
    ledger: Ledger, audit: AuditLog, evidence: Evidence, *, is_alive: Callable[[str], bool]
) -> tuple[str, ...]:
    """
    Open the breakers that dead runs should have opened and have not; return what to say.

    A run may die between its last bad outcome and its breaker, and leave nothing open
    that somebody would close. Each run and rule is braked once: who releases the rule
    afterwards has seen these outcomes.

    Raises:
        StateError: something could not be read or recorded.
    """
    said: list[str] = []
    for run_id in [each for each in ledger.unbraked() if not is_alive(each)]:
        # Read again: one that was alive a moment ago may have ended properly since.
        rules = ledger.unbraked().get(run_id, frozenset())
        if rules:
            recorded = read_ends(audit.path.parent, run_id)
            said += brake_dead_run(run_id, ledger, evidence, recorded, rules=rules)
    return tuple(said)


def _ends_bad(opened: OpenIntent, recorded: RecordedEnds) -> bool:
    """Say whether an execution of a dead run will count as bad once it is closed."""
    row = recorded.outcomes.get(opened.intent.execution_id)
    outcome = opened.closes_as if row is None else row.outcome
    return outcome.outcome_class is OutcomeClass.BAD


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
