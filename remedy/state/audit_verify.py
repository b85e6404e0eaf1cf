"""
The check of the audit log: every file's chain and form, and every recorded head.

What it finds: any change, deletion, insertion or exchange of records before a
recorded head, a cut file or a missing one whose head is recorded, records added
after the head, a file that follows a head nobody recorded, no recorded heads
beside files of runs that ended, and a run that the ledger knows and that has no
file, or an empty one.

What it cannot find, because the whole log is in its writer's power: a file of a
run that never recorded its head (it died, or runs), cut at a record's end; the
newest heads removed together with the files that follow them, where the ledger
does not know these runs; the whole log written anew. Only a head noted elsewhere
can show these.
"""

import fcntl
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from remedy.state.audit_format import (
    HEADS_NAME,
    LINE_BYTES_MAX,
    NO_HEAD,
    AuditType,
    Head,
    line_hash,
    parse_head,
    parse_heads,
    parse_object,
)
from remedy.text import untrusted

__all__ = ["AuditFile", "AuditFinding", "AuditReport", "AuditStatus", "check_log", "verify"]

_FINDINGS_PER_FILE_MAX = 20
_MISSING_SHOWN_MAX = 20
_KEYS = {"data", "prev", "run", "seq", "ts", "type", "v"}
_TYPES = frozenset(str(kind) for kind in AuditType)
_VERSION = 1


