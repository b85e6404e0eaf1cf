"""
A machine of our own: a mount namespace in which hosts may be written to, and OpenSSH daemons inside.

Nothing outside the test's directory changes: /run, /home, /tmp and /usr/local/sbin
are empty file systems there, /etc is a copy.
"""

import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from remedy.port import _SEAL, CollectJob, FixJob, Permit, Runner, Session, Target
from remedy_runners.local import LocalRunner
from remedy_runners.ssh import SSHRunner

PORT = 2207
ADDRESS = "127.0.7.1"
PASSWORD = "Tr0ub4dor-and-3"
_SETUP = """
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


def wait_until(happens: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Poll until something is true; fail when it is not in time."""
    deadline = time.monotonic() + within_s
    while not happens():
        if time.monotonic() > deadline:
            pytest.fail(f"did not happen within {within_s} s: {happens}")
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # Gone, before the file was opened or after.
        return False


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


def _keygen(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", path], check=True)
    return path


def _missing() -> str:
    if os.geteuid() != 0:
        return "not root"
    for program in ("/usr/sbin/sshd", "/usr/bin/unshare", "/usr/bin/nsenter", "/usr/bin/ssh-keygen"):
        if not Path(program).exists():
            return f"{program} is missing"
    return ""


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the key `user` that the daemons let in, and others that they do not."""
    directory = tmp_path_factory.mktemp("keys")
    for name in ("user", "stranger", "host", "other-host"):
        _keygen(directory / name)
    _keygen(directory / "locked", passphrase="open sesame")
    return directory


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Machine]:
    """The namespace, with root, a worker who may sudo, and an outsider who may not."""
    if _missing():
        pytest.skip(f"needs OpenSSH daemons on loopback: {_missing()}")
    directory = tmp_path_factory.mktemp("machine")
    _make_etc(directory / "etc", keys)
    holder = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", _SETUP, "sh", str(directory)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == b"ready\n"
        yield Machine(directory=directory, holder=holder)
        holder.kill()
        holder.wait()


def _make_etc(etc: Path, keys: Path) -> None:
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


@pytest.fixture(scope="session")
def daemon(machine: Machine, keys: Path) -> Iterator[Daemon]:
    """The sshd that most tests talk to."""
    daemon = start_daemon(machine, keys, address=ADDRESS)
    yield daemon
    daemon.process.kill()
    daemon.process.wait()


@pytest.fixture
def known_hosts(daemon: Daemon, tmp_path: Path) -> Path:
    """A known_hosts file with the daemon's key."""
    path = tmp_path / "known_hosts"
    path.write_text(daemon.known_hosts_line + "\n")
    return path


@pytest.fixture
def make_runner(tmp_path: Path, known_hosts: Path) -> Callable[..., SSHRunner]:
    """Make an SSH runner with a home of its own and nothing of this machine's settings."""

    def make(*, config: str = "", environment: Mapping[str, str] | None = None, known: Path | None = None) -> SSHRunner:
        (tmp_path / "ssh_config").write_text(config)
        return SSHRunner(
            home=tmp_path,
            user="root",
            environment=environment or {},
            ssh_config_files=[tmp_path / "ssh_config"],
            known_hosts_files=[known or known_hosts],
            connect_timeout_s=3,
        )

    return make


@pytest.fixture
def target(daemon: Daemon, keys: Path) -> Target:
    """The daemon as an inventory would name it."""
    return Target(name="web-1", address=daemon.address, port=daemon.port, identity_file=str(keys / "user"))


@dataclass
class Host:
    """A session under test, with what is known about its other side."""

    kind: str
    session: Session
    machine: Machine
    become_root: bool
    markers: Path

    def collect_job(self, script: bytes, *, signal: str = "s", timeout_s: int = 5, **columns: str) -> CollectJob:
        return CollectJob(
            signal=signal,
            script=script,
            environment={},
            columns=columns,
            timeout_s=timeout_s,
            become_root=self.become_root,
        )

    def fix_job(
        self,
        script: bytes,
        *,
        execution_id: str,
        timeout_s: int = 10,
        environment: Mapping[str, str] | None = None,
        note: str = "",
    ) -> tuple[Permit, FixJob]:
        digest = hashlib.sha256(script).hexdigest()
        return (
            Permit(execution_id=execution_id, host="web-1", script_sha256=digest, seal=_SEAL),
            FixJob(
                execution_id=execution_id,
                script=script,
                script_sha256=digest,
                environment=environment or {},
                timeout_s=timeout_s,
                become_root=self.become_root,
                note=note,
            ),
        )


KINDS = ("local", "local-bash", "local-busybox", "ssh", "ssh-plain-user", "ssh-sudo")
_OTHER_HOSTS = {
    "local-bash": ("bash", ("dash",)),
    "local-busybox": (
        "busybox",
        ("dash", "timeout", "head", "cat", "mkdir", "rmdir", "mv", "rm", "find", "id", "sha256sum", "date"),
    ),
}
_REPLACE = """
set -eu
mount --make-rprivate /
by=$1; shift
for program; do mount --bind "$by" "$(command -v "$program")"; done
echo ready
exec sleep 100000
"""


@pytest.fixture(scope="session")
def other_host(machine: Machine) -> Iterator[Callable[[str], Machine]]:
    """Namespaces inside the machine, in which one program stands in for others, as on other systems."""
    made: dict[str, Machine] = {}

    def make(kind: str) -> Machine:
        if kind not in made:
            program, replaced = _OTHER_HOSTS[kind]
            path = shutil.which(program)
            if path is None:
                pytest.skip(f"needs {program}")
            holder = subprocess.Popen(
                [*machine.prefix, "unshare", "-m", "bash", "-c", _REPLACE, "bash", path, *replaced],
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
            )
            assert holder.stdout is not None
            with holder.stdout:
                assert holder.stdout.readline() == b"ready\n"
            made[kind] = Machine(directory=machine.directory, holder=holder)
        return made[kind]

    yield make
    for each in made.values():
        each.holder.kill()
        each.holder.wait()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each way a payload can travel."""
    if request.param == "ssh-sudo" and shutil.which("sudo") is None:
        pytest.skip("needs sudo")
    return str(request.param)


@pytest.fixture
def connect(
    kind: str,
    machine: Machine,
    other_host: Callable[[str], Machine],
    make_runner: Callable[..., SSHRunner],
    target: Target,
) -> Iterator[Callable[[], Host]]:
    """Open sessions of one kind; each call a new one."""
    opened: list[Session] = []

    def opening() -> Host:
        user = "worker" if kind in ("ssh-plain-user", "ssh-sudo") else "root"
        here = other_host(kind) if kind in _OTHER_HOSTS else machine
        local = kind.startswith("local")
        runner: Runner = LocalRunner(user="root", command_prefix=here.prefix) if local else make_runner()
        told = Target(
            name="web-1", address=target.address, port=target.port, user=user, identity_file=target.identity_file
        )
        session = runner.connect(told)
        opened.append(session)
        plain = kind == "ssh-plain-user"
        return Host(
            kind=kind,
            session=session,
            machine=here,
            become_root=kind == "ssh-sudo",
            markers=here.path("/home/worker/.local/state/remedy" if plain else "/run/remedy"),
        )

    yield opening
    for session in opened:
        session.close()


@pytest.fixture
def host(connect: Callable[[], Host]) -> Host:
    """One session of each kind."""
    return connect()


_ids = iter(range(1, 100_000))


@pytest.fixture
def new_id() -> Callable[[], str]:
    """Make an execution id that no other test uses."""
    return lambda: f"{next(_ids):016x}"
