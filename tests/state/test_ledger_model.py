"""The ledger against a model of it: attempts, releases, open intents, busy hosts, over random histories."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remedy.gate import LedgerFacts, LiveFacts, decide
from remedy.model import Outcome
from remedy.state.ledger import Ledger
from tests.state.builders import NOW, asked, execution, run_row, unsynced

RULES = ("low-disk", "low-inodes")
HOSTS = ("web-1", "web-2")
KEYS = ((("mount", "/"),), (("mount", "/srv"),))
RUNS = ("run-1", "run-2")
ENDS = (Outcome.FIXED, Outcome.FAILED, Outcome.SKIPPED)
LIVE = LiveFacts(stopped="", frozen="", freezes=(), expired="", halted="", fuse="", disruptive_on_host=False)

OPERATIONS = st.one_of(
    st.tuples(
        st.just("admit"), st.sampled_from(RUNS), st.sampled_from(RULES), st.sampled_from(HOSTS), st.sampled_from(KEYS)
    ),
    st.tuples(st.just("end"), st.integers(0, 11), st.sampled_from(ENDS)),
    st.tuples(st.just("release"), st.sampled_from(RULES), st.sampled_from(HOSTS)),
    st.tuples(st.just("break"), st.sampled_from(RULES)),
    st.tuples(st.just("close"), st.sampled_from(RULES)),
    st.tuples(st.just("clock"), st.integers(-7_200, 7_200)),
)


@dataclass
class _Attempted:
    execution_id: str
    run: str
    incident: tuple[str, str, Any]
    outcome: Outcome | None = None
    released: bool = False


@dataclass
class _Model:
    """What the ledger should say, in ten plain lines."""

    made: list[_Attempted] = field(default_factory=list)
    open_breakers: set[str] = field(default_factory=set)

    def attempts(self, incident: tuple[str, str, Any]) -> list[tuple[str, Outcome | None]]:
        return [
            (each.execution_id, each.outcome) for each in self.made if each.incident == incident and not each.released
        ]

    def facts_match(self, facts: LedgerFacts, incident: tuple[str, str, Any], run: str) -> bool:
        rule, host, _key = incident
        busy = any(each.outcome is None and each.run != run and each.incident[1] == host for each in self.made)
        return (
            [(each.execution_id, each.outcome) for each in facts.attempts] == self.attempts(incident)
            and bool(facts.open_breaker) == (rule in self.open_breakers)
            and bool(facts.host_busy) == busy
        )


def _release(model: _Model, rule: str, host: str) -> int:
    chosen = [
        each
        for each in model.made
        if each.incident[:2] == (rule, host) and not each.released and each.outcome is not None
    ]
    for each in chosen:
        each.released = True
    return len({each.incident for each in chosen})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS, min_size=1, max_size=24))
def test_ledger_equals_its_model(tmp_path_factory, operations):
    """After any history (clocks going back, too) facts, attempts, releases and open intents are the model's."""
    directory: Path = tmp_path_factory.mktemp("ledger")
    ledger = Ledger.open(directory / "ledger.sqlite3")
    planned = {
        (run, rule, host, key, number): execution(
            f"{run}/{rule}/{host}/{key[0][1]}/{number}", rule=rule, host=host, key=key
        )
        for run in RUNS
        for rule in RULES
        for host in HOSTS
        for key in KEYS
        for number in range(len(operations))
    }
    for run in RUNS:
        ledger.begin_run(run_row(run), [each for place, each in planned.items() if place[0] == run])
    model, now = _Model(), NOW
    for number, (operation, *arguments) in enumerate(operations):
        match operation:
            case "admit":
                run, *incident = arguments

                def decide_and_compare(request, facts, *, run=run, incident=tuple(incident)):
                    assert model.facts_match(facts, incident, run)
                    return decide(request, replace(facts, attempts=(), open_breaker="", host_busy=""), LIVE)

                each = planned[run, *incident, number]
                ledger.admit([asked(each, run_id=run, at=now)], decide=decide_and_compare, sync_intents=unsynced)
                model.made.append(_Attempted(each.id, run, tuple(incident)))
            case "end":
                index, outcome = arguments
                if index < len(model.made) and model.made[index].outcome is None:
                    ledger.record_outcome(model.made[index].execution_id, now, outcome, run_id=model.made[index].run)
                    model.made[index].outcome = outcome
            case "release":
                assert ledger.release(*arguments, now, "ok", "alice") == _release(model, *arguments)
            case "break":
                assert ledger.open_breaker(arguments[0], "run-1", now, "bad") is (
                    arguments[0] not in model.open_breakers
                )
                model.open_breakers.add(arguments[0])
            case "close":
                closed = ledger.release(arguments[0], None, now, "ok", "alice")
                assert closed == (arguments[0] in model.open_breakers)
                model.open_breakers.discard(arguments[0])
            case "clock":
                now += timedelta(seconds=arguments[0])
    ledger.close()
    ledger = Ledger.open(directory / "ledger.sqlite3")
    incidents = [(rule, host, key) for rule in RULES for host in HOSTS for key in KEYS]
    bulk = ledger.attempts_of(incidents)
    one_by_one = {each: ledger.attempts(*each) for each in incidents}
    opened = [each.intent.execution_id for each in ledger.open_intents()]
    ledger.close()

    assert bulk == {each: attempts for each, attempts in one_by_one.items() if attempts}
    for each, attempts in one_by_one.items():
        assert [(attempt.execution_id, attempt.outcome) for attempt in attempts] == model.attempts(each)
    assert opened == [each.execution_id for each in model.made if each.outcome is None]
