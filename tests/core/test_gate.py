"""The gate: no permit unless everything that is known says yes, and nothing else makes one."""

import ast
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import remedy
import remedy_runners
from remedy.gate import (
    CHECKS,
    NOT_USED,
    LedgerFacts,
    LiveFacts,
    Refusal,
    Request,
    Usage,
    decide,
    fuse_blown,
    held,
)
from remedy.holds import Attempt, Held, Pause, PauseOf, incident_hold
from remedy.limits import Budget, Limit
from remedy.model import Hold, Outcome, OutcomeClass, Risk, RuleLimits, Skip, Verdict
from remedy.port import Permit
from remedy.schedule import ChangeWindow, Freeze
from tests.core.builders import NOW, limits

HOUR = timedelta(hours=1)
SHA = "ab" * 32
REPAIRED = "cd" * 32
LEDGER = LedgerFacts(attempts=(), known_id=False, open_breaker="", host_busy="")
LIVE = LiveFacts(stopped="", frozen="", freezes=(), expired="", halted="", fuse="", disruptive_on_host=False)
SATURDAY_NIGHT = ChangeWindow(days=(5,), start_minute=22 * 60, end_minute=4 * 60, zone=UTC, zone_name="UTC")
SUNDAY_MORNING = ChangeWindow(days=(6,), start_minute=8 * 60, end_minute=9 * 60, zone=UTC, zone_name="UTC")
YEAR_END = Freeze(start=NOW + timedelta(minutes=10), end=NOW + timedelta(days=9), reason="year end")
TEN = Budget(hosts=10, window_s=86_400)
USED_UP = Usage(hosts=10, has_host=False)


def pause(of: PauseOf = PauseOf.ALL, name: str = "", *, until: datetime | None = None) -> Pause:
    """Return a pause by alice."""
    return Pause(of=of, name=name, reason="audit", actor="alice", at=NOW - timedelta(days=1), until=until)


REQUEST = Request(
    execution_id="0123456789abcdef",
    rule="low-disk",
    host="web-1",
    groups=("web", "berlin"),
    key=(("mount", "/"),),
    script_sha256=SHA,
    risk=Risk.SAFE,
    limits=limits(cooldown_s=3_600, attempts=3, within_s=86_400),
    windows=(),
    needed_s=315,
    is_protected=False,
    is_named=False,
    override=None,
    per_rule=None,
    all_rules=None,
    recheck=Verdict.MATCH,
    now=NOW,
)


def attempt(ago: timedelta, outcome: Outcome | None = Outcome.FIXED, *, sha: str = SHA) -> Attempt:
    """Return an attempt made so long before NOW."""
    return Attempt(execution_id="fedcba9876543210", run_id="run-1", at=NOW - ago, script_sha256=sha, outcome=outcome)


def hold_of(*attempts: Attempt, now: datetime = NOW, sha: str = SHA, of: RuleLimits = REQUEST.limits) -> Held | None:
    """Return what these attempts hold back."""
    return incident_hold(of, attempts, rule="low-disk", host="web-1", script_sha256=sha, now=now)


def test_permit_is_for_exactly_what_was_asked() -> None:
    """With a match and nothing against it, the gate grants a permit that equals the request."""
    answer = decide(REQUEST, LEDGER, LIVE)

    assert isinstance(answer, Permit)
    assert (answer.execution_id, answer.host, answer.script_sha256) == (REQUEST.execution_id, "web-1", SHA)


