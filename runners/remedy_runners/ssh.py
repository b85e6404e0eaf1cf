"""
The SSH runner: from a target and ssh_config to a session with a verified host key.

Keys are tried first, then the agent, then the password; each at most once.
"""

import logging
import os
import shlex
import socket
import stat
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

import paramiko
import paramiko.agent
from paramiko.pkey import UnknownKeyType

from remedy.errors import Refused, Unreachable, UsageError
from remedy.port import Endpoint, Session, Shell, Target
from remedy_runners.connection import Connection, SSHExchange
from remedy_runners.hostkeys import KnownHosts
from remedy_runners.hostkeys.offers import Looked, look
from remedy_runners.powershell.session import PowerShellSession
from remedy_runners.secrets import Secret, Secrets, resolve
from remedy_runners.session import FramedSession
from remedy_runners.sshconfig import HostSettings, SSHConfigFiles

__all__ = ["SSHRunner"]

_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_KEYS_TRIED_MAX = 5
_LOGIN_S = 45
_AGENT_S = 5
_GLOBAL_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """Everything that leads to one target, resolved; no secret in it."""

    host: str
    port: int
    user: str
    known_hosts: tuple[Path, ...]
    identity_files: tuple[Path, ...]
    identities_named: bool
    agent: str | None
    password: str | None
    connect_timeout_s: int
    family: socket.AddressFamily
    host_key_alias: str | None

    @property
    def where(self) -> str:
        """The target as messages name it; who shows them puts the inventory's name before."""
        return f"{self.user}@{self.host}:{self.port}"


