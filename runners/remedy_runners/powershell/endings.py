"""What the answer of one PowerShell process means: for a collector, for a fix, and for a question of our own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from remedy.port import (
    CollectorEnding,
    CollectorOutput,
    FixEnding,
    FixJob,
    FixResult,
    Marker,
    MarkerState,
)
from remedy.text import untrusted
from remedy_runners.answers import printed_secret
from remedy_runners.capture import COLLECTOR_STDOUT_MAX, FIX_OUTPUT_MAX
from remedy_runners.frames import Mark
from remedy_runners.powershell.trailer import PowerShellAnswer, Trailer, TrailerKind, boot_id_of

__all__ = [
    "Identity",
    "collector_output",
    "ended",
    "fix_result",
    "identity_of",
    "marker_of",
    "reader_of",
    "why_nothing_ran",
]

_STATUSES = range(1, 0x10000)
"""Statuses of a process that ended by itself; those of a crash or a kill lie beyond."""

_PAYLOAD_REFUSALS = {
    "hold": "its hold file cannot be looked at, so nobody knows whether the host is held; let this login read {}",
    "lock": "its lock {} cannot be opened; let this login write there",
    "marker": "{} cannot be written; free or repair its disk, or let this login write there, "
    "so that a second start can be seen",
}
# Not in the line of source that PowerShell shows beside them, nor where 5.1 tells their category.
_OUR_WORDS = re.compile(r"(?<!['\"(])remedy: ([^\r\n]+)")
_NOT_STARTED = "the script was not started"
_NATIVE_FAILED = "its last native command ended with {}"
_ENDED_BY: Mapping[TrailerKind, str] = {
    TrailerKind.THROW: "throw: an error ended it",
    TrailerKind.PARSE: "parse: it is no PowerShell that this host can read; nothing of it ran",
    TrailerKind.STOP: "stop: its pipeline was stopped",
    TrailerKind.LOAD: "load: its loader failed; nothing of the script ran",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a machine reports of itself: MachineGuid, computer name, version of PowerShell; None where it says none."""

    machine_id: str | None
    computer_name: str | None
    version: str | None


def why_nothing_ran(answer: PowerShellAnswer, status: int | None) -> str | None:
    """
    Return why surely nothing of a script ran; None when that is not sure, and once `started` was said.

    status is that of a process that has ended and said nothing, None for any other.
    """
    if answer.started:
        return None
    stderr = answer.stderr().kept.decode("utf-8", errors="backslashreplace")
    # A word that ends the payload, and a script that ran all the same, contradict each other.
    is_unloaded = answer.trailer is not None and answer.trailer.kind is TrailerKind.LOAD
    if answer.nothing_ran is not None:
        return _refusal(answer.nothing_ran, stderr) if is_unloaded or answer.trailer is None else None
    said = _first_words(stderr)
    if is_unloaded:
        return "its PowerShell could not load the payload" + (f": {said}" if said else "")
    # `started` comes before the script, so a process that ended by itself and printed nothing has run none. One that
    # printed something that is not understood may have said `started` in another encoding.
    if not answer.noise and status in _STATUSES:
        return f"PowerShell did not start, or could not read the payload; it ended with {status}" + (
            f": {said}" if said else ""
        )
    return None


def _refusal(mark: Mark, stderr: str) -> str:
    what = untrusted(" ".join(mark[2:]), characters_max=200)
    code = mark[1] if mark[1:] else ""
    if code not in _PAYLOAD_REFUSALS:
        return untrusted(" ".join(mark), characters_max=200)
    said = [each for each in _OUR_WORDS.findall(stderr) if each != _NOT_STARTED]
    return _PAYLOAD_REFUSALS[code].format(what) + (f" ({untrusted(said[0], characters_max=200)})" if said else "")


