"""`remedy audit show` and `remedy audit verify --head`: what the log says, to people and programs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from remedy.cli.commands import audit as commands
from remedy.cli.commands.audit import AuditAsked, run_audit_show, run_audit_verify
from remedy.cli.composition import Options
from remedy.errors import NothingNamed, StateError, UsageError
from remedy.state.audit import AuditLog, AuditType
from remedy.state.directory import StateDirectory
from tests.cli.forked import run_forked

NOW = datetime(2026, 11, 22, 8, 45, tzinfo=UTC)
ALICE = "root (uid 0) claims SUDO_USER=alice"
BOB = {"user": "root", "uid": 0, "loginuid": 1001, "claims": {"SUDO_USER": "bob"}}
Show = Callable[..., tuple[dict, str]]


def write(state: StateDirectory, run_id: str, actor: object, *records: tuple, at: datetime = NOW) -> AuditLog:
    """Write the file of a run, one record a minute."""
    minutes = iter(range(1_000))
    log = AuditLog.create(state.audit, run_id, lambda: at + timedelta(minutes=next(minutes)))
    log.append(AuditType.RUN_STARTED, {"actor": actor, "command": "remedy apply"})
    for kind, data in records:
        log.append(kind, data)
    log.append(AuditType.RUN_ENDED, {"exit_code": 0, "outcomes": {"fixed": 1, "failed": 0}})
    log.close()
    return log


def about(host: str, rule: str = "low-disk", **data: object) -> dict:
    """Return what a record about an execution says."""
    return {"execution": "a" * 16, "rule": rule, "host": host, "key": {"mount": "/"}, **data}


@pytest.fixture
def state(tmp_path):
    """Give a state directory with two runs side by side, and an old one, none of which is in the ledger."""
    made = StateDirectory(tmp_path / "state")
    made.prepare()
    outcome = AuditType.EXECUTION_OUTCOME
    write(made, "run-0", ALICE, (outcome, about("old-1", outcome="fixed")), at=NOW - timedelta(days=9))
    fixed = (outcome, about("web-1", outcome="fixed", reason="free_percent = 61", output="rm\n" * 9))
    write(made, "run-1", ALICE, (AuditType.EXECUTION_INTENT, about("web-1", row={"free": 3})), fixed)
    failed = (outcome, about("web-2", "reboot", outcome="failed", reason="exit code 7"))
    write(made, "run-2", BOB, failed, at=NOW + timedelta(seconds=30))
    return made


@pytest.fixture
def show(state, capsys, monkeypatch) -> Show:
    """Show records as JSON at a fixed time; return the document and what was said."""
    monkeypatch.setattr(commands, "utc_now", lambda: NOW + timedelta(hours=1))

    def shown(**asked: object) -> tuple[dict, str]:
        assert run_audit_show(Options(state=str(state.path), output="json"), AuditAsked(**asked)) == 0
        captured = capsys.readouterr()
        return json.loads(captured.out), captured.err

    return shown


def places(document: dict) -> list[str]:
    return [f"{record['run']}#{record['seq']}" for record in document["records"]]


def test_show_gives_all_records_in_order_of_time(show, state):
    """Without anything named every record of every file is there as it was written, oldest first, runs mixed."""
    document, said = show()

    lines = [line for path in state.audit.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert sorted(map(json.dumps, document["records"])) == sorted(json.dumps(json.loads(line)) for line in lines)
    assert [record["ts"] for record in document["records"]] == sorted(json.loads(line)["ts"] for line in lines)
    assert places(document)[3:7] == ["run-1#1", "run-2#1", "run-1#2", "run-2#2"]
    assert (document["audit_records"], document["damaged"]) == (1, [])
    assert "not verified; remedy audit verify checks" in said


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"hosts": ["web-1"]}, ["run-1#2", "run-1#3"]),
        ({"hosts": ["web-1", "web-2"]}, ["run-1#2", "run-2#2", "run-1#3"]),
        ({"rules": ["reboot"]}, ["run-2#2"]),
        ({"hosts": ["web-1"], "rules": ["reboot"]}, []),
        ({"actors": ["BOB"]}, ["run-2#1", "run-2#2", "run-2#3"]),
        ({"actors": ["ali"], "rules": ["low-disk"]}, ["run-0#2", "run-1#2", "run-1#3"]),
        ({"actors": ["root"], "hosts": ["old-1"]}, ["run-0#2"]),
        ({"runs": ["run-1"], "hosts": ["web-2"]}, []),
        ({"runs": ["run-0", "run-2"], "rules": ["low-disk", "reboot"]}, ["run-0#2", "run-2#2"]),
        ({"since": "1d", "hosts": ["old-1"]}, []),
        ({"since": "2026-11-22T09:47+01:00"}, ["run-1#3", "run-2#3", "run-1#4"]),
        ({"since": "2026-11-22T08:47:30"}, ["run-2#3", "run-1#4"]),
        ({"since": "58m", "actors": ["alice"]}, ["run-1#3", "run-1#4"]),
        ({"since": "2026-11-23"}, []),
    ],
)
def test_show_gives_what_was_asked_for(show, asked, expected):
    """Host, rule, time, actor (a part of the user's or a claimed name) and run all hold; of several names any does."""
    document, said = show(**asked)

    assert places(document) == expected
    assert ("no record is like that" in said) is (not expected)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"hosts": ["web-11"]}, "the audit log has no host web-11; web-1"),
        ({"hosts": ["web-1", "nobody"]}, "the audit log has no host nobody$"),
        ({"rules": ["low-disc"]}, r"the audit log has no rule low-disc; low-disk\?"),
        ({"runs": ["run-9"]}, "the audit log has no run run-9; run-"),
        ({"actors": ["mallory"]}, "the audit log has no actor mallory"),
        ({"runs": ["run-1"], "hosts": ["web-7"]}, "the audit log has no host web-7"),
    ],
)
def test_show_refuses_names_that_the_log_has_not(show, asked, said):
    """A name that nothing in the log has is exit 6 with the nearest ones, and never an empty answer."""
    with pytest.raises(NothingNamed, match=said):
        show(**asked)


