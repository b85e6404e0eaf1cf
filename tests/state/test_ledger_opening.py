"""Opening a ledger: what is no ledger, is damaged, too new or out of reach is an error, never an empty one."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from remedy.errors import StateError
from remedy.model import Outcome
from remedy.port import FixEnding, Permit
from remedy.state import ledger_schema
from remedy.state.ledger import Ledger
from tests.state.builders import LATER, ROOT, admit, execution, run_row, start


@pytest.mark.parametrize("raw", [b"not a database, and longer than a header " * 9, b"SQLite format 3\0" + b"\7" * 600])
def test_open_of_rubbish_is_an_error_never_an_empty_ledger(tmp_path, raw):
    """A file that is no ledger is refused by open and by open_copy, and left as it is."""
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(raw)
    (tmp_path / "copy").mkdir()

    with pytest.raises(StateError, match=r"damaged|cannot be used"):
        Ledger.open(path)
    with pytest.raises(StateError, match=r"damaged|cannot be used"):
        Ledger.open_copy(path, tmp_path / "copy")
    assert path.read_bytes() == raw


def test_open_finds_damage_inside(tmp_path):
    """A ledger with a broken page is refused at opening, not when it answers wrongly."""
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger.open(path)
    start(ledger, *(execution(f"x{number}", host=f"h{number}") for number in range(500)))
    ledger.close()
    raw = bytearray(path.read_bytes())
    page = 4096
    for number in range(3, len(raw) // page):
        raw[number * page : number * page + 64] = b"\xff" * 64
    path.write_bytes(raw)

    with pytest.raises(StateError, match="damaged"):
        Ledger.open(path)


def test_open_refuses_another_program_s_database(tmp_path):
    """A database of somebody else is refused and left as it is."""
    path = tmp_path / "ledger.sqlite3"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()

    with pytest.raises(StateError, match="no ledger of remedy"):
        Ledger.open(path)
    assert path.read_bytes() == before


def test_open_refuses_a_newer_ledger(tmp_path):
    """A ledger that a newer remedy wrote is refused, with the cure."""
    path = tmp_path / "ledger.sqlite3"
    Ledger.open(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()

    with pytest.raises(StateError, match="newer remedy"):
        Ledger.open(path)


@pytest.mark.parametrize("kind", ["directory", "link", "missing folder"])
def test_open_refuses_what_is_no_file(tmp_path, kind):
    """A directory, a link, or a missing folder in the ledger's place is a StateError."""
    path = tmp_path / "ledger.sqlite3"
    match kind:
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case _:
            path = tmp_path / "gone" / "ledger.sqlite3"

    with pytest.raises(StateError, match="cannot be opened"):
        Ledger.open(path)


def test_open_of_an_unreadable_ledger_is_an_error(as_other_user):
    """No permission is an error for open and for open_copy, never taken for no ledger."""
    directory, other_user = as_other_user
    path = directory / "ledger.sqlite3"
    Ledger.open(path).close()
    path.chmod(0)
    (directory / "copy").mkdir(mode=0o777)

    with other_user(), pytest.raises(StateError, match="no permission to read and write it"):
        Ledger.open(path)
    with other_user(), pytest.raises(StateError, match="Permission denied; it is not taken for an empty one"):
        Ledger.open_copy(path, directory / "copy")


def test_open_copy_without_a_ledger_is_an_error_and_makes_none(tmp_path):
    """A dry run creates no ledger."""
    (tmp_path / "copy").mkdir()

    with pytest.raises(StateError, match="No such file"):
        Ledger.open_copy(tmp_path / "ledger.sqlite3", tmp_path / "copy")
    assert not (tmp_path / "ledger.sqlite3").exists()


def test_open_copy_works_without_write_permission_and_beside_a_writer(as_other_user):
    """A copy needs only to read: of a ledger in a read-only directory that a run keeps open."""
    directory, other_user = as_other_user
    state, copy = directory / "state", directory / "copy"
    state.mkdir()
    copy.mkdir()
    copy.chmod(0o777)
    ledger = Ledger.open(state / "ledger.sqlite3")
    start(ledger, execution("a"))
    (state / "ledger.sqlite3").chmod(0o444)
    state.chmod(0o555)

    with other_user():
        copied = Ledger.open_copy(state / "ledger.sqlite3", copy)
        attempts = copied.attempts("low-disk", "web-1", ROOT)
        copied.close()

    ledger.close()
    assert [each.execution_id for each in attempts] == ["a"]
    assert [path.name for path in state.iterdir()] == ["ledger.sqlite3"]


