"""
Applying a plan: the rollouts one after another, each effect carried out, each execution ended.

The main thread feeds `Rollout` with events and carries out its effects; threads
work on hosts. Nothing here decides: the rollout says what comes next, the gate
whether it may.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from remedy.errors import LockHeld, StateError
from remedy.gate import LiveFacts
from remedy.limits import Limit
from remedy.model import Execution, Outcome, Reading, Risk, Scope, Skip, Verdict
from remedy.outcomes import Ended
from remedy.plan import Plan, RulePlan
from remedy.rollout import (
    Begin,
    Effect,
    ExecutionEnded,
    Finished,
    Halted,
    HaltedBy,
    HostEnded,
    HostsRead,
    ReadAgain,
    Rollout,
    SkipHost,
    Soak,
    SoakEnded,
    StartHost,
    StopAsked,
    WaveEnded,
    WaveStarted,
)
from remedy.run.collect import collect
from remedy.run.host_work import HostTask, HostWork, Surroundings
from remedy.state.audit_format import AuditType
from remedy.state.locks import HeldLock
from remedy.summary import ExecutionEnd, RuleHalt
from remedy.verdicts import by_host, judge, verdict_of_key

__all__ = ["Applied", "Applying", "Progress", "RuleStarted"]

_RUN_UNREACHABLE = Limit(count=1, percent=10.0)
"""More than so many of all planned hosts unreachable end the run: rather our network than their trouble."""

_TICK_S = 0.2


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What applying a plan came to; every execution of the plan has one end."""

    ends: tuple[ExecutionEnd, ...]
    halts: tuple[RuleHalt, ...]
    relapsed: tuple[str, ...]
    stopped: str
    interrupted: bool


@dataclass(slots=True)
class _SoFar:
    """What one run remembers of itself; guarded by one lock where threads meet."""

    ends: list[ExecutionEnd] = field(default_factory=list)
    halts: list[RuleHalt] = field(default_factory=list)
    relapsed: set[str] = field(default_factory=set)
    unreachable: set[str] = field(default_factory=set)
    disruptive: set[str] = field(default_factory=set)
    stopped: str = ""


_HostDone = tuple[str, bool]
_Message = ExecutionEnd | HostEnded | StateError


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
        self._on_progress = on_progress
        self._interrupted = interrupted
        self._so_far = _SoFar()
        self._inbox: queue.Queue[_Message] = queue.Queue()
        self._guard = threading.Lock()

    def carry_out(self) -> Applied:
        """
        Carry out every rollout in order and return how each execution ended.

        Raises:
            StateError: evidence could not be written; nothing new was started after that.
        """
        for rule_plan in self._plan.rules:
            if rule_plan.executions:
                self._carry_out_rule(rule_plan)
        so_far = self._so_far
        return Applied(
            ends=tuple(so_far.ends),
            halts=tuple(so_far.halts),
            relapsed=tuple(sorted(so_far.relapsed)),
            stopped=so_far.stopped,
            interrupted=self._interrupted(),
        )

    def _carry_out_rule(self, rule_plan: RulePlan) -> None:
        blocked = self._blocked(rule_plan)
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
            _RuleRun(rule_plan, self._scopes[rule_plan.rule.name], self).carry_out()
        finally:
            if lock is not None:
                lock.release()

    def _blocked(self, rule_plan: RulePlan) -> Ended | None:
        """Return why nothing of a rule may start, if that is so."""
        stopped = self.stop_reason()
        if stopped:
            skip = Skip.INTERRUPTED if self._interrupted() else Skip.STOPPED
            return Ended(outcome=Outcome.SKIPPED, skip=skip, reason=stopped)
        if rule_plan.fuse:
            return Ended(outcome=Outcome.SKIPPED, skip=Skip.FUSE, reason=rule_plan.fuse)
        if self._around.clock() > self._plan.expires_at:
            return Ended(outcome=Outcome.SKIPPED, skip=Skip.PLAN_EXPIRED, reason="the plan is older than 4h")
        return None

    def _end_all(self, rule_plan: RulePlan, ended: Ended) -> None:
        waves = rule_plan.wave_numbers()
        for execution in rule_plan.executions:
            self.end(ExecutionEnd(execution=execution, ended=ended, wave=waves[execution.host]))

    # What a rule's run asks of the whole run.

    @property
    def around(self) -> Surroundings:
        """The surroundings of the run."""
        return self._around

    @property
    def inbox(self) -> queue.Queue[_Message]:
        """Where threads put what has happened."""
        return self._inbox

    @property
    def so_far(self) -> _SoFar:
        """What the run remembers of itself."""
        return self._so_far

    def tell(self, progress: Progress) -> None:
        """Tell whoever watches."""
        self._on_progress(progress)

    def stop_reason(self) -> str:
        """Return why nothing new may be started in this run, '' if it may."""
        if not self._so_far.stopped:
            self._so_far.stopped = (
                "interrupted" if self._interrupted() else self._around.stop_reason()
            ) or self._too_unreachable()
        return self._so_far.stopped

    def _too_unreachable(self) -> str:
        planned, gone = len(self._plan.hosts), len(self._so_far.unreachable)
        if not _RUN_UNREACHABLE.exceeded(gone, hosts=planned):
            return ""
        return f"{gone} of {planned} planned hosts are unreachable, more than {_RUN_UNREACHABLE}"

    def granted(self, execution: Execution, risk: Risk) -> None:
        """Note that a fix has its permit."""
        with self._guard:
            if risk is not Risk.SAFE:
                self._so_far.disruptive.add(execution.host)
        self.tell(ExecutionStarted(execution))

    def disruptive_on(self, host: str) -> bool:
        """Say whether a disruptive fix was started on this host in this run."""
        with self._guard:
            return host in self._so_far.disruptive

    def end(self, end: ExecutionEnd) -> None:
        """Record the end of an execution that never reached its host."""
        self._around.evidence.outcome(end, started=False)
        self._so_far.ends.append(end)
        self.tell(end)


