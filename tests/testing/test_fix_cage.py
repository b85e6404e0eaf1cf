"""
Scripts that try to get out of a cage, and that nothing outside has changed.

Wherever they can be, canaries belong to the very user that the cage's processes are
outside, with all rights for everybody: only the cage itself keeps a script from them.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.cage import CageJob
from remedy_runners import sandbox, sandbox_texts
from tests.testing.cages import ORDINARY_UID, PYTHON, STARTERS, caged, facts_of, fix_job

_IS_ROOT = os.geteuid() == 0
_PLACES = ("/usr/local/share", "/var/tmp", "/tmp", "/dev/shm", "/run", "/etc", "/home", "/root", "/opt")
_OUTER = {"root": sandbox._SPARE_UIDS[0], "ordinary user": ORDINARY_UID if _IS_ROOT else os.geteuid()}
_SILENT_S = 0.3

pytestmark = pytest.mark.parametrize("starter", STARTERS)


@pytest.fixture
def folders(starter: str) -> Iterator[list[Path]]:
    """Plant a folder with a file in every place that we may; both belong to who the cage is, outside."""
    made = []
    for place in _PLACES:
        if os.access(place, os.W_OK):
            folder = Path(tempfile.mkdtemp(prefix="remedy-canary-", dir=place))
            made.append(folder)
            (folder / "file").write_text("canary")
            for path in (folder, folder / "file"):
                if _IS_ROOT:
                    os.chown(path, _OUTER[starter], _OUTER[starter])
                path.chmod(0o777)
    before = [_state(folder) for folder in made]
    yield made
    after = [_state(folder) for folder in made]
    for folder in made:
        shutil.rmtree(folder)
    assert after == before


def _state(folder: Path) -> list[tuple[object, ...]]:
    """Return names, rights, owners, times and contents."""
    found: list[tuple[object, ...]] = []
    for path in (folder, *sorted(folder.iterdir())):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found.append((path.name, status.st_mode, status.st_uid, status.st_mtime_ns, status.st_nlink, content))
    return found


def test_nothing_of_this_machine_can_be_written(starter: str, folders: list[Path]) -> None:
    """No canary can be written, made, moved, removed or given rights, under its own name or where it is shown."""
    facts = facts_of(
        f"""
for folder in {[str(folder) for folder in folders]!r}:
    for at in (folder, '/.host' + folder, '/proc/self/root' + folder, '/proc/1/root/.host' + folder, '/../..' + folder):
        if not os.path.exists(at):
            continue
        note(at, 'seen ' + os.path.realpath(at))
        tried(at + ' write', write, at + '/file')
        tried(at + ' append', open, at + '/file', 'a')
        tried(at + ' truncate', os.truncate, at + '/file', 0)
        tried(at + ' make', write, at + '/new')
        tried(at + ' remove', os.unlink, at + '/file')
        tried(at + ' move', os.rename, at + '/file', at + '/moved')
        tried(at + ' link', os.link, at + '/file', at + '/second')
        tried(at + ' rights', os.chmod, at + '/file', 0o4777)
        tried(at + ' owner', os.chown, at + '/file', 0, 0)
        tried(at + ' times', os.utime, at + '/file', (1, 1))
        tried(at + ' folder', os.mkdir, at + '/folder')
        tried(at + ' attribute', os.setxattr, at + '/file', 'user.x', b'x')
""",
        starter=starter,
    )

    seen = [said.split()[1] for said in facts.values() if said.startswith("seen ")]
    assert {said for said in facts.values() if not said.startswith("seen ")} <= {"EROFS", "EPERM", "EACCES"}
    # Folders of programs are shown; everything else of this machine is not even there.
    assert all(name.startswith("/.host/usr/") for name in seen)
    assert not _IS_ROOT or seen


def test_of_usr_only_programs_libraries_and_data_are_shown(starter: str) -> None:
    """What else lies in /usr or /usr/local, such as a pipe into a program that runs, is not there."""
    if not _IS_ROOT:
        pytest.skip("only root can plant it")
    folders = [Path(tempfile.mkdtemp(prefix="remedy-canary-", dir=place)) for place in ("/usr", "/usr/local")]
    files = [Path(f"{folder}.fifo") for folder in folders]
    try:
        for folder, file in zip(folders, files, strict=True):
            folder.chmod(0o777)
            os.mkfifo(folder / "fifo", 0o666)
            os.mkfifo(file, 0o666)
            for pipe in (folder / "fifo", file):
                pipe.chmod(0o666)
        facts = facts_of(
            f"""
