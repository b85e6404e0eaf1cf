"""
Planted mistakes: data/CODE.txt has scripts with a mistake and scripts that look like it, and what lint says of each.

A script begins with `=== bad NAME` or `=== good NAME`; behind `--- ` stand the lines that lint
has for it, without the file's name. `python -m tests.lint.planted` writes them anew; read the difference.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from remedy.lint.finding import Finding, Gap, Language, Names, Role, Subject
from remedy.lint.own import own_findings
from remedy.lint.report import finding_line
from remedy.lint.scripts import lint_script
from remedy.lint.shebang import language_of

__all__ = ["DATA", "Planted", "look", "own_lines", "read_planted", "subject_of"]

DATA = Path(__file__).parent / "data"
_HEAD = re.compile(r"=== (bad|good) (\S+)\n")
_FIX = Names(
    columns=frozenset({"mount", "size_gib", "free_gib", "free_percent"}),
    params=frozenset({"below_percent", "below_gib", "min_age_days"}),
    owner="rule low-disk",
    signal="signal disk",
)
_COLLECTOR = Names(
    columns=_FIX.columns, params=frozenset({"mounts"}), key=("mount",), owner="signal disk", signal="signal disk"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One script of a data file, with the lines that lint has for it."""

    code: str
    number: int
    is_bad: bool
    name: str
    text: str
    expect: tuple[str, ...]


def read_planted(path: Path) -> list[Planted]:
    """Return the scripts of one data file."""
    parts = _HEAD.split(path.read_text(encoding="utf-8"))[1:]
    found = []
    for number, (kind, name, rest) in enumerate(zip(parts[::3], parts[1::3], parts[2::3], strict=True), start=1):
        text, _, expect = rest.partition("--- expect\n")
        found.append(
            Planted(
                code=path.stem,
                number=number,
                is_bad=kind == "bad",
                name=name,
                text=text,
                expect=tuple(expect.splitlines()),
            )
        )
    return found


def subject_of(name: str, body: bytes) -> Subject:
    """Return a script as its name says: fix.sh, collector.ps1, collector-any.sh (rows: any), other.sh, fix-bom.ps1."""
    stem, _, suffix = name.partition(".")
    role = {"fix": Role.FIX, "collector": Role.COLLECTOR}.get(stem.partition("-")[0], Role.OTHER)
    names = {Role.FIX: _FIX, Role.COLLECTOR: _COLLECTOR, Role.OTHER: None}[role]
    if stem.endswith("-any"):
        names = Names(
            columns=_FIX.columns, params=_COLLECTOR.params, key=("mount",), may_be_empty=True, owner="signal disk"
        )
    is_windows = suffix == "ps1" and not stem.endswith("-linux")
    language = Language.BASH if suffix == "bash" else language_of(body, is_windows=is_windows)
    bom = b"\xef\xbb\xbf" if stem.endswith("-bom") else b""
    return Subject(file=name, body=bom + body, language=language, role=role, is_windows=is_windows, names=names)


def look(subject: Subject) -> tuple[list[Finding], list[Gap]]:
    """Make our own checks in this process, with time without end."""
    return own_findings(subject, is_over=lambda: False)


def own_lines(planted: Planted) -> list[str]:
    """Return what our own checks say of a script, without its file's name; a gap is a failure of the test."""
    subject = subject_of(planted.name, planted.text.encode("utf-8"))
    findings, gaps = lint_script(subject, look=look, shellcheck=None)
    assert all(gap == Gap(file=planted.name, what="there is no shellcheck", cure=gap.cure) for gap in gaps)
    return [finding_line(finding).removeprefix(f"{planted.name}:") for finding in findings if not finding.allowed]


def _write(path: Path) -> None:
    lines = []
    for planted in read_planted(path):
        lines.append(f"=== {'bad' if planted.is_bad else 'good'} {planted.name}\n{planted.text}")
        said = own_lines(planted)
        if said:
            lines.append("--- expect\n" + "".join(f"{line}\n" for line in said))
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    for each in sorted(DATA.glob("R*.txt")):
        _write(each)
        sys.stdout.write(f"{each.name}\n")
