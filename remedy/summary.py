"""
The summary: what was seen, what was done, and the one exit code that says it.

Unknown is never success: a host that was not seen, or a verdict that is not
known, is counted here once and shows in the exit code.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import assert_never

from remedy.holds import Held
from remedy.limits import Limit
from remedy.model import Execution, Hold, Outcome, OutcomeClass, Skip, Verdict
from remedy.outcomes import Ended
from remedy.plan import HeldFinding, Plan
from remedy.text import counted
from remedy.verdicts import Judgement

__all__ = [
    "Coverage",
    "ExecutionEnd",
    "ExitCode",
    "HostEnd",
    "HostEnding",
    "RuleHalt",
    "Summary",
    "coverage",
    "exit_code",
    "outcome_counts",
    "pending_executions",
    "worst_outcome",
]


class ExitCode(IntEnum):
    """The exit codes of the commands; when several apply, `exit_code` says which wins."""

    DONE = 0
    COULD_NOT_RUN = 1
    PENDING = 2
    BAD = 3
    INCOMPLETE = 4
    HALTED = 5
    NOTHING_NAMED = 6
    INTERRUPTED = 130


class HostEnding(StrEnum):
    """How a host ended at collection; these are no outcomes."""

    COLLECTED = "collected"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEnd:
    """
    How one host ended at collection, and why.

    `identity` is true when its key changed or its identity is wrong; `endpoint`
    says where the connection led.
    """

    host: str
    ending: HostEnding
    reason: str = ""
    identity: bool = False
    endpoint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionEnd:
    """One execution of the plan with its one outcome; `started` is true when bytes were sent."""

    execution: Execution
    ended: Ended
    wave: int
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleHalt:
    """A rule's rollout that did not go to its end: by which limit, and why."""

    rule: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """
    How much of the selected hosts was seen; names, sorted.

    `judged` are collected hosts on which no verdict is unknown; the four groups
    are disjoint and together all selected hosts.
    """

    selected: tuple[str, ...]
    judged: tuple[str, ...]
    unknown: tuple[str, ...]
    unreachable: tuple[str, ...]
    refused: tuple[str, ...]

    @property
    def unseen(self) -> int:
        """How many selected hosts were not judged completely."""
        return len(self.unknown) + len(self.unreachable) + len(self.refused)

    def sentence(self) -> str:
        """Return what every summary says of how much was seen."""
        parts = [f"judged {len(self.judged)} of {counted(len(self.selected), 'host')}"]
        groups = (("unknown", self.unknown), ("unreachable", self.unreachable), ("refused", self.refused))
        seen = [f"{len(names)} {word}" for word, names in groups if names]
        return "; ".join([*parts, ", ".join(seen)]) if seen else parts[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that decides the exit code of a scan, a dry run or an apply."""

    coverage: Coverage
    host_ends: tuple[HostEnd, ...]
    held: tuple[HeldFinding, ...] = ()
    fuses: tuple[str, ...] = ()
    pending: int = 0
    ends: tuple[ExecutionEnd, ...] = ()
    relapsed: tuple[str, ...] = ()
    halts: tuple[RuleHalt, ...] = ()
    stopped: str = ""
    interrupted: bool = False


def coverage(host_ends: Iterable[HostEnd], judgements: Iterable[Judgement]) -> Coverage:
    """Return how much was seen: a host with any unknown verdict or row is `unknown`."""
    unsure = {
        judgement.host for judgement in judgements if judgement.verdict is Verdict.UNKNOWN or judgement.unknown_rows
    }
    by_ending: dict[HostEnding, list[str]] = {ending: [] for ending in HostEnding}
    for end in host_ends:
        by_ending[end.ending].append(end.host)
    collected = by_ending[HostEnding.COLLECTED]
    return Coverage(
        selected=tuple(sorted(name for names in by_ending.values() for name in names)),
        judged=tuple(sorted(name for name in collected if name not in unsure)),
        unknown=tuple(sorted(name for name in collected if name in unsure)),
        unreachable=tuple(sorted(by_ending[HostEnding.UNREACHABLE])),
        refused=tuple(sorted(by_ending[HostEnding.REFUSED])),
    )


def _holds_back(held: Held) -> bool:
    """Say whether a hold leaves a match unmended that no person decided to leave."""
    match held.hold:
        case Hold.QUARANTINED | Hold.TOO_MANY_ROWS:
            return True
        case Hold.COOLING_DOWN | Hold.PAUSED:
            return held.after_bad
        case Hold.EXEMPT | Hold.OBSERVE_ONLY | Hold.OUTSIDE_WINDOW | Hold.PROTECTED | Hold.NO_FIX_FOR_PLATFORM:
            return False
        case _:
            assert_never(held.hold)


def _code_of_skip(skip: Skip) -> ExitCode:
    """Return what a skipped execution means for the exit code."""
    match skip:
        case Skip.HEALED | Skip.ONE_DISRUPTIVE:
            return ExitCode.DONE
        case Skip.HOST_HOLD | Skip.EXEMPT | Skip.PAUSED | Skip.OUTSIDE_WINDOW | Skip.PROTECTED:
            return ExitCode.DONE
        case Skip.HOST_BAD:
            return ExitCode.BAD
        case Skip.NOT_SEEN:
            return ExitCode.INCOMPLETE
        case Skip.INTERRUPTED:
            return ExitCode.INTERRUPTED
        case Skip.HALTED | Skip.FUSE | Skip.STOPPED | Skip.HOST_BUSY | Skip.RULE_BUSY | Skip.PLAN_EXPIRED:
            return ExitCode.HALTED
        case Skip.COOLING_DOWN | Skip.QUARANTINED | Skip.BREAKER:
            return ExitCode.HALTED
        case Skip.FROZEN | Skip.BUDGET | Skip.ALREADY_STARTED:
            return ExitCode.HALTED
        case _:
            assert_never(skip)


def _skip_codes(summary: Summary) -> set[ExitCode]:
    return {_code_of_skip(end.ended.skip) for end in summary.ends if end.ended.skip is not None}


def _is_blocked(summary: Summary) -> bool:
    """Say whether a limit, a stop or a lock left something undone."""
    held = any(_holds_back(item.held) for item in summary.held)
    return bool(held or summary.fuses or summary.halts or summary.stopped)


def _is_bad(summary: Summary) -> bool:
    outcomes = any(end.ended.outcome.outcome_class is OutcomeClass.BAD for end in summary.ends)
    return outcomes or bool(summary.relapsed) or any(end.identity for end in summary.host_ends)


def _is_incomplete(summary: Summary, max_unseen: Limit) -> bool:
    gone = {
        end.execution.host
        for end in summary.ends
        if end.ended.outcome is Outcome.UNREACHABLE
        or (end.ended.skip is not None and _code_of_skip(end.ended.skip) is ExitCode.INCOMPLETE)
    }
    unseen = summary.coverage.unseen + len(gone & set(summary.coverage.judged))
    return max_unseen.exceeded(unseen, hosts=len(summary.coverage.selected))


def exit_code(summary: Summary, *, max_unseen: Limit, detailed: bool) -> ExitCode:
    """
    Return the exit code; when several apply: 130, 5, 3, 4, 2, 0.

    (1 and 6 are errors, raised before there is a summary.) `detailed` asks for 2
    when fixes are pending in a dry run.
    """
    skips = _skip_codes(summary)
    if summary.interrupted or ExitCode.INTERRUPTED in skips:
        return ExitCode.INTERRUPTED
    if _is_blocked(summary) or ExitCode.HALTED in skips:
        return ExitCode.HALTED
    if _is_bad(summary) or ExitCode.BAD in skips:
        return ExitCode.BAD
    if _is_incomplete(summary, max_unseen):
        return ExitCode.INCOMPLETE
    if detailed and summary.pending:
        return ExitCode.PENDING
    return ExitCode.DONE


_WORST_FIRST = (
    Outcome.LOST,
    Outcome.FAILED,
    Outcome.REFUSED,
    Outcome.UNVERIFIED,
    Outcome.NOT_FIXED,
    Outcome.UNREACHABLE,
    Outcome.SKIPPED,
    Outcome.NEEDS_REBOOT,
    Outcome.DONE,
    Outcome.FIXED,
)


def worst_outcome(outcomes: Iterable[Outcome]) -> Outcome | None:
    """Return the worst of outcomes, or None of none; `lost` is worst, `fixed` best."""
    seen = set(outcomes)
    return next((outcome for outcome in _WORST_FIRST if outcome in seen), None)


def outcome_counts(ends: Iterable[ExecutionEnd]) -> Mapping[Outcome, int]:
    """Return how many executions ended with each outcome, in the order of the outcomes."""
    counts = dict.fromkeys(Outcome, 0)
    for end in ends:
        counts[end.ended.outcome] += 1
    return {outcome: count for outcome, count in counts.items() if count}


def pending_executions(plan: Plan) -> int:
    """Return how many executions of a plan are free to run: none of a rule whose fuse is blown."""
    return sum(len(rule_plan.executions) for rule_plan in plan.rules if not rule_plan.fuse)
