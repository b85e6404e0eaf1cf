"""A real `remedy apply`: lock, collect, plan, ask, apply, report."""

import os
import time
from platform import node
from typing import Any

from remedy import __version__
from remedy.cli.asked import ApplyFlags
from remedy.cli.caller import Caller, new_run_id, utc_now
from remedy.cli.composition import Loaded, Options, make_runners, secrets_of
from remedy.cli.console import Talk
from remedy.cli.log import open_log
from remedy.cli.proposing import Proposal, fuses_of, history_now, propose, seen_now, show_plan, write_plan
from remedy.cli.readings_kept import keep_readings
from remedy.cli.stopping import Stopping, stopping
from remedy.cli.watching import Watching
from remedy.limits import Limit
from remedy.model import Mode
from remedy.plan import Plan
from remedy.render.apply import apply_json, summary_text
from remedy.render.scan import coverage_text
from remedy.run.apply import Applied, Applying
from remedy.run.collect import Runners
from remedy.run.evidence import Evidence
from remedy.run.host_work import Surroundings
from remedy.run.recovery import brake_dead_runs, close_over, over_for_certain
from remedy.run.secret_params import references_of_plan
from remedy.state.audit import AuditLog
from remedy.state.audit_format import AuditType
from remedy.state.kept import Kept
from remedy.state.ledger import Ledger
from remedy.state.locks import Locks
from remedy.state.reserve import Reserve
from remedy.summary import (
    ExitCode,
    Summary,
    exit_code,
    outcome_counts,
    pending_executions,
)
from remedy.text import counted

__all__ = ["RealRun"]