class SSHRunner:
    """
    Runs over SSH; shared by all threads of a run.

    `environment` is looked up for SSH_AUTH_SOCK and `env:` references, `user` is
    the login name where neither target nor ssh_config has one. Without
    `known_hosts_files` the user's and the machine's are read. What was odd in
    files is in `warnings`. The default ssh_config files may be missing; those in
    `ssh_config_files` were named by somebody, and must be there. `secrets` are those
    of the run that scripts get.

    Raises:
        UsageError: one of `ssh_config_files` is not there, no regular file, or no text.
    """

    def __init__(
        self,
        *,
        home: Path,
        user: str,
        environment: Mapping[str, str],
        ssh_config_files: Sequence[Path] | None = None,
        known_hosts_files: Sequence[Path] | None = None,
        connect_timeout_s: int = 10,
        secrets: Secrets | None = None,
    ) -> None:
        _silence_paramiko()
        self._secrets = secrets or Secrets(environment=environment, home=home)
        self._home = home
        self._user = user
        self._environment = environment
        if ssh_config_files is None:
            ssh_config_files = (home / ".ssh" / "config", Path("/etc/ssh/ssh_config"))
        else:
            for path in ssh_config_files:
                _check_ssh_config(path)
        self._config = SSHConfigFiles(ssh_config_files, home=home)
        self._known_hosts_files = None if known_hosts_files is None else tuple(known_hosts_files)
        self._connect_timeout_s = connect_timeout_s
        self._known_hosts = KnownHosts()
        self._keys = _Keys()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was odd in the files read so far, each once."""
        return self._known_hosts.warnings

    def endpoint(self, target: Target) -> Endpoint:
        """See `remedy.port.Runner`."""
        way = self._way(target)
        # Of several addresses always the same, in whichever order they come.
        address = min(str(address[0]) for _, address in _resolved(way))
        return Endpoint(address=address, port=way.port, user=way.user)

    def connect(self, target: Target) -> Session:
        """See `remedy.port.Runner`."""
        way = self._way(target)
        files = ", ".join(str(path) for path in way.known_hosts)
        trust = self._known_hosts.trust(way.host, way.port, way.known_hosts, alias=way.host_key_alias)
        if not trust.is_known:
            raise _unknown_key(way, files, target.name)
        password = None if way.password is None else resolve(way.password, environment=self._environment)
        connection = Connection(_connected(way), where=way.where, trust=trust)
        try:
            holding = self._known_hosts.holding(trust.name, way.known_hosts)
            forget = _forget_commands(holding, trust.name, home=self._home)
            connection.handshake(key_files=files, forget=forget)
            with connection.watched(_LOGIN_S), connection.translated():
                _Login(way, connection.transport, self._keys, home=self._home).log_in(password)
            connection.ready()
        except BaseException:
            connection.close()
            raise
        if target.shell is Shell.POWERSHELL:
            return _SSHPowerShellSession(target.name, connection, self._secrets)
        return _SSHSession(target.name, connection, self._secrets)

    def look(self, target: Target, *, now_s: int) -> Looked:
        """Return which host keys a target shows, and what is known of them; nobody logs in. Raises as `connect`."""
        way = self._way(target)
        trust = self._known_hosts.trust(way.host, way.port, way.known_hosts, alias=way.host_key_alias)
        return look(partial(_connected, way), trust, files=way.known_hosts, where=way.where, now_s=now_s)

    def _way(self, target: Target) -> _Way:
        if target.barred is not None:
            raise Refused(target.barred)
        settings = self._config.settings(target.address or target.name)
        return _Way(
            host=settings.hostname,
            port=target.port or settings.port or 22,
            user=target.user or settings.user or self._user,
            known_hosts=self._known_hosts_of(target, settings),
            identity_files=self._identity_files(target, settings),
            identities_named=bool(target.identity_file or settings.identity_files),
            agent=self._agent(settings),
            password=target.password,
            connect_timeout_s=settings.connect_timeout_s or self._connect_timeout_s,
            family=_family(settings),
            host_key_alias=settings.host_key_alias,
        )

    def _known_hosts_of(self, target: Target, settings: HostSettings) -> tuple[Path, ...]:
        if target.known_hosts is not None:
            return (self._homed(target.known_hosts),)
        if settings.user_known_hosts is None and settings.global_known_hosts is None and self._known_hosts_files:
            return self._known_hosts_files
        users = settings.user_known_hosts
        if users is None:
            users = (self._home / ".ssh" / "known_hosts",)
        machines = settings.global_known_hosts
        return users + ((_GLOBAL_KNOWN_HOSTS,) if machines is None else machines)

    def _identity_files(self, target: Target, settings: HostSettings) -> tuple[Path, ...]:
        if target.identity_file is not None:
            return (self._homed(target.identity_file),)
        return settings.identity_files or tuple(self._home / ".ssh" / name for name in _DEFAULT_KEYS)

    def _agent(self, settings: HostSettings) -> str | None:
        if settings.identities_only or (settings.agent or "").lower() == "none":
            return None
        if settings.agent in (None, "SSH_AUTH_SOCK"):
            return self._environment.get("SSH_AUTH_SOCK")
        return str(self._homed(settings.agent.strip('"'))) if settings.agent else None

    def _homed(self, text: str) -> Path:
        return self._home / text[2:] if text.startswith("~/") else Path(text)


def _check_ssh_config(path: Path) -> None:
    """
    See that a file that was named can be read as text.

    Raises:
        UsageError: it cannot; the message names it.
    """
    try:
        if str(path) == os.devnull:
            return
        # Asked before it is opened: a pipe would hang.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"--ssh-config {path}: it is no regular file; nobody was contacted")
        is_text = "\0" not in path.read_text(encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"--ssh-config {path}: it cannot be read: {exc.strerror}; nobody was contacted") from exc
    except UnicodeDecodeError:
        is_text = False
    if not is_text:
        raise UsageError(f"--ssh-config {path}: it is no UTF-8 text; nobody was contacted")


def _unknown_key(way: _Way, files: str, name: str) -> Refused:
    """Return the refusal of a host that is not enrolled, with the line that enrols it."""
    if not way.known_hosts:
        return Refused(
            f"{way.where}: its host key is not known, since ssh_config names no known_hosts file; "
            "nothing was sent; give the host one (remedy_known_hosts)"
        )
    line = f"ssh-keyscan -p {way.port} {shlex.quote(way.host)} >> {shlex.quote(str(way.known_hosts[0]))}"
    return Refused(
        f"{way.where}: its host key is not known in {files}; nothing was sent. "
        f"Enrol it with: remedy enroll {shlex.quote(name)}; or see that the key is the right one, then: {line}"
    )


def _forget_commands(files: Sequence[Path], name: str, *, home: Path) -> str:
    """Return the commands that take the known keys of a host out of these files."""
    return " && ".join(
        f"ssh-keygen -R '{name}'" + ("" if path == _usual_known_hosts(home) else f" -f {shlex.quote(str(path))}")
        for path in files
    )


def _usual_known_hosts(home: Path) -> Path:
    return home / ".ssh" / "known_hosts"


def _ssh_command(way: _Way, *, home: Path) -> str:
    """Return the ssh command line that takes the same way: port, keys and known_hosts files that are not the usual."""
    words = ["ssh", "-p", str(way.port)]
    if way.identities_named:
        words += [word for path in way.identity_files for word in ("-i", str(path))]
    if way.known_hosts and way.known_hosts[0] != _usual_known_hosts(home):
        # ssh splits the option's value at blanks, unless they are inside quotes.
        files = " ".join(f'"{path}"' if " " in str(path) else str(path) for path in way.known_hosts)
        words += ["-o", f"UserKnownHostsFile={files}"]
    return shlex.join([*words, f"{way.user}@{way.host}"])


def _silence_paramiko() -> None:
    """Keep the library's chatter, which holds what hosts say, out of the operators' log."""
    logger = logging.getLogger("paramiko")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _family(settings: HostSettings) -> socket.AddressFamily:
    families = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
    return families.get(settings.address_family, socket.AF_UNSPEC)


def _resolved(way: _Way) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    try:
        found = socket.getaddrinfo(way.host, way.port, family=way.family, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        why = (exc.strerror or str(exc)) if isinstance(exc, OSError) else "it is no name of a host"
        raise Unreachable(f"{way.where}: its name does not resolve: {why}") from exc
    return [(family, tuple(address)) for family, _, _, _, address in found]


def _connected(way: _Way) -> socket.socket:
    """Return a socket connected to the first address that answers."""
    failure = "it has no address"
    for family, address in _resolved(way):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(way.connect_timeout_s)
        try:
            sock.connect(address)
        except OSError as exc:
            sock.close()
            late = f"no answer within {way.connect_timeout_s} s"
            failure = late if isinstance(exc, TimeoutError) else exc.strerror or str(exc)
        else:
            return sock
    raise Unreachable(f"{way.where}: {failure}")


class _Keys:
    """The private keys of a run, each file read once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[Path, paramiko.PKey | str] = {}

    def load(self, path: Path) -> paramiko.PKey | str:
        """Return the key in a file, or a text that says why there is none."""
        with self._lock:
            if path not in self._loaded:
                self._loaded[path] = _loaded(path)
            return self._loaded[path]