REFUSALS = {
    "stopped": (REQUEST, LEDGER, replace(LIVE, stopped="stop file"), Refusal(skip=Skip.STOPPED, reason="stop file")),
    "halted": (REQUEST, LEDGER, replace(LIVE, halted="1 bad"), Refusal(skip=Skip.HALTED, reason="1 bad")),
    "fuse": (REQUEST, LEDGER, replace(LIVE, fuse="9 of 9"), Refusal(skip=Skip.FUSE, reason="9 of 9")),
    "healthy": (
        replace(REQUEST, recheck=Verdict.HEALTHY),
        LEDGER,
        LIVE,
        Refusal(skip=Skip.HEALED, reason="the re-check found nothing to mend"),
    ),
    "unknown": (
        replace(REQUEST, recheck=Verdict.UNKNOWN),
        LEDGER,
        LIVE,
        Refusal(skip=Skip.NOT_SEEN, reason="the re-check says unknown"),
    ),
    "not applicable": (
        replace(REQUEST, recheck=Verdict.NOT_APPLICABLE),
        LEDGER,
        LIVE,
        Refusal(skip=Skip.NOT_SEEN, reason="the re-check says not_applicable"),
    ),
    "known id": (
        REQUEST,
        replace(LEDGER, known_id=True),
        LIVE,
        Refusal(skip=Skip.ALREADY_STARTED, reason="this execution has been started before"),
    ),
    "frozen for unknown reasons": (
        REQUEST,
        LEDGER,
        replace(LIVE, frozen="remedy.yaml is gone"),
        Refusal(skip=Skip.FROZEN, reason="remedy.yaml is gone"),
    ),
    "freeze that begins before the deadline": (
        replace(REQUEST, needed_s=601),
        LEDGER,
        replace(LIVE, freezes=(YEAR_END,)),
        Refusal(skip=Skip.FROZEN, reason="frozen from 2026-11-22T08:55:00Z until 2026-12-01T08:45:00Z: year end"),
    ),
    "expired": (REQUEST, LEDGER, replace(LIVE, expired="too old"), Refusal(skip=Skip.PLAN_EXPIRED, reason="too old")),
    "paused": (
        REQUEST,
        replace(LEDGER, pauses=(pause(),)),
        LIVE,
        Refusal(skip=Skip.PAUSED, reason="everything is paused by alice: audit"),
    ),
    "protected": (
        replace(REQUEST, is_protected=True),
        LEDGER,
        LIVE,
        Refusal(skip=Skip.PROTECTED, reason="a protected host is touched only when it is named"),
    ),
    "outside its window": (
        replace(REQUEST, windows=(SATURDAY_NIGHT,)),
        LEDGER,
        LIVE,
        Refusal(skip=Skip.OUTSIDE_WINDOW, reason="outside sat 22:00-04:00 UTC"),
    ),
    "window that ends before the deadline": (
        replace(REQUEST, windows=(SUNDAY_MORNING,), needed_s=901),
        LEDGER,
        LIVE,
        Refusal(
            skip=Skip.OUTSIDE_WINDOW,
            reason="sun 08:00-09:00 UTC ends in less than the 901s that the deadline and its grace need",
        ),
    ),
    "rule's budget": (
        replace(REQUEST, per_rule=TEN),
        replace(LEDGER, rule_usage=USED_UP),
        LIVE,
        Refusal(skip=Skip.BUDGET, reason="the budget of rule low-disk, 10/24h, is used up: 10 hosts in the last 1d"),
    ),
    "budget of all": (
        replace(REQUEST, all_rules=TEN),
        replace(LEDGER, all_usage=USED_UP),
        LIVE,
        Refusal(skip=Skip.BUDGET, reason="the budget of all rules, 10/24h, is used up: 10 hosts in the last 1d"),
    ),
    "breaker": (REQUEST, replace(LEDGER, open_breaker="2 bad"), LIVE, Refusal(skip=Skip.BREAKER, reason="2 bad")),
    "busy": (REQUEST, replace(LEDGER, host_busy="run-1"), LIVE, Refusal(skip=Skip.HOST_BUSY, reason="run-1")),
    "disruptive": (
        replace(REQUEST, risk=Risk.DISRUPTIVE),
        LEDGER,
        replace(LIVE, disruptive_on_host=True),
        Refusal(skip=Skip.ONE_DISRUPTIVE, reason="one disruptive execution per host and run"),
    ),
    "destructive": (
        replace(REQUEST, risk=Risk.DESTRUCTIVE),
        LEDGER,
        replace(LIVE, disruptive_on_host=True),
        Refusal(skip=Skip.ONE_DISRUPTIVE, reason="one disruptive execution per host and run"),
    ),
    "cooling down": (
        REQUEST,
        replace(LEDGER, attempts=(attempt(HOUR / 2),)),
        LIVE,
        Refusal(skip=Skip.COOLING_DOWN, reason="the last attempt ended as fixed"),
    ),
    "quarantined": (
        REQUEST,
        replace(LEDGER, attempts=(attempt(9 * HOUR, Outcome.LOST),)),
        LIVE,
        Refusal(skip=Skip.QUARANTINED, reason="the last attempt (fedcba9876543210) was lost"),
    ),
}


