"""What the facts about transport may know of a host, whatever way leads to it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from remedy.errors import RemedyError
from remedy.port import CollectJob, FixJob, Permit, Session
from tests.behaviour.jobs import collect_job, permitted_fix

__all__ = ["Host", "Link"]


class Link(Protocol):
    """What lies between a controller and a host that is not this machine."""

    no_room: type[RemedyError]
    """What a session raises when its host has no room for one more command."""

    def cut(self) -> None:
        """End all connections; from now on nothing of a script passes, over a new connection neither."""

    def mend(self) -> None:
        """Let everything pass again, once a session that was at work has seen that the link was cut."""

    def fill_up(self, session: Session) -> None:
        """Use up what the host grants to this session: it has no room for one more command."""

    def make_room(self) -> None:
        """Give back what `fill_up` took."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """
    A host, reached in one way; its scripts are run by /bin/sh, or by a shell in its place.

    `connect` opens a session, which the fixture closes. What a script writes into
    `folder` is in `seen` for the test. `is_told_of_kills` says whether the end of a
    script that is killed for its output is seen; where it is not, the fix is lost.
    `link` is None where there is none.
    """

    connect: Callable[[], Session]
    new_id: Callable[[], str]
    folder: str
    seen: Path
    boot_id: str
    is_told_of_kills: bool
    link: Link | None
    become_root: bool = False

    def collector(self, script: bytes, *, signal: str = "s", timeout_s: int = 30) -> CollectJob:
        """Return a collector."""
        return collect_job(script, signal=signal, timeout_s=timeout_s, become_root=self.become_root)

    def fix(self, script: bytes, *, timeout_s: int = 60) -> tuple[Permit, FixJob]:
        """Return a fix that was never started, with its permit."""
        return permitted_fix(script, execution_id=self.new_id(), timeout_s=timeout_s, become_root=self.become_root)
