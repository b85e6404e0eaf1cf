"""The published schemas describe every key, and what they say of defaults and examples is true."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from remedy.load import load_cases, load_repository, starter_rules
from remedy.load.schema import SCHEMA_KINDS, load_schema, schema_bytes
from remedy.render.schema import schema_keys
from remedy.render.yaml_text import flow_text

_WITHOUT_DEFAULT = {
    "exempt[].where",
    "exempt[].until",
    "limits",
    "limits.attempts",
    "rollout",
    "fix.linux",
    "fix.windows",
}
"""Optional keys of a rule whose absence needs no word more than their description, and mappings of such keys."""


def _whole(node: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    name = node.get("$ref", "").removeprefix("#/$defs/")
    return {**(schema["$defs"][name] if name else {}), **node}


def _properties(node: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every key that a schema allows, by its path in the schema, with what its definition says."""
    if isinstance(node, dict):
        for name, inner in node.items():
            if name == "properties" and not path.endswith("/if"):
                yield from ((f"{path}/{key}", _whole(value, schema)) for key, value in inner.items())
            if name not in ("examples", "default", "if"):
                yield from _properties(inner, schema, f"{path}/{name}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from _properties(inner, schema, f"{path}/{index}")


def _all_properties(kind: str) -> dict[str, dict[str, Any]]:
    schema = load_schema(kind)
    return dict(_properties(schema, schema))


@pytest.mark.parametrize("kind", SCHEMA_KINDS)
def test_every_property_is_described(kind: str) -> None:
    """Each key, however deep, has a description of whole sentences."""
    descriptions = {path: node.get("description", "") for path, node in _all_properties(kind).items()}

    assert len(descriptions) > 5
    assert {path: text for path, text in descriptions.items() if not re.fullmatch(r"\S.{8,}\.", text)} == {}


@pytest.mark.parametrize("kind", SCHEMA_KINDS)
def test_every_property_has_an_example(kind: str) -> None:
    """Each key has an example, but for mappings and lists of mappings, whose own keys have them."""
    without = []
    for path, node in _all_properties(kind).items():
        has_keys = "properties" in node or "properties" in node.get("items", {})
        if not node.get("examples") and not has_keys:
            without.append(path)

    assert without == []


def _said_values(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any], Any]]:
    if isinstance(node, dict):
        for value in (*node.get("examples", ()), *([node["default"]] if "default" in node else [])):
            yield path, node, value
        for name, inner in node.items():
            if name not in ("examples", "default"):
                yield from _said_values(inner, f"{path}/{name}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from _said_values(inner, f"{path}/{index}")


@pytest.mark.parametrize("kind", SCHEMA_KINDS)
def test_examples_and_defaults_are_valid(kind: str) -> None:
    """What a schema gives as an example or default, it accepts."""
    schema = load_schema(kind)
    said = [
        (path, node, value) for path, node, value in _said_values(schema) if isinstance(node.get("examples", []), list)
    ]

    refused = [
        (path, value)
        for path, node, value in said
        if not Draft202012Validator({**node, "$defs": schema.get("$defs", {})}).is_valid(value)
    ]

    assert len(said) > 5
    assert refused == []


@pytest.mark.parametrize("kind", SCHEMA_KINDS)
def test_schema_is_named_for_editors(kind: str) -> None:
    """Each schema has an id that ends with its file's name, a title that names its file, and stable bytes."""
    schema = load_schema(kind)

    assert schema["$id"].endswith(f"/schemas/{kind}.schema.json")
    assert "inventory" in schema["title"] if kind == "inventory" else f"({kind}.yaml)" in schema["title"]
    assert schema_bytes(kind).decode() == json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


_RULE = """\
rule: sample
title: A sample
why: So that defaults can be seen.
owner: tests@example.org
mode: {mode}
hosts: all
signal: gauge
when: level < 10
fix: {{linux: {{script: clean.sh{linux}}}, windows: {{script: clean.ps1{windows}}}}}
risk: {risk}
verify: {{until: level >= 12{verify}}}
"""
_SIGNAL = """\
signal: gauge
title: A sample
columns: {level: number}
collect: {linux: {script: linux.sh}}
"""


def _digests(root: Path, rule: str, signal: str = _SIGNAL) -> tuple[str, str]:
    """Load a rule and the signal that it watches; return their digests."""
    for at in ("sample", "signals/gauge"):
        (root / at).mkdir(parents=True)
    for script in ("sample/clean.sh", "sample/clean.ps1", "signals/gauge/linux.sh"):
        (root / script).write_text("exit 0\n")
    (root / "sample/rule.yaml").write_text(rule)
    (root / "signals/gauge/signal.yaml").write_text(signal)
    repository = load_repository(root)
    return repository.rules["sample"].digest, repository.signals["gauge"].digest


def _rule(**parts: str) -> str:
    return _RULE.format(**{"mode": "fix", "risk": "safe", "linux": "", "windows": "", "verify": "", **parts})


def _defaults(kind: str) -> dict[str, Any]:
    """Return the default of each key that has one, nested as a file would hold them."""
    schema = load_schema(kind)
    nested: dict[str, Any] = {}
    for path, node in _by_key(schema, schema):
        if "default" in node and "NAME" not in path:
            at = nested
            for step in path[:-1]:
                at = at.setdefault(step, {})
            at[path[-1]] = node["default"]
    return nested


def _by_key(
    node: Mapping[str, Any], schema: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for part in (node, node.get("then", {})):
        for name, value in part.get("properties", {}).items():
            whole = _whole(value, schema)
            yield (*path, name), whole
            yield from _by_key(whole, schema, (*path, name))


def test_defaults_of_a_rule_are_the_loaders(tmp_path: Path) -> None:
    """A rule in which every default of the schema is written out means the same as one that leaves them out."""
    defaults = _defaults("rule")
    scripts = {platform: f", timeout: {keys['timeout']}" for platform, keys in defaults.pop("fix").items()}
    verify = "".join(f", {key}: {value}" for key, value in defaults.pop("verify").items())
    written = _rule(verify=verify, **scripts) + "".join(f"{key}: {flow_text(defaults[key])}\n" for key in defaults)

    assert set(defaults) == {"tags", "params", "exempt", "limits", "rollout", "change_windows"}
    assert _digests(tmp_path / "written", written) == _digests(tmp_path / "left-out", _rule())


@pytest.mark.parametrize(
    ("left_out", "written"),
    [
        (_rule(risk="safe"), _rule(risk="safe") + "rollout: {concurrency: 20}\n"),
        (_rule(risk="disruptive"), _rule(risk="disruptive") + "rollout: {concurrency: 1}\n"),
        (_rule(), _rule(linux=", needs_reboot_codes: []", windows=", needs_reboot_codes: [3010]")),
        (_rule(mode="observe").partition("risk:")[0], _rule(mode="observe").partition("risk:")[0] + "risk: safe\n"),
        (
            _rule(mode="observe").partition("verify:")[0],
            _rule(mode="observe").partition("verify:")[0] + "verify: later\n",
        ),
    ],
)
def test_defaults_that_depend_are_the_loaders(tmp_path: Path, left_out: str, written: str) -> None:
    """A default that the schema tells in words (by risk, platform or mode) is what the loader takes."""
    assert _digests(tmp_path / "written", written) == _digests(tmp_path / "left-out", left_out)


def test_defaults_of_a_signal_are_the_loaders(tmp_path: Path) -> None:
    """A signal in which every default of the schema is written out means the same as one that leaves them out."""
    defaults = _defaults("signal")
    timeout = defaults.pop("collect")["linux"]["timeout"]
    written = _SIGNAL.replace("linux.sh", f"linux.sh, timeout: {timeout}")
    written += "".join(f"{key}: {flow_text(value)}\n" for key, value in {**defaults, "rows": "one"}.items())

    assert set(defaults) == {"key", "params", "max_age"}
    assert _digests(tmp_path / "written", _rule(), written) == _digests(tmp_path / "left-out", _rule())


def test_defaults_of_a_case_are_the_loaders(tmp_path: Path) -> None:
    """A case in which every default of a host is written out is the same as one that leaves them out."""
    repository = load_repository(starter_rules())
    schema = load_schema("tests")
    host = schema["$defs"]["case"]["properties"]["hosts"]["additionalProperties"]["properties"]
    written = {name: node["default"] for name, node in host.items() if "default" in node}
    case = "- {{case: x, now: 2026-11-22T03:00:00Z, hosts: {{a: {host}}}, expect: {{a: unknown}}}}\n"
    for name, text in (("written", case.format(host=flow_text(written))), ("left-out", case.format(host="{}"))):
        (tmp_path / name).write_text(text)

    (one,), (other,) = (
        load_cases(tmp_path / name, repository, repository.rules["low-disk"]) for name in ("written", "left-out")
    )

    assert set(written) >= {"platform", "groups", "params", "readings"}
    assert (one.hosts, one.readings) == (other.hosts, other.readings)


def test_optional_keys_of_a_rule_say_their_default() -> None:
    """Whoever leaves out a key of a rule can read what holds instead."""
    silent = {key.path for key in schema_keys(load_schema("rule")) if not key.required and not key.default}

    assert silent == _WITHOUT_DEFAULT
