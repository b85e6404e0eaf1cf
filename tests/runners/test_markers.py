"""Markers read back, over every transport: what each says, and that reading changes nothing."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from remedy.errors import Refused, Unreachable
from remedy.port import FixEnding, FixResult, Marker, MarkersRead, MarkerState, Target
from remedy.reconciling import Reconciled, reconciled
from remedy_runners import session as session_module
from remedy_runners.frames import Frames
from remedy_runners.marker_payload import MARKERS_MAX, marker_of, marker_payload, reader_of
from remedy_runners.ssh import SSHRunner
from tests.runners.conftest import Daemon, Host, Machine, is_alive, wait_until

pytestmark = pytest.mark.sshd

NewId = Callable[[], str]
NONCE = "0123456789abcdef" * 2
BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _read(host: Host, *execution_ids: str) -> MarkersRead:
    return host.session.read_markers(execution_ids, become_root=host.become_root)


def _found(read: MarkersRead, execution_id: str, *, intent: str | None = BOOT_ID) -> Reconciled:
    """What it all comes to, for an intent that is a minute old on a host that is older."""
    marker = read.markers[execution_id]
    return reconciled(intent_boot_id=intent, read=replace(read, up_s=3_600), marker=marker, age_s=60).found


def _listing(directory: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything below a directory that a look could change; access times aside."""
    found = {}
    for path in sorted([directory, *directory.rglob("*")]):
        status = path.lstat()
        text = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_ctime_ns, text)
    return found


@contextmanager
def _running(host: Host, other: Host, execution_id: str, script: bytes) -> Iterator[list[FixResult]]:
    """Run a fix over another connection while something is done here; its result is there afterwards."""
    results: list[FixResult] = []
    permit, job = other.fix_job(
        script,
        execution_id=execution_id,
        environment={"F": f"/tmp/go-{execution_id}", "D": f"/tmp/did-{execution_id}"},
        timeout_s=60,
    )
    thread = threading.Thread(target=lambda: results.append(other.session.fix(permit, job)), daemon=True)
    thread.start()
    wait_until(lambda: host.machine.path(f"/tmp/did-{execution_id}").exists())
    try:
        yield results
    finally:
        host.machine.path(f"/tmp/go-{execution_id}").touch()
        thread.join(15)


WAITS = b'echo begun >"$D"; while ! [ -e "$F" ]; do sleep 0.05; done; echo done >>"$D"; exit 3'


def _recorded_pid(host: Host, execution_id: str, name: str) -> int:
    return int((host.markers / execution_id / name).read_text().split()[0])


def test_marker_of_a_finished_fix_says_its_exit_code(host: Host, new_id: NewId) -> None:
    """An end that was written comes back with code and boot id, whatever the code."""
    ids = [new_id() for _ in range(3)]
    for execution_id, code in zip(ids, (0, 7, 255), strict=True):
        host.session.fix(*host.fix_job(f"exit {code}".encode(), execution_id=execution_id))

    read = _read(host, *ids)

    assert [read.markers[each] for each in ids] == [
        Marker(state=MarkerState.ENDED, boot_id=BOOT_ID, exit_code=code, over=False) for code in (0, 7, 255)
    ]
    assert {_found(read, each) for each in ids} == {Reconciled.FINISHED}
    assert read.boot_id == BOOT_ID
    assert read.as_root is (host.kind != "ssh-plain-user")


def test_marker_of_a_fix_that_its_deadline_ended_says_so(host: Host, new_id: NewId) -> None:
    """A deadline is told from an exit code of 124."""
    over, said_so = new_id(), new_id()
    host.session.fix(*host.fix_job(b"sleep 60", execution_id=over, timeout_s=1))
    host.session.fix(*host.fix_job(b"exit 124", execution_id=said_so))

    read = _read(host, over, said_so)

    assert (read.markers[over].over, _found(read, over)) == (True, Reconciled.TIMED_OUT)
    assert (read.markers[said_so].over, _found(read, said_so)) == (False, Reconciled.FINISHED)


def test_marker_that_is_not_there_is_absent(host: Host, new_id: NewId) -> None:
    """Root's absence is a proof, a plain user's is none, and both are told apart from a marker that is there."""
    there, never = new_id(), new_id()
    host.session.fix(*host.fix_job(b":", execution_id=there))

    read = _read(host, never, there)

    assert read.markers[never] == Marker(state=MarkerState.ABSENT)
    assert read.markers[there].state is MarkerState.ENDED
    assert read.up_s is not None
    assert read.up_s > 0
    expected = Reconciled.UNKNOWN if host.kind == "ssh-plain-user" else Reconciled.NEVER_STARTED
    assert _found(read, never) is expected
    assert _found(read, never, intent="another boot") is Reconciled.REBOOTED


