"""Shell: what removes too much, runs what nobody saw, or waits for a person."""

import re
from collections.abc import Iterator

from remedy.lint.calls import HOLE, Call
from remedy.lint.dangers import call_findings
from remedy.lint.drafts import Draft, shown
from remedy.lint.questions import TAKE_A_PARAMETER
from remedy.lint.shell import ShellScript, assigned_name, is_condition, reads_input, variable_names, word_of
from remedy.lint.trees import Node

__all__ = ["danger_findings"]

_INTERPRETERS = {"sh", "bash", "dash", "zsh", "ksh", "python", "python3", "perl", "ruby", "node", "php", "source", "."}
_FETCHERS = {"curl", "wget", "fetch", "aria2c", "lwp-request", "http"}
_SYSTEM = {"", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run", "/sbin"}
_SYSTEM |= {"/srv", "/sys", "/usr", "/usr/lib", "/usr/bin", "/usr/local", "/var", "/var/lib", "/var/log", "~"}
_SYSTEM |= {"/tmp", "/var/tmp"}  # noqa: S108 - they are looked for, nothing is written there.
_READ_CURE = f"{TAKE_A_PARAMETER}, or let it read a file or a pipe"
_SET_BY_SYSTEM = {"HOME", "TMPDIR", "PWD", "OLDPWD"}


def danger_findings(script: ShellScript) -> Iterator[Draft]:
    """Yield what no script of a rule should do."""
    for call in script.calls:
        if call.name in script.functions:
            continue
        if call.name == "rm" or (call.name == "find" and "rm" in call.texts):
            yield from _removals(script, call)
        yield from call_findings(call, has_input=reads_input(call.node))
        if call.name == "read" and not reads_input(call.node) and not call.has("-u"):
            detail = f"{shown(call.node.text)} gets nothing"
            yield Draft(node=call.node, code="R301", detail=detail, cure=_READ_CURE)
    for node in script.of("for_statement"):
        if node.text.startswith("select"):
            yield Draft(node=node, code="R301", detail="select asks which", cure=TAKE_A_PARAMETER)
    yield from _run_unseen(script)
    for call in script.calls:
        if _is_sysrq(call):
            yield Draft(node=call.node, code="R202", detail=shown(call.node.text))


def _is_sysrq(call: Call) -> bool:
    outer = call.node.parent
    if call.name == "tee":
        return any(text == "/proc/sysrq-trigger" for text in call.texts)
    return outer is not None and outer.kind == "redirected_statement" and "/proc/sysrq-trigger" in outer.text


def _removals(script: ShellScript, call: Call) -> Iterator[Draft]:
    if call.name == "find" or not (call.has("-r", "-R", "--recursive")):
        return
    for word in call.words:
        if word.text.startswith("-") and word.is_literal:
            continue
        why = _why_unsafe(script, word.node, call)
        if why:
            yield Draft(node=call.node, code="R201", detail=f"{shown(call.node.text)}: {why}")
            return


def _why_unsafe(script: ShellScript, node: Node, call: Call) -> str:
    text = word_of(node).text
    if HOLE not in text:
        folder = text.rstrip("/*.") if text not in ("*", ".", "./", "./*") else "relative"
        return f"'{text}' is a part of the system" if folder in _SYSTEM else ""
    if any(each.kind in ("command_substitution", "process_substitution") for each in node.walk()):
        return "the output of a command decides"
    unsafe = sorted(name for name in variable_names(node) if not _is_safe(script, name, call.node, depth=0))
    unsafe = [name for name in unsafe if not _insists(node, name)]
    # Where something fixed stands before and behind it, an empty one names another folder, never a system's.
    return f"${unsafe[0]} may be empty or anything" if unsafe else ""


def _insists(node: Node, name: str) -> bool:
    """Say whether a variable is read as ${name:?}, or has a default."""
    pattern = re.compile(r"\$\{" + re.escape(name) + r":[?\-=+]")
    return pattern.search(node.text) is not None


def _is_safe(script: ShellScript, name: str, before: Node, *, depth: int) -> bool:
    if name in _SET_BY_SYSTEM or depth > 5:
        return name in _SET_BY_SYSTEM
    if _is_tested(script, name, before):
        return True
    values = [
        node.child("value")
        for node in script.of("variable_assignment")
        if assigned_name(node) == name and node.start < before.start
    ]
    loops = [node for node in script.of("for_statement") if _loop_name(node) == name]
    if not values and not loops:
        return False
    return all(value is not None and _is_safe_value(script, value, depth) for value in values) and all(
        _is_safe_value(script, each, depth) for loop in loops for each in loop.children if each.field == "value"
    )


def _loop_name(node: Node) -> str:
    variable = node.child("variable")
    return variable.text if variable is not None else ""


def _is_safe_value(script: ShellScript, value: Node, depth: int) -> bool:
    text = word_of(value).text
    if HOLE not in text:
        return text.rstrip("/*") not in _SYSTEM
    if "mktemp" in value.text:
        return True
    names = variable_names(value)
    if _names_a_folder(text) and not any(name.startswith("REMEDY_") or name.isdigit() for name in names):
        return True
    if any(each.kind == "command_substitution" for each in value.walk()):
        return False
    return bool(names) and all(
        _insists(value, name) or _is_safe(script, name, value, depth=depth + 1) for name in names
    )


def _names_a_folder(text: str) -> bool:
    """Say whether a path with holes still leads to a folder of its own when they are all empty: `…/offline-files`."""
    left = text.replace(HOLE, "").rstrip("/*")
    return "/" in text and any(character.isalnum() for character in left) and left not in _SYSTEM


def _is_tested(script: ShellScript, name: str, before: Node) -> bool:
    """Say whether some condition before looks at a variable."""
    for node in script.of("variable_name", "special_variable_name"):
        if node.start >= before.start or node.text != name or node.parent is None:
            continue
        if f"{{{name}:?" in node.parent.text or _decides(node):
            return True
    return False


def _decides(node: Node) -> bool:
    """Say whether a variable stands in a test, a condition, or what a `case` looks at."""
    for outer in node.ancestors():
        if outer.kind == "function_definition":
            return False
        if outer.kind == "case_statement":
            subject = outer.child("value")
            return subject is not None and subject.start <= node.start < subject.end
        if outer.kind == "test_command" or is_condition(outer):
            return True
    return False


def _run_unseen(script: ShellScript) -> Iterator[Draft]:
    seen: set[int] = set()
    for call in script.calls:
        if call.name not in _FETCHERS:
            continue
        for outer in call.node.ancestors():
            if outer.start in seen:
                break
            if outer.kind in ("function_definition", "if_statement", "while_statement", "case_statement"):
                break
            if outer.kind == "pipeline" and _ends_in_interpreter(script, outer, call):
                seen.add(outer.start)
                yield Draft(node=outer, code="R205", detail=shown(outer.text))
                break
            if outer.kind == "command" and outer is not call.node and _runs_its_words(script, outer):
                seen.add(outer.start)
                yield Draft(node=outer, code="R205", detail=shown(outer.text))
                break


def _calls_at(script: ShellScript, node: Node) -> Iterator[Call]:
    body = node.child("body") if node.kind == "redirected_statement" else node
    return (call for call in script.calls if call.node is body)


def _ends_in_interpreter(script: ShellScript, pipeline: Node, fetcher: Call) -> bool:
    for part in pipeline.named:
        if part.start <= fetcher.node.start:
            continue
        for call in _calls_at(script, part):
            if call.name in _INTERPRETERS and not (call.has("-c", "-m", "-e") and call.name != "sh"):
                return not (call.name.startswith(("python", "perl", "ruby", "node", "php")) and call.operands)
    return False


def _runs_its_words(script: ShellScript, node: Node) -> bool:
    for call in _calls_at(script, node):
        if call.name == "eval" or (call.name in _INTERPRETERS and (call.has("-c") or "<(" in node.text)):
            return True
    return False
