"""
Mutants: a condition with one mistake planted, as people make them. Pure.

Cases that cannot tell a mutant from the rule would not notice the mistake either.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from remedy.conditions import CheckedCondition, compile_condition
from remedy.conditions.tree import (
    ColumnRead,
    Comparator,
    Comparison,
    Constant,
    Junction,
    Node,
    Not,
    OtherRead,
    ParamRead,
    Span,
    Word,
    walk,
)
from remedy.errors import FilesError
from remedy.model import Column, Condition, RowPromise, Rule, Signal, VerifyUntil
from remedy.testing.trees import parts_of
from remedy.text import number_text

__all__ = ["Mutant", "mutants_of"]

_FLIPPED: Mapping[Comparator, tuple[str, ...]] = {
    Comparator.EQUAL: ("<>",),
    Comparator.UNEQUAL: ("=",),
    Comparator.LESS: (">", "<=", ">="),
    Comparator.AT_MOST: (">=", "<", ">"),
    Comparator.MORE: ("<", ">=", "<="),
    Comparator.AT_LEAST: ("<=", ">", "<"),
    Comparator.LIKE: (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """
    A rule with one mistake: of which kind, in which condition or parameter, and how it reads there.

    Kinds: flip, off by one unit, dropped part, swapped column, and/or.
    """

    kind: str
    at: str
    text: str
    rule: Rule


def mutants_of(rule: Rule, signals: Mapping[str, Signal]) -> Iterator[Mutant]:
    """Yield the rule with each mistake planted that its language allows; texts that do not compile are none."""
    verify = rule.verify
    for kind, text, when in _conditions(rule.when, rule, signals):
        yield Mutant(kind=kind, at="when", text=text, rule=replace(rule, when=when))
    if isinstance(verify, VerifyUntil):
        for kind, text, until in _conditions(verify.until, rule, signals):
            changed = replace(rule, verify=replace(verify, until=until))
            yield Mutant(kind=kind, at="verify.until", text=text, rule=changed)
    for index, exemption in enumerate(rule.exempt):
        if exemption.where is None:
            continue
        for kind, text, where in _conditions(exemption.where, rule, signals):
            exempt = (*rule.exempt[:index], replace(exemption, where=where), *rule.exempt[index + 1 :])
            at = f"exempt[{index}].where"
            yield Mutant(kind=kind, at=at, text=text, rule=replace(rule, exempt=exempt))
    for name in sorted(_params_read(rule)):
        value = rule.params[name]
        if isinstance(value, bool):
            yield _with_param(rule, name, not value, kind="flip")
        elif isinstance(value, (int, float)):
            yield _with_param(rule, name, value + 1, kind="off by one unit")
            yield _with_param(rule, name, value - 1, kind="off by one unit")


def _with_param(rule: Rule, name: str, value: float | bool, *, kind: str) -> Mutant:
    text = number_text(value) if not isinstance(value, bool) else str(value).lower()
    return Mutant(kind=kind, at=f"params.{name}", text=text, rule=replace(rule, params={**rule.params, name: value}))


def _params_read(rule: Rule) -> set[str]:
    verify = rule.verify
    conditions = [rule.when, *(exemption.where for exemption in rule.exempt if exemption.where is not None)]
    if isinstance(verify, VerifyUntil):
        conditions.append(verify.until)
    return {node.name for condition in conditions for node, _ in walk(_tree(condition)) if isinstance(node, ParamRead)}


def _tree(condition: Condition) -> Node:
    assert isinstance(condition, CheckedCondition)  # noqa: S101 - whoever loads rules makes no other.
    return condition.tree


def _conditions(
    condition: Condition, rule: Rule, signals: Mapping[str, Signal]
) -> Iterator[tuple[str, str, CheckedCondition]]:
    """Yield each mutant of a condition that compiles, with its kind and text."""
    tree, text = _tree(condition), condition.text
    columns = signals[rule.signal].columns
    one_row = {
        name: signal.columns
        for name, signal in signals.items()
        if name != rule.signal and not signal.key and signal.rows is not RowPromise.ANY
    }
    seen = {_squeezed(text)}
    for kind, changed in _texts(tree, text, columns):
        if _squeezed(changed) in seen:
            continue
        seen.add(_squeezed(changed))
        try:
            compiled = compile_condition(
                changed, columns=columns, params=rule.params, signals=one_row, place=rule.place
            )
        except FilesError:
            continue
        yield kind, _squeezed(changed), compiled


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _texts(tree: Node, text: str, columns: Mapping[str, Column]) -> Iterator[tuple[str, str]]:
    for node, _ in walk(tree):
        match node:
            case Comparison():
                yield from (("flip", changed) for changed in _flipped(node, text))
            case Constant(value=float() | int() as value) if not isinstance(value, bool):
                for near in (value + 1, value - 1):
                    shown = number_text(near) if near >= 0 else f"({number_text(near)})"
                    yield "off by one unit", _with(text, node.span, shown)
            case ColumnRead(name=name):
                for other, column in columns.items():
                    if other != name and column.type is columns[name].type:
                        yield "swapped column", _with(text, node.span, other)
            case Junction():
                yield from _junctions(node, text)
            case Not(operand=operand):
                yield "flip", _with(text, node.span, text[operand.span.start : operand.span.end])
            case _:
                continue
    for part in parts_of(tree):
        if isinstance(part, ColumnRead | OtherRead):
            yield "flip", _with(text, part.span, f"not {text[part.span.start : part.span.end]}")


def _with(text: str, span: Span, new: str) -> str:
    return text[: span.start] + new + text[span.end :]


def _flipped(node: Comparison, text: str) -> Iterator[str]:
    between = Span(start=node.left.span.end, end=node.right.span.start)
    sign = text[between.start : between.end]
    for other in _FLIPPED[node.comparator]:
        changed = re.sub(r"<>|!=|<=|>=|=|<|>", other, sign, count=1)
        yield _with(text, between, changed)


def _junctions(node: Junction, text: str) -> Iterator[tuple[str, str]]:
    other = "or" if node.word is Word.AND else "and"
    for left, right in pairwise(node.operands):
        between = Span(start=left.span.end, end=right.span.start)
        changed = re.sub(rf"\b{node.word.value}\b", other, text[between.start : between.end], flags=re.IGNORECASE)
        yield "and/or", _with(text, between, changed)
    neutral = "true" if node.word is Word.AND else "false"
    for operand in node.operands:
        yield "dropped part", _with(text, operand.span, neutral)
