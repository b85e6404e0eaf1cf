"""
The texts of a cage: bubblewrap's words, and the shell script that is the cage's first process. Pure.

Descriptors of the first process: 0 orders, 1 and 2 the output of the script under
test, 3 its own answers, 4 what lies on the disk, as tar has it.
"""

from collections.abc import Mapping, Sequence

from remedy_runners.sandbox_root import PROGRAM_FOLDERS, SHOWN, TOOLS_PATH

__all__ = [
    "CAPABILITIES",
    "HOME",
    "LEFT_S",
    "MEMORY_BYTES_MAX",
    "PROCESSES_MAX",
    "ROOT_BYTES",
    "bubblewrap_words",
    "first_process",
    "limit_words",
    "probed_places",
]

ROOT_BYTES = 128 * 1024**2
"""The made-up root holds so much."""

MEMORY_BYTES_MAX = 2 * 1024**3
"""Each process may have so much data of its own."""

PROCESSES_MAX = 512
"""So many processes and threads there may be in a cage."""

HOME: Mapping[bool, str] = {True: "/root", False: "/home/remedy"}
"""The home of the cage's one user, by whether it is root there."""

CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID")
"""What root may do in a cage: as it likes with the files of the made-up root."""

LEFT_S = 1.0
"""What a script left running may take so long to end by itself; then it was left behind."""

_LEFT_ROUND_S = 0.02
_LEFT_CHARACTERS_MAX = 200
_FILE_BYTES_MAX = 256 * 1024**2
_SHARED_BYTES = 16 * 1024**2
_UID = {True: "0", False: "1000"}

# What was left running is given time to end by itself, then named, then ended: before
# anybody looks at the disk, and before the answers `ran`, until nobody is there, for a
# killed process may still be at work. Left are all but those of the first process's own
# group, which are the loader's own: a script has another one. A crowd is not waited for,
# because the shell could not start another `sleep` beside it; nor is what held the
# output open until TERM came, for that was waited for already.
_FIRST_PROCESS = r"""
LC_ALL=C; export LC_ALL
exec 5<&0 </dev/null
say() { printf '%s\n' "$1" >&3; }
end_all() {
  kill -KILL -1
  set -- /proc/[0-9]*
  while [ $# -gt 1 ]; do sleep 0.005; kill -KILL -1; set -- /proc/[0-9]*; done
} 2>/dev/null
find_left() {
  left= crowd=
  set -- /proc/[0-9]*
  if [ $# -gt @CROWD@ ]; then crowd=1; fi
  for process in "$@"; do
    name= state= group=
    while IFS=':	' read -r key value; do
      case $key in
        Name) name=$value;;
        State) state=${value%% *};;
        NSpgid) group=$value; break;;
      esac
    done <"$process/status"
    case $state:$group in :*|[ZX]:*|*:1) ;; *) left="$left	$name";; esac
    if [ "${#left}" -gt @LEFT_CHARACTERS@ ]; then return; fi
  done
} 2>/dev/null
wait_for_left() {
  rounds=0
  find_left
  while [ -n "$left" ] && [ -z "$crowd$waited" ] && [ "$rounds" -lt @LEFT_ROUNDS@ ]; do
    sleep @LEFT_ROUND_S@
    rounds=$((rounds + 1))
    find_left
  done
}
trap waited=1 TERM
prlimit --nproc=@PROCESSES@:@PROCESSES@ --pid $$ || { say 'lost its limit of processes'; exit 1; }
holes=
for place in "$@"; do
  case $place in
    */) if (true >"$place.remedy-test") 2>/dev/null; then holes="$holes $place"; fi;;
    *) if [ -w "$place" ]; then holes="$holes $place"; fi;;
  esac
done
say "ready$holes"
{ IFS= read -r word <&5 && [ "$word" = go ]; } || exit 1
remedy_began=$(date +%s)
while IFS=' ' read -r word size <&5; do
  case $word in
    prepare)
      text=$(head -c "$size" <&5)
      (eval "$text") </dev/null >&2 3>&- 4>&- 5<&-
      say "prepared $?";;
    run)
      IFS= read -r command <&5
      waited=
      env -i HOME="$HOME" USER="$USER" LOGNAME="$USER" SHELL=/bin/sh \
        ${XDG_RUNTIME_DIR:+XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR"} \
        PATH=@PATH@ sh -c "$command" <&5 3>&- 4>&- 5<&- &
      wait "$!"
      wait_for_left
      end_all
      say "ran$left";;
    look)
      tar --create --format=pax --one-file-system --numeric-owner --anchored --no-wildcards --atime-preserve=system \
        --exclude=./.host --exclude=./dev --exclude=./proc --exclude=./etc/ld.so.cache \
        --directory=/ --file=- -- . dev/shm @VOLUMES@ >&4
      say "looked $?";;
    *) exit 1;;
  esac
done
"""


