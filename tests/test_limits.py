"""Limits, shares, durations and the targets of waves."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remedy.limits import DURATION_S_MAX, Limit, WaveShare, parse_duration, parse_limit, parse_share

_PERCENTS = st.integers(min_value=0, max_value=1_000_000).map(lambda parts: parts / 10_000)
_HOSTS = st.integers(min_value=0, max_value=200_000)
_COUNTS = st.integers(min_value=0, max_value=10_000)
_SHARES = st.builds(WaveShare, count=st.integers(min_value=1, max_value=5_000)) | st.builds(
    WaveShare, percent=_PERCENTS.filter(bool)
)


def _exact(hosts: int, percent: float) -> Fraction:
    return hosts * Fraction(str(percent)) / 100


@pytest.mark.parametrize(
    ("raw", "hosts", "resolved"),
    [
        (0, 500, 0),
        (3, 1, 3),
        ("3", 500, 3),
        ("20%", 10, 2),
        ("20%", 14, 2),
        ("20%", 4, 0),
        ("33.3%", 1_000, 333),
        ("100%", 7, 7),
        ([5, "20%"], 10, 5),
        ([5, "20%"], 25, 5),
        ([5, "20%"], 30, 6),
        ([1, "10%"], 0, 1),
    ],
)
def test_limit_is_larger_of_count_and_percentage_rounded_down(raw: object, hosts: int, resolved: int) -> None:
    """`N`, `P%` and `[N, P%]` resolve to the larger of the count and the percentage rounded down."""
    assert parse_limit(raw).resolve(hosts) == resolved


@example(percent=0.0365, hosts=200_000)
@example(percent=0.145, hosts=200_000)
@given(percent=_PERCENTS, hosts=_HOSTS)
def test_percentage_of_limit_is_exact(percent: float, hosts: int) -> None:
    """No binary rounding of a percentage adds or takes a host: the floor is that of exact arithmetic."""
    assert Limit(percent=percent).resolve(hosts) == _exact(hosts, percent) // 1


@given(count=_COUNTS, percent=_PERCENTS, hosts=_HOSTS, number=st.integers(min_value=0, max_value=300_000))
def test_limit_is_exceeded_only_by_strictly_more(count: int, percent: float, hosts: int, number: int) -> None:
    """A number equal to the limit does not exceed it; one more does."""
    limit = Limit(count=count, percent=percent)
    resolved = limit.resolve(hosts)

    assert not limit.exceeded(resolved, hosts=hosts)
    assert limit.exceeded(resolved + 1, hosts=hosts)
    assert limit.exceeded(number, hosts=hosts) == (number > resolved)


@given(count=_COUNTS, percent=_PERCENTS)
def test_limit_text_parses_back(count: int, percent: float) -> None:
    """What a limit prints is what a person could have written for it."""
    shown = str(Limit(percent=percent))

    assert parse_limit(shown) == Limit(percent=percent)
    assert parse_limit(str(Limit(count=count))) == Limit(count=count)
    assert str(Limit(count=count, percent=percent)) == f"[{count}, {shown}]"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (-1, "-1 is no count; write a whole number from 0 to 10000000"),
        (True, "True is no count; write a whole number from 0 to 10000000"),
        (10_000_001, "10000001 is no count; write a whole number from 0 to 10000000"),
        ("101%", "101% is more than 100%"),
        ("100.0001%", "100.0001% is more than 100%"),
        ("20", None),
        ("twenty", "'twenty' is no percentage; write 0% to 100%, such as 20%"),
        ("-1%", "'-1%' is no percentage; write 0% to 100%, such as 20%"),
        ("1e1%", "'1e1%' is no percentage; write 0% to 100%, such as 20%"),
        ("20 %", "'20 %' is no percentage; write 0% to 100%, such as 20%"),
        ("20%\n", "'20%\n' is no percentage; write 0% to 100%, such as 20%"),
        ("٣", "'٣' is no percentage; write 0% to 100%, such as 20%"),
        ("", "'' is no percentage; write 0% to 100%, such as 20%"),
        ([True, "5%"], "True is no count; write a whole number from 0 to 10000000"),
        (["20%", 5], "a limit is N, P% or [N, P%], such as 3, 20% or [5, 20%]"),
        ([5], "a limit is N, P% or [N, P%], such as 3, 20% or [5, 20%]"),
        ([], "a limit is N, P% or [N, P%], such as 3, 20% or [5, 20%]"),
        ([5, "20%", 1], "a limit is N, P% or [N, P%], such as 3, 20% or [5, 20%]"),
    ],
)
def test_limit_of_other_form_is_refused_with_the_cure(raw: object, message: str | None) -> None:
    """Everything but the three forms is refused, and the message says what to write."""
    if message is None:
        assert parse_limit(raw) == Limit(count=20)
        return
    with pytest.raises(ValueError) as caught:
        parse_limit(raw)

    assert str(caught.value) == message


def test_limit_of_endless_digits_is_refused() -> None:
    """A count of thousands of digits is refused by our own message, not by Python's."""
    with pytest.raises(ValueError, match="is no percentage"):
        parse_limit("9" * 5_000)


