"""
A crew: who works on hosts beside the main thread, and the inbox for what they say.

The one place of the run that knows threads. A simulator brings a crew of its own
and carries out the very same runs, one step at a time.
"""

import queue
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

__all__ = ["Crew", "Crews", "ThreadCrew"]

M = TypeVar("M")


class Crew(Protocol[M]):
    """Carries out works, as many at once as it has hands; leaving its block waits for all of them."""

    def __enter__(self) -> Self:
        """Get ready."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for every work that was not dropped."""

    def begin(self, name: str, work: Callable[[], None]) -> None:
        """Have a work carried out as soon as a hand is free; names are unique in a crew."""

    def put(self, message: M) -> None:
        """Put a message into the inbox; called by works."""

    def take(self, timeout_s: float) -> M | None:
        """
        Return the next message, or None when none came in that time.

        Raises:
            BaseException: what a work raised: a bug of ours.
        """

    def drop(self) -> tuple[str, ...]:
        """Drop the works that have not begun, and return their names."""


Crews = Callable[[int], Crew[Any]]
"""Makes a crew with so many hands."""


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


class ThreadCrew(Generic[M]):
    """A crew of threads."""

    def __init__(self, hands: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=max(1, hands))
        self._inbox: queue.SimpleQueue[M | _Raised] = queue.SimpleQueue()
        self._works: dict[str, Future[None]] = {}

    def __enter__(self) -> Self:
        """Return itself; threads are made when there is work."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for every work that was not dropped."""
        self._pool.shutdown(wait=True)

    def begin(self, name: str, work: Callable[[], None]) -> None:
        """Have a work carried out as soon as a thread is free."""

        def carried_out() -> None:
            try:
                work()
            except BaseException as exc:  # noqa: BLE001 - not silent: `take` raises it in the main thread.
                self._inbox.put(_Raised(exc))

        self._works[name] = self._pool.submit(carried_out)

    def put(self, message: M) -> None:
        """Put a message into the inbox; called by works."""
        self._inbox.put(message)

    def take(self, timeout_s: float) -> M | None:
        """Return the next message, or None when none came in that time; raises what a work raised."""
        try:
            message = self._inbox.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(message, _Raised):
            raise message.error
        return message

    def drop(self) -> tuple[str, ...]:
        """Drop the works that have not begun, and return their names."""
        dropped = tuple(name for name, work in self._works.items() if work.cancel())
        for name in dropped:
            del self._works[name]
        return dropped
