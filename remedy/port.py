"""
The port: all that a runner may know, and what it answers.

A runner carries out and never decides. It connects to a target, runs
collectors, and runs a fix for which it was handed a permit. Foreign exceptions
do not cross the port: `Unreachable` and `Refused` do, and values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from enum import StrEnum
from typing import Literal, Protocol

from remedy.secrets import Secret, SecretReference

__all__ = [
    "Captured",
    "CollectJob",
    "Collected",
    "CollectorEnding",
    "CollectorOutput",
    "Endpoint",
    "FixEnding",
    "FixJob",
    "FixResult",
    "Marker",
    "MarkerState",
    "MarkersRead",
    "Permit",
    "Runner",
    "ScriptValue",
    "Session",
    "Shell",
    "Target",
    "WinRM",
    "WinRMAuth",
]


ScriptValue = str | SecretReference | Secret
"""A value in a script's environment: its text, or where the runner finds that; a Secret once the runner did."""


class Shell(StrEnum):
    """What reads the payloads on a host: a POSIX shell, or PowerShell (Windows PowerShell 5.1, or 7)."""

    SH = "sh"
    POWERSHELL = "powershell"


class WinRMAuth(StrEnum):
    """How a login over WinRM is proved; `basic` only inside verified TLS."""

    NTLM = "ntlm"
    KERBEROS = "kerberos"
    CERTIFICATE = "certificate"
    BASIC = "basic"


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRM:
    """
    What a target needs beyond address, port, user and password to be reached over WinRM.

    Over http every message is encrypted by NTLM or Kerberos, or nothing is sent.
    Over https the certificate is checked against `ca_file` (None: the system's), or
    it is the one with `fingerprint` (SHA-256, 64 lower-case hexadecimal digits).
    `certificate` and `certificate_key` are the client's own, in PEM files.

    `machine_id` (the registry's MachineGuid) and `computer_name` (without its
    domain) are what the machine must report of itself before it gets the first
    byte of a script; over NTLM and http, which do not prove the server, one of the
    two is needed.
    """

    scheme: Literal["http", "https"]
    auth: WinRMAuth
    path: str = "/wsman"
    ca_file: str | None = None
    fingerprint: str | None = None
    certificate: str | None = None
    certificate_key: str | None = None
    machine_id: str | None = None
    computer_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    How one host is reached, as the inventory says it; None leaves it to ssh_config.

    `password` is a reference (`env:NAME`, `file:PATH`). A target with `barred`
    is refused with that reason before any contact. `winrm` is None for a target
    over SSH; `shell` is what its payloads are written for, over either.
    """

    name: str
    address: str | None = None
    port: int | None = None
    user: str | None = None
    identity_file: str | None = None
    password: str | None = None
    known_hosts: str | None = None
    shell: Shell = Shell.SH
    winrm: WinRM | None = None
    barred: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Endpoint:
    """Where a target really leads: the resolved address (or 'local'), port and user."""

    address: str
    port: int
    user: str

    def __str__(self) -> str:
        return self.address if not self.port else f"{self.user}@{self.address}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """
    One output stream: its head and tail as bytes, and size and SHA-256 of all of it.

    Where it held a secret there are three stars, and size and digest are of what
    stands there then; `masked` are the references of these secrets.
    """

    head: bytes
    tail: bytes
    size: int
    sha256: str
    masked: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether head and tail together are all there was."""
        return len(self.head) + len(self.tail) == self.size

    @property
    def kept(self) -> bytes:
        """Head and tail, with a line that says what was left out between them."""
        if self.complete:
            return self.head + self.tail
        left_out = self.size - len(self.head) - len(self.tail)
        return self.head + f"\n… {left_out} bytes left out …\n".encode() + self.tail


