"""
Host patterns: names, groups, globs, regular expressions and subscripts, joined as Ansible joins them.

Unions come first, then intersections, then exclusions, in whatever order they
are written. What names nothing is an error, for a mistyped exclusion is the
worst kind of mistake.
"""

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

from remedy.errors import NothingNamed, UsageError
from remedy.load.beneath import read_file
from remedy.load.inventory.hosts import Inventory
from remedy.load.inventory.ranges import host_term
from remedy.load.inventory.terms import Term, range_cure, read_term
from remedy.text import nearest, untrusted

__all__ = ["check_pattern", "select"]

_FILE_BYTES_MAX = 1_048_576
_TERMS_MAX = 100_000
_GLOB = re.compile(r"[*?\[]")


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
    _checked([read_term(piece) for piece in pieces if not piece.startswith("@")], pattern, has_files=_has_files(pieces))


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
    named = {term: _named(term, inventory) for term in dict.fromkeys(terms)}
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


def _terms(pattern: str, inventory: Inventory) -> Iterator[Term]:
    for piece in _pieces(pattern, inventory.hosts):
        if piece.startswith("@"):
            yield from _file_terms(piece[1:], inventory)
        else:
            yield read_term(piece)


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
    """Split at a separator outside of brackets: the next bracket behind it closes none."""
    if "[" not in text:
        return text.split(separator)
    cuts = [len(text)]
    following = ""
    for at in range(len(text) - 1, -1, -1):
        if text[at] in "[]":
            following = text[at]
        elif text[at] == separator and following != "]":
            cuts.append(at)
    return [text[start:end] for start, end in _between(cuts[::-1])]


def _between(cuts: list[int]) -> Iterator[tuple[int, int]]:
    yield 0, cuts[0]
    for cut, following in pairwise(cuts):
        yield cut + 1, following


def _checked(terms: Iterable[Term], pattern: str, *, has_files: bool = False) -> None:
    if not has_files and all(term.sign for term in terms):
        shown = untrusted(pattern, characters_max=80)
        raise UsageError(f"'{shown}' only takes hosts away; say first from which, such as 'all:{shown.lstrip(':,')}'")


def _file_terms(name: str, inventory: Inventory) -> Iterator[Term]:
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
            yield read_term(piece)


def _named(term: Term, inventory: Inventory) -> frozenset[str] | None:
    """Return the hosts a term names; None when there is nothing of that name, or not so many of them."""
    if term.subscript is None and term.name in inventory.groups:
        return frozenset(inventory.groups[term.name])
    if term.name in inventory.hosts:
        return frozenset([term.name])
    found = _matching(term, inventory)
    if found is None:
        return None
    if term.subscript is None:
        return frozenset(found)
    return frozenset(term.subscript.of(found)) or None


def _matching(term: Term, inventory: Inventory) -> list[str] | None:
    """
    Return the hosts a term names before its subscript, in the order of the inventory; None when nothing is so called.

    As in Ansible a host stands there again for each group that matches, and by itself.
    """
    hosts = inventory.order.hosts if inventory.order is not None else tuple(inventory.hosts)
    groups = tuple(inventory.order.direct) if inventory.order is not None else tuple(inventory.groups)
    name, expression = term.expressed, term.expression
    if expression is not None:
        groups = tuple(each for each in groups if expression.match(each))
        hosts = tuple(each for each in hosts if expression.match(each))
    elif _GLOB.search(name):
        groups = tuple(each for each in groups if fnmatchcase(each, name))
        hosts = tuple(each for each in hosts if fnmatchcase(each, name))
    else:
        groups = (name,) if name in inventory.groups else ()
        hosts = (name,) if name in inventory.hosts else ()
    if not groups and not hosts:
        return None
    found = [host for group in groups for host in _ordered(group, inventory)]
    return [*found, *hosts]


def _ordered(group: str, inventory: Inventory) -> tuple[str, ...]:
    return inventory.order.hosts_of(group) if inventory.order is not None else inventory.groups[group]


def _refuse_nothing(terms: Iterable[Term], inventory: Inventory, what: str) -> None:
    messages = []
    known = [*inventory.hosts, *inventory.groups]
    for term in terms:
        shown = untrusted(term.name, characters_max=80)
        if term.subscript is not None and (found := _matching(term, inventory)) is not None:
            expressed = untrusted(term.expressed, characters_max=80)
            messages.append(f"{what}: '{shown}' names nothing; {expressed} has {len(found)} hosts, counted from 0")
            continue
        if _is_range(term, inventory):
            bounds = untrusted(term.name[len(term.expressed) :], characters_max=80)
            why = (
                f"no group is named '{untrusted(term.expressed, characters_max=80)}', of which {bounds} would take some"
            )
            cure = range_cure(term.sign, term.name)
            messages.append(f"{what}: {why} hosts, and ranges stand in inventories only; {cure}")
            continue
        near = () if term.expression is not None else nearest(term.expressed, known)
        cure = f"did you mean {' or '.join(near)}?" if near else "`remedy inventory` lists what there is"
        messages.append(f"{what}: no host or group is named '{shown}'; {cure}")
    if messages:
        raise NothingNamed("\n".join(messages))


def _is_range(term: Term, inventory: Inventory) -> bool:
    """Say whether what is read as a subscript of nothing is a range whose first host there is."""
    if term.subscript is None:
        return False
    try:
        return host_term(term.name).first in inventory.hosts
    except ValueError:
        return False
