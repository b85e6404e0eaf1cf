"""
The newest reading of each host and signal, in one readings file, for `why --stored`.

Where the newest one says nothing (the host was not reached, a collector failed), the
newest that did is kept in a second file beside it. Both are a convenience, no evidence:
a run that dies while it writes leaves each file as it was before, and what it dies
between loses nothing: the second file drops a reading only when a later store finds
a newer one that says something in the first.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from remedy.canonical import row_value
from remedy.errors import FilesError, StateError
from remedy.model import Reading, ReadingStatus, Row, Signal
from remedy.readings import READINGS_FORMAT, ReadingsFile, dump_readings, parse_readings, parse_time
from remedy.remembered import has_said
from remedy.state.disk import Disk, sync_directory, write_all
from remedy.state.locks import short_lock
from remedy.state.shared import mode_beside
from remedy.text import untrusted

__all__ = ["KeptReadings", "StoredHosts", "store_readings", "stored_hosts", "stored_readings"]

_CURE = "remove the file, the next scan makes a new one"
_READS_MAX = 10
_SAID = frozenset({ReadingStatus.OK.value, ReadingStatus.NOT_APPLICABLE.value})
_Place = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line of a readings file: when it was read, whether it is what a host said, and its text."""

    at: datetime
    is_said: bool
    text: str


@dataclass(slots=True, kw_only=True)
class _Stored:
    """The lines of a readings file by host and signal; and what its first line says."""

    collected_at: datetime | None = None
    digests: dict[str, str] = field(default_factory=dict)
    lines: dict[_Place, _Line] = field(default_factory=dict)

    def drop_changed(self, digests: Mapping[str, str]) -> None:
        """Drop the lines of signals that have another digest by now."""
        known = self.digests
        self.lines = {
            place: line
            for place, line in self.lines.items()
            if known.get(place[1]) == digests.get(place[1], known.get(place[1]))
        }
        self.digests = {**known, **digests}

    def drop_behind(self, newest: "_Stored") -> None:
        """Drop the lines of which a newest one says something."""
        said = {place for place, line in newest.lines.items() if line.is_said}
        self.lines = {place: line for place, line in self.lines.items() if place not in said}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReadings:
    """
    The stored readings of one host: `said` is the newest of each signal that it said something in.

    `tried` are those that came to nothing after that. `digests` are of the signals
    that made them, `hosts` the names of all hosts that have readings.
    """

    said: tuple[Reading, ...]
    tried: tuple[Reading, ...]
    digests: Mapping[str, str]


