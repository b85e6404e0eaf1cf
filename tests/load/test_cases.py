"""Cases of a rule: hosts, typed readings, a clock, the complete expectation."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remedy.errors import FilesError
from remedy.load import Repository, load_cases, load_repository
from remedy.load.cases import ExpectedVerdict, cases_of, read_tests
from remedy.model import Hold, Host, Mode, Platform, Reading, ReadingStatus
from tests.load.tables import BASE

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """The base repository, copied."""
    return load_repository(Path(shutil.copytree(BASE, tmp_path / "rules")))


def test_case_is_typed(repository: Repository) -> None:
    """A case has its clock in UTC, its hosts by name, readings of full typed rows, and keys of matching rows."""
    [case] = load_cases(Path(repository.root, "low-disk/tests.yaml"), repository, repository.rules["low-disk"])

    assert (case.name, case.now) == ("only nearly full volumes match", NOW)
    assert case.hosts == (Host(name="web-1", groups=("web",)), Host(name="web-2"), Host(name="web-3"))
    assert case.readings == (
        _read("web-1", {"mount": "/", "size_gib": None, "free_gib": 4.0, "free_percent": 3.0}),
        _read("web-2", {"mount": "/", "size_gib": None, "free_gib": 400.0, "free_percent": 60.0}),
        Reading(host="web-3", signal="disk", observed_at=NOW, status=ReadingStatus.FAILED, reason="timeout"),
    )
    assert isinstance(case.readings[0].rows[0]["free_gib"], float)
    expected = {name: (each.verdict.value, each.match, each.unknown) for name, each in case.expect.items()}
    assert expected == {
        "web-1": ("match", ((("mount", "/"),),), ()),
        "web-2": ("healthy", (), ()),
        "web-3": ("unknown", (), None),
    }
    assert (case.held, case.waves, case.fixed, case.mode, case.ignored) == (None, None, None, None, frozenset())
    assert (case.place.line, case.place.column) == (1, 3)


def _read(host: str, row: dict[str, str | float | None]) -> Reading:
    return Reading(host=host, signal="disk", observed_at=NOW, status=ReadingStatus.OK, rows=(row,))


def test_case_of_one_row_signal_expects_match(repository: Repository, tmp_path: Path) -> None:
    """A signal without a key has nothing to list: its match is the word alone; other readings are optional."""
    file = tmp_path / "tests.yaml"
    file.write_text(
        "- case: up for long\n"
        "  now: 2026-11-22T03:00:00Z\n"
        "  hosts:\n"
        "    a: {platform: windows, params: {disk: {mounts: [/srv]}}, readings: {reboot: [{uptime_days: 31}]}}\n"
        "    b: {readings: {reboot: {not_applicable: a container}}}\n"
        "    c: {readings: {reboot: {unreachable: no route}}}\n"
        "    d:\n"
        "      readings: {reboot: []}\n"
        "    e: {}\n"
        "  expect: {a: match, b: not_applicable, c: unknown, d: unknown, e: unknown}\n"
    )

    [case] = load_cases(file, repository, repository.rules["long-up"])

    assert (case.expect["a"].verdict, case.expect["a"].match) == (ExpectedVerdict.MATCH, ((),))
    assert case.hosts[0].platform is Platform.WINDOWS
    assert case.hosts[0].params == {"disk": {"mounts": ("/srv",)}}
    assert [(reading.host, reading.status.value, reading.reason) for reading in case.readings] == [
        ("a", "ok", ""),
        ("b", "not_applicable", "a container"),
        ("c", "unreachable", "no route"),
        ("d", "failed", "no row, and `rows: one` promises at least one"),
    ]


def test_missing_file_is_a_problem(repository: Repository, tmp_path: Path) -> None:
    """A tests.yaml that is not there is said, not taken for no cases."""
    with pytest.raises(FilesError, match="there is no such file"):
        load_cases(tmp_path / "tests.yaml", repository, repository.rules["low-disk"])


_HEAD = "- case: x\n  now: 2026-11-22T03:00:00Z\n"


def test_reading_may_be_raw_output_and_have_an_age(repository: Repository, tmp_path: Path) -> None:
    """Raw output is read as a host's would be, and an age or a time says when; whatever is odd is a failed reading."""
    file = tmp_path / "tests.yaml"
    file.write_text(
        f"{_HEAD}  hosts:\n"
        """    a: {readings: {disk: {output: "{\\"mount\\": \\"/\\", \\"free_gib\\": 4}\\n", age: 20m}}}\n"""
        """    b: {readings: {disk: {output: "", exit_code: 1, stderr: "first\\nlast", observed_at: 2026-11-22T02:00:00Z}}}\n"""  # noqa: E501 - one host a line
        """    c: {readings: {disk: {output: "{\\"mount\\": \\"/\\"}", ending: lost}}}\n"""
        """    d: {readings: {disk: {output: "{\\"not_applicable\\": \\"a toaster\\"}"}}}\n"""
        """    e: {readings: {disk: {rows: [{mount: /}], age: 0s}}}\n"""
        "  expect: {a: unknown, b: unknown, c: unknown, d: not_applicable, e: unknown}\n"
    )

    [case] = load_cases(file, repository, repository.rules["low-disk"])

    read = [(each.status.value, each.reason, len(each.rows)) for each in case.readings]
    assert read == [
        ("ok", "", 1),
        ("failed", "exit code 1: last", 0),
        ("failed", "the end of the collector was not seen", 0),
        ("not_applicable", "a toaster", 0),
        ("ok", "", 1),
    ]
    assert [(NOW - each.observed_at).total_seconds() for each in case.readings] == [1200, 3600, 0, 0, 0]
    assert case.readings[0].rows == ({"mount": "/", "free_gib": 4.0},)


