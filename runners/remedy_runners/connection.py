"""
One SSH connection: socket, key exchange with a verified host key, authentication, channels.

Host keys are strict and not optional: no setting reaches a policy that would
accept an unknown one. Agent forwarding does not exist here. Foreign exceptions
are translated in `translate` and nowhere else.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, cast

import paramiko
from paramiko.packet import NeedRekeyException
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import IncompatiblePeer, MessageOrderError

from remedy.errors import Refused, RemedyError, Unreachable
from remedy.text import untrusted
from remedy_runners.hostkeys import HostKey, Judge, Shown
from remedy_runners.hostkeys.certificate import CERTIFICATE_SUFFIX
from remedy_runners.hostkeys.key import KEY_ALGORITHMS
from remedy_runners.session import LinkLost

__all__ = ["Connection", "SSHExchange", "translate"]

_HANDSHAKE_S = 15
_AUTHENTICATION_S = 30
_CHANNEL_S = 10
_UNACKNOWLEDGED_MS = 30_000
_KEEPALIVE_S = 15
_HANDSHAKE_BYTES_MAX = 262_144
_READ_SIZE = 65_536


def translate(exc: Exception, where: str) -> RemedyError:
    """
    Return our own error for a foreign one, most specific first.

    Only right while nothing was started: later the answer is `LinkLost`.
    """
    strerror = exc.strerror if isinstance(exc, OSError) else None
    said = untrusted(strerror or str(exc), characters_max=200)
    match exc:
        case RemedyError():
            return exc
        case paramiko.BadHostKeyException():
            return Refused(f"{where}: the host key is not the known one", identity=True)
        case IncompatiblePeer() | MessageOrderError():
            return Refused(f"{where}: no common and safe way to talk: {said}")
        case paramiko.PasswordRequiredException():
            return Refused(f"{where}: the private key is encrypted; add it to an agent with ssh-add")
        case paramiko.AuthenticationException():
            return Refused(f"{where}: the login failed: {said}")
        case paramiko.ConfigParseError() | paramiko.CouldNotCanonicalize() | paramiko.ProxyCommandFailure():
            return Refused(f"{where}: ssh_config: {said}")
        case paramiko.ChannelException():
            return Refused(f"{where}: the host opens no session: {said}")
        case UnknownKeyType():
            return Refused(f"{where}: the host or a file has a key of a kind that is not supported: {said}")
        case NeedRekeyException() | paramiko.SFTPError():
            return Unreachable(f"{where}: the connection broke: {said}")
        case paramiko.SSHException():
            return Unreachable(f"{where}: SSH: {said or 'the connection broke'}")
        case EOFError():
            return Unreachable(f"{where}: the host closed the connection before it was ready")
        case OSError():
            return Unreachable(f"{where}: {said or 'no answer in time'}")
    # A hostile host can make paramiko raise nearly anything.
    return Unreachable(f"{where}: unexpected {type(exc).__name__} in what the host sent: {said}")


class _GuardedSocket:
    """A socket that gives up on a host that talks too much before it has proved who it is."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._left: int | None = _HANDSHAKE_BYTES_MAX

    def recv(self, size: int) -> bytes:
        data = self._sock.recv(size)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise OSError("it sent too much before it was ready")
        return data

    def trust(self) -> None:
        self._left = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Transport(paramiko.Transport):
    """paramiko's transport with our own lists of algorithms: no CBC, no MD5, no SHA-1."""

    # The reader thread asks ten times a second whether it is still wanted; the
    # socket is shut down before it is closed, so that it need not.
    _active_check_timeout = 5.0

    host_key_order: tuple[str, ...] = ()

    def _known_to_paramiko(self, wanted: Sequence[str], kind: str) -> tuple[str, ...]:
        return tuple(name for name in wanted if name in getattr(paramiko.Transport, f"_{kind}_info"))

    @property
    def preferred_ciphers(self) -> tuple[str, ...]:
        return self._known_to_paramiko(
            (
                "aes128-gcm@openssh.com",
                "aes256-gcm@openssh.com",
                "aes128-ctr",
                "aes192-ctr",
                "aes256-ctr",
            ),
            "cipher",
        )

    @property
    def preferred_macs(self) -> tuple[str, ...]:
        return self._known_to_paramiko(
            ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"),
            "mac",
        )

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        return self._known_to_paramiko(self.host_key_order, "key")

    @property
    def preferred_pubkeys(self) -> tuple[str, ...]:
        return self._known_to_paramiko(tuple(chain(*KEY_ALGORITHMS.values())), "key")

    def _verify_key(self, host_key: bytes, sig: bytes) -> None:
        """Refuse a signature of another algorithm than was agreed: older paramiko takes one with SHA-1."""
        if paramiko.Message(sig).get_text() != (self.host_key_type or "").removesuffix(CERTIFICATE_SUFFIX):
            raise IncompatiblePeer("the host key's signature is of another algorithm than agreed")
        super()._verify_key(host_key, sig)  # type: ignore[misc]  # the stubs leave it out

    @property
    def preferred_kex(self) -> tuple[str, ...]:
        return self._known_to_paramiko(
            (
                "mlkem768x25519-sha256",
                "curve25519-sha256@libssh.org",
                "ecdh-sha2-nistp256",
                "ecdh-sha2-nistp384",
                "ecdh-sha2-nistp521",
                "diffie-hellman-group16-sha512",
                "diffie-hellman-group14-sha256",
            ),
            "kex",
        )


