"""
Simulated time, and who runs in it: processes made of greenlets, all in one thread.

A greenlet gives way only in `sleep` and `Crew.take`, so that what happens between
two of these happens at one instant. A process that crashed carries out no effect
any more: `Crashed` comes out of whatever it tries.
"""

import heapq
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from greenlet import getcurrent, greenlet

__all__ = ["Crashed", "Process", "Scheduler", "SimCrew", "StuckError"]

_STEPS_MAX = 3_000_000


class Crashed(BaseException):
    """The process died at this effect; nothing of it may do anything any more."""


class StuckError(Exception):
    """The simulation came to no end: something waits for ever, or runs in circles."""


class Process:
    """One controller process: alive until it ends or crashes. A person tries until it works."""

    def __init__(self, scheduler: "Scheduler", name: str, *, is_person: bool = False) -> None:
        self.name = name
        self.is_person = is_person
        self.scheduler = scheduler
        self.dead = False
        self.ended = False
        self.tasks: dict[int, Task] = {}
        self.on_death: list[Callable[[], None]] = []
        self.on_effect: Callable[[str], None] = lambda _name: None

    def effect(self, name: str) -> None:
        """Say that an effect is about to happen (or has just happened): a place to crash at."""
        if self.dead:
            raise Crashed
        self.on_effect(name)

    def crash(self) -> None:
        """Die here: the caller's greenlet too, if it is one of this process."""
        self.kill()
        current = getcurrent()
        if isinstance(current, Task) and current.process is self:
            raise Crashed

    def kill(self) -> None:
        """Mark the process dead; its greenlets are unwound before anything else happens."""
        if self.dead or self.ended:
            return
        self.dead = True
        for callback in self.on_death:
            callback()
        self.scheduler.unwind(self)


class Task(greenlet):
    """One greenlet of a process."""

    def __init__(self, process: Process, number: int, work: Callable[[], None], hub: greenlet) -> None:
        super().__init__(self._carry_out, parent=hub)
        self.process = process
        self.number = number
        self.wake = 0
        self._work = work

    def _carry_out(self) -> None:
        try:
            if not self.process.dead:
                self._work()
        except Crashed:
            pass
        finally:
            self.process.tasks.pop(self.number, None)


class Scheduler:
    """A heap of wake-ups; simulated seconds, from 0."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._heap: list[tuple[float, int, Any, int]] = []
        self._sequence = 0
        self._hub = getcurrent()
        self._dying: list[Process] = []

    def at(self, time: float, callback: Callable[[], None]) -> None:
        """Call back at a time; not before now."""
        self._sequence += 1
        heapq.heappush(self._heap, (max(time, self.now), self._sequence, callback, -1))

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back so many seconds from now."""
        self.at(self.now + seconds, callback)

    def spawn(self, process: Process, work: Callable[[], None]) -> None:
        """Start a greenlet of a process, at this instant."""
        self._sequence += 1
        task = Task(process, self._sequence, work, self._hub)
        process.tasks[self._sequence] = task
        heapq.heappush(self._heap, (self.now, self._sequence, task, 0))

    def sleep(self, seconds: float) -> None:
        """Let the current greenlet sleep."""
        task = self._current()
        self.wake_at(task, self.now + max(0.0, seconds))
        self.park()

    def wake_at(self, task: Task, time: float) -> None:
        """Wake a parked greenlet at a time, unless it was woken before."""
        self._sequence += 1
        heapq.heappush(self._heap, (max(time, self.now), self._sequence, task, task.wake))

    def park(self) -> None:
        """Give way until woken."""
        task = self._current()
        self._hub.switch()
        if task.process.dead:
            raise Crashed

    def _current(self) -> Task:
        task = getcurrent()
        if not isinstance(task, Task):
            raise TypeError("only a greenlet of a process can wait")
        if task.process.dead:
            raise Crashed
        return task

    def unwind(self, process: Process) -> None:
        """Have the greenlets of a dead process unwound as soon as the hub runs."""
        self._dying.append(process)
        if getcurrent() is self._hub:
            self._unwind_all()

    def _unwind_all(self) -> None:
        while self._dying:
            process = self._dying.pop()
            for task in list(process.tasks.values()):
                if bool(task):  # Started, and not over: it stands in some effect.
                    task.throw(Crashed)
            process.tasks.clear()

    def run(self, *, until: float) -> None:
        """
        Carry out everything, in the order of time.

        Raises:
            StuckError: something was still to come after `until`.
        """
        heap = self._heap
        while heap:
            time, _, what, wake = heapq.heappop(heap)
            if wake >= 0 and (what.process.dead or what.wake != wake or what.dead):
                continue
            if time > until:
                raise StuckError(f"something was still going on at {time:.0f}s: {what!r}")
            self.now = time
            self.steps += 1
            if self.steps > _STEPS_MAX:
                raise StuckError(f"more than {_STEPS_MAX} steps, at {time:.0f}s")
            if wake < 0:
                what()
            else:
                what.wake += 1
                what.switch()
            if self._dying:
                self._unwind_all()


class SimCrew:
    """A crew of greenlets; `patience` stretches the time that `take` waits."""

    def __init__(self, process: Process, hands: int, *, patience: float) -> None:
        self._process = process
        self._scheduler = process.scheduler
        self._hands = hands
        self._patience = patience
        self._active = 0
        self._queue: dict[str, Callable[[], None]] = {}
        self._inbox: deque[Any] = deque()
        self._waiting: Task | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for every work that was not dropped."""
        while self._active:
            self._wait(None)

    def begin(self, name: str, work: Callable[[], None]) -> None:
        """Have a work carried out as soon as a hand is free."""
        if self._active < self._hands:
            self._start(work)
        else:
            self._queue[name] = work

    def _start(self, work: Callable[[], None]) -> None:
        self._active += 1

        def carry_out() -> None:
            try:
                work()
            except Exception as exc:  # noqa: BLE001 - not silent: `take` raises it.
                self._say((True, exc))
            self._active -= 1
            if self._queue:
                self._start(self._queue.pop(next(iter(self._queue))))
            elif not self._active:
                self._wake()

        self._scheduler.spawn(self._process, carry_out)

    def put(self, message: Any) -> None:
        """Put a message into the inbox."""
        self._say((False, message))

    def _say(self, message: tuple[bool, Any]) -> None:
        self._inbox.append(message)
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._process.dead:
            self._scheduler.wake_at(self._waiting, self._scheduler.now)

    def _wait(self, seconds: float | None) -> None:
        task = getcurrent()
        assert isinstance(task, Task)
        if seconds is not None:
            self._scheduler.wake_at(task, self._scheduler.now + seconds)
        self._waiting = task
        try:
            self._scheduler.park()
        finally:
            self._waiting = None

    def take(self, timeout_s: float) -> Any:
        """Return the next message, or None when none came in that time; raises what a work raised."""
        if not self._inbox:
            self._wait(timeout_s * self._patience)
        if not self._inbox:
            return None
        raised, message = self._inbox.popleft()
        if raised:
            raise message
        return message

    def drop(self) -> tuple[str, ...]:
        """Drop the works that have not begun, and return their names."""
        dropped = tuple(self._queue)
        self._queue.clear()
        return dropped
