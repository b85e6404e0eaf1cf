"""
Masking: what hosts print, with three stars wherever the value of a secret stands.

Pure. Found are the value as it is and in the forms that scripts and shells bring
it into (`_forms`), also across line breaks and however the bytes are cut. Of a
value of several lines, each line that is long enough is looked for by itself. What
a script makes of a value otherwise (a part of it, a hash) is not found.
"""

import base64
import html
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal
from urllib.parse import quote, quote_plus

from remedy.secrets import MASK, Secret

__all__ = ["LINE_CHARACTERS_MIN", "VALUE_CHARACTERS_MIN", "Mask", "Masked"]

VALUE_CHARACTERS_MIN = 6
"""A shorter value would be found where it is not, and hide what is none."""

LINE_CHARACTERS_MIN = 8
"""Of a value of several lines, a line that is shorter is not looked for by itself (`{`, `true`, `[default]`)."""

_LOOK_AT_ONCE = 65_536
"""A stream is looked at in pieces of this size: a look costs as much for a line as for a thousand."""

_NEEDLES_FEW = 64
"""Looking for so many one by one costs less than looking at every block of a stream."""

_STARS = MASK.encode("ascii")
_BREAKS = b"\r\n"
_BREAK = re.compile(rb"[\r\n]")
_SHELL_WORD = re.compile(r"([^A-Za-z0-9_@%+=:,./-])")
_BASH_WORD = re.compile(r"""((?<=[:=])~|[ \t\n!"$&'()*,;<>?\[\\\]^`{|}])""")
_NO_WORD = re.compile(r"([^A-Za-z0-9_])")
_NO_LETTER = re.compile(r"([^A-Za-z0-9])")
_XML_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x1f\x7f-\x9f]")

_NAMED = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\\": b"\\"}
_NAMED_MORE = {**_NAMED, b"e": b"\x1b", b"E": b"\x1b"}
_NAMED_AWK = {**_NAMED, b'"': b'"', b"/": b"/"}
_NAMED_ALL = {**_NAMED_MORE, **{bytes([each]): bytes([each]) for each in b"\"'?/"}}
_ANSI = {
    "\a": r"\a",
    "\b": r"\b",
    "\x1b": r"\E",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
    "'": r"\'",
}


def _escape(octal: bytes, *, x: bool = False, u: bool = False, alone: bool = False) -> re.Pattern[bytes]:
    fewest = b"0" if alone else b"1"
    hexadecimal = rb"x(?P<hex>[0-9A-Fa-f]{" + fewest + rb",2})" if x else rb"(?P<hex>(?!))"
    point = rb"u(?P<point>[0-9A-Fa-f]{" + fewest + rb",4})" if u else rb"(?P<point>(?!))"
    each = (rb"(?P<octal>" + octal + rb")", hexadecimal, point, rb"(?P<other>.)")
    return re.compile(rb"\\(?:" + rb"|".join(each) + rb")", re.DOTALL)


_ZERO, _BOTH, _PLAIN, _NONE = rb"0[0-7]{0,3}", rb"0[0-7]{0,3}|[1-7][0-7]{0,2}", rb"[0-7]{1,3}", rb"(?!)"
_BYTE = rb"0[0-3]?[0-7]{0,2}|[1-3][0-7]{0,2}|[4-7][0-7]?"
_DIALECTS: tuple[tuple[re.Pattern[bytes], Mapping[bytes, bytes], bool], ...] = (
    # `echo` and `printf %b` of dash.
    (_escape(_BOTH), _NAMED, False),
    (_escape(_BOTH), {**_NAMED, b"e": b"\x1b"}, False),
    # `echo` of zsh and busybox, `echo -e` of bash.
    (_escape(_ZERO, x=True, u=True), _NAMED_MORE, False),
    (_escape(_BOTH, x=True, u=True), _NAMED_MORE, False),
    (_escape(_ZERO, x=True, u=True, alone=True), _NAMED_MORE, False),
    (_escape(_BYTE, x=True), {**_NAMED, b"e": b"\x1b"}, False),
    # A format of `printf`, and `printf %b` of bash.
    (_escape(_PLAIN), _NAMED, False),
    (_escape(_PLAIN, x=True, u=True), _NAMED_MORE, False),
    (_escape(_PLAIN, x=True, u=True), _NAMED_ALL, False),
    (_escape(_BOTH, x=True, u=True), _NAMED_ALL, False),
    # `awk -v`: mawk, gawk.
    (_escape(_PLAIN, x=True), {**_NAMED, b'"': b'"'}, False),
    (_escape(_PLAIN, x=True), _NAMED_AWK, False),
    (_escape(_PLAIN, x=True), _NAMED_AWK, True),
    # `read` without -r.
    (_escape(_NONE), {}, True),
)
"""Which characters an escape may be, what the named ones are, and whether others lose their backslash."""