@pytest.mark.parametrize("parser", [parse_limit, parse_share, parse_duration])
@given(text=st.text(max_size=12) | st.from_regex(r"\A[0-9]{0,10}[smhd%]?\Z"))
def test_parser_raises_nothing_but_value_error(parser: Callable[[str], object], text: str) -> None:
    """Any text is parsed or refused with a ValueError that says so."""
    refused = ""
    try:
        parser(text)
    except ValueError as refusal:
        refused = str(refusal)
    else:
        return

    assert any(word in refused for word in ("is no", "is more than", "reaches no host"))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (0, "a wave of 0 reaches no host; leave it out"),
        ("0%", "a wave of 0% reaches no host; leave it out"),
        (-3, "-3 is no count; write a whole number from 0 to 10000000"),
        ("120%", "120% is more than 100%"),
        ("5", "'5' is no percentage; write 0% to 100%, such as 20%"),
    ],
)
def test_share_that_reaches_nobody_or_too_many_is_refused(raw: int | str, message: str) -> None:
    """A wave reaches at least one host and at most all."""
    with pytest.raises(ValueError) as caught:
        parse_share(raw)

    assert str(caught.value) == message


@example(percent=0.0085, hosts=200_000)
@example(percent=0.068, hosts=50_000)
@given(percent=_PERCENTS.filter(bool), hosts=_HOSTS)
def test_share_rounds_up_and_never_beyond_all(percent: float, hosts: int) -> None:
    """A share of the planned hosts is rounded up exactly, at most to all of them."""
    share = WaveShare(percent=percent)

    assert share.resolve(hosts) == min(hosts, -(-_exact(hosts, percent) // 1))
    assert parse_share(str(share)) == share


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("10m", 600), ("6h", 21_600), ("7d", 604_800), ("366d", DURATION_S_MAX)],
)
def test_duration_is_its_seconds(text: str, seconds: int) -> None:
    """A whole number with s, m, h or d is that many seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "1.5h", "-5m", "5M", "1h30m", "5m\n", "٣m", "5w", "1e3s"])
def test_duration_of_other_form_is_refused_with_the_cure(text: str) -> None:
    """Any other form is refused, and the message says what to write."""
    with pytest.raises(ValueError) as caught:
        parse_duration(text)

    assert str(caught.value) == f"'{text}' is no duration; write a whole number and s, m, h or d, such as 90s or 7d"


@pytest.mark.parametrize("text", ["367d", "999999999d", "31622401s"])
def test_duration_over_a_leap_year_is_refused(text: str) -> None:
    """A duration of more than 366 days is refused."""
    with pytest.raises(ValueError) as caught:
        parse_duration(text)

    assert str(caught.value) == f"'{text}' is more than 366d"
