"""The freezes of remedy.yaml, seen again while a run goes on; and time zones on machines without data."""

import os
import sys
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.errors import FilesError, RemedyError, UsageError
from remedy.load import FreezesNow, load_config, read_safeguards
from remedy.load import safeguards as module

_FREEZE = "{{from: 2026-12-{day:02d}T00:00, to: 2027-01-02T06:00, zone: Europe/Berlin, reason: x}}"


def _text(*days: int) -> str:
    return f"freezes: [{', '.join(_FREEZE.format(day=day) for day in days)}]\n"


def _days(freezes: FreezesNow) -> list[int]:
    return [(freeze.start.day + 1) for freeze in freezes.read()]  # They start at 23:00Z of the day before.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A remedy.yaml with one freeze."""
    file = tmp_path / "remedy.yaml"
    file.write_text(_text(10))
    return file


def test_freeze_that_is_added_is_seen(file: Path) -> None:
    """A freeze written while a run goes on holds from the next look, and one that is taken away no longer does."""
    freezes = FreezesNow([file])
    seen = [_days(freezes)]
    for days in ((10, 11), (11,), ()):
        file.write_text(_text(*days))
        seen.append(_days(freezes))

    assert seen == [[10], [10, 11], [11], []]


def test_replaced_file_is_seen_whatever_its_time_and_size(file: Path) -> None:
    """A file put in place of the other with the same size and times is another file."""
    freezes = FreezesNow([file])
    before, status = _days(freezes), file.stat()
    other = file.with_name("other")
    other.write_text(_text(11))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)

    assert before == [10]
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert _days(freezes) == [11]


def test_file_is_read_again_only_when_it_changed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at an unchanged file opens nothing: it is done before every single fix."""
    read = module.read_settings_file
    opened = []
    monkeypatch.setattr(module, "read_settings_file", lambda path: (opened.append(path), read(path))[1])
    freezes = FreezesNow([file])
    for _ in range(3):
        freezes.read()
    once = list(opened)
    file.write_text(_text(11))
    freezes.read()

    assert once == [file]
    assert opened == [file, file]


def _remove(file: Path) -> None:
    file.unlink()


def _replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _break_link(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.with_name("gone"))


def _break_form(file: Path) -> None:
    file.write_text("freezes: [{from: 2026-12-10T00:00")


def _break_other_key(file: Path) -> None:
    file.write_text(_text(10) + "rules: [a]\n")


def _unknown_zone(file: Path) -> None:
    file.write_text(_text(10).replace("Berlin", "Bern1"))


def _empty(file: Path) -> None:
    file.write_text("")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_remove, "is gone, and it may hold freezes"),
        (_replace_by_folder, "is no regular file"),
        (_break_link, "is a link that leads nowhere"),
        (_break_form, "remedy.yaml:"),
        (_break_other_key, "rules: must be text"),
        (_unknown_zone, "there is no time zone"),
        (_empty, "is empty and was not"),
    ],
)
def test_freezes_that_cannot_be_known_raise_until_they_can(file: Path, change: object, message: str) -> None:
    """A file gone, unreadable, wrong or emptied is an error at every look, not the old freezes nor none."""
    freezes = FreezesNow([file])
    freezes.read()
    assert callable(change)
    change(file)

    for _ in range(2):
        with pytest.raises(RemedyError, match=message):
            freezes.read()
    if file.is_dir():
        file.rmdir()
    file.unlink(missing_ok=True)
    file.write_text(_text(12))
    assert _days(freezes) == [12]


def test_file_gone_before_the_first_look_is_missed(file: Path) -> None:
    """A file that was read at the start and is gone at the first look is an error as well."""
    freezes = FreezesNow([file])
    file.unlink()

    with pytest.raises(UsageError, match="is gone"):
        freezes.read()


def test_file_that_appears_is_read_from_then_on(file: Path, tmp_path: Path) -> None:
    """A freeze in the system's file that nobody had at the start holds when it appears; then it must stay."""
    system = tmp_path / "system.yaml"
    freezes = FreezesNow([file], may_appear=[system])
    seen = [_days(freezes)]
    system.write_text(_text(11))
    seen.append(_days(freezes))
    system.unlink()

    assert seen == [[10], [10, 11]]
    with pytest.raises(UsageError, match=r"system\.yaml is gone"):
        freezes.read()


def test_file_that_was_empty_from_the_start_is_fine(tmp_path: Path) -> None:
    """An empty remedy.yaml only marks the top of a repository: no freezes, and no error."""
    file = tmp_path / "remedy.yaml"
    file.write_text("")
    freezes = FreezesNow([file])

    assert freezes.read() == ()
    assert freezes.read() == ()


def test_freezes_now_are_those_of_the_configuration(file: Path, tmp_path: Path) -> None:
    """The files that a configuration names give, read again, the safeguards that it has."""
    system = tmp_path / "system.yaml"
    system.write_text(_text(11) + "protected: dc\nbudgets: {all: 3/1h}\n")
    config = load_config(tmp_path, environment={}, system_file=system)

    assert read_safeguards(config.safeguard_files) == config.safeguards
    assert FreezesNow(config.safeguard_files).read() == config.safeguards.freezes
    assert len(config.safeguards.freezes) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file_is_an_error(file: Path) -> None:
    """A file that may no longer be read is an error."""
    freezes = FreezesNow([file])
    freezes.read()
    file.chmod(0)

    with pytest.raises(RemedyError, match="cannot be read"):
        freezes.read()


@pytest.fixture
def _no_zone_data(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without data on time zones."""
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()


@pytest.mark.usefixtures("_no_zone_data")
def test_machine_without_zone_data_is_told_what_to_install(file: Path) -> None:
    """Without data no zone is known, and the message says what is missing, not that the name is wrong."""
    with pytest.raises(FilesError, match=r"has no data on time zones.*install tzdata"):
        read_safeguards([file])


@pytest.mark.usefixtures("_no_zone_data")
def test_utc_needs_no_zone_data(file: Path) -> None:
    """UTC is known everywhere."""
    file.write_text(_text(10).replace("Europe/Berlin", "UTC"))

    assert len(read_safeguards([file]).freezes) == 1
