"""
`remedy pause` and `unpause`: a person holds back a rule, a group, a host, or everything.

The name must be one that exists. When neither rules nor inventory can be read, the
pause is set all the same: a broken file must not keep anybody from holding a fleet
still at three in the morning. That nobody could check the name is said, and is
exit code 4, so that a script which pauses first and works then stops there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from remedy.cli.caller import Caller, caller_now, utc_now
from remedy.cli.composition import Options, read_config, shown_path, state_of
from remedy.cli.console import Talk
from remedy.cli.hosts_only import load_hosts_only
from remedy.cli.ledgers import refuse_no_ledger
from remedy.cli.recorded import recorded_action
from remedy.errors import NothingNamed, RemedyError, UsageError
from remedy.holds import Pause, PauseOf
from remedy.limits import parse_duration
from remedy.load.repository import survey_repository
from remedy.readings import parse_time, time_text
from remedy.state.audit_format import AuditType
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.summary import ExitCode
from remedy.text import duration_text, nearest, untrusted

__all__ = ["PauseAsked", "pause_line", "run_pause", "run_unpause"]

_OF_ALL_HOSTS = frozenset({"all", "ungrouped"})
"""Groups that every inventory has and no host is recorded as a member of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseAsked:
    """What a person wants to pause, or to go on with, as it was given: exactly one of the four."""

    rules: Sequence[str] = ()
    groups: Sequence[str] = ()
    hosts: Sequence[str] = ()
    everything: bool = False

    def target(self) -> tuple[PauseOf, str]:
        """
        Return what is meant, and its name ('' for everything).

        Raises:
            UsageError: none of the four was given, or more than one.
        """
        named = [
            *((PauseOf.RULE, name) for name in self.rules),
            *((PauseOf.GROUP, name) for name in self.groups),
            *((PauseOf.HOST, name) for name in self.hosts),
            *([(PauseOf.ALL, "")] if self.everything else []),
        ]
        if len(named) != 1:
            raise UsageError("give exactly one of --rule RULE, --group GROUP, --host HOST and --all; nothing was done")
        ((of, name),) = named
        if of is not PauseOf.ALL and not name.strip():
            raise UsageError(f"--{of.value} is empty; give a name; nothing was done")
        return of, name


def run_pause(options: Options, asked: PauseAsked, reason: str, *, lasts: str | None, until: str | None) -> int:
    """
    Pause something; return 0, or 4 when nobody could check that its name exists.

    Raises:
        UsageError: it is not exactly one thing, or the time of its end is none.
        NothingNamed: there is no rule, group or host of that name.
        StateError: it could not be recorded; nothing is paused.
    """
    of, name = asked.target()
    if not reason.strip():
        raise UsageError("a reason is needed; it is what the next person reads")
    caller, talk, now = caller_now(), Talk(as_json=False), utc_now()
    ends = _end(lasts, until, now=now)
    state, named_by = state_of(options, caller)
    unchecked = _check_name(of, name, options, caller)
    talk.say(f"state {state.path} ({named_by})")
    pause = Pause(of=of, name=name, reason=untrusted(reason), actor=caller.actor, at=now, until=ends)
    if not state.has_ledger():
        talk.say(f"there was no ledger in {state.path} yet; only runs that use this state directory see the pause")
    replaced = _recorded_pause(state, caller, pause, checked=not unchecked)
    talk.result([f"paused: {pause_line(pause, now)}"])
    if replaced is not None:
        talk.result([f"it replaces an earlier pause: {pause_line(replaced, now)}"])
    talk.result(["runs under way start nothing of it any more; what is running there runs to its end"])
    if ends is None:
        talk.result(["it has no end of its own; --for or --until would give it one"])
    talk.result([f"to end it: {pause.cure}"])
    if unchecked:
        talk.say(f"WARNING: nobody could check that there is a {of.value} {untrusted(name)}: {unchecked}")
        talk.say("if that name is misspelt, nothing is paused; `remedy pause --all` and `remedy stop` need no name")
        return int(ExitCode.INCOMPLETE)
    return int(ExitCode.DONE)


def _recorded_pause(state: StateDirectory, caller: Caller, pause: Pause, *, checked: bool) -> Pause | None:
    """Record a pause, in the audit log first; return the one that it replaces."""
    state.prepare()
    ledger = Ledger.open(state.ledger)
    try:
        before = _found(ledger, pause.of, pause.name)
        _refuse_shorter(before, pause)
        facts = {
            **_facts(pause, caller),
            "until": pause.until,
            "name_checked": checked,
            "replaces": before.reason if before is not None else None,
        }
        with recorded_action(state, caller) as audit:
            audit.append(AuditType.PAUSE_SET, facts, sync=True)
            ledger.pause(pause)
    finally:
        ledger.close()
    return before


def _refuse_shorter(before: Pause | None, pause: Pause) -> None:
    """
    Refuse to end somebody's pause sooner by setting another one.

    Raises:
        UsageError: the pause that is there lasts longer; it names who set it, and how to end it.
    """
    if before is None or before.is_over(pause.at) or pause.until is None:
        return
    if before.until is None or before.until > pause.until:
        said = pause_line(before, pause.at)
        raise UsageError(f"it is paused for longer already: {said}; nothing was changed; to end it: {before.cure}")


