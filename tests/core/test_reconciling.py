"""What became of an execution, told from facts: every rule, and that nothing follows from a missing fact."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.port import Marker, MarkersRead, MarkerState
from remedy.reconciling import ARRIVAL_S, MARKERS_KEPT_S, Reconciled, Reconciliation, reconciled

HOUR_S = 3_600.0
DAY_S = 86_400

_BOOTS = st.sampled_from([None, "boot-1", "boot-2"])
_MARKERS = st.builds(
    Marker,
    state=st.sampled_from(MarkerState),
    boot_id=_BOOTS,
    exit_code=st.none() | st.integers(0, 255),
    over=st.none() | st.booleans(),
    is_alive=st.none() | st.booleans(),
)
_READS = st.builds(
    MarkersRead,
    boot_id=_BOOTS,
    as_root=st.booleans(),
    up_s=st.none() | st.integers(0, 60 * DAY_S),
    markers=st.just({}),
)
_AGES = st.floats(-DAY_S, 60 * DAY_S) | st.sampled_from([math.nan, math.inf, -math.inf])
_ABSENT = Marker(state=MarkerState.ABSENT)


def _read(*, boot_id: str | None = "boot-1", as_root: bool = True, up_s: int | None = 10 * DAY_S) -> MarkersRead:
    return MarkersRead(boot_id=boot_id, as_root=as_root, up_s=up_s, markers={})


def _told(
    marker: Marker, read: MarkersRead | None = None, *, intent: str | None = "boot-1", age_s: float = HOUR_S
) -> Reconciliation:
    return reconciled(intent_boot_id=intent, read=read or _read(), marker=marker, age_s=age_s)


def _started(*, boot_id: str | None = "boot-1", is_alive: bool | None = None) -> Marker:
    return Marker(state=MarkerState.STARTED, boot_id=boot_id, is_alive=is_alive)


@pytest.mark.parametrize("code", [0, 7, 255])
def test_written_end_is_finished_with_its_code(code: int) -> None:
    """An end that was written is the end, also after a reboot, and the exit code is the script's."""
    marker = Marker(state=MarkerState.ENDED, boot_id="boot-1", exit_code=code, over=False)

    told = [_told(marker), _told(marker, _read(boot_id="boot-2")), _told(marker, _read(boot_id=None), intent=None)]

    assert {(each.found, each.exit_code) for each in told} == {(Reconciled.FINISHED, code)}


def test_written_end_by_deadline_is_timed_out() -> None:
    """What its deadline ended has no exit code of its own."""
    told = _told(Marker(state=MarkerState.ENDED, boot_id="boot-1", exit_code=124, over=True))

    assert (told.found, told.exit_code) == (Reconciled.TIMED_OUT, None)


@pytest.mark.parametrize(
    ("is_alive", "found"),
    [(True, Reconciled.RUNNING), (False, Reconciled.DIED), (None, Reconciled.UNKNOWN)],
)
def test_start_without_end_in_this_boot_is_told_by_its_processes(is_alive: bool | None, found: Reconciled) -> None:
    """One that lives is running, none that lives is died, and not knowing is unknown."""
    assert _told(_started(is_alive=is_alive)).found is found


def test_start_without_end_in_another_boot_is_rebooted() -> None:
    """Nothing outlives its boot, whatever a process of the same number may say."""
    told = {_told(_started(is_alive=alive), _read(boot_id="boot-2")).found for alive in (True, False, None)}

    assert told == {Reconciled.REBOOTED}


@pytest.mark.parametrize(("marker_boot", "boot"), [(None, "boot-1"), ("boot-1", None), (None, None)])
def test_start_without_end_and_without_boot_ids_is_unknown(marker_boot: str | None, boot: str | None) -> None:
    """Process numbers mean nothing when they may be those of another boot."""
    told = [_told(_started(boot_id=marker_boot, is_alive=alive), _read(boot_id=boot)) for alive in (True, False)]

    assert {each.found for each in told} == {Reconciled.UNKNOWN}


def test_no_marker_on_a_host_that_was_up_all_the_time_is_never_started() -> None:
    """Root's marker would be there: same boot, up since before the intent, neither too young nor too old."""
    told = _told(_ABSENT)

    assert (told.found, told.exit_code, told.proves_end) == (Reconciled.NEVER_STARTED, None, True)


