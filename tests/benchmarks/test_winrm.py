"""The benchmark of WinRM runs, on few hosts and untimed; its figures are in docs/performance.md."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from winrm.protocol import Protocol

import benchmarks
from benchmarks import winrm
from benchmarks.winrm_hosts import Hosts, running


def test_winrm_measures_every_client_over_both_ways() -> None:
    """A small run in a process of its own prints one JSON object; each job is one command, and one question more."""
    command = [sys.executable, "-m", "benchmarks.winrm", "--hosts=4", "--threads=3", "--turns=1", "-o", "json"]

    top = Path(benchmarks.__file__).parents[1]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=top)

    found = json.loads(ended.stdout)
    assert set(found) == {field.name for field in dataclasses.fields(winrm.Comparison)}
    assert [(work["way"], work["client"]) for work in found["works"]] == [
        (way, client) for way in winrm.WAYS for client in winrm.CLIENTS
    ]
    # NTLM over http does not prove the host, so remedy asks it first.
    assert [work["commands"] for work in found["works"]] == [1, 1, 1, 2, 1, 1]
    assert min(work[name] for work in found["works"] for name in ("jobs_per_s", "client_cpu_ms", "hosts_cpu_ms")) > 0


def test_winrm_refuses_a_client_that_gets_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a job that did not get what its program printed would mean nothing: it ends with an error."""
    monkeypatch.setattr(winrm, "CLIENTS", {"odd": lambda hosts: lambda port: b"something else"})

    with pytest.raises(AssertionError, match="odd"):
        winrm.measure(1, threads=1, turns=1)


def test_winrm_refuses_a_client_that_leaves_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that saves itself the clean-up is not compared with others."""

    def leave(hosts: Hosts) -> winrm.Job:
        def job(port: int) -> bytes:
            url = f"http://{hosts.address}:{port}/wsman"
            login = {"username": hosts.user, "password": hosts.password, "proxy": None, "ca_trust_path": None}
            protocol = Protocol(url, transport="ntlm", **login)
            protocol.open_shell()
            protocol.transport.close_session()
            return winrm.ROW

        return job

    monkeypatch.setattr(winrm, "CLIENTS", {"leaves": leave})
    monkeypatch.setattr(winrm, "WAYS", ("http",))

    with pytest.raises(AssertionError, match="leaves"):
        winrm.measure(1, threads=1, turns=1)


def test_hosts_end_with_the_block() -> None:
    """The process of the hosts ends when its standard input does."""
    with running(2, is_tls=False) as hosts:
        assert len(set(hosts.ports)) == 2

    assert hosts.process.returncode == 0
