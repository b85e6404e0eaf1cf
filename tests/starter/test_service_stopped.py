"""The signal service and the fix of service-stopped, against a systemctl with the answers of systemd 252."""

import time
from datetime import UTC, datetime

import pytest

from remedy.model import Reading, ReadingStatus, Row
from tests.starter.sandbox import RULES, Machine, Said, row_of

# What `systemctl show` of systemd 252 prints of a service that is enabled and runs, in its order.
_RUNNING = """\
Type=simple
RemainAfterExit=no
MainPID=90
Result=success
NRestarts=0
ExecMainCode=0
ExecMainStatus=0
Id=good.service
RequiredBy=
WantedBy=multi-user.target
Conflicts=shutdown.target
ConflictedBy=
TriggeredBy=
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
ActiveEnterTimestamp=Sun 2026-11-22 16:45:37 UTC
InactiveEnterTimestamp=
Job=
ConditionResult=yes
ConditionTimestamp=Sun 2026-11-22 16:45:37 UTC
"""
# What differs from it in other states, as recorded there.
_FAILED = {
    "MainPID": "0",
    "Result": "exit-code",
    "NRestarts": "3",
    "ExecMainCode": "1",
    "ExecMainStatus": "7",
    "ActiveState": "failed",
    "SubState": "failed",
    "InactiveEnterTimestamp": "Sun 2026-11-22 16:45:39 UTC",
}
_STOPPED = {
    "MainPID": "0",
    "ExecMainCode": "2",
    "ExecMainStatus": "15",
    "ActiveState": "inactive",
    "SubState": "dead",
    "InactiveEnterTimestamp": "Sun 2026-11-22 16:45:41 UTC",
}
_NEVER_STARTED = {
    "MainPID": "0",
    "ActiveState": "inactive",
    "SubState": "dead",
    "ActiveEnterTimestamp": "",
    "ConditionResult": "no",
    "ConditionTimestamp": "",
}
_STARTING = {
    "Type": "notify",
    "ActiveState": "activating",
    "SubState": "start",
    "ActiveEnterTimestamp": "",
    "Job": "71",
}
_MASKED = _NEVER_STARTED | {"Type": "", "LoadState": "masked", "UnitFileState": "masked", "WantedBy": ""}
_ONCE = _STOPPED | {"Type": "oneshot", "ExecMainCode": "1", "ExecMainStatus": "0", "ActiveEnterTimestamp": ""}
_CONDITION = _NEVER_STARTED | {"ConditionTimestamp": "Sun 2026-11-22 16:45:37 UTC"}
_MISSING = _NEVER_STARTED | {"Type": "", "LoadState": "not-found", "UnitFileState": "", "WantedBy": ""}

# The words that the scripts may use, and no others; a unit is a file of its properties.
_SYSTEMCTL = """
units=/srv/units
case $* in
    "show -p "*" -- "*)
        [ -e "$units/$5" ] || exec awk -F= -v of=",$3," 'index(of, "," $1 ",")' "$units/missing"
        exec awk -F= -v of=",$3," 'index(of, "," $1 ",")' "$units/$5" ;;
    "is-active --quiet -- "*)
        shift 3
        for unit in "$@"; do
            grep -qs '^ActiveState=active$' "$units/$unit" && exit 0
        done
        exit 3 ;;
    "reset-failed -- "*)
        echo "$*" >>/srv/done
        sed -i 's/^Result=.*/Result=success/; s/^NRestarts=.*/NRestarts=0/' "$units/$3"
        sed -i 's/^ActiveState=failed/ActiveState=inactive/; s/^SubState=failed/SubState=dead/' "$units/$3" ;;
    "--no-ask-password start -- "*)
        echo "$*" >>/srv/done
        grep -q '^ActiveState=failed$' "$units/$4" && { echo "start-limit-hit" >&2; exit 1; }
        [ -e "/srv/after/$4" ] || exit 9
        cp "/srv/after/$4" "$units/$4"
        grep -q '^ActiveState=active$' "$units/$4" && exit 0
        echo "Job for $4 failed because the control process exited with error code." >&2
        exit 1 ;;
    *) echo "unexpected: systemctl $*" >&2; exit 99 ;;
esac
"""


def _properties(changes: dict[str, str]) -> str:
    lines = dict(line.split("=", 1) for line in _RUNNING.splitlines())
    assert set(changes) <= set(lines)
    return "".join(f"{name}={value}\n" for name, value in (lines | changes).items())


