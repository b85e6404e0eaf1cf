"""
The signal clock, against programs that answer in the forms of chrony 4.3 and systemd 252.

Recorded are chrony's lines of a synchronised and of an unsynchronised daemon, and
timesyncd's status after one answer; the others follow their documentation.
"""

import os
import time

import pytest

from remedy.model import Reading, ReadingStatus, Row
from tests.starter.sandbox import RULES, Machine, row_of

# `chronyc -c tracking`: synchronised, without a server, and with itself as reference.
_CHRONY = (
    "7F000001,127.0.0.1,9,{at:.9f},{left},-0.000000261,0.000001206,0.001,-0.005,0.289,0.000007707,0.000002328,1.0,"
    "{leap}"
)
_CHRONY_ALONE = (
    "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,"
    "Not synchronised"
)
_CHRONY_ITSELF = "7F7F0101,,8,{at:.9f},0.000000000,0.0,0.0,0.000,0.000,0.000,0.000000000,0.000000000,0.0,Normal"

# `timedatectl timesync-status`
_TIMESYNC = """\
       Server: 127.0.0.1 (127.0.0.1)
Poll interval: 1min 4s (min: 32s; max 34min 8s)
         Leap: {leap}
      Version: 4
      Stratum: 8
    Reference: 7F7F0101
    Precision: 1us (-26)
Root distance: 0 (max: 5s)
       Offset: {offset}
        Delay: 25us
       Jitter: 0
 Packet count: {count}
    Frequency: +0.000ppm"""
_TIMESYNC_WAITING = """\
       Server: 127.0.0.1 (127.0.0.1)
Poll interval: 32s (min: 32s; max 34min 8s)
 Packet count: 0"""

_DEAF_CHRONY = "echo '506 Cannot talk to daemon'; exit 1"
_DEAF_BUS = "echo 'Failed to connect to bus: Host is down' >&2; exit 1"


@pytest.fixture
def host(machine: Machine) -> Machine:
    """Give a machine that has been up for long, in which no time service answers."""
    machine.without("chronyc", "timedatectl")
    machine.program("systemctl", "exit 3")
    machine.plant("/uptime").write_text("100000.00 1.00\n")
    machine.run("mount", "--bind", "/uptime", "/proc/uptime")
    return machine


def _says(text: str) -> str:
    return f"echo '{text}'"


def _chrony(machine: Machine, *, left: str = "0.000000000", ago_s: float = 60, leap: str = "Normal") -> None:
    said = _CHRONY.format(at=time.time() - ago_s, left=left, leap=leap)
    machine.program("chronyc", f'[ "$*" = "-c tracking" ] || exit 9; {_says(said)}')


def _timesyncd(machine: Machine, said: str) -> None:
    machine.program("systemctl", '[ "$*" = "is-active --quiet systemd-timesyncd.service" ]')
    machine.program("timedatectl", f'[ "$*" = timesync-status ] || exit 9; {_says(said)}')


def _row(reading: Reading) -> Row:
    return row_of(reading)


def _matches(row: Row) -> bool | None:
    rule = RULES["time-drift"]
    return rule.when.bind(rule.params)(row, {})


@pytest.mark.parametrize(
    ("left", "offset_s", "match"),
    [
        ("-0.000001962", 0.000002, False),
        ("0.000000000", 0, False),
        ("0.999999000", -0.999999, False),
        ("1.000001000", -1.000001, True),
        ("-314.250000000", 314.25, True),
    ],
)
def test_chrony_says_how_far_the_clock_is_off(host: Machine, left: str, offset_s: float, match: bool) -> None:
    """What chrony has left to correct is the offset; negative there is a clock that is ahead, positive here."""
    _chrony(host, left=left)

    row = _row(host.collect("clock"))

    assert (row["source"], row["synchronised"], row["offset_s"]) == ("chrony", True, offset_s)
    assert row["since_sync_h"] == pytest.approx(1 / 60, abs=0.005)
    assert _matches(row) is match


@pytest.mark.parametrize("said", [_CHRONY_ALONE, _CHRONY_ITSELF.format(at=1_795_365_978.5)])
def test_chrony_without_a_server_matches(host: Machine, said: str) -> None:
    """Not synchronised, or with itself for a reference: the offset that chrony prints then means nothing."""
    host.program("chronyc", _says(said))

    row = _row(host.collect("clock"))

    assert (row["synchronised"], row["offset_s"], row["since_sync_h"]) == (False, None, None)
    assert _matches(row) is True


@pytest.mark.parametrize(("hours", "match"), [(23.9, False), (24.1, True)])
def test_chrony_that_hears_nothing_any_more_matches(host: Machine, hours: float, match: bool) -> None:
    """The word of chrony stays `Normal` when its servers are gone; the age of the last answer tells."""
    _chrony(host, ago_s=hours * 3600)

    row = _row(host.collect("clock"))

    assert row["since_sync_h"] == pytest.approx(hours, abs=0.005)
    assert _matches(row) is match


def test_answer_from_the_future_has_no_age(host: Machine) -> None:
    """When the last answer lies ahead, the clock was set back since: its age is unknown, and not zero."""
    _chrony(host, ago_s=-600)

    row = _row(host.collect("clock"))

    assert row["since_sync_h"] is None
    assert _matches(row) is None


@pytest.mark.parametrize("leap", ["Insert second", "Delete second"])
def test_leap_second_ahead_is_synchronised(host: Machine, leap: str) -> None:
    """A leap second that is announced is no trouble."""
    _chrony(host, leap=leap)

    assert _matches(_row(host.collect("clock"))) is False