def test_marker_of_a_running_fix_says_so_and_the_fix_is_not_disturbed(
    host: Host, new_id: NewId, connect: Callable[[], Host]
) -> None:
    """While it runs it is alive, also seen twenty times; it then ends as it would have, and its end is seen."""
    execution_id = new_id()

    with _running(host, connect(), execution_id, WAITS) as results:
        before = _listing(host.markers)
        reads = [_read(host, execution_id) for _ in range(20)]
        after = _listing(host.markers)
    ended = _read(host, execution_id)

    assert {_found(read, execution_id) for read in reads} == {Reconciled.RUNNING}
    assert {read.markers[execution_id].is_alive for read in reads} == {True}
    assert after == before
    assert (results[0].ending, results[0].exit_code) == (FixEnding.FINISHED, 3)
    assert host.machine.path(f"/tmp/did-{execution_id}").read_text() == "begun\ndone\n"
    assert _found(ended, execution_id) is Reconciled.FINISHED


def test_fix_that_starts_during_looks_is_never_busy(host: Host, new_id: NewId, connect: Callable[[], Host]) -> None:
    """Looking does not take the host's lock: fixes start one after the other while somebody looks all the time."""
    looking = connect()
    ids = [new_id() for _ in range(8)]
    over = threading.Event()
    found: list[Reconciled] = []

    def look() -> None:
        while not over.is_set():
            read = _read(looking, *ids)
            found.extend(_found(read, each) for each in ids)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    results = [host.session.fix(*host.fix_job(b"exit 4", execution_id=each)) for each in ids]
    over.set()
    thread.join(15)

    assert [result.ending for result in results] == [FixEnding.FINISHED] * len(ids)
    assert Reconciled.DIED not in found
    assert {_found(_read(host, each), each) for each in ids} == {Reconciled.FINISHED}


def test_marker_of_a_killed_fix_is_dead(host: Host, new_id: NewId, connect: Callable[[], Host]) -> None:
    """One after the other is killed: while a process of the script is left it runs, and then it has died."""
    execution_id = new_id()
    script = b'sh -c "echo \\$\\$ >$D.child; exec sleep 600" & echo begun >"$D"; wait'

    with _running(host, connect(), execution_id, script) as results:
        child_file = host.machine.path(f"/tmp/did-{execution_id}.child")
        wait_until(lambda: child_file.exists() and child_file.read_text())
        keeper, leader = (_recorded_pid(host, execution_id, name) for name in ("keeper", "script"))
        payload = os.getsid(keeper)
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not is_alive(keeper))
        without_keeper = _read(host, execution_id)
        # The script's shell goes with its leader, or ends by itself; its child stays.
        _kill(_members(leader) - {int(child_file.read_text())})
        wait_until(lambda: _members(leader) == {int(child_file.read_text())})
        only_child = _read(host, execution_id)
        os.kill(int(child_file.read_text()), signal.SIGKILL)
        wait_until(lambda: not _members(leader))
        nobody = _read(host, execution_id)
        _kill(_members(payload))

    assert results[0].ending is FixEnding.LOST
    assert not (host.markers / execution_id / "rc").exists()
    assert _found(without_keeper, execution_id) is Reconciled.RUNNING
    assert _found(only_child, execution_id) is Reconciled.RUNNING
    assert nobody.markers[execution_id] == Marker(state=MarkerState.STARTED, boot_id=BOOT_ID, is_alive=False)
    assert _found(nobody, execution_id) is Reconciled.DIED


def _kill(pids: set[int]) -> None:
    """Kill these processes; one may be gone because another is."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _members(number: int) -> set[int]:
    """The living processes whose group or session has this number."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group, session, *_ = path.read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in "ZX" and str(number) in (group, session):
            found.add(int(path.parent.name))
    return found


def test_marker_whose_numbers_belong_to_others_now_is_dead(host: Host, new_id: NewId) -> None:
    """A living process of the same number that began at another time is another one."""
    execution_id = new_id()
    host.session.fix(*host.fix_job(b":", execution_id=execution_id))
    marker = host.markers / execution_id
    (marker / "rc").unlink()
    for name in ("keeper", "script"):
        (marker / name).write_text(f"{os.getpid()} 1\n")

    assert _found(_read(host, execution_id), execution_id) is Reconciled.DIED


