"""
Cages for scripts under test, made by bubblewrap: nothing of this machine can be changed from within.

A script starts only after the kernel has said from outside, and the cage's first
process from within, that the cage holds. Where no cage can be had the job is skipped
with the reason. Started by root, the cage is another user's, who owns nothing.
"""

import contextlib
import os
import platform
import resource
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from remedy.cage import CageAnswer, CageJob, CageRun, Snapshot
from remedy.port import CollectJob, CollectorOutput, FixEnding, FixJob, FixResult
from remedy.text import one_line
from remedy_runners.answers import Answer, CollectAnswer, FixAnswer
from remedy_runners.payload import collect_payload, fix_payload, remote_command
from remedy_runners.pieces import KILL_AFTER_S, interpreter_of
from remedy_runners.sandbox_evidence import holes
from remedy_runners.sandbox_filter import FILTERED_MACHINES, seccomp_filter
from remedy_runners.sandbox_markers import missing_markers, numbered_id, without_markers
from remedy_runners.sandbox_process import Caged, Descriptors, Gone, Late
from remedy_runners.sandbox_root import PROGRAM_FOLDERS, SHOWN, Root, RootMissing, build_root
from remedy_runners.sandbox_seen import SnapshotOdd, read_evidence, read_snapshot
from remedy_runners.sandbox_texts import LEFT_S, bubblewrap_words, first_process, limit_words, probed_places

__all__ = ["BubblewrapCage"]

_READY_S = 30.0
_TRIES_MAX = 3
_PREPARE_S = 30.0
_LOOK_S = 30.0
_GRACE_S = 8.0
_MARKED = (FixEnding.FINISHED, FixEnding.TIMED_OUT)
_TOOLS = {"setpriv": "util-linux", "choom": "util-linux", "prlimit": "util-linux"}
_SETTINGS = Path("/proc/sys")
_SPARE_UIDS = (1_879_048_192, 64_711)


class _Missing(Exception):
    """No cage can be had here, or it does not hold; nothing was started."""


class _NotMade(_Missing):
    """bubblewrap ended before there was a cage."""


class _Broken(Exception):
    """Something went wrong in a cage."""


class BubblewrapCage:
    """Makes a cage for each job; see `remedy.cage.Cage`. May be used by several threads."""

    def __init__(self) -> None:
        self._missing: str | None = None

    def run(self, job: CageJob) -> CageAnswer:
        """
        See `remedy.cage.Cage`.

        Raises:
            TypeError: a value for the script is, or leads to, a secret, which is an error of ours.
        """
        if not all(isinstance(value, str) for value in job.script.environment.values()):
            raise TypeError("a script under test gets no secret")
        if self._missing is None:
            self._missing = _why_not()
        if self._missing:
            return CageAnswer(skipped=self._missing)
        try:
            _check_interpreter(job)
            return _answer(job)
        except (_Missing, RootMissing) as exc:
            return CageAnswer(skipped=str(exc))
        except (_Broken, SnapshotOdd) as exc:
            return CageAnswer(broken=str(exc))
        except Late as exc:
            return CageAnswer(broken=f"{exc}; everything in the cage was ended")
        except Gone as exc:
            return CageAnswer(broken=f"the cage ended early: {exc}")


def _why_not() -> str:
    """Return why no cage can be had on this machine, '' when nothing is known against it."""
    if not sys.platform.startswith("linux"):
        return "a cage needs Linux"
    if platform.machine() not in FILTERED_MACHINES:
        return (
            f"the numbers of system calls are known for {', '.join(FILTERED_MACHINES)} only, not {platform.machine()}"
        )
    if _program("bwrap") is None:
        return "bubblewrap is missing; install the package bubblewrap"
    for name, package in _TOOLS.items():
        if _program(name) is None:
            return f"{name} is missing; install the package {package}"
    if _cores_are_off() and _core_pattern().startswith("|"):
        return (
            "a crash in the cage would reach the program in /proc/sys/kernel/core_pattern; "
            "start remedy with another hard limit than 0 for core files"
        )
    if os.geteuid() == 0 and _spare_uid() is None:
        return "root's namespace maps no spare user that the cage could belong to"
    return ""