@pytest.fixture
def systemd(machine: Machine) -> Machine:
    """Give a machine that looks as if systemd ran there."""
    machine.run("mkdir", "-p", "/run/systemd/system", "/srv/units", "/srv/after")
    machine.program("systemctl", _SYSTEMCTL)
    machine.program("journalctl", 'echo "journalctl $*"')
    machine.path("/srv/units/missing").write_text(_properties(_MISSING))
    return machine


def _unit(machine: Machine, name: str, *states: dict[str, str], folder: str = "units", **changes: str) -> None:
    merged = {"Id": f"{name}.service"}
    for state in (*states, changes):
        merged |= state
    machine.path(f"/srv/{folder}/{name}.service").write_text(_properties(merged))


def _ago(seconds: float) -> str:
    return datetime.fromtimestamp(time.time() - seconds, tz=UTC).strftime("%a %Y-%m-%d %H:%M:%S UTC")


def _read(machine: Machine, *names: str) -> Reading:
    return machine.collect("service", {"names": names})


def _matches(row: Row) -> bool | None:
    rule = RULES["service-stopped"]
    return rule.when.bind(rule.params)(row, {})


def _start(machine: Machine, service: str) -> Said:
    return machine.fix("service-stopped", {"service": service, "running": False, "enabled": True})


def _done(machine: Machine) -> list[str]:
    place = machine.path("/srv/done")
    return place.read_text().splitlines() if place.exists() else []


def test_service_that_runs_says_for_how_long(systemd: Machine) -> None:
    """A service that runs has the seconds since its last start, its restarts, and no match."""
    _unit(systemd, "good", ActiveEnterTimestamp=_ago(3600), NRestarts="2")

    row = row_of(_read(systemd, "good"), service="good")

    assert 3600 <= float(str(row["running_s"])) < 3660
    assert (row["running"], row["enabled"], row["restarts"]) == (True, True, 2)
    assert row["state"] == "active (running)"
    assert _matches(row) is False


@pytest.mark.parametrize(
    ("state", "said"),
    [(_FAILED, "failed (failed)"), (_STOPPED, "inactive (dead)"), (_NEVER_STARTED, "inactive (dead)")],
)
def test_enabled_service_that_does_not_run_matches(systemd: Machine, state: dict[str, str], said: str) -> None:
    """A service that is enabled and failed, was stopped, or was never started matches."""
    _pretend_uptime(systemd, 5000)
    _unit(systemd, "web", state)

    row = row_of(_read(systemd, "web"), service="web")

    assert row["state"] == said
    assert row["running_s"] is None
    assert _matches(row) is True


def _pretend_uptime(machine: Machine, seconds: int) -> None:
    machine.plant("/uptime").write_text(f"{seconds}.00 1.00\n")
    machine.run("mount", "--bind", "/uptime", "/proc/uptime")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (_MASKED, "is masked"),
        (_MASKED | {"UnitFileState": ""}, "is masked"),
        (_STOPPED | {"UnitFileState": "masked-runtime"}, "is masked"),
        (_STOPPED | {"UnitFileState": "disabled", "WantedBy": ""}, "is disabled"),
        ({"UnitFileState": "disabled", "WantedBy": ""}, "is disabled"),
        (_STOPPED | {"UnitFileState": "generated", "WantedBy": ""}, "is disabled"),
        (_CONDITION, "has conditions that do not hold"),
        (_STOPPED | {"TriggeredBy": "web.socket"}, "is started on demand"),
    ],
)
def test_service_that_is_not_meant_to_run_is_left_out(systemd: Machine, state: dict[str, str], reason: str) -> None:
    """Masked, disabled, held back by its conditions or started on demand: no row; and none at all is not applicable."""
    _unit(systemd, "web", state)
    _unit(systemd, "good")
    systemd.path("/srv/units/web.socket").write_text("ActiveState=active\n")

    alone = _read(systemd, "web")
    beside = _read(systemd, "web", "good")

    assert alone.status is ReadingStatus.NOT_APPLICABLE
    assert f"web {reason}" in alone.reason
    assert [row["service"] for row in beside.rows] == ["good"]


@pytest.mark.parametrize(
    ("state", "said", "running"),
    [
        (_STARTING, "activating (start)", None),
        (_STOPPED | {"Job": "71"}, "inactive (dead), a job is waiting", None),
        (_ONCE, "inactive (dead), does its work and ends", None),
        (_MISSING, "not-found", None),
        (_FAILED | {"UnitFileState": "static"}, "failed (failed)", False),
    ],
)
def test_service_of_which_nobody_can_say_is_unknown(
    systemd: Machine, state: dict[str, str], said: str, running: bool | None
) -> None:
    """Starting, about to be, no daemon, not there, or neither enabled nor disabled: unknown and never healthy."""
    _unit(systemd, "web", state)

    row = row_of(_read(systemd, "web"), service="web")

    assert (row["state"], row["running"]) == (said, running)
    assert _matches(row) is None


