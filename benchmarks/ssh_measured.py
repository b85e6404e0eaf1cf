"""
`python -m benchmarks.ssh_measured --folder DIR [--memory] -- COMMAND...`: runs a command, prints what it took.

Counted is the command with all its descendants, those included that outlive it or
leave it for a new session: they come to this process (it is their subreaper), are
ended when the command has ended, and are waited for. With `--memory` the sum of
their proportional set sizes is sampled instead, which costs time of its own. The
command runs in the folder, with the environment that standard input has as one JSON
object, and leaves its output there in `stdout` and `stderr`. One that is not through
after 20 minutes is killed. Prints one JSON object.
"""

import argparse
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.ssh_hosts import become_reaper

__all__ = ["Measured", "main"]

_COMMAND_S = 1_200
_LEAVE_S = 5
_SAMPLE_S = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """
    What a command took: CPU seconds of all its processes, and of the machine in that time.

    `machine_cpu_s` has everything that ran on the machine, and what its hypervisor
    gave to others. `peak_kib` is 0 unless memory was sampled.
    """

    exit_code: int
    wall_s: float
    cpu_s: float
    machine_cpu_s: float
    peak_kib: int


def _machine_cpu_s() -> float:
    """Source: proc(5), /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal."""
    words = [int(word) for word in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    return (sum(words) - words[3] - words[4]) / _TICKS


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


def _descendants() -> list[int]:
    found: list[int] = []
    waiting = _children(os.getpid())
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += _children(pid)
    return found


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


class _Sampler(threading.Thread):
    """Asks how much memory the descendants have, again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self.peak_kib = 0

    def run(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self.peak_kib = max(self.peak_kib, sum(_pss_kib(pid) for pid in _descendants()))

    def end(self) -> int:
        self._over.set()
        self.join()
        return self.peak_kib


@contextlib.contextmanager
def _reaping() -> Iterator[None]:
    """Have orphans come to us; in the end, end those that are left and wait for all."""
    become_reaper()
    yield
    deadline = time.monotonic() + _LEAVE_S
    while left := _children(os.getpid()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        time.sleep(0.01)


def _measured(command: Sequence[str], folder: Path, environment: Mapping[str, str], *, with_memory: bool) -> Measured:
    sampler = _Sampler() if with_memory else None
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr, _reaping():
        machine_s, began = _machine_cpu_s(), time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
        if sampler is not None:
            sampler.start()
        # Popen's own timeout would look only every 50 ms whether the command has ended.
        watchdog = threading.Timer(_COMMAND_S, process.kill)
        watchdog.daemon = True
        watchdog.start()
        exit_code = process.wait()
        wall_s, machine_s = time.perf_counter() - began, _machine_cpu_s() - machine_s
        watchdog.cancel()
        peak_kib = 0 if sampler is None else sampler.end()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Measured(
        exit_code=exit_code,
        wall_s=wall_s,
        cpu_s=used.ru_utime + used.ru_stime,
        machine_cpu_s=machine_s,
        peak_kib=peak_kib,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ssh_measured", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)
    environment = json.load(sys.stdin)
    print(json.dumps(asdict(_measured(given.command, given.folder, environment, with_memory=given.memory))))


if __name__ == "__main__":
    main()
