"""
Applying a plan: the rollouts of its rules one after another, each execution ended.

Nothing here decides: the rollout says what comes next, the gate whether it may.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from remedy.errors import LockHeld
from remedy.gate import blocked
from remedy.model import Outcome, Scope, Skip
from remedy.outcomes import Ended
from remedy.plan import Plan, RulePlan
from remedy.run.host_work import Surroundings
from remedy.run.rule_run import RuleRun
from remedy.run.so_far import ExecutionStarted, Progress, RuleStarted, RunSoFar
from remedy.state.locks import HeldLock
from remedy.summary import ExecutionEnd, RuleHalt

__all__ = ["Applied", "Applying", "ExecutionStarted", "Progress", "RuleStarted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What applying a plan came to; every execution of the plan has one end."""

    ends: tuple[ExecutionEnd, ...]
    halts: tuple[RuleHalt, ...]
    relapsed: tuple[str, ...]
    stopped: str
    interrupted: bool


class Applying:
    """Applies one plan, once."""

    def __init__(
        self,
        plan: Plan,
        scopes: Iterable[Scope],
        around: Surroundings,
        *,
        on_progress: Callable[[Progress], None],
        interrupted: Callable[[], bool],
    ) -> None:
        self._plan = plan
        self._scopes = {scope.rule.name: scope for scope in scopes}
        self._around = around
        self._so_far = RunSoFar(plan, around, on_progress=on_progress, interrupted=interrupted)

    def carry_out(self) -> Applied:
        """
        Carry out every rollout in order and return how each execution ended.

        Raises:
            StateError: evidence could not be written, or a bug of ours; nothing
                new was started after that.
        """
        for rule_plan in self._plan.rules:
            if rule_plan.executions:
                self._carry_out_rule(rule_plan, self._blocked(rule_plan))
        so_far = self._so_far
        return Applied(
            ends=tuple(so_far.ends),
            halts=tuple(so_far.halts),
            relapsed=tuple(sorted(so_far.relapsed)),
            stopped=so_far.stopped,
            interrupted=so_far.interrupted(),
        )

    def _carry_out_rule(self, rule_plan: RulePlan, blocked: Ended | None) -> None:
        lock: HeldLock | None = None
        if blocked is None and len(self._plan.hosts) > 1:
            try:
                lock = self._around.locks.rule(rule_plan.rule.name)
            except LockHeld as exc:
                blocked = Ended(outcome=Outcome.SKIPPED, skip=Skip.RULE_BUSY, reason=str(exc))
        if blocked is not None:
            self._end_all(rule_plan, blocked)
            return
        try:
            RuleRun(rule_plan, self._scopes[rule_plan.rule.name], self._so_far).carry_out()
        finally:
            if lock is not None:
                lock.release()

    def _blocked(self, rule_plan: RulePlan) -> Ended | None:
        """Return why nothing of a rule may start, as the gate would say it, if that is so."""
        live = self._so_far.live("", halted="", fuse=rule_plan.fuse)
        no = blocked(live, now=self._around.clock(), needed_s=0)
        if no is None:
            return None
        skip = Skip.INTERRUPTED if no.skip is Skip.STOPPED and self._so_far.interrupted() else no.skip
        return Ended(outcome=Outcome.SKIPPED, skip=skip, reason=no.reason)

    def _end_all(self, rule_plan: RulePlan, ended: Ended) -> None:
        waves = rule_plan.wave_numbers()
        self._so_far.record_unattempted(
            [ExecutionEnd(execution=each, ended=ended, wave=waves[each.host]) for each in rule_plan.executions]
        )
