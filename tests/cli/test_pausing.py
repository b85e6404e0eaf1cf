"""`remedy pause` and `unpause` as a person types them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remedy.holds import Pause, PauseOf
from remedy.state.ledger import Ledger
from tests.cli.command_line import CommandLine

WHY = ("--reason", "storage migration")


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """Give a command line in a repository with a rule and three hosts."""
    made = CommandLine(tmp_path)
    made.write_repository()
    return made


def pauses(line: CommandLine) -> tuple[Pause, ...]:
    """Return what the ledger holds."""
    ledger = Ledger.open(line.state / "ledger.sqlite3")
    try:
        return ledger.pauses()
    finally:
        ledger.close()


@pytest.mark.parametrize(
    ("words", "of", "name", "said"),
    [
        (("--rule", "flag-high"), PauseOf.RULE, "flag-high", "rule flag-high"),
        (("--group", "web"), PauseOf.GROUP, "web", "group web"),
        (("--host", "web-1"), PauseOf.HOST, "web-1", "host web-1"),
        (("--all",), PauseOf.ALL, "", "everything"),
    ],
)
def test_pause_is_in_ledger_and_audit_log_and_its_end_is_named(
    line: CommandLine, words: tuple[str, ...], of: PauseOf, name: str, said: str
) -> None:
    """What is paused is confirmed with the command that ends it; ledger and audit log have it; that command ends it."""
    paused = line.remedy("pause", *words, *WHY)
    (held,) = pauses(line)
    (record,) = line.records("pause.set")
    listed = line.remedy("runs")
    ended = line.remedy("unpause", *words, "--reason", "done")

    assert paused.code == 0
    assert f"paused: {said}, until somebody ends it: storage migration" in paused.out
    assert f"to end it: remedy unpause {' '.join(words)}" in paused.out
    assert (held.of, held.name, held.reason, held.until) == (of, name, "storage migration", None)
    assert record["of"] == of.value
    assert record["name_checked"] is True
    assert record.get(of.value, "") == name
    assert said in listed.err
    assert ended.code == 0
    assert f"no longer paused: {said}" in ended.out
    assert pauses(line) == ()
    assert line.records("pause.ended")[0]["end_reason"] == "done"
    assert line.remedy("audit", "verify").code == 0


def test_pause_without_an_end_says_so(line: CommandLine) -> None:
    """A pause without --for or --until says that it has no end of its own; one with an end says when."""
    short = line.remedy("pause", "--all", *WHY, "--for", "1h")
    ending = line.remedy("pause", "--all", *WHY, "--for", "2h")

    (held,) = pauses(line)
    endless = line.remedy("pause", "--all", *WHY)

    assert "it has no end of its own" in endless.out
    assert "it has no end of its own" not in short.out + ending.out
    assert "(in 2h)" in ending.out
    assert "it replaces an earlier pause: everything, until " in ending.out
    assert held.until == held.at + timedelta(hours=2)


def test_until_takes_a_time_with_a_zone(line: CommandLine) -> None:
    """--until is a moment, whatever zone it is written in."""
    day = datetime.now(UTC).date() + timedelta(days=2)
    done = line.remedy("pause", "--all", *WHY, "--until", f"{day}T06:00+02:00")

    assert done.code == 0
    assert f"until {day}T04:00:00Z" in done.out
    (held,) = pauses(line)
    assert held.until == datetime(day.year, day.month, day.day, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "exactly one"),
        (("--rule", "flag-high", "--all"), "exactly one"),
        (("--host", "web-1", "--host", "web-2"), "exactly one"),
        (("--host", ""), "--host is empty"),
        (("--group", "all"), "--all"),
        (("--all", "--for", "2h", "--until", "2100-01-01T00:00Z"), "give one of them"),
        (("--all", "--for", "soon"), "'soon' is no duration"),
        (("--all", "--for", "0s"), "pauses nothing"),
        (("--all", "--until", "2020-01-01T00:00Z"), "is past"),
        (("--all", "--until", "2100-01-01T00:00"), "with its zone"),
        (("--all", "--until", "tomorrow"), "with its zone"),
    ],
)
def test_pause_that_cannot_be_meant_is_refused(line: CommandLine, words: tuple[str, ...], said: str) -> None:
    """Not exactly one thing, or an end that is none: exit 1, the cure in the message, and nothing is written."""
    done = line.remedy("pause", *words, *WHY)

    assert done.code == 1
    assert said in done.err
    assert not line.state.exists()


def test_blank_reason_is_refused(line: CommandLine) -> None:
    """Nobody can pause without saying why."""
    assert line.remedy("pause", "--all", "--reason", " ").code == 1
    assert not line.state.exists()


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("--rule", "flag-hihg"), "flag-high?"),
        (("--group", "wbe"), "web?"),
        (("--host", "web1"), "web-1"),
        (("--host", "web"), ""),
        (("--host", "web-*"), "web-"),
    ],
)
def test_unknown_name_pauses_nothing(line: CommandLine, words: tuple[str, ...], near: str) -> None:
    """A name that does not exist (a group's as a host's, or a pattern) is exit 6 with the nearest, nothing written."""
    done = line.remedy("pause", *words, *WHY)

    assert done.code == 6
    assert near in done.err
    assert "nothing was paused" in done.err
    assert not line.state.exists()


def test_broken_rules_stop_no_pause(line: CommandLine) -> None:
    """A rule that does not load can be paused by its name, and hosts too; a typo is still noticed."""
    (line.directory / "rules" / "flag-high" / "rule.yaml").write_text("rule: [")

    of_rule = line.remedy("pause", "--rule", "flag-high", *WHY)
    of_host = line.remedy("pause", "--host", "web-1", *WHY)
    typo = line.remedy("pause", "--rule", "flag-hi", *WHY)

    assert of_rule.code == 0
    assert of_host.code == 0
    assert typo.code == 6
    assert [str(each) for each in pauses(line)] == ["rule flag-high", "host web-1"]


@pytest.mark.parametrize(
    ("words", "broken"),
    [
        (("--rule", "flag-high"), "remedy.yaml"),
        (("--host", "web-1"), "remedy.yaml"),
        (("--host", "web-1"), "inventory.yaml"),
        (("--group", "web"), "inventory.yaml"),
    ],
)
def test_name_that_nobody_can_check_is_paused_and_said(line: CommandLine, words: tuple[str, ...], broken: str) -> None:
    """When the names cannot be read the pause is set, and the message and exit code 4 say that it may hold nothing."""
    (line.directory / broken).write_text("[")

    done = line.remedy("pause", *words, *WHY)

    assert done.code == 4
    assert "WARNING: nobody could check" in done.err
    assert broken in done.err
    assert "if that name is misspelt, nothing is paused" in done.err
    assert len(pauses(line)) == 1
    assert line.records("pause.set")[0]["name_checked"] is False


def test_pause_of_everything_needs_no_file(tmp_path: Path) -> None:
    """In an empty directory --all is certain: exit 0; a host's name is not: exit 4."""
    line = CommandLine(tmp_path)

    everything = line.remedy("pause", "--all", *WHY)
    host = line.remedy("pause", "--host", "web-1", *WHY)

    assert everything.code == 0
    assert "there was no ledger" in everything.err
    assert host.code == 4
    assert "no inventory is named" in host.err


