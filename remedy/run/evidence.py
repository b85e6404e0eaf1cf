"""
Evidence: the audit log and the ledger written together, in the one right order.

Audit first, then ledger: what the ledger knows, the audit log can prove. The
intent is durable in both before the first byte is sent, the result before the
verification, the outcome after it. What threads ask for at the same moment is
written together, with one sync.

When the audit log fails the run must stop; results and outcomes of what was in
flight then go to the ledger and to a witness all the same. What none of the three
has is `lost`, or `unverified`, for whoever resumes the run.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from remedy.canonical import canonical_json
from remedy.errors import StateError
from remedy.gate import LedgerFacts, Refusal, Request
from remedy.model import Execution, Outcome
from remedy.plan import Plan
from remedy.plan_document import plan_document
from remedy.port import FixResult, Permit
from remedy.run.grouping import GroupCommit
from remedy.run.records import Wish, execution_facts, incident_facts, intent_facts
from remedy.state.audit import AuditLog
from remedy.state.audit_format import AuditType
from remedy.state.kept import Kept
from remedy.state.ledger import Ledger, raise_first
from remedy.state.ledger_rows import Intent, OpenIntent, OutcomeRow, ResultRow, RunRow
from remedy.summary import ExecutionEnd
from remedy.text import untrusted

__all__ = ["Evidence", "Wish", "execution_facts"]

_COMMAND_CHARACTERS_MAX = 4_000
_REASON_CHARACTERS_MAX = 500
_SCRIPTS_SHOWN_MAX = 400
"""Of a plan's scripts, by digest, in its record: 67 bytes each."""

