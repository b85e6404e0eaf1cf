"""docs/lint.md is true: its table is the catalogue, and its examples come out as it says."""

import re
from pathlib import Path

from remedy.lint.checks import CHECKS
from remedy.lint.isolated import MEMORY_BYTES_MAX, PARSE_S_MAX
from remedy.lint.report import finding_line
from remedy.lint.scripts import lint_script
from remedy.lint.shellcheck import find_shellcheck
from remedy.lint.trees import DEPTH_MAX
from remedy.load.scripts import SCRIPT_BYTES_MAX
from tests.lint.planted import look, subject_of

PAGE = (Path(__file__).parents[2] / "docs" / "lint.md").read_text(encoding="utf-8")
NAMES = {"sh": "sh", "bash": "bash", "powershell": "PowerShell", "python3": "Python"}
SCRIPTS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_table_is_the_catalogue() -> None:
    """Each check stands in the page's table once, as it is, in order."""
    rows = []
    for check in CHECKS.values():
        languages = ", ".join(NAMES[name] for name in check.languages)
        rows.append(f"| {check.code} | {check.level.value} | {languages} | {check.sentence} |")

    assert re.findall(r"^\| R\d.*$", PAGE, re.MULTILINE) == rows


def test_first_example_has_the_findings_shown() -> None:
    """The script of the page has exactly the findings that the page shows."""
    shown = re.findall(r"^rules/cache-full/clean\.sh:.*$", PAGE, re.MULTILINE)

    findings, _ = lint_script(subject_of("fix.sh", SCRIPTS[0].encode()), look=look, shellcheck=find_shellcheck())

    assert [finding_line(finding).replace("fix.sh", "rules/cache-full/clean.sh", 1) for finding in findings] == shown


def test_allowances_of_the_page_are_accepted() -> None:
    """Each finding of the second example is allowed as the page says, and nothing else is found."""
    findings, _ = lint_script(subject_of("fix.sh", SCRIPTS[1].encode()), look=look, shellcheck=None)

    assert [(finding.code, bool(finding.allowed)) for finding in findings] == [("R202", True), ("R101", True)]


def test_limits_are_the_ones_of_the_code() -> None:
    """The sizes and times that the page names are those in force."""
    assert f"at most {SCRIPT_BYTES_MAX // 1024} KiB" in PAGE
    assert f"more than {PARSE_S_MAX:g} s or {MEMORY_BYTES_MAX // 1024**3} GiB" in PAGE
    assert f"nested more than {DEPTH_MAX} deep" in PAGE
