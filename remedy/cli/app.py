"""The commands: their arguments and help; each imports what it needs only when it runs."""

from dataclasses import replace
from typing import Annotated

import typer

from remedy.cli.completion import complete_group, complete_host, complete_rule
from remedy.cli.options import (
    InventoryOption,
    LimitOption,
    MaxUnseenOption,
    OutputOption,
    ReasonOption,
    RuleOption,
    RulesOption,
    SSHConfigOption,
    StateOption,
    TagOption,
    options_of,
)

__all__ = [
    "app",
    "apply",
    "audit_show",
    "audit_verify",
    "demo",
    "init",
    "inventory",
    "pause",
    "reconcile",
    "release",
    "resume",
    "runs",
    "scan",
    "start",
    "stop",
    "unpause",
    "validate",
    "why",
]

PausedRuleOption = Annotated[
    list[str] | None,
    typer.Option("--rule", "-r", metavar="RULE", autocompletion=complete_rule, help="This rule, on every host."),
]
PausedGroupOption = Annotated[
    list[str] | None,
    typer.Option("--group", metavar="GROUP", autocompletion=complete_group, help="Every host of this group."),
]
PausedHostOption = Annotated[
    list[str] | None,
    typer.Option("--host", metavar="HOST", autocompletion=complete_host, help="This host, by its name."),
]
PausedAllOption = Annotated[bool, typer.Option("--all", help="Everything.")]

