"""The loader and its payloads, driven through real shells on this machine; nothing here needs a network."""

import hashlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from remedy.port import CollectJob, FixJob
from remedy_runners.frames import Frames
from remedy_runners.payload import NOTHING_RAN, collect_payload, fix_payload, remote_command
from remedy_runners.pieces import interpreter_of

NONCE = "0123456789abcdef" * 2
SHELLS = [
    pytest.param(
        words,
        id=words.split()[0],
        marks=pytest.mark.skipif(shutil.which(words.split()[0]) is None, reason="no such shell"),
    )
    for words in ("dash", "bash", "busybox sh")
]
LOGIN_SHELLS = [
    pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason="no such shell"))
    for name in ("dash", "bash", "zsh", "fish", "tcsh")
]


def _job(script: bytes, environment: Mapping[str, str] | None = None) -> CollectJob:
    return CollectJob(signal="s", script=script, environment=environment or {}, columns={}, timeout_s=10)


def _load(
    payload: bytes, *, shell: str = "sh", stdin: bytes | None = None, path: Path | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Run the loader in a shell of our choice, with the payload's size and digest, and any stdin."""
    _, _, loader, *rest = shlex.split(remote_command(payload, become_root=False))
    if path is not None:
        loader = re.sub(r"PATH=[^;]*;", f"PATH={path};", loader, count=1)
    words = [*shell.split(), "-c", loader, *rest]
    return subprocess.run(words, input=payload if stdin is None else stdin, capture_output=True, timeout=30)


def _output(stdout: bytes) -> bytes:
    """What the only collector of a payload printed."""
    pieces = Frames(NONCE).feed(stdout)
    begin = next(number for number, piece in enumerate(pieces) if piece[0] == "started")
    return b"".join(piece for piece in pieces[begin + 1 : pieces.index(("over", "0", "0"))] if isinstance(piece, bytes))


def test_cut_payload_interprets_nothing(tmp_path: Path) -> None:
    """Wherever the link drops, nothing of the payload is interpreted, and the exit code says that it came short."""
    proof = tmp_path / "ran"
    payload = b"touch " + str(proof).encode() + b"\n" + collect_payload([_job(b"echo hi")], nonce=NONCE)
    offsets = sorted({*range(0, len(payload), len(payload) // 110), len(f"touch {proof}\n"), len(payload) - 1})

    processes = [_load(payload, stdin=payload[:offset]) for offset in offsets]

    assert len(offsets) >= 100
    assert {(process.returncode, process.stdout) for process in processes} == {(96, b"")}
    assert not proof.exists()
    assert _load(payload).returncode == 0
    assert proof.exists(), "the whole payload leaves the proof"


@pytest.mark.parametrize("shell", SHELLS)
def test_altered_payload_interprets_nothing(shell: str, tmp_path: Path) -> None:
    """A payload of the right size with one other byte is not interpreted."""
    proof = tmp_path / "ran"
    payload = b"touch " + str(proof).encode() + b"\n#1\n"

    process = _load(payload, shell=shell, stdin=payload.replace(b"#1", b"#2"))

    assert process.returncode == 97
    assert not proof.exists()


@pytest.mark.parametrize(("missing", "code"), [("head", 91), ("sha256sum", 92), ("timeout", 93)])
def test_host_without_a_tool_interprets_nothing(missing: str, code: int, tmp_path: Path) -> None:
    """Each missing tool has its own exit code, out of those that mean that nothing ran, with a cure."""
    for tool in {"head", "sha256sum", "timeout", "touch"} - {missing}:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / tool).symlink_to(found)

    process = _load(b"touch ran\n", path=tmp_path)

    assert process.returncode == code
    assert "install" in NOTHING_RAN[code]


@pytest.mark.parametrize("tool", ["shasum", "openssl"])
def test_other_digest_tools_do_as_well(tool: str, tmp_path: Path) -> None:
    """Both shasum and openssl stand in for sha256sum, for right and wrong payloads."""
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"no {tool}")
    for name in ("head", "timeout"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    (tmp_path / tool).write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin exec {found} "$@"\n')
    (tmp_path / tool).chmod(0o755)

    right, wrong = _load(b"echo ran\n", path=tmp_path), _load(b"echo ran\n", path=tmp_path, stdin=b"echo xxx\n")

    assert (right.returncode, right.stdout) == (0, b"ran\n")
    assert (wrong.returncode, wrong.stdout) == (97, b"")


@pytest.mark.parametrize("become_root", [False, True])
def test_command_line_survives_every_login_shell(become_root: bool) -> None:
    """The command holds nothing that csh, fish or zsh would touch inside single quotes, and only size and digest."""
    payload = b"secret payload"

    command = remote_command(payload, become_root=become_root)

    words = shlex.split(command)
    assert not set("\\!\n\r") & set(command)
    assert words[-2:] == [str(len(payload)), hashlib.sha256(payload).hexdigest()]
    assert "secret" not in command
    assert command.count("'") == (4 if become_root else 2)


@pytest.mark.parametrize("shell", LOGIN_SHELLS)
def test_command_line_runs_under_login_shell(shell: str) -> None:
    """The whole command, handed to a login shell as sshd does, loads and runs the payload."""
    payload = collect_payload([_job(b"echo ran")], nonce=NONCE)

    for become_root in (False, True):
        command = remote_command(payload, become_root=become_root)
        process = subprocess.run([shell, "-c", command], input=payload, capture_output=True, timeout=30)

        assert _output(process.stdout) == b"ran\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("interpreter", [b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/python3"])
def test_every_byte_of_a_value_survives(shell: str, interpreter: bytes) -> None:
    """Values with every byte from 0x01 to 0x7f and UTF-8 come out of loader, payload and interpreter unchanged."""
    value = "".join(map(chr, range(1, 128))) + "€ äöü \u202e 'single' \"double\" $HOME `id` \\n \\\\ !x *\n\n"
    script = interpreter + b'\nprintf %s "$REMEDY_PARAM_X"'
    if b"python" in interpreter:
        script = interpreter + b"\nimport os; os.write(1, os.environb[b'REMEDY_PARAM_X'])"

    process = _load(collect_payload([_job(script, {"REMEDY_PARAM_X": value})], nonce=NONCE), shell=shell)

    assert _output(process.stdout) == value.encode()


@pytest.mark.parametrize("shell", SHELLS)
def test_every_byte_of_a_script_survives(shell: str) -> None:
    """A script may hold every byte but NUL, and quotes in any number."""
    raw = bytes(range(1, 256)).replace(b"'", b"").replace(b"\n", b"") + b"\n\n"
    script = b"printf %s '" + raw + b"'"

    process = _load(collect_payload([_job(script)], nonce=NONCE), shell=shell)

    assert _output(process.stdout) == raw


@pytest.mark.parametrize("shell", SHELLS)
def test_large_script_is_run_whole(shell: str) -> None:
    """A script of 300 kB, more than one argument or pipe can hold, runs to its last line."""
    script = b"# filler\n" * 33_000 + b"echo end\n"

    process = _load(collect_payload([_job(script)], nonce=NONCE), shell=shell)

    assert _output(process.stdout) == b"end\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_own_words_stay_out_of_a_collectors_output(shell: str) -> None:
    """A shell that reports killed jobs does not do so into what the collector printed."""
    payload = collect_payload([_job(b"sleep 100 & kill -9 $$")], nonce=NONCE)

    process = _load(payload, shell=shell)

    assert _output(process.stdout) == b""
    assert b"Killed" not in process.stderr.replace(b"\n", b" ")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (b"echo", ("sh",)),
        (b"", ("sh",)),
        (b"#!", ("sh",)),
        (b"#! /bin/sh\n", ("sh",)),
        (b"#!/bin/sh -eu\n", ("sh", "-eu")),
        (b"#!/usr/local/bin/bash\n", ("bash",)),
        (b"#!/usr/bin/env bash\n", ("bash",)),
        (b"#!/usr/bin/env -S python3 -u\n", ("python3", "-u")),
        (b"#!/usr/bin/python3\r\n", ("python3",)),
        (b"#!/usr/bin/env pwsh\n", ("pwsh", "-NoProfile", "-NonInteractive", "-File")),
        (b"#!/usr/bin/python3.11\n", ("sh",)),
        (b"#!/usr/bin/perl -w\n", ("sh",)),
        (b"#!/usr/bin/env\n", ("sh",)),
        (b"echo\n#!/bin/bash\n", ("sh",)),
    ],
)
def test_interpreter_is_read_off_the_shebang(script: bytes, words: Sequence[str]) -> None:
    """The base name out of sh, bash, python3, pwsh, also behind env; everything else is sh."""
    assert interpreter_of(script) == words