def test_open_copy_changes_nothing_in_the_original(ledger, tmp_path):
    """What is written to the copy stays there."""
    (tmp_path / "copy").mkdir()
    before = (tmp_path / "ledger.sqlite3").read_bytes()
    copied = Ledger.open_copy(tmp_path / "ledger.sqlite3", tmp_path / "copy")

    copied.begin_run(run_row())
    copied.close()

    assert ledger.runs(9) == ()
    assert (tmp_path / "ledger.sqlite3").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "ledger.sqlite3"]


def test_migration_leads_an_old_ledger_forward_once(tmp_path):
    """A ledger of an older version gets the missing steps and keeps what it has; a failing step changes nothing."""
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger.open(path)
    ledger.begin_run(run_row())
    ledger.close()
    step = ("ALTER TABLE runs ADD COLUMN note TEXT", "UPDATE runs SET note = 'moved'")

    with pytest.raises(StateError):
        ledger_schema.open_ledger(path, migrations=(*ledger_schema.MIGRATIONS, (*step, "NO SQL")))
    for _ in range(2):
        ledger_schema.open_ledger(path, migrations=(*ledger_schema.MIGRATIONS, step)).close()

    with sqlite3.connect(path) as other:
        assert other.execute("SELECT id, note FROM runs").fetchall() == [("run-1", "moved")]
        assert other.execute("PRAGMA user_version").fetchone() == (len(ledger_schema.MIGRATIONS) + 1,)
    other.close()


def test_busy_ledger_is_named_as_such(tmp_path, monkeypatch):
    """When another process keeps the ledger for too long the message says that, and nothing is granted."""
    monkeypatch.setattr(ledger_schema, "_BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger.open(path)
    planned = execution("a")
    ledger.begin_run(run_row(), [planned])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StateError, match=r"kept it busy for 0\.05s; try again"):
        admit(ledger, planned)
    other.execute("ROLLBACK")
    other.execute("BEGIN")
    other.execute("SELECT * FROM runs").fetchall()
    with pytest.raises(StateError, match="kept it busy"):  # At the commit this time: a reader is in the way.
        admit(ledger, planned)
    other.close()
    assert isinstance(admit(ledger, planned)[0], Permit)
    ledger.close()


def test_open_of_an_empty_file_is_an_error(tmp_path):
    """A ledger of 0 bytes was cut off or replaced: it is not taken for a new one, by open or by open_copy."""
    path = tmp_path / "ledger.sqlite3"
    path.touch()
    (tmp_path / "copy").mkdir()

    for opening in (lambda: Ledger.open(path), lambda: Ledger.open_copy(path, tmp_path / "copy")):
        with pytest.raises(StateError) as caught:
            opening()
        assert str(caught.value) == (
            f"ledger {path} is empty: it was cut off or replaced; "
            "restore it from a backup; the audit log tells what was done since"
        )
    assert path.read_bytes() == b""


def test_open_of_an_empty_database_is_an_error(tmp_path):
    """A database without anything in it is no ledger: a new one has its tables from the start."""
    path = tmp_path / "ledger.sqlite3"
    with sqlite3.connect(path) as other:
        other.execute("VACUUM")
    other.close()

    with pytest.raises(StateError, match="no ledger of remedy"):
        Ledger.open(path)


def test_open_makes_the_ledger_at_once(tmp_path, monkeypatch):
    """A crash at any statement of the first opening leaves no ledger, never half of one, and the next one makes it."""
    path = tmp_path / "ledger.sqlite3"
    broken = (*ledger_schema.MIGRATIONS, ("NO SQL",))

    with pytest.raises(StateError, match=f"ledger {path} cannot be used"):
        ledger_schema.open_ledger(path, migrations=broken)
    left = list(tmp_path.iterdir())
    Ledger.open(path).close()

    assert left == []
    assert [found.name for found in tmp_path.iterdir()] == ["ledger.sqlite3"]


