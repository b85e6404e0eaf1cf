"""The facts about transport that every way over WinRM has to pass, unchanged, for Kerberos."""

import inspect
from collections.abc import Iterator

import pytest

from tests.winrm import test_runner_transport
from tests.winrm.certificates import Authority
from tests.winrm.processes import wait_until
from tests.winrm.ways import Host
from tests.winrm_kerberos.hosts import KERBEROS_WAYS, kerberos_host
from tests.winrm_kerberos.realm import Realm

# Collected here once more, with this module's `host`: whatever fact is added there is asked of Kerberos too.
FACTS = {
    name: fact
    for name, fact in vars(test_runner_transport).items()
    if name.startswith("test_") and "host" in inspect.signature(fact).parameters
}
globals().update(FACTS)


@pytest.fixture(params=KERBEROS_WAYS)
def host(request: pytest.FixtureRequest, realm: Realm, authority: Authority) -> Iterator[Host]:
    """A host over one way; whatever a test did there, nothing is left, and nothing went in clear text."""
    with kerberos_host(request.param, authority) as running:
        yield running
        wait_until(lambda: not running.server.connections_open())
        assert (running.server.shells_open(), running.server.pids()) == ((), ())
        assert running.server.journal.clear_text_bodies == 0
        assert {attempt.mechanism for attempt in running.server.journal.attempts if attempt.accepted} == {"kerberos"}


def test_facts_about_transport_are_asked_here() -> None:
    """The facts come from the module that asks them of the other ways; there are as many as there were, or more."""
    assert len(FACTS) >= 14
