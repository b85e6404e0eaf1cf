"""
`python -m benchmarks.winrm_hosts`: the hosts of `benchmarks.winrm`, in a process of their own.

Each is a loopback server of the tests (`tests.winrm.server`) on a port of its own.
They are apart so that the clients' CPU seconds are the clients' alone. The process
prints one JSON object about its hosts, then one about what they did so far for
each line that it reads, and ends with its standard input.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from remedy_runners.powershell.texts import command_line
from tests.winrm.server import Authority, WinRMServer

__all__ = ["COMPUTER_NAME", "ROW", "Done", "Hosts", "main", "running"]

COMPUTER_NAME = "WEB-1"
ROW = b'{"service":"W32Time","running":true}\n'
"""What every process prints, between a line before and a line behind it."""

# One program stands in for every command line: a shell, one `cat`, and the same bytes out. It is no PowerShell.
# Of remedy's payloads it reads the header: the literal part of a question has three bytes.
_PROGRAM = rf"""
if [ "$1" = payload ]; then
    read -r nonce first rest
    cat >/dev/null
else
    nonce=00000000000000000000000000000000 first=0
    cat </dev/null
fi
if [ "$first" = 3 ]; then
    printf '\n%s name {COMPUTER_NAME}\n\n%s end 0 \n' "$nonce" "$nonce"
    exit 0
fi
printf '\n%s started stand-in-0001\n{ROW.decode().strip()}\n\n%s exit 0 \n' "$nonce" "$nonce"
"""
_LOADER = command_line()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What the hosts did since they started, their processes' CPU seconds included; and what is left or was wrong."""

    cpu_s: float
    requests: int
    commands: int
    shells_left: int
    clear_text_bodies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Hosts that run, and how they are reached; `ca_file` is None over http."""

    address: str
    ports: tuple[int, ...]
    user: str
    password: str
    ca_file: str | None
    process: "subprocess.Popen[str]"

    def done(self) -> Done:
        """Ask what they did so far."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return Done(**_line(self.process.stdout))


def _line(stream: IO[str] | None) -> dict[str, Any]:
    assert stream is not None
    line = stream.readline()
    assert line, "the process of the hosts has ended"
    found: dict[str, Any] = json.loads(line)
    return found


@contextlib.contextmanager
def running(count: int, *, is_tls: bool) -> Iterator[Hosts]:
    """Start hosts in a process of their own; an error of theirs ends the block with one."""
    command = [sys.executable, "-m", "benchmarks.winrm_hosts", f"--hosts={count}", *(["--tls"] if is_tls else [])]
    top = Path(__file__).parents[1]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=top) as process:
        found = _line(process.stdout)
        yield Hosts(**{**found, "ports": tuple(found["ports"])}, process=process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 0, "the hosts failed"


def _stand_in(line: str) -> Sequence[str]:
    return ("/bin/sh", "-c", _PROGRAM, "stand-in", "payload" if line == _LOADER else "command")


def _done(servers: Sequence[WinRMServer]) -> Done:
    used = os.times()
    return Done(
        cpu_s=used.user + used.system + used.children_user + used.children_system,
        requests=sum(len(server.journal.requests) for server in servers),
        commands=sum(server.journal.actions().count("Command") for server in servers),
        shells_left=sum(len(server.shells_open()) for server in servers),
        clear_text_bodies=sum(server.journal.clear_text_bodies for server in servers),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run hosts until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.winrm_hosts", description=__doc__)
    parser.add_argument("--hosts", type=int, required=True)
    parser.add_argument("--tls", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="remedy-benchmark-") as made, contextlib.ExitStack() as stack:
        authority = Authority(Path(made)) if given.tls else None
        certificate = None if authority is None else authority.server(["127.0.0.1"])
        servers = [
            stack.enter_context(WinRMServer(_stand_in, tls=authority, certificate=certificate))
            for _ in range(given.hosts)
        ]
        one = servers[0]
        about = {"address": one.address, "user": one.user, "password": one.password}
        ports = [server.port for server in servers]
        print(json.dumps({**about, "ports": ports, "ca_file": one.ca_file and str(one.ca_file)}), flush=True)
        for _ in sys.stdin:
            print(json.dumps(dataclasses.asdict(_done(servers))), flush=True)


if __name__ == "__main__":
    main()
