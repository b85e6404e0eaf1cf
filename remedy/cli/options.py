"""The options that several commands share, with their help."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from remedy.cli.completion import complete_rule

if TYPE_CHECKING:
    from remedy.cli.composition import Options

__all__ = [
    "InventoryOption",
    "LimitOption",
    "MaxUnseenOption",
    "OutputOption",
    "ReasonOption",
    "RuleOption",
    "RulesOption",
    "SSHConfigOption",
    "StateOption",
    "TagOption",
    "options_of",
]

RulesOption = Annotated[
    str | None,
    typer.Option("--rules", "-R", metavar="DIR", help="Folder of rules (else REMEDY_RULES, remedy.yaml, ./rules)."),
]
InventoryOption = Annotated[
    str | None,
    typer.Option(
        "--inventory",
        "-i",
        metavar="FILE",
        help="Ansible inventory (INI, YAML, JSON, a folder), a list of hosts, `-` for standard input, or `a,b,`.",
    ),
]
LimitOption = Annotated[
    str | None,
    typer.Option(
        "--limit",
        "-l",
        metavar="PATTERN",
        help="Only these hosts: names, groups, web*, ~web[0-9]+, web[0:2], `:&`, `:!`, @file.",
    ),
]
RuleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rule", "-r", metavar="RULE", autocompletion=complete_rule, help="Only this rule (may be repeated)."
    ),
]
TagOption = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="Only rules with this tag (may be repeated).")
]
StateOption = Annotated[
    str | None,
    typer.Option(
        "--state", metavar="DIR", help="State directory (else REMEDY_STATE, remedy.yaml, /var/lib/remedy, XDG)."
    ),
]
SSHConfigOption = Annotated[
    str | None, typer.Option("--ssh-config", metavar="FILE", help="Instead of ~/.ssh/config and /etc/ssh/ssh_config.")
]
OutputOption = Annotated[
    str, typer.Option("--output", "-o", metavar="text|json", help="Form of the result on standard output.")
]
MaxUnseenOption = Annotated[
    str, typer.Option("--max-unseen", metavar="N|P%", help="How many hosts that were not seen still count as complete.")
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the audit log.")]


def options_of(
    *,
    rules: str | None = None,
    inventory: str | None = None,
    limit: str | None = None,
    rule: list[str] | None = None,
    tag: list[str] | None = None,
    state: str | None = None,
    ssh_config: str | None = None,
    output: str = "text",
    forms: Sequence[str] = ("text", "json"),
) -> "Options":
    """
    Return the shared flags as they were given.

    Raises:
        UsageError: a form of output that does not exist.
    """
    from remedy.cli.composition import Options
    from remedy.errors import UsageError

    if output not in forms:
        raise UsageError(f"--output {output}: {', '.join(forms[:-1])} or {forms[-1]}")
    return Options(
        rules=rules,
        inventory=inventory,
        limit=limit,
        rule=tuple(rule or ()),
        tag=tuple(tag or ()),
        state=state,
        ssh_config=ssh_config,
        output=output,
    )
