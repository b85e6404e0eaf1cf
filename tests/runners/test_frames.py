"""Marks of a payload are told from what scripts print, however the bytes are cut."""

from hypothesis import given
from hypothesis import strategies as st

from remedy_runners.capture import Capture
from remedy_runners.frames import Frames

NONCE = "0123456789abcdef" * 2


def _whole(stream: bytes, sizes: list[int]) -> list[bytes | tuple[str, ...]]:
    """Feed a stream in pieces, and join what lies between marks again."""
    frames = Frames(NONCE)
    found: list[bytes | tuple[str, ...]] = []
    at = 0
    for size in [*sizes, len(stream)]:
        found += frames.feed(stream[at : at + size])
        at += size
    found.append(frames.rest())
    joined: list[bytes | tuple[str, ...]] = []
    for piece in found:
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += piece
        elif piece:
            joined.append(piece)
    return joined


MARK = b"\n" + NONCE.encode() + b" end 3 0\n"


@given(
    st.binary(max_size=60),
    st.binary(max_size=60),
    st.lists(st.integers(min_value=1, max_value=40), max_size=30),
    st.sampled_from([b"", b"\n", b"\n" + NONCE.encode()[:20], MARK[:-9], b"\n\n"]),
)
def test_marks_are_found_however_the_bytes_are_cut(before: bytes, after: bytes, sizes: list[int], tease: bytes) -> None:
    """What stands around a mark comes back byte for byte, also when it looks like the start of one."""
    found = _whole(before + tease + MARK + after + tease, sizes)

    expected = [before + tease, ("end", "3", "0"), after + tease]
    assert found == [piece for piece in expected if piece]


def test_words_of_a_mark_end_with_a_text() -> None:
    """The last word holds the blanks that are left."""
    assert Frames(NONCE).feed(f"\n{NONCE} held a b c d\n".encode()) == [("held", "a", "b", "c d")]


def test_mark_without_end_is_data() -> None:
    """A line with the nonce that never ends is not held back for ever."""
    frames = Frames(NONCE)

    stream = b"\n" + NONCE.encode() + b" " + b"x" * 5_000
    found = frames.feed(stream)

    assert b"".join(piece for piece in found if isinstance(piece, bytes)) == stream


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(0, 40), st.integers(0, 40))
def test_capture_keeps_head_and_tail(chunks: list[bytes], head_max: int, tail_max: int) -> None:
    """Head and tail are those of the whole stream and never overlap; the size is that of all of it."""
    whole = b"".join(chunks)
    capture = Capture(head_max=head_max, tail_max=tail_max)
    for chunk in chunks:
        capture.feed(chunk)

    captured = capture.captured()

    rest = whole[head_max:]
    assert captured.head == whole[:head_max]
    assert captured.tail == (rest[-tail_max:] if tail_max else b"")
    assert captured.size == len(whole)
    assert captured.complete == (len(whole) <= head_max + tail_max)
