"""The gate: no permit unless everything that is known says yes, and nothing else makes one."""

import ast
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given

import remedy
import remedy_runners
from remedy.gate import CHECKS, NOT_USED, LedgerFacts, LiveFacts, Refusal, Request, Usage, decide, fuse_blown, held
from remedy.holds import Held, PauseOf
from remedy.limits import Limit
from remedy.model import Hold, Outcome, Risk, Skip, Verdict
from remedy.port import Permit
from tests.core.builders import NOW
from tests.core.gate_facts import (
    HOUR,
    LEDGER,
    LEDGERS,
    LIVE,
    LIVES,
    REQUEST,
    REQUESTS,
    SATURDAY_NIGHT,
    SHA,
    SUNDAY_MORNING,
    TEN,
    USED_UP,
    YEAR_END,
    attempt,
    hold_of,
    pause,
)


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
