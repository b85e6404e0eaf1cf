"""
A controller: one `remedy apply` as the composition root carries it out, over simulated surroundings.

Everything that decides, sends and records is production code; simulated are only
what it is handed: runner, clock, disk, connection to the ledger, locks, crew.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from remedy.errors import LockHeld, StateError
from remedy.gate import Refusal
from remedy.holds import Override
from remedy.limits import Budget, Limit
from remedy.model import Hold, Outcome, Scope, Transport
from remedy.plan import NO_HISTORY, Plan
from remedy.planning import build_plan
from remedy.port import Permit
from remedy.precautions import Precautions
from remedy.reconciling import Reconciliation
from remedy.rollout import ReadAgain
from remedy.run import recovery
from remedy.run.apply import Applied, Applying, Progress
from remedy.run.asking import HostAnswer, HostQuestion, Start, Unseen, ask_hosts, recorded_starts
from remedy.run.collect import Collection, collect
from remedy.run.evidence import Evidence, Wish
from remedy.run.host_work import Surroundings
from remedy.run.recorded_ends import RecordedEnds
from remedy.run.resuming import Resuming
from remedy.state.audit import AuditLog
from remedy.state.audit_format import HEADS_NAME, parse_heads
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import OpenIntent
from remedy.state.reserve import Reserve
from remedy.summary import Summary, coverage, exit_code, outcome_counts
from remedy.verdicts import Judgement, by_host, judge, only_fresh
from tests.simulation.coverage import Coverage
from tests.simulation.fleet import SimRunner
from tests.simulation.happenings import HAPPENINGS
from tests.simulation.rules import SIGNALS, make_host, make_rule, make_scope
from tests.simulation.scenario import Fault, Order
from tests.simulation.scheduler import Crashed, Process, SimCrew
from tests.simulation.world import RESERVE_NAME, Machine, SimLocks, World

__all__ = ["Permitted", "Run", "start_run"]

_RESERVE_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class Permitted:
    """A permit that the gate gave, when, and what the machine's clock showed when it was asked."""

    at: float
    wall: float
    execution_id: str
    wave: int
    order: tuple[float, int]


@dataclass(slots=True, eq=False)
class Run:
    """One run, as it went."""

    id: str
    number: int
    order: Order
    machine: Machine
    process: Process
    began_at: float
    plan: Plan | None = None
    begun: bool = False
    ended_at: float | None = None
    crashed_at: float | None = None
    exit_code: int | None = None
    error: str = ""
    injected: bool = False
    bugs: list[str] = field(default_factory=list)
    applied: Applied | None = None
    permits: list[Permitted] = field(default_factory=list)
    recorded: list[tuple[float, str, str]] = field(default_factory=list)
    waves_ended: list[tuple[float, str, int]] = field(default_factory=list)
    halted: dict[str, tuple[float, str]] = field(default_factory=dict)
    closed: list[tuple[float, str, str]] = field(default_factory=list)
    taken_over: list[tuple[float, str, str]] = field(default_factory=list)
    interrupted_at: float | None = None
    effects: int = 0
    effects_of_kind: int = 0
    witnessed: list[str] = field(default_factory=list)
    planned_ids: frozenset[str] = frozenset()
    planned_at: float = 0.0
    applied_wall: float | None = None
    printed: dict[str, Mapping[str, float | None]] = field(default_factory=dict)


@dataclass(slots=True)
class _Batch:
    """Wishes that are decided together, and what came of it."""

    wishes: list[Wish] = field(default_factory=list)
    answers: tuple[Permit | Refusal, ...] | None = None
    failure: StateError | None = None
    at: float = 0.0


