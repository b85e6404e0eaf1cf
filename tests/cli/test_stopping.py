"""Ctrl-C twice: the process ends at once, and says what that leaves behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine

_WAIT_S = 30


def _wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + _WAIT_S
    while text not in (path.read_text() if path.exists() else ""):
        assert time.monotonic() < deadline, f"{path} never had {text!r}"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("scan", "nothing was changed"),
        (
            "apply --yes",
            "what was under way will be called lost; close the run with: remedy resume RUN (see remedy runs)",
        ),
    ],
)
def test_second_stop_says_what_is_left(tmp_path: Path, words: str, left: str) -> None:
    """Who only reads has changed nothing and has no run to close; an apply may have left something open."""
    line = CommandLine(tmp_path)
    line.write_repository()
    script = tmp_path / "rules" / "signals" / "flag" / "linux.sh"
    script.write_text(f"#!/bin/sh\necho reading >{tmp_path}/begun\nexec sleep 1\n")
    told = tmp_path / "told"
    with told.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", "remedy", *words.split(), "-i", "localhost,"],
            cwd=tmp_path,
            env=line.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        try:
            _wait_for(tmp_path / "begun", "reading")
            os.kill(child.pid, signal.SIGINT)
            _wait_for(told, "stopping: ")
            os.kill(child.pid, signal.SIGINT)
            code = child.wait(_WAIT_S)
        finally:
            child.kill()
            child.wait()

    assert code == 130
    assert told.read_text().splitlines()[-1] == f"remedy: ended at once; {left}"
