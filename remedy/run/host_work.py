"""
One host's part of a rollout: lock, connect, and per execution re-check, permit, fix, verify.

Runs in one thread. Whatever happens, every execution handed in ends with exactly
one outcome, recorded before it is told.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from remedy.errors import LockHeld, Refused, StateError, Unreachable
from remedy.gate import LedgerFacts, LiveFacts, Refusal, Request, blocked, decide
from remedy.model import (
    Execution,
    Host,
    Key,
    Outcome,
    OutcomeClass,
    Reading,
    Row,
    Scope,
    Signal,
    Skip,
    Verdict,
    VerifyLater,
    VerifyUntil,
    script_value,
    value_text,
)
from remedy.outcomes import Ended, FreshRow, is_proved, outcome_of_fix, outcome_of_verification
from remedy.plan import GRACE_S
from remedy.planning import exemption_of, gate_request
from remedy.port import FixJob, FixResult, Permit, ScriptValue, Session
from remedy.precautions import NO_PRECAUTIONS, Precautions
from remedy.run.collect import Runners, collect_jobs, read_session, runner_of, target_of
from remedy.run.crew import Crews, ThreadCrew
from remedy.run.evidence import Evidence
from remedy.schedule import Freeze
from remedy.state.locks import HeldLock, Locks
from remedy.summary import ExecutionEnd
from remedy.text import untrusted
from remedy.verdicts import KeyVerdict, judge, needed_signals, other_rows, verdict_of_key

__all__ = ["HostTask", "HostWork", "Surroundings", "fix_environment"]

_POLL_S_MIN = 1.0
_POLL_S_MAX = 10.0
_NOTE_CHARACTERS_MAX = 400
_CONNECT_S_MAX = 60
"""No connection takes longer than the runner's deadlines for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """
    Everything outside that a run touches, handed in once.

    `monotonic` counts seconds and never goes back; `stop_reason` reads the stop
    file; `freezes` reads those of remedy.yaml as they are now, and raises RemedyError
    when they cannot be known; `on_bug` keeps a traceback for the log. `caller` says
    in a host's own log who is at work there and from where ('': nothing is logged).
    """

    runners: Runners
    signals: Mapping[str, Signal]
    evidence: Evidence
    locks: Locks
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    stop_reason: Callable[[], str]
    on_bug: Callable[[str, BaseException], None]
    freezes: Callable[[], tuple[Freeze, ...]]
    caller: str = ""
    crews: Crews = ThreadCrew


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTask:
    """
    One host's executions of one rule, in key order, in one wave.

    `endpoint` is where the host led when the plan was made; a host that leads
    elsewhere by now is refused.
    """

    scope: Scope
    host: Host
    executions: tuple[Execution, ...]
    wave: int
    endpoint: str = ""
    precautions: Precautions = NO_PRECAUTIONS


def fix_environment(execution: Execution, row: Row) -> dict[str, ScriptValue]:
    """Return what a fix may read: the row of its re-check (null = unset), parameters, names, deadline."""
    values = {f"REMEDY_ROW_{name.upper()}": value_text(value) for name, value in row.items() if value is not None}
    params = {f"REMEDY_PARAM_{name.upper()}": script_value(value) for name, value in execution.params.items()}
    return {
        **values,
        **params,
        "REMEDY_HOST": execution.host,
        "REMEDY_RULE": execution.rule,
        "REMEDY_EXECUTION": execution.id,
        "REMEDY_DEADLINE_S": str(execution.timeout_s),
    }


class HostWork:
    """Carries out one host's task; tells `on_end` of each execution once it is recorded."""

    def __init__(
        self,
        task: HostTask,
        around: Surroundings,
        *,
        live: Callable[[str], LiveFacts],
        on_grant: Callable[[Execution], None],
        on_end: Callable[[ExecutionEnd], None],
    ) -> None:
        self._task = task
        self._around = around
        self._live = live
        self._on_grant = on_grant
        self._on_end = on_end
        self._rule = task.scope.rule
        self._signal = around.signals[self._rule.signal]
        self._jobs = collect_jobs(task.host, needed_signals([self._rule]), around.signals)
        self._lock: HeldLock | None = None
        self._session: Session | None = None
        self._started: set[str] = set()

    def carry_out(self) -> bool:
        """
        End every execution; return whether the host was healed by itself (nothing left to mend).

        Raises:
            StateError: evidence cannot be written; the run must stop.
        """
        endings: list[Ended] = []
        try:
            blocked = self._prepare_guarded()
            for execution in self._task.executions:
                blocked = blocked or _host_bad(endings)
                ended, output = (blocked, "") if blocked else self._attempt_guarded(execution)
                endings.append(ended)
                self._record(execution, ended, output)
        finally:
            self._close()
        return all(ended.skip is Skip.HEALED for ended in endings)

    def _record(self, execution: Execution, ended: Ended, output: str) -> None:
        end = ExecutionEnd(execution=execution, ended=ended, wave=self._task.wave, output=output)
        self._around.evidence.outcome(end, started=execution.id in self._started)
        self._on_end(end)

    def _prepare_guarded(self) -> Ended | None:
        """Prepare; a bug of ours refuses this host, and ends no other."""
        try:
            return self._prepare()
        except StateError:
            raise
        except Exception as exc:  # noqa: BLE001 - the action boundary: the traceback goes to the log.
            said = self._say_bug(exc)
            return Ended(outcome=Outcome.REFUSED, reason=f"{said}; nothing was started")

    def _say_bug(self, exc: Exception) -> str:
        """Have a traceback kept, and return the short reason for people."""
        self._around.on_bug(f"{self._rule.name} on {self._task.host.name}", exc)
        return f"internal error: {type(exc).__name__}; the log has the traceback"

    def _prepare(self) -> Ended | None:
        """Take the host's lock and connect; return why that cannot be, which ends all executions."""
        name = self._task.host.name
        no = blocked(self._live(name), now=self._around.clock(), needed_s=0)
        if no is not None:
            return Ended(outcome=Outcome.SKIPPED, skip=no.skip, reason=no.reason)
        try:
            self._lock = self._around.locks.host(name, needed_s=self._longest_s())
            self._session = self._connect()
        except LockHeld as exc:
            return Ended(outcome=Outcome.SKIPPED, skip=Skip.HOST_BUSY, reason=str(exc))
        except Unreachable as exc:
            return Ended(outcome=Outcome.UNREACHABLE, reason=f"{untrusted(str(exc))}; nothing was started")
        except Refused as exc:
            return Ended(outcome=Outcome.REFUSED, reason=f"{untrusted(str(exc))}; nothing was started")
        return None

    def _longest_s(self) -> float:
        """Return how long this host can be worked on at most: each deadline, and a grace for each."""
        read_s = _CONNECT_S_MAX + sum(job.timeout_s for job in self._jobs) + GRACE_S
        verify = self._rule.verify
        proof_s = verify.settle_s + verify.within_s if isinstance(verify, VerifyUntil) else 0
        each_s = (read_s + execution.timeout_s + GRACE_S + proof_s + read_s for execution in self._task.executions)
        return _CONNECT_S_MAX + sum(each_s)

    def _connect(self) -> Session:
        """Connect, unless the host leads elsewhere than when the plan was made: that would be another machine."""
        host, planned = self._task.host, self._task.endpoint
        runner, target = runner_of(self._around.runners, host), target_of(host)
        if planned and (now := str(runner.endpoint(target))) != planned:
            raise Refused(f"{host.name} leads to {now} now, and to {planned} in the plan; plan again")
        return runner.connect(target)

    def _close(self) -> None:
        try:
            if self._session is not None:
                self._session.close()
        except Exception as exc:  # noqa: BLE001 - the action boundary: every outcome is recorded by now.
            self._say_bug(exc)
        finally:
            if self._lock is not None:
                self._lock.release()

    def _attempt_guarded(self, execution: Execution) -> tuple[Ended, str]:
        """Attempt an execution; a bug of ours becomes an outcome too, `lost` when a fix may have started."""
        try:
            return self._attempt(execution)
        except StateError:
            raise
        except Exception as exc:  # noqa: BLE001 - the action boundary: the traceback goes to the log.
            said = self._say_bug(exc)
            if execution.id in self._started:
                return Ended(outcome=Outcome.LOST, reason=said), ""
            return Ended(outcome=Outcome.REFUSED, reason=f"{said}; nothing was started"), ""

    def _attempt(self, execution: Execution) -> tuple[Ended, str]:
        session = self._session
        if session is None:
            return Ended(outcome=Outcome.UNREACHABLE, reason="the link is gone; nothing was started"), ""
        try:
            readings, boot_id = self._read(session)
        except Unreachable as exc:
            return Ended(outcome=Outcome.UNREACHABLE, reason=f"{untrusted(str(exc))}; nothing was started"), ""
        except Refused as exc:
            return Ended(outcome=Outcome.REFUSED, reason=f"{untrusted(str(exc))}; nothing was started"), ""
        checked = self._recheck(readings, execution.key)
        exempt = self._exempt_now(readings, checked)
        if exempt is not None:
            return exempt, ""
        execution = replace(execution, row=checked.row or execution.row)
        answer = self._ask_gate(execution, checked, boot_id)
        if isinstance(answer, Refusal):
            reason = checked.reason if answer.skip is Skip.NOT_SEEN and checked.reason else answer.reason
            return Ended(outcome=Outcome.SKIPPED, skip=answer.skip, reason=reason), ""
        self._started.add(execution.id)
        self._on_grant(execution)
        return self._fix(session, answer, execution)

    def _read(self, session: Session) -> tuple[dict[str, Reading], str | None]:
        around = self._around
        readings, boot_id = read_session(session, self._task.host, self._jobs, around.signals, clock=around.clock)
        return {reading.signal: reading for reading in readings}, boot_id

    def _recheck(self, readings: Mapping[str, Reading], key: Key) -> KeyVerdict:
        """Return what fresh readings say of the row with this key."""
        host, scope = self._task.host, self._task.scope
        one_host = Scope(rule=scope.rule, hosts=(host,), exempt_names=scope.exempt_names)
        (judgement,) = judge([one_host], {host.name: readings}, self._around.signals)
        return verdict_of_key(judgement, readings.get(self._signal.name), self._signal, key)

    def _exempt_now(self, readings: Mapping[str, Reading], checked: KeyVerdict) -> Ended | None:
        """Return the end of an execution whose row, as it is now, a person has exempted."""
        if checked.verdict is not Verdict.MATCH or checked.row is None:
            return None
        others = other_rows(needed_signals([self._rule]), readings)
        held = exemption_of(self._task.scope, self._task.host, checked.row, others, now=self._around.clock())
        return None if held is None else Ended(outcome=Outcome.SKIPPED, skip=Skip.EXEMPT, reason=held.reason)

    def _ask_gate(self, execution: Execution, checked: KeyVerdict, boot_id: str | None) -> Permit | Refusal:
        request = gate_request(
            self._rule,
            self._task.host,
            execution.key,
            script=self._rule.fix[self._task.host.platform],
            precautions=self._task.precautions,
            now=self._around.clock(),
            execution_id=execution.id,
            recheck=checked.verdict,
        )

        def decide_now(asked: Request, facts: LedgerFacts) -> Permit | Refusal:
            return decide(asked, facts, self._live(asked.host))

        return self._around.evidence.admit(execution, request, boot_id=boot_id, wave=self._task.wave, decide=decide_now)

    def _fix(self, session: Session, permit: Permit, execution: Execution) -> tuple[Ended, str]:
        script = self._rule.fix[self._task.host.platform]
        job = FixJob(
            execution_id=execution.id,
            script=script.body,
            script_sha256=script.sha256,
            environment=fix_environment(execution, execution.row),
            timeout_s=script.timeout_s,
            become_root=script.become_root,
            note=_note(execution, self._around.caller),
        )
        try:
            result = session.fix(permit, job)
        except Unreachable as exc:
            return Ended(outcome=Outcome.UNREACHABLE, reason=f"{untrusted(str(exc))}; nothing was started"), ""
        self._around.evidence.result(execution, result)
        ended = outcome_of_fix(result, needs_reboot_codes=script.needs_reboot_codes)
        return self._verify_guarded(ended, execution), _shown_output(result)

    def _verify_guarded(self, ended: Ended | None, execution: Execution) -> Ended:
        """Verify what ended well, and read again what failed; a bug of ours does not undo a result that is known."""
        try:
            if ended is None:
                return self._verify(execution)
            if ended.outcome is Outcome.FAILED:
                return self._read_after_failure(ended, execution)
        except Exception as exc:  # noqa: BLE001 - the action boundary: the traceback goes to the log.
            said = self._say_bug(exc)
            return ended or Ended(outcome=Outcome.UNVERIFIED, reason=said)
        return ended

    def _read_after_failure(self, ended: Ended, execution: Execution) -> Ended:
        fresh = self._fresh_row(execution, until=None)
        state = {True: "the condition still holds", False: "though the condition no longer holds"}
        said = state.get(fresh.when, "") if fresh.when is not None else ""
        return replace(ended, reason=f"{ended.reason}; {said}") if said else ended

    def _verify(self, execution: Execution) -> Ended:
        verify = self._rule.verify
        if isinstance(verify, VerifyLater):
            return Ended(outcome=Outcome.DONE, reason="the next scan decides")
        around = self._around
        around.sleep(verify.settle_s)
        give_up_at = around.monotonic() + verify.within_s
        pause_s = _POLL_S_MIN
        while True:
            fresh = self._fresh_row(execution, until=verify)
            left_s = give_up_at - around.monotonic()
            if is_proved(fresh, rows=self._signal.rows) or left_s <= 0:
                return outcome_of_verification(fresh, rows=self._signal.rows)
            around.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 2, _POLL_S_MAX)

    def _fresh_row(self, execution: Execution, *, until: VerifyUntil | None) -> FreshRow:
        """Read again, over a new connection if the old one is gone; never raises for the host's sake."""
        try:
            if self._session is None:
                self._session = self._connect()
            readings, _ = self._read(self._session)
        except (Unreachable, Refused) as exc:
            if self._session is not None:
                self._session.close()
            self._session = None
            return FreshRow(present=None, reason=untrusted(str(exc)))
        checked = self._recheck(readings, execution.key)
        if checked.row is None:
            return FreshRow(present=False if checked.gone else None, reason=checked.reason)
        params = self._rule.params_for(self._task.host)
        others = other_rows(needed_signals([self._rule]), readings)
        when = self._rule.when.bind(params)(checked.row, others)
        reached = until.until.bind(params)(checked.row, others) if until is not None else None
        return FreshRow(present=True, when=when, until=reached, reason=_change_text(execution.row, checked.row))


