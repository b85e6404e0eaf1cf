"""
The made-up root of a cage: what of this machine is shown in it, and the script that prepares the rest.

Shown, and read-only, are the folders of programs and libraries. They lie below
/.host; the places where programs are looked for hold links to the usual ones only,
so that a test finds the same programs on every machine. All else is made.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from remedy.cage import CageJob, EntryKind, Prepared
from remedy_runners.pieces import quoted

__all__ = ["PROGRAM_FOLDERS", "SHOWN", "TOOLS_PATH", "USUAL_PROGRAMS", "Root", "RootMissing", "build_root"]

SHOWN = "/.host"
"""Where this machine's folders of programs lie in a cage."""

PROGRAM_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where programs are looked for, as the loader does."""

TOOLS_PATH = ":".join(f"{SHOWN}{folder}" for folder in PROGRAM_FOLDERS)
"""Where the cage's own first process looks for programs; no stand-in is there."""

_COREUTILS = """
[ arch b2sum base32 base64 basename cat chgrp chmod chown cksum comm cp csplit cut date dd df dir dircolors dirname du
echo env expand expr factor false fmt fold head hostid id install join link ln logname ls md5sum mkdir mkfifo mknod
mktemp mv nice nl nohup nproc numfmt od paste pathchk pr printenv printf pwd readlink realpath rm rmdir seq sha1sum
sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat stdbuf stty sum sync tac tail tee test timeout
touch tr true truncate tsort tty uname unexpand uniq unlink users vdir wc who whoami yes
"""
_OTHERS = """
sh bash dash rbash python3 find xargs grep egrep fgrep sed awk mawk gawk original-awk tar gzip gunzip zcat cmp diff
flock setsid getopt logger renice prlimit rev column hexdump mountpoint mcookie uuidgen namei
ps pgrep pkill kill free uptime pidof getent iconv locale hostname which
"""
USUAL_PROGRAMS = frozenset((_COREUTILS + _OTHERS).split())
"""What a script finds without naming it, as far as this machine has it: coreutils, and what every Linux has beside."""

_TOPS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix")
# Of /usr and /usr/local; what else lies there may be somebody's data, or a pipe into a program that runs.
_PARTS = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "share"})
_FOLDERS: Mapping[str, str] = {
    "/boot": "755",
    "/calls": "1777",
    "/etc": "755",
    "/home": "755",
    "/home/remedy": "700",
    "/mnt": "755",
    "/opt": "755",
    "/root": "700",
    "/run": "755",
    "/run/lock": "1777",
    "/run/user": "755",
    "/run/user/1000": "700",
    "/srv": "755",
    "/sys": "755",
    "/tmp": "1777",  # noqa: S108 - of the cage.
    "/var": "755",
    "/var/cache": "755",
    "/var/lib": "755",
    "/var/log": "755",
    "/var/spool": "755",
    "/var/tmp": "1777",  # noqa: S108 - of the cage.
}
_FILES: Mapping[str, str] = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nremedy:x:1000:1000:remedy:/home/remedy:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nremedy:x:1000:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
}
_LINKS: Mapping[str, str] = {"/var/run": "/run", "/var/lock": "/run/lock"}
_LINKS_AT_ONCE = 1000
# Where the kernel or the cage makes what is there; a test cannot put a file into a folder of these.
_KERNEL = ("/dev", SHOWN)
_SHARED_MEMORY = "/dev/shm/"  # noqa: S108 - of the cage.


