"""Cases of a rule: hosts, typed readings, a clock, the complete expectation."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remedy.errors import FilesError
from remedy.load import Repository, load_cases, load_repository
from remedy.model import Host, Platform, Reading, ReadingStatus, Verdict
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
    assert case.expect == {
        "web-1": ((("mount", "/"),),),
        "web-2": Verdict.HEALTHY,
        "web-3": Verdict.UNKNOWN,
    }
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

    assert case.expect["a"] is Verdict.MATCH
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