class RealRun:
    """One `remedy apply` that may change hosts."""

    def __init__(
        self,
        loaded: Loaded,
        options: Options,
        flags: ApplyFlags,
        talk: Talk,
        caller: Caller,
        *,
        planned: Plan | None = None,
    ) -> None:
        self._loaded = loaded
        self._options = options
        self._flags = flags
        self._talk = talk
        self._caller = caller
        self._planned = planned
        self._secrets = secrets_of(loaded, caller)
        self._run_id = new_run_id(utc_now())
        self._log: Any = None

    def carry_out(self, limit: Limit) -> int:
        """Lock, collect, plan, ask, apply, report; return the exit code."""
        loaded, talk = self._loaded, self._talk
        runners = make_runners(self._options, self._caller, loaded.inventory, secrets=self._secrets)
        loaded.state.prepare()
        talk.say(*loaded.header)
        stopped, frozen = loaded.state.stop_reason(), loaded.frozen
        if stopped or frozen:
            said = f"stopped: {stopped}; nobody was contacted; `remedy start` lifts it"
            talk.say(said if stopped else f"{frozen}; nobody was contacted")
            if talk.as_json:
                code = int(ExitCode.HALTED)
                talk.result_json(
                    {"apply": 1, "run": self._run_id, "stopped": stopped or frozen, "exit_code": code, "outcomes": []}
                )
            return int(ExitCode.HALTED)
        self._log = open_log(loaded.state.log / f"{self._run_id}.log")
        self._log.info("run.started", run=self._run_id, command=self._caller.command)
        locks = self._locks()
        with locks.run(self._run_id), stopping() as stop:
            reserve = Reserve.create(loaded.state.reserve)
            ledger = Ledger.open(loaded.state.ledger, free_reserve=reserve.free)
            try:
                audit = AuditLog.create(loaded.state.audit, self._run_id, utc_now, reserve=reserve)
                try:
                    evidence = Evidence(
                        ledger,
                        audit,
                        run_id=self._run_id,
                        clock=utc_now,
                        outputs=Kept(loaded.state.outputs),
                        sources=Kept(loaded.state.sources),
                        witness=talk.say,
                    )
                    around = self._surroundings(evidence, locks, runners)
                    return self._within(ledger, audit, evidence, around, stop, limit)
                finally:
                    audit.close()
            finally:
                ledger.close()

    def _locks(self) -> Locks:
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
            freezes=self._loaded.freezes,
            on_bug=on_bug,
            caller=f"{self._caller.actor} on {node()}, run {self._run_id}",
        )

    def _within(
        self, ledger: Ledger, audit: AuditLog, evidence: Evidence, around: Surroundings, stop: Stopping, limit: Limit
    ) -> int:
        flags, talk = self._flags, self._talk
        facts = {**self._loaded.facts, "version": __version__, "controller": node(), "pid": str(os.getpid())}
        asked = {"accept_matched": flags.accept_matched, "plan_file": flags.plan, "from_run": flags.from_run}
        facts.update({name: str(value) for name, value in asked.items() if value is not None})
        evidence.open(actor=self._caller.identity, command=self._caller.command, facts=facts)
        # An id that is shown is one that can be asked for: from here on there is an audit file of it.
        talk.say(f"run        {self._run_id}")
        self._close_dead(ledger, audit, evidence, around.locks)
        proposal = self._proposal(ledger, around, stop)
        plan = proposal.plan
        if flags.plan_out is not None:
            write_plan(plan, flags.plan_out, talk)
        if not talk.as_json:
            show_plan(self._loaded, plan, proposal.seen, talk)
            talk.result(coverage_text(proposal.coverage, proposal.host_ends))
        if unread := self._unread(plan):
            return self._not_agreed(proposal, evidence, stop, why=unread)
        if plan.executions and not stop.asked() and not self._agreed(plan, stop):
            return self._not_agreed(proposal, evidence, stop)
        self._note_decisions(plan, evidence)
        evidence.begin(plan, actor=self._caller.actor, command=self._caller.command)
        applied = self._apply(plan, around, stop)
        summary = self._summary(proposal, applied, interrupted=proposal.interrupted or applied.interrupted)
        code = int(exit_code(summary, max_unseen=limit, detailed=False))
        evidence.end(code, counts=outcome_counts(applied.ends))
        self._log.info("run.ended", exit_code=code)
        self._report(plan, summary, code, head=evidence.head)
        return code

    def _proposal(self, ledger: Ledger, around: Surroundings, stop: Stopping) -> Proposal:
        """Return the plan of the file that was named, or of what is seen now."""
        if self._planned is not None:
            return Proposal(plan=self._planned, seen=None)
        loaded = self._loaded
        seen = seen_now(loaded, around.runners, self._talk, stop)
        keep_readings(loaded, seen.collection, self._talk)
        history = history_now(loaded, ledger, seen)
        return Proposal(plan=propose(loaded, seen, history, accept_matched=self._flags.accept_matched), seen=seen)

    def _unread(self, plan: Plan) -> str:
        """Return which secrets of a plan cannot be read, why, and what needs them; '' when all can."""
        reasons = []
        for reference, needed_by in sorted(references_of_plan(plan, self._loaded.repository.signals).items()):
            reasons += [f"{needed_by}: {why}" for why in self._secrets.read_ahead([reference])]
        return f"remedy: {'; '.join(reasons)}" if reasons else ""

    def _close_dead(self, ledger: Ledger, audit: AuditLog, evidence: Evidence, locks: Locks) -> None:
        """Name, in this run's audit file, the executions that dead runs left open and that are over by now."""
        over = over_for_certain(ledger, is_alive=locks.run_is_held, now=utc_now())
        self._talk.say(*close_over(ledger, audit, evidence, over))
        self._talk.say(*brake_dead_runs(ledger, audit, evidence, is_alive=locks.run_is_held))

    def _note_decisions(self, plan: Plan, evidence: Evidence) -> None:
        """Record a fuse that a person let through, and a hold that a person lifted."""
        override = plan.precautions.override
        if override is not None and not plan.executions:
            self._talk.say(f"the override of {override.hold.value} lifted nothing that could run now")
        elif override is not None:
            facts = {"hold": override.hold.value, "rule": override.rule, "host": override.host}
            said = {"reason": override.reason, "actor": self._caller.actor}
            evidence.note(AuditType.HOLD_OVERRIDDEN, {**facts, **said})
        for rule_plan in plan.rules:
            # Also of a plan file: it was let through when the plan was made, and is carried out now.
            over = rule_plan.rule.mode is Mode.FIX and rule_plan.matched > rule_plan.matched_max
            if over and not rule_plan.fuse:
                counts = {"matched": rule_plan.matched, "matched_max": rule_plan.matched_max}
                whose = {"rule": rule_plan.rule.name, "actor": self._caller.actor}
                evidence.note(AuditType.FUSE_ACCEPTED, {**counts, **whose})

    def _not_agreed(self, proposal: Proposal, evidence: Evidence, stop: Stopping, *, why: str = "not agreed") -> int:
        code = int(ExitCode.INTERRUPTED if stop.asked() else ExitCode.COULD_NOT_RUN)
        evidence.end(code, counts={})
        self._talk.say(f"{why}; nothing was started; evidence: remedy audit show --run {self._run_id}")
        if self._talk.as_json:
            summary = Summary(coverage=proposal.coverage, host_ends=())
            document = apply_json(proposal.plan, summary, run_id=self._run_id, exit_code=code, dry_run=False)
            self._talk.result_json(document)
        return code

    def _agreed(self, plan: Plan, stop: Stopping) -> bool:
        if self._flags.yes or (self._planned is not None and not self._caller.is_person):
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

    def _summary(self, proposal: Proposal, applied: Applied, *, interrupted: bool) -> Summary:
        return Summary(
            coverage=proposal.coverage,
            host_ends=proposal.host_ends,
            held=proposal.plan.held,
            fuses=fuses_of(proposal.plan),
            ends=applied.ends,
            relapsed=applied.relapsed,
            halts=applied.halts,
            stopped="" if interrupted else applied.stopped,
            interrupted=interrupted,
        )

    def _report(self, plan: Plan, summary: Summary, code: int, *, head: str) -> None:
        talk = self._talk
        if talk.as_json:
            document = apply_json(plan, summary, run_id=self._run_id, exit_code=code, dry_run=False)
            talk.result_json({**document, "audit_head": head})
            return
        talk.result(["", *summary_text(summary)])
        for halt in summary.halts:
            if halt.by == "max_bad":
                talk.say(f"{halt.rule} is paused until: remedy release {halt.rule} --reason TEXT")
        talk.say(f"evidence: remedy runs {self._run_id}; remedy audit verify --head {head}")