class RootMissing(Exception):
    """This machine cannot give what the root needs; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """
    How to make a root: bubblewrap's words, and the shell script that prepares the rest once it is up.

    `proc_files` are files below /proc, of which the kernel makes the folders: they are mounted over, by their path.
    """

    words: tuple[str, ...]
    script: bytes
    proc_files: Mapping[str, bytes]


def build_root(job: CageJob, *, host: Path = Path("/")) -> Root:
    """
    Return the root of a job; `host` is this machine's root.

    Raises:
        RootMissing: a program that the job names is not on this machine, or a path that cannot be prepared.
    """
    maker = _Maker(job, host)
    return maker.root()


class _Maker:
    """Finds out what of this machine is shown where, and what is made."""

    def __init__(self, job: CageJob, host: Path) -> None:
        self._job = job
        self._host = host
        self._tops = [top for top in _TOPS if (host / top).is_dir()]
        self._links = {f"/{top}": str((host / top).readlink()) for top in self._tops if (host / top).is_symlink()}
        self._shown = [f"/{top}" for top in self._tops if f"/{top}" not in self._links]
        self._hidden = [*self._others("/usr", _PARTS | {"local"}), *self._others("/usr/local", _PARTS)]

    def _others(self, folder: str, parts: frozenset[str]) -> list[str]:
        place = self._host / folder[1:]
        if place.is_symlink() or not place.is_dir():
            return []
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        return [f"{folder}/{entry.name}" for entry in entries if entry.name not in parts and not entry.is_symlink()]

    def _is_hidden(self, path: str) -> bool:
        return any(path == hidden or path.startswith(f"{hidden}/") for hidden in self._hidden)

    def root(self) -> Root:
        """Return words and script."""
        prepared = [self._canonical(each) for each in self._job.files]
        in_proc = {each.path: each.text for each in prepared if each.path.startswith("/proc/")}
        prepared = [each for each in prepared if each.path not in in_proc]
        for each in prepared:
            is_made = any(each.path == place or each.path.startswith(f"{place}/") for place in (*_KERNEL, "/proc"))
            if is_made and not each.path.startswith(_SHARED_MEMORY):
                raise RootMissing(
                    f"{each.path} cannot be prepared: the kernel, or the cage itself, makes what is there"
                )
        programs = self._programs()
        stand_ins = {f"/usr/bin/{name}": text for name, text in self._job.programs.items()}
        made = set(stand_ins) | {each.path for each in prepared}
        opened = self._opened(made)
        lines = [b"set -e\numask 022"]
        lines += self._opened_lines(opened, made)
        lines += _linked_lines({path: target for path, target in programs.items() if path not in made})
        lines += _skeleton_lines()
        lines += [
            _file_line(path, self._stand_in(path) + text.encode("utf-8") + b"\n", mode=0o755)
            for path, text in sorted(stand_ins.items())
        ]
        lines += _prepared_lines(prepared)
        return Root(words=self._words(opened), script=b"\n".join(lines) + b"\n", proc_files=in_proc)

    def _canonical(self, prepared: Prepared) -> Prepared:
        path = prepared.path
        for short, target in self._links.items():
            if path.startswith(f"{short}/"):
                path = str(PurePosixPath("/", target)) + path[len(short) :]
        for short, target in _LINKS.items():
            if path.startswith(f"{short}/"):
                path = target + path[len(short) :]
        if path == prepared.path:
            return prepared
        return Prepared(
            path=path,
            kind=prepared.kind,
            text=prepared.text,
            size=prepared.size,
            target=prepared.target,
            mode=prepared.mode,
            age_s=prepared.age_s,
        )

    def _programs(self) -> dict[str, str]:
        """Return where in the cage each program is, and what it is there a link to."""
        wanted = (USUAL_PROGRAMS | set(self._job.needed)) - set(self._job.without) - set(self._job.programs)
        found: dict[str, str] = {}
        names = set()
        for folder in PROGRAM_FOLDERS:
            if not self._is_itself(folder):
                continue
            for name in sorted(wanted):
                real = self._real(f"{folder}/{name}")
                if real is not None:
                    found[f"{folder}/{name}"] = SHOWN + real
                    names.add(name)
        missing = sorted(set(self._job.needed) - names)
        if missing:
            raise RootMissing(f"this machine has no {missing[0]}; install it, or give the case a stand-in for it")
        return found

    def _stand_in(self, path: str) -> bytes:
        """Return how a stand-in begins: it knows where the real program is, as far as this machine has it."""
        name = path.rpartition("/")[2]
        real = next(filter(None, (self._real(f"{folder}/{name}") for folder in PROGRAM_FOLDERS)), None)
        return b"#!/bin/sh\n" + (b"real=" + _words([SHOWN + real]) + b"\n" if real else b"")

    def _is_itself(self, folder: str) -> bool:
        """Say whether a folder is there, and is reached through no link: /sbin is often /usr/bin once more."""
        place = self._host / folder[1:]
        return place.is_dir() and place.resolve() == self._host.resolve() / folder[1:]

    def _real(self, path: str) -> str | None:
        place = self._host / path[1:]
        if not os.access(place, os.X_OK) or place.is_dir():
            return None
        real = "/" + str(place.resolve().relative_to(self._host.resolve()))
        is_shown = any(real.startswith(f"{top}/") for top in self._shown) and not self._is_hidden(real)
        return real if is_shown else None

    def _opened(self, made: set[str]) -> list[str]:
        """Return the folders of programs and libraries that are made anew in the cage, parents first."""
        opened = {"/usr", "/usr/bin", "/usr/local", *filter(self._is_itself, PROGRAM_FOLDERS)}
        for path in made:
            parents = [str(parent) for parent in PurePosixPath(path).parents]
            opened |= {parent for parent in parents if self._is_shown(parent)}
        return sorted(folder for folder in opened if not (self._host / folder[1:]).is_symlink())

    def _is_shown(self, path: str) -> bool:
        return any(path == top or path.startswith(f"{top}/") for top in self._shown)

    def _opened_lines(self, opened: Sequence[str], made: set[str]) -> list[bytes]:
        lines = [b"mkdir -p -m 755 -- " + _words(opened)]
        for folder in opened:
            if folder in PROGRAM_FOLDERS:
                continue
            place = self._host / folder[1:]
            names = sorted(entry.name for entry in os.scandir(place)) if place.is_dir() else []
            # What lies in /usr itself bubblewrap has linked, for without its libraries no program starts.
            shown = [
                name
                for name in names
                if folder != "/usr"
                and f"{folder}/{name}" not in made
                and f"{folder}/{name}" not in opened
                and not self._is_hidden(f"{folder}/{name}")
            ]
            lines += _linked_lines({f"{folder}/{name}": self._target(folder, name, opened) for name in shown})
        return lines

    def _target(self, folder: str, name: str, opened: Sequence[str]) -> str:
        """Return where the link for something in an opened folder leads: a link to an opened one stays as it is."""
        place = self._host / folder[1:] / name
        if place.is_symlink():
            real = "/" + os.path.relpath(place.resolve(), self._host.resolve())
            if real in opened:
                return real
        return f"{SHOWN}{folder}/{name}"

    def _words(self, opened: Sequence[str]) -> tuple[str, ...]:
        words: list[str] = []
        for top in self._shown:
            words += ["--ro-bind", top, f"{SHOWN}{top}"]
        for hidden in self._hidden:
            place = f"{SHOWN}{hidden}"
            if (self._host / hidden[1:]).is_dir():
                words += ["--size", "4096", "--tmpfs", place, "--remount-ro", place]
            else:
                words += ["--ro-bind", "/dev/null", place]
        for top, target in self._links.items():
            words += ["--symlink", target, top]
            words += ["--symlink", f"{SHOWN}{target}" if target.startswith("/") else target, f"{SHOWN}{top}"]
        for top in self._shown:
            if top not in opened:
                words += ["--symlink", f"{SHOWN}{top}", top]
        words += ["--perms", "0755", "--dir", "/usr"]
        for entry in sorted(os.scandir(self._host / "usr"), key=lambda entry: entry.name):
            path = f"/usr/{entry.name}"
            if path not in opened and not self._is_hidden(path):
                words += ["--symlink", self._target("/usr", entry.name, opened), path]
        return tuple(words)


def _words(words: Sequence[str]) -> bytes:
    return b" ".join(quoted(os.fsencode(word)) for word in words)


def _linked_lines(links: Mapping[str, str]) -> list[bytes]:
    """Return lines that make links; those into one folder under their targets' names by one command."""
    lines = []
    together: dict[str, list[str]] = {}
    for path, target in sorted(links.items()):
        folder, _, name = path.rpartition("/")
        if target.rpartition("/")[2] == name:
            together.setdefault(folder, []).append(target)
        else:
            lines.append(b"ln -s -- " + _words([target, path]))
    for folder, targets in together.items():
        lines += [
            b"ln -s -t " + _words([folder]) + b" -- " + _words(targets[start : start + _LINKS_AT_ONCE])
            for start in range(0, len(targets), _LINKS_AT_ONCE)
        ]
    return lines


