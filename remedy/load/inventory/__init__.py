"""Inventories: hosts, groups, how each host is reached, and which of them a pattern names."""

from remedy.load.inventory.hosts import Inventory
from remedy.load.inventory.patterns import check_pattern, select
from remedy.load.inventory.source import load_inventory

__all__ = ["Inventory", "check_pattern", "load_inventory", "select"]
