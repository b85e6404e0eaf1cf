"""Type check of a condition's tree: every name exists, every operand has the type it needs."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from remedy.conditions.tokens import SHOWN_CHARACTERS_MAX
from remedy.conditions.tree import (
    Arithmetic,
    Between,
    Call,
    ColumnRead,
    Comparator,
    Comparison,
    Constant,
    In,
    Junction,
    Mistake,
    Negative,
    Node,
    Not,
    OtherRead,
    ParamRead,
    Span,
    children,
)
from remedy.model import Column, ColumnType, Params, ParamValue
from remedy.secrets import SecretReference
from remedy.text import nearest, untrusted

__all__ = ["FUNCTIONS", "Function", "Known", "check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """What a function takes and gives."""

    takes: tuple[ColumnType, ...]
    gives: ColumnType


FUNCTIONS: Mapping[str, Function] = {
    "abs": Function(takes=(ColumnType.NUMBER,), gives=ColumnType.NUMBER),
    "ends_with": Function(takes=(ColumnType.TEXT, ColumnType.TEXT), gives=ColumnType.BOOLEAN),
    "length": Function(takes=(ColumnType.TEXT,), gives=ColumnType.NUMBER),
    "lower": Function(takes=(ColumnType.TEXT,), gives=ColumnType.TEXT),
    "starts_with": Function(takes=(ColumnType.TEXT, ColumnType.TEXT), gives=ColumnType.BOOLEAN),
}

_NO_DEFAULT = "what could not be read stays unknown, and unknown never acts; leave it out"
_NO_CLOCK = "a signal gives times as numbers with a unit, such as days_left; compare that"
_FUNCTION_CURES = {
    "coalesce": _NO_DEFAULT,
    "ifnull": _NO_DEFAULT,
    "isnull": _NO_DEFAULT,
    "nvl": _NO_DEFAULT,
    "nullif": _NO_DEFAULT,
    "iif": "write it with and, or and not",
    "if": "write it with and, or and not",
    "upper": "write lower(…) and compare with lower-case text",
    "contains": "write column like '%text%'",
    "now": _NO_CLOCK,
    "today": _NO_CLOCK,
    "datediff": _NO_CLOCK,
    "cast": "every value has the type of its column; leave it out",
    "exists": "read a column of another signal as signal.column",
}
_SHOWN = {ColumnType.TEXT: "text", ColumnType.NUMBER: "a number", ColumnType.BOOLEAN: "a boolean"}
_EXAMPLES = {
    ColumnType.TEXT: "compare it, as in {} = 'text'",
    ColumnType.NUMBER: "compare it, as in {} < 10",
    ColumnType.BOOLEAN: "",
}
_LISTED_MAX = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a condition may name; `multi_row` are signals that exist and have no single row."""

    columns: Mapping[str, Column]
    params: Params
    signals: Mapping[str, Mapping[str, Column]]
    multi_row: Collection[str]


def check(tree: Node, text: str, *, known: Known) -> tuple[Mistake, ...]:
    """Return what is wrong with names and types, one mistake each; none means that the tree has a meaning."""
    checker = _Checker(text, known)
    checker.need_boolean(tree)
    return tuple(checker.mistakes)


def _param_type(value: ParamValue) -> ColumnType | None:
    match value:
        case bool():
            return ColumnType.BOOLEAN
        case int() | float():
            return ColumnType.NUMBER
        case str():
            return ColumnType.TEXT
        case _:
            return None


