"""`validate`, which reads files and contacts no host."""

# ruff: noqa: D301 - \b is the help formatter's mark for lines that are not to be folded.

from typing import Annotated

import typer

from remedy.cli.options import InventoryOption, RulesOption, options_of

__all__ = ["validate"]

_Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH", help="Folders of rules, of a rule or a signal, or files in these."),
]
_Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="text|json|github|sarif|junit",
        help="Form of the result on standard output.",
    ),
]
_Strict = Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")]


def validate(
    paths: _Paths = None,
    rules: RulesOption = None,
    inventory: InventoryOption = None,
    strict: _Strict = False,
    output: _Output = "text",
) -> int:
    """
    Check the files; every problem with file:line:column.

    Looks at rules, signals, tests.yaml, remedy.yaml and, when one is named, the inventory.
    Warns of what is allowed and hardly meant. Ends with 1 when there are errors.

    \b
      remedy validate
      remedy validate --strict -R rules -i inventory.yaml
      remedy validate rules/low-disk/rule.yaml
      remedy validate -o sarif > validate.sarif
    """
    from remedy.cli.commands.validate import run_validate

    return run_validate(options_of(rules=rules, inventory=inventory), paths or [], output=output, strict=strict)
