"""Where each value of a host stands: the assignment that counts, and those that it overrides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from remedy.errors import FilesError, NothingNamed, Place
from remedy.load.inventory.graph import LITERAL_VARIABLES, Variable
from remedy.load.inventory.precedence import resolve
from remedy.load.inventory.references import PRIVATE_KEY, is_reference, is_template
from remedy.load.inventory.settings import SHOWN_VARIABLES
from remedy.load.inventory.source import read_graph
from remedy.load.nodes import Entry, ListNode, MappingNode, Node, OpaqueNode, ScalarNode
from remedy.text import nearest, untrusted

__all__ = ["Assignment", "host_assignments"]

_PARAMS = "remedy_params"
_NOT_SHOWN = "(not shown)"
_SECRET = "***"  # noqa: S105 - what stands in place of one.


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """
    A variable of a host: its value as it may be shown, who sets it and where, and the places that lose to it.

    Of remedy_params each parameter is one, for they are merged one by one.
    """

    name: str
    value: str
    owner: str
    place: Place
    overrides: tuple[Place, ...]


def host_assignments(source: str, host: str) -> tuple[Assignment, ...]:
    """
    Return the variables of a host that concern remedy, by name.

    `source` is a file or folder, or hosts with commas. Secrets are never in it.

    Raises:
        UsageError: the source is empty or does not exist.
        FilesError: problems in the inventory.
        NothingNamed: it has no such host.
    """
    graph, _ = read_graph(source)
    if host not in graph.hosts:
        near = nearest(host, graph.hosts)
        cure = f"did you mean {' or '.join(near)}?" if near else "`remedy inventory` lists what there is"
        raise NothingNamed(f"--host: no host is named '{untrusted(host, characters_max=80)}'; {cure}")
    resolved = next(each for each in resolve(graph)[0] if each.name == host)
    if graph.problems:
        raise FilesError(graph.problems)
    found: dict[str, list[Variable]] = {}
    for layer in resolved.layers:
        for name, variable in _singly(layer):
            found.setdefault(name, []).append(variable)
    return tuple(_assignment(name, found[name]) for name in sorted(found))


def _singly(layer: Mapping[str, Variable]) -> Iterator[tuple[str, Variable]]:
    """Yield the variables of a layer; those of remedy_params one by one, at their own places."""
    for name, variable in layer.items():
        if name != _PARAMS or not isinstance(variable.node, MappingNode):
            yield name, variable
            continue
        for rule, params in variable.node.entries.items():
            for path, entry in _leaves(f"{_PARAMS}.{rule}", params):
                yield path, replace(variable, node=entry.value)


def _leaves(path: str, entry: Entry) -> Iterator[tuple[str, Entry]]:
    if not isinstance(entry.value, MappingNode):
        yield path, entry
        return
    for name, below in entry.value.entries.items():
        yield f"{path}.{name}", below


def _assignment(name: str, variables: list[Variable]) -> Assignment:
    """Return the last of the assignments, which counts; the nearest of those that lose stands first."""
    counts = variables[-1]
    return Assignment(
        name=name,
        value=_shown(name, counts.node),
        owner=counts.owner,
        place=counts.place,
        overrides=tuple(dict.fromkeys(each.place for each in variables[-2::-1])),
    )


def _shown(name: str, node: Node) -> str:
    if name in LITERAL_VARIABLES:
        value = node.value if isinstance(node, ScalarNode) else None
        return value if isinstance(value, str) and (is_reference(value) or is_template(value)) else _SECRET
    if name not in SHOWN_VARIABLES and not name.startswith(f"{_PARAMS}."):
        return _NOT_SHOWN
    text = _text(node)
    return _SECRET if PRIVATE_KEY in text else untrusted(text, characters_max=200)


def _text(node: Node) -> str:
    match node:
        case OpaqueNode():
            return f"({node.what})"
        case ListNode():
            return "[" + ", ".join(_text(item) for item in node.items) + "]"
        case MappingNode():
            return "{" + ", ".join(f"{key}: {_text(entry.value)}" for key, entry in node.entries.items()) + "}"
        case ScalarNode():
            value = node.value
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return str(value)
