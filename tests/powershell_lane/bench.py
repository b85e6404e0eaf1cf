"""The bench of one case: a folder, a program, the processes it starts, and what is wrong with them."""

import hashlib
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from remedy.errors import RemedyError
from remedy.port import _SEAL, CollectJob, CollectorOutput, FixJob, FixResult, MarkersRead, Permit
from remedy_runners.powershell.endings import Identity
from remedy_runners.powershell.session import PowerShellSession
from remedy_runners.powershell.texts import command_line, payload
from remedy_runners.session import Exchange, LinkLost
from tests.powershell_lane.case import Expected, Heard, Run, Wrong, shown
from tests.powershell_lane.judging import marker_problems, problems_of
from tests.powershell_lane.process import Process

__all__ = ["Bench", "Pending", "environment_of"]

HOST = "lane"
_GRACE_S = 60.0
_KEPT_OUT = re.compile(r"REMEDY_|PS(?:ModulePath|ModuleAnalysisCachePath|ExecutionPolicyPreference)$", re.IGNORECASE)


def environment_of(outer: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process: ours without what would change PowerShell, and what the run adds."""
    environment = {name: value for name, value in os.environ.items() if not _KEPT_OUT.match(name)}
    return environment | {"POWERSHELL_TELEMETRY_OPTOUT": "1", "POWERSHELL_UPDATECHECK": "Off"} | dict(outer)


class _LaneSession(PowerShellSession):
    """The session as it ships; only what it starts is the PowerShell of the lane."""

    def __init__(self, pending: "Pending") -> None:
        super().__init__(HOST, root=str(pending.bench.root))
        self._pending = pending

    def _start(self, command: str, *, within_s: int) -> Exchange:
        if command != command_line():
            raise AssertionError(f"the session starts something else: {command}")
        return self._pending.start()

    def close(self) -> None:
        """Every process is settled by who started it."""


class Pending:
    """A process under way, in a thread of its own."""

    def __init__(self, bench: "Bench", run: Run) -> None:
        self.bench = bench
        self.run = run
        self._process: Process | None = None
        self._is_ready = threading.Event()
        self._answer: object = None
        self._error = ""
        self._heard: Heard | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def start(self) -> Process:
        """Start the process; for the session."""
        self._process = Process(
            self.bench.program, self.run, folder=self.bench.folder, environment=environment_of(self.run.outer)
        )
        self._is_ready.set()
        return self._process

    def _work(self) -> None:
        try:
            self._answer = self._asked()
        except RemedyError as exc:
            self._error = f"{type(exc).__name__}: {exc}"
        except Exception as exc:  # noqa: BLE001 - it is shown, and the case fails by it.
            self._error = f"the lane or the session is broken: {exc!r}"
        finally:
            self._is_ready.set()

    def _asked(self) -> object:
        run, session = self.run, _LaneSession(self)
        match run.kind:
            case "plain":
                self._plain()
                return None
            case "collector":
                job = CollectJob(
                    signal="s",
                    script=run.script,
                    environment=run.environment,
                    columns=run.columns,
                    timeout_s=run.deadline_s,
                )
                return session.collect([job]).outputs["s"]
            case "fix":
                digest = hashlib.sha256(run.script).hexdigest()
                permit = Permit(execution_id=run.execution_id, host=HOST, script_sha256=digest, seal=_SEAL)
                fix = FixJob(
                    execution_id=run.execution_id,
                    script=run.script,
                    script_sha256=digest,
                    environment=run.environment,
                    timeout_s=run.deadline_s,
                )
                return session.fix(permit, fix)
            case "markers":
                return session.read_markers(run.ids, become_root=False)
            case "identity":
                return session.identity()

    def _plain(self) -> None:
        nonce = secrets.token_hex(16)
        raw = payload(self.run.script, before=self.run.before, nonce=nonce, deadline_s=self.run.deadline_s)
        process = self.start()
        try:
            process.send(raw, timeout_s=30)
            process.finish_input(timeout_s=1)
        except LinkLost:
            return

    @property
    def process(self) -> Process:
        """
        The process.

        Raises:
            Wrong: none could be started.
        """
        self._is_ready.wait(30)
        if self._process is None:
            raise Wrong(f"no process was started: {self._error}")
        return self._process

    def await_output(self, text: str, *, within_s: float = 40) -> None:
        """
        Wait until the process has printed a text.

        Raises:
            Wrong: it ended, or the time is over, without.
        """
        if not self.process.await_output(text.encode(), within_s=within_s):
            raise Wrong(f"it did not print {text!r} within {within_s:.0f} s")

    def join(self, *, within_s: float) -> None:
        """
        Wait until the session has its answer, whatever the process does.

        Raises:
            Wrong: it has none in this time.
        """
        self._thread.join(within_s)
        if self._thread.is_alive():
            raise Wrong(f"the session had no answer after {within_s:.0f} s")

    def kill(self) -> None:
        """Kill the process and whatever it started."""
        self.process.kill()

    def heard(self, *, within_s: float | None = None) -> Heard:
        """Wait for the end, and return all that came."""
        if self._heard is None:
            process = self.process
            bound_s = within_s or min(self.run.deadline_s, _GRACE_S) + _GRACE_S
            has_ended, is_open, left = process.settle(within_s=bound_s)
            self._thread.join(_GRACE_S)
            if self._thread.is_alive():
                self._error = "the session did not return"
            self._heard = Heard(
                run=self.run,
                nonce=process.undamaged.split(b" ", 1)[0].decode("ascii", "replace") or "0" * 32,
                command=process.command,
                header=process.header,
                sent_size=process.sent_size,
                stdout=process.stdout(),
                stderr=process.stderr(),
                status=process.status,
                duration_s=process.duration_s,
                has_ended=has_ended,
                is_open=is_open,
                left=left,
                answer=self._answer,
                error=self._error,
            )
        return self._heard


class Bench:
    """What a case acts on; keeps every process and every problem for the report."""

    def __init__(self, program: str, *, version: str, folder: Path) -> None:
        self.program = program
        self.version = version
        self.folder = folder
        self.root = folder / "data" / "remedy"
        self.problems: list[str] = []
        self._pending: list[Pending] = []

    def begin(self, run: Run) -> Pending:
        """Start a process and go on."""
        pending = Pending(self, run)
        self._pending.append(pending)
        return pending

    def run(self, run: Run, *, within_s: float | None = None) -> Heard:
        """Start a process and wait for its end."""
        return self.begin(run).heard(within_s=within_s)

    def judge(self, heard: Heard, expected: Expected) -> None:
        """Note whatever is not as expected, the marker of a fix included."""
        self.problems += problems_of(heard, expected)
        if heard.run.kind == "fix":
            self.problems += marker_problems(heard, self.root / heard.run.execution_id)

    def check(self, what: str, got: object, expected: object) -> None:
        """Note it when something is not what it should be."""
        if got != expected:
            self.problems.append(f"{what}\n  expected {shown(expected)}\n  got      {shown(got)}")

    def says(self, heard: Heard, ending: str, *, exit_code: int | None = None, reason: str = "") -> None:
        """Note it when the session did not say this of a fix or a collector."""
        answer = heard.answer
        if not isinstance(answer, FixResult | CollectorOutput):
            self.problems.append(f"the session should say {ending}; it said {heard.error or answer!r}")
            return
        self.check("the ending that the session says", (answer.ending.value, answer.exit_code), (ending, exit_code))
        if reason not in answer.reason:
            self.problems.append(f"the session's reason {answer.reason!r} has no {reason!r}")

    def markers(self, *ids: str) -> tuple[Heard, MarkersRead]:
        """
        Read markers.

        Raises:
            Wrong: the session could not.
        """
        heard = self.run(Run(kind="markers", ids=ids))
        if not isinstance(heard.answer, MarkersRead):
            raise Wrong(f"the markers were not read: {heard.error}")
        return heard, heard.answer

    def identity(self) -> tuple[Heard, Identity]:
        """
        Ask the machine which one it is.

        Raises:
            Wrong: the session could not.
        """
        heard = self.run(Run(kind="identity"))
        if not isinstance(heard.answer, Identity):
            raise Wrong(f"the machine did not say which one it is: {heard.error}")
        return heard, heard.answer

    def nothing_ran(self, heard: Heard) -> None:
        """Note it when a script that must not start did, by what it would have left."""
        self.check("how often the script ran", self.ran(), 0)
        self.check("whether a start was said", heard.has_started, False)

    def ran(self) -> int:
        """Return how often the script of `evident` ran here."""
        path = self.folder / "ran"
        return len(path.read_bytes()) if path.exists() else 0

    def evident(self, run: Run) -> Run:
        """Return a run whose script first leaves a byte in a file of the bench."""
        script = b"[IO.File]::AppendAllText($env:REMEDY_PARAM_RAN, 'x')\n" + run.script
        environment = {**run.environment, "REMEDY_PARAM_RAN": str(self.folder / "ran")}
        return replace(run, script=script, environment=environment)

    def finish(self) -> Sequence[Heard]:
        """End whatever still runs, and return all that was heard."""
        heard = []
        for pending in self._pending:
            try:
                heard.append(pending.heard(within_s=0.1))
            except Wrong:
                continue
        return heard


def boot_id() -> str | None:
    """Return the boot id of this machine, where it has one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def born(number: int) -> str | None:
    """Return when a living process was started, as the system counts it."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()[19]


def monotonic_s() -> float:
    """Return the clock that nobody can set."""
    return time.clock_gettime(time.CLOCK_MONOTONIC) if sys.platform != "win32" else time.monotonic()
