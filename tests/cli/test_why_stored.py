"""`remedy why HOST --stored`: what is remembered, in plain words, without contacting anybody."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from remedy.model import Outcome, ReadingStatus
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from tests.cli.command_line import CommandLine
from tests.cli.why_repository import A, attempted, here, hosts, ledger_of, now, planted, repository, stored

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
HIGH = ({"name": "a", "level": 9.0},)
LOW = ({"name": "a", "level": 1.0},)
NOTHING = "Traceback"


def first(line: CommandLine) -> str:
    """Return the first line of the stored answer of web-1."""
    return here(line, "why", "web-1", "--stored").out.splitlines()[0]


# A real run


def test_fix_that_worked_is_told_from_beginning_to_end(tmp_path: Path) -> None:
    """After a real scan and apply: found, mended and proved; and that it was not read since, until a scan reads it."""
    line = repository(tmp_path)
    planted(line, "a", 9)
    assert line.remedy("scan").code == 0
    assert line.remedy("apply", "--yes").code == 0

    first_answer = here(line, "why", "web-1", "--stored")
    before = first_answer.out.splitlines()[0]
    line.remedy("scan")
    after = here(line, "why", "web-1", "--stored")

    assert before.startswith("web-1: A planted level is high (name=a): found today ")
    assert "; mended, and well when it was checked at " in before
    assert before.endswith("; not read again since")
    assert "read       before the fix: match at " in first_answer.out
    assert "proved" not in first_answer.out
    assert after.code == 0
    assert after.out.splitlines()[0].endswith("; it was well when last read, less than a minute ago")
    assert "before the fix" not in after.out
    assert "stands as  mended" in after.out
    assert "next       nothing; each scan looks again" in after.out


def test_fix_that_did_not_help_is_said_to_have_failed(tmp_path: Path) -> None:
    """After a real apply whose fix changes nothing that counts: the trouble was still there; what is needed is said."""
    line = repository(tmp_path, fixed_to="8")
    planted(line, "a", 9)
    line.remedy("apply", "--yes")

    done = here(line, "why", "web-1", "--stored", "-o", "json")

    (incident,) = done.json["incidents"]
    assert done.code == 0
    assert incident["standing"] == "still_there"
    assert "the trouble was still there" in done.json["summary"]
    assert "mended" not in done.json["summary"]
    assert [each["what"] for each in incident["in_the_way"]] == ["paused", "cooling_down"]
    assert "remedy release high-level --reason TEXT" in incident["next"]


def test_nothing_tried_is_told_with_what_holds_it(tmp_path: Path) -> None:
    """A match on which nothing was started: how it was, how long ago, and that the next apply may mend it."""
    line = repository(tmp_path)
    planted(line, "a", 9)
    line.remedy("scan")

    done = here(line, "why", "web-1", "--stored")

    assert done.out.splitlines()[0] == (
        "web-1: A planted level is high (name=a): it was so when last read, less than a minute ago; nothing was tried"
    )
    assert "next       nothing is in the way: the next apply may mend it" in done.out
    assert "ledger: none" in done.out


# By the ledger


@pytest.mark.parametrize(
    ("outcome", "rows", "said", "never"),
    [
        (Outcome.FIXED, None, "; mended, and well when it was checked at ", "know"),
        (Outcome.FIXED, LOW, "; it was well when last read, 5 minutes ago", "know"),
        (Outcome.FIXED, HIGH, "and came back: it was so when last read, 5 minutes ago", "proved"),
        (Outcome.DONE, None, "what it does shows later, and the next scan decides; not read again since", "mended"),
        (Outcome.NEEDS_REBOOT, None, "works once the machine restarts", "mended"),
        (Outcome.NOT_FIXED, None, "the trouble was still there", "mended"),
        (
            Outcome.NOT_FIXED,
            LOW,
            "the trouble was still there; yet it was well when last read, 5 minutes ago",
            "mended",
        ),
        (Outcome.UNVERIFIED, None, "we do not know whether it helped", "mended"),
        (Outcome.UNVERIFIED, LOW, "we do not know whether it helped; yet it was well when last read", "mended"),
        (Outcome.FAILED, HIGH, "it failed; it was so when last read, 5 minutes ago", "mended"),
        (Outcome.LOST, None, "we do not know whether it ran to its end; not read again since", "mended"),
        (Outcome.LOST, LOW, "we do not know whether it ran to its end; it was well when last read", "mended"),
        (Outcome.UNREACHABLE, None, "nothing was started: the machine could not be reached", "mended"),
        (None, None, "we do not know whether it ran to its end", "mended"),
    ],
)
def test_first_line_claims_no_more_than_is_proved(
    tmp_path: Path, outcome: Outcome | None, rows: tuple[dict[str, object], ...] | None, said: str, never: str
) -> None:
    """Only what was proved is called mended; what nobody saw the end of is said to be unknown; readings are dated."""
    line = repository(tmp_path)
    stored(line, ("web-1", 60 * MINUTE, ReadingStatus.OK, HIGH))
    attempted(line, outcome, ago=50 * MINUTE)
    if rows is not None:
        stored(line, ("web-1", 5 * MINUTE, ReadingStatus.OK, rows))

    told = first(line)

    assert told.startswith("web-1: A planted level is high (name=a): found ")
    assert said in told
    assert never not in told


def test_running_fix_is_said_to_be_running_at_most_until(tmp_path: Path) -> None:
    """An open start whose time is not over may still be at work, and until when at the latest is said."""
    line = repository(tmp_path)
    attempted(line, None, ago=2 * MINUTE)

    assert "may still be at work, until today " in first(line) or "may still be at work, until 2" in first(line)


def test_lost_one_that_was_reconciled_is_told_with_what_the_machine_said(tmp_path: Path) -> None:
    """Once the host's marker has proved the end, the end is known; whether it helped is not."""
    line = repository(tmp_path)
    planned = attempted(line, Outcome.LOST, ago=50 * MINUTE)
    ledger = ledger_of(line)
    said = {"found": "ended", "exit_code": 0, "proves_end": True, "reason": "marker", "actor": "alice"}
    ledger.reconcile(planned.id, run_id="reconcile-1", at=now(), **said)
    ledger.close()

    told = first(line)

    assert "ran to its end" not in told
    assert "we do not know whether it helped" in told


