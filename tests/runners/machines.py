"""
A machine of our own: a mount namespace in which hosts may be written to, and OpenSSH daemons inside.

Nothing outside the test's directory changes: /run, /home, /tmp and /usr/local/sbin
are empty file systems there, /etc is a copy.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from remedy.port import CollectJob, FixJob, Permit, Session
from remedy_runners.ssh import SSHRunner
from tests.behaviour.jobs import collect_job, permitted_fix
from tests.behaviour.waiting import wait_until

PORT = 2207
ADDRESS = "127.0.7.1"
PASSWORD = "Tr0ub4dor-and-3"
SETUP = """
set -eu
d=$1
mount --make-rprivate /
mount --bind "$d/etc" /etc
for where in /run /home /tmp /usr/local/sbin; do mount -t tmpfs -o mode=1777 tmpfs "$where"; done
chmod 755 /run /home /usr/local/sbin
mkdir -p /run/sshd /home/root /home/worker /home/outsider
chown 4201:4201 /home/worker
chown 4202:4202 /home/outsider
echo ready
exec sleep 100000
"""


@dataclass
class Machine:
    """The namespace, seen from outside through /proc."""

    directory: Path
    holder: "subprocess.Popen[bytes]"

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("nsenter", "-m", "-t", str(self.holder.pid), "--")

    def path(self, inside: str) -> Path:
        return Path(f"/proc/{self.holder.pid}/root{inside}")

    def run(self, *command: str) -> str:
        return subprocess.run([*self.prefix, *command], check=True, capture_output=True, text=True).stdout


@dataclass
class Daemon:
    """One sshd in the namespace, on an address of its own."""

    machine: Machine
    address: str
    port: int
    process: "subprocess.Popen[bytes]"
    host_key: str

    @property
    def known_hosts_line(self) -> str:
        return f"[{self.address}]:{self.port} {self.host_key}"

    def sessions(self) -> list[int]:
        """The ids of the processes that serve connections, children of children included."""
        found: list[int] = []
        waiting = [self.process.pid]
        while waiting:
            parent = waiting.pop()
            try:
                children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
                serving = [int(child) for child in children if Path(f"/proc/{child}/comm").read_text() == "sshd\n"]
            except FileNotFoundError:
                continue
            found += serving
            waiting += serving
        return found

    def cut_links(self) -> None:
        """Kill what serves connections; the daemon itself goes on."""
        for pid in self.sessions():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", path], check=True)
    return path


def what_is_missing() -> str:
    if os.geteuid() != 0:
        return "not root"
    for program in ("/usr/sbin/sshd", "/usr/bin/unshare", "/usr/bin/nsenter", "/usr/bin/ssh-keygen"):
        if not Path(program).exists():
            return f"{program} is missing"
    return ""


def make_etc(etc: Path, keys: Path) -> None:
    shutil.copytree("/etc", etc, symlinks=True)
    (etc / "remedy").mkdir(exist_ok=True)
    digest = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True).stdout
    passwd = (etc / "passwd").read_text().replace(":/root:/bin/bash", ":/home/root:/bin/bash")
    passwd += "worker:x:4201:4201::/home/worker:/bin/sh\noutsider:x:4202:4202::/home/outsider:/bin/bash\n"
    (etc / "passwd").write_text(passwd)
    with (etc / "shadow").open("a") as shadow:
        shadow.write(f"worker:{digest.strip()}:20000::::::\noutsider:*:20000::::::\n")
    with (etc / "group").open("a") as group:
        group.write("worker:x:4201:\noutsider:x:4202:\n")
    (etc / "sudoers").write_text("Defaults env_reset, use_pty\nroot ALL=(ALL) ALL\nworker ALL=(root) NOPASSWD: ALL\n")
    (etc / "sudoers").chmod(0o440)
    shutil.rmtree(etc / "sudoers.d", ignore_errors=True)
    (etc / "test_authorized_keys").write_bytes((keys / "user.pub").read_bytes() + (keys / "locked.pub").read_bytes())


def start_daemon(machine: Machine, keys: Path, *, address: str, host_key: str = "host", more: str = "") -> Daemon:
    """Start an sshd inside the namespace and wait until it listens."""
    for name in (host_key, f"{host_key}.pub"):
        shutil.copy(keys / name, machine.directory / "etc" / name)
    (machine.directory / "etc" / host_key).chmod(0o600)
    config = machine.directory / "etc" / f"sshd-{address}.conf"
    config.write_text(
        f"Port {PORT}\nListenAddress {address}\nHostKey /etc/{host_key}\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile /etc/test_authorized_keys\nPermitRootLogin yes\nMaxStartups 1000\nLogLevel ERROR\n{more}"
    )
    process = subprocess.Popen(
        [*machine.prefix, "/usr/sbin/sshd", "-D", "-e", "-f", f"/etc/{config.name}"], stdin=subprocess.DEVNULL
    )
    wait_until(lambda: _listens(address))
    return Daemon(
        machine=machine,
        address=address,
        port=PORT,
        process=process,
        host_key=(keys / f"{host_key}.pub").read_text().strip(),
    )


def _listens(address: str) -> bool:
    try:
        socket.create_connection((address, PORT), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class Host:
    """A session under test, with what is known about its other side."""

    kind: str
    session: Session
    machine: Machine
    become_root: bool
    markers: Path

    def collect_job(self, script: bytes, *, signal: str = "s", timeout_s: int = 5, **columns: str) -> CollectJob:
        return collect_job(script, signal=signal, timeout_s=timeout_s, columns=columns, become_root=self.become_root)

    def fix_job(
        self,
        script: bytes,
        *,
        execution_id: str,
        timeout_s: int = 10,
        environment: Mapping[str, str] | None = None,
        note: str = "",
    ) -> tuple[Permit, FixJob]:
        return permitted_fix(
            script,
            execution_id=execution_id,
            timeout_s=timeout_s,
            environment=environment,
            become_root=self.become_root,
            note=note,
        )


MakeRunner = Callable[..., SSHRunner]
NewId = Callable[[], str]


def output_of(session: Session, script: bytes = b"id -un") -> bytes:
    """Return what a script prints over a session, which is closed then."""
    job = Host("ssh", session, None, False, Path()).collect_job(script)  # type: ignore[arg-type]
    try:
        return session.collect([job]).outputs["s"].stdout.head.strip()
    finally:
        session.close()
