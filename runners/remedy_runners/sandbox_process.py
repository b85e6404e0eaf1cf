"""
The processes of a cage and the pipes that lead there: orders go in, answers and output come out.

Started without a copy of any other descriptor, in a session of its own, so that the
signal of one process to its group reaches nobody outside.
"""

import contextlib
import fcntl
import json
import os
import select
import selectors
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from remedy_runners.answers import Answer
from remedy_runners.sandbox_root import PROGRAM_FOLDERS

__all__ = ["ARCHIVE_BYTES_MAX", "Caged", "Descriptors", "Gone", "Late"]

ARCHIVE_BYTES_MAX = 512 * 1024**2
"""What lies on a cage's disks may be so much, as tar has it."""

_SAID_BYTES_MAX = 65_536
_READ_SIZE = 65_536
_END_S = 5.0
_HIGH = 200
_INPUT, _OUTPUT, _ERRORS, _ANSWERS, _ARCHIVE = range(5)


class Late(Exception):
    """It did not come to its end in time, or said too much; the message says what."""


class Gone(Exception):
    """The cage has ended by itself; the message is what was said last."""


class Descriptors:
    """The descriptors of the process to come, by their numbers there; closes our copies of them."""

    def __init__(self) -> None:
        self.given: dict[int, int] = {}
        self.kept: dict[int, int] = {}
        self._info: int | None = None
        for number in (_INPUT, _OUTPUT, _ERRORS, _ANSWERS, _ARCHIVE):
            self._pipe(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for descriptor in self.given.values():
            os.close(descriptor)
        if kind is not None:
            for descriptor in self.kept.values():
                os.close(descriptor)

    def holding(self, content: bytes) -> int:
        """Return the number of a file in memory that holds the content."""
        number = len(self.given)
        self.given[number] = _raised(os.memfd_create("remedy-cage", os.MFD_CLOEXEC))
        with open(self.given[number], "wb", closefd=False) as file:
            file.write(content)
        os.lseek(self.given[number], 0, os.SEEK_SET)
        return number

    def info(self) -> int:
        """Return the number of the pipe in which bubblewrap says what it made."""
        number = len(self.given)
        self._pipe(number)
        self._info = self.kept[number]
        return number

    @property
    def info_end(self) -> int:
        """Our end of that pipe."""
        if self._info is None:
            raise ValueError("info() was not asked for")
        return self._info

    def _pipe(self, number: int) -> None:
        reading, writing = (_raised(end) for end in os.pipe())
        self.given[number], self.kept[number] = (reading, writing) if number == _INPUT else (writing, reading)


def _raised(descriptor: int) -> int:
    """Return a copy with a number above all that are given away, and close the descriptor itself."""
    try:
        return int(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH))
    finally:
        os.close(descriptor)


def _inherited() -> list[int]:
    """Return our descriptors that a new process would get; nearly always only 0, 1 and 2."""
    found = []
    for entry in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError):  # The one that listed them is closed by now.
            if os.get_inheritable(int(entry.name)):
                found.append(int(entry.name))
    return found


