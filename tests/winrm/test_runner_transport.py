"""What only a session over WinRM does, over each way of reaching a host; the program there is a stand-in process."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from remedy.errors import Refused, Unreachable
from remedy.port import FixEnding, Shell, Target, WinRM, WinRMAuth
from tests.winrm.certificates import Authority
from tests.winrm.processes import wait_until
from tests.winrm.ways import WAYS, Host, a_collector, a_fix, a_runner, host_over


@pytest.fixture(params=WAYS)
def host(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Host]:
    """A host over one way; whatever a test did there, nothing is left, and nothing went in clear text."""
    with host_over(request.param, authority) as running:
        yield running
        wait_until(lambda: not running.server.connections_open())
        assert (running.server.shells_open(), running.server.pids()) == ((), ())
        assert running.server.journal.clear_text_bodies == 0


@pytest.mark.parametrize("code", [3010, -2147024891])
def test_exit_code_of_32_bit_is_exact(host: Host, code: int) -> None:
    """The code of a fix is the trailer's: 32 bit with its sign, whatever the process's own status holds."""
    with host.session() as session:
        result = session.fix(*a_fix(f"echo out; exit {code & 0xFF}\n# exit code {code}\n".encode()))

    assert (result.ending, result.exit_code, result.stdout.head) == (FixEnding.FINISHED, code, b"out\n")


def test_connection_is_used_again_and_closed_at_the_end(host: Host) -> None:
    """Five commands within 30 s go over one connection, which is closed with the session."""
    with host.session() as session:
        for _ in range(5):
            session.collect([a_collector(b":")])
        assert host.server.connections_open() == 1

    assert host.server.journal.connections == 1
    wait_until(lambda: not host.server.connections_open())


def test_idle_connection_is_not_used_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was idle for longer than it may be is closed, and a new one is opened."""
    with host.session() as session:
        monkeypatch.setattr("remedy_runners.winrm.session.IDLE_S", -1)
        monkeypatch.setattr("remedy_runners.winrm.session._must_ask", lambda settings: False)
        for _ in range(2):
            session.collect([a_collector(b":")])

        assert host.server.journal.connections == 3
        assert host.server.connections_open() == 1


def test_service_that_restarted_between_commands_is_reached_anew(host: Host) -> None:
    """A connection that the host ended between two commands costs nothing but a new one."""
    with host.session() as session:
        session.collect([a_collector(b":")])
        host.server.drop_connections()
        wait_until(lambda: not host.server.connections_open())
        result = session.fix(*a_fix(b"exit 4"))

    assert (result.ending, result.exit_code) == (FixEnding.FINISHED, 4)


@pytest.mark.parametrize("way", ["ntlm-http", "basic-tls"])
def test_ipv6_address_is_reached(authority: Authority, way: str) -> None:
    """An IPv6 address stands in brackets in the endpoint, and a certificate may be for one."""
    with host_over(way, authority, address="::1") as host, host.session() as session:
        result = session.fix(*a_fix(b"exit 5"))

    assert (result.ending, result.exit_code) == (FixEnding.FINISHED, 5)


def test_host_name_of_the_certificate_is_what_counts(authority: Authority) -> None:
    """A host reached by a name that its certificate has is trusted."""
    with host_over("basic-tls", authority) as host:
        host.target = replace(host.target, address="localhost")
        with host.session() as session:
            assert session.fix(*a_fix(b"exit 6")).exit_code == 6


def test_certificate_with_the_pinned_fingerprint_is_trusted(authority: Authority, tmp_path: Path) -> None:
    """With its fingerprint given, a certificate of an authority that nobody trusts is the right one."""
    certificate = Authority(tmp_path, "other").server(["elsewhere"])
    with host_over("ntlm-tls", authority, certificate=certificate) as host:
        host.with_settings(ca_file=None, fingerprint=certificate.fingerprint)
        with host.session() as session:
            assert session.fix(*a_fix(b"exit 6")).exit_code == 6


