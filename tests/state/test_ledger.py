"""The ledger: runs, attempts, admission, outcomes, brakes."""

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from remedy.errors import StateError
from remedy.gate import Refusal
from remedy.model import Outcome, Skip
from remedy.port import FixEnding, Permit
from remedy.state import ledger_schema
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import ExecutionRow, RunRow
from tests.state.builders import NOW, ROOT, always, asked, by_gate, execution, limits, run_row, unsynced

LATER = NOW + timedelta(seconds=90)


def start(ledger: Ledger, *planned, run_id="run-1", at=NOW):
    """Begin a run of these executions and admit them all."""
    ledger.begin_run(run_row(run_id, at=at), planned)
    return admit(ledger, *planned, run_id=run_id, at=at)


def admit(ledger: Ledger, *planned, run_id="run-1", at=NOW, decide=by_gate, sync_intents=unsynced):
    pairs = [asked(each, run_id=run_id, at=at) for each in planned]
    return ledger.admit(pairs, decide=decide, sync_intents=sync_intents)


def test_ledger_file_is_private_and_durable(ledger, tmp_path):
    """The file is 0600, of remedy's application id, STRICT, with a rollback journal synced to the directory."""
    connection = ledger._connection

    def pragma(name):
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    path = tmp_path / "ledger.sqlite3"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    settings = [pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys", "user_version")]
    assert settings == ["delete", 3, 1, len(ledger_schema.MIGRATIONS)]
    assert pragma("application_id") == int.from_bytes(b"remy", "big")
    strict = connection.execute(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'"
    )
    tables = ("runs", "executions", "releases", "intents", "breakers", "pauses", "reconciliations")
    assert dict(strict.fetchall()) == dict.fromkeys(tables, 1)


def test_run_shows_every_execution_with_its_one_end(ledger):
    """A run shows its plan's executions in order: started and ended, skipped, and without an end yet."""
    fixed, skipped, pending = execution("a"), execution("b", host="web-2"), execution("c", host="web-0")
    ledger.begin_run(run_row(), [fixed, skipped, pending])
    admit(ledger, fixed)
    ledger.record_result("a", LATER, FixEnding.FINISHED, 0)
    ledger.record_outcome("a", LATER, Outcome.FIXED, "free 20%", run_id="run-1")
    ledger.record_outcome("b", LATER, Outcome.SKIPPED, "halted", run_id="run-1")
    ledger.end_run("run-1", LATER, 5)

    record = ledger.run("run-1")
    assert record.summary.run == run_row()
    assert (record.summary.ended_at, record.summary.exit_code) == (LATER, 5)
    assert record.executions[0] == ExecutionRow(
        execution_id="a",
        rule="low-disk",
        host="web-1",
        key=ROOT,
        started_at=NOW,
        ending=FixEnding.FINISHED,
        exit_code=0,
        outcome_at=LATER,
        outcome=Outcome.FIXED,
        reason="free 20%",
    )
    ends = [(each.execution_id, each.started_at, each.outcome) for each in record.executions[1:]]
    assert ends == [("b", None, Outcome.SKIPPED), ("c", None, None)]
    assert ledger.run("run-2") is None


def test_runs_are_the_newest_first_whatever_their_clocks(ledger):
    """Runs are listed in the order in which they began, also when the clock went back."""
    for number in range(4):
        ledger.begin_run(run_row(f"run-{number}", at=NOW - timedelta(hours=number)))

    assert [each.run.id for each in ledger.runs(3)] == ["run-3", "run-2", "run-1"]
    assert ledger.runs(3)[0].ended_at is None


def test_run_begins_and_ends_once(ledger):
    """A second begin or end of a run, and the end of one that never began, are errors."""
    ledger.begin_run(run_row())
    ledger.end_run("run-1", LATER, 0)

    with pytest.raises(StateError, match="in the ledger already"):
        ledger.begin_run(run_row())
    with pytest.raises(StateError, match="has ended already"):
        ledger.end_run("run-1", LATER, 1)
    with pytest.raises(StateError, match="never began"):
        ledger.end_run("run-2", LATER, 1)


def test_begin_run_with_one_execution_twice_records_nothing(ledger):
    """A plan that names one execution twice is refused as a whole."""
    with pytest.raises(StateError, match="contradicts"):
        ledger.begin_run(run_row(), [execution("a"), execution("a", host="web-2")])

    assert ledger.runs(9) == ()


def test_admit_gives_permits_and_attempts(ledger):
    """A grant is an attempt at once, with its run, time and script, and no outcome yet."""
    (answer,) = start(ledger, execution("a"))

    (attempt,) = ledger.attempts("low-disk", "web-1", ROOT)
    assert isinstance(answer, Permit)
    assert (attempt.execution_id, attempt.run_id, attempt.at, attempt.outcome) == ("a", "run-1", NOW, None)


def test_admit_reads_facts_that_include_the_grants_before(ledger):
    """Two requests of one incident in one batch: the second sees the first's attempt."""
    first, second = execution("a"), execution("b")
    ledger.begin_run(run_row(), [first, second])
    pairs = [asked(each, rule_limits=limits(attempts=1)) for each in (first, second)]

    answers = ledger.admit(pairs, decide=by_gate, sync_intents=unsynced)

    assert isinstance(answers[0], Permit)
    assert answers[1] == Refusal(skip=Skip.QUARANTINED, reason="1 attempts with this script; 1 are allowed")


def test_admit_syncs_the_granted_intents_before_it_commits(ledger, tmp_path):
    """sync_intents gets exactly the granted intents, in order, at a time when another reader sees none of them."""
    planned = [execution("a"), execution("b"), execution("c", host="web-2")]
    ledger.begin_run(run_row(), planned)
    seen = []

    def sync(granted):
        with sqlite3.connect(tmp_path / "ledger.sqlite3") as other:
            seen.append(
                ([intent.execution_id for intent in granted], other.execute("SELECT 1 FROM intents").fetchall())
            )
        other.close()

    pairs = [asked(each, rule_limits=limits(attempts=1)) for each in planned]
    ledger.admit(pairs, decide=by_gate, sync_intents=sync)

    assert seen == [(["a", "c"], [])]
    assert len(ledger.open_intents()) == 2


def test_admit_without_grants_syncs_nothing(ledger):
    """A batch of refusals asks nothing of the audit log."""
    start(ledger, execution("a"))

    def sync(_granted):
        raise AssertionError("nothing was granted")

    (answer,) = admit(ledger, execution("a"), sync_intents=sync)
    assert answer == Refusal(skip=Skip.ALREADY_STARTED, reason="this execution has been started before")


@pytest.mark.parametrize("error", [StateError("disk"), OSError("disk"), KeyboardInterrupt()])
def test_admit_grants_nothing_when_the_sync_fails(ledger, error):
    """When the audit log does not take the intents, whatever the reason, the ledger has none, and goes on working."""
    planned = execution("a")
    ledger.begin_run(run_row(), [planned])

    def sync(_granted):
        raise error

    with pytest.raises(type(error)):
        admit(ledger, planned, sync_intents=sync)
    assert ledger.open_intents() == ()
    assert isinstance(admit(ledger, planned)[0], Permit)


def test_admit_grants_nothing_when_deciding_fails(ledger):
    """An error while the second request is decided takes back the first grant."""
    planned = [execution("a"), execution("b", host="web-2")]
    ledger.begin_run(run_row(), planned)

    def decide(request, facts):
        if request.execution_id == "b":
            raise RuntimeError("ours")
        return by_gate(request, facts)

    with pytest.raises(RuntimeError):
        admit(ledger, *planned, decide=decide)
    assert ledger.open_intents() == ()


def test_admit_refuses_a_second_start_whoever_decides(ledger):
    """One execution id has one intent for ever: even a decision that ignores the facts cannot start it again."""
    planned = execution("a")
    start(ledger, planned)
    ledger.begin_run(run_row("run-2"), [planned])

    with pytest.raises(StateError, match="started before; it is not started again"):
        admit(ledger, planned, run_id="run-2", decide=always)


@pytest.mark.parametrize("changed", [{"host": "web-2"}, {"rule": "other"}, {"key": (("mount", "/srv"),)}])
def test_admit_refuses_what_is_not_in_the_plan(ledger, changed):
    """An execution that the run's plan does not have, or has for another host, rule or row, is not started."""
    ledger.begin_run(run_row(), [execution("a")])

    with pytest.raises(StateError, match="not pending in run run-1"):
        admit(ledger, execution("a", **changed), decide=always)
    with pytest.raises(StateError, match="not pending in run run-1"):
        admit(ledger, execution("b"), decide=always)
    assert ledger.open_intents() == ()


def test_admit_refuses_an_execution_that_ended_without_a_start(ledger):
    """What this run already counted as skipped is not started after all."""
    planned = execution("a")
    ledger.begin_run(run_row(), [planned])
    ledger.record_outcome("a", NOW, Outcome.SKIPPED, "halted", run_id="run-1")

    with pytest.raises(StateError, match="not pending"):
        admit(ledger, planned, decide=always)


def test_admit_refuses_an_intent_of_another_request(ledger):
    """An intent that differs from its request is an error of ours, and nothing is granted."""
    planned, other = execution("a"), execution("b", host="web-2")
    ledger.begin_run(run_row(), [planned, other])

    with pytest.raises(ValueError, match="not that of the request a"):
        ledger.admit([(asked(planned)[0], asked(other)[1])], decide=by_gate, sync_intents=unsynced)
    assert ledger.open_intents() == ()


def test_admit_finds_a_host_busy_with_an_open_intent_of_another_run(ledger):
    """An intent without an outcome holds its host for every rule of every other run, and says which it is."""
    first, second = execution("a"), execution("b", rule="low-inodes")
    start(ledger, first)
    ledger.begin_run(run_row("run-2"), [second])
    before = admit(ledger, second, run_id="run-2")
    ledger.record_result("a", NOW, FixEnding.FINISHED, 0)
    with_result = admit(ledger, second, run_id="run-2")
    ledger.record_outcome("a", NOW, Outcome.FIXED, run_id="run-1")
    after = admit(ledger, second, run_id="run-2")

    reason = "run run-1 started a there at 2026-11-22T08:45:00.000000Z (deadline 300s), and its end is not known"
    assert before == with_result == (Refusal(skip=Skip.HOST_BUSY, reason=reason),)
    assert isinstance(after[0], Permit)


def test_admit_of_the_same_run_is_not_busy_with_itself(ledger):
    """A run that carries out several executions on a host is not held up by its own."""
    answers = start(ledger, execution("a"), execution("b", key=(("mount", "/srv"),)))

    assert all(isinstance(answer, Permit) for answer in answers)


def test_same_plan_twice_starts_nothing_twice_and_both_runs_show_it(ledger):
    """The second run of one plan has its own outcome of each execution, and the first keeps its own."""
    planned = execution("a")
    start(ledger, planned)
    ledger.record_outcome("a", NOW, Outcome.FIXED, run_id="run-1")
    (answer,) = start(ledger, planned, run_id="run-2")
    ledger.record_outcome("a", NOW, Outcome.SKIPPED, "started before", run_id="run-2")

    assert isinstance(answer, Refusal)
    shown = [ledger.run(run_id).executions[0] for run_id in ("run-1", "run-2")]
    assert [(each.outcome, each.started_at) for each in shown] == [(Outcome.FIXED, NOW), (Outcome.SKIPPED, None)]
    assert [each.outcome for each in ledger.attempts("low-disk", "web-1", ROOT)] == [Outcome.FIXED]


def test_record_outcome_takes_one_outcome(ledger):
    """The same outcome again changes nothing; another one is an error and changes nothing either."""
    start(ledger, execution("a"))
    ledger.record_outcome("a", NOW, Outcome.FAILED, "exit 1", run_id="run-1")
    ledger.record_outcome("a", LATER, Outcome.FAILED, "again", run_id="run-1")

    with pytest.raises(StateError, match="ended as failed already, and now as fixed"):
        ledger.record_outcome("a", LATER, Outcome.FIXED, run_id="run-1")
    (shown,) = ledger.run("run-1").executions
    assert (shown.outcome, shown.outcome_at, shown.reason) == (Outcome.FAILED, NOW, "exit 1")


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.SKIPPED, Outcome.UNREACHABLE, Outcome.REFUSED}))
def test_record_outcome_of_a_start_needs_an_intent(ledger, outcome):
    """Nothing ends as if it had been started when this run has no intent of it."""
    planned = execution("a")
    start(ledger, planned)
    ledger.begin_run(run_row("run-2"), [planned])

    with pytest.raises(StateError, match="has no intent in run run-2"):
        ledger.record_outcome("a", NOW, outcome, run_id="run-2")
    assert ledger.run("run-2").executions[0].outcome is None


