"""Where the parameters of rules on one host are from: the rule's own default, or a line of the inventory."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from remedy.cli.composition import shown_path
from remedy.errors import Place, RemedyError
from remedy.load.config import Config
from remedy.load.inventory.assignments import host_assignments
from remedy.load.resolved import resolved_settings
from remedy.model import Host, Rule
from remedy.render.why import ParamOrigin

__all__ = ["param_origins"]


def param_origins(
    rules: Iterable[Rule], host: Host, config: Config, directory: Path
) -> Mapping[str, Mapping[str, ParamOrigin]]:
    """Return by rule and parameter who says its value on this host, and where; files are read again for the places."""
    chosen = [rule for rule in rules if rule.params]
    overridden = any(host.params.get(rule.name) for rule in chosen)
    said = _said_in_inventory(host, config, directory) if overridden else {}
    somewhere = ParamOrigin(of="inventory", name="", place=Place(file=str(config.inventory)))
    return {
        rule.name: {
            **_defaults(rule),
            **{name: said.get(_key(rule, name), somewhere) for name in host.params.get(rule.name, {})},
        }
        for rule in chosen
    }


def _key(rule: Rule, name: str) -> str:
    return f"remedy_params.{rule.name}.{name}"


def _defaults(rule: Rule) -> dict[str, ParamOrigin]:
    places = {name: ParamOrigin(of="rule", name=rule.name, place=rule.place) for name in rule.params}
    try:
        settings = resolved_settings(rule)
    except (RemedyError, OSError):
        return places  # The file has gone since; which file it was is known all the same.
    for setting in settings:
        name = setting.key.removeprefix("params.")
        if name in places and name != setting.key and setting.origin.place is not None:
            places[name] = ParamOrigin(of="rule", name=rule.name, place=setting.origin.place)
    return places


def _said_in_inventory(host: Host, config: Config, directory: Path) -> dict[str, ParamOrigin]:
    if config.inventory in (None, "-"):
        return {}
    named = str(config.inventory)
    source = str(shown_path(named, directory)) if Path(named).exists() else named
    try:
        assignments = host_assignments(source, host.name)
    except (RemedyError, OSError):
        return {}
    found: dict[str, ParamOrigin] = {}
    for each in assignments:
        of, _, name = each.owner.partition(" ")
        found[each.name] = ParamOrigin(of=of, name=name, place=each.place)
    return found
