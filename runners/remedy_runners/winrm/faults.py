"""What goes wrong under WinRM, as remedy's own errors, each with its cure."""

import ssl
from collections.abc import Iterator

import requests
import urllib3
from winrm.exceptions import (
    WinRMError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)

from remedy.errors import Refused, RemedyError, Unreachable
from remedy.port import WinRMAuth
from remedy.text import untrusted
from remedy_runners.winrm.adapter import ClearText, NotSent
from remedy_runners.winrm.kerberos import KerberosFailed
from remedy_runners.winrm.transport import OTHER_SERVICE, LoginRefused

__all__ = ["is_gone", "is_quota", "surely_not_sent", "translate"]

_ACCESS_DENIED = 5
_QUOTAS = frozenset({2150859173, 2150859174})
"""Too many shells of this user, too many operations of this user."""

_BUSY_STATUS = 503
_GONE = 2150858843
"""There is no such shell or command."""

_EXPIRED = frozenset({9, 10})
_OTHER_NAME = frozenset({62, 64})
"""Source: X509_V_ERR_* of OpenSSL's x509_vfy.h: not valid yet or any more; another name or address."""

_NO_PROOF = "MutualAuthenticationError"
"""By name: its module in pywinrm can only be imported where pykerberos is installed."""

_NO_KDC = frozenset({-1765328228, -1765328164})
_NO_SERVICE = -1765328377
_OTHER_TIME = -1765328347
"""Source: MIT's krb5.h: KRB5_KDC_UNREACH, KRB5_REALM_CANT_RESOLVE; S_PRINCIPAL_UNKNOWN; AP_ERR_SKEW."""

_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})
"""What OpenSSL says when the other side answers in clear text. Source: openssl/sslerr.h."""

_CURES = {
    WinRMAuth.NTLM: "see name, domain and password",
    WinRMAuth.BASIC: "see name and password; Basic needs a local account there, and Basic=true in "
    "winrm/config/service/auth",
    WinRMAuth.CERTIFICATE: "map the client certificate to an account there, and set Certificate=true in "
    "winrm/config/service/auth",
    WinRMAuth.KERBEROS: "see that the ticket is one for this host (klist), or get one with kinit",
}


def is_quota(exc: Exception) -> bool:
    """Say whether the host only has no room now, so that a moment later may do."""
    match exc:
        case WSManFaultError():
            codes = {exc.wsman_fault_code, exc.wmierror_code}
            return bool(codes & _QUOTAS) or "QuotaLimit" in (exc.fault_subcode or "")
        case WinRMTransportError():
            return exc.code == _BUSY_STATUS
    return False


def is_gone(exc: Exception) -> bool:
    """Say whether the host has no such shell or command any more."""
    return isinstance(exc, WSManFaultError) and exc.wsman_fault_code == _GONE


def surely_not_sent(exc: Exception) -> bool:
    """Say whether a message that raised this surely came to nothing: nobody got it, or its shell was gone."""
    if isinstance(exc, NotSent | RemedyError | requests.ConnectTimeout) or is_gone(exc):
        return True
    causes = list(_causes(exc))
    return isinstance(exc, requests.ConnectionError) and any(
        isinstance(each, urllib3.exceptions.NewConnectionError) for each in causes
    )


def translate(exc: Exception, where: str, auth: WinRMAuth) -> RemedyError:
    """
    Return our own error for a foreign one, most specific first.

    Only right while nothing was started: later the answer is `LinkLost`.
    """
    said = untrusted(_words(exc), characters_max=200)
    if is_quota(exc):
        return Unreachable(
            f"{where}: the host has no room for one more shell ({said}); shells of this login that nobody needs "
            "end with `Restart-Service WinRM` there, or by themselves in time"
        )
    match exc:
        case RemedyError():
            return exc
        case ClearText():
            return Refused(f"{where}: {said}; nothing was started. Use https, or find who is between")
        case LoginRefused():
            return _login_refused(exc, where, auth)
        case PermissionError() if exc.errno is None:
            return Refused(
                f"{where}: the host does not answer NTLM; set Negotiate=true in winrm/config/service/auth there"
            )
        case KerberosFailed():
            return _kerberos(exc, where)
        case _ if type(exc).__name__ == _NO_PROOF:
            return Refused(
                f"{where}: THE HOST DID NOT PROVE ITSELF: it has not the key of the service that the ticket is for; "
                "no message was sent. See that the address is the right one",
                identity=True,
            )
        case requests.exceptions.SSLError():
            return _tls(exc, where)
        case requests.exceptions.Timeout() | WinRMOperationTimeoutError():
            return Unreachable(f"{where}: no answer in time; nothing was started")
        case _ if "SSH-" in said and isinstance(exc, requests.exceptions.RequestException):
            return Unreachable(
                f"{where}: an SSH server answers at this port; nothing was started. Correct ansible_port, or reach the "
                "host with ansible_connection: ssh"
            )
        case NotSent() | requests.exceptions.RequestException() | urllib3.exceptions.HTTPError():
            return Unreachable(f"{where}: {said or 'the connection broke'}; nothing was started")
        case WSManFaultError() if exc.wsman_fault_code == _ACCESS_DENIED:
            return Refused(
                f"{where}: access is denied ({said}); make the login a member of Remote Management Users there, "
                "or of Administrators where a fix needs it"
            )
        case WinRMTransportError():
            return _status(exc.code, where)
        case WSManFaultError():
            return Unreachable(f"{where}: WinRM: {said}; nothing was started")
        case WinRMError() if auth is WinRMAuth.KERBEROS:
            return Refused(f"{where}: WinRM: {said}; pip install 'remedy-engine[kerberos]'")
        case WinRMError():
            return Refused(f"{where}: WinRM: {said}")
        case OSError():
            why = untrusted(exc.strerror or str(exc), characters_max=200)
            return Unreachable(f"{where}: {why}; nothing was started")
    # A hostile host can make the libraries raise nearly anything.
    return Unreachable(f"{where}: unexpected {type(exc).__name__} in what the host sent: {said}; nothing was started")