def test_record_outcome_of_an_unplanned_execution_is_refused(ledger):
    """An outcome of what is in no plan is an error."""
    ledger.begin_run(run_row(), [])

    with pytest.raises(StateError, match="not in the plan of run run-1"):
        ledger.record_outcome("a", NOW, Outcome.SKIPPED, run_id="run-1")


def test_record_result_is_taken_once(ledger):
    """A result stands; the same again is no error, another one is, and one without an intent is."""
    start(ledger, execution("a"))
    ledger.record_result("a", NOW, FixEnding.FINISHED, 1)
    ledger.record_result("a", LATER, FixEnding.FINISHED, 1)

    with pytest.raises(StateError, match="has the result finished already, and now lost"):
        ledger.record_result("a", LATER, FixEnding.LOST, None)
    with pytest.raises(StateError, match="no intent"):
        ledger.record_result("b", LATER, FixEnding.FINISHED, 0)
    assert ledger.run("run-1").executions[0].exit_code == 1


def test_open_intents_are_closed_as_lost_or_unverified(ledger):
    """An intent without a result closes as lost, one with a result as unverified, and once."""
    start(ledger, execution("a"), execution("b", host="web-2"))
    ledger.record_result("b", NOW, FixEnding.FINISHED, 0)
    opened = {each.intent.execution_id: each for each in ledger.open_intents()}
    assert (opened["a"].ending, opened["b"].ending) == (None, FixEnding.FINISHED)
    assert opened["a"].intent == asked(execution("a"))[1]

    with pytest.raises(StateError, match="cannot be closed as unverified"):
        ledger.close_open("a", Outcome.UNVERIFIED, LATER, "dead")
    with pytest.raises(StateError, match="cannot be closed as lost"):
        ledger.close_open("b", Outcome.LOST, LATER, "dead")
    closed = [ledger.close_open(each, opened[each].closes_as, LATER, "its run died") for each in "aba"]

    assert closed == [True, True, False]
    assert ledger.open_intents() == ()
    assert [each.outcome for each in ledger.run("run-1").executions] == [Outcome.LOST, Outcome.UNVERIFIED]


