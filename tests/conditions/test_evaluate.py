"""What conditions decide: true, false, unknown."""

import itertools
import math
import re
import sys
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.conditions.like import matcher
from remedy.model import Row, Value
from tests.conditions.trees import PARAMS, compiled

_THREE = (True, False, None)
_NO_OTHERS: Mapping[str, Row | None] = {}


def _decided(text: str, /, **row: Value) -> bool | None:
    return compiled(text).bind(PARAMS)(row, _NO_OTHERS)


@pytest.mark.parametrize(("p", "q"), list(itertools.product(_THREE, _THREE)))
def test_connectives_are_kleenes(p: bool | None, q: bool | None) -> None:
    """One false decides `and`, one true decides `or`; else an unknown operand makes unknown."""
    both = False if False in (p, q) else None if None in (p, q) else True
    either = True if True in (p, q) else None if None in (p, q) else False

    for word, expected in (("and", both), ("or", either)):
        assert _decided(f"p {word} q", p=p, q=q) is expected
        assert _decided(f"p {word} q {word} p", p=p, q=q) is expected
    assert _decided("not p", p=p) is (None if p is None else not p)


@pytest.mark.parametrize(
    "form", ["a < 5 {} b > 5", "a - 0 < 5 {} b - 0 > 5", "a < 5 {} b > 5 {} a < 5", "5 > a {} 5 < b"]
)
@pytest.mark.parametrize(("first", "second"), list(itertools.product(_THREE, _THREE)))
def test_junction_of_comparisons_is_kleenes(form: str, first: bool | None, second: bool | None) -> None:
    """Comparisons joined by `and` and `or` decide alike, whichever way they are written."""
    row = {"a": {True: 1.0, False: 9.0, None: None}[first], "b": {True: 9.0, False: 1.0, None: None}[second]}

    assert _decided(form.replace("{}", "and"), **row) is _decided("p and q", p=first, q=second)
    assert _decided(form.replace("{}", "or"), **row) is _decided("p or q", p=first, q=second)


@pytest.mark.parametrize(
    ("text", "row", "verdict"),
    [
        ("a < 3", {"a": 2.0}, True),
        ("a < 3", {"a": 3.0}, False),
        ("a < 3", {"a": None}, None),
        ("a < 3", {}, None),
        ("3 > a", {"a": 2.0}, True),
        ("3 <= a", {"a": 3.0}, True),
        ("3 = a", {"a": 3.0}, True),
        ("3 <> a", {"a": 3.0}, False),
        ("a = 0", {"a": -0.0}, True),
        ("a = b", {"a": 1.0, "b": 1.0}, True),
        ("a = a", {"a": None}, None),
        ("a <= b", {"a": 1.0, "b": None}, None),
        ("p = true", {"p": True}, True),
        ("p <> q", {"p": True, "q": False}, True),
        ("p = (a < 3)", {"p": True, "a": None}, None),
        ("p", {"p": True}, True),
        ("params.strict", {}, True),
        ("s = 'A'", {"s": "a"}, False),
        ("s < 'b'", {"s": "a"}, True),
        ("s < 'é'", {"s": "z"}, True),
        ("a < params.limit", {"a": 9.0}, True),
        ("params.limit + 2 <= a", {"a": 12.0}, True),
        ("1 = 1", {}, True),
        ("1 / 0 = 1", {}, None),
        ("1 / 0 = 1 and a < 3", {"a": 9.0}, False),
        ("1 / 0 = 1 or a < 3", {"a": 1.0}, True),
        ("a between 1 and 3", {"a": 3.0}, True),
        ("a between 1 and 3", {"a": 1.0}, True),
        ("a between 3 and 1", {"a": 2.0}, False),
        ("a between 1 and b", {"a": 0.0, "b": None}, False),
        ("a between 1 and b", {"a": 2.0, "b": None}, None),
        ("a not between 1 and b", {"a": 0.0, "b": None}, True),
        ("a between 1 and 3", {"a": None}, None),
        ("s between 'a' and 'b'", {"s": "az"}, True),
        ("a in (1, -2)", {"a": -2.0}, True),
        ("a in (1, 2)", {"a": 3.0}, False),
        ("a not in (1, 2)", {"a": 3.0}, True),
        ("a not in (1, 2)", {"a": None}, None),
        ("a + 1 in (2)", {"a": 1.0}, True),
        ("s in ('a', 'b')", {"s": "b"}, True),
    ],
)
def test_condition_decides(text: str, row: dict[str, Value], verdict: bool | None) -> None:
    """Comparisons, ranges and lists decide as in SQL; a null or absent value makes them unknown."""
    assert _decided(text, **row) is verdict


