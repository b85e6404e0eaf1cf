"""Servers on loopback for the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.winrm.processes import in_sh
from tests.winrm.server import Authority, WinRMServer


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The certification authority whose certificates the tests' servers and clients trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server() -> Iterator[WinRMServer]:
    """A server over http whose commands are lines for /bin/sh."""
    with WinRMServer(in_sh) as running:
        yield running
