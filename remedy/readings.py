"""
Readings: what a collector printed becomes typed rows, or a reason why there are none.

The reader coerces nothing. Whatever is odd makes the whole reading `failed`,
with line and reason, for a reading is only worth something when it is complete.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from remedy.canonical import plain
from remedy.errors import FilesError, Place, Problem
from remedy.model import ColumnType, Key, Reading, ReadingStatus, Row, RowPromise, Signal, Value
from remedy.port import CollectorEnding, CollectorOutput
from remedy.text import nearest, one_line, untrusted

__all__ = [
    "READINGS_FORMAT",
    "ROWS_MAX",
    "ROWS_SIZE_MAX",
    "TEXT_BYTES_MAX",
    "ReadingsFile",
    "dump_readings",
    "is_stale",
    "parse_readings",
    "parse_time",
    "reading_of_output",
    "row_key",
    "time_text",
]

ROWS_MAX = 10_000
ROWS_SIZE_MAX = 1_048_576
TEXT_BYTES_MAX = 4_096
READINGS_FORMAT = 1

_BLANKS = " \t\r"
"""What JSON takes for nothing inside a line; other blanks are text, and text is no row."""


class _Odd(Exception):
    """A reason why a reading is no reading; never leaves this module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingsFile:
    """Readings of many hosts as one file keeps them, with the digests of the signals that made them."""

    collected_at: datetime
    digests: Mapping[str, str]
    readings: tuple[Reading, ...]


def is_stale(reading: Reading, *, max_age_s: int, now: datetime) -> bool:
    """Say whether a reading is strictly older than max_age_s, or dated after now."""
    age_s = (now - reading.observed_at).total_seconds()
    return not 0 <= age_s <= max_age_s


def row_key(signal: Signal, row: Row) -> Key:
    """Return the key of a row, in the order in which the signal declares its key columns."""
    return tuple((name, row.get(name)) for name in signal.key)


def reading_of_output(signal: Signal, host: str, output: CollectorOutput, *, observed_at: datetime) -> Reading:
    """
    Return the reading that a collector's output amounts to.

    observed_at is the controller's time when the complete answer was there.
    """
    try:
        rows = _rows_of_output(signal, output)
    except _NotApplicable as saying:
        return Reading(
            host=host,
            signal=signal.name,
            observed_at=observed_at,
            status=ReadingStatus.NOT_APPLICABLE,
            reason=str(saying),
        )
    except _Odd as odd:
        return Reading(
            host=host, signal=signal.name, observed_at=observed_at, status=ReadingStatus.FAILED, reason=str(odd)
        )
    return Reading(host=host, signal=signal.name, observed_at=observed_at, status=ReadingStatus.OK, rows=rows)


class _NotApplicable(Exception):
    """The collector said that its signal means nothing on this host; never leaves this module."""


def _rows_of_output(signal: Signal, output: CollectorOutput) -> tuple[Row, ...]:
    match output.ending:
        case CollectorEnding.TIMED_OUT:
            raise _Odd(output.reason or "the collector did not end within its timeout")
        case CollectorEnding.LOST:
            raise _Odd(output.reason or "the end of the collector was not seen")
        case CollectorEnding.TOO_MUCH_OUTPUT:
            raise _Odd(output.reason or f"more than {ROWS_SIZE_MAX} bytes of output")
        case CollectorEnding.PRINTED_SECRET:
            raise _Odd(output.reason or "the collector printed a secret")
        case CollectorEnding.REFUSED:
            raise _Odd(output.reason or "the collector was not started")
        case CollectorEnding.EXITED:
            return _rows_of_exit(signal, output)


def _rows_of_exit(signal: Signal, output: CollectorOutput) -> tuple[Row, ...]:
    if output.exit_code != 0:
        said = one_line(output.stderr.kept)
        raise _Odd(f"exit code {output.exit_code}" + (f": {said}" if said else ""))
    if not output.stdout.complete or output.stdout.size > ROWS_SIZE_MAX:
        raise _Odd(f"more than {ROWS_SIZE_MAX} bytes of output")
    try:
        text = (output.stdout.head + output.stdout.tail).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise _Odd(f"the output is not UTF-8 (byte {exc.start})") from exc
    return _rows_of_text(signal, text)


