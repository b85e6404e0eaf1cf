"""The inventory for commands that need hosts and no rules: broken rules, or none, are in nobody's way."""

from collections.abc import Collection, Iterator
from pathlib import Path

from remedy.cli.composition import load_hosts, shown_path
from remedy.errors import UsageError
from remedy.load.config import Config
from remedy.load.inventory import Inventory, load_inventory
from remedy.load.repository import Repository

__all__ = ["load_hosts_only", "load_hosts_quietly"]

_NO_RULES = Repository(rules={}, signals={}, root="", warnings=())


class _Everything(Collection[str]):
    """The names of all rules and signals there may be: parameters for them are not looked at."""

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def load_hosts_only(config: Config, directory: Path) -> tuple[Inventory, str]:
    """
    Return the inventory without anybody's parameters, and the header's words for where it is from.

    Raises:
        UsageError: no inventory is named.
        FilesError: problems in the inventory.
    """
    return load_hosts(config, _NO_RULES, directory, guess=False, untyped=_Everything())


def load_hosts_quietly(config: Config, repository: Repository | None, directory: Path) -> Inventory:
    """
    Return the inventory, with the parameters of these rules (None: nobody's); no process is started for its revision.

    Raises:
        UsageError: no inventory is named, or what is named does not exist.
        FilesError: problems in the inventory.
    """
    if config.inventory in (None, "-"):
        raise UsageError("no inventory is named that could be read again")
    named = str(config.inventory)
    source = str(shown_path(named, directory)) if Path(named).exists() else named
    if repository is None:
        return load_inventory(source, types={}, untyped=_Everything())
    of_rules = {name: rule.params for name, rule in repository.rules.items()}
    of_signals = {name: signal.params for name, signal in repository.signals.items()}
    return load_inventory(source, types={**of_rules, **of_signals})