for folder, file in zip({[str(folder) for folder in folders]!r}, {[str(file) for file in files]!r}):
    for at in (folder, '/.host' + folder):
        note(at, os.path.exists(at) and os.listdir(at))
    for at in (file, '/.host' + file):
        note(at, os.path.exists(at) and stat.S_ISFIFO(os.stat(at).st_mode))
""",
            starter=starter,
        )
    finally:
        for folder, file in zip(folders, files, strict=True):
            shutil.rmtree(folder)
            file.unlink()

    assert len(facts) == 8
    assert set(map(str, facts.values())) <= {"False", "[]"}


def test_every_mount_is_made_for_the_cage_or_read_only(starter: str) -> None:
    """No mount can be written to, but for what was made for the cage; none can be changed, added or removed."""
    facts = facts_of(
        """
mounts = [line.split() for line in open('/proc/self/mountinfo')]
note('writable', sorted({words[4] for words in mounts if 'rw' in words[5].split(',')}))
note('shared', [words[4] for words in mounts if any(word.startswith('shared:') for word in words)])
MS_REMOUNT, MS_BIND = 32, 4096
def mount(source, target, kind, flags):
    ctypes.set_errno(0)
    if libc.mount(source, target, kind, flags, None):
        raise OSError(ctypes.get_errno(), 'mount')
def umount(target):
    ctypes.set_errno(0)
    if libc.umount2(target, 2):
        raise OSError(ctypes.get_errno(), 'umount')
tried('remount', mount, b'none', b'/.host/usr', None, MS_REMOUNT | MS_BIND)
tried('tmpfs', mount, b'none', b'/mnt', b'tmpfs', 0)
tried('bind', mount, b'/.host/usr', b'/mnt', None, MS_BIND)
tried('proc', mount, b'none', b'/mnt', b'proc', 0)
tried('umount', umount, b'/.host/usr')
tried('umount proc', umount, b'/proc')
for number in (155, 428, 429, 430, 431, 432, 433, 442):
    tried('call %d' % number, syscall, number, 0, 0, 0, 0, 0)
tried('chroot', os.chroot, '/tmp')
""",
        starter=starter,
    )

    devices = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")}
    assert set(facts.pop("writable")) - devices == {"/", "/dev/pts", "/dev/shm"}
    assert facts.pop("shared") == []
    assert set(facts.values()) == {"EPERM"}


def test_kernel_settings_cannot_be_written(starter: str) -> None:
    """Neither /proc/sys nor sysrq nor /sys can be written, nor what /proc has of the first process."""
    facts = facts_of(
        """
for path in ('/proc/sys/kernel/core_pattern', '/proc/sys/kernel/hostname', '/proc/sys/vm/drop_caches',
             '/proc/sys/kernel/sysrq', '/proc/sys/net/ipv4/ip_forward', '/proc/sysrq-trigger', '/proc/1/oom_score_adj',
             '/proc/self/oom_score_adj', '/proc/irq/default_smp_affinity', '/proc/mtrr', '/proc/acpi/wakeup',
             '/sys/power/state', '/sys/kernel/uevent_helper', '/sys/fs/cgroup/cgroup.procs', '/proc/1/mem',
             '/proc/kcore'):
    tried(path, write, path, '1')
