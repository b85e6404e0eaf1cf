"""
Cases of scripts: what a fix did, or a collector read, on a made-up machine, against what is expected. Pure.

What a case says is complete: every change that it does not expect is a difference. A
fix is run twice, and the second run must change nothing.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath

from remedy.cage import Cage, CageAnswer, CageJob, CageRun, Entry, EntryKind, Snapshot
from remedy.load.fix_cases import CollectCase, ExpectedFile, FileState, FixCase, Machine
from remedy.model import Params, Platform, Reading, ReadingStatus, Row, Value, value_text
from remedy.port import CollectJob, CollectorOutput, FixEnding, FixJob, FixResult
from remedy.readings import reading_of_output
from remedy.secrets import SecretReference
from remedy.testing.comparing import Difference
from remedy.testing.results import CheckedCase, Kind, State
from remedy.text import untrusted

__all__ = ["HOST", "NOTES", "changed_paths", "run_collect_cases", "run_fix_cases"]

HOST = "remedy-test"
"""The name of the made-up machine."""

NOTES = "/calls"
"""What stand-ins note is below this folder; a second run may write there."""

_EXECUTION_ID = "test"
_STAND_IN_SECRET = "stand-in-for-a-secret"  # noqa: S105 - tests get no secret; this is what they get instead.
_READ_AT = datetime(2000, 1, 1, tzinfo=UTC)
_SHOWN_MAX = 200
_LINES_MAX = 12
_WINDOWS = "it is for Windows, and scripts run here on a made-up Linux only"


def run_fix_cases(cases: Iterable[FixCase], cage: Cage) -> Iterator[CheckedCase]:
    """Yield what each case came to, each run in a cage of its own."""
    for case in cases:
        if case.platform is not Platform.LINUX:
            yield _checked(case, Kind.FIX, State.SKIPPED, _WINDOWS)
            continue
        answer = cage.run(_job(case.machine, _fix_job(case), runs=case.runs))
        yield _of_answer(case, Kind.FIX, answer)


def run_collect_cases(cases: Iterable[CollectCase], cage: Cage) -> Iterator[CheckedCase]:
    """Yield what each case came to, each run in a cage of its own."""
    for case in cases:
        if case.platform is not Platform.LINUX:
            yield _checked(case, Kind.COLLECT, State.SKIPPED, _WINDOWS)
            continue
        answer = cage.run(_job(case.machine, _collect_job(case), runs=1))
        yield _of_answer(case, Kind.COLLECT, answer)


def changed_paths(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """
    Return the paths at which something is otherwise, sorted.

    A folder's time does not count, for it says no more than the files in it; a file
    that was written anew with what it held does.
    """
    return tuple(
        sorted(
            path for path in before.keys() | after.keys() if _compared(before.get(path)) != _compared(after.get(path))
        )
    )


def _compared(entry: Entry | None) -> tuple[object, ...] | None:
    if entry is None:
        return None
    written = 0 if entry.kind is EntryKind.FOLDER else entry.written_ns
    return (entry.kind, entry.mode, written, entry.content, entry.target)


def _job(machine: Machine, script: FixJob | CollectJob, *, runs: int) -> CageJob:
    return CageJob(
        script=script,
        runs=runs,
        files=machine.files,
        volumes=machine.volumes,
        programs=machine.programs,
        needed=machine.needed,
        without=machine.without,
        host=HOST,
    )


def _fix_job(case: FixCase) -> FixJob:
    values = {f"REMEDY_ROW_{name.upper()}": value_text(value) for name, value in case.row.items() if value is not None}
    return FixJob(
        execution_id=_EXECUTION_ID,
        script=case.script.body,
        script_sha256=case.script.sha256,
        environment={
            **values,
            **_param_values(case.params),
            "REMEDY_HOST": HOST,
            "REMEDY_RULE": case.owner,
            "REMEDY_EXECUTION": _EXECUTION_ID,
            "REMEDY_DEADLINE_S": str(case.script.timeout_s),
        },
        timeout_s=case.script.timeout_s,
        become_root=case.script.become_root,
    )


def _collect_job(case: CollectCase) -> CollectJob:
    return CollectJob(
        signal=case.owner,
        script=case.script.body,
        environment={"REMEDY_HOST": HOST, **_param_values(case.params)},
        columns={name: column.type.value for name, column in case.signal.columns.items()},
        timeout_s=case.script.timeout_s,
        become_root=case.script.become_root,
    )


def _param_values(params: Params) -> dict[str, str]:
    return {
        f"REMEDY_PARAM_{name.upper()}": _STAND_IN_SECRET if isinstance(value, SecretReference) else value_text(value)
        for name, value in params.items()
    }


def _of_answer(case: FixCase | CollectCase, kind: Kind, answer: CageAnswer) -> CheckedCase:
    if answer.skipped:
        return _checked(case, kind, State.SKIPPED, answer.skipped)
    if answer.broken:
        return _checked(case, kind, State.FAILED, untrusted(answer.broken, characters_max=500))
    of_case = _fix_differences(case, answer) if isinstance(case, FixCase) else _collect_differences(case, answer)
    found = tuple(of_case)
    message = "; ".join(f"{each.about}: expected {each.expected}, is {each.actual}" for each in found)
    return _checked(case, kind, State.FAILED if found else State.PASSED, message, found)


def _checked(
    case: FixCase | CollectCase, kind: Kind, state: State, message: str, found: tuple[Difference, ...] = ()
) -> CheckedCase:
    return CheckedCase(
        rule=case.owner,
        name=case.name,
        kind=kind,
        place=case.place,
        state=state,
        message=message,
        differences=found,
    )


def _fix_differences(case: FixCase, answer: CageAnswer) -> Iterator[Difference]:
    first, *again = answer.runs
    yield from _ending_differences(case, first, about="")
    yield from _output_differences(case, first)
    yield from _left_differences(case, first, about="")
    yield from _file_differences(case, answer.before, first.after)
    for run in again:
        yield from _ending_differences(case, run, about="the second run's ")
        yield from _left_differences(case, run, about="the second run's ")
        yield from _second_differences(case, first.after, run.after)


def _ending_differences(case: FixCase, run: CageRun, *, about: str) -> Iterator[Difference]:
    result = run.result
    if not isinstance(result, FixResult):
        raise TypeError("a fix has another result")
    if result.ending is not case.ending:
        said = f"{result.ending.value} ({result.reason})" if result.reason else result.ending.value
        yield _difference(case, f"{about}ending", case.ending.value, said, _said(result))
    elif result.ending is FixEnding.FINISHED and result.exit_code != case.exit_code:
        yield _difference(case, f"{about}exit code", str(case.exit_code), str(result.exit_code), _said(result))


def _left_differences(case: FixCase | CollectCase, run: CageRun, *, about: str) -> Iterator[Difference]:
    """A process that goes on when its script has ended can change anything later."""
    if run.left:
        names = untrusted(", ".join(run.left), characters_max=_SHOWN_MAX)
        yield _difference(case, f"{about}processes", "none left running", f"it left a process running: {names}")


def _said(result: FixResult | CollectorOutput) -> tuple[str, ...]:
    """Return the last lines of what a script printed, on both streams."""
    lines = []
    for name, stream in (("stdout", result.stdout), ("stderr", result.stderr)):
        text = stream.kept.decode("utf-8", errors="backslashreplace")
        lines += [f"{name}: {untrusted(line, characters_max=_SHOWN_MAX)}" for line in text.splitlines() if line.strip()]
    return tuple(lines[-_LINES_MAX:])


def _output_differences(case: FixCase, run: CageRun) -> Iterator[Difference]:
    streams = (run.result.stdout, run.result.stderr)
    texts = [stream.kept.decode("utf-8", errors="backslashreplace") for stream in streams]
    for part in case.output:
        if not any(part in text for text in texts):
            yield _difference(case, "output", f"{_shown(part)} in it", "without it", _said(run.result))


def _file_differences(case: FixCase | CollectCase, before: Snapshot, after: Snapshot) -> Iterator[Difference]:
    for path, expected in case.files.items():
        found = _file_difference(expected, before.get(path), after.get(path))
        if found is not None:
            yield Difference(about=path, place=expected.place, expected=found[0], actual=found[1])
    implied = {str(parent) for path in case.files if path in after for parent in PurePosixPath(path).parents}
    for path in changed_paths(before, after):
        is_new_folder = path not in before and after[path].kind is EntryKind.FOLDER
        if path not in case.files and not (is_new_folder and path in implied) and path != NOTES:
            change = _change(before.get(path), after.get(path))
            yield _difference(case, path, "as it was, for the case does not name it", change)


def _file_difference(expected: ExpectedFile, before: Entry | None, after: Entry | None) -> tuple[str, str] | None:
    """Return what was expected and what is, or None when they agree."""
    match expected.state:
        case FileState.ANY:
            return None
        case FileState.GONE if before is None:
            return "gone", "never there, so that it cannot go; prepare it under files"
        case FileState.GONE:
            return None if after is None else ("gone", "still there")
        case FileState.SAME if before is None:
            return "as it was", "never there; prepare it under files"
        case FileState.SAME:
            is_same = _compared(before) == _compared(after)
            return None if is_same else ("as it was", _change(before, after))
    return _content_difference(expected, after)


def _content_difference(expected: ExpectedFile, entry: Entry | None) -> tuple[str, str] | None:
    if entry is None:
        return "there", "not there"
    wanted = EntryKind.FOLDER if expected.is_folder else EntryKind.LINK if expected.link is not None else EntryKind.FILE
    is_bound = expected.is_folder or expected.link is not None or expected.text is not None or expected.contains
    if is_bound and entry.kind is not wanted:
        return f"a {wanted.value}", f"a {entry.kind.value}"
    if expected.link is not None and entry.target != expected.link:
        return f"a link to {_shown(expected.link)}", f"one to {_shown(entry.target)}"
    if expected.text is not None and entry.content != expected.text:
        return f"with {_shown(expected.text)}", f"with {_shown(entry.content)}"
    text = entry.content.decode("utf-8", errors="backslashreplace")
    for part in expected.contains:
        if part not in text:
            return f"with {_shown(part)} in it", f"with {_shown(text)}"
    if expected.mode is not None and entry.mode != expected.mode:
        return f"of mode {expected.mode:04o}", f"of mode {entry.mode:04o}"
    return None


def _second_differences(case: FixCase, first: Snapshot, second: Snapshot) -> Iterator[Difference]:
    for path in changed_paths(first, second):
        expected = case.files.get(path)
        is_free = expected is not None and expected.state == FileState.ANY
        if not is_free and path != NOTES and not path.startswith(f"{NOTES}/"):
            change = _change(first.get(path), second.get(path))
            yield _difference(case, path, "as the first run left it", f"{change} by a second run")


def _change(before: Entry | None, after: Entry | None) -> str:
    """Return what became of something, in a few words."""
    if before is None:
        return f"a new {after.kind.value}" if after is not None else "not there"
    if after is None:
        return "gone"
    if before.kind is not after.kind:
        return f"a {after.kind.value} instead of a {before.kind.value}"
    if before.target != after.target:
        return f"a link to {_shown(after.target)} instead of {_shown(before.target)}"
    if before.content != after.content:
        return f"changed to {_shown(after.content)}"
    if before.mode != after.mode:
        return f"of mode {after.mode:04o} instead of {before.mode:04o}"
    return "written anew with what it held"


def _collect_differences(case: CollectCase, answer: CageAnswer) -> Iterator[Difference]:
    [run] = answer.runs
    if not isinstance(run.result, CollectorOutput):
        raise TypeError("a collector has another result")
    reading = reading_of_output(case.signal, HOST, run.result, observed_at=_READ_AT)
    for status, part in ((ReadingStatus.FAILED, case.failed), (ReadingStatus.NOT_APPLICABLE, case.not_applicable)):
        if part is not None and (reading.status is not status or part not in reading.reason):
            yield _difference(case, "reading", f"{status.value}: {_shown(part)}", _status(reading), _said(run.result))
    if case.rows is not None and reading.status is not ReadingStatus.OK:
        yield _difference(case, "reading", "rows", _status(reading), _said(run.result))
    elif case.rows is not None:
        yield from _row_differences(case, reading.rows)
    yield from _left_differences(case, run, about="")
    yield from _file_differences(case, answer.before, run.after)


def _status(reading: Reading) -> str:
    reason = untrusted(reading.reason, characters_max=_SHOWN_MAX)
    return f"{reading.status.value}: {reason}" if reason else reading.status.value


def _row_differences(case: CollectCase, rows: tuple[Row, ...]) -> Iterator[Difference]:
    expected = {_key(case, row): row for row in case.rows or ()}
    actual = {_key(case, row): row for row in rows}
    for key in sorted(expected.keys() | actual.keys()):
        wanted, found = expected.get(key), actual.get(key)
        if found is None:
            yield _difference(case, f"row {key}".strip(), "a row", "none")
        elif wanted is None:
            yield _difference(case, f"row {key}".strip(), "none", _row_text(found))
        else:
            for column in case.signal.columns:
                if wanted[column] != found.get(column):
                    about = f"row {key}, {column}" if key else column
                    yield _difference(case, about, _value(wanted[column]), _value(found.get(column)))


def _key(case: CollectCase, row: Row) -> str:
    return ", ".join(_value(row.get(column)) for column in case.signal.key)


def _row_text(row: Row) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in row.items())


def _value(value: Value) -> str:
    return "null" if value is None else _shown(value) if isinstance(value, str) else value_text(value)


def _shown(text: str | bytes) -> str:
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="backslashreplace")
    return f"'{untrusted(text, characters_max=_SHOWN_MAX)}'"


def _difference(
    case: FixCase | CollectCase, about: str, expected: str, actual: str, why: tuple[str, ...] = ()
) -> Difference:
    return Difference(
        about=untrusted(about, characters_max=300), place=case.place, expected=expected, actual=actual, why=why
    )