class _SimEvidence(Evidence):
    """The evidence of a run; gives way after what is written, when the store is slow, and keeps what was permitted."""

    world: World
    run: Run
    coverage: Coverage
    _batch: "_Batch"

    def _give_way(self) -> None:
        if Fault.SLOW_STORE in self.world.scenario.on:
            self.world.faults[Fault.SLOW_STORE] += 1
            self.world.scheduler.sleep(self.world.rng.random() * 2.0)

    def admit(self, execution: Any, request: Any, *, boot_id: Any, wave: int, decide: Any) -> Permit | Refusal:
        """Ask the gate, alone or in a batch with whoever else asks soon, and keep what it said."""
        wish = Wish(execution=execution, request=request, boot_id=boot_id, wave=wave, decide=decide)
        run, world = self.run, self.world
        if Fault.BATCH in world.scenario.on:
            answer, at = self._batched(wish)
        else:
            answer, at = super().admit_all([wish])[0], world.scheduler.now
        if isinstance(answer, Permit):
            world.permitted += 1
            wall = request.now.timestamp()
            run.permits.append(Permitted(at, wall, execution.id, wave, (at, world.permitted)))
            world.say(f"{run.id} permits {execution.id} on {execution.host} ({execution.rule}, wave {wave})")
        else:
            self.coverage.refusals[answer.skip.value] += 1
            world.say(f"{run.id} refuses {execution.id} on {execution.host}: {answer.skip.value}: {answer.reason}")
        self._give_way()
        return answer

    def _batched(self, wish: Wish) -> tuple[Permit | Refusal, float]:
        """
        Wait a moment for others, as threads do while another one commits; the first asks for all of them.

        Returns the answer, and when it was given.
        """
        batch = self._batch
        batch.wishes.append(wish)
        place = len(batch.wishes) - 1
        if place == 0:
            self.world.scheduler.sleep(self.world.rng.random())
            self._batch = _Batch()
            batch.at = self.world.scheduler.now
            self.world.faults[Fault.BATCH] += len(batch.wishes) - 1
            try:
                batch.answers = super().admit_all(batch.wishes)
            except StateError as exc:
                batch.failure = exc
        while batch.answers is None and batch.failure is None:
            self.world.scheduler.sleep(0.02)
        if batch.failure is not None:
            raise batch.failure
        assert batch.answers is not None
        return batch.answers[place], batch.at

    def outcome(self, end: Any, *, started: bool) -> None:
        """Record how an execution ended."""
        if started:
            self._give_way()
        with self._noting([end]):
            super().outcome(end, started=started)

    def outcomes(self, ends: Any, *, started: bool) -> None:
        """Record how many executions ended."""
        with self._noting(ends):
            super().outcomes(ends, started=started)

    @contextmanager
    def _noting(self, ends: Sequence[Any]) -> Iterator[None]:
        """Note what was recorded: all of it, or after a failure what the store has all the same."""
        machine = self.run.machine
        try:
            yield
        except StateError:
            for end in ends:
                if machine.has_outcome(self.run.id, end.execution.id):
                    self._recorded(end)
            raise
        for end in ends:
            self._recorded(end)

    def _recorded(self, end: Any) -> None:
        ended = end.ended
        self.coverage.outcomes[ended.skip.value if ended.skip else ended.outcome.value] += 1
        self.run.recorded.append((self.world.scheduler.now, end.execution.id, ended.outcome.value))
        self.world.say(
            f"{self.run.id} records {end.execution.id} on {end.execution.host}: {ended.outcome.value} "
            f"{ended.skip.value if ended.skip else ''} {ended.reason}"
        )

    def open_breaker(self, rule: str, reason: str) -> None:
        """Open a rule's breaker."""
        super().open_breaker(rule, reason)
        self.run.halted.setdefault(rule, (self.world.scheduler.now, "max_bad"))

    def close_dead(self, opened: Any) -> None:
        """Close an execution of a dead run."""
        super().close_dead(opened)
        now = self.world.scheduler.now
        self.run.closed.append((now, opened.intent.execution_id, opened.closes_as.value))
        self.world.say(f"{self.run.id} closes {opened.intent.execution_id} as {opened.closes_as.value}")


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


def start_run(world: World, order: Order, number: int, *, coverage: Coverage, plans: dict[int, Plan]) -> Run:
    """Start a controller process now; it plans, waits for its order's delay, and applies."""
    machine = world.machines[order.machine]
    machine.runs += 1
    run_id = f"{machine.clock.now():%Y%m%dT%H%M%SZ}-{machine.number}{machine.runs:03x}"
    process = Process(world.scheduler, run_id)
    run = Run(id=run_id, number=number, order=order, machine=machine, process=process, began_at=world.scheduler.now)
    machine.processes.append(process)
    controller = _Controller(world, run, coverage, plans)
    process.on_death.append(controller.died)
    process.on_effect = controller.count_effect
    world.scheduler.spawn(process, controller.main)
    return run


