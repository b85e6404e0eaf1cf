"""
What a condition means: closures that decide one row as true, false, or None for unknown.

Null in, null out: every function and operation gives None when something it
needs is None; division by zero and results that are no finite number give None.
`and`, `or` and `not` are Kleene's. Taking a value away can therefore turn a
verdict only into None, never a false one into a true one.

The tree is checked before, so the closures do not look at types. Parts that
read no row are decided once, when parameters are bound; a column against such
a part, and two of those joined, have closures of their own, because most
conditions are just that and are decided for every row of every host.
"""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from remedy.conditions.like import matcher
from remedy.conditions.tree import (
    Arithmetic,
    ArithmeticSign,
    Between,
    Call,
    ColumnRead,
    Comparator,
    Comparison,
    Constant,
    In,
    Junction,
    Negative,
    Node,
    Not,
    OtherRead,
    ParamRead,
    Word,
)
from remedy.model import Params, Predicate, Row

__all__ = ["bind"]

_Run = Callable[[Row, Mapping[str, Row | None]], Any]  # Any: the check has proven the types.


@dataclass(frozen=True, slots=True)
class _Fixed:
    """The part reads no row; its value."""

    value: Any


@dataclass(frozen=True, slots=True)
class _Column:
    """The part is just a column of the judged row."""

    name: str


@dataclass(frozen=True, slots=True)
class _Against:
    """The part compares a column of the judged row with a fixed value."""

    column: str
    compare: Callable[[Any, Any], Any]
    value: Any


@dataclass(frozen=True, slots=True)
class _Part:
    """A compiled node, and its shape where closures are specialised for it."""

    run: _Run
    shape: _Fixed | _Column | _Against | None = None


def bind(tree: Node, params: Params) -> Predicate:
    """
    Return the predicate of a checked tree for these parameters.

    It never raises on a row of the checked types; an absent column is null.
    """
    return _part(tree, params).run


def _part(node: Node, params: Params) -> _Part:
    match node:
        case Constant(value=value):
            return _fixed(value)
        case ColumnRead(name=name):
            return _Part(lambda row, others: row.get(name), _Column(name))
        case ParamRead(name=name):
            return _fixed(params[name])
        case OtherRead(signal=signal, column=column):
            return _other(signal, column)
        case Negative(operand=operand):
            return _applied(operator.neg, _part(operand, params))
        case Arithmetic(sign=sign, left=left, right=right):
            return _applied(_ARITHMETIC[sign], _part(left, params), _part(right, params))
        case Call(function=function, arguments=arguments):
            return _applied(_FUNCTIONS[function], *(_part(argument, params) for argument in arguments))
        case Comparison(comparator=comparator, left=left, right=right):
            return _compared(comparator, _part(left, params), _part(right, params))
        case Between(operand=operand, low=low, high=high):
            part = _part(operand, params)
            least = _compared(Comparator.AT_LEAST, part, _part(low, params))
            return _joined(Word.AND, [least, _compared(Comparator.AT_MOST, part, _part(high, params))])
        case In(operand=operand, items=items):
            return _against(_part(operand, params), _is_in, frozenset(item.value for item in items))
        case Not(operand=operand):
            return _applied(operator.not_, _part(operand, params))
        case Junction(word=word, operands=operands):
            return _joined(word, [_part(operand, params) for operand in operands])


def _fixed(value: Any) -> _Part:
    return _Part(lambda row, others: value, _Fixed(value))


def _folded(run: _Run, *parts: _Part) -> _Part:
    if all(isinstance(part.shape, _Fixed) for part in parts):
        return _fixed(run({}, {}))
    return _Part(run)


def _other(signal: str, column: str) -> _Part:
    def run(row: Row, others: Mapping[str, Row | None]) -> Any:
        other = others.get(signal)
        return None if other is None else other.get(column)

    return _Part(run)


def _applied(function: Callable[..., Any], *parts: _Part) -> _Part:
    """Return the function of one or two parts; null when one of them is."""
    if len(parts) == 1:
        inner = parts[0].run

        def run_one(row: Row, others: Mapping[str, Row | None]) -> Any:
            value = inner(row, others)
            return None if value is None else function(value)

        return _folded(run_one, *parts)
    left, right = (part.run for part in parts)

    def run_two(row: Row, others: Mapping[str, Row | None]) -> Any:
        first = left(row, others)
        if first is None:
            return None
        second = right(row, others)
        return None if second is None else function(first, second)

    return _folded(run_two, *parts)


