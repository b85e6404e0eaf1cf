"""The story comes out as told, on real hosts, and nothing of it is left on this machine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from remedy.demo.fleet import Fleet
from remedy.demo.host import Volume
from remedy.demo.story import DEMO_ENDINGS, DEMO_HOSTS, RULE, write_repository
from remedy.waves import rollout_order
from tests.demo.processes import processes_of, wait_until

# The demo tells its whole story once: twelve daemons, and minutes on a machine with other work.
pytestmark = pytest.mark.timeout(400)

_DOWN = "app-2"
_SYSTEM = ("/etc", "/srv", "/opt", "/var/tmp", "/var/cache", "/var/lib/remedy", "/run/remedy")
_QUIET = (*_SYSTEM, "/root", "/home")
"""Where nothing but the demo could write while a test runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """A demo that was told to its end: how it ended, and what was there before and after."""

    ended: subprocess.CompletedProcess[str]
    before: Mapping[str, object]
    after: Mapping[str, object]
    left: tuple[Path, ...]
    processes: tuple[int, ...]


def _demo_environment(temporary: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}


def _listing() -> dict[str, object]:
    """Return everything that is mounted, and every file of the quiet places with what stat says of it."""
    return {"mounts": _mounts(), "temporary": _temporary(), **_files(_QUIET)}


def _mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


