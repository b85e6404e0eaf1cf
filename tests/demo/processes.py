"""Which processes belong to a fleet, by the namespaces that they live in."""

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

__all__ = ["namespace", "processes_in", "processes_of", "wait_until"]


def processes_of(directory: Path) -> list[int]:
    """Return the processes in the namespaces of all fleets that live in or below a folder."""
    beneath = os.fsencode(directory)
    fleets = {namespace(pid) for pid in _pids() if beneath in _command(pid) and b"/setup.sh" in _command(pid)}
    return processes_in(fleets - {namespace(os.getpid()), ""})


def processes_in(namespaces: Collection[str]) -> list[int]:
    """Return the processes that live in one of these mount namespaces."""
    return [pid for pid in _pids() if namespace(pid) in namespaces]


def namespace(pid: int) -> str:
    """Return the name of a process's mount namespace; '' when the process is gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return ""


def wait_until(condition: Callable[[], bool], *, within_s: float = 20.0) -> bool:
    """Return true as soon as the condition is, false when it is not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
