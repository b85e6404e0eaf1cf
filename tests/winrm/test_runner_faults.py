"""What comes of each fault on the way to a host: the exact outcome, and nothing left behind."""

import contextlib
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat

import pytest
import requests

from remedy.errors import Refused, RemedyError
from remedy.port import WinRMAuth
from remedy_runners.winrm.adapter import ClearText, GuardedAdapter, Link
from tests.winrm.between import Between, answered
from tests.winrm.certificates import Authority
from tests.winrm.processes import wait_until
from tests.winrm.quick import be_quick
from tests.winrm.server import WinRMServer
from tests.winrm.ways import Host, a_collector, a_fix, host_over, sockets_open

QUOTA, OPERATIONS, GONE, TIMED_OUT, ABORTED, DENIED = 2150859173, 2150859174, 2150858843, 2150858793, 995, 5
LARGE = b"# filler\n" * 22_000 + b"exit 3\n"
SOAP = "Content-Type: application/soap+xml;charset=UTF-8"
FINISHED = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    b'xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"><s:Body><rsp:ReceiveResponse>'
    b'<rsp:CommandState CommandId="1" State="http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done">'
    b"<rsp:ExitCode>0</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse></s:Body></s:Envelope>"
)
ENTITY = b'<!DOCTYPE y [<!ENTITY a "1">]><y><x Name="ShellId">&a;</x></y>'
LAUGHS = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "%s">]><x>%s</x>' % (b"ha" * 1000, b"&a;" * 100_000)


@pytest.fixture(autouse=True)
def _is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    be_quick(monkeypatch)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a fix came to: the ending's word, or the class of an error; with what it says."""

    what: str
    text: str
    is_identity: bool = False


def _outcome(host: Host, *, script: bytes = b"exit 3", before_fix: Callable[[], object] | None = None) -> Outcome:
    """Connect and run one fix; whatever comes of it."""
    try:
        with host.session() as session:
            if before_fix is not None:
                before_fix()
            result = session.fix(*a_fix(script, timeout_s=5))
    except RemedyError as exc:
        return Outcome(what=type(exc).__name__, text=str(exc), is_identity=isinstance(exc, Refused) and exc.identity)
    return Outcome(what=f"{result.ending.value} {result.exit_code}", text=result.reason)


def _check_nothing_left(host: Host, *, shells: int = 0, hung: bool = False) -> None:
    # The server holds a connection on which it hangs, whatever its peer does.
    wait_until(lambda: host.server.connections_open() == int(hung))
    assert len(host.server.shells_open()) == shells
    assert host.server.pids() == ()
    assert host.server.journal.clear_text_bodies == 0


Script = Callable[[WinRMServer], object]

