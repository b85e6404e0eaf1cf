"""One trial: a run killed at a point, closed by `resume`, looked at on the hosts, and run again."""

import functools
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.crash_points.bench import HALT, NAMES, SCENARIOS, SPREAD, Bench, Scenario
from tests.crash_points.child import Ran, Where, await_end, fork, remedy_main, watched_main
from tests.crash_points.planted import RESUME_FORGETS, plant
from tests.crash_points.points import scenario_of

__all__ = ["Trial", "Tried", "compare", "count_points", "try_point"]

_TIMEOUT_S = 120.0
_KILLED = -9
_HALTED = 5
_GOOD = frozenset({"fixed", "done", "needs_reboot"})
_NEVER_STARTED = frozenset({"skipped", "unreachable", "refused"})
_NOTHING_TO_RESUME = {
    "has ended": "ended",
    "ended at": "ended",
    "there is no run": "unknown",
    "there is no ledger": "unknown",
}
_ENDS = frozenset({"execution.outcome", "execution.lost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """
    What a trial came to; nothing in `violations` means that every promise held.

    `resumed` says what resume made of the run: `closed`, or it had `ended`, or it is
    `unknown` because it died before it had a plan; `failed` is a violation.
    `outcomes` are those of the killed run once it was closed. `in_a_fix` when a fix
    was under way on a host at the kill, `hot_journal` when the ledger was in the
    middle of a commit, `torn` when a record of the audit log was.
    """

    point: str
    planted: str
    was_killed: bool
    resumed: str
    violations: tuple[str, ...]
    outcomes: Mapping[str, int]
    seconds: float
    in_a_fix: bool
    hot_journal: bool
    torn: bool
    story: str


@dataclass(slots=True)
class _Story:
    """What was done in a trial, and what came of it, for a person."""

    lines: list[str] = field(default_factory=list)

    def tell(self, what: str, ran: Ran) -> None:
        said = "\n".join(f"    {line}" for line in (ran.out + ran.err).rstrip().splitlines())
        self.lines.append(f"{what}: exit code {ran.code}\n{said}")


class Trial:
    """One trial on a bench: nobody is killed for the point ''; `planted` names a planted bug, '' for none."""

    def __init__(self, bench: Bench, scenario: Scenario, point: str, *, planted: str = "") -> None:
        self._bench = bench
        self._scenario = scenario
        self._point = point
        self._planted = planted
        self._directory = bench.directory / "trial"
        self._state = self._directory / "state"
        self._story = _Story()
        self._violations: list[str] = []

    def carry_out(self) -> Tried:
        """Kill, resume, look, run again."""
        began = time.monotonic()
        self._begin()
        killed = self._apply_watched()
        if killed.code != _KILLED and killed.code not in (0, 3, 4, _HALTED):
            self._violate(f"the run that was to be killed ended with {killed.code}")
        in_a_fix = any(self._bench.is_in_a_fix(name) for name in NAMES)
        journal = self._state / "ledger.sqlite3-journal"
        hot_journal = journal.exists() and any(journal.read_bytes()[8:12])
        run_id = self._run_id()
        resumed, torn = self._resume(run_id)
        executions = self._look(run_id)
        self._run_again({each["host"] for each in executions if each["started_at"] is not None})
        return Tried(
            point=self._point,
            planted=self._planted,
            was_killed=killed.code == _KILLED,
            resumed=resumed,
            violations=tuple(self._violations),
            outcomes=Counter(str(each["outcome"]) for each in executions),
            seconds=time.monotonic() - began,
            in_a_fix=in_a_fix,
            hot_journal=hot_journal,
            torn=torn,
            story="\n".join(self._story.lines),
        )

    def reached(self) -> tuple[str, ...]:
        """Return the points of a run that nobody kills, in the order in which it reached them."""
        self._begin()
        ran = self._apply_watched()
        if ran.code != (_HALTED if self._scenario.fails else 0):
            raise RuntimeError(f"the run that counts the points ended with {ran.code}: {ran.err}")
        return tuple(json.loads((self._directory / "reached.json").read_text()))

    def _begin(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir()
        self._bench.reset(self._scenario)

    def _violate(self, what: str) -> None:
        self._violations.append(what)

    # Processes

    def _where(self, name: str) -> Where:
        environment = self._bench.environment(self._state)
        return Where(directory=self._bench.directory, environment=environment, output=self._directory / name)

    def _forked(self, name: str, *words: str) -> Ran:
        where = self._where(name)
        ran = await_end(fork(functools.partial(remedy_main, *words), where), where, timeout_s=_TIMEOUT_S)
        self._told(f"remedy {' '.join(words)}", ran)
        return ran

    def _told(self, what: str, ran: Ran) -> None:
        self._story.tell(what, ran)
        if "Traceback" in ran.err or "internal error" in ran.err:
            self._violate(f"{what}: a bug shows: {ran.err.strip().splitlines()[-1]}")

    def _apply_watched(self) -> Ran:
        where = self._where("killed")
        work = functools.partial(
            watched_main,
            ("apply", "--yes"),
            scenario=self._scenario.name,
            die_at=self._point,
            planted="" if self._planted == RESUME_FORGETS else self._planted,
            hosts=self._bench.files,
            reached=self._directory / "reached.json",
        )
        ran = await_end(fork(work, where), where, timeout_s=_TIMEOUT_S)
        self._told(f"remedy apply --yes, killed at {self._point or 'no point'}", ran)
        return ran

    def _run_id(self) -> str:
        logs = sorted((self._state / "log").glob("*.log"))
        return logs[-1].stem if logs else ""

    # What is promised

    def _resume(self, run_id: str) -> tuple[str, bool]:
        """Resume a run in a process of its own; return what became of it, and whether a torn record was moved aside."""
        where = self._where("resumed")

        def work() -> None:
            plant(self._planted if self._planted == RESUME_FORGETS else "")
            remedy_main("resume", run_id, "-o", "json")

        ran = await_end(fork(work, where), where, timeout_s=_TIMEOUT_S)
        self._told(f"remedy resume {run_id}", ran)
        if not ran.out:
            for said, answer in _NOTHING_TO_RESUME.items():
                if said in ran.err and ran.code in (1, 6):
                    return answer, False
            self._violate(f"resume ends with {ran.code}: {ran.err}")
            return "failed", False
        document = json.loads(ran.out)
        if not document["is_closed"] or document["still_open"]:
            self._violate(f"resume left something open: {document['still_open']}")
        if document["audit_file_odd"]:
            self._violate(f"resume does not trust the audit file: {document['audit_file_odd']}")
        return "closed", bool(document["torn_file"])

    def _look(self, run_id: str) -> Sequence[Mapping[str, Any]]:
        """Compare what ledger and audit log say of the run with the truth on the hosts; return its executions."""
        verified = self._forked("verified", "audit", "verify")
        if verified.code:
            self._violate(f"audit verify ends with {verified.code}")
        shown = self._forked("shown", "runs", run_id, "-o", "json")
        executions: Sequence[Mapping[str, Any]] = ()
        if shown.code == 0:
            document = json.loads(shown.out)
            executions = document["executions"]
            if document["exit_code"] is None:
                self._violate("the run has no end in the ledger after resume")
            if sorted(each["host"] for each in executions) != list(NAMES):
                self._violate(f"the run has not one execution for each host: {executions}")
        by_host = {each["host"]: each for each in executions}
        ends = self._ends_in_audit_log()
        for name in NAMES:
            for violation in compare(
                by_host.get(name),
                ran=self._bench.ran(name),
                marked=self._bench.marked(name),
                is_mended=self._bench.is_mended(name),
            ):
                self._violate(f"{name}: {violation}")
        known = {each["execution"]: 1 for each in executions}
        if ends != known:
            self._violate(f"the audit log has these ends by execution, not one for each: {dict(ends)}")
        return executions

    def _records(self) -> Iterator[Mapping[str, Any]]:
        for path in sorted((self._state / "audit").glob("*.jsonl")):
            for line in path.read_bytes().splitlines():
                yield json.loads(line)

    def _ends_in_audit_log(self) -> Counter[str]:
        """Return how many records of the audit log say how each execution ended."""
        return Counter(record["data"]["execution"] for record in self._records() if record["type"] in _ENDS)

    def _run_again(self, attempted: set[str]) -> None:
        """Plant trouble where a fix was attempted, and on one host besides: only that one may be mended."""
        before = {name: self._bench.ran(name) for name in NAMES}
        fresh = next((name for name in NAMES if name not in attempted and not before[name]), "")
        troubled = [name for name in NAMES if name in attempted or name == fresh or before[name]]
        for name in troubled:
            self._bench.plant_trouble(name)
        told_paused = any(record["type"] == "breaker.opened" for record in self._records())
        again = self._forked("again", "apply", "--yes", "-l", ",".join(troubled), "-o", "json")
        if again.code not in (0, _HALTED):
            self._violate(f"the next apply ends with {again.code}")
            return
        for name in NAMES:
            ran = self._bench.ran(name)
            if len(ran) > 1:
                self._violate(f"{name}: a fix of the same incident ran {len(ran)} times: {ran}")
        again_ends = json.loads(again.out)["outcomes"]
        if attempted & {each["host"] for each in again_ends}:
            self._violate(f"the next apply planned again what had been attempted: {again_ends}")
        is_paused = any(held["hold"] == "paused" for held in json.loads(again.out)["plan"]["held"])
        if told_paused and fresh and not is_paused:
            self._violate("the audit log says that the breaker was opened, and the next apply was not held by it")
        if fresh and not is_paused and (len(self._bench.ran(fresh)) != 1 or not self._bench.is_mended(fresh)):
            self._violate(f"{fresh}: nothing was attempted there, and the next apply did not mend it")
        if is_paused and {name: self._bench.ran(name) for name in NAMES} != before:
            self._violate("the rule is paused, and something ran")
        if self._forked("verified-again", "audit", "verify").code:
            self._violate("audit verify fails after the next apply")


def compare(
    execution: Mapping[str, Any] | None, *, ran: Sequence[str], marked: frozenset[str], is_mended: bool
) -> list[str]:
    """Return what contradicts the truth of one host in what is recorded of it."""
    if execution is None:
        return [f"the ledger knows no run, and {ran or sorted(marked)} ran"] if ran or marked else []
    found = []
    execution_id, outcome = execution["execution"], execution["outcome"]
    if len(ran) > 1:
        found.append(f"a fix ran {len(ran)} times: {ran}")
    if not {*ran, *marked} <= {execution_id}:
        found.append(f"{ran} ran, with the markers {sorted(marked)}, and planned was {execution_id}")
    if outcome is None:
        found.append("the execution has no outcome")
    if outcome in _NEVER_STARTED and (ran or marked):
        found.append(f"the outcome is {outcome}, and a fix was started")
    if outcome in _NEVER_STARTED and execution["started_at"] is not None:
        found.append(f"the outcome is {outcome}, and there is an intent")
    if outcome in _GOOD and not (ran and is_mended):
        found.append(f"the outcome is {outcome}, and the host is not mended")
    if ran and execution["started_at"] is None:
        found.append("a fix ran without an intent in the ledger")
    return found


def try_point(bench: Bench, point: str, *, planted: str) -> Tried:
    """Carry out the trial of a point."""
    return Trial(bench, SCENARIOS[scenario_of(point)], point, planted=planted).carry_out()


def count_points(bench: Bench) -> tuple[str, ...]:
    """
    Return the names of all points of the runs on this bench.

    Of the run that halts only those since its bad fix ended: up to there it does what
    the other one does. Its neighbour in that wave may be before or after; it is left out.
    """
    whole = Trial(bench, SPREAD, "").reached()
    halting = Trial(bench, HALT, "").reached()
    since = halting.index(f"{HALT.name}/fix.after/{HALT.fails}/1")
    neighbours = set(NAMES) - {HALT.fails} - {name for name in NAMES if _is_skipped(name, halting)}
    return (*whole, *(point for point in halting[since:] if not any(name in point for name in neighbours)))


def _is_skipped(host: str, points: Sequence[str]) -> bool:
    return f"{HALT.name}/effect.after/SkipHost:{host}/1" in points
