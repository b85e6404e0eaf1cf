"""`remedy config`: the settings that hold, and what said so."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main

import remedy
from remedy.cli.app import app
from remedy.load.config import VARIABLES
from tests.cli.command_line import CommandLine

_KEYS = ["rules", "inventory", "state", "protected", "budgets.per_rule", "budgets.all", "freezes"]
_FOR_SCRIPTS = re.compile(r"REMEDY_(?:PARAM_|ROW_|HOST$|RULE$|EXECUTION$|DEADLINE_S$)")
"""Variables that remedy sets for the scripts on hosts, and never reads."""

_FILE = """\
# What holds for the whole fleet.
rules: r
inventory: i.yaml
state: s
protected: db-1
budgets: {per_rule: 20/24h, all: 50/24h}
freezes:
  - {from: 2026-12-23T00:00, to: 2027-01-02T06:00, zone: Europe/Berlin, reason: year end}
  - {from: 2027-02-01T00:00, to: 2027-02-02T00:00, zone: UTC, reason: audit}
"""


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """The command line in an empty folder, with no variable of ours set."""
    made = CommandLine(tmp_path)
    del made.environment["REMEDY_STATE"]
    return made


def _settings(line: CommandLine, *words: str) -> dict[str, Any]:
    """Return the settings in effect by their keys, as JSON says them."""
    done = line.remedy("config", *words, "-o", "json")
    assert done.code == 0, done.err
    return {each["key"]: each for each in done.json["settings"]}


def _from(setting: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        tuple(origin.get(key) for key in ("kind", "name", "file", "line") if key in origin)
        for origin in setting["from"]
    ]


def test_without_anything_all_is_default(line: CommandLine) -> None:
    """In an empty folder every setting is listed with its default, and what holds where there is no value."""
    settings = _settings(line)

    assert list(settings) == _KEYS
    assert {key: _from(each)[0][0] for key, each in settings.items()} == dict.fromkeys(_KEYS, "default")
    assert settings["rules"]["value"] is None
    assert "starter rules" in settings["rules"]["note"]
    assert "this machine" in settings["inventory"]["note"]
    assert settings["state"]["value"]


@pytest.mark.parametrize(("key", "option"), [("rules", "-R"), ("inventory", "-i"), ("state", "--state")])
def test_each_place_wins_over_the_next(line: CommandLine, key: str, option: str) -> None:
    """An option wins over its variable, that over remedy.yaml; what it overrules is named in that order."""
    line.write_repository()
    (line.directory / "remedy.yaml").write_text(_FILE)
    usual = [] if key == "state" else ["default"]
    number = _FILE.splitlines().index(next(each for each in _FILE.splitlines() if each.startswith(f"{key}:"))) + 1
    of_file = _settings(line)[key]
    line.environment[VARIABLES[key]] = "/from/variable"
    of_variable = _settings(line)[key]
    of_option = _settings(line, option, "/from/option")[key]

    assert _from(of_file) == [("file", "remedy.yaml", number)]
    assert (of_variable["value"], _from(of_variable)) == ("/from/variable", [("variable", VARIABLES[key])])
    assert (of_option["value"], _from(of_option)) == ("/from/option", [("flag", f"--{key}")])
    assert [each["kind"] for each in of_file["overrules"]] == usual
    assert [each["kind"] for each in of_variable["overrules"]] == ["file", *usual]
    assert [each["kind"] for each in of_option["overrules"]] == ["variable", "file", *usual]
    assert of_option["overrules"][0]["value"] == "/from/variable"


def test_usual_places_are_defaults(line: CommandLine) -> None:
    """./rules and ./inventory.yaml count where nothing names others, and are said to be defaults."""
    line.write_repository()

    settings = _settings(line)

    assert (settings["rules"]["value"], _from(settings["rules"])) == ("rules", [("default", "./rules")])
    assert _from(settings["inventory"]) == [("default", "./inventory.yaml")]


def test_text_names_file_and_line(line: CommandLine) -> None:
    """In the table every value of remedy.yaml has its file and line, also from a folder below."""
    (line.directory / "remedy.yaml").write_text(_FILE)
    below = line.directory / "below"
    below.mkdir()

    here = line.remedy("config")
    line.directory = below
    there = line.remedy("config")

    rows = {text.split()[0]: text for text in here.out.splitlines()}
    assert re.search(r"^protected +db-1 +remedy\.yaml:5 +-$", rows["protected"])
    assert re.search(r"20/24h +remedy\.yaml:6 ", rows["budgets.per_rule"])
    assert "reason: year end} " in rows["freezes[0]"]
    assert "remedy.yaml:9" in rows["freezes[1]"]
    assert "r (not there)" in rows["rules"]
    assert "s (not there yet)" in rows["state"]
    assert f"{below.parent}/remedy.yaml:5" in there.out


def test_path_that_leads_out_of_the_folder_is_shown_in_full(line: CommandLine) -> None:
    """A relative path means something only from here; one that leads elsewhere is said in full."""
    elsewhere = line.directory.parent

    settings = _settings(line, "-R", "../other/rules", "-i", "./hosts.txt", "--state", "sub/../../st")
    hosts = _settings(line, "-i", "web-1,../web-2,")

    assert settings["rules"]["value"] == str(elsewhere / "other" / "rules")
    assert settings["inventory"]["value"] == "hosts.txt"
    assert settings["state"]["value"] == str(elsewhere / "st")
    assert hosts["inventory"]["value"] == "web-1,../web-2,"


def test_safeguards_of_several_files_hold_together(line: CommandLine) -> None:
    """A budget that two files set is the stricter of both, and both are named; protected hosts of both are listed."""
    line.write_repository()
    other = line.directory / "elsewhere"
    other.mkdir()
    (line.directory / "rules").rename(other / "rules")
    (other / "remedy.yaml").write_text("protected: web-1\nbudgets: {per_rule: 5/7d}\n")
    (line.directory / "remedy.yaml").write_text(_FILE)

    done = line.remedy("config", "-R", "elsewhere/rules", "-i", "inventory.yaml", "-o", "json")

    settings = done.json["settings"]
    budget = next(each for each in settings if each["key"] == "budgets.per_rule")
    assert budget["value"] == "5/7d"
    assert _from(budget) == [("file", "remedy.yaml", 6), ("file", "elsewhere/remedy.yaml", 2)]
    assert "the stricter of 20/24h and 5/7d" in budget["note"]
    assert [each["value"] for each in settings if each["key"] == "protected"] == ["db-1", "web-1"]
    assert [each["file"] for each in done.json["files"] if each["is_there"]] == ["remedy.yaml", "elsewhere/remedy.yaml"]


def test_wrong_file_is_said_with_its_place(line: CommandLine) -> None:
    """A remedy.yaml with a mistake shows no settings, but the mistake with its line."""
    (line.directory / "remedy.yaml").write_text("rules: r\nstat: s\n")

    done = line.remedy("config")

    assert (done.code, done.out) == (1, "")
    assert "remedy.yaml:2:1: unknown key `stat`; did you mean `state`?" in done.err


@pytest.mark.parametrize("words", ["config", "inventory", "scan", "apply --dry-run", "why localhost"])
def test_mistyped_variable_is_warned_of_without_its_value(line: CommandLine, words: str) -> None:
    """A variable that resembles one of ours is named, with the right one; its value, maybe a secret, is not."""
    line.environment |= {"REMEDY_RULLES": "planted-1", "REMEDY_WEB_PASSWORD": "planted-2"}

    done = line.remedy(*words.split())

    assert "warning: REMEDY_RULLES is set, and no setting has that name; did you mean REMEDY_RULES?" in done.err
    assert "REMEDY_WEB_PASSWORD" not in done.err
    assert "planted" not in done.out + done.err


def test_nothing_is_read_or_made(line: CommandLine) -> None:
    """Neither the inventory on standard input nor the state directory is touched."""
    before = sorted(path.name for path in line.directory.iterdir())

    done = line.remedy("config", "-i", "-", "--state", "made")

    assert done.code == 0
    assert sorted(path.name for path in line.directory.iterdir()) == before


def _variables_in_code() -> Iterator[str]:
    """Yield the REMEDY_ variables that stand as texts of their own in the code of the command."""
    for path in Path(remedy.__file__).parent.rglob("*.py"):
        if "demo" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        if "REMEDY_" not in text:
            continue
        tree = ast.parse(text)
        exported = {id(each) for node in tree.body if _is_all(node) for each in ast.walk(node)}
        for node in ast.walk(tree):
            if id(node) not in exported and isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from re.findall(r"\AREMEDY_[A-Z_]+\Z", node.value)


def _is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def _options() -> Iterator[click.Option]:
    waiting: list[click.Command] = [typer.main.get_command(app)]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        yield from (each for each in command.params if each.param_type_name == "option")  # type: ignore[misc]


def test_every_variable_is_listed(line: CommandLine) -> None:
    """No REMEDY_ variable that the code reads, or an option names or has, is missing from the JSON or the text."""
    read = {name for name in _variables_in_code() if not _FOR_SCRIPTS.match(name)}
    of_options = {name for each in _options() for name in re.findall(r"REMEDY_[A-Z_]+", f"{each.help} {each.envvar}")}

    listed = {each["variable"]: each["setting"] for each in line.remedy("config", "-o", "json").json["variables"]}
    said = line.remedy("config").err

    assert len(list(_options())) > 30
    assert read == set(listed) == set(VARIABLES.values())
    assert of_options <= set(listed)
    assert {setting: name for name, setting in listed.items()} == dict(VARIABLES)
    assert all(name in said for name in listed)


_PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_example_of_the_page_is_what_is_printed(line: CommandLine) -> None:
    """The page's `remedy.yaml` and command give, line for line, what the page shows."""
    (file,) = re.findall(r"```yaml\n(# fragment\n.*?)```", _PAGE, re.DOTALL)
    ((command, shown),) = re.findall(r"```console\n\$ (.*?)\n(.*?)```", _PAGE, re.DOTALL)
    (line.directory / "remedy.yaml").write_text(file)

    done = line.shell(command.replace("remedy config", "$REMEDY config"))

    assert done.code == 0
    assert shown.splitlines() == done.out.splitlines()


