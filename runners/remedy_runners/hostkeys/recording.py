"""
Writing host keys into a known_hosts file: only ever more lines, all or nothing, one writer at a time.

What stands in the file stays, byte by byte; a key that a host has there is
never replaced, and never joined by another of its kind.
"""

import contextlib
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from remedy.errors import LockHeld, Refused, StateError
from remedy_runners.hostkeys.key import HostKey
from remedy_runners.hostkeys.known_hosts import KnownHosts
from remedy_runners.hostkeys.line import Marker, hashed_name, read_line

__all__ = ["record_keys"]

_LOCK_WAIT_S = 10.0
_LOCK_POLL_S = 0.05
_SALT_BYTES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Now:
    """A file as it is now: its bytes, and the mode and owner that its successor gets; None where it is new."""

    raw: bytes
    mode: int
    owner: tuple[int, int] | None


def record_keys(path: Path, name: str, keys: Sequence[HostKey], *, comment: str, home: Path) -> tuple[HostKey, ...]:
    """
    Write keys of a host into a known_hosts file, and return those that were not there yet.

    `name` is how the host stands there; it is hashed if all names in the file are.
    The file is made if it is not there: 0600 below `home`, with its folder (0700);
    0644 elsewhere, where the folder must be there.

    Raises:
        Refused: by now the file has another key of one of these kinds, or has revoked one; nothing was written.
        LockHeld: somebody else is writing, for more than ten seconds.
        StateError: it cannot be written; it is as it was.
    """
    # A link stays one: what it leads to is replaced.
    path = Path(os.path.realpath(path))
    try:
        if path.is_relative_to(home):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path.parent):
            new = _not_there(path, name, keys)
            if new:
                _replace(path, _lines(path, name, new, comment), is_at_home=path.is_relative_to(home))
            return new
    except OSError as exc:
        raise StateError(f"{path}: no key was recorded: {exc.strerror or exc}") from exc


def _not_there(path: Path, name: str, keys: Sequence[HostKey]) -> tuple[HostKey, ...]:
    """Look again, under the lock: somebody may have written meanwhile."""
    lines = KnownHosts().lines(name, [path])
    for key in keys:
        for line in lines:
            if line.marker is Marker.REVOKED and line.key == key:
                raise Refused(f"{line.place} says that nobody may trust {key}; nothing was recorded", identity=True)
            if line.marker is Marker.NONE and line.key.kind == key.kind and line.key != key:
                raise Refused(
                    f"{line.place} has another key of {name} by now: {line.key}, not {key}; nothing was recorded",
                    identity=True,
                )
    there = {line.key for line in lines if line.marker is Marker.NONE}
    return tuple(dict.fromkeys(key for key in keys if key not in there))


def _lines(path: Path, name: str, keys: Sequence[HostKey], comment: str) -> str:
    is_hashed = _hides_names(path)
    return "".join(
        f"{hashed_name(name, secrets.token_bytes(_SALT_BYTES)) if is_hashed else name} {key.text} {comment}\n"
        for key in keys
    )


def _hides_names(path: Path) -> bool:
    """Say whether the file has keys of hosts, and all of their names are hashed."""
    found = []
    for raw in _now(path, is_at_home=True).raw.split(b"\n"):
        with contextlib.suppress(ValueError):
            line = read_line(raw, "")
            if line is not None and line.marker is Marker.NONE:
                found.append(line.is_hashed)
    return bool(found) and all(found)


def _now(path: Path, *, is_at_home: bool) -> _Now:
    try:
        found = path.stat()
    except FileNotFoundError:
        return _Now(raw=b"", mode=0o600 if is_at_home else 0o644, owner=None)
    if not stat.S_ISREG(found.st_mode):
        raise OSError("it is no regular file")
    return _Now(raw=path.read_bytes(), mode=stat.S_IMODE(found.st_mode), owner=(found.st_uid, found.st_gid))


def _replace(path: Path, lines: str, *, is_at_home: bool) -> None:
    """Put a file with these lines more in the place of the file, in one step that survives a power cut."""
    now = _now(path, is_at_home=is_at_home)
    between = b"" if not now.raw or now.raw.endswith(b"\n") else b"\n"
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if now.owner is not None and now.owner != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, *now.owner)
            os.fchmod(descriptor, now.mode)
            file.write(now.raw + between + lines.encode("utf-8"))
            file.flush()
            os.fsync(descriptor)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder: no file is left behind for it, and a dead holder frees it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOCK_WAIT_S
        while not _took(descriptor):
            if time.monotonic() > deadline:
                raise LockHeld(f"{folder}: somebody else is writing host keys there; try again when that has ended")
            time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _took(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
