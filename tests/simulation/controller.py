"""
A controller: one `remedy apply` as the composition root carries it out, over simulated surroundings.

Everything that decides, sends and records is production code; simulated are only
what it is handed: runner, clock, disk, connection to the ledger, locks, crew.
"""

from functools import partial

from remedy.errors import LockHeld, StateError
from remedy.holds import Override
from remedy.limits import Budget, Limit
from remedy.model import Hold, Scope
from remedy.plan import NO_HISTORY, Plan
from remedy.planning import build_plan
from remedy.precautions import Precautions
from remedy.rollout import ReadAgain
from remedy.run import recovery
from remedy.run.apply import Applied, Applying, Progress
from remedy.run.collect import Collection, collect
from remedy.run.evidence import Evidence
from remedy.run.host_work import Surroundings
from remedy.state.audit import AuditLog
from remedy.state.ledger import Ledger
from remedy.state.reserve import Reserve
from remedy.summary import Summary, coverage, exit_code, outcome_counts
from remedy.verdicts import Judgement, by_host, judge, only_fresh
from tests.simulation.coverage import Coverage
from tests.simulation.dead_runs import note_taken_over, reconcile_all, resume_all
from tests.simulation.evidence import SimEvidence
from tests.simulation.faults import Fault
from tests.simulation.happenings import HAPPENINGS
from tests.simulation.machine import RESERVE_NAME, SimLocks
from tests.simulation.rules import SIGNALS, inventory_host, make_rule, make_scope
from tests.simulation.runner import runners_of
from tests.simulation.runs import Run
from tests.simulation.scenario import Order
from tests.simulation.scheduler import Crashed, Process, SimCrew
from tests.simulation.world import World

__all__ = ["start_run"]

_RESERVE_BYTES = 4_096


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

    # What `remedy apply` does.

    def _carry_out(self) -> int:
        run = self._run
        state, clock = run.machine.state, run.machine.clock
        if state.stop_reason():
            return 5
        locks = SimLocks(run.machine, run.process, run.id)
        if run.order.resume:
            resume_all(self._world, run, self._coverage, locks=locks)
            return 0
        if run.order.reconcile:
            reconcile_all(self._world, run, self._coverage)
            return 0
        with locks.run(run.id):
            ledger = run.machine.ledger(run.process)
            disk = run.machine.disk.of(run.process)
            reserve = Reserve.create(state.path / RESERVE_NAME, _RESERVE_BYTES, disk=disk)
            audit = AuditLog.create(state.audit, run.id, clock.now, disk=disk, reserve=reserve)
            try:
                evidence = SimEvidence(
                    ledger,
                    audit,
                    run_id=run.id,
                    world=self._world,
                    run=run,
                    coverage=self._coverage,
                    witness=run.witnessed.append,
                )
                return self._within(ledger, audit, evidence, self._surroundings(evidence, locks))
            finally:
                audit.close()

    def _surroundings(self, evidence: Evidence, locks: SimLocks) -> Surroundings:
        run, world = self._run, self._world
        return Surroundings(
            runners=runners_of(world, run),
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
        hosts = tuple(inventory_host(world.hosts[name]) for name in chosen)
        return tuple(make_scope(make_rule(world.options[name]), hosts) for name in order.rules)

    def _within(self, ledger: Ledger, audit: AuditLog, evidence: Evidence, around: Surroundings) -> int:
        run, world = self._run, self._world
        clock = run.machine.clock
        evidence.open(actor="alice", command="remedy apply", facts={"controller": run.machine.number})
        over = recovery.over_for_certain(ledger, is_alive=around.locks.run_is_held, now=clock.now())
        recovery.close_over(ledger, audit, evidence, over)
        recovery.brake_dead_runs(ledger, audit, evidence, is_alive=around.locks.run_is_held)
        note_taken_over(world, run, ledger, opened=over)
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
        run.applied_wall = clock.now().timestamp()
        applying = Applying(plan, scopes, around, on_progress=self._see, interrupted=run.is_interrupted)
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
            asked_to_stop=self._run.is_interrupted,
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
            per_rule=_budget(scenario.per_rule),
            all_rules=_budget(scenario.all_rules),
            freezes=(),
            override=override,
        )

    def _see(self, progress: Progress) -> None:
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


def _budget(of: tuple[int, int] | None) -> Budget | None:
    return None if of is None else Budget(hosts=of[0], window_s=of[1])
