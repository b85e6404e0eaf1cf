"""Six hosts with trouble on each, a rules repository over them, and a fresh state directory for every trial."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remedy.demo.fleet import Fleet
from remedy.demo.host import DemoHost
from tests.cli.command_line import CommandLine
from tests.crash_points.steps import HostFiles

__all__ = ["HALT", "NAMES", "RULE", "SCENARIOS", "SPREAD", "Bench", "Scenario"]

NAMES = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")
RULE = "flag-high"

_TIMEOUT_S = 2
"""The fix's deadline: what waits for its end waits 15 seconds more."""
_TROUBLE, _MENDED = "9", "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A run that is killed: how many bad hosts its rule bears, and the host, if any, whose fix fails."""

    name: str
    max_bad: int
    fails: str = ""


SPREAD = Scenario(name="spread", max_bad=6)
"""Every host is mended, wave by wave."""

HALT = Scenario(name="halt", max_bad=0, fails="alpha")
"""A host of the second wave is bad: the rollout halts, the breaker opens, the third wave is skipped."""

SCENARIOS = {scenario.name: scenario for scenario in (SPREAD, HALT)}

_SIGNAL = """\
signal: flag
title: A number that a trial planted
columns: {level: number}
collect:
  linux: {script: linux.sh, timeout: 10s}
"""
_COLLECTOR = """\
#!/bin/sh
level=$(cat /run/level) || exit 3
emit level "$level"
"""
_RULE = """\
rule: {name}
title: The planted number is high
why: So that something can be mended.
owner: tests@example.org
mode: fix
hosts: all
signal: flag
when: level > 5
fix:
  linux: {{script: lower.sh, timeout: {timeout_s}s}}
risk: safe
verify: {{until: level < 3, settle: 0s, within: 2s}}
limits: {{cooldown: 6h, matched: [6, 100%]}}
rollout: {{waves: [1, 3, 100%], soak: 0s, concurrency: 2, max_bad: {max_bad}, max_unreachable: 6}}
"""
_FIX = f"""\
#!/bin/sh
echo "$REMEDY_EXECUTION" >> /run/ran
sleep 0.2
if [ -e /run/fails ]; then exit 4; fi
echo {_MENDED} > /run/level
"""


class Bench:
    """A fleet, and the repository in a directory of its own."""

    def __init__(self, fleet: Fleet, directory: Path) -> None:
        self.directory = directory
        self.files: Mapping[str, HostFiles] = {
            # As the host itself sees it: its /run is memory of its own.
            name: HostFiles(
                markers=fleet.directory / "hosts" / name / "markers",
                run=Path(f"/proc/{fleet._holders[name].pid}/root/run"),
            )
            for name in NAMES
        }
        self._write_repository(fleet)
        self._environment = CommandLine(directory).environment

    @staticmethod
    def hosts() -> tuple[DemoHost, ...]:
        """Return the hosts that its fleet is made of."""
        return tuple(DemoHost(name=name) for name in NAMES)

    def _write_repository(self, fleet: Fleet) -> None:
        signal, rule = self.directory / "rules" / "signals" / "flag", self.directory / "rules" / RULE
        for folder in (signal, rule):
            folder.mkdir(parents=True)
        (signal / "signal.yaml").write_text(_SIGNAL)
        (signal / "linux.sh").write_text(_COLLECTOR)
        (rule / "lower.sh").write_text(_FIX)
        lines = [line for line in fleet.inventory_path.read_text().splitlines() if "remedy_params" not in line]
        (self.directory / "inventory.yaml").write_text("\n".join(lines) + "\n")

    def environment(self, state: Path) -> dict[str, str]:
        """Return the environment of a process of this repository."""
        return {**self._environment, "REMEDY_STATE": str(state)}

    def reset(self, scenario: Scenario) -> None:
        """Plant trouble on every host, forget whatever ran there, and write the rule."""
        rule = _RULE.format(name=RULE, timeout_s=_TIMEOUT_S, max_bad=scenario.max_bad)
        (self.directory / "rules" / RULE / "rule.yaml").write_text(rule)
        for name, files in self.files.items():
            for planted in ("ran", "fails"):
                (files.run / planted).unlink(missing_ok=True)
            if name == scenario.fails:
                (files.run / "fails").touch()
            for marker in files.markers.iterdir():
                if marker.is_dir():
                    for file in marker.iterdir():
                        file.unlink()
                    marker.rmdir()
            self.plant_trouble(name)

    def plant_trouble(self, host: str) -> None:
        """Plant trouble on a host (again)."""
        (self.files[host].run / "level").write_text(f"{_TROUBLE}\n")

    def ran(self, host: str) -> tuple[str, ...]:
        """Return the executions whose fix really ran on a host, in order."""
        try:
            return tuple((self.files[host].run / "ran").read_text().split())
        except FileNotFoundError:
            return ()

    def marked(self, host: str) -> frozenset[str]:
        """Return the executions that have a marker on a host."""
        return frozenset(path.name for path in self.files[host].markers.iterdir() if path.is_dir())

    def is_in_a_fix(self, host: str) -> bool:
        """Say whether a fix has begun on a host, and its end is not in its marker."""
        files = self.files[host]
        return any(not (files.markers / each / "rc").exists() for each in self.marked(host))

    def is_mended(self, host: str) -> bool:
        """Say whether the fix reached its end on a host."""
        return (self.files[host].run / "level").read_text().strip() == _MENDED
