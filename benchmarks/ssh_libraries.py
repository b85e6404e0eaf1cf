"""
The Python libraries that `benchmarks.ssh` compares with, each as a program: `ssh_libraries.py LIBRARY WORK.json`.

Stands alone: it runs under the interpreter where the library is installed, which
need not have remedy. On each host, over one connection whose host key must be the
given one, every command is run with its input; its output must hold what is
expected and its exit status be 0. Prints how many hosts were so, and ends with 1
unless all were.
"""

import asyncio
import base64
import json
import socket
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

__all__ = ["LIBRARIES", "Described", "main"]

Host = Mapping[str, Any]
Step = tuple[str, bytes, bytes]


class Described:
    """The work as the file has it, with the contents of the files it names."""

    def __init__(self, path: str) -> None:
        known: dict[str, Any] = json.loads(Path(path).read_text())
        self.hosts: list[Host] = known["hosts"]
        self.key: str = known["key"]
        self.host_key = base64.b64decode(known["host_key"])
        self.host_key_line = "ssh-ed25519 " + known["host_key"]
        self.at_once: int = known["at_once"]
        self.steps: list[Step] = [
            (
                Path(step["command"]).read_text(),
                Path(step["input"]).read_bytes(),
                Path(step["expected"]).read_bytes(),
            )
            for step in known["steps"]
        ]


def _check(host: Host, status: int | None, output: bytes, expected: bytes) -> None:
    if status != 0 or expected not in output:
        raise ValueError(f"{host['address']}: exit status {status}, not what was expected: {output[:200]!r}")


def _in_threads(work: Described, one: Callable[[Host], None]) -> int:
    def tried(host: Host) -> bool:
        try:
            one(host)
        except Exception as exc:  # noqa: BLE001  # Whatever it is, it is that host's; it is counted and shown.
            print(f"{host['address']}: {type(exc).__name__}: {exc}", file=sys.stderr)
            return False
        return True

    with ThreadPoolExecutor(work.at_once) as pool:
        return sum(pool.map(tried, work.hosts))


def _paramiko(work: Described) -> int:
    """Do it with one SSHClient per host, which is given the one host key it needs, and nothing tuned."""
    import paramiko

    key = paramiko.Ed25519Key.from_private_key_file(work.key)
    host_key = paramiko.Ed25519Key(data=work.host_key)

    def one(host: Host) -> None:
        client = paramiko.SSHClient()
        client.get_host_keys().add(host["address"], "ssh-ed25519", host_key)
        try:
            client.connect(
                host["address"], host["port"], host["user"], pkey=key, allow_agent=False, look_for_keys=False
            )
            for command, given, expected in work.steps:
                stdin, stdout, stderr = client.exec_command(command)
                stdin.write(given)
                stdin.flush()
                output = stdout.read()
                stderr.read()
                _check(host, stdout.channel.recv_exit_status(), output, expected)
        finally:
            client.close()

    return _in_threads(work, one)


def _ssh2(work: Described) -> int:
    """Do it with libssh2 in threads; the session is freed before its socket is closed."""
    from ssh2.session import Session  # type: ignore[import-not-found]

    key = Path(work.key).read_bytes()

    def read_all(read: Callable[[], tuple[int, bytes]]) -> bytes:
        chunks: list[bytes] = []
        while True:
            size, data = read()
            if size <= 0:
                return b"".join(chunks)
            chunks.append(data)

    def run(session: Any, host: Host, step: Step) -> None:
        command, given, expected = step
        channel = session.open_session()
        channel.execute(command)
        channel.write(given)
        output = read_all(channel.read)
        read_all(channel.read_stderr)
        channel.wait_eof()
        channel.close()
        channel.wait_closed()
        _check(host, channel.get_exit_status(), output, expected)

    def converse(host: Host, sock: socket.socket) -> None:
        session = Session()
        session.handshake(sock)
        if session.hostkey()[0] != work.host_key:
            raise ValueError("another host key")
        session.userauth_publickey_frommemory(host["user"], key)
        for step in work.steps:
            run(session, host, step)
        session.disconnect()

    def one(host: Host) -> None:
        with socket.create_connection((host["address"], host["port"]), timeout=30) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(None)
            converse(host, sock)

    return _in_threads(work, one)


def _asyncssh(work: Described) -> int:
    """Do it with one task per host; the host key is parsed once."""
    import asyncssh  # type: ignore[import-not-found]

    key = asyncssh.read_private_key(work.key)
    known: tuple[list[Any], list[Any], list[Any]] = ([asyncssh.import_public_key(work.host_key_line)], [], [])

    async def one(host: Host, gate: asyncio.Semaphore) -> None:
        async with (
            gate,
            asyncssh.connect(
                host["address"],
                host["port"],
                username=host["user"],
                client_keys=[key],
                known_hosts=known,
                config=None,
                agent_path=None,
                x509_trusted_certs=None,
            ) as connection,
        ):
            for command, given, expected in work.steps:
                done = await connection.run(command, input=given, encoding=None)
                _check(host, done.exit_status, done.stdout, expected)

    async def everybody() -> list[BaseException | None]:
        gate = asyncio.Semaphore(work.at_once)
        return await asyncio.gather(*(one(host, gate) for host in work.hosts), return_exceptions=True)

    ends = asyncio.run(everybody())
    for end in ends:
        if end is not None:
            print(f"{type(end).__name__}: {end}", file=sys.stderr)
    return sum(end is None for end in ends)


LIBRARIES: Mapping[str, Callable[[Described], int]] = {
    "paramiko": _paramiko,
    "ssh2-python": _ssh2,
    "asyncssh": _asyncssh,
}


def main() -> None:
    """Do the work with one library."""
    library, path = sys.argv[1:]
    work = Described(path)
    good = LIBRARIES[library](work)
    print(f"{good} of {len(work.hosts)}")
    sys.exit(0 if good == len(work.hosts) else 1)


if __name__ == "__main__":
    main()
