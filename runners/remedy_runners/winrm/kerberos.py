"""
Logins by a ticket, as pywinrm makes them, without their traps.

pywinrm (0.5.0) asks for a ticket by a name that Kerberos lets DNS replace, shows
it before it can bind it to a certificate, shows it again when it is refused, keeps
some errors to itself, logs all of them with tracebacks, and takes an answer that
was given before for a new one.
"""

import functools
import logging
import re
from typing import Any
from urllib.parse import urlsplit

import requests

__all__ = ["Answers", "KerberosFailed", "prepare", "service_of"]

_PART = re.compile(rb"application/octet-stream\r\n(.{4})(.*)", re.DOTALL)
_BOUNDARY = b"--Encrypted Boundary\r\n"
_WRAPPED = b"\x05\x04"
_SEALED = 0x02
"""Source: RFC 4121, 4.2.6.2: the token's id, a flag, and 64 bits that count; none of it can be altered on the way."""


class KerberosFailed(Exception):
    """Kerberos has no ticket for a login; never leaves the runners. `code` is that of its library, if it gave one."""

    def __init__(self, said: str, code: int | None) -> None:
        super().__init__(said)
        self.code = code


class Answers:
    """The encrypted answers of one connection, which are taken in the order in which the host gave them."""

    def __init__(self) -> None:
        self._next: int | None = None

    def check(self, body: bytes) -> None:
        """
        See that an answer is encrypted, and the one that follows the one before.

        Raises:
            ConnectionError: it is not; requests's.
        """
        parts = [part for part in body.split(_BOUNDARY) if part]
        found = _PART.search(parts[1]) if len(parts) == 2 else None
        token = found[2] if found else b""
        if not token.startswith(_WRAPPED) or len(token) < 16 or not token[2] & _SEALED:
            raise requests.ConnectionError("an answer is not encrypted as Kerberos does with AES")
        number = int.from_bytes(token[8:16], "big")
        if self._next not in (None, number):
            raise requests.ConnectionError("an answer came that is not the next one")
        self._next = (number + 1) % 2**64


def service_of(endpoint: str) -> str:
    """Return the service that a ticket is asked for: that of exactly the host which an endpoint names."""
    return f"HTTP/{urlsplit(endpoint).hostname}"


def prepare(auth: Any, *, is_http: bool) -> None:
    """Have a login of pywinrm's show one ticket, within TLS one that is bound to the certificate, or say why not."""
    _silence()
    auth.force_preemptive = is_http
    auth.generate_request_header = functools.partial(_header, auth.generate_request_header)
    auth.handle_response = functools.partial(_handle, auth, auth.handle_response)
    auth.handle_401 = functools.partial(_answer_refusal, auth.handle_401)


def _header(generate: Any, *arguments: Any, **options: Any) -> str:
    try:
        header: str = generate(*arguments, **options)
    except requests.RequestException as exc:
        raise _failed(exc) from exc
    return header


def _handle(auth: Any, handle: Any, response: requests.Response, **options: Any) -> requests.Response:
    # Whatever is no refusal has been read, so that its connection cannot be asked for its certificate.
    auth.cbt_binding_tried = auth.cbt_binding_tried or response.status_code != 401
    handled: requests.Response = handle(response, **options)
    return handled


def _answer_refusal(answer: Any, response: requests.Response, **options: Any) -> requests.Response:
    if "Authorization" in response.request.headers:
        return response  # It has seen the ticket.
    answered: requests.Response = answer(response, **options)
    return answered


def _failed(exc: Exception) -> KerberosFailed:
    """Return what the library of Kerberos said, which pywinrm put into a text."""
    match getattr(exc.__context__, "args", ()):
        case (_, (str(said), int(code))):
            return KerberosFailed(said, code)
    return KerberosFailed(str(exc), None)


def _silence() -> None:
    """Keep the library's chatter, with its tracebacks, off the terminal."""
    logger = logging.getLogger("winrm")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
