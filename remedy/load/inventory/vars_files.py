"""group_vars/ and host_vars/ beside an inventory, found as Ansible finds them."""

from collections.abc import Iterator
from pathlib import Path

from remedy.errors import FilesError, Place, Problem
from remedy.load.beneath import read_file
from remedy.load.inventory.graph import Graph, Group
from remedy.load.yaml_events import INVENTORY_LIMITS, read_yaml

__all__ = ["read_vars_files"]

_SUFFIXES = ("", ".yml", ".yaml", ".json")
_VAULT = b"$ANSIBLE_VAULT;"
_DEPTH_MAX = 8


def read_vars_files(graph: Graph, folder: Path) -> None:
    """Add the variables of every group and host that has a file, or a folder of files, beside the inventory."""
    for kind, owners in (("group", graph.groups), ("host", graph.hosts)):
        base = folder / f"{kind}_vars"
        if not base.is_dir():
            continue
        present = {path.name for path in base.iterdir()}
        for name, owner in owners.items():
            for path in _files(graph, base, name, present):
                _read(graph, owner, path, f"{kind} {name}")


def _files(graph: Graph, base: Path, name: str, present: set[str]) -> Iterator[Path]:
    """Yield the files of one name; of several of that name Ansible reads the first, and so do we."""
    found = [base / f"{name}{suffix}" for suffix in _SUFFIXES if f"{name}{suffix}" in present]
    found = [path for path in found if path.is_file() or path.suffix not in _SUFFIXES[1:] or path.name == name]
    if not found:
        return
    for other in found[1:]:
        message = f"is not read, because {found[0].name} is there as well, and Ansible reads only that one"
        graph.warnings.append(Problem(place=Place(file=str(other)), message=message, cure="merge the two"))
    if found[0].is_dir():
        yield from _folder_files(found[0], depth=0)
    else:
        yield found[0]


def _folder_files(folder: Path, *, depth: int) -> Iterator[Path]:
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith(".") or path.name.endswith("~"):
            continue
        if path.is_dir():
            # Ansible passes a folder such as conf.d over.
            if depth < _DEPTH_MAX and not path.suffix:
                yield from _folder_files(path, depth=depth + 1)
        elif path.suffix in _SUFFIXES:
            yield path


def _read(graph: Graph, owner: Group, path: Path, name: str) -> None:
    try:
        raw = read_file(path, bytes_max=INVENTORY_LIMITS.bytes_max)
        if raw.startswith(_VAULT):
            owner.barred.append(
                f"{path} is encrypted with Ansible Vault, so remedy cannot know how the host is reached; "
                f"keep variables that remedy needs in plain files, and secrets as env:NAME or file:/PATH"
            )
            return
        node = read_yaml(raw, file=str(path), limits=INVENTORY_LIMITS)
    except (OSError, ValueError) as exc:
        graph.problems.append(Problem(place=Place(file=str(path)), message=str(exc)))
        return
    except FilesError as exc:
        graph.problems.extend(exc.problems)
        return
    graph.add_variables(owner.filed, node, owner=name, file=str(path))