def _first_words(stderr: str) -> str:
    """Return the line that names the error: PowerShell 7 puts it last, behind a bar, all others put it first."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if not lines:
        return ""
    line = lines[-1].removeprefix("|").strip() if lines[-1].startswith("|") else lines[0]
    return untrusted(line, characters_max=200)


def _exit_of(trailer: Trailer) -> tuple[int, str] | None:
    """Return the exit code that a trailer stands for, with what is to be said about it; None at a deadline."""
    match trailer.kind:
        case TrailerKind.EXIT:
            return trailer.code, ""
        case TrailerKind.END:
            # An error must never turn into success: plain `powershell -File` says 0 here.
            return (trailer.last, _NATIVE_FAILED.format(trailer.last)) if trailer.last else (0, "")
        case TrailerKind.THROW | TrailerKind.PARSE | TrailerKind.STOP | TrailerKind.LOAD:
            return 1, _ENDED_BY[trailer.kind]
        case TrailerKind.TIME:
            return None
    assert_never(trailer.kind)


def collector_output(answer: PowerShellAnswer) -> CollectorOutput:
    """Return what a collector that was heard came to."""
    stdout, stderr = answer.stdout(), answer.stderr()
    ending, code, reason = CollectorEnding.LOST, None, "its end was not seen"
    if answer.too_much:
        stream, size = (
            ("output", COLLECTOR_STDOUT_MAX) if stdout.size > COLLECTOR_STDOUT_MAX else ("errors", FIX_OUTPUT_MAX)
        )
        ending, reason = CollectorEnding.TOO_MUCH_OUTPUT, f"more than {size} bytes of {stream}"
    elif answer.trailer is not None:
        exited = _exit_of(answer.trailer)
        if exited is None:
            ending, reason = CollectorEnding.TIMED_OUT, "it did not end within its timeout"
        else:
            ending, (code, reason) = CollectorEnding.EXITED, exited
    if printed := printed_secret(stdout):
        ending, code, reason = CollectorEnding.PRINTED_SECRET, None, printed
    return CollectorOutput(ending=ending, exit_code=code, stdout=stdout, stderr=stderr, reason=reason)


def ended(answer: PowerShellAnswer, ending: FixEnding, reason: str, *, exit_code: int | None = None) -> FixResult:
    """Return the result of a fix with what was printed so far."""
    return FixResult(ending=ending, exit_code=exit_code, stdout=answer.stdout(), stderr=answer.stderr(), reason=reason)


def fix_result(answer: PowerShellAnswer, job: FixJob, status: int | None) -> FixResult:
    """
    Return what a fix came to.

    status is that of a process that said nothing, None when the host reported none.
    """
    much = f"it printed more than {FIX_OUTPUT_MAX} bytes" if answer.too_much else ""
    if answer.started and answer.trailer is not None:
        exited = _exit_of(answer.trailer)
        if exited is None:
            return ended(answer, FixEnding.TIMED_OUT, much or f"it did not end within {job.timeout_s} s")
        code, reason = exited
        return ended(answer, FixEnding.FINISHED, "; ".join(filter(None, (reason, much))), exit_code=code)
    if answer.started:
        why = f"{much}; its end was not waited for" if much else "its end was not seen"
        return ended(answer, FixEnding.LOST, why)
    why_nothing = why_nothing_ran(answer, status)
    if why_nothing is None:
        return ended(answer, FixEnding.LOST, "its start was not seen")
    match answer.nothing_ran:
        case ("held", *words):
            reason = untrusted(" ".join(words), characters_max=200)
            return ended(answer, FixEnding.HOST_HOLD, reason or "its hold file exists")
        case ("busy", *_):
            return ended(answer, FixEnding.HOST_BUSY, "another fix is at work on the host")
        case ("already", *_):
            return ended(answer, FixEnding.ALREADY_STARTED, "this execution was started on the host before")
    return ended(answer, FixEnding.REFUSED, f"nothing ran on the host: {why_nothing}")


_FOUND = re.compile(
    r"(?P<state>absent|started|ended) (?P<boot_id>[^ ]+) "
    r"(?:(?P<exit_code>-?[0-9]{1,10}) (?P<over>[01])|-) (?P<is_alive>yes|no|-)"
)
# Only PowerShell's own process is looked for: what it has left behind (msiexec, say) may live on
# when it is gone, and is_alive False would prove that nothing does.
_ALIVE: Mapping[str, bool | None] = {"yes": True, "no": None, "-": None}
_UP_S = re.compile(r"[0-9]{1,10}")


def marker_of(marks: Sequence[Mark], index: int) -> Marker:
    """Return what a payload said of the index-th marker; odd unless it said one thing of it that can be."""
    said = {" ".join(mark[2:]) for mark in marks if mark[:2] == ("marker", str(index))}
    found = _FOUND.fullmatch(said.pop()) if len(said) == 1 else None
    if found is None:
        return Marker(state=MarkerState.ODD)
    state, words = MarkerState(found["state"]), found.groupdict()
    if (state is MarkerState.ENDED) is not (words["exit_code"] is not None):
        return Marker(state=MarkerState.ODD)
    return Marker(
        state=state,
        boot_id=boot_id_of(words["boot_id"]),
        exit_code=None if words["exit_code"] is None else int(words["exit_code"]),
        over=None if words["over"] is None else words["over"] == "1",
        is_alive=_ALIVE[words["is_alive"]] if state is MarkerState.STARTED else None,
    )


def reader_of(marks: Sequence[Mark]) -> tuple[bool, int | None]:
    """Return whether the payload looked as an administrator, and for how many seconds the system has been up."""
    for mark in marks:
        match mark:
            case ("reader", "root" | "user" as who, up_s):
                return who == "root", int(up_s) if _UP_S.fullmatch(up_s) else None
    return False, None


def identity_of(marks: Sequence[Mark]) -> Identity:
    """Return what a payload said of the machine."""
    return Identity(
        machine_id=_one_word(marks, "machine"),
        computer_name=_one_word(marks, "name"),
        version=_one_word(marks, "version"),
    )


def _one_word(marks: Sequence[Mark], name: str) -> str | None:
    """Return what was said under a name; None when nothing, `-`, or two things were."""
    said = {" ".join(mark[1:]) for mark in marks if mark[0] == name}
    word = said.pop() if len(said) == 1 else ""
    return word if word not in ("", "-") else None
