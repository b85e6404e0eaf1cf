"""The check of the audit log finds what was done to it, and names the place."""

import io
import random
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.state.audit import AuditLog, AuditType
from remedy.state.audit_format import LINE_BYTES_MAX, Head, Lines, Link, head_line, record_line
from remedy.state.audit_verify import AuditStatus, check_log, verify
from tests.state.audit_logs import found_in, heads_of, write_log
from tests.state.builders import ticking


def test_flipped_bit_at_every_offset_is_found_and_named(tmp_path):
    """
    In a log of 40 records a flipped bit at any offset is found.

    The first finding is at its line, or, where that is a record still, at the next one, which does not follow it.
    """
    log = write_log(tmp_path, records=40)
    heads = heads_of(tmp_path)
    raw = log.path.read_bytes()
    bits = random.Random(7)
    line = 1
    assert found_in(raw, heads) == []

    for offset, byte in enumerate(raw):
        changed = bytearray(raw)
        changed[offset] ^= 1 << bits.randrange(8)
        found = found_in(bytes(changed), heads)
        assert found, f"offset {offset}"
        assert found[0] in (line, min(line + 1, 40)), f"offset {offset} in line {line}, found in {found}"
        line += byte == 0x0A


def test_flipped_bits_of_a_small_log_and_its_heads_are_found(tmp_path):
    """
    A flipped bit at any offset of two small files, and any bit of the heads, makes the whole check fail, or is said.

    Said is that of the last newline of the heads: the head before it is torn then.
    """
    AuditLog.create(tmp_path, "run-0", ticking()).close()
    log = AuditLog.create(tmp_path, "run-1", ticking())
    log.append(AuditType.RUN_STARTED, {})
    log.close()
    write_log(tmp_path, "run-2", records=2)
    assert verify(tmp_path).intact

    for path in sorted(tmp_path.iterdir()):
        raw = path.read_bytes()
        for offset in range(len(raw)):
            for bit in range(8) if path.name == "heads" else (offset % 8,):
                changed = bytearray(raw)
                changed[offset] ^= 1 << bit
                path.write_bytes(changed)
                report = verify(tmp_path)
                said = report.torn_heads_bytes and path.name == "heads" and offset == len(raw) - 1
                assert not report.intact or said, f"{path.name}: offset {offset}, bit {bit}"
        path.write_bytes(raw)
    assert verify(tmp_path).intact


@pytest.mark.parametrize("what", ["delete", "insert", "swap", "double", "cut"])
def test_changed_order_of_every_record_is_found_and_named(tmp_path, what):
    """
    Each of 200 records deleted, inserted after, swapped with the next, doubled, or cut from there on, is found.

    The first finding names the file, and the first line that is not as it was; of a cut the last that is left.
    """
    path = write_log(tmp_path, records=200).path
    lines = path.read_bytes().split(b"\n")[:-1]
    said = {
        "delete": "was to follow",
        "insert": "was to follow",
        "swap": "was to follow",
        "double": "was to follow",
        "cut": "the file is cut: ",
    }[what]

    for at in range(len(lines) - (what == "swap")):
        match what:
            case "delete":
                changed, line = lines[:at] + lines[at + 1 :], at + 1
            case "insert":
                changed, line = [*lines[: at + 1], lines[at // 2], *lines[at + 1 :]], at + 2
            case "swap":
                changed, line = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]], at + 1
            case "double":
                changed, line = [*lines[: at + 1], *lines[at:]], at + 2
            case _:
                changed, line = lines[:at], at
        if what == "delete" and at == len(lines) - 1:
            said, line = "the file is cut: 199 records are left of the recorded 200", at
        path.write_bytes(b"".join(each + b"\n" for each in changed))
        first = verify(tmp_path).findings[0]
        assert (first.file, first.line) == ("run-1.jsonl", line), f"{what} at {at + 1}"
        assert said in first.message or first.message.startswith(("run.started is the first", "the line has not the"))


