"""A repository for `why`: one rule that mends planted levels on this machine, over the local transport."""

import io
import json
import os
from contextlib import chdir, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

from remedy.cli import main
from remedy.load.repository import load_repository
from remedy.model import Execution, Key, Outcome, Reading, ReadingStatus, Row
from remedy.port import FixEnding, Permit
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.state.readings_store import store_readings
from tests.cli.command_line import CommandLine, Ran
from tests.state.builders import always, asked, execution, run_row, unsynced

__all__ = ["A", "attempted", "here", "hosts", "ledger_of", "now", "planted", "repository", "stored"]

_CLOCK = {"now": datetime.now(UTC)}
A: Key = (("name", "a"),)
_SIGNAL = """\
signal: level
title: Levels that a test planted
key: [name]
rows: any
columns: {name: text, level: {type: number, unit: percent}, calm: boolean}
collect:
  linux: {script: linux.sh, timeout: 5s}
"""
_COLLECT = """\
#!/bin/sh
for name in a b; do
  if [ -f "__PLANTED__/$name" ]; then
    emit name "$name" level "$(cat "__PLANTED__/$name")"
  fi
done
"""
_RULE = """\
rule: high-level
title: A planted level is high
why: So that something can be mended.
owner: tests@example.org
mode: fix
hosts: all
signal: level
params: {above: 5}
when: level > params.above and (not calm or level > 6)
fix:
  linux: {script: fix.sh, timeout: 10s}
risk: safe
verify: {until: level <= params.above - 1, settle: 0s, within: 2s}
limits: {cooldown: 6h, attempts: {count: 3, within: 7d}}
"""
_FIX = """\
#!/bin/sh
echo "__TO__" > "__PLANTED__/$REMEDY_ROW_NAME"
"""


def now() -> datetime:
    """Return the time at which this test's repository was made; what was stored is dated back from there."""
    return _CLOCK["now"]


def repository(tmp_path: Path, *, fixed_to: str = "1", extra: str = "") -> CommandLine:
    """Return a command line in a repository whose fix sets the level to `fixed_to`; web-1 is this machine."""
    _CLOCK["now"] = datetime.now(UTC)
    line = CommandLine(tmp_path)
    planted_in = tmp_path / "planted"
    planted_in.mkdir()
    rule, signal = tmp_path / "rules" / "high-level", tmp_path / "rules" / "signals" / "level"
    rule.mkdir(parents=True)
    signal.mkdir(parents=True)
    (signal / "signal.yaml").write_text(_SIGNAL)
    (signal / "linux.sh").write_text(_COLLECT.replace("__PLANTED__", str(planted_in)))
    (rule / "rule.yaml").write_text(_RULE + extra)
    (rule / "fix.sh").write_text(_FIX.replace("__PLANTED__", str(planted_in)).replace("__TO__", fixed_to))
    hosts(line, {"web-1": {"ansible_connection": "local"}})
    return line


def here(line: CommandLine, *words: str) -> Ran:
    """Run the command as `line.remedy` does, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(line.directory), patch.dict(os.environ, line.environment), redirect_stdout(out), redirect_stderr(err):
        code = main._run(list(words))
    return Ran(code=code, out=out.getvalue(), err=err.getvalue())


def hosts(line: CommandLine, named: dict[str, dict[str, object]], **group: object) -> None:
    """Write an inventory of these hosts in the group web, which has these variables."""
    inventory = {"all": {"children": {"web": {"hosts": named, "vars": group}}}}
    (line.directory / "inventory.yaml").write_text(json.dumps(inventory))


def planted(line: CommandLine, name: str, level: int | None) -> None:
    """Plant a level on this machine, or take it away."""
    file = line.directory / "planted" / name
    file.write_text(f"{level}\n") if level is not None else file.unlink()


def stored(
    line: CommandLine, *readings: tuple[str, timedelta, ReadingStatus, tuple[Row, ...]], signal: str = "level"
) -> None:
    """Store readings of a signal: host, age, status and rows."""
    state = StateDirectory(line.state)
    state.prepare()
    digest = load_repository(line.directory / "rules").signals[signal].digest
    for host, age, status, rows in readings:
        at = now() - age
        reading = Reading(
            host=host,
            signal=signal,
            observed_at=at,
            status=status,
            reason="" if status is ReadingStatus.OK else "no answer on port 22",
            rows=rows,
        )
        store_readings(state.readings, [reading], collected_at=at, digests={signal: digest})


def ledger_of(line: CommandLine) -> Ledger:
    """Open the ledger of the state directory."""
    state = StateDirectory(line.state)
    state.prepare()
    return Ledger.open(state.ledger)


def attempted(
    line: CommandLine,
    outcome: Outcome | None,
    *,
    ago: timedelta,
    took: timedelta = timedelta(minutes=2),
    host: str = "web-1",
    key: Key = A,
    rule: str = "high-level",
    run_id: str = "20261101T031000Z-1a2b",
    reason: str = "",
) -> Execution:
    """Record a run in the ledger that planned, started and (unless None) ended one execution so."""
    at = now() - ago
    planned = execution(sha256(f"{run_id} {host}".encode()).hexdigest()[:16], rule=rule, host=host, key=key)
    ledger = ledger_of(line)
    try:
        ledger.begin_run(run_row(run_id, at=at), [planned])
        if outcome not in (Outcome.SKIPPED, Outcome.UNREACHABLE, Outcome.REFUSED):
            request = asked(planned, run_id=run_id, at=at + timedelta(minutes=1))
            (answer,) = ledger.admit([request], decide=always, sync_intents=unsynced)
            assert isinstance(answer, Permit)
        if outcome in (Outcome.FIXED, Outcome.NOT_FIXED, Outcome.DONE, Outcome.UNVERIFIED, Outcome.NEEDS_REBOOT):
            ledger.record_result(planned.id, at + took, FixEnding.FINISHED, 0)
        if outcome is not None:
            ledger.record_outcome(planned.id, at + took, outcome, reason, run_id=run_id)
            ledger.end_run(run_id, at + took, 0)
    finally:
        ledger.close()
    return planned
