"""Groups in YAML, as Ansible's plugin reads them, and in JSON, as `ansible-inventory --list` writes them."""

import json
import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from remedy.errors import FilesError, Place, Problem
from remedy.load.inventory.graph import Graph, Variable
from remedy.load.nodes import Entry, ListNode, MappingNode, Node, OpaqueNode, ScalarNode
from remedy.load.scalars import control_doubt
from remedy.load.yaml_events import INVENTORY_LIMITS, read_yaml, survey_yaml
from remedy.text import nearest, untrusted

__all__ = ["LIST_CURE", "read_json_groups", "read_yaml_groups"]

LIST_CURE = "let Ansible write it out: ansible-inventory -i FILE --list > inventory.json"
_SECTIONS = ("hosts", "children", "vars")
_ALWAYS = ("all", "ungrouped")
_DEPTH_MAX = 64
_INI_SECTION = re.compile(rb"\[[^\]\s,]+\]")
_INI_HOST = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:\s+[A-Za-z_][A-Za-z0-9_]*=\S+)+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE_NAME = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def read_yaml_groups(graph: Graph, raw: bytes, *, file: str) -> None:
    """Add what an inventory in Ansible's YAML form holds; what is wrong with it goes to the graph."""
    node, problems = survey_yaml(raw, file=file, limits=INVENTORY_LIMITS)
    if node is None:
        looks = _not_yaml(raw, file)
        graph.problems.extend(problems if looks is None else [looks])
        return
    graph.problems.extend(problems)
    if isinstance(node, (ScalarNode, ListNode)) and (looks := _not_yaml(raw, file)) is not None:
        graph.problems.append(looks)
        return
    if isinstance(node, ScalarNode) and node.value is None:
        _add(graph, file, node, "the inventory is empty", "write `all:` and below it `hosts:`")
        return
    _Groups(graph, file=file, lists=False).read(node)


def read_json_groups(graph: Graph, raw: bytes | str, *, file: str) -> bool:
    """
    Add what `ansible-inventory --list` printed, or an inventory of YAML's form in JSON; say whether it was printed.

    Raises:
        FilesError: it is no JSON; problems of what it says go to the graph.
    """
    node = _json_node(raw, file)
    is_printed = isinstance(node, MappingNode) and "_meta" in node.entries
    if not is_printed:
        node = _with_places(raw, file) or node
    _Groups(graph, file=file, lists=True, literal=is_printed).read(node)
    return is_printed


def _not_yaml(raw: bytes, file: str) -> Problem | None:
    """Return what a file that is named as YAML and holds no groups looks like, and the cure."""
    lines = [line.partition(b"#")[0].strip() for line in raw.splitlines()]
    first = next((number for number, line in enumerate(lines, start=1) if line and line[:1] != b";"), 0)
    if not first:
        return None
    place = Place(file=file, line=first, column=1)
    line = lines[first - 1]
    if _INI_SECTION.fullmatch(line) or _INI_HOST.fullmatch(line):
        message = "this looks like an INI inventory, and by its name the file is YAML"
        return Problem(place=place, message=message, cure="rename it, for example to hosts.ini")
    if all(not each or _BARE_NAME.fullmatch(each) for each in lines):
        message = "this looks like a plain list of host names, and by its name the file is YAML"
        return Problem(place=place, message=message, cure="rename it, for example to hosts.txt")
    return None


def _add(graph: Graph, file: str, node: Node, message: str, cure: str = "") -> None:
    place = Place(file=file, line=node.line, column=node.column)
    graph.problems.append(Problem(place=place, message=message, cure=cure))


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.value is None


