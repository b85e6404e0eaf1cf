"""The scripted faults of the loopback server, each seen by a client: what was done, and what was answered."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import ParseError

import pytest
import requests
from winrm.exceptions import WinRMTransportError, WSManFaultError

from tests.winrm.clients import opened, pywinrm, receive_all, run
from tests.winrm.processes import in_sh, wait_until
from tests.winrm.server import WinRMServer

LOST = requests.exceptions.ConnectionError


def test_status_is_answered_before_any_login(server: WinRMServer) -> None:
    """A scripted 503 meets the first request; the second is served."""
    server.faults.status(503)

    with pywinrm(server) as protocol, pytest.raises(WinRMTransportError) as raised:
        protocol.open_shell()
    with pywinrm(server) as protocol:
        answer = run(protocol, "exit 4")

    assert raised.value.code == 503
    assert answer == (b"", b"", 4)
    assert server.journal.requests[0].status == 503
    assert [one.accepted for one in server.journal.attempts] == [True]


def test_port_that_opens_late_refuses_first() -> None:
    """A server that does not listen yet refuses connections; once it does, it serves."""
    with WinRMServer(in_sh, is_listening=False) as server:
        with pywinrm(server) as protocol, pytest.raises(LOST, match="refused"):
            protocol.open_shell()
        server.listen()
        with pywinrm(server) as protocol:
            answer = run(protocol, "exit 4")

        assert answer == (b"", b"", 4)
        assert server.journal.connections == 1


@pytest.mark.parametrize(
    ("script", "was_done", "error"),
    [
        (lambda faults: faults.drop("Command"), False, LOST),
        (lambda faults: faults.lose_answer("Command"), True, LOST),
        (lambda faults: faults.cut_answer(0, "Command"), True, LOST),
        (lambda faults: faults.cut_answer(300, "Command"), True, requests.exceptions.ChunkedEncodingError),
        (lambda faults: faults.fault(995, "Command"), False, WSManFaultError),
        (lambda faults: faults.fault(1234567, "*", after=1), False, WSManFaultError),
        (lambda faults: faults.garbage(b"<not xml", "Command"), False, ParseError),
        (lambda faults: faults.status(500, "Command"), False, WinRMTransportError),
    ],
    ids=["drop", "lose", "cut at 0", "cut at 300", "fault", "fault without text", "garbage", "status"],
)
def test_fault_at_a_command_says_whether_it_was_started(
    server: WinRMServer, tmp_path: Path, script: Callable[..., None], was_done: bool, error: type[Exception]
) -> None:
    """Each fault at Command ends in the client's error for it, and the command was started or was not, as it says."""
    script(server.faults)

    with pywinrm(server) as protocol:
        shell = protocol.open_shell()
        with pytest.raises(error):
            protocol.run_command(shell, f"echo started > {tmp_path}/started; sleep 100")

    if was_done:
        wait_until((tmp_path / "started").exists)
    assert (tmp_path / "started").exists() is was_done
    assert len(server.pids()) == int(was_done)


def test_connection_that_was_dropped_leaves_the_shell(server: WinRMServer) -> None:
    """After a dropped connection the shell is there still; a new client of its user cleans it up."""
    server.faults.drop("Receive")

    with pywinrm(server) as protocol:
        shell = protocol.open_shell()
        command = protocol.run_command(shell, "sleep 100")
        with pytest.raises(LOST):
            protocol.get_command_output_raw(shell, command)
    assert server.shells_open() == (shell,)
    with pywinrm(server) as protocol:
        protocol.cleanup_command(shell, command)
        protocol.close_shell(shell)

    assert (server.shells_open(), server.pids()) == ((), ())


def test_drop_after_answers_counts_those_of_the_handshake(server: WinRMServer) -> None:
    """`after=4` lets four answers through: three of the handshake and Create's."""
    server.faults.drop(after=4)

    with pywinrm(server) as protocol:
        shell = protocol.open_shell()
        with pytest.raises(LOST):
            protocol.run_command(shell, "exit 0")

    assert [one.status for one in server.journal.requests] == [401, 401, 200, 200, None]


