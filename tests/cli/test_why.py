"""`remedy why HOST`: what was read, where parameters are from, all that is in the way, and when it could next run."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remedy.model import Outcome, ReadingStatus
from remedy.state.locks import Locks
from tests.cli.why_repository import A, attempted, here, hosts, planted, repository, stored

MINUTE = timedelta(minutes=1)


def row_of(document: Any, name: str) -> Any:
    """Return the explained row of a name."""
    (rule,) = document["rules"]
    return next(row for row in rule["rows"] if row["row"]["name"] == name)


def words(row: Any) -> list[str]:
    """Return what is in the way of a row."""
    return [each["what"] for each in row["in_the_way"]]


def test_each_part_of_a_condition_is_shown_with_what_it_read(tmp_path: Path) -> None:
    """Conjuncts and what they are made of have their verdicts, values their units, nulls are not known."""
    line = repository(tmp_path)
    planted(line, "a", 9)

    done = here(line, "why", "web-1")

    assert done.code == 0
    assert "match name=a" in done.out
    assert "true    level > params.above    [level = 9 percent; params.above = 5 (rule default, " in done.out
    assert "rules/high-level/rule.yaml:8)]" in done.out
    assert "      true    any of:\n        unknown not calm    [calm = ? (not known)]\n" in done.out
    assert "        true    level > 6    [level = 9 percent]\n" in done.out
    assert "next run    nothing is in the way: the next apply may mend it" in done.out


@pytest.mark.parametrize(
    ("own", "group", "said"),
    [
        ({}, {}, ("rule", "high-level", "rules/high-level/rule.yaml")),
        ({}, {"above": 7}, ("group", "web", "inventory.yaml")),
        ({"above": 6}, {"above": 7}, ("host", "web-1", "inventory.yaml")),
    ],
)
def test_parameter_says_who_set_it(
    tmp_path: Path, own: dict[str, int], group: dict[str, int], said: tuple[str, str, str]
) -> None:
    """A parameter's value comes with the rule, the group or the host that says it, and the file and line."""
    line = repository(tmp_path)
    planted(line, "a", 9)
    mine = {"ansible_connection": "local", **({"remedy_params": {"high-level": own}} if own else {})}
    hosts(line, {"web-1": mine}, **({"remedy_params": {"high-level": group}} if group else {}))

    (clause, _) = row_of(here(line, "why", "web-1", "-o", "json").json, "a")["clauses"]

    (value,) = [each for each in clause["read"] if each["name"] == "params.above"]
    origin = value["origin"]
    assert (origin["of"], origin["name"], origin["file"]) == said
    assert origin["line"] > 0
    assert value["value"] == {"above": 5, **group, **own}["above"]


def test_parameter_of_an_inventory_without_a_file_is_no_default(tmp_path: Path) -> None:
    """What an inventory on standard input overrides is said to be the inventory's, for want of a line to name."""
    line = repository(tmp_path)
    planted(line, "a", 9)
    mine = {"ansible_connection": "local", "remedy_params": {"high-level": {"above": 7}}}
    hosts(line, {"web-1": mine})

    done = line.shell("$REMEDY why web-1 -i - < inventory.yaml")
    shown = line.shell("cat inventory.yaml | $REMEDY why web-1 -i -")

    assert "params.above = 7 (inventory" in done.out + shown.out
    assert "params.above = 7 (rule default" not in done.out + shown.out


def test_everything_in_the_way_is_named_with_what_ends_it(tmp_path: Path) -> None:
    """Not the first hold only: an exemption, a pause, a breaker, a cooldown, a window, a stop, all at once."""
    line = repository(
        tmp_path,
        extra="""\
exempt: [{hosts: web-1, reason: known since spring, until: 2999-12-31}]
change_windows: [{days: [sun, mon, tue, wed, thu, fri, sat], from: "00:00", to: "00:01", zone: UTC}]
""",
    )
    (tmp_path / "remedy.yaml").write_text("protected: web\nbudgets: {per_rule: 1/24h}\n")
    planted(line, "a", 9)
    attempted(line, Outcome.FIXED, ago=30 * MINUTE)
    attempted(line, Outcome.FIXED, ago=40 * MINUTE, host="web-7", run_id="20261101T021000Z-1a2b")
    line.remedy("pause", "--rule", "high-level", "--reason", "under repair")
    line.remedy("stop", "drill")

    found = here(line, "why", "web-1", "-o", "json").json

    row = row_of(found, "a")
    assert words(row) == ["exempt", "stopped", "paused", "protected", "cooling_down", "outside_window"]
    by_word = {each["what"]: each for each in row["in_the_way"]}
    assert by_word["exempt"]["until"] == "3000-01-01T00:00:00Z"
    assert by_word["cooling_down"]["until"] is not None
    assert by_word["paused"]["ended_by"] == "remedy unpause --rule high-level"
    assert row["held"]["hold"] == "exempt"
    assert row["next_run"]["by_itself"] is False
    assert row["next_run"]["needs"] == ["remedy start", "remedy unpause --rule high-level", "naming it: -l web-1"]
    (rule,) = found["rules"]
    assert rule["limits"]["budget_left"] == 0


