"""Every answer that was recorded on a real PowerShell is read as the kind, code and streams that it stands for."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from remedy_runners.powershell.clixml import read_stderr
from remedy_runners.powershell.trailer import PowerShellAnswer, PowerShellLines, Trailer, TrailerKind

NONCE = "N0nce77"
FILE = Path(__file__).parent / "recordings" / "powershell-7.6.5.jsonl"

# What each script must end as, from what it says and from what PowerShell documents: kind, code, $LASTEXITCODE.
# Written by hand and not by the reader; None: the process was gone before, or nonce and payload never met.
ENDINGS: dict[str, str | None] = {
    "exit 7": "exit 7 7",
    "fall off": "end 0",
    "throw": "throw 1",
    "Write-Error": "end 0",
    "EAP Stop cmdlet": "throw 1",
    "native fails last": "end 0 5",
    "native fails mid": "end 0 0",
    "syntax error": "parse 1",
    "exit in function": "exit 11 11",
    "exit in nested sb": "exit 12 12",
    "exit in ForEach": "exit 13 13",
    "exit in try/finally": "exit 14 14",
    "exit in try/catch": "exit 15 15",
    "return": "end 0",
    "return val": "end 0",
    "break": "end 0",
    "PipelineStopped": "stop 1",
    "Environment.Exit": None,
    "SetShouldExit": "end 0",
    "err then out": "end 0",
    "exit 256": "exit 256 256",
    "exit 3010": "exit 3010 3010",
    "exit -1": "exit -1 -1",
    "exit -2147024891": "exit -2147024891 -2147024891",
    "exit 4294967295": "exit 0 0",
    'exit "x"': "exit 0 0",
    "exit noarg": "exit 0 0",
    "table last": "end 0",
    "table then exit": "exit 3 3",
    "stop self": None,
    "trap": "end 0",
    "runtime err": "end 0",
    "method ex": "end 0",
    "unknown cmd": "end 0",
    "warn verb info host": "end 0",
    "native stderr": "end 0 0",
    "native stderr 2>&1": "end 0 0",
    "$input": "end 0",
    "scope": "end 0",
    "psroot": "end 0",
    "strict": "end 0",
    "requires ver": "end 0",
    "requires mod": "end 0",
    "using ns": "end 0",
    "class": "end 0",
    "param default": "end 0",
    "cmdletbinding": "end 0",
    "begin/end": "end 0",
    "stream": "end 0",
    "exit in event": "end 0 8",
    "EAP after": "end 0",
    "unicode out": "end 0 0",
    "Out-Host": "end 0",
    "$? and error": "end 0",
    "throw obj": "throw 1",
    "nonewline": "end 0",
    "mix": "end 0 0",
    "EAPStop native stderr": "end 0 0",
    "bytes": "end 0 0",
    "Remedy": "end 0",
    "exit in catch": "exit 31 31",
    "exit in trap": "exit 32 32",
    "exit in class method": "exit 33 33",
    "exit in Invoke-Command": "exit 34 34",
    "exit in Where": "exit 35 35",
    "exit in begin": "exit 36 36",
    "call ps1 with exit": "end 0 21",
    "dot ps1 with exit": "end 0 21",
    "exit in iex": "exit 37 37",
    "exit in event action": "end 0",
    "event action runs": "end 0",
    "throw in finally": "throw 1",
    "exit in finally": "exit 39 39",
    "EAP Stop native nonzero": "end 0 3",
    "PSNativeCommandUseErrorActionPreference": "throw 1 3",
    "ThrowTerminatingError": "end 0",
    "stack overflow": "throw 1",
    "Read-Host": "end 0",
    "ft then exit": "exit 3 3",
    "Out-String then exit": "exit 3 3",
    "list then exit": "exit 3 3",
    "table then throw": "throw 1",
    "two tables then exit": "exit 3 3",
    "truncated by 3 bytes": "load 1",
    "header only": "load 1",
    "wrong digest": "load 1",
    "empty stdin": None,
    "garbage": None,
    "CR LF": "end 0",
    "byte order mark": "end 0",
    "junk after payload": "end 0",
    "endless loop": "time 124",
    "Start-Sleep": "time 124",
    "native sleep": "time 124",
    "catch all": "time 124",
    "ends in time": "exit 3 3",
}

# What a person should read of the eight answers in CLIXML, and whether there are errors among it.
CLIXML: dict[str, tuple[str, bool]] = {
    "error": ("Write-Error: bad ä\n", True),
    "warning and progress": ("WARNING: w\n", False),
    "progress only": ("", False),
    "throw": ("Exception: x\n", True),
    "native stderr before error": ("native\nWrite-Error: e\n", True),
    "verbose debug information host": ("VERBOSE: v\nDEBUG: d\n", False),
    "output only": ("", False),
    "control characters": ("Write-Error: a\x1b[31mb\x00c_x000A_\n", True),
}

Recording = dict[str, Any]


def _recordings() -> list[Recording]:
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def _bytes(stream: dict[str, str]) -> bytes:
    return base64.b64decode(stream["base64"]) if "base64" in stream else stream["text"].encode("utf-8")


def _trailer(text: str | None) -> Trailer | None:
    if text is None:
        return None
    kind, code, *last = text.split()
    return Trailer(kind=TrailerKind(kind), code=int(code), last=int(last[0]) if last else None)


def _printed(recording: Recording) -> bytes:
    """Return what the script printed: all but the trailer's line, found by hand at the very end."""
    stdout = _bytes(recording["stdout"])
    ending = ENDINGS[recording["name"]]
    if ending is None:
        return stdout
    kind, code, *last = ending.split()
    line = f"\n{NONCE} {kind} {code} {''.join(last)}\n".encode()
    assert stdout.endswith(line)
    return stdout.removesuffix(line)


