"""
The answer of `why --stored`: what the state directory says of one host, judged if rules and inventory are there.

It needs to read the state directory and nothing else: no credential, no runner, no socket.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from remedy.cli.caller import Caller, utc_now
from remedy.cli.composition import Options, precautions_of, read_config, shown_path, state_of
from remedy.cli.hosts_only import load_hosts_quietly
from remedy.cli.ledgers import copied_ledger
from remedy.cli.surroundings import Brakes, brakes_now, frozen_now, surroundings_of
from remedy.errors import NothingNamed, RemedyError, StateError, UsageError
from remedy.gate import freeze_text
from remedy.holds import Pause, PauseOf
from remedy.host_names import hosts_meant
from remedy.load.config import Config
from remedy.load.inventory import Inventory
from remedy.load.repository import Repository, load_repository
from remedy.load.safeguards import FreezesNow
from remedy.model import Finding, Key, Rule, Scope, Verdict
from remedy.next_run import way_ahead
from remedy.precautions import NO_PRECAUTIONS, Precautions
from remedy.readings import time_text
from remedy.remembered import IncidentStanding, PastExecution, Remembered, RuleThen, remember, rules_then
from remedy.render.why_line import ComesNext, StoredAnswer
from remedy.run.scopes import choose_scopes
from remedy.schedule import freeze_over
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.state.readings_store import KeptReadings, StoredHosts, stored_hosts
from remedy.text import counted, nearest, untrusted
from remedy.verdicts import by_host

__all__ = ["AtHand", "answer_of", "at_hand", "meant_host"]

_T = TypeVar("_T")
_NO_READINGS = KeptReadings(said=(), tried=(), digests={})
_OVER = frozenset({IncidentStanding.MENDED, IncidentStanding.WELL_AGAIN, IncidentStanding.AWAITS_SCAN})
_CANDIDATES_MAX = 10
_MEMBERS_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AtHand:
    """
    What there is to answer with: the state directory, and rules, inventory and safeguards as far as they can be read.

    `notes` say what could not be used, and why.
    """

    state: StateDirectory
    named_by: str
    config: Config | None
    repository: Repository | None
    inventory: Inventory | None
    notes: tuple[str, ...]


def at_hand(options: Options, caller: Caller) -> AtHand:
    """
    Return what there is to answer with; what no option names and cannot be used is only noted.

    Raises:
        RemedyError: what an option names cannot be used, or the state directory cannot be found out.
    """
    state, named_by = state_of(options, caller)
    if not state.exists():
        raise StateError(f"there is no state directory {state.path} ({named_by}); name it with --state DIR")
    notes: list[str] = []
    is_named = options.rules is not None or options.inventory is not None
    config = _or_note(lambda: read_config(options, caller), "remedy.yaml", notes, must=is_named)
    repository = inventory = None
    if config is not None and config.rules is not None:
        rules = partial(_rules, config, caller)
        repository = _or_note(rules, "the rules", notes, must=options.rules is not None)
    if config is not None and config.inventory not in (None, "-"):
        hosts = partial(load_hosts_quietly, config, repository, caller.directory)
        inventory = _or_note(hosts, "the inventory", notes, must=options.inventory is not None)
    if not notes:
        missing = [name for name, there in (("rules", repository), ("inventory", inventory)) if there is None]
        notes += [f"no {' and no '.join(missing)} at hand: what was read is shown, and not judged"] if missing else []
    return AtHand(
        state=state,
        named_by=named_by,
        config=config,
        repository=repository,
        inventory=inventory,
        notes=tuple(notes),
    )


def _rules(config: Config, caller: Caller) -> Repository:
    if config.rules is None or not config.rules.is_dir():
        raise UsageError(f"{config.rules} ({config.rules_named_by}) is no folder of rules")
    return load_repository(shown_path(config.rules, caller.directory), today=utc_now().date())


def _or_note(read: Callable[[], _T], what: str, notes: list[str], *, must: bool) -> _T | None:
    """Return what is read, or note that it cannot be used; where an option names it, that is an error."""
    try:
        return read()
    except (RemedyError, OSError) as exc:
        if must:
            raise
        said = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
        notes.append(f"{what} cannot be used, so what was read is not judged: {untrusted(said)}")
        return None


def meant_host(asked: str, names: Sequence[str] | frozenset[str], inventory: Inventory | None) -> str:
    """
    Return the one host that is meant: without case or domain, or by its address, if that is clear.

    Raises:
        NothingNamed: none of that name is known, or several may be meant; they are named.
    """
    hosts = inventory.hosts if inventory is not None else {}
    addresses = {name: host.connection.address for name, host in hosts.items() if host.connection.address}
    found = hosts_meant(asked, {*names, *hosts}, addresses=addresses)
    if len(found) == 1:
        return found[0]
    shown = untrusted(asked, characters_max=80)
    if found:
        more = f" and {len(found) - _CANDIDATES_MAX} more" if len(found) > _CANDIDATES_MAX else ""
        listed = ", ".join(untrusted(name) for name in found[:_CANDIDATES_MAX])
        raise NothingNamed(f"HOST {shown} may be {listed}{more}; write which one")
    group = inventory.groups.get(asked) if inventory is not None else None
    if group:
        some = ", ".join(untrusted(name) for name in group[:_MEMBERS_MAX])
        raise NothingNamed(f"HOST {shown} is a group of {counted(len(group), 'host')}, such as {some}; name one")
    near = nearest(asked, (name for name in {*names, *hosts} if _may_be_guessed(asked, name)))
    raise NothingNamed(f"HOST {shown}: nothing is known of a host of that name{f'; {near[0]}?' if near else ''}")


def _may_be_guessed(asked: str, name: str) -> bool:
    """Say whether a host may be what a person mistyped: never one whose name and whose domain are both others."""
    (host, dot, domain), (other, other_dot, other_domain) = asked.casefold().partition("."), name.partition(".")
    return not (dot and other_dot) or host == other.casefold() or domain == other_domain.casefold()


def answer_of(hand: AtHand, asked: str, *, rule: str | None, now: datetime) -> StoredAnswer:
    """
    Return all that is remembered of a host (and of one rule on it).

    Raises:
        NothingNamed: there is no such host or rule, or it is not clear which host is meant.
        StateError: something of the state directory is there and cannot be read.
    """
    stored = stored_hosts(hand.state.readings)
    if not hand.state.has_ledger():
        return _Answering(hand, stored, None, now).answer(asked, rule)
    with copied_ledger(hand.state) as ledger:
        return _Answering(hand, stored, ledger, now).answer(asked, rule)


class _Answering:
    """Makes one answer, with the ledger open (None: there is none)."""

    def __init__(self, hand: AtHand, stored: StoredHosts | None, ledger: Ledger | None, now: datetime) -> None:
        self._hand = hand
        self._stored = stored
        self._ledger = ledger
        self._now = now
        self._notes = list(hand.notes)
        self._precautions: Precautions = NO_PRECAUTIONS

    def answer(self, asked: str, only: str | None) -> StoredAnswer:
        hand, now = self._hand, self._now
        names = self._stored.names if self._stored is not None else frozenset()
        names |= self._ledger.host_names() if self._ledger is not None else frozenset()
        host = meant_host(asked, names, hand.inventory)
        past = self._ledger.past_executions(host) if self._ledger is not None else ()
        self._check_rule(only, past)
        scopes = self._scopes(host, only)
        signals = hand.repository.signals if hand.repository is not None and scopes is not None else None
        kept = self._stored.of([host], signals) if self._stored is not None else _NO_READINGS
        then = self._rules_then(host, scopes or (), kept)
        remembered = remember(
            host,
            then,
            [each for each in past if only is None or each.rule == only],
            signals=signals or {},
            readings=by_host(kept.said).get(host, {}).values(),
            tried=kept.tried,
            now=now,
        )
        brakes = self._brakes(host, remembered, scopes or ())
        rules = hand.repository.rules if hand.repository is not None else {}
        return StoredAnswer(
            asked=asked,
            only=only or "",
            remembered=remembered,
            titles={name: each.title for name, each in rules.items()},
            comes_next=self._comes_next(host, remembered, scopes or (), brakes),
            brakes=self._brakes_text(host, remembered, scopes or (), brakes),
            notes=tuple(self._notes),
            is_judged=scopes is not None,
            has_ledger=self._ledger is not None,
            max_ages_s={name: (signals or {})[each.signal].max_age_s for name, each in rules.items() if signals},
            now=now,
        )

    def _check_rule(self, only: str | None, past: Sequence[PastExecution]) -> None:
        known = {each.rule for each in past}
        known |= set(self._hand.repository.rules) if self._hand.repository is not None else set()
        if only is not None and only not in known:
            near = nearest(only, known)
            hint = f"; {near[0]}?" if near else ""
            raise NothingNamed(f"RULE {untrusted(only)}: nothing is known of a rule of that name{hint}")

    def _scopes(self, host: str, only: str | None) -> tuple[Scope, ...] | None:
        """Return the rules that look at the host; None when that cannot be known."""
        hand = self._hand
        if hand.repository is None or hand.inventory is None or hand.config is None:
            return None
        if host not in hand.inventory.hosts:
            self._notes.append(f"{host} is not in the inventory: what was read is shown, and not judged")
            return None
        rules: list[Rule] = [each for name, each in sorted(hand.repository.rules.items()) if only in (None, name)]
        try:
            selection = choose_scopes(rules, hand.inventory, limit=host)
            self._precautions = precautions_of(hand.config, hand.inventory, selection)
        except RemedyError as exc:
            self._notes.append(f"the rules do not fit the inventory, so what was read is not judged: {exc}")
            return None
        return selection.scopes

    def _rules_then(self, host: str, scopes: Sequence[Scope], kept: KeptReadings) -> tuple[RuleThen, ...]:
        hand = self._hand
        if hand.inventory is None or hand.repository is None or not scopes:
            return ()
        return rules_then(
            scopes,
            hand.inventory.hosts[host],
            kept.said,
            signals=hand.repository.signals,
            digests=kept.digests,
            now=self._now,
        )

    def _brakes(self, host: str, remembered: Remembered, scopes: Sequence[Scope]) -> Brakes:
        findings = [
            Finding(rule=each.rule, host=host, key=each.key, row=each.row or {}) for each in remembered.incidents
        ]
        config = self._hand.config
        freezes = (
            FreezesNow(config.safeguard_files, may_appear=config.safeguard_files_absent).read
            if config is not None
            else tuple
        )
        return brakes_now(
            self._hand.state,
            self._ledger,
            findings,
            host=host,
            rules=[scope.rule.name for scope in scopes],
            precautions=self._precautions,
            frozen=frozen_now(freezes),
            now=self._now,
        )

    def _comes_next(
        self, host: str, remembered: Remembered, scopes: Sequence[Scope], brakes: Brakes
    ) -> Mapping[tuple[str, Key], ComesNext]:
        """Return what comes next of each incident that is not over, where the rule is at hand."""
        by_rule = {scope.rule.name: scope for scope in scopes}
        matching = [each.rule for each in remembered.incidents if each.verdict is Verdict.MATCH]
        readings = {each.signal: each for each in remembered.readings}
        found: dict[tuple[str, Key], ComesNext] = {}
        for incident in remembered.incidents:
            scope = by_rule.get(incident.rule)
            if scope is None or incident.standing in _OVER:
                continue
            finding = Finding(rule=incident.rule, host=host, key=incident.key, row=incident.row or {})
            around = surroundings_of(
                scope,
                finding,
                brakes=brakes,
                precautions=self._precautions,
                rows=matching.count(incident.rule),
                readings=readings,
                has_row=incident.row is not None,
            )
            (machine,) = [each for each in scope.hosts if each.name == host]
            obstacles, ahead = way_ahead(scope, machine, finding, around=around, now=self._now)
            found[incident.rule, incident.key] = ComesNext(in_the_way=obstacles, next_run=ahead)
        return found

    def _brakes_text(
        self, host: str, remembered: Remembered, scopes: Sequence[Scope], brakes: Brakes
    ) -> tuple[str, ...]:
        """Return what holds everything, or a rule with an incident, back; whether or not the rules are at hand."""
        said = [f"STOPPED: {brakes.stopped}  (remedy start lifts it)"] if brakes.stopped else []
        freeze = freeze_over(self._precautions.freezes, self._now, needed_s=0)
        said += [f"frozen: {brakes.frozen}"] if brakes.frozen else [freeze_text(freeze)] if freeze is not None else []
        if scopes:
            return tuple(untrusted(each) for each in said)  # The rest stands with each incident.
        rules = {incident.rule for incident in remembered.incidents}
        said += [f"{rule} is {why}" for rule, why in brakes.history.breakers.items() if rule in rules]
        groups = self._groups(host)
        for pause in brakes.history.pauses:
            if not pause.is_over(self._now) and _concerns(pause, host, rules, groups):
                said.append(_pause_text(pause, known=pause.of is not PauseOf.GROUP or groups is not None))
        return tuple(untrusted(each) for each in said)

    def _groups(self, host: str) -> tuple[str, ...] | None:
        """Return the groups of the host; None when they are not known."""
        inventory = self._hand.inventory
        return inventory.hosts[host].groups if inventory is not None and host in inventory.hosts else None


def _concerns(pause: Pause, host: str, rules: set[str], groups: tuple[str, ...] | None) -> bool:
    if pause.of is PauseOf.GROUP:
        return groups is None or pause.name in groups
    return pause.of is PauseOf.ALL or pause.name in rules or (pause.of is PauseOf.HOST and pause.name == host)


def _pause_text(pause: Pause, *, known: bool) -> str:
    until = f" until {time_text(pause.until)}" if pause.until is not None else ""
    unsure = "" if known else ", if the host is in that group"
    return f"{pause} is paused{until} by {pause.actor}: {pause.reason} ({pause.cure}){unsure}"
