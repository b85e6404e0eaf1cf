"""Inventories: forms, Ansible's precedence, what bars a host, and no password anywhere."""

import json
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from remedy.errors import FilesError, RemedyError, UsageError
from remedy.load import Inventory, load_inventory
from remedy.load.inventory.assignments import host_assignments
from remedy.model import Connection, Host, Platform, Transport
from tests.load.tables import DATA, TYPES


def _load(folder: Path, files: Mapping[str, str], source: str = "inventory.yaml") -> Inventory:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return load_inventory(str(folder / source), types=TYPES)


def _host(folder: Path, variables: str, **files: str) -> Host:
    """Return the one host of an inventory with these variables."""
    named = {name.replace("__", "/"): text for name, text in files.items()}
    return _load(folder, {"inventory.yaml": f"all:\n  hosts:\n    web-1:\n{variables}", **named}).hosts["web-1"]


def _with(folder: Path, variable: str) -> Host:
    return _host(folder, f"      {variable}\n")


def test_nested_groups_are_read() -> None:
    """Groups hold the hosts of their children; `all` holds every host, `ungrouped` those without a group."""
    inventory = load_inventory(str(DATA / "inventory/valid-nested.yaml"), types=TYPES)

    assert dict(inventory.groups) == {
        "all": ("lone", "pc-1", "web-1", "web-2"),
        "ungrouped": ("lone",),
        "web": ("web-1", "web-2"),
        "win": ("pc-1",),
    }
    assert list(inventory.hosts) == ["lone", "pc-1", "web-1", "web-2"]
    assert inventory.hosts["web-2"] == Host(
        name="web-2",
        groups=("web",),
        connection=Connection(address="10.0.0.2", port=2222, user="deploy"),
        params={"low-disk": {"below_percent": 5.0}},
    )
    assert (inventory.hosts["pc-1"].transport, inventory.hosts["pc-1"].platform) == (Transport.WINRM, Platform.WINDOWS)
    assert inventory.warnings == ()


def test_child_groups_hosts_are_in_every_group_above() -> None:
    """A host of a child group is in the parent group too."""
    inventory = load_inventory(str(DATA / "inventory/valid-top-groups.yaml"), types=TYPES)

    assert inventory.groups["db"] == inventory.groups["db_main"] == ("db-1", "fe80::1")
    assert inventory.hosts["db-1"].groups == ("db", "db_main")


def test_variables_that_are_not_needed_may_be_anything() -> None:
    """Tags, aliases, templates, YAML 1.1 words and number keys are ignored in variables that remedy does not read."""
    inventory = load_inventory(str(DATA / "inventory/valid-any-other-variables.yaml"), types=TYPES)

    assert inventory.hosts["web-1"] == Host(name="web-1")
    assert inventory.warnings == ()


@pytest.mark.parametrize("from_stdin", [False, True])
def test_list_of_ansible_inventory_is_read(from_stdin: bool) -> None:
    """What `ansible-inventory --list` prints is read from a file and from standard input alike."""
    file = DATA / "inventory/valid-json.json"
    text = file.read_text() if from_stdin else None

    inventory = load_inventory("-" if from_stdin else str(file), stdin_text=text, types=TYPES)

    assert dict(inventory.groups) == {"all": ("lone", "web-1"), "ungrouped": ("lone",), "web": ("web-1",)}
    assert inventory.hosts["web-1"].connection.address == "10.0.0.1"
    assert inventory.hosts["web-1"].params == {"low-disk": {"below_percent": 5.0}}


@pytest.mark.parametrize("from_stdin", [False, True])
def test_plain_list_is_read(from_stdin: bool) -> None:
    """One name a line with comments is an inventory, from a file and from standard input."""
    file = DATA / "inventory/valid-list.txt"
    text = file.read_text() if from_stdin else None

    inventory = load_inventory("-" if from_stdin else str(file), stdin_text=text, types=TYPES)

    assert list(inventory.hosts) == ["fe80::1", "web-1", "web-2"]
    assert inventory.groups["all"] == inventory.groups["ungrouped"]