def _finite(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], float | None]:
    def calculate(left: Any, right: Any) -> float | None:
        try:
            result = float(function(left, right))
        except (ZeroDivisionError, OverflowError):  # Overflow: of whole numbers, should a row ever hold any.
            return None
        return result if math.isfinite(result) else None

    return calculate


_ARITHMETIC: Mapping[ArithmeticSign, Callable[[Any, Any], float | None]] = {
    ArithmeticSign.PLUS: _finite(operator.add),
    ArithmeticSign.MINUS: _finite(operator.sub),
    ArithmeticSign.TIMES: _finite(operator.mul),
    ArithmeticSign.OVER: _finite(operator.truediv),
}


def _lower(text: str) -> str:
    """Return the text in lower case, each character by itself, so that its length stays."""
    return text.lower() if text.isascii() else "".join(character.lower()[0] for character in text)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "ends_with": str.endswith,
    "length": lambda text: float(len(text)),
    "lower": _lower,
    "starts_with": str.startswith,
}


def _is_in(value: Any, items: Any) -> bool:
    return value in items


_COMPARE: Mapping[Comparator, Callable[[Any, Any], bool]] = {
    Comparator.EQUAL: operator.eq,
    Comparator.UNEQUAL: operator.ne,
    Comparator.LESS: operator.lt,
    Comparator.AT_MOST: operator.le,
    Comparator.MORE: operator.gt,
    Comparator.AT_LEAST: operator.ge,
}
_TURNED = {
    Comparator.LESS: Comparator.MORE,
    Comparator.AT_MOST: Comparator.AT_LEAST,
    Comparator.MORE: Comparator.LESS,
    Comparator.AT_LEAST: Comparator.AT_MOST,
}


def _compared(comparator: Comparator, left: _Part, right: _Part) -> _Part:
    if isinstance(right.shape, _Fixed):
        if comparator is not Comparator.LIKE:
            return _against(left, _COMPARE[comparator], right.shape.value)
        pattern = right.shape.value
        if pattern is not None:
            return _applied(matcher(pattern), left)
    if comparator is Comparator.LIKE:
        return _applied(lambda text, pattern: matcher(pattern)(text), left, right)
    if isinstance(left.shape, _Fixed):
        return _compared(_TURNED.get(comparator, comparator), right, left)
    return _applied(_COMPARE[comparator], left, right)


def _against(left: _Part, compare: Callable[[Any, Any], bool], value: Any) -> _Part:
    """Return the comparison of a part with a fixed value."""
    if value is None:
        return _fixed(None)
    if not isinstance(left.shape, _Column):
        return _applied(lambda found: compare(found, value), left)
    name = left.shape.name

    def run(row: Row, others: Mapping[str, Row | None]) -> bool | None:
        found = row.get(name)
        return None if found is None else compare(found, value)

    return _Part(run, _Against(name, compare, value))


def _joined(word: Word, parts: list[_Part]) -> _Part:
    if len(parts) == 2:
        left, right = parts
        if isinstance(left.shape, _Against) and isinstance(right.shape, _Against):
            return _Part((_both if word is Word.AND else _either)(left.shape, right.shape))
    runs = tuple(part.run for part in parts)
    decisive: bool = word is Word.OR

    def run(row: Row, others: Mapping[str, Row | None]) -> bool | None:
        verdict: bool | None = not decisive
        for decide in runs:
            found: bool | None = decide(row, others)
            if found is decisive:
                return decisive
            if found is None:
                verdict = None
        return verdict

    return _folded(run, *parts)


def _both(left: _Against, right: _Against) -> _Run:
    first, compare_first, first_value = left.column, left.compare, left.value
    second, compare_second, second_value = right.column, right.compare, right.value

    def run(row: Row, others: Mapping[str, Row | None]) -> bool | None:
        found = row.get(first)
        if found is not None and not compare_first(found, first_value):
            return False
        other = row.get(second)
        if other is None:
            return None
        if compare_second(other, second_value):
            return None if found is None else True
        return False

    return run


def _either(left: _Against, right: _Against) -> _Run:
    first, compare_first, first_value = left.column, left.compare, left.value
    second, compare_second, second_value = right.column, right.compare, right.value

    def run(row: Row, others: Mapping[str, Row | None]) -> bool | None:
        found = row.get(first)
        if found is not None and compare_first(found, first_value):
            return True
        other = row.get(second)
        if other is None:
            return None
        if compare_second(other, second_value):
            return True
        return None if found is None else False

    return run
