"""What a case expects is compared with what the rule says: whatever differs, more or less, fails and is explained."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.errors import Place
from remedy.load import load_cases, load_repository
from remedy.load.cases import Case, Expected, ExpectedVerdict
from remedy.model import Host, Key, Reading, ReadingStatus, Rule, Signal
from remedy.testing.comparing import Difference, differences
from remedy.testing.judging import judge_case
from tests.testing.rules_folder import case, write_rules

HIGH = "{thing: a, level: 6, other: 0, broken: false}"
EVEN = "{thing: b, level: 5, other: 9, broken: false}"
UNREAD = "{thing: c, level: null, broken: false}"


def _host(*rows: str) -> str:
    return f"{{h: {{readings: {{gauge: [{', '.join(rows)}]}}}}}}"


def _found(directory: Path, text: str, **rule: str) -> tuple[Difference, ...]:
    root = write_rules(directory, text, **rule)
    repository = load_repository(root)
    high = repository.rules["high"]
    [one] = load_cases(root / "high" / "tests.yaml", repository, high)
    return differences(one, judge_case(one, high, repository.signals))


@pytest.mark.parametrize(
    ("rows", "expect"),
    [
        ([HIGH], "{h: {match: [{thing: a}]}}"),
        ([HIGH, EVEN], "{h: {match: [{thing: a}]}}"),
        ([HIGH, UNREAD], "{h: {match: [{thing: a}], unknown: [{thing: c}]}}"),
        ([EVEN, UNREAD], "{h: {unknown: [{thing: c}]}}"),
        ([EVEN, UNREAD], "{h: {unknown: level}}"),
        ([EVEN, UNREAD], "{h: unknown}"),
        ([EVEN], "{h: healthy}"),
    ],
)
def test_what_is_expected_exactly_passes(tmp_path: Path, rows: list[str], expect: str) -> None:
    """A case that says exactly what the rule says differs in nothing."""
    assert _found(tmp_path, case(_host(*rows), expect)) == ()


@pytest.mark.parametrize(
    ("rows", "expect", "actual"),
    [
        ([HIGH], "{h: healthy}", "match of thing=a"),
        ([EVEN], "{h: {match: [{thing: b}]}}", "healthy"),
        ([HIGH, "{thing: d, level: 7, broken: false}"], "{h: {match: [{thing: a}]}}", "match of thing=a, thing=d"),
        ([HIGH], "{h: {match: [{thing: a}, {thing: z}]}}", "match of thing=a"),
        ([HIGH, UNREAD], "{h: {match: [{thing: a}]}}", "match of thing=a and unknown of thing=c: not read: level"),
        ([HIGH], "{h: {match: [{thing: a}], unknown: [{thing: c}]}}", "match of thing=a"),
        ([UNREAD], "{h: {unknown: [{thing: b}]}}", "unknown of thing=c: not read: level"),
        ([UNREAD], "{h: {unknown: other}}", "unknown of thing=c: not read: level"),
        ([UNREAD], "{h: {unknown: leve}}", "unknown of thing=c: not read: level"),
        ([UNREAD], "{h: healthy}", "unknown of thing=c: not read: level"),
        ([EVEN], "{h: unknown}", "healthy"),
        ([EVEN], "{h: not_applicable}", "healthy"),
        ([EVEN], "{h: not_selected}", "healthy"),
    ],
)
def test_whatever_differs_fails(tmp_path: Path, rows: list[str], expect: str, actual: str) -> None:
    """One row more, one less, another verdict, another unknown row or another reason: each is a difference."""
    [found] = _found(tmp_path, case(_host(*rows), expect))

    assert (found.about, found.actual) == ("h", actual)


def test_difference_names_the_conjunct_that_decided(tmp_path: Path) -> None:
    """A difference has the place of the host in the file, and the conjuncts that decided with what they read."""
    rows = ["{thing: a, level: 4, broken: true}", HIGH.replace("a,", "b,")]
    [found] = _found(tmp_path, case(_host(*rows), "{h: {match: [{thing: a}, {thing: z}]}}"))

    assert (Path(found.place.file).name, found.place.line) == ("tests.yaml", 4)
    assert found.expected == "match of thing=a, thing=z"
    assert found.why == (
        "thing=a: `level > params.above` is false  [level=4, params.above=5]",
        "thing=a: `not broken` is false  [broken=true]",
        "thing=z: there is no such row",
        "thing=b: `level > params.above` is true  [level=6, params.above=5]",
        "thing=b: `not broken` is true  [broken=false]",
    )


@pytest.mark.parametrize(
    ("reading", "part", "same"),
    [
        ("{failed: timeout}", "timeout", True),
        ("{failed: timeout}", "failed", True),
        ("{failed: timeout}", "time", False),
        ("{failed: timeout}", "Timeout", False),
        ("{unreachable: no route (host down)}", "(host down)", True),
        ("{rows: [{thing: a}], age: 11m}", "stale", True),
        ("{rows: [{thing: a}], age: 11m}", "11m old, at most 10m", True),
        ("{rows: [{thing: a, level: 0}], age: 10m}", "stale", False),
        ("{rows: [{thing: a}], observed_at: 2026-11-22T03:00:01Z}", "after now", True),
        ('{output: "{\\"thing\\": 3}"}', "thing is no text", True),
    ],
)
def test_reason_is_a_part_in_whole_words(tmp_path: Path, reading: str, part: str, same: bool) -> None:
    """The text beside unknown stands in the reason, letter by letter, and never ends inside a word."""
    text = case(f"{{h: {{readings: {{gauge: {reading}}}}}}}", f'{{h: {{unknown: "{part}"}}}}')

    assert (_found(tmp_path, text) == ()) is same


def test_host_outside_the_pattern_is_not_selected(tmp_path: Path) -> None:
    """A host that the rule's `hosts` do not name is not judged, so a mistyped pattern makes its cases fail."""
    hosts = f"{{w: {{groups: [web], readings: {{gauge: [{HIGH}]}}}}, l: {{groups: [lab]}}}}"
    expect = "{w: {match: [{thing: a}]}, l: not_selected}"
    whole, mistyped = tmp_path / "whole", tmp_path / "mistyped"

    assert _found(whole, case(hosts, expect), hosts="web:!lab") == ()
    assert [each.actual for each in _found(mistyped, case(hosts, expect), hosts="wbe")] == [
        "not_selected: the rule's hosts are `wbe`"
    ]


