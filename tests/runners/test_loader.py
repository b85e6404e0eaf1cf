"""What the loader for POSIX shells does on a host: this machine, SSH as root, as a plain user, and through sudo."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remedy.port import CollectJob, CollectorEnding, FixEnding, FixResult
from tests.behaviour.waiting import is_alive, wait_until
from tests.runners.machines import Host, NewId

pytestmark = pytest.mark.sshd


def _fix(host: Host, script: bytes, **more: object) -> FixResult:
    return host.session.fix(*host.fix_job(script, **more))  # type: ignore[arg-type]


def test_collect_has_emit_for_the_signals_columns(host: Host) -> None:
    """Each collector has `emit` for its own signal's columns, wherever it stands in the payload."""
    jobs = [
        host.collect_job(b"emit mount / n 5", signal="first", mount="text", n="number"),
        host.collect_job(b"emit mount / n 5", signal="last", mount="text", n="text"),
    ]

    outputs = host.session.collect(jobs).outputs

    assert outputs["first"].stdout.head == b'{"mount":"/","n":5}\n'
    assert outputs["last"].stdout.head == b'{"mount":"/","n":"5"}\n'


def test_collect_killed_by_a_signal_has_its_code(host: Host) -> None:
    """A collector that a signal ended has exited, with 128 and the signal's number; the next one is intact."""
    jobs = [host.collect_job(b"kill -9 $$", signal="dies"), host.collect_job(b"echo fine", signal="next")]

    outputs = host.session.collect(jobs).outputs

    assert (outputs["dies"].ending, outputs["dies"].exit_code) == (CollectorEnding.EXITED, 137)
    assert outputs["next"].stdout.head == b"fine\n"


def test_collect_much_standard_error_is_drained_on_the_host(host: Host) -> None:
    """Of a megabyte of errors only 64 KiB leave the host."""
    script = b"x=$(head -c 1000000 /dev/zero | tr '\\0' x); printf %s \"$x\" >&2; echo fine"

    output = host.session.collect([host.collect_job(script)]).outputs["s"]

    assert (output.ending, output.exit_code, output.stderr.size) == (CollectorEnding.EXITED, 0, 65_536)


@pytest.mark.parametrize("kind", ["local"], indirect=True)
def test_collect_flood_that_will_not_stop_is_killed(host: Host) -> None:
    """A collector that prints on after its output was closed is ended by its timeout; the next one is intact."""
    script = b"trap '' PIPE TERM; while :; do head -c 100000 /dev/zero; done 2>/dev/null"
    jobs = [host.collect_job(script, signal="floods", timeout_s=1), host.collect_job(b"echo fine", signal="next")]

    outputs = host.session.collect(jobs).outputs

    assert outputs["floods"].ending is CollectorEnding.TOO_MUCH_OUTPUT
    assert (outputs["next"].exit_code, outputs["next"].stdout.head) == (0, b"fine\n")


def test_collect_kills_what_a_collector_leaves_behind(host: Host) -> None:
    """A background child that holds the output is killed when its collector has ended; nobody waits for it."""
    began = time.monotonic()

    script = b"sleep 4711 & echo $!"
    output = host.session.collect([host.collect_job(script, timeout_s=20)]).outputs["s"]

    assert (output.ending, output.exit_code) == (CollectorEnding.EXITED, 0)
    assert time.monotonic() - began < 10
    wait_until(lambda: not is_alive(int(output.stdout.head)))


def test_collect_what_escapes_adds_nothing_to_the_output(host: Host) -> None:
    """A child that got away prints after its collector has ended: not into its output, and not into the next one's."""
    script = (
        b"f=$(mktemp); rm $f; setsid sh -c 'touch '$f'; sleep 0.3; echo late' & while ! [ -e $f ]; do :; done; rm $f; "
        b"echo in time"
    )
    jobs = [host.collect_job(script, signal="escapes"), host.collect_job(b"sleep 0.5; echo next", signal="next")]

    outputs = host.session.collect(jobs).outputs

    assert outputs["escapes"].stdout.head == b"in time\n"
    assert outputs["escapes"].ending is CollectorEnding.EXITED
    assert outputs["next"].stdout.head == b"next\n"


