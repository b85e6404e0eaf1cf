"""`remedy apply`: plan, ask, carry out, prove; with --dry-run only plan."""

from remedy.cli.caller import Caller, caller_now
from remedy.cli.commands.apply_run import ApplyFlags, RealRun
from remedy.cli.composition import Loaded, Options, load, make_runners, parse_max_unseen
from remedy.cli.console import Talk
from remedy.cli.proposing import fuses_of, history_now, ledger_copy, propose, seen_in_file, seen_now, show_plan
from remedy.cli.stopping import stopping
from remedy.errors import UsageError
from remedy.limits import Limit
from remedy.plan import NO_HISTORY
from remedy.readings import time_text
from remedy.render.apply import apply_json
from remedy.render.scan import coverage_text
from remedy.summary import (
    Summary,
    coverage,
    exit_code,
    pending_executions,
)

__all__ = ["ApplyFlags", "run_apply"]


def run_apply(options: Options, flags: ApplyFlags) -> int:
    """Apply, or show what would be applied, and return the exit code."""
    caller = caller_now()
    limit = _check_flags(options, flags, caller)
    talk = Talk(as_json=options.output == "json")
    loaded = load(options, caller, talk, guess=False)
    if flags.dry_run:
        return _dry_run(loaded, options, flags, talk, limit, caller)
    return RealRun(loaded, options, flags, talk, caller).carry_out(limit)


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
    with ledger_copy(loaded) as ledger, stopping() as stop:
        if ledger is None:
            talk.say("ledger     none; cooldowns not considered")
        if flags.readings is not None:
            seen = seen_in_file(loaded, flags.readings, talk)
        else:
            seen = seen_now(loaded, make_runners(options, caller), talk, stop)
        history = history_now(loaded, ledger, seen) if ledger is not None else NO_HISTORY
    plan = propose(loaded, seen, history, accept_matched=flags.accept_matched)
    summary = Summary(
        coverage=coverage(seen.collection.host_ends, seen.judgements),
        host_ends=seen.collection.host_ends,
        held=plan.held,
        fuses=fuses_of(plan),
        pending=pending_executions(plan),
        stopped=stopped,
        interrupted=seen.collection.interrupted,
    )
    code = int(exit_code(summary, max_unseen=limit, detailed=flags.detailed_exitcode))
    if talk.as_json:
        talk.result_json(apply_json(plan, summary, run_id="", exit_code=code, dry_run=True))
        return code
    show_plan(loaded, plan, seen, talk)
    talk.result(coverage_text(summary.coverage, summary.host_ends))
    if flags.readings is not None:
        talk.result([f"as of {time_text(seen.collection.collected_at)} ({flags.readings}); nobody was contacted"])
    return code
