"""
A machine to break: mount and process namespaces over a copy of this machine that keeps nothing.

Its root is an overlay: what is written goes to memory and ends with it. Programs
of the sandbox see no process but their own.
"""

import contextlib
import hashlib
import os
import secrets
import signal as signals
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from remedy.load.repository import load_repository, starter_rules
from remedy.model import Params, ParamValue, Platform, Reading, Row, Rule, Signal, Value, value_text
from remedy.port import Captured, CollectJob, CollectorEnding, CollectorOutput, FixJob
from remedy.readings import reading_of_output
from remedy_runners.frames import Frames, Mark
from remedy_runners.payload import collect_payload, fix_payload, remote_command

__all__ = ["DAY_S", "RULES", "SIGNALS", "Machine", "MachineMissing", "Said", "Snapshot", "row_of", "set_age"]

DAY_S = 86_400
_REPOSITORY = load_repository(starter_rules())
RULES: Mapping[str, Rule] = _REPOSITORY.rules
SIGNALS: Mapping[str, Signal] = _REPOSITORY.signals

# Not sys.executable: a checkout below /tmp, and its virtual environment, are hidden inside.
_PYTHON = Path(sys.base_prefix) / "bin" / "python3"
_PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
_SETUP = """
set -e
read -r pid rest </proc/self/stat
mount -t tmpfs -o size=256m sandbox /mnt
mkdir -p /mnt/work /mnt/root /mnt/upper/var /mnt/upper/run /mnt/upper/etc
# A device 0:0 hides what lies below; /tmp and the like change while we look at them.
for hidden in tmp var/tmp var/log var/cache var/crash run/motd.d run/reboot-required run/utmp etc/motd.d boot; do
    mknod "/mnt/upper/$hidden" c 0 0
done
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work sandbox /mnt/root
mount -t proc proc /mnt/root/proc
mount --rbind /dev /mnt/root/dev
mount --rbind -o ro /sys /mnt/root/sys
rm -rf /mnt/root/.dockerenv /mnt/root/run/.containerenv /mnt/root/run/systemd/container
mkdir /mnt/root/tmp /mnt/root/var/tmp /mnt/root/var/log /mnt/root/var/cache /mnt/root/var/crash /mnt/root/boot
chmod 1777 /mnt/root/tmp /mnt/root/var/tmp
echo "$pid"
# Descriptor 9 shows from outside what was written.
exec 9</mnt/upper
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot /mnt/root sleep infinity
"""


class MachineMissing(Exception):
    """This machine cannot make a sandbox; the message says why."""


Snapshot = dict[str, tuple[int, int, bytes]]
"""Mode, time and content (or link) of everything below a folder, by the path from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a fix said and how it ended."""

    code: int
    stdout: str
    stderr: str


