"""
Cases of scripts: what a fix does, or what a collector reads, on a machine made up for it.

Those of a fix stand in the tests.yaml of its rule, beside the cases of the condition;
those of a collector in a tests.yaml beside its signal.yaml.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from remedy.cage import EntryKind, Prepared
from remedy.errors import Place, Problem
from remedy.limits import parse_duration
from remedy.load.document import Document, Route
from remedy.load.schema import Shape, sound_entries
from remedy.load.typed import case_param, typed_column
from remedy.model import Params, ParamValue, Platform, Row, Rule, Script, Signal, Value
from remedy.port import FixEnding
from remedy.text import nearest

__all__ = [
    "CollectCase",
    "ExpectedFile",
    "FileState",
    "FixCase",
    "Machine",
    "load_collect_cases",
    "load_fix_cases",
]

_SIZE = re.compile(r"([0-9]+) ?(B|KiB|MiB)")
_UNITS: Mapping[str, int] = {"B": 1, "KiB": 1024, "MiB": 1024**2}
_SIZE_MAX = 64 * 1024**2
_SIZES_MAX = 100 * 1024**2
_PROGRAM_PLACES = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/dev")
_MADE_PLACES = ("/dev", "/.host")
_SHARED_MEMORY = "/dev/shm/"  # noqa: S108 - of the cage.


class FileState:
    """The words that a case may expect of a file instead of saying what it is."""

    GONE = "gone"
    SAME = "same"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFile:
    """
    What a case expects at a path.

    `state` is one of FileState, or '' when the rest says what it is now: what is None
    is not looked at, and `contains` has parts of its text.
    """

    state: str = ""
    text: bytes | None = None
    contains: tuple[str, ...] = ()
    link: str | None = None
    mode: int | None = None
    is_folder: bool | None = None
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The made-up machine of a case; see `remedy.cage.CageJob`."""

    files: tuple[Prepared, ...] = ()
    volumes: Mapping[str, int] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FixCase:
    """
    A case of a fix: for this row and these parameters it ends so, says this, and changes exactly this.

    `runs` is 2 where it must be idempotent. `exit_code` counts where `ending` is finished.
    """

    name: str
    owner: str
    platform: Platform
    script: Script
    row: Row
    params: Params
    machine: Machine
    runs: int
    ending: FixEnding
    exit_code: int
    output: tuple[str, ...]
    files: Mapping[str, ExpectedFile]
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectCase:
    """
    A case of a collector: exactly these rows, or why there are none; and the files it may change.

    One of `rows`, `failed` and `not_applicable` is not None; of a reason it is a part.
    """

    name: str
    owner: str
    platform: Platform
    script: Script
    signal: Signal
    params: Params
    machine: Machine
    rows: tuple[Row, ...] | None = None
    failed: str | None = None
    not_applicable: str | None = None
    files: Mapping[str, ExpectedFile]
    place: Place


def load_fix_cases(
    document: Document, signals: Mapping[str, Signal], rule: Rule, shape: Shape | None = None
) -> tuple[FixCase, ...]:
    """
    Return the cases of a rule's fix in its tests.yaml whose form is right; what else is wrong goes to its problems.

    With a `shape`, the form of the others is wrong; without, that of none.
    Entries of other kinds are passed over, but for those of collectors, which are a mistake here.
    """
    reader = _Reader(document, rule.params)
    cases = []
    for index, raw in sound_entries(document, shape):
        if "collect" in raw:
            cure = f"move it to signals/{rule.signal}/tests.yaml"
            document.add([index, "collect"], "a case of a collector stands beside its signal.yaml", cure)
        if "fix" in raw:
            case = _fix_case(reader, index, raw, signals[rule.signal], rule)
            cases += [] if case is None else [case]
    _refuse_same_names(document, "fix", shape)
    return tuple(cases)


def load_collect_cases(document: Document, signal: Signal, shape: Shape | None = None) -> tuple[CollectCase, ...]:
    """Return the cases of a signal's collectors in its tests.yaml, whose form is right."""
    reader = _Reader(document, signal.params)
    cases = []
    for index, raw in sound_entries(document, shape):
        if "collect" not in raw:
            kind = "fix" if "fix" in raw else "case"
            document.add([index, kind], "stands beside a rule.yaml", "move it to the tests.yaml of a rule")
            continue
        case = _collect_case(reader, index, raw, signal)
        cases += [] if case is None else [case]
    _refuse_same_names(document, "collect", shape)
    return tuple(cases)