def _read(chunks: list[bytes]) -> tuple[bytes, Trailer | None]:
    """Return what a stream that comes in chunks and then ends amounts to."""
    lines = PowerShellLines(NONCE)
    pieces = [piece for chunk in chunks for piece in lines.feed(chunk)] + [lines.rest()]
    trailers = [piece for piece in pieces if isinstance(piece, Trailer)]
    assert len(trailers) <= 1
    assert not [piece for piece in pieces if isinstance(piece, tuple)]
    return b"".join(piece for piece in pieces if isinstance(piece, bytes)), trailers[0] if trailers else None


RECORDINGS = _recordings()
RUNS = [each for each in RECORDINGS if each["kind"] != "clixml"]
BLOCKS = [each for each in RECORDINGS if each["kind"] == "clixml"]
IDS = [each["name"] for each in RUNS]


def test_tables_name_every_recording_once() -> None:
    """No recording is left out: 96 runs of the bootstrap, 8 answers in CLIXML."""
    assert len(RECORDINGS) == 104
    assert list(ENDINGS) == IDS
    assert [each["name"] for each in BLOCKS] == list(CLIXML)


@pytest.mark.parametrize("recording", RUNS, ids=IDS)
def test_table_agrees_with_the_exit_code_of_the_process(recording: Recording) -> None:
    """The code of the table is the one that the process left with, as far as 8 bits hold it."""
    ending = ENDINGS[recording["name"]]

    if ending is not None and not ending.startswith("time"):
        assert int(ending.split()[1]) % 256 == recording["exit"]


@pytest.mark.parametrize("recording", RUNS, ids=IDS)
def test_recording_is_read_as_its_kind_code_and_output(recording: Recording) -> None:
    """Read in one piece, the trailer is the one that the script stands for, and the rest is what it printed."""
    assert _read([_bytes(recording["stdout"])]) == (_printed(recording), _trailer(ENDINGS[recording["name"]]))


@pytest.mark.parametrize("recording", RUNS, ids=IDS)
def test_recording_is_read_alike_byte_by_byte(recording: Recording) -> None:
    """However small the pieces, the reading is the same."""
    stdout = _bytes(recording["stdout"])

    assert _read([stdout[at : at + 1] for at in range(len(stdout))]) == _read([stdout])


