"""The demo's hosts are what the demo says they are, and leave nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.demo import fleet as fleet_module
from remedy.demo.fleet import Fleet
from remedy.demo.host import DemoHost, Volume
from remedy.errors import RemedyError
from tests.demo.processes import namespace, processes_in, processes_of, wait_until

pytestmark = pytest.mark.sshd

_HOSTS = (
    DemoHost(name="roomy"),
    DemoHost(name="full", volume=Volume.FULL),
    DemoHost(name="stubborn", volume=Volume.STUBBORN),
    DemoHost(name="foreign", volume=Volume.FULL, foreign_find=True, waits_for=("full",)),
    DemoHost(name="down", up=False),
)


def _ssh(fleet: Fleet, name: str, command: str) -> subprocess.CompletedProcess[str]:
    options = ["-F", "none", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
    known = f"UserKnownHostsFile={fleet.known_hosts_path}"
    where = ["-p", str(fleet.port), f"root@{fleet.address(name)}"]
    return subprocess.run(
        ["ssh", *options, "-o", known, "-i", str(fleet.client_key_path), *where, command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One fleet for the tests that only look at it."""
    with Fleet(tmp_path_factory.mktemp("fleet"), hosts=_HOSTS) as made:
        yield made


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet of its own for a test that changes it."""
    with Fleet(tmp_path, hosts=_HOSTS) as made:
        yield made


def test_host_answers_under_its_own_name_and_key(shared: Fleet) -> None:
    """OpenSSH's client, with strict host keys, reaches each host at its own address and finds its own name."""
    answers = {name: _ssh(shared, name, "hostname").stdout.strip() for name in ("roomy", "full", "foreign")}

    assert answers == {"roomy": "roomy", "full": "full", "foreign": "foreign"}


def test_host_that_is_down_refuses_connections(shared: Fleet) -> None:
    """A host that is not up has an address where nobody listens."""
    answer = _ssh(shared, "down", "true")

    assert answer.returncode == 255
    assert "refused" in answer.stderr


@pytest.mark.parametrize("place", ["/", "/usr", "/usr/local", "/var/lib", "/opt", "/home"])
def test_host_is_read_only_where_no_rule_writes(shared: Fleet, place: str) -> None:
    """Root on a host cannot make a file outside the places that are its own."""
    answer = _ssh(shared, "roomy", f"touch {place}/made-by-the-demo")

    assert answer.returncode != 0
    assert not Path(place, "made-by-the-demo").exists()


def test_host_cannot_change_settings_of_the_kernel(shared: Fleet) -> None:
    """Root on a host cannot write a setting of the kernel, which all hosts and this machine share."""
    answer = _ssh(shared, "roomy", "value=$(cat /proc/sys/vm/swappiness); echo $value > /proc/sys/vm/swappiness")

    assert answer.returncode != 0
    assert "Read-only file system" in answer.stderr


def test_host_writes_only_into_its_own_memory(shared: Fleet) -> None:
    """What root writes where rules may write is seen on that host alone, not on another, not outside."""
    places = [
        "/tmp",
        "/var/tmp",
        "/var/cache",
        "/var/log",
        "/run",
        "/root",
        "/etc",
        "/etc/remedy",
        "/etc/motd.d",
        "/srv",
    ]
    files = [f"{place}/made-on-a-host-{os.getpid()}" for place in places]
    made = _ssh(shared, "roomy", f"touch {' '.join(files)} && ls {' '.join(files)} | wc -l")
    elsewhere = _ssh(shared, "full", f"ls {' '.join(files)} | wc -l")

    assert made.stdout.strip() == str(len(files)), made.stderr
    assert elsewhere.stdout.strip() == "0"
    assert [file for file in files if Path(file).exists()] == []


def test_host_sees_no_secret_of_this_machine(shared: Fleet) -> None:
    """The accounts of a host are made for it: no password hash and no host key of this machine is in its /etc."""
    shadow = _ssh(shared, "roomy", "cut -d: -f2 /etc/shadow | sort -u").stdout.split()
    keys = _ssh(shared, "roomy", "ls /etc/ssh /etc/shadow- /etc/gshadow /etc/sudoers").stdout

    assert shadow == ["*"]
    assert keys == ""


def test_volume_full_is_mended_by_removing_old_files(fleet: Fleet) -> None:
    """Removing the old files of the temporary folder frees a full volume; a roomy one needs nothing."""
    before = fleet.free_percent("full")
    fleet.run_inside("full", ["find", "/srv/tmp", "-type", "f", "-mtime", "+7", "-delete"])

    assert before < 10
    assert fleet.free_percent("full") > 80
    assert fleet.run_inside("full", ["ls", "/srv/tmp", "/srv/data"]).stdout.count("upload-today.part") == 1
    assert fleet.free_percent("roomy") > 80


def test_volume_stubborn_is_not_mended_by_removing_old_files(fleet: Fleet) -> None:
    """What fills a stubborn volume is new, so that removing old files leaves it as full as it was."""
    before = fleet.free_percent("stubborn")
    fleet.run_inside("stubborn", ["find", "/srv", "-type", "f", "-mtime", "+7", "-delete"])

    assert before < 10
    assert fleet.free_percent("stubborn") == before


