"""The ledger's records in batches, the end of dead runs, reconciliations, pauses, and a disk without room."""

import resource
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remedy.errors import StateError
from remedy.holds import Pause, PauseOf
from remedy.model import Outcome
from remedy.port import FixEnding, Permit
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import OutcomeRow, ResultRow
from tests.state.builders import NOW, ROOT, always, asked, execution, run_row, unsynced

LATER = NOW + timedelta(seconds=90)


def start(ledger, *ids, run_id="run-1"):
    """Begin a run and admit these executions, each on a host of its own."""
    planned = [execution(each, host=f"host-{each}") for each in ids]
    ledger.begin_run(run_row(run_id), planned)
    ledger.admit([asked(each, run_id=run_id) for each in planned], decide=always, sync_intents=unsynced)
    return planned


def result(execution_id, ending=FixEnding.FINISHED, exit_code=0):
    return ResultRow(execution_id=execution_id, at=NOW, ending=ending, exit_code=exit_code)


def outcome(execution_id, word=Outcome.FIXED, *, run_id="run-1", reason=""):
    return OutcomeRow(run_id=run_id, execution_id=execution_id, at=LATER, outcome=word, reason=reason)


def transactions(ledger, work):
    """Return what a work returns, and how many transactions it committed."""
    statements = []
    ledger._connection.set_trace_callback(statements.append)
    found = work()
    ledger._connection.set_trace_callback(None)
    return found, statements.count("COMMIT")


# Batches


def test_batch_of_results_is_one_transaction(ledger):
    """Results of a batch are all recorded, in one transaction."""
    ids = [f"x{number}" for number in range(20)]
    start(ledger, *ids)

    said, commits = transactions(ledger, lambda: ledger.record_results([result(each) for each in ids]))

    assert (said, commits) == ((None,) * 20, 1)
    assert {each.ending for each in ledger.run("run-1").executions} == {FixEnding.FINISHED}


def test_batch_of_outcomes_is_one_transaction(ledger):
    """Outcomes of a batch are all recorded, in one transaction."""
    ids = [f"x{number}" for number in range(20)]
    start(ledger, *ids)

    said, commits = transactions(ledger, lambda: ledger.record_outcomes([outcome(each) for each in ids]))

    assert (said, commits) == ((None,) * 20, 1)
    assert {each.outcome for each in ledger.run("run-1").executions} == {Outcome.FIXED}


def test_contradiction_in_a_batch_of_results_takes_nothing_from_the_others(ledger):
    """One without an intent and one that ended otherwise are named at their places; the others are recorded."""
    start(ledger, "a", "b", "c")
    ledger.record_result("b", NOW, FixEnding.LOST, None)

    said = ledger.record_results([result("a"), result("b"), result("none"), result("c")])

    assert [str(each) if each else None for each in said] == [
        None,
        "execution b has the result lost already, and now finished",
        "execution none has a result and no intent",
        None,
    ]
    assert [each.ending for each in ledger.run("run-1").executions] == [
        FixEnding.FINISHED,
        FixEnding.LOST,
        FixEnding.FINISHED,
    ]


def test_contradiction_in_a_batch_of_outcomes_takes_nothing_from_the_others(ledger):
    """One that others closed as lost meanwhile, one unplanned, one never started: named; the others are recorded."""
    start(ledger, "a", "b", "c")
    ledger.begin_run(run_row("run-2"), [execution("d")])
    ledger.close_open("b", Outcome.LOST, NOW, "its run died")

    said = ledger.record_outcomes(
        [outcome("a"), outcome("b"), outcome("none"), outcome("d", run_id="run-2"), outcome("c")]
    )

    assert [str(each) if each else None for each in said] == [
        None,
        "execution b ended as lost already, and now as fixed",
        "execution none is not in the plan of run run-1",
        "execution d ended as fixed and has no intent in run run-2",
        None,
    ]
    assert [each.outcome for each in ledger.run("run-1").executions] == [Outcome.FIXED, Outcome.LOST, Outcome.FIXED]


def test_same_batch_again_changes_nothing(ledger):
    """A batch that is recorded a second time contradicts nothing and moves no time."""
    start(ledger, "a")
    for minutes in (0, 5):
        late = timedelta(minutes=minutes)
        said = [
            *ledger.record_results([replace(result("a"), at=NOW + late)]),
            *ledger.record_outcomes([replace(outcome("a"), at=LATER + late)]),
        ]
        assert said == [None, None]

    assert ledger.run("run-1").executions[0].outcome_at == LATER


