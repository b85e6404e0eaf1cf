"""Reconciling: what became of an execution whose end nobody saw, told by its host's marker."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from remedy.port import Marker, MarkersRead, MarkerState

__all__ = ["ARRIVAL_S", "MARKERS_KEPT_S", "Reconciled", "Reconciliation", "reconciled"]

ARRIVAL_S = 30
"""An execution that was sent has made its marker within so many seconds, or never will: the loader waits 20."""

MARKERS_KEPT_S = 29 * 86_400
"""Younger markers are not removed; a host removes them after 30 days, and a day is for clocks that drift."""


class Reconciled(StrEnum):
    """
    What became of an execution.

    never_started  there is no marker where one would have to be
    running        a process of it is there still
    finished       it ran to its end; the exit code is known, and success is for the rule to prove
    timed_out      its deadline ended it
    died           it was started, nothing of it lives, and no end was written
    rebooted       its host was started anew since: it does not run, and whether it did anything cannot be known
    unknown        the facts prove nothing; asking again, or a person on the host, may
    """

    NEVER_STARTED = "never_started"
    RUNNING = "running"
    FINISHED = "finished"
    TIMED_OUT = "timed_out"
    DIED = "died"
    REBOOTED = "rebooted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What was found out, and why; `exit_code` is None unless it finished."""

    found: Reconciled
    exit_code: int | None
    reason: str

    @property
    def proves_end(self) -> bool:
        """Whether it is certain that the execution does not run, and will not start any more."""
        match self.found:
            case (
                Reconciled.NEVER_STARTED
                | Reconciled.FINISHED
                | Reconciled.TIMED_OUT
                | Reconciled.DIED
                | Reconciled.REBOOTED
            ):
                return True
            case Reconciled.RUNNING | Reconciled.UNKNOWN:
                return False
        assert_never(self.found)


def reconciled(*, intent_boot_id: str | None, read: MarkersRead, marker: Marker, age_s: float) -> Reconciliation:
    """
    Say what became of an execution.

    `intent_boot_id` is the host's when the intent was made (None: it could not be
    read), `age_s` the seconds since then. Whatever is missing or contradicts
    itself makes it unknown: no fact that is absent proves an end.
    """
    match marker.state:
        case MarkerState.ENDED:
            return _ended(marker)
        case MarkerState.STARTED:
            return _started(read, marker)
        case MarkerState.ABSENT:
            return _absent(intent_boot_id, read, age_s)
        case MarkerState.ODD:
            return _unknown("its marker cannot be read, or is not as a fix leaves it")
    assert_never(marker.state)


def _ended(marker: Marker) -> Reconciliation:
    if marker.exit_code is None or marker.over is None:
        return _unknown("its marker does not say how it ended")
    if marker.over:
        return _found(Reconciled.TIMED_OUT, "its marker says that its deadline ended it")
    return _found(
        Reconciled.FINISHED, f"its marker says that it ended with {marker.exit_code}", exit_code=marker.exit_code
    )


def _started(read: MarkersRead, marker: Marker) -> Reconciliation:
    if marker.boot_id is None or read.boot_id is None:
        return _unknown("it was started, and whether its host was started anew since cannot be told")
    if marker.boot_id != read.boot_id:
        return _found(Reconciled.REBOOTED, "it was started; its host was started anew since, and no end was written")
    match marker.is_alive:
        case True:
            return _found(Reconciled.RUNNING, "it was started, and a process of it is there still")
        case False:
            return _found(Reconciled.DIED, "it was started; nothing of it lives any more, and no end was written")
        case None:
            return _unknown("it was started, and whether it runs still cannot be told")


def _absent(intent_boot_id: str | None, read: MarkersRead, age_s: float) -> Reconciliation:
    if intent_boot_id is None or read.boot_id is None:
        return _unknown("it has no marker, and whether its host was started anew since cannot be told")
    if intent_boot_id != read.boot_id:
        return _found(Reconciled.REBOOTED, "it has no marker; its host was started anew since, so it may have run")
    if not read.as_root:
        return _unknown("it has no marker, and a plain user's may go at logout")
    if not age_s >= ARRIVAL_S:
        return _unknown(f"it has no marker, and may be on its way; ask again after {ARRIVAL_S} s")
    if age_s >= MARKERS_KEPT_S:
        return _unknown("it has no marker, and its host removes old ones")
    if read.up_s is None or read.up_s < age_s:
        return _unknown("it has no marker, and its host (a container, say) may have been started anew since")
    return _found(Reconciled.NEVER_STARTED, "it has no marker, and would have one had it been started")


def _unknown(reason: str) -> Reconciliation:
    return _found(Reconciled.UNKNOWN, reason)


def _found(found: Reconciled, reason: str, *, exit_code: int | None = None) -> Reconciliation:
    return Reconciliation(found=found, exit_code=exit_code, reason=reason)
