"""
The hosts of `benchmarks.ssh`: loopback addresses behind one OpenSSH daemon, or behind a cheap stub.

Every address of 127.0.0.0/8 is a host, and all lead to one process with one host
key. Of OpenSSH's, every host has a user with a home of its own, so that a fix on one
host knows nothing of the others. All of it lives in a network and a mount namespace
that the benchmark made (`enter_namespaces`); the daemon has one more for its accounts.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SERVERS", "Host", "Hosts", "Missing", "become_reaper", "compiled", "enter_namespaces", "running"]

SERVERS = ("sshd", "stub")
_PORT = 22
_INSIDE = "REMEDY_BENCHMARK_INSIDE"
_SOURCES = Path(__file__).parent
_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET_S = 20

# Whoever looks at a host's accounts sees these; nothing of this machine's is written to.
_DAEMON = """
set -eu
mount --make-rprivate /
mount --bind "$1/etc" /etc
mount -t tmpfs -o mode=755 tmpfs /run
mount --rbind "$1/home" /home
mkdir -p /run/sshd
exec "$2" -D -e -f /etc/benchmark_sshd.conf
"""
_DAEMON_CONFIG = f"""\
Port {_PORT}
ListenAddress 0.0.0.0
HostKey /etc/benchmark_host_key
AuthorizedKeysFile /etc/benchmark_authorized_keys
PidFile none
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
PrintMotd no
PrintLastLog no
MaxStartups 10000
LogLevel FATAL
Subsystem sftp internal-sftp
"""


class Missing(Exception):
    """Something that a server or client needs is not installed; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host: its inventory name, its address and the user that fixes log in as."""

    name: str
    address: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """
    Hosts that run, and how they are reached; anybody who collects may log in as the first host's user.

    `key` is the private key that all of them let in, `host_key` the one they show.
    """

    server: str
    each: tuple[Host, ...]
    port: int
    key: Path
    host_key: Path
    known_hosts: Path
    homes: Path
    process: "subprocess.Popen[bytes]"

    def cpu_s(self) -> float:
        """Return the CPU seconds the server's process took, and all that it started and that has ended."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(word) for word in words[11:15]) / _TICKS

    def settle(self) -> None:
        """Wait until the server serves nobody any more, so that its CPU seconds are complete."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + _QUIET_S
        while children.read_text().strip() or (self.server == "stub" and self._threads() > 1):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the hosts still serve somebody {_QUIET_S} s after the client has ended")
            time.sleep(0.01)

    def _threads(self) -> int:
        return len([*Path(f"/proc/{self.process.pid}/task").iterdir()])

    def fill_all(self) -> None:
        """Make every host one that was never mended, and forget what ran there."""
        if self.server == "stub":
            self.process.send_signal(signal.SIGUSR1)
            return
        for home in self.homes.iterdir():
            for left in home.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def enter_namespaces(module: str, arguments: Sequence[str]) -> None:
    """
    Go on in a network and a mount namespace of our own; this process becomes the one in there.

    Raises:
        Missing: we are not root, or there is no unshare(1).
    """
    if os.environ.get(_INSIDE) == str(os.getpid()):
        _raise_loopback()
        return
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None:
        raise Missing("root and unshare(1) of util-linux are needed, for a network namespace with hosts of its own")
    os.environ[_INSIDE] = str(os.getpid())
    os.execv(unshare, [unshare, "-n", "-m", sys.executable, "-m", module, *arguments])


def _raise_loopback() -> None:
    """Raise `lo`. Source: netdevice(7), SIOCGIFFLAGS and SIOCSIFFLAGS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, 0x8913, request))[1]
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", flags | 1))