def test_skipped_without_an_intent_can_be_recorded_in_a_batch(ledger):
    """What a dead run never began can be given its outcome, many at once."""
    planned = [execution(f"x{number}") for number in range(5)]
    ledger.begin_run(run_row(), planned)

    said = ledger.record_outcomes([outcome(each.id, Outcome.SKIPPED, reason="its run died") for each in planned])

    assert set(said) == {None}
    assert {each.outcome for each in ledger.run("run-1").executions} == {Outcome.SKIPPED}


# The end of a dead run


def test_close_run_ends_a_dead_run_once(ledger):
    """The first to close a run says how it ended; a second one changes nothing, and an unknown run is an error."""
    ledger.begin_run(run_row())

    closed = [ledger.close_run("run-1", at, code) for at, code in ((LATER, 3), (NOW, 0))]

    (run,) = ledger.runs(1)
    assert closed == [True, False]
    assert (run.ended_at, run.exit_code) == (LATER, 3)
    with pytest.raises(StateError, match="run run-2 never began"):
        ledger.close_run("run-2", NOW, 3)


def test_close_run_leaves_a_run_that_ended_itself(ledger):
    """The end that a run recorded stands."""
    ledger.begin_run(run_row())
    ledger.end_run("run-1", NOW, 0)

    assert not ledger.close_run("run-1", LATER, 3)
    assert ledger.runs(1)[0].exit_code == 0


# Reconciliations


def reconcile(ledger, execution_id, *, found="finished", proves_end=True, exit_code=0):
    ledger.reconcile(
        execution_id,
        run_id="run-9",
        at=LATER,
        found=found,
        exit_code=exit_code,
        proves_end=proves_end,
        reason="the marker says so",
        actor="alice",
    )


def test_reconciliation_without_an_intent_is_refused(ledger):
    """What was never started has nothing to reconcile, and nothing is recorded."""
    ledger.begin_run(run_row(), [execution("a")])

    with pytest.raises(StateError, match="execution a has no intent"):
        reconcile(ledger, "a")
    assert ledger._connection.execute("SELECT count(*) FROM reconciliations").fetchone() == (0,)


def test_reconciliation_without_a_word_is_refused(ledger):
    """'' means that nobody asked the host: it cannot be what was found."""
    start(ledger, "a")

    with pytest.raises(StateError, match="contradicts"):
        reconcile(ledger, "a", found="")
    assert ledger.run("run-1").executions[0].reconciled == ""


def test_reconciliation_changes_no_outcome_and_shows_the_last_word(ledger):
    """A lost execution stays lost; its row shows what was found last, those of others nothing."""
    start(ledger, "a", "b")
    ledger.close_open("a", Outcome.LOST, NOW, "its run died")
    shown = []
    for found in ("running", "finished"):
        reconcile(ledger, "a", found=found)
        shown.append([(each.outcome, each.reconciled) for each in ledger.run("run-1").executions])

    assert shown == [[(Outcome.LOST, "running"), (None, "")], [(Outcome.LOST, "finished"), (None, "")]]


@pytest.mark.parametrize(
    ("proofs", "expected"), [([False], False), ([True], True), ([True, False], True), ([False, True], True)]
)
def test_attempt_is_reconciled_once_its_end_is_proved(ledger, proofs, expected):
    """One proof is enough, whatever is found later; without any the attempt stays as it was."""
    start(ledger, "a")
    ledger.close_open("a", Outcome.LOST, NOW, "its run died")
    for proves_end in proofs:
        reconcile(ledger, "a", proves_end=proves_end)

    incident = ("low-disk", "host-a", ROOT)
    assert [each.is_reconciled for each in ledger.attempts(*incident)] == [expected]
    assert [each.is_reconciled for each in ledger.attempts_of([incident])[incident]] == [expected]


# Pauses

PLACES = st.sampled_from(
    [
        (PauseOf.ALL, ""),
        (PauseOf.RULE, "low-disk"),
        (PauseOf.RULE, "web"),
        (PauseOf.GROUP, "web"),
        (PauseOf.HOST, "web"),
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.booleans(), PLACES, st.none() | st.integers(-100, 100)), max_size=14))
def test_pauses_equal_their_model(tmp_path_factory, steps):
    """After any pauses and unpauses the ledger has the last pause of each thing that nobody ended, oldest first."""
    ledger = Ledger.open(tmp_path_factory.mktemp("ledger") / "ledger.sqlite3")
    ledger._connection.execute("PRAGMA synchronous = OFF")
    model = {}
    for number, (sets, (of, name), until_s) in enumerate(steps):
        if sets:
            until = None if until_s is None else NOW + timedelta(seconds=until_s)
            pause = Pause(of=of, name=name, reason=f"r{number}", actor="bob", at=NOW, until=until)
            assert ledger.pause(pause) is ((of, name) not in model)
            model.pop((of, name), None)
            model[of, name] = pause
        else:
            assert ledger.unpause(of, name, at=NOW, actor="bob", reason="ok") is ((of, name) in model)
            model.pop((of, name), None)
    found = ledger.pauses()
    kept = ledger._connection.execute("SELECT count(*) FROM pauses").fetchone()[0]
    ledger.close()

    assert found == tuple(model.values())
    assert kept == sum(sets for sets, _place, _until in steps)


