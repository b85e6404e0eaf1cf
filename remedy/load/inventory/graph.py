"""The raw inventory while it is read: groups, hosts, and the variables that remedy needs."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from remedy.errors import Place, Problem
from remedy.load.inventory.ranges import HostTerm, host_term
from remedy.load.inventory.winrm_names import KNOWN as WINRM_NAMES
from remedy.load.nodes import MappingNode, Node, OpaqueNode, ScalarNode
from remedy.text import nearest, untrusted

__all__ = ["LITERAL_VARIABLES", "REMEDY_VARIABLES", "Graph", "Group", "Variable"]

REMEDY_VARIABLES = (
    "remedy_computer_name",
    "remedy_known_hosts",
    "remedy_machine_id",
    "remedy_params",
    "remedy_platform",
    "remedy_winrm_fingerprint",
)
LITERAL_VARIABLES = frozenset(
    {
        "ansible_password",
        "ansible_ssh_pass",
        "ansible_ssh_password",
        "ansible_winrm_pass",
        "ansible_winrm_password",
        "ansible_become_pass",
        "ansible_become_password",
        "ansible_sudo_pass",
        "ansible_su_pass",
        "ansible_ssh_private_key",
        "ansible_private_key",
        "ansible_ssh_private_key_passphrase",
        "ansible_private_key_passphrase",
    }
)
"""Variables that may hold a secret; their values are never kept, shown or used."""

_PORT = "ansible_port"
_CONNECTION_VARIABLES = frozenset(
    {
        "ansible_become",
        "ansible_connection",
        "ansible_group_priority",
        "ansible_host",
        "ansible_password",
        "ansible_port",
        "ansible_private_key_file",
        "ansible_shell_type",
        "ansible_ssh_host",
        "ansible_ssh_pass",
        "ansible_ssh_port",
        "ansible_ssh_private_key_file",
        "ansible_ssh_user",
        "ansible_user",
    }
)
_OTHERS = frozenset({"ansible_ssh_args", "ansible_ssh_password", "ansible_ssh_private_key", "ansible_private_key"})
_MEANT = tuple(sorted(_CONNECTION_VARIABLES | WINRM_NAMES))
_NEAR = 0.9
"""`ansible_hots` is nearer than this to `ansible_host`; the facts `ansible_hostname` and `ansible_user_id` are not."""

_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:-]{0,252}")
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_RESERVED = frozenset({"all", "ungrouped"})
_PREFIXES = ("ansible_", "remedy_")
_NAMED_MAX = 500_000
"""How many hosts and variables of hosts the ranges of an inventory may stand for together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One assignment of one variable: for which host or group, and where; `text_cure` is how text is written there."""

    name: str
    owner: str
    file: str
    node: Node
    text_cure: str = "put it in quotes"

    @property
    def place(self) -> Place:
        """The place of the value; only the file's name for JSON, which people do not edit."""
        return Place(file=self.file, line=self.node.line, column=self.node.column)

    def problem(self, message: str, cure: str = "") -> Problem:
        """Return a problem with this variable."""
        return Problem(place=self.place, message=f"{self.owner}: {self.name}: {message}", cure=cure)


@dataclass(slots=True, kw_only=True)
class Group:
    """A group or a host's own settings: its variables from the inventory, then those from files beside it."""

    inline: dict[str, Variable] = field(default_factory=dict)
    filed: dict[str, Variable] = field(default_factory=dict)
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, Place] = field(default_factory=dict)
    barred: list[str] = field(default_factory=list)
    place: Place | None = None
    port: int | None = None


