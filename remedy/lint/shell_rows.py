"""Shell: what a collector prints, and the names that a script reads of its own rule or signal."""

import re
from collections.abc import Iterator

from remedy.lint.calls import HOLE, Call
from remedy.lint.drafts import Draft, shown
from remedy.lint.finding import Names, Role, Subject
from remedy.lint.names import emit_findings, unknown_variable
from remedy.lint.shell import ShellScript, assigned_name, in_function, in_substitution
from remedy.lint.trees import Node

__all__ = ["name_findings", "row_findings"]

_VARIABLE = re.compile(r"REMEDY_[A-Za-z0-9_]+")
_IN_AWK = re.compile(r"ENVIRON\[\s*\"(REMEDY_[A-Za-z0-9_]+)\"\s*\]")
_JSON = re.compile(r"\s*\{\s*\\?[\"'" + HOLE + "]")


def row_findings(script: ShellScript, subject: Subject) -> Iterator[Draft]:
    """Yield what of a collector's output is no row, or not one of its signal."""
    if subject.role is not Role.COLLECTOR:
        return
    is_elsewhere = any(call.name == "exec" and not call.words and _redirects(call.node) for call in script.calls)
    for call in script.calls:
        if call.name in ("echo", "printf"):
            if any(_JSON.match(text) for text in call.texts[:2]):
                yield Draft(node=call.node, code="R401", detail=shown(call.node.text))
            elif call.words and not is_elsewhere and _reaches_output(call.node):
                yield Draft(node=call.node, code="R402", detail=shown(call.node.text))
        elif call.name == "emit" and subject.names is not None:
            yield from _emit(call, subject.names)


def _emit(call: Call, names: Names) -> Iterator[Draft]:
    words: list[str | None] = []
    for word in call.words:
        bare = word.node.kind in ("simple_expansion", "expansion", "command_substitution", "concatenation")
        if (bare and not word.is_literal) or '"$@"' in word.node.text or "[@]" in word.node.text:
            return  # It may become any number of words.
        words.append(word.text if word.is_literal else None)
    yield from emit_findings(call.node, words, names)


def _redirects(node: Node) -> bool:
    outer = node.parent
    return outer is not None and outer.kind == "redirected_statement" and _sends_away(outer)


def _sends_away(statement: Node) -> bool:
    """Say whether a redirection takes standard output."""
    for child in statement.children:
        if child.kind != "file_redirect":
            continue
        descriptor = child.child("descriptor")
        operator = next((each.kind for each in child.children if not each.is_named), "")
        if operator.startswith(("&>", ">")) and (descriptor is None or descriptor.text == "1"):
            return True
    return False


def _reaches_output(node: Node) -> bool:
    """Say whether what a call prints is surely the script's own output; in a function nobody knows."""
    if in_function(node) or in_substitution(node):
        return False
    inner = node
    for outer in (node, *node.ancestors()):
        if outer.kind in ("command", "redirected_statement") and _sends_away(outer):
            return False
        if outer.kind == "pipeline" and outer is not inner and outer.named[-1] is not inner:
            return False
        inner = outer
    return True


def name_findings(script: ShellScript, subject: Subject) -> Iterator[Draft]:
    """Yield variables of remedy that do not exist for this script, and those that stand without quotes."""
    own = {assigned_name(node) for node in script.of("variable_assignment")}
    own |= {node.text for loop in script.of("for_statement") if (node := loop.child("variable")) is not None}
    splits = "IFS" in own
    for node in script.of("variable_name"):
        if not _VARIABLE.fullmatch(node.text) or node.text in own or node.parent is None:
            continue
        if node.parent.kind not in ("simple_expansion", "expansion", "binary_expression", "subscript"):
            continue
        if subject.names is not None and (wrong := unknown_variable(node.text, subject)):
            yield Draft(node=node.parent, code="R406", detail=wrong[0], cure=wrong[1])
        if _is_bare(node.parent, splits=splits):
            yield Draft(node=node.parent, code="R407", detail=shown(node.parent.text))
    if subject.names is None:
        return
    for node in script.of("raw_string", "string"):
        for found in _IN_AWK.finditer(node.text):
            if found[1] not in own and (wrong := unknown_variable(found[1], subject)):
                yield Draft(node=node, code="R406", detail=wrong[0], cure=wrong[1])


def _is_bare(expansion: Node, *, splits: bool) -> bool:
    if expansion.kind not in ("simple_expansion", "expansion") or expansion.text.startswith("${#"):
        return False
    inner = expansion
    for outer in expansion.ancestors():
        if outer.kind == "concatenation":
            inner = outer
            continue
        if outer.kind == "for_statement":
            return inner.field == "value" and not splits
        if outer.kind == "command":
            name = outer.child("name")
            is_set = name is not None and name.text == "set"
            return inner.field == "argument" and not (splits and is_set)
        if outer.kind == "command_name":
            return True
        if outer.kind in ("unary_expression", "binary_expression"):
            inner = outer
            continue
        if outer.kind == "test_command":
            return outer.text.startswith("[") and not outer.text.startswith("[[")
        return False
    return False
