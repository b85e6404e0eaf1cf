"""`remedy validate` as a person or a CI calls it: forms, --strict, names, exit codes."""

import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from remedy.load import starter_rules
from tests.cli.command_line import CommandLine

_WARNING = "rules/flag-high/rule.yaml:9:7: when: can never be true: the rule matches no host"


@pytest.fixture
def here(tmp_path: Path) -> CommandLine:
    """A command line in a folder with a repository that has one warning."""
    line = CommandLine(tmp_path)
    line.write_repository()
    _change(line, "level > params.above", "level > params.above and level < 3")
    return line


def _change(line: CommandLine, old: str, new: str) -> None:
    rule = line.directory / "rules" / "flag-high" / "rule.yaml"
    assert old in rule.read_text()
    rule.write_text(rule.read_text().replace(old, new))


def test_warning_is_said_and_fails_only_when_strict(here: CommandLine) -> None:
    """A warning is talk on stderr and ends with 0; with --strict it is an error on stdout and ends with 1."""
    plain = here.remedy("validate")
    strict = here.remedy("validate", "--strict")

    assert (plain.code, plain.out) == (0, "1 rule, 1 signal and 3 hosts: no problems, 1 warning\n")
    assert plain.err.startswith(f"warning: {_WARNING}")
    assert (strict.code, strict.out.partition(";")[0]) == (1, _WARNING)
    assert strict.err == "1 rule, 1 signal and 3 hosts: 1 problem\n"


@pytest.mark.parametrize("strict", [(), ("--strict",)])
def test_every_form_has_the_warning(here: CommandLine, strict: tuple[str, ...]) -> None:
    """JSON, workflow commands, SARIF and JUnit have the warning, and with --strict as an error."""
    ran = {form: here.remedy("validate", "-o", form, *strict) for form in ("json", "github", "sarif", "junit")}
    level = "error" if strict else "warning"
    document = ran["json"].json
    result = ran["sarif"].json["runs"][0]["results"][0]
    suite = ET.fromstring(ran["junit"].out)[0]

    assert {each.code for each in ran.values()} == {int(bool(strict))}
    assert [each["code"] for each in document["problems" if strict else "warnings"]] == ["when-never"]
    assert ran["github"].out.startswith(f"::{level} file=rules/flag-high/rule.yaml,line=9,col=7,title=when-never::")
    assert (result["ruleId"], result["level"]) == ("when-never", level)
    assert suite.attrib["failures"] == str(len(strict))
    assert "when: can never be true" in ran["junit"].out


@pytest.mark.parametrize("form", ["github", "sarif"])
def test_checkout_forms_name_files_from_its_top(here: CommandLine, form: str) -> None:
    """What reads a whole checkout gets names from its top, wherever the command is called."""
    subprocess.run(["git", "init", "-q", here.directory.parent / here.directory.name], check=True)
    top = here.directory
    (top / "deep").mkdir()
    done = here.shell(f"cd deep && $REMEDY validate -R ../rules -o {form}")

    assert "file=rules/flag-high/rule.yaml," in done.out or '"uri": "rules/flag-high/rule.yaml"' in done.out
    assert ".." not in done.out.replace("...", "")


def test_form_that_does_not_exist_is_refused(here: CommandLine) -> None:
    """Another form is refused with those that there are."""
    ran = here.remedy("validate", "-o", "xml")

    assert (ran.code, ran.err) == (1, "remedy: --output xml: text, json, github, sarif or junit\n")


def test_wrong_settings_are_in_the_form_that_was_asked_for(here: CommandLine) -> None:
    """A mistake in remedy.yaml is one among the others, not a message that a CI cannot read."""
    (here.directory / "remedy.yaml").write_text("rulse: rules\n")
    ran = here.remedy("validate", "-o", "json")

    assert ran.code == 1
    assert [(each["file"], each["line"]) for each in ran.json["problems"]] == [("remedy.yaml", 1)]
    assert [each["code"] for each in ran.json["warnings"]] == ["when-never"]