def _rows_of_text(signal: Signal, text: str) -> tuple[Row, ...]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip(_BLANKS)]
    if len(lines) > ROWS_MAX:
        raise _Odd(f"more than {ROWS_MAX} rows")
    values = [(number, _object_of_line(number, line)) for number, line in lines]
    for number, value in values:
        if "not_applicable" in value and "not_applicable" not in signal.columns:
            _say_not_applicable(number, value, alone=len(values) == 1)
    return _checked_rows(signal, values)


def _say_not_applicable(number: int, value: Mapping[str, Any], *, alone: bool) -> NoReturn:
    reason = value["not_applicable"]
    if not alone or len(value) != 1 or not isinstance(reason, str) or not reason.strip():
        raise _Odd(f"line {number}: not_applicable stands alone, with a reason")
    raise _NotApplicable(untrusted(reason, characters_max=200))


def _object_of_line(number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line, object_pairs_hook=_no_repeated, parse_constant=_no_constant)
    except _Odd as odd:
        raise _Odd(f"line {number}: {odd}") from odd
    except (ValueError, RecursionError) as exc:
        raise _Odd(f"line {number} is no row: {untrusted(line, characters_max=60)!r}") from exc
    if not isinstance(value, dict):
        raise _Odd(f"line {number} is no row: {untrusted(line, characters_max=60)!r}")
    return value