def _fix_case(reader: "_Reader", index: int, raw: Mapping[str, Any], signal: Signal, rule: Rule) -> FixCase | None:
    script = reader.script(index, raw, rule.fix, "fix", f"rule {rule.name}")
    expect: Mapping[str, Any] = raw["expect"]
    ending = FixEnding(expect.get("ending", FixEnding.FINISHED.value))
    if ending is not FixEnding.FINISHED and "exit_code" in expect:
        reader.add([index, "expect", "exit_code"], f"there is none when it ends as {ending.value}", "remove it")
    row = reader.row([index, "row"], raw.get("row", {}), signal)
    params = reader.params(index, raw)
    machine = reader.machine(index, raw)
    files = reader.expected_files(index, expect.get("files", {}))
    if script is None:
        return None
    return FixCase(
        name=raw["fix"],
        owner=rule.name,
        platform=Platform(raw.get("platform", Platform.LINUX.value)),
        script=script,
        row=row,
        params=params,
        machine=machine,
        # One that never came to its end has nothing to be idempotent about.
        runs=2 if raw.get("idempotent", True) and ending is FixEnding.FINISHED else 1,
        ending=ending,
        exit_code=int(expect.get("exit_code", 0)),
        output=tuple(expect.get("output", ())),
        files=files,
        place=reader.place(index),
    )


def _collect_case(reader: "_Reader", index: int, raw: Mapping[str, Any], signal: Signal) -> CollectCase | None:
    script = reader.script(index, raw, signal.collect, "collector", f"signal {signal.name}")
    expect: Mapping[str, Any] = raw["expect"]
    said = [form for form in ("rows", "failed", "not_applicable") if form in expect]
    if not said:
        reader.add([index, "expect"], "does not say what is read", "add rows, failed or not_applicable")
    for other in said[1:]:
        reader.add([index, "expect", other], f"cannot stand beside {said[0]}", "keep one of them")
    rows = None
    if "rows" in expect:
        rows = tuple(
            reader.row([index, "expect", "rows", number], row, signal) for number, row in enumerate(expect["rows"])
        )
    params = reader.params(index, raw)
    machine = reader.machine(index, raw)
    files = reader.expected_files(index, expect.get("files", {}))
    if script is None:
        return None
    return CollectCase(
        name=raw["collect"],
        owner=signal.name,
        platform=Platform(raw.get("platform", Platform.LINUX.value)),
        script=script,
        signal=signal,
        params=params,
        machine=machine,
        rows=rows,
        failed=expect.get("failed"),
        not_applicable=expect.get("not_applicable"),
        files=files,
        place=reader.place(index),
    )


def _refuse_same_names(document: Document, kind: str, shape: Shape | None) -> None:
    seen: dict[str, int] = {}
    for index, raw in sound_entries(document, shape):
        name = raw.get(kind)
        if name is None:
            continue
        if name in seen:
            first = document.place([seen[name], kind])
            document.add([index, kind], f"another case has this name, at line {first.line}", "rename one of them")
        seen.setdefault(name, index)