class _Controller:
    """What one process does."""

    def __init__(self, world: World, run: Run, coverage: Coverage, plans: dict[int, Plan]) -> None:
        self._world = world
        self._run = run
        self._coverage = coverage
        self._plans = plans

    # The process's life and death.

    def count_effect(self, name: str) -> None:
        """Count an effect, and die at the one that the order names."""
        run = self._run
        run.effects += 1
        order = run.order
        if order.crash_kind:
            run.effects_of_kind += name == order.crash_kind
            dies = name == order.crash_kind and run.effects_of_kind == order.crash_at
        else:
            dies = run.effects == order.crash_at
        if dies:
            self._world.faults[Fault.POWER_LOSS if run.order.power_loss else Fault.CRASH] += 1
            self._coverage.crashes[name] += 1
            self._world.say(f"{run.id} dies at effect {run.effects} ({name})")
            if run.order.power_loss:
                run.machine.lose_power()
                raise Crashed
            run.process.crash()

    def died(self) -> None:
        """Note the death; a dead process holds no lock."""
        run = self._run
        run.crashed_at = self._world.scheduler.now
        self._world.note("crash", run.machine.number, run.id)
        for key, (process, _) in list(run.machine.held.items()):
            if process is run.process:
                del run.machine.held[key]

    def main(self) -> None:
        """Carry the order out, and note how it ended."""
        run, world = self._run, self._world
        if run.order.interrupt_s is not None:
            world.scheduler.after(run.order.interrupt_s, self._interrupt)
        faults_before = self._store_faults()
        try:
            run.exit_code = self._carry_out()
        except LockHeld as exc:
            run.error = str(exc)
        except StateError as exc:
            run.error = str(exc)
            run.injected = self._store_faults() != faults_before
        except Exception as exc:  # noqa: BLE001 - a bug of ours, which an invariant reports.
            run.bugs.append(f"{type(exc).__name__}: {exc}")
        run.ended_at = world.scheduler.now
        run.process.ended = True
        world.say(f"{run.id} ends: exit {run.exit_code} {run.error}")

    def _store_faults(self) -> int:
        kinds = (Fault.DISK_FULL, Fault.SYNC_ERROR, Fault.LEDGER_BUSY, Fault.LEDGER_FULL, Fault.LEDGER_LOST_ACK)
        return sum(self._world.faults[kind] for kind in kinds)

    def _interrupt(self) -> None:
        if self._run.ended_at is None and self._run.crashed_at is None:
            self._world.faults[Fault.INTERRUPT] += 1
            self._run.interrupted_at = self._world.scheduler.now
            self._world.note("interrupt", self._run.machine.number, self._run.id)

    def _is_interrupted(self) -> bool:
        return self._run.interrupted_at is not None

    # What `remedy apply` does.

    def _carry_out(self) -> int:
        run = self._run
        state, clock = run.machine.state, run.machine.clock
        if state.stop_reason():
            return 5
        locks = SimLocks(run.machine, run.process, run.id)
        if run.order.resume:
            return self._resume_all(locks)
        if run.order.reconcile:
            return self._reconcile_all()
        with locks.run(run.id):
            ledger = run.machine.store.ledger(run.process, state.ledger)
            disk = run.machine.disk.of(run.process)
            reserve = Reserve.create(state.path / RESERVE_NAME, _RESERVE_BYTES, disk=disk)
            audit = AuditLog.create(state.audit, run.id, clock.now, disk=disk, reserve=reserve)
            try:
                evidence = _SimEvidence(ledger, audit, run_id=run.id, clock=clock.now, witness=run.witnessed.append)
                evidence.world, evidence.run, evidence.coverage = self._world, run, self._coverage
                evidence._batch = _Batch()
                return self._within(ledger, audit, evidence, self._surroundings(evidence, locks))
            finally:
                audit.close()

    def _resume_all(self, locks: SimLocks) -> int:
        """Close every run of this machine that died, each with an audit file of its own, as `remedy resume` does."""
        run = self._run
        state, clock = run.machine.state, run.machine.clock
        ledger = run.machine.store.ledger(run.process, state.ledger)
        for number, dead in enumerate(_unclosed(ledger, state)):
            try:
                with locks.run(dead):
                    own_id = f"{run.id}-{number:02d}"
                    disk = run.machine.disk.of(run.process)
                    with AuditLog.create(state.audit, own_id, clock.now, disk=disk) as audit:
                        evidence = _SimEvidence(ledger, audit, run_id=own_id, clock=clock.now)
                        evidence.world, evidence.run, evidence.coverage = self._world, run, self._coverage
                        evidence.open(actor="alice", command="remedy resume", facts={})
                        resuming = Resuming(
                            dead,
                            ledger=ledger,
                            audit=audit,
                            evidence=evidence,
                            clock=clock.now,
                            watcher=_Patient(self._world),
                            disk=disk,
                        )
                        opened = [each for each in ledger.open_intents() if each.intent.run_id == dead]
                        resumed = resuming.carry_out()
                        self._note_taken_over(ledger, opened)
            except LockHeld:
                continue  # It is alive.
            self._coverage.totals["resumed"] += 1
            self._coverage.totals["taken over"] += resumed.taken_over
            self._world.say(f"{own_id} resumed {dead}: exit {int(resumed.exit_code)}, {resumed.recorded.odd}")
        return 0

    def _note_taken_over(self, ledger: Ledger, opened: Iterable[OpenIntent]) -> None:
        """Note what became of open intents of dead runs whose own audit files knew it: nobody closed these."""
        run = self._run
        closed = {execution_id for _, execution_id, _ in run.closed}
        left = {each.intent.execution_id: each.intent.run_id for each in opened}
        for run_id in sorted(set(left.values())):
            record = ledger.run(run_id)
            assert record is not None
            run.taken_over += [
                (self._world.scheduler.now, row.execution_id, row.outcome.value)
                for row in record.executions
                if row.execution_id in left and row.execution_id not in closed and row.outcome is not None
            ]

    def _reconcile_all(self) -> int:
        """Ask the hosts about every execution whose end was not seen, as `remedy reconcile` does for one run."""
        run, world = self._run, self._world
        ledger = run.machine.store.ledger(run.process, run.machine.state.ledger)
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

        def on_answer(answer: HostAnswer) -> None:
            for execution_id, found in answer.found.items():
                self._record_found(ledger, execution_id, found)

        runner = SimRunner(world, run)
        ask_hosts(
            [
                HostQuestion(host=make_host(name, world.hosts[name].platform, world.hosts[name].rack), unseen=tuple(of))
                for name, of in questions.items()
            ],
            {Transport.SSH: runner, Transport.WINRM: runner},
            clock=run.machine.clock.now,
            on_answer=on_answer,
            asked_to_stop=self._is_interrupted,
            crews=partial(SimCrew, run.process, patience=world.scenario.patience),
        )
        return 0

    def _record_found(self, ledger: Ledger, execution_id: str, found: Reconciliation) -> None:
        run, world = self._run, self._world
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
        self._coverage.reconciled[found.found.value] += 1
        world.note("reconciled", run.machine.number, execution_id, found)

    def _surroundings(self, evidence: Evidence, locks: SimLocks) -> Surroundings:
        run, world = self._run, self._world
        runner = SimRunner(world, run)
        return Surroundings(
            runners={Transport.SSH: runner, Transport.WINRM: runner},
            signals=SIGNALS,
            evidence=evidence,
            locks=locks,
            clock=run.machine.clock.now,
            monotonic=run.machine.clock.monotonic,
            sleep=world.scheduler.sleep,
            stop_reason=run.machine.state.stop_reason,
            on_bug=self._on_bug,
            freezes=run.machine.read_freezes,
            crews=partial(SimCrew, run.process, patience=world.scenario.patience),
        )

    def _on_bug(self, where: str, exc: BaseException) -> None:
        if isinstance(exc, Crashed):
            return
        self._run.bugs.append(f"{where}: {type(exc).__name__}: {exc}")
        self._world.say(f"{self._run.id} bug: {where}: {exc!r}")

    def _scopes(self) -> tuple[Scope, ...]:
        world, order = self._world, self._run.order
        names = list(world.hosts)
        chosen = [names[number] for number in order.hosts] or names
        hosts = tuple(make_host(name, world.hosts[name].platform, world.hosts[name].rack) for name in chosen)
        return tuple(make_scope(make_rule(world.options[name]), hosts) for name in order.rules)

    def _within(self, ledger: Ledger, audit: AuditLog, evidence: Evidence, around: Surroundings) -> int:
        run, world = self._run, self._world
        clock = run.machine.clock
        evidence.open(actor="alice", command="remedy apply", facts={"controller": run.machine.number})
        over = recovery.over_for_certain(ledger, is_alive=around.locks.run_is_held, now=clock.now())
        recovery.close_over(ledger, audit, evidence, over, clock=clock.now)
        self._note_taken_over(ledger, over)
        scopes = self._scopes()
        collection, judgements = self._seen(scopes, around)
        plan = self._plan(ledger, scopes, collection, judgements, around)
        run.plan = plan
        run.planned_at = world.scheduler.now
        self._plans[run.number] = plan
        run.planned_ids = frozenset(execution.id for execution in plan.executions)
        for execution in plan.executions:
            world.planned[execution.id] = execution
        if run.order.delay_s:
            world.scheduler.sleep(run.order.delay_s)
        evidence.begin(plan, actor="alice", command="remedy apply")
        run.begun = True
        run.applied_wall = clock.now().timestamp()
        applying = Applying(plan, scopes, around, on_progress=self._see, interrupted=self._is_interrupted)
        applied = run.applied = applying.carry_out()
        summary = self._summary(plan, collection, judgements, applied)
        code = int(exit_code(summary, max_unseen=Limit(count=0), detailed=False))
        evidence.end(code, counts=outcome_counts(applied.ends))
        return code

    def _seen(self, scopes: tuple[Scope, ...], around: Surroundings) -> tuple[Collection, tuple[Judgement, ...]]:
        collection = collect(
            scopes,
            SIGNALS,
            around.runners,
            clock=around.clock,
            on_end=lambda _end: None,
            asked_to_stop=self._is_interrupted,
            crews=around.crews,
        )
        fresh = by_host(only_fresh(collection.readings, SIGNALS, now=collection.collected_at))
        return collection, tuple(judge(scopes, fresh, SIGNALS))

    def _plan(
        self,
        ledger: Ledger,
        scopes: tuple[Scope, ...],
        collection: Collection,
        judgements: tuple[Judgement, ...],
        around: Surroundings,
    ) -> Plan:
        order = self._run.order
        if order.plan_of is not None and order.plan_of in self._plans:
            self._world.faults[Fault.SAME_PLAN_AGAIN] += 1
            return self._plans[order.plan_of]
        now = collection.collected_at
        findings = [finding for judgement in judgements for finding in judgement.findings]
        opened = recovery.left_open(ledger.open_intents(), is_alive=around.locks.run_is_held, now=now)
        history = recovery.history_of(
            ledger,
            findings,
            rules=[scope.rule.name for scope in scopes],
            busy=recovery.busy_hosts(opened.running),
            over=opened.over,
        )
        if order.careless:
            self._world.faults[Fault.CARELESS] += 1
            history = NO_HISTORY
        return build_plan(
            scopes,
            judgements,
            by_host(only_fresh(collection.readings, SIGNALS, now=now)),
            history=history,
            endpoints={end.host: end.endpoint for end in collection.host_ends if end.endpoint},
            accept_matched=None,
            created_at=now,
            precautions=self._precautions(),
        )

    def _precautions(self) -> Precautions:
        scenario, order = self._world.scenario, self._run.order
        names = list(self._world.hosts)
        protected = frozenset(names[number] for number in scenario.protected)
        override = None
        if order.override:
            override = Override(
                hold=Hold(order.override), rule=order.rules[0], host=names[order.hosts[0]], reason="users wait"
            )
            self._world.faults[Fault.OVERRIDE] += 1
        return Precautions(
            protected=protected,
            named=protected & {names[number] for number in order.hosts},
            per_rule=None
            if scenario.per_rule is None
            else Budget(hosts=scenario.per_rule[0], window_s=scenario.per_rule[1]),
            all_rules=None
            if scenario.all_rules is None
            else Budget(hosts=scenario.all_rules[0], window_s=scenario.all_rules[1]),
            freezes=(),
            override=override,
        )

    def _see(self, progress: Progress) -> None:
        self._coverage.progress[type(progress).__name__] += 1
        if isinstance(progress, ReadAgain):
            self._maybe_stopped_while_reading()
        self._world.say(f"{self._run.id} {progress!r}"[:160])

    def _maybe_stopped_while_reading(self) -> None:
        """Have somebody stop everything just while hosts are read again: a moment that is rare and short."""
        world, machine = self._world, self._run.machine
        may = Fault.STOP in world.scenario.on and world.scheduler.now < world.scenario.faults_end - 1_000
        if not may or machine.state.stop_reason() or world.rng.random() < 0.5:
            return
        world.scheduler.after(0.05, lambda: HAPPENINGS["stop"](world, machine.number, False))
        world.scheduler.after(500.0, lambda: HAPPENINGS["start"](world, machine.number))

    def _summary(
        self, plan: Plan, collection: Collection, judgements: tuple[Judgement, ...], applied: Applied
    ) -> Summary:
        return Summary(
            coverage=coverage(collection.host_ends, judgements),
            host_ends=collection.host_ends,
            held=plan.held,
            fuses=tuple(rule_plan.fuse for rule_plan in plan.rules if rule_plan.fuse),
            ends=applied.ends,
            relapsed=applied.relapsed,
            halts=applied.halts,
            stopped="" if applied.interrupted else applied.stopped,
            interrupted=applied.interrupted,
        )
