"""Where rules, inventory and state come from, in order of precedence."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remedy.errors import FilesError, Place, UsageError
from remedy.limits import Budget
from remedy.load import Config, load_config
from remedy.load.config import state_alone
from remedy.safeguards import NO_SAFEGUARDS, Protected, Safeguards
from remedy.schedule import Freeze


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory with every place that can name something: above it a remedy.yaml, beside it the system's."""
    work = tmp_path / "repo" / "below"
    (work / "rules").mkdir(parents=True)
    (work / "inventory.yaml").write_text("all:\n")
    (tmp_path / "repo" / "remedy.yaml").write_text("rules: r\ninventory: i.yaml\nstate: s\n")
    (tmp_path / "system.yaml").write_text("rules: /sys/r\ninventory: /sys/i\nstate: /sys/s\n")
    return work


def _load(work: Path, *, environment: Mapping[str, str] | None = None, **flags: str) -> Config:
    return load_config(work, environment=environment or {}, system_file=work.parent.parent / "system.yaml", **flags)


_ENVIRONMENT = {"REMEDY_RULES": "/env/r", "REMEDY_INVENTORY": "/env/i", "REMEDY_STATE": "/env/s"}


def _named(config: Config) -> tuple[str, str, str, str, str, str]:
    return (
        str(config.rules),
        config.rules_named_by,
        str(config.inventory),
        config.inventory_named_by,
        str(config.state),
        config.state_named_by,
    )


def test_each_place_wins_over_the_next(work: Path) -> None:
    """Flags win over the environment, that over the nearest remedy.yaml, that over the system's, that over ./rules."""
    repo = work.parent
    flags = _load(work, environment=_ENVIRONMENT, rules_flag="/f/r", inventory_flag="/f/i", state_flag="/f/s")
    environment = _load(work, environment=_ENVIRONMENT)
    nearest = _load(work)
    (repo / "remedy.yaml").unlink()
    system = _load(work)
    (repo.parent / "system.yaml").unlink()
    usual = _load(work)

    near, far = str(repo / "remedy.yaml"), str(repo.parent / "system.yaml")
    assert _named(flags) == ("/f/r", "--rules", "/f/i", "--inventory", "/f/s", "--state")
    assert _named(environment) == ("/env/r", "REMEDY_RULES", "/env/i", "REMEDY_INVENTORY", "/env/s", "REMEDY_STATE")
    assert _named(nearest) == (str(repo / "r"), near, str(repo / "i.yaml"), near, str(repo / "s"), near)
    assert _named(system) == ("/sys/r", far, "/sys/i", far, "/sys/s", far)
    assert _named(usual) == (
        str(work / "rules"),
        "./rules",
        str(work / "inventory.yaml"),
        "./inventory.yaml",
        "None",
        "",
    )
    assert [config.config_file for config in (nearest, system, usual)] == [Path(near), Path(far), None]


def test_each_key_is_taken_from_the_first_that_names_it(work: Path) -> None:
    """A remedy.yaml that leaves a key out leaves it to the next place."""
    (work.parent / "remedy.yaml").write_text("rules: r\n")

    config = _load(work, environment={"REMEDY_STATE": "/env/s", "REMEDY_INVENTORY": ""})

    assert _named(config) == (
        str(work.parent / "r"),
        str(work.parent / "remedy.yaml"),
        "/sys/i",
        str(work.parent.parent / "system.yaml"),
        "/env/s",
        "REMEDY_STATE",
    )


def test_inventory_folder_is_found_when_there_is_no_file(tmp_path: Path) -> None:
    """./inventory/ stands in for ./inventory.yaml; where nothing is, nothing is named."""
    nothing = load_config(tmp_path, environment={}, system_file=tmp_path / "none")
    (tmp_path / "inventory").mkdir()
    folder = load_config(tmp_path, environment={}, system_file=tmp_path / "none")

    assert _named(nothing) == ("None", "", "None", "", "None", "")
    assert folder.inventory == str(tmp_path / "inventory")
    assert folder.inventory_named_by == "./inventory/"


