"""
Inventories in INI form, and plain lists of hosts, which are the simplest of them.

Read as Ansible's plugin reads them: sections, host lines in a shell's quoting, and
values that are Python literals or else text. No message quotes what may be a value.
"""

import re
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from remedy.errors import FilesError, Place, Problem
from remedy.load.inventory.graph import LITERAL_VARIABLES, Graph, Variable
from remedy.load.inventory.literals import literal_node
from remedy.load.inventory.references import COMMENT
from remedy.load.inventory.words import Word, split_words
from remedy.load.nodes import Entry, MappingNode, Node, ScalarNode
from remedy.load.scalars import character_code, control_offsets
from remedy.load.yaml_events import INVENTORY_LIMITS
from remedy.text import nearest, untrusted

__all__ = ["read_ini"]

_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_SECTION_AND_MORE = re.compile(r"\[[^\]]*\]\s")
_COMMENT = re.compile(r"\s#")
_GROUP_NAME = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
_KINDS = ("hosts", "children", "vars")
_PROBLEMS_MAX = 1_000
_TEXT_BEHIND_A_HOST = """put it in two kinds of quotes, such as '"1001"'"""
_YAML_CURE = "name the file inventory.yaml"


def read_ini(graph: Graph, raw: bytes | str, *, file: str) -> None:
    """
    Add what an INI inventory holds.

    Raises:
        FilesError: too large, no UTF-8, or a character that hides or moves text; other problems go to the graph.
    """
    lines = _lines(raw, file)
    reader = _Reader(graph, file)
    before = len(graph.problems)
    for number, line in enumerate(lines, start=1):
        reader.take(number, line)
        if reader.is_stopped or len(graph.problems) - before >= _PROBLEMS_MAX:
            return
    reader.end()


def _lines(raw: bytes | str, file: str) -> list[str]:
    if len(raw) > INVENTORY_LIMITS.bytes_max:
        raise FilesError([Problem(place=Place(file=file), message=f"is larger than {_size()}", cure="split it")])
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
    except UnicodeDecodeError as exc:
        before = exc.object[: exc.start].decode("utf-8").split("\n")
        place = Place(file=file, line=len(before), column=len(before[-1]) + 1)
        # The cause quotes the file, which may hold a password.
        raise FilesError([Problem(place=place, message="is not UTF-8", cure="save the file as UTF-8")]) from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    problems = []
    for number, line in enumerate(lines, start=1):
        # One search a line, most of which are plain: nothing is gained by looking on after the first.
        at = next(control_offsets(line), None) if not (line.isascii() and line.isprintable()) else None
        if at is not None:
            problems.append(_unseen(Place(file=file, line=number, column=at + 1), line[at]))
        if len(problems) == _PROBLEMS_MAX:
            break
    if problems:
        raise FilesError(problems)
    if len(lines) > INVENTORY_LIMITS.nodes_max:
        message = f"has more than {INVENTORY_LIMITS.nodes_max} lines"
        raise FilesError([Problem(place=Place(file=file), message=message, cure="split it")])
    return lines


def _size() -> str:
    return f"{INVENTORY_LIMITS.bytes_max // 1_048_576} MiB"


def _unseen(place: Place, character: str) -> Problem:
    if character == "\ufeff" and (place.line, place.column) == (1, 1):
        message, cure = "begins with a byte order mark, which Ansible takes for a part of the first line", ""
    elif character == "\0":
        message, cure = "is no text: it holds a NUL character", "name an inventory"
    else:
        message = f"the character {character_code(character)} is not allowed: it is invisible or breaks the line"
        cure = "remove it"
    return Problem(place=place, message=message, cure=cure or "save the file without it")


@dataclass(slots=True, kw_only=True)
class _Pending:
    """A group that is spoken of and not declared yet: where its variables stand, and whose child it is."""

    vars_place: Place | None = None
    parents: list[tuple[str, Place]] = field(default_factory=list)