def _skeleton_lines() -> list[bytes]:
    by_mode: dict[str, list[str]] = {}
    for path, mode in _FOLDERS.items():
        by_mode.setdefault(mode, []).append(path)
    lines = [b"mkdir -p -- " + _words(list(_FOLDERS))]
    lines += [b"chmod " + mode.encode() + b" -- " + _words(paths) for mode, paths in by_mode.items()]
    lines += [b"ln -s -- " + _words([target, path]) for path, target in _LINKS.items()]
    lines += [_file_line(path, text.encode()) for path, text in _FILES.items()]
    return lines


def _file_line(path: str, text: bytes, *, size: int = 0, mode: int | None = None) -> bytes:
    at = _words([path])
    line = b"printf %s " + quoted(text) + b" >" + at if text else b"true >" + at
    if size > len(text):
        line += b"\nhead -c %d /dev/zero >>" % (size - len(text)) + at
    if mode is not None:
        line += b"\nchmod %o -- " % mode + at
    return line


def _prepared_lines(prepared: Sequence[Prepared]) -> list[bytes]:
    """Return lines that make what the test names; ages last, for each file made changes its folder's."""
    parents = sorted({str(PurePosixPath(each.path).parent) for each in prepared})
    lines = [b"mkdir -p -- " + _words(parents)] if parents else []
    for each in sorted(prepared, key=lambda each: each.path):
        at = _words([each.path])
        match each.kind:
            case EntryKind.FOLDER:
                mode = 0o755 if each.mode is None else each.mode
                lines.append(b"mkdir -p -- " + at + b"\nchmod %o -- " % mode + at)
            case EntryKind.LINK:
                lines.append(b"ln -s -- " + _words([each.target, each.path]))
            case _:
                lines.append(_file_line(each.path, each.text, size=each.size, mode=each.mode))
    aged = sorted((each for each in prepared if each.age_s), key=lambda each: each.path, reverse=True)
    lines += [b'touch -h -d "@$((remedy_began - %d))" -- ' % each.age_s + _words([each.path]) for each in aged]
    return lines
