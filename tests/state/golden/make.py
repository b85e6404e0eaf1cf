"""
Makes a golden ledger: `python tests/state/golden/make.py FILE [--of COMMIT]`.

A release's ledger is made by that release's own code, and never made again: what
users have on their disks does not change either. With `--of` the code of that
commit is unpacked aside and runs this script; without, the code of this checkout.

    python tests/state/golden/make.py tests/state/golden/ledger-v1.sqlite3 --of 609a767
    python tests/state/golden/make.py tests/state/golden/ledger-v2.sqlite3

When the ledger gets a new version: make its file, and say in
tests/state/test_ledger_golden.py what is in it that the others have not.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from datetime import timedelta
from io import BytesIO
from pathlib import Path

TOP = Path(__file__).parents[3]


def fill(path: Path) -> None:
    """Write the history that all golden ledgers share, and then what only this version can hold."""
    from remedy.model import Outcome
    from remedy.port import FixEnding
    from remedy.state.ledger import Ledger
    from tests.state.builders import NOW, always, asked, execution, run_row, unsynced

    def at(minutes):
        return NOW + timedelta(minutes=minutes)

    ledger = Ledger.open(path)
    started = [each for each in Outcome if each not in {Outcome.SKIPPED, Outcome.UNREACHABLE}]
    ends = {outcome: execution(f"one-{outcome.value}", host=f"host-{outcome.value}") for outcome in Outcome}
    ledger.begin_run(run_row("run-1"), [*ends.values(), execution("one-pending", host="host-pending")])
    ledger.admit([asked(ends[outcome]) for outcome in started], decide=always, sync_intents=unsynced)
    for outcome in started:
        match outcome:
            case Outcome.LOST:
                pass
            case Outcome.REFUSED:
                ledger.record_result(ends[outcome].id, at(1), FixEnding.REFUSED, None)
            case Outcome.FAILED:
                ledger.record_result(ends[outcome].id, at(1), FixEnding.FINISHED, 7)
            case _:
                ledger.record_result(ends[outcome].id, at(1), FixEnding.FINISHED, 0)
    for outcome, planned in ends.items():
        ledger.record_outcome(planned.id, at(2), outcome, f"because {outcome.value}", run_id="run-1")
    ledger.open_breaker("low-disk", "run-1", at(3), "2 bad hosts")
    ledger.end_run("run-1", at(4), 3)

    # Released once: the first attempt is forgotten, the second is not; and a clock that went back.
    twice = [execution(f"two-{number}", host="host-twice") for number in (1, 2)]
    for number, planned in enumerate(twice, start=2):
        run_id = f"run-{number}"
        when = at(60 - 90 * (number - 2))
        ledger.begin_run(run_row(run_id, at=when), [planned])
        ledger.admit([asked(planned, run_id=run_id, at=when)], decide=always, sync_intents=unsynced)
        ledger.record_outcome(planned.id, when, Outcome.NOT_FIXED, run_id=run_id)
        ledger.end_run(run_id, when, 3)
        if number == 2:
            ledger.release("low-disk", "host-twice", when, "disk was swapped", "alice")
    ledger.open_breaker("low-inodes", "run-3", at(61), "3 bad hosts")
    ledger.release("low-inodes", None, at(62), "script repaired", "alice")

    # A run that died.
    left = [execution(f"four-{what}", host=f"host-{what}", rule="low-inodes") for what in ("open", "result", "never")]
    ledger.begin_run(run_row("run-4", at=at(70)), left)
    for planned in left[:2]:
        ledger.admit([asked(planned, run_id="run-4", at=at(70))], decide=always, sync_intents=unsynced)
    ledger.record_result("four-result", at(71), FixEnding.TIMED_OUT, None)
    if hasattr(ledger, "pause"):
        fill_v2(ledger, at)
    ledger.close()


def fill_v2(ledger, at) -> None:
    """Write what version 2 brought: pauses and reconciliations."""
    from remedy.holds import Pause, PauseOf

    def pause(of, name, *, until=None, reason="migration", minutes=80):
        ledger.pause(Pause(of=of, name=name, reason=reason, actor="bob", at=at(minutes), until=until))

    pause(PauseOf.ALL, "", until=at(90))
    pause(PauseOf.RULE, "low-disk")
    pause(PauseOf.GROUP, "web", reason="first")
    pause(PauseOf.GROUP, "web", reason="second", minutes=81)
    pause(PauseOf.HOST, "web-1")
    ledger.unpause(PauseOf.HOST, "web-1", at=at(82), actor="alice", reason="over")
    for execution_id, found, code, proves in (
        ("one-lost", "running", None, False),
        ("one-lost", "finished", 0, True),
        ("four-open", "odd", None, False),
    ):
        ledger.reconcile(
            execution_id,
            run_id="run-5",
            at=at(83),
            found=found,
            exit_code=code,
            proves_end=proves,
            reason="the marker says so",
            actor="alice",
        )


def main() -> None:
    """Make the file; refuse to replace one."""
    parser = argparse.ArgumentParser(description="Make a golden ledger.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--of", metavar="COMMIT", help="with the code of this commit (default: of this checkout)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        fill(given.file)
        return
    if given.file.exists():
        sys.exit(f"{given.file} exists: a golden file is not made again")
    with tempfile.TemporaryDirectory(prefix="remedy-golden-") as made:
        top = TOP
        if given.of:
            top = Path(made)
            packed = subprocess.run(
                ["git", "archive", given.of, "remedy", "tests/__init__.py", "tests/state/builders.py"],
                check=True,
                stdout=subprocess.PIPE,
                cwd=TOP,
            ).stdout
            with tarfile.open(fileobj=BytesIO(packed)) as unpacking:
                unpacking.extractall(top, filter="data")
        command = [sys.executable, __file__, str(given.file.absolute()), "--here"]
        subprocess.run(command, check=True, cwd=top, env={**os.environ, "PYTHONPATH": str(top)})


if __name__ == "__main__":
    main()
