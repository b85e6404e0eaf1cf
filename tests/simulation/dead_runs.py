"""What controllers do about runs that died: `remedy resume` and `remedy reconcile`, over simulated surroundings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from remedy.errors import LockHeld
from remedy.model import Outcome
from remedy.reconciling import Reconciliation
from remedy.run.asking import HostAnswer, HostQuestion, Start, Unseen, ask_hosts, recorded_starts
from remedy.run.recorded_ends import RecordedEnds
from remedy.run.resuming import Resuming
from remedy.state.audit import AuditLog
from remedy.state.audit_format import HEADS_NAME, parse_heads
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import OpenIntent
from tests.simulation.coverage import Coverage
from tests.simulation.evidence import SimEvidence
from tests.simulation.machine import SimLocks
from tests.simulation.rules import inventory_host
from tests.simulation.runner import runners_of
from tests.simulation.runs import Run
from tests.simulation.scheduler import SimCrew
from tests.simulation.world import World

__all__ = ["note_taken_over", "reconcile_all", "resume_all"]


@dataclass(frozen=True, slots=True)
class _Patient:
    """Waits for what may still be running, as long as it takes."""

    world: World

    def read(self, recorded: RecordedEnds) -> None:
        """See ResumeWatcher."""

    def opened(self, opened: OpenIntent) -> None:
        """See ResumeWatcher."""

    def closed(self, closed: OpenIntent) -> None:
        """See ResumeWatcher."""

    def wait(self, running: Sequence[OpenIntent], seconds: float) -> None:
        """Let time pass."""
        self.world.scheduler.sleep(max(seconds, 1.0))

    def asked(self) -> bool:
        """Say no."""
        return False


def _unclosed(ledger: Ledger, state: StateDirectory) -> list[str]:
    """Return the runs of which something is open: an outcome, the end in the ledger, the head of the audit file."""
    heads = parse_heads((state.audit / HEADS_NAME).read_bytes())[0] if (state.audit / HEADS_NAME).exists() else []
    closed = {head.run for _, head in heads}
    unclosed = {path.stem for path in state.audit.glob("*.jsonl")} - closed
    return sorted(unclosed | {each.run.id for each in ledger.runs(1_000) if each.ended_at is None})


def resume_all(world: World, run: Run, coverage: Coverage, *, locks: SimLocks) -> None:
    """Close every run of a machine that died, each with an audit file of its own, as `remedy resume` does."""
    state, clock = run.machine.state, run.machine.clock
    ledger = run.machine.ledger(run.process)
    for number, dead in enumerate(_unclosed(ledger, state)):
        try:
            with locks.run(dead):
                own_id = f"{run.id}-{number:02d}"
                disk = run.machine.disk.of(run.process)
                with AuditLog.create(state.audit, own_id, clock.now, disk=disk) as audit:
                    evidence = SimEvidence(ledger, audit, run_id=own_id, world=world, run=run, coverage=coverage)
                    evidence.open(actor="alice", command="remedy resume", facts={})
                    resuming = Resuming(
                        dead,
                        ledger=ledger,
                        audit=audit,
                        evidence=evidence,
                        clock=clock.now,
                        watcher=_Patient(world),
                        disk=disk,
                    )
                    opened = [each for each in ledger.open_intents() if each.intent.run_id == dead]
                    resumed = resuming.carry_out()
                    note_taken_over(world, run, ledger, opened=opened)
        except LockHeld:
            continue  # It is alive.
        coverage.totals["resumed"] += 1
        coverage.totals["taken over"] += resumed.taken_over
        world.say(f"{own_id} resumed {dead}: exit {int(resumed.exit_code)}, {resumed.recorded.odd}")


def note_taken_over(world: World, run: Run, ledger: Ledger, *, opened: Iterable[OpenIntent]) -> None:
    """Note what became of open intents of dead runs whose own audit files knew it: nobody closed these."""
    closed = {execution_id for _, execution_id, _ in run.closed}
    left = {each.intent.execution_id: each.intent.run_id for each in opened}
    for run_id in sorted(set(left.values())):
        record = ledger.run(run_id)
        assert record is not None
        run.taken_over += [
            (world.scheduler.now, row.execution_id, row.outcome.value)
            for row in record.executions
            if row.execution_id in left and row.execution_id not in closed and row.outcome is not None
        ]


def reconcile_all(world: World, run: Run, coverage: Coverage) -> None:
    """Ask the hosts about every execution whose end was not seen, as `remedy reconcile` does for one run."""
    ledger = run.machine.ledger(run.process)

    def on_answer(answer: HostAnswer) -> None:
        for execution_id, found in answer.found.items():
            _record_found(world, run, ledger, execution_id=execution_id, found=found)
            coverage.reconciled[found.found.value] += 1

    ask_hosts(
        [
            HostQuestion(host=inventory_host(world.hosts[name]), unseen=tuple(of))
            for name, of in _questions(run, ledger).items()
        ],
        runners_of(world, run),
        clock=run.machine.clock.now,
        on_answer=on_answer,
        asked_to_stop=run.is_interrupted,
        crews=partial(SimCrew, run.process, patience=world.scenario.patience),
    )


def _questions(run: Run, ledger: Ledger) -> dict[str, list[Unseen]]:
    """Return by host what a machine's runs did not see the end of."""
    rows = {
        row.execution_id: row
        for each in ledger.runs(1_000)
        if (record := ledger.run(each.run.id)) is not None
        for row in record.executions
        if row.outcome in (Outcome.LOST, Outcome.UNVERIFIED) and row.started_at is not None
    }
    starts: dict[str, Start] = {}
    for each in ledger.runs(1_000):
        starts.update(recorded_starts(run.machine.state.audit, each.run.id)[0])
    questions: dict[str, list[Unseen]] = {}
    for row in rows.values():
        assert row.started_at is not None
        start = starts.get(row.execution_id, Start())
        questions.setdefault(row.host, []).append(Unseen(row=row, at=row.started_at, start=start))
    return questions


def _record_found(world: World, run: Run, ledger: Ledger, *, execution_id: str, found: Reconciliation) -> None:
    ledger.reconcile(
        execution_id,
        run_id=run.id,
        at=run.machine.clock.now(),
        found=found.found.value,
        exit_code=found.exit_code,
        proves_end=found.proves_end,
        reason=found.reason,
        actor="alice",
    )
    world.note("reconciled", run.machine.number, execution_id, found)
