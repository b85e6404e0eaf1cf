"""Coverage and mutants: what the cases of a rule show of its conditions, and which mistakes they would let pass."""

from pathlib import Path

import pytest
from hypothesis import given

from remedy.conditions.evaluate import bind
from remedy.conditions.tree import Constant, Node
from remedy.load import load_cases, load_repository, starter_rules
from remedy.model import Row
from remedy.testing.coverage import PartCoverage, rule_coverage
from remedy.testing.mutants import mutants_of
from remedy.testing.surviving import is_noticed, surviving_mutants
from remedy.testing.trees import parts_of, replaced
from tests.conditions.trees import PARAMS, booleans, others, rows
from tests.testing.rules_folder import case, write_rules

FULL = """\
- case: what matches
  now: 2026-11-22T03:00:00Z
  hosts:
    a:
      readings:
        gauge:
          - {thing: above, level: 6, other: 0, broken: false}
          - {thing: at, level: 5, other: 9, broken: false}
          - {thing: below, level: 4, other: 9, broken: false}
          - {thing: broken, level: 9, other: 0, broken: true}
          - {thing: level-unread, level: null, broken: false}
          - {thing: broken-unread, level: 9, broken: null}
  expect:
    a: {match: [{thing: above}], unknown: [{thing: level-unread}, {thing: broken-unread}]}

- case: what proves a fix
  now: 2026-11-22T03:00:00Z
  hosts:
    a:
      readings:
        gauge:
          - {thing: at, level: 4, broken: false}
          - {thing: below, level: 3.9, other: 9, broken: false}
          - {thing: unread, level: null, other: 0, broken: true}
  expect: {a: healthy}
  fixed: {a: [{thing: below}]}

- case: what is exempt
  now: 2026-11-22T03:00:00Z
  hosts:
    archive: {readings: {gauge: [{thing: kept, level: 9, broken: false}, {thing: free, level: 9, broken: false}]}}
    other: {readings: {gauge: [{thing: kept, level: 9, broken: false}]}}
  expect:
    archive: {match: [{thing: kept}, {thing: free}]}
    other: {match: [{thing: kept}]}
  held: {archive: {exempt: [{thing: kept}]}}
"""


def _parts(directory: Path, text: str, **rule: str) -> dict[str, PartCoverage]:
    root = write_rules(directory, text, **rule)
    repository = load_repository(root)
    high = repository.rules["high"]
    cases = load_cases(root / "high" / "tests.yaml", repository, high)
    return {f"{part.condition}: {part.text}": part for part in rule_coverage(high, cases, repository.signals).parts}


def test_coverage_counts_the_rows_that_show_each_part(tmp_path: Path) -> None:
    """Each part of each condition has its rows counted: true, false, unknown, alone decisive, at the boundary."""
    parts = _parts(tmp_path, FULL)

    level = parts["when: level > params.above"]
    assert list(parts) == [
        "when: level > params.above",
        "when: broken",
        "verify.until: level < params.above - 1",
        "exempt[0].where: thing = 'kept'",
    ]
    # Rows of all three cases: above, broken, broken-unread, kept and free, kept; at, below, at, below; two unread.
    assert (level.true, level.false, level.unknown, level.at_boundary) == (6, 4, 2, 1)
    # Where the service is broken, or that is unknown, the level decides nothing.
    assert (level.alone_true, level.alone_false) == (4, 4)
    assert level.gaps == ()
    assert parts["when: broken"].at_boundary is None
    assert (parts["when: broken"].alone_true, parts["when: broken"].alone_false) == (1, 4)
    assert parts["verify.until: level < params.above - 1"].gaps == ()
    assert parts["exempt[0].where: thing = 'kept'"].gaps == ("never unknown",)


_ONE_SIDED = ("never false", "never unknown", "never decides alone by being true", "no row is at its boundary")


@pytest.mark.parametrize(
    ("row", "part", "gaps"),
    [
        ("{thing: a, level: 6, broken: true}", "level", _ONE_SIDED),
        (
            "{thing: a, level: 4, broken: false}",
            "broken",
            ("never true", "never unknown", "never decides alone by being false"),
        ),
        ("{thing: a, level: null, broken: null}", "broken", ("never true", "never false")),
    ],
)
def test_gaps_say_what_no_row_shows(tmp_path: Path, row: str, part: str, gaps: tuple[str, ...]) -> None:
    """What is missing is said in words, part by part."""
    parts = _parts(tmp_path, case(f"{{a: {{readings: {{gauge: [{row}]}}}}}}", "{a: unknown}"))

    assert [each.gaps for name, each in parts.items() if name.startswith(f"when: {part}")] == [gaps]