def test_mistyped_exclusion_is_found(tmp_path: Path) -> None:
    """An exclusion that names nothing selects the host that the case says is left out."""
    text = case(f"{{l: {{groups: [lab], readings: {{gauge: [{HIGH}]}}}}}}", "{l: not_selected}")

    [found] = _found(tmp_path, text, hosts="all:!labb")

    assert found.actual == "match of thing=a"


def test_ignored_host_may_say_anything(tmp_path: Path) -> None:
    """Nothing is expected of an ignored host, not even of its holds and of what would prove a fix."""
    rows = f"{HIGH}, {{thing: z, level: 0, broken: false}}"
    hosts = f"{{a: {{readings: {{gauge: [{EVEN}]}}}}, b: {{readings: {{gauge: [{rows}]}}}}}}"
    text = case(hosts, "{a: healthy}", "ignored: [b]\nheld: {}\nfixed: {}", now="2026-11-24T03:00:00Z")

    assert _found(tmp_path, text) == ()


_KEPT = "{archive: {readings: {gauge: [{thing: kept, level: 9, broken: false}]}}}"
_MATCH = "{archive: {match: [{thing: kept}]}}"


@pytest.mark.parametrize(
    ("now", "held", "waves"),
    [
        ("2026-11-29T03:00:00Z", "{archive: {exempt: [{thing: kept}]}}", "[]"),
        ("2026-11-29T03:00:00Z", "{archive: exempt}", "[]"),
        ("2026-11-30T23:59:59Z", "{archive: exempt}", "[]"),
        ("2026-12-01T03:00:00Z", "{archive: outside_window}", "[]"),
        ("2026-12-05T03:00:00Z", "{}", "[[archive]]"),
    ],
)
def test_holds_are_those_of_the_plan_at_the_cases_clock(tmp_path: Path, now: str, held: str, waves: str) -> None:
    """An exemption holds through its last day, a change window opens and closes by the case's clock."""
    text = case(_KEPT, _MATCH, f"held: {held}\nwaves: {waves}", now=now)

    assert _found(tmp_path, text) == ()


@pytest.mark.parametrize(
    ("held", "expected", "actual"),
    [
        ("{}", "nothing is held", "exempt thing=kept"),
        ("{archive: outside_window}", "outside_window thing=kept", "exempt thing=kept"),
        ("{archive: {exempt: [{thing: other}]}}", "exempt thing=other", "exempt thing=kept"),
    ],
)
def test_holds_that_differ_fail(tmp_path: Path, held: str, expected: str, actual: str) -> None:
    """`held` is complete: a hold that is not named, another one, and one of another row are differences."""
    [found] = _found(tmp_path, case(_KEPT, _MATCH, f"held: {held}", now="2026-11-29T03:00:00Z"))

    assert (found.about, found.expected, found.actual) == ("held on archive", expected, actual)


def test_hold_of_a_host_without_a_match_fails(tmp_path: Path) -> None:
    """A hold on a host that has no matching row, or that is not selected, is a mistake and no truth about nothing."""
    hosts = f"{{h: {{readings: {{gauge: [{EVEN}]}}}}, l: {{groups: [lab]}}}}"
    found = _found(tmp_path, case(hosts, "{h: healthy, l: not_selected}", "held: {h: exempt, l: exempt}"))

    assert [(each.about, each.actual) for each in found] == [
        ("held on h", "nothing is held"),
        ("held on l", "the host is not selected"),
    ]


