"""From a host's effective variables to how it is reached, or why it must not be."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import assert_never

from remedy.errors import Problem
from remedy.load.inventory.graph import LITERAL_VARIABLES, REMEDY_VARIABLES, Variable
from remedy.load.inventory.precedence import Resolved
from remedy.load.inventory.references import is_template
from remedy.load.inventory.variables import HostVariables, shown_name
from remedy.load.inventory.winrm import winrm_connection
from remedy.load.inventory.winrm_names import WINRM_VARIABLES
from remedy.load.nodes import ListNode, MappingNode, Node, OpaqueNode, ScalarNode, plain
from remedy.load.scalars import doubt_cure
from remedy.load.typed import typed_param
from remedy.model import Connection, Host, Params, ParamValue, Platform, Transport
from remedy.port import Shell
from remedy.text import nearest

__all__ = ["SHOWN_VARIABLES", "HostReader"]

_TRANSPORTS: Mapping[str, Transport] = {
    "ssh": Transport.SSH,
    "smart": Transport.SSH,
    "paramiko": Transport.SSH,
    "paramiko_ssh": Transport.SSH,
    "local": Transport.LOCAL,
    "winrm": Transport.WINRM,
}
_WINDOWS_SHELLS = frozenset({"powershell", "cmd"})
"""What an sshd of Windows may start: our command line is meant for both."""

_PSRP_PORT = 5986
_CONNECTION = "ansible_connection"
_SHELL = "ansible_shell_type"
_ADDRESS_NAMES = ("ansible_host", "ansible_ssh_host")
_PORT_NAMES = ("ansible_port", "ansible_ssh_port")
_USER_NAMES = ("ansible_user", "ansible_ssh_user")
_KEY_NAMES = ("ansible_ssh_private_key_file", "ansible_private_key_file")
_PASSWORD_NAMES = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
_READ = frozenset((*_ADDRESS_NAMES, *_PORT_NAMES, *_USER_NAMES, *_KEY_NAMES, *_PASSWORD_NAMES))
_SENSITIVE = (
    "ansible_ssh_",
    "ansible_become_",
    "ansible_sudo_",
    "ansible_su_",
    "ansible_paramiko_proxy",
    "ansible_proxy",
)
_HARMLESS = frozenset(
    {
        "ansible_ssh_timeout",
        "ansible_ssh_retries",
        "ansible_ssh_pipelining",
        "ansible_ssh_verbosity",
        "ansible_ssh_use_tty",
        "ansible_ssh_transfer_method",
        "ansible_ssh_control_path",
        "ansible_ssh_control_path_dir",
        "ansible_ssh_control_persist",
        "ansible_ssh_host_key_checking",
    }
)
_DEFAULTS: Mapping[str, frozenset[str]] = {
    "ansible_become_user": frozenset({"root"}),
    "ansible_become_method": frozenset({"sudo", "ansible.builtin.sudo"}),
    "ansible_become_exe": frozenset({"sudo", "/usr/bin/sudo"}),
    "ansible_become_flags": frozenset({"-H -S -n", "-n", "-H -n", ""}),
    "ansible_ssh_executable": frozenset({"ssh", "/usr/bin/ssh"}),
    "ansible_ssh_common_args": frozenset({""}),
    "ansible_ssh_extra_args": frozenset({""}),
    "ansible_ssh_args": frozenset({""}),
}
SHOWN_VARIABLES = (
    (
        WINRM_VARIABLES
        | _READ
        | _HARMLESS
        | frozenset(_DEFAULTS)
        | frozenset(REMEDY_VARIABLES)
        | {"ansible_become", "ansible_connection", "ansible_group_priority", "ansible_shell_type"}
    )
    - LITERAL_VARIABLES
    - {"ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args"}
)
"""Variables whose values say how a host is reached and may be shown; arguments may hold a password."""


class HostReader:
    """Makes hosts of resolved variables; collects problems of values that are simply wrong."""

    def __init__(self, *, folder: Path | None, types: Mapping[str, Params], untyped: Collection[str] = ()) -> None:
        self.problems: list[Problem] = []
        self.warnings: dict[Problem, None] = {}
        self._folder = folder
        self._types = types
        self._untyped = untyped
        self._typed: dict[int, Mapping[str, Params]] = {}

    def host(self, resolved: Resolved) -> Host:
        """Return the host; with `connection.barred` when something about it is not supported."""
        variables = HostVariables(resolved.variables, problems=self.problems, warnings=self.warnings)
        transport = self._transport(variables)
        platform = self._platform(variables, transport)
        connection = self._connection(resolved.name, variables, transport, platform)
        reasons = tuple(dict.fromkeys((*resolved.barred, *variables.barred)))
        return Host(
            name=resolved.name,
            platform=platform,
            transport=transport,
            groups=resolved.groups,
            connection=replace(connection, barred="; ".join(reasons)) if reasons else connection,
            params=self._params(resolved),
        )

    def _connection(self, name: str, variables: HostVariables, transport: Transport, platform: Platform) -> Connection:
        match transport:
            case Transport.LOCAL:
                if platform is Platform.WINDOWS:
                    variables.barred.append("this machine is no Windows host; reach one over winrm or ssh")
                return Connection()
            case Transport.WINRM if _is_psrp(variables.text((_CONNECTION,))):
                # Its own variables say how it is reached; nothing of them is needed to refuse it.
                return Connection(port=variables.port(_PORT_NAMES) or _PSRP_PORT, shell=Shell.POWERSHELL)
            case Transport.WINRM:
                if platform is not Platform.WINDOWS:
                    variables.barred.append(
                        "winrm leads to Windows only; correct remedy_platform or ansible_connection"
                    )
                return winrm_connection(name, variables)
            case Transport.SSH:
                return self._ssh_connection(variables, platform)
        assert_never(transport)

    def _ssh_connection(self, variables: HostVariables, platform: Platform) -> Connection:
        variables.bar_others(_says_how, harmless=_DEFAULTS, cure=_cure)
        return Connection(
            address=variables.address(_ADDRESS_NAMES),
            port=variables.port(_PORT_NAMES),
            user=variables.user(_USER_NAMES),
            identity_file=variables.file(_KEY_NAMES),
            password=variables.password(_PASSWORD_NAMES),
            known_hosts=self._known_hosts(variables),
            shell=self._shell(variables, platform),
        )

    def _shell(self, variables: HostVariables, platform: Platform) -> Shell:
        """Return what reads the payloads: PowerShell on Windows, whatever shell its sshd starts, and sh elsewhere."""
        named = variables.text((_SHELL,))
        if named is not None and named not in _WINDOWS_SHELLS and (near := nearest(named, _WINDOWS_SHELLS, most=1)):
            variables.bar(_SHELL, f": {shown_name(named)} is not known; did you mean {near[0]}?")
        elif named is not None and (named in _WINDOWS_SHELLS) is not (platform is Platform.WINDOWS):
            shown = shown_name(named)
            variables.barred.append(
                f"ansible_shell_type: {shown} does not fit remedy_platform: {platform.value}; remove one of them"
            )
        return Shell.POWERSHELL if platform is Platform.WINDOWS else Shell.SH

    def _transport(self, variables: HostVariables) -> Transport:
        named = variables.text((_CONNECTION,))
        if named is None:
            return Transport.SSH
        short = named.removeprefix("ansible.builtin.")
        transport = _TRANSPORTS.get(short)
        if transport is None:
            reason = f": {shown_name(named)} is not supported"
            if _is_psrp(named):
                variables.barred.append(f"{_CONNECTION}{reason}; use winrm, on the same port")
                return Transport.WINRM
            if near := nearest(short, [each.value for each in Transport], most=1):
                variables.bar(_CONNECTION, f"{reason}; did you mean {near[0]}?")
                return Transport.SSH
            variables.barred.append(f"{_CONNECTION}{reason}; use ssh, local or winrm")
            return Transport.SSH
        return transport

    def _platform(self, variables: HostVariables, transport: Transport) -> Platform:
        named = variables.choice("remedy_platform", tuple(platform.value for platform in Platform))
        if named is not None:
            return Platform(named)
        is_windows = transport is Transport.WINRM or variables.text((_SHELL,)) in _WINDOWS_SHELLS
        return Platform.WINDOWS if is_windows else Platform.LINUX

    def _known_hosts(self, variables: HostVariables) -> str | None:
        named = variables.text(("remedy_known_hosts",))
        if named is None or PurePosixPath(named).is_absolute() or named.startswith("~/"):
            return named
        if self._folder is None:
            variables.wrong("remedy_known_hosts", "a relative path has no folder here", "write an absolute path")
            return None
        return str(self._folder / named)

    def _params(self, resolved: Resolved) -> Mapping[str, Params]:
        merged: dict[str, dict[str, ParamValue]] = {}
        for variable in resolved.params:
            for name, params in self._typed_params(variable).items():
                merged.setdefault(name, {}).update(params)
        return merged

    def _typed_params(self, variable: Variable) -> Mapping[str, Params]:
        """Return one remedy_params, typed; each is looked at once however many hosts inherit it."""
        if id(variable.node) not in self._typed:
            self._typed[id(variable.node)] = self._read_params(variable)
        return self._typed[id(variable.node)]

    def _read_params(self, variable: Variable) -> dict[str, dict[str, ParamValue]]:
        node = variable.node
        if isinstance(node, ScalarNode) and node.value is None:
            return {}
        if not isinstance(node, MappingNode):
            self._wrong_param(variable, node, (), "must be a mapping of rules or signals")
            return {}
        typed: dict[str, dict[str, ParamValue]] = {}
        for name, entry in node.entries.items():
            if name in self._untyped:
                continue
            if name not in self._types:
                self._unknown(variable, entry.line, entry.column, f"unknown rule or signal `{shown_name(name)}`", name,
                              list(self._types))  # fmt: skip
                continue
            if not isinstance(entry.value, MappingNode):
                self._wrong_param(variable, entry.value, (name,), "must be a mapping of parameters")
                continue
            typed[name] = self._read_one(variable, name, entry.value)
        return typed

    def _read_one(self, variable: Variable, name: str, node: MappingNode) -> dict[str, ParamValue]:
        params: dict[str, ParamValue] = {}
        defaults = self._types[name]
        for param, entry in node.entries.items():
            if param not in defaults:
                what = f"{name}: unknown parameter `{shown_name(param)}`"
                self._unknown(variable, entry.line, entry.column, what, param, list(defaults))
                continue
            reason = _unusable(entry.value)
            if reason:
                self._wrong_param(variable, entry.value, (name, param), reason)
                continue
            try:
                params[param] = typed_param(defaults, param, plain(entry.value))
            except ValueError as exc:
                self._wrong_param(variable, entry.value, (name, param), str(exc))
        return params

    def _unknown(self, variable: Variable, line: int, column: int, what: str, name: str, known: list[str]) -> None:
        near = nearest(name, known, most=1)
        cure = f"did you mean `{near[0]}`?" if near else (f"known are {', '.join(sorted(known)[:20])}" if known else "")
        spot = ScalarNode(value=None, line=line, column=column)
        self.problems.append(_at(variable, spot).problem(what, cure))

    def _wrong_param(self, variable: Variable, node: Node, route: tuple[str, ...], message: str) -> None:
        path = ".".join(route)
        self.problems.append(_at(variable, node).problem(f"{path}: {message}" if path else message))


def _at(variable: Variable, node: Node) -> Variable:
    return Variable(name=variable.name, owner=variable.owner, file=variable.file, node=node)


def _unusable(node: Node) -> str:
    """Return why a value cannot be read for what it says; '' when it can."""
    match node:
        case OpaqueNode():
            return f"{node.what} is not supported here; write the value"
        case ScalarNode():
            if node.doubt:
                return f"{node.doubt}; {doubt_cure(node.doubt)}"
            if isinstance(node.value, str) and is_template(node.value):
                return "a template is not supported here; write the value"
            return ""
        case ListNode():
            return next((reason for item in node.items if (reason := _unusable(item))), "")
        case MappingNode():
            return next((reason for entry in node.entries.values() if (reason := _unusable(entry.value))), "")


def _is_psrp(named: str | None) -> bool:
    return named is not None and named.removeprefix("ansible.builtin.") == "psrp"


def _says_how(name: str) -> bool:
    """Say whether a variable tells how to get onto a host over ssh; those of WinRM do not."""
    is_ours = name.startswith(_SENSITIVE) or (name in LITERAL_VARIABLES and not name.startswith("ansible_winrm_"))
    return is_ours and name not in _READ and name not in _HARMLESS


def _cure(name: str) -> str:
    if name.startswith(("ansible_become_", "ansible_sudo_", "ansible_su_")):
        return "remedy becomes root with `sudo -n`, which asks for no password"
    return "write what it does into ssh_config, or remove it for this host"