class CollectorEnding(StrEnum):
    """
    How one collector's run ended; only `exited` says what its exit code means.

    One that printed a secret among its rows has no rows; one that was refused was not started.
    """

    EXITED = "exited"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    TOO_MUCH_OUTPUT = "too_much_output"
    PRINTED_SECRET = "printed_secret"  # noqa: S105 - an ending, no password
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectJob:
    """
    One collector to run: its script, what it may read, and how long it may take.

    `columns` maps each column to `text`, `number` or `boolean`; the shell function
    `emit` types values by it. `environment` holds REMEDY_PARAM_* and the like; a
    runner reads what a reference leads to when it makes the payload, not before.
    """

    signal: str
    script: bytes
    environment: Mapping[str, ScriptValue]
    columns: Mapping[str, str]
    timeout_s: int
    become_root: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorOutput:
    """What came back of one collector; `exit_code` is None unless it exited."""

    ending: CollectorEnding
    exit_code: int | None
    stdout: Captured
    stderr: Captured
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What came back of a payload of collectors, by signal; and the boot id, if it could be read."""

    boot_id: str | None
    outputs: Mapping[str, CollectorOutput]


class _Seal:
    """Only the gate holds the seal that makes a permit."""

    __slots__ = ()


_SEAL = _Seal()


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """
    The gate's leave to start one script once on one host.

    Only `remedy.gate` makes one (it holds the seal; a test searches the code for
    others); a runner refuses a job that differs from its permit.

    Raises:
        TypeError: made without the gate's seal.
    """

    execution_id: str
    host: str
    script_sha256: str
    seal: InitVar[_Seal]

    def __post_init__(self, seal: _Seal) -> None:
        """Refuse a permit that the gate did not make; the seal is not kept, so no copy can be altered."""
        if seal is not _SEAL:
            raise TypeError("only the gate makes a permit")


class FixEnding(StrEnum):
    """
    How the run of a fix ended, as far as the runner saw.

    finished      the trailer was seen; exit_code is the script's
    timed_out     the trailer was seen and says that the deadline ended the script
    lost          it was sent, and its end was not seen
    refused       the host's side said no before anything was interpreted
    host_busy     another fix holds the host's lock; nothing was started
    host_hold     the host's hold file exists; nothing was started
    already_started  the marker of this execution exists; nothing was started now
    """

    FINISHED = "finished"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    REFUSED = "refused"
    HOST_BUSY = "host_busy"
    HOST_HOLD = "host_hold"
    ALREADY_STARTED = "already_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class FixJob:
    """
    One fix to run: its script and digest, its values, its deadline in seconds on the host.

    `note` is what the host's own log gets beside the execution id, before the fix
    and after it: rule, script digest, actor, controller; never a value. One line of
    at most 500 printable characters; '' leaves the host's log alone.
    """

    execution_id: str
    script: bytes
    script_sha256: str
    environment: Mapping[str, ScriptValue]
    timeout_s: int
    become_root: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixResult:
    """What came back of a fix; `exit_code` is None unless it finished."""

    ending: FixEnding
    exit_code: int | None
    stdout: Captured
    stderr: Captured
    reason: str = ""


class MarkerState(StrEnum):
    """
    What a host says of its marker of one execution.

    absent   the host looked where markers are, and there is none
    started  it is there, and no end was written into it
    ended    it is there, with how the fix ended
    odd      it cannot be read, or it is not as a fix leaves it: nothing follows from it
    """

    ABSENT = "absent"
    STARTED = "started"
    ENDED = "ended"
    ODD = "odd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """
    A host's marker of one execution: facts, no conclusions; None is always "not known".

    `boot_id` is that of the start. `exit_code` and `over` (its deadline ended it)
    are None unless `state` is ended. `is_alive` says whether a process of the fix
    is there still: the one that will write the end, or anything in the script's
    process group or session; always None for an absent marker.
    """

    state: MarkerState
    boot_id: str | None = None
    exit_code: int | None = None
    over: bool | None = None
    is_alive: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkersRead:
    """
    What a host said about its markers: one for each execution that was asked for.

    `boot_id` is the host's now. `as_root` says that it looked as root (whose
    markers stay until the system ends; a plain user's may go at logout). `up_s` is
    how long the system has been up, in whole seconds rounded down; that of a
    container, which has its host's boot id, is the container's.
    """

    boot_id: str | None
    as_root: bool
    up_s: int | None
    markers: Mapping[str, Marker]


class Session(Protocol):
    """
    One connection to one host; used by one thread at a time.

    No method returns later than the deadlines of its jobs and a fixed grace.
    """

    def collect(self, jobs: Sequence[CollectJob]) -> Collected:
        """
        Run collectors in one payload per privilege; one that hangs or fails spoils only itself.

        Every job has an output in the answer; what was not seen is `lost`.

        Raises:
            Unreachable: the link is gone and no collector was heard.
            Refused: the host cannot run the loader (no timeout, no digest tool, sudo says no).
        """

    def fix(self, permit: Permit, job: FixJob) -> FixResult:
        """
        Run one fix, once; a job that differs from its permit is an error of ours.

        Raises:
            Unreachable: the link was gone before the first byte was sent; nothing was started.
        """

    def read_markers(self, execution_ids: Sequence[str], *, become_root: bool) -> MarkersRead:
        """
        Read the host's markers of executions, changing nothing there; each has one in the answer.

        `become_root` is that of the fix: the markers of root and of the login lie apart.

        Raises:
            Unreachable: the link is gone, or the answer did not come whole.
            Refused: the host cannot run the loader (no timeout, no digest tool, sudo says no).
        """

    def close(self) -> None:
        """End the connection; never raises, may be called twice."""


class Runner(Protocol):
    """Opens sessions over one transport; shared by all threads of a run."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was odd in files it has read so far (a line of known_hosts, say), each once."""

    def endpoint(self, target: Target) -> Endpoint:
        """
        Say where a target leads, resolving names but contacting nobody.

        Raises:
            Unreachable: its name does not resolve.
            Refused: it is barred, or its settings need what is not supported.
        """

    def connect(self, target: Target) -> Session:
        """
        Open a session with a verified host key.

        Raises:
            Unreachable: no connection, or it broke before it was ready.
            Refused: host key, identity or settings said no; the message has the cure.
        """
