"""The benchmarks run, at tiny sizes and untimed, so that they never rot; their figures are in docs/performance.md."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks import matching, startup
from benchmarks.fleet import make_fleet


def test_matching_measures_every_rule_on_every_host() -> None:
    """A small run in a process of its own prints one JSON object whose verdicts add up to hosts times rules."""
    command = [sys.executable, "-m", "benchmarks.matching", "--hosts=40", "--rules=9", "--rounds=1", "-o", "json"]

    top = Path(benchmarks.__file__).parents[1]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=top)

    found = json.loads(ended.stdout)
    assert set(found) == {field.name for field in dataclasses.fields(matching.Matching)}
    assert found["match"] + found["unknown"] + found["healthy"] == found["judgements"] == 360
    assert found["peak_mib"] > found["judging_mib"] >= 0
    assert min(found["judge_s"], found["bare_s"], found["ratio"], found["host_ms"]) > 0


def test_fleet_has_a_tenth_of_matches_and_a_fifth_of_nulls() -> None:
    """The rows and rules have the shares that the goals are stated for."""
    fleet = make_fleet(1_000, rules=50, seed=3)
    values = [
        value
        for of_host in fleet.readings.values()
        for reading in of_host.values()
        for name, value in reading.rows[0].items()
        if name not in fleet.signals[reading.signal].key
    ]

    counts = matching.check_agreement(fleet)

    assert values.count(None) / len(values) == pytest.approx(0.2, abs=0.02)
    assert counts["match"] / counts.total() == pytest.approx(0.1, abs=0.02)


def test_fleet_is_the_same_for_the_same_seed() -> None:
    """Two runs judge the same rows by the same parameters; another seed gives others."""
    one, same, other = (make_fleet(5, rules=8, seed=seed) for seed in (3, 3, 4))

    assert one.readings == same.readings
    assert [scope.rule for scope in one.scopes] == [scope.rule for scope in same.scopes]
    assert one.readings != other.readings


def test_matching_refuses_bare_functions_that_decide_otherwise() -> None:
    """A comparison with functions for other rules would mean nothing: it ends with an error."""
    fleet = make_fleet(20, rules=2, seed=3)
    (name, signal, decide), *others = fleet.bare_rules
    wrong = (name, signal, lambda row: None if decide(row) is False else decide(row))

    with pytest.raises(AssertionError):
        matching.check_agreement(dataclasses.replace(fleet, bare_rules=(wrong, *others)))


def test_matching_says_goals_only_at_their_size(capsys: pytest.CaptureFixture[str]) -> None:
    """A small run prints figures without claiming that a goal is met."""
    matching.main(["--hosts=5", "--rules=3", "--rounds=1"])

    printed = capsys.readouterr().out
    assert "5 hosts, 3 rules, 15 judgements" in printed
    assert "goal" not in printed


def test_help_imports_nothing_heavy(capsys: pytest.CaptureFixture[str]) -> None:
    """`remedy --help` runs without paramiko, cryptography, jsonschema, sqlite3 and yaml, and the benchmark says so."""
    startup.main(["--runs=1", "-o", "json"])

    found = json.loads(capsys.readouterr().out)
    assert found["imported"] == []
    assert found["ratio"] > 0


def test_startup_names_what_should_not_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forbidden module that the command does import is named, and only that one."""
    monkeypatch.setattr(startup, "FORBIDDEN", ("sqlite3", "typer"))

    found = startup.measure(runs=1)

    assert found.imported == ("typer",)