class _Checker:
    """
    One walk over one tree.

    The type of a node is None when it, or something below it, was reported:
    nothing that depends on it is reported again.
    """

    def __init__(self, text: str, known: Known) -> None:
        self.mistakes: list[Mistake] = []
        self._text = text
        self._known = known

    def need_boolean(self, node: Node) -> None:
        """Report a node that is no condition."""
        found = self._type(node)
        if found is None or found is ColumnType.BOOLEAN:
            return
        shown = self._shown(node)
        self._note(
            node.span,
            f"{shown} is {_SHOWN[found]}; a condition must be true or false",
            _EXAMPLES[found].format(shown),
        )

    def _note(self, span: Span, message: str, cure: str) -> None:
        self.mistakes.append(Mistake(offset=span.start, message=message, cure=cure))

    def _shown(self, node: Node) -> str:
        written = " ".join(self._text[node.span.start : node.span.end].split())
        cut = len(written) > SHOWN_CHARACTERS_MAX
        return untrusted(written[:SHOWN_CHARACTERS_MAX]) + ("…" if cut else "")

    def _type(self, node: Node) -> ColumnType | None:
        match node:
            case Constant(value=value):
                return None if value is None else _param_type(value)
            case ColumnRead():
                return self._column(node)
            case ParamRead():
                return self._param(node)
            case OtherRead():
                return self._other(node)
            case Negative(operand=operand):
                return self._numbers(node, "-", (operand,))
            case Arithmetic(sign=sign, left=left, right=right):
                return self._numbers(node, sign.value, (left, right))
            case Call():
                return self._call(node)
            case Comparison() | Between():
                return self._comparison(node)
            case In():
                return self._in(node)
            case Not(operand=operand):
                self.need_boolean(operand)
                return ColumnType.BOOLEAN
            case Junction(operands=operands):
                for operand in operands:
                    self.need_boolean(operand)
                return ColumnType.BOOLEAN

    def _column(self, node: ColumnRead) -> ColumnType | None:
        known = self._known
        column = known.columns.get(node.name)
        if column is not None:
            return column.type
        shown = untrusted(node.name, characters_max=SHOWN_CHARACTERS_MAX)
        if node.name in known.params:
            cure = f"write params.{shown} for the parameter"
        elif node.name == "params":
            cure = "write params.name for a parameter"
        elif node.name in known.signals:
            cure = f"write {shown}.column for a column of that signal"
        else:
            cure = _suggestion(node.name, known.columns) or (
                f"the columns are {_listed(known.columns)}; a text is written '{shown}'"
            )
        self._note(node.span, f"there is no column {shown}", cure)
        return None

    def _param(self, node: ParamRead) -> ColumnType | None:
        params = self._known.params
        shown = untrusted(node.name, characters_max=SHOWN_CHARACTERS_MAX)
        if node.name not in params:
            cure = _suggestion(node.name, params, prefix="params.")
            if not cure:
                cure = f"the parameters are {_listed(params)}" if params else "declare it under params:"
            self._note(node.span, f"there is no parameter {shown}", cure)
            return None
        if isinstance(params[node.name], SecretReference):
            cure = "what a condition reads is shown to people; only scripts get a secret"
            self._note(node.span, f"params.{shown} is a secret, which no condition may read", cure)
            return None
        found = _param_type(params[node.name])
        if found is None:
            cure = "write the items into the condition, as in column in ('a', 'b')"
            self._note(node.span, f"params.{shown} is a list; a condition cannot read lists", cure)
        return found

    def _other(self, node: OtherRead) -> ColumnType | None:
        known = self._known
        shown = untrusted(node.signal, characters_max=SHOWN_CHARACTERS_MAX)
        columns = known.signals.get(node.signal)
        if columns is None:
            if node.signal in known.multi_row:
                message = f"signal {shown} may have several rows per host; only one with rows: one can be read here"
                own = node.column in known.columns
                cure = f"write {node.column} for the rule's own signal" if own else f"write a rule on {shown}"
            else:
                message = f"there is no signal {shown}"
                cure = _suggestion(node.signal, [*known.signals, *known.multi_row, "params"])
                if not cure and node.column in known.columns:
                    cure = f"write {node.column} for the rule's own signal"
                cure = cure or "write signal.column with a signal that has rows: one, or params.name"
            self._note(node.span, message, cure)
            return None
        column = columns.get(node.column)
        if column is None:
            missing = untrusted(node.column, characters_max=SHOWN_CHARACTERS_MAX)
            cure = _suggestion(node.column, columns, prefix=f"{shown}.") or f"its columns are {_listed(columns)}"
            self._note(node.span, f"signal {shown} has no column {missing}", cure)
            return None
        return column.type

    def _numbers(self, node: Node, sign: str, operands: tuple[Node, ...]) -> ColumnType | None:
        found = [self._type(operand) for operand in operands]
        for operand, of_type in zip(operands, found, strict=True):
            if of_type is not None and of_type is not ColumnType.NUMBER:
                message = f"{self._shown(operand)} is {_SHOWN[of_type]}; {sign} needs numbers"
                self._note(operand.span, message, self._number_cure(operand))
                return None
        return ColumnType.NUMBER if None not in found else None

    def _number_cure(self, operand: Node) -> str:
        if isinstance(operand, Constant) and isinstance(operand.value, str) and _is_number(operand.value):
            return f"write {operand.value} without quotes"
        return "use a column or literal that is a number"

    def _call(self, node: Call) -> ColumnType | None:
        found = [self._type(argument) for argument in node.arguments]
        shown = untrusted(node.function, characters_max=SHOWN_CHARACTERS_MAX)
        function = FUNCTIONS.get(node.function)
        if function is None:
            cure = _FUNCTION_CURES.get(node.function) or _suggestion(node.function, FUNCTIONS)
            cure = cure or f"the functions are {', '.join(sorted(FUNCTIONS))}"
            self._note(node.span, f"there is no function {shown}", cure)
            return None
        takes = " and ".join(_SHOWN[of_type] for of_type in function.takes)
        if len(found) != len(function.takes):
            example = f"{shown}({', '.join(of_type.value for of_type in function.takes)})"
            takes = f"{len(function.takes)} value{'s' if len(function.takes) > 1 else ''}"
            self._note(node.span, f"{shown} takes {takes}, not {len(found)}", f"write {example}")
            return function.gives
        for argument, of_type, wanted in zip(node.arguments, found, function.takes, strict=True):
            if of_type is not None and of_type is not wanted:
                message = f"{self._shown(argument)} is {_SHOWN[of_type]}; {shown} takes {takes}"
                self._note(argument.span, message, f"use a column or literal that is {_SHOWN[wanted]}")
        return function.gives

    def _comparison(self, node: Comparison | Between) -> ColumnType:
        if isinstance(node, Comparison) and node.comparator is Comparator.LIKE:
            self._texts((node.left, node.right))
            return ColumnType.BOOLEAN
        sign = "between" if isinstance(node, Between) else node.comparator.value
        found = [(operand, of_type) for operand in children(node) if (of_type := self._type(operand)) is not None]
        for first, second in pairwise(found):
            if first[1] is not second[1]:
                self._unequal(node.span.start, first, second, sign)
                return ColumnType.BOOLEAN
        if found and found[0][1] is ColumnType.BOOLEAN and sign not in (Comparator.EQUAL, Comparator.UNEQUAL):
            message = f"{self._shown(found[0][0])} is a boolean; {sign} needs numbers or texts"
            self._note(found[0][0].span, message, "write = or <>, or the boolean alone")
        return ColumnType.BOOLEAN

    def _unequal(self, offset: int, first: tuple[Node, ColumnType], second: tuple[Node, ColumnType], sign: str) -> None:
        message = f"{self._shown(first[0])} is {_SHOWN[first[1]]}, {self._shown(second[0])} is {_SHOWN[second[1]]}"
        literal, other = (second, first) if isinstance(second[0], Constant) else (first, second)
        cure = f"both sides of {sign} must have the same type"
        if isinstance(literal[0], Constant):
            cure = self._same_type_cure(literal[0], other[0], other[1])
        self.mistakes.append(
            Mistake(offset=offset, message=f"{message}; {sign} compares values of one type", cure=cure)
        )

    def _same_type_cure(self, literal: Constant, other: Node, wanted: ColumnType) -> str:
        shown = self._shown(other)
        match wanted:
            case ColumnType.TEXT:
                return f"compare {shown} with a text, such as '{self._shown(literal)}'"
            case ColumnType.NUMBER if isinstance(literal.value, str) and _is_number(literal.value):
                return f"write {literal.value} without quotes"
            case ColumnType.NUMBER:
                return f"compare {shown} with a number"
            case ColumnType.BOOLEAN:
                return f"write {shown} alone, or not {shown}"

    def _texts(self, operands: tuple[Node, ...]) -> None:
        for operand in operands:
            found = self._type(operand)
            if found is not None and found is not ColumnType.TEXT:
                message = f"{self._shown(operand)} is {_SHOWN[found]}; like compares texts"
                self._note(operand.span, message, "write a text and a pattern, as in mount like '/srv/%'")

    def _in(self, node: In) -> ColumnType:
        wanted = self._type(node.operand)
        if wanted is ColumnType.BOOLEAN:
            message = f"{self._shown(node.operand)} is a boolean; in needs a number or text"
            self._note(node.operand.span, message, "write the boolean alone, or not before it")
            return ColumnType.BOOLEAN
        for item in node.items:
            found = self._type(item)
            if wanted is not None and found is not None and found is not wanted:
                self._unequal(item.span.start, (node.operand, wanted), (item, found), "in")
        return ColumnType.BOOLEAN


def _is_number(text: str) -> bool:
    whole, point, fraction = text.partition(".")
    return text.isascii() and whole.isdigit() and (fraction.isdigit() or not point)


def _suggestion(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    found = nearest(name, known)
    return f"did you mean {' or '.join(prefix + candidate for candidate in found)}?" if found else ""


def _listed(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _LISTED_MAX} more" if len(listed) > _LISTED_MAX else ""
    return ", ".join(listed[:_LISTED_MAX]) + more
