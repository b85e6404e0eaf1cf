"""Readings: what is odd never becomes rows, and what is kept in a file comes back as it was."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.errors import FilesError
from remedy.model import ColumnType, Reading, ReadingStatus, RowPromise, Value, Verdict
from remedy.port import Captured, CollectorEnding, CollectorOutput
from remedy.readings import (
    ROWS_MAX,
    ROWS_SIZE_MAX,
    dump_readings,
    is_stale,
    parse_readings,
    parse_time,
    reading_of_output,
    time_text,
)
from remedy.verdicts import by_host, changed_signals, judge, only_fresh
from tests.core.builders import (
    BOOLEAN,
    BOOT,
    DISK,
    NOTE,
    NOW,
    SIGNALS,
    TEXT,
    output,
    reading,
    rule,
    scope,
    signal,
    unseen,
)
from tests.core.builders import hosts as hosts_of

GOOD = '{"mount": "/", "free_percent": 3}\n'
DIGESTS = {name: each.digest for name, each in SIGNALS.items()}


def _read(said: CollectorOutput) -> Reading:
    return reading_of_output(DISK, "web-1", said, observed_at=NOW)


def test_rows_of_a_good_output_are_typed_in_its_order() -> None:
    """Complete output of exit code 0 becomes rows, numbers as floats, in the order they were printed."""
    said = output('{"mount": "/srv", "free_percent": 3}\r\n\n{"mount": "/", "free_percent": null, "read_only": true}')

    found = _read(said)

    assert found.status is ReadingStatus.OK
    assert found.rows == (
        {"mount": "/srv", "free_percent": 3.0},
        {"mount": "/", "free_percent": None, "read_only": True},
    )
    assert type(found.rows[0]["free_percent"]) is float
    assert found.observed_at == NOW


RUBBISH = {
    "unknown column": (
        GOOD + '{"mount": "/srv", "fre_percent": 3}',
        "line 2: unknown column 'fre_percent' (free_percent?)",
    ),
    "unknown column with an escape": ('{"mount": "/", "\\u001b[2J": 3}', "line 1: unknown column '\\\\x1b[2J'"),
    "column twice": ('{"mount": "/", "free_percent": 3, "free_percent": 90}', "line 1: a column stands twice"),
    "key twice": (GOOD + GOOD, "line 2: the same key as line 1"),
    "NaN": ('{"mount": "/", "free_percent": NaN}', "line 1: NaN is no number"),
    "Infinity": ('{"mount": "/", "free_percent": Infinity}', "line 1: Infinity is no number"),
    "minus Infinity": ('{"mount": "/", "free_percent": -Infinity}', "line 1: -Infinity is no number"),
    "1e999": ('{"mount": "/", "free_percent": 1e999}', "line 1: free_percent is not finite"),
    "-1e999": ('{"mount": "/", "free_percent": -1e999}', "line 1: free_percent is not finite"),
    "integer beyond a double": (
        '{"mount": "/", "free_percent": 1%s}' % ("0" * 400),
        "line 1: free_percent is not finite",
    ),
    "integer of 5,000 digits": ('{"mount": "/", "free_percent": 1%s}' % ("0" * 5_000), "line 1 is no row"),
    "text that is no row": (GOOD + "df: /mnt: Stale file handle\n", "line 2 is no row: 'df: /mnt: Stale file handle'"),
    "half a row": (GOOD + '{"mount": "/srv", "free_per', "line 2 is no row"),
    "two rows on a line": (GOOD.strip() + GOOD, "line 1 is no row"),
    "no blank that JSON knows": (GOOD + "\x0b\n", "line 2 is no row"),
    "a list": ('["/", 3]', "line 1 is no row"),
    "a text": ('"/"', "line 1 is no row"),
    "null": ("null", "line 1 is no row"),
    "a byte order mark": ("\ufeff" + GOOD, "line 1 is no row"),
    "nested object": ('{"mount": "/", "free_percent": {"value": 3}}', "line 1: free_percent is no number"),
    "nested list": ('{"mount": "/", "free_percent": [3]}', "line 1: free_percent is no number"),
    "nested too deep": ("[" * 100_000, "line 1 is no row"),
    "null key": ('{"mount": null, "free_percent": 3}', "line 1: a key column could not be read"),
    "no key": ('{"free_percent": 3}', "line 1: a key column could not be read"),
    "newline in a text": ('{"mount": "/\\n/srv", "free_percent": 3}', "line 1: mount has a control character"),
    "NUL in a text": ('{"mount": "/\\u0000", "free_percent": 3}', "line 1: mount has a control character"),
    "C1 control in a text": ('{"mount": "/\\u009b", "free_percent": 3}', "line 1: mount has a control character"),
    "half a surrogate": ('{"mount": "\\ud800", "free_percent": 3}', "line 1: mount is no Unicode text"),
    "text too long": ('{"mount": "/%s"}' % ("é" * 2_048), "line 1: mount is longer than 4096 bytes"),
    "boolean for number": ('{"mount": "/", "free_percent": true}', "line 1: free_percent is no number"),
    "number for text": ('{"mount": 7, "free_percent": 3}', "line 1: mount is no text"),
    "text for number": ('{"mount": "/", "free_percent": "3"}', "line 1: free_percent is no number"),
    "number for boolean": ('{"mount": "/", "read_only": 1}', "line 1: read_only is no boolean"),
    "text for boolean": ('{"mount": "/", "read_only": "true"}', "line 1: read_only is no boolean"),
    "no rows": ("", "no rows, and the signal promises some"),
    "only blank lines": ("\n \n", "no rows, and the signal promises some"),
    "not_applicable beside rows": (GOOD + '{"not_applicable": "a container"}', "line 2: not_applicable stands alone"),
    "not_applicable before rows": ('{"not_applicable": "a container"}\n' + GOOD, "line 1: not_applicable stands alone"),
    "not_applicable twice": ('{"not_applicable": "a"}\n{"not_applicable": "b"}', "line 1: not_applicable stands alone"),
    "not_applicable with a column": ('{"not_applicable": "a", "mount": "/"}', "line 1: not_applicable stands alone"),
    "not_applicable without a reason": ('{"not_applicable": ""}', "line 1: not_applicable stands alone"),
    "not_applicable with a blank reason": ('{"not_applicable": " "}', "line 1: not_applicable stands alone"),
    "not_applicable null": ('{"not_applicable": null}', "line 1: not_applicable stands alone"),
    "not_applicable true": ('{"not_applicable": true}', "line 1: not_applicable stands alone"),
}


@pytest.mark.parametrize(("stdout", "reason"), RUBBISH.values(), ids=RUBBISH.keys())
def test_rubbish_is_failed_with_line_and_reason(stdout: str, reason: str) -> None:
    """One odd line makes the whole reading failed, with its line and reason and without any row."""
    found = _read(output(stdout))

    assert (found.status, found.rows) == (ReadingStatus.FAILED, ())
    assert found.reason.startswith(reason)
    assert found.reason.isprintable()


def _ended(ending: CollectorEnding) -> CollectorOutput:
    return output(GOOD, ending=ending, exit_code=None)


ENDINGS = {
    "exit 1": (
        output(GOOD, exit_code=1, stderr=b"warning\ndf: \x1b[31mI/O error\n"),
        "exit code 1: df: \\x1b[31mI/O error",
    ),
    "exit 124": (output(GOOD, exit_code=124), "exit code 124"),
    "exit -1": (output(GOOD, exit_code=-1), "exit code -1"),
    "no exit code": (output(GOOD, exit_code=None), "exit code None"),
    "timeout": (_ended(CollectorEnding.TIMED_OUT), "the collector did not end within its timeout"),
    "lost": (_ended(CollectorEnding.LOST), "the end of the collector was not seen"),
    "too much": (_ended(CollectorEnding.TOO_MUCH_OUTPUT), "more than 1048576 bytes of output"),
    "not UTF-8": (output(b'{"mount": "/\xff", "free_percent": 3}'), "the output is not UTF-8 (byte 12)"),
    "not_applicable and exit 1": (output('{"not_applicable": "a container"}', exit_code=1), "exit code 1"),
}


@pytest.mark.parametrize(("said", "reason"), ENDINGS.values(), ids=ENDINGS.keys())
def test_rows_of_a_bad_ending_are_thrown_away(said: CollectorOutput, reason: str) -> None:
    """Good rows count for nothing when the collector did not end with exit code 0 and UTF-8 text."""
    found = _read(said)

    assert (found.status, found.reason, found.rows) == (ReadingStatus.FAILED, reason, ())


def test_output_that_was_cut_is_failed() -> None:
    """Output of which the middle was not kept is no reading, though head and tail are whole rows."""
    raw = GOOD.encode()
    cut = Captured(head=raw, tail=b'{"mount": "/srv", "free_percent": 3}\n', size=10_000, sha256="")

    found = _read(replace(output(GOOD), stdout=cut))

    assert (found.status, found.reason) == (ReadingStatus.FAILED, "more than 1048576 bytes of output")


def _numbered(count: int) -> str:
    return "".join(f'{{"mount": "/{number}"}}\n' for number in range(count))


@pytest.mark.parametrize(("count", "status"), [(ROWS_MAX, ReadingStatus.OK), (ROWS_MAX + 1, ReadingStatus.FAILED)])
def test_rows_are_limited_to_ten_thousand(count: int, status: ReadingStatus) -> None:
    """10,000 rows are a reading, 10,001 are none."""
    found = _read(output(_numbered(count)))

    assert found.status is status
    assert len(found.rows) == (count if status is ReadingStatus.OK else 0)


@pytest.mark.parametrize(
    ("size", "status"), [(ROWS_SIZE_MAX, ReadingStatus.OK), (ROWS_SIZE_MAX + 1, ReadingStatus.FAILED)]
)
def test_output_is_limited_to_a_mebibyte(size: int, status: ReadingStatus) -> None:
    """1 MiB of output is a reading, one byte more is none."""
    found = _read(output(GOOD.ljust(size)))

    assert found.status is status


PROMISES = [
    (BOOT, "", "0 rows, and the signal promises one"),
    (BOOT, '{"days": 1}\n{"days": 2}', "2 rows, and the signal promises one"),
    (NOTE, '{"text": "a"}\n{"text": "b"}', "2 rows, and the signal has no key to tell them apart"),
    (
        signal("one", {"mount": TEXT}, key=("mount",), rows=RowPromise.ONE),
        '{"mount": "/"}\n{"mount": "/srv"}',
        "2 rows",
    ),
]


@pytest.mark.parametrize(("of", "stdout", "reason"), PROMISES)
def test_rows_fewer_or_more_than_promised_are_failed(of: "object", stdout: str, reason: str) -> None:
    """A reading that breaks the signal's promise of rows is failed."""
    found = reading_of_output(of, "web-1", output(stdout), observed_at=NOW)  # type: ignore[arg-type]

    assert (found.status, found.rows) == (ReadingStatus.FAILED, ())
    assert found.reason.startswith(reason)


