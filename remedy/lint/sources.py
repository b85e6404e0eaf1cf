"""Scripts to lint: found in folders of rules, with what their rule or signal knows, or as files of their own."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from remedy.errors import UsageError
from remedy.lint.finding import Gap, Language, Subject
from remedy.lint.named import RULES_FILES, NamedScripts, read_rules, rules_root
from remedy.lint.shebang import has_shebang, language_of
from remedy.load.beneath import read_file
from remedy.load.scripts import SCRIPT_BYTES_MAX

__all__ = ["Found", "find_scripts"]

_SUFFIXES = {".sh", ".bash", ".ps1", ".psm1"}
_BEGIN_BYTES = 16
_FILES_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Scripts to lint, each once, those that cannot be looked at as they should, and files that are none."""

    subjects: tuple[Subject, ...]
    gaps: tuple[Gap, ...]
    no_scripts: tuple[str, ...] = ()


def find_scripts(paths: Sequence[Path]) -> Found:
    """
    Return the scripts of folders and files, in the order of their names.

    Of a folder: every `.sh`, `.bash` and `.ps1` in it, and what the rules and signals
    in it name besides. Each script is looked up in the rule or signal in whose folder
    it lies, wherever that is, so that its names are known. A file that is named and
    is no script is passed over.

    Raises:
        UsageError: there is no such file or folder.
    """
    search = _Search()
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no '{path}'; name a folder of rules, or a script")
        if path.is_dir():
            search.add_folder(path)
        else:
            search.add_file(path)
    return search.found()


class _Search:
    """Gathers scripts, each once, and reads each folder of rules once."""

    def __init__(self) -> None:
        self._subjects: dict[Path, Subject] = {}
        self._gaps: set[Gap] = set()
        self._no_scripts: dict[Path, str] = {}
        self._broken_told: set[Path] = set()
        self._rules: dict[Path, NamedScripts] = {}
        self._rules_of = cache(rules_root)

    def found(self) -> Found:
        """Return all, sorted by name."""
        return Found(
            subjects=tuple(sorted(self._subjects.values(), key=lambda subject: subject.file)),
            gaps=tuple(sorted(self._gaps)),
            no_scripts=tuple(sorted(self._no_scripts.values())),
        )

    def add_folder(self, path: Path) -> None:
        """Add the scripts that lie in a folder."""
        top = path.resolve()
        seen = {self._rules_of(top)}
        for file in self._walk(path):
            seen.add(self._rules_of(file.resolve().parent))
            if file.suffix.casefold() in _SUFFIXES:
                self._add(file)
        for root in filter(None, seen):
            scripts = self._scripts_of(root)
            for real, subject in scripts.by_path.items():
                if real.is_relative_to(top):
                    self._subjects.setdefault(real, replace(subject, file=str(path / real.relative_to(top))))
            for folder in scripts.broken - self._broken_told:
                if folder.is_relative_to(top):
                    self._add_broken(path / folder.relative_to(top), folder, "nobody knows its scripts")

    def add_file(self, path: Path) -> None:
        """Add a file, if it is a script."""
        real = path.resolve()
        known = self._known(real)
        if real in known.by_path or _is_script(path):
            self._add(path)
        elif not path.suffix and (folder := known.broken_above(real)):
            self._add_broken(path, folder, "nobody knows whether it is a script")
        else:
            self._no_scripts.setdefault(real, str(path))

    def _add_broken(self, file: Path, folder: Path, what: str) -> None:
        self._broken_told.add(folder)
        why = f"the rule or signal has problems, so {what}"
        self._gaps.add(Gap(file=str(file), what=why, cure="run `remedy validate` first"))

    def _known(self, real: Path) -> NamedScripts:
        """Return what is known of the rules among which a file lies."""
        root = self._rules_of(real.parent)
        return self._scripts_of(root) if root is not None else NamedScripts(by_path={}, broken=frozenset())

    def _scripts_of(self, root: Path) -> NamedScripts:
        if root not in self._rules:
            self._rules[root] = read_rules(root)
        return self._rules[root]

    def _add(self, file: Path) -> None:
        real = file.resolve()
        if real in self._subjects:
            return
        known = self._known(real)
        if real in known.by_path:
            self._subjects[real] = replace(known.by_path[real], file=str(file))
            return
        try:
            body = read_file(file, bytes_max=SCRIPT_BYTES_MAX)
        except ValueError as exc:
            self._gaps.add(Gap(file=str(file), what=str(exc)))
            return
        if folder := known.broken_above(real):
            self._add_broken(file, folder, "nobody knows which names exist for it")
        self._subjects[real] = _of_nobody(file, body)

    def _walk(self, path: Path) -> Iterator[Path]:
        """Yield what makes a folder of rules, and scripts that their name gives away; links are left out."""
        count = 0
        waiting = [path]
        while waiting:
            folder = waiting.pop()
            try:
                folders, files = _entries(folder)
            except OSError as exc:
                self._gaps.add(Gap(file=str(folder), what=f"cannot be read: {(exc.strerror or str(exc)).lower()}"))
                continue
            waiting.extend(folders)
            count += len(files)
            if count > _FILES_MAX:
                raise UsageError(f"{path} holds more than {_FILES_MAX} scripts; name the folders one by one")
            yield from files


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders in a folder, and the files that tell of scripts."""
    entries = [entry for entry in sorted(folder.iterdir()) if not (entry.name.startswith(".") or entry.is_symlink())]
    folders = [entry for entry in entries if entry.is_dir()]
    named = (entry for entry in entries if entry.suffix.casefold() in _SUFFIXES or entry.name in RULES_FILES)
    return folders, [entry for entry in named if not entry.is_dir()]


def _is_script(file: Path) -> bool:
    """Say whether a file is a script by its suffix or shebang; what cannot be read may be one, and reading it says."""
    if file.suffix.casefold() in (*_SUFFIXES, ".py") or not file.is_file():
        return True
    try:
        with file.open("rb") as opened:
            return has_shebang(opened.read(_BEGIN_BYTES))
    except OSError:
        return True


def _of_nobody(file: Path, body: bytes) -> Subject:
    is_windows = file.suffix.casefold() in (".ps1", ".psm1") and not re.match(rb"#![^\n]*pwsh", body)
    return Subject(
        file=str(file), body=body, language=_language_of_file(file, body, is_windows=is_windows), is_windows=is_windows
    )


def _language_of_file(file: Path, body: bytes, *, is_windows: bool) -> Language:
    if file.suffix.casefold() == ".bash" and not body.startswith(b"#!"):
        return Language.BASH
    if file.suffix.casefold() == ".py":
        return Language.PYTHON
    return language_of(body, is_windows=is_windows)
