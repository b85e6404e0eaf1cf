"""The settings that hold, what said so, and what was overruled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType

from remedy.origins import Origin, Setting
from remedy.render.origins import origin_json
from remedy.render.tables import line, table
from remedy.render.yaml_text import flow_text

__all__ = ["InEffect", "config_json", "config_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InEffect:
    """
    A setting as it holds: its value, None for none, and what said so; several files may have, together.

    `overruled` is what names the same setting in vain. `note` says what holds
    without a value, or that what is named is not there.
    """

    key: str
    value: Any
    origins: tuple[Origin, ...]
    overruled: tuple[Setting, ...] = ()
    note: str = ""


def config_text(settings: Sequence[InEffect], files: Mapping[str, bool]) -> list[RenderableType]:
    """Return a table of the settings, and the files that were looked for."""
    rows = [(each.key, _value_text(each), _from(each), _overruled(each)) for each in settings]
    looked_for = ", ".join(f"{file}{'' if is_there else ' (not there)'}" for file, is_there in files.items())
    return [table(("setting", "value", "from", "overrules"), rows), line(f"files: {looked_for or 'none'}")]


def _value_text(setting: InEffect) -> str:
    value = setting.value if isinstance(setting.value, str) else flow_text(setting.value)
    shown = "none" if setting.value is None else value
    return f"{shown} ({setting.note})" if setting.note else shown


def _from(setting: InEffect) -> str:
    return " and ".join(str(origin) for origin in setting.origins)


def _overruled(setting: InEffect) -> str:
    return ", ".join(f"{each.value} of {each.origin}" for each in setting.overruled) or "-"


def config_json(
    settings: Sequence[InEffect], files: Mapping[str, bool], variables: Mapping[str, tuple[str, bool]]
) -> dict[str, Any]:
    """Return the settings as JSON; `variables` are all that remedy reads, with their setting and whether it is set."""
    return {
        "config": 1,
        "settings": [
            {
                "key": each.key,
                "value": each.value,
                "note": each.note,
                "from": [origin_json(origin) for origin in each.origins],
                "overrules": [{"value": one.value, **origin_json(one.origin)} for one in each.overruled],
            }
            for each in settings
        ],
        "variables": [
            {"variable": name, "setting": setting, "is_set": is_set} for name, (setting, is_set) in variables.items()
        ],
        "files": [{"file": file, "is_there": is_there} for file, is_there in files.items()],
    }
