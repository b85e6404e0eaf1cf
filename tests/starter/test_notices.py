"""The fixes of stale-reboot and expiring-password, which tell people; run for real."""

import os
import pty
import select
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from remedy.model import Platform, Row
from tests.starter.sandbox import RULES, Machine, Said, set_age

_NOTICE = "/run/motd.d/remedy-reboot"
_PENDING: Row = {"pending": True, "uptime_days": 3.0, "reason": "packages ask for it: libc6"}
_USER_PROCESS = 7


class _Terminal:
    """A terminal of this machine on which an account of the sandbox is signed in."""

    def __init__(self, machine: Machine, account: str) -> None:
        self._master, self._slave = pty.openpty()
        line = os.ttyname(self._slave).removeprefix("/dev/")
        # struct utmp of Linux: type, pid, line, id, user, host, exit, session, time, address. See utmp(5).
        record = struct.pack(
            "<hxxi32s4s32s256shhiii4i20x",
            _USER_PROCESS, 1, line.encode(), b"ts/0", account.encode(), b"", 0, 0, 0, int(time.time()), 0, 0, 0, 0, 0,
        )  # fmt: skip
        machine.path("/run/utmp").write_bytes(record)

    def shown(self) -> str:
        """Return what was shown on it."""
        said = b""
        while select.select([self._master], [], [], 0.2)[0]:
            said += os.read(self._master, 65_536)
        return said.decode().replace("\r\n", "\n")

    def close(self) -> None:
        os.close(self._slave)
        os.close(self._master)


@pytest.fixture
def terminal(machine: Machine) -> Iterator[_Terminal]:
    """Sign alice in on a terminal."""
    machine.run("useradd", "--no-create-home", "alice")
    made = _Terminal(machine, "alice")
    yield made
    made.close()


def _notify(machine: Machine, row: Row = _PENDING) -> Said:
    said = machine.fix("stale-reboot", row)
    assert said.code == 0, said.stderr
    return said


def _changed_by_notice(machine: Machine) -> set[str]:
    return {name for name in machine.written() if "motd" in name}


def test_restart_notice_is_a_message_of_the_day(machine: Machine) -> None:
    """The notice says that a restart is due, why, since when the machine runs, and every user can read it."""
    _notify(machine)

    notice = machine.path(_NOTICE)
    lines = notice.read_text().splitlines()
    assert lines[0] == "This machine needs a restart."
    assert lines[1] == "Reason: packages ask for it: libc6"
    assert datetime.strptime(lines[2], "Running since: %Y-%m-%d").replace(tzinfo=UTC) <= datetime.now(UTC)
    assert notice.stat().st_mode & 0o777 == 0o644
    assert notice.parent.stat().st_mode & 0o777 == 0o755


def test_restart_notice_of_a_long_uptime_says_so(machine: Machine) -> None:
    """Without a pending restart the reason is the uptime, also when nobody knows whether one is pending."""
    for row in ({"pending": False, "uptime_days": 61.0}, {"pending": None, "uptime_days": 61.0}):
        _notify(machine, row)

        notice = machine.path(_NOTICE).read_text()
        assert "Reason: it has not been restarted for more than 60 days" in notice


def test_restart_notice_is_written_once(machine: Machine, terminal: _Terminal) -> None:
    """A second run changes nothing and disturbs nobody again."""
    machine.path("/etc/motd.d").mkdir()
    _notify(machine)
    assert "This machine needs a restart." in terminal.shown()
    before = (machine.snapshot("/run/motd.d"), machine.snapshot("/etc/motd.d"))

    said = _notify(machine)

    assert (machine.snapshot("/run/motd.d"), machine.snapshot("/etc/motd.d")) == before
    assert terminal.shown() == ""
    assert "says so already" in said.stdout


def test_users_who_are_signed_in_are_told(machine: Machine, terminal: _Terminal) -> None:
    """Who is signed in sees the notice on the terminal; the output says who was told."""
    said = _notify(machine)

    assert "Reason: packages ask for it: libc6" in terminal.shown()
    assert "told the users who are signed in: alice" in said.stdout


def test_nobody_signed_in_is_said(machine: Machine) -> None:
    """Without anybody signed in the output says so, and the fix has ended well."""
    said = _notify(machine)

    assert "nobody is signed in" in said.stdout


def test_restart_notice_ends_with_the_restart(machine: Machine) -> None:
    """In /etc lies at most a link, so that the notice cannot outlive the restart that it asks for."""
    machine.path("/etc/motd.d").mkdir()

    _notify(machine)

    assert str(machine.path("/etc/motd.d/remedy-reboot").readlink()) == _NOTICE
    assert _changed_by_notice(machine) >= {"run/motd.d/remedy-reboot", "etc/motd.d/remedy-reboot"}