def test_close_open_leaves_an_outcome_that_came_first(ledger):
    """When the run that seemed dead recorded its end in between, that end stands."""
    start(ledger, execution("a"))
    ledger.record_outcome("a", NOW, Outcome.FIXED, run_id="run-1")

    assert not ledger.close_open("a", Outcome.LOST, LATER, "dead")
    assert ledger.run("run-1").executions[0].outcome is Outcome.FIXED
    with pytest.raises(StateError, match="has no intent"):
        ledger.close_open("b", Outcome.LOST, LATER, "dead")


def test_late_outcome_of_an_execution_closed_as_lost_is_an_error(ledger):
    """A run that comes back after others named its execution lost cannot call it fixed."""
    start(ledger, execution("a"))
    ledger.close_open("a", Outcome.LOST, LATER, "dead")

    with pytest.raises(StateError, match="ended as lost already"):
        ledger.record_outcome("a", LATER, Outcome.FIXED, run_id="run-1")


def test_release_forgets_the_attempts_of_a_host(ledger):
    """Release counts the incidents with attempts (not the attempts), and only of that rule and host."""
    other_row = (("mount", "/srv"),)
    planned = [
        execution("a"),
        execution("b"),
        execution("c", key=other_row),
        execution("d", host="web-2"),
        execution("e", rule="low-inodes"),
    ]
    start(ledger, *planned)
    for each in planned:
        ledger.record_outcome(each.id, NOW, Outcome.FAILED, run_id="run-1")

    assert ledger.release("low-disk", "web-1", LATER, "disk was swapped", "alice") == 2
    assert ledger.release("low-disk", "web-1", LATER, "again", "alice") == 0
    left = ledger.attempts_of([(each.rule, each.host, each.key) for each in planned])
    assert sorted(attempt.execution_id for attempts in left.values() for attempt in attempts) == ["d", "e"]


