"""
What payloads are made of: quoting, the lines every payload begins with, a program under a deadline.

Pure text building.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remedy.port import ScriptValue
from remedy_runners.secrets import text_of

__all__ = [
    "COMMON",
    "KILL_AFTER_S",
    "PROCESS",
    "Program",
    "filled",
    "interpreter_of",
    "is_execution_id",
    "program_of",
    "quoted",
    "timed",
]

KILL_AFTER_S = 5
"""A script that outlives its deadline's TERM by so many seconds is killed."""

_INTERPRETERS = ("sh", "bash", "python3", "pwsh")
_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
_EXECUTION_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
# Linux refuses to start a program with a single variable of more than 128 KiB.
_VALUE_SIZE_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A script made ready: the words that start its interpreter, and the text it reads on descriptor 3."""

    words: tuple[str, ...]
    text: bytes


def is_execution_id(text: str) -> bool:
    """Say whether a text can name an execution, and so a directory on a host."""
    return _EXECUTION_ID.fullmatch(text) is not None


def interpreter_of(script: bytes) -> tuple[str, ...]:
    """
    Return the words that start a script's interpreter, options of its shebang included.

    The base name must be one of sh, bash, python3, pwsh (also behind `env`);
    anything else, or no shebang, is sh.
    """
    first = script.partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return ("sh",)
    words = first[2:].decode("utf-8", errors="surrogateescape").split()
    if words and words[0].rpartition("/")[2] == "env":
        words = [word for word in words[1:] if word != "-S"]
    name = words[0].rpartition("/")[2] if words else "sh"
    if name not in _INTERPRETERS:
        return ("sh",)
    extra = ("-NoProfile", "-NonInteractive", "-File") if name == "pwsh" else ()
    return (name, *words[1:], *extra)


def program_of(script: bytes, *, prelude: bytes = b"") -> Program:
    """
    Return a script made ready; the prelude goes before one for a shell, and before no other.

    Raises:
        ValueError: it holds a NUL byte.
    """
    if b"\0" in script:
        raise ValueError("a script may not hold NUL bytes")
    words = interpreter_of(script)
    if words[0] not in ("sh", "bash"):
        prelude = b""
    return Program(words=(*words, "/dev/fd/3"), text=prelude + script)


def quoted(raw: bytes) -> bytes:
    """Return bytes as one word of a shell."""
    return shlex.quote(raw.decode("latin-1")).encode("latin-1")


def _exports(environment: Mapping[str, ScriptValue]) -> bytes:
    lines = []
    for name, value in sorted(environment.items()):
        raw = text_of(value).encode("utf-8")
        if _NAME.fullmatch(name) is None or b"\0" in raw or len(raw) > _VALUE_SIZE_MAX:
            raise ValueError(f"{name!r} cannot be given to a script: its name, a NUL byte, or its length")
        lines.append(b"export " + name.encode("ascii") + b"=" + quoted(raw) + b"\n")
    return b"".join(lines)


def _command_words(words: Sequence[str]) -> bytes:
    return b" ".join(quoted(word.encode("utf-8", errors="surrogateescape")) for word in words)


def filled(template: bytes, **values: bytes | int | str) -> bytes:
    """Replace @NAME@ once over the template; what is put in is not looked at again."""

    def value_of(found: re.Match[bytes]) -> bytes:
        value = values[found[1].decode("ascii").lower()]
        return value if isinstance(value, bytes) else str(value).encode("ascii")

    return re.sub(rb"@([A-Z_]+)@", value_of, template)


COMMON = rb"""
remedy_nonce=@NONCE@
exec 7<&0 </dev/null
remedy_say() { printf '\n%s %s\n' "$remedy_nonce" "$1"; }
remedy_say_both() { remedy_say "$1"; remedy_say "$1" >&2; }
remedy_boot=
{ IFS= read -r remedy_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
remedy_boot=${remedy_boot:--}
remedy_setsid=
if command -v setsid >/dev/null; then remedy_setsid=setsid; fi
# Hundredths of a second since boot, or since 1970 where /proc does not say.
remedy_now() {
  remedy_t=
  { IFS=' ' read -r remedy_t remedy_u </proc/uptime; } 2>/dev/null
  case $remedy_t in
    *.[0-9][0-9]) remedy_u=1${remedy_t#*.}; remedy_t=$((${remedy_t%.*} * 100 + remedy_u - 100));;
    *) remedy_t=$(($(date +%s) * 100));;
  esac
}
"""
"""What every payload begins with; only lines of remedy_say are for the controller."""

PROCESS = rb"""
remedy_process() {
  remedy_born=
  { IFS= read -r remedy_stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  remedy_born=${remedy_stat%% *}
  # The name, in parentheses, may hold anything but a newline; behind it are only words.
  set -- ${remedy_stat##*) }
  case $1 in Z|X) remedy_born=; return 1;; esac
  remedy_groups="$3 $4"
  remedy_born="$remedy_born ${20}"
}
"""
"""
Sets remedy_born to "PID TICKS" of a living process (a number, or `self`), remedy_groups to its group and session.

The start time, in ticks since the system began, tells a process from a later one
of the same number. Read by the shell itself: a subshell learns its own number so.
Source: proc(5), /proc/pid/stat.
"""

# Runs the program for at most @SECONDS@, its standard error on descriptor 8. Sets
# remedy_rc and remedy_over (1 = the deadline ended it). `timeout` gives 124 and
# 137 (BusyBox 143) also for a script that exits so by itself: the time that
# passed tells. BusyBox's makes no process group, hence setsid where it exists.
# The writer is left behind rather than waited for: a child of the script may
# keep descriptor 3 open without ever reading it.
_TIMED = rb"""
  remedy_now; remedy_began=$remedy_t
  {
@FIRST@
@EXPORTS@
    exec $remedy_setsid timeout -k @KILL@ @SECONDS@ @COMMAND@
  } 2>&8 7<&- 8>&- 9>&- &
  remedy_pid=$!
@MEANWHILE@
  wait "$remedy_pid"
  remedy_rc=$?
  remedy_now
  remedy_over=0
  case $remedy_rc in
    124|137|143) if [ $((remedy_t - remedy_began)) -ge $((@SECONDS@ * 100)) ]; then remedy_over=1; fi;;
  esac
"""


def timed(
    program: Program,
    environment: Mapping[str, ScriptValue],
    *,
    seconds: int,
    first: bytes = b"",
    meanwhile: bytes = b"",
) -> bytes:
    """
    Return the lines that run a program for at most so many seconds, and set remedy_rc and remedy_over.

    `first` is run in the program's own process before its interpreter starts,
    `meanwhile` beside it.

    Raises:
        ValueError: a deadline under a second, or a value that cannot travel.
    """
    if seconds < 1:
        raise ValueError("a deadline is at least one second")
    return filled(
        _TIMED,
        first=first,
        exports=_exports(environment),
        kill=KILL_AFTER_S,
        seconds=seconds,
        command=_command_words(program.words),
        meanwhile=meanwhile,
    )
