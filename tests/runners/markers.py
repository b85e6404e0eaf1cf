"""Markers as the tests look at them: read over a session, listed, copied, and of a fix that runs meanwhile."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from remedy.port import FixResult, MarkersRead
from remedy.reconciling import Reconciled, reconciled
from tests.behaviour.waiting import wait_until
from tests.runners.machines import Host

NONCE = "0123456789abcdef" * 2
BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def read_markers(host: Host, *execution_ids: str) -> MarkersRead:
    """Read the markers of these executions as a run does."""
    return host.session.read_markers(execution_ids, become_root=host.become_root)


def found_in(read: MarkersRead, execution_id: str, *, intent: str | None = BOOT_ID) -> Reconciled:
    """What it all comes to, for an intent that is a minute old on a host that is older."""
    marker = read.markers[execution_id]
    return reconciled(intent_boot_id=intent, read=replace(read, up_s=3_600), marker=marker, age_s=60).found


def listing(directory: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything below a directory that a look could change; access times aside."""
    found = {}
    for path in sorted([directory, *directory.rglob("*")]):
        status = path.lstat()
        text = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_ctime_ns, text)
    return found


@contextmanager
def running_fix(host: Host, other: Host, execution_id: str, script: bytes) -> Iterator[list[FixResult]]:
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


def recorded_pid(host: Host, execution_id: str, name: str) -> int:
    """Return the id of a process of a fix, as its marker has it."""
    return int((host.markers / execution_id / name).read_text().split()[0])


def copy_marker(marker: Path, other: Path) -> None:
    """Copy a marker, owner included."""
    shutil.copytree(marker, other)
    for path in (other, *other.iterdir()):
        os.chown(path, marker.stat().st_uid, marker.stat().st_gid)
