"""An inventory from wherever it was named: a file, a folder, standard input, or hosts with commas."""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from remedy.errors import FilesError, Place, Problem, UsageError
from remedy.load.beneath import read_file
from remedy.load.inventory.forms import LIST_CURE, read_json_groups, read_names, read_yaml_groups
from remedy.load.inventory.graph import Graph
from remedy.load.inventory.hosts import Inventory
from remedy.load.inventory.precedence import resolve
from remedy.load.inventory.settings import HostReader
from remedy.load.inventory.vars_files import read_vars_files
from remedy.load.yaml_events import INVENTORY_LIMITS
from remedy.model import Host, Params, Transport

__all__ = ["load_inventory"]

_YAML = frozenset({".yaml", ".yml"})
_IGNORED = frozenset({".bak", ".cfg", ".md", ".orig", ".pyc", ".pyo", ".retry", ".rpm", ".rst", ".swp"})
_VARS_FOLDERS = frozenset({"group_vars", "host_vars"})
_STDIN = "standard input"


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
    if graph.problems:
        raise FilesError(graph.problems)
    reader = HostReader(folder=folder, types=types, untyped=untyped)
    resolved, groups = resolve(graph)
    hosts = {host.name: _localhost(source, reader.host(host)) for host in resolved}
    problems = [*graph.problems, *reader.problems, *_shared_names(hosts, groups, source)]
    if not hosts and not problems:
        problems.append(Problem(place=Place(file=_shown(source)), message="the inventory names no host"))
    if problems:
        raise FilesError(problems)
    return Inventory(
        hosts=MappingProxyType(hosts),
        groups=MappingProxyType(groups),
        source=source,
        warnings=tuple(sorted({*graph.warnings, *reader.warnings})),
    )


def _shown(source: str) -> str:
    return _STDIN if source == "-" else source


def _localhost(source: str, host: Host) -> Host:
    if source.strip() != "localhost,":
        return host
    return Host(name=host.name, platform=host.platform, transport=Transport.LOCAL, groups=host.groups)


def _shared_names(hosts: Mapping[str, Host], groups: Mapping[str, object], source: str) -> Iterator[Problem]:
    for name in sorted(hosts.keys() & groups.keys()):
        message = f"a host and a group are both named '{name}', so no pattern could tell them apart"
        yield Problem(place=Place(file=_shown(source)), message=message, cure="rename one of them")


def _read_source(graph: Graph, source: str, stdin_text: str | None) -> Path | None:
    """Read a source into the graph; return the folder that relative paths in it are meant from."""
    if not source.strip(" ,\t\n"):
        raise UsageError("the inventory is empty; name a file, a folder, or hosts such as 'web-1,'")
    if source == "-":
        if stdin_text is None:
            raise UsageError("'-i -' reads the inventory from standard input, and there is none")
        _read_text(graph, stdin_text)
        return None
    path = Path(source)
    if path.is_dir():
        _read_folder(graph, path)
        read_vars_files(graph, path)
        return path
    if "," in source and not path.exists():
        for name in source.split(","):
            if name.strip():
                graph.add_host(name.strip(), Place(file=source))
        return None
    if not path.exists():
        cure = f"for a host of that name write '{source},'"
        raise UsageError(f"there is no inventory '{source}'; {cure}")
    if _read_one(graph, path):
        read_vars_files(graph, path.parent)
    return path.parent


def _read_text(graph: Graph, text: str) -> None:
    if len(text) > INVENTORY_LIMITS.bytes_max:
        message = f"is larger than {INVENTORY_LIMITS.bytes_max // 1_048_576} MiB"
        graph.problems.append(Problem(place=Place(file=_STDIN), message=message))
    elif text.lstrip()[:1] == "{":
        _noting(graph, lambda: read_json_groups(graph, text, file=_STDIN))
    else:
        read_names(graph, text, file=_STDIN)


def _read_folder(graph: Graph, folder: Path) -> None:
    found = False
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith(".") or path.name.endswith("~") or path.suffix in _IGNORED:
            continue
        if path.is_dir():
            if path.name not in _VARS_FOLDERS:
                message = "folders in an inventory folder are not supported yet"
                graph.problems.append(Problem(place=Place(file=str(path)), message=message, cure=LIST_CURE))
            continue
        found = True
        _read_one(graph, path)
    if not found:
        graph.problems.append(
            Problem(place=Place(file=str(folder)), message="the inventory folder holds no inventory file")
        )


def _read_one(graph: Graph, path: Path) -> bool:
    """Read one file by its form; say whether variables beside it count (`ansible-inventory` merged them already)."""
    file = str(path)
    try:
        raw = read_file(path, bytes_max=INVENTORY_LIMITS.bytes_max)
    except (OSError, ValueError) as exc:
        graph.problems.append(Problem(place=Place(file=file), message=str(exc)))
        return False
    if path.suffix in _YAML and not (raw.lstrip()[:1] == b"{" and b'"_meta"' in raw):
        _noting(graph, lambda: read_yaml_groups(graph, raw, file=file))
        return True
    if path.suffix == ".json" or raw.lstrip()[:1] == b"{":
        _noting(graph, lambda: read_json_groups(graph, raw, file=file))
        return False
    if path.suffix == ".ini":
        message = "INI inventories are not supported yet"
        graph.problems.append(Problem(place=Place(file=file), message=message, cure=LIST_CURE))
        return False
    if raw.startswith(b"#!"):
        message = "inventory programs are not run by remedy"
        graph.problems.append(Problem(place=Place(file=file), message=message, cure=LIST_CURE))
        return False
    try:
        read_names(graph, raw.decode("utf-8"), file=file)
    except UnicodeDecodeError:
        graph.problems.append(Problem(place=Place(file=file), message="is not UTF-8 text", cure="save it as UTF-8"))
    return True


def _noting(graph: Graph, read: Callable[[], None]) -> None:
    try:
        read()
    except FilesError as exc:
        graph.problems.extend(exc.problems)
