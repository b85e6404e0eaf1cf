"""Shell: failures that nobody sees, results that are always the same."""

import re
from collections.abc import Iterator

from remedy.lint.calls import Call
from remedy.lint.drafts import Draft, shown
from remedy.lint.finding import Role, Subject
from remedy.lint.shell import ShellScript, in_function, is_condition, operator_of, word_of
from remedy.lint.trees import Node

__all__ = ["status_findings"]

# Their failure is an answer, or nobody's business.
_ANSWERS = {"command", "type", "which", "hash", "read", "let", "[", "test", "expr", "kill", "wait", "killall", "pkill"}
_ANSWERS |= {"unset", "unalias", "trap", "mountpoint"}
_SEARCHES = {"grep", "egrep", "fgrep", "zgrep", "pgrep", "diff", "cmp"}
_PRODUCERS = {"echo", "printf", "true", ":", "yes", "seq", "env", "set", "declare", "tr", "sort", "uniq", "wc", "head"}
_PRODUCERS |= {"tail", "cut", "rev", "fold", "tac", "date", "ps", "export", "alias", "jobs", "hostname", "uname", "id"}
_OPERATOR = re.compile(r"(?<![\w-])-[A-Za-z]{1,2}(?![\w-])")
_COMPARISONS = {"-eq", "-ne", "-gt", "-lt", "-ge", "-le", "-z", "-n"}
_ALWAYS_0 = {"true", ":", "echo", "printf"}
_BRANCHES = {"if_statement", "case_statement", "while_statement", "for_statement", "c_style_for_statement"}
_BRANCHES |= {"list", "function_definition", "command_substitution", "elif_clause", "else_clause"}


def status_findings(script: ShellScript, subject: Subject) -> Iterator[Draft]:
    """Yield where a status is lost, and where a script's result does not depend on anything."""
    yield from _swallowed(script)
    yield from _pipelines(script)
    yield from _declarations(script)
    yield from _constant_conditions(script)
    if subject.role is Role.FIX:
        yield from _always_well(script)
    if subject.role is Role.COLLECTOR:
        yield from _constant_row(script)
        if subject.names is not None and subject.names.may_be_empty:
            yield from _always_well(script)


def _swallowed(script: ShellScript) -> Iterator[Draft]:
    for node in script.of("list"):
        if operator_of(node) != "||" or len(node.named) < 2:
            continue
        left, right = node.named[0], node.named[-1]
        if _plain_name(right) not in ("true", ":"):
            continue
        if _is_answer(left):
            continue
        yield Draft(node=node, code="R101", detail=shown(node.text))


def _plain_name(node: Node) -> str:
    """Return the name of a command without words, '' for anything else."""
    if node.kind == "redirected_statement":
        body = node.child("body")
        return _plain_name(body) if body is not None else ""
    if node.kind != "command" or any(child.field == "argument" for child in node.children):
        return ""
    name = node.child("name")
    return name.text if name is not None else ""


def _last(node: Node) -> Node:
    """Return the command whose status a node has."""
    for _ in range(20):
        if node.kind in ("list", "pipeline") and node.named:
            node = node.named[-1]
        elif node.kind in ("redirected_statement", "negated_command") and node.named:
            node = node.child("body") or node.named[0]
        else:
            break
    return node


def _is_answer(left: Node) -> bool:
    command = _last(left)
    if command.kind == "test_command" or (command.kind == "compound_statement" and command.text.startswith("((")):
        return True
    name = command.child("name") if command.kind == "command" else None
    if name is None:
        return False
    words = [word_of(child).text for child in command.children if child.field == "argument"]
    if name.text in _SEARCHES:
        # What it prints says it as well: no match is no failure.
        return any(outer.kind == "command_substitution" for outer in command.ancestors())
    if name.text == "rm":
        return any(word.startswith("-") and "f" in word and not word.startswith("--") for word in words)
    return name.text in _ANSWERS


def _pipelines(script: ShellScript) -> Iterator[Draft]:
    if not script.is_bash or script.sets("", "pipefail"):
        return
    is_strict = script.sets("e", "errexit")
    found = [node for node in script.of("pipeline") if _may_fail_early(node) and (is_strict or _is_judged(node))]
    if found:
        found.sort(key=lambda node: node.start)
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        yield Draft(node=found[0], code="R102", detail=shown(found[0].text) + more)


