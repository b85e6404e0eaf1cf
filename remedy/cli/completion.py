"""What a shell may complete: names of rules and hosts, as far as they can be read without a word."""

import os
from pathlib import Path

__all__ = ["complete_group", "complete_host", "complete_rule", "complete_schema"]


def complete_rule(incomplete: str) -> list[str]:
    """Return the rules whose name begins like this."""
    rules, _, _ = _names()
    return [name for name in rules if name.startswith(incomplete)]


def complete_host(incomplete: str) -> list[str]:
    """Return the hosts whose name begins like this."""
    _, hosts, _ = _names()
    return [name for name in hosts if name.startswith(incomplete)]


def complete_group(incomplete: str) -> list[str]:
    """Return the groups whose name begins like this."""
    _, _, groups = _names()
    return [name for name in groups if name.startswith(incomplete)]


def complete_schema(incomplete: str) -> list[str]:
    """Return the kinds of files that begin like this; after a kind and a dot, its keys."""
    from remedy.load.schema import SCHEMA_KINDS, load_schema
    from remedy.render.schema import schema_keys

    kind, dot, _ = incomplete.partition(".")
    if not dot or kind not in SCHEMA_KINDS:
        return [name for name in SCHEMA_KINDS if name.startswith(incomplete)]
    paths = [f"{kind}.{key.path.replace('[]', '')}" for key in schema_keys(load_schema(kind))]
    return [path for path in paths if path.startswith(incomplete)]


def _names() -> tuple[list[str], list[str], list[str]]:
    from remedy.errors import RemedyError
    from remedy.load.config import load_config
    from remedy.load.inventory import load_inventory
    from remedy.load.repository import load_repository, starter_rules

    try:
        config = load_config(Path.cwd(), environment=dict(os.environ))
        repository = load_repository(config.rules or starter_rules())
        types = {name: rule.params for name, rule in repository.rules.items()}
        types.update({name: signal.params for name, signal in repository.signals.items()})
        source = config.inventory if config.inventory not in (None, "-") else "localhost,"
        inventory = load_inventory(source or "localhost,", types=types)
        return sorted(repository.rules), sorted(inventory.hosts), sorted(inventory.groups)
    except (RemedyError, OSError):
        # A message in the middle of a half-typed line would only be in the way.
        return [], [], []
