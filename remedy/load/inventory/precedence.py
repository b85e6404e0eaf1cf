"""
Which variable wins: Ansible's order.

From weakest to strongest: the inventory's variables of `all`, of the other groups
(parents before children, then by name), group_vars of `all`, group_vars of the
other groups, the inventory's variables of the host, its host_vars.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from remedy.errors import Place, Problem
from remedy.load.inventory.graph import Graph, Group, Variable
from remedy.load.inventory.hosts import Order
from remedy.load.nodes import ScalarNode

__all__ = ["Resolved", "order_of", "resolve"]

_PARAMS = "remedy_params"
_PRIORITY = "ansible_group_priority"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """
    One host's groups and effective variables.

    `params` has every remedy_params along the order, weakest first, for they are
    merged; `barred` are reasons why its variables cannot all be known. `layers` are
    all assignments, weakest first.
    """

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, Variable]
    params: tuple[Variable, ...]
    barred: tuple[str, ...]
    layers: tuple[Mapping[str, Variable], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inherited:
    """What hosts with the same groups have in common."""

    groups: tuple[str, ...]
    variables: Mapping[str, Variable]
    params: tuple[Variable, ...]
    barred: tuple[str, ...]
    layers: tuple[Mapping[str, Variable], ...]


def resolve(graph: Graph) -> tuple[list[Resolved], dict[str, tuple[str, ...]]]:
    """Return every host with its effective variables, sorted by name, and the hosts of every group."""
    parents = _parents(graph)
    order = _parents_first(graph, parents)
    ancestors: dict[str, frozenset[str]] = {}
    depths: dict[str, int] = {}
    for name in order:
        ancestors[name] = frozenset(parents[name]).union(*(ancestors[parent] for parent in parents[name]))
        depths[name] = max((depths[parent] + 1 for parent in parents[name]), default=0)
    direct = _direct_groups(graph)
    rank = {name: (depths[name], _priority(graph, name), name) for name in order}
    inherited: dict[frozenset[str], _Inherited] = {}
    members: dict[str, list[str]] = {name: [] for name in graph.groups}
    hosts = []
    for name in sorted(graph.hosts):
        key = frozenset(direct[name])
        if key not in inherited:
            closure = key.union(*(ancestors[group] for group in key), {"all"})
            inherited[key] = _inherit(graph, sorted(closure, key=lambda group: rank[group]))
        common = inherited[key]
        for group in common.groups:
            members[group].append(name)
        hosts.append(_resolved(name, graph.hosts[name], common))
    return hosts, {name: tuple(members[name]) for name in sorted(members)}


def order_of(graph: Graph) -> Order:
    """Return hosts and groups in the order they were found in; groups without a parent are the last below `all`."""
    direct = _direct_groups(graph)
    parents = _parents(graph)
    listed = {name: [host for host in group.hosts if name in direct[host]] for name, group in graph.groups.items()}
    listed["ungrouped"] += [
        host for host, groups in direct.items() if "ungrouped" in groups and host not in graph.groups["ungrouped"].hosts
    ]
    children = {name: list(group.children) for name, group in graph.groups.items()}
    # Ansible makes `ungrouped` a child of `all` before it reads anything, and orphans when it has read everything.
    below = [name for name in ("ungrouped", *children["all"]) if name != "all"]
    below += [name for name, of_name in parents.items() if of_name == ["all"] and name not in children["all"]]
    children["all"] = list(dict.fromkeys(below))
    return Order(
        hosts=tuple(graph.hosts),
        direct={name: tuple(hosts) for name, hosts in listed.items()},
        children={name: tuple(of_name) for name, of_name in children.items()},
    )


def _parents(graph: Graph) -> dict[str, list[str]]:
    parents: dict[str, list[str]] = {name: [] for name in graph.groups}
    for name, group in graph.groups.items():
        for child in group.children:
            parents[child].append(name)
    for name, of_name in parents.items():
        if name != "all" and not of_name:
            of_name.append("all")
    return parents


def _parents_first(graph: Graph, parents: Mapping[str, list[str]]) -> list[str]:
    """Return the groups, parents before children; those on a circle are a problem and left out."""
    left = {name: len(of_name) for name, of_name in parents.items()}
    children: dict[str, list[str]] = {name: [] for name in parents}
    for name, of_name in parents.items():
        for parent in of_name:
            children[parent].append(name)
    ready = sorted(name for name, count in left.items() if not count)
    order: list[str] = []
    while ready:
        name = ready.pop()
        order.append(name)
        for child in children[name]:
            left[child] -= 1
            if not left[child]:
                ready.append(child)
    stuck = sorted(set(parents) - set(order))
    if stuck:
        message = f"the groups {', '.join(stuck[:5])} are children of each other"
        graph.problems.append(Problem(place=_circle_place(graph, stuck), message=message, cure="remove one `children`"))
        order.extend(stuck)
        for name in stuck:
            parents[name].clear()
    return order


def _circle_place(graph: Graph, names: Iterable[str]) -> Place:
    """Return where the last of the groups is made a child of another of them."""
    circle = set(names)
    return max(place for name in circle for child, place in graph.groups[name].children.items() if child in circle)


def _direct_groups(graph: Graph) -> dict[str, set[str]]:
    direct: dict[str, set[str]] = {name: set() for name in graph.hosts}
    for group, settings in graph.groups.items():
        for host in settings.hosts:
            direct[host].add(group)
    for groups in direct.values():
        named = groups - {"all", "ungrouped"}
        is_in_all = "all" in groups
        groups.clear()
        groups.update(named or {"ungrouped"})
        if is_in_all:
            groups.add("all")
    return direct


def _priority(graph: Graph, name: str) -> int:
    variable = graph.groups[name].inline.get(_PRIORITY)
    if variable is None:
        return 1
    if isinstance(variable.node, ScalarNode):
        value = variable.node.value
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and value.isdecimal() and len(value) < 10:
            return int(value)
    graph.problems.append(variable.problem("must be a whole number"))
    return 1


def _inherit(graph: Graph, groups: list[str]) -> _Inherited:
    settings = [graph.groups[name] for name in groups]
    others = [group for name, group in zip(groups, settings, strict=True) if name != "all"]
    top = graph.groups["all"]
    layers = [
        top.inline,
        *(group.inline for group in others),
        top.filed,
        *(group.filed for group in others),
    ]
    variables: dict[str, Variable] = {}
    for layer in layers:
        variables.update(layer)
    return _Inherited(
        groups=tuple(sorted(groups)),
        variables=variables,
        params=tuple(layer[_PARAMS] for layer in layers if _PARAMS in layer),
        barred=tuple(reason for group in settings for reason in group.barred),
        layers=tuple(layers),
    )


def _resolved(name: str, own: Group, common: _Inherited) -> Resolved:
    layers = (own.inline, own.filed)
    return Resolved(
        name=name,
        groups=tuple(group for group in common.groups if group not in {"all", "ungrouped"}),
        variables={**common.variables, **own.inline, **own.filed},
        params=(*common.params, *(layer[_PARAMS] for layer in layers if _PARAMS in layer)),
        barred=(*common.barred, *own.barred),
        layers=(*common.layers, *layers),
    )
