"""Cases of a rule (tests.yaml): hosts, readings, a clock, and the complete expected verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from remedy.errors import FilesError, Place, Problem
from remedy.load.beneath import read_file
from remedy.load.document import Document, Route
from remedy.load.repository import Repository
from remedy.load.schema import check_shape
from remedy.load.typed import typed_column, typed_param
from remedy.load.yaml_events import RULES_LIMITS, read_yaml
from remedy.model import (
    Host,
    Key,
    Params,
    ParamValue,
    Platform,
    Reading,
    ReadingStatus,
    Row,
    RowPromise,
    Rule,
    Signal,
    Value,
    Verdict,
)
from remedy.text import nearest

__all__ = ["Case", "load_cases"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    One case: at `now` (UTC) these hosts have these readings, and the rule says `expect` of every host.

    A tuple of keys stands for a match of exactly these rows, in the order of the keys' texts.
    """

    name: str
    now: datetime
    hosts: tuple[Host, ...]
    readings: tuple[Reading, ...]
    expect: Mapping[str, Verdict | tuple[Key, ...]]
    place: Place


def load_cases(path: Path, repository: Repository, rule: Rule) -> tuple[Case, ...]:
    """
    Return the cases of a rule's tests.yaml.

    Raises:
        FilesError: its problems, together; a missing file is one.
    """
    try:
        raw = read_file(path, bytes_max=RULES_LIMITS.bytes_max)
    except FileNotFoundError:
        raise FilesError([Problem(place=Place(file=str(path)), message="there is no such file")]) from None
    except ValueError as exc:
        raise FilesError([Problem(place=Place(file=str(path)), message=str(exc))]) from exc
    document = Document(file=str(path), node=read_yaml(raw, file=str(path)))
    cases: list[Case] = []
    if check_shape(document, "tests"):
        reader = _CaseReader(document, repository, rule)
        cases = [reader.case(index) for index in range(len(document.raw))]
        _refuse_same_names(document, cases)
    if document.problems:
        raise FilesError(document.problems)
    return tuple(cases)


def _refuse_same_names(document: Document, cases: list[Case]) -> None:
    seen: dict[str, int] = {}
    for index, case in enumerate(cases):
        if case.name in seen:
            first = document.place([seen[case.name], "case"])
            document.add([index, "case"], f"another case has this name, at line {first.line}", "rename one of them")
        seen.setdefault(case.name, index)


