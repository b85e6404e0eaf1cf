"""`init`, `validate`, `inventory`, `scan` and `why`, which change no host; and `demo`, which has its own."""

# ruff: noqa: D301 - \b is the help formatter's mark for lines that are not to be folded.

from dataclasses import replace
from typing import Annotated

import typer

from remedy.cli.completion import complete_host, complete_rule
from remedy.cli.options import (
    InventoryOption,
    LimitOption,
    MaxUnseenOption,
    OutputOption,
    RuleOption,
    RulesOption,
    SSHConfigOption,
    StateOption,
    TagOption,
    options_of,
)

__all__ = ["demo", "init", "inventory", "scan", "validate", "why"]

_NewFolder = Annotated[str, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")]
_Folders = Annotated[list[str] | None, typer.Argument(metavar="DIR", help="Folders of rules.")]
_Save = Annotated[str | None, typer.Option("--save", metavar="FILE", help="Keep the readings as JSON Lines.")]
_Host = Annotated[str, typer.Argument(metavar="HOST", help="One host of the inventory.", autocompletion=complete_host)]
_Rule = Annotated[str | None, typer.Argument(metavar="RULE", help="One rule; else all.", autocompletion=complete_rule)]
_OneHost = Annotated[
    str | None,
    typer.Option("--host", metavar="HOST", help="One host: where its values stand.", autocompletion=complete_host),
]
_Keep = Annotated[
    bool, typer.Option("--keep", help="Keep the hosts up at the end for trials of your own, until Ctrl-C.")
]


def init(directory: _NewFolder) -> int:
    """
    Make a rules repository that works as it is.

    The starter rules are copied with `mode: observe`; each says which line to change when you want it to fix.

    \b
      remedy init rules-repo && cd rules-repo && remedy validate && remedy scan
    """
    from remedy.cli.commands.init import run_init

    return run_init(directory)


def validate(
    paths: _Folders = None,
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


def inventory(
    inventory: InventoryOption = None,
    rules: RulesOption = None,
    limit: LimitOption = None,
    host: _OneHost = None,
    output: OutputOption = "text",
) -> int:
    """
    Show the hosts, how they are reached, and their groups.

    With --host: each value of one host that concerns remedy, and where it stands.

    \b
      remedy inventory -i hosts.ini -l 'web:!web[0]'
      remedy inventory --host web-3
      ansible-inventory --list | remedy inventory -i -
    """
    from remedy.cli.commands.inventory import run_inventory

    options = options_of(rules=rules, inventory=inventory, limit=limit, output=output)
    return run_inventory(options, host=host)


def scan(
    rules: RulesOption = None,
    inventory: InventoryOption = None,
    limit: LimitOption = None,
    rule: RuleOption = None,
    tag: TagOption = None,
    state: StateOption = None,
    ssh_config: SSHConfigOption = None,
    output: OutputOption = "text",
    save: _Save = None,
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


def why(
    host: _Host,
    rule: _Rule = None,
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


def demo(keep: _Keep = False) -> int:
    """
    Show the main job on twelve real hosts on loopback.

    Needs root and OpenSSH's daemon; nothing outside a temporary directory is changed.

    \b
      sudo remedy demo
    """
    from remedy.demo.story import run_demo

    return run_demo(keep=keep)
