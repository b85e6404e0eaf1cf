"""What testing rules came to: each case with its state, and the whole with its counts and exit code. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from remedy.errors import Place
from remedy.testing.comparing import Difference
from remedy.testing.coverage import RuleCoverage
from remedy.testing.surviving import Survivor

__all__ = ["CheckedCase", "Kind", "State", "Suite"]


class State(StrEnum):
    """What a case came to; `broken` could not be run for what is wrong with a file."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    BROKEN = "broken"


class Kind(StrEnum):
    """What was tested: a case of the condition, of the fix, of a collector; a rule's cases as a whole; a file."""

    CASE = "case"
    FIX = "fix"
    COLLECT = "collect"
    RULE = "rule"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCase:
    """
    One thing that was tested, and what it came to; `rule` is its rule, or the signal of a collector.

    `name` is the case's ('' for a rule as a whole and for a file); `message` says
    why it failed, was skipped or is broken, `cure` what to do about it.
    """

    rule: str
    name: str
    kind: Kind
    place: Place
    state: State
    message: str = ""
    cure: str = ""
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """
    All that was tested; `signals` are those with cases of their collectors, `bare_signals` those without.

    `coverage` and `survivors` are None when they were not asked for; `mutants` is
    how many mistakes were planted, `unplanted` are the rules in which none was, for
    their cases fail as it is.
    """

    rules: int
    signals: int = 0
    bare_signals: tuple[str, ...] = ()
    tested: tuple[CheckedCase, ...]
    coverage: tuple[RuleCoverage, ...] | None = None
    survivors: tuple[Survivor, ...] | None = None
    mutants: int = 0
    unplanted: tuple[str, ...] = ()

    @property
    def cases(self) -> int:
        """How many cases there are, whatever they came to."""
        return sum(1 for each in self.tested if each.kind not in (Kind.RULE, Kind.FILE))

    def of(self, state: State) -> tuple[CheckedCase, ...]:
        """Return what came to this state, in order."""
        return tuple(each for each in self.tested if each.state is state)
