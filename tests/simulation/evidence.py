"""The evidence of a simulated run: production code, with waiting in between and everything noted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from remedy.errors import StateError
from remedy.gate import Refusal
from remedy.port import Permit
from remedy.run.evidence import Evidence, Wish
from remedy.state.audit import AuditLog
from remedy.state.ledger import Ledger
from tests.simulation.coverage import Coverage
from tests.simulation.faults import Fault
from tests.simulation.runs import Permitted, Run
from tests.simulation.world import World

__all__ = ["SimEvidence"]


@dataclass(slots=True)
class _Batch:
    """Wishes that are decided together, and what came of it."""

    wishes: list[Wish] = field(default_factory=list)
    answers: tuple[Permit | Refusal, ...] | None = None
    failure: StateError | None = None
    at: float = 0.0


class SimEvidence(Evidence):
    """The evidence of a run; gives way after what is written, when the store is slow, and keeps what was permitted."""

    def __init__(
        self,
        ledger: Ledger,
        audit: AuditLog,
        *,
        run_id: str,
        world: World,
        run: Run,
        coverage: Coverage,
        witness: Callable[[str], None] = lambda _said: None,
    ) -> None:
        super().__init__(ledger, audit, run_id=run_id, clock=run.machine.clock.now, witness=witness)
        self.world = world
        self.run = run
        self.coverage = coverage
        self._batch = _Batch()

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

    def open_breaker(self, rule: str, reason: str, **more: Any) -> None:
        """Open a rule's breaker."""
        super().open_breaker(rule, reason, **more)
        self.run.halted.setdefault(rule, (self.world.scheduler.now, "max_bad"))

    def close_dead(self, opened: Any) -> None:
        """Close an execution of a dead run."""
        super().close_dead(opened)
        now = self.world.scheduler.now
        self.run.closed.append((now, opened.intent.execution_id, opened.closes_as.value))
        self.world.say(f"{self.run.id} closes {opened.intent.execution_id} as {opened.closes_as.value}")
