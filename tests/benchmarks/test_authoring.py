"""The benchmark of validate and test runs, at tiny sizes and untimed; its figures are in docs/performance.md."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks import authoring
from remedy.load import load_cases, load_repository


def test_authoring_measures_both_commands() -> None:
    """A small run in a process of its own prints one JSON object with the times of both commands."""
    command = [sys.executable, "-m", "benchmarks.authoring", "--rules=3", "--cases=7", "--runs=1", "-o", "json"]

    top = Path(benchmarks.__file__).parents[1]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100, cwd=top)

    found = json.loads(ended.stdout)
    assert set(found) == {field.name for field in dataclasses.fields(authoring.Authoring)}
    assert (found["rules"], found["cases"]) == (3, 7)
    assert min(found[command][clock] for command in ("validate", "test") for clock in ("wall_s", "cpu_s")) > 0


def test_repository_has_as_many_cases_as_asked_for(tmp_path: Path) -> None:
    """The cases are spread over the rules, and together they are as many as was said."""
    root = authoring.write_repository(tmp_path, rules=4, cases=10)
    repository = load_repository(root)

    cases = [len(load_cases(root / name / "tests.yaml", repository, rule)) for name, rule in repository.rules.items()]

    assert sorted(cases) == [2, 2, 3, 3]


def test_goals_are_said_only_at_their_size(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A small run prints figures without claiming that a goal is met."""
    taken = authoring.Taken(wall_s=1.0, cpu_s=1.0)
    monkeypatch.setattr(authoring, "_timed", lambda command, folder: taken)

    authoring.main(["--rules=2", "--cases=2", "--runs=1"])

    assert "remedy test" in (printed := capsys.readouterr().out)
    assert "goal" not in printed
