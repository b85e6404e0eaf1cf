"""Remedy and ansible-core make the same of inventories and of patterns over them."""

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from remedy.errors import FilesError
from tests.ansible_oracle.comparing import NOT_COMPARED, Reading, ask_ansible, differences, patterns_for, read
from tests.ansible_oracle.oracle_case import Case
from tests.ansible_oracle.public_shapes import public_cases
from tests.ansible_oracle.random_trees import random_cases, unreadable_lines, value_cases

if importlib.util.find_spec("ansible") is None:
    pytest.skip("ansible-core, the oracle of inventories, is not installed", allow_module_level=True)

CASES = [*value_cases(), *public_cases(), *random_cases()]
_PATTERNS_A_CASE = 4
_EVERY_DAY = {
    *(case.name for case in CASES if case.is_public_shape and case.name.endswith("-0")),
    *(case.name for case in random_cases()[:16]),
    *(case.name for case in value_cases()),
}
PARAMETERS = [
    pytest.param(case, id=case.name, marks=() if case.name in _EVERY_DAY else pytest.mark.slow) for case in CASES
]


@pytest.fixture(scope="module")
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Ansible's answers and remedy's readings of the cases that this run asks for, in one go."""
    root = tmp_path_factory.mktemp("oracle")
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asking = [item.callspec.params for item in items if item.module is request.module and hasattr(item, "callspec")]
    wanted = {params["case"].name for params in asking if "case" in params}
    cases = [case for case in CASES if case.name in wanted]
    readings, asked = [], []
    for case in cases:
        source = case.write(root)
        reading = read(source)
        count = 0 if case.name == "values" else _PATTERNS_A_CASE
        patterns = patterns_for(reading, Random(case.name), count)
        readings.append(reading)
        asked.append({"source": str(source), "patterns": patterns, "variables": True})
    given = ask_ansible(asked, root)
    return {case.name: (reading, answer) for case, reading, answer in zip(cases, readings, given, strict=True)}


@pytest.mark.parametrize("case", PARAMETERS)
def test_inventory_and_patterns_agree(case: Case, answers: Mapping[str, tuple[Reading, Any]]) -> None:
    """Hosts, groups, their order, every variable with its type, and what patterns name are as in Ansible."""
    reading, answer = answers[case.name]

    assert differences(reading, answer) == []


def test_remedy_never_imports_ansible() -> None:
    """Ansible is for tests only: no module of remedy or its runners names it in an import."""
    root = Path(__file__).parents[2]
    sources = [*(root / "remedy").rglob("*.py"), *(root / "runners").rglob("*.py")]

    assert len(sources) > 100
    assert [path for path in sources if re.search(r"^\s*(?:import|from) ansible", path.read_text(), re.MULTILINE)] == []


def test_corpus_is_large_enough() -> None:
    """There are at least 300 inventories, at least half of the shapes that public ones have, and their names differ."""
    public = [case for case in CASES if case.is_public_shape]

    assert len(CASES) >= 300
    assert len(public) * 2 >= len(CASES)
    assert len({case.name for case in CASES}) == len(CASES)


def test_lines_that_ansible_cannot_read_are_refused(tmp_path: Path) -> None:
    """A line with a quotation that is not closed, or a word that is no assignment, is an error to both."""
    lines = unreadable_lines()
    cases = [Case(name=str(number), files={"hosts.ini": line}, source="hosts.ini") for number, line in enumerate(lines)]
    sources = [case.write(tmp_path) for case in cases]
    given = ask_ansible([{"source": str(source), "patterns": [], "variables": True} for source in sources], tmp_path)

    assert len(lines) >= 10
    assert [line for line, answer in zip(lines, given, strict=True) if "error" not in answer] == []
    for source in sources:
        with pytest.raises(FilesError):
            read(source)


_CHANGES: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "a host less": lambda answer: answer["hosts"].pop(),
    "another order": lambda answer: answer["groups"]["all"].reverse(),
    "a host in another group": lambda answer: answer["groups"]["web"].append("lone"),
    "another value": lambda answer: answer["variables"]["lone"].update(a=2),
    "another type": lambda answer: answer["variables"]["lone"].update(a=True),
    "a value less": lambda answer: answer["variables"]["lone"].clear(),
    "another host of a pattern": lambda answer: answer["patterns"]["web[0]"].append("lone"),
    "an error": lambda answer: answer.update(error="no"),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_difference_would_be_seen(tmp_path: Path, change: str) -> None:
    """Whatever Ansible says otherwise than remedy is a difference; the same is none."""
    source = Case(name="x", files={"hosts": "lone a=1\n[web]\nweb-1\nweb-2\n"}, source="hosts").write(tmp_path)
    reading = read(source)
    answer: dict[str, Any] = {
        "hosts": ["lone", "web-1", "web-2"],
        "groups": {"all": ["lone", "web-1", "web-2"], "ungrouped": ["lone"], "web": ["web-1", "web-2"]},
        "variables": {"lone": {"a": 1}, "web-1": {}, "web-2": {}},
        "patterns": {"web[0]": ["web-1"]},
    }
    before = differences(reading, answer)
    _CHANGES[change](answer)

    assert before == []
    assert len(differences(reading, answer)) == 1


def test_few_values_are_left_out_of_the_comparison(tmp_path: Path) -> None:
    """What remedy would refuse to use is the exception: sets, keys that are no text, numbers that are not finite."""
    reading = read(value_cases()[0].write(tmp_path))
    values = [str(value) for variables in reading.variables.values() for value in variables.values()]

    assert 0 < sum(NOT_COMPARED in value for value in values) < len(values) / 20