def _loaded(path: Path) -> paramiko.PKey | str:
    try:
        return paramiko.PKey.from_path(path)
    except FileNotFoundError:
        return f"{path} does not exist"
    except (TypeError, paramiko.PasswordRequiredException):
        # cryptography says TypeError when a password would be needed.
        return f"{path} is encrypted; add it to an agent with ssh-add"
    except OSError as exc:
        return f"{path} cannot be read: {exc.strerror}"
    except (ValueError, paramiko.SSHException, UnknownKeyType):
        return f"{path} is no private key that is supported"


class _Agent(paramiko.agent.AgentSSH):
    """The keys of an SSH agent behind a socket that is named, not taken from the environment."""

    def __init__(self, path: str) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_AGENT_S)
        try:
            connection.connect(path)
            self._connect(connection)  # type: ignore[attr-defined]  # the stubs leave it out
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        self._close()  # type: ignore[attr-defined]  # the stubs leave it out


class _Login:
    """One login: each key, then the agent's, then the password, until the host says yes."""

    def __init__(self, way: _Way, transport: paramiko.Transport, keys: _Keys, *, home: Path) -> None:
        self._way = way
        self._home = home
        self._transport = transport
        self._keys = keys
        self._tried: list[str] = []
        self._with_password = False
        self._problems: list[str] = []

    def log_in(self, password: Secret | None) -> None:
        """
        Log in.

        Raises:
            Refused: nobody was let in; the message has what was tried, and the cure.
        """
        done = self._by_files() or self._by_agent() or (password is not None and self._by_password(password))
        if not done:
            self._refuse()

    def _by_files(self) -> bool:
        for path in self._way.identity_files:
            key = self._keys.load(path)
            if isinstance(key, str):
                if self._way.identities_named or not key.endswith("does not exist"):
                    self._problems.append(key)
            elif self._by_key(key, str(path)):
                return True
        return False

    def _by_agent(self) -> bool:
        if not self._way.agent:
            return False
        try:
            agent = _Agent(self._way.agent)
        except (OSError, paramiko.SSHException) as exc:
            why = getattr(exc, "strerror", None) or str(exc)
            self._problems.append(f"the agent at {self._way.agent} does not answer: {why}")
            return False
        try:
            return any(self._by_key(key, f"a key of the agent ({key.get_name()})") for key in agent.get_keys())
        finally:
            agent.close()

    def _by_key(self, key: paramiko.PKey, what: str) -> bool:
        if len(self._tried) >= _KEYS_TRIED_MAX:
            return False
        self._tried.append(what)
        try:
            self._transport.auth_publickey(self._way.user, key)
        except paramiko.AuthenticationException as exc:
            self._check_alive(exc)
        return self._transport.is_authenticated()

    def _by_password(self, password: Secret) -> bool:
        self._tried.append("the password")
        self._with_password = True
        try:
            self._transport.auth_password(self._way.user, password.reveal())
        except paramiko.AuthenticationException as exc:
            self._check_alive(exc)
        return self._transport.is_authenticated()

    def _check_alive(self, exc: Exception) -> None:
        """Tell a no from a connection that broke: paramiko has the same exception for both."""
        if not self._transport.is_active():
            raise Unreachable(f"{self._way.where}: the host ended the connection during the login") from exc

    def _refuse(self) -> NoReturn:
        tried = ", ".join(self._tried) or "nothing, since there is no key, agent or password"
        problems = "".join(f"; {problem}" for problem in self._problems)
        raise Refused(
            f"{self._way.where}: the host does not accept {self._what()}; tried: {tried}{problems}. "
            f"Try: {_ssh_command(self._way, home=self._home)}"
        )

    def _what(self) -> str:
        user = self._way.user
        if self._with_password:
            return f"{user}'s password" if len(self._tried) == 1 else f"{user}'s key or password"
        return f"{user}'s key" if self._tried else f"{user} without a key"


class _SSHSession(FramedSession):
    """A session over one connection."""

    def __init__(self, name: str, connection: Connection, secrets: Secrets) -> None:
        super().__init__(name, secrets=secrets)
        self._connection = connection

    def _start(self, command: str) -> SSHExchange:
        return self._connection.run(command)

    def _abandon(self) -> None:
        self._connection.abandon()

    def close(self) -> None:
        """See `remedy.port.Session`."""
        self._connection.close()


class _SSHPowerShellSession(PowerShellSession):
    """A session over one connection with a host whose payloads PowerShell reads."""

    def __init__(self, name: str, connection: Connection, secrets: Secrets) -> None:
        super().__init__(name, secrets=secrets)
        self._connection = connection

    def _start(self, command: str, *, within_s: int) -> SSHExchange:
        return self._connection.run(command)

    def _abandon(self) -> None:
        self._connection.abandon()

    def close(self) -> None:
        """See `remedy.port.Session`."""
        self._connection.close()