class _Groups:
    """
    Reads groups of one file.

    `lists` allows lists of names where YAML has mappings, as JSON does; `literal`
    names of hosts are no ranges and say no port.
    """

    def __init__(self, graph: Graph, *, file: str, lists: bool, literal: bool = False) -> None:
        self._graph = graph
        self._file = file
        self._lists = lists
        self._literal = literal
        self._told_of_hosts = False

    def read(self, node: Node) -> None:
        """Add every group of the file."""
        if not isinstance(node, MappingNode):
            self._wrong(node, "an inventory must be a mapping of groups")
            return
        if "plugin" in node.entries and not self._lists:
            self._refuse_plugin(node.entries["plugin"])
            return
        meta: Node | None = None
        for name, entry in node.entries.items():
            if name == "_meta" and self._lists:
                meta = entry.value
            else:
                self._group(name, entry, parent=None)
        if meta is not None:
            self._hostvars(meta)

    def _refuse_plugin(self, entry: Entry) -> None:
        named = entry.value.value if isinstance(entry.value, ScalarNode) else None
        shown = untrusted(named, characters_max=80) if isinstance(named, str) else "of Ansible"
        message = f"this configures the inventory plugin {shown}, and remedy runs no plugins"
        self._graph.problems.append(Problem(place=self._place(entry), message=message, cure=LIST_CURE))

    def _wrong(self, node: Node, message: str) -> None:
        what = f" (found {node.what})" if isinstance(node, OpaqueNode) else ""
        cure = LIST_CURE if isinstance(node, OpaqueNode) else ""
        _add(self._graph, self._file, node, message + what, cure)

    def _place(self, entry: Entry) -> Place:
        return Place(file=self._file, line=entry.line, column=entry.column)

    def _group(self, name: str, entry: Entry, *, parent: str | None) -> None:
        if name == "<<":
            message = "merge keys are not supported"
            self._graph.problems.append(Problem(place=self._place(entry), message=message, cure=LIST_CURE))
            return
        group = self._graph.add_group(name, self._place(entry))
        if group is None:
            return
        if parent is not None:
            self._graph.groups[parent].children[name] = self._place(entry)
        node = entry.value
        if isinstance(node, ListNode) and self._lists:
            self._hosts(name, node)
            return
        is_bare = _is_null(node) or (isinstance(node, MappingNode) and not node.entries)
        if is_bare and parent is None and name not in _ALWAYS and not self._lists:
            self._graph.bare.setdefault(name, self._place(entry))
        if _is_null(node):
            return
        if not isinstance(node, MappingNode):
            self._wrong(node, f"group {name}: must be a mapping with hosts, children or vars")
            return
        if parent is None and self._looks_like_a_host(name, node):
            self._refuse_host_at_top(name, entry)
            return
        for section, value in node.entries.items():
            self._section(name, section, value)

    def _looks_like_a_host(self, name: str, node: MappingNode) -> bool:
        """Say whether what stands at the top has variables of its own and nothing of a group."""
        keys = [key for key in node.entries if key not in _SECTIONS and not nearest(key, _SECTIONS, most=1)]
        are_variables = all(_VARIABLE.fullmatch(key) for key in keys)
        return name not in _ALWAYS and not self._lists and 0 < len(keys) == len(node.entries) and are_variables

    def _refuse_host_at_top(self, name: str, entry: Entry) -> None:
        """Say once per file that hosts stand where groups do: all of them have the same cure."""
        if self._told_of_hosts:
            return
        self._told_of_hosts = True
        shown = untrusted(name, characters_max=80)
        message = f"{shown} has variables like a host, and stands where groups stand"
        cure = f"write `all:`, below it `hosts:`, and below that `{shown}:` and the other hosts"
        self._graph.problems.append(Problem(place=self._place(entry), message=message, cure=cure))

    def _section(self, group: str, section: str, entry: Entry) -> None:
        match section:
            case "hosts":
                self._hosts(group, entry.value)
            case "children":
                self._children(group, entry.value)
            case "vars":
                inline = self._graph.groups[group].inline
                self._graph.add_variables(inline, entry.value, owner=f"group {group}", file=self._file)
            case _:
                shown = untrusted(section, characters_max=80)
                near = nearest(section, _SECTIONS, most=1)
                cure = f"did you mean `{near[0]}`?" if near else "a group has hosts, children and vars"
                message = f"group {group}: unknown key `{shown}`"
                self._graph.problems.append(Problem(place=self._place(entry), message=message, cure=cure))

    def _named(self, node: Node, what: str) -> list[tuple[str, Entry]]:
        """Return the names under hosts or children, with what stands behind each."""
        if _is_null(node):
            return []
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            return [(node.value, _bare(node))]
        if isinstance(node, MappingNode):
            return list(node.entries.items())
        if isinstance(node, ListNode) and self._lists:
            names = [item for item in node.items if isinstance(item, ScalarNode) and isinstance(item.value, str)]
            if len(names) != len(node.items):
                self._wrong(node, f"{what}: every entry must be a name")
            return [(str(item.value), _bare(item)) for item in names]
        self._wrong(node, f"{what}: must be a mapping; write each name with a colon, such as `web-1:`")
        return []

    def _hosts(self, group: str, node: Node) -> None:
        for name, entry in self._named(node, f"group {group}: hosts"):
            if name == "<<":
                message = f"group {group}: merge keys are not supported"
                self._graph.problems.append(Problem(place=self._place(entry), message=message, cure=LIST_CURE))
                continue
            if self._literal:
                if self._graph.add_host(name, self._place(entry)) is not None:
                    self._graph.groups[group].hosts[name] = None
                continue
            variables: dict[str, Variable] = {}
            shown = untrusted(name, characters_max=80)
            self._graph.add_variables(variables, entry.value, owner=f"host {shown}", file=self._file)
            self._graph.add_hosts(name, self._place(entry), group=group, variables=variables)

    def _children(self, group: str, node: Node) -> None:
        for name, entry in self._named(node, f"group {group}: children"):
            self._group(name, entry, parent=group)

    def _hostvars(self, meta: Node) -> None:
        if not isinstance(meta, MappingNode) or "hostvars" not in meta.entries:
            return
        hostvars = meta.entries["hostvars"].value
        if not isinstance(hostvars, MappingNode):
            self._wrong(hostvars, "_meta.hostvars must be a mapping of hosts")
            return
        for name, entry in hostvars.entries.items():
            host = self._graph.hosts.get(name)
            if host is not None:
                self._graph.add_variables(host.inline, entry.value, owner=f"host {name}", file=self._file)


