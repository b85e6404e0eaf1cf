"""Random typed trees, rows for them, and their text: for remedy, and for DuckDB as the oracle."""

import itertools
import random
from functools import cache

from hypothesis import strategies as st

from remedy.conditions import CheckedCondition, compile_condition
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
from remedy.errors import Place
from remedy.model import Column, ColumnType, Params, Row, Value
from remedy.text import number_text

TEXT = Column(type=ColumnType.TEXT)
NUMBER = Column(type=ColumnType.NUMBER, unit="percent")
BOOLEAN = Column(type=ColumnType.BOOLEAN)

COLUMNS = {"a": NUMBER, "b": NUMBER, "s": TEXT, "t": TEXT, "p": BOOLEAN, "q": BOOLEAN}
PARAMS: Params = {"limit": 10.0, "zero": 0.0, "label": "web_1", "pattern": "%b_%", "strict": True}
SIGNALS = {"boot": {"days": NUMBER, "kernel": TEXT, "pending": BOOLEAN}}
PLACE = Place(file="rule.yaml", line=7, column=7)

NUMBERS = (0.0, 1.0, 2.0, 3.0, 10.0, 0.1, 0.5, 99.9, 1e-9, 1e16, 1e155, 1.7e308, 5e-324)
TEXTS = ("", "a", "A", "ab", "abc", "web_1", "web-1", "b%", "it's", "a%b_c", "É", "éa", "日本", "ΑΣ", "İ", "\U0001f600")
PATTERNS = ("", "%", "_", "a%", "%b", "%b%", "a_c", "_%_", "%%", "web\\_1", "%a%b%c%", "__", "É%", "%_b%_%", "[a]%")

_ORDERED = tuple(comparator for comparator in Comparator if comparator is not Comparator.LIKE)


def compiled(text: str) -> CheckedCondition:
    """Return a condition over the columns, parameters and signals of this module."""
    return compile_condition(text, columns=COLUMNS, params=PARAMS, signals=SIGNALS, place=PLACE)


def _constants(values: st.SearchStrategy[str | float | bool]) -> st.SearchStrategy[Node]:
    return values.map(lambda value: Constant(value=value))


def _leaves(of_type: ColumnType, literals: st.SearchStrategy[str | float | bool]) -> st.SearchStrategy[Node]:
    columns = [ColumnRead(name=name) for name, column in COLUMNS.items() if column.type is of_type]
    others = [
        OtherRead(signal=signal, column=name)
        for signal, of_signal in SIGNALS.items()
        for name, column in of_signal.items()
        if column.type is of_type
    ]
    kinds = {ColumnType.NUMBER: float, ColumnType.TEXT: str, ColumnType.BOOLEAN: bool}
    params = [ParamRead(name=name) for name, value in PARAMS.items() if type(value) is kinds[of_type]]
    return st.one_of(st.sampled_from(columns), st.sampled_from([*columns, *others, *params]), _constants(literals))


def _literal_numbers() -> st.SearchStrategy[float]:
    return st.sampled_from(NUMBERS) | st.floats(min_value=0, max_value=1e300).map(lambda number: number + 0.0)


def _literal_texts() -> st.SearchStrategy[str]:
    return st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=6)


@cache
def numbers(depth: int) -> st.SearchStrategy[Node]:
    """Trees that are numbers."""
    leaves = _leaves(ColumnType.NUMBER, _literal_numbers())
    if not depth:
        return leaves
    inner = numbers(depth - 1)
    return st.one_of(
        leaves,
        st.builds(Negative, operand=inner),
        st.builds(Arithmetic, sign=st.sampled_from(ArithmeticSign), left=inner, right=inner),
        st.builds(Call, function=st.just("abs"), arguments=st.tuples(inner)),
        st.builds(Call, function=st.just("length"), arguments=st.tuples(texts(depth - 1))),
    )


