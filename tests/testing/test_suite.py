"""The whole of a suite: scripts go into the cage, what it skips is counted, signals have cases of their own."""

from datetime import date
from pathlib import Path

import pytest

from remedy.cage import CageAnswer, CageJob
from remedy.cli.commands.test import _exit_code
from remedy.testing.report import checked_of, suite_json, suite_lines, summary_line
from remedy.testing.results import Kind, State, Suite
from remedy.testing.suite import Asked, find_targets, run_suite
from tests.testing.rules_folder import write_rules
from tests.testing.test_coverage import FULL

_TESTS = f"""\
{FULL}
- case: an unknown one
  now: 2026-11-22T03:00:00Z
  hosts: {{a: {{}}}}
  expect: {{a: unknown}}

- fix: it ends well
  row: {{thing: a, level: 6}}
  expect: {{exit_code: 0}}
"""
_COLLECT = """\
- collect: it prints nothing
  expect: {failed: no rows}
"""


class _SkippingCage:
    """Runs nothing, and counts what it was asked for."""

    def __init__(self) -> None:
        self.jobs: list[CageJob] = []

    def run(self, job: CageJob) -> CageAnswer:
        """Skip."""
        self.jobs.append(job)
        return CageAnswer(skipped="no cage here")


def _ran(path: Path, asked: Asked | None = None) -> tuple[Suite, list[CageJob]]:
    cage = _SkippingCage()
    suite, _ = run_suite(
        find_targets([path]), asked or Asked(), cage=cage, today=date(2026, 11, 22), progress=lambda text: None
    )
    return suite, cage.jobs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of rules with cases of conditions, of a fix and of a collector."""
    root = write_rules(tmp_path, _TESTS)
    (root / "signals" / "gauge" / "tests.yaml").write_text(_COLLECT)
    return root


def test_skipped_cases_are_counted_and_no_success(root: Path) -> None:
    """What the cage skips is said with its reason in the last line; with --strict the exit code is 4."""
    suite, jobs = _ran(root)

    assert len(jobs) == 2
    assert (
        summary_line(suite)
        == "2 rules and 1 signal, 7 cases: 5 passed, 2 skipped (no cage here); signals without cases: flag"
    )
    assert [line.split(": ", 1)[1] for line in suite_lines(suite)] == [
        "high: it ends well: skipped: no cage here",
        "gauge: it prints nothing: skipped: no cage here",
    ]
    assert (_exit_code(suite, strict=False), _exit_code(suite, strict=True)) == (0, 4)
    assert [each.state for each in checked_of(suite)].count("skipped") == 2
    assert suite_json(suite)["skipped"] == 2


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        (".", {Kind.CASE, Kind.FIX, Kind.COLLECT}),
        ("high", {Kind.CASE, Kind.FIX}),
        ("tall", {Kind.CASE}),
        ("signals/gauge", {Kind.COLLECT}),
        ("signals/gauge/tests.yaml", {Kind.COLLECT}),
    ],
)
def test_path_of_a_rule_or_signal_means_its_own_cases(root: Path, path: str, kinds: set[Kind]) -> None:
    """The folder of rules has all cases; that of a rule or a signal, and their tests.yaml, have their own."""
    suite, _ = _ran(root / path)

    assert {each.kind for each in suite.tested} == kinds


def test_only_what_is_asked_for_is_run_in_the_cage(root: Path) -> None:
    """A rule's name means no signal, and a text chooses among the cases of fixes and collectors, too."""
    of_rule, rule_jobs = _ran(root, Asked(rules=("high",)))
    of_text, text_jobs = _ran(root, Asked(text="PRINTS"))

    assert {each.kind for each in of_rule.tested} == {Kind.CASE, Kind.FIX}
    assert [each.name for each in of_text.tested] == ["it prints nothing"]
    assert (len(rule_jobs), len(text_jobs)) == (1, 1)


def test_rule_whose_file_is_broken_starts_nothing(root: Path) -> None:
    """Where a tests.yaml has a mistake none of its cases is run, and no script of it."""
    (root / "high" / "tests.yaml").write_text(_TESTS.replace("exit_code: 0", "exit_cod: 0"))

    suite, jobs = _ran(root / "high")

    assert jobs == []
    assert [(each.state, each.kind) for each in suite.tested] == [(State.BROKEN, Kind.FILE)]
    assert _exit_code(suite, strict=False) == 1