@pytest.mark.parametrize(
    ("offset", "offset_s"),
    [
        ("+5us", -0.000005),
        ("-1.026ms", 0.001026),
        ("+0", 0),
        ("-12.345s", 12.345),
        ("+1min 3.5s", -63.5),
        ("-2h 4min", 7440),
        ("+1month 1d", -2716200),
        ("+1fortnight", None),
    ],
)
def test_timesyncd_says_how_far_the_clock_is_off(host: Machine, offset: str, offset_s: float | None) -> None:
    """The span that timedatectl prints is read in each of its units; one that makes no sense is unknown."""
    _timesyncd(host, _TIMESYNC.format(offset=offset, leap="normal", count=7))
    host.plant("/run/systemd/timesync/synchronized", age_days=1 / 48)

    row = _row(host.collect("clock"))

    assert (row["source"], row["synchronised"], row["offset_s"]) == ("systemd-timesyncd", True, offset_s)
    assert row["since_sync_h"] == pytest.approx(0.5, abs=0.005)


def test_first_answer_to_timesyncd_is_no_offset(host: Machine) -> None:
    """The first answer sets the clock: how far off it was is not how far it is, so nobody knows yet."""
    _timesyncd(host, _TIMESYNC.format(offset="+25.1s", leap="normal", count=1))
    host.plant("/run/systemd/timesync/synchronized")

    row = _row(host.collect("clock"))

    assert (row["synchronised"], row["offset_s"]) == (True, None)
    assert _matches(row) is None


@pytest.mark.parametrize("said", [_TIMESYNC_WAITING, _TIMESYNC.format(offset="+5us", leap="not synchronized", count=3)])
def test_timesyncd_without_an_answer_matches(host: Machine, said: str) -> None:
    """A timesyncd that has heard from no server, or from one that is not synchronised itself, keeps nothing right."""
    _timesyncd(host, said)

    row = _row(host.collect("clock"))

    assert (row["synchronised"], row["offset_s"]) == (False, None)
    assert _matches(row) is True


def test_timesyncd_is_asked_only_when_it_runs(host: Machine) -> None:
    """Without it running, timedatectl would wait for 25 s to start timesyncd, so it is not asked."""
    host.program("timedatectl", '[ "$1" = timesync-status ] && touch /asked; exit 1')

    reading = host.collect("clock")

    assert reading.status is ReadingStatus.FAILED
    assert not host.path("/asked").exists()


@pytest.mark.parametrize(("said", "match"), [("NTPSynchronized=no", True), ("NTPSynchronized=yes", None)])
def test_kernel_knows_only_whether_somebody_keeps_time(host: Machine, said: str, match: bool | None) -> None:
    """With another service the kernel's no is trouble; its yes says nothing about the offset, and is unknown."""
    host.program("chronyc", _DEAF_CHRONY)
    host.program("timedatectl", f'[ "$*" = "show -p NTPSynchronized" ] && {_says(said)}')

    row = _row(host.collect("clock"))

    assert (row["source"], row["offset_s"]) == ("the kernel", None)
    assert _matches(row) is match


@pytest.mark.parametrize("said", [_CHRONY_ALONE, _TIMESYNC_WAITING])
def test_not_yet_synchronised_after_a_start_is_unknown(host: Machine, said: str) -> None:
    """In the first quarter of an hour a clock that nobody keeps yet is unknown; afterwards it matches."""
    if said == _CHRONY_ALONE:
        host.program("chronyc", _says(said))
    else:
        _timesyncd(host, said)

    matches = []
    for uptime in (899, 900):
        host.path("/uptime").write_text(f"{uptime}.50 1.00\n")
        matches.append(_matches(_row(host.collect("clock"))))

    assert matches == [None, True]


@pytest.mark.parametrize(
    "said", ["", "garbage", "506 Cannot talk to daemon", "7F000001,127.0.0.1,9,soon,0.1,1,1,1,1,1,1,1,1.0,Normal"]
)
def test_answer_that_makes_no_sense_is_none(host: Machine, said: str) -> None:
    """When what chronyc prints is not understood, it counts as silence; with nobody else the reading has failed."""
    host.program("chronyc", _says(said))
    host.program("timedatectl", _DEAF_BUS)

    reading = host.collect("clock")

    assert reading.status is ReadingStatus.FAILED
    assert "nobody can say whether the clock is right" in reading.reason


def test_next_service_is_asked_when_chrony_is_deaf(host: Machine) -> None:
    """A chronyc without its daemon leaves the word to timesyncd."""
    host.program("chronyc", _DEAF_CHRONY)
    _timesyncd(host, _TIMESYNC.format(offset="+5us", leap="normal", count=2))
    host.plant("/run/systemd/timesync/synchronized")

    assert _row(host.collect("clock"))["source"] == "systemd-timesyncd"


def test_clock_of_a_container_is_not_applicable(host: Machine) -> None:
    """A container has the clock of its host, which is watched there."""
    _chrony(host)
    host.plant("/.dockerenv")

    assert host.collect("clock").status is ReadingStatus.NOT_APPLICABLE


def test_age_follows_the_file_that_timesyncd_touches(host: Machine) -> None:
    """A timesyncd whose servers are gone keeps its last offset; the file that it touches has grown old and matches."""
    _timesyncd(host, _TIMESYNC.format(offset="+5us", leap="normal", count=90))
    touched = host.plant("/run/systemd/timesync/synchronized")
    then = time.time() - 25 * 3600
    os.utime(touched, (then, then))

    row = _row(host.collect("clock"))

    assert row["since_sync_h"] == pytest.approx(25, abs=0.005)
    assert _matches(row) is True
