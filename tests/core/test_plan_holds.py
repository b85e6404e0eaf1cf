"""What is held back from a plan: by its rule, its history, an exemption, or a blown fuse."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from remedy.limits import Limit
from remedy.model import KEY_ROWS_MAX, Hold, Mode, Outcome, Platform, Reading
from remedy.plan import Plan
from remedy.summary import pending_executions
from tests.core.builders import BOOT, DISK, NOTE, NOW, exemption, full, hosts, planned, reading, rule, scope, script
from tests.core.plans import ROOT, attempt_ago, history_with, holds_of, planned_in

# Holds


def test_observe_rules_plan_nothing() -> None:
    """A rule that observes holds each finding, has no waves and no fuse, and says what would change it."""
    of = rule(mode=Mode.OBSERVE, matched=Limit(count=0))

    plan = planned([scope(of, hosts("web-1", "web-2"))], full("web-1", "web-2"))

    assert holds_of(plan) == {"web-1 mount=/": Hold.OBSERVE_ONLY, "web-2 mount=/": Hold.OBSERVE_ONLY}
    assert (plan.executions, plan.rules[0].waves, plan.rules[0].fuse) == ((), (), "")
    assert "mode: fix" in plan.held[0].held.lifted_by


def test_platform_without_a_fix_is_held() -> None:
    """A Windows host of a rule that mends Linux only is held; the Linux host is planned."""
    of = rule(fix={Platform.LINUX: script()})
    members = [*hosts("web-1"), *hosts("win-1", platform=Platform.WINDOWS)]

    plan = planned([scope(of, members)], full("web-1", "win-1"))

    assert holds_of(plan) == {"win-1 mount=/": Hold.NO_FIX_FOR_PLATFORM}
    assert planned_in(plan) == ["web-1 mount=/"]


@pytest.mark.parametrize(("rows", "held"), [(KEY_ROWS_MAX, 0), (KEY_ROWS_MAX + 1, KEY_ROWS_MAX + 1)])
def test_more_than_ten_matching_rows_are_held(rows: int, held: int) -> None:
    """Ten matching rows of a host are planned; of eleven none is."""
    plan = planned([scope(rule(), hosts("web-1"))], full("web-1", mounts=[f"/{number}" for number in range(rows)]))

    assert (len(plan.held), len(plan.executions)) == (held, rows - held)
    assert set(holds_of(plan).values()) <= {Hold.TOO_MANY_ROWS}


def test_rows_that_match_on_other_hosts_or_not_at_all_are_no_broken_sensor() -> None:
    """Many healthy rows, and many hosts with one matching row each, are planned as usual."""
    names = [f"web-{number}" for number in range(12)]
    rows = [{"mount": f"/{number}", "free_percent": 90} for number in range(20)]
    readings = [reading(DISK, name, {"mount": "/", "free_percent": 3}, *rows) for name in names]

    plan = planned([scope(rule(), hosts(*names))], readings)

    assert (len(plan.executions), plan.held) == (12, ())


def test_open_breaker_holds_the_whole_rule() -> None:
    """Every finding of a rule whose breaker is open is paused after something bad; the command closes it."""
    plan = planned([scope(rule(), hosts("web-1"))], full("web-1"), history=history_with(breakers={"low-disk": "2 bad"}))

    (item,) = plan.held
    assert (item.held.hold, item.held.after_bad) == (Hold.PAUSED, True)
    assert item.held.lifted_by == "remedy release low-disk --reason TEXT"


@pytest.mark.parametrize(
    ("outcome", "hold", "after_bad"),
    [
        (Outcome.FIXED, Hold.COOLING_DOWN, False),
        (Outcome.NOT_FIXED, Hold.COOLING_DOWN, True),
        (Outcome.LOST, Hold.QUARANTINED, True),
    ],
)
def test_history_of_an_incident_holds_it_alone(outcome: Outcome, hold: Hold, after_bad: bool) -> None:
    """An attempt holds its own incident; another key of the host, and another host, are planned."""
    history = history_with(attempts={("low-disk", "web-1", ROOT): (attempt_ago(timedelta(minutes=5), outcome),)})
    readings = [*full("web-1", mounts=("/", "/srv")), *full("web-2")]

    plan = planned([scope(rule(), hosts("web-1", "web-2"))], readings, history=history)

    assert holds_of(plan) == {"web-1 mount=/": hold}
    assert plan.held[0].held.after_bad is after_bad
    assert sorted(planned_in(plan)) == ["web-1 mount=/srv", "web-2 mount=/"]


def test_busy_host_is_planned_so_that_it_ends_as_busy() -> None:
    """A host on which something may still run stays in the plan: the gate skips it, with the reason."""
    plan = planned([scope(rule(), hosts("web-1"))], full("web-1"), history=history_with(busy={"web-1": "run-1"}))

    assert planned_in(plan) == ["web-1 mount=/"]
    assert plan.busy == {"web-1": "run-1"}


# Exemptions

LAST_DAY = date(2026, 12, 31)


@pytest.mark.parametrize(
    ("now", "exempt"),
    [
        (datetime(2026, 12, 31, 0, 0, tzinfo=UTC), True),
        (datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), True),
        (datetime(2027, 1, 1, 0, 0, tzinfo=UTC), False),
        (datetime(2027, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2))), True),
        (datetime(2026, 12, 31, 23, 0, tzinfo=timezone(timedelta(hours=-2))), False),
    ],
)
def test_exemption_lasts_through_its_day_in_utc(now: datetime, exempt: bool) -> None:
    """`until` names the last day, in UTC whatever zone the clock speaks; it ends with the next midnight."""
    of = rule(exempt=(exemption("all", until=LAST_DAY),))

    plan = planned([scope(of, hosts("web-1"))], [replace(each, observed_at=now) for each in full("web-1")], now=now)

    assert holds_of(plan) == ({"web-1 mount=/": Hold.EXEMPT} if exempt else {})
    assert [item.held.until for item in plan.held] == ([datetime(2027, 1, 1, tzinfo=UTC)] if exempt else [])


@pytest.mark.parametrize("until", [None, date.max])
def test_exemption_without_an_end_has_none(until: date | None) -> None:
    """No `until`, and the calendar's last day, exempt for good."""
    of = rule(exempt=(exemption("all", until=until),))

    (item,) = planned([scope(of, hosts("web-1"))], full("web-1")).held

    assert (item.held.hold, item.held.until) == (Hold.EXEMPT, None)


