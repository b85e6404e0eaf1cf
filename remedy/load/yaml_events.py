"""
Strict YAML: PyYAML's event stream, built into nodes that know their places.

Nothing is composed recursively and nothing is resolved by YAML 1.1: what two
readers of one file could take for different things is a problem with a place,
never a guess. Only `FilesError` leaves this module.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from remedy.errors import FilesError, Place, Problem
from remedy.load.nodes import Entry, ListNode, MappingNode, Node, OpaqueNode, ScalarNode
from remedy.load.scalars import character_code, control_doubt, control_offsets, resolved_scalar
from remedy.load.yaml_mistakes import foreign_problem
from remedy.text import untrusted

__all__ = ["INVENTORY_LIMITS", "RULES_LIMITS", "YAMLLimits", "read_yaml", "survey_yaml"]

_PROBLEMS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class YAMLLimits:
    """How large a file and what is in it may be; `tolerant` files may hold values we need not understand."""

    bytes_max: int
    nodes_max: int
    depth_max: int = 32
    scalar_characters_max: int = 65_536
    tolerant: bool = False


RULES_LIMITS = YAMLLimits(bytes_max=1_048_576, nodes_max=50_000)
INVENTORY_LIMITS = YAMLLimits(bytes_max=64 * 1_048_576, nodes_max=2_000_000, tolerant=True)


def read_yaml(raw: bytes | str, *, file: str, limits: YAMLLimits = RULES_LIMITS) -> Node:
    """
    Return the one document of a YAML text; an empty one is a null scalar.

    Raises:
        FilesError: every problem that could be found, each with its place.
    """
    node, problems = _read(raw, file=file, limits=limits)
    if node is None or problems:
        raise FilesError(problems) from None
    return node


def survey_yaml(raw: bytes | str, *, file: str, limits: YAMLLimits = RULES_LIMITS) -> tuple[Node | None, list[Problem]]:
    """
    Return the one document of a YAML text with all that is wrong with it; None when it could not be read to its end.

    What two readers could take for different things is a problem, and stands in
    the document as a doubtful scalar or an opaque node: the rest can be judged.
    """
    try:
        return _read(raw, file=file, limits=limits)
    except FilesError as exc:
        return None, list(exc.problems)


def _read(raw: bytes | str, *, file: str, limits: YAMLLimits) -> tuple[Node | None, list[Problem]]:
    """Return document and problems; what is no text at all, or no text of ours, is raised."""
    if len(raw) > limits.bytes_max:
        raise FilesError([_whole(file, f"is larger than {limits.bytes_max // 1_048_576} MiB", "split it")])
    text = _decoded(raw, file) if isinstance(raw, bytes) else raw
    if not limits.tolerant:
        _refuse_control(text, file)
    builder = _Builder(file=file, limits=limits, lines=text)
    try:
        for event in _events(text):
            builder.take(event)
    except _Stop as stop:
        return None, [*builder.problems, stop.problem]
    except Exception as exc:
        # PyYAML lets ValueError, RecursionError and others through; its messages may quote
        # the file, which may hold a password, so neither text nor cause goes on.
        problem = foreign_problem(exc, text, file=file)
        if problem is None:
            raise
        return None, [*builder.problems, problem]
    return builder.root or ScalarNode(value=None, line=1, column=1), builder.problems


class _Stop(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem


def _whole(file: str, message: str, cure: str = "") -> Problem:
    return Problem(place=Place(file=file), message=message, cure=cure)


def _decoded(raw: bytes, file: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        before = raw[: exc.start].decode("utf-8")
        place = _place_of(before, len(before), file)
        raise FilesError([Problem(place=place, message="is not UTF-8", cure="save the file as UTF-8")]) from None


def _place_of(text: str, offset: int, file: str) -> Place:
    line_start = text.rfind("\n", 0, offset) + 1
    return Place(file=file, line=text.count("\n", 0, offset) + 1, column=offset - line_start + 1)


def _refuse_control(text: str, file: str) -> None:
    problems = []
    for offset in control_offsets(text):
        shown = character_code(text[offset])
        message = f"the character {shown} is not allowed: it is invisible or changes how the text looks"
        problems.append(Problem(place=_place_of(text, offset, file), message=message, cure="remove it"))
        if len(problems) == _PROBLEMS_MAX:
            break
    if problems:
        raise FilesError(problems)


def _tag(tag: str) -> str:
    return untrusted(tag.replace("tag:yaml.org,2002:", "!!"), characters_max=60)


def _events(text: str) -> Iterator[Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    yield from yaml.parse(text, Loader=loader)


@dataclass(slots=True, kw_only=True)
class _Frame:
    """A collection whose end has not come yet."""

    line: int
    column: int
    tag: str | None
    items: list[Node] | None
    entries: dict[str, Entry] = field(default_factory=dict)
    key: tuple[str, int, int] | None = None


class _Builder:
    """Takes events one by one; iterative, so that no depth can exhaust the stack."""

    def __init__(self, *, file: str, limits: YAMLLimits, lines: str) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._file = file
        self._limits = limits
        self._text = lines
        self._lines: Sequence[str] | None = None
        self._stack: list[_Frame] = []
        self._nodes = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        """Add one event."""
        match type(event).__name__:
            case "ScalarEvent":
                self._count(event)
                self._scalar(event)
            case "AliasEvent":
                self._count(event)
                self._alias(event)
            case "MappingStartEvent" | "SequenceStartEvent":
                self._count(event)
                self._open(event)
            case "MappingEndEvent" | "SequenceEndEvent":
                self._close()
            case "DocumentStartEvent":
                self._documents += 1
                if self._documents > 1:
                    raise _Stop(self._problem(event, "a second document starts here", "keep one document a file"))
            case _:
                pass

    def _count(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > self._limits.nodes_max:
            raise _Stop(self._problem(event, f"holds more than {self._limits.nodes_max} values", "split the file"))
        if len(self.problems) >= _PROBLEMS_MAX:
            raise _Stop(self._problem(event, "too many problems; the rest of the file was not read"))

    def _problem(self, event: Any, message: str, cure: str = "") -> Problem:
        mark = event.start_mark
        return self._problem_at(mark.line + 1, mark.column + 1, message, cure)

    def _problem_at(self, line: int, column: int, message: str, cure: str = "") -> Problem:
        return Problem(place=Place(file=self._file, line=line, column=column), message=message, cure=cure)

    def _expects_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].items is None and self._stack[-1].key is None

    def _refuse_anchor_and_tag(self, event: Any) -> None:
        if self._limits.tolerant:
            return
        if event.anchor is not None:
            name = untrusted(event.anchor)
            self.problems.append(self._problem(event, f"the anchor &{name} is not allowed", "write the value out"))
        if event.tag is not None:
            self.problems.append(self._problem(event, f"the tag {_tag(event.tag)} is not allowed", "remove it"))

    def _open(self, event: Any) -> None:
        if len(self._stack) >= self._limits.depth_max:
            message = f"is nested more than {self._limits.depth_max} deep"
            raise _Stop(self._problem(event, message))
        if self._expects_key():
            raise _Stop(self._problem(event, "a key must be text, not a list or a mapping"))
        self._refuse_anchor_and_tag(event)
        mark = event.start_mark
        items: list[Node] | None = [] if type(event).__name__ == "SequenceStartEvent" else None
        self._stack.append(_Frame(line=mark.line + 1, column=mark.column + 1, tag=event.tag, items=items))

    def _close(self) -> None:
        frame = self._stack.pop()
        node: Node
        if frame.tag is not None:
            node = OpaqueNode(what=f"the tag {_tag(frame.tag)}", line=frame.line, column=frame.column)
        elif frame.items is not None:
            node = ListNode(items=tuple(frame.items), line=frame.line, column=frame.column)
        else:
            node = MappingNode(entries=MappingProxyType(frame.entries), line=frame.line, column=frame.column)
        self._add(node)

    def _alias(self, event: Any) -> None:
        mark = event.start_mark
        what = f"the alias *{untrusted(event.anchor)}"
        if self._expects_key():
            raise _Stop(self._problem(event, f"a key must be text, not {what}"))
        if not self._limits.tolerant:
            self.problems.append(self._problem(event, f"{what} is not allowed", "write the value out"))
        self._add(OpaqueNode(what=what, line=mark.line + 1, column=mark.column + 1))

    def _scalar(self, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            self._refuse_anchor_and_tag(event)
        line, column = self._content(event)
        if len(event.value) > self._limits.scalar_characters_max and not self._limits.tolerant:
            message = f"is longer than {self._limits.scalar_characters_max // 1024} KiB"
            raise _Stop(self._problem_at(line, column, message))
        if self._expects_key():
            self._key(event, line, column)
            return
        if event.tag is not None:
            self._add(OpaqueNode(what=f"the tag {_tag(event.tag)}", line=line, column=column))
            return
        value, doubt, cure = (event.value, "", "") if event.style else resolved_scalar(event.value)
        if not doubt and isinstance(value, str):
            doubt, cure = control_doubt(value), "remove it"
        if doubt and not self._limits.tolerant:
            shown = "" if event.style else f"`{untrusted(event.value, characters_max=60)}` "
            self.problems.append(self._problem_at(line, column, shown + doubt, cure))
        self._add(ScalarNode(value=value, line=line, column=column, doubt=doubt))

    def _key(self, event: Any, line: int, column: int) -> None:
        key = event.value
        shown = untrusted(key, characters_max=60)
        frame = self._stack[-1]
        if not self._limits.tolerant and not event.style:
            value, doubt, _cure = resolved_scalar(key)
            if key == "<<":
                self.problems.append(self._problem(event, "the merge key << is not allowed", "write the values out"))
            elif doubt or not isinstance(value, str):
                message = f"the key `{shown}` must be text"
                self.problems.append(self._problem(event, message, "put it in quotes"))
        if unseen := control_doubt(key):
            self.problems.append(self._problem(event, f"a key {unseen}", "remove it"))
        if key in frame.entries:
            first = frame.entries[key]
            message = f"duplicate key `{shown}`; it stands already at line {first.line}, column {first.column}"
            self.problems.append(self._problem(event, message, "keep one of them"))
        frame.key = (key, line, column)

    def _add(self, node: Node) -> None:
        if not self._stack:
            self.root = node
            return
        frame = self._stack[-1]
        if frame.items is not None:
            frame.items.append(node)
            return
        if frame.key is not None:
            key, line, column = frame.key
            frame.entries.setdefault(key, Entry(value=node, line=line, column=column))
            frame.key = None

    def _content(self, event: Any) -> tuple[int, int]:
        """Return line and column of the first character of a scalar's content."""
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        if not event.style:
            return line, column
        if event.style in {"'", '"'}:
            return line, column + 1
        if event.style not in {"|", ">"}:
            return line, column
        if self._lines is None:
            self._lines = self._text.splitlines()
        for index in range(line, min(event.end_mark.line + 1, len(self._lines))):
            stripped = self._lines[index].lstrip(" ")
            if stripped:
                return index + 1, len(self._lines[index]) - len(stripped) + 1
        return line, column
