"""
A fleet of real OpenSSH daemons, a small rules repository, and the command line run as a process.

Every host has a file /run/level that the signal reads and the fix writes. What is
planted in /run/collector and /run/fix is sourced by them first, so that a test
can make either misbehave. /run/ran has a line for each time a fix really ran.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from remedy.demo.fleet import Fleet
from remedy.demo.host import DemoHost
from tests.cli.command_line import CommandLine, Ran
from tests.cli.forked import run_forked

NAMES = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")
_TIMEOUT_S = 90

_SIGNAL = """\
signal: flag
title: A number that a test planted
columns: {level: number, note: text}
collect:
  linux: {script: linux.sh, timeout: 3s}
"""
_COLLECTOR = """\
#!/bin/sh
if [ -e /run/collector ]; then . /run/collector; fi
level=$(cat /run/level) || exit 3
emit level "$level" note "$(cat /run/note 2>/dev/null)"
"""
_RULE = """\
rule: flag-high
title: The planted number is high
why: So that something can be mended.
owner: tests@example.org
mode: {mode}
hosts: {hosts}
signal: flag
params: {{above: 5}}
when: level > params.above
fix:
  linux: {{script: lower.sh, timeout: {timeout}}}
risk: safe
verify: {{until: level < 3, settle: 0s, within: {within}}}
limits: {{cooldown: {cooldown}, attempts: {{count: {attempts}, within: 7d}}, matched: {matched}}}
rollout: {{waves: {waves}, soak: 0s, max_bad: {max_bad}}}
"""
_FIX = """\
#!/bin/sh
echo "$REMEDY_EXECUTION" >> /run/ran
if [ -e /run/fix ]; then . /run/fix; fi
echo 0 > /run/level
echo "lowered from $REMEDY_ROW_LEVEL"
"""
FIX_THAT_WAITS = "while [ ! -e /run/note ]; do sleep 0.1; done\n"
"""Planted as /run/fix: it goes on when the test plants a note."""

_DEFAULTS = {
    "mode": "fix",
    "hosts": "all",
    "timeout": "10s",
    "cooldown": "6h",
    "attempts": "3",
    "matched": "[6, 100%]",
    "waves": "[1, 100%]",
    "max_bad": "0",
    "within": "2s",
}


@dataclass
class Bench:
    """A rules repository over the fleet, and the command line in it."""

    fleet: Fleet
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def write_rule(self, **changes: str) -> None:
        """(Re)write the rule, with some of its values changed."""
        folder = self.directory / "rules" / "flag-high"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rule.yaml").write_text(_RULE.format(**{**_DEFAULTS, **changes}))
        (folder / "lower.sh").write_text(_FIX)

    def argv(self, *words: str) -> list[str]:
        """Return the command line of a process."""
        return [sys.executable, "-m", "remedy", *words]

    def remedy(self, *words: str, stdin: str | None = None) -> Ran:
        """Run the command to its end."""
        done = run_forked(words, cwd=self.directory, environment=self.environment, stdin=stdin, timeout_s=_TIMEOUT_S)
        assert "Traceback" not in done.stderr + done.stdout
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start the command and leave it running."""
        return subprocess.Popen(
            self.argv(*words),
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def plant(self, host: str, **files: str) -> None:
        """Write files below /run of a host."""
        for name, text in files.items():
            done = self.fleet.run_inside(host, ["sh", "-c", 'printf "%s" "$1" > "/run/$2"', "sh", text, name])
            assert done.returncode == 0, done.stderr

    def trouble(self, *hosts: str, level: int = 9) -> None:
        """Plant trouble on hosts."""
        for host in hosts:
            self.plant(host, level=f"{level}\n")

    def let_go(self, *hosts: str) -> None:
        """Let the fixes that wait go on, now and later."""
        for host in hosts:
            self.plant(host, note="go on")

    def ran(self, host: str) -> int:
        """Return how many times a fix really ran on a host."""
        return len(self.fleet.run_inside(host, ["cat", "/run/ran"]).stdout.split())

    def level(self, host: str) -> str:
        """Return the level that is on the host now."""
        return self.fleet.run_inside(host, ["cat", "/run/level"]).stdout.strip()

    def ran_anywhere(self) -> int:
        """Return how many fixes ran on all hosts together."""
        return sum(self.ran(name) for name in NAMES)


def await_true(question: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
    """Poll until the answer is yes, or fail."""
    deadline = time.monotonic() + timeout_s
    while not question():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def outcomes(document: Mapping[str, Any]) -> dict[str, str]:
    """Return host -> outcome (or skip) of an apply's JSON."""
    return {each["host"]: each["skip"] or each["outcome"] for each in document["outcomes"]}


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Six hosts, up for the whole session."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("sshd", path="/usr/sbin:/usr/bin") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have root and sshd")
        pytest.skip("needs root on Linux and sshd (openssh-server)")
    with Fleet(tmp_path_factory.mktemp("fleet"), hosts=[DemoHost(name=name) for name in NAMES]) as running:
        yield running


@pytest.fixture
def bench(fleet: Fleet, tmp_path: Path) -> Bench:
    """A fresh repository and fresh, healthy hosts."""
    clean = (
        "rm -f /run/collector /run/fix /run/ran /run/note /etc/remedy/hold; rm -rf /run/remedy/*; echo 1 > /run/level"
    )
    for name in NAMES:
        done = fleet.run_inside(name, ["sh", "-c", clean])
        assert done.returncode == 0, done.stderr
    signal_folder = tmp_path / "rules" / "signals" / "flag"
    signal_folder.mkdir(parents=True)
    (signal_folder / "signal.yaml").write_text(_SIGNAL)
    (signal_folder / "linux.sh").write_text(_COLLECTOR)
    inventory = fleet.inventory_path.read_text()
    lines = [line for line in inventory.splitlines() if "remedy_params" not in line]
    (tmp_path / "inventory.yaml").write_text("\n".join(lines) + "\n")
    made = Bench(fleet=fleet, directory=tmp_path, environment=CommandLine(tmp_path).environment)
    made.write_rule()
    return made


def stop_process(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    """Send a signal to a process of ours."""
    os.kill(process.pid, number)


def all_text(directory: Path, texts: Sequence[str], *, binary_suffix: str = "") -> str:
    """Return everything that was written below a directory, and these texts, for a search."""
    kept = (
        path.read_bytes().decode("utf-8", "replace")
        for path in sorted(directory.rglob("*"))
        # The reserve is room and nothing else: bytes that cannot be compressed.
        if path.is_file() and "inventory" not in path.name and path.suffix != binary_suffix and path.name != "reserve"
    )
    return "\n".join([*texts, *kept])