WHERE = [
    ("mount = '/'", [], True),
    ("mount = '/srv'", [], False),
    ("read_only", [], True),
    ("not read_only", [], True),
    ("boot.pending", [], True),
    ("boot.pending", [reading(BOOT, "web-1", {"pending": True})], True),
    ("boot.pending", [reading(BOOT, "web-1", {"pending": False})], False),
    ("boot.pending", [reading(BOOT, "web-1", {"pending": None})], True),
    ("boot.pending", [reading(BOOT, "web-1", {"pending": False}, at=NOW - timedelta(hours=1))], True),
    ("boot.pending", [reading(BOOT, "web-2", {"pending": False})], True),
    ("note.text = 'x' or mount = '/srv'", [reading(NOTE, "web-1")], True),
]


@pytest.mark.parametrize(("where", "others", "exempt"), WHERE)
def test_row_is_exempt_unless_where_is_false(where: str, others: list[Reading], exempt: bool) -> None:
    """Only a `where` that is surely false leaves a row unexempted: unknown exempts."""
    of = rule(exempt=(exemption("all", where),))

    plan = planned([scope(of, hosts("web-1"))], [*full("web-1"), *others])

    assert holds_of(plan) == ({"web-1 mount=/": Hold.EXEMPT} if exempt else {})


def test_exemption_covers_its_hosts_only() -> None:
    """A host that the exemption does not name is planned."""
    of = rule(exempt=(exemption("web-1"),))

    plan = planned([scope(of, hosts("web-1", "web-2"), {"web-1"})], full("web-1", "web-2"))

    assert (holds_of(plan), planned_in(plan)) == ({"web-1 mount=/": Hold.EXEMPT}, ["web-2 mount=/"])


def test_second_exemption_covers_what_an_expired_first_does_not() -> None:
    """Exemptions are looked at one by one: an expired or false one hides no other."""
    of = rule(
        exempt=(
            exemption("all", until=date(2026, 11, 21)),
            exemption("all", "mount = '/srv'"),
            exemption("all", "mount = '/'"),
        )
    )

    plan = planned([scope(of, hosts("web-1"))], full("web-1"))

    assert holds_of(plan) == {"web-1 mount=/": Hold.EXEMPT}


