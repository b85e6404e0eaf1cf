"""
Locks between processes: per rule, per host, and one per run that says it is alive.

They are flocks on files under `locks/`, so a dead holder frees them. Nobody waits
for one: a held lock is an answer (`LockHeld`), and its file says who holds it.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from remedy.errors import LockHeld, StateError
from remedy.state.values import utc_text, value_json
from remedy.text import untrusted

__all__ = ["HeldLock", "LockHolder", "Locks", "short_lock"]

_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,120}")
_HOLDER_BYTES_MAX = 4_096
_WHAT_CHARACTERS_MAX = 500
_OPENINGS_MAX = 100
_LOOKS_AT_RUN = 50
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class LockHolder:
    """
    Who holds a lock: run, process, controller (the machine remedy runs on), since when, doing what.

    `until` is when it will be free at the latest; '' when that cannot be said.
    """

    run_id: str
    pid: int
    controller: str
    since: str
    what: str
    until: str = ""

    def __str__(self) -> str:
        when = f"since {self.since}" + (f", until {self.until} at the latest" if self.until else "")
        return f"run {self.run_id} (pid {self.pid} on {self.controller}, {when}: {self.what})"


class HeldLock:
    """A lock that is held until `release`, the end of its `with` block, or the end of the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Free the lock and remove its file; may be called twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            # While the lock is still held: whoever waits on this file sees that it has lost its name.
            self.path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Locks:
    """The locks of one run; `what` (its command) and the rest stand in the message to others."""

    def __init__(
        self, directory: Path, *, run_id: str, what: str, pid: int, controller: str, clock: Callable[[], datetime]
    ) -> None:
        self._directory = directory
        self._run_id = run_id
        self._what = untrusted(what, characters_max=_WHAT_CHARACTERS_MAX)
        self._pid = pid
        self._controller = controller
        self._clock = clock

    def rule(self, name: str) -> HeldLock:
        """
        Take the lock of a rule, for a rollout of more than one host.

        Raises:
            LockHeld: another rollout of this rule is under way.
            StateError: the lock's file cannot be used.
        """
        return self._take("rule", name)

    def host(self, name: str, *, needed_s: float | None = None) -> HeldLock:
        """
        Take the lock of a host, for the executions of one rule on it, which take at most needed_s.

        Raises:
            LockHeld: another run is at work on this host.
            StateError: the lock's file cannot be used.
        """
        return self._take("host", name, needed_s=needed_s)

    def run(self, run_id: str) -> HeldLock:
        """
        Take the lock of a run: held for its life, before its row is in the ledger.

        Others probe it for an instant, to see whether the run lives; that is waited
        out, for half a second at most.

        Raises:
            LockHeld: the run is under way in another process.
            StateError: the lock's file cannot be used.
        """
        for _ in range(_LOOKS_AT_RUN):
            try:
                return self._take("run", run_id)
            except LockHeld:
                if self.run_is_held(run_id):
                    raise
            time.sleep(_LOOK_S)
        return self._take("run", run_id)

    def run_is_held(self, run_id: str) -> bool:
        """
        Say whether a run is alive: whether some process (this one too) holds its lock.

        Only for runs: a probe takes the lock for an instant, which a taker of the
        same lock could meet; `run` waits that out.

        Raises:
            StateError: that cannot be found out.
        """
        path = self._path("run", run_id)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise StateError(f"lock {path} cannot be read: {exc.strerror}") from exc
        try:
            return not _try_lock(path, descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def _path(self, kind: str, name: str) -> Path:
        """Return the lock's file; a name that is no plain file name is made one, with its digest after '~'."""
        if not _PLAIN.fullmatch(name):
            shown = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:40]
            name = f"{shown}~{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
        return self._directory / f"{kind}.{name}.lock"

    def _take(self, kind: str, name: str, *, needed_s: float | None = None) -> HeldLock:
        path = self._path(kind, name)
        try:
            descriptor = _open_locked(path)
        except OSError as exc:
            raise StateError(f"lock {path} cannot be used: {exc.strerror}; nothing was started") from exc
        if descriptor is None:
            raise LockHeld(_held_message(kind, name, path))
        now = self._clock()
        holder = LockHolder(
            run_id=self._run_id,
            pid=self._pid,
            controller=self._controller,
            since=utc_text(now),
            what=self._what,
            until="" if needed_s is None else utc_text(now + timedelta(seconds=needed_s)),
        )
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, value_json(asdict(holder)).encode(), 0)
        except OSError as exc:
            os.close(descriptor)
            raise StateError(f"lock {path} cannot be written: {exc.strerror}; nothing was started") from exc
        return HeldLock(path, descriptor)


@contextmanager
def short_lock(path: Path) -> Iterator[None]:
    """
    Hold the lock of a file that is made for it, waiting for others: for a section that ends by itself.

    Raises:
        StateError: the file cannot be used.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise StateError(f"lock {path} cannot be used: {exc.strerror}") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _try_lock(path: Path, descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        raise StateError(f"lock {path} cannot be used: {exc.strerror}") from exc
    return True


def _open_locked(path: Path) -> int | None:
    """
    Return a descriptor that holds the lock of the file with this name; None when it is held.

    A holder removes the file before it lets go, so what was locked may have lost
    its name by then; another one is opened in that case.
    """
    for _ in range(_OPENINGS_MAX):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if not _try_lock(path, descriptor, fcntl.LOCK_EX):
                os.close(descriptor)
                return None
            if _has_name(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None


def _has_name(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _held_message(kind: str, name: str, path: Path) -> str:
    holder = _read_holder(path)
    who = str(holder) if holder is not None else "a process that has not written its name yet"
    cure = "wait for it to end, or end that process; a dead one frees the lock"
    return f"{kind} {untrusted(name)} is held by {who}; nothing was started; {cure}"


def _read_holder(path: Path) -> LockHolder | None:
    """Return who wrote the lock's file; None when it is half written or gone again."""
    try:
        with path.open("rb") as file:
            raw = json.loads(file.read(_HOLDER_BYTES_MAX))
        return LockHolder(
            run_id=untrusted(str(raw["run_id"])),
            pid=int(raw["pid"]),
            controller=untrusted(str(raw["controller"])),
            since=untrusted(str(raw["since"])),
            what=untrusted(str(raw["what"])),
            until=untrusted(str(raw.get("until", ""))),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
