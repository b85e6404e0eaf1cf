"""Files opened below a folder: no link is followed at any component, nothing but regular files is read."""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

__all__ = ["read_beneath", "read_file"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def read_beneath(root: Path, parts: Sequence[str], *, bytes_max: int) -> bytes:
    """
    Return the bytes of root/parts…; root itself may be a link, nothing below it may.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a link, no regular file, too large, or not readable; the message says which.
    """
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for depth, part in enumerate(parts):
            last = depth == len(parts) - 1
            opened = _open_part(folder, part, last=last)
            if last:
                return _read(opened, bytes_max)
            os.close(folder)
            folder = opened
    finally:
        os.close(folder)
    raise ValueError("names no file")


def read_file(path: Path, *, bytes_max: int) -> bytes:
    """
    Return the bytes of a regular file; links are followed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no regular file, too large, or not readable; the message says which.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise ValueError(_reason(exc)) from exc
    return _read(opened, bytes_max)


def _open_part(folder: int, part: str, *, last: bool) -> int:
    try:
        if stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
            raise ValueError(f"'{part}' is a link, and links are not followed")
        return os.open(part, _FILE if last else _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise ValueError(f"'{part}' is a link, and links are not followed") from exc
        raise ValueError(_reason(exc)) from exc


def _reason(exc: OSError) -> str:
    return f"cannot be read: {(exc.strerror or str(exc)).lower()}"


def _read(descriptor: int, bytes_max: int) -> bytes:
    """Return all bytes of a regular file and close it."""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("is no regular file")
        chunks: list[bytes] = []
        left = bytes_max + 1
        while left > 0 and (chunk := os.read(descriptor, min(left, 1_048_576))):
            chunks.append(chunk)
            left -= len(chunk)
    finally:
        os.close(descriptor)
    if left <= 0:
        raise ValueError(f"is larger than {_size_text(bytes_max)}")
    return b"".join(chunks)


def _size_text(size: int) -> str:
    return f"{size // 1_048_576} MiB" if size >= 1_048_576 else f"{size // 1024} KiB"
