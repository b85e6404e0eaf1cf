"""The WinRM runner: from a target to a session, by settings that leave nothing in clear text."""

import functools
import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from winrm.protocol import Protocol

from remedy.errors import Refused, Unreachable
from remedy.port import Endpoint, Session, Shell, Target, WinRM, WinRMAuth
from remedy_runners.secrets import Secret, Secrets, resolve
from remedy_runners.winrm.faults import translate
from remedy_runners.winrm.logins import Logins
from remedy_runners.winrm.session import ROOM_WAITS_S, WinRMSession, proves_the_host
from remedy_runners.winrm.transport import Login, open_protocol

__all__ = ["WinRMRunner"]

_PORTS = {"http": 5985, "https": 5986}
_NAME = re.compile(r"[0-9A-Za-z_]([0-9A-Za-z_.-]{0,252})")
_PATH = re.compile(r"/[0-9A-Za-z_./-]{0,200}")
_WITH_PASSWORD = (WinRMAuth.NTLM, WinRMAuth.BASIC)


class WinRMRunner:
    """
    Runs over WinRM; shared by all threads of a run, each session used by one at a time.

    `environment` is looked up for `env:` references of passwords; `home` stands for
    `~/` in the names of files. `room_waits_s` is for a host that has no room for one
    more shell; `root` is that of `PowerShellSession`; `secrets` are those of the run
    that scripts get.
    """

    def __init__(
        self,
        *,
        home: Path,
        environment: Mapping[str, str],
        connect_timeout_s: int = 10,
        room_waits_s: Sequence[float] = ROOM_WAITS_S,
        root: str | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._secrets = secrets or Secrets(environment=environment, home=home)
        self._home = home
        self._environment = environment
        self._connect_timeout_s = connect_timeout_s
        self._room_waits_s = tuple(room_waits_s)
        self._root = root
        self._logins = Logins()

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `remedy.port.Runner`; it reads no files of its own."""
        return ()

    def endpoint(self, target: Target) -> Endpoint:
        """See `remedy.port.Runner`."""
        settings = _settings(target)
        host, port = _host_and_port(target, settings)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            why = (exc.strerror or str(exc)) if isinstance(exc, OSError) else "it is no name of a host"
            raise Unreachable(f"{host}:{port}: its name does not resolve: {why}") from exc
        return Endpoint(address=min(str(each[4][0]) for each in found), port=port, user=target.user or "")

    def connect(self, target: Target) -> Session:
        """See `remedy.port.Runner`."""
        settings = _settings(target)
        login = self._login(target, settings)
        return WinRMSession(
            target.name,
            login,
            settings,
            open_protocol=functools.partial(self._open, login),
            room_waits_s=self._room_waits_s,
            root=self._root,
            secrets=self._secrets,
        )

    def _open(self, login: Login) -> Protocol:
        """
        Open a connection that the host has accepted the login on.

        Raises:
            Unreachable: no connection, or it broke before it was ready.
            Refused: certificate, login or settings said no; the message has the cure.
        """
        try:
            return open_protocol(login, self._logins)
        except Exception as exc:
            raise translate(exc, login.endpoint, login.auth) from exc

    def _login(self, target: Target, settings: WinRM) -> Login:
        """
        Return everything that leads to a host.

        Raises:
            Refused: something is missing, or would be in clear text.
        """
        host, port = _host_and_port(target, settings)
        shown = f"[{host}]" if ":" in host else host
        endpoint = f"{settings.scheme}://{shown}:{port}{settings.path}"
        _check(target, settings, endpoint)
        password: Secret | None = None
        if settings.auth in _WITH_PASSWORD and target.password:
            password = resolve(self._in_home(target.password), environment=self._environment)
        return Login(
            endpoint=endpoint,
            user=target.user or "",
            auth=settings.auth,
            password=password,
            ca_file=self._file(settings.ca_file, "ansible_winrm_ca_trust_path"),
            fingerprint=settings.fingerprint,
            certificate=self._file(settings.certificate, "ansible_winrm_cert_pem"),
            certificate_key=self._file(settings.certificate_key, "ansible_winrm_cert_key_pem"),
            connect_timeout_s=self._connect_timeout_s,
        )

    def _in_home(self, reference: str) -> str:
        return f"file:{self._home / reference[7:]}" if reference.startswith("file:~/") else reference

    def _file(self, named: str | None, setting: str) -> str | None:
        """
        Return the path of a file that is there.

        Raises:
            Refused: it is not.
        """
        if named is None:
            return None
        path = self._home / named[2:] if named.startswith("~/") else Path(named)
        if not path.is_file():
            raise Refused(f"{path} is no file; correct {setting}")
        return str(path)


def _settings(target: Target) -> WinRM:
    """
    Return how a target is reached over WinRM.

    Raises:
        Refused: it must not be, or only PowerShell is spoken over WinRM and it has another shell.
    """
    if target.barred is not None:
        raise Refused(target.barred)
    if target.winrm is None or target.shell is not Shell.POWERSHELL:
        raise Refused("a host over WinRM has PowerShell, and settings for WinRM; set ansible_shell_type to powershell")
    _host_and_port(target, target.winrm)
    return target.winrm


def _host_and_port(target: Target, settings: WinRM) -> tuple[str, int]:
    """
    Return where a target is.

    Raises:
        Refused: its address could be read as more than a host, in an URL.
    """
    host = target.address or target.name
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if _NAME.fullmatch(host) is None:
            raise Refused(f"{host!r} is no name or address of a host; correct ansible_host") from None
    if _PATH.fullmatch(settings.path) is None:
        raise Refused(f"{settings.path!r} is no path of a service; correct ansible_winrm_path")
    return host, target.port or _PORTS[settings.scheme]


def _check(target: Target, settings: WinRM, endpoint: str) -> None:
    """Raise Refused for settings that cannot be used, before any contact."""
    auth = settings.auth
    if auth in (WinRMAuth.BASIC, WinRMAuth.CERTIFICATE) and settings.scheme == "http":
        raise Refused(f"{endpoint}: {auth.value} over http is in clear text; use https")
    if not target.user and auth is not WinRMAuth.CERTIFICATE:
        raise Refused(f"{endpoint}: the login has no name; give ansible_user")
    if auth in _WITH_PASSWORD and not target.password:
        raise Refused(f"{endpoint}: {auth.value} needs a password; give ansible_password as env:NAME or file:PATH")
    if auth is WinRMAuth.CERTIFICATE and (settings.certificate is None or settings.certificate_key is None):
        raise Refused(
            f"{endpoint}: certificate needs the client's certificate and key; give ansible_winrm_cert_pem and "
            "ansible_winrm_cert_key_pem"
        )
    if not proves_the_host(settings) and not settings.machine_id and not settings.computer_name:
        raise Refused(
            f"{endpoint}: NTLM over http does not prove which host answers; give the host remedy_machine_id or "
            "remedy_computer_name, or use https or Kerberos"
        )
