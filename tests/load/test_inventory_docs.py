"""What docs/hosts.md and docs/windows.md say of inventories: examples, the recipe, and what becomes of a variable."""

import re
import subprocess
from pathlib import Path

import pytest

from remedy.load import Inventory, load_inventory
from remedy.model import Connection, Host, Transport
from tests.load.tables import TYPES

DOCS = Path(__file__).parents[2] / "docs"
HOSTS = (DOCS / "hosts.md").read_text(encoding="utf-8")
_TABLE = HOSTS.partition("### Ansible's variables, and what becomes of them")[2].partition("\n### ")[0]
_WINRM = "ansible_connection: winrm, ansible_user: u, ansible_password: env:P"


def _load(folder: Path, text: str) -> Inventory:
    (folder / "inventory.yaml").write_text(text, encoding="utf-8")
    return load_inventory(str(folder / "inventory.yaml"), types=TYPES)


def _host(folder: Path, variables: str) -> Host:
    return _load(folder, f"all: {{hosts: {{web-1: {{{variables}}}}}}}\n").hosts["web-1"]


def _became(folder: Path, before: str, variables: str) -> str:
    """Say what more variables do to a host: `used`, `bars` or `nothing`."""
    plain, host = _host(folder, before), _host(folder, f"{before}{', ' if before else ''}{variables}")
    if host.connection.barred is not None:
        return "bars"
    return "nothing" if host == plain else "used"


@pytest.mark.parametrize(
    ("variables", "over_ssh", "over_winrm"),
    [
        ("ansible_host: a.example", "used", "used"),
        ("ansible_port: 5999", "used", "used"),
        ("ansible_shell_type: powershell", "used", "nothing"),
        ("ansible_ssh_host: a", "used", "nothing"),
        ("ansible_ssh_port: 23", "used", "nothing"),
        ("ansible_ssh_user: a", "used", "nothing"),
        ("ansible_ssh_pass: env:Q", "used", "nothing"),
        ("ansible_ssh_private_key_file: /k", "used", "nothing"),
        ("ansible_private_key_file: /k", "used", "nothing"),
        ("ansible_host: a, ansible_ssh_host: b", "bars", "used"),
        ("ansible_host: a, ansible_winrm_host: b", "used", "bars"),
        ("ansible_become: true", "nothing", "nothing"),
        ("ansible_become_user: root", "nothing", "nothing"),
        ("ansible_become_user: Administrator", "bars", "bars"),
        ("ansible_become_method: sudo", "nothing", "nothing"),
        ("ansible_become_method: runas", "bars", "bars"),
        ("ansible_become_exe: /opt/sudo", "bars", "bars"),
        ("ansible_become_flags: -H -S -n", "nothing", "nothing"),
        ("ansible_become_flags: -E", "bars", "bars"),
        ("ansible_become_pass: foo", "bars", "bars"),
        ("ansible_become_pass: env:FOO", "bars", "bars"),
        ("ansible_become_pass: ", "nothing", "nothing"),
        ("ansible_become_password: foo", "bars", "bars"),
        ("ansible_sudo_pass: foo", "bars", "nothing"),
        ("ansible_su_pass: foo", "bars", "nothing"),
        ("ansible_ssh_common_args: -J jump", "bars", "nothing"),
        ("ansible_ssh_common_args: ''", "nothing", "nothing"),
        ("ansible_ssh_extra_args: -v", "bars", "nothing"),
        ("ansible_ssh_args: -v", "bars", "nothing"),
        ("ansible_ssh_executable: /opt/ssh", "bars", "nothing"),
        ("ansible_ssh_executable: /usr/bin/ssh", "nothing", "nothing"),
        ("ansible_ssh_private_key: foo", "bars", "nothing"),
        ("ansible_private_key_passphrase: foo", "bars", "nothing"),
        ("ansible_paramiko_proxy_command: nc", "bars", "nothing"),
        ("ansible_proxy_command: nc", "bars", "nothing"),
        ("ansible_ssh_timeout: 5", "nothing", "nothing"),
        ("ansible_ssh_control_path: /x", "nothing", "nothing"),
        ("ansible_ssh_host_key_checking: false", "nothing", "nothing"),
        ("ansible_host_key_checking: false", "nothing", "nothing"),
        ("ansible_ssh_something: 1", "bars", "nothing"),
        ("ansible_become_something: 1", "bars", "bars"),
        ("ansible_winrm_path: x", "nothing", "used"),
        ("ansible_winrm_something: 1", "nothing", "bars"),
        ("ansible_python_interpreter: '{{ x }}'", "nothing", "nothing"),
        ("ansible_timeout: 1", "nothing", "nothing"),
        ("ansible_remote_tmp: /x", "nothing", "nothing"),
    ],
)
def test_variable_becomes_what_the_table_says(tmp_path: Path, variables: str, over_ssh: str, over_winrm: str) -> None:
    """Each kind of variable of the docs' table is used, bars the host or has no effect, over either transport."""
    assert (_became(tmp_path, "", variables), _became(tmp_path, _WINRM, variables)) == (over_ssh, over_winrm)
    assert _became(tmp_path, "ansible_connection: local", variables) == "nothing" or "shell_type" in variables


