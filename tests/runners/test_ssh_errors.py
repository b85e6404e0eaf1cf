"""Errors of the library: each of its exceptions, and whatever else Python raises there, leaves as one of ours."""

import base64

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from remedy.errors import Refused, Unreachable
from remedy_runners.connection import translate

pytestmark = pytest.mark.sshd


def _exceptions_of_paramiko() -> list[type[Exception]]:
    modules = (paramiko, paramiko.ssh_exception, paramiko.pkey, paramiko.agent, paramiko.transport, paramiko.config)
    found = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__.startswith("paramiko")
    }
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", _exceptions_of_paramiko(), ids=lambda kind: kind.__name__)
def test_every_exception_of_paramiko_is_translated(kind: type[Exception]) -> None:
    """Each class of the library has its own place in our tree; a new one must be given one."""
    exc = kind.__new__(kind)
    Exception.__init__(exc, "said")
    exc.__dict__.update(
        hostname="h", explanation="e", allowed_types=[], code=1, text="t", command="c", error="e", key_type="k",
        key_bytes=b"", errors={}, result=[],
        key=paramiko.Ed25519Key(data=_ed25519_blob()), expected_key=paramiko.Ed25519Key(data=_ed25519_blob()),
    )  # fmt: skip

    ours = translate(exc, "web-1")

    assert isinstance(ours, Refused | Unreachable)
    assert "unexpected" not in str(ours)


def _ed25519_blob() -> bytes:
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (EOFError(), Unreachable),
        (TimeoutError(), Unreachable),
        (ConnectionResetError(104, "reset"), Unreachable),
        (paramiko.AuthenticationException("no"), Refused),
        (ValueError("anything a host can make the library say"), Unreachable),
    ],
)
def test_other_exceptions_are_translated(exc: Exception, kind: type[Exception]) -> None:
    """Whatever a broken host makes Python raise leaves as one of ours."""
    assert type(translate(exc, "web-1")) is kind