@pytest.mark.parametrize(("request_", "ledger", "live", "refusal"), REFUSALS.values(), ids=REFUSALS.keys())
def test_each_single_fact_against_it_is_refused(
    request_: Request, ledger: LedgerFacts, live: LiveFacts, refusal: Refusal
) -> None:
    """Every fact alone is enough for a no, with its own skip and reason."""
    assert decide(request_, ledger, live) == refusal


def test_safe_fix_may_follow_a_disruptive_one() -> None:
    """One disruptive execution per host and run leaves safe ones free."""
    assert isinstance(decide(REQUEST, LEDGER, replace(LIVE, disruptive_on_host=True)), Permit)


REASONS = st.sampled_from(("", "", "", "because"))
ATTEMPTS = st.lists(
    st.builds(
        attempt,
        st.integers(-3, 60).map(lambda hours: hours * HOUR),
        st.none() | st.sampled_from(Outcome),
        sha=st.sampled_from((SHA, REPAIRED)),
    ),
    max_size=6,
).map(tuple)
LIMITS = st.builds(
    limits,
    cooldown_s=st.sampled_from((0, 3_600, 86_400)),
    attempts=st.integers(1, 4),
    within_s=st.sampled_from((3_600, 86_400, 604_800)),
)
REQUESTS = st.builds(
    replace,
    st.just(REQUEST),
    risk=st.sampled_from(Risk),
    recheck=st.sampled_from([Verdict.MATCH] * 3 + list(Verdict)),
    limits=LIMITS,
    windows=st.sampled_from(((), (), (SUNDAY_MORNING,), (SATURDAY_NIGHT,))),
    needed_s=st.sampled_from((0, 315, 600, 601, 900, 901)),
    is_protected=st.booleans(),
    is_named=st.booleans(),
    override=st.none() | st.sampled_from(Hold),
    per_rule=st.none() | st.just(TEN),
    all_rules=st.none() | st.just(TEN),
)
USAGES = st.builds(Usage, hosts=st.integers(8, 11), has_host=st.booleans())
LEDGERS = st.builds(
    LedgerFacts,
    attempts=st.just(()) | ATTEMPTS,
    known_id=st.sampled_from((False, False, True)),
    open_breaker=REASONS,
    host_busy=REASONS,
    pauses=st.just(()) | st.just((pause(PauseOf.RULE, "low-disk"),)),
    rule_usage=USAGES,
    all_usage=USAGES,
)
LIVES = st.builds(
    LiveFacts,
    stopped=REASONS,
    frozen=REASONS,
    freezes=st.just(()) | st.just((YEAR_END,)),
    expired=REASONS,
    halted=REASONS,
    fuse=REASONS,
    disruptive_on_host=st.booleans(),
)


