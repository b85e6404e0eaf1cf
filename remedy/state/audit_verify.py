"""
The check of the audit log: every file's chain and form, and every recorded head.

What it finds: any change, deletion, insertion or exchange of records before a
recorded head, a cut file or a missing one whose head is recorded, records added
after the head, a file that follows a head nobody recorded, no recorded heads
beside files of runs that ended, a run that the ledger knows and that has no
file, or an empty one, and a head noted elsewhere that no record has.

What it cannot find, because the whole log is in its writer's power: a file of a
run that never recorded its head (it died, or runs), cut at a record's end; the
newest heads removed together with the files that follow them, where the ledger
does not know these runs; the whole log written anew. Only a head noted elsewhere
can show these.
"""

import fcntl
import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from remedy.state.audit_format import (
    HEADS_NAME,
    LINE_BYTES_MAX,
    NO_HEAD,
    AuditType,
    Head,
    Lines,
    line_hash,
    parse_head,
    parse_heads,
    parse_object,
)
from remedy.text import untrusted

__all__ = ["AuditFile", "AuditFinding", "AuditReport", "AuditStatus", "CheckedLog", "check_log", "verify"]

_FINDINGS_PER_FILE_MAX = 20
_MISSING_SHOWN_MAX = 20
_KEYS = frozenset({"data", "prev", "run", "seq", "ts", "type", "v"})
_KEYS_OF_FIRST = _KEYS | {"after"}
_TYPES = frozenset(kind.value for kind in AuditType)
_RUN_STARTED = AuditType.RUN_STARTED.value
_VERSION = 1


class AuditStatus(StrEnum):
    """
    What a run's file is, apart from findings.

    ended       it says run.ended, and its head is recorded
    closed      its head is recorded, but it does not say run.ended: it failed, or it died and a later run closed it
    running     a living process holds it
    unfinished  no head is recorded: the run died; its complete records were checked
    torn        as unfinished, and its last write was cut by the crash
    unreadable  it could not be read (this is a finding too)
    """

    ENDED = "ended"
    CLOSED = "closed"
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

    `proved` are the heads that were asked for and that a record has.
    `torn_heads_bytes` counts what a crash left of an unfinished line in `heads`.
    """

    files: tuple[AuditFile, ...]
    findings: tuple[AuditFinding, ...]
    proved: tuple[Head, ...] = ()
    torn_heads_bytes: int = 0

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def verify(directory: Path, known_runs: Collection[str] = (), *, noted: Collection[str] = ()) -> AuditReport:
    """
    Check every file of the audit log in a directory; no directory is an empty log.

    `known_runs` are the runs that the ledger knows, read before this is called: a
    run has its file, with a record in it, before the ledger knows it. `noted` are
    heads that were noted elsewhere: one that no record has is a finding.
    """
    findings: list[AuditFinding] = []
    placed, bad, torn = parse_heads(_read_heads(directory, findings))
    findings += [AuditFinding(file=HEADS_NAME, line=number, message=message) for number, message in bad]
    own: defaultdict[str, list[Head]] = defaultdict(list)
    for _number, head in placed:
        own[head.run].append(head)
    files: list[AuditFile] = []
    proved: list[Head] = []
    for path in sorted(directory.glob("*.jsonl")):
        checked = _check_path(path, own.get(path.stem, []), noted=frozenset(noted))
        files.append(checked.file)
        findings += checked.findings
        proved += checked.proved
    findings += _check_followed(directory, files)
    there = {file.run_id for file in files}
    for number, head in placed:
        if head.run not in there:
            message = f"the file {untrusted(head.run)}.jsonl is missing; its {head.seq} records are recorded here"
            findings.append(AuditFinding(file=HEADS_NAME, line=number, message=message))
    findings += _check_known(files, set(known_runs) - own.keys())
    findings += _check_noted(noted, proved)
    return AuditReport(files=tuple(files), findings=tuple(findings), proved=tuple(proved), torn_heads_bytes=len(torn))


def _check_noted(noted: Collection[str], proved: Sequence[Head]) -> list[AuditFinding]:
    """Return a finding for each head noted elsewhere that no record has."""
    there = {head.head for head in proved}
    message = (
        "no record has the head {}: since it was noted, its file was cut or written anew, or removed "
        "(or the head is of another state directory)"
    )
    return [
        AuditFinding(file="audit", line=0, message=message.format(head))
        for head in dict.fromkeys(noted)
        if head not in there
    ]


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


def _check_path(path: Path, own: Sequence[Head], *, noted: frozenset[str]) -> "CheckedLog":
    run_id = path.stem
    try:
        # O_NONBLOCK: a pipe of that name must not hang the check.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            # Asked before reading: a run that ends meanwhile counts as running.
            running = not _try_shared(file.fileno())
            return check_log(run_id, file, own=own, running=running, noted=noted)
    except OSError as exc:
        finding = AuditFinding(file=path.name, line=0, message=f"it cannot be read: {exc.strerror}")
        return CheckedLog(file=AuditFile(run_id=run_id, status=AuditStatus.UNREADABLE), findings=(finding,))


def _try_shared(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedLog:
    """What the check of one run's file came to; `proved` are the heads asked for that one of its records has."""

    file: AuditFile
    findings: tuple[AuditFinding, ...] = ()
    proved: tuple[Head, ...] = ()


