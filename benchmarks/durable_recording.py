"""
`python -m benchmarks.durable_recording`: what durable evidence costs.

A run of so many executions is recorded as `apply` does it: the plan, and of each
execution its intent, its result and its outcome, in batches, in audit log and
ledger. Beside it, in the same rounds and on the same disk, a bare loop writes the
very same bytes and rows and decides nothing: canonical JSON, SHA-256, one
fdatasync and one SQLite transaction a batch. A second bare loop only writes the
log's lines and syncs them. docs/performance.md has the goal and a run.
"""

import argparse
import gc
import json
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from remedy.gate import LedgerFacts, LiveFacts, Request, decide
from remedy.limits import Limit
from remedy.model import Execution, Outcome, Risk, RuleLimits, Verdict
from remedy.outcomes import Ended
from remedy.port import Captured, FixEnding, FixResult, Permit
from remedy.run.evidence import Evidence, Wish
from remedy.state.audit import AuditLog
from remedy.state.audit_format import NO_HEAD
from remedy.state.ledger import Ledger
from remedy.state.ledger_schema import open_ledger
from remedy.summary import ExecutionEnd

__all__ = ["Recording", "main", "measure"]

_EXECUTIONS, _BATCH, _ROUNDS = 100_000, 64, 3
_GOAL = 1.5
_BUSY_FROM = 1.25
_RUN = "20261122T084500Z-1a2b"
_NOW = datetime(2026, 11, 22, 8, 45, tzinfo=UTC)
_AT = "2026-11-22T08:45:00.000000Z"
_SCRIPT = sha256(b"clean.sh").hexdigest()
_BOOT = "5ad1c0de-0000-4000-8000-00000000beef"
_SAID = "free_percent 3.25 -> 61.5"
_LIVE = LiveFacts(stopped="", frozen="", freezes=(), expired="", halted="", fuse="", disruptive_on_host=False)
_LIMITS = RuleLimits(cooldown_s=21_600, attempts=3, attempts_within_s=604_800, matched=Limit(count=10_000_000))
_STREAM = Captured(head=b"removed 12 files\n", tail=b"", size=17, sha256=sha256(b"removed 12 files\n").hexdigest())
_TABLES = ("runs", "executions", "intents")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """
    What was measured; times are medians over the rounds.

    `_s` is by the wall's clock, `_cpu_s` what the process used. `ratio` is of the
    wall's seconds, which the goal means; each ratio is the median of those of the
    rounds. `bare` makes the same bytes and rows, `write` only writes the same bytes.
    """

    executions: int
    batch: int
    records: int
    record_bytes: int
    recording_s: float
    recording_cpu_s: float
    bare_s: float
    bare_cpu_s: float
    write_s: float
    write_cpu_s: float
    ratio: float
    cpu_ratio: float
    write_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """The time of one work, by the wall's clock and by the process's."""

    wall_s: float
    cpu_s: float


def measure(executions: int = _EXECUTIONS, *, batch: int = _BATCH, rounds: int = _ROUNDS) -> Recording:
    """Measure; each round does all three works, one after the other, in directories of their own."""
    planned = _planned(executions)
    taken: list[tuple[_Taken, _Taken, _Taken]] = []
    size = 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="remedy-benchmark-") as made:
            of_round, size = _one_round(Path(made), planned, batch=batch)
        taken.append(of_round)
    records = 3 * executions + 3

    def median(number: int, of: Callable[[_Taken], float]) -> float:
        return statistics.median(of(each[number]) for each in taken)

    return Recording(
        executions=executions,
        batch=batch,
        records=records,
        record_bytes=size // records,
        recording_s=median(0, lambda each: each.wall_s),
        recording_cpu_s=median(0, lambda each: each.cpu_s),
        bare_s=median(1, lambda each: each.wall_s),
        bare_cpu_s=median(1, lambda each: each.cpu_s),
        write_s=median(2, lambda each: each.wall_s),
        write_cpu_s=median(2, lambda each: each.cpu_s),
        ratio=statistics.median(one.wall_s / other.wall_s for one, other, _ in taken),
        cpu_ratio=statistics.median(one.cpu_s / other.cpu_s for one, other, _ in taken),
        write_ratio=statistics.median(one.wall_s / other.wall_s for one, _, other in taken),
    )