class _Reader:
    """Reads what cases of fixes and of collectors have in common; problems go to the file's document."""

    def __init__(self, document: Document, defaults: Params) -> None:
        self._document = document
        self._defaults = defaults

    def place(self, index: int) -> Place:
        """Return where a case stands."""
        return self._document.place([index])

    def add(self, route: Route, message: str, cure: str = "") -> None:
        """Add a problem."""
        self._document.add(route, message, cure)

    def script(
        self, index: int, raw: Mapping[str, Any], scripts: Mapping[Platform, Script], kind: str, owner: str
    ) -> Script | None:
        """Return the script that a case is about."""
        platform = Platform(raw.get("platform", Platform.LINUX.value))
        found = scripts.get(platform)
        if found is None:
            self.add([index, "platform"], f"the {owner} has no {kind} for {platform.value}")
        return found

    def row(self, route: Route, raw: Mapping[str, object], signal: Signal) -> Row:
        """Return a row of a signal; columns that are left out are null."""
        row: dict[str, Value] = dict.fromkeys(signal.columns)
        for column, value in raw.items():
            if self._knows([*route, column], column, signal.columns, "column"):
                try:
                    row[column] = typed_column(signal.columns, column, value)
                except ValueError as exc:
                    self.add([*route, column], str(exc))
        return row

    def params(self, index: int, raw: Mapping[str, Any]) -> Params:
        """Return the parameters: the defaults, and what the case says otherwise."""
        params: dict[str, ParamValue] = dict(self._defaults)
        for name, value in raw.get("params", {}).items():
            route: Route = [index, "params", name]
            if self._knows(route, name, self._defaults, "parameter"):
                try:
                    params[name] = case_param(self._defaults, name, value)
                except ValueError as exc:
                    self.add(route, str(exc))
        return params

    def machine(self, index: int, raw: Mapping[str, Any]) -> Machine:
        """Return the made-up machine."""
        files = [self._file([index, "files", path], path, given) for path, given in raw.get("files", {}).items()]
        volumes = {
            self._path([index, "volumes", path], path): self._size([index, "volumes", path], size)
            for path, size in raw.get("volumes", {}).items()
        }
        for path in volumes:
            if any(path == place or path.startswith(f"{place}/") for place in _PROGRAM_PLACES):
                message = "cannot be a volume: programs, or the kernel's own files, are there"
                self.add([index, "volumes", path], message, "choose a place such as /srv")
        for each in files:
            if each.path.startswith("/proc/") and each.kind is not EntryKind.FILE:
                self.add(
                    [index, "files", each.path], f"cannot be a {each.kind.value}: in /proc only files can be replaced"
                )
        if sum(each.size for each in files) > _SIZES_MAX:
            self.add([index, "files"], "holds more than 100 MiB in all", "make the files smaller")
        without = tuple(raw.get("without", ()))
        for number, name in enumerate(without):
            if name in raw.get("programs", {}) or name in raw.get("needs", ()):
                self.add([index, "without", number], f"{name} is given to the case as well", "keep one of them")
        return Machine(
            files=tuple(files),
            volumes=volumes,
            programs=dict(raw.get("programs", {})),
            needed=tuple(raw.get("needs", ())),
            without=without,
        )

    def expected_files(self, index: int, raw: Mapping[str, Any]) -> dict[str, ExpectedFile]:
        """Return what is expected of files, by path."""
        found = {}
        for path, given in raw.items():
            route: Route = [index, "expect", "files", path]
            place = self._document.place(route)
            if isinstance(given, str):
                found[self._path(route, path)] = ExpectedFile(state=given, place=place)
                continue
            text = given.get("text")
            found[self._path(route, path)] = ExpectedFile(
                text=None if text is None else text.encode("utf-8"),
                contains=tuple(given.get("contains", ())),
                link=given.get("link"),
                mode=int(given["mode"], 8) if "mode" in given else None,
                is_folder=given.get("folder"),
                place=place,
            )
        return found

    def _file(self, route: Route, path: str, given: Any) -> Prepared:
        path = self._path(route, path)
        if isinstance(given, str):
            given = {"text": given}
        kinds = [kind for kind in ("link", "folder") if kind in given]
        if kinds and (len(kinds) > 1 or "text" in given or "size" in given):
            self.add(route, f"cannot be a {kinds[0]} and something else", "keep one of them")
        kind = {"link": EntryKind.LINK, "folder": EntryKind.FOLDER}.get(kinds[0], EntryKind.FILE) if kinds else None
        text = given.get("text", "").encode("utf-8")
        if b"\0" in text:
            self.add(route, "holds a NUL character")
            text = b""
        return Prepared(
            path=path,
            kind=kind or EntryKind.FILE,
            text=text,
            size=self._size([*route, "size"], given["size"]) if "size" in given else 0,
            target=given.get("link", ""),
            mode=int(given["mode"], 8) if "mode" in given else None,
            age_s=self._age_s([*route, "age"], given["age"]) if "age" in given else 0,
        )

    def _path(self, route: Route, path: str) -> str:
        parts = PurePosixPath(path).parts
        is_plain = path == str(PurePosixPath(path)) and not path.startswith("//") and ".." not in parts
        if not is_plain:
            self._document.problems.append(
                Problem(
                    place=self._document.key_place(route),
                    message=f"'{path}' is no plain path",
                    cure="write an absolute path without . and .. and without a slash at its end",
                )
            )
        elif not path.startswith(_SHARED_MEMORY) and any(
            path == place or path.startswith(f"{place}/") for place in _MADE_PLACES
        ):
            self._document.problems.append(
                Problem(
                    place=self._document.key_place(route),
                    message=f"{path} is made by the kernel or by the cage itself, and cannot be prepared",
                )
            )
        return path

    def _size(self, route: Route, raw: object) -> int:
        if isinstance(raw, int):
            return raw
        found = _SIZE.fullmatch(str(raw))
        size = int(found[1]) * _UNITS[found[2]] if found else 0
        if size > _SIZE_MAX:
            self.add(route, f"{raw} is more than 64 MiB", "write less")
        return min(size, _SIZE_MAX)

    def _age_s(self, route: Route, raw: str) -> int:
        try:
            return parse_duration(raw)
        except ValueError as exc:
            self.add(route, str(exc))
            return 0

    def _knows(self, route: Route, name: str, known: Mapping[str, object], kind: str) -> bool:
        if name in known:
            return True
        near = nearest(name, known, most=1)
        cure = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(known)) or 'none'}"
        place = self._document.key_place(route)
        self._document.problems.append(Problem(place=place, message=f"unknown {kind} `{name}`", cure=cure))
        return False