def test_budget_that_is_used_up_says_when_there_is_room_again(tmp_path: Path) -> None:
    """A host that would be one too many waits until the oldest start has left the budget's window."""
    line = repository(tmp_path)
    (tmp_path / "remedy.yaml").write_text("budgets: {per_rule: 1/24h}\n")
    planted(line, "a", 9)
    attempted(line, Outcome.FIXED, ago=60 * MINUTE, host="web-7")

    row = row_of(here(line, "why", "web-1", "-o", "json").json, "a")

    (budget,) = row["in_the_way"]
    assert budget["what"] == "budget"
    assert budget["until"] == row["next_run"]["at"]
    assert row["next_run"]["by_itself"] is True


@pytest.mark.parametrize(
    ("outcome", "word", "by_itself"),
    [
        (Outcome.FIXED, "cooling_down", True),
        (Outcome.FAILED, "cooling_down", True),
        (Outcome.LOST, "quarantined", False),
    ],
)
def test_history_of_the_incident_is_in_the_way(tmp_path: Path, outcome: Outcome, word: str, by_itself: bool) -> None:
    """A cooldown ends by itself at its time; a quarantine needs a person, and which command is said."""
    line = repository(tmp_path)
    planted(line, "a", 9)
    attempted(line, outcome, ago=30 * MINUTE)

    row = row_of(here(line, "why", "web-1", "high-level", "-o", "json").json, "a")

    assert words(row) == [word]
    assert row["next_run"]["by_itself"] is by_itself
    assert bool(row["next_run"]["needs"]) is not by_itself
    assert by_itself or "remedy release high-level -l web-1" in row["next_run"]["needs"][0]


def test_running_execution_makes_the_host_busy_until_its_deadline(tmp_path: Path) -> None:
    """What may be running on the host is in the way until it is over, and its end decides."""
    line = repository(tmp_path)
    planted(line, "a", 9)
    attempted(line, None, ago=2 * MINUTE)

    row = row_of(here(line, "why", "web-1", "-o", "json").json, "a")

    assert words(row) == ["host_busy", "cooling_down"]
    assert row["in_the_way"][0]["until"] is not None
    assert row["next_run"]["provided"] == ["what may be running on the host ends well"]


@pytest.mark.parametrize(("is_alive", "word"), [(True, "host_busy"), (False, "quarantined")])
def test_start_whose_deadline_is_over_waits_for_its_end(tmp_path: Path, is_alive: bool, word: str) -> None:
    """A fix of a living run beyond its deadline needs its end, however late; one of a dead run needs a person."""
    line = repository(tmp_path)
    planted(line, "a", 9)
    attempted(line, None, ago=60 * MINUTE, run_id="20261101T031000Z-1a2b")
    locks = Locks(
        line.state / "locks", run_id="r", what="apply", pid=1, controller="c", clock=lambda: datetime.now(UTC)
    )
    with locks.run("20261101T031000Z-1a2b") if is_alive else nullcontext():
        row = row_of(here(line, "why", "web-1", "-o", "json").json, "a")

    assert words(row)[0] == word
    assert row["in_the_way"][0]["until"] is None
    assert row["next_run"]["by_itself"] is False


def test_too_many_rows_of_stored_hosts_blow_the_fuse(tmp_path: Path) -> None:
    """The fuse is worked out over all hosts of the rule by the readings that are fresh, and its count is shown."""
    line = repository(tmp_path, extra="")
    rule = tmp_path / "rules" / "high-level" / "rule.yaml"
    rule.write_text(rule.read_text().replace("within: 7d}}", "within: 7d}, matched: 2}"))
    others = {f"web-{number}": {} for number in range(2, 6)}
    hosts(line, {"web-1": {"ansible_connection": "local"}, **others})
    planted(line, "a", 9)
    for name in others:
        stored(line, (name, MINUTE, ReadingStatus.OK, ({"name": "a", "level": 9.0},)))

    found = here(line, "why", "web-1", "-o", "json").json

    assert words(row_of(found, "a")) == ["fuse"]
    assert found["rules"][0]["limits"]["matched"] == 5
    assert "5 of 5 judged hosts match" in row_of(found, "a")["in_the_way"][0]["reason"]