@pytest.mark.parametrize(
    ("text", "row", "verdict"),
    [
        ("a + b = 3", {"a": 1.0, "b": 2.0}, True),
        ("a - b = -1", {"a": 1.0, "b": 2.0}, True),
        ("a * b = 2", {"a": 1.0, "b": 2.0}, True),
        ("a / b = 0.5", {"a": 1.0, "b": 2.0}, True),
        ("-a = -1", {"a": 1.0}, True),
        ("abs(a) = 1", {"a": -1.0}, True),
        ("abs(a) = 1", {"a": None}, None),
        ("a + b = 3", {"a": None, "b": 2.0}, None),
        ("a * b = 0", {"a": 0.0, "b": None}, None),
        ("a / b > 1", {"a": 1.0, "b": 0.0}, None),
        ("a / b > 0.9", {"a": 0.0, "b": 0.0}, None),
        ("a / b > 1", {"a": 1.0, "b": -0.0}, None),
        ("not (a / b > 1)", {"a": 0.0, "b": 0.0}, None),
        ("a * b > 1", {"a": 1e300, "b": 1e300}, None),
        ("a + b > 1", {"a": sys.float_info.max, "b": sys.float_info.max}, None),
        ("a - b < 1", {"a": -sys.float_info.max, "b": sys.float_info.max}, None),
        ("a / b > 1", {"a": 1.0, "b": 5e-324}, None),
        ("a * b - a * b = 0", {"a": 1e300, "b": 1e300}, None),
        ("a * b > 1", {"a": 10**400, "b": 2}, None),
        ("a / b > 1", {"a": 10**400, "b": 2}, None),
        ("a + 1 = 3", {"a": 2}, True),
    ],
)
def test_arithmetic_decides(text: str, row: dict[str, Value], verdict: bool | None) -> None:
    """Division by zero, and any result that is no finite number, is unknown; so a host's 0/0 never matches."""
    assert _decided(text, **row) is verdict


@pytest.mark.parametrize(
    ("text", "row", "verdict"),
    [
        ("lower(s) = 'grün'", {"s": "GRÜN"}, True),
        ("lower(s) = 'ασ'", {"s": "ΑΣ"}, True),
        ("length(lower(s)) = 1", {"s": "İ"}, True),
        ("length(s) = 1", {"s": "\U0001f600"}, True),
        ("length(s) = 2", {"s": "e\u0301"}, True),
        ("length(s) = 0", {"s": ""}, True),
        ("length(s) / 2 = 1.5", {"s": "abc"}, True),
        ("length(s) = 0", {"s": None}, None),
        ("starts_with(s, '/srv')", {"s": "/srv/a"}, True),
        ("starts_with(s, '%')", {"s": "a"}, False),
        ("ends_with(s, '.log')", {"s": "a.log"}, True),
        ("ends_with(s, t)", {"s": "a", "t": None}, None),
        ("starts_with(s, t)", {"s": None, "t": ""}, None),
        ("starts_with(s, '')", {"s": ""}, True),
    ],
)
def test_function_decides(text: str, row: dict[str, Value], verdict: bool | None) -> None:
    """Functions work on code points, keep the case apart unless asked, and give null for null."""
    assert _decided(text, **row) is verdict