def test_start_that_lies_ahead_has_no_age(systemd: Machine) -> None:
    """When a service started later than now, the clock was set back: for how long it runs is unknown."""
    _unit(systemd, "good", ActiveEnterTimestamp=_ago(-60))

    row = row_of(_read(systemd, "good"), service="good")

    assert (row["running"], row["running_s"]) == (True, None)


def test_failed_service_is_not_excused_by_its_socket(systemd: Machine) -> None:
    """What is started on demand and failed is trouble, and so is what is stopped while its socket is, too."""
    _unit(systemd, "failed", _FAILED, TriggeredBy="on.socket")
    _unit(systemd, "stopped", _STOPPED, TriggeredBy="off.socket")
    systemd.path("/srv/units/on.socket").write_text("ActiveState=active\n")
    systemd.path("/srv/units/off.socket").write_text("ActiveState=inactive\n")

    reading = _read(systemd, "failed", "stopped")

    assert [_matches(row) for row in reading.rows] == [True, True]


def test_service_that_stopped_just_now_is_unknown(systemd: Machine) -> None:
    """Within grace_s of its stop a service may be in an update, so nobody knows; afterwards it matches."""
    _unit(systemd, "early", _STOPPED, InactiveEnterTimestamp=_ago(290))
    _unit(systemd, "late", _STOPPED, InactiveEnterTimestamp=_ago(300))
    _unit(systemd, "ahead", _FAILED, InactiveEnterTimestamp=_ago(-60))

    reading = _read(systemd, "early", "late", "ahead")

    assert [_matches(row) for row in reading.rows] == [None, True, None]


def test_service_never_started_waits_for_the_machine(systemd: Machine) -> None:
    """An enabled service that never ran is unknown while the machine is still starting."""
    _pretend_uptime(systemd, 299)
    _unit(systemd, "web", _NEVER_STARTED)

    row = row_of(_read(systemd, "web"), service="web")

    assert _matches(row) is None


def test_sysv_script_is_enabled_where_a_runlevel_wants_it(systemd: Machine) -> None:
    """A script of SysV init, which systemd calls generated, counts as enabled when a target wants it."""
    _unit(systemd, "web", _STOPPED, UnitFileState="generated", WantedBy="multi-user.target graphical.target")

    row = row_of(_read(systemd, "web"), service="web")

    assert row["enabled"] is True
    assert _matches(row) is True


def test_two_names_of_one_service_are_one_row(systemd: Machine) -> None:
    """A name with and without its suffix, and an alias, are one row under the name that comes first."""
    _unit(systemd, "ssh")
    _unit(systemd, "sshd", Id="ssh.service")

    reading = _read(systemd, "sshd", "ssh", "ssh.service")

    assert [row["service"] for row in reading.rows] == ["sshd"]


def test_old_systemd_without_restarts_is_read(systemd: Machine) -> None:
    """Where systemd does not know NRestarts, only that number is unknown."""
    _unit(systemd, "good")
    place = systemd.path("/srv/units/good.service")
    place.write_text(place.read_text().replace("NRestarts=0\n", ""))

    row = row_of(_read(systemd, "good"), service="good")

    assert [name for name, value in row.items() if value is None] == ["restarts"]


def test_no_named_service_is_not_applicable(systemd: Machine) -> None:
    """Without a name nothing is looked at: never every unit that is stopped."""
    reading = _read(systemd)

    assert reading.status is ReadingStatus.NOT_APPLICABLE
    assert "no services are named" in reading.reason


@pytest.mark.parametrize("name", ["two words", "*", "-x", "nginx.socket", "a/b", "$(x)", "[n]ginx"])
def test_name_that_is_no_service_fails_the_reading(systemd: Machine, name: str) -> None:
    """A name that systemd would take as a pattern, an option or another kind of unit is refused with the name."""
    _unit(systemd, "good")

    reading = _read(systemd, "good", name)

    assert reading.status is ReadingStatus.FAILED
    assert f"'{name}' is no name of a service" in reading.reason


def test_machine_without_systemd_is_unknown(machine: Machine) -> None:
    """Where systemd does not run, named services are unknown: whoever named them wants to hear of it."""
    reading = _read(machine, "cron")

    assert reading.status is ReadingStatus.FAILED
    assert "systemd does not run here" in reading.reason


