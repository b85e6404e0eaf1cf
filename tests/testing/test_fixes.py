"""What a script did against what its case expects: nothing that a case does not say goes unseen. No cage here."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.cage import CageAnswer, CageJob, CageRun, Entry, EntryKind, Snapshot
from remedy.errors import Place
from remedy.load.fix_cases import CollectCase, ExpectedFile, FixCase, Machine
from remedy.model import Column, ColumnType, Platform, RowPromise, Script, Signal
from remedy.port import Captured, CollectJob, CollectorEnding, CollectorOutput, FixEnding, FixJob, FixResult
from remedy.secrets import SecretReference
from remedy.testing.fixes import changed_paths, run_collect_cases, run_fix_cases
from remedy.testing.results import CheckedCase, State

_PLACE = Place(file="rules/x/tests.yaml", line=3, column=3)
_SCRIPT = Script(
    path="x/fix.sh", body=b"true\n", sha256="0" * 64, timeout_s=60, become_root=True, needs_reboot_codes=()
)
_FOLDER = Entry(kind=EntryKind.FOLDER, mode=0o755)


def _file(content: bytes = b"text", *, mode: int = 0o644, written_ns: int = 1) -> Entry:
    return Entry(kind=EntryKind.FILE, mode=mode, content=content, written_ns=written_ns)


_BEFORE: Snapshot = {"/": _FOLDER, "/tmp": _FOLDER, "/tmp/old": _file(), "/etc/kept": _file(b"kept")}
_AFTER: Snapshot = {path: entry for path, entry in _BEFORE.items() if path != "/tmp/old"}


def _captured(text: str) -> Captured:
    raw = text.encode()
    return Captured(head=raw, tail=b"", size=len(raw), sha256=hashlib.sha256(raw).hexdigest())


def _result(*, code: int = 0, stdout: str = "1 files\n", ending: FixEnding = FixEnding.FINISHED) -> FixResult:
    exit_code = code if ending is FixEnding.FINISHED else None
    return FixResult(ending=ending, exit_code=exit_code, stdout=_captured(stdout), stderr=_captured("warned\n"))


class _Answering:
    """A cage that gives one answer, and keeps the job."""

    def __init__(self, answer: CageAnswer) -> None:
        self.answer = answer
        self.jobs: list[CageJob] = []

    def run(self, job: CageJob) -> CageAnswer:
        self.jobs.append(job)
        return self.answer


def _expected(**what: object) -> ExpectedFile:
    return ExpectedFile(place=_PLACE, **what)  # type: ignore[arg-type]


_CASE = FixCase(
    name="old files go",
    owner="x",
    platform=Platform.LINUX,
    script=_SCRIPT,
    row={"mount": "/", "free_gib": 1.0, "free_percent": None},
    params={"min_age_days": 7.0, "token": SecretReference("env:TOKEN")},
    machine=Machine(),
    runs=2,
    ending=FixEnding.FINISHED,
    exit_code=0,
    output=("1 files",),
    files={"/tmp/old": _expected(state="gone")},
    place=_PLACE,
)


def _checked(
    case: FixCase = _CASE, *, before: Snapshot = _BEFORE, after: Snapshot = _AFTER, second: Snapshot | None = None,
    result: FixResult | None = None, second_result: FixResult | None = None,
) -> CheckedCase:  # fmt: skip
    runs = [CageRun(result=result or _result(), after=after)]
    if case.runs == 2:
        runs.append(CageRun(result=second_result or _result(), after=after if second is None else second))
    [checked] = run_fix_cases([case], _Answering(CageAnswer(before=before, runs=tuple(runs))))
    return checked


def _with(changes: Mapping[str, Entry], of: Snapshot = _AFTER) -> Snapshot:
    return {**of, **changes}


def test_case_passes_when_all_is_as_expected() -> None:
    """Exit code, output, the file that goes and all that stays: then the case passes."""
    assert _checked().state is State.PASSED


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"result": _result(code=1)}, "exit code: expected 0, is 1"),
        ({"second_result": _result(code=1)}, "the second run's exit code: expected 0, is 1"),
        ({"result": _result(ending=FixEnding.TIMED_OUT)}, "ending: expected finished, is timed_out"),
        ({"result": _result(stdout="nothing")}, "output: expected '1 files' in it, is without it"),
        ({"after": _BEFORE}, "/tmp/old: expected gone, is still there"),
        ({"before": _AFTER}, "/tmp/old: expected gone, is never there, so that it cannot go; prepare it under files"),
        ({"after": _with({"/etc/new": _file()})}, "is a new file"),
        ({"after": _with({"/etc/kept": _file(b"lost")})}, "is changed to 'lost'"),
        ({"after": _with({"/etc/kept": _file(b"kept", mode=0o600)})}, "is of mode 0600 instead of 0644"),
        ({"after": _with({"/etc/kept": _file(b"kept", written_ns=2)})}, "is written anew with what it held"),
        ({"after": _with({"/etc/kept": _FOLDER})}, "is a folder instead of a file"),
        ({"after": {"/": _FOLDER, "/tmp": _FOLDER}}, "/etc/kept: expected as it was"),
        ({"second": _with({"/etc/kept": _file(b"twice")})}, "is changed to 'twice' by a second run"),
        ({"second": _with({"/etc/new": _file()})}, "is a new file by a second run"),
    ],
)
def test_what_is_not_expected_fails_the_case(seen: Mapping[str, object], said: str) -> None:
    """Another code, ending, output, or any change that the case does not name, in the first run or the second."""
    checked = _checked(**seen)  # type: ignore[arg-type]

    assert checked.state is State.FAILED
    assert said in checked.message


@pytest.mark.parametrize(
    ("expected", "entry", "said"),
    [
        ({"text": b"on\n"}, _file(b"on\n"), ""),
        ({"text": b"on\n"}, _file(b"off\n"), "expected with 'on\\n', is with 'off\\n'"),
        ({"text": b""}, None, "expected there, is not there"),
        ({"contains": ("on", "off")}, _file(b"on and off"), ""),
        ({"contains": ("on", "up")}, _file(b"on and off"), "expected with 'up' in it"),
        ({"contains": ("on",)}, Entry(kind=EntryKind.LINK, mode=0o777, target="on"), "expected a file, is a link"),
        ({"mode": 0o600}, _file(mode=0o600), ""),
        ({"mode": 0o600}, _file(mode=0o644), "expected of mode 0600, is of mode 0644"),
        ({"link": "/a"}, Entry(kind=EntryKind.LINK, mode=0o777, target="/a"), ""),
        (
            {"link": "/a"},
            Entry(kind=EntryKind.LINK, mode=0o777, target="/b"),
            "expected a link to '/a', is one to '/b'",
        ),
        ({"link": "/a"}, _file(), "expected a link, is a file"),
        ({"is_folder": True}, _FOLDER, ""),
        ({"is_folder": True}, _file(), "expected a folder, is a file"),
        ({"state": "any"}, _file(b"whatever"), ""),
        ({"state": "any"}, None, ""),
        ({"state": "same"}, _file(), "expected as it was, is never there; prepare it under files"),
    ],
)
def test_expected_file_is_compared_in_all_that_is_said(
    expected: Mapping[str, object], entry: Entry | None, said: str
) -> None:
    """Text, parts, mode, target and kind of a file count where they are said, and its folder is implied."""
    case = replace(_CASE, files={**_CASE.files, "/new/folder/file": _expected(**expected)})
    made = {"/new": _FOLDER, "/new/folder": _FOLDER, "/new/folder/file": entry} if entry else {}

    checked = _checked(case, after=_with(made))

    assert checked.state is (State.FAILED if said else State.PASSED), checked.message
    assert said in checked.message


def test_same_holds_a_file_that_a_fix_must_not_touch() -> None:
    """`same` passes for a prepared file that is as it was, and fails once it was written anew."""
    case = replace(_CASE, files={**_CASE.files, "/etc/kept": _expected(state="same")})

    assert _checked(case).state is State.PASSED
    assert _checked(case, after=_with({"/etc/kept": _file(b"kept", written_ns=9)})).state is State.FAILED


@pytest.mark.parametrize("number", [0, 1])
def test_process_left_running_fails_the_case(number: int) -> None:
    """What a fix leaves running could do anything later: it fails the case, in the second run as well."""
    runs = [CageRun(result=_result(), after=_AFTER, left=("rm", "sh") if each == number else ()) for each in (0, 1)]
    [checked] = run_fix_cases([_CASE], _Answering(CageAnswer(before=_BEFORE, runs=tuple(runs))))

    assert checked.state is State.FAILED
    assert "it left a process running: rm, sh" in checked.message


def test_notes_of_stand_ins_may_grow_in_a_second_run() -> None:
    """What lies below /calls may differ after the second run, but not go unnamed after the first."""
    noted = _with({"/calls/done": _file(b"start\n")})
    twice = _with({"/calls/done": _file(b"start\nstart\n")})
    named = replace(_CASE, files={**_CASE.files, "/calls/done": _expected(text=b"start\n")})

    assert _checked(named, after=noted, second=twice).state is State.PASSED
    assert _checked(_CASE, after=noted, second=twice).state is State.FAILED


def test_time_of_a_folder_does_not_count() -> None:
    """A folder whose time changed because a file in it went is as it was."""
    after = {**_AFTER, "/tmp": replace(_FOLDER, written_ns=99)}

    assert _checked(after=after).state is State.PASSED


_ENTRIES = st.builds(
    Entry,
    kind=st.sampled_from([EntryKind.FILE, EntryKind.LINK, EntryKind.OTHER]),
    mode=st.sampled_from([0o600, 0o644]),
    written_ns=st.integers(0, 3),
    content=st.sampled_from([b"", b"a"]),
    target=st.sampled_from(["", "/a"]),
)
_SNAPSHOTS = st.dictionaries(st.sampled_from(["/a", "/b", "/c/d"]), _ENTRIES)


@given(before=_SNAPSHOTS, after=_SNAPSHOTS)
@settings(max_examples=100)
def test_every_change_is_seen_and_nothing_else(before: Snapshot, after: Snapshot) -> None:
    """Exactly the paths whose entries differ are changed, in both directions, and none between equal ones."""
    changed = changed_paths(before, after)

    assert set(changed) == {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == changed_paths(after, before) == tuple(sorted(changed))


@given(before=_SNAPSHOTS, after=_SNAPSHOTS)
@settings(max_examples=100)
def test_case_that_names_nothing_passes_only_without_any_change(before: Snapshot, after: Snapshot) -> None:
    """A case whose `files` are empty passes exactly when nothing changed."""
    case = replace(_CASE, files={}, runs=1)

    checked = _checked(case, before=before, after=after)

    assert (checked.state is State.PASSED) is (not changed_paths(before, after))


def test_skipped_and_broken_cages_are_no_success() -> None:
    """A case without a cage is skipped with the reason, one that broke in it has failed."""
    [skipped] = run_fix_cases([_CASE], _Answering(CageAnswer(skipped="bubblewrap is missing")))
    [broken] = run_fix_cases([_CASE], _Answering(CageAnswer(broken="no room")))

    assert (skipped.state, skipped.message) == (State.SKIPPED, "bubblewrap is missing")
    assert (broken.state, broken.message) == (State.FAILED, "no room")


def test_script_for_windows_is_skipped_and_never_sent() -> None:
    """A case for Windows is skipped with the reason, and no cage hears of it."""
    cage = _Answering(CageAnswer(broken="it ran"))

    [checked] = run_fix_cases([replace(_CASE, platform=Platform.WINDOWS)], cage)

    assert checked.state is State.SKIPPED
    assert "Windows" in checked.message
    assert cage.jobs == []


def test_script_gets_the_values_that_a_host_would_get() -> None:
    """Row and parameters are in the environment as on a host, null is unset, and of a secret there is a stand-in."""
    cage = _Answering(CageAnswer(skipped="looked at"))

    list(run_fix_cases([_CASE], cage))

    [job] = cage.jobs
    assert isinstance(job.script, FixJob)
    assert job.runs == 2
    assert job.script.become_root
    assert dict(job.script.environment) == {
        "REMEDY_ROW_MOUNT": "/",
        "REMEDY_ROW_FREE_GIB": "1",
        "REMEDY_PARAM_MIN_AGE_DAYS": "7",
        "REMEDY_PARAM_TOKEN": "stand-in-for-a-secret",
        "REMEDY_HOST": "remedy-test",
        "REMEDY_RULE": "x",
        "REMEDY_EXECUTION": "test",
        "REMEDY_DEADLINE_S": "60",
    }


def test_output_of_hosts_is_shown_harmless() -> None:
    """Control characters of what a script printed, or wrote, are made visible."""
    checked = _checked(result=_result(code=1, stdout="\x1b[2Jgone\n"), after=_with({"/etc/kept": _file(b"\x1b]0;x")}))

    shown = checked.message + "".join(line for each in checked.differences for line in each.why)
    assert "\x1b" not in shown
    assert "\\x1b[2Jgone" in shown


_SIGNAL = Signal(
    name="disk",
    title="Space",
    key=("mount",),
    rows=RowPromise.SOME,
    columns={"mount": Column(type=ColumnType.TEXT), "free_gib": Column(type=ColumnType.NUMBER, unit="GiB")},
    params={"mounts": ("/srv",)},
    collect={Platform.LINUX: _SCRIPT},
    max_age_s=60,
    digest="0",
    place=_PLACE,
)
_COLLECT = CollectCase(
    name="rows",
    owner="disk",
    platform=Platform.LINUX,
    script=_SCRIPT,
    signal=_SIGNAL,
    params=_SIGNAL.params,
    machine=Machine(),
    rows=({"mount": "/a", "free_gib": 2.0}, {"mount": "/b", "free_gib": None}),
    files={},
    place=_PLACE,
)
_ROWS = '{"mount":"/b","free_gib":null}\n{"mount":"/a","free_gib":2}\n'


def _collected(
    case: CollectCase = _COLLECT,
    *,
    stdout: str = _ROWS,
    code: int = 0,
    after: Snapshot = _BEFORE,
    left: tuple[str, ...] = (),
) -> CheckedCase:
    output = CollectorOutput(
        ending=CollectorEnding.EXITED, exit_code=code, stdout=_captured(stdout), stderr=_captured("why\n")
    )
    answer = CageAnswer(before=_BEFORE, runs=(CageRun(result=output, after=after, left=left),))
    cage = _Answering(answer)
    [checked] = run_collect_cases([case], cage)
    assert isinstance(cage.jobs[0].script, CollectJob)
    assert cage.jobs[0].script.environment == {"REMEDY_HOST": "remedy-test", "REMEDY_PARAM_MOUNTS": "/srv"}
    return checked


def test_rows_count_in_any_order() -> None:
    """A collector's rows are those that are expected, whatever their order."""
    assert _collected().state is State.PASSED