def test_settings_that_cannot_be_read_are_said_without_rules(tmp_path: Path) -> None:
    """When remedy.yaml is all there is and is no YAML, that is what is said."""
    line = CommandLine(tmp_path)
    (tmp_path / "remedy.yaml").write_text("rules: [a\n")
    ran = line.remedy("validate")

    assert ran.code == 1
    assert ran.out == "remedy.yaml:1:8: is not YAML: this [ is not closed; close it with ], or put the text in quotes\n"


def test_mistyped_variable_is_warned_of(here: CommandLine) -> None:
    """A variable that is nearly one of ours may be why other files are checked than were meant."""
    here.environment["REMEDY_RULE"] = "elsewhere"

    assert "warning: REMEDY_RULE is set, and no setting has that name" in here.remedy("validate").err


def test_every_line_of_a_message_says_who_speaks(here: CommandLine) -> None:
    """A message of several lines on stderr has the prefix on each of them."""
    _change(here, "owner: tests@example.org", "ownr: tests@example.org")
    _change(here, "mode: observe", "mode: obsrve")
    lines = here.remedy("scan").err.splitlines()

    assert len(lines) > 1
    assert all(line.startswith("remedy: rules/flag-high/rule.yaml:") for line in lines)


def test_password_of_an_inventory_is_shown_in_no_form(here: CommandLine) -> None:
    """What is warned of because it is a secret is never shown with the warning."""
    (here.directory / "inventory.yaml").write_text(
        "all:\n  vars: {ansible_password: hunter2secret, ansible_become_pass: hunter2secret}\n  hosts: {web-1: {}}\n"
    )
    for form in ("text", "json", "github", "sarif", "junit"):
        ran = here.remedy("validate", "-o", form)

        assert "hunter2secret" not in ran.out + ran.err
        assert "ansible_password" in ran.out + ran.err
        assert "ansible_become_pass" in ran.out + ran.err
    assert json.loads(here.remedy("validate", "-o", "json").out)["warnings"][0]["code"] == "secret-in-inventory"


@pytest.mark.parametrize(
    "path", ["rules/flag-high", "rules/flag-high/rule.yaml", "rules/flag-high/tests.yaml", "./rules/flag-high/"]
)
def test_path_of_a_rule_says_what_concerns_it(here: CommandLine, path: str) -> None:
    """A rule's folder or file is read with all that it needs; of mistakes elsewhere only the number is said."""
    (here.directory / "rules" / "flag-high" / "tests.yaml").write_text("- cas: x\n")
    other = here.directory / "rules" / "other"
    other.mkdir()
    (other / "rule.yaml").write_text("rule: othr\n")
    ran = here.remedy("validate", path)

    assert ran.code == 1
    assert "other" not in ran.out
    assert ran.out.startswith("rules/flag-high/tests.yaml:1:")
    assert "elsewhere; `remedy validate rules` shows them all" in ran.err


@pytest.mark.parametrize("path", ["rules/flag-high", "rules/flag-high/rule.yaml"])
@pytest.mark.parametrize("condition", ["level > 1", "level > 1 and other.level > 2"])
def test_signal_that_a_rule_reads_concerns_it(here: CommandLine, path: str, condition: str) -> None:
    """The mistakes of the rule's own signal and of those that its conditions name are said with its own."""
    _change(here, "level > params.above and level < 3", condition)
    name = "other" if "other" in condition else "flag"
    _signal_beside(here, "other")
    _signal_beside(here, "unread")
    for each in (name, "unread"):
        file = here.directory / "rules" / "signals" / each / "signal.yaml"
        file.write_text(file.read_text().replace("title: ", "titel: "))
    wrong = here.remedy("validate", path)
    (here.directory / "rules" / "signals" / name / "signal.yaml").unlink()
    gone = here.remedy("validate", path)

    assert wrong.out == f"rules/signals/{name}/signal.yaml:2:1: unknown key `titel`; did you mean `title`?\n"
    assert gone.out == f"rules/signals/{name}: holds no signal.yaml; add it, or move the folder away\n"
    assert [ran.err.splitlines()[-1] for ran in (wrong, gone)] == [
        "1 problem elsewhere; `remedy validate rules` shows them all"
    ] * 2
    assert (wrong.code, gone.code) == (1, 1)


