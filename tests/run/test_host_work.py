"""One host's work: every outcome there is, what is checked before and read after, and what is left behind."""

import threading
from dataclasses import replace

import pytest

from remedy.errors import LockHeld, Refused, Unreachable
from remedy.model import Exemption, Outcome, VerifyLater
from remedy.port import CollectorEnding, FixEnding
from tests.run.bench import outcomes
from tests.run.fleet import GONE, FakeHost, fix_result, trouble
from tests.run.rules import FLAG, FLAG_ANY, TEXT, condition, rule, script, verify_until

HIGH = {"name": "a", "level": 9}
MIDDLE = {"name": "a", "level": 4}


def one(bench, of=None, **scope):
    """Apply one rule to the bench's fleet; return outcomes by host and key."""
    return outcomes(bench.apply(bench.scope(of or rule(max_bad=100), **scope)))


OUTCOMES = [
    ("fixed", {}, {}),
    ("done", {}, {"verify": VerifyLater()}),
    ("needs_reboot", {("fix", 1): 30}, {"fix": script(reboot_codes=(30,))}),
    ("not_fixed", {("fix", 1): fix_result(FixEnding.FINISHED, 0)}, {}),
    ("not_fixed", {("collect", n): [MIDDLE] for n in range(2, 40)}, {}),
    ("unverified", {("collect", n): GONE for n in range(2, 40)}, {}),
    ("unverified", {("collect", n): CollectorEnding.TIMED_OUT for n in range(2, 40)}, {}),
    ("unverified", {("collect", n): 1 for n in range(2, 40)}, {}),
    ("unverified", {("collect", n): [{"name": "other", "level": 0}] for n in range(2, 40)}, {}),
    ("unverified", {("collect", n): [{"name": "a", "level": None}] for n in range(2, 40)}, {}),
    ("failed", {("fix", 1): 1}, {}),
    ("failed", {("fix", 1): 30}, {}),
    ("failed", {("fix", 1): FixEnding.TIMED_OUT}, {}),
    ("lost", {("fix", 1): FixEnding.LOST}, {}),
    ("lost", {("fix", 1): fix_result(FixEnding.FINISHED, None)}, {}),
    ("refused", {("fix", 1): FixEnding.REFUSED}, {}),
    ("refused", {("connect", 1): Refused("the host key is another")}, {}),
    ("refused", {("collect", 1): Refused("no timeout on the host")}, {}),
    ("unreachable", {("connect", 1): GONE}, {}),
    ("unreachable", {("collect", 1): GONE}, {}),
    ("unreachable", {("fix", 1): GONE}, {}),
    ("host_busy", {("fix", 1): FixEnding.HOST_BUSY}, {}),
    ("lost", {("fix", 1): FixEnding.ALREADY_STARTED}, {}),
    ("host_hold", {("fix", 1): FixEnding.HOST_HOLD}, {}),
    ("healed", {("collect", 1): [MIDDLE]}, {}),
    ("not_seen", {("collect", 1): [{"name": "a", "level": None}]}, {}),
    ("not_seen", {("collect", 1): CollectorEnding.LOST}, {}),
    ("not_seen", {("collect", 1): [{"name": "other", "level": 9}]}, {}),
    ("not_seen", {("collect", 1): [{"name": f"f{n}", "level": 9} for n in range(10)] + [HIGH]}, {}),
]


@pytest.mark.parametrize(("expected", "script_of_host", "changes"), OUTCOMES)
def test_every_way_to_end_has_its_outcome(make_bench, expected, script_of_host, changes):
    """Whatever a host does ends as the outcome that design section 6 names, once, in result, ledger and audit log."""
    bench = make_bench(trouble("web-1", plan=dict(script_of_host)))

    assert one(bench, rule(max_bad=100, **changes)) == {"web-1": expected}
    assert bench.bugs == []


