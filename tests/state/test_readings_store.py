"""The newest readings of each host and signal, kept over scans."""

import contextlib
import errno
import os
from dataclasses import replace
from datetime import timedelta

import pytest

from remedy.errors import Place, StateError
from remedy.model import Column, ColumnType, Reading, ReadingStatus, RowPromise, Signal
from remedy.state import readings_store
from remedy.state.disk import Disk
from remedy.state.readings_store import store_readings, stored_hosts, stored_readings
from tests.state.builders import NOW, FailingDisk


def signal(name: str) -> Signal:
    return Signal(
        name=name,
        title=name,
        key=("mount",),
        rows=RowPromise.SOME,
        columns={"mount": Column(type=ColumnType.TEXT), "free": Column(type=ColumnType.NUMBER)},
        params={},
        collect={},
        max_age_s=900,
        digest=f"digest of {name}",
        place=Place(file="signal.yaml"),
    )


SIGNALS = {name: signal(name) for name in ("disk", "inodes")}
DIGESTS = {name: each.digest for name, each in SIGNALS.items()}


def reading(host, name="disk", *, minutes=0, free=4.0, text="/"):
    return Reading(
        host=host,
        signal=name,
        observed_at=NOW + timedelta(minutes=minutes),
        status=ReadingStatus.OK,
        rows=({"mount": text, "free": free},),
    )


def store(path, *readings, minutes=0, digests=None, **arguments):
    at = NOW + timedelta(minutes=minutes)
    store_readings(path, readings, collected_at=at, digests=DIGESTS if digests is None else digests, **arguments)


def test_nothing_stored_is_none(tmp_path):
    """Before the first scan there are no stored readings, which is no error."""
    assert stored_readings(tmp_path / "readings.jsonl", SIGNALS) is None


def test_stored_readings_are_the_newest_of_each_host_and_signal(tmp_path):
    """A later scan replaces what it saw anew, keeps the rest, and an older one that comes late changes nothing."""
    path = tmp_path / "readings.jsonl"
    store(path, reading("web-1"), reading("web-2"), reading("web-1", "inodes"))
    store(path, reading("web-2", minutes=9, free=8.0), minutes=9)
    store(path, reading("web-2", minutes=5, free=1.0), minutes=5)

    stored = stored_readings(path, SIGNALS)

    assert stored.readings == (reading("web-1"), reading("web-1", "inodes"), reading("web-2", minutes=9, free=8.0))
    assert stored.collected_at == NOW + timedelta(minutes=9)
    assert stored.digests == DIGESTS
    assert path.stat().st_mode & 0o777 == 0o600


def test_failed_reading_replaces_an_older_good_one(tmp_path):
    """The newest is what counts, also when it says that nothing could be read."""
    path = tmp_path / "readings.jsonl"
    failed = Reading(
        host="web-1",
        signal="disk",
        observed_at=NOW + timedelta(minutes=1),
        status=ReadingStatus.FAILED,
        reason="timeout",
    )
    store(path, reading("web-1"))
    store(path, failed)

    assert stored_readings(path, SIGNALS).readings == (failed,)


def test_readings_of_a_changed_signal_are_dropped(tmp_path):
    """What another version of a signal's collector said is not kept under the new one's digest."""
    path = tmp_path / "readings.jsonl"
    store(path, reading("web-1"), reading("web-2"), reading("web-1", "inodes"))
    store(path, reading("web-1", minutes=1), digests={"disk": "new"})

    stored = stored_readings(path, SIGNALS)

    assert stored.readings == (reading("web-1", minutes=1), reading("web-1", "inodes"))
    assert stored.digests == {"disk": "new", "inodes": DIGESTS["inodes"]}


def test_text_with_line_separators_survives(tmp_path):
    """Only a newline ends a line: a reason with U+2028 or U+0085 in it stays one line, and is shown harmless."""
    path = tmp_path / "readings.jsonl"
    odd = Reading(
        host="web-1", signal="disk", observed_at=NOW, status=ReadingStatus.FAILED, reason="a\u2028b\x85c\x0bd"
    )
    store(path, odd)
    store(path, reading("web-2"))

    assert [each.reason for each in stored_readings(path, SIGNALS).readings] == ["a\\u2028b\\x85c\\x0bd", ""]


