"""The reserve holds real room on the disk, and gives it up once."""

import errno
import os
import stat
import zlib

import pytest

from remedy.errors import StateError
from remedy.state.disk import Disk
from remedy.state.reserve import RESERVE_BYTES, Reserve, is_full_disk

SIZE = 64 * 1024


def test_reserve_takes_real_room(tmp_path):
    """A reserve has as many bytes in blocks as it promises, readable by its owner only."""
    path = tmp_path / "reserve"
    Reserve.create(path)

    found = path.stat()
    assert (found.st_size, stat.S_IMODE(found.st_mode)) == (RESERVE_BYTES, 0o600)
    assert found.st_blocks * 512 >= RESERVE_BYTES


def test_reserve_cannot_be_compressed(tmp_path):
    """A file system that compresses must still set the room aside."""
    path = tmp_path / "reserve"
    Reserve.create(path, SIZE)

    assert len(zlib.compress(path.read_bytes(), 9)) > 0.99 * SIZE


def test_sparse_or_short_reserve_is_filled(tmp_path):
    """A file that only looks as long as a reserve, or was cut, gets its bytes."""
    path = tmp_path / "reserve"
    Reserve.create(path, SIZE)
    good = path.read_bytes()
    for length in (0, SIZE // 2):
        os.truncate(path, length)
        os.truncate(path, SIZE if length == 0 else length)
        Reserve.create(path, SIZE)

        assert path.read_bytes() == good


def test_whole_reserve_is_not_written_again(tmp_path):
    """A second run finds the reserve of the first and writes nothing."""
    path = tmp_path / "reserve"
    Reserve.create(path, SIZE)
    written: list[int] = []

    def write(descriptor: int, data: bytes) -> int:
        written.append(len(data))
        return os.write(descriptor, data)

    Reserve.create(path, SIZE, disk=Disk(write=write))
    assert written == []
    Reserve.create(path, SIZE + 1, disk=Disk(write=write))
    assert sum(written) == SIZE + 1


def test_reserve_is_freed_once(tmp_path):
    """Of two runs that share a reserve one frees it; the other is told that it is gone."""
    path = tmp_path / "reserve"
    one, other = Reserve.create(path, SIZE), Reserve.create(path, SIZE)

    assert (one.free(), path.exists(), other.free(), one.free()) == (True, False, False, False)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_reserve_that_finds_no_room_starts_nothing(tmp_path, number):
    """Without room for the reserve the run is refused, and a part of it is not left to fill the disk further."""

    def write(descriptor: int, data: bytes) -> int:
        os.write(descriptor, data[: len(data) // 2])
        raise OSError(number, os.strerror(number))

    with pytest.raises(StateError, match="nothing was started; make room there"):
        Reserve.create(tmp_path / "reserve", SIZE, disk=Disk(write=write))
    assert list(tmp_path.iterdir()) == []


def test_reserve_that_is_not_durable_starts_nothing(tmp_path):
    """A sync that fails is an error, whichever of the two it is."""
    for failing in (1, 2):
        calls = 0

        def fsync(descriptor: int, failing: int = failing) -> None:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(errno.EIO, "Input/output error")
            os.fsync(descriptor)

        with pytest.raises(StateError, match="Input/output error"):
            Reserve.create(tmp_path / "reserve", SIZE, disk=Disk(fsync=fsync))
        assert list(tmp_path.iterdir()) == []


def test_reserve_in_a_links_place_is_refused(tmp_path):
    """A link of that name is not followed: what it leads to is not ours to write over or to remove."""
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "reserve").symlink_to(target)

    with pytest.raises(StateError, match="cannot be made"):
        Reserve.create(tmp_path / "reserve", SIZE)
    assert target.read_text() == "precious"


def test_full_disk_is_no_room_and_nothing_else():
    """A full disk and a full quota are full; other errors are not."""
    full = [number for number in errno.errorcode if is_full_disk(OSError(number, ""))]

    assert set(full) == {errno.ENOSPC, errno.EDQUOT}
