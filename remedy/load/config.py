"""Where rules, inventory and state are, and the safeguards: flags, environment, remedy.yaml, and the usual places."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from remedy.errors import FilesError, Place, Problem, RemedyError, UsageError
from remedy.load.document import Document, Route
from remedy.load.safeguards import load_safeguards, read_settings_file, status_of
from remedy.load.schema import Shape
from remedy.origins import Origin, OriginKind, Setting
from remedy.safeguards import NO_SAFEGUARDS, Safeguards
from remedy.text import nearest

__all__ = ["SYSTEM_FILE", "VARIABLES", "Config", "load_config", "mistyped_variables", "state_alone"]

SYSTEM_FILE = Path("/etc/remedy/remedy.yaml")
VARIABLES: Mapping[str, str] = {"rules": "REMEDY_RULES", "inventory": "REMEDY_INVENTORY", "state": "REMEDY_STATE"}
"""The variable of each setting that has one; remedy reads no other variable of its own."""

_NAME = "remedy.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """
    What was named, and by what: '--rules', 'REMEDY_RULES', a file, './rules'; '' where nothing was.

    `state` is None when nobody named one; where it then lies is not decided here.
    `safeguards` are those of all `safeguard_files`, the nearest remedy.yaml and the
    system's, which hold together: no file can take back what the other protects.
    `safeguard_files_absent` are places where one may still appear during a run.
    `named` is everything that names rules, inventory and state, the first that
    does in effect; `laid_down` is what the safeguard files say, key by key.
    """

    rules: Path | None
    rules_named_by: str
    inventory: str | None
    inventory_named_by: str
    state: Path | None
    state_named_by: str
    config_file: Path | None
    safeguards: Safeguards = NO_SAFEGUARDS
    safeguard_files: tuple[Path, ...] = ()
    safeguard_files_absent: tuple[Path, ...] = ()
    named: tuple[Setting, ...] = ()
    laid_down: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    file: Path
    values: Mapping[str, Any]
    safeguards: Safeguards
    laid_down: tuple[Setting, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)

    def path(self, key: str, home: Path) -> str:
        """Return the path under key, relative to the file it stands in; `~/` is the caller's home."""
        named = self.values[key]
        return str(home / named[2:] if named.startswith("~/") else self.file.parent / named)


def load_config(
    directory: Path,
    *,
    rules_flag: str | None = None,
    inventory_flag: str | None = None,
    state_flag: str | None = None,
    environment: Mapping[str, str],
    system_file: Path = SYSTEM_FILE,
    noted: list[Problem] | None = None,
) -> Config:
    """
    Return what the flags, the environment, the nearest remedy.yaml, the system's, and the usual places name.

    Each of rules, inventory and state is taken from the first that names it.
    Whether it exists is seen when it is read. Safeguards are taken from the
    nearest remedy.yaml, the system's, and those above the rules and the inventory
    together: a host is protected if any says so, the freezes of all hold, and of
    budgets the stricter. With `noted`, what is wrong with a remedy.yaml is added
    there, and counts as left out: to look for further mistakes, never to act.

    Raises:
        UsageError: a flag is empty, or a remedy.yaml above may be a stranger's.
        FilesError: a remedy.yaml is wrong, and nobody notes it.
    """
    reader = _Reader(noted)
    found = list(_settings(directory, system_file, reader))
    rules = _named("rules", rules_flag, environment, found, _usual_rules(directory))
    inventory = _named("inventory", inventory_flag, environment, found, _usual_inventory(directory))
    state = _named("state", state_flag, environment, found, ())
    (rules_path, rules_by), (inventory_path, inventory_by) = _first(rules), _first(inventory)
    state_path, state_by = _first(state)
    binding = [*found, *_binding_beside(found, rules_path, inventory_path, reader)]
    files = tuple(settings.file for settings in binding)
    return Config(
        rules=Path(rules_path) if rules_path is not None else None,
        rules_named_by=rules_by,
        inventory=inventory_path,
        inventory_named_by=inventory_by,
        state=Path(state_path) if state_path is not None else None,
        state_named_by=state_by,
        config_file=found[0].file if found else None,
        safeguards=reduce(Safeguards.joined, (settings.safeguards for settings in binding), NO_SAFEGUARDS),
        safeguard_files=files,
        safeguard_files_absent=() if system_file in files else (system_file,),
        named=(*rules, *inventory, *state),
        laid_down=tuple(setting for settings in binding for setting in settings.laid_down),
    )


