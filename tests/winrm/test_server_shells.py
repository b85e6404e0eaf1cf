"""Shells and commands of the loopback server: real processes, time-outs, limits, ownership."""

import hashlib
import threading
import time
from pathlib import Path

import pytest
import xmltodict
from winrm.exceptions import WinRMOperationTimeoutError, WinRMTransportError, WSManFaultError
from winrm.protocol import Protocol

from tests.winrm.clients import opened, pywinrm, receive_all, run
from tests.winrm.processes import in_sh, is_alive, wait_until
from tests.winrm.server import Limits, WinRMServer

SIGNAL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/"


def _fault(raised: pytest.ExceptionInfo[WSManFaultError]) -> tuple[int | None, str | None]:
    return raised.value.wsman_fault_code, raised.value.fault_subcode


def _pid_in(file: Path) -> int:
    wait_until(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


def _ctrl_c(protocol: Protocol, shell: str, command: str) -> None:
    action = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Signal"
    cmd = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd"
    request = {"env:Envelope": protocol.build_wsman_header(action, cmd, shell_id=shell)}
    request["env:Envelope"]["env:Body"] = {"rsp:Signal": {"@CommandId": command, "rsp:Code": f"{SIGNAL}ctrl_c"}}
    protocol.send_message(xmltodict.unparse(request))


def test_receive_of_a_silent_command_times_out_with_the_fault_of_windows(server: WinRMServer) -> None:
    """Receive blocks for the whole OperationTimeout, not less and not much more, then faults; the command goes on."""
    with pywinrm(server, operation_timeout_sec=1) as protocol, opened(protocol) as shell:
        command = protocol.run_command(shell, "read line; echo $line")
        began_at = time.monotonic()
        with pytest.raises(WinRMOperationTimeoutError):
            protocol.get_command_output_raw(shell, command)
        took_s = time.monotonic() - began_at
        protocol.send_command_input(shell, command, b"late\n")
        answer = receive_all(protocol, shell, command)

    assert 1.0 <= took_s < 5.0
    assert answer == (b"late\n", b"", 0)
    assert next(one.fault_code for one in server.journal.requests if one.action == "Receive") == 2150858793


def test_done_comes_only_when_the_process_has_ended(server: WinRMServer) -> None:
    """A command whose streams are closed is still running until its process ends."""
    with pywinrm(server, operation_timeout_sec=1) as protocol, opened(protocol) as shell:
        command = protocol.run_command(shell, "echo out; exec >&- 2>&-; read line; exit 5")
        first = protocol.get_command_output_raw(shell, command)
        with pytest.raises(WinRMOperationTimeoutError):
            protocol.get_command_output_raw(shell, command)
        protocol.send_command_input(shell, command, b"\n")
        last = protocol.get_command_output_raw(shell, command)

    assert (first[0], first[3]) == (b"out\n", False)
    assert last == (b"", b"", 5, True)


def test_command_whose_end_was_received_is_gone(server: WinRMServer) -> None:
    """After Done a Receive faults as for a command that does not exist; Signal still works."""
    with pywinrm(server) as protocol, opened(protocol) as shell:
        command = protocol.run_command(shell, "exit 0")
        receive_all(protocol, shell, command)
        with pytest.raises(WSManFaultError) as raised:
            protocol.get_command_output_raw(shell, command)
        protocol.cleanup_command(shell, command)

    assert _fault(raised) == (2150858843, "w:InvalidSelectors")


def test_large_input_arrives_whole(server: WinRMServer) -> None:
    """An input of 200 kB in pieces arrives whole, though the process reads late."""
    data = bytes(range(256)) * 800

    with pywinrm(server) as protocol:
        out, err, code = run(protocol, "sleep 0.2; sha256sum; exit 3", data)

    assert (out.split()[0].decode(), err, code) == (hashlib.sha256(data).hexdigest(), b"", 3)


def test_input_that_nobody_reads_times_out(server: WinRMServer) -> None:
    """Send waits for the process as long as its OperationTimeout, then faults."""
    with pywinrm(server, operation_timeout_sec=1) as protocol, opened(protocol) as shell:
        command = protocol.run_command(shell, "sleep 100")
        with pytest.raises(WinRMOperationTimeoutError):
            protocol.send_command_input(shell, command, b"x" * 100_000)

    assert server.pids() == ()


def test_input_of_an_ended_process_is_dropped(server: WinRMServer) -> None:
    """Send to a process that closed its stdin is no error; one after the end of the input is."""
    with pywinrm(server) as protocol, opened(protocol) as shell:
        command = protocol.run_command(shell, "exec <&-; echo closed; sleep 100")
        protocol.get_command_output_raw(shell, command)
        protocol.send_command_input(shell, command, b"x" * 100_000, end=True)
        with pytest.raises(WSManFaultError) as raised:
            protocol.send_command_input(shell, command, b"more")

    assert _fault(raised)[0] == 87


def test_endless_output_stays_in_the_pipe(server: WinRMServer) -> None:
    """A process that never stops writing is held back once the server keeps its limit of it."""

    def stands_still() -> bool:
        sizes.append(int(Path(f"/proc/{pid}/io").read_text().split("wchar:")[1].split()[0]))
        return len(sizes) > 20 and len(set(sizes[-20:])) == 1

    sizes: list[int] = []
    with pywinrm(server) as protocol, opened(protocol) as shell:
        command = protocol.run_command(shell, "exec yes")
        first = protocol.get_command_output_raw(shell, command)
        (pid,) = server.pids()
        wait_until(stands_still)
        protocol.cleanup_command(shell, command)

    assert set(first[0]) == set(b"y\n")
    assert sizes[-1] < 1024 * 1024
    assert not is_alive(pid)


@pytest.mark.parametrize("how", ["terminate", "ctrl_c", "delete", "restart"])
def test_end_of_a_command_kills_its_process_group(server: WinRMServer, tmp_path: Path, how: str) -> None:
    """Signal, Delete and a restart of the service kill the process and its children."""
    with pywinrm(server) as protocol:
        shell = protocol.open_shell()
        command = protocol.run_command(shell, f"sleep 100 & echo $! > {tmp_path}/child; wait")
        child, (parent,) = _pid_in(tmp_path / "child"), server.pids()
        match how:
            case "terminate":
                protocol.cleanup_command(shell, command)
            case "ctrl_c":
                _ctrl_c(protocol, shell, command)
            case "delete":
                protocol.close_shell(shell, close_session=False)
            case _:
                server.close_shells()

    wait_until(lambda: not is_alive(child) and not is_alive(parent))


def test_command_ended_by_ctrl_c_says_so(server: WinRMServer) -> None:
    """After ctrl_c the command's end is received with the code of Windows for it."""
    with pywinrm(server) as protocol, opened(protocol) as shell:
        command = protocol.run_command(shell, "sleep 100")
        _ctrl_c(protocol, shell, command)
        answer = receive_all(protocol, shell, command)

    assert answer == (b"", b"", 0xC000013A)


def test_child_that_holds_the_streams_does_not_hold_the_end(server: WinRMServer) -> None:
    """A child that inherited the streams and lives on does not keep the command from being done."""
    with pywinrm(server) as protocol:
        answer = run(protocol, "sleep 100 & echo parent")

    assert answer == (b"parent\n", b"", 0)


def test_receive_that_waits_ends_with_its_shell(server: WinRMServer) -> None:
    """A Receive that waits while its shell is deleted answers at once, with fault 995."""
    with pywinrm(server, operation_timeout_sec=10) as protocol:
        shell = protocol.open_shell()
        command = protocol.run_command(shell, "sleep 100")
        threading.Timer(0.2, server.close_shells).start()
        began_at = time.monotonic()
        with pytest.raises(WSManFaultError) as raised:
            protocol.get_command_output_raw(shell, command)

    assert _fault(raised)[0] == 995
    assert time.monotonic() - began_at < 5


def test_quota_of_shells_is_per_user_and_freed_by_delete() -> None:
    """One shell more than the quota faults with QuotaLimit; after a Delete there is room again."""
    with WinRMServer(in_sh, limits=Limits(shells_per_user=1)) as server, pywinrm(server) as protocol:
        with opened(protocol), pytest.raises(WSManFaultError) as raised:
            protocol.open_shell()
        with opened(protocol):
            pass

        assert _fault(raised) == (2150859173, "w:QuotaLimit")


def test_shell_of_another_user_is_denied() -> None:
    """A user cannot use or delete a shell of another one."""
    with WinRMServer(in_sh, user="one", other_users={"two": "secret-2"}) as server:
        with pywinrm(server) as one, opened(one) as shell, pywinrm(server, username="two", password="secret-2") as two:
            with pytest.raises(WSManFaultError) as used:
                two.run_command(shell, "exit 0")
            with pytest.raises(WSManFaultError) as deleted:
                two.close_shell(shell)

        assert (_fault(used)[0], _fault(deleted)[0]) == (5, 5)


def test_idle_shell_is_closed_with_its_processes(server: WinRMServer) -> None:
    """A shell that nobody used for its idle time-out is gone, its process too; one in use is not idle."""
    with pywinrm(server, operation_timeout_sec=2) as protocol:
        shell = protocol.open_shell(idle_timeout="PT1S")
        command = protocol.run_command(shell, "sleep 100")
        (pid,) = server.pids()
        with pytest.raises(WinRMOperationTimeoutError):
            protocol.get_command_output_raw(shell, command)

        assert server.shells_open() == (shell,)
        wait_until(lambda: not server.shells_open() and not is_alive(pid), within_s=5)
        with pytest.raises(WSManFaultError) as raised:
            protocol.run_command(shell, "exit 0")

    assert _fault(raised) == (2150858843, "w:InvalidSelectors")


def test_idle_timeout_that_is_no_duration_is_a_schema_fault(server: WinRMServer) -> None:
    """A bare number for the idle time-out gives SchemaValidationError, as Windows does."""
    with pywinrm(server) as protocol, pytest.raises(WSManFaultError) as raised:
        protocol.open_shell(idle_timeout=300)

    assert _fault(raised) == (2150858817, "w:SchemaValidationError")


@pytest.mark.parametrize(("length", "is_taken"), [(8191, True), (8192, False)])
def test_command_line_of_cmd_has_its_limit(server: WinRMServer, length: int, is_taken: bool) -> None:
    """A command line of 8,191 characters runs; one more is what cmd.exe says to it."""
    with pywinrm(server) as protocol:
        answer = run(protocol, "exit 0 #".ljust(length, "x"))

    assert answer == ((b"", b"", 0) if is_taken else (b"", b"The command line is too long.\r\n", 1))


def test_unknown_program_is_told_by_cmd_or_by_fault() -> None:
    """What no process stands in for is not recognized by cmd.exe, and without cmd.exe it is a fault."""
    with WinRMServer(lambda _: None) as server, pywinrm(server) as protocol:
        answer = run(protocol, "fictive.exe /x")
        with opened(protocol) as shell, pytest.raises(WSManFaultError) as raised:
            protocol.run_command(shell, "fictive.exe", skip_cmd_shell=True)

        assert answer[1].startswith(b"'fictive.exe' is not recognized as an internal or external command")
        assert answer[2] == 1
        assert _fault(raised)[0] == 2147942402


def test_environment_and_directory_reach_the_process(server: WinRMServer, tmp_path: Path) -> None:
    """Variables of Create are in the process's environment, and it runs in the shell's directory."""
    with pywinrm(server) as protocol:
        shell = protocol.open_shell(env_vars={"WORD": "a b"}, working_directory=str(tmp_path))
        command = protocol.run_command(shell, 'echo "$WORD"; pwd')
        answer = receive_all(protocol, shell, command)
        protocol.close_shell(shell)

    assert answer == (f"a b\n{tmp_path}\n".encode(), b"", 0)


def test_answers_stay_within_the_envelope(server: WinRMServer) -> None:
    """An output of a megabyte comes in answers that each fit the 153,600 bytes that the client takes."""
    sizes = []

    with pywinrm(server) as protocol, opened(protocol) as shell:
        command = protocol.run_command(shell, "head -c 1000000 /dev/zero")
        is_done = False
        while not is_done:
            out, _, _, is_done = protocol.get_command_output_raw(shell, command)
            sizes.append(len(out))

    assert sum(sizes) == 1_000_000
    assert max(sizes) * 4 // 3 < 153_600


def test_request_over_the_envelope_limit_is_refused() -> None:
    """A body larger than the server's envelopes is HTTP 413."""
    with WinRMServer(in_sh, limits=Limits(envelope_bytes=20_000)) as server, pywinrm(server) as protocol:
        shell = protocol.open_shell()
        command = protocol.run_command(shell, "cat")
        with pytest.raises(WinRMTransportError) as raised:
            protocol.send_command_input(shell, command, b"x" * 40_000)

        assert raised.value.code == 413
