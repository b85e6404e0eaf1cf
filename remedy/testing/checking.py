"""The cases of a rule, each compared with what the rule says; and whether there are enough of them. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from remedy.errors import Place, Problem
from remedy.load.cases import Case, ExpectedVerdict
from remedy.model import Rule, Signal
from remedy.testing.comparing import differences
from remedy.testing.judging import judge_case
from remedy.testing.results import CheckedCase, Kind, State

__all__ = ["broken_file", "check_cases", "check_kinds", "without_cases"]

_NEEDED = (ExpectedVerdict.MATCH, ExpectedVerdict.HEALTHY, ExpectedVerdict.UNKNOWN)


def check_cases(rule: Rule, cases: Sequence[Case], signals: Mapping[str, Signal]) -> Iterator[CheckedCase]:
    """Yield what each case came to: passed when nothing differs from what it expects."""
    for case in cases:
        found = differences(case, judge_case(case, rule, signals))
        message = "; ".join(f"{each.about}: expected {each.expected}, is {each.actual}" for each in found)
        state = State.FAILED if found else State.PASSED
        yield CheckedCase(
            rule=rule.name,
            name=case.name,
            kind=Kind.CASE,
            place=case.place,
            state=state,
            message=message,
            differences=found,
        )


def check_kinds(rule: Rule, cases: Sequence[Case], *, file: str) -> Iterator[CheckedCase]:
    """Yield a failure when the cases of a rule never expect a match, a healthy host, or an unknown one."""
    shown = {expected.verdict for case in cases for expected in case.expect.values()}
    missing = [verdict.value for verdict in _NEEDED if verdict not in shown]
    if missing:
        yield CheckedCase(
            rule=rule.name,
            name="",
            kind=Kind.RULE,
            place=Place(file=file, line=1, column=1),
            state=State.FAILED,
            message=f"no case expects {' or '.join(missing)}",
            cure="a condition that says the same of every host would pass all other tests",
        )


def without_cases(rule: Rule, *, file: str) -> CheckedCase:
    """Return the failure of a rule without a tests.yaml."""
    return CheckedCase(
        rule=rule.name,
        name="",
        kind=Kind.RULE,
        place=rule.place,
        state=State.FAILED,
        message="the rule has no tests.yaml",
        cure=f"write {file}; `remedy schema tests` shows its form",
    )


def broken_file(rule: str, problem: Problem) -> CheckedCase:
    """Return what stands for a mistake in a file, which could not be tested."""
    return CheckedCase(
        rule=rule,
        name="",
        kind=Kind.FILE,
        place=problem.place,
        state=State.BROKEN,
        message=problem.message,
        cure=problem.cure,
    )