note('sys', os.listdir('/sys'))
""",
        starter=starter,
    )

    assert facts.pop("sys") == []
    assert set(facts.values()) <= {"EROFS", "EACCES", "EPERM", "ENOENT", "EIO"}


def test_no_network_and_no_socket_of_this_machine_is_reached(starter: str, tmp_path: Path) -> None:
    """Neither TCP on loopback, an abstract nor a named unix socket, vsock, nor any interface but lo is there."""
    tcp = socket.create_server(("127.0.0.1", 0))
    abstract, named = (socket.socket(socket.AF_UNIX) for _ in range(2))
    name = f"remedy-canary-{os.getpid()}"
    abstract.bind("\0" + name)
    folder = Path(tempfile.mkdtemp(prefix="remedy-canary-", dir="/usr/local/share")) if _IS_ROOT else tmp_path
    folder.chmod(0o777)
    path = folder / "socket"
    named.bind(str(path))
    path.chmod(0o777)
    listeners = (tcp, abstract, named)
    for listener in listeners:
        listener.listen()
        listener.settimeout(_SILENT_S)
    try:
        facts = facts_of(
            f"""
def reach(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as one:
        one.settimeout(2)
        one.connect(address)
        one.send(b'x')
tried('tcp', reach, socket.AF_INET, ('127.0.0.1', {tcp.getsockname()[1]}))
tried('abstract', reach, socket.AF_UNIX, '\\0{name}')
tried('named', reach, socket.AF_UNIX, '/.host{path}')
tried('datagram', reach, socket.AF_UNIX, '/.host{path}', socket.SOCK_DGRAM)
tried('udp', reach, socket.AF_INET, ('192.0.2.1', 9), socket.SOCK_DGRAM)
tried('udp6', reach, socket.AF_INET6, ('2001:db8::1', 9), socket.SOCK_DGRAM)
for family in (17, 29, 31, 38, 40, 44):  # packet, can, bluetooth, alg, vsock, xdp
    tried('family %d' % family, socket.socket, family, socket.SOCK_STREAM)
tried('raw', socket.socket, socket.AF_INET, socket.SOCK_RAW, 1)
note('interfaces', [name for _, name in socket.if_nameindex()])
for path in ('/run/systemd/private', '/run/dbus/system_bus_socket', '/var/run/docker.sock', '/run/user',
             '/tmp/.X11-unix'):
    note(path, os.path.exists(path) and bool(glob.glob(path + '/*/*')))
""",
            starter=starter,
        )
        reached = []
        for listener in listeners:
            try:
                listener.accept()
            except TimeoutError:
                continue
            reached.append(listener)
    finally:
        for listener in listeners:
            listener.close()
        shutil.rmtree(folder)

    assert reached == []
    assert facts.pop("interfaces") == ["lo"]
    assert facts["abstract"] == facts["named"] == facts["family 40"] == "EAFNOSUPPORT"
    assert not [name for name, said in facts.items() if said in ("ok", True)]


@pytest.fixture
def bystander(starter: str) -> Iterator[int]:
    """Keep a process that notes every signal, and belongs to who the cage is, outside."""
    text = (
        "import os, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    print(signal.sigwait(signal.valid_signals()), flush=True)\n"
    )
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
    process = subprocess.Popen(
        [python, "-c", text],
        stdout=subprocess.PIPE,
        user=_OUTER[starter] if _IS_ROOT else None,
        cwd="/",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    os.set_blocking(process.stdout.fileno(), False)
    yield process.pid
    heard, code = process.stdout.read(), process.poll()
    process.kill()
    process.wait()
    process.stdout.close()
    assert (heard, code) == (None, None)


def test_no_process_outside_gets_a_signal_or_is_seen(starter: str, bystander: int) -> None:
    """Neither by number, group nor all at once can a process outside be signalled, traced, read, or even seen."""
    facts = facts_of(
        f"""
note('seen', sorted(int(name) for name in os.listdir('/proc') if name.isdigit())[-1])
for number in ({bystander}, -{bystander}, {os.getpid()}, {os.getppid()}):
    tried('kill %d' % number, os.kill, number, signal.SIGWINCH)
tried('queue', os.pidfd_open, {bystander})
tried('priority', os.setpriority, os.PRIO_PROCESS, {bystander}, 5)
tried('limits', __import__('resource').prlimit, {bystander}, 7, (1, 1))
tried('trace', syscall, 101, 16, {bystander}, 0, 0)
tried('trace the first', syscall, 101, 16, 1, 0, 0)
tried('read', syscall, 310, 1, 0, 0, 0, 0, 0)
note('group', os.getpgid(0) != 0 and os.getsid(0) != 0)
note('outside', [os.getpgid(0), os.getsid(0)])
os.kill(0, signal.SIGWINCH)
os.kill(-1, signal.SIGWINCH)
tried('the first', os.kill, 1, signal.SIGKILL)
""",
        starter=starter,
    )

    assert facts.pop("seen") < 500
    assert facts.pop("group")
    assert min(facts.pop("outside")) > 0
    # The first process of a namespace does not hear its children's signals, though they may send them.
    assert facts.pop("the first") == "ok"
    assert set(facts.values()) <= {"ESRCH", "EPERM", "EINVAL"}


def test_neither_secrets_nor_descriptors_are_inherited(
    starter: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No variable, descriptor, group or terminal of the one who runs the tests is there."""
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setenv("REMEDY_TEST_TOKEN", "planted-secret")
    kept = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(kept, True)
    try:
        facts = facts_of(
            """
import fcntl, termios
environments = []
for path in glob.glob('/proc/[0-9]*/environ'):
    try:
        environments.append(open(path, 'rb').read().decode())
    except OSError:
        pass
note('environments', ' '.join(environments))
note('own', sorted(os.environ))
links = {}
for name in os.listdir('/proc/self/fd'):
    try:
        links[name] = os.readlink('/proc/self/fd/' + name)
    except OSError:
        pass
note('links', links)
note('all links', sorted({os.readlink(path) for path in glob.glob('/proc/[0-9]*/fd/*') if os.path.lexists(path)}))
note('groups', os.getgroups())
tried('terminal', open, '/dev/tty')
tried('push', fcntl.ioctl, 1, termios.TIOCSTI, b'x')
""",
            starter=starter,
        )
    finally:
        os.close(kept)

    assert "planted" not in facts["environments"]
    assert "agent" not in facts["environments"]
    assert set(facts["own"]) <= {
        "HOME", "LC_ALL", "LC_CTYPE", "LOGNAME", "OLDPWD", "PATH", "PWD", "REMEDY_EXECUTION", "SHELL", "SHLVL", "USER",
        "_",
    }  # fmt: skip
    others = {
        link for link in facts["all links"] if not link.startswith(("pipe:", "/dev/null", "/proc/", "/run/remedy"))
    }
    assert others == set()
    assert set(facts["groups"]) <= {0, 65534}
    assert facts["terminal"] in ("ENXIO", "ENODEV", "EACCES", "EIO")
    assert facts["push"] != "ok"


def test_no_further_namespace_and_no_privilege_is_had(starter: str) -> None:
    """New namespaces, other ones, modules, keys, clocks, names, devices, io_uring: all are refused."""
    machine = os.uname().machine
    if machine != "x86_64":
        pytest.skip("the numbers in this text are those of x86_64")
    numbers = {
        "unshare user": (272, 0x10000000),
        "unshare mount": (272, 0x00020000),
        "setns": (308, 3, 0),
        "clone user": (56, 0x10000000 | 17, 0, 0, 0, 0),
        "keyctl session": (250, 1, 0),
        "keyctl read": (250, 6, -4),
        "add_key": (248, b"user", b"x", b"x", 1, -4),
        "request_key": (249, b"user", b"x", 0, -4),
        "init_module": (175, 0, 0, b""),
        "kexec": (246, 0, 0, 0, 0),
        "bpf": (321, 0, 0, 0),
        "perf": (298, 0, 0, -1, -1, 0),
        "io_uring": (425, 1, 0),
        "userfaultfd": (323, 0),
        "handle": (304, -100, 0, 0),
        "reboot": (169, 0xFEE1DEAD, 672274793, 0x4321FEDC, 0),
        "swapon": (167, b"/tmp/x", 0),
        "settimeofday": (164, 0, 0),
        "clock_settime": (227, 0, 0),
        "sethostname": (170, b"x", 1),
        "syslog": (103, 10, 0, 0),
        "acct": (163, 0),
        "quotactl": (179, 0, 0, 0, 0),
        "iopl": (172, 3),
        "fanotify": (300, 0, 0),
    }
    facts = facts_of(
        f"""
for name, arguments in {numbers!r}.items():
    tried(name, syscall, *arguments)
tried('clone3', syscall, 435, 0, 0)
tried('memory', open, '/dev/mem')
tried('disk', os.mknod, '/tmp/disk', stat.S_IFBLK | 0o666, os.makedev(254, 0))
tried('log', open, '/dev/kmsg', 'w')
note('capabilities', [line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')])
note('status', [line.split()[1] for line in open('/proc/self/status') if line.startswith(('NoNewPrivs', 'Seccomp:'))])
""",
        starter=starter,
    )

    assert facts.pop("clone3") == "ENOSYS"
    assert {int(mask, 16) & ~0b11011 for mask in facts.pop("capabilities")} == {0}
    assert facts.pop("status") == ["1", "2"]
    assert facts.pop("memory") == "ENOENT"
    assert facts.pop("log") == "EROFS"
    assert set(facts.values()) == {"EPERM"}


def test_setuid_program_gives_nothing(starter: str) -> None:
    """A setuid program of root's, in a folder that is shown, reads nothing that only root may."""
    if not _IS_ROOT:
        pytest.skip("only root can plant such a program")
    folder = Path(tempfile.mkdtemp(prefix="remedy-canary-", dir="/usr/local/share"))
    try:
        folder.chmod(0o755)
        secret = folder / "secret"
        secret.write_text("only for root")
        secret.chmod(0o600)
        shutil.copy("/bin/cat", folder / "cat")
        (folder / "cat").chmod(0o4755)
        works = subprocess.run(
            [folder / "cat", secret], user=ORDINARY_UID, cwd="/", capture_output=True, text=True, check=False
        )
        printed = caged(f"#!/bin/sh\n/.host{folder}/cat /.host{secret} 2>&1\n".encode(), starter=starter)
    finally:
        shutil.rmtree(folder)

    assert works.stdout == "only for root"
    assert "only for root" not in printed
    assert "Permission denied" in printed


def test_shared_memory_outside_is_not_seen(starter: str) -> None:
    """A segment of System V that everybody may write is not there, nor a file in /dev/shm."""
    libc = ctypes.CDLL(None)
    key = 0x52_45_00_00 + os.getpid() % 65_536
    segment = libc.shmget(key, 4096, 0o1000 | 0o666)
    assert segment >= 0
    try:
        facts = facts_of(
            f"""
def attach():
    ctypes.set_errno(0)
    if libc.shmget({key}, 4096, 0) == -1:
        raise OSError(ctypes.get_errno(), 'shmget')
tried('segment', attach)
note('files', os.listdir('/dev/shm'))
""",
            starter=starter,
        )
    finally:
        libc.shmctl(segment, 0, None)

    assert facts == {"segment": "ENOENT", "files": []}


def _processes_named(marker: str) -> list[str]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - processes end while they are listed.
        try:
            text = Path("/proc", name, "cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if marker in text:
            found.append(text)
    return found


def test_processes_left_behind_end_with_the_run(starter: str) -> None:
    """A child that left its session, and hears no signal, is ended before anybody looks at the disk, and is gone."""
    marker = f"remedy-left-{os.getpid()}-{len(starter)}"
    script = f"""#!/bin/sh
setsid sh -c 'trap "" TERM HUP INT; : {marker}; while :; do date >>/tmp/alive; sleep 0.05; done' >/dev/null 2>&1 3<&- &
sleep 0.3
echo started
"""
    printed = caged(script.encode(), starter=starter)

    assert "started" in printed
    assert _processes_named(marker) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "script"),
    [
        ("forks", "#!/bin/sh\nf() { f | f & }; f; sleep 60\n"),
        ("memory", PYTHON.decode() + "x = []\nwhile True: x.append(bytearray(64 * 1024 * 1024))\n"),
        ("disk", "#!/bin/sh\ncat /dev/zero >/tmp/x; cat /dev/zero >/dev/shm/x; cat /dev/zero >/root/x\n"),
        (
            "output",
            "#!/bin/sh\nwhile :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done\n",
        ),
        ("deaf", "#!/bin/sh\ntrap '' TERM INT HUP\nwhile :; do :; done\n"),
        ("stop", "#!/bin/sh\nkill -STOP $$\nsleep 60\n"),
        ("first", "#!/bin/sh\nkill -STOP 1; kill -KILL 1; kill -KILL -1\n"),
    ],
    ids=["forks", "memory", "disk", "output", "deaf", "stop", "first"],
)
def test_greed_ends_with_the_deadline(starter: str, what: str, script: str) -> None:
    """Forks, memory, disks, output, deafness and a stop: all end by themselves, and no process is left."""
    marker = f"remedy-greed-{os.getpid()}-{what}-{len(starter)}"

    caged(script.replace("#!/bin/sh\n", f"#!/bin/sh\n: {marker}\n").encode(), starter=starter, timeout_s=2)
    _poll(lambda: not _processes_named(marker))

    assert _processes_named(marker) == []


