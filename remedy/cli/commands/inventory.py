"""`remedy inventory`: the hosts as remedy understands them."""

from dataclasses import asdict
from pathlib import Path

from remedy.cli.caller import Caller, caller_now
from remedy.cli.composition import Options, load_hosts, load_rules, read_config, shown_path
from remedy.cli.console import Talk
from remedy.errors import NothingNamed, UsageError
from remedy.load.config import Config, mistyped_variables
from remedy.load.inventory import select
from remedy.load.inventory.assignments import Assignment, host_assignments
from remedy.model import Host, Transport
from remedy.render.tables import table
from remedy.run.collect import target_of
from remedy.text import counted

__all__ = ["run_inventory"]


def run_inventory(options: Options, *, host: str | None = None) -> int:
    """List the selected hosts, or say of one where each of its values is from; nobody is contacted."""
    if host is not None and options.limit is not None:
        raise UsageError("--host names one host, and --limit selects from all; give one of them")
    talk = Talk(as_json=options.output == "json")
    caller = caller_now()
    config = read_config(options, caller)
    for mistake in mistyped_variables(caller.environment):
        talk.say(f"warning: {mistake}")
    repository, _ = load_rules(config, caller.directory, guess=True)
    inventory, where = load_hosts(config, repository, caller.directory, guess=True)
    for warning in inventory.warnings:
        talk.say(f"warning: {warning}")
    if host is not None:
        assignments = _assignments(config, caller, host)
        return _say_assignments(talk, inventory.hosts[host], assignments, where)
    names = select(options.limit, inventory, what="--limit") if options.limit is not None else tuple(inventory.hosts)
    if not names:
        raise NothingNamed("no host is left; nobody was contacted")
    hosts = [inventory.hosts[name] for name in names]
    if talk.as_json:
        talk.result_json({"inventory": 1, "source": where, "hosts": [_host_json(host) for host in hosts]})
        return 0
    rows = [(host.name, host.platform.value, host.transport.value, _way(host), " ".join(host.groups)) for host in hosts]
    talk.result([table(("host", "platform", "transport", "way in", "groups"), rows)])
    talk.say(f"{len(hosts)} of {counted(len(inventory.hosts), 'host')} of {where}; nobody was contacted")
    return 0


def _assignments(config: Config, caller: Caller, host: str) -> tuple[Assignment, ...]:
    if config.inventory == "-":
        raise UsageError("--host says where values stand in files, and standard input is none; name the file with -i")
    named = config.inventory or "localhost,"
    is_path = Path(named).exists()
    return host_assignments(str(shown_path(named, caller.directory)) if is_path else named, host)


def _say_assignments(talk: Talk, host: Host, assignments: tuple[Assignment, ...], where: str) -> int:
    if talk.as_json:
        variables = [_assignment_json(assignment) for assignment in assignments]
        talk.result_json({"inventory": 1, "source": where, "hosts": [_host_json(host)], "variables": variables})
        return 0
    heads = ("variable", "value", "of", "where", "overrides")
    rows = [
        (each.name, each.value, each.owner, str(each.place), " ".join(str(place) for place in each.overrides))
        for each in assignments
    ]
    talk.result([table(heads, rows)] if rows else [])
    talk.say(f"{host.name}: {host.platform.value}, {host.transport.value}, {_way(host)}; {where}; nobody was contacted")
    return 0


def _assignment_json(assignment: Assignment) -> dict[str, object]:
    return {
        "variable": assignment.name,
        "value": assignment.value,
        "of": assignment.owner,
        "file": assignment.place.file,
        "line": assignment.place.line,
        "column": assignment.place.column,
        "overrides": [str(place) for place in assignment.overrides],
    }


def _way(host: Host) -> str:
    if host.connection.barred:
        return f"barred: {host.connection.barred}"
    if host.transport is Transport.LOCAL:
        return "this machine"
    connection = host.connection
    user = f"{connection.user}@" if connection.user else ""
    address = connection.address or host.name
    shown = f"[{address}]" if ":" in address and connection.port else address
    port = f":{connection.port}" if connection.port else ""
    winrm = connection.winrm
    login = f" by {winrm.auth.value} over {winrm.scheme}" if winrm is not None else ""
    return f"{user}{shown}{port}{login}"


def _host_json(host: Host) -> dict[str, object]:
    target = target_of(host)
    return {
        "host": host.name,
        "platform": host.platform.value,
        "transport": host.transport.value,
        "address": target.address,
        "port": target.port,
        "user": target.user,
        "shell": target.shell.value,
        "winrm": {**asdict(target.winrm), "auth": target.winrm.auth.value} if target.winrm is not None else None,
        "groups": list(host.groups),
        "barred": target.barred,
    }
