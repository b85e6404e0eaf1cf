"""Why a condition decided as it did: its conjuncts, each with what it read."""

from collections.abc import Iterator, Mapping

from remedy.conditions.evaluate import bind
from remedy.conditions.tree import ColumnRead, Junction, Node, OtherRead, ParamRead, Word, walk
from remedy.model import Clause, Params, ParamValue, Row

__all__ = ["explain"]


def explain(tree: Node, text: str, *, params: Params, row: Row, others: Mapping[str, Row | None]) -> tuple[Clause, ...]:
    """
    Return the clauses joined by `and` at the top, in the order they are written.

    A condition without such an `and` is one clause. Names of values are as
    written, such as `params.below_percent`.
    """
    return tuple(
        Clause(
            text=text[part.span.start : part.span.end],
            verdict=bind(part, params)(row, others),
            values=tuple(_values(part, params, row, others).items()),
        )
        for part in _conjuncts(tree)
    )


def _conjuncts(tree: Node) -> Iterator[Node]:
    if isinstance(tree, Junction) and tree.word is Word.AND:
        for operand in tree.operands:
            yield from _conjuncts(operand)
    else:
        yield tree


def _values(part: Node, params: Params, row: Row, others: Mapping[str, Row | None]) -> dict[str, ParamValue | None]:
    values: dict[str, ParamValue | None] = {}
    for node, _ in walk(part):
        match node:
            case ColumnRead(name=name):
                values[name] = row.get(name)
            case ParamRead(name=name):
                values[f"params.{name}"] = params[name]
            case OtherRead(signal=signal, column=column):
                other = others.get(signal)
                values[f"{signal}.{column}"] = None if other is None else other.get(column)
            case _:
                continue
    return values
