"""Scripts to lint: found in folders of rules, with what their rule or signal knows, or as files of their own."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from remedy.errors import UsageError
from remedy.lint.finding import Gap, Language, Names, Role, Subject
from remedy.load.beneath import read_file
from remedy.load.repository import Repository, survey_repository
from remedy.load.scripts import SCRIPT_BYTES_MAX
from remedy.model import Platform, RowPromise, Rule, Script, Signal

__all__ = ["Found", "find_scripts", "language_of"]

_SUFFIXES = {".sh", ".bash", ".ps1", ".psm1"}
_INTERPRETERS = {"sh": Language.SH, "bash": Language.BASH, "python3": Language.PYTHON, "pwsh": Language.POWERSHELL}
_FILES_MAX = 20_000
_RULES_FILES = ("rule.yaml", "signal.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Scripts to lint, each once, and those that cannot be looked at as they should."""

    subjects: tuple[Subject, ...]
    gaps: tuple[Gap, ...]


def language_of(body: bytes, *, is_windows: bool) -> Language:
    """Return what reads a script on a host: PowerShell on Windows, else what the shebang says, else sh."""
    if is_windows:
        return Language.POWERSHELL
    first = body.partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return Language.SH
    words = first[2:].decode("utf-8", errors="replace").split()
    if words and words[0].rpartition("/")[2] == "env":
        words = [word for word in words[1:] if word != "-S"]
    return _INTERPRETERS.get(words[0].rpartition("/")[2], Language.SH) if words else Language.SH


def find_scripts(paths: Sequence[Path]) -> Found:
    """
    Return the scripts of folders and files, in the order of their names.

    Of a folder of rules: what its rules and signals name, and every other `.sh`,
    `.bash` and `.ps1` in it. A file is looked up in the folder of rules in which it
    lies, so that its rule's names are known.

    Raises:
        UsageError: there is no such file or folder.
    """
    subjects: dict[Path, Subject] = {}
    gaps: list[Gap] = []
    repositories: dict[Path, _Scripts] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no '{path}'; name a folder of rules, or a script")
        root = path if path.is_dir() else _rules_root(path)
        if root is not None and _is_rules_folder(root) and root not in repositories:
            repositories[root] = _scripts_of(root)
        known = repositories.get(root) if root is not None else None
        for file in _files(path):
            subject = _subject(file, known, gaps)
            if subject is not None:
                subjects.setdefault(file.resolve(), subject)
        if known is not None and path.is_dir():
            subjects.update(known.by_path)
    return Found(
        subjects=tuple(sorted(subjects.values(), key=lambda subject: subject.file)),
        gaps=tuple(sorted(set(gaps))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scripts:
    """The scripts that rules and signals of one folder name, by their real path; folders whose YAML is broken."""

    by_path: Mapping[Path, Subject]
    broken: frozenset[Path]


def _is_rules_folder(folder: Path) -> bool:
    try:
        return any(folder.glob("*/rule.yaml")) or any(folder.glob("signals/*/signal.yaml"))
    except OSError:
        return False


def _rules_root(file: Path) -> Path | None:
    """Return the folder of rules that a script of a rule or signal lies in, None for one of nobody."""
    for folder in file.absolute().parents:
        if (folder / "rule.yaml").is_file():
            return folder.parent
        if (folder / "signal.yaml").is_file() and folder.parent.name == "signals":
            return folder.parent.parent
    return None


def _scripts_of(root: Path) -> _Scripts:
    survey = survey_repository(root)
    whole = survey.repository
    by_path = {}
    for subject in _named(whole):
        file = root / subject.file
        by_path[file.resolve()] = _at(subject, str(file))
    broken = {root / name for name in survey.rules_found - whole.rules.keys()}
    broken |= {root / "signals" / name for name in survey.signals_found - whole.signals.keys()}
    return _Scripts(by_path=by_path, broken=frozenset(folder.resolve() for folder in broken))


def _at(subject: Subject, file: str) -> Subject:
    return replace(subject, file=file)


def _named(repository: Repository) -> Iterator[Subject]:
    for rule in repository.rules.values():
        for platform, script in rule.fix.items():
            yield _of(script, platform, Role.FIX, _names_of_rule(rule, repository.signals[rule.signal]))
    for signal in repository.signals.values():
        for platform, script in signal.collect.items():
            yield _of(script, platform, Role.COLLECTOR, _names_of_signal(signal))


def _of(script: Script, platform: Platform, role: Role, names: Names) -> Subject:
    is_windows = platform is Platform.WINDOWS
    return Subject(
        file=script.path,
        body=script.body,
        language=language_of(script.body, is_windows=is_windows),
        role=role,
        is_windows=is_windows,
        names=names,
    )


def _names_of_rule(rule: Rule, signal: Signal) -> Names:
    return Names(
        columns=frozenset(signal.columns),
        params=frozenset(rule.params),
        owner=f"rule {rule.name}",
        signal=f"signal {signal.name}",
    )


def _names_of_signal(signal: Signal) -> Names:
    return Names(
        columns=frozenset(signal.columns),
        params=frozenset(signal.params),
        key=signal.key,
        may_be_empty=signal.rows is RowPromise.ANY,
        owner=f"signal {signal.name}",
        signal=f"signal {signal.name}",
    )


def _files(path: Path) -> Iterator[Path]:
    """Yield a file itself; of a folder, the scripts in it that their name gives away, links left out."""
    if not path.is_dir():
        yield path
        return
    count = 0
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir():
                waiting.append(entry)
            elif entry.suffix.casefold() in _SUFFIXES:
                count += 1
                if count > _FILES_MAX:
                    raise UsageError(f"{path} holds more than {_FILES_MAX} scripts; name the folders one by one")
                yield entry


def _subject(file: Path, known: _Scripts | None, gaps: list[Gap]) -> Subject | None:
    real = file.resolve()
    if known is not None and real in known.by_path:
        return _at(known.by_path[real], str(file))
    try:
        body = read_file(file, bytes_max=SCRIPT_BYTES_MAX)
    except ValueError as exc:
        gaps.append(Gap(file=str(file), what=str(exc)))
        return None
    if known is not None and any(folder in real.parents for folder in known.broken):
        gaps.append(
            Gap(
                file=str(file),
                what="its rule or signal has problems, so nobody knows which names exist for it",
                cure="run `remedy validate` first",
            )
        )
    is_windows = file.suffix.casefold() in (".ps1", ".psm1") and not re.match(rb"#![^\n]*pwsh", body)
    return Subject(
        file=str(file), body=body, language=_language_of_file(file, body, is_windows=is_windows), is_windows=is_windows
    )


def _language_of_file(file: Path, body: bytes, *, is_windows: bool) -> Language:
    if file.suffix == ".bash" and not body.startswith(b"#!"):
        return Language.BASH
    if file.suffix == ".py":
        return Language.PYTHON
    return language_of(body, is_windows=is_windows)