def test_hosts_with_commas_are_an_inventory() -> None:
    """Ansible's `-i host1,host2,` names hosts; a doubled name is one host."""
    inventory = load_inventory("web-2, web-1,web-2,", types={})

    assert dict(inventory.hosts) == {"web-1": Host(name="web-1"), "web-2": Host(name="web-2")}


@pytest.mark.parametrize(
    ("source", "transport"),
    [("localhost,", Transport.LOCAL), ("localhost,web-1", Transport.SSH), ("web-1,", Transport.SSH)],
)
def test_only_the_literal_localhost_is_this_machine(source: str, transport: Transport) -> None:
    """`-i localhost,` is this machine, without a connection; in a longer list localhost is a host as any other."""
    assert next(iter(load_inventory(source, types={}).hosts.values())).transport is transport


@pytest.mark.parametrize("source", ["", " ", ",", "-", "no/such/file.yaml", "web-1"])
def test_source_that_is_nothing_is_refused(source: str) -> None:
    """An empty source, no standard input, or a path that does not exist is a usage error."""
    with pytest.raises(UsageError):
        load_inventory(source, types={})


def test_single_name_gets_the_cure() -> None:
    """A host name without a comma is taken for a file, and the message says how to write it."""
    with pytest.raises(UsageError, match="there is no inventory 'web-1'; for a host of that name write 'web-1,'"):
        load_inventory("web-1", types={})


def test_folder_is_merged(tmp_path: Path) -> None:
    """An inventory folder is all its files together, later ones winning, with the variables beside them."""
    inventory = _load(
        tmp_path,
        {
            "inv/10.yaml": "web: {hosts: {web-1: {ansible_user: a, ansible_port: 1}}}\n",
            "inv/20.yml": "web: {hosts: {web-1: {ansible_user: b}, web-2: }}\n",
            "inv/hosts": "lone\n",
            "inv/.hidden.yaml": "broken: [",
            "inv/old.yaml~": "broken: [",
            "inv/README.md": "# not an inventory",
            "inv/group_vars/web.yaml": "ansible_host: 10.0.0.9\n",
        },
        source="inv",
    )

    assert list(inventory.hosts) == ["lone", "web-1", "web-2"]
    assert inventory.hosts["web-1"].connection == Connection(address="10.0.0.9", port=1, user="b")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("aws.py", "#!/usr/bin/python3\n", "is an inventory program, and remedy runs none"),
        ("aws.yaml", "#!/usr/bin/python3\n", "is an inventory program, and remedy runs none"),
        ("tool", "\x7fELF\x02\x01", "is an inventory program, and remedy runs none"),
        (
            "aws.yml",
            "plugin: amazon.aws.aws_ec2\n",
            "configures the inventory plugin amazon.aws.aws_ec2, and remedy runs no",
        ),
        ("hosts.toml", "[all.hosts]\n", "is TOML, which remedy does not read"),
        ("hosts", "$ANSIBLE_VAULT;1.1;AES256\n6162\n", "is encrypted with Ansible Vault, which remedy does not open"),
    ],
)
def test_file_of_a_folder_that_cannot_be_read_is_no_silence(tmp_path: Path, name: str, text: str, message: str) -> None:
    """A file whose hosts would be missing is an error with the cure, never passed over."""
    with pytest.raises(FilesError, match=message) as caught:
        _load(tmp_path, {"inv/a.yaml": "all: {hosts: {a: }}\n", f"inv/{name}": text}, source="inv")

    assert "ansible-inventory" in str(caught.value)


_ALL = "all:\n  vars: {ansible_user: all}\n  children:\n"
_GROUPS = """    parent:
      vars: {ansible_user: parent}
      children:
        child_a: {vars: {ansible_user: child_a}, hosts: {web-1: }}
        child_b: {vars: {ansible_user: child_b}, hosts: {web-1: }}
"""