@pytest.mark.parametrize(
    ("stdout", "code", "said"),
    [
        ('{"mount":"/a","free_gib":2}\n', 0, "row '/b': expected a row, is none"),
        (_ROWS + '{"mount":"/c","free_gib":1}\n', 0, "row '/c': expected none, is mount '/c', free_gib 1"),
        (_ROWS.replace("2", "2048"), 0, "row '/a', free_gib: expected 2, is 2048"),
        (_ROWS.replace("null", "0"), 0, "row '/b', free_gib: expected null, is 0"),
        (_ROWS, 1, "reading: expected rows, is failed: exit code 1"),
        ("", 0, "reading: expected rows, is failed"),
        ('{"not_applicable":"none"}\n', 0, "reading: expected rows, is not_applicable: none"),
    ],
)
def test_other_rows_fail_the_case(stdout: str, code: int, said: str) -> None:
    """A row less or more, another value (a unit!), an exit code: each is a difference that names both."""
    checked = _collected(stdout=stdout, code=code)

    assert checked.state is State.FAILED
    assert said in checked.message


def test_collector_that_changes_anything_fails() -> None:
    """A collector changes nothing: a file that it leaves is a difference though its rows are right."""
    checked = _collected(after=_with({"/tmp/cache": _file()}, of=_BEFORE))

    assert checked.state is State.FAILED
    assert "/tmp/cache: expected as it was, for the case does not name it, is a new file" in checked.message


def test_collector_that_leaves_a_process_fails() -> None:
    """What a collector leaves running goes on after every scan, and on a host nobody ends it."""
    checked = _collected(left=("sleep",))

    assert checked.state is State.FAILED
    assert checked.message == "processes: expected none left running, is it left a process running: sleep"


def test_reason_of_a_failed_reading_is_compared() -> None:
    """`failed` and `not_applicable` want their status, and a part of the reason."""
    failed = replace(_COLLECT, rows=None, failed="why")
    absent = replace(_COLLECT, rows=None, not_applicable="no volume")

    assert _collected(failed, code=1, stdout="").state is State.PASSED
    assert _collected(failed).state is State.FAILED
    assert _collected(replace(failed, failed="other"), code=1).state is State.FAILED
    assert _collected(absent, stdout='{"not_applicable":"no volume here"}\n').state is State.PASSED
    assert _collected(absent, stdout='{"not_applicable":"other"}\n').state is State.FAILED
