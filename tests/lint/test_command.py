"""`remedy lint` as people and CI call it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import CommandLine
from tests.lint.repositories import inside, write_repository

BAD = "systemctl restart nginx || true\nreboot\n"
WARNING = "systemctl restart nginx || true\nsystemctl is-active --quiet nginx\n"
NAMELESS = "1 script belongs to no rule or signal here: names were not checked"


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
    ran = inside(here, "mine").remedy("lint", "--strict")

    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("21 scripts (10 PowerShell, 11 sh): no findings; ")


def test_findings_come_all_at_once_and_end_with_3(here: CommandLine) -> None:
    """Each finding is a line with its place on standard output, the count is on standard error."""
    ran = here.remedy("lint", _script(here, BAD))

    lines = ran.out.splitlines()
    assert ran.code == 3
    assert [line.partition(" ")[0] for line in lines] == ["mend.sh:1:1:", "mend.sh:2:1:"]
    assert lines[0].startswith("mend.sh:1:1: R101 warning: a failure is swallowed: ")
    assert lines[1].startswith("mend.sh:2:1: R202 error: the machine is restarted or shut down: reboot; ")
    assert ran.err == f"1 script (1 sh): 1 error, 1 warning; {NAMELESS}\n"


def test_warnings_fail_only_when_they_should(here: CommandLine) -> None:
    """A warning is shown and ends with 0; with --strict it ends with 3."""
    name = _script(here, WARNING)

    assert here.remedy("lint", name).code == 0
    assert here.remedy("lint", "--strict", name).code == 3


def test_allowed_finding_passes_and_is_counted(here: CommandLine) -> None:
    """A finding that is allowed with a reason fails nothing, and the summary still counts it."""
    ran = here.remedy("lint", "--strict", _script(here, "reboot  # remedy: allow R202 kiosks, by their owner's wish\n"))

    assert (ran.code, ran.out) == (0, "")
    assert ran.err == f"1 script (1 sh): no findings; 1 allowed; {NAMELESS}\n"


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


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (".", ["."]),
        (".", ["rules"]),
        (".", ["rules/high"]),
        (".", ["rules/high/mend.sh"]),
        (".", ["rules/high/sub/.."]),
        (".", []),
        ("rules", ["."]),
        ("rules/high", ["."]),
        ("rules/high", [".", "../../rules", "mend.sh"]),
        ("rules/high", [".."]),
        ("rules/high/sub", [".."]),
        ("rules/high/sub", ["../mend.sh"]),
        ("rules/signals", ["../.."]),
        ("away", ["../link-to-rules"]),
    ],
)
def test_rule_is_found_from_wherever_its_script_is_named(here: CommandLine, folder: str, words: list[str]) -> None:
    """A folder is looked up as a script is: the names of a rule are checked whatever path led to its script."""
    rules = write_repository(here.directory / "rules", {"high/mend.sh": 'systemctl restart "$REMEDY_ROW_NAM"\n'})
    for name in ("rules/high/sub", "away"):
        (here.directory / name).mkdir()
    (here.directory / "link-to-rules").symlink_to(rules)

    ran = inside(here, folder).remedy("lint", *words, "-o", "json")

    assert [(Path(each["file"]).name, each["code"]) for each in ran.json["findings"]] == [("mend.sh", "R406")]
    assert (ran.code, ran.json["names_not_checked"]) == (3, [])


def test_script_without_suffix_is_found_in_its_rules_folder(here: CommandLine) -> None:
    """What only its rule tells to be a script is linted when its folder is named, and when it is itself."""
    write_repository(here.directory / "rules", {"high/mend": 'systemctl restart "$REMEDY_ROW_NAM"\n'}, script="mend")

    whole, folder, alone = (here.remedy("lint", path) for path in (".", "rules/high", "rules/high/mend"))

    assert whole.out == folder.out == alone.out
    assert folder.out.startswith("rules/high/mend:1:20: R406 ")


def test_scripts_of_nobody_are_counted_and_no_gap(here: CommandLine) -> None:
    """Where no rule names a script, the summary says once that names were not checked; nothing else fails by it."""
    write_repository(here.directory / "rules", {"high/old.sh": "date\n", "shared/more.sh": "date\n"})
    _script(here, "date\n")

    text, told = here.remedy("lint", "."), here.remedy("lint", ".", "-o", "json")

    assert (text.code, text.out) == (0, "")
    assert "; 3 scripts belong to no rule or signal here: names were not checked" in text.err
    assert told.json["names_not_checked"] == ["mend.sh", "rules/high/old.sh", "rules/shared/more.sh"]
    assert told.json["not_linted"] == []


def test_script_of_a_broken_rule_is_a_gap_from_every_path(here: CommandLine) -> None:
    """Where a rule is broken, nobody knows which names its script may read: not linted in full, exit 4."""
    write_repository(here.directory / "rules", {"high/rule.yaml": "rule: high\n"})

    for path in (".", "rules", "rules/high", "rules/high/mend.sh"):
        ran = here.remedy("lint", path, "-o", "json")

        assert (ran.code, [each["file"] for each in ran.json["not_linted"]]) == (4, ["rules/high/mend.sh"])
        assert ran.json["names_not_checked"] == []


@pytest.mark.parametrize("path", [".", "rules", "rules/high", "rules/high/mend"])
def test_broken_rule_whose_script_nobody_knows_is_a_gap(here: CommandLine, path: str) -> None:
    """A broken rule's script may have no suffix; even then its folder is never called clean."""
    write_repository(here.directory / "rules", {"high/rule.yaml": "rule: high\n"}, script="mend")

    ran = here.remedy("lint", path, "-o", "json")

    assert ran.code == 4
    assert [each["cure"] for each in ran.json["not_linted"]] == ["run `remedy validate` first"]


