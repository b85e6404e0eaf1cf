"""Which secrets a run will want, and which it hides: those of what it will start, and all that are named."""

from dataclasses import replace

from remedy.model import Params
from remedy.plan import Plan
from remedy.run.secret_params import references_of_loaded, references_of_plan
from remedy.secrets import SecretReference
from tests.core.builders import DISK, hosts, planned, reading, rule, scope

_RULE, _SIGNAL, _OTHER, _HOST = (
    SecretReference(f"env:{name}") for name in ("OF_RULE", "OF_SIGNAL", "OF_OTHER", "OF_HOST")
)
_DISK = replace(DISK, params={"key": _SIGNAL})
_NOT_READ = replace(DISK, name="reboot", params={"key": _OTHER})


def _plan(*overrides: Params) -> Plan:
    """Return a plan with a fix on a host for each of the overrides."""
    members = hosts(*(f"web-{number}" for number, _ in enumerate(overrides)))
    plan = planned(
        [scope(rule(), members)], [reading(DISK, host.name, {"mount": "/", "free_percent": 1.0}) for host in members]
    )
    own = {"below": 10.0, "token": _RULE}
    return replace(
        plan,
        rules=tuple(replace(each, rule=replace(each.rule, params=own)) for each in plan.rules),
        hosts={
            host.name: replace(host, params={"low-disk": params} if params else {})
            for host, params in zip(members, overrides, strict=True)
        },
    )


def _wanted(*overrides: Params) -> frozenset[SecretReference]:
    return frozenset(references_of_plan(_plan(*overrides), {_DISK.name: _DISK, _NOT_READ.name: _NOT_READ}))


def test_secrets_of_a_rule_are_its_own_and_its_signals() -> None:
    """Those of signals that it does not read are not wanted."""
    assert _wanted({}, {}) == {_RULE, _SIGNAL}


def test_override_of_a_host_takes_the_place_of_the_default() -> None:
    """A default that every host overrides is not wanted; one that a host is left with is."""
    assert _wanted({"token": _HOST}) == {_HOST, _SIGNAL}
    assert _wanted({"token": _HOST}, {}, {"below_gib": 1.0}) == {_HOST, _RULE, _SIGNAL}


def test_rule_without_a_fix_in_the_plan_wants_nothing() -> None:
    """Without a host no script runs."""
    assert _wanted() == frozenset()


def test_all_that_is_named_is_hidden_whoever_is_selected() -> None:
    """Also a default that every host overrides, a signal that no rule reads, and a host that no rule looks at."""
    named = replace(rule(), params={"token": _RULE})
    other = replace(hosts("web-1")[0], params={"low-disk": {"token": _HOST, "below": 3.0}})

    found = references_of_loaded([named], [_DISK, _NOT_READ], [other, *hosts("web-2")])

    assert found == {_RULE, _SIGNAL, _OTHER, _HOST}
