"""What one seed simulates, as values: the fleet, the rules, who runs what when, and which faults are on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.simulation.faults import Fault

__all__ = ["FleetOptions", "Order", "RuleOptions", "Scenario"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """The hosts: how many, which share of them is in trouble, on which platforms, with how many rows."""

    hosts: int
    windows_share: float
    trouble_share: float
    two_rows_share: float
    racks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOptions:
    """One rule; `row` is the flag it watches (* is all), `window` the minutes of the day in which it may run."""

    name: str
    row: str = "a"
    risk: str = "safe"
    waves: tuple[str, ...]
    soak_s: int
    concurrency: int
    max_bad: int
    max_unreachable: int
    cooldown_s: int
    attempts: int = 2
    attempts_within_s: int = 604_800
    matched_percent: int = 100
    timeout_s: int = 60
    settle_s: int = 0
    within_s: int = 5
    later: bool = False
    version: int = 1
    window: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    Somebody starts a run: when, on which machine, with which rules, on which hosts.

    `hosts` are numbers; empty means all. `plan_of` applies the plan of an earlier
    order again; `delay_s` lies between planning and applying (a reviewed plan).
    `interrupt_s` is when Ctrl-C comes after the start, `crash_at` the effect at
    which the process dies (0: never), counted among those of `crash_kind`, if given. `careless` plans
    without looking at the ledger, so that the gate alone stands in the way. `resume`
    closes every dead run instead of applying anything, `reconcile` asks hosts about what was lost.
    """

    at: float
    machine: int = 0
    rules: tuple[str, ...] = ()
    hosts: tuple[int, ...] = ()
    plan_of: int | None = None
    delay_s: float = 0.0
    interrupt_s: float | None = None
    crash_at: int = 0
    crash_kind: str = ""
    power_loss: bool = False
    careless: bool = False
    override: str = ""
    resume: bool = False
    reconcile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    All that one seed simulates; `events` are what people and the world do: (time, what, details).

    Budgets are (hosts, seconds); `protected` are numbers of hosts.
    """

    seed: int
    fleet: FleetOptions
    rules: tuple[RuleOptions, ...]
    orders: tuple[Order, ...]
    events: tuple[tuple[float, str, tuple[object, ...]], ...] = ()
    rates: Mapping[Fault, float] = field(default_factory=dict)
    on: frozenset[Fault] = frozenset()
    patience: float = 1.0
    machines: int = 1
    faults_end: float = 0.0
    per_rule: tuple[int, int] | None = None
    all_rules: tuple[int, int] | None = None
    protected: tuple[int, ...] = ()