def test_systemd_that_does_not_answer_is_unknown(systemd: Machine) -> None:
    """When systemctl fails, whose 1 could be taken for an answer, the reading has failed."""
    systemd.program("systemctl", 'echo "Failed to connect to bus: Host is down" >&2; exit 1')

    reading = _read(systemd, "good")

    assert reading.status is ReadingStatus.FAILED
    assert "Host is down" in reading.reason


@pytest.mark.parametrize("state", [_FAILED, _STOPPED, _NEVER_STARTED])
def test_fix_starts_the_service(systemd: Machine, state: dict[str, str]) -> None:
    """The failures are forgotten, then the service is started, once; and the output says both states and its log."""
    _unit(systemd, "web", state)
    _unit(systemd, "web", folder="after")

    said = _start(systemd, "web")

    assert (said.code, said.stderr) == (0, "")
    assert _done(systemd) == ["reset-failed -- web.service", "--no-ask-password start -- web.service"]
    assert f"before: ActiveState={state['ActiveState']}" in said.stdout
    assert "--lines=50 --unit=web.service" in said.stdout
    assert "after: ActiveState=active" in said.stdout


def test_reading_after_the_fix_needs_a_while_without_a_break(systemd: Machine) -> None:
    """`until` is reached when the service has run for steady_s, not when it was restarted just now."""
    rule = RULES["service-stopped"]
    reached = getattr(rule.verify, "until").bind(rule.params)  # noqa: B009  # only one kind of verify has it.
    _unit(systemd, "steady", ActiveEnterTimestamp=_ago(58))
    _unit(systemd, "restarted", ActiveEnterTimestamp=_ago(5), NRestarts="3")
    _unit(systemd, "fell", _FAILED, InactiveEnterTimestamp=_ago(5))

    reading = _read(systemd, "steady", "restarted", "fell")

    assert [reached(row, {}) for row in reading.rows] == [True, False, None]


def test_start_that_fails_is_said(systemd: Machine) -> None:
    """A start that fails ends with 1, with what the service logged since."""
    _unit(systemd, "web", _FAILED)
    _unit(systemd, "web", _FAILED, folder="after")

    said = _start(systemd, "web")

    assert said.code == 1
    assert "the start of web.service ended with 1, and it is failed" in said.stderr
    assert "--unit=web.service --since=@" in said.stdout


def test_service_that_runs_again_is_left_alone(systemd: Machine) -> None:
    """The fix does nothing when the service runs, or is just being started: run again it changes nothing."""
    _unit(systemd, "web")
    _unit(systemd, "starting", _STARTING)

    said = [_start(systemd, "web"), _start(systemd, "starting")]

    assert [each.code for each in said] == [0, 0]
    assert "there was nothing to do" in said[0].stdout
    assert _done(systemd) == []


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (_MASKED, "it is masked"),
        (_MISSING, "it is not-found"),
        (_STOPPED | {"UnitFileState": "disabled"}, "is not enabled any more: disabled"),
        (_STOPPED | {"UnitFileState": "static"}, "is not enabled any more: static"),
        (_STOPPED | {"Conflicts": "good.service shutdown.target"}, "would stop good.service"),
        (_STOPPED | {"ConflictedBy": "good.service"}, "would stop good.service"),
        (_STOPPED | {"Conflicts": "starting.service"}, "would stop starting.service"),
    ],
)
def test_fix_refuses_what_somebody_decided(systemd: Machine, state: dict[str, str], reason: str) -> None:
    """Masked, gone, disabled, or in conflict with what runs or starts: nothing is started and nothing forgotten."""
    _unit(systemd, "good")
    _unit(systemd, "starting", _STARTING)
    _unit(systemd, "web", state)
    _unit(systemd, "web", folder="after")

    said = _start(systemd, "web")

    assert said.code == 1
    assert reason in said.stderr
    assert said.stderr.endswith("; nothing was changed\n")
    assert _done(systemd) == []


def test_conflict_with_what_is_stopped_is_none(systemd: Machine) -> None:
    """A conflict with something that does not run is no reason to refuse."""
    _unit(systemd, "other", _STOPPED)
    _unit(systemd, "web", _STOPPED, Conflicts="other.service shutdown.target")
    _unit(systemd, "web", folder="after")

    assert _start(systemd, "web").code == 0


@pytest.mark.parametrize("name", ["", "*", "-x", "a b", "a/b", "web.service --now", "w?b"])
def test_fix_refuses_a_name_that_is_none(systemd: Machine, name: str) -> None:
    """A name that could mean another unit, several, or an option reaches no systemctl."""
    _unit(systemd, "web", _STOPPED)
    _unit(systemd, "web", folder="after")

    said = _start(systemd, name)

    assert said.code == 1
    assert "is no name of a service" in said.stderr
    assert _done(systemd) == []
