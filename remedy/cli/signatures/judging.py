"""`init`, `inventory` and `scan`, which change no host; and `demo`, which has its own."""

# ruff: noqa: D301 - \b is the help formatter's mark for lines that are not to be folded.

from typing import Annotated

import typer

from remedy.cli.completion import complete_host
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

__all__ = ["demo", "init", "inventory", "scan"]

_NewFolder = Annotated[
    str, typer.Argument(metavar="DIR", help="A folder that does not exist yet, is empty, or is a new clone.")
]
_CI = Annotated[
    str | None,
    typer.Option(
        "--ci",
        metavar="github|gitlab|none",
        help="Whose CI the repository is for; by default that of the clone's remote, else github.",
    ),
]
_Save = Annotated[str | None, typer.Option("--save", metavar="FILE", help="Keep the readings as JSON Lines.")]
_OneHost = Annotated[
    str | None,
    typer.Option("--host", metavar="HOST", help="One host: where its values stand.", autocompletion=complete_host),
]
_Keep = Annotated[
    bool, typer.Option("--keep", help="Keep the hosts up at the end for trials of your own, until Ctrl-C.")
]


def init(directory: _NewFolder, ci: _CI = None) -> int:
    """
    Make a rules repository that works as it is.

    The starter rules are copied with `mode: observe`; each says which line to change when you want it to fix.

    \b
      remedy init rules-repo
      remedy init rules-repo && cd rules-repo && remedy validate && remedy scan
      remedy init rules-repo --ci gitlab
    """
    from remedy.cli.commands.init import run_init

    return run_init(directory, ci=ci)


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

    Exit codes: 0 everything judged, whatever was found; 1 could not run, 3 a changed host key or wrong identity,
    4 a host was not seen or a verdict is unknown (--max-unseen), 6 a name matched nothing.

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


def demo(keep: _Keep = False) -> int:
    """
    Show the main job on twelve real hosts on loopback.

    Needs root and OpenSSH's daemon; nothing outside a temporary directory is changed.

    \b
      sudo remedy demo
      sudo remedy demo --keep
    """
    from remedy.demo.story import run_demo

    return run_demo(keep=keep)