@given(REQUESTS, LEDGERS, LIVES)
def test_permit_needs_a_match_and_nothing_against_it(request_: Request, ledger: LedgerFacts, live: LiveFacts) -> None:
    """A permit is granted exactly when the re-check says match and no fact speaks against it."""
    incident = hold_of(*ledger.attempts, of=request_.limits)
    outside = SATURDAY_NIGHT in request_.windows or (bool(request_.windows) and request_.needed_s > 900)
    lifted = request_.override
    against = [
        request_.recheck is not Verdict.MATCH,
        live.stopped,
        live.frozen,
        live.freezes and request_.needed_s > 600,
        live.expired,
        live.halted,
        live.fuse,
        ledger.known_id,
        ledger.host_busy,
        request_.risk is not Risk.SAFE and live.disruptive_on_host,
        request_.per_rule and ledger.rule_usage.hosts >= 10 and not ledger.rule_usage.has_host,
        request_.all_rules and ledger.all_usage.hosts >= 10 and not ledger.all_usage.has_host,
        request_.is_protected and not request_.is_named,
        (ledger.open_breaker or ledger.pauses) and lifted is not Hold.PAUSED,
        outside and lifted is not Hold.OUTSIDE_WINDOW,
        incident and (incident.hold is Hold.QUARANTINED or lifted is not Hold.COOLING_DOWN),
    ]

    answer = decide(request_, ledger, live)

    assert isinstance(answer, Permit) == (not any(against))
    if isinstance(answer, Permit):
        assert (answer.execution_id, answer.host, answer.script_sha256) == (
            request_.execution_id,
            request_.host,
            request_.script_sha256,
        )
    else:
        assert answer.reason


@given(REQUESTS, LEDGERS, LIVES)
def test_same_facts_give_the_same_answer(request_: Request, ledger: LedgerFacts, live: LiveFacts) -> None:
    """The gate remembers nothing: asked again with the same facts it says the same."""
    assert decide(request_, ledger, live) == decide(request_, ledger, live)


def test_each_name_is_a_check_of_one_table() -> None:
    """The checks have distinct names: what is removed by name is one check."""
    assert len(set(CHECKS)) == len(CHECKS) == 16


@given(REQUESTS, LEDGERS)
def test_hold_of_the_plan_is_the_refusal_of_the_gate(request_: Request, ledger: LedgerFacts) -> None:
    """What the plan would hold back the gate refuses, and with nothing else against it, only that."""
    found = held(request_, ledger)
    quiet = replace(ledger, known_id=False, host_busy="", rule_usage=NOT_USED, all_usage=NOT_USED)
    answer = decide(replace(request_, recheck=Verdict.MATCH), quiet, LIVE)

    assert isinstance(answer, Refusal) == (found is not None)
    if isinstance(answer, Refusal) and found is not None:
        word = "breaker" if found.hold is Hold.PAUSED and ledger.open_breaker else found.hold.value
        assert (answer.skip.value, answer.reason) == (word, found.reason)


# Budgets


@pytest.mark.parametrize(("hosts", "has_host", "granted"), [(9, False, True), (10, False, False), (11, True, True)])
def test_budget_counts_hosts_and_a_counted_one_costs_nothing(hosts: int, has_host: bool, granted: bool) -> None:
    """The tenth host of a budget of ten may start, the eleventh may not; one that is among them may again."""
    usage = Usage(hosts=hosts, has_host=has_host)
    request = replace(REQUEST, per_rule=TEN, all_rules=TEN)

    assert isinstance(decide(request, replace(LEDGER, rule_usage=usage), LIVE), Permit) is granted
    assert isinstance(decide(request, replace(LEDGER, all_usage=usage), LIVE), Permit) is granted


# Pauses


@pytest.mark.parametrize(
    ("of", "name", "covers"),
    [
        (PauseOf.ALL, "", True),
        (PauseOf.RULE, "low-disk", True),
        (PauseOf.RULE, "web", False),
        (PauseOf.GROUP, "berlin", True),
        (PauseOf.GROUP, "web-1", False),
        (PauseOf.HOST, "web-1", True),
        (PauseOf.HOST, "web", False),
    ],
)
def test_pause_covers_what_it_names(of: PauseOf, name: str, covers: bool) -> None:
    """A pause is about everything, a rule, a group or a host, and never about another kind of that name."""
    found = held(REQUEST, replace(LEDGER, pauses=(pause(of, name),)))

    assert (found is not None) is covers


