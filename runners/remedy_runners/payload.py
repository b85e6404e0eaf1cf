"""
The text that goes to a host: the framed loader, and the payloads it runs.

Pure text building. The remote command holds the loader, the payload's size and
its SHA-256, nothing else; the payload travels on standard input and holds the
scripts and their values. The loader interprets nothing before all of it is
there and its digest is right (a script piped into a shell runs half-way when
the link drops).
"""

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remedy.port import CollectJob, FixJob
from remedy_runners.capture import COLLECTOR_STDERR_MAX, COLLECTOR_STDOUT_MAX
from remedy_runners.prelude import collector_prelude

__all__ = [
    "KILL_AFTER_S",
    "NOTHING_RAN",
    "PAYLOAD_WAIT_S",
    "collect_payload",
    "fix_payload",
    "interpreter_of",
    "remote_command",
]

KILL_AFTER_S = 5
"""A script that outlives its deadline's TERM by so many seconds is killed."""

PAYLOAD_WAIT_S = 20
"""The loader waits so long for the payload; a link that stalls longer starts nothing later."""

NOTHING_RAN: Mapping[int, str] = {
    90: "it has no id command; install coreutils",
    91: "it has no head command; install coreutils",
    92: "it has none of sha256sum, shasum and openssl; install coreutils",
    93: "it has no timeout command that knows -k; install coreutils",
    94: "it has no /dev/fd; mount /proc, or link /dev/fd to /proc/self/fd",
    95: "it has no sudo, and the login is not root; install sudo, or log in as root",
    96: "the payload did not arrive whole; see whether the link is steady, then try again",
    97: "the payload's SHA-256 is not the one announced; something between here and the host alters bytes",
}
"""Exit codes of the loader that say that nothing was interpreted, each with why and the cure; 90 to 99 are reserved."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INTERPRETERS = ("sh", "bash", "python3", "pwsh")
_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
_EXECUTION_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
# Linux refuses to start a program with a single variable of more than 128 KiB.
_VALUE_SIZE_MAX = 100_000

# Both texts stand between single quotes on the remote command line, and the
# login shell may be any: no quote, backslash, exclamation mark or newline.
_BECOME = (
    f"PATH={_PATH}; export PATH; command -v id >/dev/null || exit 90; "
    'if [ "$(id -u)" = 0 ]; then exec sh -c "$1" remedy "$2" "$3"; fi; '
    "command -v sudo >/dev/null || exit 95; "
    'exec sudo -n -- sh -c "$1" remedy "$2" "$3"'
)
_LOADER = (
    f"PATH={_PATH}; LC_ALL=C; export PATH LC_ALL; unset BASH_ENV ENV CDPATH IFS; umask 077; cd /; "
    "command -v head >/dev/null || exit 91; "
    "if command -v sha256sum >/dev/null; then d=sha256sum; "
    'elif command -v shasum >/dev/null; then d="shasum -a 256"; '
    'elif command -v openssl >/dev/null; then d="openssl dgst -sha256 -r"; else exit 92; fi; '
    "command -v timeout >/dev/null || exit 93; "
    "[ -e /dev/fd/0 ] || exit 94; "
    f's=$(timeout -k 1 {PAYLOAD_WAIT_S} head -c "$1"; echo x); s=${{s%x}}; '
    'g=$(printf %s "$s" | $d); if [ "${g%% *}" = "$2" ]; then eval "$s"; exit; fi; '
    'timeout -k 1 5 head -c 1 </dev/null || exit 93; [ "${#s}" = "$1" ] || exit 96; exit 97'
)


def remote_command(payload: bytes, *, become_root: bool) -> str:
    """Return the command line for a host's login shell; the payload then goes to its standard input."""
    size, digest = str(len(payload)), hashlib.sha256(payload).hexdigest()
    if become_root:
        return f"sh -c '{_BECOME}' remedy '{_LOADER}' {size} {digest}"
    return f"sh -c '{_LOADER}' remedy {size} {digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    """A script made ready: the words that start its interpreter, and the text it reads on descriptor 3."""

    words: tuple[str, ...]
    text: bytes


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


def _program(script: bytes, *, prelude: bytes = b"") -> _Program:
    if b"\0" in script:
        raise ValueError("a script may not hold NUL bytes")
    words = interpreter_of(script)
    if words[0] not in ("sh", "bash"):
        prelude = b""
    return _Program(words=(*words, "/dev/fd/3"), text=prelude + script)


def _quoted(raw: bytes) -> bytes:
    return shlex.quote(raw.decode("latin-1")).encode("latin-1")


def _exports(environment: Mapping[str, str]) -> bytes:
    lines = []
    for name, value in sorted(environment.items()):
        raw = value.encode("utf-8")
        if _NAME.fullmatch(name) is None or b"\0" in raw or len(raw) > _VALUE_SIZE_MAX:
            raise ValueError(f"{name!r} cannot be given to a script: its name, a NUL byte, or its length")
        lines.append(b"export " + name.encode("ascii") + b"=" + _quoted(raw) + b"\n")
    return b"".join(lines)


def _command_words(words: Sequence[str]) -> bytes:
    return b" ".join(_quoted(word.encode("utf-8", errors="surrogateescape")) for word in words)


def _filled(template: bytes, **values: bytes | int | str) -> bytes:
    """Replace @NAME@ once over the template; what is put in is not looked at again."""

    def value_of(found: re.Match[bytes]) -> bytes:
        value = values[found[1].decode("ascii").lower()]
        return value if isinstance(value, bytes) else str(value).encode("ascii")

    return re.sub(rb"@([A-Z_]+)@", value_of, template)


# What both payloads begin with. Only lines of remedy_say are for the controller.
_COMMON = rb"""
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

