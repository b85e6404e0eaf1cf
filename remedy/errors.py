"""
The error tree.

    RemedyError            something said in one message, exit 1
    +-- UsageError         the command line asks for what cannot be, exit 1
    +-- FilesError         problems in files, each with its place, exit 1
    +-- NothingNamed       a named host, pattern or rule matched nothing, exit 6
    +-- StateError         the state directory, ledger or audit log, exit 1
    +-- LockHeld           somebody else is at work there, exit 5
    +-- Unreachable        a host could not be reached; nothing was started
    +-- Refused            a host was refused before anything ran on it

Every class exists because somebody catches it or because it has an exit code
of its own. Messages say what, where, the offending value and what to do next.
"""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "FilesError",
    "LockHeld",
    "NothingNamed",
    "Place",
    "Problem",
    "Refused",
    "RemedyError",
    "StateError",
    "Unreachable",
    "UsageError",
]

_SHOWN_PROBLEMS_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """
    A place in a file: its name as the user knows it, line and column from 1.

    Line and column are 0 when the problem is with the file as a whole.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One mistake in a file: where, what, and (when known) the cure."""

    place: Place
    message: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f"; {self.cure}" if self.cure else "")


class RemedyError(Exception):
    """Something remedy can say in one message, without a traceback."""

    exit_code: int = 1


class UsageError(RemedyError):
    """The command line asks for something that cannot be done as written."""


class FilesError(RemedyError):
    """
    Problems found in files, all of them together, in the order of their places.

    The message is one line per problem, of the first 50; all are in `problems`.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        lines = [str(problem) for problem in self.problems[:_SHOWN_PROBLEMS_MAX]]
        if len(self.problems) > _SHOWN_PROBLEMS_MAX:
            lines.append(f"and {len(self.problems) - _SHOWN_PROBLEMS_MAX} more")
        super().__init__("\n".join(lines))


class NothingNamed(RemedyError):
    """A host, pattern or rule that was named exists nowhere, or is empty."""

    exit_code = 6


class StateError(RemedyError):
    """The state directory, the ledger or the audit log cannot be used."""


class LockHeld(RemedyError):
    """Another process holds the lock; the message names it and the cure."""

    exit_code = 5


class Unreachable(RemedyError):
    """A host could not be reached; nothing was started on it."""


class Refused(RemedyError):
    """
    A host was refused (key, identity, digest, loader); nothing ran on it.

    `identity` is true when the host key changed or the identity is wrong:
    that is a bad outcome already at collection (exit 3).
    """

    def __init__(self, message: str, *, identity: bool = False) -> None:
        super().__init__(message)
        self.identity = identity
