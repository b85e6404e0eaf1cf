"""Signals, from their folders to typed values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remedy.canonical import canonical_json, digest_text
from remedy.conditions import RESERVED_WORDS
from remedy.load.document import Document
from remedy.load.schema import check_parts
from remedy.load.scripts import load_scripts, script_digests
from remedy.load.typed import param_value
from remedy.model import Column, ColumnType, Params, ParamValue, RowPromise, Signal
from remedy.text import nearest

__all__ = ["check_name", "has_one_row", "load_params", "load_signal"]

_SAID_INSTEAD_OF_ROWS = "not_applicable"
_MAX_AGE_S = 15 * 60
_MAX_AGE_S_MAX = 30 * 86_400


def has_one_row(signal: Signal) -> bool:
    """Say whether a signal has at most one row per host, so that conditions of other rules may read it."""
    return not signal.key or signal.rows is RowPromise.ONE


def load_signal(document: Document, *, name: str, root: Path) -> Signal | None:
    """Return the signal in root/signals/NAME, or None when its problems are in the document."""
    shape = check_parts(document, "signal")
    if shape.is_sound("signal"):
        check_name(document, "signal", name)
    if not shape.whole:
        load_scripts(document, "collect", root=root, folder=("signals", name), shape=shape)
        return None
    raw: dict[str, Any] = document.raw
    columns = _load_columns(document, raw["columns"])
    key = _load_key(document, raw.get("key", []), columns)
    rows = _load_rows(document, raw.get("rows"), key)
    params = load_params(document, raw.get("params", {}))
    collect = load_scripts(document, "collect", root=root, folder=("signals", name))
    max_age_s = document.duration_s(["max_age"], default_s=_MAX_AGE_S, most_s=_MAX_AGE_S_MAX, least_s=1)
    if document.problems:
        return None
    resolved = {
        "signal": name,
        "title": raw["title"],
        "key": key,
        "rows": rows.value,
        "columns": {column: [kind.type.value, kind.unit] for column, kind in columns.items()},
        "params": params,
        "collect": script_digests(collect),
        "max_age_s": max_age_s,
    }
    return Signal(
        name=name,
        title=raw["title"],
        key=key,
        rows=rows,
        columns=columns,
        params=params,
        collect=collect,
        max_age_s=max_age_s,
        digest=digest_text(canonical_json(resolved)),
        place=document.place(),
    )


def check_name(document: Document, key: str, name: str) -> None:
    """Add a problem when a file names its rule or signal, under `key`, otherwise than its folder is named."""
    named = document.value([key])
    if named is not None and named != name:
        document.add([key], f"'{named}' is not the name of its folder, '{name}'", "make them equal")


def load_params(document: Document, raw: Mapping[str, object]) -> Params:
    """Return the parameters of a rule or signal, typed by their defaults."""
    params: dict[str, ParamValue] = {}
    for name, value in raw.items():
        try:
            params[name] = param_value(value)
        except ValueError as exc:
            document.add(["params", name], str(exc))
    return params


def _load_columns(document: Document, raw: Mapping[str, Any]) -> dict[str, Column]:
    columns = {}
    for name, value in raw.items():
        if name in RESERVED_WORDS or name == _SAID_INSTEAD_OF_ROWS:
            cure = "choose another name"
            document.add(["columns", name], f"'{name}' is a reserved word and cannot name a column", cure)
        kind = ColumnType(value if isinstance(value, str) else value["type"])
        unit = "" if isinstance(value, str) else value.get("unit", "")
        if unit and kind is not ColumnType.NUMBER:
            document.add(["columns", name, "unit"], f"a {kind.value} column has no unit", "remove it")
        columns[name] = Column(type=kind, unit=unit)
    return columns


def _load_key(document: Document, raw: list[str], columns: Mapping[str, Column]) -> tuple[str, ...]:
    for index, name in enumerate(raw):
        if name not in columns:
            near = nearest(name, columns, most=1)
            cure = f"did you mean `{near[0]}`?" if near else f"columns are {', '.join(columns)}"
            document.add(["key", index], f"there is no column `{name}`", cure)
    return tuple(raw)


def _load_rows(document: Document, raw: str | None, key: tuple[str, ...]) -> RowPromise:
    if raw is None:
        return RowPromise.SOME if key else RowPromise.ONE
    if not key and raw == RowPromise.SOME.value:
        document.add(["rows"], "a signal without a key has at most one row per host", "write one or any, or add a key")
    return RowPromise(raw)
