"""
Collecting: one connection per host, one payload with all the collectors it needs.

A host ends as collected, unreachable or refused; a collector that hangs or
fails spoils only its own signal.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from remedy.errors import Refused, Unreachable
from remedy.model import Host, Reading, ReadingStatus, Rule, Scope, Signal, Transport, script_value
from remedy.port import CollectJob, Endpoint, Runner, Session, Target
from remedy.readings import reading_of_output
from remedy.run.crew import Crew, Crews, ThreadCrew
from remedy.run.scopes import door_of
from remedy.summary import HostEnd, HostEnding
from remedy.text import untrusted
from remedy.verdicts import needed_signals

__all__ = [
    "CONNECTIONS_MAX",
    "Collection",
    "Runners",
    "collect",
    "collect_jobs",
    "read_session",
    "runner_of",
    "signals_by_host",
    "target_of",
]

CONNECTIONS_MAX = 64
"""How many hosts are collected from at once. Source: ssh-fan-out trials; 32 to 128 serve alike."""

Runners = Mapping[Transport, Runner]
Clock = Callable[[], datetime]
_Collected = tuple[HostEnd, tuple[Reading, ...]]
_TICK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What collecting came to: every host's end, every reading, and the time after the last of them."""

    host_ends: tuple[HostEnd, ...]
    readings: tuple[Reading, ...]
    collected_at: datetime
    interrupted: bool = False


def target_of(host: Host) -> Target:
    """Return what a runner may know of a host."""
    connection = host.connection
    return Target(
        name=host.name,
        address=connection.address,
        port=connection.port,
        user=connection.user,
        identity_file=connection.identity_file,
        password=connection.password,
        known_hosts=connection.known_hosts,
        shell=connection.shell,
        winrm=connection.winrm,
        barred=connection.barred,
    )


def runner_of(runners: Runners, host: Host) -> Runner:
    """
    Return the runner that reaches a host.

    Raises:
        Refused: there is none for its transport.
    """
    runner = runners.get(host.transport)
    if runner is None:
        raise Refused(f"this version has no runner for {host.transport.value}")
    return runner


def signals_by_host(scopes: Iterable[Scope]) -> dict[str, tuple[str, ...]]:
    """Return the names of the signals that the rules looking at each host need, sorted."""
    rules: dict[str, list[Rule]] = {}
    for scope in scopes:
        for host in scope.hosts:
            rules.setdefault(host.name, []).append(scope.rule)
    return {name: needed_signals(of_host) for name, of_host in sorted(rules.items())}


def collect_jobs(host: Host, names: Iterable[str], signals: Mapping[str, Signal]) -> tuple[CollectJob, ...]:
    """Return the collectors of these signals for a host; a signal without one for its platform has no job."""
    jobs = []
    for name in names:
        signal = signals[name]
        script = signal.collect.get(host.platform)
        if script is None:
            continue
        params = {**signal.params, **host.params.get(name, {})}
        jobs.append(
            CollectJob(
                signal=name,
                script=script.body,
                environment={
                    "REMEDY_HOST": host.name,
                    **{f"REMEDY_PARAM_{param.upper()}": script_value(value) for param, value in params.items()},
                },
                columns={column: kind.type.value for column, kind in signal.columns.items()},
                timeout_s=script.timeout_s,
                become_root=script.become_root,
            )
        )
    return tuple(jobs)


def read_session(
    session: Session, host: Host, jobs: Sequence[CollectJob], signals: Mapping[str, Signal], *, clock: Clock
) -> tuple[tuple[Reading, ...], str | None]:
    """
    Run collectors over a session; return their readings and the host's boot id.

    Raises:
        Unreachable, Refused: as `Session.collect`.
    """
    if not jobs:
        return (), None
    collected = session.collect(jobs)
    observed_at = clock()
    readings = tuple(
        reading_of_output(signals[job.signal], host.name, collected.outputs[job.signal], observed_at=observed_at)
        for job in jobs
    )
    return readings, collected.boot_id


