"""JSON Schemas as people read them: key by key, with form, default, meaning and example."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from remedy.render.tables import line, styled
from remedy.render.yaml_text import flow_text

__all__ = ["SchemaKey", "key_lines", "kinds_text", "schema_keys", "schema_text", "subschema"]

_INDENT = 4
_TYPE_WORDS: Mapping[str, str] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaKey:
    """
    A key that a kind of file may have.

    `path` is dotted; `[]` stands for each item of a list, NAME for a name of one's
    own. `required` says when it must be there ('' for never), `default` what holds
    without it ('' for nothing), `same_as` a key that has the same keys below it.
    """

    path: str
    form: str
    required: str
    default: str
    description: str
    examples: tuple[str, ...]
    same_as: str


def schema_keys(schema: Mapping[str, Any]) -> tuple[SchemaKey, ...]:
    """Return the keys of a JSON Schema of remedy, each after the one that holds it."""
    return tuple(_Walk(schema).below(schema, ""))


def schema_text(schema: Mapping[str, Any]) -> list[RenderableType]:
    """Return a whole schema: what the file is, then its keys."""
    head: list[RenderableType] = [line(styled(schema["title"], "title")), line(schema["description"]), Text("")]
    return [*head, *key_lines(schema_keys(schema))]


def kinds_text(schema: Mapping[str, Any]) -> list[RenderableType]:
    """Return a schema of values of several kinds: what it is, then each kind with its keys."""
    shown: list[RenderableType] = [line(styled(schema["title"], "title")), line(schema["description"])]
    for form in schema["allOf"]:
        one = {**schema["$defs"][form["then"]["$ref"].removeprefix("#/$defs/")], "$defs": schema["$defs"]}
        shown.extend((Text(""), line(one["description"])))
        shown.extend(key_lines(schema_keys(one)))
    return shown


def subschema(schema: Mapping[str, Any], path: str) -> dict[str, Any]:
    """
    Return the JSON Schema of one key, by a path as `schema_keys` gives it, with the definitions that it needs.

    Raises:
        KeyError: the schema has no such key.
    """
    whole = _Walk(schema)
    node: Mapping[str, Any] = schema
    for word in path.replace("[]", ".[]").split("."):
        node = whole.step(node, word)
    found = {"$schema": schema["$schema"], **whole.whole(node)}
    found.pop("$ref", None)
    needed = whole.definitions_of(found)
    return {**found, "$defs": needed} if needed else found


def key_lines(keys: Sequence[SchemaKey]) -> list[RenderableType]:
    """Return each key with its form, and below it what it means, its default and examples."""
    shown: list[RenderableType] = []
    for key in keys:
        required = f"  ({key.required})" if key.required else ""
        shown.append(line(styled(key.path, "title"), f" {key.form}{required}"))
        shown.append(Padding(line(_below_text(key)), (0, 0, 0, _INDENT), expand=False))
    return shown


def _below_text(key: SchemaKey) -> str:
    parts = [key.description] if key.description else []
    if key.same_as:
        parts.append(f"The keys below are those of {key.same_as}.")
    if key.default:
        parts.append(f"Default: {key.default}.")
    if key.examples:
        parts.append(f"Example: {' or '.join(key.examples)}")
    return " ".join(parts)


class _Walk:
    """Goes through one schema; a definition whose keys were shown is not gone through again below another key."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._definitions: Mapping[str, Any] = schema.get("$defs", {})
        self._shown: dict[str, str] = {}
        self._skipped: list[str] = []

    def below(self, node: Mapping[str, Any], path: str) -> Iterator[SchemaKey]:
        """Yield the keys of a mapping, of the mappings in a list, and of what a name leads to."""
        kinds = self._kinds(node)
        if len(kinds) > 1:
            for word, form in kinds.items():
                yield from self.below(form, f"{path}({word})")
            return
        needed = {name: _when(node) for name in node.get("then", {}).get("required", ())}
        for part in (node, node.get("then", {})):
            properties = part.get("properties", {})
            needed.update({name: "required" for name in part.get("required", ()) if name in properties})
            for name, child in properties.items():
                yield from self._key(child, f"{path}.{name}" if path else name, needed.get(name, ""))
        for form in node.get("anyOf", ()):
            yield from self._into(form, path)
        if isinstance(named := node.get("additionalProperties"), Mapping):
            yield from self._into(named, f"{path}.NAME" if path else "NAME")
        if isinstance(item := node.get("items"), Mapping):
            # A file that is a list as a whole (tests.yaml) has no word before its items.
            yield from self._into(item, f"{path}[]" if path else "")

    def _kinds(self, node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Return the kinds that a mapping may be of, by the key that tells; the one without such a key first."""
        found: dict[str, Mapping[str, Any]] = {}
        while {*node.get("if", {})} == {"type", "required"}:
            found[node["if"]["required"][0]] = self.whole(node["then"])
            node = self.whole(node["else"])
        return {node["required"][0]: node, **found} if found else {}

    def step(self, node: Mapping[str, Any], word: str) -> Mapping[str, Any]:
        """
        Return what a node has under a name, `[]` being each item of a list and NAME any name.

        Raises:
            KeyError: it has nothing under that name.
        """
        node = self.whole(node)
        if word.startswith("("):
            return self._kinds(self.whole(node["items"]))[word.strip("()")]
        if word == "[]" and isinstance(node.get("items"), Mapping):
            return self.whole(node["items"])
        for part in (node, node.get("then", {}), node.get("else", {})):
            properties = self.whole(part).get("properties", {})
            if word in properties:
                return self.whole(properties[word])
        if word == "NAME" and isinstance(node.get("additionalProperties"), Mapping):
            return self.whole(node["additionalProperties"])
        inside = (*node.get("anyOf", ()), *([node["items"]] if isinstance(node.get("items"), Mapping) else ()))
        for form in inside:
            try:
                return self.step(form, word)
            except KeyError:
                continue
        raise KeyError(word)

    def definitions_of(self, node: Any) -> dict[str, Any]:
        """Return the definitions that a node leads to, however far."""
        found: dict[str, Any] = {}
        waiting = [node]
        while waiting:
            each = waiting.pop()
            if isinstance(each, Mapping):
                name = self._named(each) if isinstance(each.get("$ref"), str) else ""
                if name and name not in found:
                    found[name] = self._definitions[name]
                    waiting.append(found[name])
                waiting.extend(value for key, value in each.items() if key not in ("examples", "default"))
            elif isinstance(each, list):
                waiting.extend(each)
        return dict(sorted(found.items()))

    def _key(self, child: Mapping[str, Any], path: str, required: str) -> Iterator[SchemaKey]:
        node = self.whole(child)
        self._skipped = []
        keys = list(self._into(child, path))
        same_as = self._skipped[0] if self._skipped and not keys else ""
        default = flow_text(node["default"]) if "default" in node else str(node.get("x-default", ""))
        yield SchemaKey(
            path=path,
            form=self.form(node),
            required=required,
            default=default,
            description=node.get("description", ""),
            examples=tuple(flow_text(each) for each in node.get("examples", ())),
            same_as=same_as,
        )
        yield from keys

    def _into(self, child: Mapping[str, Any], path: str) -> Iterator[SchemaKey]:
        """Yield the keys below a node, unless its definition has shown them."""
        node, name = self.whole(child), self._named(child)
        if name in self._shown:
            self._skipped.append(self._shown[name])
            return
        if name and "properties" in node:
            self._shown[name] = path
        yield from self.below(node, path)

    def _named(self, node: Mapping[str, Any]) -> str:
        """Return the name of the definition that a node leads to, '' for none."""
        return str(node.get("$ref", "")).removeprefix("#/$defs/")

    def whole(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a node with what its definition says; its own words win."""
        name = self._named(node)
        return {**self._definitions[name], **node} if name else node

    def form(self, node: Mapping[str, Any]) -> str:
        """Return what a value must be, in words."""
        node = self.whole(node)
        match node:
            case {"const": value}:
                return flow_text(value)
            case {"enum": list(words)}:
                return " | ".join("null" if word is None else str(word) for word in words)
            case {"type": "array"}:
                return self._list_form(node)
            case {"type": "object"}:
                return self._mapping_form(node)
            case {"x-must-be": str(said)}:
                return said + _length(node)
            case {"anyOf": list(forms)}:
                return _either([self.form(form) for form in forms])
            case {"if": {"type": "object"}, "else": dict(otherwise)}:
                return f"{self.form(otherwise)}, or a mapping"
            case {"type": "integer", "minimum": int(least), "maximum": int(most)}:
                return f"a whole number from {least:,} to {most:,}"
            case {"type": list(types)}:
                return _either([_TYPE_WORDS[each] for each in types])
            case {"type": str(kind)}:
                return _TYPE_WORDS[kind] + _length(node)
            case _:
                return "any value"

    def _list_form(self, node: Mapping[str, Any]) -> str:
        bounds = _bounds(node, "Items")
        items = self.whole(node.get("items", {}))
        return f"a list{bounds}, each {self.form(items)}" if items else f"a list{bounds}"

    def _mapping_form(self, node: Mapping[str, Any]) -> str:
        bounds, inner = _bounds(node, "Properties"), node.get("additionalProperties")
        if not isinstance(inner, Mapping):
            return "a mapping"
        return f"a mapping of{bounds.removeprefix(' of')} names, each to {self.form(inner)}"


def _when(node: Mapping[str, Any]) -> str:
    """Return when the `then` of a schema holds, such as 'required with mode: fix'."""
    decides = node.get("if", {}).get("properties", {})
    said = ", ".join(f"{name}: {flow_text(value['const'])}" for name, value in decides.items())
    return f"required with {said}" if said else "required"


def _length(node: Mapping[str, Any]) -> str:
    return f", at most {node['maxLength']:,} characters" if "maxLength" in node else ""


def _bounds(node: Mapping[str, Any], of: str) -> str:
    least, most = node.get(f"min{of}", 0), node.get(f"max{of}")
    if most is None:
        return ""
    if least == most:
        return f" of {most:,}"
    return f" of {least:,} to {most:,}" if least else f" of at most {most:,}"


def _either(words: Sequence[str]) -> str:
    known = list(dict.fromkeys(words))
    return known[0] if len(known) == 1 else f"{', '.join(known[:-1])} or {known[-1]}"
