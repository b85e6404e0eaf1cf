"""
Precautions: what holds for a whole plan besides its rules.

The safeguards of remedy.yaml with their hosts resolved, and what a person asked
for by name: protected hosts one by one, and one override.
"""

from dataclasses import dataclass

from remedy.holds import Override
from remedy.limits import Budget
from remedy.model import Hold
from remedy.schedule import Freeze

__all__ = ["NO_PRECAUTIONS", "Precautions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Precautions:
    """
    Protected hosts, those of them that were named one by one, budgets, freezes, and an override.

    `protected` are names of selected hosts; `named` is a part of them. A budget of
    None is no budget.
    """

    protected: frozenset[str]
    named: frozenset[str]
    per_rule: Budget | None
    all_rules: Budget | None
    freezes: tuple[Freeze, ...]
    override: Override | None

    def override_for(self, rule: str, host: str) -> Hold | None:
        """Return the hold that a person lifted for this rule on this host, or None."""
        override = self.override
        return override.hold if override is not None and (override.rule, override.host) == (rule, host) else None


NO_PRECAUTIONS = Precautions(
    protected=frozenset(), named=frozenset(), per_rule=None, all_rules=None, freezes=(), override=None
)
