"""How runs and executions end, and that what remedy says of their ends is true."""

from collections.abc import Iterator

from remedy.reconciling import Reconciled, Reconciliation
from tests.simulation.fleet import REBOOT_CODE
from tests.simulation.history import History

__all__ = [
    "every_run_ends",
    "good_outcomes_are_true",
    "no_internal_error",
    "reconciliations_are_true",
    "success_is_never_claimed_for_unknown",
    "zombies_are_waited_out",
]


def every_run_ends(history: History) -> Iterator[str]:
    """With the faults over, every run ends, in bounded simulated time; nothing waits for ever."""
    if history.stuck:
        yield history.stuck
    for run in history.runs:
        if run.ended_at is None and run.crashed_at is None:
            yield f"run {run.id} neither ended nor crashed"


def no_internal_error(history: History) -> Iterator[str]:
    """No bug of ours shows, and a run says StateError only when disk or store failed."""
    for run in history.runs:
        for bug in run.bugs:
            yield f"run {run.id}: {bug}"
        if run.error and not run.injected:
            yield f"run {run.id} ended with {run.error!r}, and neither disk nor store had failed"


def zombies_are_waited_out(history: History) -> Iterator[str]:
    """No run closes an execution of a dead run while the host may still be working on it."""
    for run in history.runs:
        for at, execution_id, _ in run.closed:
            for sent in history.sent_by_id.get(execution_id, ()):
                start = sent.start
                if start is not None and start.at <= at and (start.ended_at is None or start.ended_at > at):
                    yield f"{run.id} closed {execution_id} at {at:.1f}s, and {start.host} was still working on it"


def reconciliations_are_true(history: History) -> Iterator[str]:
    """
    What `reconcile` proved is so on the host: nothing of it runs, nor starts later, and it ended as was said.

    (A host that was restored from an older image is not simulated.)
    """
    for event in history.events("reconciled"):
        execution_id, found = event.details
        assert isinstance(found, Reconciliation)
        if not found.proves_end:
            continue
        for sent in history.sent_by_id[str(execution_id)]:
            start = sent.start
            if start is None or sent.run.machine.number != event.machine:
                continue
            if start.at > event.at or start.ended_at is None or start.ended_at > event.at:
                yield f"{execution_id} is {found.found} at {event.at:.1f}s, and was not over on {start.host}"
            if found.found is Reconciled.NEVER_STARTED:
                yield f"{execution_id} is never_started, and {start.host} started it at {start.at:.1f}s"
            if found.found is Reconciled.FINISHED and found.exit_code != start.exit_code:
                yield f"{execution_id} finished with {found.exit_code}, and on {start.host} with {start.exit_code}"


def good_outcomes_are_true(history: History) -> Iterator[str]:
    """
    What is recorded as fixed was well at some moment after its fix; done and needs_reboot ended so on the host.

    (A sensor that lies in a host's favour is not simulated.)
    """
    for run in history.runs:
        for at, execution_id, outcome in run.recorded:
            if outcome not in ("fixed", "done", "needs_reboot"):
                continue
            sent = [each for each in history.sent_by_id.get(execution_id, ()) if each.run is run]
            start = sent[-1].start if sent else None
            if start is None or start.ended_at is None or start.ended_at > at:
                yield f"{execution_id} is {outcome}, and its host has not ended it"
                continue
            expected = {"fixed": 0, "done": 0, "needs_reboot": REBOOT_CODE}[outcome]
            if start.exit_code != expected:
                yield f"{execution_id} is {outcome}, and ended with {start.exit_code} on {start.host}"
            if outcome == "fixed" and not history.ended_well(sent[-1], later=False, at=at):
                yield f"{execution_id} is fixed, and {start.host} was never well after it"


def success_is_never_claimed_for_unknown(history: History) -> Iterator[str]:
    """A run that ends with 0 left no fix that it sent without a good end, by the truth of its host."""
    for run in history.runs:
        if run.exit_code != 0:
            continue
        for sent in history.world.sent:
            if sent.run is not run or sent.arrived == "host_hold":
                continue
            later = history.options_of(sent.execution_id).later
            ended = run.ended_at if run.ended_at is not None else float("inf")
            if not history.ended_well(sent, later=later, at=ended):
                yield f"{run.id} ended with 0, and {sent.execution_id} on {sent.host} did not end well"
