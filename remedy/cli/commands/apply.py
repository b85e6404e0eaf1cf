"""`remedy apply`: plan, ask, carry out, prove; with --dry-run only plan."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from platform import node
from typing import Any

from remedy import __version__
from remedy.cli.caller import Caller, caller_now, new_run_id, utc_now
from remedy.cli.commands.scan import collect_now, judge_all
from remedy.cli.composition import Loaded, Options, load, make_runners, parse_max_unseen
from remedy.cli.console import Talk
from remedy.cli.log import open_log
from remedy.cli.readings_kept import keep_readings
from remedy.cli.stopping import Stopping, stopping
from remedy.cli.watching import Watching
from remedy.errors import UsageError
from remedy.limits import Limit
from remedy.model import Finding, Reading, ReadingStatus
from remedy.plan import NO_HISTORY, History, Plan
from remedy.planning import build_plan
from remedy.readings import ReadingsFile, parse_readings, time_text
from remedy.render.apply import apply_json, summary_text
from remedy.render.plan import plan_text
from remedy.render.scan import coverage_text, scan_text, unknown_text, unseen_text
from remedy.run.apply import Applied, Applying
from remedy.run.collect import Collection, Runners
from remedy.run.evidence import Evidence
from remedy.run.host_work import Surroundings
from remedy.run.recovery import busy_hosts, history_of, left_open, over_for_certain
from remedy.state.audit import AuditLog
from remedy.state.audit_format import AuditType
from remedy.state.ledger import Ledger
from remedy.state.locks import Locks
from remedy.summary import (
    ExitCode,
    HostEnd,
    HostEnding,
    RuleHalt,
    Summary,
    coverage,
    exit_code,
    outcome_counts,
    pending_executions,
)
from remedy.text import counted
from remedy.verdicts import Judgement, by_host, changed_signals, only_fresh

__all__ = ["ApplyFlags", "plan_now", "run_apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyFlags:
    """The flags of apply alone."""

    dry_run: bool
    readings: str | None
    yes: bool
    accept_matched: int | None
    max_unseen: str
    detailed_exitcode: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What was collected (or read from a file) and what the rules say of it."""

    collection: Collection
    judgements: tuple[Judgement, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for judgement in self.judgements for finding in judgement.findings)


def run_apply(options: Options, flags: ApplyFlags) -> int:
    """Apply, or show what would be applied, and return the exit code."""
    caller = caller_now()
    limit = _check_flags(options, flags, caller)
    talk = Talk(as_json=options.output == "json")
    loaded = load(options, caller, talk, guess=False)
    if flags.dry_run:
        return _dry_run(loaded, options, flags, talk, limit, caller)
    return _RealRun(loaded, options, flags, talk, caller).carry_out(limit)


def _check_flags(options: Options, flags: ApplyFlags, caller: Caller) -> Limit:
    """Refuse what cannot be meant, before anything is read or anybody contacted."""
    if flags.readings is not None and not flags.dry_run:
        raise UsageError("--readings judges the past: it goes with --dry-run only; nobody was contacted")
    if flags.readings is not None and not flags.readings.strip():
        raise UsageError("--readings is empty; name a readings file; nobody was contacted")
    if flags.detailed_exitcode and not flags.dry_run:
        raise UsageError("--detailed-exitcode goes with --dry-run")
    if flags.accept_matched is not None and len(options.rule) != 1:
        raise UsageError("--accept-matched lets one rule's fuse through: name it with exactly one --rule")
    if not flags.dry_run and not flags.yes and not caller.is_terminal:
        raise UsageError("this is no terminal to ask on: give --yes (or --dry-run); nobody was contacted")
    return parse_max_unseen(flags.max_unseen)


# The dry run: nothing that can send a fix is built here.


