"""What people and the world do while runs are under way: stop, release, step a clock, cut a rack off."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from remedy.holds import Pause, PauseOf
from remedy.schedule import Freeze
from remedy.state.ledger import Ledger
from tests.simulation.faults import Fault
from tests.simulation.fleet import TROUBLE, WELL
from tests.simulation.scheduler import Process
from tests.simulation.world import World

__all__ = ["HAPPENINGS"]


def _stop(world: World, machine: int, unreadable: bool) -> None:
    state = world.machines[machine].state
    if unreadable:
        world.faults[Fault.STOP_UNREADABLE] += 1
        # A file that an earlier stop left is made what cannot be read.
        if state.stop.is_file():
            state.stop.unlink()
        state.stop.mkdir(exist_ok=True)
    elif state.stop.is_dir():
        world.faults[Fault.STOP] += 1
    else:
        world.faults[Fault.STOP] += 1
        state.write_stop("enough", "alice", world.machines[machine].clock.now())
    world.note("stop", machine)


def _start(world: World, machine: int) -> None:
    state = world.machines[machine].state
    if state.stop.is_dir():
        state.stop.rmdir()
    else:
        state.clear_stop()
    world.note("start", machine)


def _release(world: World, machine: int, rule: str, host: int | None) -> None:
    owner = world.machines[machine]
    name = None if host is None else list(world.hosts)[host]
    _person(world, machine).release(rule, name, owner.clock.now(), "looked at it", "alice")
    world.faults[Fault.RELEASE] += 1
    world.note("release", machine, rule, name)


def _clock_step(world: World, machine: int, seconds: float) -> None:
    world.faults[Fault.CLOCK_STEP] += 1
    world.machines[machine].clock.step(seconds)
    world.note("clock_step", machine, seconds)


def _freeze(world: World, machine: int, in_s: float, seconds: float) -> None:
    world.faults[Fault.FREEZE] += 1
    owner = world.machines[machine]
    start = owner.clock.now() + timedelta(seconds=in_s)
    freeze = Freeze(start=start, end=start + timedelta(seconds=seconds), reason="year end")
    owner.freezes.append(freeze)
    world.note("freeze", machine, freeze.start.timestamp(), freeze.end.timestamp())


def _freezes_unreadable(world: World, machine: int, seconds: float) -> None:
    world.machines[machine].unreadable_until = world.scheduler.now + seconds
    world.note("freezes_unreadable", machine, seconds)


def _person(world: World, machine: int) -> Ledger:
    return world.machines[machine].ledger(Process(world.scheduler, "a person", is_person=True))


def _pause(world: World, machine: int, kind: str, name: str, seconds: float | None) -> None:
    world.faults[Fault.PAUSE] += 1
    now = world.machines[machine].clock.now()
    until = None if seconds is None else now + timedelta(seconds=seconds)
    pause = Pause(of=PauseOf(kind), name=name, reason="moving house", actor="alice", at=now, until=until)
    _person(world, machine).pause(pause)
    world.note("pause", machine, kind, name, None if until is None else until.timestamp())


def _unpause(world: World, machine: int, kind: str, name: str) -> None:
    now = world.machines[machine].clock.now()
    if _person(world, machine).unpause(PauseOf(kind), name, at=now, actor="alice", reason="done"):
        world.note("unpause", machine, kind, name)


def _rack_outage(world: World, rack: int, seconds: float) -> None:
    world.faults[Fault.RACK_OUTAGE] += 1
    for host in world.hosts.values():
        if host.rack == rack:
            host.away_until = max(host.away_until, world.scheduler.now + seconds)
    world.note("rack_outage", -1, rack, seconds)


def _half_fleet(world: World, seconds: float) -> None:
    for number, host in enumerate(world.hosts.values()):
        if number % 2:
            host.sensor_lies_until = world.scheduler.now + seconds
    world.note("half_fleet", -1, seconds)


def _disk_full(world: World, machine: int, seconds: float) -> None:
    world.machines[machine].full_until = world.scheduler.now + seconds
    world.note("disk_full", machine, seconds)


def _new_trouble(world: World, host: int) -> None:
    world.faults[Fault.NEW_TROUBLE] += 1
    list(world.hosts.values())[host].set_level("a", TROUBLE, world.scheduler.now)


def _heals(world: World, host: int) -> None:
    world.faults[Fault.HEALS_ITSELF] += 1
    list(world.hosts.values())[host].set_level("a", WELL, world.scheduler.now)


def _moved(world: World, host: int) -> None:
    world.faults[Fault.ENDPOINT_MOVED] += 1
    moved = list(world.hosts.values())[host]
    moved.address = f"{moved.address}1"
    world.note("moved", -1, moved.name)


def _hold(world: World, number: int, seconds: float) -> None:
    world.faults[Fault.HOST_HOLD] += 1
    host = list(world.hosts.values())[number]
    host.hold = True

    def end() -> None:
        host.hold = False

    world.scheduler.after(seconds, end)
    world.note("hold", -1, host.name, seconds)


HAPPENINGS: Mapping[str, Callable[..., Any]] = {
    "stop": _stop,
    "start": _start,
    "release": _release,
    "clock_step": _clock_step,
    "freeze": _freeze,
    "freezes_unreadable": _freezes_unreadable,
    "pause": _pause,
    "unpause": _unpause,
    "rack_outage": _rack_outage,
    "half_fleet": _half_fleet,
    "disk_full": _disk_full,
    "new_trouble": _new_trouble,
    "heals": _heals,
    "hold": _hold,
    "moved": _moved,
}
