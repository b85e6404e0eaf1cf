"""A link that breaks: what surely was not started is told from what may have run, and what was heard is kept."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import pytest

from remedy.errors import Refused, RemedyError, Unreachable
from remedy.port import CollectorEnding, FixEnding, FixJob, Permit, Session
from tests.behaviour.asking import needs_link
from tests.behaviour.host import Host, Link
from tests.behaviour.waiting import wait_until

_Answer = TypeVar("_Answer")


def _link(host: Host) -> Link:
    assert host.link is not None
    return host.link


def _started(work: Callable[[], _Answer]) -> Future[_Answer]:
    """Do some work in a thread of its own, which nobody waits for but by its answer."""
    answer: Future[_Answer] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as exc:  # noqa: BLE001  # It is raised where the answer is waited for.
            answer.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    return answer


def _prints_until_over(host: Host) -> str:
    """Return a script that says when it begins, prints on, and ends by itself half a second after it was told to."""
    at = host.folder
    return (
        f"echo begun; touch {at}/begun; "
        f"while ! [ -e {at}/over ]; do printf . || :; sleep 0.05; done; sleep 0.5; touch {at}/ended; exit 5"
    )


def _why_not_started(session: Session, permit: Permit, job: FixJob) -> type[RemedyError] | None:
    """Try a fix; return the error that nothing was started for, or the one that its ending stands for."""
    try:
        result = session.fix(permit, job)
    except Unreachable:
        return Unreachable
    return Refused if result.ending is FixEnding.REFUSED else None


@needs_link
def test_link_cut_before_a_fix_is_unreachable_and_starts_nothing(host: Host) -> None:
    """A link that was gone before is told from one that was lost: nothing was started."""
    session = host.connect()
    _link(host).cut()

    with pytest.raises(Unreachable):
        session.fix(*host.fix(f"touch {host.folder}/ran".encode()))
    assert not (host.seen / "ran").exists()


@needs_link
def test_link_cut_before_a_collection_is_unreachable(host: Host) -> None:
    """Without a link neither collectors nor markers are heard, and nothing is concluded."""
    session = host.connect()
    _link(host).cut()

    with pytest.raises(Unreachable):
        session.collect([host.collector(b":", signal=name) for name in ("a", "b")])
    with pytest.raises(Unreachable):
        session.read_markers([host.new_id()], become_root=host.become_root)


@needs_link
def test_link_cut_during_a_fix_is_lost_and_the_fix_runs_to_its_end(host: Host) -> None:
    """A fix that had begun is not ended half-way: without a controller it goes on; what was not seen is `lost`."""
    session = host.connect()
    permit, job = host.fix(_prints_until_over(host).encode())
    answer = _started(lambda: session.fix(permit, job))
    wait_until((host.seen / "begun").exists)

    _link(host).cut()
    (host.seen / "over").touch()
    wait_until((host.seen / "ended").exists)
    _link(host).mend()
    result = answer.result(timeout=15)

    assert (result.ending, result.exit_code) == (FixEnding.LOST, None)
    assert b"begun\n".startswith(result.stdout.head[:6])


@needs_link
def test_link_cut_during_a_collection_keeps_what_was_heard(host: Host) -> None:
    """Collectors that had ended keep their answer; the others are lost, each with an output."""
    session = host.connect()
    jobs = [
        host.collector(b"echo done; exit 3", signal="first"),
        host.collector(_prints_until_over(host).encode(), signal="second", timeout_s=60),
        host.collector(b"echo never", signal="third"),
    ]
    answer = _started(lambda: session.collect(jobs))
    wait_until((host.seen / "begun").exists)

    _link(host).cut()
    outputs = answer.result(timeout=15).outputs
    (host.seen / "over").touch()

    first = outputs["first"]
    assert (first.ending, first.exit_code, first.stdout.head) == (CollectorEnding.EXITED, 3, b"done\n")
    assert {outputs[name].ending for name in ("second", "third")} == {CollectorEnding.LOST}
    assert {outputs[name].exit_code for name in ("second", "third")} == {None}


@needs_link
def test_host_without_room_starts_nothing(host: Host) -> None:
    """A host that has no room for one more command starts nothing and says so; nothing is lost, and later it has."""
    session = host.connect()
    _link(host).fill_up(session)
    permit, job = host.fix(f"touch {host.folder}/ran".encode())

    with pytest.raises(_link(host).no_room):
        session.collect([host.collector(b":")])
    said = _why_not_started(session, permit, job)
    _link(host).make_room()
    later = session.fix(*host.fix(b"exit 4"))

    assert said is _link(host).no_room
    assert not (host.seen / "ran").exists()
    assert (later.ending, later.exit_code) == (FixEnding.FINISHED, 4)


def test_session_is_closed_twice_without_harm(host: Host) -> None:
    """Closing a session, used or not, never raises, once or twice; others go on."""
    unused, used, other = host.connect(), host.connect(), host.connect()
    used.collect([host.collector(b":")])
    for session in (unused, used, used, unused):
        session.close()

    assert other.fix(*host.fix(b"exit 6")).exit_code == 6
