"""`remedy apply`: plan, ask, carry out, prove; with --dry-run only plan."""

from remedy.cli.asked import ApplyFlags, check_flags, only_of_run, with_override
from remedy.cli.caller import caller_now
from remedy.cli.commands.apply_run import RealRun
from remedy.cli.commands.dry_run import Rehearsal
from remedy.cli.composition import Options, load
from remedy.cli.console import Talk
from remedy.cli.proposing import ledger_copy, planned_before
from remedy.cli.since import only_changed

__all__ = ["run_apply"]


def run_apply(options: Options, flags: ApplyFlags) -> int:
    """Apply, or show what would be applied, and return the exit code."""
    caller = caller_now()
    limit = check_flags(options, flags, caller)
    talk = Talk(as_json=options.output != "text")
    loaded = with_override(load(options, caller, talk, guess=False), options, flags)
    if flags.from_run is not None:
        with ledger_copy(loaded) as ledger:
            loaded = only_of_run(loaded, flags, ledger)
    planned = planned_before(loaded, flags.plan) if flags.plan is not None else None
    if not flags.dry_run:
        return RealRun(loaded, options, flags, talk, caller, planned=planned).carry_out(limit)
    since = None
    if flags.since is not None:
        loaded, since = only_changed(loaded, options, caller, flags.since)
    return Rehearsal(loaded, options, flags, talk, caller, planned=planned, since=since).carry_out(limit)