@pytest.mark.parametrize(
    ("files", "user"),
    [
        ({}, "child_b"),
        ({"group_vars/all.yaml": "ansible_user: file_all"}, "file_all"),
        (
            {"group_vars/all.yaml": "ansible_user: x", "group_vars/parent.yml": "ansible_user: file_parent"},
            "file_parent",
        ),
        ({"group_vars/parent.yml": "ansible_user: x", "group_vars/child_a": "ansible_user: file_a"}, "file_a"),
        ({"group_vars/child_a": "ansible_user: x", "group_vars/child_b/z.yaml": "ansible_user: file_b"}, "file_b"),
        ({"group_vars/child_b.yaml": "ansible_user: x", "host_vars/web-1.yml": "ansible_user: host"}, "host"),
        ({"host_vars/web-1/a.yml": "ansible_user: a", "host_vars/web-1/b.yml": "ansible_user: b"}, "b"),
        ({"host_vars/web-1.json": '{"ansible_user": "json"}'}, "json"),
        ({"group_vars/other.yaml": "ansible_user: other", "host_vars/web-10.yaml": "ansible_user: x"}, "child_b"),
    ],
)
def test_variables_win_as_in_ansible(tmp_path: Path, files: dict[str, str], user: str) -> None:
    """From weak to strong: all, parents, children by name, group_vars of all, of groups, the host, host_vars."""
    inventory = _load(tmp_path, {"inventory.yaml": _ALL + _GROUPS, **files})

    assert inventory.hosts["web-1"].connection.user == user


def test_host_wins_over_every_group_file(tmp_path: Path) -> None:
    """A variable of the host in the inventory wins over group_vars, and host_vars over it."""
    text = "web: {hosts: {web-1: {ansible_user: host}}}\n"
    first = _load(tmp_path, {"inventory.yaml": text, "group_vars/web.yaml": "ansible_user: group"})
    second = _load(tmp_path, {"host_vars/web-1.yaml": "ansible_user: file"})

    assert first.hosts["web-1"].connection.user == "host"
    assert second.hosts["web-1"].connection.user == "file"


def test_deeper_group_wins_whatever_its_name(tmp_path: Path) -> None:
    """Depth comes before name: a child group wins over an unrelated group at the top."""
    text = (
        "z: {hosts: {web-1: }, vars: {ansible_user: z}}\n"
        "m: {children: {a: {hosts: {web-1: }, vars: {ansible_user: a}}}}\n"
    )

    assert _load(tmp_path, {"inventory.yaml": text}).hosts["web-1"].connection.user == "a"


def test_group_priority_wins_over_name(tmp_path: Path) -> None:
    """ansible_group_priority decides between groups of one depth."""
    text = (
        "a: {hosts: {web-1: }, vars: {ansible_user: a, ansible_group_priority: 10}}\n"
        "b: {hosts: {web-1: }, vars: {ansible_user: b}}\n"
    )

    assert _load(tmp_path, {"inventory.yaml": text}).hosts["web-1"].connection.user == "a"


def test_second_file_of_a_name_is_a_warning(tmp_path: Path) -> None:
    """Where Ansible reads only the first of several files of a name, remedy does so too, and says so."""
    inventory = _load(
        tmp_path,
        {
            "inventory.yaml": "web: {hosts: {web-1: }}\n",
            "group_vars/web.yml": "ansible_user: yml",
            "group_vars/web.yaml": "ansible_user: yaml",
        },
    )

    assert inventory.hosts["web-1"].connection.user == "yml"
    assert [problem.message for problem in inventory.warnings] == [
        "is not read, because web.yml is there as well, and Ansible reads only that one"
    ]


def test_params_are_merged_one_by_one(tmp_path: Path) -> None:
    """remedy_params of stronger places override single parameters and leave the others."""
    inventory = _load(
        tmp_path,
        {
            "inventory.yaml": "all:\n  vars: {remedy_params: {low-disk: {below_percent: 5, below_gib: 1}}}\n"
            "  children:\n    web:\n      hosts:\n        web-1: {remedy_params: {notes: {loud: true}}}\n",
            "group_vars/web.yaml": "remedy_params: {low-disk: {below_gib: 7}, disk: {mounts: [/, /srv]}}\n",
        },
    )

    assert inventory.hosts["web-1"].params == {
        "low-disk": {"below_percent": 5.0, "below_gib": 7.0},
        "disk": {"mounts": ("/", "/srv")},
        "notes": {"loud": True},
    }