def _no_repeated(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Odd("a column stands twice")
    return value


def _no_constant(text: str) -> NoReturn:
    raise _Odd(f"{text} is no number")


def _checked_rows(signal: Signal, values: Iterable[tuple[int, Mapping[str, Any]]]) -> tuple[Row, ...]:
    rows: list[Row] = []
    lines_by_key: dict[Key, int] = {}
    for number, raw in values:
        row = _checked_row(signal, number, raw)
        key = row_key(signal, row)
        if any(value is None for _, value in key):
            raise _Odd(f"line {number}: a key column could not be read")
        if signal.key and key in lines_by_key:
            raise _Odd(f"line {number}: the same key as line {lines_by_key[key]}")
        lines_by_key[key] = number
        rows.append(row)
    return _promised(signal, tuple(rows))


def _promised(signal: Signal, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    if signal.rows is RowPromise.ONE and len(rows) != 1:
        raise _Odd(f"{len(rows)} rows, and the signal promises one")
    if signal.rows is RowPromise.SOME and not rows:
        raise _Odd("no rows, and the signal promises some")
    if not signal.key and len(rows) > 1:
        raise _Odd(f"{len(rows)} rows, and the signal has no key to tell them apart")
    return rows


def _checked_row(signal: Signal, number: int, raw: Mapping[str, Any]) -> Row:
    row: dict[str, Value] = {}
    for name, value in raw.items():
        column = signal.columns.get(name)
        if column is None:
            near = nearest(name, signal.columns)
            hint = f" ({', '.join(near)}?)" if near else ""
            raise _Odd(f"line {number}: unknown column {untrusted(name, characters_max=60)!r}{hint}")
        row[name] = _checked_value(name, number, value, column.type)
    return row


def _checked_value(name: str, number: int, value: object, column_type: ColumnType) -> Value:
    match column_type, value:
        case _, None:
            return None
        case ColumnType.BOOLEAN, bool():
            return value
        case ColumnType.NUMBER, int() | float() if not isinstance(value, bool):
            return _finite(name, number, value)
        case ColumnType.TEXT, str():
            return _harmless(name, number, value)
        case _:
            raise _Odd(f"line {number}: {name} is no {column_type.value}")


def _finite(name: str, number: int, value: float) -> float:
    try:
        finite = float(value)
    except OverflowError:
        finite = math.inf
    if not math.isfinite(finite):
        raise _Odd(f"line {number}: {name} is not finite")
    return finite


def _harmless(name: str, number: int, value: str) -> str:
    if any(ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F for character in value):
        raise _Odd(f"line {number}: {name} has a control character")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError as exc:
        raise _Odd(f"line {number}: {name} is no Unicode text") from exc
    if size > TEXT_BYTES_MAX:
        raise _Odd(f"line {number}: {name} is longer than {TEXT_BYTES_MAX} bytes")
    return value


def time_text(time: datetime) -> str:
    """Return a time as remedy writes it everywhere: UTC, microseconds only when there are some, Z."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """
    Return the UTC time of a text such as 2026-11-22T03:00:00Z.

    Raises:
        ValueError: no ISO 8601 time, one without a zone, or outside the years 1 to 9999.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text} has no time zone; end it with Z")
    try:
        return time.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError(f"{text} is outside the calendar") from exc


def dump_readings(readings: Iterable[Reading], *, collected_at: datetime, digests: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a readings file, sorted by host and signal, each without its newline."""
    header = {
        "readings": READINGS_FORMAT,
        "collected_at": time_text(collected_at),
        "signals": dict(sorted(digests.items())),
    }
    yield json.dumps(header, ensure_ascii=False)
    for reading in sorted(readings, key=lambda reading: (reading.host, reading.signal)):
        line = {
            "host": reading.host,
            "signal": reading.signal,
            "observed_at": time_text(reading.observed_at),
            "status": reading.status.value,
            "reason": reading.reason,
            "rows": [{name: plain(value) for name, value in row.items()} for row in reading.rows],
        }
        yield json.dumps(line, ensure_ascii=False, allow_nan=False)


def parse_readings(lines: Iterable[str], signals: Mapping[str, Signal], *, file: str) -> ReadingsFile:
    """
    Return the readings of a file, each row checked against its signal as it is today.

    A row that no longer fits makes its reading `failed`; a reading of a signal
    that does not exist any more is left out. Blank lines are not allowed, nor a
    second reading of a host and signal: nobody could say which of them is true.

    Raises:
        FilesError: the file is no readings file; with the line.
    """
    numbered = enumerate(lines, start=1)
    collected_at, digests = _header(next(numbered, (1, ""))[1], file=file)
    readings: list[Reading] = []
    lines_by_place: dict[tuple[str, str], int] = {}
    for number, line in numbered:
        place = Place(file=file, line=number, column=1)
        reading = _reading_of_line(line, signals, place=place)
        first = lines_by_place.setdefault((reading.host, reading.signal), number)
        if first != number:
            message = f"a second reading of {reading.signal} on {reading.host}; the first is in line {first}"
            raise _problem(place, untrusted(message))
        if reading.signal in signals:
            readings.append(reading)
    return ReadingsFile(collected_at=collected_at, digests=digests, readings=tuple(readings))


def _header(line: str, *, file: str) -> tuple[datetime, Mapping[str, str]]:
    place = Place(file=file, line=1, column=1)
    cure = "make one with `remedy scan --save FILE`"
    try:
        header = _json_of_line(line)
        if header["readings"] != READINGS_FORMAT:
            raise _problem(place, f"readings format {header['readings']!r} is not {READINGS_FORMAT}", cure)
        digests = {name: _text(digest) for name, digest in header["signals"].items()}
        return parse_time(header["collected_at"]), digests
    except (_Odd, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise _problem(place, "this is no readings file", cure) from exc


def _problem(place: Place, message: str, cure: str = "") -> FilesError:
    return FilesError([Problem(place=place, message=message, cure=cure)])


def _json_of_line(line: str) -> Any:
    return json.loads(line, object_pairs_hook=_no_repeated, parse_constant=_no_constant)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _reading_of_line(line: str, signals: Mapping[str, Signal], *, place: Place) -> Reading:
    try:
        raw = _json_of_line(line)
        status = ReadingStatus(raw["status"])
        reading = Reading(
            host=_text(raw["host"]),
            signal=_text(raw["signal"]),
            observed_at=parse_time(raw["observed_at"]),
            status=status,
            reason=untrusted(_text(raw.get("reason", ""))),
        )
        # Rows that are missing are not the same as no rows: these can be healthy.
        rows = raw["rows"] if status is ReadingStatus.OK else []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise TypeError("rows are a list of objects")
    except (_Odd, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise _problem(place, "this line is no reading") from exc
    signal = signals.get(reading.signal)
    if signal is None or status is not ReadingStatus.OK:
        return reading
    return _with_rows(signal, reading, [(place.line, row) for row in rows])


def _with_rows(signal: Signal, reading: Reading, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> Reading:
    try:
        if len(rows) > ROWS_MAX:
            raise _Odd(f"more than {ROWS_MAX} rows")
        return replace(reading, reason="", rows=_checked_rows(signal, rows))
    except _Odd as odd:
        return replace(reading, status=ReadingStatus.FAILED, reason=str(odd))
