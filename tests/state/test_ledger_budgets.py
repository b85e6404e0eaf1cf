"""Budgets in the ledger: which hosts count, whatever happens to their intents and to the clock; and how fast."""

import sqlite3
import statistics
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remedy.gate import Refusal, Usage
from remedy.limits import Budget
from remedy.model import Outcome, Skip
from remedy.port import FixEnding, Permit
from remedy.state import ledger_sql
from remedy.state.ledger import Ledger
from remedy.state.values import utc_text
from tests.state.builders import NOW, SHA, always, asked, by_gate, execution, run_row, unsynced

RULES = ("low-disk", "low-inodes")
HOSTS = tuple(f"web-{number}" for number in range(4))
RUNS = ("run-1", "run-2")
DAY = 86_400
ALL_OUTCOMES = sorted(set(Outcome))


def usage_of(ledger, *, rule="low-disk", host="web-0", at=NOW, per_rule=None, all_rules=None):
    """Return what the gate is told of the budgets, asking for an execution that is in no plan."""
    seen = []

    def look(_request, facts):
        seen.append((facts.rule_usage, facts.all_usage))
        return Refusal(skip=Skip.STOPPED, reason="only looking")

    probe = execution("probe", rule=rule, host=host)
    ledger.admit([asked(probe, at=at, per_rule=per_rule, all_rules=all_rules)], decide=look, sync_intents=unsynced)
    return seen[0]


@dataclass
class _Start:
    rule: str
    host: str
    at: datetime


def model(starts, *, rule, host, now, budget):
    """Return a budget's usage by looking at every start there ever was."""
    since = now - timedelta(seconds=budget.window_s)
    inside = {start.host for start in starts if start.at > since and rule in {start.rule, None}}
    return Usage(hosts=len(inside), has_host=host in inside)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.sampled_from(RUNS), st.sampled_from(RULES), st.sampled_from(HOSTS)),
        st.tuples(st.just("end"), st.integers(0, 30), st.sampled_from(ALL_OUTCOMES)),
        st.tuples(st.just("release"), st.sampled_from(RULES), st.sampled_from(HOSTS)),
        st.tuples(st.just("clock"), st.sampled_from([-7_200, -3_600, -1, 0, 1, 1_799, 1_800, 3_600, 90_000])),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_usage_equals_its_model(tmp_path_factory, steps):
    """
    After any history, usage is what a look at all starts says: of several runs, whatever their outcomes.

    Released incidents and clocks that went back or forward change nothing about it.
    """
    ledger = Ledger.open(tmp_path_factory.mktemp("ledger") / "ledger.sqlite3")
    ledger._connection.execute("PRAGMA synchronous = OFF")
    planned = {
        (run, rule, host, number): execution(f"{run}/{rule}/{host}/{number}", rule=rule, host=host)
        for run in RUNS
        for rule in RULES
        for host in HOSTS
        for number in range(len(steps))
    }
    for run in RUNS:
        ledger.begin_run(run_row(run), [each for place, each in planned.items() if place[0] == run])
    starts, admitted, now = [], [], NOW
    for number, (step, *arguments) in enumerate(steps):
        match step:
            case "start":
                run, rule, host = arguments
                each = planned[run, rule, host, number]
                ledger.admit([asked(each, run_id=run, at=now)], decide=always, sync_intents=unsynced)
                starts.append(_Start(rule, host, now))
                admitted.append([each.id, run, None])
            case "end":
                index, outcome = arguments
                if index < len(admitted) and admitted[index][2] is None:
                    ledger.record_outcome(admitted[index][0], now, outcome, run_id=admitted[index][1])
                    admitted[index][2] = outcome
            case "release":
                ledger.release(*arguments, now, "ok", "alice")
            case "clock":
                now += timedelta(seconds=arguments[0])
    per_rule, all_rules = Budget(hosts=1, window_s=1_800), Budget(hosts=9, window_s=7_200)
    found = [
        (rule, host, usage_of(ledger, rule=rule, host=host, at=now, per_rule=per_rule, all_rules=all_rules))
        for rule in RULES
        for host in (*HOSTS, "new")
    ]
    ledger.close()

    for rule, host, (rule_usage, all_usage) in found:
        assert rule_usage == model(starts, rule=rule, host=host, now=now, budget=per_rule)
        assert all_usage == model(starts, rule=None, host=host, now=now, budget=all_rules)


