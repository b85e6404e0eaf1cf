"""The cases of every starter rule, and that there are enough of them."""

from pathlib import Path

import pytest

from remedy.load.cases import Case, load_cases
from remedy.load.repository import load_repository, starter_rules
from remedy.model import Key, Scope, Verdict, key_text
from remedy.verdicts import by_host, judge

_RULES = starter_rules()
_REPOSITORY = load_repository(_RULES)
_CASES = [
    (name, case)
    for name, rule in _REPOSITORY.rules.items()
    for case in load_cases(_RULES / name / "tests.yaml", _REPOSITORY, rule)
]


def _verdicts(name: str, case: Case) -> dict[str, Verdict | tuple[Key, ...]]:
    scope = Scope(rule=_REPOSITORY.rules[name], hosts=case.hosts, exempt_names=())
    said: dict[str, Verdict | tuple[Key, ...]] = {}
    for judgement in judge([scope], by_host(case.readings), _REPOSITORY.signals):
        keys = tuple(sorted((finding.key for finding in judgement.findings), key=key_text))
        bare = keys and not isinstance(case.expect[judgement.host], tuple)
        said[judgement.host] = judgement.verdict if bare or not keys else keys
    return said


@pytest.mark.parametrize(("name", "case"), _CASES, ids=[f"{name}: {case.name}" for name, case in _CASES])
def test_case_comes_out_as_expected(name: str, case: Case) -> None:
    """Every host of a case gets exactly the verdict, and the matching rows, that the case expects."""
    said = _verdicts(name, case)

    assert said == dict(case.expect)


@pytest.mark.parametrize("name", sorted(_REPOSITORY.rules))
def test_cases_show_each_kind_of_verdict(name: str) -> None:
    """Every starter rule has a case with a match, one with a healthy host, and one with an unknown one."""
    expected = [verdict for rule, case in _CASES if rule == name for verdict in case.expect.values()]

    assert any(isinstance(verdict, tuple) or verdict is Verdict.MATCH for verdict in expected)
    assert Verdict.HEALTHY in expected
    assert Verdict.UNKNOWN in expected


@pytest.mark.parametrize("name", sorted(_REPOSITORY.rules))
def test_rule_folder_is_small(name: str) -> None:
    """A rule's folder holds at most six files, and only what the wheel carries: YAML and scripts."""
    files = [Path(place) for place in sorted((_RULES / name).iterdir())]

    assert len(files) <= 6
    assert {place.suffix for place in files} <= {".yaml", ".sh", ".ps1"}
