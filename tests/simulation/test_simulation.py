"""Thousands of simulated fleets, and what must be true of each of them."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from remedy.gate import CHECKS
from tests.simulation.command import catch, crash_points, run_seeds
from tests.simulation.coverage import Coverage, missing
from tests.simulation.invariants import INVARIANTS
from tests.simulation.large import simulate_large
from tests.simulation.planted import PLANTED
from tests.simulation.run import simulate_seed

_JOBS = min(2, os.cpu_count() or 1)
_ROOT = Path(__file__).parents[2]
_EVERYDAY_SEEDS = 200
_QUICK = (
    "sent before the intent is synced",
    "no soak",
    "promoted without a good outcome",
    "max_bad lets one more through",
    "breakers are closed by a new run",
    "an unknown re-check acts",
    "the gate trusts the plan's holds",
    "the fuse is never blown",
)
"""Planted bugs that are caught within a few seeds."""


def test_seeds_violate_no_invariant() -> None:
    """A few hundred seeded fleets violate no invariant; `scripts/simulate` runs more of them."""
    coverage, failed = run_seeds(range(_EVERYDAY_SEEDS), jobs=_JOBS)

    assert failed == []
    assert coverage.totals["starts"] > _EVERYDAY_SEEDS


def test_crash_points_of_one_host_violate_no_invariant() -> None:
    """A run over one host may die at any effect, by the process or by the power: no invariant is violated."""
    _coverage, points, failed = crash_points(1, jobs=_JOBS)

    assert failed == []
    assert points > 200


@pytest.mark.parametrize("name", _QUICK)
def test_planted_bug_is_caught(name: str) -> None:
    """A bug that is planted in production code violates an invariant within a few seeds."""
    (caught,) = catch("planted", [name], seeds_max=60)

    assert caught.seed is not None


@pytest.mark.parametrize("name", ["recheck", "incident", "breaker", "budget_all", "fuse", "window"])
def test_removed_check_is_noticed(name: str) -> None:
    """A check taken out of the gate is missed within a few seeds."""
    (caught,) = catch("check", [name], seeds_max=120)

    assert caught.seed is not None


def test_same_seed_gives_same_history(tmp_path: Path) -> None:
    """A seed gives the very same events again, also in a process with another hash seed."""
    seeds = (3, 11, 42)
    here = [simulate_seed(seed, tmp_path / "a", coverage=Coverage(), events=True).events for seed in seeds]
    program = (
        "import sys, pathlib\n"
        "from tests.simulation.coverage import Coverage\n"
        "from tests.simulation.run import simulate_seed\n"
        f"for seed in {seeds}:\n"
        "    report = simulate_seed(seed, pathlib.Path(sys.argv[1]), coverage=Coverage(), events=True)\n"
        "    print(*report.events, sep='\\n')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")],
        env={**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(_ROOT), "TZ": "Asia/Kolkata"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.splitlines() == [line for events in here for line in "\n".join(events).splitlines()]


def test_every_invariant_has_a_sentence() -> None:
    """Each invariant is listed once and says in its docstring what must be true."""
    names = [invariant.__name__ for invariant in INVARIANTS]

    assert len(names) == len(set(names))
    assert all((invariant.__doc__ or "").strip().endswith((".", ")")) for invariant in INVARIANTS)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_many_seeds_violate_no_invariant() -> None:
    """10,000 seeded fleets of 5 to 40 hosts violate no invariant, and reach every state, event, refusal and fault."""
    coverage, failed = run_seeds(range(10_000), jobs=_JOBS)

    assert failed == []
    assert missing(coverage) == ()


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_seeds_of_500_hosts_violate_no_invariant() -> None:
    """200 seeded fleets of 500 hosts violate no invariant."""
    _coverage, failed = run_seeds(range(200), hosts=500, jobs=_JOBS)

    assert failed == []


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_crash_points_violate_no_invariant() -> None:
    """A run over up to eight hosts may die at any effect, by the process or by the power: no invariant is violated."""
    _coverage, points, failed = crash_points(8, jobs=_JOBS)

    assert failed == []
    assert points > 3_000


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_every_planted_bug_is_caught() -> None:
    """Each of the planted bugs violates an invariant; which, and after how many seeds, is printed."""
    found = list(catch("planted", PLANTED, jobs=_JOBS))
    for caught in found:
        print(f"{caught.name}: {caught.invariant} after {caught.seeds} seeds")

    assert len(found) >= 15
    assert [caught.name for caught in found if caught.seed is None] == []


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_every_removed_check_is_noticed() -> None:
    """Removing any one check from the gate violates an invariant."""
    found = list(catch("check", CHECKS, jobs=_JOBS))

    assert [caught.name for caught in found] == list(CHECKS)
    assert [caught.name for caught in found if caught.seed is None] == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_large_fleet_is_carried_out_in_time() -> None:
    """One rollout over 100,000 hosts, stopped half-way and begun again, takes at most 60 s and 1 GiB."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    report = simulate_large(100_000)
    after = resource.getrusage(resource.RUSAGE_SELF)

    assert report.violations == []
    assert after.ru_utime - before.ru_utime < 60
    assert after.ru_maxrss < 1_048_576
