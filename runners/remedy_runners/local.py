"""
The local runner: the same payloads, on this machine, through `sh`.

The one place that starts programs.
"""

import os
import selectors
import subprocess
import threading
import time
from collections.abc import Sequence

from remedy.errors import Refused
from remedy.port import Endpoint, Target
from remedy_runners.secrets import Secrets
from remedy_runners.session import FramedSession, LinkLost

__all__ = ["LocalRunner"]

_READ_SIZE = 65_536


class LocalRunner:
    """
    Runs on this machine, as the user remedy runs as.

    `command_prefix` is put before every command, such as `nsenter` with its
    options: the demo and the tests keep what they do in a namespace with it.
    `secrets` are those of the run; a script inherits no variable that holds one.
    """

    def __init__(self, *, user: str, command_prefix: Sequence[str] = (), secrets: Secrets | None = None) -> None:
        self._user = user
        self._secrets = secrets
        self._prefix = tuple(command_prefix)

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `remedy.port.Runner`; it reads no files."""
        return ()

    def endpoint(self, target: Target) -> Endpoint:
        """See `remedy.port.Runner`; every local target is the same machine."""
        _check_barred(target)
        return Endpoint(address="local", port=0, user=self._user)

    def connect(self, target: Target) -> "_LocalSession":
        """See `remedy.port.Runner`."""
        _check_barred(target)
        return _LocalSession(target.name, self._prefix, self._secrets)


def _check_barred(target: Target) -> None:
    if target.barred is not None:
        raise Refused(target.barred)


class _LocalSession(FramedSession):
    """A session with this machine; there is no link to lose."""

    def __init__(self, name: str, prefix: tuple[str, ...], secrets: Secrets | None) -> None:
        super().__init__(name, secrets=secrets)
        self._prefix = prefix

    def _start(self, command: str) -> "_LocalExchange":
        # A session of its own: Ctrl-C at the terminal stops remedy, not a fix half-way.
        try:
            process = subprocess.Popen(
                [*self._prefix, "sh", "-c", command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._secrets.inherited(os.environ),
                start_new_session=True,
                bufsize=0,
            )
        except OSError as exc:
            raise Refused(f"sh cannot be started: {exc.strerror}") from exc
        return _LocalExchange(process)

    def close(self) -> None:
        """Nothing is kept open between two payloads."""


class _LocalExchange:
    """One command on this machine."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("a process with all three pipes is needed")
        self._process = process
        self._pipes = (process.stdin, process.stdout, process.stderr)
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(process.stdout, selectors.EVENT_READ, 0)
        self._selector.register(process.stderr, selectors.EVENT_READ, 1)

    def send(self, data: bytes, *, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        left = memoryview(data)
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipes[0], selectors.EVENT_WRITE)
            while left:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise LinkLost
                try:
                    left = left[os.write(self._pipes[0].fileno(), left) :]
                except OSError as exc:
                    raise LinkLost from exc

    def finish_input(self, *, timeout_s: float) -> None:
        self._pipes[0].close()

    def receive(self, *, timeout_s: float) -> tuple[bytes, bytes] | None:
        if not self._selector.get_map():
            return None
        chunks = [b"", b""]
        for key, _ in self._selector.select(timeout_s):
            chunk = os.read(key.fd, _READ_SIZE)
            if not chunk:
                self._selector.unregister(key.fileobj)
            chunks[key.data] = chunk
        return chunks[0], chunks[1]

    def exit_status(self) -> int | None:
        try:
            status = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return None
        return status if status >= 0 else None

    def close(self) -> None:
        self._selector.close()
        for pipe in self._pipes:
            pipe.close()
        if self._process.poll() is None:
            # A child of the script may live on; somebody must take the exit status in the end.
            threading.Thread(target=self._process.wait, name="remedy-reaper", daemon=True).start()
