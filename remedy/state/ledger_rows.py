"""What goes into the ledger and comes out of it, as values."""

from dataclasses import dataclass
from datetime import datetime

from remedy.model import Key, Outcome
from remedy.port import FixEnding

__all__ = ["ExecutionRow", "Incident", "Intent", "OpenIntent", "RunRecord", "RunRow", "RunSummary"]

Incident = tuple[str, str, Key]
"""What stays the same between runs: rule, host name, key values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run as it begins; `plan_digest` is '' for a run without a plan."""

    id: str
    started_at: datetime
    actor: str
    command: str
    plan_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run, and how it ended (None: it is under way, or it died)."""

    run: RunRow
    ended_at: datetime | None
    exit_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The decision to start one execution; durable before the first byte is sent, and an attempt from then on."""

    execution_id: str
    run_id: str
    rule: str
    host: str
    key: Key
    script_sha256: str
    at: datetime
    deadline_s: int
    boot_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIntent:
    """An intent without an outcome; `ending` is that of its result, None when no result was seen."""

    intent: Intent
    ending: FixEnding | None

    @property
    def closes_as(self) -> Outcome:
        """What it is when its run is dead: `lost` without a result, else `unverified`."""
        return Outcome.LOST if self.ending is None else Outcome.UNVERIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRow:
    """
    One execution of a run's plan: when it was started, how its fix ended, how it ended.

    `started_at` is None when it was never admitted, `ending` when no result was
    seen, `outcome` when it has not ended (or its run died).
    """

    execution_id: str
    rule: str
    host: str
    key: Key
    started_at: datetime | None
    ending: FixEnding | None
    exit_code: int | None
    outcome_at: datetime | None
    outcome: Outcome | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run with every execution of its plan, in the plan's order."""

    summary: RunSummary
    executions: tuple[ExecutionRow, ...]
