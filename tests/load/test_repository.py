"""A repository: defaults, digests, and the problems of all files together."""

import shutil
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from remedy.errors import FilesError, Place
from remedy.limits import Limit, WaveShare
from remedy.load import load_repository, starter_rules
from remedy.load.repository import survey_repository
from remedy.model import (
    Column,
    ColumnType,
    Mode,
    Platform,
    Risk,
    RowPromise,
    RuleLimits,
    RuleRollout,
    VerifyLater,
    VerifyUntil,
)
from remedy.schedule import ChangeWindow
from tests.load.tables import BASE

_WINDOWS = (
    "change_windows:\n"
    '  - {days: [sun, sat], from: "22:00", to: "04:00", zone: Europe/Berlin}\n'
    '  - {days: [mon], from: "00:00", to: "24:00", zone: UTC}'
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the base repository."""
    return Path(shutil.copytree(BASE, tmp_path / "rules"))


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def _said(root: Path) -> list[str]:
    with pytest.raises(FilesError) as caught:
        load_repository(root)
    return str(caught.value).replace(f"{root}/", "").splitlines()


def test_rule_has_the_defaults_of_the_design(root: Path) -> None:
    """What a rule leaves out has the values of the design's example."""
    rule = load_repository(root).rules["low-disk"]

    assert rule.limits == RuleLimits(
        cooldown_s=6 * 3600, attempts=3, attempts_within_s=7 * 86_400, matched=Limit(count=5, percent=20.0)
    )
    assert rule.rollout == RuleRollout(
        waves=(WaveShare(count=1), WaveShare(percent=10.0), WaveShare(percent=100.0)),
        soak_s=300,
        concurrency=20,
        max_bad=Limit(count=0),
        max_unreachable=Limit(count=1, percent=10.0),
    )
    assert isinstance(rule.verify, VerifyUntil)
    assert (rule.verify.settle_s, rule.verify.within_s) == (10, 120)
    assert (rule.mode, rule.risk, rule.tags, rule.exempt) == (Mode.FIX, Risk.SAFE, (), ())
    assert rule.params == {"below_percent": 10.0, "below_gib": 20.0}
    assert rule.place == Place(file=str(root / "low-disk/rule.yaml"), line=1, column=1)
    assert rule.hosts_place == Place(file=str(root / "low-disk/rule.yaml"), line=6, column=8)


@pytest.mark.parametrize(("risk", "concurrency"), [("safe", 20), ("disruptive", 1), ("destructive", 1)])
def test_concurrency_depends_on_risk(root: Path, risk: str, concurrency: int) -> None:
    """Fixes that may hurt run on one host at a time unless the rule says otherwise."""
    _change(root / "low-disk/rule.yaml", "risk: safe", f"risk: {risk}")

    assert load_repository(root).rules["low-disk"].rollout.concurrency == concurrency


def test_rule_that_observes_needs_no_fix(root: Path) -> None:
    """A rule with mode observe has no fix, the least risk, and nothing to verify."""
    rule = load_repository(root).rules["long-up"]

    assert (rule.mode, rule.risk, dict(rule.fix)) == (Mode.OBSERVE, Risk.SAFE, {})
    assert isinstance(rule.verify, VerifyLater)


def test_rule_values_are_taken_as_written(root: Path) -> None:
    """What a rule says wins over every default."""
    _change(
        root / "low-disk/rule.yaml",
        "risk: safe",
        "risk: disruptive\ntags: [b, a]\n"
        "limits: {cooldown: 1h, attempts: {count: 1, within: 2d}, matched: 3}\n"
        "rollout: {waves: [2, 50%], soak: 1m, concurrency: 7, max_bad: 5%, max_unreachable: 0, seed: s}\n"
        "exempt: [{hosts: 'a*', where: mount = '/x', reason: because, until: 2027-03-31}]",
    )

    rule = load_repository(root).rules["low-disk"]

    assert rule.tags == ("a", "b")
    assert rule.limits == RuleLimits(cooldown_s=3600, attempts=1, attempts_within_s=2 * 86_400, matched=Limit(count=3))
    assert rule.rollout == RuleRollout(
        waves=(WaveShare(count=2), WaveShare(percent=50.0)),
        soak_s=60,
        concurrency=7,
        max_bad=Limit(percent=5.0),
        max_unreachable=Limit(count=0),
        seed="s",
    )
    [exemption] = rule.exempt
    assert (exemption.hosts, exemption.reason, exemption.until) == ("a*", "because", date(2027, 3, 31))
    assert exemption.where is not None
    assert exemption.where.text == "mount = '/x'"


def test_signal_is_typed(root: Path) -> None:
    """A signal has its columns with units, its key, its promise of rows and its defaults."""
    signals = load_repository(root).signals
    disk, reboot = signals["disk"], signals["reboot"]

    assert disk.columns["free_gib"] == Column(type=ColumnType.NUMBER, unit="GiB")
    assert disk.columns["mount"] == Column(type=ColumnType.TEXT)
    assert (disk.key, disk.rows, disk.max_age_s, disk.params) == (("mount",), RowPromise.SOME, 900, {"mounts": ()})
    assert (reboot.key, reboot.rows, reboot.max_age_s) == ((), RowPromise.ONE, 900)


def test_condition_may_read_only_other_signals_with_one_row(root: Path) -> None:
    """A rule may read `reboot.pending`; a signal with a row per volume cannot be read from outside."""
    rule = root / "low-disk/rule.yaml"
    _change(rule, "when: ", "when: not reboot.pending and ")
    good = load_repository(root).rules["low-disk"].when.other_signals
    _change(root / "long-up/rule.yaml", "when: uptime_days > 30", "when: disk.free_percent > 30")

    assert good == ("reboot",)
    assert [line.split(" ")[0] for line in _said(root)] == ["long-up/rule.yaml:8:7:"]


def test_problems_of_all_files_come_together(root: Path) -> None:
    """One load names the mistakes of every file, in the order of their places."""
    _change(root / "low-disk/rule.yaml", "risk: safe", "risk: sfe")
    _change(root / "long-up/rule.yaml", "uptime_days", "uptime_day")
    _change(root / "signals/reboot/signal.yaml", "title: ", "titel: ")
    (root / "low-disk/clean.sh").unlink()

    assert [line.split(" ")[0] for line in _said(root)] == [
        "low-disk/rule.yaml:11:19:",
        "low-disk/rule.yaml:13:7:",
        "signals/reboot/signal.yaml:2:1:",
    ]


def test_broken_signal_is_not_reported_by_its_rules_again(root: Path) -> None:
    """A rule over a signal that does not load adds no problem of its own about it."""
    _change(root / "signals/reboot/signal.yaml", "title: ", "titel: ")

    assert all(line.startswith("signals/reboot/") for line in _said(root))


def test_rule_and_signal_may_not_share_a_name(root: Path) -> None:
    """The keys of remedy_params name rules and signals, so no name may stand for both."""
    shutil.copytree(root / "long-up", root / "reboot")
    _change(root / "reboot/rule.yaml", "rule: long-up", "rule: reboot")

    assert _said(root) == ["reboot: a rule and a signal are both named 'reboot'; rename one of them"]


@pytest.mark.parametrize("name", ["Low", "1low", "low_disk", "x" * 64])
def test_folder_that_cannot_name_a_rule_is_refused(root: Path, name: str) -> None:
    """A rule's folder has a name of lower-case letters, digits and '-'."""
    (root / "low-disk").rename(root / name)

    assert _said(root)[0].startswith(f"{name}: '{name}' cannot name a rule; rename the folder")


def test_other_suffix_is_named(root: Path) -> None:
    """A rule.yml is an error with its cure, not a folder that is silently not read."""
    (root / "low-disk/rule.yaml").rename(root / "low-disk/rule.yml")
    (root / "signals/reboot/signal.yaml").rename(root / "signals/reboot/signal.yml")

    assert _said(root) == [
        "low-disk/rule.yml: is not read by this name; rename it to rule.yaml",
        "signals/reboot/signal.yml: is not read by this name; rename it to signal.yaml",
    ]


def test_folder_without_rule_is_a_warning(root: Path) -> None:
    """A folder without rule.yaml is said, hidden folders and files are not."""
    (root / "docs").mkdir()
    (root / ".git").mkdir()
    (root / "README.md").write_text("x")

    assert [str(problem) for problem in load_repository(root).warnings] == [
        f"{root}/docs: holds no rule.yaml and is not read; add it, or move the folder away"
    ]


def test_signal_folder_without_signal_is_refused(root: Path) -> None:
    """A folder under signals/ must be a signal."""
    (root / "signals/empty").mkdir()

    assert _said(root) == ["signals/empty: holds no signal.yaml; add it, or move the folder away"]


def test_expired_exemption_is_a_warning_from_the_day_after(root: Path) -> None:
    """An exemption holds through its last day and is warned about afterwards."""
    _change(root / "low-disk/rule.yaml", "risk: safe", "risk: safe\nexempt: [{hosts: a, reason: b, until: 2027-03-31}]")

    on_the_day = load_repository(root, today=date(2027, 3, 31)).warnings
    after = load_repository(root, today=date(2027, 4, 1)).warnings

    assert on_the_day == ()
    assert [problem.message for problem in after] == ["exempt[0]: ended on 2027-03-31, so a is no longer exempt"]


@pytest.mark.parametrize("make", [False, True])
def test_folder_without_rules_is_refused(tmp_path: Path, make: bool) -> None:
    """A missing or empty rules folder is an error, never an empty set of rules."""
    if make:
        (tmp_path / "rules").mkdir()

    with pytest.raises(FilesError, match="holds no rule" if make else "there is no such folder"):
        load_repository(tmp_path / "rules")


def test_digest_does_not_depend_on_path_or_order(root: Path, tmp_path: Path) -> None:
    """Moved elsewhere, with other key order, comments and notation, rules and signals have the same digests."""
    before = load_repository(root)
    moved = root.rename(tmp_path / "elsewhere")
    for file in [*moved.glob("*/rule.yaml"), *moved.glob("signals/*/signal.yaml")]:
        _reverse_keys(file)
    _change(moved / "low-disk/rule.yaml", "{below_percent: 10, below_gib: 20}", "{below_gib: 20, below_percent: 10.0}")
    _change(moved / "low-disk/rule.yaml", "risk: safe", "risk: safe\nlimits: {cooldown: 360m}")

    after = load_repository(moved)

    assert {name: rule.digest for name, rule in after.rules.items()} == {
        name: rule.digest for name, rule in before.rules.items()
    }
    assert {name: signal.digest for name, signal in after.signals.items()} == {
        name: signal.digest for name, signal in before.signals.items()
    }


def _reverse_keys(file: Path) -> None:
    """Write the top-level keys of a file in reverse order, each with what is below it."""
    blocks: list[str] = []
    for line in file.read_text().splitlines(keepends=True):
        if line.startswith(" "):
            blocks[-1] += line
        else:
            blocks.append(line)
    file.write_text("# reversed\n" + "".join(reversed(blocks)))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("low-disk/rule.yaml", "below_percent: 10", "below_percent: 11"),
        ("low-disk/rule.yaml", "hosts: all", "hosts: web"),
        ("low-disk/rule.yaml", "within: 2m", "within: 3m"),
        ("low-disk/rule.yaml", "timeout: 5m", "timeout: 6m"),
        ("low-disk/rule.yaml", "become: root, ", ""),
        ("low-disk/rule.yaml", "risk: safe", "risk: safe\nlimits: {matched: 5}"),
        ("low-disk/rule.yaml", "risk: safe", "risk: safe\nrollout: {soak: 6m}"),
        ("low-disk/rule.yaml", "risk: safe", f"risk: safe\n{_WINDOWS}"),
        ("low-disk/clean.sh", "cleaned", "Cleaned"),
        ("low-disk/clean.ps1", "cleaned", "Cleaned"),
    ],
)
def test_digest_of_rule_changes_with_every_value(root: Path, file: str, old: str, new: str) -> None:
    """Any resolved value and any byte of a script is part of a rule's digest, and of no other rule's."""
    before = load_repository(root)
    _change(root / file, old, new)

    after = load_repository(root)

    assert after.rules["low-disk"].digest != before.rules["low-disk"].digest
    assert after.rules["long-up"].digest == before.rules["long-up"].digest
    assert after.signals["disk"].digest == before.signals["disk"].digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sun, sat", "sun"),
        ("22:00", "22:01"),
        ("04:00", "04:01"),
        ("Europe/Berlin", "Europe/Paris"),
        ('  - {days: [mon], from: "00:00", to: "24:00", zone: UTC}', ""),
    ],
)
def test_digest_of_rule_covers_all_of_its_windows(root: Path, old: str, new: str) -> None:
    """A window moved by a minute, a day, a zone with the same clock, or taken away is another rule."""
    _change(root / "low-disk/rule.yaml", "risk: safe", f"risk: safe\n{_WINDOWS}")
    before = load_repository(root).rules["low-disk"].digest
    _change(root / "low-disk/rule.yaml", old, new)

    assert load_repository(root).rules["low-disk"].digest != before


