"""A run that died: it is closed, its host is asked what became of the fix, and nothing ran twice."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import FIX_THAT_WAITS, Bench, await_true, outcomes, stop_process

pytestmark = pytest.mark.sshd

_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}")


def _killed_in_a_fix(bench: Bench, *hosts: str, fix: str, timeout: str = "3s") -> str:
    """Kill a run in the middle of its first fix; return its id."""
    bench.write_rule(timeout=timeout, max_bad="6")
    bench.trouble(*hosts)
    for host in hosts:
        bench.plant(host, fix=fix)
    process = bench.begin("apply", "--yes", "-l", ",".join(hosts))
    await_true(lambda: sum(bench.ran(host) for host in hosts) == 1)
    stop_process(process)
    _, err = process.communicate(timeout=30)
    found = _RUN_ID.search(err)
    assert found is not None
    return found.group()


def _files(bench: Bench, host: str) -> str:
    """Return name, size, time and mode of whatever a fix or a reading could touch on a host."""
    listing = "find /run /etc/remedy /tmp -xdev -printf '%p %s %T@ %m\\n' 2>/dev/null | sort"
    return bench.fleet.run_inside(host, ["sh", "-c", listing]).stdout


@pytest.mark.slow
def test_killed_run_is_resumed_and_reconciled_and_nothing_ran_twice(bench: Bench) -> None:
    """After kill -9 in a fix: resume says lost; reconcile changes nothing and proves the end; a cooldown is left."""
    run_id = _killed_in_a_fix(bench, "alpha", "bravo", fix="sleep 2\n")
    went_on = "alpha" if bench.ran("alpha") else "bravo"
    other = "bravo" if went_on == "alpha" else "alpha"
    listed = bench.remedy("runs")
    too_early = bench.remedy("reconcile", run_id)

    resumed = bench.remedy("resume", run_id, "-o", "json")
    quarantined = bench.remedy("apply", "--dry-run", "-l", went_on, "-o", "json")
    bench.trouble(went_on)
    lost = bench.remedy("apply", "--dry-run", "-l", went_on, "-o", "json")
    before = _files(bench, went_on)
    reconciled = bench.remedy("reconcile", run_id, "-o", "json")
    after = _files(bench, went_on)
    cooling = bench.remedy("apply", "--yes", "-l", went_on, "-o", "json")

    assert "died" in listed.out
    assert f"remedy resume {run_id}" in listed.err
    assert too_early.code == 1
    assert f"remedy resume {run_id}" in too_early.err
    assert resumed.code == 3
    by_host = {each["host"]: each for each in resumed.json["executions"]}
    assert by_host[went_on]["outcome"] == "lost"
    assert by_host[other]["outcome"] == "skipped"
    assert by_host[other]["reason"].startswith("interrupted: the run died before it was started")
    assert quarantined.json["plan"]["held"] == []
    assert [each["hold"] for each in lost.json["plan"]["held"]] == ["quarantined"]
    assert reconciled.code == 0
    assert before == after
    assert "/run/remedy" in before
    assert [(each["host"], each["found"], each["exit_code"]) for each in reconciled.json["executions"]] == [
        (went_on, "finished", 0)
    ]
    assert [each["hold"] for each in cooling.json["plan"]["held"]] == ["cooling_down"]
    assert bench.ran(went_on) == 1
    assert bench.ran(other) == 0
    shown = bench.remedy("runs", run_id, "-o", "json").json
    assert shown["exit_code"] == 3
    assert {each["reconciled"] for each in shown["executions"]} == {"finished", None}
    assert bench.remedy("audit", "verify").code == 0


@pytest.mark.slow
def test_fix_that_outlives_its_run_is_named_and_waited_for(bench: Bench) -> None:
    """Ctrl-C while resume waits leaves the open one open and says until when; a second resume closes it."""
    run_id = _killed_in_a_fix(bench, "alpha", fix="sleep 30\n", timeout="4s")
    process = bench.begin("resume", run_id)
    await_true(lambda: _is_closing(bench, run_id))
    os.kill(process.pid, signal.SIGINT)
    out, _err = process.communicate(timeout=30)

    again = bench.remedy("resume", run_id)
    reconciled = bench.remedy("reconcile", run_id)
    after = bench.remedy("resume", run_id)

    assert process.returncode == 130
    assert "still open: 1 execution that may be running until" in out
    assert f"next: remedy resume {run_id}" in out
    assert again.code == 3
    assert f"next: remedy reconcile {run_id}" in again.out
    assert reconciled.code == 0
    assert "timed_out" in reconciled.out
    assert "its quarantine is lifted" in reconciled.out
    assert after.code == 1
    assert "ended at" in after.err
    assert bench.remedy("audit", "verify").code == 0


def _is_closing(bench: Bench, run_id: str) -> bool:
    """Say whether a resume has closed the dead run's audit file, and so waits for what is open."""
    return run_id in (bench.directory / "state" / "audit" / "heads").read_text()


