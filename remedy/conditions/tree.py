"""
The typed tree of a condition: twelve frozen kinds of nodes, each with its place in the text.

Spans do not take part in comparing nodes: two texts that mean the same by
their tree are equal.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "Arithmetic",
    "ArithmeticSign",
    "Between",
    "Call",
    "ColumnRead",
    "Comparator",
    "Comparison",
    "Constant",
    "In",
    "Junction",
    "Mistake",
    "Negative",
    "Node",
    "Not",
    "OtherRead",
    "ParamRead",
    "Span",
    "Word",
    "children",
    "walk",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of the condition's text: offset of its first character, and of the one after its last."""

    start: int
    end: int

    def until(self, last: "Span") -> "Span":
        """Return the span from here to the end of last."""
        return Span(start=self.start, end=last.end)


_NOWHERE = Span(start=0, end=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What is wrong with a condition, at which offset of its text, and the cure."""

    offset: int
    message: str
    cure: str


class Comparator(StrEnum):
    """A comparison of two values of one type."""

    EQUAL = "="
    UNEQUAL = "<>"
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    LIKE = "like"


class ArithmeticSign(StrEnum):
    """An operation on two numbers."""

    PLUS = "+"
    MINUS = "-"
    TIMES = "*"
    OVER = "/"


class Word(StrEnum):
    """What joins the parts of a junction."""

    AND = "and"
    OR = "or"


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A literal; None stands for one that could not be read and has been reported."""

    value: str | float | bool | None
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRead:
    """A column of the row that is judged."""

    name: str
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamRead:
    """A parameter, written `params.name`."""

    name: str
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherRead:
    """A column of another signal's one row, written `signal.column`."""

    signal: str
    column: str
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Negative:
    """A number with its sign turned."""

    operand: "Node"
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """Two numbers added, subtracted, multiplied or divided."""

    sign: ArithmeticSign
    left: "Node"
    right: "Node"
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function with its arguments; the name is in lower case."""

    function: str
    arguments: tuple["Node", ...]
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two values compared."""

    comparator: Comparator
    left: "Node"
    right: "Node"
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """Whether a value lies between two others; both ends count."""

    operand: "Node"
    low: "Node"
    high: "Node"
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class In:
    """Whether a value is one of the literals."""

    operand: "Node"
    items: tuple[Constant, ...]
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """The opposite of a condition; `x not in (…)` is `not (x in (…))`."""

    operand: "Node"
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Junction:
    """Two or more conditions joined by `and` or by `or`."""

    word: Word
    operands: tuple["Node", ...]
    span: Span = field(default=_NOWHERE, compare=False)


Node = (
    Constant
    | ColumnRead
    | ParamRead
    | OtherRead
    | Negative
    | Arithmetic
    | Call
    | Comparison
    | Between
    | In
    | Not
    | Junction
)


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below, in the order they are written."""
    match node:
        case Constant() | ColumnRead() | ParamRead() | OtherRead():
            return ()
        case Negative(operand=operand) | Not(operand=operand):
            return (operand,)
        case Arithmetic(left=left, right=right) | Comparison(left=left, right=right):
            return (left, right)
        case Call(arguments=arguments):
            return arguments
        case Between(operand=operand, low=low, high=high):
            return (operand, low, high)
        case In(operand=operand, items=items):
            return (operand, *items)
        case Junction(operands=operands):
            return operands


def walk(tree: Node) -> Iterator[tuple[Node, int]]:
    """Yield every node with its depth from 1, in the order they are written; needs no recursion."""
    stack = [(tree, 1)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        stack.extend((child, depth + 1) for child in reversed(children(node)))
