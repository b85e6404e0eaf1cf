"""Verdicts: unknown never becomes a match, and taking information away adds no finding and no execution."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.model import (
    KEY_ROWS_MAX,
    Condition,
    Exemption,
    Finding,
    Host,
    Key,
    Platform,
    Reading,
    ReadingStatus,
    Row,
    RowPromise,
    Scope,
    Verdict,
)
from remedy.plan import Plan
from remedy.verdicts import Judgement, KeyVerdict, by_host, needed_signals, other_rows, verdict_of_key
from tests.conditions.trees import PARAMS, booleans, compiled, text_of
from tests.core.builders import (
    BOOLEAN,
    BOOT,
    CERTIFICATE,
    DISK,
    NOTE,
    NOW,
    NUMBER,
    SIGNALS,
    TEXT,
    exemption,
    hosts,
    judged,
    planned,
    reading,
    rule,
    scope,
    signal,
    unseen,
)

WEB = hosts("web-1")
LOW = {"mount": "/", "free_percent": 3}
FINE = {"mount": "/srv", "free_percent": 90}
DARK = {"mount": "/mnt", "free_percent": None}


def _one(*readings: Reading, when: str = "free_percent < params.below", host: Host = WEB[0]) -> Judgement:
    (judgement,) = judged([scope(rule(when=when), [host])], readings)
    return judgement


VERDICTS: dict[str, tuple[list[Mapping[str, Any]], Verdict, int, int]] = {
    "a low row": ([LOW], Verdict.MATCH, 1, 0),
    "a fine row": ([FINE], Verdict.HEALTHY, 0, 0),
    "a dark row": ([DARK], Verdict.UNKNOWN, 0, 1),
    "an absent column": ([{"mount": "/"}], Verdict.UNKNOWN, 0, 1),
    "low beside fine and dark": ([LOW, FINE, DARK], Verdict.MATCH, 1, 1),
    "fine beside dark": ([FINE, DARK], Verdict.UNKNOWN, 0, 1),
    "two low": ([LOW, {**LOW, "mount": "/var"}], Verdict.MATCH, 2, 0),
}


@pytest.mark.parametrize(("rows", "verdict", "findings", "unknown"), VERDICTS.values(), ids=VERDICTS.keys())
def test_verdict_of_a_host_is_that_of_its_rows(
    rows: list[Mapping[str, Any]], verdict: Verdict, findings: int, unknown: int
) -> None:
    """Any matching row makes a match, else any unknown row an unknown, else healthy; all of them are told."""
    found = _one(reading(DISK, "web-1", *rows))

    assert (found.verdict, len(found.findings), len(found.unknown_rows)) == (verdict, findings, unknown)


def test_finding_has_the_row_that_proves_it() -> None:
    """A finding names rule, host and key, and holds the row as it was read."""
    found = _one(reading(DISK, "web-1", FINE, LOW))

    assert found.findings == (
        Finding(rule="low-disk", host="web-1", key=(("mount", "/"),), row={"mount": "/", "free_percent": 3.0}),
    )


@pytest.mark.parametrize("status", [ReadingStatus.FAILED, ReadingStatus.UNREACHABLE, ReadingStatus.REFUSED])
def test_reading_without_rows_is_unknown_with_its_reason(status: ReadingStatus) -> None:
    """Failed, unreachable and refused are unknown, and say why."""
    found = _one(unseen(DISK, "web-1", status, reason="no route"))

    assert (found.verdict, found.reason) == (Verdict.UNKNOWN, f"{status.value}: no route")


def test_host_without_a_reading_is_unknown() -> None:
    """Nothing heard is not healthy."""
    found = _one()

    assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "no reading")


def test_rows_of_a_reading_that_is_not_ok_are_not_looked_at() -> None:
    """Rows beside another status than ok are no rows."""
    found = _one(replace(reading(DISK, "web-1", LOW), status=ReadingStatus.FAILED))

    assert (found.verdict, found.findings) == (Verdict.UNKNOWN, ())


def test_not_applicable_is_said_by_the_collector_or_by_its_absence() -> None:
    """The collector says not_applicable, or there is none for the platform; the reason tells which."""
    said = _one(unseen(DISK, "web-1", ReadingStatus.NOT_APPLICABLE, reason="a container"))
    linux_only = replace(DISK, collect={Platform.LINUX: DISK.collect[Platform.LINUX]})
    scopes = [scope(rule(), hosts("win-1", platform=Platform.WINDOWS))]
    from remedy.verdicts import judge

    (absent,) = judge(scopes, {}, {"disk": linux_only})

    assert (said.verdict, said.reason) == (Verdict.NOT_APPLICABLE, "a container")
    assert (absent.verdict, absent.reason) == (Verdict.NOT_APPLICABLE, "signal disk has no collector for windows")


def test_no_rows_are_healthy_only_where_any_number_is_promised() -> None:
    """`rows: any` without a row is no trouble."""
    (found,) = judged([scope(rule(when="text = 'x'", of=NOTE, params={}), WEB)], [reading(NOTE, "web-1")])

    assert found.verdict is Verdict.HEALTHY


def test_parameters_of_a_host_override_those_of_the_rule_one_by_one() -> None:
    """A host's own parameter decides on that host alone; the others keep the rule's."""
    strict = replace(WEB[0], params={"low-disk": {"below": 2.0}})
    scopes = [scope(rule(params={"below": 10.0, "other": 1.0}), [strict, *hosts("web-2")])]

    found = judged(scopes, [reading(DISK, "web-1", LOW), reading(DISK, "web-2", LOW)])

    assert [each.verdict for each in found] == [Verdict.HEALTHY, Verdict.MATCH]


OTHERS = [
    ([reading(BOOT, "web-1", {"pending": True})], Verdict.MATCH),
    ([reading(BOOT, "web-1", {"pending": False})], Verdict.HEALTHY),
    ([reading(BOOT, "web-1", {"pending": None})], Verdict.UNKNOWN),
    ([reading(BOOT, "web-1", {"days": 3})], Verdict.UNKNOWN),
    ([], Verdict.UNKNOWN),
    ([unseen(BOOT, "web-1", ReadingStatus.FAILED)], Verdict.UNKNOWN),
    ([unseen(BOOT, "web-1", ReadingStatus.NOT_APPLICABLE)], Verdict.UNKNOWN),
    ([reading(BOOT, "web-1", {"pending": True}, at=NOW - timedelta(hours=1))], Verdict.UNKNOWN),
    ([reading(BOOT, "web-1", {"pending": True}, at=NOW + timedelta(seconds=1))], Verdict.UNKNOWN),
    ([reading(BOOT, "web-2", {"pending": True})], Verdict.UNKNOWN),
]


@pytest.mark.parametrize(("others", "verdict"), OTHERS)
def test_column_of_another_signal_is_null_unless_its_one_row_is_fresh(others: list[Reading], verdict: Verdict) -> None:
    """A condition that reads another signal is unknown where that has no certain, fresh row on the same host."""
    found = _one(reading(DISK, "web-1", LOW), *others, when="free_percent < 10 and boot.pending")

    assert found.verdict is verdict


def test_other_signal_with_two_rows_has_no_certain_row() -> None:
    """Two rows where one is meant are null, whichever comes first."""
    both = reading(CERTIFICATE, "web-1", {"port": 1}, {"port": 2})

    assert other_rows(("certificate",), {"certificate": both}) == {"certificate": None}


def test_needed_signals_are_those_of_conditions_and_exemptions() -> None:
    """A rule needs its own signal, those its condition reads, and those its exemptions read."""
    exempting = rule(when="free_percent < 10 and boot.pending", exempt=(exemption("all", "note.text = 'x'"),))

    assert needed_signals([exempting]) == ("boot", "disk", "note")


def test_newest_of_two_readings_is_judged() -> None:
    """An older reading of the same host and signal says nothing any more."""
    old = reading(DISK, "web-1", LOW, at=NOW - timedelta(minutes=1))

    assert _one(old, unseen(DISK, "web-1", ReadingStatus.FAILED)).verdict is Verdict.UNKNOWN


# One row again, before and after a fix

ROOT: Key = (("mount", "/"),)


def _key_verdict(*rows: Mapping[str, Any], key: Key = ROOT) -> KeyVerdict:
    found = reading(DISK, "web-1", *rows)
    return verdict_of_key(_one(found), found, DISK, key)


def test_key_is_looked_up_among_all_rows() -> None:
    """A key's verdict is that of its own row, whatever the others say."""
    rows = (LOW, FINE, DARK)

    found = [_key_verdict(*rows, key=(("mount", mount),)).verdict for mount in ("/", "/srv", "/mnt")]

    assert found == [Verdict.MATCH, Verdict.HEALTHY, Verdict.UNKNOWN]


