"""`schema`, `rules` and `config`: what files may hold, what the rules mean, and what holds here."""

# ruff: noqa: D301 - \b is the help formatter's mark for lines that are not to be folded.

from dataclasses import replace
from typing import Annotated

import typer

from remedy.cli.completion import complete_rule, complete_schema
from remedy.cli.options import InventoryOption, OutputOption, RulesOption, StateOption, TagOption, options_of

__all__ = ["config", "rules_list", "rules_show", "schema"]

_Kind = Annotated[
    str | None,
    typer.Argument(
        metavar="KIND[.KEY]",
        autocompletion=complete_schema,
        help="rule, signal, tests, remedy or inventory; or a key of it, such as rule.rollout.waves.",
    ),
]
_AsJSON = Annotated[bool, typer.Option("--json", help="The JSON Schema itself; the same as -o json.")]
_WriteTo = Annotated[
    str | None, typer.Option("--write", metavar="DIR", help="Write the JSON Schemas into this folder, for editors.")
]
_Rule = Annotated[str, typer.Argument(metavar="RULE", autocompletion=complete_rule, help="The rule to show.")]


def schema(
    kind: _Kind = None,
    as_json: _AsJSON = False,
    write: _WriteTo = None,
    output: OutputOption = "text",
) -> int:
    """
    Show what a kind of file may hold.

    Each key with its form, default, meaning and an example; for editors, the same as JSON Schema.

    \b
      remedy schema rule
      remedy schema rule.rollout
      remedy schema --write .remedy/schemas
    """
    from remedy.cli.commands.schema import run_schema

    options = options_of(output="json" if as_json else output)
    return run_schema(options, kind, write=write)


def rules_list(
    rules: RulesOption = None,
    tag: TagOption = None,
    output: OutputOption = "text",
) -> int:
    """
    List the rules, one a line.

    Without a rules repository, the starter rules.

    \b
      remedy rules list
      remedy rules list --tag disk -o json
    """
    from remedy.cli.commands.rules import run_rules_list

    return run_rules_list(options_of(rules=rules, tag=tag, output=output))


def rules_show(
    rule: _Rule,
    rules: RulesOption = None,
    output: OutputOption = "text",
) -> int:
    """
    Show a rule with every default filled in.

    Says of each value from which line it is, or that it is the default. What is printed is itself a rule.yaml.

    \b
      remedy rules show low-disk
      remedy rules show low-disk -o json
    """
    from remedy.cli.commands.rules import run_rules_show

    return run_rules_show(replace(options_of(rules=rules, rule=[rule], output=output), rule_named="RULE"))


def config(
    rules: RulesOption = None,
    inventory: InventoryOption = None,
    state: StateOption = None,
    output: OutputOption = "text",
) -> int:
    """
    Show the settings that hold here, and what said so.

    An option wins over its variable, that over the nearest remedy.yaml, that over /etc/remedy/remedy.yaml.

    \b
      remedy config
      remedy config --state /srv/remedy -o json
    """
    from remedy.cli.commands.config import run_config

    return run_config(options_of(rules=rules, inventory=inventory, state=state, output=output))
