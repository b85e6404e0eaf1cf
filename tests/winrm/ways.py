"""The ways to reach a host over WinRM, each with a loopback server whose program is the stand-in process."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from remedy.port import CollectJob, FixJob, Permit, Session, Shell, Target, WinRM, WinRMAuth
from remedy_runners.winrm.runner import WinRMRunner
from tests.behaviour.jobs import HOST, collect_job, permitted_fix
from tests.winrm.certificates import Authority
from tests.winrm.server import WinRMServer
from tests.winrm.stand_in import MACHINE_NAME, stand_in

__all__ = ["EXECUTION", "HOST", "WAYS", "Host", "a_collector", "a_fix", "host_over", "sockets_open"]

EXECUTION = "20261122T100000Z-0001-low-disk-web-1"
WAYS = ("ntlm-http", "certificate-tls", "basic-tls", "ntlm-tls")


@dataclass
class Host:
    """A server, a target that leads there, and a runner."""

    server: WinRMServer
    target: Target
    runner: WinRMRunner
    environment: dict[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Connect; afterwards nothing may be left: no shell, no process, no connection, nothing in clear text."""
        session = self.runner.connect(self.target)
        try:
            yield session
        finally:
            session.close()

    def with_settings(self, **settings: Any) -> None:
        """Change how the target is reached."""
        assert self.target.winrm is not None
        self.target = replace(self.target, winrm=replace(self.target.winrm, **settings))


@contextlib.contextmanager
def host_over(way: str, authority: Authority, **more: Any) -> Iterator[Host]:
    """Start a server for a way, and say how it is reached."""
    options: dict[str, Any] = {}
    settings: dict[str, Any] = {"scheme": "https", "ca_file": str(authority.ca_file)}
    match way:
        case "ntlm-http":
            settings = {"scheme": "http", "auth": WinRMAuth.NTLM, "computer_name": MACHINE_NAME.lower()}
        case "ntlm-tls":
            options = {"tls": authority, "binds_channel": True}
            settings |= {"auth": WinRMAuth.NTLM}
        case "basic-tls":
            options = {"tls": authority}
            settings |= {"auth": WinRMAuth.BASIC}
        case "certificate-tls":
            client = authority.client("remedy")
            options = {"tls": authority, "client_certificates": {client.fingerprint: "remedy"}}
            settings |= {
                "auth": WinRMAuth.CERTIFICATE,
                "certificate": str(client.file),
                "certificate_key": str(client.key_file),
            }
    with WinRMServer(more.pop("stand_in", stand_in), **options, **more) as server:
        environment = {"WINRM_PASSWORD": server.password}
        yield Host(
            server=server,
            target=Target(
                name=HOST,
                address=server.address,
                port=server.port,
                user=server.user,
                password="env:WINRM_PASSWORD",
                shell=Shell.POWERSHELL,
                winrm=WinRM(**settings),
            ),
            runner=a_runner(environment),
            environment=environment,
        )


def a_runner(environment: Mapping[str, str], **more: Any) -> WinRMRunner:
    """Return a runner that is quick to give up."""
    options: dict[str, Any] = {"home": Path("/nowhere"), "connect_timeout_s": 3, "room_waits_s": (0.1, 0.1), **more}
    return WinRMRunner(environment=environment, **options)


def a_fix(script: bytes = b"exit 0", *, timeout_s: int = 60, host: str = HOST) -> tuple[Permit, FixJob]:
    """Return a fix with the permit for it; always the same execution."""
    return permitted_fix(script, execution_id=EXECUTION, timeout_s=timeout_s, host=host)


def a_collector(script: bytes, *, signal: str = "s", timeout_s: int = 30) -> CollectJob:
    """Return a collector without columns."""
    return collect_job(script, signal=signal, timeout_s=timeout_s)


def sockets_open() -> int:
    """Return how many sockets this process has open."""
    return sum(_link(fd).startswith("socket:") for fd in Path("/proc/self/fd").iterdir())


def _link(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except FileNotFoundError:
        return ""