@pytest.mark.parametrize(
    ("variable", "transport", "platform"),
    [
        ("x: 1", Transport.SSH, Platform.LINUX),
        ("ansible_connection: ssh", Transport.SSH, Platform.LINUX),
        ("ansible_connection: paramiko_ssh", Transport.SSH, Platform.LINUX),
        ("ansible_connection: ansible.builtin.ssh", Transport.SSH, Platform.LINUX),
        ("ansible_connection: local", Transport.LOCAL, Platform.LINUX),
        ("{ansible_connection: winrm, ansible_user: u, ansible_password: env:P}", Transport.WINRM, Platform.WINDOWS),
        ("ansible_shell_type: powershell", Transport.SSH, Platform.WINDOWS),
        ("ansible_shell_type: cmd", Transport.SSH, Platform.WINDOWS),
        ("ansible_shell_type: sh", Transport.SSH, Platform.LINUX),
        ("remedy_platform: windows", Transport.SSH, Platform.WINDOWS),
    ],
)
def test_transport_and_platform(tmp_path: Path, variable: str, transport: Transport, platform: Platform) -> None:
    """The connection says the transport; remedy_platform, then WinRM or the shell, then linux say the platform."""
    host = _with(tmp_path, variable)

    assert (host.transport, host.platform, host.connection.barred) == (transport, platform, None)


@pytest.mark.parametrize(
    ("variable", "connection"),
    [
        ("ansible_ssh_host: 10.0.0.1", Connection(address="10.0.0.1")),
        ("ansible_ssh_user: old", Connection(user="old")),
        ("ansible_user: CORP\\me", Connection(user="CORP\\me")),
        ("ansible_private_key_file: ~/.ssh/k", Connection(identity_file="~/.ssh/k")),
        ("ansible_ssh_private_key_file: /k", Connection(identity_file="/k")),
        ("ansible_password: env:SSH_PASS", Connection(password="env:SSH_PASS")),
        ("ansible_ssh_pass: file:/run/secrets/p", Connection(password="file:/run/secrets/p")),
        ("remedy_known_hosts: /etc/kh", Connection(known_hosts="/etc/kh")),
        ("remedy_known_hosts: ~/kh", Connection(known_hosts="~/kh")),
        ("ansible_become: yes", Connection()),
        ("ansible_become_user: root", Connection()),
        ("ansible_become_method: sudo", Connection()),
        ("ansible_ssh_common_args: ''", Connection()),
        ("ansible_ssh_pipelining: true", Connection()),
        ("ansible_python_interpreter: '{{ x }}'", Connection()),
        ("ansible_winrm_transport: ntlm", Connection()),
        ("ansible_host:", Connection()),
    ],
)
def test_connection_is_read(tmp_path: Path, variable: str, connection: Connection) -> None:
    """Ansible's variables, their older names and references to secrets become the connection; others nothing."""
    assert _with(tmp_path, variable).connection == connection