def run_unpause(options: Options, asked: PauseAsked, reason: str) -> int:
    """
    End a pause, and say what it was.

    Raises:
        UsageError: it is not exactly one thing.
        NothingNamed: nothing like that is paused; the message lists what is.
        StateError: it could not be recorded; the pause holds.
    """
    of, name = asked.target()
    caller, talk, now = caller_now(), Talk(as_json=False), utc_now()
    state, named_by = state_of(options, caller)
    refuse_no_ledger(state)
    talk.say(f"state {state.path} ({named_by})")
    state.prepare()
    ledger = Ledger.open(state.ledger)
    try:
        pause = _found(ledger, of, name)
        if pause is None:
            raise NothingNamed(_not_paused(of, name, ledger.pauses(), state, now=now))
        said = reason.strip() or "no reason was given"
        with recorded_action(state, caller) as audit:
            facts = {**_facts(pause, caller), "until": pause.until, "end_reason": untrusted(said)}
            audit.append(AuditType.PAUSE_ENDED, facts, sync=True)
            ledger.unpause(of, name, at=now, actor=caller.actor, reason=untrusted(said))
        left = [each for each in ledger.pauses() if not each.is_over(now)]
    finally:
        ledger.close()
    over = " (its time was over already)" if pause.is_over(now) else ""
    talk.result([f"no longer paused{over}: {pause} (it said: {pause.reason})"])
    talk.result([f"still paused: {pause_line(each, now)}" for each in left])
    return int(ExitCode.DONE)


def pause_line(pause: Pause, now: datetime) -> str:
    """Return what is paused, until when, by whom and why, in one line."""
    if pause.until is None:
        ends = "until somebody ends it"
    elif pause.is_over(now):
        ends = f"over since {_second(pause.until)}"
    else:
        ends = f"until {_second(pause.until)} (in {duration_text(round((pause.until - now).total_seconds()))})"
    return untrusted(f"{pause}, {ends}: {pause.reason} (by {pause.actor}, {_second(pause.at)})")


def _second(at: datetime) -> str:
    return time_text(at.replace(microsecond=0))


def _found(ledger: Ledger, of: PauseOf, name: str) -> Pause | None:
    return next((each for each in ledger.pauses() if (each.of, each.name) == (of, name)), None)


def _facts(pause: Pause, caller: Caller) -> dict[str, object]:
    """Return the facts of a record; a rule or host by the word that all records have it under."""
    facts: dict[str, object] = {"actor": caller.actor, "of": pause.of.value, "reason": pause.reason}
    if pause.of is not PauseOf.ALL:
        facts[pause.of.value] = pause.name
    return facts


def _not_paused(of: PauseOf, name: str, pauses: Sequence[Pause], state: StateDirectory, *, now: datetime) -> str:
    what = "everything" if of is PauseOf.ALL else f"{of.value} {untrusted(name)}"
    near = nearest(name, [each.name for each in pauses if each.of is of]) if name else ()
    hint = f" ({near[0]}?)" if near else ""
    there = "\n".join(f"  {pause_line(each, now)}" for each in pauses)
    listed = f"; what is:\n{there}" if pauses else "; nothing is"
    return f"{what} is not paused in {state.path}{hint}{listed}"


def _end(lasts: str | None, until: str | None, *, now: datetime) -> datetime | None:
    """Return when a pause ends by itself; None: never."""
    if lasts is not None and until is not None:
        raise UsageError("--for and --until both say when it ends; give one of them; nothing was done")
    if lasts is not None:
        try:
            seconds = parse_duration(lasts)
        except ValueError as exc:
            raise UsageError(f"--for: {exc}; nothing was done") from exc
        if not seconds:
            raise UsageError("--for 0s pauses nothing; nothing was done")
        return now + timedelta(seconds=seconds)
    if until is None:
        return None
    try:
        ends = parse_time(until)
    except ValueError as exc:
        cure = "write a time with its zone, such as 2026-12-01T06:00Z or 2026-12-01T06:00+01:00"
        raise UsageError(f"--until {untrusted(until)}: {cure}; nothing was done") from exc
    if ends <= now:
        raise UsageError(f"--until {time_text(ends)} is past: it is {_second(now)}; nothing was done")
    return ends.astimezone(UTC)


def _check_name(of: PauseOf, name: str, options: Options, caller: Caller) -> str:
    """
    Refuse a name that does not exist; return why that could not be found out, '' when it was.

    Raises:
        NothingNamed: there is none of that name; the nearest ones are in the message.
    """
    if of is PauseOf.ALL:
        return ""
    if of is PauseOf.GROUP and name in _OF_ALL_HOSTS:
        raise UsageError(f"--group {name} names no group of its own; for everything: --all; nothing was done")
    try:
        known, where = _known_names(of, options, caller)
    except (RemedyError, OSError) as exc:
        return untrusted(str(exc).splitlines()[0] if str(exc) else type(exc).__name__)
    if name not in known:
        near = nearest(name, known)
        hint = f"; {', '.join(near)}?" if near else ""
        raise NothingNamed(f"there is no {of.value} {untrusted(name)} in {where}{hint}; nothing was paused")
    return ""


def _known_names(of: PauseOf, options: Options, caller: Caller) -> tuple[frozenset[str], str]:
    """Return the names of all rules, groups or hosts, and where they are from; a broken rule has its name too."""
    config = read_config(options, caller)
    if of is not PauseOf.RULE:
        inventory, where = load_hosts_only(config, caller.directory)
        return frozenset(inventory.hosts if of is PauseOf.HOST else inventory.groups), where
    names = survey_repository(config.rules).rules_found if config.rules is not None else frozenset()
    if config.rules is None or not names:
        raise UsageError("no rules are named or found; name them with --rules DIR")
    return names, str(shown_path(config.rules, caller.directory))