def test_cut_inside_a_record_of_an_ended_run_is_found(tmp_path):
    """A file whose head is recorded may be cut nowhere, not even by its last newline."""
    log = write_log(tmp_path)
    heads = heads_of(tmp_path)
    raw = log.path.read_bytes()

    assert all(found_in(raw[:length], heads) for length in range(len(raw)))


def test_recomputed_chain_is_found_by_the_recorded_head(tmp_path):
    """A file written anew with correct hashes differs from its recorded head."""
    log = write_log(tmp_path)
    heads = heads_of(tmp_path)
    log.path.unlink()
    (tmp_path / "heads").unlink()
    other = AuditLog.create(tmp_path, "run-1", ticking())
    other.append(AuditType.RUN_STARTED, {"actor": "mallory"})
    for _ in range(5):
        other.append(AuditType.EXECUTION_OUTCOME, {})
    other.close()
    (tmp_path / "heads").write_bytes(head_line(heads[0]) + b"\n")

    report = verify(tmp_path)

    assert [str(finding) for finding in report.findings] == [
        f"run-1.jsonl:6: the record is not the one of the recorded head {heads[0].head}"
    ]


def test_records_after_the_head_are_found(tmp_path):
    """Records added, with a correct chain, after the run ended are found."""
    log = write_log(tmp_path)
    with log.path.open("ab") as file:
        link = Link(seq=7, prev=log.head)
        file.write(record_line(link, "run-1", at=ticking()(), kind=AuditType.STOP_SET, data={}) + b"\n")

    assert [str(finding) for finding in verify(tmp_path).findings] == [
        "run-1.jsonl:7: records follow the recorded head"
    ]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda line: line.replace(b'"v":1', b'"v": 1'), "the line is not in canonical form"),
        (lambda line: line.replace(b'"data":{}', b'"data":{},"data":{}'), "the line is not in canonical form"),
        (lambda line: line.replace(b'"seq":7', b'"seq":8'), "it is record 8, and record 7 was to follow"),
        (lambda line: line.replace(b'"v":1', b'"v":2'), "it has version 2, which this remedy does not know"),
        (lambda line: line.replace(b'"v":1', b'"v":true'), "it has version True, which this remedy does not know"),
        (lambda line: line.replace(b"run-1", b"run-9"), "it is of run run-9"),
        (lambda line: line.replace(b"stop.set", b"stop.sat"), "it has the unknown type stop.sat"),
        (lambda line: line.replace(b"stop.set", b"run.started"), "run.started is the first record, and only that"),
    ],
)
def test_odd_record_that_follows_correctly_is_found(tmp_path, spoil, said):
    """A last record of an unfinished file that has the right hash before it is still checked for all the rest."""
    log = write_log(tmp_path)
    (tmp_path / "heads").unlink()
    good = record_line(Link(seq=7, prev=log.head), "run-1", at=ticking()(), kind=AuditType.STOP_SET, data={})
    before = log.path.read_bytes()
    log.path.write_bytes(before + good + b"\n")
    intact = verify(tmp_path).intact
    log.path.write_bytes(before + spoil(good) + b"\n")

    assert intact
    assert [str(finding) for finding in verify(tmp_path).findings] == [f"run-1.jsonl:7: {said}"]


def test_first_record_that_follows_another_head_than_it_names_is_found(tmp_path):
    """The first record's `prev` is the head that `after` names, or zeros when it names none."""
    log = AuditLog.create(tmp_path, "run-1", ticking())
    log.append(AuditType.RUN_STARTED, {})
    log.close()
    (tmp_path / "heads").unlink()
    raw = log.path.read_bytes()
    log.path.write_bytes(raw.replace(b'"prev":"0', b'"prev":"1'))

    (finding,) = verify(tmp_path).findings
    assert str(finding) == "run-1.jsonl:1: it follows another head than the one it names"