@pytest.mark.parametrize("since", ["", "yesterday", "7", "7w", "400d", "2026-13-01", "0001-01-01T00:00+10:00"])
def test_show_refuses_times_that_are_none(show, since):
    """A time that is neither ISO 8601 nor a span is refused with both forms."""
    with pytest.raises(UsageError, match=r"write a time such as .* or how long ago"):
        show(since=since)


def test_show_hides_no_damaged_line(show, state, capsys):
    """Lines that are no records, cut ends and unreadable files are always shown; a pipe there hangs nothing."""
    path = state.audit / "run-1.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x1b[2Jrubbish\n" + lines[1].replace(b'":', b'": ') + lines[2] + b'{"cut')
    (state.audit / "run-3.jsonl").mkdir()
    os.mkfifo(state.audit / "run-4.jsonl")
    document, said = show(hosts=["web-2"], since="1h")

    assert places(document) == ["run-2#2"]
    assert [(each["file"], each["line"], each["why"]) for each in document["damaged"]] == [
        ("run-3.jsonl", 0, "it cannot be read: Is a directory"),
        ("run-1.jsonl", 2, "the line is no record"),
        ("run-1.jsonl", 3, "the line is not in canonical form"),
        ("run-1.jsonl", 5, "5 bytes without an end: being written, or cut by a crash"),
    ]
    assert document["damaged"][1]["text"] == "\\x1b[2Jrubbish"
    assert "4 damaged lines shown, whatever was asked for" in said
    with pytest.raises(NothingNamed, match="no host web-9"):
        show(hosts=["web-9"])
    assert json.loads(capsys.readouterr().out)["damaged"]


def test_show_keeps_the_order_of_a_file_when_the_clock_goes_back(show, state):
    """Records of one run stay in the order in which they were written, though a later one has an earlier time."""
    times = iter(NOW + timedelta(minutes=minutes) for minutes in (0, 5, -60, 6))
    log = AuditLog.create(state.audit, "run-7", lambda: next(times))
    for kind in (AuditType.RUN_STARTED, AuditType.STOP_SET, AuditType.STOP_CLEARED, AuditType.RUN_ENDED):
        log.append(kind, {})
    log.close()

    assert places(show(runs=["run-7"])[0]) == [f"run-7#{number}" for number in (1, 2, 3, 4)]


