"""
The newest reading of each host and signal, in one readings file, for `why --stored`.

It is a convenience, no evidence: a run that dies while it writes leaves the file
as it was before.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from remedy.errors import StateError
from remedy.model import Reading, Signal
from remedy.readings import ReadingsFile, dump_readings, parse_readings, parse_time
from remedy.state.disk import Disk, sync_directory, write_all
from remedy.state.locks import short_lock

__all__ = ["store_readings", "stored_readings"]

_FILE_MODE = 0o600


@dataclass(slots=True, kw_only=True)
class _Stored:
    """The lines of a readings file by host and signal, each with its time; and what its first line says."""

    collected_at: datetime | None = None
    digests: dict[str, str] = field(default_factory=dict)
    lines: dict[tuple[str, str], tuple[datetime, str]] = field(default_factory=dict)


def store_readings(
    path: Path,
    readings: Iterable[Reading],
    *,
    collected_at: datetime,
    digests: Mapping[str, str],
    disk: Disk | None = None,
) -> None:
    """
    Merge readings into the file: the newer one of each host and signal stays.

    Stored readings of a signal whose digest changed are dropped. The file is
    replaced at once; parallel runs take turns.

    Raises:
        StateError: it cannot be read or written; the message has the cure.
    """
    with short_lock(path.with_name(path.name + ".lock")):
        stored = _read(path)
        kept = {
            place: line
            for place, line in stored.lines.items()
            if stored.digests.get(place[1]) == digests.get(place[1], stored.digests.get(place[1]))
        }
        for reading in readings:
            place = (reading.host, reading.signal)
            if place not in kept or kept[place][0] <= reading.observed_at:
                _header, line = dump_readings([reading], collected_at=collected_at, digests={})
                kept[place] = (reading.observed_at, line)
        newest = collected_at if stored.collected_at is None else max(collected_at, stored.collected_at)
        header = next(dump_readings([], collected_at=newest, digests={**stored.digests, **digests}))
        lines = [header, *(line for _place, (_at, line) in sorted(kept.items()))]
        _replace(path, "".join(f"{line}\n" for line in lines).encode(), disk or Disk())


def stored_readings(path: Path, signals: Mapping[str, Signal]) -> ReadingsFile | None:
    """
    Return the stored readings of these signals; None when nothing was ever stored.

    Raises:
        StateError: the file cannot be read.
        FilesError: it is no readings file; with the line.
    """
    text = _text(path)
    return None if text is None else parse_readings(_lines(text), signals, file=str(path))


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as exc:
        raise _damaged(path, 0) from exc
    except OSError as exc:
        raise StateError(f"stored readings {path} cannot be read: {exc.strerror}") from exc


def _lines(text: str) -> list[str]:
    """Return the lines of a text; only a newline ends one, unlike in str.splitlines."""
    return text.removesuffix("\n").split("\n")


def _damaged(path: Path, number: int) -> StateError:
    place = f"{path}:{number}" if number else str(path)
    return StateError(f"{place}: no line of a readings file; remove the file, the next scan makes a new one")


def _read(path: Path) -> _Stored:
    text = _text(path)
    stored = _Stored()
    for number, line in enumerate(() if text is None else _lines(text), 1):
        try:
            parsed = json.loads(line)
            if number == 1:
                stored.collected_at = parse_time(parsed["collected_at"])
                stored.digests = {str(name): str(digest) for name, digest in parsed["signals"].items()}
            else:
                stored.lines[str(parsed["host"]), str(parsed["signal"])] = (parse_time(parsed["observed_at"]), line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise _damaged(path, number) from exc
    return stored


def _replace(path: Path, raw: bytes, disk: Disk) -> None:
    temporary = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE
        )
        try:
            write_all(disk, descriptor, data=raw)
            disk.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        sync_directory(disk, path.parent)
    except OSError as exc:
        raise StateError(f"stored readings {path} cannot be written: {exc.strerror}") from exc
