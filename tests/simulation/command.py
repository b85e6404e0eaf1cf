"""`scripts/simulate`: many seeds in several processes, one seed replayed, crash points, tests of the tests."""

import argparse
import gc
import multiprocessing
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from remedy.gate import CHECKS
from tests.simulation.coverage import Coverage, missing, watching_rollouts
from tests.simulation.drawing import crash_scenario
from tests.simulation.large import simulate_large
from tests.simulation.planted import PLANTED, planted, without_check
from tests.simulation.run import Report, scratch, simulate, simulate_seed
from tests.simulation.scenario import Scenario

__all__ = ["Caught", "catch", "crash_points", "main", "run_seeds"]

_CHUNK = 25
_SEEDS_TO_CATCH = 3_000
_CRASH_HOSTS = 8


@contextmanager
def _workplace() -> Iterator[Path]:
    directory = scratch()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """How a planted bug was caught: by which invariant, with which seed, after how many; None when it was not."""

    name: str
    seeds: int
    seed: int | None
    violation: str

    @property
    def invariant(self) -> str:
        """The name of the invariant that was violated."""
        return self.violation.partition(":")[0]


def _seeds_part(part: tuple[Sequence[int], int]) -> tuple[Coverage, list[tuple[int, tuple[str, ...]]]]:
    seeds, hosts = part
    coverage = Coverage()
    failed = []
    with _workplace() as directory, watching_rollouts(coverage):
        for seed in seeds:
            report = simulate_seed(seed, directory, coverage=coverage, hosts=hosts)
            if report.violations:
                failed.append((seed, report.violations))
    return coverage, failed


def run_seeds(
    seeds: Sequence[int], *, hosts: int = 0, jobs: int = 1, say: Callable[[str], None] = lambda _text: None
) -> tuple[Coverage, list[tuple[int, tuple[str, ...]]]]:
    """Simulate seeds; return what they covered, and the violations by seed."""
    parts = [(seeds[start : start + _CHUNK], hosts) for start in range(0, len(seeds), _CHUNK)]
    coverage = Coverage()
    failed: list[tuple[int, tuple[str, ...]]] = []
    for done, (covered, found) in enumerate(_mapped(_seeds_part, parts, jobs=jobs), start=1):
        coverage.add(covered)
        failed += found
        say(f"{min(done * _CHUNK, len(seeds))} of {len(seeds)} seeds, {len(failed)} failed")
    return coverage, failed


P = TypeVar("P")
R = TypeVar("R")


def _mapped(work: Callable[[P], R], parts: Sequence[P], *, jobs: int) -> Iterator[R]:
    if jobs <= 1:
        yield from map(work, parts)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(work, parts)


# Crash points.


def _crashes_part(part: tuple[int, int]) -> tuple[Coverage, int, list[str]]:
    hosts, variant = part
    coverage = Coverage()
    failed = []
    base = crash_scenario(hosts, variant)
    points = 0
    with _workplace() as directory, watching_rollouts(coverage):
        effects = simulate(base, directory, coverage=coverage).effects[0]
        for number in range(1, effects + 1):
            for power_loss in (False, True):
                report = simulate(_dying(base, number, power_loss), directory, coverage=coverage)
                points += 1
                if report.violations:
                    where = f"{hosts} hosts, variant {variant}, effect {number}, {'power' if power_loss else 'process'}"
                    failed.append(f"{where}: {report.violations[0]}")
    return coverage, points, failed


def _dying(base: Scenario, number: int, power_loss: bool) -> Scenario:
    first, *others = base.orders
    return replace(base, orders=(replace(first, crash_at=number, power_loss=power_loss), *others))


def crash_points(
    hosts_max: int = _CRASH_HOSTS, *, jobs: int = 1, say: Callable[[str], None] = lambda _text: None
) -> tuple[Coverage, int, list[str]]:
    """Have a run die at every effect, by the process and by the power, for fleets of 1 host up to so many."""
    # Every effect of one scenario of each size, and of the others too where there are few.
    parts = [
        (hosts, variant)
        for hosts in range(hosts_max, 0, -1)
        for variant in range(3)
        if hosts <= 3 or hosts % 3 == variant
    ]
    coverage, points, failed = Coverage(), 0, []
    for covered, number, found in _mapped(_crashes_part, parts, jobs=jobs):
        coverage.add(covered)
        points += number
        failed += found
        say(f"{points} crash points, {len(failed)} failed")
    return coverage, points, failed


# Tests of the tests.


def _catch_part(part: tuple[str, str, int]) -> Caught:
    kind, name, seeds_max = part
    with _workplace() as directory:
        for seed in range(seeds_max):
            with planted(name) if kind == "planted" else without_check(name):
                report = simulate_seed(seed, directory, coverage=Coverage())
            # A seed that fails without the bug has caught nothing.
            if report.violations and not simulate_seed(seed, directory, coverage=Coverage()).violations:
                return Caught(name=name, seeds=seed + 1, seed=seed, violation=report.violations[0])
    return Caught(name=name, seeds=seeds_max, seed=None, violation="")


