"""
Limits with units: counts, percentages, durations, budgets, and the shares of waves.

Every limit of remedy has one form, `N`, `P%` or `[N, P%]`, and one meaning:
the larger of the count and of the percentage rounded down; a number that is
strictly more exceeds it.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "DURATION_S_MAX",
    "Budget",
    "Limit",
    "WaveShare",
    "parse_budget",
    "parse_duration",
    "parse_limit",
    "parse_share",
]

DURATION_S_MAX = 366 * 86_400
_COUNT_MAX = 10_000_000
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_BUDGET_UNITS = (("h", 3_600), ("m", 60), ("s", 1))
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_COUNT = re.compile(r"[0-9]{1,9}")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?)%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A count, a percentage, or the larger of both; at least one is given."""

    count: int | None = None
    percent: float | None = None

    def resolve(self, hosts: int) -> int:
        """Return the limit for that many hosts: the larger of count and percentage, rounded down."""
        shares = [] if self.count is None else [self.count]
        if self.percent is not None:
            shares.append(_floor_share(hosts, self.percent))
        return max(shares)

    def exceeded(self, number: int, *, hosts: int) -> bool:
        """Say whether number is strictly more than the limit for that many hosts."""
        return number > self.resolve(hosts)

    def __str__(self) -> str:
        parts = [] if self.count is None else [str(self.count)]
        if self.percent is not None:
            parts.append(f"{self.percent:g}%")
        return parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveShare:
    """The cumulative share of the planned hosts that a wave reaches: a count or a percentage."""

    count: int | None = None
    percent: float | None = None

    def resolve(self, hosts: int) -> int:
        """Return how many of that many hosts are reached when the wave ends, rounded up, at most all."""
        if self.count is not None:
            return min(self.count, hosts)
        return min(_ceil_share(hosts, self.percent or 0.0), hosts)

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{self.percent:g}%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """So many distinct hosts, at least 1, in any window of so many seconds; counted over all runs."""

    hosts: int
    window_s: int

    def stricter(self, other: "Budget") -> "Budget":
        """
        Return a budget that keeps to both: the fewer hosts in the longer window.

        With unequal windows that is stricter than either alone.
        """
        return Budget(hosts=min(self.hosts, other.hosts), window_s=max(self.window_s, other.window_s))

    def __str__(self) -> str:
        days, rest = divmod(self.window_s, _UNITS_S["d"])
        if days > 1 and not rest:  # People write one day as 24h.
            return f"{self.hosts}/{days}d"
        unit, size = next((unit, size) for unit, size in _BUDGET_UNITS if not self.window_s % size)
        return f"{self.hosts}/{self.window_s // size}{unit}"


def _floor_share(hosts: int, percent: float) -> int:
    return math.floor(round(hosts * percent, 6) / 100)


def _ceil_share(hosts: int, percent: float) -> int:
    return math.ceil(round(hosts * percent, 6) / 100)


def parse_duration(text: str) -> int:
    """
    Return the seconds of a duration such as '90s', '10m', '6h' or '7d'.

    Raises:
        ValueError: another form, or more than a leap year; the message names the cure.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is no duration; write a whole number and s, m, h or d, such as 90s or 7d")
    seconds = int(found[1]) * _UNITS_S[found[2]]
    if seconds > DURATION_S_MAX:
        raise ValueError(f"'{text}' is more than 366d")
    return seconds


def _parse_percent(text: str) -> float:
    found = _PERCENT.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is no percentage; write 0% to 100%, such as 20%")
    percent = float(found[1])
    if percent > 100:
        raise ValueError(f"{text} is more than 100%")
    return percent


def _check_count(number: int) -> int:
    if isinstance(number, bool) or not 0 <= number <= _COUNT_MAX:
        raise ValueError(f"{number} is no count; write a whole number from 0 to {_COUNT_MAX}")
    return number


def parse_limit(raw: int | str | Sequence[int | str]) -> Limit:
    """
    Return the limit of `N`, `P%` or `[N, P%]`; a text of digits is a count.

    Raises:
        ValueError: another form; the message names the cure.
    """
    if isinstance(raw, str):
        return Limit(count=_check_count(int(raw))) if _COUNT.fullmatch(raw) else Limit(percent=_parse_percent(raw))
    if isinstance(raw, int):
        return Limit(count=_check_count(raw))
    if len(raw) == 2 and isinstance(raw[0], int) and isinstance(raw[1], str):
        return Limit(count=_check_count(raw[0]), percent=_parse_percent(raw[1]))
    raise ValueError("a limit is N, P% or [N, P%], such as 3, 20% or [5, 20%]")


def parse_share(raw: int | str) -> WaveShare:
    """
    Return the wave share of `N` (at least 1) or `P%` (more than 0%).

    Raises:
        ValueError: another form, zero, or more than 100%.
    """
    if isinstance(raw, str):
        percent = _parse_percent(raw)
        if not percent:
            raise ValueError("a wave of 0% reaches no host; leave it out")
        return WaveShare(percent=percent)
    if not _check_count(raw):
        raise ValueError("a wave of 0 reaches no host; leave it out")
    return WaveShare(count=raw)


def parse_budget(text: str) -> Budget:
    """
    Return the budget of `COUNT/DURATION`, such as '200/24h': at least 1 host, at least 1s.

    Raises:
        ValueError: another form, zero, or a percentage; the message names the cure.
    """
    count, slash, window = text.partition("/")
    if "%" in text:
        raise ValueError(
            f"'{text}' is a percentage, and a budget counts hosts over all runs, whatever the fleet; "
            "write a count and a duration, such as 200/24h"
        )
    if not slash or _COUNT.fullmatch(count) is None:
        raise ValueError(f"'{text}' is no budget; write a count of hosts and a duration, such as 200/24h")
    if not _check_count(int(count)):
        raise ValueError(f"'{text}' lets no fix start; write at least 1, or a freeze, which says why")
    window_s = parse_duration(window)
    if not window_s:
        raise ValueError(f"'{text}' has a window of no time; write a duration such as 24h")
    return Budget(hosts=int(count), window_s=window_s)
