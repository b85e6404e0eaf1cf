"""The published schemas: complete, closed, and in agreement with what loads."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from remedy.load.inventory.graph import REMEDY_VARIABLES
from remedy.load.nodes import plain
from remedy.load.schema import SCHEMA_KINDS, load_schema
from remedy.load.yaml_events import INVENTORY_LIMITS, read_yaml
from tests.load.tables import DATA, files


def _objects(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema below a schema that describes a mapping with named keys."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and not path.endswith("/if"):
            yield path, schema
        for key, value in schema.items():
            yield from _objects(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from _objects(value, f"{path}/{index}")


@pytest.mark.parametrize("kind", SCHEMA_KINDS)
def test_schema_is_published_json_schema(kind: str) -> None:
    """Each kind of file has a valid JSON Schema of 2020-12 with a title and a description."""
    schema = load_schema(kind)
    Draft202012Validator.check_schema(schema)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize("kind", SCHEMA_KINDS)
def test_schema_allows_no_unknown_key(kind: str) -> None:
    """Every mapping with named keys refuses others; only Ansible's variables may be anything."""
    open_ones = [
        path for path, schema in _objects(load_schema(kind)) if schema.get("additionalProperties") is not False
    ]

    assert open_ones == (["/$defs/vars"] if kind == "inventory" else [])


@pytest.mark.parametrize("kind", ["rule", "signal", "remedy"])
def test_schema_describes_every_key(kind: str) -> None:
    """Every key at the top of a file has a title and a description, which editors show."""
    schema = load_schema(kind)
    keys = schema["properties"]
    undescribed = [
        key
        for key, value in keys.items()
        if not {"title", "description"} <= {*value, *schema.get("$defs", {}).get(value.get("$ref", "")[8:], {})}
    ]

    assert undescribed == []


@pytest.mark.parametrize("name", [name for name in files("valid") if name.startswith("inventory/valid-nested")])
def test_inventory_schema_agrees_with_the_loader(name: str) -> None:
    """The inventory's schema, which editors use, accepts a valid inventory and refuses what the loader refuses."""
    validator = Draft202012Validator(load_schema("inventory"))
    refused = [
        "unknown-section",
        "hosts-list",
        "host-name",
        "remedy-variable",
        "platform",
        "not-mapping",
        "group-is-list",
    ]

    def read(file: str) -> Any:
        return plain(read_yaml((DATA / file).read_bytes(), file=file, limits=INVENTORY_LIMITS))

    assert validator.is_valid(read(name))
    assert [kind for kind in refused if validator.is_valid(read(f"inventory/invalid-{kind}.yaml"))] == []


def test_inventory_schema_knows_every_variable_of_ours() -> None:
    """The remedy_* variables of schema and loader are the same."""
    properties = load_schema("inventory")["$defs"]["vars"]["properties"]

    assert sorted(name for name in properties if name.startswith("remedy_")) == sorted(REMEDY_VARIABLES)


def test_import_of_load_is_light() -> None:
    """Importing remedy.load imports neither yaml nor jsonschema: the command line starts with it."""
    code = "import sys, remedy.load; print(sorted({'yaml', 'jsonschema'} & set(sys.modules)))"

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert answer.stdout.strip() == "[]"
