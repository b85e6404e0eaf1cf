"""What testing came to, as text, JSON, and what JUnit XML is made of. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from remedy.render.junit import Checked
from remedy.render.junit import State as CheckedState
from remedy.testing.coverage import PartCoverage
from remedy.testing.results import CheckedCase, Kind, State, Suite
from remedy.text import counted, untrusted

__all__ = ["checked_of", "suite_json", "suite_lines", "summary_line"]

_REASONS_MAX = 3
_CHECKED: dict[State, CheckedState] = {
    State.PASSED: "passed",
    State.FAILED: "failed",
    State.SKIPPED: "skipped",
    State.BROKEN: "error",
}


def suite_lines(suite: Suite) -> list[str]:
    """Return what did not pass, each with its place, then the gaps of the coverage and the surviving mutants."""
    lines = [line for each in suite.tested for line in _tested_lines(each)]
    lines.extend(_coverage_lines(suite))
    lines.extend(_survivor_lines(suite))
    return lines


def _tested_lines(tested: CheckedCase) -> Iterator[str]:
    if tested.state is State.PASSED:
        return
    place = untrusted(str(tested.place))
    title = f"{tested.rule}: {untrusted(tested.name)}" if tested.name else tested.rule
    if tested.state is State.SKIPPED:
        yield f"{place}: {title}: skipped: {untrusted(tested.message)}"
        return
    if not tested.differences:
        said = untrusted(tested.message) + (f"; {untrusted(tested.cure)}" if tested.cure else "")
        yield f"{place}: {title}: {said}" if tested.kind is not Kind.FILE else f"{place}: {said}"
        return
    yield f"{place}: {title}: failed"
    for each in tested.differences:
        yield f"  {untrusted(str(each.place))}: {each.about}"
        yield f"    expected  {each.expected}"
        yield f"    actual    {each.actual}"
        yield from (f"    because   {line}" for line in each.why)


def _coverage_lines(suite: Suite) -> Iterator[str]:
    if suite.coverage is None:
        return
    for rule in suite.coverage:
        for part in rule.parts:
            if part.gaps:
                yield f"{untrusted(rule.file)}: {part.condition}: `{untrusted(part.text)}`: {', '.join(part.gaps)}"
    parts = [part for rule in suite.coverage for part in rule.parts]
    full = sum(1 for part in parts if not part.gaps)
    yield f"coverage: {full} of {counted(len(parts), 'part')} of conditions are shown from every side"


def _survivor_lines(suite: Suite) -> Iterator[str]:
    if suite.survivors is None:
        return
    for each in suite.survivors:
        yield f"{untrusted(each.file)}: {each.at}: no case would notice `{untrusted(each.text)}` ({each.kind})"
    yield from (f"mutants: none were planted in {rule}, whose cases fail as it is" for rule in suite.unplanted)
    noticed = suite.mutants - len(suite.survivors)
    yield f"mutants: the cases notice {noticed} of {counted(suite.mutants, 'planted mistake')}"


def summary_line(suite: Suite) -> str:
    """Return the last line: how many rules and cases, what they came to, and which signals have none."""
    failed, broken, skipped = (suite.of(state) for state in (State.FAILED, State.BROKEN, State.SKIPPED))
    cases = [each for each in failed if each.kind is not Kind.RULE]
    lacking = {each.rule for each in failed if each.kind is Kind.RULE}
    parts = [
        *([f"{len(cases)} failed"] if cases else []),
        *([f"{counted(len(lacking), 'rule')} without cases that are needed"] if lacking else []),
        *([counted(len(broken), "problem") + " in files"] if broken else []),
    ]
    if not parts:
        parts = ["all passed" if not skipped else f"{suite.cases - len(skipped)} passed"]
    parts.extend([f"{len(skipped)} skipped ({_reasons(skipped)})"] if skipped else [])
    bare = f"; signals without cases: {', '.join(suite.bare_signals)}" if suite.bare_signals else ""
    of_signals = f" and {counted(suite.signals, 'signal')}" if suite.signals else ""
    return f"{counted(suite.rules, 'rule')}{of_signals}, {counted(suite.cases, 'case')}: {', '.join(parts)}{bare}"


def _reasons(skipped: Sequence[CheckedCase]) -> str:
    reasons = list(dict.fromkeys(untrusted(each.message) for each in skipped))
    more = len(reasons) - _REASONS_MAX
    return "; ".join(reasons[:_REASONS_MAX]) + (f"; and {counted(more, 'other reason')}" if more > 0 else "")


def suite_json(suite: Suite) -> dict[str, Any]:
    """Return everything as one JSON document."""
    document: dict[str, Any] = {
        "test": 1,
        "rules": suite.rules,
        "signals": suite.signals,
        "signals_without_cases": list(suite.bare_signals),
        "cases": suite.cases,
        **{state.value: len(suite.of(state)) for state in State},
        "results": [_tested_json(each) for each in suite.tested],
    }
    if suite.coverage is not None:
        document["coverage"] = [
            {"rule": rule.rule, "file": rule.file, "parts": [_part_json(part) for part in rule.parts]}
            for rule in suite.coverage
        ]
    if suite.survivors is not None:
        document["mutants"] = {
            "planted": suite.mutants,
            "unplanted": list(suite.unplanted),
            "survivors": [
                {"rule": each.rule, "file": each.file, "kind": each.kind, "at": each.at, "text": each.text}
                for each in suite.survivors
            ],
        }
    return document


def _tested_json(tested: CheckedCase) -> dict[str, Any]:
    place = tested.place
    return {
        "rule": tested.rule,
        "name": tested.name,
        "kind": tested.kind.value,
        "state": tested.state.value,
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "message": tested.message,
        "cure": tested.cure,
        "differences": [
            {
                "about": each.about,
                "file": each.place.file,
                "line": each.place.line,
                "column": each.place.column,
                "expected": each.expected,
                "actual": each.actual,
                "why": list(each.why),
            }
            for each in tested.differences
        ],
    }


def _part_json(part: PartCoverage) -> dict[str, Any]:
    return {
        "condition": part.condition,
        "text": part.text,
        "true": part.true,
        "false": part.false,
        "unknown": part.unknown,
        "alone_true": part.alone_true,
        "alone_false": part.alone_false,
        "at_boundary": part.at_boundary,
        "gaps": list(part.gaps),
    }


def checked_of(suite: Suite) -> list[Checked]:
    """Return the cases as JUnit XML has them; a rule without enough cases and a broken file are cases of their own."""
    return [
        Checked(
            name=each.name or f"{each.kind.value} {each.place.file}",
            classname=each.rule,
            file=each.place.file,
            line=each.place.line,
            state=_CHECKED[each.state],
            message=each.message,
            details="\n".join(_tested_lines(each)),
        )
        for each in suite.tested
    ]
