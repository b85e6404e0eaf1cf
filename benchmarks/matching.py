"""
`python -m benchmarks.matching`: how long judging a fleet takes, and how much memory.

From typed rows in memory to every verdict, each match and each unknown as a
value with its row. Beside it, in the same rounds, bare Python functions
written by hand for the same rules, so that the ratio means the same on every
machine. docs/performance.md has the goals and a run.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.bare import BareVerdict, judge_bare
from benchmarks.fleet import Fleet, make_fleet
from benchmarks.measuring import Taken, goal_text, make_parser, median_of, print_found, take
from remedy.model import Verdict
from remedy.verdicts import Judgement, judge

__all__ = ["Matching", "check_agreement", "main", "measure"]

_HOSTS, _RULES, _ONE_HOST_RULES, _ROUNDS, _SEED = 10_000, 50, 13, 5, 3
_ONE_HOST_CALLS = 200
_GOAL_S, _GOAL_MIB, _GOAL_HOST_MS = 4.0, 200.0, 1.0
_BUSY_FROM = 1.25
_VERDICTS = {True: Verdict.MATCH, False: Verdict.HEALTHY, None: Verdict.UNKNOWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """
    What was measured; times are medians over the rounds.

    `_s` and `_ms` are by the wall's clock, which the goals mean; `_cpu_` is what
    the process used, which other work on the machine disturbs less. `ratio` is of
    the latter.
    `peak_mib` is the most memory that a fresh process ever held that makes the
    inputs, judges and keeps every judgement; `judging_mib` is what judging added.
    """

    hosts: int
    rules: int
    judgements: int
    match: int
    unknown: int
    healthy: int
    judge_s: float
    judge_cpu_s: float
    bare_s: float
    bare_cpu_s: float
    ratio: float
    peak_mib: float
    judging_mib: float
    host_rules: int
    host_ms: float
    host_cpu_ms: float
    host_bare_ms: float


def measure(hosts: int = _HOSTS, *, rules: int = _RULES, rounds: int = _ROUNDS, seed: int = _SEED) -> Matching:
    """Measure memory in a fresh process, then time in this one."""
    # First, for a child's high-water mark starts at what its parent holds when it forks.
    before_mib, peak_mib = _memory_of_child(hosts, rules=rules, seed=seed)
    fleet = make_fleet(hosts, rules=rules, seed=seed)
    counts = check_agreement(fleet)
    judging, bare = _times(_judging(fleet), _bare_judging(fleet), rounds=rounds)
    one = make_fleet(1, rules=_ONE_HOST_RULES, seed=seed)
    check_agreement(one)
    host_judging, host_bare = _times(_judging(one), _bare_judging(one), rounds=rounds, calls=_ONE_HOST_CALLS)
    return Matching(
        hosts=hosts,
        rules=rules,
        judgements=counts.total(),
        match=counts[Verdict.MATCH],
        unknown=counts[Verdict.UNKNOWN],
        healthy=counts[Verdict.HEALTHY],
        judge_s=judging.wall_s,
        judge_cpu_s=judging.cpu_s,
        bare_s=bare.wall_s,
        bare_cpu_s=bare.cpu_s,
        ratio=judging.cpu_s / bare.cpu_s,
        peak_mib=peak_mib,
        judging_mib=peak_mib - before_mib,
        host_rules=_ONE_HOST_RULES,
        host_ms=1000 * host_judging.wall_s,
        host_cpu_ms=1000 * host_judging.cpu_s,
        host_bare_ms=1000 * host_bare.wall_s,
    )


def _judging(fleet: Fleet) -> Callable[[], list[Judgement]]:
    return lambda: list(judge(fleet.scopes, fleet.readings, fleet.signals))


def _bare_judging(fleet: Fleet) -> Callable[[], list[BareVerdict]]:
    rows = fleet.bare_rows()
    return lambda: judge_bare(fleet.bare_rules, rows)


def check_agreement(fleet: Fleet) -> Counter[Verdict]:
    """
    Return how many verdicts there are of each kind.

    Raises:
        AssertionError: a bare function says something else than the rule it stands for.
    """
    judged = _judging(fleet)()
    bare = _bare_judging(fleet)()
    assert len(judged) == len(bare)
    for judgement, (rule, host, verdict, row) in zip(judged, bare, strict=True):
        assert (judgement.rule, judgement.host, judgement.verdict) == (rule, host, _VERDICTS[verdict])
        assert [finding.row for finding in judgement.findings] == ([row] if verdict is True else [])
        assert [unknown.row for unknown in judgement.unknown_rows] == ([row] if verdict is None else [])
    counts = Counter(judgement.verdict for judgement in judged)
    assert counts == Counter(_VERDICTS[verdict] for _, _, verdict, _ in bare)
    return counts


def _times(*works: Callable[[], object], rounds: int, calls: int = 1) -> list[Taken]:
    """Return the medians of a call of each; each round calls all of them, one after the other."""
    taken = [[take(work, calls=calls) for work in works] for _ in range(rounds)]
    return [median_of(times) for times in zip(*taken, strict=True)]


def _memory_of_child(hosts: int, *, rules: int, seed: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.matching", "--memory-only", f"--hosts={hosts}", f"--rules={rules}"]
    top = Path(__file__).parents[1]
    child = subprocess.run([*command, f"--seed={seed}"], check=True, stdout=subprocess.PIPE, text=True, cwd=top)
    before_mib, peak_mib = json.loads(child.stdout)
    return before_mib, peak_mib


def _print_memory(hosts: int, *, rules: int, seed: int) -> None:
    fleet = make_fleet(hosts, rules=rules, seed=seed)
    before_mib = _peak_mib()
    kept = _judging(fleet)()
    print(json.dumps([before_mib, _peak_mib()]))
    del kept


def _peak_mib() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB on Linux.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _lines(found: Matching) -> list[str]:
    def goal(value: float, most: float) -> str:
        if (found.hosts, found.rules) != (_HOSTS, _RULES):
            return ""
        return goal_text(f"at most {most:g}", is_met=value <= most)

    shares = (f"{100 * number / found.judgements:.1f} % {word}" for number, word in _kinds(found))
    return [
        f"{found.hosts} hosts, {found.rules} rules, {found.judgements} judgements: {', '.join(shares)}",
        f"judge           {found.judge_s:8.3f} s   (CPU {found.judge_cpu_s:.3f} s){goal(found.judge_s, _GOAL_S)}",
        f"bare functions  {found.bare_s:8.3f} s   (CPU {found.bare_cpu_s:.3f} s)",
        f"ratio           {found.ratio:8.2f}     (of CPU seconds)",
        f"peak memory     {found.peak_mib:8.1f} MiB{goal(found.peak_mib, _GOAL_MIB)}",
        f"  by judging    {found.judging_mib:8.1f} MiB",
        f"one host, {found.host_rules} rules: {found.host_ms:.3f} ms (CPU {found.host_cpu_ms:.3f} ms, "
        f"bare {found.host_bare_ms:.3f} ms)" + goal(found.host_ms, _GOAL_HOST_MS),
        *_disturbed(found),
    ]


def _disturbed(found: Matching) -> list[str]:
    waiting = found.judge_s / found.judge_cpu_s
    if waiting < _BUSY_FROM:
        return []
    return [f"the machine was busy: the wall's clock shows {waiting:.1f} times the CPU seconds of judging"]


def _kinds(found: Matching) -> list[tuple[int, str]]:
    return [(found.match, "match"), (found.unknown, "unknown"), (found.healthy, "healthy")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    counts = {
        "hosts": (_HOSTS, "how many hosts"),
        "rules": (_RULES, "how many rules"),
        "rounds": (_ROUNDS, "times are medians of these"),
        "seed": (_SEED, "of the rows and rules"),
    }
    parser = make_parser("matching", description="Time and memory of judging.", counts=counts)
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.memory_only:
        _print_memory(given.hosts, rules=given.rules, seed=given.seed)
        return
    found = measure(given.hosts, rules=given.rules, rounds=given.rounds, seed=given.seed)
    print_found(asdict(found), lines=_lines(found), output=given.output)


if __name__ == "__main__":
    main()