def test_release_keeps_an_attempt_whose_end_is_not_known(ledger):
    """An attempt that may yet be lost cannot be released: when it is, the incident is quarantined."""
    start(ledger, execution("a"))

    released = ledger.release("low-disk", "web-1", LATER, "impatient", "alice")
    ledger.close_open("a", Outcome.LOST, LATER, "dead")

    assert released == 0
    assert [each.outcome for each in ledger.attempts("low-disk", "web-1", ROOT)] == [Outcome.LOST]


def test_attempts_keep_their_order_when_the_clock_goes_back(ledger):
    """Attempts come in the order of admission, and a release forgets those before it, whatever their times say."""
    for number, hours in enumerate((0, -5, -9)):
        start(ledger, execution(f"x{number}"), run_id=f"run-{number}", at=NOW + timedelta(hours=hours))
        ledger.record_outcome(f"x{number}", NOW, Outcome.FAILED, run_id=f"run-{number}")
    order = [each.execution_id for each in ledger.attempts("low-disk", "web-1", ROOT)]
    ledger.release("low-disk", "web-1", NOW - timedelta(days=9), "ok", "alice")

    assert order == ["x0", "x1", "x2"]
    assert ledger.attempts("low-disk", "web-1", ROOT) == ()


def test_attempts_of_thousands_of_incidents_are_those_of_each(ledger):
    """The bulk answer equals the single ones over more incidents than one query takes, and skips those without any."""
    planned = [execution(f"x{number}", host=f"web-{number}") for number in range(2_300)]
    start(ledger, *planned)
    incidents = [(each.rule, each.host, each.key) for each in planned] + [("low-disk", "other", ROOT)]
    statements = []
    ledger._connection.set_trace_callback(statements.append)

    found = ledger.attempts_of(incidents)

    ledger._connection.set_trace_callback(None)
    assert len(statements) == 3
    assert len(found) == 2_300
    assert all(found[each] == ledger.attempts(*each) for each in incidents[:2_300:331])


