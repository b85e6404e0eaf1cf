"""`remedy rules list` and `rules show`: which rules there are, and all that one of them means."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from remedy.load import load_repository, starter_rules
from remedy.load.resolved import resolved_settings
from remedy.load.schema import load_schema
from remedy.model import Rule
from remedy.origins import OriginKind
from remedy.render.rules import yaml_lines
from remedy.render.schema import schema_keys
from tests.cli.command_line import CommandLine

STARTER = sorted(path.parent.name for path in starter_rules().glob("*/rule.yaml"))
_FULL = """\
# A rule in which everything is said, and one thing twice as long as it need be.
rule: full
title: "A volume: nearly full # or so"
why: 'It is, no doubt, "trouble".'
owner: platform@example.org
tags: [disk, b-side]
mode: fix
hosts: web:&prod:!web-3
signal: disk
params: {below: 10.5, "on": true, word: "no", path: '/srv/a b', empty: ""}
when: >-
  free_percent < params.below
  and mount <> params.word
exempt:
  - {hosts: all, where: mount = '/archive', reason: full by design, until: 2099-03-31}
  - hosts: lab
    reason: "a lab: anything goes"
fix:
  linux: {script: clean.sh, become: root, timeout: 90s, needs_reboot_codes: [100, 101]}
  windows: {script: clean.ps1}
risk: destructive
verify: {until: free_percent >= params.below + 2, settle: 0s, within: 1h}
limits: {cooldown: 2d, attempts: {count: 2, within: 24h}, matched: 7}
rollout: {waves: [2, 33.5%, 100%], soak: 90m, concurrency: 3, max_bad: 1%, max_unreachable: [2, 5%], seed: "x: y"}
change_windows:
  - {days: [sun, sat], from: "22:00", to: "24:00", zone: Europe/Berlin}
  - {days: [wed], from: "00:00", to: "04:05", zone: UTC}
"""


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """The command line in an empty folder."""
    return CommandLine(tmp_path)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A folder of rules with the starter rules and one in which every key is given."""
    return _write_full(tmp_path / "rules")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Rule]:
    """The rules of such a folder, loaded once; nothing may write into it."""
    return load_repository(_write_full(tmp_path_factory.mktemp("loaded") / "rules")).rules


def _write_full(root: Path) -> Path:
    shutil.copytree(starter_rules(), root)
    (root / "full").mkdir()
    (root / "full" / "rule.yaml").write_text(_FULL)
    for script in ("clean.sh", "clean.ps1"):
        (root / "full" / script).write_text("exit 0\n")
    return root


def test_list_has_a_line_for_each_rule(line: CommandLine) -> None:
    """Without a repository the starter rules are listed in the order of their names, and stderr says whose they are."""
    done = line.remedy("rules", "list")

    assert done.code == 0
    assert done.out.splitlines()[0].split() == ["RULE", "MODE", "RISK", "HOSTS", "SIGNAL", "TAGS", "TITLE"]
    assert [each.split()[0] for each in done.out.splitlines()[1:]] == STARTER
    assert re.search(r"^low-disk +fix +safe +all +disk +disk +A volume is nearly full$", done.out, re.MULTILINE)
    assert f"{len(STARTER)} of {len(STARTER)} rules of the starter rules" in done.err


def test_list_as_json_says_the_same(line: CommandLine) -> None:
    """The JSON has every column of the table, with owner, platforms, digest and file."""
    line.write_repository()

    document = line.remedy("rules", "list", "-o", "json").json

    (rule,) = document["rules"]
    assert document["rules_list"] == 1
    assert document["source"] == "rules (rules)"
    assert {key: rule[key] for key in ("rule", "mode", "risk", "hosts", "signal", "tags", "title", "owner", "fix")} == {
        "rule": "flag-high",
        "mode": "observe",
        "risk": "safe",
        "hosts": "all",
        "signal": "flag",
        "tags": [],
        "title": "The planted number is high",
        "owner": "tests@example.org",
        "fix": [],
    }
    assert rule["digest"] == load_repository(line.directory / "rules").rules["flag-high"].digest
    assert rule["file"] == "rules/flag-high/rule.yaml"