def test_row_that_is_gone_is_unknown_unless_rows_may_go() -> None:
    """A volume that is gone proves nothing; a note that is gone is healthy, for its signal promises any rows."""
    gone = _key_verdict(FINE)
    of = rule(when="text = 'x'", of=NOTE, params={})
    empty = reading(NOTE, "web-1")
    (judgement,) = judged([scope(of, WEB)], [empty])
    removed = verdict_of_key(judgement, empty, NOTE, ())

    assert (gone.verdict, gone.row, gone.gone) == (Verdict.UNKNOWN, None, True)
    assert (removed.verdict, removed.row, removed.gone) == (Verdict.HEALTHY, None, True)


@pytest.mark.parametrize("status", [status for status in ReadingStatus if status is not ReadingStatus.OK])
@pytest.mark.parametrize("of", [DISK, NOTE], ids=lambda of: of.name)
def test_key_of_a_reading_without_rows_is_unknown_and_not_gone(of: Any, status: ReadingStatus) -> None:
    """What could not be read is never taken for a row that went away, not even where rows may go."""
    found = unseen(of, "web-1", status)
    when = "text = 'x'" if of is NOTE else "free_percent < 10"
    (judgement,) = judged([scope(rule(when=when, of=of, params={}), WEB)], [found])

    verdict = verdict_of_key(judgement, found, of, ROOT if of is DISK else ())

    assert (verdict.verdict, verdict.gone) == (Verdict.UNKNOWN, False)


