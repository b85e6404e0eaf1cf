"""Scopes: which rules look at which hosts, from patterns on the command line and in the rules."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from remedy.errors import NothingNamed, Place, Problem, RemedyError, UsageError
from remedy.load.inventory.hosts import Inventory
from remedy.load.inventory.patterns import select
from remedy.model import Host, Rule, Scope, Transport
from remedy.safeguards import Safeguards
from remedy.text import nearest

__all__ = [
    "Selection",
    "choose_rules",
    "choose_scopes",
    "door_of",
    "pattern_problems",
    "protected_problems",
    "without_aliases",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """
    What was selected: scopes with hosts, and rules of which no selected host is left.

    `named` are hosts that --limit names literally, one by one.
    """

    scopes: tuple[Scope, ...]
    empty: tuple[str, ...]
    named: tuple[str, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of all selected hosts, sorted."""
        return tuple(sorted({host.name for scope in self.scopes for host in scope.hosts}))


def choose_rules(
    rules: Mapping[str, Rule], *, names: Sequence[str], tags: Sequence[str], what: str = "--rule"
) -> tuple[Rule, ...]:
    """
    Return the rules that were named and carry one of the tags; all, when neither was asked.

    Raises:
        UsageError: a name or tag is empty.
        NothingNamed: a name or tag exists nowhere, or nothing is left.
    """
    if any(not text.strip() for text in (*names, *tags)):
        raise UsageError("--rule and --tag need a name; an empty one would mean nothing or everything")
    known_tags = {tag for rule in rules.values() for tag in rule.tags}
    _all_known("rule", names, rules, what=what)
    _all_known("tag", tags, known_tags, what="--tag")
    chosen = [
        rule
        for name, rule in sorted(rules.items())
        if (not names or name in names) and (not tags or set(tags) & set(rule.tags))
    ]
    if not chosen:
        raise NothingNamed("no rule carries all that --rule and --tag ask for")
    return tuple(chosen)


def _all_known(noun: str, asked: Iterable[str], known: Iterable[str], *, what: str) -> None:
    there = set(known)
    for name in asked:
        if name not in there:
            near = nearest(name, there)
            hint = f"; {', '.join(near)}?" if near else ""
            raise NothingNamed(f"{what} {name}: there is no such {noun}{hint}; nobody was contacted")


def without_aliases(inventory: Inventory) -> Inventory:
    """
    Return the inventory, hosts barred of which another name leads to the same address and port.

    Whoever is not selected counts as well: a second name must be no way around a
    protected host, a pause, a cooldown or a budget. Names that only resolve to one
    address are found when hosts are collected from.
    """
    by_way: dict[tuple[str, int], list[str]] = {}
    for host in inventory.hosts.values():
        by_way.setdefault(_way(host), []).append(host.name)
    hosts = dict(inventory.hosts)
    for names in by_way.values():
        if len(names) == 1:
            continue
        said = f"{', '.join(sorted(names))} all lead to one machine; keep one name for each machine"
        for name in names:
            host = hosts[name]
            if host.connection.barred is None:
                hosts[name] = replace(host, connection=replace(host.connection, barred=said))
    return replace(inventory, hosts=hosts)


def _way(host: Host) -> tuple[str, int]:
    """Return where a host leads as far as the inventory alone says it."""
    if host.transport is Transport.LOCAL:
        return ("", 0)
    port = host.connection.port or _PORTS[host.transport]
    return ((host.connection.address or host.name).lower(), door_of(port))


_PORTS = {Transport.SSH: 22, Transport.WINRM: 5986}
_WINRM_HTTP, _WINRM_HTTPS = 5985, 5986


def door_of(port: int) -> int:
    """Return the port by which names of one machine are found out: http and https of WinRM are two doors to one."""
    return _WINRM_HTTPS if port == _WINRM_HTTP else port


def choose_scopes(
    rules: Iterable[Rule], inventory: Inventory, *, limit: str | None, what: str = "--limit"
) -> Selection:
    """
    Return the scope of each rule: its hosts that --limit selects too.

    Raises:
        UsageError: a pattern is empty or has no positive term.
        NothingNamed: a term names nothing, or --limit leaves no host.
    """
    limited = frozenset(inventory.hosts if limit is None else select(limit, inventory, what=what))
    if not limited:
        said = "the inventory has no hosts" if limit is None else f"{what} {limit} leaves no host"
        raise NothingNamed(f"{said}; nobody was contacted")
    scopes: list[Scope] = []
    empty: list[str] = []
    for rule in rules:
        names = [name for name in select(rule.hosts, inventory, what=f"{rule.hosts_place}: hosts") if name in limited]
        exempt = tuple(
            frozenset(select(exemption.hosts, inventory, what=f"{place}: {part}"))
            for exemption, (place, part, _) in zip(rule.exempt, _patterns(rule)[1:], strict=True)
        )
        if names:
            hosts = tuple(inventory.hosts[name] for name in names)
            scopes.append(Scope(rule=rule, hosts=hosts, exempt_names=exempt))
        else:
            empty.append(rule.name)
    named = _literal_names(limit, inventory)
    return Selection(scopes=tuple(scopes), empty=tuple(empty), named=named)


def pattern_problems(rule: Rule, inventory: Inventory) -> tuple[Problem, ...]:
    """Return what is wrong with the host patterns of a rule in this inventory, each at its own place."""
    return tuple(
        problem
        for place, part, pattern in _patterns(rule)
        for problem in _problems_of(part, pattern, inventory, place=place)
    )


def protected_problems(safeguards: Safeguards, inventory: Inventory) -> tuple[Problem, ...]:
    """Return what is wrong with the patterns of protected hosts in this inventory, each at its own place."""
    return tuple(
        problem
        for each in safeguards.protected
        for problem in _problems_of("protected", each.hosts, inventory, place=each.place)
    )


def _problems_of(part: str, pattern: str, inventory: Inventory, *, place: Place) -> list[Problem]:
    try:
        select(pattern, inventory, what=part)
    except RemedyError as exc:
        parts = (line.partition("; ") for line in str(exc).splitlines())
        return [Problem(place=place, message=message, cure=cure) for message, _, cure in parts]
    return []


def _patterns(rule: Rule) -> list[tuple[Place, str, str]]:
    """Return place, name and text of a rule's host patterns: its hosts, then those of each exemption."""
    exempt = [
        (each.hosts_place if each.hosts_place.file else rule.place, f"exempt[{index}].hosts", each.hosts)
        for index, each in enumerate(rule.exempt)
    ]
    return [(rule.hosts_place, "hosts", rule.hosts), *exempt]


def _literal_names(limit: str | None, inventory: Inventory) -> tuple[str, ...]:
    if limit is None:
        return ()
    terms = [limit] if limit in inventory.hosts else limit.replace(":", ",").split(",")
    names = [term.strip() for term in terms]
    return tuple(sorted(name for name in names if name in inventory.hosts))
