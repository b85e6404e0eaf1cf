"""What could not be written on standard output: noted where it happens, said once, when the process ends."""

import errno

__all__ = ["note_unwritten", "unwritten"]

_GONE = frozenset({errno.EPIPE, errno.EIO})
"""A closed pipe, and a terminal that was closed: there is nobody left to tell."""

_reasons: list[str] = []


def note_unwritten(exc: OSError) -> None:
    """Note that standard output could not be written; a reader that is gone (`| head`) is told nothing."""
    if exc.errno not in _GONE:
        _reasons.append(exc.strerror or type(exc).__name__)


def unwritten() -> str:
    """Return why something of the result is not on standard output, '' when nothing is missing."""
    return _reasons[0] if _reasons else ""