class Connection:
    """An SSH connection under way; `where` names user, address and port in every message."""

    def __init__(self, sock: socket.socket, *, where: str, trust: Judge) -> None:
        self._where = where
        self._trust = trust
        self._sock = sock
        _tune(sock)
        self._guard = _GuardedSocket(sock)
        self._transport: _Transport | None = None

    @property
    def transport(self) -> paramiko.Transport:
        """The transport, once the handshake is done."""
        if self._transport is None:
            raise ValueError("the handshake comes first")
        return self._transport

    def handshake(self, *, key_files: str, forget: str) -> None:
        """
        Exchange keys and check the host's; `forget` is the command that takes the known ones away.

        Raises:
            Unreachable: it broke, or took too long.
            Refused: the key is not a known one (identity), or too weak.
        """
        with self.watched(_HANDSHAKE_S), self.translated():
            transport = _Transport(cast("socket.socket", self._guard))
            self._transport = transport
            transport.host_key_order = self._trust.algorithms
            transport.banner_timeout = transport.handshake_timeout = _HANDSHAKE_S
            transport.auth_timeout = _AUTHENTICATION_S
            done = threading.Event()
            transport.start_client(event=done)
            if not done.wait(_HANDSHAKE_S + 1) or not transport.is_active():
                raise transport.get_exception() or EOFError()
            key = transport.get_remote_server_key()
        shown = HostKey(kind=key.get_name(), blob=key.asbytes())
        whole = Shown(key=shown, certificate=key.public_blob.key_blob if key.public_blob else None)
        self._trust.check(whole, where=self._where, key_files=key_files, forget=forget, now_s=int(time.time()))

    def ready(self) -> None:
        """Say that the login is done: the host may send as much as it likes now."""
        self._guard.trust()
        self.transport.set_keepalive(_KEEPALIVE_S)

    @contextmanager
    def watched(self, seconds: float) -> Iterator[None]:
        """End the connection when the block takes longer; paramiko itself may wait for ever."""
        timer = threading.Timer(seconds, self._shut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Let no foreign exception out."""
        try:
            yield
        except Exception as exc:
            ours = translate(exc, self._where)
            if ours is exc:
                raise
            raise ours from exc

    def run(self, command: str) -> "SSHExchange":
        """
        Start a command on a channel of its own.

        Raises:
            Unreachable: no channel could be opened; nothing was started.
            Refused: the host opens none for this login; nothing was started.
            LinkLost: the request was sent, and the host did not say yes.
        """
        with self.watched(_CHANNEL_S + 1), self.translated():
            channel = self.transport.open_session(timeout=_CHANNEL_S)
        exchange = SSHExchange(channel)
        with self.watched(_CHANNEL_S):
            try:
                channel.exec_command(command)
            except (paramiko.SSHException, EOFError, OSError) as exc:
                # paramiko does not tell a no from a channel that was closed; the second may have started it.
                exchange.close()
                why = "the host closed the channel instead of saying that it runs the command"
                raise LinkLost(why if self.transport.is_active() else "the link was lost as it was sent") from exc
        return exchange

    def _shut(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def abandon(self) -> None:
        """
        End the connection and drop what was not acknowledged yet.

        Without that, the kernel would go on sending to a host that comes back,
        and start a script that everybody holds for lost.
        """
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """End the connection; never raises, may be called twice."""
        # The reader thread sleeps in recv: this wakes it, or its end would be waited for.
        self._shut()
        if self._transport is not None:
            self._transport.close()
        self._sock.close()


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)


class _Bell:
    """What a buffer of paramiko rings when it gets data or ends; one event for both streams."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        """Nothing: the reader clears the event, before it looks at both buffers."""


class SSHExchange:
    """One command on one channel."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._event = threading.Event()
        for buffer in (channel.in_buffer, channel.in_stderr_buffer):
            buffer.set_event(cast("threading.Event", _Bell(self._event)))

    def send(self, data: bytes, *, timeout_s: float) -> None:
        """See `remedy_runners.session.Exchange`."""
        self._channel.settimeout(timeout_s)
        try:
            self._channel.sendall(data)
        except (paramiko.SSHException, EOFError, OSError) as exc:
            raise LinkLost from exc

    def finish_input(self, *, timeout_s: float) -> None:
        """See `remedy_runners.session.Exchange`."""
        self._channel.settimeout(timeout_s)
        try:
            self._channel.shutdown_write()
        except (paramiko.SSHException, EOFError, OSError) as exc:
            raise LinkLost from exc

    def receive(self, *, timeout_s: float) -> tuple[bytes, bytes] | None:
        """See `remedy_runners.session.Exchange`."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._event.clear()
            # Asked first: what came before the end is then surely seen below.
            ended = self._channel.eof_received or self._channel.closed
            chunks = (
                self._channel.recv(_READ_SIZE) if self._channel.recv_ready() else b"",
                self._channel.recv_stderr(_READ_SIZE) if self._channel.recv_stderr_ready() else b"",
            )
            left_s = deadline - time.monotonic()
            if any(chunks) or (left_s <= 0 and not ended):
                return chunks
            if ended:
                return None
            self._event.wait(left_s)

    def exit_status(self) -> int | None:
        """See `remedy_runners.session.Exchange`."""
        self._channel.status_event.wait(2)
        # paramiko says -1 for a signal and for a lost link alike.
        return self._channel.exit_status if self._channel.exit_status >= 0 else None

    def close(self) -> None:
        """See `remedy_runners.session.Exchange`."""
        with contextlib.suppress(Exception):
            self._channel.close()
