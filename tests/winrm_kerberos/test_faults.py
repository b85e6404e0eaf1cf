"""What comes of the faults on the way to a host over Kerberos: as over the other ways, and what is Kerberos's own."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.winrm import test_runner_faults as other_ways
from tests.winrm.between import Between, answered
from tests.winrm.certificates import Authority
from tests.winrm.ways import Host, a_fix
from tests.winrm_kerberos.hosts import KERBEROS_WAYS, kerberos_host
from tests.winrm_kerberos.realm import Realm

NEGOTIATE = "WWW-Authenticate: Negotiate"


@pytest.fixture(autouse=True)
def _is_over_kerberos(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests of the other ways, which are asked below, make their hosts here."""
    monkeypatch.setattr(other_ways, "host_over", lambda way, *args, **more: kerberos_host(_way(way), *args, **more))


_is_quick = other_ways._is_quick


def _way(way: str) -> str:
    return way if way in KERBEROS_WAYS else "kerberos-http"


@pytest.mark.parametrize("way", KERBEROS_WAYS)
@pytest.mark.parametrize("fault", other_ways.IN_A_FIX)
def test_fault_in_a_fix_has_its_outcome(authority: Authority, way: str, fault: str) -> None:
    """Each fault ends in the outcome that it has over the other ways."""
    other_ways.test_fault_in_a_fix_has_its_outcome(authority, way, fault)


@pytest.mark.parametrize("way", KERBEROS_WAYS)
@pytest.mark.parametrize("fault", other_ways.AT_CONNECT)
def test_fault_at_connect_has_its_outcome(authority: Authority, way: str, fault: str) -> None:
    """503 first, nobody there, a hang: each ends in its outcome, and the next connection is a good one."""
    other_ways.test_fault_at_connect_has_its_outcome(authority, way, fault)


@pytest.mark.parametrize("answers", range(1, 8))
def test_drop_after_any_number_of_answers_leaves_nothing(authority: Authority, answers: int) -> None:
    """Wherever in handshake and fix the connection ends: no clear text, no shell is left."""
    other_ways.test_drop_after_any_number_of_answers_leaves_nothing(authority, answers)


def test_port_that_opens_late_is_unreachable_first(authority: Authority) -> None:
    """Where nobody listens the host is unreachable; later it is not, and nothing went in clear text."""
    other_ways.test_port_that_opens_late_is_unreachable_first(authority)


@pytest.mark.parametrize("trick", other_ways.IN_BETWEEN)
def test_trick_in_a_fix_is_never_believed(authority: Authority, trick: str) -> None:
    """An answer that is not the host's own, among them one in clear text and an earlier one, is as good as none."""
    other_ways.test_trick_in_a_fix_is_never_believed(authority, trick)


@pytest.fixture
def between(host: Host) -> Iterator[Between]:
    """Somebody between the controller and the host."""
    with Between(host.server.port) as running:
        host.target = replace(host.target, port=running.port)
        yield running


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((), id="no proof"),
        pytest.param((NEGOTIATE,), id="an empty proof"),
        pytest.param((f"{NEGOTIATE} Z2FyYmFnZQ==",), id="garbage for a proof"),
    ],
)
@pytest.mark.parametrize("body", [b"", b"whatever"], ids=["without a body", "with a body"])
def test_host_that_does_not_prove_itself_is_refused(
    host: Host, between: Between, headers: tuple[str, ...], body: bytes
) -> None:
    """A host that says yes and does not prove that it has the service's key gets no message."""
    between.alter(lambda number, answer: [answered(200, body, *headers)])
    outcome = other_ways._outcome(host)

    assert outcome.what == "Refused", outcome
    assert "THE HOST DID NOT PROVE ITSELF" in outcome.text
    assert outcome.is_identity
    assert host.server.journal.actions() == ()
    other_ways._check_nothing_left(host)


def test_proof_of_another_login_is_refused(host: Host, between: Between) -> None:
    """What a host said to an earlier login proves nothing for this one."""
    kept: list[bytes] = []
    between.alter(lambda number, answer: kept.append(answer))
    host.runner.connect(host.target).close()
    between.alter(lambda number, answer: [kept[0]] if number == 0 else None)
    outcome = other_ways._outcome(host)

    assert outcome.what == "Refused", outcome
    assert outcome.is_identity
    assert host.server.journal.actions() == ()


def test_only_other_ways_to_log_in_are_refused(host: Host, between: Between) -> None:
    """A host that takes no tickets is refused, and gets no message."""
    between.alter(lambda number, answer: [answered(401, b"", 'WWW-Authenticate: Basic realm="WSMAN"')])
    outcome = other_ways._outcome(host)

    assert outcome.what == "Refused", outcome
    assert host.server.journal.actions() == ()


def test_answer_that_was_given_before_is_not_believed(host: Host, between: Between) -> None:
    """A Receive that is answered with an earlier one's answer ends the session: its rows would count twice."""
    kept: dict[int, bytes] = {}

    def alter(number: int, answer: bytes) -> list[bytes] | None:
        kept[number] = answer
        return [kept[3]] if number == 4 else None

    with host.session() as session:
        between.alter(alter)
        result = session.fix(*a_fix(b"echo once; sleep 1; echo twice; exit 0"))

    assert result.ending.value == "lost"
    assert result.stdout.head.count(b"once") <= 1