def test_file_of_somebody_else_in_etc_is_left_alone(machine: Machine) -> None:
    """A file that stands where our link would is not touched, and the output says so."""
    theirs = machine.plant("/etc/motd.d/remedy-reboot")
    theirs.write_text("ours\n")

    said = _notify(machine)

    assert theirs.read_text() == "ours\n"
    assert "/etc/motd.d/remedy-reboot is not ours and was left alone" in said.stdout


@pytest.mark.parametrize(
    ("rule", "row", "name"),
    [
        ("stale-reboot", _PENDING, "remedy-reboot"),
        ("expiring-password", {"account": "root", "days_left": 3.0}, "remedy-password-root"),
    ],
)
@pytest.mark.parametrize("place", ["{}", ".{}"])
def test_link_in_the_place_of_a_notice_is_not_written_through(
    machine: Machine, rule: str, row: Row, name: str, place: str
) -> None:
    """A link planted where a notice goes is replaced; what it led to keeps its content."""
    victim = machine.plant("/etc/victim")
    victim.write_text("keep\n")
    machine.path("/run/motd.d").mkdir()
    machine.path(f"/run/motd.d/{place.format(name)}").symlink_to("/etc/victim")

    said = machine.fix(rule, row)

    assert said.code == 0
    assert victim.read_text() == "keep\n"
    assert not machine.path(f"/run/motd.d/{name}").is_symlink()


def test_notice_that_cannot_be_written_ends_badly(machine: Machine) -> None:
    """When the notice cannot be written the fix says so and has failed."""
    machine.plant("/run/motd.d")

    said = machine.fix("stale-reboot", _PENDING)

    assert said.code == 1
    assert "the notice /run/motd.d/remedy-reboot could not be written" in said.stderr


def test_reason_reaches_terminals_without_control_characters(machine: Machine, terminal: _Terminal) -> None:
    """What the machine gave as a reason is shown without control characters, and not at any length."""
    _notify(machine, {"pending": True, "uptime_days": 1.0, "reason": "\x1b[2Jevil\a" + "x" * 1_000})

    shown = terminal.shown() + machine.path(_NOTICE).read_text()
    assert "\x1b[2J" not in shown
    assert "[2Jevilx" in shown
    assert "x" * 301 not in shown


@pytest.mark.parametrize("rule", ["stale-reboot", "expiring-password"])
@pytest.mark.parametrize("command", ["shutdown", "systemctl", "reboot ", "init 6", "chage", "usermod", "chpasswd"])
def test_fix_that_tells_people_does_nothing_else(rule: str, command: str) -> None:
    """No script that tells people names a command that restarts, schedules, or changes an account."""
    lines = RULES[rule].fix[Platform.LINUX].body.decode().splitlines()

    assert [line for line in lines if command in line and not line.startswith("#")] == []


def _tell(machine: Machine, **row: str | float | bool) -> Said:
    usual: Row = {"account": "alice", "days_left": 3.0, "must_change": False, "own": False}
    said = machine.fix("expiring-password", {**usual, **row})
    assert said.code == 0, said.stderr
    return said


def _mail_program(machine: Machine, name: str, *, code: int = 0) -> None:
    program = machine.plant(f"/usr/bin/{name}")
    program.write_text(f'#!/bin/sh\n{{ printf "%s|" "$@"; echo; cat; }} >/tmp/mail\nexit {code}\n')
    program.chmod(0o755)


@pytest.fixture
def without_mail(machine: Machine) -> None:
    """Take every program that sends mail away."""
    machine.run("rm", "-f", "/usr/bin/mail", "/usr/sbin/sendmail", "/usr/bin/sendmail")


@pytest.mark.usefixtures("without_mail", "terminal")
@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"days_left": 3.0}, "expires in 3 day(s)."),
        ({"days_left": 0.0}, "expires today."),
        ({"days_left": -4.0}, "expired 4 day(s) ago."),
        ({"days_left": 0.0, "must_change": True}, "must be changed at the next sign-in."),
    ],
)
def test_password_notice_says_when(machine: Machine, row: dict[str, float | bool], text: str) -> None:
    """Without mail the notice is a message of the day: whose password, when, and the day it was true."""
    said = _tell(machine, **row)

    notice = machine.path("/run/motd.d/remedy-password-alice").read_text()
    assert notice.startswith(f"{datetime.now(UTC):%Y-%m-%d}: the password of alice on ")
    assert text in notice
    assert "remedy signs in" not in notice
    assert "no mail was sent to alice" in said.stdout


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("name", ["mail", "sendmail"])
def test_owner_gets_mail_where_there_is_mail(machine: Machine, without_mail: None, name: str) -> None:
    """With mail or sendmail the owner gets a mail, and no other user reads of it in the message of the day."""
    _mail_program(machine, name)

    said = _tell(machine)

    mail = machine.path("/tmp/mail").read_text()
    assert "--|alice|\n" in mail
    assert "the password of alice" in mail
    assert "sent mail to alice" in said.stdout
    assert not machine.path("/run/motd.d").exists()


