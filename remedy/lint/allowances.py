"""`# remedy: allow CODE reason`: what a script allows itself, and why."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from remedy.errors import Place
from remedy.lint.checks import CHECKS
from remedy.lint.finding import Finding
from remedy.text import untrusted

__all__ = ["Allowance", "find_allowances", "with_allowances"]

_LINE = re.compile(
    r"^(?P<before>[^\n]*?)(?<![^\s;])#[ \t]*remedy:[ \t]*allow(?![A-Za-z-])(?P<rest>[^\n]*)$", re.MULTILINE
)
_CODE = re.compile(r"(?:R|SC)[0-9]{1,5}\Z")
_REASON_MIN = 3
_ABOUT_ALLOWANCES = ("R001", "R002", "R003")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """One allowance: the lines it is for (its own, or the one after the comments it stands in), code and reason."""

    line: int
    column: int
    covers: int
    code: str
    reason: str


def find_allowances(text: str) -> tuple[Allowance, ...]:
    """Return the allowances of a script, in the order of its lines."""
    following = _code_after(text.split("\n"))
    found = []
    line, at = 1, 0
    for match in _LINE.finditer(text):
        line, at = line + text.count("\n", at, match.start()), match.start()
        code, _, reason = match["rest"].strip().partition(" ")
        reason = reason.strip()
        # A script of one line may carry it in a block comment of PowerShell.
        reason = reason.removesuffix("#>").strip()
        covers = line if match["before"].strip() else following[line - 1]
        found.append(
            Allowance(line=line, column=len(match["before"]) + 1, covers=covers, code=code.rstrip(":,"), reason=reason)
        )
    return tuple(found)


def _code_after(lines: Sequence[str]) -> list[int]:
    """Return for each line the number of the first one after it that is neither empty nor a comment, else its own."""
    following = list(range(1, len(lines) + 1))
    code = 0
    for index in range(len(lines) - 1, -1, -1):
        following[index] = code or index + 1
        stripped = lines[index].strip()
        if stripped and not stripped.startswith("#"):
            code = index + 1
    return following


def with_allowances(findings: Sequence[Finding], allowances: Sequence[Allowance], file: str) -> list[Finding]:
    """Return the findings, with the reason of those that are allowed, and what is wrong with the allowances."""
    usable: dict[tuple[str, int], list[Allowance]] = {}
    for each in allowances:
        if _is_code(each.code) and _has_reason(each.reason):
            usable.setdefault((each.code, each.covers), []).append(each)
    used: set[Allowance] = set()
    told = []
    for finding in findings:
        matching = [each for line in sorted(_lines(finding)) for each in usable.get((finding.code, line), ())][:1]
        used.update(matching)
        told.append(replace(finding, allowed=matching[0].reason) if matching else finding)
    told.extend(_wrong(allowances, used, file))
    return told


def _lines(finding: Finding) -> set[int]:
    return {finding.place.line, finding.first_line or finding.place.line}


def _is_code(code: str) -> bool:
    return _CODE.match(code) is not None and (code.startswith("SC") or code in CHECKS) and code not in _ABOUT_ALLOWANCES


def _has_reason(reason: str) -> bool:
    return len(reason) >= _REASON_MIN and any(character.isalpha() for character in reason)


def _wrong(allowances: Sequence[Allowance], used: set[Allowance], file: str) -> Iterator[Finding]:
    for each in allowances:
        if not _is_code(each.code):
            code, detail = "R002", f"'{untrusted(each.code, characters_max=20)}'" if each.code else "it gives no code"
        elif not _has_reason(each.reason):
            code, detail = "R001", each.code
        elif each not in used:
            code, detail = "R003", f"there is no {each.code} on line {each.covers}"
        else:
            continue
        check = CHECKS[code]
        yield Finding(
            place=Place(file=file, line=each.line, column=each.column),
            code=code,
            level=check.level,
            message=f"{check.sentence}: {detail}",
            cure=check.cure,
        )
