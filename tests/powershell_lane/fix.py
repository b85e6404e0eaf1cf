"""What the cases of fixes share: a fix that leaves evidence, one that waits, one that must not start."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from remedy.port import FixEnding, Marker, MarkerState
from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Expected, Heard, Run

__all__ = ["RAN", "begin_blocked", "fix", "marker_of", "not_run", "write"]

RAN = Expected(trailer="end 0", printed=b"ran\n")
"""What must come of the script that prints `ran`."""

_BLOCK = b"'waits';while(-not [IO.File]::Exists($env:REMEDY_PARAM_GO)){Start-Sleep -Milliseconds 50};exit 6"
_LEFT = "the script was not started"


def fix(bench: Bench, execution_id: str = "e-1", script: bytes = b"'ran'") -> Heard:
    """Run a fix that leaves a byte as evidence, and wait for its end."""
    return bench.run(bench.evident(Run(script=script, execution_id=execution_id)))


def begin_blocked(bench: Bench, execution_id: str = "e-1") -> Callable[[], Heard]:
    """Start a fix that waits, and return what lets it go on and waits for its end."""
    go = bench.folder / f"go-{execution_id}"
    run = bench.evident(Run(script=_BLOCK, execution_id=execution_id))
    pending = bench.begin(replace(run, environment={**run.environment, "REMEDY_PARAM_GO": str(go)}))
    pending.await_output("waits\n")

    def end() -> Heard:
        go.touch()
        return pending.heard()

    return end


def not_run(bench: Bench, heard: Heard, ending: FixEnding, *, mark: str, reason: str = "", ran: int = 0) -> None:
    """Check everything about a fix that must not have been started."""
    bench.check("how often the script ran by now", bench.ran(), ran)
    bench.check("the marks", heard.marks, [mark])
    bench.check("the trailer", heard.trailer, "load 1")
    bench.check("the status of the process", heard.status, 1)
    bench.check(
        "whether standard error says that nothing was started", _LEFT in heard.stderr.decode("utf-8", "replace"), True
    )
    bench.says(heard, ending.value, reason=reason)


def write(path: Path, text: str | bytes) -> None:
    """Plant a file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def marker_of(
    bench: Bench,
    state: MarkerState,
    *,
    exit_code: int | None = None,
    over: bool | None = None,
    is_alive: bool | None = None,
) -> Marker:
    """Return the marker of `e-1` as the session must read it."""
    boot = re.findall(rb"boot_id ([^\n]+)", (bench.root / "e-1" / "start").read_bytes())[0].decode()
    return Marker(state=state, boot_id=boot, exit_code=exit_code, over=over, is_alive=is_alive)
