"""Nothing is done twice: executions, incidents within their cooldown, beyond their attempts, or after a lost one."""

from collections import defaultdict
from collections.abc import Iterator

from remedy.reconciling import Reconciliation
from tests.simulation.fleet import Start
from tests.simulation.history import History, Incident
from tests.simulation.runs import Permitted, Run

__all__ = [
    "attempts_are_limited",
    "cooldown_is_kept",
    "lost_is_never_repeated",
    "sent_at_most_once",
    "started_at_most_once",
]


def started_at_most_once(history: History) -> Iterator[str]:
    """No host starts the script of an execution id a second time."""
    seen: dict[str, Start] = {}
    for start in history.world.starts:
        if start.execution_id in seen:
            yield f"{start.host} started {start.execution_id} at {seen[start.execution_id].at:.1f}s and {start.at:.1f}s"
        seen[start.execution_id] = start


def sent_at_most_once(history: History) -> Iterator[str]:
    """No execution id is handed to a runner twice by controllers with one store, whatever the host's marker does."""
    for execution_id, sent in history.sent_by_id.items():
        by_store: dict[int, int] = defaultdict(int)
        for each in sent:
            by_store[each.run.machine.number] += 1
        for number in by_store.values():
            if number > 1:
                yield f"{execution_id} was sent {number} times from one store"


def cooldown_is_kept(history: History) -> Iterator[str]:
    """
    No permit for an incident within the cooldown of its last started attempt, of the same store.

    Both times are those of the machine's wall clock; a release between the two, or
    an override of the cooldown, lifts it.
    """
    last: dict[tuple[int, Incident], Permitted] = {}
    for run, permit in history.permits:
        incident = history.incident_of(permit.execution_id)
        key = (run.machine.number, incident)
        before = last.get(key)
        if before is not None and run.order.override != "cooling_down":
            apart = permit.wall - before.wall
            cooldown_s = history.world.options[incident.rule].cooldown_s
            if apart < cooldown_s and not _is_released(history, run, incident, since=before.at, until=permit.at):
                where = f"{incident.rule} on {incident.host}"
                yield f"{where} permitted {apart:.1f}s after an attempt, cooldown {cooldown_s}s"
        if history.has_started(run, permit.execution_id):
            last[key] = permit


def attempts_are_limited(history: History) -> Iterator[str]:
    """
    No permit for an incident whose attempts with this script were used up within the time, until it is released.

    Counted are attempts that a host really started, of the same store, since the last release.
    """
    made: dict[tuple[int, Incident], list[tuple[Permitted, str]]] = defaultdict(list)
    for run, permit in history.permits:
        incident = history.incident_of(permit.execution_id)
        options = history.world.options[incident.rule]
        digest = history.world.planned[permit.execution_id].script_sha256
        key = (run.machine.number, incident)
        walls = [
            earlier.wall
            for earlier, script in made[key]
            if script == digest and not _is_released(history, run, incident, since=earlier.at, until=permit.at)
        ]
        count = options.attempts
        if any(
            last - first <= options.attempts_within_s for first, last in zip(walls, walls[count - 1 :], strict=False)
        ):
            yield f"{incident.rule} on {incident.host} permitted after {len(walls)} attempts, and {count} are allowed"
        if history.has_started(run, permit.execution_id):
            made[key].append((permit, digest))


def lost_is_never_repeated(history: History) -> Iterator[str]:
    """
    After an execution was recorded as lost its incident gets no permit of this store.

    Until a person releases it, or `reconcile` proved the end of that execution.
    """
    proved: dict[tuple[int, object], float] = {}
    for event in history.events("reconciled"):
        execution_id, found = event.details
        if isinstance(found, Reconciliation) and found.proves_end:
            proved.setdefault((event.machine, execution_id), event.at)
    lost: dict[tuple[int, Incident], list[tuple[float, float]]] = defaultdict(list)
    for (machine, execution_id), end in history.ends.items():
        if end.outcome == "lost":
            until = proved.get((machine, execution_id), float("inf"))
            lost[machine, history.incident_of(execution_id)].append((end.at, until))
    for run, permit in history.permits:
        incident = history.incident_of(permit.execution_id)
        for at, until in lost.get((run.machine.number, incident), ()):
            if at < permit.at <= until and not _is_released(history, run, incident, since=at, until=permit.at):
                yield f"{incident.rule} on {incident.host} permitted at {permit.at:.1f}s, lost at {at:.1f}s"


def _is_released(history: History, run: Run, incident: Incident, *, since: float, until: float) -> bool:
    return history.is_released(run.machine, incident.rule, incident.host, since=since, until=until)
