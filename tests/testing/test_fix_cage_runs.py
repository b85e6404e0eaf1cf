"""What a script finds in a cage, and that what it does there is seen whole."""

from dataclasses import replace
from typing import Any

import pytest

from remedy.cage import CageAnswer, CageJob, EntryKind, Prepared
from remedy.port import CollectJob, CollectorOutput, FixEnding, FixResult
from remedy.secrets import SecretReference
from remedy_runners import sandbox
from remedy_runners.sandbox_seen import SnapshotOdd, read_snapshot
from tests.testing.cages import PYTHON, fix_job, said


def _run(script: bytes, *, timeout_s: int = 20, as_root: bool = True, **job: Any) -> CageAnswer:
    made = CageJob(script=fix_job(script, timeout_s=timeout_s, as_root=as_root), **job)
    answer = sandbox.BubblewrapCage().run(made)
    if answer.skipped.startswith(("bubblewrap is missing", "no user namespaces", "no cage could be made")):
        pytest.skip(answer.skipped)
    return answer


def _printed(answer: CageAnswer, number: int = 0) -> str:
    result = answer.runs[number].result
    assert isinstance(result, FixResult)
    return said(result)


def _file(path: str, text: str = "text", **more: Any) -> Prepared:
    return Prepared(path=path, kind=EntryKind.FILE, text=text.encode(), **more)


def test_every_change_is_in_what_lies_there_afterwards() -> None:
    """New, changed, removed, moved and linked files, modes, and those on a volume, are seen after the run."""
    answer = _run(
        b"""#!/bin/sh
echo new >/etc/new; echo more >>/srv/file; rm /tmp/gone; mv /tmp/a /tmp/b; ln -s /etc/new /tmp/link
ln /etc/new /opt/second; mkdir -m 700 /opt/folder; chmod 600 /etc/kept; printf 'x' >"/tmp/line
break"
""",
        files=(_file("/tmp/gone"), _file("/tmp/a"), _file("/etc/kept"), _file("/srv/file", "one\n")),
        volumes={"/srv": 1024**2},
    )

    before, after = answer.before, answer.runs[0].after
    assert after["/etc/new"].content == after["/opt/second"].content == b"new\n"
    assert (before["/srv/file"].content, after["/srv/file"].content) == (b"one\n", b"one\nmore\n")
    assert "/tmp/gone" in before
    assert "/tmp/gone" not in after
    assert ("/tmp/a" in after, after["/tmp/b"].content) == (False, b"text")
    assert (after["/tmp/link"].kind, after["/tmp/link"].target) == (EntryKind.LINK, "/etc/new")
    assert (after["/opt/folder"].kind, after["/opt/folder"].mode) == (EntryKind.FOLDER, 0o700)
    assert (before["/etc/kept"].mode, after["/etc/kept"].mode) == (0o644, 0o600)
    assert after["/tmp/line\nbreak"].content == b"x"


def test_only_what_changed_is_otherwise() -> None:
    """A script that does nothing leaves all as it was, times included, although all of it was looked at."""
    answer = _run(b"#!/bin/sh\ntrue\n", runs=2, files=(_file("/tmp/old", age_s=864_000),))

    for run in answer.runs:
        changed = {path for path in answer.before if answer.before[path] != run.after.get(path)}
        assert {path for path in changed if answer.before[path].kind is not EntryKind.FOLDER} == set()
        assert set(run.after) == set(answer.before)


def test_ages_are_those_of_writing_and_of_reading() -> None:
    """A prepared file was written and read as long ago as it says, also after it was looked at."""
    script = b"#!/bin/sh\nnow=$(date +%s)\nfor t in %X %Y; do echo $(( (now - $(stat -c $t /tmp/old)) / 3600 )); done\n"
    answer = _run(script, runs=2, files=(_file("/tmp/old", age_s=10 * 86_400),))

    assert [_printed(answer, number).split() for number in range(2)] == [["240", "240"]] * 2


def test_second_run_finds_what_the_first_left() -> None:
    """Both runs happen on one machine, each as an execution of its own."""
    script = b'#!/bin/sh\necho "$REMEDY_EXECUTION $(cat /tmp/count 2>/dev/null)"\necho x >>/tmp/count\n'

    answer = _run(script, runs=2)

    assert _printed(answer).split() == ["test-1"]
    assert _printed(answer, 1).split() == ["test-2", "x"]


@pytest.mark.parametrize(
    ("script", "ending", "code"),
    [
        (b"#!/bin/sh\nexit 7\n", FixEnding.FINISHED, 7),
        (b"#!/bin/bash\nset -o pipefail\nfalse | true\n", FixEnding.FINISHED, 1),
        (PYTHON + b"raise SystemExit(3)\n", FixEnding.FINISHED, 3),
        (b"#!/bin/sh\nsleep 60\n", FixEnding.TIMED_OUT, None),
    ],
)
def test_ending_and_code_are_the_scripts(script: bytes, ending: FixEnding, code: int | None) -> None:
    """sh, bash and python3 end as on a host: with their exit code, or by their deadline."""
    answer = _run(script, timeout_s=1 if ending is FixEnding.TIMED_OUT else 20)

    result = answer.runs[0].result
    assert isinstance(result, FixResult)
    assert (result.ending, result.exit_code) == (ending, code)


