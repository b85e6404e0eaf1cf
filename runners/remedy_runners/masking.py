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
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from remedy.secrets import MASK, Secret

__all__ = ["LINE_CHARACTERS_MIN", "VALUE_CHARACTERS_MIN", "Mask", "Masked"]

VALUE_CHARACTERS_MIN = 6
"""A shorter value would be found where it is not, and hide what is none."""

LINE_CHARACTERS_MIN = 8
"""Of a value of several lines, a line that is shorter is not looked for by itself (`{`, `true`, `[default]`)."""

_LOOK_AT_ONCE = 65_536
"""A stream is looked at in pieces of this size: a look costs as much for a line as for a thousand."""

_STARS = MASK.encode("ascii")
_BREAKS = b"\r\n"
_BREAK = re.compile(rb"[\r\n]")
_SHELL_WORD = re.compile(r"([^A-Za-z0-9_@%+=:,./-])")
_XML_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x1f\x7f-\x9f]")


class Mask:
    """The values to hide, in all their forms; never changed, so that threads may share it."""

    __slots__ = ("_longest", "_needles")

    def __init__(self) -> None:
        self._needles: dict[bytes, str] = {}
        self._longest = 0

    def hiding(self, label: str, secret: Secret) -> "Mask":
        """Return a mask that hides one value more; `label` is what people are told of it."""
        mask = Mask()
        mask._needles = {**self._needles, **dict.fromkeys(_needles(secret.reveal()), label)}
        mask._longest = max(map(len, mask._needles), default=0)
        return mask

    def __repr__(self) -> str:
        return f"Mask of {len(set(self._needles.values()))} secrets"

    def text(self, text: str) -> str:
        """Return a text with every value hidden."""
        stream = self.stream()
        raw = text.encode("utf-8", errors="surrogateescape")
        return (stream.feed(raw) + stream.rest()).decode("utf-8", errors="surrogateescape")

    def stream(self) -> "Masked":
        """Return what masks one stream of bytes."""
        return Masked(self._needles, self._longest)


class Masked:
    """
    One stream of bytes, masked.

    `feed` holds back as much as is not looked at yet, or may be the beginning of a
    value; `rest` returns that. `found` has the labels of the values that were met.
    """

    def __init__(self, needles: dict[bytes, str], longest: int) -> None:
        self._needles = needles
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
        for needle, label in self._needles.items():
            size = len(needle)
            at = bare.find(needle)
            while 0 <= at < sure:
                self.found.add(label)
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
        parts.append(whole[at:first])
        if not (begins_inside and start == 0):
            parts.append(_STARS)
        at = last
    parts.append(whole[at:given])
    return b"".join(parts)


def _needles(text: str) -> Iterator[bytes]:
    lines = [line.strip() for line in text.splitlines()]
    several = [line for line in lines if len(line) >= LINE_CHARACTERS_MIN] if len(lines) > 1 else []
    # Blanks around a value are lost in many a script.
    for each in {text, text.strip(), *several}:
        for form in _forms(each):
            bare = form.translate(None, _BREAKS)
            if len(bare) >= VALUE_CHARACTERS_MIN:
                yield bare


def _forms(text: str) -> Iterator[bytes]:
    """Yield a text as it is, and as it looks when shells, languages, protocols and encoders have had it."""
    for written in _written(text):
        yield written.encode("utf-8")
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
    yield from (text.replace("'", "'\\''"), text.replace("'", "'\"'\"'"), re.sub(r'([\\"$`])', r"\\\1", text))
    yield from (_SHELL_WORD.sub(r"\\\1", text), text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n"))


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
