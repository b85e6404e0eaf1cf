"""Loading: rules, signals, scripts, inventory and settings, from files to typed values, strictly."""

from remedy.load.cases import Case, load_cases
from remedy.load.config import Config, load_config
from remedy.load.inventory import Inventory, load_inventory, select
from remedy.load.repository import Repository, load_repository, starter_rules
from remedy.load.safeguards import FreezesNow, read_safeguards

__all__ = [
    "Case",
    "Config",
    "FreezesNow",
    "Inventory",
    "Repository",
    "load_cases",
    "load_config",
    "load_inventory",
    "load_repository",
    "read_safeguards",
    "select",
    "starter_rules",
]