@pytest.mark.parametrize("outcome", ALL_OUTCOMES)
def test_start_is_never_given_back(ledger, outcome):
    """A host counts from its intent on, whatever became of it, also when the host itself said no or it was released."""
    planned = execution("a", host="web-1")
    ledger.begin_run(run_row(), [planned])
    ledger.admit([asked(planned)], decide=always, sync_intents=unsynced)
    budget = Budget(hosts=1, window_s=DAY)
    during = usage_of(ledger, per_rule=budget, all_rules=budget)
    if outcome is Outcome.SKIPPED:
        ledger.record_result("a", NOW, FixEnding.HOST_HOLD, None)
    ledger.record_outcome("a", NOW, outcome, run_id="run-1")
    ended = usage_of(ledger, per_rule=budget, all_rules=budget)
    ledger.release("low-disk", "web-1", NOW, "ok", "alice")
    released = usage_of(ledger, per_rule=budget, all_rules=budget)

    one = Usage(hosts=1, has_host=False)
    assert during == ended == released == (one, one)


def test_window_is_open_at_its_start_and_has_no_end(ledger):
    """A start of exactly the window's length ago is out, a microsecond later is in, and one dated to come is in."""
    budget = Budget(hosts=1, window_s=DAY)
    times = {
        "web-out": NOW - timedelta(seconds=DAY),
        "web-in": NOW - timedelta(seconds=DAY, microseconds=-1),
        "web-to-come": NOW + timedelta(days=300),
    }
    planned = [execution(host, host=host) for host in times]
    ledger.begin_run(run_row(), planned)
    pairs = [asked(each, at=times[each.host]) for each in planned]
    ledger.admit(pairs, decide=always, sync_intents=unsynced)

    found = {host: usage_of(ledger, host=host, per_rule=budget)[0] for host in times}
    assert {usage.hosts for usage in found.values()} == {2}
    assert {host for host, usage in found.items() if usage.has_host} == {"web-in", "web-to-come"}


def test_batch_cannot_go_beyond_a_budget(ledger):
    """Of five hosts asked for at once exactly as many are granted as the budget has; a counted host costs nothing."""
    planned = [execution(f"x{number}", host=f"web-{number}") for number in range(5)]
    again = execution("again", host="web-0", key=(("mount", "/srv"),))
    ledger.begin_run(run_row(), [*planned, again])
    budget = Budget(hosts=3, window_s=DAY)
    pairs = [asked(each, all_rules=budget) for each in (*planned, again)]

    answers = ledger.admit(pairs, decide=by_gate, sync_intents=unsynced)

    assert [isinstance(answer, Permit) for answer in answers] == [True, True, True, False, False, True]
    assert answers[3].skip is Skip.BUDGET


def test_budget_holds_over_runs(ledger):
    """What one run has used another one has not, and a clock that goes back refills nothing."""
    budget = Budget(hosts=1, window_s=3_600)
    for number, at in enumerate((NOW, NOW - timedelta(days=2))):
        planned = execution(f"x{number}", host=f"web-{number}")
        ledger.begin_run(run_row(f"run-{number}"), [planned])
        answers = ledger.admit(
            [asked(planned, run_id=f"run-{number}", at=at, per_rule=budget)], decide=by_gate, sync_intents=unsynced
        )
        assert isinstance(answers[0], Permit) is (number == 0)


