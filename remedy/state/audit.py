"""
The audit log: evidence, append-only and hash-chained, one file per run.

Every run that changes something writes `audit/RUN.jsonl` and, when it ends, a
line in `audit/heads`. The form is in audit_format.py, the check in audit_verify.py.
"""

import fcntl
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from remedy.state.reserve import Reserve, is_full_disk

__all__ = ["AuditLog", "AuditType", "append_head"]

_Records = Sequence[tuple[AuditType, Mapping[str, Any]]]
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")
_FILE_MODE = 0o600


class AuditLog:
    """
    The audit log of one run, for all its threads.

    When the disk is full it gives up its reserve and takes no intent any more, so
    that nothing new is started, but takes the results and outcomes of what is in
    flight. After any other append or sync that fails, and after a second one for
    want of room, it refuses everything: after a failed sync nobody knows which of
    the earlier bytes are on the disk.
    """

    def __init__(
        self,
        path: Path,
        descriptor: int,
        *,
        link: Link,
        clock: Callable[[], datetime],
        disk: Disk,
        reserve: Reserve | None,
    ) -> None:
        self.path = path
        self._descriptor: int | None = descriptor
        self._link = link
        self._clock = clock
        self._disk = disk
        self._reserve = reserve
        self._size = 0
        self._full = False
        self._broken = ""
        self._lock = threading.Lock()

    @classmethod
    def create(
        cls,
        directory: Path,
        run_id: str,
        clock: Callable[[], datetime],
        *,
        disk: Disk | None = None,
        reserve: Reserve | None = None,
    ) -> Self:
        """
        Create the file of a run and hold its lock; the first record is the caller's `run.started`.

        Without a reserve a full disk breaks the log like any other failure.

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
                # Blocks for an instant at most: only a check or a recovery takes it, and finds the file empty.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                sync_directory(disk, directory)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as exc:
            raise StateError(f"audit log {path} cannot be created: {exc.strerror}; nothing was started") from exc
        return cls(path, descriptor, link=first_link(newest), clock=clock, disk=disk, reserve=reserve)

    @property
    def head(self) -> str:
        """The SHA-256 of the last line, as 64 hex digits; before the first record, that of the head it follows."""
        return self._link.prev

    @property
    def full(self) -> bool:
        """Whether the disk was full: no intent is taken any more."""
        return self._full

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
                what cannot be recorded is refused before anything is written, and so
                are all of them when an intent is among them and the disk is full.
        """
        with self._lock:
            descriptor = self._usable()
            wanted = list(records)
            self._refuse_intents(wanted)
            try:
                self._write(descriptor, wanted)
                if sync:
                    self._disk.fdatasync(descriptor)
            except OSError as exc:
                self._broken = exc.strerror or str(exc)
                raise StateError(f"audit log {self.path} cannot be written: {self._broken}") from exc

    def _refuse_intents(self, records: _Records) -> None:
        if self._full and any(kind is AuditType.EXECUTION_INTENT for kind, _data in records):
            raise StateError(f"audit log {self.path}: the disk is full; nothing new is started; make room there")

    def _write(self, descriptor: int, records: _Records) -> None:
        """Write records; the first time that there is no room for them, make it."""
        try:
            self._write_once(descriptor, records)
        except OSError as exc:
            # Before the first record nothing can be in flight.
            if not is_full_disk(exc) or self._reserve is None or self._full or self._link.seq == 1:
                raise
            self._make_room(descriptor, self._reserve)
            self._refuse_intents(records)
            self._write_once(descriptor, records)

    def _write_once(self, descriptor: int, records: _Records) -> None:
        lines, link = self._lines(records)
        data = b"".join(line + b"\n" for line in lines)
        write_all(self._disk, descriptor, data=data)
        self._size += len(data)
        self._link = link

    def _make_room(self, descriptor: int, reserve: Reserve) -> None:
        """Cut off what was written of the records that had no room, give up the reserve, and say so."""
        self._full = True
        self._disk.ftruncate(descriptor, self._size)
        freed = reserve.free()
        self._write_once(descriptor, [(AuditType.LOG_FULL, {"reserve_freed": freed})])
        self._disk.fdatasync(descriptor)

    def _usable(self) -> int:
        if self._broken:
            raise StateError(f"audit log {self.path} failed before ({self._broken}) and takes nothing more")
        if self._descriptor is None:
            raise StateError(f"audit log {self.path} is closed")
        return self._descriptor

    def _lines(self, records: _Records) -> tuple[list[bytes], Link]:
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
                    append_head(self.path.parent, head, disk=self._disk, reserve=self._reserve)
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
            *lines, _tail = file.read().split(b"\n")
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        heads, _bad, _tail = parse_heads(line + b"\n")
        if heads:
            return heads[0][1]
    return None


def append_head(directory: Path, head: Head, *, disk: Disk, reserve: Reserve | None = None) -> None:
    """
    Append a head to `audit/heads`; what a crash left of an earlier, never acknowledged one is cut off.

    On a full disk the reserve, if there still is one, is given up for it.

    Raises:
        OSError: the disk said no; a part may have been written, which the next one cuts off.
    """
    path = directory / HEADS_NAME
    line = head_line(head) + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            raw = file.read()
        whole = raw.rfind(b"\n") + 1
        if whole != len(raw):
            disk.ftruncate(descriptor, whole)
        try:
            write_all(disk, descriptor, data=line)
        except OSError as exc:
            if not is_full_disk(exc) or reserve is None or not reserve.free():
                raise
            disk.ftruncate(descriptor, whole)
            write_all(disk, descriptor, data=line)
        disk.fsync(descriptor)
        if not raw:
            sync_directory(disk, directory)
    finally:
        os.close(descriptor)