def _may_fail_early(node: Node) -> bool:
    for each in node.named[:-1]:
        command = _last(each)
        name = command.child("name") if command.kind == "command" else None
        if name is None or name.text not in _PRODUCERS:
            return True
    return False


def _is_judged(node: Node) -> bool:
    if is_condition(node):
        return True
    later = node.next_named()
    if later is not None and "$?" in later.text:
        return True
    outer = node.parent
    if outer is None or outer.kind != "command_substitution":
        return False
    holder = outer.parent
    return holder is not None and holder.kind == "variable_assignment" and _is_judged(holder)


def _declarations(script: ShellScript) -> Iterator[Draft]:
    for node in script.of("declaration_command"):
        for assignment in node.named:
            if assignment.kind == "variable_assignment" and _runs_something(assignment):
                yield Draft(node=assignment, code="R103", detail=shown(node.text))


def _runs_something(assignment: Node) -> bool:
    value = assignment.child("value")
    return value is not None and any(each.kind == "command_substitution" for each in value.walk())


def _constant_conditions(script: ShellScript) -> Iterator[Draft]:
    for node in script.of("if_statement", "elif_clause"):
        opening = [child for child in node.children if child.is_named and child.kind != "comment"]
        if not opening or (node.kind == "if_statement" and opening[0].field != "condition"):
            continue
        condition = opening[0]
        if _plain_name(condition) in ("true", "false", ":") or _is_constant_test(condition):
            yield Draft(node=condition, code="R107", detail=shown(condition.text))


def _is_constant_test(node: Node) -> bool:
    if node.kind == "compound_statement" and node.text.startswith("(("):
        names = ("variable_name", "special_variable_name", "command_substitution", "word")
        return all(each.kind not in names for each in node.walk())
    if node.kind != "test_command":
        return False
    if set(_OPERATOR.findall(node.text)) - _COMPARISONS:
        return False  # A file's test asks the disk.
    leaves = [each for each in node.walk() if not each.children and each.is_named]
    kinds = {"word", "number", "string", "string_content", "raw_string", "test_operator", "extglob_pattern", "regex"}
    return bool(leaves) and all(each.kind in kinds for each in leaves) and not _has_expansion(node)


def _has_expansion(node: Node) -> bool:
    return any(each.kind.endswith(("expansion", "substitution")) for each in node.walk())


def _always_well(script: ShellScript) -> Iterator[Draft]:
    if script.sets("e", "errexit") or not script.calls:
        return
    if not any(_does_something(call, script) for call in script.calls):
        return
    for call in script.calls:
        if call.name in ("exit", "return") and call.texts[:1] != ("0",):
            return
        if call.name in ("exec", "not_applicable") and call.words:
            return
    if any(":?" in node.text or "?" in node.text.partition(":-")[0][2:] for node in script.of("expansion")):
        return
    ends = [node for node in script.root.named if node.kind != "function_definition"]
    if ends and _ends_well(ends[-1]):
        yield Draft(node=ends[-1], code="R106", detail="nothing in it can end with another exit code than 0")


def _does_something(call: Call, script: ShellScript) -> bool:
    quiet = {*_ALWAYS_0, "exit", "return", "set", "emit", "export", "shift", "umask", "local", "unset"}
    return call.name not in quiet and call.name not in script.functions


def _ends_well(node: Node) -> bool:
    if node.kind == "list" and operator_of(node) == "||" and node.named:
        return _ends_well(node.named[-1])
    if node.kind == "redirected_statement":
        body = node.child("body")
        return body is not None and _ends_well(body)
    if node.kind == "variable_assignment":
        return not _has_expansion(node)
    if node.kind != "command":
        return False
    name = node.child("name")
    words = [word_of(child).text for child in node.children if child.field == "argument"]
    if name is None:
        return False
    return name.text in (*_ALWAYS_0, "emit") or (name.text in ("exit", "return") and words[:1] == ["0"])


def _constant_row(script: ShellScript) -> Iterator[Draft]:
    emits = [call for call in script.calls if call.name == "emit"]
    if not emits or any(call.name == "not_applicable" for call in script.calls):
        return
    for call in emits:
        is_branch = any(outer.kind in _BRANCHES for outer in call.node.ancestors())
        if is_branch or in_function(call.node) or not call.is_known or not call.words:
            return
    first = emits[0]
    yield Draft(node=first.node, code="R106", detail=f"{shown(first.node.text)} says the same of every host")