def test_no_budget_asks_nothing(ledger):
    """Without a budget the ledger does not count."""
    statements = []
    ledger._connection.set_trace_callback(statements.append)
    found = usage_of(ledger)
    ledger._connection.set_trace_callback(None)

    assert found == (Usage(hosts=0, has_host=False), Usage(hosts=0, has_host=False))
    assert not [each for each in statements if "DISTINCT" in each]


@pytest.mark.parametrize("name", ["_USED", "_USED_BY_RULE"])
def test_usage_reads_its_window_and_no_history(ledger, name):
    """Both questions read the index by time alone, from the window's start on: a long history costs nothing."""
    query = getattr(ledger_sql, name)
    steps = [
        row[3] for row in ledger._connection.execute(f"EXPLAIN QUERY PLAN {query}", [""] * query.count("?")).fetchall()
    ]

    assert "SEARCH intents USING COVERING INDEX intents_at (at>?)" in steps
    assert not [step for step in steps if "intents_incident" in step or step.startswith("SCAN")]


def with_history(path, *, old, recent):
    """Make a ledger with so many intents long ago and so many in the last hours, of one rule."""
    Ledger.open(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO runs VALUES (1, 'old', ?, 'a', 'c', '', ?, 0)", (utc_text(NOW), utc_text(NOW)))
    rows = [
        (f"old-{number}", f"web-{number % 5_000}", utc_text(NOW - timedelta(days=30, seconds=number % 900_000)))
        for number in range(old)
    ] + [(f"new-{number}", f"web-{number}", utc_text(NOW - timedelta(seconds=number))) for number in range(recent)]
    connection.executemany("INSERT INTO executions VALUES ('old', ?, 0, 'low-disk', ?, '{}', ?, 'fixed', '')", rows)
    connection.executemany(
        "INSERT INTO intents (execution_id, run_id, rule, host, key, script_sha256, at, deadline_s)"
        f" VALUES (?, 'old', 'low-disk', ?, '{{}}', '{SHA}', ?, 300)",
        rows,
    )
    connection.execute("COMMIT")
    connection.close()


def admit_ms(path, *, count=60):
    """Return the median time that deciding one request takes, without what the disk needs for a commit."""
    ledger = Ledger.open(path)
    ledger._connection.execute("PRAGMA synchronous = OFF")
    ledger._connection.execute("PRAGMA journal_mode = MEMORY")
    planned = [execution(f"x{number}", host=f"host-{number}") for number in range(count)]
    ledger.begin_run(run_row(), planned)
    budgets = {"per_rule": Budget(hosts=10_000, window_s=DAY), "all_rules": Budget(hosts=10_000, window_s=DAY)}
    taken = []
    for each in planned:
        pair = asked(each, **budgets)
        start_s = time.perf_counter()
        (answer,) = ledger.admit([pair], decide=by_gate, sync_intents=unsynced)
        taken.append(1_000 * (time.perf_counter() - start_s))
        assert isinstance(answer, Permit)
    ledger.close()
    return statistics.median(taken)


def test_admission_does_not_slow_down_with_a_long_history(tmp_path):
    """With 500 starts in the window, a history of 20,000 of the same rule makes a decision no slower than none does."""
    with_history(tmp_path / "short.sqlite3", old=0, recent=500)
    with_history(tmp_path / "long.sqlite3", old=20_000, recent=500)

    short_ms, long_ms = (admit_ms(tmp_path / f"{name}.sqlite3") for name in ("short", "long"))

    assert long_ms < 3 * short_ms + 0.5


@pytest.mark.slow
def test_admission_with_a_million_intents_takes_a_millisecond(tmp_path):
    """With a million intents, 500 of them in the window of both budgets, deciding one request takes at most 1 ms."""
    with_history(tmp_path / "ledger.sqlite3", old=1_000_000, recent=500)

    assert admit_ms(tmp_path / "ledger.sqlite3") < 1.0