def test_no_rows_are_a_reading_only_where_any_number_is_promised() -> None:
    """`rows: any` makes empty output a complete reading without rows."""
    found = reading_of_output(NOTE, "web-1", output(""), observed_at=NOW)

    assert (found.status, found.rows) == (ReadingStatus.OK, ())


def test_not_applicable_is_said_alone_with_a_reason_made_harmless() -> None:
    """A collector that says why its signal means nothing here gives not_applicable, its reason shown harmlessly."""
    found = _read(output('{"not_applicable": "a \\u001b[31mcontainer"}\n'))

    assert (found.status, found.rows) == (ReadingStatus.NOT_APPLICABLE, ())
    assert found.reason == "a \\x1b[31mcontainer"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_reader_never_raises_and_never_gives_half_a_reading(raw: bytes) -> None:
    """Whatever bytes a host sends, the reader answers with a reading; rows come with `ok` only."""
    found = _read(output(raw))

    assert found.status in (ReadingStatus.OK, ReadingStatus.FAILED, ReadingStatus.NOT_APPLICABLE)
    assert not found.rows or found.status is ReadingStatus.OK
    assert found.reason or found.status is ReadingStatus.OK


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(("mount", "free_percent", "read_only", "other")), JSON_VALUES, max_size=4))
def test_reader_coerces_nothing(row: dict[str, object]) -> None:
    """A row that is accepted holds exactly the printed values, each of its column's type or null."""
    found = _read(output(json.dumps(row)))

    if found.status is ReadingStatus.OK:
        (read,) = found.rows
        kinds = {ColumnType.TEXT: str, ColumnType.NUMBER: float, ColumnType.BOOLEAN: bool}
        assert read == row
        for name, value in read.items():
            assert value is None or type(value) is kinds[DISK.columns[name].type]
            assert isinstance(row[name], bool) == isinstance(value, bool)


