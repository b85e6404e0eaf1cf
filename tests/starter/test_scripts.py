"""What all starter scripts have in common, whatever they do."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from remedy.load.repository import starter_rules

_SCRIPTS = sorted(starter_rules().rglob("*.sh"))


def _code(script: Path) -> str:
    return "\n".join(line for line in script.read_text().splitlines() if not line.lstrip().startswith("#"))


@pytest.fixture(params=_SCRIPTS, ids=[f"{script.parent.name}/{script.name}" for script in _SCRIPTS])
def script(request: pytest.FixtureRequest) -> Path:
    """Give each starter script."""
    return Path(request.param)


def test_there_is_a_script_for_each_signal_and_fix() -> None:
    """The starter library has seven collectors and four fixes."""
    assert len(_SCRIPTS) == 11


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_script_is_plain_posix_shell(script: Path, shell: str) -> None:
    """Every shell that may be /bin/sh accepts the script without a word."""
    words = shell.split()
    if shutil.which(words[0]) is None:
        pytest.skip(f"this machine has no {words[0]}")

    said = subprocess.run([*words, "-n", str(script)], capture_output=True, check=False)

    assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")


def test_script_is_sh_with_a_fixed_path_and_no_language(script: Path) -> None:
    """The script is for sh, and neither the caller's PATH nor language changes what it does."""
    code = _code(script)

    assert script.read_text().startswith("#!/bin/sh\n")
    assert "export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin\n" in code


def test_script_needs_no_temporary_file(script: Path) -> None:
    """No here-document and no mktemp: some shells make files of them, and the disk may be full."""
    code = _code(script)

    assert re.search(r"<<-?\s*['\"A-Z_a-z]", code) is None
    assert "mktemp" not in code


def test_script_removes_no_folder(script: Path) -> None:
    """No script removes recursively."""
    assert re.search(r"\brm\s+-\w*[rR]", _code(script)) is None


def test_script_passes_shellcheck(script: Path) -> None:
    """The script is clean for shellcheck, where that is installed."""
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("this machine has no shellcheck")

    said = subprocess.run([program, "--shell=sh", str(script)], capture_output=True, check=False, text=True)

    assert said.stdout == ""
