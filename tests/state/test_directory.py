"""The state directory: which one is meant, its folders, and the stop file."""

import os
import stat
from pathlib import Path

import pytest

from remedy.errors import StateError, UsageError
from remedy.state.directory import StateDirectory, find_state
from tests.state.builders import NOW, FailingDisk
from tests.state.conftest import NOBODY

HOME = Path("/home/alice")


@pytest.mark.parametrize(
    ("flag", "environment", "configured", "expected"),
    [
        ("/flag", {"REMEDY_STATE": "/env"}, Path("/file"), ("/flag", "--state")),
        (None, {"REMEDY_STATE": "/env"}, Path("/file"), ("/env", "REMEDY_STATE")),
        (None, {"REMEDY_STATE": ""}, Path("/file"), ("/file", "remedy.yaml")),
        (None, {"XDG_STATE_HOME": "/xdg"}, None, ("/xdg/remedy", "XDG_STATE_HOME")),
        (None, {"XDG_STATE_HOME": "relative"}, None, ("/home/alice/.local/state/remedy", "default")),
        (None, {}, None, ("/home/alice/.local/state/remedy", "default")),
    ],
)
def test_find_state_follows_the_order(flag, environment, configured, expected, tmp_path):
    """Flag, variable, remedy.yaml, XDG: the first that is given names the state; empty ones count as unset."""
    place = find_state(flag, environment, configured, HOME, system=tmp_path / "none")

    assert (str(place.path), place.named_by) == expected


def test_find_state_prefers_the_system_directory_over_home(tmp_path):
    """/var/lib/remedy is used when it exists, before XDG and after remedy.yaml."""
    place = find_state(None, {"XDG_STATE_HOME": "/xdg"}, None, HOME, system=tmp_path)
    configured = find_state(None, {}, Path("/file"), HOME, system=tmp_path)

    assert place.path == tmp_path
    assert configured.path == Path("/file")


def test_find_state_takes_a_dangling_system_link_as_there(tmp_path):
    """A /var/lib/remedy that leads nowhere is still the one that is meant: never the next in line."""
    system = tmp_path / "remedy"
    system.symlink_to(tmp_path / "gone")

    place = find_state(None, {}, None, HOME, system=system)

    assert place.path == system
    with pytest.raises(StateError):
        StateDirectory(place.path).prepare()


def test_find_state_refuses_an_empty_flag():
    """`--state ""` (an unset variable in a script) is an error, not the current directory."""
    with pytest.raises(UsageError, match="--state is empty"):
        find_state("", {}, None, HOME)


def test_prepare_creates_private_folders(tmp_path):
    """The state directory and its folders are made with mode 0700, and making them again is no error."""
    state = StateDirectory(tmp_path / "deep" / "state")

    state.prepare()
    state.prepare()

    folders = (state.path, state.audit, state.locks, state.log, state.runs)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert state.exists()


@pytest.mark.parametrize("name", ["", "audit"])
def test_prepare_refuses_a_file_in_the_way(tmp_path, name):
    """A file where the state directory or a folder of it should be is an error with the cure."""
    state = StateDirectory(tmp_path / "state")
    in_the_way = state.path / name if name else state.path
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("")

    with pytest.raises(StateError, match=r"is no directory; nothing was started; .*--state DIR"):
        state.prepare()


@pytest.mark.parametrize("name", ["", "locks"])
def test_prepare_refuses_what_cannot_be_written(as_other_user, name):
    """A state directory (or a folder in it) that exists and cannot be written is an error with the cure."""
    directory, other_user = as_other_user
    state = StateDirectory(directory / "state")
    state.prepare()
    for folder in (state.path, state.audit, state.locks, state.log, state.runs):
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, -1)
    (state.path / name).chmod(0o555)

    with other_user(), pytest.raises(StateError, match="exists and cannot be written"):
        state.prepare()


def test_stop_reason_is_empty_without_state_or_stop(tmp_path):
    """No state directory, and one without STOP, stop nothing."""
    state = StateDirectory(tmp_path / "state")
    before = state.stop_reason()
    state.prepare()

    assert (before, state.stop_reason()) == ("", "")


def test_write_stop_stops_with_its_reason_and_clear_stop_ends_it(tmp_path):
    """A stop works before any run (it makes the directory), says who and why, adds up, and ends once."""
    state = StateDirectory(tmp_path / "state")

    state.write_stop("storage migration", "alice", NOW)
    state.write_stop("and \x1b[31mmore\n", "bob", NOW)
    reason = state.stop_reason()

    assert reason.startswith("storage migration (by alice, 2026-11-22T08:45:00.000000Z); and \\x1b[31mmore\\n (by bob")
    assert stat.S_IMODE(state.stop.stat().st_mode) == 0o600
    assert (state.clear_stop(), state.stop_reason(), state.clear_stop()) == (True, "", False)


