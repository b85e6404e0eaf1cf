r"""
The texts that go to a host whose shell is PowerShell: the bootstrap, and the payloads it runs.

The command line holds the bootstrap and nothing else. A payload travels on standard
input, one PowerShell process each: a header (nonce, size of the literal part, size of
all, SHA-256, deadline in seconds), then Base64 in lines. Size and SHA-256 are checked
before anything is interpreted. Then the literal part is evaluated, which is ours; its
value becomes $Remedy. What is left is the script, and runs under the deadline.

On standard output stand marks, lines `\n<nonce> WORDS\n`, and at the end the trailer
of the bootstrap, `\n<nonce> KIND CODE LAST\n`. The marks, in this order:

collector_payload, fix_payload
    started BOOT
  Behind it everything is the script's, up to the trailer. A fix whose script is not
  started says instead one of these, and its trailer is `load 1`:
    held TEXT       the hold file's first line, cut to 200 characters, maybe empty
    refused hold PATH | refused lock PATH | refused marker PATH
    busy
    already
markers_payload
    started BOOT
    reader root|user UP_S
    marker INDEX absent - - -
    marker INDEX started BOOT - yes|no|-
    marker INDEX ended BOOT CODE OVER -
    marker INDEX odd - - -
    done
  one `marker` for each id, by its index; then the trailer `end 0`.
identity_payload
    machine MACHINEGUID|-
    name COMPUTERNAME
    version PSVERSION EDITION|-
  then the trailer `end 0`.

BOOT is the boot id of now (in a marker: of then), at most 64 of [0-9A-Za-z-]; `-` when
it cannot be told. UP_S is in whole seconds. CODE is a whole number of 32 bit, with its
sign; OVER is 1 when the deadline ended the script, and CODE is 124 then. A marker's CODE
is that of a script that fell off its end behind a native command that failed, too. `no`
says that the process of the fix is gone, and nothing of what it has left behind.
The process ends only after the trailer, and holds the host's lock until then.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

from remedy.port import CollectJob, FixJob, ScriptValue
from remedy_runners.marker_payload import MARKERS_MAX
from remedy_runners.pieces import is_execution_id
from remedy_runners.powershell.literals import Literal, literal
from remedy_runners.secrets import text_of

__all__ = [
    "COMMAND_LINE_MAX",
    "LINE_SIZE",
    "READ_DEADLINE_S",
    "bootstrap",
    "collector_payload",
    "command_line",
    "fix_payload",
    "identity_payload",
    "markers_payload",
    "payload",
]

COMMAND_LINE_MAX = 8_191
"""
cmd.exe takes no longer line.

Source: learn.microsoft.com, "Command prompt line string limitation".
"""

LINE_SIZE = 1_000
"""A payload's Base64 travels in lines of so many characters."""

READ_DEADLINE_S = 20
"""What only reads, markers or the machine's identity, has so many seconds on the host."""

_DEADLINE_S_MAX = 2_000_000
# The host counts its deadline in milliseconds, in 32 bit.
_VALUE_SIZE_MAX = 32_000
# Windows has room for 32,767 UTF-16 units in a variable, with its name.
_NONCE = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TYPES = ("text", "number", "boolean")
_BOM = b"\xef\xbb\xbf"
_NOTHING = "@{}"


