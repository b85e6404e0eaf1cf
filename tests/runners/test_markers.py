"""Markers read back, over every transport: what each says, and that reading changes nothing."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from remedy.errors import Refused, Unreachable
from remedy.port import FixEnding, Marker, MarkerState, Target
from remedy.reconciling import Reconciled
from remedy_runners import session as session_module
from remedy_runners.frames import Frames
from remedy_runners.marker_payload import marker_of, marker_payload
from remedy_runners.ssh import SSHRunner
from tests.behaviour.waiting import is_alive, wait_until
from tests.runners.machines import Host, Machine, NewId
from tests.runners.markers import (
    BOOT_ID,
    NONCE,
    WAITS,
    copy_marker,
    found_in,
    listing,
    read_markers,
    recorded_pid,
    running_fix,
)

pytestmark = pytest.mark.sshd


def test_marker_of_a_finished_fix_says_its_exit_code(host: Host, new_id: NewId) -> None:
    """An end that was written comes back with code and boot id, whatever the code."""
    ids = [new_id() for _ in range(3)]
    for execution_id, code in zip(ids, (0, 7, 255), strict=True):
        host.session.fix(*host.fix_job(f"exit {code}".encode(), execution_id=execution_id))

    read = read_markers(host, *ids)

    assert [read.markers[each] for each in ids] == [
        Marker(state=MarkerState.ENDED, boot_id=BOOT_ID, exit_code=code, over=False) for code in (0, 7, 255)
    ]
    assert {found_in(read, each) for each in ids} == {Reconciled.FINISHED}
    assert read.boot_id == BOOT_ID
    assert read.as_root is (host.kind != "ssh-plain-user")


def test_marker_of_a_fix_that_its_deadline_ended_says_so(host: Host, new_id: NewId) -> None:
    """A deadline is told from an exit code of 124."""
    over, said_so = new_id(), new_id()
    host.session.fix(*host.fix_job(b"sleep 60", execution_id=over, timeout_s=1))
    host.session.fix(*host.fix_job(b"exit 124", execution_id=said_so))

    read = read_markers(host, over, said_so)

    assert (read.markers[over].over, found_in(read, over)) == (True, Reconciled.TIMED_OUT)
    assert (read.markers[said_so].over, found_in(read, said_so)) == (False, Reconciled.FINISHED)


def test_marker_that_is_not_there_is_absent(host: Host, new_id: NewId) -> None:
    """Root's absence is a proof, a plain user's is none, and both are told apart from a marker that is there."""
    there, never = new_id(), new_id()
    host.session.fix(*host.fix_job(b":", execution_id=there))

    read = read_markers(host, never, there)

    assert read.markers[never] == Marker(state=MarkerState.ABSENT)
    assert read.markers[there].state is MarkerState.ENDED
    assert read.up_s is not None
    assert read.up_s > 0
    expected = Reconciled.UNKNOWN if host.kind == "ssh-plain-user" else Reconciled.NEVER_STARTED
    assert found_in(read, never) is expected
    assert found_in(read, never, intent="another boot") is Reconciled.REBOOTED


def test_marker_of_a_running_fix_says_so_and_the_fix_is_not_disturbed(
    host: Host, new_id: NewId, connect: Callable[[], Host]
) -> None:
    """While it runs it is alive, also seen twenty times; it then ends as it would have, and its end is seen."""
    execution_id = new_id()

    with running_fix(host, connect(), execution_id, WAITS) as results:
        before = listing(host.markers)
        reads = [read_markers(host, execution_id) for _ in range(20)]
        after = listing(host.markers)
    ended = read_markers(host, execution_id)

    assert {found_in(read, execution_id) for read in reads} == {Reconciled.RUNNING}
    assert {read.markers[execution_id].is_alive for read in reads} == {True}
    assert after == before
    assert (results[0].ending, results[0].exit_code) == (FixEnding.FINISHED, 3)
    assert host.machine.path(f"/tmp/did-{execution_id}").read_text() == "begun\ndone\n"
    assert found_in(ended, execution_id) is Reconciled.FINISHED


def test_fix_that_starts_during_looks_is_never_busy(host: Host, new_id: NewId, connect: Callable[[], Host]) -> None:
    """Looking does not take the host's lock: fixes start one after the other while somebody looks all the time."""
    looking = connect()
    ids = [new_id() for _ in range(8)]
    over = threading.Event()
    found: list[Reconciled] = []

    def look() -> None:
        while not over.is_set():
            read = read_markers(looking, *ids)
            found.extend(found_in(read, each) for each in ids)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    results = [host.session.fix(*host.fix_job(b"exit 4", execution_id=each)) for each in ids]
    over.set()
    thread.join(15)

    assert [result.ending for result in results] == [FixEnding.FINISHED] * len(ids)
    assert Reconciled.DIED not in found
    assert {found_in(read_markers(host, each), each) for each in ids} == {Reconciled.FINISHED}


