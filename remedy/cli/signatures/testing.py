"""`test`, which contacts no host."""

# ruff: noqa: D301, PT028 - \b is the help formatter's mark for lines not to be folded; the command `test` is no test of ours.

from typing import Annotated

import typer

from remedy.cli.options import RuleOption, RulesOption, options_of

__all__ = ["test"]

_Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH", help="A folder of rules, the folder of a rule or signal, or its tests.yaml."),
]
_Keyword = Annotated[
    str | None,
    typer.Option("--keyword", "-k", metavar="TEXT", help="Only cases with this in their name or their rule's."),
]
_Output = Annotated[
    str, typer.Option("--output", "-o", metavar="text|json|junit", help="Form of the result on standard output.")
]
_Coverage = Annotated[bool, typer.Option("--coverage", help="Say which parts of conditions no case shows, and how.")]
_Mutants = Annotated[bool, typer.Option("--mutants", help="Plant mistakes in conditions; say which no case notices.")]
_Strict = Annotated[
    bool, typer.Option("--strict", help="What was skipped, gaps of coverage and surviving mutants fail.")
]


def test(
    paths: _Paths = None,
    rules: RulesOption = None,
    rule: RuleOption = None,
    keyword: _Keyword = None,
    coverage: _Coverage = False,
    mutants: _Mutants = False,
    strict: _Strict = False,
    output: _Output = "text",
) -> int:
    """
    Run the cases in the tests.yaml beside each rule and signal.

    Made-up hosts, readings and a clock; the same evaluator as scan and apply. No host is contacted.

    Fixes and collectors run in namespaces of their own, on a made-up machine; where these cannot be had
    they are skipped, and the last line says so.

    Ends with 3 when a case fails or a rule lacks cases, with 1 when a file is broken.

    \b
      remedy test
      remedy test rules/low-disk --coverage
      remedy test -k boundary
      remedy test -o junit > tests.xml
    """
    from remedy.cli.commands.test import run_test

    return run_test(
        options_of(rules=rules, rule=rule),
        paths or [],
        keyword=keyword,
        output=output,
        coverage=coverage,
        mutants=mutants,
        strict=strict,
    )
