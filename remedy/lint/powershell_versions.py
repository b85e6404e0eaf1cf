"""PowerShell: what Windows PowerShell 5.1 does not know, or reads otherwise."""

import re
from collections.abc import Callable, Iterator

from remedy.lint.drafts import Draft, shown
from remedy.lint.finding import Subject
from remedy.lint.powershell import PowerShellScript, folded
from remedy.lint.trees import Node

__all__ = ["version_findings"]

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
_BOM = b"\xef\xbb\xbf"


def version_findings(script: PowerShellScript, subject: Subject) -> Iterator[Draft]:
    """Yield what a script for Windows has that Windows PowerShell 5.1 does not take."""
    if not subject.is_windows:
        return
    for node in script.root.walk():
        for look in _LOOKS:
            yield from look(node)
    yield from _null_conditionals(script)
    yield from _beyond_ascii(script, subject)


def _newer(node: Node, what: str) -> Draft:
    return Draft(node=node, code="R302", detail=shown(what))


def _operators(node: Node) -> Iterator[Draft]:
    if node.kind in _OPERATORS:
        yield _newer(node, _OPERATORS[node.kind])
    elif node.kind == "pipeline_chain_tail" or (node.kind == "assignment_operator" and folded(node) == "??="):
        yield _newer(node, node.text)


def _blocks(node: Node) -> Iterator[Draft]:
    if node.kind == "block_name" and folded(node) == "clean":
        yield _newer(node, "a clean block")


def _commands(node: Node) -> Iterator[Draft]:
    if node.kind != "command":
        return
    elements = [each for child in node.children for each in _elements(child)]
    name = next((folded(each) for each in node.children if each.kind == "command_name"), "")
    name = name.rpartition("\\")[2]
    if name in _COMMANDS:
        yield _newer(node, name)
    known = _PARAMETERS.get(name, ())
    before = ""
    for each in elements:
        text = folded(each)
        if each.kind == "command_parameter":
            text = text.rstrip(":")
            if len(text) >= _ABBREVIATED_MIN:
                yield from (_newer(each, f"{name} {full}") for full in known if full.startswith(text))
        elif text in _ENCODINGS or (before.startswith("-enc") and text.strip("'\"") in _ENCODINGS):
            yield _newer(each, f"the encoding {each.text}")
        before = text


def _elements(node: Node) -> list[Node]:
    if node.kind != "command_elements":
        return []
    return [child for child in node.children if child.kind != "command_argument_sep"]


def _variables(node: Node) -> Iterator[Draft]:
    if node.kind != "variable":
        return
    name = folded(node)
    if name in _VARIABLES:
        yield _newer(node, node.text)
    if name == "$psstyle" and not _is_guarded(node):
        yield _newer(node, "$PSStyle without an if")


def _is_guarded(node: Node) -> bool:
    """Say whether a variable stands in the condition of an if, or in what the condition guards."""
    name, inner = folded(node), node
    for outer in node.ancestors():
        if outer.kind == "if_statement":
            condition = outer.child("condition")
            is_named = condition is not None and any(folded(each) == name for each in condition.walk())
            if is_named and inner.kind in ("pipeline", "statement_block"):
                return True
        inner = outer
    return False


def _null_conditionals(script: PowerShellScript) -> Iterator[Draft]:
    """Look at the bytes, for the grammar does not know these operators; texts, comments and bare words left out."""
    root = script.root
    left = bytearray(root.source)
    nodes = sorted(script.of(*_BARE, *_TEXTS), key=lambda node: node.start)
    for node in nodes:
        inner = [each for each in node.children if each.kind == "sub_expression"]
        at = node.start
        for kept in (*inner, None):
            end = kept.start if kept is not None else node.end
            left[at:end] = re.sub(rb"[^\n]", b" ", bytes(left[at:end]))
            at = kept.end if kept is not None else end
    for match in _NULL_CONDITIONAL.finditer(bytes(left)):
        yield _newer(_node_at(root, match.start()), match[0].decode("ascii"))


def _node_at(root: Node, offset: int) -> Node:
    node = root
    while True:
        inner = next((child for child in node.children if child.start <= offset < child.end), None)
        if inner is None:
            return node
        node = inner


def _beyond_ascii(script: PowerShellScript, subject: Subject) -> Iterator[Draft]:
    if subject.body.startswith(_BOM) or subject.body.isascii():
        return
    offset = next(at for at, byte in enumerate(subject.body) if byte > 127)
    character = subject.body[offset : offset + 4].decode("utf-8", errors="replace")[:1]
    yield Draft(node=_node_at(script.root, offset), code="R303", detail=shown(character))


_LOOKS: tuple[Callable[[Node], Iterator[Draft]], ...] = (_operators, _blocks, _commands, _variables)
