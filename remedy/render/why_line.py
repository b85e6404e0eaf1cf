"""What is remembered of a host in one plain line, for somebody with a caller on the phone; it claims what is proved."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from remedy.gate import Obstacle
from remedy.model import Key, Outcome, ReadingStatus, Verdict, key_text
from remedy.next_run import NextRun
from remedy.remembered import IncidentStanding, PastExecution, Remembered, RememberedIncident
from remedy.render.moments import ago_text, clock_text, moment_text
from remedy.text import counted

__all__ = ["ComesNext", "StoredAnswer", "first_line", "outcome_text", "sentence"]

_OUTCOMES: Mapping[Outcome, str] = {
    Outcome.FIXED: "it worked: it was well when it was checked afterwards",
    Outcome.DONE: "it ended well; what it does shows later, and the next scan decides",
    Outcome.NEEDS_REBOOT: "it ended well, and works once the machine restarts",
    Outcome.NOT_FIXED: "it ended well, and the trouble was still there",
    Outcome.UNVERIFIED: "it could not be checked afterwards: we do not know whether it helped",
    Outcome.FAILED: "it failed",
    Outcome.LOST: "we do not know whether it ran to its end",
    Outcome.REFUSED: "the machine refused it",
    Outcome.UNREACHABLE: "the machine could not be reached; nothing was started",
    Outcome.SKIPPED: "it was not attempted",
}
_NOT_READ: Mapping[ReadingStatus, str] = {
    ReadingStatus.UNREACHABLE: "it could not be reached",
    ReadingStatus.REFUSED: "it was refused",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComesNext:
    """What is in the way of an incident now, and when it could next be tried."""

    in_the_way: tuple[Obstacle, ...]
    next_run: NextRun


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """
    All that the state directory says of one host, and what of it could not be had.

    `asked` is the name as it was typed, `only` the one rule that was asked about ('' is
    all of them), `titles` the rules' titles as far as rules are at hand. `notes` say
    what was not at hand and what that leaves open; `brakes` what holds everything or a
    rule back. `is_judged` is true when today's rules judged the readings.
    """

    asked: str
    only: str
    remembered: Remembered
    titles: Mapping[str, str]
    comes_next: Mapping[tuple[str, Key], ComesNext]
    brakes: tuple[str, ...]
    notes: tuple[str, ...]
    is_judged: bool
    has_ledger: bool
    max_ages_s: Mapping[str, int]
    now: datetime


# The first line


def first_line(answer: StoredAnswer) -> str:
    """Return the answer in one plain line."""
    remembered, now = answer.remembered, answer.now
    said = _calm(answer)
    if remembered.incidents:
        worst = remembered.incidents[0]
        said = f"{_name(answer, worst)}: {sentence(answer, worst)}"
        more = len(remembered.incidents) - 1
        said += f"; and {counted(more, 'other')} below" if more else ""
    newest = max(remembered.tried, key=lambda each: each.observed_at, default=None)
    if newest is not None:
        what = _NOT_READ.get(newest.status, "something could not be read of it")
        said += f"; when last tried, {ago_text(newest.observed_at, now=now)}, {what}"
    return f"{remembered.host}: {said}"


def _calm(answer: StoredAnswer) -> str:
    """Return what is said of a host without an incident."""
    remembered, now = answer.remembered, answer.now
    last = remembered.last_read
    untried = "nothing was ever tried on it" + (f" by {answer.only}" if answer.only else "")
    if last is None:
        return f"nothing is known: no reading of it is kept, and {untried}"
    when = f"last read {ago_text(last, now=now)}"
    if not answer.is_judged:
        return f"{untried}; {when}, and what it said is not judged"
    unknown = sum(each.judgement.verdict is Verdict.UNKNOWN for each in remembered.rules)
    if unknown:
        return f"no trouble is known, but {counted(unknown, 'rule')} could not be judged; {when}"
    return f"no trouble was seen when {when}"


def _name(answer: StoredAnswer, incident: RememberedIncident) -> str:
    key = key_text(incident.key)
    return f"{answer.titles.get(incident.rule) or incident.rule}{f' ({key})' if key else ''}"


def sentence(answer: StoredAnswer, incident: RememberedIncident) -> str:
    """Return how an incident stands, in words that claim no more than is known."""
    now = answer.now
    last, then = incident.last, _then(answer, incident)
    if last is None:
        return _untried(incident, then, now=now)
    found = last.planned_at
    started = last.started_at or found
    ended = last.outcome_at or started
    seen = f"found {moment_text(found, now=now)}"
    tried = f"{seen}; a fix was started at {clock_text(started, after=found, now=now)}"
    match incident.standing:
        case IncidentStanding.MENDED:
            return f"{seen}; mended, and well when it was checked at {clock_text(ended, after=found, now=now)}; {then}"
        case IncidentStanding.CAME_BACK:
            return f"{seen}; mended at {clock_text(ended, after=found, now=now)}, and came back: {then}"
        case IncidentStanding.UNDER_WAY:
            until = f", until {moment_text(last.over_at, now=now)} at the latest" if last.over_at else ""
            return f"{tried} and may still be at work{until}"
        case IncidentStanding.END_NOT_KNOWN:
            return f"{tried}, and we do not know whether it ran to its end; {then}"
        case IncidentStanding.EFFECT_NOT_KNOWN if last.outcome is Outcome.FAILED:
            return f"{tried}: {outcome_text(last)}; {then}"
        case IncidentStanding.EFFECT_NOT_KNOWN:
            return f"{tried}, and we do not know whether it helped; {then}"
        case IncidentStanding.NOT_JUDGED if last.outcome is Outcome.FIXED:
            well = f"was well when it was checked at {clock_text(ended, after=found, now=now)}"
            return f"{seen}; {well}, but {_since(answer, incident)}: it may have come back"
        case IncidentStanding.STILL_THERE | IncidentStanding.AWAITS_SCAN | IncidentStanding.NOT_JUDGED:
            return f"{tried}: {outcome_text(last)}; {then}"
        case IncidentStanding.WELL_AGAIN:
            return f"{tried}: {outcome_text(last)}; yet {then}"
        case _ as never:
            assert_never(never)


def _untried(incident: RememberedIncident, then: str, *, now: datetime) -> str:
    """Return what is said of an incident on which nothing was started."""
    planned = incident.executions[-1] if incident.executions else None
    if planned is None:
        return f"{then}; nothing was tried"
    said = outcome_text(planned) if planned.outcome else "no end of that is known"
    return f"found {moment_text(planned.planned_at, now=now)}, and nothing was started: {said}; {then}"


def _since(answer: StoredAnswer, incident: RememberedIncident) -> str:
    """Return what is said of a reading since a fix that worked, of which it is not known what it means."""
    read_at = answer.remembered.last_read if incident.verdict is None else incident.read_at
    ago = ago_text(read_at or answer.now, now=answer.now)
    if incident.verdict is None:
        return f"the host was read again since, {ago}, and that is not judged here"
    return f"what it was when last read, {ago}, is not known" + (f" ({incident.reason})" if incident.reason else "")


def _then(answer: StoredAnswer, incident: RememberedIncident) -> str:
    """Return what the newest reading says of an incident, as of then; or that it is older than the last attempt."""
    last = incident.last
    ended_at = None if last is None else last.outcome_at or last.started_at
    read_at = answer.remembered.last_read if incident.verdict is None else incident.read_at
    if read_at is None:
        return "it was never read" if not incident.reason else f"what it is now, is not known ({incident.reason})"
    if ended_at is not None and read_at <= ended_at:
        return "not read again since"
    ago = ago_text(read_at, now=answer.now)
    match incident.verdict:
        case Verdict.MATCH:
            return f"it was so when last read, {ago}"
        case Verdict.HEALTHY:
            return f"it was well when last read, {ago}"
        case None:
            return f"last read {ago}, and what was read is not judged"
        case Verdict.UNKNOWN | Verdict.NOT_APPLICABLE:
            return _since(answer, incident)
        case _ as never:
            assert_never(never)


def outcome_text(execution: PastExecution) -> str:
    """Return how an execution ended, in plain words, with its reason where that says more."""
    if execution.outcome is None:
        return "no end of it is recorded"
    said = _OUTCOMES[execution.outcome]
    if execution.end_proved:
        said += f"; asked later, the machine said: {execution.reconciled}"
    proves_itself = execution.outcome in (Outcome.FIXED, Outcome.LOST)
    return f"{said} ({execution.reason})" if execution.reason and not proves_itself else said