def test_attempts_of_a_key_do_not_depend_on_number_types_or_column_order(ledger):
    """One incident is one incident: 1 is 1.0, and the order in which a signal declares its key does not matter."""
    start(ledger, execution("a", key=(("port", 8080.0), ("name", "x"), ("on", True))))

    assert ledger.attempts("low-disk", "web-1", (("on", True), ("name", "x"), ("port", 8080)))
    assert not ledger.attempts("low-disk", "web-1", (("on", True), ("name", "x"), ("port", "8080")))
    assert not ledger.attempts("low-disk", "web-1", (("on", 1.0), ("name", "x"), ("port", 8080)))


def test_last_outcomes_are_those_of_the_last_attempt_of_each_host(ledger):
    """For canaries: the last attempt counts, released or not, and one without an end counts as lost or unverified."""
    planned = [execution(f"{host}-{turn}", host=host) for turn in (1, 2) for host in ("a", "b", "c", "d")]
    start(ledger, *planned)
    for each in planned:
        if each.id not in {"c-2", "d-2"}:
            good = each.id in {"a-2", "b-1", "c-1", "d-1"}
            ledger.record_outcome(each.id, NOW, Outcome.FIXED if good else Outcome.FAILED, run_id="run-1")
    ledger.record_result("d-2", NOW, FixEnding.FINISHED, 0)
    ledger.release("low-disk", "b", LATER, "ok", "alice")

    assert ledger.last_outcomes("low-disk") == {
        "a": Outcome.FIXED,
        "b": Outcome.FAILED,
        "c": Outcome.LOST,
        "d": Outcome.UNVERIFIED,
    }
    assert ledger.last_outcomes("other") == {}


def test_host_that_refused_before_anything_was_sent_was_bad_last_time(ledger):
    """For canaries: a refusal without an intent counts, until something is tried there in a later run."""
    first, second = execution("a-1", host="a"), execution("b-1", host="b")
    ledger.begin_run(run_row("run-1"), [first, second])
    for each in (first, second):
        ledger.record_outcome(each.id, NOW, Outcome.REFUSED, run_id="run-1", reason="its key has changed")
    later = execution("b-2", host="b")
    start(ledger, later, run_id="run-2")
    ledger.record_outcome("b-2", NOW, Outcome.FIXED, run_id="run-2")

    assert ledger.last_outcomes("low-disk") == {"a": Outcome.REFUSED, "b": Outcome.FIXED}


@pytest.mark.parametrize("touched_nothing", [Outcome.SKIPPED, Outcome.UNREACHABLE])
def test_what_touched_nothing_leaves_a_host_as_bad_as_it_was(ledger, touched_nothing):
    """For canaries: a hold file on the host, or a host that was gone, does not make a bad host a good one."""
    start(ledger, execution("a-1", host="a"))
    ledger.record_outcome("a-1", NOW, Outcome.FAILED, run_id="run-1")
    start(ledger, execution("a-2", host="a"), run_id="run-2")
    ledger.record_outcome("a-2", LATER, touched_nothing, run_id="run-2")

    assert ledger.last_outcomes("low-disk") == {"a": Outcome.FAILED}


def test_breaker_pauses_its_rule_until_it_is_released(ledger):
    """An open breaker refuses with its reason and the command that closes it; other rules go on; it opens once."""
    planned, other = execution("a"), execution("b", rule="low-inodes", host="web-2")
    ledger.begin_run(run_row(), [planned, other])
    opened = [ledger.open_breaker("low-disk", "run-1", NOW, reason) for reason in ("2 bad hosts", "3 bad hosts")]
    refused, granted = admit(ledger, planned, other)
    said = ledger.breakers()
    wrong = ledger.release("low-inodes", None, LATER, "ok", "alice")
    closed = [ledger.release("low-disk", None, LATER, "ok", "alice") for _ in range(2)]

    assert opened == [True, False]
    text = (
        "paused by its breaker since 2026-11-22T08:45:00.000000Z (run run-1): 2 bad hosts; "
        "`remedy release low-disk --reason TEXT`"
    )
    assert refused == Refusal(skip=Skip.BREAKER, reason=text)
    assert isinstance(granted, Permit)
    assert said == {"low-disk": text}
    assert (wrong, closed, ledger.breakers()) == (0, [1, 0], {})
    assert isinstance(admit(ledger, planned)[0], Permit)
    assert ledger.open_breaker("low-disk", "run-1", NOW, "again")


