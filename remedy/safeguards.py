"""What remedy.yaml lays down for all rules: protected hosts, budgets and freezes."""

from dataclasses import dataclass

from remedy.errors import Place
from remedy.limits import Budget
from remedy.schedule import Freeze

__all__ = ["NO_SAFEGUARDS", "Protected", "Safeguards"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """A host pattern whose hosts are touched only when named one by one, and last; and where it stands."""

    hosts: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Safeguards:
    """
    What remedy.yaml lays down for all rules: protected hosts, budgets, freezes.

    A host is protected when any of `protected` names it. They stay apart, for
    patterns with `!` or `&` cannot be joined as text. `per_rule` and `all_rules`
    count the distinct hosts on which fixes started, over all runs; None is no budget.
    """

    protected: tuple[Protected, ...] = ()
    per_rule: Budget | None = None
    all_rules: Budget | None = None
    freezes: tuple[Freeze, ...] = ()

    def joined(self, other: "Safeguards") -> "Safeguards":
        """Return the safeguards that keep to both: all protected hosts, all freezes, the stricter of each budget."""
        return Safeguards(
            protected=tuple(dict.fromkeys((*self.protected, *other.protected))),
            per_rule=_stricter(self.per_rule, other.per_rule),
            all_rules=_stricter(self.all_rules, other.all_rules),
            freezes=tuple(dict.fromkeys((*self.freezes, *other.freezes))),
        )


NO_SAFEGUARDS = Safeguards()


def _stricter(one: Budget | None, other: Budget | None) -> Budget | None:
    if one is None or other is None:
        return one if other is None else other
    return one.stricter(other)