def test_page_names_every_setting_and_variable() -> None:
    """docs/configuration.md has a row for each setting, with its option and its variable."""
    rows = {cells[0].strip(" `"): cells for cells in (text.strip("|").split("|") for text in _PAGE.splitlines())}

    assert set(_KEYS) <= set(rows)
    for key, variable in VARIABLES.items():
        assert variable in rows[key][2], key
        assert f"--{key}" in rows[key][1], key
    assert set(re.findall(r"REMEDY_[A-Z_]+", _PAGE)) == set(VARIABLES.values())


def test_help_has_an_example(line: CommandLine) -> None:
    """The help shows how it is typed."""
    assert re.search(r"^ +remedy config", line.remedy("config", "--help").out, re.MULTILINE)


def test_same_value_twice_overrules_nothing(line: CommandLine) -> None:
    """What names the same value as the one that holds is not overruled; another value is."""
    (line.directory / "rules").mkdir()
    (line.directory / "inventory.yaml").write_text("all: {hosts: {a: {}}}\n")
    (line.directory / "remedy.yaml").write_text("rules: ./rules\ninventory: inventory.yaml\n")

    same = _settings(line)
    other = _settings(line, "--inventory", "b,")

    assert (same["rules"]["overrules"], same["inventory"]["overrules"]) == ([], [])
    assert {each["value"] for each in other["inventory"]["overrules"]} == {"inventory.yaml"}
