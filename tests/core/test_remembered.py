"""What is remembered of a host: how incidents stand, and that nothing is claimed that was not proved."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.model import Host, Outcome, OutcomeClass, Reading, ReadingStatus, Verdict
from remedy.port import FixEnding
from remedy.remembered import IncidentStanding, PastExecution, has_said, remember, rules_then, standing_of
from tests.core.builders import BOOT, DISK, NOW, SIGNALS, full, reading, rule, scope, unseen

HOUR = timedelta(hours=1)
WEB_1 = Host(name="web-1")
DIGESTS = {name: each.digest for name, each in SIGNALS.items()}
PAST = PastExecution(
    rule="low-disk",
    host="web-1",
    key=(("mount", "/"),),
    run_id="run-1",
    execution_id="0123456789abcdef",
    planned_at=NOW - 2 * HOUR,
    started_at=NOW - 2 * HOUR,
    deadline_s=300,
    ending=FixEnding.FINISHED,
    exit_code=0,
    outcome_at=NOW - HOUR,
    outcome=Outcome.FIXED,
    reason="",
)
PASTS = st.builds(
    replace,
    st.just(PAST),
    started_at=st.none() | st.sampled_from((NOW - 3 * HOUR, NOW - timedelta(minutes=2))),
    outcome=st.none() | st.sampled_from(Outcome),
    released_at=st.none() | st.just(NOW - HOUR / 2),
    end_proved=st.booleans(),
)


@pytest.mark.parametrize("verdict", [None, Verdict.UNKNOWN])
def test_reading_after_a_mend_that_is_not_judged_leaves_it_open(verdict: Verdict | None) -> None:
    """What was read since a fix that worked, and is not judged, may be that it came back; not so if read before."""
    since = standing_of(PAST, verdict, read_at=NOW - HOUR / 4, now=NOW)
    before = standing_of(PAST, verdict, read_at=NOW - 2 * HOUR, now=NOW)

    assert since is IncidentStanding.NOT_JUDGED
    assert before is IncidentStanding.MENDED


@given(
    last=st.none() | PASTS,
    verdict=st.none() | st.sampled_from(Verdict),
    read_at=st.none() | st.sampled_from((NOW - 5 * HOUR, NOW - HOUR, NOW - HOUR / 4)),
)
def test_mended_is_only_what_was_proved(
    last: PastExecution | None, verdict: Verdict | None, read_at: datetime | None
) -> None:
    """Whatever is known, only an attempt that ended as fixed makes an incident mended, and none that matches since."""
    standing = standing_of(last, verdict, read_at=read_at, now=NOW)

    if standing in (IncidentStanding.MENDED, IncidentStanding.CAME_BACK):
        assert last is not None
        assert last.outcome is Outcome.FIXED
    if standing is IncidentStanding.MENDED and read_at == NOW - HOUR / 4:
        assert verdict is not Verdict.MATCH
    if standing is IncidentStanding.WELL_AGAIN:
        assert verdict is Verdict.HEALTHY


@given(last=PASTS, verdict=st.none() | st.sampled_from(Verdict), read_at=st.none() | st.just(NOW - HOUR / 4))
def test_end_that_nobody_saw_stays_unknown_until_a_person_or_the_host_says(
    last: PastExecution, verdict: Verdict | None, read_at: datetime | None
) -> None:
    """A lost attempt is unknown whatever was read since, until its end is proved or a person releases it."""
    lost = replace(last, started_at=NOW - 3 * HOUR, outcome=Outcome.LOST)
    standing = standing_of(lost, verdict, read_at=read_at, now=NOW)

    assert (standing is IncidentStanding.END_NOT_KNOWN) is (lost.released_at is None and not lost.end_proved)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_reading_from_before_the_end_of_an_attempt_says_nothing_of_it(outcome: Outcome) -> None:
    """What was read before an attempt ended, or at that moment, neither confirms nor refutes it."""
    last = replace(PAST, outcome=outcome)

    times = (NOW - 2 * HOUR, NOW - HOUR)
    older = {standing_of(last, verdict, read_at=at, now=NOW) for verdict in Verdict for at in times}

    assert older == {standing_of(last, None, read_at=None, now=NOW)}


@pytest.mark.parametrize("minutes", [0, 5, 6, 30])
def test_open_start_is_under_way_until_deadline_and_grace_are_over(minutes: int) -> None:
    """A start without an end may be at work for its deadline and 45 s; from then on its end is not known."""
    opened = replace(PAST, outcome=None, outcome_at=None, ending=None, started_at=NOW - timedelta(minutes=minutes))
    over = timedelta(minutes=minutes) >= timedelta(seconds=345)

    standing = standing_of(opened, None, read_at=None, now=NOW)

    assert standing is (IncidentStanding.END_NOT_KNOWN if over else IncidentStanding.UNDER_WAY)


def _remembered(*readings: Reading, past: tuple[PastExecution, ...] = (), now: datetime = NOW):
    scopes = [scope(rule(), [WEB_1])]
    then = rules_then(scopes, WEB_1, readings, signals=SIGNALS, digests=DIGESTS, now=now)
    return remember("web-1", then, past, signals=SIGNALS, readings=readings, tried=(), now=now)


def test_incident_of_reading_and_of_ledger_are_one() -> None:
    """A matching row and the attempts on its key are one incident, whatever the order of the key's columns."""
    (incident,) = _remembered(*full("web-1"), past=(PAST,)).incidents

    assert incident.standing is IncidentStanding.CAME_BACK
    assert incident.executions == (PAST,)
    assert incident.first_seen == PAST.planned_at


