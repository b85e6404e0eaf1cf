"""Python: whether it parses, and the names that a script reads of its own rule or signal; other tools lint the rest."""

import ast
import re
import warnings
from collections.abc import Iterator

from remedy.errors import Place
from remedy.lint.checks import CHECKS
from remedy.lint.finding import Finding, Subject
from remedy.lint.names import unknown_variable
from remedy.text import untrusted

__all__ = ["python_findings"]

_VARIABLE = re.compile(r"REMEDY_[A-Za-z0-9_]+")


def python_findings(subject: Subject) -> Iterator[Finding]:
    """Yield what Python does not take, and variables of remedy that do not exist here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(subject.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        line = getattr(exc, "lineno", None) or 1
        column = getattr(exc, "offset", None) or 1
        why = getattr(exc, "msg", None) or type(exc).__name__
        yield _finding(subject, "R012", max(line, 1), max(column, 1), untrusted(str(why)))
        return
    if subject.names is None:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _VARIABLE.fullmatch(node.value):
            wrong = unknown_variable(node.value, subject)
            if wrong:
                yield _finding(subject, "R406", node.lineno, node.col_offset + 1, wrong[0], wrong[1])


def _finding(subject: Subject, code: str, line: int, column: int, detail: str, cure: str = "") -> Finding:
    check = CHECKS[code]
    return Finding(
        place=Place(file=subject.file, line=line, column=column),
        code=code,
        level=check.level,
        message=f"{check.sentence}: {detail}",
        cure=cure or check.cure,
    )