_AWAY = b"</dev/null >/dev/null 2>&1 3<&- &\n"


@pytest.mark.parametrize(
    ("script", "left"),
    [
        (
            b'#!/bin/sh\nnohup setsid sh -c "sleep 60; rm -rf /var/log /etc" '
            + _AWAY
            + b"tail -f /etc/passwd "
            + _AWAY
            + b"cp /usr/bin/sleep '/tmp/a b\nc'; setsid '/tmp/a b\nc' 60 "
            + _AWAY,
            ("a b\\nc", "sh", "sleep", "tail"),
        ),
        (b"#!/bin/sh\nsetsid sleep 60 &\n", ("sleep",)),
        (b"#!/bin/sh\nfor n in $(seq 200); do setsid sleep 60 " + _AWAY + b"done\n", ("sleep",)),
    ],
    ids=["away", "holds the output", "crowd"],
)
def test_process_left_running_is_named(script: bytes, left: tuple[str, ...]) -> None:
    """
    What goes on when the script has ended is named, wherever it hides, and whether it holds the output or not.

    Also where there are so many that no further process could be waited with.
    """
    answer = _run(script)

    assert answer.runs[0].left == left


def test_what_ends_soon_is_waited_for_and_what_it_wrote_is_seen() -> None:
    """A child that outlives its script for a moment is not left behind; a file that it writes late is seen."""
    answer = _run(b"#!/bin/sh\nsetsid sh -c 'sleep 0.2; echo late >/srv/late' " + _AWAY)

    assert answer.runs[0].left == ()
    assert answer.runs[0].after["/srv/late"].content == b"late\n"


@pytest.mark.parametrize("as_root", [True, False], ids=["root", "ordinary user"])
def test_what_the_loader_makes_is_no_change_and_what_a_script_makes_beside_it_is(*, as_root: bool) -> None:
    """Of lock and markers only what the loader writes is left out, in each run; shared memory is looked at."""
    folder = "/run/remedy" if as_root else "/run/user/1000/remedy"
    script = f"""#!/bin/sh
cd {folder}
echo x >"$REMEDY_EXECUTION-mine"; echo x >$REMEDY_EXECUTION/mine; echo x >/dev/shm/$REMEDY_EXECUTION
"""

    answer = _run(script.encode(), runs=2, as_root=as_root, files=(_file("/dev/shm/before"),))

    assert answer.runs[1].after["/dev/shm/before"].content == b"text"
    first = {f"{folder}/test-1-mine", f"{folder}/test-1/mine", "/dev/shm/test-1"}
    assert set(answer.runs[0].after) - set(answer.before) == first
    second = {path.replace("test-1", "test-2") for path in first}
    assert set(answer.runs[1].after) - set(answer.runs[0].after) == second
    assert [run.left for run in answer.runs] == [(), ()]


def test_lock_that_a_script_writes_is_a_change() -> None:
    """The loader's lock is empty; what a script writes there, or makes of the folder's mode, is seen."""
    answer = _run(b"#!/bin/sh\necho x >/run/remedy/lock; chmod 755 /run/remedy\n")

    assert set(answer.runs[0].after) - set(answer.before) == {"/run/remedy", "/run/remedy/lock"}


def test_script_that_takes_its_marker_away_is_an_error() -> None:
    """Without its marker a host could run a fix twice: a script that removes it is broken."""
    answer = _run(b"#!/bin/sh\nrm -rf /run/remedy\n")

    assert "which the loader makes, is not there" in answer.broken


def test_held_machine_runs_nothing() -> None:
    """The hold file of a host counts in a cage as well, with its reason."""
    answer = _run(b"#!/bin/sh\necho ran\n", files=(_file("/etc/remedy/hold", "moving house\n"),))

    result = answer.runs[0].result
    assert isinstance(result, FixResult)
    assert (result.ending, result.reason) == (FixEnding.HOST_HOLD, "moving house")
    assert "ran" not in _printed(answer)


def test_script_without_root_is_an_ordinary_user() -> None:
    """A script that does not become root has another user id, a home of its own, and may not write elsewhere."""
    script = b"#!/bin/sh\nid -u; id -un; echo $HOME; id -u root; grep CapEff /proc/self/status\n"

    answer = _run(script, as_root=False)

    assert _printed(answer).split() == ["1000", "remedy", "/home/remedy", "0", "CapEff:", "0000000000000000"]


