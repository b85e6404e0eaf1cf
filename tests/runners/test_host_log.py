"""The host's own log: one line before a fix and one after it, and nothing that a log can do to a fix."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from remedy.port import FixEnding, FixJob, FixResult
from remedy_runners.payload import LOGGER_WAIT_S, NOTE_SIZE_MAX, fix_payload
from tests.behaviour.waiting import is_alive, wait_until
from tests.runners.conftest import KINDS
from tests.runners.machines import Host, NewId

pytestmark = pytest.mark.sshd

Plant = Callable[[str], Path]
NOTE = 'rule low-disk, script 0123abcd, actor it\'s "alice" $(id) `id` \\n %s, controller ops-1 äö€'
LOGS = '#!/bin/sh\nline=$(cat)\nprintf \'%s|%s\\n\' "$*" "$line" >>/tmp/host.log\n'


@pytest.fixture
def plant(host: Host) -> Iterator[Plant]:
    """
    Put a program in the place of the host's logger; its log is at /tmp/host.log.

    A line after may come when its test is over, so the log is read by execution.
    """
    program = host.machine.path("/usr/local/sbin/logger")
    log = host.machine.path("/tmp/host.log")
    log.touch()
    log.chmod(0o666)

    def planting(text: str) -> Path:
        program.write_text(text)
        program.chmod(0o755)
        return log

    yield planting
    program.unlink(missing_ok=True)


def _fix(host: Host, script: bytes, **more: object) -> FixResult:
    return host.session.fix(*host.fix_job(script, **more))  # type: ignore[arg-type]


def _lines(log: Path, execution_id: str, count: int) -> list[str]:
    """The lines about one execution, once there are so many."""
    found: list[str] = []

    def are_there() -> bool:
        found[:] = [line for line in log.read_text().splitlines() if execution_id in line]
        return len(found) >= count

    wait_until(are_there)
    return found


def test_line_before_is_written_before_the_script_begins(host: Host, new_id: NewId, plant: Plant) -> None:
    """The script finds the line before already written and whole; the logger's command line has nothing but a tag."""
    execution_id = new_id()
    log = plant(LOGS)

    script = f"grep {execution_id} /tmp/host.log; exit 3".encode()
    result = _fix(host, script, execution_id=execution_id, note=NOTE)

    before = f"-t remedy|execution {execution_id} starts: {NOTE}"
    assert result.stdout.kept.decode() == before + "\n"
    assert _lines(log, execution_id, 2) == [before, f"-t remedy|execution {execution_id} ended: exit code 3"]


def test_line_after_tells_a_deadline_from_an_exit_code(host: Host, new_id: NewId, plant: Plant) -> None:
    """What its deadline ended has no exit code in the log."""
    execution_id = new_id()
    log = plant(LOGS)

    result = _fix(host, b"sleep 60", execution_id=execution_id, timeout_s=1, note="n")

    assert result.ending is FixEnding.TIMED_OUT
    assert _lines(log, execution_id, 2)[1] == f"-t remedy|execution {execution_id} ended: its deadline was over"


def test_values_and_output_do_not_get_into_the_log(host: Host, new_id: NewId, plant: Plant) -> None:
    """Neither a value, nor the script, nor what it prints is in the logger's input, arguments or environment."""
    log = plant('#!/bin/sh\nread -r line; { echo "$line"; echo "$*"; cat; env; echo "end $line"; } >>/tmp/host.log\n')
    execution_id = new_id()

    result = _fix(
        host,
        b'echo "printed $REMEDY_PARAM_TOKEN" | tee /dev/stderr; : IN-SCRIPT',
        execution_id=execution_id,
        note="the note",
        environment={"REMEDY_PARAM_TOKEN": "pl4nted-s3cret"},
    )

    assert b"pl4nted-s3cret" in result.stdout.kept
    assert len(_lines(log, f"execution {execution_id}", 4)) == 4
    assert log.read_text().count(f"{execution_id} starts: the note") == 2
    assert not [word for word in ("pl4nted-s3cret", "printed", "IN-SCRIPT", "REMEDY_PARAM") if word in log.read_text()]


