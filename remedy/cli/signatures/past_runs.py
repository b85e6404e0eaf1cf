"""`runs`, `resume`, `reconcile` and `audit`: what past runs did, and what became of it."""

# ruff: noqa: D301 - \b is the help formatter's mark for lines that are not to be folded.

from typing import Annotated

import typer

from remedy.cli.options import (
    InventoryOption,
    OutputOption,
    RuleOption,
    RulesOption,
    SSHConfigOption,
    StateOption,
    options_of,
)

__all__ = ["audit_show", "audit_verify", "reconcile", "resume", "runs"]

_Run = Annotated[str | None, typer.Argument(metavar="RUN", help="A run id; else the newest runs are listed.")]
_Most = Annotated[int, typer.Option("--most", metavar="N", min=1, max=10_000, help="How many runs to list.")]
_DeadRun = Annotated[str, typer.Argument(metavar="RUN", help="A run that died; `remedy runs` lists them.")]
_UnseenRun = Annotated[str, typer.Argument(metavar="RUN", help="A run with lost or unverified executions.")]
_Heads = Annotated[
    list[str] | None,
    typer.Option(
        "--head", metavar="HASH", help="Prove that this head, noted elsewhere, is still there (may be repeated)."
    ),
]
_RecordsHost = Annotated[
    list[str] | None, typer.Option("--host", metavar="HOST", help="Only records of this host (may be repeated).")
]
_RecordsSince = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="An ISO time (UTC without a zone), or how long ago: 2h, 7d."),
]
_RecordsActor = Annotated[
    list[str] | None,
    typer.Option(
        "--actor", metavar="NAME", help="Only runs of this user, or claimed name, or a part (may be repeated)."
    ),
]
_RecordsRun = Annotated[
    list[str] | None, typer.Option("--run", metavar="RUN", help="Only records of this run (may be repeated).")
]


def runs(
    run: _Run = None,
    state: StateOption = None,
    most: _Most = 20,
    output: OutputOption = "text",
) -> int:
    """
    List the newest runs, or show one with every execution.

    \b
      remedy runs --most 5
      remedy runs 20261122T084500Z-1a2b -o json
    """
    from remedy.cli.commands.runs import run_runs

    return run_runs(options_of(state=state, output=output), run, most=most)


def resume(
    run: _DeadRun,
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
      remedy resume 20261122T084500Z-1a2b -o json
    """
    from remedy.cli.commands.resume import run_resume

    return run_resume(options_of(state=state, output=output), run)


def reconcile(
    run: _UnseenRun,
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
      remedy reconcile 20261122T084500Z-1a2b -R rules -i inventory.yaml
    """
    from remedy.cli.commands.reconcile import run_reconcile

    options = options_of(rules=rules, inventory=inventory, state=state, ssh_config=ssh_config, output=output)
    return run_reconcile(options, run)


def audit_verify(
    state: StateOption = None,
    output: OutputOption = "text",
    head: _Heads = None,
) -> int:
    """
    Check every audit file: chain, form, and the heads that were recorded.

    What was cut after the last recorded head cannot be detected, unless a later head was noted elsewhere:
    name it with --head.

    Exit codes: 0 intact, 1 there is no audit log, 3 something is damaged or missing.

    \b
      remedy audit verify
      remedy audit verify --head "$(cat head-of-last-night)"
    """
    from remedy.cli.commands.audit import run_audit_verify

    return run_audit_verify(options_of(state=state, output=output), head or [])


def audit_show(
    host: _RecordsHost = None,
    rule: RuleOption = None,
    since: _RecordsSince = None,
    actor: _RecordsActor = None,
    run: _RecordsRun = None,
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