def become_reaper() -> None:
    """
    Have orphans among this process's descendants become its children, also once it is another program.

    So what a script on a host leaves behind is waited for, and counted.
    Source: prctl(2), PR_SET_CHILD_SUBREAPER.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def compiled(name: str, directory: Path) -> Path:
    """
    Compile one of the C programs beside this file.

    Raises:
        Missing: there is no compiler, or no libssh to compile against.
    """
    made = directory / name
    if not made.exists():
        compiler = shutil.which("cc")
        if compiler is None:
            raise Missing("no C compiler (cc)")
        command = [compiler, "-O2", "-w", "-o", str(made), str(_SOURCES / f"{name}.c"), "-lssh", "-lpthread"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            first = next(iter(done.stderr.splitlines()), "")
            raise Missing(f"{name}.c does not compile; libssh-dev is needed ({first.strip()})")
    return made


@contextlib.contextmanager
def running(server: str, count: int, directory: Path) -> Iterator[Hosts]:
    """
    Start so many hosts; their files are in `directory`.

    Raises:
        Missing: a program that it takes.
    """
    hosts = tuple(
        Host(
            name=f"host-{number:05}",
            address=f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}",
            user=f"fleet{number:05}",
        )
        for number in range(count)
    )
    keys = {name: _make_key(directory / name) for name in ("host_key", "key")}
    shown = " ".join(keys["host_key"].with_suffix(".pub").read_text().split()[:2])
    known_hosts = directory / "known_hosts"
    known_hosts.write_text("".join(f"{host.address} {shown}\n" for host in hosts))
    command = _stub(directory) if server == "stub" else _sshd(hosts, directory)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=become_reaper,  # noqa: PLW1509  # Safe without threads, and there are none.
    )
    try:
        _wait_for(hosts[-1].address, process)
        yield Hosts(
            server=server,
            each=hosts,
            port=_PORT,
            key=keys["key"],
            host_key=keys["host_key"],
            known_hosts=known_hosts,
            homes=directory / "home",
            process=process,
        )
    finally:
        process.terminate()
        process.wait()
        if server == "sshd":
            subprocess.run(["umount", str(directory / "home")], check=True)


def _make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "benchmark", "-f", path], check=True)
    return path


def _stub(directory: Path) -> list[str]:
    program = compiled("ssh_stub", directory.parent)
    return [str(program), str(_PORT), str(directory / "host_key"), str(directory / "key.pub")]


def _sshd(hosts: Sequence[Host], directory: Path) -> list[str]:
    sshd = shutil.which("sshd", path=f"/usr/sbin:/sbin:{os.environ.get('PATH', '')}")
    if sshd is None:
        raise Missing("no OpenSSH daemon (sshd)")
    etc, homes = directory / "etc", directory / "home"
    _make_etc(etc)
    homes.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(homes)], check=True)
    with (etc / "passwd").open("a") as passwd, (etc / "shadow").open("a") as shadow:
        for number, host in enumerate(hosts, start=50_000):
            (homes / host.user).mkdir()
            os.chown(homes / host.user, number, number)
            passwd.write(f"{host.user}:x:{number}:{number}::/home/{host.user}:/bin/sh\n")
            shadow.write(f"{host.user}:*:20000::::::\n")
    shutil.copy(directory / "key.pub", etc / "benchmark_authorized_keys")
    shutil.copy(directory / "host_key", etc / "benchmark_host_key")
    (etc / "benchmark_sshd.conf").write_text(_DAEMON_CONFIG)
    return ["unshare", "-m", "sh", "-c", _DAEMON, "sh", str(directory), sshd]


def _make_etc(etc: Path) -> None:
    """Make an /etc with what a daemon and a shell need, and none of this machine's secrets."""
    etc.mkdir()
    for name in ("ld.so.cache", "nsswitch.conf", "group", "localtime"):
        if Path("/etc", name).exists():
            shutil.copy(Path("/etc", name), etc / name)
    if Path("/etc/alternatives").is_dir():
        shutil.copytree("/etc/alternatives", etc / "alternatives", symlinks=True)
    accounts = Path("/etc/passwd").read_text().splitlines()
    kept = [line for line in accounts if line.partition(":")[0] in ("root", "sshd", "nobody")]
    (etc / "passwd").write_text("".join(f"{line}\n" for line in kept))
    (etc / "shadow").touch(mode=0o600)


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _QUIET_S
    while True:
        try:
            socket.create_connection((address, _PORT), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
