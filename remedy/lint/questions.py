"""Calls that wait for a person, in either language: why each does, and what to write instead."""

from collections.abc import Mapping
from dataclasses import dataclass

from remedy.lint.calls import HOLE, Call

__all__ = ["TAKE_A_PARAMETER", "Question", "question_of"]

TAKE_A_PARAMETER = "take a parameter instead"
_WRITE_FILE = "change the file with a command that asks nothing, such as sed -i"
_ONCE = "use a command that prints and ends"
_EDITORS = {"vi", "vim", "nvim", "view", "nano", "emacs", "pico", "ed", "joe", "mcedit", "visudo", "vipw", "vigr"}
_PAGERS = {"less", "more", "most", "man", "htop", "atop", "dialog", "whiptail", "cfdisk", "alsamixer", "nmtui", "menu"}
_INSTALLERS = {
    "apt": ("-y", "--yes", "--assume-yes", "-qq", "-s", "--simulate", "--dry-run", "--just-print", "--print-uris"),
    "apt-get": ("-y", "--yes", "--assume-yes", "-qq", "-s", "--simulate", "--dry-run", "--just-print", "--print-uris"),
    "aptitude": ("-y", "--assume-yes", "-s"),
    "yum": ("-y", "--assumeyes", "--assumeno"),
    "dnf": ("-y", "--assumeyes", "--assumeno"),
    "microdnf": ("-y", "--assumeyes", "--assumeno"),
    "zypper": ("-n", "--non-interactive", "-y", "--no-confirm"),
    "pacman": ("--noconfirm",),
    "pkg": ("-y", "--yes"),
}
_CHANGES = {"install", "remove", "purge", "upgrade", "dist-upgrade", "full-upgrade", "autoremove", "erase", "update"}
_CHANGES |= {"reinstall", "downgrade", "distro-sync", "build-dep", "in", "rm", "up", "dup", "groupinstall"}
_ASKING_NOTHING = {"apt": {"update"}, "apt-get": {"update"}, "aptitude": {"update"}, "pkg": {"update"}}
_PASSWD_QUIET = (
    *("-l", "-u", "-d", "-e", "-S", "-x", "-n", "-w", "-i", "--lock", "--unlock", "--delete", "--expire"),
    *("--status", "--stdin", "--maxdays", "--mindays", "--warndays", "--inactive", "-a", "--all"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Why a call waits for a person, and the cure of just that call."""

    why: str
    cure: str


def _question(why: str, cure: str) -> Question:
    return Question(why=why, cure=cure)


_ALWAYS: Mapping[str, Question] = {
    **{name: _question("is an editor", _WRITE_FILE) for name in _EDITORS},
    **{name: _question("needs a terminal", _ONCE) for name in _PAGERS},
    "mysql_secure_installation": _question("asks questions", "run the statements that it would run with mysql -e"),
    "watch": _question("never ends", "run what it watches, once"),
    "read-host": _question("waits for a person", TAKE_A_PARAMETER),
    "pause": _question("waits for a person", "leave it out"),
    "get-credential": _question("waits for a person", "leave it out: the script runs with the login of remedy"),
    "out-gridview": _question("waits for a person", "print it with Out-String"),
    "notepad": _question("waits for a person", "write the file with Set-Content"),
    "mmc": _question("waits for a person", "use the cmdlets for what is changed there"),
}
_FIRST = {"visudo": "write a file and check it with visudo -c", "vipw": "use usermod", "vigr": "use groupmod"}
_PARTITIONS = {"fdisk": "use sfdisk", "gdisk": "use sgdisk", "parted": "use parted -s"}


def question_of(call: Call) -> Question | None:
    """Return why a call waits for a person and the cure; None when it does not."""
    installer = _INSTALLERS.get(call.name)
    if installer is not None:
        asks, why, cure = (
            _installs(call, installer),
            "asks before it changes anything",
            f"use {call.name} {installer[0]}",
        )
        return _question(why, cure) if asks else None
    match call.name:
        case "visudo" if call.has("-c", "--check"):
            return None
        case "visudo" | "vipw" | "vigr":
            return _question("is an editor", _FIRST[call.name])
        case "passwd":
            is_quiet = call.has(*_PASSWD_QUIET) or call.has("--help", "-h")
            return None if is_quiet else _question("asks for a password", "use passwd -l to lock, chpasswd to set it")
        case "crontab":
            return _question("is an editor", "give it a file: crontab FILE") if call.has("-e") else None
        case "systemctl":
            edits = call.operands[:1] == ("edit",) and not call.has("--stdin")
            return _question("is an editor", "use systemctl edit --stdin, or write a drop-in file") if edits else None
        case "top":
            is_quiet = call.has("-b", "--batch-mode", "--batch")
            return None if is_quiet else _question("needs a terminal", "use top -b -n 1")
        case "fdisk" | "parted" | "gdisk":
            is_quiet = call.has("-l", "-s", "--list", "--script", "-x") or len(call.words) > 2
            return None if is_quiet else _question("asks what to do", _PARTITIONS[call.name])
        case "adduser":
            cure = "use useradd, or adduser --disabled-password --gecos ''"
            return None if _adds_quietly(call) else _question("asks questions", cure)
        case "tail" | "journalctl":
            ends = "timeout" in call.via or not _follows(call)
            return None if ends else _question("never ends", "leave out -f, or begin with timeout N")
        case "choice" | "regedit":
            cure = "use choice /t N /d ANSWER" if call.name == "choice" else "use regedit /s"
            return None if _answered(call) else _question("waits for a person", cure)
        case _:
            return _ALWAYS.get(call.name)


def _adds_quietly(call: Call) -> bool:
    return call.has("--disabled-password", "--disabled-login", "--system", "-S", "-D") or len(call.operands) > 1


def _follows(call: Call) -> bool:
    return call.has("-f", "--follow", "-F") and not any(text.startswith("--pid") for text in call.texts)


def _answered(call: Call) -> bool:
    words = tuple(text.casefold() for text in call.texts)
    if call.name == "choice":
        return any(word.startswith(("/d", "-d")) for word in words)
    if call.name == "regedit":
        return any(word in ("/s", "-s") for word in words)
    return False


def _installs(call: Call, quiet: tuple[str, ...]) -> bool:
    if not call.is_known and any(HOLE in text and not text.strip(HOLE) for text in call.texts):
        return False  # The options may be in that variable.
    if call.name == "pacman":
        acts = any(text.startswith("-") and text[1:2] in ("S", "R", "U") for text in call.texts)
        looks = any(text[:3] in ("-Ss", "-Si", "-Sg", "-Sl", "-Sc", "-Sp") and text != "-Scc" for text in call.texts)
        return acts and not looks and not call.has(*quiet)
    verb = next(iter(call.operands), "")
    if verb not in _CHANGES or verb in _ASKING_NOTHING.get(call.name, ()):
        return False
    return not call.has(*quiet)