class _Reader:
    """Reads line by line; the first line behaves as if `[ungrouped]` stood above it."""

    def __init__(self, graph: Graph, file: str) -> None:
        self.is_stopped = False
        self._graph = graph
        self._file = file
        self._group = "ungrouped"
        self._kind: str | None = "hosts"
        self._pending: dict[str, _Pending] = {}

    def take(self, number: int, raw: str) -> None:
        """Add what one line says."""
        line = raw.strip()
        if not line or line[0] in ";#":
            return
        place = Place(file=self._file, line=number, column=len(raw) - len(raw.lstrip()) + 1)
        section = _SECTION.fullmatch(line)
        if section is not None:
            self._open(section[1], section[2], place)
        elif line[0] == "[" and line[-1] == "]":
            cure = "write [GROUP], [GROUP:children] or [GROUP:vars], without blanks"
            self._refuse(place, "this is no section", cure)
            self._kind = None
        elif _SECTION_AND_MORE.match(line):
            self._refuse(place, "behind a section only a comment with # may stand", "move it to a line of its own")
            self._kind = None
        elif self._kind == "hosts":
            self._host_line(line, place)
        elif self._kind == "vars":
            self._variable_line(line, place)
        elif self._kind == "children":
            self._child_line(line, place)

    def end(self) -> None:
        """Report the groups that were never declared."""
        for name, pending in self._pending.items():
            shown = untrusted(name, characters_max=80)
            if pending.vars_place is not None:
                message = f"[{shown}:vars]: no group is named '{shown}'"
                cure = f"write [{shown}] as well, or correct the name{self._near(name)}"
                self._refuse(pending.vars_place, message, cure)
            for parent, place in pending.parents:
                message = f"[{parent}:children]: no group is named '{shown}'"
                cure = f"write [{shown}] as well, or correct the name{self._near(name)}"
                self._refuse(place, message, cure)

    def _near(self, name: str) -> str:
        near = nearest(name, (each for each in self._graph.groups if each not in self._pending), most=1)
        return f": did you mean {near[0]}?" if near else ""

    def _refuse(self, place: Place, message: str, cure: str = "") -> None:
        self._graph.problems.append(Problem(place=place, message=message, cure=cure))

    def _open(self, name: str, kind: str | None, place: Place) -> None:
        """Begin a section; what does not follow `:vars` declares the group."""
        kind = kind or "hosts"
        self._kind = None
        if kind not in _KINDS:
            near = nearest(kind, _KINDS, most=1)
            cure = f"did you mean [{untrusted(name, characters_max=80)}:{near[0]}]?" if near else ""
            shown = untrusted(kind, characters_max=80)
            self._refuse(place, f"no section is of the kind '{shown}'", cure or "there are children and vars")
            return
        is_new = name not in self._graph.groups
        if self._graph.add_group(name, place) is None:
            return
        self._group, self._kind = name, kind
        if kind == "vars":
            if is_new and name not in self._pending:
                self._pending[name] = _Pending(vars_place=place)
            return
        for parent, child_place in self._pending.pop(name, _Pending()).parents:
            self._graph.groups[parent].children.setdefault(name, child_place)

    def _host_line(self, line: str, place: Place) -> None:
        if line.startswith(("---", "- ")) or re.fullmatch(r"[^\s=]+:(?:\s.*)?", line):
            self.is_stopped = True
            self._refuse(place, "this looks like YAML, and a plain list or an INI inventory was expected", _YAML_CURE)
            return
        try:
            words = split_words(line, column=place.column)
        except ValueError as exc:
            self._refuse(place, f"this line {exc}", "close it, or write a backslash before it")
            return
        owner = f"host {untrusted(words[0].text, characters_max=80)}"
        variables: dict[str, Variable] = {}
        entries: dict[str, Entry] = {}
        for word in words[1:]:
            if not self._assign(entries, word, place, owner):
                return
        self._keep(variables, entries, place, owner, text_cure=_TEXT_BEHIND_A_HOST)
        before = self._graph.hosts.get(words[0].text)
        if before is not None:
            self._warn_of_second(before.inline, variables)
        self._graph.add_hosts(words[0].text, place, group=self._group, variables=variables)

    def _assign(self, entries: dict[str, Entry], word: Word, place: Place, owner: str) -> bool:
        """Take one `name=value` behind a host; say whether it is one."""
        name, sign, text = word.text.partition("=")
        at = Place(file=self._file, line=place.line, column=word.columns[0])
        if not sign:
            cure = "put a value with blanks in quotes, and each host on a line of its own"
            self._refuse(at, f"{owner}: what follows a host must be NAME=VALUE", cure)
            return False
        if self._graph.wants(name):
            if name in entries:
                message = f"{owner}: {untrusted(name, characters_max=80)}: stands twice in this line"
                cure = "keep one of them; the last one counts"
                self._graph.warnings.append(Problem(place=at, message=message, cure=cure))
            if word.lost is not None:
                lost = replace(at, column=word.lost)
                message = f"{owner}: {untrusted(name, characters_max=80)}: this backslash is lost, as in Ansible"
                cure = "put the value in single quotes, or write two"
                self._graph.warnings.append(Problem(place=lost, message=message, cure=cure))
            column = word.columns[len(name) + 1]
            value = literal_node(text, line=place.line, column=column)
            entries[name] = Entry(value=value, line=at.line, column=at.column)
        return True

    def _variable_line(self, line: str, place: Place) -> None:
        name, sign, text = line.partition("=")
        owner = f"group {self._group}"
        if not sign:
            self._refuse(place, f"[{self._group}:vars]: each line must be NAME=VALUE", "values stand on one line")
            return
        name = name.strip()
        if self._graph.wants(name):
            column = place.column + len(line) - len(text.lstrip())
            value = literal_node(text.strip(), line=place.line, column=column)
            entries = {name: Entry(value=value, line=place.line, column=place.column)}
            if value == ScalarNode(value=text.strip(), line=place.line, column=column):
                self._warn_of_comment(name, value, owner)
            self._keep(self._graph.groups[self._group].inline, entries, place, owner)

    def _warn_of_comment(self, name: str, value: Node, owner: str) -> None:
        """Warn of a text with a '#' behind a blank; of a secret it is told where the secret is read."""
        text = value.value if isinstance(value, ScalarNode) and name not in LITERAL_VARIABLES else None
        found = _COMMENT.search(text) if isinstance(text, str) else None
        if found is None:
            return
        place = Place(file=self._file, line=value.line, column=value.column + found.end() - 1)
        message = f"{owner}: {untrusted(name, characters_max=80)}: {COMMENT}"
        self._graph.warnings.append(Problem(place=place, message=message, cure="move it to a line of its own"))

    def _keep(
        self,
        target: dict[str, Variable],
        entries: dict[str, Entry],
        place: Place,
        owner: str,
        *,
        text_cure: str = "put it in quotes",
    ) -> None:
        node = MappingNode(entries=MappingProxyType(dict(entries)), line=place.line, column=place.column)
        added: dict[str, Variable] = {}
        self._graph.add_variables(added, node, owner=owner, file=self._file, text_cure=text_cure)
        self._warn_of_second(target, added)
        target.update(added)

    def _warn_of_second(self, target: dict[str, Variable], added: dict[str, Variable]) -> None:
        """Warn where one file gives a variable two values: the last one counts, wherever it stands."""
        for name, variable in added.items():
            first = target.get(name)
            if first is None or first.file != self._file or _same(first, variable):
                continue
            message = f"stands already at line {first.node.line}, with another value; the last one counts"
            self._graph.warnings.append(variable.problem(message, "keep one of them"))

    def _child_line(self, line: str, place: Place) -> None:
        found = _GROUP_NAME.fullmatch(line)
        if found is None:
            self._refuse(place, f"[{self._group}:children]: each line must be the name of a group")
            return
        name = found[1]
        if name in self._graph.groups:
            self._graph.groups[self._group].children.setdefault(name, place)
        else:
            self._pending.setdefault(name, _Pending()).parents.append((self._group, place))


def _same(first: Variable, second: Variable) -> bool:
    if isinstance(first.node, ScalarNode) and isinstance(second.node, ScalarNode):
        return first.node.value == second.node.value and type(first.node.value) is type(second.node.value)
    return False
