"""The summary: one exit code, in which nothing that was not seen or not done counts as done."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from remedy.holds import Held
from remedy.limits import Limit
from remedy.model import Execution, Finding, Hold, Outcome, OutcomeClass, Skip, Verdict
from remedy.outcomes import Ended
from remedy.plan import HeldFinding
from remedy.summary import (
    Coverage,
    ExecutionEnd,
    ExitCode,
    HostEnd,
    HostEnding,
    RuleHalt,
    Summary,
    coverage,
    exit_code,
    outcome_counts,
    pending_executions,
    worst_outcome,
)
from remedy.verdicts import Judgement, UnknownRow
from tests.core.builders import DISK, full, hosts, planned, reading, rule, scope

NONE_UNSEEN = Limit(count=0)


def _end(outcome: Outcome, skip: Skip | None = None, *, host: str = "web-1") -> ExecutionEnd:
    execution = Execution(
        id="0123456789abcdef",
        rule="low-disk",
        host=host,
        key=(),
        row={},
        params={},
        script="clean.sh",
        script_sha256="ab" * 32,
        timeout_s=60,
        become_root=True,
    )
    return ExecutionEnd(execution=execution, ended=Ended(outcome=outcome, skip=skip), wave=1)


def _skipped(skip: Skip, *, host: str = "web-1") -> ExecutionEnd:
    return _end(Outcome.SKIPPED, skip, host=host)


def _held(hold: Hold, *, after_bad: bool = False) -> HeldFinding:
    finding = Finding(rule="low-disk", host="web-1", key=(), row={})
    return HeldFinding(finding=finding, held=Held(hold=hold, reason="because", after_bad=after_bad))


def _seen(*judged: str, unknown: tuple[str, ...] = (), unreachable: tuple[str, ...] = ()) -> Coverage:
    selected = tuple(sorted((*judged, *unknown, *unreachable)))
    return Coverage(selected=selected, judged=judged, unknown=unknown, unreachable=unreachable, refused=())


FINE = Summary(
    coverage=_seen("web-1", "web-2"),
    host_ends=(HostEnd(host="web-1", ending=HostEnding.COLLECTED), HostEnd(host="web-2", ending=HostEnding.COLLECTED)),
)


def _code(*, max_unseen: Limit = NONE_UNSEEN, detailed: bool = False, **changed: Any) -> ExitCode:
    return exit_code(replace(FINE, **changed), max_unseen=max_unseen, detailed=detailed)


def test_everything_judged_and_nothing_bad_is_done() -> None:
    """A fleet that was seen whole, with nothing to do, is exit 0."""
    assert _code() is ExitCode.DONE


ENDS = {
    Outcome.FIXED: ExitCode.DONE,
    Outcome.DONE: ExitCode.DONE,
    Outcome.NEEDS_REBOOT: ExitCode.DONE,
    Outcome.NOT_FIXED: ExitCode.BAD,
    Outcome.UNVERIFIED: ExitCode.BAD,
    Outcome.FAILED: ExitCode.BAD,
    Outcome.LOST: ExitCode.BAD,
    Outcome.REFUSED: ExitCode.BAD,
    Outcome.UNREACHABLE: ExitCode.INCOMPLETE,
}
SKIPS = {
    Skip.HEALED: ExitCode.DONE,
    Skip.ONE_DISRUPTIVE: ExitCode.DONE,
    Skip.HOST_HOLD: ExitCode.DONE,
    Skip.EXEMPT: ExitCode.DONE,
    Skip.HOST_BAD: ExitCode.BAD,
    Skip.NOT_SEEN: ExitCode.INCOMPLETE,
    Skip.INTERRUPTED: ExitCode.INTERRUPTED,
    Skip.HALTED: ExitCode.HALTED,
    Skip.HOST_BUSY: ExitCode.HALTED,
    Skip.FUSE: ExitCode.HALTED,
    Skip.STOPPED: ExitCode.HALTED,
    Skip.RULE_BUSY: ExitCode.HALTED,
    Skip.PLAN_EXPIRED: ExitCode.HALTED,
    Skip.COOLING_DOWN: ExitCode.HALTED,
    Skip.QUARANTINED: ExitCode.HALTED,
    Skip.PAUSED: ExitCode.DONE,
    Skip.BREAKER: ExitCode.HALTED,
    Skip.FROZEN: ExitCode.HALTED,
    Skip.BUDGET: ExitCode.HALTED,
    Skip.ALREADY_STARTED: ExitCode.HALTED,
    Skip.OUTSIDE_WINDOW: ExitCode.DONE,
    Skip.PROTECTED: ExitCode.DONE,
}
HOLDS = {
    (Hold.EXEMPT, False): ExitCode.DONE,
    (Hold.OBSERVE_ONLY, False): ExitCode.DONE,
    (Hold.OUTSIDE_WINDOW, False): ExitCode.DONE,
    (Hold.PROTECTED, False): ExitCode.DONE,
    (Hold.NO_FIX_FOR_PLATFORM, False): ExitCode.DONE,
    (Hold.COOLING_DOWN, False): ExitCode.DONE,
    (Hold.COOLING_DOWN, True): ExitCode.HALTED,
    (Hold.PAUSED, False): ExitCode.DONE,
    (Hold.PAUSED, True): ExitCode.HALTED,
    (Hold.QUARANTINED, True): ExitCode.HALTED,
    (Hold.QUARANTINED, False): ExitCode.HALTED,
    (Hold.TOO_MANY_ROWS, False): ExitCode.HALTED,
}


def test_every_outcome_skip_and_hold_is_decided_here() -> None:
    """A new outcome, skip or hold breaks this test until somebody decides what it means for the exit code."""
    assert set(ENDS) == set(Outcome) - {Outcome.SKIPPED}
    assert set(SKIPS) == set(Skip)
    assert {hold for hold, _ in HOLDS} == set(Hold)


@pytest.mark.parametrize(("outcome", "code"), ENDS.items())
def test_exit_code_of_one_outcome(outcome: Outcome, code: ExitCode) -> None:
    """One execution with this outcome beside a good one gives the code of the design's table."""
    assert _code(ends=(_end(Outcome.FIXED, host="web-2"), _end(outcome))) is code