def first_process(volumes: Sequence[str]) -> str:
    """Return the script of the first process; `volumes` are mount points to look at beside the root."""
    looked_at = " ".join(_quoted(f".{volume}") for volume in volumes)
    values = {
        "PROCESSES": str(PROCESSES_MAX),
        "PATH": ":".join(PROGRAM_FOLDERS),
        "CROWD": str(PROCESSES_MAX // 4),
        "LEFT_CHARACTERS": str(_LEFT_CHARACTERS_MAX),
        "LEFT_ROUND_S": str(_LEFT_ROUND_S),
        "LEFT_ROUNDS": str(round(LEFT_S / _LEFT_ROUND_S)),
        "VOLUMES": looked_at,
    }
    text = _FIRST_PROCESS
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def limit_words(*, uid: int | None, core_bytes: int) -> tuple[str, ...]:
    """
    Return the words before bubblewrap's: another user when uid is given, and limits.

    A core of one byte is never written, nor given to a program that core_pattern
    names, which would hear of one of 0 bytes. Source: core(5), do_coredump() of Linux.
    """
    user = () if uid is None else (f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    limits = (
        f"--core={core_bytes}:{core_bytes}",
        f"--data={MEMORY_BYTES_MAX}:{MEMORY_BYTES_MAX}",
        f"--fsize={_FILE_BYTES_MAX}:{_FILE_BYTES_MAX}",
        "--nofile=1024:1024",
        "--memlock=65536:65536",
        "--msgqueue=0:0",
    )
    return ("setpriv", "--no-new-privs", *user, "choom", "-n", "1000", "--", "prlimit", *limits)


def bubblewrap_words(
    root: Sequence[str],
    *,
    as_root: bool,
    host: str,
    volumes: Mapping[str, int],
    proc_files: Mapping[str, int],
    seccomp_fd: int,
    info_fd: int,
) -> tuple[str, ...]:
    """Return the options of bubblewrap; `root` are those that show programs, `proc_files` descriptors by path."""
    words = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    words += ["--unshare-cgroup-try", "--disable-userns", "--uid", _UID[as_root], "--gid", _UID[as_root]]
    words += ["--hostname", host, "--as-pid-1", "--die-with-parent", "--new-session", "--clearenv"]
    user = "root" if as_root else "remedy"
    given = {"PATH": TOOLS_PATH, "HOME": HOME[as_root], "USER": user}
    given["XDG_RUNTIME_DIR"] = "" if as_root else "/run/user/1000"
    for name, value in given.items():
        words += ["--setenv", name, value]
    words += ["--cap-drop", "ALL"]
    for capability in CAPABILITIES if as_root else ():
        words += ["--cap-add", capability]
    words += ["--size", str(ROOT_BYTES), "--tmpfs", "/", *root]
    words += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--proc", "/proc"]
    for path, descriptor in proc_files.items():
        words += ["--ro-bind-data", str(descriptor), path]
    words += ["--remount-ro", "/proc", "--dev", "/dev"]
    words += ["--perms", "1777", "--size", str(_SHARED_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108 - of the cage.
    words += ["--remount-ro", "/dev"]
    for path, size in volumes.items():
        words += ["--perms", "0755", "--size", str(size), "--tmpfs", path]
    return (*words, "--chdir", "/", "--seccomp", str(seccomp_fd), "--info-fd", str(info_fd))


def probed_places() -> tuple[str, ...]:
    """Return where the first process tries to write, in vain; a folder ends with a slash."""
    shown = tuple(f"{SHOWN}{folder}/" for folder in ("/usr", "/bin", "/lib"))
    return (*shown, "/proc/sys/kernel/hostname", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger")
