"""PowerShell: errors that nobody sees, results that are always the same, what does not parse."""

from collections.abc import Iterator

from remedy.lint.drafts import Draft, shown
from remedy.lint.finding import Role, Subject
from remedy.lint.powershell import HOLES, PowerShellScript, folded
from remedy.lint.trees import Node

__all__ = ["status_findings"]

_SILENT = ("silentlycontinue", "ignore")
_FUNCTIONS = ("function_statement", "script_block_expression", "class_statement")
_BRANCHES = {*_FUNCTIONS, "if_statement", "foreach_statement", "for_statement", "while_statement"}
_BRANCHES |= {"switch_statement", "do_statement", "catch_clause"}
_CONSTANTS = {"$true", "$false", "$null", "0", "1"}


def status_findings(script: PowerShellScript, subject: Subject) -> Iterator[Draft]:
    """Yield where an error is lost, and where a script's result does not depend on anything."""
    yield from _not_understood(script)
    for clause in script.of("catch_clause"):
        block = next((child for child in clause.children if child.kind == "statement_block"), None)
        if block is not None and not block.named:
            yield Draft(node=clause, code="R104")
    for node in script.of("assignment_expression"):
        if _silences(node):
            yield Draft(node=node, code="R105", detail=shown(node.text))
    for node in script.of("if_statement", "elseif_clause"):
        condition = next((child for child in node.named if child.kind == "pipeline"), None)
        if condition is not None and _is_constant(condition):
            yield Draft(node=condition, code="R107", detail=shown(condition.text))
    may_be_empty = subject.names is not None and subject.names.may_be_empty
    if subject.role is Role.FIX or (subject.role is Role.COLLECTOR and may_be_empty):
        yield from _always_well(script)
    if subject.role is Role.COLLECTOR:
        yield from _constant_row(script)


def _not_understood(script: PowerShellScript) -> Iterator[Draft]:
    """Yield the outermost places that the grammar does not take; one a line is enough."""
    lines: set[int] = set()
    for node in script.root.walk():
        if not node.is_bad or node.line in lines or any(outer.is_bad for outer in node.ancestors()):
            continue
        lines.add(node.line)
        text = shown(node.text)
        yield Draft(node=node, code="R010", detail=text or f"{node.kind} is missing")


def _silences(node: Node) -> bool:
    left = next((child for child in node.children if child.kind == "left_assignment_expression"), None)
    if left is None or folded(left).rpartition(":")[2].lstrip("$") != "erroractionpreference":
        return False
    right = node.children[-1].text.strip().strip("'\"").casefold()
    return right.rpartition("::")[2] in _SILENT


def _is_constant(condition: Node) -> bool:
    text = " ".join(folded(condition).split())
    if text in _CONSTANTS or text in {f"-not {each}" for each in _CONSTANTS} | {f"!{each}" for each in _CONSTANTS}:
        return True
    if any(each.kind in HOLES for each in condition.walk()):
        return False
    leaves = [each for each in condition.walk() if not each.children and each.is_named]
    is_comparison = any(each.kind == "comparison_expression" and len(each.children) > 1 for each in condition.walk())
    literal = ("decimal_integer_literal", "verbatim_string_characters", "expandable_string_literal")
    return is_comparison and all(each.kind in (*literal, "comparison_operator") for each in leaves)


def _exits(script: PowerShellScript) -> list[Node]:
    return [node for node in script.of("flow_control_statement") if folded(node).split()[:1] == ["exit"]]


def _may_say_no(script: PowerShellScript) -> bool:
    if any(folded(node).startswith("throw") for node in script.of("flow_control_statement")):
        return True
    if any(call.name in ("write-error", "not_applicable") for call in script.calls):
        return True
    return any(folded(node).removeprefix("exit").strip().strip(";") != "0" for node in _exits(script)) or any(
        "[environment]::exit" in folded(node) for node in script.of("invocation_expression")
    )


def _always_well(script: PowerShellScript) -> Iterator[Draft]:
    if _may_say_no(script) or not script.calls:
        return
    silenced = [node for node in script.of("assignment_expression") if _silences(node) and not _in_function(node)]
    if silenced:
        yield Draft(node=silenced[0], code="R106", detail="errors are silenced, and nothing ends with 1")
        return
    tops = [node for top in script.root.named if top.kind == "statement_list" for node in top.named]
    tries = [node for node in tops if node.kind == "try_statement" and _catches_all(node)]
    risky = [node for node in tops if node not in tries and _may_throw(node)]
    if tries and not risky:
        yield Draft(node=tries[-1], code="R106", detail="every error is caught, and nothing ends with 1")


def _in_function(node: Node) -> bool:
    return any(outer.kind in _FUNCTIONS for outer in node.ancestors())


def _catches_all(node: Node) -> bool:
    clauses = [each for child in node.children if child.kind == "catch_clauses" for each in child.named]
    return any(all(child.kind != "catch_type_list" for child in clause.children) for clause in clauses)


def _may_throw(node: Node) -> bool:
    if node.kind == "function_statement":
        return False
    return any(each.kind in ("command", "invocation_expression", "invokation_expression") for each in node.walk())


def _constant_row(script: PowerShellScript) -> Iterator[Draft]:
    emits = [call for call in script.calls if call.name == "emit"]
    if not emits or any(call.name == "not_applicable" for call in script.calls):
        return
    for call in emits:
        if any(outer.kind in _BRANCHES for outer in call.node.ancestors()) or not call.words:
            return
        if any(not word.is_literal and folded(word.node) not in ("$true", "$false", "$null") for word in call.words):
            return
    yield Draft(node=emits[0].node, code="R106", detail=f"{shown(emits[0].node.text)} says the same of every host")
