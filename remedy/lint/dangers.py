"""Calls that no script of a rule should make, in either language: restarts, network resets, lost backups, questions."""

from collections.abc import Callable, Iterator

from remedy.lint.calls import Call
from remedy.lint.drafts import Draft, shown
from remedy.lint.questions import question_of

__all__ = ["call_findings"]

_POWER = {"reboot", "halt", "poweroff", "restart-computer", "stop-computer"}
_POWER_UNITS = {"reboot", "poweroff", "halt", "kexec", "soft-reboot", "suspend", "hibernate", "hybrid-sleep"}
_POWER_UNITS |= {"suspend-then-hibernate", "reboot.target", "poweroff.target", "rescue", "emergency"}
_NETWORK_UNITS = ("network", "networking", "networkmanager", "systemd-networkd", "network-manager", "wicked", "netplan")
_ADAPTERS = {"disable-netadapter", "restart-netadapter", "remove-netipaddress", "remove-netroute", "reset-netadapter"}


def call_findings(call: Call, *, has_input: bool) -> Iterator[Draft]:
    """Yield what is wrong with a call by itself; `has_input` says that it reads a pipe or a file."""
    for code, look in _LOOKS:
        if look(call):
            yield Draft(node=call.node, code=code, detail=_words(call))
    if not has_input and (question := question_of(call)):
        yield Draft(node=call.node, code="R301", detail=f"{_words(call)} {question.why}", cure=question.cure)


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


_LOOKS: tuple[tuple[str, Callable[[Call], bool]], ...] = (
    ("R202", _restarts),
    ("R203", _resets_network),
    ("R204", _deletes_backups),
)
