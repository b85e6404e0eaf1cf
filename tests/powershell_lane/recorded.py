"""
The recordings of 7.6.5 once more: 83 scripts, 8 payloads, 5 deadlines.

They were recorded with 'Continue' where 'Stop' is now. Ten of the scripts end
otherwise for that; `STOP` has each with its reason. All others must answer as
recorded, byte for byte on standard output. Each script runs plain, as it was recorded, and
as a fix, where the whole of what ships is around it.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from remedy_runners.powershell.trailer import PowerShellLines, Trailer
from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Case, Check, Damage, Expected, Run

__all__ = ["RECORDINGS", "STOP", "cases"]

FILE = Path(__file__).parents[1] / "powershell" / "recordings" / "powershell-7.6.5.jsonl"
RECORDINGS: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
NONCE = "N0nce77"

_AT_FIRST = "the error is the first statement, and ends it"
_AFTER_A = "the error is the second statement, and ends it"
STOP: Mapping[str, tuple[bytes, str, str]] = {
    # name: (standard output, words of standard error, why it differs from the recording)
    "Write-Error": (b"", "we", _AT_FIRST),
    "err then out": (b"", "e1", _AT_FIRST),
    "EAP after": (b"", "/none", _AT_FIRST),
    "mix": (b"", "e1", "the error is the first statement: no native command runs, so there is no LAST"),
    "Read-Host": (b"", "NonInteractive", "Read-Host without a person is an error, and the first statement"),
    "ThrowTerminatingError": (b"", "tt", "the error ends the function, and with 'Stop' its caller"),
    "runtime err": (b"a\n", "divide by zero", _AFTER_A),
    "method ex": (b"a\n", "was not in a correct format", _AFTER_A),
    "unknown cmd": (b"a\n", "nosuchcmd", _AFTER_A),
    "strict": (b"a\n", "undefinedvar", "a variable that is not set is an error under strict mode"),
}
"""What ends as `throw 1` now."""

_ERRORS: Mapping[str, str] = {
    "throw": "boom",
    "EAP Stop cmdlet": "/nonexist",
    "syntax error": "Missing condition in if statement",
    "throw obj": "System.Collections.Hashtable",
    "throw in finally": "f",
    "PSNativeCommandUseErrorActionPreference": "ended with non-zero exit code: 3",
    "stack overflow": "call depth overflow",
    "table then throw": "x",
    "native stderr": "nerr",
    "EAPStop native stderr": "nerr",
    "unicode out": "ä€😀",
}
"""Words of standard error where the ending is as recorded; everywhere else it is empty."""

_UNSURE: Mapping[str, bytes] = {
    # An answer that says no more than a constant one would is no proof: these print something first.
    "exit 4294967295": b"'a';exit 4294967295",
    'exit "x"': b"'a';exit 'x'",
    "exit noarg": b"'a';sh -c 'exit 5';exit",
}


def _bytes(stream: Mapping[str, str]) -> bytes:
    return base64.b64decode(stream["base64"]) if "base64" in stream else stream["text"].encode("utf-8")


def _read(stdout: bytes) -> tuple[str | None, bytes]:
    """Return trailer and output of a recording."""
    lines = PowerShellLines(NONCE)
    pieces = [*lines.feed(stdout), lines.rest()]
    printed = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    for piece in pieces:
        if isinstance(piece, Trailer):
            return f"{piece.kind} {piece.code} {'' if piece.last is None else piece.last}".strip(), printed
    return None, printed


def _lines_in_any_order(lines: bytes) -> Check:
    def of(printed: bytes) -> str:
        return "" if sorted(printed.splitlines()) == sorted(lines.splitlines()) else f"it printed {printed!r}"

    return Check(text=f"the lines {lines!r}, in any order", of=of)


def _expected(recording: Mapping[str, Any]) -> tuple[bytes, Expected]:
    """Return the script of a recording and what must come of it now."""
    name, script = recording["name"], recording["script"].encode("utf-8")
    if name in STOP:
        printed, words, _ = STOP[name]
        return script, Expected(trailer="throw 1", printed=printed, stderr=[words])
    trailer, printed = _read(_bytes(recording["stdout"]))
    script = _UNSURE.get(name, script)
    if name in _UNSURE:
        printed = b"a\n" + printed
    expected = Expected(
        trailer=trailer,
        printed=printed,
        stderr=[_ERRORS[name]] if name in _ERRORS else [],
        status=None if (trailer or "").startswith("time") else recording["exit"],
    )
    if name == "native stderr 2>&1":
        # Two pipes are read at once here; the recorded order is one of two.
        expected = replace(expected, printed=_lines_in_any_order(printed))
    return script, expected


def _needs(recording: Mapping[str, Any]) -> frozenset[str]:
    is_native = re.search(r"\bsh -c|/non|\./inc|\bsleep\b|stop self", recording["script"] + recording["name"])
    return frozenset({"sh"} if is_native else ())


def _with_file(bench: Bench) -> None:
    (bench.folder / "inc.ps1").write_text("'inc';exit 21\n", encoding="ascii")


def _plain(recording: Mapping[str, Any]) -> Case:
    script, expected = _expected(recording)
    run = Run(kind="plain", script=script, before=recording["literal"], deadline_s=recording["deadline_s"])

    def act(bench: Bench) -> None:
        _with_file(bench)
        bench.judge(bench.run(run), expected)

    return Case(group="recorded", name=recording["name"], act=act, needs=_needs(recording))


def _as_fix(recording: Mapping[str, Any]) -> Case:
    script, expected = _expected(recording)
    if recording["name"] == "Remedy":
        expected = replace(expected, printed=b"PSCustomObject\n")

    def act(bench: Bench) -> None:
        _with_file(bench)
        bench.judge(bench.run(Run(script=script)), expected)

    return Case(group="recorded, as a fix", name=recording["name"], act=act, needs=_needs(recording))


def _replaced_digest(data: bytes) -> bytes:
    words = data.split(b" ")
    words[3] = words[3][::-1]
    return b" ".join(words)


_PAYLOADS: Mapping[str, tuple[Damage, Expected]] = {
    "truncated by 3 bytes": (
        Damage(text="without its last three bytes", of=lambda data: data[:-3]),
        Expected(trailer="load 1", stderr=["Base-64"]),
    ),
    "header only": (
        Damage(text="the header alone", of=lambda data: data.split(b"\n")[0] + b"\n"),
        Expected(trailer="load 1", stderr=["payload damaged"]),
    ),
    "wrong digest": (
        Damage(text="the digest reversed", of=_replaced_digest),
        Expected(trailer="load 1", stderr=["payload damaged"]),
    ),
    "empty stdin": (
        Damage(text="nothing at all", of=lambda _: b""),
        Expected(trailer=None, printed=b"\n load 1 \n", stderr=["payload damaged"], status=1),
    ),
    "garbage": (
        Damage(text="the word hello", of=lambda _: b"hello\n"),
        Expected(trailer=None, printed=b"\nhello load 1 \n", stderr=["payload damaged"], status=1),
    ),
    "CR LF": (
        Damage(text="lines end with CR LF", of=lambda data: data.replace(b"\n", b"\r\n")),
        Expected(trailer="end 0", printed=b"x\n"),
    ),
    "byte order mark": (
        Damage(text="a byte order mark goes before", of=lambda data: b"\xef\xbb\xbf" + data),
        Expected(trailer="end 0", printed=b"x\n"),
    ),
    "junk after payload": (
        Damage(text="'junk' follows", of=lambda data: data + b"junk\njunk\n"),
        Expected(trailer="end 0", printed=b"x\n"),
    ),
}


def _payload(recording: Mapping[str, Any]) -> Case:
    damage, expected = _PAYLOADS[recording["name"]]
    run = Run(kind="plain", script=recording["script"].encode(), deadline_s=0, damage=damage)

    def act(bench: Bench) -> None:
        bench.judge(bench.run(run), expected)

    return Case(group="recorded", name=f"payload, {recording['name']}", act=act)


def cases() -> list[Case]:
    """Return the cases of all recordings but those in CLIXML, which no bootstrap made."""
    found = [_plain(each) for each in RECORDINGS if each["kind"] in ("script", "deadline")]
    found += [_payload(each) for each in RECORDINGS if each["kind"] == "payload"]
    found += [_as_fix(each) for each in RECORDINGS if each["kind"] == "script"]
    return found
