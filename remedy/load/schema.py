"""The shape of a file: JSON Schema, each violation turned into one message at its place."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remedy.errors import Problem
from remedy.load.cures import form_cure, list_cure, listed_cure, unknown_key_cure
from remedy.load.document import Document, Route, path_text
from remedy.text import number_text, untrusted

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

__all__ = ["SCHEMA_KINDS", "Shape", "check_parts", "check_shape", "load_schema", "schema_bytes", "sound_entries"]

SCHEMA_KINDS = ("rule", "signal", "tests", "remedy", "inventory")

_ABOUT_KEYS = ("required", "additionalProperties")
_PROBLEMS_MAX = 100
_FOR_PEOPLE = ("description", "examples")
_ANNOTATIONS = frozenset({"title", "description", "examples", "default", "x-default", "x-must-be"})
_TYPE_WORDS: Mapping[str, str] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "empty",
}


def load_schema(kind: str) -> dict[str, Any]:
    """Return the published JSON Schema of a kind of file, one of SCHEMA_KINDS."""
    schema: dict[str, Any] = json.loads(schema_bytes(kind))
    return schema


def schema_bytes(kind: str) -> bytes:
    """Return the file of the published JSON Schema of a kind of file, as it is in the package."""
    return (Path(__file__).parent / "schemas" / f"{kind}.schema.json").read_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Violation:
    """What jsonschema says of one violation, as far as we use it."""

    keyword: str
    limit: Any
    instance: Any
    schema: Mapping[str, Any]
    path: Route
    schema_path: Route
    of_name: bool
    message: str


def _violation(error: "ValidationError") -> _Violation:
    schema: Any = error.schema
    of_name = "propertyNames" in list(error.absolute_schema_path)
    return _Violation(
        keyword=str(error.validator),
        limit=error.validator_value,
        instance=error.instance,
        schema=schema if isinstance(schema, Mapping) else {},
        path=list(error.absolute_path),
        schema_path=list(error.absolute_schema_path),
        of_name=of_name,
        message=error.message,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """
    Which parts of a file have the form that its schema asks for.

    `wrong` are the parts that have not; `lacking` are mappings with a missing or
    an unknown key, whose other keys may be sound all the same.
    """

    wrong: tuple[tuple[str | int, ...], ...]
    lacking: tuple[tuple[str | int, ...], ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong with the file's form."""
        return not self.wrong and not self.lacking

    def is_sound(self, *route: str | int) -> bool:
        """Say whether nothing is wrong at, above or below a part; a part that is not there is sound."""
        depth = len(route)
        return all(path[:depth] != route and route[: len(path)] != path for path in self.wrong) and all(
            path[:depth] != route for path in self.lacking
        )


def sound_entries(document: Document, shape: Shape | None = None) -> Iterator[tuple[int, Any]]:
    """Yield the entries of a file that is a list, with their numbers; with a shape those of a sound form."""
    entries = document.raw
    for index, raw in enumerate(entries if isinstance(entries, list) else ()):
        if shape is None or shape.is_sound(index):
            yield index, raw


def check_parts(document: Document, kind: str) -> Shape:
    """Add a problem to the document for each violation of the kind's schema; say which parts are sound."""
    wrong: list[tuple[str | int, ...]] = list(document.doubtful)
    lacking: list[tuple[str | int, ...]] = []
    said = {problem.place for problem in document.problems}
    left = _PROBLEMS_MAX
    for error in _validator(kind).iter_errors(document.raw):
        found = _violation(error)
        if _is_doubted(document, found):
            continue
        is_of_key = found.of_name or found.keyword == "additionalProperties"
        problems = [] if _is_mistyped(found) else list(islice(_problems(document, found), left))
        document.problems.extend(each for each in problems if not is_of_key or each.place not in said)
        left -= len(problems)
        if left <= 0:
            document.add((), "too many problems; the rest of the file was not looked at")
            wrong.append(())
            break
        (lacking if found.keyword in _ABOUT_KEYS else wrong).append(tuple(found.path))
    return Shape(wrong=tuple(wrong), lacking=tuple(lacking))


def _is_doubted(document: Document, found: _Violation) -> bool:
    """Say whether a violation may come of nothing but a doubtful value, which has been reported."""
    path = tuple(found.path)
    return any(
        path[: len(route)] == route or (route[: len(path)] == path and found.keyword not in _ABOUT_KEYS)
        for route in document.doubtful
    )


def _is_mistyped(found: _Violation) -> bool:
    """Say whether a key is missing only because it is mistyped: that is said of the unknown key."""
    if found.keyword != "required" or found.schema.get("additionalProperties", True) is not False:
        return False
    known = found.schema.get("properties", {})
    meant = f"did you mean `{_missing_key(found)}`?"
    return any(unknown_key_cure(str(key), known) == meant for key in found.instance if key not in known)


def check_shape(document: Document, kind: str) -> bool:
    """Add a problem to the document for each violation of the kind's schema; say whether there was none."""
    return check_parts(document, kind).whole


@cache
def _validator(kind: str) -> "Draft202012Validator":
    from jsonschema import Draft202012Validator

    schema = load_schema(kind)
    return Draft202012Validator(_written_out(schema, schema, ()))