# Files

_TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=8)
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
_TIMES = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone.


def _values(kind: ColumnType) -> st.SearchStrategy[Value]:
    drawn: dict[ColumnType, st.SearchStrategy[Value]] = {
        ColumnType.TEXT: _TEXTS,
        ColumnType.NUMBER: _NUMBERS,
        ColumnType.BOOLEAN: st.booleans(),
    }
    return st.none() | drawn[kind]


@st.composite
def _readings(draw: st.DrawFn) -> list[Reading]:
    places = draw(st.lists(st.tuples(_TEXTS, st.sampled_from(sorted(SIGNALS))), unique=True, max_size=6))
    found = []
    for host, name in sorted(places):
        of = SIGNALS[name]
        status = draw(st.sampled_from(ReadingStatus))
        rows: tuple[dict[str, Value], ...] = ()
        if status is ReadingStatus.OK:
            columns = {column: _values(kind.type) for column, kind in of.columns.items() if column not in of.key}
            drawn = st.fixed_dictionaries({}, optional=columns)
            if of.key:
                (key,) = of.key
                own = _values(of.columns[key].type).filter(lambda value: value is not None)
                keys = draw(st.lists(own, unique=True, min_size=of.rows is RowPromise.SOME, max_size=3))
                rows = tuple({key: value, **draw(drawn)} for value in keys)
            else:
                rows = tuple(draw(st.lists(drawn, min_size=of.rows is RowPromise.ONE, max_size=1)))
        reason = "" if status is ReadingStatus.OK else draw(st.sampled_from(("", "timeout", "exit code 1: é\\x1b")))
        found.append(Reading(host=host, signal=name, observed_at=draw(_TIMES), status=status, reason=reason, rows=rows))
    return found