def catch(kind: str, names: Iterable[str], *, jobs: int = 1, seeds_max: int = _SEEDS_TO_CATCH) -> Iterator[Caught]:
    """Yield for each planted bug, or each check taken from the gate, how it was caught."""
    yield from _mapped(_catch_part, [(kind, name, seeds_max) for name in names], jobs=jobs)


# The command.


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks; return 1 when an invariant was violated or a bug went unnoticed."""
    options = _parser().parse_args(arguments)
    began = time.monotonic()
    if options.seed is not None:
        return _replay(options.seed, options.hosts)
    if options.large is not None:
        return _show_large(options.large)
    if options.remove_checks:
        return _show_caught(catch("check", CHECKS, jobs=options.jobs))
    if options.planted:
        return _show_caught(catch("planted", PLANTED, jobs=options.jobs))
    if options.crash_points:
        coverage, points, failures = crash_points(jobs=options.jobs, say=_say)
        print(f"{points} crash points for fleets of up to {_CRASH_HOSTS} hosts: {len(failures)} failed")
    else:
        seeds = range(options.first, options.first + options.seeds)
        coverage, failed = run_seeds(seeds, hosts=options.hosts, jobs=options.jobs, say=_say)
        failures = [_failure(seed, found, options.hosts) for seed, found in failed]
        print(f"{options.seeds} seeds: {len(failures)} failed")
    for failure in islice(failures, 20):
        print(failure)
    _show_coverage(coverage)
    _say(f"{time.monotonic() - began:.0f}s")
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many seeds (default 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--seed", type=int, help="replay one seed and print all that happens")
    parser.add_argument("--hosts", type=int, default=0, help="hosts of each fleet (default 5 to 40, as the seed draws)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--crash-points", action="store_true", help="die at every effect, for fleets of up to 8 hosts")
    parser.add_argument("--large", type=int, help="one rollout over so many hosts: rollout and gate, facts in memory")
    parser.add_argument("--planted", action="store_true", help="see that every planted bug is caught")
    parser.add_argument("--remove-checks", action="store_true", help="see that no check of the gate can be left out")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _replay(seed: int, hosts: int) -> int:
    with _workplace() as directory:
        report: Report = simulate_seed(seed, directory, coverage=Coverage(), hosts=hosts, events=True)
    print(report.scenario)
    for event in report.events:
        print(event)
    for violation in report.violations:
        print(f"VIOLATED {violation}")
    print(f"{len(report.events)} events, {report.executions} fixes sent, {len(report.violations)} violations")
    return 1 if report.violations else 0


def _show_large(hosts: int) -> int:
    began = time.monotonic()
    report = simulate_large(hosts)
    took_s = time.monotonic() - began
    mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024
    print(f"{hosts} hosts in {took_s:.1f}s and {mebibytes} MiB; {report.seconds:.0f} simulated seconds")
    print(", ".join(f"{name} {count}" for name, count in sorted(report.outcomes.items())))
    for violation in report.violations[:20]:
        print(f"VIOLATED {violation}")
    return 1 if report.violations else 0


def _failure(seed: int, found: Sequence[str], hosts: int) -> str:
    """Return what was violated, the seed's options, its last events, and the command that replays it."""
    with _workplace() as directory:
        report = simulate_seed(seed, directory, coverage=Coverage(), hosts=hosts, events=True)
    on = ", ".join(sorted(report.scenario.on)) or "none"
    again = f"scripts/simulate --seed {seed}" + (f" --hosts {hosts}" if hosts else "")
    return "\n".join([f"seed {seed}", *found[:5], f"faults: {on}", *report.events[-10:], f"replay: {again}", ""])


def _show_caught(results: Iterable[Caught]) -> int:
    unnoticed = 0
    for caught in results:
        if caught.seed is None:
            unnoticed += 1
            print(f"NOT CAUGHT in {caught.seeds} seeds: {caught.name}", flush=True)
        else:
            print(f"{caught.name}: {caught.invariant}, seed {caught.seed}, after {caught.seeds} seeds", flush=True)
    return 1 if unnoticed else 0


def _show_coverage(coverage: Coverage) -> None:
    for title, counts in (
        ("total", coverage.totals),
        ("state × event", coverage.pairs),
        ("refusals of the gate", coverage.refusals),
        ("outcomes and skips", coverage.outcomes),
        ("reconciled", coverage.reconciled),
        ("faults", coverage.faults),
        ("places of crashes", coverage.crashes),
    ):
        print(f"{title}: " + ", ".join(f"{name} {counts[name]}" for name in sorted(counts)))
    print(f"not reached: {', '.join(missing(coverage)) or 'nothing'}")


if __name__ == "__main__":
    sys.exit(main())