def test_collect_gives_each_collector_only_its_own_values(host: Host) -> None:
    """A value of one collector is not seen by the next."""
    jobs = [
        CollectJob(
            signal=name,
            script=b'printf "%s|%s" "${REMEDY_PARAM_A-unset}" "${REMEDY_PARAM_B-unset}"',
            environment=environment,
            columns={},
            timeout_s=5,
            become_root=host.become_root,
        )
        for name, environment in (("a", {"REMEDY_PARAM_A": "1"}), ("b", {"REMEDY_PARAM_B": "it's\n2"}))
    ]

    outputs = host.session.collect(jobs).outputs

    assert outputs["a"].stdout.head == b"1|unset"
    assert outputs["b"].stdout.head == b"unset|it's\n2"


def test_collect_both_privileges_come_back(host: Host) -> None:
    """Collectors as the login and as root are answered together, whoever the login is."""
    jobs = [
        CollectJob(signal=name, script=b"id -u", environment={}, columns={}, timeout_s=5, become_root=name == "root")
        for name in ("login", "root")
    ]

    outputs = host.session.collect(jobs).outputs

    assert outputs["login"].stdout.head == (b"4201\n" if host.kind in ("ssh-plain-user", "ssh-sudo") else b"0\n")
    assert outputs["root"].stdout.head == b"0\n"


def test_fix_interpreter_is_the_shebangs(host: Host, new_id: NewId) -> None:
    """Scripts for sh, bash and python3 run in what they ask for; anything else in sh."""
    scripts = [
        b"#!/bin/sh\necho sh",
        b"#!/usr/bin/env bash\necho ba${BASH_VERSION:+sh}",
        b"#!/usr/bin/env python3\nimport sys; print('python' if not sys.stdin.read() else 'stdin')",
        b"#!/usr/bin/perl\necho sh",
    ]

    results = [_fix(host, script, execution_id=new_id()) for script in scripts]

    assert [result.stdout.kept for result in results] == [b"sh\n", b"bash\n", b"python\n", b"sh\n"]


def test_fix_shebang_options_are_kept(host: Host, new_id: NewId) -> None:
    """`#!/bin/sh -eu` stops at the first error as its author meant it to."""
    result = _fix(host, b"#!/bin/sh -eu\nfalse\necho went on\n", execution_id=new_id())

    assert (result.exit_code, result.stdout.kept) == (1, b"")


