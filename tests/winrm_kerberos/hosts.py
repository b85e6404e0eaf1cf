"""Hosts that take tickets of Kerberos: over http with encrypted messages, and within TLS."""

import contextlib
from collections.abc import Iterator
from typing import Any

from remedy.port import Shell, Target, WinRM, WinRMAuth
from tests.winrm.certificates import Authority
from tests.winrm.server import WinRMServer
from tests.winrm.stand_in import stand_in
from tests.winrm.ways import HOST, Host, a_runner

__all__ = ["KERBEROS_WAYS", "kerberos_host"]

KERBEROS_WAYS = ("kerberos-http", "kerberos-tls")


@contextlib.contextmanager
def kerberos_host(way: str, authority: Authority, **more: Any) -> Iterator[Host]:
    """Start a server for a way, and say how it is reached: by name, since tickets are for names; without a password."""
    options: dict[str, Any] = {"tls": authority, "binds_channel": True} if way == "kerberos-tls" else {}
    settings: dict[str, Any] = {"scheme": "http"}
    if way == "kerberos-tls":
        settings = {"scheme": "https", "ca_file": str(authority.ca_file)}
    with WinRMServer(more.pop("stand_in", stand_in), kerberos=True, **options, **more) as server:
        yield Host(
            server=server,
            target=Target(
                name=HOST,
                address="localhost",
                port=server.port,
                user=server.user,
                shell=Shell.POWERSHELL,
                winrm=WinRM(auth=WinRMAuth.KERBEROS, **settings),
            ),
            runner=a_runner({}),
        )