def test_pause_whose_time_is_over_is_still_told(ledger):
    """Expiry is not the ledger's business: it tells of a pause until somebody ends it, and the gate sees the time."""
    over = Pause(of=PauseOf.RULE, name="low-disk", reason="r", actor="bob", at=NOW, until=NOW + timedelta(seconds=1))
    ledger.pause(over)
    seen = []
    planned = execution("a")
    ledger.begin_run(run_row(), [planned])

    def look(request, facts):
        seen.append(facts.pauses)
        return always(request, facts)

    ledger.admit([asked(planned, at=LATER)], decide=look, sync_intents=unsynced)

    assert ledger.pauses() == (over,)
    assert seen == [(over,)]
    assert over.is_over(LATER)


def test_replaced_and_ended_pauses_keep_their_reasons(ledger):
    """Who ended a pause, when and why stays in the ledger, also when a later pause took its place."""
    for reason in ("first", "second"):
        ledger.pause(Pause(of=PauseOf.HOST, name="web-1", reason=reason, actor=reason, at=NOW, until=None))
    ledger.unpause(PauseOf.HOST, "web-1", at=LATER, actor="alice", reason="mended")

    rows = ledger._connection.execute("SELECT reason, ended_by, end_reason FROM pauses ORDER BY seq").fetchall()
    assert rows == [("first", "second", "replaced"), ("second", "alice", "mended")]


@pytest.mark.parametrize(("of", "name"), [(PauseOf.ALL, "web-1"), (PauseOf.HOST, "")])
def test_pause_of_nothing_is_refused(ledger, of, name):
    """Everything has no name, and all else needs one."""
    with pytest.raises(StateError, match="contradicts"):
        ledger.pause(Pause(of=of, name=name, reason="r", actor="bob", at=NOW, until=None))
    assert ledger.pauses() == ()


# A disk without room

LONG = "x" * 20_000
RECORDS = {
    "result": lambda ledger: ledger.record_result("a", NOW, FixEnding.FINISHED, 0),
    "outcome": lambda ledger: ledger.record_outcome("a", NOW, Outcome.FIXED, LONG, run_id="run-1"),
    "outcomes": lambda ledger: ledger.record_outcomes([outcome("a", reason=LONG), outcome("b", reason=LONG)]),
    "close_open": lambda ledger: ledger.close_open("a", Outcome.LOST, NOW, LONG),
    "reconcile": lambda ledger: reconcile(ledger, "a", found=LONG),
    "breaker": lambda ledger: ledger.open_breaker("low-disk", "run-1", NOW, LONG),
    "release": lambda ledger: ledger.release("low-disk", "host-a", NOW, LONG, "alice"),
    "pause": lambda ledger: ledger.pause(Pause(of=PauseOf.ALL, name="", reason=LONG, actor="bob", at=NOW, until=None)),
}


PLACES_OF_LONG = [
    ("executions", "reason"),
    ("releases", "reason"),
    ("breakers", "reason"),
    ("pauses", "reason"),
    ("reconciliations", "found"),
]


