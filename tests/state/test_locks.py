"""Locks between threads and processes."""

import fcntl
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.errors import LockHeld, StateError
from remedy.state import locks as locks_module
from remedy.state.locks import Locks, short_lock
from tests.state.builders import ticking


def make_locks(directory: Path, run_id: str = "run-1") -> Locks:
    return Locks(directory, run_id=run_id, what="remedy apply", pid=77, controller="ctl-1", clock=ticking())


@pytest.mark.parametrize("kind", ["rule", "host", "run"])
def test_lock_held_names_holder_and_cure(tmp_path, kind):
    """Taking a held lock says who holds it, since when, for what, and what frees it; released, it can be had."""
    first, second = make_locks(tmp_path), make_locks(tmp_path, "run-2")
    held = getattr(first, kind)("x")

    with pytest.raises(LockHeld) as caught:
        getattr(second, kind)("x")
    held.release()
    held.release()
    getattr(second, kind)("x").release()

    assert str(caught.value) == (
        f"{kind} x is held by run run-1 (pid 77 on ctl-1, since 2026-11-22T08:45:00.000000Z: remedy apply); "
        "nothing was started; wait for it to end, or end that process; a dead one frees the lock"
    )


def test_locks_of_other_names_and_kinds_are_free(tmp_path):
    """A held host blocks neither another host, nor the rule or run of the same name."""
    first, second = make_locks(tmp_path), make_locks(tmp_path, "run-2")

    with first.host("x"), second.host("y"), second.rule("x"), second.run("x"):
        names = sorted(path.name for path in tmp_path.iterdir())

    assert names == ["host.x.lock", "host.y.lock", "rule.x.lock", "run.x.lock"]


def test_lock_release_leaves_no_file(tmp_path):
    """The folder shows who holds what now, and does not grow with the fleet."""
    with make_locks(tmp_path).host("web-1"):
        pass

    assert list(tmp_path.iterdir()) == []


def test_dead_holder_frees_its_locks(tmp_path, start_child):
    """A kill -9 of a holder frees its locks at once, though its files stay behind."""
    child = start_child("hold_locks")
    assert child.stdout.readline() == "held\n"
    locks = make_locks(tmp_path)
    with pytest.raises(LockHeld, match=r"run-9 \(pid 4242 on ctl-1"):
        locks.host("web-1")
    alive = locks.run_is_held("run-9")
    child.kill()
    child.wait()

    assert alive
    assert (tmp_path / "run.run-9.lock").exists()
    assert not locks.run_is_held("run-9")
    with locks.host("web-1") as host, locks.rule("low-disk"):
        assert json.loads(host.path.read_text())["run_id"] == "run-1"


def test_run_is_held_is_false_without_a_lock_file(tmp_path):
    """A run that never was, or ended well, holds nothing; the probe leaves nothing behind."""
    locks = make_locks(tmp_path)
    with locks.run("run-1"):
        during = locks.run_is_held("run-1")

    assert (during, locks.run_is_held("run-1"), list(tmp_path.iterdir())) == (True, False, [])


def probed(path):
    """Hold a lock as a probe holds it; return its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def test_probe_of_a_dead_run_is_waited_out(tmp_path, monkeypatch):
    """Somebody who looks whether a dead run lives holds its lock for an instant: its taker tries again."""
    descriptor = probed(tmp_path / "run.run-1.lock")
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            os.close(descriptor)

    monkeypatch.setattr(locks_module.time, "sleep", sleep)
    with make_locks(tmp_path, "run-2").run("run-1"):
        held = make_locks(tmp_path).run_is_held("run-1")

    assert held
    assert len(slept) == 3


def test_probe_that_does_not_end_is_a_held_lock(tmp_path, monkeypatch):
    """It is waited out for half a second, not longer."""
    descriptor = probed(tmp_path / "run.run-1.lock")
    slept = []
    monkeypatch.setattr(locks_module.time, "sleep", slept.append)

    with pytest.raises(LockHeld):
        make_locks(tmp_path, "run-2").run("run-1")
    os.close(descriptor)

    assert sum(slept) == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["rule", "host", "run"])
def test_lock_that_somebody_holds_is_not_waited_for(tmp_path, monkeypatch, kind):
    """A lock that is held, and not only probed, is said at once."""
    slept = []
    monkeypatch.setattr(locks_module.time, "sleep", slept.append)

    with getattr(make_locks(tmp_path), kind)("x"), pytest.raises(LockHeld):
        getattr(make_locks(tmp_path, "run-2"), kind)("x")

    assert slept == []


def test_lock_taken_on_a_removed_file_does_not_count(tmp_path, monkeypatch):
    """Two takers never both hold: one that locked a file which its holder just removed opens the new one."""
    first, second, third = (make_locks(tmp_path, f"run-{number}") for number in (1, 2, 3))
    held = first.host("x")
    real_open = os.open
    steps = []

    def open_then_let_others_go_on(path, *arguments):
        descriptor = real_open(path, *arguments)
        if not steps:
            steps.append("opened the file that is removed now")
            held.release()
            steps.append(third.host("x"))
        return descriptor

    monkeypatch.setattr(os, "open", open_then_let_others_go_on)

    with pytest.raises(LockHeld, match="run-3"):
        second.host("x")
    steps[1].release()


@given(st.lists(st.text(max_size=300), unique=True, max_size=6))
def test_locks_of_any_names_are_files_of_their_own(tmp_path_factory, names):
    """Any two names (paths, blanks, emoji, endless ones) have different files inside the folder."""
    directory = tmp_path_factory.mktemp("locks")
    locks = make_locks(directory)
    held = [locks.host(name) for name in names]

    files = {lock.path for lock in held}
    assert len(files) == len(names)
    assert {path.parent for path in files} <= {directory}
    assert all(path.exists() and len(path.name) < 256 for path in files)
    for lock in held:
        lock.release()


def test_lock_of_a_half_written_holder_is_still_held(tmp_path):
    """Without a readable holder the message says so; the lock is held all the same."""
    with make_locks(tmp_path).host("x") as held:
        held.path.write_text('{"run_id": "ru')

        with pytest.raises(LockHeld, match="a process that has not written its name yet"):
            make_locks(tmp_path).host("x")


def test_lock_in_a_missing_folder_is_an_error(tmp_path):
    """A lock that cannot be used is a StateError, never taken for free or for held."""
    locks = make_locks(tmp_path / "gone")

    with pytest.raises(StateError, match="nothing was started"):
        locks.host("x")
    with pytest.raises(StateError, match="cannot be used"), short_lock(tmp_path / "gone" / "x"):
        pass
