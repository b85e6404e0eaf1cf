"""
One rollout over a very large fleet: the production rollout, gate and planning over facts in memory.

The full stack costs about a millisecond for each execution, most of it evidence
(three records and three transactions); here only what decides is run, with the same
truth about hosts and the same questions asked of it.
"""

import heapq
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import accumulate

from remedy.gate import LedgerFacts, LiveFacts, Refusal, Usage, decide
from remedy.holds import Attempt
from remedy.model import Host, Key, Outcome, Platform
from remedy.planning import gate_request, resolved_spec
from remedy.precautions import NO_PRECAUTIONS
from remedy.rollout import (
    Begin,
    Effect,
    Event,
    ExecutionEnded,
    Finished,
    Halted,
    HostEnded,
    HostsRead,
    ReadAgain,
    Rollout,
    Soak,
    SoakEnded,
    StartHost,
    StopAsked,
    WaveStarted,
)
from remedy.waves import planned_waves, rollout_order
from tests.simulation.clock import BEGIN
from tests.simulation.rules import make_host, make_rule
from tests.simulation.scenario import RuleOptions

__all__ = ["LargeReport", "simulate_large"]

_KEY: Key = (("name", "a"),)
_SOAK_S = 300
_RULE = RuleOptions(
    name="rule-0",
    waves=("1", "1%", "10%", "100%"),
    soak_s=_SOAK_S,
    concurrency=64,
    max_bad=0,
    max_unreachable=100_000,
    cooldown_s=21_600,
)
_OUTCOMES = (Outcome.FIXED, Outcome.NEEDS_REBOOT, Outcome.FAILED, Outcome.UNREACHABLE)
_WEIGHTS = (0.97, 0.02, 0.005, 0.005)


@dataclass(slots=True, kw_only=True)
class LargeReport:
    """What one large rollout came to: counts, simulated seconds, and what was violated."""

    hosts: int
    outcomes: Counter[str] = field(default_factory=Counter)
    waves: list[int] = field(default_factory=list)
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


def simulate_large(hosts: int, *, seed: int = 1) -> LargeReport:
    """Carry one rollout over so many hosts to its end, resumed once in the middle by a second run."""
    fleet = _Fleet(hosts, random.Random(seed))
    report = LargeReport(hosts=hosts)
    halfway = hosts // 2
    _Run(fleet, report, stop_after=halfway).carry_out()
    # The first run is over; what it started is in the ledger, and the second one takes the rest.
    _Run(fleet, report, stop_after=hosts * 2).carry_out()
    for host, starts in fleet.starts.items():
        if starts > 1:
            report.violations.append(f"{host} was started {starts} times within its cooldown")
    return report


class _Fleet:
    """The hosts, what is true of them, and what a ledger would know."""

    def __init__(self, hosts: int, rng: random.Random) -> None:
        self.rng = rng
        self.now = 0.0
        names = (f"h{number:06d}" for number in range(hosts))
        self.hosts: Mapping[str, Host] = {
            name: make_host(name, "windows" if number % 5 == 0 else "linux", 0) for number, name in enumerate(names)
        }
        self.starts: Counter[str] = Counter()
        self.attempts: dict[str, tuple[Attempt, ...]] = {}


