"""What must not happen: wrong names, stops, crashes, a second operator, secrets, raw text of hosts."""

import fcntl
import json
import os
import pty
import select
import signal
import socket
import subprocess
import termios
import threading
import time
from itertools import takewhile
from pathlib import Path
from typing import Self

import pytest

from tests.e2e.conftest import FIX_THAT_WAITS, NAMES, Bench, all_text, await_true, outcomes, stop_process

pytestmark = pytest.mark.sshd


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("-l", "alhpa"), 6, "alpha"),
        (("-l", ""), 1, "--limit"),
        (("-l", ","), 1, "--limit"),
        (("-l", "!alpha"), 1, "only takes hosts away"),
        (("-l", "all:!bravoo"), 6, "bravo"),
        (("-r", "flag-hihg"), 6, "flag-high"),
        (("-r", ""), 1, "--rule"),
        (("--tag", "nosuch"), 6, "nosuch"),
        (("-l", "alpha:&bravo"), 6, "leaves no host"),
    ],
)
@pytest.mark.parametrize("command", [("scan",), ("apply", "--dry-run"), ("apply", "--yes")])
def test_wrong_names_contact_nobody(
    bench: Bench, command: tuple[str, ...], words: tuple[str, ...], code: int, said: str
) -> None:
    """An empty or mistyped selection is an error with the nearest names, before anybody is contacted."""
    with _Listener() as listener:
        _point_everybody_at(bench, listener.port)

        ran = bench.remedy(*command, *words)

        assert ran.code == code
        assert said in ran.err
        assert listener.contacts == 0


def test_mistyped_hosts_in_a_rule_contacts_nobody(bench: Bench) -> None:
    """A rule whose `hosts` names nothing is exit 6 with its place; even a mistyped exclusion."""
    with _Listener() as listener:
        _point_everybody_at(bench, listener.port)
        bench.write_rule(hosts='"all:!delat"')

        ran = bench.remedy("apply", "--yes")

        assert ran.code == 6
        assert "rules/flag-high/rule.yaml:6:" in ran.err
        assert "delta" in ran.err
        assert listener.contacts == 0


def test_apply_without_terminal_needs_yes(bench: Bench) -> None:
    """Where nobody can be asked, apply without --yes is refused before contact."""
    with _Listener() as listener:
        _point_everybody_at(bench, listener.port)

        ran = bench.remedy("apply")

        assert ran.code == 1
        assert "--yes" in ran.err
        assert listener.contacts == 0


