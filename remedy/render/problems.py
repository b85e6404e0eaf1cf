"""What `validate` found, as text, JSON, lines for GitHub, SARIF 2.1.0 and JUnit. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from remedy.errors import Problem
from remedy.render.annotations import github_line, sarif_document, sarif_location, sarif_result
from remedy.render.junit import Checked, junit_text
from remedy.text import counted, untrusted

__all__ = [
    "Remark",
    "Validated",
    "problem_lines",
    "summary_line",
    "validated_github",
    "validated_json",
    "validated_junit",
    "validated_sarif",
    "warning_lines",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something wrong or doubtful, by the code of what decided it."""

    problem: Problem
    code: str
    level: Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """
    All that was found, in the order of the places, and how much was looked at.

    `files` are all that were read, with mistakes or without; `hosts` is None
    where no inventory was read. `codes` says of each code what it stands for.
    """

    remarks: tuple[Remark, ...]
    files: tuple[str, ...]
    rules: int
    signals: int
    hosts: int | None
    codes: Mapping[str, str]

    def of_level(self, level: str) -> list[Remark]:
        """Return the remarks of a level."""
        return [remark for remark in self.remarks if remark.level == level]


def problem_lines(validated: Validated) -> list[str]:
    """Return a line for each error."""
    return [untrusted(str(remark.problem)) for remark in validated.of_level("error")]


def warning_lines(validated: Validated) -> list[str]:
    """Return a line for each warning, which says that it is one."""
    return [f"warning: {untrusted(str(remark.problem))}" for remark in validated.of_level("warning")]


def summary_line(validated: Validated) -> str:
    """Return the last line: how much was looked at, and what it came to."""
    errors, warnings = len(validated.of_level("error")), len(validated.of_level("warning"))
    parts = [counted(validated.rules, "rule"), counted(validated.signals, "signal")]
    if validated.hosts is not None:
        parts.append(counted(validated.hosts, "host"))
    found = counted(errors, "problem") if errors else "no problems"
    if warnings:
        found += f", {counted(warnings, 'warning')}"
    return f"{', '.join(parts[:-1])} and {parts[-1]}: {found}"


def validated_json(validated: Validated) -> dict[str, Any]:
    """Return everything as one JSON document."""
    return {
        "validate": 1,
        "problems": [_remark_json(remark) for remark in validated.of_level("error")],
        "warnings": [_remark_json(remark) for remark in validated.of_level("warning")],
        "rules": validated.rules,
        "signals": validated.signals,
        "hosts": validated.hosts,
    }


def _remark_json(remark: Remark) -> dict[str, Any]:
    problem = remark.problem
    return {
        "file": problem.place.file,
        "line": problem.place.line,
        "column": problem.place.column,
        "code": remark.code,
        "message": problem.message,
        "cure": problem.cure,
    }


def _text(problem: Problem) -> str:
    return problem.message + (f"; {problem.cure}" if problem.cure else "")


def validated_github(validated: Validated) -> list[str]:
    """Return workflow commands, which GitHub shows beside the lines of a change."""
    return [
        github_line(
            remark.level,
            _text(remark.problem),
            file=remark.problem.place.file,
            title=remark.code,
            line=remark.problem.place.line or None,
            column=remark.problem.place.column,
        )
        for remark in validated.remarks
    ]


def validated_sarif(validated: Validated, *, version: str) -> dict[str, Any]:
    """Return everything as SARIF 2.1.0."""
    index = {code: at for at, code in enumerate(validated.codes)}
    return sarif_document(
        driver={
            "name": "remedy validate",
            "semanticVersion": version,
            "rules": [
                {"id": code, "shortDescription": {"text": sentence}} for code, sentence in validated.codes.items()
            ],
        },
        results=[
            sarif_result(
                remark.code,
                index[remark.code],
                remark.level,
                untrusted(_text(remark.problem)),
                location=sarif_location(
                    remark.problem.place.file, remark.problem.place.line, remark.problem.place.column
                ),
            )
            for remark in validated.remarks
        ],
    )


def validated_junit(validated: Validated) -> str:
    """Return JUnit XML with one test for each file: failed if it has an error, with what was said of it."""
    by_file: dict[str, list[Remark]] = {file: [] for file in validated.files}
    for remark in validated.remarks:
        by_file.setdefault(remark.problem.place.file, []).append(remark)
    return junit_text("remedy validate", [_checked(file, remarks) for file, remarks in sorted(by_file.items())])


def _checked(file: str, remarks: Sequence[Remark]) -> Checked:
    errors = [remark for remark in remarks if remark.level == "error"]
    first = errors[0].problem if errors else None
    lines = [
        f"{'warning: ' if remark.level == 'warning' else ''}{untrusted(str(remark.problem))}" for remark in remarks
    ]
    return Checked(
        name=file,
        classname="validate",
        file=file,
        line=first.place.line if first else 0,
        state="failed" if first else "passed",
        message=_text(first) if first else "",
        details="\n".join(lines),
    )