def test_lost_one_that_a_person_released_is_no_longer_quarantined(tmp_path: Path) -> None:
    """After a release the next step is no person's; the attempt is still shown as lost."""
    line = repository(tmp_path)
    stored(line, ("web-1", 5 * MINUTE, ReadingStatus.OK, HIGH))
    attempted(line, Outcome.LOST, ago=50 * MINUTE)
    quarantined = here(line, "why", "web-1", "--stored")
    line.remedy("release", "high-level", "-l", "web-1", "--reason", "looked")
    released = here(line, "why", "web-1", "--stored")

    assert "quarantined: the last attempt" in quarantined.out
    assert "next       never by itself: needs remedy reconcile" in quarantined.out
    assert "next       nothing is in the way" in released.out
    assert "lost" in released.out
    assert "released since" in released.out


def test_old_reading_says_how_it_was(tmp_path: Path) -> None:
    """A reading older than its signal lets one count is shown as what was, with its age and the limit."""
    line = repository(tmp_path)
    stored(line, ("web-1", 3 * DAY, ReadingStatus.OK, HIGH))

    done = here(line, "why", "web-1", "--stored")

    assert "it was so when last read, 3 days ago" in done.out.splitlines()[0]
    assert "read       was match at " in done.out
    assert "(old: one counts for 15m)" in done.out
    assert here(line, "why", "web-1", "--stored", "-o", "json").json["incidents"][0]["old"] is True


def test_last_good_reading_outlives_a_host_that_is_gone(tmp_path: Path) -> None:
    """When a host cannot be reached any more, what it said last is still told, and that it was tried since."""
    line = repository(tmp_path)
    stored(
        line,
        ("web-1", 60 * MINUTE, ReadingStatus.OK, HIGH),
        ("web-1", 30 * MINUTE, ReadingStatus.UNREACHABLE, ()),
        ("web-1", 10 * MINUTE, ReadingStatus.UNREACHABLE, ()),
    )

    told = here(line, "why", "web-1", "--stored")

    assert told.out.splitlines()[0].endswith(
        "it was so when last read, 60 minutes ago; nothing was tried; "
        "when last tried, 10 minutes ago, it could not be reached"
    )
    assert "unreachable 10 minutes ago: no answer on port 22 (level)" in told.out