class Mask:
    """The values to hide, in all their forms; never changed, so that threads may share it."""

    __slots__ = ("_blocks", "_longest", "_needles")

    def __init__(self) -> None:
        self._needles: dict[bytes, str] = {}
        self._blocks = _Blocks()
        self._longest = 0

    def hiding(self, label: str, secret: Secret) -> "Mask":
        """Return a mask that hides one value more; `label` is what people are told of it."""
        mask = Mask()
        new = dict.fromkeys(_needles(secret.reveal()), label)
        mask._needles = {**self._needles, **new}
        mask._blocks = self._blocks.having(needle for needle in new if needle not in self._needles)
        mask._longest = max(map(len, mask._needles), default=0)
        return mask

    @property
    def hides(self) -> bool:
        """Whether there is any value to hide."""
        return bool(self._needles)

    def __repr__(self) -> str:
        return f"Mask of {len(set(self._needles.values()))} secrets"

    def text(self, text: str) -> str:
        """Return a text with every value hidden."""
        stream = self.stream()
        raw = text.encode("utf-8", errors="surrogateescape")
        return (stream.feed(raw) + stream.rest()).decode("utf-8", errors="surrogateescape")

    def stream(self) -> "Masked":
        """Return what masks one stream of bytes."""
        return Masked(self._needles, self._blocks, self._longest)


