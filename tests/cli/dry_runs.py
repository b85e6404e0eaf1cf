"""A small rules repository in git, judged by readings of this machine that were saved before."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.cli.command_line import CommandLine

__all__ = ["Checkout"]

_SIGNAL = """\
signal: {name}
title: A number that a test planted
key: [part]
columns: {{part: text, level: number}}
collect:
  linux: {{script: linux.sh, timeout: 5s}}
"""
_RULE = """\
rule: {name}
title: The planted number is high
why: So that something can be mended.
owner: tests@example.org
mode: fix
hosts: all
signal: {signal}
when: level > 5
fix: {{linux: {{script: fix.sh}}}}
risk: safe
verify: later
limits: {{matched: 100%}}
"""
_INVENTORY = """\
all:
  hosts:
    here: {ansible_connection: local}
"""


class Checkout:
    """The repository: the rules `high` and `other` with a signal each, on one host, which is this machine."""

    def __init__(self, line: CommandLine) -> None:
        self.line = line
        self.root = line.directory

    @classmethod
    def made(cls, folder: Path) -> "Checkout":
        """Return a committed repository in a folder, with readings of this machine."""
        checkout = cls(CommandLine(folder))
        checkout.write_all()
        checkout.save_readings()
        return checkout

    def copied(self, folder: Path) -> "Checkout":
        """Return the same repository, as it is now, in another folder; nothing has been done with it there."""
        copy = Checkout(CommandLine(folder))
        shutil.copytree(self.root, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("home", "state"))
        return copy

    def write_all(self) -> None:
        """Write the repository and commit it."""
        for name, signal, level in (("high", "flag", 9), ("other", "mark", 1)):
            self.write(f"rules/{name}/rule.yaml", _RULE.format(name=name, signal=signal))
            self.write(f"rules/{name}/fix.sh", "#!/bin/sh\necho mended\n")
            self.write(f"rules/{name}/tests.yaml", "[]\n")
            self.write(f"rules/signals/{signal}/signal.yaml", _SIGNAL.format(name=signal))
            self.write(f"rules/signals/{signal}/linux.sh", f"#!/bin/sh\nemit part a level {level}\n")
        self.write("inventory.yaml", _INVENTORY)
        self.write("remedy.yaml", "rules: rules\ninventory: inventory.yaml\n")
        self.write(".gitignore", "/home/\n/state/\n*.jsonl\n")
        self.git("init", "--quiet", "--initial-branch", "main")
        self.commit("the rules")

    def write(self, name: str, text: str) -> None:
        """Write a file of the repository."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def append(self, name: str, text: str = "# another line\n") -> None:
        """Add a line to a file of the repository."""
        self.write(name, (self.root / name).read_text(encoding="utf-8") + text)

    def git(self, *words: str, folder: Path | None = None) -> str:
        """Run git and return what it said."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "home"),
            **{f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        done = subprocess.run(
            ["git", *words], cwd=folder or self.root, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        """Commit everything and return the revision."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def save_readings(self) -> Path:
        """Read this machine and keep what it said."""
        done = self.line.remedy("scan", "--save", "readings.jsonl")
        assert done.code == 0, done.err
        return self.root / "readings.jsonl"