def test_first_seen_is_the_oldest_plan(tmp_path: Path) -> None:
    """What the ledger knows of when it began: the first run that planned it, though nothing was started then."""
    line = repository(tmp_path)
    attempted(line, Outcome.UNREACHABLE, ago=3 * DAY, run_id="20261101T010000Z-0001")
    attempted(line, Outcome.FAILED, ago=1 * DAY, run_id="20261101T020000Z-0002")

    (incident,) = here(line, "why", "web-1", "--stored", "-o", "json").json["incidents"]

    assert incident["first_seen"].startswith((now() - 3 * DAY).strftime("%Y-%m-%dT%H:%M"))
    assert [each["outcome"] for each in incident["executions"]] == ["unreachable", "failed"]


def test_worst_incident_is_told_first(tmp_path: Path) -> None:
    """Of several incidents the unknown end comes before what is still there, and that before what was mended."""
    line = repository(tmp_path)
    stored(
        line,
        ("web-1", 5 * MINUTE, ReadingStatus.OK, tuple({"name": each, "level": 9.0} for each in ("b", "c"))),
    )
    attempted(line, Outcome.FIXED, ago=3 * DAY, key=(("name", "a"),), run_id="20261101T010000Z-0001")
    attempted(line, Outcome.LOST, ago=1 * DAY, key=(("name", "d"),), run_id="20261101T020000Z-0002")

    document = here(line, "why", "web-1", "--stored", "-o", "json").json

    assert [(each["key"]["name"], each["standing"]) for each in document["incidents"]] == [
        ("d", "end_not_known"),
        ("b", "still_there"),
        ("c", "still_there"),
        ("a", "mended"),
    ]
    assert document["summary"].endswith("; and 3 others below")


def test_one_rule_is_told_alone(tmp_path: Path) -> None:
    """With a RULE only its incidents are told, and that nothing was tried is said of that rule only."""
    line = repository(tmp_path)
    stored(line, ("web-1", 5 * MINUTE, ReadingStatus.OK, LOW))
    attempted(line, Outcome.FIXED, ago=60 * MINUTE, rule="gone-rule")

    mine = here(line, "why", "web-1", "high-level", "--stored")
    other = here(line, "why", "web-1", "gone-rule", "--stored")

    assert mine.out.splitlines()[0] == "web-1: no trouble was seen when last read 5 minutes ago"
    assert "gone-rule" not in mine.out
    assert other.out.startswith("web-1: gone-rule (name=a): found ")


# What is at hand


def test_nothing_known_is_4_and_unknown_name_6(tmp_path: Path) -> None:
    """A host of the inventory of which nothing is stored is exit 4; a name nobody knows is exit 6 with the nearest."""
    line = repository(tmp_path)
    hosts(line, {"web-1": {}, "web-2": {}})
    stored(line, ("web-1", MINUTE, ReadingStatus.OK, LOW))
    unknown = here(line, "why", "web-2", "--stored")
    nobody = here(line, "why", "wbe-1", "--stored")
    rule = here(line, "why", "web-1", "high-levle", "--stored")

    assert unknown.code == 4
    assert unknown.out.startswith("web-2: nothing is known: no reading of it is kept, and nothing was ever tried on it")
    assert nobody.code == rule.code == 6
    assert "web-1?" in nobody.err
    assert "high-level?" in rule.err


def test_group_is_said_to_be_one_and_some_of_its_hosts_are_named(tmp_path: Path) -> None:
    """Who asks for a group is told so, with how many hosts it has and the first of them; exit 6."""
    line = repository(tmp_path)
    hosts(line, {f"web-{number}": {} for number in range(1, 8)})
    stored(line, ("web-1", MINUTE, ReadingStatus.OK, LOW))

    done = here(line, "why", "web", "--stored")

    assert done.code == 6
    assert "HOST web is a group of 7 hosts, such as web-1, web-2, web-3, web-4, web-5; name one" in done.err


@pytest.mark.parametrize(
    ("asked", "guess"),
    [("web-1.other.org", ""), ("web-3.b.org", "web-2.b.org?"), ("web-2.bb.org", "web-2.b.org?"), ("wbe-9", "web-9?")],
)
def test_guess_of_a_host_is_none_that_differs_in_name_and_domain(tmp_path: Path, asked: str, guess: str) -> None:
    """A mistyped name or a mistyped domain is guessed at; another host of another domain is nobody's mistyping."""
    line = repository(tmp_path)
    hosts(line, {"web-2.b.org": {}, "web-9": {}})
    stored(line, ("web-9", MINUTE, ReadingStatus.OK, LOW))

    done = here(line, "why", asked, "--stored")

    assert done.code == 6
    assert done.err.rstrip().endswith(guess or "nothing is known of a host of that name")


