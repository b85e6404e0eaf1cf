"""Canonical JSON and digests: one value, one text; two lists of fields, two digests."""

import hashlib
import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from remedy.canonical import canonical_json, digest_fields, digest_text, plain, row_value

TEXTS = st.text(max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)


@given(VALUES)
def test_canonical_json_is_read_back_as_the_value(value: object) -> None:
    """Nothing is lost: the text is JSON of the same value."""
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(TEXTS, VALUES, max_size=6), st.randoms(use_true_random=False))
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: dict[str, object], shuffler: object) -> None:
    """A mapping in another order has the same text."""
    items = list(value.items())
    shuffler.shuffle(items)  # type: ignore[attr-defined]

    assert canonical_json(dict(items)) == canonical_json(value)


def test_canonical_json_has_no_blanks_and_no_escapes_that_need_not_be() -> None:
    """Keys are sorted, nothing is spaced, and text outside ASCII stands as it is."""
    assert canonical_json({"b": [1, 0.5, None, True], "a": "é\n"}) == '{"a":"é\\n","b":[1,0.5,null,true]}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_canonical_json_refuses_what_json_has_not(number: float) -> None:
    """NaN and infinity are a ValueError, never a text that only Python reads."""
    with pytest.raises(ValueError, match="JSON"):
        canonical_json([number])


@given(st.lists(TEXTS, max_size=5), st.lists(TEXTS, max_size=5))
def test_two_lists_of_fields_never_share_a_digest(one: list[str], other: list[str]) -> None:
    """Length prefixes keep ('ab', 'c') apart from ('a', 'bc'), and from ('ab', 'c', '')."""
    assume(one != other)

    assert digest_fields(one) != digest_fields(other)


def test_fields_that_look_alike_when_joined_have_two_digests() -> None:
    """The digest is over the fields, not over their text in a row, nor over a prefix they contain."""
    lists = [("ab", "c"), ("a", "bc"), ("abc",), ("ab", "c", ""), ("", "ab", "c"), ("2:ab1:c",), ()]

    assert len({digest_fields(fields) for fields in lists}) == len(lists)


def test_digests_are_plain_sha256() -> None:
    """Anybody can recompute them: UTF-8 bytes, decimal length and a colon before each field."""
    assert digest_text("é") == hashlib.sha256(b"\xc3\xa9").hexdigest()
    assert digest_fields(("low-disk", "é")) == hashlib.sha256(b"8:low-disk2:\xc3\xa9").hexdigest()


PLAIN = [
    (3.0, "3"),
    (-0.0, "0"),
    (0.5, "0.5"),
    (2.0**53 - 1, "9007199254740991"),
    (2.0**53, "9007199254740992.0"),
    (1e300, "1e+300"),
    (True, "true"),
    (None, "null"),
    (("a", 2.0), '["a",2]'),
    ("3.0", '"3.0"'),
]


@pytest.mark.parametrize(("value", "text"), PLAIN)
def test_plain_values_have_the_shortest_text(value: object, text: str) -> None:
    """Whole numbers that JSON readers keep exact lose their point, tuples become lists, everything else stays."""
    assert canonical_json(plain(value)) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_plain_numbers_keep_their_value(number: float) -> None:
    """No number changes by losing its point."""
    assert plain(number) == number


@given(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS)
def test_row_value_is_the_value_before_plain(value: object) -> None:
    """What `plain` wrote without a point is a float again; nothing else is another value."""
    read = row_value(json.loads(canonical_json(plain(value))))

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("value", [[], {}, 10**400, b"x"], ids=["list", "object", "large", "bytes"])
def test_row_value_of_what_no_row_holds_is_an_error(value: object) -> None:
    """A list, an object, or a number that is larger than any column's, is refused as one kind of error."""
    with pytest.raises(ValueError, match="a row holds no"):
        row_value(value)
