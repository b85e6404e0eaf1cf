"""From a host's effective variables to how it is reached, or why it must not be."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from remedy.errors import Problem
from remedy.load.inventory.graph import LITERAL_VARIABLES, Variable, is_reference, is_template
from remedy.load.inventory.precedence import Resolved
from remedy.load.nodes import ListNode, MappingNode, Node, OpaqueNode, ScalarNode, plain
from remedy.load.scalars import doubt_cure
from remedy.load.typed import typed_param
from remedy.model import Connection, Host, Params, ParamValue, Platform, Transport
from remedy.text import nearest, untrusted

__all__ = ["HostReader"]

_TRANSPORTS: Mapping[str, Transport] = {
    "ssh": Transport.SSH,
    "smart": Transport.SSH,
    "paramiko": Transport.SSH,
    "paramiko_ssh": Transport.SSH,
    "local": Transport.LOCAL,
    "winrm": Transport.WINRM,
}
_ADDRESS = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,252}")
_USER = re.compile(r"[^\s\x00-\x1f\x7f-][^\x00-\x1f\x7f]{0,255}")
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


class HostReader:
    """Makes hosts of resolved variables; collects problems of values that are simply wrong."""

    def __init__(self, *, folder: Path | None, types: Mapping[str, Params], untyped: Collection[str] = ()) -> None:
        self.problems: list[Problem] = []
        self._folder = folder
        self._types = types
        self._untyped = untyped
        self._typed: dict[int, Mapping[str, Params]] = {}

    def host(self, resolved: Resolved) -> Host:
        """Return the host; with `connection.barred` when something about it is not supported."""
        reader = _Variables(resolved.variables, self.problems)
        transport = self._transport(reader)
        platform = self._platform(reader, transport)
        connection = Connection() if transport is Transport.LOCAL else self._connection(reader, transport)
        reasons = tuple(dict.fromkeys((*resolved.barred, *reader.barred)))
        return Host(
            name=resolved.name,
            platform=platform,
            transport=transport,
            groups=resolved.groups,
            connection=replace(connection, barred="; ".join(reasons)) if reasons else connection,
            params=self._params(resolved),
        )

    def _connection(self, reader: "_Variables", transport: Transport) -> Connection:
        reader.bar_unsupported(transport)
        return Connection(
            address=reader.matching(_ADDRESS_NAMES, _ADDRESS, "an address or a name"),
            port=reader.port(),
            user=reader.matching(_USER_NAMES, _USER, "the name of an account"),
            identity_file=reader.text(_KEY_NAMES),
            password=reader.password(),
            known_hosts=self._known_hosts(reader),
        )

    def _transport(self, reader: "_Variables") -> Transport:
        named = reader.text(("ansible_connection",))
        if named is None:
            return Transport.SSH
        transport = _TRANSPORTS.get(named.removeprefix("ansible.builtin."))
        if transport is None:
            shown = untrusted(named, characters_max=60)
            reader.barred.append(f"ansible_connection: {shown} is not supported; use ssh, local or winrm")
            return Transport.SSH
        return transport

    def _platform(self, reader: "_Variables", transport: Transport) -> Platform:
        named = reader.text(("remedy_platform",))
        known = [platform.value for platform in Platform]
        if named in known:
            return Platform(named)
        if named is not None:
            near = nearest(named, known, most=1)
            cure = f"did you mean `{near[0]}`?" if near else ""
            shown = untrusted(named, characters_max=60)
            reader.wrong("remedy_platform", f"must be {' or '.join(known)}, not '{shown}'", cure)
        shell = reader.text(("ansible_shell_type",))
        is_windows = transport is Transport.WINRM or shell in {"powershell", "cmd"}
        return Platform.WINDOWS if is_windows else Platform.LINUX

    def _known_hosts(self, reader: "_Variables") -> str | None:
        named = reader.text(("remedy_known_hosts",))
        if named is None or PurePosixPath(named).is_absolute() or named.startswith("~/"):
            return named
        if self._folder is None:
            reader.wrong("remedy_known_hosts", "a relative path has no folder here", "write an absolute path")
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
                self._unknown(variable, entry.line, entry.column, f"unknown rule or signal `{_short(name)}`", name,
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
                what = f"{name}: unknown parameter `{_short(param)}`"
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


def _short(name: str) -> str:
    return untrusted(name, characters_max=60)


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
            return "must not be a mapping"


class _Variables:
    """One host's variables, read by name; what is not supported bars the host."""

    def __init__(self, variables: Mapping[str, Variable], problems: list[Problem]) -> None:
        self.barred: list[str] = []
        self._variables = variables
        self._problems = problems

    def wrong(self, name: str, message: str, cure: str = "") -> None:
        """Add a problem with the value of a variable."""
        self._problems.append(self._variables[name].problem(message, cure))

    def _found(self, names: tuple[str, ...]) -> Variable | None:
        """Return the variable by its first name, or by an older one; two that differ bar the host."""
        present = [self._variables[name] for name in names if not _is_unset(self._variables.get(name))]
        if not present:
            return None
        first = present[0]
        for other in present[1:]:
            if _scalar(other) != _scalar(first) or _scalar(first) is None:
                self.barred.append(f"{first.name} and {other.name} differ; keep one of them")
        return first

    def _scalar(self, names: tuple[str, ...]) -> tuple[Variable, str | float | bool] | None:
        variable = self._found(names)
        if variable is None:
            return None
        node = variable.node
        if isinstance(node, OpaqueNode):
            self.barred.append(f"{variable.name}: {node.what} is not read by remedy; write the value")
            return None
        if not isinstance(node, ScalarNode):
            if isinstance(node, MappingNode) and any(key.startswith("__ansible_") for key in node.entries):
                self.barred.append(f"{variable.name} is encrypted or marked by Ansible; write the value")
            else:
                self._problems.append(variable.problem("must be one value, not a list or a mapping"))
            return None
        if isinstance(node.value, str) and is_template(node.value):
            self.barred.append(f"{variable.name} is a template, which only Ansible can fill in; write the value")
            return None
        if node.doubt:
            self._problems.append(variable.problem(node.doubt, doubt_cure(node.doubt)))
            return None
        return None if node.value is None else (variable, node.value)

    def text(self, names: tuple[str, ...]) -> str | None:
        """Return the text under the first of the names that is set."""
        found = self._scalar(names)
        if found is None:
            return None
        variable, value = found
        if not isinstance(value, str):
            self._problems.append(variable.problem("must be text", "put it in quotes"))
            return None
        return value

    def matching(self, names: tuple[str, ...], form: re.Pattern[str], what: str) -> str | None:
        """Return the text under the first of the names that is set; another form is a problem."""
        value = self.text(names)
        if value is not None and not form.fullmatch(value):
            variable = self._found(names)
            if variable is not None:
                self._problems.append(variable.problem(f"'{_short(value)}' is not {what}"))
            return None
        return value

    def port(self) -> int | None:
        """Return the port; a text of digits is one, as in Ansible."""
        found = self._scalar(_PORT_NAMES)
        if found is None:
            return None
        variable, value = found
        digits = value if isinstance(value, str) else str(value)
        if isinstance(value, bool) or not re.fullmatch(r"[1-9][0-9]{0,4}", digits) or int(digits) > 65_535:
            self._problems.append(variable.problem("must be a port from 1 to 65535"))
            return None
        return int(digits)

    def password(self) -> str | None:
        """Return the reference to the password; anything else bars the host, and is not kept."""
        variable = self._found(_PASSWORD_NAMES)
        if variable is None:
            return None
        node = variable.node
        if isinstance(node, ScalarNode) and isinstance(node.value, str) and not node.doubt:
            if is_reference(node.value):
                return node.value
            if is_template(node.value):
                self.barred.append(f"{variable.name} is a template; write env:NAME or file:/PATH")
                return None
        if isinstance(node, ScalarNode):
            self.barred.append(f"{variable.name}: a literal password is never used; write env:NAME or file:/PATH")
        else:
            what = node.what if isinstance(node, OpaqueNode) else "this form"
            self.barred.append(f"{variable.name}: {what} is not read by remedy; write env:NAME or file:/PATH")
        return None

    def bar_unsupported(self, transport: Transport) -> None:
        """Bar the host when a variable says how to reach it and remedy does not do so."""
        for name in sorted(self._variables):
            sensitive = (*_SENSITIVE, "ansible_winrm_") if transport is Transport.WINRM else _SENSITIVE
            is_sensitive = name.startswith(sensitive) or name in LITERAL_VARIABLES
            if not is_sensitive or name in _READ or name in _HARMLESS or _is_unset(self._variables[name]):
                continue
            value = _scalar(self._variables[name])
            if value is not None and str(value) in _DEFAULTS.get(name, ()):
                continue
            self.barred.append(f"{name} is not supported; {_cure(name)}")


def _cure(name: str) -> str:
    if name.startswith(("ansible_become_", "ansible_sudo_", "ansible_su_")):
        return "remedy becomes root with `sudo -n`, which asks for no password"
    if name.startswith("ansible_winrm_"):
        return "remove it for this host"
    return "write what it does into ssh_config, or remove it for this host"


def _is_unset(variable: Variable | None) -> bool:
    if variable is None:
        return True
    return isinstance(variable.node, ScalarNode) and variable.node.value in {None, ""} and not variable.node.doubt


def _scalar(variable: Variable) -> str | float | bool | None:
    return variable.node.value if isinstance(variable.node, ScalarNode) else None