def test_windows_inventory_in_ini_is_true(tmp_path: Path) -> None:
    """The INI file for Windows gives two hosts that nothing bars, with their backslashes, and no warning."""
    [ini] = re.findall(r"^```ini\n(; windows\.ini\n.*?)^```$", HOSTS, re.MULTILINE | re.DOTALL)
    (tmp_path / "windows.ini").write_text(ini, encoding="utf-8")
    inventory = load_inventory(str(tmp_path / "windows.ini"), types=TYPES)

    assert inventory.warnings == ()
    assert {name: (host.transport, host.connection.barred) for name, host in inventory.hosts.items()} == {
        "web-7": (Transport.WINRM, None),
        "web-8": (Transport.WINRM, None),
    }
    assert [host.connection.user for host in inventory.hosts.values()] == ["CORP\\svc-remedy", "CORP\\svc-web"]


@pytest.mark.parametrize("page", ["hosts.md", "windows.md"])
def test_windows_hosts_of_the_docs_are_ready_and_named_in_full(tmp_path: Path, page: str) -> None:
    """No host of an example is barred, and over https or Kerberos each has the full name that proves it."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = [each for each in re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if "winrm" in each]
    hosts = [host for each in blocks for host in _load(tmp_path, each).hosts.values()]

    assert len(hosts) >= 3
    for host in hosts:
        address = host.connection.address or ""
        assert host.connection.barred is None, host.name
        if host.connection.winrm is not None and host.connection.winrm.computer_name is None:
            assert address.endswith(".corp.example") or host.connection.winrm.machine_id, host.name


def test_recipe_for_an_encrypted_file_frees_the_hosts(tmp_path: Path) -> None:
    """With the folder that the docs make, hosts are no longer barred for a vault file, nor for what points into it."""
    [recipe] = re.findall(r"^```sh\n(mkdir -p remedy-hosts.*?)^```$", HOSTS, re.MULTILINE | re.DOTALL)
    everybody = tmp_path / "inventory" / "group_vars" / "all"
    everybody.mkdir(parents=True)
    (tmp_path / "inventory" / "hosts.ini").write_text("web-1\n")
    (everybody / "vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    (everybody / "vars.yml").write_text(
        "ansible_user: deploy\nansible_password: '{{ vault_password }}'\nansible_become_pass: '{{ vault_become }}'\n"
    )
    before = load_inventory(str(tmp_path / "inventory" / "hosts.ini"), types=TYPES).hosts["web-1"].connection
    commands = recipe.replace("remedy inventory -i remedy-hosts\n", "")
    subprocess.run(["sh", "-euc", commands], cwd=tmp_path, check=True)
    inventory = load_inventory(str(tmp_path / "remedy-hosts"), types=TYPES)

    assert commands != recipe
    assert "is encrypted with Ansible Vault" in (before.barred or "")
    assert inventory.hosts["web-1"].connection == Connection(user="deploy", password="env:HOSTS_PASSWORD")
    assert inventory.warnings == ()


def test_table_names_its_variables() -> None:
    """The table has the variables that people ask for first, and says the same three things of all."""
    cells = [line.strip("| ").split(" | ") for line in _TABLE.splitlines() if line.startswith("| ")][2:]

    for name in ("ansible_become_pass", "ansible_ssh_common_args", "ansible_ssh_executable", "ansible_become_user"):
        assert f"`{name}`" in _TABLE
    for row in cells:
        assert len(row) == 3
        assert all(
            re.match(r"used|bars|without effect|the same|\[see below\]|`ansible_become_…` bars", each)
            for each in row[1:]
        )