class AuditStatus(StrEnum):
    """
    What a run's file is, apart from findings.

    ended       its head is recorded
    running     a living process holds it
    unfinished  no head is recorded: the run died; its complete records were checked
    torn        as unfinished, and its last write was cut by the crash
    unreadable  it could not be read (this is a finding too)
    """

    ENDED = "ended"
    RUNNING = "running"
    UNFINISHED = "unfinished"
    TORN = "torn"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class AuditFinding:
    """Something that is wrong with the log: the file, the line (0: the file as a whole), and what."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFile:
    """
    One run's file: its status, its complete records, the hash of the last, the head it follows, a torn tail.

    Two files that follow one head are of runs that went on side by side.
    `says_ended` is whether the last complete record is `run.ended`, whatever the heads say.
    """

    run_id: str
    status: AuditStatus
    records: int = 0
    head: str = ""
    after: Head | None = None
    torn_bytes: int = 0
    says_ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """
    What a check of the whole log came to; it is intact when there are no findings.

    `torn_heads_bytes` counts what a crash left of an unfinished line in `heads`.
    """

    files: tuple[AuditFile, ...]
    findings: tuple[AuditFinding, ...]
    torn_heads_bytes: int = 0

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def verify(directory: Path, known_runs: Collection[str] = ()) -> AuditReport:
    """
    Check every file of the audit log in a directory; no directory is an empty log.

    `known_runs` are the runs that the ledger knows, read before this is called: a
    run has its file, with a record in it, before the ledger knows it.
    """
    findings: list[AuditFinding] = []
    placed, bad, torn = parse_heads(_read_heads(directory, findings))
    findings += [AuditFinding(file=HEADS_NAME, line=number, message=message) for number, message in bad]
    files: list[AuditFile] = []
    for path in sorted(directory.glob("*.jsonl")):
        file, found = _check_path(path, [head for _number, head in placed if head.run == path.stem])
        files.append(file)
        findings += found
    findings += _check_followed(directory, files)
    there = {file.run_id for file in files}
    for number, head in placed:
        if head.run not in there:
            message = f"the file {untrusted(head.run)}.jsonl is missing; its {head.seq} records are recorded here"
            findings.append(AuditFinding(file=HEADS_NAME, line=number, message=message))
    findings += _check_known(files, set(known_runs) - {head.run for _number, head in placed})
    return AuditReport(files=tuple(files), findings=tuple(findings), torn_heads_bytes=len(torn))


def _check_followed(directory: Path, files: Sequence[AuditFile]) -> list[AuditFinding]:
    """Return what is wrong between the files and the heads that they follow: one finding when all heads are gone."""
    # Read again: a run that began meanwhile may follow one that ended meanwhile.
    unreadable: list[AuditFinding] = []
    raw = _read_heads(directory, unreadable)
    if not raw and not unreadable:
        # It is there, and empty, before the first file is: also when the first run dies before its head is recorded.
        gone = "empty" if (directory / HEADS_NAME).exists() else "missing"
        if not any(file.after or (file.says_ended and gone == "missing") for file in files):
            return []
        message = f"audit/{HEADS_NAME} is {gone}, so a cut or removed file may go unseen; restore it from a backup"
        return [AuditFinding(file=HEADS_NAME, line=0, message=message)]
    known = {head for _number, head in parse_heads(raw)[0]}
    findings = []
    for file in files:
        if file.after is not None and file.after not in known:
            message = f"it follows record {file.after.seq} of run {untrusted(file.after.run)}, a head nobody recorded"
            findings.append(AuditFinding(file=f"{file.run_id}.jsonl", line=1, message=message))
    return findings


def _check_known(files: Sequence[AuditFile], known_runs: Collection[str]) -> list[AuditFinding]:
    """Return a finding for each run that the ledger knows and that left no record, up to a limit."""
    states = {file.run_id: file for file in files}
    findings = []
    for run_id in sorted(known_runs):
        file = states.get(run_id)
        if file is None or (file.records == 0 and file.status is not AuditStatus.UNREADABLE):
            what = "missing" if file is None else "empty"
            message = f"the file is {what}, though the ledger knows this run; restore it from a backup"
            findings.append(AuditFinding(file=f"{untrusted(run_id)}.jsonl", line=0, message=message))
    left_out = len(findings) - _MISSING_SHOWN_MAX
    if left_out <= 0:
        return findings
    more = AuditFinding(file="audit", line=0, message=f"the files of {left_out} runs more are missing or empty")
    return [*findings[:_MISSING_SHOWN_MAX], more]


def _read_heads(directory: Path, findings: list[AuditFinding]) -> bytes:
    """Return the bytes of the recorded heads; none when there are none, or they cannot be read (a finding)."""
    try:
        with (directory / HEADS_NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as exc:
        message = f"it cannot be read: {exc.strerror}"
        findings.append(AuditFinding(file=HEADS_NAME, line=0, message=message))
        return b""


def _check_path(path: Path, own: Sequence[Head]) -> tuple[AuditFile, tuple[AuditFinding, ...]]:
    run_id = path.stem
    try:
        # O_NONBLOCK: a pipe of that name must not hang the check.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            # Asked before reading: a run that ends meanwhile counts as running.
            running = not _try_shared(file.fileno())
            raw = file.read()
    except OSError as exc:
        finding = AuditFinding(file=path.name, line=0, message=f"it cannot be read: {exc.strerror}")
        return AuditFile(run_id=run_id, status=AuditStatus.UNREADABLE), (finding,)
    return check_log(run_id, raw, own=own, running=running)


def _try_shared(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BlockingIOError:
        return False
    return True


def check_log(
    run_id: str, raw: bytes, *, own: Sequence[Head], running: bool
) -> tuple[AuditFile, tuple[AuditFinding, ...]]:
    """Check the bytes of one run's file against its own recorded heads; whether `after` is known is not asked."""
    *lines, tail = raw.split(b"\n")
    problems: list[tuple[int, str]] = []
    hashes, after = _check_lines(run_id, lines, problems=problems)
    if tail and own:
        problems.append((len(lines) + 1, "the last line is cut"))
    for head in own:
        problems += _check_head(head, hashes)
    last_seq = max((head.seq for head in own), default=0)
    if own and not running and len(hashes) > last_seq:
        problems.append((last_seq + 1, "records follow the recorded head"))
    if running:
        status = AuditStatus.RUNNING
    elif own:
        status = AuditStatus.ENDED
    else:
        status = AuditStatus.TORN if tail else AuditStatus.UNFINISHED
    file = AuditFile(
        run_id=run_id,
        status=status,
        records=len(hashes),
        head=hashes[-1] if hashes else "",
        after=after,
        torn_bytes=len(tail),
        says_ended=_says_ended(lines),
    )
    name = f"{run_id}.jsonl"
    return file, _capped([AuditFinding(file=name, line=line, message=message) for line, message in problems])


