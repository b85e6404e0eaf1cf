"""
HTTP under WinRM: one connection at a time, whose every request and answer passes one guard.

Nothing goes out in clear text, no answer is larger or takes longer than it may,
and a password is only sent where `Logins` allows it.
"""

import base64
import binascii
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

__all__ = ["ClearText", "GuardedAdapter", "Link", "NotSent", "is_encrypted", "proves_password"]

_ANSWER_SIZE_MAX = 1_048_576
"""Twice what Windows sends in one answer unless told otherwise (MaxEnvelopeSizekb is 500)."""

_REFUSAL_SIZE_MAX = 65_536
_NTLM_PROOF = b"NTLMSSP\0\x03"
"""The third message of NTLM is the one that a host, or its domain, judges the password by."""

Attempt = Callable[[], AbstractContextManager[Callable[[bool], None]]]


class ClearText(Exception):
    """Something would have crossed the network in clear text, or did as an answer; never leaves the runners."""


class NotSent(Exception):
    """The connection had ended before a message was sent: surely nobody got it; never leaves the runners."""


class Link:
    """
    The connections of one client, and the time that they have; used by one thread, apart from its timer.

    Once sealed it opens no other connection: keys of NTLM and Kerberos belong to one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer: threading.Timer | None = None
        self._until = 0.0
        self.is_sealed = False
        self.has_expired = False

    def add(self, sock: socket.socket | None) -> None:
        """Note a socket, so that its peer cannot hold us longer than we want."""
        if sock is not None:
            with self._lock:
                self._sockets = [each for each in self._sockets if each.fileno() >= 0]
                self._sockets.append(sock)

    def shut(self) -> None:
        """Wake whoever waits for one of the connections; from any thread."""
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):  # It is gone already.
                    # Not SSLSocket's own method: that turns the socket into one that writes in clear text.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """End all connections now: a half-read answer would keep its own until it is collected."""
        self.shut()
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for sock in sockets:
            descriptor = sock.detach()
            if descriptor >= 0:
                os.close(descriptor)

    @contextmanager
    def watched(self, seconds: float) -> Iterator[None]:
        """End all connections when the block takes longer: requests' own time limits are per read, not for all."""
        self.has_expired = False
        self._until = time.monotonic() + seconds
        self._arm()
        try:
            yield
        except Exception as exc:
            if self.has_expired:
                raise requests.Timeout("no answer in time") from exc
            raise
        finally:
            self._disarm()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let no time pass for a block within `watched`."""
        left_s = self._until - time.monotonic()
        self._disarm()
        try:
            yield
        finally:
            self._until = time.monotonic() + left_s
            self._arm()

    def _arm(self) -> None:
        self._timer = threading.Timer(max(0.0, self._until - time.monotonic()), self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self.has_expired = True
        self.shut()


class GuardedAdapter(HTTPAdapter):
    """No retries, no second connection beside the first, and every answer under limits."""

    def __init__(self, link: Link, *, fingerprint: str | None, attempt: Attempt) -> None:
        self._link = link
        self._fingerprint = fingerprint
        self._attempt = attempt
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        """Send one request, the steps of a handshake among them."""
        _check(request)
        if not proves_password(request):
            return self._send(request, *arguments, **options)
        with contextlib.ExitStack() as held:
            with self._link.paused():
                tell = held.enter_context(self._attempt())
            response = self._send(request, *arguments, **options)
            tell(response.status_code != 401)
            return response

    def _send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        response = super().send(request, *arguments, **options)
        try:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise requests.ConnectionError("an answer is compressed, which was not asked for")
            if response.status_code == 401:
                _check_refusal(response)
            else:
                _read(response)
        except BaseException:
            response.close()
            raise
        return response

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """Make the pools, whose connections tell us their sockets."""
        if self._fingerprint is not None:
            options["assert_fingerprint"] = self._fingerprint
        super().init_poolmanager(connections, maxsize, block, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._link)


def _pools(link: Link) -> dict[str, type[HTTPConnectionPool]]:
    class _HTTP(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            if link.is_sealed:
                raise NotSent("the host ended the connection")
            sock = super()._new_conn()
            link.add(sock)
            return sock

    class _HTTPS(HTTPSConnection):
        def connect(self) -> None:
            super().connect()  # A TLS handshake has one time limit, whatever trickles in meanwhile.
            link.add(self.sock)

    class _HTTPPool(HTTPConnectionPool):
        ConnectionCls = _HTTP

    class _HTTPSPool(HTTPSConnectionPool):
        ConnectionCls = _HTTPS

    return {"http": _HTTPPool, "https": _HTTPSPool}


def is_encrypted(request: requests.PreparedRequest) -> bool:
    """Say whether a request's body is an encrypted message."""
    return str(request.headers.get("Content-Type", "")).startswith("multipart/encrypted")


def proves_password(request: requests.PreparedRequest) -> bool:
    """Say whether a host judges a password by this request."""
    scheme, _, token = str(request.headers.get("Authorization", "")).partition(" ")
    if scheme.lower() == "basic":
        return True
    if scheme.lower() not in ("ntlm", "negotiate"):
        return False
    try:
        return base64.b64decode(token).startswith(_NTLM_PROOF)
    except binascii.Error:
        return False


def _check(request: requests.PreparedRequest) -> None:
    if str(request.url).startswith("https://"):
        return
    if request.body and not is_encrypted(request):
        raise ClearText("a message was about to be sent in clear text")
    if str(request.headers.get("Authorization", "")).lower().startswith("basic"):
        raise ClearText("a password was about to be sent in clear text")


def _check_refusal(response: requests.Response) -> None:
    """
    See that the body of a 401 is small.

    It stays unread: the handshake asks the connection of an unread answer for its
    certificate, and reads the rest itself.
    """
    size = response.headers.get("Content-Length", "")
    if "Transfer-Encoding" in response.headers or not size.isdecimal() or int(size[:10]) > _REFUSAL_SIZE_MAX:
        raise requests.ConnectionError("a refusal (HTTP 401) of unknown size, or too large")


def _read(response: requests.Response) -> None:
    """Read an answer's body, and no more than a host may send in one."""
    raw = response.raw.read(_ANSWER_SIZE_MAX + 1, decode_content=False)
    if len(raw) > _ANSWER_SIZE_MAX:
        raise requests.ConnectionError(f"an answer is larger than {_ANSWER_SIZE_MAX} bytes")
    # One whose header was cut off looks whole to http.client.
    is_chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
    if not is_chunked and response.headers.get("Content-Length") != str(len(raw)):
        raise requests.ConnectionError("an answer was cut off")
    response._content = raw  # noqa: SLF001  # The one way to hand requests a body that was read under a limit.
    response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
    response.raw.release_conn()
