"""The command line as a whole: its help, `--version`, and the commands in the order in which the help lists them."""

from typing import Annotated

import typer

from remedy.cli.completion import CompletedCommand
from remedy.cli.signatures import (
    applying,
    describing,
    enrolling,
    explaining,
    helping,
    holding,
    judging,
    linting,
    past_runs,
    testing,
    validating,
)

__all__ = ["app"]

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
  remedy help apply                    what a command does, its options and examples
  remedy --install-completion          have the Tab key complete commands, rules, hosts and runs

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


for _command in (
    judging.init,
    validating.validate,
    linting.lint,
    testing.test,
    judging.inventory,
    enrolling.enroll,
    describing.schema,
    describing.config,
    judging.scan,
    applying.apply,
    explaining.why,
    past_runs.runs,
    holding.release,
    holding.pause,
    holding.unpause,
    past_runs.resume,
    past_runs.reconcile,
    holding.stop,
    holding.start,
    judging.demo,
    helping.help_,
):
    app.command(_command.__name__.removesuffix("_"), cls=CompletedCommand)(_command)

_audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The audit log: what happened, for people.")
_audit.command(cls=CompletedCommand, name="verify")(past_runs.audit_verify)
_audit.command(cls=CompletedCommand, name="show")(past_runs.audit_show)
app.add_typer(_audit, name="audit")

_rules = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The rules: which there are, what they mean.")
_rules.command(cls=CompletedCommand, name="list")(describing.rules_list)
_rules.command(cls=CompletedCommand, name="show")(describing.rules_show)
app.add_typer(_rules, name="rules")
