"""
The audit log: evidence, append-only and hash-chained, one file per run.

Every run that changes something writes `audit/RUN.jsonl` and, when it ends, a
line in `audit/heads`. The form is in audit_format.py, the check in audit_verify.py.
"""

import fcntl
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from remedy.errors import StateError
from remedy.state.audit_format import (
    HEADS_NAME,
    AuditType,
    Head,
    Link,
    first_link,
    head_line,
    line_hash,
    parse_heads,
    record_line,
)
from remedy.state.disk import Disk, sync_directory, write_all

__all__ = ["AuditLog", "AuditType"]

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")
_FILE_MODE = 0o600


class AuditLog:
    """
    The audit log of one run, for all its threads.

    After the first append or sync that fails it refuses every other one: after a
    failed sync nobody knows which of the earlier bytes are on the disk.
    """

    def __init__(self, path: Path, descriptor: int, *, link: Link, clock: Callable[[], datetime], disk: Disk) -> None:
        self.path = path
        self._descriptor: int | None = descriptor
        self._link = link
        self._clock = clock
        self._disk = disk
        self._broken = ""
        self._lock = threading.Lock()

    @classmethod
    def create(cls, directory: Path, run_id: str, clock: Callable[[], datetime], *, disk: Disk | None = None) -> Self:
        """
        Create the file of a run and hold its lock; the first record is the caller's `run.started`.

        Raises:
            StateError: it exists already or cannot be created; nothing may be started.
        """
        disk = disk or Disk()
        path = directory / f"{run_id}.jsonl"
        if not _RUN_ID.fullmatch(run_id):
            raise StateError(f"'{run_id}' is no run id")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            _create_heads(directory)
            newest = _newest_head(directory)
            descriptor = os.open(path, flags, _FILE_MODE)
            try:
                # Blocks for an instant at most: only a check of the log looks at the lock.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                sync_directory(disk, directory)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as exc:
            raise StateError(f"audit log {path} cannot be created: {exc.strerror}; nothing was started") from exc
        return cls(path, descriptor, link=first_link(newest), clock=clock, disk=disk)

    @property
    def head(self) -> str:
        """The SHA-256 of the last line, as 64 hex digits; before the first record, that of the head it follows."""
        return self._link.prev

    def append(self, kind: AuditType, data: Mapping[str, Any], *, sync: bool = False) -> None:
        """
        Append one record; with `sync` it is on the disk, with all before it, on return.

        Raises:
            StateError: it could not be written, or the log refuses since an earlier failure.
        """
        self.append_all([(kind, data)], sync=sync)

    def append_all(self, records: Iterable[tuple[AuditType, Mapping[str, Any]]], *, sync: bool = False) -> None:
        """
        Append records in one write, and with `sync` in one sync.

        Raises:
            StateError: they could not be written (a part may have been), or the log
                refuses since an earlier failure. A record that is too long or holds
                what cannot be recorded is refused before anything is written.
        """
        with self._lock:
            descriptor = self._usable()
            lines, link = self._lines(records)
            try:
                write_all(self._disk, descriptor, data=b"".join(line + b"\n" for line in lines))
                if sync:
                    self._disk.fdatasync(descriptor)
            except OSError as exc:
                self._broken = exc.strerror or str(exc)
                raise StateError(f"audit log {self.path} cannot be written: {self._broken}") from exc
            self._link = link

    def _usable(self) -> int:
        if self._broken:
            raise StateError(f"audit log {self.path} failed before ({self._broken}) and takes nothing more")
        if self._descriptor is None:
            raise StateError(f"audit log {self.path} is closed")
        return self._descriptor

    def _lines(self, records: Iterable[tuple[AuditType, Mapping[str, Any]]]) -> tuple[list[bytes], Link]:
        lines: list[bytes] = []
        link = self._link
        for kind, data in records:
            if (link.seq == 1) is not (kind is AuditType.RUN_STARTED):
                raise StateError(f"audit log {self.path}: {AuditType.RUN_STARTED} is the first record, and only that")
            try:
                line = record_line(link, self.path.stem, at=self._clock(), kind=kind, data=data)
            except (TypeError, ValueError) as exc:
                raise StateError(f"audit log {self.path}: record {link.seq} ({kind}): {exc}") from exc
            lines.append(line)
            link = Link(seq=link.seq + 1, prev=line_hash(line))
        return lines, link

    def close(self) -> None:
        """
        Sync the file, record its head in `audit/heads`, and free the lock; may be called twice.

        A log that failed, or has no record, records no head: a check then says
        that the run did not end.

        Raises:
            StateError: the head could not be recorded.
        """
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is None:
                return
            try:
                if not self._broken and self._link.seq > 1:
                    self._disk.fdatasync(descriptor)
                    head = Head(run=self.path.stem, seq=self._link.seq - 1, head=self._link.prev)
                    _append_head(self.path.parent, head, disk=self._disk)
            except OSError as exc:
                raise StateError(f"audit log {self.path}: its head cannot be recorded: {exc.strerror}") from exc
            finally:
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _create_heads(directory: Path) -> None:
    """Make the file of the heads before the first file of a run, so that a missing one was taken away."""
    if any(directory.glob("*.jsonl")):
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    os.close(os.open(directory / HEADS_NAME, flags, _FILE_MODE))


def _newest_head(directory: Path) -> Head | None:
    """Return the last head recorded; None when there is none. Bad lines are the check's business."""
    try:
        with (directory / HEADS_NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            heads, _bad, _tail = parse_heads(file.read())
    except FileNotFoundError:
        return None
    return heads[-1][1] if heads else None


def _append_head(directory: Path, head: Head, *, disk: Disk) -> None:
    """Append a head; what a crash left of an earlier, never acknowledged one is cut off."""
    path = directory / HEADS_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            raw = file.read()
        whole = raw.rfind(b"\n") + 1
        if whole != len(raw):
            os.ftruncate(descriptor, whole)
        write_all(disk, descriptor, data=head_line(head) + b"\n")
        disk.fsync(descriptor)
        if not raw:
            sync_directory(disk, directory)
    finally:
        os.close(descriptor)