def test_keys_belong_to_their_connection(server: WinRMServer) -> None:
    """When the connection ends between two requests, the client logs in anew and its body opens no more: HTTP 400."""
    server.faults.close_after("Create")

    with pywinrm(server) as protocol:
        shell = protocol.open_shell()
        with pytest.raises(WinRMTransportError) as raised:
            protocol.run_command(shell, "exit 0")

    assert raised.value.code == 400
    assert server.journal.clear_text_bodies == 0


def test_hang_is_never_answered_and_ends_with_the_server() -> None:
    """A request that hangs is not answered within the client's time-out; stopping the server does not wait for it."""
    with WinRMServer(in_sh) as server:
        server.faults.hang("Create")
        with (
            pywinrm(server, operation_timeout_sec=1, read_timeout_sec=2) as protocol,
            pytest.raises(requests.exceptions.ReadTimeout),
        ):
            protocol.open_shell()
        stopping_at = time.monotonic()

    assert time.monotonic() - stopping_at < 5
    assert server.journal.requests[-1].status is None


def test_slow_answers_come_late_and_right(server: WinRMServer) -> None:
    """A slow request is done as ever, later."""
    server.faults.slow(0.3, "Receive", times=None)

    with pywinrm(server) as protocol:
        began_at = time.monotonic()
        answer = run(protocol, "echo late")

    assert answer == (b"late\n", b"", 0)
    assert time.monotonic() - began_at >= 0.3


def test_answer_of_receive_that_was_lost_took_its_output(server: WinRMServer) -> None:
    """What a lost Receive carried does not come again; the rest does."""
    server.faults.lose_answer("Receive")

    with pywinrm(server) as protocol:
        shell = protocol.open_shell()
        command = protocol.run_command(shell, "echo first; read line; echo second")
        with pytest.raises(LOST):
            protocol.get_command_output_raw(shell, command)
    with pywinrm(server) as protocol:
        protocol.send_command_input(shell, command, b"\n")
        answer = receive_all(protocol, shell, command)
        protocol.close_shell(shell)

    assert answer == (b"second\n", b"", 0)


def test_connections_dropped_by_the_network_are_gone(server: WinRMServer) -> None:
    """`drop_connections` ends a Receive that waits; its shell stays."""
    with pywinrm(server) as protocol:
        shell = protocol.open_shell()
        command = protocol.run_command(shell, "sleep 100")
        threading.Timer(0.2, server.drop_connections).start()
        with pytest.raises(LOST):
            protocol.get_command_output_raw(shell, command)

    assert server.shells_open() == (shell,)


def test_faults_meet_in_order_and_run_out(server: WinRMServer) -> None:
    """Rules are counted: one passes `after` requests, meets `times`, and is over."""
    server.faults.fault(1, "Create", after=1, times=2)

    codes = []
    with pywinrm(server) as protocol:
        for _ in range(4):
            try:
                with opened(protocol):
                    codes.append(0)
            except WSManFaultError as exc:
                codes.append(exc.wsman_fault_code or -1)

    assert codes == [0, 1, 1, 0]


def test_error_of_the_server_itself_is_raised_at_its_end() -> None:
    """A stand-in that fails is no fault of the client: the server raises it when it stops."""

    def broken(command_line: str) -> None:
        raise LookupError(command_line)

    server = WinRMServer(broken)
    server.start()
    with pywinrm(server) as protocol:
        shell = protocol.open_shell()
        with pytest.raises(LOST):
            protocol.run_command(shell, "anything")
    with pytest.raises(ExceptionGroup) as raised:
        server.stop()

    assert [type(one) for one in raised.value.exceptions] == [LookupError]


def test_accounts_of_two_servers_do_not_mix() -> None:
    """Two servers of one process take their own users only, and one user cannot have two passwords."""
    with (
        WinRMServer(in_sh, user="one", password="pass-1") as first,
        WinRMServer(in_sh, user="two", password="pass-2") as second,
    ):
        with pywinrm(first) as protocol:
            run(protocol, "exit 0")
        with pywinrm(second, username="one", password="pass-1") as protocol, pytest.raises(Exception, match="rejected"):
            protocol.open_shell()
        with pytest.raises(ValueError, match="another password"):
            WinRMServer(in_sh, user="one", password="other").start()

        assert [one.accepted for one in second.journal.attempts] == [False]
