"""
`python -m benchmarks.durable_recording`: what durable evidence costs.

A run of so many executions is recorded as `apply` does it: the plan, and of each
execution its intent, its result and its outcome, in batches, in audit log and
ledger. Beside it, in the same rounds and on the same disk, a bare loop writes the
very same bytes and rows and decides nothing: canonical JSON, SHA-256, one
fdatasync and one SQLite transaction a batch. A second bare loop only writes the
log's lines and syncs them. docs/performance.md has the goal and a run.
"""

import sqlite3
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bare_recording import (
    BOOT_ID,
    NOW,
    RUN,
    SAID,
    STREAM,
    batches,
    log_path,
    plan_executions,
    record_bare,
    write_bare,
)
from benchmarks.measuring import Taken, goal_text, make_parser, median_of, print_found, take
from remedy.gate import LedgerFacts, LiveFacts, Request, decide
from remedy.limits import Limit
from remedy.model import Execution, Outcome, Risk, RuleLimits, Verdict
from remedy.outcomes import Ended
from remedy.port import FixEnding, FixResult, Permit
from remedy.run.evidence import Evidence, Wish
from remedy.state.audit import AuditLog
from remedy.state.ledger import Ledger
from remedy.summary import ExecutionEnd

__all__ = ["Recording", "main", "measure"]

_EXECUTIONS, _BATCH, _ROUNDS = 100_000, 64, 3
_GOAL = 1.5
_LIVE = LiveFacts(stopped="", frozen="", freezes=(), expired="", halted="", fuse="", disruptive_on_host=False)
_LIMITS = RuleLimits(cooldown_s=21_600, attempts=3, attempts_within_s=604_800, matched=Limit(count=10_000_000))
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


def measure(executions: int = _EXECUTIONS, *, batch: int = _BATCH, rounds: int = _ROUNDS) -> Recording:
    """Measure; each round does all three works, one after the other, in directories of their own."""
    planned = plan_executions(executions)
    taken: list[tuple[Taken, Taken, Taken]] = []
    size = 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="remedy-benchmark-") as made:
            of_round, size = _one_round(Path(made), planned, batch=batch)
        taken.append(of_round)
    records = 3 * executions + 3
    recording, bare, write = (median_of(times) for times in zip(*taken, strict=True))
    return Recording(
        executions=executions,
        batch=batch,
        records=records,
        record_bytes=size // records,
        recording_s=recording.wall_s,
        recording_cpu_s=recording.cpu_s,
        bare_s=bare.wall_s,
        bare_cpu_s=bare.cpu_s,
        write_s=write.wall_s,
        write_cpu_s=write.cpu_s,
        ratio=statistics.median(one.wall_s / other.wall_s for one, other, _ in taken),
        cpu_ratio=statistics.median(one.cpu_s / other.cpu_s for one, other, _ in taken),
        write_ratio=statistics.median(one.wall_s / other.wall_s for one, _, other in taken),
    )


def _one_round(
    directory: Path, planned: tuple[Execution, ...], *, batch: int
) -> tuple[tuple[Taken, Taken, Taken], int]:
    """Return the times of all three works, and the bytes of the log."""
    recording = take(lambda: record(directory / "recording", planned, batch=batch))
    bare = take(lambda: record_bare(directory / "bare", planned, batch=batch))
    check_agreement(directory / "recording", directory / "bare")
    lines = log_path(directory / "recording").read_bytes().splitlines(keepends=True)
    write = take(lambda: write_bare(directory / "write", lines, batch=batch))
    return (recording, bare, write), sum(map(len, lines))


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
        now=NOW,
    )
    return Wish(execution=execution, request=request, boot_id=BOOT_ID, wave=1, decide=_decide)


def _decide(request: Request, facts: LedgerFacts) -> Any:
    return decide(request, facts, _LIVE)


def record(directory: Path, planned: tuple[Execution, ...], *, batch: int) -> None:
    """
    Record a run as `apply` does it, but for the threads: its batches are made here.

    Raises:
        AssertionError: something was not granted.
    """
    directory.mkdir()
    result = FixResult(ending=FixEnding.FINISHED, exit_code=0, stdout=STREAM, stderr=STREAM)
    ended = Ended(outcome=Outcome.FIXED, reason=SAID)
    with (
        closing(Ledger.open(directory / "ledger.sqlite3")) as ledger,
        AuditLog.create(directory, RUN, lambda: NOW) as audit,
    ):
        evidence = Evidence(ledger, audit, run_id=RUN, clock=lambda: NOW)
        evidence.open(actor="alice", command="remedy apply", facts={})
        plan: Any = _Agreed(executions=planned, endpoints={each.host: f"u@{each.host}:22" for each in planned})
        evidence.begin(plan, actor="alice", command="remedy apply")
        for part in batches(planned, batch):
            answers = evidence.admit_all([_wish(execution) for execution in part])
            assert all(isinstance(answer, Permit) for answer in answers)
            evidence.results((execution, result) for execution in part)
            evidence.outcomes(
                (ExecutionEnd(execution=execution, ended=ended, wave=1) for execution in part), started=True
            )
        evidence.end(0, counts={Outcome.FIXED: len(planned)})


def check_agreement(recorded: Path, bare: Path) -> None:
    """
    See that both made the same.

    Raises:
        AssertionError: the bare loop wrote other bytes or rows: comparing the two would mean nothing.
    """
    assert log_path(recorded).read_bytes() == log_path(bare).read_bytes()
    for table in _TABLES:
        assert _rows(recorded, table) == _rows(bare, table)


def _rows(directory: Path, table: str) -> list[Any]:
    with closing(sqlite3.connect(directory / "ledger.sqlite3")) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()


def _lines(found: Recording) -> list[str]:
    def goal(value: float) -> str:
        if (found.executions, found.batch) != (_EXECUTIONS, _BATCH):
            return ""
        return goal_text(f"at most {_GOAL:g}", is_met=value <= _GOAL)

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
    counts = {
        "executions": (_EXECUTIONS, "how many"),
        "batch": (_BATCH, "recorded at once"),
        "rounds": (_ROUNDS, "times are medians of these"),
    }
    parser = make_parser("durable_recording", description="What durable evidence costs.", counts=counts)
    given = parser.parse_args(arguments)
    found = measure(given.executions, batch=given.batch, rounds=given.rounds)
    print_found(asdict(found), lines=_lines(found), output=given.output)


if __name__ == "__main__":
    main()