def test_missing_state_directory_is_no_answer(tmp_path: Path) -> None:
    """A state directory that does not exist is rather a wrong one: exit 1, and how to name it."""
    line = repository(tmp_path)
    done = here(line, "why", "web-1", "--stored")

    assert done.code == 1
    assert "name it with --state DIR" in done.err


def test_facts_alone_are_shown_and_not_judged(tmp_path: Path) -> None:
    """Without rules and inventory, what was read and what was tried is shown; no verdict is made up."""
    line = repository(tmp_path)
    stored(line, ("web-1", 5 * MINUTE, ReadingStatus.OK, HIGH))
    attempted(line, Outcome.FIXED, ago=60 * MINUTE)
    shutil.rmtree(tmp_path / "rules")
    (tmp_path / "inventory.yaml").unlink()

    done = here(line, "why", "web-1", "--stored")
    document = here(line, "why", "web-1", "--stored", "-o", "json").json

    assert done.code == 0
    assert "; was well when it was checked at " in done.out.splitlines()[0]
    assert done.out.splitlines()[0].endswith(
        ", but the host was read again since, 5 minutes ago, and that is not judged here: it may have come back"
    )
    assert "mended" not in done.out
    assert "stands as  not judged" in done.out
    assert "name=a level=9" in done.out
    assert "no rules and no inventory at hand" in done.out
    assert document["judged"] is False
    assert document["incidents"][0]["verdict"] is None


@pytest.mark.parametrize("broken", ["rules/high-level/rule.yaml", "inventory.yaml", "remedy.yaml"])
def test_broken_files_leave_the_facts(tmp_path: Path, broken: str) -> None:
    """What cannot be read of rules, inventory or settings is noted, and the stored facts are told all the same."""
    line = repository(tmp_path)
    stored(line, ("web-1", 5 * MINUTE, ReadingStatus.OK, HIGH))
    (tmp_path / broken).write_text("x: [\n")

    done = here(line, "why", "web-1", "--stored")

    assert done.code == 0
    assert "cannot be used, so what was read is not judged" in done.out
    assert "name=a level=9" in done.out


def test_broken_files_that_were_named_are_errors(tmp_path: Path) -> None:
    """What an option names is meant: when it cannot be read, there is no answer without it."""
    line = repository(tmp_path)
    stored(line, ("web-1", 5 * MINUTE, ReadingStatus.OK, HIGH))
    (tmp_path / "inventory.yaml").write_text("x: [\n")

    assert here(line, "why", "web-1", "--stored", "-i", "inventory.yaml").code == 1


def test_readings_of_another_signal_are_not_judged_by_this_one(tmp_path: Path) -> None:
    """When the collector has changed since, its old readings count as unknown, not as what they would say today."""
    line = repository(tmp_path)
    stored(line, ("web-1", 5 * MINUTE, ReadingStatus.OK, HIGH))
    script = tmp_path / "rules" / "signals" / "level" / "linux.sh"
    script.write_text(script.read_text() + "# changed\n")

    document = here(line, "why", "web-1", "--stored", "-o", "json").json

    assert document["incidents"] == []
    assert "1 rule could not be judged" in document["summary"]
    assert "changed" in document["rules"][0]["reason"]


def test_host_is_found_by_its_address_where_the_inventory_knows_it(tmp_path: Path) -> None:
    """An address leads to its host when one has it, and to both names when two have."""
    line = repository(tmp_path)
    hosts(line, {"web-1": {"ansible_host": "10.0.0.7"}, "web-2": {"ansible_host": "10.0.0.8"}})
    stored(line, ("web-1", MINUTE, ReadingStatus.OK, LOW))
    one = here(line, "why", "10.0.0.7", "--stored")
    hosts(line, {"web-1": {"ansible_host": "10.0.0.7"}, "web-2": {"ansible_host": "10.0.0.7"}})
    two = here(line, "why", "10.0.0.7", "--stored")

    assert one.code == 0
    assert one.out.startswith("web-1: no trouble was seen when last read")
    assert "asked for as 10.0.0.7" in one.out
    assert two.code == 6
    assert "may be web-1, web-2" in two.err


