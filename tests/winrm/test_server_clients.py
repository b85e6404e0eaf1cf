"""The loopback server, judged by clients that were not written here: pywinrm, pypsrp and curl."""

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from pypsrp.shell import Process, WinRS
from pypsrp.wsman import WSMan
from winrm.exceptions import InvalidCredentialsError, WinRMTransportError

from tests.winrm.certificates import Certificate
from tests.winrm.clients import pywinrm, run
from tests.winrm.processes import in_sh, wait_until
from tests.winrm.server import Authority, WinRMServer

ANSWER = (b"stdin\n", b"problem\n", 7)
COMMAND = "cat; echo problem >&2; exit 7"
TERMINATE = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/terminate"


@pytest.fixture(scope="module")
def client_certificate(authority: Authority) -> Certificate:
    return authority.client("remedy")


@pytest.fixture
def tls_server(authority: Authority, client_certificate: Certificate) -> Iterator[WinRMServer]:
    known = {client_certificate.fingerprint: "remedy"}
    with WinRMServer(in_sh, tls=authority, client_certificates=known) as server:
        yield server


def _curl(server: WinRMServer, password: str) -> str:
    """Return the HTTP status that curl ends with."""
    command = ("curl", "--silent", "--noproxy", "*", "--output", "/dev/null", "--write-out", "%{http_code}", "--ntlm")
    login = ("--user", f"{server.user}:{password}", "--data", "", server.url)
    return subprocess.run([*command, *login], check=True, capture_output=True, text=True).stdout


def _pypsrp(server: WinRMServer, **settings: Any) -> WSMan:
    login: dict[str, Any] = {"username": server.user, "password": server.password, "no_proxy": True}
    return WSMan(server.address, port=server.port, **login, **settings)


def test_pywinrm_over_ntlm_and_http_gets_streams_and_code(server: WinRMServer) -> None:
    """With message encryption, pywinrm gets both streams and the exit code; nothing went in clear text."""
    with pywinrm(server) as protocol:
        answer = run(protocol, COMMAND, b"stdin\n")

    assert answer == ANSWER
    assert server.shells_open() == ()
    assert server.journal.clear_text_bodies == 0
    # How many Receives it takes is the moment's: what is there is given at once.
    steps = tuple(dict.fromkeys(server.journal.actions()))
    assert steps == ("Create", "Command", "Send", "Receive", "Signal", "Delete")
    assert [one.accepted for one in server.journal.attempts] == [True]


@pytest.mark.parametrize(
    ("transport", "message_encryption"),
    [("ssl", "auto"), ("certificate", "auto"), ("ntlm", "auto"), ("ntlm", "always")],
)
def test_pywinrm_over_tls_gets_streams_and_code(
    tls_server: WinRMServer, client_certificate: Certificate, transport: str, message_encryption: str
) -> None:
    """Within TLS each login works: Basic, client certificate, and NTLM with and without message encryption."""
    cert = {"cert_pem": str(client_certificate.file), "cert_key_pem": str(client_certificate.key_file)}
    settings = cert if transport == "certificate" else {}

    with pywinrm(tls_server, transport=transport, message_encryption=message_encryption, **settings) as protocol:
        answer = run(protocol, COMMAND, b"stdin\n")

    assert answer == ANSWER
    assert {one.user for one in tls_server.journal.requests if one.action} == {"remedy"}
    assert all(one.encrypted for one in tls_server.journal.requests if one.action) == (message_encryption == "always")


@pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
def test_pypsrp_winrs_over_http_gets_streams_and_code(server: WinRMServer, auth: str) -> None:
    """WinRS of pypsrp gets both streams and the exit code, with raw NTLM tokens and with SPNEGO's."""
    with _pypsrp(server, auth=auth, ssl=False) as wsman, WinRS(wsman) as shell:
        process = Process(shell, COMMAND)
        process.begin_invoke()
        process.send(b"stdin\n")
        process.end_invoke()
        process.signal(TERMINATE)

    assert (process.stdout, process.stderr, process.rc) == ANSWER
    assert server.shells_open() == ()
    assert server.journal.clear_text_bodies == 0


def test_pypsrp_winrs_over_tls_gets_streams_and_code(tls_server: WinRMServer) -> None:
    """WinRS of pypsrp works with Basic within TLS, the server's certificate verified."""
    with _pypsrp(tls_server, auth="basic", cert_validation=str(tls_server.ca_file)) as wsman, WinRS(wsman) as shell:
        process = Process(shell, COMMAND)
        process.begin_invoke()
        process.send(b"stdin\n")
        process.end_invoke()

    assert (process.stdout, process.stderr, process.rc) == ANSWER


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("is_right", "status"), [(True, "200"), (False, "401")])
def test_curl_ntlm_handshake_tells_passwords_apart(is_right: bool, status: str) -> None:
    """curl, whose NTLM is not pyspnego's, logs in with the right password and not with a wrong one."""
    with WinRMServer(in_sh, offers_ntlm=True) as server:
        answer = _curl(server, server.password if is_right else "wrong")

        assert answer == status
        assert [one.accepted for one in server.journal.attempts] == [is_right]


def test_wrong_password_is_refused(server: WinRMServer) -> None:
    """A wrong password over NTLM ends in 401; the attempt is in the journal, and no shell was opened."""
    with pywinrm(server, password="wrong") as protocol, pytest.raises(InvalidCredentialsError):
        protocol.open_shell()

    assert [one.accepted for one in server.journal.attempts] == [False]
    assert server.journal.actions() == ()


