"""
A protocol of pywinrm over a connection that nobody can read, or answer for the host.

pywinrm (0.5.0) posts in clear text after its handshake failed once, takes an
answer that is not encrypted for one that was, follows redirects, reads proxies,
passwords and certificates from the environment, and waits without an end for a
host that trickles. None of that gets past `_GuardedTransport`.
"""

import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Literal

import certifi
import requests
from winrm.exceptions import WinRMTransportError
from winrm.protocol import Protocol
from winrm.transport import Transport

from remedy.errors import Refused
from remedy.port import WinRMAuth
from remedy_runners.secrets import Secret
from remedy_runners.winrm.adapter import ClearText, GuardedAdapter, Link, is_encrypted, proves_password
from remedy_runners.winrm.kerberos import Answers, prepare, service_of
from remedy_runners.winrm.logins import Logins

__all__ = ["ANSWER_S", "OPERATION_S", "OTHER_SERVICE", "Login", "LoginRefused", "close_protocol", "open_protocol"]

OPERATION_S = 20
"""A host is asked to answer one request within so many seconds, at most; MaxTimeoutms is 60 s."""

ANSWER_S = 10
"""An answer may be so much later than the host was asked for."""

_LOGIN_S = 20
"""A host has so long for each step of a login: it may have to ask its domain."""

_SPNEGO = 'protocol="application/HTTP-SPNEGO-session-encrypted"'
_SYSTEM_CA = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
_LOGGED_IN = frozenset({200, 400, 405, 411, 500})
"""What a host may say to a message without a body from a login that it accepts; never seen on Windows within TLS."""

OTHER_SERVICE = frozenset({404, 501})
"""What only a service that is not WinRM says, or WinRM at another path."""

_METHODS: dict[WinRMAuth, Literal["ntlm", "kerberos", "certificate", "basic"]] = {
    WinRMAuth.NTLM: "ntlm",
    WinRMAuth.KERBEROS: "kerberos",
    WinRMAuth.CERTIFICATE: "certificate",
    WinRMAuth.BASIC: "basic",
}