@pytest.mark.parametrize("recording", RUNS, ids=IDS)
def test_recording_in_two_pieces_is_read_alike(recording: Recording) -> None:
    """Wherever the one cut is, the reading is the same."""
    stdout = _bytes(recording["stdout"])

    whole = _read([stdout])
    for at in range(len(stdout) + 1):
        assert _read([stdout[:at], stdout[at:]]) == whole


@pytest.mark.parametrize("recording", RUNS, ids=IDS)
def test_recording_that_is_cut_has_no_end(recording: Recording) -> None:
    """An answer that ends before the last byte of its trailer has no trailer, and not a byte of it goes."""
    stdout = _bytes(recording["stdout"])

    for at in range(len(stdout)):
        assert _read([stdout[:at]]) == (stdout[:at], None)


@pytest.mark.parametrize("recording", RUNS, ids=IDS)
def test_recording_with_carriage_returns_is_read_alike(recording: Recording) -> None:
    """Where each newline comes as CR LF the trailer is the same, and the output keeps its own CR LF."""
    stdout = _bytes(recording["stdout"]).replace(b"\n", b"\r\n")

    printed, trailer = _read([stdout])
    assert trailer == _trailer(ENDINGS[recording["name"]])
    assert printed == _printed(recording).replace(b"\n", b"\r\n")
    assert _read([stdout[at : at + 1] for at in range(len(stdout))]) == (printed, trailer)


@pytest.mark.parametrize("recording", RUNS, ids=IDS)
def test_recording_of_another_nonce_has_no_end(recording: Recording) -> None:
    """A trailer with a nonce that is not ours is something that a script printed."""
    stdout = _bytes(recording["stdout"])
    lines = PowerShellLines("0123456789abcdef" * 2)

    pieces = [*lines.feed(stdout), lines.rest()]
    assert not [piece for piece in pieces if not isinstance(piece, bytes)]
    assert b"".join(piece for piece in pieces if isinstance(piece, bytes)) == stdout


@pytest.mark.parametrize("recording", RUNS, ids=IDS)
def test_streams_of_a_recording_come_back_whole(recording: Recording) -> None:
    """Behind the line that says that the script starts, both streams are kept byte for byte, text in text mode too."""
    stdout, stderr = _bytes(recording["stdout"]), _bytes(recording["stderr"])
    answer = PowerShellAnswer.of_fix(NONCE)
    answer.hear((f"\n{NONCE} started boot-1\n".encode() + stdout, stderr))
    answer.end()

    assert answer.stdout().kept == _printed(recording)
    assert answer.stderr().kept == stderr
    assert answer.trailer == _trailer(ENDINGS[recording["name"]])
    assert not answer.noise


@pytest.mark.parametrize("recording", RUNS, ids=IDS)
def test_stderr_in_text_mode_is_left_alone(recording: Recording) -> None:
    """What comes as text is not searched for more than the marker of CLIXML."""
    stderr = _bytes(recording["stderr"])
    read = read_stderr(stderr)

    assert (read.text.encode("utf-8"), read.is_decoded, read.has_errors) == (stderr, False, False)


@pytest.mark.parametrize("recording", BLOCKS, ids=[each["name"] for each in BLOCKS])
def test_clixml_of_a_recording_is_text_for_a_person(recording: Recording) -> None:
    """Errors, warnings, verbose and debug lines are text, progress is nothing, native stderr stays where it stood."""
    read = read_stderr(_bytes(recording["stderr"]))

    assert (read.text, read.has_errors) == CLIXML[recording["name"]]


@pytest.mark.parametrize("recording", BLOCKS, ids=[each["name"] for each in BLOCKS])
def test_clixml_that_is_cut_is_never_read_as_something_else(recording: Recording) -> None:
    """A block without its end stays as it came, so that nobody takes half of it for all."""
    stderr = _bytes(recording["stderr"])
    start = stderr.find(b"<Objs")

    for at in range(start + 5, len(stderr)) if start >= 0 else ():
        assert not read_stderr(stderr[:at]).is_decoded
