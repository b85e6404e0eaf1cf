"""What remedy makes of an inventory, in the words in which Ansible's answer is written."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from remedy.load.inventory import Inventory, select
from remedy.load.inventory.graph import Graph
from remedy.load.inventory.hosts import Order
from remedy.load.inventory.precedence import order_of, resolve
from remedy.load.inventory.source import read_graph
from remedy.load.nodes import ListNode, MappingNode, Node, OpaqueNode, ScalarNode
from remedy.model import Host

__all__ = ["NOT_COMPARED", "Reading", "ask_ansible", "differences", "in_one_order", "patterns_for", "read"]

NOT_COMPARED = "a value that remedy would refuse to use"
_PRIORITY = "ansible_group_priority"
_EXPRESSIONS = (r".*[0-3]$", r"^[a-m].*", r".*-[0-9]+", r".+(1|2)", r"[^.]+$", ".*", r"\w+(?=[.])")
_ASK = Path(__file__).with_name("ask_ansible.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What remedy read: the inventory for patterns, its order, and every variable of every host."""

    inventory: Inventory
    order: Order
    variables: Mapping[str, Mapping[str, Any]]


def ask_ansible(cases: Sequence[Mapping[str, Any]], folder: Path) -> list[Any]:
    """Return Ansible's answers; one process of its own gives them all."""
    (folder / "ansible.cfg").write_text("", encoding="utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
    }
    done = subprocess.run(
        [sys.executable, str(_ASK)],
        input=json.dumps(cases),
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def read(source: Path) -> Reading:
    """Return what remedy reads, with the variables that it would not look at as well."""
    graph, _ = read_graph(str(source), graph=Graph(prefixes=("",)))
    resolved, groups = resolve(graph)
    assert not graph.problems
    order = order_of(graph)
    hosts = {host.name: Host(name=host.name, groups=host.groups) for host in resolved}
    return Reading(
        inventory=Inventory(hosts=hosts, groups=groups, source=str(source), order=order),
        order=order,
        variables={
            host.name: {
                name: _value(variable.node)
                for name, variable in host.variables.items()
                # Ansible takes it from a group and leaves it a host.
                if name != _PRIORITY or variable.owner.startswith("host ")
            }
            for host in resolved
        },
    )


def _value(node: Node) -> Any:
    match node:
        case ScalarNode():
            return NOT_COMPARED if node.doubt else node.value
        case OpaqueNode():
            return NOT_COMPARED
        case ListNode():
            return [_value(item) for item in node.items]
        case MappingNode():
            return {key: _value(entry.value) for key, entry in node.entries.items()}


def differences(reading: Reading, answer: Mapping[str, Any]) -> list[str]:
    """Return where remedy's reading and Ansible's answer differ; nothing when they agree."""
    order, groups = reading.order, reading.inventory.groups
    if "error" in answer:
        return [f"Ansible fails: {answer['error']}"]
    found = [] if list(order.hosts) == answer["hosts"] else [f"hosts: {order.hosts} {answer['hosts']}"]
    if list(order.direct) != list(answer["groups"]):
        found.append(f"groups: {list(order.direct)} {list(answer['groups'])}")
    for name, hosts in answer["groups"].items():
        if sorted(hosts) != list(groups.get(name, ())):
            found.append(f"hosts of {name}: {groups.get(name)} {hosts}")
        elif in_one_order(order, name) and hosts != list(order.hosts_of(name)):
            found.append(f"order of {name}: {order.hosts_of(name)} {hosts}")
    for host, variables in answer["variables"].items():
        ours = reading.variables.get(host, {})
        found += [
            f"{name} of {host}: {ours.get(name, 'not set')!r} {variables.get(name, 'not set')!r}"
            for name in sorted({*ours, *variables})
            if name not in ours or name not in variables or not _same(ours[name], variables[name])
        ]
    for pattern, named in answer["patterns"].items():
        mine = list(select(pattern, reading.inventory, what="pattern"))
        if mine != (sorted(named) if isinstance(named, list) else named):
            found.append(f"{pattern}: {mine} {named}")
    return found


def _same(ours: Any, theirs: Any) -> bool:
    """Compare values with their types; 1, 1.0 and True are three."""
    if ours == NOT_COMPARED:
        return True
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[key], theirs[key]) for key in ours)
    return type(ours) is type(theirs) and bool(ours == theirs)


def in_one_order(order: Order, group: str) -> bool:
    """
    Say whether Ansible lists a group's hosts in the same order each time.

    It walks a group's children in their order, but theirs in that of a Python set.
    """
    seen, level = {group}, [group]
    while level:
        parents = [each for each in level if set(order.children[each]) - seen]
        if len(parents) > 1:
            return False
        seen.update(level)
        level = [child for each in parents for child in order.children[each] if child not in seen]
    return True


def patterns_for(reading: Reading, random: Random, count: int) -> list[str]:
    """Return patterns of all forms over the names of an inventory; each term names something."""
    made: dict[str, None] = {}
    while len(made) < count:
        more = random.choice((0, 0, 1, 1, 2, 3))
        signs = ("", *(random.choice(("", "&", "!")) for _ in range(more)))
        terms = [sign + _term(reading, random) for sign in signs]
        # A ':' inside of a name, as of IPv6 addresses, is for Ansible only where ',' separates.
        separator = "," if any(":" in term for term in terms) else random.choice((":", ","))
        made[separator.join(terms)] = None
    return list(made)


def _term(reading: Reading, random: Random) -> str:
    host = random.choice(reading.order.hosts)
    groups = [name for name, hosts in reading.inventory.groups.items() if hosts]
    group = random.choice(groups)
    ordered = [name for name in groups if in_one_order(reading.order, name) and name != "all"]
    form = random.randrange(9)
    if form == 0 and ":" not in host:
        return host
    if form == 1 and ":" not in host:
        return f"{host[: random.randint(1, len(host))]}*"
    if form == 2:
        return f"{group[: random.randint(1, len(group))]}*"
    if form == 3:
        return f"~{random.choice((group, host))[: random.randint(2, 6)].replace('.', '[.]').replace(':', '.')}"
    if form == 4:
        found = [each for each in _EXPRESSIONS if any(re.match(each, name) for name in (*groups, *reading.order.hosts))]
        return "~" + random.choice(found)
    if form == 5 and ordered:
        name = random.choice(ordered)
        size = len(reading.inventory.groups[name])
        first = random.randrange(size)
        last = random.choice(("", str(random.randint(first, size + 2))))
        return random.choice((f"{name}[{first}]", f"{name}[{first}:{last}]", f"{name}[-1]", f"{name}[-{size}]"))
    if form == 6:
        return random.choice(("all", "*", "ungrouped" if reading.inventory.groups["ungrouped"] else "all"))
    return group