class _Run:
    """One run's rollout: events in simulated time, effects carried out."""

    def __init__(self, fleet: _Fleet, report: LargeReport, *, stop_after: int) -> None:
        self._fleet = fleet
        self._report = report
        self._stop_after = stop_after
        self._rule = make_rule(replace(_RULE, max_bad=len(fleet.hosts) // 50))
        platforms: Mapping[str, Platform] = {name: host.platform for name, host in fleet.hosts.items()}
        self._spec = resolved_spec(
            self._rule, rollout_order(self._rule.name, fleet.hosts), platforms, alone=frozenset()
        )
        sizes = [len(wave) for wave in planned_waves(self._spec)]
        self._targets = list(accumulate(sizes))
        self._filled = 0
        self._rollout = Rollout(self._spec)
        self._heap: list[tuple[float, int, Event]] = []
        self._sequence = 0
        self._begun: set[str] = set()
        self._running = 0
        self._wave = 0
        self._quiet_since = 0.0
        self._finished = False

    def carry_out(self) -> None:
        """Drive the rollout from `Begin` to `Finished`."""
        self._carry_on(self._rollout.on(Begin()))
        while self._heap and not self._finished:
            self._fleet.now, _, event = heapq.heappop(self._heap)
            if isinstance(event, HostEnded):
                self._running -= 1
                self._quiet_since = self._fleet.now
            self._carry_on(self._rollout.on(event))
            if len(self._begun) >= self._stop_after and self._rollout.halted is None:
                self._carry_on(self._rollout.on(StopAsked("the first run is stopped")))
        if not self._finished:
            self._report.violations.append("the rollout came to no end")
        self._report.seconds = self._fleet.now

    def _at(self, seconds: float, event: Event) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (self._fleet.now + seconds, self._sequence, event))

    def _carry_on(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case StartHost(host=host):
                    self._start(host)
                case WaveStarted(wave=wave):
                    self._wave_started(wave)
                case Soak(seconds=seconds):
                    self._at(seconds, SoakEnded())
                case ReadAgain():
                    self._at(1.0, HostsRead(frozenset(), frozenset()))
                case Finished():
                    self._finished = True
                case Halted():
                    self._report.outcomes[f"halted by {effect.by.value}"] += 1
                case _:
                    pass

    def _wave_started(self, wave: int) -> None:
        soaked = self._fleet.now - self._quiet_since
        if wave > 1 and (self._running or soaked < _SOAK_S):
            self._report.violations.append(f"wave {wave} began {soaked:.0f}s after the last, {self._running} running")
        self._wave = wave
        self._report.waves.append(wave)

    def _start(self, host: str) -> None:
        self._begun.add(host)
        self._running += 1
        if self._running > self._spec.concurrency:
            self._report.violations.append(f"{self._running} hosts at once, concurrency {self._spec.concurrency}")
        outcome = self._ask_and_fix(host)
        seconds = self._fleet.rng.expovariate(0.5) + 0.5
        healed = outcome == "skipped"
        self._filled += not healed
        if self._filled > self._targets[self._wave - 1]:
            self._report.violations.append(f"{self._filled} hosts were begun by wave {self._wave}")
        if not healed:
            self._at(seconds, ExecutionEnded(host, Outcome(outcome)))
        self._at(seconds, HostEnded(host, healed))

    def _ask_and_fix(self, host: str) -> str:
        """Ask the gate, and when it permits start the fix; return how that ends."""
        fleet = self._fleet
        now = BEGIN + timedelta(seconds=fleet.now)
        of_fleet = fleet.hosts[host]
        script = self._rule.fix[of_fleet.platform]
        request = gate_request(
            self._rule, of_fleet, _KEY, script=script, precautions=NO_PRECAUTIONS, now=now, execution_id=host
        )
        facts = LedgerFacts(
            attempts=fleet.attempts.get(host, ()),
            known_id=False,
            open_breaker="",
            host_busy="",
            rule_usage=Usage(hosts=0, has_host=False),
        )
        halted = self._rollout.halted
        live = LiveFacts(
            stopped="",
            frozen="",
            freezes=(),
            expired="",
            halted=halted.reason if halted is not None else "",
            fuse="",
            disruptive_on_host=False,
        )
        answer = decide(request, facts, live)
        if isinstance(answer, Refusal):
            self._report.outcomes[answer.skip.value] += 1
            return "skipped"
        outcome = fleet.rng.choices(_OUTCOMES, _WEIGHTS)[0]
        if outcome is not Outcome.UNREACHABLE:
            fleet.starts[host] += 1
            attempt = Attempt(execution_id=host, run_id="run", at=now, script_sha256=script.sha256, outcome=outcome)
            fleet.attempts[host] = (*fleet.attempts.get(host, ()), attempt)
        self._report.outcomes[outcome.value] += 1
        return outcome.value
