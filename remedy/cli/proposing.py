"""What a plan is proposed from: readings of now or of a file, history, and how the plan is shown."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from platform import node

from remedy.cli.caller import utc_now
from remedy.cli.commands.scan import collect_now, judge_all
from remedy.cli.composition import Loaded
from remedy.cli.console import Talk
from remedy.cli.ledgers import copied_ledger
from remedy.cli.stopping import Stopping
from remedy.errors import UsageError
from remedy.load.repository import Repository
from remedy.model import Finding, Reading, ReadingStatus, Verdict
from remedy.plan import NO_HISTORY, History, Plan, Unseen
from remedy.plan_file import PLAN_BYTES_MAX, Standing, plan_file_text, plan_of_file
from remedy.planning import build_plan
from remedy.readings import ReadingsFile, parse_readings
from remedy.render.moments import seconds_text
from remedy.render.plan import plan_text
from remedy.render.scan import scan_text, unknown_text
from remedy.run.collect import Collection, Runners
from remedy.run.recovery import budgets_used, busy_hosts, history_of, left_open
from remedy.state.ledger import Ledger
from remedy.state.locks import Locks
from remedy.summary import (
    Coverage,
    HostEnd,
    HostEnding,
    coverage,
)
from remedy.verdicts import Judgement, by_host, changed_signals, only_fresh

__all__ = [
    "Proposal",
    "Seen",
    "fuses_of",
    "history_now",
    "ledger_copy",
    "plan_now",
    "planned_before",
    "propose",
    "seen_in_file",
    "seen_now",
    "show_plan",
    "write_plan",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was collected (or read from a file, then `as_of` is its time) and what the rules say of it."""

    collection: Collection
    judgements: tuple[Judgement, ...]
    as_of: datetime | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All matching rows."""
        return tuple(finding for judgement in self.judgements for finding in judgement.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A plan, and what it was made of: what was seen just now, or (None) a plan file that still stands."""

    plan: Plan
    seen: Seen | None

    @property
    def host_ends(self) -> tuple[HostEnd, ...]:
        """How the selected hosts ended at collection; of a plan file: its hosts, and those it had not seen."""
        if self.seen is not None:
            return self.seen.collection.host_ends
        unseen, reason = self.plan.unseen, "when the plan was made"
        collected = {*self.plan.hosts, *unseen.unknown}
        return (
            *(HostEnd(host=name, ending=HostEnding.COLLECTED) for name in sorted(collected)),
            *(HostEnd(host=name, ending=HostEnding.UNREACHABLE, reason=reason) for name in unseen.unreachable),
            *(HostEnd(host=name, ending=HostEnding.REFUSED, reason=reason) for name in unseen.refused),
        )

    @property
    def coverage(self) -> Coverage:
        """How much was seen."""
        found = coverage(self.host_ends, self.seen.judgements if self.seen is not None else ())
        if self.seen is not None:
            return found
        unknown = self.plan.unseen.unknown
        return replace(found, unknown=unknown, judged=tuple(name for name in found.judged if name not in unknown))

    @property
    def interrupted(self) -> bool:
        """Whether somebody asked to stop while hosts were collected."""
        return self.seen is not None and self.seen.collection.interrupted


@contextmanager
def ledger_copy(loaded: Loaded) -> Iterator[Ledger | None]:
    """Yield a copy of the ledger, or None when there is none; an unreadable one is an error."""
    if not loaded.state.has_ledger():
        yield None
        return
    with copied_ledger(loaded.state) as ledger:
        yield ledger


def seen_in_file(loaded: Loaded, path: str, talk: Talk) -> Seen:
    """Return what a readings file says; its time is the time."""
    kept = _read_file(path, loaded)
    selected = set(loaded.selection.hosts)
    readings = [reading for reading in kept.readings if reading.host in selected]
    current = tuple(changed_signals(readings, kept.digests, loaded.repository.signals))
    found = by_host(readings)
    ends = tuple(_end_of_file(name, found.get(name, {})) for name in loaded.selection.hosts)
    talk.say(f"readings   {path}, as of {seconds_text(kept.collected_at)}")
    collection = Collection(host_ends=ends, readings=current, collected_at=kept.collected_at)
    judgements = judge_all(loaded, current, now=kept.collected_at)
    unread = _unread(kept, loaded.repository)
    signals = {name: rule.signal for name, rule in loaded.repository.rules.items()}
    return Seen(
        collection=collection,
        judgements=tuple(_said_unread(each, unread.get(signals[each.rule], "")) for each in judgements),
        as_of=kept.collected_at,
    )


def _unread(kept: ReadingsFile, repository: Repository) -> Mapping[str, str]:
    """Return why the file has no readings of a signal as it is now, by signal: it is new, or is another than then."""
    said = {}
    for name, signal in repository.signals.items():
        if name not in kept.digests:
            said[name] = f"no readings: signal {name} is new, the file knows none of that name"
        elif kept.digests[name] != signal.digest:
            said[name] = f"no readings: signal {name} has changed since they were taken"
    return said


def _said_unread(judgement: Judgement, why: str) -> Judgement:
    return replace(judgement, reason=why) if why and judgement.verdict is Verdict.UNKNOWN else judgement


def _read_file(path: str, loaded: Loaded) -> ReadingsFile:
    try:
        lines = Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"--readings {path}: {getattr(exc, 'strerror', None) or 'it is not UTF-8'}") from exc
    return parse_readings(lines, loaded.repository.signals, file=path)