def test_pause_is_over_exactly_at_its_time() -> None:
    """Up to the last microsecond a pause holds; at its end it does not."""
    past = pause(until=NOW)
    future = pause(until=NOW + timedelta(microseconds=1))

    assert held(REQUEST, replace(LEDGER, pauses=(past,))) is None
    assert held(REQUEST, replace(LEDGER, pauses=(past, future))) == Held(
        hold=Hold.PAUSED,
        reason="everything is paused by alice: audit",
        until=future.until,
        lifted_by="remedy unpause --all",
    )


# Overrides


@pytest.mark.parametrize("override", [None, *Hold])
def test_override_lifts_its_own_hold_and_nothing_else(override: Hold | None) -> None:
    """Each hold is lifted by its own override if that may be lifted at all, and by no other."""
    cases = {
        Hold.PAUSED: (REQUEST, replace(LEDGER, open_breaker="2 bad", pauses=(pause(),))),
        Hold.PROTECTED: (replace(REQUEST, is_protected=True), LEDGER),
        Hold.OUTSIDE_WINDOW: (replace(REQUEST, windows=(SATURDAY_NIGHT,)), LEDGER),
        Hold.COOLING_DOWN: (REQUEST, replace(LEDGER, attempts=(attempt(HOUR / 2),))),
        Hold.QUARANTINED: (REQUEST, replace(LEDGER, attempts=(attempt(HOUR, Outcome.LOST),))),
    }

    lifted = {
        hold
        for hold, (request, ledger) in cases.items()
        if isinstance(decide(replace(request, override=override), ledger, LIVE), Permit)
    }

    assert lifted == ({override} & {Hold.PAUSED, Hold.OUTSIDE_WINDOW, Hold.COOLING_DOWN})


def test_reconciled_loss_is_no_quarantine_but_cools_down() -> None:
    """Once the host's marker proved its end, a lost attempt counts as an attempt and no longer quarantines."""
    lost = attempt(HOUR / 2, Outcome.LOST)

    found = hold_of(replace(lost, is_reconciled=True))

    assert found is not None
    assert (found.hold, found.after_bad) == (Hold.COOLING_DOWN, True)


# Cooldown


@pytest.mark.parametrize(
    ("ago", "is_held"),
    [
        (timedelta(0), True),
        (HOUR - timedelta(microseconds=1), True),
        (HOUR, False),
        (2 * HOUR, False),
    ],
)
def test_cooldown_ends_exactly_after_its_time(ago: timedelta, is_held: bool) -> None:
    """Up to the last microsecond an incident cools down; at the end itself it may be tried again."""
    found = hold_of(attempt(ago))
    release = "remedy release low-disk -l web-1 --reason TEXT"

    assert (found is not None) is is_held
    if found is not None:
        assert (found.hold, found.until, found.lifted_by) == (Hold.COOLING_DOWN, NOW - ago + HOUR, release)


@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_cooldown_counts_from_any_attempt_that_started_something(outcome: Outcome | None) -> None:
    """Every ending but `skipped` cools down (`lost` quarantines); all but good ones are held after something bad."""
    found = hold_of(attempt(HOUR / 2, outcome))

    if outcome is Outcome.SKIPPED:
        assert found is None
    else:
        assert found is not None
        assert found.hold is (Hold.QUARANTINED if outcome is Outcome.LOST else Hold.COOLING_DOWN)
        assert found.after_bad is (outcome is None or outcome.outcome_class is not OutcomeClass.GOOD)


def test_cooldown_counts_from_the_last_attempt() -> None:
    """An older attempt that is over its cooldown does not free a newer one that is not."""
    found = hold_of(attempt(9 * HOUR), attempt(HOUR / 2))

    assert found is not None
    assert found.until == NOW + HOUR / 2


