"""Why a condition decided as it did: its conjuncts and their parts, each with what it read."""

from collections.abc import Iterator, Mapping

from remedy.conditions.evaluate import bind
from remedy.conditions.tree import ColumnRead, Junction, Node, Not, OtherRead, ParamRead, Word, walk
from remedy.model import Clause, Params, ParamValue, Row

__all__ = ["explain"]


def explain(tree: Node, text: str, *, params: Params, row: Row, others: Mapping[str, Row | None]) -> tuple[Clause, ...]:
    """
    Return the clauses joined by `and` at the top, in the order they are written.

    A condition without such an `and` is one clause. One that is made of others by
    `or`, `and` or `not` has these as its parts, each decided by itself. Names of
    values are as written, such as `params.below_percent`.
    """
    explainer = _Explainer(text, params, row, others)
    return tuple(explainer.clause(part) for part in _conjuncts(tree))


class _Explainer:
    """Makes clauses of the parts of one condition on one row."""

    def __init__(self, text: str, params: Params, row: Row, others: Mapping[str, Row | None]) -> None:
        self._text = text
        self._params = params
        self._row = row
        self._others = others

    def clause(self, node: Node) -> Clause:
        word, below = _below(node)
        return Clause(
            text=self._text[node.span.start : node.span.end],
            verdict=bind(node, self._params)(self._row, self._others),
            values=tuple(self._values(node).items()),
            word=word,
            parts=tuple(self.clause(part) for part in below),
        )

    def _values(self, part: Node) -> dict[str, ParamValue | None]:
        values: dict[str, ParamValue | None] = {}
        for node, _ in walk(part):
            match node:
                case ColumnRead(name=name):
                    values[name] = self._row.get(name)
                case ParamRead(name=name):
                    values[f"params.{name}"] = self._params[name]
                case OtherRead(signal=signal, column=column):
                    other = self._others.get(signal)
                    values[f"{signal}.{column}"] = None if other is None else other.get(column)
                case _:
                    continue
        return values


def _below(node: Node) -> tuple[str, tuple[Node, ...]]:
    """Return what joins the parts of a node, and these; nothing of one that is decided as a whole."""
    match node:
        case Junction(word=word, operands=operands):
            return word.value, tuple(part for operand in operands for part in _joined(operand, word))
        case Not(operand=Junction() | Not() as operand):
            return "not", (operand,)
        case _:
            return "", ()


def _joined(node: Node, word: Word) -> Iterator[Node]:
    """Yield the operands of a junction, and those of the same junctions inside it, as one list."""
    if isinstance(node, Junction) and node.word is word:
        for operand in node.operands:
            yield from _joined(operand, word)
    else:
        yield node


def _conjuncts(tree: Node) -> Iterator[Node]:
    yield from _joined(tree, Word.AND)
