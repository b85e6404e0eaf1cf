"""
A rollout: what comes next, and when it must stop.

`Rollout.on(event)` answers with effects and does nothing itself: no clock, no
disk, no network, no threads. A run is replayed from its events. Limits count
distinct hosts; a host is bad if one of its executions is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

from remedy.model import Outcome, OutcomeClass, Skip
from remedy.waves import Places, RolloutSpec

__all__ = [
    "Begin",
    "Effect",
    "Event",
    "ExecutionEnded",
    "Finished",
    "Halted",
    "HaltedBy",
    "HostEnded",
    "HostsRead",
    "ReadAgain",
    "Rollout",
    "SkipHost",
    "Soak",
    "SoakEnded",
    "StartHost",
    "StopAsked",
    "WaveEnded",
    "WaveStarted",
]


_NAMES_MAX = 10


class HaltedBy(StrEnum):
    """What halted a rollout; only max_bad and a relapse open the rule's breaker."""

    MAX_BAD = "max_bad"
    MAX_UNREACHABLE = "max_unreachable"
    NO_GOOD_OUTCOME = "no_good_outcome"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Begin:
    """The rollout may begin."""


@dataclass(frozen=True, slots=True)
class ExecutionEnded:
    """One execution on a host ended; its host may have more to come."""

    host: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class HostEnded:
    """All executions of a host have their outcome; `healed` when there was nothing left to mend."""

    host: str
    healed: bool


@dataclass(frozen=True, slots=True)
class SoakEnded:
    """The soak after a wave is over."""