def test_fix_without_a_note_leaves_the_log_alone(host: Host, new_id: NewId, plant: Plant) -> None:
    """No note, no lines; and neither where nothing was started."""
    log = plant(LOGS)
    execution_id, held_id, told = new_id(), new_id(), new_id()

    quiet = _fix(host, b"echo ran", execution_id=execution_id)
    again = _fix(host, b"echo ran", execution_id=execution_id, note=NOTE)
    hold = host.machine.path("/etc/remedy/hold")
    hold.touch()
    try:
        held = _fix(host, b"echo ran", execution_id=held_id, note=NOTE)
    finally:
        hold.unlink()
    _fix(host, b":", execution_id=told, note=NOTE)

    assert quiet.stdout.kept == b"ran\n"
    assert (again.ending, held.ending) == (FixEnding.ALREADY_STARTED, FixEnding.HOST_HOLD)
    assert len(_lines(log, told, 2)) == 2
    assert not [each for each in (execution_id, held_id) if each in log.read_text()]


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("#!/bin/sh\nexit 1\n", id="fails"),
        pytest.param("#!/bin/sh\necho noise; echo noise >&2; kill -9 $$\n", id="noisy, dies"),
        pytest.param("#!/no/such/interpreter\n", id="cannot run"),
    ],
)
def test_logger_that_fails_is_no_failure(host: Host, new_id: NewId, plant: Plant, program: str) -> None:
    """What the logger says or ends with is not seen in the result."""
    plant(program)
    execution_id = new_id()

    result = _fix(host, b"echo out; echo err >&2; exit 5", execution_id=execution_id, note=NOTE)

    assert (result.ending, result.exit_code) == (FixEnding.FINISHED, 5)
    assert (result.stdout.kept, result.stderr.kept) == (b"out\n", b"err\n")
    assert (host.markers / execution_id / "rc").read_text() == "5 0\n"


@pytest.mark.parametrize("kind", ["local", "ssh"], indirect=True)
def test_host_without_a_logger_runs_fixes(host: Host, new_id: NewId) -> None:
    """Where there is no such program the fix runs as everywhere."""
    host.machine.run("mount", "--bind", "/dev/null", "/usr/bin/logger")
    try:
        result = _fix(host, b"command -v logger || echo none", execution_id=new_id(), note=NOTE)
    finally:
        host.machine.run("umount", "/usr/bin/logger")

    assert (result.exit_code, result.stdout.kept) == (0, b"none\n")


HANGS = r"""#!/bin/sh
trap "" TERM HUP INT PIPE
read -r word id rest
echo "pid $$ $id" >>/tmp/host.log
for fd in 0 1 2 3 4 5 6 7 8 9; do
  [ -e "/proc/$$/fd/$fd" ] && echo "fd $fd $(readlink "/proc/$$/fd/$fd") $id" >>/tmp/host.log
done
while :; do sleep 1; done
"""


@pytest.mark.parametrize(
    "kind",
    ["local", *(pytest.param(each, marks=pytest.mark.slow) for each in KINDS if each != "local")],
    indirect=True,
)
def test_logger_that_hangs_delays_a_fix_by_a_fixed_time(host: Host, new_id: NewId, plant: Plant) -> None:
    """
    It is killed in the end, holds no descriptor of ours meanwhile, and keeps neither trailer nor lock nor next fix.

    The fix is late by the line before; the line after costs nobody anything.
    """
    log = plant(HANGS)
    first, second = new_id(), new_id()
    began = time.monotonic()

    one = _fix(host, b"echo one", execution_id=first, note=NOTE)
    one_s = time.monotonic() - began
    two = _fix(host, b"echo two", execution_id=second)
    two_s = time.monotonic() - began - one_s

    assert [(each.ending, each.stdout.kept) for each in (one, two)] == [
        (FixEnding.FINISHED, b"one\n"),
        (FixEnding.FINISHED, b"two\n"),
    ]
    assert LOGGER_WAIT_S <= one_s < LOGGER_WAIT_S + 3
    assert two_s < LOGGER_WAIT_S
    lines = [line.split()[:-1] for line in _lines(log, first, 8)]
    pids = [int(words[1]) for words in lines if words[0] == "pid"]
    assert len(pids) == 2
    open_there = {tuple(words[1:]) for words in lines if words[0] == "fd" and "pipe:" not in words[2]}
    assert open_there == {("1", "/dev/null"), ("2", "/dev/null")}
    assert {words[1] for words in lines if words[0] == "fd" and "pipe:" in words[2]} == {"0"}
    wait_until(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize("kind", ["local", "ssh", "ssh-sudo"], indirect=True)
def test_what_comes_after_the_trailer_keeps_no_link_open(host: Host, new_id: NewId, plant: Plant) -> None:
    """The loader's own processes are gone while the line after, and the removal of old markers, hang still."""
    plant('#!/bin/sh\nread -r a id what rest\n[ "$what" = starts: ] || exec sleep 600\n')
    execution_id = new_id()
    script = b"sed -n 's/^pid //p' /run/remedy/$REMEDY_EXECUTION/start"

    slow = host.machine.path("/usr/local/sbin/find")
    slow.write_text("#!/bin/sh\nexec sleep 3\n")
    slow.chmod(0o755)
    try:
        result = _fix(
            host, script, execution_id=execution_id, note=NOTE, environment={"REMEDY_EXECUTION": execution_id}
        )
        loader = int(result.stdout.kept)
        wait_until(lambda: not is_alive(loader), within_s=LOGGER_WAIT_S / 2)
    finally:
        slow.unlink()

    assert (result.ending, result.exit_code) == (FixEnding.FINISHED, 0)


@pytest.mark.parametrize("kind", ["local", "local-busybox", "ssh"], indirect=True)
def test_lines_reach_a_real_log_with_their_tag(host: Host, new_id: NewId, plant: Plant) -> None:
    """The system's own logger sends both lines to a syslog socket, each as one message tagged remedy."""
    if not Path("/usr/bin/logger").exists():
        pytest.skip("needs logger")
    plant('#!/bin/sh\nexec /usr/bin/logger -u /tmp/log.sock "$@"\n')
    execution_id = new_id()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.settimeout(10)
        syslog.bind(str(host.machine.path("/tmp/log.sock")))
        try:
            _fix(host, b"exit 9", execution_id=execution_id, note=NOTE)
            messages: list[str] = []
            while len(messages) < 2:
                message = syslog.recv(8_192).decode()
                messages += [message] if execution_id in message else []
        finally:
            host.machine.path("/tmp/log.sock").unlink()

    assert messages[0].endswith(f" remedy: execution {execution_id} starts: {NOTE}")
    assert messages[1].endswith(f" remedy: execution {execution_id} ended: exit code 9")


def _sent_from(filler: socket.socket, path: Path) -> int:
    """Send to a socket that nobody reads until that blocks; return how many messages it took."""
    filler.setblocking(False)
    filler.connect(str(path))
    sent = 0
    with suppress(BlockingIOError):
        while True:
            filler.send(b"x")
            sent += 1
    return sent


@pytest.mark.parametrize("kind", ["local", "ssh"], indirect=True)
def test_log_that_takes_nothing_any_more_is_a_logger_that_hangs(host: Host, new_id: NewId, plant: Plant) -> None:
    """The system's own logger blocks on a socket that nobody reads; the fix runs all the same."""
    if not Path("/usr/bin/logger").exists():
        pytest.skip("needs logger")
    plant('#!/bin/sh\nexec /usr/bin/logger -u /tmp/log.sock "$@"\n')
    path = host.machine.path("/tmp/log.sock")
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(path))
        with ExitStack() as fillers:
            while _sent_from(fillers.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)), path):
                pass  # A sender may run out of its own room before the log is full; then the next one goes on.
            result = _fix(host, b"echo ran", execution_id=new_id(), note=NOTE)
        path.unlink()

    assert (result.ending, result.stdout.kept) == (FixEnding.FINISHED, b"ran\n")
    assert time.monotonic() - began >= LOGGER_WAIT_S


