"""Ansible's WinRM variables: what they become, what bars a host, what is warned about, and no password anywhere."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from remedy.errors import Refused
from remedy.load import Inventory, load_inventory
from remedy.model import Connection, Platform, Transport
from remedy.port import Shell, WinRM, WinRMAuth
from remedy.run.collect import target_of
from remedy_runners.winrm.runner import WinRMRunner
from tests.load.tables import TYPES

SECRET = "hunter2-0755"
_FINGERPRINT = "0123456789abcdef" * 4
_COLONS = ":".join(_FINGERPRINT[at : at + 2] for at in range(0, 64, 2)).upper()
_GUID = "0a1b2c3d-0000-4444-8888-0123456789ab"
_UNPROVED = "NTLM over http does not prove which host answers"
_PROVE = "give remedy_computer_name ($env:COMPUTERNAME there) or remedy_machine_id, or use https or kerberos"


def _load(folder: Path, text: str, *, name: str = "inventory.yaml") -> Inventory:
    (folder / name).write_text(text, encoding="utf-8")
    return load_inventory(str(folder / name), types=TYPES)


def _hosts(*lines: str, name: str = "win-1") -> str:
    """Return an inventory of one host, with a login behind the lines where they say nothing about it."""
    variables = "".join(f"      {line}\n" for line in ("ansible_connection: winrm", *lines, *_login(lines)))
    return f"all:\n  hosts:\n    {name}:\n{variables}"


def _login(lines: tuple[str, ...]) -> Iterator[str]:
    if not any("_user:" in line for line in lines):
        yield "ansible_user: svc"
    if not any(re.match("ansible_(winrm_)?pass", line) or "@" in line for line in lines):
        yield "ansible_password: env:P"


def _connection(folder: Path, *lines: str, name: str = "win-1") -> Connection:
    return _load(folder, _hosts(*lines, name=name)).hosts[name].connection


def _winrm(folder: Path, *lines: str, name: str = "win-1") -> WinRM:
    """Return the settings of a host that nothing bars."""
    connection = _connection(folder, *lines, name=name)
    assert (connection.barred, connection.shell) == (None, Shell.POWERSHELL)
    assert connection.winrm is not None
    return connection.winrm


@pytest.mark.parametrize("named", ["winrm", "ansible.builtin.winrm"])
def test_host_over_winrm_runs_windows_and_powershell_over_verified_https(tmp_path: Path, named: str) -> None:
    """With no more than a login: https, 5986, NTLM, the system's authorities, PowerShell, and nothing bars it."""
    variables = f"{{ansible_connection: {named}, ansible_user: svc, ansible_password: env:P}}"
    host = _load(tmp_path, f"all: {{hosts: {{win-1: {variables}}}}}\n").hosts["win-1"]

    assert (host.transport, host.platform) == (Transport.WINRM, Platform.WINDOWS)
    assert host.connection == Connection(
        port=5986,
        user="svc",
        password="env:P",
        shell=Shell.POWERSHELL,
        winrm=WinRM(scheme="https", auth=WinRMAuth.NTLM),
    )


_NO_NAME = "the login has no name; give ansible_user"
_NO_CERTIFICATE = (
    "certificate needs the client's certificate and key; give ansible_winrm_cert_pem and ansible_winrm_cert_key_pem"
)


