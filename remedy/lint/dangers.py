"""Calls that no script of a rule should make, in either language: restarts, network resets, lost backups, questions."""

from collections.abc import Callable, Iterator

from remedy.lint.calls import HOLE, Call
from remedy.lint.drafts import Draft, shown

__all__ = ["call_findings"]

_POWER = {"reboot", "halt", "poweroff", "restart-computer", "stop-computer"}
_POWER_UNITS = {"reboot", "poweroff", "halt", "kexec", "soft-reboot", "suspend", "hibernate", "hybrid-sleep"}
_POWER_UNITS |= {"suspend-then-hibernate", "reboot.target", "poweroff.target", "rescue", "emergency"}
_NETWORK_UNITS = ("network", "networking", "networkmanager", "systemd-networkd", "network-manager", "wicked", "netplan")
_EDITORS = {"vi", "vim", "nvim", "view", "nano", "emacs", "pico", "ed", "joe", "mcedit", "visudo", "vipw", "vigr"}
_PAGERS = {"less", "more", "most", "man", "htop", "atop", "dialog", "whiptail", "cfdisk", "alsamixer", "nmtui", "menu"}
_ADAPTERS = {"disable-netadapter", "restart-netadapter", "remove-netipaddress", "remove-netroute", "reset-netadapter"}
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


def call_findings(call: Call, *, has_input: bool) -> Iterator[Draft]:
    """Yield what is wrong with a call by itself; `has_input` says that it reads a pipe or a file."""
    for code, look in _LOOKS:
        if look(call):
            yield Draft(node=call.node, code=code, detail=_words(call))
    if not has_input and (why := _asks(call)):
        yield Draft(node=call.node, code="R301", detail=f"{_words(call)} {why}")


def _words(call: Call) -> str:
    return shown(call.node.text)


def _folded(call: Call) -> tuple[str, ...]:
    return tuple(text.casefold() for text in call.texts)


def _restarts(call: Call) -> bool:
    words = _folded(call)
    match call.name:
        case "shutdown":
            # -c and /a take a shutdown back, -k and /? only say something, /l signs somebody off.
            return not any(word in ("-c", "/a", "-a", "-k", "/?", "/l", "-l", "--help", "--show") for word in words)
        case "init" | "telinit":
            return call.operands[:1] in (("0",), ("6",))
        case "systemctl" | "loginctl":
            return call.operands[:1] != () and (
                call.operands[0] in _POWER_UNITS or (call.operands[0] in ("isolate", "start") and _is_power_unit(words))
            )
        case "kexec":
            return call.has("-e", "--exec")
        case "rundll32":
            return any("exitwindows" in word for word in words)
        case "wmic":
            return "os" in words and any(word in ("reboot", "shutdown", "win32shutdown") for word in words)
        case "invoke-cimmethod" | "invoke-wmimethod":
            return any(word in ("reboot", "shutdown", "win32shutdown", "win32shutdowntracker") for word in words)
        case _:
            return call.name in _POWER and not any(word in ("--help", "--version", "-w") for word in words)


def _is_power_unit(words: tuple[str, ...]) -> bool:
    return any(word in ("reboot.target", "poweroff.target", "halt.target", "shutdown.target") for word in words)


def _resets_network(call: Call) -> bool:
    words = _folded(call)
    match call.name:
        case "ip":
            return _ip_cuts(words)
        case "ifdown" | "dhclient" | "ifconfig":
            return _interface_goes(call, words)
        case "nmcli":
            return any(word in ("off", "down", "disconnect", "delete") for word in words[1:4])
        case "netplan":
            return words[:1] == ("apply",)
        case "systemctl":
            return _unit_cut(call.operands, verb_first=True)
        case "service" | "rc-service" | "invoke-rc.d":
            return _unit_cut(call.operands, verb_first=False)
        case "networking" | "network":
            return words[:1] in (("restart",), ("stop",))
        case "iptables" | "ip6tables" | "ebtables" | "arptables":
            return any(word in ("-F", "--flush", "-X") for word in call.texts)
        case "nft":
            return words[:2] == ("flush", "ruleset")
        case "ufw":
            return any(word in ("reset", "enable", "disable") for word in words[:2])
        case "firewall-cmd":
            return "--panic-on" in words
        case "netsh":
            return "reset" in words or any(word in ("disabled", "admin=disabled", "disable") for word in words)
        case "ipconfig":
            return any(word.startswith(("/release", "-release")) for word in words)
        case "stop-service" | "restart-service" | "net" | "sc":
            return _windows_service_cut(call.name, words)
        case _:
            return call.name in _ADAPTERS


