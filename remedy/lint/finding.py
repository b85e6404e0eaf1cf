"""What lint looks at and what it finds, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from remedy.errors import Place

__all__ = ["Finding", "Gap", "Language", "Level", "Linted", "Names", "Role", "Subject"]


class Level(StrEnum):
    """How much a finding weighs: an error fails lint, a warning with --strict, a note never."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Language(StrEnum):
    """What reads a script."""

    SH = "sh"
    BASH = "bash"
    POWERSHELL = "powershell"
    PYTHON = "python3"

    @property
    def is_shell(self) -> bool:
        """Whether shellcheck reads it."""
        return self in (Language.SH, Language.BASH)


class Role(StrEnum):
    """What a script is for; `other` is one that no rule and no signal names."""

    FIX = "fix"
    COLLECTOR = "collector"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """
    What a script's own rule or signal knows.

    `columns` are those a row may have: in a fix those it reads, in a collector
    those it may emit. `key` and `may_be_empty` (rows: any) are a collector's.
    """

    columns: frozenset[str] = frozenset()
    params: frozenset[str] = frozenset()
    key: tuple[str, ...] = ()
    may_be_empty: bool = False
    owner: str = ""
    """The rule or signal, as messages name it: `rule low-disk`."""
    signal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """
    A script to lint: its name as the user knows it, its bytes, what reads it, and what it is for.

    `names` is None when nobody knows which names exist for it.
    """

    file: str
    body: bytes
    language: Language
    role: Role = Role.OTHER
    is_windows: bool = False
    names: Names | None = None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """
    One mistake, or what looks like one.

    `allowed` is the reason of the `# remedy: allow` that accepts it, '' where there is
    none. `first_line` is where the statement begins in which it stands.
    """

    place: Place
    code: str
    level: Level = field(compare=False)
    message: str
    cure: str = ""
    allowed: str = ""
    first_line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Gap:
    """What was not looked at in a script, and why: such a script is never called clean."""

    file: str
    what: str
    cure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """
    What one script, or all of them, came to.

    `nameless` are scripts that no rule or signal names, so that nobody knows which
    names exist for them; `no_scripts` are files that were named and are no scripts.
    """

    scripts: int
    findings: tuple[Finding, ...] = ()
    gaps: tuple[Gap, ...] = ()
    by_language: Mapping[str, int] = field(default_factory=dict)
    nameless: tuple[str, ...] = ()
    no_scripts: tuple[str, ...] = ()