class _Listener:
    """Counts who connects."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port = self._socket.getsockname()[1]
        self.contacts = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count)

    def _count(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            self.contacts += 1
            connection.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()


def _point_everybody_at(bench: Bench, port: int) -> None:
    hosts = "\n".join(f"    {name}: {{ansible_host: 127.0.0.1, ansible_port: {port}}}" for name in NAMES)
    (bench.directory / "inventory.yaml").write_text(f"all:\n  hosts:\n{hosts}\n")


def test_two_names_of_one_machine_are_both_refused(bench: Bench) -> None:
    """Two names that lead to one address and port are refused, the others go on."""
    inventory = bench.directory / "inventory.yaml"
    twin = f"        twin: {{ansible_host: {bench.fleet.address('alpha')}}}\n"
    inventory.write_text(inventory.read_text() + twin)

    ran = bench.remedy("scan", "-o", "json")

    assert ran.code == 4
    assert ran.json["coverage"]["refused"] == ["alpha", "twin"]
    assert ran.json["coverage"]["judged"] == 5


def test_stop_file_stops_and_start_lifts_it(bench: Bench) -> None:
    """With STOP nobody is contacted and the exit code is 5; `start` lifts it; both stand in the audit log."""
    bench.trouble("alpha")
    stopped = bench.remedy("stop", "storage migration")

    ran = bench.remedy("apply", "--yes")
    dry = bench.remedy("apply", "--dry-run")
    started = bench.remedy("start")
    after = bench.remedy("apply", "--yes")

    assert stopped.code == 0
    assert ran.code == 5
    assert "storage migration" in ran.err
    assert "storage migration" in dry.err
    assert started.code == 0
    assert after.code == 0
    assert bench.ran("alpha") == 1
    kinds = [json.loads(line)["type"] for path in _audit_files(bench) for line in path.read_text().splitlines()]
    assert "stop.set" in kinds
    assert "stop.cleared" in kinds


def _audit_files(bench: Bench) -> list[Path]:
    return sorted((bench.directory / "state" / "audit").glob("*.jsonl"))


def test_stop_in_the_middle_starts_nothing_new(bench: Bench) -> None:
    """A STOP that appears while a fix runs lets that one end, and no other start."""
    bench.write_rule(timeout="60s")
    bench.trouble(*NAMES)
    for name in NAMES:
        bench.plant(name, fix=FIX_THAT_WAITS)
    process = bench.begin("apply", "--yes", "-o", "json")
    await_true(lambda: bench.ran_anywhere() == 1)
    bench.remedy("stop", "enough")
    bench.let_go(*NAMES)

    out, _ = process.communicate(timeout=60)

    assert process.returncode == 5
    assert sorted(outcomes(json.loads(out)).values()) == ["fixed", *["halted"] * 5]
    assert bench.ran_anywhere() == 1


def test_ctrl_c_once_starts_nothing_new_and_reports(bench: Bench) -> None:
    """The first Ctrl-C waits for what runs, records its outcome, and ends with 130."""
    bench.write_rule(timeout="60s")
    bench.trouble(*NAMES)
    for name in NAMES:
        bench.plant(name, fix=FIX_THAT_WAITS)
    process = bench.begin("apply", "--yes", "-o", "json")
    await_true(lambda: bench.ran_anywhere() == 1)
    stop_process(process, signal.SIGINT)
    assert process.stderr is not None
    said = list(takewhile(lambda line: not line.startswith("stopping"), process.stderr))
    was_running = process.poll() is None
    bench.let_go(*NAMES)

    out, _ = process.communicate(timeout=60)

    assert was_running, said
    assert process.returncode == 130
    assert sorted(outcomes(json.loads(out)).values()) == ["fixed", *["halted"] * 5]
    assert bench.ran_anywhere() == 1
    assert bench.remedy("audit", "verify").code == 0


@pytest.mark.slow
def test_killed_controller_repeats_nothing(bench: Bench) -> None:
    """After kill -9 in a fix: host_busy until its end is sure, then lost and quarantined; nothing is repeated."""
    bench.write_rule(timeout="3s", max_bad="6")
    bench.trouble("alpha")
    bench.plant("alpha", fix="sleep 60\n")
    process = bench.begin("apply", "--yes")
    await_true(lambda: bench.ran("alpha") == 1)
    stop_process(process)
    process.communicate(timeout=30)

    dry = bench.remedy("apply", "--dry-run")
    busy = bench.remedy("apply", "--yes", "-o", "json")
    await_true(lambda: "lost" in bench.remedy("apply", "--yes").err, timeout_s=60)
    held = bench.remedy("apply", "--yes", "-o", "json")

    assert dry.code in (0, 5)
    assert "may still be running" in dry.out
    assert busy.code == 5
    assert outcomes(busy.json) == {"alpha": "host_busy"}
    assert held.code == 5
    assert held.json["outcomes"] == []
    assert [each["hold"] for each in held.json["plan"]["held"]] == ["quarantined"]
    assert bench.ran("alpha") == 1
    assert bench.remedy("audit", "verify").code == 0
    assert bench.remedy("release", "flag-high", "-l", "alpha", "--reason", "looked at it").code == 0
    assert outcomes(bench.remedy("apply", "--yes", "-o", "json").json) == {"alpha": "failed"}


def test_second_run_of_a_rule_waits_for_nobody(bench: Bench) -> None:
    """While a rollout is under way a second one of the rule is told who holds it; one other host is mended at once."""
    bench.trouble("alpha", "bravo", "charlie")
    for name in ("alpha", "bravo"):
        bench.plant(name, fix=FIX_THAT_WAITS)
    bench.write_rule(timeout="60s")
    process = bench.begin("apply", "--yes", "-l", "alpha,bravo")
    await_true(lambda: bench.ran("alpha") + bench.ran("bravo") == 1)

    second = bench.remedy("apply", "--yes", "-o", "json")
    one = bench.remedy("apply", "--yes", "-l", "charlie", "-o", "json")
    busy = bench.remedy("apply", "--yes", "-l", "alpha" if bench.ran("alpha") else "bravo", "-o", "json")
    bench.let_go("alpha", "bravo")
    process.communicate(timeout=60)

    assert second.code == 5
    assert set(outcomes(second.json).values()) == {"rule_busy"}
    assert "run 20" in second.json["outcomes"][0]["reason"]
    assert outcomes(one.json) == {"charlie": "fixed"}
    assert set(outcomes(busy.json).values()) == {"host_busy"}
    assert process.returncode == 0


def test_separate_state_directories_are_held_by_the_host(bench: Bench) -> None:
    """Two controllers that know nothing of each other: the host's own lock lets only one fix run."""
    bench.write_rule(timeout="60s")
    bench.trouble("alpha")
    bench.plant("alpha", fix=FIX_THAT_WAITS)
    process = bench.begin("apply", "--yes", "--state", str(bench.directory / "other"))
    await_true(lambda: bench.ran("alpha") == 1)

    second = bench.remedy("apply", "--yes", "-o", "json")
    bench.let_go("alpha")
    process.communicate(timeout=60)

    assert outcomes(second.json) == {"alpha": "host_busy"}
    assert second.code == 5
    assert bench.ran("alpha") == 1


