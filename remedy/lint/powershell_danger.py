"""PowerShell: what removes too much, runs what nobody saw, restarts, or waits for a person."""

import re
from collections.abc import Iterator

from remedy.lint.calls import HOLE, Call
from remedy.lint.dangers import call_findings
from remedy.lint.drafts import Draft, shown
from remedy.lint.powershell import PowerShellScript, abbreviates, folded, variable_base
from remedy.lint.questions import TAKE_A_PARAMETER
from remedy.lint.trees import Node

__all__ = ["danger_findings"]

_INVOCATIONS = ("invocation_expression", "invokation_expression")
_READS = re.compile(r"\[(system\.)?console\]::(readline|readkey|read)\b|\$host\.ui\.(rawui\.readkey|prompt|readline)")
_ASKS = re.compile(r"messagebox\]::show|\.promptfor(choice|credential)\b|\$host\.ui\.prompt")
_FETCHES = ("invoke-webrequest", "invoke-restmethod")
_DOWNLOADS = re.compile(r"\.downloadstring\b|\.getstringasync\b")
_RESTARTS = re.compile(r"\.(win32shutdown|reboot|shutdown)\(|::exitwindowsex\b|initiatesystemshutdown")
_ALWAYS_SET = {
    "env:temp", "env:tmp", "env:systemroot", "env:windir", "env:programdata", "env:programfiles", "env:allusersprofile",
    "env:programfiles(x86)", "env:localappdata", "env:appdata", "env:userprofile", "env:public", "env:systemdrive",
    "psscriptroot", "home", "env:commonprogramfiles", "env:homedrive",
}  # fmt: skip
_ROOTS = re.compile(
    r"(?i)(?:[a-z]:)?[\\/]*\*?|[a-z]:[\\/](?:windows|users|program files(?: \(x86\))?|programdata)[\\/]*\*?"
)
_NO_YES = "write -Confirm:$false"
_NO_QUESTION = f"leave it out, or {TAKE_A_PARAMETER}"
_CONDITIONS = ("if_statement", "elseif_clause", "while_statement", "do_statement", "switch_statement")


def danger_findings(script: PowerShellScript) -> Iterator[Draft]:
    """Yield what no script of a rule should do."""
    for call in script.calls:
        if call.name in script.functions:
            continue
        if call.name == "remove-item":
            yield from _removals(script, call)
        yield from call_findings(call, has_input=False)
        if _confirms(call):
            yield Draft(node=call.node, code="R301", detail=f"{shown(call.node.text)} asks for a yes", cure=_NO_YES)
        if _runs_unseen(call):
            yield Draft(node=_pipeline(call.node), code="R205", detail=shown(_pipeline(call.node).text))
    seen: set[int] = set()
    for node in script.of(*_INVOCATIONS):
        text = folded(node)
        if node.start in seen or any(
            outer.kind in _INVOCATIONS and outer.start == node.start for outer in node.ancestors()
        ):
            continue
        seen.add(node.start)
        if _READS.search(text) or _ASKS.search(text):
            yield Draft(node=node, code="R301", detail=shown(node.text), cure=_NO_QUESTION)
        elif _RESTARTS.search(text) and "script_block" not in {each.kind for each in node.walk()}:
            yield Draft(node=node, code="R202", detail=shown(node.text))
        elif text.startswith("[scriptblock]::create") and _fetches(node):
            yield Draft(node=node, code="R205", detail=shown(node.text))


def _confirms(call: Call) -> bool:
    return any(text.casefold() in ("-confirm", "-confirm:$true") for text in call.texts)


def _fetches(node: Node) -> bool:
    if _DOWNLOADS.search(folded(node)):
        return True
    names = (folded(each) for each in node.walk() if each.kind == "command_name")
    return any(name in ("iwr", "irm", "curl", "wget", *_FETCHES) for name in names)


def _pipeline(node: Node) -> Node:
    return next((outer for outer in node.ancestors() if outer.kind == "pipeline_chain"), node)


def _runs_unseen(call: Call) -> bool:
    if call.name != "invoke-expression":
        return False
    if any(_fetches(word.node) for word in call.words):
        return True
    chain = _pipeline(call.node)
    return any(_fetches(child) for child in chain.children if child.end <= call.node.start)