@pytest.mark.parametrize(("skip", "code"), SKIPS.items())
def test_exit_code_of_one_skip(skip: Skip, code: ExitCode) -> None:
    """One execution skipped by this beside a good one gives its decided code; none is success by default."""
    assert _code(ends=(_end(Outcome.FIXED, host="web-2"), _skipped(skip))) is code


@pytest.mark.parametrize(("hold", "code"), HOLDS.items())
def test_exit_code_of_one_hold(hold: tuple[Hold, bool], code: ExitCode) -> None:
    """A hold that people decided is 0; one that leaves a match unmended after something bad is 5."""
    assert _code(held=(_held(hold[0], after_bad=hold[1]),)) is code


FACTS: Mapping[ExitCode, list[dict[str, Any]]] = {
    ExitCode.INTERRUPTED: [{"interrupted": True}],
    ExitCode.HALTED: [
        {"fuses": ("9 of 9",)},
        {"halts": (RuleHalt(rule="low-disk", by="max_bad", reason="2 bad"),)},
        {"stopped": "stop file"},
        {"held": (_held(Hold.QUARANTINED),)},
    ],
    ExitCode.BAD: [
        {"ends": (_end(Outcome.LOST),)},
        {"relapsed": ("web-1",)},
        {"host_ends": (HostEnd(host="web-1", ending=HostEnding.REFUSED, identity=True),)},
    ],
    ExitCode.INCOMPLETE: [
        {"coverage": _seen("web-1", unknown=("web-2",))},
        {"coverage": _seen("web-1", unreachable=("web-2",))},
        {"coverage": replace(_seen("web-1"), selected=("web-1", "web-2"), refused=("web-2",))},
    ],
    ExitCode.PENDING: [{"pending": 3}],
}
PRECEDENCE = [ExitCode.INTERRUPTED, ExitCode.HALTED, ExitCode.BAD, ExitCode.INCOMPLETE, ExitCode.PENDING, ExitCode.DONE]


