"""
The world of one seed: scheduler, hosts, machines, and the truth about what happened.

Everything that is decided by chance while it runs comes from one generator, so the
same seed gives the same history.
"""

import random
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from remedy.errors import LockHeld, UsageError
from remedy.model import Execution
from remedy.port import FixJob
from remedy.schedule import Freeze
from remedy.state.directory import StateDirectory
from remedy.state.ledger_schema import open_ledger
from remedy.state.locks import HeldLock, LockHolder, Locks
from remedy.state.values import utc_text
from tests.simulation.clock import SimClock
from tests.simulation.disk import SimDisk, Store
from tests.simulation.fleet import REBOOT_CODE, Sent, SimHost, Start
from tests.simulation.scenario import Fault, RuleOptions, Scenario
from tests.simulation.scheduler import Process, Scheduler

__all__ = ["RESERVE_NAME", "Event", "Machine", "SimLocks", "World"]

RESERVE_NAME = "reserve"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a person or the world did: when, what, on which machine (-1: the world), with what."""

    at: float
    what: str
    machine: int
    details: tuple[object, ...] = ()


@lru_cache(maxsize=1)
def _template() -> bytes:
    """Return the bytes of a new ledger, made by the code that makes one."""
    with TemporaryDirectory(prefix="remedy-simulation-") as directory:
        path = Path(directory) / "ledger.sqlite3"
        with closing(open_ledger(path)):
            pass
        return path.read_bytes()


class Machine:
    """A controller machine: its disk, store, clocks, locks and state directory."""

    def __init__(self, world: "World", number: int, directory: Path) -> None:
        self.number = number
        self.world = world
        self.clock = SimClock(world.scheduler)
        self.state = StateDirectory(directory)
        self.state.prepare()
        self.disk = SimDisk(self._fails)
        self.store = Store(_template(), self._fails)
        self.held: dict[tuple[str, str], tuple[Process, LockHolder]] = {}
        self.processes: list[Process] = []
        self.full_until = -1.0
        self.freezes: list[Freeze] = []
        self.unreadable_until = -1.0
        self.runs = 0

    def read_freezes(self) -> tuple[Freeze, ...]:
        """Return the freezes of remedy.yaml as it is now."""
        if self.world.scheduler.now < self.unreadable_until:
            self.world.faults[Fault.FREEZE_UNREADABLE] += 1
            raise UsageError("remedy.yaml cannot be read")
        return tuple(self.freezes)

    def _fails(self, what: str) -> bool:
        world = self.world
        match what:
            case "disk.write":
                full = world.scheduler.now < self.full_until and not self.has_room
                if full:
                    world.faults[Fault.DISK_FULL] += 1
                return full
            case "disk.sync":
                return world.strikes(Fault.SYNC_ERROR)
            case "ledger.begin":
                return world.strikes(Fault.LEDGER_BUSY)
            case "ledger.commit":
                return world.strikes(Fault.LEDGER_FULL)
            case _:
                return world.strikes(Fault.LEDGER_LOST_ACK)

    def has_intent(self, execution_id: str) -> bool:
        """Say whether the ledger would have this intent after a power cut now."""
        real = self.store.real
        found = real.execute("SELECT 1 FROM intents WHERE execution_id = ?", (execution_id,)).fetchone()
        return found is not None and not real.in_transaction

    def has_outcome(self, run_id: str, execution_id: str) -> bool:
        """Say whether the ledger has an outcome of this execution, though nobody may have been told."""
        found = self.store.real.execute(
            "SELECT outcome FROM executions WHERE run_id = ? AND execution_id = ?", (run_id, execution_id)
        ).fetchone()
        return found is not None and found[0] is not None and not self.store.real.in_transaction

    @property
    def has_room(self) -> bool:
        """Whether the reserve was given up, so that there is a little room on a full disk."""
        return not (self.state.path / RESERVE_NAME).exists() and self.world.scenario.seed % 3 != 0

    def lose_power(self) -> None:
        """End every process of this machine, and what was not synced."""
        self.world.note("power_loss", self.number)
        for process in list(self.processes):
            process.kill()
        self.disk.lose_power(self.world.rng)


class _SimHeldLock(HeldLock):
    """A lock that its process's death frees."""

    def __init__(self, machine: Machine, key: tuple[str, str], process: Process) -> None:
        super().__init__(machine.state.locks, -1)
        self._machine = machine
        self._key = key
        self._process = process

    def release(self) -> None:
        """Free the lock; a dead process's locks are free already."""
        if not self._process.dead:
            self._machine.held.pop(self._key, None)


