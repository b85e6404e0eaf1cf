"""
Bare Python functions for the rules of the benchmark, each written by hand.

What somebody would write who has these very rules and nothing else: a column
is read once, a null leaves the answer open unless the other half says no.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from remedy.model import Row

__all__ = ["BARE", "BareRule", "BareVerdict", "Decide", "judge_bare"]

Decide = Callable[[Row], bool | None]
Numbers = Mapping[
    str, Any
]  # Any: parameters of the benchmark are numbers, and the checked rows have the checked types.

BareRule = tuple[str, str, Decide]
"""Name of the rule, name of its signal, its function."""

BareVerdict = tuple[str, str, bool | None, Row]
"""Name of the rule, name of the host, match or not or unknown, and the row."""


def judge_bare(rules: Iterable[BareRule], rows: Mapping[str, Iterable[tuple[str, Row]]]) -> list[BareVerdict]:
    """Return what every rule says of every host's row, as values of the cheapest kind there is."""
    verdicts: list[BareVerdict] = []
    for name, signal, decide in rules:
        for host, row in rows[signal]:
            verdicts.append((name, host, decide(row), row))
    return verdicts


def _nearly_full(params: Numbers) -> Decide:
    below_percent, below_gib = params["below_percent"], params["below_gib"]

    def decide(row: Any) -> bool | None:
        percent, gib = row["free_percent"], row["free_gib"]
        if percent is not None and percent >= below_percent:
            return False
        if gib is not None and gib >= below_gib:
            return False
        return None if percent is None or gib is None else True

    return decide


def _full_and_large(params: Numbers) -> Decide:
    from_gib = params["from_gib"]

    def decide(row: Any) -> bool | None:
        percent, size = row["free_percent"], row["size_gib"]
        if percent is not None and percent > 40.0:
            return False
        if size is not None and size < from_gib:
            return False
        return None if percent is None or size is None else True

    return decide


def _short_of_memory(params: Numbers) -> Decide:
    above_used, above_swap = params["above_used"], params["above_swap"]

    def decide(row: Any) -> bool | None:
        used, swap = row["used_percent"], row["swap_percent"]
        if used is not None and used <= above_used:
            return False
        if swap is not None and swap <= above_swap:
            return False
        return None if used is None or swap is None else True

    return decide


def _under_pressure(params: Numbers) -> Decide:
    from_pressure = params["from_pressure"]

    def decide(row: Any) -> bool | None:
        used, swap, pressure = row["used_percent"], row["swap_percent"], row["pressure"]
        if used is not None and swap is not None and used <= swap:
            return False
        if pressure is not None and pressure < from_pressure:
            return False
        return None if used is None or swap is None or pressure is None else True

    return decide


def _failed_often(params: Numbers) -> Decide:
    from_restarts = params["from_restarts"]

    def decide(row: Any) -> bool | None:
        state, restarts = row["state"], row["restarts"]
        if state is not None and state != "failed":
            return False
        if restarts is not None and restarts < from_restarts:
            return False
        return None if state is None or restarts is None else True

    return decide


def _not_running(params: Numbers) -> Decide:
    below_restarts = params["below_restarts"]

    def decide(row: Any) -> bool | None:
        state, restarts = row["state"], row["restarts"]
        if state is not None and state == "running":
            return False
        if restarts is not None and restarts >= below_restarts:
            return False
        return None if state is None or restarts is None else True

    return decide


def _expires_soon(params: Numbers) -> Decide:
    below_days = params["below_days"]

    def decide(row: Any) -> bool | None:
        days, locked = row["days_left"], row["locked"]
        if days is not None and days >= below_days:
            return False
        if locked is not None and locked:
            return False
        return None if days is None or locked is None else True

    return decide


def _expires_between(params: Numbers) -> Decide:
    from_days, below_days = params["from_days"], params["below_days"]

    def decide(row: Any) -> bool | None:
        days = row["days_left"]
        return None if days is None else from_days <= days < below_days

    return decide


BARE: Mapping[str, Callable[[Numbers], Decide]] = {
    "nearly-full": _nearly_full,
    "full-and-large": _full_and_large,
    "short-of-memory": _short_of_memory,
    "under-pressure": _under_pressure,
    "failed-often": _failed_often,
    "not-running": _not_running,
    "expires-soon": _expires_soon,
    "expires-between": _expires_between,
}
"""By the name of the shape, what makes its function for given parameters."""
