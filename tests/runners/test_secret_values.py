"""From a reference to the payload: read once, late, refused with the reason, and shown nowhere on the way."""

import copy
import dataclasses
import json
import os
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from remedy.errors import Refused
from remedy.port import CollectJob, FixJob, ScriptValue
from remedy.secrets import Secret, SecretReference
from remedy_runners import payload as posix
from remedy_runners.powershell import texts
from remedy_runners.secrets import SECRET_SIZE_MAX, Secrets, text_of

VALUE = "pl4nted-v4lue's"
REFERENCE = SecretReference("env:PLANTED")


def _secrets(home: Path = Path("/nonexistent"), **environment: str) -> Secrets:
    return Secrets(environment=environment, home=home)


def _collector(**environment: ScriptValue) -> CollectJob:
    return CollectJob(signal="s", script=b"emit a 1\n", environment=environment, columns={"a": "number"}, timeout_s=9)


def _fix(**environment: ScriptValue) -> FixJob:
    return FixJob(
        execution_id="0123456789abcdef", script=b"exit 0\n", script_sha256="x", environment=environment, timeout_s=9
    )


def test_secret_is_read_once_and_masked_from_then_on() -> None:
    """What a reference leads to is asked for once in a run; from then on it is masked everywhere."""
    environment = {"PLANTED": VALUE}
    secrets = Secrets(environment=environment, home=Path("/nonexistent"))

    before = secrets.mask.text(f"is {VALUE}")
    first = secrets.read(REFERENCE)
    environment["PLANTED"] = "another value"

    assert before == f"is {VALUE}"
    assert secrets.read(REFERENCE) is first
    assert secrets.mask.text(f"is {VALUE}") == "is ***"


def test_reading_ahead_says_what_is_missing_and_reads_the_rest() -> None:
    """One that is missing keeps no other from being masked."""
    secrets = _secrets(PLANTED=VALUE)

    reasons = secrets.read_ahead([SecretReference("env:NOT_SET"), REFERENCE])

    assert reasons == ("the environment variable NOT_SET of the reference env:NOT_SET is not set, or empty",)
    assert secrets.mask.text(VALUE) == "***"


def test_variables_that_hold_secrets_are_not_inherited() -> None:
    """What this machine starts has none of them, also of those that are only asked for, and of passwords."""
    environment = {"PLANTED": VALUE, "PASSWORD": "x", "ASKED": "", "PATH": "/bin"}
    secrets = Secrets(environment=environment, home=Path("/nonexistent"))

    secrets.read_ahead([REFERENCE, SecretReference("env:ASKED")])
    secrets.withhold(["env:PASSWORD", "file:/PATH"])

    assert secrets.inherited(environment) == {"PATH": "/bin"}


def _file(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (VALUE.encode(), 0o640, "can be read by others; chmod 600"),
        (VALUE.encode(), 0o604, "can be read by others; chmod 600"),
        (b"", 0o600, "is empty or more than"),
        (b" \n", 0o600, "is empty or more than"),
        (b"x" * (SECRET_SIZE_MAX + 1), 0o600, "is empty or more than"),
        (b"\xff\xfe\xfd\xfc\xfb\xfa\xf9", 0o600, "is not UTF-8"),
        (b"abcdef\0ghi", 0o600, "a NUL; a script cannot get it"),
        (b"abcde\n", 0o600, "has fewer than 6 characters, which cannot be masked"),
        (b"  abcd  \n", 0o600, "has fewer than 6 characters, which cannot be masked"),
        (b"ab\ncd\nef\ngh\n", 0o600, "has no line of 8 characters or more"),
    ],
)
def test_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes, mode: int, said: str) -> None:
    """Others' files, empty ones, and what cannot travel or be masked: refused by name, without the value."""
    path = _file(tmp_path / "secret", content, mode)

    with pytest.raises(Refused) as caught:
        _secrets().read(SecretReference(f"file:{path}"))

    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert VALUE not in str(caught.value)


def test_file_that_would_be_waited_for_is_refused(tmp_path: Path) -> None:
    """A pipe that nobody writes into, and a folder, are no files."""
    os.mkfifo(tmp_path / "pipe", 0o600)

    for path in (tmp_path / "pipe", tmp_path, tmp_path / "gone"):
        with pytest.raises(Refused, match=r"regular file|cannot be read"):
            _secrets().read(SecretReference(f"file:{path}"))


def test_file_is_found_at_home_and_loses_its_last_newline(tmp_path: Path) -> None:
    """`~/` is the home of who runs remedy; an editor's newline at the end is not part of the value."""
    _file(tmp_path / "token", f"{VALUE}\n".encode())

    assert _secrets(home=tmp_path).read(SecretReference("file:~/token")).reveal() == VALUE


