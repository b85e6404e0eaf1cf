"""A run that has begun, whose evidence can fail in every place, and threads that ask for it at once."""

import errno
import os
import threading

from remedy.model import Outcome
from remedy.outcomes import Ended
from remedy.run.evidence import Evidence
from remedy.state.audit import AuditLog
from remedy.state.disk import Disk
from remedy.state.kept import Kept
from remedy.state.reserve import Reserve
from remedy.summary import ExecutionEnd
from tests.run.bench import Bench
from tests.run.fleet import trouble
from tests.run.rules import rule
from tests.state.builders import asked, by_gate

THREADS = 64


class SmallDisk:
    """A disk with room for so many bytes; the reserve's room is more when it is freed."""

    def __init__(self, room):
        self.room = room
        self.was_full = False

    @property
    def disk(self):
        return Disk(write=self._write, ftruncate=self._ftruncate, fdatasync=lambda _fd: None, fsync=lambda _fd: None)

    def _write(self, descriptor, data):
        part = data[: max(0, self.room)]
        if part:
            os.write(descriptor, part)
            self.room -= len(part)
            return len(part)
        self.was_full = True
        raise OSError(errno.ENOSPC, "No space left on device")

    def _ftruncate(self, descriptor, size):
        self.room += os.fstat(descriptor).st_size - size
        os.ftruncate(descriptor, size)


class SmallReserve(Reserve):
    """A reserve on such a disk."""

    SIZE = 60_000

    def free(self):
        freed = super().free()
        self.small.room += self.SIZE if freed else 0
        return freed


class EvidenceBench(Bench):
    """A run whose evidence has a witness, places for bytes and, if asked for, a small disk with a reserve."""

    def __init__(self, *arguments, room=None, outputs=True, **more):
        super().__init__(*arguments, **more)
        self.witnessed = []
        self.small = None if room is None else SmallDisk(room)
        self.keeps_outputs = outputs

    def open(self):
        disk, reserve = self.disk.disk, None
        if self.small is not None:
            disk = self.small.disk
            reserve = SmallReserve.create(self.directory / "reserve", SmallReserve.SIZE)
            reserve.small = self.small
        self.audit = AuditLog.create(self.state.audit, self.run_id, self.clock.now, disk=disk, reserve=reserve)
        self.evidence = Evidence(
            self.ledger,
            self.audit,
            run_id=self.run_id,
            clock=self.clock.now,
            outputs=Kept(self.directory / "outputs") if self.keeps_outputs else None,
            sources=Kept(self.directory / "sources"),
            witness=self.witnessed.append,
        )
        self.evidence.open(actor="alice", command="remedy apply", facts={})


def begun(directory, hosts, **more):
    """Return a run over so many hosts that has begun, and its plan."""
    bench = EvidenceBench(directory, trouble(*(f"web-{number:02}" for number in range(hosts))), **more)
    plan = bench.plan(bench.scope(rule(max_bad=100)))
    bench.open()
    bench.evidence.begin(plan, actor="alice", command="remedy apply")
    return bench, plan


def request_of(execution):
    return asked(execution)[0]


def admit(bench, execution):
    return bench.evidence.admit(execution, request_of(execution), boot_id="boot-1", wave=1, decide=by_gate)


def end_of(execution, outcome=Outcome.FIXED, *, output="", reason="all is well"):
    return ExecutionEnd(execution=execution, ended=Ended(outcome=outcome, reason=reason), wave=1, output=output)


def in_threads(work, items):
    """Do a work on each item in a thread of its own; return by place what it returned or raised."""
    found = [None] * len(items)

    def carry_out(number):
        try:
            found[number] = work(items[number])
        except BaseException as exc:  # noqa: BLE001 - what is raised is what is looked at.
            found[number] = exc

    threads = [threading.Thread(target=carry_out, args=(number,), daemon=True) for number in range(len(items))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "somebody waits for ever"
    return found