def test_no_windows_are_no_value(root: Path) -> None:
    """An empty list of windows is none: the digest, and the attempts that hang on it, are those without the key."""
    before = load_repository(root).rules["low-disk"].digest
    _change(root / "low-disk/rule.yaml", "risk: safe", "risk: safe\nchange_windows: []")
    rule = load_repository(root).rules["low-disk"]

    assert rule.change_windows == ()
    assert rule.digest == before
    # As it was before there were windows; it changes with the files in tests/data/rules/base, and with nothing else.
    assert rule.digest == "3e203f8d671d609f6df74819836256fca4c3e12c57beff75d70568ac2a97cbde"


def test_windows_are_typed_values(root: Path) -> None:
    """Windows keep the order of the file; their days are sorted, Monday first, whatever the order they have there."""
    _change(root / "low-disk/rule.yaml", "risk: safe", f"risk: safe\n{_WINDOWS}")
    first, second = load_repository(root).rules["low-disk"].change_windows

    assert first == ChangeWindow(
        days=(5, 6), start_minute=1_320, end_minute=240, zone=ZoneInfo("Europe/Berlin"), zone_name="Europe/Berlin"
    )
    assert str(second) == "mon 00:00-24:00 UTC"


_SHORT = (
    "low-disk/rule.yaml:14:17: change_windows: the longest is {}, "
    "and the fix for windows may take 10m45s with its grace"
)
_TOUCHING = '{days: [sat], from: "22:00", to: "22:06", zone: UTC}, {days: [sun], from: "00:06", to: "00:12", zone: %s}'


