"""A strict file after its schema check: plain values, and the place of each of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from remedy.errors import Place, Problem
from remedy.limits import Limit, WaveShare, parse_duration, parse_limit, parse_share
from remedy.load.nodes import ListNode, MappingNode, Node, OpaqueNode, ScalarNode, plain
from remedy.load.yaml_events import survey_yaml
from remedy.text import duration_text

__all__ = ["Document", "Route", "path_text", "survey_document"]

_MERGE = "<<"
Route = Sequence[str | int]
"""The way from the top of a file to a value, such as ('rollout', 'waves', 2)."""


def path_text(path: Route) -> str:
    """Return a path as people read it, such as 'rollout.waves[2]'."""
    text = ""
    if path and isinstance(path[0], int):  # Only the cases of a rule are a list at the top.
        rest = path_text(path[1:])
        return f"case {path[0] + 1}, {rest}" if rest else f"case {path[0] + 1}"
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else step)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """
    One file as read: its name as the user knows it, its nodes, and the problems found so far.

    The typed getters add a problem at the value's place and return the default
    (or the least harmful value) when a value is wrong. `doubtful` are the routes of
    values that nobody may go by: what is wrong with them is among the problems.
    """

    file: str
    node: Node
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    doubtful: tuple[tuple[str | int, ...], ...] = ()

    @property
    def raw(self) -> Any:
        """The whole file as plain values."""
        return plain(self.node)

    def place(self, path: Route = ()) -> Place:
        """Return the place of the value at path, or of its nearest parent that exists."""
        node = self.node
        for step in path:
            found = _step(node, step)
            if found is None:
                break
            node = found
        return Place(file=self.file, line=node.line, column=node.column)

    def key_place(self, path: Route) -> Place:
        """Return the place of the key that ends path."""
        parent = self.node
        for step in path[:-1]:
            found = _step(parent, step)
            if found is None:
                return self.place(path)
            parent = found
        if isinstance(parent, MappingNode) and path[-1] in parent.entries:
            entry = parent.entries[str(path[-1])]
            return Place(file=self.file, line=entry.line, column=entry.column)
        return self.place(path)

    def value(self, path: Route, default: Any = None) -> Any:
        """Return the plain value at path, or default when there is none."""
        node = self.node
        for step in path:
            found = _step(node, step)
            if found is None:
                return default
            node = found
        return plain(node)

    def add(self, path: Route, message: str, cure: str = "") -> None:
        """Add a problem with the value at path."""
        shown = path_text(path)
        text = f"{shown}: {message}" if shown else message
        self.problems.append(Problem(place=self.place(path), message=text, cure=cure))

    def warn(self, path: Route, message: str, cure: str = "") -> None:
        """Add a warning about the value at path."""
        self.warnings.append(Problem(place=self.place(path), message=f"{path_text(path)}: {message}", cure=cure))

    def duration_s(self, path: Route, *, default_s: int, most_s: int, least_s: int = 0) -> int:
        """Return the duration at path in seconds."""
        raw = self.value(path)
        if raw is None:
            return default_s
        try:
            seconds = parse_duration(str(raw))
        except ValueError as exc:
            self.add(path, str(exc))
            return default_s
        if not least_s <= seconds <= most_s:
            allowed = f"from {duration_text(least_s)} to {duration_text(most_s)}"
            self.add(path, f"{raw} is not allowed here", f"write a duration {allowed}")
            return default_s
        return seconds

    def limit(self, path: Route, default: Limit) -> Limit:
        """Return the limit at path."""
        raw = self.value(path)
        if raw is None:
            return default
        try:
            return parse_limit(raw)
        except ValueError as exc:
            self.add(path, str(exc))
            return default

    def shares(self, path: Route, default: tuple[WaveShare, ...]) -> tuple[WaveShare, ...]:
        """Return the wave shares at path; entries of one kind must grow, for they are cumulative."""
        raw = self.value(path)
        if raw is None:
            return default
        shares: list[WaveShare] = []
        for index, item in enumerate(raw):
            try:
                share = parse_share(item)
            except ValueError as exc:
                self.add([*path, index], str(exc))
                continue
            if shares and not _grows(shares[-1], share):
                self.add([*path, index], f"{share} is no more than {shares[-1]}", "waves are cumulative shares")
            shares.append(share)
        return tuple(shares)


def survey_document(raw: bytes, *, file: str) -> tuple[Document | None, list[Problem]]:
    """
    Return a strict file as far as it can be judged, with what was wrong with its YAML among its problems.

    None when it could not be read to its end; the list has the same problems.
    """
    node, problems = survey_yaml(raw, file=file)
    if node is None:
        return None, problems
    doubtful = tuple(_doubtful(node, ())) if problems else ()
    return Document(file=file, node=node, problems=list(problems), doubtful=doubtful), problems


def _doubtful(node: Node, route: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    match node:
        case ScalarNode(doubt=doubt):
            if doubt:
                yield route
        case OpaqueNode():
            yield route
        case ListNode(items=items):
            for index, item in enumerate(items):
                yield from _doubtful(item, (*route, index))
        case MappingNode(entries=entries):
            if _MERGE in entries:
                yield route  # Nobody knows which keys it has.
            else:
                for key, entry in entries.items():
                    yield from _doubtful(entry.value, (*route, key))


def _step(node: Node, step: str | int) -> Node | None:
    if isinstance(node, MappingNode) and isinstance(step, str) and step in node.entries:
        return node.entries[step].value
    if isinstance(node, ListNode) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def _grows(before: WaveShare, after: WaveShare) -> bool:
    if before.count is not None and after.count is not None:
        return after.count > before.count
    if before.percent is not None and after.percent is not None:
        return after.percent > before.percent
    return True
