"""Everything that is in a finding's way, and when it could next run: held against the gate itself."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from remedy.gate import LedgerFacts, LiveFacts, Refusal, Request, decide, held, obstacles
from remedy.holds import Attempt, Held, Pause, PauseOf, pause_hold, pause_holds
from remedy.limits import Budget
from remedy.model import Finding, Host, Mode, Outcome, Platform, Rule, Verdict
from remedy.next_run import NextRun, Starts, Surroundings, in_the_way, next_run, obstacle_word, usage_at
from remedy.plan import NO_HISTORY, History
from remedy.planning import gate_request
from remedy.port import Permit
from remedy.precautions import NO_PRECAUTIONS
from tests.core.builders import NOW, exemption, planned, rule, scope
from tests.core.builders import full as full_disks
from tests.core.gate_facts import (
    HOUR,
    LEDGER,
    LEDGERS,
    LIMITS,
    LIVE,
    LIVES,
    REQUEST,
    REQUESTS,
    SATURDAY_NIGHT,
    SUNDAY_MORNING,
    YEAR_END,
    attempt,
    pause,
)

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
ROOT = (("mount", "/"),)
WEB_1 = Host(name="web-1", groups=("web",))
NIGHTLY = replace(SUNDAY_MORNING, days=(0, 1, 2, 3, 4, 5, 6))


# Against the gate


@given(request=REQUESTS, ledger=LEDGERS, live=LIVES)
def test_obstacles_are_what_the_gate_refuses_for(request: Request, ledger: LedgerFacts, live: LiveFacts) -> None:
    """There is none exactly when the gate grants; else the first of them is the gate's own reason."""
    found = obstacles(request, ledger, live)
    answer = decide(request, ledger, live)

    assert isinstance(answer, Permit) is (not found)
    if isinstance(answer, Refusal):
        assert found[0].reason == answer.reason


@given(request=REQUESTS, ledger=LEDGERS)
def test_first_hold_among_obstacles_is_that_of_the_plan(request: Request, ledger: LedgerFacts) -> None:
    """What the plan shows as the hold stands first among all holds."""
    holds = [each for each in obstacles(request, ledger, LIVE) if isinstance(each, Held)]

    assert next(iter(holds), None) == held(request, ledger)


STARTS = st.dictionaries(
    st.sampled_from([*(f"h{number}" for number in range(6)), "web-1"]),
    st.integers(-30, 4).map(lambda hours: NOW + hours * HOUR),
    max_size=7,
)
BUDGETS = st.none() | st.builds(Budget, hosts=st.integers(1, 4), window_s=st.sampled_from((3_600, 36_000, 86_400)))
PAUSES = st.lists(
    st.builds(
        pause,
        st.sampled_from((PauseOf.ALL, PauseOf.ALL)),
        until=st.integers(-5, 40).map(lambda hours: NOW + hours * HOUR),
    ),
    max_size=3,
).map(tuple)
BY_TIME = st.builds(
    attempt,
    st.integers(-3, 60).map(lambda hours: hours * HOUR),
    st.sampled_from((Outcome.FIXED, Outcome.FAILED, Outcome.NOT_FIXED, Outcome.SKIPPED)),
)
FREEZES = st.lists(
    st.builds(
        lambda ahead, hours: replace(YEAR_END, start=NOW + ahead * HOUR, end=NOW + (ahead + hours) * HOUR),
        st.integers(-20, 60),
        st.integers(1, 50),
    ),
    max_size=3,
).map(tuple)


@given(
    request=st.builds(
        replace,
        st.just(REQUEST),
        limits=LIMITS.map(lambda limits: replace(limits, attempts=9)),
        windows=st.sampled_from(((), (), (SUNDAY_MORNING,), (SATURDAY_NIGHT, NIGHTLY), (NIGHTLY,))),
        needed_s=st.sampled_from((0, 315, 3_599, 3_600)),
        per_rule=BUDGETS,
        all_rules=BUDGETS,
        now=st.integers(-50, 50).map(lambda minutes: NOW + timedelta(minutes=minutes)),
    ),
    attempts=st.lists(BY_TIME, max_size=3).map(tuple),
    pauses=PAUSES,
    freezes=FREEZES,
    starts=STARTS,
    ahead=st.floats(0, 1),
)
def test_next_run_is_the_first_moment_at_which_the_gate_says_yes(
    request: Request,
    attempts: tuple[Attempt, ...],
    pauses: tuple[Pause, ...],
    freezes: tuple[object, ...],
    starts: dict[str, datetime],
    ahead: float,
) -> None:
    """Where time alone decides, the gate says yes at that moment, and no a second before and at any moment before."""

    def facts(at: datetime) -> tuple[Request, LedgerFacts, LiveFacts]:
        ledger = replace(
            LEDGER,
            attempts=attempts,
            pauses=pauses,
            rule_usage=usage_at(request.per_rule, starts, host="web-1", now=at),
            all_usage=usage_at(request.all_rules, starts, host="web-1", now=at),
        )
        return replace(request, now=at), ledger, replace(LIVE, freezes=freezes)

    answer = next_run(lambda at: obstacles(*facts(at)), now=request.now)

    assert answer.needs == ()
    assert answer.at is not None
    assert isinstance(decide(*facts(answer.at)), Permit)
    waited = answer.at - request.now
    assume(waited >= SECOND)
    assert isinstance(decide(*facts(answer.at - SECOND)), Refusal)
    assert isinstance(decide(*facts(request.now + ahead * (waited - SECOND))), Refusal)


