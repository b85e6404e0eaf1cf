"""Marks and trailer are told from what scripts print, whatever they print and however the bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy_runners.capture import COLLECTOR_STDOUT_MAX, FIX_KEPT_MAX, FIX_OUTPUT_MAX
from remedy_runners.frames import Mark
from remedy_runners.powershell.trailer import PowerShellAnswer, PowerShellLines, Trailer, TrailerKind, boot_id_of

NONCE = "0123456789abcdef" * 2
STARTED = f"\n{NONCE} started boot-1\n".encode()
TRAILER = f"\n{NONCE} exit 3 3\n".encode()
EXITED_3 = Trailer(kind=TrailerKind.EXIT, code=3, last=3)


def _line(words: str) -> bytes:
    return f"\n{NONCE} {words}\n".encode()


def _joined(stream: bytes, sizes: list[int]) -> list[bytes | Mark | Trailer]:
    """Feed a stream in pieces, and join what lies between the lines again."""
    lines = PowerShellLines(NONCE)
    found: list[bytes | Mark | Trailer] = []
    at = 0
    for size in [*sizes, len(stream)]:
        found += lines.feed(stream[at : at + size])
        at += size
    found.append(lines.rest())
    joined: list[bytes | Mark | Trailer] = []
    for piece in found:
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += piece
        elif piece:
            joined.append(piece)
    return joined


TEASES = [
    b"",
    b"\n",
    b"\r",
    b"\r\n",
    TRAILER[:-1] + b"x",
    TRAILER[:20],
    b"\r\n" + NONCE.encode(),
    _line("end 0"),
    _line("nothing"),
]


@given(
    st.binary(max_size=60).filter(lambda data: not data.endswith(b"\r")),
    st.sampled_from(TEASES),
    st.lists(st.integers(min_value=1, max_value=40), max_size=30),
    st.booleans(),
)
def test_lines_are_found_however_the_bytes_are_cut(
    before: bytes, tease: bytes, sizes: list[int], as_crlf: bool
) -> None:
    """What stands before a mark and the trailer comes back byte for byte, also what looks like the start of one."""
    mark, trailer = _line("held it is"), TRAILER
    if as_crlf:
        mark, trailer = mark.replace(b"\n", b"\r\n"), trailer.replace(b"\n", b"\r\n")
    found = _joined(before + tease + mark + before + tease + trailer + b"a child goes on" + trailer, sizes)

    printed = [before + tease] if before + tease else []
    assert found == [*printed, ("held", "it", "is"), *printed, EXITED_3]


def test_a_carriage_return_of_the_script_is_kept() -> None:
    """Where the trailer's own line ends with LF alone, a CR before it is the script's."""
    assert _joined(b"50%\r" + TRAILER, []) == [b"50%\r", EXITED_3]


def test_a_carriage_return_is_held_back_until_it_is_known_whose_it_is() -> None:
    """A CR that comes alone at the end of a chunk is given back once the next bytes are no line."""
    lines = PowerShellLines(NONCE)

    assert lines.feed(b"a\r") == [b"a"]
    assert lines.feed(b"b") == [b"\rb"]


@pytest.mark.parametrize(
    "words",
    [
        "exit 3",
        "exit 3 3 3",
        "exit 3 3 ",
        "exit  3 3",
        "exit 3  3",
        "exit +3 3",
        "exit 0x3 3",
        "exit 2147483648 0",
        "exit -2147483649 0",
        "exit 3 2147483648",
        "exit ",
        "exit",
        "EXIT 3 3",
        "done 0 0x",
        "end 1 1",
        "end 0",
        "throw 2 ",
        "parse 0 ",
        "stop 0 ",
        "load 0 ",
        "time 0 ",
        "ended 0 ",
        "",
    ],
)
def test_a_line_that_is_no_trailer_is_the_scripts(words: str) -> None:
    """A trailer has one of seven kinds, the code that goes with it, and $LASTEXITCODE, each behind one blank."""
    found = _joined(b"a" + _line(words) + TRAILER, [])

    assert found[-1] == EXITED_3
    assert not [piece for piece in found[:-1] if isinstance(piece, Trailer)]
    if words.split(" ")[0] != "done":
        assert found[:-1] == [b"a" + _line(words)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("exit 2147483647 2147483647", Trailer(kind=TrailerKind.EXIT, code=2_147_483_647, last=2_147_483_647)),
        ("exit -2147483648 -1", Trailer(kind=TrailerKind.EXIT, code=-2_147_483_648, last=-1)),
        ("end 0 -5", Trailer(kind=TrailerKind.END, code=0, last=-5)),
        ("time 124 ", Trailer(kind=TrailerKind.TIME, code=124, last=None)),
        ("time 124 7", Trailer(kind=TrailerKind.TIME, code=124, last=7)),
    ],
)
def test_codes_are_exact_over_32_bits(words: str, expected: Trailer) -> None:
    """Codes and $LASTEXITCODE are read exactly, negative ones too."""
    assert _joined(_line(words), []) == [expected]


def test_a_forged_trailer_without_the_nonce_is_data() -> None:
    """What a script prints in the trailer's form with another nonce, or without any, ends nothing."""
    without_newline = b"x" + NONCE.encode() + b" end 0 \n"
    forged = b"\n end 0 \n\nN0nce77 end 0 \n\n" + NONCE[:-1].encode() + b"e end 0 \n" + without_newline

    assert _joined(b"a" + forged + TRAILER, []) == [b"a" + forged, EXITED_3]


