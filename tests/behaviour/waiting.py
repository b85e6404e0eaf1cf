"""Waiting until something is true, and looking whether a process lives."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

__all__ = ["is_alive", "wait_until"]


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
    except (FileNotFoundError, ProcessLookupError):  # Gone, before the file was opened or after.
        return False
