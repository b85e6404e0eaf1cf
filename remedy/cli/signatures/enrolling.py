"""`enroll`, which makes hosts known by their keys; nobody logs in."""

# ruff: noqa: D301 - \b is the help formatter's mark for lines that are not to be folded.

from typing import Annotated

import typer

from remedy.cli.completion import complete_host
from remedy.cli.options import InventoryOption, LimitOption, OutputOption, SSHConfigOption, options_of

__all__ = ["enroll"]

_Hosts = Annotated[
    list[str] | None,
    typer.Argument(metavar="HOST", help="Hosts of the inventory.", autocompletion=complete_host),
]
_From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="FILE", help="A known_hosts file that you trust: what it has of a host is recorded."
    ),
]
_Fingerprints = Annotated[
    list[str] | None,
    typer.Option(
        "--fingerprint", metavar="SHA256:…", help="Of a key of the one host, as its owner says (may be repeated)."
    ),
]


def enroll(
    hosts: _Hosts = None,
    inventory: InventoryOption = None,
    limit: LimitOption = None,
    source: _From = None,
    fingerprint: _Fingerprints = None,
    ssh_config: SSHConfigOption = None,
    output: OutputOption = "text",
) -> int:
    """
    Show the host keys of hosts, and record them once they are confirmed.

    A person confirms on a terminal, after comparing fingerprints; elsewhere --from or --fingerprint does.
    Nothing accepts a key unseen, and a known key is never replaced.

    Without either, the keys are shown and nothing is recorded (exit code 4). A key that changed is 3.

    \b
      remedy enroll web-3
      remedy enroll -l 'web:!web-3' --from keys-from-the-installer
      remedy enroll web-3 --fingerprint SHA256:uNiVztksCsDhcc0u9e8BrDX+JkqDMAhpJ0kYjvrAqhA
    """
    from remedy.cli.commands.enroll import run_enroll

    options = options_of(inventory=inventory, limit=limit, ssh_config=ssh_config, output=output)
    return run_enroll(options, hosts or [], source=source, fingerprints=fingerprint or [])