def test_cooldown_counts_across_scripts() -> None:
    """A repaired script cools down after the attempt of the old one."""
    found = hold_of(attempt(HOUR / 2, Outcome.FAILED), sha=REPAIRED)

    assert found is not None
    assert found.hold is Hold.COOLING_DOWN


def test_attempt_dated_after_now_counts_as_made_now() -> None:
    """When the clock was stepped back, a cooldown lasts its time from now at the most, and still holds."""
    found = hold_of(attempt(-48 * HOUR))

    assert found is not None
    assert (found.hold, found.until) == (Hold.COOLING_DOWN, NOW + HOUR)


# Attempts and quarantine


def test_attempts_that_are_used_up_quarantine() -> None:
    """Two of three attempts leave a third; three are quarantined, until a release, not until a time."""
    two = [attempt(30 * HOUR, Outcome.FAILED), attempt(20 * HOUR, Outcome.FIXED)]

    found = hold_of(*two, attempt(10 * HOUR, Outcome.FIXED))

    assert hold_of(*two) is None
    assert found is not None
    assert (found.hold, found.until, found.after_bad) == (Hold.QUARANTINED, None, True)
    assert found.lifted_by == "remedy release low-disk -l web-1 --reason TEXT"


@pytest.mark.parametrize(
    ("window", "is_held"),
    [(timedelta(days=1), True), (timedelta(days=1, microseconds=1), False)],
)
def test_attempts_count_inside_one_window(window: timedelta, is_held: bool) -> None:
    """Three attempts spread over exactly the window use it up; a microsecond more and they do not."""
    first = attempt(2 * HOUR + window)
    middle = attempt(2 * HOUR + window / 2)

    assert (hold_of(first, middle, attempt(2 * HOUR)) is not None) is is_held


@given(ATTEMPTS, LIMITS, st.integers(0, 10_000).map(lambda hours: hours * HOUR))
def test_time_alone_never_ends_a_quarantine(attempts: tuple[Attempt, ...], of: RuleLimits, later: timedelta) -> None:
    """What is quarantined now is quarantined at every later time, and what is not is at most cooling down."""
    now = hold_of(*attempts, of=of)
    then = hold_of(*attempts, of=of, now=NOW + later)

    assert (now is not None and now.hold is Hold.QUARANTINED) == (then is not None and then.hold is Hold.QUARANTINED)


@given(ATTEMPTS, LIMITS)
def test_cooldown_is_over_at_the_time_it_names(attempts: tuple[Attempt, ...], of: RuleLimits) -> None:
    """At `until` a cooldown whose attempts are in the past is over, and just before it is not."""
    past = tuple(each for each in attempts if each.at <= NOW)
    found = hold_of(*past, of=of)

    if found is not None and found.until is not None:
        assert hold_of(*past, of=of, now=found.until) is None
        assert hold_of(*past, of=of, now=found.until - timedelta(microseconds=1)) is not None


@given(ATTEMPTS, st.data())
def test_attempts_that_started_nothing_do_not_count(attempts: tuple[Attempt, ...], data: st.DataObject) -> None:
    """An attempt that the host itself turned away changes nothing, wherever it stands."""
    place = data.draw(st.integers(0, len(attempts)))
    turned_away = attempt(data.draw(st.integers(-3, 60)) * HOUR, Outcome.SKIPPED)

    assert hold_of(*attempts[:place], turned_away, *attempts[place:]) == hold_of(*attempts)


@given(ATTEMPTS, LIMITS, st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.SKIPPED]))
def test_one_more_attempt_never_frees_an_incident(
    attempts: tuple[Attempt, ...], of: RuleLimits, outcome: Outcome
) -> None:
    """An attempt made just now leaves the incident held, and used-up attempts used up."""
    now = tuple(replace(each, outcome=Outcome.FAILED) if each.outcome is Outcome.LOST else each for each in attempts)
    before = hold_of(*now, of=of)
    after = hold_of(*now, attempt(timedelta(0), outcome), of=of)

    assert after is not None or not of.cooldown_s
    if before is not None and before.hold is Hold.QUARANTINED:
        assert after is not None
        assert after.hold is Hold.QUARANTINED