def test_text_of_a_host_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    """Whatever a host, a reason or a key holds, no control character reaches the terminal."""
    line = repository(tmp_path)
    bad = "a\x1b[31m\u202e"
    stored(line, ("web-1", MINUTE, ReadingStatus.OK, ({"name": "a\u202eb", "level": 9.0},)))
    attempted(line, Outcome.FAILED, ago=60 * MINUTE, key=(("name", bad),), reason=f"said {bad}\nSTOPPED")
    shown = here(line, "why", "web-1", "--stored").out

    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\nSTOPPED" not in shown
    assert "\\x1b[31m" in shown


def test_ledger_with_a_hot_journal_is_read_from_its_copy(tmp_path: Path) -> None:
    """A ledger that a crash left in the middle of a commit is read, and nothing in the directory is changed."""
    line = repository(tmp_path)
    attempted(line, Outcome.FIXED, ago=60 * MINUTE)
    ledger = line.state / "ledger.sqlite3"
    journal = line.state / "ledger.sqlite3-journal"
    code = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA cache_size = 1'); db.execute('BEGIN IMMEDIATE')\n"
        "db.execute('CREATE TABLE junk (x)')\n"
        "db.executemany('INSERT INTO junk VALUES (?)', [('y' * 900,)] * 2000)\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(ledger)], check=False)
    assert journal.exists()
    before = {path.name: path.read_bytes() for path in line.state.iterdir() if path.is_file()}

    told = first(line)

    assert "; mended, and well when it was checked at " in told
    assert {path.name: path.read_bytes() for path in line.state.iterdir() if path.is_file()} == before


def test_ledger_that_is_being_written_is_read_all_the_same(tmp_path: Path) -> None:
    """While another process is in the middle of a transaction, the answer is that of the last commit."""
    line = repository(tmp_path)
    attempted(line, Outcome.FIXED, ago=60 * MINUTE)
    writer = sqlite3.connect(line.state / "ledger.sqlite3", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE executions SET reason = 'not committed'")

    told = here(line, "why", "web-1", "--stored")

    writer.execute("ROLLBACK")
    writer.close()
    assert told.code == 0
    assert "; mended, and well when it was checked at " in told.out
    assert "not committed" not in told.out


@pytest.mark.parametrize("name", ["readings.jsonl", "readings-before.jsonl", "ledger.sqlite3"])
def test_what_is_there_and_cannot_be_read_is_1(tmp_path: Path, name: str) -> None:
    """A damaged part of the state directory is an error that names it, however well the rest can be read."""
    line = repository(tmp_path)
    stored(line, ("web-1", 5 * MINUTE, ReadingStatus.OK, HIGH))
    attempted(line, Outcome.FIXED, ago=60 * MINUTE)
    (line.state / name).write_bytes(b"{]\n")

    done = here(line, "why", "web-1", "--stored")

    assert done.code == 1
    assert name in done.err
    assert done.out == ""


# Who may ask


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Give a directory that every user can look into."""
    made = Path(tempfile.mkdtemp(prefix="remedy-why-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


_AS_ROOT = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv")
_WATCHED = """\
import runpy, sys
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith(("socket.", "subprocess.")) else None)
sys.argv = ["remedy", *sys.argv[1:]]
try:
    runpy.run_module("remedy", run_name="__main__")
except SystemExit as ended:
    code = ended.code
runners = sorted(name for name in sys.modules if name.startswith("remedy_runners."))
print("EVENTS", sorted(set(seen)), "RUNNERS", runners, file=sys.stderr)
sys.exit(code)
"""


def as_nobody(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run remedy as user nobody in group nogroup, watched for sockets and processes."""
    command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", sys.executable, "-c", _WATCHED, *words]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "REMEDY_STATE": str(directory / "state")}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60)


def _shared_state(directory: Path, mode: int) -> CommandLine:
    line = repository(directory)
    line.state.mkdir()
    os.chown(line.state, 0, 65534)
    line.state.chmod(mode)
    planted(line, "a", 9)
    return line


@_AS_ROOT
def test_service_desk_reads_with_read_permission_alone(open_directory: Path) -> None:
    """Another user, in the group that may read the state directory, gets the answer: no socket, runner or process."""
    line = _shared_state(open_directory, 0o2750)
    assert line.remedy("scan").code == 0
    assert line.remedy("apply", "--yes").code == 0
    (open_directory / "inventory.yaml").chmod(0o600)
    shutil.rmtree(open_directory / "rules")

    done = as_nobody(open_directory, "why", "WEB-1", "--stored")

    assert NOTHING not in done.stderr
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("web-1: high-level (name=a): found today ")
    assert "; mended, and well when it was checked at " in done.stdout
    assert "EVENTS [] RUNNERS []" in done.stderr


