"""What lint found, as text, JSON, lines for GitHub, and SARIF 2.1.0. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from remedy.lint.checks import CHECKS, Check
from remedy.lint.finding import Finding, Gap, Level, Linted
from remedy.render.annotations import github_line, sarif_document, sarif_location, sarif_result
from remedy.text import counted, untrusted

__all__ = [
    "checks_json",
    "checks_lines",
    "finding_line",
    "github_lines",
    "lint_json",
    "lint_lines",
    "sarif",
    "summary_line",
]

_LANGUAGES = {"sh": "sh", "bash": "bash", "powershell": "PowerShell", "python3": "Python"}


def finding_line(finding: Finding) -> str:
    """Return a finding as one line, with its level."""
    return f"{untrusted(str(finding.place))}: {finding.code} {finding.level.value}: {finding.message}; {finding.cure}"


def lint_lines(linted: Linted) -> list[str]:
    """Return findings that are not allowed, then scripts that were not looked at, one line each."""
    return [
        *(finding_line(finding) for finding in _open(linted)),
        *(
            f"{untrusted(gap.file)}: not linted: {gap.what}" + (f"; {gap.cure}" if gap.cure else "")
            for gap in linted.gaps
        ),
    ]


def _open(linted: Linted) -> list[Finding]:
    return [finding for finding in linted.findings if not finding.allowed]


def summary_line(linted: Linted) -> str:
    """Return the last line: how many scripts, and what they came to. Never that PowerShell is valid."""
    found = _open(linted)
    counts = [
        counted(number, level.value)
        for level in Level
        if (number := sum(1 for finding in found if finding.level is level))
    ]
    unlinted = len({gap.file for gap in linted.gaps})
    allowed = len(linted.findings) - len(found)
    parts = [", ".join(counts) or "no findings"]
    if allowed:
        parts.append(f"{allowed} allowed")
    if unlinted:
        parts.append(f"{unlinted} of them not linted, or not in full")
    if linted.nameless:
        belong = "belongs" if len(linted.nameless) == 1 else "belong"
        scripts = counted(len(linted.nameless), "script")
        parts.append(f"{scripts} {belong} to no rule or signal here: names were not checked")
    if linted.no_scripts:
        parts.append(_files_text(len(linted.no_scripts)))
    languages = ", ".join(f"{number} {_LANGUAGES.get(name, name)}" for name, number in linted.by_language.items())
    line = f"{counted(linted.scripts, 'script')}{f' ({languages})' if languages else ''}: {'; '.join(parts)}"
    if linted.by_language.get("powershell"):
        line += "; whether PowerShell takes a script, only PowerShell knows"
    return line


def _files_text(number: int) -> str:
    return "1 file is no script" if number == 1 else f"{number} files are no scripts"


def lint_json(linted: Linted) -> dict[str, Any]:
    """Return everything as one JSON document, allowed findings too."""
    return {
        "lint": 1,
        "scripts": linted.scripts,
        "languages": dict(linted.by_language),
        "findings": [_finding_json(finding) for finding in _open(linted)],
        "allowed": [
            {**_finding_json(finding), "reason": finding.allowed} for finding in linted.findings if finding.allowed
        ],
        "names_not_checked": list(linted.nameless),
        "no_scripts": list(linted.no_scripts),
        "not_linted": [{"file": gap.file, "reason": gap.what, "cure": gap.cure} for gap in linted.gaps],
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "file": finding.place.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "code": finding.code,
        "level": finding.level.value,
        "message": finding.message,
        "cure": finding.cure,
    }


def github_lines(linted: Linted) -> list[str]:
    """Return workflow commands, which GitHub shows beside the lines of a change."""
    lines = [
        github_line(
            finding.level.value,
            f"{finding.message}; {finding.cure}",
            file=finding.place.file,
            title=finding.code,
            line=finding.place.line,
            column=finding.place.column,
        )
        for finding in _open(linted)
    ]
    lines.extend(
        github_line("warning", gap.what + (f"; {gap.cure}" if gap.cure else ""), file=gap.file, title="not linted")
        for gap in linted.gaps
    )
    return lines


def sarif(linted: Linted, *, version: str) -> dict[str, Any]:
    """Return the findings as SARIF 2.1.0; those that are allowed are suppressed, with their reason."""
    codes = sorted({*CHECKS, *(finding.code for finding in linted.findings)})
    index = {code: at for at, code in enumerate(codes)}
    return sarif_document(
        driver={
            "name": "remedy lint",
            "semanticVersion": version,
            "rules": [_sarif_rule(code, linted.findings) for code in codes],
        },
        results=[_sarif_result(finding, index) for finding in linted.findings],
        notifications=[
            *(_sarif_gap(gap) for gap in linted.gaps),
            *(_sarif_nameless(file) for file in linted.nameless),
        ],
        is_complete=not linted.gaps,
    )


def _sarif_rule(code: str, findings: Sequence[Finding]) -> dict[str, Any]:
    check = CHECKS.get(code)
    if check is None:
        first = next(finding for finding in findings if finding.code == code)
        return {
            "id": code,
            "shortDescription": {"text": f"shellcheck: {first.message}"},
            "helpUri": f"https://www.shellcheck.net/wiki/{code}",
        }
    return {
        "id": code,
        "shortDescription": {"text": check.sentence},
        "fullDescription": {"text": f"{check.sentence[:1].upper()}{check.sentence[1:]}. {check.why}"},
        "help": {"text": check.cure},
        "defaultConfiguration": {"level": check.level.value},
    }


def _sarif_result(finding: Finding, index: Mapping[str, int]) -> dict[str, Any]:
    result = sarif_result(
        finding.code,
        index[finding.code],
        finding.level.value,
        f"{finding.message}; {finding.cure}",
        location=sarif_location(finding.place.file, finding.place.line, finding.place.column),
    )
    if finding.allowed:
        result["suppressions"] = [{"kind": "inSource", "justification": finding.allowed}]
    return result


def _sarif_gap(gap: Gap) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": f"not linted: {gap.what}" + (f"; {gap.cure}" if gap.cure else "")},
        "locations": [sarif_location(gap.file)],
    }


def _sarif_nameless(file: str) -> dict[str, Any]:
    return {
        "level": "note",
        "message": {"text": "belongs to no rule or signal: names were not checked"},
        "locations": [sarif_location(file)],
    }


def checks_lines() -> list[str]:
    """Return the catalogue for people: code, level, languages, sentence; why; cure."""
    lines: list[str] = []
    for check in CHECKS.values():
        languages = ", ".join(_LANGUAGES[name] for name in check.languages)
        lines.extend((f"{check.code}  {check.level.value}  {check.sentence} ({languages})", f"      {check.why}"))
        lines.append(f"      cure: {check.cure}")
    lines.append("SCnnnn  shellcheck's, for sh and bash: https://www.shellcheck.net/wiki/")
    return lines


def checks_json() -> dict[str, Any]:
    """Return the catalogue as one JSON document."""
    return {"lint_checks": 1, "checks": [_check_json(check) for check in CHECKS.values()]}


def _check_json(check: Check) -> dict[str, Any]:
    return {
        "code": check.code,
        "level": check.level.value,
        "languages": list(check.languages),
        "sentence": check.sentence,
        "why": check.why,
        "cure": check.cure,
    }