def test_record_that_is_too_long_is_found(tmp_path):
    """A line of more than 64 KiB is a finding, though it is a record and follows correctly."""
    log = write_log(tmp_path)
    (tmp_path / "heads").unlink()
    good = record_line(Link(seq=7, prev=log.head), "run-1", at=ticking()(), kind=AuditType.STOP_SET, data={"x": ""})
    with log.path.open("ab") as file:
        file.write(good.replace(b'"x":""', b'"x":"%s"' % (b"y" * 65_536)) + b"\n")

    (finding,) = verify(tmp_path).findings
    assert str(finding) == "run-1.jsonl:7: the line is longer than 65536 bytes"


def test_missing_file_of_a_recorded_head_is_found(tmp_path):
    """A file whose head is recorded may not be missing."""
    write_log(tmp_path, "run-1")
    write_log(tmp_path, "run-2").path.unlink()

    assert [str(finding) for finding in verify(tmp_path).findings] == [
        "heads:2: the file run-2.jsonl is missing; its 6 records are recorded here"
    ]


def test_removed_head_is_found_by_the_file_that_follows_it(tmp_path):
    """A head that a later run followed cannot be taken out of the heads, and so its file cannot be cut."""
    for run_id in ("run-1", "run-2", "run-3"):
        write_log(tmp_path, run_id)
    lines = (tmp_path / "heads").read_bytes().splitlines(keepends=True)
    (tmp_path / "heads").write_bytes(lines[0] + lines[2])

    report = verify(tmp_path)

    message = "run-3.jsonl:1: it follows record 6 of run run-2, a head nobody recorded"
    assert [str(finding) for finding in report.findings] == [message]


def test_exchanged_files_are_found(tmp_path):
    """Two files that change their names are both found."""
    write_log(tmp_path, "run-1")
    write_log(tmp_path, "run-2")
    (tmp_path / "run-1.jsonl").rename(tmp_path / "x")
    (tmp_path / "run-2.jsonl").rename(tmp_path / "run-1.jsonl")
    (tmp_path / "x").rename(tmp_path / "run-2.jsonl")

    assert {finding.file for finding in verify(tmp_path).findings} == {"run-1.jsonl", "run-2.jsonl"}


@pytest.mark.parametrize("tail", [0, 1, 40])
def test_torn_tail_without_a_head_is_tolerated_and_said(tmp_path, tail):
    """A run that died in the middle of a write leaves complete records, which verify, and a tail, which is counted."""
    log = AuditLog.create(tmp_path, "run-1", ticking())
    log.append(AuditType.RUN_STARTED, {})
    log.append(AuditType.EXECUTION_INTENT, {"execution": "a" * 99})
    log._broken = "killed"
    log.close()
    raw = log.path.read_bytes()
    whole = raw.index(b"\n") + 1
    log.path.write_bytes(raw[: whole + tail])

    report = verify(tmp_path)

    (file,) = report.files
    assert report.intact
    assert (file.records, file.torn_bytes) == (1, tail)
    assert file.status is (AuditStatus.TORN if tail else AuditStatus.UNFINISHED)


def test_change_in_an_unfinished_file_is_found(tmp_path):
    """A file without a recorded head is checked as well: its chain must hold."""
    log = write_log(tmp_path)
    (tmp_path / "heads").write_bytes(b"")
    raw = log.path.read_bytes()
    log.path.write_bytes(raw.replace(b"alice", b"malic"))

    (finding,) = verify(tmp_path).findings
    assert str(finding) == "run-1.jsonl:2: it does not follow the line before: one of the two was changed"


def test_forks_of_parallel_runs_are_allowed_and_shown(tmp_path):
    """Two runs side by side follow the same head; the report says which head each file follows."""
    write_log(tmp_path, "run-1")
    logs = [AuditLog.create(tmp_path, run_id, ticking()) for run_id in ("run-2", "run-3")]
    for log in logs:
        log.append(AuditType.RUN_STARTED, {})
    for log in logs:
        log.close()

    report = verify(tmp_path)

    assert report.intact
    assert [each.after and each.after.run for each in report.files] == [None, "run-1", "run-1"]


