"""
Values of an INI inventory, typed as Ansible types them: a Python literal is one, anything else is text.

Only variables that remedy reads come here; what no reader of YAML would make of
a value either (a set, a key that is no text) stays opaque.
"""

import math
import re
import warnings
from types import MappingProxyType
from typing import Any

from remedy.load.nodes import Entry, ListNode, MappingNode, Node, OpaqueNode, ScalarNode
from remedy.load.scalars import TOO_LARGE, control_doubt

__all__ = ["LITERAL_CHARACTERS_MAX", "literal_node"]

LITERAL_CHARACTERS_MAX = 65_536
_DEPTH_MAX = 32
_DIGITS_MAX = 18
_MAY_BE_LITERAL = re.compile(r"[ \t]*(?:[-+.0-9\"'\[{(]|(?:True|False|None|set)\b|[bBrRuU]{1,2}[\"'])")


def literal_node(text: str, *, line: int, column: int) -> Node:
    """Return what a value is: a number, a boolean, None, a text, a list or a mapping; its parts have its place."""
    return _Typing(line, column).node(_value(text))


class _Doubtful:
    """A value that must not be used, and why."""

    def __init__(self, text: str, doubt: str) -> None:
        self.text = text
        self.doubt = doubt


def _value(text: str) -> Any:
    if not _MAY_BE_LITERAL.match(text):
        return text
    if len(text) > LITERAL_CHARACTERS_MAX:
        return _Doubtful("", f"is longer than {LITERAL_CHARACTERS_MAX // 1024} KiB")
    import ast

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    except (MemoryError, RecursionError):
        return _Doubtful("", "is nested too deep")
    except TypeError:
        # A list as a key, or in a set: Ansible fails there, too.
        return _Doubtful("", "is no literal that can be read")


class _Typing:
    def __init__(self, line: int, column: int) -> None:
        self._line = line
        self._column = column

    def node(self, value: Any, depth: int = 0) -> Node:
        if depth > _DEPTH_MAX:
            return self._scalar("", "is nested too deep")
        if isinstance(value, (list, tuple)):
            items = tuple(self.node(item, depth + 1) for item in value)
            return ListNode(items=items, line=self._line, column=self._column)
        if isinstance(value, dict):
            return self._mapping(value, depth)
        if isinstance(value, (set, frozenset)):
            return OpaqueNode(what="a set of Python", line=self._line, column=self._column)
        return self._one(value)

    def _mapping(self, value: dict[Any, Any], depth: int) -> Node:
        if not all(isinstance(key, str) for key in value):
            return OpaqueNode(what="a key that is no text", line=self._line, column=self._column)
        entries = {
            key: Entry(value=self.node(each, depth + 1), line=self._line, column=self._column)
            for key, each in value.items()
        }
        return MappingNode(entries=MappingProxyType(entries), line=self._line, column=self._column)

    def _one(self, value: Any) -> ScalarNode:
        match value:
            case _Doubtful():
                return self._scalar(value.text, value.doubt)
            case None | bool():
                return self._scalar(value)
            case int():
                return self._scalar(value) if abs(value) < 10**_DIGITS_MAX else self._scalar("", TOO_LARGE)
            case float():
                return self._scalar(value) if math.isfinite(value) else self._scalar("", TOO_LARGE)
            case str():
                return self._scalar(value, control_doubt(value))
            case bytes():
                text = value.decode("utf-8", errors="replace")
                return self._scalar(text, control_doubt(text))
        return self._scalar("..." if value is ... else str(value))

    def _scalar(self, value: str | float | bool | None, doubt: str = "") -> ScalarNode:
        return ScalarNode(value=value, line=self._line, column=self._column, doubt=doubt)
