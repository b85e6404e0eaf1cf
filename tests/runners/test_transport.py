"""The facts about transport, asked of this machine and of SSH: as root, as a plain user, and through sudo."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from remedy.errors import Refused, RemedyError
from remedy.port import Session
from tests.behaviour.asking import Ways
from tests.behaviour.facts import FACTS
from tests.behaviour.host import Host
from tests.behaviour.waiting import wait_until
from tests.runners import machines
from tests.runners.machines import Daemon, NewId
from tests.runners.markers import BOOT_ID

pytestmark = pytest.mark.sshd

WAYS = Ways(
    fixture="kind",
    everyday=("local", "ssh", "ssh-sudo"),
    other=("local-bash", "local-busybox", "ssh-plain-user"),
    without_link=("local", "local-bash", "local-busybox"),
)
pytest_generate_tests = WAYS.give
globals().update(FACTS)


class _SSHLink:
    """The connections of sessions over SSH, which end with the processes of the daemon that serve them."""

    no_room: type[RemedyError] = Refused

    def __init__(self, daemon: Daemon, opened: list[Session]) -> None:
        self._daemon = daemon
        self._opened = opened
        self._channels: list[paramiko.Channel] = []
        self._full: paramiko.Transport | None = None

    def cut(self) -> None:
        self._daemon.cut_links()
        wait_until(lambda: not any(_transport(session).is_active() for session in self._opened))

    def mend(self) -> None:
        """Nothing is to be mended: whoever connects anew is served."""

    def fill_up(self, session: Session) -> None:
        """Open channels until the daemon grants no more (its MaxSessions)."""
        self._full = _transport(session)
        while self._opens_one():
            assert len(self._channels) < 100

    def make_room(self) -> None:
        for channel in self._channels:
            channel.close()
        wait_until(self._opens_one)
        self._channels[-1].close()

    def _opens_one(self) -> bool:
        assert self._full is not None
        try:
            self._channels.append(self._full.open_session(timeout=10))
        except paramiko.ChannelException:
            return False
        return True


def _transport(session: Session) -> paramiko.Transport:
    transport: paramiko.Transport = session._connection.transport  # type: ignore[attr-defined]
    return transport


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """The name of the way."""
    if request.param == "ssh-sudo" and shutil.which("sudo") is None:
        pytest.skip("needs sudo")
    return str(request.param)


@pytest.fixture
def host(kind: str, connect: Callable[[], machines.Host], daemon: Daemon, new_id: NewId) -> Iterator[Host]:
    """A host of each kind; whatever a fact did there, no fix of it is at work any more."""
    first = connect()
    sessions = [first.session]
    executions: list[str] = []
    folder = f"/tmp/facts-{new_id()}"
    seen = first.machine.path(folder)
    seen.mkdir()
    seen.chmod(0o777)

    def connecting() -> Session:
        sessions.append(connect().session)
        return sessions[-1]

    def giving_id() -> str:
        executions.append(new_id())
        return executions[-1]

    yield Host(
        connect=connecting,
        new_id=giving_id,
        folder=folder,
        seen=seen,
        boot_id=BOOT_ID,
        is_told_of_kills=True,
        link=None if kind in WAYS.without_link else _SSHLink(daemon, sessions),
        become_root=first.become_root,
    )
    wait_until(lambda: not [each for each in executions if _is_at_work(first.markers / each)])


def _is_at_work(marker: Path) -> bool:
    return marker.exists() and not (marker / "rc").exists()