def test_release_of_a_breaker_ends_no_quarantine(ledger):
    """Closing a rule's breaker leaves the attempts of its hosts, and releasing a host leaves the breaker."""
    start(ledger, execution("a"))
    ledger.record_outcome("a", NOW, Outcome.FAILED, run_id="run-1")
    ledger.open_breaker("low-disk", "run-1", NOW, "bad")

    ledger.release("low-disk", None, LATER, "ok", "alice")
    left = ledger.attempts("low-disk", "web-1", ROOT)
    ledger.open_breaker("low-disk", "run-1", NOW, "bad")
    ledger.release("low-disk", "web-1", LATER, "ok", "alice")

    assert len(left) == 1
    assert list(ledger.breakers()) == ["low-disk"]


def test_ledger_serves_many_threads(ledger):
    """Threads that share a ledger get one grant per attempt that is allowed, and no error."""
    planned = [execution(f"x{number}") for number in range(16)]
    ledger.begin_run(run_row(), planned)

    with ThreadPoolExecutor(max_workers=16) as threads:
        answers = list(threads.map(lambda each: admit(ledger, each)[0], planned))

    assert sum(isinstance(answer, Permit) for answer in answers) == 3


def test_times_without_a_zone_are_refused(ledger):
    """A local time would be stored as another instant: it is an error."""
    with pytest.raises(ValueError, match="no zone"):
        ledger.begin_run(RunRow(id="r", started_at=NOW.replace(tzinfo=None), actor="a", command="c"))


@pytest.mark.parametrize("raw", [b"not a database, and longer than a header " * 9, b"SQLite format 3\0" + b"\7" * 600])
def test_open_of_rubbish_is_an_error_never_an_empty_ledger(tmp_path, raw):
    """A file that is no ledger is refused by open and by open_copy, and left as it is."""
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(raw)
    (tmp_path / "copy").mkdir()

    with pytest.raises(StateError, match=r"damaged|cannot be used"):
        Ledger.open(path)
    with pytest.raises(StateError, match=r"damaged|cannot be used"):
        Ledger.open_copy(path, tmp_path / "copy")
    assert path.read_bytes() == raw