def test_files_may_be_given_by_home(authority: Authority, tmp_path: Path) -> None:
    """`~/` in names of certificates and of a password's file stands for the runner's home."""
    with host_over("basic-tls", authority) as host:
        (tmp_path / "ca.pem").write_bytes(authority.ca_file.read_bytes())
        (tmp_path / "password").write_text(host.server.password + "\n")
        (tmp_path / "password").chmod(0o600)
        host.with_settings(ca_file="~/ca.pem")
        host.target = replace(host.target, password="file:~/password")
        host.runner = a_runner({}, home=tmp_path)
        with host.session() as session:
            assert session.fix(*a_fix(b"exit 6")).exit_code == 6


@pytest.mark.parametrize(("scheme", "port"), [("http", 5985), ("https", 5986)])
def test_port_follows_the_scheme(scheme: str, port: int) -> None:
    """Without a port it is 5985 for http and 5986 for https."""
    target = _target(WinRM(scheme=scheme, auth=WinRMAuth.KERBEROS))  # type: ignore[arg-type]

    assert str(a_runner({}).endpoint(target)) == f"remedy@127.0.0.1:{port}"


def _target(settings: WinRM, **more: object) -> Target:
    plain = Target(name="web-1", address="127.0.0.1", user="remedy", password="env:P", shell=Shell.POWERSHELL)
    return replace(plain, winrm=settings, **more)  # type: ignore[arg-type]


_NTLM = WinRM(scheme="http", auth=WinRMAuth.NTLM, computer_name="web-1")


@pytest.mark.parametrize(
    ("target", "cure"),
    [
        (_target(_NTLM, password=None), "give ansible_password as env:NAME or file:PATH"),
        (_target(_NTLM, password="hunter2"), "env:NAME or file:PATH, never as it is"),
        (_target(_NTLM, user=None), "give ansible_user"),
        (_target(_NTLM, address="user@host"), "correct ansible_host"),
        (_target(_NTLM, address="host/path"), "correct ansible_host"),
        (_target(_NTLM, address="host#"), "correct ansible_host"),
        (_target(_NTLM, shell=Shell.SH), "set ansible_shell_type"),
        (_target(_NTLM, barred="it is barred, says the inventory"), "it is barred"),
        (_target(WinRM(scheme="http", auth=WinRMAuth.BASIC)), "in clear text; use https"),
        (_target(WinRM(scheme="http", auth=WinRMAuth.CERTIFICATE)), "in clear text; use https"),
        (_target(WinRM(scheme="http", auth=WinRMAuth.NTLM)), "give the host remedy_machine_id or remedy_computer_name"),
        (_target(WinRM(scheme="https", auth=WinRMAuth.CERTIFICATE)), "give ansible_winrm_cert_pem"),
        (_target(replace(_NTLM, path="wsman?x")), "correct ansible_winrm_path"),
        (
            _target(WinRM(scheme="https", auth=WinRMAuth.BASIC, ca_file="/nowhere/ca.pem")),
            "correct ansible_winrm_ca_trust_path",
        ),
    ],
)
def test_setting_that_cannot_be_used_is_refused_before_any_contact(target: Target, cure: str) -> None:
    """Each is refused with what to do about it; the port is one that nobody listens on, and nobody is asked."""
    began = time.monotonic()

    with pytest.raises(Refused) as refused:
        a_runner({"P": "x"}).connect(replace(target, port=1))

    assert cure in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert time.monotonic() - began < 1


def test_name_that_does_not_resolve_is_unreachable() -> None:
    """A name that nobody knows is `Unreachable`, for `endpoint` and for `connect`."""
    target = _target(_NTLM, address="no-such-host.invalid")

    with pytest.raises(Unreachable, match="does not resolve"):
        a_runner({"P": "x"}).endpoint(target)
    with pytest.raises(Unreachable):
        a_runner({"P": "x"}).connect(target)