def _ip_cuts(words: tuple[str, ...]) -> bool:
    plain = [word for word in words if not word.startswith("-")]
    if not plain:
        return False
    what = plain[0]
    if "link".startswith(what) and plain[1:2] == ["set"]:
        return "down" in plain
    if what in ("a", "addr", "address", "r", "ro", "route"):
        return plain[1:2] == ["flush"] or plain[1:3] in (["del", "default"], ["delete", "default"])
    return False


def _interface_goes(call: Call, words: tuple[str, ...]) -> bool:
    if call.name == "dhclient":
        return "-r" in words
    return call.name == "ifdown" or words[-1:] == ("down",)


def _unit_cut(operands: tuple[str, ...], *, verb_first: bool) -> bool:
    if len(operands) < 2:
        return False
    verbs, units = (operands[:1], operands[1:]) if verb_first else (operands[1:2], operands[:1])
    if verbs[0] not in ("restart", "stop", "kill", "try-restart", "force-reload", "disable", "mask"):
        return False
    names = [unit.casefold().removesuffix(".service") for unit in units]
    if any(name in _NETWORK_UNITS for name in names):
        return True
    return verbs[0] in ("stop", "kill", "disable", "mask") and any(name in ("ssh", "sshd", "openssh") for name in names)


def _windows_service_cut(name: str, words: tuple[str, ...]) -> bool:
    if name in ("net", "sc") and words[:1] != ("stop",):
        return False
    return any(word.strip("'\"") in ("winrm", "sshd", "dhcp", "nlasvc", "netprofm", "mpssvc", "bfe") for word in words)


def _deletes_backups(call: Call) -> bool:
    words = _folded(call)
    match call.name:
        case "vssadmin":
            return words[:1] in (("delete",), ("resize",))
        case "wbadmin":
            return words[:1] == ("delete",)
        case "wmic":
            return "shadowcopy" in words and "delete" in words
        case "diskshadow":
            return "delete" in words
        case "bcdedit":
            return "recoveryenabled" in words and words[-1:] in (("no",), ("off",), ("false",), ("0",))
        case "get-wmiobject" | "get-ciminstance" | "gwmi" | "gcim":
            return any("win32_shadowcopy" in word for word in words) and _is_deleted(call)
        case _:
            return call.name in ("remove-wbbackupset", "disable-computerrestore", "remove-wbcatalog")


def _is_deleted(call: Call) -> bool:
    outer = call.node.parent
    for _ in range(8):
        if outer is None:
            return False
        text = outer.text.casefold()
        if "delete(" in text or "remove-ciminstance" in text or "remove-wmiobject" in text:
            return True
        if outer.kind in ("pipeline", "foreach_statement"):
            return False
        outer = outer.parent
    return False


def _asks(call: Call) -> str:
    """Return why a call waits for a person, '' when it does not."""
    if call.name in _EDITORS:
        return "" if call.name == "visudo" and call.has("-c", "--check") else "is an editor"
    if call.name in _PAGERS:
        return "needs a terminal"
    installer = _INSTALLERS.get(call.name)
    if installer is not None:
        return "asks before it changes anything" if _installs(call, installer) else ""
    match call.name:
        case "passwd":
            return "" if call.has(*_PASSWD_QUIET) or call.has("--help", "-h") else "asks for a password"
        case "crontab":
            return "is an editor" if call.has("-e") else ""
        case "systemctl":
            return "is an editor" if call.operands[:1] == ("edit",) and not call.has("--stdin") else ""
        case "top":
            return "" if call.has("-b", "--batch-mode", "--batch") else "needs a terminal"
        case "fdisk" | "parted" | "gdisk":
            return "" if call.has("-l", "-s", "--list", "--script", "-x") or len(call.words) > 2 else "asks what to do"
        case "mysql_secure_installation":
            return "asks questions"
        case "adduser":
            return "" if _adds_quietly(call) else "asks questions"
        case "tail" | "journalctl":
            return "" if "timeout" in call.via or not _follows(call) else "never ends"
        case "watch":
            return "never ends"
        case "read-host" | "pause" | "choice" | "get-credential" | "out-gridview" | "notepad" | "regedit" | "mmc":
            return "" if _answered(call) else "waits for a person"
        case _:
            return ""


def _adds_quietly(call: Call) -> bool:
    return call.has("--disabled-password", "--disabled-login", "--system", "-S", "-D") or len(call.operands) > 1


def _follows(call: Call) -> bool:
    return call.has("-f", "--follow", "-F") and not any(text.startswith("--pid") for text in call.texts)


def _answered(call: Call) -> bool:
    words = _folded(call)
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


_LOOKS: tuple[tuple[str, Callable[[Call], bool]], ...] = (
    ("R202", _restarts),
    ("R203", _resets_network),
    ("R204", _deletes_backups),
)
