"""
The process that is killed: the real command line, its steps watched, one of them its last.

`fork` starts it from a process that has everything imported; what then runs is
`remedy.cli.main.main`, as `python -m remedy` would run it.
"""

import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import remedy.cli.app
import remedy.cli.commands.apply
import remedy.cli.commands.audit
import remedy.cli.commands.runs
import remedy.cli.main
import remedy.state.readings_store
import remedy_runners.local
import remedy_runners.ssh  # noqa: F401 - imported once, here, and not by every process that is forked.
from tests.crash_points.planted import plant
from tests.crash_points.points import Points
from tests.crash_points.steps import HostFiles, watch_steps

__all__ = ["Ran", "Where", "await_end", "fork", "remedy_main", "watched_main"]

_FAILED = 70
"""The harness itself failed: no exit code of remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where a process works: its directory, its environment, and the file for each of its output streams."""

    directory: Path
    environment: Mapping[str, str]
    output: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a process came to; `code` is minus the number of the signal that ended it."""

    code: int
    out: str
    err: str


def remedy_main(*words: str) -> None:
    """Run the command line in this process, to its end."""
    sys.argv = ["remedy", *words]
    try:
        remedy.cli.main.main()
    except SystemExit as exc:
        if exc.code:
            os._exit(exc.code if isinstance(exc.code, int) else _FAILED)


def watched_main(
    words: Sequence[str], *, scenario: str, die_at: str, planted: str, hosts: Mapping[str, HostFiles], reached: Path
) -> None:
    """Run the command line with its steps watched; the names of all points reached go to a file at the end."""
    points = Points(scenario, die_at)
    plant(planted)
    watch_steps(points, hosts)
    sys.argv = ["remedy", *words]
    try:
        remedy.cli.main.main()
    except SystemExit as exc:
        points.reach("process.end", "-")
        reached.write_text(json.dumps(points.reached))
        os._exit(exc.code if isinstance(exc.code, int) else _FAILED)


def fork(work: Callable[[], None], where: Where) -> int:
    """Start a process of its own for a work and return its id; this one must have no threads."""
    pid = os.fork()
    if pid == 0:
        _begin(work, where)
    return pid


def _begin(work: Callable[[], None], where: Where) -> NoReturn:
    code = _FAILED
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.chdir(where.directory)
        os.environ.clear()
        os.environ.update(where.environment)
        _redirect(0, Path(os.devnull), os.O_RDONLY)
        for number, suffix in ((1, ".out"), (2, ".err")):
            _redirect(number, where.output.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - not silent: whoever waits reads it, and sees the exit code.
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(number: int, path: Path, flags: int) -> None:
    descriptor = os.open(path, flags, 0o600)
    os.dup2(descriptor, number)
    os.close(descriptor)


def await_end(pid: int, where: Where, *, timeout_s: float) -> Ran:
    """
    Wait for a process that was forked, and return what it came to.

    Raises:
        TimeoutError: it did not end in time; it is killed.
    """
    descriptor = os.pidfd_open(pid)
    ended: list[int] = []
    try:
        ended, _, _ = select.select([descriptor], [], [], timeout_s)
    finally:
        os.close(descriptor)
        if not ended:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    out, err = (where.output.with_suffix(suffix).read_text(errors="replace") for suffix in (".out", ".err"))
    if not ended:
        raise TimeoutError(f"a process did not end within {timeout_s:g} s: {err}")
    return Ran(code=os.waitstatus_to_exitcode(status), out=out, err=err)
