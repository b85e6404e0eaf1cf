"""Clients that were not written here, driven by hand: pywinrm's Protocol, and a command from its start to its end."""

import contextlib
from collections.abc import Iterator
from typing import Any

from winrm.exceptions import WinRMOperationTimeoutError
from winrm.protocol import Protocol

from tests.winrm.server import WinRMServer

__all__ = ["opened", "pywinrm", "receive_all", "run"]


@contextlib.contextmanager
def pywinrm(server: WinRMServer, **settings: Any) -> Iterator[Protocol]:
    """Make a client for a server (NTLM and message encryption unless said otherwise); its connections end with it."""
    chosen: dict[str, Any] = {
        "transport": "ntlm",
        "username": server.user,
        "password": server.password,
        "message_encryption": "always",
        "ca_trust_path": None if server.ca_file is None else str(server.ca_file),
        "proxy": None,
        "operation_timeout_sec": 5,
        "read_timeout_sec": 20,
        **settings,
    }
    protocol = Protocol(server.url, **chosen)
    try:
        yield protocol
    finally:
        protocol.transport.close_session()


@contextlib.contextmanager
def opened(protocol: Protocol, **settings: Any) -> Iterator[str]:
    """Open a shell and close it."""
    shell = protocol.open_shell(codepage=65001, **settings)
    yield shell
    protocol.close_shell(shell, close_session=False)


def receive_all(protocol: Protocol, shell: str, command: str) -> tuple[bytes, bytes, int]:
    """Receive until a command is done; operation time-outs on the way are no error."""
    stdout, stderr = [], []
    while True:
        try:
            out, err, code, is_done = protocol.get_command_output_raw(shell, command)
        except WinRMOperationTimeoutError:
            continue
        stdout.append(out)
        stderr.append(err)
        if is_done:
            return b"".join(stdout), b"".join(stderr), code


def run(protocol: Protocol, command_line: str, stdin: bytes = b"") -> tuple[bytes, bytes, int]:
    """Run one command line in a shell of its own and clean up after it."""
    with opened(protocol) as shell:
        command = protocol.run_command(shell, command_line, console_mode_stdin=False)
        for start in range(0, max(1, len(stdin)), 96 * 1024):
            piece = stdin[start : start + 96 * 1024]
            protocol.send_command_input(shell, command, piece, end=start + len(piece) >= len(stdin))
        answer = receive_all(protocol, shell, command)
        protocol.cleanup_command(shell, command)
        return answer