@pytest.mark.parametrize(("code", "facts"), [(code, facts) for code, each in FACTS.items() for facts in each])
def test_one_fact_alone_gives_its_code(code: ExitCode, facts: dict[str, Any]) -> None:
    """Each fact alone gives the code of the design's table."""
    assert _code(**facts, detailed=True) is code


@pytest.mark.parametrize(
    "codes",
    [codes for count in range(6) for codes in itertools.combinations(FACTS, count)],
    ids=lambda codes: "+".join(str(int(code)) for code in codes) or "none",
)
def test_codes_that_apply_together_have_one_order(codes: tuple[ExitCode, ...]) -> None:
    """When several apply: 130, 5, 3, 4, 2, 0."""
    facts = {name: value for code in codes for name, value in FACTS[code][0].items()}

    assert _code(**facts, detailed=True) is min((*codes, ExitCode.DONE), key=PRECEDENCE.index)


def test_exit_codes_are_the_numbers_of_the_design() -> None:
    """The numbers are a contract with whoever calls remedy."""
    assert [int(code) for code in PRECEDENCE] == [130, 5, 3, 4, 2, 0]
    assert (int(ExitCode.COULD_NOT_RUN), int(ExitCode.NOTHING_NAMED)) == (1, 6)


def test_pending_fixes_are_told_only_when_asked_for() -> None:
    """Exit 2 needs --detailed-exitcode."""
    assert _code(pending=3, detailed=False) is ExitCode.DONE


UNSEEN = [
    (Limit(count=0), 0, ExitCode.DONE),
    (Limit(count=0), 1, ExitCode.INCOMPLETE),
    (Limit(count=2), 2, ExitCode.DONE),
    (Limit(count=2), 3, ExitCode.INCOMPLETE),
    (Limit(percent=10.0), 1, ExitCode.DONE),
    (Limit(percent=10.0), 2, ExitCode.INCOMPLETE),
    (Limit(percent=9.9), 1, ExitCode.INCOMPLETE),
    (Limit(count=1, percent=20.0), 2, ExitCode.DONE),
    (Limit(percent=100.0), 10, ExitCode.DONE),
]


@pytest.mark.parametrize("kind", ["unknown", "unreachable"])
@pytest.mark.parametrize(("max_unseen", "unseen", "code"), UNSEEN)
def test_max_unseen_itself_is_complete_and_one_more_is_not(
    max_unseen: Limit, unseen: int, code: ExitCode, kind: str
) -> None:
    """Of ten selected hosts, as many as --max-unseen may be unseen; percentages are of selected hosts, rounded down."""
    names = tuple(f"web-{number}" for number in range(10))
    groups: dict[str, Any] = {kind: names[:unseen]}

    assert _code(coverage=_seen(*names[unseen:], **groups), max_unseen=max_unseen) is code


def test_host_that_was_gone_at_its_turn_is_unseen_once() -> None:
    """A planned host with two unreachable executions is one unseen host, and one that was unknown already too."""
    gone = (_end(Outcome.UNREACHABLE), _end(Outcome.UNREACHABLE), _skipped(Skip.NOT_SEEN))
    partly = replace(_seen("web-2"), selected=("web-1", "web-2"), unknown=("web-1",))

    assert _code(ends=gone, max_unseen=Limit(count=1)) is ExitCode.DONE
    assert _code(ends=gone, coverage=partly, max_unseen=Limit(count=1)) is ExitCode.DONE
    assert (
        _code(ends=(*gone, _end(Outcome.UNREACHABLE, host="web-2")), max_unseen=Limit(count=1)) is ExitCode.INCOMPLETE
    )


# Coverage


def _judgement(host: str, verdict: Verdict, *, rule: str = "low-disk", unknown_rows: int = 0) -> Judgement:
    rows = tuple(UnknownRow(rule, host, {}) for _ in range(unknown_rows))
    return Judgement(rule, host, verdict, (), rows)