@pytest.mark.parametrize(
    ("variables", "reasons"),
    [
        ("", [_NO_NAME, "ntlm needs a password; give ansible_password as env:NAME or file:PATH"]),
        ("ansible_user: ''", [_NO_NAME, "ntlm needs a password; give ansible_password as env:NAME or file:PATH"]),
        ("ansible_password: env:P", [_NO_NAME]),
        ("ansible_user: svc", ["ntlm needs a password; give ansible_password as env:NAME or file:PATH"]),
        (
            "ansible_user: svc@CORP.EXAMPLE, ansible_winrm_transport: ntlm",
            ["ntlm needs a password; give ansible_password as env:NAME or file:PATH"],
        ),
        ("ansible_winrm_transport: kerberos", [_NO_NAME]),
        ("ansible_winrm_transport: kerberos, ansible_port: 5985", [_NO_NAME]),
        (
            "ansible_user: svc, ansible_port: 5985",
            ["ntlm needs a password; give ansible_password as env:NAME or file:PATH"],
        ),
        (
            "ansible_user: svc, ansible_winrm_transport: basic",
            ["basic needs a password; give ansible_password as env:NAME or file:PATH"],
        ),
        ("ansible_winrm_transport: certificate", [_NO_CERTIFICATE]),
        ("ansible_winrm_transport: certificate, ansible_winrm_cert_pem: /c.pem", [_NO_CERTIFICATE]),
        ("ansible_winrm_transport: certificate, ansible_winrm_cert_key_pem: /k.pem", [_NO_CERTIFICATE]),
        ("ansible_winrm_transport: ssl, ansible_winrm_cert_key_pem: /k.pem", [_NO_CERTIFICATE]),
        ("ansible_winrm_cert_pem: /c.pem", [_NO_CERTIFICATE]),
        ("ansible_user: svc, ansible_winrm_pass: env:P", []),
        ("ansible_user: svc@CORP.EXAMPLE", []),
        ("ansible_winrm_cert_pem: /c.pem, ansible_winrm_cert_key_pem: /k.pem", []),
    ],
)
def test_login_that_can_never_work_bars_the_host_in_the_words_of_the_runner(
    tmp_path: Path, variables: str, reasons: list[str]
) -> None:
    """What the runner would refuse without looking anywhere is known when the inventory is loaded, in its words."""
    text = f"{{ansible_connection: winrm, {variables}}}"
    host = _load(tmp_path, f"all: {{hosts: {{win-1: {text}}}}}\n").hosts["win-1"]

    assert host.connection.barred == ("; ".join(reasons) or None)
    if reasons:
        runner = WinRMRunner(home=tmp_path, environment={})
        with pytest.raises(Refused) as caught:
            runner.connect(replace(target_of(host), barred=None))
        assert str(caught.value).partition("/wsman: ")[2] == reasons[0]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ("ansible_winrm_transport: credssp", "credssp hands the password itself"),
        ("ansible_winrm_transport: '{{ t }}'", "ansible_winrm_transport is a template"),
        ("ansible_user: svc, ansible_password: '{{ v }}'", "ansible_password is a template"),
        ("ansible_user: '{{ u }}', ansible_password: env:P", "ansible_user is a template"),
        (
            "ansible_winrm_transport: certificate, ansible_winrm_cert_pem: c, ansible_winrm_cert_key_pem: /k",
            "ansible_winrm_cert_pem is no absolute path",
        ),
    ],
)
def test_what_is_given_and_not_taken_is_not_said_to_be_missing(tmp_path: Path, variables: str, reason: str) -> None:
    """A login that is barred for another reason is not told as one that is not there."""
    text = f"all: {{hosts: {{win-1: {{ansible_connection: winrm, {variables}}}}}}}\n"
    barred = _load(tmp_path, text).hosts["win-1"].connection.barred or ""

    assert reason in barred
    assert "; give ansible_" not in barred


def test_file_as_people_have_it_is_read_whole(tmp_path: Path) -> None:
    """A group of Windows hosts as Ansible's documentation writes it has every one of its settings."""
    inventory = _load(
        tmp_path,
        "all:\n"
        "  children:\n"
        "    windows:\n"
        "      vars:\n"
        "        ansible_connection: winrm\n"
        "        ansible_user: CORP\\svc-remedy\n"
        "        ansible_password: env:WIN_PASSWORD\n"
        "        ansible_port: 5986\n"
        "        ansible_winrm_transport: ntlm\n"
        "        ansible_winrm_scheme: https\n"
        "        ansible_winrm_path: /wsman\n"
        "        ansible_winrm_server_cert_validation: validate\n"
        "        ansible_winrm_ca_trust_path: /etc/ssl/corp-ca.pem\n"
        "        ansible_winrm_operation_timeout_sec: 60\n"
        "        ansible_winrm_read_timeout_sec: 70\n"
        "        ansible_winrm_connection_timeout: 30\n"
        "        ansible_winrm_kerberos_delegation: false\n"
        "        ansible_become_method: sudo\n"
        "        ansible_ssh_common_args: -J jump\n"
        "      hosts:\n"
        "        dc-1: {ansible_host: 192.0.2.1, remedy_machine_id: '{0A1B2C3D-0000-4444-8888-0123456789AB}'}\n",
    )

    assert inventory.warnings == ()
    assert inventory.hosts["dc-1"].connection == Connection(
        address="192.0.2.1",
        port=5986,
        user="CORP\\svc-remedy",
        password="env:WIN_PASSWORD",
        shell=Shell.POWERSHELL,
        winrm=WinRM(scheme="https", auth=WinRMAuth.NTLM, ca_file="/etc/ssl/corp-ca.pem", machine_id=_GUID),
    )


