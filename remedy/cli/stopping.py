"""Ctrl-C: once means start nothing new and report, twice means end now."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["NOTHING_CHANGED", "Stopping", "stopping"]

_INTERRUPTED = 130
_STOPPING = "stopping: nothing new is started, what runs is waited for (again: end at once)"
_ENDED = (
    "ended at once; what was under way will be called lost; close the run with: remedy resume RUN (see remedy runs)"
)


NOTHING_CHANGED = "ended at once; nothing was changed"
"""What a command that only reads says at the second Ctrl-C; it has no run that is to be closed."""


class Stopping:
    """Knows whether somebody asked to stop."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self.is_asking_a_person = False

    def asked(self) -> bool:
        """Say whether a stop was asked for."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask to stop: nothing new is started, what runs is waited for."""
        self._asked.set()

    def wait(self, seconds: float) -> None:
        """Wait that long, or until a stop is asked for."""
        self._asked.wait(seconds)


def _say(text: bytes) -> None:
    # Unbuffered: a handler may have interrupted a write to the buffer of stderr.
    with suppress(OSError):
        os.write(2, text)


@contextmanager
def stopping(said: str = _STOPPING, *, ended: str = _ENDED) -> Iterator[Stopping]:
    """
    Within the block SIGINT, SIGTERM and SIGHUP ask to stop; a second one ends the process with 130.

    `said` is what people read at the first, `ended` at the second. What an apply has
    under way on a host then is `lost` for the next run, until it is reconciled.
    """
    state = Stopping()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if state.asked():
            _say(f"\nremedy: {ended}\n".encode())
            os._exit(_INTERRUPTED)
        state.ask()
        if state.is_asking_a_person:
            raise KeyboardInterrupt
        _say(f"\n{said}\n".encode())

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, on_signal) for number in numbers]
    try:
        yield state
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
