"""What a shell offers for a half-typed line: commands, names from the repository, words of options."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from remedy.cli.app import app
from remedy.cli.completion import completer_of
from tests.cli.command_line import CommandLine
from tests.cli.forked import run_forked

_FREE = {
    *("DIR", "FILE", "PATH", "N", "N|P%", "TEXT", "REASON", "TIME", "REV", "NAME", "HASH", "DURATION"),
    "SHA256:…",
}
"""Metavars of files, which shells complete by themselves, and of what people think up."""


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """A repository of one rule and three hosts."""
    made = CommandLine(tmp_path)
    made.write_repository()
    return made


def _completed(line: CommandLine, text: str, **environment: str) -> list[str]:
    """Return what bash would be offered at the end of a line."""
    words = text.split(" ")
    given = {"COMP_WORDS": text, "COMP_CWORD": str(len(words) - 1), "_REMEDY_COMPLETE": "complete_bash"}
    done = run_forked((), cwd=line.directory, environment={**line.environment, **given, **environment}, timeout_s=30)
    assert done.stderr == ""
    return done.stdout.split()


def _commands() -> dict[str, typer.core.TyperCommand]:
    root = typer.main.get_command(app)
    found = {}
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found.update({f"{name} {each}": one for each, one in inner.items()} if inner else {name: command})
    return found


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("remedy sc", ["scan", "schema"]),
        ("remedy audit ", ["show", "verify"]),
        ("remedy help rel", ["release"]),
        ("remedy scan -r ", ["flag-high"]),
        ("remedy rules show fl", ["flag-high"]),
        ("remedy release ", ["flag-high"]),
        ("remedy why w", ["web-1", "web-2"]),
        ("remedy scan -l w", ["web", "web-1", "web-2"]),
        ("remedy scan -l db,web-", ["db,web-1", "db,web-2"]),
        ("remedy scan -l db,!web-", ["db,!web-1", "db,!web-2"]),
        ("remedy pause --group ", ["all", "db", "ungrouped", "web"]),
        ("remedy scan -o ", ["json", "text"]),
        ("remedy lint -o s", ["sarif"]),
        ("remedy apply --override ", ["cooling_down", "observe_only", "outside_window", "paused"]),
        ("remedy apply --outcome failed,un", ["failed,unreachable", "failed,unverified"]),
        ("remedy schema ru", ["rule"]),
        ("remedy schema rule.lim", ["rule.limits", "rule.limits.attempts", "rule.limits.attempts.count"]),
    ],
)
def test_completion_offers_names_and_words(line: CommandLine, text: str, offered: list[str]) -> None:
    """Each option and argument is completed from what the repository and the program have."""
    found = sorted(_completed(line, text))

    assert found[: len(offered)] == offered
    assert len(found) == len(offered) or text.endswith("rule.lim")


def test_completion_offers_runs_the_newest_first(line: CommandLine) -> None:
    """Run ids come from the state directory, also from one that is named on the line."""
    runs = ["20261122T084500Z-1a2b", "20261123T084500Z-0001"]
    for state in (line.state, line.directory / "other"):
        (state / "audit").mkdir(parents=True)
    for run in runs:
        (line.state / "audit" / f"{run}.jsonl").touch()
    (line.directory / "other" / "audit" / "20260101T000000Z-ffff.jsonl").touch()

    assert _completed(line, "remedy runs ") == runs[::-1]
    assert _completed(line, "remedy resume 20261123") == runs[1:]
    assert _completed(line, "remedy runs --state other ") == ["20260101T000000Z-ffff"]


def test_completion_reads_what_stands_on_the_line(line: CommandLine) -> None:
    """Rules and inventory that the line names are asked, not those of the folder."""
    (line.directory / "other.txt").write_text("mail-1\n")
    (line.directory / "more" / "flag-low").mkdir(parents=True)
    (line.directory / "more" / "flag-low" / "rule.yaml").touch()

    assert _completed(line, "remedy scan -i other.txt -l m") == ["mail-1"]
    assert _completed(line, "remedy scan -R more -r ") == ["flag-low"]


@pytest.mark.parametrize("text", ["remedy scan -l w", "remedy scan -r f", "remedy runs 2", "remedy scan --tag x"])
def test_completion_is_silent_about_what_is_broken(line: CommandLine, text: str) -> None:
    """Broken files, and folders that are not there, complete nothing and say nothing."""
    (line.directory / "inventory.yaml").write_text("all: [\n")
    (line.directory / "remedy.yaml").write_text("rulez: nowhere\n")

    assert _completed(line, text, REMEDY_RULES="/nonexistent") == []


def test_every_value_completes_or_is_known_to_be_free() -> None:
    """A new option completes by its metavar; one with an unknown metavar is noticed here."""
    unknown = {
        f"{name} {param.name}": param.metavar
        for name, command in _commands().items()
        for param in command.params
        if not getattr(param, "is_flag", False)
        and completer_of(str(param.metavar)) is None
        and str(param.metavar) not in _FREE
    }

    assert unknown == {}


@pytest.fixture
def shell_environment(line: CommandLine) -> dict[str, str]:
    """An environment in which `remedy` is this one."""
    program = line.directory / "bin" / "remedy"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m remedy "$@"\n')
    program.chmod(0o755)
    return {**line.environment, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}


_BASH = """
eval "$(remedy --show-completion bash)"
COMP_WORDS=(remedy scan -l we); COMP_CWORD=3
_remedy_completion remedy we -l
printf '%s\\n' "${COMPREPLY[@]}"
complete -p remedy
"""
_ZSH = """
autoload -Uz compinit && compinit -u -d "$HOME/.zcompdump"
_arguments() { print -r -- "$@" }
eval "$(remedy --show-completion zsh)"
words=(remedy scan -l we); CURRENT=4
_remedy_completion
print -r -- "$_comps[remedy]"
"""
_FISH = """
remedy --show-completion fish | source
complete -C 'remedy scan -l we'
"""


@pytest.mark.parametrize(
    ("shell", "script", "said"),
    [
        ("bash", _BASH, ("web\nweb-1\nweb-2\n", "_remedy_completion remedy")),
        ("zsh", _ZSH, ('"web"', '"web-1"', '"web-2"', "_remedy_completion")),
        ("fish", _FISH, ("web\nweb-1\nweb-2\n",)),
    ],
)
def test_completion_works_in_a_real_shell(
    line: CommandLine, shell_environment: dict[str, str], shell: str, script: str, said: tuple[str, ...]
) -> None:
    """The script that is printed for a shell makes it offer hosts and groups."""
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    flags = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]

    done = subprocess.run(
        [shell, *flags, "-c", script],
        cwd=line.directory,
        env=shell_environment,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )

    assert all(each in done.stdout for each in said), done.stdout + done.stderr


_WITH_MODULES = """
import json, sys
from remedy.cli.main import main
try:
    main()
