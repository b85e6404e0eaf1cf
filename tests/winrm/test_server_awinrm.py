"""
The loopback server, judged by awinrm, whose NTLM and message encryption are not pyspnego's.

It lives in an environment of its own (its dependencies are wide and conflict with nobody there), made once.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.winrm.processes import in_sh
from tests.winrm.server import WinRMServer

pytestmark = pytest.mark.slow

_CLIENT = """
import asyncio, sys
from awinrm import Session

async def main():
    async with Session(sys.argv[1]) as session:
        print(await session.run_cmd(sys.argv[2]))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def python(pytestconfig: pytest.Config) -> Path:
    """The interpreter of an environment that has awinrm."""
    assert pytestconfig.cache is not None
    directory = pytestconfig.cache.mkdir("awinrm-0.1.2")
    python = directory / "bin" / "python"
    if not (directory / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
        install = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "awinrm==0.1.2")
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"awinrm 0.1.2 is not to be had: {done.stderr.strip().rpartition(chr(10))[2]}")
        (directory / "complete").touch()
    return python


def _run(python: Path, server: WinRMServer, password: str) -> "subprocess.CompletedProcess[str]":
    url = f"http+ntlm-password://{server.user}:{password}@{server.address}:{server.port}"
    command = [str(python), "-c", _CLIENT, url, "echo out; echo problem >&2; exit 6"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_awinrm_gets_streams_and_code(python: Path) -> None:
    """A client with an NTLM of its own logs in, encrypts, and gets both streams and the exit code."""
    with WinRMServer(in_sh) as server:
        done = _run(python, server, server.password)

        assert done.stdout == "(b'out\\n', b'problem\\n', 6)\n"
        assert tuple(dict.fromkeys(server.journal.actions())) == ("Create", "Command", "Receive", "Signal", "Delete")
        assert all(one.encrypted for one in server.journal.requests if one.action)
        assert (server.journal.clear_text_bodies, server.shells_open()) == (0, ())


def test_awinrm_with_a_wrong_password_is_refused(python: Path) -> None:
    """The same client with a wrong password gets nowhere."""
    with WinRMServer(in_sh) as server:
        done = _run(python, server, "wrong")

        assert done.returncode != 0
        assert [one.accepted for one in server.journal.attempts] == [False]
        assert server.journal.actions() == ()