def _change_text(before: Row, after: Row) -> str:
    """Return what changed between two readings of a row, such as 'free_percent 8.35 -> 82.76'."""
    parts = (
        f"{name} {value_text(before.get(name)) or '?'} -> {value_text(value) or '?'}"
        for name, value in after.items()
        if before.get(name) != value
    )
    return untrusted(", ".join(parts), characters_max=200) or "nothing changed"


def _note(execution: Execution, caller: str) -> str:
    """Return what a host's own log says of a fix besides its id; no value of a row or parameter is in it."""
    if not caller:
        return ""
    said = f"rule {execution.rule}, script {execution.script_sha256}, by {caller}"
    return untrusted(said, characters_max=_NOTE_CHARACTERS_MAX)[:_NOTE_CHARACTERS_MAX]


def _host_bad(endings: Sequence[Ended]) -> Ended | None:
    """Return why nothing more is tried on a host: one of its executions was bad."""
    for ended in endings:
        if ended.outcome.outcome_class is OutcomeClass.BAD:
            reason = f"an execution before it ended as {ended.outcome.value}"
            return Ended(outcome=Outcome.SKIPPED, skip=Skip.HOST_BAD, reason=reason)
    return None


def _shown_output(result: FixResult) -> str:
    streams = (untrusted(stream.kept, keep_newlines=True).strip() for stream in (result.stdout, result.stderr))
    return "\n".join(text for text in streams if text)
