"""
What the kernel says of a process in a cage, and what is wrong with that. Pure.

Read from outside, of the one process that the script will come from, while it waits
for leave: a claim made in the cage proves nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ALLOWED_CAPABILITIES", "NAMESPACES", "Evidence", "holes"]

NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts")
"""The namespaces that must not be ours; those of time and of control groups are had where they can be."""

# CHOWN, DAC_OVERRIDE, FOWNER, FSETID: over files that belong to the cage's one user.
ALLOWED_CAPABILITIES = 0b1_1011
"""The capabilities that a script that runs as root in a cage may have at most, as the kernel's mask."""

_DEVICES = frozenset(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))
_OWN_TYPES = frozenset({"tmpfs", "proc", "devpts"})
_DEVICE_TYPES = frozenset({"devtmpfs", "tmpfs"})
_SHOWN_PLACE = "/.host/"
_SHOWN_FILES = frozenset({"/etc/ld.so.cache"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    What /proc says of a process in the cage, and of ours beside it.

    `namespaces` and `own_namespaces` are the links of /proc/PID/ns by name,
    `status` the fields of /proc/PID/status, `mounts` and `own_mounts` the texts of
    mountinfo, `descriptors` where each open descriptor leads. `uid` is the user
    that the cage's one user must be outside, `own_uid` who we are.
    """

    namespaces: Mapping[str, str]
    own_namespaces: Mapping[str, str]
    status: Mapping[str, str]
    uid_map: str
    gid_map: str
    mounts: str
    own_mounts: str
    network: str
    descriptors: tuple[str, ...]
    session: int
    own_session: int
    uid: int
    own_uid: int


def holes(evidence: Evidence) -> tuple[str, ...]:
    """Return what is wrong with a cage, each in a few words; nothing when it holds."""
    return (
        *_namespace_holes(evidence),
        *_identity_holes(evidence),
        *_privilege_holes(evidence),
        *_mount_holes(evidence),
        *_link_holes(evidence),
    )


def _namespace_holes(evidence: Evidence) -> list[str]:
    found = []
    for name in NAMESPACES:
        inside, own = evidence.namespaces.get(name, ""), evidence.own_namespaces.get(name, "")
        if not inside or not own:
            found.append(f"its {name} namespace cannot be seen")
        elif inside == own:
            found.append(f"its {name} namespace is this machine's own")
    return found


def _identity_holes(evidence: Evidence) -> list[str]:
    found = []
    for what, field in (("user", "Uid"), ("group", "Gid")):
        ids = evidence.status.get(field, "").split()
        if not ids:
            found.append(f"its {what} cannot be seen")
        elif what == "user" and set(ids) != {str(evidence.uid)}:
            found.append(f"its user is {ids[0]} outside, not {evidence.uid}")
        elif "0" in ids:
            found.append(f"its {what} is 0 outside")
    if evidence.uid == 0:
        found.append("it would be root outside")
    if evidence.own_uid == 0 and evidence.status.get("Groups", "0").split() not in ([], _gids(evidence)):
        found.append("it is in groups of this machine")
    for what, text in (("user", evidence.uid_map), ("group", evidence.gid_map)):
        lines = [line.split() for line in text.splitlines()]
        if len(lines) != 1 or len(lines[0]) != 3 or lines[0][2] != "1":
            found.append(f"more than one {what}, or none, is mapped into it")
        elif lines[0][1] == "0":
            found.append(f"{what} 0 of this machine is mapped into it")
    return found


def _gids(evidence: Evidence) -> list[str]:
    return evidence.status.get("Gid", "").split()[:1]


def _privilege_holes(evidence: Evidence) -> list[str]:
    found = []
    if evidence.status.get("NoNewPrivs") != "1":
        found.append("it can gain privileges")
    if evidence.status.get("Seccomp") != "2":
        found.append("its system calls are not filtered")
    for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        text = evidence.status.get(field, "")
        if re.fullmatch("[0-9a-f]+", text) is None or int(text, 16) & ~ALLOWED_CAPABILITIES:
            found.append(f"it has capabilities: {field} {text or 'cannot be seen'}")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mount:
    """One line of mountinfo, as far as we use it (proc(5))."""

    device: str
    point: str
    is_read_only: bool
    has_devices: bool
    is_shared: bool
    type: str


def _mounts(text: str) -> list[_Mount] | None:
    found = []
    # The kernel writes a blank, a newline or a backslash in a name as a number, and every other character as it is.
    for line in text.removesuffix("\n").split("\n"):
        words = line.split(" ")
        if len(words) < 10 or "-" not in words[6:]:
            return None
        dash = words.index("-", 6)
        found.append(
            _Mount(
                device=words[2],
                point=words[4],
                is_read_only="ro" in words[5].split(","),
                has_devices="nodev" not in words[5].split(","),
                is_shared=any(word.startswith("shared:") for word in words[6:dash]),
                type=words[dash + 1],
            )
        )
    return found


def _mount_holes(evidence: Evidence) -> list[str]:
    inside, own = _mounts(evidence.mounts), _mounts(evidence.own_mounts)
    if not inside or not own:
        return ["its mounts cannot be read"]
    ours = {mount.device for mount in own}
    found = []
    roots = [mount for mount in inside if mount.point == "/"]
    if not roots or roots[-1].type != "tmpfs" or roots[-1].device in ours:
        found.append("its root is none that was made for it")
    for mount in inside:
        if mount.point in _DEVICES and mount.type in _DEVICE_TYPES:
            continue
        is_ours = mount.device in ours
        is_shown = mount.point.startswith(_SHOWN_PLACE) or mount.point in _SHOWN_FILES
        if mount.is_shared:
            found.append(f"what is mounted at {mount.point} is shared")
        if is_ours and not is_shown:
            found.append(f"{mount.point} is this machine's")
        elif (is_ours or is_shown or mount.type not in _OWN_TYPES) and not mount.is_read_only:
            found.append(f"{mount.point} is this machine's and can be written")
        if mount.type == "proc" and not mount.is_read_only:
            found.append(f"{mount.point} can be written")
        if mount.has_devices and mount.type not in _OWN_TYPES:
            found.append(f"{mount.point} can hold devices")
    return found


def _link_holes(evidence: Evidence) -> list[str]:
    found = []
    interfaces = [line.partition(":")[0].strip() for line in evidence.network.splitlines() if ":" in line]
    if set(interfaces) - {"lo"}:
        found.append(f"it has network interfaces: {', '.join(sorted(set(interfaces) - {'lo'}))}")
    if not evidence.network:
        found.append("its network cannot be seen")
    others = sorted(each for each in evidence.descriptors if not each.startswith("pipe:") and each != "/dev/null")
    if others or not evidence.descriptors:
        found.append(f"it holds open {', '.join(others) or 'what cannot be seen'}")
    if evidence.session in (0, evidence.own_session):
        found.append("it is in our session")
    return found