@contextmanager
def no_file_beyond(size):
    """Let no file of this process grow beyond a size, as a full disk would; a callable in the block lifts it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def lift():
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return True

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield lift
    finally:
        lift()


def opened_full(path, free_reserve):
    """Return a ledger with two started executions, that has no room for a further page."""
    with closing(Ledger.open(path)) as ledger:
        start(ledger, "a", "b")
        ledger.begin_run(run_row("run-2"), [execution(f"y{number}") for number in range(400)])
    ledger = Ledger.open(path, free_reserve=lambda: free_reserve(ledger))
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    return ledger


def make_room(ledger):
    ledger._connection.execute("PRAGMA max_page_count = 100000")
    return True


@pytest.mark.parametrize("name", sorted(set(RECORDS) - {"result"}))
def test_what_records_or_holds_back_gets_the_room_that_was_set_aside(tmp_path, name):
    """When SQLite says that the disk is full, the reserve is freed, and the record is there after all."""
    freed = []

    def free(ledger):
        freed.append(name)
        return make_room(ledger)

    with closing(opened_full(tmp_path / "ledger.sqlite3", free)) as ledger:
        before = ledger._connection.total_changes
        RECORDS[name](ledger)

        assert freed == [name]
        assert ledger._connection.total_changes > before
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as other:
        query = " UNION ALL ".join(f"SELECT 1 FROM {table} WHERE {column} = ?" for table, column in PLACES_OF_LONG)
        assert other.execute(query, [LONG] * len(PLACES_OF_LONG)).fetchone() == (1,)


def test_full_disk_is_tried_twice_and_no_more(tmp_path):
    """When the freed room is not enough either, it is an error, and the record is not there."""
    freed = []
    with closing(opened_full(tmp_path / "ledger.sqlite3", lambda _ledger: bool(freed.append(1)))) as ledger:
        with pytest.raises(StateError, match="full"):
            RECORDS["outcome"](ledger)

        assert freed == [1]
        assert ledger.run("run-1").executions[0].outcome is None


def test_reserve_that_cannot_be_freed_is_said(tmp_path):
    """An error of the disk while the reserve is given up is in the message, beside what SQLite said."""

    def fail(_ledger):
        raise OSError(5, "Input/output error")

    said = r"full.*the reserve cannot be freed: Input/output error"
    with closing(opened_full(tmp_path / "ledger.sqlite3", fail)) as ledger, pytest.raises(StateError, match=said):
        RECORDS["outcome"](ledger)


def test_full_disk_grants_nothing_and_frees_nothing_for_it(tmp_path):
    """An admission that finds no room is refused at once: the room set aside is for what is in flight."""
    freed = []
    with closing(opened_full(tmp_path / "ledger.sqlite3", lambda _ledger: bool(freed.append(1)))) as ledger:
        pairs = [asked(execution(f"y{number}"), run_id="run-2") for number in range(400)]
        with pytest.raises(StateError, match="full"):
            ledger.admit(pairs, decide=always, sync_intents=unsynced)

        assert freed == []
        assert {each.intent.run_id for each in ledger.open_intents()} == {"run-1"}


@pytest.mark.parametrize("first", ["outcome", "admit"])
def test_after_a_full_disk_nothing_is_admitted_though_there_is_room(tmp_path, first):
    """Whoever hit the full disk first, nothing new starts in this process; outcomes go on being recorded."""
    with closing(opened_full(tmp_path / "ledger.sqlite3", make_room)) as ledger:
        if first == "outcome":
            RECORDS["outcome"](ledger)
        else:
            with pytest.raises(StateError, match="full"):
                ledger.admit(
                    [asked(execution(f"y{number}"), run_id="run-2") for number in range(400)],
                    decide=always,
                    sync_intents=unsynced,
                )
            make_room(ledger)
        with pytest.raises(StateError, match="the disk was full; nothing new is started"):
            ledger.admit([asked(execution("y1"), run_id="run-2")], decide=always, sync_intents=unsynced)
        ledger.record_outcome("b", NOW, Outcome.FIXED, run_id="run-1")

        assert ledger.run("run-1").executions[1].outcome is Outcome.FIXED
    with closing(Ledger.open(tmp_path / "ledger.sqlite3")) as again:
        (answer,) = again.admit([asked(execution("y1"), run_id="run-2")], decide=always, sync_intents=unsynced)
        assert isinstance(answer, Permit)


@pytest.mark.parametrize("name", ["result", "outcome"])
def test_real_limit_of_the_system_counts_as_no_room(tmp_path, name):
    """A write that the system refuses for size (as for a quota) is known as want of room, and tried again."""
    path = tmp_path / "ledger.sqlite3"
    with closing(Ledger.open(path)) as ledger:
        start(ledger, "a", "b")
    freed = []
    with no_file_beyond(512) as lift:
        ledger = Ledger.open(path, free_reserve=lambda: bool(freed.append(lift())) or True)
        RECORDS[name](ledger)
        shown = ledger.run("run-1").executions[0]
        ledger.close()

    assert freed == [True]
    assert (shown.ending, shown.outcome) in {(FixEnding.FINISHED, None), (None, Outcome.FIXED)}


def test_other_errors_free_no_reserve(tmp_path):
    """A contradiction, or a busy ledger, is no want of room."""
    freed = []
    ledger = Ledger.open(tmp_path / "ledger.sqlite3", free_reserve=lambda: bool(freed.append(1)))
    ledger.begin_run(run_row(), [execution("a")])

    with pytest.raises(StateError):
        ledger.record_outcome("a", NOW, Outcome.FIXED, run_id="run-1")
    with pytest.raises(StateError, match="contradicts"):
        ledger.pause(Pause(of=PauseOf.HOST, name="", reason="r", actor="bob", at=NOW, until=None))
    ledger.close()

    assert freed == []