def test_listing_of_ansible_inventory_has_them_too(tmp_path: Path) -> None:
    """JSON of `ansible-inventory --list` says the same as YAML, with lists and numbers as texts."""
    hostvars = {
        "ansible_connection": "winrm",
        "ansible_port": "5985",
        "ansible_winrm_transport": ["kerberos"],
        "ansible_user": "svc@CORP.EXAMPLE",
    }
    listing = {"_meta": {"hostvars": {"win-1": hostvars}}, "all": {"hosts": ["win-1"]}}

    connection = _load(tmp_path, json.dumps(listing), name="inventory.json").hosts["win-1"].connection

    assert connection == Connection(
        port=5985,
        user="svc@CORP.EXAMPLE",
        shell=Shell.POWERSHELL,
        winrm=WinRM(scheme="http", auth=WinRMAuth.KERBEROS),
    )


@pytest.mark.parametrize(
    ("line", "scheme", "port"),
    [
        ("ansible_port: 5985", "http", 5985),
        ("ansible_port: 5986", "https", 5986),
        ("ansible_port: 8443", "https", 8443),
        ("ansible_winrm_port: '5985'", "http", 5985),
        ("ansible_winrm_scheme: http", "http", 5985),
        ("ansible_winrm_scheme: https", "https", 5986),
        ("{ansible_winrm_scheme: https, ansible_port: 5985}", "https", 5985),
        ("{ansible_winrm_scheme: http, ansible_port: 80}", "http", 80),
    ],
)
def test_scheme_and_port(tmp_path: Path, line: str, scheme: str, port: int) -> None:
    """The scheme is the named one, else http for port 5985 and https for all others; the port follows the scheme."""
    variables = line.strip("{}").split(", ")
    connection = _connection(tmp_path, *variables)

    assert connection.winrm is not None
    assert (connection.winrm.scheme, connection.port, connection.barred) == (scheme, port, None)


@pytest.mark.parametrize(
    ("lines", "auth"),
    [
        (["ansible_user: svc", "ansible_password: env:P"], WinRMAuth.NTLM),
        (["ansible_user: svc", "ansible_password: env:P", "ansible_port: 5985"], WinRMAuth.NTLM),
        (["ansible_user: svc@CORP.EXAMPLE"], WinRMAuth.KERBEROS),
        (["ansible_user: svc@CORP.EXAMPLE", "ansible_port: 5985"], WinRMAuth.KERBEROS),
        (["ansible_user: svc@CORP.EXAMPLE", "ansible_password: env:P"], WinRMAuth.NTLM),
        (["ansible_winrm_cert_pem: /c.pem", "ansible_winrm_cert_key_pem: /k.pem"], WinRMAuth.CERTIFICATE),
        (["ansible_winrm_cert_pem: /c.pem", "ansible_port: 5985"], WinRMAuth.NTLM),
        (["ansible_winrm_transport: basic"], WinRMAuth.BASIC),
        (["ansible_winrm_transport: plaintext"], WinRMAuth.BASIC),
        (["ansible_winrm_transport: ssl"], WinRMAuth.BASIC),
        (
            ["ansible_winrm_transport: ssl", "ansible_winrm_cert_pem: /c.pem", "ansible_winrm_cert_key_pem: /k.pem"],
            WinRMAuth.CERTIFICATE,
        ),
        (
            [
                "ansible_winrm_transport: certificate",
                "ansible_winrm_cert_pem: /c.pem",
                "ansible_winrm_cert_key_pem: /k.pem",
            ],
            WinRMAuth.CERTIFICATE,
        ),
        (["ansible_winrm_transport: kerberos"], WinRMAuth.KERBEROS),
        (["ansible_winrm_transport: [kerberos, ntlm]"], WinRMAuth.KERBEROS),
        (["ansible_winrm_transport: credssp, ntlm"], WinRMAuth.NTLM),
        (["ansible_winrm_transport: [credssp, basic]"], WinRMAuth.BASIC),
        (["ansible_winrm_transport: [basic, ntlm]", "ansible_port: 5985"], WinRMAuth.NTLM),
        (["ansible_winrm_transport:"], WinRMAuth.NTLM),
    ],
)
def test_way_of_logging_in(tmp_path: Path, lines: list[str], auth: WinRMAuth) -> None:
    """The first named way that remedy has; unnamed a certificate, a ticket for a realm, or NTLM: never Basic."""
    assert _winrm(tmp_path, *lines).auth is auth


