"""What the seeds reached: states and events of rollouts, refusals, outcomes, faults, places of crashes."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from remedy.model import Outcome, Skip
from remedy.reconciling import Reconciled
from remedy.rollout import Event, Rollout
from tests.simulation.faults import Fault

__all__ = ["PAIRS", "Coverage", "missing", "watching_rollouts"]


@dataclass(slots=True)
class Coverage:
    """Counts by name; coverages of several processes can be added."""

    pairs: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    reconciled: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Coverage") -> None:
        """Add what another has seen."""
        for name in self.__slots__:
            getattr(self, name).update(getattr(other, name))


def _state(rollout: Rollout) -> str:
    """Return what a rollout is waiting for, as far as its answers differ by it."""
    if rollout._finished:
        return "finished"
    if rollout._halted is not None:
        return "halted"
    awaited = {"Begin": "new", "HostEnded": "wave", "SoakEnded": "soak", "HostsRead": "reading"}[
        rollout._awaited.__name__
    ]
    if awaited == "new":
        return awaited
    first = "first " if rollout._wave.number == 1 else "later "
    return first + awaited


@contextmanager
def watching_rollouts(coverage: Coverage) -> Iterator[None]:
    """Count the pairs of state and event that any rollout meets inside the block."""
    original = Rollout.on

    def on(self: Rollout, event: Event) -> Any:
        coverage.pairs[f"{_state(self)} × {type(event).__name__}"] += 1
        return original(self, event)

    Rollout.on = on  # type: ignore[method-assign]
    try:
        yield
    finally:
        Rollout.on = original  # type: ignore[method-assign]


PAIRS: frozenset[str] = frozenset(
    {
        "new × Begin",
        "first wave × ExecutionEnded",
        "first wave × HostEnded",
        "first wave × StopAsked",
        "first soak × SoakEnded",
        "first soak × StopAsked",
        "first reading × HostsRead",
        "first reading × StopAsked",
        "later wave × ExecutionEnded",
        "later wave × HostEnded",
        "later wave × StopAsked",
        "later soak × SoakEnded",
        "later soak × StopAsked",
        "later reading × HostsRead",
        "later reading × StopAsked",
        "halted × ExecutionEnded",
        "halted × HostEnded",
        "finished × HostsRead",
        "finished × StopAsked",
    }
)
"""
Every pair of state and event that a rollout can meet in a run.

Nothing else is possible there: a halted rollout is asked to stop no more, it soaks
and reads no more (it is finished, then), and only what runs can end.
"""


def missing(coverage: Coverage) -> tuple[str, ...]:
    """Return what the seeds have not reached: pairs, faults, refusals, outcomes."""
    wanted = {
        "pair": (PAIRS, coverage.pairs),
        "fault": ({fault.value for fault in Fault}, coverage.faults),
        "reconciled": (_RECONCILED, coverage.reconciled),
        "refusal": (_REFUSALS, coverage.refusals),
        "outcome": ({outcome.value for outcome in Outcome} - {"skipped"}, coverage.outcomes),
    }
    return tuple(
        f"{what} {name}" for what, (names, seen) in wanted.items() for name in sorted(names) if not seen.get(name)
    )


_RECONCILED = frozenset({Reconciled.FINISHED, Reconciled.NEVER_STARTED, Reconciled.REBOOTED, Reconciled.TIMED_OUT})
_REFUSALS = frozenset(
    {
        Skip.STOPPED,
        Skip.FROZEN,
        Skip.HALTED,
        Skip.HEALED,
        Skip.NOT_SEEN,
        Skip.ALREADY_STARTED,
        Skip.HOST_BUSY,
        Skip.ONE_DISRUPTIVE,
        Skip.BREAKER,
        Skip.BUDGET,
        Skip.PAUSED,
        Skip.COOLING_DOWN,
        Skip.QUARANTINED,
        Skip.OUTSIDE_WINDOW,
    }
)
"""
What only the gate says, at the moment of sending. Fuse and expiry end a rule before
any host is asked; a protected host is never planned without having been named.
"""
