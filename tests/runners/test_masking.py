"""Values of secrets are found in what hosts print, in every form and however the bytes are cut."""

import base64
import json
import shlex
import urllib.parse
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.secrets import Secret
from remedy_runners import masking
from remedy_runners.capture import Capture
from remedy_runners.masking import LINE_CHARACTERS_MIN, VALUE_CHARACTERS_MIN, Mask

VALUE = "tök'n-\"9f$A/b&<c>+d=e%20`x\\y"
KEY = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\nq8Zr5b0fxQ==\n{\n-----END KEY-----"


@pytest.fixture(autouse=True, scope="module")
def _looked_at_as_it_comes() -> Iterator[None]:
    """Have every piece looked at as it comes, which takes no large streams to see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masking, "_LOOK_AT_ONCE", 0)
        yield


def _masked(text: bytes, *values: str, cuts: tuple[int, ...] = ()) -> bytes:
    mask = Mask()
    for number, value in enumerate(values):
        mask = mask.hiding(f"secret {number}", Secret(value))
    stream, out, at = mask.stream(), b"", 0
    for cut in sorted(cuts):
        out += stream.feed(text[at:cut])
        at = max(at, cut)
    return out + stream.feed(text[at:]) + stream.rest()


_RAW = VALUE.encode()
_XML = VALUE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
_FORMS = {
    "as it is": _RAW,
    "UTF-16": VALUE.encode("utf-16-le"),
    "JSON": json.dumps(VALUE)[1:-1].encode(),
    "JSON in UTF-8": json.dumps(VALUE, ensure_ascii=False)[1:-1].encode(),
    "JSON in JSON": json.dumps(json.dumps(VALUE))[3:-3].encode(),
    "JSON of PHP": json.dumps(VALUE)[1:-1].replace("/", "\\/").encode(),
    "Python": repr(VALUE)[1:-1].encode(),
    "URL": urllib.parse.quote(VALUE, safe="").encode(),
    "URL path": urllib.parse.quote(VALUE).encode(),
    "form": urllib.parse.quote_plus(VALUE).encode(),
    "XML": _XML.encode(),
    "XML attribute": _XML.replace('"', "&quot;").encode(),
    "PowerShell '": VALUE.replace("'", "''").encode(),
    "sh": shlex.quote(VALUE)[1:-1].encode(),
    "sh -x": VALUE.replace("'", "'\\''").encode(),
    "hex": _RAW.hex().encode(),
    "HEX": _RAW.hex().upper().encode(),
    "base64 of UTF-16": base64.b64encode(VALUE.encode("utf-16-le"))[:-2],
}  # fmt: skip


@pytest.mark.parametrize("form", _FORMS)
def test_mask_finds_each_form(form: str) -> None:
    """What shells, languages and protocols make of a value is masked like the value."""
    assert _masked(b"before " + _FORMS[form] + b" after", VALUE) == b"before *** after"


@pytest.mark.parametrize("before", range(6))
def test_mask_finds_base64_wherever_the_value_begins(before: int) -> None:
    """A value in the middle of what was encoded (user:password) leaves at most a character of its own on each side."""
    encoded = base64.b64encode(b"u" * before + _RAW + b"!" * 4)

    masked = _masked(encoded, VALUE)

    assert b"***" in masked
    assert len(masked) < len(encoded) - len(_RAW)


def test_mask_finds_what_is_wrapped() -> None:
    """Line breaks inside a value (base64 at 76 columns, PowerShell at 80, one character a line) hide nothing."""
    encoded = base64.encodebytes(_RAW * 4)
    spelled = b"\n".join(_RAW[at : at + 1] for at in range(len(_RAW)))

    assert _masked(encoded, VALUE * 4).replace(b"=", b"").strip() in (b"***", b"***" + encoded.strip(b"=\n")[-1:])
    assert _masked(b"a\r\n" + spelled + b"\r\nb\n", VALUE) == b"a\r\n***\r\nb\n"


def test_mask_finds_each_line_of_a_value_of_several() -> None:
    """Lines of a private key are masked one by one; those too short to be told from anything else are not."""
    masked = _masked(b"key: MIIEowIBAAKCAQEA {\n" + KEY.encode(), KEY)

    assert masked == b"key: *** {\n***"
    assert len("{") < LINE_CHARACTERS_MIN


def test_mask_covers_values_that_overlap_and_contain_each_other() -> None:
    """Of two values that share characters, nothing is left; the longer one counts."""
    assert _masked(b"x abcdefghijkl y", "abcdefgh", "ghijkl") == b"x *** y"
    assert _masked(b"x abcdefghijkl y abcdefgh", "abcdefgh", "abcdefghijkl") == b"x *** y ***"
    assert _masked(b"abababababab", "ababab") == b"***"


def test_mask_hides_the_beginning_of_a_value_that_a_stream_ends_in() -> None:
    """A script that was killed while it printed leaves no beginning of a value."""
    assert _masked(b"key is abcdefghij", "abcdefghijklmnop") == b"key is ***"
    assert _masked(b"key is abcde", "abcdefghijklmnop") == b"key is abcde"
    assert VALUE_CHARACTERS_MIN == 6


@given(
    st.lists(
        st.sampled_from(
            [
                _RAW,
                b"s\ne\r\ncr\net7",
                b"secret7",
                b"sec",
                b"\n",
                b"ret7",
                b"plain ",
                _FORMS["hex"],
                b"9f$A/b&",
                b"\r\n",
            ]
        )
    ),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_mask_does_not_depend_on_how_the_bytes_are_cut(pieces: list[bytes], cuts: list[int]) -> None:
    """However a stream is cut into pieces, the same comes out of it; and no value is in it."""
    text = b"".join(pieces)

    masked = _masked(text, VALUE, "secret7", cuts=tuple(cuts))

    assert masked == _masked(text, VALUE, "secret7")
    bare = masked.replace(b"\n", b"").replace(b"\r", b"")
    assert _RAW not in bare
    assert b"secret7" not in bare
    if not any(piece in (_RAW, b"s\ne\r\ncr\net7", b"secret7", b"sec", _FORMS["hex"], b"9f$A/b&") for piece in pieces):
        assert masked == text


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 80))
def test_capture_leaves_no_piece_at_its_edges(head_max: int, tail_max: int, before: int) -> None:
    """Where head ends and tail begins stands no part of a value; size and digest are of the masked stream."""
    capture = Capture(head_max=head_max, tail_max=tail_max, mask=Mask().hiding("secret x", Secret("0123456789abcdef")))
    capture.feed(b"-" * before + b"01234567")
    early = capture.captured()
    capture.feed(b"89abcdef" + b"-" * before)

    captured = capture.captured()

    assert captured.masked == ("secret x",)
    assert captured.size == 2 * before + 3
    assert not any(digit in captured.head + captured.tail + early.head + early.tail for digit in b"0123456789abcdef")


_MANY = [
    f"{number * 7919 % 4093:012b}"[: 6 + number % 20] * (1 + number % 2) + "ab" * (number % 9) for number in range(90)
]
_MANY_MASK = Mask()
for _number, _value in enumerate(_MANY):
    _MANY_MASK = _MANY_MASK.hiding(f"secret {_number}", Secret(_value))


@given(st.lists(st.sampled_from([*(each.encode() for each in _MANY), b"0", b"1", b"ab", b"\n", b"x"]), max_size=40))
def test_mask_of_many_values_finds_what_one_after_the_other_would(pieces: list[bytes]) -> None:
    """That only those are looked for of which a block is there leaves none out, wherever it stands."""
    text = b"".join(pieces)
    stream = _MANY_MASK.stream()
    bare = text.translate(None, b"\r\n")

    found = set(stream._blocks.candidates(bytearray(bare)))

    assert {needle for needle in stream._needles if needle in bare} <= found
    assert len(stream._needles) > 10 * masking._NEEDLES_FEW
    stars = stream.feed(text) + stream.rest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masking, "_NEEDLES_FEW", len(stream._needles))
        plain = _MANY_MASK.stream()
        assert stars == plain.feed(text) + plain.rest()
    assert stream.found == plain.found


def test_line_breaks_in_a_value_stand_nowhere_however_the_bytes_are_cut() -> None:
    """Those before a value and behind it stay; those in it are hidden with it."""
    text = b"a\n\ns\n\ne\r\ncr\net7\r\n\nb" + b"-" * 60
    expected = b"a\n\n***\r\n\nb" + b"-" * 60

    assert _masked(text, "secret7") == expected
    assert _masked(text, "secret7", cuts=tuple(range(len(text)))) == expected
    for cut in range(len(text)):
        assert _masked(text, "secret7", cuts=(cut,)) == expected


def test_value_that_overlaps_itself_is_found_in_no_time() -> None:
    """A megabyte of one character, of which the secret is made too, is no work for minutes."""
    stream = Mask().hiding("secret x", Secret("aaaaaaaa")).stream()

    out = b"".join(stream.feed(b"a" * 65_536) for _ in range(16)) + stream.rest()

    assert out == b"***"


def test_mask_shows_no_value_of_its_own() -> None:
    """Neither a mask nor a stream shows what it hides."""
    mask = Mask().hiding("secret env:X", Secret(VALUE))
    stream = mask.stream()
    stream.feed(_RAW[:8])

    assert repr(mask) == "Mask of 1 secrets"
    assert repr(stream) == "Masked, 8 bytes held"
    assert VALUE not in f"{mask!r}{stream!r}"
