"""Values for the tests of the state package: executions, requests, decisions, a disk that fails."""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from remedy.gate import LedgerFacts, LiveFacts, Refusal, Request, decide
from remedy.limits import Budget, Limit
from remedy.model import Execution, Key, Risk, RuleLimits, Verdict
from remedy.port import Permit
from remedy.state.disk import Disk
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import Intent, RunRow

NOW = datetime(2026, 11, 22, 8, 45, tzinfo=UTC)
LATER = NOW + timedelta(seconds=90)
LIVE = LiveFacts(stopped="", frozen="", freezes=(), expired="", halted="", fuse="", disruptive_on_host=False)
ROOT: Key = (("mount", "/"),)
SHA = "ab" * 32


def limits(*, attempts: int = 3, cooldown_s: int = 0) -> RuleLimits:
    """Return limits of a rule; attempts within a week."""
    return RuleLimits(
        cooldown_s=cooldown_s, attempts=attempts, attempts_within_s=7 * 86_400, matched=Limit(count=1_000_000)
    )


def execution(execution_id: str, *, rule: str = "low-disk", host: str = "web-1", key: Key = ROOT) -> Execution:
    """Return a planned execution."""
    return Execution(
        id=execution_id,
        rule=rule,
        host=host,
        key=key,
        row=dict(key),
        params={},
        script="clean.sh",
        script_sha256=SHA,
        timeout_s=300,
        become_root=True,
    )


def run_row(run_id: str = "run-1", *, at: datetime = NOW) -> RunRow:
    """Return a run as it begins."""
    return RunRow(id=run_id, started_at=at, actor="alice", command="remedy apply", plan_digest="d1")


def asked(
    planned: Execution,
    *,
    run_id: str = "run-1",
    at: datetime = NOW,
    rule_limits: RuleLimits | None = None,
    per_rule: Budget | None = None,
    all_rules: Budget | None = None,
) -> tuple[Request, Intent]:
    """Return the request and the intent of a planned execution."""
    request = Request(
        execution_id=planned.id,
        rule=planned.rule,
        host=planned.host,
        groups=(),
        key=planned.key,
        script_sha256=planned.script_sha256,
        risk=Risk.SAFE,
        limits=rule_limits or limits(),
        windows=(),
        needed_s=planned.timeout_s,
        is_protected=False,
        is_named=False,
        override=None,
        per_rule=per_rule,
        all_rules=all_rules,
        recheck=Verdict.MATCH,
        now=at,
    )
    intent = Intent(
        execution_id=planned.id,
        run_id=run_id,
        rule=planned.rule,
        host=planned.host,
        key=planned.key,
        script_sha256=planned.script_sha256,
        at=at,
        deadline_s=planned.timeout_s,
        boot_id="boot-1",
    )
    return request, intent


def by_gate(request: Request, facts: LedgerFacts) -> Permit | Refusal:
    """Decide as production does."""
    return decide(request, facts, LIVE)


def by_attempts(request: Request, facts: LedgerFacts) -> Permit | Refusal:
    """Decide as the gate does, though another run may be at work on the host."""
    return decide(request, replace(facts, host_busy=""), LIVE)


def always(request: Request, _facts: LedgerFacts) -> Permit | Refusal:
    """Grant whatever the ledger says."""
    return decide(request, LedgerFacts(attempts=(), known_id=False, open_breaker="", host_busy=""), LIVE)


def unsynced(_granted: Sequence[Intent]) -> None:
    """Stand for an audit log that took the intents."""


def ticking(start: datetime = NOW) -> Callable[[], datetime]:
    """Return a clock that moves a millisecond at each look."""
    looks = iter(range(1_000_000))
    return lambda: start + timedelta(milliseconds=next(looks))


@dataclass
class FailingDisk:
    """
    A real disk whose N-th call fails (0: none); it remembers what was synced.

    A failing write leaves half of its bytes behind, as a full disk does.
    """

    fail_at: int = 0
    calls: int = 0
    durable_sizes: dict[int, int] = field(default_factory=dict)

    @property
    def disk(self) -> Disk:
        """The disk as the code takes it."""
        return Disk(write=self._write, fdatasync=self._sync, fsync=self._sync)

    def durable_size(self, inode: int) -> int:
        """Return how many bytes of a file survive a power cut for certain."""
        return self.durable_sizes.get(inode, 0)

    def _write(self, descriptor: int, data: bytes) -> int:
        self.calls += 1
        if self.calls == self.fail_at:
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(descriptor, data)

    def _sync(self, descriptor: int) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError(errno.EIO, "Input/output error")
        os.fdatasync(descriptor)
        found = os.fstat(descriptor)
        self.durable_sizes[found.st_ino] = found.st_size


def start(
    ledger: Ledger, *planned: Execution, run_id: str = "run-1", at: datetime = NOW
) -> tuple[Permit | Refusal, ...]:
    """Begin a run of these executions and admit them all."""
    ledger.begin_run(run_row(run_id, at=at), planned)
    return admit(ledger, *planned, run_id=run_id, at=at)


def admit(
    ledger: Ledger,
    *planned: Execution,
    run_id: str = "run-1",
    at: datetime = NOW,
    decide: Callable[[Request, LedgerFacts], Permit | Refusal] = by_gate,
    sync_intents: Callable[[Sequence[Intent]], None] = unsynced,
) -> tuple[Permit | Refusal, ...]:
    """Admit executions of a run that has begun; return what each got."""
    pairs = [asked(each, run_id=run_id, at=at) for each in planned]
    return ledger.admit(pairs, decide=decide, sync_intents=sync_intents)