@_AS_ROOT
@pytest.mark.slow
def test_service_desk_with_rules_gets_verdicts_and_still_no_credential(open_directory: Path) -> None:
    """With rules and an inventory to read, whose secrets are not there, the readings are judged."""
    line = _shared_state(open_directory, 0o2750)
    line.remedy("scan")
    hosts(line, {"web-1": {"ansible_host": "10.0.0.7", "ansible_password": "file:/root/secret"}})

    done = as_nobody(open_directory, "why", "10.0.0.7", "--stored")

    assert done.returncode == 0, done.stderr
    assert "it was so when last read" in done.stdout
    assert "EVENTS [] RUNNERS []" in done.stderr


@_AS_ROOT
def test_group_of_a_shared_state_reads_what_it_needs_and_nothing_else(open_directory: Path) -> None:
    """Ledger, readings and STOP are group-readable, nothing is group-writable, and the rest stays the owner's."""
    line = _shared_state(open_directory, 0o2750)
    attempted(line, Outcome.FIXED, ago=60 * MINUTE)
    line.remedy("scan")
    line.remedy("stop", "drill")

    modes = {path.name: path.stat().st_mode & 0o777 for path in line.state.iterdir()}

    assert {name for name, mode in modes.items() if mode & 0o040} == {"ledger.sqlite3", "readings.jsonl", "STOP"}
    assert not [name for name, mode in modes.items() if mode & 0o027]
    refused = as_nobody(open_directory, "stop", "sabotage")
    assert refused.returncode == 1


@_AS_ROOT
@pytest.mark.slow
def test_ledger_of_before_the_sharing_is_shared_by_the_next_command(open_directory: Path) -> None:
    """A state directory that is given to a group later: what is there already becomes readable with the next scan."""
    line = _shared_state(open_directory, 0o700)
    attempted(line, Outcome.FIXED, ago=60 * MINUTE)
    private = (line.state / "ledger.sqlite3").stat().st_mode & 0o777
    denied = as_nobody(open_directory, "why", "web-1", "--stored")
    line.state.chmod(0o2750)
    line.remedy("scan")

    done = as_nobody(open_directory, "why", "web-1", "--stored")

    assert private == 0o600
    assert denied.returncode == 1
    assert "cannot be" in denied.stderr
    assert done.returncode == 0, done.stderr


@_AS_ROOT
def test_plain_state_directory_stays_private(open_directory: Path) -> None:
    """A directory that others may look into, and that was not given to a group, shares nothing."""
    line = _shared_state(open_directory, 0o755)
    attempted(line, Outcome.FIXED, ago=60 * MINUTE)
    line.remedy("scan")

    assert not [path for path in line.state.iterdir() if path.stat().st_mode & 0o077]
    denied = as_nobody(open_directory, "why", "web-1", "--stored")
    assert denied.returncode == 1
    assert "Permission denied" in denied.stderr


@_AS_ROOT
@pytest.mark.slow
def test_open_start_is_told_though_locks_cannot_be_read(open_directory: Path) -> None:
    """Who cannot find out whether a run is alive is told that its fix may be at work, not that it is lost."""
    line = _shared_state(open_directory, 0o2750)
    attempted(line, None, ago=MINUTE, key=A)
    line.remedy("scan")

    done = as_nobody(open_directory, "why", "web-1", "--stored", "-o", "json")

    assert done.returncode == 0, done.stderr
    (incident,) = json.loads(done.stdout)["incidents"]
    assert incident["standing"] == "under_way"
    assert "may still be at work" in incident["summary"]


def test_preparing_shares_only_when_asked(tmp_path: Path) -> None:
    """`prepare` opens nothing by itself: without the set-group-ID bit modes stay as they are."""
    state = StateDirectory(tmp_path / "state")
    state.prepare()
    Ledger.open(state.ledger).close()
    state.path.chmod(0o750)
    state.prepare()
    private = state.ledger.stat().st_mode & 0o777
    state.path.chmod(0o2750)
    state.prepare()

    assert private == 0o600
    assert state.ledger.stat().st_mode & 0o777 == 0o640