def _files(roots: Sequence[str]) -> dict[str, object]:
    seen: dict[str, object] = {}
    for root in roots:
        for folder, _, names in os.walk(root):
            for path in (folder, *(str(Path(folder, name)) for name in names)):
                status = os.lstat(path)
                seen[path] = (status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return seen


def _temporary() -> list[str]:
    return sorted(path.name for path in Path("/tmp").glob("*remedy*"))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> _Told:
    """One whole `remedy demo`, run as a person would."""
    temporary = tmp_path_factory.mktemp("told")
    before = _listing()
    ended = subprocess.run(
        [sys.executable, "-m", "remedy", "demo"],
        env=_demo_environment(temporary),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=350,
    )
    return _Told(
        ended=ended,
        before=before,
        after=_listing(),
        left=tuple(temporary.iterdir()),
        processes=tuple(processes_of(temporary)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Applied:
    """A dry run and an apply on the story's fleet, and what was true on its hosts."""

    fleet: Fleet
    directory: Path
    dry_run: dict[str, Any]
    started_by_dry_run: Mapping[str, int]
    apply: dict[str, Any]
    exit_code: int


def _remedy(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REMEDY_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "remedy", *words],
        cwd=directory,
        env={**environment, "HOME": str(directory), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=350,
    )


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Applied]:
    """The story's apply on a fleet that stays up, so that its hosts can be asked."""
    directory = tmp_path_factory.mktemp("applied").resolve()
    (directory / "fleet").mkdir()
    with Fleet(directory / "fleet", hosts=DEMO_HOSTS) as fleet:
        write_repository(directory, inventory=fleet.inventory_path)
        dry_run = _remedy(directory, "apply", "--dry-run", "-o", "json")
        started = {name: fleet.fixes_started(name) for name in fleet.hosts}
        apply = _remedy(directory, "apply", "--yes", "-o", "json")
        yield _Applied(
            fleet=fleet,
            directory=directory,
            dry_run=json.loads(dry_run.stdout),
            started_by_dry_run=started,
            apply=json.loads(apply.stdout),
            exit_code=apply.returncode,
        )


def test_names_give_the_order_that_the_story_needs() -> None:
    """By rule and name alone web-4 comes first, then mail-1, web-6 and db-1, and web-5 last."""
    planned = [host.name for host in DEMO_HOSTS if host.volume is not Volume.ROOMY]

    assert rollout_order(RULE, planned) == ("web-4", "mail-1", "web-6", "db-1", "web-5")


@pytest.mark.slow
@pytest.mark.sshd
def test_demo_ends_with_zero_when_the_story_came_out(told: _Told) -> None:
    """`remedy demo` ends with 0, shows each command that it runs, and says what came of it."""
    assert told.ended.returncode == 0, told.ended.stdout + told.ended.stderr
    assert "\n$ remedy apply --yes\n" in told.ended.stdout
    assert "3 fixed" in told.ended.stdout
    assert "Traceback" not in told.ended.stdout + told.ended.stderr


@pytest.mark.slow
@pytest.mark.sshd
def test_demo_changes_nothing_outside_its_folder(told: _Told) -> None:
    """After the demo every file and mount outside its folder is what it was, to the nanosecond."""
    assert told.after == told.before


@pytest.mark.slow
@pytest.mark.sshd
def test_demo_leaves_no_folder_and_no_process(told: _Told) -> None:
    """After the demo its temporary folder and all processes of its hosts are gone."""
    assert told.left == ()
    assert told.processes == ()


@pytest.mark.slow
@pytest.mark.sshd
def test_demo_needs_nothing_writable_but_its_folder(tmp_path: Path) -> None:
    """On a machine where everything but the temporary folder is read-only, the story comes out just the same."""
    script = (
        'mount --bind "$1" "$1"; '
        'while read -r _ _ _ _ point _; do case $point in /proc | /dev/pts | "$1") ;; '
        '*) mount -o remount,bind,ro "$point" 2>/dev/null ;; esac; done < /proc/self/mountinfo; '
        'if [ -w /etc ] || [ -w /var ] || [ -w /tmp ]; then exit 99; fi; shift; exec "$@"'
    )
    alone = ["unshare", "--mount", "--propagation", "private", "bash", "-c", script, "bash", str(tmp_path)]
    ended = subprocess.run(
        [*alone, sys.executable, "-m", "remedy", "demo"],
        env=_demo_environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=350,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.sshd
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_interrupt_ends_the_demo_and_cleans_up(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C (and SIGTERM) in the middle of the apply ends with 130; no process, folder, file or mount is left."""
    before = (_mounts(), _files(_SYSTEM))
    with subprocess.Popen(
        [sys.executable, "-m", "remedy", "demo"],
        env=_demo_environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        seen = list(takewhile(lambda line: line != "$ remedy apply --yes\n", demo.stdout))
        running = processes_of(tmp_path)
        fleet = next(tmp_path.glob("remedy-demo-*/fleet/hosts"))
        started = wait_until(lambda: any(fleet.glob("web-4/markers/*")))
        if number is signal.SIGINT:
            # As the terminal does it: to all processes of the foreground at once.
            os.killpg(demo.pid, number)
        else:
            demo.send_signal(number)
        rest = demo.stdout.read()
        code = demo.wait(60)

    assert "$ remedy scan\n" in seen
    assert started
    assert len(running) > len(DEMO_HOSTS)
    assert code == 130, rest
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert (_mounts(), _files(_SYSTEM)) == before


@pytest.mark.sshd
def test_apply_ends_as_the_story_says(applied: _Applied) -> None:
    """The apply ends with 3 fixed, 1 failed, 1 skipped by the halt, and exit code 5."""
    outcomes = {end["host"]: end["outcome"] for end in applied.apply["outcomes"]}
    skips = {end["host"]: end["skip"] for end in applied.apply["outcomes"] if end["skip"]}

    assert outcomes == DEMO_ENDINGS
    assert skips == {"web-5": "halted"}
    assert {name: count for name, count in applied.apply["counts"].items() if count} == {
        "fixed": 3,
        "failed": 1,
        "skipped": 1,
    }
    assert applied.exit_code == 5


@pytest.mark.sshd
def test_host_down_is_unreachable_at_collection(applied: _Applied) -> None:
    """The host that is down is counted as unreachable, and is neither judged nor planned."""
    assert applied.apply["coverage"]["unreachable"] == [_DOWN]
    assert _DOWN not in {end["host"] for end in applied.apply["outcomes"]}


@pytest.mark.sshd
def test_fixes_start_once_where_planned_and_nowhere_else(applied: _Applied) -> None:
    """By the markers on the hosts: one start on each host that was permitted, none on any other, none by a dry run."""
    started = {name: applied.fleet.fixes_started(name) for name in applied.fleet.hosts}

    assert set(applied.started_by_dry_run.values()) == {0}
    assert {name: count for name, count in started.items() if count} == {"web-4": 1, "mail-1": 1, "web-6": 1, "db-1": 1}


@pytest.mark.sshd
def test_fixed_is_true_on_the_hosts(applied: _Applied) -> None:
    """By df on the hosts: what is called fixed has space again, what failed or was skipped is as full as it was."""
    free = {name: applied.fleet.free_percent(name) for name in DEMO_ENDINGS}

    assert {name for name, percent in free.items() if percent > 50} == {"web-4", "mail-1", "web-6"}
    assert {name for name, percent in free.items() if percent < 10} == {"db-1", "web-5"}


@pytest.mark.sshd
def test_audit_log_of_the_story_verifies(applied: _Applied) -> None:
    """`remedy audit verify` finds the chain whole after the apply."""
    verified = _remedy(applied.directory, "audit", "verify")

    assert verified.returncode == 0, verified.stdout + verified.stderr
