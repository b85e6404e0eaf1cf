"""The file of a dead run is closed: its torn tail moved aside, its head recorded, nothing lost and nothing invented."""

import errno
import json
import os
import stat
from hashlib import sha256

import pytest

from remedy.errors import LockHeld, StateError
from remedy.state.audit import AuditLog, AuditType
from remedy.state.audit_recover import recover
from remedy.state.audit_verify import AuditStatus, verify
from remedy.state.disk import Disk
from tests.state.builders import ticking


def dead_log(directory, run_id="run-1", *, records=4):
    """Write the log of a run that died before it closed it."""
    log = AuditLog.create(directory, run_id, ticking())
    log.append(AuditType.RUN_STARTED, {"actor": "alice"})
    for number in range(records - 1):
        log.append(AuditType.EXECUTION_INTENT, {"execution": f"{number:x}", "host": "web-ü"})
    log._broken = "killed"
    log.close()
    return log


def everything_in(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("newline_too", [False, True])
def test_file_cut_at_every_byte_is_recovered(tmp_path, newline_too):
    """
    Wherever the last record of four is cut, the tail lies in a file of its own and the file verifies as closed.

    Of a file that ends with a whole record only the head is recorded.
    """
    log = dead_log(tmp_path)
    raw = log.path.read_bytes()
    whole = raw.rindex(b"\n", 0, -1) + 1
    for length in [len(raw)] if newline_too else range(whole, len(raw)):
        for path in tmp_path.glob("run-1.torn*"):
            path.unlink()
        log.path.write_bytes(raw[:length])
        (tmp_path / "heads").write_bytes(b"")
        done = recover(tmp_path, "run-1")

        end = length if newline_too else whole
        tail = raw[end:length]
        assert log.path.read_bytes() == raw[:end]
        assert (done.torn_bytes, done.record) == (len(tail), 4 if newline_too else 3)
        assert done.torn_file == ("run-1.torn" if tail else "")
        assert done.torn_sha256 == (sha256(tail).hexdigest() if tail else "")
        if tail:
            torn = tmp_path / "run-1.torn"
            assert (torn.read_bytes(), stat.S_IMODE(torn.stat().st_mode)) == (tail, 0o600)
        report = verify(tmp_path)
        assert (report.findings, [file.status for file in report.files]) == ((), [AuditStatus.CLOSED])
        assert json.loads((tmp_path / "heads").read_bytes())["head"] == done.head == report.files[0].head


def test_recovered_file_cannot_be_cut_any_more(tmp_path):
    """Once its head is recorded, a dead run's file may be cut nowhere."""
    log = dead_log(tmp_path)
    recover(tmp_path, "run-1")
    raw = log.path.read_bytes()
    log.path.write_bytes(b"".join(raw.splitlines(keepends=True)[:-1]))

    (finding,) = verify(tmp_path).findings
    assert str(finding) == "run-1.jsonl:3: the file is cut: 3 records are left of the recorded 4"


def test_recovery_is_done_once(tmp_path):
    """Done again, and to a run that ended by itself, it changes nothing and says so."""
    log = dead_log(tmp_path)
    with log.path.open("ab") as file:
        file.write(b'{"data":')
    first = recover(tmp_path, "run-1")
    before = everything_in(tmp_path)

    assert first is not None
    assert recover(tmp_path, "run-1") is None
    assert everything_in(tmp_path) == before


def test_recovery_cut_short_at_every_call_is_completed_by_the_next(tmp_path):
    """Whichever call of a recovery fails, the next one gives the same file, one torn file, one head and the facts."""
    tail = b'{"data":{"execution":"ff'

    def torn_log(directory):
        directory.mkdir()
        log = dead_log(directory)
        with log.path.open("ab") as file:
            file.write(tail)
        return log

    class CountedDisk:
        def __init__(self, fail_at):
            self.calls, self.fail_at = 0, fail_at
            self.disk = Disk(
                **{
                    name: self.counted(call)
                    for name, call in {"write": os.write, "fsync": os.fsync, "ftruncate": os.ftruncate}.items()
                }
            )

        def counted(self, call):
            def counted_call(*arguments):
                self.calls += 1
                if self.calls == self.fail_at:
                    if call is os.write:
                        os.write(arguments[0], arguments[1][:5])
                    raise OSError(errno.EIO, "Input/output error")
                return call(*arguments)

            return counted_call

    torn_log(tmp_path / "good")
    counting = CountedDisk(0)
    good = recover(tmp_path / "good", "run-1", disk=counting.disk)
    assert counting.calls == 8

    for fail_at in range(1, counting.calls + 1):
        directory = tmp_path / str(fail_at)
        torn_log(directory)
        with pytest.raises(StateError, match="cannot be recovered: Input/output error"):
            recover(directory, "run-1", disk=CountedDisk(fail_at).disk)
        # No bytes are lost on the way: they are in the file until they are durable elsewhere.
        held = everything_in(directory)
        assert tail in (held["run-1.jsonl"][-len(tail) :], held.get("run-1.torn"))
        again = recover(directory, "run-1")
        assert verify(directory).findings == ()
        assert [file.status for file in verify(directory).files] == [AuditStatus.CLOSED]
        names = sorted(path.name for path in directory.glob("*.torn*"))
        if again is None:
            # Only the sync of the head failed, and its line is there.
            assert fail_at == counting.calls - 1 or fail_at == counting.calls
        else:
            assert (again.torn_bytes, again.torn_sha256) == (good.torn_bytes, good.torn_sha256)
            assert (directory / again.torn_file).read_bytes() == tail
            assert (again.record, again.head) == (good.record, good.head)
        # A half copy is kept beside the whole one.
        assert names == (["run-1.torn", "run-1.torn.2"] if fail_at == 1 else ["run-1.torn"])


def test_torn_tails_are_never_written_over(tmp_path):
    """Another tail of the same run gets another number."""
    log = dead_log(tmp_path)
    (tmp_path / "run-1.torn").write_bytes(b"older")
    (tmp_path / "run-1.torn.2").write_bytes(b"old")
    with log.path.open("ab") as file:
        file.write(b"new")
    done = recover(tmp_path, "run-1")

    assert done.torn_file == "run-1.torn.3"
    assert [(tmp_path / f"run-1.torn{n}").read_bytes() for n in ("", ".2", ".3")] == [b"older", b"old", b"new"]


def test_living_run_is_not_touched(tmp_path):
    """While a process holds the file, nothing is done to it."""
    log = AuditLog.create(tmp_path, "run-1", ticking())
    log.append(AuditType.RUN_STARTED, {})
    os.write(log._descriptor, b"half a rec")
    before = everything_in(tmp_path)

    with pytest.raises(LockHeld, match=r"run-1\.jsonl is held by a living process; nothing in it was touched"):
        recover(tmp_path, "run-1")
    assert everything_in(tmp_path) == before
    log.close()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda raw: raw + b"{}\n", "5: the line has not the fields of a record"),
        (lambda raw: raw + b"\0" * 9 + b"\n", "5: the line is no record"),
        (lambda raw: raw[:-9] + b"\n", "4: the line is no record"),
        (lambda raw: raw.replace(b"alice", b"malic"), "2: it does not follow the line before"),
        (lambda raw: raw.replace(b"alice", b"malic") + b"torn", "2: it does not follow the line before"),
        (lambda raw: b"".join(raw.splitlines(keepends=True)[1:]), "1: "),
    ],
)
def test_changed_file_is_refused_and_not_touched(tmp_path, spoil, said):
    """A complete line that is wrong, or a broken chain, is not what a crash leaves: it is named and left as it is."""
    log = dead_log(tmp_path)
    log.path.write_bytes(spoil(log.path.read_bytes()))
    before = everything_in(tmp_path)

    with pytest.raises(StateError, match=rf"not only cut by a crash: run-1\.jsonl:{said}.* nothing in it was touched"):
        recover(tmp_path, "run-1")
    assert everything_in(tmp_path) == before


