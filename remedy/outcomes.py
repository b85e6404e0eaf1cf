"""
Outcomes: what the end of a fix, and what was read after it, amount to.

Nothing defaults to success: `fixed` needs a fresh row of the same key on which
`when` is false and `until` is true.
"""

from dataclasses import dataclass

from remedy.model import Outcome, RowPromise, Skip
from remedy.port import FixEnding, FixResult
from remedy.text import one_line

__all__ = ["Ended", "FreshRow", "is_proved", "outcome_of_fix", "outcome_of_verification"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """
    How an execution ended: its outcome, why, and for `skipped` (and only then) what skipped it.

    Raises:
        ValueError: `skipped` by nothing, or a skip with another outcome.
    """

    outcome: Outcome
    reason: str = ""
    skip: Skip | None = None

    def __post_init__(self) -> None:
        """Refuse a skip that would count as nothing at all."""
        if (self.outcome is Outcome.SKIPPED) != (self.skip is not None):
            raise ValueError(f"{self.outcome.value} with skip {self.skip}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshRow:
    """
    What a reading after the fix says of the execution's row.

    `present` is None when no complete reading could be had; `when` and `until` are
    None where unknown.
    """

    present: bool | None
    when: bool | None = None
    until: bool | None = None
    reason: str = ""


def outcome_of_fix(result: FixResult, *, needs_reboot_codes: tuple[int, ...]) -> Ended | None:
    """Return how an execution ended by its fix alone, or None: it ended well and must be verified."""
    match result.ending:
        case FixEnding.FINISHED:
            return _of_exit(result, needs_reboot_codes)
        case FixEnding.TIMED_OUT:
            return Ended(outcome=Outcome.FAILED, reason=result.reason or "ended by its deadline on the host")
        case FixEnding.LOST:
            return Ended(outcome=Outcome.LOST, reason=result.reason or "started; its end was not seen")
        case FixEnding.REFUSED:
            return Ended(outcome=Outcome.REFUSED, reason=result.reason)
        case FixEnding.HOST_BUSY:
            return Ended(outcome=Outcome.SKIPPED, skip=Skip.HOST_BUSY, reason=result.reason)
        case FixEnding.HOST_HOLD:
            return Ended(outcome=Outcome.SKIPPED, skip=Skip.HOST_HOLD, reason=result.reason)
        case FixEnding.ALREADY_STARTED:
            # Something did start there, by whomever; it is not ours to call it skipped.
            reason = result.reason or "this execution was started on the host before"
            return Ended(outcome=Outcome.LOST, reason=f"{reason}; its end was not seen here")


def _of_exit(result: FixResult, needs_reboot_codes: tuple[int, ...]) -> Ended | None:
    if result.exit_code is None:
        return Ended(outcome=Outcome.LOST, reason="it ended without an exit code")
    if result.exit_code == 0:
        return None
    if result.exit_code in needs_reboot_codes:
        return Ended(outcome=Outcome.NEEDS_REBOOT, reason=f"exit code {result.exit_code}: a reboot is pending")
    said = one_line(result.stderr.kept) or one_line(result.stdout.kept)
    return Ended(outcome=Outcome.FAILED, reason=f"exit code {result.exit_code}" + (f": {said}" if said else ""))


def is_proved(fresh: FreshRow, *, rows: RowPromise) -> bool:
    """Say whether a fresh reading proves the fix: the row is well again, or gone where rows may be."""
    if fresh.present is False:
        return rows is RowPromise.ANY
    return fresh.present is True and fresh.when is False and fresh.until is True


def outcome_of_verification(last: FreshRow, *, rows: RowPromise) -> Ended:
    """Return the outcome of a fix that ended well, by the last reading that could be had in time."""
    if is_proved(last, rows=rows):
        return Ended(outcome=Outcome.FIXED, reason=last.reason)
    if last.present is None:
        return Ended(outcome=Outcome.UNVERIFIED, reason=last.reason or "no fresh reading could be had")
    if last.present is False:
        return Ended(outcome=Outcome.UNVERIFIED, reason="the row is gone")
    if last.when is True:
        return Ended(outcome=Outcome.NOT_FIXED, reason="the condition still holds")
    if last.when is False and last.until is False:
        return Ended(outcome=Outcome.NOT_FIXED, reason="`until` was not reached in time")
    return Ended(outcome=Outcome.UNVERIFIED, reason="the fresh row leaves it unknown")