class Caged:
    """
    A cage's processes; `end` ends them all, and is called once.

    `words` start with a program's name. `first_pid` is the number that the cage's
    first process has here, once it has answered.
    """

    def __init__(self, words: Sequence[str], descriptors: Descriptors) -> None:
        path = ":".join(PROGRAM_FOLDERS)
        actions: list[tuple[int, ...]] = [
            (os.POSIX_SPAWN_DUP2, ours, number) for number, ours in descriptors.given.items()
        ]
        actions += [(os.POSIX_SPAWN_CLOSE, other) for other in _inherited() if other not in descriptors.given]
        self._pid = os.posix_spawn(
            shutil.which(words[0], path=path) or words[0],
            list(words),
            {"PATH": path, "LC_ALL": "C"},
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            # Python ignores SIGPIPE, and so would the script, which it does on no host.
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
        )
        self._kept = descriptors.kept
        self._info_end = descriptors.info_end
        self._first: int | None = None
        self._first_pid = 0
        self._orders = b""
        self._lines: list[str] = []
        self._line = b""
        self._archive: list[bytes] = []
        self._archive_size = 0
        self._said = b""
        self._answer: Answer | None = None
        self._selector = selectors.DefaultSelector()
        for number in (_OUTPUT, _ERRORS, _ANSWERS, _ARCHIVE):
            os.set_blocking(self._kept[number], False)
            self._selector.register(self._kept[number], selectors.EVENT_READ, number)
        os.set_blocking(self._kept[_INPUT], False)

    @property
    def errors(self) -> bytes:
        """The last that was said on standard error outside of a run."""
        return self._said

    @property
    def first_pid(self) -> int:
        """
        The first process, by its number outside.

        Raises:
            ValueError: bubblewrap did not say it.
        """
        if self._first is None:
            said = json.loads(os.read(self._info_end, _READ_SIZE))
            self._first_pid = int(said["child-pid"])
            self._first = os.pidfd_open(self._first_pid)
        return self._first_pid

    def order(self, order: bytes) -> None:
        """Send an order; it is written while answers are waited for."""
        if not self._orders:
            self._selector.register(self._kept[_INPUT], selectors.EVENT_WRITE, _INPUT)
        self._orders += order

    def answer(self, *, within_s: float) -> str:
        """
        Return the next line of the first process.

        Raises:
            Late: it did not come in time.
            Gone: the cage has ended.
        """
        deadline = time.monotonic() + within_s
        while not self._lines:
            self._wait(deadline, what="it did not answer in time")
        return self._lines.pop(0)

    def archive(self, *, within_s: float) -> tuple[bytes, int]:
        """
        Return what tar wrote until the next answer, and the exit code in that.

        Raises:
            Late, Gone: as `answer`.
        """
        code = self.answer(within_s=within_s).rpartition(" ")[2]
        # Its writer has ended: all of it is in the pipe.
        while self._read(_ARCHIVE):
            continue
        archive, self._archive, self._archive_size = b"".join(self._archive), [], 0
        return archive, int(code)

    def hear(self, answer: Answer, *, within_s: float, left_s: float) -> tuple[str, ...]:
        """
        Listen to a run until all its processes have ended; what it left running is ended left_s after its end.

        Returns the names of what it left running.

        Raises:
            Late: it did not end in time, or printed too much.
            Gone: as `answer`.
        """
        self._answer = answer
        deadline = time.monotonic() + within_s
        leaving: float | None = None
        try:
            while not self._lines:
                if answer.finished and leaving is None:
                    leaving = time.monotonic() + left_s
                if leaving is not None and time.monotonic() >= leaving and self._first is not None:
                    signal.pidfd_send_signal(self._first, signal.SIGTERM)
                    leaving = time.monotonic() + left_s
                self._wait(deadline, what="it did not end in time", most_s=0.1)
                if answer.too_much:
                    raise Late("it prints without end")
            _ran, *left = self._lines.pop(0).split("\t")
            while any([self._read(_OUTPUT), self._read(_ERRORS)]):
                continue
            answer.end()
            return tuple(sorted(set(left)))
        finally:
            self._answer = None

    def end(self) -> None:
        """End every process of the cage, and wait until they have."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        # The first process dies with its parent, and with it all others.
        if self._first is not None:
            if not select.select([self._first], [], [], _END_S)[0]:
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
                select.select([self._first], [], [], _END_S)
            os.close(self._first)
        self._selector.close()
        for descriptor in self._kept.values():
            os.close(descriptor)

    def _wait(self, deadline: float, *, what: str, most_s: float = 5.0) -> None:
        """Take what comes next."""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise Late(what)
        for key, _ in self._selector.select(min(left_s, most_s)):
            if key.data == _INPUT:
                self._write()
            elif not self._read(key.data) and key.data == _ANSWERS:
                raise Gone(self._said.decode("utf-8", "replace").strip()[-200:] or "nothing was said")

    def _write(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._orders = self._orders[os.write(self._kept[_INPUT], self._orders) :]
            if self._orders:
                return
        self._orders = b""
        self._selector.unregister(self._kept[_INPUT])

    def _read(self, number: int) -> bool:
        """Take what is there to read; say whether there was anything."""
        try:
            chunk = os.read(self._kept[number], _READ_SIZE)
        except BlockingIOError:
            return False
        if not chunk:
            if number != _ANSWERS:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(self._kept[number])
            return False
        self._take(number, chunk)
        return True

    def _take(self, number: int, chunk: bytes) -> None:
        if number == _ANSWERS:
            *lines, self._line = (self._line + chunk).split(b"\n")
            self._lines += [line.decode("utf-8", "replace") for line in lines]
        elif number == _ARCHIVE:
            self._archive_size += len(chunk)
            if self._archive_size > ARCHIVE_BYTES_MAX:
                raise Late("more lies on its disks than can be looked at")
            self._archive.append(chunk)
        elif self._answer is not None:
            self._answer.hear((chunk, b"") if number == _OUTPUT else (b"", chunk))
        elif number == _ERRORS:
            self._said = (self._said + chunk)[-_SAID_BYTES_MAX:]