def _says_ended(lines: Sequence[bytes]) -> bool:
    """Say whether the last complete record is `run.ended`."""
    try:
        return bool(lines) and parse_object(lines[-1]).get("type") == AuditType.RUN_ENDED
    except ValueError:
        return False  # A finding of its own.


def _capped(found: list[AuditFinding]) -> tuple[AuditFinding, ...]:
    if len(found) <= _FINDINGS_PER_FILE_MAX:
        return tuple(found)
    left_out = len(found) - _FINDINGS_PER_FILE_MAX
    last = replace(found[_FINDINGS_PER_FILE_MAX], message=f"and {left_out} findings more in this file")
    return (*found[:_FINDINGS_PER_FILE_MAX], last)


def _check_head(head: Head, hashes: Sequence[str]) -> list[tuple[int, str]]:
    if not 1 <= head.seq <= len(hashes):
        return [(len(hashes), f"the file is cut: {len(hashes)} records are left of the recorded {head.seq}")]
    if hashes[head.seq - 1] != head.head:
        return [(head.seq, f"the record is not the one of the recorded head {untrusted(head.head)}")]
    return []


def _check_lines(
    run_id: str, lines: Sequence[bytes], *, problems: list[tuple[int, str]]
) -> tuple[list[str], Head | None]:
    """Check every line, add what is wrong to problems; return each line's hash, and the head that the file follows."""
    hashes: list[str] = []
    after: Head | None = None
    seq_expected = 1
    for number, line in enumerate(lines, 1):
        try:
            record = _parse_record(line, run_id, first=number == 1)
            if record["seq"] != seq_expected:
                problems.append((number, f"it is record {record['seq']}, and record {seq_expected} was to follow"))
            if number == 1:
                after = _parse_after(record)
            elif record["prev"] != hashes[-1]:
                problems.append((number, "it does not follow the line before: one of the two was changed"))
            seq_expected = record["seq"]
        except ValueError as exc:
            problems.append((number, str(exc)))
        hashes.append(line_hash(line))
        seq_expected += 1
    return hashes, after


def _parse_record(line: bytes, run_id: str, *, first: bool) -> dict[str, Any]:
    if len(line) >= LINE_BYTES_MAX:
        raise ValueError(f"the line is longer than {LINE_BYTES_MAX} bytes")
    record = parse_object(line)
    if record.keys() != (_KEYS | {"after"} if first else _KEYS):
        raise ValueError("the line has not the fields of a record")
    if type(record["seq"]) is not int or not isinstance(record["data"], dict):
        raise ValueError("the line has not the fields of a record")
    if record["v"] != _VERSION:
        raise ValueError(f"it has version {untrusted(str(record['v']))}, which this remedy does not know")
    if record["run"] != run_id:
        raise ValueError(f"it is of run {untrusted(str(record['run']))}")
    if str(record["type"]) not in _TYPES:
        raise ValueError(f"it has the unknown type {untrusted(str(record['type']))}")
    if first is not (record["type"] == AuditType.RUN_STARTED):
        raise ValueError(f"{AuditType.RUN_STARTED} is the first record, and only that")
    return record


def _parse_after(record: dict[str, Any]) -> Head | None:
    after = None if record["after"] is None else parse_head(record["after"])
    if record["prev"] != (NO_HEAD if after is None else after.head):
        raise ValueError("it follows another head than the one it names")
    return after