@pytest.mark.parametrize("kind", ["local", "local-bash"], indirect=True)
def test_end_that_is_written_during_the_look_is_seen(host: Host, new_id: NewId) -> None:
    """A fix that writes its end and goes away between two looks at its marker has ended, not died."""
    execution_id = new_id()
    host.session.fix(*host.fix_job(b"exit 5", execution_id=execution_id))
    marker = host.markers / execution_id
    (marker / "rc").rename(marker / "rc-later")
    during = host.machine.path("/usr/local/sbin/head")
    during.write_text(
        '#!/bin/sh\ncase $3 in */keeper) mv "${3%/keeper}/rc-later" "${3%/keeper}/rc";; esac\nexec /usr/bin/head "$@"\n'
    )
    during.chmod(0o755)
    try:
        read = _read(host, execution_id)
    finally:
        during.unlink()

    assert read.markers[execution_id].exit_code == 5
    assert _found(read, execution_id) is Reconciled.FINISHED


def _started_at(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]


def test_marker_names_living_processes_exactly(host: Host, new_id: NewId) -> None:
    """Number and start time, as /proc has them, make a process that lives; either of the two is enough."""
    ids = {name: new_id() for name in ("keeper", "script")}
    for name, execution_id in ids.items():
        host.session.fix(*host.fix_job(b":", execution_id=execution_id))
        (host.markers / execution_id / "rc").unlink()
        (host.markers / execution_id / name).write_text(f"{os.getppid()} {_started_at(os.getppid())}\n")

    read = _read(host, *ids.values())

    assert {_found(read, each) for each in ids.values()} == {Reconciled.RUNNING}


def _copied(marker: Path, other: Path) -> None:
    """Copy a marker, owner included."""
    shutil.copytree(marker, other)
    for path in (other, *other.iterdir()):
        os.chown(path, marker.stat().st_uid, marker.stat().st_gid)


def _rubbish(marker: Path, name: str) -> None:
    """Spoil a finished fix's marker in one way."""
    start = f"boot_id {BOOT_ID}\npid 5\nstarted_cs 1\ndeadline_s 1\n"
    match name:
        case "a file":
            shutil.rmtree(marker)
            marker.write_text("x")
        case "a link":
            shutil.rmtree(marker)
            marker.symlink_to("/")
        case "a dangling link":
            shutil.rmtree(marker)
            marker.symlink_to("nowhere")
        case "empty":
            for each in marker.iterdir():
                each.unlink()
        case "rc is text":
            (marker / "rc").write_text("zero 0\n")
        case "rc is empty":
            (marker / "rc").write_text("")
        case "rc is cut":
            (marker / "rc").write_text("0 0")
        case "rc is one number":
            (marker / "rc").write_text("0\n")
        case "rc is too many numbers":
            (marker / "rc").write_text("0 0 0\n")
        case "rc has two lines":
            (marker / "rc").write_text("0 0\n0 0\n")
        case "rc is negative":
            (marker / "rc").write_text("-1 0\n")
        case "rc is no code":
            (marker / "rc").write_text("1000 0\n")
        case "rc is huge":
            (marker / "rc").write_bytes(b"0" * 5_000_000)
        case "rc is binary":
            (marker / "rc").write_bytes(bytes(range(256)) + b"\n")
        case "rc speaks shell":
            (marker / "rc").write_text("$(touch /tmp/pwned) `touch /tmp/pwned`; touch /tmp/pwned\n")
        case "rc is a pipe":
            (marker / "rc").unlink()
            os.mkfifo(marker / "rc")
        case "rc is a folder":
            (marker / "rc").unlink()
            (marker / "rc").mkdir()
        case "rc is a link":
            (marker / "rc").rename(marker / "rc-elsewhere")
            (marker / "rc").symlink_to("rc-elsewhere")
        case "start is missing":
            (marker / "start").unlink()
        case "start is rubbish":
            (marker / "start").write_text("* /etc/* boot_id\n")
        case "start is shouting":
            (marker / "start").write_text(start.replace(BOOT_ID, BOOT_ID.upper() + "G"))
        case "boot id is short":
            (marker / "start").write_text(start.replace(BOOT_ID, "abc"))
        case "processes are rubbish":
            (marker / "rc").unlink()
            (marker / "keeper").write_text("* *\n")
        case "no processes":
            (marker / "rc").unlink()
            (marker / "keeper").unlink()
        case "script is not known":
            (marker / "rc").unlink()
            (marker / "script").unlink()
        case "script is rubbish":
            (marker / "rc").unlink()
            (marker / "script").write_text("1 2 3\n")