@pytest.mark.parametrize(
    "raw", [b"", b"{}\n", b"x\n", b"\xff\n", b'{"readings": 1, "collected_at": "2026-11-22", "signals": {}}\n']
)
def test_damaged_store_is_named_with_its_cure(tmp_path, raw):
    """A file that is no readings file is an error that says what to do, and is left as it is."""
    path = tmp_path / "readings.jsonl"
    path.write_bytes(raw)

    with pytest.raises(StateError, match="remove the file"):
        store(path, reading("web-1"))
    assert path.read_bytes() == raw


def test_failing_disk_leaves_the_file_as_it_was(tmp_path):
    """Fail the N-th write or sync: the file is the old one or the new one, never a part."""
    path = tmp_path / "readings.jsonl"
    store(path, reading("web-1"))
    old = path.read_bytes()

    for number in (1, 2):
        with pytest.raises(StateError, match="cannot be written"):
            store(path, reading("web-2"), disk=FailingDisk(fail_at=number).disk)
        assert path.read_bytes() == old
    store(path, reading("web-2"))
    assert len(stored_readings(path, SIGNALS).readings) == 2


def test_unwritable_folder_is_an_error(tmp_path):
    """A store in a missing folder is an error, not silence."""

    def fail(_descriptor):
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(StateError, match="No such file"):
        store(tmp_path / "gone" / "readings.jsonl", reading("web-1"))
    with pytest.raises(StateError, match="Input/output error"):
        store(tmp_path / "readings.jsonl", reading("web-1"), disk=Disk(fsync=fail))


def gone(host="web-1", name="disk", *, minutes, status=ReadingStatus.UNREACHABLE):
    return Reading(
        host=host, signal=name, observed_at=NOW + timedelta(minutes=minutes), status=status, reason="no answer"
    )


def test_what_was_said_last_is_kept_when_the_host_is_gone(tmp_path):
    """However often a host is not reached, what it said before that is kept, and the newest try beside it."""
    path = tmp_path / "readings.jsonl"
    store(path, reading("web-1"), reading("web-2"), reading("web-1", "inodes"))
    store(path, gone(minutes=1))
    store(path, gone(minutes=2, status=ReadingStatus.REFUSED))

    kept = stored_hosts(path).of(["web-1"], SIGNALS)

    assert sorted(kept.said, key=lambda each: each.signal) == [reading("web-1"), reading("web-1", "inodes")]
    assert kept.tried == (gone(minutes=2, status=ReadingStatus.REFUSED),)
    assert kept.digests == DIGESTS
    assert stored_hosts(path).names == {"web-1", "web-2"}


def test_host_that_is_back_has_one_reading(tmp_path):
    """As soon as a host says something again, what it said before is forgotten."""
    path = tmp_path / "readings.jsonl"
    store(path, reading("web-1"))
    store(path, gone(minutes=1))
    store(path, reading("web-1", minutes=2, free=9.0))

    kept = stored_hosts(path).of(["web-1"], SIGNALS)

    assert kept.said == (reading("web-1", minutes=2, free=9.0),)
    assert kept.tried == ()


def test_late_reading_is_kept_behind_a_newer_try(tmp_path):
    """A reading that is stored after a newer try that came to nothing is what was said before it."""
    path = tmp_path / "readings.jsonl"
    store(path, gone(minutes=5))
    store(path, reading("web-1", minutes=3, free=3.0))
    store(path, reading("web-1", minutes=1, free=1.0))

    kept = stored_hosts(path).of(["web-1"], SIGNALS)

    assert kept.said == (reading("web-1", minutes=3, free=3.0),)
    assert kept.tried == (gone(minutes=5),)


def test_changed_signal_drops_what_was_said_before_too(tmp_path):
    """What another version of a collector said is kept in neither file."""
    path = tmp_path / "readings.jsonl"
    store(path, reading("web-1"))
    store(path, gone(minutes=1))
    store(path, gone(minutes=2), digests={"disk": "new"})

    kept = stored_hosts(path).of(["web-1"], None)

    assert kept.said == ()
    assert kept.tried == (gone(minutes=2),)


def test_rows_are_had_without_signals_and_checked_with_them(tmp_path):
    """Without rules the rows are as they were stored; with them, one that no longer fits its signal is no reading."""
    path = tmp_path / "readings.jsonl"
    store(path, reading("web-1"))
    other = dict.fromkeys(["disk"], replace(SIGNALS["disk"], columns={"mount": Column(type=ColumnType.TEXT)}))

    assert stored_hosts(path).of(["web-1"], None).said == (reading("web-1"),)
    assert stored_hosts(path).of(["web-1"], other).said == ()
    assert stored_hosts(path).of(["web-1"], other).tried[0].status is ReadingStatus.FAILED


