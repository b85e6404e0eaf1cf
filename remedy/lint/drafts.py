"""A finding before it has a file: the node it stands at, the check, and what exactly."""

from dataclasses import dataclass

from remedy.lint.checks import CHECKS
from remedy.lint.finding import Finding
from remedy.lint.trees import Node
from remedy.text import untrusted

__all__ = ["Draft", "finished", "shown"]

_SHOWN_MAX = 60
_STATEMENTS = {
    "program",
    "statement_list",
    "do_group",
    "compound_statement",
    "subshell",
    "case_item",
    "statement_block",
}
_STATEMENTS |= {"if_statement", "elif_clause", "else_clause", "script_block_body"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is wrong at a node; `detail` stands behind the check's sentence, `cure` before the check's own."""

    node: Node
    code: str
    detail: str = ""
    cure: str = ""


def shown(text: str) -> str:
    """Return a piece of a script as a message shows it: one line, not long, nothing hidden in it."""
    line = " ".join(text.split())
    return untrusted(line[:_SHOWN_MAX] + ("…" if len(line) > _SHOWN_MAX else ""))


def finished(draft: Draft, file: str) -> Finding:
    """Return a draft as a finding in a file."""
    from remedy.errors import Place

    check = CHECKS[draft.code]
    return Finding(
        place=Place(file=file, line=draft.node.line, column=draft.node.column),
        code=check.code,
        level=check.level,
        message=f"{check.sentence}: {draft.detail}" if draft.detail else check.sentence,
        cure=draft.cure or check.cure,
        first_line=_statement(draft.node).line,
    )


def _statement(node: Node) -> Node:
    inner = node
    for outer in node.ancestors():
        if outer.kind in _STATEMENTS:
            break
        inner = outer
    return inner