def test_link_to_a_script_is_that_script(here: CommandLine) -> None:
    """A script that is named by a link from outside the rules has its rule's names, and is linted once."""
    write_repository(here.directory / "rules", {"high/mend.sh": 'systemctl restart "$REMEDY_ROW_NAM"\n'})
    (here.directory / "mend").symlink_to("rules/high/mend.sh")

    ran = here.remedy("lint", "mend", "rules", "-o", "json")

    assert [(each["file"], each["code"]) for each in ran.json["findings"]] == [("mend", "R406")]
    assert ran.json["names_not_checked"] == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"date\n\0\n", "no UTF-8 text: a NUL byte on line 2"),
        (b"echo 'caf\xe9'\n", "no UTF-8 text: byte 0xe9 on line 1"),
        ("date\n".encode("utf-16"), "no UTF-8 text: byte 0xff on line 1"),
    ],
)
@pytest.mark.parametrize("name", ["mend.sh", "mend.ps1", "mend.py"])
def test_what_is_no_text_is_not_linted(here: CommandLine, name: str, body: bytes, why: str) -> None:
    """A script that is no UTF-8 text, or has a NUL byte, is never clean: it is said, and the exit code is 4."""
    (here.directory / name).write_bytes(body)

    ran = here.remedy("lint", name)

    assert (ran.code, ran.out) == (4, f"{name}: not linted: {why}; save it as UTF-8\n")


def test_named_files_that_are_no_scripts_are_passed_over(here: CommandLine) -> None:
    """A commit hook may name all files: only scripts are linted, the others are counted, and nothing fails by them."""
    write_repository(here.directory / "rules", {"high/tests.yaml": "[]\n"})
    (here.directory / "README.md").write_text("rm -rf $x/*\n", encoding="utf-8")
    (here.directory / "main.rs").write_text("#![allow(unused)]\n", encoding="utf-8")
    (here.directory / "large.bin").write_bytes(b"\0" * 300_000)
    names = ["README.md", "main.rs", "large.bin", "rules/high/rule.yaml", "rules/high/tests.yaml"]

    text, told = here.remedy("lint", *names), here.remedy("lint", *names, "rules/high/mend.sh", "-o", "json")

    assert (text.code, text.out, text.err) == (0, "", "0 scripts: no findings; 5 files are no scripts\n")
    assert (told.code, told.json["scripts"], told.json["no_scripts"]) == (0, 1, sorted(names))


