"""
The end of a dead run's audit file: its torn tail moved aside, its head recorded.

A process that is killed, or a machine without power, leaves a file whose last
line may be cut, and whose head nobody recorded. The next run that names the dead
one puts that right here, and says so in its own file (`log.recovered`).
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from remedy.errors import LockHeld, StateError
from remedy.state.audit import append_head
from remedy.state.audit_format import HEADS_NAME, Head, parse_heads
from remedy.state.audit_verify import CheckedLog, check_log
from remedy.state.disk import Disk, sync_directory, write_all

__all__ = ["Recovered", "recover"]

_FILE_MODE = 0o600
_TORN_FILES_MAX = 100
_PART_BYTES = 1_048_576
_LOOKS_AT_LOCK = 20
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """
    What was done to the file of a dead run.

    `torn_file` is '' when no tail was cut. `record` and `head` are the number and the
    SHA-256 of the last whole record (0 and '' when there is none).
    """

    run: str
    torn_file: str
    torn_bytes: int
    torn_sha256: str
    record: int
    head: str

    def facts(self) -> dict[str, Any]:
        """Return the data of the record `log.recovered`."""
        return {
            "of_run": self.run,
            "file": self.torn_file,
            "bytes": self.torn_bytes,
            "sha256": self.torn_sha256,
            "record": self.record,
            "head": self.head,
        }


def recover(directory: Path, run_id: str, *, disk: Disk | None = None) -> Recovered | None:
    """
    Close the file of a dead run in the folder of the audit log; None when it is closed already, or empty.

    The bytes after the last newline are copied to `RUN.torn` (`RUN.torn.2` and so on
    when there is one) and are durable there before they are cut off; then the head
    is recorded. It may be interrupted at any point and done again. A line that is
    complete and wrong is not what a crash leaves, and is nobody's to mend here.

    Raises:
        LockHeld: the run lives, or another one is doing the same; nothing was touched.
        StateError: the file is missing, was changed, or the disk said no.
    """
    disk = disk or Disk()
    path = directory / f"{run_id}.jsonl"
    try:
        with _held(path) as file:
            own = _own_heads(directory, run_id)
            checked = check_log(run_id, file, own=own, running=False)
            _refuse_changed(path, checked)
            if own or not (checked.file.records or checked.file.torn_bytes):
                return None
            return _close(path, file, checked, disk=disk)
    except FileNotFoundError:
        raise StateError(f"audit log {path} is missing; restore it from a backup") from None
    except OSError as exc:
        raise StateError(f"audit log {path} cannot be recovered: {exc.strerror}") from exc


@contextmanager
def _held(path: Path) -> Iterator[BinaryIO]:
    """Open the file of a run that is dead, and hold its lock meanwhile."""
    # O_NONBLOCK: a pipe of that name must not hang the run.
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        for look in range(_LOOKS_AT_LOCK):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # A check of the log holds it for an instant, to see whether the run lives.
                if look == _LOOKS_AT_LOCK - 1:
                    raise LockHeld(f"audit log {path} is held by a living process; nothing in it was touched") from None
                time.sleep(_LOOK_S)
        yield file


def _own_heads(directory: Path, run_id: str) -> list[Head]:
    try:
        with (directory / HEADS_NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            placed, _bad, _tail = parse_heads(file.read())
    except FileNotFoundError:
        # To make it anew here would hide that it was taken away.
        raise StateError(
            f"{directory / HEADS_NAME} is missing; nothing was touched; restore it from a backup"
        ) from None
    return [head for _number, head in placed if head.run == run_id]


def _refuse_changed(path: Path, checked: CheckedLog) -> None:
    if checked.findings:
        raise StateError(
            f"audit log {path} was changed or damaged, and not only cut by a crash: {checked.findings[0]}; "
            "nothing in it was touched; keep a copy, and see `remedy audit verify`"
        )


def _close(path: Path, file: BinaryIO, checked: CheckedLog, *, disk: Disk) -> Recovered:
    descriptor = file.fileno()
    whole = os.fstat(descriptor).st_size - checked.file.torn_bytes
    torn, digest, size = None, "", checked.file.torn_bytes
    if size:
        digest = _digest(file, whole)
        torn = _moved_aside(path, file, whole, digest=digest, disk=disk)
        disk.ftruncate(descriptor, whole)
        disk.fsync(descriptor)
    else:
        # Of a recovery that was interrupted after the cut.
        torn = _newest_torn(path)
        if torn is not None:
            with torn.open("rb") as old:
                digest = _digest(old, 0)
            size = torn.stat().st_size
    if checked.file.records:
        if not checked.file.torn_bytes:
            # A head that survives a power cut must not name a record that does not.
            disk.fsync(descriptor)
        head = Head(run=path.stem, seq=checked.file.records, head=checked.file.head)
        append_head(path.parent, head, disk=disk)
    return Recovered(
        run=path.stem,
        torn_file=torn.name if torn else "",
        torn_bytes=size,
        torn_sha256=digest,
        record=checked.file.records,
        head=checked.file.head,
    )


def _torn_paths(path: Path) -> Iterator[Path]:
    yield path.with_suffix(".torn")
    for number in range(2, _TORN_FILES_MAX + 1):
        yield path.with_suffix(f".torn.{number}")


def _newest_torn(path: Path) -> Path | None:
    newest = None
    for torn in _torn_paths(path):
        if not torn.exists():
            break
        newest = torn
    return newest


def _moved_aside(path: Path, file: BinaryIO, start: int, *, digest: str, disk: Disk) -> Path:
    """Copy the tail to a file of its own that is durable, or find the one that a recovery before this made."""
    for torn in _torn_paths(path):
        try:
            made = os.open(torn, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        except FileExistsError:
            with torn.open("rb") as old:
                if _digest(old, 0) != digest:
                    continue
                disk.fsync(old.fileno())
        else:
            try:
                for part in _parts(file, start):
                    write_all(disk, made, data=part)
                disk.fsync(made)
            finally:
                os.close(made)
        sync_directory(disk, path.parent)
        return torn
    raise StateError(f"audit log {path}: {_TORN_FILES_MAX} torn tails of it lie there already; nothing was touched")


def _digest(file: BinaryIO, start: int) -> str:
    digest = sha256()
    for part in _parts(file, start):
        digest.update(part)
    return digest.hexdigest()


def _parts(file: BinaryIO, start: int) -> Iterator[bytes]:
    file.seek(start)
    while part := file.read(_PART_BYTES):
        yield part
