"""Outcomes: nothing is called fixed, done or well ended that was not proved to be."""

import itertools
from hashlib import sha256

import pytest

from remedy.model import Outcome, OutcomeClass, RowPromise, Skip
from remedy.outcomes import Ended, FreshRow, is_proved, outcome_of_fix, outcome_of_verification
from remedy.port import Captured, FixEnding, FixResult

REBOOT = (3010,)


def _stream(raw: bytes) -> Captured:
    return Captured(head=raw, tail=b"", size=len(raw), sha256=sha256(raw).hexdigest())


def _result(ending: FixEnding, exit_code: int | None, *, stdout: bytes = b"", stderr: bytes = b"") -> FixResult:
    return FixResult(ending=ending, exit_code=exit_code, stdout=_stream(stdout), stderr=_stream(stderr))


EXITS = {0: None, 1: Outcome.FAILED, 124: Outcome.FAILED, -1: Outcome.FAILED, 3010: Outcome.NEEDS_REBOOT}
ENDINGS = {
    FixEnding.TIMED_OUT: (Outcome.FAILED, None),
    FixEnding.LOST: (Outcome.LOST, None),
    FixEnding.REFUSED: (Outcome.REFUSED, None),
    FixEnding.HOST_BUSY: (Outcome.SKIPPED, Skip.HOST_BUSY),
    FixEnding.HOST_HOLD: (Outcome.SKIPPED, Skip.HOST_HOLD),
    FixEnding.ALREADY_STARTED: (Outcome.LOST, None),
}


@pytest.mark.parametrize(("exit_code", "outcome"), EXITS.items())
def test_finished_fix_ends_by_its_exit_code(exit_code: int, outcome: Outcome | None) -> None:
    """Exit 0 must be verified, a reboot code is needs_reboot, everything else failed."""
    ended = outcome_of_fix(_result(FixEnding.FINISHED, exit_code), needs_reboot_codes=REBOOT)

    assert (None if ended is None else ended.outcome) is outcome


def test_reboot_code_of_no_rule_is_failed() -> None:
    """3010 means a pending reboot only where the rule says so."""
    ended = outcome_of_fix(_result(FixEnding.FINISHED, 3010), needs_reboot_codes=())

    assert ended is not None
    assert ended.outcome is Outcome.FAILED


def test_exit_zero_must_be_verified_whatever_the_reboot_codes() -> None:
    """Exit 0 never ends an execution by itself, even when somebody lists 0 as a reboot code."""
    assert outcome_of_fix(_result(FixEnding.FINISHED, 0), needs_reboot_codes=(0,)) is None


def test_finished_without_an_exit_code_is_lost() -> None:
    """No exit code is not exit code 0: the end was not seen."""
    ended = outcome_of_fix(_result(FixEnding.FINISHED, None), needs_reboot_codes=REBOOT)

    assert ended is not None
    assert ended.outcome is Outcome.LOST


@pytest.mark.parametrize("exit_code", [None, 0, 1, 3010])
@pytest.mark.parametrize("ending", list(FixEnding))
def test_unfinished_fix_ends_by_its_ending_whatever_the_exit_code(ending: FixEnding, exit_code: int | None) -> None:
    """An ending other than finished decides alone; no exit code beside it makes it better."""
    ended = outcome_of_fix(_result(ending, exit_code), needs_reboot_codes=REBOOT)

    if ending is not FixEnding.FINISHED:
        assert ended is not None
        assert (ended.outcome, ended.skip) == ENDINGS[ending]
        assert ended.outcome.outcome_class is not OutcomeClass.GOOD


def test_failed_fix_says_what_it_said_last() -> None:
    """The reason has the exit code and the last line of stderr, else of stdout, made harmless."""
    both = outcome_of_fix(
        _result(FixEnding.FINISHED, 2, stdout=b"out\n", stderr=b"first\nlast \x1b[31m\n"), needs_reboot_codes=()
    )
    one = outcome_of_fix(_result(FixEnding.FINISHED, 2, stdout=b"out\n"), needs_reboot_codes=())

    assert both == Ended(outcome=Outcome.FAILED, reason="exit code 2: last \\x1b[31m")
    assert one == Ended(outcome=Outcome.FAILED, reason="exit code 2: out")


TRUTHS = (True, False, None)
ROWS = list(itertools.product(TRUTHS, TRUTHS, TRUTHS, RowPromise))


def _expected(present: bool | None, when: bool | None, until: bool | None, rows: RowPromise) -> Outcome:
    """Return the outcome by the words of the design's table."""
    if present is None:
        return Outcome.UNVERIFIED
    if present is False:
        return Outcome.FIXED if rows is RowPromise.ANY else Outcome.UNVERIFIED
    if (when, until) == (False, True):
        return Outcome.FIXED
    if when is True or (when, until) == (False, False):
        return Outcome.NOT_FIXED
    return Outcome.UNVERIFIED


@pytest.mark.parametrize(("present", "when", "until", "rows"), ROWS)
def test_verification_follows_the_table(
    present: bool | None, when: bool | None, until: bool | None, rows: RowPromise
) -> None:
    """Fixed is: a fresh row with `when` false and `until` true, or a row gone where rows may be; never an unknown."""
    fresh = FreshRow(present=present, when=when, until=until, reason="free_percent 3 -> 60")

    ended = outcome_of_verification(fresh, rows=rows)

    assert ended.outcome is _expected(present, when, until, rows)
    assert is_proved(fresh, rows=rows) is (ended.outcome is Outcome.FIXED)
    assert ended.reason
    assert ended.skip is None


def test_fixed_stands_only_where_it_is_proved() -> None:
    """Of 81 combinations twelve are fixed: false and true under each promise, and gone under `any`."""
    fixed = [
        (present, when, until, rows)
        for present, when, until, rows in ROWS
        if outcome_of_verification(FreshRow(present=present, when=when, until=until), rows=rows).outcome
        is Outcome.FIXED
    ]

    assert len(fixed) == 3 + 9
    assert all(
        (present, when, until) == (True, False, True) or (present is False and rows is RowPromise.ANY)
        for present, when, until, rows in fixed
    )


@pytest.mark.parametrize(("outcome", "skip"), [(Outcome.SKIPPED, None), (Outcome.FIXED, Skip.HEALED)])
def test_skipped_always_says_by_what(outcome: Outcome, skip: Skip | None) -> None:
    """A skip without its cause would count as nothing; it cannot be made, nor a cause with another outcome."""
    with pytest.raises(ValueError, match=outcome.value):
        Ended(outcome=outcome, skip=skip)


CLASSES = {
    OutcomeClass.GOOD: {Outcome.FIXED, Outcome.DONE, Outcome.NEEDS_REBOOT},
    OutcomeClass.BAD: {Outcome.NOT_FIXED, Outcome.UNVERIFIED, Outcome.FAILED, Outcome.LOST, Outcome.REFUSED},
    OutcomeClass.UNREACHABLE: {Outcome.UNREACHABLE},
    OutcomeClass.SKIPPED: {Outcome.SKIPPED},
}


def test_each_outcome_has_the_class_of_the_design() -> None:
    """Good, bad, unreachable and skipped hold exactly the outcomes that the design's table gives them."""
    found = {kind: {outcome for outcome in Outcome if outcome.outcome_class is kind} for kind in OutcomeClass}

    assert found == CLASSES
