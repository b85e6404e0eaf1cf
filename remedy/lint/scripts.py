"""Many scripts: our own checks, shellcheck beside them, allowances, and one sorted result."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from remedy.lint.allowances import find_allowances, with_allowances
from remedy.lint.checks import SUPERSEDED, SUPERSEDED_AT_ITS_PLACE
from remedy.lint.finding import Finding, Gap, Linted, Subject
from remedy.lint.isolated import Child
from remedy.lint.shebang import is_of_another_language
from remedy.lint.shellcheck import find_shellcheck, shellcheck_findings

__all__ = ["lint_script", "lint_scripts"]

_CREW_MAX = 8
_Look = Callable[[Subject], tuple[list[Finding], list[Gap]]]


def lint_scripts(subjects: Sequence[Subject], *, gaps: Sequence[Gap] = (), no_scripts: Sequence[str] = ()) -> Linted:
    """Return what all scripts came to, sorted by place; `gaps` and `no_scripts` are what is known before."""
    program = find_shellcheck()
    shares = [subjects[at :: _crew(len(subjects))] for at in range(_crew(len(subjects)))]
    with ThreadPoolExecutor(max_workers=len(shares)) as crew:
        told = [each for share in crew.map(lambda share: _lint_share(share, program), shares) for each in share]
    unread = {gap.file for gap in gaps} - {subject.file for subject in subjects}
    missed = sorted({*gaps, *(gap for _, others in told for gap in others)})
    nameless = {subject.file for subject in subjects if subject.names is None}
    return Linted(
        scripts=len(subjects) + len(unread),
        findings=tuple(sorted(finding for findings, _ in told for finding in findings)),
        gaps=tuple(missed),
        by_language=dict(sorted(Counter(subject.language.value for subject in subjects).items())),
        nameless=tuple(sorted(nameless - {gap.file for gap in missed})),
        no_scripts=tuple(sorted(no_scripts)),
    )


def _crew(scripts: int) -> int:
    return max(1, min(scripts, os.cpu_count() or 1, _CREW_MAX))


def _lint_share(share: Sequence[Subject], program: str | None) -> list[tuple[list[Finding], list[Gap]]]:
    with Child() as child:
        return [lint_script(subject, look=child.own_findings, shellcheck=program) for subject in share]


def lint_script(subject: Subject, *, look: _Look, shellcheck: str | None) -> tuple[list[Finding], list[Gap]]:
    """
    Return the findings in one script, sorted, with their allowances, and what was not looked at.

    `look` makes our own checks, in a process of their own or not.
    """
    if why := _no_text(subject.body):
        return [], [Gap(file=subject.file, what=f"no UTF-8 text: {why}", cure="save it as UTF-8")]
    findings, gaps = look(subject)
    findings = list(findings)
    gaps = list(gaps)
    if subject.language.is_shell and not is_of_another_language(subject):
        others, missed = shellcheck_findings(subject, program=shellcheck)
        said = {(each.code, each.place.line, column) for each in findings for column in (0, each.place.column)}
        findings.extend(other for other in others if not _is_said(other, said))
        gaps.extend(missed)
    findings = [_at_a_line(finding) for finding in findings]
    text = subject.body.decode("utf-8")
    return sorted(with_allowances(findings, find_allowances(text), subject.file)), gaps


def _no_text(body: bytes) -> str:
    """Return why a script is no UTF-8 text, '' when it is."""
    try:
        at = body.decode("utf-8").encode("utf-8").find(b"\0")
        what = "a NUL byte"
    except UnicodeDecodeError as exc:
        at, what = exc.start, f"byte {exc.object[exc.start]:#04x}"
    line = body.count(b"\n", 0, max(at, 0)) + 1
    return f"{what} on line {line}" if at >= 0 else ""


def _is_said(other: Finding, said: AbstractSet[tuple[str, int, int]]) -> bool:
    column = other.place.column if other.code in SUPERSEDED_AT_ITS_PLACE else 0
    return any((code, other.place.line, column) in said for code in SUPERSEDED.get(other.code, ()))


def _at_a_line(finding: Finding) -> Finding:
    return finding if finding.first_line else replace(finding, first_line=finding.place.line)
