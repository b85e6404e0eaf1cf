"""
A machine's disk and store: real files and real SQLite, and what of them survives.

The disk knows how much of each file is synced; when the power goes, the rest is cut
at some byte. The store is one SQLite database in memory, shared by the processes of
a machine; committed is durable, all else is rolled back.
"""

import errno
import os
import random
import re
import sqlite3
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remedy.state.disk import Disk
from remedy.state.ledger import Ledger
from tests.simulation.scheduler import Crashed, Process

__all__ = ["Connection", "SimDisk", "Store"]

_INTENT = re.compile(rb'"execution":"([0-9a-f]{16})"')


@dataclass(slots=True)
class _File:
    """One file: how much of it would survive a power cut, and what was written since."""

    path: str
    synced: int = 0
    pending: bytes = b""


class SimDisk:
    """The disk of one machine; `fails(what)` says whether a call fails now."""

    def __init__(self, fails: Callable[[str], bool]) -> None:
        self._fails = fails
        self._files: dict[int, _File] = {}
        self.intents: set[str] = set()
        """Execution ids whose intent would survive a power cut now."""

    def of(self, process: Process) -> Disk:
        """Return the disk as a process sees it."""
        return Disk(
            write=lambda descriptor, data: self._write(process, descriptor, data),
            fdatasync=lambda descriptor: self._sync(process, descriptor),
            fsync=lambda descriptor: self._sync(process, descriptor),
            ftruncate=lambda descriptor, size: self._truncate(process, descriptor, size),
        )

    def _file(self, descriptor: int) -> _File:
        inode = os.fstat(descriptor).st_ino
        found = self._files.get(inode)
        if found is None:
            found = self._files[inode] = _File(path=str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        return found

    def _write(self, process: Process, descriptor: int, data: bytes) -> int:
        process.effect("disk.write")
        file = self._file(descriptor)
        if self._fails("disk.write"):
            part = data[: len(data) // 3]
            os.write(descriptor, part)
            raise OSError(errno.ENOSPC, "No space left on device")
        written = os.write(descriptor, data)
        file.pending += data
        process.effect("disk.written")
        return written

    def _truncate(self, process: Process, descriptor: int, size: int) -> None:
        process.effect("disk.truncate")
        file = self._file(descriptor)
        os.ftruncate(descriptor, size)
        file.synced = min(file.synced, size)
        file.pending = b""
        process.effect("disk.truncated")

    def _sync(self, process: Process, descriptor: int) -> None:
        process.effect("disk.sync")
        found = os.fstat(descriptor)
        if self._fails("disk.sync"):
            raise OSError(errno.EIO, "Input/output error")
        if not stat.S_ISDIR(found.st_mode):
            file = self._file(descriptor)
            file.synced = found.st_size
            self._note_intents(file)
        process.effect("disk.synced")

    def _note_intents(self, file: _File) -> None:
        if b'"execution.intent"' in file.pending:
            for line in file.pending.split(b"\n"):
                if b'"type":"execution.intent"' in line:
                    self.intents.update(each.decode() for each in _INTENT.findall(line))
        file.pending = b""

    def lose_power(self, rng: random.Random) -> None:
        """Cut every file somewhere in what was not synced."""
        for file in self._files.values():
            if not Path(file.path).exists():
                continue
            size = Path(file.path).stat().st_size
            kept = rng.randint(file.synced, size) if size > file.synced else size
            os.truncate(file.path, kept)
            file.synced = kept
            file.pending = b""


class Store:
    """The ledger's database of one machine."""

    def __init__(self, template: bytes, fails: Callable[[str], bool]) -> None:
        self.real = sqlite3.connect(":memory:", isolation_level=None, cached_statements=256)
        self.real.deserialize(template)
        self.real.execute("PRAGMA foreign_keys = ON")
        self.fails = fails

    def ledger(self, process: Process, path: Path) -> Ledger:
        """Open the ledger for a process."""
        return Ledger(Connection(self, process), path)  # type: ignore[arg-type]

    def close(self) -> None:
        """Forget it all."""
        self.real.close()


class Connection:
    """One process's connection to the store: fails, and crashes, at the begin and the commit of transactions."""

    def __init__(self, store: Store, process: Process) -> None:
        self._store = store
        self._real = store.real
        self._process = process

    @property
    def in_transaction(self) -> bool:
        """As SQLite says."""
        return self._real.in_transaction

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute a statement, as sqlite3 does."""
        if sql == "BEGIN IMMEDIATE":
            self._process.effect("ledger.begin")
            if self._fails("ledger.begin"):
                raise _error("database is locked", sqlite3.SQLITE_BUSY)
        elif sql == "COMMIT":
            return self._commit()
        elif self._process.dead and sql != "ROLLBACK":
            raise Crashed
        return self._real.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> sqlite3.Cursor:
        """Execute a statement many times, as sqlite3 does."""
        if self._process.dead:
            raise Crashed
        return self._real.executemany(sql, parameters)

    def _fails(self, what: str) -> bool:
        return not self._process.is_person and self._store.fails(what)

    def _commit(self) -> sqlite3.Cursor:
        self._process.effect("ledger.commit")
        if self._fails("ledger.commit"):
            raise _error("database or disk is full", sqlite3.SQLITE_FULL)
        done = self._real.execute("COMMIT")
        self._process.effect("ledger.committed")
        if self._fails("ledger.committed"):
            raise _error("disk I/O error", sqlite3.SQLITE_IOERR)
        return done

    def close(self) -> None:
        """The database itself stays: others use it."""


def _error(message: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error
