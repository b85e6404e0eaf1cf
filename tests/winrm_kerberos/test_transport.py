"""The facts about transport that every way to a host has to pass, asked of Kerberos."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.asking import Ways
from tests.behaviour.facts import FACTS
from tests.behaviour.host import Host
from tests.winrm.certificates import Authority
from tests.winrm.facts_host import asked_of
from tests.winrm_kerberos.hosts import KERBEROS_WAYS, kerberos_host
from tests.winrm_kerberos.realm import Realm

WAYS = Ways(fixture="way", everyday=KERBEROS_WAYS)
pytest_generate_tests = WAYS.give
globals().update(FACTS)


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    """The name of the way."""
    return str(request.param)


@pytest.fixture
def host(
    way: str, realm: Realm, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Host]:
    """A host over one way, to which nothing but tickets leads."""
    with kerberos_host(way, authority) as running:
        with asked_of(running, tmp_path, monkeypatch) as asked:
            yield asked
        assert {attempt.mechanism for attempt in running.server.journal.attempts} == {"kerberos"}