def collect(
    scopes: Sequence[Scope],
    signals: Mapping[str, Signal],
    runners: Runners,
    *,
    clock: Clock,
    on_end: Callable[[HostEnd], None],
    asked_to_stop: Callable[[], bool],
    crews: Crews = ThreadCrew,
) -> Collection:
    """
    Collect from every host of the scopes; `on_end` hears of each host as it ends.

    When `asked_to_stop` says so, hosts that were not begun yet end as refused.
    """
    needed = signals_by_host(scopes)
    hosts = {host.name: host for scope in scopes for host in scope.hosts}
    ends: dict[str, HostEnd] = {}
    readings: list[Reading] = []

    def note(end: HostEnd, of_host: tuple[Reading, ...] = ()) -> None:
        ends[end.host] = end
        readings.extend(of_host or _readings_of_end(end, needed[end.host], at=clock()))
        on_end(end)

    endpoints = _endpoints(hosts.values(), runners, note=note)
    crew: Crew[_Collected] = crews(min(CONNECTIONS_MAX, max(1, len(hosts))))
    with crew:
        try:
            for name, endpoint in endpoints.items():
                jobs = collect_jobs(hosts[name], needed[name], signals)
                work = _HostCollection(host=hosts[name], endpoint=endpoint, jobs=jobs)
                crew.begin(name, partial(work.carry_out, runners, signals, clock=clock, tell=crew.put))
            left = len(endpoints)
            while left:
                message = crew.take(_TICK_S)
                if message is not None:
                    left -= 1
                    note(*message)
                if asked_to_stop():
                    for name in crew.drop():
                        left -= 1
                        reason = "interrupted before it was contacted"
                        note(HostEnd(host=name, ending=HostEnding.REFUSED, reason=reason))
        finally:
            # After a bug of ours nobody else is contacted; the crew waits for what is under way.
            crew.drop()
    return Collection(
        host_ends=tuple(ends[name] for name in sorted(ends)),
        readings=tuple(readings),
        collected_at=clock(),
        interrupted=asked_to_stop(),
    )


def _readings_of_end(end: HostEnd, names: Iterable[str], *, at: datetime) -> tuple[Reading, ...]:
    if end.ending is HostEnding.COLLECTED:
        return ()
    status = ReadingStatus.REFUSED if end.ending is HostEnding.REFUSED else ReadingStatus.UNREACHABLE
    return tuple(
        Reading(host=end.host, signal=name, observed_at=at, status=status, reason=end.reason) for name in names
    )


def _ended(host: Host, exc: Unreachable | Refused) -> HostEnd:
    if isinstance(exc, Refused):
        return HostEnd(host=host.name, ending=HostEnding.REFUSED, reason=untrusted(str(exc)), identity=exc.identity)
    return HostEnd(host=host.name, ending=HostEnding.UNREACHABLE, reason=untrusted(str(exc)))


def _endpoints(hosts: Iterable[Host], runners: Runners, *, note: Callable[[HostEnd], None]) -> dict[str, Endpoint]:
    """Resolve every host; those that cannot be, or that lead to the same place, end here."""
    found: dict[str, Endpoint] = {}
    by_way: dict[tuple[str, int], list[Host]] = {}
    for host in hosts:
        try:
            endpoint = runner_of(runners, host).endpoint(target_of(host))
        except (Unreachable, Refused) as exc:
            note(_ended(host, exc))
            continue
        found[host.name] = endpoint
        by_way.setdefault((endpoint.address, door_of(endpoint.port)), []).append(host)
    for (address, port), same in by_way.items():
        if len(same) > 1:
            names = ", ".join(sorted(host.name for host in same))
            where = f"{address}:{port}" if port else address
            for host in same:
                del found[host.name]
                reason = f"{names} all lead to {where}; keep one name for each machine"
                note(HostEnd(host=host.name, ending=HostEnding.REFUSED, reason=reason))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _HostCollection:
    """One host's part of collecting, done by one thread."""

    host: Host
    endpoint: Endpoint
    jobs: tuple[CollectJob, ...]

    def carry_out(
        self, runners: Runners, signals: Mapping[str, Signal], *, clock: Clock, tell: Callable[[_Collected], None]
    ) -> None:
        """Connect, collect, close, and tell; every way it can end is a value."""
        tell(self._collected(runners, signals, clock))

    def _collected(self, runners: Runners, signals: Mapping[str, Signal], clock: Clock) -> _Collected:
        try:
            session = runner_of(runners, self.host).connect(target_of(self.host))
            try:
                readings, _ = read_session(session, self.host, self.jobs, signals, clock=clock)
            finally:
                session.close()
        except (Unreachable, Refused) as exc:
            return _ended(self.host, exc), ()
        end = HostEnd(host=self.host.name, ending=HostEnding.COLLECTED, endpoint=str(self.endpoint))
        return end, readings