@pytest.mark.parametrize(
    ("lines", "settings"),
    [
        (["ansible_winrm_path: /custom/wsman"], {"path": "/custom/wsman"}),
        (["ansible_winrm_path: wsman"], {"path": "/wsman"}),
        (["ansible_winrm_ca_trust_path: ~/ca.pem"], {"ca_file": "~/ca.pem"}),
        (["ansible_winrm_ca_trust_path: legacy_requests"], {}),
        ([f"remedy_winrm_fingerprint: '{_COLONS}'"], {"fingerprint": _FINGERPRINT}),
        ([f"remedy_winrm_fingerprint: {_FINGERPRINT}"], {"fingerprint": _FINGERPRINT}),
        (
            [f"remedy_winrm_fingerprint: {_FINGERPRINT}", "ansible_winrm_server_cert_validation: ignore"],
            {"fingerprint": _FINGERPRINT},
        ),
        (
            ["ansible_winrm_ca_trust_path: /ca.pem", "ansible_winrm_server_cert_validation: ignore"],
            {"ca_file": "/ca.pem"},
        ),
        (
            [
                "ansible_winrm_transport: certificate",
                "ansible_winrm_cert_pem: /c.pem",
                "ansible_winrm_cert_key_pem: ~/k.pem",
            ],
            {"auth": WinRMAuth.CERTIFICATE, "certificate": "/c.pem", "certificate_key": "~/k.pem"},
        ),
        (
            ["ansible_winrm_server_cert_validation: ignore", "ansible_winrm_scheme: http"],
            {"scheme": "http", "computer_name": "win-1"},
        ),
        (["ansible_winrm_message_encryption: never"], {}),
        (["ansible_winrm_message_encryption: always"], {}),
        (["ansible_winrm_proxy: legacy_requests"], {}),
        (["ansible_winrm_proxy: ''"], {}),
        (["ansible_winrm_service: HTTP"], {}),
        (["ansible_winrm_send_cbt: true"], {}),
        (["ansible_winrm_kinit_mode: managed", "ansible_winrm_kinit_cmd: /usr/bin/kinit"], {}),
        (["ansible_winrm_realm: CORP"], {}),
        (["ansible_shell_type: powershell"], {}),
        (["ansible_shell_type: sh"], {}),
        (["ansible_ssh_pass: env:OTHER", "ansible_ssh_executable: /opt/ssh"], {}),
        ([f"remedy_machine_id: {_GUID}"], {"machine_id": _GUID}),
        (["remedy_computer_name: WIN-1.corp.example"], {"computer_name": "WIN-1"}),
    ],
)
def test_settings_of_winrm(tmp_path: Path, lines: list[str], settings: dict[str, object]) -> None:
    """Settings become what the runner takes; harmless ones, and those of ssh, nothing."""
    expected = {"scheme": "https", "auth": WinRMAuth.NTLM, **settings}
    found = _winrm(tmp_path, *lines)

    assert found == WinRM(**expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "connection"),
    [
        (["ansible_winrm_host: 10.0.0.1"], Connection(address="10.0.0.1")),
        (["ansible_host: fe80::1%eth0"], Connection(address="fe80::1%eth0")),
        (["ansible_winrm_user: svc"], Connection(user="svc")),
        (
            ["ansible_user: svc@CORP.EXAMPLE", "ansible_password: env:P"],
            Connection(user="svc@CORP.EXAMPLE", password="env:P"),
        ),
        (["ansible_winrm_user: svc", "ansible_user: svc"], Connection(user="svc")),
        (["ansible_winrm_pass: file:/run/p"], Connection(password="file:/run/p")),
        (["ansible_winrm_password: env:P", "ansible_password: env:P"], Connection(password="env:P")),
    ],
)
def test_names_of_the_plugin_are_read(tmp_path: Path, lines: list[str], connection: Connection) -> None:
    """Address, user and password stand under Ansible's general names or under those of its winrm plugin."""
    found = _connection(tmp_path, *lines)

    assert (found.barred, found.address, found.user, found.password) == (
        None,
        connection.address,
        connection.user or "svc",
        connection.password or "env:P",
    )


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            ["ansible_winrm_server_cert_validation: ignore"],
            (
                "ansible_winrm_server_cert_validation: ignore lets anybody answer for the host; name the authority's "
                "file with ansible_winrm_ca_trust_path, or pin the certificate with remedy_winrm_fingerprint"
            ),
        ),
        (
            ["ansible_winrm_transport: credssp"],
            "ansible_winrm_transport: credssp hands the password itself to the host; use kerberos or ntlm",
        ),
        (
            ["ansible_winrm_transport: [auto, credssp]"],
            (
                "ansible_winrm_transport: auto says nothing, and Ansible refuses it; name ntlm, kerberos, certificate "
                "or basic"
            ),
        ),
        (
            ["ansible_winrm_transport: negotiate"],
            "ansible_winrm_transport: negotiate is not supported; name ntlm, kerberos, certificate or basic",
        ),
        (
            ["ansible_winrm_transport: certificate", "ansible_port: 5985"],
            "ansible_winrm_transport: there is no certificate over http; use https",
        ),
        (
            ["ansible_winrm_transport: ['{{ t }}']"],
            "ansible_winrm_transport is a template, which only Ansible can fill in; write the value",
        ),
        (
            ["ansible_winrm_transport: '{{ t }}'"],
            "ansible_winrm_transport is a template, which only Ansible can fill in; write the value",
        ),
        (
            ["ansible_winrm_transport: !vault x"],
            "ansible_winrm_transport: the tag !vault is not read by remedy; write the value",
        ),
        (
            ["ansible_winrm_kerberos_delegation: true"],
            "ansible_winrm_kerberos_delegation is not supported; remedy hands no tickets on; remove it for this host",
        ),
        (
            ["ansible_winrm_kerberos_hostname_override: dc-1"],
            (
                "ansible_winrm_kerberos_hostname_override is not supported; the ticket is for the name that is "
                "connected to; write that name into ansible_host"
            ),
        ),
        (
            ["ansible_winrm_proxy: http://proxy:3128"],
            "ansible_winrm_proxy is not supported; hosts are reached directly; remove it for this host",
        ),
        (
            ["ansible_winrm_send_cbt: false"],
            "ansible_winrm_send_cbt is not supported; NTLM is always bound to the TLS channel; remove it for this host",
        ),
        (["ansible_winrm_service: WSMAN"], "ansible_winrm_service is not supported; remove it for this host"),
        (["ansible_winrm_newest: 1"], "ansible_winrm_newest is not supported; remove it for this host"),
        (["ansible_become_method: runas"], "ansible_become_method is not supported; remove it for this host"),
        (
            ["ansible_winrm_ca_trust_path: ca.pem"],
            "ansible_winrm_ca_trust_path is no absolute path of a file; write /PATH or ~/PATH",
        ),
        (
            [f"remedy_winrm_fingerprint: {_FINGERPRINT}", "ansible_port: 5985"],
            "remedy_winrm_fingerprint: there is no certificate over http; use https, or remove it",
        ),
        (
            ["remedy_platform: linux"],
            "winrm leads to Windows only; correct remedy_platform or ansible_connection",
        ),
        (
            ["ansible_host: a", "ansible_winrm_host: b"],
            "ansible_host and ansible_winrm_host differ; keep one of them",
        ),
        (
            ["ansible_password: env:A", "ansible_winrm_pass: env:B"],
            "ansible_password and ansible_winrm_pass differ; keep one of them",
        ),
        (["ansible_password: '{{ v }}'"], "ansible_password is a template; write env:NAME or file:/PATH"),
        (
            ["ansible_winrm_password: !vault x"],
            "ansible_winrm_password: the tag !vault is not read by remedy; write env:NAME or file:/PATH",
        ),
    ],
)
def test_setting_that_is_not_followed_bars_the_host(tmp_path: Path, lines: list[str], reason: str) -> None:
    """What remedy does not do, or would make a login worth nothing, bars the host with the cure and no warning."""
    inventory = _load(tmp_path, _hosts(*lines))
    barred = inventory.hosts["win-1"].connection.barred or ""

    assert re.sub(r" \([^()]*inventory.yaml:\d+:\d+\)", "", barred) == reason
    assert inventory.warnings == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ansible_winrm_transport: ntml", "ansible_winrm_transport: ntml is not supported; did you mean ntlm?"),
        ("ansible_winrm_transport: NTLM", "ansible_winrm_transport: NTLM is not supported; did you mean ntlm?"),
        ("ansible_winrm_transport: Kerberos", "ansible_winrm_transport: Kerberos is not supported; did you mean kerb"),
        ("ansible_winrm_transport: [ntml, basic]", "ansible_winrm_transport: ntml is not supported; did you mean nt"),
        ("ansible_winrm_tranport: ntlm", "ansible_winrm_tranport is not known; did you mean ansible_winrm_transport?"),
        ("ansible_winrm_usr: svc", "ansible_winrm_usr is not known; did you mean ansible_winrm_user?"),
        ("ansible_winrm_cert_key: /k", "ansible_winrm_cert_key is not known; did you mean ansible_winrm_cert_key_pem?"),
    ],
)
def test_mistyped_name_or_value_is_told_with_its_place_and_what_was_meant(
    tmp_path: Path, line: str, reason: str
) -> None:
    """A slip of the pen bars the host, says what was meant, and where it stands."""
    barred = (_connection(tmp_path, line).barred or "").replace(f"{tmp_path}/", "")

    assert barred.startswith(reason)
    assert barred.endswith(f" (inventory.yaml:5:{line.index(':') + 9})")