def _one_round(
    directory: Path, planned: tuple[Execution, ...], *, batch: int
) -> tuple[tuple[_Taken, _Taken, _Taken], int]:
    """Return the times of all three works, and the bytes of the log."""
    recording = _time(lambda: record(directory / "recording", planned, batch=batch))
    bare = _time(lambda: record_bare(directory / "bare", planned, batch=batch))
    check_agreement(directory / "recording", directory / "bare")
    lines = _log(directory / "recording").read_bytes().splitlines(keepends=True)
    write = _time(lambda: _write_bare(directory / "write", lines, batch=batch))
    return (recording, bare, write), sum(map(len, lines))


def _time(work: Callable[[], object]) -> _Taken:
    gc.collect()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return _Taken(wall_s=time.perf_counter() - wall_s, cpu_s=time.process_time() - cpu_s)


def _log(directory: Path) -> Path:
    return directory / f"{_RUN}.jsonl"


# What is recorded.


def _planned(count: int) -> tuple[Execution, ...]:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Agreed:
    """What of a plan goes into the records of a run that keeps no sources."""

    executions: tuple[Execution, ...]
    digest: str = "d" * 64
    held: tuple[()] = ()
    endpoints: Mapping[str, str] = field(default_factory=dict)


def _wish(execution: Execution) -> Wish:
    request = Request(
        execution_id=execution.id,
        rule=execution.rule,
        host=execution.host,
        groups=(),
        key=execution.key,
        script_sha256=execution.script_sha256,
        risk=Risk.SAFE,
        limits=_LIMITS,
        windows=(),
        needed_s=315,
        is_protected=False,
        is_named=False,
        override=None,
        per_rule=None,
        all_rules=None,
        recheck=Verdict.MATCH,
        now=_NOW,
    )
    return Wish(execution=execution, request=request, boot_id=_BOOT, wave=1, decide=_decide)


def _decide(request: Request, facts: LedgerFacts) -> Any:
    return decide(request, facts, _LIVE)


def _batches(planned: Sequence[Execution], batch: int) -> Iterator[Sequence[Execution]]:
    return (planned[start : start + batch] for start in range(0, len(planned), batch))


# The recording itself.


def record(directory: Path, planned: tuple[Execution, ...], *, batch: int) -> None:
    """
    Record a run as `apply` does it, but for the threads: its batches are made here.

    Raises:
        AssertionError: something was not granted.
    """
    directory.mkdir()
    result = FixResult(ending=FixEnding.FINISHED, exit_code=0, stdout=_STREAM, stderr=_STREAM)
    ended = Ended(outcome=Outcome.FIXED, reason=_SAID)
    with (
        closing(Ledger.open(directory / "ledger.sqlite3")) as ledger,
        AuditLog.create(directory, _RUN, lambda: _NOW) as audit,
    ):
        evidence = Evidence(ledger, audit, run_id=_RUN, clock=lambda: _NOW)
        evidence.open(actor="alice", command="remedy apply", facts={})
        plan: Any = _Agreed(executions=planned, endpoints={each.host: f"u@{each.host}:22" for each in planned})
        evidence.begin(plan, actor="alice", command="remedy apply")
        for part in _batches(planned, batch):
            answers = evidence.admit_all([_wish(execution) for execution in part])
            assert all(isinstance(answer, Permit) for answer in answers)
            evidence.results((execution, result) for execution in part)
            evidence.outcomes(
                (ExecutionEnd(execution=execution, ended=ended, wave=1) for execution in part), started=True
            )
        evidence.end(0, counts={Outcome.FIXED: len(planned)})