_Row = TypeVar("_Row", ResultRow, OutcomeRow)
_Contradictions = Sequence[StateError | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told(Generic[_Row]):
    """
    A result or an outcome: its audit record, its row in the ledger, and what it is, in words.

    Of what was never started nothing waits for the disk, and no witness is needed.
    """

    execution: Execution
    facts: Mapping[str, Any]
    row: _Row
    said: str
    reason: str
    started: bool = True

    def __str__(self) -> str:
        execution = self.execution
        name = f"execution {execution.id} ({execution.rule} on {execution.host})"
        return untrusted(f"{name}: {self.said}") + (f": {self.reason}" if self.reason else "")


class Evidence:
    """
    The ledger and the audit log of one run; used by all its threads.

    `outputs` keeps what fixes printed, `sources` the plan and its scripts, each by
    digest; without them the audit log has no more than what it says itself.
    `witness` is told, in one line each, what the audit log could not take.
    """

    def __init__(
        self,
        ledger: Ledger,
        audit: AuditLog,
        *,
        run_id: str,
        clock: Callable[[], datetime],
        outputs: Kept | None = None,
        sources: Kept | None = None,
        witness: Callable[[str], None] = lambda _said: None,
    ) -> None:
        self._ledger = ledger
        self._audit = audit
        self._run_id = run_id
        self._clock = clock
        self._outputs = outputs
        self._sources = sources
        self._witness = witness
        self._begun = False
        self._endpoints: Mapping[str, str] = {}
        self._wishes: GroupCommit[Wish, Permit | Refusal] = GroupCommit(self.admit_all)
        self._results: GroupCommit[_Told[ResultRow], None] = GroupCommit(self._record_results)
        self._outcomes: GroupCommit[_Told[OutcomeRow], None] = GroupCommit(self._record_outcomes)

    @property
    def head(self) -> str:
        """The hash of the newest record: noted elsewhere, it proves what was recorded up to here."""
        return self._audit.head

    def open(self, *, actor: Mapping[str, Any] | str, command: str, facts: Mapping[str, Any]) -> None:
        """
        Write the first record: who, what, with which rules and inventory.

        Raises:
            StateError: the audit log did not take it.
        """
        shown = untrusted(command, characters_max=_COMMAND_CHARACTERS_MAX)
        self._audit.append(AuditType.RUN_STARTED, {"actor": actor, "command": shown, **facts})

    def begin(self, plan: Plan, *, actor: str, command: str) -> None:
        """
        Record the plan that was agreed to; durable before anything is sent.

        Raises:
            StateError: it, or the plan's or a script's bytes, could not be recorded; nothing may be sent.
        """
        counts = {"executions": len(plan.executions), "held": len(plan.held)}
        facts = {"plan_digest": plan.digest, **counts, **self._keep_sources(plan)}
        self._audit.append(AuditType.PLAN_RECORDED, facts, sync=True)
        run = RunRow(id=self._run_id, started_at=self._clock(), actor=actor, command=command, plan_digest=plan.digest)
        self._ledger.begin_run(run, plan.executions)
        self._begun = True
        self._endpoints = plan.endpoints

    def _keep_sources(self, plan: Plan) -> dict[str, Any]:
        """Keep the plan and the scripts that it would run; return their digests, as its record has them."""
        if self._sources is None:
            return {}
        used = {execution.script_sha256 for execution in plan.executions}
        bodies = {
            script.sha256: script.body
            for rule_plan in plan.rules
            for script in rule_plan.rule.fix.values()
            if script.sha256 in used
        }
        rules = [rule_plan.rule for rule_plan in plan.rules if rule_plan.executions]
        for rule in rules:
            # Kept under the very digest that the plan names: it is taken over these bytes.
            self._sources.keep(rule.resolved.encode())
        kept = sorted(self._sources.keep(body) for body in bodies.values())
        document = canonical_json(plan_document(plan)).encode()
        return {
            "plan_sha256": self._sources.keep(document),
            "scripts": kept[:_SCRIPTS_SHOWN_MAX],
            "scripts_left_out": len(kept[_SCRIPTS_SHOWN_MAX:]),
        }

    def note(self, event: AuditType, data: Mapping[str, Any]) -> None:
        """
        Append a record that nothing waits for.

        Raises:
            StateError: the audit log did not take it.
        """
        self._audit.append(event, data, sync=False)

    # Intents

    def admit(
        self,
        execution: Execution,
        request: Request,
        *,
        boot_id: str | None,
        wave: int,
        decide: Callable[[Request, LedgerFacts], Permit | Refusal],
    ) -> Permit | Refusal:
        """
        Ask the gate inside a transaction; with a permit, the intent is durable in both.

        Raises:
            StateError: the intent is not durable in both: nothing may be sent.
        """
        return self._wishes.ask(Wish(execution=execution, request=request, boot_id=boot_id, wave=wave, decide=decide))

    def admit_all(self, wishes: Sequence[Wish]) -> tuple[Permit | Refusal, ...]:
        """Do for many, in one transaction and with one sync, what `admit` does for one; the answers are in order."""
        pairs = [(wish.request, self._intent(wish)) for wish in wishes]
        # By identity, not by execution id: should one be asked for twice, each has its own facts.
        deciding = {id(wish.request): wish.decide for wish in wishes}
        wish_of = {id(intent): wish for (_request, intent), wish in zip(pairs, wishes, strict=True)}

        def decide(request: Request, facts: LedgerFacts) -> Permit | Refusal:
            # The time of the decision, not of the asking: who waited for the ledger is judged by now.
            return deciding[id(request)](replace(request, now=self._clock()), facts)

        def sync_intents(granted: Sequence[Intent]) -> None:
            records = [(AuditType.EXECUTION_INTENT, self._intent_facts(wish_of[id(intent)])) for intent in granted]
            self._audit.append_all(records, sync=True)

        return self._ledger.admit(pairs, decide=decide, sync_intents=sync_intents)

    def _intent_facts(self, wish: Wish) -> dict[str, Any]:
        return intent_facts(wish, endpoint=self._endpoints.get(wish.execution.host, ""))

    def _intent(self, wish: Wish) -> Intent:
        execution = wish.execution
        return Intent(
            execution_id=execution.id,
            run_id=self._run_id,
            rule=execution.rule,
            host=execution.host,
            key=execution.key,
            script_sha256=execution.script_sha256,
            at=wish.request.now,
            deadline_s=execution.timeout_s,
            boot_id=wish.boot_id,
        )

    # Results

    def result(self, execution: Execution, result: FixResult) -> None:
        """
        Record how the run of a fix ended, before it is verified.

        Raises:
            StateError: audit log or ledger did not take it; the run must stop.
        """
        self._results.ask(self._seen(execution, result))

    def results(self, results: Iterable[tuple[Execution, FixResult]]) -> None:
        """Do for many, in one transaction and with one sync, what `result` does for one."""
        raise_first(self._record_results([self._seen(execution, result) for execution, result in results]))

    def _seen(self, execution: Execution, result: FixResult) -> _Told[ResultRow]:
        reason = untrusted(result.reason, characters_max=_REASON_CHARACTERS_MAX)
        facts = {
            **execution_facts(execution),
            "ending": result.ending.value,
            "exit_code": result.exit_code,
            "reason": reason,
            "stdout": {"bytes": result.stdout.size, "sha256": result.stdout.sha256},
            "stderr": {"bytes": result.stderr.size, "sha256": result.stderr.sha256},
        }
        row = ResultRow(execution_id=execution.id, at=self._clock(), ending=result.ending, exit_code=result.exit_code)
        code = "" if result.exit_code is None else f", exit code {result.exit_code}"
        return _Told(execution=execution, facts=facts, row=row, said=f"{result.ending.value}{code}", reason=reason)

    def _record_results(self, group: Sequence[_Told[ResultRow]]) -> _Contradictions:
        return self._write(AuditType.EXECUTION_RESULT, group, record=self._ledger.record_results)

    # Outcomes

    def outcome(self, end: ExecutionEnd, *, started: bool) -> None:
        """
        Record how an execution ended; of one that never started nothing waits for the disk.

        Raises:
            StateError: audit log or ledger did not take it; the run must stop.
        """
        self._outcomes.ask(self._ended(end, started=started))

    def outcomes(self, ends: Iterable[ExecutionEnd], *, started: bool) -> None:
        """Do for many, in one transaction and with at most one sync, what `outcome` does for one."""
        raise_first(self._record_outcomes([self._ended(end, started=started) for end in ends]))

    def _ended(self, end: ExecutionEnd, *, started: bool) -> _Told[OutcomeRow]:
        ended = end.ended
        said = untrusted(ended.reason, characters_max=_REASON_CHARACTERS_MAX)
        skipped = f"{ended.skip.value}: {ended.reason}" if ended.skip else ""
        row = OutcomeRow(
            run_id=self._run_id,
            execution_id=end.execution.id,
            at=self._clock(),
            outcome=ended.outcome,
            reason=untrusted(skipped, characters_max=_REASON_CHARACTERS_MAX) if skipped else said,
        )
        facts = {
            **execution_facts(end.execution),
            "outcome": ended.outcome.value,
            "skip": ended.skip.value if ended.skip else None,
            "reason": said,
            **self._keep_output(end.output),
        }
        return _Told(
            execution=end.execution, facts=facts, row=row, said=ended.outcome.value, reason=said, started=started
        )

    def _keep_output(self, output: str) -> dict[str, Any]:
        """Keep what a fix printed; return its digest, or why there is none: no outcome is lost for it."""
        if not output:
            return {"output_sha256": None}
        if self._outputs is None:
            return {"output_sha256": None, "output_not_kept": "this run has no place for outputs"}
        if self._audit.full:
            # What room there is was set aside for outcomes.
            return {"output_sha256": None, "output_not_kept": "the disk is full"}
        try:
            return {"output_sha256": self._outputs.keep(output.encode(errors="backslashreplace"))}
        except StateError as exc:
            return {
                "output_sha256": None,
                "output_not_kept": untrusted(str(exc), characters_max=_REASON_CHARACTERS_MAX),
            }

    def _record_outcomes(self, group: Sequence[_Told[OutcomeRow]]) -> _Contradictions:
        return self._write(AuditType.EXECUTION_OUTCOME, group, record=self._ledger.record_outcomes)

    def _write(
        self, kind: AuditType, group: Sequence[_Told[_Row]], *, record: Callable[[Sequence[_Row]], _Contradictions]
    ) -> _Contradictions:
        """
        Write to the audit log, then to the ledger; return what contradicts each in the ledger.

        When the audit log does not take it, the ledger and the witness get what was
        in flight all the same, and then the error is raised.
        """
        in_flight = [told for told in group if told.started]
        try:
            self._audit.append_all([(kind, told.facts) for told in group], sync=bool(in_flight))
        except StateError as exc:
            raise self._bear_witness(exc, in_flight, record=record) from exc
        return record([told.row for told in group])

    def _bear_witness(
        self,
        failure: StateError,
        in_flight: Sequence[_Told[_Row]],
        *,
        record: Callable[[Sequence[_Row]], _Contradictions],
    ) -> StateError:
        """Record in the ledger what the audit log has not for certain, say it, and return the error to raise."""
        if not in_flight:
            return failure
        where = "the ledger has it"
        contradictions: _Contradictions = [None] * len(in_flight)
        try:
            contradictions = record([told.row for told in in_flight])
        except StateError as exc:
            failure = StateError(f"{failure}; and {exc}")
            where = "nor has the ledger"
        for told, contradiction in zip(in_flight, contradictions, strict=True):
            self._witness(f"the audit log may not have {told}; {contradiction or where}")
        return failure

    # What is about more than one execution

    def close_dead(self, opened: OpenIntent) -> None:
        """
        Record, in this run's audit file, how an execution of a dead run must be counted.

        Raises:
            StateError: audit log or ledger did not take it.
        """
        intent = opened.intent
        reason = f"run {intent.run_id} died; named by run {self._run_id}"
        facts = {
            **incident_facts(intent.execution_id, intent.rule, intent.host, key=intent.key),
            "of_run": intent.run_id,
            "outcome": opened.closes_as.value,
        }
        self._audit.append(AuditType.EXECUTION_LOST, facts, sync=True)
        self._ledger.close_open(intent.execution_id, opened.closes_as, self._clock(), reason)

    def open_breaker(self, rule: str, reason: str, *, of_run: str = "") -> None:
        """
        Record that a rule is paused until a person releases it.

        `of_run` is the dead run that went bad, '' for this one: the ledger has the
        breaker under that name, for of a run that has no plan it knows nothing.

        Raises:
            StateError: audit log or ledger did not take it; the ledger was tried all the same.
        """
        facts = {"rule": rule, "reason": reason} | ({"of_run": of_run} if of_run else {})
        try:
            self._audit.append(AuditType.BREAKER_OPENED, facts, sync=True)
        finally:
            # A brake holds also when nobody can be told of it.
            self._ledger.open_breaker(rule, of_run or self._run_id, self._clock(), reason)

    def end(self, exit_code: int, *, counts: Mapping[Outcome, int]) -> None:
        """
        Record how the run ended; in the ledger only when it began there.

        Raises:
            StateError: audit log or ledger did not take it.
        """
        by_outcome = {outcome.value: count for outcome, count in counts.items()}
        self._audit.append(AuditType.RUN_ENDED, {"exit_code": exit_code, "outcomes": by_outcome}, sync=True)
        if self._begun:
            self._ledger.end_run(self._run_id, self._clock(), exit_code)
