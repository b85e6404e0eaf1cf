"""Each check finds its mistakes, exactly there, and nothing in what only looks like one."""

import re
from pathlib import Path

import pytest

from remedy.lint.checks import CHECKS, SUPERSEDED
from remedy.lint.finding import Level
from tests.lint.planted import DATA, Planted, own_lines, read_planted

FILES = sorted(DATA.glob("*.txt"))
PLANTED = [planted for path in FILES for planted in read_planted(path)]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.code}-{planted.number}")
def test_planted_script_has_exactly_its_findings(planted: Planted) -> None:
    """Lint says of a planted script what its data file says, no more and no less."""
    assert own_lines(planted) == list(planted.expect)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_check_has_bad_and_good_scripts(path: Path) -> None:
    """A check has at least three scripts with its mistake, and three without any."""
    scripts = read_planted(path)
    bad = [planted for planted in scripts if planted.is_bad]
    good = [planted for planted in scripts if not planted.is_bad]

    assert len(bad) >= 3
    assert len(good) >= 3
    assert all(any(re.match(rf"\d+:\d+: {path.stem} ", line) for line in planted.expect) for planted in bad)
    assert not any(planted.expect for planted in good)


def test_every_check_has_a_data_file() -> None:
    """No check is without planted mistakes, and no data file without a check."""
    assert {path.stem for path in FILES} == set(CHECKS)


def test_every_check_says_what_and_why_and_the_cure() -> None:
    """A check's sentence, reason and cure are there, and a sentence belongs to one check only."""
    for code, check in CHECKS.items():
        assert re.fullmatch(r"R[0-4][0-9]{2}", code)
        assert check.sentence[-1].isalpha() or check.sentence[-1].isdigit()
        assert check.why.endswith(".")
        assert check.cure

    assert len({check.sentence for check in CHECKS.values()}) == len(CHECKS)
    assert [*CHECKS] == sorted(CHECKS)


def test_powershell_grammar_never_fails_a_script() -> None:
    """What only the grammar does not take is a warning at most: it is not PowerShell's own."""
    assert CHECKS["R010"].level is Level.WARNING
    assert CHECKS["R011"].level is Level.NOTE


def test_superseding_checks_exist() -> None:
    """What is said instead of shellcheck's words is a check of ours."""
    assert {ours for codes in SUPERSEDED.values() for ours in codes} <= set(CHECKS)
