"""
One command of a shell: a real process with pipes, in a process group of its own.

Its output is kept up to a limit and then left in the pipe, so that endless output blocks the process and not the
server's memory. The process is reaped when the command is released, not before: its group's number stays its own.
"""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from tests.winrm.wsman_faults import ABORTED, INVALID_PARAMETER, OPERATION_TIMEOUT, Faulted

__all__ = ["STREAMS", "Command", "Output"]

STREAMS = ("stdout", "stderr")
ENDED_BY_CTRL_C = 0xC000013A  # What Windows says of a process that ended so (STATUS_CONTROL_C_EXIT).
_KEPT_BYTES_MAX = 256 * 1024
_READ_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What one Receive takes: pieces in the order they came, and the exit code once all is taken."""

    pieces: tuple[tuple[str, bytes], ...]
    exit_code: int | None


class Command:
    """A process and the thread that moves its bytes; every method may be called from any thread."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], directory: str | None) -> None:
        self.id = str(uuid.uuid4()).upper()
        self._process = subprocess.Popen(
            list(argv),
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,
        )
        self._changed = threading.Condition()
        self._output: deque[tuple[str, bytes]] = deque()
        self._kept_bytes = 0
        self._input: deque[bytes] = deque()
        self._input_ended = False
        self._input_open = True
        self._exit_code: int | None = None
        self._ended = self._ended_by_ctrl_c = self._released = False
        self.end_was_taken = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._pump = threading.Thread(target=self._move_bytes, name=f"command-{self._process.pid}", daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is over and all that it wrote has been read from its pipes."""
        with self._changed:
            return self._ended

    def send(self, data: bytes, *, end: bool, timeout_s: float) -> None:
        """
        Write to the process's stdin; returns when it is in the pipe, or nobody will read it any more.

        Raises:
            Faulted: the input was ended before, the process did not read in time, or the command was released.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            if self._released:
                raise Faulted(ABORTED)
            if self._input_ended:
                raise Faulted(INVALID_PARAMETER)
            self._input.append(data)
            self._input_ended = end
            self._wake_pump()
            while self._input and self._input_open and not self._ended and not self._released:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise Faulted(OPERATION_TIMEOUT)
            if self._released:
                raise Faulted(ABORTED)

    def take(self, *, timeout_s: float, bytes_max: int) -> Output:
        """
        Return what is there now; waits until there is something, or the process has ended.

        Raises:
            Faulted: nothing came in time, or the command was released meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._output and not self._ended:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise Faulted(OPERATION_TIMEOUT)
            if self._released:
                raise Faulted(ABORTED)
            pieces: list[tuple[str, bytes]] = []
            room = bytes_max
            while self._output and room:
                stream, data = self._output.popleft()
                if len(data) > room:
                    self._output.appendleft((stream, data[room:]))
                    data = data[:room]
                room -= len(data)
                pieces.append((stream, data))
            self._kept_bytes -= bytes_max - room
            self._wake_pump()
            is_all = self._ended and not self._output
            self.end_was_taken = is_all
            return Output(pieces=tuple(pieces), exit_code=self._exit_code if is_all else None)

    def interrupt(self) -> None:
        """End the process as ctrl+c would end one that does not handle it; the command stays, to be received."""
        with self._changed:
            self._ended_by_ctrl_c = self._exit_code is None
            self._kill()

    def release(self) -> None:
        """Kill what runs of the command's process group, reap the process and close its pipes; may be called twice."""
        with self._changed:
            if self._released:
                return
            self._kill()
            self._released = True
            self._changed.notify_all()
            self._wake_pump()
        self._pump.join()
        self._process.wait()
        os.close(self._wake)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # Nothing of the group is left.
            os.killpg(self._process.pid, signal.SIGKILL)

    def _wake_pump(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _move_bytes(self) -> None:
        """Move bytes until the process has ended and what it wrote is read, or the command is released."""
        pipes = {name: pipe for name in ("stdin", *STREAMS) if (pipe := getattr(self._process, name))}
        for pipe in pipes.values():
            os.set_blocking(pipe.fileno(), False)
        ended = os.pidfd_open(self._process.pid)
        while not self._released:
            wanted = self._wanted(pipes)
            if self._exit_code is None:
                wanted[ended] = select.POLLIN
            is_draining = self._exit_code is not None and self._kept_bytes < _KEPT_BYTES_MAX
            ready = _poll(wanted, None if not is_draining else 0)
            if is_draining and not any(pipe.fileno() in ready for pipe in pipes.values()):
                break  # What else holds its pipes open is not the process; Windows does not wait for it either.
            self._serve(ready, pipes, ended)
        os.close(ended)
        for pipe in pipes.values():
            pipe.close()
        with self._changed:
            self._ended = True
            self._input_open = False
            self._changed.notify_all()

    def _wanted(self, pipes: Mapping[str, IO[bytes]]) -> dict[int, int]:
        """Say what to wait for: output while there is room, stdin while there is input, a wake-up always."""
        wanted = {self._wake: select.POLLIN}
        with self._changed:
            if self._kept_bytes < _KEPT_BYTES_MAX:
                wanted |= {pipes[name].fileno(): select.POLLIN for name in STREAMS if name in pipes}
            if "stdin" in pipes and self._exit_code is None and (self._input or self._input_ended):
                wanted[pipes["stdin"].fileno()] = select.POLLOUT
        return wanted

    def _serve(self, ready: set[int], pipes: dict[str, IO[bytes]], ended: int) -> None:
        if self._wake in ready:
            os.eventfd_read(self._wake)
        for name in STREAMS:
            if name in pipes and pipes[name].fileno() in ready:
                self._read(name, pipes)
        if "stdin" in pipes and pipes["stdin"].fileno() in ready:
            self._write(pipes)
        if ended in ready:
            self._note_end()

    def _read(self, name: str, pipes: dict[str, IO[bytes]]) -> None:
        data = os.read(pipes[name].fileno(), _READ_BYTES)
        if not data:
            pipes.pop(name).close()
            return
        with self._changed:
            self._output.append((name, data))
            self._kept_bytes += len(data)
            self._changed.notify_all()

    def _write(self, pipes: dict[str, IO[bytes]]) -> None:
        """Write one piece of input; one that nobody reads any more is dropped, as a closed pipe would."""
        with self._changed:
            piece = self._input.popleft() if self._input else b""
            try:
                rest = piece[os.write(pipes["stdin"].fileno(), piece) :] if piece else b""
            except BrokenPipeError:
                self._input.clear()
                self._input_open, rest = False, b""
            if rest:
                self._input.appendleft(rest)
            if not self._input_open or (self._input_ended and not self._input):
                pipes.pop("stdin").close()
            self._changed.notify_all()

    def _note_end(self) -> None:
        """Read the exit code and leave the process to be reaped by `release`."""
        found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        assert found is not None
        with self._changed:
            if self._ended_by_ctrl_c:
                self._exit_code = ENDED_BY_CTRL_C
            elif found.si_code == os.CLD_EXITED:
                self._exit_code = found.si_status
            else:
                self._exit_code = 128 + found.si_status  # As a POSIX shell reports a signal.


def _poll(wanted: Mapping[int, int], timeout: int | None) -> set[int]:
    poll = select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    return {fd for fd, _ in poll.poll(timeout)}