def _program(name: str) -> str | None:
    return shutil.which(name, path=":".join(PROGRAM_FOLDERS))


def _cores_are_off() -> bool:
    """Say whether the limit of cores is 0 and cannot be raised to 1."""
    return resource.getrlimit(resource.RLIMIT_CORE)[1] == 0


def _core_pattern() -> str:
    try:
        return Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "|"


def _spare_uid() -> int | None:
    """Return a user id that nobody has, and that is mapped here for users and groups."""
    for uid in _SPARE_UIDS:
        if all(_maps(Path(f"/proc/self/{kind}_map").read_text(encoding="ascii"), uid) for kind in ("uid", "gid")):
            return uid
    return None


def _maps(text: str, uid: int) -> bool:
    ranges = [[int(word) for word in line.split()] for line in text.splitlines()]
    return any(first <= uid < first + count for first, _, count in ranges)


def _check_interpreter(job: CageJob) -> None:
    name = interpreter_of(job.script.script)[0]
    if name not in job.programs and _program(name) is None:
        raise _Missing(f"the script is for {name}, which is not on this machine; install it")


def _answer(job: CageJob) -> CageAnswer:
    """Return what was seen; a cage that failed for what came or went beside the programs meanwhile is made anew."""
    root = build_root(job)
    for _ in range(_TRIES_MAX - 1):
        try:
            return _in_cage(job, root)
        except _NotMade:
            again = build_root(job)
            if again.words == root.words:
                raise
            root = again
    return _in_cage(job, root)


def _in_cage(job: CageJob, root: Root) -> CageAnswer:
    with _started(job, root) as caged:
        return _conversation(job, root, caged)


@contextlib.contextmanager
def _started(job: CageJob, root: Root) -> Iterator[Caged]:
    """Start the cage's first process, which waits for leave; everything in it ends with the block."""
    as_root = job.script.become_root
    outer = _spare_uid() if os.geteuid() == 0 else None
    with Descriptors() as descriptors:
        filter_fd = descriptors.holding(seccomp_filter(platform.machine()))
        info_fd = descriptors.info()
        proc_fds = {path: descriptors.holding(text) for path, text in root.proc_files.items()}
        options = bubblewrap_words(
            root.words,
            as_root=as_root,
            host=job.host,
            volumes=job.volumes,
            proc_files=proc_fds,
            seccomp_fd=filter_fd,
            info_fd=info_fd,
        )
        options_fd = descriptors.holding(b"\0".join(os.fsencode(word) for word in options) + b"\0")
        inner = [f"{SHOWN}/bin/sh", "-c", first_process(tuple(job.volumes)), "remedy-cage", *_probed()]
        words = [
            *limit_words(uid=outer, core_bytes=0 if _cores_are_off() else 1),
            str(_program("bwrap")),
            "--args",
            str(options_fd),
            "--",
            *inner,
        ]
        caged = Caged(words, descriptors)
    try:
        _check_holds(caged, uid=os.geteuid() if outer is None else outer)
        yield caged
    finally:
        caged.end()


def _probed() -> tuple[str, ...]:
    return tuple(place for place in probed_places() if not place.endswith("/") or Path(place).exists())


def _check_holds(caged: Caged, *, uid: int) -> None:
    """
    See that the cage holds, while its first process waits.

    Raises:
        _Missing: it could not be made, or it does not hold.
    """
    try:
        word, *written = caged.answer(within_s=_READY_S).split(" ")
    except Late as exc:
        raise _Missing(_why_not_made(caged)) from exc
    except Gone as exc:
        raise _NotMade(_why_not_made(caged)) from exc
    if word != "ready":
        raise _Missing(f"the cage could not be made: it {word} {' '.join(written)}")
    try:
        found = [f"{place} can be written" for place in written]
        found += holes(read_evidence(caged.first_pid, uid=uid))
    except (OSError, ValueError) as exc:
        raise _Missing(f"whether the cage holds cannot be seen: {exc}") from exc
    if found:
        raise _Missing(f"the cage does not hold: {'; '.join(found)}")


