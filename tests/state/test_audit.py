"""The audit log as it is written: form, order, durability, refusals."""

import json
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256

import pytest

from remedy.errors import StateError
from remedy.model import Outcome
from remedy.state.audit import AuditLog, AuditType
from remedy.state.audit_format import LINE_BYTES_MAX, NO_HEAD
from remedy.state.audit_verify import AuditStatus, verify
from tests.state.builders import NOW, FailingDisk, ticking


def started(directory, run_id="run-1", **arguments) -> AuditLog:
    log = AuditLog.create(directory, run_id, ticking(), **arguments)
    log.append(AuditType.RUN_STARTED, {"actor": "alice"})
    return log


def lines_of(log: AuditLog) -> list[bytes]:
    return log.path.read_bytes().split(b"\n")[:-1]


def test_records_are_canonical_and_chained(tmp_path):
    """Each line is canonical JSON with version, number, run, time, type, the hash of the line before, and data."""
    log = started(tmp_path)
    log.append(
        AuditType.EXECUTION_OUTCOME, {"b": 2.5, "a": Outcome.FIXED, "ä": [True, None, 3.0], "at": NOW}, sync=True
    )
    first, second = lines_of(log)

    assert json.loads(first)["after"] is None
    assert json.loads(first)["prev"] == NO_HEAD
    assert second.decode() == (
        '{"data":{"a":"fixed","at":"2026-11-22T08:45:00.000000Z","b":2.5,"ä":[true,null,3]},'
        f'"prev":"{sha256(first).hexdigest()}","run":"run-1","seq":2,'
        '"ts":"2026-11-22T08:45:00.001000Z","type":"execution.outcome","v":1}'
    )
    assert log.head == sha256(second).hexdigest()
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    log.close()


def test_host_text_is_stored_visible(tmp_path):
    """Control and bidi characters and half surrogates of a host are shown in the log, in names and in values."""
    log = started(tmp_path)
    log.append(AuditType.EXECUTION_RESULT, {"said": "\x1b[2J\n\u202ex", "\x07": ["\udc80"]})
    (_, line) = lines_of(log)
    log.close()

    assert json.loads(line)["data"] == {"said": "\\x1b[2J\\n\\u202ex", "\\x07": ["\\udc80"]}
    assert all(character.isprintable() for character in line.decode())


def test_first_record_names_the_newest_head(tmp_path):
    """A run's first record names the head that was newest when it was opened, and follows it."""
    first = started(tmp_path, "run-1")
    second = started(tmp_path, "run-2")
    first.close()
    third = started(tmp_path, "run-3")
    second.close()
    fourth = started(tmp_path, "run-4")
    records = [json.loads(lines_of(log)[0]) for log in (second, third, fourth)]
    third.close()
    fourth.close()

    assert [record["after"] and record["after"]["run"] for record in records] == [None, "run-1", "run-2"]
    assert records[1]["prev"] == records[1]["after"]["head"] == first.head
    report = verify(tmp_path)
    assert (report.findings, {each.status for each in report.files}) == ((), {AuditStatus.CLOSED})


def test_close_records_the_head_once(tmp_path):
    """Closing adds one line with run, number and hash to the heads; closing again adds none; appending fails."""
    log = started(tmp_path)
    log.append(AuditType.RUN_ENDED, {"exit_code": 0})
    log.close()
    log.close()

    expected = f'{{"head":"{log.head}","run":"run-1","seq":2}}\n'
    assert (tmp_path / "heads").read_text() == expected
    assert verify(tmp_path).files[0].status is AuditStatus.ENDED
    with pytest.raises(StateError, match="is closed"):
        log.append(AuditType.RUN_ENDED, {})


def test_log_without_records_records_no_head(tmp_path):
    """A run that dies before its first record leaves an empty file, which verifies as unfinished."""
    AuditLog.create(tmp_path, "run-1", ticking()).close()

    report = verify(tmp_path)
    assert (tmp_path / "heads").read_bytes() == b""
    assert [(each.status, each.records) for each in report.files] == [(AuditStatus.UNFINISHED, 0)]


def test_head_after_a_torn_line_of_heads_cuts_it(tmp_path):
    """What a crash left of an unfinished head is cut by the next one; the heads before it stay."""
    started(tmp_path, "run-1").close()
    with (tmp_path / "heads").open("ab") as file:
        file.write(b'{"head":"12')
    torn = verify(tmp_path)
    started(tmp_path, "run-2").close()

    assert (torn.findings, torn.torn_heads_bytes) == ((), 11)
    report = verify(tmp_path)
    assert (report.intact, report.torn_heads_bytes, len(report.files)) == (True, 0, 2)
    assert report.files[1].after.run == "run-1"


def test_create_refuses_a_run_that_has_a_file(tmp_path):
    """One run has one file for ever."""
    started(tmp_path).close()

    with pytest.raises(StateError, match="File exists; nothing was started"):
        AuditLog.create(tmp_path, "run-1", ticking())


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", "-x", "x\n", "x" * 200])
def test_create_refuses_what_is_no_run_id(tmp_path, run_id):
    """A run id cannot lead out of the folder."""
    with pytest.raises(StateError, match="is no run id"):
        AuditLog.create(tmp_path, run_id, ticking())


def test_create_in_a_missing_folder_is_an_error(tmp_path):
    """No folder, no log, nothing started."""
    with pytest.raises(StateError, match="nothing was started"):
        AuditLog.create(tmp_path / "gone", "run-1", ticking())


