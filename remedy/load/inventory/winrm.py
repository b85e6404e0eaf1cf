"""
From Ansible's WinRM variables to how a host is reached over WinRM, or why it must not be.

Names and meanings are those of Ansible's connection plugin `winrm`, but for what
would put a password or a script in clear text, or let anybody answer for the host:
that is never done, and never silently done otherwise.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Literal

from remedy.load.inventory.variables import HostVariables, shown_name
from remedy.load.inventory.winrm_names import (
    ADDRESS_NAMES,
    CA,
    CERTIFICATE,
    COMPUTER_NAME,
    ENCRYPTION,
    FINGERPRINT,
    HARMLESS,
    KEY,
    KNOWN,
    MACHINE_ID,
    PASSWORD_NAMES,
    PORT_NAMES,
    READ,
    TRANSPORT,
    USER_NAMES,
    VALIDATION,
)
from remedy.model import Connection
from remedy.port import Shell, WinRM, WinRMAuth
from remedy.text import nearest

__all__ = ["COMPUTER_NAME_MAX", "winrm_connection"]

COMPUTER_NAME_MAX = 15
"""Windows cuts computer names to so many characters. Source: NetBIOS, as %COMPUTERNAME% has it."""

_Scheme = Literal["http", "https"]
_PORTS: Mapping[_Scheme, int] = {"http": 5985, "https": 5986}
_PREFIX = "ansible_winrm_"
_SCHEME = "ansible_winrm_scheme"
_TRANSPORTS = ("ntlm", "kerberos", "certificate", "basic")
_OTHER_TRANSPORTS = ("plaintext", "ssl", "credssp", "auto")
_FROM_ENVIRONMENT = "legacy_requests"

_YES = frozenset({"True", "true", "yes", "on", "1"})
_NO = frozenset({"False", "false", "no", "off", "0"})
_HARMLESS_VALUES: Mapping[str, frozenset[str]] = {
    "ansible_become_user": frozenset({"root"}),
    "ansible_become_method": frozenset({"sudo", "ansible.builtin.sudo"}),
    "ansible_become_exe": frozenset({"sudo", "/usr/bin/sudo"}),
    "ansible_become_flags": frozenset({"-H -S -n", "-n", "-H -n", ""}),
    "ansible_winrm_kerberos_delegation": _NO,
    "ansible_winrm_proxy": frozenset({_FROM_ENVIRONMENT}),
    "ansible_winrm_send_cbt": _YES,
    "ansible_winrm_service": frozenset({"HTTP", "http"}),
}
_CURES: Mapping[str, str] = {
    "ansible_winrm_kerberos_delegation": "remedy hands no tickets on; remove it for this host",
    "ansible_winrm_kerberos_hostname_override": "the ticket is for the name that is connected to; write that name "
    "into ansible_host",
    "ansible_winrm_proxy": "hosts are reached directly; remove it for this host",
    "ansible_winrm_send_cbt": "NTLM is always bound to the TLS channel; remove it for this host",
}
_CLEAR_TEXT_CURE = "use ntlm or kerberos, or https"
_UNPROVED = "NTLM over http does not prove which host answers"
_PROVE_CURE = "give remedy_computer_name ($env:COMPUTERNAME there) or remedy_machine_id, or use https or kerberos"
_WAYS = "name ntlm, kerberos, certificate or basic"

_URL_PATH = re.compile(r"/?[0-9A-Za-z_./-]{0,200}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COMPUTER = re.compile(rf"[0-9A-Za-z_-]{{1,{COMPUTER_NAME_MAX}}}")


def winrm_connection(name: str, variables: HostVariables) -> Connection:
    """
    Return how a host is reached over WinRM; every reason against it goes to `variables.barred`.

    Its port is always named: 5985 for http and 5986 for https when the inventory
    does not say. `name` is the inventory's, and stands for the computer's where
    nothing else does.
    """
    variables.bar_others(
        _says_how,
        harmless=_HARMLESS_VALUES,
        cure=lambda each: _CURES.get(each, "remove it for this host"),
        meant=_meant,
    )
    address, port = variables.address(ADDRESS_NAMES), variables.port(PORT_NAMES)
    user, password = variables.user(USER_NAMES), variables.password(PASSWORD_NAMES)
    scheme = _scheme(variables, port)
    named = _auth(variables, scheme, user=user)
    auth = named or WinRMAuth.NTLM
    if named is not None:
        _bar_login_without_means(variables, named)
    _bar_clear_messages(variables, scheme)
    path = variables.matching(("ansible_winrm_path",), _URL_PATH, "a path of letters, digits and . / _ -") or "wsman"
    is_certificate = auth is WinRMAuth.CERTIFICATE
    is_proved = scheme == "https" or auth is WinRMAuth.KERBEROS
    return Connection(
        address=address,
        port=port or _PORTS[scheme],
        user=user,
        password=password,
        shell=Shell.POWERSHELL,
        winrm=WinRM(
            scheme=scheme,
            auth=auth,
            path=path if path.startswith("/") else f"/{path}",
            ca_file=_ca_file(variables, scheme),
            fingerprint=_fingerprint(variables, scheme),
            certificate=variables.path(CERTIFICATE) if is_certificate else None,
            certificate_key=variables.path(KEY) if is_certificate else None,
            machine_id=_machine_id(variables),
            computer_name=_computer_name(variables, is_proved=is_proved, names=(address, name)),
        ),
    )


def _says_how(name: str) -> bool:
    """Say whether a variable tells how to get onto a Windows host; those of ssh do not."""
    is_ours = name.startswith(("ansible_winrm_", "ansible_become_"))
    return is_ours and name not in READ and name not in HARMLESS


def _meant(name: str) -> str:
    """Return the variable that a mistyped one is nearest to, but for the beginning that all have; '' for others."""
    if name in KNOWN or not name.startswith(_PREFIX):
        return ""
    ends = (each.removeprefix(_PREFIX) for each in KNOWN if each.startswith(_PREFIX))
    near = nearest(name.removeprefix(_PREFIX), ends, most=1)
    return f"{_PREFIX}{near[0]}" if near else ""


def _scheme(variables: HostVariables, port: int | None) -> _Scheme:
    """Return the scheme; as in Ansible https, unless it is named or the port is 5985."""
    named = variables.choice(_SCHEME, ("http", "https"))
    if named is None:
        return "http" if port == _PORTS["http"] else "https"
    scheme: _Scheme = "http" if named == "http" else "https"
    other: _Scheme = "https" if scheme == "http" else "http"
    if port == _PORTS[other]:
        said = f"{scheme} on port {port}, where WinRM speaks {other}"
        variables.warn(_SCHEME, said, f"write {other}, or ansible_port: {_PORTS[scheme]}")
    return scheme


def _auth(variables: HostVariables, scheme: _Scheme, *, user: str | None) -> WinRMAuth | None:
    """
    Return how the login is proved: the first way that is named and that remedy has; None when that bars the host.

    Where none is named, Ansible sends the password itself (Basic); remedy takes the
    client's certificate, a ticket for an account with a realm and no password, or NTLM.
    """
    before = len(variables.barred)
    named = variables.words(TRANSPORT)
    if len(variables.barred) > before:
        return None
    if not named:
        if scheme == "https" and variables.has((CERTIFICATE,)):
            return WinRMAuth.CERTIFICATE
        is_ticket = user is not None and "@" in user and not variables.has(PASSWORD_NAMES)
        return WinRMAuth.KERBEROS if is_ticket else WinRMAuth.NTLM
    has_certificate = variables.has((CERTIFICATE,)) or variables.has((KEY,))
    for each in named:
        if each not in _TRANSPORTS and each not in _OTHER_TRANSPORTS:
            _bar_transport(variables, each)
            return None
        auth = _known_auth(each, scheme, has_certificate=has_certificate)
        if auth is not None:
            return auth
    _bar_transport(variables, named[0])
    return None


def _bar_login_without_means(variables: HostVariables, auth: WinRMAuth) -> None:
    """Bar the host for a login that can never work, in the words that the runner has for it."""
    if auth is WinRMAuth.CERTIFICATE:
        if not (variables.has((CERTIFICATE,)) and variables.has((KEY,))):
            variables.barred.append(f"certificate needs the client's certificate and key; give {CERTIFICATE} and {KEY}")
        return
    if not variables.has(USER_NAMES):
        variables.barred.append(f"the login has no name; give {USER_NAMES[0]}")
    if auth is not WinRMAuth.KERBEROS and not variables.has(PASSWORD_NAMES):
        variables.barred.append(f"{auth.value} needs a password; give {PASSWORD_NAMES[0]} as env:NAME or file:PATH")


def _known_auth(named: str, scheme: _Scheme, *, has_certificate: bool) -> WinRMAuth | None:
    """Return what a word of ansible_winrm_transport stands for; None when remedy does not do that."""
    match named, scheme:
        case ("ntlm", _):
            return WinRMAuth.NTLM
        case ("kerberos", _):
            return WinRMAuth.KERBEROS
        case ("certificate", "https"):
            return WinRMAuth.CERTIFICATE
        case ("ssl", "https"):
            return WinRMAuth.CERTIFICATE if has_certificate else WinRMAuth.BASIC
        case ("basic" | "plaintext", "https"):
            return WinRMAuth.BASIC
    return None


def _bar_transport(variables: HostVariables, named: str) -> None:
    """Bar the host for a way of logging in; one in clear text is warned about as well."""
    match named:
        case "basic" | "plaintext" | "ssl":
            said = f"{named} over http sends the password in clear text"
            variables.warn(TRANSPORT, f"{said}; such a host is refused", _CLEAR_TEXT_CURE)
            variables.barred.append(f"{TRANSPORT}: {said}; {_CLEAR_TEXT_CURE}")
        case "certificate":
            variables.barred.append(f"{TRANSPORT}: there is no certificate over http; use https")
        case "credssp":
            said = "credssp hands the password itself to the host"
            variables.barred.append(f"{TRANSPORT}: {said}; use kerberos or ntlm")
        case "auto":
            variables.barred.append(f"{TRANSPORT}: auto says nothing, and Ansible refuses it; {_WAYS}")
        case _:
            said = f": {shown_name(named)} is not supported"
            near = nearest(named, _TRANSPORTS, most=1)
            if near and named != "negotiate":  # A word of Windows, and no slip of the pen.
                variables.bar(TRANSPORT, f"{said}; did you mean {near[0]}?")
            else:
                variables.barred.append(f"{TRANSPORT}{said}; {_WAYS}")


def _bar_clear_messages(variables: HostVariables, scheme: _Scheme) -> None:
    encryption = variables.choice(ENCRYPTION, ("auto", "always", "never"))
    if encryption == "never" and scheme == "http":
        said = "never over http sends every script in clear text"
        cure = "remove it, or use https"
        variables.warn(ENCRYPTION, f"{said}; such a host is refused", cure)
        variables.barred.append(f"{ENCRYPTION}: {said}; {cure}")


def _ca_file(variables: HostVariables, scheme: _Scheme) -> str | None:
    """Return the file with the authorities to trust; a certificate that nobody checks bars the host."""
    validation = variables.choice(VALIDATION, ("validate", "ignore"))
    if validation == "ignore" and scheme == "https" and not variables.has((CA,)) and not variables.has((FINGERPRINT,)):
        cure = f"name the authority's file with {CA}, or pin the certificate with {FINGERPRINT}"
        variables.barred.append(f"{VALIDATION}: ignore lets anybody answer for the host; {cure}")
    if variables.is_word(CA, _FROM_ENVIRONMENT):
        return None
    return variables.path(CA)


def _fingerprint(variables: HostVariables, scheme: _Scheme) -> str | None:
    value = variables.text((FINGERPRINT,))
    if value is None:
        return None
    digest = value.replace(":", "").lower()
    if not _DIGEST.fullmatch(digest):
        variables.wrong(FINGERPRINT, "must be a SHA-256 fingerprint of 64 hexadecimal digits, with or without colons")
        return None
    if scheme == "http":
        variables.barred.append(f"{FINGERPRINT}: there is no certificate over http; use https, or remove it")
        return None
    return digest


def _machine_id(variables: HostVariables) -> str | None:
    value = variables.text((MACHINE_ID,))
    if value is None:
        return None
    guid = value.lower().removeprefix("{").removesuffix("}")
    if not _GUID.fullmatch(guid):
        cure = r"write what HKLM\SOFTWARE\Microsoft\Cryptography\MachineGuid says there"
        variables.wrong(MACHINE_ID, f"'{shown_name(value)}' is not the id of a machine", cure)
        return None
    return guid


def _computer_name(variables: HostVariables, *, is_proved: bool, names: tuple[str | None, str]) -> str | None:
    """
    Return the name that the machine must report of itself, without its domain.

    That is remedy_computer_name, else, where nothing else proves the host, the first
    of the names that is no address. One of more than 15 characters is none: cut to
    15, it could be another machine's.
    """
    value = variables.text((COMPUTER_NAME,))
    if value is not None:
        name = _first_label(value)
        if name is None or not _COMPUTER.fullmatch(name):
            said = (
                f"'{shown_name(value)}' is not the name of a computer, which has at most {COMPUTER_NAME_MAX} characters"
            )
            variables.wrong(COMPUTER_NAME, said, "write what $env:COMPUTERNAME says there")
            return None
        return name
    if is_proved or variables.has((MACHINE_ID,)):
        return None
    name = next((label for each in names if each is not None and (label := _first_label(each)) is not None), None)
    if name is not None and _COMPUTER.fullmatch(name):
        return name
    why = _UNPROVED
    if name is not None:
        why += f", and {shown_name(name)} is no computer's name, which has at most {COMPUTER_NAME_MAX} characters"
    variables.barred.append(f"{why}; {_PROVE_CURE}")
    return None


def _first_label(name: str) -> str | None:
    """Return a name without its domain; None for an address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.partition(".")[0]
    return None
