"""PowerShell: what a collector prints, and the names that a script reads of its own rule or signal."""

import re
from collections.abc import Iterator

from remedy.lint.calls import HOLE, Call
from remedy.lint.drafts import Draft, shown
from remedy.lint.finding import Names, Role, Subject
from remedy.lint.names import emit_findings, unknown_member, unknown_variable
from remedy.lint.powershell import PowerShellScript, abbreviates, folded
from remedy.lint.trees import Node

__all__ = ["name_findings", "row_findings"]

_PRINTS = ("write-output", "write-host")
_JSON = re.compile(r"\s*@?[\"']?\s*\{\s*(?:`\"|\\\"|\"\"|\"|')")
_ENVIRONMENT = re.compile(r"(?i)\$\{?env:(REMEDY_[A-Za-z0-9_]+)\}?")
_MEMBER = re.compile(r"(?i)\$\{?(?:global:|script:)?Remedy\}?((?:\.[A-Za-z_][A-Za-z0-9_]*){1,2})(?![\w(])")
_TAKEN = {
    "function_statement",
    "script_block_expression",
    "sub_expression",
    "array_expression",
    "assignment_expression",
}
_TAKEN |= {"parenthesized_expression", "hash_literal_expression", "param_block", "class_statement"}


def row_findings(script: PowerShellScript, subject: Subject) -> Iterator[Draft]:
    """Yield what of a collector's output is no row, or not one of its signal."""
    if subject.role is not Role.COLLECTOR:
        return
    for call in script.calls:
        if call.name == "emit" and subject.names is not None:
            yield from _emit(call, subject.names)
        elif call.name in _PRINTS:
            if any(_JSON.match(word.node.text) for word in call.words):
                yield Draft(node=call.node, code="R401", detail=shown(call.node.text))
            elif call.words and _reaches_output(call.node):
                yield Draft(node=call.node, code="R402", detail=shown(call.node.text))
        elif call.name == "convertto-json" and not any(abbreviates(text, "-compress", least=4) for text in call.texts):
            yield Draft(node=call.node, code="R401", detail=f"{shown(call.node.text)} prints many lines")
    for node in script.of("string_literal"):
        statement = _statement(node)
        if statement is None or not _reaches_output(node):
            continue
        code = "R401" if _JSON.match(node.text) else "R402"
        yield Draft(node=node, code=code, detail=shown(node.text))


def _emit(call: Call, names: Names) -> Iterator[Draft]:
    if any(word.node.text.startswith("@") for word in call.words):
        return  # Splatting: it may become any number of words.
    words = [word.text.strip("'\"") if HOLE not in word.text else None for word in call.words]
    yield from emit_findings(call.node, words, names)


def _statement(node: Node) -> Node | None:
    """Return the pipeline that a text is all of, None where it is a part of something."""
    inner = node
    for outer in node.ancestors():
        if outer.kind == "statement_list":
            return inner if inner.kind == "pipeline" else None
        if outer.start != node.start or outer.end != node.end:
            return None
        inner = outer
    return None


def _reaches_output(node: Node) -> bool:
    """Say whether what stands there is surely the script's own output; in a function nobody knows."""
    for outer in node.ancestors():
        if outer.kind in _TAKEN:
            return False
        if outer.kind == "pipeline_chain" and len([each for each in outer.named if each.kind == "command"]) > 1:
            return False
        if outer.kind in ("command", "pipeline_chain", "pipeline") and _is_redirected(outer):
            return False
    return not _is_redirected(node)


def _is_redirected(node: Node) -> bool:
    return any(each.kind == "redirection" for child in node.children for each in (child, *child.children))


def name_findings(script: PowerShellScript, subject: Subject) -> Iterator[Draft]:
    """Yield variables of remedy that do not exist for this script."""
    if subject.names is None:
        return
    assigned = {folded(node).strip() for node in script.of("left_assignment_expression")}
    told: set[tuple[int, str]] = set()
    for node in script.of("variable", "expandable_bareword"):
        found = _ENVIRONMENT.fullmatch(node.text)
        if found is None or folded(node) in assigned:
            continue
        wrong = unknown_variable(found[1].upper(), subject)
        if wrong:
            yield Draft(node=node, code="R406", detail=wrong[0], cure=wrong[1])
    for node in script.of("member_access"):
        path = _path(node)
        key = (node.start, ".".join(path[:2]).casefold())
        if not path or any(outer.kind == "member_access" and outer.start == node.start for outer in node.ancestors()):
            continue
        if key in told or f"$remedy.{key[1]}" in assigned:
            continue
        told.add(key)
        wrong = unknown_member(path[:2], subject)
        if wrong:
            yield Draft(node=node, code="R406", detail=wrong[0], cure=wrong[1])


def _path(node: Node) -> tuple[str, ...]:
    """Return the members behind $Remedy, () for anything else."""
    found = _MEMBER.match(node.text)
    if found is None:
        return ()
    return tuple(found[1].split(".")[1:])
