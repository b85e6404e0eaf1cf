"""
Points: places of a run, named so that another run of the same plan reaches the same ones.

A name is SCENARIO/KIND/SUBJECT/N, such as `spread/fix.running/charlie/1`: the N-th time
that a step of this kind was reached for this subject (a host, a record, a lock, an
effect). Threads change the order in which points are reached, but not their names.
"""

import os
import signal
import threading
import time
from collections import Counter
from typing import NoReturn

__all__ = ["KINDS", "Points", "die", "kind_of", "scenario_of"]

KINDS = frozenset(
    {
        *("effect.before", "effect.after"),
        *("lock.take.before", "lock.take.after", "lock.release.before", "lock.release.after"),
        *("connect.after", "collect.after"),
        *("fix.before", "fix.opened", "fix.half_sent", "fix.sent", "fix.marked", "fix.running", "fix.after"),
        *("write.torn", "write.after", "sync.before", "sync.after"),
        *("ledger.begin", "ledger.commit.before", "ledger.commit.middle", "ledger.commit.after"),
        *("head.after", "audit.close.after", "process.end"),
    }
)
"""
The kinds of points that a run reaches; one that is reached no more is a step that is watched no more.

fix.half_sent         half of the payload has gone out
fix.marked            the host has made the execution's marker
fix.running           the fix has begun on the host, and has not ended
write.torn            half of a record (or of another file) is written
write.after           a record is written, and nothing waits for its sync
ledger.commit.middle  the ledger's journal is synced, and the commit has not ended: the next opening rolls it back
"""


def die() -> NoReturn:
    """End this process at once, as a power switch would: nothing is flushed, no block is left."""
    os.kill(os.getpid(), signal.SIGKILL)
    while True:
        # The signal ends all threads; this one must not take another step until it does.
        time.sleep(1)


def kind_of(point: str) -> str:
    """Return the kind of a point."""
    return point.split("/")[1]


def scenario_of(point: str) -> str:
    """Return the name of a point's scenario."""
    return point.partition("/")[0]


class Points:
    """The points that this process reaches; dies at the one it is to die at, '' for none. For all threads."""

    def __init__(self, scenario: str, die_at: str) -> None:
        self._scenario = scenario
        self._die_at = die_at
        self._counts: Counter[tuple[str, str]] = Counter()
        self._reached: list[str] = []
        self._lock = threading.Lock()

    @property
    def reached(self) -> tuple[str, ...]:
        """The names of the points so far, in order."""
        with self._lock:
            return tuple(self._reached)

    def claim(self, kind: str, subject: str) -> bool:
        """Count a point; say whether it is the one to die at, which its caller then sees to."""
        with self._lock:
            self._counts[kind, subject] += 1
            name = f"{self._scenario}/{kind}/{subject}/{self._counts[kind, subject]}"
            self._reached.append(name)
            return name == self._die_at

    def reach(self, kind: str, subject: str) -> None:
        """Count a point, and die there if it is the one."""
        if self.claim(kind, subject):
            die()
