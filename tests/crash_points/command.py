"""`scripts/crash-points`: counts the points of a run, kills one run at each of them, and says what came of it."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from remedy.text import counted
from tests.crash_points.planted import PLANTED
from tests.crash_points.points import KINDS, kind_of
from tests.crash_points.trial import Tried
from tests.crash_points.workers import Workers

__all__ = ["Tally", "main", "missing_kinds", "try_points"]

_JOBS = 10
_MISSED_PERCENT_MAX = 5
_SAY_EVERY_S = 15.0


class Tally:
    """What trials came to, all together."""

    def __init__(self) -> None:
        self.tried: list[Tried] = []

    @property
    def failed(self) -> tuple[Tried, ...]:
        """The trials in which a promise was broken."""
        return tuple(each for each in self.tried if each.violations)

    @property
    def missed(self) -> tuple[Tried, ...]:
        """The trials whose run ended before it reached the point: threads had changed the order."""
        return tuple(each for each in self.tried if not each.was_killed)

    def add(self, tried: Tried) -> None:
        """Count a trial."""
        self.tried.append(tried)

    def lines(self) -> Iterator[str]:
        """Yield the summary."""
        count, missed = len(self.tried), len(self.missed)
        outcomes = sum((Counter(each.outcomes) for each in self.tried), Counter())
        yield f"killed        {count - missed} of {count} runs; {missed} ended before they reached their point"
        yield f"in a fix      {self._count('in_a_fix')} were killed while a fix was running on a host"
        yield f"in a commit   {self._count('hot_journal')} left a hot journal of the ledger"
        yield f"in a record   {self._count('torn')} left a torn record that resume moved aside"
        resumed = Counter(each.resumed for each in self.tried)
        yield (
            f"resume        closed {resumed['closed']}, found {resumed['ended']} that had ended, "
            f"knew no run in {resumed['unknown']}"
        )
        yield "closed as     " + ", ".join(f"{number} {name}" for name, number in sorted(outcomes.items()))
        yield f"violations    in {len(self.failed)} runs"

    def _count(self, what: str) -> int:
        return sum(bool(getattr(each, what)) for each in self.tried)


@contextmanager
def _workers(jobs: int) -> Iterator[Workers]:
    directory = Path(tempfile.mkdtemp(prefix="remedy-crash-points-"))
    try:
        with Workers(directory, jobs=jobs) as workers:
            yield workers
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def try_points(wanted: Sequence[tuple[str, str]], *, jobs: int) -> Tally:
    """Kill a run at each of these points, with the bug planted there; return what came of it."""
    tally = Tally()
    with _workers(jobs) as workers:
        workers.try_all(wanted, on_tried=tally.add)
    return tally


def missing_kinds(points: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds of points that a run no longer reaches, or that nobody listed."""
    return tuple(sorted(KINDS ^ {kind_of(point) for point in points}))


def _say(text: str) -> None:
    print(text, flush=True)


def _say_kinds(points: Sequence[str]) -> None:
    kinds = Counter(map(kind_of, points))
    for kind, count in sorted(kinds.items()):
        _say(f"  {count:4} {kind}")
    _say(f"{len(points)} points of {len(kinds)} kinds")


class _Progress:
    """Says now and then how far it is, and at once what went wrong."""

    def __init__(self, tally: Tally, total: int, *, verbose: bool) -> None:
        self._tally = tally
        self._total = total
        self._verbose = verbose
        self._began = self._said = time.monotonic()

    def see(self, tried: Tried) -> None:
        self._tally.add(tried)
        for violation in tried.violations:
            _say(f"VIOLATION at {tried.point}: {violation}")
        if tried.violations:
            planted = f" --planted {tried.planted}" if tried.planted else ""
            _say(f"  replay: scripts/crash-points --point {tried.point}{planted}")
        if self._verbose:
            _say(tried.story)
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY_S:
            self._said = now
            done = len(self._tally.tried)
            _say(f"{done} of {self._total} points, {len(self._tally.failed)} failed, {now - self._began:.0f}s")


def _chosen(points: Sequence[str], wanted: str | None, every: int) -> Sequence[str]:
    """Return the points that were asked for; in an order that mixes those that wait with those that work."""
    if wanted is None:
        chosen = list(points[::every])
        random.Random(len(chosen)).shuffle(chosen)
        return chosen
    if wanted.isdecimal() and 1 <= int(wanted) <= len(points):
        return (points[int(wanted) - 1],)
    if wanted not in points:
        raise SystemExit(f"there is no point {wanted}; --list shows them all")
    return (wanted,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when every promise held at every point, else 1."""
    parser = argparse.ArgumentParser(prog="scripts/crash-points", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the points, with their numbers, and kill nobody")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th point (default 1: all)")
    parser.add_argument("--point", metavar="NAME", help="only this one, by name or number; prints all that was said")
    parser.add_argument("--jobs", type=int, default=_JOBS, metavar="N", help=f"fleets at once (default {_JOBS})")
    parser.add_argument("--planted", default="", choices=sorted(PLANTED), help="plant a bug: violations are expected")
    asked = parser.parse_args(arguments)
    if asked.every < 1 or asked.jobs < 1:
        parser.error("--every and --jobs are at least 1")
    # The hosts and their folder are to be taken down also then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()
    jobs = 1 if asked.point or asked.list else asked.jobs
    with _workers(jobs) as workers:
        points = workers.count()
        if asked.list:
            for number, point in enumerate(points, start=1):
                _say(f"{number:4} {point}")
        _say_kinds(points)
        missing = missing_kinds(points)
        if missing:
            _say(f"kinds that are not reached any more, or not listed: {', '.join(missing)}")
        if asked.list:
            return 1 if missing else 0
        chosen = _chosen(points, asked.point, asked.every)
        tally = Tally()
        progress = _Progress(tally, len(chosen), verbose=asked.point is not None)
        workers.try_all([(point, asked.planted) for point in chosen], on_tried=progress.see)
    for line in tally.lines():
        _say(line)
    _say(f"took {time.monotonic() - began:.0f}s with {counted(jobs, 'fleet')} of 6 hosts")
    too_many = 100 * len(tally.missed) > _MISSED_PERCENT_MAX * len(chosen)
    if too_many:
        _say(f"more than {_MISSED_PERCENT_MAX}% were not killed where they should have been:")
        _say("\n".join(f"  {each.point}" for each in tally.missed))
    return 1 if tally.failed or missing or too_many else 0


if __name__ == "__main__":
    sys.exit(main())