def test_coverage_splits_selected_hosts_into_four_groups() -> None:
    """Every selected host is judged, unknown, unreachable or refused; one unknown verdict or row makes it unknown."""
    ends = [
        HostEnd(host="fine", ending=HostEnding.COLLECTED),
        HostEnd(host="elsewhere", ending=HostEnding.COLLECTED),
        HostEnd(host="dark-row", ending=HostEnding.COLLECTED),
        HostEnd(host="dark", ending=HostEnding.COLLECTED),
        HostEnd(host="gone", ending=HostEnding.UNREACHABLE),
        HostEnd(host="barred", ending=HostEnding.REFUSED),
    ]
    judgements = [
        _judgement("fine", Verdict.HEALTHY),
        _judgement("fine", Verdict.MATCH, rule="other"),
        _judgement("elsewhere", Verdict.NOT_APPLICABLE),
        _judgement("dark-row", Verdict.MATCH, unknown_rows=1),
        _judgement("dark", Verdict.HEALTHY),
        _judgement("dark", Verdict.UNKNOWN, rule="other"),
        _judgement("gone", Verdict.UNKNOWN),
        _judgement("barred", Verdict.UNKNOWN),
    ]

    found = coverage(ends, judgements)

    assert found.selected == ("barred", "dark", "dark-row", "elsewhere", "fine", "gone")
    assert (found.judged, found.unknown) == (("elsewhere", "fine"), ("dark", "dark-row"))
    assert (found.unreachable, found.refused, found.unseen) == (("gone",), ("barred",), 4)
    assert found.sentence() == "judged 2 of 6 hosts; 2 unknown, 1 unreachable, 1 refused"


def test_coverage_of_a_fleet_that_was_seen_whole_says_so_shortly() -> None:
    """Nothing unseen, nothing said of it."""
    assert FINE.coverage.sentence() == "judged 2 of 2 hosts"


def test_fleet_where_every_collector_fails_is_not_done() -> None:
    """All hosts collected and no verdict known is exit 4, never 0."""
    ends = [HostEnd(host=f"web-{number}", ending=HostEnding.COLLECTED) for number in range(3)]
    seen = coverage(ends, [_judgement(end.host, Verdict.UNKNOWN) for end in ends])

    assert seen.judged == ()
    assert _code(coverage=seen, host_ends=tuple(ends)) is ExitCode.INCOMPLETE


# Counts


def test_worst_outcome_is_the_worst_class_first() -> None:
    """Any bad outcome is worse than unreachable, that than skipped, that than good; none of none."""
    ranks = [OutcomeClass.BAD, OutcomeClass.UNREACHABLE, OutcomeClass.SKIPPED, OutcomeClass.GOOD]
    for one, other in itertools.product(Outcome, Outcome):
        worst = worst_outcome([one, other])

        assert worst in (one, other)
        assert worst is worst_outcome([other, one])
        assert worst.outcome_class is min(one.outcome_class, other.outcome_class, key=ranks.index)
    assert worst_outcome(Outcome) is Outcome.LOST
    assert worst_outcome([]) is None


def test_outcome_counts_leave_out_what_did_not_happen() -> None:
    """Each outcome that happened with its number, in the order of the outcomes."""
    ends = [_end(Outcome.FAILED), _skipped(Skip.HEALED), _end(Outcome.FIXED), _skipped(Skip.HALTED)]

    assert list(outcome_counts(ends).items()) == [(Outcome.FIXED, 1), (Outcome.FAILED, 1), (Outcome.SKIPPED, 2)]


def test_pending_executions_are_those_free_to_run() -> None:
    """Rows of two rules count, those of a blown fuse do not."""
    fused = rule("fused", matched=Limit(count=0))
    readings = [*full("web-1", mounts=("/", "/srv")), reading(DISK, "web-2", {"mount": "/", "free_percent": 90})]

    plan = planned([scope(each, hosts("web-1", "web-2")) for each in (rule("a"), rule("b"), fused)], readings)

    assert pending_executions(plan) == 4