def test_repaired_script_may_try_again() -> None:
    """Attempts count per script: another digest has all of its own."""
    used_up = [attempt(hours * HOUR, Outcome.FAILED) for hours in (4, 3, 2)]

    assert hold_of(*used_up) is not None
    assert hold_of(*used_up, sha=REPAIRED) is None


def test_lost_last_attempt_quarantines_every_script() -> None:
    """What was lost may still run or have done anything: no script may follow, however long ago it was."""
    found = hold_of(attempt(9_000 * HOUR, Outcome.LOST), sha=REPAIRED)

    assert found is not None
    assert (found.hold, found.until, found.after_bad) == (Hold.QUARANTINED, None, True)


def test_lost_attempt_before_a_known_one_does_not_quarantine() -> None:
    """Only the last attempt's end must be known."""
    assert hold_of(attempt(9 * HOUR, Outcome.LOST), attempt(8 * HOUR, Outcome.FIXED)) is None


# The fuse

FUSES = [
    (5, 10, Limit(count=5), None, False),
    (6, 10, Limit(count=5), None, True),
    (2, 14, Limit(percent=20.0), None, False),
    (3, 14, Limit(percent=20.0), None, True),
    (5, 10, Limit(count=5, percent=20.0), None, False),
    (20, 100, Limit(count=5, percent=20.0), None, False),
    (21, 100, Limit(count=5, percent=20.0), None, True),
    (1, 4, Limit(percent=20.0), None, True),
    (0, 0, Limit(count=0), None, False),
    (6, 10, Limit(count=5), 5, True),
    (6, 10, Limit(count=5), 6, False),
    (6, 10, Limit(count=5), 7, False),
    (3, 10, Limit(count=5), 1, False),
]


@pytest.mark.parametrize(("matched", "judged", "limit", "accepted", "blown"), FUSES)
def test_fuse_blows_at_one_more_than_the_limit(
    matched: int, judged: int, limit: Limit, accepted: int | None, blown: bool
) -> None:
    """Exactly the limit is let through, one more is not, unless a person accepted at least that many."""
    assert fuse_blown(matched=matched, judged=judged, limit=limit, accepted=accepted) is blown


# Who makes permits


def test_permit_needs_the_seal_of_the_gate() -> None:
    """A permit made with anything but the gate's seal, of whatever type, is a TypeError."""
    from remedy.port import _Seal

    for seal in (object(), None, _Seal()):
        with pytest.raises(TypeError, match="only the gate makes a permit"):
            Permit(execution_id="a", host="web-1", script_sha256=SHA, seal=seal)  # type: ignore[arg-type]


def _names_used(path: Path) -> set[str]:
    """Return the names that a module calls, and the seal's if it is named at all."""
    used = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func
            used.add(called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", ""))
        names = (
            {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom | ast.Import)
            else {getattr(node, "id", ""), getattr(node, "attr", "")}
        )
        used |= names & {"_SEAL", "_Seal"}
    return used


def test_only_the_gate_makes_permits() -> None:
    """In all the code only remedy/gate.py calls Permit, and only it and the port name the seal."""
    roots = [Path(package.__path__[0]) for package in (remedy, remedy_runners)]
    used = {path: _names_used(path) for root in roots for path in sorted(root.rglob("*.py"))}

    makers = {path.name for path, names in used.items() if "Permit" in names}
    sealed = {path.name for path, names in used.items() if names & {"_SEAL", "_Seal"}}
    assert len(used) > 50
    assert makers == {"gate.py"}
    assert sealed == {"gate.py", "port.py"}
