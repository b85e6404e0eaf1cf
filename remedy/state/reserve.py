"""
The reserve: room on the disk that is given up when the disk is full.

A file of real blocks beside the audit log. When an append finds no room, the file
is removed, and what it took is there for the results and outcomes of the fixes
that are in flight. One file serves all runs of a state directory: who hits the
full disk first removes it, and the next run makes it anew, or is not started.
"""

import errno
import os
import stat
from hashlib import shake_256
from pathlib import Path
from typing import Self

from remedy.errors import StateError
from remedy.state.disk import Disk, sync_directory, write_all

__all__ = ["RESERVE_BYTES", "Reserve", "is_full_disk"]

RESERVE_BYTES = 1_048_576
"""
Enough for twenty executions in flight (the default concurrency), each with the
longest output that is recorded (44 KiB when every character needs an escape, 5 KiB
as a rule) and its result (2 KiB), and for the ledger's journal of their commits.
"""

_FILE_MODE = 0o600
_BLOCK_BYTES = 512
"""The unit of st_blocks, whatever the file system's own is (stat(2))."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full_disk(error: OSError) -> bool:
    """Say whether an error means that there is no room: the disk is full, or the user's quota is."""
    return error.errno in _FULL


class Reserve:
    """The file that holds the room; `create` makes one."""

    def __init__(self, path: Path, *, disk: Disk) -> None:
        self.path = path
        self._disk = disk

    @classmethod
    def create(cls, path: Path, size: int = RESERVE_BYTES, *, disk: Disk | None = None) -> Self:
        """
        Make sure that a file of `size` bytes has its room; one that has it already is kept.

        The bytes are written, for a sparse file holds no room, and they cannot be
        compressed, for on a file system that compresses zeros hold none either.

        Raises:
            StateError: there is no room, or the file cannot be made; nothing may be started.
        """
        disk = disk or Disk()
        try:
            # Not truncated: two runs that begin at once write the same bytes to the same places.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
        except OSError as exc:
            raise cls._not_made(path, size, exc) from exc
        try:
            if not _has_room(descriptor, size):
                _fill(descriptor, size, disk=disk)
                sync_directory(disk, path.parent)
        except OSError as exc:
            path.unlink(missing_ok=True)
            raise cls._not_made(path, size, exc) from exc
        finally:
            os.close(descriptor)
        return cls(path, disk=disk)

    @staticmethod
    def _not_made(path: Path, size: int, error: OSError) -> StateError:
        return StateError(
            f"the reserve {path} cannot be made ({error.strerror}): without {size} bytes set aside the outcomes of "
            "fixes in flight could not be recorded on a full disk; nothing was started; make room there"
        )

    def free(self) -> bool:
        """
        Give the room up; False when somebody did so before.

        Raises:
            OSError: the disk said no.
        """
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        # Some file systems give blocks back only when the removal itself is on the disk.
        sync_directory(self._disk, self.path.parent)
        return True


def _has_room(descriptor: int, size: int) -> bool:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no file")
    return found.st_size >= size and found.st_blocks * _BLOCK_BYTES >= size


def _fill(descriptor: int, size: int, *, disk: Disk) -> None:
    write_all(disk, descriptor, data=shake_256(b"remedy reserve").digest(size))
    disk.fsync(descriptor)