_SPOILS = (
    "a file", "a link", "a dangling link", "empty", "rc is text", "rc is empty", "rc is cut", "rc is one number",
    "rc is too many numbers", "rc has two lines", "rc is negative", "rc is no code", "rc is huge", "rc is binary",
    "rc speaks shell", "rc is a pipe", "rc is a folder", "rc is a link", "start is missing", "start is rubbish",
    "start is shouting",
    "boot id is short", "processes are rubbish", "no processes", "script is not known", "script is rubbish",
)  # fmt: skip


def test_marker_with_rubbish_is_unknown_and_stays_as_it_is(host: Host, new_id: NewId) -> None:
    """No spoiled marker is taken for an end or an absence, none holds the look up, and others are read all the same."""
    ids = {name: new_id() for name in _SPOILS}
    good = new_id()
    host.session.fix(*host.fix_job(b"exit 6", execution_id=good))
    for name, execution_id in ids.items():
        _copied(host.markers / good, host.markers / execution_id)
        _rubbish(host.markers / execution_id, name)
    before = _listing(host.markers)

    read = _read(host, *ids.values(), good)

    found = {name: _found(read, execution_id) for name, execution_id in ids.items()}
    assert found == dict.fromkeys(_SPOILS, Reconciled.UNKNOWN)
    assert read.markers[good].exit_code == 6
    assert _listing(host.markers) == before
    assert not host.machine.path("/tmp/pwned").exists()


def test_look_at_a_host_without_markers_makes_nothing(host: Host, new_id: NewId) -> None:
    """Where no fix ever ran, no directory is made, and everything else stays as it was."""
    kept = host.markers.with_name("remedy-kept")
    if host.markers.exists():
        host.markers.rename(kept)
    execution_id = new_id()
    around = host.markers.parent
    before = _listing(around) if around.exists() else None
    try:
        read = _read(host, execution_id)
        after = _listing(around) if around.exists() else None
    finally:
        if kept.exists():
            kept.rename(host.markers)

    assert after == before
    assert read.markers[execution_id] == Marker(state=MarkerState.ABSENT)


def test_place_of_markers_that_is_no_directory_is_odd(host: Host, new_id: NewId) -> None:
    """A file or a dangling link in the markers' place does not make their absence a fact."""
    execution_id = new_id()
    host.session.fix(*host.fix_job(b":", execution_id=new_id()))
    kept = host.markers.with_name("remedy-kept")
    host.markers.rename(kept)
    states = []
    try:
        for make in (host.markers.touch, lambda: host.markers.symlink_to("nowhere")):
            make()
            states.append(_read(host, execution_id).markers[execution_id].state)
            host.markers.unlink()
    finally:
        kept.rename(host.markers)

    assert states == [MarkerState.ODD, MarkerState.ODD]


@pytest.mark.parametrize("kind", ["ssh-plain-user"], indirect=True)
def test_plain_users_marker_in_a_runtime_directory_is_found(host: Host, new_id: NewId, machine: Machine) -> None:
    """Where the login has a runtime directory, markers are found there, and at home just as well."""
    home, runtime = new_id(), new_id()
    host.session.fix(*host.fix_job(b"exit 1", execution_id=home))
    directory = machine.path("/run/user-4201/remedy")
    directory.mkdir(parents=True)
    _copied(host.markers / home, directory / runtime)
    for path in (directory.parent, directory):
        os.chown(path, 4201, 4201)
    payload = marker_payload([home, runtime, "never"], nonce=NONCE)
    as_worker = ("setpriv", "--reuid", "4201", "--regid", "4201", "--clear-groups", "env", "HOME=/home/worker")

    marks = [
        Frames(NONCE).feed(
            subprocess.run(
                [*machine.prefix, *as_worker, f"XDG_RUNTIME_DIR={where}", "sh"],
                input=payload,
                capture_output=True,
                check=True,
                timeout=30,
            ).stdout
        )
        for where in ("/run/user-4201", "/run/not-there", "")
    ]

    states = [
        [marker_of([mark for mark in each if isinstance(mark, tuple)], n).state for n in range(3)] for each in marks
    ]
    assert states[0] == [MarkerState.ENDED, MarkerState.ENDED, MarkerState.ABSENT]
    assert states[1] == states[2] == [MarkerState.ENDED, MarkerState.ABSENT, MarkerState.ABSENT]