class StoredHosts:
    """The stored readings of all hosts, read once; rows are looked at when a host's are asked for."""

    def __init__(self, newest: _Stored, before: _Stored, *, file: str) -> None:
        self._newest = newest
        self._before = before
        self._file = file

    @property
    def names(self) -> frozenset[str]:
        """The hosts that have readings."""
        return frozenset(host for host, _ in (*self._newest.lines, *self._before.lines))

    def of(self, hosts: Iterable[str], signals: Mapping[str, Signal] | None) -> KeptReadings:
        """
        Return the readings of hosts and signals, their rows checked; without signals all of them, as they were stored.

        Raises:
            StateError: a line is no reading.
        """
        wanted = frozenset(hosts)
        newest, before = (
            _readings(
                [
                    line.text
                    for (host, name), line in stored.lines.items()
                    if host in wanted and (signals is None or name in signals)
                ],
                signals,
                self._file,
            )
            for stored in (self._newest, self._before)
        )
        said = [reading for reading in (*before, *newest) if has_said(reading)]
        tried = [reading for reading in newest if not has_said(reading)]
        return KeptReadings(said=tuple(said), tried=tuple(tried), digests=dict(self._newest.digests))


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

    What it replaces stays in the second file, if it says something and the newer one
    does not. Stored readings of a signal whose digest changed are dropped. Each file is
    replaced at once, the second one first; parallel runs take turns.

    Raises:
        StateError: they cannot be read or written; the message has the cure.
    """
    with short_lock(path.with_name(path.name + ".lock")):
        newest, before = _read(path), _read(_beside(path))
        had_before = bool(before.lines)
        before.drop_behind(newest)
        newest.drop_changed(digests)
        before.drop_changed(digests)
        for reading in readings:
            _header, text = dump_readings([reading], collected_at=collected_at, digests={})
            _merge(newest, before, (reading.host, reading.signal), _line_of(reading, text))
        collected_at = collected_at if newest.collected_at is None else max(collected_at, newest.collected_at)
        if had_before or before.lines:
            _write(_beside(path), before, collected_at, disk or Disk())
        _write(path, newest, collected_at, disk or Disk())


def _line_of(reading: Reading, text: str) -> _Line:
    return _Line(at=reading.observed_at, is_said=has_said(reading), text=text)


def _merge(newest: _Stored, before: _Stored, place: _Place, line: _Line) -> None:
    """Put a line where it belongs: among the newest, or among those that said something before that."""
    known = newest.lines.get(place)
    if known is None or known.at <= line.at:
        newest.lines[place] = line
        # Before one that says something the earlier one stays, until a later store: the newest is written after it.
        if known is not None and known.is_said:
            before.lines[place] = known
        return
    earlier = before.lines.get(place)
    if line.is_said and not known.is_said and (earlier is None or earlier.at <= line.at):
        before.lines[place] = line


def stored_readings(path: Path, signals: Mapping[str, Signal]) -> ReadingsFile | None:
    """
    Return the newest stored readings of these signals; None when nothing was ever stored.

    Raises:
        StateError: the file cannot be read.
        FilesError: it is no readings file; with the line.
    """
    text = _text(path)
    return None if text is None else parse_readings(_lines(text), signals, file=str(path))


def stored_hosts(path: Path) -> StoredHosts | None:
    """
    Return what is stored of all hosts; None when nothing was ever stored.

    Read without the lock, for a reader may not be allowed to write: again, when a run stored meanwhile.

    Raises:
        StateError: a file cannot be read, is no readings file, or is replaced again and again.
    """
    for _ in range(_READS_MAX):
        version = _version(path)
        newest, before = _read(path), _read(_beside(path))
        # At most one store has replaced the second file since, and each keeps what the newest does not say.
        if _version(path) == version:
            break
    else:
        raise StateError(f"stored readings {path} are replaced again and again; try again")
    before.drop_behind(newest)
    if newest.collected_at is None and before.collected_at is None:
        return None
    return StoredHosts(newest, before, file=str(path))


def _readings(lines: list[str], signals: Mapping[str, Signal] | None, file: str) -> tuple[Reading, ...]:
    if signals is None:
        try:
            return tuple(_as_stored(json.loads(line)) for line in lines)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise StateError(f"stored readings {file}: a line is no reading; {_CURE}") from exc
    header = json.dumps({"readings": READINGS_FORMAT, "collected_at": "2000-01-01T00:00:00Z", "signals": {}})
    try:
        return parse_readings([header, *lines], signals, file=file).readings
    except FilesError as exc:
        raise StateError(f"stored readings {file}: {exc.problems[0].message}; {_CURE}") from exc


def _as_stored(raw: Mapping[str, Any]) -> Reading:
    """Return a reading with its rows as they were stored, for want of the signal that knows their types."""
    rows: tuple[Row, ...] = tuple(
        {untrusted(str(name)): row_value(value) for name, value in row.items()} for row in raw.get("rows", ())
    )
    return Reading(
        host=str(raw["host"]),
        signal=str(raw["signal"]),
        observed_at=parse_time(raw["observed_at"]),
        status=ReadingStatus(raw["status"]),
        reason=untrusted(str(raw.get("reason", ""))),
        rows=rows,
    )


def _beside(path: Path) -> Path:
    """Return the file of what was said before the newest reading came to nothing."""
    return path.with_name(f"{path.stem}-before{path.suffix}")


def _version(path: Path) -> tuple[int, int, int] | None:
    """Return what tells a file from the one that replaces it; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise StateError(f"stored readings {path} cannot be read: {exc.strerror}") from exc
    return found.st_ino, found.st_mtime_ns, found.st_size


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
    return StateError(f"{place}: no line of a readings file; {_CURE}")


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
                at, is_said = parse_time(parsed["observed_at"]), parsed["status"] in _SAID
                stored.lines[str(parsed["host"]), str(parsed["signal"])] = _Line(at=at, is_said=is_said, text=line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise _damaged(path, number) from exc
    return stored


def _write(path: Path, stored: _Stored, collected_at: datetime, disk: Disk) -> None:
    header = next(dump_readings([], collected_at=collected_at, digests=stored.digests))
    lines = [header, *(line.text for _place, line in sorted(stored.lines.items(), key=lambda item: item[0]))]
    _replace(path, "".join(f"{line}\n" for line in lines).encode(), disk)


def _replace(path: Path, raw: bytes, disk: Disk) -> None:
    temporary = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        mode = mode_beside(path)
        descriptor = os.open(temporary, flags, mode)
        try:
            os.fchmod(descriptor, mode)  # Whatever the umask says.
            write_all(disk, descriptor, data=raw)
            disk.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        sync_directory(disk, path.parent)
    except OSError as exc:
        raise StateError(f"stored readings {path} cannot be written: {exc.strerror}") from exc
