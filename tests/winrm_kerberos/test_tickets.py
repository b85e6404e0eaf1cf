"""Who logs in to what over Kerberos: the ticket decides, and whatever is wrong with it is refused with the cure."""

import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import spnego
from winrm.protocol import Protocol

from remedy.errors import Refused, Unreachable
from remedy.port import FixEnding
from tests.winrm import authentication
from tests.winrm.certificates import Authority
from tests.winrm.clients import run
from tests.winrm.processes import in_sh, wait_until
from tests.winrm.server import WinRMServer
from tests.winrm.stand_in import MACHINE_ID
from tests.winrm.ways import Host, a_collector, a_fix
from tests.winrm_kerberos.hosts import KERBEROS_WAYS, kerberos_host
from tests.winrm_kerberos.realm import SERVICE, Realm


@pytest.fixture(params=KERBEROS_WAYS)
def host(request: pytest.FixtureRequest, realm: Realm, authority: Authority) -> Iterator[Host]:
    """A host over one way; whatever was refused there, nothing is left, and nothing went in clear text."""
    with kerberos_host(request.param, authority) as running:
        yield running
        wait_until(lambda: not running.server.connections_open())
        assert running.server.shells_open() == ()
        assert running.server.journal.clear_text_bodies == 0


@pytest.fixture
def contexts(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> list[spnego.ContextProxy]:
    """The security contexts of the hosts, as they are made."""
    made: list[spnego.ContextProxy] = []
    make = spnego.server

    def server(*arguments: Any, **options: Any) -> spnego.ContextProxy:
        made.append(make(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(authentication.spnego, "server", server)
    return made


def _refused(host: Host, *cures: str) -> str:
    """Connect, which has to be refused with these words and without a message; return what was said."""
    with pytest.raises(Refused) as refused:
        host.runner.connect(host.target)
    for cure in cures:
        assert cure in str(refused.value)
    assert host.server.journal.actions() == ()
    return str(refused.value)


def test_ticket_alone_logs_in(host: Host) -> None:
    """No password is needed, and none is asked for; the first message is the script's, not a question who it is."""
    with host.session() as session:
        before = host.server.journal.actions()
        result = session.fix(*a_fix(b"exit 4"))

    assert before == ()
    assert (result.ending, result.exit_code) == (FixEnding.FINISHED, 4)
    assert [(each.mechanism, each.user, each.accepted) for each in host.server.journal.attempts] == [
        ("kerberos", "remedy@KRBTEST.COM", True)
    ]


@pytest.mark.parametrize("user", ["remedy", "remedy@KRBTEST.COM"])
def test_user_may_be_named_with_or_without_the_realm(host: Host, user: str) -> None:
    """The ticket of this user is taken, among those that the cache has."""
    host.target = replace(host.target, user=user)
    with host.session() as session:
        assert session.fix(*a_fix(b"exit 4")).exit_code == 4


def test_missing_ticket_is_refused(host: Host, realm: Realm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a ticket nothing is sent, and kinit is the cure."""
    monkeypatch.setenv("KRB5CCNAME", str(tmp_path / "none"))

    _refused(host, "kinit")
    assert host.server.journal.attempts == ()


def test_expired_ticket_is_refused(host: Host, realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ticket whose time is over is as good as none, and kinit is the cure."""
    monkeypatch.setenv("KRB5CCNAME", realm.expired_ticket())

    _refused(host, "kinit")
    assert host.server.journal.attempts == ()


def test_ticket_of_another_user_is_refused(host: Host, realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inventory names the user; whoever else has a ticket in the cache does not log in in their place."""
    monkeypatch.setenv("KRB5CCNAME", realm.ticket(realm.stranger))

    _refused(host, "kinit")
    assert host.server.journal.attempts == ()


def test_user_that_the_host_does_not_know_is_refused(host: Host, realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good ticket of somebody who may not log in there is refused; it says where to allow it."""
    monkeypatch.setenv("KRB5CCNAME", realm.ticket(realm.stranger))
    host.target = replace(host.target, user=realm.stranger)

    _refused(host, "does not accept the login", "Remote Management Users")
    assert [each.accepted for each in host.server.journal.attempts] == [False]


def test_service_that_the_realm_does_not_know_is_refused(host: Host) -> None:
    """A host named otherwise than in the realm has no key there; the cure is its name, not another ticket."""
    host.target = replace(host.target, address="127.0.0.1")

    said = _refused(host, "not found in Kerberos database")
    assert "setspn" in said
    assert host.server.journal.attempts == ()


def test_host_without_the_key_of_the_service_is_refused(
    host: Host, realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine in the place of a host, which has its name but not its key, cannot read the ticket."""
    monkeypatch.setenv("KRB5_KTNAME", realm.other_keys())

    _refused(host, "does not accept the login")
    assert [each.accepted for each in host.server.journal.attempts] == [False]


@pytest.mark.parametrize("setting", ["rdns", "dns_canonicalize_hostname"])
def test_dns_has_no_say_in_who_a_host_is(
    host: Host, realm: Realm, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """With krb5.conf as it comes, DNS would make another host's ticket out of this one's name; here it is not asked."""
    others = {"rdns": "true", "dns_canonicalize_hostname": "true"}
    if setting == "rdns":
        others["dns_canonicalize_hostname"] = "fallback"
    cache = realm.ticket()
    monkeypatch.setenv("KRB5CCNAME", cache)
    monkeypatch.setenv("KRB5_CONFIG", realm.settings(**others))
    host.target = replace(host.target, address="127.0.0.1")  # Its reverse name is localhost, for which there is a key.

    _refused(host, "127.0.0.1")
    assert SERVICE not in realm.services_in(cache)


def test_unreachable_kdc_is_no_refusal(host: Host, realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no KDC answers, nobody has said no: unreachable, and soon."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("KRB5_CONFIG", realm.settings_with_kdc(nobody.getsockname()[1]))
        monkeypatch.setenv("KRB5CCNAME", realm.ticket())
        began = time.monotonic()
        with pytest.raises(Unreachable, match="KDC"):
            host.runner.connect(host.target)

    assert time.monotonic() - began < 10
    assert host.server.journal.attempts == ()


def test_host_knows_who_it_is_only_where_asked(host: Host) -> None:
    """The ticket proves the host; a machine id that the inventory gives is checked all the same."""
    host.with_settings(machine_id=MACHINE_ID)
    with host.session() as session:
        assert session.fix(*a_fix(b"exit 4")).exit_code == 4
    host.with_settings(machine_id="9" * 8 + MACHINE_ID[8:])

    with pytest.raises(Refused, match="ANOTHER MACHINE ANSWERS"):
        host.runner.connect(host.target)


def test_login_is_mutual_and_never_delegated(host: Host, contexts: list[spnego.ContextProxy]) -> None:
    """A host has to prove itself, and gets no ticket to go on with, though the user's may be forwarded."""
    with host.session() as session:
        session.collect([a_collector(b":")])

    flags = contexts[-1].context_attr
    assert contexts[-1].complete
    assert flags & spnego.ContextReq.mutual_auth
    assert not flags & spnego.ContextReq.delegate


def test_delegation_would_be_seen(contexts: list[spnego.ContextProxy]) -> None:
    """The test before this one can fail: a client that delegates is seen to."""
    with WinRMServer(in_sh, kerberos=True) as server:
        protocol = Protocol(
            server.url.replace("127.0.0.1", "localhost"),
            transport="kerberos",
            kerberos_delegation=True,
            message_encryption="always",
            ca_trust_path=None,
            proxy=None,
        )
        assert run(protocol, "exit 3")[2] == 3
        protocol.transport.close_session()

    assert contexts[-1].context_attr & spnego.ContextReq.delegate


def test_login_within_tls_is_bound_to_the_certificate(realm: Realm, authority: Authority) -> None:
    """A ticket within TLS is good for the certificate that the controller saw: passed on by another host, it is not."""
    with kerberos_host("kerberos-tls", authority, is_listening=False) as host:
        host.server._policy = replace(host.server._policy, channel_binding=b"tls-server-end-point:" + bytes(32))
        host.server.listen()
        _refused(host, "does not accept the login")

        assert [each.accepted for each in host.server.journal.attempts] == [False]


def test_library_does_not_talk_of_what_went_wrong(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Beside the one line that we say, no traceback of the library's log reaches the terminal."""
    said: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: said.append(record.name))
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    monkeypatch.setenv("KRB5CCNAME", str(tmp_path / "none"))
    _refused(host, "kinit")

    assert [name for name in said if name.startswith("winrm")] == []