def test_programs_are_the_usual_the_needed_and_the_stand_ins() -> None:
    """Others are not found, a stand-in is found before the real one, and what is taken away is not there."""
    script = (
        b"#!/bin/sh\nsystemctl start x; df -h; for p in mount bwrap perl openssl who timeout; do command -v $p; done\n"
    )
    answer = _run(
        script,
        programs={"systemctl": 'echo "stand-in $*"', "df": 'echo "real is $real"'},
        without=("who",),
    )

    assert _printed(answer).splitlines() == ["stand-in start x", "real is /.host/usr/bin/df", "/usr/bin/timeout"]


def test_needed_program_that_is_missing_is_a_reason() -> None:
    """A case that needs a program which this machine has not is skipped with its name."""
    answer = _run(b"#!/bin/sh\necho ran\n", needed=("no-such-program",))

    assert answer.skipped == "this machine has no no-such-program; install it, or give the case a stand-in for it"


def test_files_in_folders_of_programs_and_of_the_kernel_can_be_prepared() -> None:
    """A file in /usr/share stands beside what this machine has there; one in /proc takes the kernel's place."""
    files = (
        _file("/usr/share/remedy-test/a", "mine"),
        _file("/proc/uptime", "12.50 1.00\n"),
        _file("/bin/mine", "here"),
    )
    answer = _run(
        b"#!/bin/sh\ncat /usr/share/remedy-test/a /proc/uptime /usr/bin/mine; ls /usr/share | wc -l\n", files=files
    )

    first, *rest = _printed(answer).splitlines()
    assert first == "mine12.50 1.00"
    assert rest[0].startswith("here")
    assert int(rest[0].removeprefix("here")) > 5


@pytest.mark.parametrize("path", ["/dev/sda", "/.host/usr/bin/x", "/dev/null"])
def test_place_of_the_cage_cannot_be_prepared(path: str) -> None:
    """A file where the cage or the kernel makes what is there is a reason to skip, and nothing ran."""
    answer = _run(b"#!/bin/sh\necho ran\n", files=(_file(path),))

    assert f"{path} cannot be prepared" in answer.skipped


def test_what_does_not_fit_is_said() -> None:
    """More than a volume holds cannot be prepared: the answer says so, and the script did not run."""
    answer = _run(b"#!/bin/sh\ntrue\n", files=(_file("/srv/big", size=2 * 1024**2),), volumes={"/srv": 1024**2})

    assert "No space left" in answer.broken
    assert answer.runs == ()


def test_collector_gets_emit_and_its_rows_come_back() -> None:
    """A collector runs with the same prelude as on a host."""
    job = CollectJob(
        signal="disk",
        script=b'#!/bin/sh\nemit mount / free_gib 4.5 full ""\n',
        environment={},
        columns={"mount": "text", "free_gib": "number", "full": "boolean"},
        timeout_s=20,
    )
    answer = sandbox.BubblewrapCage().run(CageJob(script=job))
    if answer.skipped:
        pytest.skip(answer.skipped)

    output = answer.runs[0].result
    assert isinstance(output, CollectorOutput)
    assert output.stdout.kept == b'{"mount":"/","free_gib":4.5,"full":null}\n'


def test_host_is_the_made_up_one() -> None:
    """Name, users and time zone are not those of this machine."""
    answer = _run(b"#!/bin/sh\nuname -n; cut -d: -f1 /etc/passwd | tr '\\n' ' '; ls -A /home /root\n", host="made-up")

    assert _printed(answer).split() == ["made-up", "root", "remedy", "nobody", "/home:", "remedy", "/root:"]


@pytest.mark.parametrize("setting", ["kernel.unprivileged_userns_clone", "user.max_user_namespaces"])
def test_setting_that_forbids_namespaces_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, setting: str) -> None:
    """Where the kernel is told to refuse user namespaces the reason names the setting, and what bubblewrap said."""

    class Failed:
        errors = b"bwrap: No permissions to create a new namespace\n"

    place = tmp_path.joinpath(*setting.split("."))
    place.parent.mkdir()
    place.write_text("0\n")
    monkeypatch.setattr(sandbox, "_SETTINGS", tmp_path)

    reason = sandbox._why_not_made(Failed())  # type: ignore[arg-type]

    assert reason == f"no user namespaces here ({setting}=0); bwrap: No permissions to create a new namespace"


@pytest.mark.parametrize("archive", [b"", b"no archive", b"x" * 512, b"\0" * 100])
def test_archive_that_is_none_is_refused_or_empty(archive: bytes) -> None:
    """What a cage hands out as tar is never trusted: what is none is an error, and nothing else."""
    try:
        found = read_snapshot(archive)
    except SnapshotOdd:
        return

    assert found == {}


def test_secret_never_reaches_a_cage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that leads to a secret is refused before anything is made: a test reads no secret."""
    monkeypatch.setattr(sandbox, "_why_not", lambda: pytest.fail("it went on"))
    job = replace(fix_job(b"true\n"), environment={"REMEDY_PARAM_TOKEN": SecretReference("env:TOKEN")})

    with pytest.raises(TypeError, match="gets no secret"):
        sandbox.BubblewrapCage().run(CageJob(script=job))