@pytest.mark.parametrize(
    ("script", "environment"),
    [
        (b"echo\0", {}),
        (b"", {"REMEDY_X": "a\0b"}),
        (b"", {"REMEDY X": "a"}),
        (b"", {"remedy_x": "a"}),
        (b"", {"X=1;touch /tmp/x": "a"}),
        (b"", {"REMEDY_X": "a" * 200_000}),
        (b"", {"REMEDY_X": "\udc80"}),
    ],
)
def test_what_cannot_travel_is_no_payload(script: bytes, environment: Mapping[str, str]) -> None:
    """NUL bytes, names that are none, values too long or not UTF-8: no payload is made of them."""
    with pytest.raises(ValueError):
        collect_payload([_job(script, environment)], nonce=NONCE)


@pytest.mark.parametrize("execution_id", ["", "../x", "a b", "-rf", "a/b", "x" * 65, "a\n"])
def test_execution_id_that_is_no_file_name_is_no_payload(execution_id: str) -> None:
    """An execution id names a directory on the host: nothing that could leave it."""
    job = FixJob(execution_id=execution_id, script=b"", script_sha256="", environment={}, timeout_s=1)

    with pytest.raises(ValueError):
        fix_payload(job, nonce=NONCE)


def test_reserved_exit_codes_are_those_of_the_loader() -> None:
    """Every exit code that the loader and the escalation use is described, and no other."""
    used = set(map(int, re.findall(r"exit (9[0-9])", remote_command(b"", become_root=True))))

    assert used == set(NOTHING_RAN)
    assert all(90 <= code <= 99 for code in used)
