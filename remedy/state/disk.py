"""The calls that make bytes durable, as values, so that a test can fail any one of them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Disk", "sync_directory", "write_all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The system calls by which evidence reaches the disk."""

    write: Callable[[int, bytes], int] = os.write
    fdatasync: Callable[[int], None] = os.fdatasync
    fsync: Callable[[int], None] = os.fsync
    ftruncate: Callable[[int, int], None] = os.ftruncate


def write_all(disk: Disk, descriptor: int, *, data: bytes) -> None:
    """
    Write all of data; a short write is continued.

    Raises:
        OSError: the disk said no; a part may have been written.
    """
    left = memoryview(data)
    while left:
        left = left[disk.write(descriptor, bytes(left)) :]


def sync_directory(disk: Disk, path: Path) -> None:
    """
    Make the names in a directory durable.

    Raises:
        OSError: the disk said no.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        disk.fsync(descriptor)
    finally:
        os.close(descriptor)
