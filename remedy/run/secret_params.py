"""Which secrets the scripts of rules and signals will want, by their references."""

from collections.abc import Iterable, Mapping

from remedy.model import Host, Params, Rule, Scope, Signal
from remedy.plan import Plan
from remedy.secrets import SecretReference
from remedy.verdicts import needed_signals

__all__ = ["references_of_plan", "references_of_scopes"]


def references_of_scopes(scopes: Iterable[Scope], signals: Mapping[str, Signal]) -> frozenset[SecretReference]:
    """Return the secrets of these rules, and of the signals they read, on the hosts they look at."""
    return frozenset(reference for scope in scopes for reference in _of_rule_on(scope.rule, scope.hosts, signals))


def references_of_plan(plan: Plan, signals: Mapping[str, Signal]) -> frozenset[SecretReference]:
    """Return the secrets that the plan's fixes, and the collectors that prove them, cannot do without."""
    found: set[SecretReference] = set()
    for rule_plan in plan.rules:
        planned = {execution.host for execution in rule_plan.executions}
        found |= _of_rule_on(rule_plan.rule, [plan.hosts[name] for name in planned], signals)
    return frozenset(found)


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