def test_first_record_is_run_started_and_only_that(tmp_path):
    """A log begins with run.started, which no other record may be; a refused record leaves no trace."""
    log = AuditLog.create(tmp_path, "run-1", ticking())

    with pytest.raises(StateError, match=r"run\.started is the first record"):
        log.append(AuditType.RUN_ENDED, {})
    log.append(AuditType.RUN_STARTED, {})
    with pytest.raises(StateError, match=r"run\.started is the first record"):
        log.append_all([(AuditType.STOP_SET, {}), (AuditType.RUN_STARTED, {})])
    assert len(lines_of(log)) == 1
    log.close()
    assert verify(tmp_path).intact


@pytest.mark.parametrize(
    "bad", [{"x": b"bytes"}, {"x": float("nan")}, {"x": NOW.replace(tzinfo=None)}, {"x": ["y" * 60_000, "z" * 6_000]}]
)
def test_record_that_cannot_be_stored_is_refused_whole(tmp_path, bad):
    """A record with bytes, NaN, a local time or more than 64 KiB is refused before a byte of its batch is written."""
    log = started(tmp_path)

    with pytest.raises(StateError, match="record 3"):
        log.append_all([(AuditType.STOP_SET, {}), (AuditType.STOP_SET, bad)])
    log.append(AuditType.RUN_ENDED, {})
    log.close()
    assert verify(tmp_path).files[0].records == 2
    assert verify(tmp_path).intact


def test_longest_record_fits(tmp_path):
    """A line may have 65,536 bytes with its newline, and not one more."""
    log = started(tmp_path)
    log.append(AuditType.STOP_SET, {"x": ""})
    # The time's text and the number have the same length in every record here.
    room = LINE_BYTES_MAX - len(lines_of(log)[1]) - 1
    log.append(AuditType.STOP_SET, {"x": "y" * room})

    with pytest.raises(StateError, match="longer than 65536"):
        log.append(AuditType.STOP_SET, {"x": "y" * (room + 1)})
    assert len(lines_of(log)[2]) == LINE_BYTES_MAX - 1
    log.close()
    assert verify(tmp_path).intact


def test_append_with_sync_is_durable_with_all_before_it(tmp_path):
    """On return of a synced append every byte up to it was synced; without sync none need be."""
    failing = FailingDisk()
    log = started(tmp_path, disk=failing.disk)
    inode = log.path.stat().st_ino
    before = failing.durable_size(inode)
    log.append(AuditType.EXECUTION_INTENT, {"execution": "a"}, sync=True)

    assert before == 0
    assert failing.durable_size(inode) == log.path.stat().st_size
    log.close()


@pytest.mark.parametrize("what", ["write", "sync"])
def test_failed_append_breaks_the_log_for_good(tmp_path, what):
    """After a failed write or sync nothing more is taken, no head is recorded, and the rest verifies as torn."""
    failing = FailingDisk()
    log = started(tmp_path, disk=failing.disk)
    failing.fail_at = failing.calls + (1 if what == "write" else 2)

    with pytest.raises(StateError, match=r"cannot be written: (No space left|Input/output error)"):
        log.append(AuditType.EXECUTION_INTENT, {"execution": "a"}, sync=True)
    with pytest.raises(StateError, match=r"failed before .* takes nothing more"):
        log.append(AuditType.RUN_ENDED, {})
    log.close()
    report = verify(tmp_path)
    expected = AuditStatus.TORN if what == "write" else AuditStatus.UNFINISHED
    assert (report.findings, report.files[0].status) == ((), expected)
    assert (tmp_path / "heads").read_bytes() == b""


def test_short_writes_are_continued(tmp_path):
    """A disk that takes a few bytes at a time gets the whole record."""
    log = started(tmp_path)
    log._disk = FailingDisk().disk.__class__(write=lambda descriptor, data: os.write(descriptor, data[:7]))
    log.append(AuditType.STOP_SET, {"reason": "because"}, sync=True)
    log.close()

    assert verify(tmp_path).files[0].records == 2
    assert verify(tmp_path).intact


def test_clock_going_back_breaks_nothing(tmp_path):
    """Times are recorded as the clock said; the order is the numbers'."""
    times = iter(NOW - timedelta(hours=number) for number in range(9))
    log = AuditLog.create(tmp_path, "run-1", lambda: next(times))
    for kind in (AuditType.RUN_STARTED, AuditType.STOP_SET, AuditType.RUN_ENDED):
        log.append(kind, {})
    log.close()

    assert verify(tmp_path).intact
    assert [json.loads(line)["ts"][11:13] for line in lines_of(log)] == ["08", "07", "06"]


def test_threads_share_a_log(tmp_path):
    """Records of many threads are one chain."""
    log = started(tmp_path)
    with ThreadPoolExecutor(max_workers=8) as threads:
        list(threads.map(lambda number: log.append(AuditType.EXECUTION_INTENT, {"n": number}, sync=True), range(200)))
    log.close()

    report = verify(tmp_path)
    assert (report.findings, report.files[0].records) == ((), 201)


def test_running_log_verifies_as_running(tmp_path):
    """A log that a living process holds is checked up to its last record, and called running."""
    log = started(tmp_path)

    report = verify(tmp_path)
    log.close()
    assert (report.findings, report.files[0].status) == ((), AuditStatus.RUNNING)


def test_every_type_has_its_line_in_the_catalogue():
    """The catalogue in the docstring lists every event type, in the order of the code, and nothing else."""
    catalogue = re.findall(r"^ *([a-z]+\.[a-z]+)  ", AuditType.__doc__, flags=re.MULTILINE)

    assert catalogue == [kind.value for kind in AuditType]
