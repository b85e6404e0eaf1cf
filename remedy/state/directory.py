"""
The state directory: which one, its folders, and the stop file.

`--state` > `REMEDY_STATE` > `remedy.yaml` > `/var/lib/remedy` if it exists > XDG
state home. One that exists and cannot be used is an error, never the next in line.
"""

import os
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from remedy.errors import StateError, UsageError
from remedy.state.disk import Disk, sync_directory, write_all
from remedy.state.shared import mode_beside, share
from remedy.state.values import utc_text
from remedy.text import untrusted

__all__ = ["STOP_NAME", "StateDirectory", "StatePlace", "find_state"]

STOP_NAME = "STOP"
_STOP_BYTES_MAX = 4_096
_FOLDER_MODE = 0o700
_SYSTEM = Path("/var/lib/remedy")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePlace:
    """Where the state is, and what named it (a flag, a variable, a file), for the header."""

    path: Path
    named_by: str


def find_state(
    flag: str | Path | None,
    environment: Mapping[str, str],
    configured: Path | None,
    home: Path,
    *,
    system: Path = _SYSTEM,
) -> StatePlace:
    """
    Return the state directory that is meant; it need not exist.

    An empty variable counts as unset, and so does a relative XDG_STATE_HOME (the
    XDG specification asks for that).

    Raises:
        UsageError: the flag is empty.
    """
    if flag is not None:
        if not str(flag):
            raise UsageError("--state is empty; name a directory")
        return StatePlace(path=Path(flag), named_by="--state")
    if environment.get("REMEDY_STATE"):
        return StatePlace(path=Path(environment["REMEDY_STATE"]), named_by="REMEDY_STATE")
    if configured is not None:
        return StatePlace(path=configured, named_by="remedy.yaml")
    if _is_there(system):
        return StatePlace(path=system, named_by="it exists")
    named = Path(environment.get("XDG_STATE_HOME", ""))
    if named.is_absolute():
        return StatePlace(path=named / "remedy", named_by="XDG_STATE_HOME")
    return StatePlace(path=home / ".local" / "state" / "remedy", named_by="default")