def test_show_says_one_line_a_record(state, capsys):
    """The text has time, run and number, type, rule, host, row and what came of it; bulk is left to the JSON."""
    run_audit_show(Options(state=str(state.path)), AuditAsked())
    out = capsys.readouterr().out.splitlines()

    assert len(out) == 10
    assert out[3] == (
        "2026-11-22T08:45:00.000Z run-1#1 run.started          by root (uid 0) claims SUDO_USER=alice remedy apply"
    )
    assert out[4] == (
        "2026-11-22T08:45:30.000Z run-2#1 run.started          "
        "by root (uid 0, loginuid 1001) claims SUDO_USER=bob remedy apply"
    )
    assert out[6] == (
        "2026-11-22T08:46:30.000Z run-2#2 execution.outcome    reboot web-2 mount=/ failed: exit code 7 "
        "execution=aaaaaaaaaaaaaaaa"
    )
    assert out[8] == "2026-11-22T08:47:30.000Z run-2#3 run.ended            failed=0 fixed=1 exit_code=0"


def test_show_makes_control_characters_visible(state, capsys):
    """What somebody put into a file by hand cannot steer the terminal."""
    path = state.audit / "run-2.jsonl"
    path.write_bytes(path.read_bytes().replace(b"exit code 7", b"\\u001b[2J\xe2\x80\xaeevil") + b"\x9b\x07\n")
    run_audit_show(Options(state=str(state.path)), AuditAsked(runs=["run-2"]))

    out = capsys.readouterr().out
    assert "failed: \\x1b[2J\\u202eevil" in out
    assert "DAMAGED run-2.jsonl:4: the line is no record \\x9b\\x07" in out
    assert all(character.isprintable() for character in out.replace("\n", ""))


def test_show_of_no_log_is_an_error_and_of_an_empty_one_is_not(tmp_path, capsys):
    """A state directory without a log is named; one that has no records yet says so."""
    empty = StateDirectory(tmp_path / "empty")
    empty.prepare()

    with pytest.raises(StateError, match="there is no audit log"):
        run_audit_show(Options(state=str(tmp_path / "none")), AuditAsked())
    assert run_audit_show(Options(state=str(empty.path)), AuditAsked()) == 0
    assert "no record is like that" in capsys.readouterr().err


def head_of(state: StateDirectory, run_id: str, number: int) -> str:
    return sha256((state.audit / f"{run_id}.jsonl").read_bytes().splitlines()[number - 1]).hexdigest()


def test_verify_proves_heads_noted_elsewhere(state, capsys):
    """A head noted elsewhere, in capitals too, is found at its record; of two the missing one is exit 3."""
    noted = [head_of(state, "run-1", 2), head_of(state, "run-2", 3).upper()]
    code = run_audit_verify(Options(state=str(state.path), output="json"), noted)
    document = json.loads(capsys.readouterr().out)
    worse = run_audit_verify(Options(state=str(state.path)), [noted[0], "7" * 64])
    out = " ".join(capsys.readouterr().out.split())

    assert (code, document["intact"]) == (0, True)
    assert document["heads"] == [
        {"head": noted[0], "run": "run-1", "record": 2},
        {"head": noted[1].lower(), "run": "run-2", "record": 3},
    ]
    assert worse == 3
    assert f"no record has the head {'7' * 64}: since it was noted, its file was cut or written anew" in out
    assert f"head {noted[0]} is record 2 of run run-1" in out
    assert "audit log NOT whole: 3 files, 10 records" in out


@pytest.mark.parametrize("head", ["", "abc", "g" * 64, "a" * 65, "a" * 63 + "\x1b"])
def test_verify_refuses_what_is_no_head(state, head):
    """Another form than 64 hex digits is a mistake of the command line, and no finding about the log."""
    with pytest.raises(UsageError, match="a head is 64 hex digits"):
        run_audit_verify(Options(state=str(state.path)), [head])


def test_commands_take_their_options(state):
    """As a person types them, both commands take every option, and end with the code that design gives them."""

    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        line = [*("audit", *words), "--state", str(state.path)]
        environment = {"PATH": os.environ["PATH"], "HOME": str(state.path), "PYTHONPATH": os.pathsep.join(sys.path)}
        return run_forked(line, cwd=state.path, environment={**environment, "LC_ALL": "C.UTF-8"}, timeout_s=60)

    names = ("--host", "web-1", "--rule", "low-disk", "--actor", "alice", "--run", "run-1")
    done = typed("show", *names, "--since", "2026-11-22", "-o", "json")
    head = head_of(state, "run-1", 2)

    assert (done.returncode, places(json.loads(done.stdout))) == (0, ["run-1#2", "run-1#3"])
    assert typed("show", "--host", "web-11").returncode == 6
    assert [typed("verify", "--head", head, "--head", each).returncode for each in (head, "0" * 64, "0")] == [0, 3, 1]
