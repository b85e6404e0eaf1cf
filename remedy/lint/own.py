"""Our own checks of one script: its bytes become a tree, the tree becomes findings."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from remedy.errors import Place
from remedy.lint import (
    powershell_danger,
    powershell_rows,
    powershell_status,
    powershell_versions,
    shell_danger,
    shell_rows,
    shell_status,
)
from remedy.lint.checks import CHECKS
from remedy.lint.drafts import Draft, finished, shown
from remedy.lint.finding import Finding, Gap, Language, Subject
from remedy.lint.powershell import powershell_script
from remedy.lint.python import python_findings
from remedy.lint.shebang import foreign_shebang, is_of_another_language, shebang_cure
from remedy.lint.shell import ShellScript, shell_script
from remedy.lint.trees import GrammarMissing, Node, TooMuch, parse

__all__ = ["INSTALL", "own_findings"]

INSTALL = "pip install 'remedy-engine[lint]'"


def own_findings(subject: Subject, *, is_over: Callable[[], bool]) -> tuple[list[Finding], list[Gap]]:
    """
    Return what our own checks find in a script, and what they could not look at.

    `is_over` says that there is no time left; what was not parsed by then is a gap.
    """
    foreign = _foreign(subject)
    if is_of_another_language(subject):
        return foreign, []
    if subject.language is Language.PYTHON:
        return list(python_findings(subject)), []
    try:
        root = parse(subject.body, subject.language, is_over=is_over)
    except GrammarMissing as exc:
        return [], [Gap(file=subject.file, what=f"remedy's own checks need {exc}", cure=INSTALL)]
    except TooMuch as exc:
        return [], [Gap(file=subject.file, what=f"{exc}", cure="split it, or write it in a plainer way")]
    drafts = _shell(subject, root) if subject.language.is_shell else _powershell(subject, root)
    return sorted({*foreign, *(finished(draft, subject.file) for draft in drafts)}), []


def _shell(subject: Subject, root: Node) -> Iterator[Draft]:
    first_line = subject.body.partition(b"\n")[0].decode("utf-8", errors="replace")
    script = shell_script(root, is_bash=subject.language is Language.BASH, first_line=first_line)
    return chain(
        _not_understood(script),
        shell_status.status_findings(script, subject),
        shell_danger.danger_findings(script),
        shell_rows.row_findings(script, subject),
        shell_rows.name_findings(script, subject),
    )


def _foreign(subject: Subject) -> list[Finding]:
    shebang = foreign_shebang(subject)
    if not shebang:
        return []
    check = CHECKS["R304"]
    finding = Finding(
        place=Place(file=subject.file, line=1, column=1),
        code=check.code,
        level=check.level,
        message=f"{check.sentence}: {shown(shebang)}",
        cure=shebang_cure(subject) or check.cure,
        first_line=_first_code_line(subject.body),
    )
    return [finding]


def _first_code_line(body: bytes) -> int:
    """Return the line below the shebang and its comments: nothing can stand above a shebang to allow it."""
    lines = body.split(b"\n")
    code = (number for number, line in enumerate(lines, start=1) if line.strip() and not line.strip().startswith(b"#"))
    return next(code, 1)


def _not_understood(script: ShellScript) -> Iterator[Draft]:
    for node in script.root.walk():
        if not node.is_bad or any(outer.is_bad for outer in node.ancestors()):
            continue
        text = node.text if node.end > node.start else f"{node.kind} is missing"
        # A single `;` or `)` is a gap of the grammar, seen in scripts that every shell takes.
        if any(character.isalnum() for character in text):
            yield Draft(node=node, code="R011", detail=shown(text))


def _powershell(subject: Subject, root: Node) -> Iterator[Draft]:
    script = powershell_script(root)
    newer = list(powershell_versions.version_findings(script, subject))
    return chain(
        (draft for draft in powershell_status.status_findings(script, subject) if not _is_newer(draft, newer)),
        powershell_danger.danger_findings(script),
        newer,
        powershell_rows.row_findings(script, subject),
        powershell_rows.name_findings(script, subject),
    )


def _is_newer(draft: Draft, newer: Sequence[Draft]) -> bool:
    """Say whether what is not understood is a later PowerShell, which is said by itself."""
    if draft.code != "R010":
        return False
    return any(each.code == "R302" and draft.node.start <= each.node.start < draft.node.end for each in newer)