def test_unknown_way_of_logging_in_is_never_passed_over(tmp_path: Path) -> None:
    """As in Ansible a word that is no way of logging in is refused, even if a good one stands behind it."""
    assert _connection(tmp_path, "ansible_winrm_transport: [negotiate, basic]").barred == (
        "ansible_winrm_transport: negotiate is not supported; name ntlm, kerberos, certificate or basic"
    )
    assert _connection(tmp_path, "ansible_winrm_transport: [credssp, ntlm, x]").barred is None


@pytest.mark.parametrize("named", ["psrp", "ansible.builtin.psrp"])
def test_psrp_is_refused_with_what_reaches_the_same_hosts(tmp_path: Path, named: str) -> None:
    """The other protocol of the same service is not spoken, and the host is not reached by ssh in its place."""
    host = _load(tmp_path, f"all: {{hosts: {{win-1: {{ansible_connection: {named}}}}}}}\n").hosts["win-1"]

    assert host.connection.barred == f"ansible_connection: {named} is not supported; use winrm, on the same port"
    assert (host.transport, host.platform) == (Transport.WINRM, Platform.WINDOWS)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["ansible_port: 5985", "ansible_winrm_scheme: https"], "https on port 5985, where WinRM speaks http"),
        (["ansible_port: 5986", "ansible_winrm_scheme: http"], "http on port 5986, where WinRM speaks https"),
        (["ansible_port: 5986", "ansible_winrm_scheme: https"], ""),
        (["ansible_port: 8443", "ansible_winrm_scheme: https"], ""),
        (["ansible_port: 5985"], ""),
    ],
)
def test_scheme_on_the_port_of_the_other_is_warned_about(tmp_path: Path, lines: list[str], said: str) -> None:
    """A port that WinRM uses for the other scheme is hardly meant; the warning says both ways to mend it."""
    warnings = [each for each in _load(tmp_path, _hosts(*lines)).warnings if "where WinRM speaks" in str(each)]

    assert len(warnings) == bool(said)
    assert said in "".join(map(str, warnings))


