"""
`python -m benchmarks.audit_verify`: how fast the audit log is checked.

A log of real records, one file per run, checked as `remedy audit verify` does it.
Beside it, in the same rounds, a bare loop over the same lines: json.loads,
json.dumps in canonical form, SHA-256, and nothing compared with anything. The
ratio of the two speeds means the same on every machine; docs/performance.md has
the goal and a run.
"""

import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from benchmarks.measuring import goal_text, make_parser, print_found, take
from remedy.state.audit import AuditLog, AuditType
from remedy.state.audit_verify import verify

__all__ = ["Checking", "check_bare", "main", "measure", "write_logs"]

_RECORDS, _RUNS, _ROUNDS = 100_000, 10, 7
_GOAL = 0.6
_BATCH = 64
_START = datetime(2026, 11, 22, 8, 45, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checking:
    """
    What was measured; `_cpu_s` are medians over the rounds of what the process used.

    `ratio` is the speed of the check as a share of the bare loop's: the median of
    the rounds' own ratios, since other work on the machine changes between rounds.
    """

    records: int
    record_bytes: float
    verify_cpu_s: float
    bare_cpu_s: float
    records_per_s: float
    ratio: float


def measure(records: int = _RECORDS, *, runs: int = _RUNS, rounds: int = _ROUNDS) -> Checking:
    """Write a log, and time both ways over it, one after the other in each round."""
    with tempfile.TemporaryDirectory(prefix="remedy-benchmark-") as folder:
        directory = Path(folder)
        written, size = write_logs(directory, records, runs=runs)
        report = verify(directory)
        assert report.intact
        assert sum(file.records for file in report.files) == written == check_bare(directory)
        taken = [
            (take(lambda: verify(directory)).cpu_s, take(lambda: check_bare(directory)).cpu_s) for _ in range(rounds)
        ]
    verify_s = statistics.median(of_verify for of_verify, _ in taken)
    return Checking(
        records=written,
        record_bytes=size / written,
        verify_cpu_s=verify_s,
        bare_cpu_s=statistics.median(of_bare for _, of_bare in taken),
        records_per_s=written / verify_s,
        ratio=statistics.median(of_bare / of_verify for of_verify, of_bare in taken),
    )


def check_bare(directory: Path) -> int:
    """Read, write and hash every record, compare nothing, and return how many there are."""
    count = 0
    for path in sorted(directory.glob("*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                record = json.loads(line)
                json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                sha256(line).hexdigest()
                count += 1
    return count


def write_logs(directory: Path, records: int, *, runs: int) -> tuple[int, int]:
    """Write the logs of runs with so many records in all, or a few more; return their number and bytes."""
    each = max(1, -(-(records - 2 * runs) // (3 * runs)))
    ticks = (_START + timedelta(milliseconds=number) for number in range(records * 10))
    for run in range(runs):
        log = AuditLog.create(directory, f"20261122T0845{run:02}Z-1a2b", lambda: next(ticks))
        log.append(AuditType.RUN_STARTED, {"actor": {"user": "alice", "uid": 1000}, "command": "remedy apply --yes"})
        for start in range(0, each, _BATCH):
            numbers = range(start, min(each, start + _BATCH))
            for kind in (AuditType.EXECUTION_INTENT, AuditType.EXECUTION_RESULT, AuditType.EXECUTION_OUTCOME):
                log.append_all((kind, _data(kind, number)) for number in numbers)
        log.append(AuditType.RUN_ENDED, {"exit_code": 0, "outcomes": {"fixed": each}})
        log.close()
    sizes = [path.stat().st_size for path in directory.glob("*.jsonl")]
    return runs * (3 * each + 2), sum(sizes)


def _data(kind: AuditType, number: int) -> dict[str, object]:
    digest = sha256(b"%d" % number).hexdigest()
    common = {"execution": digest[:16], "rule": "low-disk", "host": f"web-{number}", "key": {"mount": "/srv"}}
    match kind:
        case AuditType.EXECUTION_INTENT:
            row = {"mount": "/srv", "size_gib": 40, "free_gib": 1.5, "free_percent": number % 10 + 0.25}
            params = {"below_percent": 10, "below_gib": 20, "min_age_days": 7}
            facts = {
                "script": "clean.sh",
                "script_sha256": digest,
                "deadline_s": 300,
                "boot_id": digest[:32],
                "wave": 2,
            }
            return {**common, "row": row, "params": params, **facts}
        case AuditType.EXECUTION_RESULT:
            stream = {"bytes": 120 + number % 50, "sha256": digest}
            return {**common, "ending": "exited", "exit_code": 0, "reason": "", "stdout": stream, "stderr": stream}
        case _:
            said = "removed 12 files of /srv/cache, 3.2 GiB"
            return {**common, "outcome": "fixed", "skip": None, "reason": "free_percent = 61", "output": said}


def _lines(found: Checking) -> list[str]:
    goal = ""
    if found.records >= _RECORDS:
        goal = goal_text(f"at least {_GOAL:g}", is_met=found.ratio >= _GOAL)
    return [
        f"{found.records} records of {found.record_bytes:.0f} bytes",
        f"audit verify  {found.verify_cpu_s:8.3f} CPU s   ({found.records_per_s:.0f} records a second)",
        f"bare loop     {found.bare_cpu_s:8.3f} CPU s   (json.loads, json.dumps, SHA-256)",
        f"ratio         {found.ratio:8.2f} of the bare loop's speed{goal}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    counts = {
        "records": (_RECORDS, "how many records"),
        "runs": (_RUNS, "in how many files"),
        "rounds": (_ROUNDS, "times are medians of these"),
    }
    given = make_parser("audit_verify", description="Speed of audit verify.", counts=counts).parse_args(arguments)
    found = measure(given.records, runs=given.runs, rounds=given.rounds)
    print_found(asdict(found), lines=_lines(found), output=given.output)


if __name__ == "__main__":
    main()
