"""
PowerShell's grammar, without a PowerShell: whether a text parses, and what of it Windows PowerShell 5.1 does not know.

The grammar is tree-sitter-pwsh's. It finds broken structure, not every error; the
second list is ours, and is asked of the syntax tree: what stands in a text or a
comment is no use of it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import tree_sitter_pwsh
from tree_sitter import Language, Node, Parser

__all__ = ["Problem", "parse_problems", "unknown_to_5_1"]

_LANGUAGE = Language(tree_sitter_pwsh.language())

_COMMANDS = {
    "convertfrom-markdown",
    "get-error",
    "get-uptime",
    "join-string",
    "remove-alias",
    "remove-service",
    "test-json",
}
_WEB = ("-skiphttperrorcheck", "-skipcertificatecheck", "-skipheadervalidation")
_PARAMETERS = {
    "foreach-object": ("-parallel",),
    "foreach": ("-parallel",),
    "%": ("-parallel",),
    "invoke-webrequest": _WEB,
    "iwr": _WEB,
    "invoke-restmethod": _WEB,
    "irm": _WEB,
    "convertfrom-json": ("-ashashtable", "-depth", "-noenumerate"),
    "convertto-json": ("-asarray", "-enumsasstrings", "-escapehandling"),
}
_ENCODINGS = {"utf8nobom", "utf8bom"}
_VARIABLES = {"$iswindows", "$islinux", "$ismacos", "$iscoreclr"}
_ABBREVIATED_MIN = 4
"""A parameter may be cut short; `-` and three letters of one of ours are taken for it."""
_OPERATORS = {"null_coalesce_expression": "??", "ternary_expression": "? :"}
# Where `?.` and `?[` mean nothing: a wildcard in a bare word, a text, a comment.
_BARE = {"comment", "generic_token", "command_name", "path_command_name", "verbatim_string_characters"}
_TEXTS = {"expandable_string_literal", "expandable_here_string_literal", "verbatim_here_string_characters"}
_NULL_CONDITIONAL = re.compile(rb"\?(?:\.(?=[A-Za-z_$\"'({])|\[)")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """A place in a text, and what is wrong there."""

    line: int
    what: str


def _root(source: bytes) -> Node:
    return Parser(_LANGUAGE).parse(source).root_node


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", errors="replace").lower()


def _problem(node: Node, what: str) -> Problem:
    return Problem(line=node.start_point[0] + 1, what=what)


def parse_problems(source: bytes) -> list[Problem]:
    """Return where the grammar does not take a text, or takes it only with something put in."""
    found = []
    for node in _walk(_root(source)):
        if node.is_missing:
            found.append(_problem(node, f"missing {node.type}"))
        elif node.is_error:
            found.append(_problem(node, f"not understood: {_text(node)[:60]}"))
    return sorted(set(found))


def unknown_to_5_1(source: bytes) -> list[Problem]:
    """Return what of a text Windows PowerShell 5.1 does not know, as far as we keep a list."""
    root = _root(source)
    found = [problem for node in _walk(root) for look in _LOOKS for problem in look(node)]
    return sorted({*found, *_null_conditionals(source, root)})


def _operators(node: Node) -> Iterator[Problem]:
    if node.type in _OPERATORS:
        yield _problem(node, _OPERATORS[node.type])
    elif node.type == "pipeline_chain_tail":
        yield _problem(node, _text(node))
    elif node.type == "assignment_operator" and _text(node) == "??=":
        yield _problem(node, "??=")


def _blocks(node: Node) -> Iterator[Problem]:
    if node.type == "block_name" and _text(node) == "clean":
        yield _problem(node, "clean block")


def _commands(node: Node) -> Iterator[Problem]:
    if node.type != "command":
        return
    elements = [each for child in node.children for each in _elements(child)]
    name = next((_text(each) for each in node.children if each.type == "command_name"), "")
    name = name.rpartition("\\")[2]
    if name in _COMMANDS:
        yield _problem(node, name)
    known = _PARAMETERS.get(name, ())
    before = ""
    for each in elements:
        text = _text(each)
        if each.type == "command_parameter":
            text = text.rstrip(":")
            if len(text) >= _ABBREVIATED_MIN:
                yield from (_problem(each, full) for full in known if full.startswith(text))
        elif text in _ENCODINGS or (before.startswith("-enc") and text.strip("'\"") in _ENCODINGS):
            yield _problem(each, f"encoding {text}")
        before = text


def _elements(node: Node) -> list[Node]:
    if node.type != "command_elements":
        return []
    return [child for child in node.children if child.type != "command_argument_sep"]


def _variables(node: Node) -> Iterator[Problem]:
    if node.type != "variable":
        return
    name = _text(node)
    if name in _VARIABLES:
        yield _problem(node, name)
    if name == "$psstyle" and not _is_guarded(node):
        yield _problem(node, "$psstyle without an if")


def _is_guarded(node: Node) -> bool:
    """Say whether a variable stands in the condition of an if, or in what the condition guards."""
    name, inner, outer = _text(node), node, node.parent
    while outer is not None:
        if outer.type == "if_statement":
            condition = outer.child_by_field_name("condition")
            is_named = condition is not None and any(_text(each) == name for each in _walk(condition))
            if is_named and inner.type in ("pipeline", "statement_block"):
                return True
        inner, outer = outer, outer.parent
    return False


def _null_conditionals(source: bytes, root: Node) -> Iterator[Problem]:
    """Look at the bytes, for the grammar does not know these operators; texts, comments and bare words left out."""
    left = bytearray(source)
    for node in _walk(root):
        if node.type in _BARE or node.type in _TEXTS:
            inner = [each for each in node.children if each.type == "sub_expression"]
            for at in range(node.start_byte, node.end_byte):
                if left[at] != 10 and not any(each.start_byte <= at < each.end_byte for each in inner):
                    left[at] = 32
    for match in _NULL_CONDITIONAL.finditer(left):
        line = left.count(b"\n", 0, match.start()) + 1
        yield Problem(line=line, what=match[0].decode("ascii"))


_LOOKS: tuple[Callable[[Node], Iterator[Problem]], ...] = (_operators, _blocks, _commands, _variables)