def test_case_may_expect_holds_waves_and_rows_that_are_fixed(repository: Repository, tmp_path: Path) -> None:
    """Holds are by host or by row, waves are sets of hosts, `fixed` has rows; empty is not the same as absent."""
    file = tmp_path / "tests.yaml"
    file.write_text(
        f"{_HEAD}  mode: fix\n  hosts: {{a: {{}}, b: {{}}, c: {{}}}}\n  ignored: [c]\n"
        "  expect: {a: {unknown: no reading}, b: {unknown: [{mount: /srv}, {mount: /}]}}\n"
        "  held: {a: observe_only, b: {exempt: [{mount: /}]}}\n"
        "  waves: []\n"
        "  fixed: {a: [{mount: /}]}\n"
    )

    [case] = load_cases(file, repository, repository.rules["low-disk"])

    root = (("mount", "/"),)
    assert case.held == {"a": Hold.OBSERVE_ONLY, "b": {root: Hold.EXEMPT}}
    assert (case.waves, case.fixed) == ((), {"a": frozenset([root])})
    assert (case.mode, case.ignored) == (Mode.FIX, frozenset("c"))
    assert (case.expect["a"].reason, case.expect["a"].unknown) == ("no reading", None)
    assert case.expect["b"].unknown == (root, (("mount", "/srv"),))


def test_entry_with_fix_is_none_of_the_condition(repository: Repository, tmp_path: Path) -> None:
    """An entry with the key `fix` is no case of the condition, and its place in the file still counts."""
    file = tmp_path / "tests.yaml"
    file.write_text("- fix: x\n" + _HEAD.replace("x", "y") + "  hosts: {a: {}}\n  expect: {a: unknown, b: unknown}\n")

    document, _ = read_tests(file)
    cases = cases_of(document, repository, repository.rules["low-disk"])

    assert [case.name for case in cases] == ["y"]
    assert [str(problem.place.line) for problem in document.problems if "`b`" in problem.message] == ["5"]