def test_unreadable_files_are_findings(tmp_path):
    """A directory in a file's place (or in that of the heads) is a finding, not a crash and not an empty log."""
    (tmp_path / "run-1.jsonl").mkdir()
    (tmp_path / "heads").mkdir()

    report = verify(tmp_path)

    assert [(finding.file, finding.line) for finding in report.findings] == [("heads", 0), ("run-1.jsonl", 0)]
    assert report.files[0].status is AuditStatus.UNREADABLE


def test_empty_log_is_intact(tmp_path):
    """No directory and no files are an empty log."""
    assert verify(tmp_path / "gone").intact
    assert verify(tmp_path).files == ()


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 60_000,
        b"{}",
        b"[]",
        b"\xff",
        b"",
        b"NaN",
        b'{"a":1,"a":1}',
        b"x" * 70_000,
        b'{"data":{},"prev":"","run":"run-1","seq":true,"ts":"","type":"stop.set","v":1}',
        b'{"data":{},"prev":"","run":"run-1","seq":"7","ts":"","type":"stop.set","v":1}',
        b'{"data":{},"prev":"","run":"run-1","seq":7,"ts":"","type":["x"],"v":1}',
        b'{"data":{},"prev":"","run":{},"seq":7,"ts":"","type":"stop.set","v":{}}',
    ],
)
def test_rubbish_lines_are_findings(tmp_path, line):
    """Lines that are no records, however odd, are findings at their place, in files and in the heads."""
    log = write_log(tmp_path)
    log.path.write_bytes(log.path.read_bytes() + line + b"\n")
    with (tmp_path / "heads").open("ab") as file:
        file.write(line + b"\n")

    places = {(finding.file, finding.line) for finding in verify(tmp_path).findings}

    assert {("run-1.jsonl", 7), ("heads", 2)} <= places


def test_many_findings_of_one_file_are_capped(tmp_path):
    """A file that is all wrong gives twenty findings and the number of the others."""
    log = write_log(tmp_path, records=60)
    log.path.write_bytes(b"rubbish\n" * 60)

    findings = verify(tmp_path).findings

    assert len(findings) == 21
    assert findings[-1].message == "and 41 findings more in this file"


@given(st.binary(max_size=300))
def test_check_never_fails_on_any_bytes(raw):
    """Any bytes in a file give findings, never an exception; only nothing, or a tail without a head, is no finding."""
    head = Head(run="run-1", seq=1, head="0" * 64)
    without_head = check_log("run-1", io.BytesIO(raw), own=[], running=False)
    with_head = check_log("run-1", io.BytesIO(raw), own=[head], running=False)

    assert with_head.findings
    assert bool(without_head.findings) is (b"\n" in raw)
    assert without_head.file.torn_bytes == len(raw) - raw.rfind(b"\n") - 1


def test_copied_log_verifies_elsewhere(tmp_path):
    """A log is checked where it lies: an auditor's copy verifies as the original does."""
    (tmp_path / "a").mkdir()
    write_log(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")

    assert verify(tmp_path / "b") == verify(tmp_path / "a")


def test_lines_without_an_end_cost_no_memory():
    """Of a line that is too long only its beginning is held; the lines after it are read as they are."""
    long = b"x" * (3 * LINE_BYTES_MAX + 5)
    lines = Lines(io.BytesIO(b"a\n" + long + b"\n\nb\n" + long))

    assert [line[:3] + b"%d" % len(line) for line in lines] == [b"a1", b"xxx%d" % (LINE_BYTES_MAX + 1), b"0", b"b1"]
    assert lines.tail_bytes == len(long)


@given(st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=8), st.binary(max_size=40))
def test_lines_are_those_between_newlines(parts, tail):
    """Read one by one, the lines and the tail are what a split at the newlines gives."""
    tail = tail.replace(b"\n", b"")
    lines = Lines(io.BytesIO(b"".join(part + b"\n" for part in parts) + tail))

    assert list(lines) == parts
    assert lines.tail_bytes == len(tail)