def test_nothing_stored_of_hosts_is_none_and_damage_is_an_error(tmp_path):
    """No file is none; a damaged second file is an error as the first would be, and never none."""
    path = tmp_path / "readings.jsonl"
    nothing = stored_hosts(path)
    store(path, reading("web-1"))
    (tmp_path / "readings-before.jsonl").write_text("x\n")

    assert nothing is None
    with pytest.raises(StateError, match="remove the file"):
        stored_hosts(path)
    with pytest.raises(StateError, match="remove the file"):
        store(path, reading("web-1", minutes=1))


def test_failing_disk_loses_nothing_that_was_said(tmp_path):
    """Fail the N-th write or sync while a host goes: what it said stays readable each time."""
    path = tmp_path / "readings.jsonl"
    store(path, reading("web-1"))

    for number in range(1, 7):
        disk = FailingDisk(fail_at=number)
        try:
            store(path, gone(minutes=number), disk=disk.disk)
        except StateError:
            pass
        else:
            assert disk.calls < number
        assert reading("web-1") in stored_hosts(path).of(["web-1"], SIGNALS).said


@pytest.mark.parametrize(("mode", "expected"), [(0o700, 0o600), (0o750, 0o600), (0o2750, 0o640), (0o2700, 0o600)])
def test_group_may_read_only_what_is_in_a_shared_directory(tmp_path, mode, expected):
    """The files are the owner's alone, unless the directory is group-readable and set-group-ID, whatever the umask."""
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(mode)
    before = os.umask(0o077)
    try:
        store(folder / "readings.jsonl", reading("web-1"))
        store(folder / "readings.jsonl", gone(minutes=1))
    finally:
        os.umask(before)

    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.jsonl")} == {expected}
    assert (folder / "readings.jsonl.lock").stat().st_mode & 0o777 == 0o600


def _storing_before_the_second_file(monkeypatch, path, stores):
    """Make a reader meet stores between its two files: one list of readings for each time it reads them."""
    read = readings_store._read

    def interleaved(file):
        if file != path and stores:
            minutes, *each = stores.pop(0)
            with monkeypatch.context() as patch:
                patch.setattr(readings_store, "_read", read)
                for one in each:
                    store(path, one, minutes=minutes)
        return read(file)

    monkeypatch.setattr(readings_store, "_read", interleaved)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_reader_loses_nothing_to_stores_between_its_two_files(tmp_path, monkeypatch, count):
    """A host that is back, gone, and back while its readings are read has said something in what is read."""
    path = tmp_path / "readings.jsonl"
    store(path, reading("web-1"))
    store(path, gone(minutes=1))
    news = [reading("web-1", minutes=2, free=9.0), gone(minutes=3), reading("web-1", minutes=4, free=8.0)]
    _storing_before_the_second_file(monkeypatch, path, [(4, *news[:count])])

    kept = stored_hosts(path).of(["web-1"], SIGNALS)

    assert kept.said == ((reading("web-1", minutes=4, free=8.0) if count == 3 else news[0]),)
    assert kept.tried == ((news[1],) if count == 2 else ())


def test_reader_meets_a_store_that_is_half_written(tmp_path):
    """Between the second file and the first of a store, as after a run that died there, nothing said is lost."""
    path = tmp_path / "readings.jsonl"
    store(path, reading("web-1"))
    store(path, gone(minutes=1))

    for number in range(1, 7):
        disk = FailingDisk(fail_at=number)
        with contextlib.suppress(StateError):
            store(path, reading("web-1", minutes=2, free=9.0), disk=disk.disk)
        [said] = stored_hosts(path).of(["web-1"], SIGNALS).said
        assert said in (reading("web-1"), reading("web-1", minutes=2, free=9.0))


def test_files_that_never_rest_are_an_error(tmp_path, monkeypatch):
    """A reader that meets a store each time says so in the end, and shows no mixture."""
    path = tmp_path / "readings.jsonl"
    store(path, reading("web-1"))
    _storing_before_the_second_file(monkeypatch, path, [(each, gone(minutes=each)) for each in range(1, 30)])

    with pytest.raises(StateError, match="replaced again and again; try again"):
        stored_hosts(path)
