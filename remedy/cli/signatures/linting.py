"""`lint`, which reads scripts and contacts no host."""

# ruff: noqa: D301 - \b is the help formatter's mark for lines that are not to be folded.

from typing import Annotated

import typer

from remedy.cli.options import RulesOption, options_of

__all__ = ["lint"]

_Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH", help="Folders, or files; those that are no scripts are passed over."),
]
_Output = Annotated[
    str, typer.Option("--output", "-o", metavar="text|json|github|sarif", help="Form of the result on standard output.")
]
_Strict = Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")]
_List = Annotated[bool, typer.Option("--list", help="Show the checks: what, why, and the cure; lint nothing.")]


def lint(
    paths: _Paths = None,
    rules: RulesOption = None,
    strict: _Strict = False,
    show_checks: _List = False,
    output: _Output = "text",
) -> int:
    """
    Look for what goes wrong with scripts.

    shellcheck for sh and bash, our own checks for these and PowerShell; what could not be looked at is said.

    Each script is looked up in the rule or signal in whose folder it lies, whatever path led to it.

    Ends with 3 when something fails, with 4 when a script was not linted. A line allows itself
    a finding with `# remedy: allow CODE reason`.

    \b
      remedy lint
      remedy lint --strict rules/low-disk/clean.sh
      remedy lint -o sarif > lint.sarif
      remedy lint --list
    """
    from remedy.cli.commands.lint import list_checks, run_lint

    if show_checks:
        return list_checks(output)
    return run_lint(options_of(rules=rules), paths or [], output=output, strict=strict)
