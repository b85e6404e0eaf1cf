"""The command line as a process, in a directory of a test, with an empty home and a state directory of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.forked import run_forked

_TIMEOUT_S = 60
_SIGNAL = """\
signal: flag
title: A number that a test planted
columns: {level: number}
collect:
  linux: {script: linux.sh, timeout: 3s}
"""
_RULE = """\
rule: flag-high
title: The planted number is high
why: So that something can be mended.
owner: tests@example.org
mode: observe
hosts: all
signal: flag
params: {above: 5}
when: level > params.above
"""
_INVENTORY = """\
all:
  vars: {remedy_params: {flag-high: {above: 7}}}
  children:
    web: {hosts: {web-1: {}, web-2: {}}}
    db: {hosts: {db-1: {}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one run of the command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.out)


class CommandLine:
    """Runs remedy below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "state"
        (directory / "home").mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory / "home"),
            "REMEDY_STATE": str(self.state),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "LC_ALL": "C.UTF-8",
        }

    def remedy(self, *words: str) -> Ran:
        """Run the command to its end; it never shows a traceback."""
        done = run_forked(words, cwd=self.directory, environment=self.environment, timeout_s=_TIMEOUT_S)
        assert "Traceback" not in done.stdout + done.stderr
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def remedy_onto(self, stdout: int, *words: str, **environment: str) -> Ran:
        """Run the command with another standard output; it never shows a traceback."""
        given = {**self.environment, **environment}
        done = run_forked(words, cwd=self.directory, environment=given, stdout=stdout, timeout_s=_TIMEOUT_S)
        assert "Traceback" not in done.stderr
        return Ran(code=done.returncode, out="", err=done.stderr)

    def shell(self, line: str, **environment: str) -> Ran:
        """Run a line of shell, in which $REMEDY is the command; it never shows a traceback."""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.directory,
            env={**self.environment, "REMEDY": f"{sys.executable} -m remedy", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def write_repository(self) -> None:
        """Write a rule, its signal, and an inventory of three hosts in two groups."""
        rule, signal = self.directory / "rules" / "flag-high", self.directory / "rules" / "signals" / "flag"
        rule.mkdir(parents=True)
        signal.mkdir(parents=True)
        (rule / "rule.yaml").write_text(_RULE)
        (signal / "signal.yaml").write_text(_SIGNAL)
        (signal / "linux.sh").write_text("#!/bin/sh\nemit level 1\n")
        (self.directory / "inventory.yaml").write_text(_INVENTORY)

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Return the data of all audit records of one type, in the order of the files."""
        found = []
        for path in sorted((self.state / "audit").glob("*.jsonl")):
            records = (json.loads(line) for line in path.read_text().splitlines())
            found += [record["data"] for record in records if record["type"] == kind]
        return found