def _removals(script: PowerShellScript, call: Call) -> Iterator[Draft]:
    is_deep = any(abbreviates(text, "-recurse") for text in call.texts) or any(
        text.casefold() == "/s" for text in call.texts
    )
    if not is_deep:
        return
    skip = False
    for word in call.words:
        text = word.text
        if text.startswith("-"):
            skip = any(abbreviates(text, each, least=3) for each in ("-include", "-exclude", "-filter", "-erroraction"))
            skip = skip or text.casefold() == "-ea"
            continue
        if skip:
            skip = False
            continue
        why = _why_unsafe(script, word.node, text, call.node)
        if why:
            yield Draft(node=call.node, code="R201", detail=f"{shown(call.node.text)}: {why}", cure=_CURE)
            return


_CURE = "test it before (Test-Path, -not, -match), and remove files rather than folders"


def _why_unsafe(script: PowerShellScript, node: Node, text: str, before: Node) -> str:
    if HOLE not in text:
        return f"'{text}' is a part of the system" if _ROOTS.fullmatch(text.strip("'\"")) else ""
    for name in _variables(node):
        if text == HOLE and _is_set(script, name):
            continue  # PowerShell itself refuses to remove nothing; only a part of a path may be empty unseen.
        if not _is_safe(script, name, before, depth=0):
            return f"${name} may be empty or anything"
    return ""


def _is_set(script: PowerShellScript, name: str) -> bool:
    """Say whether the script itself gives a variable its value."""
    return any(variable_base(_assigned(node)) == name for node in script.of("assignment_expression")) or any(
        _loop_name(node) == name for node in script.of("foreach_statement")
    )


def _variables(node: Node) -> list[str]:
    found = []
    for each in node.walk():
        if each.kind == "variable":
            name = variable_base(each.text)
            if name not in ("_", "true", "false", "null"):
                found.append(name)
    return found


def _is_safe(script: PowerShellScript, name: str, before: Node, *, depth: int) -> bool:
    if name in _ALWAYS_SET:
        return True
    if depth > 5:
        return False
    if _is_tested(script, name, before):
        return True
    values = [
        node
        for node in script.of("assignment_expression")
        if node.start < before.start and variable_base(_assigned(node)) == name
    ]
    loops = [node for node in script.of("foreach_statement") if _loop_name(node) == name and node.start < before.start]
    if not values and not loops:
        return False
    return all(_is_safe_value(script, node.children[-1], node, depth) for node in values) and all(
        _is_real(loop) or _is_safe_value(script, _looped(loop), loop, depth) for loop in loops
    )


def _assigned(node: Node) -> str:
    left = next((child for child in node.children if child.kind == "left_assignment_expression"), None)
    return left.text.strip().rpartition("]")[2] if left is not None else ""


def _loop_name(node: Node) -> str:
    variable = next((child for child in node.children if child.kind == "variable"), None)
    return variable_base(variable.text) if variable is not None else ""


def _looped(loop: Node) -> Node:
    return next((child for child in loop.named if child.kind == "pipeline"), loop)


def _is_real(loop: Node) -> bool:
    """Say whether a loop goes over what was found on the disk, so that it is never empty."""
    text = folded(_looped(loop))
    return "get-childitem" in text or text.startswith(("gci ", "dir ", "ls ")) or "]::get" in text


def _is_safe_value(script: PowerShellScript, value: Node, before: Node, depth: int) -> bool:
    names = _variables(value)
    if not names:
        text = value.text.strip().strip("'\"")
        return not _ROOTS.fullmatch(text) and ("get-childitem" in text.casefold() or not _runs(value) or "::" in text)
    return all(_is_safe(script, name, before, depth=depth + 1) for name in names)


def _runs(value: Node) -> bool:
    return any(each.kind == "command" for each in value.walk()) and "join-path" not in folded(value)


def _is_tested(script: PowerShellScript, name: str, before: Node) -> bool:
    """Say whether a condition before, or the attribute of a parameter, looks at a variable."""
    for node in script.of("variable"):
        if node.start >= before.start or variable_base(node.text) != name:
            continue
        inner = node
        for outer in node.ancestors():
            if outer.kind in _CONDITIONS and inner.kind not in ("statement_block", "else_clause", "switch_body"):
                return True
            if outer.kind == "elseif_clauses":
                inner = outer
                continue
            if outer.kind == "script_parameter":
                return "mandatory" in folded(outer) or "[validate" in folded(outer)
            inner = outer
    return False