# Runs the program for at most @SECONDS@, its standard error on descriptor 8. Sets
# remedy_rc and remedy_over (1 = the deadline ended it). `timeout` gives 124 and
# 137 (BusyBox 143) also for a script that exits so by itself: the time that
# passed tells. BusyBox's makes no process group, hence setsid where it exists.
# The writer is left behind rather than waited for: a child of the script may
# keep descriptor 3 open without ever reading it.
_TIMED = rb"""
  remedy_now; remedy_began=$remedy_t
  {
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

# Standard output goes through a pipe that ends with this collector, so that what
# one leaves behind cannot print into the next one's frame; nobody here waits for
# a program that cannot be killed (a stale mount) longer than its timeout.
_COLLECTOR = rb"""
remedy_script=@SCRIPT@
{ { { { printf %s "$remedy_script" 2>/dev/null & } | {
  exec 3<&0 </dev/null 8>&2 2>/dev/null
@TIMED@
  kill -KILL "-$remedy_pid"
  remedy_say "end @INDEX@ $remedy_rc $remedy_over"
} & } 2>&1 >&5 5>&- | timeout -k 1 @PATIENCE@ sh -c 'head -c @STDERR_MAX@; cat >/dev/null' >&2 5>&-
} 5>&1 | timeout -k 1 @PATIENCE@ head -c @STDOUT_MAX@
} 7<&-
remedy_say_both "over @INDEX@ $?"
"""

# The script's output goes through relays that go on reading when the link is
# gone, so that a dropped link stops no fix half-way. The trailer takes the same
# way, so that it stands behind all output, and a child that keeps the output
# open delays nothing. Descriptor 9 is the host's lock, 7 the controller.
_FIX = rb"""
trap '' HUP
remedy_relay() { trap '' PIPE; cat 2>/dev/null; cat >/dev/null 2>&1; }
remedy_refuse() { remedy_say_both "refused $1"; exit 0; }
remedy_marker_directory() {
  if [ "$(id -u)" = 0 ]; then
    remedy_directory=/run/remedy
  elif [ -n "${XDG_RUNTIME_DIR-}" ] && [ -d "$XDG_RUNTIME_DIR" ] && [ -w "$XDG_RUNTIME_DIR" ]; then
    remedy_directory=$XDG_RUNTIME_DIR/remedy
  else
    remedy_directory=${HOME:-/nonexistent}/.local/state/remedy
  fi
  mkdir -p -m 700 -- "$remedy_directory" || return 1
  [ -d "$remedy_directory" ] && [ -w "$remedy_directory" ] && true >>"$remedy_directory/lock"
}
remedy_fix() {
  if [ -e /etc/remedy/hold ] || [ -L /etc/remedy/hold ]; then
    remedy_say_both "held $(head -n 1 /etc/remedy/hold 2>/dev/null | head -c 200)"; exit 0
  fi
  if [ -d /etc/remedy ] && ! [ -x /etc/remedy ]; then remedy_refuse hold; fi
  command -v flock >/dev/null || remedy_refuse flock
  command -v @INTERPRETER@ >/dev/null || remedy_refuse 'interpreter @INTERPRETER@'
  remedy_marker_directory 2>/dev/null || remedy_refuse "marker $remedy_directory"
  remedy_marker=$remedy_directory/@ID@
  exec 9>>"$remedy_directory/lock"
  flock -n 9
  case $? in
    0) ;;
    1) if [ -d "$remedy_marker" ]; then remedy_say_both already; else remedy_say_both busy; fi; exit 0;;
    *) remedy_refuse flock;;
  esac
  if ! mkdir -- "$remedy_marker" 2>/dev/null; then
    if [ -d "$remedy_marker" ]; then remedy_say_both already; exit 0; fi
    remedy_refuse "marker $remedy_directory"
  fi
  remedy_now
  printf 'boot_id %s\npid %s\nstarted_cs %s\ndeadline_s %s\n' \
    "$remedy_boot" "$$" "$remedy_t" @SECONDS@ >"$remedy_marker/start" || {
    rm -rf -- "$remedy_marker"; remedy_refuse "marker $remedy_directory"; }
  remedy_say_both "started $remedy_boot"
  { printf %s "$remedy_script" 2>/dev/null & } 7<&- 9>&- | {
    exec 3<&0 </dev/null 8>&2 2>/dev/null
@TIMED@
    kill "$remedy_ear"
    if [ "$remedy_over" = 1 ]; then kill -KILL "-$remedy_pid"; fi
    printf '%s %s\n' "$remedy_rc" "$remedy_over" >"$remedy_marker/rc.new" &&
      mv -f -- "$remedy_marker/rc.new" "$remedy_marker/rc"
    flock -u 9
    remedy_say "end $remedy_rc $remedy_over"
    remedy_say "end $remedy_rc $remedy_over" >&8
    exec 8>&- >/dev/null
    find "$remedy_directory" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf -- {} +
  }
}
remedy_script=@SCRIPT@
{ { remedy_fix; } 2>&1 >&5 5>&- | remedy_relay >&2 5>&- 7<&-; } 5>&1 | remedy_relay 7<&-
"""

# The controller may still say `kill`, when the script prints without end.
_EAR = rb"""
  { IFS= read -r remedy_word <&7 && [ "$remedy_word" = kill ] && kill -KILL "-$remedy_pid"; } \
    >/dev/null 3<&- 8>&- 9>&- &
  remedy_ear=$!