@dataclass(frozen=True, slots=True)
class HostsRead:
    """The wave's hosts were read again: those that match again, and those that could not be read."""

    relapsed: frozenset[str]
    unread: frozenset[str]


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody or something outside stops the rollout; what runs is waited for."""

    reason: str


Event = Begin | ExecutionEnded | HostEnded | SoakEnded | HostsRead | StopAsked


@dataclass(frozen=True, slots=True)
class WaveStarted:
    """A wave starts; `target` is the cumulative number of hosts when it is full."""

    wave: int
    target: int


@dataclass(frozen=True, slots=True)
class StartHost:
    """Start the executions of this host now."""

    host: str
    wave: int


@dataclass(frozen=True, slots=True)
class WaveEnded:
    """All hosts of a wave have ended."""

    wave: int
    good: int
    bad: int
    unreachable: int


@dataclass(frozen=True, slots=True)
class Soak:
    """Wait that long, then say `SoakEnded`."""

    seconds: int


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """Read these hosts again, then say `HostsRead`."""

    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Halted:
    """No further host is started."""

    by: HaltedBy
    reason: str


@dataclass(frozen=True, slots=True)
class SkipHost:
    """This host's executions end as `skipped`."""

    host: str
    skip: Skip
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Every host has ended or was skipped; nothing follows."""


Effect = WaveStarted | StartHost | WaveEnded | Soak | ReadAgain | Halted | SkipHost | Finished


@dataclass(slots=True, kw_only=True)
class _Wave:
    """What has happened in the wave that is under way."""

    number: int
    share: int
    hosts: list[str] = field(default_factory=list)


def _names_text(hosts: Iterable[str]) -> str:
    """Return the first names in order, and how many more there are; a fleet's names fit no message."""
    names = sorted(hosts)
    more = len(names) - _NAMES_MAX
    return ", ".join(names[:_NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


class Rollout:
    """
    One rule's rollout over its planned hosts; fed with events, answers with effects.

    A healed host fills no wave: the next host in order takes its place. A wave
    promotes only with a good outcome (the first wave: one of each platform),
    read again after the soak where the outcome was `fixed`.
    """

    def __init__(self, spec: RolloutSpec) -> None:
        self._spec = spec
        self._places = Places(spec)
        self._running: set[str] = set()
        self._bad: set[str] = set()
        self._unreachable: set[str] = set()
        self._good: set[str] = set()
        self._fixed: set[str] = set()
        self._healed: set[str] = set()
        self._wave = _Wave(number=0, share=0)
        self._halted: Halted | None = None
        self._finished = False
        self._awaited: type[Event] = Begin

    @property
    def spec(self) -> RolloutSpec:
        """What it was made from."""
        return self._spec

    @property
    def halted(self) -> Halted | None:
        """What halted it, or None; the gate refuses from this moment on."""
        return self._halted

    @property
    def bad_hosts(self) -> frozenset[str]:
        """The hosts that count as bad so far."""
        return frozenset(self._bad)

    def on(self, event: Event) -> tuple[Effect, ...]:
        """
        Take one event and return what must be done, in order.

        After `Finished` every event gives no effect; nor does one that is not
        waited for (a second `SoakEnded`, the end of a host that does not run), so
        that no event told twice can start a wave.
        """
        if self._finished:
            return ()
        match event:
            case Begin() | SoakEnded() | HostsRead() if not isinstance(event, self._awaited):
                return ()
            case HostEnded(host=host) if host not in self._running:
                return ()
            case Begin():
                return self._next_wave()
            case ExecutionEnded(host=host, outcome=outcome):
                self._count(host, outcome)
                return self._brake()
            case HostEnded(host=host, healed=healed):
                return self._host_ended(host, healed=healed)
            case SoakEnded():
                return self._soaked()
            case HostsRead(relapsed=relapsed, unread=unread):
                return self._read_again(relapsed, unread)
            case StopAsked(reason=reason):
                return (*self._halt(HaltedBy.STOP, reason), *self._finish_if_idle())
            case _:
                assert_never(event)

    def _count(self, host: str, outcome: Outcome) -> None:
        match outcome.outcome_class:
            case OutcomeClass.GOOD:
                self._good.add(host)
                if outcome is Outcome.FIXED:
                    self._fixed.add(host)
            case OutcomeClass.BAD:
                self._bad.add(host)
            case OutcomeClass.UNREACHABLE:
                self._unreachable.add(host)
            case OutcomeClass.SKIPPED:
                return

    def _brake(self) -> tuple[Effect, ...]:
        """Halt when strictly more hosts than allowed are bad or unreachable."""
        spec = self._spec
        if len(self._bad) > spec.max_bad:
            reason = f"{len(self._bad)} bad ({_names_text(self._bad)}), more than max_bad {spec.max_bad}"
            return self._halt(HaltedBy.MAX_BAD, reason)
        if len(self._unreachable) > spec.max_unreachable:
            reason = f"{len(self._unreachable)} unreachable, more than max_unreachable {spec.max_unreachable}"
            return self._halt(HaltedBy.MAX_UNREACHABLE, reason)
        return ()

    def _halt(self, by: HaltedBy, reason: str) -> tuple[Effect, ...]:
        if self._halted is not None:
            return ()
        # The gate takes an empty reason for none.
        self._halted = Halted(by, reason or by.value)
        why = f"{by.value}: {self._halted.reason}"
        return (self._halted, *(SkipHost(host, Skip.HALTED, why) for host in self._places.clear()))

    def _finish_if_idle(self) -> tuple[Effect, ...]:
        if self._running or self._places.left:
            return ()
        self._finished = True
        return (Finished(),)

    def _host_ended(self, host: str, *, healed: bool) -> tuple[Effect, ...]:
        self._running.discard(host)
        if healed:
            self._healed.add(host)
            self._places.give_back(host)
        braked = self._brake()
        if self._halted is not None:
            return (*braked, *self._wave_end_if_idle(), *self._finish_if_idle())
        return (*self._fill(), *self._promote_if_idle())

    def _wave_end_if_idle(self) -> tuple[Effect, ...]:
        return () if self._running else (self._wave_ended(),)

    def _wave_ended(self) -> WaveEnded:
        hosts = set(self._wave.hosts)
        return WaveEnded(
            self._wave.number,
            good=len([host for host in hosts if host in self._good and host not in self._bad]),
            bad=len(hosts & self._bad),
            unreachable=len(hosts & self._unreachable),
        )

    def _next_wave(self) -> tuple[Effect, ...]:
        """Start the next wave that takes a host; finish when none is left."""
        if not self._places.left:
            return self._finish_if_idle()
        self._awaited = HostEnded
        number, share = self._wave.number + 1, self._wave.share
        while True:
            share += 1
            self._wave = _Wave(number=number, share=share)
            started = self._fill()
            if started:
                return (WaveStarted(number, self._places.target(share)), *started)

    def _fill(self) -> tuple[Effect, ...]:
        """Start hosts of this wave as far as its share and the concurrency allow."""
        taken = self._places.take(self._wave.share, room=self._spec.concurrency - len(self._running))
        self._running.update(taken)
        self._wave.hosts.extend(taken)
        return tuple(StartHost(host, self._wave.number) for host in taken)

    def _promote_if_idle(self) -> tuple[Effect, ...]:
        if self._running:
            return ()
        if not self._places.left:
            return (self._wave_ended(), *self._finish_if_idle())
        if self._all_healed():
            # Nothing was tried, so nothing was learned: the next host is as much a canary as these were.
            return (self._wave_ended(), *self._next_wave())
        without = self._platforms_without_good(self._confirmed())
        if without:
            return (self._wave_ended(), *self._halt_without_good(without), *self._finish_if_idle())
        self._awaited = SoakEnded
        return (self._wave_ended(), Soak(self._spec.soak_s))

    def _all_healed(self) -> bool:
        """
        Say whether every host of the wave was healed by itself.

        With hosts left that is so only where those are to be worked on alone: any
        other would have taken a healed one's place.
        """
        return self._healed.issuperset(self._wave.hosts)

    def _confirmed(self, unread: frozenset[str] = frozenset()) -> set[str]:
        return {host for host in self._wave.hosts if host in self._good and host not in self._bad | unread}

    def _platforms_without_good(self, confirmed: set[str]) -> tuple[str, ...]:
        """Return what lacks a good outcome: platforms still to come (first wave), or the wave as a whole."""
        if self._wave.number == 1:
            good = {self._spec.platforms[host] for host in confirmed}
            without = tuple(sorted(self._places.platforms_left - good))
            if without:
                return without
        return () if confirmed else ("any platform",)

    def _halt_without_good(self, platforms: Sequence[str]) -> tuple[Effect, ...]:
        reason = f"wave {self._wave.number} has no good outcome on {', '.join(platforms)}"
        return self._halt(HaltedBy.NO_GOOD_OUTCOME, reason)

    def _soaked(self) -> tuple[Effect, ...]:
        if self._halted is not None:
            return self._finish_if_idle()
        fixed = tuple(host for host in self._wave.hosts if host in self._fixed)
        if not fixed:
            return self._next_wave()
        self._awaited = HostsRead
        return (ReadAgain(fixed),)

    def _read_again(self, relapsed: frozenset[str], unread: frozenset[str]) -> tuple[Effect, ...]:
        self._bad |= relapsed
        braked = self._brake()
        if self._halted is None:
            without = self._platforms_without_good(self._confirmed(unread))
            braked = self._halt_without_good(without) if without else ()
        if self._halted is not None:
            return (*braked, *self._finish_if_idle())
        return self._next_wave()
