"""The evidence: what ledger and audit log say at the end, and where they contradict each other or the hosts."""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from remedy.errors import StateError
from remedy.state.audit_verify import verify
from remedy.state.ledger import Ledger
from tests.simulation.faults import Fault
from tests.simulation.history import History
from tests.simulation.machine import Machine
from tests.simulation.scheduler import Process

__all__ = ["evidence_agrees"]

_KINDS = (b'"type":"execution.intent"', b'"type":"execution.outcome"', b'"type":"execution.lost"')
_BREAKING = frozenset({Fault.CRASH, Fault.DISK_FULL, Fault.SYNC_ERROR})
_STARTED = frozenset({"fixed", "done", "needs_reboot", "not_fixed", "unverified", "failed", "lost"})


def evidence_agrees(history: History) -> Iterator[str]:
    """
    After recovery ledger and audit log agree, the log verifies, and every execution has exactly one outcome.

    Read from the files and the database as they survived. What the audit log could not
    take any more the witness (stderr) was told, and the ledger has it.
    """
    for machine in history.world.machines:
        process = Process(history.world.scheduler, "a check", is_person=True)
        ledger = machine.ledger(process)
        try:
            yield from _machine_violations(history, machine, ledger)
        except StateError as exc:
            yield str(exc)


def _machine_violations(history: History, machine: Machine, ledger: Ledger) -> Iterator[str]:
    run_ids = ledger.run_ids()
    # A chain is broken by crashes and disks only; of the other seeds a part is enough.
    if history.world.scenario.on & _BREAKING or history.world.scenario.seed % 5 == 0:
        for finding in verify(machine.state.audit, run_ids).findings:
            yield f"audit: {finding}"
    audit = _Audit(machine)
    outcomes: dict[str, str] = {}
    for run_id in sorted(run_ids):
        record = ledger.run(run_id)
        assert record is not None
        run = next(each for each in history.runs if each.id == run_id)
        is_whole = run.ended_at is not None and not run.error
        for each in record.executions:
            outcome = each.outcome.value if each.outcome is not None else None
            if each.started_at is not None and (run_id, each.execution_id) not in audit.intents:
                yield f"{each.execution_id} has an intent in the ledger and none in the audit log"
            if each.started_at is None and outcome in _STARTED:
                yield f"{each.execution_id} is {outcome} in the ledger and was never started"
            if outcome is None:
                yield f"{each.execution_id} of run {run_id} has no outcome after recovery"
            if outcome == "fixed" and not _ended_well(history, each.execution_id):
                yield f"{each.execution_id} is fixed in the ledger, and did not end well on {each.host}"
            if outcome is not None:
                if outcome != "skipped":
                    outcomes[each.execution_id] = outcome
                if not any(each.execution_id in line for line in run.witnessed):
                    started = each.started_at is not None
                    yield from audit.disagreements(run_id, each.execution_id, outcome, started=started)
        if record.summary.ended_at is None:
            yield f"run {run_id} has no end in the ledger after recovery"
        if is_whole and record.summary.exit_code != run.exit_code:
            yield f"run {run_id} ended with {run.exit_code}, and the ledger says {record.summary.exit_code}"
    for sent in history.world.sent:
        if sent.run.machine is machine and sent.execution_id not in outcomes and sent.arrived == "started":
            yield f"{sent.execution_id} was started on {sent.host}, and the ledger has no outcome of it"


def _ended_well(history: History, execution_id: str) -> bool:
    return any(
        sent.start is not None and sent.start.ended_at is not None and sent.start.exit_code == 0
        for sent in history.sent_by_id[execution_id]
    )


class _Audit:
    """What the files of a machine's audit log say of executions."""

    def __init__(self, machine: Machine) -> None:
        self.intents: set[tuple[str, str]] = set()
        # By the run whose execution it is: a run that died is closed in the file of another.
        self._outcomes: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._closed: dict[tuple[str, str], set[str]] = defaultdict(set)
        for path in sorted(machine.state.audit.glob("*.jsonl")):
            for line in path.read_bytes().split(b"\n")[:-1]:
                if any(kind in line for kind in _KINDS):
                    self._take(path.stem, json.loads(line))

    def _take(self, run_id: str, record: dict[str, Any]) -> None:
        data = record["data"]
        match record["type"]:
            case "execution.intent":
                self.intents.add((run_id, data["execution"]))
            case "execution.outcome" if "of_run" in data:
                self._closed[data["of_run"], data["execution"]].add(data["outcome"])
            case "execution.outcome":
                self._outcomes[run_id, data["execution"]].append(data["outcome"])
            case "execution.lost":
                self._closed[data["of_run"], data["execution"]].add(data["outcome"])

    def disagreements(self, run_id: str, execution_id: str, outcome: str, *, started: bool) -> Iterator[str]:
        """Yield where the log contradicts an outcome of the ledger; nothing waits for that of one never started."""
        said = self._outcomes[run_id, execution_id]
        closed = self._closed[run_id, execution_id]
        if len(said) > 1:
            yield f"{execution_id} has {len(said)} outcomes in the audit log of run {run_id}"
        if said and said[0] != outcome and outcome not in closed:
            yield f"{execution_id} is {outcome} in the ledger and {said[0]} in the audit log"
        if started and not said and outcome not in closed:
            yield f"{execution_id} is {outcome} in the ledger, and the audit log does not say so"
