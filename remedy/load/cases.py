"""
Cases of a rule (tests.yaml): hosts, readings, a clock, and the complete expected verdicts.

An entry of the file with the key `case` is read here. One with `fix` is a case of
the fix and is read elsewhere, from the same document.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from remedy.errors import FilesError, Place, Problem
from remedy.load.beneath import read_file
from remedy.load.case_readings import ReadingReader, case_time, known_name
from remedy.load.document import Document, Route, survey_document
from remedy.load.repository import Repository
from remedy.load.schema import Shape, check_parts, sound_entries
from remedy.load.typed import case_param, typed_column
from remedy.load.yaml_events import RULES_LIMITS
from remedy.model import Hold, Host, Key, Mode, Params, ParamValue, Platform, Reading, Rule, Value

__all__ = ["Case", "Expected", "ExpectedVerdict", "cases_of", "load_cases", "read_tests", "survey_tests"]


class ExpectedVerdict(StrEnum):
    """What a case may expect of a host: a verdict, or that the rule's hosts do not name it."""

    MATCH = "match"
    HEALTHY = "healthy"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not_applicable"
    NOT_SELECTED = "not_selected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """
    What a case expects of one host.

    `match` are the keys of exactly the rows that match, in the order of their
    texts (of a signal without a key: one empty key); `unknown` those of the rows
    that are unknown, None when nothing is said of them. `reason` is a part of the
    reason, '' when nothing is said of it.
    """

    verdict: ExpectedVerdict
    match: tuple[Key, ...] = ()
    unknown: tuple[Key, ...] | None = ()
    reason: str = ""
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    One case: at `now` (UTC) these hosts have these readings, and the rule says `expect` of every host.

    Nothing is expected of hosts that are `ignored`. What is None is not looked
    at; otherwise `held` has each row that is held back with its hold, `waves` the
    hosts of each wave, and `fixed` the rows that would prove a fix: complete, by
    host. `mode` stands in for the rule's own.
    """

    name: str
    now: datetime
    hosts: tuple[Host, ...]
    readings: tuple[Reading, ...]
    expect: Mapping[str, Expected]
    place: Place
    ignored: frozenset[str] = frozenset()
    mode: Mode | None = None
    held: Mapping[str, Mapping[Key, Hold] | Hold] | None = None
    waves: tuple[frozenset[str], ...] | None = None
    fixed: Mapping[str, frozenset[Key]] | None = None
    held_place: Place
    waves_place: Place
    fixed_place: Place


def load_cases(path: Path, repository: Repository, rule: Rule) -> tuple[Case, ...]:
    """
    Return the cases of a rule's tests.yaml.

    Raises:
        FilesError: its problems, together; a missing file is one.
    """
    document, shape = survey_tests(path)
    cases = cases_of(document, repository, rule, shape)
    if document.problems:
        raise FilesError(document.problems)
    return cases


def read_tests(path: Path) -> tuple[Document, bool]:
    """
    Return a tests.yaml as read, and whether its form is right; if not, its problems say what is wrong.

    Raises:
        FilesError: it is not there, or no YAML that could be read.
    """
    document, shape = survey_tests(path)
    return document, shape.whole


def survey_tests(path: Path) -> tuple[Document, Shape]:
    """
    Return a tests.yaml as read, and which of its cases have the right form; its problems say what is wrong with others.

    Raises:
        FilesError: it is not there, or no YAML that could be read.
    """
    try:
        raw = read_file(path, bytes_max=RULES_LIMITS.bytes_max)
    except FileNotFoundError:
        raise FilesError([Problem(place=Place(file=str(path)), message="there is no such file")]) from None
    except ValueError as exc:
        raise FilesError([Problem(place=Place(file=str(path)), message=str(exc))]) from exc
    document, problems = survey_document(raw, file=str(path))
    if document is None:
        raise FilesError(problems)
    return document, check_parts(document, "tests")


def cases_of(document: Document, repository: Repository, rule: Rule, shape: Shape | None = None) -> tuple[Case, ...]:
    """Return the cases of a document whose form is right (all, or by its shape); what is wrong goes to its problems."""
    reader = _CaseReader(document, repository, rule)
    cases = [(index, reader.case(index, raw)) for index, raw in sound_entries(document, shape) if "case" in raw]
    _refuse_same_names(document, cases)
    return tuple(case for _, case in cases)


def _refuse_same_names(document: Document, cases: list[tuple[int, Case]]) -> None:
    seen: dict[str, int] = {}
    for index, case in cases:
        if case.name in seen:
            first = document.place([seen[case.name], "case"])
            document.add([index, "case"], f"another case has this name, at line {first.line}", "rename one of them")
        seen.setdefault(case.name, index)


