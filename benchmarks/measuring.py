"""What the benchmarks share: timing a work, the options of a command line, and printing what was found."""

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Taken", "goal_text", "make_parser", "median_of", "print_found", "take"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The time of one call of a work, by the wall's clock and by the process's."""

    wall_s: float
    cpu_s: float


def take(work: Callable[[], object], *, calls: int = 1) -> Taken:
    """Time a work, after a collection of garbage; of several calls in a row, give one call's share."""
    gc.collect()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    for _ in range(calls):
        kept = work()
    taken = Taken(wall_s=(time.perf_counter() - wall_s) / calls, cpu_s=(time.process_time() - cpu_s) / calls)
    del kept  # Freed after the clock is read: keeping what it made is what is timed, not dropping it.
    return taken


def median_of(taken: Iterable[Taken]) -> Taken:
    """Return the medians of both clocks, each on its own."""
    each = tuple(taken)
    return Taken(
        wall_s=statistics.median(one.wall_s for one in each), cpu_s=statistics.median(one.cpu_s for one in each)
    )


def make_parser(benchmark: str, *, description: str, counts: Mapping[str, tuple[int, str]]) -> argparse.ArgumentParser:
    """Return a parser of these whole numbers, by option their default and help, and of the form of the output."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{benchmark}", description=description)
    for name, (default, text) in counts.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default: %(default)s)")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="(default: %(default)s)")
    return parser


def goal_text(goal: str, *, is_met: bool) -> str:
    """Return what is said of a goal behind a figure."""
    return f"   goal: {goal}, {'met' if is_met else 'MISSED'}"


def print_found(found: Mapping[str, object], *, lines: Sequence[str], output: str) -> None:
    """Print what was found as one JSON object, or these lines about it."""
    print(json.dumps(found) if output == "json" else "\n".join(lines))