def _written_out(part: Any, whole: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    """
    Return a part of a schema, what its references lead to written in their places, and what only people read left out.

    A rules repository has hundreds of files, and a reference costs more than what it leads to.
    One that leads back to where it stands, or has other keywords of its own beside it, stays.
    """
    if isinstance(part, list):
        return [_written_out(each, whole, within) for each in part]
    if not isinstance(part, Mapping):
        return part
    named = part.get("$ref")
    if isinstance(named, str) and named not in within:
        target = whole
        for step in named.removeprefix("#/").split("/"):
            target = target[step]
        beside = {key: value for key, value in part.items() if key != "$ref"}
        if not (beside.keys() & target.keys()) - _ANNOTATIONS:
            return {**_written_out(target, whole, (*within, named)), **_written_out(beside, whole, within)}
    return {
        key: value if key in ("enum", "const") else _written_out(value, whole, within)
        for key, value in part.items()
        if key not in _FOR_PEOPLE or not isinstance(value, (str, list))
    }


def _problems(document: Document, found: _Violation) -> Iterator[Problem]:
    if found.keyword == "additionalProperties":
        yield from _unknown_keys(document, found)
    elif found.of_name:
        yield _bad_key(document, found)
    else:
        message, cure = _message(found)
        shown = path_text(found.path)
        text = f"{shown}: {message}" if shown else message
        yield Problem(place=document.place(found.path), message=text, cure=cure)


def _unknown_keys(document: Document, found: _Violation) -> Iterator[Problem]:
    known = sorted(found.schema.get("properties", {}))
    where = f" in {path_text(found.path)}" if found.path else ""
    for key in found.instance:
        if key in known:
            continue
        shown = untrusted(str(key), characters_max=60)
        cure = unknown_key_cure(str(key), found.schema.get("properties", {}))
        place = document.key_place([*found.path, str(key)])
        yield Problem(place=place, message=f"unknown key `{shown}`{where}", cure=cure)


def _bad_key(document: Document, found: _Violation) -> Problem:
    key = untrusted(str(found.instance), characters_max=60)
    where = f" in {path_text(found.path)}" if found.path else ""
    return Problem(
        place=document.key_place([*found.path, str(found.instance)]),
        message=f"the key `{key}`{where} must be {found.schema.get('x-must-be', 'a name')}",
    )


def _message(found: _Violation) -> tuple[str, str]:
    """Return message and cure of a violation that is about one value."""
    wanted = found.schema.get("x-must-be")
    limit = found.limit
    if found.schema.get("x-secret"):
        # What stands there may be the secret itself.
        return f"must be {wanted}", ""
    match found.keyword:
        case "required":
            return _missing(found)
        case "enum":
            return _not_listed(found)
        case "type":
            return _wrong_type(found)
        case "minItems" | "minProperties":
            return "must not be empty" if limit == 1 else f"must have at least {limit} entries", ""
        case "maxItems" | "maxProperties":
            return f"has {len(found.instance)} entries; at most {limit} are allowed", ""
        case "uniqueItems":
            return "has an entry twice", "keep one of them"
        case "minimum" | "maximum":
            least, most = found.schema.get("minimum"), found.schema.get("maximum")
            return f"must be from {least} to {most}, not {number_text(found.instance)}", ""
        case "maxLength":
            return f"is longer than {limit} characters", ""
        case "anyOf" if (bounds := _exceeded(found)) is not None:
            return bounds, ""
        case _:
            cure = form_cure(wanted or "", found.instance)
            return f"must be {wanted or 'of another form'}, not {_kind_of(found.instance)}", cure


def _exceeded(found: _Violation) -> str | None:
    """Return what is wrong with a count that is out of its bounds; None when it is something else."""
    count = found.instance[0] if isinstance(found.instance, list) and found.instance else found.instance
    bounds: Mapping[str, Any] = next((form for form in found.limit if form.get("type") == "integer"), {})
    if isinstance(count, bool) or not isinstance(count, int) or "maximum" not in bounds:
        return None
    least, most = bounds["minimum"], bounds["maximum"]
    return None if least <= count <= most else f"the count must be from {least} to {most}, not {count}"


def _missing_key(found: _Violation) -> str:
    # jsonschema reports one error per missing key and names it only in its message.
    absent = [str(name) for name in found.limit if name not in found.instance]
    return next((name for name in absent if found.message.startswith(repr(name))), absent[0])


def _missing(found: _Violation) -> tuple[str, str]:
    missing = _missing_key(found)
    title = found.schema.get("properties", {}).get(missing, {}).get("title", "")
    title = "" if title.lower() == missing else title[:1].lower() + title[1:]
    because = " (mode: fix needs it)" if found.schema_path[0] == "then" else ""
    return f"the key `{missing}` is missing{because}", f"add `{missing}:`" + (f", {title}" if title else "")


def _not_listed(found: _Violation) -> tuple[str, str]:
    allowed = [str(value) for value in found.limit]
    return f"must be {_either(allowed)}, not {_kind_of(found.instance)}", listed_cure(found.instance, allowed)


def _wrong_type(found: _Violation) -> tuple[str, str]:
    allowed = [found.limit] if isinstance(found.limit, str) else list(found.limit)
    wanted = found.schema.get("x-must-be") or _either([_TYPE_WORDS[name] for name in allowed])
    is_scalar = isinstance(found.instance, (bool, int, float))
    cure = "put it in quotes" if wanted == "text" and is_scalar else form_cure(wanted, found.instance)
    if allowed == ["array"]:
        cure = list_cure(found.instance, found.schema.get("items"))
    return f"must be {wanted}, not {_kind_of(found.instance)}", cure


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _kind_of(value: object) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return f"{str(value).lower()}, a boolean"
        case int() | float():
            return f"{number_text(value)}, a number"
        case str():
            return f"'{untrusted(value, characters_max=60)}'" if value else "empty text"
        case list():
            return "a list"
        case _:
            return "a mapping"