@pytest.mark.parametrize("kind", ["local", "ssh"], indirect=True)
def test_marker_and_lock_are_there_while_the_line_before_is_written(
    host: Host, new_id: NewId, plant: Plant, connect: Callable[[], Host]
) -> None:
    """The line before is written under lock and marker: what is logged as started cannot be started elsewhere."""
    log = plant("#!/bin/sh\nread -r line\n[ -e /tmp/let-go ] || { echo $line >>/tmp/host.log; exec sleep 600; }\n")
    first, second = new_id(), new_id()
    other = connect()
    results: list[FixResult] = []
    thread = threading.Thread(
        target=lambda: results.append(_fix(other, b"echo ran", execution_id=first, note="n")), daemon=True
    )
    thread.start()
    _lines(log, first, 1)

    busy = _fix(host, b"echo ran", execution_id=second, note="n")
    same = _fix(host, b"echo ran", execution_id=first, note="n")
    marker = host.session.read_markers([first], become_root=False).markers[first]
    thread.join(10)

    assert (busy.ending, same.ending) == (FixEnding.HOST_BUSY, FixEnding.ALREADY_STARTED)
    assert marker.exit_code is None
    assert (results[0].ending, results[0].stdout.kept) == (FixEnding.FINISHED, b"ran\n")


@pytest.mark.parametrize("note", ["a\nb", "a\0b", "a\x1b[31m", "a\u202eb", "a\u2028b", "\ud800", "a\tb", "x" * 501])
def test_note_that_is_not_one_printable_line_is_no_payload(note: str) -> None:
    """Control, format and separator characters, and more than 500 of any, are refused before anything is sent."""
    job = FixJob(execution_id="0", script=b"", script_sha256="", environment={}, timeout_s=1, note=note)

    with pytest.raises(ValueError, match="is no note"):
        fix_payload(job, nonce="0" * 32)


@pytest.mark.parametrize("note", ["", "-t other", "x" * NOTE_SIZE_MAX, "'; touch /tmp/pwned; '", "@SCRIPT@ @ID@"])
def test_note_is_taken_as_it_is(note: str, tmp_path: Path) -> None:
    """Any other text is a note, and stands in the payload as one quoted word."""
    job = FixJob(execution_id="0", script=b"", script_sha256="", environment={}, timeout_s=1, note=note)
    line = next(each for each in fix_payload(job, nonce="0" * 32).splitlines() if each.startswith(b"remedy_note="))

    said = subprocess.run(["sh", "-c", line + b'\nprintf %s "$remedy_note"'], capture_output=True, check=True)

    assert said.stdout.decode() == note