def test_more_markers_or_other_names_than_can_be_are_an_error() -> None:
    """Nothing but execution ids gets into the payload, and not too many of them."""
    for ids in (["../etc"], ["a b"], ["$(id)"], [""], ["a\n"], [f"{number}" for number in range(MARKERS_MAX + 1)]):
        with pytest.raises(ValueError):
            marker_payload(ids, nonce=NONCE)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "ended",
        f"ended {BOOT_ID} - -",
        f"ended {BOOT_ID} 0 -",
        f"ended {BOOT_ID} 0 2 -",
        f"ended {BOOT_ID} 0000 0 -",
        f"ended {BOOT_ID} +1 0 -",
        f"ended {BOOT_ID} ٣ 0 -",
        f"started {BOOT_ID} 0 0 yes",
        f"started {BOOT_ID} - maybe",
        f"started {BOOT_ID}x - no",
        f"started {BOOT_ID} - no ",
        "absent",
        "absent 0 0 - - -",
        "odd",
    ],
)
def test_answer_that_is_not_exactly_one_of_ours_is_odd(said: str) -> None:
    """Whatever a host says otherwise, it is neither an end nor an absence; neither are two different answers."""
    mark = ("marker", "0", *said.split(" ", 1))
    good = ("marker", "0", "absent", "- - -")

    assert marker_of([mark], 0).state is MarkerState.ODD
    assert marker_of([mark, good], 0).state is MarkerState.ODD
    assert marker_of([good], 1).state is MarkerState.ODD
    assert marker_of([good, good], 0).state is MarkerState.ABSENT


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        (("reader", "root", "12"), (True, 12)),
        (("reader", "user", "12"), (False, 12)),
        (("reader", "root", "-"), (True, None)),
        (("reader", "root", "-5"), (True, None)),
        (("reader", "root", "1" * 11), (True, None)),
        (("reader", "ROOT", "12"), (False, None)),
        (("reader", "root"), (False, None)),
        (("other",), (False, None)),
    ],
)
def test_reader_is_root_only_when_the_host_says_so(mark: tuple[str, ...], told: tuple[bool, int | None]) -> None:
    """Anything odd is no root, and an uptime that is none is not known."""
    assert reader_of([mark]) == told


@pytest.mark.parametrize("kind", ["ssh"], indirect=True)
def test_link_gone_before_a_look_is_unreachable(host: Host, daemon: Daemon, new_id: NewId) -> None:
    """Without a link nothing was read, and nothing is concluded."""
    daemon.cut_links()

    with pytest.raises(Unreachable):
        _read(host, new_id())


@pytest.mark.parametrize("kind", ["local"], indirect=True)
def test_look_that_is_not_heard_to_its_end_is_unreachable(
    host: Host, new_id: NewId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that hangs in the middle of its answer has said nothing."""
    slow = host.machine.path("/usr/local/sbin/head")
    execution_id = new_id()
    host.session.fix(*host.fix_job(b":", execution_id=execution_id))
    slow.write_text('#!/bin/sh\n[ "$2" = 400 ] && exec sleep 5\nexec /usr/bin/head "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(session_module, "READ_MARKERS_S", 1)
    try:
        with pytest.raises(Unreachable, match="not read to the end"):
            _read(host, execution_id)
    finally:
        slow.unlink()


def test_look_as_root_where_sudo_says_no_is_refused(
    machine: Machine, make_runner: Callable[..., SSHRunner], target: Target, new_id: NewId
) -> None:
    """A login that may not sudo is refused with the cure, and its own markers can be read still."""
    if shutil.which("sudo") is None:
        pytest.skip("needs sudo")
    session = make_runner().connect(replace(target, user="outsider"))
    execution_id = new_id()

    with pytest.raises(Refused, match="nothing ran on the host: sudo"):
        session.read_markers([execution_id], become_root=True)
    own = session.read_markers([execution_id], become_root=False)
    session.close()

    assert own.markers[execution_id].state is MarkerState.ABSENT
    assert not own.as_root