def test_marker_of_a_killed_fix_is_dead(host: Host, new_id: NewId, connect: Callable[[], Host]) -> None:
    """One after the other is killed: while a process of the script is left it runs, and then it has died."""
    execution_id = new_id()
    script = b'sh -c "echo \\$\\$ >$D.child; exec sleep 600" & echo begun >"$D"; wait'

    with running_fix(host, connect(), execution_id, script) as results:
        child_file = host.machine.path(f"/tmp/did-{execution_id}.child")
        wait_until(lambda: child_file.exists() and child_file.read_text())
        keeper, leader = (recorded_pid(host, execution_id, name) for name in ("keeper", "script"))
        payload = os.getsid(keeper)
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not is_alive(keeper))
        without_keeper = read_markers(host, execution_id)
        # The script's shell goes with its leader, or ends by itself; its child stays.
        _kill(_members(leader) - {int(child_file.read_text())})
        wait_until(lambda: _members(leader) == {int(child_file.read_text())})
        only_child = read_markers(host, execution_id)
        os.kill(int(child_file.read_text()), signal.SIGKILL)
        wait_until(lambda: not _members(leader))
        nobody = read_markers(host, execution_id)
        _kill(_members(payload))

    assert results[0].ending is FixEnding.LOST
    assert not (host.markers / execution_id / "rc").exists()
    assert found_in(without_keeper, execution_id) is Reconciled.RUNNING
    assert found_in(only_child, execution_id) is Reconciled.RUNNING
    assert nobody.markers[execution_id] == Marker(state=MarkerState.STARTED, boot_id=BOOT_ID, is_alive=False)
    assert found_in(nobody, execution_id) is Reconciled.DIED


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

    assert found_in(read_markers(host, execution_id), execution_id) is Reconciled.DIED


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
        read = read_markers(host, execution_id)
    finally:
        during.unlink()

    assert read.markers[execution_id].exit_code == 5
    assert found_in(read, execution_id) is Reconciled.FINISHED


def _started_at(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]


def test_marker_names_living_processes_exactly(host: Host, new_id: NewId) -> None:
    """Number and start time, as /proc has them, make a process that lives; either of the two is enough."""
    ids = {name: new_id() for name in ("keeper", "script")}
    for name, execution_id in ids.items():
        host.session.fix(*host.fix_job(b":", execution_id=execution_id))
        (host.markers / execution_id / "rc").unlink()
        (host.markers / execution_id / name).write_text(f"{os.getppid()} {_started_at(os.getppid())}\n")

    read = read_markers(host, *ids.values())

    assert {found_in(read, each) for each in ids.values()} == {Reconciled.RUNNING}


def test_look_at_a_host_without_markers_makes_nothing(host: Host, new_id: NewId) -> None:
    """Where no fix ever ran, no directory is made, and everything else stays as it was."""
    kept = host.markers.with_name("remedy-kept")
    if host.markers.exists():
        host.markers.rename(kept)
    execution_id = new_id()
    around = host.markers.parent
    before = listing(around) if around.exists() else None
    try:
        read = read_markers(host, execution_id)
        after = listing(around) if around.exists() else None
    finally:
        if kept.exists():
            kept.rename(host.markers)

    assert after == before
    assert read.markers[execution_id] == Marker(state=MarkerState.ABSENT)


@pytest.mark.parametrize("kind", ["ssh-plain-user"], indirect=True)
def test_plain_users_marker_in_a_runtime_directory_is_found(host: Host, new_id: NewId, machine: Machine) -> None:
    """Where the login has a runtime directory, markers are found there, and at home just as well."""
    home, runtime = new_id(), new_id()
    host.session.fix(*host.fix_job(b"exit 1", execution_id=home))
    directory = machine.path("/run/user-4201/remedy")
    directory.mkdir(parents=True)
    copy_marker(host.markers / home, directory / runtime)
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
            read_markers(host, execution_id)
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
