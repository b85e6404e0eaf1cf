"""`remedy config`: the settings that hold here, and what said so."""

import os.path
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from remedy.cli.caller import Caller, caller_now
from remedy.cli.composition import Options, find_state_directory, read_config, shown_path
from remedy.cli.console import Talk
from remedy.errors import Place
from remedy.limits import Budget
from remedy.load.config import VARIABLES, Config, mistyped_variables
from remedy.origins import DEFAULT, Origin, OriginKind, Setting
from remedy.render.config import InEffect, config_json, config_text

__all__ = ["run_config"]

_BUDGETS = ("budgets.per_rule", "budgets.all")
_PATHS = ("rules", "inventory", "state")


def run_config(options: Options) -> int:
    """
    Show every setting; nothing but remedy.yaml is read, and nobody is contacted.

    Raises:
        UsageError: a flag is empty, or a remedy.yaml above may be a stranger's.
        FilesError: a remedy.yaml is wrong.
    """
    talk = Talk(as_json=options.output == "json")
    caller = caller_now()
    config = read_config(options, caller)
    settings = [_shown(each, caller.directory) for each in _settings(options, caller, config)]
    files = {
        **{str(shown_path(file, caller.directory)): True for file in config.safeguard_files},
        **{str(file): False for file in config.safeguard_files_absent},
    }
    if talk.as_json:
        variables = {name: (key, bool(caller.environment.get(name))) for key, name in VARIABLES.items()}
        talk.result_json(config_json(settings, files, variables))
    else:
        talk.result(config_text(settings, files))
        unset = [name for name in VARIABLES.values() if not caller.environment.get(name)]
        talk.say(f"variables that could be set: {', '.join(unset) or 'none; all are'}")
    for warning in mistyped_variables(caller.environment):
        talk.say(f"warning: {warning}")
    return 0


def _settings(options: Options, caller: Caller, config: Config) -> Iterator[InEffect]:
    for key, without in (
        ("rules", "the starter rules, but never for apply"),
        ("inventory", "this machine, but never for apply"),
    ):
        named = tuple(setting for setting in config.named if setting.key == key)
        yield _first(named) if named else InEffect(key=key, value=None, origins=(DEFAULT,), note=without)
    yield _state(options, caller, config)
    yield from _laid_down(config)


def _first(named: tuple[Setting, ...]) -> InEffect:
    first, *overruled = named
    value = str(first.value)
    absent = "not there yet" if first.key == "state" else "not there"
    note = absent if _is_path(first.key, value) and not _is_there(Path(value)) else ""
    return InEffect(key=first.key, value=value, origins=(first.origin,), overruled=tuple(overruled), note=note)


def _state(options: Options, caller: Caller, config: Config) -> InEffect:
    named = tuple(setting for setting in config.named if setting.key == "state")
    if named:
        return _first(named)
    state, named_by = find_state_directory(options, caller, config)
    origin = Origin(kind=OriginKind.DEFAULT, name="" if named_by == "default" else named_by)
    note = "" if state.exists() else "not there yet"
    return InEffect(key="state", value=str(state.path), origins=(origin,), note=note)


def _laid_down(config: Config) -> Iterator[InEffect]:
    """Yield the safeguards: all files hold together, and of budgets the stricter."""
    by_key: dict[str, list[Setting]] = {}
    for setting in config.laid_down:
        by_key.setdefault(setting.key.partition("[")[0], []).append(setting)
    protected, freezes = by_key.get("protected", []), by_key.get("freezes", [])
    yield from _each("protected", protected)
    budgets = (config.safeguards.per_rule, config.safeguards.all_rules)
    for key, budget in zip(_BUDGETS, budgets, strict=True):
        yield _budget(key, budget, by_key.get(key, []))
    yield from _each("freezes", freezes)


def _each(key: str, settings: list[Setting]) -> Iterator[InEffect]:
    if not settings:
        yield InEffect(key=key, value=None, origins=(DEFAULT,))
    for setting in settings:
        yield InEffect(key=setting.key, value=setting.value, origins=(setting.origin,))


def _budget(key: str, budget: Budget | None, settings: list[Setting]) -> InEffect:
    if budget is None:
        return InEffect(key=key, value=None, origins=(DEFAULT,))
    note = f"the stricter of {' and '.join(str(each.value) for each in settings)}" if len(settings) > 1 else ""
    return InEffect(key=key, value=str(budget), origins=tuple(each.origin for each in settings), note=note)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _shown(setting: InEffect, directory: Path) -> InEffect:
    """
    Return a setting with the files and paths below the caller's folder as they are written from there.

    Who names the value that holds is not overruled.
    """
    value = _value_near(setting.key, setting.value, directory)
    overruled = (
        replace(each, value=_value_near(each.key, each.value, directory), origin=_near_origin(each.origin, directory))
        for each in setting.overruled
    )
    return replace(
        setting,
        value=value,
        origins=tuple(_near_origin(each, directory) for each in setting.origins),
        overruled=tuple(each for each in overruled if each.value != value),
    )


def _value_near(key: str, value: Any, directory: Path) -> Any:
    """Return a value; a path that leads out of the folder in full, for from elsewhere it would lead elsewhere."""
    if not isinstance(value, str):
        return value
    if key in _PATHS and _is_path(key, value):
        return str(shown_path(os.path.normpath(directory / value), directory))
    return _near(value, directory)


def _is_path(key: str, value: str) -> bool:
    return key != "inventory" or (value != "-" and "," not in value)


def _near(value: str, directory: Path) -> str:
    return str(shown_path(value, directory)) if Path(value).is_absolute() else value


def _near_origin(origin: Origin, directory: Path) -> Origin:
    if origin.place is None:
        return origin
    place = Place(file=_near(origin.place.file, directory), line=origin.place.line, column=origin.place.column)
    return replace(origin, name="", place=place)
