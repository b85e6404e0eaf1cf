"""`remedy lint` as people and CI call it."""

import json
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine

BAD = "systemctl restart nginx || true\nreboot\n"
WARNING = "systemctl restart nginx || true\nsystemctl is-active --quiet nginx\n"


@pytest.fixture
def here(tmp_path: Path) -> CommandLine:
    """Give a command line in an empty directory."""
    return CommandLine(tmp_path)


def _script(here: CommandLine, text: str, name: str = "mend.sh") -> str:
    (here.directory / name).write_text(text, encoding="utf-8")
    return name


def test_repository_of_init_is_clean(here: CommandLine) -> None:
    """What `remedy init` makes passes lint as it is, warnings included, without a path to name."""
    assert here.remedy("init", "mine").code == 0
    inside = CommandLine.__new__(CommandLine)
    inside.directory, inside.state, inside.environment = here.directory / "mine", here.state, here.environment

    ran = inside.remedy("lint", "--strict")

    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("21 scripts (10 PowerShell, 11 sh): no findings; ")


def test_findings_come_all_at_once_and_end_with_3(here: CommandLine) -> None:
    """Each finding is a line with its place on standard output, the count is on standard error."""
    ran = here.remedy("lint", _script(here, BAD))

    lines = ran.out.splitlines()
    assert ran.code == 3
    assert [line.partition(" ")[0] for line in lines] == ["mend.sh:1:1:", "mend.sh:2:1:"]
    assert lines[0].startswith("mend.sh:1:1: R101 warning: a failure is swallowed: ")
    assert lines[1].startswith("mend.sh:2:1: R202 the machine is restarted or shut down: reboot; ")
    assert ran.err == "1 script (1 sh): 1 error, 1 warning\n"


def test_warnings_fail_only_when_they_should(here: CommandLine) -> None:
    """A warning is shown and ends with 0; with --strict it ends with 3."""
    name = _script(here, WARNING)

    assert here.remedy("lint", name).code == 0
    assert here.remedy("lint", "--strict", name).code == 3


def test_allowed_finding_passes_and_is_counted(here: CommandLine) -> None:
    """A finding that is allowed with a reason fails nothing, and the summary still counts it."""
    ran = here.remedy("lint", "--strict", _script(here, "reboot  # remedy: allow R202 kiosks, by their owner's wish\n"))

    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "1 script (1 sh): no findings; 1 allowed\n"


def test_script_that_was_not_linted_ends_with_4(here: CommandLine) -> None:
    """A script that could not be looked at is named, and the whole is incomplete."""
    ran = here.remedy("lint", _script(here, "(" * 2_000 + "1" + ")" * 2_000, "deep.ps1"))

    assert ran.code == 4
    assert ran.out.startswith("deep.ps1: not linted: ")
    assert "1 of them not linted" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no 'nowhere'"),
        (["-o", "xml", "."], "--output xml: text, json, github or sarif"),
        (["--list", "-o", "sarif"], "--output sarif: text or json"),
        (["-R", "rules", "mend.sh"], "a path and --rules are given"),
        ([""], "a path is empty"),
        ([], "no rules are named"),
    ],
)
def test_wrong_use_ends_with_1(here: CommandLine, words: list[str], message: str) -> None:
    """What cannot be asked is said in one line, and nothing is linted."""
    ran = here.remedy("lint", *words)

    assert (ran.code, ran.out) == (1, "")
    assert message in ran.err


def test_each_form_is_what_it_says(here: CommandLine) -> None:
    """JSON and SARIF are one document each, and workflow commands stand one a line."""
    name = _script(here, BAD)

    assert [each["code"] for each in here.remedy("lint", name, "-o", "json").json["findings"]] == ["R101", "R202"]
    assert here.remedy("lint", name, "-o", "sarif").json["version"] == "2.1.0"
    assert [line.split(" ")[0] for line in here.remedy("lint", name, "-o", "github").out.splitlines()] == [
        "::warning",
        "::error",
    ]


def test_list_needs_no_rules(here: CommandLine) -> None:
    """The catalogue is shown wherever one is."""
    assert (
        "R202  error  the machine is restarted or shut down (sh, bash, PowerShell)" in here.remedy("lint", "--list").out
    )
    assert json.loads(here.remedy("lint", "--list", "-o", "json").out)["lint_checks"] == 1


def test_control_characters_of_a_script_are_not_shown(here: CommandLine) -> None:
    """Neither a script nor its name can write on the terminal of who lints it."""
    name = _script(here, 'rm -rf "$x\x1b[2J"/*\n', "a\x1b[2Jb.sh")

    ran, commands = here.remedy("lint", name), here.remedy("lint", name, "-o", "github")

    assert (ran.code, commands.code) == (3, 3)
    assert "\x1b" not in ran.out + ran.err + commands.out + commands.err
    assert ran.out.startswith("a\\x1b[2Jb.sh:1:1: R201 ")
    assert "$x\\x1b[2J" in ran.out