def test_rows_nobody_asserts_cover_nothing(tmp_path: Path) -> None:
    """Rows of ignored hosts, of hosts outside the pattern and of stale readings show nothing."""
    row = "{thing: a, level: 5, broken: false}"
    hosts = (
        f"{{a: {{readings: {{gauge: [{row}]}}}}, b: {{groups: [lab], readings: {{gauge: [{row}]}}}},"
        f" c: {{readings: {{gauge: {{rows: [{row}], age: 1h}}}}}}}}"
    )
    parts = _parts(tmp_path, case(hosts, "{b: not_selected, c: unknown}", "ignored: [a]"))

    assert {part.true + part.false + part.unknown for part in parts.values()} == {0}


def test_full_cases_notice_every_mutant(tmp_path: Path) -> None:
    """Cases with a row at each boundary and each part alone decisive notice whatever is planted."""
    root = write_rules(tmp_path, FULL)
    repository = load_repository(root)
    high = repository.rules["high"]
    cases = load_cases(root / "high" / "tests.yaml", repository, high)

    planted, survivors = surviving_mutants(high, cases, repository.signals)

    assert planted >= 18
    assert [(each.kind, each.at, each.text) for each in survivors] == []


def test_mutants_that_nobody_notices_are_told(tmp_path: Path) -> None:
    """Without a row at the boundary, `>=` in place of `>` passes, and so does a limit that is off by one unit."""
    rows = "{thing: a, level: 9, other: 0, broken: false}, {thing: b, level: 1, other: 0, broken: false}"
    root = write_rules(tmp_path, case(f"{{a: {{readings: {{gauge: [{rows}]}}}}}}", "{a: {match: [{thing: a}]}}"))
    repository = load_repository(root)
    high = repository.rules["high"]
    cases = load_cases(root / "high" / "tests.yaml", repository, high)

    _, survivors = surviving_mutants(high, cases, repository.signals)

    told = {(each.kind, each.text) for each in survivors if each.at in ("when", "params.above")}
    assert told == {
        ("flip", "level >= params.above and not broken"),
        ("dropped part", "level > params.above and true"),
        ("off by one unit", "6"),
        ("off by one unit", "4"),
    }


def test_mutants_are_of_every_kind() -> None:
    """Over the starter rules every kind of mistake is planted, at least ten in each rule that has so many places."""
    repository = load_repository(starter_rules())
    planted = {name: list(mutants_of(rule, repository.signals)) for name, rule in repository.rules.items()}

    kinds = {mutant.kind for mutants in planted.values() for mutant in mutants}
    assert kinds == {"flip", "off by one unit", "dropped part", "swapped column", "and/or"}
    # stale-reboot has one number, one flag, and no second column of either type.
    assert {name: len(mutants) for name, mutants in planted.items() if len(mutants) < 10} == {"stale-reboot": 9}
    for name, mutants in planted.items():
        texts = [(mutant.at, mutant.text) for mutant in mutants]
        assert len(set(texts)) == len(texts), name


def test_starter_cases_notice_every_mutant_of_a_condition() -> None:
    """The cases of the starter rules notice every mistake that is planted in a condition or a limit of it."""
    root = starter_rules()
    repository = load_repository(root)
    missed = []
    planted = 0
    for name, rule in repository.rules.items():
        cases = load_cases(root / name / "tests.yaml", repository, rule)
        for mutant in mutants_of(rule, repository.signals):
            planted += 1
            if not is_noticed(mutant, cases, repository.signals):
                missed.append((name, mutant.at, mutant.text))
    print(f"mutants of conditions: {planted - len(missed)} of {planted} noticed")

    assert planted >= 120
    assert missed == []


@given(booleans(3), rows(), others())
def test_whole_takes_of_a_part_only_its_truth(tree: Node, row: Row, other: dict[str, Row | None]) -> None:
    """Whatever part of a condition is replaced by what it is on a row, the whole says the same of that row."""
    said = bind(tree, PARAMS)(row, other)
    parts = list(parts_of(tree))

    assert parts
    for part in parts:
        truth = bind(part, PARAMS)(row, other)
        if truth is not None:
            assert bind(replaced(tree, part, Constant(value=truth)), PARAMS)(row, other) is said
