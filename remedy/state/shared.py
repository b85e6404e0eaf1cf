"""
Who besides remedy's own user may read the ledger and the stored readings.

Nobody, unless the state directory is given to a group for reading: mode 2750, which is
group-readable and set-group-ID. Then ledger, stored readings and STOP are readable by
that group; audit log, kept outputs, logs, plans and locks are not.
"""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["is_shared", "mode_beside", "share"]

_PRIVATE = 0o600
_SHARED = 0o640
_ASKED_FOR = stat.S_ISGID | stat.S_IRGRP | stat.S_IXGRP


def is_shared(directory: Path) -> bool:
    """Say whether a state directory is given to its group for reading; False when that cannot be found out."""
    try:
        found = directory.stat()
    except OSError:
        return False
    return found.st_mode & _ASKED_FOR == _ASKED_FOR and not found.st_mode & stat.S_IWGRP


def mode_beside(path: Path) -> int:
    """Return the mode of a file that the group may read, if its directory is shared, at this place."""
    return _SHARED if is_shared(path.parent) else _PRIVATE


def share(directory: Path, files: Iterable[Path]) -> None:
    """
    Let the group of a shared directory read these files, of those that are there; never anything else.

    By name, never by a descriptor: closing one would drop the locks of a ledger. What
    cannot be changed, for it belongs to somebody else, stays as it is.
    """
    if not is_shared(directory):
        return
    group = directory.stat().st_gid
    for path in files:
        with suppress(OSError):
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                continue
            if found.st_gid != group:
                os.chown(path, -1, group, follow_symlinks=False)
            if stat.S_IMODE(found.st_mode) != _SHARED:
                path.chmod(_SHARED)
