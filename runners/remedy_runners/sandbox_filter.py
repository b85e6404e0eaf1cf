"""
The system calls that a script in a cage may not make, as the kernel reads it (seccomp, classic BPF). Pure.

Namespaces and lost capabilities forbid nearly all of it already. This is the second
wall, and the only one before what has no namespace: keys of the user's sessions,
sockets of the machine's other worlds (vsock), unix sockets that lie on a file
system, and calls that have been ways out before.

Source: seccomp(2) and the kernel's Documentation/userspace-api/seccomp_filter.rst;
numbers of asm/unistd_64.h and asm-generic/unistd.h of Linux 6.1.
"""

import struct
from collections.abc import Mapping

__all__ = ["FILTERED_MACHINES", "seccomp_filter"]

_X86_64 = "x86_64"
_AARCH64 = "aarch64"

FILTERED_MACHINES: Mapping[str, int] = {_X86_64: 0xC000003E, _AARCH64: 0xC00000B7}
"""Machines, as uname(1) names them, whose numbers are known here, with their AUDIT_ARCH."""

# Numbers on x86_64 and on aarch64; None: the call does not exist there.
_DENIED: Mapping[str, tuple[int, int | None]] = {
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "setns": (308, 268),
    "unshare": (272, 97),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "syslog": (103, 116),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "memfd_secret": (447, 447),
    "fanotify_init": (300, 262),
    "vhangup": (153, 58),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
}
_SOCKET = (41, 198)
_CLONE = (56, 220)
_CLONE3 = 435

_FAMILIES = (2, 10, 16)  # AF_INET, AF_INET6, AF_NETLINK: the namespace has a network of its own for them.
_NEW_NAMESPACES = 0x7E020000  # Of clone(2); CLONE_NEWTIME is for clone3 and unshare only.

_LOAD, _JUMP_EQUAL, _JUMP_LEAST, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_ERROR = 0x00050000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_AT_NUMBER, _AT_MACHINE, _AT_FIRST_ARGUMENT = 0, 4, 16
_X32 = 0x40000000


def seccomp_filter(machine: str) -> bytes:
    """
    Return the filter for programs of a machine, one of FILTERED_MACHINES; other programs are killed.

    Raises:
        KeyError: the machine's numbers are not known.
    """
    column = list(FILTERED_MACHINES).index(machine)
    steps = [
        _step(_LOAD, _AT_MACHINE),
        _step(_JUMP_EQUAL, FILTERED_MACHINES[machine], 1, 0),
        _step(_RETURN, _KILL_PROCESS),
        _step(_LOAD, _AT_NUMBER),
    ]
    if machine == _X86_64:
        steps += [_step(_JUMP_LEAST, _X32, 0, 1), _step(_RETURN, _KILL_PROCESS)]
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            steps += _when(number, [_step(_RETURN, _ERROR | _EPERM)])
    # Programs then do with clone, whose arguments can be looked at.
    steps += _when(_CLONE3, [_step(_RETURN, _ERROR | _ENOSYS)])
    namespaces = [_step(_LOAD, _AT_FIRST_ARGUMENT), _step(_JUMP_BITS, _NEW_NAMESPACES, 0, 1)]
    steps += _when(_CLONE[column], [*namespaces, _step(_RETURN, _ERROR | _EPERM), _step(_RETURN, _ALLOW)])
    families = [_step(_LOAD, _AT_FIRST_ARGUMENT)]
    for family in _FAMILIES:
        families += _when(family, [_step(_RETURN, _ALLOW)])
    steps += _when(_SOCKET[column], [*families, _step(_RETURN, _ERROR | _EAFNOSUPPORT)])
    steps.append(_step(_RETURN, _ALLOW))
    return b"".join(steps)


def _when(value: int, then: list[bytes]) -> list[bytes]:
    """Return the steps that do `then` when what was loaded is the value, and pass them over otherwise."""
    return [_step(_JUMP_EQUAL, value, 0, len(then)), *then]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
