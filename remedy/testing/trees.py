"""Trees of conditions, taken apart and put together again with one node changed. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from remedy.conditions.tree import (
    Junction,
    Node,
    Not,
)

__all__ = ["parts_of", "replaced"]


def parts_of(tree: Node) -> Iterator[Node]:
    """Yield what `and`, `or` and `not` join, in the order it is written."""
    match tree:
        case Junction(operands=operands):
            for operand in operands:
                yield from parts_of(operand)
        case Not(operand=operand):
            yield from parts_of(operand)
        case _:
            yield tree


def replaced(tree: Node, old: Node, new: Node) -> Node:
    """Return the tree with this very node (not one that is equal) replaced."""
    if tree is old:
        return new
    match tree:
        case Junction(operands=operands):
            return replace(tree, operands=tuple(replaced(each, old, new) for each in operands))
        case Not(operand=operand):
            return replace(tree, operand=replaced(operand, old, new))
        case _:
            return tree