@pytest.mark.parametrize(
    ("lines", "at", "warning", "cure"),
    [
        (
            ["ansible_port: 5985", "ansible_winrm_transport: basic"],
            "6:32",
            "ansible_winrm_transport: basic over http sends the password in clear text",
            "use ntlm or kerberos, or https",
        ),
        (
            ["ansible_port: 5985", "ansible_winrm_transport: plaintext"],
            "6:32",
            "ansible_winrm_transport: plaintext over http sends the password in clear text",
            "use ntlm or kerberos, or https",
        ),
        (
            ["ansible_winrm_scheme: http", "ansible_winrm_transport: [ssl, credssp]"],
            "6:32",
            "ansible_winrm_transport: ssl over http sends the password in clear text",
            "use ntlm or kerberos, or https",
        ),
        (
            ["ansible_port: 5985", "ansible_winrm_message_encryption: never"],
            "6:41",
            "ansible_winrm_message_encryption: never over http sends every script in clear text",
            "remove it, or use https",
        ),
    ],
)
def test_clear_text_is_warned_about_at_its_place_and_bars_the_host(
    tmp_path: Path, lines: list[str], at: str, warning: str, cure: str
) -> None:
    """Over http a password, or messages that nothing encrypts, are a warning with line and column, and never used."""
    inventory = _load(tmp_path, _hosts(*lines))
    warned = [str(each).replace(f"{tmp_path}/", "") for each in inventory.warnings]

    assert warned == [f"inventory.yaml:{at}: host win-1: {warning}; such a host is refused; {cure}"]
    assert inventory.hosts["win-1"].connection.barred == f"{warning}; {cure}"


