"""How a Windows host is reached is part of a plan: what changes it, changes the digest, and is named."""

from dataclasses import fields, replace

import pytest

from remedy.errors import UsageError
from remedy.model import Connection, Host, Platform, Transport
from remedy.plan_document import plan_document
from remedy.plan_file import Standing, plan_file_text, plan_of_file
from remedy.port import Shell, WinRM, WinRMAuth
from remedy.precautions import NO_PRECAUTIONS
from tests.core.builders import SIGNALS, full, hosts, planned, rule, scope, script

_WINRM = WinRM(scheme="https", auth=WinRMAuth.NTLM)
_WINDOWS = Connection(port=5986, shell=Shell.POWERSHELL, winrm=_WINRM)
_RULE = rule(fix={Platform.LINUX: script(), Platform.WINDOWS: script(path="clean.ps1")})
_CHANGED: dict[str, tuple[object, str]] = {
    "scheme": ("http", '"http"'),
    "auth": (WinRMAuth.BASIC, '"basic"'),
    "path": ("/other", '"/other"'),
    "ca_file": ("/ca.pem", '"/ca.pem"'),
    "fingerprint": ("f" * 64, f'"{"f" * 64}"'),
    "certificate": ("/c.pem", '"/c.pem"'),
    "certificate_key": ("/k.pem", '"/k.pem"'),
    "machine_id": ("0a1b", '"0a1b"'),
    "computer_name": ("win-1", '"win-1"'),
}


def _members(connection: Connection = _WINDOWS, transport: Transport = Transport.WINRM) -> tuple[Host, ...]:
    windows = Host(name="win-1", platform=Platform.WINDOWS, transport=transport, connection=connection)
    return (*hosts("web-1"), windows)


def _standing(members: tuple[Host, ...]) -> Standing:
    return Standing(
        rules={"low-disk": _RULE},
        looks_at={"low-disk": frozenset(host.name for host in members)},
        signals=SIGNALS,
        hosts={host.name: host for host in members},
        precautions=NO_PRECAUTIONS,
    )


def test_plan_of_a_mixed_fleet_comes_back_from_its_file() -> None:
    """A plan with hosts of both kinds is a file, and the very same plan again."""
    made = planned([scope(_RULE, _members())], full("web-1", "win-1"))

    assert plan_of_file(plan_file_text(made), _standing(_members()), file="p.json") == made
    assert plan_document(made)["hosts"]["win-1"]["winrm"] == {
        "scheme": "https",
        "auth": "ntlm",
        "path": "/wsman",
        "ca_file": None,
        "fingerprint": None,
        "certificate": None,
        "certificate_key": None,
        "machine_id": None,
        "computer_name": None,
    }


@pytest.mark.parametrize("setting", [each.name for each in fields(WinRM)])
def test_changed_setting_of_winrm_is_another_plan_and_named(setting: str) -> None:
    """Every single setting is in the digest; a plan file of before is refused, with the setting's name and values."""
    value, shown = _CHANGED[setting]
    now = _members(replace(_WINDOWS, winrm=replace(_WINRM, **{setting: value})))  # type: ignore[arg-type]
    reviewed = planned([scope(_RULE, _members())], full("web-1", "win-1"))
    was = plan_document(reviewed)["hosts"]["win-1"]["winrm"][setting]
    in_plan = "null" if was is None else f'"{was}"'

    with pytest.raises(UsageError) as caught:
        plan_of_file(plan_file_text(reviewed), _standing(now), file="p.json")

    assert str(caught.value).splitlines()[1:-1] == [
        f"  hosts.win-1.winrm.{setting}: {in_plan} in the plan, {shown} now"
    ]
    assert planned([scope(_RULE, now)], full("web-1", "win-1")).digest != reviewed.digest


def test_host_that_is_reached_over_ssh_now_is_named() -> None:
    """A host that went from WinRM to ssh since the review is reached another way: each difference is named."""
    reviewed = planned([scope(_RULE, _members())], full("web-1", "win-1"))
    now = _members(Connection(shell=Shell.POWERSHELL), Transport.SSH)

    with pytest.raises(UsageError) as caught:
        plan_of_file(plan_file_text(reviewed), _standing(now), file="p.json")

    named = [line.strip().partition(":")[0] for line in str(caught.value).splitlines()[1:-1]]
    assert named == ["hosts.win-1.port", "hosts.win-1.transport", "hosts.win-1.winrm"]


def test_changed_shell_is_named() -> None:
    """A host over ssh that got PowerShell since the review would read another payload."""
    members, now = hosts("web-1"), (replace(hosts("web-1")[0], connection=Connection(shell=Shell.POWERSHELL)),)
    reviewed = planned([scope(_RULE, members)], full("web-1"))

    with pytest.raises(UsageError) as caught:
        plan_of_file(plan_file_text(reviewed), _standing(now), file="p.json")

    assert str(caught.value).splitlines()[1:-1] == ['  hosts.web-1.shell: null in the plan, "powershell" now']


def test_plan_without_windows_hosts_says_nothing_of_them() -> None:
    """A host with a POSIX shell over ssh is described by the same names as ever, so its plans keep their digests."""
    made = planned([scope(_RULE, hosts("web-1"))], full("web-1"))

    assert set(plan_document(made)["hosts"]["web-1"]) == {
        "platform",
        "transport",
        "endpoint",
        "address",
        "port",
        "user",
        "identity_file",
        "password",
        "known_hosts",
        "signal_params",
    }