def test_key_without_any_reading_is_unknown() -> None:
    """No reading at all says nothing of a row."""
    assert verdict_of_key(_one(), None, DISK, ROOT).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(("rows", "verdict"), [(KEY_ROWS_MAX, Verdict.MATCH), (KEY_ROWS_MAX + 1, Verdict.UNKNOWN)])
def test_more_matching_rows_than_ten_are_a_broken_sensor(rows: int, verdict: Verdict) -> None:
    """At the re-check, ten matching rows are believed, eleven are not."""
    found = _key_verdict(
        *({"mount": f"/{number}", "free_percent": 3} for number in range(rows)), key=(("mount", "/3"),)
    )

    assert found.verdict is verdict


# Removing information never adds

MAIN = signal(
    "main", {"mount": TEXT, "a": NUMBER, "b": NUMBER, "s": TEXT, "t": TEXT, "p": BOOLEAN, "q": BOOLEAN}, key=("mount",)
)
TREE_BOOT = signal("boot", {"days": NUMBER, "kernel": TEXT, "pending": BOOLEAN}, rows=RowPromise.ONE)
ALONE = signal(
    "alone", {"a": NUMBER, "b": NUMBER, "s": TEXT, "t": TEXT, "p": BOOLEAN, "q": BOOLEAN}, rows=RowPromise.ANY
)
TREE_SIGNALS = {each.name: each for each in (MAIN, TREE_BOOT, ALONE)}

