"""A controller machine of the simulation: its disk, store, clocks, locks and state directory."""

from contextlib import closing
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from remedy.errors import LockHeld, UsageError
from remedy.schedule import Freeze
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.state.ledger_schema import open_ledger
from remedy.state.locks import HeldLock, LockHolder, Locks
from remedy.state.values import utc_text
from tests.simulation.clock import SimClock
from tests.simulation.disk import SimDisk, Store
from tests.simulation.faults import Fault
from tests.simulation.scheduler import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["RESERVE_NAME", "Machine", "SimLocks"]

RESERVE_NAME = "reserve"


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

    def ledger(self, process: Process) -> Ledger:
        """Open the ledger for a process."""
        return self.store.ledger(process, self.state.ledger)

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
