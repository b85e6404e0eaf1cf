"""
Who is at the other end of one TCP connection, as http.sys keeps it: NTLM and Kerberos once per connection.

The acceptor is pyspnego's; it also opens and seals the messages of its connection ([MS-WSMV] 2.2.9.1).
"""

import base64
import binascii
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import spnego
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from tests.winrm.journal import Attempt, Journal

__all__ = ["MUTUAL", "Authentication", "Policy", "Unreadable"]

MUTUAL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
"""The Authorization header of a login by client certificate."""
_BOUNDARY = b"--Encrypted Boundary"
_OCTETS = re.compile(rb"\s*Content-Type:\s*application/octet-stream\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"OriginalContent:[^\r\n]*Length=(\d+)", re.IGNORECASE)
_PROTOCOL = re.compile(r'multipart/encrypted\s*;.*protocol="?([^";]+)"?', re.IGNORECASE)


class Unreadable(Exception):
    """An encrypted body that this connection's keys do not open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    Which logins a server takes.

    `accounts` are users and passwords, `certificates` the users of client
    certificates by SHA-256 fingerprint; Basic and certificates work within TLS
    only. `channel_binding` is what a handshake within TLS must be bound to; None
    asks for nothing. `kerberos`: tickets for what is in the keytab are taken.
    `offers_ntlm`: tokens also come under the scheme NTLM (see `WinRMServer`).
    """

    accounts: Mapping[str, str]
    certificates: Mapping[str, str]
    is_tls: bool
    kerberos: bool
    channel_binding: bytes | None
    offers_ntlm: bool


class Authentication:
    """The state of one connection."""

    def __init__(self, policy: Policy, journal: Journal, *, connection: int, fingerprint: str | None) -> None:
        self.user: str | None = None
        self._policy = policy
        self._journal = journal
        self._connection = connection
        self._fingerprint = fingerprint
        self._context: spnego.ContextProxy | None = None
        self._mechanism = ""

    def take(self, header: str | None) -> str | None:
        """
        Read an Authorization header and return what WWW-Authenticate says to it, if anything.

        `user` is set when the login is complete; a new handshake on a connection
        that has a user starts from nothing.
        """
        scheme, _, credentials = (header or "").partition(" ")
        match scheme.lower():
            case "negotiate" | "kerberos":
                return self._take_token(scheme, credentials.strip())
            case "ntlm" if self._policy.offers_ntlm:
                return self._take_token(scheme, credentials.strip())
            case "basic" if self._policy.is_tls:
                self._take_basic(credentials.strip())
            case _ if header == MUTUAL and self._policy.is_tls:
                self.user = self._policy.certificates.get(self._fingerprint or "")
                self._note("certificate", self.user, accepted=self.user is not None)
            case _:
                pass  # Nothing, or a scheme that is not offered: a connection that has a user keeps it.
        return None

    def challenges(self) -> tuple[str, ...]:
        """Return the schemes that a 401 offers."""
        offered = ["Negotiate"]
        if self._policy.kerberos:
            offered.append("Kerberos")
        if self._policy.offers_ntlm:
            offered.append("NTLM")
        if self._policy.is_tls:
            offered.append('Basic realm="WSMAN"')
        return tuple(offered)

    def open(self, content_type: str, body: bytes) -> bytes | None:
        """
        Return the message in an encrypted body; None: the body is not an encrypted one.

        Raises:
            Unreadable: it is, and cannot be opened.
        """
        if not _PROTOCOL.match(content_type):
            return None
        if self._context is None or not self._context.complete:
            raise Unreadable("no keys on this connection")
        try:
            header, rest = body.removeprefix(_BOUNDARY + b"\r\n").split(_BOUNDARY + b"\r\n", 1)
            found, start = _LENGTH.search(header), _OCTETS.match(rest)
            if found is None or start is None:
                raise Unreadable("no multipart/encrypted body")
            sealed = rest[start.end() :].removesuffix(b"\r\n").removesuffix(_BOUNDARY + b"--")
            signature_bytes = struct.unpack("<i", sealed[:4])[0]
            message = self._context.unwrap_winrm(sealed[4 : 4 + signature_bytes], sealed[4 + signature_bytes :])
        except (SpnegoError, ValueError, struct.error) as exc:
            raise Unreadable(str(exc)) from exc
        if len(message) != int(found[1]):
            raise Unreadable("the length is not as announced")
        return message

    def seal(self, content_type: str, message: bytes) -> tuple[str, bytes]:
        """Return content type and body of an encrypted answer, in the protocol of the request's content type."""
        found = _PROTOCOL.match(content_type)
        assert found is not None
        assert self._context is not None
        sealed = self._context.wrap_winrm(message)
        length = len(message) + sealed.padding_length
        protocol = found[1].encode()
        body = b"".join(
            (
                _BOUNDARY + b"\r\n\tContent-Type: " + protocol + b"\r\n",
                b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n" % length,
                _BOUNDARY + b"\r\n\tContent-Type: application/octet-stream\r\n",
                struct.pack("<i", len(sealed.header)) + sealed.header + sealed.data,
                _BOUNDARY + b"--\r\n",
            )
        )
        return f'multipart/encrypted;protocol="{found[1]}";boundary="Encrypted Boundary"', body

    def _take_token(self, scheme: str, text: str) -> str | None:
        if self._context is None or self._context.complete:
            self._context, self.user, self._mechanism = None, None, "?"
        try:
            token = base64.b64decode(text, validate=True)
            if self._context is None:
                self._begin(scheme, token)
            assert self._context is not None
            answer = self._context.step(token)
            if self._context.complete:
                self._finish(self._context)
        except Exception as exc:  # noqa: BLE001  # A token that is garbage ends pyspnego in KeyError and others.
            self._context, self.user = None, None
            self._note(self._mechanism, None, accepted=False, error=type(exc).__name__)
            return None
        return f"{scheme} {base64.b64encode(answer).decode()}" if answer else None

    def _begin(self, scheme: str, token: bytes) -> None:
        self._mechanism = "ntlm" if token.startswith(b"NTLMSSP\0") else scheme.lower()
        binding = self._policy.channel_binding
        self._context = spnego.server(
            protocol=self._mechanism,
            channel_bindings=None if binding is None else GssChannelBindings(application_data=binding),
        )

    def _finish(self, context: spnego.ContextProxy) -> None:
        """Take the user of a complete handshake, if this server (not another of the process) knows it."""
        principal = context.client_principal or ""
        name = principal.rpartition("\\")[2].partition("@")[0]
        known = {user.upper(): user for user in self._policy.accounts}
        if context.negotiated_protocol != "kerberos" or self._policy.kerberos:
            self.user = known.get(name.upper())
        self._note(context.negotiated_protocol or self._mechanism, principal, accepted=self.user is not None)

    def _take_basic(self, text: str) -> None:
        try:
            user, _, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user, password = "", ""
        self.user = user if self._policy.accounts.get(user) == password else None
        self._note("basic", user, accepted=self.user is not None)

    def _note(self, mechanism: str, user: str | None, *, accepted: bool, error: str = "") -> None:
        self._journal.add_attempt(
            Attempt(connection=self._connection, mechanism=mechanism, user=user, accepted=accepted, error=error)
        )
