"""The files of an inventory: which form each has, and those of a folder together."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from remedy.errors import FilesError, Place, Problem
from remedy.load.beneath import read_file
from remedy.load.inventory.forms import LIST_CURE, read_json_groups, read_yaml_groups
from remedy.load.inventory.graph import Graph
from remedy.load.inventory.ini import read_ini
from remedy.load.yaml_events import INVENTORY_LIMITS

__all__ = ["STDIN", "read_folder", "read_inventory_file", "read_inventory_text"]

STDIN = "standard input"
_YAML = frozenset({".yaml", ".yml"})
_IGNORED = frozenset({".bak", ".cfg", ".md", ".orig", ".pyc", ".pyo", ".retry", ".rpm", ".rst", ".swp"})
_VARS_FOLDERS = frozenset({"group_vars", "host_vars"})
_DEPTH_MAX = 8
_FILES_MAX = 10_000
_VAULT = b"$ANSIBLE_VAULT;"
_PROGRAMS = (b"#!", b"\x7fELF", b"MZ")
_YAML_LINE = re.compile(rb"---|%YAML|(?:\"[^\"]*\"|'[^']*'|[^\s:\[\]=#\"';]+)\s*:(?:\s|$)|\? ")
"""What the first line of YAML looks like where a file's name does not say its form."""


def read_folder(graph: Graph, folder: Path) -> None:
    """Add all inventory files of a folder and of the folders in it, by their names, as Ansible does."""
    found = False
    for count, path in enumerate(_files_of(graph, folder, depth=0), start=1):
        found = True
        if count > _FILES_MAX:
            _add(graph, folder, f"holds more than {_FILES_MAX} files", "name an inventory")
            return
        read_inventory_file(graph, path)
    if not found:
        _add(graph, folder, "the inventory folder holds no inventory file")


def _files_of(graph: Graph, folder: Path, *, depth: int) -> Iterator[Path]:
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith(".") or path.name.endswith("~") or path.suffix in _IGNORED:
            continue
        if not path.is_dir():
            if path.suffix == ".txt":
                message = "is not read, for Ansible reads no .txt in an inventory folder"
                place = Place(file=str(path))
                graph.warnings.append(Problem(place=place, message=message, cure="rename it if hosts stand in it"))
            else:
                yield path
        elif path.name in _VARS_FOLDERS:
            if depth:
                message = "is not read: variables count beside the inventory that is named, not in folders below it"
                graph.warnings.append(Problem(place=Place(file=str(path)), message=message, cure="move it up"))
        elif path.name != "vars_plugins":
            if depth < _DEPTH_MAX:
                yield from _files_of(graph, path, depth=depth + 1)
            else:
                _add(graph, path, f"is more than {_DEPTH_MAX} folders deep", "name a folder further down")


def read_inventory_text(graph: Graph, text: str) -> None:
    """Add what was given on standard input."""
    _read(graph, text.encode("utf-8", errors="surrogatepass"), file=STDIN, suffix="")


def read_inventory_file(graph: Graph, path: Path) -> bool:
    """Add what a file holds; say whether variables beside it count (`ansible-inventory` merged them already)."""
    try:
        raw = read_file(path, bytes_max=INVENTORY_LIMITS.bytes_max)
    except (OSError, ValueError) as exc:
        _add(graph, path, str(exc))
        return False
    return _read(graph, raw, file=str(path), suffix=path.suffix)


def _read(graph: Graph, raw: bytes, *, file: str, suffix: str) -> bool:
    start = raw.lstrip()
    is_json = start[:1] == b"{" and (suffix not in _YAML or b'"_meta"' in raw)
    if raw.startswith(_PROGRAMS):
        _add(graph, file, "is an inventory program, and remedy runs none", LIST_CURE)
    elif start.startswith(_VAULT):
        _add(graph, file, "is encrypted with Ansible Vault, which remedy does not open", LIST_CURE)
    elif suffix == ".toml":
        _add(graph, file, "is TOML, which remedy does not read", LIST_CURE)
    elif suffix == ".json" or is_json:
        return _json(graph, raw, file)
    elif suffix in _YAML or (not suffix and _is_yaml(raw)):
        return _noting(graph, lambda: read_yaml_groups(graph, raw, file=file))
    else:
        return _noting(graph, lambda: read_ini(graph, raw, file=file))
    return False


def _json(graph: Graph, raw: bytes, file: str) -> bool:
    printed: list[bool] = []
    _noting(graph, lambda: printed.append(read_json_groups(graph, raw, file=file)))
    return printed == [False]


def _is_yaml(raw: bytes) -> bool:
    """Say whether a file whose name does not tell is YAML, by its first line that is no comment."""
    for line in raw.splitlines():
        line = line.strip()
        if line and line[:1] not in b"#;":
            return _YAML_LINE.match(line) is not None
    return False


def _noting(graph: Graph, read: Callable[[], object]) -> bool:
    try:
        read()
    except FilesError as exc:
        graph.problems.extend(exc.problems)
    return True


def _add(graph: Graph, file: Path | str, message: str, cure: str = "") -> None:
    graph.problems.append(Problem(place=Place(file=str(file)), message=message, cure=cure))
