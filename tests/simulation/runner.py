"""
A runner over the simulated fleet: sessions, what goes wrong on the way, and what a host answers.

What is sent goes its way, whatever becomes of the controller that sent it.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256

from greenlet import getcurrent

from remedy.errors import Refused, Unreachable
from remedy.model import Transport
from remedy.port import (
    Captured,
    Collected,
    CollectJob,
    CollectorEnding,
    CollectorOutput,
    Endpoint,
    FixEnding,
    FixJob,
    FixResult,
    Marker,
    MarkersRead,
    MarkerState,
    Permit,
    Target,
)
from tests.simulation.faults import Fault
from tests.simulation.fleet import TROUBLE_ABOVE, Sent, SimHost, Start
from tests.simulation.runs import Run
from tests.simulation.scheduler import Task
from tests.simulation.world import World

__all__ = ["SimRunner", "runners_of"]

_WATCHDOG_S = 8.0
_PAYLOAD_WAIT_S = 20.0
_START_GRACE_S = _PAYLOAD_WAIT_S + 5.0
"""So long the controller waits to hear that the script has started; from then on its deadline counts."""


@cache
def _digest(raw: bytes) -> str:
    return sha256(raw).hexdigest()


@cache
def _captured(raw: bytes) -> Captured:
    """Return a stream of which everything was kept."""
    return Captured(head=raw, tail=b"", size=len(raw), sha256=_digest(raw))


_NOTHING = _captured(b"")


class SimRunner:
    """Opens sessions to the fleet for one run."""

    def __init__(self, world: World, run: Run) -> None:
        self._world = world
        self._run = run

    @property
    def warnings(self) -> tuple[str, ...]:
        """See the port."""
        return ()

    def endpoint(self, target: Target) -> Endpoint:
        """See the port."""
        self._run.process.effect("endpoint")
        return Endpoint(address=self._world.hosts[target.name].address, port=22, user="u")

    def connect(self, target: Target) -> "SimSession":
        """See the port."""
        world, host = self._world, self._world.hosts[target.name]
        process = self._run.process
        process.effect("connect")
        world.scheduler.sleep(world.latency())
        if world.is_away(host) or world.strikes(Fault.UNREACHABLE):
            world.scheduler.sleep(world.latency() * 5)
            raise Unreachable("no route to host")
        if world.strikes(Fault.REFUSED):
            raise Refused("it has no sudo")
        if world.strikes(Fault.KEY_CHANGED):
            raise Refused("the host key has changed", identity=True)
        process.effect("connected")
        return SimSession(world, self._run, host)


def runners_of(world: World, run: Run) -> Mapping[Transport, SimRunner]:
    """Return the runners of one run: one for all transports."""
    runner = SimRunner(world, run)
    return {Transport.SSH: runner, Transport.WINRM: runner}


class SimSession:
    """A connection to one host; knows what its last reading printed."""

    def __init__(self, world: World, run: Run, host: SimHost) -> None:
        self._world = world
        self._run = run
        self._host = host
        self._boot = host.boot
        self._address = f"u@{host.address}:22"
        self._printed: Mapping[str, float | None] = {}
        self._read_at = -1.0
        self._closed = False

    def _check(self) -> None:
        if self._closed:
            raise RuntimeError("a closed session was used")
        if self._world.is_away(self._host) or self._host.boot != self._boot:
            raise Unreachable("the connection is gone")

    def collect(self, jobs: Sequence[CollectJob]) -> Collected:
        """See the port."""
        world, host = self._world, self._host
        self._run.process.effect("collect")
        world.scheduler.sleep(world.latency())
        self._check()
        ending = CollectorEnding.EXITED
        code: int | None = 0
        self._printed = {}
        if world.strikes(Fault.COLLECTOR_HANGS):
            world.scheduler.sleep(20.0)
            ending, code = CollectorEnding.TIMED_OUT, None
        elif world.strikes(Fault.COLLECTOR_FAILS):
            code = 1
        else:
            self._printed = world.printed(host)
        raw = _lines(tuple(self._printed.items())) if ending is CollectorEnding.EXITED and code == 0 else b""
        self._read_at = world.scheduler.now
        if self._run.plan is None:
            self._run.printed[host.name] = self._printed
        self._run.process.effect("collected")
        output = CollectorOutput(ending=ending, exit_code=code, stdout=_captured(raw), stderr=_NOTHING)
        return Collected(boot_id=f"boot-{host.boot}", outputs={job.signal: output for job in jobs})

    def fix(self, permit: Permit, job: FixJob) -> FixResult:
        """See the port; what is sent goes its way, whatever becomes of the sender."""
        world, host, run = self._world, self._host, self._run
        if (permit.execution_id, permit.script_sha256, permit.host) != (
            job.execution_id,
            _digest(job.script),
            host.name,
        ):
            raise RuntimeError("the job is not what was permitted")
        run.process.effect("fix")
        self._check()
        if world.strikes(Fault.LINK_LOST_BEFORE):
            raise Unreachable("the link was gone before the first byte")
        sent = self._note_sent(job)
        travel_s = world.latency()
        if world.strikes(Fault.PAYLOAD_STALLED):
            travel_s = world.rng.uniform(1.0, _PAYLOAD_WAIT_S - 0.1)
        reply = _Reply(world)
        if not world.strikes(Fault.PAYLOAD_LOST):
            world.scheduler.after(travel_s, lambda: self._arrive(job, sent, reply))
        run.process.effect("fix.sent")
        result = reply.wait(world.scheduler.now + _START_GRACE_S, then_s=job.timeout_s + _WATCHDOG_S)
        run.process.effect("fix.answered")
        return result or _result(FixEnding.LOST, reason="the end was not seen")

    def _note_sent(self, job: FixJob) -> Sent:
        world, run = self._world, self._run
        row = job.environment.get("REMEDY_ROW_NAME", "")
        level = self._printed.get(row)
        sent = Sent(
            at=world.scheduler.now,
            run=run,
            host=self._host.name,
            execution_id=job.execution_id,
            sha256=_digest(job.script),
            row=row,
            in_audit=job.execution_id in run.machine.disk.intents,
            in_ledger=run.machine.has_intent(job.execution_id),
            read_match=level is not None and level > TROUBLE_ABOVE,
            read_age_s=world.scheduler.now - self._read_at,
            address=self._address,
        )
        world.sent.append(sent)
        return sent

    def _arrive(self, job: FixJob, sent: Sent, reply: "_Reply") -> None:
        """Do on the host what the loader does when the payload is there."""
        world, host = self._world, self._host
        if world.is_away(host) or host.boot != self._boot:
            sent.arrived = "away"
            return
        refusal = self._refusal(job)
        if refusal is not None:
            sent.arrived = refusal.value
            reply.come_after(world.latency(), _result(refusal, reason=refusal.value))
            return
        sent.arrived = "started"
        start = sent.start = host.markers[job.execution_id] = world.start_script(host, job, sent)
        world.scheduler.at(start.dies_at, lambda: self._end(start, job, reply))
        if world.strikes(Fault.LINK_LOST_AFTER):
            reply.come_after(world.rng.random() * (start.dies_at - start.at), _result(FixEnding.LOST, reason="cut"))
        elif world.rng.random() < 0.5 or not world.strikes(Fault.ANSWER_LOST):
            reply.started_after(world.latency())

    def _refusal(self, job: FixJob) -> FixEnding | None:
        host = self._host
        if host.hold:
            return FixEnding.HOST_HOLD
        if self._world.strikes(Fault.SCRIPT_REFUSED):
            return FixEnding.REFUSED
        if host.running is not None:
            return FixEnding.ALREADY_STARTED if job.execution_id in host.markers else FixEnding.HOST_BUSY
        return FixEnding.ALREADY_STARTED if job.execution_id in host.markers else None

    def _end(self, start: Start, job: FixJob, reply: "_Reply") -> None:
        world = self._world
        answers = world.end_script(self._host, start)
        if not answers or world.strikes(Fault.ANSWER_LOST):
            return
        late_s = job.timeout_s + 30.0 if world.strikes(Fault.ANSWER_LATE) else world.latency()
        if start.exit_code is None:
            result = _result(FixEnding.TIMED_OUT)
        else:
            result = _result(FixEnding.FINISHED, start.exit_code)
        reply.come_after(late_s, result)

    def read_markers(self, execution_ids: Sequence[str], *, become_root: bool) -> MarkersRead:
        """See the port; the login is root."""
        world, host = self._world, self._host
        self._run.process.effect("markers")
        world.scheduler.sleep(world.latency())
        self._check()
        return MarkersRead(
            boot_id=f"boot-{host.boot}",
            as_root=True,
            up_s=int(world.scheduler.now - host.booted_at),
            markers={each: _marker(host, host.markers.get(each)) for each in execution_ids},
        )

    def close(self) -> None:
        """See the port."""
        self._closed = True


def _marker(host: SimHost, start: Start | None) -> Marker:
    if start is None:
        return Marker(state=MarkerState.ABSENT)
    boot_id = f"boot-{host.boot}"
    if start.ended_at is None:
        return Marker(state=MarkerState.STARTED, boot_id=boot_id, is_alive=True)
    if start.exit_code is None:
        return Marker(state=MarkerState.ENDED, boot_id=boot_id, exit_code=124, over=True, is_alive=False)
    return Marker(state=MarkerState.ENDED, boot_id=boot_id, exit_code=start.exit_code, over=False, is_alive=False)


class _Reply:
    """An answer on its way back."""

    def __init__(self, world: World) -> None:
        self._scheduler = world.scheduler
        self._result: FixResult | None = None
        self._waiting: Task | None = None
        self._heard_at: float | None = None

    def started_after(self, seconds: float) -> None:
        """Have the controller hear so much later that the script has started."""

        def hear() -> None:
            self._heard_at = self._scheduler.now
            self._wake()

        self._scheduler.after(seconds, hear)

    def come_after(self, seconds: float, result: FixResult) -> None:
        """Have the answer come so much later."""

        def come() -> None:
            self._result = self._result or result
            self._wake()

        self._scheduler.after(seconds, come)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.process.dead:
            self._scheduler.wake_at(self._waiting, self._scheduler.now)

    def wait(self, until: float, *, then_s: float) -> FixResult | None:
        """Return the answer; None when it has not come by then, or `then_s` after the start was heard."""
        task = getcurrent()
        assert isinstance(task, Task)
        self._waiting = task
        while self._result is None and self._scheduler.now < until:
            self._scheduler.wake_at(task, until)
            self._scheduler.park()
            if self._heard_at is not None:
                until = self._heard_at + then_s
        self._waiting = None
        return self._result


def _result(ending: FixEnding, exit_code: int | None = None, *, reason: str = "") -> FixResult:
    return FixResult(ending=ending, exit_code=exit_code, stdout=_NOTHING, stderr=_NOTHING, reason=reason)


@cache
def _lines(printed: tuple[tuple[str, float | None], ...]) -> bytes:
    return "".join(json.dumps({"name": name, "level": level}) + "\n" for name, level in printed).encode()
