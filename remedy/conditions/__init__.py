"""
Conditions: SQL's boolean expressions of a small fixed grammar, with a meaning of their own.

docs/conditions.md says what can be written and what it means.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from remedy.conditions import evaluate, explain
from remedy.conditions.check import Known, check
from remedy.conditions.parse import RESERVED_WORDS, parse
from remedy.conditions.tree import ColumnRead, Mistake, Node, OtherRead, walk
from remedy.errors import FilesError, Place, Problem
from remedy.model import Clause, Column, Params, Predicate, Row

__all__ = ["RESERVED_WORDS", "CheckedCondition", "compile_condition", "named_signals", "parse_problems"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCondition:
    """
    A condition whose names exist and whose types fit; made by compile_condition.

    `columns_read` are the columns of the judged row in the order they are
    written, `other_signals` the names of the other signals, sorted.
    """

    text: str
    tree: Node
    columns_read: tuple[str, ...]
    other_signals: tuple[str, ...]

    def bind(self, params: Params, /) -> Predicate:
        """
        Return the predicate for these parameter values; bind once, decide many rows.

        The parameters are those the condition was checked with, or others of the
        same names and types. The predicate never raises on a row of the checked
        types; an absent column, and a signal without a row, is null.
        """
        return evaluate.bind(self.tree, params)

    def explain(self, params: Params, row: Row, others: Mapping[str, Row | None], /) -> tuple[Clause, ...]:
        """Return the conjuncts with what each of them read and decided."""
        return explain.explain(self.tree, self.text, params=params, row=row, others=others)


def compile_condition(
    text: str,
    *,
    columns: Mapping[str, Column],
    params: Params,
    signals: Mapping[str, Mapping[str, Column]],
    multi_row_signals: Collection[str] = (),
    place: Place,
) -> CheckedCondition:
    """
    Return the condition, parsed and checked.

    `columns` are those of the judged signal, `params` its parameters with their
    defaults, `signals` the columns of the other signals that have one row per
    host; `multi_row_signals` names those that have not. `place` is that of the
    first character of text; where text goes on in a new line, its column is that
    of the line's first character, as in a literal block of YAML.

    Raises:
        FilesError: what is wrong, each mistake at its place with its cure.
    """
    tree, mistakes = parse(text)
    if tree is not None:
        known = Known(columns=columns, params=params, signals=signals, multi_row=multi_row_signals)
        mistakes = (*mistakes, *check(tree, text, known=known))
    if tree is None or mistakes:
        raise FilesError(_problem(mistake, text, place) for mistake in mistakes)
    nodes = [node for node, _ in walk(tree)]
    return CheckedCondition(
        text=text,
        tree=tree,
        columns_read=tuple(dict.fromkeys(node.name for node in nodes if isinstance(node, ColumnRead))),
        other_signals=tuple(sorted({node.signal for node in nodes if isinstance(node, OtherRead)})),
    )


def parse_problems(text: str, *, place: Place) -> tuple[Problem, ...]:
    """Return what is wrong with a condition whatever its columns are called; `place` is as for compile_condition."""
    _tree, mistakes = parse(text)
    return tuple(_problem(mistake, text, place) for mistake in mistakes)


def named_signals(text: str) -> frozenset[str]:
    """Return the names of the other signals that a condition reads, known or not; none if it is no condition."""
    tree, _mistakes = parse(text)
    nodes = [node for node, _ in walk(tree)] if tree is not None else []
    return frozenset(node.signal for node in nodes if isinstance(node, OtherRead))


def _problem(mistake: Mistake, text: str, place: Place) -> Problem:
    if place.line:
        before = text[: mistake.offset]
        column = mistake.offset - (before.rfind("\n") + 1)
        place = Place(file=place.file, line=place.line + before.count("\n"), column=place.column + column)
    return Problem(place=place, message=mistake.message, cure=mistake.cure)
