"""
The payload that reads the markers of executions and changes nothing, and what its lines mean.

The lock is not asked: whoever tries it holds it for a moment, and a fix that
starts just then would find the host busy. What is looked at are the processes
that a fix wrote into its marker.
"""

import re
from collections.abc import Mapping, Sequence

from remedy.port import Marker, MarkerState
from remedy_runners.frames import Mark
from remedy_runners.pieces import COMMON, PROCESS, filled, is_execution_id

__all__ = ["MARKERS_MAX", "boot_id_of", "marker_of", "marker_payload", "reader_of"]

MARKERS_MAX = 1_000
"""So many markers are asked for at once, at most."""

_BOOT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FOUND = re.compile(
    rf"(?P<state>absent|started|ended) (?P<boot_id>{_BOOT_ID.pattern}|-) "
    r"(?:(?P<exit_code>[0-9]{1,3}) (?P<over>[01])|-) (?P<is_alive>yes|no|-)"
)
_UP_S = re.compile(r"[0-9]{1,10}")

# remedy_read: 1 = there is no such file, 2 = it is none that a fix has written.
# Asked in this order: is the end written, does anybody live who may write it or
# go on, and if not, is the end written now. The process that writes it lives
# longer than that takes, so "started" and "nobody lives" together are the truth.
_MARKERS = rb"""
remedy_nl='
'
remedy_read() {
  remedy_text=
  [ -e "$1" ] || [ -L "$1" ] || return 1
  if [ -L "$1" ] || ! [ -f "$1" ]; then return 2; fi
  { remedy_text=$(head -c 400 "$1"; printf x); } 2>/dev/null
  case $remedy_text in *"$remedy_nl"x) remedy_text=${remedy_text%??};; *) return 2;; esac
}
remedy_read_process() {
  remedy_read "$1" || return 1
  case $remedy_text in *[!0-9\ ]*|*\ *\ *) return 1;; [0-9]*\ [0-9]*) ;; *) return 1;; esac
}
remedy_look_alive() {
  remedy_alive=-
  remedy_process self || return 0
  remedy_read_process "$1/keeper" || return 0
  if remedy_process "${remedy_text%% *}" && [ "$remedy_born" = "$remedy_text" ]; then remedy_alive=yes; return 0; fi
  remedy_read_process "$1/script" || return 0
  remedy_number=${remedy_text%% *}
  remedy_alive=no
  # A number is not given again while it is that of a group or a session.
  if remedy_process "$remedy_number"; then
    if [ "$remedy_born" = "$remedy_text" ]; then remedy_alive=yes; fi
    return 0
  fi
  for remedy_each in /proc/[0-9]*; do
    remedy_process "${remedy_each#/proc/}" || continue
    case " $remedy_groups " in *" $remedy_number "*) remedy_alive=yes; return 0;; esac
  done
}
remedy_read_end() {
  remedy_read "$1/rc"
  case $? in 0) ;; 1) return 1;; *) remedy_found=odd; return 0;; esac
  case $remedy_text in *[!0-9\ ]*) remedy_found=odd; return 0;; esac
  remedy_found="ended $remedy_from $remedy_text -"
}
remedy_look() {
  remedy_found='absent - - -'
  if [ -e "$1" ] || [ -L "$1" ]; then
    if ! { [ -d "$1" ] && [ -r "$1" ] && [ -x "$1" ]; }; then remedy_found=odd; return; fi
  fi
  [ -e "$1/$2" ] || [ -L "$1/$2" ] || return
  remedy_found=odd
  if [ -L "$1/$2" ] || ! { [ -d "$1/$2" ] && [ -r "$1/$2" ] && [ -x "$1/$2" ]; }; then return; fi
  remedy_read "$1/$2/start" || return
  remedy_from=${remedy_text%%"$remedy_nl"*}
  case $remedy_from in "boot_id "*) remedy_from=${remedy_from#boot_id };; *) return;; esac
  case $remedy_from in ''|*[!0-9a-f-]*) return;; esac
  remedy_read_end "$1/$2" && return
  remedy_look_alive "$1/$2"
  remedy_read_end "$1/$2" && return
  remedy_found="started $remedy_from - $remedy_alive"
}
remedy_marker() {
  remedy_look "$remedy_directory" "$2"
  if [ "$remedy_found" = 'absent - - -' ] && [ -n "$remedy_other" ]; then remedy_look "$remedy_other" "$2"; fi
  remedy_say "marker $1 $remedy_found"
}
remedy_say_both "started $remedy_boot"
remedy_up=-
if remedy_process 1; then
  remedy_init=${remedy_born#* }
  if remedy_process self; then remedy_up=$(((${remedy_born#* } - remedy_init) / 100)); fi
fi
remedy_other=
if [ "$(id -u)" = 0 ]; then
  remedy_directory=/run/remedy
  remedy_say "reader root $remedy_up"
else
  remedy_directory=${HOME:-/nonexistent}/.local/state/remedy
  if [ -n "${XDG_RUNTIME_DIR-}" ]; then remedy_other=$XDG_RUNTIME_DIR/remedy; fi
  remedy_say "reader user $remedy_up"
fi
"""


def marker_payload(execution_ids: Sequence[str], *, nonce: str) -> bytes:
    """
    Return the payload that reads the markers of these executions.

    A plain user's are looked for in both places where a fix may leave them, for
    one login has a runtime directory and the next one has none.

    Raises:
        ValueError: more than MARKERS_MAX, or one that is no execution id.
    """
    for execution_id in execution_ids:
        if not is_execution_id(execution_id):
            raise ValueError(f"{execution_id!r} is no execution id")
    if len(execution_ids) > MARKERS_MAX:
        raise ValueError(f"more than {MARKERS_MAX} markers at once")
    asked = "".join(f"remedy_marker {index} {each}\n" for index, each in enumerate(execution_ids))
    return filled(COMMON + PROCESS, nonce=nonce) + _MARKERS + asked.encode("ascii") + b"remedy_say_both done\n"


def boot_id_of(text: str | None) -> str | None:
    """Return a boot id as Linux writes it; None for anything else."""
    return text if text is not None and _BOOT_ID.fullmatch(text) else None


def marker_of(marks: Sequence[Mark], index: int) -> Marker:
    """Return what a payload said of the index-th marker; odd unless it said one thing of it that can be."""
    said = {" ".join(mark[2:]) for mark in marks if mark[:2] == ("marker", str(index))}
    found = _FOUND.fullmatch(said.pop()) if len(said) == 1 else None
    if found is None:
        return Marker(state=MarkerState.ODD)
    state, words = MarkerState(found["state"]), found.groupdict()
    if (state is MarkerState.ENDED) is not (words["exit_code"] is not None):
        return Marker(state=MarkerState.ODD)
    return Marker(
        state=state,
        boot_id=boot_id_of(words["boot_id"]),
        exit_code=None if words["exit_code"] is None else int(words["exit_code"]),
        over=None if words["over"] is None else words["over"] == "1",
        is_alive=_ALIVE[words["is_alive"]] if state is MarkerState.STARTED else None,
    )


_ALIVE: Mapping[str, bool | None] = {"yes": True, "no": False, "-": None}


def reader_of(marks: Sequence[Mark]) -> tuple[bool, int | None]:
    """Return whether the payload looked as root, and for how many seconds the system has been up, if it said so."""
    for mark in marks:
        match mark:
            case ("reader", "root" | "user" as who, up_s):
                return who == "root", int(up_s) if _UP_S.fullmatch(up_s) else None
    return False, None