def test_basic_over_http_is_refused(server: WinRMServer) -> None:
    """Basic is neither offered nor taken over http, and the journal has the body that came in clear text."""
    with (
        pywinrm(server, transport="basic", message_encryption="never") as protocol,
        pytest.raises(InvalidCredentialsError),
    ):
        protocol.open_shell()

    assert server.journal.attempts == ()
    assert server.journal.clear_text_bodies == 1


def test_clear_text_body_after_login_is_refused(server: WinRMServer) -> None:
    """A client that logs in over http and does not encrypt gets 500, and is in the journal."""
    with pywinrm(server, message_encryption="never") as protocol, pytest.raises(WinRMTransportError) as raised:
        protocol.open_shell()

    assert raised.value.code == 500
    assert server.journal.clear_text_bodies > 0
    assert server.shells_open() == ()


def test_pywinrm_after_a_503_is_caught_in_clear_text(server: WinRMServer) -> None:
    """The journal sees pywinrm's known error: a handshake that failed once, and the next body is not encrypted."""
    server.faults.status(503)

    with pywinrm(server) as protocol:
        with pytest.raises(WinRMTransportError):
            protocol.open_shell()
        with pytest.raises(WinRMTransportError):
            protocol.open_shell()

    assert server.journal.clear_text_bodies > 0


def test_untrusted_certificate_is_refused_by_the_client(authority: Authority, tmp_path: Path) -> None:
    """A client that trusts another authority never sends a request."""
    other = Authority(tmp_path, "other")

    with WinRMServer(in_sh, tls=authority) as server:
        with (
            pywinrm(server, transport="ssl", message_encryption="auto", ca_trust_path=str(other.ca_file)) as protocol,
            pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            protocol.open_shell()

        assert server.journal.requests == ()


@pytest.mark.parametrize("wrong", ["expired", "another name"])
def test_wrong_server_certificate_is_refused_by_the_client(authority: Authority, wrong: str) -> None:
    """An expired certificate and one for another name are no good, though the authority is trusted."""
    certificate = (
        authority.server(["127.0.0.1"], days=(-9, -2)) if wrong == "expired" else authority.server(["web-1.example"])
    )

    with WinRMServer(in_sh, tls=authority, certificate=certificate) as server:
        with (
            pywinrm(server, transport="ssl", message_encryption="auto") as protocol,
            pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            protocol.open_shell()

        assert server.journal.requests == ()


@pytest.mark.parametrize(
    ("is_trusted", "error"), [(True, InvalidCredentialsError), (False, requests.exceptions.ConnectionError)]
)
def test_unknown_client_certificate_is_refused(
    tls_server: WinRMServer, tmp_path: Path, authority: Authority, is_trusted: bool, error: type[Exception]
) -> None:
    """A client certificate that is mapped to nobody is 401; one of another authority ends the handshake."""
    issuer = authority if is_trusted else Authority(tmp_path, "other")
    cert = issuer.client("remedy")
    files = {"cert_pem": str(cert.file), "cert_key_pem": str(cert.key_file)}

    with (
        pywinrm(tls_server, transport="certificate", message_encryption="auto", **files) as protocol,
        pytest.raises(error),
    ):
        protocol.open_shell()

    assert tls_server.journal.actions() == ()
    assert not any(one.accepted for one in tls_server.journal.attempts)


@pytest.mark.parametrize("send_cbt", [True, False])
def test_channel_binding_is_asked_for(authority: Authority, send_cbt: bool) -> None:
    """A server that binds its channel takes a bound NTLM handshake and refuses an unbound one."""
    with WinRMServer(in_sh, tls=authority, binds_channel=True) as server:
        with pywinrm(server, send_cbt=send_cbt) as protocol:
            if send_cbt:
                assert run(protocol, "exit 0") == (b"", b"", 0)
            else:
                with pytest.raises(InvalidCredentialsError):
                    protocol.open_shell()

        assert [one.accepted for one in server.journal.attempts] == [send_cbt]


def test_twenty_clients_at_once_get_their_own_answers(server: WinRMServer) -> None:
    """Twenty threads with a client each get twenty right answers; no shell, process or connection is left."""

    def one(number: int) -> tuple[bytes, bytes, int]:
        with pywinrm(server) as protocol:
            return run(protocol, f"cat; echo err-{number} >&2; exit {number}", f"in-{number}\n".encode())

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))

    assert answers == [(f"in-{number}\n".encode(), f"err-{number}\n".encode(), number) for number in range(20)]
    assert (server.shells_open(), server.pids()) == ((), ())
    assert server.journal.clear_text_bodies == 0


def test_server_on_ipv6_is_reached() -> None:
    """The server has an IPv6 address if it is given one, in brackets in its URL."""
    with WinRMServer(in_sh, address="::1") as server, pywinrm(server) as protocol:
        assert run(protocol, "echo six") == (b"six\n", b"", 0)
        assert server.url == f"http://[::1]:{server.port}/wsman"


def test_hundred_servers_at_once_leave_nothing_behind() -> None:
    """A hundred servers in one process each serve their client; stopped, they leave no thread and no descriptor."""

    def one(server: WinRMServer) -> int:
        with pywinrm(server) as protocol:
            return run(protocol, f"exit {server.port % 200}")[2]

    def held() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    before = held()
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(WinRMServer(in_sh)) for _ in range(100)]
        with ThreadPoolExecutor(10) as pool:
            codes = list(pool.map(one, servers))
        wanted = [server.port % 200 for server in servers]

    assert codes == wanted
    wait_until(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))