@given(_readings(), _TIMES, st.randoms(use_true_random=False))
def test_readings_file_comes_back_as_it_was(readings: list[Reading], at: datetime, shuffler: object) -> None:
    """Parsing what was dumped, in any order, gives the same readings and digests; dumping again the same lines."""
    shuffled = list(readings)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    lines = list(dump_readings(shuffled, collected_at=at, digests=DIGESTS))

    kept = parse_readings(lines, SIGNALS, file="readings.jsonl")

    assert kept.readings == tuple(readings)
    assert (kept.collected_at, kept.digests) == (at, DIGESTS)
    assert list(dump_readings(kept.readings, collected_at=at, digests=kept.digests)) == lines
    assert "\n" not in "".join(lines)


def _file(*lines: str) -> list[str]:
    (header,) = dump_readings([], collected_at=NOW, digests=DIGESTS)
    return [header, *lines]


def _line(**changed: object) -> str:
    line = {"host": "web-1", "signal": "disk", "observed_at": "2026-11-22T08:45:00Z", "status": "ok", "reason": ""}
    return json.dumps({**line, "rows": [{"mount": "/", "free_percent": 3}], **changed})


def test_readings_file_line_is_a_reading() -> None:
    """The line that the tables below spoil is a good one."""
    kept = parse_readings(_file(_line()), SIGNALS, file="readings.jsonl")

    assert kept.readings == (reading(DISK, "web-1", {"mount": "/", "free_percent": 3}),)


def _without(line: str, name: str) -> str:
    return json.dumps({key: value for key, value in json.loads(line).items() if key != name})


NO_READINGS = {
    "blank": "",
    "no JSON": "{",
    "a list": "[]",
    "a text": '"disk"',
    "a number": "7",
    "nested too deep": "[" * 100_000,
    "NaN": _line(rows=[{"mount": "/", "free_percent": float("nan")}]),
    "a field twice": '{"host": "a", ' + _line()[1:],
    "no host": _without(_line(), "host"),
    "host is a number": _line(host=7),
    "signal is a list": _line(signal=["disk"]),
    "no time": _without(_line(), "observed_at"),
    "time without a zone": _line(observed_at="2026-11-22T08:45:00"),
    "time is a number": _line(observed_at=1763801100),
    "time before time": _line(observed_at="0001-01-01T00:00:00+14:00"),
    "unknown status": _line(status="fine"),
    "ok without rows": _without(_line(), "rows"),
    "rows is null": _line(rows=None),
    "rows is an object": _line(rows={"mount": "/"}),
    "a row is a list": _line(rows=[[["mount", "/"]]]),
    "a row is an empty list": _line(rows=[[]]),
    "a row is a text": _line(rows=[""]),
}


