"""
What a script under test is given, and what is seen of it: all that a cage may know. Pure.

A cage is namespaces of their own with a made-up root: the script in it meets no
file, process, network or user of the machine that it is tested on. Whoever makes
one answers with values, and where it cannot be had it says why, and nothing ran.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from remedy.port import CollectJob, CollectorOutput, FixJob, FixResult

__all__ = [
    "Cage",
    "CageAnswer",
    "CageJob",
    "CageRun",
    "Entry",
    "EntryKind",
    "Prepared",
    "Snapshot",
]


class EntryKind(StrEnum):
    """What lies at a path."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """
    One file, folder or link to make before the script starts.

    A file has `text`, then zero bytes up to `size`. `age_s` is how long ago it was
    written and read; `mode` None is the usual one (644, and 755 for folders).
    """

    path: str
    kind: EntryKind
    text: bytes = b""
    size: int = 0
    target: str = ""
    mode: int | None = None
    age_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What lies at a path after a run: a file's content, a link's target."""

    kind: EntryKind
    mode: int
    written_ns: int = 0
    content: bytes = b""
    target: str = ""


Snapshot = Mapping[str, Entry]
"""Everything of the made-up root, its volumes and /dev/shm by its absolute path, but what the kernel makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CageJob:
    """
    One script to run, once or several times in a row, on a made-up machine.

    `volumes` are mount points with their size in bytes. `programs` are stand-ins,
    shell texts by name; `needed` are further programs of this machine beyond the
    usual ones, `without` usual ones that are taken away. Secrets in the jobs'
    environments are an error of ours: a test gets none.
    """

    script: FixJob | CollectJob
    runs: int = 1
    files: tuple[Prepared, ...] = ()
    volumes: Mapping[str, int] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    host: str = "remedy-test"


@dataclass(frozen=True, slots=True, kw_only=True)
class CageRun:
    """
    What came back of one run, and everything that was there after it, but a fix's own marker.

    `left` are the names of the processes that it left running; they were ended.
    """

    result: FixResult | CollectorOutput
    after: Snapshot
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CageAnswer:
    """
    What was seen of a job.

    `skipped` says why no cage, or not this one, can be had here: then nothing was
    started. `broken` says what went wrong in it, such as a file that could not be
    prepared. With neither, `before` is what was prepared and `runs` has every run.
    """

    skipped: str = ""
    broken: str = ""
    before: Snapshot = field(default_factory=dict)
    runs: tuple[CageRun, ...] = ()


class Cage(Protocol):
    """Runs jobs, each in a cage of its own."""

    def run(self, job: CageJob) -> CageAnswer:
        """Run a job; a script never starts before its cage is seen to hold."""
