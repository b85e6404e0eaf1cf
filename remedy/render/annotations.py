"""What is said of lines of files, as other programs show it: GitHub's workflow commands and SARIF 2.1.0. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from remedy.text import untrusted

__all__ = ["Level", "github_line", "sarif_document", "sarif_location", "sarif_result"]

Level = Literal["error", "warning", "note"]

_GITHUB: Mapping[Level, str] = {"error": "error", "warning": "warning", "note": "notice"}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def github_line(level: Level, text: str, *, file: str, title: str, line: int | None = None, column: int = 0) -> str:
    """
    Return a workflow command, which GitHub shows beside a line of a change; without `line`, beside the file.

    Source: docs.github.com, "Workflow commands for GitHub Actions": `%`, CR and LF are
    escaped in messages, in properties `:` and `,` as well.
    """
    place = "" if line is None else f",line={line},col={column}"
    return f"::{_GITHUB[level]} file={_property(file)}{place},title={_property(title)}::{_data(text)}"


def _data(text: str) -> str:
    return untrusted(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def sarif_document(
    *,
    driver: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    notifications: Sequence[Mapping[str, Any]] = (),
    is_complete: bool = True,
) -> dict[str, Any]:
    """Return one run as SARIF 2.1.0; `driver` describes the tool with its rules, whose order `results` count by."""
    invocation = {"executionSuccessful": is_complete, "toolExecutionNotifications": list(notifications)}
    run = {
        "tool": {"driver": dict(driver)},
        "columnKind": "unicodeCodePoints",
        "invocations": [invocation],
        "results": list(results),
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def sarif_result(code: str, index: int, level: Level, text: str, *, location: Mapping[str, Any]) -> dict[str, Any]:
    """Return one result; `index` is where the rule called `code` stands among those of the driver."""
    return {
        "ruleId": code,
        "ruleIndex": index,
        "level": level,
        "message": {"text": text},
        "locations": [dict(location)],
    }


def sarif_location(file: str, line: int = 0, column: int = 0) -> dict[str, Any]:
    """Return a place in a file; line 0 is the file as a whole."""
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(file)}}
    if line:
        physical["region"] = {"startLine": line, "startColumn": max(column, 1)}
    return {"physicalLocation": physical}


def _uri(file: str) -> str:
    path = quote(file.replace("\\", "/"), safe="/")
    return f"file://{path}" if path.startswith("/") else path.removeprefix("./")
