"""
The command line as a process that is forked from one in which remedy is imported already.

A process of its own takes most of its time to import what it needs. One that is forked has the descriptors,
directory, environment and arguments that it is given, dies of a signal alone, and is ended by Python as any other.
"""

import array
import atexit
import gc
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["run_forked"]

_REQUEST_BYTES_MAX = 100_000
_STDIN_BYTES_MAX = 60_000
_READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ")
"""Variables that Python and the C library read once, before anything is run."""


def run_forked(
    words: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    stdin: str | None = None,
    stdout: int | None = None,
    timeout_s: float,
) -> subprocess.CompletedProcess[str]:
    """
    Run `remedy WORDS` to its end, with `stdin` or nothing to read; return what it wrote.

    What goes to the descriptor `stdout` is not returned.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    at_start = tuple(sorted((name, value) for name, value in environment.items() if name.startswith(_READ_AT_START)))
    request = {"words": list(words), "cwd": str(cwd), "environment": dict(environment)}
    return _parent(at_start).run(request, stdin=stdin, stdout=stdout, timeout_s=timeout_s)


@cache
def _parent(at_start: tuple[tuple[str, str], ...]) -> "_Parent":
    """Return the process that has read these variables at its start, and lives as long as the tests do."""
    return _Parent(dict(at_start))


class _Parent:
    """A process that forks one remedy after the other."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                env={"PATH": os.environ["PATH"], **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._close)

    def _close(self) -> None:
        self._socket.close()
        self._process.wait(10)

    def run(
        self, request: Mapping[str, Any], *, stdin: str | None, stdout: int | None, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Have a process forked, and wait for its end."""
        given = (stdin or "").encode()
        assert len(given) < _STDIN_BYTES_MAX, "it must fit into a pipe"
        null = os.open(os.devnull, os.O_RDONLY)
        (stdin_read, stdin_write), (out, out_write), (err, err_write) = os.pipe(), os.pipe(), os.pipe()
        os.write(stdin_write, given)
        os.close(stdin_write)
        theirs = [null if stdin is None else stdin_read, out_write if stdout is None else stdout, err_write]
        socket.send_fds(self._socket, [json.dumps(request).encode()], theirs)
        for descriptor in (null, stdin_read, out_write, err_write):
            os.close(descriptor)
        pid = self._answer()
        try:
            said = _read_to_the_end(out, err, deadline=time.monotonic() + timeout_s)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            self._answer()
            raise
        finally:
            os.close(out)
            os.close(err)
        code = self._answer()
        return subprocess.CompletedProcess(request["words"], code, *(text.decode() for text in said))

    def _answer(self) -> int:
        number = self._socket.recv(100)
        assert number, "the process that forks is gone"
        return int(number)


def _read_to_the_end(out: int, err: int, *, deadline: float) -> tuple[bytes, bytes]:
    said = {out: b"", err: b""}
    with selectors.DefaultSelector() as ready:
        for descriptor in said:
            ready.register(descriptor, selectors.EVENT_READ)
        while ready.get_map():
            found = ready.select(deadline - time.monotonic())
            if not found and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired("remedy", 0, said[out], said[err])
            for key, _ in found:
                more = os.read(key.fd, 65_536)
                said[key.fd] += more
                if not more:
                    ready.unregister(key.fd)
    return said[out], said[err]


def _serve(ours: socket.socket) -> None:
    """Fork a process for each request, tell its number and how it ended; return in each of them."""
    while True:
        request, descriptors = _received(ours)
        if not request:
            sys.exit(0)
        pid = os.fork()
        if pid == 0:
            ours.close()
            _become(json.loads(request), descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        ours.send(str(pid).encode())
        ours.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _received(ours: socket.socket) -> tuple[bytes, Sequence[int]]:
    """Return the next request with its three descriptors; no request when nobody wants more."""
    descriptors = array.array("i")
    room = socket.CMSG_LEN(3 * descriptors.itemsize)
    request, ancillary, flags, _ = ours.recvmsg(_REQUEST_BYTES_MAX, room)
    assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
    for _level, _type, data in ancillary:
        descriptors.frombytes(data)
    return request, descriptors


def _become(request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Take the place of a process that was started with these descriptors."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["remedy", *request["words"]]


def _import_much() -> None:
    """Import what nearly every command needs; the rest is left to it."""
    from remedy.cli import app, commands

    assert app
    for module in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}."):
        import_module(module.name)
    for name in ("remedy_runners.local", "remedy_runners.ssh", "jsonschema"):
        import_module(name)
    # What these and typer take with them later, where it is installed.
    for name in ("idna", "pydantic.type_adapter", "pydantic.plugin._schema_validator"):
        with suppress(ImportError):
            import_module(name)


if __name__ == "__main__":
    _import_much()
    # Nobody looks through what was imported for garbage: each look would copy all of it for the new process.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as _ours:
        _serve(_ours)

    from remedy.cli.main import main

    main()
