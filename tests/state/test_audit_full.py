"""A full disk: nothing new is started, and what is in flight is still recorded."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from remedy.errors import StateError
from remedy.state.audit import AuditLog, AuditType
from remedy.state.audit_verify import AuditStatus, verify
from remedy.state.disk import Disk
from remedy.state.reserve import Reserve
from tests.state.builders import ticking

REPOSITORY = Path(__file__).parents[2]
RESERVE = 16_384
INTENT, RESULT, OUTCOME = AuditType.EXECUTION_INTENT, AuditType.EXECUTION_RESULT, AuditType.EXECUTION_OUTCOME


class SmallDisk:
    """
    A disk with room for so many bytes, and for a reserve's when that is gone; every call can be made to fail.

    A write that finds too little room leaves what fits behind, as a full disk does.
    """

    def __init__(self, reserve: Path, *, room: int, fail_at: int = 0) -> None:
        self.calls = 0
        self._room = room
        self._reserve = reserve
        self._reserved = True
        self._fail_at = fail_at
        self.disk = Disk(write=self._write, fdatasync=self._sync, fsync=self._sync, ftruncate=self._ftruncate)

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self._fail_at:
            raise OSError(errno.EIO, "Input/output error")

    def _write(self, descriptor: int, data: bytes) -> int:
        self._count()
        if self._reserved and not self._reserve.exists():
            self._reserved = False
            self._room += RESERVE
        fits = min(self._room, len(data))
        self._room -= fits
        if fits:
            return os.write(descriptor, data[:fits])
        raise OSError(errno.ENOSPC, "No space left on device")

    def _sync(self, descriptor: int) -> None:
        self._count()

    def _ftruncate(self, descriptor: int, size: int) -> None:
        self._count()
        self._room += os.fstat(descriptor).st_size - size
        os.ftruncate(descriptor, size)


def carry_out(log: AuditLog) -> tuple[list[str], list[str]]:
    """Record a run of six executions in batches; return those whose intent was taken, and those refused."""
    taken: list[str] = []
    refused: list[str] = []
    log.append(AuditType.RUN_STARTED, {"actor": "alice"}, sync=True)
    for batch in (["a", "b"], ["c"], ["d", "e", "f"]):
        try:
            log.append_all([(INTENT, {"execution": name, "host": f"web-{name}"}) for name in batch], sync=True)
        except StateError:
            assert log.full, "the log broke"
            refused += batch
            continue
        taken += batch
        for kind in (RESULT, OUTCOME):
            for name in batch:
                log.append(kind, {"execution": name}, sync=True)
    log.append(AuditType.RUN_ENDED, {"exit_code": 0}, sync=True)
    log.close()
    return taken, refused


def records_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def opened(directory: Path, *, room: int, fail_at: int = 0) -> tuple[AuditLog, SmallDisk]:
    """Open a log with a reserve on a small disk, in a folder that is made anew."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    unsynced = Disk(fsync=lambda _descriptor: None)
    reserve = Reserve.create(directory.parent / "reserve", RESERVE, disk=unsynced)
    small = SmallDisk(reserve.path, room=room, fail_at=fail_at)
    return AuditLog.create(directory, "run-1", ticking(), disk=small.disk, reserve=reserve), small


def room_of_whole_run(directory: Path) -> int:
    """Return how many bytes a run takes that finds room for all of it."""
    log, _small = opened(directory, room=1_000_000)
    assert carry_out(log) == (list("abcdef"), [])
    return log.path.stat().st_size + (directory / "heads").stat().st_size


def test_disk_full_at_any_byte_loses_no_outcome(tmp_path):
    """
    At whichever byte the disk is full, each intent taken gets its result and outcome, and no later one is taken.

    The log verifies, names the moment once, and its head is recorded. Every seventh byte is tried.
    """
    directory = tmp_path / "audit"
    whole = room_of_whole_run(directory)
    filled = 0
    first = (directory / "run-1.jsonl").read_bytes().index(b"\n") + 1
    for room in range(first, whole + 1, 7):
        log, _small = opened(directory, room=room)
        taken, refused = carry_out(log)

        records = records_of(log.path)
        kinds = [record["type"] for record in records]
        by_kind = {
            kind: [each["data"]["execution"] for each in records if each["type"] == kind]
            for kind in (INTENT, RESULT, OUTCOME)
        }
        assert set(map(tuple, by_kind.values())) == {tuple(taken)}, room
        assert sorted(taken + refused) == list("abcdef")
        assert kinds.count("log.full") <= 1
        if "log.full" in kinds:
            filled += 1
            assert INTENT not in kinds[kinds.index("log.full") :]
        else:
            assert not refused
        assert log.full is ("log.full" in kinds)
        report = verify(directory)
        assert (report.findings, [file.status for file in report.files]) == ((), [AuditStatus.ENDED])
    assert filled > 250


def test_full_disk_before_the_first_record_starts_nothing(tmp_path):
    """A run whose first record finds no room is over: the reserve is not for that."""
    log, _small = opened(tmp_path / "audit", room=20)

    with pytest.raises(StateError, match="cannot be written: No space left"):
        log.append(AuditType.RUN_STARTED, {})
    assert (tmp_path / "reserve").exists()
    with pytest.raises(StateError, match="takes nothing more"):
        log.append(AuditType.RUN_STARTED, {})
    log.close()


