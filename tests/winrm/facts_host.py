"""A host over WinRM as the facts about transport know one."""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.errors import RemedyError, Unreachable
from remedy.port import Session
from remedy_runners.winrm import exchange
from remedy_runners.winrm.session import WinRMSession
from tests.behaviour import host as behaviour
from tests.behaviour.waiting import wait_until
from tests.winrm.server import WinRMServer
from tests.winrm.stand_in import BOOT_ID
from tests.winrm.ways import Host

__all__ = ["asked_of"]

_QUOTA = 2150859173
_OF_A_SCRIPT = ("Create", "Command", "Send", "Receive")


class _WinRMLink:
    """The connections of a server; those that are opened anew carry the clean-up, and nothing of a script."""

    no_room: type[RemedyError] = Unreachable

    def __init__(self, server: WinRMServer) -> None:
        self._server = server
        self._heard = 0

    def cut(self) -> None:
        self._heard = self._receives()
        for action in _OF_A_SCRIPT:
            self._server.faults.drop(action, times=None)
        self._server.drop_connections()

    def mend(self) -> None:
        # Until it has asked in vain, a client may take the connection for one that was idle, and open another.
        wait_until(lambda: self._receives() > self._heard)
        self._server.faults.clear()

    def _receives(self) -> int:
        return self._server.journal.actions().count("Receive")

    def fill_up(self, session: Session) -> None:  # Windows counts the shells of a user, not of a session.
        self._server.faults.fault(_QUOTA, "Create", times=None)

    def make_room(self) -> None:
        self._server.faults.clear()


@contextlib.contextmanager
def asked_of(running: Host, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[behaviour.Host]:
    """Ask facts of a host; afterwards nothing is left there, nothing went in clear text, and each login was right."""
    monkeypatch.setattr(WinRMSession, "_listen_s", 1.0)  # So long as over SSH, instead of 20 s.
    monkeypatch.setattr(exchange, "_PAUSE_S", 0.1)
    server = running.server
    with contextlib.ExitStack() as opened:

        def connect() -> Session:
            session = running.runner.connect(running.target)
            opened.callback(session.close)
            return session

        yield behaviour.Host(
            connect=connect,
            new_id=lambda: secrets.token_hex(8),
            folder=str(folder),
            seen=folder,
            boot_id=BOOT_ID,
            is_told_of_kills=False,
            link=_WinRMLink(server),
        )
    wait_until(lambda: not server.connections_open())
    assert (server.shells_open(), server.pids()) == ((), ())
    assert server.journal.clear_text_bodies == 0
    assert all(attempt.accepted for attempt in server.journal.attempts)
