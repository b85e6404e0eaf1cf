"""The shape of a file: JSON Schema, each violation turned into one message at its place."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remedy.errors import Problem
from remedy.load.document import Document, Route, path_text
from remedy.text import nearest, number_text, untrusted

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

__all__ = ["SCHEMA_KINDS", "check_shape", "load_schema"]

SCHEMA_KINDS = ("rule", "signal", "tests", "remedy", "inventory")

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
    path = Path(__file__).parent / "schemas" / f"{kind}.schema.json"
    with path.open(encoding="utf-8") as file:
        schema: dict[str, Any] = json.load(file)
    return schema


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


def check_shape(document: Document, kind: str) -> bool:
    """Add a problem to the document for each violation of the kind's schema; say whether there was none."""
    before = len(document.problems)
    for error in _validator(kind).iter_errors(document.raw):
        document.problems.extend(_problems(document, _violation(error)))
    return len(document.problems) == before


@cache
def _validator(kind: str) -> "Draft202012Validator":
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load_schema(kind))


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
        near = nearest(str(key), known, most=1)
        cure = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
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
        case _:
            return f"must be {wanted or 'of another form'}, not {_kind_of(found.instance)}", ""


def _missing(found: _Violation) -> tuple[str, str]:
    # jsonschema reports one error per missing key and names it only in its message.
    absent = [str(name) for name in found.limit if name not in found.instance]
    missing = next((name for name in absent if found.message.startswith(repr(name))), absent[0])
    title = found.schema.get("properties", {}).get(missing, {}).get("title", "")
    because = " (mode: fix needs it)" if found.schema_path[0] == "then" else ""
    return f"the key `{missing}` is missing{because}", f"add `{missing}:`" + (f", {title}" if title else "")


def _not_listed(found: _Violation) -> tuple[str, str]:
    allowed = [str(value) for value in found.limit]
    near = nearest(found.instance, allowed, most=1) if isinstance(found.instance, str) else ()
    cure = f"did you mean `{near[0]}`?" if near else ""
    return f"must be {_either(allowed)}, not {_kind_of(found.instance)}", cure


def _wrong_type(found: _Violation) -> tuple[str, str]:
    allowed = [found.limit] if isinstance(found.limit, str) else list(found.limit)
    wanted = found.schema.get("x-must-be") or _either([_TYPE_WORDS[name] for name in allowed])
    is_scalar = isinstance(found.instance, (bool, int, float))
    cure = "put it in quotes" if wanted == "text" and is_scalar else ""
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
