"""Text for people: harmless, near, short."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remedy.text import duration_text, nearest, number_text, one_line, untrusted

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(raw=st.binary() | st.text(st.characters()), keep=st.booleans(), most=st.integers(min_value=0, max_value=50))
@example(raw=b"\x1b[2J\x1b]0;title\x07", keep=False, most=50)
@example(raw="\u202emoc.elpmaxe\u2066\u200f\u061c", keep=True, most=50)
@example(raw="\x9b31m\x85\u2028\ud800\ufeff", keep=False, most=50)
def test_untrusted_shows_no_hidden_character(raw: bytes | str, keep: bool, most: int) -> None:
    """No C0, C1, format, bidi or unassigned character survives, whatever bytes or text come in."""
    shown = untrusted(raw, keep_newlines=keep, characters_max=most)

    left = {character for character in shown if unicodedata.category(character) in _HIDDEN}
    assert left <= ({"\n"} if keep else set())
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain", "plain"),
        ("Grüße, 日本 👍", "Grüße, 日本 👍"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("a\tb\r\nc\0", "a\\tb\\r\\nc\\x00"),
        ("\u202e", "\\u202e"),
        ("\U000e0001", "\\U000e0001"),
        ("\x9b", "\\x9b"),
        (b"", ""),
    ],
)
def test_untrusted_makes_visible(raw: bytes | str, shown: str) -> None:
    """Hidden characters are shown as escapes; letters of all scripts stay."""
    assert untrusted(raw) == shown


def test_untrusted_keeps_newlines_only_when_asked() -> None:
    """A newline is an escape unless the caller keeps newlines; a carriage return always is."""
    assert untrusted("a\r\nb") == "a\\r\\nb"
    assert untrusted("a\r\nb", keep_newlines=True) == "a\\r\nb"


def test_untrusted_says_what_it_cut() -> None:
    """Text over the limit is cut, and how much is said; text of exactly the limit is whole."""
    assert untrusted("abcdef", characters_max=4) == "abcd… (2 characters more)"
    assert untrusted("abcd", characters_max=4) == "abcd"


@given(raw=st.binary() | st.text())
def test_one_line_is_one_harmless_line(raw: bytes | str) -> None:
    """The last line of any text has no hidden character, so also no newline."""
    assert not any(unicodedata.category(character) in _HIDDEN for character in one_line(raw))


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ("", ""),
        (b" \n\t\n", ""),
        (b"first\nlast\n\n", "last"),
        ("a\rb", "b"),
        ("x" * 300, f"{'x' * 200}… (100 characters more)"),
    ],
)
def test_one_line_is_the_last_that_says_something(raw: bytes | str, line: str) -> None:
    """Empty lines after the last words do not count; no words give an empty line."""
    assert one_line(raw) == line


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("fre_percent", ("free_percent",)),
        ("FREE_PERCENT", ("free_percent",)),
        ("free", ("free_gib",)),
        ("mout", ("mount",)),
        ("zzz", ()),
        ("mope", ()),
        ("", ()),
    ],
)
def test_nearest_finds_what_was_meant(name: str, found: tuple[str, ...]) -> None:
    """Known names that resemble a mistyped one are found, case aside; nothing is guessed for another word."""
    assert nearest(name, ["free_percent", "free_gib", "mount"])[:1] == found


def test_nearest_is_near_in_length_too() -> None:
    """Four letters that stand somewhere in a long name are no slip of the pen; a beginning or an end of it may be."""
    assert nearest("nope", ["ungrouped"]) == ()
    assert nearest("cool", ["cooling_down"]) == ()
    assert nearest("grouped", ["ungrouped"]) == ("ungrouped",)
    assert nearest("rule", ["rules"]) == ("rules",)


@given(name=st.text(max_size=8), known=st.lists(st.text(max_size=8), max_size=8), most=st.integers(1, 4))
def test_nearest_does_not_depend_on_order(name: str, known: list[str], most: int) -> None:
    """The suggestions are known names, at most as many as asked for, whatever the order of the known."""
    found = nearest(name, known, most=most)

    assert set(found) <= set(known)
    assert len(found) <= most
    assert found == nearest(name, reversed(known), most=most)


@given(number=_FINITE)
@example(number=2.0**-44)
@example(number=5e-324)
@example(number=1.7976931348623157e308)
@example(number=-0.0)
def test_number_text_reads_back_as_the_number(number: float) -> None:
    """A finite number's text has no exponent and reads back as exactly that number."""
    text = number_text(number)

    assert float(text) == number
    assert set(text) <= set("-.0123456789")
    assert ("." in text) == (not number.is_integer())


def test_number_text_of_powers_of_two_reads_back() -> None:
    """At powers of two, where the neighbours lie unevenly, the text still reads back as the number."""
    powers = [2.0**power for power in range(-1_074, 1_024)]

    assert [number for number in powers if float(number_text(number)) != number] == []


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (10, "10"),
        (10.0, "10"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e22, "1" + "0" * 22),
        (1e-7, "0.0000001"),
        (-2.5e-8, "-0.000000025"),
    ],
)
def test_number_text_is_shortest(number: float, text: str) -> None:
    """Whole numbers have no point, others the fewest digits, and none an exponent."""
    assert number_text(number) == text


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_number_text_of_no_finite_number_is_refused(number: float) -> None:
    """NaN and the infinities are no numbers for us."""
    with pytest.raises(ValueError, match="a number must be finite"):
        number_text(number)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.001, "0s"),
        (-0.001, "0s"),
        (0.25, "0.25s"),
        (59.99, "59.99s"),
        (59.996, "1m"),
        (60, "1m"),
        (90, "1m30s"),
        (3_599.6, "1h"),
        (7_200, "2h"),
        (90_061, "1d1h"),
        (86_401, "1d1s"),
        (-90, "-1m30s"),
    ],
)
def test_duration_text_is_what_people_write(seconds: float, text: str) -> None:
    """A span of time has at most two units, and never sixty of one."""
    assert duration_text(seconds) == text
