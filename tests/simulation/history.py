"""A world at its end with the runs that were started in it, and the questions that invariants ask of it."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from remedy.model import Key
from remedy.waves import RolloutSpec
from tests.simulation.fleet import REBOOT_CODE, Sent, Start
from tests.simulation.machine import Machine
from tests.simulation.runs import Permitted, Run
from tests.simulation.scenario import RuleOptions
from tests.simulation.world import Event, World

__all__ = ["BAD", "History", "Incident", "RecordedEnd", "RolloutSeen"]

BAD = frozenset({"not_fixed", "unverified", "failed", "lost", "refused"})
"""The outcomes that count against max_bad."""


class Incident(NamedTuple):
    """What a fix is for: a rule's finding on a host."""

    rule: str
    host: str
    key: Key


@dataclass(frozen=True, slots=True)
class RecordedEnd:
    """How an execution ended, as it was recorded: when, how, and by which run."""

    at: float
    outcome: str
    by: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSeen:
    """What one run sent for one rule, in order."""

    run: Run
    rule: str
    options: RuleOptions
    sent: tuple[Sent, ...]

    @property
    def spec(self) -> RolloutSpec:
        """What the run's plan says of the rollout."""
        assert self.run.plan is not None
        return next(each.spec for each in self.run.plan.rules if each.rule.name == self.rule)


@dataclass(frozen=True, kw_only=True)
class History:
    """What happened; `stuck` says why the simulation did not end, '' when it did."""

    world: World
    runs: tuple[Run, ...]
    stuck: str = ""

    # What was sent, and what hosts did.

    @cached_property
    def sent_by_id(self) -> dict[str, list[Sent]]:
        """What was handed to a runner, by execution id."""
        found: dict[str, list[Sent]] = defaultdict(list)
        for sent in self.world.sent:
            found[sent.execution_id].append(sent)
        return found

    @cached_property
    def rollouts(self) -> tuple[RolloutSeen, ...]:
        """What was handed to a runner, by run and rule; without what is in no reviewed plan."""
        found: dict[tuple[str, str], list[Sent]] = defaultdict(list)
        for sent in self.world.sent:
            found[sent.run.id, self.rule_of(sent.execution_id)].append(sent)
        return tuple(
            RolloutSeen(run=sent[0].run, rule=rule, options=self.world.options[rule], sent=tuple(sent))
            for (_, rule), sent in found.items()
            if rule and sent[0].run.plan is not None
        )

    @cached_property
    def starts_by_host(self) -> dict[str, list[Start]]:
        """What hosts started, by host, in order."""
        found: dict[str, list[Start]] = defaultdict(list)
        for start in self.world.starts:
            found[start.host].append(start)
        return found

    def has_started(self, run: Run, execution_id: str) -> bool:
        """Say whether a host started what this run sent of an execution."""
        return any(each.start is not None and each.run is run for each in self.sent_by_id[execution_id])

    def ended_well(self, sent: Sent, *, later: bool, at: float) -> bool:
        """Say whether a fix had done what it should at a moment, by its host's truth; `later`: it proves nothing."""
        start = sent.start
        if start is None or start.ended_at is None or start.ended_at > at or start.exit_code is None:
            return False
        if later:
            return start.exit_code in (0, REBOOT_CODE)
        if start.exit_code == REBOOT_CODE:
            return True
        host = self.world.hosts[sent.host]
        # It was well at some moment between its end and now; a relapse is another invariant.
        changes = [time for time, _ in host.changes[sent.row] if start.ended_at <= time <= at]
        return start.exit_code == 0 and any(
            not host.was_sick(sent.row, time) for time in (start.ended_at, at, *changes)
        )

    # What runs permitted and recorded.

    @cached_property
    def permits(self) -> list[tuple[Run, Permitted]]:
        """All permits of all runs, in the order of time."""
        found = [(run, permit) for run in self.runs for permit in run.permits]
        return sorted(found, key=lambda pair: pair[1].order)

    def permits_of(self, machine: int) -> list[tuple[Run, Permitted]]:
        """Return the permits of one store's runs, in the order of time."""
        return [(run, permit) for run, permit in self.permits if run.machine.number == machine]

    @cached_property
    def ends(self) -> dict[tuple[int, str], RecordedEnd]:
        """How executions ended, by machine and execution id, as it was recorded last."""
        found: dict[tuple[int, str], RecordedEnd] = {}
        permitted = {(run.machine.number, permit.execution_id): run for run, permit in self.permits}
        for run in self.runs:
            for at, execution_id, outcome in run.recorded:
                key = (run.machine.number, execution_id)
                # Of a plan that is applied again, the run that started it says how it ended.
                if key not in found or permitted.get(key) is run:
                    found[key] = RecordedEnd(at, outcome, run)
        for run in self.runs:
            for at, execution_id, outcome in (*run.closed, *run.taken_over):
                found[run.machine.number, execution_id] = RecordedEnd(at, outcome, run)
        return found

    def end_of(self, sent: Sent | Start) -> RecordedEnd | None:
        """Return how an execution ended as its sender's store has it; None when nothing was recorded."""
        return self.ends.get((sent.run.machine.number, sent.execution_id))

    def recorded_as(self, outcomes: Collection[str], run: Run, rule: str = "") -> dict[str, float]:
        """Return the hosts that a run recorded with one of these outcomes, for one rule or ('') any: since when."""
        found: dict[str, float] = {}
        for at, execution_id, outcome in run.recorded:
            if outcome in outcomes and rule in ("", self.rule_of(execution_id)):
                found.setdefault(self.world.planned[execution_id].host, at)
        return found

    # What executions are about.

    def rule_of(self, execution_id: str) -> str:
        """Return the rule of an execution; '' when it is in no reviewed plan."""
        planned = self.world.planned.get(execution_id)
        return "" if planned is None else planned.rule

    def options_of(self, execution_id: str) -> RuleOptions:
        """Return the options of an execution's rule."""
        return self.world.options[self.rule_of(execution_id)]

    def incident_of(self, execution_id: str) -> Incident:
        """Return the incident of an execution that is in a reviewed plan."""
        planned = self.world.planned[execution_id]
        return Incident(planned.rule, planned.host, planned.key)

    # What people and the world did.

    def events(self, what: str, machine: int | None = None) -> list[Event]:
        """Return what people and the world did, of one kind, in order."""
        return [each for each in self.world.events if each.what == what and machine in (None, each.machine)]

    def is_released(self, machine: Machine, rule: str, host: str | None, *, since: float, until: float) -> bool:
        """Say whether a person released a rule's incidents on a host (None: its breaker) between two moments."""
        releases = self.events("release", machine.number)
        return any(since <= each.at <= until and each.details == (rule, host) for each in releases)

    @cached_property
    def protected(self) -> frozenset[str]:
        """The hosts that are protected."""
        names = list(self.world.hosts)
        return frozenset(names[number] for number in self.world.scenario.protected)