def test_list_is_filtered_by_tag(line: CommandLine) -> None:
    """Only rules with one of the tags are listed; an unknown tag is exit 6 with the nearest one."""
    disk = line.remedy("rules", "list", "--tag", "disk", "--tag", "time", "-o", "json")
    unknown = line.remedy("rules", "list", "--tag", "disks")

    assert [rule["rule"] for rule in disk.json["rules"]] == ["low-disk", "low-inodes", "time-drift"]
    assert (unknown.code, unknown.out) == (6, "")
    assert "--tag disks: there is no such tag; disk?" in unknown.err


@pytest.mark.parametrize(("name", "near"), [("low-dsk", "low-disk"), ("disk", ""), ("LOW-DISK", "low-disk")])
def test_show_of_an_unknown_rule_names_the_nearest(line: CommandLine, name: str, near: str) -> None:
    """A rule that does not exist is exit 6, and the message offers what was probably meant."""
    done = line.remedy("rules", "show", name)

    assert (done.code, done.out) == (6, "")
    assert f"RULE {name}: there is no such rule" in done.err
    assert near in done.err


def test_broken_repository_is_not_listed(line: CommandLine) -> None:
    """With a mistake anywhere neither command shows half of the rules; the mistake has its place."""
    line.write_repository()
    rule = line.directory / "rules" / "flag-high" / "rule.yaml"
    rule.write_text(rule.read_text().replace("owner:", "ovner:"))

    listed, shown = line.remedy("rules", "list"), line.remedy("rules", "show", "flag-high")

    assert (listed.code, listed.out) == (shown.code, shown.out) == (1, "")
    assert "rules/flag-high/rule.yaml:4:1: unknown key `ovner`" in listed.err
    assert listed.err == shown.err


def test_shown_rule_is_the_rule(line: CommandLine, full: Path, loaded: Mapping[str, Rule]) -> None:
    """What `rules show` prints is a rule.yaml that means exactly the same, with no default left out."""
    shown = line.remedy("rules", "show", "full")

    (full / "full" / "rule.yaml").write_text(shown.out)
    after = load_repository(full).rules["full"]
    assert shown.code == 0
    assert after.resolved == loaded["full"].resolved
    assert after.digest == loaded["full"].digest


def test_all_values_of_any_rule_mean_that_rule(full: Path, loaded: Mapping[str, Rule]) -> None:
    """The resolved values of each rule, as they are printed, load as that rule again."""
    for name, rule in loaded.items():
        texts = [text for text, _ in yaml_lines(resolved_settings(rule))]
        (full / name / "rule.yaml").write_text("\n".join(texts))

    after = load_repository(full).rules

    assert {name: rule.digest for name, rule in after.items()} == {name: rule.digest for name, rule in loaded.items()}
    assert set(loaded) == {*STARTER, "full"}


def test_shown_rule_forgets_no_key(loaded: Mapping[str, Rule]) -> None:
    """Every key that a rule may have is shown, whether the file gives it or not."""
    keys = [key for key in schema_keys(load_schema("rule")) if "[]" not in key.path]
    containers = {key.path.rpartition(".")[0] for key in keys}
    elsewhere = {"fix.windows", "params", "params.NAME.secret", "exempt", "change_windows"}
    leaves = {key.path for key in keys} - containers - elsewhere

    for name in STARTER:
        shown = {setting.key for setting in resolved_settings(loaded[name])}
        has_fix, is_later = "fix" not in shown, "verify" in shown
        wanted = {leaf for leaf in leaves if has_fix or not leaf.startswith("fix.")}
        wanted = {leaf for leaf in wanted if not (is_later and leaf.startswith("verify."))}

        assert wanted <= shown, name


@pytest.mark.parametrize("name", [*STARTER, "full"])
def test_each_value_is_where_it_is_said_to_be(loaded: Mapping[str, Rule], name: str) -> None:
    """A value that is said to come from a line stands there, under its key; a default's key is not in the file."""
    lines = Path(loaded[name].place.file).read_text().splitlines()
    settings = resolved_settings(loaded[name])

    for setting in settings:
        key = re.sub(r"\[\d+\]", "", setting.key).rpartition(".")[2]
        if setting.origin.kind is OriginKind.FILE:
            place = setting.origin.place
            assert place is not None
            rest = lines[place.line - 1][place.column - 1 :]
            assert rest.removeprefix('"').startswith((f"{key}:", f'{key}":', "{", "hosts:")), setting
        else:
            assert not any(re.match(rf"{key}:", text) for text in lines), setting
    assert {setting.origin.kind for setting in settings} <= {OriginKind.FILE, OriginKind.DEFAULT}


