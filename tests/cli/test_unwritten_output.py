"""Output that cannot be written: a device that is full, a reader that is gone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine, Ran

FULL = "remedy: standard output cannot be written: No space left on device"
DONE = f"{FULL}; what was done stays done"
ACTING = ("init new", "stop brake")


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """The command line in a repository with a rule and three hosts."""
    line = CommandLine(tmp_path)
    line.write_repository()
    return line


def _is_told_of_a_full_device(done: Ran, words: str) -> bool:
    assert "internal error" not in done.err
    said = DONE if words in ACTING else FULL
    return done.code == 1 and done.err.splitlines()[-1] == said and done.err.count("written") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "apply --help",
        "--version",
        "validate",
        "inventory",
        "inventory -o json",
        "runs",
        "init new",
        "pause -h",
    ],
)
def test_full_device_is_one_line_and_exit_1(line: CommandLine, words: str, unbuffered: str) -> None:
    """
    A result that could not be printed is said in one line, is exit 1, and is no bug of ours.

    That what was done stays done is said by a command that does something, not by one that only looks.
    """
    line.state.mkdir()

    with Path("/dev/full").open("wb") as full:
        done = line.remedy_onto(full.fileno(), *words.split(), PYTHONUNBUFFERED=unbuffered)

    assert _is_told_of_a_full_device(done, words)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["--help", "inventory -o json"])
def test_full_device_of_a_shell_is_one_line_and_exit_1(line: CommandLine, words: str, unbuffered: str) -> None:
    """So it is where a shell has opened the device and started the command."""
    done = line.shell(f"$REMEDY {words} >/dev/full", PYTHONUNBUFFERED=unbuffered)

    assert _is_told_of_a_full_device(done, words)


def test_full_device_does_not_undo_a_stop(line: CommandLine) -> None:
    """A stop whose result cannot be printed holds; the exit code says that something is amiss."""
    done = line.shell("$REMEDY stop brake >/dev/full")

    assert done.code == 1
    assert done.err.splitlines()[-1] == DONE
    assert (line.state / "STOP").exists()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("redirected", [">/dev/full 2>&1", "2>/dev/full"])
def test_full_devices_keep_nothing_from_being_done(line: CommandLine, redirected: str, unbuffered: str) -> None:
    """A pause that can be told to nobody, although it says several things before it acts, is set and recorded."""
    done = line.shell(f"$REMEDY pause --all --reason migration {redirected}", PYTHONUNBUFFERED=unbuffered)

    assert done.code == (1 if redirected.startswith(">") else 0)
    assert [pause["reason"] for pause in line.remedy("runs", "-o", "json").json["pauses"]] == ["migration"]
    assert len(line.records("pause.set")) == 1


def test_gone_reader_keeps_nothing_from_being_done(line: CommandLine) -> None:
    """A pause of which both outputs are pipes that nobody reads any more is set, and ends with 0."""
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "remedy", "pause", "--all", "--reason", "migration"]
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            words,
            cwd=line.directory,
            env=line.environment,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            timeout=60,
        )

    assert done.returncode == 0
    assert [pause["reason"] for pause in line.remedy("runs", "-o", "json").json["pauses"]] == ["migration"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["--help", "init new", "inventory", "inventory -o json"])
def test_gone_reader_is_told_nothing(line: CommandLine, words: str, unbuffered: str) -> None:
    """After a reader that wanted no more nothing is said about it, and what was to be done was done."""
    silent = line.remedy(*words.split())
    shutil.rmtree(line.directory / "new", ignore_errors=True)
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "wb") as pipe:
        done = line.remedy_onto(pipe.fileno(), *words.split(), PYTHONUNBUFFERED=unbuffered)

    assert done.err == silent.err
    assert silent.code == 0
    # The library that prints the help ends with 1 where nobody reads it.
    assert done.code == 0 or words == "--help"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_gone_reader_of_a_pipeline_is_told_nothing(line: CommandLine, unbuffered: str) -> None:
    """So it is after `| true`, in a shell."""
    silent = line.remedy("inventory")

    done = line.shell("$REMEDY inventory | exec true", PYTHONUNBUFFERED=unbuffered)

    assert done.code == 0
    assert done.err == silent.err
