"""`remedy resume`, `reconcile` and `release` as a person types them, without any host: what they refuse and say."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remedy.cli.stopping import stopping
from remedy.gate import Permit
from remedy.model import Outcome
from remedy.port import FixEnding
from remedy.state.audit import AuditLog
from remedy.state.audit_format import AuditType
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.state.locks import Locks
from tests.cli.command_line import CommandLine
from tests.state.builders import asked, by_gate, execution, run_row, unsynced

RUN = "20261122T084500Z-1a2b"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """Give a command line in a repository with a rule and three hosts, and an empty state directory."""
    made = CommandLine(tmp_path)
    made.write_repository()
    StateDirectory(made.state).prepare()
    return made


def dead_run(
    line: CommandLine, *hosts: str, started: tuple[str, ...] = (), at: datetime = LONG_AGO, run_id: str = RUN
) -> None:
    """Leave a run of these hosts that died after it had started some of them."""
    planned = [execution(f"x-{run_id}-{host}", host=host) for host in hosts]
    audit = AuditLog.create(line.state / "audit", run_id, lambda: at)
    audit.append(AuditType.RUN_STARTED, {"actor": "alice", "command": "remedy apply"}, sync=True)
    ledger = Ledger.open(line.state / "ledger.sqlite3")
    ledger.begin_run(run_row(run_id, at=at), planned)
    requests = [asked(each, run_id=run_id, at=at) for each in planned if each.host in started]
    for request in requests:
        (answer,) = ledger.admit([request], decide=by_gate, sync_intents=unsynced)
        assert isinstance(answer, Permit)
    ledger.close()
    assert audit._descriptor is not None
    os.close(audit._descriptor)
    audit._descriptor = None


def test_dead_run_is_closed_and_says_what_is_next(line: CommandLine) -> None:
    """What was started long ago is lost, what was not is skipped; what is next is named; exit 5: its breaker opens."""
    dead_run(line, "web-1", "web-2", started=("web-1",))

    done = line.remedy("resume", RUN)
    shown = line.remedy("runs", RUN, "-o", "json").json
    again = line.remedy("resume", RUN)

    assert done.code == 5
    assert "open: low-disk on web-1" in done.err
    assert f"next: remedy reconcile {RUN}" in done.out
    assert f"next: remedy apply --from-run {RUN} --outcome skipped" in done.out
    assert {each["host"]: each["outcome"] for each in shown["executions"]} == {"web-1": "lost", "web-2": "skipped"}
    assert shown["exit_code"] == 3
    assert shown["died"] is False
    assert again.code == 1
    assert "nothing was done" in again.err
    assert "exit code 3" in again.err
    assert line.remedy("audit", "verify").code == 0


def test_resume_as_json_is_one_document(line: CommandLine) -> None:
    """The JSON names the run, who closed it, and every execution; talk goes to standard error."""
    dead_run(line, "web-1", "web-2", started=("web-1",))

    document = line.remedy("resume", RUN, "-o", "json").json

    assert document["resume"] == 1
    assert document["is_closed"] is True
    assert document["exit_code"] == 3
    assert document["closed"] == [f"x-{RUN}-web-1"]
    assert document["never_started"] == 1
    assert [each["outcome"] for each in document["executions"]] == ["lost", "skipped"]
    assert line.records("run.resumed")[0]["of_run"] == RUN


def test_run_that_started_nothing_is_incomplete(line: CommandLine) -> None:
    """Nobody interrupted a run that died: what it did not come to is exit 4, not 130."""
    dead_run(line, "web-1", "web-2")

    done = line.remedy("resume", RUN)

    assert done.code == 4
    assert "remedy reconcile" not in done.out


def test_run_that_died_before_its_plan_is_closed_too(line: CommandLine) -> None:
    """A run that the ledger does not know yet has an audit file, which is closed; nothing was started."""
    Ledger.open(line.state / "ledger.sqlite3").close()
    audit = AuditLog.create(line.state / "audit", RUN, lambda: LONG_AGO)
    audit.append(AuditType.RUN_STARTED, {"actor": "alice", "command": "remedy apply"}, sync=True)
    assert audit._descriptor is not None
    os.close(audit._descriptor)

    done = line.remedy("resume", RUN)
    again = line.remedy("resume", RUN)
    verified = line.remedy("audit", "verify", "-o", "json").json

    assert done.code == 4
    assert "nothing was started" in done.out
    assert again.code == 1
    assert verified["intact"]
    assert {each["run"]: each["status"] for each in verified["files"]}[RUN] == "closed"


def test_unknown_run_is_exit_6(line: CommandLine) -> None:
    """A mistyped run id is exit 6 with the nearest one; so for reconcile."""
    dead_run(line, "web-1")

    resumed = line.remedy("resume", RUN[:-1] + "c")
    reconciled = line.remedy("reconcile", RUN[:-1] + "c")

    assert resumed.code == 6
    assert f"{RUN}?" in resumed.err
    assert reconciled.code == 6
    assert f"{RUN}?" in reconciled.err


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "heads", "."])
def test_name_that_is_no_run_reads_no_other_file(line: CommandLine, name: str) -> None:
    """What is no run's id is unknown, whatever file it might lead to."""
    dead_run(line, "web-1")

    assert line.remedy("resume", name).code == 6