@pytest.mark.parametrize(
    ("windows", "warned"),
    [
        ('{days: [sat], from: "22:00", to: "22:10", zone: UTC}', [_SHORT.format("10m")]),
        ('{days: [sat], from: "22:00", to: "22:11", zone: UTC}', []),
        (_TOUCHING % "UTC", [_SHORT.format("6m")]),
        (_TOUCHING % "Europe/Berlin", []),
    ],
)
def test_window_too_short_for_the_fix_is_warned_about(root: Path, windows: str, warned: list[str]) -> None:
    """A fix whose deadline fits into no window would never start; windows that touch count as one."""
    _change(root / "low-disk/rule.yaml", "risk: safe", f"risk: safe\nchange_windows: [{windows}]")

    assert [text.partition(": it never starts; ")[0] for text in _warned(root)] == warned


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("signal.yaml", "max_age: 15m", "max_age: 16m"),
        ("signal.yaml", "unit: percent", "unit: share"),
        ("signal.yaml", "rows: some", "rows: any"),
        ("signal.yaml", "mounts: []", "mounts: [/]"),
        ("signal.yaml", "timeout: 20s", "timeout: 21s"),
        ("linux.sh", "emit", " emit"),
    ],
)
def test_digest_of_signal_changes_with_every_value(root: Path, file: str, old: str, new: str) -> None:
    """Columns, parameters, rows, age and collectors' bytes are in a signal's digest, and so in those of its rules."""
    repository = load_repository(root)
    before, rule_before = repository.signals["disk"].digest, repository.rules["low-disk"].digest
    _change(root / "signals/disk" / file, old, new)

    after = load_repository(root)
    assert after.signals["disk"].digest != before
    assert after.rules["low-disk"].digest != rule_before