def test_stop_reason_of_an_empty_file_says_that_it_exists(tmp_path):
    """`touch STOP` stops."""
    (tmp_path / "STOP").touch()

    assert StateDirectory(tmp_path).stop_reason() == "STOP exists"


def test_stop_reason_makes_the_text_harmless(tmp_path):
    """Control characters and bytes that are no UTF-8 are shown, never sent to a terminal."""
    (tmp_path / "STOP").write_bytes(b"\x1b]0;x\x07\xff\n")

    reason = StateDirectory(tmp_path).stop_reason()

    assert reason == "\\x1b]0;x\\x07\\xff"


def _directory(stop: Path) -> None:
    stop.mkdir()


def _pipe(stop: Path) -> None:
    os.mkfifo(stop)


def _dangling(stop: Path) -> None:
    stop.symlink_to("gone")


def _loop(stop: Path) -> None:
    stop.symlink_to(stop)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_directory, "STOP exists (and is no file)"),
        (_pipe, "STOP exists (and is no file)"),
        (_dangling, "STOP exists and cannot be read: No such file or directory"),
        (_loop, "STOP exists and cannot be read: Too many levels of symbolic links"),
    ],
)
def test_stop_reason_of_an_odd_stop_is_stopped(tmp_path, make, said):
    """Whatever has the name STOP stops: a directory, a pipe (without hanging), a link to nowhere or to itself."""
    make(tmp_path / "STOP")

    assert StateDirectory(tmp_path).stop_reason().endswith(said)


def test_stop_reason_of_an_unreadable_stop_is_stopped(as_other_user):
    """A STOP without permission to read it stops."""
    directory, other_user = as_other_user
    (directory / "STOP").write_text("secret")
    (directory / "STOP").chmod(0)

    with other_user():
        reason = StateDirectory(directory).stop_reason()

    assert reason.endswith("exists and cannot be read: Permission denied")


@pytest.mark.parametrize(("mode", "said"), [(0o311, "cannot be listed"), (0o444, "cannot be looked at")])
def test_stop_reason_of_an_unlistable_directory_is_stopped(as_other_user, mode, said):
    """A state directory that cannot be listed, or not be entered, stops, though nothing shows a STOP."""
    directory, other_user = as_other_user
    (directory / "state").mkdir()
    (directory / "state").chmod(mode)

    with other_user():
        reason = StateDirectory(directory / "state").stop_reason()

    assert said in reason


@pytest.mark.parametrize("kind", ["file", "dangling", "below a file"])
def test_stop_reason_of_a_state_that_is_no_directory_is_stopped(tmp_path, kind):
    """A state directory that is a file, leads nowhere or lies below a file is not taken for one without STOP."""
    path = tmp_path / "state"
    if kind == "dangling":
        path.symlink_to(tmp_path / "gone")
    else:
        path.write_text("")
    path = path / "deeper" if kind == "below a file" else path

    assert StateDirectory(path).stop_reason()


def test_clear_stop_of_an_odd_stop_says_that_it_stays(tmp_path):
    """A STOP that cannot be removed is an error, and everything stays stopped."""
    (tmp_path / "STOP").mkdir()

    with pytest.raises(StateError, match="everything stays stopped"):
        StateDirectory(tmp_path).clear_stop()
    assert StateDirectory(tmp_path).stop_reason()


def test_write_stop_on_a_full_disk_stops_all_the_same(tmp_path):
    """When the reason cannot be written the stop stands, and the message says so."""
    state = StateDirectory(tmp_path)

    with pytest.raises(StateError, match="everything is stopped, but"):
        state.write_stop("full", "alice", NOW, disk=FailingDisk(fail_at=1).disk)
    assert state.stop_reason()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777, 0o720])
@pytest.mark.parametrize("name", ["", "audit"])
def test_prepare_refuses_what_others_may_write(tmp_path, mode, name):
    """A state directory (or a folder in it) that its group or everybody may write is refused, sticky or not."""
    state = StateDirectory(tmp_path / "state")
    state.prepare()
    folder = state.path / name
    folder.chmod(mode)

    with pytest.raises(StateError, match=rf"mode {mode:04o}\); nothing was started; chmod go-w {folder}, or name"):
        state.prepare()
    assert state.stop_reason() == ""
    folder.chmod(0o755)
    state.prepare()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", ["", "audit"])
def test_prepare_refuses_what_belongs_to_another_user(tmp_path, name):
    """A state directory (or a folder in it) of somebody else is refused; root's own and the caller's are not."""
    state = StateDirectory(tmp_path / "state")
    state.prepare()
    os.chown(state.path / name, NOBODY, -1)

    with pytest.raises(StateError, match=rf"belongs to user {NOBODY}, .*chown 0 {state.path / name}, or name"):
        state.prepare()
    assert state.stop_reason() == ""
