"""What is seen of a cage from outside: what the kernel says of its first process, and what lies on its disks."""

import io
import os
import re
import tarfile
from pathlib import Path

from remedy.cage import Entry, EntryKind, Snapshot
from remedy_runners.sandbox_evidence import NAMESPACES, Evidence

__all__ = ["SnapshotOdd", "read_evidence", "read_snapshot"]

_TIME = re.compile(r"(-?\d+)(?:\.(\d{1,9})\d*)?")


class SnapshotOdd(Exception):
    """What lies on a cage's disks cannot be read."""


def read_evidence(pid: int, *, uid: int) -> Evidence:
    """
    Return what /proc says of a process; `uid` is who it should be outside.

    Raises:
        OSError: it has ended, or it may not be looked at.
    """
    process, own = Path(f"/proc/{pid}"), Path("/proc/self")
    status = (line.split(":", 1) for line in (process / "status").read_text(encoding="utf-8").splitlines())
    return Evidence(
        namespaces=_namespaces(process),
        own_namespaces=_namespaces(own),
        status={words[0]: words[1].strip() for words in status if len(words) == 2},
        uid_map=(process / "uid_map").read_text(encoding="ascii"),
        gid_map=(process / "gid_map").read_text(encoding="ascii"),
        mounts=(process / "mountinfo").read_text(encoding="utf-8", errors="surrogateescape"),
        own_mounts=(own / "mountinfo").read_text(encoding="utf-8", errors="surrogateescape"),
        network=(process / "net" / "dev").read_text(encoding="ascii", errors="replace"),
        descriptors=tuple(sorted(str(entry.readlink()) for entry in (process / "fd").iterdir())),
        session=os.getsid(pid),
        own_session=os.getsid(0),
        uid=uid,
        own_uid=os.geteuid(),
    )


def _namespaces(process: Path) -> dict[str, str]:
    return {name: str((process / "ns" / name).readlink()) for name in NAMESPACES}


def read_snapshot(archive: bytes) -> Snapshot:
    """
    Return what an archive of a cage's disks holds, by absolute path.

    Nothing is unpacked: it was written by whoever is in the cage.

    Raises:
        SnapshotOdd: it is no archive, or not whole.
    """
    found: dict[str, Entry] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:", errors="surrogateescape") as tar:
            for member in tar:
                found["/" + member.name.removeprefix(".").strip("/")] = _entry(tar, member, found)
    except (tarfile.TarError, ValueError, EOFError, OSError) as exc:
        raise SnapshotOdd(f"what lies on its disks cannot be read: {exc}") from exc
    return found


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo, found: dict[str, Entry]) -> Entry:
    if member.islnk():
        # A second name of a file that came before.
        return found["/" + member.linkname.removeprefix(".").strip("/")]
    content = b""
    kind = EntryKind.OTHER
    if member.isfile():
        kind = EntryKind.FILE
        file = tar.extractfile(member)
        content = file.read() if file is not None else b""
    elif member.isdir():
        kind = EntryKind.FOLDER
    elif member.issym():
        kind = EntryKind.LINK
    return Entry(
        kind=kind,
        mode=member.mode & 0o7777,
        written_ns=_nanoseconds(member),
        content=content,
        target=member.linkname if kind is EntryKind.LINK else "",
    )


def _nanoseconds(member: tarfile.TarInfo) -> int:
    found = _TIME.fullmatch(str(member.pax_headers.get("mtime", "")))
    if found is None:
        return int(member.mtime) * 10**9
    return int(found[1]) * 10**9 + int((found[2] or "0").ljust(9, "0"))
