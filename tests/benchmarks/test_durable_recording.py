"""The benchmark of durable recording runs, at tiny sizes and untimed; its figures are in docs/performance.md."""

import contextlib
import dataclasses
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks import durable_recording
from benchmarks.bare_recording import plan_executions, record_bare


def test_recording_measures_the_same_bytes_and_rows() -> None:
    """A small run in a process of its own prints one JSON object; what it compares has been found equal before."""
    command = [sys.executable, "-m", "benchmarks.durable_recording", "--executions=70", "--batch=32", "--rounds=1"]

    top = Path(benchmarks.__file__).parents[1]
    ended = subprocess.run([*command, "-o", "json"], check=True, capture_output=True, text=True, timeout=60, cwd=top)

    found = json.loads(ended.stdout)
    assert set(found) == {field.name for field in dataclasses.fields(durable_recording.Recording)}
    assert found["records"] == 3 * 70 + 3
    assert min(found["recording_s"], found["bare_s"], found["write_s"], found["ratio"], found["write_ratio"]) > 0


def test_recording_refuses_a_bare_loop_that_writes_something_else(tmp_path: Path) -> None:
    """A comparison with other bytes, or other rows, would mean nothing: it ends with an error."""
    planned = plan_executions(3)
    for name, work in (("one", durable_recording.record), ("other", record_bare)):
        work(tmp_path / name, planned, batch=2)
    durable_recording.check_agreement(tmp_path / "one", tmp_path / "other")
    with contextlib.closing(sqlite3.connect(tmp_path / "other" / "ledger.sqlite3")) as connection, connection:
        connection.execute("UPDATE intents SET deadline_s = 1 WHERE seq = 2")

    with pytest.raises(AssertionError):
        durable_recording.check_agreement(tmp_path / "one", tmp_path / "other")


def test_recording_says_goals_only_at_their_size(capsys: pytest.CaptureFixture[str]) -> None:
    """A small run prints figures without claiming that a goal is met."""
    durable_recording.main(["--executions=5", "--rounds=1"])

    printed = capsys.readouterr().out
    assert "5 executions: 18 records" in printed
    assert "goal" not in printed
