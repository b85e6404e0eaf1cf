"""The loaded inventory: hosts with their settings, groups with their hosts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from remedy.errors import Place, Problem
from remedy.model import Host

__all__ = ["Inventory", "Order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    Hosts and groups in the order of the files, which subscripts of patterns count by.

    `direct` are the hosts a group itself lists, `children` its groups.
    """

    hosts: tuple[str, ...]
    direct: Mapping[str, tuple[str, ...]]
    children: Mapping[str, tuple[str, ...]]

    def hosts_of(self, group: str) -> tuple[str, ...]:
        """Return the hosts of a group: its own, then those of its children, then of theirs, level by level."""
        found: dict[str, None] = {}
        seen = {group}
        level = [group]
        while level:
            for each in level:
                found.update(dict.fromkeys(self.direct[each]))
            below = dict.fromkeys(child for each in level for child in self.children[each] if child not in seen)
            seen.update(below)
            level = list(below)
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """
    All hosts by name, sorted, and all groups with the names of their hosts, sorted.

    `all` and `ungrouped` are always among the groups. `source` is what was named.
    Without an `order`, as for the made-up hosts of a rule's cases, that of the names counts.
    `places` are where hosts are first named; those of a rule's cases have none.
    `secrets` are those that stand there in clear text, where they stand.
    """

    hosts: Mapping[str, Host]
    groups: Mapping[str, tuple[str, ...]]
    source: str
    order: Order | None = None
    warnings: tuple[Problem, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)
    secrets: tuple[Problem, ...] = ()