"""


def _timed(program: _Program, environment: Mapping[str, str], *, seconds: int, meanwhile: bytes) -> bytes:
    if seconds < 1:
        raise ValueError("a deadline is at least one second")
    return _filled(
        _TIMED,
        exports=_exports(environment),
        kill=KILL_AFTER_S,
        seconds=seconds,
        command=_command_words(program.words),
        meanwhile=meanwhile,
    )


def collect_payload(jobs: Sequence[CollectJob], *, nonce: str) -> bytes:
    """
    Return the payload that runs collectors one after the other, each on its own.

    Raises:
        ValueError: a script or value that cannot travel (NUL bytes, names, sizes).
    """
    parts = [_filled(_COMMON, nonce=nonce), b'remedy_say_both "started $remedy_boot"\n']
    for index, job in enumerate(jobs):
        program = _program(job.script, prelude=collector_prelude(job.columns))
        parts.append(
            _filled(
                _COLLECTOR,
                index=index,
                script=_quoted(program.text),
                timed=_timed(program, job.environment, seconds=job.timeout_s, meanwhile=b""),
                patience=job.timeout_s + KILL_AFTER_S + 1,
                stderr_max=COLLECTOR_STDERR_MAX,
                # The line with the exit code must fit behind the largest output that counts.
                stdout_max=COLLECTOR_STDOUT_MAX + 1 + 128,
            )
        )
    parts.append(b"remedy_say_both done\n")
    return b"".join(parts)


def fix_payload(job: FixJob, *, nonce: str) -> bytes:
    """
    Return the payload that runs one fix under the host's lock, with its marker.

    Raises:
        ValueError: a script, value or id that cannot travel.
    """
    if _EXECUTION_ID.fullmatch(job.execution_id) is None:
        raise ValueError(f"{job.execution_id!r} is no execution id")
    program = _program(job.script)
    return _filled(_COMMON, nonce=nonce) + _filled(
        _FIX,
        id=job.execution_id,
        seconds=job.timeout_s,
        interpreter=program.words[0],
        script=_quoted(program.text),
        timed=_timed(program, job.environment, seconds=job.timeout_s, meanwhile=_EAR),
    )
