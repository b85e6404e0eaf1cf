"""Limits, shares, durations and the targets of waves."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remedy.limits import (
    DURATION_S_MAX,
    Budget,
    Limit,
    WaveShare,
    parse_budget,
    parse_duration,
    parse_limit,
    parse_share,
)

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


@pytest.mark.parametrize("parser", [parse_limit, parse_share, parse_duration, parse_budget])
@given(text=st.text(max_size=12) | st.from_regex(r"\A[0-9]{0,10}[smhd%]?(/[0-9]{0,3}[smhd]?)?\Z"))
def test_parser_raises_nothing_but_value_error(parser: Callable[[str], object], text: str) -> None:
    """Any text is parsed or refused with a ValueError that says so."""
    refused = ""
    try:
        parser(text)
    except ValueError as refusal:
        refused = str(refusal)
    else:
        return

    assert any(
        word in refused for word in ("is no", "is more than", "reaches no host", "lets no fix", "of no time", "is a p")
    )


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


@pytest.mark.parametrize(
    ("text", "budget", "shown"),
    [
        ("200/24h", Budget(hosts=200, window_s=86_400), "200/24h"),
        ("1/1s", Budget(hosts=1, window_s=1), "1/1s"),
        ("500/7d", Budget(hosts=500, window_s=604_800), "500/7d"),
        ("5/36h", Budget(hosts=5, window_s=129_600), "5/36h"),
        ("5/90m", Budget(hosts=5, window_s=5_400), "5/90m"),
        ("5/60m", Budget(hosts=5, window_s=3_600), "5/1h"),
    ],
)
def test_budget_is_a_count_in_a_time(text: str, budget: Budget, shown: str) -> None:
    """`COUNT/DURATION` is so many hosts in so many seconds; what it prints is the same budget, in whole units."""
    assert parse_budget(text) == budget
    assert str(budget) == shown
    assert parse_budget(shown) == budget


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("20%/24h", "'20%/24h' is a percentage, and a budget counts hosts over all runs, whatever the fleet"),
        ("20%", "'20%' is a percentage, and a budget counts hosts over all runs, whatever the fleet"),
        ("200", "'200' is no budget; write a count of hosts and a duration, such as 200/24h"),
        ("-1/24h", "'-1/24h' is no budget; write a count of hosts and a duration, such as 200/24h"),
        ("٣/24h", "'٣/24h' is no budget; write a count of hosts and a duration, such as 200/24h"),
        ("0/24h", "'0/24h' lets no fix start; write at least 1, or a freeze, which says why"),
        ("200/0s", "'200/0s' has a window of no time; write a duration such as 24h"),
        ("200/24", "'24' is no duration; write a whole number and s, m, h or d, such as 90s or 7d"),
        ("200/24h/2", "'24h/2' is no duration; write a whole number and s, m, h or d, such as 90s or 7d"),
        ("200/400d", "'400d' is more than 366d"),
        ("99999999/24h", "99999999 is no count; write a whole number from 0 to 10000000"),
    ],
)
def test_budget_of_other_form_is_refused_with_the_cure(text: str, message: str) -> None:
    """A percentage, zero, and everything else that is no count in a time is refused, and the message says why."""
    with pytest.raises(ValueError) as caught:
        parse_budget(text)

    assert str(caught.value).startswith(message)


_BUDGETS = st.builds(
    Budget, hosts=st.integers(min_value=1, max_value=50), window_s=st.integers(min_value=1, max_value=50)
)


@example(one=Budget(hosts=1, window_s=2), other=Budget(hosts=2, window_s=5), starts=[0, 2, 4])
@example(one=Budget(hosts=2, window_s=2), other=Budget(hosts=1, window_s=5), starts=[0, 4])
@given(one=_BUDGETS, other=_BUDGETS, starts=st.lists(st.integers(0, 100), max_size=120))
def test_stricter_budget_keeps_to_both(one: Budget, other: Budget, starts: list[int]) -> None:
    """Whatever starts when: what the stricter of two budgets allows, each of them allows."""

    def allows(budget: Budget) -> bool:
        return all(
            sum(1 for start in starts if end - budget.window_s < start <= end) <= budget.hosts for end in range(101)
        )

    assert one.stricter(other) == other.stricter(one)
    assert not allows(one.stricter(other)) or (allows(one) and allows(other))
