"""
What must be true of every history, decided from the fleet's ground truth.

Each function of the modules below is one invariant and yields what violates it;
docs/safety.md lists them by name, in this order. What a run believes is used only to
know what it was allowed to do (its plan, its permits, what it recorded when); whether
that was right is decided by what hosts started, when, and what became of it.
"""

from collections.abc import Callable, Iterator

from tests.simulation.history import History
from tests.simulation.invariants.attempts import (
    attempts_are_limited,
    cooldown_is_kept,
    lost_is_never_repeated,
    sent_at_most_once,
    started_at_most_once,
)
from tests.simulation.invariants.brakes import (
    bad_hosts_stop_a_rollout,
    bad_runs_open_the_breaker,
    breaker_stays_open,
    budgets_hold,
    half_a_fleet_starts_nothing,
    unreachable_hosts_stop_a_rollout,
)
from tests.simulation.invariants.ends import (
    every_run_ends,
    good_outcomes_are_true,
    no_internal_error,
    reconciliations_are_true,
    success_is_never_claimed_for_unknown,
    zombies_are_waited_out,
)
from tests.simulation.invariants.records import (
    evidence_agrees,
)
from tests.simulation.invariants.rollouts import (
    canaries_were_not_bad_last_time,
    concurrency_is_kept,
    healed_hosts_fill_no_wave,
    relapses_count_as_bad,
    waves_wait_their_turn,
)
from tests.simulation.invariants.sending import (
    intent_is_durable_first,
    one_disruptive_fix_per_host_and_run,
    one_fix_at_a_time_on_a_host,
    only_what_was_reviewed,
    protected_hosts_are_left_alone,
    sent_only_on_a_fresh_match,
)
from tests.simulation.invariants.times import (
    expired_plans_start_nothing,
    nothing_starts_after_a_stop,
    nothing_starts_in_a_freeze,
    nothing_starts_outside_its_window,
    nothing_starts_while_paused,
)

__all__ = ["INVARIANTS", "violations"]

INVARIANTS: tuple[Callable[[History], Iterator[str]], ...] = (
    every_run_ends,
    no_internal_error,
    started_at_most_once,
    sent_at_most_once,
    cooldown_is_kept,
    attempts_are_limited,
    lost_is_never_repeated,
    only_what_was_reviewed,
    intent_is_durable_first,
    one_fix_at_a_time_on_a_host,
    concurrency_is_kept,
    waves_wait_their_turn,
    relapses_count_as_bad,
    bad_hosts_stop_a_rollout,
    unreachable_hosts_stop_a_rollout,
    canaries_were_not_bad_last_time,
    healed_hosts_fill_no_wave,
    breaker_stays_open,
    bad_runs_open_the_breaker,
    nothing_starts_after_a_stop,
    nothing_starts_in_a_freeze,
    nothing_starts_outside_its_window,
    nothing_starts_while_paused,
    budgets_hold,
    sent_only_on_a_fresh_match,
    protected_hosts_are_left_alone,
    one_disruptive_fix_per_host_and_run,
    expired_plans_start_nothing,
    half_a_fleet_starts_nothing,
    zombies_are_waited_out,
    reconciliations_are_true,
    good_outcomes_are_true,
    success_is_never_claimed_for_unknown,
    evidence_agrees,
)


def violations(history: History) -> Iterator[str]:
    """Yield what is violated, each with the invariant's name."""
    for invariant in INVARIANTS:
        for message in invariant(history):
            yield f"{invariant.__name__}: {message}"
