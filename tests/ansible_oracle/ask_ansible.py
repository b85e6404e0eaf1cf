"""
A program for tests: asks ansible-core what inventories and patterns mean.

Reads a JSON list of cases from standard input, each with a `source` and `patterns`;
prints for each what Ansible makes of it: hosts and groups in order, the variables
of every host, the hosts of every pattern; or why it fails. One process answers all,
for Ansible is slow to start.
"""

import json
import sys

from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.utils.display import Display
from ansible.vars.manager import VariableManager

MAGIC = {
    *constants.INTERNAL_STATIC_VARS,
    "ansible_config_file",
    "ansible_playbook_python",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "omit",
    "playbook_dir",
}


def answer(case: dict) -> dict:
    """Return what Ansible makes of one inventory and its patterns."""
    loader = DataLoader()
    try:
        inventory = InventoryManager(loader=loader, sources=[case["source"]])
        variables = VariableManager(loader=loader, inventory=inventory)
        return {
            "hosts": list(inventory.hosts),
            "groups": {name: [host.name for host in group.get_hosts()] for name, group in inventory.groups.items()},
            "variables": {
                name: {
                    key: value
                    for key, value in variables.get_vars(host=host, include_hostvars=False, stage="all").items()
                    if key not in MAGIC
                }
                for name, host in inventory.hosts.items()
            }
            if case["variables"]
            else {},
            "patterns": {pattern: named(inventory, pattern) for pattern in case["patterns"]},
        }
    except AnsibleError as exc:
        return {"error": str(exc)}


def named(inventory: InventoryManager, pattern: str) -> list | str:
    """Return the hosts that a pattern names, in Ansible's order, or why it fails."""
    try:
        return [host.name for host in inventory.get_hosts(pattern)]
    except AnsibleError as exc:
        return str(exc)


def silent(*_args: object, **_options: object) -> None:
    """Say nothing: what Ansible warns of is not asked."""


def main() -> None:
    """Answer all cases."""
    for name in ("warning", "error_as_warning", "deprecated", "display", "error"):
        setattr(Display, name, silent)
    init_plugin_loader()
    json.dump([answer(case) for case in json.load(sys.stdin)], sys.stdout, default=str)


if __name__ == "__main__":
    main()
