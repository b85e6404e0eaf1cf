"""One process of a real PowerShell as an `Exchange`, and all that it did, for a judge."""

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from remedy_runners.powershell.texts import command_line
from remedy_runners.session import LinkLost
from tests.powershell_lane.case import Run

__all__ = ["Process", "is_posix"]

_READ_SIZE = 65_536
_KEPT_MAX = 40 * 1_048_576
_CLOSED_S = 2.0


def is_posix() -> bool:
    """Say whether this machine has /bin/sh and process groups."""
    return os.name == "posix"


class Process:
    """
    A PowerShell that was started; everything it prints is kept, also after `close`.

    It leads a session of its own, so that whatever it leaves behind is found.
    """

    def __init__(self, program: str, run: Run, *, folder: Path, environment: Mapping[str, str]) -> None:
        self.command = command_line(program)
        self.header = b""
        self.undamaged = b""
        self.sent_size = 0
        self._run = run
        self._began = time.monotonic()
        self.duration_s = 0.0
        arguments: str | list[str] = self.command
        if is_posix():
            # dash stays beside what it starts, and says of it that it was killed, unless told to become it.
            arguments = ["/bin/sh", "-c", f"exec {self.command}"] if run.way == "sh" else shlex.split(self.command)
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment,
            bufsize=0,
            start_new_session=True,
        )
        if self._process.stdin is None or self._process.stdout is None or self._process.stderr is None:
            raise ValueError("a process with all three pipes is needed")
        self._stdin = self._process.stdin
        self._changed = threading.Condition()
        self._kept = [bytearray(), bytearray()]
        self._given = [0, 0]
        self._ended = [False, False]
        self._is_closed = False
        self._readers = [
            threading.Thread(target=self._read, args=(number, stream), daemon=True)
            for number, stream in enumerate((self._process.stdout, self._process.stderr))
        ]
        if run.is_read:
            self._start_reading()

    def _start_reading(self) -> None:
        for reader in self._readers:
            if not reader.ident:
                reader.start()

    def _read(self, number: int, stream: IO[bytes]) -> None:
        with stream:
            while chunk := stream.read(_READ_SIZE):
                with self._changed:
                    self._kept[number] += chunk
                    self._changed.notify_all()
                    if len(self._kept[number]) > _KEPT_MAX or (self._is_closed and len(self._kept[number]) > 2**24):
                        break
        with self._changed:
            self._ended[number] = True
            self._changed.notify_all()

    def send(self, data: bytes, *, timeout_s: float) -> None:
        """See `remedy_runners.session.Exchange`; here the payload meets its damage."""
        self.undamaged = data
        if self._run.damage is not None:
            data = self._run.damage.of(data)
        self.header, self.sent_size = data[:200].split(b"\n", 1)[0], len(data)
        failed: list[Exception] = []

        def write() -> None:
            left = memoryview(data)
            try:
                while left:
                    left = left[self._stdin.write(left) :]
            except (OSError, ValueError) as exc:
                # Closed by the other side, or by us, for the process is gone.
                failed.append(exc)

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        writer.join(timeout_s)
        if failed or writer.is_alive():
            raise LinkLost("it did not read its standard input")

    def finish_input(self, *, timeout_s: float) -> None:
        """See `remedy_runners.session.Exchange`."""
        if not self._run.keeps_stdin_open:
            self._stdin.close()

    def receive(self, *, timeout_s: float) -> tuple[bytes, bytes] | None:
        """See `remedy_runners.session.Exchange`."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_news() or all(self._ended), timeout_s)
            if not self._has_news() and all(self._ended):
                return None
            chunks = [bytes(kept[given:]) for kept, given in zip(self._kept, self._given, strict=True)]
            self._given = [len(kept) for kept in self._kept]
            return chunks[0], chunks[1]

    def _has_news(self) -> bool:
        return any(len(kept) > given for kept, given in zip(self._kept, self._given, strict=True))

    def exit_status(self) -> int | None:
        """See `remedy_runners.session.Exchange`."""
        try:
            status = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return None
        return status if status >= 0 else None

    def close(self) -> None:
        """See `remedy_runners.session.Exchange`; what comes is kept all the same, up to a limit."""
        self._is_closed = True

    def stdout(self) -> bytes:
        """Return all of standard output so far."""
        with self._changed:
            return bytes(self._kept[0])

    def stderr(self) -> bytes:
        """Return all of standard error so far."""
        with self._changed:
            return bytes(self._kept[1])

    def await_output(self, text: bytes, *, within_s: float) -> bool:
        """Wait until standard output holds a text; False when it ends, or the time is over, without."""
        with self._changed:
            self._changed.wait_for(lambda: text in self._kept[0] or self._ended[0], within_s)
            return text in self._kept[0]

    def settle(self, *, within_s: float) -> tuple[bool, bool, tuple[str, ...]]:
        """
        Wait for the end of the process, then of its output; ends whatever is left.

        Returns whether it ended by itself, whether its output stayed open, and what it left behind.
        """
        has_ended = True
        try:
            self._process.wait(timeout=max(0.1, within_s - (time.monotonic() - self._began)))
        except subprocess.TimeoutExpired:
            has_ended = False
        self.duration_s = time.monotonic() - self._began
        # What was killed together with it needs a moment to be gone.
        deadline = time.monotonic() + _CLOSED_S
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.02)
        self._start_reading()
        with self._changed:
            is_open = not self._changed.wait_for(lambda: all(self._ended), 0.5 if left else _CLOSED_S)
        self.kill()
        self._process.wait(timeout=10)
        for reader in self._readers:
            reader.join(5)
        if not self._stdin.closed:
            self._stdin.close()
        return has_ended, is_open, left

    @property
    def status(self) -> int | None:
        """The status of the process, negative for a signal."""
        return self._process.poll()

    def kill(self) -> None:
        """End the process and all that is left of its session, at once."""
        if not is_posix():
            self._process.kill()
            return
        for number, _ in _session_of(self._process.pid):
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self._process.poll() is None:
            self._process.kill()

    def _left(self) -> tuple[str, ...]:
        if not is_posix():
            return ()
        found = _session_of(self._process.pid)
        return tuple(f"{name} ({number})" for number, name in found if number != self._process.pid)


def _session_of(leader: int) -> list[tuple[int, str]]:
    """Return the living processes of a session: number and name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        name, _, rest = text.partition("(")[2].rpartition(")")
        words = rest.split()
        if words[0] not in "ZX" and int(words[3]) == leader:
            found.append((int(path.parent.name), name))
    return found
