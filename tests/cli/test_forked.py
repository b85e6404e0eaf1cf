"""A forked command line is to its test what one that was started is."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.forked import run_forked


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """A command line in a repository with a rule and three hosts."""
    made = CommandLine(tmp_path)
    made.write_repository()
    return made


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        ("--version", None),
        ("--help", None),
        ("aply", None),
        ("runs", None),
        ("validate", None),
        ("inventory -o json", None),
        ("inventory -i - -o json", '{"_meta": {"hostvars": {}}, "all": {"hosts": ["böse-1"]}}'),
        ("inventory -i -", None),
        ("stop", None),
        ("apply --yes --state other -l nosuch", None),
    ],
)
def test_forked_command_ends_as_one_that_was_started(line: CommandLine, words: str, stdin: str | None) -> None:
    """Exit code and both outputs are the same to the byte; directory, home and variables are those of the test."""
    started = subprocess.run(
        [sys.executable, "-m", "remedy", *words.split()],
        cwd=line.directory,
        env=line.environment,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=60,
    )

    forked = run_forked(words.split(), cwd=line.directory, environment=line.environment, stdin=stdin, timeout_s=60)

    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


def test_forked_command_that_takes_too_long_is_killed(line: CommandLine) -> None:
    """A command that does not end in time raises and leaves no state; the next one has its own answer."""
    with pytest.raises(subprocess.TimeoutExpired):
        run_forked(["stop", "brake"], cwd=line.directory, environment=line.environment, timeout_s=0)

    assert not line.state.exists()
    assert line.remedy("aply").code == 1
    assert line.remedy("--version").out.startswith("remedy ")


def test_forked_commands_leave_nothing_to_each_other(line: CommandLine) -> None:
    """What one command was given (variables, directory) the next one does not have."""
    (line.directory / "home" / "state").mkdir()
    other = {**line.environment, "REMEDY_STATE": str(line.directory / "home" / "state")}

    there = run_forked(["stop", "brake"], cwd=line.directory, environment=other, timeout_s=60)
    here = line.remedy("start")

    assert (there.returncode, here.code) == (0, 0)
    assert (line.directory / "home" / "state" / "STOP").exists()
    assert not (line.state / "STOP").exists()