def test_old_reading_is_judged_as_of_then_and_said_to_be_old() -> None:
    """A reading of last week has the verdict it had, and is old; one within its time is not."""
    week = 7 * 24 * HOUR
    (old,) = _remembered(*full("web-1"), now=NOW + week).incidents
    (fresh,) = _remembered(*full("web-1"), now=NOW + timedelta(minutes=15)).incidents

    assert (old.verdict, old.is_old) == (Verdict.MATCH, True)
    assert (fresh.verdict, fresh.is_old) == (Verdict.MATCH, False)


def test_reading_that_was_too_old_beside_the_newest_is_unknown() -> None:
    """A rule over two signals, of which one was read an hour before the other, could not be judged then either."""
    both = rule("both", "free_percent < 10 and boot.days > 3", params={})
    readings = (*full("web-1"), reading(BOOT, "web-1", {"days": 9, "pending": False}, at=NOW - HOUR))

    (then,) = rules_then([scope(both, [WEB_1])], WEB_1, readings, signals=SIGNALS, digests=DIGESTS, now=NOW)
    (together,) = rules_then(
        [scope(both, [WEB_1])],
        WEB_1,
        (*full("web-1"), replace(readings[1], observed_at=NOW - timedelta(minutes=1))),
        signals=SIGNALS,
        digests=DIGESTS,
        now=NOW,
    )

    assert then.judgement.verdict is Verdict.UNKNOWN
    assert then.is_old is True
    assert together.judgement.verdict is Verdict.MATCH


def test_row_that_is_gone_is_not_known_to_be_well() -> None:
    """Where rows may not come and go, a row that is no longer there is no healthy one."""
    failed = replace(PAST, outcome=Outcome.FAILED)
    (incident,) = _remembered(reading(DISK, "web-1", {"mount": "/srv", "free_percent": 60}), past=(failed,)).incidents

    assert incident.verdict is Verdict.UNKNOWN
    assert incident.standing is IncidentStanding.EFFECT_NOT_KNOWN
    assert incident.reason == "the row is gone"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.UNVERIFIED, Outcome.LOST])
def test_fix_of_which_no_reading_says_otherwise_is_not_called_useless(outcome: Outcome) -> None:
    """A fix may have mended it before it failed: only `not_fixed` and `refused` say that the trouble is still there."""
    (incident,) = _remembered(past=(replace(PAST, outcome=outcome, end_proved=True),)).incidents

    assert incident.standing is IncidentStanding.EFFECT_NOT_KNOWN


def test_host_that_was_only_tried_is_not_known() -> None:
    """That it could not be read is no knowledge of the host."""
    tried = (unseen(DISK, "web-1", ReadingStatus.UNREACHABLE),)
    nothing = remember("web-1", (), (), signals={}, readings=(), tried=tried, now=NOW)

    assert nothing.is_empty
    assert not has_said(tried[0])


@pytest.mark.parametrize("outcome", [each for each in Outcome if each.outcome_class is OutcomeClass.SKIPPED])
def test_execution_that_was_skipped_is_no_attempt(outcome: Outcome) -> None:
    """What the host itself did not begin, or was never sent, is in the history and is no attempt."""
    skipped = replace(PAST, outcome=outcome)
    (incident,) = _remembered(*full("web-1"), past=(skipped,)).incidents

    assert incident.attempts == ()
    assert incident.last is None
    assert incident.standing is IncidentStanding.STILL_THERE