def _dry_run(loaded: Loaded, options: Options, flags: ApplyFlags, talk: Talk, limit: Limit, caller: Caller) -> int:
    talk.say(*loaded.header)
    stopped = loaded.state.stop_reason()
    with _ledger_copy(loaded) as ledger, stopping() as stop:
        if ledger is None:
            talk.say("ledger     none; cooldowns not considered")
        if flags.readings is not None:
            seen = _from_file(loaded, flags.readings, talk)
        else:
            seen = _collect(loaded, make_runners(options, caller), talk, stop)
        history = _history(loaded, ledger, seen) if ledger is not None else NO_HISTORY
    plan = _plan(loaded, seen, history, accept_matched=flags.accept_matched)
    summary = Summary(
        coverage=coverage(seen.collection.host_ends, seen.judgements),
        host_ends=seen.collection.host_ends,
        held=plan.held,
        fuses=_fuses(plan),
        pending=pending_executions(plan),
        stopped=stopped,
        interrupted=seen.collection.interrupted,
    )
    code = int(exit_code(summary, max_unseen=limit, detailed=flags.detailed_exitcode))
    if talk.as_json:
        talk.result_json(apply_json(plan, summary, run_id="", exit_code=code, dry_run=True))
        return code
    _show_plan(loaded, plan, seen, talk)
    talk.result(coverage_text(summary.coverage, summary.host_ends))
    if flags.readings is not None:
        talk.result([f"as of {time_text(seen.collection.collected_at)} ({flags.readings}); nobody was contacted"])
    return code


@contextmanager
def _ledger_copy(loaded: Loaded) -> Iterator[Ledger | None]:
    """Yield a copy of the ledger, or None when there is none; an unreadable one is an error."""
    if not loaded.state.has_ledger():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="remedy-") as aside:
        ledger = Ledger.open_copy(loaded.state.ledger, Path(aside))
        try:
            yield ledger
        finally:
            ledger.close()


def _from_file(loaded: Loaded, path: str, talk: Talk) -> _Seen:
    """Return what a readings file says; its time is the time."""
    kept = _read_file(path, loaded)
    selected = set(loaded.selection.hosts)
    readings = [reading for reading in kept.readings if reading.host in selected]
    current = tuple(changed_signals(readings, kept.digests, loaded.repository.signals))
    found = by_host(readings)
    ends = tuple(_end_of_file(name, found.get(name, {})) for name in loaded.selection.hosts)
    talk.say(f"readings   {path}, as of {time_text(kept.collected_at)}")
    collection = Collection(host_ends=ends, readings=current, collected_at=kept.collected_at)
    return _Seen(collection=collection, judgements=judge_all(loaded, current, now=kept.collected_at))


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


def _collect(loaded: Loaded, runners: Runners, talk: Talk, stop: Stopping) -> _Seen:
    collection = collect_now(loaded, runners, talk, stop)
    return _Seen(collection=collection, judgements=judge_all(loaded, collection.readings, now=collection.collected_at))


def _history(loaded: Loaded, ledger: Ledger, seen: _Seen) -> History:
    locks = Locks(loaded.state.locks, run_id="", what="", pid=0, controller=node(), clock=utc_now)
    opened = left_open(ledger.open_intents(), is_alive=locks.run_is_held, now=seen.collection.collected_at)
    rules = [scope.rule.name for scope in loaded.selection.scopes]
    return history_of(ledger, seen.findings, rules=rules, busy=busy_hosts(opened.running), over=opened.over)


def plan_now(loaded: Loaded, collection: Collection, judgements: tuple[Judgement, ...]) -> Plan:
    """Return what a plan of these judgements would run and hold back, by the ledger as it is now."""
    seen = _Seen(collection=collection, judgements=judgements)
    with _ledger_copy(loaded) as ledger:
        history = _history(loaded, ledger, seen) if ledger is not None else NO_HISTORY
    return _plan(loaded, seen, history, accept_matched=None)


def _plan(loaded: Loaded, seen: _Seen, history: History, *, accept_matched: int | None) -> Plan:
    now = seen.collection.collected_at
    fresh = by_host(only_fresh(seen.collection.readings, loaded.repository.signals, now=now))
    return build_plan(
        loaded.selection.scopes,
        seen.judgements,
        fresh,
        history=history,
        endpoints={end.host: end.endpoint for end in seen.collection.host_ends if end.endpoint},
        accept_matched=accept_matched,
        created_at=now,
    )


def _fuses(plan: Plan) -> tuple[str, ...]:
    return tuple(f"{rule_plan.rule.name}: {rule_plan.fuse}" for rule_plan in plan.rules if rule_plan.fuse)


