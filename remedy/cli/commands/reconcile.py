"""`remedy reconcile`: ask the hosts what became of executions whose end nobody saw."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from rich.console import RenderableType

from remedy.cli.caller import utc_now
from remedy.cli.composition import Options, make_runners, read_config
from remedy.cli.console import Talk
from remedy.cli.hosts_only import load_hosts_only
from remedy.cli.ledgers import found_run
from remedy.cli.own_run import OwnRun, own_run
from remedy.cli.stopping import Stopping, stopping
from remedy.errors import LockHeld, UsageError
from remedy.load.inventory import Inventory
from remedy.model import Outcome, key_text
from remedy.reconciling import Reconciled, Reconciliation
from remedy.render.tables import styled, table
from remedy.render.words import row_json
from remedy.run.asking import HostAnswer, HostQuestion, Start, Unseen, ask_hosts, recorded_starts
from remedy.run.collect import Runners
from remedy.run.resuming import row_facts
from remedy.state.audit import AuditLog
from remedy.state.audit_format import AuditType
from remedy.state.ledger_rows import ExecutionRow, RunRecord
from remedy.state.locks import Locks
from remedy.summary import ExitCode, HostEnding
from remedy.text import counted, untrusted

__all__ = ["run_reconcile"]

_UNSEEN = (Outcome.LOST, Outcome.UNVERIFIED)


def run_reconcile(options: Options, run_id: str) -> int:
    """
    Ask the hosts of a run's lost and unverified executions, record what they say, and return the exit code.

    0: every end is proved. 3: one still runs, long after its deadline, or a host was
    refused for its identity. 4: an end is unknown, or a host could not be asked.

    Raises:
        NothingNamed: there is no such run.
        UsageError: the run died and is not closed; or no inventory is named.
        StateError: the ledger or the audit log cannot be used.
    """
    with own_run(options) as own:
        record = found_run(own.ledger, run_id, having=" with a plan")
        _refuse_open(record, own.locks)
        rows = [row for row in record.executions if row.outcome in _UNSEEN and not _is_proved(row)]
        if not rows:
            return _nothing_to_ask(own.talk, record)
        inventory, where = load_hosts_only(read_config(options, own.caller), own.caller.directory)
        own.talk.say(f"inventory {where}", *(f"warning: {warning}" for warning in inventory.warnings))
        asking = _Asking(run_id, own)
        asking.say_busy(rows)
        with stopping() as stop:
            answered = asking.carry_out(rows, inventory, make_runners(options, own.caller, inventory), stop)
    already = [row for row in record.executions if row.outcome in _UNSEEN and _is_proved(row)]
    if own.talk.as_json:
        own.talk.result_json(_answered_json(run_id, own.id, answered, already))
    else:
        own.talk.result(_answered_text(answered, already))
    return int(answered.code)


def _refuse_open(record: RunRecord, locks: Locks) -> None:
    """
    Refuse a run that is under way, and a dead one that is not closed: what is open has no outcome to explain.

    Raises:
        LockHeld: the run is under way.
        UsageError: it died, and is not closed.
    """
    run_id = record.summary.run.id
    if locks.run_is_held(run_id):
        raise LockHeld(f"run {run_id} is still under way; nobody was contacted; ask when it has ended")
    if any(row.outcome is None and row.started_at is not None for row in record.executions):
        raise UsageError(f"run {run_id} died and is not closed; nobody was contacted; first: remedy resume {run_id}")


def _is_proved(row: ExecutionRow) -> bool:
    if not row.reconciled:
        return False
    return Reconciliation(found=Reconciled(row.reconciled), exit_code=None, reason="").proves_end


def _nothing_to_ask(talk: Talk, record: RunRecord) -> int:
    run_id = record.summary.run.id
    if talk.as_json:
        talk.result_json({"reconcile": 1, "run": run_id, "exit_code": 0, "executions": [], "hosts": []})
    else:
        talk.result([f"{run_id} has no lost or unverified execution whose end is not proved; nobody was contacted"])
    return int(ExitCode.DONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """What was asked for, what was found, which hosts did not answer and why, and the exit code."""

    rows: tuple[ExecutionRow, ...]
    found: Mapping[str, Reconciliation]
    silent: Mapping[str, str]
    code: ExitCode


class _Asking:
    """One `reconcile` of one run."""

    def __init__(self, run_id: str, own: OwnRun) -> None:
        self._run_id = run_id
        self._own = own

    def say_busy(self, rows: Sequence[ExecutionRow]) -> None:
        """Say where another run is at work: what a host shows may be of that one, and changes meanwhile."""
        hosts = {row.host for row in rows}
        for each in self._own.ledger.open_intents():
            intent = each.intent
            if intent.host in hosts and self._own.locks.run_is_held(intent.run_id):
                self._own.talk.say(f"run {intent.run_id} is at work on {untrusted(intent.host)} ({intent.rule})")

    def carry_out(
        self, rows: Sequence[ExecutionRow], inventory: Inventory, runners: Runners, stop: Stopping
    ) -> _Answered:
        """Ask, and record each answer as it comes."""
        talk = self._own.talk
        starts, odd = recorded_starts(self._own.state.audit, self._run_id)
        if odd:
            talk.say(f"WARNING: the audit file of {self._run_id} is not believed: {odd}")
        questions = _questions(rows, inventory, starts)
        by_id = {row.execution_id: row for row in rows}
        with self._own.recorded() as (audit, evidence):

            def on_answer(answer: HostAnswer) -> None:
                for execution_id, found in answer.found.items():
                    self._record(by_id[execution_id], found, audit)
                talk.progress(f"asked {answer.host}")

            answers = ask_hosts(questions, runners, clock=utc_now, on_answer=on_answer, asked_to_stop=stop.asked)
            for warning in (warning for runner in runners.values() for warning in runner.warnings):
                talk.say(f"warning: {untrusted(warning)}")
            answered = _answered(rows, answers, inventory, interrupted=stop.asked())
            evidence.end(int(answered.code), counts={})
        return answered

    def _record(self, row: ExecutionRow, found: Reconciliation, audit: AuditLog) -> None:
        """Record what was found, in the audit log first; the outcome stays as it is."""
        facts = {
            **row_facts(row),
            "of_run": self._run_id,
            "found": found.found.value,
            "exit_code": found.exit_code,
            "proves_end": found.proves_end,
            "reason": found.reason,
            "actor": self._own.caller.actor,
        }
        audit.append(AuditType.EXECUTION_RECONCILED, facts, sync=True)
        self._own.ledger.reconcile(
            row.execution_id,
            run_id=self._own.id,
            at=utc_now(),
            found=found.found.value,
            exit_code=found.exit_code,
            proves_end=found.proves_end,
            reason=found.reason,
            actor=self._own.caller.actor,
        )


def _questions(
    rows: Sequence[ExecutionRow], inventory: Inventory, starts: Mapping[str, Start]
) -> tuple[HostQuestion, ...]:
    """Return what each host that the inventory still has is asked."""
    by_host: dict[str, list[Unseen]] = {}
    for row in rows:
        if row.host in inventory.hosts and row.started_at is not None:
            start = starts.get(row.execution_id, Start())
            by_host.setdefault(row.host, []).append(Unseen(row=row, at=row.started_at, start=start))
    return tuple(
        HostQuestion(host=inventory.hosts[name], unseen=tuple(unseen)) for name, unseen in sorted(by_host.items())
    )


def _answered(
    rows: Sequence[ExecutionRow], answers: Sequence[HostAnswer], inventory: Inventory, *, interrupted: bool
) -> _Answered:
    found = {execution_id: each for answer in answers for execution_id, each in answer.found.items()}
    silent = {
        answer.host: f"{answer.ending.value}: {answer.reason}"
        for answer in answers
        if answer.ending is not HostEnding.COLLECTED
    }
    for row in rows:
        if row.execution_id not in found and row.host not in silent:
            gone = row.host not in inventory.hosts
            silent[row.host] = "it is not in the inventory" if gone else "interrupted before it was contacted"
    is_bad = any(answer.identity for answer in answers) or any(
        each.found is Reconciled.RUNNING for each in found.values()
    )
    is_incomplete = bool(silent) or any(not each.proves_end for each in found.values())
    if interrupted:
        code = ExitCode.INTERRUPTED
    elif is_bad:
        code = ExitCode.BAD
    else:
        code = ExitCode.INCOMPLETE if is_incomplete else ExitCode.DONE
    return _Answered(rows=tuple(rows), found=found, silent=silent, code=code)


def _meaning(row: ExecutionRow, found: Reconciliation) -> str:
    """Return what a finding means, and what it leads to."""
    lifted = "its quarantine is lifted" if row.outcome is Outcome.LOST else "it was not quarantined"
    released = f"remedy release {row.rule} -l {row.host} --reason TEXT"
    match found.found:
        case Reconciled.NEVER_STARTED:
            return f"nothing of it ran; {lifted}"
        case Reconciled.FINISHED:
            return f"it ran to its end, with exit code {found.exit_code}; the next scan says if it helped; {lifted}"
        case Reconciled.TIMED_OUT:
            return f"its deadline ended it; {lifted}"
        case Reconciled.DIED:
            return f"it was ended half-way, by whomever; {lifted}"
        case Reconciled.REBOOTED:
            return f"it does not run any more, and whether it did anything is not known; {lifted}"
        case Reconciled.RUNNING:
            return f"it runs still, beyond its deadline: look at the host; then reconcile again, or {released}"
        case Reconciled.UNKNOWN:
            return f"{found.reason}; after a look at the host: {released}"
        case _:
            assert_never(found.found)


def _answered_json(run_id: str, own_id: str, answered: _Answered, already: Sequence[ExecutionRow]) -> dict[str, object]:
    return {
        "reconcile": 1,
        "run": run_id,
        "reconciled_by": own_id,
        "exit_code": int(answered.code),
        "executions": [_execution_json(row, answered.found.get(row.execution_id)) for row in answered.rows],
        "already_proved": [{"execution": row.execution_id, "found": row.reconciled} for row in already],
        "hosts": [{"host": host, "reason": reason} for host, reason in sorted(answered.silent.items())],
    }


def _execution_json(row: ExecutionRow, found: Reconciliation | None) -> dict[str, object]:
    return {
        "execution": row.execution_id,
        "rule": row.rule,
        "host": row.host,
        "key": row_json(dict(row.key)),
        "outcome": row.outcome.value if row.outcome is not None else None,
        "found": found.found.value if found is not None else None,
        "exit_code": found.exit_code if found is not None else None,
        "proves_end": found.proves_end if found is not None else False,
        "reason": found.reason if found is not None else "",
    }


def _answered_text(answered: _Answered, already: Sequence[ExecutionRow]) -> Iterator[RenderableType]:
    rows = []
    for row in answered.rows:
        found = answered.found.get(row.execution_id)
        said = _meaning(row, found) if found is not None else answered.silent[row.host]
        word = found.found.value if found is not None else "not asked"
        rows.append((word, styled(str(row.outcome)), row.rule, row.host, key_text(row.key), row.execution_id, said))
    yield table(("found", "outcome", "rule", "host", "row", "execution", "what it means"), rows)
    if already:
        yield f"{counted(len(already), 'execution')} more had its end proved before"
    proved = sum(each.proves_end for each in answered.found.values())
    yield f"the end of {proved} of {counted(len(answered.rows), 'execution')} is proved; outcomes stay as they are"
