"""What is in the way of a finding, and when it could next run, as text and JSON."""

from datetime import datetime
from typing import Any

from remedy.gate import Obstacle
from remedy.next_run import NextRun, obstacle_word
from remedy.readings import time_text
from remedy.render.moments import seconds_text
from remedy.text import duration_text

__all__ = ["next_run_json", "next_run_text", "obstacle_json", "obstacle_text"]


def obstacle_text(obstacle: Obstacle) -> str:
    """Return one thing that is in the way, with why, until when, and what ends it."""
    parts = [f"{obstacle_word(obstacle)}: {obstacle.reason}"]
    if obstacle.until is not None:
        parts.append(f"until {seconds_text(obstacle.until)}")
    if obstacle.lifted_by and obstacle.lifted_by != "time" and obstacle.lifted_by not in obstacle.reason:
        parts.append(f"lifted by: {obstacle.lifted_by}")
    return "; ".join(parts)


def obstacle_json(obstacle: Obstacle) -> dict[str, Any]:
    """Return the same as JSON values."""
    return {
        "what": obstacle_word(obstacle),
        "reason": obstacle.reason,
        "until": time_text(obstacle.until) if obstacle.until is not None else None,
        "ended_by": obstacle.lifted_by,
    }


def next_run_text(next_run: NextRun, *, now: datetime) -> str:
    """Return when a run could next mend it: now, at a time, or never by itself and what that needs."""
    provided = f", provided that {', '.join(next_run.provided)}" if next_run.provided else ""
    at = next_run.at
    waits = at is not None and at > now
    if next_run.needs:
        needs = "; ".join(next_run.needs)
        then = f"; after that not before {_moment(at, now)}" if waits and at is not None else ""
        return f"never by itself: needs {needs}{then}{provided}"
    if at is None or not waits:
        return f"nothing is in the way: the next apply may mend it{provided}"
    return f"not before {_moment(at, now)}{provided}"


def _moment(at: datetime, now: datetime) -> str:
    return f"{seconds_text(at)}, in {duration_text((at - now).total_seconds())}"


def next_run_json(next_run: NextRun) -> dict[str, Any]:
    """Return the same as JSON values."""
    return {
        "at": time_text(next_run.at) if next_run.at is not None else None,
        "by_itself": not next_run.needs,
        "needs": list(next_run.needs),
        "provided": list(next_run.provided),
    }
