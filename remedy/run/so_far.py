"""What a run remembers of itself while it applies a plan, and why it may start nothing new."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from remedy.errors import StateError
from remedy.limits import Limit
from remedy.model import Execution, Outcome, Risk
from remedy.plan import Plan, RulePlan
from remedy.rollout import Halted, ReadAgain, Soak, WaveEnded, WaveStarted
from remedy.run.host_work import Surroundings
from remedy.summary import ExecutionEnd, RuleHalt

__all__ = ["ExecutionStarted", "Progress", "RuleStarted", "RunSoFar"]

_RUN_UNREACHABLE = Limit(count=1, percent=10.0)
"""More than so many of all planned hosts unreachable end the run: rather our network than their trouble."""


@dataclass(frozen=True, slots=True)
class RuleStarted:
    """A rule's rollout begins."""

    rule_plan: RulePlan


@dataclass(frozen=True, slots=True)
class ExecutionStarted:
    """A fix has its permit and is being sent."""

    execution: Execution


Progress = RuleStarted | ExecutionStarted | ExecutionEnd | WaveStarted | WaveEnded | Soak | Halted | ReadAgain
"""What a person may watch while a plan is applied."""


class RunSoFar:
    """
    One run's memory of itself; used by all its threads.

    A reason to stop, once there was one, stays; so does the first failure.
    """

    def __init__(
        self,
        plan: Plan,
        around: Surroundings,
        *,
        on_progress: Callable[[Progress], None],
        interrupted: Callable[[], bool],
    ) -> None:
        self.around = around
        self.ends: list[ExecutionEnd] = []
        self.halts: list[RuleHalt] = []
        self.relapsed: set[str] = set()
        self._on_progress = on_progress
        self._interrupted = interrupted
        self._planned = len(plan.hosts)
        self.endpoints = plan.endpoints
        self._unreachable: set[str] = set()
        self._disruptive: set[str] = set()
        self._stopped = ""
        self._failure: StateError | None = None
        self._guard = threading.Lock()

    @property
    def failure(self) -> StateError | None:
        """What ended the run before its time: evidence that cannot be written, or a bug of ours."""
        return self._failure

    def fail(self, failure: StateError) -> None:
        """Note a failure: from this moment on the gate grants nothing more in this run."""
        with self._guard:
            self._failure = self._failure or failure
            self._stopped = self._stopped or str(failure)

    @property
    def stopped(self) -> str:
        """Why nothing new was started any more, '' if that never was so; as it was noticed, not as it is now."""
        return self._stopped

    def stop_reason(self) -> str:
        """Return why nothing new may be started in this run, '' if it may."""
        with self._guard:
            if not self._stopped:
                asked = "interrupted" if self._interrupted() else self.around.stop_reason()
                self._stopped = asked or self._too_unreachable()
            return self._stopped

    def interrupted(self) -> bool:
        """Say whether somebody asked this run to stop."""
        return self._interrupted()

    def _too_unreachable(self) -> str:
        gone = len(self._unreachable)
        if not _RUN_UNREACHABLE.exceeded(gone, hosts=self._planned):
            return ""
        return f"{gone} of {self._planned} planned hosts are unreachable, more than {_RUN_UNREACHABLE}"

    def tell(self, progress: Progress) -> None:
        """Tell whoever watches; a bug of theirs goes to the log and ends nothing here."""
        try:
            self._on_progress(progress)
        except Exception as exc:  # noqa: BLE001 - a boundary: what is being done matters more than who watches it.
            self.around.on_bug("while saying what happened", exc)

    def granted(self, execution: Execution, risk: Risk) -> None:
        """Note that a fix has its permit."""
        with self._guard:
            if risk is not Risk.SAFE:
                self._disruptive.add(execution.host)
        self.tell(ExecutionStarted(execution))

    def disruptive_on(self, host: str) -> bool:
        """Say whether a disruptive fix was started on this host in this run."""
        with self._guard:
            return host in self._disruptive

    def note_end(self, end: ExecutionEnd) -> None:
        """Remember the end of an execution, once it is recorded."""
        self.ends.append(end)
        if end.ended.outcome is Outcome.UNREACHABLE:
            with self._guard:
                self._unreachable.add(end.execution.host)
        self.tell(end)

    def record_unattempted(self, end: ExecutionEnd) -> None:
        """
        Record and remember the end of an execution that never reached its host.

        Raises:
            StateError: it could not be recorded.
        """
        self.around.evidence.outcome(end, started=False)
        self.note_end(end)