@cache
def _file(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.ps1").read_text(encoding="ascii")


def bootstrap() -> str:
    """Return the bootstrap as it travels: without the lines that are comments."""
    return "".join(line for line in _file("bootstrap").splitlines(keepends=True) if not line.startswith("#"))


def command_line(program: str = "powershell.exe") -> str:
    """
    Return the command line that starts PowerShell with the bootstrap; always the same for a program.

    Nothing in it means anything to cmd.exe, to PowerShell as a login shell, or to sh.
    """
    encoded = base64.b64encode(bootstrap().encode("ascii")).decode("ascii")
    text = f"iex([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('{encoded}')))"
    return f'{program} -NoProfile -NonInteractive -ExecutionPolicy Bypass -Command "{text}"'


def payload(script: bytes, *, before: str, nonce: str, deadline_s: int) -> bytes:
    """
    Return what goes to the standard input of a PowerShell that was started with the bootstrap.

    `before` is the literal part: PowerShell whose value becomes $Remedy. A deadline of
    0 is none. A byte order mark before the script does not travel.

    Raises:
        ValueError: no nonce, no deadline, or the script is no UTF-8 or holds a NUL.
    """
    if _NONCE.fullmatch(nonce) is None:
        raise ValueError("a nonce is 32 hexadecimal digits")
    if not 0 <= deadline_s <= _DEADLINE_S_MAX:
        raise ValueError(f"a deadline of {deadline_s} s; it is at most {_DEADLINE_S_MAX} s")
    script = script.removeprefix(_BOM)
    if b"\0" in script:
        raise ValueError("a script may not hold NUL bytes")
    try:
        script.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ValueError(f"a script for PowerShell is UTF-8; byte {exc.start} of this one is not") from exc
    first = before.encode("utf-8")
    whole = first + script
    encoded = base64.b64encode(whole)
    lines = [encoded[at : at + LINE_SIZE] for at in range(0, len(encoded), LINE_SIZE)]
    header = f"{nonce} {len(first)} {len(whole)} {hashlib.sha256(whole).hexdigest()} {deadline_s}"
    return b"\n".join([header.encode("ascii"), *lines, b""])


def collector_payload(job: CollectJob, *, nonce: str) -> bytes:
    """
    Return the payload that runs one collector, with the functions `emit` and `not_applicable`.

    Raises:
        ValueError: a script, value, column or timeout that cannot travel.
    """
    for name, kind in job.columns.items():
        if _COLUMN.fullmatch(name) is None or kind not in _TYPES:
            raise ValueError(f"no column: {name!r} of type {kind!r}")
    values: dict[str, Literal] = {
        "columns": sorted(job.columns.items()),
        "environment": _environment(job.environment),
        "remedy": _remedy(job.environment, deadline_s=job.timeout_s),
    }
    before = _with_values(values, "collector", nonce=nonce)
    return payload(job.script, before=before, nonce=nonce, deadline_s=_deadline_s(job.timeout_s))


def fix_payload(job: FixJob, *, nonce: str, root: str | None = None) -> bytes:
    r"""
    Return the payload that runs one fix under the host's lock, with its marker.

    `root` is the folder of markers, lock and hold file; None: %ProgramData%\remedy.

    Raises:
        ValueError: a script, value, id or deadline that cannot travel.
    """
    if not is_execution_id(job.execution_id):
        raise ValueError(f"{job.execution_id!r} is no execution id")
    values: dict[str, Literal] = {
        "root": root,
        "execution_id": job.execution_id,
        "deadline_s": job.timeout_s,
        "environment": _environment(job.environment),
        "remedy": _remedy(job.environment, deadline_s=job.timeout_s),
    }
    before = _with_values(values, "fix", nonce=nonce)
    return payload(job.script, before=before, nonce=nonce, deadline_s=_deadline_s(job.timeout_s))


def markers_payload(execution_ids: Sequence[str], *, nonce: str, root: str | None = None) -> bytes:
    """
    Return the payload that reads the markers of these executions and changes nothing.

    Raises:
        ValueError: more than MARKERS_MAX, or one that is no execution id.
    """
    for execution_id in execution_ids:
        if not is_execution_id(execution_id):
            raise ValueError(f"{execution_id!r} is no execution id")
    if len(execution_ids) > MARKERS_MAX:
        raise ValueError(f"more than {MARKERS_MAX} markers at once")
    text = _with_values({"root": root, "ids": list(execution_ids)}, "markers", nonce=nonce)
    return payload(text.encode("utf-8"), before=_NOTHING, nonce=nonce, deadline_s=READ_DEADLINE_S)


def identity_payload(*, nonce: str) -> bytes:
    """Return the payload that asks a machine which one it is; it changes nothing."""
    text = _with_values({}, "identity", nonce=nonce)
    return payload(text.encode("utf-8"), before=_NOTHING, nonce=nonce, deadline_s=READ_DEADLINE_S)


def _with_values(values: Mapping[str, Literal], name: str, *, nonce: str) -> str:
    return f"$values={literal({'nonce': nonce, **values})}\n{_file('common')}{_file(name)}"


def _deadline_s(timeout_s: int) -> int:
    if timeout_s < 1:
        raise ValueError("a deadline is at least one second")
    return timeout_s


def _environment(environment: Mapping[str, ScriptValue]) -> list[tuple[str, str]]:
    texts = {name: text_of(value) for name, value in environment.items()}
    for name, value in texts.items():
        if _NAME.fullmatch(name) is None or "\0" in value or len(value.encode("utf-16-le")) > 2 * _VALUE_SIZE_MAX:
            raise ValueError(f"{name!r} cannot be given to a script: its name, a NUL, or its length")
    return sorted(texts.items())


def _remedy(environment: Mapping[str, ScriptValue], *, deadline_s: int) -> dict[str, Literal]:
    """Return what scripts see as $Remedy; a value that is not set is null, as is any other property that is not."""
    return {
        "row": _named(environment, "REMEDY_ROW_"),
        "params": _named(environment, "REMEDY_PARAM_"),
        "host": _text(environment, "REMEDY_HOST"),
        "rule": _text(environment, "REMEDY_RULE"),
        "execution": _text(environment, "REMEDY_EXECUTION"),
        "deadline_s": deadline_s,
    }


def _text(environment: Mapping[str, ScriptValue], name: str) -> str | None:
    return text_of(environment[name]) if name in environment else None


def _named(environment: Mapping[str, ScriptValue], prefix: str) -> dict[str, Literal]:
    return {
        name.removeprefix(prefix).lower(): text_of(value)
        for name, value in sorted(environment.items())
        if name.startswith(prefix) and name != prefix
    }