# The bare loops.


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
                "run": _RUN,
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
    with closing(open_ledger(directory / "ledger.sqlite3")) as connection, closing(_BareLog(_log(directory))) as log:
        log.append("run.started", [{"actor": "alice", "command": "remedy apply"}], after=None)
        counts = {"plan_digest": "d" * 64, "executions": len(planned), "held": 0}
        log.append("plan.recorded", [counts])
        log.sync()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO runs (id, started_at, actor, command, plan_digest) VALUES (?, ?, 'alice', 'remedy apply', ?)",
            (_RUN, _AT, "d" * 64),
        )
        connection.executemany(
            "INSERT INTO executions (run_id, execution_id, position, rule, host, key) VALUES (?, ?, ?, ?, ?, ?)",
            ((_RUN, e.id, number, e.rule, e.host, _key(e)) for number, e in enumerate(planned)),
        )
        connection.execute("COMMIT")
        for part in _batches(planned, batch):
            _record_bare_batch(connection, log, part)
        log.append("run.ended", [{"exit_code": 0, "outcomes": {"fixed": len(planned)}}])
        log.sync()
        connection.execute("UPDATE runs SET ended_at = ?, exit_code = 0 WHERE id = ?", (_AT, _RUN))


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
            (e.script_sha256, _AT, e.timeout_s, _BOOT, _RUN, e.id, e.rule, e.host, _key(e)),
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
            "boot_id": _BOOT,
            "endpoint": f"u@{e.host}:22",
            "wave": 1,
        }
        for e in part
    ]
    log.append("execution.intent", intents)
    log.sync()
    connection.execute("COMMIT")
    stream = {"bytes": 17, "sha256": _STREAM.sha256}
    ended = {"ending": "finished", "exit_code": 0, "reason": "", "stdout": stream, "stderr": stream}
    log.append("execution.result", [{**common(e), **ended} for e in part])
    log.sync()
    connection.execute("BEGIN IMMEDIATE")
    for e in part:
        connection.execute(
            "UPDATE intents SET result_at = ?, ending = 'finished', exit_code = 0 WHERE execution_id = ?", (_AT, e.id)
        )
    connection.execute("COMMIT")
    outcome = {"outcome": "fixed", "skip": None, "reason": _SAID, "output_sha256": None}
    log.append("execution.outcome", [{**common(e), **outcome} for e in part])
    log.sync()
    connection.execute("BEGIN IMMEDIATE")
    for e in part:
        connection.execute(
            "UPDATE executions SET outcome_at = ?, outcome = 'fixed', reason = ? WHERE run_id = ? AND execution_id = ?",
            (_AT, _SAID, _RUN, e.id),
        )
    connection.execute("COMMIT")


def _write_bare(path: Path, lines: Sequence[bytes], *, batch: int) -> None:
    """Write the same lines, so many at once, and sync them."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    for start in range(0, len(lines), batch):
        os.write(descriptor, b"".join(lines[start : start + batch]))
        os.fdatasync(descriptor)
    os.close(descriptor)


def check_agreement(recorded: Path, bare: Path) -> None:
    """
    See that both made the same.

    Raises:
        AssertionError: the bare loop wrote other bytes or rows: comparing the two would mean nothing.
    """
    assert _log(recorded).read_bytes() == _log(bare).read_bytes()
    for table in _TABLES:
        assert _rows(recorded, table) == _rows(bare, table)


def _rows(directory: Path, table: str) -> list[Any]:
    with closing(sqlite3.connect(directory / "ledger.sqlite3")) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()


def _lines(found: Recording) -> list[str]:
    def goal(value: float) -> str:
        if (found.executions, found.batch) != (_EXECUTIONS, _BATCH):
            return ""
        return f"   goal: at most {_GOAL:g}, {'met' if value <= _GOAL else 'MISSED'}"

    return [
        f"{found.executions} executions: {found.records} records of {found.record_bytes} bytes, {found.batch} at once",
        f"recording        {found.recording_s:8.3f} s   (CPU {found.recording_cpu_s:.3f} s)",
        f"bare loop        {found.bare_s:8.3f} s   (CPU {found.bare_cpu_s:.3f} s): same bytes, same rows",
        f"write and sync   {found.write_s:8.3f} s   (CPU {found.write_cpu_s:.3f} s): same bytes",
        f"ratio            {found.ratio:8.2f}{goal(found.ratio)}",
        f"  of CPU seconds {found.cpu_ratio:8.2f}",
        f"  to write, sync {found.write_ratio:8.2f}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.durable_recording", description="What durable evidence costs."
    )
    parser.add_argument("--executions", type=int, default=_EXECUTIONS, help="how many (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=_BATCH, help="recorded at once (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="times are medians of these (default: %(default)s)")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="(default: %(default)s)")
    given = parser.parse_args(arguments)
    found = measure(given.executions, batch=given.batch, rounds=given.rounds)
    print(json.dumps(asdict(found)) if given.output == "json" else "\n".join(_lines(found)))


if __name__ == "__main__":
    main()