def test_a_line_that_never_ends_is_not_held_back() -> None:
    """The nonce without an end of line is given back as data, and more of it too."""
    lines = PowerShellLines(NONCE)
    stream = b"\n" + NONCE.encode() + b" " + b"x" * 5_000

    given_back = b"".join(piece for piece in lines.feed(stream) if isinstance(piece, bytes))
    assert given_back == stream
    assert _joined(stream + TRAILER, [100]) == [stream, EXITED_3]


@pytest.mark.parametrize("nonce", ["", "short", "with blank", "näh1234", "x" * 65])
def test_a_nonce_is_letters_and_digits(nonce: str) -> None:
    """Anything else could not be told from the words behind it."""
    with pytest.raises(ValueError, match="a nonce is"):
        PowerShellLines(nonce)


def test_first_trailer_counts() -> None:
    """What is printed after the trailer is not the script's, not even another trailer."""
    answer = PowerShellAnswer.of_fix(NONCE)
    answer.hear((STARTED + b"a" + TRAILER + b"later" + _line("end 0 ") + b"later", b""))
    answer.hear((b"later" + _line("end 0 "), b"e"))

    assert answer.trailer == EXITED_3
    assert answer.stdout().kept == b"a"
    assert answer.stderr().kept == b"e"


def test_what_comes_before_the_start_is_noise() -> None:
    """A banner that comes before the payload is heard is not what the script printed."""
    answer = PowerShellAnswer.of_collector(NONCE)
    answer.hear((b"Welcome!" + STARTED + b'{"a": 1}\n', b""))
    answer.end()

    assert (answer.noise, answer.stdout().kept, answer.boot_id) == (b"Welcome!", b'{"a": 1}\n', "boot-1")


@pytest.mark.parametrize("words", ["held until monday", "busy", "already", "refused marker C:\\a b"])
def test_a_word_that_nothing_runs_counts_before_the_start_only(words: str) -> None:
    """It ends the answer when it comes first, and changes nothing once the script was started."""
    before, after = PowerShellAnswer.of_fix(NONCE), PowerShellAnswer.of_fix(NONCE)
    before.hear((_line(words), b""))
    after.hear((STARTED + _line(words), b""))

    assert before.nothing_ran == tuple(words.split(" "))
    assert before.finished
    assert after.nothing_ran is None
    assert not after.finished


def test_marks_of_a_question_are_kept_in_order() -> None:
    """What a payload of our own says is there as it was said."""
    answer = PowerShellAnswer.of_collector(NONCE)
    said = ["machine 1-2", "name WEB-1", "version 5.1", "reader root 7", "marker 0 absent - - -", "done"]
    answer.hear((STARTED + b"".join(_line(words) for words in said), b""))

    assert [" ".join(mark) for mark in answer.marks] == said
    assert answer.stdout().size == 0


@pytest.mark.parametrize("text", [None, "", "-", "a b", "x" * 65, "ä", "-1"])
def test_what_is_no_boot_id_is_none(text: str | None) -> None:
    """A boot id that was not understood is not known."""
    assert boot_id_of(text) is None


def test_output_of_a_fix_is_kept_from_both_ends_and_counted() -> None:
    """Of each stream of a fix the head and the tail are kept; more than the limit is too much."""
    answer = PowerShellAnswer.of_fix(NONCE)
    answer.hear((STARTED, b""))
    chunk = bytes(65_536)
    for _ in range(FIX_OUTPUT_MAX // len(chunk)):
        answer.hear((chunk, chunk))
    assert not answer.too_much
    answer.hear((b"", b"e"))

    assert answer.too_much
    assert len(answer.stderr().head) == len(answer.stderr().tail) == FIX_KEPT_MAX
    assert answer.stderr().size == FIX_OUTPUT_MAX + 1
    assert answer.stdout().size == FIX_OUTPUT_MAX


def test_rows_are_kept_to_the_limit_and_one_byte_more() -> None:
    """One byte over the limit is too much; exactly the limit is kept whole."""
    answer = PowerShellAnswer.of_collector(NONCE)
    answer.hear((STARTED + b"x" * COLLECTOR_STDOUT_MAX, b""))
    assert not answer.too_much
    answer.hear((b"xx", b""))

    assert answer.too_much
    assert len(answer.stdout().head) == COLLECTOR_STDOUT_MAX + 1
    assert answer.stdout().size == COLLECTOR_STDOUT_MAX + 2


def test_clixml_is_decoded_however_it_is_cut() -> None:
    """Standard error in CLIXML is text for a person, its size and digest those of the text."""
    block = b'#< CLIXML\r\n<Objs xmlns="x"><S S="Error">bad_x000D__x000A_</S></Objs>'
    answer = PowerShellAnswer.of_fix(NONCE)
    for at in range(len(block)):
        answer.hear((b"", block[at : at + 1]))

    assert (answer.stderr().kept, answer.stderr().size) == (b"bad\n", 4)


def test_clixml_longer_than_what_is_kept_is_decoded_all_the_same() -> None:
    """What is kept of standard error is cut after it was decoded, not before."""
    block = b'#< CLIXML\n<Objs><S S="Error">' + b"_x000A_" * 20_000 + b"</S></Objs>"
    answer = PowerShellAnswer.of_collector(NONCE)
    answer.hear((b"", block))

    assert answer.stderr().kept == b"\n" * 20_000