class _CaseReader:
    """Reads cases of one file; problems go to its document."""

    def __init__(self, document: Document, repository: Repository, rule: Rule) -> None:
        self._document = document
        self._rule = rule
        self._signal = repository.signals[rule.signal]
        self._readings = ReadingReader(document, repository.signals)
        self._repository = repository
        self._owners: Mapping[str, Params] | None = None

    @property
    def _params(self) -> Mapping[str, Params]:
        """The parameters of every rule and signal; most cases need none, and there may be many."""
        if self._owners is None:
            of_rules = {name: one.params for name, one in self._repository.rules.items()}
            of_signals = {name: one.params for name, one in self._repository.signals.items()}
            self._owners = {**of_rules, **of_signals}
        return self._owners

    def case(self, index: int, raw: Mapping[str, Any]) -> Case:
        """Return the case at that place of the list."""
        now = case_time(self._document, [index, "now"], raw["now"])
        hosts = [self._host([index, "hosts", name], name, one) for name, one in raw["hosts"].items()]
        readings = [
            reading
            for name, one in raw["hosts"].items()
            for signal, given in one.get("readings", {}).items()
            if (reading := self._readings.reading([index, "hosts", name, "readings", signal], name, signal, given, now))
        ]
        ignored = self._ignored(index, raw)
        place = self._document.place([index])
        return Case(
            name=raw["case"],
            now=now,
            hosts=tuple(sorted(hosts, key=lambda host: host.name)),
            readings=tuple(readings),
            expect=self._expect(index, raw, ignored),
            place=place,
            ignored=ignored,
            mode=Mode(raw["mode"]) if "mode" in raw else None,
            held=self._held(index, raw),
            waves=self._waves(index, raw),
            fixed=self._fixed(index, raw),
            held_place=self._document.key_place([index, "held"]),
            waves_place=self._document.key_place([index, "waves"]),
            fixed_place=self._document.key_place([index, "fixed"]),
        )

    def _host(self, route: Route, name: str, raw: Mapping[str, Any]) -> Host:
        params: dict[str, dict[str, ParamValue]] = {}
        for owner, given in raw.get("params", {}).items():
            at = [*route, "params", owner]
            if not known_name(self._document, at, owner, self._params, "rule or signal"):
                continue
            for param, value in given.items():
                if not known_name(self._document, [*at, param], param, self._params[owner], "parameter"):
                    continue
                try:
                    params.setdefault(owner, {})[param] = case_param(self._params[owner], param, value)
                except ValueError as exc:
                    self._document.add([*at, param], str(exc))
        return Host(
            name=name,
            platform=Platform(raw.get("platform", Platform.LINUX.value)),
            groups=tuple(sorted(set(raw.get("groups", [])) - {"all", "ungrouped"})),
            params=params,
        )

    def _ignored(self, index: int, raw: Mapping[str, Any]) -> frozenset[str]:
        for at, name in enumerate(raw.get("ignored", [])):
            route: Route = [index, "ignored", at]
            if known_name(self._document, route, name, raw["hosts"], "host") and name in raw["expect"]:
                self._document.add(route, f"host `{name}` is expected as well", "remove it from one of the two")
        return frozenset(raw.get("ignored", []))

    def _expect(self, index: int, raw: Mapping[str, Any], ignored: frozenset[str]) -> dict[str, Expected]:
        expect: dict[str, Expected] = {}
        for name, given in raw["expect"].items():
            route: Route = [index, "expect", name]
            if known_name(self._document, route, name, raw["hosts"], "host"):
                expect[name] = self._expected(route, given)
        for name in raw["hosts"]:
            if name not in raw["expect"] and name not in ignored:
                cure = "expect every host, or list it under `ignored:`"
                self._document.add([index, "expect"], f"says nothing of host `{name}`", cure)
        return expect

    def _expected(self, route: Route, given: Any) -> Expected:
        place = self._document.key_place(route)
        if isinstance(given, str):
            return self._expected_word(route, ExpectedVerdict(given), place)
        if "not_applicable" in given:
            for other in sorted(set(given) - {"not_applicable"}):
                self._document.add([*route, other], "cannot stand beside not_applicable", "keep one of them")
            verdict = ExpectedVerdict.NOT_APPLICABLE
            return Expected(verdict=verdict, reason=given["not_applicable"], place=place)
        match = self._keys([*route, "match"], given["match"]) if "match" in given else ()
        unknown = given.get("unknown", [])
        verdict = ExpectedVerdict.MATCH if "match" in given else ExpectedVerdict.UNKNOWN
        if isinstance(unknown, list):
            rows = self._keys([*route, "unknown"], unknown) if unknown else ()
            return Expected(verdict=verdict, match=match, unknown=rows, place=place)
        if "match" in given:
            cure = f"write unknown: {self._key_form()}"
            self._document.add([*route, "unknown"], "a match may have rows beside it that are unknown, no reason", cure)
        return Expected(verdict=verdict, match=match, unknown=None, reason=unknown, place=place)

    def _expected_word(self, route: Route, verdict: ExpectedVerdict, place: Place) -> Expected:
        if verdict is ExpectedVerdict.UNKNOWN:
            return Expected(verdict=verdict, unknown=None, place=place)
        if verdict is not ExpectedVerdict.MATCH:
            return Expected(verdict=verdict, place=place)
        if self._signal.key:
            self._document.add(route, "must say which rows match", f"write {{match: {self._key_form()}}}")
        return Expected(verdict=verdict, match=((),), place=place)

    def _key_form(self) -> str:
        return f"[{{{', '.join(f'{column}: …' for column in self._signal.key)}}}]"

    def _keys(self, route: Route, given: list[Mapping[str, object]]) -> tuple[Key, ...]:
        """Return the keys of rows, in the order of their texts."""
        if not self._signal.key:
            message = f"the signal {self._signal.name} has one row per host and no key"
            self._document.add(route, message, f"write {route[-1]}" if route[-1] in ("match", "unknown") else "")
            return ()
        found: list[Key] = []
        for at, raw in enumerate(given):
            key = self._key([*route, at], raw)
            if key in found:
                self._document.add([*route, at], "the same key stands here twice", "remove one of them")
            found.append(key)
        return tuple(sorted(found, key=str))

    def _key(self, route: Route, raw: Mapping[str, object]) -> Key:
        signal = self._signal
        columns = dict.fromkeys(signal.key)
        are_known = [known_name(self._document, [*route, given], given, columns, "key column") for given in raw]
        values: list[tuple[str, Value]] = []
        for column in signal.key:
            if column not in raw:
                if all(are_known):  # Else it is rather the one that was mistyped.
                    self._document.add(route, f"the key has no `{column}`", f"add `{column}:`")
                continue
            try:
                values.append((column, typed_column(signal.columns, column, raw[column])))
            except ValueError as exc:
                self._document.add([*route, column], str(exc))
        return tuple(values)

    def _held(self, index: int, raw: Mapping[str, Any]) -> Mapping[str, Mapping[Key, Hold] | Hold] | None:
        if "held" not in raw:
            return None
        held: dict[str, Mapping[Key, Hold] | Hold] = {}
        for name, given in raw["held"].items():
            route: Route = [index, "held", name]
            if not known_name(self._document, route, name, raw["hosts"], "host"):
                continue
            if isinstance(given, str):
                held[name] = Hold(given)
                continue
            by_key: dict[Key, Hold] = {}
            for hold, keys in given.items():
                for key in self._keys([*route, hold], keys):
                    if key in by_key:
                        self._document.add([*route, hold], "a row has two holds", "keep one of them")
                    by_key[key] = Hold(hold)
            held[name] = by_key
        return held

    def _waves(self, index: int, raw: Mapping[str, Any]) -> tuple[frozenset[str], ...] | None:
        if "waves" not in raw:
            return None
        seen: set[str] = set()
        for number, wave in enumerate(raw["waves"]):
            for at, name in enumerate(wave):
                route: Route = [index, "waves", number, at]
                if known_name(self._document, route, name, raw["hosts"], "host") and name in seen:
                    self._document.add(route, f"host `{name}` is in two waves", "keep it in one of them")
                seen.add(name)
        return tuple(frozenset(wave) for wave in raw["waves"])

    def _fixed(self, index: int, raw: Mapping[str, Any]) -> Mapping[str, frozenset[Key]] | None:
        if "fixed" not in raw:
            return None
        fixed: dict[str, frozenset[Key]] = {}
        for name, given in raw["fixed"].items():
            route: Route = [index, "fixed", name]
            if not known_name(self._document, route, name, raw["hosts"], "host"):
                continue
            if isinstance(given, list):
                fixed[name] = frozenset(self._keys(route, given))
                continue
            if self._signal.key:
                self._document.add(route, "must say which rows", f"write {self._key_form()}")
            fixed[name] = frozenset([()] if given else [])
        return fixed
