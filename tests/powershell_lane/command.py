"""`scripts/test-powershell`: runs our PowerShell on a real one, and says exactly what was not as it must be."""

import argparse
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.powershell_lane import loader, starter_rules
from tests.powershell_lane.bench import Bench, environment_of
from tests.powershell_lane.case import Case, Heard, Wrong
from tests.powershell_lane.process import is_posix

__all__ = ["NotPowerShell", "Outcome", "all_cases", "main", "probed", "report_of", "run_case", "run_cases"]

_PROBE_S = 120
_JOBS_MAX = 4


class NotPowerShell(Exception):
    """The program cannot be used; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a case came to: problems if it failed, a reason if it was skipped."""

    case: Case
    problems: tuple[str, ...] = ()
    skipped: str = ""
    heard: tuple[Heard, ...] = ()
    duration_s: float = 0.0


def all_cases() -> list[Case]:
    """Return the cases of the loader, then those of the starter rules."""
    return [*loader.cases(), *starter_rules.cases()]


def probed(program: str) -> tuple[str, str]:
    """
    Return the program as it is started, and its version and edition.

    Raises:
        NotPowerShell: it is not there, does not start, or does not calculate.
    """
    found = shutil.which(program)
    if found is None:
        raise NotPowerShell(f"{program}: there is no such program")
    found = str(Path(found).absolute())
    if re.search(r"[^0-9A-Za-z_./:\\+-]", found):
        raise NotPowerShell(f"{found}: a path with blanks or signs cannot stand in the command line; link to it")
    left, right = secrets.randbelow(10**6), secrets.randbelow(10**6)
    text = f'[Console]::Write("$($PSVersionTable.PSVersion) $($PSVersionTable.PSEdition) $([long]{left}*{right})")'
    words = [found, "-NoProfile", "-NonInteractive", "-Command", text]
    try:
        told = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, env=environment_of({}), timeout=_PROBE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise NotPowerShell(f"{found}: cannot be used: {exc}") from exc
    said = told.stdout.decode("utf-8", "backslashreplace").strip()
    match = re.fullmatch(r"([0-9][0-9A-Za-z.+-]*) (Core|Desktop) ([0-9]+)", said)
    if match is None or int(match[3]) != left * right:
        raise NotPowerShell(
            f"{found}: is no PowerShell: asked for its version, it ended with {told.returncode} and said "
            f"{said[:300]!r}, on standard error {told.stderr[:300]!r}"
        )
    return found, f"{match[1]} {match[2]}"


def _missing(case: Case) -> str:
    """Return what a case needs and this machine has not."""
    if "sh" in case.needs and not is_posix():
        return "needs a POSIX system"
    if "user" in case.needs and (not is_posix() or os.geteuid() == 0):
        return "needs a user who is not root"
    return ""


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="remedy-lane-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_case(case: Case, program: str, *, version: str) -> Outcome:
    """Run one case in a folder of its own; whatever goes wrong is a problem of the case."""
    if missing := _missing(case):
        return Outcome(case=case, skipped=missing)
    began = time.monotonic()
    with _folder() as folder:
        bench = Bench(program, version=version, folder=folder)
        try:
            case.act(bench)
        except Wrong as exc:
            bench.problems.append(str(exc))
        except Exception as exc:  # noqa: BLE001 - a case that breaks has failed, and the others go on.
            bench.problems.append(f"the case could not go on: {type(exc).__name__}: {exc}")
        heard = tuple(bench.finish())
    if not heard and not bench.problems:
        bench.problems.append("no process was started, so nothing was shown")
    return Outcome(case=case, problems=tuple(bench.problems), heard=heard, duration_s=time.monotonic() - began)


def run_cases(cases: Sequence[Case], program: str, *, version: str, jobs: int) -> Iterator[Outcome]:
    """Run cases, some at once, and yield what they come to in their order."""
    with ThreadPoolExecutor(jobs) as pool:
        futures: list[Future[Outcome]] = [pool.submit(run_case, case, program, version=version) for case in cases]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def report_of(outcome: Outcome) -> str:
    """Return the lines that say what was not as it must be, and every process that the case started."""
    lines = [f"FAILED {outcome.case.title} ({outcome.duration_s:.1f} s)"]
    for problem in outcome.problems:
        lines += [f"  {line}" for line in problem.split("\n")]
    for number, heard in enumerate(outcome.heard, start=1):
        first, *others = heard.described()
        lines += [f"  process {number}: {first}", *(f"    {line}" for line in others)]
    return "\n".join(lines)


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/test-powershell",
        description="Runs the loader and every shipped rule script on a real PowerShell (5.1 or 7).",
    )
    parser.add_argument("program", metavar="PWSH", nargs="?", help="the PowerShell, such as pwsh")
    parser.add_argument("--list", action="store_true", help="print the cases and end; needs no PowerShell")
    parser.add_argument(
        "--only",
        metavar="TEXT",
        action="append",
        default=[],
        help="run cases whose `group: name` has this text in it; may be given more than once",
    )
    parser.add_argument(
        "-j",
        "--jobs",
        type=int,
        default=min(_JOBS_MAX, os.cpu_count() or 1),
        metavar="N",
        help="cases at once (default: processors, at most 4)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="name each case that passed or was skipped")
    found = parser.parse_args(arguments)
    if not found.list and found.program is None:
        parser.error("which PowerShell? for example: scripts/test-powershell pwsh (or --list)")
    if found.jobs < 1:
        parser.error("--jobs is at least 1")
    return found


def _chosen(texts: Iterable[str]) -> list[Case]:
    wanted = [text.lower() for text in texts]
    return [case for case in all_cases() if not wanted or any(text in case.title.lower() for text in wanted)]


def _list(cases: Sequence[Case]) -> None:
    for case in cases:
        print(case.title)
    groups = Counter(case.group for case in cases)
    rules = {group for group in groups if group.startswith("rule ")}
    print()
    for group, count in groups.items():
        print(f"{count:5} {group}")
    loaders = sum(count for group, count in groups.items() if group not in rules)
    print(f"{len(cases)} cases: {loaders} of the loader, {len(cases) - loaders} of {len(rules)} rule scripts")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when nothing failed, 1 when something did, 2 when it could not be run."""
    asked = _parsed(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    cases = _chosen(asked.only)
    if not cases:
        print(f"no case has {' or '.join(map(repr, asked.only))} in it; --list names them all", file=sys.stderr)
        return 2
    if asked.list:
        _list(cases)
        return 0
    try:
        program, version = probed(asked.program)
    except NotPowerShell as exc:
        print(exc, file=sys.stderr)
        return 2
    print(f"PowerShell {version} ({program}) on {sys.platform}, {len(cases)} cases, {asked.jobs} at once", flush=True)
    return _run(cases, program, version=version, asked=asked)


def _run(cases: Sequence[Case], program: str, *, version: str, asked: argparse.Namespace) -> int:
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for outcome in run_cases(cases, program, version=version, jobs=asked.jobs):
        if outcome.skipped:
            counts["skipped"] += 1
            reasons[outcome.skipped] += 1
            said = f"skipped {outcome.case.title}: {outcome.skipped}" if asked.verbose else ""
        elif outcome.problems:
            counts["failed"] += 1
            said = report_of(outcome)
        else:
            counts["passed"] += 1
            said = f"passed {outcome.case.title} ({outcome.duration_s:.1f} s)" if asked.verbose else ""
        if said:
            print(said, flush=True)
    for reason, count in reasons.items():
        print(f"{count} skipped: {reason}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0
