"""
Host patterns: names, groups and globs, joined as Ansible joins them.

Unions come first, then intersections, then exclusions, in whatever order they
are written. What names nothing is an error, for a mistyped exclusion is the
worst kind of mistake.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from remedy.errors import NothingNamed, UsageError
from remedy.load.beneath import read_file
from remedy.load.inventory.hosts import Inventory
from remedy.text import nearest, untrusted

__all__ = ["check_pattern", "select"]

_FILE_BYTES_MAX = 1_048_576
_TERMS_MAX = 100_000
_SUBSCRIPT = re.compile(r"\[[^\]]*:[^\]]*\]|\[-?[0-9]+(?:-[0-9]*)?\]$")
_GLOB = re.compile(r"[*?\[]")
_TEMPLATE = re.compile(r"\{\{|\{%")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Term:
    """One term: '' adds, '&' keeps only, '!' takes away."""

    sign: str
    name: str


def check_pattern(pattern: str, *, files: bool = True) -> None:
    """
    Refuse a pattern that cannot be read, whatever inventory there is.

    With `files` false, as in a rule, `@file` is refused.

    Raises:
        UsageError: empty, without a positive term, or of a form that is not supported.
    """
    pieces = _pieces(pattern, {})
    if not files and any(piece.startswith("@") for piece in pieces):
        raise UsageError("'@' and a file are for --limit; write the names or a group here")
    _checked([_term(piece) for piece in pieces if not piece.startswith("@")], pattern, has_files=_has_files(pieces))


def select(pattern: str, inventory: Inventory, *, what: str, must_exist: bool = True) -> tuple[str, ...]:
    """
    Return the names of the hosts that a pattern names, sorted; perhaps none.

    `what` says in messages where the pattern stands, such as '--limit'. Only the
    cases of a rule, whose few hosts are made up, say that terms need not exist.

    Raises:
        UsageError: empty, without a positive term, or of a form that is not supported.
        NothingNamed: a term names no host and no group.
    """
    try:
        terms = list(_terms(pattern, inventory))
        _checked(terms, pattern)
    except UsageError as exc:
        raise UsageError(f"{what}: {exc}") from None
    named = {term: _named(term.name, inventory) for term in dict.fromkeys(terms)}
    if must_exist:
        _refuse_nothing([term for term, names in named.items() if names is None], inventory, what)
    chosen: set[str] = set()
    for term in terms:
        if not term.sign:
            chosen |= named[term] or frozenset()
    for term in terms:
        if term.sign == "&":
            chosen &= named[term] or frozenset()
    for term in terms:
        if term.sign == "!":
            chosen -= named[term] or frozenset()
    return tuple(sorted(chosen))


def _has_files(pieces: Iterable[str]) -> bool:
    return any(piece.startswith("@") for piece in pieces)


def _terms(pattern: str, inventory: Inventory) -> Iterator[_Term]:
    for piece in _pieces(pattern, inventory.hosts):
        if piece.startswith("@"):
            yield from _file_terms(piece[1:], inventory)
        else:
            yield _term(piece)


def _pieces(pattern: str, hosts: Iterable[str]) -> list[str]:
    """Return the terms of a pattern as text, signs included; host names with ':' stay whole."""
    if not pattern.strip(" \t\r\n:,"):
        raise UsageError("the host pattern is empty; write all for every host")
    pieces: list[str] = []
    for part in _split(pattern, ","):
        part = part.strip()
        if part.lstrip("!&") in hosts or part.startswith("@"):
            pieces.append(part)
        else:
            pieces.extend(piece.strip() for piece in _split(part, ":"))
    if any(not piece or piece in {"!", "&"} for piece in pieces):
        shown = untrusted(pattern, characters_max=80)
        raise UsageError(f"the host pattern '{shown}' has an empty term; remove the separator or write the name")
    if len(pieces) > _TERMS_MAX:
        raise UsageError(f"the host pattern has more than {_TERMS_MAX} terms")
    return pieces


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator outside of brackets."""
    return re.split(rf"{separator}(?![^\[\]]*\])", text) if "[" in text else text.split(separator)


def _term(piece: str) -> _Term:
    sign = piece[0] if piece[0] in "!&" else ""
    name = piece[len(sign) :].strip()
    shown = untrusted(name, characters_max=80)
    if name.startswith(("!", "&", "@")):
        raise UsageError(f"'{untrusted(piece, characters_max=80)}' cannot be read; write one sign and a name")
    if name.startswith("~"):
        raise UsageError(f"regular expressions such as '{shown}' are not supported yet; write a glob such as web*")
    if _SUBSCRIPT.search(name):
        raise UsageError(f"ranges and subscripts such as '{shown}' are not supported yet; write names or a glob")
    if _TEMPLATE.search(name):
        raise UsageError(f"templates such as '{shown}' are not supported; write the names")
    return _Term(sign=sign, name=name)


def _checked(terms: Iterable[_Term], pattern: str, *, has_files: bool = False) -> None:
    if not has_files and all(term.sign for term in terms):
        shown = untrusted(pattern, characters_max=80)
        raise UsageError(f"'{shown}' only takes hosts away; say first from which, such as 'all:{shown.lstrip(':,')}'")


def _file_terms(name: str, inventory: Inventory) -> Iterator[_Term]:
    shown = untrusted(name, characters_max=200)
    try:
        text = read_file(Path(name), bytes_max=_FILE_BYTES_MAX).decode("utf-8")
    except FileNotFoundError:
        raise UsageError(f"there is no file '{shown}' for '@{shown}'") from None
    except UnicodeDecodeError:
        raise UsageError(f"the file '{shown}' is not UTF-8") from None
    except ValueError as exc:
        raise UsageError(f"the file '{shown}' {exc}") from None
    lines = [line for line in (raw.partition("#")[0].strip() for raw in text.splitlines()) if line]
    if not lines:
        raise UsageError(f"the file '{shown}' names no host")
    for line in lines:
        for piece in _pieces(line, inventory.hosts):
            yield _term(piece)


def _named(name: str, inventory: Inventory) -> frozenset[str] | None:
    """Return the hosts a term names; None when neither host nor group is called so."""
    if name in inventory.groups:
        return frozenset(inventory.groups[name])
    if name in inventory.hosts:
        return frozenset([name])
    if not _GLOB.search(name):
        return None
    if name == "*":
        return frozenset(inventory.hosts)
    groups = [group for group in inventory.groups if fnmatchcase(group, name)]
    hosts = [host for host in inventory.hosts if fnmatchcase(host, name)]
    if not groups and not hosts:
        return None
    return frozenset(hosts).union(*(inventory.groups[group] for group in groups))


def _refuse_nothing(terms: Iterable[_Term], inventory: Inventory, what: str) -> None:
    messages = []
    known = [*inventory.hosts, *inventory.groups]
    for term in terms:
        shown = untrusted(term.name, characters_max=80)
        near = nearest(term.name, known)
        cure = f"did you mean {' or '.join(near)}?" if near else "`remedy inventory` lists what there is"
        messages.append(f"{what}: no host or group is named '{shown}'; {cure}")
    if messages:
        raise NothingNamed("\n".join(messages))