@pytest.mark.parametrize("line", NO_READINGS.values(), ids=NO_READINGS.keys())
def test_readings_file_with_a_broken_line_is_refused_with_its_place(line: str) -> None:
    """A line that is no reading refuses the file, with the line's number; no other error leaves the parser."""
    with pytest.raises(FilesError) as caught:
        parse_readings(_file(_line(host="web-0"), line), SIGNALS, file="readings.jsonl")

    assert str(caught.value) == "readings.jsonl:3:1: this line is no reading"


def test_readings_file_with_two_readings_of_one_host_and_signal_is_refused() -> None:
    """Two lines for one host and signal are refused: taking one of them away would change what is known."""
    failed = _line(status="failed", observed_at="2026-11-22T08:46:00Z", rows=[])

    with pytest.raises(FilesError) as caught:
        parse_readings(_file(_line(), failed), SIGNALS, file="readings.jsonl")

    assert str(caught.value) == "readings.jsonl:3:1: a second reading of disk on web-1; the first is in line 2"


HEADERS = {
    "an empty file": [],
    "no JSON": ["readings"],
    "another format": ['{"readings": 2, "collected_at": "2026-11-22T08:45:00Z", "signals": {}}'],
    "a reading": [_line()],
    "no digests": ['{"readings": 1, "collected_at": "2026-11-22T08:45:00Z"}'],
    "a signal twice": [
        '{"readings": 1, "collected_at": "2026-11-22T08:45:00Z", "signals": {"disk": "a", "disk": "b"}}'
    ],
    "digest is a number": ['{"readings": 1, "collected_at": "2026-11-22T08:45:00Z", "signals": {"disk": 1}}'],
    "no zone": ['{"readings": 1, "collected_at": "2026-11-22T08:45:00", "signals": {}}'],
    "time beyond time": ['{"readings": 1, "collected_at": "9999-12-31T23:59:59-14:00", "signals": {}}'],
    "nested too deep": ["[" * 100_000],
}


@pytest.mark.parametrize("lines", HEADERS.values(), ids=HEADERS.keys())
def test_readings_file_without_a_header_is_refused_with_a_cure(lines: list[str]) -> None:
    """A first line that is no header refuses the file and says how to make one."""
    with pytest.raises(FilesError) as caught:
        parse_readings(lines, SIGNALS, file="readings.jsonl")

    assert str(caught.value).startswith("readings.jsonl:1:1: ")
    assert str(caught.value).endswith("; make one with `remedy scan --save FILE`")


def test_rows_of_a_file_are_checked_like_a_collectors() -> None:
    """A row in a file that no longer fits its signal, and too many rows, make the reading failed with its line."""
    unknown = _line(rows=[{"mount": "/", "free_gib": 3}])
    many = _line(host="web-2", rows=[{"mount": f"/{number}"} for number in range(ROWS_MAX + 1)])

    kept = parse_readings(_file(unknown, many), SIGNALS, file="readings.jsonl")

    assert [(each.status, each.rows) for each in kept.readings] == [(ReadingStatus.FAILED, ())] * 2
    assert kept.readings[0].reason.startswith("line 2: unknown column 'free_gib'")
    assert kept.readings[1].reason == "more than 10000 rows"


def test_readings_of_a_signal_that_is_gone_are_left_out() -> None:
    """A line of a signal that no longer exists is no reading of anything."""
    kept = parse_readings(_file(_line(signal="fans")), SIGNALS, file="readings.jsonl")

    assert kept.readings == ()


@pytest.mark.parametrize("digests", [{}, {"disk": "another"}, {"disk": ""}])
@pytest.mark.parametrize("status", [ReadingStatus.OK, ReadingStatus.NOT_APPLICABLE])
def test_reading_of_another_version_of_its_signal_is_unknown(status: ReadingStatus, digests: dict[str, str]) -> None:
    """A reading whose signal has another digest now, or none in the file, is judged unknown, never by its rows."""
    old = replace(reading(DISK, "web-1", {"mount": "/", "free_percent": 3}), status=status)
    scopes = [scope(rule(), hosts_of("web-1"))]

    (judgement,) = judge(scopes, by_host(changed_signals([old], digests, SIGNALS)), SIGNALS)

    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.reason == "failed: the signal has changed since these readings were taken"


