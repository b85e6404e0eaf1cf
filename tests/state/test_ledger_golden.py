"""Ledgers that earlier releases wrote: every one of them opens today and says what it said then."""

import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from remedy.holds import Pause, PauseOf
from remedy.model import Outcome
from remedy.port import FixEnding
from remedy.state import ledger_schema
from remedy.state.ledger import Ledger
from tests.state.builders import NOW, ROOT, asked, by_gate, execution, run_row, unsynced

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("ledger-v*.sqlite3"))
VERSIONS = range(1, len(ledger_schema.MIGRATIONS) + 1)


@pytest.fixture
def opened(tmp_path):
    """Give a way to open a copy of the golden file of a version with today's code."""
    ledgers = []

    def open_version(version):
        path = tmp_path / f"{version}.sqlite3"
        shutil.copyfile(GOLDEN / f"ledger-v{version}.sqlite3", path)
        ledgers.append(Ledger.open(path))
        return ledgers[-1]

    yield open_version
    for ledger in ledgers:
        ledger.close()


def schema(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()


def version_of(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def at(minutes):
    return NOW + timedelta(minutes=minutes)


def test_every_version_of_the_ledger_has_its_golden_file():
    """There is one golden file for each version, and each is of the version that its name says."""
    assert [path.name for path in FILES] == [f"ledger-v{version}.sqlite3" for version in VERSIONS]
    assert [version_of(path) for path in FILES] == list(VERSIONS)


def test_newest_golden_file_has_exactly_the_tables_of_a_new_ledger(tmp_path):
    """Nothing was changed in a version after its golden file was made."""
    Ledger.open(tmp_path / "new.sqlite3").close()

    assert schema(FILES[-1]) == schema(tmp_path / "new.sqlite3")


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_ledger_is_led_to_the_tables_of_a_new_one(opened, tmp_path, version):
    """A ledger of any version has, once opened, the very tables, indexes and version of a new one."""
    Ledger.open(tmp_path / "new.sqlite3").close()
    opened(version)

    assert schema(tmp_path / f"{version}.sqlite3") == schema(tmp_path / "new.sqlite3")
    assert version_of(tmp_path / f"{version}.sqlite3") == len(ledger_schema.MIGRATIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_ledger_knows_its_runs(opened, version):
    """Runs with their ends, the newest first; the one that died has none."""
    runs = opened(version).runs(9)

    ends = [(each.run.id, each.ended_at, each.exit_code) for each in runs]
    assert ends == [("run-4", None, None), ("run-3", at(-30), 3), ("run-2", at(60), 3), ("run-1", at(4), 3)]
    assert runs[-1].run == run_row("run-1")


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_ledger_knows_every_outcome_and_result(opened, version):
    """Each outcome with its reason, each result with its exit code, what was started, and what never ended."""
    rows = {each.execution_id: each for each in opened(version).run("run-1").executions}

    for outcome in Outcome:
        row = rows[f"one-{outcome.value}"]
        assert (row.rule, row.host, row.key) == ("low-disk", f"host-{outcome.value}", ROOT)
        assert (row.outcome, row.outcome_at, row.reason) == (outcome, at(2), f"because {outcome.value}")
        assert row.started_at == (None if outcome in {Outcome.SKIPPED, Outcome.UNREACHABLE} else NOW)
    results = {
        word: (rows[f"one-{word}"].ending, rows[f"one-{word}"].exit_code) for word in ("fixed", "failed", "lost")
    }
    assert results == {"fixed": (FixEnding.FINISHED, 0), "failed": (FixEnding.FINISHED, 7), "lost": (None, None)}
    assert rows["one-refused"].ending is FixEnding.REFUSED
    assert (rows["one-pending"].started_at, rows["one-pending"].outcome) == (None, None)


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_ledger_knows_attempts_and_releases(opened, version):
    """An attempt before a release is forgotten, one after it is not, though its clock was behind."""
    (attempt,) = opened(version).attempts("low-disk", "host-twice", ROOT)

    assert (attempt.execution_id, attempt.run_id, attempt.at) == ("two-2", "run-3", at(-30))
    assert attempt.outcome is Outcome.NOT_FIXED


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_ledger_knows_what_is_open(opened, version):
    """Open intents with what they close as, open breakers, and how the last attempts ended."""
    ledger = opened(version)
    left = [(each.intent.execution_id, each.intent.boot_id, each.closes_as) for each in ledger.open_intents()]

    assert left == [("four-open", "boot-1", Outcome.LOST), ("four-result", "boot-1", Outcome.UNVERIFIED)]
    assert list(ledger.breakers()) == ["low-disk"]
    assert "2 bad hosts" in ledger.breakers()["low-disk"]
    last = {"host-open": Outcome.LOST, "host-result": Outcome.UNVERIFIED}
    assert ledger.last_outcomes("low-inodes") == last
    assert ledger.last_outcomes("low-disk")["host-twice"] is Outcome.NOT_FIXED


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_ledger_goes_on(opened, version):
    """Today's run is admitted or refused by what the old ledger says: its busy host, its breaker."""
    ledger = opened(version)
    planned = [
        execution("x1", host="host-open", rule="other"),
        execution("x2", host="web-9"),
        execution("x3", host="web-9", rule="other"),
    ]
    ledger.begin_run(run_row("run-9", at=at(100)), planned)
    pairs = [asked(each, run_id="run-9", at=at(100)) for each in planned]
    answers = ledger.admit(pairs, decide=by_gate, sync_intents=unsynced)

    skips = [getattr(answer, "skip", None) for answer in answers]
    assert skips[:2] == ["host_busy", "breaker"]
    # In version 2 a person has paused everything until minute 90, and a rule: this one is free again.
    assert skips[2] is None


def test_golden_ledger_before_version_2_has_no_pauses(opened):
    """What version 2 brought is empty in a ledger that comes from version 1, and can be used."""
    ledger = opened(1)
    before = ledger.pauses()
    found = {each.reconciled for each in ledger.run("run-1").executions}
    made = Pause(of=PauseOf.HOST, name="web-1", reason="r", actor="bob", at=NOW, until=None)
    ledger.pause(made)

    assert before == ()
    assert found == {""}
    assert ledger.pauses() == (made,)


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_golden_ledger_from_version_2_knows_pauses(opened, version):
    """Pauses that nobody ended, with their reasons, replaced ones left out."""
    common = {"actor": "bob", "until": None}

    assert opened(version).pauses() == (
        Pause(of=PauseOf.ALL, name="", reason="migration", at=at(80), actor="bob", until=at(90)),
        Pause(of=PauseOf.RULE, name="low-disk", reason="migration", at=at(80), **common),
        Pause(of=PauseOf.GROUP, name="web", reason="second", at=at(81), **common),
    )


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_golden_ledger_from_version_2_knows_reconciliations(opened, version):
    """The last word of each host's marker, and which attempt counts as reconciled."""
    ledger = opened(version)
    found = {each.execution_id: each.reconciled for run in ("run-1", "run-4") for each in ledger.run(run).executions}
    lost, open_one = (
        ledger.attempts(rule, host, ROOT)[0] for rule, host in (("low-disk", "host-lost"), ("low-inodes", "host-open"))
    )

    assert {each: word for each, word in found.items() if word} == {"one-lost": "finished", "four-open": "odd"}
    assert (lost.is_reconciled, lost.outcome) == (True, Outcome.LOST)
    assert not open_one.is_reconciled
