"""What the tests of plans ask of a plan, and the histories they give it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from remedy.holds import Attempt
from remedy.model import Hold, Key, Outcome
from remedy.plan import NO_HISTORY, History, Plan, incident_text
from tests.core.builders import NOW, script

ROOT: Key = (("mount", "/"),)


def holds_of(plan: Plan) -> dict[str, Hold]:
    """Return what is held back, by incident."""
    return {incident_text(item.finding): item.held.hold for item in plan.held}


def planned_in(plan: Plan) -> list[str]:
    """Return the incidents that are planned, in order."""
    return [incident_text(execution) for execution in plan.executions]


def history_with(**changed: Any) -> History:
    """Return a history with nothing but this in it."""
    return replace(NO_HISTORY, **changed)


def attempt_ago(ago: timedelta, outcome: Outcome = Outcome.FIXED) -> Attempt:
    """Return an attempt made so long before NOW."""
    return Attempt(execution_id="a", run_id="r", at=NOW - ago, script_sha256=script().sha256, outcome=outcome)