@given(request=REQUESTS, ledger=LEDGERS, live=LIVES, days=st.integers(0, 400))
def test_what_needs_somebody_never_runs_by_itself(
    request: Request, ledger: LedgerFacts, live: LiveFacts, days: int
) -> None:
    """Where somebody has to act first, the gate says no at every later time; where nobody has to, it says yes then."""
    answer = next_run(lambda at: obstacles(replace(request, now=at), ledger, live), now=NOW)

    if answer.needs:
        assert isinstance(decide(replace(request, now=NOW + days * DAY), ledger, live), Refusal)
    else:
        assert answer.at is not None
        assert isinstance(decide(replace(request, now=answer.at), ledger, live), Permit)


def test_window_that_is_always_too_short_is_no_time() -> None:
    """A fix that fits into no window has no next run, and the answer ends."""
    request = replace(REQUEST, windows=(NIGHTLY,), needed_s=3_601)

    answer = next_run(lambda at: obstacles(replace(request, now=at), LEDGER, LIVE), now=NOW)

    assert answer.at is None
    assert "outside_window" in answer.needs[0]


def test_person_and_time_are_both_said() -> None:
    """Behind what a person must do, the time before which nothing runs all the same is known."""
    quarantined = replace(LEDGER, attempts=(attempt(HOUR, Outcome.LOST),))
    request = replace(REQUEST, windows=(SATURDAY_NIGHT,))

    answer = next_run(lambda at: obstacles(replace(request, now=at), quarantined, LIVE), now=NOW)

    assert answer.at == datetime(2026, 11, 28, 22, tzinfo=UTC)
    assert answer.needs == ("remedy reconcile run-1, or remedy release low-disk -l web-1 --reason TEXT",)


def test_every_pause_is_named_the_longest_first() -> None:
    """Of several pauses each is in the way; the one without an end comes first, and is the one the plan shows."""
    two = (pause(until=NOW + HOUR), pause(PauseOf.HOST, "web-1"), pause(PauseOf.HOST, "web-2"))
    asked = {"rule": "low-disk", "host": "web-1", "groups": (), "now": NOW}

    found = pause_holds(two, **asked)

    assert [each.until for each in found] == [None, NOW + HOUR]
    assert pause_hold(two, **asked) == found[0]


@pytest.mark.parametrize(
    ("hours", "used", "frees_in"),
    [
        ([-1, -2, -3], 3, 21),
        ([-1, -2], 2, None),
        ([-30, -1, -2, -3], 3, 21),
        ([-5, -5, -5], 3, 19),
        ([2, -1, -2], 3, 22),
    ],
)
def test_budget_frees_when_enough_hosts_have_left_its_window(hours: list[int], used: int, frees_in: int | None) -> None:
    """There is room again when the oldest start that is one too many leaves the window; a start to come counts now."""
    starts = {f"h{number}": NOW + each * HOUR for number, each in enumerate(hours)}

    usage = usage_at(Budget(hosts=3, window_s=86_400), starts, host="web-1", now=NOW)

    assert usage.hosts == used
    assert usage.frees_at == (None if frees_in is None else NOW + frees_in * HOUR)


# Against the plan


def _finding(of: Rule) -> Finding:
    return Finding(rule=of.name, host="web-1", key=ROOT, row={"mount": "/", "free_percent": 3.0})


def _words(of: Rule, **around: object) -> list[str]:
    known = Surroundings(**{"history": NO_HISTORY, "precautions": NO_PRECAUTIONS, "rows": 1, **around})
    return [obstacle_word(each) for each in in_the_way(scope(of, [WEB_1]), WEB_1, _finding(of), around=known, now=NOW)]


def test_nothing_in_the_way_is_what_the_plan_runs() -> None:
    """A rule that fixes, on a host with no history, runs now; so says the plan."""
    of = rule()
    plan = planned([scope(of, [WEB_1])], full_disks("web-1"))

    assert _words(of) == []
    assert len(plan.executions) == 1