def test_intent_on_a_full_disk_is_refused_with_its_cause(tmp_path):
    """The refusal says that the disk is full and nothing new is started, at the first intent and at every later one."""
    log, _small = opened(tmp_path / "audit", room=200)
    log.append(AuditType.RUN_STARTED, {})
    for _ in range(3):
        with pytest.raises(StateError, match="the disk is full; nothing new is started"):
            log.append(INTENT, {"execution": "a" * 200}, sync=True)

    assert log.full
    log.append(AuditType.RUN_ENDED, {})
    log.close()
    assert [record["type"] for record in records_of(log.path)] == ["run.started", "log.full", "run.ended"]


def test_batch_with_an_intent_is_refused_whole_on_a_full_disk(tmp_path):
    """No record of a batch that holds an intent is taken when the disk is full."""
    log, _small = opened(tmp_path / "audit", room=200)
    log.append(AuditType.RUN_STARTED, {})
    with pytest.raises(StateError, match="the disk is full"):
        log.append_all([(OUTCOME, {"execution": "a" * 200}), (INTENT, {})])
    log.close()

    assert [record["type"] for record in records_of(log.path)] == ["run.started", "log.full"]


def test_second_full_disk_breaks_the_log(tmp_path):
    """When the reserve is used up too, the log takes nothing more, and says why."""
    log, _small = opened(tmp_path / "audit", room=200)
    log.append(AuditType.RUN_STARTED, {})
    with pytest.raises(StateError, match="the disk is full"):
        log.append(INTENT, {"execution": "a" * 1_000})
    with pytest.raises(StateError, match="cannot be written: No space left"):
        log.append_all([(OUTCOME, {"execution": "a" * 1_000})] * 100)
    with pytest.raises(StateError, match="takes nothing more"):
        log.append(OUTCOME, {})
    log.close()

    assert log.full
    assert log.path.read_bytes().count(b'"type":"log.full"') == 1
    assert verify(tmp_path / "audit").intact


def test_full_disk_without_a_reserve_breaks_the_log(tmp_path):
    """Without a reserve nothing is tried again."""
    (tmp_path / "audit").mkdir()
    small = SmallDisk(tmp_path, room=200)
    log = AuditLog.create(tmp_path / "audit", "run-1", ticking(), disk=small.disk)
    log.append(AuditType.RUN_STARTED, {})

    with pytest.raises(StateError, match="cannot be written: No space left"):
        log.append(OUTCOME, {"execution": "a" * 1_000})
    with pytest.raises(StateError, match="takes nothing more"):
        log.append(OUTCOME, {})
    log.close()


@pytest.mark.parametrize("room", [320, 1_000_000])
def test_every_failing_call_breaks_the_log_and_loses_nothing_acknowledged(tmp_path, room):
    """
    Whichever call fails with another error, also while room is made, nothing is taken after it.

    What was acknowledged before it verifies, and no head is recorded for the rest.
    """
    directory = tmp_path / "audit"
    log, counting = opened(directory, room=room)
    carry_out(log)
    broken = 0
    for fail_at in range(2, counting.calls + 1):
        log, _small = opened(directory, room=room, fail_at=fail_at)
        with pytest.raises((StateError, AssertionError), match=r"Input/output error|the log broke"):
            carry_out(log)
        if log._descriptor is not None:
            broken += 1
            with pytest.raises(StateError, match="takes nothing more"):
                log.append(OUTCOME, {})
            log.close()
            assert (directory / "heads").read_bytes() == b""
        report = verify(directory)
        assert report.findings == ()
    assert broken >= counting.calls - 5


_ON_TMPFS = """
import json, sys
from pathlib import Path
from remedy.errors import StateError
from remedy.state.audit import AuditLog, AuditType
from remedy.state.audit_verify import verify
from remedy.state.reserve import Reserve
from tests.state.builders import ticking

top = Path(sys.argv[1])
(top / "audit").mkdir()
log = AuditLog.create(top / "audit", "run-1", ticking(), reserve=Reserve.create(top / "reserve", 262_144))
log.append(AuditType.RUN_STARTED, {})
taken = []
try:
    for number in range(100_000):
        log.append(AuditType.EXECUTION_INTENT, {"execution": f"{number:x}", "host": "web" * 20}, sync=True)
        taken.append(number)
except StateError as exc:
    refused = str(exc)
for number in taken[-300:]:
    log.append(AuditType.EXECUTION_OUTCOME, {"execution": f"{number:x}"}, sync=True)
log.append(AuditType.RUN_ENDED, {"exit_code": 5}, sync=True)
log.close()
report = verify(top / "audit")
(file,) = report.files
print(json.dumps({
    "refused": refused, "taken": len(taken), "records": file.records, "status": file.status,
    "findings": [str(each) for each in report.findings], "reserve": (top / "reserve").exists(),
}))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small file system")
def test_real_full_disk_records_what_is_in_flight(tmp_path):
    """On a file system of 1 MiB that is really full, 300 outcomes are recorded in the reserve, and the log verifies."""
    command = f"mount -t tmpfs -o size=1m none {tmp_path} && exec {sys.executable} -c '{_ON_TMPFS}' {tmp_path}"

    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    if "unshare" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip(f"no file system can be mounted here: {ended.stderr.strip()}")

    said = json.loads(ended.stdout)
    assert "the disk is full; nothing new is started" in said["refused"]
    assert said["taken"] > 1_000
    assert said["records"] == said["taken"] + 303
    assert (said["status"], said["findings"], said["reserve"]) == ("ended", [], False)
