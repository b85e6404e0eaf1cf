"""An inventory from wherever it was named: a file, a folder, standard input, or hosts with commas."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from remedy.errors import FilesError, Place, Problem, UsageError
from remedy.load.inventory.files import STDIN, read_folder, read_inventory_file, read_inventory_text
from remedy.load.inventory.graph import Graph
from remedy.load.inventory.hosts import Inventory
from remedy.load.inventory.literal_secrets import literal_secrets
from remedy.load.inventory.precedence import order_of, resolve
from remedy.load.inventory.ranges import host_term
from remedy.load.inventory.settings import HostReader
from remedy.load.inventory.vars_files import read_vars_files
from remedy.model import Host, Params, Transport
from remedy.text import untrusted

__all__ = ["load_inventory", "read_graph"]


def load_inventory(
    source: str, *, stdin_text: str | None = None, types: Mapping[str, Params], untyped: Collection[str] = ()
) -> Inventory:
    """
    Return the hosts and groups of an inventory.

    `source` is a file, a folder, `-` (what is in stdin_text), or hosts with commas,
    of which the literal `localhost,` is this machine. `types` are the default
    parameters of every rule and signal: they type `remedy_params`. `untyped` are
    rules and signals that are broken: overrides for them are not looked at.

    Raises:
        UsageError: the source is empty or does not exist.
        FilesError: the problems of all its files, together.
    """
    graph = Graph()
    folder = _read_source(graph, source, stdin_text)
    reader = HostReader(folder=folder, types=types, untyped=untyped)
    resolved, groups = resolve(graph)
    hosts = {host.name: _localhost(source, reader.host(host)) for host in resolved}
    problems = [*graph.problems, *reader.problems, *_shared_names(hosts, groups, graph)]
    if not hosts and not problems:
        problems.append(_no_host(graph, source))
    if problems:
        raise FilesError(problems)
    return Inventory(
        hosts=MappingProxyType(hosts),
        groups=MappingProxyType(groups),
        source=source,
        order=order_of(graph),
        warnings=tuple(sorted({*graph.warnings, *reader.warnings})),
        secrets=literal_secrets(graph),
        places={name: group.place for name, group in graph.hosts.items() if group.place is not None},
    )


def read_graph(source: str, *, stdin_text: str | None = None, graph: Graph | None = None) -> tuple[Graph, Path | None]:
    """
    Return groups, hosts and variables as they are written, and the folder that relative paths are meant from.

    Raises:
        UsageError: the source is empty or does not exist.
        FilesError: the problems of all its files, together.
    """
    graph = graph or Graph()
    folder = _read_source(graph, source, stdin_text)
    if graph.problems:
        raise FilesError(graph.problems)
    return graph, folder


def _read_names(graph: Graph, source: str) -> None:
    """Add the hosts of a list with commas; a port may stand behind each."""
    place = Place(file=source)
    for name in source.split(","):
        name = name.strip()
        if _is_range(name):
            message = f"'{untrusted(name, characters_max=80)}' cannot name a host"
            graph.problems.append(Problem(place=place, message=message, cure="ranges stand in files; name each host"))
        elif name:
            graph.add_hosts(name, place, group=None)


def _is_range(name: str) -> bool:
    try:
        return host_term(name).is_range
    except ValueError:
        return False  # Whoever adds it says what is wrong.


def _shown(source: str) -> str:
    return STDIN if source == "-" else source


def _no_host(graph: Graph, source: str) -> Problem:
    """Return the problem of an inventory without hosts; bare names at the top of YAML are rather meant as hosts."""
    message = "the inventory names no host"
    if graph.bare:
        name, place = min(graph.bare.items(), key=lambda each: each[1])
        shown = untrusted(name, characters_max=80)
        cure = f"names at the top are groups; for a host write `all:`, below it `hosts:`, and below that `{shown}:`"
        return Problem(place=place, message=message, cure=cure)
    return Problem(place=Place(file=_shown(source)), message=message)


def _localhost(source: str, host: Host) -> Host:
    if source.strip() != "localhost,":
        return host
    return Host(name=host.name, platform=host.platform, transport=Transport.LOCAL, groups=host.groups)


def _shared_names(hosts: Mapping[str, Host], groups: Mapping[str, object], graph: Graph) -> Iterator[Problem]:
    for name in sorted(hosts.keys() & groups.keys()):
        message = f"a host and a group are both named '{name}', so no pattern could tell them apart"
        yield Problem(place=graph.hosts[name].place or Place(file=""), message=message, cure="rename one of them")


def _read_source(graph: Graph, source: str, stdin_text: str | None) -> Path | None:
    """Read a source into the graph; return the folder that relative paths in it are meant from."""
    if not source.strip(" ,\t\n"):
        raise UsageError("the inventory is empty; name a file, a folder, or hosts such as 'web-1,'")
    if source == "-":
        if stdin_text is None:
            raise UsageError("'-i -' reads the inventory from standard input, and there is none")
        read_inventory_text(graph, stdin_text)
        return None
    path = Path(source)
    if path.is_dir():
        read_folder(graph, path)
        read_vars_files(graph, path)
        return path
    if "," in source and not path.exists():
        _read_names(graph, source)
        return None
    if not path.exists():
        cure = f"for a host of that name write '{source},'"
        raise UsageError(f"there is no inventory '{source}'; {cure}")
    if read_inventory_file(graph, path):
        read_vars_files(graph, path.parent)
    return path.parent
