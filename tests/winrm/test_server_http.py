"""The loopback server's HTTP: what it says to requests that no good client sends."""

import base64
import http.client
import random
import ssl
from collections.abc import Mapping

import pytest
import requests
import spnego

from tests.winrm.processes import in_sh
from tests.winrm.server import Authority, WinRMServer

CREATE = """<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"><s:Header><a:Action>{action}</a:Action>
 <a:MessageID>uuid:1</a:MessageID></s:Header><s:Body/></s:Envelope>"""


def _ask(
    server: WinRMServer, body: bytes = b"", *, method: str = "POST", path: str = "/wsman", **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(server.address, server.port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


def _ask_in_tls(server: WinRMServer, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    login = (server.user, server.password)
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(server.url, body, auth=login, headers=dict(headers), verify=str(server.ca_file))
        return answer.status_code, answer.content


def test_challenge_offers_what_the_server_takes(server: WinRMServer, authority: Authority) -> None:
    """Over http only Negotiate is offered; within TLS Basic too."""
    with WinRMServer(in_sh, tls=authority) as tls_server:
        context = ssl.create_default_context(cafile=str(tls_server.ca_file))
        connection = http.client.HTTPSConnection(tls_server.address, tls_server.port, context=context, timeout=10)
        connection.request("POST", "/wsman")
        within_tls = connection.getresponse()
        connection.close()

    over_http = _ask(server)
    assert (over_http.status, over_http.headers.get_all("WWW-Authenticate")) == (401, ["Negotiate"])
    assert within_tls.headers.get_all("WWW-Authenticate") == ["Negotiate", 'Basic realm="WSMAN"']
    assert over_http.headers["Server"] == "Microsoft-HTTPAPI/2.0"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/wsman", 405), ("POST", "/other", 404), ("PUT", "/wsman", 501)]
)
def test_other_methods_and_paths_are_refused(server: WinRMServer, method: str, path: str, status: int) -> None:
    """Only POST to /wsman is served."""
    assert _ask(server, method=method, path=path).status == status


def test_clear_text_body_counts_though_it_was_refused(server: WinRMServer) -> None:
    """A body in clear text is in the journal though the answer is 401: it was on the wire."""
    answer = _ask(server, b"<secret/>")

    assert answer.status == 401
    assert server.journal.clear_text_bodies == 1
    assert server.journal.requests[0].clear_text


@pytest.mark.parametrize("scheme", ["Negotiate", "Kerberos", "Basic", "NTLM", "Nonsense"])
def test_garbage_for_a_login_is_refused(server: WinRMServer, scheme: str) -> None:
    """Whatever comes for a token, the answer is 401 and the server lives on."""
    for token in ("", "====", "AAAA", base64.b64encode(b"NTLMSSP\0\1\0\0\0").decode()):
        assert _ask(server, Authorization=f"{scheme} {token}").status == 401

    assert not any(one.accepted for one in server.journal.attempts)


def test_damaged_tokens_of_a_handshake_are_refused(server: WinRMServer) -> None:
    """Handshakes cut short anywhere end in 401, never in an error of the server."""
    random.seed(20)
    for _ in range(30):
        whole = spnego.client(server.user, server.password, hostname="h", service="http", protocol="ntlm").step()
        assert whole is not None
        cut = base64.b64encode(whole[: random.randrange(1, len(whole) - 8)]).decode()
        assert _ask(server, Authorization=f"Negotiate {cut}").status == 401

    assert len(server.journal.attempts) == 30


@pytest.mark.parametrize("body", [b"<not xml", b"<a/>", b"\xff\xfe", CREATE.format(action="").encode()])
def test_body_that_is_no_envelope_is_a_bad_request(authority: Authority, body: bytes) -> None:
    """What cannot be read as an envelope with an action is HTTP 400."""
    with WinRMServer(in_sh, tls=authority) as server:
        assert _ask_in_tls(server, body, {}) == (400, b"")


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("http://schemas.xmlsoap.org/ws/2004/09/transfer/Create", 2150858817),
        ("http://schemas.xmlsoap.org/ws/2004/09/transfer/Delete", 2150858843),
        ("http://schemas.xmlsoap.org/ws/2004/09/transfer/Get", 2150858843),
    ],
)
def test_envelope_without_what_its_action_needs_is_a_fault(authority: Authority, action: str, code: int) -> None:
    """A Create without a shell is a schema fault; an action without a shell's id finds no shell."""
    with WinRMServer(in_sh, tls=authority) as server:
        status, body = _ask_in_tls(server, CREATE.format(action=action).encode(), {})

        assert status == 500
        assert f'Code="{code}"'.encode() in body


def test_encrypted_body_without_keys_is_a_bad_request(authority: Authority) -> None:
    """A body that says it is encrypted, on a connection that has no keys, is HTTP 400."""
    kind = 'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'

    with WinRMServer(in_sh, tls=authority) as server:
        assert _ask_in_tls(server, b"--Encrypted Boundary\r\n", {"Content-Type": kind}) == (400, b"")
