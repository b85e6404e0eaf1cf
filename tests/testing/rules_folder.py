"""A folder of rules for the tests of `remedy test`: one rule with two parts, a fix, an exemption and a window."""

from pathlib import Path

__all__ = ["SIGNAL", "case", "write_rules"]

SIGNAL = """\
signal: gauge
title: Two numbers of each thing
key: [thing]
columns: {thing: text, level: number, other: number, broken: boolean}
collect:
  linux: {script: linux.sh, timeout: 3s}
max_age: 10m
"""
_FLAG = """\
signal: flag
title: One number of the host
columns: {height: number}
collect:
  linux: {script: linux.sh, timeout: 3s}
"""
_RULE = """\
rule: high
title: The level is high
why: So that something can be tested.
owner: tests@example.org
mode: fix
hosts: {hosts}
signal: gauge
params: {{above: 5}}
when: {when}
exempt:
  - {{hosts: archive, where: thing = 'kept', reason: kept by design, until: 2026-11-30}}
fix:
  linux: {{script: fix.sh}}
risk: safe
verify: {{until: level < params.above - 1}}
change_windows: [{{days: [sat, sun], from: "00:00", to: "06:00", zone: UTC}}]
limits: {{matched: {matched}}}
"""
_TALL = """\
rule: tall
title: The host is tall
why: So that a signal without a key can be tested.
owner: tests@example.org
mode: observe
hosts: all
signal: flag
when: height > 2
"""
_TALL_TESTS = """\
- case: each verdict
  now: 2026-11-22T03:00:00Z
  hosts:
    tall: {readings: {flag: [{height: 3}]}}
    small: {readings: {flag: [{height: 2}]}}
    hidden: {readings: {flag: [{height: null}]}}
  expect: {tall: match, small: healthy, hidden: {unknown: height}}
"""


def write_rules(
    directory: Path,
    tests: str | None,
    *,
    when: str = "level > params.above and not broken",
    hosts: str = "all:!lab",
    matched: str = "100%",
) -> Path:
    """Write the folder; `tests` is the tests.yaml of the rule `high`, None for none. Return the folder."""
    root = directory / "rules"
    for name, text in (("gauge", SIGNAL), ("flag", _FLAG)):
        folder = root / "signals" / name
        folder.mkdir(parents=True)
        (folder / "signal.yaml").write_text(text)
        (folder / "linux.sh").write_text("#!/bin/sh\nexit 0\n")
    for name in ("high", "tall"):
        (root / name).mkdir()
    (root / "high" / "rule.yaml").write_text(_RULE.format(when=when, hosts=hosts, matched=matched))
    (root / "high" / "fix.sh").write_text("#!/bin/sh\nexit 0\n")
    (root / "tall" / "rule.yaml").write_text(_TALL)
    (root / "tall" / "tests.yaml").write_text(_TALL_TESTS)
    if tests is not None:
        (root / "high" / "tests.yaml").write_text(tests)
    return root


def case(hosts: str, expect: str, more: str = "", *, name: str = "a case", now: str = "2026-11-22T03:00:00Z") -> str:
    """Return one entry of a tests.yaml; what is given is YAML in flow form, `more` are further lines."""
    text = f"- case: {name}\n  now: {now}\n  hosts: {hosts}\n  expect: {expect}\n"
    return text + "".join(f"  {line}\n" for line in more.splitlines())