def test_open_finds_damage_inside(tmp_path):
    """A ledger with a broken page is refused at opening, not when it answers wrongly."""
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger.open(path)
    start(ledger, *(execution(f"x{number}", host=f"h{number}") for number in range(500)))
    ledger.close()
    raw = bytearray(path.read_bytes())
    page = 4096
    for number in range(3, len(raw) // page):
        raw[number * page : number * page + 64] = b"\xff" * 64
    path.write_bytes(raw)

    with pytest.raises(StateError, match="damaged"):
        Ledger.open(path)


def test_open_refuses_another_program_s_database(tmp_path):
    """A database of somebody else is refused and left as it is."""
    path = tmp_path / "ledger.sqlite3"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()

    with pytest.raises(StateError, match="no ledger of remedy"):
        Ledger.open(path)
    assert path.read_bytes() == before


def test_open_refuses_a_newer_ledger(tmp_path):
    """A ledger that a newer remedy wrote is refused, with the cure."""
    path = tmp_path / "ledger.sqlite3"
    Ledger.open(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()

    with pytest.raises(StateError, match="newer remedy"):
        Ledger.open(path)


@pytest.mark.parametrize("kind", ["directory", "link", "missing folder"])
def test_open_refuses_what_is_no_file(tmp_path, kind):
    """A directory, a link, or a missing folder in the ledger's place is a StateError."""
    path = tmp_path / "ledger.sqlite3"
    match kind:
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case _:
            path = tmp_path / "gone" / "ledger.sqlite3"

    with pytest.raises(StateError, match="cannot be opened"):
        Ledger.open(path)


def test_open_of_an_unreadable_ledger_is_an_error(as_other_user):
    """No permission is an error for open and for open_copy, never taken for no ledger."""
    directory, other_user = as_other_user
    path = directory / "ledger.sqlite3"
    Ledger.open(path).close()
    path.chmod(0)
    (directory / "copy").mkdir(mode=0o777)

    with other_user(), pytest.raises(StateError, match="no permission to read and write it"):
        Ledger.open(path)
    with other_user(), pytest.raises(StateError, match="Permission denied; it is not taken for an empty one"):
        Ledger.open_copy(path, directory / "copy")


def test_open_copy_without_a_ledger_is_an_error_and_makes_none(tmp_path):
    """A dry run creates no ledger."""
    (tmp_path / "copy").mkdir()

    with pytest.raises(StateError, match="No such file"):
        Ledger.open_copy(tmp_path / "ledger.sqlite3", tmp_path / "copy")
    assert not (tmp_path / "ledger.sqlite3").exists()


def test_open_copy_works_without_write_permission_and_beside_a_writer(as_other_user):
    """A copy needs only to read: of a ledger in a read-only directory that a run keeps open."""
    directory, other_user = as_other_user
    state, copy = directory / "state", directory / "copy"
    state.mkdir()
    copy.mkdir()
    copy.chmod(0o777)
    ledger = Ledger.open(state / "ledger.sqlite3")
    start(ledger, execution("a"))
    (state / "ledger.sqlite3").chmod(0o444)
    state.chmod(0o555)

    with other_user():
        copied = Ledger.open_copy(state / "ledger.sqlite3", copy)
        attempts = copied.attempts("low-disk", "web-1", ROOT)
        copied.close()

    ledger.close()
    assert [each.execution_id for each in attempts] == ["a"]
    assert [path.name for path in state.iterdir()] == ["ledger.sqlite3"]


def test_open_copy_changes_nothing_in_the_original(ledger, tmp_path):
    """What is written to the copy stays there."""
    (tmp_path / "copy").mkdir()
    before = (tmp_path / "ledger.sqlite3").read_bytes()
    copied = Ledger.open_copy(tmp_path / "ledger.sqlite3", tmp_path / "copy")

    copied.begin_run(run_row())
    copied.close()

    assert ledger.runs(9) == ()
    assert (tmp_path / "ledger.sqlite3").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "ledger.sqlite3"]


def test_migration_leads_an_old_ledger_forward_once(tmp_path):
    """A ledger of an older version gets the missing steps and keeps what it has; a failing step changes nothing."""
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger.open(path)
    ledger.begin_run(run_row())
    ledger.close()
    step = ("ALTER TABLE runs ADD COLUMN note TEXT", "UPDATE runs SET note = 'moved'")

    with pytest.raises(StateError):
        ledger_schema.open_ledger(path, migrations=(*ledger_schema.MIGRATIONS, (*step, "NO SQL")))
    for _ in range(2):
        ledger_schema.open_ledger(path, migrations=(*ledger_schema.MIGRATIONS, step)).close()

    with sqlite3.connect(path) as other:
        assert other.execute("SELECT id, note FROM runs").fetchall() == [("run-1", "moved")]
        assert other.execute("PRAGMA user_version").fetchone() == (len(ledger_schema.MIGRATIONS) + 1,)
    other.close()


def test_busy_ledger_is_named_as_such(tmp_path, monkeypatch):
    """When another process keeps the ledger for too long the message says that, and nothing is granted."""
    monkeypatch.setattr(ledger_schema, "_BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger.open(path)
    planned = execution("a")
    ledger.begin_run(run_row(), [planned])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StateError, match=r"kept it busy for 0\.05s; try again"):
        admit(ledger, planned)
    other.execute("ROLLBACK")
    other.execute("BEGIN")
    other.execute("SELECT * FROM runs").fetchall()
    with pytest.raises(StateError, match="kept it busy"):  # At the commit this time: a reader is in the way.
        admit(ledger, planned)
    other.close()
    assert isinstance(admit(ledger, planned)[0], Permit)
    ledger.close()


def test_open_of_an_empty_file_is_an_error(tmp_path):
    """A ledger of 0 bytes was cut off or replaced: it is not taken for a new one, by open or by open_copy."""
    path = tmp_path / "ledger.sqlite3"
    path.touch()
    (tmp_path / "copy").mkdir()

    for opening in (lambda: Ledger.open(path), lambda: Ledger.open_copy(path, tmp_path / "copy")):
        with pytest.raises(StateError) as caught:
            opening()
        assert str(caught.value) == (
            f"ledger {path} is empty: it was cut off or replaced; "
            "restore it from a backup; the audit log tells what was done since"
        )
    assert path.read_bytes() == b""


def test_open_of_an_empty_database_is_an_error(tmp_path):
    """A database without anything in it is no ledger: a new one has its tables from the start."""
    path = tmp_path / "ledger.sqlite3"
    with sqlite3.connect(path) as other:
        other.execute("VACUUM")
    other.close()

    with pytest.raises(StateError, match="no ledger of remedy"):
        Ledger.open(path)


def test_open_makes_the_ledger_at_once(tmp_path, monkeypatch):
    """A crash at any statement of the first opening leaves no ledger, never half of one, and the next one makes it."""
    path = tmp_path / "ledger.sqlite3"
    broken = (*ledger_schema.MIGRATIONS, ("NO SQL",))

    with pytest.raises(StateError, match=f"ledger {path} cannot be used"):
        ledger_schema.open_ledger(path, migrations=broken)
    left = list(tmp_path.iterdir())
    Ledger.open(path).close()

    assert left == []
    assert [found.name for found in tmp_path.iterdir()] == ["ledger.sqlite3"]


def test_first_openings_side_by_side_share_one_ledger(tmp_path):
    """Many that open a ledger that is not there yet all get the same one."""
    path = tmp_path / "ledger.sqlite3"

    def begin(number):
        ledger = Ledger.open(path)
        ledger.begin_run(run_row(f"run-{number}"))
        ledger.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(16)))

    ledger = Ledger.open(path)
    assert ledger.run_ids() == {f"run-{number}" for number in range(16)}
    ledger.close()