def test_known_hosts_is_relative_to_the_inventory(tmp_path: Path) -> None:
    """A relative remedy_known_hosts lies beside the inventory, also when group_vars names it."""
    host = _host(tmp_path, "", group_vars__all="remedy_known_hosts: keys/known_hosts\n")

    assert host.connection.known_hosts == str(tmp_path / "keys/known_hosts")


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("ansible_connection: docker", "ansible_connection: docker is not supported; use ssh, local or winrm"),
        ("ansible_connection: '{{ c }}'", "ansible_connection is a template, which only Ansible can fill in"),
        ("ansible_host: '{{ ip }}'", "ansible_host is a template"),
        ("ansible_host: !vault x", "ansible_host: the tag !vault is not read by remedy"),
        ("ansible_port: !unsafe 22", "ansible_port: the tag !unsafe is not read by remedy"),
        ("ansible_user: {__ansible_vault: x}", "ansible_user is encrypted or marked by Ansible"),
        (
            "ansible_ssh_common_args: -J jump",
            "ansible_ssh_common_args is not supported; write what it does into ssh_conf",
        ),
        ("ansible_ssh_extra_args: -o X=y", "ansible_ssh_extra_args is not supported"),
        ("ansible_ssh_args: -F x", "ansible_ssh_args is not supported"),
        ("ansible_ssh_executable: /opt/ssh", "ansible_ssh_executable is not supported"),
        ("ansible_ssh_whatever_is_new: 1", "ansible_ssh_whatever_is_new is not supported"),
        ("ansible_paramiko_proxy_command: nc", "ansible_paramiko_proxy_command is not supported"),
        ("ansible_become_user: oracle", "ansible_become_user is not supported; remedy becomes root with `sudo -n`"),
        ("ansible_become_method: su", "ansible_become_method is not supported"),
        ("ansible_become_flags: -E", "ansible_become_flags is not supported"),
        ("ansible_become_password: '{{ v }}'", "ansible_become_password is not supported"),
        ("ansible_password: '{{ v }}'", "ansible_password is a template; write env:NAME or file:/PATH"),
        ("ansible_password: !vault x", "ansible_password: the tag !vault is not read by remedy; write env:NAME"),
        ("ansible_password: [a]", "ansible_password: this form is not read by remedy"),
        ("{ansible_host: a, ansible_ssh_host: b}", "ansible_host and ansible_ssh_host differ; keep one of them"),
    ],
)
def test_setting_that_is_not_supported_bars_the_host(tmp_path: Path, variable: str, reason: str) -> None:
    """A host whose way in remedy would get wrong is barred with the reason; it is never connected past it."""
    barred = _with(tmp_path, variable).connection.barred

    assert barred is not None
    assert reason in barred


def test_all_reasons_bar_together(tmp_path: Path) -> None:
    """Two unsupported settings are two reasons."""
    host = _host(tmp_path, "      ansible_ssh_args: -F x\n      ansible_host: '{{ ip }}'\n")

    assert host.connection.barred is not None
    assert host.connection.barred.count("; write") == 2


def test_encrypted_file_bars_its_hosts(tmp_path: Path) -> None:
    """A group_vars file under Ansible Vault may say how hosts are reached, so its hosts are barred and others not."""
    inventory = _load(
        tmp_path,
        {
            "inventory.yaml": "web: {hosts: {web-1: }}\ndb: {hosts: {db-1: }}\n",
            "group_vars/web/vault.yaml": "$ANSIBLE_VAULT;1.1;AES256\n6162\n",
        },
    )

    assert "is encrypted with Ansible Vault" in (inventory.hosts["web-1"].connection.barred or "")
    assert inventory.hosts["db-1"].connection.barred is None


@pytest.mark.parametrize("base", ["group_vars", "host_vars"])
def test_broken_variables_file_is_an_error(tmp_path: Path, base: str) -> None:
    """A mistake in a file of variables is reported with its place."""
    name = "all" if base == "group_vars" else "web-1"
    with pytest.raises(FilesError, match=rf"{base}/{name}.yaml:2:1: duplicate key `ansible_user`"):
        _host(tmp_path, "", **{f"{base}__{name}.yaml": "ansible_user: a\nansible_user: b\n"})


SECRET = "hunter2-0755"
_LITERALS = [
    f"ansible_password: {SECRET}",
    f"ansible_ssh_pass: '{SECRET}'",
    f"ansible_ssh_password: {SECRET}",
    f"ansible_password: |\n        {SECRET}\n        second line",
]


@pytest.mark.parametrize("variable", _LITERALS)
@pytest.mark.parametrize("place", ["host", "group_vars", "json"])
def test_literal_password_is_warned_about_and_kept_nowhere(tmp_path: Path, variable: str, place: str) -> None:
    """A literal password is a warning at its place and bars the host; the text itself is in nothing that is loaded."""
    name = variable.partition(":")[0]
    if place == "host":
        inventory = _load(tmp_path, {"inventory.yaml": f"all:\n  hosts:\n    web-1:\n      {variable}\n"})
    elif place == "group_vars":
        text = variable.replace("\n        ", "\n  ")
        inventory = _load(tmp_path, {"inventory.yaml": "all: {hosts: {web-1: }}\n", "group_vars/all.yaml": text})
    else:
        value = variable.partition(":")[2].strip(" '|\n")
        data = {"_meta": {"hostvars": {"web-1": {name: value}}}, "all": {"hosts": ["web-1"]}}
        inventory = _load(tmp_path, {"inventory.json": json.dumps(data)}, source="inventory.json")
    [warning] = inventory.warnings

    assert warning.message.endswith(f"{name}: a literal secret stands in the inventory and is never used")
    assert warning.cure == "write env:NAME or file:/PATH"
    assert place == "json" or warning.place.line > 0
    assert name in (inventory.hosts["web-1"].connection.barred or "")
    assert inventory.hosts["web-1"].connection.password is None
    assert SECRET not in repr(inventory)


