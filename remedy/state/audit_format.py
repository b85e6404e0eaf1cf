"""
The form of the audit log: event types, the record's line, the line of a recorded head.

A run's file has one canonical JSON object a line: `v`, `seq` (from 1), `run`, `ts`
(UTC, microseconds; it may go back when the clock does), `type`, `prev`, `data`;
the first one has `after` besides. `prev` is the SHA-256 of the raw line before,
without its newline. In the first record it is the newest head of `audit/heads` at
opening, which `after` names with its run and record (null, and 64 zeros, when
there was none). Numbers are whole ones or short decimals, as values.py says.

A line of `audit/heads` is `{"head", "run", "seq"}`: the SHA-256 of the last line of
a run's file when the run ended.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, BinaryIO

from remedy.canonical import canonical_json
from remedy.state.values import utc_text, value_json
from remedy.text import untrusted

__all__ = [
    "HEADS_NAME",
    "LINE_BYTES_MAX",
    "NO_HEAD",
    "AuditType",
    "Head",
    "Lines",
    "Link",
    "first_link",
    "head_line",
    "line_hash",
    "parse_head",
    "parse_heads",
    "parse_object",
    "record_line",
    "records_of",
]

HEADS_NAME = "heads"
LINE_BYTES_MAX = 65_536
"""The longest line, its newline included; output of hosts is cut by whoever records it."""

NO_HEAD = "0" * 64
_VERSION = 1


class AuditType(StrEnum):
    """
    What a record is about; its `data` is its caller's, and is listed here.

    run.started           the first record: command, actor, controller, rules, inventory, versions
    plan.recorded         the plan's digest, and its executions and holds
    rollout.started       a rule's rollout: planned hosts, waves, resolved limits
    rollout.halted        why no further wave of it starts
    rollout.ended         counts of outcomes
    wave.started          number, and how many hosts it reaches
    wave.ended            number and counts of outcomes
    wave.read             after the soak: the fixed hosts that match again, or that could not be read
    execution.intent      rule, host, key, row, params, script digest, deadline: written before anything is sent
    execution.result      how the fix's run ended, exit code, sizes and digests of its output
    execution.outcome     the outcome and its reason, exactly once per execution
    execution.lost        an execution of another, dead run whose end was not seen
    execution.reconciled  what the host's marker says of an execution whose end was not seen
    hold.overridden       --override: rule, host, which hold, by whom, why
    breaker.opened        a rule's breaker, and why
    breaker.closed        by whom, and why
    fuse.accepted         --accept-matched: how many, by whom
    quarantine.released   rule, host, by whom, why
    stop.set              by whom, why
    stop.cleared          by whom
    pause.set             rule, group, host or all; until when, by whom, why
    pause.ended           the same; by whom, or that it expired
    run.resumed           a dead run that this run closed: its id, and how many executions it had left open
    log.recovered         the torn tail of a dead run's file, moved aside: file, bytes, sha256, last whole record, head
    log.full              the disk is full: the reserve was freed, and nothing new is started
    run.ended             the last record: exit code and counts
    """

    RUN_STARTED = "run.started"
    PLAN_RECORDED = "plan.recorded"
    ROLLOUT_STARTED = "rollout.started"
    ROLLOUT_HALTED = "rollout.halted"
    ROLLOUT_ENDED = "rollout.ended"
    WAVE_STARTED = "wave.started"
    WAVE_ENDED = "wave.ended"
    WAVE_READ = "wave.read"
    EXECUTION_INTENT = "execution.intent"
    EXECUTION_RESULT = "execution.result"
    EXECUTION_OUTCOME = "execution.outcome"
    EXECUTION_LOST = "execution.lost"
    EXECUTION_RECONCILED = "execution.reconciled"
    HOLD_OVERRIDDEN = "hold.overridden"
    BREAKER_OPENED = "breaker.opened"
    BREAKER_CLOSED = "breaker.closed"
    FUSE_ACCEPTED = "fuse.accepted"
    QUARANTINE_RELEASED = "quarantine.released"
    STOP_SET = "stop.set"
    STOP_CLEARED = "stop.cleared"
    PAUSE_SET = "pause.set"
    PAUSE_ENDED = "pause.ended"
    RUN_RESUMED = "run.resumed"
    LOG_RECOVERED = "log.recovered"
    LOG_FULL = "log.full"
    RUN_ENDED = "run.ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A recorded head: the run, its last record, and the SHA-256 of that record's line."""

    run: str
    seq: int
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where the next record of a file joins: its number, the hash before it, and (for the first) the head it names."""

    seq: int
    prev: str
    after: Head | None = None


def first_link(newest: Head | None) -> Link:
    """Return where the first record of a file joins."""
    return Link(seq=1, prev=newest.head if newest else NO_HEAD, after=newest)


def line_hash(line: bytes) -> str:
    """Return the SHA-256 of a raw line, without its newline, as 64 hex digits."""
    return sha256(line).hexdigest()


def record_line(link: Link, run_id: str, *, at: datetime, kind: AuditType, data: Mapping[str, Any]) -> bytes:
    """
    Return the line of a record, without its newline.

    Every text in `data` is made visible: a host's bytes may be in it, and the log
    is read with `cat`.

    Raises:
        TypeError: data holds what cannot be recorded.
        ValueError: a number in it is not finite, or the line is longer than LINE_BYTES_MAX.
    """
    record: dict[str, Any] = {
        "data": data,
        "prev": link.prev,
        "run": run_id,
        "seq": link.seq,
        "ts": utc_text(at),
        "type": kind.value,
        "v": _VERSION,
    }
    if link.seq == 1:
        record["after"] = asdict(link.after) if link.after else None
    line = value_json(record, text=untrusted).encode()
    if len(line) >= LINE_BYTES_MAX:
        raise ValueError(f"a record of {len(line)} bytes is longer than {LINE_BYTES_MAX}")
    return line


def head_line(head: Head) -> bytes:
    """Return the line of a recorded head, without its newline."""
    return value_json(asdict(head)).encode()


def parse_object(line: bytes) -> dict[str, Any]:
    """
    Return the object of a line in canonical form.

    Raises:
        ValueError: it is no JSON object, or not in canonical form.
    """
    try:
        text = line.decode()
        parsed = json.loads(text)
        again = canonical_json(parsed)
    except (ValueError, RecursionError) as exc:
        raise ValueError("the line is no record") from exc
    if not isinstance(parsed, dict):
        raise ValueError("the line is no record")
    if again != text:
        raise ValueError("the line is not in canonical form")
    return parsed


class Lines:
    """
    The complete lines of a file, each without its newline, read one by one.

    A line longer than LINE_BYTES_MAX is cut to one byte more, so that it is seen as
    too long and costs no memory. `tail_bytes` is known after the last one: what
    follows the last newline, the rest of a write that a crash cut.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tail_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        readline = self._file.readline
        while line := readline(LINE_BYTES_MAX + 1):
            if line.endswith(b"\n"):
                yield line[:-1]
                continue
            size, part = len(line), line
            while not part.endswith(b"\n") and (part := readline(LINE_BYTES_MAX)):
                size += len(part)
            if not part:
                self.tail_bytes = size
                return
            yield line


def records_of(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """
    Yield the complete records of a file, in their order; what a crash cut off its end is left out.

    Raises:
        OSError: it cannot be read.
        ValueError: a line is no record, or not in canonical form.
    """
    for line in Lines(file):
        yield parse_object(line)


def parse_heads(raw: bytes) -> tuple[list[tuple[int, Head]], list[tuple[int, str]], bytes]:
    """
    Return the heads of `audit/heads` with their line numbers, the bad lines with why, and a torn tail.

    The tail is what follows the last newline: the rest of a write that a crash cut.
    """
    *lines, tail = raw.split(b"\n")
    heads: list[tuple[int, Head]] = []
    bad: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        try:
            heads.append((number, parse_head(parse_object(line))))
        except ValueError as exc:
            bad.append((number, str(exc)))
    return heads, bad, tail


def parse_head(raw: Any) -> Head:
    """
    Return the head that an object of a log describes.

    Raises:
        ValueError: it describes none.
    """
    match raw:
        case {"head": str(head), "run": str(run), "seq": int(seq)} if len(raw) == 3 and not isinstance(seq, bool):
            return Head(run=run, seq=seq, head=head)
    raise ValueError("it names no head")
