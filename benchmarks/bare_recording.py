"""
The run that is recorded to see what recording costs: its executions, and a bare loop that writes the same of them.

The loop makes the very bytes and rows of a real recording and decides nothing:
canonical JSON, SHA-256, one fdatasync and one SQLite transaction a batch.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from remedy.model import Execution
from remedy.port import Captured
from remedy.state.audit_format import NO_HEAD
from remedy.state.ledger_schema import open_ledger

__all__ = [
    "BOOT_ID",
    "NOW",
    "RUN",
    "SAID",
    "STREAM",
    "batches",
    "log_path",
    "plan_executions",
    "record_bare",
    "write_bare",
]

RUN = "20261122T084500Z-1a2b"
NOW = datetime(2026, 11, 22, 8, 45, tzinfo=UTC)
_AT = "2026-11-22T08:45:00.000000Z"
_SCRIPT = sha256(b"clean.sh").hexdigest()
BOOT_ID = "5ad1c0de-0000-4000-8000-00000000beef"
SAID = "free_percent 3.25 -> 61.5"
STREAM = Captured(head=b"removed 12 files\n", tail=b"", size=17, sha256=sha256(b"removed 12 files\n").hexdigest())


def plan_executions(count: int) -> tuple[Execution, ...]:
    """Return so many planned executions, of one rule on a host each."""
    return tuple(
        Execution(
            id=sha256(b"%d" % number).hexdigest()[:16],
            rule="low-disk",
            host=f"web-{number:06}.example.org",
            key=(("mount", "/srv"),),
            row={"mount": "/srv", "size_gib": 40.0, "free_gib": 1.5, "free_percent": 3.25},
            params={"below_percent": 10.0, "below_gib": 20.0, "min_age_days": 7.0},
            script="clean.sh",
            script_sha256=_SCRIPT,
            timeout_s=300,
            become_root=True,
        )
        for number in range(count)
    )


def log_path(directory: Path) -> Path:
    """Return where the log of the run is."""
    return directory / f"{RUN}.jsonl"


def batches(planned: Sequence[Execution], batch: int) -> Iterator[Sequence[Execution]]:
    """Return the executions in order, so many at once."""
    return (planned[start : start + batch] for start in range(0, len(planned), batch))


class _BareLog:
    """The file of the log: one canonical line a record, each with the hash of the one before."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._seq = 1
        self._prev = NO_HEAD

    def append(self, kind: str, parts: Sequence[dict[str, Any]], **first: Any) -> None:
        lines = []
        for data in parts:
            record = {
                "data": data,
                "prev": self._prev,
                "run": RUN,
                "seq": self._seq,
                "ts": _AT,
                "type": kind,
                "v": 1,
                **first,
            }
            line = json.dumps(
                record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
            ).encode()
            self._prev = sha256(line).hexdigest()
            self._seq += 1
            lines.append(line + b"\n")
        os.write(self._descriptor, b"".join(lines))

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def record_bare(directory: Path, planned: tuple[Execution, ...], *, batch: int) -> None:
    """Write the same bytes and rows, in the same batches, by a loop that knows nothing else."""
    directory.mkdir()
    with (
        closing(open_ledger(directory / "ledger.sqlite3")) as connection,
        closing(_BareLog(log_path(directory))) as log,
    ):
        log.append("run.started", [{"actor": "alice", "command": "remedy apply"}], after=None)
        counts = {"plan_digest": "d" * 64, "executions": len(planned), "held": 0}
        log.append("plan.recorded", [counts])
        log.sync()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO runs (id, started_at, actor, command, plan_digest) VALUES (?, ?, 'alice', 'remedy apply', ?)",
            (RUN, _AT, "d" * 64),
        )
        connection.executemany(
            "INSERT INTO executions (run_id, execution_id, position, rule, host, key) VALUES (?, ?, ?, ?, ?, ?)",
            ((RUN, e.id, number, e.rule, e.host, _key(e)) for number, e in enumerate(planned)),
        )
        connection.execute("COMMIT")
        for part in batches(planned, batch):
            _record_bare_batch(connection, log, part)
        log.append("run.ended", [{"exit_code": 0, "outcomes": {"fixed": len(planned)}}])
        log.sync()
        connection.execute("UPDATE runs SET ended_at = ?, exit_code = 0 WHERE id = ?", (_AT, RUN))


def _key(execution: Execution) -> str:
    return json.dumps(dict(execution.key), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _record_bare_batch(connection: sqlite3.Connection, log: _BareLog, part: Sequence[Execution]) -> None:
    def common(execution: Execution) -> dict[str, Any]:
        return {
            "execution": execution.id,
            "rule": execution.rule,
            "host": execution.host,
            "key": dict(execution.key),
        }

    connection.execute("BEGIN IMMEDIATE")
    for e in part:
        connection.execute(
            "INSERT INTO intents (script_sha256, at, deadline_s, boot_id, run_id, execution_id, rule, host, key)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (e.script_sha256, _AT, e.timeout_s, BOOT_ID, RUN, e.id, e.rule, e.host, _key(e)),
        )
    intents = [
        {
            **common(e),
            "row": {"mount": "/srv", "size_gib": 40, "free_gib": 1.5, "free_percent": 3.25},
            "params": {"below_percent": 10, "below_gib": 20, "min_age_days": 7},
            "script": e.script,
            "script_sha256": e.script_sha256,
            "deadline_s": e.timeout_s,
            "become_root": e.become_root,
            "boot_id": BOOT_ID,
            "endpoint": f"u@{e.host}:22",
            "wave": 1,
        }
        for e in part
    ]
    log.append("execution.intent", intents)
    log.sync()
    connection.execute("COMMIT")
    stream = {"bytes": 17, "sha256": STREAM.sha256}
    ended = {"ending": "finished", "exit_code": 0, "reason": "", "stdout": stream, "stderr": stream}
    log.append("execution.result", [{**common(e), **ended} for e in part])
    log.sync()
    connection.execute("BEGIN IMMEDIATE")
    for e in part:
        connection.execute(
            "UPDATE intents SET result_at = ?, ending = 'finished', exit_code = 0 WHERE execution_id = ?", (_AT, e.id)
        )
    connection.execute("COMMIT")
    outcome = {"outcome": "fixed", "skip": None, "reason": SAID, "output_sha256": None}
    log.append("execution.outcome", [{**common(e), **outcome} for e in part])
    log.sync()
    connection.execute("BEGIN IMMEDIATE")
    for e in part:
        connection.execute(
            "UPDATE executions SET outcome_at = ?, outcome = 'fixed', reason = ? WHERE run_id = ? AND execution_id = ?",
            (_AT, SAID, RUN, e.id),
        )
    connection.execute("COMMIT")


def write_bare(path: Path, lines: Sequence[bytes], *, batch: int) -> None:
    """Write the same lines, so many at once, and sync them."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    for start in range(0, len(lines), batch):
        os.write(descriptor, b"".join(lines[start : start + batch]))
        os.fdatasync(descriptor)
    os.close(descriptor)
