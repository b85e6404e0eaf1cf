"""A world at its end with the runs that were started in it, and the questions that invariants ask of it."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from tests.simulation.controller import Permitted, Run
from tests.simulation.fleet import Sent, Start
from tests.simulation.scenario import RuleOptions
from tests.simulation.world import Event, Machine, World

__all__ = ["History"]


@dataclass(frozen=True, kw_only=True)
class History:
    """What happened; `stuck` says why the simulation did not end, '' when it did."""

    world: World
    runs: tuple[Run, ...]
    stuck: str = ""

    @cached_property
    def sent_of(self) -> dict[tuple[str, str], list[Sent]]:
        """What was handed to a runner, by run and rule, in order."""
        found: dict[tuple[str, str], list[Sent]] = defaultdict(list)
        for sent in self.world.sent:
            found[sent.run.id, self.rule_of(sent.execution_id)].append(sent)
        return found

    @cached_property
    def sent_by_id(self) -> dict[str, list[Sent]]:
        """What was handed to a runner, by execution id."""
        found: dict[str, list[Sent]] = defaultdict(list)
        for sent in self.world.sent:
            found[sent.execution_id].append(sent)
        return found

    @cached_property
    def permits(self) -> list[tuple[Run, Permitted]]:
        """All permits of all runs, in the order of time."""
        found = [(run, permit) for run in self.runs for permit in run.permits]
        return sorted(found, key=lambda pair: pair[1].order)

    @cached_property
    def outcome_of(self) -> dict[tuple[int, str], tuple[float, str, Run]]:
        """By machine and execution id: when its outcome was recorded, which, and by whom."""
        found: dict[tuple[int, str], tuple[float, str, Run]] = {}
        permitted = {(run.machine.number, permit.execution_id): run for run, permit in self.permits}
        for run in self.runs:
            for at, execution_id, outcome in run.recorded:
                key = (run.machine.number, execution_id)
                # Of a plan that is applied again, the run that started it says how it ended.
                if key not in found or permitted.get(key) is run:
                    found[key] = (at, outcome, run)
        for run in self.runs:
            for at, execution_id, outcome in (*run.closed, *run.taken_over):
                found[run.machine.number, execution_id] = (at, outcome, run)
        return found

    @cached_property
    def starts_by_host(self) -> dict[str, list[Start]]:
        """What hosts started, by host, in order."""
        found: dict[str, list[Start]] = defaultdict(list)
        for start in self.world.starts:
            found[start.host].append(start)
        return found

    def rule_of(self, execution_id: str) -> str:
        """Return the rule of an execution; '' when it is in no reviewed plan."""
        planned = self.world.planned.get(execution_id)
        return "" if planned is None else planned.rule

    def options_of(self, execution_id: str) -> RuleOptions:
        """Return the options of an execution's rule."""
        return self.world.options[self.rule_of(execution_id)]

    def incident_of(self, execution_id: str) -> tuple[str, str, object]:
        """Return rule, host and key of an execution."""
        planned = self.world.planned[execution_id]
        return planned.rule, planned.host, planned.key

    def events(self, what: str, machine: Machine | None = None) -> list[Event]:
        """Return what people and the world did, of one kind, in order."""
        return [
            each for each in self.world.events if each.what == what and machine in (None, self._machine(each.machine))
        ]

    def _machine(self, number: int) -> Machine | None:
        return self.world.machines[number] if number >= 0 else None

    def is_released(self, machine: Machine, rule: str, host: str | None, *, since: float, until: float) -> bool:
        """Say whether a person released a rule's incidents on a host (None: its breaker) between two moments."""
        return any(
            since <= each.at <= until and each.details == (rule, host) for each in self.events("release", machine)
        )
