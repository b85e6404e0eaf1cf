"""What the tests of the run package start from."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import remedy.run.rule_run
from tests.run.bench import Bench
from tests.run.dead_runs import EXPECTED, half_done
from tests.run.evidence_bench import begun
from tests.run.fleet import FakeHost, trouble


@pytest.fixture(autouse=True)
def _short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look around often: what a test waits for has happened already."""
    monkeypatch.setattr(remedy.run.rule_run, "_TICK_S", 0.005)


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Give a way to make runs over fleets, each in a state directory of its own unless one is named."""
    made: list[Bench] = []

    def make(hosts: Iterable[FakeHost], *, state: str = "", run_id: str = "", disk_fails_at: int = 0) -> Bench:
        directory = tmp_path / (state or f"state-{len(made)}")
        more = {"run_id": run_id} if run_id else {}
        made.append(Bench(directory, hosts, disk_fails_at=disk_fails_at, **more))
        return made[-1]

    yield make
    for bench in made:
        bench.ledger.close()


@pytest.fixture
def dead(tmp_path):
    """Give the run that died half done."""
    bench = Bench(tmp_path / "state", trouble(*EXPECTED))
    half_done(bench)
    return bench


@pytest.fixture
def begin(tmp_path):
    """Give a way to begin a run."""
    benches = []

    def make(hosts, **more):
        bench, plan = begun(tmp_path / f"state-{len(benches)}", hosts, **more)
        benches.append(bench)
        return bench, plan

    yield make
    for bench in benches:
        bench.close()
        bench.ledger.close()
