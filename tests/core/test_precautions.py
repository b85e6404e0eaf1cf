"""What holds for a whole plan besides its rules: protected hosts, pauses, overrides; the plan shows all of it."""

from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest

from remedy.holds import Attempt, Override, Pause, PauseOf
from remedy.limits import Budget
from remedy.model import Hold, Host, Key, Mode, Outcome
from remedy.plan import GRACE_S, NO_HISTORY, Plan, incident_text
from remedy.plan_document import plan_document
from remedy.planning import gate_request
from remedy.precautions import NO_PRECAUTIONS
from remedy.schedule import ChangeWindow
from tests.core.builders import NOW, full, hosts, planned, rule, scope, script

ROOT: Key = (("mount", "/"),)
NAMES = tuple(f"web-{number}" for number in range(20))
MONDAY = ChangeWindow(days=(0,), start_minute=22 * 60, end_minute=23 * 60, zone=UTC, zone_name="UTC")


def plan(*names: str, of: Any = None, **more: Any) -> Plan:
    """Return the plan of a rule that matches on all of these hosts."""
    return planned([scope(of or rule(), hosts(*names))], full(*names), **more)


def holds(found: Plan) -> dict[str, Hold]:
    """Return the holds by incident."""
    return {incident_text(item.finding).split()[0]: item.held.hold for item in found.held}


def test_protected_host_is_held_unless_it_is_named() -> None:
    """A protected host that nobody named is held, and the hold says how to name it; a named one is planned."""
    precautions = replace(NO_PRECAUTIONS, protected=frozenset({"db-1"}))
    unnamed = plan("web-1", "db-1", precautions=precautions)
    named = plan("web-1", "db-1", precautions=replace(precautions, named=frozenset({"db-1"})))

    assert holds(unnamed) == {"db-1": Hold.PROTECTED}
    assert unnamed.held[0].held.lifted_by == "naming it: -l db-1"
    assert [execution.host for execution in unnamed.executions] == ["web-1"]
    assert {execution.host for execution in named.executions} == {"web-1", "db-1"}


@pytest.mark.parametrize("name", NAMES[:5])
def test_named_protected_host_is_the_last(name: str) -> None:
    """Wherever the digest would put it, a protected host comes last, behind one that was bad last time."""
    precautions = replace(NO_PRECAUTIONS, protected=frozenset({name}), named=frozenset({name}))
    history = replace(NO_HISTORY, last_bad={"low-disk": frozenset({NAMES[7]})})

    order = plan(*NAMES, precautions=precautions, history=history).rules[0].spec.order

    assert order[-2:] == (NAMES[7], name)


def test_pauses_stand_in_every_plan() -> None:
    """People's pauses are in the plan and its document, though nothing here is held by them; ended ones are not."""
    of_group = Pause(of=PauseOf.GROUP, name="berlin", reason="audit", actor="alice", at=NOW, until=None)
    over = replace(of_group, name="rome", until=NOW)

    found = plan("web-1", history=replace(NO_HISTORY, pauses=(of_group, over)))

    assert found.pauses == (of_group,)
    assert [each["name"] for each in plan_document(found)["pauses"]] == ["berlin"]
    assert len(found.executions) == 1


def test_pause_of_a_group_holds_its_hosts() -> None:
    """A host of a paused group is held until the pause ends, and the hold names the command that ends it."""
    pause = Pause(
        of=PauseOf.GROUP, name="berlin", reason="audit", actor="alice", at=NOW, until=NOW + timedelta(hours=1)
    )
    members = (Host(name="web-1", groups=("berlin",)), Host(name="web-2"))

    found = planned([scope(rule(), members)], full("web-1", "web-2"), history=replace(NO_HISTORY, pauses=(pause,)))

    assert holds(found) == {"web-1": Hold.PAUSED}
    assert (found.held[0].held.until, found.held[0].held.lifted_by) == (pause.until, "remedy unpause --group berlin")
    assert not found.held[0].held.after_bad


OVERRIDABLE = {
    Hold.OBSERVE_ONLY: {"of": rule(mode=Mode.OBSERVE)},
    Hold.OUTSIDE_WINDOW: {"of": replace(rule(), change_windows=(MONDAY,))},
    Hold.PAUSED: {"history": replace(NO_HISTORY, breakers={"low-disk": "2 bad"})},
    Hold.COOLING_DOWN: {
        "history": replace(
            NO_HISTORY,
            attempts={
                ("low-disk", "web-1", ROOT): (
                    Attempt(
                        execution_id="a",
                        run_id="r",
                        at=NOW - timedelta(minutes=1),
                        script_sha256=script().sha256,
                        outcome=Outcome.FAILED,
                    ),
                )
            },
        )
    },
}


@pytest.mark.parametrize(("hold", "more"), OVERRIDABLE.items(), ids=[hold.value for hold in OVERRIDABLE])
def test_override_plans_what_its_hold_would_hold(hold: Hold, more: dict[str, Any]) -> None:
    """Without the override the finding is held so; with it, it is planned; for another host or rule it is not."""
    override = Override(hold=hold, rule="low-disk", host="web-1", reason="by hand")

    def with_(one: Override | None) -> Plan:
        return plan("web-1", precautions=replace(NO_PRECAUTIONS, override=one), **more)

    assert holds(with_(None)) == {"web-1": hold}
    assert len(with_(override).executions) == 1
    assert holds(with_(replace(override, host="web-2"))) == {"web-1": hold}
    assert holds(with_(replace(override, rule="old-boot"))) == {"web-1": hold}


def test_gate_is_asked_for_the_deadline_and_its_grace() -> None:
    """What must fit into a window is the script's deadline and the grace until its end is sure."""
    of = rule()
    request = gate_request(of, Host(name="web-1"), ROOT, script=script(), precautions=NO_PRECAUTIONS, now=NOW)

    assert request.needed_s == script().timeout_s + GRACE_S


def test_plan_says_how_much_room_the_budgets_have() -> None:
    """The tighter of the two budgets counts, what is used is taken off, and no budget is no number, never zero."""
    precautions = replace(
        NO_PRECAUTIONS, per_rule=Budget(hosts=9, window_s=86_400), all_rules=Budget(hosts=10, window_s=86_400)
    )
    history = replace(NO_HISTORY, used={"low-disk": 2, "": 7})

    left = plan("web-1", precautions=precautions, history=history).rules[0].budget_left
    used_up = plan("web-1", precautions=precautions, history=replace(history, used={"": 12})).rules[0].budget_left

    assert (left, used_up, plan("web-1").rules[0].budget_left) == (3, 0, None)