def test_hosts_with_commas_are_no_path(tmp_path: Path) -> None:
    """`inventory: a,b` in remedy.yaml names hosts and is not made relative to the file."""
    (tmp_path / "remedy.yaml").write_text("inventory: a,b\n")

    assert load_config(tmp_path, environment={}, system_file=tmp_path / "none").inventory == "a,b"


def test_nearest_file_wins_alone(work: Path) -> None:
    """Only the nearest remedy.yaml upwards is read; one further up is not, even when it is broken."""
    (work / "remedy.yaml").write_text("rules: mine\n")
    (work.parent / "remedy.yaml").write_text("protected: all\n")

    assert _load(work).rules == work / "mine"


def test_freezes_that_cannot_be_read_stop_every_command_wherever_they_stand(work: Path) -> None:
    """A mistake in the safeguards of the system's file is an error, whatever the nearer files say."""
    (work.parent.parent / "system.yaml").write_text("freezes: [{from: 2026-12-23T00:00}]\n")

    with pytest.raises(FilesError, match="freezes\\[0\\]: the key `to` is missing"):
        _load(work, environment=_ENVIRONMENT)


def test_without_any_file_there_are_no_safeguards(tmp_path: Path) -> None:
    """Nothing is protected, budgeted or frozen where no remedy.yaml says so; one may still appear."""
    config = load_config(tmp_path, environment={}, system_file=tmp_path / "system.yaml")

    assert config.safeguards == NO_SAFEGUARDS
    assert (config.safeguard_files, config.safeguard_files_absent) == ((), (tmp_path / "system.yaml",))


def test_safeguards_are_those_of_the_nearest_file(work: Path) -> None:
    """Protected hosts, budgets and freezes come from the nearest remedy.yaml, typed, with the place of the pattern."""
    file = work.parent / "remedy.yaml"
    file.write_text(
        "budgets: {per_rule: 200/24h, all: 500/7d}\n"
        "protected: dc:!dc-test\n"
        "freezes: [{from: 2026-12-23T00:00, to: 2027-01-02T06:00:30, zone: Europe/Berlin, reason: year end}]\n"
    )

    config = _load(work)

    assert config.safeguards == Safeguards(
        protected=(Protected(hosts="dc:!dc-test", place=Place(file=str(file), line=2, column=12)),),
        per_rule=Budget(hosts=200, window_s=86_400),
        all_rules=Budget(hosts=500, window_s=7 * 86_400),
        freezes=(
            Freeze(
                start=datetime(2026, 12, 22, 23, tzinfo=UTC),
                end=datetime(2027, 1, 2, 5, 0, 30, tzinfo=UTC),
                reason="year end",
            ),
        ),
    )
    assert config.safeguard_files == (file, work.parent.parent / "system.yaml")
    assert config.safeguard_files_absent == ()


def test_safeguards_of_two_files_hold_together(work: Path) -> None:
    """What either file protects or freezes is protected or frozen, and of two budgets both are kept to."""
    freeze = "{{from: 2026-12-2{day}T00:00, to: 2027-01-02T06:00, zone: UTC, reason: x}}"
    (work.parent / "remedy.yaml").write_text(
        "protected: web:!web-1\nbudgets: {per_rule: 20/24h, all: 500/24h}\n"
        f"freezes: [{freeze.format(day=1)}, {freeze.format(day=2)}]\n"
    )
    (work.parent.parent / "system.yaml").write_text(
        f"protected: web-1\nbudgets: {{all: 300/24h}}\nfreezes: [{freeze.format(day=2)}, {freeze.format(day=3)}]\n"
    )

    safeguards = _load(work).safeguards

    assert [each.hosts for each in safeguards.protected] == ["web:!web-1", "web-1"]
    assert [freeze.start.day for freeze in safeguards.freezes] == [21, 22, 23]
    assert str(safeguards.per_rule) == "20/24h"
    assert str(safeguards.all_rules) == "300/24h"