_VARIABLE = "it looks like a shell's variable"
_NEARLY = "small letters, one ':' and no blanks"
_RELATIVE = "the path must begin with / or ~/"
_COMMENT = "what follows '#' is no comment here, but a part of the value"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"env: {SECRET}", _NEARLY),
        ("env: WIN_PASSWORD", _NEARLY),
        (" env:WIN_PASSWORD", _NEARLY),
        ("ENV:WIN_PASSWORD", _NEARLY),
        ("Env:WIN_PASSWORD", _NEARLY),
        ("env=WIN_PASSWORD", _NEARLY),
        ("env::WIN_PASSWORD", _NEARLY),
        ("File:/run/p", _NEARLY),
        ("file: /run/p", _NEARLY),
        (f"env:{SECRET}", "an environment variable has letters, digits and _ only"),
        ("env:", "an environment variable has letters, digits and _ only"),
        ("$WIN_PASSWORD", _VARIABLE),
        ("${WIN_PASSWORD}", _VARIABLE),
        ("$env:WIN_PASSWORD", _VARIABLE),
        ("%WIN_PASSWORD%", _VARIABLE),
        ("file:secrets/win", _RELATIVE),
        (f"file:{SECRET}", _RELATIVE),
        ("file:~remedy/p", _RELATIVE),
        ("env:WIN_PASSWORD # of the domain", _COMMENT),
        ("env:WIN_PASSWORD ; of the domain", "an environment variable has letters, digits and _ only"),
        ("file:secrets # of the domain", _COMMENT),
    ],
)
@pytest.mark.parametrize("connection", ["ssh", "winrm"])
def test_mistyped_reference_is_told_as_one(tmp_path: Path, connection: str, text: str, why: str) -> None:
    """What was meant as a reference is told as that with what is wrong, bars the host, and is shown nowhere."""
    variables = f"      ansible_connection: {connection}\n      ansible_user: u\n      ansible_password: '{text}'\n"
    inventory = _load(tmp_path, {"inventory.yaml": f"all:\n  hosts:\n    web-1:\n{variables}"})
    [warning] = inventory.warnings
    said = f"ansible_password: is nearly a reference, and none: {why}"

    assert (warning.place.line, warning.message) == (6, f"host web-1: {said}")
    assert warning.cure == "write env:NAME or file:/PATH"
    assert inventory.hosts["web-1"].connection.barred == f"{said}; {warning.cure}"
    assert inventory.hosts["web-1"].connection.password is None
    assert SECRET not in repr(inventory)


@pytest.mark.parametrize("text", ["$ecret", "environment", "files:1", "pa$$WORD", "100%", "%", "$1", "my env:X", "#1"])
def test_literal_password_that_is_like_no_reference_is_a_literal_one(tmp_path: Path, text: str) -> None:
    """A password with a dollar or a percent sign is a password, and told as one."""
    inventory = _load(tmp_path, {"inventory.yaml": f"all:\n  hosts:\n    web-1: {{ansible_password: '{text}'}}\n"})

    assert "literal secret" in inventory.warnings[0].message
    assert "literal password" in (inventory.hosts["web-1"].connection.barred or "")


