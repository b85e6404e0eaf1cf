"""A real `remedy apply` killed at points of its run, resumed, and compared with what really ran on the hosts."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.crash_points.command import Tally, main, try_points
from tests.crash_points.planted import PLANTED
from tests.crash_points.trial import Tried, compare

_IN_A_FIX = "spread/fix.running/charlie/1"
_GRANTED = "spread/ledger.commit.after/admit:charlie/1"
_ENDED = "spread/ledger.commit.after/record_results:charlie/1"
_NOT_COMMITTED = "spread/ledger.commit.before/admit:charlie/1"
_TORN = "spread/write.torn/execution.intent:charlie/1"
_BEFORE_THE_END = "spread/sync.after/run.ended/1"
_SAMPLE = (_IN_A_FIX, _GRANTED, _ENDED, _NOT_COMMITTED, _TORN, _BEFORE_THE_END)
_FLEETS = 4
_SAMPLE_S = 300
_WHOLE_S = 1_800
_ID = "0123456789abcdef"


@pytest.fixture(scope="module")
def hosts() -> None:
    """Hosts can be made on this machine; else the test is skipped, in CI it fails."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("sshd", path="/usr/sbin:/usr/bin") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have root and sshd")
        pytest.skip("needs root on Linux and sshd (openssh-server)")


@pytest.fixture(scope="module")
def tally(hosts: None) -> Tally:
    """What came of a sample of the points, and of a point with each planted bug."""
    # The longest first: those that wait for what may still be running.
    planted = sorted(((_IN_A_FIX, name) for name in PLANTED), reverse=True)
    return try_points([*planted, *((point, "") for point in _SAMPLE)], jobs=_FLEETS)


def _tried(tally: Tally, point: str, planted: str = "") -> Tried:
    (found,) = [each for each in tally.tried if (each.point, each.planted) == (point, planted)]
    return found


@pytest.mark.slow
@pytest.mark.sshd
@pytest.mark.timeout(_SAMPLE_S)
@pytest.mark.parametrize(
    ("point", "outcomes"),
    [
        (_IN_A_FIX, {"lost": 1, "skipped": 5}),
        (_GRANTED, {"lost": 1, "skipped": 5}),
        (_ENDED, {"unverified": 1, "skipped": 5}),
        (_NOT_COMMITTED, {"skipped": 6}),
        (_TORN, {"skipped": 6}),
        (_BEFORE_THE_END, {"fixed": 6}),
    ],
)
def test_killed_run_is_closed_as_what_happened(tally: Tally, point: str, outcomes: Mapping[str, int]) -> None:
    """After kill -9 and resume every execution has the one outcome that is true, and nothing runs a second time."""
    tried = _tried(tally, point)

    assert tried.was_killed
    assert tried.violations == ()
    assert tried.outcomes == outcomes


@pytest.mark.slow
@pytest.mark.sshd
@pytest.mark.timeout(_SAMPLE_S)
def test_points_are_where_their_names_say(tally: Tally) -> None:
    """A run that is killed in a fix leaves it running on the host; one killed in a record leaves a torn one."""
    assert _tried(tally, _IN_A_FIX).in_a_fix
    assert not _tried(tally, _GRANTED).in_a_fix
    assert _tried(tally, _TORN).torn
    assert not _tried(tally, _NOT_COMMITTED).torn


@pytest.mark.slow
@pytest.mark.sshd
@pytest.mark.timeout(_SAMPLE_S)
@pytest.mark.parametrize("name", sorted(PLANTED))
def test_planted_bug_is_noticed(tally: Tally, name: str) -> None:
    """An intent that is recorded too late, or forgotten by resume, is seen as a fix that ran twice on a host."""
    tried = _tried(tally, _IN_A_FIX, name)

    assert tried.was_killed
    assert any("ran 2 times" in violation for violation in tried.violations)
    assert any("a fix was started" in violation for violation in tried.violations)


def _execution(**changes: Any) -> dict[str, Any]:
    return {"execution": _ID, "outcome": "fixed", "started_at": "2026-11-22T08:45:00Z", **changes}


@pytest.mark.parametrize(
    ("execution", "ran", "marked", "is_mended"),
    [
        (_execution(), (_ID,), {_ID}, True),
        (_execution(outcome="lost"), (_ID,), {_ID}, True),
        (_execution(outcome="lost"), (), set(), False),
        (_execution(outcome="unverified"), (_ID,), {_ID}, False),
        (_execution(outcome="skipped", started_at=None), (), set(), False),
        (None, (), set(), False),
    ],
)
def test_truth_is_no_violation(
    execution: Mapping[str, Any] | None, ran: tuple[str, ...], marked: set[str], is_mended: bool
) -> None:
    """What is recorded as it happened contradicts nothing."""
    assert compare(execution, ran=ran, marked=frozenset(marked), is_mended=is_mended) == []


@pytest.mark.parametrize(
    ("execution", "ran", "marked", "is_mended", "said"),
    [
        (_execution(), (_ID, _ID), {_ID}, True, "ran 2 times"),
        (_execution(), ("fedcba9876543210",), {_ID}, True, "planned was"),
        (_execution(outcome="lost"), (_ID,), {_ID, "fedcba9876543210"}, True, "planned was"),
        (_execution(outcome=None), (), set(), False, "no outcome"),
        (_execution(outcome="skipped", started_at=None), (_ID,), {_ID}, True, "a fix was started"),
        (_execution(outcome="unreachable", started_at=None), (), {_ID}, False, "a fix was started"),
        (_execution(outcome="skipped"), (), set(), False, "there is an intent"),
        (_execution(), (_ID,), {_ID}, False, "not mended"),
        (_execution(), (), set(), True, "not mended"),
        (_execution(outcome="lost", started_at=None), (_ID,), {_ID}, True, "without an intent"),
        (None, (_ID,), {_ID}, True, "knows no run"),
        (None, (), {_ID}, False, "knows no run"),
    ],
)
def test_lie_is_a_violation(
    execution: Mapping[str, Any] | None, ran: tuple[str, ...], marked: set[str], is_mended: bool, said: str
) -> None:
    """Whatever is recorded and did not happen, or happened and is not recorded, is named."""
    found = compare(execution, ran=ran, marked=frozenset(marked), is_mended=is_mended)

    assert any(said in violation for violation in found)


def test_process_dies_at_its_point_and_at_no_other() -> None:
    """The N-th time that a subject reaches a kind kills the process; other subjects and times do not."""
    program = (
        "from tests.crash_points.points import Points\n"
        "points = Points('spread', 'spread/fix.sent/alpha/2')\n"
        "for host in ('alpha', 'bravo', 'bravo', 'alpha', 'alpha'):\n"
        "    print(host, flush=True)\n"
        "    points.reach('fix.sent', host)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == -9
    assert done.stdout.split() == ["alpha", "bravo", "bravo", "alpha"]


@pytest.mark.slow
@pytest.mark.sshd
@pytest.mark.timeout(_WHOLE_S)
@pytest.mark.usefixtures("hosts")
def test_every_point_keeps_every_promise() -> None:
    """Killed at every step of its run, remedy runs no fix twice, and says of each execution what happened."""
    assert main([]) == 0