except SystemExit:
    sys.stderr.write(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize(
    ("text", "unneeded"),
    [
        ("remedy sc", ("yaml", "jsonschema", "sqlite3", "paramiko", "requests", "remedy_runners")),
        ("remedy lint -o s", ("yaml", "jsonschema", "sqlite3", "paramiko", "requests", "remedy_runners")),
        ("remedy apply --outcome fail", ("yaml", "jsonschema", "sqlite3", "paramiko", "requests", "remedy_runners")),
        ("remedy scan -i inventory.yaml -l w", ("jsonschema", "sqlite3", "paramiko", "requests", "remedy_runners")),
        ("remedy runs --state state 2", ("yaml", "jsonschema", "sqlite3", "paramiko", "requests", "remedy_runners")),
    ],
)
def test_completion_loads_only_what_it_needs(line: CommandLine, text: str, unneeded: tuple[str, ...]) -> None:
    """A person waits for it: what connects, checks schemas or reads databases is not even imported."""
    given = {"COMP_WORDS": text, "COMP_CWORD": str(text.count(" ")), "_REMEDY_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", _WITH_MODULES],
        cwd=line.directory,
        env={**line.environment, **given},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert set(unneeded) & set(json.loads(done.stderr)) == set()
    assert done.stdout or "runs" in text
