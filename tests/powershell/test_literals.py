"""Values as PowerShell literals."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy_runners.powershell.literals import QUOTES, literal
from tests.powershell.parse import parse_problems

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdefgh", min_size=1, max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "$null"),
        (True, "$true"),
        (False, "$false"),
        (0, "0"),
        (-7, "-7"),
        (2**63 - 1, "9223372036854775807"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        ("", "''"),
        ("C:", "'C:'"),
        ("it's", "'it''s'"),
        ('$x `n "q" $(1)\r\n', "'$x `n \"q\" $(1)\r\n'"),
        ("2024-01-02T03:04:05Z", "'2024-01-02T03:04:05Z'"),
        ([], "@()"),
        ([1], "@(,1)"),
        (["a", "b"], "@('a','b')"),
        ([[1]], "@(,@(,1))"),
        ([[]], "@(,@())"),
        ([-1, 2], "@((-1),2)"),
        ([None], "@(,$null)"),
        ({}, "[pscustomobject]@{}"),
        ({"mount": "C:"}, "[pscustomobject]@{'mount'='C:'}"),
        ({"a": {"b": [True]}}, "[pscustomobject]@{'a'=[pscustomobject]@{'b'=@(,$true)}}"),
        ([{"a": 1}], "@(,([pscustomobject]@{'a'=1}))"),
        ((("A", "b"),), "@(,@('A','b'))"),
    ],
)
def test_literal_is_this_text(value: Any, expected: str) -> None:
    """Each kind of value has one form."""
    assert literal(value) == expected


@given(st.text())
def test_literal_of_a_text_doubles_its_quotes_and_changes_nothing_else(text: str) -> None:
    """Between two quotes stands the text with each of PowerShell's five quotes doubled, and nothing else changed."""
    if any("\ud800" <= each <= "\udfff" for each in text):
        with pytest.raises(ValueError, match="surrogates"):
            literal(text)
        return
    written = literal(text)

    assert written[0] == written[-1] == "'"
    inner, read, at = written[1:-1], [], 0
    while at < len(inner):
        read.append(inner[at])
        if inner[at] in QUOTES:
            assert inner[at + 1] == inner[at], "a quote that stands alone would end the text"
            at += 1
        at += 1
    assert "".join(read) == text


@given(st.text(alphabet="'’‘‚‛ab\n;", max_size=12))
def test_literal_of_quotes_changes_nothing_else(text: str) -> None:
    """Texts that are little but quotes are written so too."""
    assert literal(text) == "'" + "".join(each * 2 if each in "'’‘‚‛" else each for each in text) + "'"


def test_quotes_are_the_five_of_powershell() -> None:
    """PowerShell takes U+0027 and U+2018 to U+201B for a single quote."""
    assert sorted(map(ord, QUOTES)) == [0x27, 0x2018, 0x2019, 0x201A, 0x201B]


@given(_VALUES)
def test_literal_parses(value: Any) -> None:
    """Whatever a value holds, its literal is one that PowerShell's grammar takes."""
    assert parse_problems(f"$x={literal(value)}\n".encode()) == []


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (2**63, ValueError, "64 bits"),
        (-(2**63), ValueError, "64 bits"),
        (float("nan"), ValueError, "no number"),
        (float("-inf"), ValueError, "no number"),
        ({"a": 1, "A": 2}, ValueError, "case alone"),
        ("\ud800", ValueError, "surrogates"),
        (b"bytes", TypeError, "bytes has no"),
        ({1, 2}, TypeError, "set has no"),
    ],
)
def test_literal_of_what_would_change_is_refused(value: Any, error: type[Exception], words: str) -> None:
    """What PowerShell would read as another value has no literal."""
    with pytest.raises(error, match=words):
        literal(value)
