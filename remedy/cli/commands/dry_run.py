"""A dry run: the plan, and nothing that can send a fix."""

from remedy.cli.asked import ApplyFlags
from remedy.cli.caller import Caller, utc_now
from remedy.cli.composition import Loaded, Options, make_runners, secrets_of
from remedy.cli.console import Talk
from remedy.cli.proposing import (
    Proposal,
    fuses_of,
    history_now,
    ledger_copy,
    propose,
    seen_in_file,
    seen_now,
    show_plan,
    write_plan,
)
from remedy.cli.since import Since
from remedy.cli.stopping import NOTHING_CHANGED, stopping
from remedy.limits import Limit
from remedy.plan import NO_HISTORY, Plan
from remedy.render.dry_run import DryRun, dry_run_json, dry_run_lines, host_line, run_line
from remedy.render.markdown import comment
from remedy.render.moments import seconds_text
from remedy.render.scan import coverage_text
from remedy.summary import HostEnd, Summary, exit_code, pending_executions

__all__ = ["Rehearsal"]


class Rehearsal:
    """One `remedy apply --dry-run`, which can read hosts and change none."""

    def __init__(
        self,
        loaded: Loaded,
        options: Options,
        flags: ApplyFlags,
        talk: Talk,
        caller: Caller,
        *,
        planned: Plan | None = None,
        since: Since | None = None,
    ) -> None:
        self._loaded = loaded
        self._options = options
        self._flags = flags
        self._talk = talk
        self._caller = caller
        self._planned = planned
        self._since = since
        self._no_ledger = False

    def carry_out(self, limit: Limit) -> int:
        """Show what would be done, and return the exit code."""
        flags, talk = self._flags, self._talk
        talk.say(*self._header())
        if self._since is not None:
            talk.say(f"since      {self._since.sentence()}")
        if self._options.output == "jsonl":
            talk.result_line(run_line(self._loaded.facts, at=utc_now()))
        proposal = self._proposal()
        summary = self._summary(proposal)
        code = int(exit_code(summary, max_unseen=limit, detailed=flags.detailed_exitcode))
        if flags.plan_out is not None:
            write_plan(proposal.plan, flags.plan_out, talk)
        self._show(proposal, summary, code)
        return code

    def _header(self) -> tuple[str, ...]:
        """Return the header; offline it names no state, for nothing of it is looked at."""
        if not self._flags.offline:
            return self._loaded.header
        kept = (each for each in self._loaded.header if not each.startswith(("state ", "stop file ")))
        return (*kept, "offline    nobody is contacted; ledger, stop file and pauses are not looked at")

    def _proposal(self) -> Proposal:
        """Return the plan of a file, of saved readings, or of what is seen now."""
        if self._planned is not None:
            return Proposal(plan=self._planned, seen=None)
        loaded, flags, talk = self._loaded, self._flags, self._talk
        if flags.offline and flags.readings is not None:
            self._no_ledger = True
            seen = seen_in_file(loaded, flags.readings, talk)
            return Proposal(plan=propose(loaded, seen, NO_HISTORY, accept_matched=flags.accept_matched), seen=seen)
        with ledger_copy(loaded) as ledger, stopping(ended=NOTHING_CHANGED) as stop:
            if ledger is None:
                self._no_ledger = True
                talk.say("ledger     none; cooldowns not considered")
            if flags.readings is not None:
                seen = seen_in_file(loaded, flags.readings, talk)
            else:
                secrets = secrets_of(loaded, self._caller)
                runners = make_runners(self._options, self._caller, loaded.inventory, secrets=secrets)
                seen = seen_now(loaded, runners, talk, stop, tell=self._tell)
            history = history_now(loaded, ledger, seen) if ledger is not None else NO_HISTORY
        return Proposal(plan=propose(loaded, seen, history, accept_matched=flags.accept_matched), seen=seen)

    def _tell(self, end: HostEnd) -> None:
        if self._options.output == "jsonl":
            self._talk.result_line(host_line(end))

    def _summary(self, proposal: Proposal) -> Summary:
        plan = proposal.plan
        stopped = "" if self._flags.offline else self._loaded.state.stop_reason()
        return Summary(
            coverage=proposal.coverage,
            host_ends=proposal.host_ends,
            held=plan.held,
            fuses=fuses_of(plan),
            pending=pending_executions(plan),
            stopped=stopped or self._loaded.frozen_for(plan),
            interrupted=proposal.interrupted,
        )

    def _show(self, proposal: Proposal, summary: Summary, code: int) -> None:
        talk, seen = self._talk, proposal.seen
        dry = DryRun(
            plan=proposal.plan,
            summary=summary,
            exit_code=code,
            judgements=seen.judgements if seen is not None else (),
            as_of=seen.as_of if seen is not None else None,
            since=self._since.sentence() if self._since is not None else "",
            removed=self._since.removed if self._since is not None else (),
            no_ledger=self._no_ledger,
        )
        match self._options.output:
            case "json":
                talk.result_json(dry_run_json(dry))
            case "jsonl":
                streamed = seen is not None and seen.as_of is None
                for end in () if streamed else summary.host_ends:
                    talk.result_line(host_line(end))
                for line in dry_run_lines(dry):
                    talk.result_line(line)
            case "markdown":
                talk.result_text(comment(dry))
            case _:
                self._show_text(proposal, summary)

    def _show_text(self, proposal: Proposal, summary: Summary) -> None:
        talk, flags = self._talk, self._flags
        if self._since is not None and not self._loaded.selection.scopes:
            talk.result([f"{self._since.sentence()}; nothing to judge"])
            return
        show_plan(self._loaded, proposal.plan, proposal.seen, talk)
        talk.result(coverage_text(summary.coverage, summary.host_ends))
        if flags.readings is not None and proposal.seen is not None:
            as_of = seconds_text(proposal.seen.collection.collected_at)
            talk.result([f"as of {as_of} ({flags.readings}); nobody was contacted"])
        if self._planned is not None:
            talk.result([f"{flags.plan} stands as it was reviewed; nobody was contacted"])
