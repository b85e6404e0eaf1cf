"""Somebody between a controller and a server: passes requests and answers on, and alters answers as a test says."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

__all__ = ["Alter", "Between", "answered"]

Alter = Callable[[int, bytes], Iterable[bytes] | None]
"""Gets the number of an answer, from 0, and the answer; returns what to send instead, or None to let it pass."""

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


class Between:
    """
    A relay on a port of its own; a context manager.

    `alter` may be set at any time, and counts from there. What it returns is sent
    piece by piece until the peer goes or the relay stops; it may wait by `pause`.
    """

    def __init__(self, port: int, *, address: str = "127.0.0.1") -> None:
        self._to = (address, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopping = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._alter: Alter | None = None
        self._count = 0
        self.connections = 0

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def alter(self, how: Alter | None) -> None:
        """Alter answers from now on."""
        self._alter, self._count = how, 0

    def pause(self, seconds: float) -> None:
        """Wait, unless the relay stops."""
        self._stopping.wait(seconds)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):  # It is gone already.
                each.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join()
        self._listener.close()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._to) as server:
            self._sockets += [client, server]
            with contextlib.suppress(OSError):  # One of the two went.
                while not self._stopping.is_set():
                    request = _message(client)
                    if not request:
                        return
                    server.sendall(request)
                    answer = _message(server)
                    self._pass_on(client, answer)
                    if not answer:
                        return

    def _pass_on(self, client: socket.socket, answer: bytes) -> None:
        alter, number = self._alter, self._count
        self._count += 1
        altered = alter(number, answer) if alter is not None else None
        for piece in (answer,) if altered is None else altered:
            if self._stopping.is_set():
                return
            client.sendall(piece)


def _message(peer: socket.socket) -> bytes:
    """Read one HTTP message; b"" at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = peer.recv(65_536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    found = _LENGTH.search(head)
    left = (int(found[1]) if found else 0) - len(body)
    while left > 0:
        more = peer.recv(left)
        if not more:
            return b""
        data += more
        left -= len(more)
    return data


def answered(status: int, body: bytes = b"", *headers: str, length: bool = True) -> bytes:
    """Return a whole answer in clear text."""
    lines = [f"HTTP/1.1 {status} Whatever", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
