"""The command line and hosts over WinRM: how they are shown, what is warned about, and a password that nobody shows."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine

SECRET = "hunter2-0755"
_INVENTORY = """\
all:
  children:
    windows:
      vars: {ansible_connection: winrm, ansible_user: CORP\\svc, ansible_password: env:WIN}
      hosts:
        dc-1: {ansible_winrm_transport: kerberos}
        print-1: {ansible_host: 192.0.2.1, ansible_port: 5985}
        six-1: {ansible_host: 'fd00::1'}
        old-1: {ansible_winrm_server_cert_validation: ignore}
    jump:
      hosts:
        ssh-1: {ansible_shell_type: powershell}
"""


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """A command line over a rule, and Windows hosts that it looks at."""
    made = CommandLine(tmp_path)
    made.write_repository()
    (tmp_path / "inventory.yaml").write_text(_INVENTORY)
    return made


def test_inventory_shows_transport_and_login(line: CommandLine) -> None:
    """The list says of each host over which protocol and how it is logged in to, and why one is refused."""
    shown = line.remedy("inventory")
    ways = {row.split()[0]: " ".join(row.split()[1:]) for row in shown.out.splitlines()}

    assert shown.code == 0
    assert ways["dc-1"] == r"windows winrm CORP\svc@dc-1:5986 by kerberos over https windows"
    assert ways["print-1"] == r"windows winrm CORP\svc@192.0.2.1:5985 by ntlm over http windows"
    assert ways["six-1"] == r"windows winrm CORP\svc@[fd00::1]:5986 by ntlm over https windows"
    assert ways["ssh-1"] == "windows ssh ssh-1 jump"
    assert ways["old-1"].startswith("windows winrm barred: ansible_winrm_server_cert_validation: ignore lets anybody")


def test_inventory_as_json_has_every_setting(line: CommandLine) -> None:
    """Programs see the shell, and all that leads to a host over WinRM; null for one over ssh."""
    hosts = {each["host"]: each for each in line.remedy("inventory", "-o", "json").json["hosts"]}

    assert hosts["ssh-1"]["shell"] == hosts["dc-1"]["shell"] == "powershell"
    assert hosts["ssh-1"]["winrm"] is None
    assert (hosts["print-1"]["port"], hosts["print-1"]["barred"]) == (5985, None)
    assert hosts["print-1"]["winrm"] == {
        "scheme": "http",
        "auth": "ntlm",
        "path": "/wsman",
        "ca_file": None,
        "fingerprint": None,
        "certificate": None,
        "certificate_key": None,
        "machine_id": None,
        "computer_name": "print-1",
    }


def _plant(line: CommandLine, form: str) -> None:
    """Write an inventory with a literal password and a login in clear text."""
    variables = {
        "ansible_connection": "winrm",
        "ansible_host": "127.0.0.1",
        "ansible_port": 5985,
        "ansible_user": "svc",
        "ansible_password": SECRET,
        "ansible_winrm_transport": "basic",
    }
    if form == "json":
        listing = {"_meta": {"hostvars": {"win-1": variables}}, "all": {"hosts": ["win-1"]}}
        (line.directory / "inventory.yaml").write_text(json.dumps(listing))
        return
    text = "".join(f"        {name}: {value}\n" for name, value in variables.items())
    (line.directory / "inventory.yaml").write_text(f"all:\n  children:\n    windows:\n      vars:\n{text}"
                                                   "      hosts: {win-1: {}}\n")  # fmt: skip


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("inventory",), 0),
        (("inventory", "-o", "json"), 0),
        (("validate",), 0),
        (("validate", "-o", "json"), 0),
        (("scan",), 4),
        (("scan", "-o", "json"), 4),
        (("scan", "--save", "readings.json"), 4),
        (("why", "win-1"), 4),
        (("apply", "--dry-run"), 4),
        (("apply", "--dry-run", "--plan-out", "plan.json", "-o", "json"), 4),
        (("apply", "--yes"), 4),
        (("apply", "--yes", "-o", "json"), 4),
    ],
)
def test_literal_password_is_in_no_output_and_in_no_file(
    line: CommandLine, form: str, words: tuple[str, ...], code: int
) -> None:
    """Every command warns of the literal password at its place, refuses the host, and writes the password nowhere."""
    _plant(line, form)
    before = set(line.directory.rglob("*"))

    ran = line.remedy(*words)

    written = [path.read_bytes() for path in set(line.directory.rglob("*")) - before if path.is_file()]
    said = ran.out + ran.err
    assert ran.code == code
    assert SECRET not in said
    assert not [text for text in written if SECRET.encode() in text]
    assert "ansible_password: a literal secret stands in the inventory and is never used" in said
    assert "basic over http sends the password in clear text; such a host is refused" in said
    assert form == "json" or re.search(r'inventory\.yaml(:9:27: |",\s+"line": 9,\s+"column": 27,)', said)


def test_refused_host_is_shown_with_both_cures(line: CommandLine) -> None:
    """A scan says why the host was refused and what to write; nobody was contacted."""
    _plant(line, "yaml")

    (host,) = line.remedy("scan", "-o", "json").json["coverage"]["hosts"]

    assert host["ending"] == "refused"
    assert host["reason"] == (
        "ansible_password: a literal password is never used; write env:NAME or file:/PATH; ansible_winrm_transport: "
        "basic over http sends the password in clear text; use ntlm or kerberos, or https"
    )


_IMPORTED = """
import sys
from remedy.cli.caller import caller_now
from remedy.cli.composition import Options, make_runners
from remedy.load import load_inventory
runners = make_runners(Options(), caller_now(), load_inventory(sys.argv[1], types={}))
print(*sorted(runners), *sorted({'requests', 'winrm', 'spnego'} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("connection", "imported"), [("ssh", "local ssh"), ("winrm", "local ssh winrm requests winrm")]
)
def test_only_an_inventory_with_such_hosts_loads_the_winrm_runner(
    line: CommandLine, connection: str, imported: str
) -> None:
    """A run over ssh alone imports nothing of what WinRM needs."""
    file = line.directory / "one.yaml"
    file.write_text(f"all: {{hosts: {{a: {{ansible_connection: {connection}}}}}}}\n")
    argv = [sys.executable, "-c", _IMPORTED, str(file)]
    done = subprocess.run(
        argv, env=line.environment, cwd=line.directory, capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.replace(" spnego", "").strip() == imported
