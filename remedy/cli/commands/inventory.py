"""`remedy inventory`: the hosts as remedy understands them."""

from dataclasses import asdict

from remedy.cli.caller import caller_now
from remedy.cli.composition import Options, load_hosts, load_rules, read_config
from remedy.cli.console import Talk
from remedy.errors import NothingNamed
from remedy.load.inventory import select
from remedy.model import Host, Transport
from remedy.render.tables import table
from remedy.run.collect import target_of

__all__ = ["run_inventory"]


def run_inventory(options: Options) -> int:
    """List the selected hosts; nobody is contacted."""
    talk = Talk(as_json=options.output == "json")
    caller = caller_now()
    config = read_config(options, caller)
    repository, _ = load_rules(config, caller.directory, guess=True)
    inventory, where = load_hosts(config, repository, caller.directory, guess=True)
    for warning in inventory.warnings:
        talk.say(f"warning: {warning}")
    names = select(options.limit, inventory, what="--limit") if options.limit is not None else tuple(inventory.hosts)
    if not names:
        raise NothingNamed("no host is left; nobody was contacted")
    hosts = [inventory.hosts[name] for name in names]
    if talk.as_json:
        talk.result_json({"inventory": 1, "source": where, "hosts": [_host_json(host) for host in hosts]})
        return 0
    rows = [(host.name, host.platform.value, host.transport.value, _way(host), " ".join(host.groups)) for host in hosts]
    talk.result([table(("host", "platform", "transport", "way in", "groups"), rows)])
    talk.say(f"{len(hosts)} of {len(inventory.hosts)} hosts of {where}; nobody was contacted")
    return 0


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
