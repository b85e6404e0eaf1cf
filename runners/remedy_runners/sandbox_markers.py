"""What the loader itself leaves on a cage's disks, its lock and its markers, told from what a script wrote. Pure."""

from remedy.cage import Entry, EntryKind, Snapshot
from remedy.port import CollectJob, FixJob

__all__ = ["missing_markers", "numbered_id", "without_markers"]

_FILES = ("start", "keeper", "script", "rc")
_NEEDED = ("start", "rc")
_FOLDER = {True: "/run/remedy", False: "/run/user/1000/remedy"}


def numbered_id(fix: FixJob, number: int) -> str:
    """Return the execution id of a fix's run; the first has number 0."""
    return f"{fix.execution_id}-{number + 1}"


def without_markers(seen: Snapshot, script: FixJob | CollectJob, *, runs: int) -> Snapshot:
    """Return what is there but what the loader made in so many runs; what else lies beside that stays."""
    if isinstance(script, CollectJob):
        return seen
    folder = _FOLDER[script.become_root]
    markers = [f"{folder}/{numbered_id(script, number)}" for number in range(runs)]
    folders = {folder, *markers}
    files = {f"{marker}/{name}" for marker in markers for name in _FILES}
    return {
        path: entry
        for path, entry in seen.items()
        if not (path in folders and _is_made_folder(entry))
        and not (path in files and entry.kind is EntryKind.FILE)
        and not (path == f"{folder}/lock" and entry.kind is EntryKind.FILE and not entry.content)
    }


def missing_markers(seen: Snapshot, script: FixJob | CollectJob, *, runs: int) -> tuple[str, ...]:
    """Return what the loader made in so many runs, and is not there any more."""
    if isinstance(script, CollectJob):
        return ()
    folder = _FOLDER[script.become_root]
    made = [f"{folder}/{numbered_id(script, number)}/{name}" for number in range(runs) for name in _NEEDED]
    return tuple(path for path in (f"{folder}/lock", *made) if path not in seen)


def _is_made_folder(entry: Entry) -> bool:
    return entry.kind is EntryKind.FOLDER and entry.mode == 0o700