class LoginRefused(Exception):
    """
    The host said no to a login (HTTP 401); never leaves the runners.

    `was_tried` is false when the host offers only other ways of logging in, which `offered` names.
    """

    def __init__(self, *, was_tried: bool, offered: str) -> None:
        super().__init__("the host does not accept this login")
        self.was_tried = was_tried
        self.offered = offered


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Everything that leads to one WinRM service, resolved; the password does not print."""

    endpoint: str
    user: str
    auth: WinRMAuth
    password: Secret | None
    ca_file: str | None
    fingerprint: str | None
    certificate: str | None
    certificate_key: str | None
    connect_timeout_s: int

    @property
    def is_http(self) -> bool:
        """Whether messages must be encrypted, since the connection is not."""
        return not self.endpoint.startswith("https://")

    @property
    def verify(self) -> str:
        """The file with the certificate authorities that count; the environment names none."""
        if self.ca_file is not None:
            return self.ca_file
        system = (Path(ssl.get_default_verify_paths().openssl_cafile), *_SYSTEM_CA)
        return str(next((path for path in system if path.is_file()), certifi.where()))

    def check(self, logins: Logins) -> None:
        """
        Look whether the login may still be tried; one without a password always may.

        Raises:
            Refused: it was refused before, here or often.
        """
        if self.password is not None:
            logins.check(self.endpoint, self.user, self.password, is_local=self._is_local)

    def attempt(self, logins: Logins) -> AbstractContextManager[Callable[[bool], None]]:
        """Hold the login while its password is tried; see `Logins.attempt`."""
        if self.password is None:
            raise Refused(f"{self.endpoint}: a password was about to be sent, and there is none")
        return logins.attempt(self.endpoint, self.user, self.password, is_local=self._is_local)

    @property
    def _is_local(self) -> bool:
        # Windows takes no accounts of a domain over Basic.
        return self.auth is WinRMAuth.BASIC


class _GuardedTransport(Transport):
    """pywinrm's transport, with one place through which every request goes."""

    def __init__(self, login: Login, logins: Logins) -> None:
        self._login = login
        self._answers = Answers()
        self._link = Link()
        self._adapter = GuardedAdapter(self._link, fingerprint=login.fingerprint, attempt=lambda: login.attempt(logins))
        self.answer_s = float(_LOGIN_S)
        super().__init__(
            endpoint=login.endpoint,
            username=login.user,
            password=None if login.password is None else login.password.reveal(),
            ca_trust_path=login.verify,
            cert_pem=login.certificate,
            cert_key_pem=login.certificate_key,
            server_cert_validation="validate",
            auth_method=_METHODS[login.auth],
            message_encryption="always" if login.is_http else "never",
            send_cbt=not login.is_http,
            # The whole name, and a realm that Kerberos finds: of a host's name alone it would let DNS make another.
            service=service_of(login.endpoint),
            kerberos_hostname_override="",
            proxy=None,
        )

    def log_in(self) -> None:
        """Have the host accept the login before it gets the first message; over http, agree on keys."""
        session = self.build_session()
        if self._login.is_http:
            if self.encryption is None or getattr(session.auth, "session_security", self) is None:
                raise ClearText("the host agreed on no keys to encrypt messages with")
            self._link.is_sealed = True
        else:
            self._guard(session)
            response = self._exchange(session, session.prepare_request(requests.Request("POST", self.endpoint)))
            if response.status_code not in _LOGGED_IN:
                raise WinRMTransportError("http", response.status_code, "")

    def setup_encryption(self, session: requests.Session) -> None:
        """Agree on keys, as pywinrm does, but behind the guard."""
        self._guard(session)
        super().setup_encryption(session)

    def _guard(self, session: requests.Session) -> None:
        session.trust_env = False
        if self._login.auth is WinRMAuth.KERBEROS:
            prepare(session.auth, is_http=self._login.is_http)
        session.headers["Accept-Encoding"] = "identity"
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        session.mount("http://", self._adapter)
        session.mount("https://", self._adapter)

    def close_session(self) -> None:
        """End the connection, also one in the midst of an answer."""
        super().close_session()
        self._link.close()

    def send_message(self, message: str | bytes) -> bytes:
        """Send one message, encrypted when the endpoint is http; never otherwise."""
        if self.session is None or (self._login.is_http and self.encryption is None):
            raise ClearText("the messages of this session are not encrypted")
        answer: bytes = super().send_message(message)
        return answer

    def _send_message_request(
        self, session: requests.Session, prepared_request: requests.PreparedRequest
    ) -> requests.Response:
        """Return an answer that says yes; what else there may be is an error, as pywinrm has it."""
        is_sealed = is_encrypted(prepared_request)
        if is_sealed:
            # Its keys end with its connection, so there is nothing to log in again for.
            prepared_request.hooks["response"] = []
        response = self._exchange(session, prepared_request)
        status = response.status_code
        if is_sealed and status in (200, 500) and (response.content or status == 200):
            if _SPNEGO not in response.headers.get("Content-Type", ""):
                # Whoever is in between can write such an answer; nothing in it counts.
                raise ClearText("an answer came that was not encrypted")
        elif is_sealed and status != 200:
            raise WinRMTransportError("http", status, "")
        if status != 200:
            text = self._get_message_response_text(response) if response.content else b""
            raise WinRMTransportError("http", status, text.decode("utf-8", errors="replace"))
        return response

    def _exchange(self, session: requests.Session, request: requests.PreparedRequest) -> requests.Response:
        login = self._login
        with self._link.watched(login.connect_timeout_s + self.answer_s + 1):
            response = session.send(
                request,
                timeout=(login.connect_timeout_s, self.answer_s),
                allow_redirects=False,
                stream=True,
                verify=False if login.fingerprint is not None else login.verify,
                proxies={},
            )
        if response.status_code == 401 and not is_encrypted(request):
            has_password = login.auth in (WinRMAuth.NTLM, WinRMAuth.BASIC)
            raise LoginRefused(
                was_tried=proves_password(response.request) or not has_password,
                offered=response.headers.get("WWW-Authenticate", ""),
            )
        if response.status_code in OTHER_SERVICE:
            # Before the body is looked at: it is a page for people.
            raise WinRMTransportError("http", response.status_code, "")
        return response

    def _get_message_response_text(self, response: requests.Response) -> bytes:
        """Return an answer's XML, which defines no entities of its own."""
        if self._login.auth is WinRMAuth.KERBEROS and self._login.is_http:
            self._answers.check(response.content)
        text: bytes = super()._get_message_response_text(response)
        if b"\0" in text or b"<!DOCTYPE" in text:
            raise requests.ConnectionError("an answer is no plain XML")
        return text


class _GuardedProtocol(Protocol):
    """pywinrm's protocol, whose answers may take as long as the host was asked for, and a little."""

    def __init__(self, login: Login, logins: Logins) -> None:
        super().__init__(
            endpoint=login.endpoint,
            transport="basic",  # Replaced below, with everything that matters.
            username="nobody",
            password="",
            ca_trust_path=login.verify,
            proxy=None,
            operation_timeout_sec=OPERATION_S,
            read_timeout_sec=OPERATION_S + ANSWER_S,
        )
        self.transport: _GuardedTransport = _GuardedTransport(login, logins)

    def send_message(self, message: str) -> bytes:
        self.transport.answer_s = float(self.operation_timeout_sec) + ANSWER_S
        answer: bytes = super().send_message(message)
        return answer


def open_protocol(login: Login, logins: Logins) -> Protocol:
    """
    Return a protocol over a connection that is ready: the host has accepted the login.

    It belongs to one thread, and is closed after anything that it raised.

    Raises:
        LoginRefused: the host said no.
        ClearText: the messages could not be encrypted.
        Exception: what pywinrm and requests raise; see `remedy_runners.winrm.faults.translate`.
    """
    login.check(logins)
    protocol = _GuardedProtocol(login, logins)
    try:
        protocol.transport.log_in()
    except BaseException:
        close_protocol(protocol)
        raise
    return protocol


def close_protocol(protocol: Protocol) -> None:
    """End the connection of a protocol, whatever state it is in."""
    protocol.transport.close_session()
