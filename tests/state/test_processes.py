"""Real processes on one state directory: contention, kill -9, a full disk."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from remedy.errors import StateError
from remedy.model import Outcome
from remedy.port import Permit
from remedy.state import ledger_schema
from remedy.state.audit_verify import AuditStatus, verify
from remedy.state.ledger import Ledger
from tests.state.builders import NOW, ROOT, asked, by_gate, execution, run_row, unsynced


def audit_intents(directory):
    """Return the executions that have an intent in a complete line of any audit file."""
    found = set()
    for path in (directory / "audit").glob("*.jsonl"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            record = json.loads(line)
            if record["type"] == "execution.intent":
                found.add(record["data"]["execution"])
    return found


@pytest.mark.parametrize(("decider", "attempts", "granted"), [("gate", 1, 1), ("attempts", 1, 1), ("attempts", 3, 3)])
def test_contending_processes_get_no_more_grants_than_attempts(tmp_path, start_child, decider, attempts, granted):
    """Eight processes that ask at once for the same incident get exactly as many grants as attempts are allowed."""
    children = [start_child("contend", str(number), str(attempts), decider) for number in range(8)]
    assert {child.stdout.readline() for child in children} == {"ready\n"}
    for child in children:
        child.stdin.write("go\n")
    answers = [child.stdout.readline().strip() for child in children]

    assert [child.wait() for child in children] == [0] * 8
    assert answers.count("granted") == granted
    assert set(answers) - {"granted"} <= {"quarantined", "host_busy"}
    with closing(Ledger.open(tmp_path / "ledger.sqlite3")) as ledger:
        assert len(ledger.attempts("low-disk", "web-1", ROOT)) == granted


@pytest.mark.parametrize("count", [1, 3_000])
def test_kill_between_audit_sync_and_commit_grants_nothing(tmp_path, start_child, count):
    """
    A kill -9 between the audit log's sync and the ledger's commit leaves a journal that the next opening rolls back.

    The audit log has intents then that the ledger lacks, and both go on.
    """
    child = start_child("hang_in_admit", str(count))
    assert child.stdout.readline() == "synced\n"
    child.kill()
    child.wait()
    left_behind = {path.name: path.read_bytes() for path in tmp_path.glob("ledger.sqlite3*")}
    (tmp_path / "copy").mkdir()
    copied = Ledger.open_copy(tmp_path / "ledger.sqlite3", tmp_path / "copy")
    in_copy = (copied.open_intents(), [each.run.id for each in copied.runs(9)])
    copied.close()
    after_copy = {path.name: path.read_bytes() for path in tmp_path.glob("ledger.sqlite3*")}
    with closing(Ledger.open(tmp_path / "ledger.sqlite3")) as ledger:
        in_ledger = (ledger.open_intents(), [each.run.id for each in ledger.runs(9)])
        planned = execution("next", host="host-0")
        ledger.begin_run(run_row("run-2"), [planned])
        (answer,) = ledger.admit([asked(planned, run_id="run-2")], decide=by_gate, sync_intents=unsynced)

    assert sorted(left_behind) == ["ledger.sqlite3", "ledger.sqlite3-journal"]
    assert after_copy == left_behind
    assert in_copy == in_ledger == ((), ["run-1"])
    assert isinstance(answer, Permit)
    assert len(audit_intents(tmp_path)) == count
    report = verify(tmp_path / "audit")
    assert (report.findings, [each.status for each in report.files]) == ((), [AuditStatus.UNFINISHED])


def test_hot_journal_of_the_crash_test_is_really_hot(tmp_path, start_child):
    """The journal that the crash test leaves is one that SQLite's read-only mode cannot read past."""
    child = start_child("hang_in_admit", "3000")
    child.stdout.readline()
    child.kill()
    child.wait()

    uri = f"{(tmp_path / 'ledger.sqlite3').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as reader, pytest.raises(sqlite3.OperationalError):
        reader.execute("SELECT * FROM runs").fetchall()


def test_open_copy_while_a_writer_is_in_its_transaction_sees_the_state_before(tmp_path, start_child):
    """A dry run beside a run in the middle of a small commit reads what was committed, and leaves the writer alone."""
    child = start_child("hang_in_admit", "1")
    assert child.stdout.readline() == "synced\n"
    (tmp_path / "copy").mkdir()
    copied = Ledger.open_copy(tmp_path / "ledger.sqlite3", tmp_path / "copy")
    during = copied.open_intents()
    copied.close()
    child.stdin.write("go\n")

    assert child.wait() == 0
    assert during == ()
    with closing(Ledger.open(tmp_path / "ledger.sqlite3")) as ledger:
        assert [each.intent.execution_id for each in ledger.open_intents()] == ["execution-0"]