def _bare(node: Node) -> Entry:
    nothing = ScalarNode(value=None, line=node.line, column=node.column)
    return Entry(value=nothing, line=node.line, column=node.column)


def _with_places(raw: bytes | str, file: str) -> Node | None:
    """Return JSON that people write as nodes that know their places: most JSON is YAML; None for the rest."""
    try:
        return read_yaml(raw, file=file, limits=INVENTORY_LIMITS)
    except FilesError:
        return None


class _Duplicate(Exception):
    pass


def _json_node(raw: bytes | str, file: str) -> Node:
    if len(raw) > INVENTORY_LIMITS.bytes_max:
        raise FilesError([_whole(file, f"is larger than {INVENTORY_LIMITS.bytes_max // 1_048_576} MiB")])
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        return _node(
            json.loads(
                text, object_pairs_hook=_mapping, parse_int=_integer, parse_constant=lambda _name: _not_finite()
            ),
            0,
        )
    except UnicodeDecodeError:
        problem = _whole(file, "is not UTF-8", "save it as UTF-8")
    except json.JSONDecodeError as exc:
        place = Place(file=file, line=exc.lineno, column=exc.colno)
        problem = Problem(place=place, message=f"is not JSON: {exc.msg}")
    except _Duplicate as exc:
        problem = _whole(file, f"duplicate key `{untrusted(str(exc), characters_max=80)}`", "keep one of them")
    except (RecursionError, ValueError):
        problem = _whole(file, "is not JSON that can be read: nested too deep, or a number out of range")
    # The text may hold a password, so no cause that quotes it goes on.
    raise FilesError([problem]) from None


def _whole(file: str, message: str, cure: str = "") -> Problem:
    return Problem(place=Place(file=file), message=message, cure=cure)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= 18 else float(digits[:400])


def _not_finite() -> Node:
    return ScalarNode(value="", line=0, column=0, doubt="is no finite number")


def _mapping(pairs: Sequence[tuple[str, Any]]) -> Node:
    entries: dict[str, Entry] = {}
    for key, value in pairs:
        if key in entries:
            raise _Duplicate(key)
        entries[key] = Entry(value=_node(value, 0), line=0, column=0)
    return MappingNode(entries=MappingProxyType(entries), line=0, column=0)


def _node(value: Any, depth: int) -> Node:
    if isinstance(value, (ScalarNode, MappingNode)):
        return value
    if isinstance(value, list):
        if depth > _DEPTH_MAX:
            raise RecursionError
        return ListNode(items=tuple(_node(item, depth + 1) for item in value), line=0, column=0)
    doubt = control_doubt(value) if isinstance(value, str) else ""
    return ScalarNode(value=value, line=0, column=0, doubt=doubt)