def test_clear_text_of_a_group_is_told_once(tmp_path: Path) -> None:
    """A thousand hosts that inherit one setting are one warning, and a thousand refused hosts."""
    hosts = "".join(f"    win-{number}:\n" for number in range(1000))
    variables = "{ansible_connection: winrm, ansible_port: 5985, ansible_winrm_transport: basic}"
    inventory = _load(tmp_path, f"all:\n  vars: {variables}\n  hosts:\n{hosts}")

    assert len(inventory.warnings) == 1
    assert sum(host.connection.barred is not None for host in inventory.hosts.values()) == 1000


@pytest.mark.parametrize(
    ("name", "lines", "computer"),
    [
        ("win-1", [], "win-1"),
        ("win-1.corp.example", [], "win-1"),
        ("win-1", ["ansible_host: 192.0.2.1"], "win-1"),
        ("win-1", ["ansible_host: 'fe80::1'"], "win-1"),
        ("the-printer", ["ansible_host: PRN01.corp.example"], "PRN01"),
        ("192.0.2.1", ["ansible_host: prn01"], "prn01"),
        ("exactly-15-long", [], "exactly-15-long"),
        ("any-name-at-all-however-long", ["remedy_computer_name: WEB01"], "WEB01"),
        ("win-1", [f"remedy_machine_id: {_GUID}"], None),
        ("win-1", ["ansible_winrm_transport: kerberos"], None),
        ("win-1", ["ansible_winrm_scheme: https"], None),
    ],
)
def test_computer_name_that_must_answer(tmp_path: Path, name: str, lines: list[str], computer: str | None) -> None:
    """Over NTLM and http the machine must have the name that is connected to, else the inventory's, without domain."""
    scheme = [] if any("scheme" in line for line in lines) else ["ansible_winrm_scheme: http"]

    assert _winrm(tmp_path, *scheme, *lines, name=name).computer_name == computer


@pytest.mark.parametrize(
    ("name", "lines", "reason"),
    [
        ("192.0.2.1", [], f"{_UNPROVED}; {_PROVE}"),
        ("192.0.2.1", ["ansible_host: 192.0.2.1"], f"{_UNPROVED}; {_PROVE}"),
        (
            "production-web-01",
            [],
            f"{_UNPROVED}, and production-web-01 is no computer's name, which has at most 15 characters; {_PROVE}",
        ),
        (
            "win-1",
            ["ansible_host: production-web-01.corp.example"],
            f"{_UNPROVED}, and production-web-01 is no computer's name, which has at most 15 characters; {_PROVE}",
        ),
    ],
)
def test_host_that_nothing_proves_is_refused(tmp_path: Path, name: str, lines: list[str], reason: str) -> None:
    """An address proves nothing, and a name cut to 15 characters could be that of the next machine."""
    assert _connection(tmp_path, "ansible_port: 5985", *lines, name=name).barred == reason