def test_crash_leaves_no_core_and_starts_no_helper(starter: str) -> None:
    """The limit of a core is one byte, with which the kernel neither writes one nor calls who waits for them."""
    facts = facts_of(
        """
import resource
note('core', resource.getrlimit(resource.RLIMIT_CORE))
if os.fork() == 0:
    os.chdir('/tmp')
    os.kill(os.getpid(), signal.SIGSEGV)
note('ended', os.waitstatus_to_exitcode(os.wait()[1]))
note('files', os.listdir('/tmp'))
note('dumped', [])
""",
        starter=starter,
    )

    assert facts["core"] == [1, 1]
    assert facts["ended"] == -signal.SIGSEGV
    assert facts["files"] == []


def test_cage_ends_when_remedy_is_killed(starter: str) -> None:
    """When the process that runs the tests is killed, so is everything in its cage."""
    marker = f"remedy-orphan-{os.getpid()}-{len(starter)}"
    script = f"#!/bin/sh\n: {marker}\nsh -c ': {marker}; sleep 300' &\nsleep 300\n".encode()
    job = CageJob(script=fix_job(script, timeout_s=300))
    cage = sandbox.BubblewrapCage()
    probe = caged(b"#!/bin/sh\necho fine\n", starter=starter)
    child = os.fork()
    if child == 0:
        try:
            if starter != "root" and _IS_ROOT:
                os.setgroups([])
                os.setresgid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID)
                os.setresuid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID)
            cage.run(job)
        finally:
            os._exit(0)
    _poll(lambda: len(_processes_named(marker)) > 0)
    was_there = len(_processes_named(marker))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    _poll(lambda: not _processes_named(marker))

    assert "fine" in probe
    assert was_there
    assert _processes_named(marker) == []


