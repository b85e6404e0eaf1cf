"""Which planted mistakes the cases of a rule do not notice. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remedy.load.cases import Case
from remedy.model import Rule, Signal
from remedy.testing.comparing import differences
from remedy.testing.judging import judge_case
from remedy.testing.mutants import Mutant, mutants_of

__all__ = ["Survivor", "is_noticed", "surviving_mutants"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivor:
    """A planted mistake that no case of its rule notices; `file` is that of the rule."""

    rule: str
    file: str
    kind: str
    at: str
    text: str


def surviving_mutants(
    rule: Rule, cases: Sequence[Case], signals: Mapping[str, Signal]
) -> tuple[int, tuple[Survivor, ...]]:
    """Return how many mistakes were planted, and those that every case lets pass."""
    planted, survivors = 0, []
    for mutant in mutants_of(rule, signals):
        planted += 1
        if not is_noticed(mutant, cases, signals):
            survivors.append(
                Survivor(rule=rule.name, file=rule.place.file, kind=mutant.kind, at=mutant.at, text=mutant.text)
            )
    return planted, tuple(survivors)


def is_noticed(mutant: Mutant, cases: Sequence[Case], signals: Mapping[str, Signal]) -> bool:
    """Say whether at least one case fails on the rule with the mistake in it."""
    return any(differences(case, judge_case(case, mutant.rule, signals)) for case in cases)
