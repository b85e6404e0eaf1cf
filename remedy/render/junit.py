"""What was checked, as JUnit XML, which the servers that build and test show. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

from remedy.text import untrusted

__all__ = ["Checked", "State", "junit_text"]

State = Literal["passed", "failed", "skipped", "error"]

_ELEMENTS = {"failed": "failure", "skipped": "skipped", "error": "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """
    One thing that was checked, and what it came to: `error` when it could not be checked as it should be.

    `line` is 0 when it concerns the file as a whole. `message` is one line,
    `details` may have several; of what passed they are shown as its output.
    """

    name: str
    classname: str
    file: str
    line: int = 0
    state: State = "passed"
    message: str = ""
    details: str = ""


def junit_text(suite: str, checked: Sequence[Checked]) -> str:
    """
    Return one suite as JUnit XML, in the order given, with the newline that ends a file.

    It holds no times and no name of a machine: the same input gives the same text.
    Source: the XML that Jenkins, GitLab and GitHub's actions read; there is no standard.
    """
    counts = {
        "tests": len(checked),
        "failures": _number(checked, "failed"),
        "errors": _number(checked, "error"),
        "skipped": _number(checked, "skipped"),
    }
    shown = {name: str(count) for name, count in counts.items()}
    root = ET.Element("testsuites", {"name": "remedy", **shown})
    parent = ET.SubElement(root, "testsuite", {"name": untrusted(suite), **shown})
    for each in checked:
        _add(parent, each)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _number(checked: Sequence[Checked], state: State) -> int:
    return sum(1 for each in checked if each.state == state)


def _add(parent: ET.Element, checked: Checked) -> None:
    attributes = {
        "name": untrusted(checked.name),
        "classname": untrusted(checked.classname),
        "file": untrusted(checked.file),
    }
    if checked.line:
        attributes["line"] = str(checked.line)
    case = ET.SubElement(parent, "testcase", attributes)
    if checked.state == "passed":
        if checked.details:
            ET.SubElement(case, "system-out").text = untrusted(checked.details, keep_newlines=True)
        return
    found = ET.SubElement(case, _ELEMENTS[checked.state], {"message": untrusted(checked.message)})
    if checked.details:
        found.text = untrusted(checked.details, keep_newlines=True)
