"""`apply`: its many options and its help."""

# ruff: noqa: D301 - \b is the help formatter's mark for lines that are not to be folded.

from typing import Annotated

import typer

from remedy.cli.options import (
    InventoryOption,
    LimitOption,
    MaxUnseenOption,
    RuleOption,
    RulesOption,
    SSHConfigOption,
    StateOption,
    TagOption,
    options_of,
)

__all__ = ["apply"]

_Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="text|json|jsonl|markdown",
        help="Form of the result on standard output; jsonl (a line as soon as it is known) and markdown (a comment on "
        "a pull request, empty when there is nothing to tell) are of a dry run.",
    ),
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show the plan; nothing that can send a fix is built.")]
_Readings = Annotated[
    str | None,
    typer.Option("--readings", metavar="FILE", help="Judge these readings and contact nobody (with --dry-run)."),
]
_Offline = Annotated[
    bool,
    typer.Option(
        "--offline",
        help="With --readings: no connection of any kind; ledger, stop file and pauses are not looked at either.",
    ),
]
_Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="REV",
        help="Only rules changed since this branch left REV, by git (with --dry-run); all of them, when the "
        "inventory or remedy.yaml changed.",
    ),
]
_PlanOut = Annotated[
    str | None, typer.Option("--plan-out", metavar="FILE", help="Write the plan to FILE, for a review.")
]
_PlanFile = Annotated[
    str | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Carry out the plan of FILE, unless anything it stands on has changed or it is older than 4h; "
        "on a terminal it asks, elsewhere the file is the answer.",
    ),
]
_FromRun = Annotated[
    str | None,
    typer.Option(
        "--from-run",
        metavar="RUN",
        help="Only rules on hosts of which an execution of RUN ended as --outcome says.",
    ),
]
_Outcomes = Annotated[
    str | None,
    typer.Option("--outcome", metavar="WORDS", help="Outcomes for --from-run, by commas (failed,unreachable,skipped)."),
]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")]
_Override = Annotated[
    str | None,
    typer.Option(
        "--override",
        metavar="HOLD",
        help="Lift cooling_down, outside_window, observe_only or paused for one -r RULE on one -l HOST.",
    ),
]
_OverrideReason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why a hold is lifted; it stands in the audit log.")
]
_AcceptMatched = Annotated[
    int | None,
    typer.Option(
        "--accept-matched",
        metavar="N",
        min=1,
        help="Let the fuse of exactly one -r RULE through for up to N hosts.",
    ),
]
_DetailedExitcode = Annotated[bool, typer.Option("--detailed-exitcode", help="In a dry run: 2 when fixes are pending.")]


def apply(
    rules: RulesOption = None,
    inventory: InventoryOption = None,
    limit: LimitOption = None,
    rule: RuleOption = None,
    tag: TagOption = None,
    state: StateOption = None,
    ssh_config: SSHConfigOption = None,
    output: _Output = "text",
    dry_run: _DryRun = False,
    readings: _Readings = None,
    offline: _Offline = False,
    since: _Since = None,
    plan_out: _PlanOut = None,
    plan: _PlanFile = None,
    from_run: _FromRun = None,
    outcome: _Outcomes = None,
    yes: _Yes = False,
    override: _Override = None,
    reason: _OverrideReason = None,
    accept_matched: _AcceptMatched = None,
    max_unseen: MaxUnseenOption = "0",
    detailed_exitcode: _DetailedExitcode = False,
) -> int:
    """
    Plan, ask, fix in waves, and prove that it helped.

    Exit codes: 0 done, 1 could not run or not agreed, 2 fixes pending (--detailed-exitcode), 3 bad, 4 incomplete,
    5 halted or blocked by a limit, 6 a name matched nothing, 130 interrupted.

    \b
      remedy apply --dry-run
      remedy apply -r low-disk -l web-3
      remedy apply --yes -o json
      remedy apply --dry-run --readings readings.jsonl --detailed-exitcode
      remedy apply --dry-run --offline --readings readings.jsonl --since origin/main -o markdown
      remedy apply --dry-run --plan-out plan.json
      remedy apply --plan plan.json
      remedy apply --from-run 20261122T084500Z-1a2b --outcome failed,unreachable
      remedy apply -r low-disk -l web-3 --override cooling_down --reason "log rotation repaired"
    """
    from remedy.cli.asked import ApplyFlags
    from remedy.cli.commands.apply import run_apply

    options = options_of(
        rules=rules,
        inventory=inventory,
        limit=limit,
        rule=rule,
        tag=tag,
        state=state,
        ssh_config=ssh_config,
        output=output,
        forms=("text", "json", "jsonl", "markdown"),
    )
    flags = ApplyFlags(
        dry_run=dry_run,
        readings=readings,
        yes=yes,
        accept_matched=accept_matched,
        max_unseen=max_unseen,
        detailed_exitcode=detailed_exitcode,
        plan_out=plan_out,
        plan=plan,
        override=override,
        reason=reason,
        from_run=from_run,
        outcome=outcome,
        since=since,
        offline=offline,
    )
    return run_apply(options, flags)