class _RuleRun:
    """One rule's rollout: turns effects into work and what happened into events."""

    def __init__(self, rule_plan: RulePlan, scope: Scope, applying: Applying) -> None:
        self._rule_plan = rule_plan
        self._scope = scope
        self._applying = applying
        self._rollout = Rollout(rule_plan.spec)
        self._hosts = {host.name: host for host in scope.hosts}
        self._executions = rule_plan.by_host()
        self._name = rule_plan.rule.name
        self._finished = False
        self._soak_until: float | None = None
        self._fatal: StateError | None = None

    def carry_out(self) -> None:
        """Drive the rollout from `Begin` to `Finished`."""
        self._tell_start()
        with ThreadPoolExecutor(max_workers=max(1, self._rule_plan.spec.concurrency)) as pool:
            self._carry_on(pool, self._rollout.on(Begin()))
            while not self._finished:
                self._take_message(pool)
        if self._fatal is not None:
            raise self._fatal
        counts: dict[str, int] = {}
        for end in self._applying.so_far.ends:
            if end.execution.rule == self._name:
                counts[end.ended.outcome.value] = counts.get(end.ended.outcome.value, 0) + 1
        self._note(AuditType.ROLLOUT_ENDED, {"outcomes": counts})

    def _tell_start(self) -> None:
        spec = self._rule_plan.spec
        facts = {
            "hosts": list(spec.order),
            "waves": [len(wave) for wave in self._rule_plan.waves],
            "max_bad": spec.max_bad,
            "max_unreachable": spec.max_unreachable,
            "concurrency": spec.concurrency,
            "soak_s": spec.soak_s,
        }
        self._note(AuditType.ROLLOUT_STARTED, facts)
        self._applying.tell(RuleStarted(self._rule_plan))

    def _note(self, kind: AuditType, data: Mapping[str, object]) -> None:
        self._applying.around.evidence.note(kind, {"rule": self._name, **data})

    def _take_message(self, pool: ThreadPoolExecutor) -> None:
        """Wait a moment for what happened; look at the stop file and the clock of the soak meanwhile."""
        try:
            message = self._applying.inbox.get(timeout=_TICK_S)
        except queue.Empty:
            self._look_around(pool)
            return
        match message:
            case ExecutionEnd():
                self._note_end(pool, message)
            case HostEnded():
                self._carry_on(pool, self._rollout.on(message))
            case StateError():
                self._fatal = message
                self._carry_on(pool, self._rollout.on(StopAsked(str(message))))
        self._look_around(pool)

    def _look_around(self, pool: ThreadPoolExecutor) -> None:
        reason = self._applying.stop_reason()
        if reason and self._rollout.halted is None:
            self._soak_until = None
            self._carry_on(pool, self._rollout.on(StopAsked(reason)))
        elif self._soak_until is not None and self._applying.around.monotonic() >= self._soak_until:
            self._soak_until = None
            self._carry_on(pool, self._rollout.on(SoakEnded()))

    def _note_end(self, pool: ThreadPoolExecutor, end: ExecutionEnd) -> None:
        self._applying.so_far.ends.append(end)
        if end.ended.outcome is Outcome.UNREACHABLE:
            self._applying.so_far.unreachable.add(end.execution.host)
        self._applying.tell(end)
        self._carry_on(pool, self._rollout.on(ExecutionEnded(end.execution.host, end.ended.outcome)))

    def _carry_on(self, pool: ThreadPoolExecutor, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case StartHost(host=host, wave=wave):
                    pool.submit(self._work_on, host, wave)
                case SkipHost():
                    self._skip_host(effect)
                case WaveStarted(wave=wave, target=target):
                    self._note(AuditType.WAVE_STARTED, {"wave": wave, "target": target})
                    self._applying.tell(effect)
                case WaveEnded():
                    facts = {"good": effect.good, "bad": effect.bad, "unreachable": effect.unreachable}
                    self._note(AuditType.WAVE_ENDED, {"wave": effect.wave, **facts})
                    self._applying.tell(effect)
                case Soak(seconds=seconds):
                    self._soak_until = self._applying.around.monotonic() + seconds
                    self._applying.tell(effect)
                case ReadAgain(hosts=hosts):
                    self._applying.tell(effect)
                    self._carry_on(pool, self._rollout.on(self._read_again(hosts)))
                case Halted():
                    self._halted(effect)
                case Finished():
                    self._finished = True

    def _halted(self, effect: Halted) -> None:
        applying = self._applying
        applying.so_far.halts.append(RuleHalt(rule=self._name, by=effect.by.value, reason=effect.reason))
        applying.tell(effect)
        if self._fatal is not None:
            return
        self._note(AuditType.ROLLOUT_HALTED, {"by": effect.by.value, "reason": effect.reason})
        if effect.by is HaltedBy.MAX_BAD:
            applying.around.evidence.open_breaker(self._name, effect.reason)

    def _skip_host(self, effect: SkipHost) -> None:
        if self._fatal is not None:
            return
        waves = self._rule_plan.wave_numbers()
        ended = Ended(outcome=Outcome.SKIPPED, skip=effect.skip, reason=effect.reason)
        for execution in self._executions[effect.host]:
            self._applying.end(ExecutionEnd(execution=execution, ended=ended, wave=waves[effect.host]))

    def _live(self, host: str) -> LiveFacts:
        """Return what is true of the run now; asked by threads at the moment of sending."""
        halted = self._rollout.halted
        return LiveFacts(
            stopped=self._applying.stop_reason(),
            halted=halted.reason if halted is not None else "",
            fuse=self._rule_plan.fuse,
            disruptive_on_host=self._applying.disruptive_on(host),
        )

    def _work_on(self, host: str, wave: int) -> None:
        """Carry out one host's executions; runs in a thread, and always says that the host ended."""
        applying = self._applying
        task = HostTask(scope=self._scope, host=self._hosts[host], executions=self._executions[host], wave=wave)
        work = HostWork(
            task,
            applying.around,
            live=self._live,
            on_grant=lambda execution: applying.granted(execution, self._rule_plan.rule.risk),
            on_end=applying.inbox.put,
        )
        healed = False
        try:
            healed = work.carry_out()
        except StateError as exc:
            applying.inbox.put(exc)
        except Exception as exc:  # noqa: BLE001 - the action boundary: the traceback goes to the log.
            applying.around.on_bug(f"{self._name} on {host}", exc)
            applying.inbox.put(StateError(f"internal error on {host}: {type(exc).__name__}; the log has the traceback"))
        applying.inbox.put(HostEnded(host, healed))

    def _read_again(self, hosts: tuple[str, ...]) -> HostsRead:
        """Read fixed hosts again after the soak; those that match again are relapsed."""
        around = self._applying.around
        scope = Scope(
            rule=self._scope.rule,
            hosts=tuple(self._hosts[host] for host in hosts),
            exempt_names=self._scope.exempt_names,
        )
        collection = collect(
            [scope],
            around.signals,
            around.runners,
            clock=around.clock,
            on_end=lambda _end: None,
            asked_to_stop=lambda: bool(self._applying.stop_reason()),
        )
        relapsed, unread = self._relapses(scope, collection.readings)
        self._applying.so_far.relapsed |= {f"{host} ({self._name})" for host in relapsed}
        if relapsed or unread:
            self._note(AuditType.WAVE_ENDED, {"relapsed": sorted(relapsed), "unread": sorted(unread)})
        return HostsRead(frozenset(relapsed), frozenset(unread))

    def _relapses(self, scope: Scope, readings: Iterable[Reading]) -> tuple[set[str], set[str]]:
        around = self._applying.around
        found = by_host(readings)
        signal = around.signals[scope.rule.signal]
        relapsed: set[str] = set()
        unread: set[str] = set()
        for judgement in judge([scope], found, around.signals):
            reading = found.get(judgement.host, {}).get(signal.name)
            for execution in self._executions[judgement.host]:
                verdict = verdict_of_key(judgement, reading, signal, execution.key).verdict
                if verdict is Verdict.MATCH:
                    relapsed.add(judgement.host)
                elif verdict is not Verdict.HEALTHY:
                    unread.add(judgement.host)
        return relapsed, unread - relapsed
