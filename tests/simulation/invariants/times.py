"""When nothing may start: stop, freezes, change windows, pauses, a plan that has expired."""

from collections.abc import Iterator

from tests.simulation.history import History
from tests.simulation.rules import ZONE_S

__all__ = [
    "expired_plans_start_nothing",
    "nothing_starts_after_a_stop",
    "nothing_starts_in_a_freeze",
    "nothing_starts_outside_its_window",
    "nothing_starts_while_paused",
]

_AT_THE_LATEST_S = 25.0
"""A payload may be 20 s on its way; what outlives its deadline's TERM is killed 5 s later."""
_DAY_S = 86_400.0


def nothing_starts_after_a_stop(history: History) -> Iterator[str]:
    """While STOP stands in a state directory no run that uses it gets a permit; nor does an interrupted run."""
    for machine in history.world.machines:
        spans = _stopped(history, machine.number)
        for run, permit in history.permits_of(machine.number):
            if any(begin < permit.at < end for begin, end in spans):
                yield f"{run.id} permitted {permit.execution_id} at {permit.at:.1f}s, while STOP stood"
    for run, permit in history.permits:
        if run.interrupted_at is not None and permit.at > run.interrupted_at:
            yield f"{run.id} permitted {permit.execution_id} after it was interrupted"


def _stopped(history: History, machine: int) -> list[tuple[float, float]]:
    """Return from when to when STOP stood in a state directory."""
    spans: list[tuple[float, float]] = []
    for event in history.world.events:
        if event.machine != machine:
            continue
        if event.what == "stop":
            spans.append((event.at, float("inf")))
        elif event.what == "start" and spans:
            spans = [(begin, min(end, event.at)) for begin, end in spans]
    return spans


def nothing_starts_in_a_freeze(history: History) -> Iterator[str]:
    """No permit within a freeze, nor one whose deadline reaches into it; unreadable freezes freeze."""
    for event in history.events("freeze"):
        start, end = event.details
        assert isinstance(start, float)
        assert isinstance(end, float)
        for run, permit in history.permits_of(event.machine):
            if permit.at < event.at:
                continue
            needed = history.options_of(permit.execution_id).timeout_s + _AT_THE_LATEST_S
            if start < permit.wall + needed and permit.wall < end:
                yield f"{run.id} permitted {permit.execution_id} in a freeze, or up to {needed:.0f}s before it"
    for event in history.events("freezes_unreadable"):
        seconds = event.details[0]
        assert isinstance(seconds, float)
        for run, permit in history.permits_of(event.machine):
            if event.at < permit.at < event.at + seconds:
                yield f"{run.id} permitted {permit.execution_id} while freezes could not be read"


def nothing_starts_outside_its_window(history: History) -> Iterator[str]:
    """No permit outside the rule's change window, nor one whose deadline crosses the window's end."""
    for run, permit in history.permits:
        options = history.options_of(permit.execution_id)
        if options.window is None or run.order.override == "outside_window":
            continue
        begin, end = (60.0 * minute for minute in options.window)
        of_day = (permit.wall + ZONE_S) % _DAY_S
        if not begin <= of_day <= end - options.timeout_s - _AT_THE_LATEST_S:
            yield f"{run.id} permitted {permit.execution_id} at {of_day:.0f}s, window {begin:.0f} to {end:.0f}"


def nothing_starts_while_paused(history: History) -> Iterator[str]:
    """What a person paused (rule, group, host, everything) gets no permit until the pause is over."""
    for event in history.events("pause"):
        kind, name, until = event.details
        ends = [
            each.at
            for each in history.world.events
            if each.what in ("pause", "unpause") and each.details[:2] == (kind, name) and each.at > event.at
        ]
        for run, permit in history.permits_of(event.machine):
            if not event.at < permit.at < min(ends, default=float("inf")):
                continue
            if run.order.override == "paused" or (isinstance(until, float) and permit.wall >= until):
                continue
            planned = history.world.planned[permit.execution_id]
            rack = f"rack-{history.world.hosts[planned.host].rack}"
            if name == {"all": "", "rule": planned.rule, "group": rack, "host": planned.host}[str(kind)]:
                yield f"{run.id} permitted {permit.execution_id}, and {kind} {name} is paused"


def expired_plans_start_nothing(history: History) -> Iterator[str]:
    """A run that began to apply a plan more than four hours old, by its machine's clock, gets no permit."""
    for run in history.runs:
        if run.plan is not None and run.applied_wall is not None and run.permits:
            age = run.applied_wall - run.plan.created_at.timestamp()
            if age > 4 * 3_600:
                yield f"{run.id} began {age:.0f}s after its plan was made, and got {len(run.permits)} permits"