@pytest.mark.parametrize("name", ["mend.sh", "mend.BASH", "mend.ps1", "mend.py", "mend"])
def test_named_script_is_known_by_suffix_or_shebang(here: CommandLine, name: str) -> None:
    """A suffix of a script, or a shebang where there is none, makes a named file a script."""
    ran = here.remedy("lint", _script(here, "#!/bin/sh\n", name), "-o", "json")

    assert (ran.json["scripts"], ran.json["no_scripts"]) == (1, [])


def test_file_that_cannot_be_opened_is_never_passed_over(here: CommandLine) -> None:
    """What is no regular file may be a script: it is not linted, and that is said."""
    os.mkfifo(here.directory / "pipe")

    ran = here.remedy("lint", "pipe")

    assert (ran.code, ran.out) == (4, "pipe: not linted: is no regular file\n")


def test_shebang_that_remedy_does_not_honour_is_the_finding(here: CommandLine) -> None:
    """A script in a language that remedy does not start is said to be run by sh, and not taken for sh by lint."""
    ran = here.remedy("lint", _script(here, "#!/usr/bin/perl -w\nmy $x = `reboot`;\n", "mend"))

    assert ran.code == 3
    assert ran.out.startswith(
        "mend:1:1: R304 error: the shebang names no program that remedy starts, so sh runs the script: "
    )
    assert len(ran.out.splitlines()) == 1


def test_foreign_shebang_may_be_allowed_below_it(here: CommandLine) -> None:
    """Nothing can stand above a shebang, so the comments right below it allow it."""
    text = "#!/usr/bin/perl\n# remedy: allow R304 people run it by hand\nprint 1;\n"

    ran = here.remedy("lint", _script(here, text, "mend"), "-o", "json")

    assert (ran.code, ran.json["findings"]) == (0, [])
    assert [each["code"] for each in ran.json["allowed"]] == ["R304"]


def _places(ran: Any, form: str) -> list[str]:
    if form == "github":
        return [line.partition("file=")[2].partition(",")[0] for line in ran.out.splitlines()]
    run = ran.json["runs"][0]
    told = [*run["results"], *run["invocations"][0]["toolExecutionNotifications"]]
    return [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in told if "locations" in each]


@pytest.mark.parametrize("form", ["github", "sarif"])
@pytest.mark.parametrize(("folder", "words"), [("rules/high", []), ("rules/high", ["."]), ("away", ["../rules"])])
@pytest.mark.parametrize("git", [".git", ""])
def test_places_for_machines_are_relative(
    here: CommandLine, folder: str, words: list[str], git: str, form: str
) -> None:
    """GitHub finds a file by its path below the checkout's top; without one the working directory is the base."""
    write_repository(here.directory / "rules", {"high/mend.sh": "reboot\n", "high/nul.sh": "\0"})
    (here.directory / "away").mkdir()
    (here.directory / "remedy.yaml").write_text("rules: rules\n", encoding="utf-8")
    if git:
        (here.directory / git).write_text("gitdir: elsewhere\n", encoding="utf-8")

    ran = inside(here, folder).remedy("lint", *words, "-o", form)

    whole = [f"{here.directory}/rules/high/{name}" for name in ("mend.sh", "nul.sh")]
    if form == "sarif":
        whole = [f"file://{path}" for path in whole]
    wanted = ["rules/high/mend.sh", "rules/high/nul.sh"] if git else ["mend.sh", "nul.sh"]
    assert ran.code == 3
    assert _places(ran, form) == (whole if folder == "away" and not git else wanted)


def test_places_in_another_checkout_are_relative_to_that_one(here: CommandLine) -> None:
    """Scripts of a checkout in which one is not are named below its top."""
    write_repository(here.directory / "theirs" / "rules", {"high/mend.sh": "reboot\n"})
    (here.directory / "theirs" / ".git").mkdir()
    (here.directory / "away").mkdir()

    ran = inside(here, "away").remedy("lint", "../theirs", "-o", "github")

    assert _places(ran, "github") == ["rules/high/mend.sh"]