IN_A_FIX: dict[str, tuple[Script, str, str]] = {
    "drop at Create": (lambda s: s.faults.drop("Create"), "Unreachable", "nothing was started"),
    "drop at Command": (lambda s: s.faults.drop("Command"), "Unreachable", "nothing was started"),
    "drop at Send": (lambda s: s.faults.drop("Send"), "lost None", "its start was not seen"),
    "drop at Receive": (lambda s: s.faults.drop("Receive"), "lost None", "its start was not seen"),
    "drop at Delete": (lambda s: s.faults.drop("Delete"), "finished 3", ""),
    "lost answer of Command": (lambda s: s.faults.lose_answer("Command"), "Unreachable", "nothing was started"),
    "lost answer of Send": (lambda s: s.faults.lose_answer("Send"), "lost None", "its start was not seen"),
    "lost answer of Receive": (lambda s: s.faults.lose_answer("Receive"), "lost None", "its start was not seen"),
    "lost answer of Delete": (lambda s: s.faults.lose_answer("Delete"), "finished 3", ""),
    "cut within Command": (lambda s: s.faults.cut_answer(400, "Command"), "Unreachable", "nothing was started"),
    "cut within Send": (lambda s: s.faults.cut_answer(400, "Send"), "lost None", "its start was not seen"),
    "cut within Receive": (lambda s: s.faults.cut_answer(400, "Receive"), "lost None", "its start was not seen"),
    "cut within Delete": (lambda s: s.faults.cut_answer(400, "Delete"), "finished 3", ""),
    "hang at Create": (lambda s: s.faults.hang("Create"), "Unreachable", "no answer in time"),
    "hang at Command": (lambda s: s.faults.hang("Command"), "Unreachable", "no answer in time"),
    "hang at Send": (lambda s: s.faults.hang("Send"), "lost None", "its start was not seen"),
    "hang at Receive": (lambda s: s.faults.hang("Receive"), "lost None", "its start was not seen"),
    "hang at Delete": (lambda s: s.faults.hang("Delete"), "finished 3", ""),
    "slow everywhere": (lambda s: s.faults.slow(0.3, "*", times=None), "finished 3", ""),
    "no room for ever": (lambda s: s.faults.fault(QUOTA, "Create", times=None), "Unreachable", "Restart-Service WinRM"),
    "no room for a moment": (lambda s: s.faults.fault(QUOTA, "Create", times=2), "finished 3", ""),
    "operations quota": (lambda s: s.faults.fault(OPERATIONS, "Create", times=None), "Unreachable", "no room"),
    "503 at Create": (lambda s: s.faults.status(503, "Create"), "finished 3", ""),
    "500 at Create": (lambda s: s.faults.status(500, "Create"), "Unreachable", "HTTP 500"),
    "500 at Receive": (lambda s: s.faults.status(500, "Receive"), "lost None", "its start was not seen"),
    "400 at Command": (lambda s: s.faults.status(400, "Command"), "Unreachable", "does not know this connection"),
    "access denied": (lambda s: s.faults.fault(DENIED, "Create"), "refused None", "Remote Management Users"),
    "shell gone at Command": (lambda s: s.faults.fault(GONE, "Command"), "finished 3", ""),
    "shell gone at Send": (lambda s: s.faults.fault(GONE, "Send"), "Unreachable", "nothing was started"),
    "shell gone at Receive": (lambda s: s.faults.fault(GONE, "Receive"), "lost None", "its start was not seen"),
    "fault 995 at Command": (lambda s: s.faults.fault(ABORTED, "Command"), "Unreachable", "code 995"),
    "fault 995 at Send": (lambda s: s.faults.fault(ABORTED, "Send"), "lost None", "its start was not seen"),
    "fault 995 at Receive": (lambda s: s.faults.fault(ABORTED, "Receive"), "lost None", "its start was not seen"),
    "time-out at Send": (lambda s: s.faults.fault(TIMED_OUT, "Send"), "lost None", "its start was not seen"),
    "time-outs of Receive for ever": (
        lambda s: s.faults.fault(TIMED_OUT, "Receive", times=None), "lost None", "its start was not seen",
    ),
    "garbage for Create": (lambda s: s.faults.garbage(b"<not xml", "Create"), "Unreachable", "ParseError"),
    "no id for Create": (lambda s: s.faults.garbage(b"<y><x Name='ShellId'/></y>", "Create"), "Unreachable", "odd"),
    "entities for Create": (lambda s: s.faults.garbage(ENTITY, "Create"), "Unreachable", "no plain XML"),
    "garbage for Command": (lambda s: s.faults.garbage(b"<not xml", "Command"), "Unreachable", "ParseError"),
    "nothing of use for Command": (lambda s: s.faults.garbage(b"<x/>", "Command"), "Unreachable", "StopIteration"),
    "garbage for Receive": (lambda s: s.faults.garbage(b"\xff\xfe<", "Receive"), "lost None", "its start was not seen"),
    "many entities for Receive": (lambda s: s.faults.garbage(LAUGHS, "Receive"), "lost None", "its start was not seen"),
    "garbage for Delete": (lambda s: s.faults.garbage(b"<not xml", "Delete"), "finished 3", ""),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ntlm-http", "basic-tls"])
@pytest.mark.parametrize("fault", IN_A_FIX)
def test_fault_in_a_fix_has_its_outcome(authority: Authority, way: str, fault: str) -> None:
    """Each fault ends in its exact outcome, in bounded time; no shell, process, connection or clear text is left."""
    script, what, text = IN_A_FIX[fault]
    with host_over(way, authority) as host:
        sockets, began = sockets_open(), time.monotonic()
        outcome = _outcome(host, before_fix=lambda: script(host.server))
        took_s = time.monotonic() - began

        assert outcome.what == what, outcome
        assert text in outcome.text
        assert took_s < 20
        _check_nothing_left(host, hung="hang" in fault)
        wait_until(lambda: sockets_open() <= sockets + int("hang" in fault))


@pytest.mark.parametrize("way", ["ntlm-http", "basic-tls"])
def test_lost_answer_of_create_leaves_an_empty_shell_to_its_idle_time(authority: Authority, way: str) -> None:
    """Nobody knows the shell's id: it stays, with nothing in it, until the host's idle time-out ends it."""
    with host_over(way, authority) as host:
        outcome = _outcome(host, before_fix=lambda: host.server.faults.lose_answer("Create"))

        assert outcome.what == "Unreachable"
        assert "nothing was started" in outcome.text
        _check_nothing_left(host, shells=1)


@pytest.mark.parametrize(("after", "what"), [(0, "Unreachable"), (1, "Unreachable"), (2, "lost None")])
def test_script_that_did_not_arrive_whole_was_not_started(authority: Authority, after: int, what: str) -> None:
    """Of a script in three chunks only the loss of the last one is `lost`; before it, surely nothing was started."""
    with host_over("ntlm-http", authority) as host:
        outcome = _outcome(host, script=LARGE, before_fix=lambda: host.server.faults.drop("Send", after=after))

        assert outcome.what == what
        assert ("nothing was started" in outcome.text) is (what == "Unreachable")
        _check_nothing_left(host)


@pytest.mark.parametrize(
    ("way", "step", "what"),
    [
        ("ntlm-http", "Create", "finished 3"),
        ("ntlm-http", "Command", "finished 3"),
        ("ntlm-http", "Send", "finished 3"),
        ("basic-tls", "Create", "finished 3"),
        ("basic-tls", "Command", "finished 3"),
        ("basic-tls", "Send", "finished 3"),
    ],
)
def test_connection_that_ends_between_two_messages(authority: Authority, way: str, step: str, what: str) -> None:
    """What surely was not sent goes over a new connection, and the fix ends as it would have."""
    with host_over(way, authority) as host:
        outcome = _outcome(host, before_fix=lambda: host.server.faults.close_after(step))

        assert outcome.what == what, outcome
        _check_nothing_left(host)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["Signal", "Delete"])