@pytest.mark.parametrize(
    ("variables", "barred"),
    [
        (
            f"ansible_become_pass: {SECRET}",
            ("ansible_become_pass is not supported; remedy becomes root with `sudo -n`, which asks for no password"),
        ),
        (f"ansible_become_password: {SECRET}", "ansible_become_password is not supported; remedy becomes root with"),
        (f"ansible_sudo_pass: {SECRET}", "ansible_sudo_pass is not supported; remedy becomes root with"),
        (f"ansible_ssh_private_key: {SECRET}", "ansible_ssh_private_key is not supported; write what it does into"),
        (f"ansible_winrm_password: {SECRET}", None),
        (f"ansible_connection: local, ansible_password: {SECRET}, ansible_become_pass: {SECRET}", None),
        (
            f"ansible_connection: winrm, ansible_user: u, ansible_password: env:P, ansible_ssh_pass: {SECRET}",
            None,
        ),
        (
            f"ansible_connection: winrm, ansible_user: u, ansible_password: env:P, ansible_sudo_pass: {SECRET}",
            None,
        ),
        (
            f"ansible_connection: winrm, ansible_user: u, ansible_password: env:P, ansible_become_pass: {SECRET}",
            "ansible_become_pass is not supported; remove it",
        ),
    ],
)
def test_secret_of_a_variable_that_is_not_read_is_no_warning(
    tmp_path: Path, variables: str, barred: str | None
) -> None:
    """No cure is given for a secret that would not be used even if it were a reference; a barred host says enough."""
    inventory = _load(tmp_path, {"inventory.yaml": f"all:\n  hosts:\n    web-1: {{{variables}}}\n"})
    found = inventory.hosts["web-1"].connection.barred

    assert inventory.warnings == ()
    assert found is None if barred is None else (found or "").startswith(barred)
    assert SECRET not in repr(inventory)


def test_private_key_in_the_place_of_its_file_is_warned_about_and_kept_nowhere(tmp_path: Path) -> None:
    """A key that was pasted where ssh wants its file is a warning and bars the host; nothing shows it."""
    key = f"|\n        -----BEGIN PRIVATE KEY-----\n        {SECRET}\n        -----END PRIVATE KEY-----\n"
    text = f"all:\n  hosts:\n    web-1:\n      ansible_ssh_private_key_file: {key}"
    inventory = _load(tmp_path, {"inventory.yaml": text})
    shown = host_assignments(str(tmp_path / "inventory.yaml"), "web-1")

    assert [each.message for each in inventory.warnings] == [
        "host web-1: ansible_ssh_private_key_file: a literal secret stands in the inventory and is never used"
    ]
    assert inventory.hosts["web-1"].connection.barred == (
        "ansible_ssh_private_key_file is no path of a file; write /PATH or ~/PATH"
    )
    assert [each.value for each in shown] == ["***"]
    assert SECRET not in repr(inventory)


@pytest.mark.parametrize(
    ("variable", "barred"),
    [
        ("ansible_connection: wirnm", "ansible_connection: wirnm is not supported; did you mean winrm?"),
        ("ansible_connection: WinRM", "ansible_connection: WinRM is not supported; did you mean winrm?"),
        ("ansible_connection: shh", "ansible_connection: shh is not supported; did you mean ssh?"),
        ("ansible_connection: Local", "ansible_connection: Local is not supported; did you mean local?"),
        ("ansible_shell_type: powershel", "ansible_shell_type: powershel is not known; did you mean powershell?"),
        ("ansible_shell_type: CMD", "ansible_shell_type: CMD is not known; did you mean cmd?"),
    ],
)
def test_mistyped_value_bars_the_host_with_what_was_meant(tmp_path: Path, variable: str, barred: str) -> None:
    """A transport or shell with a slip of the pen is told with its place and the word that was meant."""
    found = _with(tmp_path, variable).connection.barred or ""

    assert found.replace(f"{tmp_path}/", "") == f"{barred} (inventory.yaml:4:{variable.index(' ') + 8})"


def test_number_as_password_is_literal(tmp_path: Path) -> None:
    """A password that YAML reads as a number is as literal as text, and is not shown either."""
    inventory = _load(tmp_path, {"inventory.yaml": "all:\n  hosts:\n    web-1: {ansible_password: 0755123}\n"})

    assert "literal password" in (inventory.hosts["web-1"].connection.barred or "")
    assert "755123" not in repr(inventory)