def test_starter_rules_are_found_and_load() -> None:
    """The starter rules of the checkout (or wheel) are found and have no problem."""
    repository = load_repository(starter_rules())

    assert sorted(repository.rules) == [
        "certificate-expiring",
        "expiring-password",
        "low-disk",
        "low-inodes",
        "service-stopped",
        "stale-reboot",
        "time-drift",
    ]
    assert repository.warnings == ()


def _warned(root: Path, today: date | None = None) -> list[str]:
    return [str(each).replace(f"{root}/", "") for each in load_repository(root, today=today).warnings]


def test_fix_for_windows_only_is_no_warning(root: Path) -> None:
    """A rule may mend one platform alone, whichever: hosts of the other are held, and a plan says so."""
    _change(root / "low-disk/rule.yaml", "  linux: {script: clean.sh, become: root, timeout: 5m}\n", "")

    assert set(load_repository(root).rules["low-disk"].fix) == {Platform.WINDOWS}
    assert _warned(root) == []


@pytest.mark.parametrize(
    ("file", "warning"),
    [
        ("low-disk/rule.yml", "is not read; rule.yaml beside it is; remove one of them"),
        ("low-disk/tests.yml", "is not read; tests.yaml beside it is; remove one of them"),
        ("long-up/tests.yml", "is not read; rename it to tests.yaml"),
        ("signals/disk/signal.yml", "is not read; signal.yaml beside it is; remove one of them"),
        ("low-disk/signal.yaml", "is not read; a signal is a folder with a signal.yaml in it, right below signals/"),
        ("rule.yml", "is not read; a rule is a folder with a rule.yaml in it, right below the rules folder"),
    ],
)
def test_file_that_looks_like_ours_and_is_not_read_is_a_warning(root: Path, file: str, warning: str) -> None:
    """No rule, signal or case is left out in silence because of its file's name or place."""
    (root / file).write_text("")

    assert _warned(root) == [f"{file}: {warning}"]


