"""Small texts that several outputs share: rows, keys, spans of names."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from remedy.canonical import plain
from remedy.holds import Held
from remedy.model import Key, Params, Row, value_text
from remedy.readings import time_text
from remedy.text import untrusted

__all__ = ["held_text", "merged", "names_text", "params_text", "row_json", "row_text"]

_NAMES_SHOWN_MAX = 12


def row_text(row: Row, *, without: Key = ()) -> str:
    """Return a row as `column=value`, nulls as `?`, columns of the key left out."""
    keys = {name for name, _ in without}
    parts = (f"{name}={'?' if value is None else value_text(value)}" for name, value in row.items() if name not in keys)
    return untrusted(" ".join(parts))


def row_json(row: Row | Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON values."""
    return {name: plain(value) for name, value in row.items()}


def params_text(params: Params) -> str:
    """Return parameters as `name=value`."""
    return untrusted(" ".join(f"{name}={value_text(value)}" for name, value in params.items()))


def names_text(names: Sequence[str]) -> str:
    """Return names with commas, the first dozen and how many more."""
    shown = ", ".join(names[:_NAMES_SHOWN_MAX])
    more = len(names) - _NAMES_SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def held_text(held: Held) -> str:
    """Return a hold with why, until when, and what lifts it."""
    parts = [held.reason]
    if held.until is not None:
        parts.append(f"until {time_text(held.until.replace(microsecond=0))}")
    if held.lifted_by and held.lifted_by != "time" and held.lifted_by not in held.reason:
        parts.append(f"lifted by: {held.lifted_by}")
    return "; ".join(part for part in parts if part)


def merged(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Return each second text with all the firsts that have it, in order of appearance."""
    found: dict[str, list[str]] = {}
    for name, text in pairs:
        found.setdefault(text, []).append(name)
    return list(found.items())