class SimLocks(Locks):
    """The locks of one machine, as one run takes them."""

    def __init__(self, machine: Machine, process: Process, run_id: str) -> None:
        super().__init__(
            machine.state.locks, run_id=run_id, what="apply", pid=1, controller="here", clock=machine.clock.now
        )
        self._machine = machine
        self._process = process

    def _take(self, kind: str, name: str, *, needed_s: float | None = None) -> HeldLock:
        self._process.effect("lock.take")
        key = (kind, name)
        if key in self._machine.held:
            raise LockHeld(f"{kind} {name} is held by {self._machine.held[key][1]}")
        holder = LockHolder(
            run_id=self._run_id, pid=1, controller="here", since=utc_text(self._machine.clock.now()), what="apply"
        )
        self._machine.held[key] = (self._process, holder)
        return _SimHeldLock(self._machine, key, self._process)

    def run_is_held(self, run_id: str) -> bool:
        """Say whether a run is alive."""
        return ("run", run_id) in self._machine.held


class World:
    """Everything of one seed."""

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        self.scenario = scenario
        self.scheduler = Scheduler()
        self.rng = random.Random(scenario.seed)
        self.faults: Counter[str] = Counter()
        self.sent: list[Sent] = []
        self.starts: list[Start] = []
        self.events: list[Event] = []
        self.trace: list[str] | None = None
        self.permitted = 0
        self.planned: dict[str, Execution] = {}
        self.options: Mapping[str, RuleOptions] = {rule.name: rule for rule in scenario.rules}
        self.hosts = {host.name: host for host in _make_hosts(scenario, self.rng)}
        self.bad_scripts = self._draw_bad_scripts()
        shutil.rmtree(directory, ignore_errors=True)
        self.machines = [Machine(self, number, directory / f"m{number}") for number in range(scenario.machines)]

    def close(self) -> None:
        """Free what is held."""
        for machine in self.machines:
            machine.store.close()

    def _draw_bad_scripts(self) -> frozenset[tuple[str, str]]:
        if Fault.SCRIPT_BAD_ON_PLATFORM not in self.scenario.on:
            return frozenset()
        rule = self.rng.choice(self.scenario.rules)
        return frozenset({(rule.name, self.rng.choice(("linux", "windows")))})

    # Chance and truth.

    def strikes(self, fault: Fault) -> bool:
        """Say whether a fault strikes on this occasion."""
        rate = self.scenario.rates.get(fault)
        if rate is None or self.scheduler.now >= self.scenario.faults_end or self.rng.random() >= rate:
            return False
        self.faults[fault] += 1
        if self.trace is not None:
            self.say(f"fault {fault.value}")
        return True

    def latency(self) -> float:
        """Return how long something over the network takes."""
        return 0.01 + self.rng.random() * 0.4

    def say(self, what: str) -> None:
        """Add a line to the event list, when there is one."""
        if self.trace is not None:
            self.trace.append(f"{self.scheduler.now:12.3f} {what}")

    def note(self, what: str, machine: int = -1, *details: object) -> None:
        """Note what a person or the world did."""
        self.events.append(Event(self.scheduler.now, what, machine, details))
        self.say(f"{what} {machine} {details}")

    # Hosts.

    def is_away(self, host: SimHost) -> bool:
        """Say whether nobody reaches a host now."""
        return self.scheduler.now < host.away_until

    def printed(self, host: SimHost) -> dict[str, float | None]:
        """Return what the collector prints of a host now, with what its sensor makes of it."""
        rows: dict[str, float | None] = dict(host.levels)
        if self.scheduler.now < host.sensor_lies_until:
            self.faults[Fault.SENSOR_HALF_FLEET] += 1
            return dict.fromkeys(rows, 9.0)
        if self.strikes(Fault.SENSOR_NULL):
            return dict.fromkeys(rows, None)
        if self.strikes(Fault.SENSOR_ROW_GONE):
            rows.pop("a")
            return rows or {"other": 0.0}
        if self.strikes(Fault.SENSOR_MANY_ROWS):
            return {**{f"n{number}": 9.0 for number in range(12)}, **rows}
        return rows

    def start_script(self, host: SimHost, job: FixJob, sent: Sent) -> Start:
        """Start a script on a host, and draw how it will go."""
        now = self.scheduler.now
        behaviour, seconds = self._behaviour(host, job)
        row = job.environment.get("REMEDY_ROW_NAME", "")
        start = Start(
            at=now,
            host=host.name,
            execution_id=job.execution_id,
            run=sent.run,
            sha256=sent.sha256,
            row=row,
            dies_at=now + seconds,
            behaviour=behaviour,
        )
        host.running = start
        self.starts.append(start)
        self.say(f"{host.name} starts {job.execution_id} for {sent.run.id}: {behaviour} ({seconds:.1f}s)")
        return start

    def _behaviour(self, host: SimHost, job: FixJob) -> tuple[str, float]:
        seconds = min(self.rng.expovariate(0.5), job.timeout_s * 0.9)
        if (job.environment["REMEDY_RULE"], host.platform) in self.bad_scripts:
            self.faults[Fault.SCRIPT_BAD_ON_PLATFORM] += 1
            return "fails", seconds
        if self.strikes(Fault.SCRIPT_FAILS):
            return "fails", seconds
        if self.strikes(Fault.SCRIPT_NOT_FIXED):
            return "does nothing", seconds
        if self.strikes(Fault.SCRIPT_HANGS):
            return "hangs", job.timeout_s + self.rng.choice((0.0, 5.0))
        if self.strikes(Fault.SCRIPT_REBOOTS):
            return "reboots", seconds
        if self.strikes(Fault.SCRIPT_WANTS_REBOOT):
            return "wants reboot", seconds
        return "fixes", seconds

    def end_script(self, host: SimHost, start: Start) -> bool:
        """End a script on its host; False when the host cannot answer any more."""
        now = self.scheduler.now
        if start.ended_at is not None:
            return False  # The host was rebooted under it.
        start.ended_at = now
        host.running = None
        match start.behaviour:
            case "fails":
                start.exit_code = 1
            case "hangs":
                start.exit_code = None
            case "reboots":
                self.reboot(host)
                return False
            case "does nothing":
                start.exit_code = 0
            case "wants reboot":
                start.exit_code = REBOOT_CODE
                start.healed = True
            case _:
                start.exit_code = 0
                start.healed = True
        if start.healed:
            host.set_level(start.row, 0.0, now)
            if self.strikes(Fault.RELAPSE):
                self.scheduler.after(
                    self.rng.uniform(1, 500), lambda: host.set_level(start.row, 9.0, self.scheduler.now)
                )
        self.say(f"{host.name} ends {start.execution_id}: {start.behaviour}, exit {start.exit_code}")
        return not self.is_away(host)

    def reboot(self, host: SimHost) -> None:
        """Reboot a host: what runs ends, markers under /run are gone, it is away for a while."""
        now = self.scheduler.now
        if host.running is not None:
            host.running.ended_at = now
            host.running = None
        host.boot += 1
        host.booted_at = now
        host.markers.clear()
        host.away_until = max(host.away_until, now + self.rng.uniform(5, 90))
        self.say(f"{host.name} reboots")


def _make_hosts(scenario: Scenario, rng: random.Random) -> list[SimHost]:
    fleet = scenario.fleet
    hosts = []
    for number in range(fleet.hosts):
        rows = ("a", "b") if rng.random() < fleet.two_rows_share else ("a",)
        levels = {row: 9.0 if rng.random() < fleet.trouble_share else 0.0 for row in rows}
        name = f"h{number:03d}"
        host = SimHost(
            name=name,
            platform="windows" if rng.random() < fleet.windows_share else "linux",
            rack=number % fleet.racks,
            levels=levels,
            address=f"10.0.{number // 250}.{number % 250}",
        )
        host.changes = {row: [(-1.0, level)] for row, level in levels.items()}
        hosts.append(host)
    return hosts
