"""Bytes kept by their digest are durable, private, and read back as they were or not at all."""

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remedy.errors import StateError
from remedy.state.disk import Disk
from remedy.state.kept import Kept

RAW = b"removed 12 files\n" * 100
DIGEST = sha256(RAW).hexdigest()


class CountingDisk:
    """A real disk that counts its calls, and whose N-th one fails (0: none); a failing write leaves half behind."""

    def __init__(self, fail_at: int = 0) -> None:
        self.calls = 0
        self._fail_at = fail_at
        self.disk = Disk(write=self._write, fsync=self._fsync)

    def _fails(self) -> bool:
        self.calls += 1
        return self.calls == self._fail_at

    def _write(self, descriptor: int, data: bytes) -> int:
        if self._fails():
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(descriptor, data)

    def _fsync(self, descriptor: int) -> None:
        if self._fails():
            raise OSError(errno.EIO, "Input/output error")
        os.fsync(descriptor)


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_kept_bytes_are_private(tmp_path):
    """The folder is made when the first bytes come, and both are for their owner only."""
    kept = Kept(tmp_path / "outputs")
    untouched = not (tmp_path / "outputs").exists()
    digest = kept.keep(RAW)

    path = tmp_path / "outputs" / DIGEST
    assert (untouched, digest, path.read_bytes()) == (True, DIGEST, RAW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert names_in(path.parent) == [DIGEST]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=2_000))
def test_any_bytes_are_read_back(tmp_path, raw):
    """Whatever is kept is read back, by another one too."""
    digest = Kept(tmp_path / "outputs").keep(raw)

    assert Kept(tmp_path / "outputs").read(digest) == raw


def test_same_bytes_are_written_once(tmp_path):
    """Keeping the same again does nothing, and by another process only makes sure that its name is durable."""
    first = CountingDisk()
    kept = Kept(tmp_path, disk=first.disk)
    kept.keep(RAW)
    calls, inode = first.calls, (tmp_path / DIGEST).stat().st_ino
    kept.keep(RAW)
    other = CountingDisk()
    Kept(tmp_path, disk=other.disk).keep(RAW)

    assert (first.calls, other.calls) == (calls, 1)
    assert (tmp_path / DIGEST).stat().st_ino == inode


def test_cut_file_is_replaced(tmp_path):
    """A file that was cut is written again when its bytes come again."""
    (tmp_path / DIGEST).write_bytes(RAW[:7])

    Kept(tmp_path).keep(RAW)
    assert Kept(tmp_path).read(DIGEST) == RAW


def test_every_failing_call_leaves_nothing_half_done(tmp_path):
    """Whichever call fails, the caller is told, no file has wrong bytes under a digest, and the next try works."""
    counting = CountingDisk()
    Kept(tmp_path / "all", disk=counting.disk).keep(RAW)
    for fail_at in range(1, counting.calls + 1):
        directory = tmp_path / str(fail_at)
        kept = Kept(directory, disk=CountingDisk(fail_at).disk)
        with pytest.raises(StateError, match=r"cannot be written: (No space|Input/output)"):
            kept.keep(RAW)

        left = names_in(directory)
        assert left in ([], [DIGEST])
        assert not left or (directory / DIGEST).read_bytes() == RAW
        assert kept.read(kept.keep(RAW)) == RAW
    assert counting.calls == 4


def test_bytes_are_durable_before_their_name_is(tmp_path):
    """The file is synced under another name; its own exists only then, and the folder is synced after that."""
    seen: list[tuple[str, bool]] = []

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        what = "folder" if stat.S_ISDIR(found.st_mode) else "file"
        seen.append((what, (tmp_path / DIGEST).exists()))

    Kept(tmp_path, disk=Disk(fsync=fsync)).keep(RAW)
    assert seen == [("file", False), ("folder", True)]


def test_changed_bytes_are_not_read(tmp_path):
    """Bytes that were changed are refused, missing ones too, and both say why."""
    kept = Kept(tmp_path)
    kept.keep(RAW)
    (tmp_path / DIGEST).write_bytes(RAW.replace(b"12", b"13"))

    with pytest.raises(StateError, match="was changed"):
        kept.read(DIGEST)
    (tmp_path / DIGEST).unlink()
    with pytest.raises(StateError, match="never kept, or were removed since"):
        kept.read(DIGEST)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", DIGEST.upper(), DIGEST + "\n", DIGEST[1:]])
def test_what_is_no_digest_is_refused(tmp_path, name):
    """A name cannot lead out of the folder."""
    with pytest.raises(StateError, match="is no SHA-256"):
        Kept(tmp_path).read(name)


def test_threads_keep_the_same_at_once(tmp_path):
    """Many threads that keep the same bytes leave one whole file."""
    with ThreadPoolExecutor(max_workers=8) as threads:
        digests = set(threads.map(lambda _number: Kept(tmp_path / "outputs").keep(RAW), range(64)))

    assert digests == {DIGEST}
    assert names_in(tmp_path / "outputs") == [DIGEST]
