"""Hosts that are no SSH server, or an odd one: they end as unreachable, refused or lost, in time."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from remedy.errors import Unreachable
from remedy.port import FixEnding, Session, Target
from remedy_runners import connection as connection_module
from remedy_runners import session as session_module
from tests.runners.machines import Host, MakeRunner

pytestmark = pytest.mark.sshd


class _Impostor:
    """A server that accepts, says something, and then nothing more."""

    def __init__(self, address: str, says: bytes, *, endless: bool = False) -> None:
        self._listener = socket.create_server((address, 0))
        self.port = self._listener.getsockname()[1]
        self._says = says
        self._endless = endless
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        held = []
        while True:
            try:
                accepted, _ = self._listener.accept()
                held.append(accepted)
                accepted.sendall(self._says)
                while self._endless:
                    accepted.sendall(self._says)
            except OSError:
                if self._listener.fileno() < 0:
                    for each in held:
                        each.close()
                    return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.parametrize(
    ("says", "endless"),
    [
        (b"", False),
        (b"SSH-2.0-tarpit\r\n", False),
        (b"SSH-2.0-x\r\n" + b"\xff" * 100, False),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"banner without end ", True),
        (b"line\r\n", True),
    ],
)
def test_host_that_is_no_ssh_server_is_unreachable_in_time(
    target: Target,
    make_runner: MakeRunner,
    tmp_path: Path,
    keys: Path,
    says: bytes,
    endless: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Silence, rubbish and endless banners end as unreachable, within the deadline, with bounded memory."""
    monkeypatch.setattr(connection_module, "_HANDSHAKE_S", 1)
    impostor = _Impostor("127.0.7.3", says, endless=endless)
    known = tmp_path / "known"
    known.write_text(f"[127.0.7.3]:{impostor.port} " + (keys / "host.pub").read_text())
    began = time.monotonic()
    try:
        with pytest.raises(Unreachable, match=r"^root@127.0.7.3"):
            make_runner(known=known).connect(replace(target, address="127.0.7.3", port=impostor.port))
    finally:
        impostor.close()

    assert time.monotonic() - began < 5


class _Server(paramiko.ServerInterface):
    """A server that lets everybody in, and then does as it was told."""

    def __init__(self, transport: paramiko.Transport, behaviour: str) -> None:
        self._transport = transport
        self._behaviour = behaviour

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if self._behaviour == "drops at login":
            self._transport.sock.shutdown(socket.SHUT_RDWR)
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if self._behaviour == "opens no channel":
            return paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if self._behaviour == "drops at exec":
            self._transport.sock.shutdown(socket.SHUT_RDWR)
        if self._behaviour == "says -1":
            threading.Thread(target=self._close, args=(channel,), daemon=True).start()
        return self._behaviour in ("says -1", "stalls")

    def _close(self, channel: paramiko.Channel) -> None:
        channel.shutdown_write()
        channel.close()


@pytest.fixture
def odd_host(
    request: pytest.FixtureRequest, make_runner: MakeRunner, target: Target, keys: Path, tmp_path: Path
) -> Iterator[Callable[[], Session]]:
    """Connect to a host with an odd behaviour, which speaks SSH otherwise."""
    listener = socket.create_server(("127.0.7.5", 0))
    port = listener.getsockname()[1]
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        accepted, _ = listener.accept()
        transport = paramiko.Transport(accepted)
        transports.append(transport)
        transport.add_server_key(paramiko.PKey.from_path(keys / "host"))
        transport.start_server(event=threading.Event(), server=_Server(transport, request.param))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    known = tmp_path / "known"
    known.write_text(f"[127.0.7.5]:{port} " + (keys / "host.pub").read_text())
    yield lambda: make_runner(known=known).connect(replace(target, address="127.0.7.5", port=port))
    thread.join(5)
    for transport in transports:
        transport.close()
    listener.close()


@pytest.mark.parametrize("odd_host", ["drops at login"], indirect=True)
def test_link_lost_at_login_is_unreachable(odd_host: Callable[[], Session]) -> None:
    """A connection that breaks during the login is no wrong key."""
    with pytest.raises(Unreachable, match="ended the connection during the login"):
        odd_host()


@pytest.mark.parametrize("odd_host", ["refuses exec", "drops at exec", "says -1"], indirect=True)
def test_fix_is_lost_from_the_moment_it_was_asked_for(odd_host: Callable[[], Session], root: Host) -> None:
    """A link that breaks after the request, a host that does not say yes, an end without status: all lost."""
    session = odd_host()

    result = session.fix(*root.fix_job(b":", execution_id="c" * 16))
    session.close()

    assert (result.ending, result.exit_code) == (FixEnding.LOST, None)


@pytest.mark.parametrize("odd_host", ["stalls"], indirect=True)
def test_host_that_stalls_is_left_for_good(
    odd_host: Callable[[], Session], root: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that does not say that it began is lost in time, and the connection is reset: nothing can begin later."""
    monkeypatch.setattr(session_module, "START_GRACE_S", 1)
    session = odd_host()

    result = session.fix(*root.fix_job(b":", execution_id="a" * 16))

    assert result.ending is FixEnding.LOST
    assert not session._connection.transport.is_active()  # type: ignore[attr-defined]
    with pytest.raises(Unreachable):
        session.collect([root.collect_job(b":")])
    session.close()


@pytest.mark.parametrize("odd_host", ["opens no channel"], indirect=True)
def test_fix_without_a_channel_is_refused(odd_host: Callable[[], Session], root: Host) -> None:
    """Without a channel nothing was sent: refused, and never lost."""
    session = odd_host()

    result = session.fix(*root.fix_job(b":", execution_id="b" * 16))
    session.close()

    assert (result.ending, result.exit_code) == (FixEnding.REFUSED, None)
    assert "opens no session" in result.reason


def test_host_that_talks_too_much_before_it_is_known_is_cut_off() -> None:
    """Before the login is done a host can send a quarter of a megabyte, and afterwards what it likes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        guard = connection_module._GuardedSocket(ours)
        theirs.sendall(bytes(1_000))
        before = len(guard.recv(4_096))
        guard._left = 999
        theirs.sendall(bytes(1_000))
        with pytest.raises(OSError, match="too much"):
            guard.recv(4_096)
        guard.trust()
        theirs.sendall(bytes(1_000))
        after = len(guard.recv(4_096))

    assert (before, after) == (1_000, 1_000)