def test_link_that_leads_nowhere_is_no_missing_file(tmp_path: Path) -> None:
    """A remedy.yaml whose link is broken may hold freezes: it is an error, not passed over."""
    (tmp_path / "system.yaml").symlink_to(tmp_path / "gone.yaml")

    with pytest.raises(UsageError, match=r"system\.yaml is a link that leads nowhere"):
        load_config(tmp_path, environment={}, system_file=tmp_path / "system.yaml")


def test_empty_flag_is_refused(work: Path) -> None:
    """A flag whose variable was empty is an error, not the next place in line."""
    with pytest.raises(UsageError, match="--rules is empty"):
        _load(work, rules_flag="")


def test_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A remedy.yaml that is a folder is an error, not passed over."""
    (tmp_path / "remedy.yaml").mkdir()

    with pytest.raises(UsageError, match="is no regular file"):
        load_config(tmp_path, environment={}, system_file=tmp_path / "none")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize(("owner", "mode"), [(54321, 0o644), (0, 0o646)])
def test_remedy_yaml_of_a_stranger_above_is_refused(tmp_path: Path, owner: int, mode: int) -> None:
    """A remedy.yaml above that another user owns or may write is refused; in the folder itself it is used."""
    (tmp_path / "below").mkdir()
    file = tmp_path / "remedy.yaml"
    file.write_text("rules: elsewhere\n")
    file.chmod(mode)
    os.chown(file, owner, owner)

    with pytest.raises(UsageError, match="belongs to user"):
        load_config(tmp_path / "below", environment={}, system_file=tmp_path / "none")
    assert load_config(tmp_path, environment={}, system_file=tmp_path / "none").rules == tmp_path / "elsewhere"


def test_tilde_is_the_callers_home(tmp_path: Path) -> None:
    """`~/` in remedy.yaml is the home of whoever calls, as in a shell."""
    (tmp_path / "remedy.yaml").write_text("rules: ~/rules\ninventory: ~/hosts.yaml\nstate: ~/state\n")
    config = load_config(tmp_path, environment={"HOME": "/home/anna"}, system_file=tmp_path / "none.yaml")

    assert (config.rules, config.inventory, config.state) == (
        Path("/home/anna/rules"),
        "/home/anna/hosts.yaml",
        Path("/home/anna/state"),
    )


@pytest.mark.parametrize("named", ["rules", "inventory"])
def test_safeguards_beside_the_rules_and_the_inventory_hold_from_everywhere(tmp_path: Path, named: str) -> None:
    """Whoever stands elsewhere and names rules or inventory by flag is bound by the remedy.yaml above them."""
    repository, elsewhere = tmp_path / "repository", tmp_path / "elsewhere"
    (repository / "rules").mkdir(parents=True)
    elsewhere.mkdir()
    (repository / "remedy.yaml").write_text("protected: db-1\nbudgets: {per_rule: 5/24h}\n")
    (repository / "inventory.yaml").write_text("all: {hosts: {db-1: }}\n")
    (elsewhere / "remedy.yaml").write_text("budgets: {per_rule: 9/24h}\n")
    place = {"rules": repository / "rules", "inventory": repository / "inventory.yaml"}[named]

    config = load_config(elsewhere, environment={}, system_file=tmp_path / "none", **{f"{named}_flag": str(place)})

    assert [each.hosts for each in config.safeguards.protected] == ["db-1"]
    assert str(config.safeguards.per_rule) == "5/24h"
    assert set(config.safeguard_files) == {elsewhere / "remedy.yaml", repository / "remedy.yaml"}


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("s", "{here}/s"),
        ("/srv/s", "/srv/s"),
        ("~/s", "/home/ann/s"),
        ("~bob/s", None),
        ("$HOME/s", None),
        ("' '", None),
    ],
)
def test_state_alone_is_named_only_by_a_path_that_is_filled_in(tmp_path: Path, named: str, found: str | None) -> None:
    """Where the rest of remedy.yaml is wrong, what only a shell would fill in names no directory to put STOP into."""
    (tmp_path / "remedy.yaml").write_text(f"state: {named}\nfreezes: tomorrow\n")

    state = state_alone(tmp_path, environment={"HOME": "/home/ann"})

    assert state == (None if found is None else found.format(here=tmp_path))