def test_host_that_no_runner_reaches_is_refused_with_the_reason(make_bench, monkeypatch):
    """A planned host whose transport has no runner is refused, and that is no bug of ours."""
    bench = make_bench(trouble("web-1"))
    around = bench.surroundings
    monkeypatch.setattr(bench, "surroundings", lambda: replace(around(), runners={}))

    (end,) = bench.apply(bench.scope(rule())).ends

    assert end.ended.outcome is Outcome.REFUSED
    assert end.ended.reason == "this version has no runner for ssh; nothing was started"
    assert bench.bugs == []


def test_all_outcomes_are_reached():
    """The table above reaches every outcome of the model."""
    reached = {expected for expected, _, _ in OUTCOMES}

    assert {outcome.value for outcome in Outcome} - {"skipped"} <= reached


@pytest.mark.parametrize("expected", ["unreachable", "refused", "host_busy", "healed", "not_seen"])
def test_nothing_is_sent_before_the_permit(make_bench, expected):
    """What ends before its permit sends nothing and leaves no intent."""
    host_script = (
        next(each for word, each, _ in OUTCOMES if word == expected and not any(what == "fix" for what, _ in each))
        if expected != "host_busy"
        else {}
    )
    bench = make_bench(trouble("web-1", plan=dict(host_script)))
    held = bench.locks("another-run").host("web-1") if expected == "host_busy" else None
    if held:
        bench.check_nothing_left = lambda: None

    assert one(bench) == {"web-1": expected}
    assert bench.fleet.sent == []
    assert bench.recorded("execution.intent") == []
    if held:
        assert bench.fleet.contacted == []
        held.release()


def test_executions_of_a_host_go_in_key_order(make_bench):
    """Several rows of a host are fixed in key order, over one connection, each after a re-check of its own."""
    bench = make_bench(trouble("web-1", flags=("c", "a", "b")))

    assert one(bench) == {"web-1": "fixed", "web-1/b": "fixed", "web-1/c": "fixed"}
    assert [job.environment["REMEDY_ROW_NAME"] for job in bench.fleet.hosts["web-1"].jobs] == ["a", "b", "c"]
    assert bench.fleet.hosts["web-1"].counts["connect"] == 1
    assert bench.fleet.hosts["web-1"].counts["collect"] == 6


@pytest.mark.parametrize("ending", [1, FixEnding.LOST, FixEnding.TIMED_OUT, FixEnding.REFUSED])
def test_after_a_bad_execution_the_others_of_the_host_are_skipped(make_bench, ending):
    """One bad execution ends the host's others as host_bad; nothing more is sent there."""
    bench = make_bench(trouble("web-1", flags=("a", "b", "c"), plan={("fix", 2): ending}))

    found = one(bench)

    assert found["web-1"] == "fixed"
    assert found["web-1/c"] == "host_bad"
    assert len(bench.fleet.sent) == 2


def test_row_that_is_gone_is_healed_only_where_rows_may_go(make_bench):
    """A row gone at the re-check is healed with `rows: any`, and not seen with `rows: some`."""
    gone = {("collect", 1): [{"name": "other", "level": 1}]}
    some, any_ = make_bench(trouble("web-1", plan=dict(gone))), make_bench(trouble("web-1", plan=dict(gone)))
    any_.signals["flag"] = FLAG_ANY

    assert one(some) == {"web-1": "not_seen"}
    assert one(any_) == {"web-1": "healed"}


def test_row_gone_after_the_fix_is_proof_only_where_rows_may_go(make_bench):
    """A row gone after the fix is fixed with `rows: any`; with `rows: some` it is unverified (see the table)."""
    bench = make_bench(trouble("web-1", plan={("collect", n): [] for n in range(2, 9)}))
    bench.signals["flag"] = FLAG_ANY

    assert one(bench) == {"web-1": "fixed"}