def _login_refused(exc: LoginRefused, where: str, auth: WinRMAuth) -> Refused:
    if exc.was_tried:
        return Refused(
            f"{where}: the host does not accept the login; it was tried once. {_capital(_CURES[auth])}, and that "
            "the login may use WinRM there (Remote Management Users)"
        )
    offered = sorted({each.strip().partition(" ")[0] for each in exc.offered.split(",")} - {""})
    shown = untrusted(", ".join(offered), characters_max=100) or "nothing"
    return Refused(
        f"{where}: the host does not take {auth.value} logins, it offers {shown}; the password was not sent. "
        "Allow it in winrm/config/service/auth there, or set ansible_winrm_transport"
    )


def _kerberos(exc: KerberosFailed, where: str) -> RemedyError:
    said = untrusted(str(exc), characters_max=200)
    if exc.code in _NO_KDC:
        return Unreachable(f"{where}: Kerberos: {said}; nothing was started")
    cure = _CURES[WinRMAuth.KERBEROS]
    if exc.code == _NO_SERVICE:
        cure = "give ansible_host the name that the host has in its domain; `setspn -L` lists what it is known as"
    elif exc.code == _OTHER_TIME:
        cure = "see the clocks of this machine and of the domain"
    return Refused(f"{where}: Kerberos: {said}; nothing was sent. {_capital(cure)}")


def _tls(exc: Exception, where: str) -> RemedyError:
    """Say what is wrong with a certificate; what else there is under TLS is a broken connection."""
    for each in _causes(exc):
        if isinstance(each, ssl.SSLCertVerificationError):
            return _certificate(each, where)
        if isinstance(each, urllib3.exceptions.SSLError) and "Fingerprints did not match" in str(each):
            return Refused(
                f"{where}: ANOTHER CERTIFICATE than the pinned one; nothing was sent. If it was renewed, "
                "compare and pin the new fingerprint",
                identity=True,
            )
        if isinstance(each, ssl.SSLError) and (each.reason or "") in _NO_TLS:
            return Unreachable(
                f"{where}: this port speaks no TLS; nothing was sent. WinRM over https is on port 5986 as a rule; for "
                "http (usually port 5985) set ansible_winrm_scheme to http"
            )
    return Unreachable(f"{where}: TLS: {untrusted(_words(exc), characters_max=200)}; nothing was started")


def _certificate(exc: ssl.SSLCertVerificationError, where: str) -> Refused:
    why = untrusted(exc.verify_message or str(exc), characters_max=200)
    if exc.verify_code in _EXPIRED:
        return Refused(f"{where}: {why}; nothing was sent. Renew the certificate there, and see this machine's clock")
    cure = (
        "give the host the name that is in its certificate"
        if exc.verify_code in _OTHER_NAME
        else "set ansible_winrm_ca_trust_path to the authority that signed it, or pin its fingerprint"
    )
    return Refused(f"{where}: its certificate is not trusted: {why}; nothing was sent. {_capital(cure)}", identity=True)


def _status(status: int, where: str) -> RemedyError:
    if 300 <= status < 400:
        return Refused(f"{where}: the host redirects (HTTP {status}), which is not followed; correct the address")
    match status:
        case 400:
            return Unreachable(
                f"{where}: the host does not know this connection any more (HTTP 400); nothing was started"
            )
        case _ if status in OTHER_SERVICE:
            return Refused(
                f"{where}: no WinRM here (HTTP {status}): another web server answers, or WinRM is at another path; see "
                "ansible_host, ansible_port (5985 for http, 5986 for https) and ansible_winrm_path"
            )
    return Unreachable(f"{where}: HTTP {status}; nothing was started")


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """Walk an error and what it was made of, to a limit."""
    waiting, seen = [exc], 0
    while waiting and seen < 30:
        each = waiting.pop(0)
        seen += 1
        yield each
        inner = (getattr(each, "reason", None), each.__cause__, each.__context__, *each.args)
        waiting += [one for one in inner if isinstance(one, BaseException)]


def _words(exc: Exception) -> str:
    """Return what an error says, without what the libraries put around it."""
    match exc:
        case WSManFaultError():
            return f"{exc.reason.strip()} (code {exc.wsman_fault_code})"
        case WinRMTransportError():
            return f"HTTP {exc.code}"
        case WinRMOperationTimeoutError():
            return "no answer in time"
    for each in _causes(exc):
        if isinstance(each, OSError) and each.strerror and not isinstance(each, requests.RequestException):
            return each.strerror
    reason = exc.args[0] if exc.args else exc
    return str(getattr(reason, "reason", reason))


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
