"""The facts about the loader where the shell is PowerShell: by name, as not run; and that their list is true."""

import ast
from pathlib import Path

import pytest

from tests.behaviour.loader import CASES, NONE, titles
from tests.powershell_lane.command import all_cases

RUNNERS = Path(__file__).parents[1] / "runners"
HOSTS_ONLY = {"test_markers", "test_markers_odd"}
"""Modules that have tests of the controller alone, too: those that ask for no host."""
KNOWN = tuple(case.title for case in all_cases())


def _facts(module: str) -> set[str]:
    tests = [
        each
        for each in ast.parse((RUNNERS / f"{module}.py").read_text(encoding="utf-8")).body
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    ]
    return {each.name for each in tests if module not in HOSTS_ONLY or "host" in {arg.arg for arg in each.args.args}}


@pytest.mark.parametrize("module", CASES)
def test_every_fact_of_the_loader_is_listed_once(module: str) -> None:
    """Each fact that is proved for POSIX shells says what stands for it; none that is listed is gone."""
    listed = [*CASES[module], *NONE.get(module, {})]

    assert sorted(listed) == sorted(_facts(module))


def test_no_module_is_listed_for_its_excuses_alone() -> None:
    """A module of which nothing is said but why it does not count is not in the list."""
    assert set(NONE) <= set(CASES)


@pytest.mark.parametrize(("module", "fact"), [(module, fact) for module, facts in CASES.items() for fact in facts])
def test_case_that_stands_for_a_fact_is_in_the_lane(module: str, fact: str) -> None:
    """Each case named is one that `scripts/test-powershell --list` names."""
    assert titles(CASES[module][fact], KNOWN)


def test_case_that_is_not_there_is_missed() -> None:
    """A title, or a pattern, that stands for no case is an error."""
    for patterns in (["lock: of another name"], ["lock: *", "of another group: *"]):
        with pytest.raises(LookupError):
            titles(patterns, KNOWN)


@pytest.mark.parametrize(
    ("module", "fact"),
    [
        pytest.param(module, fact, id=f"{module}-{fact.removeprefix('test_')}")
        for module, facts in CASES.items()
        for fact in facts
    ],
)
def test_powershell(module: str, fact: str) -> None:
    """The fact holds where the shell is PowerShell; never run here, and named one by one in the summary."""
    pytest.skip(f"{module}: {fact}: runs in scripts/test-powershell only: no PowerShell here")