def test_exempt_at_recheck_starts_nothing(make_bench):
    """A row that an exemption covers by the time of the re-check is left alone."""
    kept = Exemption(hosts="all", where=condition("note = 'keep'"), reason="kept for forensics", until=None)
    bench = make_bench(trouble("web-1", notes={"a": "use"}, plan={("collect", 1): [{**HIGH, "note": "keep"}]}))

    applied = bench.apply(bench.scope(rule(exempt=(kept,))))

    assert outcomes(applied) == {"web-1": "exempt"}
    assert "kept for forensics" in applied.ends[0].ended.reason
    assert bench.fleet.sent == []


def test_ten_rows_are_fixed_and_eleven_at_recheck_are_a_broken_sensor(make_bench):
    """Ten matching rows at the re-check are worked on; see the table for eleven."""
    rows = [{"name": f"f{n}", "level": 9} for n in range(9)] + [HIGH]
    bench = make_bench(trouble("web-1", plan={("collect", 1): rows}))

    assert one(bench) == {"web-1": "fixed"}


def test_fix_reads_the_row_of_the_recheck(make_bench):
    """The fix gets the row as the re-check read it, not as it was planned; what is null is unset."""
    bench = make_bench(
        trouble("web-1", notes={"a": "planned"}, plan={("collect", 1): [{"name": "a", "level": 7.5, "note": None}]})
    )

    assert one(bench) == {"web-1": "fixed"}
    (job,) = bench.fleet.hosts["web-1"].jobs
    assert dict(job.environment) == {
        "REMEDY_ROW_NAME": "a",
        "REMEDY_ROW_LEVEL": "7.5",
        "REMEDY_PARAM_ABOVE": "5",
        "REMEDY_HOST": "web-1",
        "REMEDY_RULE": "flag-high",
        "REMEDY_EXECUTION": job.execution_id,
        "REMEDY_DEADLINE_S": "60",
    }


def test_intent_records_the_row_of_the_recheck_and_the_parameters(make_bench):
    """The audit log's intent has row, parameters, script digest, deadline and boot id of what is being sent."""
    bench = make_bench(trouble("web-1", plan={("collect", 1): [{"name": "a", "level": 7}]}))

    one(bench)
    (intent,) = bench.recorded("execution.intent")

    assert intent["row"] == {"name": "a", "level": 7}
    assert intent["params"] == {"above": 5}
    assert intent["key"] == {"name": "a"}
    assert (intent["deadline_s"], intent["boot_id"], intent["script_sha256"]) == (60, "boot-1", script().sha256)


def test_row_with_very_long_texts_ends_nobody_elses_run(make_bench):
    """A row with as many and as long texts as there may be is recorded, cut; its host and the others are fixed."""
    names = [f"text_{number}" for number in range(47)]
    wide = replace(FLAG, columns={**FLAG.columns, **dict.fromkeys(names, TEXT)})
    long_key = "\U0001f4a3" * 1_000
    row = {"name": long_key, "level": 9, **dict.fromkeys(names, "\u200b" * 1_300)}
    bench = make_bench([FakeHost(name="web-1", levels={long_key: 9.0}), *trouble("web-2")])
    bench.signals["flag"] = wide
    bench.fleet.hosts["web-1"].plan = {("collect", 1): [row]}

    found = one(bench)

    assert list(found.values()) == ["fixed", "fixed"]


def test_verify_waits_for_settle_then_polls_until_proved(make_bench):
    """After `settle` the row is read at growing intervals until `until` holds; the outcome says what changed."""
    slow = {("collect", 2): [HIGH], ("collect", 3): [MIDDLE]}
    bench = make_bench(trouble("web-1", plan=slow))

    applied = bench.apply(bench.scope(rule(verify=verify_until(settle_s=10, within_s=60))))

    assert outcomes(applied) == {"web-1": "fixed"}
    assert "level 9 -> 0" in applied.ends[0].ended.reason
    assert bench.clock.slept == [10, 1.0, 2.0]