def test_kill_at_any_moment_leaves_every_ledger_intent_in_the_audit_log(tmp_path, start_child):
    """
    After a kill -9 of a run that admits as fast as it can, the ledger has what was granted, the audit log all of that.

    Both open and verify, eight times.
    """
    granted = set()
    for number in range(8):
        child = start_child("admit_for_ever", f"run-{number}")
        for _ in range(1 + 3 * number):
            granted.add(child.stdout.readline().strip())
        child.kill()
        granted |= {line.strip() for line in child.stdout if line.endswith("\n")}
        child.wait()
        (tmp_path / f"copy-{number}").mkdir()
        Ledger.open_copy(tmp_path / "ledger.sqlite3", tmp_path / f"copy-{number}").close()
        with closing(Ledger.open(tmp_path / "ledger.sqlite3")) as ledger:
            recorded = {each.intent.execution_id for each in ledger.open_intents()}

        assert granted <= recorded <= audit_intents(tmp_path)
    report = verify(tmp_path / "audit")
    assert report.findings == ()
    assert {each.status for each in report.files} <= {AuditStatus.UNFINISHED, AuditStatus.TORN}


def test_dead_run_s_execution_is_closed_by_another(tmp_path, start_child):
    """After a kill the next run finds the host busy, closes the execution as lost, and the incident is quarantined."""
    child = start_child("admit_for_ever", "run-0")
    execution_id = child.stdout.readline().strip()
    child.kill()
    child.wait()
    planned = execution("again", host=execution_id)
    with closing(Ledger.open(tmp_path / "ledger.sqlite3")) as ledger:
        ledger.begin_run(run_row("run-1"), [planned])
        pair = asked(planned, run_id="run-1")
        (busy,) = ledger.admit([pair], decide=by_gate, sync_intents=unsynced)
        for opened in ledger.open_intents():
            ledger.close_open(opened.intent.execution_id, opened.closes_as, NOW, "run-0 died")
        (held,) = ledger.admit([pair], decide=by_gate, sync_intents=unsynced)
        record = ledger.run("run-0")

    assert (busy.skip.value, held.skip.value) == ("host_busy", "quarantined")
    assert {each.outcome for each in record.executions} == {None, Outcome.LOST}
    assert record.summary.exit_code is None


def test_full_disk_at_the_commit_grants_nothing(tmp_path, start_child):
    """When the ledger has no room for the intents admit raises, and the next opening finds none of them."""
    child = start_child("admit_on_full_disk", "3000")
    output = child.stdout.read()

    assert child.wait() == 0
    assert output.startswith("synced\nrefused ledger")
    with closing(Ledger.open(tmp_path / "ledger.sqlite3")) as ledger:
        assert ledger.open_intents() == ()
        assert len(ledger.run("run-1").executions) == 3_000


def test_opening_the_ledger_again_keeps_the_locks_of_a_transaction(tmp_path):
    """A second opening in the same process does not drop the lock of a transaction under way in the first."""
    path = tmp_path / "ledger.sqlite3"
    attempt = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    ends = []

    def open_again(_granted):
        Ledger.open(path).close()
        other = subprocess.run([sys.executable, "-c", attempt, str(path)], capture_output=True, text=True)
        ends.append(other.stderr.splitlines()[-1:])

    with closing(Ledger.open(path)) as ledger:
        ledger.begin_run(run_row(), [execution("a")])
        ledger.admit([asked(execution("a"))], decide=by_gate, sync_intents=open_again)

    assert ends == [["sqlite3.OperationalError: database is locked"]]


def test_open_by_many_processes_at_once_makes_one_ledger(tmp_path, start_child):
    """Processes that create the same ledger at the same moment all succeed."""
    children = [start_child("contend", str(number), "1", "gate") for number in range(6)]

    assert [child.stdout.readline() for child in children] == ["ready\n"] * 6
    with closing(Ledger.open(tmp_path / "ledger.sqlite3")) as ledger:
        assert len(ledger.runs(99)) == 6


def test_open_copy_of_a_ledger_that_keeps_changing_gives_up(tmp_path, monkeypatch):
    """A copy is never taken of a moment that was none: when the files never hold still it is an error."""
    path = tmp_path / "ledger.sqlite3"
    Ledger.open(path).close()
    (tmp_path / "copy").mkdir()
    monkeypatch.setattr(ledger_schema, "_copy_by_reading", lambda _path, _target: False)

    with pytest.raises(StateError, match="keeps changing"):
        Ledger.open_copy(path, tmp_path / "copy")


def test_copy_of_files_that_change_meanwhile_is_taken_again(tmp_path, monkeypatch):
    """Database and journal are copied as of one moment: a change between the two copies makes it start anew."""
    path, journal = tmp_path / "ledger.sqlite3", tmp_path / "ledger.sqlite3-journal"
    path.write_text("old")
    journal.write_text("old journal")
    (tmp_path / "copy").mkdir()
    real_copy = shutil.copyfile
    copied = []

    def copy_and_change(source, target):
        real_copy(source, target)
        copied.append(source)
        if len(copied) == 1:
            path.write_text("newer")
            journal.write_text("newer journal")

    monkeypatch.setattr(ledger_schema, "_copy_by_reading", lambda _path, _target: False)
    monkeypatch.setattr(shutil, "copyfile", copy_and_change)
    target = ledger_schema.copy_ledger(path, tmp_path / "copy")

    assert copied == [path, journal, path, journal]
    assert target.read_text() == "newer"
    assert target.with_name(journal.name).read_text() == "newer journal"
