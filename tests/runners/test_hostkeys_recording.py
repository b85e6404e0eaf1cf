"""Recording host keys: what is there stays, nothing is half written, and two writers lose nothing."""

import fcntl
import os
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.errors import LockHeld, Refused, StateError
from remedy_runners.hostkeys import HostKey, KnownHosts
from remedy_runners.hostkeys import recording as recording_module
from remedy_runners.hostkeys.key import key_of_blob
from remedy_runners.hostkeys.line import hashed_name
from remedy_runners.hostkeys.recording import record_keys


def _packed(*fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def _ed(number: int) -> HostKey:
    return key_of_blob(_packed(b"ssh-ed25519", bytes([number]) * 32))


RSA = key_of_blob(_packed(b"ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 256))


def _record(path: Path, name: str, *keys: HostKey) -> tuple[HostKey, ...]:
    return record_keys(path, name, keys, comment="enrolled today", home=path.parent.parent)


def _known(path: Path, name: str) -> list[HostKey]:
    return [line.key for line in KnownHosts().lines(name, [path])]


def test_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """Below the home the folder is made with 0700 and the file with 0600; ssh-keygen finds the host in it."""
    path = tmp_path / ".ssh" / "known_hosts"

    written = _record(path, "[web-1]:2222", _ed(1), RSA)

    assert written == (_ed(1), RSA)
    assert path.read_text() == f"[web-1]:2222 {_ed(1).text} enrolled today\n[web-1]:2222 {RSA.text} enrolled today\n"
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    subprocess.run(["ssh-keygen", "-F", "[web-1]:2222", "-f", path], check=True, capture_output=True)


def test_new_file_elsewhere_is_for_everybody_to_read(tmp_path: Path) -> None:
    """Outside the home the file is made with 0644; its folder must be there."""
    path = tmp_path / "etc" / "known_hosts"

    with pytest.raises(StateError, match="no key was recorded: No such file or directory"):
        record_keys(path, "web-1", [RSA], comment="", home=tmp_path / "home")
    path.parent.mkdir()
    record_keys(path, "web-1", [RSA], comment="", home=tmp_path / "home")

    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@given(before=st.binary(max_size=300), mode=st.sampled_from([0o600, 0o644, 0o640]))
def test_what_stands_there_stays(tmp_path_factory: pytest.TempPathFactory, before: bytes, mode: int) -> None:
    """Whatever bytes are in a file, they stay, with mode and owner; a last line without an end is ended first."""
    path = tmp_path_factory.mktemp("kept") / "known_hosts"
    path.write_bytes(before)
    path.chmod(mode)
    os.chown(path, os.geteuid(), os.getegid())

    _record(path, "web-1", _ed(7))

    after = path.read_bytes()
    between = b"" if not before or before.endswith(b"\n") else b"\n"
    assert after == before + between + f"web-1 {_ed(7).text} enrolled today\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert _known(path, "web-1") == [_ed(7)]
    assert list(path.parent.iterdir()) == [path]


def test_link_stays_a_link(tmp_path: Path) -> None:
    """A known_hosts file that is a link to another place is written there."""
    real, path = tmp_path / "dotfiles" / "kh", tmp_path / "known_hosts"
    real.parent.mkdir()
    real.touch()
    path.symlink_to(real)

    _record(path, "web-1", _ed(1))

    assert path.is_symlink()
    assert _known(real, "web-1") == [_ed(1)]


@pytest.mark.parametrize(
    ("before", "is_hashed"),
    [
        ("", False),
        ("# nothing\n@revoked * {rsa}\n", False),
        ("web-9 {rsa}\n", False),
        ("{hash} {rsa}\n", True),
        ("# head\n{hash} {rsa}\n@revoked * {rsa}\nrubbish\n", True),
        ("{hash} {rsa}\nweb-9 {rsa}\n", False),
    ],
)
def test_name_is_hashed_where_all_are(tmp_path: Path, before: str, is_hashed: bool) -> None:
    """Only a file that hides the name of every host gets hidden ones; both kinds are found by ssh-keygen."""
    path = tmp_path / "known_hosts"
    path.write_text(before.format(rsa=RSA.text, hash=hashed_name("web-9", bytes(20))))

    _record(path, "web-1", _ed(1))

    last = path.read_text().splitlines()[-1]
    assert last.startswith("|1|") is is_hashed
    assert ("web-1" in last) is not is_hashed
    subprocess.run(["ssh-keygen", "-F", "web-1", "-f", path], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"web-1 {_ed(2).text}\n", "1 has another key of web-1 by now: ssh-ed25519 SHA256"),
        (f"*,!db {_ed(2).text}\n", "1 has another key of web-1"),
        (f"@revoked * {_ed(1).text}\n", "1 says that nobody may trust ssh-ed25519 SHA256"),
    ],
)
def test_key_that_is_there_is_never_replaced(tmp_path: Path, line: str, said: str) -> None:
    """Another key of the same kind, or a revocation, that appeared since the look stops the writing."""
    path = tmp_path / "known_hosts"
    path.write_text(line)

    with pytest.raises(Refused, match=said) as caught:
        _record(path, "web-1", RSA, _ed(1))

    assert caught.value.identity
    assert path.read_text() == line


def test_key_that_is_there_is_not_written_twice(tmp_path: Path) -> None:
    """Recording again writes only what is missing, and nothing if nothing is."""
    path = tmp_path / "known_hosts"
    _record(path, "web-1", _ed(1))
    inode = path.stat().st_ino

    again, more = _record(path, "web-1", _ed(1)), _record(path, "web-1", _ed(1), RSA, RSA)

    assert (again, more) == ((), (RSA,))
    assert _known(path, "web-1") == [_ed(1), RSA]
    assert path.stat().st_ino != inode


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Twenty hosts recorded by twenty threads at once are all there, each once."""
    path = tmp_path / "known_hosts"
    threads = [threading.Thread(target=_record, args=(path, f"web-{number}", _ed(number))) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(line.split()[0] for line in path.read_text().splitlines()) == sorted(f"web-{n}" for n in range(20))


def test_lock_that_is_held_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's lock ends in an error that says so; nothing was written."""
    monkeypatch.setattr(recording_module, "_LOCK_WAIT_S", 0.2)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    with pytest.raises(LockHeld, match="somebody else is writing host keys there"):
        _record(tmp_path / "known_hosts", "web-1", _ed(1))
    os.close(descriptor)

    assert list(tmp_path.iterdir()) == []


def _fail(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_write_that_fails_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A full disk at any step leaves the file as it was, and nothing beside it."""
    path = tmp_path / "known_hosts"
    path.write_text(f"web-9 {RSA.text}\n")
    target: dict[str, tuple[object, str]] = {
        "write": (os, "fchmod"),
        "fsync": (os, "fsync"),
        "replace": (Path, "replace"),
    }
    monkeypatch.setattr(*target[step], _fail)

    with pytest.raises(StateError, match=f"{path}: no key was recorded: No space left"):
        _record(path, "web-1", _ed(1))

    assert path.read_text() == f"web-9 {RSA.text}\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/null")])
def test_what_is_no_file_is_not_written_to(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A folder, a pipe and a device in the place of the file are refused, and not replaced by a file."""
    path = tmp_path / "known_hosts"
    make(path)

    with pytest.raises((StateError, Refused), match="no regular file"):
        _record(path, "web-1", _ed(1))

    assert not path.is_file()
