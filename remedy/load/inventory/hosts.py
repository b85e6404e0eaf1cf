"""The loaded inventory: hosts with their settings, groups with their hosts."""

from collections.abc import Mapping
from dataclasses import dataclass

from remedy.errors import Problem
from remedy.model import Host

__all__ = ["Inventory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """
    All hosts by name, sorted, and all groups with the names of their hosts, sorted.

    `all` and `ungrouped` are always among the groups. `source` is what was named.
    """

    hosts: Mapping[str, Host]
    groups: Mapping[str, tuple[str, ...]]
    source: str
    warnings: tuple[Problem, ...] = ()