LIKELY = [
    compiled(text)
    for text in (
        "a < params.limit or b > 2",
        "not (a > 99)",
        "a <> b",
        "p or not q",
        "boot.pending or a < 50",
        "not boot.pending",
        "boot.days > 1 and s <> 'nothing'",
        "a - b < 100 or s like '%'",
        "a in (1, 2, 3) or t = s",
        "length(s) < 3",
        "true",
    )
]
CONDITIONS = st.sampled_from(LIKELY) | booleans(2).map(lambda tree: compiled(text_of(tree)))

NUMBERS = st.sampled_from((None, 0, 1, 2, 3, 10, 0.1, 99.9, -3))
TEXTS = st.sampled_from((None, "", "a", "ab", "web_1", "b%"))
TRUTHS = st.sampled_from((None, True, False))
TREE_ROWS = {"a": NUMBERS, "b": NUMBERS, "s": TEXTS, "t": TEXTS, "p": TRUTHS, "q": TRUTHS}
BOOT_ROWS = {"days": NUMBERS, "kernel": TEXTS, "pending": TRUTHS}

Fleet = dict[str, dict[str, list[dict[str, Any]]]]
"""By host and signal, the rows as a collector prints them."""


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """Draw what the collectors of up to four hosts print; a signal may be missing."""
    fleet: Fleet = {}
    for name in ("web-1", "web-2", "db-1", "db-2")[: draw(st.integers(1, 4))]:
        mounts = draw(st.lists(st.sampled_from(("/", "/srv", "/var", "/tmp")), unique=True, min_size=1))
        fleet[name] = {
            "main": [{"mount": mount, **draw(st.fixed_dictionaries(TREE_ROWS))} for mount in mounts],
            "boot": [draw(st.fixed_dictionaries(BOOT_ROWS))],
            "alone": [draw(st.fixed_dictionaries(TREE_ROWS))],
        }
    return fleet


@st.composite
def scopes_of(draw: st.DrawFn, names: list[str]) -> list[Scope]:
    """Draw rules over both signals, with exemptions on some hosts, some with a `where`."""
    members = hosts(*names)
    found = []
    for number in range(draw(st.integers(1, 3))):
        exempt = tuple(
            Exemption(hosts="some", where=draw(st.none() | CONDITIONS), reason="by design", until=None)
            for _ in range(draw(st.integers(0, 2)))
        )
        of = draw(st.sampled_from((MAIN, MAIN, ALONE)))
        made = rule(f"rule-{number}", draw(CONDITIONS), of=of, params=dict(PARAMS), exempt=exempt)
        found.append(scope(made, members, *(draw(st.frozensets(st.sampled_from(names))) for _ in exempt)))
    return found


def _plan(scopes: list[Scope], fleet: Fleet) -> tuple[Plan, set[tuple[str, str, Key]]]:
    """Return the plan, and all findings, that a fleet's output leads to, through the reader."""
    readings = [
        reading(TREE_SIGNALS[name], host, *rows) for host, printed in fleet.items() for name, rows in printed.items()
    ]
    plan = planned(scopes, readings, signals=TREE_SIGNALS)
    findings = {
        (finding.rule, finding.host, finding.key)
        for judgement in judged(scopes, readings, signals=TREE_SIGNALS)
        for finding in judgement.findings
    }
    return plan, findings


def _poorer(fleet: Fleet) -> Iterator[Fleet]:
    """Yield the fleet without each of its hosts, readings, rows and column values, one at a time."""
    for host, printed in fleet.items():
        yield {name: kept for name, kept in fleet.items() if name != host}
        for name, rows in printed.items():
            without = {kept: value for kept, value in printed.items() if kept != name}
            yield {**fleet, host: without}
            for number, row in enumerate(rows):
                yield {**fleet, host: {**printed, name: rows[:number] + rows[number + 1 :]}}
                for column in row:
                    for changed in ({**row, column: None}, {k: v for k, v in row.items() if k != column}):
                        yield {**fleet, host: {**printed, name: [*rows[:number], changed, *rows[number + 1 :]]}}


