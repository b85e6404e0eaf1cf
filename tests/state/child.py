"""
Processes for the tests of the state package: `python -m tests.state.child WHAT DIRECTORY ARGUMENTS`.

Each says a word on stdout when it is where the test wants it, and waits on stdin.
"""

import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from remedy.errors import StateError
from remedy.port import Permit
from remedy.state.audit import AuditLog, AuditType
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import Intent
from remedy.state.locks import Locks
from tests.state.builders import asked, by_attempts, by_gate, execution, limits, run_row, ticking, unsynced


def _say(word: str) -> None:
    print(word, flush=True)


def _wait() -> None:
    sys.stdin.readline()


def contend(directory: Path, number: str, attempts: str, decider: str) -> None:
    """Ask for one start of the same incident as every other process."""
    ledger = Ledger.open(directory / "ledger.sqlite3")
    planned = execution(f"execution-{number}")
    ledger.begin_run(run_row(f"run-{number}"), [planned])
    _say("ready")
    _wait()
    decide = {"gate": by_gate, "attempts": by_attempts}[decider]
    pair = asked(planned, run_id=f"run-{number}", rule_limits=limits(attempts=int(attempts)))
    (answer,) = ledger.admit([pair], decide=decide, sync_intents=unsynced)
    _say("granted" if isinstance(answer, Permit) else answer.skip.value)


def hang_in_admit(directory: Path, count: str) -> None:
    """Stop inside admit, with the audit log synced and the ledger not committed."""
    ledger = Ledger.open(directory / "ledger.sqlite3")
    # So small a cache that SQLite writes pages before the commit: the journal is hot.
    ledger._connection.execute("PRAGMA cache_size = 5")
    planned = [execution(f"execution-{number}", host=f"host-{number}") for number in range(int(count))]
    ledger.begin_run(run_row("run-1"), planned)
    audit = AuditLog.create(directory / "audit", "run-1", ticking())
    audit.append(AuditType.RUN_STARTED, {}, sync=True)

    def sync_and_hang(granted: Sequence[Intent]) -> None:
        audit.append_all(
            [(AuditType.EXECUTION_INTENT, {"execution": intent.execution_id}) for intent in granted], sync=True
        )
        _say("synced")
        _wait()

    ledger.admit([asked(each) for each in planned], decide=by_gate, sync_intents=sync_and_hang)


def admit_for_ever(directory: Path, run_id: str) -> None:
    """Admit one execution after the other, each on a host of its own, until killed."""
    ledger = Ledger.open(directory / "ledger.sqlite3")
    planned = [execution(f"{run_id}-{number}", host=f"{run_id}-{number}") for number in range(2_000)]
    ledger.begin_run(run_row(run_id), planned)
    audit = AuditLog.create(directory / "audit", run_id, ticking())
    audit.append(AuditType.RUN_STARTED, {}, sync=True)
    for each in planned:
        ledger.admit(
            [asked(each, run_id=run_id)],
            decide=by_gate,
            sync_intents=lambda granted: audit.append(
                AuditType.EXECUTION_INTENT, {"execution": granted[0].execution_id}, sync=True
            ),
        )
        _say(each.id)


def admit_on_full_disk(directory: Path, count: str) -> None:
    """Admit a batch that the ledger's file has no room for."""
    path = directory / "ledger.sqlite3"
    ledger = Ledger.open(path)
    planned = [execution(f"execution-{number}", host=f"host-{number}") for number in range(int(count))]
    ledger.begin_run(run_row("run-1"), planned)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, resource.RLIM_INFINITY))
    try:
        ledger.admit([asked(each) for each in planned], decide=by_gate, sync_intents=lambda _granted: _say("synced"))
    except StateError as exc:
        _say(f"refused {exc}")


def hold_locks(directory: Path) -> None:
    """Hold the lock of a run, a rule and a host until killed."""
    locks = Locks(directory, run_id="run-9", what="remedy apply", pid=4242, controller="ctl-1", clock=ticking())
    held = [locks.run("run-9"), locks.rule("low-disk"), locks.host("web-1")]
    _say("held")
    _wait()
    for lock in held:
        lock.release()


if __name__ == "__main__":
    {
        "contend": contend,
        "hang_in_admit": hang_in_admit,
        "admit_for_ever": admit_for_ever,
        "admit_on_full_disk": admit_on_full_disk,
        "hold_locks": hold_locks,
    }[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