def test_living_run_is_refused_with_its_holder(line: CommandLine) -> None:
    """A run whose lock is held is not closed: exit 5, with who holds it and since when."""
    dead_run(line, "web-1", started=("web-1",))
    locks = Locks(line.state / "locks", run_id=RUN, what="a test", pid=4711, controller="here", clock=lambda: LONG_AGO)

    with locks.run(RUN):
        done = line.remedy("resume", RUN)

    assert done.code == 5
    assert "pid 4711 on here, since 2026-01-01T00:00:00" in done.err
    assert line.records("run.resumed") == []


def test_without_a_ledger_another_state_directory_is_meant(line: CommandLine) -> None:
    """Where no run was ever recorded, resume and reconcile are exit 1."""
    assert line.remedy("resume", RUN).code == 1
    assert line.remedy("reconcile", RUN).code == 1


def test_runs_names_what_a_dead_run_wants(line: CommandLine) -> None:
    """The list and the run itself say that it died and which command closes it."""
    dead_run(line, "web-1")

    listed, shown = line.remedy("runs"), line.remedy("runs", RUN)

    assert f"{RUN} died: remedy resume {RUN}" in listed.err
    assert f"remedy resume {RUN}" in shown.err
    assert line.remedy("runs", "-o", "json").json["runs"][0]["died"] is True


def test_reconcile_of_a_dead_run_asks_for_resume_first(line: CommandLine) -> None:
    """What has no outcome yet cannot be explained: exit 1, nobody contacted."""
    dead_run(line, "web-1", started=("web-1",))

    done = line.remedy("reconcile", RUN)

    assert done.code == 1
    assert f"first: remedy resume {RUN}" in done.err


def test_reconcile_with_nothing_lost_contacts_nobody(line: CommandLine) -> None:
    """A run without lost or unverified executions is exit 0, also where no inventory is."""
    dead_run(line, "web-1")
    line.remedy("resume", RUN)
    (line.directory / "inventory.yaml").unlink()

    done = line.remedy("reconcile", RUN)

    assert done.code == 0
    assert "nobody was contacted" in done.out


def test_reconcile_of_a_host_that_is_gone_is_incomplete(line: CommandLine) -> None:
    """A host that the inventory does not have any more is said, and is exit 4; rules are not needed for it."""
    dead_run(line, "old-1", started=("old-1",))
    line.remedy("resume", RUN)
    (line.directory / "rules" / "flag-high" / "rule.yaml").write_text("[")

    done = line.remedy("reconcile", RUN, "-o", "json")

    assert done.code == 4
    assert done.json["hosts"] == [{"host": "old-1", "reason": "it is not in the inventory"}]
    assert done.json["executions"][0]["found"] is None
    assert line.remedy("audit", "verify").code == 0


