"""A link that is lost in the middle of a script: what runs there goes on to its end, and is not taken for heard."""

import threading
import time
from pathlib import Path

import pytest

from remedy.port import CollectorEnding, FixEnding, FixResult
from tests.winrm.certificates import Authority
from tests.winrm.processes import wait_until
from tests.winrm.quick import be_quick
from tests.winrm.ways import Host, a_collector, a_fix, host_over


@pytest.fixture(autouse=True)
def _is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    be_quick(monkeypatch)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that a script waits for."""
    return tmp_path / "gate"


def _script(gate: Path) -> bytes:
    return f"touch {gate}.begun; while ! [ -e {gate} ]; do sleep 0.05; done; touch {gate}.done; exit 3".encode()


def _fix_whose_link_breaks(host: Host, gate: Path, *, timeout_s: int = 20) -> FixResult:
    """Run a fix, end the connection once the script has begun, and let it go on a moment later."""

    def cut() -> None:
        wait_until(Path(f"{gate}.begun").exists)
        host.server.faults.drop("Receive")
        host.server.drop_connections()
        time.sleep(0.3)  # So long the script goes on with nobody listening.
        gate.touch()

    thread = threading.Thread(target=cut, daemon=True)
    with host.session() as session:
        thread.start()
        result = session.fix(*a_fix(_script(gate), timeout_s=timeout_s))
    thread.join(10)
    return result


@pytest.mark.parametrize("way", ["ntlm-http", "certificate-tls"])
def test_fix_whose_link_breaks_goes_on_to_its_end(authority: Authority, gate: Path, way: str) -> None:
    """The second half of the script runs too; the answer is `lost`, says that it ended, and no shell is left."""
    with host_over(way, authority) as host:
        result = _fix_whose_link_breaks(host, gate)

        assert Path(f"{gate}.done").exists()
        assert (result.ending, result.exit_code) == (FixEnding.LOST, None)
        assert "the link was lost; the host says that it has ended since" in result.reason
        assert (host.server.shells_open(), host.server.pids()) == ((), ())
        assert host.server.journal.clear_text_bodies == 0


def test_fix_that_does_not_end_in_time_is_ended_with_its_shell(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a lost link a program that keeps no deadline of its own is waited for as long as it may take, no longer."""
    monkeypatch.setattr("remedy_runners.winrm.session.START_S", 1)
    endless = ("/bin/sh", "-c", "cat >/dev/null; while echo on; do sleep 0.1; done")
    with host_over("certificate-tls", authority, stand_in=lambda line: endless) as host, host.session() as session:
        host.server.faults.drop("Receive", after=1)
        began = time.monotonic()
        result = session.fix(*a_fix(timeout_s=1))

        assert result.ending is FixEnding.LOST
        assert "it had not ended when its time was over, and was ended with its shell" in result.reason
        assert 3 < time.monotonic() - began < 15
        assert (host.server.shells_open(), host.server.pids()) == ((), ())


@pytest.mark.slow
def test_fix_whose_host_is_gone_says_that_nobody_could_be_asked(authority: Authority) -> None:
    """A host that answers nothing any more leaves it open what became of the script, in bounded time."""
    with host_over("ntlm-http", authority) as host, host.session() as session:
        host.server.faults.drop(times=None, after=4)
        began = time.monotonic()
        result = session.fix(*a_fix(b"echo begun; sleep 1", timeout_s=2))

        assert result.ending is FixEnding.LOST
        assert "the link was lost; the host could not be asked again" in result.reason
        assert time.monotonic() - began < 20


def test_endless_output_after_a_lost_link_is_ended(authority: Authority) -> None:
    """What floods is not listened to for longer because its link was lost."""
    with host_over("ntlm-http", authority) as host, host.session() as session:
        host.server.faults.drop("Receive", after=1)
        result = session.fix(*a_fix(b"exec yes", timeout_s=60))

        assert result.ending is FixEnding.LOST
        assert (host.server.shells_open(), host.server.pids()) == ((), ())


def test_collector_whose_link_breaks_is_ended_at_once(authority: Authority) -> None:
    """A collector changes nothing, so nobody waits for its end, and its half output is no reading."""
    with host_over("ntlm-http", authority) as host, host.session() as session:
        host.server.faults.drop("Receive", after=1)
        began = time.monotonic()
        collected = session.collect([a_collector(b"echo begun; sleep 60", timeout_s=60)])

        assert collected.outputs["s"].ending is CollectorEnding.LOST
        assert time.monotonic() - began < 15
        assert (host.server.shells_open(), host.server.pids()) == ((), ())


def test_connection_that_only_waited_for_an_end_gets_no_other_script(authority: Authority) -> None:
    """Over NTLM and http it did not prove its machine: the next script goes over one that did."""
    with host_over("ntlm-http", authority) as host, host.session() as session:
        host.server.faults.drop("Receive")
        session.fix(*a_fix(b"exit 3"))
        before = host.server.journal.actions().count("Command")
        session.fix(*a_fix(b"exit 3"))

        # One more that asks which machine it is, then the fix.
        assert host.server.journal.actions().count("Command") == before + 2
