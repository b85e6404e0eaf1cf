"""What a server saw, for tests to read: every HTTP request, every attempt to log in, every connection."""

import threading
from dataclasses import dataclass

__all__ = ["Attempt", "Journal", "Request"]


@dataclass(slots=True, kw_only=True)
class Request:
    """
    One HTTP request, noted when it came; the rest is filled in as it becomes known.

    `clear_text`: it had a body that was not encrypted, on a connection without TLS
    (also when the answer was 401: the body was on the wire). `action` is None until
    a SOAP message was read; `status` is None while, and if, no answer was sent.
    """

    connection: int
    body_bytes: int
    clear_text: bool
    encrypted: bool
    user: str | None = None
    action: str | None = None
    status: int | None = None
    fault_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    One login that was tried: a whole handshake, or one Basic header.

    `user` is None when it was refused before it was known; `error` is the acceptor's
    word for why, '' where there is none.
    """

    connection: int
    mechanism: str
    user: str | None
    accepted: bool
    error: str = ""


class Journal:
    """All that a server saw since it started; may be read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._attempts: list[Attempt] = []
        self._connections = 0

    @property
    def requests(self) -> tuple[Request, ...]:
        with self._lock:
            return tuple(self._requests)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        with self._lock:
            return tuple(self._attempts)

    @property
    def connections(self) -> int:
        """How many TCP connections were accepted."""
        return self._connections

    @property
    def clear_text_bodies(self) -> int:
        """How many bodies came unencrypted over http; 0 is the only good answer."""
        return sum(request.clear_text for request in self.requests)

    def actions(self) -> tuple[str, ...]:
        """Return the actions of all messages that could be read, in order."""
        return tuple(request.action for request in self.requests if request.action is not None)

    def add_connection(self) -> int:
        """Note a connection and return its number, from 1."""
        with self._lock:
            self._connections += 1
            return self._connections

    def add_request(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    def add_attempt(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts.append(attempt)
