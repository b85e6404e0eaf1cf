"""One TCP connection of a server: HTTP/1.1 with keep-alive, logins and encryption that belong to the connection."""

import socket
import ssl
import threading
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from tests.winrm.authentication import Authentication, Policy, Unreadable
from tests.winrm.certificates import fingerprint_of
from tests.winrm.faults import Effect, Fault, Faults
from tests.winrm.journal import Journal, Request
from tests.winrm.messages import FAULT, Malformed, Message, envelope, read_message
from tests.winrm.service import Service
from tests.winrm.shells import Limits
from tests.winrm.wsman_faults import Faulted, WSManFault, scripted

__all__ = ["Connection", "Shared"]

_ENCRYPTION_BYTES = 1024
"""What multipart/encrypted may add to an envelope."""
_SOAP = "application/soap+xml;charset=UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the connections of one server have in common."""

    service: Service
    policy: Policy
    journal: Journal
    faults: Faults
    limits: Limits
    machine: str
    path: str
    context: ssl.SSLContext | None
    stopping: threading.Event


class _Gone(Exception):
    """The connection is to end without a further byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """An answer to be sent; `encrypted_as` is the request's content type if its body was encrypted."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    encrypted_as: str | None = None


class Connection(BaseHTTPRequestHandler):
    """
    Serves the requests of one connection, in its own thread.

    Buffered writing and no Nagle: without them each answer waits 40 ms for an
    acknowledgement.
    """

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def __init__(self, request: socket.socket, address: tuple[str, int], shared: Shared, number: int) -> None:
        self._shared = shared
        self._number = number
        self._client = address[0]
        certificate = request.getpeercert(binary_form=True) if isinstance(request, ssl.SSLSocket) else None
        self._login = Authentication(
            shared.policy, shared.journal, connection=number, fingerprint=fingerprint_of(certificate)
        )
        self._entry: Request | None = None
        super().__init__(request, address, shared)  # type: ignore[arg-type]  # It only keeps the server.

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # The name is the base class's.
        """Say nothing: the journal has it."""

    def handle_expect_100(self) -> bool:
        """Ask for the body at once; the base class leaves the line in the buffer."""
        proceeds = super().handle_expect_100()
        self.wfile.flush()
        return proceeds

    def do_GET(self) -> None:
        self._entry = None
        self._send(_Answer(status=HTTPStatus.METHOD_NOT_ALLOWED), fault=None)

    def do_POST(self) -> None:
        try:
            self._post()
        except _Gone:
            self.close_connection = True

    def _post(self) -> None:
        """Read one request, note it, and answer it unless a scripted fault forbids."""
        length = int(self.headers.get("Content-Length", "0"))
        most = self._shared.limits.envelope_bytes + _ENCRYPTION_BYTES
        body = self._read_body(length, most)
        content_type = self.headers.get("Content-Type", "")
        is_encrypted = content_type.lower().startswith("multipart/encrypted")
        is_clear = bool(length) and not is_encrypted and self._shared.context is None
        self._entry = Request(
            connection=self._number, body_bytes=length, clear_text=is_clear, encrypted=is_encrypted,
            user=self._login.user,
        )  # fmt: skip
        self._shared.journal.add_request(self._entry)
        fault = self._meet(None)
        if fault is not None and fault.effect is Effect.STATUS:
            self._send(_Answer(status=fault.number), fault=None)
        elif length > most:
            self._send(_Answer(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE), fault=None)
        elif self.path.partition("?")[0] != self._shared.path:
            self._send(_Answer(status=HTTPStatus.NOT_FOUND), fault=fault)
        else:
            self._answer(content_type, body, is_clear=is_clear, fault=fault)

    def _read_body(self, length: int, most: int) -> bytes:
        """Read a body; of one that is too large nothing is kept."""
        if length <= most:
            body = self.rfile.read(length)
            if len(body) == length:
                return body
            raise _Gone  # The peer went within the body.
        for left in range(length, 0, -65536):
            self.rfile.read(min(left, 65536))
        return b""

    def _answer(self, content_type: str, body: bytes, *, is_clear: bool, fault: Fault | None) -> None:
        """Log in, open the body, and answer the message in it."""
        token = self._login.take(self.headers.get("Authorization"))
        assert self._entry is not None
        self._entry.user = self._login.user
        mutual = () if token is None else (("WWW-Authenticate", token),)
        if self._login.user is None:
            offered = mutual or tuple(("WWW-Authenticate", scheme) for scheme in self._login.challenges())
            self._send(_Answer(status=HTTPStatus.UNAUTHORIZED, headers=offered), fault=fault)
            return
        if not body:
            self._send(_Answer(status=HTTPStatus.OK, headers=mutual), fault=fault)
            return
        if is_clear:
            self._send(_Answer(status=HTTPStatus.INTERNAL_SERVER_ERROR), fault=fault)
            return
        try:
            opened = self._login.open(content_type, body)
            message = read_message(body if opened is None else opened)
        except (Unreadable, Malformed):
            self._send(_Answer(status=HTTPStatus.BAD_REQUEST), fault=fault)
            return
        self._answer_message(message, content_type if opened is not None else None, mutual, fault)

    def _answer_message(
        self, message: Message, encrypted_as: str | None, headers: tuple[tuple[str, str], ...], fault: Fault | None
    ) -> None:
        assert self._entry is not None
        assert self._login.user is not None
        self._entry.action = message.name
        fault = fault or self._meet(message.name)
        status, action = HTTPStatus.OK, f"{message.action}Response"
        try:
            if fault is not None and fault.effect is Effect.FAULT:
                raise Faulted(scripted(fault.number))
            if fault is not None and fault.effect is Effect.STATUS:
                self._send(_Answer(status=fault.number), fault=None)
                return
            if fault is not None and fault.effect is Effect.GARBAGE:
                content = fault.body
            else:
                body = self._shared.service.answer(message, user=self._login.user, client=self._client)
                content = envelope(action, message.message_id, body)
        except Faulted as exc:
            status, content = HTTPStatus.INTERNAL_SERVER_ERROR, self._faulted(exc.fault, message)
        self._send(
            _Answer(status=status, body=content, content_type=_SOAP, headers=headers, encrypted_as=encrypted_as),
            fault=fault,
        )

    def _faulted(self, fault: WSManFault, message: Message) -> bytes:
        assert self._entry is not None
        self._entry.fault_code = fault.code
        return envelope(FAULT, message.message_id, fault.body(self._shared.machine))

    def _meet(self, action: str | None) -> Fault | None:
        """Return the scripted fault that this request meets; those that forbid an answer end here."""
        fault = self._shared.faults.take(action)
        match fault.effect if fault else None:
            case Effect.DROP:
                raise _Gone
            case Effect.HANG:
                self._shared.stopping.wait()
                raise _Gone
            case Effect.SLOW:
                assert fault is not None
                self._shared.stopping.wait(fault.seconds)
        return fault

    def _send(self, answer: _Answer, *, fault: Fault | None) -> None:
        """Send an answer, or as much of it as a scripted fault lets through."""
        effect = None if fault is None else fault.effect
        if effect is Effect.LOSE:
            raise _Gone
        content_type, body = answer.content_type, answer.body
        if answer.encrypted_as is not None:
            content_type, body = self._login.seal(answer.encrypted_as, body)
        if effect is Effect.CLOSE:
            self.close_connection = True
        data = _head(answer, content_type, len(body), closes=self.close_connection) + body
        if effect is Effect.CUT:
            assert fault is not None
            self.wfile.write(data[: fault.number])
            self.wfile.flush()
            raise _Gone
        if self._entry is not None:
            self._entry.status = int(answer.status)
        self.wfile.write(data)
        self.wfile.flush()


def _head(answer: _Answer, content_type: str | None, length: int, *, closes: bool) -> bytes:
    """Return status line and headers as http.sys writes them."""
    status = HTTPStatus(answer.status)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    lines += (f"{name}: {value}" for name, value in answer.headers)
    lines += ("Server: Microsoft-HTTPAPI/2.0", f"Date: {formatdate(usegmt=True)}", f"Content-Length: {length}")
    if closes:
        lines.append("Connection: close")
    return "\r\n".join((*lines, "", "")).encode("latin-1")
