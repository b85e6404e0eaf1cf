"""A realm for the tests of this folder; they are collected only where scripts/test-kerberos asks for them."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.winrm.certificates import Authority
from tests.winrm.ways import Host
from tests.winrm_kerberos.hosts import kerberos_host

if TYPE_CHECKING:
    from tests.winrm_kerberos.realm import Realm

# Elsewhere their imports are missing, and the variables of Kerberos would be those of all tests of the process.
collect_ignore_glob = [] if os.environ.get("REMEDY_TEST_KERBEROS") else ["test_[!l]*.py"]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The certification authority whose certificates the tests' servers and clients trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def running_realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Realm"]:
    """The realm; started once."""
    from tests.winrm_kerberos.realm import realm_on_loopback

    with realm_on_loopback(tmp_path_factory.mktemp("realm")) as realm:
        yield realm


@pytest.fixture
def realm(running_realm: "Realm", monkeypatch: pytest.MonkeyPatch) -> "Realm":
    """The realm, to which this process's libraries are led for as long as a test lasts."""
    for name, value in running_realm.environment.items():
        monkeypatch.setenv(name, value)
    return running_realm


@pytest.fixture
def host(realm: "Realm", authority: Authority) -> Iterator[Host]:
    """A host over http that takes tickets, reached with encrypted messages."""
    with kerberos_host("kerberos-http", authority) as running:
        yield running
