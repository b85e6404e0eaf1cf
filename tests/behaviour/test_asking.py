"""That each fact about transport is asked, and of which ways."""

import ast
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.behaviour.asking import Ways, facts_of, needs_link
from tests.behaviour.facts import FACTS


def test_every_fact_of_the_package_is_asked() -> None:
    """Whatever fact a module here defines is among those that all ways are asked; there are not few."""
    written = {
        each.name
        for path in Path(__file__).parent.glob("*.py")
        if not path.name.startswith("test_")
        for each in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    }

    assert set(FACTS) == written
    assert len(FACTS) >= 20
    assert sum("needs_link" in fact.__dict__ for fact in FACTS.values()) >= 5


def test_two_facts_of_one_name_are_an_error() -> None:
    """No fact takes the place of another."""
    modules = [ModuleType("one"), ModuleType("two")]
    for module in modules:
        module.__dict__["test_x"] = lambda: None

    with pytest.raises(ValueError, match="test_x"):
        facts_of(*modules)


def _plain() -> None:
    """A fact."""


@needs_link
def _about_links() -> None:
    """A fact about links."""


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (_plain, {"a": False, "b": False, "c": True, "d": True}),
        (_about_links, {"b": False, "d": True}),
    ],
)
def test_ways_that_a_fact_is_asked_of(fact: Any, expected: dict[str, bool]) -> None:
    """Each way is asked, the other ones in the slow run; about links those that have one."""
    ways = Ways(fixture="way", everyday=("a", "b"), other=("c", "d"), without_link=("a", "c"))
    given: list[Any] = []
    metafunc: Any = SimpleNamespace(
        function=fact, parametrize=lambda name, each, indirect: given.extend(each if name == "way" and indirect else ())
    )

    ways.give(metafunc)

    assert {each.values[0]: [mark.name for mark in each.marks] == ["slow"] for each in given} == expected
