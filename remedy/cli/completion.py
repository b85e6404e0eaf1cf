"""
What a shell may complete: names of rules, hosts, groups and runs, and words of options, read without a word.

Everything is by the metavar of an option or argument, so that a new command
completes like the others. A file that cannot be read completes nothing: a message
in the middle of a half-typed line would only be in the way.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

if TYPE_CHECKING:
    from remedy.load.config import Config

__all__ = [
    "COMPLETED",
    "CompletedCommand",
    "complete_group",
    "complete_host",
    "complete_rule",
    "complete_schema",
    "completer_of",
]

_RUNS_MAX = 50
"""So many runs are offered, the newest first."""

Given = Mapping[str, Any]
"""The options and arguments that stand on the line already, by their names."""


class CompletedCommand(TyperCommand):
    """A command whose options and arguments complete by their metavars, and whose help shows no types of Python."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        for param in self.params:
            # Else the help has `HOST <str>` and `PATH <list[str]>`: an argument's metavar says what it is.
            if param.param_type_name == "argument":
                setattr(param, "display_type_rich", _no_type)  # noqa: B010 - only typer's own arguments have it.
            names = completer_of(str(getattr(param, "metavar", None) or ""))
            if names is not None:
                param._custom_shell_complete = _shell_complete(names)  # noqa: SLF001 - typer has no other way in


def _no_type(ctx: Any) -> None:
    """Return no type to be shown beside the name of an argument."""


def _shell_complete(names: Callable[[str, Given], Iterable[str]]) -> Callable[[Any, Any, str], list[str]]:
    def complete(ctx: Any, _param: Any, incomplete: str) -> list[str]:
        try:
            return list(names(incomplete, ctx.params))
        except Exception:  # noqa: BLE001 - silent on purpose: nobody can read a message in a half-typed line.
            return []

    return complete


def completer_of(metavar: str) -> Callable[[str, Given], Iterable[str]] | None:
    """Return what completes a value with this metavar; None when nothing of ours does."""
    words = metavar.split("|")
    if len(words) > 1 and all(word.isalpha() and word.islower() for word in words):
        return lambda incomplete, _given: _beginning(words, incomplete)
    return COMPLETED.get(metavar)


def complete_rule(incomplete: str) -> list[str]:
    """Return the rules whose name begins like this."""
    return list(_rules(incomplete, {}))


def complete_host(incomplete: str) -> list[str]:
    """Return the hosts whose name begins like this."""
    return list(_hosts(incomplete, {}))


def complete_group(incomplete: str) -> list[str]:
    """Return the groups whose name begins like this."""
    return list(_groups(incomplete, {}))


def complete_schema(incomplete: str) -> list[str]:
    """Return the kinds of files that begin like this; after a kind and a dot, its keys."""
    from remedy.load.schema import SCHEMA_KINDS, load_schema
    from remedy.render.schema import schema_keys

    kind, dot, _ = incomplete.partition(".")
    if not dot or kind not in SCHEMA_KINDS:
        return _beginning(SCHEMA_KINDS, incomplete)
    return _beginning((f"{kind}.{key.path.replace('[]', '')}" for key in schema_keys(load_schema(kind))), incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _last_of_list(names: Iterable[str], incomplete: str, *, before: str = ",", marks: str = "") -> list[str]:
    """Complete the last word of a list; what stands before it, with `!` or `&`, stays."""
    at = max(incomplete.rfind(each) for each in before) + 1
    while incomplete[at : at + 1] and incomplete[at] in marks:
        at += 1
    return [incomplete[:at] + name for name in _beginning(names, incomplete[at:])]


def _rules(incomplete: str, given: Given) -> list[str]:
    return _beginning(_folders_with(_rules_folder(given), "rule.yaml"), incomplete)


def _schema(incomplete: str, _given: Given) -> list[str]:
    return complete_schema(incomplete)


def _tags(incomplete: str, given: Given) -> list[str]:
    from remedy.load.repository import load_repository

    rules = load_repository(_rules_folder(given)).rules.values()
    return _beginning(sorted({tag for rule in rules for tag in rule.tags}), incomplete)


def _hosts(incomplete: str, given: Given) -> list[str]:
    return _beginning(_inventory_names(given)[0], incomplete)


def _groups(incomplete: str, given: Given) -> list[str]:
    return _beginning(_inventory_names(given)[1], incomplete)


def _pattern(incomplete: str, given: Given) -> list[str]:
    hosts, groups = _inventory_names(given)
    return _last_of_list([*groups, *hosts], incomplete, before=",:", marks="!&")


def _runs(incomplete: str, given: Given) -> list[str]:
    from remedy.state.directory import find_state

    home = Path(os.environ.get("HOME", "/"))
    flag = given.get("state")
    configured = None if flag or os.environ.get("REMEDY_STATE") else _config(given).state
    audit = find_state(flag, dict(os.environ), configured, home).path / "audit"
    return _beginning(sorted((path.stem for path in audit.glob("*.jsonl")), reverse=True)[:_RUNS_MAX], incomplete)


def _holds(incomplete: str, _given: Given) -> list[str]:
    from remedy.holds import LIFTED_BY_OVERRIDE

    return _beginning(sorted(hold.value for hold in LIFTED_BY_OVERRIDE), incomplete)


def _outcomes(incomplete: str, _given: Given) -> list[str]:
    from remedy.model import Outcome

    return _last_of_list([each.value for each in Outcome], incomplete)


def _commands(incomplete: str, _given: Given) -> list[str]:
    from remedy.cli.app import app

    commands = [each.name or "" for each in app.registered_commands]
    return _beginning([*commands, *(each.name or "" for each in app.registered_groups)], incomplete)


COMPLETED: Mapping[str, Callable[[str, Given], Iterable[str]]] = {
    "RULE": _rules,
    "TAG": _tags,
    "HOST": _hosts,
    "GROUP": _groups,
    "PATTERN": _pattern,
    "RUN": _runs,
    "HOLD": _holds,
    "WORDS": _outcomes,
    "KIND[.KEY]": _schema,
    "COMMAND": _commands,
}
"""What completes a value, by its metavar; files and folders are the shell's own matter."""


def _config(given: Given) -> "Config":
    from remedy.load.config import load_config

    return load_config(
        Path.cwd(),
        rules_flag=given.get("rules"),
        inventory_flag=given.get("inventory"),
        environment=dict(os.environ),
    )


def _rules_folder(given: Given) -> Path:
    from remedy.load.repository import starter_rules

    named = given.get("rules") if isinstance(given.get("rules"), str) else os.environ.get("REMEDY_RULES")
    return Path(named) if named else _config(given).rules or starter_rules()


def _folders_with(folder: Path, file: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if (Path(entry.path) / file).is_file())


def _inventory_names(given: Given) -> tuple[list[str], list[str]]:
    """Return hosts and groups, as they are written; a mistake elsewhere in the inventory is in nobody's way."""
    from remedy.errors import FilesError
    from remedy.load.inventory.graph import Graph
    from remedy.load.inventory.source import read_graph

    source = given.get("inventory") or os.environ.get("REMEDY_INVENTORY") or _config(given).inventory
    if source == "-":
        return [], []
    graph = Graph()
    with suppress(FilesError):
        read_graph(source or "localhost,", graph=graph)
    return sorted(graph.hosts), sorted(graph.groups)
