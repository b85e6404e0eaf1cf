"""
The simulated fleet: what is true of every host, whatever remedy believes.

A host has rows with a level (above 5 is trouble), a marker per execution, a lock,
a hold file, a deadline, and scripts that fix, fail, hang, reboot it, or end unheard.
What was started goes on when its controller is dead. Hosts keep a journal.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.runs import Run

__all__ = ["REBOOT_CODE", "TROUBLE", "TROUBLE_ABOVE", "WELL", "Sent", "SimHost", "Start"]

TROUBLE_ABOVE = 5.0
TROUBLE, WELL = 9.0, 0.0
"""The levels that rows have."""
REBOOT_CODE = 100
"""The exit code of a script that wants its host to be rebooted."""


@dataclass(slots=True)
class Start:
    """One start of a script on a host, as the host's journal has it; the end is filled in when it comes."""

    at: float
    host: str
    execution_id: str
    run: "Run"
    sha256: str
    row: str
    dies_at: float
    behaviour: str
    ended_at: float | None = None
    exit_code: int | None = None
    healed: bool = False


@dataclass(slots=True, kw_only=True)
class Sent:
    """A fix handed to a runner: when, by whom, and what was true at that moment."""

    at: float
    run: "Run"
    host: str
    execution_id: str
    sha256: str
    row: str
    in_audit: bool
    in_ledger: bool
    read_match: bool
    read_age_s: float
    address: str
    arrived: str = ""
    start: Start | None = None


@dataclass(slots=True)
class SimHost:
    """One machine."""

    name: str
    platform: str
    rack: int
    levels: dict[str, float]
    address: str
    boot: int = 1
    hold: bool = False
    booted_at: float = -1_000_000.0
    markers: dict[str, Start] = field(default_factory=dict)
    running: Start | None = None
    away_until: float = -1.0
    sensor_lies_until: float = -1.0
    changes: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def was_sick(self, row: str, at: float) -> bool:
        """Say whether a row was in trouble at a time, in truth; just after it, when it changed then."""
        level = 0.0
        for time, value in self.changes[row]:
            if time > at:
                break
            level = value
        return level > TROUBLE_ABOVE

    def set_level(self, row: str, level: float, now: float) -> None:
        """Change a level, and keep when."""
        if row in self.levels:
            self.levels[row] = level
            self.changes.setdefault(row, []).append((now, level))
