"""A rules repository: every rule and signal below one folder, all problems together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType

from remedy.errors import FilesError, Place, Problem
from remedy.load.beneath import read_beneath
from remedy.load.document import Document, survey_document
from remedy.load.rules import load_rule, signals_of
from remedy.load.signals import load_signal
from remedy.load.yaml_events import RULES_LIMITS
from remedy.model import Rule, Signal

__all__ = ["Repository", "Survey", "ended_exemptions", "load_repository", "starter_rules", "survey_repository"]

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_FOLDERS_MAX = 10_000
_PLACES: Mapping[str, str] = {
    "rule": "a rule is a folder with a rule.yaml in it, right below the rules folder",
    "signal": "a signal is a folder with a signal.yaml in it, right below signals/",
    "tests": "the cases of a rule are its tests.yaml, beside its rule.yaml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """The rules and signals of one folder, by name, in the order of their names."""

    rules: Mapping[str, Rule]
    signals: Mapping[str, Signal]
    root: str
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """
    All that could be read below one folder, and what is wrong with the rest.

    `repository` has only what is whole; `rules_found` and `signals_found` are the
    names of all that have a file, whole or not. `documents` are the files of the
    rules that are whole, by the rule's name; `signals_of` are the signals that
    each rule names, by the names of all rules whose file could be read.
    """

    repository: Repository
    problems: tuple[Problem, ...]
    rules_found: frozenset[str]
    signals_found: frozenset[str]
    documents: Mapping[str, Document]
    signals_of: Mapping[str, frozenset[str]]


def load_repository(root: Path, *, today: date | None = None) -> Repository:
    """
    Return all rules and signals below root.

    With `today` (UTC), an exemption whose last day is over becomes a warning.

    Raises:
        FilesError: the problems of all files, together.
    """
    survey = survey_repository(root, today=today)
    if survey.problems:
        raise FilesError(survey.problems)
    return survey.repository


def survey_repository(root: Path, *, today: date | None = None) -> Survey:
    """Return what is whole below root together with every problem, so that the whole can be checked further."""
    loader = _Loader(root=root)
    rules, signals = loader.load()
    if today is not None:
        loader.warnings.extend(ended_exemptions(rules, today=today))
    return Survey(
        repository=Repository(
            rules=MappingProxyType(rules),
            signals=MappingProxyType(signals),
            root=str(root),
            warnings=tuple(sorted(set(loader.warnings))),
        ),
        problems=tuple(loader.problems),
        rules_found=frozenset(loader.rules_found),
        signals_found=frozenset(loader.signals_found),
        documents=MappingProxyType(loader.documents),
        signals_of=MappingProxyType(loader.signals_of),
    )


def starter_rules() -> Path:
    """Return the folder of the starter rules: in a wheel beside this package, in a checkout above it."""
    package = Path(__file__).resolve().parent.parent
    in_wheel = package / "starter_rules"
    return in_wheel if in_wheel.is_dir() else package.parent / "rules"


class _Loader:
    """Goes through one repository and keeps what is wrong with it."""

    def __init__(self, *, root: Path) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.rules_found: set[str] = set()
        self.signals_found: set[str] = set()
        self.documents: dict[str, Document] = {}
        self.signals_of: dict[str, frozenset[str]] = {}
        self._root = root
        self._misnamed = False

    def load(self) -> tuple[dict[str, Rule], dict[str, Signal]]:
        """Return rules and signals that are whole; what is wrong is in `problems`."""
        if not self._root.is_dir():
            self._add(self._root, "there is no such folder", "name the rules folder with --rules")
            return {}, {}
        signals: dict[str, Signal] = {}
        broken = set()
        signal_names = self._folders(self._root / "signals") if (self._root / "signals").exists() else []
        for name in signal_names:
            signal = self._signal(name)
            if signal is None:
                broken.add(name)
            else:
                signals[name] = signal
        rules: dict[str, Rule] = {}
        rule_names = [name for name in self._folders(self._root) if name != "signals"]
        for name in rule_names:
            rule = self._rule(name, signals, broken)
            if rule is not None:
                rules[name] = rule
        if not self.rules_found and not self._misnamed:
            self._add(self._root, "holds no rule", "a rule is a folder with a rule.yaml in it")
        self._warn_of_unread(self._root, ())
        self._refuse_shared_names(rule_names, signal_names)
        return rules, signals

    def _add(self, path: Path, message: str, cure: str = "") -> None:
        self.problems.append(Problem(place=Place(file=str(path)), message=message, cure=cure))

    def _folders(self, parent: Path) -> list[str]:
        """Return the names of the folders in parent, sorted; hidden ones and files are none of ours."""
        if parent.is_symlink() and parent != self._root:
            self._add(parent, "is a link, and links are not followed", "put the folder itself here")
            return []
        if not parent.is_dir():
            self._add(parent, "is no folder")
            return []
        names = []
        for entry in sorted(parent.iterdir(), key=lambda entry: entry.name):
            if entry.name.startswith((".", "__")) or not (entry.is_dir() or entry.is_symlink()):
                continue
            if entry.is_symlink():
                if entry.is_dir():
                    self._add(entry, "is a link, and links are not followed", "put the folder itself here")
                continue
            names.append(entry.name)
        if len(names) > _FOLDERS_MAX:
            self._add(parent, f"holds more than {_FOLDERS_MAX} folders")
        return names[:_FOLDERS_MAX]

    def _document(self, parts: tuple[str, ...]) -> Document | None:
        """Return the file below root, read; None when it is not there or its problems are noted."""
        path = self._root.joinpath(*parts)
        if not _NAME.fullmatch(parts[-2]):
            wanted = "lower-case letters, digits and '-', starting with a letter, at most 63"
            self._add(path.parent, f"'{parts[-2]}' cannot name a {path.stem}", f"rename the folder: {wanted}")
            return None
        try:
            raw = read_beneath(self._root, parts, bytes_max=RULES_LIMITS.bytes_max)
        except ValueError as exc:
            self._add(path, str(exc))
            return None
        document, problems = survey_document(raw, file=str(path))
        if document is None:
            self.problems.extend(problems)
        return document

    def _refuse_other_suffix(self, path: Path) -> bool:
        for other in (path.with_suffix(".yml"), path.with_suffix(".json")):
            if other.exists():
                self._add(other, "is not read by this name", f"rename it to {path.name}")
                self._misnamed = True
                return True
        return False

    def _warn_of_unread(self, folder: Path, read: tuple[str, ...]) -> None:
        """Warn of files that look like ours and are not read where they are or by their name."""
        for stem in _PLACES:
            for suffix in (".yaml", ".yml"):
                path = folder / f"{stem}{suffix}"
                if path.name in read or not path.exists():
                    continue
                if f"{stem}.yaml" not in read:
                    cure = _PLACES[stem]
                elif (folder / f"{stem}.yaml").exists():
                    cure = f"{stem}.yaml beside it is; remove one of them"
                else:
                    cure = f"rename it to {stem}.yaml"
                self.warnings.append(Problem(place=Place(file=str(path)), message="is not read", cure=cure))

    def _signal(self, name: str) -> Signal | None:
        parts = ("signals", name, "signal.yaml")
        path = self._root.joinpath(*parts)
        if not (path.exists() or path.is_symlink()):
            if not self._refuse_other_suffix(path):
                self._add(path.parent, "holds no signal.yaml", "add it, or move the folder away")
            return None
        self.signals_found.add(name)
        self._warn_of_unread(path.parent, ("signal.yaml", "tests.yaml"))
        document = self._document(parts)
        if document is None:
            return None
        signal = load_signal(document, name=name, root=self._root)
        self.problems.extend(document.problems)
        self.warnings.extend(document.warnings)
        return signal

    def _rule(self, name: str, signals: Mapping[str, Signal], broken: set[str]) -> Rule | None:
        parts = (name, "rule.yaml")
        path = self._root.joinpath(*parts)
        if not (path.exists() or path.is_symlink()):
            if not self._refuse_other_suffix(path):
                message, cure = "holds no rule.yaml and is not read", "add it, or move the folder away"
                self.warnings.append(Problem(place=Place(file=str(path.parent)), message=message, cure=cure))
            return None
        self.rules_found.add(name)
        self._warn_of_unread(path.parent, ("rule.yaml", "tests.yaml"))
        document = self._document(parts)
        if document is None:
            return None
        self.signals_of[name] = signals_of(document)
        rule = load_rule(document, name=name, root=self._root, signals=signals, broken_signals=broken)
        self.problems.extend(document.problems)
        self.warnings.extend(document.warnings)
        if rule is not None:
            self.documents[name] = document
        return rule

    def _refuse_shared_names(self, rules: list[str], signals: list[str]) -> None:
        for name in sorted(set(rules) & set(signals)):
            self._add(self._root / name, f"a rule and a signal are both named '{name}'", "rename one of them")


def ended_exemptions(rules: Mapping[str, Rule], *, today: date) -> list[Problem]:
    """Return a warning for each exemption of these rules whose last day (UTC) is over."""
    return [
        Problem(
            place=exemption.hosts_place,
            message=f"exempt[{index}]: ended on {exemption.until}, so {exemption.hosts} is no longer exempt",
            cure="remove it, or set a later day",
        )
        for rule in rules.values()
        for index, exemption in enumerate(rule.exempt)
        if exemption.until is not None and today > exemption.until
    ]
