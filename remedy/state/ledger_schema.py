"""
The ledger's file: how it is opened, led to the newest version, and copied.

A rollback journal (DELETE) and many short transactions; `synchronous` is EXTRA,
which is FULL and one more sync of the directory after a commit: with FULL alone a
power cut can bring the removed journal back, which takes a committed intent away
again. Source: https://www.sqlite.org/pragma.html#pragma_synchronous
"""

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from remedy.errors import StateError
from remedy.state.disk import Disk, sync_directory
from remedy.state.ledger_tables import MIGRATIONS
from remedy.state.shared import mode_beside
from remedy.text import untrusted

__all__ = [
    "APPLICATION_ID",
    "MIGRATIONS",
    "OddRow",
    "copy_ledger",
    "lacks_room",
    "open_ledger",
    "sqlite_errors",
    "transaction",
]

APPLICATION_ID = 0x72656D79
"""'remy', in the file's header, so that nobody takes another database for a ledger."""

_BUSY_TIMEOUT_S = 10.0
_COPIES_MAX = 20
_CACHE_KIB = 65_536
"""What SQLite may keep of the file in memory: the indexes of a run of 100,000 executions; its default is 2,000."""
_FILE_MODE = 0o600
_CURE = "restore it from a backup; the audit log tells what was done since"


class OddRow(ValueError):
    """A row that SQLite could read and that says nothing remedy knows: somebody edited it."""


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """
    Translate what SQLite raises, and odd rows.

    Raises:
        StateError: with the ledger's path and what SQLite said.
    """
    try:
        yield
    except OddRow as exc:
        raise StateError(f"ledger {path} is damaged: {_plain(exc)}; {_CURE}") from exc
    except sqlite3.ProgrammingError:
        raise  # Ours: a closed ledger, a wrong number of values.
    except sqlite3.IntegrityError as exc:
        raise StateError(f"ledger {path}: what was to be recorded contradicts what is there: {_plain(exc)}") from exc
    except sqlite3.OperationalError as exc:
        if _code(exc) == sqlite3.SQLITE_BUSY:
            message = f"ledger {path}: another process has kept it busy for {_BUSY_TIMEOUT_S:g}s; try again"
            raise StateError(message) from exc
        cure = "check its directory's permissions and space"
        raise StateError(f"ledger {path} cannot be used: {_plain(exc)}; {cure}") from exc
    except sqlite3.DatabaseError as exc:
        raise StateError(f"ledger {path} is damaged or no ledger: {_plain(exc)}; {_CURE}") from exc


def _plain(said: object) -> str:
    """Return what SQLite says, or a row holds, in one harmless line; its check of a file writes several."""
    return untrusted(" ".join(str(said).split()), characters_max=200)


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary error code; 0 when the error is not SQLite's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def lacks_room(error: StateError) -> bool:
    """
    Say whether it comes from a full disk (or a full quota), after which SQLite has taken the transaction back.

    Source: SQLite's unixWrite gives SQLITE_FULL for ENOSPC alone, and
    SQLITE_IOERR_WRITE for every other failed write, EDQUOT among them.
    """
    said = getattr(error.__cause__, "sqlite_errorcode", 0)
    return said & 0xFF == sqlite3.SQLITE_FULL or said == sqlite3.SQLITE_IOERR_WRITE


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold one immediate transaction: committed at the end of the block, rolled back on any exception."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite ends the transaction by itself after some errors (a full disk).
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def open_ledger(
    path: Path, *, migrations: Sequence[Sequence[str]] = MIGRATIONS, named: Path | None = None
) -> sqlite3.Connection:
    """
    Open the ledger, creating or migrating it; a journal that a crash left is rolled back.

    Messages name `named`, when given: the ledger of which this file is a copy.

    Raises:
        StateError: it cannot be read or written, is empty or damaged, is no ledger,
            or was written by a newer remedy. Never taken for a new one.
    """
    shown = named or path
    if not _is_there(path, shown):
        _create(path, migrations)
    _check_file(path, shown)
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        raise StateError(f"ledger {shown} cannot be opened: no permission to read and write it")
    with sqlite_errors(shown):
        connection = _connect(path)
        try:
            _check_content(connection, shown)
            _set_up(connection)
            _migrate(connection, shown, migrations)
        except BaseException:
            connection.close()
            raise
    return connection


def _connect(path: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    """Return a connection that leaves transactions to its caller and waits a while for other processes."""
    return sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, uri=uri)


