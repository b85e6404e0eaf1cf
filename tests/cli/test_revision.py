"""The revision in the header: with a `+` when what is used differs from it, and only then."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from remedy.cli.caller import caller_now
from remedy.cli.composition import Options, load_hosts, load_rules, read_config
from tests.cli.command_line import CommandLine
from tests.cli.dry_runs import Checkout


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The repository with its variables, committed."""
    checkout = Checkout(CommandLine(tmp_path_factory.mktemp("revision")))
    checkout.write_all()
    checkout.write("group_vars/all.yaml", "a: 1\n")
    checkout.commit("variables")
    return checkout


def _dirty(checkout: Checkout) -> list[str]:
    """Return which lines of the header would have a `+`; that both have a revision is certain."""
    caller = replace(caller_now(), directory=checkout.root, environment={})
    config = read_config(Options(), caller)
    repository, rules = load_rules(config, checkout.root, guess=False)
    _, inventory = load_hosts(config, repository, checkout.root, guess=False)
    found = {"rules": rules, "inventory": inventory}
    assert all(re.search(r", git [0-9a-f]{10}\+?\)$", each) for each in found.values()), found
    return sorted(name for name, each in found.items() if each.endswith("+)"))


@pytest.mark.parametrize(
    ("changed", "marked"),
    [
        ("notes.txt", []),
        ("plan.json", []),
        ("rules/other/rule.yaml", ["rules"]),
        ("rules/new.sh", ["rules"]),
        ("inventory.yaml", ["inventory"]),
        ("group_vars/all.yaml", ["inventory"]),
        ("host_vars/here.yaml", ["inventory"]),
        ("remedy.yaml", ["inventory", "rules"]),
    ],
)
def test_revision_is_marked_by_what_is_used(
    committed: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str, marked: list[str]
) -> None:
    """Rules, inventory, the variables beside it and remedy.yaml count, tracked or not; other files do not."""
    checkout = committed.copied(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = checkout.root / changed
    checkout.write(changed, f"{path.read_text() if path.exists() else ''}# more\n")

    assert _dirty(checkout) == marked


def test_file_of_the_inventory_behind_a_link_counts(
    committed: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inventory that is a link is marked when the file that it leads to differs."""
    checkout = committed.copied(tmp_path)
    monkeypatch.chdir(tmp_path)
    checkout.git("mv", "inventory.yaml", "prod.yaml")
    (checkout.root / "inventory.yaml").symlink_to("prod.yaml")
    checkout.commit("a link")

    before = _dirty(checkout)
    checkout.append("prod.yaml")

    assert (before, _dirty(checkout)) == ([], ["inventory"])