def test_payload_has_the_value_and_the_command_line_has_not() -> None:
    """The value is inside the checked payload, quoted like any other; what `ps` shows has nothing of it."""
    secrets = _secrets(PLANTED=VALUE)
    job = secrets.collector(_collector(REMEDY_PARAM_TOKEN=REFERENCE, REMEDY_PARAM_PLAIN="x"))

    payload = posix.collect_payload([job], nonce="0" * 32)
    command = posix.remote_command(payload, become_root=True)

    assert b"export REMEDY_PARAM_TOKEN='pl4nted-v4lue'\"'\"'s'\n" in payload
    assert b"export REMEDY_PARAM_PLAIN=x\n" in payload
    assert "pl4nted" not in command
    assert b"pl4nted" in posix.fix_payload(secrets.fix(_fix(REMEDY_PARAM_TOKEN=REFERENCE)), nonce="0" * 32)


def test_powershell_gets_the_value_as_a_variable_and_as_a_property() -> None:
    """Over WinRM and Windows' ssh: $env:REMEDY_PARAM_TOKEN and $Remedy.params.token, in the payload alone."""
    secrets = _secrets(PLANTED=VALUE)
    fix = secrets.fix(_fix(REMEDY_PARAM_TOKEN=REFERENCE, REMEDY_HOST="win-1"))

    values = texts._remedy(fix.environment, deadline_s=9)
    sent = texts.fix_payload(fix, nonce="0" * 32)

    assert values["params"] == {"token": VALUE}
    assert values["host"] == "win-1"
    assert texts._environment(fix.environment) == [("REMEDY_HOST", "win-1"), ("REMEDY_PARAM_TOKEN", VALUE)]
    assert sent.count(b"pl4nted") == 0  # It travels as Base64.
    assert "pl4nted" not in texts.command_line()


@pytest.mark.parametrize("make", [posix.fix_payload, texts.fix_payload])
def test_reference_that_nobody_read_makes_no_payload(make: Callable[..., bytes]) -> None:
    """A script never gets the text of a reference for the secret: that is an error of ours."""
    with pytest.raises(TypeError, match="secret env:PLANTED was not read"):
        make(_fix(REMEDY_PARAM_TOKEN=REFERENCE), nonce="0" * 32)
    with pytest.raises(TypeError):
        text_of(REFERENCE)


def _ways_to_show(job: Any) -> list[str]:
    """Return what everything that prints a value makes of a job with a secret in it."""
    shown = [repr(job), str(job), f"{job}", f"{job.environment}", str(dict(job.environment))]
    shown.append(structlog.dev.ConsoleRenderer(colors=False)(None, "info", {"event": "e", "job": job}))
    shown.append(str(structlog.processors.KeyValueRenderer()(None, "info", {"event": "e", "job": job})))
    shown.append(str(structlog.processors.JSONRenderer()(None, "info", {"event": "e", "value": job.environment})))
    try:
        raise ValueError(job)
    except ValueError as exc:
        shown.append("".join(traceback.format_exception(exc)))
        captured = traceback.TracebackException.from_exception(exc, capture_locals=True)
        shown.append("".join(captured.format()))
    return shown


def test_job_with_a_secret_shows_stars_wherever_it_is_printed() -> None:
    """Logs, f-strings, exceptions and tracebacks with their variables: stars."""
    job = _secrets(PLANTED=VALUE).fix(_fix(REMEDY_PARAM_TOKEN=REFERENCE))

    shown = _ways_to_show(job)

    assert not any("pl4nted" in text for text in shown)
    assert all("***" in text for text in shown)


@pytest.mark.parametrize(
    "write", [pickle.dumps, json.dumps, copy.copy, copy.deepcopy, lambda secret: secret.__getstate__()]
)
def test_secret_is_written_nowhere(write: Callable[[Any], object]) -> None:
    """Pickling, JSON and copying fail, with nothing of the value in the error."""
    with pytest.raises(TypeError) as caught:
        write(Secret(VALUE))

    assert VALUE not in str(caught.value)


def test_job_with_a_secret_is_not_taken_apart() -> None:
    """dataclasses.asdict copies what it finds, and a secret is not copied."""
    job = _secrets(PLANTED=VALUE).fix(_fix(REMEDY_PARAM_TOKEN=REFERENCE))

    with pytest.raises(TypeError) as caught:
        dataclasses.asdict(job)

    assert VALUE not in str(caught.value)


def test_error_in_making_a_payload_has_no_value() -> None:
    """What cannot travel is named by its variable."""
    job = _fix(REMEDY_PARAM_TOKEN=Secret(VALUE + "\0"))

    for make in (posix.fix_payload, texts.fix_payload):
        with pytest.raises(ValueError, match="REMEDY_PARAM_TOKEN") as caught:
            make(job, nonce="0" * 32)
        assert VALUE not in "".join(traceback.format_exception(caught.value))
