"""
Coverage: what the cases of a rule show of its conditions, part by part. Pure.

A part is what `and`, `or` and `not` join: a comparison, a boolean column. A wrong
part is found out by a row in which it alone decides, once by being true and once
by being false, and by a row at its boundary.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from remedy.conditions import CheckedCondition
from remedy.conditions.evaluate import bind
from remedy.conditions.tree import Between, Comparator, Comparison, Constant, Node
from remedy.load.cases import Case
from remedy.model import Condition, Params, Predicate, ReadingStatus, Row, Rule, Signal, VerifyUntil
from remedy.testing.judging import Judged, judge_case
from remedy.testing.trees import parts_of, replaced
from remedy.verdicts import other_rows

__all__ = ["PartCoverage", "RuleCoverage", "rule_coverage"]

_ORDERED = (Comparator.LESS, Comparator.AT_MOST, Comparator.MORE, Comparator.AT_LEAST)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCoverage:
    """
    One part of a condition (`when`, `verify.until`, `exempt[N].where`), and how many rows show what of it.

    `alone_true` and `alone_false` are rows on which the condition would be decided
    otherwise if only this part, which is true or false there, were not. `at_boundary`
    are rows in which both sides are equal, None for a part without a boundary.
    """

    condition: str
    text: str
    true: int
    false: int
    unknown: int
    alone_true: int
    alone_false: int
    at_boundary: int | None

    @property
    def gaps(self) -> tuple[str, ...]:
        """What no row shows, in words."""
        said = {
            "never true": not self.true,
            "never false": not self.false,
            "never unknown": not self.unknown,
            "never decides alone by being true": bool(self.true) and not self.alone_true,
            "never decides alone by being false": bool(self.false) and not self.alone_false,
            "no row is at its boundary": self.at_boundary == 0,
        }
        return tuple(words for words, holds in said.items() if holds)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCoverage:
    """The parts of a rule's conditions, in the order they are written; `file` is that of the rule."""

    rule: str
    file: str
    parts: tuple[PartCoverage, ...]

    @property
    def gaps(self) -> int:
        """How many parts lack something."""
        return sum(1 for part in self.parts if part.gaps)


def rule_coverage(rule: Rule, cases: Iterable[Case], signals: Mapping[str, Signal]) -> RuleCoverage:
    """Return what the rows of these cases show of the rule's conditions."""
    judged = [(case, judge_case(case, rule, signals)) for case in cases]
    verify = rule.verify
    parts = list(_covered("when", rule.when, judged))
    if isinstance(verify, VerifyUntil):
        parts.extend(_covered("verify.until", verify.until, [each for each in judged if each[0].fixed is not None]))
    for index, exemption in enumerate(rule.exempt):
        if exemption.where is not None:
            held = [each for each in judged if each[0].held is not None]
            parts.extend(_covered(f"exempt[{index}].where", exemption.where, held))
    return RuleCoverage(rule=rule.name, file=rule.place.file, parts=tuple(parts))


class _Counts:
    """The counts of one part of a condition, while rows go by."""

    def __init__(self, tree: Node, part: Node) -> None:
        self.part = part
        self.seen: dict[bool | None, int] = {True: 0, False: 0, None: 0}
        self.alone: dict[bool, int] = {True: 0, False: 0}
        self.at_boundary = 0
        self._whole = {truth: replaced(tree, part, Constant(value=truth)) for truth in (True, False)}
        self.sides = tuple(_sides(part))

    def bound(self, params: Params) -> "_Bound":
        """Return what is asked of rows of hosts with these parameters."""
        return _Bound(
            part=bind(self.part, params),
            if_true=bind(self._whole[True], params),
            if_false=bind(self._whole[False], params),
            sides=tuple((bind(left, params), bind(right, params)) for left, right in self.sides),
        )

    def add(self, bound: "_Bound", row: Row, others: Mapping[str, Row | None]) -> None:
        """Count one row."""
        truth = bound.part(row, others)
        self.seen[truth] += 1
        if truth is not None and {bound.if_true(row, others), bound.if_false(row, others)} == {True, False}:
            self.alone[truth] += 1
        if any(_equal(left(row, others), right(row, others)) for left, right in bound.sides):
            self.at_boundary += 1

    def covered(self, condition: str, text: str) -> PartCoverage:
        """Return the counts."""
        return PartCoverage(
            condition=condition,
            text=" ".join(text[self.part.span.start : self.part.span.end].split()),
            true=self.seen[True],
            false=self.seen[False],
            unknown=self.seen[None],
            alone_true=self.alone[True],
            alone_false=self.alone[False],
            at_boundary=self.at_boundary if self.sides else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """What is asked of each row about one part: the part, the whole with it true and false, its boundaries."""

    part: Predicate
    if_true: Predicate
    if_false: Predicate
    sides: tuple[tuple[Any, Any], ...]  # Any: of nodes that are no conditions, bind gives values.


def _covered(name: str, condition: Condition, judged: Iterable[tuple[Case, Judged]]) -> Iterator[PartCoverage]:
    assert isinstance(condition, CheckedCondition)  # noqa: S101 - whoever loads rules makes no other.
    counts = [_Counts(condition.tree, part) for part in parts_of(condition.tree)]
    bound: dict[tuple[tuple[str, object], ...], list[_Bound]] = {}
    for params, row, others in _rows(condition, judged):
        known = tuple(sorted(params.items()))
        if known not in bound:
            bound[known] = [each.bound(params) for each in counts]
        for each, asked in zip(counts, bound[known], strict=True):
            each.add(asked, row, others)
    for each in counts:
        yield each.covered(name, condition.text)


def _rows(
    condition: Condition, judged: Iterable[tuple[Case, Judged]]
) -> Iterator[tuple[Params, Row, Mapping[str, Row | None]]]:
    """Yield the rows that the cases assert something of: those of selected hosts that are not ignored."""
    for case, said in judged:
        for name in said.judgements:
            reading = said.readings.get(name, {}).get(said.signal.name)
            if name in case.ignored or reading is None or reading.status is not ReadingStatus.OK:
                continue
            others = other_rows(condition.other_signals, said.readings.get(name, {}))
            params = said.rule.params_for(said.hosts[name])
            for row in reading.rows:
                yield params, row, others


def _sides(part: Node) -> Iterator[tuple[Node, Node]]:
    match part:
        case Comparison(comparator=comparator, left=left, right=right) if comparator in _ORDERED:
            yield left, right
        case Between(operand=operand, low=low, high=high):
            yield operand, low
            yield operand, high
        case _:
            return


def _equal(left: object, right: object) -> bool:
    return left is not None and left == right
