"""Which fact is asked of which way, in the everyday run or in the slow one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TypeVar

import pytest

__all__ = ["Ways", "facts_of", "needs_link"]

_Fact = TypeVar("_Fact", bound=Callable[..., None])


def needs_link(fact: _Fact) -> _Fact:
    """Ask a fact only of hosts that a link leads to."""
    fact.__dict__["needs_link"] = True
    return fact


def facts_of(*modules: ModuleType) -> Mapping[str, Callable[..., None]]:
    """
    Return the facts that modules have, for a test module to take them as its own.

    Raises:
        ValueError: two have one name.
    """
    facts: dict[str, Callable[..., None]] = {}
    for module in modules:
        for name, value in vars(module).items():
            if name.startswith("test_"):
                if name in facts:
                    raise ValueError(f"two facts are named {name}")
                facts[name] = value
    return facts


@dataclass(frozen=True, kw_only=True)
class Ways:
    """
    The ways that a test module asks the facts of, as parameters of one of its fixtures.

    The `everyday` ones in the everyday run, the `other` ones in the slow run only. To
    those `without_link` no link leads.
    """

    fixture: str
    everyday: Sequence[str]
    other: Sequence[str] = ()
    without_link: Sequence[str] = ()

    def give(self, metafunc: pytest.Metafunc) -> None:
        """Parametrise a fact; for `pytest_generate_tests`."""
        ways = [
            pytest.param(way, marks=pytest.mark.slow if way in self.other else ())
            for way in (*self.everyday, *self.other)
            if not (way in self.without_link and "needs_link" in metafunc.function.__dict__)
        ]
        metafunc.parametrize(self.fixture, ways, indirect=True)