@pytest.mark.parametrize(
    "damage",
    [
        "      ansible_port: nonsense\n",
        "      ansible_password: again\n",
        "      remedy_params: {low-disk: {below: 1}}\n",
        "      broken: [\n",
        "      x: &a\n  - y\n",
        "\t- tab\n",
    ],
)
def test_literal_password_is_in_no_error(tmp_path: Path, damage: str) -> None:
    """An error of the same file, of whatever kind, shows neither the password nor a traceback that holds it."""
    with pytest.raises(RemedyError) as caught:
        _host(tmp_path, f"      ansible_password: {SECRET}\n{damage}")

    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=False).format())
    assert SECRET not in shown
    assert SECRET not in repr(caught.value)


def test_reference_to_a_secret_is_no_warning(tmp_path: Path) -> None:
    """env: and file: name where a password is; they are kept as they are."""
    inventory = _load(tmp_path, {"inventory.yaml": "all:\n  hosts:\n    web-1: {ansible_password: env:PASS}\n"})

    assert inventory.warnings == ()
    assert inventory.hosts["web-1"].connection == Connection(password="env:PASS")


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("ansible_hots", "ansible_host"),
        ("ansible_prot", "ansible_port"),
        ("ansible_usr", "ansible_user"),
        ("ansible_winrm_tranport", "ansible_winrm_transport"),
        ("ansible_wirnm_transport", "ansible_winrm_transport"),
        ("ansible_winrm_schema", "ansible_winrm_scheme"),
        ("ansible_winrm_server_cert_valdation", "ansible_winrm_server_cert_validation"),
        ("ansible_winrm_cert_key", "ansible_winrm_cert_key_pem"),
        ("ansible_psrp_path", None),
        ("ansible_conection", "ansible_connection"),
        ("ansible_hostname", None),
        ("ansible_user_id", None),
        ("ansible_ssh_args", None),
        ("ansible_python_interpreter", None),
        ("ansible_timeout", None),
    ],
)
def test_name_near_a_variable_that_is_read_is_a_warning(tmp_path: Path, variable: str, meant: str | None) -> None:
    """A mistyped variable would send remedy to another address; Ansible's other variables are no mistakes."""
    inventory = _load(tmp_path, {"inventory.yaml": f"all:\n  hosts:\n    web-1:\n      {variable}: ''\n"})

    assert [(each.place.line, each.cure) for each in inventory.warnings] == (
        [] if meant is None else [(4, f"did you mean `{meant}`?")]
    )


def test_misspelt_variable_is_told_once_a_file(tmp_path: Path) -> None:
    """A thousand hosts with the same mistake are one warning."""
    hosts = "".join(f"    web-{number}: {{ansible_hots: a}}\n" for number in range(1000))

    assert len(_load(tmp_path, {"inventory.yaml": f"all:\n  hosts:\n{hosts}"}).warnings) == 1


def test_list_of_ansible_inventory_in_a_yaml_file_has_its_variables(tmp_path: Path) -> None:
    """JSON of `ansible-inventory --list` is known by what it holds, whatever its file is called."""
    listing = {"_meta": {"hostvars": {"web-1": {"ansible_host": "10.0.0.1"}}}, "all": {"hosts": ["web-1"]}}
    host = _load(tmp_path, {"inventory.yaml": json.dumps(listing)}).hosts["web-1"]

    assert host.connection.address == "10.0.0.1"


def test_message_of_many_problems_is_cut_and_the_problems_are_not(tmp_path: Path) -> None:
    """A folder that is no inventory does not fill the screen: 50 problems are shown, and how many more there are."""
    lines = "".join(f"what is this {number}\n" for number in range(120))
    with pytest.raises(FilesError) as caught:
        _load(tmp_path, {"hosts": lines}, source="hosts")

    shown = str(caught.value).splitlines()
    assert (len(shown), shown[-1], len(caught.value.problems)) == (51, "and 70 more", 120)


def test_overrides_of_broken_rules_are_not_looked_at(tmp_path: Path) -> None:
    """An override for a rule that could not be read is no mistake of the inventory."""
    file = tmp_path / "inventory.yaml"
    file.write_text("all:\n  hosts:\n    a:\n      remedy_params: {broken: {x: 1}, low-disk: {below_percent: 5}}\n")
    inventory = load_inventory(str(file), types=TYPES, untyped=["broken"])

    assert inventory.hosts["a"].params == {"low-disk": {"below_percent": 5.0}}
