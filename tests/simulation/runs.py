"""One run of a controller: what it was told to do, and all that became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from remedy.plan import Plan
from remedy.run.apply import Applied
from tests.simulation.machine import Machine
from tests.simulation.scenario import Order
from tests.simulation.scheduler import Process

__all__ = ["Permitted", "Run"]


@dataclass(frozen=True, slots=True)
class Permitted:
    """A permit that the gate gave, when, and what the machine's clock showed when it was asked."""

    at: float
    wall: float
    execution_id: str
    wave: int
    order: tuple[float, int]


@dataclass(slots=True, eq=False)
class Run:
    """One run, as it went."""

    id: str
    number: int
    order: Order
    machine: Machine
    process: Process
    began_at: float
    plan: Plan | None = None
    ended_at: float | None = None
    crashed_at: float | None = None
    exit_code: int | None = None
    error: str = ""
    injected: bool = False
    bugs: list[str] = field(default_factory=list)
    applied: Applied | None = None
    permits: list[Permitted] = field(default_factory=list)
    recorded: list[tuple[float, str, str]] = field(default_factory=list)
    halted: dict[str, tuple[float, str]] = field(default_factory=dict)
    closed: list[tuple[float, str, str]] = field(default_factory=list)
    taken_over: list[tuple[float, str, str]] = field(default_factory=list)
    interrupted_at: float | None = None
    effects: int = 0
    effects_of_kind: int = 0
    witnessed: list[str] = field(default_factory=list)
    planned_ids: frozenset[str] = frozenset()
    planned_at: float = 0.0
    applied_wall: float | None = None
    printed: dict[str, Mapping[str, float | None]] = field(default_factory=dict)

    def is_interrupted(self) -> bool:
        """Say whether somebody pressed Ctrl-C."""
        return self.interrupted_at is not None