def _why_not_made(caged: Caged) -> str:
    said = one_line(caged.errors) or "it said nothing"
    for name, bad in (
        ("kernel.unprivileged_userns_clone", "0"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1"),
        ("user.max_user_namespaces", "0"),
    ):
        with contextlib.suppress(OSError):
            if _SETTINGS.joinpath(*name.split(".")).read_text(encoding="ascii").strip() == bad:
                return f"no user namespaces here ({name}={bad}); {said}"
    return f"no cage could be made here: {said}"


def _conversation(job: CageJob, root: Root, caged: Caged) -> CageAnswer:
    caged.order(b"go\n")
    caged.order(b"prepare %d\n" % len(root.script) + root.script)
    code = caged.answer(within_s=_PREPARE_S).rpartition(" ")[2]
    if code != "0":
        raise _Broken(f"what the case prepares could not be made: {one_line(caged.errors)}")
    before = without_markers(_look(caged), job.script, runs=0)
    runs = tuple(_run(job, caged, number) for number in range(job.runs))
    return CageAnswer(before=before, runs=runs)


def _look(caged: Caged) -> Snapshot:
    caged.order(b"look\n")
    archive, code = caged.archive(within_s=_LOOK_S)
    if code != 0:
        raise _Broken(f"what is there afterwards could not be looked at: {one_line(caged.errors)}")
    return read_snapshot(archive)


def _run(job: CageJob, caged: Caged, number: int) -> CageRun:
    nonce = secrets.token_hex(16)
    answer: Answer
    match job.script:
        case FixJob():
            fix = _numbered(job.script, number)
            payload, answer = fix_payload(fix, nonce=nonce), FixAnswer(nonce)
        case CollectJob():
            payload, answer = collect_payload([job.script], nonce=nonce), CollectAnswer(nonce)
    command = remote_command(payload, become_root=job.script.become_root)
    caged.order(b"run\n" + command.encode("utf-8") + b"\n" + payload)
    within_s = job.script.timeout_s + KILL_AFTER_S + _GRACE_S
    left = caged.hear(answer, within_s=within_s, left_s=LEFT_S)
    result = _fix_result(answer) if isinstance(answer, FixAnswer) else _collector_output(answer)
    seen = _look(caged)
    if isinstance(result, FixResult) and result.ending in _MARKED:
        for path in missing_markers(seen, job.script, runs=number + 1):
            raise _Broken(
                f"{path}, which the loader makes, is not there: it was taken away, or there was no room for it"
            )
    return CageRun(result=result, after=without_markers(seen, job.script, runs=number + 1), left=left)


def _numbered(fix: FixJob, number: int) -> FixJob:
    """Return the job of a run: each run is an execution of its own, or its marker would refuse it."""
    execution_id = numbered_id(fix, number)
    return FixJob(
        execution_id=execution_id,
        script=fix.script,
        script_sha256=fix.script_sha256,
        environment={**fix.environment, "REMEDY_EXECUTION": execution_id},
        timeout_s=fix.timeout_s,
        become_root=fix.become_root,
    )


def _collector_output(answer: Answer) -> CollectorOutput:
    if not isinstance(answer, CollectAnswer) or not answer.started:
        raise _Broken(f"the loader did not start: {one_line(answer.noise)}")
    return answer.output(0)


def _fix_result(answer: FixAnswer) -> FixResult:
    match answer.said:
        case ("end", _, "1"):
            return answer.result(FixEnding.TIMED_OUT, "its deadline ended it")
        case ("end", code, _) if code.isdecimal():
            return answer.result(FixEnding.FINISHED, "", exit_code=int(code))
        case ("held", *words):
            return answer.result(FixEnding.HOST_HOLD, one_line(" ".join(words).encode("utf-8", "replace")))
        case ("refused", *words):
            return answer.result(FixEnding.REFUSED, one_line(" ".join(words).encode("utf-8", "replace")))
    raise _Broken(f"the loader's end was not seen: {one_line(answer.noise) or 'it said nothing'}")
