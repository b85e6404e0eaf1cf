"""`remedy apply`: plan, ask, carry out, prove; with --dry-run only plan."""

from remedy.cli.asked import ApplyFlags, check_flags, only_of_run, with_override
from remedy.cli.caller import Caller, caller_now
from remedy.cli.commands.apply_run import RealRun
from remedy.cli.composition import Loaded, Options, load, make_runners
from remedy.cli.console import Talk
from remedy.cli.proposing import (
    Proposal,
    fuses_of,
    history_now,
    ledger_copy,
    planned_before,
    propose,
    seen_in_file,
    seen_now,
    show_plan,
    write_plan,
)
from remedy.cli.stopping import stopping
from remedy.limits import Limit
from remedy.plan import NO_HISTORY, Plan
from remedy.readings import time_text
from remedy.render.apply import apply_json
from remedy.render.scan import coverage_text
from remedy.summary import Summary, exit_code, pending_executions

__all__ = ["run_apply"]


def run_apply(options: Options, flags: ApplyFlags) -> int:
    """Apply, or show what would be applied, and return the exit code."""
    caller = caller_now()
    limit = check_flags(options, flags, caller)
    talk = Talk(as_json=options.output == "json")
    loaded = with_override(load(options, caller, talk, guess=False), options, flags)
    if flags.from_run is not None:
        with ledger_copy(loaded) as ledger:
            loaded = only_of_run(loaded, flags, ledger)
    planned = planned_before(loaded, flags.plan) if flags.plan is not None else None
    if flags.dry_run:
        return _dry_run(loaded, options, flags, talk, limit, caller, planned)
    return RealRun(loaded, options, flags, talk, caller, planned=planned).carry_out(limit)


# The dry run: nothing that can send a fix is built here.


def _dry_run(
    loaded: Loaded,
    options: Options,
    flags: ApplyFlags,
    talk: Talk,
    limit: Limit,
    caller: Caller,
    planned: Plan | None,
) -> int:
    talk.say(*loaded.header)
    proposal = (
        Proposal(plan=planned, seen=None) if planned is not None else _proposal(loaded, options, flags, talk, caller)
    )
    plan = proposal.plan
    summary = Summary(
        coverage=proposal.coverage,
        host_ends=proposal.host_ends,
        held=plan.held,
        fuses=fuses_of(plan),
        pending=pending_executions(plan),
        stopped=loaded.state.stop_reason() or loaded.frozen_for(plan),
        interrupted=proposal.interrupted,
    )
    code = int(exit_code(summary, max_unseen=limit, detailed=flags.detailed_exitcode))
    if flags.plan_out is not None:
        write_plan(plan, flags.plan_out, talk)
    if talk.as_json:
        talk.result_json(apply_json(plan, summary, run_id="", exit_code=code, dry_run=True))
        return code
    show_plan(loaded, plan, proposal.seen, talk)
    talk.result(coverage_text(summary.coverage, summary.host_ends))
    if flags.readings is not None and proposal.seen is not None:
        as_of = time_text(proposal.seen.collection.collected_at)
        talk.result([f"as of {as_of} ({flags.readings}); nobody was contacted"])
    if planned is not None:
        talk.result([f"{flags.plan} stands as it was reviewed; nobody was contacted"])
    return code


def _proposal(loaded: Loaded, options: Options, flags: ApplyFlags, talk: Talk, caller: Caller) -> Proposal:
    """Return the plan of what is seen now, or of a readings file."""
    with ledger_copy(loaded) as ledger, stopping() as stop:
        if ledger is None:
            talk.say("ledger     none; cooldowns not considered")
        if flags.readings is not None:
            seen = seen_in_file(loaded, flags.readings, talk)
        else:
            seen = seen_now(loaded, make_runners(options, caller, loaded.inventory), talk, stop)
        history = history_now(loaded, ledger, seen) if ledger is not None else NO_HISTORY
    return Proposal(plan=propose(loaded, seen, history, accept_matched=flags.accept_matched), seen=seen)
