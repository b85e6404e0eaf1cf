"""A machine's clocks: the wall clock can be stepped, the monotonic one never goes back."""

from datetime import UTC, datetime, timedelta

from tests.simulation.scheduler import Scheduler

__all__ = ["BEGIN", "SimClock"]

BEGIN = datetime(2026, 11, 22, 8, 45, tzinfo=UTC)
"""A Sunday; simulated second 0."""


class SimClock:
    """The clocks of one machine."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._offset = timedelta()

    def now(self) -> datetime:
        """Return what the wall clock shows."""
        return BEGIN + timedelta(seconds=self._scheduler.now) + self._offset

    def monotonic(self) -> float:
        """Return seconds that only go forward."""
        return self._scheduler.now

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._offset += timedelta(seconds=seconds)