@pytest.mark.parametrize(
    ("read", "intent", "age_s", "found"),
    [
        pytest.param(_read(boot_id="boot-2"), "boot-1", HOUR_S, Reconciled.REBOOTED, id="another boot"),
        pytest.param(_read(boot_id="boot-2", as_root=False), "boot-1", HOUR_S, Reconciled.REBOOTED, id="plain user"),
        pytest.param(_read(boot_id=None), "boot-1", HOUR_S, Reconciled.UNKNOWN, id="boot id not read now"),
        pytest.param(_read(), None, HOUR_S, Reconciled.UNKNOWN, id="boot id not read then"),
        pytest.param(_read(boot_id=None), None, HOUR_S, Reconciled.UNKNOWN, id="two missing boot ids are not equal"),
        pytest.param(_read(as_root=False), "boot-1", HOUR_S, Reconciled.UNKNOWN, id="may be gone at logout"),
        pytest.param(_read(up_s=None), "boot-1", HOUR_S, Reconciled.UNKNOWN, id="age of the system not known"),
        pytest.param(_read(up_s=3_599), "boot-1", HOUR_S, Reconciled.UNKNOWN, id="container is younger"),
        pytest.param(_read(up_s=3_600), "boot-1", HOUR_S, Reconciled.NEVER_STARTED, id="just as old"),
        pytest.param(_read(), "boot-1", ARRIVAL_S - 0.1, Reconciled.UNKNOWN, id="on its way"),
        pytest.param(_read(), "boot-1", ARRIVAL_S, Reconciled.NEVER_STARTED, id="arrived or never"),
        pytest.param(_read(), "boot-1", -HOUR_S, Reconciled.UNKNOWN, id="clock set back"),
        pytest.param(_read(), "boot-1", math.nan, Reconciled.UNKNOWN, id="no age"),
        pytest.param(_read(up_s=60 * DAY_S), "boot-1", MARKERS_KEPT_S, Reconciled.UNKNOWN, id="may be removed"),
        pytest.param(_read(up_s=60 * DAY_S), "boot-1", MARKERS_KEPT_S - 1, Reconciled.NEVER_STARTED, id="still kept"),
    ],
)
def test_no_marker_proves_something_only_when_it_would_be_there(
    read: MarkersRead, intent: str | None, age_s: float, found: Reconciled
) -> None:
    """Each way in which a marker can have gone, or is not there yet, keeps its absence from being a proof."""
    assert _told(_ABSENT, read, intent=intent, age_s=age_s).found is found


@given(intent=_BOOTS, read=_READS, marker=_MARKERS, age_s=_AGES)
def test_never_started_and_finished_have_every_fact(
    intent: str | None, read: MarkersRead, marker: Marker, age_s: float
) -> None:
    """No combination of facts leads to an end unless each fact it rests on is there and says so."""
    told = reconciled(intent_boot_id=intent, read=read, marker=marker, age_s=age_s)

    match told.found:
        case Reconciled.NEVER_STARTED:
            assert marker.state is MarkerState.ABSENT
            assert intent is not None
            assert intent == read.boot_id
            assert read.as_root
            assert read.up_s is not None
            assert ARRIVAL_S <= age_s <= read.up_s
            assert age_s < MARKERS_KEPT_S
        case Reconciled.FINISHED | Reconciled.TIMED_OUT:
            assert marker.state is MarkerState.ENDED
            assert marker.exit_code is not None
            assert marker.over is (told.found is Reconciled.TIMED_OUT)
        case Reconciled.DIED | Reconciled.RUNNING:
            assert marker.state is MarkerState.STARTED
            assert marker.boot_id is not None
            assert marker.boot_id == read.boot_id
            assert marker.is_alive is (told.found is Reconciled.RUNNING)
        case Reconciled.REBOOTED:
            then = marker.boot_id if marker.state is MarkerState.STARTED else intent
            assert None not in (then, read.boot_id)
            assert then != read.boot_id
    assert (told.exit_code is None) is (told.found is not Reconciled.FINISHED)
    assert told.proves_end is (told.found not in (Reconciled.RUNNING, Reconciled.UNKNOWN))
    assert told.reason


@given(
    intent=_BOOTS,
    read=_READS,
    marker=_MARKERS,
    age_s=_AGES,
    missing=st.sampled_from(
        ["intent", "boot_id", "up_s", "as_root", "m.boot_id", "m.exit_code", "m.over", "m.is_alive"]
    ),
)
def test_taking_a_fact_away_never_makes_a_proof(
    intent: str | None, read: MarkersRead, marker: Marker, age_s: float, missing: str
) -> None:
    """With one fact fewer the answer is the same, or unknown."""
    before = reconciled(intent_boot_id=intent, read=read, marker=marker, age_s=age_s)

    if missing == "intent":
        intent = None
    elif missing.startswith("m."):
        marker = dataclasses.replace(marker, **{missing[2:]: None})
    else:
        read = dataclasses.replace(read, **{missing: False if missing == "as_root" else None})
    after = reconciled(intent_boot_id=intent, read=read, marker=marker, age_s=age_s)

    assert after.found in (before.found, Reconciled.UNKNOWN)


@given(intent=_BOOTS, read=_READS, age_s=_AGES, boot_id=_BOOTS, is_alive=st.none() | st.booleans())
def test_odd_marker_is_always_unknown(
    intent: str | None, read: MarkersRead, age_s: float, boot_id: str | None, is_alive: bool | None
) -> None:
    """A marker that cannot be read proves nothing, whatever else is known."""
    marker = Marker(state=MarkerState.ODD, boot_id=boot_id, is_alive=is_alive)

    assert reconciled(intent_boot_id=intent, read=read, marker=marker, age_s=age_s).found is Reconciled.UNKNOWN