def check_log(
    run_id: str, file: BinaryIO, *, own: Sequence[Head], running: bool, noted: Collection[str] = ()
) -> CheckedLog:
    """
    Check one run's file against its own recorded heads; whether `after` is known is not asked.

    It is read line by line: what is held does not grow with the file.

    Raises:
        OSError: it cannot be read.
    """
    chain = _Chain(run_id, wanted=frozenset(noted) | {head.head for head in own})
    lines = Lines(file)
    for line in lines:
        chain.check(line)
    if lines.tail_bytes and own:
        chain.say(chain.records + 1, "the last line is cut")
    for head in own:
        _check_head(head, chain)
    last_seq = max((head.seq for head in own), default=0)
    if own and not running and chain.records > last_seq:
        chain.say(last_seq + 1, "records follow the recorded head")
    says_ended = _says_ended(chain.last_line)
    if running:
        status = AuditStatus.RUNNING
    elif own:
        status = AuditStatus.ENDED if says_ended else AuditStatus.CLOSED
    else:
        status = AuditStatus.TORN if lines.tail_bytes else AuditStatus.UNFINISHED
    checked = AuditFile(
        run_id=run_id,
        status=status,
        records=chain.records,
        head=chain.head,
        after=chain.after,
        torn_bytes=lines.tail_bytes,
        says_ended=says_ended,
    )
    proved = tuple(
        Head(run=run_id, seq=seq, head=head) for head, seqs in chain.found.items() for seq in seqs if head in noted
    )
    return CheckedLog(file=checked, findings=chain.findings(), proved=proved)


def _says_ended(last_line: bytes) -> bool:
    """Say whether the last complete record is `run.ended`."""
    try:
        return parse_object(last_line).get("type") == AuditType.RUN_ENDED
    except ValueError:
        return False  # A finding of its own, or no record at all.


def _check_head(head: Head, chain: "_Chain") -> None:
    if not 1 <= head.seq <= chain.records:
        chain.say(chain.records, f"the file is cut: {chain.records} records are left of the recorded {head.seq}")
    elif head.seq not in chain.found.get(head.head, ()):
        chain.say(head.seq, f"the record is not the one of the recorded head {untrusted(head.head)}")


class _Chain:
    """The records of one file, checked one after the other; only what the check needs is kept of them."""

    def __init__(self, run_id: str, *, wanted: frozenset[str]) -> None:
        self.records = 0
        self.head = ""
        self.after: Head | None = None
        self.last_line = b""
        self.found: dict[str, list[int]] = {}
        self._run_id = run_id
        self._wanted = wanted
        self._seq_expected = 1
        self._said: list[AuditFinding] = []
        self._left_out = 0

    def check(self, line: bytes) -> None:
        """Check the next line of the file."""
        self.records += 1
        number = self.records
        try:
            record = _parse_record(line, self._run_id, first=number == 1)
            seq = record["seq"]
            if seq != self._seq_expected:
                self.say(number, f"it is record {seq}, and record {self._seq_expected} was to follow")
                self._seq_expected = seq
            if number == 1:
                self.after = _parse_after(record)
            elif record["prev"] != self.head:
                self.say(number, "it does not follow the line before: one of the two was changed")
        except ValueError as exc:
            self.say(number, str(exc))
        self._seq_expected += 1
        self.last_line = line
        self.head = line_hash(line)
        if self.head in self._wanted:
            self.found.setdefault(self.head, []).append(number)

    def say(self, line: int, message: str) -> None:
        """Add a finding; of more than a limit only the number is kept."""
        if len(self._said) <= _FINDINGS_PER_FILE_MAX:
            self._said.append(AuditFinding(file=f"{self._run_id}.jsonl", line=line, message=message))
        else:
            self._left_out += 1

    def findings(self) -> tuple[AuditFinding, ...]:
        """Return what was said, the last one being the number of what was left out."""
        if len(self._said) <= _FINDINGS_PER_FILE_MAX:
            return tuple(self._said)
        message = f"and {self._left_out + 1} findings more in this file"
        return (*self._said[:-1], replace(self._said[-1], message=message))


def _parse_record(line: bytes, run_id: str, *, first: bool) -> dict[str, Any]:
    if len(line) >= LINE_BYTES_MAX:
        raise ValueError(f"the line is longer than {LINE_BYTES_MAX} bytes")
    record = parse_object(line)
    if record.keys() != (_KEYS_OF_FIRST if first else _KEYS):
        raise ValueError("the line has not the fields of a record")
    if type(record["seq"]) is not int or type(record["data"]) is not dict:
        raise ValueError("the line has not the fields of a record")
    if type(record["v"]) is not int or record["v"] != _VERSION:
        raise ValueError(f"it has version {untrusted(str(record['v']))}, which this remedy does not know")
    if record["run"] != run_id:
        raise ValueError(f"it is of run {untrusted(str(record['run']))}")
    kind = record["type"]
    if type(kind) is not str or kind not in _TYPES:
        raise ValueError(f"it has the unknown type {untrusted(str(kind))}")
    if first is not (kind == _RUN_STARTED):
        raise ValueError(f"{_RUN_STARTED} is the first record, and only that")
    return record


def _parse_after(record: dict[str, Any]) -> Head | None:
    after = None if record["after"] is None else parse_head(record["after"])
    if record["prev"] != (NO_HEAD if after is None else after.head):
        raise ValueError("it follows another head than the one it names")
    return after