@pytest.mark.parametrize("name", ["ansible_password", "ansible_winrm_password", "ansible_winrm_pass"])
def test_literal_password_is_warned_about_and_kept_nowhere(tmp_path: Path, name: str) -> None:
    """A literal password is a warning at its place and bars the host; the text is in nothing that is loaded."""
    inventory = _load(tmp_path, _hosts(f"{name}: {SECRET}"))
    connection = inventory.hosts["win-1"].connection

    assert [str(each).replace(f"{tmp_path}/", "") for each in inventory.warnings] == [
        (
            f"inventory.yaml:5:{9 + len(name)}: host win-1: {name}: a literal secret stands in the inventory and is "
            "never used; write env:NAME or file:/PATH"
        )
    ]
    assert connection.barred == f"{name}: a literal password is never used; write env:NAME or file:/PATH"
    assert connection.password is None
    assert SECRET not in repr(inventory)


@pytest.mark.parametrize("name", ["ansible_winrm_cert_key_pem", "ansible_winrm_ca_trust_path"])
def test_key_in_the_place_of_a_file_is_warned_about_and_kept_nowhere(tmp_path: Path, name: str) -> None:
    """A private key that was pasted where a file is named is a secret too, and no message shows it."""
    key = f"|\n        -----BEGIN PRIVATE KEY-----\n        {SECRET}\n        -----END PRIVATE KEY-----"
    names = ("ansible_winrm_cert_pem", "ansible_winrm_cert_key_pem")
    others = [f"{each}: /{each}" for each in names if each != name]
    inventory = _load(tmp_path, _hosts("ansible_winrm_transport: certificate", *others, f"{name}: {key}"))
    (warning,) = inventory.warnings

    assert warning.message == f"host win-1: {name}: a literal secret stands in the inventory and is never used"
    assert inventory.hosts["win-1"].connection.barred == (
        f"{name} is no absolute path of a file; write /PATH or ~/PATH"
    )
    assert SECRET not in repr(inventory)


@pytest.mark.parametrize(
    ("lines", "shell", "platform"),
    [
        (["ansible_shell_type: powershell"], Shell.POWERSHELL, Platform.WINDOWS),
        (["ansible_shell_type: cmd"], Shell.POWERSHELL, Platform.WINDOWS),
        (["remedy_platform: windows"], Shell.POWERSHELL, Platform.WINDOWS),
        (["remedy_platform: windows", "ansible_shell_type: cmd"], Shell.POWERSHELL, Platform.WINDOWS),
        (["ansible_shell_type: sh"], Shell.SH, Platform.LINUX),
        (["remedy_platform: linux"], Shell.SH, Platform.LINUX),
    ],
)
def test_windows_over_ssh_has_powershell(tmp_path: Path, lines: list[str], shell: Shell, platform: Platform) -> None:
    """Transport and shell are separate: a Windows host over ssh gets PowerShell, whatever its sshd starts."""
    text = "all:\n  hosts:\n    win-1:\n" + "".join(f"      {line}\n" for line in lines)
    host = _load(tmp_path, text).hosts["win-1"]

    assert (host.transport, host.platform) == (Transport.SSH, platform)
    assert host.connection == Connection(shell=shell)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            ["remedy_platform: windows", "ansible_shell_type: sh"],
            "ansible_shell_type: sh does not fit remedy_platform: windows; remove one of them",
        ),
        (
            ["remedy_platform: linux", "ansible_shell_type: powershell"],
            "ansible_shell_type: powershell does not fit remedy_platform: linux; remove one of them",
        ),
        (
            ["ansible_connection: local", "remedy_platform: windows"],
            "this machine is no Windows host; reach one over winrm or ssh",
        ),
    ],
)
def test_shell_that_cannot_read_the_scripts_bars_the_host(tmp_path: Path, lines: list[str], reason: str) -> None:
    """PowerShell is never given a script for sh, nor sh one for PowerShell."""
    text = "all:\n  hosts:\n    win-1:\n" + "".join(f"      {line}\n" for line in lines)

    assert _load(tmp_path, text).hosts["win-1"].connection.barred == reason


def test_variables_of_winrm_do_not_bar_a_host_over_ssh(tmp_path: Path) -> None:
    """What a mixed inventory says of WinRM for all hosts is nothing to one over ssh, not even a clear-text warning."""
    variables = "{ansible_winrm_transport: plaintext, ansible_winrm_password: env:P, ansible_winrm_scheme: http}"
    inventory = _load(tmp_path, f"all:\n  vars: {variables}\n  hosts:\n    web-1:\n")

    assert inventory.hosts["web-1"].connection == Connection()
    assert inventory.warnings == ()