@pytest.mark.usefixtures("terminal")
def test_mail_that_fails_falls_back_to_the_message_of_the_day(machine: Machine, without_mail: None) -> None:
    """When the mail program fails, the output says so and the notice goes into the message of the day."""
    _mail_program(machine, "mail", code=1)

    said = _tell(machine)

    assert "no mail was sent to alice" in said.stdout
    assert machine.path("/run/motd.d/remedy-password-alice").exists()


@pytest.mark.usefixtures("terminal")
def test_own_account_is_told_both_ways(machine: Machine, without_mail: None) -> None:
    """For the account remedy signs in with the notice stands in the message of the day beside the mail."""
    _mail_program(machine, "mail")

    _tell(machine, own=True)

    notice = machine.path("/run/motd.d/remedy-password-alice").read_text()
    assert "remedy signs in with this account" in notice
    assert "remedy signs in with this account" in machine.path("/tmp/mail").read_text()


def test_owner_is_told_on_the_terminal(machine: Machine, terminal: _Terminal) -> None:
    """Who is signed in reads it at once; another account's owner does not."""
    machine.run("useradd", "--no-create-home", "bob")
    if not machine.path("/usr/bin/write").exists():
        pytest.skip("this machine has no write")

    said = _tell(machine)
    shown = terminal.shown()
    _tell(machine, account="bob")

    assert "the password of alice" in shown
    assert "told alice on pts/" in said.stdout
    assert terminal.shown() == ""


@pytest.mark.usefixtures("without_mail", "terminal")
def test_password_notice_is_written_once_a_day(machine: Machine) -> None:
    """A second run on the same day changes nothing."""
    machine.path("/etc/motd.d").mkdir()
    _tell(machine)
    before = (machine.snapshot("/run/motd.d"), machine.snapshot("/etc/motd.d"))

    said = _tell(machine)

    assert (machine.snapshot("/run/motd.d"), machine.snapshot("/etc/motd.d")) == before
    assert "says so already" in said.stdout


@pytest.mark.usefixtures("without_mail", "terminal")
def test_notices_that_nobody_renewed_are_removed(machine: Machine) -> None:
    """A notice older than three days goes with its link; other messages of the day stay."""
    machine.path("/etc/motd.d").mkdir()
    machine.run("useradd", "--no-create-home", "bob")
    _tell(machine, account="bob")
    set_age(machine.path("/run/motd.d/remedy-password-bob"), 4.1)
    other = machine.plant("/run/motd.d/news", age_days=400)

    _tell(machine)

    assert not machine.path("/run/motd.d/remedy-password-bob").exists()
    assert not machine.path("/etc/motd.d/remedy-password-bob").is_symlink()
    assert machine.path("/run/motd.d/remedy-password-alice").exists()
    assert other.exists()


@pytest.mark.usefixtures("without_mail", "terminal")
def test_no_account_is_changed(machine: Machine) -> None:
    """Telling an owner changes neither the shadow file nor any other file of accounts."""
    names = ("passwd", "shadow", "group", "gshadow")
    before = [machine.path(f"/etc/{name}").read_bytes() for name in names]

    _tell(machine)

    assert [machine.path(f"/etc/{name}").read_bytes() for name in names] == before


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"account": "nobody-here"}, "the account nobody-here does not exist here"),
        ({"account": "../../etc/x"}, "'../../etc/x' is no account name"),
        ({"account": "-rf"}, "'-rf' is no account name"),
        ({"account": "a b"}, "'a b' is no account name"),
        ({"account": None}, "'' is no account name"),
        ({"account": "root", "days_left": None}, "'' is no number of days"),
        ({"account": "root", "days_left": 1.5}, "'1.5' is no number of days"),
    ],
)
def test_account_that_makes_no_sense_is_refused(
    machine: Machine, row: dict[str, str | float | None], reason: str
) -> None:
    """Without an account of this machine, or without days, nobody is told and the fix has failed."""
    said = machine.fix("expiring-password", {"days_left": 3.0} | row)

    assert said.code == 1
    assert said.stderr.strip() == f"{reason}; nobody was told"
    assert _changed_by_notice(machine) <= {"run/motd.d", "etc/motd.d"}
