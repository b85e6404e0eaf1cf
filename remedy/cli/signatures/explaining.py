"""`why`: what the rules say of one host, now or by what is stored."""

# ruff: noqa: D301 - \b is the help formatter's mark for lines that are not to be folded.

from dataclasses import replace
from typing import Annotated

import typer

from remedy.cli.completion import complete_host, complete_rule
from remedy.cli.options import InventoryOption, OutputOption, RulesOption, SSHConfigOption, StateOption, options_of

__all__ = ["why"]

_Host = Annotated[
    str,
    typer.Argument(
        metavar="HOST",
        help="One host: its name, without case or domain if that is clear, or its address.",
        autocompletion=complete_host,
    ),
]
_Rule = Annotated[str | None, typer.Argument(metavar="RULE", help="One rule; else all.", autocompletion=complete_rule)]
_Stored = Annotated[
    bool,
    typer.Option("--stored", help="Contact nobody: answer from the newest readings and the ledger, with their age."),
]


def why(
    host: _Host,
    rule: _Rule = None,
    stored: _Stored = False,
    rules: RulesOption = None,
    inventory: InventoryOption = None,
    state: StateOption = None,
    ssh_config: SSHConfigOption = None,
    output: OutputOption = "text",
) -> int:
    """
    Explain what the rules say of one host now.

    Reads the host, and shows each condition with the values it read and where its parameters are from,
    everything that is in a fix's way, and when it could next run.

    With --stored, and for a host that cannot be reached: what was wrong when it was last read, what was done,
    whether it helped, and what comes next. It needs to read the state directory, and no credential.

    Exit code 4: nothing is known, or the host could not be reached.

    \b
      remedy why web-3
      remedy why web-3 low-disk
      remedy why WEB-3.example.org --stored
      remedy why 10.0.0.3 --stored -o json
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
    return run_why(replace(options, limit_named="HOST", rule_named="RULE"), host, stored=stored)