def _is_there(path: Path, shown: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise StateError(f"ledger {shown} cannot be opened: {exc.strerror}") from exc
    return True


def _check_file(path: Path, shown: Path) -> None:
    """
    See that what is there is a file with something in it; never with a descriptor.

    Closing any descriptor of a file drops all POSIX locks of the process on it,
    also those of another connection that is inside a transaction.
    Source: https://www.sqlite.org/howtocorrupt.html, section 2.2
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise StateError(f"ledger {shown} cannot be opened: it is no file; {_CURE}")
    if not found.st_size:
        raise StateError(f"ledger {shown} is empty: it was cut off or replaced; {_CURE}")


def _create(path: Path, migrations: Sequence[Sequence[str]]) -> None:
    """
    Create a ledger that has all its tables from the moment it has its name.

    So an empty file of that name is never a ledger that is being made. The
    connection is closed before the link: from then on others may hold locks on
    the file, which closing would drop. Who comes second uses what is there.

    Raises:
        StateError: it cannot be created.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as aside:
            made = Path(aside) / path.name
            os.mknod(made, _FILE_MODE | stat.S_IFREG)
            made.chmod(mode_beside(path))
            with sqlite_errors(path), closing(_connect(made)) as connection:
                _set_up(connection)
                with transaction(connection):
                    _advance(connection, migrations, version=0)
            os.link(made, path)
        sync_directory(Disk(), path.parent)
    except FileExistsError:
        return
    except OSError as exc:
        raise StateError(f"ledger {path} cannot be opened: it cannot be created: {exc.strerror}") from exc


def _check_content(connection: sqlite3.Connection, shown: Path) -> None:
    """See that it is a ledger, and whole; before anything is written to what may be somebody else's."""
    if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        raise StateError(f"{shown} is no ledger of remedy; name another state directory with --state DIR, or {_CURE}")
    found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        raise StateError(f"ledger {shown} is damaged: {_plain(found[0])}; {_CURE}")


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")


def _migrate(connection: sqlite3.Connection, shown: Path, migrations: Sequence[Sequence[str]]) -> None:
    if _version(connection) == len(migrations):
        return
    with transaction(connection):
        # Asked again inside: another process may have migrated it meanwhile.
        version = _version(connection)
        if version > len(migrations):
            raise StateError(f"ledger {shown} was written by a newer remedy (version {version}); use that one")
        _advance(connection, migrations, version=version)


def _advance(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]], *, version: int) -> None:
    for statements in migrations[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def copy_ledger(path: Path, directory: Path) -> Path:
    """
    Copy a ledger into a directory without writing beside it; returns the copy's path.

    A read transaction keeps writers away while it is copied. That fails when a
    crash left a journal behind (rolling it back would be a write): then database
    and journal are copied as they are, again until nothing changed in between,
    and opening the copy rolls it back there. Not for a process that has the ledger
    open itself: reading the file as a file would drop its locks.

    Raises:
        StateError: there is none, it cannot be read, or it keeps changing.
    """
    target = directory / path.name
    try:
        _check_file(path, path)
        for _ in range(_COPIES_MAX):
            if _copy_by_reading(path, target) or _copy_files(path, target):
                return target
    except OSError as exc:
        raise StateError(f"ledger {path} cannot be read: {exc.strerror}; it is not taken for an empty one") from exc
    raise StateError(f"ledger {path} keeps changing; try again")


def _copy_by_reading(path: Path, target: Path) -> bool:
    """Copy inside a read transaction; False when there is none to be had without writing."""
    _remove_copy(target)
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with sqlite_errors(path), ExitStack() as opened:
        try:
            source = opened.enter_context(closing(_connect(uri, uri=True)))
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as exc:
            if _code(exc) in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
                return False
            raise
        copy = sqlite3.connect(target)
        opened.enter_context(closing(copy))
        source.backup(copy)
    return True


def _copy_files(path: Path, target: Path) -> bool:
    """Copy database and journal; False when one of them changed meanwhile."""
    _remove_copy(target)
    before = _fingerprint(path)
    shutil.copyfile(path, target)
    try:
        shutil.copyfile(_journal(path), _journal(target))
    except FileNotFoundError:
        return False
    return _fingerprint(path) == before


def _fingerprint(path: Path) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(_stamp(file) for file in (path, _journal(path)))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _journal(path: Path) -> Path:
    return path.with_name(path.name + "-journal")


def _remove_copy(target: Path) -> None:
    target.unlink(missing_ok=True)
    _journal(target).unlink(missing_ok=True)