class Graph:
    """
    Groups and hosts as they are found, in any order and from any number of files.

    Variables whose names begin otherwise than `prefixes` are none of ours, and not kept.
    `bare` are names at the top of a file of YAML with nothing below them.
    """

    def __init__(self, *, prefixes: tuple[str, ...] = _PREFIXES) -> None:
        self.groups: dict[str, Group] = {"all": Group(), "ungrouped": Group()}
        self.hosts: dict[str, Group] = {}
        self.bare: dict[str, Place] = {}
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._prefixes = prefixes
        self._looked_at: set[tuple[str, str]] = set()
        self._named = 0

    def add_group(self, name: str, place: Place) -> Group | None:
        """Return the group of that name, made if it is new; None when it cannot be one."""
        if name not in self.groups:
            if not _GROUP.fullmatch(name):
                self._refuse_name("group", name, place, "_ . -")
                return None
            self.groups[name] = Group()
        return self.groups[name]

    def add_host(self, name: str, place: Place) -> Group | None:
        """Return the settings of the host of that name, made if it is new; None when it cannot be one."""
        if name not in self.hosts:
            if not _HOST.fullmatch(name):
                self._refuse_name("host", name, place, "_ . : -")
                return None
            if name in _RESERVED:
                message = f"'{name}' is always a group and cannot name a host"
                self.problems.append(Problem(place=place, message=message, cure="rename the host"))
                return None
            self.hosts[name] = Group(place=place)
        return self.hosts[name]

    def add_hosts(
        self, text: str, place: Place, *, group: str | None, variables: Mapping[str, Variable] | None = None
    ) -> None:
        """Add the hosts that an entry stands for to a group, with their port and variables."""
        if _ASSIGNMENT.search(text):
            self._refuse_name("host", text, place, "")
            return
        try:
            term = host_term(text)
        except ValueError as exc:
            message, _, cure = str(exc).partition("; ")
            shown = untrusted(text, characters_max=80)
            self.problems.append(Problem(place=place, message=f"'{shown}' {message}", cure=cure))
            return
        given = variables or {}
        if term.is_range and not self._has_room(text, place, term.count * (1 + len(given))):
            return
        for name in term.names():
            is_new = name not in self.hosts
            host = self.add_host(name, place)
            if host is None:
                return
            if group is not None:
                self.groups[group].hosts[name] = None
            self._take_port(host, term, place, is_new=is_new, owner=f"host {name}")
            host.inline.update(given)

    def _has_room(self, text: str, place: Place, named: int) -> bool:
        self._named += named
        if self._named <= _NAMED_MAX:
            return True
        shown = untrusted(text, characters_max=80)
        message = f"with '{shown}' the ranges stand for more than {_NAMED_MAX} hosts and variables"
        self.problems.append(Problem(place=place, message=message, cure="write smaller ranges"))
        return False

    def _take_port(self, host: Group, term: HostTerm, place: Place, *, is_new: bool, owner: str) -> None:
        """Take the port of an entry; only where a host is first named does Ansible look at it."""
        if term.port is None:
            return
        if is_new:
            host.port = term.port
            node = ScalarNode(value=term.port, line=place.line, column=place.column)
            host.inline[_PORT] = Variable(name=_PORT, owner=owner, file=place.file, node=node)
        elif host.port != term.port:
            first = f"port {host.port}" if host.port is not None else "no port"
            message = f"{owner}: says port {term.port}, and {first} where it is first named, {host.place}"
            self.problems.append(Problem(place=place, message=message, cure=f"write one {_PORT}"))

    def wants(self, name: str) -> bool:
        """Say whether a variable of that name is looked at."""
        return name.startswith(self._prefixes)

    def add_variables(
        self, target: dict[str, Variable], node: Node, *, owner: str, file: str, text_cure: str = "put it in quotes"
    ) -> None:
        """Take the variables that matter from a mapping; others are none of ours and are not looked at."""
        if isinstance(node, ScalarNode) and node.value is None:
            return
        if not isinstance(node, MappingNode):
            what = f" (found {node.what})" if isinstance(node, OpaqueNode) else ""
            place = Place(file=file, line=node.line, column=node.column)
            self.problems.append(
                Problem(place=place, message=f"{owner}: variables must be a mapping{what}", cure=_LIST_CURE)
            )
            return
        for name, entry in node.entries.items():
            place = Place(file=file, line=entry.line, column=entry.column)
            if name == "<<":
                message = f"{owner}: merge keys are not supported"
                self.problems.append(Problem(place=place, message=message, cure=_LIST_CURE))
            if not self.wants(name):
                continue
            if name.startswith("remedy_") and name not in REMEDY_VARIABLES:
                near = nearest(name, REMEDY_VARIABLES, most=1)
                cure = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(REMEDY_VARIABLES)}"
                message = f"{owner}: unknown variable `{untrusted(name, characters_max=80)}`"
                self.problems.append(Problem(place=place, message=message, cure=cure))
                continue
            self._warn_of_misspelt(name, owner, place)
            target[name] = Variable(name=name, owner=owner, file=file, node=entry.value, text_cure=text_cure)

    def _warn_of_misspelt(self, name: str, owner: str, place: Place) -> None:
        """Warn, once a file, of a name that is nearly one of those that say how a host is reached."""
        if (place.file, name) in self._looked_at:
            return
        self._looked_at.add((place.file, name))
        if name in _MEANT or name in LITERAL_VARIABLES or name in _OTHERS:
            return
        near = difflib.get_close_matches(name, _MEANT, n=1, cutoff=_NEAR)
        if near:
            message = f"{owner}: `{untrusted(name, characters_max=80)}` is no variable that remedy reads"
            self.warnings.append(Problem(place=place, message=message, cure=f"did you mean `{near[0]}`?"))

    def _refuse_name(self, kind: str, name: str, place: Place, signs: str) -> None:
        shown = untrusted(name, characters_max=80)
        message = f"'{shown}' cannot name a {kind}"
        cure = f"write 1 to 253 letters, digits and {signs}"
        if kind == "host" and (found := _ASSIGNMENT.search(name)):
            # What follows the sign may be a password.
            shown = untrusted(name[: found.end()], characters_max=80)
            message = f"'{shown}…' cannot name a host"
            cure = "variables stand below the name in YAML, behind it in INI, and nowhere in a list"
        self.problems.append(Problem(place=place, message=message, cure=cure))


_LIST_CURE = "let Ansible write it out: ansible-inventory -i FILE --list > inventory.json"