@pytest.mark.parametrize("effect", ["drop", "hang", "lose_answer", "fault"])
def test_fault_in_the_clean_up_of_endless_output(authority: Authority, step: str, effect: str) -> None:
    """A fix that floods is ended and its shell deleted, also when the first try at that fails."""
    with host_over("ntlm-http", authority) as host:
        arguments = (GONE, step) if effect == "fault" else (step,)
        outcome = _outcome(host, script=b"exec yes", before_fix=lambda: getattr(host.server.faults, effect)(*arguments))

        assert outcome.what == "lost None"
        assert "it printed more than 16777216 bytes" in outcome.text
        # That there is no such shell was the host's word for it; a scripted fault is a lie.
        _check_nothing_left(host, shells=int((step, effect) == ("Delete", "fault")), hung=effect == "hang")


AT_CONNECT: dict[str, tuple[Script, str, str]] = {
    "503 first": (lambda s: s.faults.status(503), "Unreachable", "no room"),
    "502 first": (lambda s: s.faults.status(502), "Unreachable", "HTTP 502"),
    "drop first": (lambda s: s.faults.drop(), "Unreachable", "nothing was started"),
    "hang first": (lambda s: s.faults.hang(), "Unreachable", "no answer in time"),
    "cut after 10 bytes": (lambda s: s.faults.cut_answer(10), "Unreachable", "nothing was started"),
    "cut after 60 bytes": (lambda s: s.faults.cut_answer(60), "Unreachable", "nothing was started"),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ntlm-http", "basic-tls", "ntlm-tls", "certificate-tls"])
@pytest.mark.parametrize("fault", AT_CONNECT)
def test_fault_at_connect_has_its_outcome(authority: Authority, way: str, fault: str) -> None:
    """Each fault before the first message ends in its outcome, and the next connection is a good one."""
    script, what, text = AT_CONNECT[fault]
    with host_over(way, authority) as host:
        script(host.server)
        first = _outcome(host)
        second = _outcome(host)

        assert (first.what, second.what) == (what, "finished 3"), first
        assert text in first.text
        _check_nothing_left(host, hung="hang" in fault)


@pytest.mark.parametrize("answers", range(1, 12))
def test_drop_after_any_number_of_answers_leaves_nothing(authority: Authority, answers: int) -> None:
    """Wherever in handshake, question and fix the connection ends: no clear text, no shell is left."""
    with host_over("ntlm-http", authority) as host:
        host.server.faults.drop(after=answers)
        outcome = _outcome(host)

        assert outcome.what in ("Unreachable", "lost None", "finished 3")
        _check_nothing_left(host)


def test_port_that_opens_late_is_unreachable_first(authority: Authority) -> None:
    """Where nobody listens the host is unreachable; later it is not, and nothing went in clear text."""
    with host_over("ntlm-http", authority, is_listening=False) as host:
        first = _outcome(host)
        host.server.listen()
        second = _outcome(host)

        assert (first.what, second.what) == ("Unreachable", "finished 3")
        assert "refused" in first.text
        _check_nothing_left(host)


def test_other_machine_is_refused(authority: Authority) -> None:
    """A machine that says another name than the inventory gets no script, and is a bad identity."""
    with host_over("ntlm-http", authority) as host:
        host.with_settings(computer_name="db-1")
        outcome = _outcome(host)

        assert (outcome.what, outcome.is_identity) == ("Refused", True)
        assert "ANOTHER MACHINE ANSWERS: it says it is WEB-1" in outcome.text
        assert host.server.journal.actions().count("Command") == 1
        _check_nothing_left(host)


def test_new_connection_asks_again_which_machine_it_is(authority: Authority) -> None:
    """Over NTLM and http each new connection has to prove the machine anew before it gets a script."""
    with host_over("ntlm-http", authority) as host, host.session() as session:
        host.server.drop_connections()
        wait_until(lambda: not host.server.connections_open())
        session.collect([a_collector(b":")])

        assert host.server.journal.actions().count("Command") == 3


def test_connection_in_the_place_of_one_that_ended_gets_no_other_script(authority: Authority) -> None:
    """A connection that only carried a command to its end did not prove its machine, and gets no other."""
    with host_over("ntlm-http", authority) as host, host.session() as session:
        host.server.faults.close_after("Send")
        session.fix(*a_fix())
        before = host.server.journal.actions().count("Command")
        session.fix(*a_fix())

        # One more that asks which machine it is, then the fix.
        assert host.server.journal.actions().count("Command") == before + 2
        assert host.server.journal.connections == 3


def test_message_in_clear_text_does_not_pass_the_adapter() -> None:
    """Whatever happens above it: over http no body that is not encrypted, and no password of Basic, goes out."""
    adapter = GuardedAdapter(Link(), fingerprint=None, attempt=contextlib.nullcontext)  # type: ignore[arg-type]
    for options in ({"data": b"<s:Envelope/>"}, {"auth": ("u", "p")}):
        request = requests.Request("POST", "http://127.0.0.1:1/wsman", **options).prepare()  # type: ignore[arg-type]
        with pytest.raises(ClearText, match="about to be sent in clear text"):
            adapter.send(request)


def test_certificate_that_does_not_fit_is_refused(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Unknown authority, other name, out of date, other than pinned: each refused with its cure, and nothing sent."""
    other = Authority(tmp_path_factory.mktemp("other"), "other")
    cases = [
        (other.server(["127.0.0.1"]), {}, "set ansible_winrm_ca_trust_path", True),
        (authority.server(["elsewhere"]), {}, "the name that is in its certificate", True),
        (authority.server(["127.0.0.1"], days=(-9, -2)), {}, "renew the certificate", False),
        (authority.server(["127.0.0.1"], days=(2, 9)), {}, "this machine's clock", False),
        (authority.server(["127.0.0.1"]), {"fingerprint": "0" * 64}, "pin the new fingerprint", True),
    ]
    for certificate, settings, cure, is_identity in cases:
        with host_over("basic-tls", authority, certificate=certificate) as host:
            host.with_settings(**settings)
            outcome = _outcome(host)

            assert (outcome.what, outcome.is_identity) == ("Refused", is_identity), outcome
            assert cure in outcome.text.replace("Renew", "renew").replace("Set ", "set ")
            assert host.server.journal.requests == ()
            _check_nothing_left(host)


def test_client_certificate_that_nobody_knows_is_refused(authority: Authority) -> None:
    """A client certificate that is mapped to no account is refused with the cure."""
    with host_over("certificate-tls", authority) as host:
        client = authority.client("stranger")
        host.with_settings(certificate=str(client.file), certificate_key=str(client.key_file))
        outcome = _outcome(host)

        assert outcome.what == "Refused"
        assert "Map the client certificate to an account" in outcome.text
        _check_nothing_left(host)


@pytest.mark.parametrize(("way", "scheme"), [("ntlm-http", "https"), ("ntlm-tls", "http")])
def test_other_scheme_than_the_port_speaks_is_unreachable(authority: Authority, way: str, scheme: str) -> None:
    """TLS to a plain port, and http to a port of TLS, end soon."""
    with host_over(way, authority) as host:
        host.with_settings(scheme=scheme, computer_name="web-1")
        outcome = _outcome(host)

        assert outcome.what == "Unreachable"
        _check_nothing_left(host)


def test_path_without_a_service_is_refused(authority: Authority) -> None:
    """HTTP 404 says which setting to correct."""
    with host_over("ntlm-http", authority) as host:
        host.with_settings(path="/other")
        outcome = _outcome(host)

        assert outcome.what == "Refused"
        assert "ansible_winrm_path" in outcome.text


def test_proxies_of_the_environment_are_not_used(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy, CA and password settings of the environment change nothing: the proxy is never asked."""
    with Between(1) as proxy, host_over("ntlm-http", authority) as http, host_over("basic-tls", authority) as https:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, "/nowhere")
        outcomes = [_outcome(http).what, _outcome(https).what]

        assert outcomes == ["finished 3", "finished 3"]
        assert proxy.connections == 0


def _endless(between: Between, head: bytes, piece: bytes) -> Iterator[bytes]:
    yield head
    yield from repeat(piece)


def _trickled(between: Between, answer: bytes) -> Iterator[bytes]:
    for each in answer:
        yield bytes([each])
        between.pause(0.2)


Altering = Callable[[Between, int, bytes], "Iterator[bytes] | list[bytes] | None"]

BETWEEN_AT_CONNECT: dict[str, tuple[Altering, str, str]] = {
    "refusal without length, endless": (
        lambda b, n, a: _endless(b, answered(401, b"", "WWW-Authenticate: Negotiate", length=False), b"x" * 65_536),
        "Unreachable", "too large",
    ),
    "refusal in chunks, endless": (
        lambda b, n, a: _endless(
            b,
            answered(401, b"", "WWW-Authenticate: Negotiate", "Transfer-Encoding: chunked", "Content-Length: 0",
                     length=False),
            b"8\r\nendless!\r\n",
        ),
        "Unreachable", "too large",
    ),
    "refusal that is large": (
        lambda b, n, a: [answered(401, b"x" * 70_000, "WWW-Authenticate: Negotiate")], "Unreachable", "too large",
    ),
    "answer that is larger than any": (
        lambda b, n, a: _endless(b, answered(200, b"", "Content-Length: 999999999", length=False), b"x" * 65_536),
        "Unreachable", "larger than",
    ),
    "answer that trickles": (lambda b, n, a: _trickled(b, a), "Unreachable", "no answer in time"),
    "headers without an end": (
        lambda b, n, a: _endless(b, b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"), "Unreachable", "headers",
    ),
    "continue without an end": (
        lambda b, n, a: _endless(b, b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "Unreachable", "no answer in time",
    ),
    "answer that is no HTTP": (lambda b, n, a: [b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], "Unreachable", ""),
    "answer that is compressed": (
        lambda b, n, a: [answered(200, b"\x1f\x8b", "Content-Encoding: gzip")], "Unreachable", "compressed",
    ),
    "only other ways to log in": (
        lambda b, n, a: [answered(401, b"", 'WWW-Authenticate: Basic realm="WSMAN"')],
        "Refused", "it offers Basic; the password was not sent",
    ),
    "no challenge": (
        lambda b, n, a: [answered(401, b"", "WWW-Authenticate: Negotiate")] if n == 1 else None,
        "Refused", "set Negotiate=true",
    ),
    "challenge that is garbage": (
        lambda b, n, a: [answered(401, b"", "WWW-Authenticate: Negotiate TlRMTVNTUAAC")] if n == 1 else None,
        "Unreachable", "in what the host sent",
    ),
    "accepted without a proof": (lambda b, n, a: [answered(200)] if n == 0 else None, "Refused", "encrypt"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("trick", BETWEEN_AT_CONNECT)
def test_trick_at_connect_has_its_outcome(authority: Authority, trick: str) -> None:
    """Whoever answers in the place of a host gets no message, holds nobody up, and fills no memory."""
    how, what, text = BETWEEN_AT_CONNECT[trick]
    with host_over("ntlm-http", authority) as host:
        with Between(host.server.port) as between:
            host.target = replace(host.target, port=between.port)
            between.alter(lambda number, answer: how(between, number, answer))
            tracemalloc.start()
            began, sockets = time.monotonic(), sockets_open()
            outcome = _outcome(host)
            took_s, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
            tracemalloc.stop()

        assert outcome.what == what, outcome
        assert text in outcome.text
        assert took_s < 10
        assert peak < 30_000_000
        assert host.server.journal.actions() == ()
        assert [attempt.accepted for attempt in host.server.journal.attempts].count(False) == 0
        # What a peer that never stops sending has left to send is its own affair.
        _check_nothing_left(host)
        wait_until(lambda: sockets_open() <= sockets)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_peer_that_trickles_bytes_of_a_handshake_is_given_up(authority: Authority, scheme: str) -> None:
    """A byte now and then, of an answer or of a TLS handshake, never keeps a connection for longer than it may take."""
    with host_over("basic-tls", authority) as host, socket.create_server(("127.0.0.1", 0)) as listener:
        stopping = threading.Event()

        def trickle() -> None:
            with listener.accept()[0] as peer, contextlib.suppress(OSError):  # It has given us up.
                peer.sendall(b"\x16\x03\x03\x40\x00" if scheme == "https" else b"HTTP/1.1 ")
                while not stopping.wait(0.2):
                    peer.sendall(b"2")

        thread = threading.Thread(target=trickle)
        thread.start()
        host.target = replace(host.target, port=listener.getsockname()[1])
        host.with_settings(scheme=scheme, auth=WinRMAuth.NTLM, computer_name="web-1")
        began = time.monotonic()
        outcome = _outcome(host)
        took_s = time.monotonic() - began
        stopping.set()
        thread.join()

        assert (outcome.what, took_s < 9) == ("Unreachable", True)
        assert "no answer in time" in outcome.text


def test_redirect_is_not_followed(authority: Authority) -> None:
    """A redirect to another server is refused; that server is never asked."""
    with host_over("ntlm-http", authority) as host, Between(host.server.port) as between, Between(1) as elsewhere:
        host.target = replace(host.target, port=between.port)
        location = f"Location: http://127.0.0.1:{elsewhere.port}/wsman"
        between.alter(lambda number, answer: [answered(307, b"", location)])
        outcome = _outcome(host)

        assert outcome.what == "Refused"
        assert "redirects (HTTP 307), which is not followed" in outcome.text
        assert elsewhere.connections == 0


IN_BETWEEN: dict[str, tuple[Altering, str]] = {
    "finished, in clear text, for the first Receive": (
        lambda b, n, a: [answered(200, FINISHED, SOAP)] if n == 3 else None, "lost None",
    ),
    "nothing at all for Send": (
        lambda b, n, a: [answered(200, b"", SOAP)] if n == 2 else None, "lost None",
    ),
    "Send's answer for Receive": (
        lambda b, n, a: [b.kept.setdefault(0, a)] if n in (2, 3) else None, "lost None",  # type: ignore[attr-defined]
    ),
    "a refusal for Receive": (
        lambda b, n, a: [answered(401, b"", "WWW-Authenticate: Negotiate")] if n == 3 else None, "lost None",
    ),
    "a refusal for Create": (
        lambda b, n, a: [answered(401, b"", "WWW-Authenticate: Negotiate")] if n == 0 else None, "Unreachable",
    ),
    "clear text for Create": (lambda b, n, a: [answered(200, FINISHED, SOAP)] if n == 0 else None, "refused None"),
    "flipped bit in Receive": (
        lambda b, n, a: [a[:-60] + bytes([a[-60] ^ 1]) + a[-59:]] if n == 3 else None, "lost None",
    ),
    "trickle for Receive": (lambda b, n, a: _trickled(b, a) if n == 3 else None, "lost None"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("trick", IN_BETWEEN)
def test_trick_in_a_fix_is_never_believed(authority: Authority, trick: str) -> None:
    """Over NTLM and http, an answer that is not the host's own is as good as none; the password is not proved again."""
    how, what = IN_BETWEEN[trick]
    with host_over("ntlm-http", authority) as host, Between(host.server.port) as between:
        between.kept = {}  # type: ignore[attr-defined]
        host.target = replace(host.target, port=between.port)
        outcome = _outcome(
            host,
            before_fix=lambda: between.alter(lambda number, answer: how(between, number, answer)),
        )

        assert outcome.what == what, outcome
        # One for the session, one for the clean-up over a connection of its own.
        assert len(host.server.journal.attempts) <= 2
        assert all(attempt.accepted for attempt in host.server.journal.attempts)
        wait_until(lambda: not host.server.connections_open())
        assert host.server.shells_open() == () or trick.endswith("for Create")
        assert host.server.journal.clear_text_bodies == 0


@pytest.mark.slow
def test_endless_output_takes_bounded_memory(authority: Authority) -> None:
    """A fix that prints for ever is ended; what is kept of it is far less than what it printed."""
    with host_over("ntlm-http", authority) as host:
        tracemalloc.start()
        outcome = _outcome(host, script=b"exec yes")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert outcome.what == "lost None"
        assert peak < 30_000_000
        _check_nothing_left(host)