def _end_of_file(name: str, readings: Mapping[str, Reading]) -> HostEnd:
    """Return how a host had ended when the file was written; one it does not know counts as not reached."""
    if not readings:
        return HostEnd(host=name, ending=HostEnding.UNREACHABLE, reason="the file has no readings of it")
    endings = {ReadingStatus.UNREACHABLE: HostEnding.UNREACHABLE, ReadingStatus.REFUSED: HostEnding.REFUSED}
    for reading in readings.values():
        if reading.status in endings:
            return HostEnd(host=name, ending=endings[reading.status], reason=reading.reason)
    return HostEnd(host=name, ending=HostEnding.COLLECTED)


def seen_now(
    loaded: Loaded,
    runners: Runners,
    talk: Talk,
    stop: Stopping,
    *,
    tell: Callable[[HostEnd], None] | None = None,
) -> Seen:
    """Collect from the selected hosts and judge them; `tell` is told of each host's end as it comes."""
    collection = collect_now(loaded, runners, talk, stop, tell=tell)
    return Seen(collection=collection, judgements=judge_all(loaded, collection.readings, now=collection.collected_at))


def history_now(loaded: Loaded, ledger: Ledger, seen: Seen) -> History:
    """Return what the ledger knows of these findings, as an apply would find it."""
    locks = Locks(loaded.state.locks, run_id="", what="", pid=0, controller=node(), clock=utc_now)
    opened = left_open(ledger.open_intents(), is_alive=locks.run_is_held, now=seen.collection.collected_at)
    rules = [scope.rule.name for scope in loaded.selection.scopes]
    used = budgets_used(
        ledger,
        rules=rules,
        per_rule=loaded.precautions.per_rule,
        all_rules=loaded.precautions.all_rules,
        now=seen.collection.collected_at,
    )
    return history_of(ledger, seen.findings, rules=rules, busy=busy_hosts(opened.running), over=opened.over, used=used)


def plan_now(loaded: Loaded, collection: Collection, judgements: tuple[Judgement, ...]) -> Plan:
    """Return what a plan of these judgements would run and hold back, by the ledger as it is now."""
    seen = Seen(collection=collection, judgements=judgements)
    with ledger_copy(loaded) as ledger:
        history = history_now(loaded, ledger, seen) if ledger is not None else NO_HISTORY
    return propose(loaded, seen, history, accept_matched=None)


def propose(loaded: Loaded, seen: Seen, history: History, *, accept_matched: int | None) -> Plan:
    """Return the plan of what was seen; its time is that of the last reading."""
    now = seen.collection.collected_at
    fresh = by_host(only_fresh(seen.collection.readings, loaded.repository.signals, now=now))
    covered = coverage(seen.collection.host_ends, seen.judgements)
    return build_plan(
        loaded.selection.scopes,
        seen.judgements,
        fresh,
        history=history,
        endpoints={end.host: end.endpoint for end in seen.collection.host_ends if end.endpoint},
        accept_matched=accept_matched,
        created_at=now,
        precautions=loaded.precautions,
        unseen=Unseen(unknown=covered.unknown, unreachable=covered.unreachable, refused=covered.refused),
    )


def planned_before(loaded: Loaded, path: str) -> Plan:
    """
    Return the plan of a file, which must stand as it was reviewed.

    Raises:
        UsageError: it cannot be read, is no plan, was edited, or what it stands on has changed.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(PLAN_BYTES_MAX + 1)
        if len(raw) > PLAN_BYTES_MAX:
            raise UsageError(f"--plan {path}: it is longer than {PLAN_BYTES_MAX} bytes")
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"--plan {path}: {getattr(exc, 'strerror', None) or 'it is not UTF-8'}") from exc
    standing = Standing(
        rules=loaded.repository.rules,
        looks_at={scope.rule.name: frozenset(host.name for host in scope.hosts) for scope in loaded.selection.scopes},
        signals=loaded.repository.signals,
        hosts=loaded.inventory.hosts,
        precautions=loaded.precautions,
    )
    return plan_of_file(text, standing, file=path)


def write_plan(plan: Plan, path: str, talk: Talk) -> None:
    """
    Write a plan to a file, whole or not at all, readable by its owner only.

    Raises:
        UsageError: it cannot be written.
    """
    target = Path(path)
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise UsageError(f"--plan-out {path}: it exists and is no plain file; nothing was started")
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=target.parent, prefix=".plan-", delete=False
        ) as file:
            aside = Path(file.name)
            try:
                file.write(plan_file_text(plan))
                file.flush()
                os.fsync(file.fileno())
                aside.replace(target)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise
    except OSError as exc:
        raise UsageError(f"--plan-out {path}: {exc.strerror}; nothing was started") from exc
    talk.say(f"plan file  {path}; carry it out with: remedy apply --plan {path}")


def fuses_of(plan: Plan) -> tuple[str, ...]:
    """Return which rules' fuses are blown, and why."""
    return tuple(f"{rule_plan.rule.name}: {rule_plan.fuse}" for rule_plan in plan.rules if rule_plan.fuse)


def show_plan(loaded: Loaded, plan: Plan, seen: Seen | None, talk: Talk) -> None:
    """Show the plan; for hosts that were named, also the rows that are well."""
    named = loaded.selection.named
    if seen is None:
        talk.result(plan_text(plan, named=tuple(plan.hosts)))
        return
    if named:
        rules = [scope.rule for scope in loaded.selection.scopes]
        found = by_host(seen.collection.readings)
        signals = loaded.repository.signals
        talk.result(scan_text(rules, seen.judgements, found, signals=signals, named=named, matches=False))
    talk.result(unknown_text(seen.judgements, seen.collection.host_ends, named=named))
    talk.result(plan_text(plan, named=named))