def test_verify_gives_up_after_within_with_a_last_reading_at_its_end(make_bench):
    """Polling ends at `within`, not later, and the last reading is made then."""
    bench = make_bench(trouble("web-1", plan={("fix", 1): fix_result(FixEnding.FINISHED, 0)}))

    assert one(bench, rule(verify=verify_until(settle_s=3, within_s=20))) == {"web-1": "not_fixed"}
    assert sum(bench.clock.slept) == pytest.approx(23, abs=0.1)
    assert bench.fleet.hosts["web-1"].counts["collect"] == 1 + len(bench.clock.slept)


def test_verify_reconnects_when_the_link_is_lost(make_bench):
    """A link lost after the fix is opened again, as often as it takes within the time; the proof counts."""
    bench = make_bench(
        trouble("web-1", plan={("collect", 2): GONE, ("connect", 2): Refused("busy"), ("collect", 3): GONE})
    )

    assert one(bench) == {"web-1": "fixed"}
    assert bench.fleet.hosts["web-1"].counts["connect"] == 4


def test_next_row_of_a_host_is_rechecked_over_the_new_connection(make_bench):
    """When the verification had to connect again, the host's next execution uses that connection."""
    bench = make_bench(trouble("web-1", flags=("a", "b"), plan={("collect", 2): GONE}))

    assert one(bench) == {"web-1": "fixed", "web-1/b": "fixed"}
    assert bench.fleet.hosts["web-1"].counts["connect"] == 2


@pytest.mark.parametrize(("level", "said"), [(9.0, "still holds"), (0.0, "no longer holds")])
def test_failed_fix_is_read_once_more(make_bench, level, said):
    """A failed fix stays failed; the host is read once, and the reason says whether the condition still holds."""
    host = FakeHost(name="web-1", levels={"a": 9.0})

    def fail_and_set():
        host.levels["a"] = level

    host.plan = {("fix", 1): 7, ("collect", 2): fail_and_set}
    bench = make_bench([host])

    applied = bench.apply(bench.scope(rule()))

    assert outcomes(applied) == {"web-1": "failed"}
    assert "exit code 7: no such file" in applied.ends[0].ended.reason
    assert said in applied.ends[0].ended.reason
    assert host.counts["collect"] == 2


def test_failed_fix_on_a_host_that_is_gone_stays_failed(make_bench):
    """When the host cannot be read after a failed fix, the reason says nothing of the condition."""
    bench = make_bench(trouble("web-1", plan={("fix", 1): 7, ("collect", 2): GONE}))

    applied = bench.apply(bench.scope(rule()))

    assert outcomes(applied) == {"web-1": "failed"}
    assert "holds" not in applied.ends[0].ended.reason


def test_verify_later_reads_nothing_after_the_fix(make_bench):
    """`verify: later` is done after the fix; nothing is read again and nobody waits."""
    bench = make_bench(trouble("web-1"))

    assert one(bench, rule(verify=VerifyLater())) == {"web-1": "done"}
    assert bench.fleet.hosts["web-1"].counts["collect"] == 1
    assert bench.clock.slept == []


BUG = RuntimeError("a bug")


@pytest.mark.parametrize(
    ("where", "expected", "sent"),
    [
        (("connect", 1), "refused", 0),
        (("collect", 1), "refused", 0),
        (("fix", 1), "lost", 0),
        (("collect", 2), "unverified", 1),
        (("connect", 2), "unverified", 1),
    ],
)
def test_bug_in_a_runner_becomes_an_outcome_of_its_host(make_bench, where, expected, sent):
    """A bug before the permit is refused, one while sending lost, one after the result unverified; others go on."""
    hosts = trouble("web-1", "web-2")
    hosts[0].plan = {where: BUG, **({("collect", 2): GONE} if where == ("connect", 2) else {})}
    bench = make_bench(hosts)

    assert one(bench) == {"web-1": expected, "web-2": "fixed"}
    assert [exc for _, exc in bench.bugs] == [BUG]
    assert len(bench.fleet.hosts["web-1"].jobs) == sent


