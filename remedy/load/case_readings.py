"""Readings of the hosts of a case: rows, raw output of a collector, or why there are none; and their age."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from remedy.errors import Problem
from remedy.limits import parse_duration
from remedy.load.document import Document, Route
from remedy.load.typed import typed_column
from remedy.model import Reading, ReadingStatus, Row, RowPromise, Signal, Value
from remedy.port import Captured, CollectorEnding, CollectorOutput
from remedy.readings import reading_of_output, row_key
from remedy.text import nearest

__all__ = ["ReadingReader", "case_time", "known_name"]


class ReadingReader:
    """Reads the readings of cases; problems go to the file's document."""

    def __init__(self, document: Document, signals: Mapping[str, Signal]) -> None:
        self._document = document
        self._signals = signals

    def reading(self, route: Route, host: str, name: str, given: Any, now: datetime) -> Reading | None:
        """Return what a host of a case says of a signal; None when there is no such signal."""
        if not known_name(self._document, route, name, self._signals, "signal"):
            return None
        signal = self._signals[name]
        if isinstance(given, list):
            return self._of_rows(route, host, signal, given, now)
        form = self._form(route, given)
        at = self._observed_at(route, given, now)
        match form:
            case "rows":
                return self._of_rows([*route, "rows"], host, signal, given["rows"], at)
            case "output":
                return reading_of_output(signal, host, _output(given), observed_at=at)
            case _:
                status = ReadingStatus(form)
                return Reading(host=host, signal=name, observed_at=at, status=status, reason=given.get(form, ""))

    def _form(self, route: Route, given: Mapping[str, Any]) -> str:
        """Return which of the forms of a reading it has; others beside it are problems."""
        forms = ["rows", "output", *(status.value for status in ReadingStatus if status is not ReadingStatus.OK)]
        found = [form for form in forms if form in given]
        if not found:
            cure = f"add one of {', '.join(forms)}"
            self._document.add(route, "says neither what was read nor why nothing was", cure)
            return ReadingStatus.FAILED.value
        for other in found[1:]:
            self._document.add([*route, other], f"cannot stand beside {found[0]}", "keep one of them")
        for extra in ("exit_code", "stderr", "ending"):
            if extra in given and found[0] != "output":
                self._document.add([*route, extra], "goes with `output` only", "remove it")
        if given.get("ending", "exited") != "exited" and "exit_code" in given:
            self._document.add(
                [*route, "exit_code"], f"there is none when the ending is {given['ending']}", "remove it"
            )
        return found[0]

    def _observed_at(self, route: Route, given: Mapping[str, Any], now: datetime) -> datetime:
        if "age" in given and "observed_at" in given:
            self._document.add([*route, "observed_at"], "cannot stand beside age", "keep one of them")
        if "observed_at" in given:
            return case_time(self._document, [*route, "observed_at"], given["observed_at"])
        if "age" not in given:
            return now
        try:
            return now - timedelta(seconds=parse_duration(given["age"]))
        except (ValueError, OverflowError) as exc:
            message = str(exc) if isinstance(exc, ValueError) else "goes back to before the year 1"
            self._document.add([*route, "age"], message)
            return now

    def _of_rows(self, route: Route, host: str, signal: Signal, given: list[Any], at: datetime) -> Reading:
        rows = tuple(self._row([*route, index], signal, raw) for index, raw in enumerate(given))
        self._check_rows(route, signal, rows)
        if signal.rows is not RowPromise.ANY and not rows:
            reason = f"no row, and `rows: {signal.rows.value}` promises at least one"
            return Reading(host=host, signal=signal.name, observed_at=at, status=ReadingStatus.FAILED, reason=reason)
        return Reading(host=host, signal=signal.name, observed_at=at, status=ReadingStatus.OK, rows=rows)

    def _row(self, route: Route, signal: Signal, raw: Mapping[str, object]) -> Row:
        row: dict[str, Value] = dict.fromkeys(signal.columns)
        for column, value in raw.items():
            if not known_name(self._document, [*route, column], column, signal.columns, "column"):
                continue
            try:
                row[column] = typed_column(signal.columns, column, value)
            except ValueError as exc:
                self._document.add([*route, column], str(exc))
        for column in signal.key:
            if row[column] is None:
                self._document.add(route, f"the row has no `{column}`, which is part of the key", f"add `{column}:`")
        return row

    def _check_rows(self, route: Route, signal: Signal, rows: tuple[Row, ...]) -> None:
        if (not signal.key or signal.rows is RowPromise.ONE) and len(rows) > 1:
            self._document.add(route, f"{len(rows)} rows, and the signal {signal.name} has one row per host")
            return
        seen = set()
        for index, row in enumerate(rows):
            key = row_key(signal, row)
            if signal.key and key in seen:
                self._document.add([*route, index], "another row of this host has the same key")
            seen.add(key)


def known_name(document: Document, route: Route, name: str, known: Mapping[str, object], kind: str) -> bool:
    """Say whether a name is known; if not, add the problem at its key (or at the item of a list)."""
    if name in known:
        return True
    near = nearest(name, known, most=1)
    cure = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(known))}"
    place = document.place(route) if isinstance(route[-1], int) else document.key_place(route)
    document.problems.append(Problem(place=place, message=f"unknown {kind} `{name}`", cure=cure))
    return False


def case_time(document: Document, route: Route, raw: str) -> datetime:
    """Return the time of a text of the right form; one that does not exist becomes a problem."""
    try:
        return datetime.fromisoformat(raw)
    except ValueError:
        document.add(route, f"there is no time {raw}", "write a time such as 2026-11-22T03:00:00Z")
        return datetime.fromisoformat("2000-01-01T00:00:00Z")


def _output(given: Mapping[str, Any]) -> CollectorOutput:
    """Return what the runner would have brought back."""
    ending = CollectorEnding(given.get("ending", "exited"))
    return CollectorOutput(
        ending=ending,
        exit_code=given.get("exit_code", 0) if ending is CollectorEnding.EXITED else None,
        stdout=_captured(given["output"]),
        stderr=_captured(given.get("stderr", "")),
    )


def _captured(text: str) -> Captured:
    raw = text.encode()
    return Captured(head=raw, tail=b"", size=len(raw), sha256=hashlib.sha256(raw).hexdigest())