def state_alone(directory: Path, *, environment: Mapping[str, str]) -> str | None:
    """
    Return the state directory that the nearest remedy.yaml names, whatever else is wrong in that file; None for none.

    For the brakes: a mistyped freeze must not keep anybody from stopping everything.
    What a stranger may have planted, or only a shell would fill in, or is no YAML at all, names nothing.
    """
    for folder in (directory, *directory.resolve().parents):
        file = folder / _NAME
        try:
            status = status_of(file)
            if status is None:
                continue
            if folder != directory:
                _refuse_strangers(file, status, directory)
            document = read_settings_file(file)
        except RemedyError:
            return None
        named = document.value(["state"])
        if document.problems or not isinstance(named, str) or not named.strip() or _unexpanded(named) is not None:
            return None
        return _Settings(file=file, values={"state": named}, safeguards=NO_SAFEGUARDS).path("state", _home(environment))
    return None


def _named(
    key: str, flag: str | None, environment: Mapping[str, str], found: Sequence[_Settings], usual: tuple[Setting, ...]
) -> tuple[Setting, ...]:
    """Return everything that names a setting, in the order of precedence: the first is in effect."""
    named: list[Setting] = []
    if flag is not None:
        if not flag.strip():
            raise UsageError(f"--{key} is empty; name a path or leave it out")
        named.append(Setting(key=key, value=flag, origin=Origin(kind=OriginKind.FLAG, name=f"--{key}")))
    variable = VARIABLES[key]
    if environment.get(variable):
        origin = Origin(kind=OriginKind.VARIABLE, name=variable)
        named.append(Setting(key=key, value=environment[variable], origin=origin))
    for settings in found:
        if key in settings.values:
            is_list = key == "inventory" and "," in settings.values[key]
            value = settings.values[key] if is_list else settings.path(key, _home(environment))
            origin = Origin(kind=OriginKind.FILE, name=str(settings.file), place=settings.places[key])
            named.append(Setting(key=key, value=value, origin=origin))
    return (*named, *usual)


def _first(named: tuple[Setting, ...]) -> tuple[str | None, str]:
    return (str(named[0].value), named[0].origin.name) if named else (None, "")


def _usual(key: str, path: Path, by: str) -> tuple[Setting, ...]:
    return (Setting(key=key, value=str(path), origin=Origin(kind=OriginKind.DEFAULT, name=by)),)


def _usual_rules(directory: Path) -> tuple[Setting, ...]:
    path = directory / "rules"
    return _usual("rules", path, "./rules") if path.is_dir() else ()


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment["HOME"]) if environment.get("HOME") else Path.home()


def _usual_inventory(directory: Path) -> tuple[Setting, ...]:
    file, folder = directory / "inventory.yaml", directory / "inventory"
    if file.is_file():
        return _usual("inventory", file, "./inventory.yaml")
    return _usual("inventory", folder, "./inventory/") if folder.is_dir() else ()


def _settings(directory: Path, system_file: Path, reader: "_Reader") -> Iterator[_Settings]:
    for folder in (directory, *directory.resolve().parents):
        status = status_of(folder / _NAME)
        if status is not None:
            if folder != directory:
                _refuse_strangers(folder / _NAME, status, directory)
            yield reader.read(folder / _NAME)
            break
    if status_of(system_file) is not None:
        yield reader.read(system_file)


def _binding_beside(
    found: Sequence[_Settings], rules: str | None, inventory: str | None, reader: "_Reader"
) -> Iterator[_Settings]:
    """
    Yield the remedy.yaml above the rules and above the inventory, where they are not among those that were found.

    Their safeguards hold wherever the caller stands: whoever wrote the rules, or
    listed the hosts, said with them what must not happen to them.
    """
    seen = {settings.file.resolve() for settings in found}
    for named in (rules, inventory):
        if named is None or not _is_there(Path(named)):
            continue
        start = Path(named).resolve()
        for folder in (start, *start.parents) if start.is_dir() else start.parents:
            file = folder / _NAME
            status = status_of(file)
            if status is None:
                continue
            if file.resolve() not in seen:
                seen.add(file.resolve())
                _refuse_strangers(file, status, start if start.is_dir() else start.parent)
                yield reader.read(file)
            break


