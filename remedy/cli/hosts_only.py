"""The inventory for commands that need hosts and no rules: broken rules, or none, are in nobody's way."""

from collections.abc import Collection, Iterator
from pathlib import Path

from remedy.cli.composition import load_hosts
from remedy.load.config import Config
from remedy.load.inventory import Inventory
from remedy.load.repository import Repository

__all__ = ["load_hosts_only"]

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
