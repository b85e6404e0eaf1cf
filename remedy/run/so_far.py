"""What a run remembers of itself while it applies a plan, and why it may start nothing new."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from remedy.errors import RemedyError, StateError
from remedy.gate import LiveFacts, freeze_text
from remedy.limits import Limit
from remedy.model import Execution, Outcome, Risk
from remedy.plan import Plan, RulePlan
from remedy.readings import time_text
from remedy.rollout import Halted, ReadAgain, Soak, WaveEnded, WaveStarted
from remedy.run.host_work import Surroundings
from remedy.schedule import Freeze, freeze_over
from remedy.summary import ExecutionEnd, RuleHalt
from remedy.text import one_line, untrusted

__all__ = ["ExecutionStarted", "Progress", "RuleStarted", "RunSoFar"]

_RUN_UNREACHABLE = Limit(count=1, percent=10.0)
"""More than so many of all planned hosts unreachable end the run: rather our network than their trouble."""

_ENDS_PER_TRANSACTION = 500
"""A rollout of a hundred thousand hosts that halts skips nearly all of them at once."""

_CLOCKS_APART = timedelta(minutes=5)
"""So much may the clocks of two controllers differ."""


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


def _expiry_text(plan: Plan, now: datetime) -> str:
    """
    Return why a plan may not be begun at this time, '' if it may.

    Asked once, when the run starts; later the re-check of each row is the freshness.
    """
    if now > plan.expires_at:
        return f"the plan of {time_text(plan.created_at)} expired at {time_text(plan.expires_at)}; plan again"
    if now < plan.created_at - _CLOCKS_APART:
        return f"the plan is of {time_text(plan.created_at)}, which is to come; set the clock right, or plan again"
    return ""


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
        self.precautions = plan.precautions
        self._expired = _expiry_text(plan, around.clock())
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
                self._stopped = asked or self._frozen_now() or self._too_unreachable()
            return self._stopped

    def _frozen_now(self) -> str:
        """Return why a freeze ends the run, '' if none does; what begins later is the gate's to see, fix by fix."""
        frozen, freezes = self._freezes()
        freeze = freeze_over(freezes, self.around.clock(), needed_s=0)
        return frozen or (freeze_text(freeze) if freeze is not None else "")

    def _freezes(self) -> tuple[str, tuple[Freeze, ...]]:
        """Return why freezes cannot be known ('' when they can), and those of the plan and of now."""
        planned = self.precautions.freezes
        try:
            return "", (*planned, *self.around.freezes())
        except RemedyError as exc:
            return f"frozen: freezes cannot be read: {untrusted(one_line(str(exc)))}", planned

    def live(self, host: str, *, halted: str, fuse: str) -> LiveFacts:
        """Return what is true of the run at this moment, for the gate."""
        frozen, freezes = self._freezes()
        return LiveFacts(
            stopped=self.stop_reason(),
            frozen=frozen,
            freezes=freezes,
            expired=self._expired,
            halted=halted,
            fuse=fuse,
            disruptive_on_host=self.disruptive_on(host),
        )

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

    def record_unattempted(self, ends: Sequence[ExecutionEnd]) -> None:
        """
        Record and remember the ends of executions that never reached their hosts, many in one transaction.

        Raises:
            StateError: they could not be recorded.
        """
        for start in range(0, len(ends), _ENDS_PER_TRANSACTION):
            part = ends[start : start + _ENDS_PER_TRANSACTION]
            self.around.evidence.outcomes(part, started=False)
            for end in part:
                self.note_end(end)
