"""Errors of the libraries become remedy's own, each class by its own line."""

import inspect
import socket

import pytest
import requests
import urllib3
import winrm.exceptions
from winrm.exceptions import WinRMTransportError, WSManFaultError

from remedy.errors import Refused, RemedyError, Unreachable
from remedy.port import WinRMAuth
from remedy_runners.winrm.faults import translate
from remedy_runners.winrm.kerberos import KerberosFailed


def _classes(module: object, base: type[Exception]) -> list[type[Exception]]:
    return [each for _, each in inspect.getmembers(module, inspect.isclass) if issubclass(each, base)]


def _made(kind: type[Exception]) -> Exception:
    """Return an error of a class as its library makes it."""
    if kind is WSManFaultError:
        return WSManFaultError(500, "Bad", "<xml>", "It is so.", wsman_fault_code=4711)
    if kind is WinRMTransportError:
        return WinRMTransportError("http", 418, "")
    made = kind.__new__(kind)
    made.args = ("said",)
    return made


@pytest.mark.parametrize(
    "kind",
    [
        *_classes(winrm.exceptions, Exception),
        *_classes(requests.exceptions, requests.RequestException),
        *_classes(urllib3.exceptions, urllib3.exceptions.HTTPError),
        TimeoutError,
        socket.gaierror,
    ],
)
def test_error_class_is_known(kind: type[Exception]) -> None:
    """No class of pywinrm, requests or urllib3 falls through to `unexpected`, and each names the host."""
    ours = translate(_made(kind), "http://web-1:5985/wsman", WinRMAuth.NTLM)

    assert isinstance(ours, Refused | Unreachable)
    assert "unexpected" not in str(ours)
    assert str(ours).startswith("http://web-1:5985/wsman: ")


@pytest.mark.parametrize(
    ("code", "kind", "cure"),
    [
        (None, Refused, "get one with kinit"),
        (-1765328352, Refused, "get one with kinit"),
        (-1765328377, Refused, "the name that the host has in its domain"),
        (-1765328347, Refused, "the clocks of this machine"),
        (-1765328228, Unreachable, "nothing was started"),
    ],
    ids=["nothing more", "ticket expired", "no such service", "clock skew", "no KDC"],
)
def test_kerberos_without_a_ticket_has_its_cure(code: int | None, kind: type[RemedyError], cure: str) -> None:
    """What Kerberos says no to is no broken connection; a KDC that does not answer has not said no."""
    ours = translate(KerberosFailed("said", code), "x", WinRMAuth.KERBEROS)

    assert type(ours) is kind
    assert str(ours).startswith("x: Kerberos: said; nothing was s")
    assert cure in str(ours)


def test_host_that_does_not_prove_itself_is_another_machine() -> None:
    """What pywinrm raises when Kerberos proves no host counts as another identity; no ticket mends that."""
    ours = translate(type("MutualAuthenticationError", (requests.RequestException,), {})("no"), "x", WinRMAuth.KERBEROS)

    assert isinstance(ours, Refused)
    assert ours.identity
    assert "DID NOT PROVE ITSELF" in str(ours)


def test_error_that_is_ours_stays() -> None:
    """What is remedy's own already is not wrapped."""
    ours: RemedyError = Refused("said")

    assert translate(ours, "x", WinRMAuth.NTLM) is ours


def test_words_of_a_host_cannot_draw_on_a_terminal() -> None:
    """What a host says in a fault is shown without control characters, and cut."""
    fault = WSManFaultError(500, "Bad", "", "\x1b[31m" + "x" * 1_000, wsman_fault_code=1)

    said = str(translate(fault, "x", WinRMAuth.NTLM))

    assert "\x1b" not in said
    assert len(said) < 300