_THREE = "{" + ", ".join(f"{name}: {{readings: {{gauge: [{HIGH}]}}}}" for name in "abc") + "}"
_ALL = "{a: {match: [{thing: a}]}, b: {match: [{thing: a}]}, c: {match: [{thing: a}]}}"


def test_waves_are_those_of_the_plan(tmp_path: Path) -> None:
    """Waves are complete and in order; the order of hosts within one does not matter."""
    [wrong] = _found(tmp_path / "wrong", case(_THREE, _ALL, "waves: [[a, b, c]]"))
    planned = wrong.actual

    assert planned.count("[") == 3
    assert _found(tmp_path / "right", case(_THREE, _ALL, f"waves: {planned}")) == ()


def test_blown_fuse_starts_nothing(tmp_path: Path) -> None:
    """When more hosts match than `matched` allows, there are no waves, and the difference says why."""
    text = case(_THREE, _ALL, "waves: [[a], [b, c]]")

    [found] = _found(tmp_path / "blown", text, matched="2")

    assert (found.actual, found.why[0][:40]) == ("[]", "the fuse holds everything back: 3 of 3 j")
    assert _found(tmp_path / "said", case(_THREE, _ALL, "waves: []"), matched="2") == ()


def test_mode_stands_in_for_the_rules(tmp_path: Path) -> None:
    """With `mode: observe` every match is held as observe_only, whatever the rule's own mode is."""
    text = case(_THREE, _ALL, "mode: observe\nheld: {a: observe_only, b: observe_only, c: observe_only}\nwaves: []")

    assert _found(tmp_path, text) == ()


@pytest.mark.parametrize(
    ("fixed", "actual"), [("{h: [{thing: x}]}", None), ("{}", "thing=x"), ("{h: [{thing: y}]}", "thing=x")]
)
def test_fixed_rows_are_those_that_prove_a_fix(tmp_path: Path, fixed: str, actual: str | None) -> None:
    """`fixed` has exactly the rows on which `when` is false and `until` true."""
    rows = (
        "{thing: x, level: 3.9, broken: false}",
        "{thing: y, level: 4, broken: false}",
        "{thing: z, level: null, broken: true}",
    )
    found = _found(tmp_path, case(_host(*rows), "{h: healthy}", f"fixed: {fixed}"))

    assert [each.actual for each in found] == ([] if actual is None else [actual])


_LEVELS = st.sampled_from([None, 4.0, 5.0, 6.0])
_TRUTHS = st.sampled_from([None, True, False])
_ROWS = st.lists(st.tuples(_LEVELS, _TRUTHS), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def high(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rule, Mapping[str, Signal]]:
    """The rule and its signals, loaded once."""
    repository = load_repository(write_rules(tmp_path_factory.mktemp("law"), None))
    return repository.rules["high"], repository.signals


@given(_ROWS, st.sampled_from(list(ExpectedVerdict)), st.sets(st.integers(0, 3)), st.sets(st.integers(0, 3)))
def test_only_one_expectation_passes(
    high: tuple[Rule, Mapping[str, Signal]],
    rows: list[tuple[float | None, bool | None]],
    verdict: ExpectedVerdict,
    match: set[int],
    unknown: set[int],
) -> None:
    """Whatever the rows: what says exactly the verdict, its rows and its unknown rows passes, and nothing else."""
    rule, signals = high
    read = tuple({"thing": str(at), "level": level, "broken": broken} for at, (level, broken) in enumerate(rows))
    place = Place(file="tests.yaml", line=1, column=1)
    now = datetime(2026, 11, 22, 3, tzinfo=UTC)
    reading = Reading(host="h", signal="gauge", observed_at=now, status=ReadingStatus.OK, rows=read)
    expected = Expected(verdict=verdict, match=_keys(match), unknown=_keys(unknown), place=place)
    one = Case(
        name="x",
        now=now,
        hosts=(Host(name="h"),),
        readings=(reading,),
        expect={"h": expected},
        place=place,
        held_place=place,
        waves_place=place,
        fixed_place=place,
    )
    true = {at for at, (level, broken) in enumerate(rows) if level == 6.0 and broken is False}
    false = {at for at, (level, broken) in enumerate(rows) if broken is True or (level is not None and level < 6)}
    open_rows = set(range(len(rows))) - true - false
    said = ExpectedVerdict.MATCH if true else ExpectedVerdict.UNKNOWN if open_rows else ExpectedVerdict.HEALTHY

    found = differences(one, judge_case(one, rule, signals))

    assert (found == ()) is ((verdict, match, unknown) == (said, true, open_rows))


def _keys(numbers: set[int]) -> tuple[Key, ...]:
    return tuple((("thing", str(number)),) for number in sorted(numbers))