def test_reading_of_the_same_version_of_its_signal_is_kept() -> None:
    """A reading whose signal has the same digest now stays as it is."""
    found = reading(DISK, "web-1", {"mount": "/", "free_percent": 3})

    assert list(changed_signals([found], DIGESTS, SIGNALS)) == [found]


# Age

AGES = [
    (timedelta(0), False),
    (timedelta(seconds=900), False),
    (timedelta(seconds=900, microseconds=1), True),
    (timedelta(microseconds=-1), True),
    (timedelta(days=-1), True),
]


@pytest.mark.parametrize(("age", "stale"), AGES)
def test_reading_is_stale_when_strictly_older_than_max_age_or_from_the_future(age: timedelta, stale: bool) -> None:
    """max_age itself is fresh, a microsecond more is stale, and so is every time after now."""
    assert is_stale(reading(DISK, "web-1", at=NOW - age), max_age_s=900, now=NOW) is stale


@pytest.mark.parametrize("status", [ReadingStatus.OK, ReadingStatus.NOT_APPLICABLE])
@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (timedelta(hours=1), "failed: stale: 1h old, at most 15m"),
        (timedelta(minutes=-5), "failed: dated 5m after now"),
    ],
)
def test_stale_and_future_readings_are_unknown(status: ReadingStatus, age: timedelta, reason: str) -> None:
    """A reading that is too old or from the future is unknown, whether it has rows or says not_applicable."""
    found = replace(reading(DISK, "web-1", {"mount": "/", "free_percent": 3}, at=NOW - age), status=status)
    fresh = by_host(only_fresh([found], SIGNALS, now=NOW))

    (judgement,) = judge([scope(rule(), hosts_of("web-1"))], fresh, SIGNALS)

    assert (judgement.verdict, judgement.findings, judgement.reason) == (Verdict.UNKNOWN, (), reason)


@pytest.mark.parametrize("status", [ReadingStatus.FAILED, ReadingStatus.UNREACHABLE, ReadingStatus.REFUSED])
def test_age_leaves_the_reason_of_an_unseen_reading_alone(status: ReadingStatus) -> None:
    """What was never read stays what it was, with its own reason, however old."""
    found = unseen(DISK, "web-1", status, at=NOW - timedelta(days=1), reason="no route")

    assert list(only_fresh([found], SIGNALS, now=NOW)) == [found]


def test_newest_reading_of_a_host_and_signal_wins() -> None:
    """Of several readings of one host and signal the newest is taken, in whatever order they come."""
    old, new = (reading(BOOT, "web-1", {"days": days}, at=NOW - timedelta(minutes=days)) for days in (9, 1))

    assert by_host([old, new]) == by_host([new, old]) == {"web-1": {"boot": new}}


TIMES = [
    ("2026-11-22T08:45:00Z", "2026-11-22T08:45:00Z"),
    ("2026-11-22T09:45:00+01:00", "2026-11-22T08:45:00Z"),
    ("2026-11-22T08:45:00.25Z", "2026-11-22T08:45:00.250000Z"),
]


@pytest.mark.parametrize(("text", "canonical"), TIMES)
def test_time_has_one_text(text: str, canonical: str) -> None:
    """Every form of a time becomes UTC with Z, and that text is read as the same time."""
    assert time_text(parse_time(text)) == canonical
    assert parse_time(canonical) == parse_time(text)


@pytest.mark.parametrize("text", ["", "now", "2026-11-22", "2026-11-22T08:45:00", "0001-01-01T00:00:00+14:00"])
def test_time_without_a_zone_or_out_of_range_is_refused(text: str) -> None:
    """What is no time with a zone raises ValueError, and nothing else."""
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


def test_boolean_column_keeps_true_apart_from_one() -> None:
    """True and 1 are two keys in no signal: a boolean column refuses numbers."""
    of = signal("flag", {"up": BOOLEAN}, key=("up",))

    found = reading_of_output(of, "web-1", output('{"up": true}\n{"up": 1}'), observed_at=NOW)

    assert (found.status, found.reason) == (ReadingStatus.FAILED, "line 2: up is no boolean")
