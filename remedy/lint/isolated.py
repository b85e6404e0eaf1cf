"""
Our own checks in a process of their own.

tree-sitter's grammars are C: on a text that is meant badly they may take all memory, or
break down, and take the process with them. So a child reads the scripts, under a limit
of memory, and whatever becomes of it, the script that it was at is said to be not
linted, and the others go on. The child answers in JSON, in which nothing can hide.
"""

import base64
import json
import resource
import select
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, BinaryIO, Self

from remedy.errors import Place
from remedy.lint.finding import Finding, Gap, Language, Level, Names, Role, Subject
from remedy.lint.own import own_findings

__all__ = ["MEMORY_BYTES_MAX", "PARSE_S_MAX", "Child", "serve"]

PARSE_S_MAX = 5.0
"""A script that takes longer to parse is not linted; usual ones take some hundredths of a second."""

MEMORY_BYTES_MAX = 2 * 1024**3
_ANSWER_S_MAX = 4 * PARSE_S_MAX
_ANSWER_BYTES_MAX = 64 * 1024**2


class Child:
    """Looks at one script after the other in a process of its own; a new one when it has gone."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def own_findings(self, subject: Subject) -> tuple[list[Finding], list[Gap]]:
        """Return what our own checks find in a script, and what could not be looked at."""
        process = self._process or self._start()
        answer = b""
        try:
            if process.stdin is not None:
                process.stdin.write(_asked(subject))
                process.stdin.flush()
            answer = _line(process.stdout)
        except (BrokenPipeError, TimeoutError) as exc:
            self._end()
            return [], [_gap(subject, "looking at it takes too long" if isinstance(exc, TimeoutError) else "")]
        if not answer:
            self._end()
            return [], [_gap(subject, "")]
        return _told(json.loads(answer), subject.file)

    def _start(self) -> subprocess.Popen[bytes]:
        # -P: a folder named remedy where we are called is not ours.
        words = [sys.executable, "-P", "-m", "remedy.lint"]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue  # What it had not read yet, nobody needs any more.
        process.wait()


def _gap(subject: Subject, what: str) -> Gap:
    return Gap(
        file=subject.file, what=what or "the parser broke down on it", cure="split it, or write it in a plainer way"
    )


def _line(stream: Any) -> bytes:
    """Return the child's answer, b'' when it has gone; a whole line, for it writes lines only."""
    end = time.monotonic() + _ANSWER_S_MAX
    parts: list[bytes] = []
    size = 0
    while not (parts and parts[-1].endswith(b"\n")):
        left = end - time.monotonic()
        if left <= 0 or size > _ANSWER_BYTES_MAX or not select.select([stream], [], [], left)[0]:
            raise TimeoutError
        part = stream.read1(65_536)
        if not part:
            return b""
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Be the child: look at the script of each line, answer with a line."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in source:
        subject = _subject(json.loads(line))
        end = time.monotonic() + PARSE_S_MAX
        findings, gaps = own_findings(subject, is_over=lambda end=end: time.monotonic() > end)  # type: ignore[misc]
        answer = {"findings": [_finding(each) for each in findings], "gaps": [[gap.what, gap.cure] for gap in gaps]}
        target.write(json.dumps(answer).encode("ascii") + b"\n")
        target.flush()


def _asked(subject: Subject) -> bytes:
    names = subject.names
    asked = {
        "file": subject.file,
        "body": base64.b64encode(subject.body).decode("ascii"),
        "language": subject.language.value,
        "role": subject.role.value,
        "is_windows": subject.is_windows,
        "names": names
        and {
            "columns": sorted(names.columns),
            "params": sorted(names.params),
            "key": names.key,
            "may_be_empty": names.may_be_empty,
            "owner": names.owner,
            "signal": names.signal,
        },
    }
    return json.dumps(asked).encode("ascii") + b"\n"


def _subject(asked: dict[str, Any]) -> Subject:
    names = asked["names"]
    return Subject(
        file=asked["file"],
        body=base64.b64decode(asked["body"]),
        language=Language(asked["language"]),
        role=Role(asked["role"]),
        is_windows=asked["is_windows"],
        names=names
        and Names(
            columns=frozenset(names["columns"]),
            params=frozenset(names["params"]),
            key=tuple(names["key"]),
            may_be_empty=names["may_be_empty"],
            owner=names["owner"],
            signal=names["signal"],
        ),
    )


def _finding(finding: Finding) -> list[Any]:
    place = finding.place
    return [
        place.line,
        place.column,
        finding.code,
        finding.level.value,
        finding.message,
        finding.cure,
        finding.first_line,
    ]


def _told(answer: dict[str, Any], file: str) -> tuple[list[Finding], list[Gap]]:
    findings = [
        Finding(
            place=Place(file=file, line=line, column=column),
            code=code,
            level=Level(level),
            message=message,
            cure=cure,
            first_line=first_line,
        )
        for line, column, code, level, message, cure, first_line in answer["findings"]
    ]
    return findings, [Gap(file=file, what=what, cure=cure) for what, cure in answer["gaps"]]