def test_first_openings_side_by_side_share_one_ledger(tmp_path):
    """Many that open a ledger that is not there yet all get the same one."""
    path = tmp_path / "ledger.sqlite3"

    def begin(number):
        ledger = Ledger.open(path)
        ledger.begin_run(run_row(f"run-{number}"))
        ledger.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(16)))

    ledger = Ledger.open(path)
    assert ledger.run_ids() == {f"run-{number}" for number in range(16)}
    ledger.close()


@pytest.mark.parametrize("kind", ["rubbish", "foreign", "broken page"])
def test_open_copy_names_the_ledger_in_one_line_with_the_cure(tmp_path, kind):
    """A damaged or foreign ledger is named by its own path, not by the copy's, in one line, with what to do."""
    path = tmp_path / "ledger.sqlite3"
    (tmp_path / "copy").mkdir()
    match kind:
        case "rubbish":
            path.write_bytes(b"not a database, and longer than a header " * 9)
        case "foreign":
            with sqlite3.connect(path) as other:
                other.execute("CREATE TABLE theirs (x)")
            other.close()
        case _:
            Ledger.open(path).close()
            raw = path.read_bytes()
            path.write_bytes(raw[: 2 * 4096] + b"\xff" * 4096 + raw[3 * 4096 :])

    with pytest.raises(StateError) as caught:
        Ledger.open_copy(path, tmp_path / "copy")

    said = str(caught.value)
    assert str(path) in said
    assert str(tmp_path / "copy") not in said
    assert "\n" not in said
    assert said.endswith("restore it from a backup; the audit log tells what was done since")


def test_ledger_that_is_a_directory_is_the_same_error_for_both(tmp_path):
    """A directory in the ledger's place has one message, for a dry run and for a real one."""
    path = tmp_path / "ledger.sqlite3"
    path.mkdir()
    (tmp_path / "copy").mkdir()

    with pytest.raises(StateError, match="it is no file; restore it") as by_open:
        Ledger.open(path)
    with pytest.raises(StateError) as by_copy:
        Ledger.open_copy(path, tmp_path / "copy")

    assert str(by_open.value) == str(by_copy.value)


@pytest.mark.parametrize(
    ("change", "ask"),
    [
        ("UPDATE executions SET outcome = 'mended'", lambda ledger: ledger.run("run-1")),
        ("UPDATE executions SET outcome = 'mended'", lambda ledger: ledger.attempts("low-disk", "web-1", ROOT)),
        (
            "UPDATE executions SET outcome = ''",
            lambda ledger: ledger.attempts_of([("low-disk", "web-1", ROOT)]),
        ),
        ("UPDATE executions SET outcome = 'mended'", lambda ledger: ledger.last_outcomes("low-disk")),
        (
            "UPDATE executions SET outcome = NULL, outcome_at = NULL, reason = NULL; UPDATE intents SET ending = 'x'",
            lambda ledger: ledger.open_intents(),
        ),
        ("UPDATE intents SET at = 'yesterday'", lambda ledger: ledger.attempts("low-disk", "web-1", ROOT)),
        ("UPDATE intents SET at = '2026-01-01'", lambda ledger: ledger.run("run-1")),
        ("UPDATE executions SET key = '[1]'", lambda ledger: ledger.run("run-1")),
        ("UPDATE runs SET started_at = ''", lambda ledger: ledger.runs(9)),
    ],
)
def test_odd_value_in_a_row_is_an_error_with_its_place(tmp_path, change, ask):
    """A word, time or key that remedy does not write (somebody edited the ledger) is a StateError, never a crash."""
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger.open(path)
    start(ledger, execution("a"))
    ledger.record_result("a", LATER, FixEnding.FINISHED, 0)
    ledger.record_outcome("a", LATER, Outcome.FIXED, run_id="run-1")
    ask(ledger)
    with sqlite3.connect(path) as other:
        other.executescript(change)
    other.close()

    with pytest.raises(
        StateError, match=r"has a value that remedy does not write: .*restore it from a backup"
    ) as caught:
        ask(ledger)
    ledger.close()

    assert str(caught.value).startswith(f"ledger {path} is damaged: ")