def _is_there(path: Path) -> bool:
    """Say whether something has this name; what cannot be looked at counts as there."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


class StateDirectory:
    """The folders and files of one state directory; making one of these touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = path / "ledger.sqlite3"
        self.audit = path / "audit"
        self.locks = path / "locks"
        self.log = path / "log"
        self.runs = path / "runs"
        self.readings = path / "readings.jsonl"
        self.readings_before = path / "readings-before.jsonl"
        self.outputs = path / "outputs"
        self.sources = path / "sources"
        self.reserve = path / "reserve"
        self.stop = path / STOP_NAME

    def exists(self) -> bool:
        """Say whether something has the directory's name, whatever it is."""
        return _is_there(self.path)

    def has_ledger(self) -> bool:
        """
        Say whether there is a ledger, readable or not.

        Raises:
            StateError: that cannot be found out; an unreadable ledger is never "none".
        """
        try:
            self.ledger.lstat()
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise StateError(f"ledger {self.ledger} cannot be looked at: {exc.strerror}") from exc
        return True

    def prepare(self) -> None:
        """
        Create what is missing, readable by its owner only, and see that all of it can be written.

        Raises:
            StateError: it cannot be created or written, or somebody else could change
                what is in it; the message has the cure.
        """
        for folder in (self.path, self.audit, self.locks, self.log, self.runs):
            self._create(folder)
            self._check_private(folder)
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
                raise self._unusable(folder, "it exists and cannot be written")
        share(self.path, (self.ledger, self.readings, self.readings_before, self.stop))

    def _create(self, folder: Path) -> None:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        except FileExistsError as exc:
            raise self._unusable(folder, "it exists and is no directory") from exc
        except OSError as exc:
            raise self._unusable(folder, f"it cannot be created: {exc.strerror}") from exc

    def _check_private(self, folder: Path) -> None:
        """
        See that only its user and root can put files into a folder, or take them out.

        A sticky bit does not help: anybody could still put files there first.
        """
        try:
            found = folder.stat()
        except OSError as exc:
            raise self._unusable(folder, f"it cannot be looked at: {exc.strerror}") from exc
        caller = os.geteuid()
        shown = shlex.quote(str(folder))
        if found.st_uid not in (0, caller):
            raise StateError(
                f"state directory {folder}: it belongs to user {found.st_uid}, who could change what remedy remembers; "
                f"nothing was started; chown {caller} {shown}, or name another with --state DIR"
            )
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise StateError(
                f"state directory {folder}: others than its user may write to it (mode "
                f"{stat.S_IMODE(found.st_mode):04o}); nothing was started; chmod go-w {shown}, "
                "or name another with --state DIR"
            )

    def _unusable(self, folder: Path, why: str) -> StateError:
        cure = f"make {self.path} a directory of the user that runs remedy, or name another with --state DIR"
        return StateError(f"state directory {folder}: {why}; nothing was started; {cure}")

    def stop_reason(self) -> str:
        """
        Return why everything is stopped; '' means that nothing is.

        No directory and no file STOP in it: not stopped. Whatever else happens on
        the way to that answer (no permission, an I/O error, a STOP that is a
        directory, a pipe or a dangling link) counts as stopped.
        """
        try:
            self.path.lstat()
        except FileNotFoundError:
            return ""
        except OSError as exc:
            return f"the state directory {self.path} cannot be looked at: {exc.strerror}"
        try:
            with os.scandir(self.path) as entries:
                next(entries, None)
        except OSError as exc:
            return f"the state directory {self.path} cannot be listed: {exc.strerror}"
        try:
            self.stop.lstat()
        except FileNotFoundError:
            return ""
        except OSError as exc:
            return f"{self.stop} cannot be looked at: {exc.strerror}"
        return self._stop_text()

    def _stop_text(self) -> str:
        try:
            # O_NONBLOCK: a pipe named STOP must not hang the run that it is to stop.
            descriptor = os.open(self.stop, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return f"{self.stop} exists (and is no file)"
                raw = os.read(descriptor, _STOP_BYTES_MAX)
            finally:
                os.close(descriptor)
        except OSError as exc:
            return f"{self.stop} exists and cannot be read: {exc.strerror}"
        lines = raw.decode("utf-8", errors="backslashreplace").splitlines()
        return untrusted("; ".join(line.strip() for line in lines if line.strip())) or f"{STOP_NAME} exists"

    def write_stop(self, reason: str, actor: str, at: datetime, *, disk: Disk | None = None) -> None:
        """
        Stop everything: create STOP, or add a line to it.

        The file's existence is the stop; its text is only the reason, so that it
        works on a full disk too.

        Raises:
            StateError: STOP could not be created (nothing is stopped), or stands
                without its reason; the message says which.
        """
        disk = disk or Disk()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            self._create(self.path)
            descriptor = os.open(self.stop, flags, mode_beside(self.stop))
        except OSError as exc:
            raise StateError(f"{self.stop} cannot be created: {exc.strerror}; create a file of that name") from exc
        line = untrusted(f"{reason} (by {actor}, {utc_text(at)})") + "\n"
        try:
            write_all(disk, descriptor, data=line.encode())
            disk.fsync(descriptor)
            sync_directory(disk, self.path)
        except OSError as exc:
            raise StateError(f"everything is stopped, but {self.stop} could not be written: {exc.strerror}") from exc
        finally:
            os.close(descriptor)

    def clear_stop(self) -> bool:
        """
        Remove STOP; False when there was none.

        Raises:
            StateError: it could not be removed; everything stays stopped.
        """
        try:
            self.stop.unlink()
            sync_directory(Disk(), self.path)
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise StateError(f"{self.stop} cannot be removed: {exc.strerror}; everything stays stopped") from exc
        return True