app = typer.Typer(
    name="remedy",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""Find machines that are about to annoy the people who use them, and fix them before anyone calls.

\b
  remedy scan                          judge this machine with the starter rules; reads only
  remedy init rules-repo               make a rules repository that works as it is
  remedy apply --dry-run               show what would run where, and what is held back and why
  remedy apply -r low-disk -l web-3    one fix on one host: plan, question, fix, proof
  remedy demo                          twelve real hosts on loopback, with planted trouble

Exit codes: 0 done, 1 could not run, 2 fixes pending (--detailed-exitcode), 3 bad, 4 incomplete,
5 halted or blocked by a limit, 6 a name matched nothing, 130 interrupted.
""",
)


def _show_version(value: bool) -> None:
    if value:
        from remedy import __version__

        typer.echo(f"remedy {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Nothing: the callback only carries --version."""


@app.command()
def init(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")],
) -> int:
    """
    Make a rules repository that works as it is.

    The starter rules are copied with `mode: observe`; each says which line to change when you want it to fix.

    \b
      remedy init rules-repo && cd rules-repo && remedy validate && remedy scan
    """
    from remedy.cli.commands.init import run_init

    return run_init(directory)


@app.command()
def validate(
    paths: Annotated[list[str] | None, typer.Argument(metavar="DIR", help="Folders of rules.")] = None,
    rules: RulesOption = None,
    inventory: InventoryOption = None,
    output: OutputOption = "text",
) -> int:
    """
    Check the files; every problem with file:line:column.

    Looks at rules, signals, tests.yaml and, when one is named, the inventory.

    \b
      remedy validate
      remedy validate -R rules -i inventory.yaml
    """
    from remedy.cli.commands.validate import run_validate

    return run_validate(options_of(rules=rules, inventory=inventory, output=output), paths or [])


@app.command()
def inventory(
    inventory: InventoryOption = None,
    rules: RulesOption = None,
    limit: LimitOption = None,
    output: OutputOption = "text",
) -> int:
    """
    Show the hosts, how they are reached, and their groups.

    \b
      remedy inventory -i hosts.yaml -l 'web:!web-3'
      ansible-inventory --list | remedy inventory -i -
    """
    from remedy.cli.commands.inventory import run_inventory

    return run_inventory(options_of(rules=rules, inventory=inventory, limit=limit, output=output))


@app.command()
def scan(
    rules: RulesOption = None,
    inventory: InventoryOption = None,
    limit: LimitOption = None,
    rule: RuleOption = None,
    tag: TagOption = None,
    state: StateOption = None,
    ssh_config: SSHConfigOption = None,
    output: OutputOption = "text",
    save: Annotated[str | None, typer.Option("--save", metavar="FILE", help="Keep the readings as JSON Lines.")] = None,
    max_unseen: MaxUnseenOption = "0",
) -> int:
    """
    Judge hosts; changes nothing on any of them.

    Collects the signals that the rules need, and says which hosts match, are healthy, or are unknown.

    Without rules and inventory it judges this machine with the starter rules.

    \b
      remedy scan
      remedy scan -l web --save readings.jsonl
      remedy scan -i localhost, -r low-disk -o json
    """
    from remedy.cli.commands.scan import run_scan

    options = options_of(
        rules=rules,
        inventory=inventory,
        limit=limit,
        rule=rule,
        tag=tag,
        state=state,
        ssh_config=ssh_config,
        output=output,
    )
    return run_scan(options, save=save, max_unseen=max_unseen)


@app.command()
def apply(
    rules: RulesOption = None,
    inventory: InventoryOption = None,
    limit: LimitOption = None,
    rule: RuleOption = None,
    tag: TagOption = None,
    state: StateOption = None,
    ssh_config: SSHConfigOption = None,
    output: OutputOption = "text",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the plan; nothing that can send a fix is built.")
    ] = False,
    readings: Annotated[
        str | None,
        typer.Option("--readings", metavar="FILE", help="Judge these readings and contact nobody (with --dry-run)."),
    ] = None,
    plan_out: Annotated[
        str | None, typer.Option("--plan-out", metavar="FILE", help="Write the plan to FILE, for a review.")
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(
            "--plan",
            metavar="FILE",
            help="Carry out the plan of FILE, unless anything it stands on has changed or it is older than 4h; "
            "on a terminal it asks, elsewhere the file is the answer.",
        ),
    ] = None,
    from_run: Annotated[
        str | None,
        typer.Option(
            "--from-run",
            metavar="RUN",
            help="Only rules on hosts of which an execution of RUN ended as --outcome says.",
        ),
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(
            "--outcome", metavar="WORDS", help="Outcomes for --from-run, by commas (failed,unreachable,skipped)."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")] = False,
    override: Annotated[
        str | None,
        typer.Option(
            "--override",
            metavar="HOLD",
            help="Lift cooling_down, outside_window, observe_only or paused for one -r RULE on one -l HOST.",
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why a hold is lifted; it stands in the audit log.")
    ] = None,
    accept_matched: Annotated[
        int | None,
        typer.Option(
            "--accept-matched",
            metavar="N",
            min=1,
            help="Let the fuse of exactly one -r RULE through for up to N hosts.",
        ),
    ] = None,
    max_unseen: MaxUnseenOption = "0",
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="In a dry run: 2 when fixes are pending.")
    ] = False,
) -> int:
    """
    Plan, ask, fix in waves, and prove that it helped.

    \b
      remedy apply --dry-run
      remedy apply -r low-disk -l web-3
      remedy apply --yes -o json
      remedy apply --dry-run --readings readings.jsonl --detailed-exitcode
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
    )
    return run_apply(options, flags)


@app.command()
def why(
    host: Annotated[
        str, typer.Argument(metavar="HOST", help="One host of the inventory.", autocompletion=complete_host)
    ],
    rule: Annotated[
        str | None, typer.Argument(metavar="RULE", help="One rule; else all.", autocompletion=complete_rule)
    ] = None,
    rules: RulesOption = None,
    inventory: InventoryOption = None,
    state: StateOption = None,
    ssh_config: SSHConfigOption = None,
    output: OutputOption = "text",
) -> int:
    """
    Explain what the rules say of one host now.

    Reads the host, and shows each condition with the values it read, and what holds a match back.

    \b
      remedy why web-3
      remedy why web-3 low-disk
    """
    from remedy.cli.commands.why import run_why

    options = options_of(
        rules=rules,
        inventory=inventory,
        limit=host,
        rule=[rule] if rule is not None else None,
        state=state,
        ssh_config=ssh_config,
        output=output,
    )
    return run_why(replace(options, limit_named="HOST", rule_named="RULE"), host)


@app.command()
def runs(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run id; else the newest runs are listed.")] = None,
    state: StateOption = None,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, max=10_000, help="How many runs to list.")] = 20,
    output: OutputOption = "text",
) -> int:
    """
    List the newest runs, or show one with every execution.

    \b
      remedy runs
      remedy runs 20261122T084500Z-1a2b
    """
    from remedy.cli.commands.runs import run_runs

    return run_runs(options_of(state=state, output=output), run, most=most)


@app.command()
def release(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule that is paused or quarantined.")],
    reason: ReasonOption,
    limit: Annotated[
        str | None, typer.Option("--limit", "-l", metavar="HOST", help="One host: end its quarantine.")
    ] = None,
    state: StateOption = None,
) -> int:
    """
    End a quarantine or cooldown, or close a breaker.

    With -l HOST the rule's past attempts on that host are forgotten; without it the rule's breaker is closed.

    \b
      remedy release low-disk -l web-3 --reason "disk replaced"
      remedy release low-disk --reason "script repaired in 1a2b3c4"
    """
    from remedy.cli.commands.brakes import run_release

    return run_release(options_of(limit=limit, state=state), rule, reason)


@app.command()
def pause(
    reason: ReasonOption,
    rule: PausedRuleOption = None,
    group: PausedGroupOption = None,
    host: PausedHostOption = None,
    everything: PausedAllOption = False,
    lasts: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="How long, such as 30m, 2h or 7d; else no end.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="TIME", help="Until when, with a zone, such as 2026-12-01T06:00Z; else no end."
        ),
    ] = None,
    rules: RulesOption = None,
    inventory: InventoryOption = None,
    state: StateOption = None,
) -> int:
    """
    Hold back a rule, a group, a host or everything.

    Exactly one of --rule, --group, --host and --all. Runs under way obey it too; what is running runs to its end.

    \b
      remedy pause --host web-3 --reason "disk is being replaced" --for 2h
      remedy pause --rule low-disk --reason "script is being repaired"
      remedy pause --all --reason "storage migration" --until 2026-12-01T06:00Z
    """
    from remedy.cli.commands.pausing import PauseAsked, run_pause

    asked = PauseAsked(rules=rule or (), groups=group or (), hosts=host or (), everything=everything)
    options = options_of(rules=rules, inventory=inventory, state=state)
    return run_pause(options, asked, reason, lasts=lasts, until=until)


@app.command()
def unpause(
    rule: PausedRuleOption = None,
    group: PausedGroupOption = None,
    host: PausedHostOption = None,
    everything: PausedAllOption = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the audit log.")] = "",
    state: StateOption = None,
) -> int:
    """
    End a pause; `remedy runs` lists them.

    \b
      remedy unpause --host web-3
      remedy unpause --all --reason "storage migration is done"
    """
    from remedy.cli.commands.pausing import PauseAsked, run_unpause

    asked = PauseAsked(rules=rule or (), groups=group or (), hosts=host or (), everything=everything)
    return run_unpause(options_of(state=state), asked, reason)


@app.command()
def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run that died; `remedy runs` lists them.")],
    state: StateOption = None,
    output: OutputOption = "text",
) -> int:
    """
    Close a run that died; starts nothing.

    Waits until what may still be running on a host is over, and records it as lost or unverified; what was never
    started is skipped. Ctrl-C leaves open what may still be running; resume again.

    The exit code is that of the closed run: at the least 4, for what it would have seen nobody saw.

    \b
      remedy resume 20261122T084500Z-1a2b
    """
    from remedy.cli.commands.resume import run_resume

    return run_resume(options_of(state=state, output=output), run)


@app.command()
def reconcile(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run with lost or unverified executions.")],
    rules: RulesOption = None,
    inventory: InventoryOption = None,
    state: StateOption = None,
    ssh_config: SSHConfigOption = None,
    output: OutputOption = "text",
) -> int:
    """
    Ask the hosts what became of lost and unverified executions.

    Reads the marker that a fix leaves on its host; changes nothing there. Outcomes stay as they are; where the end
    is proved, the quarantine of a lost one is lifted.

    Exit codes: 0 every end is proved, 3 one runs still or a host has another key, 4 an end is not known.

    \b
      remedy reconcile 20261122T084500Z-1a2b
    """
    from remedy.cli.commands.reconcile import run_reconcile

    options = options_of(rules=rules, inventory=inventory, state=state, ssh_config=ssh_config, output=output)
    return run_reconcile(options, run)


@app.command()
def stop(
    reason: Annotated[str, typer.Argument(metavar="REASON", help="Why; shown to everybody until `remedy start`.")],
    state: StateOption = None,
) -> int:
    """
    Start nothing any more anywhere, until `start`.

    \b
      remedy stop "storage migration"
    """
    from remedy.cli.commands.brakes import run_stop

    return run_stop(options_of(state=state), reason)


@app.command()
def start(state: StateOption = None) -> int:
    """
    Lift a stop.

    \b
      remedy start
    """
    from remedy.cli.commands.brakes import run_start

    return run_start(options_of(state=state))


_audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The audit log: what happened, for people.")
app.add_typer(_audit, name="audit")


@_audit.command("verify")
def audit_verify(
    state: StateOption = None,
    output: OutputOption = "text",
    head: Annotated[
        list[str] | None,
        typer.Option(
            "--head", metavar="HASH", help="Prove that this head, noted elsewhere, is still there (may be repeated)."
        ),
    ] = None,
) -> int:
    """
    Check every audit file: chain, form, and the heads that were recorded.

    What was cut after the last recorded head cannot be detected, unless a later head was noted elsewhere:
    name it with --head.

    \b
      remedy audit verify
      remedy audit verify --head "$(cat head-of-last-night)"
    """
    from remedy.cli.commands.audit import run_audit_verify

    return run_audit_verify(options_of(state=state, output=output), head or [])


@_audit.command("show")
def audit_show(
    host: Annotated[
        list[str] | None, typer.Option("--host", metavar="HOST", help="Only records of this host (may be repeated).")
    ] = None,
    rule: RuleOption = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="An ISO time (UTC without a zone), or how long ago: 2h, 7d."),
    ] = None,
    actor: Annotated[
        list[str] | None,
        typer.Option(
            "--actor", metavar="NAME", help="Only runs of this user, or claimed name, or a part (may be repeated)."
        ),
    ] = None,
    run: Annotated[
        list[str] | None, typer.Option("--run", metavar="RUN", help="Only records of this run (may be repeated).")
    ] = None,
    state: StateOption = None,
    output: OutputOption = "text",
) -> int:
    """
    Show records of the audit log, in the order of their times.

    Checks nothing, but shows damaged lines as such, whatever was asked for.

    \b
      remedy audit show --host web-3 --since 7d
      remedy audit show --rule low-disk --actor alice -o json
    """
    from remedy.cli.commands.audit import AuditAsked, run_audit_show

    asked = AuditAsked(hosts=host or (), rules=rule or (), actors=actor or (), runs=run or (), since=since)
    return run_audit_show(options_of(state=state, output=output), asked)


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the hosts up at the end for trials of your own, until Ctrl-C.")
    ] = False,
) -> int:
    """
    Show the main job on twelve real hosts on loopback.

    Needs root and OpenSSH's daemon; nothing outside a temporary directory is changed.

    \b
      sudo remedy demo
    """
    from remedy.demo.story import run_demo

    return run_demo(keep=keep)
