"""A wrong password is tried once: per host always, and over all hosts until one has accepted it."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from remedy.errors import Refused, RemedyError, Unreachable
from remedy_runners.secrets import Secret
from remedy_runners.winrm.logins import REFUSALS_MAX, REFUSALS_OF_KNOWN_MAX, Logins
from tests.winrm.certificates import Authority
from tests.winrm.processes import wait_until
from tests.winrm.ways import Host, a_fix, a_runner, host_over

WRONG = "planted-secret-41"


def _connect(host: Host) -> str:
    """Connect and close; return what was refused, '' when nothing was."""
    try:
        host.runner.connect(host.target).close()
    except RemedyError as exc:
        said = f"{type(exc).__name__}: {exc}"
    else:
        said = ""
    assert WRONG not in said
    return said


@contextlib.contextmanager
def _fleet(way: str, authority: Authority, size: int) -> Iterator[list[Host]]:
    """Start hosts that share a runner, with a password that all of them refuse."""
    runner = a_runner({"WINRM_PASSWORD": WRONG})
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(host_over(way, authority)) for _ in range(size)]
        for host in hosts:
            host.runner = runner
        yield hosts


@pytest.mark.parametrize("way", ["ntlm-http", "ntlm-tls", "basic-tls"])
def test_wrong_password_is_tried_once(authority: Authority, way: str) -> None:
    """The first connection is refused with the cure; the second is not even made."""
    with _fleet(way, authority, 1) as [host]:
        first = _connect(host)
        connections = host.server.journal.connections
        second = _connect(host)

        assert first.startswith("Refused: ")
        assert "tried once. See name" in first
        assert "a password is not tried twice" in second
        assert len(host.server.journal.attempts) == 1
        assert host.server.journal.connections == connections
        assert host.server.journal.actions() == ()
        wait_until(lambda: not host.server.connections_open())


@pytest.mark.parametrize("way", ["ntlm-http", "ntlm-tls", "basic-tls"])
def test_wrong_password_is_tried_once_by_many_threads(authority: Authority, way: str) -> None:
    """Eight threads that connect to one host at once make one attempt together."""
    with _fleet(way, authority, 1) as [host], ThreadPoolExecutor(8) as pool:
        together = threading.Barrier(8)
        said = list(pool.map(lambda _: (together.wait(timeout=20), _connect(host))[1], range(8)))

        assert all(each.startswith("Refused: ") for each in said)
        assert len(host.server.journal.attempts) == 1


def test_wrong_password_of_a_fleet_is_tried_at_few_hosts(authority: Authority) -> None:
    """Ten hosts at once with one wrong password: two attempts in all, so that no account of a domain is locked."""
    with _fleet("ntlm-http", authority, 10) as hosts, ThreadPoolExecutor(10) as pool:
        said = list(pool.map(_connect, hosts))

        attempts = sum(len(host.server.journal.attempts) for host in hosts)
        assert attempts == REFUSALS_MAX
        assert all(each.startswith("Refused: ") for each in said)
        assert sum("tried nowhere else in this run" in each for each in said) == 10 - REFUSALS_MAX


def test_wrong_password_of_local_accounts_is_tried_once_at_each_host(authority: Authority) -> None:
    """Basic takes accounts of the host only, which are not locked by another host."""
    with _fleet("basic-tls", authority, 4) as hosts:
        said = [_connect(host) for host in hosts]

        assert [len(host.server.journal.attempts) for host in hosts] == [1, 1, 1, 1]
        assert all("tried once" in each for each in said)


def test_login_that_one_host_accepts_goes_on_at_others(authority: Authority) -> None:
    """A host that refuses a login that others accept is refused alone."""
    with host_over("ntlm-http", authority) as good, host_over("ntlm-http", authority, user="other") as bad:
        bad.runner = good.runner
        bad.target = replace(bad.target, user=good.server.user)
        said = [_connect(each) for each in (good, bad, bad, good)]

        assert [bool(each) for each in said] == [False, True, True, False]
        assert [attempt.accepted for attempt in bad.server.journal.attempts] == [False]


def test_host_that_does_not_answer_keeps_nobody_from_others(authority: Authority) -> None:
    """Only the proof of the password waits for other hosts: one that hangs before it holds nobody up."""
    with host_over("ntlm-http", authority) as dead, host_over("ntlm-http", authority) as good:
        dead.runner = good.runner
        dead.server.faults.hang(after=1)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(_connect, dead)
            wait_until(lambda: len(dead.server.journal.requests) == 2)
            said = _connect(good)
            was_over = waiting.done()
            dead.server.drop_connections()

            assert (said, was_over) == ("", False)
            assert waiting.result(timeout=30).startswith("Unreachable: ")


def test_refused_in_the_midst_is_not_tried_again(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that is changed while a session lasts is refused at its next connection, once."""
    with host_over("basic-tls", authority) as host, host.session() as session:
        accounts = host.server._policy.accounts
        monkeypatch.setitem(accounts, host.server.user, "changed")  # type: ignore[arg-type]
        said = [session.fix(*a_fix()) for _ in range(3)]
        monkeypatch.undo()

        assert [result.ending.value for result in said] == ["refused"] * 3
        assert [attempt.accepted for attempt in host.server.journal.attempts].count(False) == 1


def _try(logins: Logins, endpoint: str, *, is_accepted: bool | None, user: str = "u", password: str = "p") -> None:
    with logins.attempt(endpoint, user, Secret(password), is_local=False) as tell:
        if is_accepted is not None:
            tell(is_accepted)


def test_known_login_is_given_up_after_five_hosts_in_a_row() -> None:
    """Once accepted, a login survives four refusals in a row, and any acceptance starts the count anew."""
    logins = Logins()
    _try(logins, "a", is_accepted=True)
    for number in range(REFUSALS_OF_KNOWN_MAX - 1):
        _try(logins, f"b{number}", is_accepted=False)
    _try(logins, "c", is_accepted=True)
    for number in range(REFUSALS_OF_KNOWN_MAX):
        _try(logins, f"d{number}", is_accepted=False)

    with pytest.raises(Refused, match="5 hosts did not accept u"):
        _try(logins, "e", is_accepted=True)


def test_attempt_without_an_answer_decides_nothing() -> None:
    """A connection that broke says nothing of a password: the next one may try it."""
    logins = Logins()
    for _ in range(5):
        _try(logins, "a", is_accepted=None)
    _try(logins, "a", is_accepted=True)

    logins.check("a", "u", Secret("p"), is_local=False)


def test_names_differ_only_by_more_than_case_and_passwords_are_accounts_of_their_own() -> None:
    """Windows does not tell `Admin` from `admin`; another password under the same name is another account."""
    logins = Logins()
    for endpoint in ("a", "b"):
        _try(logins, endpoint, is_accepted=False, user="Admin")

    with pytest.raises(Refused):
        _try(logins, "c", is_accepted=True, user="admin")
    _try(logins, "c", is_accepted=True, user="admin", password="another")


def test_waiting_for_another_host_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a host that does not answer is told so in time, and was not tried."""
    monkeypatch.setattr("remedy_runners.winrm.logins._WAIT_S", 0.05)
    logins = Logins()
    with (
        logins.attempt("a", "u", Secret("p"), is_local=False),
        pytest.raises(Unreachable, match="being tried at another host"),
    ):
        _try(logins, "b", is_accepted=True)