def test_unpause_of_nothing_lists_what_is_paused(line: CommandLine) -> None:
    """What is not paused cannot be ended: exit 6, with all that is, and the nearest name."""
    line.remedy("pause", "--host", "web-1", *WHY)
    line.remedy("pause", "--rule", "flag-high", *WHY)

    done = line.remedy("unpause", "--host", "web-2")

    assert done.code == 6
    assert "host web-2 is not paused" in done.err
    assert "(web-1?)" in done.err
    assert "rule flag-high, until somebody ends it" in done.err
    assert len(pauses(line)) == 2
    assert line.records("pause.ended") == []


def test_unpause_says_what_is_still_paused(line: CommandLine) -> None:
    """Ending one pause of two leaves the other, which is named."""
    line.remedy("pause", "--host", "web-1", *WHY)
    line.remedy("pause", "--all", *WHY)

    done = line.remedy("unpause", "--host", "web-1")

    assert done.code == 0
    assert "still paused: everything" in done.out


def test_unpause_where_nothing_was_ever_recorded_is_an_error(line: CommandLine) -> None:
    """Without a ledger there is no pause to end: probably another state directory is meant."""
    done = line.remedy("unpause", "--all")

    assert done.code == 1
    assert "--state DIR" in done.err
    assert not line.state.exists()


def test_runs_lists_pauses_as_json_too(line: CommandLine) -> None:
    """`remedy runs -o json` has the pauses that hold, with reason, actor and end."""
    line.remedy("pause", "--group", "db", *WHY, "--for", "30m")

    (pause,) = line.remedy("runs", "-o", "json").json["pauses"]

    assert (pause["of"], pause["name"], pause["reason"]) == ("group", "db", "storage migration")
    assert pause["until"] is not None


def test_somebody_elses_longer_pause_is_not_ended_by_a_shorter_one(line: CommandLine) -> None:
    """A pause that would end sooner than the one that is there is refused; a longer one replaces it."""
    line.remedy("pause", "--rule", "flag-high", "--for", "2h", *WHY)

    shorter = line.remedy("pause", "--rule", "flag-high", "--for", "10m", "--reason", "quick look")
    (held,) = pauses(line)
    longer = line.remedy("pause", "--rule", "flag-high", "--reason", "until the vendor answers")
    (endless,) = pauses(line)

    assert (shorter.code, longer.code) == (1, 0)
    assert "paused for longer already" in shorter.err
    assert "remedy unpause --rule flag-high" in shorter.err
    assert held.reason == "storage migration"
    assert endless.until is None
