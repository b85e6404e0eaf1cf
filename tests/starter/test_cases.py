"""The cases of every starter rule, run as `remedy test` runs them, and that they show the whole condition."""

from datetime import date
from pathlib import Path

import pytest

from remedy.cage import CageAnswer, CageJob
from remedy.load.repository import load_repository, starter_rules
from remedy.testing.results import CheckedCase, Kind, State, Suite
from remedy.testing.suite import Asked, find_targets, run_suite

_RULES = starter_rules()
_NAMES = sorted(load_repository(_RULES).rules)


class _NoCage:
    """Runs no script."""

    def run(self, job: CageJob) -> CageAnswer:
        """Skip."""
        del job
        return CageAnswer(skipped="no cage in this test")


@pytest.fixture(scope="module")
def suite() -> Suite:
    """All starter rules, tested once, with their coverage; what needs a cage is skipped, and tested elsewhere."""
    targets, asked = find_targets([_RULES]), Asked(coverage=True)
    suite, _ = run_suite(targets, asked, cage=_NoCage(), today=date(2026, 11, 22), progress=lambda text: None)
    return suite


@pytest.mark.parametrize("name", _NAMES)
def test_cases_come_out_as_expected(suite: Suite, name: str) -> None:
    """Everything that the cases of a starter rule say of its condition, its holds and its waves is so."""
    of_rule: list[CheckedCase] = [each for each in suite.tested if each.rule == name and each.kind is not Kind.FIX]

    assert len([each for each in of_rule if each.kind is Kind.CASE]) >= 3
    assert [each for each in of_rule if each.state is not State.PASSED] == []


def test_cases_show_every_part_of_every_condition(suite: Suite) -> None:
    """The rows decide each part of a condition alone, both ways, leave it unknown, and lie at its boundary."""
    assert suite.coverage is not None
    parts = [(rule.rule, part) for rule in suite.coverage for part in rule.parts]

    assert {rule for rule, _ in parts} == set(_NAMES)
    assert [(rule, part.condition, part.text, part.gaps) for rule, part in parts if part.gaps] == []


def test_cases_show_what_people_will_copy() -> None:
    """Among the starter rules' cases are waves, holds, ages, raw output and rows that would prove a fix."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(_RULES.glob("*/tests.yaml")))

    assert [key for key in ("waves:", "held:", "age:", "output:", "fixed:", "mode: fix") if key not in text] == []


@pytest.mark.parametrize("name", _NAMES)
def test_rule_folder_is_small(name: str) -> None:
    """A rule's folder holds at most six files, and only what the wheel carries: YAML and scripts."""
    files = [Path(place) for place in sorted((_RULES / name).iterdir())]

    assert len(files) <= 6
    assert {place.suffix for place in files} <= {".yaml", ".sh", ".ps1"}
