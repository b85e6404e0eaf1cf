"""Values for the tests of the gate: a request with nothing against it, attempts, pauses, windows; and random ones."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from remedy.gate import LedgerFacts, LiveFacts, Request, Usage
from remedy.holds import Attempt, Held, Pause, PauseOf, incident_hold
from remedy.limits import Budget
from remedy.model import Hold, Outcome, Risk, RuleLimits, Verdict
from remedy.schedule import ChangeWindow, Freeze
from tests.core.builders import NOW, limits

HOUR = timedelta(hours=1)
SHA = "ab" * 32
REPAIRED = "cd" * 32
LEDGER = LedgerFacts(attempts=(), known_id=False, open_breaker="", host_busy="")
LIVE = LiveFacts(stopped="", frozen="", freezes=(), expired="", halted="", fuse="", disruptive_on_host=False)
SATURDAY_NIGHT = ChangeWindow(days=(5,), start_minute=22 * 60, end_minute=4 * 60, zone=UTC, zone_name="UTC")
SUNDAY_MORNING = ChangeWindow(days=(6,), start_minute=8 * 60, end_minute=9 * 60, zone=UTC, zone_name="UTC")
YEAR_END = Freeze(start=NOW + timedelta(minutes=10), end=NOW + timedelta(days=9), reason="year end")
TEN = Budget(hosts=10, window_s=86_400)
USED_UP = Usage(hosts=10, has_host=False)


def pause(of: PauseOf = PauseOf.ALL, name: str = "", *, until: datetime | None = None) -> Pause:
    """Return a pause by alice."""
    return Pause(of=of, name=name, reason="audit", actor="alice", at=NOW - timedelta(days=1), until=until)


REQUEST = Request(
    execution_id="0123456789abcdef",
    rule="low-disk",
    host="web-1",
    groups=("web", "berlin"),
    key=(("mount", "/"),),
    script_sha256=SHA,
    risk=Risk.SAFE,
    limits=limits(cooldown_s=3_600, attempts=3, within_s=86_400),
    windows=(),
    needed_s=315,
    is_protected=False,
    is_named=False,
    override=None,
    per_rule=None,
    all_rules=None,
    recheck=Verdict.MATCH,
    now=NOW,
)


def attempt(ago: timedelta, outcome: Outcome | None = Outcome.FIXED, *, sha: str = SHA) -> Attempt:
    """Return an attempt made so long before NOW."""
    return Attempt(execution_id="fedcba9876543210", run_id="run-1", at=NOW - ago, script_sha256=sha, outcome=outcome)


def hold_of(*attempts: Attempt, now: datetime = NOW, sha: str = SHA, of: RuleLimits = REQUEST.limits) -> Held | None:
    """Return what these attempts hold back."""
    return incident_hold(of, attempts, rule="low-disk", host="web-1", script_sha256=sha, now=now)


REASONS = st.sampled_from(("", "", "", "because"))
ATTEMPTS = st.lists(
    st.builds(
        attempt,
        st.integers(-3, 60).map(lambda hours: hours * HOUR),
        st.none() | st.sampled_from(Outcome),
        sha=st.sampled_from((SHA, REPAIRED)),
    ),
    max_size=6,
).map(tuple)
LIMITS = st.builds(
    limits,
    cooldown_s=st.sampled_from((0, 3_600, 86_400)),
    attempts=st.integers(1, 4),
    within_s=st.sampled_from((3_600, 86_400, 604_800)),
)
REQUESTS = st.builds(
    replace,
    st.just(REQUEST),
    risk=st.sampled_from(Risk),
    recheck=st.sampled_from([Verdict.MATCH] * 3 + list(Verdict)),
    limits=LIMITS,
    windows=st.sampled_from(((), (), (SUNDAY_MORNING,), (SATURDAY_NIGHT,))),
    needed_s=st.sampled_from((0, 315, 600, 601, 900, 901)),
    is_protected=st.booleans(),
    is_named=st.booleans(),
    override=st.none() | st.sampled_from(Hold),
    per_rule=st.none() | st.just(TEN),
    all_rules=st.none() | st.just(TEN),
)
USAGES = st.builds(Usage, hosts=st.integers(8, 11), has_host=st.booleans())
LEDGERS = st.builds(
    LedgerFacts,
    attempts=st.just(()) | ATTEMPTS,
    known_id=st.sampled_from((False, False, True)),
    open_breaker=REASONS,
    host_busy=REASONS,
    pauses=st.just(()) | st.just((pause(PauseOf.RULE, "low-disk"),)),
    rule_usage=USAGES,
    all_usage=USAGES,
)
LIVES = st.builds(
    LiveFacts,
    stopped=REASONS,
    frozen=REASONS,
    freezes=st.just(()) | st.just((YEAR_END,)),
    expired=REASONS,
    halted=REASONS,
    fuse=REASONS,
    disruptive_on_host=st.booleans(),
)