def test_closed_file_that_was_cut_or_continued_is_refused(tmp_path):
    """A tail after a recorded head, or records missing before it, are not of a crash."""
    log = dead_log(tmp_path)
    recover(tmp_path, "run-1")
    raw = log.path.read_bytes()
    for changed in (raw + b"x", raw[:-5], raw + raw.splitlines(keepends=True)[-1]):
        log.path.write_bytes(changed)
        with pytest.raises(StateError, match="not only cut by a crash"):
            recover(tmp_path, "run-1")
        assert log.path.read_bytes() == changed


def test_run_that_died_in_its_first_record_has_no_head(tmp_path):
    """A file that is only a tail is emptied into its torn file; an empty file is left alone."""
    log = dead_log(tmp_path, records=1)
    raw = log.path.read_bytes()
    log.path.write_bytes(raw[:-1])
    done = recover(tmp_path, "run-1")

    assert (done.record, done.head, done.torn_bytes) == (0, "", len(raw) - 1)
    assert (log.path.read_bytes(), (tmp_path / "heads").read_bytes()) == (b"", b"")
    assert recover(tmp_path, "run-1") is None
    assert verify(tmp_path).intact


def test_missing_file_and_missing_heads_are_errors(tmp_path):
    """A file that was taken away is named, and so are the heads: they are not made anew."""
    dead_log(tmp_path)
    with pytest.raises(StateError, match=r"run-2\.jsonl is missing"):
        recover(tmp_path, "run-2")
    (tmp_path / "heads").unlink()
    with pytest.raises(StateError, match="heads is missing; nothing was touched"):
        recover(tmp_path, "run-1")

    assert [path.name for path in tmp_path.iterdir()] == ["run-1.jsonl"]


def test_recovery_is_recorded_in_the_run_that_did_it(tmp_path):
    """What was done fits into that run's `log.recovered`, and the next run follows the newest head."""
    log = dead_log(tmp_path)
    with log.path.open("ab") as file:
        file.write(b"half")
    second = AuditLog.create(tmp_path, "run-2", ticking())
    second.append(AuditType.RUN_STARTED, {})
    second.append(AuditType.LOG_RECOVERED, recover(tmp_path, "run-1").facts())
    second.append(AuditType.RUN_ENDED, {})
    second.close()
    said = json.loads(second.path.read_bytes().splitlines()[1])["data"]

    assert verify(tmp_path).intact
    assert said == {
        "of_run": "run-1",
        "file": "run-1.torn",
        "bytes": 4,
        "sha256": sha256(b"half").hexdigest(),
        "record": 4,
        "head": verify(tmp_path).files[0].head,
    }


def test_check_of_a_log_does_not_make_a_dead_run_look_alive(tmp_path):
    """A check that looks at the lock meanwhile is waited out."""
    import fcntl
    import threading

    log = dead_log(tmp_path)
    with log.path.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        done = recover(tmp_path, "run-1")

    assert done.record == 4
