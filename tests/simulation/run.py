"""One seed simulated from its first order to its last, and what the invariants say of it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from remedy.plan import Plan
from tests.simulation.controller import start_run
from tests.simulation.coverage import Coverage
from tests.simulation.drawing import draw_scenario
from tests.simulation.faults import ARRANGED
from tests.simulation.happenings import HAPPENINGS
from tests.simulation.history import History
from tests.simulation.invariants import violations
from tests.simulation.runs import Run
from tests.simulation.scenario import Order, Scenario
from tests.simulation.scheduler import StuckError
from tests.simulation.world import World

__all__ = ["Report", "scratch", "simulate", "simulate_seed"]

_AFTER_S = 200_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one seed came to: the violations of invariants, and what happened."""

    scenario: Scenario
    violations: tuple[str, ...]
    events: tuple[str, ...]
    effects: tuple[int, ...]
    executions: int


def scratch() -> Path:
    """Return a new directory for a process's worlds; in memory where that is possible."""
    shared = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="remedy-simulation-", dir=shared if shared.is_dir() else None))


def simulate_seed(seed: int, directory: Path, *, coverage: Coverage, hosts: int = 0, events: bool = False) -> Report:
    """Simulate what a seed draws."""
    return simulate(draw_scenario(seed, hosts=hosts), directory, coverage=coverage, events=events)


def simulate(scenario: Scenario, directory: Path, *, coverage: Coverage, events: bool = False) -> Report:
    """Simulate a scenario in a directory that is emptied first."""
    world = World(scenario, directory)
    if events:
        world.trace = []
    runs: list[Run] = []
    plans: dict[int, Plan] = {}
    stuck = ""

    def starter(order: Order, number: int) -> Callable[[], None]:
        return lambda: runs.append(start_run(world, order, number, coverage=coverage, plans=plans))

    try:
        for number, order in enumerate(scenario.orders):
            world.scheduler.at(order.at, starter(order, number))
        for at, what, details in scenario.events:
            world.scheduler.at(at, _happening(world, what, details))
        try:
            world.scheduler.run(until=scenario.orders[-1].at + _AFTER_S)
        except StuckError as exc:
            stuck = str(exc)
        found = tuple(violations(History(world=world, runs=tuple(runs), stuck=stuck)))
        coverage.faults.update(world.faults)
        coverage.faults.update(scenario.on & ARRANGED)
        coverage.totals.update(seeds=1, runs=len(runs), sent=len(world.sent), starts=len(world.starts))
        return Report(
            scenario=scenario,
            violations=found,
            events=tuple(world.trace or ()),
            effects=tuple(run.effects for run in sorted(runs, key=lambda run: run.number)),
            executions=len(world.sent),
        )
    finally:
        world.close()


def _happening(world: World, what: str, details: tuple[object, ...]) -> Callable[[], None]:
    """Return what a person or the world does at some moment."""
    return lambda: HAPPENINGS[what](world, *details)
