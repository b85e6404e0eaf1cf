"""
Evidence: the audit log and the ledger written together, in the one right order.

Audit first, then ledger: what the ledger knows, the audit log can prove. The
intent is durable in both before the first byte is sent, the result before the
verification, the outcome after it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from remedy.canonical import plain
from remedy.gate import LedgerFacts, Refusal, Request
from remedy.model import Execution, Key, Outcome, ParamValue
from remedy.plan import Plan
from remedy.port import FixResult, Permit
from remedy.state.audit import AuditLog
from remedy.state.audit_format import AuditType
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import Intent, OpenIntent, RunRow
from remedy.summary import ExecutionEnd
from remedy.text import untrusted

__all__ = ["Evidence", "execution_facts"]

_OUTPUT_CHARACTERS_MAX = 4_000
_VALUES_CHARACTERS_MAX = 3_000
"""Of all texts in a record's key, row and parameters together: 11 bytes each at worst, and LINE_BYTES_MAX holds."""
_COMMAND_CHARACTERS_MAX = 4_000


def execution_facts(execution: Execution) -> dict[str, Any]:
    """Return what every audit record about an execution says of it."""
    return _incident_facts(execution.id, execution.rule, execution.host, key=execution.key)


def _incident_facts(execution_id: str, rule: str, host: str, *, key: Key) -> dict[str, Any]:
    return {"execution": execution_id, "rule": rule, "host": host, **_shown(key=dict(key))}


def _shown(**parts: Mapping[str, ParamValue | None]) -> dict[str, dict[str, Any]]:
    """
    Return values as a record has them, long texts cut.

    One host's row must never be too long to be recorded: that would end the run
    for all of them.
    """
    texts = [text for part in parts.values() for value in part.values() for text in _texts(value)]
    each_max = _VALUES_CHARACTERS_MAX // max(1, len(texts))

    def shown(value: ParamValue | None) -> Any:
        if isinstance(value, tuple):
            return [untrusted(item, characters_max=each_max) for item in value]
        return untrusted(value, characters_max=each_max) if isinstance(value, str) else plain(value)

    return {word: {name: shown(value) for name, value in part.items()} for word, part in parts.items()}


def _texts(value: ParamValue | None) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, str) else ()


class Evidence:
    """The ledger and the audit log of one run; used by all its threads."""

    def __init__(self, ledger: Ledger, audit: AuditLog, *, run_id: str, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._audit = audit
        self._run_id = run_id
        self._clock = clock
        self._begun = False

    def open(self, *, actor: str, command: str, facts: Mapping[str, Any]) -> None:
        """Write the first record: who, what, with which rules and inventory."""
        shown = untrusted(command, characters_max=_COMMAND_CHARACTERS_MAX)
        self._audit.append(AuditType.RUN_STARTED, {"actor": actor, "command": shown, **facts})

    def begin(self, plan: Plan, *, actor: str, command: str) -> None:
        """Record the plan that was agreed to; durable before anything is sent."""
        counts = {"executions": len(plan.executions), "held": len(plan.held)}
        self._audit.append(AuditType.PLAN_RECORDED, {"plan_digest": plan.digest, **counts}, sync=True)
        run = RunRow(id=self._run_id, started_at=self._clock(), actor=actor, command=command, plan_digest=plan.digest)
        self._ledger.begin_run(run, plan.executions)
        self._begun = True

    def note(self, event: AuditType, data: Mapping[str, Any]) -> None:
        """Append a record that nothing waits for."""
        self._audit.append(event, data, sync=False)

    def admit(
        self,
        execution: Execution,
        request: Request,
        *,
        boot_id: str | None,
        wave: int,
        decide: Callable[[Request, LedgerFacts], Permit | Refusal],
    ) -> Permit | Refusal:
        """Ask the gate inside a transaction; with a permit, the intent is durable in both."""
        intent = Intent(
            execution_id=execution.id,
            run_id=self._run_id,
            rule=execution.rule,
            host=execution.host,
            key=execution.key,
            script_sha256=execution.script_sha256,
            at=request.now,
            deadline_s=execution.timeout_s,
            boot_id=boot_id,
        )
        facts = {
            "execution": execution.id,
            "rule": execution.rule,
            "host": execution.host,
            **_shown(key=dict(execution.key), row=execution.row, params=execution.params),
            "script": execution.script,
            "script_sha256": execution.script_sha256,
            "deadline_s": execution.timeout_s,
            "boot_id": boot_id,
            "wave": wave,
        }

        def sync_intents(_granted: Sequence[Intent]) -> None:
            self._audit.append(AuditType.EXECUTION_INTENT, facts, sync=True)

        (answer,) = self._ledger.admit([(request, intent)], decide=decide, sync_intents=sync_intents)
        return answer

    def result(self, execution: Execution, result: FixResult) -> None:
        """Record how the run of a fix ended, before it is verified."""
        streams = {
            name: {"bytes": stream.size, "sha256": stream.sha256}
            for name, stream in (("stdout", result.stdout), ("stderr", result.stderr))
        }
        facts = {
            **execution_facts(execution),
            "ending": result.ending.value,
            "exit_code": result.exit_code,
            "reason": untrusted(result.reason, characters_max=500),
            **streams,
        }
        self._audit.append(AuditType.EXECUTION_RESULT, facts, sync=True)
        self._ledger.record_result(execution.id, self._clock(), result.ending, result.exit_code)

    def outcome(self, end: ExecutionEnd, *, started: bool) -> None:
        """Record how an execution ended; of one that never started nothing waits for the disk."""
        ended = end.ended
        reason = f"{ended.skip.value}: {ended.reason}" if ended.skip else ended.reason
        facts = {
            **execution_facts(end.execution),
            "outcome": ended.outcome.value,
            "skip": ended.skip.value if ended.skip else None,
            "reason": untrusted(ended.reason, characters_max=500),
            "output": untrusted(end.output, characters_max=_OUTPUT_CHARACTERS_MAX),
        }
        self._audit.append(AuditType.EXECUTION_OUTCOME, facts, sync=started)
        self._ledger.record_outcome(
            end.execution.id, self._clock(), ended.outcome, untrusted(reason, characters_max=500), run_id=self._run_id
        )

    def close_dead(self, opened: OpenIntent) -> None:
        """Record, in this run's audit file, how an execution of a dead run must be counted."""
        intent = opened.intent
        reason = f"run {intent.run_id} died; named by run {self._run_id}"
        facts = {
            **_incident_facts(intent.execution_id, intent.rule, intent.host, key=intent.key),
            "of_run": intent.run_id,
            "outcome": opened.closes_as.value,
        }
        self._audit.append(AuditType.EXECUTION_LOST, facts, sync=True)
        self._ledger.close_open(intent.execution_id, opened.closes_as, self._clock(), reason)

    def open_breaker(self, rule: str, reason: str) -> None:
        """Record that a rule is paused until a person releases it."""
        self._audit.append(AuditType.BREAKER_OPENED, {"rule": rule, "reason": reason}, sync=True)
        self._ledger.open_breaker(rule, self._run_id, self._clock(), reason)

    def end(self, exit_code: int, *, counts: Mapping[Outcome, int]) -> None:
        """Record how the run ended."""
        by_outcome = {outcome.value: count for outcome, count in counts.items()}
        self._audit.append(AuditType.RUN_ENDED, {"exit_code": exit_code, "outcomes": by_outcome}, sync=True)
        if self._begun:
            self._ledger.end_run(self._run_id, self._clock(), exit_code)