def test_full_rule_has_no_default(loaded: Mapping[str, Rule]) -> None:
    """Of a rule that says everything, only what a Windows script left out is a default."""
    settings = resolved_settings(loaded["full"])

    defaults = {setting.key for setting in settings if setting.origin.kind is OriginKind.DEFAULT}
    assert defaults == {f"fix.windows.{key}" for key in ("become", "timeout", "needs_reboot_codes")}


def test_show_says_lines_and_defaults(line: CommandLine) -> None:
    """Beside each value stands its line or `default`; above them the file, the signal and its columns with units."""
    line.write_repository()

    shown = line.remedy("rules", "show", "flag-high")

    said = dict(re.findall(r"^ *(\S+): .*  # (.+)$", shown.out, re.MULTILINE))
    assert shown.out.startswith("# rules/flag-high/rule.yaml, digest ")
    assert "# signal flag: A number that a test planted; one row per host, at most 15m old" in shown.out
    assert "#   columns level (number)" in shown.out
    assert "# fix: no fix: the rule only observes" in shown.out
    assert {said[key] for key in ("cooldown", "waves", "risk", "verify", "seed", "matched")} == {"default"}
    assert (said["rule"], said["when"], said["above"]) == ("line 1", "line 9", "line 8")


def test_show_as_json_has_values_and_origins(line: CommandLine) -> None:
    """The JSON holds the rule as its file would, with all defaults, and the origin of each value by its dotted key."""
    line.write_repository()

    document = line.remedy("rules", "show", "flag-high", "-o", "json").json

    assert document["rules_show"] == 1
    assert document["rule"]["limits"] == {
        "cooldown": "6h",
        "attempts": {"count": 3, "within": "7d"},
        "matched": [5, "20%"],
    }
    assert document["rule"]["params"] == {"above": 5}
    assert document["rule"]["fix"] is None
    assert document["origins"]["limits.cooldown"] == {"kind": "default"}
    file = "rules/flag-high/rule.yaml"
    assert document["origins"]["params.above"] == {"kind": "file", "file": file, "line": 8, "column": 10}
    assert _flat(document["rule"]) == set(document["origins"])


def _flat(value: Any, path: str = "") -> set[str]:
    """Return the dotted keys of what is no mapping."""
    if isinstance(value, dict) and value:
        return {key for name, inner in value.items() for key in _flat(inner, f"{path}.{name}" if path else name)}
    return {path}


def test_lists_in_json_are_lists(line: CommandLine, full: Path) -> None:
    """Exemptions and windows are lists in the JSON, and each item has an origin of its own."""
    document = line.remedy("rules", "show", "full", "-o", "json").json

    assert [each["hosts"] for each in document["rule"]["exempt"]] == ["all", "lab"]
    assert [each["zone"] for each in document["rule"]["change_windows"]] == ["Europe/Berlin", "UTC"]
    assert document["origins"]["exempt[1]"]["line"] > document["origins"]["exempt[0]"]["line"]


def test_expired_exemption_is_a_warning(line: CommandLine, full: Path) -> None:
    """A warning of the rules is said on stderr, and the list is printed all the same."""
    rule = full / "full" / "rule.yaml"
    rule.write_text(rule.read_text().replace("2099-03-31", "2020-03-31"))

    done = line.remedy("rules", "list")

    assert done.code == 0
    assert "warning: rules/full/rule.yaml:" in done.err
    assert "full" in done.out


def test_keys_below_one_another_are_indented(loaded: Mapping[str, Rule]) -> None:
    """Each mapping is opened once, and a value stands two blanks deeper than the key above it."""
    texts = [text for text, _ in yaml_lines(resolved_settings(loaded["full"]))]

    assert texts.count("limits:") == texts.count("  attempts:") == texts.count("fix:") == 1
    assert texts[texts.index("  attempts:") + 1] == "    count: 2"
    assert json.dumps(texts).count("exempt:") == 1


@pytest.mark.parametrize("command", ["list", "show"])
def test_help_has_an_example(line: CommandLine, command: str) -> None:
    """The help of each shows how it is typed."""
    done = line.remedy("rules", command, "--help")

    assert done.code == 0
    assert re.search(rf"^ +remedy rules {command}", done.out, re.MULTILINE)
