"""The facts about transport, asked of every way over WinRM; the program there is a stand-in process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.asking import Ways
from tests.behaviour.facts import FACTS
from tests.behaviour.host import Host
from tests.winrm.certificates import Authority
from tests.winrm.facts_host import asked_of
from tests.winrm.ways import host_over

WAYS = Ways(fixture="way", everyday=("ntlm-http", "certificate-tls"), other=("basic-tls", "ntlm-tls"))
pytest_generate_tests = WAYS.give
globals().update(FACTS)


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    """The name of the way."""
    return str(request.param)


@pytest.fixture
def host(way: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host over one way."""
    with host_over(way, authority) as running, asked_of(running, tmp_path, monkeypatch) as asked:
        yield asked
