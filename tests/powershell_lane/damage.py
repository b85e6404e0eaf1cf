"""A payload that does not arrive as it was sent starts nothing; one that does starts, however it travels."""

import base64
import re
from collections.abc import Callable

from remedy.port import FixEnding
from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Case, Damage, Expected, Run

__all__ = ["cases"]

_LONG = b"# " + b"x" * 5_000 + b"\n'ran'\n"


def _parts(data: bytes) -> tuple[list[bytes], bytes]:
    header, _, rest = data.partition(b"\n")
    return header.split(b" "), rest


def _with_word(number: int, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def of(data: bytes) -> bytes:
        words, rest = _parts(data)
        words[number] = change(words[number])
        return b" ".join(words) + b"\n" + rest

    return of


def _flipped(at: float) -> Callable[[bytes], bytes]:
    """Return what changes one byte of the script or of what goes before, at this part of it."""

    def of(data: bytes) -> bytes:
        words, rest = _parts(data)
        raw = bytearray(base64.b64decode(rest))
        raw[int(at * (len(raw) - 1))] ^= 1
        return b" ".join(words) + b"\n" + base64.b64encode(raw) + b"\n"

    return of


def _cut(at: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(at * len(data))]


def _lines(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    def of(data: bytes) -> bytes:
        header, *lines = data.splitlines(keepends=True)
        return header + b"".join(change(lines))

    return of


_REFUSED: dict[str, Callable[[bytes], bytes]] = {
    "cut after the header": lambda data: data.partition(b"\n")[0] + b"\n",
    "cut in the first line": lambda data: data[: data.index(b"\n") + 11],
    "cut behind the first line": lambda data: data[: data.index(b"\n", data.index(b"\n") + 1) + 1],
    "cut at a tenth": _cut(0.1),
    "cut at the half": _cut(0.5),
    "cut at nine tenths": _cut(0.9),
    "cut before its last four characters": lambda data: data[:-5],
    "cut before its last line": _lines(lambda lines: lines[:-1]),
    "a line is missing": _lines(lambda lines: lines[:2] + lines[3:]),
    "two lines are swapped": _lines(lambda lines: [lines[1], lines[0], *lines[2:]]),
    "a line comes twice": _lines(lambda lines: [lines[0], lines[0], *lines[1:]]),
    "the first byte is changed": _flipped(0.0),
    "a byte in the middle is changed": _flipped(0.5),
    "the last byte is changed": _flipped(1.0),
    "a character that is no Base64": _lines(lambda lines: [b"*" + lines[0][1:], *lines[1:]]),
    "the digest of something else": _with_word(3, lambda _: b"0" * 64),
    "half a digest": _with_word(3, lambda word: word[:32]),
    "a size that is too small": _with_word(2, lambda word: b"%d" % (int(word) - 3)),
    "a size that is too large": _with_word(2, lambda word: b"%d" % (int(word) + 3)),
    "a size that is none": _with_word(2, lambda _: b"many"),
    "the header without its end": lambda data: b" ".join(_parts(data)[0][:2]) + b"\n" + _parts(data)[1],
    "the nonce alone": lambda data: data.split(b" ")[0] + b"\n",
}
"""What must end as `load 1`."""

_UNHEARD: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "newlines": lambda _: b"\n\n\n",
    "garbage": lambda _: b"hello world 1 2 3\n",
    "half a nonce": lambda data: data[:16],
    "its first line is missing": lambda data: data.partition(b"\n")[2],
    "other bytes than text": lambda data: bytes(255 - each for each in data),
}
"""Where the host does not know the nonce, so nothing that it says counts."""

_TAKEN: dict[str, Callable[[bytes], bytes]] = {
    "lines with CR LF": lambda data: data.replace(b"\n", b"\r\n"),
    "blanks at the ends of lines": lambda data: data.replace(b"\n", b"  \n"),
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "more lines behind": lambda data: data + b"exit 5\n" * 1_000,
    "without its last newline": lambda data: data[:-1],
    "one long line": lambda data: (
        data.partition(b"\n")[0] + b"\n" + data.partition(b"\n")[2].replace(b"\n", b"") + b"\n"
    ),
    "lines of four characters": _lines(
        lambda lines: re.findall(rb".{4}\n", re.sub(rb"(.{4})", rb"\1\n", b"".join(lines)))
    ),
    "empty lines between": lambda data: (
        data.partition(b"\n")[0] + b"\n" + data.partition(b"\n")[2].replace(b"\n", b"\n\n")
    ),
    "a digest in capitals": _with_word(3, bytes.upper),
    "two blanks in the header": lambda data: data.replace(b" ", b"  ", 4),
}
"""What arrives whole all the same."""


def _damaged(name: str, of: Callable[[bytes], bytes], *, is_heard: bool) -> Case:
    def act(bench: Bench) -> None:
        heard = bench.run(bench.evident(Run(script=_LONG, damage=Damage(text=name, of=of))))
        bench.nothing_ran(heard)
        bench.check("whether anything was made on the host", bench.root.exists(), False)
        bench.check("the status of the process", heard.status, 1)
        bench.check("the trailer", heard.trailer, "load 1" if is_heard else None)
        bench.check("whether an error was said", bool(heard.stderr.strip()), True)
        if is_heard:
            bench.says(heard, FixEnding.REFUSED.value, reason="nothing ran on the host")
        else:
            bench.check("whether a trailer of no use came", b" load 1 \n" in heard.stdout, True)
            bench.says(heard, FixEnding.LOST.value)

    return Case(group="payload", name=f"damaged: {name}", act=act)


def _whole(name: str, of: Callable[[bytes], bytes]) -> Case:
    def act(bench: Bench) -> None:
        heard = bench.run(bench.evident(Run(script=_LONG, damage=Damage(text=name, of=of))))
        bench.judge(heard, Expected(trailer="end 0", printed=b"ran\n"))
        bench.check("how often it ran", bench.ran(), 1)

    return Case(group="payload", name=f"whole: {name}", act=act)


def cases() -> list[Case]:
    """Return the cases."""
    return [
        *(_damaged(name, of, is_heard=True) for name, of in _REFUSED.items()),
        *(_damaged(name, of, is_heard=False) for name, of in _UNHEARD.items()),
        *(_whole(name, of) for name, of in _TAKEN.items()),
    ]
