"""Whether what came of one process is what must come of it."""

import re
from pathlib import Path

from remedy.port import CollectorEnding, CollectorOutput, FixEnding, FixResult
from tests.powershell_lane.case import Check, Expected, Heard, shown
from tests.powershell_lane.process import is_posix

__all__ = ["marker_problems", "problems_of"]

_START = re.compile(
    rb"boot_id [0-9A-Za-z-]{1,64}\npid [1-9][0-9]{0,8}\nborn (?:[0-9]{1,20}|-)\n"
    rb"started_at 20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z\n"
    rb"deadline_s (?P<deadline>[0-9]+)\nup_s [0-9]{1,10}\n"
)
_KILLED = (-9, 124, 137)
_UNUSUAL = (b"\x1b", b"#< CLIXML", b"\xef\xbb\xbf")


def problems_of(heard: Heard, expected: Expected) -> list[str]:
    """Return what is wrong, each with what was expected and what came."""
    return [
        *_trailer_problems(heard, expected),
        *_stream_problems(heard, expected),
        *_process_problems(heard, expected),
        *_session_problems(heard, expected),
    ]


def _differ(what: str, expected: object, got: object) -> str:
    return f"{what}\n  expected {shown(expected)}\n  got      {shown(got)}"


def _trailer_problems(heard: Heard, expected: Expected) -> list[str]:
    got = heard.trailer
    if got is not None and got.startswith("time 124"):
        # The last native command may have ended by itself, or by the deadline.
        got = "time 124"
    if got != expected.trailer:
        return [_differ("the trailer", expected.trailer, heard.trailer)]
    line = f"\n{heard.nonce} {heard.trailer}".encode()
    if heard.trailer is not None and not heard.stdout.rstrip().endswith(line):
        return [_differ("the end of standard output, which is the trailer", line, heard.stdout[-300:])]
    return []


def _stream_problems(heard: Heard, expected: Expected) -> list[str]:
    problems = []
    if isinstance(expected.printed, Check):
        complaint = expected.printed.of(heard.printed)
        if complaint:
            problems.append(f"what the script printed: {expected.printed.text}\n  {shown(complaint)}")
    elif expected.printed is not None and heard.printed != expected.printed:
        at = _first_difference(heard.printed, expected.printed)
        problems.append(
            _differ("what the script printed", expected.printed, heard.printed) + f"\n  they differ from byte {at} on"
        )
    problems += [
        _differ("standard error, which must hold", each, heard.stderr)
        for each in expected.stderr
        if _bare(each.encode()) not in _bare(heard.stderr)
    ]
    if not expected.stderr and not expected.is_stderr_free and heard.stderr:
        problems.append(_differ("standard error", b"", heard.stderr))
    problems += [f"standard error holds {each!r}: {shown(heard.stderr)}" for each in _UNUSUAL if each in heard.stderr]
    return problems


def _bare(text: bytes) -> bytes:
    """Return a text without blanks and bars, for PowerShell folds its messages into a box."""
    return re.sub(rb"[\s|]+", b"", text)


def _first_difference(left: bytes, right: bytes) -> int:
    for at, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return at
    return min(len(left), len(right))


def _process_problems(heard: Heard, expected: Expected) -> list[str]:
    problems = []
    if not heard.has_ended:
        problems.append(f"the process did not end by itself within {heard.duration_s:.1f} s")
    elif heard.duration_s > expected.within_s:
        problems.append(f"it took {heard.duration_s:.1f} s; at most {expected.within_s:.0f} s are right")
    status = _status_of(heard, expected)
    if heard.has_ended and heard.status not in status:
        problems.append(_differ("the status of the process", " or ".join(map(str, status)), heard.status))
    if not expected.leaves and (heard.left or heard.is_open):
        left = ", ".join(heard.left) or "something that holds its output open"
        problems.append(f"it left behind: {left}")
    return problems


def _status_of(heard: Heard, expected: Expected) -> tuple[int | None, ...]:
    if expected.status is not None:
        return (expected.status,)
    if heard.trailer is None:
        return (heard.status,)
    kind, code, *_ = heard.trailer.split()
    if kind == "time":
        return _KILLED
    return (int(code) % 256 if is_posix() else int(code) % 2**32,)


def _session_problems(heard: Heard, expected: Expected) -> list[str]:
    if heard.run.kind not in ("collector", "fix"):
        return [f"the session: {heard.error}"] if heard.error else []
    answer = heard.answer
    if not isinstance(answer, FixResult | CollectorOutput):
        # A collector that was not heard is an error of the session, and none that has an ending.
        if expected.ending is CollectorEnding.LOST and expected.reason and expected.reason in heard.error:
            return []
        return [f"the session has no answer: {heard.error or answer!r}"]
    ending, code, reason = _said_of(heard, expected)
    problems = []
    if (answer.ending, answer.exit_code) != (ending, code):
        got = (answer.ending.value, answer.exit_code, answer.reason)
        problems.append(_differ("what the session says", (ending.value, code), got))
    if reason not in answer.reason:
        problems.append(_differ("the reason of the session, which must hold", reason, answer.reason))
    if heard.has_started and answer.stdout.complete and answer.stdout.kept != heard.printed:
        problems.append(_differ("what the session kept of standard output", heard.printed, answer.stdout.kept))
    return problems


def _said_of(heard: Heard, expected: Expected) -> tuple[FixEnding | CollectorEnding, int | None, str]:
    """Return the ending, exit code and reason that a trailer stands for; a table of its own, not the session's."""
    is_fix = heard.run.kind == "fix"
    if expected.ending is not None:
        return expected.ending, None, expected.reason
    kind, code, *last = (expected.trailer or "none 0").split()
    ends, lost = (FixEnding.FINISHED, FixEnding.LOST) if is_fix else (CollectorEnding.EXITED, CollectorEnding.LOST)
    match kind:
        case "exit":
            return ends, int(code), ""
        case "end" if last and last[0] != "0":
            return ends, int(last[0]), f"native command ended with {last[0]}"
        case "end":
            return ends, 0, ""
        case "throw" | "parse" | "stop":
            return ends, 1, kind
        case "time":
            return (FixEnding.TIMED_OUT if is_fix else CollectorEnding.TIMED_OUT), None, ""
        case "load" if is_fix:
            return FixEnding.REFUSED, None, "nothing ran on the host"
    return lost, None, ""


def marker_problems(heard: Heard, marker: Path) -> list[str]:
    """Return what is wrong with the marker of a fix that ran once, or did not: its start, and its end as it ended."""
    start, end = _content(marker / "start"), _content(marker / "rc")
    if not heard.has_started:
        return [_differ(f"the marker {marker.name}, which nothing may leave", None, start)] if start else []
    problems = []
    found = _START.fullmatch(start or b"")
    if found is None:
        problems.append(_differ("the marker's file `start`", "six lines, boot_id to up_s", start))
    elif int(found["deadline"]) != heard.run.deadline_s:
        problems.append(_differ("the deadline in the marker's file `start`", heard.run.deadline_s, start))
    wanted = _end_of(heard.trailer)
    if end != wanted:
        problems.append(_differ(f"the marker's file `rc`, of an end {heard.trailer!r}", wanted, end))
    return problems


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _end_of(trailer: str | None) -> bytes | None:
    if trailer is None:
        return None
    kind, code, *last = trailer.split()
    code = last[0] if kind == "end" and last else code
    return f"{code} {int(kind == 'time')}\n".encode()