@cache
def texts(depth: int) -> st.SearchStrategy[Node]:
    """Trees that are texts."""
    leaves = _leaves(ColumnType.TEXT, _literal_texts())
    if not depth:
        return leaves
    return leaves | st.builds(Call, function=st.just("lower"), arguments=st.tuples(texts(depth - 1)))


@cache
def booleans(depth: int) -> st.SearchStrategy[Node]:
    """Trees that are conditions."""
    leaves = _leaves(ColumnType.BOOLEAN, st.booleans())
    if not depth:
        return leaves
    inner = booleans(depth - 1)
    patterns = _constants(st.sampled_from(PATTERNS)) | texts(depth - 1)
    signed = (_literal_numbers() | _literal_numbers().map(lambda number: -number or 0.0)).map(
        lambda v: Constant(value=v)
    )
    functions = st.sampled_from(("starts_with", "ends_with"))
    return st.one_of(
        leaves,
        *(
            st.builds(Comparison, comparator=st.sampled_from(_ORDERED), left=operands, right=operands)
            for operands in (numbers(depth - 1), numbers(0), texts(depth - 1))
        ),
        st.builds(Comparison, comparator=st.just(Comparator.LIKE), left=texts(depth - 1), right=patterns),
        st.builds(
            Comparison, comparator=st.sampled_from((Comparator.EQUAL, Comparator.UNEQUAL)), left=inner, right=inner
        ),
        st.builds(Between, operand=numbers(depth - 1), low=numbers(depth - 1), high=numbers(depth - 1)),
        st.builds(Between, operand=texts(depth - 1), low=texts(0), high=texts(0)),
        st.builds(In, operand=numbers(depth - 1), items=st.lists(signed, min_size=1, max_size=3).map(tuple)),
        st.builds(
            In,
            operand=texts(depth - 1),
            items=st.lists(_constants(_literal_texts()), min_size=1, max_size=3).map(tuple),
        ),
        st.builds(Call, function=functions, arguments=st.tuples(texts(depth - 1), texts(0))),
        st.builds(Not, operand=inner),
        *(
            st.builds(Junction, word=st.just(word), operands=st.lists(inner, min_size=2, max_size=most).map(tuple))
            for word in Word
            for most in (2, 4)
        ),
    )


def _values(column: Column) -> tuple[Value, ...]:
    match column.type:
        case ColumnType.NUMBER:
            return (None, *NUMBERS, *(-number for number in NUMBERS))
        case ColumnType.TEXT:
            return (None, *TEXTS)
        case ColumnType.BOOLEAN:
            return (None, True, False)


def rows() -> st.SearchStrategy[Row]:
    """Typed rows; a column may be null or absent."""
    drawn = {
        name: st.sampled_from(_values(column)) | st.floats(allow_nan=False, allow_infinity=False)
        if column.type is ColumnType.NUMBER
        else st.sampled_from(_values(column))
        for name, column in COLUMNS.items()
    }
    return st.fixed_dictionaries({}, optional=drawn)


def others() -> st.SearchStrategy[dict[str, Row | None]]:
    """The one row of each other signal; it may be absent, None, or lack columns."""
    boot = {name: st.sampled_from(_values(column)) for name, column in SIGNALS["boot"].items()}
    return st.fixed_dictionaries({}, optional={"boot": st.none() | st.fixed_dictionaries({}, optional=boot)})


def many_rows(count: int) -> list[tuple[Row, Row]]:
    """Return always the same rows, each with a row of the signal `boot`."""
    draw = random.Random(20261122)
    return [
        (
            {name: draw.choice(_values(column)) for name, column in COLUMNS.items()},
            {name: draw.choice(_values(column)) for name, column in SIGNALS["boot"].items()},
        )
        for _ in range(count)
    ]


_LEVELS = {Word.OR: 1, Word.AND: 2}


def _level(node: Node) -> int:
    match node:
        case Junction(word=word):
            return _LEVELS[word]
        case Not():
            return 3
        case Comparison() | Between() | In():
            return 4
        case Arithmetic(sign=sign):
            return 5 if sign in (ArithmeticSign.PLUS, ArithmeticSign.MINUS) else 6
        case Negative():
            return 7
        case _:
            return 8


