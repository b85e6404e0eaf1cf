"""The operators' log: structlog events as JSON Lines in the state directory; may be lost, never evidence."""

import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

__all__ = ["open_log", "write_traceback"]

_current: list[Path] = []


def open_log(path: Path) -> Any:
    """
    Return a structlog logger that appends JSON lines to the file, mode 0600.

    Tracebacks of bugs go to the same file from then on.
    """
    import structlog

    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    stream = os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)
    _current[:] = [path]
    return structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.BoundLogger,
    )


def write_traceback(exc: BaseException) -> str:
    """Write a traceback to the log (or to a temporary file) and say where; never raises."""
    text = "".join(traceback.format_exception(exc))
    try:
        if _current:
            with _current[0].open("a", encoding="utf-8") as log:
                log.write(text)
            return f"the traceback is in {_current[0]}"
        descriptor, name = tempfile.mkstemp(prefix="remedy-", suffix=".traceback")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        sys.stderr.write(text)
        return "the traceback is above"
    return f"the traceback is in {name}"
