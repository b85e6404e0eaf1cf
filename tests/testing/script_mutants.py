"""Scripts with one mistake planted, as people make them: exit codes, units, columns. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from remedy.model import Column

__all__ = ["ScriptMutant", "script_mutants"]

_UNITS = {
    # KiB in a GiB, seconds of a day and an hour, shares of a hundred.
    r"\b1048576\b": ("1000000", "1024"),
    r"\b86400\b": ("3600", "864000"),
    r"\b3600\b": ("60",),
    r"\b100 \*": ("",),
    r"\bdf -P -k\b": ("df -P -m",),
    r"= 60;": ("= 1;",),
    r"= 0\.001;": ("= 1;",),
}
_EXIT = re.compile(r"\bexit ([01])\b")
_EMIT = re.compile(r"^ *emit (?:.*\\\n)*.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptMutant:
    """A script with one mistake: of which kind, at which line, and what stands there now."""

    kind: str
    line: int
    shown: str
    script: str


def script_mutants(script: str, columns: Mapping[str, Column] | None = None) -> Iterator[ScriptMutant]:
    """Yield the script with each mistake planted; columns are swapped only in a collector, which has some."""
    for found in _code(_EXIT, script):
        yield _mutant("exit code", script, found.start(1), found.end(1), "1" if found[1] == "0" else "0")
    for pattern, others in _UNITS.items():
        for found in _code(re.compile(pattern), script):
            for other in others:
                yield _mutant("unit", script, found.start(), found.end(), other)
    for one, other in combinations(columns or {}, 2):
        if (columns or {})[one].type is not (columns or {})[other].type:
            continue
        swapped = _EMIT.sub(lambda found, pair=(one, other): _swapped(found[0], *pair), script)  # type: ignore[misc]
        if swapped != script:
            at = next(_EMIT.finditer(script)).start()
            line = script.count("\n", 0, at) + 1
            yield ScriptMutant(kind="swapped column", line=line, shown=f"{one} <-> {other}", script=swapped)


def _code(pattern: re.Pattern[str], script: str) -> Iterator[re.Match[str]]:
    """Yield what stands in lines that are no comments."""
    for found in pattern.finditer(script):
        line = script[script.rfind("\n", 0, found.start()) + 1 : found.start()]
        if not line.lstrip().startswith("#"):
            yield found


def _mutant(kind: str, script: str, start: int, end: int, new: str) -> ScriptMutant:
    changed = script[:start] + new + script[end:]
    line_start = script.rfind("\n", 0, start) + 1
    shown = changed[line_start : changed.find("\n", start)].strip()
    return ScriptMutant(kind=kind, line=script.count("\n", 0, start) + 1, shown=shown, script=changed)


def _swapped(emitted: str, one: str, other: str) -> str:
    """Return a call of emit with two names of columns swapped, where both stand in it."""
    names = (rf"(?<=[ ]){one}(?= )", rf"(?<=[ ]){other}(?= )")
    if not all(re.search(name, emitted) for name in names):
        return emitted
    marked = re.sub(names[0], "\0", emitted, count=1)
    return re.sub(names[1], one, marked, count=1).replace("\0", other)