def _show_plan(loaded: Loaded, plan: Plan, seen: _Seen, talk: Talk) -> None:
    """Show the plan; for hosts that were named, also the rows that are well."""
    named = loaded.selection.named
    if named:
        rules = [scope.rule for scope in loaded.selection.scopes]
        found = by_host(seen.collection.readings)
        signals = loaded.repository.signals
        talk.result(scan_text(rules, seen.judgements, found, signals=signals, named=named, matches=False))
    talk.result(unknown_text(seen.judgements, seen.collection.host_ends, named=named))
    talk.result(plan_text(plan, named=named))


# The real run.


class _RealRun:
    """One `remedy apply` that may change hosts."""

    def __init__(self, loaded: Loaded, options: Options, flags: ApplyFlags, talk: Talk, caller: Caller) -> None:
        self._loaded = loaded
        self._options = options
        self._flags = flags
        self._talk = talk
        self._caller = caller
        self._run_id = new_run_id(utc_now())
        self._log: Any = None

    def carry_out(self, limit: Limit) -> int:
        """Lock, collect, plan, ask, apply, report; return the exit code."""
        loaded, talk = self._loaded, self._talk
        runners = make_runners(self._options, self._caller)
        loaded.state.prepare()
        talk.say(*loaded.header, f"run        {self._run_id}")
        stopped = loaded.state.stop_reason()
        if stopped:
            talk.say(f"stopped: {stopped}; nobody was contacted; `remedy start` lifts it")
            if talk.as_json:
                code = int(ExitCode.HALTED)
                talk.result_json(
                    {"apply": 1, "run": self._run_id, "stopped": stopped, "exit_code": code, "outcomes": []}
                )
            return int(ExitCode.HALTED)
        self._log = open_log(loaded.state.log / f"{self._run_id}.log")
        self._log.info("run.started", run=self._run_id, command=self._caller.command)
        locks = self._locks()
        with locks.run(self._run_id), stopping() as stop:
            ledger = Ledger.open(loaded.state.ledger)
            try:
                audit = AuditLog.create(loaded.state.audit, self._run_id, utc_now)
                try:
                    evidence = Evidence(ledger, audit, run_id=self._run_id, clock=utc_now)
                    around = self._surroundings(evidence, locks, runners)
                    return self._within(ledger, evidence, around, stop, limit)
                finally:
                    audit.close()
            finally:
                ledger.close()

    def _locks(self) -> Locks:
        import os

        return Locks(
            self._loaded.state.locks,
            run_id=self._run_id,
            what=self._caller.command,
            pid=os.getpid(),
            controller=node(),
            clock=utc_now,
        )

    def _surroundings(self, evidence: Evidence, locks: Locks, runners: Runners) -> Surroundings:
        def on_bug(where: str, exc: BaseException) -> None:
            from remedy.cli.log import write_traceback

            self._talk.say(f"internal error: {where}: {type(exc).__name__}; {write_traceback(exc)}")

        return Surroundings(
            runners=runners,
            signals=self._loaded.repository.signals,
            evidence=evidence,
            locks=locks,
            clock=utc_now,
            monotonic=time.monotonic,
            sleep=time.sleep,
            stop_reason=self._loaded.state.stop_reason,
            on_bug=on_bug,
        )

    def _within(self, ledger: Ledger, evidence: Evidence, around: Surroundings, stop: Stopping, limit: Limit) -> int:
        loaded, talk = self._loaded, self._talk
        facts = {**loaded.facts, "version": __version__, "controller": node()}
        if self._flags.accept_matched is not None:
            facts["accept_matched"] = str(self._flags.accept_matched)
        evidence.open(actor=self._caller.actor, command=self._caller.command, facts=facts)
        self._close_dead(ledger, evidence, around.locks)
        seen = _collect(loaded, around.runners, talk, stop)
        keep_readings(loaded, seen.collection, talk)
        plan = _plan(loaded, seen, _history(loaded, ledger, seen), accept_matched=self._flags.accept_matched)
        if not talk.as_json:
            _show_plan(loaded, plan, seen, talk)
        if plan.executions and not stop.asked() and not self._agreed(plan, stop):
            return self._not_agreed(plan, seen, evidence, stop)
        self._note_accepted(plan, evidence)
        evidence.begin(plan, actor=self._caller.actor, command=self._caller.command)
        applied = self._apply(plan, around, stop)
        summary = self._summary(plan, seen, applied, interrupted=seen.collection.interrupted or applied.interrupted)
        code = int(exit_code(summary, max_unseen=limit, detailed=False))
        evidence.end(code, counts=outcome_counts(applied.ends))
        self._log.info("run.ended", exit_code=code)
        self._report(plan, summary, code)
        return code

    def _close_dead(self, ledger: Ledger, evidence: Evidence, locks: Locks) -> None:
        """Name, in this run's audit file, the executions that dead runs left open and that are over by now."""
        for each in over_for_certain(ledger, is_alive=locks.run_is_held, now=utc_now()):
            evidence.close_dead(each)
            intent = each.intent
            self._talk.say(
                f"{each.closes_as.value}: {intent.rule} on {intent.host}, started by run {intent.run_id}, "
                f"which died; its end was not seen"
            )

    def _note_accepted(self, plan: Plan, evidence: Evidence) -> None:
        """Record a fuse that a person let through."""
        accepted = self._flags.accept_matched
        for rule_plan in plan.rules:
            if accepted is not None and not rule_plan.fuse and rule_plan.matched > rule_plan.matched_max:
                facts = {"rule": rule_plan.rule.name, "matched": rule_plan.matched, "accepted": accepted}
                evidence.note(AuditType.FUSE_ACCEPTED, {**facts, "actor": self._caller.actor})

    def _not_agreed(self, plan: Plan, seen: _Seen, evidence: Evidence, stop: Stopping) -> int:
        code = int(ExitCode.INTERRUPTED if stop.asked() else ExitCode.COULD_NOT_RUN)
        evidence.end(code, counts={})
        self._talk.say("not agreed; nothing was started")
        if self._talk.as_json:
            summary = Summary(coverage=coverage(seen.collection.host_ends, seen.judgements), host_ends=())
            self._talk.result_json(apply_json(plan, summary, run_id=self._run_id, exit_code=code, dry_run=False))
        return code

    def _agreed(self, plan: Plan, stop: Stopping) -> bool:
        if self._flags.yes:
            return True
        count = pending_executions(plan)
        if not count:
            return True
        stop.is_asking_a_person = True
        try:
            return self._talk.ask(f"apply {counted(count, 'execution')} on {counted(len(plan.hosts), 'host')}?")
        except KeyboardInterrupt:
            return False
        finally:
            stop.is_asking_a_person = False

    def _apply(self, plan: Plan, around: Surroundings, stop: Stopping) -> Applied:
        watching = Watching(self._talk, plan, self._log)
        applying = Applying(
            plan,
            self._loaded.selection.scopes,
            around,
            on_progress=watching.see,
            interrupted=stop.asked,
        )
        return applying.carry_out()

    def _summary(self, plan: Plan, seen: _Seen, applied: Applied, *, interrupted: bool) -> Summary:
        halts: Sequence[RuleHalt] = applied.halts
        return Summary(
            coverage=coverage(seen.collection.host_ends, seen.judgements),
            host_ends=seen.collection.host_ends,
            held=plan.held,
            fuses=_fuses(plan),
            ends=applied.ends,
            relapsed=applied.relapsed,
            halts=tuple(halts),
            stopped="" if interrupted else applied.stopped,
            interrupted=interrupted,
        )

    def _report(self, plan: Plan, summary: Summary, code: int) -> None:
        talk = self._talk
        if talk.as_json:
            talk.result_json(apply_json(plan, summary, run_id=self._run_id, exit_code=code, dry_run=False))
            return
        talk.result(["", *unseen_text(summary.host_ends), *summary_text(summary)])
        for halt in summary.halts:
            if halt.by == "max_bad":
                talk.say(f"{halt.rule} is paused until: remedy release {halt.rule} --reason TEXT")
        talk.say(f"evidence: remedy runs {self._run_id}; remedy audit verify")
