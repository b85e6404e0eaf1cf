"""A secret of a rule that is not selected is as hidden from the scripts of this machine as one that is."""

import json
from pathlib import Path

from tests.cli.command_line import CommandLine
from tests.cli.forked import run_forked

_VALUE = "v4lue-0f-another-rule"
_SIGNAL = "signal: flag\ntitle: A number\ncolumns: {level: number}\ncollect: {linux: {script: linux.sh, timeout: 5s}}\n"
_RULE = """\
rule: %s
title: The number is high
why: So that something can be mended.
owner: tests@example.org
mode: fix
hosts: all
signal: flag
params: {above: 5%s}
when: level > params.above
fix: {linux: {script: fix.sh, timeout: 20s}}
risk: safe
verify: {until: level < 3, settle: 0s, within: 2s}
limits: {cooldown: 6h, matched: [6, 100%%]}
rollout: {waves: [100%%], soak: 0s, max_bad: 9}
"""


def _write(directory: Path) -> None:
    level = directory / "level"
    level.write_text("9\n")
    signal = directory / "rules" / "signals" / "flag"
    signal.mkdir(parents=True)
    (signal / "signal.yaml").write_text(_SIGNAL)
    (signal / "linux.sh").write_text(f'#!/bin/sh\nemit level "$(cat {level})"\n')
    named = ", token: {secret: env:OF_ANOTHER}, gone: {secret: env:NOT_SET}"
    for name, more in (("chosen", ""), ("another", named)):
        (directory / "rules" / name).mkdir()
        (directory / "rules" / name / "rule.yaml").write_text(_RULE % (name, more))
        (directory / "rules" / name / "fix.sh").write_text(f"#!/bin/sh\nenv\necho 'it is {_VALUE}'\necho 0 > {level}\n")
    params = {"another": {"token": {"secret": "env:OF_A_HOST"}}}
    hosts = {"here": {"ansible_connection": "local"}, "there": {"remedy_params": params}}
    (directory / "inventory.yaml").write_text(json.dumps({"all": {"hosts": hosts}}))


def test_secret_of_a_rule_that_is_not_selected_is_withheld_and_masked(tmp_path: Path) -> None:
    """`-r` chooses what runs, not what is hidden; and a secret that nobody needs may be missing."""
    _write(tmp_path)
    environment = {**CommandLine(tmp_path).environment, "OF_ANOTHER": _VALUE, "OF_A_HOST": "v4lue-0f-a-host"}

    done = run_forked(
        ("apply", "--yes", "-l", "here", "-r", "chosen"), cwd=tmp_path, environment=environment, timeout_s=60
    )

    assert done.returncode == 0, done.stdout + done.stderr
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state" / "outputs").rglob("*") if path.is_file())
    assert b"REMEDY_" in kept
    assert b"it is ***" in kept
    for hidden in (b"OF_ANOTHER=", b"OF_A_HOST=", b"v4lue-0f"):
        assert hidden not in kept