def text_of(node: Node, least: int = 1, *, all_parentheses: bool = False) -> str:
    """Return a condition's text, with the parentheses that it needs or with one around everything."""

    def inner(child: Node, level: int) -> str:
        return text_of(child, level, all_parentheses=all_parentheses)

    level = _level(node)
    match node:
        case Constant(value=bool() as value):
            text = "true" if value else "false"
        case Constant(value=str() as value):
            text = "'" + value.replace("'", "''") + "'"
        case Constant(value=value):
            text = number_text(value)
        case ColumnRead(name=name):
            text = name
        case ParamRead(name=name):
            text = f"params.{name}"
        case OtherRead(signal=signal, column=column):
            text = f"{signal}.{column}"
        case Negative(operand=operand):
            text = f"- {inner(operand, level)}"
        case Arithmetic(sign=sign, left=left, right=right):
            text = f"{inner(left, level)} {sign} {inner(right, level + 1)}"
        case Call(function=function, arguments=arguments):
            text = f"{function}({', '.join(inner(argument, 1) for argument in arguments)})"
        case Comparison(comparator=comparator, left=left, right=right):
            text = f"{inner(left, 5)} {comparator} {inner(right, 5)}"
        case Between(operand=operand, low=low, high=high):
            text = f"{inner(operand, 5)} between {inner(low, 5)} and {inner(high, 5)}"
        case In(operand=operand, items=items):
            text = f"{inner(operand, 5)} in ({', '.join(text_of(item) for item in items)})"
        case Not(operand=operand):
            text = f"not {inner(operand, level)}"
        case Junction(word=word, operands=operands):
            text = f" {word} ".join(inner(operand, level + 1) for operand in operands)
    return f"({text})" if level < least or all_parentheses else text


def sql_of(node: Node, *, finite: bool) -> str:
    """
    Return DuckDB's text of a tree: numbers as DOUBLE, parameters as literals.

    With `finite`, arithmetic that gives no finite number is null there, as it is here.
    """

    def inner(child: Node) -> str:
        return sql_of(child, finite=finite)

    match node:
        case Constant(value=value):
            return _sql_literal(value)
        case ColumnRead(name=name):
            return name
        case ParamRead(name=name):
            return _sql_literal(PARAMS[name])
        case OtherRead(signal=signal, column=column):
            return f"{signal}__{column}"
        case Negative(operand=operand):
            return f"(- {inner(operand)})"
        case Arithmetic(sign=sign, left=left, right=right):
            text = f"({inner(left)} {sign} {inner(right)})"
            if finite:
                for value in ("inf", "-inf", "nan"):
                    text = f"nullif({text}, '{value}'::DOUBLE)"
            return text
        case Call(function="length", arguments=(argument,)):
            return f"CAST(length({inner(argument)}) AS DOUBLE)"
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(inner(argument) for argument in arguments)})"
        case Comparison(comparator=comparator, left=left, right=right):
            return f"({inner(left)} {comparator} {inner(right)})"
        case Between(operand=operand, low=low, high=high):
            return f"({inner(operand)} BETWEEN {inner(low)} AND {inner(high)})"
        case In(operand=operand, items=items):
            return f"({inner(operand)} IN ({', '.join(inner(item) for item in items)}))"
        case Not(operand=operand):
            return f"(NOT {inner(operand)})"
        case Junction(word=word, operands=operands):
            return "(" + f" {word} ".join(inner(operand) for operand in operands) + ")"


def _sql_literal(value: object) -> str:
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case _:
            text = repr(float(value))
            return f"({text}::DOUBLE)" if "e" in text else f"({text}e0)"


def less_informed(row: Row) -> list[Row]:
    """Return the row with each of its values set to null, and with each of them absent."""
    return list(
        itertools.chain.from_iterable(
            ({**row, name: None}, {kept: value for kept, value in row.items() if kept != name}) for name in row
        )
    )
