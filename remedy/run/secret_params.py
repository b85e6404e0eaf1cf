"""Which secrets the scripts of rules and signals will want, by their references."""

from collections.abc import Iterable, Mapping

from remedy.model import Host, Params, Rule, Signal
from remedy.plan import Plan
from remedy.secrets import SecretReference
from remedy.text import counted
from remedy.verdicts import needed_signals

__all__ = ["references_of_loaded", "references_of_plan"]


def references_of_loaded(
    rules: Iterable[Rule], signals: Iterable[Signal], hosts: Iterable[Host]
) -> frozenset[SecretReference]:
    """Return every secret that is named, whoever is selected: a script of this machine could read them all."""
    defaults = (each.params for named in (rules, signals) for each in named)
    return frozenset(_of_params(defaults) | _of_params(params for host in hosts for params in host.params.values()))


def references_of_plan(plan: Plan, signals: Mapping[str, Signal]) -> Mapping[SecretReference, str]:
    """
    Return the secrets that the plan's fixes, and the collectors that prove them, cannot do without.

    Each with the rules and hosts that need it, such as 'low-disk on web-1 and 2 other hosts'.
    """
    found: dict[SecretReference, list[str]] = {}
    for rule_plan in plan.rules:
        needing: dict[SecretReference, list[str]] = {}
        for name in sorted({execution.host for execution in rule_plan.executions}):
            for reference in _of_rule_on(rule_plan.rule, [plan.hosts[name]], signals):
                needing.setdefault(reference, []).append(name)
        for reference, hosts in needing.items():
            more = f" and {counted(len(hosts) - 1, 'other host')}" if len(hosts) > 1 else ""
            found.setdefault(reference, []).append(f"{rule_plan.rule.name} on {hosts[0]}{more}")
    return {reference: ", ".join(whom) for reference, whom in found.items()}


def _of_rule_on(rule: Rule, hosts: Iterable[Host], signals: Mapping[str, Signal]) -> set[SecretReference]:
    defaults = {rule.name: rule.params, **{name: signals[name].params for name in needed_signals([rule])}}
    found: set[SecretReference] = set()
    is_default = False
    for host in hosts:
        overrides = {name: host.params[name] for name in defaults if name in host.params}
        if overrides:
            found |= _of_params({**params, **overrides.get(name, {})} for name, params in defaults.items())
        elif not is_default:
            is_default = True
            found |= _of_params(defaults.values())
    return found


def _of_params(each: Iterable[Params]) -> set[SecretReference]:
    return {value for params in each for value in params.values() if isinstance(value, SecretReference)}