class Machine:
    """One sandbox; ends with the `with` block, and everything in it."""

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise MachineMissing("a sandbox needs root")
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _SETUP],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            reason = self._process.stderr.read().strip()
            self._end()
            raise MachineMissing(f"mount namespaces or overlays are missing here: {reason}")
        self._pid = int(line)
        self._await_root()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def path(self, inside: str) -> Path:
        """Return the way from outside to a path inside; never follow links that the sandbox made absolute."""
        return Path(f"/proc/{self._pid}/root{inside}")

    def run(self, *command: str, stdin: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside."""
        return subprocess.run(
            self._inside(*command),
            input=stdin,
            capture_output=True,
            check=check,
            timeout=100,
        )

    @contextlib.contextmanager
    def running(self, program: str) -> Iterator[None]:
        """Keep a Python program running inside; it prints a line when it is ready, and ends with its input."""
        process = subprocess.Popen(
            self._inside(str(_PYTHON), "-c", program),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline()
            yield
        finally:
            process.stdin.close()
            process.wait(timeout=20)
            process.stdout.close()

    def mount(self, inside: str, *, size: str = "8m", options: str = "") -> Path:
        """Mount an empty volume in memory; return the way to it."""
        self.run("mkdir", "-p", inside)
        self.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=755{options and ','}{options}", "volume", inside)
        return self.path(inside)

    def plant(self, inside: str, *, age_days: float = 0, size: int = 100_000) -> Path:
        """Make a file of so many bytes whose times lie so many days back; return the way to it."""
        planted = self.path(inside)
        planted.parent.mkdir(parents=True, exist_ok=True)
        planted.write_bytes(b"x" * size)
        set_age(planted, age_days)
        return planted

    def program(self, name: str, body: str) -> None:
        """Put a shell script in the place of a program."""
        place = self.path(f"/usr/bin/{name}")
        place.unlink(missing_ok=True)
        place.write_text(f"#!/bin/sh\n{body}\n")
        place.chmod(0o755)

    def without(self, *names: str) -> None:
        """Remove programs."""
        for name in names:
            for folder in ("/usr/bin", "/usr/sbin"):
                self.path(f"{folder}/{name}").unlink(missing_ok=True)

    def collect(
        self, signal: str, params: Params | None = None, *, environment: Mapping[str, str] | None = None
    ) -> Reading:
        """Run a starter collector through the loader; return what remedy reads of it."""
        said = self.collector_said(signal, params, environment=environment)
        output = CollectorOutput(
            ending=CollectorEnding.EXITED,
            exit_code=said.code,
            stdout=_captured(said.stdout.encode("utf-8", "surrogateescape")),
            stderr=_captured(said.stderr.encode("utf-8", "surrogateescape")),
        )
        return reading_of_output(SIGNALS[signal], "sandbox", output, observed_at=datetime(2026, 11, 22, tzinfo=UTC))

    def collector_said(
        self, signal: str, params: Params | None = None, *, environment: Mapping[str, str] | None = None
    ) -> Said:
        """Run a starter collector through the loader; return what it said."""
        its = SIGNALS[signal]
        script = its.collect[Platform.LINUX]
        job = CollectJob(
            signal=signal,
            script=script.body,
            environment=_values("REMEDY_PARAM_", {**its.params, **(params or {})}) | dict(environment or {}),
            columns={name: column.type.value for name, column in its.columns.items()},
            timeout_s=script.timeout_s,
            become_root=True,
        )
        nonce = secrets.token_hex(16)
        return self._send(collect_payload([job], nonce=nonce), nonce=nonce)

    def fix(self, rule: str, row: Row, params: Params | None = None) -> Said:
        """Run a starter fix through the loader, for one row."""
        its = RULES[rule]
        script = its.fix[Platform.LINUX]
        execution_id = secrets.token_hex(8)
        job = FixJob(
            execution_id=execution_id,
            script=script.body,
            script_sha256=script.sha256,
            environment=_values("REMEDY_PARAM_", {**its.params, **(params or {})})
            | _values("REMEDY_ROW_", row)
            | {
                "REMEDY_HOST": "sandbox",
                "REMEDY_RULE": rule,
                "REMEDY_EXECUTION": execution_id,
                "REMEDY_DEADLINE_S": str(script.timeout_s),
            },
            timeout_s=script.timeout_s,
            become_root=True,
        )
        nonce = secrets.token_hex(16)
        return self._send(fix_payload(job, nonce=nonce), nonce=nonce)

    def _send(self, payload: bytes, *, nonce: str) -> Said:
        command = remote_command(payload, become_root=True)
        answer = self.run("sh", "-c", command, stdin=payload, check=False)
        stdout, marks = _split(answer.stdout, nonce=nonce)
        stderr, _ = _split(answer.stderr, nonce=nonce)
        ends = [mark for mark in marks if mark[0] == "end"]
        if not ends:
            raise AssertionError(f"the script's end was not seen: {marks} {stderr}")
        code, over = ends[0][-2:]
        assert over == "0", "the deadline ended the script"
        return Said(code=int(code), stdout=stdout, stderr=stderr)

    def snapshot(self, inside: str) -> Snapshot:
        """Return what lies below a folder."""
        return _snapshot(self.path(inside))

    def written(self) -> Snapshot:
        """Return all that was written, changed or removed since the sandbox began, other mounts excepted."""
        return _snapshot(Path(f"/proc/{self._pid}/fd/9"))

    def _inside(self, *command: str) -> list[str]:
        enter = ["nsenter", "--target", str(self._pid), "--mount", "--pid", "--root"]
        return [*enter, "env", "--ignore-environment", "--chdir=/", _PATH, *command]

    def _await_root(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                if Path(f"/proc/{self._pid}/root").readlink() != Path("/"):
                    return
            time.sleep(0.002)
        self._end()
        raise MachineMissing("the sandbox did not come up in 10 s")

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signals.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def set_age(planted: Path, age_days: float) -> None:
    """Set the times of a file (or link) so many days back."""
    then = time.time() - age_days * DAY_S
    os.utime(planted, (then, then), follow_symlinks=False)


def row_of(reading: Reading, **key: Value) -> Row:
    """Return the one row of a reading that has these values."""
    rows = [row for row in reading.rows if all(row.get(name) == value for name, value in key.items())]
    assert len(rows) == 1, f"{reading.status} {reading.reason}: {len(rows)} of {len(reading.rows)} rows have {key}"
    return rows[0]


def _values(prefix: str, values: Mapping[str, ParamValue | None]) -> dict[str, str]:
    return {prefix + name.upper(): value_text(value) for name, value in values.items() if value is not None}


def _captured(said: bytes) -> Captured:
    return Captured(head=said, tail=b"", size=len(said), sha256=hashlib.sha256(said).hexdigest())


def _split(stream: bytes, *, nonce: str) -> tuple[str, list[Mark]]:
    frames = Frames(nonce)
    pieces = frames.feed(stream)
    said = b"".join(piece for piece in pieces if isinstance(piece, bytes)) + frames.rest()
    return said.decode("utf-8", "surrogateescape"), [piece for piece in pieces if not isinstance(piece, bytes)]


def _snapshot(root: Path) -> Snapshot:
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            place = Path(folder, name)
            status = place.lstat()
            content = b""
            if place.is_symlink():
                content = os.fsencode(place.readlink())
            elif place.is_file():
                content = place.read_bytes()
            found[os.path.relpath(place, root)] = (status.st_mode, status.st_mtime_ns, content)
    return found