def _poll(is_so: object) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not is_so():  # type: ignore[operator]
        time.sleep(0.02)


def test_root_in_a_cage_is_nobody_outside(starter: str, folders: list[Path]) -> None:
    """What the cage's root is outside owns nothing, and is never root; its processes are seen as that user's."""
    marker = f"remedy-owner-{os.getpid()}-{len(starter)}"
    facts = facts_of(
        f"""
marker = '{marker}'
note('uid', os.getuid())
note('map', open('/proc/self/uid_map').read().split())
note('other', [tried('other', os.setuid, 1), tried('group', os.setgid, 1), tried('groups', os.setgroups, [0])])
""",
        starter=starter,
    )

    assert facts["uid"] == 0
    assert facts["map"][2] == "1"
    assert {facts["other"] is None, facts["group"] == "ok", facts["groups"] == "ok"} == {False}
    assert _OUTER[starter] != 0
    assert folders


def test_limits_are_named(starter: str) -> None:
    """Data, files, processes and open files of a script have the limits that the module names."""
    facts = facts_of(
        """
import resource
for name in ('DATA', 'FSIZE', 'NPROC', 'NOFILE', 'MSGQUEUE'):
    note(name, resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[1])
note('root', os.statvfs('/').f_blocks * os.statvfs('/').f_frsize)
""",
        starter=starter,
    )

    assert facts["DATA"] == sandbox_texts.MEMORY_BYTES_MAX
    assert facts["NPROC"] == sandbox_texts.PROCESSES_MAX
    assert facts["root"] == sandbox_texts.ROOT_BYTES
    assert facts["NOFILE"] == 1024
    assert facts["MSGQUEUE"] == 0