def _signal_beside(line: CommandLine, name: str) -> None:
    folder = line.directory / "rules" / "signals" / name
    shutil.copytree(folder.with_name("flag"), folder)
    (folder / "signal.yaml").write_text((folder / "signal.yaml").read_text().replace("signal: flag", f"signal: {name}"))


@pytest.mark.parametrize("form", ["text", "json", "github", "sarif", "junit"])
def test_folder_that_settings_name_and_is_gone_is_a_problem_at_its_line(here: CommandLine, form: str) -> None:
    """A rules folder that is not there is a mistake of remedy.yaml like any other, in every form."""
    (here.directory / "remedy.yaml").write_text("inventory: inventory.yaml\nrules: gone\n")
    ran = here.remedy("validate", "-o", form)
    said = {
        "text": "remedy.yaml:2:1: there is no folder of rules 'gone'\n",
        "json": '"line": 2',
        "github": "::error file=remedy.yaml,line=2,col=1,title=invalid::",
        "sarif": '"startLine": 2',
        "junit": "remedy.yaml:2:1: there is no folder of rules",
    }

    assert ran.code == 1
    assert said[form] in ran.out
    assert "there is no folder of rules" in ran.out


def test_nothing_to_validate_is_said_with_how_to_begin(tmp_path: Path) -> None:
    """Where there are no rules, whoever is new learns of the command that makes some."""
    ran = CommandLine(tmp_path).remedy("validate")

    assert (ran.code, ran.out) == (1, "")
    assert "no rules are named" in ran.err
    assert "`remedy init`" in ran.err


def test_path_of_a_signal_and_its_folder_from_inside(here: CommandLine) -> None:
    """A signal's folder works as well, also by the name of the current folder."""
    done = here.shell("cd rules/signals/flag && $REMEDY validate .")
    file = here.remedy("validate", "rules/signals/flag/signal.yaml")

    assert (done.code, done.out) == (0, "0 rules and 1 signal: no problems\n")
    assert (file.code, file.out) == (0, "0 rules and 1 signal: no problems\n")


def test_file_of_no_rule_is_refused_with_what_to_name(here: CommandLine) -> None:
    """An inventory, which is named otherwise, is never taken for a folder without mistakes."""
    ran = here.remedy("validate", "inventory.yaml")

    assert ran.code == 1
    assert ran.err == (
        "remedy: 'inventory.yaml' is in the folder of no rule and no signal; "
        "name a folder of rules, or what lies in one; an inventory is named with -i\n"
    )


def test_cases_of_a_signal_are_checked(here: CommandLine) -> None:
    """The tests.yaml beside a signal is read as that of a rule is."""
    (here.directory / "rules" / "signals" / "flag" / "tests.yaml").write_text("- collct: a reading\n  expect: {}\n")
    ran = here.remedy("validate")

    assert ran.code == 1
    assert ran.out.startswith("rules/signals/flag/tests.yaml:1:")


def test_starter_rules_have_nothing_doubtful(tmp_path: Path) -> None:
    """A new repository, and the starter rules as they fix, pass with --strict."""
    line = CommandLine(tmp_path)
    line.remedy("init", "repo")
    new = line.shell("cd repo && $REMEDY validate --strict")
    fixing = line.remedy("validate", "--strict", "-R", str(starter_rules()), "-i", "localhost,")

    assert (new.code, fixing.code) == (0, 0)
    assert new.out.endswith(": no problems\n")
    assert fixing.out.endswith(": no problems\n")
