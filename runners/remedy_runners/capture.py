"""Keeping what a host prints: the head and the tail of each stream, and count and digest of all of it."""

import hashlib
from collections import deque

from remedy.port import Captured
from remedy_runners.masking import Mask

__all__ = ["COLLECTOR_STDERR_MAX", "COLLECTOR_STDOUT_MAX", "FIX_KEPT_MAX", "FIX_OUTPUT_MAX", "Capture"]

FIX_KEPT_MAX = 65_536
"""Of each stream of a fix, so many bytes are kept from its head and as many from its tail."""

FIX_OUTPUT_MAX = 16 * 1_048_576
"""More bytes than this in one stream of a fix end the script."""

COLLECTOR_STDOUT_MAX = 1_048_576
"""A collector that prints more than this has no reading; one byte more is kept, as the proof."""

COLLECTOR_STDERR_MAX = 65_536
"""So much of a collector's standard error leaves the host; the rest is drained there."""


class Capture:
    """
    One stream as it comes in: keeps head_max bytes of its head and the last tail_max after it.

    What is kept, counted and hashed is the stream as `mask` leaves it; `size` is
    how many bytes came in.
    """

    def __init__(self, *, head_max: int, tail_max: int, mask: Mask | None = None) -> None:
        self._head_max = head_max
        self._tail_max = tail_max
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._digest = hashlib.sha256()
        self._masked = (mask or Mask()).stream()
        self._kept_size = 0
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        self.size += len(data)
        self._keep(self._masked.feed(data))

    def _keep(self, data: bytes) -> None:
        self._digest.update(data)
        self._kept_size += len(data)
        room = self._head_max - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data and self._tail_max:
            self._tail.append(data[-self._tail_max :])
            self._tail_size += len(self._tail[-1])
            while self._tail_size - len(self._tail[0]) >= self._tail_max:
                self._tail_size -= len(self._tail.popleft())

    def captured(self) -> Captured:
        """Return what was kept so far; more may come after it."""
        rest = self._masked.rest()
        room = max(0, self._head_max - len(self._head))
        head, tail = bytes(self._head) + rest[:room], b"".join(self._tail) + rest[room:]
        digest = self._digest.copy()
        digest.update(rest)
        return Captured(
            head=head,
            tail=tail[-self._tail_max :] if self._tail_max else b"",
            size=self._kept_size + len(rest),
            sha256=digest.hexdigest(),
            masked=tuple(sorted(self._masked.found)),
        )
