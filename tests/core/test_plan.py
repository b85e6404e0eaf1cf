"""Plans: every finding is planned or held, once; the same input gives the same bytes; ids can be recomputed."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.canonical import canonical_json
from remedy.holds import Attempt, Incident
from remedy.limits import Limit
from remedy.model import Host, Mode, Outcome, Platform, Reading, ReadingStatus, Risk
from remedy.plan import PLAN_EXPIRES_S, History, Plan
from remedy.plan_document import plan_document
from tests.core.builders import (
    CERTIFICATE,
    DISK,
    NOW,
    exemption,
    full,
    hosts,
    planned,
    policy,
    reading,
    rule,
    scope,
    script,
    unseen,
)
from tests.core.plan_bytes import plan_of_order
from tests.core.plans import ROOT, attempt_ago, history_with

REPOSITORY = Path(__file__).parents[2]


# The bytes


def _document(seed: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(canonical_json(plan_document(plan_of_order(seed))))
    return found


def test_plan_of_these_tests_has_something_of_everything() -> None:
    """The plan whose bytes are compared has waves, several holds, several rules and several rows of a host."""
    document = _document()

    assert [each["rule"] for each in document["rules"]] == ["low-disk", "old-certificate", "old-boot"]
    assert all(len(each["waves"]) > 1 for each in document["rules"])
    assert {item["hold"] for item in document["held"]} == {"exempt", "quarantined"}
    assert len(document["busy"]) == 2
    assert max(Counter((e["host"]) for each in document["rules"] for e in each["executions"]).values()) > 3


@settings(max_examples=25)
@given(st.integers(1, 1_000_000))
def test_bytes_do_not_depend_on_input_order(seed: int) -> None:
    """Scopes, hosts, judgements, rows, readings and every mapping in any order give the same bytes and digest."""
    mixed = plan_of_order(seed)

    assert canonical_json(plan_document(mixed)) == canonical_json(plan_document(plan_of_order(0)))
    assert mixed.digest == plan_of_order(0).digest


SURROUNDINGS = [
    {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "UTC"},
    {"PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8", "TZ": "Asia/Kolkata"},
    {"PYTHONHASHSEED": "4242", "LC_ALL": "tr_TR.UTF-8", "TZ": "America/St_Johns", "PYTHONUTF8": "0"},
]


def test_bytes_do_not_depend_on_hash_seed_locale_or_time_zone() -> None:
    """Other processes with other hash seeds, locales and time zones print the same bytes as this one."""
    expected = canonical_json(plan_document(plan_of_order(0))).encode()

    printed = [
        subprocess.run(
            [sys.executable, "-m", "tests.core.plan_bytes", str(seed)],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **surroundings},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed, surroundings in enumerate(SURROUNDINGS, start=7)
    ]

    assert printed == [expected] * len(SURROUNDINGS)


def _prefixed(*fields: str) -> str:
    raw = b"".join(b"%d:%s" % (len(field.encode()), field.encode()) for field in fields)
    return hashlib.sha256(raw).hexdigest()


def test_digest_and_ids_are_recomputed_from_the_plans_json() -> None:
    """
    A reviewer recomputes from the printed plan its digest, and each execution's id from that.

    The digest is over the plan without what is derived from it; the id is the first
    16 digits of SHA-256 over length-prefixed digest, rule, host, key.
    """
    document = _document()
    digest, expires_at = document.pop("digest"), document.pop("expires_at")
    ids = {}
    for each in document["rules"]:
        for execution in each["executions"]:
            ids[execution.pop("id")] = (each["rule"], execution["host"], execution["key"])

    written = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert digest == hashlib.sha256(written.encode()).hexdigest()
    assert expires_at == "2026-11-22T12:45:00Z"
    assert len(ids) > 50
    for found, (name, host, key) in ids.items():
        key_json = json.dumps(key, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert found == _prefixed(digest, name, host, key_json)[:16]


def test_ids_are_unique() -> None:
    """No two executions of a plan share an id."""
    executions = plan_of_order(0).executions

    assert len({execution.id for execution in executions}) == len(executions)


CHANGES: dict[str, Any] = {
    "the time": {"now": NOW + timedelta(seconds=1)},
    "a script": {"rule": rule(fix={Platform.LINUX: script(b"#!/bin/sh\nfalse\n")})},
    "the rule": {"rule": replace(rule(), digest="another")},
    "a parameter": {"rule": rule(params={"below": 9.0})},
    "a limit": {"rule": rule(rollout=policy(max_bad=1))},
    "a row": {"readings": [reading(DISK, "web-1", {"mount": "/", "free_percent": 4}), *full("web-2")]},
    "a hold": {"history": history_with(attempts={("low-disk", "web-1", ROOT): (attempt_ago(timedelta(minutes=1)),)})},
    "a host fewer": {"readings": full("web-1")},
    "an address": {
        "hosts": (
            replace(hosts("web-1")[0], connection=replace(Host(name="x").connection, address="192.0.2.9")),
            *hosts("web-2"),
        )
    },
}


def _changed(**changed: Any) -> Plan:
    given = {"rule": rule(), "hosts": hosts("web-1", "web-2"), "readings": full("web-1", "web-2"), **changed}
    scopes = [scope(given.pop("rule"), given.pop("hosts"))]
    return planned(scopes, given.pop("readings"), **given)


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES.keys())
def test_digest_changes_with_what_a_reviewer_agreed_to(changed: Mapping[str, Any]) -> None:
    """Another time, script, rule, parameter, limit, row, hold, host or address is another plan."""
    plan = _changed(**changed)

    assert plan.digest != _changed().digest
    assert not {each.id for each in plan.executions} & {each.id for each in _changed().executions}


def test_plan_expires_four_hours_after_it_was_made() -> None:
    """The time after which no run may start from a plan is created_at and four hours."""
    assert (_changed().expires_at - NOW).total_seconds() == PLAN_EXPIRES_S == 14_400


# Planned or held


@st.composite
def _fleets(draw: st.DrawFn) -> tuple[list[Any], list[Reading], History]:
    names = [f"web-{number}" for number in range(draw(st.integers(1, 8)))]
    members = [Host(name=name, platform=draw(st.sampled_from(Platform))) for name in names]
    modes = st.sampled_from((Mode.FIX, Mode.FIX, Mode.OBSERVE))
    fixes = st.sampled_from((None, None, {Platform.LINUX: script()}))
    rules = [
        rule(
            f"rule-{number}",
            mode=draw(modes),
            fix=draw(fixes),
            exempt=(exemption("some", draw(st.sampled_from((None, "mount = '/a'")))),),
            risk=draw(st.sampled_from(Risk)),
            matched=Limit(count=draw(st.integers(0, 8))),
        )
        for number in range(draw(st.integers(1, 3)))
    ]
    some = st.frozensets(st.sampled_from(names), max_size=2)
    scopes = [scope(each, members, draw(some)) for each in rules]
    rows = st.lists(st.sampled_from("abcdefghijklm"), unique=True, min_size=1, max_size=13)
    readings = [
        reading(
            DISK,
            name,
            *({"mount": f"/{mount}", "free_percent": draw(st.sampled_from((3, 90)))} for mount in draw(rows)),
        )
        for name in names
    ]
    attempts: dict[Incident, tuple[Attempt, ...]] = {
        (each.name, name, (("mount", "/a"),)): (
            attempt_ago(draw(st.integers(0, 3)) * timedelta(hours=1), draw(st.sampled_from(Outcome))),
        )
        for each in rules
        for name in draw(some)
    }
    history = History(
        attempts=attempts,
        last_bad={rules[0].name: draw(some)},
        breakers=draw(st.sampled_from(({}, {rules[-1].name: "2 bad"}))),
        busy=dict.fromkeys(draw(some), "run-1"),
    )
    return scopes, readings, history


@given(_fleets())
def test_every_finding_is_planned_or_held_exactly_once(fleet: tuple[list[Any], list[Reading], History]) -> None:
    """Planned and held findings together are all findings, each once; nothing is both or neither."""
    scopes, readings, history = fleet
    matching = {
        (each.rule.name, found.host, (("mount", row["mount"]),))
        for each in scopes
        for found in readings
        for row in found.rows
        if row["free_percent"] == 3.0
    }

    plan = planned(scopes, readings, history=history)

    told = Counter((each.rule, each.host, each.key) for each in plan.executions)
    told.update((item.finding.rule, item.finding.host, item.finding.key) for item in plan.held)
    assert told == Counter(matching)


@given(_fleets())
def test_waves_of_each_rule_partition_its_planned_hosts(fleet: tuple[list[Any], list[Reading], History]) -> None:
    """Each planned host is in exactly one wave; executions come in the order of waves, then of keys."""
    scopes, readings, history = fleet

    plan = planned(scopes, readings, history=history)

    for each in plan.rules:
        in_waves = list(itertools.chain.from_iterable(each.waves))
        assert Counter(in_waves) == Counter({execution.host for execution in each.executions})
        order = [(in_waves.index(execution.host), execution.key) for execution in each.executions]
        assert order == sorted(order)
        assert each.spec.order == tuple(sorted(in_waves, key=each.spec.order.index))
    assert set(plan.hosts) == {execution.host for execution in plan.executions}


@given(_fleets())
def test_hosts_that_were_bad_last_time_come_last(fleet: tuple[list[Any], list[Reading], History]) -> None:
    """Hosts whose last attempt was bad follow all others; each part is in the order of SHA-256."""
    scopes, readings, history = fleet

    plan = planned(scopes, readings, history=history)

    for each in plan.rules:
        bad = history.last_bad.get(each.rule.name, frozenset())
        name = each.rule.name
        assert list(each.spec.order) == sorted(
            each.spec.order,
            key=lambda host: (host in bad, _prefixed(name, host)),
        )


def test_host_that_was_bad_is_a_canary_only_when_no_other_is_left() -> None:
    """Of two hosts the one that was bad last time is in the last wave; alone it is the first."""
    history = history_with(last_bad={"low-disk": frozenset(["web-1"])})
    two = planned([scope(rule(), hosts("web-1", "web-2"))], full("web-1", "web-2"), history=history)
    one = planned([scope(rule(), hosts("web-1", "web-2"))], full("web-1"), history=history)

    assert two.rules[0].waves == (("web-2",), ("web-1",))
    assert one.rules[0].waves == (("web-1",),)


def test_rules_are_carried_out_by_risk_then_name() -> None:
    """Safe rules come before disruptive ones, these before destructive ones, and each by name."""
    risks = {"d": Risk.SAFE, "c": Risk.DESTRUCTIVE, "b": Risk.DISRUPTIVE, "a": Risk.DISRUPTIVE, "e": Risk.SAFE}
    scopes = [scope(rule(name, risk=risk), hosts("web-1")) for name, risk in risks.items()]

    plan = planned(scopes, full("web-1"))

    assert [each.rule.name for each in plan.rules] == ["d", "e", "a", "b", "c"]
    assert [execution.rule for execution in plan.executions] == ["d", "e", "a", "b", "c"]


def test_rows_of_a_host_are_executed_in_key_order() -> None:
    """Numbers are ordered by size, not as text."""
    expiring = rule("cert", "days_left < 9", of=CERTIFICATE, params={})
    found = reading(CERTIFICATE, "web-1", *({"port": port, "days_left": 1} for port in (8443, 443, 9)))

    plan = planned([scope(expiring, hosts("web-1"))], [found])

    assert [execution.key for execution in plan.executions] == [
        (("port", 9.0),),
        (("port", 443.0),),
        (("port", 8443.0),),
    ]


def test_execution_carries_what_will_run() -> None:
    """An execution has the host's own parameters, and path, digest, deadline and privilege of its platform's script."""
    own = replace(hosts("web-1")[0], params={"low-disk": {"below": 12.0}})

    (execution,) = planned([scope(rule(), [own])], full("web-1")).executions

    assert execution.params == {"below": 12.0}
    assert (execution.script, execution.script_sha256) == ("clean.sh", script().sha256)
    assert (execution.timeout_s, execution.become_root) == (60, True)


def test_unknown_and_healthy_hosts_are_neither_planned_nor_held() -> None:
    """Only a match gets into a plan."""
    readings = [
        reading(DISK, "web-1", {"mount": "/", "free_percent": 90}),
        reading(DISK, "web-2", {"mount": "/", "free_percent": None}),
        unseen(DISK, "web-3", ReadingStatus.FAILED),
    ]

    plan = planned([scope(rule(), hosts("web-1", "web-2", "web-3", "web-4"))], readings)

    assert (plan.executions, plan.held, dict(plan.hosts)) == ((), (), {})
    assert (plan.rules[0].selected, plan.rules[0].judged, plan.rules[0].matched) == (4, 1, 0)


@pytest.mark.parametrize(("max_bad", "concurrency", "worst"), [(0, 1, 1), (1, 2, 3), (2, 20, 4)])
def test_worst_case_is_max_bad_and_concurrency_but_no_more_than_all(max_bad: int, concurrency: int, worst: int) -> None:
    """The printed worst case is how many hosts can go bad before the rollout stops."""
    names = [f"web-{number}" for number in range(4)]
    of = rule(rollout=policy(max_bad=max_bad, concurrency=concurrency))

    assert planned([scope(of, hosts(*names))], full(*names)).rules[0].worst_case == worst


def test_document_names_host_rule_row_script_params_and_wave() -> None:
    """The plan's JSON has for each execution all that a reviewer must see."""
    document = plan_document(_changed())

    (described,) = document["rules"]
    first = described["executions"][0]
    assert first["wave"] == 1
    assert first["row"] == {"mount": "/", "free_percent": 3}
    assert first["params"] == {"below": 10}
    assert first["script_sha256"] == script().sha256
    assert described["limits"] == {
        "matched": 1_000_000,
        "max_bad": 0,
        "max_unreachable": 1,
        "concurrency": 20,
        "soak_s": 300,
        "worst_case": 2,
        "cooldown_s": 3_600,
        "attempts": 3,
        "attempts_within_s": 86_400,
    }
