"""
The plan: what will run where, in which wave, and what is held back and why.

Values only; `planning` makes one, `plan_document` is its JSON. Its digest names
it; every execution's id comes from that digest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remedy.holds import Attempt, Held, Incident, Pause
from remedy.model import Execution, Finding, Host, Rule, key_text
from remedy.precautions import Precautions
from remedy.waves import RolloutSpec

__all__ = [
    "GRACE_S",
    "NO_HISTORY",
    "PLAN_EXPIRES_S",
    "HeldFinding",
    "History",
    "Plan",
    "RulePlan",
    "Unseen",
    "incident_text",
]

PLAN_EXPIRES_S = 4 * 3_600

GRACE_S = 45
"""
How much longer than its deadline a fix may be at work after its intent.

10 s that the ledger may be busy after the intent was dated, 20 s until the host gives
up waiting for the payload, 3 s for its log, 5 s until `timeout -k 5` kills it, and 7 s.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """
    What the ledger knows, as the plan needs it.

    `attempts` by incident, oldest first, since the last release; `last_bad` has,
    by rule, the hosts whose last attempt was bad; `breakers` the reason by rule;
    `busy` the reason by host of an execution that may still be running there;
    `pauses` are those of people that have not ended. `used` has, by rule and under
    '' for all rules, how many hosts of a budget are used; nothing where there is none.
    """

    attempts: Mapping[Incident, tuple[Attempt, ...]]
    last_bad: Mapping[str, frozenset[str]]
    breakers: Mapping[str, str]
    busy: Mapping[str, str]
    pauses: tuple[Pause, ...] = ()
    used: Mapping[str, int] = field(default_factory=dict)


NO_HISTORY = History(attempts={}, last_bad={}, breakers={}, busy={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """The selected hosts that were not judged completely when a plan was made; names, sorted."""

    unknown: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFinding:
    """A finding that is not executed, with what holds it."""

    finding: Finding
    held: Held


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan:
    """
    One rule in the plan: what it saw, what it will run, and its resolved limits.

    `fuse` is the reason when too many hosts match; then nothing of it is sent.
    The counts are distinct hosts. `budget_left` is how many more hosts the budgets
    had room for when the plan was made (None: there is no budget).
    """

    rule: Rule
    selected: int
    judged: int
    matched: int
    matched_max: int
    fuse: str
    spec: RolloutSpec
    waves: tuple[tuple[str, ...], ...]
    executions: tuple[Execution, ...]
    budget_left: int | None = None

    @property
    def worst_case(self) -> int:
        """How many hosts can go bad before the rollout stops: max_bad + concurrency, at most all."""
        return min(self.spec.max_bad + self.spec.concurrency, len(self.spec.order))

    def wave_numbers(self) -> dict[str, int]:
        """Return the number of each planned host's wave, from 1."""
        return {host: number for number, wave in enumerate(self.waves, start=1) for host in wave}

    def by_host(self) -> dict[str, tuple[Execution, ...]]:
        """Return the executions of each planned host, in key order."""
        found: dict[str, list[Execution]] = {}
        for execution in self.executions:
            found.setdefault(execution.host, []).append(execution)
        return {host: tuple(executions) for host, executions in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    The reviewed, hashed, ordered list of what will run where, and of every hold.

    `pauses` are those of people at that time, whether or not they hold anything
    back here.
    """

    created_at: datetime
    digest: str
    rules: tuple[RulePlan, ...]
    held: tuple[HeldFinding, ...]
    hosts: Mapping[str, Host]
    endpoints: Mapping[str, str]
    busy: Mapping[str, str]
    precautions: Precautions
    pauses: tuple[Pause, ...]
    unseen: Unseen

    @property
    def expires_at(self) -> datetime:
        """The time after which no run may start from it."""
        return self.created_at + timedelta(seconds=PLAN_EXPIRES_S)

    @property
    def executions(self) -> tuple[Execution, ...]:
        """All executions, in the order in which rules and hosts come."""
        return tuple(execution for rule_plan in self.rules for execution in rule_plan.executions)


def incident_text(finding: Finding | Execution) -> str:
    """Return an incident as people read it: host, and the key where there is one."""
    key = key_text(finding.key)
    return f"{finding.host} {key}" if key else finding.host