def test_bug_after_a_failed_fix_leaves_it_failed(make_bench):
    """What the fix said is known and recorded: a bug in the reading after it takes nothing back."""
    bench = make_bench(trouble("web-1", plan={("fix", 1): 1, ("collect", 2): BUG}))

    assert one(bench) == {"web-1": "failed"}


def test_bug_in_closing_a_session_frees_the_lock_and_ends_nobody(make_bench):
    """A session that cannot be closed costs neither the host's lock nor its outcome nor the run."""
    bench = make_bench(trouble("web-1", "web-2", plan={("close", 1): BUG}))

    assert one(bench) == {"web-1": "fixed", "web-2": "fixed"}
    assert len(bench.bugs) == 2


def test_result_is_durable_before_the_reading_and_the_outcome_before_the_next_row(make_bench):
    """When a fix is verified its result is on the disk, and no outcome; when the next row is read, the outcome is."""
    seen = []
    host = FakeHost(name="web-1", levels={"a": 9.0, "b": 9.0})
    bench = make_bench([host])

    def look():
        records = bench.records(durable_only=True)
        seen.append([each["type"].removeprefix("execution.") for each in records if "execution." in each["type"]])

    host.plan = {("collect", 2): look, ("collect", 3): look}
    one(bench)

    assert seen == [["intent", "result"], ["intent", "result", "outcome"]]


def test_host_lock_is_held_from_before_the_recheck_to_the_end(make_bench):
    """While a host is read and mended no other run can take it; afterwards one can."""
    host = FakeHost(name="web-1", levels={"a": 9.0})
    bench = make_bench([host])
    held = []

    def look():
        try:
            bench.locks("another-run").host("web-1").release()
            held.append(False)
        except LockHeld:
            held.append(True)

    host.plan = {("collect", 1): look, ("fix", 1): look, ("collect", 2): look, ("connect", 1): look}
    one(bench)
    look()

    assert held == [True, True, True, True, False]


def test_other_signals_are_read_in_the_recheck_too(make_bench):
    """A condition on another signal's row is decided on the re-check's reading of both."""
    bench = make_bench(trouble("web-1", others={"power": [{"watts": 9}]}))
    of = rule(when="level > 5 and power.watts > 5")
    plan = bench.plan(bench.scope(of))
    bench.fleet.hosts["web-1"].others = {"power": []}

    applied = bench.apply(bench.scope(of), plan=plan)

    assert outcomes(applied) == {"web-1": "not_seen"}
    assert bench.fleet.sent == []


def test_hosts_of_a_wave_are_worked_on_at_the_same_time(make_bench):
    """As many hosts as `concurrency` says are under way together."""
    meet = threading.Barrier(3, timeout=20)
    bench = make_bench(trouble("web-1", "web-2", "web-3", plan={("fix", 1): meet.wait}))

    assert set(one(bench, rule(concurrency=3)).values()) == {"fixed"}


def test_unreachable_reason_says_that_nothing_was_started(make_bench):
    """A person reads that nothing was started, with what the runner said made harmless."""
    bench = make_bench(trouble("web-1", plan={("connect", 1): Unreachable("no\x1b[31m route")}))

    applied = bench.apply(bench.scope(rule()))

    assert applied.ends[0].ended.reason == "no\\x1b[31m route; nothing was started"


@pytest.mark.parametrize(("led_to", "outcome"), [("u@web-1:22", "fixed"), ("u@203.0.113.9:22", "refused")])
def test_host_that_leads_elsewhere_than_in_the_plan_is_refused(make_bench, led_to, outcome):
    """A host whose name leads to another machine by the time of the fix is refused before it is contacted."""
    bench = make_bench(trouble("web-1"))
    of = bench.scope(rule())

    applied = bench.apply(of, plan=replace(bench.plan(of), endpoints={"web-1": led_to}))

    assert outcomes(applied) == {"web-1": outcome}
    assert bool(bench.fleet.sent) is (outcome == "fixed")
    assert bool(bench.fleet.contacted) is (outcome == "fixed")