def test_expired_exemption_is_warned_about_at_its_own_place(root: Path) -> None:
    """The warning of an exemption that is over stands at its own hosts, and so does the loaded exemption."""
    exempt = "exempt:\n  - {hosts: web, reason: x, until: 2026-01-01}\nfix:\n"
    _change(root / "low-disk/rule.yaml", "fix:\n", exempt)
    (exemption,) = load_repository(root).rules["low-disk"].exempt

    assert exemption.hosts_place == Place(file=str(root / "low-disk/rule.yaml"), line=11, column=13)
    assert _warned(root, date(2026, 1, 2))[0].startswith("low-disk/rule.yaml:11:13: exempt[0]: ended on 2026-01-01")


def test_survey_counts_what_was_found_and_keeps_what_is_whole(root: Path) -> None:
    """One broken rule takes neither the other rule nor itself out of what was found."""
    _change(root / "low-disk/rule.yaml", "risk: safe", "risk: sfe")

    survey = survey_repository(root)

    assert (survey.rules_found, survey.signals_found) == ({"low-disk", "long-up"}, {"disk", "reboot"})
    assert set(survey.repository.rules) == {"long-up"}
    assert len(survey.problems) == 1


def test_folder_whose_folders_hold_no_rule_is_refused(tmp_path: Path) -> None:
    """A folder of folders without any rule.yaml is an error, not a repository of no rules."""
    (tmp_path / "rules" / "notes").mkdir(parents=True)

    assert _said(tmp_path / "rules") == [f"{tmp_path}/rules: holds no rule; a rule is a folder with a rule.yaml in it"]


def test_broken_signal_is_not_also_said_of_conditions_that_read_it(root: Path) -> None:
    """A condition on a signal that is there and broken says nothing of it: the signal's own mistake is enough."""
    _change(root / "low-disk/rule.yaml", "when: ", "when: reboot.uptime_days > 1 and ")
    _change(root / "signals/reboot/signal.yaml", "title: ", "titel: ")

    assert [line.split(" ")[0] for line in _said(root)] == ["signals/reboot/signal.yaml:2:1:"]
