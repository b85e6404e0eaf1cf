"""Secrets do not print, and come by reference only."""

import copy
import json
import pickle
from pathlib import Path

import pytest

from remedy.errors import Refused
from remedy_runners.secrets import Secret, resolve

PLANTED = "pl4nted-passw0rd"


def test_secret_shows_stars_wherever_it_is_printed() -> None:
    """str, repr, format, a container, an f-string: never the text."""
    secret = Secret(PLANTED)

    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>10}",
        format(secret, ">20"),
        str([secret]),
    ]

    assert not any(PLANTED in text for text in shown)
    assert "***" in shown[0]
    assert secret.reveal() == PLANTED
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize("written", [pickle.dumps, json.dumps, copy.copy, copy.deepcopy])
def test_secret_is_not_written_anywhere(written: object) -> None:
    """Pickling, copying and JSON fail instead of leaking."""
    with pytest.raises(TypeError) as caught:
        written(Secret(PLANTED))  # type: ignore[operator]

    assert PLANTED not in str(caught.value)


def test_resolve_reads_environment_and_file(tmp_path: Path) -> None:
    """env: and file: lead to the secret; a file's final newline is not part of it."""
    path = tmp_path / "password"
    path.write_text(f" {PLANTED} \n")
    path.chmod(0o600)

    found = [resolve(f"file:{path}", environment={}), resolve("env:PW", environment={"PW": PLANTED})]

    assert [secret.reveal() for secret in found] == [f" {PLANTED} ", PLANTED]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_resolve_refuses_a_file_that_others_may_read(tmp_path: Path, mode: int) -> None:
    """A password that others can read or change is none; the cure is in the message."""
    path = tmp_path / "password"
    path.write_text(PLANTED)
    path.chmod(mode)

    with pytest.raises(Refused, match=f"chmod 600 {path}"):
        resolve(f"file:{path}", environment={})


@pytest.mark.parametrize("reference", [PLANTED, f"literal:{PLANTED}", "", "env:", "env:NOT_SET", "file:/nonexistent"])
def test_resolve_refuses_everything_else_without_repeating_it(reference: str) -> None:
    """A literal password, and a reference that leads nowhere, are refused; a literal is not shown."""
    with pytest.raises(Refused) as caught:
        resolve(reference, environment={"EMPTY": ""})

    assert PLANTED not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 5_000, b"\xff\xfe"])
def test_resolve_refuses_a_file_that_holds_no_password(tmp_path: Path, content: bytes) -> None:
    """Empty, huge and binary files are no passwords."""
    path = tmp_path / "password"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(Refused):
        resolve(f"file:{path}", environment={})
