"""What the tests of the state package start from."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from remedy.state.ledger import Ledger

REPOSITORY = Path(__file__).parents[2]
NOBODY = 65_534


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty ledger."""
    opened = Ledger.open(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
def start_child(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start processes of tests/state/child.py on the test's directory; what is left of them is killed."""
    (tmp_path / "audit").mkdir()
    children: list[subprocess.Popen[str]] = []

    def start(what: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.state.child", what, str(tmp_path), *arguments]
        child = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()


@pytest.fixture
def as_other_user() -> Iterator[tuple[Path, Callable[[], AbstractContextManager[None]]]]:
    """Give a directory that other users reach, and a way to be one of them (or nobody else, unless root)."""
    directory = Path(tempfile.mkdtemp(prefix="remedy-state-"))
    directory.chmod(0o755)

    @contextmanager
    def other_user() -> Iterator[None]:
        before = os.geteuid()
        if before == 0:
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(before)

    yield directory, other_user
    for folder in directory.rglob("*"):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o700)
    shutil.rmtree(directory)
