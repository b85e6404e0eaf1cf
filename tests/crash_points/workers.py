"""Workers: processes that carry out trials, each with a fleet of six hosts of its own."""

import multiprocessing
import signal
import sys
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from remedy.demo.fleet import Fleet
from tests.crash_points.bench import Bench
from tests.crash_points.trial import Tried, count_points, try_point

__all__ = ["Workers"]

_JOIN_S = 30


def _work(connection: Connection, directory: Path, starting: Any) -> None:
    """Bring up a fleet, then carry out what is asked until there is nothing more."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    (directory / "fleet").mkdir(parents=True)
    with ExitStack() as stack:
        # One after the other: each looks for a port that is free on all its addresses.
        with starting:
            fleet = stack.enter_context(Fleet(directory / "fleet", hosts=Bench.hosts()))
        bench = Bench(fleet, directory / "repository")
        while (asked := connection.recv()) is not None:
            point, planted = asked
            connection.send(_tried(bench, point, planted) if point else count_points(bench))


def _tried(bench: Bench, point: str, planted: str) -> Tried:
    try:
        return try_point(bench, point, planted=planted)
    except Exception as exc:  # noqa: BLE001 - not silent: it is a violation like any other.
        return Tried(
            point=point,
            planted=planted,
            was_killed=False,
            resumed="failed",
            violations=(f"the trial could not be carried out: {exc}",),
            outcomes=Counter(),
            seconds=0,
            in_a_fix=False,
            hot_journal=False,
            torn=False,
            story=traceback.format_exc(),
        )


class Workers:
    """As many workers as there are jobs, below a directory that exists; leaving the block ends them and their hosts."""

    def __init__(self, directory: Path, *, jobs: int) -> None:
        # A fresh interpreter each: what they fork must have no threads.
        self._spawning = multiprocessing.get_context("spawn")
        self._directory = directory
        self._jobs = jobs
        self._starting = self._spawning.Lock()
        self._workers: dict[Connection, BaseProcess] = {}

    def __enter__(self) -> Self:
        for number in range(self._jobs):
            ours, theirs = self._spawning.Pipe()
            worker = self._spawning.Process(
                target=_work, args=(theirs, self._directory / f"worker-{number}", self._starting)
            )
            worker.start()
            theirs.close()
            self._workers[ours] = worker
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection, worker in self._workers.items():
            if kind is None and worker.is_alive():
                connection.send(None)
            else:
                worker.terminate()
        for connection, worker in self._workers.items():
            worker.join(_JOIN_S)
            if worker.is_alive():
                worker.kill()
                worker.join()
            connection.close()

    def count(self) -> tuple[str, ...]:
        """Return the names of all points of a run, in the order of their names."""
        connection = next(iter(self._workers))
        connection.send(("", ""))
        return tuple(sorted(self._answer(connection)))

    def try_all(self, wanted: Iterable[tuple[str, str]], *, on_tried: Callable[[Tried], None]) -> None:
        """Carry out a trial for each point and the bug planted there, '' for none; `on_tried` hears of each."""
        left = deque(wanted)
        busy = [connection for connection, _ in zip(self._workers, tuple(left), strict=False)]
        for connection in busy:
            connection.send(left.popleft())
        while busy:
            ready = set(wait(busy))
            for connection in [each for each in busy if each in ready]:
                on_tried(self._answer(connection))
                if left:
                    connection.send(left.popleft())
                else:
                    busy.remove(connection)

    def _answer(self, connection: Any) -> Any:
        try:
            return connection.recv()
        except (EOFError, ConnectionError):
            raise RuntimeError("a worker ended by itself; what it said stands above") from None
