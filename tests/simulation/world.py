"""
The world of one seed: scheduler, hosts, machines, and the truth about what happened.

Everything that is decided by chance while it runs comes from one generator, so the
same seed gives the same history.
"""

import random
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remedy.model import Execution
from remedy.port import FixJob
from tests.simulation.faults import Fault
from tests.simulation.fleet import REBOOT_CODE, TROUBLE, WELL, Sent, SimHost, Start
from tests.simulation.machine import Machine
from tests.simulation.scenario import RuleOptions, Scenario
from tests.simulation.scheduler import Scheduler

__all__ = ["Event", "World"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a person or the world did: when, what, on which machine (-1: the world), with what."""

    at: float
    what: str
    machine: int
    details: tuple[object, ...] = ()


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
            return dict.fromkeys(rows, TROUBLE)
        if self.strikes(Fault.SENSOR_NULL):
            return dict.fromkeys(rows, None)
        if self.strikes(Fault.SENSOR_ROW_GONE):
            rows.pop("a")
            return rows or {"other": 0.0}
        if self.strikes(Fault.SENSOR_MANY_ROWS):
            return {**{f"n{number}": TROUBLE for number in range(12)}, **rows}
        return rows

    def start_script(self, host: SimHost, job: FixJob, sent: Sent) -> Start:
        """Start a script on a host, and draw how it will go."""
        now = self.scheduler.now
        behaviour, seconds = self._behaviour(host, job)
        start = Start(
            at=now,
            host=host.name,
            execution_id=job.execution_id,
            run=sent.run,
            sha256=sent.sha256,
            row=sent.row,
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
            host.set_level(start.row, WELL, now)
            if self.strikes(Fault.RELAPSE):
                self.scheduler.after(
                    self.rng.uniform(1, 500), lambda: host.set_level(start.row, TROUBLE, self.scheduler.now)
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
        levels = {row: TROUBLE if rng.random() < fleet.trouble_share else WELL for row in rows}
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
