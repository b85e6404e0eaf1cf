"""Running scripts in cages for tests: as root and as an ordinary user, and what a script did there."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from remedy.cage import CageAnswer, CageJob
from remedy.port import FixJob, FixResult
from remedy_runners import sandbox

__all__ = ["ORDINARY_UID", "PYTHON", "STARTERS", "caged", "facts_of", "fix_job", "said", "started_by"]

ORDINARY_UID = 54_321
PYTHON = b"#!/usr/bin/env python3\n"
STARTERS = ("root", "ordinary user")
"""Who starts a cage: both kinds of people run tests."""


def fix_job(
    script: bytes, *, timeout_s: int = 20, as_root: bool = True, environment: Mapping[str, str] | None = None
) -> FixJob:
    """Return a fix to run in a cage."""
    return FixJob(
        execution_id="test",
        script=script,
        script_sha256=hashlib.sha256(script).hexdigest(),
        environment=environment or {},
        timeout_s=timeout_s,
        become_root=as_root,
    )


def started_by(starter: str, run: Callable[[], CageAnswer]) -> CageAnswer:
    """Return the answer of a cage that root, or an ordinary user, started; skip where we are not root."""
    is_root = os.geteuid() == 0
    if starter == "root" and not is_root:
        pytest.skip("only root can show what a cage is that root started")
    if starter == "root" or not is_root:
        return _answered(run())
    found: list[CageAnswer] = []
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            os.setgroups([])
            os.setresgid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID)
            os.setresuid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID)
            answer = run()
            result = answer.runs[0].result if answer.runs else None
            with os.fdopen(writing, "w", encoding="utf-8") as pipe:
                json.dump([answer.skipped, answer.broken, _output(result)], pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        text = pipe.read()
    assert os.waitpid(child, 0)[1] == 0, "the ordinary user's process failed"
    skipped, broken, output = json.loads(text)
    found.append(_answered(CageAnswer(skipped=skipped, broken=broken or output)))
    return found[0]


def _output(result: object) -> str:
    return said(result) if isinstance(result, FixResult) else ""


def _answered(answer: CageAnswer) -> CageAnswer:
    if answer.skipped.startswith(("bubblewrap is missing", "no user namespaces here", "no cage could be made here")):
        pytest.skip(answer.skipped)
    return answer


def said(result: FixResult) -> str:
    """Return what a fix printed."""
    return (result.stdout.kept + result.stderr.kept).decode("utf-8", "replace")


def caged(script: bytes, *, starter: str = "root", timeout_s: int = 20, **job: Any) -> str:
    """Run a script in a cage; return what it printed."""
    made = CageJob(script=fix_job(script, timeout_s=timeout_s), **job)
    answer = started_by(starter, lambda: sandbox.BubblewrapCage().run(made))
    assert not answer.skipped, answer.skipped
    return said(answer.runs[0].result) if answer.runs else answer.broken  # type: ignore[arg-type]


def facts_of(body: str, *, starter: str, timeout_s: int = 20, **job: Any) -> dict[str, Any]:
    """
    Run a Python text in a cage; return the facts that it noted with `note(name, value)`.

    `tried(name, function, *arguments)` notes 'ok', or the name of the error's number.
    """
    script = PYTHON + _FACTS + body.encode("utf-8") + b"\nprint('FACTS ' + json.dumps(facts))\n"
    printed = caged(script, starter=starter, timeout_s=timeout_s, **job)
    lines = [line for line in printed.splitlines() if line.startswith("FACTS ")]
    assert lines, printed
    facts: dict[str, Any] = json.loads(lines[0].removeprefix("FACTS "))
    return facts


_FACTS = b"""
import ctypes, errno, glob, json, os, signal, socket, stat, sys, time
libc = ctypes.CDLL(None, use_errno=True)
facts = {}
def note(name, value): facts[name] = value
def tried(name, function, *arguments):
    try:
        function(*arguments)
    except OSError as exc:
        note(name, errno.errorcode.get(exc.errno, str(exc)))
    else:
        note(name, 'ok')
def syscall(number, *arguments):
    ctypes.set_errno(0)
    if libc.syscall(number, *arguments) == -1:
        raise OSError(ctypes.get_errno(), 'syscall')
def write(path, text='x'):
    with open(path, 'w') as file:
        file.write(text)
"""
