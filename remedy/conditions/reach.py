"""
Whether any row at all can make conditions come out as wanted: what contradicts itself is found before a host is asked.

The answer is one-sided. False is certain: no row of the checked types, whatever
the other signals say, makes all of them so. True may only mean that it could not
be decided: what is calculated from columns is taken for a value of its own, two
columns are compared only with each other, and a condition of too many
alternatives is given up.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from remedy.conditions.evaluate import bind
from remedy.conditions.tree import (
    Between,
    Call,
    ColumnRead,
    Comparator,
    Comparison,
    In,
    Junction,
    Node,
    Not,
    OtherRead,
    Word,
    children,
    walk,
)
from remedy.model import Params

__all__ = ["Wanted", "can_hold"]

Wanted = tuple[Node, bool]
"""A condition that has been checked, and what it is to come out as."""

_STEPS_MAX = 5_000
_Known = Mapping[Hashable, "_Values"]
_ANY_ORDER = frozenset("<=>")
_ORDERS: Mapping[Comparator, frozenset[str]] = {
    Comparator.EQUAL: frozenset("="),
    Comparator.UNEQUAL: frozenset("<>"),
    Comparator.LESS: frozenset("<"),
    Comparator.AT_MOST: frozenset("<="),
    Comparator.MORE: frozenset(">"),
    Comparator.AT_LEAST: frozenset(">="),
}
_TURNED = str.maketrans("<>", "><")


def can_hold(wanted: Sequence[Wanted], params: Params) -> bool:
    """Say whether a row may make every condition come out as wanted; False is certain, True is not."""
    branches = [_Branch(left=tuple(wanted))]
    for _ in range(_STEPS_MAX):
        if not branches:
            return False
        branch = branches.pop()
        if not branch.left and not branch.alternatives:
            return True
        branches.extend(_next(branch, params))
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Branch:
    """What is still wanted, first what leaves no choice, and what is known of the values by now."""

    left: tuple[Wanted, ...] = ()
    alternatives: tuple[Wanted, ...] = ()
    known: _Known = field(default_factory=dict)


def _next(branch: _Branch, params: Params) -> list[_Branch]:
    """Return what becomes of a branch when one more of its conditions is looked at; none when it contradicts itself."""
    if not branch.left:
        (node, want), rest = branch.alternatives[0], branch.alternatives[1:]
        return [replace(branch, left=((each, want),), alternatives=rest) for each in children(node)]
    (node, want), rest = branch.left[0], branch.left[1:]
    match node:
        case Not(operand=operand):
            return [replace(branch, left=((operand, not want), *rest))]
        case Junction(word=word, operands=operands):
            if (word is Word.AND) is want:
                return [replace(branch, left=(*((each, want) for each in operands), *rest))]
            return [replace(branch, left=rest, alternatives=(*branch.alternatives, (node, want)))]
        case Between(operand=operand, low=low, high=high):
            least = Comparison(comparator=Comparator.AT_LEAST, left=operand, right=low)
            most = Comparison(comparator=Comparator.AT_MOST, left=operand, right=high)
            return [replace(branch, left=((Junction(word=Word.AND, operands=(least, most)), want), *rest))]
        case _:
            known = _learned(branch.known, node, want, params)
            return [] if known is None else [replace(branch, left=rest, known=known)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    """The values that a part of a condition may still have; of two parts that are compared, their order."""

    low: Any = None
    low_itself: bool = True
    high: Any = None
    high_itself: bool = True
    only: frozenset[Any] | None = None
    never: frozenset[Any] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether no value is left."""
        if self.only is not None:
            return not any(self._allows(value) for value in self.only)
        if self.low is None or self.high is None or self.low < self.high:
            return False
        return bool(self.low != self.high or not self._allows(self.low))

    def _allows(self, value: Any) -> bool:
        if value in self.never:
            return False
        if self.low is not None and (value < self.low or (value == self.low and not self.low_itself)):
            return False
        return self.high is None or value < self.high or (value == self.high and self.high_itself)

    def among(self, values: frozenset[Any]) -> "_Values":
        """Return those among these."""
        return replace(self, only=values if self.only is None else self.only & values)

    def within(self, order: frozenset[str], value: Any) -> "_Values":
        """Return those that stand in one of these orders to a value."""
        if order == {"="}:
            return self.among(frozenset([value]))
        if "=" not in order and len(order) == 2:
            return replace(self, never=self.never | {value})
        itself = "=" in order
        if "<" in order:
            is_nearer = self.high is None or value < self.high or (value == self.high and not itself)
            return replace(self, high=value, high_itself=itself) if is_nearer else self
        is_nearer = self.low is None or value > self.low or (value == self.low and not itself)
        return replace(self, low=value, low_itself=itself) if is_nearer else self


def _learned(known: _Known, node: Node, want: bool, params: Params) -> _Known | None:
    """Return what is known once a condition that is no junction comes out as wanted; None when it cannot."""
    if _reads_nothing(node):
        return known if bind(node, params)({}, {}) is want else None
    match node:
        case In(operand=operand, items=items):
            given = frozenset(item.value for item in items)
            values = _of(known, operand)
            return _with(known, operand, values.among(given) if want else replace(values, never=values.never | given))
        case Comparison(comparator=comparator, left=left, right=right) if comparator is not Comparator.LIKE:
            order = _ORDERS[comparator] if want else _ANY_ORDER - _ORDERS[comparator]
            if _reads_nothing(left):
                left, right, order = right, left, _turned(order)
            if _reads_nothing(right):
                return _against(known, left, order, bind(right, params)({}, {}))
            return _between(known, left, right, order)
        case _:
            return _with(known, node, _of(known, node).among(frozenset([want])))


def _reads_nothing(node: Node) -> bool:
    return not any(isinstance(each, (ColumnRead, OtherRead)) for each, _ in walk(node))


def _against(known: _Known, part: Node, order: frozenset[str], value: Any) -> _Known | None:
    if value is None:
        return None  # The comparison is unknown, whatever the row says.
    values = _of(known, part)
    if isinstance(value, bool):
        values = values.among(frozenset([True, False]))
    return _with(known, part, values.within(order, value) if order != _ANY_ORDER else values)


def _between(known: _Known, left: Node, right: Node, order: frozenset[str]) -> _Known | None:
    """Return what is known once two parts that both read the row stand in one of these orders."""
    if left == right:
        return known if "=" in order else None
    first, second = sorted((left, right), key=repr)
    if first is not left:
        order = _turned(order)
    return _with(known, (first, second), known.get((first, second), _Values(only=_ANY_ORDER)).among(order))


def _turned(order: frozenset[str]) -> frozenset[str]:
    return frozenset(sign.translate(_TURNED) for sign in order)


def _of(known: _Known, part: Node) -> _Values:
    """Return the values that a part may still have; of some functions none is below zero."""
    if part in known:
        return known[part]
    if isinstance(part, Call) and part.function in ("abs", "length"):
        return _Values(low=0.0)
    return _Values()


def _with(known: _Known, part: Hashable, values: _Values) -> _Known | None:
    return None if values.is_empty else {**known, part: values}
