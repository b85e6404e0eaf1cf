"""`remedy test` on the command line: what it runs, says, and ends with."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.command_line import CommandLine
from tests.testing.rules_folder import case, write_rules
from tests.testing.test_coverage import FULL

WRONG = case("{a: {readings: {gauge: [{thing: x, level: 4, broken: false}]}}}", "{a: {match: [{thing: x}]}}")
HALF = case("{a: {readings: {gauge: [{thing: x, level: 4, broken: false}]}}}", "{a: healthy}")


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """The command line in an empty folder."""
    return CommandLine(tmp_path)


def _cases(text: str) -> str:
    """Return cases that are enough, with one more."""
    return f"{FULL}\n{_KINDS}\n{text}"


_KINDS = """\
- case: an unknown one
  now: 2026-11-22T03:00:00Z
  hosts: {a: {}}
  expect: {a: {unknown: no reading}}
"""


def test_passing_cases_say_one_line(line: CommandLine) -> None:
    """When all pass, the result is one line with the counts, and the exit code 0."""
    write_rules(line.directory, _cases(""))

    ran = line.remedy("test")

    assert (ran.code, ran.out, ran.err) == (0, "2 rules, 5 cases: all passed; signals without cases: flag, gauge\n", "")


def test_failing_case_shows_expected_actual_and_why(line: CommandLine) -> None:
    """A failure has file:line:column, what was expected, what is, and the conjunct that decided; exit 3."""
    write_rules(line.directory, _cases(WRONG))

    ran = line.remedy("test")

    assert ran.code == 3
    assert ran.out == (
        "rules/high/tests.yaml:43:3: high: a case: failed\n"
        "  rules/high/tests.yaml:46:12: a\n"
        "    expected  match of thing=x\n"
        "    actual    healthy\n"
        "    because   thing=x: `level > params.above` is false  [level=4, params.above=5]\n"
        "2 rules, 6 cases: 1 failed; signals without cases: flag, gauge\n"
    )


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        (None, "rules/high/rule.yaml:1:1: high: the rule has no tests.yaml; write rules/high/tests.yaml"),
        (HALF, "rules/high/tests.yaml:1:1: high: no case expects match or unknown"),
        (_KINDS, "rules/high/tests.yaml:1:1: high: no case expects match or healthy"),
    ],
)
def test_rule_without_enough_cases_fails(line: CommandLine, tests: str | None, said: str) -> None:
    """A rule without a tests.yaml, or without a match, a healthy and an unknown case, fails; what it has passes."""
    write_rules(line.directory, tests)

    ran = line.remedy("test")

    assert ran.code == 3
    assert ran.out.startswith(said)
    assert ran.out.endswith("1 rule without cases that are needed; signals without cases: flag, gauge\n")


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        (["rules"], "2 rules, 5 cases"),
        (["rules/high"], "1 rule, 4 cases"),
        (["rules/high/"], "1 rule, 4 cases"),
        (["rules/tall/tests.yaml"], "1 rule, 1 case"),
        (["rules/tall", "rules/high/tests.yaml"], "2 rules, 5 cases"),
        (["rules/tall", "rules"], "2 rules, 5 cases"),
        (["rules", "./rules"], "2 rules, 5 cases"),
        (["-R", "rules", "-r", "tall"], "1 rule, 1 case"),
        (["-k", "PROVES"], "1 case"),
        (["-k", "tall: each"], "1 case"),
    ],
)
def test_what_is_run_can_be_chosen(line: CommandLine, path: list[str], counts: str) -> None:
    """A folder of rules, that of a rule, a tests.yaml, a rule's name and a part of a case's name choose what is run."""
    write_rules(line.directory, _cases(""))

    ran = line.remedy("test", *path)

    assert ran.code == 0, ran.out
    assert f"{counts}: all passed" in ran.out


def test_path_may_be_the_folder_one_is_in(line: CommandLine) -> None:
    """In the folder of a rule, `.` and `tests.yaml` mean that rule."""
    write_rules(line.directory, _cases(""))

    for path in (".", "tests.yaml"):
        ran = line.shell(f"cd rules/high && $REMEDY test {path}")

        assert (ran.code, ran.out) == (0, "1 rule, 4 cases: all passed\n"), ran.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-r", "hgih"], 6, "--rule hgih: there is no such rule here; high?"),
        (["-k", "nothing"], 6, "--keyword nothing: no case has this in its name or its rule's"),
        (
            ["nowhere"],
            1,
            "nowhere does not exist; name a folder of rules, the folder of a rule or signal, or its tests.yaml",
        ),
        (["rules/high/rule.yaml"], 1, "rules/high/rule.yaml is no folder and no tests.yaml"),
        (["-o", "xml"], 1, "--output xml: text, json or junit"),
        (["-k", " "], 1, "--keyword is empty"),
        (["-r", ""], 1, "--rule needs a name"),
        (["rules", "-R", "rules"], 1, "a path and --rules are given"),
        ([""], 1, "a path is empty"),
        (["-k", "a", "-k", "b"], 1, "--keyword is given twice"),
    ],
)
def test_what_names_nothing_is_refused(line: CommandLine, words: list[str], code: int, said: str) -> None:
    """A name that matches nothing ends with 6 and the nearest names; a wrong use with 1; nothing passes silently."""
    write_rules(line.directory, _cases(""))

    ran = line.remedy("test", *words)

    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_broken_file_is_said_and_the_others_are_tested(line: CommandLine) -> None:
    """Mistakes in a tests.yaml or a rule end with 1, each with its place; what is whole is tested all the same."""
    root = write_rules(line.directory, "- case: x\n")
    (root / "odd").mkdir()
    (root / "odd" / "rule.yaml").write_text("rule: odd\n")

    ran = line.remedy("test")
    of_tall = line.remedy("test", "rules/tall")

    assert ran.code == 1
    assert "rules/high/tests.yaml:1:3: case 1: the key `now` is missing" in ran.out
    assert "rules/odd/rule.yaml:1:1: the key `title` is missing" in ran.out
    assert "2 rules, 1 case: " in ran.out
    assert (of_tall.code, of_tall.out) == (0, "1 rule, 1 case: all passed\n")


def test_json_has_every_case(line: CommandLine) -> None:
    """The JSON has the counts, every case with its state, and every difference with its place."""
    write_rules(line.directory, _cases(WRONG))

    ran = line.remedy("test", "-o", "json", "--coverage")

    document = ran.json
    [failed] = [each for each in document["results"] if each["state"] == "failed"]
    assert (ran.code, ran.err) == (3, "2 rules, 6 cases: 1 failed; signals without cases: flag, gauge\n")
    assert (document["test"], document["cases"], document["passed"], document["failed"]) == (1, 6, 5, 1)
    assert (failed["rule"], failed["name"], failed["line"]) == ("high", "a case", 43)
    assert failed["differences"][0]["actual"] == "healthy"
    assert [rule["rule"] for rule in document["coverage"]] == ["high", "tall"]
    assert {"condition", "text", "true", "false", "unknown", "gaps"} <= set(document["coverage"][0]["parts"][0])


def test_junit_has_every_case(line: CommandLine) -> None:
    """JUnit XML has every case as a testcase, the failed one with its message, a broken file as an error."""
    root = write_rules(line.directory, _cases(WRONG))
    (root / "tall" / "tests.yaml").write_text("[]\n")

    ran = line.remedy("test", "-o", "junit")

    suite = ET.fromstring(ran.out).find("testsuite")
    assert ran.code == 1
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6",
        "failures": "1",
        "errors": "1",
        "skipped": "0",
    }
    assert [each.get("name") for each in suite.iter("testcase") if each.find("failure") is not None] == ["a case"]
    assert [failure.get("message") for failure in suite.iter("failure")] == ["a: expected match of thing=x, is healthy"]


def test_coverage_and_mutants_are_told_and_strict_fails(line: CommandLine) -> None:
    """Gaps and surviving mutants are told line by line, and fail with --strict only."""
    write_rules(line.directory, _cases(""))

    ran = line.remedy("test", "--coverage", "--mutants")
    strict = line.remedy("test", "--coverage", "--strict")

    assert ran.code == 0
    assert ran.out.splitlines() == [
        "rules/high/rule.yaml: exempt[0].where: `thing = 'kept'`: never unknown",
        "coverage: 4 of 5 parts of conditions are shown from every side",
        *[line for line in ran.out.splitlines() if "no case would notice" in line],
        ran.out.splitlines()[-2],
        "2 rules, 5 cases: all passed; signals without cases: flag, gauge",
    ]
    assert ran.out.splitlines()[-2].startswith("mutants: the cases notice ")
    assert strict.code == 3


def test_rule_whose_cases_fail_gets_no_mutants(line: CommandLine) -> None:
    """Where cases fail as it is, no mistake is planted, and that is said."""
    write_rules(line.directory, _cases(WRONG))

    ran = line.remedy("test", "rules/high", "--mutants")

    assert ran.out.splitlines()[-3:] == [
        "mutants: none were planted in high, whose cases fail as it is",
        "mutants: the cases notice 0 of 0 planted mistakes",
        "1 rule, 5 cases: 1 failed",
    ]


def test_text_of_files_is_made_harmless(line: CommandLine) -> None:
    """A control character in the name of a case cannot reach the terminal."""
    write_rules(line.directory, _cases(WRONG.replace("a case", '"\\x1b[31mred"')))

    ran = line.remedy("test")

    assert ran.code in (1, 3)
    assert "\x1b" not in ran.out + ran.err


def test_command_says_the_same_in_any_order_and_place(line: CommandLine, tmp_path: Path) -> None:
    """Two runs over the same files give the same bytes."""
    write_rules(line.directory, _cases(WRONG))

    first, second = (line.remedy("test", "-o", "json", "--coverage", "--mutants") for _ in range(2))

    assert json.loads(first.out) == json.loads(second.out)
    assert first.out == second.out


@pytest.mark.parametrize("path", ["rules/signals/gauge", "rules/signals/gauge/"])
def test_named_signal_without_cases_is_exit_6(line: CommandLine, path: str) -> None:
    """A signal that is named and has no cases has not passed: nothing was tested."""
    write_rules(line.directory, _cases(""))

    ran = line.remedy("test", path)

    assert (ran.code, ran.out) == (6, "")
    assert ran.err == (
        "remedy: signal gauge has no cases; write rules/signals/gauge/tests.yaml, or name a rule that reads it\n"
    )


def test_signals_without_cases_are_named_for_programs(line: CommandLine) -> None:
    """JSON names them too; a signal that is named beside a rule is refused just the same."""
    write_rules(line.directory, _cases(""))

    whole, named = line.remedy("test", "-o", "json"), line.remedy("test", "rules/high", "rules/signals/gauge")

    assert (whole.code, whole.json["signals_without_cases"]) == (0, ["flag", "gauge"])
    assert "signals without cases: flag, gauge" in whole.err
    assert named.code == 6
