"""
One rule's rollout carried out: effects become work, and what happened becomes events.

The main thread feeds `Rollout` with events and carries out its effects; the crew
works on hosts and puts what has happened into its inbox.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import assert_never

from remedy.errors import StateError
from remedy.gate import LiveFacts
from remedy.model import Execution, Outcome, OutcomeClass, Reading, Scope, Verdict
from remedy.outcomes import Ended
from remedy.plan import RulePlan
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
from remedy.run.collect import Collection, collect
from remedy.run.crew import Crew
from remedy.run.host_work import HostTask, HostWork
from remedy.run.so_far import RuleStarted, RunSoFar
from remedy.state.audit_format import AuditType
from remedy.summary import ExecutionEnd, RuleHalt, outcome_counts
from remedy.verdicts import by_host, judge, verdict_of_key

__all__ = ["RuleRun"]

_TICK_S = 0.2
_HOSTS_PER_RECORD = 100

_Message = ExecutionEnd | HostEnded


class RuleRun:
    """Carries out the rollout of one rule, once."""

    def __init__(self, rule_plan: RulePlan, scope: Scope, so_far: RunSoFar) -> None:
        self._rule_plan = rule_plan
        self._scope = scope
        self._so_far = so_far
        self._around = so_far.around
        self._rollout = Rollout(rule_plan.spec)
        self._hosts = {host.name: host for host in scope.hosts}
        self._executions = rule_plan.by_host()
        self._waves = rule_plan.wave_numbers()
        self._name = rule_plan.rule.name
        self._crew: Crew[_Message] = so_far.around.crews(max(1, rule_plan.spec.concurrency))
        self._finished = False
        self._soak_until: float | None = None
        self._bad: set[str] = set()
        self._unrecorded: set[str] = set()
        self._is_braked = False

    def carry_out(self) -> None:
        """
        Drive the rollout from `Begin` to `Finished`; no thread is left when this ends.

        Raises:
            StateError: evidence could not be written, or a bug of ours; what ran
                was waited for, and the breaker is open if too much of it went bad.
        """
        self._tell_start()
        try:
            self._roll_out()
        except BaseException as exc:
            braked = self._brake_failed()
            if braked and isinstance(exc, StateError):
                raise StateError(f"{exc}; {braked}") from exc
            raise
        self._brake_late()
        counts = outcome_counts(end for end in self._so_far.ends if end.execution.rule == self._name)
        self._note(AuditType.ROLLOUT_ENDED, {"outcomes": {outcome.value: count for outcome, count in counts.items()}})

    def _roll_out(self) -> None:
        """Drive the rollout until it is finished and nobody is at work; raise the first failure, if there was one."""
        with self._crew:
            try:
                self._carry_on(self._rollout.on(Begin()))
                while not self._finished:
                    self._take_message()
            except BaseException as exc:
                # The crew is waited for on the way out: until then it must be granted nothing more.
                self._so_far.fail(exc if isinstance(exc, StateError) else _internal(self._name, exc))
                first = self._so_far.failure
                if isinstance(exc, StateError) and first is not None and first is not exc:
                    # This may only be what came of it.
                    raise first from exc
                raise
        if self._so_far.failure is not None:
            raise self._so_far.failure

    def _tell_start(self) -> None:
        spec = self._rule_plan.spec
        facts = {
            "waves": [len(wave) for wave in self._rule_plan.waves],
            "max_bad": spec.max_bad,
            "max_unreachable": spec.max_unreachable,
            "concurrency": spec.concurrency,
            "soak_s": spec.soak_s,
        }
        self._note_hosts(AuditType.ROLLOUT_STARTED, "hosts", spec.order, facts=facts)
        self._so_far.tell(RuleStarted(self._rule_plan))

    def _note(self, kind: AuditType, data: Mapping[str, object]) -> None:
        self._around.evidence.note(kind, {"rule": self._name, **data})

    def _note_hosts(self, kind: AuditType, word: str, hosts: Sequence[str], *, facts: Mapping[str, object]) -> None:
        """Note a list of hosts, in as many records as it takes: a record has a limit, a fleet has none."""
        for start in range(0, len(hosts), _HOSTS_PER_RECORD):
            self._note(kind, {word: list(hosts[start : start + _HOSTS_PER_RECORD]), **facts})

    # Events in

    def _take_message(self) -> None:
        """Wait a moment for what happened; look at the stop file and the clock of the soak meanwhile."""
        message = self._crew.take(_TICK_S)
        match message:
            case None:
                pass
            case ExecutionEnd():
                self._so_far.note_end(message)
                self._carry_on(self._rollout.on(ExecutionEnded(message.execution.host, message.ended.outcome)))
            case HostEnded():
                self._carry_on(self._rollout.on(message))
        self._look_around()

    def _look_around(self) -> None:
        reason = self._so_far.stop_reason()
        if reason and self._rollout.halted is None:
            self._soak_until = None
            self._carry_on(self._rollout.on(StopAsked(reason)))
        elif self._soak_until is not None and self._around.monotonic() >= self._soak_until:
            self._soak_until = None
            self._carry_on(self._rollout.on(SoakEnded()))

    # Effects out

    def _carry_on(self, effects: Iterable[Effect]) -> None:
        for is_skip, group in groupby(effects, key=lambda effect: isinstance(effect, SkipHost)):
            if is_skip:
                self._skip_hosts([effect for effect in group if isinstance(effect, SkipHost)])
                continue
            for effect in group:
                self._carry_out_effect(effect)

    def _carry_out_effect(self, effect: Effect) -> None:
        match effect:
            case StartHost(host=host, wave=wave):
                self._crew.begin(host, partial(self._work_on, host, wave))
            case SkipHost():
                self._skip_hosts([effect])
            case WaveStarted(wave=wave, target=target):
                self._note(AuditType.WAVE_STARTED, {"wave": wave, "target": target})
                self._so_far.tell(effect)
            case WaveEnded():
                self._wave_ended(effect)
            case Soak(seconds=seconds):
                self._soak_until = self._around.monotonic() + seconds
                self._so_far.tell(effect)
            case ReadAgain():
                self._read_again(effect)
            case Halted():
                self._halted(effect)
            case Finished():
                self._finished = True
            case _:
                assert_never(effect)

    def _wave_ended(self, effect: WaveEnded) -> None:
        if self._so_far.failure is None:
            facts = {"good": effect.good, "bad": effect.bad, "unreachable": effect.unreachable}
            self._note(AuditType.WAVE_ENDED, {"wave": effect.wave, **facts})
        self._so_far.tell(effect)

    def _halted(self, effect: Halted) -> None:
        self._so_far.halts.append(RuleHalt(rule=self._name, by=effect.by.value, reason=effect.reason))
        self._so_far.tell(effect)
        if self._so_far.failure is not None:
            # The breaker waits for the end of what runs: see _brake_failed.
            return
        self._note(AuditType.ROLLOUT_HALTED, {"by": effect.by.value, "reason": effect.reason})
        if effect.by is HaltedBy.MAX_BAD:
            self._around.evidence.open_breaker(self._name, effect.reason)
            self._is_braked = True

    def _brake_failed(self) -> str:
        """
        Open the breaker also when the run has failed; return what to say of it, '' when nothing is.

        A host counts as bad, too, when something was started there and its end could
        not be recorded: the next run will find it `lost` or `unverified`.
        """
        bad, spec = self._rollout.bad_hosts | self._bad | self._unrecorded, self._rule_plan.spec
        if self._is_braked or len(bad) <= spec.max_bad:
            return ""
        reason = f"{len(bad)} bad, more than max_bad {spec.max_bad}, in a run that failed"
        said = f"{self._name} has {reason}, and is paused until: remedy release {self._name} --reason TEXT"
        try:
            self._around.evidence.open_breaker(self._name, reason)
        except StateError as exc:
            return f"{said}; of that, not everything could be recorded: {exc}"
        return said

    def _brake_late(self) -> None:
        """
        Open the breaker also when something else halted the rollout first.

        What was under way at a stop may have gone bad afterwards: the next run must
        not begin as if it had not.
        """
        halted, bad, spec = self._rollout.halted, self._rollout.bad_hosts, self._rule_plan.spec
        if halted is not None and halted.by is not HaltedBy.MAX_BAD and len(bad) > spec.max_bad:
            reason = f"{len(bad)} bad, more than max_bad {spec.max_bad}, after it was halted by {halted.by.value}"
            self._halted(Halted(HaltedBy.MAX_BAD, reason))

    def _skip_hosts(self, effects: Sequence[SkipHost]) -> None:
        if self._so_far.failure is not None:
            return
        self._so_far.record_unattempted(
            [
                ExecutionEnd(
                    execution=execution,
                    ended=Ended(outcome=Outcome.SKIPPED, skip=effect.skip, reason=effect.reason),
                    wave=self._waves[effect.host],
                )
                for effect in effects
                for execution in self._executions[effect.host]
            ]
        )

    # The work of one host, in a thread

    def _live(self, host: str) -> LiveFacts:
        """Return what is true of the run now; asked by threads at the moment of sending."""
        halted = self._rollout.halted
        return self._so_far.live(host, halted=halted.reason if halted is not None else "", fuse=self._rule_plan.fuse)

    def _work_on(self, host: str, wave: int) -> None:
        """Carry out one host's executions; whatever happens, a failure is noted and the host's end is told."""
        so_far = self._so_far
        where = f"{self._name} on {host}"
        healed = False
        failure: StateError | None = StateError(f"internal error: {where} ended without a word")
        try:
            task = HostTask(
                scope=self._scope,
                host=self._hosts[host],
                executions=self._executions[host],
                wave=wave,
                endpoint=so_far.endpoints.get(host, ""),
                precautions=so_far.precautions,
            )
            work = HostWork(
                task,
                self._around,
                live=self._live,
                on_grant=self._granted,
                on_end=self._ended,
            )
            healed = work.carry_out()
            failure = None
        except StateError as exc:
            failure = exc
        except Exception as exc:  # noqa: BLE001 - the action boundary: the traceback goes to the log.
            failure = _internal(where, exc)
            self._around.on_bug(where, exc)
        finally:
            if failure is not None:
                so_far.fail(failure)
            self._crew.put(HostEnded(host, healed))

    def _granted(self, execution: Execution) -> None:
        self._unrecorded.add(execution.host)
        self._so_far.granted(execution, self._rule_plan.rule.risk)

    def _ended(self, end: ExecutionEnd) -> None:
        """Hear, in the host's thread, of an end that is recorded; the main thread may not come to it any more."""
        host = end.execution.host
        self._unrecorded.discard(host)
        if end.ended.outcome.outcome_class is OutcomeClass.BAD:
            self._bad.add(host)
        self._crew.put(end)

    # After the soak

    def _read_again(self, effect: ReadAgain) -> None:
        """Read fixed hosts again after the soak, and go on with what that says, or with a stop asked for meanwhile."""
        self._so_far.tell(effect)
        try:
            read = self._hosts_read(effect.hosts)
        except StateError:
            raise
        except Exception as exc:  # noqa: BLE001 - the boundary: hosts of which nothing is known prove nothing.
            self._around.on_bug(f"reading hosts of {self._name} again", exc)
            read = HostsRead(frozenset(), frozenset(effect.hosts))
        if not read.relapsed:
            # What was not read because of a stop is no lack of good outcomes.
            self._look_around()
        self._carry_on(self._rollout.on(read))

    def _hosts_read(self, hosts: tuple[str, ...]) -> HostsRead:
        around = self._around
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
            asked_to_stop=lambda: bool(self._so_far.stop_reason()),
            crews=around.crews,
        )
        elsewhere = self._elsewhere(collection)
        relapsed, unread = self._relapses(scope, collection.readings)
        relapsed, unread = relapsed - elsewhere, unread | elsewhere
        self._so_far.relapsed |= {f"{host} ({self._name})" for host in relapsed}
        for word, names in (("relapsed", relapsed), ("unread", unread)):
            self._note_hosts(AuditType.WAVE_READ, word, sorted(names), facts={})
        return HostsRead(frozenset(relapsed), frozenset(unread))

    def _elsewhere(self, collection: Collection) -> set[str]:
        """Return the hosts that lead elsewhere than when the plan was made: what was read there proves nothing."""
        planned = self._so_far.endpoints
        return {
            end.host
            for end in collection.host_ends
            if end.endpoint and end.endpoint != planned.get(end.host, end.endpoint)
        }

    def _relapses(self, scope: Scope, readings: Iterable[Reading]) -> tuple[set[str], set[str]]:
        """Return the hosts on which what was fixed matches again, and those of which that cannot be told."""
        found = by_host(readings)
        signal = self._around.signals[scope.rule.signal]
        fixed = {end.execution.id for end in self._so_far.ends if end.ended.outcome is Outcome.FIXED}
        relapsed: set[str] = set()
        unread: set[str] = set()
        for judgement in judge([scope], found, self._around.signals):
            reading = found.get(judgement.host, {}).get(signal.name)
            for execution in self._executions[judgement.host]:
                if execution.id not in fixed:
                    continue
                verdict = verdict_of_key(judgement, reading, signal, execution.key).verdict
                if verdict is Verdict.MATCH:
                    relapsed.add(judgement.host)
                elif verdict is not Verdict.HEALTHY:
                    unread.add(judgement.host)
        return relapsed, unread - relapsed


def _internal(where: str, exc: BaseException) -> StateError:
    return StateError(f"internal error: {where}: {type(exc).__name__}; the log has the traceback")
