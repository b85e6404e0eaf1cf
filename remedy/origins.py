"""Where a value came from: an option, a variable, a line of a file, or the default."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from remedy.errors import Place

__all__ = ["DEFAULT", "Origin", "OriginKind", "Setting"]


class OriginKind(StrEnum):
    """What kind of thing said a value, the strongest first."""

    FLAG = "flag"
    VARIABLE = "variable"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """
    Where a value came from.

    `name` is the option or the variable; of a default it may say what made it so,
    such as './rules'. `place` is that of the value in a file, and None elsewhere.
    """

    kind: OriginKind
    name: str = ""
    place: Place | None = None

    def __str__(self) -> str:
        match self.kind:
            case OriginKind.FILE:
                return f"{self.place.file}:{self.place.line}" if self.place else self.name
            case OriginKind.DEFAULT:
                return f"default ({self.name})" if self.name else "default"
            case _:
                return self.name


DEFAULT = Origin(kind=OriginKind.DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """
    A value as its file would hold it, under its key, and where it came from.

    The key is dotted, such as `limits.cooldown` or `exempt[0]`. None is no value,
    where a file would leave the key out.
    """

    key: str
    value: Any
    origin: Origin