def _known(fleet: Fleet) -> Fleet:
    """Return the fleet without readings that the reader refuses: one row without its key leaves none of them."""
    return {
        host: {name: rows for name, rows in printed.items() if reading(TREE_SIGNALS[name], host, *rows).status == "ok"}
        for host, printed in fleet.items()
    }


def _executions(plan: Plan) -> set[tuple[str, str, Key]]:
    return {(execution.rule, execution.host, execution.key) for execution in plan.executions}


@given(st.data())
def test_removing_information_adds_no_finding_and_no_execution(data: st.DataObject) -> None:
    """
    A fleet that lacks a reading, a row or a column value has no finding and no execution that the whole has not.

    Rules read other signals and have exemptions; `exempt.where` null exempts.
    """
    fleet = data.draw(fleets())
    scopes = data.draw(scopes_of(list(fleet)))
    plan, findings = _plan(scopes, fleet)
    poorer = list(_poorer(fleet))
    some = data.draw(st.lists(st.sampled_from(poorer), min_size=1, max_size=12))

    for less in some:
        less_plan, less_findings = _plan(scopes, less)

        assert less_findings <= findings
        assert _executions(less_plan) <= _executions(plan)


@settings(max_examples=50)
@given(st.data())
def test_removing_again_and_again_ends_with_nothing(data: st.DataObject) -> None:
    """Step by step, from everything known to nothing known, findings and executions only ever go."""
    fleet = data.draw(fleets())
    scopes = data.draw(scopes_of(list(fleet)))
    plan, findings = _plan(scopes, fleet)

    while fleet:
        fleet = _known(data.draw(st.sampled_from(list(_poorer(fleet)))))
        less_plan, less_findings = _plan(scopes, fleet)

        assert less_findings <= findings
        assert _executions(less_plan) <= _executions(plan)
        plan, findings = less_plan, less_findings
    assert not findings


def test_the_random_fleets_above_have_findings_holds_and_executions() -> None:
    """The likely conditions do match, and exemptions do hold and do not hold, so that the properties say something."""
    row = {"mount": "/", "a": 1, "b": 2, "s": "a", "t": "a", "p": True, "q": False}
    fleet: Fleet = {"web-1": {"main": [row], "boot": [{"days": 3, "kernel": "x", "pending": True}]}}
    matching = {text.text for text in LIKELY if _plan([scope(_of(text), WEB)], fleet)[1]}
    exempting = {text.text for text in LIKELY if not _plan([scope(_of(LIKELY[-1], text), WEB)], fleet)[0].executions}

    assert len(matching) >= 9
    assert len(exempting) >= 9
    assert len(exempting) < len(LIKELY)


def _of(when: Condition, where: Condition | None = None) -> Any:
    exempt = () if where is None else (Exemption(hosts="all", where=where, reason="by design", until=None),)
    return rule("rule", when, of=MAIN, params=dict(PARAMS), exempt=exempt)


def test_row_of_a_reading_is_not_changed_by_judging() -> None:
    """Judging and planning change no row, no reading and no scope that was handed in."""
    readings = [reading(DISK, "web-1", LOW, FINE, DARK)]
    before = copy.deepcopy(readings)

    planned([scope(rule(), WEB)], readings)

    assert readings == before


def test_readings_by_host_are_by_host_and_signal() -> None:
    """Each reading is found under its host and its signal."""
    disk, boot = reading(DISK, "web-1", LOW), reading(BOOT, "web-1", {"days": 1})
    other: Row = {"mount": "/", "free_percent": 3}

    assert by_host([disk, boot, reading(DISK, "web-2", other)]) == {
        "web-1": {"disk": disk, "boot": boot},
        "web-2": {"disk": reading(DISK, "web-2", other)},
    }
    assert set(SIGNALS) == {"disk", "boot", "certificate", "note"}