@pytest.mark.parametrize("kind", ["rubbish", "foreign", "broken page"])
def test_open_copy_names_the_ledger_in_one_line_with_the_cure(tmp_path, kind):
    """A damaged or foreign ledger is named by its own path, not by the copy's, in one line, with what to do."""
    path = tmp_path / "ledger.sqlite3"
    (tmp_path / "copy").mkdir()
    match kind:
        case "rubbish":
            path.write_bytes(b"not a database, and longer than a header " * 9)
        case "foreign":
            with sqlite3.connect(path) as other:
                other.execute("CREATE TABLE theirs (x)")
            other.close()
        case _:
            Ledger.open(path).close()
            raw = path.read_bytes()
            path.write_bytes(raw[: 2 * 4096] + b"\xff" * 4096 + raw[3 * 4096 :])

    with pytest.raises(StateError) as caught:
        Ledger.open_copy(path, tmp_path / "copy")

    said = str(caught.value)
    assert str(path) in said
    assert str(tmp_path / "copy") not in said
    assert "\n" not in said
    assert said.endswith("restore it from a backup; the audit log tells what was done since")


def test_ledger_that_is_a_directory_is_the_same_error_for_both(tmp_path):
    """A directory in the ledger's place has one message, for a dry run and for a real one."""
    path = tmp_path / "ledger.sqlite3"
    path.mkdir()
    (tmp_path / "copy").mkdir()

    with pytest.raises(StateError, match="it is no file; restore it") as by_open:
        Ledger.open(path)
    with pytest.raises(StateError) as by_copy:
        Ledger.open_copy(path, tmp_path / "copy")

    assert str(by_open.value) == str(by_copy.value)


@pytest.mark.parametrize(
    ("change", "ask"),
    [
        ("UPDATE executions SET outcome = 'mended'", lambda ledger: ledger.run("run-1")),
        ("UPDATE executions SET outcome = 'mended'", lambda ledger: ledger.attempts("low-disk", "web-1", ROOT)),
        (
            "UPDATE executions SET outcome = ''",
            lambda ledger: ledger.attempts_of([("low-disk", "web-1", ROOT)]),
        ),
        ("UPDATE executions SET outcome = 'mended'", lambda ledger: ledger.last_outcomes("low-disk")),
        (
            "UPDATE executions SET outcome = NULL, outcome_at = NULL, reason = NULL; UPDATE intents SET ending = 'x'",
            lambda ledger: ledger.open_intents(),
        ),
        ("UPDATE intents SET at = 'yesterday'", lambda ledger: ledger.attempts("low-disk", "web-1", ROOT)),
        ("UPDATE intents SET at = '2026-01-01'", lambda ledger: ledger.run("run-1")),
        ("UPDATE executions SET key = '[1]'", lambda ledger: ledger.run("run-1")),
        ("UPDATE runs SET started_at = ''", lambda ledger: ledger.runs(9)),
    ],
)
def test_odd_value_in_a_row_is_an_error_with_its_place(tmp_path, change, ask):
    """A word, time or key that remedy does not write (somebody edited the ledger) is a StateError, never a crash."""
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger.open(path)
    start(ledger, execution("a"))
    ledger.record_result("a", LATER, FixEnding.FINISHED, 0)
    ledger.record_outcome("a", LATER, Outcome.FIXED, run_id="run-1")
    ask(ledger)
    with sqlite3.connect(path) as other:
        other.executescript(change)
    other.close()

    with pytest.raises(
        StateError, match=r"has a value that remedy does not write: .*restore it from a backup"
    ) as caught:
        ask(ledger)
    ledger.close()

    assert str(caught.value).startswith(f"ledger {path} is damaged: ")