def test_run_killed_while_it_soaks_is_resumed_at_once(bench: Bench) -> None:
    """After kill -9 between two waves nothing can be running: resume waits for nobody, and no host is fixed twice."""
    rule = bench.directory / "rules" / "flag-high" / "rule.yaml"
    rule.write_text(rule.read_text().replace("soak: 0s", "soak: 10m"))
    bench.trouble("alpha", "bravo")
    process = bench.begin("apply", "--yes", "-l", "alpha,bravo")
    await_true(lambda: any('"fixed"' in path.read_text() for path in bench.directory.glob("state/audit/*.jsonl")))
    stop_process(process)
    process.communicate(timeout=30)
    mended, other = ("alpha", "bravo") if bench.ran("alpha") else ("bravo", "alpha")
    (run_id,) = (each["run"] for each in bench.remedy("runs", "-o", "json").json["runs"])

    resumed = bench.remedy("resume", run_id, "-o", "json")
    again = bench.remedy("apply", "--dry-run", "-l", "alpha,bravo", "-o", "json")

    assert process.returncode == -signal.SIGKILL
    assert {each["host"]: each["outcome"] for each in resumed.json["executions"]} == {mended: "fixed", other: "skipped"}
    assert resumed.code == 4
    assert [each["host"] for each in again.json["plan"]["rules"][0]["executions"]] == [other]
    assert (bench.ran(mended), bench.ran(other)) == (1, 0)
    assert bench.remedy("audit", "verify").code == 0


def test_resume_of_a_living_run_is_refused(bench: Bench) -> None:
    """A run that is under way is not closed: the message says who holds it, since when, and the exit code is 5."""
    bench.trouble("alpha")
    bench.plant("alpha", fix=FIX_THAT_WAITS)
    process = bench.begin("apply", "--yes")
    await_true(lambda: bench.ran("alpha") == 1)
    (run_id,) = (each["run"] for each in bench.remedy("runs", "-o", "json").json["runs"])

    refused = bench.remedy("resume", run_id)
    bench.let_go("alpha")
    process.communicate(timeout=60)

    assert refused.code == 5
    assert f"pid {process.pid}" in refused.err
    assert "since 2" in refused.err
    assert process.returncode == 0
    assert bench.remedy("audit", "verify").code == 0


@pytest.mark.slow
def test_host_that_cannot_be_asked_is_said_and_stays_quarantined(bench: Bench) -> None:
    """A host that is gone from the inventory, or leads elsewhere now, is exit 4; nothing is lifted."""
    run_id = _killed_in_a_fix(bench, "alpha", fix="sleep 1\n")
    assert bench.remedy("resume", run_id).code == 3
    inventory = bench.directory / "inventory.yaml"
    whole = inventory.read_text()
    bench.trouble("alpha")

    inventory.write_text(whole.replace("        alpha:", "        alfa:"))
    gone = bench.remedy("reconcile", run_id)
    inventory.write_text(
        re.sub(r"alpha: \{ansible_host: [0-9.]+\}", "alpha: {ansible_host: 127.0.0.1, ansible_port: 9}", whole)
    )
    stranger = bench.remedy("reconcile", run_id)
    inventory.write_text(whole)
    held = bench.remedy("apply", "--dry-run", "-l", "alpha", "-o", "json")

    assert gone.code == 4
    assert "it is not in the inventory" in gone.out
    assert stranger.code == 4
    assert "nobody was asked there" in stranger.out
    assert [each["hold"] for each in held.json["plan"]["held"]] == ["quarantined"]


def test_pause_takes_effect_in_a_run_that_is_under_way(bench: Bench) -> None:
    """While the first fix runs, a pause of the group is set: what runs ends well, and nothing else starts."""
    bench.trouble("alpha", "bravo", "charlie")
    for name in ("alpha", "bravo", "charlie"):
        bench.plant(name, fix=FIX_THAT_WAITS)
    bench.write_rule(timeout="60s")
    process = bench.begin("apply", "--yes", "-o", "json")
    await_true(lambda: bench.ran_anywhere() == 1)

    paused = bench.remedy("pause", "--rule", "flag-high", "--reason", "wait a moment", "--for", "1h")
    bench.let_go("alpha", "bravo", "charlie")
    out, err = process.communicate(timeout=60)

    assert paused.code == 0
    assert out, err
    assert sorted(set(outcomes(json.loads(out)).values())) == ["fixed", "paused"]
    assert bench.ran_anywhere() == 1


@pytest.mark.slow
def test_audit_file_that_was_changed_is_not_believed(bench: Bench) -> None:
    """From a dead run's audit file that somebody altered nothing is taken; the run is closed all the same."""
    run_id = _killed_in_a_fix(bench, "alpha", fix="sleep 1\n")
    path: Path = bench.directory / "state" / "audit" / f"{run_id}.jsonl"
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'"flag-high"', b'"flag-low!"', 1))

    resumed = bench.remedy("resume", run_id)
    reconciled = bench.remedy("reconcile", run_id)

    assert resumed.code == 5
    assert "nothing is taken from its audit file" in resumed.err
    assert reconciled.code == 0
    assert "is not believed" in reconciled.err
    assert bench.remedy("audit", "verify").code == 3


@pytest.mark.slow
def test_killed_resume_is_resumed(bench: Bench) -> None:
    """After kill -9 of resume itself while it waits a second one ends well, and each execution has one outcome."""
    run_id = _killed_in_a_fix(bench, "alpha", fix="sleep 1\n")
    process: subprocess.Popen[str] = bench.begin("resume", run_id)
    await_true(lambda: _is_closing(bench, run_id))
    stop_process(process)
    process.communicate(timeout=30)

    again = bench.remedy("resume", run_id, "-o", "json")

    assert again.code == 3
    assert [each["outcome"] for each in again.json["executions"]] == ["lost"]
    assert bench.ran("alpha") == 1
    assert bench.remedy("audit", "verify").code == 0
