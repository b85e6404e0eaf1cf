"""The newest readings of each host and signal, kept over scans."""

import errno
from datetime import timedelta

import pytest

from remedy.errors import Place, StateError
from remedy.model import Column, ColumnType, Reading, ReadingStatus, RowPromise, Signal
from remedy.state.disk import Disk
from remedy.state.readings_store import store_readings, stored_readings
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
