"""Which secrets a run will want: those of its rules and signals, on the hosts they look at."""

from dataclasses import replace

from remedy.load.repository import load_repository
from remedy.model import Host, Params, Rule, Scope, Signal
from remedy.run.secret_params import references_of_scopes
from remedy.secrets import SecretReference
from tests.load.tables import BASE

_RULE, _SIGNAL, _OTHER, _HOST = (
    SecretReference(f"env:{name}") for name in ("OF_RULE", "OF_SIGNAL", "OF_OTHER", "OF_HOST")
)


def _loaded() -> tuple[Rule, dict[str, Signal]]:
    repository = load_repository(BASE)
    rule = repository.rules["low-disk"]
    with_secret = {"disk": _SIGNAL, "reboot": _OTHER}
    signals = {
        name: replace(signal, params={**signal.params, "key": with_secret[name]})
        for name, signal in repository.signals.items()
    }
    return replace(rule, params={**rule.params, "token": _RULE}), signals


def _wanted(*overrides: Params) -> frozenset[SecretReference]:
    rule, signals = _loaded()
    hosts = tuple(
        Host(name=f"web-{number}", params={"low-disk": params} if params else {})
        for number, params in enumerate(overrides)
    )
    return references_of_scopes([Scope(rule=rule, hosts=hosts, exempt_names=())], signals)


def test_secrets_of_a_rule_are_its_own_and_its_signals() -> None:
    """Those of signals that it does not read are not wanted."""
    assert _wanted({}, {}) == {_RULE, _SIGNAL}


def test_override_of_a_host_takes_the_place_of_the_default() -> None:
    """A default that every host overrides is not wanted; one that a host is left with is."""
    assert _wanted({"token": _HOST}) == {_HOST, _SIGNAL}
    assert _wanted({"token": _HOST}, {}, {"below_gib": 1.0}) == {_HOST, _RULE, _SIGNAL}


def test_rule_that_looks_at_nobody_wants_nothing() -> None:
    """Without a host no script runs."""
    assert _wanted() == frozenset()
