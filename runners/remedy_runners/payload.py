"""
The text that goes to a host: the framed loader, and the payloads it runs.

Pure text building. The remote command holds the loader, the payload's size and
its SHA-256, nothing else; the payload travels on standard input and holds the
scripts and their values. The loader interprets nothing before all of it is
there and its digest is right (a script piped into a shell runs half-way when
the link drops).
"""

import hashlib
from collections.abc import Mapping, Sequence

from remedy.port import CollectJob, FixJob
from remedy_runners.capture import COLLECTOR_STDERR_MAX, COLLECTOR_STDOUT_MAX
from remedy_runners.pieces import (
    COMMON,
    KILL_AFTER_S,
    PROCESS,
    filled,
    is_execution_id,
    program_of,
    quoted,
    timed,
)
from remedy_runners.prelude import collector_prelude

__all__ = [
    "LOGGER_WAIT_S",
    "NOTE_SIZE_MAX",
    "NOTHING_RAN",
    "PAYLOAD_WAIT_S",
    "collect_payload",
    "fix_payload",
    "remote_command",
]

LOGGER_WAIT_S = 2
"""A fix waits at most so long, and a second, for the host's own log."""

NOTE_SIZE_MAX = 500
"""The host's own log gets at most so many characters beside an execution's id."""

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
#
# `keeper` is the process that will write the end, `script` the one that becomes
# the script: who reads the marker later can tell whether one of them lives.
#
# The host's own log hears of the start before the script does, and of the end
# after everybody else. One that hangs holds none of the descriptors above; should
# it be beyond killing, the inner shell is killed and it is left behind. What is
# left to do after the trailer is done by programs, not by subshells: those would
# keep the shell's own copies of the relays' pipes.
#
# A marker's age is told by the uptime while its boot lasts: a wall clock that is
# set right in between must not take it away early.
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
remedy_record() { remedy_process self && printf '%s\n' "$remedy_born" >"$remedy_marker/$1"; }
remedy_note=@NOTE@
remedy_log() {
  [ -n "$remedy_note" ] && command -v logger >/dev/null || return 1
  printf 'execution %s %s\n' @ID@ "$1" |
    timeout -s KILL @LOGGER_OUTER@ sh -c 'timeout -s KILL @LOGGER@ logger -t remedy; :' \
      >/dev/null 2>&1 3<&- 5>&- 7<&- 8>&- 9>&- &
}
remedy_forget() {
  find "$remedy_directory" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec sh -c '
    boot= began=
    while IFS=" " read -r name value; do
      case $name in boot_id) boot=$value;; started_cs) began=$value;; esac
    done <"$3/start"
    case $began in ""|*[!0-9]*) began=0;; esac
    [ "$boot" = "$1" ] && [ "$(($2 - began))" -le 259200000 ] || rm -rf -- "$3"
  ' sh "$remedy_boot" "$remedy_t" {} \; &
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
  remedy_log "starts: $remedy_note" && wait "$!"
  remedy_say_both "started $remedy_boot"
  { printf %s "$remedy_script" 2>/dev/null & } 7<&- 9>&- | {
    exec 3<&0 </dev/null 8>&2 2>/dev/null
    remedy_record keeper
@TIMED@
    kill "$remedy_ear"
    if [ "$remedy_over" = 1 ]; then kill -KILL "-$remedy_pid"; fi
    printf '%s %s\n' "$remedy_rc" "$remedy_over" >"$remedy_marker/rc.new" &&
      mv -f -- "$remedy_marker/rc.new" "$remedy_marker/rc"
    flock -u 9
    remedy_say "end $remedy_rc $remedy_over"
    remedy_say "end $remedy_rc $remedy_over" >&8
    exec >/dev/null 3<&- 7<&- 8>&- 9>&-
    if [ "$remedy_over" = 1 ]; then remedy_end='its deadline was over'; else remedy_end="exit code $remedy_rc"; fi
    remedy_log "ended: $remedy_end"
    remedy_forget
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


def collect_payload(jobs: Sequence[CollectJob], *, nonce: str) -> bytes:
    """
    Return the payload that runs collectors one after the other, each on its own.

    Raises:
        ValueError: a script or value that cannot travel (NUL bytes, names, sizes).
    """
    parts = [filled(COMMON, nonce=nonce), b'remedy_say_both "started $remedy_boot"\n']
    for index, job in enumerate(jobs):
        program = program_of(job.script, prelude=collector_prelude(job.columns))
        parts.append(
            filled(
                _COLLECTOR,
                index=index,
                script=quoted(program.text),
                timed=timed(program, job.environment, seconds=job.timeout_s),
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
        ValueError: a script, value, id or note that cannot travel.
    """
    if not is_execution_id(job.execution_id):
        raise ValueError(f"{job.execution_id!r} is no execution id")
    if len(job.note) > NOTE_SIZE_MAX or not job.note.isprintable():
        raise ValueError(f"{job.note!r} is no note: one line of at most {NOTE_SIZE_MAX} printable characters")
    program = program_of(job.script)
    return filled(COMMON + PROCESS, nonce=nonce) + filled(
        _FIX,
        id=job.execution_id,
        note=quoted(job.note.encode("utf-8")),
        logger=LOGGER_WAIT_S,
        logger_outer=LOGGER_WAIT_S + 1,
        seconds=job.timeout_s,
        interpreter=program.words[0],
        script=quoted(program.text),
        timed=timed(
            program,
            job.environment,
            seconds=job.timeout_s,
            first=b"    remedy_record script 2>/dev/null",
            meanwhile=_EAR,
        ),
    )
