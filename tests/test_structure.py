"""The structure of the code: what is public says so, layers hold, starting is light."""

import ast
import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest

import remedy
import remedy_runners
from remedy.model import Hold, Outcome, OutcomeClass, Skip, Verdict
from remedy.rollout import HaltedBy

REPOSITORY = Path(__file__).parents[1]
VAGUE = {"utils", "util", "helpers", "helper", "misc", "common", "manager", "context", "engine"}
HEAVY = ("paramiko", "cryptography", "jsonschema", "sqlite3", "yaml")


def _module_names() -> Iterator[str]:
    for package in (remedy, remedy_runners):
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield found.name


MODULES = sorted(_module_names())


def _tree(name: str) -> ast.Module:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _public(tree: ast.Module) -> set[str]:
    """Return the functions and classes that a module defines at its top under a public name."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}


def _exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            found: list[str] = ast.literal_eval(node.value)
            return found
    return None


def test_modules_of_both_packages_are_found() -> None:
    """The walk below sees the packages whole."""
    assert {"remedy.plan", "remedy.cli.commands.apply", "remedy_runners.ssh"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_module_exports_exactly_what_is_public(name: str) -> None:
    """`__all__` holds once every public function and class, and nothing that is not there or is private."""
    tree = _tree(name)
    exported = _exported(tree)
    if exported is None:
        assert not _public(tree)
        return
    module = importlib.import_module(name)

    assert sorted(set(exported)) == sorted(exported)
    assert not [each for each in exported if not hasattr(module, each)]
    assert not [each for each in exported if each.startswith("_") and not each.startswith("__")]
    assert _public(tree) <= set(exported)


@pytest.mark.parametrize("name", MODULES)
def test_module_names_say_what_is_in_them(name: str) -> None:
    """No module, and no class, hides behind utils, helper, manager, engine or context."""
    words = {word.lower() for public in _public(_tree(name)) for word in re.findall(r"[A-Z][a-z]+|[a-z]+", public)}

    assert not VAGUE & set(name.split("."))
    assert not {"manager", "helper", "helpers", "engine", "utils"} & words


@pytest.mark.parametrize(
    "words", [Skip, Hold, Outcome, OutcomeClass, Verdict, HaltedBy], ids=lambda words: words.__name__
)
def test_words_in_output_are_lower_case_snake(words: type[StrEnum]) -> None:
    """Enum values in YAML, JSON and audit are lower-case words, each equal to its name."""
    for word in words:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", word.value)
        assert word.value == word.name.lower()


def test_import_contracts_hold() -> None:
    """Layers import downwards only, pure modules touch nothing, runners decide nothing."""
    program = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run(
        [str(program), "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=110
    )

    assert checked.returncode == 0, checked.stdout
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", checked.stdout)


_SHOW_HELP = """
import json, sys
from remedy.cli.main import main
sys.argv = ["remedy", "--help"]
try:
    code = main()
except SystemExit as exc:
    code = exc.code
print(json.dumps({"code": code or 0, "modules": sorted(sys.modules)}), file=sys.stderr)
"""


def test_help_imports_nothing_heavy() -> None:
    """`remedy --help` shows the help and loads no SSH, cryptography, schema, database or YAML library."""
    shown = subprocess.run(
        [sys.executable, "-c", _SHOW_HELP], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    told = json.loads(shown.stderr.splitlines()[-1])

    loaded = {name.partition(".")[0] for name in told["modules"]}
    assert told["code"] == 0
    assert "apply" in shown.stdout
    assert "typer" in loaded
    assert not loaded & set(HEAVY)


PURE = ["errors", "text", "limits", "canonical", "model", "port", "readings", "verdicts", "gate", "rollout", "plan"]


@pytest.mark.parametrize("name", [*PURE, "outcomes", "summary"])
def test_pure_modules_hold_no_state(name: str) -> None:
    """A pure module names nothing at its top but constants and types, re-binds none of them, and says what it is."""
    module = importlib.import_module(f"remedy.{name}")
    tree = _tree(f"remedy.{name}")

    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert all(each == "__all__" or each.lstrip("_")[:1].isupper() for each in assigned)
    assert not any(isinstance(node, ast.Global) for node in ast.walk(tree))
    assert inspect.getdoc(module)
