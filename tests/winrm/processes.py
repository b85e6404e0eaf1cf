"""Processes of the tests: one that stands in for a command line, and what became of one."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

__all__ = ["in_sh", "is_alive", "wait_until"]


def in_sh(command_line: str) -> Sequence[str]:
    """Let /bin/sh stand in for whatever the command line names."""
    return ("/bin/sh", "-c", command_line)


def wait_until(happens: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Poll until something is true; fail when it is not in time."""
    deadline = time.monotonic() + within_s
    while not happens():
        if time.monotonic() > deadline:
            pytest.fail(f"did not happen within {within_s} s: {happens}")
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
