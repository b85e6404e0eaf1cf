"""
`python -m benchmarks.authoring`: what `remedy validate` and `remedy test` cost over a large repository of rules.

Each command runs as people run it: a process of its own, its output thrown away.
CPU is of the process and its children. docs/performance.md has a run.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measuring import Taken, goal_text, make_parser, print_found

__all__ = ["Authoring", "main", "measure", "write_repository"]

_RULES = 500
_CASES = 2_000
_RUNS = 3
_GOAL_S = 10.0
_SIGNALS = 25
_SIGNAL = """\
signal: volume-{number}
title: Free space of each volume of kind {number}
key: [mount]
rows: some
columns:
  mount: text
  size_gib: {{type: number, unit: GiB}}
  free_gib: {{type: number, unit: GiB}}
  free_percent: {{type: number, unit: percent}}
params: {{mounts: []}}
collect:
  linux: {{script: linux.sh, timeout: 20s}}
  windows: {{script: windows.ps1, timeout: 1m}}
max_age: 15m
"""
_RULE = """\
rule: low-volume-{number}
title: A volume of kind {number} is nearly full
why: A full volume stops logging, updates and sign-in.
owner: platform@example.org
tags: [disk, kind-{number}]
mode: fix
hosts: all:!lab
signal: volume-{signal}
params: {{below_percent: 10, below_gib: 20, min_age_days: 7}}
when: free_percent < params.below_percent and free_gib < params.below_gib
exempt:
  - {{hosts: archive01, where: mount = '/archive', reason: full by design, until: 2099-03-31}}
fix:
  linux: {{script: clean.sh, become: root, timeout: 5m}}
risk: safe
verify: {{until: free_percent >= params.below_percent + 2, settle: 10s, within: 2m}}
rollout: {{waves: [1, 10%, 100%], soak: 5m, max_bad: [1, 2%]}}
"""
_CASE = """\
- case: what matches and what does not, {number}
  now: 2026-11-22T03:00:00Z
  hosts:
    full: {{platform: linux, groups: [web], readings: {{{signal}: [{{mount: /, free_gib: 4, free_percent: 3}}]}}}}
    equal: {{platform: linux, readings: {{{signal}: [{{mount: /, free_gib: 4, free_percent: 10}}]}}}}
    two-of-three:
      platform: linux
      params: {{low-volume-{number}: {{below_percent: 5}}}}
      readings:
        {signal}:
          - {{mount: /, free_gib: 1, free_percent: 2.5}}
          - {{mount: /srv, free_gib: 300, free_percent: 60}}
          - {{mount: /var, free_gib: 0, free_percent: 0}}
    printed:
      readings: {{{signal}: {{output: "{{\\"mount\\": \\"/\\", \\"free_gib\\": 4, \\"free_percent\\": 3}}\\n"}}}}
    stale: {{readings: {{{signal}: {{rows: [{{mount: /, free_gib: 4, free_percent: 3}}], age: 1h}}}}}}
    hangs: {{readings: {{{signal}: {{failed: timeout}}}}}}
    lab-1: {{groups: [lab], readings: {{{signal}: [{{mount: /, free_gib: 4, free_percent: 3}}]}}}}
  expect:
    full: {{match: [{{mount: /}}]}}
    equal: healthy
    two-of-three: {{match: [{{mount: /}}, {{mount: /var}}]}}
    printed: {{match: [{{mount: /}}]}}
    stale: {{unknown: stale}}
    hangs: {{unknown: timeout}}
    lab-1: not_selected
  held: {{}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authoring:
    """What was measured: the fastest of the runs of each command, by its wall clock; goals are met or not."""

    rules: int
    cases: int
    runs: int
    processors: int
    validate: Taken
    test: Taken


def write_repository(root: Path, *, rules: int = _RULES, cases: int = _CASES) -> Path:
    """Write that many rules, shaped like the starter rules, with that many cases in all; return the rules' folder."""
    folder = root / "rules"
    for number in range(min(rules, _SIGNALS)):
        place = folder / "signals" / f"volume-{number}"
        place.mkdir(parents=True)
        (place / "signal.yaml").write_text(_SIGNAL.format(number=number))
        (place / "linux.sh").write_text("#!/bin/sh\nexit 0\n")
        (place / "windows.ps1").write_text("exit 0\n")
    for number in range(rules):
        place = folder / f"low-volume-{number}"
        place.mkdir(parents=True)
        signal = number % _SIGNALS
        (place / "rule.yaml").write_text(_RULE.format(number=number, signal=signal))
        (place / "clean.sh").write_text("#!/bin/sh\nexit 0\n")
        share = cases * (number + 1) // rules - cases * number // rules
        texts = [_CASE.format(number=number, signal=f"volume-{signal}") for _ in range(share)]
        named = [text.replace(f"not, {number}", f"not, {at}") for at, text in enumerate(texts)]
        (place / "tests.yaml").write_text("\n".join(named))
    return folder


def measure(*, rules: int = _RULES, cases: int = _CASES, runs: int = _RUNS) -> Authoring:
    """Write a repository and run both commands over it in turn; they must find nothing wrong."""
    with tempfile.TemporaryDirectory() as directory:
        folder = write_repository(Path(directory), rules=rules, cases=cases)
        taken = {command: [_timed(command, str(folder)) for _ in range(runs)] for command in ("validate", "test")}
    return Authoring(
        rules=rules,
        cases=cases,
        runs=runs,
        processors=len(os.sched_getaffinity(0)),
        validate=min(taken["validate"], key=lambda one: one.wall_s),
        test=min(taken["test"], key=lambda one: one.wall_s),
    )


def _timed(command: str, folder: str) -> Taken:
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "remedy", command, folder], check=True, stdout=subprocess.DEVNULL)
    wall_s, after = time.perf_counter() - start, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Taken(wall_s=wall_s, cpu_s=cpu_s)


def _lines(found: Authoring) -> list[str]:
    lines = [
        f"{found.rules} rules, {found.cases} cases, {found.processors} processors, the fastest of {found.runs} runs"
    ]
    for command, taken in (("validate", found.validate), ("test", found.test)):
        is_of_size = found.rules >= _RULES and found.cases >= _CASES
        goal = goal_text(f"at most {_GOAL_S:g} s", is_met=taken.wall_s <= _GOAL_S) if is_of_size else ""
        lines.append(f"remedy {command:9} {taken.wall_s:6.2f} s wall, {taken.cpu_s:6.2f} s CPU{goal}")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    counts = {
        "rules": (_RULES, "rules"),
        "cases": (_CASES, "cases, over all rules"),
        "runs": (_RUNS, "runs of each command"),
    }
    parser = make_parser("authoring", description="validate and test over a large repository.", counts=counts)
    given = parser.parse_args(arguments)
    found = measure(rules=given.rules, cases=given.cases, runs=given.runs)
    print_found(asdict(found), lines=_lines(found), output=given.output)


if __name__ == "__main__":
    main()
