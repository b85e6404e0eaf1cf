"""Names that exist for a script: the columns it may emit, the variables it may read."""

from collections.abc import Iterator, Sequence

from remedy.lint.drafts import Draft, shown
from remedy.lint.finding import Names, Role, Subject
from remedy.lint.trees import Node
from remedy.text import nearest

__all__ = ["emit_findings", "known_variables", "unknown_member", "unknown_variable"]

_COLLECTOR = ("REMEDY_HOST",)
_FIX = (*_COLLECTOR, "REMEDY_RULE", "REMEDY_EXECUTION", "REMEDY_DEADLINE_S")
_LISTED_MAX = 12


def known_variables(subject: Subject) -> frozenset[str]:
    """Return the variables of remedy that a script finds in its environment."""
    names = subject.names or Names()
    params = {f"REMEDY_PARAM_{name.upper()}" for name in names.params}
    if subject.role is Role.COLLECTOR:
        return frozenset((*_COLLECTOR, *params))
    return frozenset((*_FIX, *params, *(f"REMEDY_ROW_{name.upper()}" for name in names.columns)))


def unknown_variable(name: str, subject: Subject) -> tuple[str, str] | None:
    """Return what is wrong with a name of a variable, and the cure; None when it exists."""
    known = known_variables(subject)
    if name in known:
        return None
    owner = subject.names.owner if subject.names else ""
    what = f"{owner} has no {name}" if owner else name
    if name.startswith("REMEDY_ROW_") and subject.role is Role.COLLECTOR:
        return what, "a collector makes the rows and gets none; use a parameter of the signal"
    return what, _cure(name, known)


def _cure(name: str, known: frozenset[str]) -> str:
    near = nearest(name, known, most=1)
    if near:
        return f"did you mean {near[0]}?"
    listed = sorted(known)
    more = f" and {len(listed) - _LISTED_MAX} more" if len(listed) > _LISTED_MAX else ""
    return f"there are {', '.join(listed[:_LISTED_MAX])}{more}"


def unknown_member(path: Sequence[str], subject: Subject) -> tuple[str, str] | None:
    """Return what is wrong with `$Remedy.a.b`, given as (a, b), and the cure; None when it exists."""
    names = subject.names or Names()
    tops = ["host", "params"] if subject.role is Role.COLLECTOR else []
    tops = tops or ["row", "params", "host", "rule", "execution", "deadline_s"]
    if subject.role is Role.COLLECTOR:
        tops.append("deadline_s")
    top = path[0].casefold()
    whole = "$Remedy." + ".".join(path)
    if top not in tops:
        if top == "row":
            return f"{whole} is empty in a collector", "a collector makes the rows; use a parameter of the signal"
        return f"{whole} does not exist", _cure(top, frozenset(tops)).replace("there are", "$Remedy has")
    members = names.columns if top == "row" else names.params
    if top not in ("row", "params") or len(path) < 2 or path[1].casefold() in members:
        return None
    kind = "column" if top == "row" else "parameter"
    if path[1].casefold() in ("psobject", "containskey", "keys", "count", "getenumerator"):
        return None
    cure = _cure(path[1].casefold(), frozenset(members)) if members else f"{names.owner} has no {kind}"
    return f"{names.owner} knows no {kind} '{shown(path[1])}'", cure


def emit_findings(node: Node, words: Sequence[str | None], names: Names) -> Iterator[Draft]:
    """Yield what is wrong with the words of an emit; None stands for what only the run knows."""
    if len(words) % 2:
        yield Draft(node=node, code="R405", detail=shown(node.text))
        return
    given = words[::2]
    for name in given:
        if name is not None and name not in names.columns:
            near = nearest(name, names.columns, most=1)
            cure = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(names.columns))}"
            yield Draft(node=node, code="R403", detail=f"'{shown(name)}' of {names.signal}", cure=cure)
    if None in given:
        return
    missing = [each for each in names.key if each not in given]
    if missing:
        yield Draft(node=node, code="R404", detail=f"'{missing[0]}' of {names.signal}")
