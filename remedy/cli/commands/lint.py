"""`remedy lint`: what goes wrong with scripts, said before a host says it."""

from collections.abc import Sequence

from remedy import __version__
from remedy.cli.caller import caller_now
from remedy.cli.composition import Options
from remedy.cli.console import Talk
from remedy.cli.rule_paths import named_or_configured
from remedy.errors import UsageError
from remedy.lint.checkouts import named_from_checkout
from remedy.lint.finding import Level, Linted
from remedy.lint.report import (
    checks_json,
    checks_lines,
    github_lines,
    lint_json,
    lint_lines,
    sarif,
    summary_line,
)
from remedy.lint.scripts import lint_scripts
from remedy.lint.sources import find_scripts
from remedy.summary import ExitCode

__all__ = ["OUTPUTS", "list_checks", "run_lint"]

OUTPUTS = ("text", "json", "github", "sarif")


def run_lint(options: Options, paths: Sequence[str], *, output: str, strict: bool) -> int:
    """Lint scripts of folders of rules (default: the configured one), or single scripts."""
    _check_output(output, OUTPUTS)
    found = find_scripts(named_or_configured(options, paths, kinds="a folder of rules or a script"))
    linted = lint_scripts(found.subjects, gaps=found.gaps, no_scripts=found.no_scripts)
    if output in ("github", "sarif"):
        linted = named_from_checkout(linted, caller_now().directory)
    talk = Talk(as_json=output in ("json", "sarif"))
    match output:
        case "json":
            talk.result_json(lint_json(linted))
        case "sarif":
            talk.result_json(sarif(linted, version=__version__))
        case "github":
            talk.result(github_lines(linted))
            talk.say(summary_line(linted))
        case _:
            talk.result(lint_lines(linted))
            talk.say(summary_line(linted))
    return _exit_code(linted, strict=strict)


def list_checks(output: str) -> int:
    """Show the catalogue of checks."""
    _check_output(output, ("text", "json"))
    talk = Talk(as_json=output == "json")
    if output == "json":
        talk.result_json(checks_json())
    else:
        talk.result(checks_lines())
    return 0


def _check_output(output: str, known: Sequence[str]) -> None:
    if output not in known:
        raise UsageError(f"--output {output}: {', '.join(known[:-1])} or {known[-1]}")


def _exit_code(linted: Linted, *, strict: bool) -> int:
    failing = {Level.ERROR, Level.WARNING} if strict else {Level.ERROR}
    if any(finding.level in failing and not finding.allowed for finding in linted.findings):
        return int(ExitCode.BAD)
    return int(ExitCode.INCOMPLETE) if linted.gaps else 0
