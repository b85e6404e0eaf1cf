"""The machine of our own, the daemons inside, and sessions of every kind with them."""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from remedy.port import Runner, Session, Target
from remedy_runners.local import LocalRunner
from remedy_runners.ssh import SSHRunner
from tests.runners.machines import (
    ADDRESS,
    SETUP,
    Daemon,
    Host,
    Machine,
    MakeRunner,
    make_etc,
    make_key,
    start_daemon,
    what_is_missing,
)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the key `user` that the daemons let in, and others that they do not."""
    directory = tmp_path_factory.mktemp("keys")
    for name in ("user", "stranger", "host", "other-host"):
        make_key(directory / name)
    make_key(directory / "locked", passphrase="open sesame")
    return directory


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Machine]:
    """The namespace, with root, a worker who may sudo, and an outsider who may not."""
    if what_is_missing():
        pytest.skip(f"needs OpenSSH daemons on loopback: {what_is_missing()}")
    directory = tmp_path_factory.mktemp("machine")
    make_etc(directory / "etc", keys)
    holder = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", SETUP, "sh", str(directory)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == b"ready\n"
        yield Machine(directory=directory, holder=holder)
        holder.kill()
        holder.wait()


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


@pytest.fixture
def root(machine: Machine, make_runner: MakeRunner, target: Target) -> Iterator[Host]:
    """A session as root over SSH."""
    session = make_runner().connect(target)
    yield Host(kind="ssh", session=session, machine=machine, become_root=False, markers=machine.path("/run/remedy"))
    session.close()
