"""
Syntax trees: tree-sitter's, read into plain nodes that know their parent, so that checks need not know the library.

The grammars are an extra. Parsing is bounded: by `is_over`, which is asked again and
again, by the number of nodes, and by their depth, for tree-sitter needs minutes and
gigabytes for some hundred kilobytes that are meant badly.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from remedy.lint.finding import Language

__all__ = ["DEPTH_MAX", "NODES_MAX", "GrammarMissing", "Node", "TooMuch", "parse"]

NODES_MAX = 200_000
DEPTH_MAX = 250
_GRAMMARS = {
    Language.SH: "tree_sitter_bash",
    Language.BASH: "tree_sitter_bash",
    Language.POWERSHELL: "tree_sitter_pwsh",
}


class GrammarMissing(Exception):
    """The grammar of a language is not installed; the message is the module's name."""


class TooMuch(Exception):
    """A text is too large, too deep or too slow to parse; the message says which."""


class Node:
    """One node of a tree; `start` and `end` are offsets in bytes, `line` and `column` count from 1, in characters."""

    __slots__ = ("children", "end", "field", "index", "is_bad", "is_named", "kind", "line", "parent", "source", "start")

    def __init__(self, found: Any, *, field: str, parent: "Node | None", source: bytes) -> None:
        self.kind: str = found.type
        self.field = field
        self.start: int = found.start_byte
        self.end: int = found.end_byte
        self.line: int = found.start_point[0] + 1
        self.is_named: bool = found.is_named
        self.is_bad: bool = found.is_error or found.is_missing
        self.parent = parent
        self.index = 0
        self.children: list[Node] = []
        self.source = source

    @property
    def text(self) -> str:
        """The source of the node."""
        return self.source[self.start : self.end].decode("utf-8", errors="replace")

    @property
    def column(self) -> int:
        """The column in characters, from 1."""
        begin = self.source.rfind(b"\n", 0, self.start) + 1
        return len(self.source[begin : self.start].decode("utf-8", errors="replace")) + 1

    @property
    def named(self) -> list["Node"]:
        """The children that the grammar has a name for, comments left out."""
        return [child for child in self.children if child.is_named and child.kind != "comment"]

    def child(self, field: str) -> "Node | None":
        """Return the first child in a field."""
        return next((child for child in self.children if child.field == field), None)

    def walk(self) -> Iterator["Node"]:
        """Yield the node and all below it, in the order of the text."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    def ancestors(self) -> Iterator["Node"]:
        """Yield what the node stands in, from the inside out."""
        outer = self.parent
        while outer is not None:
            yield outer
            outer = outer.parent

    def next_named(self) -> "Node | None":
        """Return the sibling after the node that is no comment, None for none."""
        if self.parent is None:
            return None
        later = islice(self.parent.children, self.index + 1, None)
        return next((each for each in later if each.is_named and each.kind != "comment"), None)


def parse(source: bytes, language: Language, *, is_over: Callable[[], bool]) -> Node:
    """
    Return the tree of a text, whatever its bytes are.

    Raises:
        GrammarMissing: the extra `lint` is not installed.
        TooMuch: is_over() became true, or the tree is too large or too deep.
    """
    name = _GRAMMARS[language]
    try:
        import importlib

        library = importlib.import_module("tree_sitter")
        grammar = importlib.import_module(name)
    except ImportError as exc:
        raise GrammarMissing(exc.name or name) from exc
    parser = library.Parser(library.Language(grammar.language()))

    def read(offset: int, _position: object) -> bytes:
        return source[offset : offset + 65_536]

    try:
        found = parser.parse(read, progress_callback=lambda _offset, _has_error: is_over())
    except ValueError as exc:
        raise TooMuch("parsing it takes too long") from exc
    return _copied(found, source, is_over)


def _copied(found: Any, source: bytes, is_over: Callable[[], bool]) -> Node:
    if found.root_node.descendant_count > NODES_MAX:
        raise TooMuch(f"it has more than {NODES_MAX} parts")
    cursor = found.walk()
    root = node = Node(cursor.node, field="", parent=None, source=source)
    depth = 0
    while True:
        if cursor.goto_first_child():
            depth += 1
            if depth > DEPTH_MAX:
                raise TooMuch(f"it is nested more than {DEPTH_MAX} deep")
            parent = node
        else:
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    return root
                depth -= 1
                node = node.parent or root
                if depth == 0:
                    return root
            parent = node.parent or root
        if is_over():
            raise TooMuch("parsing it takes too long")
        node = Node(cursor.node, field=cursor.field_name or "", parent=parent, source=source)
        node.index = len(parent.children)
        parent.children.append(node)