class _CaseReader:
    """Reads cases of one file; problems go to its document."""

    def __init__(self, document: Document, repository: Repository, rule: Rule) -> None:
        self._document = document
        self._rule = rule
        self._signals = repository.signals
        self._params: Mapping[str, Params] = {
            **{name: one.params for name, one in repository.rules.items()},
            **{name: one.params for name, one in repository.signals.items()},
        }

    def case(self, index: int) -> Case:
        """Return the case at that place of the list."""
        raw: dict[str, Any] = self._document.value([index])
        now = self._now([index, "now"], raw["now"])
        hosts = [self._host([index, "hosts", name], name, one) for name, one in raw["hosts"].items()]
        readings = [
            self._reading([index, "hosts", name, "readings", signal], name, signal, given, now)
            for name, one in raw["hosts"].items()
            for signal, given in one.get("readings", {}).items()
            if self._known([index, "hosts", name, "readings", signal], signal, self._signals, "signal")
        ]
        return Case(
            name=raw["case"],
            now=now,
            hosts=tuple(sorted(hosts, key=lambda host: host.name)),
            readings=tuple(readings),
            expect=self._expect(index, raw),
            place=self._document.place([index]),
        )

    def _now(self, route: Route, raw: str) -> datetime:
        try:
            return datetime.fromisoformat(raw)
        except ValueError:
            self._document.add(route, f"there is no time {raw}", "write a time such as 2026-11-22T03:00:00Z")
            return datetime.fromisoformat("2000-01-01T00:00:00Z")

    def _known(self, route: Route, name: str, known: Mapping[str, object], kind: str) -> bool:
        if name in known:
            return True
        near = nearest(name, known, most=1)
        cure = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(known))}"
        place = self._document.key_place(route)
        self._document.problems.append(Problem(place=place, message=f"unknown {kind} `{name}`", cure=cure))
        return False

    def _host(self, route: Route, name: str, raw: Mapping[str, Any]) -> Host:
        params: dict[str, dict[str, ParamValue]] = {}
        for owner, given in raw.get("params", {}).items():
            at = [*route, "params", owner]
            if not self._known(at, owner, self._params, "rule or signal"):
                continue
            for param, value in given.items():
                if not self._known([*at, param], param, self._params[owner], "parameter"):
                    continue
                try:
                    params.setdefault(owner, {})[param] = typed_param(self._params[owner], param, value)
                except ValueError as exc:
                    self._document.add([*at, param], str(exc))
        return Host(
            name=name,
            platform=Platform(raw.get("platform", Platform.LINUX.value)),
            groups=tuple(sorted(set(raw.get("groups", [])) - {"all", "ungrouped"})),
            params=params,
        )

    def _reading(self, route: Route, host: str, name: str, given: Any, now: datetime) -> Reading:
        if isinstance(given, dict):
            [(status, reason)] = given.items()
            return Reading(host=host, signal=name, observed_at=now, status=ReadingStatus(status), reason=str(reason))
        signal = self._signals[name]
        rows = tuple(self._row([*route, index], signal, raw) for index, raw in enumerate(given))
        self._check_rows(route, signal, rows)
        if signal.rows is not RowPromise.ANY and not rows:
            reason = f"no row, and `rows: {signal.rows.value}` promises at least one"
            return Reading(host=host, signal=name, observed_at=now, status=ReadingStatus.FAILED, reason=reason)
        return Reading(host=host, signal=name, observed_at=now, status=ReadingStatus.OK, rows=rows)

    def _row(self, route: Route, signal: Signal, raw: Mapping[str, object]) -> Row:
        row: dict[str, Value] = dict.fromkeys(signal.columns)
        for column, value in raw.items():
            if not self._known([*route, column], column, signal.columns, "column"):
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
            key = tuple(row[column] for column in signal.key)
            if signal.key and key in seen:
                self._document.add([*route, index], "another row of this host has the same key")
            seen.add(key)

    def _expect(self, index: int, raw: Mapping[str, Any]) -> dict[str, Verdict | tuple[Key, ...]]:
        expect: dict[str, Verdict | tuple[Key, ...]] = {}
        for name, given in raw["expect"].items():
            route = [index, "expect", name]
            if not self._known(route, name, raw["hosts"], "host"):
                continue
            expect[name] = self._expected(route, given)
        for name in raw["hosts"]:
            if name not in raw["expect"]:
                self._document.add([index, "expect"], f"says nothing of host `{name}`", "expect every host")
        return expect

    def _expected(self, route: Route, given: Any) -> Verdict | tuple[Key, ...]:
        signal = self._signals[self._rule.signal]
        if isinstance(given, str):
            if signal.key and given == Verdict.MATCH.value:
                keys = ", ".join(f"{column}: …" for column in signal.key)
                self._document.add(route, "must say which rows match", f"write {{match: [{{{keys}}}]}}")
            return Verdict(given)
        if not signal.key:
            self._document.add(route, f"the signal {signal.name} has one row per host and no key", "write match")
            return Verdict.MATCH
        found = [self._key([*route, "match", at], signal, raw) for at, raw in enumerate(given["match"])]
        return tuple(sorted(found, key=str))

    def _key(self, route: Route, signal: Signal, raw: Mapping[str, object]) -> Key:
        for given in raw:
            self._known([*route, given], given, dict.fromkeys(signal.key), "key column")
        values: list[tuple[str, Value]] = []
        for column in signal.key:
            if column not in raw:
                self._document.add(route, f"the key has no `{column}`", f"add `{column}:`")
                continue
            try:
                values.append((column, typed_column(signal.columns, column, raw[column])))
            except ValueError as exc:
                self._document.add([*route, column], str(exc))
        return tuple(values)