def test_literal_password_is_never_used_nor_shown(bench: Bench) -> None:
    """A password in the inventory is warned about with its place; the host is refused; it stands nowhere."""
    secret = "hunter2-plantedpassword"
    inventory = bench.directory / "inventory.yaml"
    address = bench.fleet.address("alpha")
    text = inventory.read_text()
    inventory.write_text(
        text.replace(f"{{ansible_host: {address}}}", f"{{ansible_host: {address}, ansible_password: {secret}}}")
    )
    bench.trouble("alpha", "bravo")

    ran = [bench.remedy("scan"), bench.remedy("apply", "--yes"), bench.remedy("inventory", "-o", "json")]

    assert "inventory.yaml:" in ran[0].err
    assert ran[0].code == 4
    assert bench.ran("alpha") == 0
    assert secret not in all_text(bench.directory, [each.out + each.err for each in ran])


def test_text_of_hosts_never_reaches_the_terminal_raw(bench: Bench) -> None:
    """Escape sequences and bidi characters from a host are shown as what they are."""
    evil = "\x1b]0;owned\x07\x1b[2J\u202egpj.exe\x9b31m"
    bench.trouble("alpha", "bravo")
    bench.plant("alpha", collector=f"printf '%s\\n' '{evil}' >&2; exit 3\n")
    bench.plant("bravo", fix=f"printf '%s\\n' '{evil}'; printf '%s' '{evil}' >&2; exit 4\n")

    ran = [bench.remedy("scan"), bench.remedy("apply", "--yes"), bench.remedy("apply", "--yes", "-o", "json")]

    everything = "".join(each.out + each.err for each in ran)
    assert not set(everything) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert "\\x1b" in everything
    kept = all_text(bench.directory / "state", [], binary_suffix=".sqlite3")
    assert "owned" in kept
    assert not set(kept) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_broken_pipe_is_no_error(bench: Bench) -> None:
    """`remedy scan | head -1` ends quietly."""
    command = " ".join(bench.argv("inventory"))
    done = subprocess.run(
        ["sh", "-c", f"{command} | head -1"],
        cwd=bench.directory,
        env=bench.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("gone", [("stderr",), ("stdout",), ("stdout", "stderr")], ids="+".join)
def test_reader_that_leaves_in_the_middle_ends_no_run(bench: Bench, gone: tuple[str, ...]) -> None:
    """A pipe that is closed after the first line: every fix runs, its outcome is recorded, and nobody is told 1."""
    bench.trouble("alpha", "bravo", "charlie")
    process = bench.begin("apply", "--yes", "-l", "alpha,bravo,charlie")
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout as stdout, process.stderr as stderr:
        if "stderr" in gone:
            assert stderr.readline()
            stderr.close()
        if "stdout" in gone:
            stdout.close()
        code = process.wait(60)

    assert (code, bench.ran_anywhere()) == (0, 3)
    (recorded,) = bench.directory.glob("state/audit/*.jsonl")
    ended = [json.loads(line) for line in recorded.read_text().splitlines() if '"execution.outcome"' in line]
    assert [each["data"]["outcome"] for each in ended] == ["fixed"] * 3


def _until(terminal: int, text: bytes) -> bytes:
    """Read from a terminal until a text has come, or fail."""
    seen = b""
    deadline = time.monotonic() + 30
    while text not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 4096)
    return seen


@pytest.mark.parametrize(("typed", "code", "ran"), [(b"\x03", 130, 0), (b"n\n", 1, 0), (b"\n", 1, 0), (b"y\n", 0, 1)])
def test_only_yes_at_the_question_starts_anything(bench: Bench, typed: bytes, code: int, ran: int) -> None:
    """On a terminal apply asks; Ctrl-C ends it at once with 130, anything but yes with 1, and nothing was started."""
    bench.trouble("alpha")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        bench.argv("apply", "-l", "alpha"),
        cwd=bench.directory,
        env=bench.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_take_terminal,  # noqa: PLW1509 - no thread of ours is running yet.
    )
    os.close(theirs)
    try:
        _until(ours, b"[y/N]")
        os.write(ours, typed)
        drain = threading.Thread(target=_drain, args=(ours,))
        drain.start()

        assert process.wait(timeout=60) == code
        assert bench.ran("alpha") == ran
    finally:
        process.kill()
        process.wait()
        drain.join()
        os.close(ours)


def _take_terminal() -> None:
    """Make standard input the controlling terminal, so that Ctrl-C typed there is a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _drain(terminal: int) -> None:
    while True:
        try:
            if not os.read(terminal, 4096):
                return
        except OSError:
            return  # EIO: nobody has the other end open any more.


def test_held_matches_are_not_nothing_to_do(bench: Bench) -> None:
    """When all that matches is held back, the summary says what holds it."""
    bench.write_rule(mode="observe")
    bench.trouble("alpha", "bravo")

    ran = bench.remedy("apply", "--yes")

    assert ran.code == 0
    assert "nothing was started; held back: 2 observe_only" in ran.out