def test_fix_script_has_empty_stdin_and_no_descriptors_of_ours(host: Host, new_id: NewId) -> None:
    """Standard input is at its end, and neither the host's lock nor the controller's line is open."""
    script = b"wc -c; for fd in 5 6 7 8 9; do [ -e /dev/fd/$fd ] && echo open $fd; done; umask; pwd; echo $LC_ALL $PATH"

    result = _fix(host, script, execution_id=new_id())

    assert result.stdout.kept.split(b"\n")[:4] == [
        b"0",
        b"0077",
        b"/",
        b"C /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]


def test_fix_values_arrive_as_they_are(host: Host, new_id: NewId) -> None:
    """Quotes, newlines, dollars, UTF-8 and every ASCII character reach the script unchanged."""
    value = "".join(map(chr, range(1, 128))) + "'\"$(id)`id`\\ äö€\n"

    result = _fix(
        host, b'printf %s "$REMEDY_ROW_MOUNT"', execution_id=new_id(), environment={"REMEDY_ROW_MOUNT": value}
    )

    assert result.stdout.kept == value.encode()


def test_fix_deadline_leaves_nobody_behind(host: Host, new_id: NewId) -> None:
    """The deadline is `timed_out`, not `lost`, and a child that ignores TERM does not outlive it."""
    script = b"sh -c \"trap '' TERM; sleep 4713; :\" & echo $!; sleep 60"

    result = _fix(host, script, execution_id=new_id(), timeout_s=1)

    assert (result.ending, result.exit_code) == (FixEnding.TIMED_OUT, None)
    wait_until(lambda: not is_alive(int(result.stdout.kept)))


@pytest.mark.parametrize("kind", ["local", "ssh-sudo"], indirect=True)
def test_fix_deadline_kills_a_script_that_will_not_end(host: Host, new_id: NewId) -> None:
    """A script that traps TERM is killed, with what it started."""
    script = b"trap '' TERM; sleep 4712 & echo $!; while :; do sleep 1; done"

    result = _fix(host, script, execution_id=new_id(), timeout_s=1)

    assert (result.ending, result.exit_code) == (FixEnding.TIMED_OUT, None)
    wait_until(lambda: not is_alive(int(result.stdout.kept)))


def test_fix_background_child_does_not_delay_the_result(host: Host, new_id: NewId) -> None:
    """A child that keeps the output open and lives on delays nothing, and is left alone."""
    began = time.monotonic()

    result = _fix(host, b"sleep 8 & echo $!", execution_id=new_id())

    assert (result.ending, result.exit_code) == (FixEnding.FINISHED, 0)
    assert time.monotonic() - began < 5
    assert is_alive(int(result.stdout.kept))


def test_fix_second_start_of_an_execution_is_not_made(host: Host, new_id: NewId, connect: Callable[[], Host]) -> None:
    """The same execution id starts once on a host, also over another connection."""
    execution_id = new_id()
    first = _fix(host, b"echo ran", execution_id=execution_id)

    again = [_fix(session, b"echo ran", execution_id=execution_id) for session in (host, connect())]

    assert first.stdout.kept == b"ran\n"
    assert [result.ending for result in again] == [FixEnding.ALREADY_STARTED] * 2
    assert all(not result.stdout.size for result in again)


def test_fix_while_another_runs_is_host_busy(host: Host, new_id: NewId, connect: Callable[[], Host]) -> None:
    """A fix with another id is not started while one runs; the same id is told apart; afterwards both may."""
    first, second = new_id(), new_id()
    results: list[FixResult] = []
    other = connect()
    script = b"echo begun; while ! [ -e $F ]; do sleep 0.05; done; rm $F"
    wait_here = {"F": f"/tmp/go-{first}"}
    thread = threading.Thread(
        target=lambda: results.append(_fix(other, script, execution_id=first, environment=wait_here)), daemon=True
    )
    thread.start()
    wait_until((host.markers / first / "start").exists)

    busy = _fix(host, b"echo ran", execution_id=second)
    same = _fix(host, b"echo ran", execution_id=first)
    host.machine.path(f"/tmp/go-{first}").touch()
    host.machine.path(f"/tmp/go-{first}").chmod(0o666)
    host.machine.path("/tmp").chmod(0o777)
    thread.join(10)
    after = _fix(host, b"echo ran", execution_id=second)

    assert busy.ending is FixEnding.HOST_BUSY
    assert same.ending is FixEnding.ALREADY_STARTED
    assert results[0].ending is FixEnding.FINISHED
    assert (after.ending, after.stdout.kept) == (FixEnding.FINISHED, b"ran\n")


def test_fix_held_host_is_left_alone(host: Host, new_id: NewId) -> None:
    """/etc/remedy/hold stops every fix and gives its first line as the reason, made harmless."""
    hold = host.machine.path("/etc/remedy/hold")
    hold.write_bytes(b"moving house \x1b[31m until friday\nsecond line\n")
    try:
        result = _fix(host, b"echo ran", execution_id=new_id())
    finally:
        hold.unlink()

    assert result.ending is FixEnding.HOST_HOLD
    assert result.reason == "moving house \\x1b[31m until friday"
    assert not result.stdout.size


def test_fix_marker_says_when_and_how_it_ended(host: Host, new_id: NewId) -> None:
    """The marker holds boot id, pid and deadline from before the start, and the exit code afterwards."""
    execution_id = new_id()
    _fix(host, b"exit 7", execution_id=execution_id, timeout_s=9)

    start = dict(line.split() for line in (host.markers / execution_id / "start").read_text().splitlines())

    assert start["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert start["deadline_s"] == "9"
    assert int(start["pid"]) > 1
    assert (host.markers / execution_id / "rc").read_text() == "7 0\n"
    assert host.markers.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["local"], indirect=True)
def test_fix_lock_is_free_once_the_end_was_heard(host: Host, new_id: NewId) -> None:
    """Old markers are removed after the trailer and without the lock: a slow disk there delays no other fix."""
    old = host.markers / "0" / "rc"
    old.parent.mkdir(parents=True)
    old.touch()
    os.utime(old.parent, (0, 0))
    slow = host.machine.path("/usr/local/sbin/find")
    slow.write_text('#!/bin/sh\nsleep 1\nexec /usr/bin/find "$@"\n')
    slow.chmod(0o755)
    try:
        results = [_fix(host, b":", execution_id=new_id()) for _ in range(3)]
    finally:
        slow.unlink()

    assert [result.ending for result in results] == [FixEnding.FINISHED] * 3
    wait_until(lambda: not old.parent.exists())


@pytest.mark.parametrize("kind", ["local", "local-bash", "local-busybox"], indirect=True)
def test_fix_keeps_markers_of_this_boot_by_uptime(host: Host, new_id: NewId) -> None:
    """A wall clock that was wrong when a marker was made does not take it away early; old boots' and rubbish go."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    day_cs = 8_640_000
    starts = {
        "young": f"boot_id {boot_id}\npid 1\nstarted_cs {10 * day_cs}\ndeadline_s 1\n",
        "old": f"boot_id {boot_id}\npid 1\nstarted_cs {8 * day_cs}\ndeadline_s 1\n",
        "other-boot": f"boot_id other\npid 1\nstarted_cs {39 * day_cs}\ndeadline_s 1\n",
        "rubbish": "",
    }
    for name, text in starts.items():
        (host.markers / name).mkdir(parents=True)
        (host.markers / name / "start").write_text(text)
        os.utime(host.markers / name, (0, 0))
    host.machine.path("/tmp/uptime").write_text(f"{39 * day_cs // 100}.00 0.00\n")
    host.machine.run("mount", "--bind", "/tmp/uptime", "/proc/uptime")
    try:
        result = _fix(host, b":", execution_id=new_id())
        wait_until(lambda: not {"old", "other-boot", "rubbish"} & {each.name for each in host.markers.iterdir()})
        kept = (host.markers / "young" / "start").read_text()
    finally:
        host.machine.run("umount", "/proc/uptime")
        shutil.rmtree(host.markers / "young", ignore_errors=True)

    assert result.ending is FixEnding.FINISHED
    assert kept == starts["young"]


def test_fix_marker_directory_that_cannot_be_written_is_refused(host: Host, new_id: NewId) -> None:
    """Without a place for the marker nothing runs, and the message has the cure."""
    host.session.fix(*host.fix_job(b":", execution_id=new_id()))
    inside = "/" + str(host.markers).partition("/root/")[2]
    host.machine.run("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", inside)
    try:
        result = _fix(host, b"echo ran", execution_id=new_id())
    finally:
        host.machine.run("umount", inside)

    assert result.ending is FixEnding.REFUSED
    assert inside in result.reason
    assert "cannot be written" in result.reason
    assert not result.stdout.size


@pytest.mark.parametrize("kind", ["local", "local-bash", "local-busybox"], indirect=True)
def test_fix_where_the_marker_has_no_room_is_refused_and_may_start_later(host: Host, new_id: NewId) -> None:
    """A full file system under the marker starts nothing, and leaves no marker that would say it had."""
    execution_id = new_id()
    host.machine.run("mkdir", "-p", "/run/remedy")
    host.machine.run("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", "/run/remedy")
    filler = host.machine.path("/run/remedy/filler")
    try:
        filler.write_bytes(bytes(16_384))
        full = _fix(host, b"echo ran", execution_id=execution_id)
        filler.unlink()
        later = _fix(host, b"echo ran", execution_id=execution_id)
    finally:
        host.machine.run("umount", "-l", "/run/remedy")

    assert (full.ending, full.stdout.size) == (FixEnding.REFUSED, 0)
    assert (later.ending, later.stdout.kept) == (FixEnding.FINISHED, b"ran\n")


@pytest.mark.parametrize("kind", ["local"], indirect=True)
def test_fix_on_a_host_that_lacks_something_is_refused(host: Host, new_id: NewId) -> None:
    """A flock that does not work, an interpreter that is not there: refused with the cure, and no marker is left."""
    broken = host.machine.path("/usr/local/sbin/flock")
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    first, second = new_id(), new_id()
    try:
        no_lock = _fix(host, b"echo ran", execution_id=first)
    finally:
        broken.unlink()
    no_pwsh = _fix(host, b"#!/usr/bin/env pwsh\nWrite-Output ran\n", execution_id=second)

    assert (no_lock.ending, no_pwsh.ending) == (FixEnding.REFUSED, FixEnding.REFUSED)
    assert "install util-linux" in no_lock.reason
    assert "it has no pwsh" in no_pwsh.reason
    assert not [each for each in (first, second) if (host.markers / each).exists()]


@pytest.mark.parametrize("kind", ["ssh-plain-user"], indirect=True)
def test_fix_where_the_hold_cannot_be_looked_for_is_refused(host: Host, new_id: NewId) -> None:
    """Not knowing whether the host is held is not taken for a no."""
    directory = host.machine.path("/etc/remedy")
    directory.chmod(0o700)
    try:
        result = _fix(host, b"echo ran", execution_id=new_id())
    finally:
        directory.chmod(0o755)

    assert result.ending is FixEnding.REFUSED
    assert "chmod 755 /etc/remedy" in result.reason


@pytest.mark.parametrize("kind", ["local", "ssh", "ssh-sudo"], indirect=True)
def test_fix_is_not_ended_by_a_hangup(host: Host, new_id: NewId) -> None:
    """A terminal that goes away, sudo's own for one, ends neither the fix nor what waits for it."""
    script = (
        b"loader=$(sed -n 's/^pid //p' /run/remedy/$REMEDY_EXECUTION/start); "
        b"read -r pid name state parent group rest </proc/$loader/stat; kill -HUP -$group; echo went on"
    )
    execution_id = new_id()

    result = _fix(host, script, execution_id=execution_id, environment={"REMEDY_EXECUTION": execution_id})

    assert (result.ending, result.exit_code, result.stdout.kept) == (FixEnding.FINISHED, 0, b"went on\n")
    assert (host.markers / execution_id / "rc").read_text() == "0 0\n"


def test_script_and_values_are_not_in_the_process_list(host: Host, new_id: NewId) -> None:
    """While a fix runs, neither its text nor its values stand in any command line, environment aside."""
    script = b"echo MARKER-IN-SCRIPT >/dev/null; for p in /proc/[0-9]*; do cat $p/cmdline; done 2>/dev/null"

    result = _fix(host, script, execution_id=new_id(), environment={"REMEDY_PARAM_A": "MARKER-IN-VALUE"})

    assert b"/dev/fd/3" in result.stdout.kept
    assert b"MARKER-IN" not in result.stdout.kept