def test_outcome_that_is_known_is_not_asked_for(line: CommandLine) -> None:
    """An execution with a result and an outcome is left alone by both commands."""
    dead_run(line, "web-1", started=("web-1",))
    ledger = Ledger.open(line.state / "ledger.sqlite3")
    at = LONG_AGO + timedelta(seconds=1)
    ledger.record_result(f"x-{RUN}-web-1", at, FixEnding.FINISHED, 0)
    ledger.record_outcome(f"x-{RUN}-web-1", at, Outcome.FIXED, run_id=RUN)
    ledger.close()

    resumed = line.remedy("resume", RUN)
    reconciled = line.remedy("reconcile", RUN)

    assert resumed.code == 4
    assert "fixed" in resumed.out
    assert reconciled.code == 0


def test_resume_says_which_rule_is_paused_and_what_releases_it(line: CommandLine) -> None:
    """A dead run with more bad hosts than it may have pauses the rule; `release` ends that, and only once."""
    dead_run(line, "web-1", "web-2", started=("web-1", "web-2"))

    resumed = line.remedy("resume", RUN)
    released = line.remedy("release", "low-disk", "--reason", "looked at both")
    files = set((line.state / "audit").iterdir())
    again = line.remedy("release", "low-disk", "--reason", "once more")

    assert "low-disk is paused until: remedy release low-disk --reason TEXT" in resumed.err
    assert line.records("breaker.opened")[0]["of_run"] == RUN
    assert released.code == 0
    assert "released: low-disk" in released.out
    assert again.code == 6
    assert set((line.state / "audit").iterdir()) == files


def test_release_of_a_host_is_recorded_and_one_of_nothing_is_not(line: CommandLine) -> None:
    """What has attempts is released, with who did it; what has none leaves no audit file that says so."""
    dead_run(line, "web-1", started=("web-1",))
    line.remedy("resume", RUN)

    released = line.remedy("release", "low-disk", "-l", "web-1", "--reason", "looked at it")
    files = set((line.state / "audit").iterdir())
    again = line.remedy("release", "low-disk", "-l", "web-1", "--reason", "once more")
    other = line.remedy("release", "low-disk", "-l", "web-9", "--reason", "mistyped")

    (record,) = line.records("quarantine.released")
    assert released.code == 0
    assert (record["host"], record["reason"]) == ("web-1", "looked at it")
    assert set(line.records("run.started")[-1]["actor"]) == {"user", "uid", "loginuid", "claims"}
    assert (again.code, other.code) == (6, 6)
    assert "no ended attempts to forget" in other.err
    assert set((line.state / "audit").iterdir()) == files
    assert line.remedy("audit", "verify").code == 0


def test_stop_works_with_a_broken_ledger(line: CommandLine) -> None:
    """A ledger that nobody can read is in no stop's way, and the audit log has who stopped, as for other actions."""
    (line.state / "ledger.sqlite3").write_bytes(b"no ledger at all")

    done = line.remedy("stop", "enough")

    assert done.code == 0
    assert (line.state / "STOP").exists()
    assert set(line.records("run.started")[0]["actor"]) == {"user", "uid", "loginuid", "claims"}
    assert line.records("stop.set")[0]["reason"] == "enough"


def test_interrupted_resume_promises_no_waiting(line: CommandLine) -> None:
    """Ctrl-C in a resume says that what may run is left open: nobody waits for it, as an apply would."""
    dead_run(line, "web-1", started=("web-1",), at=datetime.now(UTC))
    process = subprocess.Popen(
        [sys.executable, "-m", "remedy", "resume", RUN],
        cwd=line.directory,
        env=line.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while not process.stderr.readline().startswith("open: "):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "stopping: what may still be running is left open" in err
    assert "waited for" not in err


def test_stopping_says_what_it_is_told_to_say(capfd: pytest.CaptureFixture[str]) -> None:
    """By default a first Ctrl-C says that what runs is waited for; a command may say something else."""
    for words in ((), ("stopping: something else",)):
        with stopping(*words) as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.asked()

    said = [each for each in capfd.readouterr().err.splitlines() if each]
    assert said == [
        "stopping: nothing new is started, what runs is waited for (again: end at once)",
        "stopping: something else",
    ]
