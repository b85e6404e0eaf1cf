"""The first line of a script: what reads it on a host, and what its author meant where that is something else."""

import re

from remedy.lint.finding import Language, Subject

__all__ = ["foreign_shebang", "has_shebang", "is_of_another_language", "language_of", "shebang_cure"]

_INTERPRETERS = {"sh": Language.SH, "bash": Language.BASH, "python3": Language.PYTHON, "pwsh": Language.POWERSHELL}
_LIKE_SH = {"ash", "busybox", "dash", "posh"}
# `#![…]` opens a source of Rust.
_SHEBANG = re.compile(rb"#!(?!\[)")


def has_shebang(begin: bytes) -> bool:
    """Say whether a file that begins so says what reads it."""
    return _SHEBANG.match(begin.removeprefix(b"\xef\xbb\xbf")) is not None


def language_of(body: bytes, *, is_windows: bool) -> Language:
    """Return what reads a script on a host: PowerShell on Windows, else what the shebang says, else sh."""
    if is_windows:
        return Language.POWERSHELL
    return _INTERPRETERS.get(_program(body), Language.SH)


def foreign_shebang(subject: Subject) -> str:
    """Return the shebang of a script that sh reads because remedy does not start what it names; '' for none."""
    if subject.is_windows or subject.language is not Language.SH:
        return ""
    return "" if _program(subject.body) in ("", *_INTERPRETERS) else _first_line(subject.body)


def is_of_another_language(subject: Subject) -> bool:
    """Say whether a script is written for something else than the shell that would read it."""
    return foreign_shebang(subject) != "" and _program(subject.body) not in _LIKE_SH


def shebang_cure(subject: Subject) -> str:
    """Return what to write instead of a foreign shebang where that is plain, else ''."""
    program = _program(subject.body)
    if program in _LIKE_SH:
        return "write #!/bin/sh"
    return "write #!/usr/bin/env python3" if program.startswith("python") else ""


def _first_line(body: bytes) -> str:
    return body.partition(b"\n")[0].decode("utf-8", errors="replace")


def _program(body: bytes) -> str:
    """Return the base name that a shebang names, also behind `env`, as runners read it; '' for none."""
    first = _first_line(body)
    words = first[2:].split() if first.startswith("#!") else []
    if words and words[0].rpartition("/")[2] == "env":
        words = [word for word in words[1:] if word != "-S"]
    return words[0].rpartition("/")[2] if words else ""
