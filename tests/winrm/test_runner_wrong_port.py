"""A port at which something else answers is said for what it is, with what to set."""

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.errors import Refused, RemedyError, Unreachable
from remedy.port import Shell, Target, WinRM, WinRMAuth
from remedy_runners.winrm.runner import WinRMRunner


class _NotFound(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(404)

    def log_message(self, *_said: object) -> None:
        """Say nothing."""


@pytest.fixture
def web_port() -> Iterator[int]:
    """The port of a web server that knows nothing of WinRM."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _NotFound) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def ssh_port() -> Iterator[int]:
    """The port of something that greets like an SSH server."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
                    connection.recv(4096)

        threading.Thread(target=greet, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def _said(scheme: str, port: int) -> RemedyError:
    settings = WinRM(scheme="https" if scheme == "https" else "http", auth=WinRMAuth.NTLM, computer_name="WIN-1")
    target = Target(
        name="win-1",
        address="127.0.0.1",
        port=port,
        user="svc",
        password="env:P",
        shell=Shell.POWERSHELL,
        winrm=settings,
    )
    with pytest.raises((Refused, Unreachable)) as caught:
        WinRMRunner(home=Path("/nonexistent"), environment={"P": "pa55"}).connect(target)
    return caught.value


def test_port_without_tls_is_said(web_port: int) -> None:
    """With https at a port of http: no TLS there, and which port and scheme go together."""
    said = _said("https", web_port)

    assert isinstance(said, Unreachable)
    assert "this port speaks no TLS" in str(said)
    assert "set ansible_winrm_scheme to http" in str(said)


def test_web_server_without_winrm_is_said(web_port: int) -> None:
    """HTTP 404: another web server, or another path; with the variables that say where WinRM is."""
    said = _said("http", web_port)

    assert isinstance(said, Refused)
    assert "no WinRM here (HTTP 404)" in str(said)
    assert "ansible_port" in str(said)


@pytest.mark.parametrize(("scheme", "words"), [("http", "an SSH server answers"), ("https", "this port speaks no TLS")])
def test_ssh_server_is_said(ssh_port: int, scheme: str, words: str) -> None:
    """Port 22: over http its greeting tells; over https only that there is no TLS."""
    said = _said(scheme, ssh_port)

    assert isinstance(said, Unreachable)
    assert words in str(said)