@pytest.mark.parametrize("asked", ["WEB-1", "web-1.example.org", "Web-1."])
def test_host_is_found_by_what_a_person_types(tmp_path: Path, asked: str) -> None:
    """A name in another case, or with a domain, leads to the host when it is clear; that it was taken so is said."""
    line = repository(tmp_path)
    hosts(line, {"web-1": {"ansible_connection": "local"}})
    planted(line, "a", 1)

    done = here(line, "why", asked)

    assert done.code == 0
    assert f"web-1, asked for as {asked}" in done.err
    assert "healthy name=a" in done.out


def test_header_of_why_is_short_unless_something_is_wrong(tmp_path: Path) -> None:
    """Two lines say where rules, inventory and state are from; a stop file that is set, and a freeze, add theirs."""
    line = repository(tmp_path)
    planted(line, "a", 9)
    calm = here(line, "why", "WEB-1").err.splitlines()
    line.remedy("stop", "drill")
    (tmp_path / "remedy.yaml").write_text(
        "freezes: [{from: 2020-01-01T00:00, to: 2999-01-01T00:00, zone: UTC, reason: year end}]\n"
    )
    held = here(line, "why", "web-1").err.splitlines()

    assert calm == [
        "rules from rules; inventory inventory.yaml",
        f"state {line.state} (REMEDY_STATE); web-1, asked for as WEB-1",
    ]
    assert len(held) == 4
    assert held[2].startswith("stop file ")
    assert "STOPPED: drill" in held[2]
    assert "year end" in held[3]


def test_name_that_may_be_two_hosts_is_refused_with_both(tmp_path: Path) -> None:
    """A name without its domain that two hosts have is exit 6, names them, and contacts nobody."""
    line = repository(tmp_path)
    hosts(line, {"web-1.a.org": {}, "web-1.b.org": {}})

    for words_typed in (("why", "WEB-1"), ("why", "WEB-1", "--stored")):
        (line.state).mkdir(exist_ok=True)
        done = here(line, *words_typed)
        assert done.code == 6
        assert "may be web-1.a.org, web-1.b.org; write which one" in done.err


def test_group_is_no_host(tmp_path: Path) -> None:
    """A pattern of several hosts is a mistake of the command line, as before."""
    line = repository(tmp_path)
    hosts(line, {"web-1": {}, "web-2": {}})

    done = here(line, "why", "web")

    assert done.code == 1
    assert "why explains one host; web names 2" in done.err


def test_host_that_is_not_reached_is_answered_from_what_is_stored(tmp_path: Path) -> None:
    """Exit 4, why it was not reached, and what was known of it before, with its age."""
    line = repository(tmp_path)
    hosts(line, {"gone-1": {"ansible_host": "127.0.0.1", "ansible_port": 1}})
    stored(line, ("gone-1", 30 * MINUTE, ReadingStatus.OK, ({"name": "a", "level": 9.0},)))
    attempted(line, Outcome.FAILED, ago=20 * MINUTE, host="gone-1", key=A, reason="exit code 3")

    done = here(line, "why", "gone-1")
    document = here(line, "why", "gone-1", "-o", "json")

    assert done.code == document.code == 4
    assert done.out.startswith("gone-1 was not reached just now (")
    assert "gone-1: A planted level is high (name=a): found " in done.out
    assert "it failed (exit code 3)" in done.out
    assert document.json["stored"] is True
    assert document.json["reached"]["ending"] in ("unreachable", "refused")
    assert document.json["incidents"][0]["standing"] == "effect_not_known"


def test_unreadable_ledger_is_never_none(tmp_path: Path) -> None:
    """A ledger that is damaged is exit 1 for `why`, whether the host can be read or not."""
    line = repository(tmp_path)
    planted(line, "a", 9)
    line.state.mkdir(mode=0o700)
    (line.state / "ledger.sqlite3").write_bytes(b"no ledger at all" * 100)

    for words_typed in (("why", "web-1"), ("why", "web-1", "--stored")):
        done = here(line, *words_typed)
        assert done.code == 1
        assert "ledger" in done.err


def test_help_names_both_forms_and_the_exit_code() -> None:
    """The help has examples of both forms, and says what 4 means."""
    from typer.testing import CliRunner

    from remedy.cli.app import app

    shown = CliRunner().invoke(app, ["why", "--help"]).output

    assert "remedy why web-3 low-disk" in shown
    assert "--stored" in shown
    assert "Exit code 4" in shown
