"""
A fleet of hosts on this machine: real OpenSSH daemons, each in namespaces of its own.

Needs root on Linux. Changes nothing outside the folder it is given: a host's
mounts and processes live in its namespaces and end with it, whatever ends it,
because each host lives only as long as this process holds its input open.
"""

import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from remedy.demo.host import SETUP, VOLUME, DemoHost, sshd_config
from remedy.errors import RemedyError

__all__ = ["Fleet"]

_ADDRESS = "127.0.80.{}"
_ADDRESS_FIRST = 11
_HOSTS_MAX = 200
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.02
_MARKER = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_PACKAGES = {
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "bash": "bash",
    "tar": "tar",
    "mount": "mount",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}


class Fleet:
    """
    Hosts that are up while the context is open: inventory, keys and daemons in one folder.

    The folder exists and is empty; removing it afterwards is its owner's duty.
    One thread at a time.

    Raises:
        RemedyError: this machine cannot carry it, with what is missing and how to
            get it; or a host did not come up, with its last words.
    """

    def __init__(self, directory: Path, *, hosts: Sequence[DemoHost]) -> None:
        wrong = [host.name for host in hosts if not _NAME.fullmatch(host.name)]
        if wrong or not 1 <= len(hosts) <= _HOSTS_MAX or len({host.name for host in hosts}) != len(hosts):
            raise ValueError(
                f"a fleet has 1 to {_HOSTS_MAX} hosts with distinct plain names, not {wrong or len(hosts)}"
            )
        self.directory = directory.resolve()
        self.hosts: Mapping[str, DemoHost] = {host.name: host for host in hosts}
        self._addresses = {
            host.name: _ADDRESS.format(number) for number, host in enumerate(hosts, start=_ADDRESS_FIRST)
        }
        self._programs: dict[str, str] = {}
        self._holders: dict[str, subprocess.Popen[bytes]] = {}
        self.port = 0

    @property
    def inventory_path(self) -> Path:
        """The inventory in Ansible's YAML."""
        return self.directory / "inventory.yaml"

    @property
    def known_hosts_path(self) -> Path:
        """The host keys as they were when the fleet was made."""
        return self.directory / "known_hosts"

    @property
    def client_key_path(self) -> Path:
        """The private key that every host's root accepts."""
        return self.directory / "client_key"

    def address(self, name: str) -> str:
        """Return the loopback address of a host."""
        return self._addresses[name]

    def __enter__(self) -> Self:
        self._programs = _required_programs()
        try:
            self.port = _free_port(list(self._addresses.values()))
            self._write_files()
            for name in self.hosts:
                self._holders[name] = self._start_holder(name)
            for name, holder in self._holders.items():
                self._await_ready(name, holder)
            up = [name for name, host in self.hosts.items() if host.up]
            for name in up:
                self._start_daemon(name)
            for name in up:
                self._await_port(name, is_open=True)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every host with all its processes and mounts; may be called twice."""
        for holder in self._holders.values():
            if holder.stdin is not None:
                holder.stdin.close()
        for holder in self._holders.values():
            try:
                holder.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                # Its first process dies with it (--kill-child), and the kernel kills the rest.
                holder.kill()
                holder.wait()
            if holder.stdout is not None:
                holder.stdout.close()
        self._holders.clear()

    def run_inside(self, name: str, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command as root within a host, whether or not its daemon is up; for looking at the truth."""
        pid = self._holders[name].pid
        enter = [
            self._programs["nsenter"],
            f"--target={pid}",
            "--mount",
            "--uts",
            f"--pid=/proc/{pid}/ns/pid_for_children",
            "--",
        ]
        return subprocess.run(
            [*enter, *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_START_TIMEOUT_S,
            env={"PATH": _SYSTEM_PATH, "HOME": "/root", "LC_ALL": "C"},
        )

    def stop_host(self, name: str) -> None:
        """Kill everything that runs on a host; its files stay."""
        self.run_inside(name, ["sh", "-c", "kill -KILL -1"])
        self._await_port(name, is_open=False)

    def restart_host(self, name: str) -> None:
        """Bring a host (back) up, with its files as they are."""
        self.stop_host(name)
        self._start_daemon(name)
        self._await_port(name, is_open=True)

    def rotate_host_key(self, name: str) -> None:
        """Give a running host another key than the one in known_hosts, as a stranger at its address would have."""
        key = self._host_directory(name) / "host_key"
        key.unlink()
        key.with_suffix(".pub").unlink()
        self._make_key(key, comment=name)
        self.restart_host(name)

    def fixes_started(self, name: str) -> int:
        """Return how many fixes were ever started on a host, by the markers they leave there."""
        markers = (self._host_directory(name) / "markers").iterdir()
        return sum(1 for marker in markers if _MARKER.fullmatch(marker.name))

    def free_percent(self, name: str) -> float:
        """Return the free share of a host's planted volume, as df shows it."""
        fields = self.run_inside(name, ["df", "-P", "-k", VOLUME]).stdout.splitlines()[-1].split()
        used, available = int(fields[2]), int(fields[3])
        return 100 * available / (used + available)

    def _host_directory(self, name: str) -> Path:
        return self.directory / "hosts" / name

    def _make_key(self, path: Path, *, comment: str) -> None:
        argv = [self._programs["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=_START_TIMEOUT_S)

    def _write_files(self) -> None:
        self._make_key(self.client_key_path, comment="remedy-demo")
        client = self.client_key_path.with_suffix(".pub").read_text()
        (self.directory / "setup.sh").write_text(SETUP)
        known = []
        for name in self.hosts:
            directory = self._host_directory(name)
            (directory / "markers").mkdir(parents=True)
            (directory / "markers").chmod(0o700)
            self._make_key(directory / "host_key", comment=name)
            (directory / "authorized_keys").write_text(client)
            (directory / "sshd_config").write_text(sshd_config(self.address(name), self.port))
            kind, key = (directory / "host_key.pub").read_text().split()[:2]
            known.append(f"[{self.address(name)}]:{self.port} {kind} {key}\n")
        self.known_hosts_path.write_text("".join(known))
        self.inventory_path.write_text(self._inventory())

    def _inventory(self) -> str:
        lines = [
            "all:",
            "  vars:",
            f"    ansible_port: {self.port}",
            "    ansible_user: root",
            f"    ansible_ssh_private_key_file: {json.dumps(str(self.client_key_path))}",
            f"    remedy_known_hosts: {json.dumps(str(self.known_hosts_path))}",
            f"    remedy_params: {{disk: {{mounts: [{VOLUME}]}}}}",
            "  children:",
        ]
        for group in sorted({host.group for host in self.hosts.values()}):
            lines += [f"    {group}:", "      hosts:"]
            lines += [
                f"        {host.name}: {{ansible_host: {self.address(host.name)}}}"
                for host in self.hosts.values()
                if host.group == group
            ]
        return "\n".join(lines) + "\n"

    def _start_holder(self, name: str) -> subprocess.Popen[bytes]:
        host = self.hosts[name]
        directory = self._host_directory(name)
        argv = [
            *(self._programs["unshare"], "--mount", "--uts", "--pid", "--fork", "--kill-child"),
            *("--propagation", "private", self._programs["bash"], str(self.directory / "setup.sh")),
            *(name, host.volume.value, "foreign" if host.foreign_find else "gnu", *host.waits_for),
        ]
        with (directory / "setup.log").open("wb") as log:
            # A session of its own: Ctrl-C on the terminal is for us, and we end the hosts.
            return subprocess.Popen(
                argv,
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env={"PATH": _SYSTEM_PATH, "LC_ALL": "C"},
            )

    def _await_ready(self, name: str, holder: subprocess.Popen[bytes]) -> None:
        if holder.stdout is None or _read_line(holder.stdout.fileno(), timeout_s=_START_TIMEOUT_S) != b"ready\n":
            log = (self._host_directory(name) / "setup.log").read_text(errors="backslashreplace").strip()
            raise RemedyError(
                f"the demo's host {name} could not be made: {log or 'no reason was given'}\n"
                "it needs mount, process and host name namespaces; in a container, run it with --privileged"
            )

    def _start_daemon(self, name: str) -> None:
        argv = [self._programs["sshd"], "-f", "/run/planted/sshd_config", "-E", "/run/sshd.log"]
        started = self.run_inside(name, argv)
        if started.returncode:
            said = started.stderr.strip() or self.run_inside(name, ["cat", "/run/sshd.log"]).stdout.strip()
            raise RemedyError(f"the daemon of the demo's host {name} would not start: {said}")

    def _await_port(self, name: str, *, is_open: bool) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while _answers(self.address(name), self.port) is not is_open:
            if time.monotonic() > deadline:
                log = self.run_inside(name, ["cat", "/run/sshd.log"]).stdout.strip()
                state = "came up" if is_open else "went down"
                raise RemedyError(f"the daemon of the demo's host {name} never {state}: {log or 'its log is empty'}")
            time.sleep(_POLL_S)


def _required_programs() -> dict[str, str]:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise RemedyError(
            "the demo makes hosts out of Linux namespaces and needs root for that; nothing was started\n"
            f"run it as root on Linux: sudo {sys.executable} -m remedy demo"
        )
    found = {name: shutil.which(name, path=_SYSTEM_PATH) for name in _PACKAGES}
    missing = sorted(name for name, path in found.items() if path is None)
    if missing:
        packages = " ".join(sorted({_PACKAGES[name] for name in missing}))
        raise RemedyError(
            f"the demo needs {', '.join(missing)} and cannot find it; nothing was started\n"
            f"on Debian and Ubuntu: apt-get install {packages}"
        )
    return {name: path for name, path in found.items() if path is not None}


def _free_port(addresses: Sequence[str]) -> int:
    """Return a port that is free on all addresses at this moment."""
    for _ in range(100):
        taken: list[socket.socket] = []
        port = 0
        try:
            for address in addresses:
                probe = socket.socket()
                taken.append(probe)
                probe.bind((address, port))
                port = probe.getsockname()[1]
        except OSError:
            continue
        finally:
            for probe in taken:
                probe.close()
        return port
    raise RemedyError(f"no port is free on all of {addresses[0]} to {addresses[-1]}; nothing was started")


def _read_line(descriptor: int, *, timeout_s: float) -> bytes:
    """Return what a pipe says up to the end of its first line; less when it ends or time is over."""
    deadline = time.monotonic() + timeout_s
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while not line.endswith(b"\n") and selector.select(max(0.0, deadline - time.monotonic())):
            read = os.read(descriptor, 1)
            if not read:
                break
            line += read
    return line


def _answers(address: str, port: int) -> bool:
    """Say whether an SSH daemon greets there."""
    try:
        with socket.create_connection((address, port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