def test_find_foreign_fails_in_a_fix_only_after_its_neighbour_began(fleet: Fleet) -> None:
    """A fix on the host with a foreign find fails, and not before a fix was started on the neighbour."""
    looking = ["find", "--version"]
    outside_a_fix = fleet.run_inside("foreign", ["timeout", "5", *looking])
    waiting = fleet.run_inside("foreign", ["env", "REMEDY_EXECUTION=x", "timeout", "1", *looking])
    fleet.run_inside("full", ["mkdir", "/run/remedy/0123456789abcdef"])
    failed = fleet.run_inside("foreign", ["env", "REMEDY_EXECUTION=x", "timeout", "5", *looking])

    assert outside_a_fix.returncode == 1
    assert waiting.returncode == 124
    assert failed.returncode == 1
    assert "GNU" not in failed.stdout


def test_fixes_are_counted_by_their_markers(fleet: Fleet) -> None:
    """The fleet counts markers of executions, and nothing else that lies beside them."""
    fleet.run_inside("full", ["mkdir", "/run/remedy/0123456789abcdef", "/run/remedy/lock"])

    assert fleet.fixes_started("full") == 1
    assert fleet.fixes_started("roomy") == 0


def test_host_stops_with_all_its_processes_and_comes_back_with_its_files(fleet: Fleet) -> None:
    """Stopping a host ends even what left its session; its files are there when it is up again."""
    _ssh(fleet, "full", "touch /var/tmp/kept; setsid sleep 600 >/dev/null 2>&1 </dev/null & sleep 0.1")
    before = fleet.run_inside("full", ["ps", "-A", "-o", "args="]).stdout
    fleet.stop_host("full")
    listed = fleet.run_inside("full", ["ps", "-A", "-o", "args="]).stdout
    # One that has ended and is not yet waited for is no process any more.
    after = [line for line in listed.splitlines() if "<defunct>" not in line]
    gone = _ssh(fleet, "full", "true").returncode
    fleet.restart_host("full")

    assert "sleep 600" in before
    assert not [line for line in after if "sleep 600" in line or "sshd" in line]
    assert gone == 255
    assert _ssh(fleet, "full", "ls /var/tmp").stdout == "kept\n"


def test_host_key_changed_is_noticed_by_a_strict_client(fleet: Fleet) -> None:
    """After its key was changed, a host no longer matches the fleet's known_hosts."""
    fleet.rotate_host_key("roomy")

    answer = _ssh(fleet, "roomy", "true")
    assert answer.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in answer.stderr


def test_closing_ends_processes_and_mounts(tmp_path: Path) -> None:
    """When the context ends, by an exception too, no process of the fleet lives and no mount was left."""
    running: list[int] = []
    namespaces: set[str] = set()
    mounts = [Path("/proc/self/mountinfo").read_text()]

    def use_and_fail() -> None:
        with Fleet(tmp_path, hosts=_HOSTS) as made:
            _ssh(made, "full", "setsid sleep 600 >/dev/null 2>&1 </dev/null &")
            running.extend(processes_of(tmp_path))
            namespaces.update(map(namespace, running))
            mounts.append(Path("/proc/self/mountinfo").read_text())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use_and_fail()
    mounts.append(Path("/proc/self/mountinfo").read_text())

    assert len(running) > 2 * len(_HOSTS)
    assert processes_in(namespaces) == []
    assert mounts == [mounts[0]] * 3


def test_killed_owner_takes_the_fleet_with_it(tmp_path: Path) -> None:
    """After a kill -9 of the process that made the fleet, all hosts end by themselves."""
    program = (
        "import pathlib, sys, time\n"
        "from remedy.demo.fleet import Fleet\n"
        "from remedy.demo.host import DemoHost\n"
        "with Fleet(pathlib.Path(sys.argv[1]), hosts=[DemoHost(name='web-1'), DemoHost(name='web-2')]):\n"
        "    print('up', flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        said = owner.stdout.readline()
        namespaces = {namespace(pid) for pid in processes_of(tmp_path)}
        owner.send_signal(signal.SIGKILL)

    assert said == b"up\n"
    assert len(namespaces) == 2
    assert wait_until(lambda: processes_in(namespaces) == [])


def test_host_that_cannot_be_made_is_named_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a host's set-up fails, the error has the host's name and the last words, and all others are ended."""
    monkeypatch.setattr(fleet_module, "SETUP", "echo 'unshare: not here' >&2\nexit 1\n")

    with pytest.raises(RemedyError, match="host roomy could not be made: unshare: not here"):
        Fleet(tmp_path, hosts=_HOSTS).__enter__()
    assert processes_of(tmp_path) == []


def test_daemon_missing_is_said_with_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without sshd the error names it and the command that installs it, and nothing is started."""
    monkeypatch.setattr(fleet_module, "_SYSTEM_PATH", "/usr/bin:/bin")

    with pytest.raises(RemedyError, match=r"needs .*sshd.*\n.*apt-get install .*openssh-server"):
        Fleet(tmp_path, hosts=_HOSTS).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_user_who_is_not_root_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root the error says that root is needed, and nothing is started."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(RemedyError, match="needs root"):
        Fleet(tmp_path, hosts=_HOSTS).__enter__()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [[], ["web-1", "web-1"], ["web 1"], ["-x"], ["$(id)"]])
def test_names_that_are_not_plain_are_an_error(tmp_path: Path, names: list[str]) -> None:
    """A fleet has at least one host, and names that need no quoting anywhere."""
    with pytest.raises(ValueError, match="distinct plain names"):
        Fleet(tmp_path, hosts=[DemoHost(name=name) for name in names])
