"""A plan as a file: it comes back as the very same plan, or names what has changed since the review."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.errors import UsageError
from remedy.holds import Override, Pause, PauseOf
from remedy.limits import Budget, Limit
from remedy.model import Connection, Hold
from remedy.plan import NO_HISTORY, Plan, Unseen
from remedy.plan_document import plan_document
from remedy.plan_file import PLAN_BYTES_MAX, Standing, plan_file_text, plan_of_file
from remedy.precautions import NO_PRECAUTIONS, Precautions
from remedy.schedule import Freeze
from tests.core.builders import DISK, NOW, SIGNALS, exemption, full, hosts, planned, reading, rule, scope, script

MEMBERS = hosts("web-1", "web-2", "web-3", "db-1")
RULE = rule()
PRECAUTIONS = Precautions(
    protected=frozenset({"db-1"}),
    named=frozenset({"db-1"}),
    per_rule=Budget(hosts=200, window_s=86_400),
    all_rules=None,
    freezes=(Freeze(start=NOW + timedelta(days=30), end=NOW + timedelta(days=40), reason="year end"),),
    override=Override(hold=Hold.COOLING_DOWN, rule="low-disk", host="web-1", reason="tried by hand"),
)
PAUSE = Pause(of=PauseOf.GROUP, name="berlin", reason="audit", actor="alice", at=NOW, until=NOW + timedelta(hours=2))
READINGS = [*full("web-1", "db-1"), reading(DISK, "web-2", {"mount": "/srv", "free_percent": 0.5, "read_only": True})]


def plan(**more: Any) -> Plan:
    """Return a plan with something of everything that a file must bring back."""
    members = more.pop("members", MEMBERS)
    of = replace(RULE, exempt=(exemption("web-2", "mount = '/srv'"),))
    return planned(
        [scope(of, members, ["web-2"])],
        READINGS,
        history=replace(NO_HISTORY, pauses=(PAUSE,), busy={"web-1": "run-1"}),
        precautions=PRECAUTIONS,
        unseen=Unseen(unknown=("web-3",), unreachable=("web-9",)),
        **more,
    )


def standing(**changed: Any) -> Standing:
    """Return what the plan stands on, as it was when it was made."""
    today = Standing(
        rules={"low-disk": replace(RULE, exempt=(exemption("web-2", "mount = '/srv'"),))},
        looks_at={"low-disk": frozenset(host.name for host in MEMBERS)},
        signals=SIGNALS,
        hosts={host.name: host for host in MEMBERS},
        precautions=replace(PRECAUTIONS, named=frozenset(), override=None),
    )
    return replace(today, **changed)


def test_plan_comes_back_as_it_was() -> None:
    """With nothing changed, the plan of the file equals the plan that was written, its ids included."""
    before = plan()

    assert len(before.executions) == 2
    assert len(before.held) == 1
    assert plan_of_file(plan_file_text(before), standing(), file="plan.json") == before


CHANGES: dict[str, tuple[Callable[[], Standing], str]] = {
    "rule": (
        lambda: standing(rules={"low-disk": replace(standing().rules["low-disk"], digest="other")}),
        'rules[low-disk].digest: "digest of low-disk" in the plan, "other" now',
    ),
    "script": (
        lambda: standing(
            rules={
                "low-disk": replace(
                    standing().rules["low-disk"], fix=dict.fromkeys(RULE.fix, script(b"#!/bin/sh\nrm -rf /\n"))
                )
            }
        ),
        "rules[low-disk].executions[db-1].script_sha256",
    ),
    "rule gone": (lambda: standing(rules={}), "rule low-disk is gone"),
    "host gone": (
        lambda: standing(hosts={"web-1": MEMBERS[0], "web-2": MEMBERS[1]}),
        "host db-1 is gone from the inventory",
    ),
    "host out of the rule's scope": (
        lambda: standing(looks_at={"low-disk": frozenset({"web-1"})}),
        "rule low-disk does not look at db-1 any more",
    ),
    "address": (
        lambda: standing(
            hosts={**standing().hosts, "web-1": replace(MEMBERS[0], connection=Connection(address="192.0.2.9"))}
        ),
        'hosts.web-1.address: null in the plan, "192.0.2.9" now',
    ),
    "parameter": (
        lambda: standing(
            hosts={**standing().hosts, "web-1": replace(MEMBERS[0], params={"low-disk": {"below": 99.0}})}
        ),
        "rules[low-disk].executions[web-1].params.below: 10 in the plan, 99 now",
    ),
    "max_bad": (
        lambda: standing(
            rules={
                "low-disk": replace(standing().rules["low-disk"], rollout=replace(RULE.rollout, max_bad=Limit(count=7)))
            }
        ),
        "rules[low-disk].limits.max_bad: 0 in the plan, 7 now",
    ),
    "what a collector looks at": (
        lambda: standing(hosts={**standing().hosts, "web-1": replace(MEMBERS[0], params={"disk": {"skip": "/srv"}})}),
        'hosts.web-1.signal_params.disk: null in the plan, {"skip":"/srv"} now',
    ),
    "fix of the platform gone": (
        lambda: standing(rules={"low-disk": replace(standing().rules["low-disk"], fix={})}),
        "rule low-disk has no fix for linux any more",
    ),
    "key of the signal": (
        lambda: standing(signals={**SIGNALS, "disk": replace(DISK, key=("mount", "read_only"))}),
        "rule low-disk: the rows of signal disk have another key now",
    ),
    "newly protected, first of all": (
        lambda: standing(precautions=replace(standing().precautions, protected=frozenset({"web-1"}))),
        "precautions.protected",
    ),
    "budget": (
        lambda: standing(precautions=replace(standing().precautions, per_rule=Budget(hosts=900, window_s=86_400))),
        'precautions.budgets.per_rule: "200/24h" in the plan, "900/24h" now',
    ),
    "freeze": (
        lambda: standing(precautions=replace(standing().precautions, freezes=())),
        "precautions.freezes",
    ),
    "protected no longer": (
        lambda: standing(precautions=replace(standing().precautions, protected=frozenset())),
        "precautions.protected",
    ),
    "newly protected": (
        lambda: standing(precautions=replace(standing().precautions, protected=frozenset({"db-1", "web-1"}))),
        "precautions.protected",
    ),
}


@pytest.mark.parametrize(("change", "named"), CHANGES.values(), ids=CHANGES.keys())
def test_changed_ground_is_refused_and_named(change: Callable[[], Standing], named: str) -> None:
    """Whatever a plan stands on, when it has changed the plan is refused, and the message names it."""
    text = plan_file_text(plan())

    with pytest.raises(UsageError, match="does not stand any more") as refused:
        plan_of_file(text, change(), file="plan.json")

    assert named in str(refused.value)
    assert "nothing was started" in str(refused.value)


def test_protected_host_the_plan_does_not_look_at_is_no_change() -> None:
    """A plan of some hosts still stands although other hosts are protected, which it never looked at."""
    precautions = replace(standing().precautions, protected=frozenset({"db-1", "dc-1"}))

    assert plan_of_file(plan_file_text(plan()), standing(precautions=precautions), file="plan.json") == plan()


@settings(max_examples=150)
@given(st.data())
def test_any_edited_value_is_refused(data: st.DataObject) -> None:
    """Whichever single value of the file is changed, added or removed: it is refused, and nothing else is raised."""
    document = json.loads(plan_file_text(plan()))
    where: Any = document
    path = []
    while isinstance(where, dict | list) and where and (not path or data.draw(st.integers(0, 9)) > 0):
        keys = sorted(where) if isinstance(where, dict) else range(len(where))
        key = data.draw(st.sampled_from(list(keys)))
        path.append((where, key))
        where = where[key]
    holder, key = path[-1]
    if data.draw(st.booleans()):
        del holder[key]
    else:
        holder[key] = data.draw(
            st.sampled_from(["", "x", 0, 7, 0.25, None, True, [], {}, "2026-11-22T08:45:00Z"]).filter(
                lambda value: value != holder[key] or type(value) is not type(holder[key])
            )
        )

    with pytest.raises(UsageError):
        plan_of_file(json.dumps(document), standing(), file="plan.json")


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "plan", '{"plan": 2}', '{"plan": 1, "plan": 1}', '{"plan": NaN}', "[" * 100_000],
)
def test_what_is_no_plan_file_is_said_so(text: str) -> None:
    """Any other text is no plan file; the message says how to make one."""
    with pytest.raises(UsageError, match=r"no plan file .*--plan-out"):
        plan_of_file(text, standing(), file="plan.json")


def test_other_plan_with_the_ids_of_this_one_is_refused() -> None:
    """Ids that are not those of the digest are refused, though the digest is right."""
    document = plan_document(plan())
    document["rules"][0]["executions"][0]["id"] = "0" * 16

    with pytest.raises(UsageError, match="ids"):
        plan_of_file(json.dumps(document), standing(), file="plan.json")


def test_plan_without_safeguards_comes_back() -> None:
    """A plan of no precautions, no holds and no pauses is read back too."""
    before = planned([scope(rule(), MEMBERS)], full("web-3"))
    today = standing(rules={"low-disk": rule()}, precautions=NO_PRECAUTIONS)

    assert plan_of_file(plan_file_text(before), today, file="plan.json") == before
    assert len(plan_file_text(before)) < PLAN_BYTES_MAX