@pytest.mark.parametrize(
    ("text", "pattern", "like"),
    [
        ("abc", "abc", True),
        ("abc", "ab", False),
        ("abc", "a%", True),
        ("abc", "%c", True),
        ("abc", "%b%", True),
        ("abc", "a_c", True),
        ("abc", "A%", False),
        ("", "%", True),
        ("", "_", False),
        ("", "", True),
        ("a", "", False),
        ("a", "%a%a%", False),
        ("ab", "ab%ab", False),
        ("abab", "ab%ab", True),
        ("a\nb", "a_b", True),
        ("a\nb", "a%b", True),
        ("a\n", "a", False),
        ("\U0001f600", "_", True),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
        ("100%", "100\\%", False),
        ("100\\x", "100\\%", True),
        ("a[b", "a[b", True),
        ("xay", "_a_", True),
        ("aXbXc", "a%X_", True),
        ("abc", "_.c", False),
        ("a.c", "_.c", True),
        ("a[b", "_[%", True),
        ("aab", "%a+_", False),
        ("x(a|b)", "%(a|b)", True),
    ],
)
def test_like_is_sqls(text: str, pattern: str, like: bool) -> None:
    """% is any text, _ one character, nothing else is special, and the whole text counts."""
    assert matcher(pattern)(text) is like
    assert _decided("s like t", s=text, t=pattern) is like
    assert _decided(f"s like '{pattern}'", s=text) is like
    assert _decided(f"s not like '{pattern}'", s=text) is not like


_SHORT = st.text("ab%_", max_size=8)


@given(text=_SHORT, pattern=_SHORT)
def test_like_agrees_with_a_regular_expression(text: str, pattern: str) -> None:
    """Seeking the pieces from left to right finds what trying all ways finds."""
    expression = "".join({"%": ".*", "_": "."}.get(character, character) for character in pattern)

    assert matcher(pattern)(text) is (re.fullmatch(expression, text) is not None)


def test_like_of_null_is_unknown() -> None:
    """A null text or a null pattern makes `like` unknown."""
    assert _decided("s like 'a'", s=None) is None
    assert _decided("s like t", s="a", t=None) is None
    assert _decided("s not like t", s="a") is None


@pytest.mark.timeout(20)
def test_like_of_a_long_text_takes_no_time() -> None:
    """A text made to stall a matcher that tries all ways is decided at once."""
    decide = compiled(f"s like '{'%a' * 200}%b'").bind({})

    assert decide({"s": "a" * 4_096}, {}) is False


@pytest.mark.parametrize(
    ("others", "verdict"),
    [
        ({"boot": {"days": 40.0}}, True),
        ({"boot": {"days": 3.0}}, False),
        ({"boot": {"days": None}}, None),
        ({"boot": {}}, None),
        ({"boot": None}, None),
        ({}, None),
    ],
)
def test_other_signal_decides_or_is_unknown(others: dict[str, Row | None], verdict: bool | None) -> None:
    """A column of another signal is read from its one row; without the row or the value it is unknown."""
    assert compiled("boot.days > 30").bind({})({}, others) is verdict


def test_bind_takes_the_parameters_of_a_host() -> None:
    """One condition bound to different parameters decides differently, whole numbers included."""
    condition = compiled("a < params.limit and s = params.label")
    row = {"a": 7.0, "s": "web_1"}

    assert condition.bind({**PARAMS, "limit": 8})(row, {}) is True
    assert condition.bind({**PARAMS, "limit": 7.0})(row, {}) is False
    assert condition.bind({**PARAMS, "label": "db"})(row, {}) is False


def test_verdict_is_never_a_number() -> None:
    """Conditions of every form answer True, False or None themselves, not something that counts as one."""
    texts = ("a < 3", "a in (1)", "s like 'a%'", "starts_with(s, 'a')", "not p", "p or a < 3", "a between 1 and 2", "p")

    for text in texts:
        assert type(_decided(text, a=1.0, s="a", p=True)) is bool


def test_finite_doubles_never_become_nan_or_infinite() -> None:
    """The extreme doubles in every operation give a finite number or unknown."""
    extremes = (0.0, -0.0, 5e-324, -5e-324, 1.0, sys.float_info.max, -sys.float_info.max)
    signs = ("+", "-", "*", "/")
    finite = f"between -{int(sys.float_info.max)} and {int(sys.float_info.max)}"
    predicates = [compiled(f"a {sign} b {finite}").bind({}) for sign in signs]

    verdicts = [decide({"a": a, "b": b}, {}) for decide in predicates for a in extremes for b in extremes]
    assert set(verdicts) == {True, None}
    assert math.isfinite(sys.float_info.max)