def test_every_hold_and_limit_is_named_at_once() -> None:
    """One finding with everything against it: each of them is named, not only the first."""
    of = replace(
        rule(mode=Mode.OBSERVE, exempt=(exemption("all", until=date(2026, 12, 1)), exemption("all"))),
        change_windows=(SATURDAY_NIGHT,),
    )
    history = replace(
        NO_HISTORY,
        attempts={(of.name, "web-1", ROOT): (attempt(HOUR / 2, Outcome.FAILED),)},
        breakers={of.name: "2 bad hosts"},
        busy={"web-1": "execution 7 may still be running there"},
        pauses=(pause(), pause(PauseOf.HOST, "web-1", until=NOW + HOUR)),
    )
    precautions = replace(
        NO_PRECAUTIONS,
        protected=frozenset({"web-1"}),
        freezes=(replace(YEAR_END, start=NOW),),
        per_rule=Budget(hosts=1, window_s=3_600),
        all_rules=Budget(hosts=2, window_s=3_600),
    )
    started = {"web-2": NOW - HOUR / 2, "web-3": NOW - HOUR / 3}

    words = _words(
        of,
        history=history,
        precautions=precautions,
        rows=11,
        starts=Starts(of_rule=started, of_all=started),
        stopped="drill",
        fuse="9 of 10",
        busy_until=NOW + HOUR,
    )

    assert words == [
        *("exempt", "exempt", "too_many_rows", "observe_only"),
        *("stopped", "frozen", "fuse", "host_busy", "budget", "budget"),
        *("paused", "paused", "paused", "protected", "cooling_down", "outside_window"),
    ]


def test_exemption_ends_with_its_day() -> None:
    """An exempt row runs from the first moment after the exemption's last day, UTC, and not a second before."""
    of = rule(exempt=(exemption("all", until=NOW.date()), exemption("all", until=NOW.date() + DAY)))
    where = scope(of, [WEB_1])
    around = Surroundings(history=NO_HISTORY, precautions=NO_PRECAUTIONS, rows=1)

    answer = next_run(lambda at: in_the_way(where, WEB_1, _finding(of), around=around, now=at), now=NOW)

    assert answer == NextRun(at=datetime(2026, 11, 24, tzinfo=UTC))


def test_rule_without_a_fix_says_so_and_what_stops_the_run() -> None:
    """Without a script for the platform nothing can be asked of the gate about it; a stop is said all the same."""
    of = replace(rule(mode=Mode.OBSERVE), fix={})

    assert _words(of, stopped="drill") == ["stopped", "observe_only", "no_fix_for_platform"]


def test_busy_host_is_free_when_its_execution_is_over_and_the_end_decides() -> None:
    """A host that is busy is asked about again when deadline and grace are over, provided that it ends well."""
    of = rule()
    where = scope(of, [WEB_1])
    history = replace(NO_HISTORY, busy={"web-1": "execution 7 may still be running there"})
    around = Surroundings(history=history, precautions=NO_PRECAUTIONS, rows=1, busy_until=NOW + HOUR)

    answer = next_run(lambda at: in_the_way(where, WEB_1, _finding(of), around=around, now=at), now=NOW)

    assert answer.at == NOW + HOUR
    assert answer.needs == ()
    assert answer.provided == ("what may be running on the host ends well",)


@given(
    attempts=st.lists(BY_TIME, max_size=3).map(tuple),
    pauses=PAUSES,
    is_open=st.booleans(),
    mode=st.sampled_from(Mode),
    rows=st.sampled_from((1, 1, 11)),
    protected=st.booleans(),
)
def test_finding_without_an_obstacle_is_one_the_plan_runs(
    attempts: tuple[Attempt, ...], pauses: tuple[Pause, ...], is_open: bool, mode: Mode, rows: int, protected: bool
) -> None:
    """What `why` finds in the way begins with the hold that the plan shows, and is nothing where the plan runs it."""
    of = rule(mode=mode)
    where = scope(of, [WEB_1])
    mounts = ["/", *(f"/{number}" for number in range(rows - 1))]
    history = History(
        attempts={(of.name, "web-1", ROOT): attempts},
        last_bad={},
        breakers={of.name: "2 bad hosts"} if is_open else {},
        busy={},
        pauses=pauses,
    )
    precautions = replace(NO_PRECAUTIONS, protected=frozenset({"web-1"} if protected else ()))
    around = Surroundings(history=history, precautions=precautions, rows=rows)
    plan = planned([where], full_disks("web-1", mounts=mounts), history=history, precautions=precautions)

    found = in_the_way(where, WEB_1, _finding(of), around=around, now=NOW)
    shown = [item.held for item in plan.held if item.finding.key == ROOT]

    assert list(found[:1]) == shown
    assert bool(shown) is not any(execution.key == ROOT for execution in plan.executions)


def test_recheck_is_taken_as_a_match() -> None:
    """`why` asks the gate as the plan does: about a row that still matches when its turn comes."""
    of = rule()
    request = gate_request(of, WEB_1, ROOT, script=of.fix[Platform.LINUX], precautions=NO_PRECAUTIONS, now=NOW)

    assert request.recheck is Verdict.MATCH