class _Blocks:
    """
    Which of many needles may stand in some bytes, told by one look at each block of them.

    Of two times a block's size less one, or more bytes, wherever they stand, one
    block is all theirs: it is one of the blocks that begin among their first ones.
    """

    __slots__ = ("_always", "_owners", "_sizes")

    _FORMATS: Mapping[int, Literal["Q", "I"]] = {8: "Q", 4: "I"}

    def __init__(self) -> None:
        self._owners: dict[int, dict[int, tuple[bytes, ...]]] = {8: {}, 4: {}}
        self._sizes: dict[int, tuple[bytes, ...]] = {8: (), 4: ()}
        self._always: tuple[bytes, ...] = ()

    def having(self, needles: Iterable[bytes]) -> "_Blocks":
        """Return blocks that know these needles as well, none of which they knew."""
        blocks = _Blocks()
        blocks._owners = {size: dict(owners) for size, owners in self._owners.items()}
        by_size: dict[int, list[bytes]] = {8: [*self._sizes[8]], 4: [*self._sizes[4]], 0: [*self._always]}
        new: dict[int, dict[int, list[bytes]]] = {8: {}, 4: {}}
        for needle in needles:
            size = next((size for size in self._FORMATS if len(needle) >= 2 * size - 1), 0)
            by_size[size].append(needle)
            for at in range(size):
                block = memoryview(needle)[at : at + size].cast(self._FORMATS[size])[0]
                new[size].setdefault(block, []).append(needle)
        for size, owners in blocks._owners.items():
            owners |= {block: (*owners.get(block, ()), *more) for block, more in new[size].items()}
        blocks._sizes = {size: tuple(by_size[size]) for size in self._FORMATS}
        blocks._always = tuple(by_size[0])
        return blocks

    def candidates(self, bare: bytearray) -> Iterator[bytes]:
        """Yield every needle that stands in these bytes, once, and others."""
        yield from self._always
        for size, form in self._FORMATS.items():
            if len(self._sizes[size]) <= _NEEDLES_FEW:
                yield from self._sizes[size]
                continue
            owners = self._owners[size]
            with memoryview(bare) as view, view[: len(bare) // size * size] as whole, whole.cast(form) as blocks:
                met = owners.keys() & blocks
            yield from {needle for block in met for needle in owners[block]}


class Masked:
    """
    One stream of bytes, masked.

    `feed` holds back as much as is not looked at yet, or may be the beginning of a
    value; `rest` returns that. `found` has the labels of the values that were met.
    """

    def __init__(self, needles: Mapping[bytes, str], blocks: _Blocks, longest: int) -> None:
        self._needles = needles
        self._blocks = blocks
        self._longest = longest
        self._held = bytearray()
        # So many bytes at the front of what is held belong to a value that is masked already.
        self._covered = 0
        self.found: set[str] = set()

    def __repr__(self) -> str:
        return f"Masked, {len(self._held)} bytes held"

    def feed(self, data: bytes) -> bytes:
        """Return what is sure of the bytes so far."""
        if not self._needles:
            return data
        self._held += data
        if len(self._held) < self._longest + _LOOK_AT_ONCE:
            return b""
        bare = self._held.translate(None, _BREAKS)
        sure = len(bare) - self._longest + 1
        if sure <= 0:
            return b""
        spans = self._spans(bare, sure)
        places = _Places(self._held)
        given = places.end(sure)
        masked = _covered(self._held, given, spans, places, begins_inside=self._covered > 0)
        self._covered = max(0, spans[-1][1] - sure) if spans else 0
        del self._held[:given]
        return masked

    def rest(self) -> bytes:
        """Return what is held back, masked; also the beginning of a value that the stream ends in."""
        if not self._needles:
            return b""
        bare = self._held.translate(None, _BREAKS)
        spans = self._spans(bare, len(bare))
        begun = self._begun(bare)
        if begun is not None:
            spans = _merged([*spans, (begun, len(bare))])
        return _covered(self._held, len(self._held), spans, _Places(self._held), begins_inside=self._covered > 0)

    def _spans(self, bare: bytearray, sure: int) -> list[tuple[int, int]]:
        """Return where values that begin before `sure` stand, in bytes without line breaks."""
        spans = [(0, min(self._covered, len(bare)))] if self._covered else []
        for needle in self._blocks.candidates(bare):
            size = len(needle)
            at = bare.find(needle)
            while 0 <= at < sure:
                self.found.add(self._needles[needle])
                start, end = at, at + size
                # The last one that begins within this one, and so on: of a value like `aaaaaa` there are many.
                while (at := bare.rfind(needle, at + 1, end + size - 1)) >= 0:
                    end = at + size
                spans.append((start, end))
                at = bare.find(needle, end)
        return _merged(spans)

    def _begun(self, bare: bytearray) -> int | None:
        """Return where the longest beginning of a value stands that the bytes end in."""
        begun: int | None = None
        for needle, label in self._needles.items():
            first = needle[:VALUE_CHARACTERS_MIN]
            at = bare.find(first, max(0, len(bare) - len(needle) + 1))
            while at >= 0 and not needle.startswith(bare[at:]):
                at = bare.find(first, at + 1)
            if at >= 0:
                self.found.add(label)
                begun = at if begun is None else min(begun, at)
        return begun


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


class _Places:
    """Where bytes without line breaks stand among those with them."""

    def __init__(self, whole: bytearray) -> None:
        self._breaks = [found.start() - number for number, found in enumerate(_BREAK.finditer(whole))]

    def start(self, index: int) -> int:
        """Return where the byte of that number stands."""
        return index + bisect_right(self._breaks, index)

    def end(self, index: int) -> int:
        """Return where the byte before that number ends."""
        return self.start(index - 1) + 1 if index else 0


def _covered(
    whole: bytearray, given: int, spans: list[tuple[int, int]], places: _Places, *, begins_inside: bool
) -> bytes:
    """Return the first `given` bytes with three stars for each span; one that goes on from before has its stars."""
    parts: list[bytes | bytearray] = []
    at = 0
    for start, end in spans:
        first, last = places.start(start), min(places.end(end), given)
        # Line breaks inside a value are not kept, also before its second half.
        if not (begins_inside and start == 0):
            parts += (whole[at:first], _STARS)
        at = last
    parts.append(whole[at:given])
    return b"".join(parts)


def _needles(text: str) -> Iterator[bytes]:
    lines = [line.strip() for line in text.splitlines()]
    several = [line for line in lines if len(line) >= LINE_CHARACTERS_MIN] if len(lines) > 1 else []
    # Blanks around a value are lost in many a script, and those in it where no quotes are around it.
    for each in {text, text.strip(), re.sub(r"[ \t\n]+", " ", text).strip(" "), *several}:
        for form in _forms(each):
            bare = form.translate(None, _BREAKS)
            if len(bare) >= VALUE_CHARACTERS_MIN:
                yield bare


def _forms(text: str) -> Iterator[bytes]:
    """Yield a text as it is, and as it looks when shells, languages, protocols and encoders have had it."""
    for written in _written(text):
        yield written.encode("utf-8")
    yield from _interpreted(text.encode("utf-8"))
    yield from _ansi_quoted(text)
    for encoded in (text.encode("utf-8"), text.encode("utf-16-le")):
        yield encoded
        yield encoded.hex().encode("ascii")
        yield encoded.hex().upper().encode("ascii")
        yield from _base64(encoded)


def _written(text: str) -> Iterator[str]:
    for once in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield from (once, once.replace("/", r"\/"), json.dumps(once, ensure_ascii=False)[1:-1])
    yield from (repr(text)[1:-1], text.encode("unicode_escape").decode("ascii"))
    for safe in ("", "/", "/:"):
        yield from _hex_of_both_cases(quote(text, safe=safe))
        yield from _hex_of_both_cases(quote_plus(text, safe=safe))
    escaped = html.escape(text, quote=False)
    quoted = escaped.replace('"', "&quot;")
    yield from (escaped, quoted, quoted.replace("'", "&apos;"), quoted.replace("'", "&#39;"), html.escape(text))
    # CLIXML: what is no plain character as _xHHHH_, then as any XML.
    yield html.escape(_XML_ESCAPED.sub(lambda found: f"_x{ord(found[0]):04X}_", text), quote=False)
    yield from (text.replace("'", "''"), text.replace('"', '""'), re.sub(r'([`"$])', r"`\1", text))
    # dash has one pair of double quotes around several single ones, and nothing after the last.
    dashed = re.sub("('+)", r"""'"\1"'""", text)
    yield from (dashed, dashed.removesuffix("'"))
    # zsh has a pair of single quotes around what is there between them, and none around nothing.
    yield "\\'".join(f"'{each}'" if each else "" for each in text.split("'")).strip("'")
    yield from (text.replace("'", "'\\''"), text.replace("'", "'\"'\"'"), re.sub(r'([\\"$`])', r"\\\1", text))
    yield from (text.replace("%", "%%"), text.replace("%%", "%"), re.escape(text))
    for word in (_SHELL_WORD, _BASH_WORD, _NO_WORD, _NO_LETTER):
        yield word.sub(r"\\\1", text)
    yield (text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n"))


def _interpreted(raw: bytes) -> Iterator[bytes]:
    """Yield bytes as programs print them that take a backslash for the beginning of a character."""
    if b"\\" not in raw:
        return
    for escape, named, drops in _DIALECTS:
        parts: list[bytes] = []
        at = 0
        for found in escape.finditer(raw):
            if found["other"] == b"c":
                # Many end their output here.
                yield b"".join([*parts, raw[at : found.start()]])
            parts += (raw[at : found.start()], _character(found, named, drops=drops))
            at = found.end()
        yield b"".join([*parts, raw[at:]])


def _character(found: re.Match[bytes], named: Mapping[bytes, bytes], *, drops: bool) -> bytes:
    if digits := found["octal"]:
        return bytes([int(digits, 8) & 0xFF])
    if (digits := found["hex"]) is not None:
        return bytes([int(digits or b"0", 16)])
    if (digits := found["point"]) is not None:
        return chr(int(digits or b"0", 16)).encode("utf-8", errors="replace")
    return named.get(found["other"], found["other"] if drops else found[0])


def _ansi_quoted(text: str) -> Iterator[bytes]:
    """Yield what stands between $' and ' where bash quotes characters that cannot be seen."""
    quoted = "".join(
        _ANSI.get(each) or (f"\\{ord(each):03o}" if ord(each) < 32 or each == "\x7f" else each) for each in text
    )
    raw = quoted.encode("utf-8")
    yield from (raw, re.sub(rb"[\x80-\xff]", lambda found: b"\\%03o" % found[0][0], raw))


def _hex_of_both_cases(quoted: str) -> Iterator[str]:
    yield quoted
    yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)


def _base64(raw: bytes) -> Iterator[bytes]:
    """Yield the characters that stand for these bytes alone, wherever they begin among others."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).rstrip(b"=")
        first = -(-before * 8 // 6)
        last = (before + len(raw)) * 8 // 6
        yield encoded[first:last]
        yield encoded[first:last].translate(bytes.maketrans(b"+/", b"-_"))