def _is_there(path: Path) -> bool:
    """Say whether a path leads to something; what cannot even be asked for is said when it is read."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _refuse_strangers(file: Path, status: os.stat_result, directory: Path) -> None:
    """
    Refuse a remedy.yaml of a folder above that somebody else may have planted there (in /tmp, say).

    Its rules would be run with the caller's rights. It must belong to root, to the
    caller, or to whoever owns the current folder, and not be writable by all.
    """
    trusted = {0, os.geteuid(), directory.stat().st_uid}
    if status.st_uid not in trusted or status.st_mode & stat.S_IWOTH:
        raise UsageError(
            f"{file} belongs to user {status.st_uid} or is writable by all, and is not in the current folder; "
            f"if you trust it, go to {file.parent} and run remedy there"
        )


class _Reader:
    """Reads a remedy.yaml; what is wrong with one is raised, or, if somebody wants that, noted."""

    def __init__(self, noted: list[Problem] | None) -> None:
        self._noted = noted

    def read(self, file: Path) -> _Settings:
        """Return what a remedy.yaml says; of one with mistakes only the paths that are sound."""
        try:
            document = read_settings_file(file)
        except FilesError as exc:
            if self._noted is None:
                raise
            self._noted.extend(exc.problems)
            return _Settings(file=file, values={}, safeguards=NO_SAFEGUARDS)
        safeguards, shape = load_safeguards(document)
        _refuse_unexpanded(document, shape)
        raw: object = document.raw or {}
        # With a problem it may be anything, such as one word.
        values: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        if not document.problems:
            return _Settings(
                file=file,
                values=values,
                safeguards=safeguards,
                laid_down=tuple(_laid_down(document, values)),
                places={key: document.key_place([key]) for key in values},
            )
        if self._noted is None:
            raise FilesError(document.problems)
        self._noted.extend(document.problems)
        wrong = {problem.place for problem in document.problems}
        sound = {
            key: values[key]
            for key in VARIABLES
            if key in values and shape.is_sound(key) and document.place([key]) not in wrong
        }
        places = {key: document.key_place([key]) for key in sound}
        return _Settings(file=file, values=sound, safeguards=NO_SAFEGUARDS, places=places)


def _laid_down(document: Document, values: Mapping[str, Any]) -> Iterator[Setting]:
    """Yield the safeguards of a file as they stand there, key by key."""
    routes: list[tuple[str, Route]] = [("protected", ["protected"])] if "protected" in values else []
    routes += [(f"budgets.{key}", ["budgets", key]) for key in values.get("budgets", {})]
    routes += [(f"freezes[{index}]", ["freezes", index]) for index in range(len(values.get("freezes", [])))]
    for key, route in routes:
        origin = Origin(kind=OriginKind.FILE, name=document.file, place=document.key_place(route))
        yield Setting(key=key, value=document.value(route), origin=origin)


def _refuse_unexpanded(document: Document, shape: Shape) -> None:
    """Refuse what only a shell would fill in: it would name a folder called `$HOME` or `~anna`."""
    if document.value(["inventory"]) == "-":
        document.add(["inventory"], "'-' is for -i only", "name a file, a folder or hosts")
    for key in VARIABLES:
        named = document.value([key])
        found = _unexpanded(named) if isinstance(named, str) and shape.is_sound(key) else None
        if found is not None:
            document.add([key], *found)


def _unexpanded(named: str) -> tuple[str, str] | None:
    """Return message and cure of a path in which something only a shell would fill in; None when nothing is."""
    if "$" in named:
        return f"'{named}' has a $, and variables are not filled in", "write the path, or start it with ~/"
    if named.startswith("~") and not named.startswith("~/"):
        said = f"'{named}' starts with ~ and a name, which is not filled in"
        return said, "write the path, or ~/ for your own home"
    return None


def mistyped_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence about each variable that looks like one of ours and is none; its value may be a secret."""
    for name in sorted(environment):
        if name.startswith("REMEDY_") and name not in VARIABLES.values():
            for meant in nearest(name, VARIABLES.values(), most=1):
                yield f"{name} is set, and no setting has that name; did you mean {meant}?"