# The fuse


def _fused(matching: int, judged: int, matched: Limit, **how: Any) -> Plan:
    names = [f"web-{number:02}" for number in range(judged)]
    fine = [reading(DISK, name, {"mount": "/", "free_percent": 90}) for name in names[matching:]]
    return planned([scope(rule(matched=matched), hosts(*names))], [*full(*names[:matching]), *fine], **how)


FUSES = [
    (5, 10, Limit(count=5), False),
    (6, 10, Limit(count=5), True),
    (2, 14, Limit(percent=20.0), False),
    (3, 14, Limit(percent=20.0), True),
    (6, 30, Limit(count=5, percent=20.0), False),
    (7, 30, Limit(count=5, percent=20.0), True),
]


@pytest.mark.parametrize(("matching", "judged", "matched", "blown"), FUSES)
def test_fuse_blows_at_one_host_more_than_the_limit(matching: int, judged: int, matched: Limit, blown: bool) -> None:
    """Exactly `matched` hosts are let through; one more and nothing is free to run, though all is listed."""
    plan = _fused(matching, judged, matched)

    assert bool(plan.rules[0].fuse) is blown
    assert len(plan.executions) == matching
    assert pending_executions(plan) == (0 if blown else matching)


def test_blown_fuse_says_how_many_and_what_lets_it_through() -> None:
    """The reason has the counts and the limit, and the flag with the number to accept."""
    assert _fused(6, 10, Limit(count=5)).rules[0].fuse == (
        "6 of 10 judged hosts match, more than matched 5 = 5; "
        "look at the signal first, then: -r low-disk --accept-matched 6"
    )


@pytest.mark.parametrize(("accepted", "blown"), [(5, True), (6, False), (7, False)])
def test_accepting_as_many_as_match_lets_the_fuse_through(accepted: int, blown: bool) -> None:
    """`--accept-matched N` lets at most N matched hosts through."""
    assert bool(_fused(6, 10, Limit(count=5), accept_matched=accepted).rules[0].fuse) is blown


def test_fuse_counts_hosts_not_rows() -> None:
    """Five rows on one host are one matched host."""
    of = rule(matched=Limit(count=1))

    plan = planned([scope(of, hosts("web-1"))], full("web-1", mounts=["/a", "/b", "/c", "/d", "/e"]))

    assert (plan.rules[0].fuse, plan.rules[0].matched) == ("", 1)


def test_fuse_counts_no_exempt_host_but_every_other_held_one() -> None:
    """Exempt hosts are no sign of a broken sensor; cooling ones are."""
    of = rule(matched=Limit(count=1), exempt=(exemption("web-1"),))
    cooling = history_with(attempts={("low-disk", "web-2", ROOT): (attempt_ago(timedelta(minutes=1)),)})
    members = scope(of, hosts("web-1", "web-2", "web-3"), {"web-1"})

    one = planned([members], full("web-1", "web-3"))
    two = planned([members], full("web-1", "web-2", "web-3"), history=cooling)

    assert (one.rules[0].matched, one.rules[0].fuse) == (1, "")
    assert two.rules[0].matched == 2
    assert two.rules[0].fuse


def test_percent_of_the_fuse_is_of_judged_hosts() -> None:
    """Hosts that were not judged make the fuse tighter, never wider."""
    names = [f"web-{number}" for number in range(10)]
    fine = [reading(DISK, name, {"mount": "/", "free_percent": 90}) for name in names[2:5]]
    of = rule(matched=Limit(percent=30.0))

    plan = planned([scope(of, hosts(*names))], [*full(*names[:2]), *fine])

    assert (plan.rules[0].judged, plan.rules[0].matched, plan.rules[0].matched_max) == (5, 2, 1)
    assert plan.rules[0].fuse


def test_blown_fuse_of_one_rule_leaves_others_alone() -> None:
    """Other rules go on."""
    scopes = [scope(rule("a", matched=Limit(count=0)), hosts("web-1")), scope(rule("b"), hosts("web-1"))]

    plan = planned(scopes, full("web-1"))

    assert [bool(each.fuse) for each in plan.rules] == [True, False]
    assert pending_executions(plan) == 1
