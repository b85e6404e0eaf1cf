"""What a file holds, as nodes that know their places: scalars, lists, mappings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Entry", "ListNode", "MappingNode", "Node", "OpaqueNode", "ScalarNode", "ScalarValue", "plain"]

ScalarValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarNode:
    """
    A scalar with its YAML 1.2 value; for quoted ones the place is that of the first character inside.

    `doubt` says why a value of a tolerant file must not be used; strict files have none.
    The value is kept out of the repr: it may be a password.
    """

    value: ScalarValue = field(repr=False)
    line: int
    column: int
    doubt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaqueNode:
    """A value of a tolerant file that we do not read: a tag or an alias, and which."""

    what: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNode:
    """A list, in order."""

    items: "tuple[Node, ...]"
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A value of a mapping, with the place of its key."""

    value: "Node"
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingNode:
    """A mapping from text, in the order of the file."""

    entries: Mapping[str, Entry]
    line: int
    column: int


Node = ScalarNode | OpaqueNode | ListNode | MappingNode


def plain(node: Node) -> Any:
    """Return a node of a strict file as plain Python values."""
    match node:
        case ScalarNode():
            return node.value
        case OpaqueNode():
            return None
        case ListNode():
            return [plain(item) for item in node.items]
        case MappingNode():
            return {key: plain(entry.value) for key, entry in node.entries.items()}
